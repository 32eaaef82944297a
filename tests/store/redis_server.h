/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A redis-server for tests: append-only file synced at each write, behind a socket in its folder.
 * For the tests of the provider `redis`.
 *
 * Threads: the test's one.
 */
#ifndef TEST_STORE_REDIS_SERVER_H
#define TEST_STORE_REDIS_SERVER_H

#include "servers.h"

typedef struct redis_server {
    test_server server;
    char program[SERVER_PATH];
    char socket[SERVER_PATH + 16];
    int port; /* 0: none */
} redis_server;

/* Starts it, the first time in a new folder; returns when it answers. `options`: more arguments of
 * redis-server, ends with NULL; NULL: none. False: after a line if it is not installed. */
bool redis_server_start(redis_server *self, const char *const *options);
/* Forgets all data. */
bool redis_server_clean(redis_server *self);
/* One command, of up to 6 words: whether it is answered by no error. */
bool redis_server_say(redis_server *self, const char *const *words);
/* The same, with what arrived of the answer. */
bool redis_server_ask(redis_server *self, const char *const *words, char *out, size_t size);
/* Ends it, and removes the folder. */
void redis_server_remove(redis_server *self);

#endif
