/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded ring of pointers that many put on and one takes off, in the order of the putting: the
 * way of outside calls into a shard. Next to base/mpsc.h it is not intrusive, so that who takes can
 * begin to fetch what lies ahead, and the two sides share no word but the slots. After D. Vyukov's
 * bounded MPMC queue (1024cores.net), with the pointer itself for a sequence number, as there is
 * one consumer.
 *
 * Invariants
 * 1. left <= entered <= left + limit; slots outside [left, entered) are NULL.
 * 2. A place is claimed before it is filled: a thread that is stopped in between holds up those
 *    behind it until it goes on, and then wakes the consumer as every other.
 * Threads: put any; the rest one consumer.
 */
#ifndef TP_BASE_MPRING_H
#define TP_BASE_MPRING_H

#include "base/alloc.h"
#include "base/assert.h"
#include <troupe/status.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct tp_mpring {
    /* Set by init. */
    _Alignas(TP_CACHE_LINE) _Atomic(void *) *slots; /* put publishes what a slot points to */
    uint32_t mask;
    uint32_t limit;
    _Alignas(TP_CACHE_LINE) _Atomic uint32_t entered; /* claimed, ever */
    _Atomic uint32_t left_seen; /* what a producer read of `left`: saves reading its line */
    _Alignas(TP_CACHE_LINE) _Atomic uint32_t left; /* publishes that the slots are free again */
    uint32_t next;                                 /* the consumer's: taken, ever */
    char apart[TP_CACHE_LINE];
} tp_mpring;

TROUPE_CHECK static inline troupe_status tp_mpring_init(
    tp_mpring *ring, const troupe_allocator *allocator, uint32_t limit)
{
    uint32_t capacity = 1;
    while (capacity < limit)
        capacity *= 2;
    ring->slots = tp_allocate_zeroed(allocator, capacity * sizeof *ring->slots);
    if (ring->slots == NULL)
        return TROUPE_NO_MEMORY;
    ring->mask = capacity - 1;
    ring->limit = limit;
    return TROUPE_OK;
}

static inline void tp_mpring_deinit(tp_mpring *ring, const troupe_allocator *allocator)
{
    if (ring->slots != NULL)
        tp_release(allocator, (void *)ring->slots, (ring->mask + 1) * sizeof *ring->slots);
}

/* [any thread] May a producer that found so many entered have the next place? Acquires what the
 * consumer did with it before. */
static inline bool tp_mpring_has_place(tp_mpring *ring, uint32_t place)
{
    /* Less than nothing: `place` is old news, and will not be had. */
    uint32_t left = atomic_load_explicit(&ring->left_seen, memory_order_acquire);
    if (TP_LIKELY((int32_t)(place - left) < (int32_t)ring->limit))
        return true;
    left = atomic_load_explicit(&ring->left, memory_order_acquire);
    atomic_store_explicit(&ring->left_seen, left, memory_order_release);
    return (int32_t)(place - left) < (int32_t)ring->limit;
}

/* [any thread] About. */
static inline bool tp_mpring_is_full(tp_mpring *ring)
{
    return !tp_mpring_has_place(ring, atomic_load_explicit(&ring->entered, memory_order_relaxed));
}

/* [any thread] False: full. */
static inline bool tp_mpring_put(tp_mpring *ring, void *item)
{
    uint32_t place = atomic_load_explicit(&ring->entered, memory_order_relaxed);
    do {
        if (!tp_mpring_has_place(ring, place))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &ring->entered, &place, place + 1, memory_order_relaxed, memory_order_relaxed));
    atomic_store_explicit(&ring->slots[place & ring->mask], item, memory_order_release);
    return true;
}

/* [consumer] False stays false until it takes. */
static inline bool tp_mpring_is_empty(const tp_mpring *ring)
{
    return atomic_load_explicit(&ring->slots[ring->next & ring->mask], memory_order_acquire) ==
           NULL;
}

/* [consumer] What lies so far ahead, NULL: nothing yet. Not for reading: to be prefetched. */
static inline void *tp_mpring_peek(const tp_mpring *ring, uint32_t ahead)
{
    return atomic_load_explicit(
        &ring->slots[(ring->next + ahead) & ring->mask], memory_order_relaxed);
}

/* [consumer] NULL: empty. */
static inline void *tp_mpring_take(tp_mpring *ring)
{
    _Atomic(void *) *slot = &ring->slots[ring->next & ring->mask];
    void *item = atomic_load_explicit(slot, memory_order_acquire);
    if (item == NULL)
        return NULL;
    atomic_store_explicit(slot, NULL, memory_order_relaxed);
    ring->next++;
    return item;
}

/* [consumer] After takes: their places may be claimed again. */
static inline void tp_mpring_publish(tp_mpring *ring)
{
    atomic_store_explicit(&ring->left, ring->next, memory_order_release);
}

#endif
