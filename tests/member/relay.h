/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way to a server that can be cut: it passes bytes between a port of the loopback and the server,
 * until it is told to hold them, as a network does that is down: connections stay, nothing moves,
 * new ones are not answered. It can be made slow, too. For the tests of this folder.
 *
 * Threads: one of its own passes bytes; the test's starts, cuts, mends and stops it.
 */
#ifndef TEST_MEMBER_RELAY_H
#define TEST_MEMBER_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { RELAY_PAIRS = 32 };

typedef struct relay {
    int port;       /* to connect to */
    char path[220]; /* of the server's socket; empty: */
    int to_port;    /* its port */
    int listener;
    int pairs[RELAY_PAIRS][2]; /* its thread's; -1: none */
    atomic_bool is_cut, ends;
    atomic_int delay; /* ms that what comes waits */
    pthread_t thread;
} relay;

/* `path`: of a Unix socket; NULL: to_port of the loopback. */
bool relay_start(relay *self, const char *path, int to_port);
void relay_stop(relay *self);
void relay_cut(relay *self);
/* What was held is lost, with the connections. */
void relay_mend(relay *self);
/* From now on what comes is handed on after `delay` ms; 0: at once. */
void relay_slow(relay *self, int delay);

#endif
