/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of group cluster: rows about the parts that make many nodes one. Included by the files
 * of bench/cluster.
 *
 * Invariants: none of its own. Threads: one calls the body.
 */
#ifndef TP_BENCH_CLUSTER_H
#define TP_BENCH_CLUSTER_H

#include "harness/bench.h"

tp_bench_body tp_cluster_cache_lru, tp_cluster_cache_tinylfu, tp_cluster_hit_rate;
tp_bench_body tp_cluster_cached_ref_bytes;
tp_bench_body tp_cluster_directory, tp_cluster_directory_register, tp_cluster_directory_bytes;
tp_bench_body tp_cluster_wire, tp_cluster_wire_framing, tp_cluster_wire_count;
tp_bench_body tp_cluster_batching, tp_cluster_batching_none, tp_cluster_batching_delay;
tp_bench_body tp_cluster_batching_lz4, tp_cluster_batching_zstd;
tp_bench_body tp_cluster_remote_ask_1, tp_cluster_remote_ask, tp_cluster_remote_tell;
tp_bench_body tp_cluster_migrate_pause;
tp_bench_body tp_cluster_detect_kill9, tp_cluster_detect_stop, tp_cluster_detect_cut;
tp_bench_body tp_cluster_rolling_restart, tp_cluster_join_balance, tp_cluster_lossless;

#endif
