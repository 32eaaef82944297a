/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and stopping real servers; see servers.h.
 *
 * Threads: the test's one.
 */
#include "servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds_now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

bool server_await(bool (*is_so)(void *user), void *user, int seconds)
{
    double end = seconds_now() + seconds;
    while (!is_so(user)) {
        if (seconds_now() > end)
            return false;
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    return true;
}

static bool is_program(const char *folder, size_t size, const char *program, char *out, size_t room)
{
    int length = snprintf(out, room, "%.*s/%s", (int)size, folder, program);
    return length > 0 && (size_t)length < room && access(out, X_OK) == 0;
}

bool server_find(const char *program, const char *elsewhere, char *out, size_t size)
{
    const char *path = getenv("PATH");
    if (elsewhere != NULL && is_program(elsewhere, strlen(elsewhere), program, out, size))
        return true;
    for (const char *at = path != NULL ? path : "/usr/bin:/bin"; *at != '\0';) {
        size_t length = strcspn(at, ":");
        if (is_program(at, length, program, out, size))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

bool server_make_folder(test_server *self, const char *name)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(self->folder, sizeof self->folder, "%.100s/troupe-%s-XXXXXX",
        temporary != NULL ? temporary : "/tmp", name);
    if (mkdtemp(self->folder) == NULL) {
        self->folder[0] = '\0';
        return false;
    }
    return self->user == 0 || chown(self->folder, self->user, self->group) == 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void server_remove_folder(test_server *self)
{
    if (self->folder[0] != '\0')
        nftw(self->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    self->folder[0] = '\0';
}

int server_free_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int file = socket(AF_INET, SOCK_STREAM, 0);
    int port = 0;
    if (file >= 0 && bind(file, (struct sockaddr *)&address, size) == 0 &&
        getsockname(file, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    if (file >= 0)
        close(file);
    return port;
}

int server_listen_mute(int *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        return -1;
    if (bind(file, (struct sockaddr *)&address, size) != 0 || listen(file, 8) != 0 ||
        getsockname(file, (struct sockaddr *)&address, &size) != 0) {
        close(file);
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return file;
}

/* In the child. */
static void become(const test_server *self, const char *const *argv, pid_t parent)
{
    char log[SERVER_PATH + 8];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (self->user != 0 && (setgroups(0, NULL) != 0 || setgid(self->group) != 0 ||
                               setuid(self->user) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0))
        _exit(126);
    if (getppid() != parent || chdir(self->folder) != 0)
        _exit(126);
    snprintf(log, sizeof log, "%s/log", self->folder);
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int nothing = open("/dev/null", O_RDONLY);
    if (file < 0 || nothing < 0)
        _exit(126);
    dup2(nothing, 0);
    dup2(file, 1);
    dup2(file, 2);
    execv(argv[0], (char *const *)(size_t)argv);
    _exit(127);
}

static pid_t spawn(const test_server *self, const char *const *argv)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(self, argv, parent);
    return pid;
}

bool server_start(test_server *self, const char *const *argv)
{
    pid_t pid = spawn(self, argv);
    self->pid = pid > 0 ? pid : 0;
    return pid > 0;
}

static bool is_gone(void *user)
{
    test_server *self = user;
    pid_t pid = waitpid(self->pid, NULL, WNOHANG);
    return pid == self->pid || (pid < 0 && errno == ECHILD);
}

void server_end(test_server *self, int signal)
{
    if (self->pid <= 0)
        return;
    kill(self->pid, signal);
    if (!server_await(is_gone, self, 20)) {
        kill(self->pid, SIGKILL);
        waitpid(self->pid, NULL, 0);
    }
    self->pid = 0;
}

bool server_pause(test_server *self)
{
    int status = 0;
    return kill(self->pid, SIGSTOP) == 0 && waitpid(self->pid, &status, WUNTRACED) == self->pid &&
           WIFSTOPPED(status);
}

bool server_continue(test_server *self)
{
    return kill(self->pid, SIGCONT) == 0;
}

int server_run(test_server *self, const char *const *argv)
{
    int status = 0;
    pid_t pid = spawn(self, argv);
    if (pid <= 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}
