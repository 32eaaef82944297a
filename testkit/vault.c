/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of one seed on a vault: makes the world, the store and the node, performs the operations of
 * its scenario, kills the node and opens it again, waits for rest, closes.
 *
 * Threads: one, as world.h.
 */
#include "testkit/vault.h"

#include "base/alloc.h"
#include "node/node.h"
#include "providers/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a call once: the window may forget it so long after its deadline. */
#define SKEW  TROUPE_SECONDS(10)
#define ROUND TROUPE_SECONDS(2)

/* A call from outside that has no end yet. */
typedef struct tp_vault_attempt {
    struct tp_vault_attempt *next, **link;
    tp_vault_deed *deed;
    uint32_t number; /* of those of its deed, from 1 */
} attempt;

/* ---- set-up ---------------------------------------------------------------------------------- */

static void stuck(void *user, const char *what)
{
    tp_vault_violate(user, "P3 rest", "%s", what);
}

static void make_world(tp_vault *vault, tp_prng *prng)
{
    tp_world_options options = {.seed = vault->options->seed,
        .mutants = vault->options->mutants,
        .stuck = stuck,
        .user = vault,
        .record = vault->options->record,
        .step_limit = 600000};
    if (tp_prng_chance(prng, 3, 4)) {
        options.pause_chance = 1 + (uint32_t)tp_prng_below(prng, 200);
        options.pause_max = tp_draw_between(prng, 5000, TROUPE_MILLISECONDS(20));
    }
    options.hurry = (uint32_t)tp_prng_below(prng, 900);
    vault->world = tp_world_create(&options);
    if (vault->world == NULL)
        abort();
}

void tp_vault_pass_time(void *user, uint64_t duration)
{
    tp_world_advance(((tp_vault *)user)->world, duration);
}

static void landed(void *user, const troupe_store_op *op, uint64_t writer)
{
    tp_vault *vault = user;
    if (writer == vault->writer)
        return;
    tp_world_mark(vault->world, "a write lands after its node's crash");
    if (op->status == TROUPE_OK)
        tp_vault_violate(vault, "P6 writer", "a write of a node that is gone lands at version %llu",
            (unsigned long long)op->version + 1);
}

static void wrap(tp_vault *vault)
{
    uint64_t seed = vault->options->seed + vault->incarnation;
    vault->faulty =
        tp_faulty_store_create(tp_allocator_system(), vault->inner, tp_prng_split(&seed));
    if (vault->faulty == NULL)
        abort();
    tp_faulty_store_plan(vault->faulty, &vault->plan);
}

static void make_store(tp_vault *vault, tp_prng *prng)
{
    const troupe_store_host host = tp_world_store_host(vault->world);
    char error[256] = "";
    if (vault->scenario->disk)
        tp_vault_disk_make(vault, prng);
    else if (tp_memory_provider.open(&host, "memory:", &vault->inner, error, sizeof error) !=
             TROUPE_OK)
        tp_vault_violate(vault, "open", "the store: %s", error);
    vault->plan = (tp_fault_plan){.late_most = 1 + tp_prng_below(prng, 40),
        .pause = tp_vault_pass_time,
        .landed = landed,
        .any_writer = (vault->options->mutants >> TP_MUTANT_ANY_WRITER) & 1,
        .user = vault};
    for (uint32_t i = TP_FAULT_REFUSED; i < TP_FAULTS; i++)
        if (tp_prng_chance(prng, 1, 2))
            vault->plan.chances[i] = (uint32_t)tp_prng_below(prng, vault->scenario->faults[i] + 1);
    if (vault->scenario->delay_most != 0 && tp_prng_chance(prng, 1, 2))
        vault->plan.delay_most = tp_draw_between(prng, 10000, vault->scenario->delay_most);
    wrap(vault);
}

static void draw_actors(tp_vault *vault, tp_prng *prng)
{
    uint32_t most = VAULT_ACTORS;
    if (vault->options->actors_most != 0 && vault->options->actors_most < most)
        most = vault->options->actors_most;
    vault->actor_count = most < 3 ? most : 2 + (uint32_t)tp_prng_below(prng, most - 1);
    if (vault->actor_count < 2)
        vault->actor_count = 2; /* parts have another target than who sends them */
    uint32_t sum = 0;
    for (uint32_t i = 0; i < VAULT_TYPES; i++)
        sum += vault->scenario->types[i];
    for (uint32_t i = 0; i < vault->actor_count; i++) {
        tp_vault_actor *actor = &vault->actors[i];
        snprintf(actor->key, sizeof actor->key, "%u", i);
        uint64_t drawn = tp_prng_below(prng, sum);
        while (drawn >= vault->scenario->types[actor->type])
            drawn -= vault->scenario->types[actor->type++];
    }
}

static void draw_options(tp_vault *vault, tp_prng *prng)
{
    uint32_t shards = 1 + (uint32_t)tp_prng_below(prng, 3);
    if (vault->options->shards_most != 0 && shards > vault->options->shards_most)
        shards = vault->options->shards_most;
    vault->node_options = (troupe_node_options){TROUPE_NODE_OPTIONS, .shards = shards,
        .memory_limit = UINT64_C(1) << 40, .allocator = tp_world_allocator(vault->world),
        .turn_batch = 1 + (uint32_t)tp_prng_below(prng, 16), .log = "info", .max_clock_skew = SKEW,
        .drain_timeout = TROUPE_SECONDS(30), .idle = TROUPE_SECONDS(30)};
    vault->node_options.ask_timeout = TROUPE_SECONDS(2) + tp_prng_below(prng, TROUPE_SECONDS(10));
    if (tp_prng_chance(prng, 1, 2))
        vault->node_options.idle =
            tp_draw_between(prng, TROUPE_MILLISECONDS(1), TROUPE_MILLISECONDS(500));
    if (vault->scenario->tight_actors)
        vault->node_options.max_actors = 1 + tp_prng_below(prng, vault->actor_count);
    if (tp_vault_restores(vault)) {
        vault->node_options.prune_interval = TROUPE_MILLISECONDS(300);
        vault->actors[0].rewinds = tp_prng_chance(prng, 1, 2) && tp_vault_gated(vault, 0);
    }
}

/* False: the power failed meanwhile. */
static bool open_node(tp_vault *vault)
{
    const troupe_type *types[VAULT_TYPES];
    for (uint32_t i = 0; i < VAULT_TYPES; i++)
        types[i] = &vault->types[i];
    char error[256];
    troupe_status status =
        tp_node_open_on(tp_world_env(vault->world), true, tp_faulty_store_get(vault->faulty),
            &vault->node_options, types, VAULT_TYPES, &vault->node, error, sizeof error);
    if (status != TROUPE_OK && vault->disk != NULL && tp_sim_disk_is_down(vault->disk))
        return false;
    if (status != TROUPE_OK)
        tp_vault_violate(vault, "open", "%s: %s", troupe_status_name(status), error);
    vault->writer = tp_storage_port(vault->node->storage)->writer;
    for (uint32_t i = 0; i < VAULT_CLIENTS; i++)
        if (troupe_client_open(vault->node, &vault->clients[i]) != TROUPE_OK)
            abort();
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static tp_vault_deed *attempt_over(attempt *self)
{
    tp_vault_deed *deed = self->deed;
    *self->link = self->next;
    if (self->next != NULL)
        self->next->link = self->link;
    free(self);
    return deed;
}

static void answered(void *user, const troupe_answer *answer)
{
    const attempt *self = user;
    bool is_newest = self->number == self->deed->attempts;
    tp_vault_deed *deed = attempt_over(user);
    if (is_newest && deed->once && answer->outcome == TROUPE_NOT_DONE)
        tp_vault_told_none(deed, answer->status);
    tp_vault_answered(deed, answer);
}

static void refused(tp_vault_deed *deed, troupe_status status)
{
    const troupe_answer answer = {.status = status,
        .outcome = deed->once ? TROUPE_UNKNOWN_OUTCOME : TROUPE_NOT_DONE};
    tp_vault_answered(deed, &answer);
}

static void call(tp_vault *vault, tp_vault_deed *deed)
{
    attempt *self = calloc(1, sizeof *self);
    if (self == NULL)
        abort();
    *self = (attempt){.next = vault->attempts, .link = &vault->attempts, .deed = deed};
    if (self->next != NULL)
        self->next->link = &self->next;
    vault->attempts = self;
    if (deed->attempts++ == 0)
        deed->first_issued = tp_world_now(vault->world);
    self->number = deed->attempts;
    char key[16];
    snprintf(key, sizeof key, "deed %u", deed->number);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = deed->timeout};
    if (deed->once)
        options.once = troupe_str(key);
    const tp_vault_order order = {deed->number, 0};
    troupe_client *client = vault->clients[deed->number % VAULT_CLIENTS];
    troupe_status status = troupe_client_ask_callback(client, tp_vault_id(vault, deed->target),
        tp_vault_method(deed), (troupe_slice){&order, sizeof order}, &options, answered, self);
    if (status != TROUPE_OK)
        refused(attempt_over(self), status);
}

static void call_again(tp_vault *vault, uint32_t pick)
{
    for (uint32_t i = 0; i < vault->deed_count; i++) {
        uint32_t newest = vault->deed_count - 1 - i;
        tp_vault_deed *deed = vault->deeds[newest];
        if (!deed->once || deed->attempts == 0 ||
            tp_world_now(vault->world) >= deed->first_issued + SKEW)
            continue;
        if ((pick >>= 1) & 1)
            continue;
        call(vault, deed);
        return;
    }
}

/* ---- outages and crashes --------------------------------------------------------------------- */

static void heal(tp_world_event *event)
{
    tp_vault *vault = TP_CONTAINER(event, tp_vault, outage);
    tp_faulty_store_plan(vault->faulty, &vault->plan);
    if (vault->disk != NULL)
        tp_vault_disk_heal(vault);
}

static void break_store(tp_vault *vault, uint32_t pick, uint64_t duration)
{
    tp_fault_plan plan = vault->plan;
    static const tp_fault faults[] = {TP_FAULT_REFUSED, TP_FAULT_LOST, TP_FAULT_SILENT};
    memset(plan.chances, 0, sizeof plan.chances);
    plan.chances[faults[pick % 3]] = 1024;
    if (vault->disk != NULL)
        tp_vault_disk_break(vault, pick);
    else
        tp_faulty_store_plan(vault->faulty, &plan);
    tp_world_cancel(vault->world, &vault->outage);
    vault->outage.happen = heal;
    tp_world_at(vault->world, &vault->outage, tp_world_now(vault->world) + duration);
}

/* What waits for the store lands after the crash, if it is still let in. */
static void let_wander(tp_vault *vault)
{
    tp_fault_plan plan = vault->plan;
    memset(plan.chances, 0, sizeof plan.chances);
    plan.chances[TP_FAULT_LATE] = 1024;
    plan.late_most = 8;
    tp_faulty_store_plan(vault->faulty, &plan);
    tp_world_step_runner(vault->world, TP_SHARDS_MAX);
    tp_world_step_runner(vault->world, TP_SHARDS_MAX); /* the first may only have dawdled */
    tp_faulty_store_plan(vault->faulty, &vault->plan);
    tp_world_cancel(vault->world, &vault->outage);
}

/* Another node on the same store, once the disk lets it come so far. */
static void live_again(tp_vault *vault, bool power)
{
    bool is_open = false;
    while (!is_open) {
        vault->node = NULL;
        vault->incarnation++;
        tp_world_trace(vault->world, 902, vault->incarnation);
        if (vault->disk != NULL) {
            tp_faulty_store_destroy(vault->faulty);
            tp_vault_disk_crash(vault, power);
            wrap(vault);
        }
        is_open = open_node(vault);
        power = true;
        if (!is_open)
            tp_world_crash(vault->world);
    }
    if (vault->disk != NULL)
        tp_vault_disk_live(vault, false);
}

static void crash(tp_vault *vault, uint32_t pick, bool power)
{
    tp_shared *shared = &vault->node->shared;
    for (uint32_t i = 0; i < shared->shard_count; i++)
        if (shared->shards[i]->commits_under_way != 0)
            tp_world_mark(vault->world, "crash with a commit under way");
    if ((pick & 1) && vault->disk == NULL)
        let_wander(vault);
    while (vault->attempts != NULL)
        attempt_over(vault->attempts)->unknown++;
    tp_vault_rewinds_forget(vault);
    for (uint32_t i = 0; i < shared->shard_count; i++)
        tp_fiber_pool_deinit(&shared->shards[i]->fibers);
    tp_world_crash(vault->world);
    live_again(vault, power);
}

/* Nothing is seen of a node whose disk is gone: both go at once. */
static bool step_until(tp_vault *vault, uint64_t until)
{
    bool more = tp_world_step_until(vault->world, until);
    if (vault->disk != NULL && tp_sim_disk_is_down(vault->disk)) {
        tp_world_mark(vault->world, "the power fails in a write");
        crash(vault, 0, true);
        return true;
    }
    return more;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void run_for(tp_vault *vault, uint64_t duration)
{
    uint64_t until = tp_world_now(vault->world) + duration;
    while (tp_world_now(vault->world) < until && step_until(vault, until)) {
    }
}

static void deactivate(tp_vault *vault, uint16_t actor)
{
    troupe_status status = troupe_node_deactivate(vault->node, tp_vault_id(vault, actor));
    if (status != TROUPE_OK && status != TROUPE_NOT_FOUND)
        tp_vault_violate(
            vault, "P2 lifecycle", "a deactivation from outside: %s", troupe_status_name(status));
}

static void perform(tp_vault *vault, const tp_vault_op *op)
{
    for (uint32_t i = 0; i < op->count; i++)
        call(vault, op->deeds[i]);
    switch (op->kind) {
    case TP_VAULT_AGAIN:
        call_again(vault, op->pick);
        break;
    case TP_VAULT_WAIT:
        run_for(vault, op->wait);
        break;
    case TP_VAULT_DEACTIVATE:
        deactivate(vault, op->actor);
        break;
    case TP_VAULT_OUTAGE:
        break_store(vault, op->pick, op->wait);
        break;
    case TP_VAULT_MEDDLE:
        tp_vault_meddle(vault, op->actor);
        break;
    case TP_VAULT_RESTORE:
    case TP_VAULT_DELETE:
        tp_vault_rewind(vault, 0, op->kind == TP_VAULT_DELETE, op->pick);
        break;
    case TP_VAULT_CRASH:
        crash(vault, op->pick, (op->pick & 2) != 0);
        break;
    default:
        break;
    }
}

static void run_ops(tp_vault *vault)
{
    const tp_stage_options *options = vault->options;
    for (uint32_t i = 0; tp_world_effects(vault->world) < vault->effects || i < 20; i++) {
        if (i == 3000 || (options->ops_most != 0 && i >= options->ops_most))
            break;
        if (options->skip != NULL && options->skip[i])
            continue;
        tp_vault_op op;
        vault->op = i;
        tp_vault_plan(vault, i, &op);
        for (uint32_t k = 0; k < op.steps_before; k++)
            (void)step_until(vault, tp_world_now(vault->world));
        tp_vault_say(vault, i, &op);
        perform(vault, &op);
        if (i % 16 == 15)
            run_for(vault, TROUPE_MILLISECONDS(10));
    }
}

/* ---- rest ------------------------------------------------------------------------------------ */

/* Is anything on its way? Names the actor, or says -1: calls. */
static bool is_open(tp_vault *vault, int *ret_actor)
{
    *ret_actor = -1;
    if (vault->attempts != NULL || vault->errands != NULL)
        return true;
    for (uint16_t i = 0; i < vault->actor_count; i++) {
        tp_vault_record record;
        tp_vault_stored(vault, i, &record);
        *ret_actor = i;
        if (record.rows[TROUPE_ROW_OUTBOX] != 0)
            return true;
    }
    return false;
}

static void rest(tp_vault *vault)
{
    int actor;
    memset(vault->plan.chances, 0, sizeof vault->plan.chances);
    vault->plan.delay_most = 0;
    tp_faulty_store_plan(vault->faulty, &vault->plan);
    tp_world_cancel(vault->world, &vault->outage);
    if (vault->disk != NULL)
        tp_vault_disk_live(vault, true);
    (void)tp_faulty_store_land(vault->faulty);
    /* Nobody calls the owners of outboxes: the node has to wake them. */
    for (uint32_t round = 0; is_open(vault, &actor); round++) {
        if (round == 120)
            tp_vault_violate(vault, actor < 0 ? "P3 rest" : "P7 outbox",
                actor < 0 ? "a call does not end" : "the outbox of actor %d does not empty", actor);
        run_for(vault, ROUND);
    }
    run_for(vault, ROUND);
    tp_env *env = tp_world_env(vault->world);
    vault->rested = env->wall(env);
}

static void close_node(tp_vault *vault)
{
    for (uint32_t i = 0; i < VAULT_CLIENTS; i++)
        troupe_client_close(vault->clients[i]);
    troupe_node_close(vault->node);
    vault->node = NULL;
    if (tp_world_live_blocks(vault->world) != 0)
        tp_vault_violate(vault, "P8 leak", "%llu blocks of the node are out after its close",
            (unsigned long long)tp_world_live_blocks(vault->world));
}

static void fill_result(const tp_vault *vault, uint64_t began, tp_stage_result *ret)
{
    const tp_world *world = vault->world;
    *ret = (tp_stage_result){.hash = tp_world_hash(world),
        .effects = tp_world_effects(world),
        .steps = tp_world_steps(world),
        .virtual_time = tp_world_now(world) - began,
        .ops = vault->op,
        .deeds = vault->deed_count,
        .mark_count = tp_world_mark_count(world)};
    for (uint32_t i = 0; i < ret->mark_count; i++)
        ret->marks[i] = tp_world_mark_name(world, i);
}

static void dispose(tp_vault *vault)
{
    for (uint32_t i = 0; i < vault->deed_count; i++)
        free(vault->deeds[i]);
    tp_faulty_store_destroy(vault->faulty);
    vault->inner->close(vault->inner);
    tp_vault_disk_dispose(vault);
    tp_world_destroy(vault->world);
    free(vault);
}

void tp_vault_run(const tp_stage_options *options, tp_stage_result *ret_result)
{
    tp_vault *vault = calloc(1, sizeof *vault);
    if (vault == NULL)
        abort();
    vault->options = options;
    vault->scenario = options->scenario->vault;
    vault->effects = options->scenario->effects;
    uint64_t seed = options->seed;
    tp_prng prng;
    tp_prng_seed(&prng, tp_prng_split(&seed) ^ 2);
    make_world(vault, &prng);
    uint64_t began = tp_world_now(vault->world);
    draw_actors(vault, &prng);
    draw_options(vault, &prng);
    make_store(vault, &prng);
    if (tp_prng_chance(&prng, 1, 2))
        vault->node_options.senders_limit = 1 + (uint32_t)tp_prng_below(&prng, 6);
    tp_vault_types_make(vault);
    if (!open_node(vault))
        abort(); /* the disk is calm until then */
    if (vault->disk != NULL)
        tp_vault_disk_live(vault, false);
    run_ops(vault);
    rest(vault);
    close_node(vault);
    if (vault->disk != NULL)
        tp_vault_disk_check(vault);
    tp_vault_check_rest(vault);
    fill_result(vault, began, ret_result);
    dispose(vault);
}
