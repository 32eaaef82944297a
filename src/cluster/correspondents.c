/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for the shards of other nodes. See correspondents.h. */
#include "cluster/correspondents.h"

#include "base/alloc.h"

static uint64_t hash_of(uint64_t peer, uint16_t shard, uint16_t agent)
{
    return peer << 32 | (uint64_t)shard << 16 | agent;
}

static bool is_same(const void *item, const void *key)
{
    const tp_correspondent *left = item, *right = key;
    return left->peer == right->peer && left->shard == right->shard && left->agent == right->agent;
}

troupe_status tp_correspondents_init(tp_correspondents *self, const troupe_allocator *allocator)
{
    *self = (tp_correspondents){.allocator = allocator};
    return tp_index_init(&self->index, allocator, 8);
}

void tp_correspondents_deinit(tp_correspondents *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        tp_release(self->allocator, self->list[i], sizeof *self->list[i]);
    tp_release(self->allocator, self->list, self->room * sizeof *self->list);
    tp_index_deinit(&self->index);
}

static bool make_room(tp_correspondents *self)
{
    if (self->count < self->room)
        return true;
    uint32_t room = self->room != 0 ? self->room * 2 : 16;
    tp_correspondent **grown = tp_allocate(self->allocator, room * sizeof *grown);
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; i < self->count; i++)
        grown[i] = self->list[i];
    tp_release(self->allocator, self->list, self->room * sizeof *self->list);
    self->list = grown;
    self->room = room;
    return true;
}

/* One whose incarnation is gone becomes another; 0: there is none. */
static uint32_t take_gone(tp_correspondents *self, const tp_correspondent *wanted)
{
    for (uint32_t i = 0; i < self->count; i++) {
        tp_correspondent *old = self->list[i];
        if (!old->is_gone)
            continue;
        if (tp_index_insert(&self->index, hash_of(wanted->peer, wanted->shard, wanted->agent),
                old) != TROUPE_OK)
            return 0;
        tp_index_remove(&self->index, hash_of(old->peer, old->shard, old->agent), old);
        *old = *wanted;
        old->number = (uint16_t)(TP_AWAY_FIRST + i);
        return old->number;
    }
    return 0;
}

uint32_t tp_correspondents_get(
    tp_correspondents *self, uint64_t peer, uint16_t shard, uint16_t agent)
{
    const tp_correspondent wanted = {.peer = peer, .shard = shard, .agent = agent};
    uint64_t hash = hash_of(peer, shard, agent);
    const tp_correspondent *found = tp_index_find(&self->index, hash, is_same, &wanted);
    if (found != NULL)
        return found->number;
    if (self->count == TP_CORRESPONDENTS_MAX)
        return take_gone(self, &wanted);
    tp_correspondent *made = make_room(self) ? tp_allocate(self->allocator, sizeof *made) : NULL;
    if (made == NULL)
        return 0;
    *made = wanted;
    if (tp_index_insert(&self->index, hash, made) != TROUPE_OK) {
        tp_release(self->allocator, made, sizeof *made);
        return 0;
    }
    made->number = (uint16_t)(TP_AWAY_FIRST + self->count);
    self->list[self->count++] = made;
    return made->number;
}

void tp_correspondents_gone(tp_correspondents *self, uint64_t peer)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->list[i]->peer == peer)
            self->list[i]->is_gone = true;
}
