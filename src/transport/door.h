/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of a node: the one address at which it listens, and the few bytes that say to whom a
 * connection wants to go. It reads the preamble (wire/hello.h) and hands the connection on; who
 * comes in is proven by the hello, behind it.
 *
 * Invariants
 * 1. What is no preamble, or does not come in time, is closed with a line in the log.
 *
 * Bounded: TP_DOOR_GUESTS that have not said what they want; beyond them the newest is dropped.
 * Threads: the runner's.
 */
#ifndef TP_TRANSPORT_DOOR_H
#define TP_TRANSPORT_DOOR_H

#include "os/env.h"
#include "wire/hello.h"

#define TP_DOOR_GUESTS 64

typedef struct tp_door tp_door;

typedef struct tp_door_options {
    tp_env *env;
    tp_runner *runner;
    const troupe_allocator *allocator;
    const char *address;
    uint64_t patience; /* ns for a preamble; 0: 5 s */
    /* A connection and what was read of it behind its preamble; the socket is the callee's. */
    void (*come)(
        void *user, tp_socket socket, tp_preamble preamble, const void *rest, size_t rest_size);
    /* [any line] As in channels.h; may be NULL. */
    void (*log)(void *user, int level, const char *event, const char *peer, const char *text);
    void *user;
} tp_door_options;

/* As tp_net.listen. */
TROUPE_CHECK troupe_status tp_door_open(
    const tp_door_options *options, tp_door **ret_door, char *error, size_t error_size);
void tp_door_close(tp_door *door); /* NULL is a no-op */
/* With the port that was taken. */
void tp_door_address(const tp_door *door, char *out, size_t size);
/* Hands on who has said what it wants; returns when to be called again. */
uint64_t tp_door_pass(tp_door *door, uint64_t now);
bool tp_door_has_arrivals(const tp_door *door);

#endif
