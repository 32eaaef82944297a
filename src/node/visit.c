/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a function on the thread of each shard, for who looks into a node or steers it from outside.
 * All shards are called at once, so that one that does not come keeps nobody from being seen; they
 * run it one after the other, in the order in which they come, so it needs no lock of its own.
 *
 * Invariants
 * 1. While one runs it, others that come are lined up, and go on with their own work: each is
 *    called again when its turn has come.
 * 2. A group lives until its caller and all its visitors have let go: a stuck shard may come long
 *    after the caller went. It finds the group closed then, and touches nothing of the caller's.
 * 3. The waiter is signalled once: by the last visitor, or by the one that ran as it was closed.
 *
 * Threads: any that is not the node's; what they share is under the group's spin lock, held for a
 * few instructions.
 */
#include "node/node.h"

#include "base/alloc.h"

/* A shard that does not come in this time is given up if one turn has kept it all the while. */
#define STUCK_WAIT TROUPE_SECONDS(1)
#define VISIT_WAIT TROUPE_SECONDS(10) /* any other */
#define LOOK_AGAIN TROUPE_MILLISECONDS(100)

typedef struct group group;

typedef struct visitor {
    tp_inbound inbound;
    tp_fifo_node node; /* in the line */
    group *group;
    tp_shard *shard;
    uint64_t step; /* of the shard, as it was called; odd: one runs */
    bool has_run;
} visitor;

struct group {
    tp_shared *shared;
    tp_shard_visit *run;
    void *user;
    tp_waiter waiter;
    _Atomic uint32_t holders;
    atomic_flag lock; /* of what follows */
    bool is_running, is_closed;
    uint32_t left; /* have not run it */
    uint32_t count;
    tp_fifo line;
    visitor visitors[];
};

static size_t size_of(uint32_t count)
{
    return sizeof(group) + count * sizeof(visitor);
}

static void lock(group *all)
{
    while (atomic_flag_test_and_set_explicit(&all->lock, memory_order_acquire)) {
    }
}

static void unlock(group *all)
{
    atomic_flag_clear_explicit(&all->lock, memory_order_release);
}

static void let_go(group *all)
{
    if (atomic_fetch_sub_explicit(&all->holders, 1, memory_order_acq_rel) == 1)
        tp_release(all->shared->allocator, all, size_of(all->count));
}

/* One has run it: the first in line is called, or the caller. */
static void go_on(group *all, visitor *self)
{
    lock(all);
    self->has_run = true;
    all->is_running = false;
    all->left--;
    tp_fifo_node *next = tp_fifo_pop_front(&all->line);
    bool is_over = all->left == 0 || all->is_closed;
    unlock(all);
    if (next != NULL) {
        visitor *to = TP_CONTAINER(next, visitor, node);
        tp_inbox_push(to->shard, &to->inbound);
    }
    if (is_over)
        all->shared->env->signal(all->shared->env, &all->waiter);
}

static void arrive(tp_shard *shard, tp_inbound *inbound)
{
    visitor *self = TP_CONTAINER(inbound, visitor, inbound);
    group *all = self->group;
    lock(all);
    bool runs = !all->is_closed && !all->is_running;
    bool waits = !all->is_closed && all->is_running;
    if (runs)
        all->is_running = true;
    if (waits)
        tp_fifo_push_back(&all->line, &self->node);
    unlock(all);
    if (waits)
        return; /* it comes again */
    if (runs) {
        all->run(shard, all->user);
        go_on(all, self);
    }
    let_go(all);
}

static uint64_t step_of(const tp_shard *shard)
{
    return atomic_load_explicit(&shard->runner.turns_begun, memory_order_relaxed);
}

/* Is each that did not come yet in the turn that it was in when it was called? */
static bool are_stuck(group *all)
{
    bool stuck = true;
    for (uint32_t i = 0; stuck && i < all->count; i++) {
        const visitor *one = &all->visitors[i];
        lock(all);
        bool has_run = one->has_run;
        unlock(all);
        stuck = has_run || (one->step % 2 == 1 && one->step == step_of(one->shard));
    }
    return stuck;
}

static bool wait_for(tp_env *env, group *all)
{
    uint64_t end = env->now(env) + VISIT_WAIT;
    uint64_t until = env->now(env) + STUCK_WAIT;
    while (!env->wait(env, &all->waiter, until)) {
        if (until >= end || are_stuck(all))
            return false;
        until = until + LOOK_AGAIN < end ? until + LOOK_AGAIN : end;
    }
    return true;
}

/* What has not begun does not begin any more. */
static troupe_status close_group(tp_env *env, group *all)
{
    tp_fifo dropped;
    lock(all);
    dropped = all->line;
    tp_fifo_init(&all->line);
    all->is_closed = true;
    bool ends = all->is_running || all->left == 0;
    unlock(all);
    if (ends)
        env->wait(env, &all->waiter, TP_NEVER); /* the last one that runs it is about to end */
    while (tp_fifo_pop_front(&dropped) != NULL)
        let_go(all);
    return all->left == 0 ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

troupe_status tp_node_visit(
    troupe_node *node, uint32_t first, uint32_t count, tp_shard_visit *run, void *user)
{
    tp_env *env = node->env;
    tp_shared *shared = &node->shared;
    if (env->is_runner(env))
        return TROUPE_USAGE;
    group *all = tp_allocate_zeroed(shared->allocator, size_of(count));
    if (all == NULL)
        return TROUPE_NO_MEMORY;
    all->shared = shared;
    all->run = run;
    all->user = user;
    all->left = all->count = count;
    atomic_flag_clear(&all->lock);
    tp_fifo_init(&all->line);
    atomic_store_explicit(&all->holders, count + 1, memory_order_relaxed);
    troupe_status status = env->wait_begin(env, &all->waiter);
    if (status != TROUPE_OK) {
        tp_release(shared->allocator, all, size_of(count));
        return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        visitor *one = &all->visitors[i];
        *one = (visitor){.inbound = {.arrive = arrive},
            .group = all,
            .shard = shared->shards[first + i],
            .step = step_of(shared->shards[first + i])};
        tp_inbox_push(one->shard, &one->inbound);
    }
    if (!wait_for(env, all))
        status = close_group(env, all);
    env->wait_end(env, &all->waiter);
    let_go(all);
    return status;
}
