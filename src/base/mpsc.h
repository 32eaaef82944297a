/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into a shard for every thread: an intrusive stack that many push on and one takes whole,
 * turned round so that it comes out in the order it went in. It has no limit of its own: who pushes
 * holds a credit or a block of a bounded pool. Not for shard to shard traffic: base/spsc.h is.
 *
 * Invariants: 1. Nodes pushed by one thread come out in that order. 2. Of the pushes between two
 * drains exactly one returns true: its thread wakes the consumer.
 * Threads: push any; drain one consumer.
 */
#ifndef TP_BASE_MPSC_H
#define TP_BASE_MPSC_H

#include "base/assert.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct tp_mpsc_node {
    struct tp_mpsc_node *next;
} tp_mpsc_node;

/* A zeroed one is empty. */
typedef struct tp_mpsc {
    /* Push publishes the node and what it is part of to drain. Sequentially
     * consistent: see tp_mpsc_is_empty. */
    _Alignas(TP_CACHE_LINE) _Atomic(tp_mpsc_node *) top;
} tp_mpsc;

static inline void tp_mpsc_init(tp_mpsc *queue)
{
    atomic_init(&queue->top, NULL);
}

/* [any thread] True if it was empty. The node belongs to the consumer from here on. */
static inline bool tp_mpsc_push(tp_mpsc *queue, tp_mpsc_node *node)
{
    tp_mpsc_node *top = atomic_load_explicit(&queue->top, memory_order_relaxed);
    do {
        node->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&queue->top, &top, node, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return top == NULL;
}

/* [any thread] A hint, except for the consumer: false stays false until it drains. Sequentially
 * consistent, so that a consumer that announces its sleep and then looks cannot miss a push. */
static inline bool tp_mpsc_is_empty(const tp_mpsc *queue)
{
    return atomic_load_explicit(&queue->top, memory_order_seq_cst) == NULL;
}

/* [consumer] Everything, oldest first, linked by next; NULL when empty. */
static inline tp_mpsc_node *tp_mpsc_drain(tp_mpsc *queue)
{
    if (atomic_load_explicit(&queue->top, memory_order_relaxed) == NULL) {
        return NULL;
    }
    tp_mpsc_node *node = atomic_exchange_explicit(&queue->top, NULL, memory_order_acquire);
    tp_mpsc_node *first = NULL;
    while (node != NULL) {
        tp_mpsc_node *next = node->next;
        node->next = first;
        first = node;
        node = next;
    }
    return first;
}

#endif
