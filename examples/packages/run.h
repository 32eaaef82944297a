/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of the demo: a node, or a cluster of some processes, an actor for each package, both
 * computations, and the figures collected again. Called by main.c for each run.
 *
 * Threads: main; answers come on the shards' threads.
 */
#ifndef PACKAGES_RUN_H
#define PACKAGES_RUN_H

#include <troupe/inspect.h>

#include "index.h"
#include "plain.h"

enum { NODES_MAX = 16 };

struct run_options {
    const struct package_index *index;
    const char *storage; /* its URL, for a run that saves states */
    uint32_t nodes;      /* 1: one, alone; more: a cluster, each node a process */
    uint32_t shards;     /* of a node; 0: one per core, which the nodes share */
    uint32_t rounds;
    uint32_t max_actors; /* 0: all packages may be active; else states are saved to the storage */
};

struct run_result {
    struct figures figures;
    troupe_stats stats;         /* of all nodes, at the end: counters, shards, active */
    uint64_t active[NODES_MAX]; /* actors of each node, at the end */
    uint64_t resent;            /* messages refused with BUSY, and sent again */
    double load_seconds, closure_seconds, rank_seconds, collect_seconds;
};

/* Fills in the result; its figures are the caller's to deinit. On failure returns false, says in
 * `error` what went wrong and leaves nothing to free. */
bool run_all(
    const struct run_options *options, struct run_result *result, char *error, size_t error_size);

/* Messages accepted until then. */
static inline uint64_t run_messages(const troupe_stats *stats)
{
    return stats->tells + stats->asks;
}

#endif
