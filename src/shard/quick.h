/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small steps that every message goes through, to be inlined: clock, begin and end of a step,
 * into a mailbox and out of it, slots of asks. The rest of shard.h, which includes it; nothing else
 * does.
 *
 * Invariants
 * 1. `watched` names the actor whose step runs, and `turns_begun` is odd, exactly while one runs.
 * 2. The counts of a mailbox are those of what lies in it.
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_QUICK_H
#define TP_SHARD_QUICK_H

#include "shard/shard.h"

static inline uint32_t tp_pulse(const tp_shard *shard)
{
    return atomic_load_explicit(shard->pulse_at, memory_order_relaxed);
}

static inline uint64_t tp_clock_read(tp_shard *shard)
{
    shard->pulse = tp_pulse(shard);
    shard->now = shard->env->now(shard->env);
    return shard->now;
}

/* The time, at most some 10 ms old: a reading costs as much as a message. What begins now and is
 * not to end early begins at tp_clock_read. */
static inline uint64_t tp_clock(tp_shard *shard)
{
    if (TP_UNLIKELY(tp_pulse(shard) != shard->pulse))
        return tp_clock_read(shard);
    return shard->now;
}

/* Is this one to be timed? By chance: of what comes in a rhythm none is missed for ever. */
static inline bool tp_is_timed(tp_shard *shard)
{
    return TP_UNLIKELY(--shard->sample == 0) && tp_timing_draw(shard);
}

static inline void tp_activation_touch(tp_shard *shard, tp_activation *actor)
{
    actor->last_used = shard->now;
    actor->flags |= TP_USED;
}

/* A number that this shard gives once. Each shard of each node counts from a place of its own, so
 * that two give the same one, or one gives 0, by a chance of next to nothing. */
static inline uint64_t tp_shard_unique(tp_shard *shard)
{
    return ++shard->unique;
}

/* The call chain of a turn. Those of messages that begin one are numbered when they are first asked
 * for: most never are. */
static inline uint64_t tp_turn_chain(troupe_turn *turn)
{
    if (turn->chain == 0)
        turn->chain = tp_shard_unique(turn->shard);
    return turn->chain;
}

static inline uint64_t tp_time_after(uint64_t now, uint64_t duration)
{
    return duration >= TP_NEVER - now ? TP_NEVER : now + duration;
}

/* The end of a call's time. So much of a short one would be missed. */
static inline uint64_t tp_timeout_end(tp_shard *shard, uint64_t timeout)
{
    return tp_time_after(
        TP_UNLIKELY(timeout < TP_SHORT_TIME) ? tp_clock_read(shard) : tp_clock(shard), timeout);
}

/* A step begins and ends. The count is odd while one runs. */
static inline void tp_step_count(tp_shard *shard)
{
    atomic_store_explicit(&shard->runner.turns_begun,
        atomic_load_explicit(&shard->runner.turns_begun, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

static inline void tp_step_begins(tp_shard *shard, troupe_turn *turn)
{
    shard->running = turn;
    turn->pulse = tp_pulse(shard);
    atomic_store_explicit(&shard->watched_method,
        turn->message != NULL ? turn->message->method : TP_METHOD_OTHER, memory_order_relaxed);
    atomic_store_explicit(&shard->watched, turn->actor, memory_order_release);
    tp_step_count(shard);
}

/* The next message of the same actor, in the same frame: one turn ends, another begins. */
static inline void tp_step_next(tp_shard *shard, const tp_message *message)
{
    atomic_store_explicit(&shard->watched_method, message->method, memory_order_relaxed);
    atomic_store_explicit(&shard->runner.turns_begun,
        atomic_load_explicit(&shard->runner.turns_begun, memory_order_relaxed) + 2,
        memory_order_relaxed);
}

static inline void tp_step_ends(tp_shard *shard)
{
    shard->running = NULL;
    atomic_store_explicit(&shard->watched, NULL, memory_order_relaxed);
    tp_step_count(shard);
}

/* A fiber is there to go on: BUSY, CANCELLED, INTERRUPTED. */
TROUPE_CHECK static inline troupe_status tp_park_reserve(troupe_turn *turn)
{
    if (TP_UNLIKELY(turn->commits) && turn->kind != TP_TURN_DEACTIVATE)
        TROUPE_TRY(tp_commit_write(turn));
    const tp_shard *shard = turn->shard;
    const tp_shared *shared = shard->shared;
    if (TP_LIKELY(shard->spare_count != 0 && shard->parked_count < shared->options.max_fibers &&
                  !turn->interrupted && !turn->cancelled &&
                  atomic_load_explicit(&shared->closing, memory_order_relaxed) == TP_OPEN))
        return TROUPE_OK;
    return tp_park_reserve_slowly(turn);
}

/* The same before an ask. One of on_deactivate leaves when what that did so far is stored. */
TROUPE_CHECK static inline troupe_status tp_ask_reserve(troupe_turn *turn)
{
    if (TP_UNLIKELY(turn->commits) && turn->kind == TP_TURN_DEACTIVATE)
        TROUPE_TRY(tp_deactivation_asks(turn));
    return tp_park_reserve(turn);
}

static inline bool tp_arrivals_wait(const tp_shard *shard)
{
    return shard->arrived != shard->taken_in;
}

/* The same, later and prefetched. */
static inline void tp_arrivals_push(tp_shard *shard, tp_message *message)
{
    tp_index_prefetch(&shard->table, message->hash);
    shard->arrivals[shard->arrived++ % TP_ARRIVALS] = message;
    if (TP_UNLIKELY(shard->arrived - shard->taken_in == TP_ARRIVALS))
        tp_arrivals_flush(shard);
}

/* It becomes ready. */
static inline void tp_unpark(troupe_turn *turn, troupe_status status)
{
    if (turn->wait == TP_WAIT_NONE)
        return;
    turn->wait = TP_WAIT_NONE;
    turn->wait_status = status;
    tp_fifo_push_back(&turn->shard->ready, &turn->ready);
}

static inline bool tp_needs_settling(const tp_activation *actor)
{
    return !tp_fifo_is_empty(&actor->mailbox) ||
           (actor->flags & (TP_LEAVE | TP_STOPPING | TP_MOVES));
}

/* Its TP_QUEUED is set. Each is counted, as those that yield wait for a count. */
static inline void tp_run_queue_push(tp_shard *shard, tp_activation *actor)
{
    shard->run_pushed++;
    tp_fifo_push_back(&shard->run_queue, &actor->run_node);
}

static inline void tp_schedule(tp_shard *shard, tp_activation *actor)
{
    if (actor->flags & TP_QUEUED)
        return;
    actor->flags |= TP_QUEUED;
    tp_run_queue_push(shard, actor);
}

/* A message comes in that the mailbox has room for; who calls sees that the actor is run. */
static inline void tp_mailbox_put(
    tp_shard *shard, tp_activation *actor, tp_message *message, size_t bytes)
{
    tp_fifo_push_back(&actor->mailbox, &message->node);
    actor->queued++;
    actor->received++;
    actor->queued_bytes += (uint32_t)bytes;
    shard->queued++;
}

/* What a message that came in sets going. */
static inline void tp_mailbox_rouse(
    tp_shard *shard, tp_activation *actor, const tp_message *message)
{
    if (TP_LIKELY(actor->phase == TP_ACTIVE && actor->turns == NULL)) {
        tp_schedule(shard, actor);
    } else {
        tp_mailbox_rouse_other(shard, actor, message);
    }
}

/* The counts, when a message has been taken out. */
static inline void tp_mailbox_taken(
    tp_shard *shard, tp_activation *actor, const tp_message *message)
{
    actor->queued--;
    actor->queued_bytes -= (uint32_t)tp_message_bytes(message);
    shard->queued--;
    if (TP_UNLIKELY(actor->flags & TP_SHOWN_FULL) && tp_mailbox_is_half(actor))
        tp_mailbox_clear(shard, actor);
}

/* The first message, which there is. The next is on its way to the cache meanwhile: if there is
 * one, as a prefetch of nowhere walks the page tables each time. */
static inline tp_message *tp_mailbox_take(tp_shard *shard, tp_activation *actor)
{
    tp_fifo_node *node = actor->mailbox.head;
    tp_message *message = tp_message_of(node);
    if (node->next != NULL) {
        __builtin_prefetch(node->next);
        __builtin_prefetch((const char *)node->next + TP_CACHE_LINE);
    }
    actor->mailbox.head = node->next;
    tp_mailbox_taken(shard, actor, message);
    return message;
}

static inline tp_ask *tp_ask_at(const tp_shard *shard, uint32_t slot)
{
    return &shard->asks[slot / TP_ASK_CHUNK][slot % TP_ASK_CHUNK];
}

/* NULL: it has ended. */
static inline tp_ask *tp_ask_find(const tp_shard *shard, tp_call call)
{
    if (TP_UNLIKELY(call.slot / TP_ASK_CHUNK >= shard->ask_chunks))
        return NULL;
    tp_ask *ask = tp_ask_at(shard, call.slot);
    if (ask->kind == TP_ASK_FREE)
        return NULL;
    return ask->generation == call.generation || TP_MUTANT(shard, TP_MUTANT_STALE_SLOT) ? ask
                                                                                        : NULL;
}

/* In the line if nobody in it is due later, and nobody who comes after may be due before. */
static inline void tp_ask_set_deadline(tp_shard *shard, tp_ask *ask, uint64_t deadline)
{
    const tp_link *last = shard->ask_line.head.previous;
    bool is_empty = last == &shard->ask_line.head;
    if (TP_UNLIKELY(
            deadline - shard->now > shard->ask_timeout ||
            (!is_empty &&
                TP_CONTAINER(last, const tp_ask, alarm.timer.link)->alarm.timer.due > deadline))) {
        if (deadline != TP_NEVER)
            tp_ask_set_alarm(shard, ask, deadline);
        return;
    }
    ask->in_line = true;
    ask->alarm.timer.due = deadline;
    tp_list_push_back(&shard->ask_line, &ask->alarm.timer.link);
    if (is_empty && TP_UNLIKELY(!tp_timer_is_set(&shard->ask_next.timer) ||
                                shard->ask_next.timer.due > deadline))
        tp_ask_set_line(shard, deadline);
}

/* The slot's waiter is to be set by who calls. */
TROUPE_CHECK static inline troupe_status tp_ask_open(tp_shard *shard, tp_ask_kind kind,
    uint64_t deadline, const tp_type *type, uint64_t hash, tp_call *ret_call, tp_ask **ret_ask)
{
    if (TP_UNLIKELY(
            shard->ask_free == UINT32_MAX || shard->pending >= shard->shared->options.max_asks))
        TROUPE_TRY(tp_ask_more(shard));
    uint32_t slot = shard->ask_free;
    tp_ask *ask = tp_ask_at(shard, slot);
    shard->ask_free = ask->next_free;
    ask->next_free = slot;
    ask->kind = (uint8_t)kind;
    ask->type = type;
    ask->hash = hash;
    ask->asked = shard->now;
    ask->sampled = tp_is_timed(shard);
    if (TP_UNLIKELY(ask->sampled))
        ask->asked = tp_clock_read(shard);
    ask->cancel = NULL;
    tp_ask_set_deadline(shard, ask, deadline);
    shard->pending++;
    *ret_ask = ask;
    *ret_call = (tp_call){slot, ask->generation};
    tp_count(&shard->counters.asks);
    return TROUPE_OK;
}

static inline void tp_ask_free(tp_shard *shard, uint32_t slot, tp_ask *ask)
{
    if (TP_LIKELY(ask->in_line)) {
        ask->in_line = false;
        tp_list_remove(&ask->alarm.timer.link);
    } else {
        tp_alarm_cancel(shard, &ask->alarm);
    }
    ask->kind = TP_ASK_FREE;
    ask->generation++;
    ask->next_free = shard->ask_free;
    shard->ask_free = slot;
    shard->pending--;
}

static inline void tp_answer_fill(tp_shard *shard, troupe_answer *answer, tp_message *reply)
{
    const troupe_slice none = {NULL, 0};
    bool is_good = TP_LIKELY(reply->status == TROUPE_OK);
    answer->status = reply->status;
    answer->outcome = (troupe_outcome)reply->outcome;
    answer->payload = is_good ? tp_message_payload(reply) : none;
    answer->content_type = is_good ? tp_message_content_type(reply) : none;
    answer->message = is_good ? none : tp_message_payload(reply);
    answer->owner = reply;
    answer->home = shard;
}

static inline void tp_ask_end_turn(tp_shard *shard, uint32_t slot, tp_ask *ask, tp_message *reply)
{
    troupe_turn *turn = ask->waiter.turn;
    tp_ask_free(shard, slot, ask);
    tp_answer_fill(shard, turn->wait_answer, reply);
    tp_unpark(turn, reply->status);
}

/* A reply comes home: takes it. */
static inline void tp_ask_reply(tp_shard *shard, tp_message *reply)
{
    tp_ask *ask = tp_ask_find(shard, reply->from);
    if (TP_LIKELY(
            ask != NULL && ask->kind == TP_ASK_TURN && !ask->sampled && ask->cancel == NULL)) {
        tp_ask_end_turn(shard, reply->from.slot, ask, reply);
    } else {
        tp_ask_reply_slowly(shard, reply);
    }
}

/* To a turn's asker: on this shard it needs no way. */
static inline void tp_reply_home(tp_shard *shard, uint32_t to, tp_message *reply)
{
    if (TP_LIKELY(to == shard->number && !shard->simulated)) {
        tp_ask_reply(shard, reply);
    } else {
        tp_reply_send(shard, to, reply);
    }
}

#endif
