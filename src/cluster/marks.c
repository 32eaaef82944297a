/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes tell each other of full mailboxes: FULL, so that who tells more is refused where he
 * is, and CLEAR when it is half empty. Both are hints: a FULL that gets lost is said again, and
 * lasts for a moment if its CLEAR does.
 *
 * Threads: the shard's.
 */
#include "cluster/outpost_inside.h"

#define FULL_AGAIN 16 /* messages that come in spite of it, until it is said again */

/* False: it does not get there. */
static bool say_mark(tp_outpost *self, tp_frame_kind kind, uint64_t origin, uint64_t hash)
{
    const tp_view_member *member = tp_chart_member(self->chart, origin);
    if (member == NULL)
        return false;
    uint32_t agent = tp_hash_shard(hash, member->shards);
    tp_channel *channel = tp_channels_find(self->channels, origin, (uint16_t)agent);
    char *at;
    uint64_t number;
    if (channel == NULL ||
        tp_session_put(&channel->session, kind, 0, TP_WIRE_MARK_BYTES, &at, &number) != TROUPE_OK)
        return false; /* a hint: it is said again */
    tp_wire_mark_put(at, hash);
    return true;
}

bool tp_outpost_say_full(tp_outpost *self, uint64_t origin, uint64_t hash, uint32_t waiting)
{
    if (waiting % FULL_AGAIN != 0 || !say_mark(self, TP_FRAME_FULL, origin, hash))
        return false;
    TP_MARK(self->shard, "another node hears that a mailbox is full");
    return true;
}

void tp_outpost_say_mailbox_full(tp_outpost *self, uint64_t origin, const tp_activation *actor)
{
    if (!tp_outpost_say_full(self, origin, actor->hash, actor->queued))
        return; /* who has not heard it has nothing to hear when there is room */
    for (uint32_t i = 0; i < TP_TOLD_FULL; i++)
        if (self->told_full[i].hash == actor->hash && self->told_full[i].origin == origin)
            return;
    uint32_t at = self->told_full_at++ % TP_TOLD_FULL;
    self->told_full[at].hash = actor->hash;
    self->told_full[at].origin = origin;
}

void tp_outpost_has_room(tp_away *away, const tp_activation *actor)
{
    tp_outpost *self = (tp_outpost *)(void *)away;
    for (uint32_t i = 0; i < TP_TOLD_FULL; i++) {
        if (self->told_full[i].hash != actor->hash || self->told_full[i].origin == 0)
            continue;
        (void)say_mark(self, TP_FRAME_CLEAR, self->told_full[i].origin, actor->hash);
        self->told_full[i].origin = 0;
    }
}

/* A mailbox elsewhere is full, or is not any more. It is said to the shard by way of which all of
 * this node tell it. */
const char *tp_outpost_take_mark(tp_outpost *self, const tp_session_frame *frame)
{
    uint64_t hash;
    const char *fault = tp_wire_mark_get(frame->body, &hash);
    if (fault == NULL && frame->kind == TP_FRAME_FULL)
        tp_mark_full(self->shard, hash);
    else if (fault == NULL)
        tp_mark_clear(self->shard, hash);
    return fault;
}
