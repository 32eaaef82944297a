/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of pointers from one thread to one other, for the raw limits that cross cores.
 * Each side works on private indices and publishes them per batch, so the shared lines move once
 * per batch and not once per message. A pool across cores is such a ring too: the receiver gives
 * blocks back through it in batches, the owner takes its blocks out of it.
 *
 * Invariants
 *   1. head <= tail <= head + LIMIT_RING; slots [head, tail) belong to the reader.
 * Threads
 *   The writer alone writes tail and slots; the reader alone writes head. `tail` publishes the
 * slots and what they point at to the reader; `head` publishes free slots to the writer.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include "limit.h"
#include <stdatomic.h>

enum { LIMIT_RING = 4096 };

struct limit_ring {
    /* the writer's */
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) uint64_t written, seen_head;
    /* the reader's */
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) uint64_t read, seen_tail;
    _Alignas(128) struct limit_message *slots[LIMIT_RING];
};

/* Room for how many messages, as far as the writer knows; looks again when it is under `wish`. */
static inline uint64_t limit_ring_room(struct limit_ring *ring, uint64_t wish)
{
    if (LIMIT_RING - (ring->written - ring->seen_head) < wish)
        ring->seen_head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return LIMIT_RING - (ring->written - ring->seen_head);
}

static inline void limit_ring_put(struct limit_ring *ring, struct limit_message *message)
{
    ring->slots[ring->written++ % LIMIT_RING] = message;
}

static inline void limit_ring_publish(struct limit_ring *ring)
{
    atomic_store_explicit(&ring->tail, ring->written, memory_order_release);
}

/* How many messages wait, as far as the reader knows; looks again when it is under `wish`. */
static inline uint64_t limit_ring_waiting(struct limit_ring *ring, uint64_t wish)
{
    if (ring->seen_tail - ring->read < wish)
        ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return ring->seen_tail - ring->read;
}

static inline struct limit_message *limit_ring_peek(struct limit_ring *ring, uint64_t ahead)
{
    return ring->slots[(ring->read + ahead) % LIMIT_RING];
}

static inline struct limit_message *limit_ring_take(struct limit_ring *ring)
{
    return ring->slots[ring->read++ % LIMIT_RING];
}

static inline void limit_ring_consumed(struct limit_ring *ring)
{
    atomic_store_explicit(&ring->head, ring->read, memory_order_release);
}

/* Fills a pool ring with `count` blocks of its owner. Before the threads start. */
static inline void limit_ring_stock(struct limit_ring *ring, uint64_t count)
{
    char *slab = limit_map(count * 128);
    for (uint64_t i = 0; i < count; i++)
        limit_ring_put(ring, (struct limit_message *)(void *)(slab + i * 128));
    limit_ring_publish(ring);
}

#endif
