/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bodies of group core share: opening a node, asking a driver from outside, the work that
 * a receiving actor does, and the list of bodies. Everything is written against <troupe.h>, as a
 * user would write it; nothing here knows the inside of the runtime. Included by bench/core.
 *
 * Invariants
 *   1. A payload is 64 bytes; its receiver reads the first and the last word, as in bench/limits.
 *   2. What is measured is driven by an actor, or by the thread of the body where the row says so.
 * Threads
 *   One calls the body; shards run the actors.
 */
#ifndef TP_BENCH_CORE_H
#define TP_BENCH_CORE_H

#include "harness/bench.h"
#include <troupe.h>

enum { TP_CORE_PAYLOAD = 64, TP_CORE_WINDOW = 256 };

/* State of a receiving actor, and what it replies when it is asked for its count. */
typedef struct tp_core_sink {
    uint64_t received, sum;
} tp_core_sink;

/* What a driver replies. */
typedef struct tp_core_result {
    uint64_t operations, start_ns, end_ns;
} tp_core_result;

/* NULL after tp_bench_fail, which says why; the body then returns NAN. */
troupe_node *tp_core_open(tp_bench *bench, const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count);
/* Asks a driver from outside and waits as long as it takes. False after tp_bench_fail. */
bool tp_core_run(tp_bench *bench, troupe_node *node, troupe_id driver, const char *method,
    tp_core_result *ret_result);
/* Operations per second; NAN where there are none, which the harness refuses. */
double tp_core_rate(const tp_core_result *result);

/* A method that binds the thread of its shard to the core of that number and replies the number. */
troupe_status tp_core_place(troupe_turn *turn, void *state, troupe_slice payload);
/* Writes the first name "prefix-N", N from *number on, whose actor is on that shard, and sets
 * *number behind it. The type has tp_core_place as "place". False after tp_bench_fail. */
bool tp_core_find(tp_bench *bench, troupe_node *node, const char *type, const char *prefix,
    uint32_t shard, uint32_t *number, char ret_key[32]);

static inline troupe_status tp_core_receive(tp_core_sink *sink, troupe_slice payload)
{
    uint64_t first, last;
    if (payload.size != TP_CORE_PAYLOAD)
        return TROUPE_USAGE;
    memcpy(&first, payload.data, sizeof(first));
    memcpy(&last, (const char *)payload.data + payload.size - sizeof(last), sizeof(last));
    sink->received++;
    sink->sum += first + last;
    return TROUPE_OK;
}

tp_bench_body tp_core_tell_shard, tp_core_tell_shard_bare, tp_core_tell_cross, tp_core_tell_count;
tp_bench_body tp_core_ask_shard, tp_core_ask_cross_1, tp_core_ask_cross_1000, tp_core_ask_count;
tp_bench_body tp_core_ask_cross_callback;
tp_bench_body tp_core_ask_external_1, tp_core_ask_external_64;
tp_bench_body tp_core_tell_random, tp_core_tell_random_bare, tp_core_lookup_count;
tp_bench_body tp_core_activate, tp_core_activate_count, tp_core_idle_bytes, tp_core_idle_cpu;
tp_bench_body tp_core_overload, tp_core_scrape, tp_core_start, tp_core_soak;

/* The process that row start starts. */
int tp_core_start_child(void);

#endif
