/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed traces that hit rates are measured on: the same ids in the same order everywhere,
 * made from integers and square roots only, which IEEE 754 rounds exactly. Not recordings: each
 * shows one thing that loads do. Used by row hit_rate and by the tests of the cache.
 *
 *   zipf_1, zipf_075  independent draws, the popularity of rank r being r^-1 and r^-0.75
 *   scan              zipf_1, and after 50,000 accesses a run over 20,000 ids that never come again
 *   loop              round and round one and a half times what the cache holds
 *   recent            an id is likely to come again soon, and then never more: mere recency
 *   mixed             phases of zipf_1, of the loop, of recency, and of zipf_1 over other ids
 *
 * Invariants: a trace depends on its kind and length only. Threads: one owner.
 */
#ifndef TP_BENCH_TRACES_H
#define TP_BENCH_TRACES_H

#include "base/prng.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tp_trace_kind {
    TP_TRACE_ZIPF_1,
    TP_TRACE_ZIPF_075,
    TP_TRACE_SCAN,
    TP_TRACE_LOOP,
    TP_TRACE_RECENT,
    TP_TRACE_MIXED,
    TP_TRACE_KINDS
} tp_trace_kind;

enum { TP_TRACE_RANKS = 200000, TP_TRACE_CACHE = 10000, TP_TRACE_IDS = 8000000 };

typedef struct tp_trace {
    tp_trace_kind kind;
    tp_prng chance;
    uint64_t at;
    uint32_t fresh;           /* ids that are never seen again begin here */
    uint64_t *sums;           /* TP_TRACE_RANKS, the caller's: of the weights of the ranks */
} tp_trace;

static inline void tp_trace_init(tp_trace *trace, tp_trace_kind kind, uint64_t *sums)
{
    uint64_t sum = 0;
    *trace = (tp_trace){.kind = kind, .fresh = 2 * TP_TRACE_RANKS, .sums = sums};
    tp_prng_seed(&trace->chance, 2017 + (uint64_t)kind);
    for (uint32_t i = 0; i < TP_TRACE_RANKS; i++) {
        double rank = i + 1;
        double weight = kind == TP_TRACE_ZIPF_075 ? 1 / (sqrt(rank) * sqrt(sqrt(rank))) : 1 / rank;
        sum += (uint64_t)(weight * 1e12);
        sums[i] = sum;
    }
}

static inline uint32_t tp_trace_zipf(tp_trace *trace)
{
    uint64_t draw = tp_prng_below(&trace->chance, trace->sums[TP_TRACE_RANKS - 1]);
    uint32_t low = 0, high = TP_TRACE_RANKS - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trace->sums[middle] > draw)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Four of five come again from the last 5,000 that were new. */
static inline uint32_t tp_trace_recent(tp_trace *trace)
{
    if (tp_prng_chance(&trace->chance, 1, 5) || trace->fresh < 2 * TP_TRACE_RANKS + 5000)
        return trace->fresh++;
    return trace->fresh - 1 - (uint32_t)tp_prng_below(&trace->chance, 5000);
}

static inline uint32_t tp_trace_next(tp_trace *trace)
{
    const uint32_t loop = TP_TRACE_CACHE + TP_TRACE_CACHE / 2;
    uint64_t at = trace->at++;
    switch (trace->kind) {
    case TP_TRACE_SCAN:
        return at % 70000 < 20000 ? trace->fresh++ : tp_trace_zipf(trace);
    case TP_TRACE_LOOP:
        return (uint32_t)(at % loop);
    case TP_TRACE_RECENT:
        return tp_trace_recent(trace);
    case TP_TRACE_MIXED:
        switch (at / 250000 % 4) {
        case 0:
            return tp_trace_zipf(trace);
        case 1:
            return (uint32_t)(at % loop);
        case 2:
            return tp_trace_recent(trace);
        default:
            return TP_TRACE_RANKS + tp_trace_zipf(trace);
        }
    default:
        return tp_trace_zipf(trace);
    }
}

#endif
