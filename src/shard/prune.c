/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes old snapshots away, in the background: each prune_interval the first shard asks the store
 * to prune one type after the other, a page at a time, so that other operations get in between.
 * What a type keeps is its `retention`; which snapshots those are the provider knows.
 *
 * Invariants: at most one operation is under way; none begins while the node closes. Threads: the
 * shard's own.
 */
#include "shard/durable.h"

#include "base/alloc.h"

#define PAGE 1000 /* snapshots that one operation takes away at most */

struct tp_prune {
    tp_shard *shard;
    tp_alarm alarm;
    tp_inbound inbound;
    troupe_store_op op;
    uint32_t type; /* whose turn it is */
};

static void done(troupe_store_op *op)
{
    tp_prune *self = TP_CONTAINER(op, tp_prune, op);
    tp_inbox_push(self->shard, &self->inbound);
}

static void begin(tp_shard *shard, tp_alarm *alarm);

/* The next page, or the next round. */
static void go_on(tp_prune *self)
{
    tp_shared *shared = self->shard->shared;
    while (self->type < shared->types.count && !shared->types.list[self->type].keeps)
        self->type++;
    if (atomic_load_explicit(&shared->closing, memory_order_relaxed) != TP_OPEN)
        return;
    if (self->type == shared->types.count) {
        tp_alarm_set(self->shard, &self->alarm,
            tp_time_after(self->shard->now, shared->options.prune_interval), begin);
        return;
    }
    const tp_type *type = &shared->types.list[self->type];
    uint64_t wall = self->shard->env->wall(self->shard->env);
    uint64_t age = type->is.retention.max_age;
    self->op = (troupe_store_op){.kind = TROUPE_STORE_PRUNE,
        .type = type->name,
        .keep = TP_MUTANT(self->shard, TP_MUTANT_NO_PRUNE) ? UINT32_MAX
                                                           : type->is.retention.max_snapshots,
        .until = age != 0 && age < wall ? wall - age : 0,
        .limit = PAGE,
        .allocator = shared->allocator,
        .done = done};
    shared->store->submit(shared->store, &self->op);
}

static void begin(tp_shard *shard, tp_alarm *alarm)
{
    (void)shard;
    tp_prune *self = TP_CONTAINER(alarm, tp_prune, alarm);
    self->type = 0;
    go_on(self);
}

static void arrived(tp_shard *shard, tp_inbound *inbound)
{
    tp_prune *self = TP_CONTAINER(inbound, tp_prune, inbound);
    bool fine = self->op.status == TROUPE_OK;
    troupe_store_release(&self->op);
    if (fine) {
        tp_cell_add(&shard->counters.pruned, self->op.found);
    } else {
        TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "prune_failed",
            TP_FIELDS(tp_field_text("type", self->op.type),
                tp_field_string("status", troupe_status_name(self->op.status))),
            "old snapshots stay where they are; it is tried again after prune_interval");
    }
    if (!fine || !self->op.more)
        self->type++;
    go_on(self);
}

troupe_status tp_prune_start(tp_shard *shard)
{
    const tp_shared *shared = shard->shared;
    bool keeps = false;
    for (uint32_t i = 0; i < shared->types.count; i++)
        keeps |= shared->types.list[i].keeps;
    if (shard->number != 0 || !keeps || shared->options.prune_interval == TROUPE_NEVER)
        return TROUPE_OK;
    shard->prune = tp_allocate_zeroed(shared->allocator, sizeof *shard->prune);
    if (shard->prune == NULL)
        return TROUPE_NO_MEMORY;
    shard->prune->shard = shard;
    shard->prune->inbound.arrive = arrived;
    tp_alarm_set(shard, &shard->prune->alarm,
        tp_time_after(shard->now, shared->options.prune_interval), begin);
    return TROUPE_OK;
}

void tp_prune_stop(tp_shard *shard)
{
    tp_release(shard->shared->allocator, shard->prune, sizeof *shard->prune);
}
