/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The port through which shards reach the store of their node: operations as <troupe/provider.h>
 * has them, ended by their `done`. How they come to a provider is src/node/storage.c.
 *
 * Invariants
 * 1. Each operation ends exactly once: on the caller's thread before submit returns, or later on
 * any thread. `done` is the last touch of it.
 * 2. Operations that one thread submits are run in that order.
 * 3. BUSY: too many wait; UNAVAILABLE: the node has closed its store. Nothing was done.
 */
#ifndef TP_STORE_PORT_H
#define TP_STORE_PORT_H

#include <troupe/provider.h>

typedef struct tp_store_port tp_store_port;
struct tp_store_port {
    /* [any thread] A list linked by `next`, which is the port's until `done`. */
    void (*submit)(tp_store_port *port, troupe_store_op *first);
    bool durable;
    bool own;        /* no other node sees what is in it */
    bool immediate;  /* all ends before submit returns, on the caller's thread */
    uint64_t writer; /* of this run of the node */
};

#endif
