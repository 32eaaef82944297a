/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of the bars: medians, ratios, verdicts. Pure functions; the rules are in
 * docs/benchmarks.md. Called by the runner and the report.
 *
 * Invariants: a NaN never holds a bar. Threads: none.
 */
#include "harness/inside.h"
#include <math.h>
#include <string.h>

void tp_bench_series_add(tp_bench_series *series, double value)
{
    if (series->count < TP_BENCH_RUNS_MAX)
        series->values[series->count++] = value;
}

double tp_bench_median(const tp_bench_series *series)
{
    double sorted[TP_BENCH_RUNS_MAX];
    size_t n = series->count;
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > series->values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = series->values[i];
    }
    if (n == 0)
        return NAN;
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double tp_bench_min(const tp_bench_series *series)
{
    double least = NAN;
    for (size_t i = 0; i < series->count; i++)
        least = fmin(least, series->values[i]);
    return least;
}

double tp_bench_max(const tp_bench_series *series)
{
    double most = NAN;
    for (size_t i = 0; i < series->count; i++)
        most = fmax(most, series->values[i]);
    return most;
}

bool tp_bench_is_rate(const char *unit)
{
    size_t size = strlen(unit);
    return size >= 2 && strcmp(unit + size - 2, "/s") == 0;
}

double tp_bench_ahead(const char *unit, double ours, double theirs)
{
    return tp_bench_is_rate(unit) ? ours / theirs : theirs / ours;
}

bool tp_bench_bar_held(tp_bench_bar bar, double bound, double value, double ratio)
{
    switch (bar) {
    case TP_BENCH_SHOWN:
        return true;
    case TP_BENCH_RATIO_AT_LEAST:
        return ratio >= bound;
    case TP_BENCH_RATIO_AT_MOST:
        return ratio <= bound;
    case TP_BENCH_VALUE_AT_LEAST:
        return value >= bound;
    case TP_BENCH_VALUE_AT_MOST:
        return value <= bound;
    }
    return false;
}

/* A limit that lost its speed flatters us, so its pairs do not count. */
static bool limit_is_low(const tp_bench_row *row)
{
    if (row->limits.count == 0 || row->orientation <= 0)
        return false;
    return !(tp_bench_ahead(row->unit, tp_bench_median(&row->limits), row->orientation) >= 0.7);
}

void tp_bench_row_judge(tp_bench_row *row, bool floor)
{
    if (row->verdict == TP_BENCH_NOT_RUN || row->verdict == TP_BENCH_BROKEN)
        return;
    bool held = tp_bench_bar_held(
        row->bar, row->bound, tp_bench_median(&row->values), tp_bench_median(&row->ratios));
    for (size_t i = 0; i < row->peer_count; i++)
        held = held && row->peers[i].ahead >= 1;
    if (!held)
        row->verdict = TP_BENCH_MISSED;
    else if (floor && limit_is_low(row))
        row->verdict = TP_BENCH_LOW;
    else
        row->verdict =
            row->bar == TP_BENCH_SHOWN && row->peer_count == 0 ? TP_BENCH_NO_BAR : TP_BENCH_HELD;
}
