/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node that is played: what the gateway asks of its host is answered by the test, over the real
 * threads and sockets, so that a test chooses when somebody answers and what fails. And a caller
 * over HTTP, of one request each connection.
 *
 * Invariants: one at a time. Threads: the test's; the functions of the host come on the gateway's.
 */
#ifndef TESTS_GATEWAY_STAND_IN_H
#define TESTS_GATEWAY_STAND_IN_H

#include "gateway/gateway.h"

typedef struct stand_in {
    tp_env *env;
    tp_gateway_host host; /* may be changed before it is opened */
    tp_gateway *gateway;
    char address[64];
    /* Looks at where an actor is, and who subscribes, wait while it is shut. */
    _Atomic bool is_shut;
    _Atomic uint32_t looks; /* that have come */
    /* Whoever asks for its metrics waits while this is set, and with it the library's thread. */
    _Atomic bool is_held;
    _Atomic bool is_asked; /* somebody has */
    /* Of what is stored: as often there is no memory to show it. */
    _Atomic uint32_t loads, shows, failures;
} stand_in;

void stand_in_init(stand_in *self);
/* Opens the gateway; its status. */
troupe_status stand_in_open(stand_in *self);
void stand_in_close(stand_in *self);

/* A caller. -1 is no answer. */
int caller_send(const stand_in *self, const char *method, const char *path);
/* The code of its answer, waited for up to `patience_ms`; -1: there is none. It stays open. */
int caller_code(int caller, int patience_ms);
/* Does its answer have that text within that time? What came behind it is lost. */
bool caller_shows(int caller, const char *text, int patience_ms);
/* Does its answer end within that time? Closes it. */
bool caller_ends(int caller, int patience_ms);
int caller_ask(const stand_in *self, const char *method, const char *path);

#endif
