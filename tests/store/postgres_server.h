/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL server for tests: it listens on a Unix socket in its folder and on a free port of
 * the loopback, there with passwords, and runs as user postgres, for it refuses root. For the tests
 * of the provider `postgres`.
 *
 * Threads: the test's one.
 */
#ifndef TEST_STORE_POSTGRES_SERVER_H
#define TEST_STORE_POSTGRES_SERVER_H

#include "servers.h"

typedef struct postgres_server {
    test_server server;
    char programs[SERVER_PATH]; /* where initdb and postgres are */
    int port;
} postgres_server;

/* Starts it, the first time in a new folder; returns when it answers. `settings`: more lines of
 * postgresql.conf, "" for none; the last of a name counts. False: after its log, or a line that it
 * is not installed. */
bool postgres_server_start(postgres_server *self, const char *settings);
/* With all its processes; returns when the first one stands still. */
bool postgres_server_pause(postgres_server *self);
bool postgres_server_continue(postgres_server *self);
/* Throws its clients out and ends. */
void postgres_server_stop(postgres_server *self);
/* Ends it, and removes the folder. */
void postgres_server_remove(postgres_server *self);
/* postgres://… through the socket, as superuser, with options ("" or "schema=a&b=c"). */
void postgres_server_url(const postgres_server *self, const char *options, char *url, size_t size);

#endif
