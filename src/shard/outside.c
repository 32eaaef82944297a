/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other threads bring in: an inbox per shard, drained at the begin of each pass. A call from
 * outside becomes a slot on the shard of its target, so that deadlines, cancellation and cycles
 * work as for asks of actors.
 *
 * Threads: a tp_outside has up to two holders, the calling thread and the shard; the last one frees
 * it. `answer` is filled before the waiter is signalled.
 */
#include "shard/shard.h"

#include "base/alloc.h"

#define DRAIN_MAX \
    128 /* a pass; the rest waits, so that the inbox fills and callers are refused outside */

void tp_inbox_push(tp_shard *shard, tp_inbound *inbound)
{
    tp_mpsc_push(&shard->inbox, &inbound->node);
    shard->env->runner_wake(shard->env, &shard->runner);
}

bool tp_inbox_drain(tp_shard *shard)
{
    if (shard->inbox_rest == NULL) {
        if (tp_mpsc_is_empty(&shard->inbox))
            return false;
        shard->inbox_rest = tp_mpsc_drain(&shard->inbox);
    }
    for (uint32_t i = 0; i < DRAIN_MAX && shard->inbox_rest != NULL; i++) {
        tp_mpsc_node *node = shard->inbox_rest;
        shard->inbox_rest = node->next;
        tp_inbound *inbound = TP_CONTAINER(node, tp_inbound, node);
        inbound->arrive(shard, inbound);
    }
    return shard->inbox_rest != NULL;
}

/* ---- answers that live outside: one block with payload, content type and message ----------- */

typedef struct outside_answer {
    const troupe_allocator *allocator;
    size_t size;
} outside_answer;

void tp_outside_copy(
    const troupe_allocator *allocator, const troupe_answer *from, troupe_answer *to)
{
    *to = (troupe_answer){.status = from->status, .outcome = from->outcome};
    size_t size =
        sizeof(outside_answer) + from->payload.size + from->content_type.size + from->message.size;
    outside_answer *block = tp_allocate(allocator, size);
    if (block == NULL) {
        if (from->status == TROUPE_OK && from->payload.size != 0) {
            to->status = TROUPE_NO_MEMORY; /* it ran, but its answer has no room */
            to->outcome = TROUPE_UNKNOWN_OUTCOME;
        }
        return;
    }
    *block = (outside_answer){allocator, size};
    char *at = (char *)(block + 1);
    const troupe_slice parts[] = {from->payload, from->content_type, from->message};
    troupe_slice *slices[] = {&to->payload, &to->content_type, &to->message};
    for (int i = 0; i < 3; i++) {
        if (parts[i].size != 0)
            memcpy(at, parts[i].data, parts[i].size);
        *slices[i] = (troupe_slice){at, parts[i].size};
        at += parts[i].size;
    }
    to->owner = block;
}

void tp_outside_answer_release(void *owner)
{
    outside_answer *block = owner;
    tp_release(block->allocator, block, block->size);
}

void tp_outside_let_go(tp_outside *outside)
{
    if (atomic_fetch_sub_explicit(&outside->holders, 1, memory_order_acq_rel) != 1)
        return;
    troupe_cancel_destroy(outside->cancel); /* NULL, once the shard has taken it in */
    tp_release(outside->shared->allocator, outside, outside->size);
}

void tp_outside_complete(tp_outside *outside, const troupe_answer *answer)
{
    tp_shared *shared = outside->shared;
    if (outside->done != NULL) {
        outside->done(outside->user, answer);
    } else if (outside->is_ask) {
        uint32_t pending = TP_OUTSIDE_PENDING;
        if (!atomic_compare_exchange_strong(&outside->state, &pending, TP_OUTSIDE_ANSWERED)) {
            tp_outside_let_go(outside); /* its caller has left */
            return;
        }
        tp_outside_copy(shared->allocator, answer, outside->answer);
        shared->env->signal(shared->env, &outside->waiter);
    }
    tp_outside_let_go(outside);
}

static void refuse(tp_shard *shard, tp_outside *outside, troupe_status status, const char *words)
{
    if (!outside->is_ask) {
        tp_count(&shard->counters.dead_letters);
        TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "dead_letter",
            TP_FIELDS(tp_field_text("type", outside->type->name)),
            "a tell from outside was dropped: %s", words);
        tp_outside_let_go(outside);
        return;
    }
    troupe_answer answer = {
        .status = status, .outcome = TROUPE_NOT_DONE, .message = troupe_str(words)};
    tp_outside_complete(outside, &answer);
}

static void arrive(tp_shard *shard, tp_inbound *inbound)
{
    tp_outside *outside = TP_CONTAINER(inbound, tp_outside, inbound);
    uint32_t left = atomic_load_explicit(&shard->inbox_left, memory_order_relaxed);
    atomic_store_explicit(&shard->inbox_left, left + 1, memory_order_relaxed);
    tp_message *message = tp_message_make(&shard->pool, &outside->parts);
    if (message == NULL) {
        tp_count(&shard->counters.no_memory);
        refuse(shard, outside, TROUPE_NO_MEMORY, "no memory for the message; try again later");
        return;
    }
    message->kind = outside->is_ask ? TP_ASK : TP_TELL;
    message->type = outside->type;
    message->hash = outside->hash;
    message->method = outside->method;
    message->deadline = outside->deadline;
    message->from_shard = (uint16_t)shard->number;
    if (TP_UNLIKELY(++shard->sample % TP_SAMPLE == 0) && !shard->shared->options.no_metrics) {
        message->flags |= TP_MESSAGE_TIMED;
        message->arrived = outside->entered != 0 ? outside->entered : shard->now;
    }
    if (!outside->is_ask) {
        tp_count(&shard->counters.tells);
        tp_outside_let_go(outside);
        tp_arrivals_push(shard, message);
        return;
    }
    troupe_status status = tp_ask_open(
        shard, TP_ASK_OUTSIDE, outside->deadline, outside->type, outside->hash, &message->from);
    if (status != TROUPE_OK) {
        tp_pool_give(&shard->pool, message);
        refuse(shard, outside, status,
            status == TROUPE_BUSY ? "max_asks are pending; try again later"
                                  : "no memory for an ask");
        return;
    }
    tp_ask *ask = tp_ask_find(shard, message->from);
    ask->waiter.outside = outside;
    if (outside->cancel != NULL &&
        tp_cancel_attach(shard, message->from, outside->cancel) != TROUPE_OK)
        tp_count(&shard->counters.no_memory); /* it cannot be cancelled, but ends by its deadline */
    troupe_cancel_destroy(outside->cancel);
    outside->cancel = NULL;
    tp_arrivals_push(shard, message);
}

/* [any thread] A call with its parts copied behind it; NULL: no memory. One holder. */
tp_outside *tp_outside_make(tp_shared *shared, const tp_message_parts *parts)
{
    troupe_slice content = troupe_str(parts->content_type != NULL ? parts->content_type : "");
    size_t size = sizeof(tp_outside) + content.size + 1 + parts->key.size + parts->partition.size +
                  parts->method.size + parts->payload.size;
    tp_outside *outside = tp_allocate(shared->allocator, size);
    if (outside == NULL)
        return NULL;
    memset(outside, 0, sizeof *outside);
    outside->inbound.arrive = arrive;
    outside->shared = shared;
    outside->size = size;
    atomic_store_explicit(&outside->holders, 1, memory_order_relaxed);
    char *at = outside->content_type;
    memcpy(at, content.data, content.size + 1);
    outside->parts.content_type = content.size != 0 ? at : NULL;
    at += content.size + 1;
    const troupe_slice from[] = {parts->key, parts->partition, parts->method, parts->payload};
    troupe_slice *to[] = {&outside->parts.key, &outside->parts.partition, &outside->parts.method,
        &outside->parts.payload};
    for (int i = 0; i < 4; i++) {
        if (from[i].size != 0)
            memcpy(at, from[i].data, from[i].size);
        *to[i] = (troupe_slice){at, from[i].size};
        at += from[i].size;
    }
    return outside;
}
