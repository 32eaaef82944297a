/* SPDX-License-Identifier: Apache-2.0 */
/* Rebalancing of a node's actors. See balancer.h. */
#include "cluster/balancer.h"

#include "base/alloc.h"
#include "cluster/outpost_inside.h"

#define BUSY_FLOOR   0.02
#define MEMORY_FLOOR ((double)(16 << 20))
#define ACTORS_FLOOR 16.0

typedef struct part {
    tp_inbound inbound;
    tp_balancer_cycle *cycle;
    tp_outpost *outpost;
    bool moves; /* else it samples */
    uint32_t count, begun;
    struct {
        uint64_t hash, to;
        uint32_t type;
    } list[TP_BALANCER_MOVES];
    uint32_t sample_count;
    tp_sample samples[TP_SAMPLES];
} part;

struct tp_balancer_cycle {
    tp_balancer *balancer;
    size_t bytes;
    _Atomic uint32_t open;  /* parts that shards have */
    tp_balancer_wish *wish; /* that it is for; NULL: none */
    part parts[];
};

void tp_balancer_init(tp_balancer *self, tp_shared *shared, tp_runner *runner, tp_loads *loads)
{
    *self = (tp_balancer){.shared = shared,
        .runner = runner,
        .loads = loads,
        .interval = shared->options.rebalance_interval,
        .threshold = shared->options.migration_threshold / 100.0,
        .is_open = true};
    tp_placing_init(&self->placing, shared, loads);
    if (self->interval != TROUPE_NEVER)
        self->due = tp_time_after(shared->env->now(shared->env), self->interval);
}

static void end_cycle(tp_balancer *self)
{
    tp_balancer_cycle *cycle = self->cycle;
    self->cycle = NULL;
    if (cycle == NULL)
        return;
    tp_balancer_wish *wish = cycle->wish;
    tp_release(self->shared->allocator, cycle, cycle->bytes);
    if (wish != NULL)
        self->shared->env->signal(self->shared->env, &wish->waiter);
}

void tp_balancer_deinit(tp_balancer *self)
{
    if (!self->is_open)
        return;
    if (self->cycle != NULL && self->cycle->wish != NULL)
        self->cycle->wish->status = TROUPE_UNAVAILABLE;
    end_cycle(self);
    tp_placing_deinit(&self->placing);
    self->is_open = false;
}

/* ---- at the shards --------------------------------------------------------------------------- */

static void begin_moves(part *self, tp_shard *shard)
{
    tp_outpost *outpost = self->outpost;
    for (uint32_t i = 0; i < self->count; i++) {
        const tp_activation *actor = tp_sampler_find(shard, self->list[i].hash, self->list[i].type);
        if (actor == NULL)
            continue;
        const tp_directory_id id = {.hash = actor->hash,
            .type = actor->type->number,
            .partition = tp_activation_partition(actor),
            .key = tp_activation_key(actor)};
        /* Should it not move it is left in peace for a while, as if it had. */
        tp_sampler_note(&outpost->sampler, actor->hash, shard->now);
        if (tp_outpost_move(outpost, &id, self->list[i].to) == TROUPE_OK) {
            tp_count(&shard->counters.rebalanced);
            self->begun++;
        }
    }
}

static void part_came(tp_shard *shard, tp_inbound *inbound)
{
    part *self = TP_CONTAINER(inbound, part, inbound);
    tp_balancer *balancer = self->cycle->balancer;
    if (self->moves)
        begin_moves(self, shard);
    else
        self->sample_count =
            tp_sampler_take(&self->outpost->sampler, shard, self->samples, TP_SAMPLES);
    if (atomic_fetch_sub_explicit(&self->cycle->open, 1, memory_order_acq_rel) == 1)
        shard->env->runner_wake(shard->env, balancer->runner);
}

static void hand_out(tp_balancer *self)
{
    tp_balancer_cycle *cycle = self->cycle;
    uint32_t count = self->shared->shard_count;
    atomic_store_explicit(&cycle->open, count, memory_order_release);
    for (uint32_t i = 0; i < count; i++)
        tp_inbox_push(self->shared->shards[i], &cycle->parts[i].inbound);
}

static void begin_cycle(tp_balancer *self, tp_outpost **outposts, tp_balancer_wish *wish)
{
    uint32_t count = self->shared->shard_count;
    size_t bytes = sizeof(tp_balancer_cycle) + count * sizeof(part);
    tp_balancer_cycle *cycle = tp_allocate_zeroed(self->shared->allocator, bytes);
    if (cycle == NULL) {
        if (wish != NULL) {
            wish->status = TROUPE_NO_MEMORY;
            self->shared->env->signal(self->shared->env, &wish->waiter);
        }
        return;
    }
    cycle->balancer = self;
    cycle->bytes = bytes;
    cycle->wish = wish;
    for (uint32_t i = 0; i < count; i++) {
        cycle->parts[i].inbound.arrive = part_came;
        cycle->parts[i].cycle = cycle;
        cycle->parts[i].outpost = outposts[i];
    }
    self->cycle = cycle;
    hand_out(self);
}

/* ---- planning -------------------------------------------------------------------------------- */

typedef struct table {
    char *block;
    size_t bytes;
    tp_rebalance_member *members;
    const tp_view_member **views; /* of the members */
    tp_rebalance_sample *samples;
    uint64_t *bits;
    uint32_t count, own;
    size_t sample_count, words;
} table;

static bool make(tp_balancer *self, const tp_chart *chart, table *ret)
{
    size_t members = chart->view.member_count;
    size_t samples = (size_t)self->shared->shard_count * TP_SAMPLES;
    size_t words = (self->shared->types.count + 63) / 64;
    size_t bytes = members * (sizeof(tp_rebalance_member) + sizeof(void *) + words * 8) +
                   samples * sizeof(tp_rebalance_sample);
    char *block = tp_allocate_zeroed(self->shared->allocator, bytes);
    if (block == NULL)
        return false;
    *ret = (table){.block = block, .bytes = bytes, .words = words, .own = TP_REBALANCE_ALL};
    ret->members = (tp_rebalance_member *)(void *)block;
    block += members * sizeof(tp_rebalance_member);
    ret->views = (const tp_view_member **)(void *)block;
    block += members * sizeof(void *);
    ret->bits = (uint64_t *)(void *)block;
    block += members * words * 8;
    ret->samples = (tp_rebalance_sample *)(void *)block;
    return true;
}

static void fill_member(tp_balancer *self, table *into, const tp_chart *chart,
    const tp_view_member *from, const tp_load_row *row)
{
    uint64_t *bits = &into->bits[into->count * into->words];
    bool hosts = into->own == into->count; /* it carries them, whether it may have more or not */
    for (uint32_t i = 0; i < self->shared->types.count; i++)
        if (tp_placing_may_receive(
                &self->placing, chart, &self->shared->types.list[i], from->incarnation)) {
            bits[i / 64] |= UINT64_C(1) << (i % 64);
            hosts = true;
        }
    into->views[into->count] = from;
    into->members[into->count++] = (tp_rebalance_member){.at = row->at,
        .turn_time = (double)row->said.turns * (double)row->said.turn_ns / 1e9,
        .memory = (double)row->said.memory,
        .actors = (double)row->said.actors,
        .capacity = from->shards,
        .may_receive = from->status == TP_VIEW_ACTIVE,
        .is_out = from->status != TP_VIEW_ACTIVE || !hosts,
        .types = bits,
        .type_words = into->words};
}

static void fill_members(tp_balancer *self, table *into, const tp_chart *chart,
    const tp_load_sheet *sheet, uint64_t incarnation, uint64_t now)
{
    for (size_t i = 0; i < chart->members->member_count; i++) {
        const tp_view_member *from = &chart->members->members[i];
        const tp_load_row *row = tp_load_sheet_find(sheet, from->incarnation);
        if (row == NULL || row->at == 0 || now > row->at + self->placing.max_age)
            continue; /* nobody knows how it fares */
        if (from->incarnation == incarnation)
            into->own = into->count;
        fill_member(self, into, chart, from, row);
    }
}

/* Differences of next to nothing are no reason to move anything. */
static void leave_out_the_small(table *into)
{
    double turns = 0, memory = 0, actors = 0, shards = 0;
    for (uint32_t i = 0; i < into->count; i++) {
        turns += into->members[i].turn_time;
        memory += into->members[i].memory;
        actors += into->members[i].actors;
        shards += into->members[i].capacity;
    }
    for (uint32_t i = 0; i < into->count; i++) {
        if (turns < BUSY_FLOOR * shards)
            into->members[i].turn_time = 0;
        if (memory < MEMORY_FLOOR * into->count)
            into->members[i].memory = 0;
        if (actors < ACTORS_FLOOR * into->count)
            into->members[i].actors = 0;
    }
}

static void fill_samples(const tp_balancer *self, table *into, double turn_time)
{
    for (uint32_t i = 0; i < self->shared->shard_count; i++) {
        const part *from = &self->cycle->parts[i];
        for (uint32_t k = 0; k < from->sample_count; k++) {
            const tp_sample *sample = &from->samples[k];
            into->samples[into->sample_count++] =
                (tp_rebalance_sample){.ref = (uint64_t)i << 32 | k,
                    .member = into->own,
                    .type = sample->type,
                    .turn_time = sample->turns * turn_time,
                    .memory = (double)sample->bytes,
                    .bytes = sample->bytes,
                    .moved_at = sample->moved_at};
        }
    }
}

static void note_moves(
    tp_balancer *self, const table *from, const tp_rebalance_move *moves, size_t count)
{
    tp_balancer_cycle *cycle = self->cycle;
    tp_balancer_wish *wish = cycle->wish;
    for (size_t i = 0; i < count; i++) {
        part *of = &cycle->parts[moves[i].ref >> 32];
        const tp_sample *sample = &of->samples[(uint32_t)moves[i].ref];
        uint64_t to = from->views[moves[i].to]->incarnation;
        of->list[of->count].hash = sample->hash;
        of->list[of->count].type = sample->type;
        of->list[of->count++].to = to;
        if (wish != NULL) {
            tp_balancer_move *shown = &wish->moves[wish->count++];
            memcpy(shown->id, sample->id, sizeof shown->id);
            shown->to = to;
            shown->bytes = sample->bytes;
            shown->cost = moves[i].cost;
            shown->share = moves[i].share;
            shown->to_share = from->members[moves[i].to].measured;
        }
    }
    if (wish != NULL) {
        wish->share = from->members[from->own].measured;
        wish->share_after = from->members[from->own].share;
    }
}

static size_t plan(tp_balancer *self, const tp_chart *chart, uint64_t incarnation, uint64_t now)
{
    tp_load_sheet *sheet = tp_loads_take(self->loads);
    tp_balancer_wish *wish = self->cycle->wish;
    table with;
    if (sheet == NULL || !make(self, chart, &with)) {
        if (sheet != NULL && wish != NULL)
            wish->status = TROUPE_NO_MEMORY;
        tp_load_sheet_release(sheet);
        return 0;
    }
    tp_rebalance_move moves[TP_BALANCER_MOVES];
    size_t count = 0;
    fill_members(self, &with, chart, sheet, incarnation, now);
    if (with.own != TP_REBALANCE_ALL) {
        const tp_load_row *row = tp_load_sheet_find(sheet, incarnation);
        fill_samples(self, &with, (double)row->said.turn_ns / 1e9);
        leave_out_the_small(&with);
        const tp_rebalance_options options = {.high = self->threshold,
            .moves = TP_BALANCER_MOVES,
            .patience = wish != NULL ? 1 : 2,
            .own = with.own};
        tp_rebalance copy = self->state;
        count = tp_rebalance_plan(&copy, &options, with.members, with.count, with.samples,
            with.sample_count, now, moves, TP_BALANCER_MOVES);
        if (wish == NULL || !wish->is_dry)
            self->state = copy;
        if (wish != NULL) {
            wish->verdict = copy.verdict;
            wish->members = with.count;
        }
        note_moves(self, &with, moves, count);
    }
    tp_release(self->shared->allocator, with.block, with.bytes);
    tp_load_sheet_release(sheet);
    return count;
}

/* All shards have answered: with samples, or that they have begun the moves. */
static void go_on(tp_balancer *self, const tp_chart *chart, uint64_t incarnation, uint64_t now)
{
    tp_balancer_cycle *cycle = self->cycle;
    bool is_over = cycle->parts[0].moves;
    if (!is_over) {
        size_t count = plan(self, chart, incarnation, now);
        is_over = count == 0 || (cycle->wish != NULL && cycle->wish->is_dry);
        if (!is_over) {
            self->planned += count;
            TP_LOG(self->shared->log, TROUPE_LOG_INFO, "rebalance",
                TP_FIELDS(tp_field_number("moves", count)),
                "this node has more than its part of the load: actors move to others");
        }
    }
    if (is_over) {
        for (uint32_t i = 0; cycle->wish != NULL && i < self->shared->shard_count; i++)
            cycle->wish->begun += cycle->parts[i].begun;
        end_cycle(self);
        return;
    }
    for (uint32_t i = 0; i < self->shared->shard_count; i++)
        cycle->parts[i].moves = true;
    hand_out(self);
}

/* ---- passes ---------------------------------------------------------------------------------- */

bool tp_balancer_has_arrivals(const tp_balancer *self)
{
    if (!self->is_open)
        return false;
    if (self->cycle != NULL)
        return atomic_load_explicit(&self->cycle->open, memory_order_acquire) == 0;
    return atomic_load(&self->wish) != NULL;
}

uint64_t tp_balancer_pass(tp_balancer *self, uint64_t now, uint64_t incarnation,
    const tp_chart *chart, tp_outpost **outposts)
{
    if (self->cycle != NULL) {
        if (atomic_load_explicit(&self->cycle->open, memory_order_acquire) == 0)
            go_on(self, chart, incarnation, now);
        if (self->cycle != NULL)
            return TP_NEVER; /* the last shard wakes this runner */
    }
    tp_balancer_wish *wish = atomic_exchange(&self->wish, NULL);
    bool is_due = self->interval != TROUPE_NEVER && now >= self->due;
    if (is_due)
        self->due = tp_time_after(now, self->interval);
    if (wish != NULL || is_due)
        begin_cycle(self, outposts, wish);
    return self->interval != TROUPE_NEVER ? self->due : TP_NEVER;
}

troupe_status tp_balancer_ask(tp_balancer *self, tp_balancer_wish *wish)
{
    tp_balancer_wish *none = NULL;
    return atomic_compare_exchange_strong(&self->wish, &none, wish) ? TROUPE_OK : TROUPE_BUSY;
}

bool tp_balancer_withdraw(tp_balancer *self, tp_balancer_wish *wish)
{
    return atomic_compare_exchange_strong(&self->wish, &wish, NULL);
}
