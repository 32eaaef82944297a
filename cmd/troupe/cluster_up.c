/* SPDX-License-Identifier: Apache-2.0 */
/*
 * troupe cluster up: some nodes of trouped on this machine, on the file provider, each with a
 * socket and a log of its own in one folder. For trying things; a real cluster has a supervisor.
 *
 * Invariants
 * 1. It ends when its nodes have ended: Ctrl-C (SIGINT, SIGTERM) stops them in order, a second one
 *    at once.
 * 2. A node that dies by itself is told, and is not started anew.
 * Threads: one.
 */
#include "troupe/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <troupe.h>
#include <unistd.h>

#define NODES_MAX 16
#define WORDS_MAX 128 /* of one command line */

typedef struct cluster_up {
    int count;
    const char *folder;
    char program[4400];
    char absolute[4096];
    char *const *given; /* options for each node; NULL ends */
    int given_count;
    pid_t pids[NODES_MAX];
    int alive;
} cluster_up;

static cli_exit explain(void)
{
    puts("usage: troupe cluster up [-n N] [--folder FOLDER] --load FILE [trouped's options]\n\n"
         "Starts N nodes (3; at most 16) of trouped that are one cluster, and waits. Sockets\n"
         "and logs are in FOLDER (troupe-cluster). Ctrl-C stops them in order.");
    return CLI_OK;
}

/* trouped is beside this program. */
static bool find_program(cluster_up *self)
{
    ssize_t length = readlink("/proc/self/exe", self->program, 4096);
    if (length <= 0) return false;
    self->program[length] = 0;
    char *slash = strrchr(self->program, '/');
    if (slash == NULL) return false;
    strcpy(slash, "/trouped");
    return access(self->program, X_OK) == 0;
}

static cli_exit read_words(cluster_up *self, char **words)
{
    static char *left[WORDS_MAX];
    for (int i = 0; words[i] != NULL; i++) {
        const char *word = words[i];
        bool takes = strcmp(word, "-n") == 0 || strcmp(word, "--folder") == 0;
        if (takes && words[i + 1] == NULL) {
            return cli_fail(CLI_USAGE, "cluster up: %s needs a value", word);
        }
        if (strcmp(word, "-n") == 0) {
            char *end = NULL;
            long count = strtol(words[++i], &end, 10);
            if (*end != 0 || count < 1 || count > NODES_MAX) {
                return cli_fail(CLI_USAGE, "cluster up: -n \"%.20s\" is no number from 1 to %d",
                                words[i], NODES_MAX);
            }
            self->count = (int)count;
        } else if (strcmp(word, "--folder") == 0) {
            self->folder = words[++i];
        } else if (self->given_count + 1 < WORDS_MAX) {
            left[self->given_count++] = words[i];
        } else {
            return cli_fail(CLI_USAGE, "cluster up: there are more than %d words", WORDS_MAX);
        }
    }
    self->given = left;
    return CLI_OK;
}

static void become_node(const cluster_up *self, int number)
{
    char name[32];
    char socket[4200];
    char cluster[4200];
    char path[4200];
    char *words[WORDS_MAX + 10];
    int count = 0;
    snprintf(name, sizeof(name), "node-%d", number);
    snprintf(socket, sizeof(socket), "%s/%s.sock", self->absolute, name);
    snprintf(cluster, sizeof(cluster), "file:%s/members", self->absolute);
    snprintf(path, sizeof(path), "%s/%s.log", self->absolute, name);
    words[count++] = (char *)(uintptr_t)"trouped";
    words[count++] = (char *)(uintptr_t)"--name";
    words[count++] = name;
    words[count++] = (char *)(uintptr_t)"--socket";
    words[count++] = socket;
    words[count++] = (char *)(uintptr_t)"--cluster";
    words[count++] = cluster;
    for (int i = 0; i < self->given_count; i++) words[count++] = self->given[i];
    words[count] = NULL;
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || dup2(log, STDERR_FILENO) < 0) _exit(CLI_FAILED);
    setpgid(0, 0); /* Ctrl-C is for the parent, which tells them */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execv(self->program, words);
    _exit(CLI_FAILED);
}

static bool start(cluster_up *self)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 0; i < self->count; i++) {
        self->pids[i] = fork();
        if (self->pids[i] < 0) return false;
        if (self->pids[i] == 0) {
            sigprocmask(SIG_SETMASK, &none, NULL);
            become_node(self, i + 1);
        }
        self->alive++;
    }
    return true;
}

static void tell_nodes(const cluster_up *self, int signal)
{
    for (int i = 0; i < self->count; i++) {
        if (self->pids[i] > 0) kill(self->pids[i], signal);
    }
}

/* All that have ended; with their exit codes told, if they were not asked to. */
static int take_ended(cluster_up *self, bool was_asked)
{
    int status = 0;
    int worst = 0;
    for (int i = 0; i < self->count; i++) {
        if (self->pids[i] <= 0 || waitpid(self->pids[i], &status, WNOHANG) != self->pids[i]) {
            continue;
        }
        self->pids[i] = 0;
        self->alive--;
        if (status == 0 && was_asked) continue;
        worst = 1;
        fprintf(stderr, "troupe: node-%d ended (%s %d); its log is %s/node-%d.log\n", i + 1,
                WIFEXITED(status) ? "exit code" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), self->absolute, i + 1);
    }
    return worst;
}

static cli_exit wait_for_all(cluster_up *self, const sigset_t *signals)
{
    bool was_asked = false;
    int worst = take_ended(self, false);
    while (self->alive > 0) {
        int signal = sigwaitinfo(signals, NULL);
        if (signal == SIGINT || signal == SIGTERM) {
            tell_nodes(self, was_asked ? SIGKILL : SIGTERM);
            was_asked = true;
        }
        worst |= take_ended(self, was_asked);
    }
    return worst != 0 ? CLI_FAILED : CLI_OK;
}

static cli_exit up(cluster_up *self)
{
    sigset_t signals;
    if (!find_program(self)) {
        return cli_fail(CLI_FAILED, "cluster up: %s is not there: build or install trouped",
                        self->program);
    }
    if (mkdir(self->folder, 0700) != 0 && errno != EEXIST) {
        return cli_fail(CLI_FAILED, "cluster up: %s: %s", self->folder, strerror(errno));
    }
    if (realpath(self->folder, self->absolute) == NULL) {
        return cli_fail(CLI_FAILED, "cluster up: %s: %s", self->folder, strerror(errno));
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    printf("troupe: %d nodes; Ctrl-C stops them. Logs are %s/node-*.log. Call them by\n",
           self->count, self->folder);
    for (int i = 0; i < self->count; i++) {
        printf("    troupe --socket %s/node-%d.sock nodes\n", self->folder, i + 1);
    }
    fflush(stdout);
    if (!start(self)) {
        int reason = errno;
        tell_nodes(self, SIGTERM);
        (void)wait_for_all(self, &signals);
        return cli_fail(CLI_FAILED, "cluster up: %s", strerror(reason));
    }
    return wait_for_all(self, &signals);
}

cli_exit cli_run_cluster(const cli_context *context)
{
    cluster_up self = {.count = 3, .folder = "troupe-cluster"};
    char **words = context->rest + 1;
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) return explain();
    }
    if (words[0] == NULL || strcmp(words[0], "up") != 0) {
        return cli_fail(CLI_USAGE, "cluster: what? troupe cluster up [-n N] --load FILE");
    }
    cli_exit code = read_words(&self, words + 1);
    return code == CLI_OK ? up(&self) : code;
}
