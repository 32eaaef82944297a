/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a user's simulation: one alone, or a cluster with a common store, whose nodes are
 * killed, stopped, cut off and replaced. See user_sim_inside.h.
 *
 * Threads: one, as world.h.
 */
#include "testkit/user_sim_inside.h"

#include "base/alloc.h"
#include "providers/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RATE_MOST 5000000 /* of 1e9, either way: how fast clocks run */

/* ---- the world around them ------------------------------------------------------------------- */

static void make_house(troupe_sim *sim, uint16_t number)
{
    tp_sim_house *house = &sim->houses[number];
    *house = (tp_sim_house){.sim = sim, .number = number};
    (void)snprintf(house->name, sizeof house->name, "node-%u", number + 1U);
    (void)snprintf(house->address, sizeof house->address, "node-%u:7101", number + 1U);
    if (sim->nodes == 1) {
        house->env = tp_world_env(sim->world);
        return;
    }
    house->env = tp_world_process(sim->world, house->name);
    house->store =
        tp_faulty_store_create(tp_allocator_system(), sim->store, sim->options->seed + number);
    if (house->env == NULL || house->store == NULL)
        abort();
    if (sim->simulation->faults & TROUPE_FAULTS_STOPS)
        tp_world_set_clock(house->env, tp_prng_below(&sim->prng, TROUPE_HOURS(100)),
            (int64_t)tp_prng_below(&sim->prng, 2 * RATE_MOST + 1) - RATE_MOST);
}

void tp_sim_houses_make(troupe_sim *sim)
{
    if (sim->nodes > 1) {
        const troupe_store_host host = tp_world_store_host(sim->world);
        static const uint64_t ttls[] = {
            TROUPE_MILLISECONDS(500), TROUPE_SECONDS(1), TROUPE_SECONDS(3)};
        char error[256];
        sim->ttl = ttls[tp_prng_below(&sim->prng, 3)];
        if (tp_memory_provider.open(&host, "memory:", &sim->store, error, sizeof error) !=
                TROUPE_OK ||
            tp_member_memory_create(tp_allocator_system(), &sim->membership) != TROUPE_OK)
            abort();
    }
    for (uint16_t i = 0; i < (sim->nodes == 1 ? 1 : SIM_HOUSES); i++)
        make_house(sim, i);
}

void tp_sim_houses_dispose(troupe_sim *sim)
{
    for (uint32_t i = 0; i < SIM_HOUSES; i++)
        tp_faulty_store_destroy(sim->houses[i].store);
    if (sim->store != NULL)
        sim->store->close(sim->store);
    tp_member_memory_destroy(sim->membership);
}

/* ---- opening, closing, killing --------------------------------------------------------------- */

static uint32_t open_count(const troupe_sim *sim)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->house_count; i++)
        count += sim->houses[i].is_open;
    return count;
}

static tp_sim_house *pick_by(troupe_sim *sim, uint64_t pick)
{
    pick %= open_count(sim); /* one is open always: see may_go, and tp_sim_tend */
    for (uint32_t i = 0;; i++)
        if (sim->houses[i].is_open && pick-- == 0)
            return &sim->houses[i];
}

tp_sim_house *tp_sim_pick(troupe_sim *sim)
{
    return sim->nodes == 1 ? &sim->houses[0] : pick_by(sim, tp_prng_next(&sim->prng));
}

static void on_died(void *user)
{
    ((tp_sim_house *)user)->died = true;
}

static void set_grounds(tp_sim_house *house, tp_node_grounds *grounds)
{
    grounds->store = tp_faulty_store_get(house->store);
    for (int i = 0; i < 3; i++) {
        if (tp_member_memory_open(house->sim->membership, &house->rolls[i]) != TROUPE_OK)
            abort();
        grounds->membership[i] = house->rolls[i];
    }
}

static void set_cluster(tp_sim_house *house, troupe_node_options *options)
{
    options->allocator = tp_world_memory_of(house->env);
    options->name = house->name;
    options->cluster = "sim:";
    options->listen = house->address;
    options->allow_clear_text = true;
    options->lease_ttl = house->sim->ttl;
    options->on_died = on_died;
    options->on_died_user = house;
}

/* The next house; should it not open, it is the next one again. */
static troupe_status open_house(troupe_sim *sim, char *error, size_t error_size)
{
    tp_sim_house *house = &sim->houses[sim->house_count];
    troupe_node_options options = sim->node_options;
    tp_node_grounds grounds = {.env = house->env, .hostile = true};
    if (sim->nodes > 1) {
        set_cluster(house, &options);
        set_grounds(house, &grounds);
    } else {
        options.allocator = tp_world_allocator(sim->world);
    }
    troupe_status status = tp_node_open_at(
        &grounds, &options, sim->types, sim->type_count, &house->node, error, error_size);
    if (status != TROUPE_OK)
        return status;
    if (troupe_client_open(house->node, &house->client) != TROUPE_OK)
        abort();
    house->is_open = true;
    sim->house_count++;
    return TROUPE_OK;
}

void tp_sim_houses_open(troupe_sim *sim)
{
    char error[256] = "";
    while (open_count(sim) < sim->nodes)
        if (open_house(sim, error, sizeof error) != TROUPE_OK)
            troupe_sim_violated(sim, "a node does not open: %s", error);
}

static void check_panics(const tp_sim_house *house)
{
    troupe_sim *sim = house->sim;
    troupe_stats stats = {.size = sizeof stats};
    if (sim->simulation->may_panic || troupe_node_stats(house->node, &stats) != TROUPE_OK ||
        stats.panics == 0)
        return;
    char text[900];
    snprintf(text, sizeof text, "an actor panicked: %s", tp_world_panic(sim->world));
    tp_sim_report(sim, "panic", text);
}

static void close_house(tp_sim_house *house)
{
    troupe_sim *sim = house->sim;
    check_panics(house);
    house->is_open = false;
    troupe_client_close(house->client);
    troupe_node_close(house->node);
    house->node = NULL;
    uint64_t blocks =
        sim->nodes > 1 ? tp_world_blocks_of(house->env) : tp_world_live_blocks(sim->world);
    if (blocks != 0)
        tp_sim_report(sim, "leak", "memory of the node is out after its close");
}

static void kill_house(tp_sim_house *house)
{
    troupe_sim *sim = house->sim;
    check_panics(house);
    house->is_open = false;
    for (uint32_t i = 0; i < house->node->shared.shard_count; i++)
        tp_fiber_pool_deinit(&house->node->shared.shards[i]->fibers);
    house->node = NULL;
    tp_world_kill(sim->world, house->env);
    for (int i = 0; i < 3; i++)
        house->rolls[i]->close(house->rolls[i]);
    tp_sim_end_calls(sim, house);
}

void tp_sim_houses_close(troupe_sim *sim)
{
    for (uint32_t i = 0; i < sim->house_count; i++)
        if (sim->houses[i].is_open)
            close_house(&sim->houses[i]);
}

/* ---- what befalls them ----------------------------------------------------------------------- */

static void set_cut(const tp_sim_cut *cut, bool is_cut)
{
    tp_env *from = cut->sim->houses[cut->from].env, *to = cut->sim->houses[cut->to].env;
    tp_world_cut(cut->sim->world, from, to, is_cut);
    if (cut->both_ways)
        tp_world_cut(cut->sim->world, to, from, is_cut);
}

static void heal(tp_world_event *event)
{
    tp_sim_cut *cut = TP_CONTAINER(event, tp_sim_cut, heals);
    cut->is_set = false;
    set_cut(cut, false);
}

static void cut_between(troupe_sim *sim, const tp_sim_house *from, const tp_sim_house *to,
    bool both_ways, uint64_t wait)
{
    for (uint32_t i = 0; i < SIM_CUTS; i++) {
        tp_sim_cut *cut = &sim->cuts[i];
        if (cut->is_set)
            continue;
        *cut = (tp_sim_cut){.heals.happen = heal,
            .sim = sim,
            .from = from->number,
            .to = to->number,
            .is_set = true,
            .both_ways = both_ways};
        set_cut(cut, true);
        tp_world_at(sim->world, &cut->heals, tp_world_now(sim->world) + wait);
        return;
    }
}

static void cut_off(troupe_sim *sim, tp_prng *prng, const tp_sim_house *house, uint64_t wait)
{
    const tp_sim_house *other = pick_by(sim, tp_prng_next(prng));
    bool both_ways = tp_prng_chance(prng, 2, 3);
    if (other == house) {
        tp_sim_say(sim, "%s reaches no other node for %.3f s", house->name, (double)wait / 1e9);
        for (uint32_t i = 0; i < sim->house_count; i++)
            if (sim->houses[i].is_open && i != house->number)
                cut_between(sim, house, &sim->houses[i], true, wait);
        return;
    }
    tp_sim_say(sim,
        both_ways ? "%s and %s do not reach each other for %.3f s"
                  : "nothing gets from %s to %s for %.3f s",
        house->name, other->name, (double)wait / 1e9);
    cut_between(sim, house, other, both_ways, wait);
}

/* Is there another one to go on, and one to take its place? */
static bool may_go(const troupe_sim *sim)
{
    return open_count(sim) > 1 && sim->house_count + SIM_NODES < SIM_HOUSES;
}

static void strike(troupe_sim *sim, tp_prng *prng, uint32_t fault)
{
    tp_sim_house *house = pick_by(sim, tp_prng_next(prng));
    uint64_t wait = tp_draw_between(prng, TROUPE_MILLISECONDS(1), 3 * sim->ttl);
    switch (fault) {
    case TROUPE_FAULTS_CRASHES:
        tp_sim_say(sim, "%s is killed", house->name);
        kill_house(house);
        return;
    case TROUPE_FAULTS_RESTARTS:
        tp_sim_say(sim, "%s leaves", house->name);
        close_house(house);
        return;
    case TROUPE_FAULTS_STOPS:
        tp_sim_say(sim, "%s is stopped for %.3f s", house->name, (double)wait / 1e9);
        tp_world_pause(sim->world, house->env, wait);
        return;
    default:
        cut_off(sim, prng, house, wait);
        return;
    }
}

/* 0: nothing this time. */
static uint32_t draw_fault(const troupe_sim *sim, tp_prng *prng)
{
    static const uint32_t faults[] = {
        TROUPE_FAULTS_CRASHES, TROUPE_FAULTS_RESTARTS, TROUPE_FAULTS_STOPS, TROUPE_FAULTS_CUTS};
    uint32_t drawn = faults[tp_prng_below(prng, 4)];
    bool goes = drawn == TROUPE_FAULTS_CRASHES || drawn == TROUPE_FAULTS_RESTARTS;
    if (!tp_prng_chance(prng, 1, 6) || !(sim->simulation->faults & drawn) || (goes && !may_go(sim)))
        return 0;
    return drawn;
}

void tp_sim_tend(troupe_sim *sim)
{
    char error[256] = "";
    for (uint32_t i = 0; i < sim->house_count; i++)
        if (sim->houses[i].is_open && sim->houses[i].died && open_count(sim) > 1)
            close_house(&sim->houses[i]);
    if (open_count(sim) < sim->nodes && sim->house_count + SIM_NODES < SIM_HOUSES)
        (void)open_house(sim, error, sizeof error); /* while much is wrong it may fail */
}

void tp_sim_befall(troupe_sim *sim)
{
    uint64_t seed = sim->options->seed + UINT64_C(0x9E3779B97F4A7C15) * ++sim->begun;
    tp_prng prng;
    tp_prng_seed(&prng, tp_prng_split(&seed));
    uint32_t fault = draw_fault(sim, &prng);
    bool waits = tp_prng_chance(&prng, 1, 3), tends = tp_prng_chance(&prng, 1, 3);
    uint64_t wait = tp_draw_between(&prng, TROUPE_MICROSECONDS(100), sim->ttl);
    if (fault != 0 && tp_sim_takes(sim))
        strike(sim, &prng, fault);
    if (waits)
        tp_sim_run_for(sim, wait);
    if (tends)
        tp_sim_tend(sim);
}

/* ---- rest ------------------------------------------------------------------------------------ */

/* Is there an outbox with messages in it, or a reminder that is due? Their wake is over. */
static bool is_owed(troupe_sim *sim)
{
    tp_env *env = pick_by(sim, 0)->env;
    troupe_store_op op = {.kind = TROUPE_STORE_LIST_DUE,
        .until = env->wall(env),
        .limit = 1,
        .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    sim->store->run(sim->store, list, 1);
    bool owed = op.items != NULL;
    troupe_store_release(&op);
    return owed;
}

static void heal_all(troupe_sim *sim)
{
    for (uint32_t i = 0; i < SIM_CUTS; i++)
        if (sim->cuts[i].is_set) {
            tp_world_cancel(sim->world, &sim->cuts[i].heals);
            heal(&sim->cuts[i].heals);
        }
    tp_sim_run_for(sim, 4 * sim->ttl); /* who is stopped goes on, who was killed is put out */
}

static void fill_up(troupe_sim *sim)
{
    char error[256] = "";
    for (uint32_t i = 0; i < sim->house_count; i++)
        if (sim->houses[i].is_open && sim->houses[i].died)
            close_house(&sim->houses[i]);
    while (open_count(sim) < sim->nodes && sim->house_count < SIM_HOUSES)
        if (open_house(sim, error, sizeof error) != TROUPE_OK)
            troupe_sim_violated(sim, "a node does not open in peace: %s", error);
}

static void check_all_panics(const troupe_sim *sim)
{
    for (uint32_t i = 0; i < sim->house_count; i++)
        if (sim->houses[i].is_open)
            check_panics(&sim->houses[i]);
}

void tp_sim_houses_rest(troupe_sim *sim)
{
    if (sim->nodes == 1) {
        while (tp_world_step(sim->world)) {
        }
        check_all_panics(sim);
        return;
    }
    heal_all(sim);
    fill_up(sim);
    tp_sim_run_for(sim, 4 * sim->ttl);
    for (uint32_t round = 0; sim->calls != NULL || is_owed(sim); round++) {
        if (round == 120)
            tp_sim_report(sim, "rest", "calls do not end, or outboxes do not empty");
        tp_sim_run_for(sim, TROUPE_SECONDS(1));
    }
    check_all_panics(sim);
}
