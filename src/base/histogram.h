/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How values are spread: exact below 64, then 32 steps per octave, so that a quantile is at most
 * 1/32 (3.2 %) too high and never too low. Covers all of uint64_t. Not a store of samples.
 *
 * Invariants: 1. The count is the sum of the cells. 2. A zeroed one is empty.
 * Threads: one writer records and merges; any thread may read, and sees each cell as it was at some
 * moment, not all at the same moment.
 */
#ifndef TP_BASE_HISTOGRAM_H
#define TP_BASE_HISTOGRAM_H

#include "base/assert.h"
#include "base/cell.h"
#include "base/limits.h"

#define TP_HISTOGRAM_STEPS (1u << TP_HISTOGRAM_STEP_BITS)
#define TP_HISTOGRAM_CELLS ((64u - TP_HISTOGRAM_STEP_BITS + 1u) * TP_HISTOGRAM_STEPS)

typedef struct tp_histogram {
    tp_cell cells[TP_HISTOGRAM_CELLS];
    tp_cell sum; /* modulo 2^64 */
    tp_cell max;
} tp_histogram;

/* The cell of a value. */
static inline uint32_t tp_histogram_cell(uint64_t value)
{
    if (value < TP_HISTOGRAM_STEPS) {
        return (uint32_t)value;
    }
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - TP_HISTOGRAM_STEP_BITS;
    return shift * TP_HISTOGRAM_STEPS + (uint32_t)(value >> shift);
}

static inline void tp_histogram_record(tp_histogram *histogram, uint64_t value)
{
    tp_cell_add(&histogram->cells[tp_histogram_cell(value)], 1);
    tp_cell_add(&histogram->sum, value);
    if (TP_UNLIKELY(value > tp_cell_get(&histogram->max))) {
        tp_cell_set(&histogram->max, value);
    }
}

/* Adds all of `other` to `into`. */
void tp_histogram_merge(tp_histogram *into, const tp_histogram *other);

/* The least value such that a share `q` (0 to 1) of all are not above it; 0 when empty. */
uint64_t tp_histogram_quantile(const tp_histogram *histogram, double q);

uint64_t tp_histogram_count(const tp_histogram *histogram);
uint64_t tp_histogram_max(const tp_histogram *histogram);
uint64_t tp_histogram_sum(const tp_histogram *histogram);

/* [writer] Empties it. */
void tp_histogram_clear(tp_histogram *histogram);

#endif
