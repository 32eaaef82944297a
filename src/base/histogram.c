/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and merging of the histograms of base/histogram.h; recording is inline there.
 *
 * Threads: reading any, merging and clearing the writer of `into`.
 */
#include "base/histogram.h"

/* The greatest value of a cell. */
static uint64_t cell_end(uint32_t cell)
{
    if (cell < 2 * TP_HISTOGRAM_STEPS) {
        return cell;
    }
    uint32_t shift = cell / TP_HISTOGRAM_STEPS - 1;
    uint64_t step = cell % TP_HISTOGRAM_STEPS + TP_HISTOGRAM_STEPS;
    return (step << shift) + ((UINT64_C(1) << shift) - 1);
}

void tp_histogram_merge(tp_histogram *into, const tp_histogram *other)
{
    for (uint32_t i = 0; i < TP_HISTOGRAM_CELLS; i++) {
        uint64_t n = tp_cell_get(&other->cells[i]);
        if (n != 0) {
            tp_cell_add(&into->cells[i], n);
        }
    }
    tp_cell_add(&into->sum, tp_cell_get(&other->sum));
    if (tp_cell_get(&other->max) > tp_cell_get(&into->max)) {
        tp_cell_set(&into->max, tp_cell_get(&other->max));
    }
}

uint64_t tp_histogram_count(const tp_histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < TP_HISTOGRAM_CELLS; i++) {
        count += tp_cell_get(&histogram->cells[i]);
    }
    return count;
}

uint64_t tp_histogram_quantile(const tp_histogram *histogram, double q)
{
    uint64_t count = tp_histogram_count(histogram);
    uint64_t max = tp_histogram_max(histogram);
    if (count == 0) {
        return 0;
    }
    /* The rank is rounded up: the value below which at least the share q lies. */
    double exact = q * (double)count;
    uint64_t rank = exact <= 1.0 ? 1 : exact >= (double)count ? count : (uint64_t)exact;
    if ((double)rank < exact && rank < count) {
        rank++;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < TP_HISTOGRAM_CELLS; i++) {
        seen += tp_cell_get(&histogram->cells[i]);
        if (seen >= rank) {
            uint64_t end = cell_end(i);
            return end < max ? end : max;
        }
    }
    return max;
}

uint64_t tp_histogram_max(const tp_histogram *histogram)
{
    return tp_cell_get(&histogram->max);
}

uint64_t tp_histogram_sum(const tp_histogram *histogram)
{
    return tp_cell_get(&histogram->sum);
}

void tp_histogram_clear(tp_histogram *histogram)
{
    for (uint32_t i = 0; i < TP_HISTOGRAM_CELLS; i++) {
        tp_cell_set(&histogram->cells[i], 0);
    }
    tp_cell_set(&histogram->sum, 0);
    tp_cell_set(&histogram->max, 0);
}
