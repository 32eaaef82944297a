/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls from outside: checked here on the calling thread, then handed to the shard of the target
 * (shard/outside.c). A blocking ask waits for its shard, which keeps the deadline; should the shard
 * not come to it (a stuck turn), the caller leaves some time after the deadline with UNKNOWN.
 *
 * Threads: any that is not the node's. A client has no mutable state: the inbox keeps the order of
 * its calls.
 */
#include "node/node.h"
#include "shard/baggage.h"
#include "shard/durable.h"
#include "shard/words.h"
#include "shard/workers.h"

#include "base/alloc.h"
#include "base/id.h"

#include <stdio.h>

/* After its deadline a caller waits so long for the shard that keeps it, before it takes the shard
 * for stuck. */
#define STUCK_GRACE TROUPE_SECONDS(1)

struct troupe_client {
    troupe_node *node;
};

troupe_status troupe_client_open(troupe_node *node, troupe_client **ret_client)
{
    troupe_client *client = tp_allocate(node->shared.allocator, sizeof *client);
    if (client == NULL)
        return TROUPE_NO_MEMORY;
    client->node = node;
    *ret_client = client;
    return TROUPE_OK;
}

void troupe_client_close(troupe_client *client)
{
    if (client != NULL)
        tp_release(client->node->shared.allocator, client, sizeof *client);
}

static troupe_status resolve(tp_shared *shared, troupe_id id, const char *method,
    const tp_type **ret_type, uint16_t *ret_method)
{
    const tp_type *type = tp_type_known(shared, id.type);
    if (type == NULL)
        return tp_name_is_valid(id.type) ? TROUPE_NO_TYPE : TROUPE_USAGE;
    if (id.key.size - 1 >= TP_KEY_MAX ||
        (id.partition.size != 0 && !tp_name_is_valid(id.partition)))
        return TROUPE_USAGE;
    if (method == NULL)
        return TROUPE_USAGE;
    int32_t number = tp_type_method(type, troupe_str(method));
    if (number < 0)
        return TROUPE_NO_METHOD;
    *ret_type = type;
    *ret_method = (uint16_t)number;
    return TROUPE_OK;
}

/* BUSY. Not crowded: the inbox is full. */
static troupe_status refuse(troupe_node *node, tp_crowding crowding)
{
    _Atomic uint64_t *count = crowding == TP_CROWDED_FULL    ? &node->outside_mailbox
                              : crowding == TP_CROWDED_HERE  ? &node->outside_crowded
                              : crowding == TP_CROWDED_SHORT ? &node->outside_short
                              : crowding == TP_CROWDED_AWAY  ? &node->outside_link
                                                             : &node->outside_busy;
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return TROUPE_BUSY;
}

/* Checks, and makes the call. */
static troupe_status prepare_with(troupe_node *node, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, bool is_ask, bool waits,
    troupe_slice baggage, tp_outside **ret)
{
    tp_shared *shared = &node->shared;
    const tp_type *type;
    uint16_t number;
    if (atomic_load_explicit(&shared->closing, memory_order_relaxed) != TP_OPEN)
        return TROUPE_CLOSED;
    TROUPE_TRY(resolve(shared, id, method, &type, &number));
    if (payload.size > shared->options.max_message) {
        atomic_fetch_add_explicit(&node->outside_too_large, 1, memory_order_relaxed);
        return TROUPE_TOO_LARGE;
    }
    uint64_t hash = tp_type_hash(&shared->types, type, id.partition, id.key);
    if (TP_UNLIKELY(tp_type_has_workers(type)) && !tp_worker_enter(shared, type, &hash))
        return refuse(node, TP_CROWDED_FULL);
    tp_shard *shard = shared->shards[tp_hash_shard(hash, shared->shard_count)];
    tp_crowding crowding = tp_crowding_of(shard, hash, !is_ask);
    if (TP_UNLIKELY(crowding != TP_NOT_CROWDED || tp_mpring_is_full(&shard->calls)))
        return refuse(node, crowding);
    if (TP_UNLIKELY(payload.size >= TP_OUTSIDE_LARGE) && !tp_outside_has_memory(shard))
        return refuse(node, TP_CROWDED_SHORT);
    tp_slip slip = {
        .once = options != NULL ? options->once : (troupe_slice){NULL, 0}, .baggage = baggage};
    if (slip.once.size != 0 && (!tp_type_takes_once(type) || slip.once.size > TP_ROW_ONCE_MAX))
        return TROUPE_USAGE;
    if (options != NULL && options->outbox)
        return TROUPE_USAGE; /* an outbox is an actor's */
    tp_message_parts parts = {.key = id.key,
        .partition = id.partition,
        .payload = payload,
        .content_type = options != NULL ? options->content_type : NULL,
        .slip = slip.once.size + slip.baggage.size != 0 ? &slip : NULL};
    if (number == TP_METHOD_OTHER)
        parts.method = troupe_str(method);
    tp_outside *outside = tp_outside_make(shard, &parts, waits);
    if (outside == NULL) {
        atomic_fetch_add_explicit(&node->outside_no_memory, 1, memory_order_relaxed);
        return TROUPE_NO_MEMORY;
    }
    outside->timeout = options != NULL ? options->timeout : 0;
    if (outside->timeout == 0)
        outside->timeout = is_ask ? TP_LIVE_GET(shared->options.ask_timeout) : TP_NEVER;
    outside->pulse = atomic_load_explicit(node->env->pulse, memory_order_relaxed);
    /* The clock costs as much as the rest of this. One call in so many shows how long they wait. A
     * short time is counted from here; a long one may be late by two beats. */
    if (atomic_load_explicit(&shard->calls.entered, memory_order_relaxed) % TP_SAMPLE == 0 ||
        outside->timeout < TP_SHORT_TIME || !node->env->beats)
        outside->entered = node->env->now(node->env);
    outside->is_ask = is_ask;
    outside->type = type;
    outside->hash = hash;
    outside->method = number;
    outside->cancel = options != NULL ? tp_cancel_retain(options->cancel) : NULL;
    *ret = outside;
    return TROUPE_OK;
}

/* With a request context; it lies on the stack until the call has copied it. */
__attribute__((noinline)) static troupe_status prepare_carrying(troupe_node *node, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options, bool is_ask,
    bool waits, tp_outside **ret)
{
    char here[TP_BAGGAGE_MAX];
    troupe_slice baggage;
    TROUPE_TRY(tp_baggage_merge(
        (troupe_slice){NULL, 0}, options->context, options->context_count, here, &baggage));
    return prepare_with(node, id, method, payload, options, is_ask, waits, baggage, ret);
}

static troupe_status prepare(troupe_node *node, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, bool is_ask, bool waits,
    tp_outside **ret)
{
    if (TP_UNLIKELY(!tp_call_options_are_sound(options)))
        return TROUPE_USAGE;
    if (options != NULL && TP_UNLIKELY(options->context_count != 0))
        return prepare_carrying(node, id, method, payload, options, is_ask, waits, ret);
    return prepare_with(
        node, id, method, payload, options, is_ask, waits, (troupe_slice){NULL, 0}, ret);
}

static troupe_status enter(troupe_node *node, tp_outside *outside)
{
    tp_shard *shard = node->shared.shards[tp_hash_shard(outside->hash, node->shared.shard_count)];
    if (tp_outside_enter(shard, outside))
        return TROUPE_OK;
    tp_outside_release(outside);
    atomic_fetch_add_explicit(&node->outside_busy, 1, memory_order_relaxed);
    return TROUPE_BUSY;
}

static troupe_status fail(troupe_node *node, troupe_id id, const char *method,
    troupe_answer *answer, troupe_status status, const troupe_call_options *options)
{
    char words[TP_REFUSAL_MAX];
    bool once = options != NULL && options->once.size != 0;
    const troupe_answer refusal = {.status = status,
        .outcome = tp_once_unsent(once, status, troupe_status_outcome(status)),
        .message = tp_refusal_words(words, &node->shared, id, troupe_str(method), status, options)};
    tp_outside_copy(node->shared.allocator, &refusal, answer);
    if (answer->message.size == 0)
        answer->message = troupe_str(troupe_status_text(status));
    return status;
}

static troupe_status fail_in_words(
    troupe_node *node, troupe_id id, const char *method, const char *words, troupe_answer *answer)
{
    char name[TP_ID_MAX + 1], text[TP_REFUSAL_MAX];
    troupe_id_print(id, name, sizeof name);
    snprintf(text, sizeof text, "%s %s: %s", name, method != NULL ? method : "", words);
    const troupe_answer refusal = {
        .status = TROUPE_USAGE, .outcome = TROUPE_NOT_DONE, .message = troupe_str(text)};
    tp_outside_copy(node->shared.allocator, &refusal, answer);
    if (answer->message.size == 0)
        answer->message = troupe_str(words);
    return TROUPE_USAGE;
}

/* Sends it and waits for its answer; takes it. `options` may be NULL. */
static troupe_status wait_for(troupe_node *node, tp_outside *outside, troupe_id id,
    const char *method, const troupe_call_options *options, troupe_answer *ret_answer)
{
    tp_env *env = node->env;
    tp_waiter waiter;
    troupe_status status = env->wait_begin(env, &waiter);
    if (status != TROUPE_OK) {
        tp_outside_release(outside);
        return fail(node, id, method, ret_answer, status, options);
    }
    outside->waiter = &waiter;
    uint64_t patience = tp_time_after(outside->timeout, STUCK_GRACE);
    status = enter(node, outside);
    if (status != TROUPE_OK) {
        env->wait_end(env, &waiter);
        return fail(node, id, method, ret_answer, status, options);
    }
    uint64_t leave_at = tp_time_after(env->now(env), patience);
    bool left = false;
    if (!env->wait(env, &waiter, leave_at)) {
        uint32_t pending = TP_OUTSIDE_PENDING;
        left = atomic_compare_exchange_strong(&outside->state, &pending, TP_OUTSIDE_LEFT);
        if (!left)
            env->wait(env, &waiter, TP_NEVER); /* its signal is on the way */
    }
    __builtin_prefetch(outside->tail); /* while what leads there is on its way, too */
    env->wait_end(env, &waiter);
    if (left)
        return fail(node, id, method, ret_answer, TROUPE_TIMEOUT, options);
    *ret_answer = outside->answer;
    if (ret_answer->owner == &outside->block) {
        troupe_cancel_destroy(outside->cancel);
    } else {
        tp_outside_release(outside);
    }
    return ret_answer->status;
}

static troupe_status ask_once(troupe_node *node, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, troupe_answer *ret_answer)
{
    tp_outside *outside;
    troupe_status status = prepare(node, id, method, payload, options, true, true, &outside);
    if (status != TROUPE_OK)
        return fail(node, id, method, ret_answer, status, options);
    return wait_for(node, outside, id, method, options, ret_answer);
}

static const char *const errand_names[TP_ERRANDS] = {"", "(restore)", "(delete)", "(replay)",
    "(drop)", "(cancel)", "(remind)", "(timer)", "(timer end)"};

static troupe_status prepare_errand(troupe_node *node, troupe_id id, tp_errand errand,
    troupe_slice payload, uint64_t timeout, tp_outside **ret)
{
    tp_shared *shared = &node->shared;
    const tp_type *type = tp_types_find(&shared->types, id.type);
    if (type == NULL)
        return TROUPE_NO_TYPE;
    if (atomic_load_explicit(&shared->closing, memory_order_relaxed) != TP_OPEN)
        return TROUPE_CLOSED;
    uint64_t hash = tp_type_hash(&shared->types, type, id.partition, id.key);
    tp_message_parts parts = {.key = id.key,
        .partition = id.partition,
        .payload = payload,
        .method = troupe_str(errand_names[errand])};
    tp_outside *outside =
        tp_outside_make(shared->shards[tp_hash_shard(hash, shared->shard_count)], &parts, true);
    if (outside == NULL)
        return TROUPE_NO_MEMORY;
    outside->timeout = timeout != 0 ? timeout : TP_LIVE_GET(shared->options.ask_timeout);
    outside->entered = node->env->now(node->env);
    outside->is_ask = true;
    outside->errand = (uint8_t)errand;
    outside->type = type;
    outside->hash = hash;
    outside->method = TP_METHOD_OTHER;
    *ret = outside;
    return TROUPE_OK;
}

troupe_status tp_node_errand(troupe_node *node, troupe_id id, tp_errand errand,
    troupe_slice payload, uint64_t timeout, troupe_answer *ret_answer)
{
    tp_outside *outside;
    troupe_status status = prepare_errand(node, id, errand, payload, timeout, &outside);
    if (status != TROUPE_OK)
        return fail(node, id, errand_names[errand], ret_answer, status, NULL);
    return wait_for(node, outside, id, errand_names[errand], NULL, ret_answer);
}

troupe_status tp_node_errand_callback(troupe_node *node, troupe_id id, tp_errand errand,
    troupe_slice payload, uint64_t timeout, troupe_client_done *done, void *user)
{
    tp_outside *outside;
    TROUPE_TRY(prepare_errand(node, id, errand, payload, timeout, &outside));
    outside->done = done;
    outside->user = user;
    return enter(node, outside);
}

static void pause_for(tp_env *env, uint64_t duration)
{
    tp_waiter waiter = {0};
    if (env->wait_begin(env, &waiter) != TROUPE_OK)
        return;
    env->wait(env, &waiter, tp_time_after(env->now(env), duration));
    env->wait_end(env, &waiter);
}

/* After a failure, of a call that began at `begin`. */
static troupe_status ask_again(troupe_node *node, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, troupe_answer *answer, uint64_t begin)
{
    tp_env *env = node->env;
    troupe_call_options now = *options;
    troupe_status status = answer->status;
    bool is_once = options->once.size != 0;
    uint64_t timeout =
        options->timeout != 0 ? options->timeout : TP_LIVE_GET(node->shared.options.ask_timeout);
    uint64_t end = tp_time_after(begin, timeout);
    for (uint32_t attempt = 1; tp_retry_may(options, status, answer->outcome, attempt); attempt++) {
        uint64_t chance;
        env->entropy(env, &chance, sizeof chance);
        uint64_t pause = tp_retry_pause(&options->retry, attempt, chance);
        if (is_once && tp_time_after(env->now(env), pause) >= end)
            break; /* later its key may be forgotten, and it would run again */
        troupe_answer_release(answer);
        pause_for(env, pause);
        if (is_once)
            now.timeout = end > env->now(env) ? end - env->now(env) : 1;
        status = ask_once(node, id, method, payload, &now, answer);
    }
    return status;
}

troupe_status troupe_client_ask(troupe_client *client, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, troupe_answer *ret_answer)
{
    troupe_node *node = client->node;
    tp_env *env = node->env;
    if (env->is_runner(env)) { /* it would wait for itself */
        static const char words[] =
            "who asks from outside waits on its thread, which a turn or a callback must not: in a "
            "turn use troupe_ask, else troupe_client_ask_callback";
        return fail_in_words(node, id, method, words, ret_answer);
    }
    uint64_t begin = options != NULL && options->once.size != 0 ? env->now(env) : 0;
    troupe_status status = ask_once(node, id, method, payload, options, ret_answer);
    if (status == TROUPE_OK || options == NULL)
        return status;
    return ask_again(node, id, method, payload, options, ret_answer, begin);
}

troupe_status troupe_client_ask_callback(troupe_client *client, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, troupe_client_done *done, void *user)
{
    if (done == NULL || (options != NULL && options->retry.attempts > 1))
        return TROUPE_USAGE;
    tp_outside *outside;
    TROUPE_TRY(prepare(client->node, id, method, payload, options, true, false, &outside));
    outside->done = done;
    outside->user = user;
    outside->asks_again = options != NULL && tp_retry_is_own(options);
    return enter(client->node, outside);
}

troupe_status troupe_client_tell(troupe_client *client, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options)
{
    troupe_node *node = client->node;
    for (uint32_t attempt = 1;; attempt++) {
        tp_outside *outside;
        troupe_status status = prepare(node, id, method, payload, options, false, false, &outside);
        if (status == TROUPE_OK)
            status = enter(node, outside);
        if (status == TROUPE_OK)
            return TROUPE_OK;
        bool busy = troupe_status_kind(status) == TROUPE_KIND_BUSY;
        if (!busy || options == NULL || attempt >= options->retry.attempts ||
            node->env->is_runner(node->env))
            return status;
        uint64_t chance;
        node->env->entropy(node->env, &chance, sizeof chance);
        pause_for(node->env, tp_retry_pause(&options->retry, attempt, chance));
    }
}

troupe_status troupe_node_ask(troupe_node *node, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, troupe_answer *ret_answer)
{
    return troupe_client_ask(node->client, id, method, payload, options, ret_answer);
}

troupe_status troupe_node_tell(troupe_node *node, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options)
{
    return troupe_client_tell(node->client, id, method, payload, options);
}
