/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring from one shard to another: pointers, first in first out, bounded. The producer stages
 * several and publishes them with one store. Not for more than one producer: base/mpsc.h is.
 *
 * Invariants: 1. consumed <= published <= staged <= consumed + capacity (modulo 2^32). 2. Slots
 * between consumed and published belong to the consumer, all others to the producer.
 * When full: tp_spsc_put returns false, and nothing changes.
 * Threads: one producer, one consumer; each writes the fields of its own cache lines only.
 */
#ifndef TP_BASE_SPSC_H
#define TP_BASE_SPSC_H

#include "base/assert.h"

#include <troupe/status.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct tp_spsc {
    /* written by the producer, read by nobody else */
    _Alignas(TP_CACHE_LINE) uint32_t staged;
    uint32_t consumed_seen; /* consumed, as it was when last looked at */
    void **producer_slots;
    uint32_t producer_mask;

    /* written by the producer: release publishes the slots before it, and what they point at */
    _Alignas(TP_CACHE_LINE) _Atomic uint32_t published;

    /* written by the consumer, read by nobody else */
    _Alignas(TP_CACHE_LINE) uint32_t taken;
    uint32_t published_seen;
    void **consumer_slots;
    uint32_t consumer_mask;

    /* written by the consumer: release gives the slots before it back to the producer */
    _Alignas(TP_CACHE_LINE) _Atomic uint32_t consumed;

    const troupe_allocator *allocator;
} tp_spsc;

/* `capacity` is a power of two, 1 to 2^30. NO_MEMORY: nothing was done. */
TROUPE_CHECK troupe_status tp_spsc_init(tp_spsc *ring, const troupe_allocator *allocator,
                                        uint32_t capacity_pow2);

/* Once both sides are gone. What is still in the ring is the caller's. */
void tp_spsc_deinit(tp_spsc *ring);

/* [producer] At least so many puts will succeed. Looks at the consumer's line only when the room
 * known of is a quarter of the ring or less. */
static inline uint32_t tp_spsc_room(tp_spsc *ring)
{
    uint32_t capacity = ring->producer_mask + 1;
    uint32_t room = capacity - (ring->staged - ring->consumed_seen);
    if (TP_UNLIKELY(room <= capacity / 4)) {
        ring->consumed_seen = atomic_load_explicit(&ring->consumed, memory_order_acquire);
        room = capacity - (ring->staged - ring->consumed_seen);
    }
    return room;
}

/* [producer] Stages one; the consumer sees it after the next publish. False when full. */
static inline bool tp_spsc_put(tp_spsc *ring, void *item)
{
    if (TP_UNLIKELY(ring->staged - ring->consumed_seen > ring->producer_mask)) {
        ring->consumed_seen = atomic_load_explicit(&ring->consumed, memory_order_acquire);
        if (ring->staged - ring->consumed_seen > ring->producer_mask) {
            return false;
        }
    }
    ring->producer_slots[ring->staged & ring->producer_mask] = item;
    ring->staged++;
    return true;
}

/* [producer] Shows the consumer all that was put. True if there was anything new. */
static inline bool tp_spsc_publish(tp_spsc *ring)
{
    if (atomic_load_explicit(&ring->published, memory_order_relaxed) == ring->staged) {
        return false;
    }
    atomic_store_explicit(&ring->published, ring->staged, memory_order_release);
    return true;
}

/* [consumer] Nothing to take? */
static inline bool tp_spsc_is_empty(tp_spsc *ring)
{
    if (ring->published_seen == ring->taken) {
        ring->published_seen = atomic_load_explicit(&ring->published, memory_order_acquire);
    }
    return ring->published_seen == ring->taken;
}

/* [consumer] Takes up to `max` of the oldest into `out`; how many. */
static inline uint32_t tp_spsc_take(tp_spsc *ring, void **out, uint32_t max)
{
    if (ring->published_seen - ring->taken < max) {
        ring->published_seen = atomic_load_explicit(&ring->published, memory_order_acquire);
    }
    uint32_t count = ring->published_seen - ring->taken;
    if (count > max) {
        count = max;
    }
    if (count == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i] = ring->consumer_slots[(ring->taken + i) & ring->consumer_mask];
    }
    ring->taken += count;
    atomic_store_explicit(&ring->consumed, ring->taken, memory_order_release);
    return count;
}

#endif
