/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a reload: what each activation of a shard follows is set anew, its idle age and whether its
 * mailbox is shown full. Some at a time, one lot in each pass, so that turns go on in between
 * however many there are; which options changed is src/node/reload.c's.
 *
 * Invariants
 * 1. Whoever was there when it began, and still is when it ends, was looked at.
 * 2. One that begins while another is under way takes its place, and does what either was to do.
 *
 * Threads: the shard's.
 */
#include "shard/shard.h"

enum { LOT = 512 };

void tp_renew(tp_shard *shard, bool idle)
{
    shard->renewal.is_due = true;
    shard->renewal.idle |= idle;
    shard->renewal.cursor = 0;
}

static void renew_idle(tp_shard *shard, tp_activation *actor)
{
    if (!(actor->flags & TP_LIVE))
        return; /* it takes the new age when it is */
    if (TP_LIVE_GET(actor->type->is.idle) == TROUPE_NEVER)
        tp_alarm_cancel(shard, &actor->idle);
    else
        tp_idle_watch(shard, actor);
}

bool tp_renew_some(tp_shard *shard)
{
    void *item;
    for (int i = 0; i < LOT; i++) {
        if (!tp_index_each(&shard->table, &shard->renewal.cursor, &item)) {
            shard->renewal.is_due = shard->renewal.idle = false;
            return false;
        }
        tp_activation *actor = item;
        if ((actor->flags & TP_SHOWN_FULL) && tp_mailbox_is_half(actor))
            tp_mailbox_clear(shard, actor);
        if (shard->renewal.idle)
            renew_idle(shard, actor);
    }
    return true;
}
