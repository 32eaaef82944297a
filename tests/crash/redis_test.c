/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town on a real redis-server that syncs each write: the node is killed, the server is killed,
 * stands still, goes away, the line to it fails. Nothing answered is lost, nothing happens twice.
 *
 * Threads: the test's one.
 */
#include "served.h"
#include "tests/store/redis_server.h"

#include "providers/redis/redis.h"

#include <signal.h>
#include <stdio.h>

static redis_server server;

static bool start(void *user)
{
    (void)user;
    return redis_server_start(&server, NULL);
}

static void crash(void *user)
{
    (void)user;
    server_end(&server.server, SIGKILL);
}

static bool halt(void *user, bool halts)
{
    (void)user;
    return halts ? server_pause(&server.server) : server_continue(&server.server);
}

static int begin(void **state)
{
    static served self;
    self = (served){.name = "redis",
        .server = &server.server,
        .start = start,
        .crash = crash,
        .halt = halt,
        .open = tp_redis_open};
    if (!start(NULL) || !served_begin(&self))
        return -1;
    snprintf(self.socket, sizeof self.socket, "%s", server.socket);
    snprintf(self.cable, sizeof self.cable, "%s/cable", self.folder.folder);
    snprintf(self.url, sizeof self.url, "redis://%s", self.socket);
    snprintf(self.cable_url, sizeof self.cable_url, "redis://%s", self.cable);
    *state = &self;
    return 0;
}

static int end(void **state)
{
    served_end(*state);
    redis_server_remove(&server);
    return 0;
}

int main(int count, char **words)
{
    return served_main(count, words, begin, end);
}
