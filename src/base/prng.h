/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo-random numbers from a seed: xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64.
 * The same seed gives the same numbers on every machine. Not for secrets.
 *
 * Invariants: the state is never all zero. Threads: one owner.
 */
#ifndef TP_BASE_PRNG_H
#define TP_BASE_PRNG_H

#include "base/assert.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tp_prng {
    uint64_t state[4];
} tp_prng;

/* One step of splitmix64: also a good way to mix a number. */
static inline uint64_t tp_prng_split(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline void tp_prng_seed(tp_prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        prng->state[i] = tp_prng_split(&seed);
    }
}

static inline uint64_t tp_prng_rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t tp_prng_next(tp_prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = tp_prng_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = tp_prng_rotate(s[3], 45);
    return result;
}

/* 0 to n - 1, each as likely (Lemire, "Fast Random Integer Generation in an Interval"); n > 0. */
static inline uint64_t tp_prng_below(tp_prng *prng, uint64_t n)
{
    TP_DEBUG_ASSERT(n > 0);
    unsigned __int128 product = (unsigned __int128)tp_prng_next(prng) * n;
    if (TP_UNLIKELY((uint64_t)product < n)) {
        uint64_t least = (0 - n) % n;
        while ((uint64_t)product < least) {
            product = (unsigned __int128)tp_prng_next(prng) * n;
        }
    }
    return (uint64_t)(product >> 64);
}

/* lo to hi, both included; lo <= hi. */
static inline uint64_t tp_prng_between(tp_prng *prng, uint64_t lo, uint64_t hi)
{
    TP_DEBUG_ASSERT(lo <= hi);
    uint64_t span = hi - lo;
    return span == UINT64_MAX ? tp_prng_next(prng) : lo + tp_prng_below(prng, span + 1);
}

/* True `numerator` times in `denominator`; denominator > 0. */
static inline bool tp_prng_chance(tp_prng *prng, uint64_t numerator, uint64_t denominator)
{
    return tp_prng_below(prng, denominator) < numerator;
}

#endif
