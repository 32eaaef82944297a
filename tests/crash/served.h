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

/* The node is killed. */
void served_node_dies(served *self, uint32_t kills);
/* The server is killed, and started again. */
void served_server_dies(served *self, uint32_t kills);
/* The server does nothing for seconds; is stopped and started; the line stalls, is cut, is
 * unplugged: callers hear in time, and all goes on by itself. */
void served_server_stands_still(served *self);
void served_server_is_away(served *self);
void served_line_fails(served *self);

#endif
