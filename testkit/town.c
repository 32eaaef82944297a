/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town: its world, its stores, its houses and what befalls them. See town.h.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include "base/alloc.h"
#include "providers/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MOST 9000000 /* of 1e9, either way: within what leases bear */

/* ---- world and stores ------------------------------------------------------------------------ */

static void stuck(void *user, const char *what)
{
    tp_town_violate(user, "P3 rest", "%s", what);
}

static void make_world(tp_town *town, tp_prng *prng)
{
    tp_world_options options = {.seed = town->options->seed,
        .mutants = town->options->mutants,
        .stuck = stuck,
        .user = town,
        .record = town->options->record,
        .step_limit = 3000000};
    options.hurry = (uint32_t)tp_prng_below(prng, 900);
    options.delay_most = tp_draw_between(prng, TROUPE_MICROSECONDS(50), TROUPE_MILLISECONDS(20));
    if (tp_prng_chance(prng, 1, 2)) {
        options.pause_chance = 1 + (uint32_t)tp_prng_below(prng, 100);
        options.pause_max = tp_draw_between(prng, 5000, TROUPE_MILLISECONDS(10));
    }
    if (!town->calm && tp_prng_chance(prng, 1, 2))
        options.break_chance = 1 + (uint32_t)tp_prng_below(prng, 1500);
    town->world = tp_world_create(&options);
    if (town->world == NULL)
        abort();
}

static void make_houses(tp_town *town, tp_prng *prng)
{
    bool drifts = tp_prng_chance(prng, 2, 3);
    for (uint16_t i = 0; i < TOWN_HOUSES; i++) {
        tp_house *house = &town->houses[i];
        house->town = town;
        house->number = i;
        snprintf(house->name, sizeof house->name, "h%u", i);
        snprintf(house->address, sizeof house->address, "h%u:7000", i);
        house->env = tp_world_process(town->world, house->name);
        if (house->env == NULL)
            abort();
        int64_t rate = (int64_t)tp_prng_below(prng, 2 * RATE_MOST + 1) - RATE_MOST;
        uint64_t skew = tp_prng_below(prng, TROUPE_HOURS(100));
        tp_world_set_clock(house->env, drifts ? skew : 0, drifts ? rate : 0);
        tp_town_types_make(house);
    }
}

/* Before anybody else loads an actor, its former owner's writer is closed. */
static void landed(void *user, const troupe_store_op *op, uint64_t writer)
{
    const tp_house *house = user;
    tp_town *town = house->town;
    (void)writer;
    tp_world_mark(
        town->world, op->status == TROUPE_OK ? "a late write lands" : "a late write is refused");
    uint32_t actor = tp_town_actor_of(town, op->id);
    if (op->status == TROUPE_OK && actor < town->actor_count &&
        town->actors[actor].newest_at != house->number)
        tp_town_violate(town, "P6 one writer",
            "a write of %s lands after actor %u was loaded at %s", house->name, actor,
            town->houses[town->actors[actor].newest_at].name);
}

static void plan_store(const tp_house *house, const tp_fault_plan *plan)
{
    tp_fault_plan own = *plan;
    own.user = (void *)(uintptr_t)house;
    tp_faulty_store_plan(house->store, &own);
}

static void make_stores(tp_town *town, tp_prng *prng)
{
    const troupe_store_host host = tp_world_store_host(town->world);
    char error[256] = "";
    if (tp_memory_provider.open(&host, "memory:", &town->inner, error, sizeof error) != TROUPE_OK ||
        tp_member_memory_create(tp_allocator_system(), &town->membership) != TROUPE_OK)
        abort();
    tp_member_memory_tell_ends(town->membership, tp_prng_chance(prng, 1, 4));
    town->plan = (tp_fault_plan){.late_most = 1 + tp_prng_below(prng, 40), .landed = landed};
    if (town->calm)
        return;
    for (uint32_t i = TP_FAULT_REFUSED; i < TP_FAULTS; i++)
        if (tp_prng_chance(prng, 1, 3))
            town->plan.chances[i] = (uint32_t)tp_prng_below(prng, town->scenario->faults[i] + 1);
    if (tp_prng_chance(prng, 1, 2))
        town->doubts = (uint32_t)tp_prng_below(prng, 100);
}

static void draw_actors(tp_town *town, tp_prng *prng)
{
    town->actor_count = 2 + (uint32_t)tp_prng_below(prng, TOWN_ACTORS - 1);
    for (uint32_t i = 0; i < town->actor_count; i++) {
        tp_town_actor *actor = &town->actors[i];
        snprintf(actor->key, sizeof actor->key, "%u", i);
        uint64_t drawn = tp_prng_below(prng, 8);
        actor->type = drawn < 4 ? TOWN_TILL : drawn < 7 ? TOWN_HAT : TOWN_JAR;
    }
}

void tp_town_make(tp_town *town, tp_prng *prng)
{
    town->calm = tp_prng_chance(prng, 1, 4);
    static const uint64_t ttls[] = {TROUPE_MILLISECONDS(500), TROUPE_SECONDS(1), TROUPE_SECONDS(3)};
    town->ttl = ttls[tp_prng_below(prng, 3)];
    town->shards = 1 + (uint32_t)tp_prng_below(prng, 2);
    if (town->options->shards_most == 1)
        town->shards = 1;
    uint64_t seed = town->options->seed;
    town->link_limit = seed % 4 == 0 ? 2 + (uint32_t)(seed / 4 % 40) : 0;
    make_world(town, prng);
    make_houses(town, prng);
    make_stores(town, prng);
    draw_actors(town, prng);
    town->patchy = tp_prng_chance(prng, 1, 3);
    town->hosted_since = TP_NEVER;
    (void)tp_town_stream_make(town); /* 0: nobody's */
}

void tp_town_dispose(tp_town *town)
{
    for (uint32_t i = 0; i < town->deed_count; i++)
        free(town->deeds[i]);
    for (uint32_t i = 0; i < TOWN_HOUSES; i++) {
        for (int k = 0; k < 3; k++)
            tp_roll_close(town->houses[i].rolls[k]);
        tp_faulty_store_destroy(town->houses[i].store);
    }
    town->inner->close(town->inner);
    tp_member_memory_destroy(town->membership);
    tp_world_destroy(town->world);
    free(town->streams);
    free(town);
}

/* ---- houses ---------------------------------------------------------------------------------- */

uint32_t tp_town_open_count(const tp_town *town)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TOWN_HOUSES; i++)
        count += town->houses[i].state == HOUSE_OPEN;
    return count;
}

tp_house *tp_town_pick(tp_town *town, uint32_t pick)
{
    uint32_t count = tp_town_open_count(town);
    if (count == 0)
        return NULL;
    pick %= count;
    for (uint32_t i = 0; i < TOWN_HOUSES; i++)
        if (town->houses[i].state == HOUSE_OPEN && pick-- == 0)
            return &town->houses[i];
    return NULL;
}

static void on_died(void *user)
{
    tp_house *house = user;
    house->died = true;
    tp_world_mark(house->town->world, "a node is put out of its cluster");
    if (house->town->calm)
        tp_town_violate(house->town, "P8 planned", "%s is put out of its cluster", house->name);
}

bool tp_town_hosts(const tp_house *house, uint32_t type)
{
    return !house->town->patchy || house->number % 2 == 0 || type == TOWN_HAT;
}

static void note_hosts(tp_town *town)
{
    bool is_hosted = false;
    for (uint32_t i = 0; i < town->house_count; i++)
        is_hosted |= town->houses[i].state == HOUSE_OPEN &&
                     tp_town_hosts(&town->houses[i], TOWN_TILL);
    if (is_hosted && town->hosted_since == TP_NEVER)
        town->hosted_since = tp_world_now(town->world);
    if (!is_hosted && town->patchy) {
        town->hosted_since = TP_NEVER;
        town->was_bare = true;
        tp_world_mark(town->world, "no member hosts a type");
    }
}

static void prepare(tp_house *house)
{
    tp_town *town = house->town;
    uint64_t seed = town->options->seed + house->number;
    house->store = tp_faulty_store_create(tp_allocator_system(), town->inner, tp_prng_split(&seed));
    if (house->store == NULL)
        abort();
    plan_store(house, &town->plan);
    for (int i = 0; i < 3; i++) {
        house->rolls[i] = tp_town_roll_open(house);
        if (house->rolls[i] == NULL)
            abort();
    }
    house->state = HOUSE_OPENING;
}

static troupe_status open_node(tp_house *house, char *error, size_t error_size)
{
    tp_town *town = house->town;
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = house->name,
        .shards = town->shards, .link_limit = town->link_limit, .memory_limit = UINT64_C(1) << 40,
        .allocator = tp_world_memory_of(house->env), .log = "info",
        .cluster = "town:", .cluster_name = "town", .listen = house->address,
        .allow_clear_text = true, .lease_ttl = town->ttl, .join_timeout = TROUPE_SECONDS(30),
        .ask_timeout = TROUPE_SECONDS(10), .drain_timeout = TROUPE_SECONDS(10),
        .idle = TROUPE_SECONDS(3), .on_died = on_died, .on_died_user = house};
    const troupe_type *types[TOWN_TYPES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < TOWN_TYPES; i++)
        if (tp_town_hosts(house, i))
            types[count++] = &house->types[i];
    tp_node_grounds grounds = {
        .env = house->env, .hostile = true, .store = tp_faulty_store_get(house->store)};
    for (int i = 0; i < 3; i++)
        grounds.membership[i] = tp_roll_port(house->rolls[i]);
    return tp_node_open_at(&grounds, &options, types, count, &house->node, error, error_size);
}

static void gone(tp_house *house)
{
    house->state = HOUSE_GONE;
    for (int i = 0; i < 3; i++) {
        tp_roll_close(house->rolls[i]);
        house->rolls[i] = NULL;
    }
    note_hosts(house->town);
}

bool tp_town_open(tp_town *town)
{
    if (town->house_count == TOWN_HOUSES)
        return false;
    tp_house *house = &town->houses[town->house_count++];
    char error[512] = "";
    prepare(house);
    tp_world_trace(town->world, 960, house->number);
    town->blocked = house;
    if (setjmp(town->out) != 0) {
        tp_world_mark(town->world, "a node is killed while it joins");
        return false;
    }
    troupe_status status = open_node(house, error, sizeof error);
    town->blocked = NULL;
    if (status != TROUPE_OK) {
        if (town->calm || town->resting)
            tp_town_violate(town, "P8 planned", "%s does not open: %s: %s", house->name,
                troupe_status_name(status), error);
        tp_world_mark(town->world, "a node does not become a member");
        gone(house);
        return false;
    }
    for (uint32_t i = 0; i < TOWN_CLIENTS; i++) {
        if (troupe_client_open(house->node, &house->clients[i]) != TROUPE_OK)
            abort();
        house->streams[i] = tp_town_stream_make(town);
    }
    house->state = HOUSE_OPEN;
    note_hosts(town);
    return true;
}

void tp_town_close(tp_town *town, tp_house *house)
{
    tp_world_trace(town->world, 961, house->number);
    for (uint32_t i = 0; i < town->deed_count; i++) {
        tp_town_deed *deed = town->deeds[i];
        if (deed->issued && deed->house == house->number && (deed->from == NULL || house->died))
            deed->excused = true;
    }
    for (uint32_t i = 0; i < TOWN_CLIENTS; i++)
        troupe_client_close(house->clients[i]);
    house->state = HOUSE_LEAVING;
    note_hosts(town);
    town->blocked = house;
    if (setjmp(town->out) != 0) {
        tp_world_mark(town->world, "a node is killed while it leaves");
        return;
    }
    troupe_node_close(house->node);
    town->blocked = NULL;
    house->node = NULL;
    gone(house);
    if (tp_world_blocks_of(house->env) != 0)
        tp_town_violate(town, "P8 leak", "%llu blocks of %s are out after its close",
            (unsigned long long)tp_world_blocks_of(house->env), house->name);
}

static void land(tp_town_timed *self)
{
    (void)tp_faulty_store_land(self->town->houses[self->pick].store);
}

void tp_town_kill(tp_town *town, tp_house *house)
{
    tp_world_trace(town->world, 962, house->number);
    tp_world_mark(town->world, "a node is killed");
    if (house->node != NULL)
        for (uint32_t i = 0; i < house->node->shared.shard_count; i++)
            tp_fiber_pool_deinit(&house->node->shared.shards[i]->fibers);
    house->node = NULL;
    tp_world_kill(town->world, house->env);
    gone(house);
    tp_town_excuse(town, house);
    tp_town_timed *later =
        tp_town_later(town, 1 + tp_prng_below(tp_world_prng(town->world), 3 * town->ttl), land);
    if (later != NULL)
        later->pick = house->number;
    if (town->blocked != house)
        return;
    town->blocked = NULL;
    longjmp(town->out, 1);
}

/* ---- trouble --------------------------------------------------------------------------------- */

static void fire(tp_world_event *event)
{
    tp_town_timed *self = TP_CONTAINER(event, tp_town_timed, event);
    tp_town_timed happens = *self;
    self->used = false;
    happens.happen(&happens);
}

tp_town_timed *tp_town_later(tp_town *town, uint64_t wait, void (*happen)(tp_town_timed *self))
{
    for (uint32_t i = 0; i < TOWN_TIMED; i++) {
        tp_town_timed *self = &town->timed[i];
        if (self->used)
            continue;
        *self = (tp_town_timed){.town = town, .happen = happen, .used = true, .event.happen = fire};
        tp_world_at(town->world, &self->event, tp_world_now(town->world) + wait);
        return self;
    }
    return NULL;
}

static void cut(tp_town *town, uint32_t kind, uint32_t from, uint32_t to, bool is_cut)
{
    tp_env *left = town->houses[from].env, *right = town->houses[to].env;
    if (kind == 0) { /* all of one house */
        for (uint32_t i = 0; i < TOWN_HOUSES; i++) {
            if (i == from)
                continue;
            tp_world_cut(town->world, left, town->houses[i].env, is_cut);
            tp_world_cut(town->world, town->houses[i].env, left, is_cut);
        }
        return;
    }
    tp_world_cut(town->world, left, right, is_cut);
    if (kind == 1)
        tp_world_cut(town->world, right, left, is_cut);
}

static void heal_cut(tp_town_timed *self)
{
    cut(self->town, self->pick >> 16, self->pick & 0xFFFF, self->other, false);
}

static void start_cut(tp_town *town, uint32_t pick, uint32_t other, uint64_t wait)
{
    const tp_house *from = tp_town_pick(town, pick), *to = tp_town_pick(town, other);
    uint32_t kind = pick / 64 % 3;
    if (from == NULL || to == NULL || (from == to && kind != 0))
        return;
    tp_town_timed *heals = tp_town_later(town, wait, heal_cut);
    if (heals == NULL)
        return;
    heals->pick = (kind << 16) | from->number;
    heals->other = to->number;
    cut(town, kind, from->number, to->number, true);
    tp_world_mark(town->world, kind == 0   ? "a node is cut off"
                               : kind == 1 ? "two nodes are cut off from each other"
                                           : "a way is cut in one direction");
}

static void heal_roll(tp_town_timed *self)
{
    if (self->pick == TOWN_HOUSES)
        self->town->is_out = false;
    else
        self->town->houses[self->pick].is_cut_off = false;
}

static void start_outage(tp_town *town, uint32_t pick, uint32_t other, uint64_t wait)
{
    tp_house *house = tp_town_pick(town, pick);
    tp_town_timed *heals = tp_town_later(town, wait, heal_roll);
    if (heals == NULL)
        return;
    heals->pick = house == NULL || other % 2 == 0 ? TOWN_HOUSES : house->number;
    if (heals->pick == TOWN_HOUSES)
        town->is_out = true;
    else
        house->is_cut_off = true;
    tp_world_mark(town->world, heals->pick == TOWN_HOUSES
                                   ? "the membership store is out"
                                   : "a node does not reach the membership store");
}

static void plan_stores(tp_town *town, const tp_fault_plan *plan)
{
    for (uint32_t i = 0; i < town->house_count; i++)
        if (town->houses[i].store != NULL)
            plan_store(&town->houses[i], plan);
}

static void heal_stores(tp_town_timed *self)
{
    plan_stores(self->town, &self->town->plan);
}

static void start_faults(tp_town *town, uint32_t pick, uint64_t wait)
{
    static const tp_fault faults[] = {
        TP_FAULT_REFUSED, TP_FAULT_LOST, TP_FAULT_SILENT, TP_FAULT_LATE};
    tp_fault_plan plan = town->plan;
    memset(plan.chances, 0, sizeof plan.chances);
    plan.chances[faults[pick % 4]] = 1024;
    if (tp_town_later(town, wait, heal_stores) != NULL)
        plan_stores(town, &plan);
}

static void start_pause(tp_town *town, uint32_t pick, uint64_t wait)
{
    tp_house *house = tp_town_pick(town, pick);
    uint64_t now = tp_world_now(town->world);
    if (house == NULL || house->paused_until > now)
        return;
    tp_world_pause(town->world, house->env, wait);
    house->paused_until = now + wait;
    house->stalled += wait;
    tp_world_mark(town->world,
        wait > town->ttl ? "a node is stopped past its lease" : "a node is stopped for a while");
}

static void kill_later(tp_town_timed *self)
{
    tp_house *house = &self->town->houses[self->pick];
    if (house->state == HOUSE_OPEN)
        tp_town_kill(self->town, house);
    else if (house->node != NULL)
        plan_store(house, &self->town->plan); /* it leaves */
}

/* Its last writes are on their way when it is killed: they come when somebody else may be there. */
static void kill_writing(tp_town *town, tp_house *house, uint32_t other)
{
    tp_fault_plan plan = town->plan;
    plan.chances[TP_FAULT_LATE] = 1024;
    tp_town_timed *later =
        tp_town_later(town, TROUPE_MILLISECONDS(1) + other % TROUPE_MILLISECONDS(30), kill_later);
    if (later == NULL)
        return;
    later->pick = house->number;
    plan_store(house, &plan);
}

void tp_town_trouble(
    tp_town *town, tp_town_op_kind kind, uint32_t pick, uint32_t other, uint64_t wait)
{
    tp_house *house = tp_town_pick(town, pick);
    if (other % 8 == 0 && town->blocked != NULL)
        house = town->blocked;
    switch (kind) {
    case TOWN_KILL:
        if (house != NULL && pick % 4 == 0)
            kill_writing(town, house, other);
        else if (house != NULL)
            tp_town_kill(town, house);
        return;
    case TOWN_PAUSE:
        start_pause(town, pick, wait);
        return;
    case TOWN_CUT:
        start_cut(town, pick, other, wait);
        return;
    case TOWN_OUTAGE:
        start_outage(town, pick, other, wait);
        return;
    case TOWN_FAULTS:
        start_faults(town, pick, wait);
        return;
    default:
        return;
    }
}

void tp_town_heal(tp_town *town)
{
    for (uint32_t i = 0; i < TOWN_TIMED; i++)
        if (town->timed[i].used) {
            tp_world_cancel(town->world, &town->timed[i].event);
            town->timed[i].used = false;
        }
    town->is_out = false;
    town->doubts = 0;
    for (uint32_t i = 0; i < TOWN_HOUSES; i++) {
        town->houses[i].is_cut_off = false;
        for (uint32_t k = 0; k < TOWN_HOUSES; k++)
            if (i != k)
                tp_world_cut(town->world, town->houses[i].env, town->houses[k].env, false);
    }
    memset(town->plan.chances, 0, sizeof town->plan.chances);
    plan_stores(town, &town->plan);
    for (uint32_t i = 0; i < town->house_count; i++)
        (void)tp_faulty_store_land(town->houses[i].store);
}
