/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a cluster's own traffic grows with its nodes: opens many nodes of the product's own code in
 * one simulated world, leaves them alone, lets one more join and one leave, and counts what went
 * over the network and to the membership store. Nothing goes wrong there: what must hold when
 * something does is town.h. For bench/sim.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_SCALE_H
#define TP_TESTKIT_SCALE_H

#include <stdbool.h>
#include <stdint.h>

/* Of all nodes together. */
typedef struct tp_scale_traffic {
    uint64_t duration;      /* ns of the world's clock */
    uint64_t writes, bytes; /* of connections */
    uint64_t raises, reads; /* calls of the store: of leases, of views */
    uint64_t looks, rows;   /* reads of the registers, and registers in them */
    uint64_t view_bytes;    /* of views that were read from the store, or written to it */
    uint64_t views;         /* numbers that passed */
} tp_scale_traffic;

typedef struct tp_scale {
    uint32_t nodes;
    uint64_t seed;
    tp_scale_traffic rest, join, leave;
    /* ns from the begin of the change until each node has the view and no directory is at work */
    uint64_t join_settles, leave_settles;
    uint64_t view_size; /* bytes of its text, at the end */
} tp_scale;

/* Fills in all but `nodes` and `seed`. False: something did not open, or did not settle. */
bool tp_scale_run(tp_scale *scale);

#endif
