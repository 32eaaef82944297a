/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often hashes were seen lately, told apart from 0 to 15, in 8 bytes per entry of a cache: a
 * count-min sketch of 4-bit counters (Cormode and Muthukrishnan, 2005) with the aging of TinyLFU
 * (Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM ToS 2017),
 * all four counters of a hash in one cache line (as in Caffeine's FrequencySketch). Not a filter of
 * the exact: an estimate is never too low but for aging, and may be too high. directory/cache.c
 * asks it whether a newcomer is worth more than what it would push out.
 *
 * After `period` additions all counters are halved, TP_SKETCH_LOT blocks per addition; until a
 * block was reached, its estimates are halved when read, so that no two differ in age.
 *
 * Invariants: 1. No call does more than 4 + TP_SKETCH_LOT steps. 2. Halving ends long before the
 * next begins (asserted at init).
 * Threads: one owner.
 */
#ifndef TP_DIRECTORY_SKETCH_H
#define TP_DIRECTORY_SKETCH_H

#include "base/assert.h"

#include <troupe/status.h>

#define TP_SKETCH_WORDS 8  /* of a block: one cache line */
#define TP_SKETCH_LOT   8  /* blocks that one addition halves */
#define TP_SKETCH_TIMES 20 /* additions per entry and period */

typedef struct tp_sketch {
    uint64_t *words;
    uint32_t blocks;
    uint32_t halved; /* blocks that are; all, unless a halving is under way */
    uint64_t additions;
    uint64_t period;
    const troupe_allocator *allocator;
} tp_sketch;

/* For a cache of `entries` > 0. NO_MEMORY: nothing was done. */
TROUPE_CHECK troupe_status tp_sketch_init(
    tp_sketch *sketch, const troupe_allocator *allocator, uint32_t entries);
void tp_sketch_deinit(tp_sketch *sketch);

/* Halves some more; called while halved < blocks. */
void tp_sketch_age(tp_sketch *sketch);

/* MurmurHash3's finaliser (Appleby): all bits of the hash move all bits of the places. */
static inline uint64_t tp_sketch_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * UINT64_C(0xFF51AFD7ED558CCD);
    x = (x ^ (x >> 33)) * UINT64_C(0xC4CEB9FE1A85EC53);
    return x ^ (x >> 33);
}

static inline uint32_t tp_sketch_block(const tp_sketch *sketch, uint64_t mixed)
{
    return (uint32_t)((mixed >> 32) * sketch->blocks >> 32);
}

/* Counter `i` of four: one of two words, one of 16 nibbles. */
static inline uint64_t *tp_sketch_word(
    const tp_sketch *sketch, uint32_t block, uint64_t mixed, unsigned i, unsigned *ret_shift)
{
    unsigned bits = (unsigned)(mixed >> (i * 8)) & 31u;
    *ret_shift = (bits >> 1) * 4;
    return &sketch->words[(size_t)block * TP_SKETCH_WORDS + i * 2 + (bits & 1)];
}

/* True: it was not at its most. */
static inline bool tp_sketch_raise(tp_sketch *sketch, uint32_t block, uint64_t mixed, unsigned i)
{
    unsigned shift;
    uint64_t *word = tp_sketch_word(sketch, block, mixed, i, &shift);
    uint64_t grows = (~*word >> shift & 15u) != 0;
    *word += grows << shift;
    return grows != 0;
}

/* `mixed`: tp_sketch_mix of the hash. */
static inline void tp_sketch_add_mixed(tp_sketch *sketch, uint64_t mixed)
{
    uint32_t block = tp_sketch_block(sketch, mixed);
    bool first = tp_sketch_raise(sketch, block, mixed, 0);
    bool second = tp_sketch_raise(sketch, block, mixed, 1);
    bool third = tp_sketch_raise(sketch, block, mixed, 2);
    bool fourth = tp_sketch_raise(sketch, block, mixed, 3);
    sketch->additions += first | second | third | fourth;
    if (TP_UNLIKELY(sketch->additions >= sketch->period)) {
        sketch->additions /= 2; /* what the halved counters stand for */
        sketch->halved = 0;
    }
    if (TP_UNLIKELY(sketch->halved < sketch->blocks)) {
        tp_sketch_age(sketch);
    }
}

static inline void tp_sketch_add(tp_sketch *sketch, uint64_t hash)
{
    tp_sketch_add_mixed(sketch, tp_sketch_mix(hash));
}

/* 0 to 15. */
static inline uint32_t tp_sketch_estimate(const tp_sketch *sketch, uint64_t hash)
{
    uint64_t mixed = tp_sketch_mix(hash);
    uint32_t block = tp_sketch_block(sketch, mixed);
    uint64_t least = 15;
    for (unsigned i = 0; i < 4; i++) {
        unsigned shift;
        const uint64_t *word = tp_sketch_word(sketch, block, mixed, i, &shift);
        uint64_t count = (*word >> shift) & 15u;
        least = count < least ? count : least;
    }
    return (uint32_t)(block < sketch->halved ? least : least / 2);
}

/* For tp_sketch_add_mixed. */
static inline void tp_sketch_prefetch(const tp_sketch *sketch, uint64_t mixed)
{
    uint32_t block = tp_sketch_block(sketch, mixed);
    __builtin_prefetch(&sketch->words[(size_t)block * TP_SKETCH_WORDS], 1);
}

#endif
