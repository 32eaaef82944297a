/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of durable turns and loads on Redis: SETs and GETs of 200 bytes by hiredis, on a server of
 * its own with appendfsync always, behind a Unix socket. No version, no script, no index: what the
 * server and its disk give to whoever asks in the best way. Three ways: many in flight (the
 * default: the best of some sizes of a pipeline that never runs dry), --one (each waits for the one
 * before), --get (reads, many in flight).
 *
 *   limit_durable_redis [keys] [--one | --handed | --get] [--socket=PATH]
 *
 * PATH: of a server that runs already; --handed: nanoseconds for a SET that another thread is
 * handed behind a condition variable, one at a time.
 *
 * Invariants: the server ends with the program, also when that is killed. Threads: one; --handed
 * has a second one, which alone uses the connection.
 */
#include "handed.h"

#include <hiredis.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VALUE = 200, KEY = 24, SIZES = 4 };

static const char *const programs[] = {
    "/usr/bin/redis-server", "/usr/sbin/redis-server", "/usr/local/bin/redis-server"};

struct server {
    pid_t pid; /* 0: another one's */
    char folder[64];
    char socket[128];
};

static void stop(struct server *server)
{
    char command[128];
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", server->folder);
    if (system(command) != 0)
        fprintf(stderr, "limit: %s is left\n", server->folder);
}

static void start(struct server *server)
{
    const char *program = NULL;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]) && program == NULL; i++)
        program = access(programs[i], X_OK) == 0 ? programs[i] : NULL;
    const char *temporary = getenv("TMPDIR"); /* on the disk that is to be measured */
    snprintf(server->folder, sizeof(server->folder), "%.40s/limit-redis-XXXXXX",
        temporary != NULL ? temporary : "/tmp");
    if (program == NULL || mkdtemp(server->folder) == NULL) {
        fprintf(stderr, "limit: redis-server is not installed (make deps-test)\n");
        exit(LIMIT_SKIPPED);
    }
    snprintf(server->socket, sizeof(server->socket), "%s/socket", server->folder);
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen("/dev/null", "w", stdout) != NULL)
            execl(program, program, "--port", "0", "--unixsocket", server->socket, "--dir",
                server->folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                "--auto-aof-rewrite-percentage", "0", (char *)NULL);
        _exit(127);
    }
}

static redisContext *reach(const struct server *server)
{
    uint64_t end = limit_now_ns() + 10000000000ull;
    for (;;) {
        redisContext *redis = redisConnectUnix(server->socket);
        if (redis != NULL && redis->err == 0)
            return redis;
        redisFree(redis);
        if (limit_now_ns() > end) {
            fprintf(stderr, "limit: nobody answers at %s\n", server->socket);
            exit(LIMIT_SKIPPED);
        }
        usleep(2000);
    }
}

static void append(redisContext *redis, bool get, uint64_t key)
{
    static const char value[VALUE] = "state";
    char name[KEY + 1];
    int size = snprintf(name, sizeof(name), "limit:%016llx", (unsigned long long)key);
    const char *words[] = {get ? "GET" : "SET", name, value};
    const size_t sizes[] = {3, (size_t)size, VALUE};
    redisAppendCommandArgv(redis, get ? 2 : 3, words, sizes);
}

static void take(redisContext *redis, bool get)
{
    void *taken = NULL;
    if (redisGetReply(redis, &taken) != REDIS_OK || taken == NULL) {
        fprintf(stderr, "limit: %s\n", redis->errstr);
        exit(1);
    }
    const redisReply *reply = taken;
    if (reply->type != (get ? REDIS_REPLY_STRING : REDIS_REPLY_STATUS)) {
        fprintf(stderr, "limit: %s\n", reply->type == REDIS_REPLY_ERROR ? reply->str : "no answer");
        exit(1);
    }
    freeReplyObject(taken);
}

static void flush(redisContext *redis)
{
    int done = 0;
    while (!done)
        if (redisBufferWrite(redis, &done) != REDIS_OK)
            exit(1);
}

/* Two groups are under way, so that the server works on one while we deal with the other. */
static double measure(redisContext *redis, bool get, uint64_t group, uint64_t keys)
{
    uint64_t begin = limit_now_ns(), end, done = 0, key = 0;
    for (uint64_t i = 0; i < group; i++)
        append(redis, get, key++ % keys);
    flush(redis);
    do {
        if (group > 1) {
            for (uint64_t i = 0; i < group; i++)
                append(redis, get, key++ % keys);
            flush(redis);
        }
        for (uint64_t i = 0; i < group; i++)
            take(redis, get);
        done += group;
        end = limit_now_ns();
        if (group == 1) {
            append(redis, get, key++ % keys);
            flush(redis);
        }
    } while (end - begin < LIMIT_RUN_NS);
    for (uint64_t i = 0; i < group; i++)
        take(redis, get);
    return (double)done * 1e9 / (double)(end - begin);
}

static void set_one(void *user, uint64_t number)
{
    (void)number;
    append(user, false, 0);
    take(user, false);
}

/* The best of some sizes. */
static double measure_groups(redisContext *redis, bool get, uint64_t keys)
{
    static const uint64_t sizes[SIZES] = {64, 256, 1024, 4096};
    double best = 0;
    for (int i = 0; i < SIZES; i++) {
        double now = measure(redis, get, sizes[i], keys);
        best = now > best ? now : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    struct server server = {0};
    bool one = false, get = false, handed = false;
    uint64_t keys = limit_argument(argc, argv, 0, 100000);
    for (int i = 1; i < argc; i++) {
        handed = handed || strcmp(argv[i], "--handed") == 0;
        one = one || strcmp(argv[i], "--one") == 0;
        get = get || strcmp(argv[i], "--get") == 0;
        if (strncmp(argv[i], "--socket=", 9) == 0)
            snprintf(server.socket, sizeof(server.socket), "%s", argv[i] + 9);
    }
    if (keys == 0)
        keys = 1;
    if (server.socket[0] == '\0')
        start(&server);
    redisContext *redis = reach(&server);
    for (uint64_t i = 0; i < keys; i++) { /* every key is there: none is made while measured */
        append(redis, false, i);
        if (i % 1024 == 1023 || i + 1 == keys)
            for (uint64_t j = i / 1024 * 1024; j <= i; j++)
                take(redis, false);
    }
    double value = handed ? limit_handed(set_one, redis, LIMIT_RUN_NS)
                   : one  ? measure(redis, get, 1, keys)
                          : measure_groups(redis, get, keys);
    redisFree(redis);
    stop(&server);
    if (handed)
        return limit_report(argc, argv, "durable_redis_handed", value, "ns", 0);
    return limit_report(argc, argv,
        one   ? "durable_redis_one"
        : get ? "durable_redis_get"
              : "durable_redis",
        value, "ops/s", one || get ? 0 : 116e3);
}
