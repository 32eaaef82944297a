/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes of one cluster in two processes, one shard and one core each, over loopback and the
 * file provider: what the rows about live nodes share. The second process does what it is told
 * through a pipe. Included by bench/cluster.
 *
 * Invariants: a second process does not outlive its first. Threads: the body's.
 */
#ifndef TP_BENCH_PAIR_H
#define TP_BENCH_PAIR_H

#include "harness/bench.h"

#include <sys/types.h>

#include <troupe.h>

enum { TP_PAIR_FOLDER = 64 };

typedef struct tp_pair {
    tp_bench *bench;
    const troupe_type *const *types;
    size_t type_count;
    uint64_t spin; /* of both; 0: the default */
    char folder[TP_PAIR_FOLDER];
    troupe_node *node;
    int orders, news; /* to and from the nursery, which starts second processes */
    pid_t nursery, peer;
} tp_pair;

/* Opens the first node; before any thread is started. False after tp_bench_fail. */
bool tp_pair_open(tp_pair *pair);
/* Starts a second process, whose node activates this actor by method "place". */
bool tp_pair_start(tp_pair *pair, const char *type, const char *key);
/* kill -9, at once. */
void tp_pair_kill(tp_pair *pair);
void tp_pair_close(tp_pair *pair);

#endif
