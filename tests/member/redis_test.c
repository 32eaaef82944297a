/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `redis` against the conformance suite, on a server of its own that syncs
 * each write, and that is stopped, killed and started again.
 *
 * Threads: the suite's.
 */
#include "suite.h"
#include "tests/store/redis_server.h"

#include "providers/redis/member.h"

#include <signal.h>
#include <stdio.h>

typedef struct redis_place {
    redis_server server; /* first: what stops and starts it knows no more */
    relay way;
} redis_place;

static troupe_status open_on(void *user, const char *cluster, troupe_membership **ret_membership)
{
    const redis_place *self = user;
    char url[300], error[600] = "";
    snprintf(url, sizeof url, "redis://127.0.0.1:%d?prefix=members:&timeout=5s", self->way.port);
    troupe_status status =
        tp_redis_member_open(&suite_host, url, cluster, ret_membership, error, sizeof error);
    if (status != TROUPE_OK)
        fprintf(stderr, "%s\n", error);
    return status;
}

static bool stop(void *user)
{
    return server_pause(&((redis_server *)user)->server);
}

static bool go(void *user)
{
    return server_continue(&((redis_server *)user)->server);
}

static bool kill_server(void *user)
{
    server_end(&((redis_server *)user)->server, SIGKILL);
    return true;
}

static bool start(void *user)
{
    redis_place *self = user;
    return redis_server_start(&self->server, NULL) &&
           (self->way.port != 0 || relay_start(&self->way, self->server.socket, 0));
}

static void remove_server(void *user)
{
    redis_server_remove(user);
}

int main(void)
{
    redis_place self = {0};
    const suite place = {.name = "redis",
        .open = open_on,
        .user = &self,
        .way = &self.way,
        .stop = stop,
        .go = go,
        .kill = kill_server,
        .start = start,
        .remove = remove_server};
    return suite_run(&place);
}
