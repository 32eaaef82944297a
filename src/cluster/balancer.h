/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebalancing, driven by the control runner: every rebalance_interval it asks its shards for
 * samples of their actors, plans with the loads of the newest sheet which of these are to move
 * (place/rebalance.h), and tells the shards, which begin the moves. Each member plans for itself,
 * with its part of the room of others. Types whose placement fixes where they are stay.
 *
 * What is too small to matter counts as nothing, so that idle clusters stay as they are: turns that
 * take up less than BUSY_FLOOR of a shard, less than MEMORY_FLOOR bytes, and fewer than
 * ACTORS_FLOOR actors a member.
 *
 * Invariants
 * 1. One cycle at a time; its block lives until all shards have done with it, or ended.
 * 2. A dry run moves nothing, and changes no state that later cycles see.
 *
 * Threads: the control runner's; `wish` any.
 */
#ifndef TP_CLUSTER_BALANCER_H
#define TP_CLUSTER_BALANCER_H

#include "cluster/loads.h"
#include "cluster/outpost.h"
#include "cluster/placing.h"
#include "cluster/sampler.h"
#include "place/rebalance.h"

#define TP_BALANCER_MOVES 100 /* of a cycle */

typedef struct tp_balancer_move {
    char id[TP_SAMPLE_ID];
    uint64_t to; /* incarnation */
    uint64_t bytes;
    double cost, share; /* as those of tp_rebalance_move */
    double to_share;    /* what the target carries before */
} tp_balancer_move;

/* A cycle at once, for somebody who waits. */
typedef struct tp_balancer_wish {
    bool is_dry;
    tp_waiter waiter;
    troupe_status status;         /* NO_MEMORY; UNAVAILABLE: the node closes */
    tp_rebalance_verdict verdict; /* UNKNOWN: nobody knows the load of this node yet */
    double share, share_after;    /* of the load: 1 is the mean of the members */
    uint32_t members;             /* whose load is known */
    uint32_t begun;               /* moves; the others would not go, or had gone */
    uint32_t count;               /* moves that are planned */
    tp_balancer_move moves[TP_BALANCER_MOVES];
} tp_balancer_wish;

typedef struct tp_balancer_cycle tp_balancer_cycle;

typedef struct tp_balancer {
    tp_shared *shared;
    tp_runner *runner;
    tp_loads *loads;
    tp_placing placing;
    tp_rebalance state;
    uint64_t interval, due;
    double threshold;
    tp_balancer_cycle *cycle;         /* NULL: none */
    _Atomic(tp_balancer_wish *) wish; /* [any] */
    uint64_t planned;                 /* moves */
    bool is_open;
} tp_balancer;

/* `runner`: is woken when shards have answered. */
void tp_balancer_init(tp_balancer *self, tp_shared *shared, tp_runner *runner, tp_loads *loads);
/* After the shards' runners have ended. */
void tp_balancer_deinit(tp_balancer *self);

/* Returns when it is to be called again. `outposts`: of all shards. */
uint64_t tp_balancer_pass(tp_balancer *self, uint64_t now, uint64_t incarnation,
    const tp_chart *chart, tp_outpost **outposts);
/* Have all shards answered, or does somebody wish something? */
bool tp_balancer_has_arrivals(const tp_balancer *self);

/* [any thread] BUSY: another one waits already. The runner is to be woken, the waiter to be waited
 * for. */
TROUPE_CHECK troupe_status tp_balancer_ask(tp_balancer *self, tp_balancer_wish *wish);
/* [any thread] Takes the wish back; false: it is being fulfilled, and its waiter will be signalled.
 */
bool tp_balancer_withdraw(tp_balancer *self, tp_balancer_wish *wish);

#endif
