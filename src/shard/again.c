/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls once that nobody waits for on a stack (a callback, a part of a gather) are asked again by
 * their slot when the way to their actor broke: the same message, until its deadline. Those that
 * wait ask again by themselves (calls.c, node/client.c); which are asked again at all is retry.c.
 *
 *     keep   the call is made: its slot keeps a copy of the message
 *     asks   its answer is that its way broke: not an end, but a pause
 *     drop   the slot ends, whatever ends it
 *
 * Invariants
 * 1. All attempts have the same slot, generation and key, so an answer to any of them is the
 * call's: by the key they are one.
 * 2. Only an answer that came over the way asks again. What its actor's gate has not let out rests
 * on a commit that failed: its slot is ended (tp_ask_end).
 *
 * Threads: the shard's own.
 */
#include "shard/again.h"

#include "shard/quick.h"

struct tp_again {
    tp_alarm alarm; /* set: it pauses */
    tp_message *message;
    uint32_t attempt;
};

static void send(tp_shard *shard, tp_alarm *alarm);

static uint64_t pause_of(tp_shard *shard, const tp_again *self)
{
    static const troupe_retry usual = {0};
    return tp_retry_pause(&usual, self->attempt, tp_prng_next(&shard->prng));
}

static void wait(tp_shard *shard, tp_again *self, uint64_t pause)
{
    tp_alarm_set(shard, &self->alarm, tp_time_after(tp_clock(shard), pause), send);
}

static void send(tp_shard *shard, tp_alarm *alarm)
{
    tp_again *self = TP_CONTAINER(alarm, tp_again, alarm);
    const tp_message *kept = self->message;
    uint32_t to = tp_hash_shard(kept->hash, shard->shared->shard_count);
    bool may = tp_send_room(shard, to, kept->hash, false) == TROUPE_OK;
    tp_message *message = may ? tp_message_copy(&shard->pool, kept) : NULL;
    if (message == NULL) {
        wait(shard, self, pause_of(shard, self)); /* until its deadline ends it */
        return;
    }
    TP_MARK(shard, "once is asked again");
    tp_send_request(shard, to, message);
}

troupe_status tp_again_keep(tp_shard *shard, tp_call call, const tp_message *message)
{
    tp_again *self = tp_pool_take(&shard->pool, sizeof *self);
    tp_message *copy = self != NULL ? tp_message_copy(&shard->pool, message) : NULL;
    if (copy == NULL) {
        tp_pool_give(&shard->pool, self);
        tp_count(&shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    *self = (tp_again){.message = copy};
    tp_ask_find(shard, call)->again = self;
    return TROUPE_OK;
}

bool tp_again_asks(tp_shard *shard, tp_ask *ask, troupe_status status)
{
    tp_again *self = ask->again;
    if (self == NULL || status != TROUPE_UNKNOWN)
        return false;
    self->attempt++;
    uint64_t pause = pause_of(shard, self);
    if (tp_time_after(tp_clock(shard), pause) >= self->message->deadline)
        return false;
    wait(shard, self, pause);
    return true;
}

bool tp_again_pauses(const tp_ask *ask)
{
    return ask->again != NULL && tp_timer_is_set(&ask->again->alarm.timer);
}

void tp_again_drop(tp_shard *shard, tp_ask *ask)
{
    tp_again *self = ask->again;
    if (self == NULL)
        return;
    ask->again = NULL;
    tp_alarm_cancel(shard, &self->alarm);
    tp_pool_give(&shard->pool, self->message);
    tp_pool_give(&shard->pool, self);
}
