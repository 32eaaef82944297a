/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `postgres` against the conformance suite, on a server of its own that
 * syncs each write, and that is stopped, killed and started again.
 *
 * Threads: the suite's.
 */
#include "suite.h"
#include "tests/store/postgres_server.h"

#include "providers/postgres/member.h"

#include <signal.h>
#include <stdio.h>

typedef struct postgres_place {
    postgres_server server; /* first: what stops and starts it knows no more */
    relay way;
} postgres_place;

static troupe_status open_on(void *user, const char *cluster, troupe_membership **ret_membership)
{
    const postgres_place *self = user;
    char url[500], error[600] = "";
    snprintf(url, sizeof url,
        "postgres://postgres@127.0.0.1:%d/postgres?schema=members&timeout=5&sslmode=disable",
        self->way.port);
    troupe_status status =
        tp_postgres_member_open(&suite_host, url, cluster, ret_membership, error, sizeof error);
    if (status != TROUPE_OK)
        fprintf(stderr, "%s\n", error);
    return status;
}

static bool stop(void *user)
{
    return postgres_server_pause(user);
}

static bool go(void *user)
{
    return postgres_server_continue(user);
}

/* "Immediate": the sessions die, nothing is written any more; it recovers when it starts again. */
static bool kill_server(void *user)
{
    server_end(&((postgres_server *)user)->server, SIGQUIT);
    return true;
}

static bool start(void *user)
{
    postgres_place *self = user;
    char path[SERVER_PATH + 32];
    if (!postgres_server_start(&self->server, ""))
        return false;
    snprintf(path, sizeof path, "%s/.s.PGSQL.%d", self->server.server.folder, self->server.port);
    return self->way.port != 0 || relay_start(&self->way, path, 0);
}

static void remove_server(void *user)
{
    postgres_server_remove(user);
}

int main(void)
{
    postgres_place self = {0};
    const suite place = {.name = "postgres",
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
