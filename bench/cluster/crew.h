/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of one cluster in processes of their own, one shard each, over loopback and the file
 * provider: what the rows about live nodes share. The first node is the program's own; its peers do
 * what they are told through a pipe and by signals. Included by bench/cluster.
 *
 * Invariants: a peer does not outlive the program. Threads: the body's.
 */
#ifndef TP_BENCH_CREW_H
#define TP_BENCH_CREW_H

#include "harness/bench.h"

#include <sys/types.h>

#include <troupe.h>

enum { TP_CREW_FOLDER = 64, TP_CREW_PEERS = 3 };

typedef struct tp_crew {
    tp_bench *bench;
    const troupe_type *const *types; /* of the peers, and of the first unless: */
    size_t type_count;
    bool first_hosts_nothing;
    bool is_apart;               /* each peer has a network of its own, which can be cut */
    bool is_free;                /* of cores; else the first has one, and the peers the other */
    troupe_node_options options; /* of all; name, cluster, shards and log are the crew's */
    char folder[TP_CREW_FOLDER];
    troupe_node *node;
    int orders, news; /* to and from the nursery, which starts peers */
    pid_t nursery, peers[TP_CREW_PEERS];
} tp_crew;

/* Opens the first node; before any thread is started. False after tp_bench_fail or _skip. */
bool tp_crew_open(tp_crew *crew);
/* Starts peer `at`; its node is a member. */
bool tp_crew_begin(tp_crew *crew, int at);
/* Starts peer 0, whose node activates this actor by method "place". */
bool tp_crew_start(tp_crew *crew, const char *type, const char *key);
/* kill -9, at once. */
void tp_crew_kill(tp_crew *crew, int at);
/* It closes its node, as one that is stopped by SIGTERM; returns when it has ended, in order. */
bool tp_crew_end(tp_crew *crew, int at);
/* SIGSTOP, SIGCONT. */
void tp_crew_signal(const tp_crew *crew, int at, int signal);
/* Nothing leaves the peer's network any more, and nothing comes in. */
bool tp_crew_cut(const tp_crew *crew, int at);
void tp_crew_close(tp_crew *crew);

#endif
