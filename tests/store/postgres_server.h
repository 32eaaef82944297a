/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL server of the test's own: its data lie in a new folder of the temporary one, it
 * listens on a Unix socket there and on a free port of the loopback, and it runs as user postgres,
 * for it refuses root. Called by the tests and benchmarks of the provider.
 *
 * Invariants: stopped by the number of its process, never by its name.
 * Threads: one.
 */
#ifndef TEST_STORE_POSTGRES_SERVER_H
#define TEST_STORE_POSTGRES_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct postgres_server {
    char folder[128];
    char programs[128]; /* where initdb and postgres are */
    int port;
    pid_t process; /* 0: it does not run */
    bool as_other; /* we are root */
    uid_t user;
    gid_t group;
} postgres_server;

/* 0: it runs. 77: PostgreSQL is not installed, said loudly. Else it failed, and its log was shown.
 * `settings` are lines of postgresql.conf. */
int postgres_server_create(postgres_server *server, const char *settings);
/* Runs it again after a stop, perhaps with more settings. */
int postgres_server_start(postgres_server *server, const char *more_settings);
/* At once: its clients are thrown out; what it called done is durable. */
void postgres_server_stop(postgres_server *server);
/* As kill -9 of the whole server. */
void postgres_server_kill(postgres_server *server);
void postgres_server_signal(postgres_server *server, int number);
/* Stops it and removes its folder. */
void postgres_server_destroy(postgres_server *server);
/* postgres://… through the socket, as the superuser, with the options ("" or "schema=a&b=c"). */
void postgres_server_url(
    const postgres_server *server, const char *options, char *url, size_t size);

#endif
