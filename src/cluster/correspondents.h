/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shards of other nodes that one shard answers to, as numbers: what stands in a message where
 * the number of a shard of this node would stand (shard/away.h). A number is given once and names
 * the same shard of the same incarnation as long as this shard lives.
 *
 * Bounded: TP_CORRESPONDENTS_MAX; those of incarnations that are gone are given anew when all
 * others are taken, which after so many restarts of peers no message remembers. Threads: one owner.
 */
#ifndef TP_CLUSTER_CORRESPONDENTS_H
#define TP_CLUSTER_CORRESPONDENTS_H

#include "base/index.h"
#include "shard/away.h"

#define TP_CORRESPONDENTS_MAX 32000u

typedef struct tp_correspondent {
    uint64_t peer;  /* incarnation; 0: one that is no member, whose answers go nowhere */
    uint16_t shard; /* that asks */
    uint16_t agent; /* shard of the peer through which the answer goes */
    uint16_t number;
    bool is_gone;
} tp_correspondent;

typedef struct tp_correspondents {
    const troupe_allocator *allocator;
    tp_correspondent **list; /* by number - TP_AWAY_FIRST */
    uint32_t count, room;
    tp_index index;
} tp_correspondents;

TROUPE_CHECK troupe_status tp_correspondents_init(
    tp_correspondents *self, const troupe_allocator *allocator);
void tp_correspondents_deinit(tp_correspondents *self);

/* Its number; 0: no memory, or none is left. */
uint32_t tp_correspondents_get(
    tp_correspondents *self, uint64_t peer, uint16_t shard, uint16_t agent);
void tp_correspondents_gone(tp_correspondents *self, uint64_t peer);

static inline const tp_correspondent *tp_correspondents_at(
    const tp_correspondents *self, uint32_t number)
{
    return self->list[number - TP_AWAY_FIRST];
}

#endif
