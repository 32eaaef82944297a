/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A probe for deadlocks: the payload of a TP_PROBE. deadlock.c makes and reads them; between nodes
 * src/cluster carries them (cluster/follow.h).
 *
 * Invariants
 * 1. It means the same on every shard of every node: askers are named by node, shard and slot, and
 * not by the numbers that a shard has for those of other nodes (away.h).
 * 2. 1 <= hops <= TP_PROBE_HOPS, at < hops, path_size <= TP_PROBE_PATH. What came from another node
 * was checked for it.
 */
#ifndef TP_SHARD_PROBE_H
#define TP_SHARD_PROBE_H

#include "shard/message.h"

#define TP_PROBE_HOPS   64
#define TP_PROBE_PATH   2048
#define TP_PROBE_RELAYS 4 /* nodes that a probe or cancel may pass on its way to one actor */

typedef enum tp_probe_round {
    TP_PROBE_SEARCHES = 1,
    TP_PROBE_CONFIRMS,
    TP_PROBE_GOES_HOME, /* for another search, to who asks edges[0] */
    TP_PROBE_ENDS,      /* the ask edges[at], which closes the cycle */
    TP_PROBE_ROUNDS
} tp_probe_round;

/* An ask that a turn waits for. */
typedef struct tp_probe_edge {
    tp_call call;   /* a slot of `shard` of `node` */
    uint64_t asked; /* when, by the clock of its asker: for youth */
    uint64_t hash;  /* of its target */
    uint64_t node;  /* incarnation; 0: this node is alone */
    uint16_t shard;
    bool queued; /* it waits in the mailbox; else a turn serves it */
} tp_probe_edge;

typedef struct tp_probe {
    uint64_t search; /* its number, of no other search of any node */
    uint32_t round;
    uint32_t hops; /* edges found; edges[0] is what the turn that it began with waits for */
    uint32_t at;   /* the edge whose target is visited */
    uint32_t path_size;
    tp_probe_edge edges[TP_PROBE_HOPS];
    char path[TP_PROBE_PATH]; /* the message has path_size of it */
} tp_probe;

/* A message of it. NULL: no memory. */
tp_message *tp_probe_make(tp_pool *pool, const tp_probe *probe);

#endif
