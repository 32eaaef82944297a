/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending asks: slots with generations. Each ends exactly once: by its reply, its deadline, a
 * cycle, or because its waiter is gone (P3). Replies that come later find another generation and
 * are dropped. Cancellation: the asker's shard sends a cancel after the ask; the target takes the
 * message out of the mailbox (WITHDRAWN), or tells the turn that serves it, and what that waits for
 * in turn (CANCELLED).
 *
 * Threads: slots belong to their shard. A troupe_cancel is shared: its list is under a spin lock
 * that is held for a few instructions.
 */
#include "shard/gather.h"
#include "shard/again.h"
#include "shard/away.h"
#include "shard/durable.h"

#include "base/alloc.h"

#include <stdio.h>

struct tp_cancel_link {
    tp_inbound inbound;   /* travels to the shard when it is fired */
    tp_link link;         /* in the token, under its lock */
    troupe_cancel *token; /* NULL: taken out */
    tp_shard *shard;
    tp_call call;
    bool fired; /* under the lock: the inbox has it, or is about to, and frees it */
};

struct troupe_cancel {
    const troupe_allocator *allocator;
    _Atomic uint32_t holders; /* the user, and each link */
    atomic_flag lock;
    bool fired;
    tp_list links;
};

static troupe_status grow(tp_shard *shard)
{
    const troupe_allocator *allocator = shard->shared->allocator;
    uint32_t limit = (shard->shared->options.max_asks + TP_ASK_CHUNK - 1) / TP_ASK_CHUNK;
    if (shard->asks == NULL) {
        shard->asks = tp_allocate_zeroed(allocator, limit * sizeof *shard->asks);
        if (shard->asks == NULL)
            return TROUPE_NO_MEMORY;
    }
    if (shard->ask_chunks == limit)
        return TROUPE_BUSY;
    tp_ask *chunk = tp_allocate_zeroed(allocator, TP_ASK_CHUNK * sizeof *chunk);
    if (chunk == NULL)
        return TROUPE_NO_MEMORY;
    uint32_t first = shard->ask_chunks * TP_ASK_CHUNK;
    for (uint32_t i = 0; i < TP_ASK_CHUNK; i++)
        chunk[i].next_free = i + 1 < TP_ASK_CHUNK ? first + i + 1 : UINT32_MAX;
    shard->asks[shard->ask_chunks++] = chunk;
    shard->ask_free = first;
    return TROUPE_OK;
}

/* Asks from outside that nothing answers any more: the node goes before it knew. */
static void end_outside(tp_shard *shard, tp_ask *ask)
{
    tp_again_drop(shard, ask);
    if (ask->kind != TP_ASK_OUTSIDE)
        return;
    ask->kind = TP_ASK_FREE;
    troupe_answer answer = {.status = TROUPE_INTERRUPTED,
        .outcome = TROUPE_UNKNOWN_OUTCOME,
        .message = troupe_str("the node closed before the store had answered")};
    tp_outside_complete(shard, ask->waiter.outside, &answer);
}

void tp_asks_deinit(tp_shard *shard)
{
    const troupe_allocator *allocator = shard->shared->allocator;
    for (uint32_t i = 0; i < shard->ask_chunks; i++)
        for (uint32_t j = 0; j < TP_ASK_CHUNK; j++)
            end_outside(shard, &shard->asks[i][j]);
    uint32_t limit = (shard->shared->options.max_asks + TP_ASK_CHUNK - 1) / TP_ASK_CHUNK;
    for (uint32_t i = 0; i < shard->ask_chunks; i++)
        tp_release(allocator, shard->asks[i], TP_ASK_CHUNK * sizeof(tp_ask));
    tp_release(allocator, shard->asks, limit * sizeof *shard->asks);
}

static void detach_cancel(tp_shard *shard, tp_ask *ask);
static void send_cancel(tp_shard *shard, tp_call call, const tp_ask *ask);

/* Whom it asks. */
static troupe_id target_of(const tp_ask *ask, troupe_slice *ret_method)
{
    *ret_method = troupe_str("");
    if (ask->kind == TP_ASK_OUTSIDE)
        return tp_outside_target(ask->waiter.outside, ret_method);
    if (ask->kind == TP_ASK_TURN) {
        const tp_target *to = ask->waiter.turn->wait_target;
        *ret_method = tp_callee_name(to, ask->waiter.turn->wait_callee);
        return (troupe_id){to->type->name, to->partition, to->key};
    }
    if (ask->kind == TP_ASK_GATHER) {
        const tp_gather_part *part = ask->waiter.part;
        const troupe_request *request = &part->all->requests[part - part->all->parts];
        *ret_method = troupe_str(request->method);
        return request->id;
    }
    const tp_message *spare = ask->waiter.callback->spare;
    *ret_method = tp_message_method_name(spare);
    return (troupe_id){ask->type->name, tp_message_partition(spare), tp_message_key(spare)};
}

static void time_out(tp_shard *shard, tp_alarm *alarm)
{
    tp_ask *ask = TP_CONTAINER(alarm, tp_ask, alarm);
    tp_call call = {ask->next_free, ask->generation}; /* in use, next_free holds its own number */
    tp_count(&shard->counters.timeouts);
    TP_MARK(shard, "ask timed out");
    troupe_slice method;
    char id[TP_ID_MAX + 1], words[TP_ID_MAX + TP_NAME_MAX + 160];
    troupe_id_print(target_of(ask, &method), id, sizeof id);
    int size = snprintf(words, sizeof words,
        "%s %.*s: no answer within the deadline; it may have run, or may run yet", id,
        (int)(method.size < TP_NAME_MAX ? method.size : TP_NAME_MAX), (const char *)method.data);
    tp_ask gone = *ask; /* it ends first: on this shard the cancel is answered at once */
    tp_ask_end(
        shard, call, TROUPE_TIMEOUT, TROUPE_UNKNOWN_OUTCOME, (troupe_slice){words, (size_t)size});
    send_cancel(shard, call, &gone);
    if (TP_MUTANT(shard, TP_MUTANT_DOUBLE_REPLY))
        tp_ask_at(shard, call.slot)->generation--;
}

/* ---- the line of deadlines: what has the node's timeout comes in order, and needs no wheel --- */

static tp_ask *first_in_line(const tp_shard *shard)
{
    tp_link *link = tp_list_front(&shard->ask_line);
    return link != NULL ? TP_CONTAINER(link, tp_ask, alarm.timer.link) : NULL;
}

static void line_due(tp_shard *shard, tp_alarm *alarm)
{
    tp_ask *first;
    while ((first = first_in_line(shard)) != NULL && first->alarm.timer.due <= shard->now)
        time_out(shard, &first->alarm);
    if (first != NULL)
        tp_alarm_set(shard, alarm, first->alarm.timer.due, line_due);
}

void tp_asks_rest(tp_shard *shard)
{
    const tp_ask *first = first_in_line(shard);
    if (!tp_timer_is_set(&shard->ask_next.timer))
        return;
    if (first == NULL) {
        tp_alarm_cancel(shard, &shard->ask_next);
    } else if (first->alarm.timer.due != shard->ask_next.timer.due) {
        tp_alarm_set(shard, &shard->ask_next, first->alarm.timer.due, line_due);
    }
}

void tp_ask_set_alarm(tp_shard *shard, tp_ask *ask, uint64_t deadline)
{
    tp_alarm_set(shard, &ask->alarm, deadline, time_out);
}

void tp_ask_set_line(tp_shard *shard, uint64_t deadline)
{
    tp_alarm_set(shard, &shard->ask_next, deadline, line_due);
}

troupe_status tp_ask_more(tp_shard *shard)
{
    if (shard->pending >= shard->shared->options.max_asks) {
        tp_count(&shard->counters.busy_asks);
        return TROUPE_BUSY;
    }
    troupe_status status = grow(shard);
    if (status != TROUPE_OK)
        tp_count(status == TROUPE_BUSY ? &shard->counters.busy_asks : &shard->counters.no_memory);
    return status;
}

/* ---- the end of an ask --------------------------------------------------------------------- */

static void end_callback(tp_shard *shard, tp_callback *callback, tp_message *reply)
{
    tp_activation *actor = callback->actor;
    actor->extras->callbacks--;
    if (reply != callback->spare)
        tp_pool_give(&shard->pool, callback->spare);
    callback->spare = NULL;
    if (callback->generation != actor->extras->generation) {
        TP_MARK(shard, "answer for an earlier activation");
        tp_pool_give(&shard->pool, callback);
        tp_pool_give(&shard->pool, reply);
        /* It may leave now, but not under the feet of a turn that ends. */
        tp_schedule(shard, actor);
        return;
    }
    reply->kind = TP_ANSWER;
    reply->chain = 0; /* it descends from nobody: it waits for the turn that asked */
    reply->type = actor->type;
    reply->hash = actor->hash;
    reply->deadline = TP_NEVER;
    reply->method = 0;
    reply->extra = callback;
    tp_accept_at(shard, actor, reply);
}

static void end_with(tp_shard *shard, uint32_t slot, tp_ask *ask, tp_message *reply)
{
    if (TP_UNLIKELY(ask->sampled))
        tp_histogram_record(&shard->ask_time, tp_clock_read(shard) - ask->asked);
    if (TP_UNLIKELY(ask->cancel != NULL))
        detach_cancel(shard, ask);
    tp_ask_kind kind = (tp_ask_kind)ask->kind;
    if (kind == TP_ASK_TURN) {
        tp_ask_end_turn(shard, slot, ask, reply);
        return;
    }
    tp_again_drop(shard, ask);
    tp_ask_free(shard, slot, ask);
    if (kind == TP_ASK_CALLBACK) {
        end_callback(shard, ask->waiter.callback, reply);
    } else if (kind == TP_ASK_GATHER) {
        tp_answer_fill(shard, tp_gather_answer(ask->waiter.part), reply);
        tp_gather_ended(ask->waiter.part);
    } else {
        tp_outside *outside = ask->waiter.outside;
        troupe_answer answer = TROUPE_ANSWER_INIT;
        tp_answer_fill(shard, &answer, reply);
        tp_outside_complete(shard, outside, &answer);
        tp_pool_give(&shard->pool, reply);
    }
}

void tp_ask_reply_slowly(tp_shard *shard, tp_message *reply)
{
    tp_ask *ask = tp_ask_find(shard, reply->from);
    if (ask == NULL) {
        TP_MARK(shard, "reply came too late");
        tp_pool_give(&shard->pool, reply);
        return;
    }
    if (TP_UNLIKELY(tp_again_asks(shard, ask, reply->status))) {
        tp_pool_give(&shard->pool, reply);
        return;
    }
    end_with(shard, reply->from.slot, ask, reply);
}

void tp_ask_end(
    tp_shard *shard, tp_call call, troupe_status status, troupe_outcome outcome, troupe_slice text)
{
    tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    tp_message *reply = NULL;
    if (ask->kind == TP_ASK_CALLBACK) {
        reply = ask->waiter.callback->spare;
        size_t room = reply->payload_size;
        if (text.size < room)
            reply->payload_size = (uint32_t)text.size;
        memcpy((char *)reply + reply->payload_at, text.data, reply->payload_size);
    } else {
        tp_message_parts parts = {.content_type = TROUPE_TEXT, .payload = text};
        reply = tp_message_make(&shard->pool, &parts);
    }
    if (reply != NULL) {
        reply->kind = TP_REPLY;
        reply->status = status;
        reply->outcome = (uint8_t)outcome;
        end_with(shard, call.slot, ask, reply);
        return;
    }
    /* No memory for words: the status alone. */
    if (ask->cancel != NULL)
        detach_cancel(shard, ask);
    troupe_answer answer = {.status = status, .outcome = outcome};
    tp_ask_kind kind = (tp_ask_kind)ask->kind;
    tp_again_drop(shard, ask);
    tp_ask_free(shard, call.slot, ask);
    if (kind == TP_ASK_TURN) {
        *ask->waiter.turn->wait_answer = answer;
        tp_unpark(ask->waiter.turn, status);
    } else if (kind == TP_ASK_GATHER) {
        *tp_gather_answer(ask->waiter.part) = answer;
        tp_gather_ended(ask->waiter.part);
    } else {
        tp_outside_complete(shard, ask->waiter.outside, &answer);
    }
}

void tp_ask_withdraw(tp_shard *shard, tp_call call, const char *words)
{
    const tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    tp_ask gone = *ask;
    tp_ask_end(shard, call, TROUPE_CANCELLED, TROUPE_UNKNOWN_OUTCOME, troupe_str(words));
    send_cancel(shard, call, &gone);
}

void tp_ask_forget(tp_shard *shard, tp_call call)
{
    tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    if (ask->cancel != NULL)
        detach_cancel(shard, ask);
    tp_again_drop(shard, ask);
    tp_ask_free(shard, call.slot, ask);
}

void troupe_answer_release(troupe_answer *answer)
{
    if (answer == NULL)
        return;
    if (answer->owner != NULL) {
        if (answer->home != NULL) {
            tp_shard *shard = answer->home;
            tp_pool_give(&shard->pool, answer->owner);
        } else {
            tp_outside_answer_release(answer->owner);
        }
    }
    *answer = (troupe_answer)TROUPE_ANSWER_INIT;
}

/* ---- cancellation -------------------------------------------------------------------------- */

/* An ask that still waits in its asker's gate was never sent. */
static bool withdraw_held(tp_shard *shard, tp_call call, const tp_ask *ask)
{
    if (ask->kind != TP_ASK_TURN || !ask->waiter.turn->commits)
        return false;
    tp_durable *durable = tp_durable_of(ask->waiter.turn->actor);
    if (durable == NULL || !tp_gate_withdraw(shard, durable, call))
        return false;
    tp_ask_end(
        shard, call, TROUPE_WITHDRAWN, TROUPE_NOT_DONE, troupe_str("cancelled before it was sent"));
    return true;
}

static void send_cancel(tp_shard *shard, tp_call call, const tp_ask *ask)
{
    if (withdraw_held(shard, call, ask))
        return;
    tp_message_parts none = {0};
    tp_message *cancel = tp_message_make(&shard->pool, &none);
    if (cancel == NULL)
        return; /* the deadline travels with the call: it ends all the same */
    cancel->kind = TP_CANCEL;
    cancel->hash = ask->hash;
    cancel->type = ask->type;
    cancel->method = TP_METHOD_OTHER;
    cancel->from = call;
    cancel->from_shard = (uint16_t)shard->number;
    tp_send_control(shard, tp_hash_shard(ask->hash, shard->shared->shard_count), cancel);
}

/* An ask that goes on until its answer comes; it is not asked again. */
static void cancel_ask(tp_shard *shard, tp_call call, tp_ask *ask)
{
    if (tp_again_pauses(ask)) { /* nobody has it who could answer */
        tp_ask_end(shard, call, TROUPE_CANCELLED, TROUPE_UNKNOWN_OUTCOME,
            troupe_str("cancelled before it was asked again; it may have run"));
        return;
    }
    tp_again_drop(shard, ask);
    send_cancel(shard, call, ask);
}

static bool is_of(const tp_message *message, const tp_message *cancel)
{
    return message != NULL && message->kind == TP_ASK &&
           message->from_shard == cancel->from_shard && message->from.slot == cancel->from.slot &&
           message->from.generation == cancel->from.generation;
}

static bool withdraw(tp_shard *shard, tp_activation *actor, const tp_message *cancel)
{
    tp_message *before = NULL;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        tp_message *message = tp_message_of(node);
        if (is_of(message, cancel)) {
            TP_MARK(shard, "withdrawn from the mailbox");
            if (TP_MUTANT(shard, TP_MUTANT_CANCEL_RUNS))
                return true;
            tp_mailbox_remove(shard, actor, before, message);
            tp_message_answer(shard, message, TROUPE_WITHDRAWN, TROUPE_NOT_DONE,
                "its caller cancelled it before it started");
            return true;
        }
        before = message;
    }
    return false;
}

static void cancel_turn(tp_shard *shard, tp_activation *actor, const tp_message *cancel)
{
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next) {
        if (!is_of(turn->message, cancel) || turn->cancelled)
            continue;
        TP_MARK(shard, "cancel during a park");
        char id[TP_ID_MAX + 1], words[TP_ID_MAX + TP_NAME_MAX + 64];
        troupe_id_print(tp_activation_id(actor), id, sizeof id);
        snprintf(words, sizeof words, "%s %.*s: its caller cancelled it while it ran", id,
            TROUPE_ARG(tp_message_method_name(turn->message)));
        tp_message_parts parts = {.content_type = TROUPE_TEXT, .payload = troupe_str(words)};
        tp_message *reply = tp_message_make(&shard->pool, &parts);
        if (reply != NULL) {
            reply->kind = TP_REPLY;
            reply->from = cancel->from;
            reply->status = TROUPE_CANCELLED;
            reply->outcome = TROUPE_UNKNOWN_OUTCOME;
            tp_reply_send(shard, cancel->from_shard, reply);
        }
        tp_turn_cancel(turn);
        return;
    }
}

void tp_cancel_arrived(tp_shard *shard, tp_message *cancel)
{
    tp_activation *actor = tp_index_peek(&shard->table, cancel->hash);
    if (actor != NULL) {
        if (!withdraw(shard, actor, cancel))
            cancel_turn(shard, actor, cancel);
        tp_settle(shard, actor); /* what waited behind it may be one that may come in */
    } else if (TP_UNLIKELY(shard->away != NULL)) {
        shard->away->follow(shard->away, 0, cancel);
        return;
    }
    tp_pool_give(&shard->pool, cancel);
}

void tp_turn_cancel(troupe_turn *turn)
{
    tp_shard *shard = turn->shard;
    turn->cancelled = true;
    if (turn->wait == TP_WAIT_ASK) {
        tp_ask *ask = tp_ask_find(shard, turn->wait_call);
        if (ask != NULL)
            cancel_ask(shard, turn->wait_call, ask); /* its answer resumes the turn */
    } else if (turn->wait == TP_WAIT_GATHER) {
        for (size_t i = 0; i < turn->gather->count; i++) {
            tp_call call = turn->gather->parts[i].call;
            tp_ask *ask = tp_ask_find(shard, call);
            if (ask != NULL)
                cancel_ask(shard, call, ask);
        }
    } else if (turn->wait == TP_WAIT_SLEEP) {
        tp_alarm_cancel(shard, &turn->alarm);
        tp_unpark(turn, TROUPE_CANCELLED);
    }
}

static void lock(troupe_cancel *token)
{
    while (atomic_flag_test_and_set_explicit(&token->lock, memory_order_acquire)) {
    }
}

static void unlock(troupe_cancel *token)
{
    atomic_flag_clear_explicit(&token->lock, memory_order_release);
}

static void free_link(tp_shard *shard, tp_cancel_link *link)
{
    troupe_cancel_destroy(link->token);
    tp_release(shard->shared->allocator, link, sizeof *link);
}

static void cancel_fired(tp_shard *shard, tp_inbound *inbound)
{
    tp_cancel_link *link = TP_CONTAINER(inbound, tp_cancel_link, inbound);
    tp_ask *ask = tp_ask_find(shard, link->call);
    if (ask != NULL) {
        tp_count(&shard->counters.cancelled);
        ask->cancel = NULL;
        cancel_ask(shard, link->call, ask);
    }
    free_link(shard, link);
}

troupe_status tp_cancel_attach(tp_shard *shard, tp_call call, troupe_cancel *token)
{
    tp_cancel_link *link = tp_allocate(shard->shared->allocator, sizeof *link);
    if (link == NULL)
        return TROUPE_NO_MEMORY;
    *link = (tp_cancel_link){
        .inbound = {.arrive = cancel_fired}, .token = token, .shard = shard, .call = call};
    tp_cancel_retain(token);
    lock(token);
    bool fired = token->fired;
    if (!fired)
        tp_list_push_back(&token->links, &link->link);
    unlock(token);
    if (fired) {
        link->fired = true;
        tp_inbox_push(shard, &link->inbound);
        return TROUPE_OK;
    }
    tp_ask_find(shard, call)->cancel = link;
    return TROUPE_OK;
}

static void detach_cancel(tp_shard *shard, tp_ask *ask)
{
    tp_cancel_link *link = ask->cancel;
    ask->cancel = NULL;
    lock(link->token);
    bool fired = link->fired;
    if (!fired)
        tp_list_remove(&link->link);
    unlock(link->token);
    if (!fired)
        free_link(shard, link);
}

troupe_status tp_cancel_make(tp_shared *shared, troupe_cancel **ret_cancel)
{
    troupe_cancel *token = tp_allocate_zeroed(shared->allocator, sizeof *token);
    if (token == NULL)
        return TROUPE_NO_MEMORY;
    token->allocator = shared->allocator;
    atomic_store_explicit(&token->holders, 1, memory_order_relaxed);
    atomic_flag_clear(&token->lock);
    tp_list_init(&token->links);
    *ret_cancel = token;
    return TROUPE_OK;
}

void troupe_cancel_fire(troupe_cancel *token)
{
    if (token == NULL)
        return;
    for (;;) {
        lock(token);
        token->fired = true; /* none is added from here on */
        tp_link *link = tp_list_pop_front(&token->links);
        tp_cancel_link *fired = link != NULL ? TP_CONTAINER(link, tp_cancel_link, link) : NULL;
        if (fired != NULL)
            fired->fired = true;
        unlock(token);
        if (fired == NULL)
            return;
        tp_inbox_push(fired->shard, &fired->inbound); /* it may wake a thread: without the lock */
    }
}

troupe_cancel *tp_cancel_retain(troupe_cancel *token)
{
    if (token != NULL)
        atomic_fetch_add_explicit(&token->holders, 1, memory_order_relaxed);
    return token;
}

void troupe_cancel_destroy(troupe_cancel *token)
{
    if (token == NULL || atomic_fetch_sub_explicit(&token->holders, 1, memory_order_acq_rel) != 1)
        return;
    tp_release(token->allocator, token, sizeof *token);
}
