/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that a turn makes: ask and tell. Each checks its arguments and limits, then makes a
 * message and sends it on its way. Answering is in reply.c, waiting without a call in waits.c.
 */
#include "shard/again.h"
#include "shard/away.h"
#include "shard/calls.h"
#include "shard/context.h"
#include "shard/durable.h"
#include "shard/words.h"
#include "shard/workers.h"

#include "base/alloc.h"
#include "base/id.h"

static inline troupe_status set_target_of(
    tp_shard *shard, const tp_type *type, troupe_id id, tp_target *ret)
{
    if (TP_UNLIKELY(id.key.size - 1 >= TP_KEY_MAX))
        return TROUPE_USAGE;
    if (TP_UNLIKELY(id.partition.size != 0) && !tp_name_is_valid(id.partition))
        return TROUPE_USAGE;
    ret->type = type;
    ret->partition = id.partition;
    ret->key = id.key;
    ret->hash = tp_type_hash(&shard->shared->types, type, id.partition, id.key);
    ret->shard = tp_hash_shard(ret->hash, shard->shared->shard_count);
    return TROUPE_OK;
}

/* A type that was not found lately, or has workers: those are never among the hints. */
__attribute__((noinline)) static troupe_status set_target_slowly(
    tp_shard *shard, troupe_id id, const tp_type **hint, tp_target *ret)
{
    const tp_type *type = tp_type_known(shard->shared, id.type);
    if (type == NULL)
        return tp_name_is_valid(id.type) ? TROUPE_NO_TYPE : TROUPE_USAGE;
    TROUPE_TRY(set_target_of(shard, type, id, ret));
    if (tp_type_has_workers(type))
        tp_worker_choose(shard, ret, ret->hash);
    else
        *hint = type;
    return TROUPE_OK;
}

static inline troupe_status set_target(tp_shard *shard, troupe_id id, tp_target *ret)
{
    troupe_slice name = id.type;
    const tp_type **hint = &shard->hints.types[((uintptr_t)name.data ^ name.size) % TP_HINTS];
    if (TP_LIKELY(*hint != NULL && (*hint)->name.size == name.size &&
                  tp_bytes_are_equal((*hint)->name.data, name.data, name.size)))
        return set_target_of(shard, *hint, id, ret);
    return set_target_slowly(shard, id, hint, ret);
}

static troupe_status find_method(
    tp_shard *shard, const tp_type *type, const char *name, uint32_t at, tp_callee *ret)
{
    troupe_slice slice = troupe_str(name);
    int32_t number = tp_type_method(type, slice);
    if (TP_UNLIKELY(number < 0))
        return name != NULL ? TROUPE_NO_METHOD : TROUPE_USAGE;
    ret->number = (uint16_t)number;
    ret->name = number == TP_METHOD_OTHER ? slice : (troupe_slice){NULL, 0};
    if (number != TP_METHOD_OTHER) {
        shard->hints.methods[at].type = type;
        shard->hints.methods[at].number = (uint32_t)number;
    }
    return TROUPE_OK;
}

static inline troupe_status set_method(
    tp_shard *shard, const tp_type *type, const char *name, tp_callee *ret)
{
    uint32_t at = (uint32_t)((uintptr_t)name ^ type->number) % TP_HINTS;
    uint32_t number = shard->hints.methods[at].number;
    if (TP_LIKELY(shard->hints.methods[at].type == type && name != NULL &&
                  strcmp(type->methods[number].name.data, name) == 0)) {
        *ret = (tp_callee){{NULL, 0}, (uint16_t)number};
        return TROUPE_OK;
    }
    return find_method(shard, type, name, at, ret);
}

static inline tp_callee selected(troupe_selector selector)
{
    return (tp_callee){{NULL, 0}, (uint16_t)selector.number};
}

/* An actor of this shard that is found without a miss, while no arrivals wait whom it would
 * overtake. */
static inline tp_activation *near_target(tp_shard *shard, const tp_target *to)
{
    if (to->shard != shard->number)
        return NULL;
    if (tp_arrivals_wait(shard))
        return NULL;
    tp_recent *recent = &shard->recent[to->hash % TP_RECENT];
    tp_activation *actor = recent->actor;
    if (recent->hash != to->hash || actor == NULL)
        return NULL;
    bool same = actor->type == to->type && actor->key_size == to->key.size &&
                actor->partition_size == to->partition.size &&
                tp_bytes_are_equal(actor + 1, to->key.data, to->key.size) &&
                tp_bytes_are_equal((const char *)(actor + 1) + actor->key_size, to->partition.data,
                    to->partition.size);
    return TP_LIKELY(same) ? actor : NULL;
}

/* A worker, where the ref is to a type of many: whom this call goes to. */
static inline const tp_target *ref_target(tp_shard *shard, const troupe_ref *ref, tp_target *here)
{
    if (TP_LIKELY(ref->to.shard != TP_SHARD_ANY))
        return &ref->to;
    *here = ref->to;
    tp_worker_choose(shard, here, ref->to.hash);
    return here;
}

/* The same for a ref: that it was this one which was last compared saves comparing. */
static inline tp_activation *near_ref(tp_shard *shard, const troupe_ref *ref)
{
    tp_recent *recent = &shard->recent[ref->to.hash % TP_RECENT];
    if (TP_LIKELY(recent->ref == ref->number && recent->actor != NULL &&
                  recent->actor->type == ref->to.type && !tp_arrivals_wait(shard)))
        return recent->actor;
    tp_activation *actor = near_target(shard, &ref->to);
    if (actor != NULL)
        recent->ref = ref->number;
    return actor;
}

static void sample_arrival(tp_shard *shard, tp_message *message)
{
    if (TP_LIKELY(!tp_is_timed(shard)))
        return;
    message->flags |= TP_MESSAGE_TIMED;
    message->arrived = tp_clock_read(shard);
}

static inline bool has_room(const tp_activation *near, size_t payload_size)
{
    return near->queued < TP_LIVE_GET(near->type->is.mailbox_limit) &&
           near->queued_bytes + payload_size <= near->type->mailbox_bytes;
}

/* What a turn sends is made of its own shard's memory. */
static inline bool has_memory(const tp_shard *shard)
{
    return TP_LIKELY(!tp_pool_is_above(&shard->pool, shard->memory_bar));
}

/* Why the payload is not to be sent at all; OK: it may be. */
static troupe_status refuse_payload(tp_shard *shard, size_t size)
{
    bool is_large = size > shard->max_message;
    if (!is_large && has_memory(shard))
        return TROUPE_OK;
    tp_count(is_large ? &shard->counters.too_large : &shard->counters.busy_memory);
    return is_large ? TROUPE_TOO_LARGE : TROUPE_BUSY;
}

/* Would the loop run this actor next, and do nothing before, once the turn parks that runs? */
static inline bool is_next(const tp_shard *shard, const tp_activation *near)
{
    const uint16_t busy = TP_QUEUED | TP_LEAVE | TP_STOPPING | TP_TORN;
    return shard->turns_left > 0 && tp_fifo_is_empty(&shard->ready) &&
           tp_fifo_is_empty(&shard->run_queue) && near->phase == TP_ACTIVE && near->turns == NULL &&
           !(near->flags & busy) && tp_fifo_is_empty(&near->mailbox) && near->type->plain;
}

/* The loop has it when the turn parks, as it does at once: it waits for the answer. */
static inline void hand(tp_shard *shard, tp_activation *near, tp_message *message)
{
    TP_MARK(shard, "asked as the next");
    near->received++;
    shard->handed.actor = near;
    shard->handed.message = message;
}

/* A plain request to an actor of this shard that is at hand: a method by its number, no options.
 * The message needs no name of its target, and goes straight to the mailbox; or to the loop, if the
 * turn parks at once and the actor is next. */
__attribute__((always_inline)) static inline troupe_status send_near(troupe_turn *turn,
    tp_activation *near, uint16_t method, troupe_slice payload, uint64_t deadline,
    const tp_call *call, uint64_t chain)
{
    tp_shard *shard = turn->shard;
    if (TP_UNLIKELY(payload.size > shard->max_message || !has_memory(shard)))
        return refuse_payload(shard, payload.size);
    if (TP_UNLIKELY(!has_room(near, payload.size))) {
        tp_count(&shard->counters.busy_mailbox);
        return TROUPE_BUSY;
    }
    const tp_activation *self = turn->actor;
    tp_message_parts parts = {.caller = self + 1, .payload = payload};
    tp_message_head head = {.hash = near->hash,
        .type = near->type,
        .deadline = deadline,
        .from = call != NULL ? *call : (tp_call){0, 0},
        .chain = chain,
        .caller_type = self->type,
        .method = method,
        .from_shard = (uint16_t)shard->number,
        .kind = call != NULL ? TP_ASK : TP_TELL,
        .caller_key_size = self->key_size,
        .caller_partition_size = self->partition_size};
    tp_message *message = tp_message_make_here(&shard->pool, &parts, &head);
    if (TP_UNLIKELY(message == NULL)) {
        tp_count(&shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    sample_arrival(shard, message);
    turn->has_sent = true;
    tp_activation_touch(shard, near);
    if (call == &turn->wait_call && is_next(shard, near)) {
        hand(shard, near, message);
        return TROUPE_OK;
    }
    tp_mailbox_put(shard, near, message, tp_message_bytes(message));
    tp_mailbox_rouse(shard, near, message);
    return TROUPE_OK;
}

/* Makes the message and sends it. `call` is not NULL for asks. `chain` is the turn's when it waits
 * for the answer; else 0: what nobody waits for begins a chain of its own. */
__attribute__((noinline)) static troupe_status send_with(troupe_turn *turn, const tp_target *to,
    tp_callee called, troupe_slice payload, const troupe_call_options *options, uint64_t deadline,
    const tp_call *call, uint64_t chain, const tp_slip *slip)
{
    tp_shard *shard = turn->shard;
    if (TP_UNLIKELY(payload.size > shard->max_message || !has_memory(shard)))
        return refuse_payload(shard, payload.size);
    bool gated = turn->actor->type->gated;
    tp_activation *near = TP_LIKELY(!gated) ? near_target(shard, to) : NULL;
    if (near != NULL) {
        if (TP_UNLIKELY(!has_room(near, payload.size))) {
            tp_count(&shard->counters.busy_mailbox);
            return TROUPE_BUSY;
        }
    } else {
        troupe_status status = tp_send_room(shard, to->shard, to->hash, call == NULL);
        if (TP_UNLIKELY(status != TROUPE_OK))
            return status;
    }
    bool by_slot = call != NULL && call != &turn->wait_call && slip != NULL &&
                   (slip->flags & TP_SLIP_ONCE) && tp_retry_is_own(options);
    bool is_named = near == NULL || by_slot;
    const tp_activation *self = turn->actor;
    tp_message_parts parts = {.caller = self + 1,
        .key = is_named ? to->key : (troupe_slice){0, 0},
        .partition = is_named ? to->partition : (troupe_slice){0, 0},
        .method = called.name,
        .content_type = options != NULL ? options->content_type : NULL,
        .payload = payload,
        .slip = slip};
    tp_message_head head = {.hash = to->hash,
        .type = to->type,
        .deadline = deadline,
        .from = call != NULL ? *call : (tp_call){0, 0},
        .chain = chain,
        .caller_type = self->type,
        .method = called.number,
        .from_shard = (uint16_t)shard->number,
        .kind = call != NULL ? TP_ASK : TP_TELL,
        .caller_key_size = self->key_size,
        .caller_partition_size = self->partition_size};
    tp_message *message = tp_message_make_here(&shard->pool, &parts, &head);
    if (TP_UNLIKELY(message == NULL)) {
        tp_count(&shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    troupe_status kept = by_slot ? tp_again_keep(shard, *call, message) : TROUPE_OK;
    if (TP_UNLIKELY(kept != TROUPE_OK)) {
        tp_pool_give(&shard->pool, message);
        return kept;
    }
    sample_arrival(shard, message);
    if (TP_UNLIKELY(gated)) {
        troupe_status status = tp_gate_hold(turn, to->shard, message);
        if (status != TROUPE_OK)
            tp_pool_give(&shard->pool, message);
        return status;
    }
    turn->has_sent = true;
    if (near != NULL && call == &turn->wait_call && slip == NULL && turn->detour == 0 &&
        is_next(shard, near)) {
        tp_activation_touch(shard, near);
        hand(shard, near, message);
    } else if (near != NULL) {
        tp_accept_at(shard, near, message);
    } else {
        tp_send_request(shard, to->shard, message);
    }
    return TROUPE_OK;
}

static troupe_status send_slip(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_slice payload, const troupe_call_options *options, uint64_t deadline,
    const tp_call *call, uint64_t chain)
{
    tp_slip slip = {0};
    void *block;
    if (options != NULL && options->once.size != 0)
        TROUPE_TRY(tp_once_slip(turn->shard->shared, to->type, options->once, deadline, &slip));
    TROUPE_TRY(tp_context_merge(turn, options, &block, &slip.baggage));
    troupe_status status =
        send_with(turn, to, called, payload, options, deadline, call, chain, &slip);
    if (block != NULL)
        tp_pool_give(&turn->shard->pool, block);
    return status;
}

static inline troupe_status send(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_slice payload, const troupe_call_options *options, uint64_t deadline,
    const tp_call *call, uint64_t chain)
{
    bool is_marked = options != NULL && (options->once.size != 0 || options->context_count != 0);
    if (TP_UNLIKELY(is_marked || turn->carries))
        return send_slip(turn, to, called, payload, options, deadline, call, chain);
    return send_with(turn, to, called, payload, options, deadline, call, chain, NULL);
}

/* ---- tell ---------------------------------------------------------------------------------- */

static troupe_status tell_with(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_slice payload, const troupe_call_options *options)
{
    tp_shard *shard = turn->shard;
    if (!tp_call_options_are_sound(options))
        return TROUPE_USAGE;
    if (options->outbox) {
        troupe_id id = {to->type->name, to->partition, to->key};
        return tp_outbox_send(turn, id, tp_callee_name(to, called), payload, options, NULL);
    }
    uint64_t deadline =
        options->timeout != 0 ? tp_timeout_end(shard, options->timeout) : TP_NEVER;
    for (uint32_t attempt = 1;; attempt++) {
        troupe_status status = send(turn, to, called, payload, options, deadline, NULL, 0);
        if (TP_LIKELY(status == TROUPE_OK)) {
            tp_count(&shard->counters.tells);
            return TROUPE_OK;
        }
        if (!tp_retry_may(options, status, TROUPE_NOT_DONE, attempt))
            return status;
        TROUPE_TRY(troupe_sleep(
            turn, tp_retry_pause(&options->retry, attempt, tp_prng_next(&shard->prng))));
    }
}

static inline void lay_tell(const troupe_turn *turn, const tp_target *to, uint16_t method,
    troupe_slice payload, tp_message_parts *parts, tp_message_head *head)
{
    const tp_activation *self = turn->actor;
    *parts = (tp_message_parts){.caller = self + 1, .key = to->key, .payload = payload};
    *head = (tp_message_head){.hash = to->hash,
        .type = to->type,
        .deadline = TP_NEVER,
        .caller_type = self->type,
        .method = method,
        .from_shard = (uint16_t)turn->shard->number,
        .kind = TP_TELL,
        .caller_key_size = self->key_size,
        .caller_partition_size = self->partition_size};
}

/* A tell to an actor of another node, to which others are on their way: it leaves nothing here.
 * Apart from tell_arriving, so that what is laid down there stays in registers. */
__attribute__((noinline)) static bool passes_by(
    troupe_turn *turn, const tp_target *to, uint16_t method, troupe_slice payload)
{
    tp_shard *shard = turn->shard;
    const troupe_slice none = {0, 0};
    tp_message_parts parts;
    tp_message_head head;
    tp_arrivals_flush(shard); /* what came before goes before */
    lay_tell(turn, to, method, payload, &parts, &head);
    return !tp_type_has_workers(head.type) &&
           tp_activation_find(shard, head.type, head.hash, none, parts.key) == NULL &&
           shard->away->pass_by(shard->away, &parts, &head);
}

/* A tell to an actor of this shard that has to be looked for: nothing is marked full, and nothing
 * but the key names the target. */
__attribute__((always_inline)) static inline troupe_status tell_arriving(
    troupe_turn *turn, const tp_target *to, uint16_t method, troupe_slice payload)
{
    tp_shard *shard = turn->shard;
    if (TP_UNLIKELY(shard->away != NULL) && shard->went[to->hash % TP_WENT] == to->hash &&
        passes_by(turn, to, method, payload)) {
        turn->has_sent = true;
        tp_count(&shard->counters.tells);
        return TROUPE_OK;
    }
    tp_message_parts parts;
    tp_message_head head;
    lay_tell(turn, to, method, payload, &parts, &head);
    tp_message *message = tp_message_make_here(&shard->pool, &parts, &head);
    if (TP_UNLIKELY(message == NULL)) {
        tp_count(&shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    sample_arrival(shard, message);
    turn->has_sent = true;
    tp_count(&shard->counters.tells);
    tp_arrivals_push(shard, message);
    return TROUPE_OK;
}

__attribute__((always_inline)) static inline troupe_status tell_far(
    troupe_turn *turn, const tp_target *to, tp_callee called, troupe_slice payload)
{
    tp_shard *shard = turn->shard;
    if (TP_LIKELY(to->shard == shard->number && turn->detour == 0 &&
                  !atomic_load_explicit(&shard->crowded, memory_order_relaxed) &&
                  to->partition.size == 0 && called.number != TP_METHOD_OTHER &&
                  payload.size <= shard->max_message && has_memory(shard) &&
                  shard->recent[to->hash % TP_RECENT].hash != to->hash))
        return tell_arriving(turn, to, called.number, payload);
    troupe_status status = send(turn, to, called, payload, NULL, TP_NEVER, NULL, 0);
    if (TP_LIKELY(status == TROUPE_OK))
        tp_count(&turn->shard->counters.tells);
    return status;
}

static inline troupe_status tell_near(
    troupe_turn *turn, tp_activation *near, uint16_t method, troupe_slice payload)
{
    troupe_status status = send_near(turn, near, method, payload, TP_NEVER, NULL, 0);
    if (TP_LIKELY(status == TROUPE_OK))
        tp_count(&turn->shard->counters.tells);
    return status;
}

troupe_status troupe_tell(troupe_turn *turn, troupe_id id, const char *name, troupe_slice payload,
    const troupe_call_options *options)
{
    tp_target to;
    tp_callee called;
    TROUPE_TRY(set_target(turn->shard, id, &to));
    TROUPE_TRY(set_method(turn->shard, to.type, name, &called));
    if (TP_UNLIKELY(options != NULL))
        return tell_with(turn, &to, called, payload, options);
    return tell_far(turn, &to, called, payload);
}

troupe_status troupe_tell_ref(troupe_turn *turn, const troupe_ref *ref, troupe_selector selector,
    troupe_slice payload, const troupe_call_options *options)
{
    tp_target here;
    if (TP_UNLIKELY(options != NULL))
        return tell_with(
            turn, ref_target(turn->shard, ref, &here), selected(selector), payload, options);
    tp_activation *near = TP_LIKELY(turn->detour == 0) ? near_ref(turn->shard, ref) : NULL;
    if (TP_LIKELY(near != NULL))
        return tell_near(turn, near, (uint16_t)selector.number, payload);
    return tell_far(turn, ref_target(turn->shard, ref, &here), selected(selector), payload);
}

/* ---- ask ----------------------------------------------------------------------------------- */

static uint64_t ask_deadline(const troupe_turn *turn, const troupe_call_options *options)
{
    tp_shard *shard = turn->shard;
    uint64_t timeout = options != NULL && options->timeout != 0
                           ? options->timeout
                           : TP_LIVE_GET(shard->shared->options.ask_timeout);
    uint64_t deadline = tp_timeout_end(shard, timeout);
    return deadline < turn->deadline ? deadline : turn->deadline;
}

/* Opens a slot and sends; the slot is gone again when that fails. */
static troupe_status begin_ask(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_slice payload, const troupe_call_options *options, tp_ask_kind kind, void *waiter,
    tp_call *ret_call)
{
    tp_shard *shard = turn->shard;
    if (TP_UNLIKELY(!tp_call_options_are_sound(options)))
        return TROUPE_USAGE;
    uint64_t deadline = ask_deadline(turn, options);
    if (TP_UNLIKELY(deadline <= shard->now)) {
        tp_count(&shard->counters.expired);
        return TROUPE_EXPIRED;
    }
    tp_ask *ask;
    TROUPE_TRY(tp_ask_open(shard, kind, deadline, to->type, to->hash, ret_call, &ask));
    if (kind == TP_ASK_TURN) {
        ask->waiter.turn = waiter;
    } else if (kind == TP_ASK_CALLBACK) {
        ask->waiter.callback = waiter;
    } else {
        ask->waiter.part = waiter;
    }
    troupe_status status = TROUPE_OK;
    if (options != NULL && TP_UNLIKELY(options->cancel != NULL))
        status = tp_cancel_attach(shard, *ret_call, options->cancel);
    if (status == TROUPE_OK)
        status = send(turn, to, called, payload, options, deadline, ret_call,
            kind != TP_ASK_CALLBACK ? tp_turn_chain(turn) : 0);
    if (TP_UNLIKELY(status != TROUPE_OK))
        tp_ask_forget(shard, *ret_call);
    return status;
}

static troupe_status fail_answer(troupe_turn *turn, troupe_id id, troupe_slice method,
    troupe_status status, const troupe_call_options *options, troupe_answer *answer)
{
    char words[TP_REFUSAL_MAX];
    tp_message_parts parts = {.content_type = TROUPE_TEXT,
        .payload = tp_refusal_words(
            words, turn->shard->shared, id, method, status, options)};
    tp_message *owner = tp_message_make(&turn->shard->pool, &parts);
    *answer = (troupe_answer){.status = status,
        .outcome = TROUPE_NOT_DONE,
        .message = troupe_str(troupe_status_text(status))};
    if (owner == NULL)
        return status;
    answer->message = tp_message_payload(owner);
    answer->owner = owner;
    answer->home = turn->shard;
    return status;
}

troupe_status tp_call_begin(troupe_turn *turn, troupe_id id, const char *name, troupe_slice payload,
    const troupe_call_options *options, tp_ask_kind kind, void *waiter, tp_call *ret_call)
{
    tp_target to;
    tp_callee called;
    TROUPE_TRY(set_target(turn->shard, id, &to));
    TROUPE_TRY(set_method(turn->shard, to.type, name, &called));
    return begin_ask(turn, &to, called, payload, options, kind, waiter, ret_call);
}

troupe_status tp_call_refuse(troupe_turn *turn, const troupe_request *request,
    troupe_status status, troupe_answer *ret_answer)
{
    return fail_answer(
        turn, request->id, troupe_str(request->method), status, request->options, ret_answer);
}

static troupe_status fail_target(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_status status, const troupe_call_options *options, troupe_answer *answer)
{
    troupe_id id = {to->type->name, to->partition, to->key};
    return fail_answer(turn, id, tp_callee_name(to, called), status, options, answer);
}

static troupe_status fail_ask(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_status status, const troupe_call_options *options, troupe_answer *answer)
{
    (void)!fail_target(turn, to, called, status, options, answer);
    bool once = options != NULL && options->once.size != 0;
    answer->outcome = tp_once_unsent(once, status, answer->outcome);
    return status;
}

static troupe_status ask_once(troupe_turn *turn, const tp_target *to, tp_callee called,
    troupe_slice payload, const troupe_call_options *options, troupe_answer *answer)
{
    tp_shard *shard = turn->shard;
    troupe_status status = tp_ask_reserve(turn);
    if (status != TROUPE_OK)
        return fail_ask(turn, to, called, status, options, answer);
    turn->wait_answer = answer;
    turn->wait_target = to;
    turn->wait_callee = called;
    status = begin_ask(turn, to, called, payload, options, TP_ASK_TURN, turn, &turn->wait_call);
    if (status != TROUPE_OK)
        return fail_ask(turn, to, called, status, options, answer);
    if (tp_ask_find(shard, turn->wait_call) == NULL)
        return answer->status; /* refused on the way, at once */
    status = tp_park(turn, TP_WAIT_ASK);
    if (TP_UNLIKELY(status != TROUPE_OK)) /* if it did not park: nobody may answer it any more */
        tp_ask_withdraw(shard, turn->wait_call, "what the turn did so far cannot be stored");
    return answer->status == TROUPE_OK ? status : answer->status;
}

/* Does the turn rest on a commit that failed? Then what it asked for was never sent, and goes with
 * the turn. */
static bool is_broken(const troupe_turn *turn)
{
    const tp_durable *durable = turn->commits ? tp_durable_of(turn->actor) : NULL;
    return durable != NULL && durable->broken;
}

/* After a failure. `end`: of a call once, the deadline of all its attempts: later its key may be
 * forgotten, and it would run again. */
__attribute__((noinline)) static troupe_status ask_again(troupe_turn *turn, const tp_target *to,
    tp_callee called, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *answer, troupe_status status, uint64_t end)
{
    tp_shard *shard = turn->shard;
    troupe_call_options now = *options;
    bool is_once = options->once.size != 0;
    for (uint32_t attempt = 1; tp_retry_may(options, status, answer->outcome, attempt); attempt++) {
        uint64_t pause = tp_retry_pause(&options->retry, attempt, tp_prng_next(&shard->prng));
        if (is_once && (is_broken(turn) || tp_time_after(tp_clock(shard), pause) >= end))
            break;
        troupe_answer_release(answer);
        status = troupe_sleep(turn, pause);
        if (status != TROUPE_OK)
            return fail_ask(turn, to, called, status, options, answer);
        uint64_t again = tp_clock_read(shard); /* the deadline is made of it again */
        if (is_once)
            now.timeout = end > again ? end - again : 1;
        status = ask_once(turn, to, called, payload, &now, answer);
    }
    return status;
}

__attribute__((always_inline)) static inline troupe_status ask(troupe_turn *turn,
    const tp_target *to, tp_callee called, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *answer)
{
    bool is_once = options != NULL && options->once.size != 0;
    uint64_t end = TP_UNLIKELY(is_once) ? ask_deadline(turn, options) : TP_NEVER;
    troupe_status status = ask_once(turn, to, called, payload, options, answer);
    if (TP_LIKELY(status == TROUPE_OK) || options == NULL)
        return status;
    return ask_again(turn, to, called, payload, options, answer, status, end);
}

troupe_status troupe_ask(troupe_turn *turn, troupe_id id, const char *name, troupe_slice payload,
    const troupe_call_options *options, troupe_answer *ret_answer)
{
    tp_target to;
    tp_callee called;
    troupe_status status = set_target(turn->shard, id, &to);
    if (TP_LIKELY(status == TROUPE_OK))
        status = set_method(turn->shard, to.type, name, &called);
    if (TP_UNLIKELY(status != TROUPE_OK))
        return fail_answer(turn, id, troupe_str(name), status, options, ret_answer);
    return ask(turn, &to, called, payload, options, ret_answer);
}

/* An ask of an actor of this shard that is at hand, without options: it is not refused on the way.
 */
static troupe_status ask_near(troupe_turn *turn, const tp_target *to, tp_activation *near,
    tp_callee called, troupe_slice payload, troupe_answer *answer)
{
    tp_shard *shard = turn->shard;
    tp_ask *ask;
    troupe_status status = tp_park_reserve(turn);
    if (TP_UNLIKELY(status != TROUPE_OK))
        return fail_target(turn, to, called, status, NULL, answer);
    uint64_t deadline = ask_deadline(turn, NULL);
    if (TP_UNLIKELY(deadline <= shard->now)) {
        tp_count(&shard->counters.expired);
        return fail_target(turn, to, called, TROUPE_EXPIRED, NULL, answer);
    }
    status =
        tp_ask_open(shard, TP_ASK_TURN, deadline, near->type, near->hash, &turn->wait_call, &ask);
    if (TP_UNLIKELY(status != TROUPE_OK))
        return fail_target(turn, to, called, status, NULL, answer);
    ask->waiter.turn = turn;
    status = send_near(
        turn, near, called.number, payload, deadline, &turn->wait_call, tp_turn_chain(turn));
    if (TP_UNLIKELY(status != TROUPE_OK)) {
        tp_ask_forget(shard, turn->wait_call);
        return fail_target(turn, to, called, status, NULL, answer);
    }
    turn->wait_answer = answer;
    turn->wait_target = to;
    turn->wait_callee = called;
    status = tp_park(turn, TP_WAIT_ASK);
    return answer->status == TROUPE_OK ? status : answer->status;
}

/* A function of its own, as the frame that lies on the stack of each of many that wait for others.
 */
__attribute__((noinline)) static troupe_status ask_ref(troupe_turn *turn, const troupe_ref *ref,
    troupe_selector selector, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *answer)
{
    return ask(turn, &ref->to, selected(selector), payload, options, answer);
}

__attribute__((noinline)) static troupe_status ask_worker(troupe_turn *turn, const troupe_ref *ref,
    troupe_selector selector, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *answer)
{
    tp_target here;
    return ask(
        turn, ref_target(turn->shard, ref, &here), selected(selector), payload, options, answer);
}

troupe_status troupe_ask_ref(troupe_turn *turn, const troupe_ref *ref, troupe_selector selector,
    troupe_slice payload, const troupe_call_options *options, troupe_answer *ret_answer)
{
    tp_activation *near = options == NULL && turn->detour == 0 ? near_ref(turn->shard, ref) : NULL;
    if (TP_LIKELY(near != NULL))
        return ask_near(turn, &ref->to, near, selected(selector), payload, ret_answer);
    if (TP_UNLIKELY(ref->to.shard == TP_SHARD_ANY))
        return ask_worker(turn, ref, selector, payload, options, ret_answer);
    return ask_ref(turn, ref, selector, payload, options, ret_answer);
}

troupe_status troupe_ask_callback(troupe_turn *turn, troupe_id id, const char *name,
    troupe_slice payload, const troupe_call_options *options, troupe_turn_done *done, void *user)
{
    tp_shard *shard = turn->shard;
    if (options != NULL && options->retry.attempts > 1)
        return TROUPE_USAGE; /* retries need the waiting form */
    tp_target to;
    tp_callee called;
    TROUPE_TRY(set_target(shard, id, &to));
    TROUPE_TRY(set_method(shard, to.type, name, &called));
    tp_extras *extras = tp_activation_extras(shard, turn->actor);
    troupe_slice baggage = tp_turn_baggage(turn);
    tp_callback *callback =
        extras != NULL ? tp_pool_take(&shard->pool, sizeof *callback + baggage.size) : NULL;
    if (callback == NULL)
        return TROUPE_NO_MEMORY;
    static const char room[512] = {0};
    const tp_message_parts parts = {.key = to.key,
        .partition = to.partition,
        .method = tp_callee_name(&to, called),
        .content_type = TROUPE_TEXT,
        .payload = {room, sizeof room}};
    *callback = (tp_callback){.done = done,
        .user = user,
        .actor = turn->actor,
        .spare = tp_message_make(&shard->pool, &parts),
        .generation = extras->generation,
        .baggage_size = (uint32_t)baggage.size};
    tp_bytes_copy(callback->baggage, baggage.data, baggage.size);
    if (callback->spare == NULL) {
        tp_pool_give(&shard->pool, callback);
        return TROUPE_NO_MEMORY;
    }
    callback->spare->method = TP_METHOD_OTHER; /* by name: the message is for none */
    extras->callbacks++;
    tp_call call;
    troupe_status status =
        begin_ask(turn, &to, called, payload, options, TP_ASK_CALLBACK, callback, &call);
    if (status != TROUPE_OK) {
        extras->callbacks--;
        tp_pool_give(&shard->pool, callback->spare);
        tp_pool_give(&shard->pool, callback);
    }
    return status;
}

troupe_status troupe_ask_then(troupe_turn *turn, troupe_id id, const char *name,
    troupe_slice payload, const troupe_call_options *options, const troupe_then *then)
{
    tp_target to;
    tp_callee called;
    TROUPE_TRY(set_target(turn->shard, id, &to));
    TROUPE_TRY(set_method(turn->shard, to.type, name, &called));
    if (then == NULL || then->size != sizeof *then || then->done == NULL || then->failed == NULL ||
        then->context.size > TP_CONTEXT_MAX || !tp_call_options_are_sound(options))
        return TROUPE_USAGE;
    const tp_type *own = turn->actor->type;
    if (tp_type_method(own, troupe_str(then->done)) < 0 ||
        tp_type_method(own, troupe_str(then->failed)) < 0)
        return TROUPE_NO_METHOD;
    return tp_outbox_send(turn, id, troupe_str(name), payload, options, then);
}
