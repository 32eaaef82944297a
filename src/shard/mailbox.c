/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages arrive at actors, and which of those that wait may run next.
 *
 * Invariants
 * 1. Order (P4): messages of one sender to one actor run in the order in which they arrived. A
 * message that comes in while a turn is parked (read-only, call chain) never passes an earlier one
 * of the same sender.
 * 2. While look-ups of arrivals are pending, no request of this shard goes to a mailbox by another
 * way.
 * 3. Limits are soft for tells that were under way when the mailbox became full: they are queued.
 * From the first of them on it is shown full until it is half empty, and whoever tells or asks it
 * on this node is refused; to other nodes it is cluster/ that says it.
 */
#include "shard/away.h"
#include "shard/workers.h"

static void show_full(tp_shard *shard, tp_activation *actor)
{
    if (actor->flags & TP_SHOWN_FULL)
        return;
    actor->flags |= TP_SHOWN_FULL;
    tp_show_full(shard, actor->hash);
    TP_MARK(shard, "mailbox full shown");
}

void tp_mailbox_clear(tp_shard *shard, tp_activation *actor)
{
    if (!(actor->flags & TP_SHOWN_FULL))
        return;
    actor->flags &= (uint16_t)~TP_SHOWN_FULL;
    tp_show_room(shard, actor->hash);
    if (shard->away != NULL)
        shard->away->has_room(shard->away, actor);
}

bool tp_mailbox_is_half(const tp_activation *actor)
{
    return actor->queued <= TP_LIVE_GET(actor->type->is.mailbox_limit) / 2 &&
           actor->queued_bytes <= actor->type->mailbox_bytes / 2;
}

/* An empty one takes any message: the head of a large one may be what is beyond. */
static inline bool is_over(const tp_activation *actor, const tp_message *message)
{
    return actor->queued >= TP_LIVE_GET(actor->type->is.mailbox_limit) ||
           (actor->queued_bytes + tp_message_bytes(message) > actor->type->mailbox_bytes &&
               actor->queued != 0);
}

static bool is_read_only(const tp_message *message)
{
    return message->kind <= TP_TICK && message->method != TP_METHOD_OTHER &&
           message->type->methods[message->method].read != NULL;
}

static bool is_of_chain(const tp_activation *actor, const tp_message *message)
{
    if (message->chain == 0)
        return false;
    for (const troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next)
        if (turn->chain == message->chain)
            return true;
    return false;
}

static bool same_sender(const tp_message *left, const tp_message *right)
{
    troupe_id a = tp_message_caller(left), b = tp_message_caller(right);
    return left->caller_type == right->caller_type && troupe_slice_equal(a.key, b.key) &&
           troupe_slice_equal(a.partition, b.partition);
}

static bool passes_its_sender(const tp_activation *actor, const tp_message *message)
{
    for (tp_fifo_node *node = actor->mailbox.head; node != &message->node; node = node->next)
        if (same_sender(tp_message_of(node), message))
            return true;
    return false;
}

/* What may run while a turn is parked: the first message, if the type lets anything or readers in;
 * or the first of a call chain that has a turn here, unless an earlier message of its sender waits
 * (invariant 1). `ret_before` precedes it. */
static tp_message *find_beside(tp_shard *shard, tp_activation *actor, tp_message **ret_before)
{
    tp_message *head = tp_message_of(actor->mailbox.head);
    troupe_reentrancy reentrancy = actor->type->is.reentrancy;
    *ret_before = NULL;
    if (reentrancy == TROUPE_REENTRANCY_ALWAYS || is_read_only(head))
        return head;
    if (TP_MUTANT(shard, TP_MUTANT_DOUBLE_TURN))
        return head;
    if (reentrancy != TROUPE_REENTRANCY_CALL_CHAIN)
        return NULL;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        tp_message *message = tp_message_of(node);
        if (is_of_chain(actor, message) && !passes_its_sender(actor, message))
            return message;
        *ret_before = message;
    }
    return NULL;
}

/* May anything of the mailbox run now? */
bool tp_mailbox_may_run(tp_shard *shard, tp_activation *actor)
{
    if (tp_fifo_is_empty(&actor->mailbox))
        return false;
    if (TP_UNLIKELY(actor->phase != TP_ACTIVE))
        return actor->phase == TP_NEW;
    tp_message *before;
    return actor->turns == NULL || find_beside(shard, actor, &before) != NULL;
}

/* May anything run now that could not before this message came, the last of the mailbox? */
static bool may_run_by(tp_shard *shard, tp_activation *actor, const tp_message *message)
{
    if (actor->flags & TP_QUEUED)
        return false;
    if (actor->mailbox.head == &message->node || actor->phase != TP_ACTIVE)
        return tp_mailbox_may_run(shard, actor);
    return actor->type->is.reentrancy == TROUPE_REENTRANCY_CALL_CHAIN &&
           is_of_chain(actor, message) && !passes_its_sender(actor, message);
}

void tp_mailbox_rouse_other(tp_shard *shard, tp_activation *actor, const tp_message *message)
{
    if (may_run_by(shard, actor, message))
        tp_schedule(shard, actor);
    if (TP_UNLIKELY(actor->turns != NULL) && message->kind == TP_ASK)
        tp_deadlock_watch(shard, actor);
}

static void refuse_ask(tp_shard *shard, tp_message *message)
{
    tp_count(&shard->counters.busy_memory);
    tp_message_answer(shard, message, TROUPE_BUSY, TROUPE_NOT_DONE, TP_SHORT_WORDS);
}

void tp_accept_at(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    if (TP_UNLIKELY(shard->is_short) && message->kind == TP_ASK) {
        refuse_ask(shard, message);
        if (actor->phase == TP_NEW)
            tp_schedule(shard, actor); /* it may have been made for this one: then it goes again */
        return;
    }
    if (TP_UNLIKELY(is_over(actor, message)) && message->kind <= TP_ASK) {
        show_full(shard, actor);
        if (message->kind == TP_ASK || TP_MUTANT(shard, TP_MUTANT_DROP_FULL)) {
            tp_count(&shard->counters.busy_mailbox);
            TP_MARK(shard, "ask refused by a full mailbox");
            if (message->kind == TP_TELL) {
                tp_pool_give(&shard->pool, message);
                return;
            }
            tp_message_answer(shard, message, TROUPE_BUSY, TROUPE_NOT_DONE,
                "%u messages of %u bytes wait already (mailbox_limit is %u, mailbox_bytes %zu); "
                "try again later",
                actor->queued, actor->queued_bytes, TP_LIVE_GET(actor->type->is.mailbox_limit),
                (size_t)actor->type->mailbox_bytes);
            return;
        }
    }
    tp_mailbox_put(shard, actor, message, tp_message_bytes(message));
    if (TP_LIKELY(message->kind != TP_TICK))
        tp_activation_touch(shard, actor); /* a timer does not keep its actor */
    tp_mailbox_rouse(shard, actor, message);
}

/* Is another node asked first whether it may be made here? */
static inline bool is_elsewhere(const tp_shard *shard, const tp_message *message)
{
    return TP_UNLIKELY(shard->away != NULL) && !tp_type_has_workers(message->type);
}

static tp_activation *create_for(tp_shard *shard, tp_message *message)
{
    /* In a cluster it may still be granted; it leaves again at once, and others take it over. */
    if (shard->away == NULL &&
        atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) >= TP_ENDING) {
        tp_message_answer(shard, message, TROUPE_CLOSED, TROUPE_NOT_DONE, "the node closes");
        return NULL;
    }
    if (!tp_make_room(shard) && message->kind == TP_ASK) {
        if (shard->is_short) {
            refuse_ask(shard, message);
            return NULL;
        }
        tp_count(&shard->counters.busy_actors);
        tp_message_answer(shard, message, TROUPE_BUSY, TROUPE_NOT_DONE,
            "max_actors are active and none is idle; try again later, or raise it");
        return NULL;
    }
    tp_activation *actor = tp_activation_create(shard, message->type, message->hash,
        tp_message_partition(message), tp_message_key(message));
    if (actor == NULL) {
        tp_count(&shard->counters.no_memory);
        tp_message_answer(
            shard, message, TROUPE_NO_MEMORY, TROUPE_NOT_DONE, "no memory for an activation");
    }
    return actor;
}

void tp_accept(tp_shard *shard, tp_message *message)
{
    TP_TRACE(shard, TP_TRACE_ARRIVE, message->hash ^ message->kind);
    tp_activation *actor = tp_activation_find(shard, message->type, message->hash,
        tp_message_partition(message), tp_message_key(message));
    bool is_ours = actor != NULL && TP_LIKELY(!(actor->flags & TP_GUARDED));
    if (!is_ours && is_elsewhere(shard, message)) {
        shard->went[message->hash % TP_WENT] = message->hash;
        shard->away->absent(shard->away, message);
        return;
    }
    if (actor == NULL)
        actor = create_for(shard, message);
    if (actor != NULL)
        tp_accept_at(shard, actor, message);
}

tp_activation *tp_accept_granted(tp_shard *shard, tp_message *message)
{
    tp_activation *actor = create_for(shard, message);
    if (actor != NULL)
        tp_accept_at(shard, actor, message);
    return actor;
}

/* Whom a look-up without a look at the record gave, if it is the one that is meant. */
static inline bool is_meant(const tp_activation *actor, const tp_message *message)
{
    return actor->type == message->type && actor->key_size == message->key_size &&
           actor->partition_size == message->partition_size &&
           tp_bytes_are_equal(actor + 1, tp_message_key(message).data,
               (size_t)message->key_size + message->partition_size);
}

/* Looks for whom the next ones are, several at a time, so that their misses overlap, and in good
 * time before they are taken in. */
__attribute__((noinline)) static void look_ahead(tp_shard *shard)
{
    uint64_t at = shard->looked_up, until = shard->taken_in + TP_AHEAD;
    if (until > shard->arrived)
        until = shard->arrived;
    uint64_t soon = until + TP_AHEAD < shard->arrived ? until + TP_AHEAD : shard->arrived;
    for (uint64_t i = at + TP_AHEAD; i < soon; i++)
        tp_index_prefetch(&shard->table, shard->arrivals[i % TP_ARRIVALS]->hash);
    uint64_t departures = shard->departures;
    for (; at != until; at++) {
        const tp_message *message = shard->arrivals[at % TP_ARRIVALS];
        tp_activation *actor = tp_index_peek(&shard->table, message->hash);
        shard->found[at % TP_AHEAD] = (tp_found){actor, departures};
        __builtin_prefetch((const char *)message + TP_CACHE_LINE);
        __builtin_prefetch((const char *)message + 2 * TP_CACHE_LINE);
        if (actor != NULL)
            tp_activation_prefetch(actor);
    }
    shard->looked_up = until;
}

/* [mutant] The last goes first. */
static tp_message *take_last(tp_shard *shard)
{
    tp_message **first = &shard->arrivals[shard->taken_in++ % TP_ARRIVALS];
    tp_message **last = &shard->arrivals[(shard->arrived - 1) % TP_ARRIVALS];
    tp_message *message = *last;
    *last = *first;
    shard->looked_up = shard->taken_in;
    return message;
}

/* The first of the arrivals, and its actor; NULL: that has to be looked for, or made. */
static inline tp_message *look_at_first(tp_shard *shard, tp_activation **ret_actor)
{
    if (shard->looked_up - shard->taken_in <= TP_AHEAD / 2 && shard->looked_up != shard->arrived)
        look_ahead(shard);
    tp_message *message = shard->arrivals[shard->taken_in % TP_ARRIVALS];
    const tp_found *found = &shard->found[shard->taken_in % TP_AHEAD];
    /* Making room for one may have sent away another that was found. */
    bool is_it = found->actor != NULL && shard->departures == found->departures &&
                 is_meant(found->actor, message) && TP_LIKELY(!(found->actor->flags & TP_GUARDED));
    *ret_actor = TP_LIKELY(is_it) ? found->actor : NULL;
    return message;
}

/* It was found, and is taken in now. */
static inline void note_found(tp_shard *shard, tp_activation *actor, const tp_message *message)
{
    tp_recent *recent = &shard->recent[message->hash % TP_RECENT];
    if (recent->actor != actor)
        *recent = (tp_recent){.hash = message->hash, .actor = actor};
    TP_TRACE(shard, TP_TRACE_ARRIVE, message->hash ^ message->kind);
}

static inline tp_message *take_first(tp_shard *shard, tp_activation **ret_actor)
{
    *ret_actor = NULL;
    if (TP_MUTANT(shard, TP_MUTANT_OVERTAKE))
        return take_last(shard);
    tp_message *message = look_at_first(shard, ret_actor);
    shard->taken_in++;
    return message;
}

static void accept_found(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    if (TP_UNLIKELY(actor == NULL)) {
        tp_accept(shard, message);
        return;
    }
    note_found(shard, actor, message);
    tp_accept_at(shard, actor, message);
}

void tp_arrivals_flush(tp_shard *shard)
{
    while (tp_arrivals_wait(shard)) {
        tp_activation *actor;
        tp_message *message = take_first(shard, &actor);
        accept_found(shard, actor, message);
    }
}

tp_activation *tp_arrivals_take(tp_shard *shard, tp_message **ret_message)
{
    const uint16_t busy = TP_QUEUED | TP_LEAVE | TP_STOPPING | TP_TORN | TP_SHOWN_FULL;
    tp_activation *actor;
    if (TP_MUTANT(shard, TP_MUTANT_OVERTAKE))
        return NULL;
    tp_message *message = look_at_first(shard, &actor);
    if (TP_UNLIKELY(actor == NULL || actor->phase != TP_ACTIVE || actor->turns != NULL ||
                    (actor->flags & busy) || !tp_fifo_is_empty(&actor->mailbox) ||
                    !actor->type->plain || (message->flags & TP_MESSAGE_SLIP) ||
                    message->deadline <= tp_clock(shard) ||
                    (message->kind == TP_ASK && (shard->is_short || is_over(actor, message)))))
        return NULL;
    shard->taken_in++;
    note_found(shard, actor, message);
    actor->received++;
    tp_activation_touch(shard, actor);
    *ret_message = message;
    return actor;
}

tp_message *tp_mailbox_next(tp_shard *shard, tp_activation *actor)
{
    if (actor->phase != TP_ACTIVE || tp_fifo_is_empty(&actor->mailbox))
        return NULL;
    if (TP_UNLIKELY(actor->turns != NULL)) {
        tp_message *before;
        tp_message *message = find_beside(shard, actor, &before);
        if (message == NULL)
            return NULL;
        TP_MARK(shard, before == NULL ? "comes in while parked" : "call chain passes others");
        tp_mailbox_remove(shard, actor, before, message);
        return message;
    }
    return tp_mailbox_take(shard, actor);
}

void tp_mailbox_push_front(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    tp_fifo_push_front(&actor->mailbox, &message->node);
    actor->queued++;
    actor->queued_bytes += (uint32_t)tp_message_bytes(message);
    shard->queued++;
}

void tp_mailbox_remove(
    tp_shard *shard, tp_activation *actor, tp_message *before, tp_message *message)
{
    if (before == NULL) {
        tp_fifo_pop_front(&actor->mailbox);
    } else {
        before->node.next = message->node.next;
        if (actor->mailbox.tail == &message->node)
            actor->mailbox.tail = &before->node;
    }
    tp_mailbox_taken(shard, actor, message);
}

void tp_mailbox_fail_all(
    tp_shard *shard, tp_activation *actor, troupe_status status, const char *text)
{
    while (!tp_fifo_is_empty(&actor->mailbox)) {
        tp_message *message = tp_mailbox_take(shard, actor);
        tp_message_answer(shard, message, status, TROUPE_NOT_DONE, "%s", text);
    }
}

void tp_mailbox_refuse(tp_shard *shard, tp_activation *actor, const char *text)
{
    tp_message *before = NULL;
    tp_fifo_node *node = actor->mailbox.head;
    while (node != NULL) {
        tp_message *message = tp_message_of(node);
        node = node->next;
        if (message->kind != TP_ASK) {
            before = message;
            continue;
        }
        tp_mailbox_remove(shard, actor, before, message);
        tp_message_answer(shard, message, TROUPE_BUSY, TROUPE_NOT_DONE, "%s", text);
    }
}
