/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group cluster: the table of its rows, with their limits and bars. The bodies are in the other
 * files of this folder. Run by tools/bench.
 *
 * Invariants: bars are floors, and those of the project's plan; they are not lowered here.
 * Threads: one.
 */
#include "cluster.h"

static const tp_bench_case cases[] = {
    {.name = "cache_op_lru",
        .unit = "ns",
        .body = tp_cluster_cache_lru,
        .limit = "cache_lookup 100000",
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 1.8},
    {.name = "cache_op_tinylfu",
        .unit = "ns",
        .body = tp_cluster_cache_tinylfu,
        .limit = "cache_lookup 100000",
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 2.5},
    {.name = "hit_rate",
        .unit = "of the optimum, Zipf 1",
        .body = tp_cluster_hit_rate,
        .bar = TP_BENCH_VALUE_AT_LEAST,
        .bound = 0.97,
        .runs = 1},
    {.name = "cached_ref_bytes",
        .unit = "bytes",
        .body = tp_cluster_cached_ref_bytes,
        .bar = TP_BENCH_VALUE_AT_MOST,
        .bound = 96 + TP_BENCH_KEY,
        .runs = 5},
    {.name = "directory",
        .unit = "ns",
        .body = tp_cluster_directory,
        .limit = "cache_lookup 1000000",
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 1 / 0.3},
    {.name = "directory_register",
        .unit = "ns",
        .body = tp_cluster_directory_register,
        .limit = "directory_add 1000000",
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 1 / 0.3},
    {.name = "directory_bytes",
        .unit = "bytes",
        .body = tp_cluster_directory_bytes,
        .bar = TP_BENCH_SHOWN,
        .runs = 1},
    {.name = "wire_put_parse",
        .unit = "ns",
        .body = tp_cluster_wire,
        .base = tp_cluster_wire_framing,
        .bar = TP_BENCH_SHOWN},
    {.name = "wire_lz4",
        .unit = "ns",
        .body = tp_cluster_wire_squeezed,
        .bar = TP_BENCH_SHOWN,
        .params = "codec=1"},
    {.name = "wire_zstd",
        .unit = "ns",
        .body = tp_cluster_wire_squeezed,
        .bar = TP_BENCH_SHOWN,
        .params = "codec=2"},
};

int main(int argc, char **argv)
{
    return tp_bench_main(argc, argv, "cluster", cases, sizeof(cases) / sizeof(cases[0]));
}
