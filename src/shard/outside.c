/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other threads bring in: an inbox per shard, drained at the begin of each pass. A call from
 * outside becomes a slot on the shard of its target, so that deadlines, cancellation and cycles
 * work as for asks of actors.
 *
 * Threads: a tp_outside belongs to the calling thread until the push, then to the shard. Of a
 * blocking ask, `state` says who has it in the end: the caller once it is ANSWERED (and signalled),
 * the shard if it was LEFT.
 */
#include "shard/again.h"
#include "shard/away.h"
#include "shard/durable.h"
#include "shard/workers.h"

#include "base/alloc.h"

#include <stdio.h>

#define ANSWER_ROOM 128 /* at least, for the text of an answer in the block of its call */
#define TP_BEAT     TROUPE_MILLISECONDS(10) /* of env's pulse */
#define HOT_LINES   4   /* of a block: what comes before the answer, and a short tail */
#define AHEAD       3   /* calls whose blocks are on their way to the cache */
#define BLOCK_SIZE  512 /* of calls that nobody waits for: larger ones are not kept */
#define BLOCKS_KEPT 256 /* at most twice: given back, and taken but not used yet */
#define DRAIN_MAX \
    128 /* a pass; the rest waits, so that the inbox fills and callers are refused outside */

void tp_inbox_push(tp_shard *shard, tp_inbound *inbound)
{
    tp_mpsc_push(&shard->inbox, &inbound->node);
    shard->env->runner_wake(shard->env, &shard->runner);
}

/* 0: the number of them is bound enough. */
static uint64_t large_bytes(const tp_outside *outside)
{
    return outside->payload_size >= TP_OUTSIDE_LARGE ? outside->payload_size : 0;
}

bool tp_outside_has_memory(const tp_shard *shard)
{
    return atomic_load_explicit(&shard->outside_bytes, memory_order_relaxed) +
               tp_pool_bytes(&shard->pool) <=
           tp_memory_share(shard->shared);
}

bool tp_outside_enter(tp_shard *shard, tp_outside *outside)
{
    uint64_t bytes = large_bytes(outside);
    if (TP_UNLIKELY(bytes != 0))
        atomic_fetch_add_explicit(&shard->outside_bytes, bytes, memory_order_relaxed);
    if (!tp_mpring_put(&shard->calls, outside)) {
        atomic_fetch_sub_explicit(&shard->outside_bytes, bytes, memory_order_relaxed);
        return false;
    }
    shard->env->runner_wake(shard->env, &shard->runner);
    return true;
}

static void arrive(tp_shard *shard, tp_outside *outside);

static void prefetch(const tp_outside *outside)
{
    const char *at = (const char *)outside;
    for (size_t line = 0; outside != NULL && line < HOT_LINES; line++)
        __builtin_prefetch(at + TP_CACHE_LINE * line, 1); /* it is written to before long */
}

/* What has just come is fetched while the pass begins. */
bool tp_inbox_look(const tp_shard *shard)
{
    if (tp_inbox_is_empty(shard))
        return false;
    prefetch(tp_mpring_peek(&shard->calls, 0));
    return true;
}

static uint32_t take_calls(tp_shard *shard)
{
    tp_mpring *calls = &shard->calls;
    uint32_t taken = 0;
    for (; taken < DRAIN_MAX; taken++) {
        tp_outside *outside = tp_mpring_take(calls);
        if (outside == NULL)
            break;
        prefetch(tp_mpring_peek(calls, AHEAD));
        arrive(shard, outside);
    }
    if (taken != 0)
        tp_mpring_publish(calls);
    return taken;
}

bool tp_inbox_drain(tp_shard *shard)
{
    uint32_t taken = take_calls(shard);
    if (shard->inbox_rest == NULL && !tp_mpsc_is_empty(&shard->inbox)) {
        shard->inbox_rest = tp_mpsc_drain(&shard->inbox);
        /* What a thread did after its calls does not overtake them. */
        shard->inbox_after = atomic_load_explicit(&shard->calls.entered, memory_order_relaxed);
    }
    if (TP_LIKELY(shard->inbox_rest == NULL) ||
        (int32_t)(shard->calls.next - shard->inbox_after) < 0)
        return !tp_inbox_is_empty(shard);
    for (; taken < DRAIN_MAX && shard->inbox_rest != NULL; taken++) {
        tp_mpsc_node *node = shard->inbox_rest;
        shard->inbox_rest = node->next;
        tp_inbound *inbound = TP_CONTAINER(node, tp_inbound, node);
        inbound->arrive(shard, inbound);
    }
    return !tp_inbox_is_empty(shard);
}

/* ---- answers that live outside: one block with payload, content type and message ----------- */

static void lay_down(const troupe_answer *from, char *at, void *owner, troupe_answer *to)
{
    const troupe_slice parts[] = {from->payload, from->content_type, from->message};
    troupe_slice *slices[] = {&to->payload, &to->content_type, &to->message};
    for (int i = 0; i < 3; i++) {
        if (parts[i].size != 0)
            memcpy(at, parts[i].data, parts[i].size);
        *slices[i] = (troupe_slice){at, parts[i].size};
        at += parts[i].size;
    }
    to->owner = owner;
}

static size_t text_size(const troupe_answer *answer)
{
    return answer->payload.size + answer->content_type.size + answer->message.size;
}

void tp_outside_copy(
    const troupe_allocator *allocator, const troupe_answer *from, troupe_answer *to)
{
    *to = (troupe_answer){.status = from->status, .outcome = from->outcome};
    size_t size = sizeof(tp_outside_block) + text_size(from);
    tp_outside_block *block = tp_allocate(allocator, size);
    if (block == NULL) {
        if (from->status == TROUPE_OK && from->payload.size != 0) {
            to->status = TROUPE_NO_MEMORY; /* it ran, but its answer has no room */
            to->outcome = TROUPE_UNKNOWN_OUTCOME;
        }
        return;
    }
    *block = (tp_outside_block){allocator, size};
    lay_down(from, (char *)(block + 1), block, to);
}

void tp_outside_answer_release(void *owner)
{
    tp_outside_block *block = owner;
    tp_release(block->allocator, block, block->size);
}

void tp_outside_release(tp_outside *outside)
{
    troupe_cancel_destroy(outside->cancel); /* NULL, once the shard has taken it in */
    tp_outside_answer_release(&outside->block);
}

/* ---- blocks are used again ----------------------------------------------------------------- */

/* What one thread allocates and another frees costs an allocator more than a call costs us. So the
 * shard lays the blocks of calls that nobody waits for on a stack of its own, and a caller that
 * needs one takes the whole of it: no block is taken off under another's eyes, so none can come
 * back unseen in between. What the caller does not use at once the next callers find. */

static void give_back(tp_shard *shard, tp_outside *outside)
{
    tp_mpsc_node *node = &outside->node;
    tp_mpsc_node *top = atomic_load_explicit(&shard->blocks_back, memory_order_relaxed);
    if (top == NULL)
        shard->blocks_back_count = 0;
    if (outside->block.size != BLOCK_SIZE || shard->blocks_back_count >= BLOCKS_KEPT ||
        shard->shared->hostile) {
        tp_outside_release(outside);
        return;
    }
    troupe_cancel_destroy(outside->cancel); /* NULL, once the shard has taken it in */
    shard->blocks_back_count++;
    do {
        node->next = top;
    } while (!atomic_compare_exchange_weak_explicit(
        &shard->blocks_back, &top, node, memory_order_release, memory_order_relaxed));
}

static void release_all(tp_mpsc_node *node)
{
    while (node != NULL) {
        tp_outside *outside = TP_CONTAINER(node, tp_outside, node);
        node = node->next;
        tp_outside_answer_release(&outside->block);
    }
}

/* NULL: none is there. */
static tp_outside *take_back(tp_shard *shard)
{
    tp_mpsc_node *node = NULL;
    if (atomic_load_explicit(&shard->blocks_taken, memory_order_relaxed) != NULL)
        node = atomic_exchange_explicit(&shard->blocks_taken, NULL, memory_order_acquire);
    if (node == NULL && atomic_load_explicit(&shard->blocks_back, memory_order_relaxed) != NULL)
        node = atomic_exchange_explicit(&shard->blocks_back, NULL, memory_order_acquire);
    if (node == NULL)
        return NULL;
    tp_mpsc_node *rest = node->next;
    tp_mpsc_node *none = NULL;
    if (rest != NULL) {
        prefetch(TP_CONTAINER(rest, tp_outside, node));
        if (!atomic_compare_exchange_strong_explicit(
                &shard->blocks_taken, &none, rest, memory_order_release, memory_order_relaxed))
            release_all(rest); /* another thread left some meanwhile: those are enough */
    }
    return TP_CONTAINER(node, tp_outside, node);
}

void tp_outside_blocks_deinit(tp_shard *shard)
{
    release_all(atomic_load(&shard->blocks_taken));
    release_all(atomic_load(&shard->blocks_back));
}

/* The waiter is signalled last: from then on the caller has the block. */
static void hand_back(tp_shard *shard, tp_outside *outside, const troupe_answer *answer)
{
    tp_shared *shared = shard->shared;
    tp_waiter *waiter = outside->waiter;
    troupe_answer *to = &outside->answer;
    if (text_size(answer) <= outside->block.size - offsetof(tp_outside, tail)) {
        *to = (troupe_answer){.status = answer->status, .outcome = answer->outcome};
        lay_down(answer, outside->tail, &outside->block, to);
    } else {
        tp_outside_copy(shared->allocator, answer, to);
    }
    uint32_t pending = TP_OUTSIDE_PENDING;
    if (atomic_compare_exchange_strong(&outside->state, &pending, TP_OUTSIDE_ANSWERED)) {
        shared->env->signal(shared->env, waiter);
        return;
    }
    if (to->owner != NULL && to->owner != &outside->block)
        tp_outside_answer_release(to->owner);
    tp_outside_release(outside);
}

static void complete(tp_shard *shard, tp_outside *outside, const troupe_answer *answer)
{
    if (outside->waiter != NULL) {
        hand_back(shard, outside, answer);
        return;
    }
    if (outside->done != NULL)
        outside->done(outside->user, answer);
    give_back(shard, outside);
}

/* The lease has run out since it was computed: it waits until it holds again, or never leaves. That
 * a deadline is over is no effect of a turn. */
static void hold(tp_shard *shard, tp_outside *outside, const troupe_answer *answer)
{
    TP_MARK(shard, "answer waits for the lease");
    tp_outside_copy(shard->shared->allocator, answer, &outside->answer);
    outside->node.next = shard->held_answers;
    shard->held_answers = &outside->node;
}

void tp_outside_let_go(tp_shard *shard, bool is_lost)
{
    tp_mpsc_node *node = shard->held_answers;
    shard->held_answers = NULL;
    while (node != NULL) {
        tp_outside *outside = TP_CONTAINER(node, tp_outside, node);
        node = node->next;
        troupe_answer answer = outside->answer;
        troupe_answer lost = {.status = TROUPE_UNKNOWN,
            .outcome = TROUPE_UNKNOWN_OUTCOME,
            .message = troupe_str("its node was put out of the cluster before it could answer")};
        complete(shard, outside, is_lost ? &lost : &answer);
        troupe_answer_release(&answer);
    }
}

uint64_t tp_outside_expire_held(tp_shard *shard)
{
    static const char words[] = "this node's lease had run out until the deadline; it has run";
    const troupe_answer late = {.status = TROUPE_TIMEOUT,
        .outcome = TROUPE_UNKNOWN_OUTCOME,
        .message = {words, sizeof words - 1}};
    uint64_t next = TP_NEVER;
    for (tp_mpsc_node **at = &shard->held_answers; *at != NULL;) {
        tp_outside *outside = TP_CONTAINER(*at, tp_outside, node);
        if (outside->timeout > shard->now) {
            next = outside->timeout < next ? outside->timeout : next;
            at = &outside->node.next;
            continue;
        }
        *at = outside->node.next;
        troupe_answer answer = outside->answer;
        complete(shard, outside, &late);
        troupe_answer_release(&answer);
    }
    return next;
}

void tp_outside_complete(tp_shard *shard, tp_outside *outside, const troupe_answer *answer)
{
    if (TP_LIKELY(tp_lease_holds(shard->shared)) || answer->status == TROUPE_TIMEOUT)
        complete(shard, outside, answer);
    else
        hold(shard, outside, answer);
}

static troupe_slice cut(const char **at, size_t size)
{
    troupe_slice slice = {*at, size};
    *at += size;
    return slice;
}

troupe_id tp_outside_target(const tp_outside *outside, troupe_slice *ret_method)
{
    const char *at = outside->tail + outside->content_size + 1;
    troupe_id id = {.type = outside->type->name};
    id.key = cut(&at, outside->key_size);
    id.partition = cut(&at, outside->partition_size);
    troupe_slice given = cut(&at, outside->method_size);
    *ret_method = outside->method == TP_METHOD_OTHER
                      ? given
                      : outside->type->methods[outside->method].name;
    return id;
}

static void refuse(tp_shard *shard, tp_outside *outside, troupe_status status, const char *words)
{
    char name[TP_ID_MAX + 1], text[TP_ID_MAX + TP_NAME_MAX + 160];
    troupe_slice method;
    troupe_id_print(tp_outside_target(outside, &method), name, sizeof name);
    if (!outside->is_ask) {
        tp_count(&shard->counters.dead_letters);
        TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "dead_letter",
            TP_FIELDS(tp_field_text("type", outside->type->name),
                tp_field_text("method", method)),
            "a tell from outside was dropped: %s %.*s: %s", name, TROUPE_ARG(method), words);
        give_back(shard, outside);
        return;
    }
    snprintf(text, sizeof text, "%s %.*s: %s", name,
        (int)(method.size < TP_NAME_MAX ? method.size : TP_NAME_MAX), (const char *)method.data,
        words);
    troupe_answer answer = {.status = status,
        .outcome = tp_once_unsent(outside->once_size != 0, status, TROUPE_NOT_DONE),
        .message = troupe_str(text)};
    tp_outside_complete(shard, outside, &answer);
}

static tp_message *make_message(tp_shard *shard, const tp_outside *outside, uint64_t deadline)
{
    const char *at = outside->tail + outside->content_size + 1;
    tp_message_parts parts = {.content_type = outside->content_size != 0 ? outside->tail : NULL};
    parts.key = cut(&at, outside->key_size);
    parts.partition = cut(&at, outside->partition_size);
    parts.method = cut(&at, outside->method_size);
    parts.payload = cut(&at, outside->payload_size);
    tp_slip slip;
    if (TP_UNLIKELY((outside->once_size | outside->baggage_size) != 0)) {
        troupe_slice once = cut(&at, outside->once_size);
        if (once.size == 0 ||
            tp_once_slip(shard->shared, outside->type, once, deadline, &slip) != TROUPE_OK)
            slip = (tp_slip){0};
        slip.baggage = cut(&at, outside->baggage_size);
        parts.slip = &slip;
    }
    if (TP_UNLIKELY(outside->errand != TP_ERRAND_NONE)) {
        slip = (tp_slip){.flags = TP_SLIP_ERRAND, .errand = (tp_errand)outside->errand};
        parts.slip = &slip;
    }
    return tp_message_make(&shard->pool, &parts);
}

/* When its time is over. The clock of the pass that takes it in is as good as its caller's while
 * the pulse has not moved in between, and else late by two beats at most, never early. */
static uint64_t deadline_of(const tp_shard *shard, const tp_outside *outside)
{
    if (outside->timeout == TP_NEVER || outside->entered != 0)
        return tp_time_after(outside->entered, outside->timeout);
    int32_t beats = (int32_t)(shard->pulse - outside->pulse); /* the caller's may be newer */
    uint64_t age = beats > 1 ? (uint64_t)(beats - 1) * TP_BEAT : 0;
    return tp_time_after(shard->now - (age < shard->now ? age : 0), outside->timeout);
}

static void arrive(tp_shard *shard, tp_outside *outside)
{
    uint64_t bytes = large_bytes(outside);
    if (TP_UNLIKELY(bytes != 0))
        atomic_fetch_sub_explicit(&shard->outside_bytes, bytes, memory_order_relaxed);
    uint64_t deadline = deadline_of(shard, outside);
    outside->timeout = deadline; /* from here on a moment */
    tp_message *message = make_message(shard, outside, deadline);
    if (message == NULL) {
        tp_count(&shard->counters.no_memory);
        refuse(shard, outside, TROUPE_NO_MEMORY, "no memory for the message; try again later");
        return;
    }
    message->kind = outside->is_ask ? TP_ASK : TP_TELL;
    message->type = outside->type;
    if (TP_UNLIKELY(tp_type_has_workers(outside->type)))
        outside->hash = tp_worker_of(
            shard, outside->type, tp_message_partition(message), tp_message_key(message));
    message->hash = outside->hash;
    message->method = outside->method;
    message->deadline = deadline;
    message->from_shard = (uint16_t)shard->number;
    if (TP_UNLIKELY(outside->entered != 0) && !shard->shared->options.no_metrics) {
        message->flags |= TP_MESSAGE_TIMED;
        message->arrived = outside->entered;
    }
    if (!outside->is_ask) {
        tp_count(&shard->counters.tells);
        give_back(shard, outside);
        tp_arrivals_push(shard, message);
        return;
    }
    tp_ask *ask;
    troupe_status status = tp_ask_open(shard, TP_ASK_OUTSIDE, message->deadline, outside->type,
        outside->hash, &message->from, &ask);
    if (status != TROUPE_OK) {
        tp_pool_give(&shard->pool, message);
        refuse(shard, outside, status,
            status == TROUPE_BUSY ? "max_asks are pending; try again later"
                                  : "no memory for an ask");
        return;
    }
    if (TP_UNLIKELY(outside->asks_again))
        status = tp_again_keep(shard, message->from, message);
    if (TP_UNLIKELY(status != TROUPE_OK)) {
        tp_ask_forget(shard, message->from);
        tp_pool_give(&shard->pool, message);
        refuse(shard, outside, status, "no memory to ask it again; try again later");
        return;
    }
    ask->waiter.outside = outside;
    if (outside->cancel != NULL &&
        tp_cancel_attach(shard, message->from, outside->cancel) != TROUPE_OK)
        tp_count(&shard->counters.no_memory); /* it cannot be cancelled, but ends by its deadline */
    troupe_cancel_destroy(outside->cancel);
    outside->cancel = NULL;
    tp_arrivals_push(shard, message);
}

/* [any thread] A call with its parts copied behind it; NULL: no memory. */
tp_outside *tp_outside_make(tp_shard *shard, const tp_message_parts *parts, bool waits)
{
    const troupe_allocator *allocator = shard->shared->allocator;
    troupe_slice content = troupe_str(parts->content_type != NULL ? parts->content_type : "");
    if (content.size > UINT8_MAX)
        content.size = UINT8_MAX;
    size_t tail = content.size + 1 + parts->key.size + parts->partition.size + parts->method.size +
                  parts->payload.size;
    if (parts->slip != NULL)
        tail += parts->slip->once.size + parts->slip->baggage.size;
    if (tail < ANSWER_ROOM)
        tail = ANSWER_ROOM;
    size_t size = offsetof(tp_outside, tail) + tail;
    if (size < sizeof(tp_outside))
        size = sizeof(tp_outside);
    tp_outside *outside = NULL;
    if (!waits && size <= BLOCK_SIZE) {
        size = BLOCK_SIZE;
        outside = take_back(shard);
    }
    if (outside == NULL)
        outside = tp_allocate(allocator, size);
    if (outside == NULL)
        return NULL;
    memset(outside, 0, offsetof(tp_outside, answer));
    outside->block = (tp_outside_block){allocator, size};
    outside->content_size = (uint8_t)content.size;
    outside->key_size = (uint16_t)parts->key.size;
    outside->partition_size = (uint8_t)parts->partition.size;
    outside->method_size = (uint16_t)parts->method.size;
    outside->payload_size = (uint32_t)parts->payload.size;
    char *at = tp_message_append(outside->tail, content);
    *at++ = 0;
    at = tp_message_append(at, parts->key);
    at = tp_message_append(at, parts->partition);
    at = tp_message_append(at, parts->method);
    at = tp_message_append(at, parts->payload);
    if (parts->slip != NULL) {
        outside->once_size = (uint8_t)parts->slip->once.size;
        outside->baggage_size = (uint16_t)parts->slip->baggage.size;
        at = tp_message_append(at, parts->slip->once);
        tp_message_append(at, parts->slip->baggage);
    }
    return outside;
}
