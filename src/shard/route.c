/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the shards of a node: one ring per ordered pair, written in batches. Three quarters of a
 * ring are for requests; the rest, and behind it an intrusive list, is for replies and control,
 * which are never refused: they are bounded by the asks that were accepted.
 *
 * Invariants
 * 1. What one shard sends another arrives in that order.
 * 2. A request is refused (BUSY) before it is made, or it arrives.
 * 3. Reading a link never waits for writing one.
 */
#include "shard/away.h"
#include "shard/durable.h"
#include "shard/wake.h"

#define DRAIN_MAX 1024 /* per link and pass */

static void put(tp_shard *shard, tp_link_out *link, tp_message *message)
{
    shard->sent++;
    if (TP_LIKELY(tp_fifo_is_empty(&link->waiting)) && tp_spsc_put(link->ring, message)) {
        link->staged = true;
        return;
    }
    TP_MARK(shard, "reply waits for room in a ring");
    tp_fifo_push_back(&link->waiting, &message->node);
}

void tp_send_control(tp_shard *shard, uint32_t to, tp_message *message)
{
    if (to == shard->number) {
        tp_dispatch(shard, message);
        return;
    }
    if (TP_UNLIKELY(tp_is_away(to))) {
        shard->away->send(shard->away, to, message);
        return;
    }
    put(shard, &shard->links[to], message);
}

/* What another node said of a mailbox lasts so long, if it is not said again. */
#define MARK_TIME TROUPE_MILLISECONDS(100)

void tp_show_full(tp_shard *shard, uint64_t hash)
{
    tp_full_put(&shard->full, hash);
    if (atomic_load_explicit(&shard->full.crossed, memory_order_relaxed) != 0)
        TP_MARK(shard, "full mailboxes share bits");
    tp_crowd(shard, TP_CROWDED_FULL, true);
}

void tp_show_room(tp_shard *shard, uint64_t hash)
{
    tp_full_take(&shard->full, hash);
    if (shard->full.count == 0)
        tp_crowd(shard, TP_CROWDED_FULL, false);
}

/* The first is the oldest. */
static void drop_mark(tp_shard *shard, uint32_t at)
{
    tp_show_room(shard, shard->marks[at].hash);
    shard->mark_count--;
    memmove(&shard->marks[at], &shard->marks[at + 1],
        (shard->mark_count - at) * sizeof shard->marks[0]);
}

static void marks_fire(tp_shard *shard, tp_alarm *alarm)
{
    (void)alarm;
    while (shard->mark_count != 0 && shard->marks[0].until <= shard->now)
        drop_mark(shard, 0);
    if (shard->mark_count != 0)
        tp_alarm_set(shard, &shard->marks_due, shard->marks[0].until, marks_fire);
}

void tp_mark_clear(tp_shard *shard, uint64_t hash)
{
    for (uint32_t at = 0; at < shard->mark_count; at++) {
        if (shard->marks[at].hash != hash)
            continue;
        drop_mark(shard, at);
        return;
    }
}

void tp_mark_full(tp_shard *shard, uint64_t hash)
{
    tp_mark_clear(shard, hash);
    if (tp_activation_is_here(shard, hash))
        return; /* that is nothing that another node knows */
    if (shard->mark_count == TP_MARKS)
        drop_mark(shard, 0); /* it is said again */
    shard->marks[shard->mark_count].hash = hash;
    shard->marks[shard->mark_count++].until = tp_time_after(tp_clock(shard), MARK_TIME);
    tp_show_full(shard, hash);
    if (shard->mark_count == 1)
        tp_alarm_set(shard, &shard->marks_due, shard->marks[0].until, marks_fire);
}

void tp_crowd(tp_shard *shard, tp_crowding why, bool is_so)
{
    unsigned before = atomic_load_explicit(&shard->crowded, memory_order_relaxed);
    unsigned after = is_so ? before | (unsigned)why : before & ~(unsigned)why;
    atomic_store_explicit(&shard->crowded, (uint8_t)after, memory_order_relaxed);
}

void tp_hold_back_all(tp_shard *shard, const uint64_t bits[TP_HELD_BACK / 64])
{
    bool is_any = false;
    for (uint32_t i = 0; i < TP_HELD_BACK / 64; i++) {
        atomic_store_explicit(&shard->held_back[i], bits[i], memory_order_relaxed);
        is_any = is_any || bits[i] != 0;
    }
    tp_crowd(shard, TP_CROWDED_AWAY, is_any);
}

tp_crowding tp_crowding_among(const tp_shard *shard, unsigned crowded, uint64_t hash, bool is_tell)
{
    if ((crowded & TP_CROWDED_FULL) && tp_full_has(&shard->full, hash))
        return TP_CROWDED_FULL;
    if (!is_tell)
        return TP_NOT_CROWDED;
    if (crowded & (TP_CROWDED_HERE | TP_CROWDED_SHORT))
        return crowded & TP_CROWDED_HERE ? TP_CROWDED_HERE : TP_CROWDED_SHORT;
    uint64_t bit = tp_held_back_bit(hash);
    uint64_t bits = atomic_load_explicit(&shard->held_back[bit / 64], memory_order_relaxed);
    return (crowded & TP_CROWDED_AWAY) && (bits >> bit % 64 & 1) ? TP_CROWDED_AWAY
                                                                 : TP_NOT_CROWDED;
}

static void count_crowding(tp_shard *shard, tp_crowding crowding)
{
    tp_counters *counters = &shard->counters;
    tp_count(crowding == TP_CROWDED_FULL    ? &counters->busy_mailbox
             : crowding == TP_CROWDED_HERE  ? &counters->busy_actors
             : crowding == TP_CROWDED_SHORT ? &counters->busy_memory
                                            : &counters->busy_link);
}

/* Requests and replies under way, exactly. */
static uint32_t ring_length(tp_spsc *ring)
{
    ring->consumed_seen = atomic_load_explicit(&ring->consumed, memory_order_acquire);
    return ring->staged - ring->consumed_seen;
}

troupe_status tp_send_room(tp_shard *shard, uint32_t to, uint64_t hash, bool is_tell)
{
    tp_crowding crowding = tp_crowding_of(shard->shared->shards[to], hash, is_tell);
    if (TP_UNLIKELY(crowding != TP_NOT_CROWDED)) {
        count_crowding(shard, crowding);
        return TROUPE_BUSY;
    }
    if (to == shard->number)
        return TROUPE_OK;
    tp_link_out *link = &shard->links[to];
    if (TP_LIKELY(tp_fifo_is_empty(&link->waiting)) &&
        tp_spsc_room(link->ring) > (link->ring->producer_mask + 1) / 4) {
        uint32_t limit = shard->shared->options.link_limit;
        if (link->ring->staged - link->ring->consumed_seen < limit ||
            ring_length(link->ring) < limit)
            return TROUPE_OK;
    }
    tp_count(&shard->counters.busy_link);
    TP_MARK(shard, "link is full");
    return TROUPE_BUSY;
}

void tp_send_request(tp_shard *shard, uint32_t to, tp_message *message)
{
    if (to == shard->number) {
        tp_arrivals_push(shard, message);
        return;
    }
    put(shard, &shard->links[to], message);
}

void tp_reply_send(tp_shard *shard, uint32_t to, tp_message *reply)
{
    if (TP_UNLIKELY(shard->gated != NULL)) {
        tp_gate_reply(shard->gated, to, reply);
        return;
    }
    tp_reply_leave(shard, to, reply);
}

void tp_reply_leave(tp_shard *shard, uint32_t to, tp_message *reply)
{
    TP_TRACE(shard, TP_TRACE_REPLY, reply->from.slot);
    if (TP_MUTANT(shard, TP_MUTANT_LOST_REPLY) && tp_prng_chance(&shard->prng, 1, 64)) {
        tp_pool_give(&shard->pool, reply);
        return;
    }
    if (to == shard->number) {
        tp_ask_reply(shard, reply);
    } else if (TP_UNLIKELY(tp_is_away(to))) {
        shard->away->send(shard->away, to, reply);
    } else {
        put(shard, &shard->links[to], reply);
    }
}

void tp_links_flush(tp_shard *shard)
{
    tp_shared *shared = shard->shared;
    for (uint32_t to = 0; to < shared->shard_count; to++) {
        tp_link_out *link = &shard->links[to];
        while (TP_UNLIKELY(!tp_fifo_is_empty(&link->waiting)) && tp_spsc_room(link->ring) != 0 &&
               !TP_MUTANT(shard, TP_MUTANT_FORGET_WAITING)) {
            tp_message *message = tp_message_of(tp_fifo_pop_front(&link->waiting));
            if (!tp_spsc_put(link->ring, message))
                TP_ASSERT(!"a ring with room takes");
            link->staged = true;
        }
        if (!link->staged)
            continue;
        link->staged = false;
        tp_spsc_publish(link->ring);
        shared->env->runner_wake(shared->env, &shared->shards[to]->runner);
    }
}

bool tp_links_wait(const tp_shard *shard)
{
    for (uint32_t to = 0; to < shard->shared->shard_count; to++)
        if (!tp_fifo_is_empty(&shard->links[to].waiting))
            return true;
    return false;
}

void tp_dispatch(tp_shard *shard, tp_message *message)
{
    switch (message->kind) {
    case TP_TELL:
    case TP_ASK:
        tp_arrivals_push(shard, message);
        return;
    case TP_REPLY:
        tp_ask_reply(shard, message);
        return;
    case TP_CANCEL:
        tp_arrivals_flush(shard); /* what it withdraws came before it */
        tp_cancel_arrived(shard, message);
        return;
    case TP_PROBE:
        tp_arrivals_flush(shard);
        tp_probe_arrived(shard, message);
        return;
    case TP_ACKED:
        tp_outbox_acked(shard, message);
        return;
    case TP_WAKE:
        tp_wake_arrived(shard, message);
        return;
    default:
        TP_ASSERT(!"ticks and answers do not travel");
    }
}

/* A reply leads to a slot, and that to a parked turn: with many in flight each is a miss that hides
 * the next. */
static void prefetch_slot(tp_shard *shard, const tp_message *message)
{
    uint32_t slot = message->from.slot;
    if (message->kind == TP_REPLY && slot / TP_ASK_CHUNK < shard->ask_chunks)
        __builtin_prefetch(&shard->asks[slot / TP_ASK_CHUNK][slot % TP_ASK_CHUNK], 1);
}

static void prefetch_waiter(tp_shard *shard, const tp_message *message)
{
    const tp_ask *ask = message->kind == TP_REPLY ? tp_ask_find(shard, message->from) : NULL;
    if (ask == NULL || ask->kind != TP_ASK_TURN)
        return;
    const char *turn = (const char *)ask->waiter.turn;
    __builtin_prefetch(turn + offsetof(troupe_turn, wait), 1);
    __builtin_prefetch(turn + offsetof(troupe_turn, fiber), 1);
    __builtin_prefetch(turn + offsetof(troupe_turn, wait_answer), 1);
}

static bool drain(tp_shard *shard, tp_spsc *ring)
{
    void *batch[32];
    uint32_t total = 0;
    for (;;) {
        uint32_t count = tp_spsc_take(ring, batch, 32);
        if (count == 0)
            return false;
        for (uint32_t i = 0; i < count; i++) {
            __builtin_prefetch(batch[i]);
            __builtin_prefetch((char *)batch[i] + 64);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (i + 4 < count)
                prefetch_slot(shard, batch[i + 4]);
            if (i + 2 < count)
                prefetch_waiter(shard, batch[i + 2]);
            tp_dispatch(shard, batch[i]);
        }
        shard->received += count;
        total += count;
        if (total >= DRAIN_MAX)
            return true;
    }
}

bool tp_links_drain(tp_shard *shard)
{
    bool more = false;
    for (uint32_t from = 0; from < shard->shared->shard_count; from++) {
        /* What is published just after the look comes with the next pass: a world lets that happen
         * often. */
        if (shard->env->choose != NULL && shard->incoming[from] != NULL &&
            shard->env->choose(shard->env, 8) == 0) {
            more |= !tp_spsc_is_empty(shard->incoming[from]);
            continue;
        }
        if (shard->incoming[from] != NULL)
            more |= drain(shard, shard->incoming[from]);
    }
    return more;
}
