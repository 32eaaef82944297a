/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town whose store is a real server: what may happen to the node, the server and the line between
 * them, and what must hold nevertheless. For the tests of redis and postgres, which say how to
 * start one.
 *
 * Threads: the test's one.
 */
#ifndef TEST_CRASH_SERVED_H
#define TEST_CRASH_SERVED_H

#include "cable.h"
#include "tests/store/servers.h"
#include "town.h"

typedef struct served {
    /* the test's */
    const char *name;
    test_server *server;
    bool (*start)(void *user);            /* also again, with what it had */
    void (*crash)(void *user);            /* SIGKILL, to all of its processes */
    bool (*halt)(void *user, bool halts); /* SIGSTOP and SIGCONT, of all of them */
    void *user;
    troupe_status (*open)(const troupe_store_host *host, const char *url, troupe_store **ret_store,
        char *error, size_t error_size);
    char socket[SERVER_PATH + 40]; /* of the server */
    char cable[SERVER_PATH + 40];  /* where a cable listens */
    char url[600], cable_url[600];
    /* served.c's */
    town_place town;
    test_server folder;
    cable line;
    bool by_cable;
} served;

/* Makes the town's place. */
bool served_begin(served *self);
void served_end(served *self);

/* What happens to the town, as the tests of a program, or the one that its first argument names:
 * the node is killed; the server is killed, and started again; the server does nothing for seconds,
 * is stopped and started; the line stalls, is cut, is unplugged. `begin` makes the state a served
 * one. Returns the exit code. */
int served_main(int count, char **words, int (*begin)(void **state), int (*end)(void **state));

#endif
