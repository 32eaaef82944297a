/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load on a cluster of real processes, by their admin sockets, with a memory: every call with its
 * begin, its end and what it saw is kept, and checked in the end for linearizability of each actor.
 *
 *   load run TYPE ACTORS THREADS SECONDS SOCKET...    prints figures; exit code 1: not linearizable
 * (a SOCKET after a = is only read from, with little patience)
 *   load detect SOCKET PID ID...    kills PID, on which the actors of those ids are, and prints
 *                                   after how many ms another process has answered for each
 *
 * A call that was not done is left out of the history, one of which nobody knows stays open. The
 * tests of tests/cluster compile it.
 * Threads: one for each caller, with a connection of its own; the history of a thread is its own.
 */
#include "history.h" /* of tests/cluster */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, SOCKETS_MAX = 8, LINE = 4096, KINDS = 8, CALLS_MAX = 400000 };

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void nap(long milliseconds)
{
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

/* ---- calls ---- */

typedef enum fate { GOOD, NOT_DONE, MAYBE, NO_NODE } fate;

typedef struct caller {
    int socket; /* -1: none */
    char line[LINE];
    char status[24]; /* of an answer that is no success */
    int64_t value;
    char text[64];
} caller;

static bool connect_to(caller *self, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    self->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(self->socket, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    close(self->socket);
    self->socket = -1;
    return false;
}

static void word_after(const char *line, const char *name, char *out, size_t size)
{
    const char *at = strstr(line, name);
    out[0] = 0;
    if (at != NULL)
        snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), "\"},"), at + strlen(name));
}

static fate lost(caller *self, const char *why)
{
    close(self->socket);
    self->socket = -1;
    snprintf(self->status, sizeof(self->status), "%s", why);
    return MAYBE;
}

/* One call and its answer; the connection is made if there is none. */
static fate call(caller *self, const char *path, const char *type, const char *key,
    const char *method, int64_t argument, int timeout_ms)
{
    size_t size = 0;
    if (self->socket < 0 && !connect_to(self, path))
        return NO_NODE;
    int length = snprintf(self->line, LINE,
        "{\"id\":1,\"do\":\"ask\",\"actor\":\"%s/%s\",\"method\":\"%s\",\"payload_text\":\"%lld\","
        "\"timeout_ms\":%d}\n",
        type, key, method, (long long)argument, timeout_ms);
    ssize_t sent = send(self->socket, self->line, (size_t)length, MSG_NOSIGNAL);
    if (sent < 0) {
        lost(self, "");
        return NO_NODE; /* nothing has left */
    }
    while (size == 0 || self->line[size - 1] != '\n') {
        struct pollfd ready = {.fd = self->socket, .events = POLLIN};
        if (poll(&ready, 1, timeout_ms + 10000) <= 0)
            return lost(self, "silent");
        ssize_t got = recv(self->socket, self->line + size, LINE - 1 - size, 0);
        if (got <= 0)
            return lost(self, "connection");
        size += (size_t)got;
    }
    self->line[size] = 0;
    word_after(self->line, "\"payload_text\":\"", self->text, sizeof(self->text));
    if (strstr(self->line, "\"ok\":true") != NULL) {
        self->value = strtoll(self->text, NULL, 10);
        return GOOD;
    }
    word_after(self->line, "\"status\":\"", self->status, sizeof(self->status));
    return strstr(self->line, "\"outcome\":\"NOT_DONE\"") != NULL ? NOT_DONE : MAYBE;
}

/* ---- the load ---- */

typedef struct noted {
    uint32_t actor;
    history_call call;
} noted;

typedef struct refusal {
    char status[24];
    unsigned count;
} refusal;

typedef struct worker {
    pthread_t thread;
    uint64_t seed;
    noted *calls;
    size_t count, good, not_done, maybe, no_node;
    uint64_t longest, ends_gap, last_good;
    refusal refusals[KINDS];
} worker;

static const char *type, *sockets[SOCKETS_MAX];
static int socket_count;
static uint32_t actors;
static uint64_t end_at;
static worker workers[THREADS_MAX];

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void note_refusal(worker *self, const char *status)
{
    for (int i = 0; i < KINDS; i++) {
        if (self->refusals[i].count != 0 && strcmp(self->refusals[i].status, status) != 0)
            continue;
        snprintf(self->refusals[i].status, sizeof(self->refusals[i].status), "%s", status);
        self->refusals[i].count++;
        return;
    }
}

static void note_good(worker *self, uint64_t begin, uint64_t end)
{
    self->good++;
    if (end - begin > self->longest)
        self->longest = end - begin;
    if (self->last_good != 0 && end - self->last_good > self->ends_gap)
        self->ends_gap = end - self->last_good;
    self->last_good = end;
}

static void *work(void *argument)
{
    static const char *const methods[] = {"add", "set", "show"};
    worker *self = argument;
    caller callers[SOCKETS_MAX];
    memset(callers, 0, sizeof(callers));
    for (int i = 0; i < socket_count; i++)
        callers[i].socket = -1;
    while (now() < end_at && self->count < CALLS_MAX) {
        unsigned kind = (unsigned)(draw(&self->seed) % 8);
        noted *note = &self->calls[self->count];
        int node = (int)(draw(&self->seed) % (unsigned)socket_count);
        bool only_reads = sockets[node][0] == '=';
        if (only_reads)
            kind = 1;
        char key[32];
        note->actor = (uint32_t)(draw(&self->seed) % actors);
        note->call = (history_call){.kind = kind == 0  ? HISTORY_SET
                                            : kind < 3 ? HISTORY_SHOW
                                                       : HISTORY_ADD,
            .argument = (int64_t)(draw(&self->seed) % 1000)};
        snprintf(key, sizeof(key), "%d-%u", (int)getpid(), note->actor); /* all begin as 0 */
        note->call.begin = now();
        fate fate = call(&callers[node], sockets[node] + only_reads, type, key,
            methods[note->call.kind], note->call.argument, only_reads ? 200 : 5000);
        note->call.end = now();
        note->call.result = callers[node].value;
        if (fate == GOOD) {
            note_good(self, note->call.begin, note->call.end);
            self->count++;
        } else if (fate == NO_NODE) {
            self->no_node++;
            nap(1);
        } else {
            note_refusal(self, callers[node].status);
            self->not_done += fate == NOT_DONE;
            self->maybe += fate == MAYBE;
            note->call.end = HISTORY_OPEN;
            self->count += fate == MAYBE && note->call.kind != HISTORY_SHOW;
            nap(1);
        }
    }
    return NULL;
}

static int by_begin(const void *left, const void *right)
{
    const history_call *a = left, *b = right;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static const char *name_of(history_kind kind)
{
    return kind == HISTORY_ADD ? "add" : kind == HISTORY_SET ? "set" : "show";
}

static void tell_bad(uint32_t actor, const history_call *calls, size_t count, size_t at)
{
    uint64_t start = calls[0].begin;
    printf("%s/%d-%u: call %zu of %zu fits nowhere:\n", type, (int)getpid(), actor, at, count);
    for (size_t i = at > 12 ? at - 12 : 0; i < count && i < at + 8; i++)
        printf("%s %9.3f ms to %9.3f ms  %s %lld -> %lld%s\n", i == at ? ">" : " ",
            (double)(calls[i].begin - start) / 1e6,
            calls[i].end == HISTORY_OPEN ? 0.0 : (double)(calls[i].end - start) / 1e6,
            name_of(calls[i].kind), (long long)calls[i].argument, (long long)calls[i].result,
            calls[i].end == HISTORY_OPEN ? " (unknown)" : "");
}

/* How many actors have a history that is not linearizable. */
static int check_all(int threads)
{
    size_t room = 0;
    int bad = 0, undecided = 0;
    for (int i = 0; i < threads; i++)
        room += workers[i].count;
    history_call *calls = calloc(room + 1, sizeof(*calls));
    for (uint32_t actor = 0; actor < actors; actor++) {
        size_t count = 0, at = 0;
        for (int i = 0; i < threads; i++)
            for (size_t k = 0; k < workers[i].count; k++)
                if (workers[i].calls[k].actor == actor)
                    calls[count++] = workers[i].calls[k].call;
        qsort(calls, count, sizeof(*calls), by_begin);
        history_verdict verdict = history_check(calls, count, &at);
        if (verdict == HISTORY_BAD && bad++ < 3)
            tell_bad(actor, calls, count, at);
        undecided += verdict == HISTORY_UNDECIDED;
    }
    free(calls);
    printf("histories of %u actors: %d not linearizable, %d undecided\n", actors, bad, undecided);
    return bad + undecided;
}

static int run(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    type = argv[0];
    actors = (uint32_t)atoi(argv[1]);
    int threads = atoi(argv[2]);
    end_at = now() + (uint64_t)(atof(argv[3]) * 1e9);
    for (int i = 4; i < argc && socket_count < SOCKETS_MAX; i++)
        sockets[socket_count++] = argv[i];
    worker sum = {0};
    for (int i = 0; i < threads; i++) {
        workers[i].seed = 88172645463325252u + (uint64_t)i * 7919;
        workers[i].calls = malloc(CALLS_MAX * sizeof(noted));
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (int i = 0; i < threads; i++) {
        worker *worker = &workers[i];
        pthread_join(worker->thread, NULL);
        sum.good += worker->good;
        sum.not_done += worker->not_done;
        sum.maybe += worker->maybe;
        sum.no_node += worker->no_node;
        sum.longest = worker->longest > sum.longest ? worker->longest : sum.longest;
        sum.ends_gap = worker->ends_gap > sum.ends_gap ? worker->ends_gap : sum.ends_gap;
        for (int k = 0; k < KINDS; k++)
            for (unsigned n = 0; n < worker->refusals[k].count; n++)
                note_refusal(&sum, worker->refusals[k].status);
    }
    printf("calls: %zu good, %zu not done, %zu unknown; longest %.1f ms, longest gap %.1f ms\n",
        sum.good, sum.not_done, sum.maybe, (double)sum.longest / 1e6, (double)sum.ends_gap / 1e6);
    for (int k = 0; k < KINDS; k++)
        if (sum.refusals[k].count != 0)
            printf("  %s: %u\n", sum.refusals[k].status, sum.refusals[k].count);
    return check_all(threads) != 0;
}

/* ---- detection ---- */

static const char *detect_socket;
static long killed;
static uint64_t killed_at;

static void *await_other(void *argument)
{
    char copy[128];
    caller caller = {.socket = -1};
    snprintf(copy, sizeof(copy), "%s", (const char *)argument);
    char *slash = strchr(copy, '/');
    if (slash == NULL)
        return NULL;
    *slash = 0;
    while (now() < killed_at + 30000000000u) {
        fate fate = call(&caller, detect_socket, copy, slash + 1, "pid", 0, 1000);
        if (fate == GOOD && caller.value != killed) {
            printf("%.1f\n", (double)(now() - killed_at) / 1e6);
            return argument;
        }
        nap(1);
    }
    printf("never\n");
    return NULL;
}

static int detect(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    if (argc < 3 || argc - 2 > THREADS_MAX)
        return 2;
    detect_socket = argv[0];
    killed = atol(argv[1]);
    killed_at = now();
    kill((pid_t)killed, SIGKILL);
    int failures = 0;
    for (int i = 2; i < argc; i++)
        pthread_create(&threads[i - 2], NULL, await_other, argv[i]);
    for (int i = 2; i < argc; i++) {
        void *found;
        pthread_join(threads[i - 2], &found);
        failures += found == NULL;
    }
    return failures != 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "run") == 0)
        return run(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "detect") == 0)
        return detect(argc - 2, argv + 2);
    fprintf(stderr, "usage: load run TYPE ACTORS THREADS SECONDS SOCKET... | load detect SOCKET "
                    "PID ID...\n");
    return 2;
}
