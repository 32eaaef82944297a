/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of one seed: makes the world and the node, performs the operations of its scenario, waits
 * for rest, closes.
 *
 * Threads: one, as world.h.
 */
#include "testkit/stage.h"

#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- set-up ---------------------------------------------------------------------------------- */

static void draw_limits(tp_stage *stage, tp_prng *prng, troupe_node_options *options)
{
    const tp_scenario *scenario = stage->scenario;
    if (scenario->tight_mailboxes)
        options->mailbox_limit = 1 + (uint32_t)tp_prng_below(prng, 12);
    if (scenario->tight_links)
        options->link_limit = 2 + (uint32_t)tp_prng_below(prng, 40);
    if (scenario->tight_asks)
        options->max_asks = 3 + (uint32_t)tp_prng_below(prng, 40);
    if (scenario->tight_fibers)
        options->max_fibers = 1 + (uint32_t)tp_prng_below(prng, 5);
    if (scenario->tight_actors)
        options->max_actors = 1 + tp_prng_below(prng, stage->player_count / 2 + 1);
    if (scenario->tight_memory)
        options->memory_limit = options->shards * tp_draw_between(prng, 16384, 65536);
    if (scenario->tight_inbox)
        options->inbox_limit = 1 + (uint32_t)tp_prng_below(prng, 6);
}

static void draw_options(tp_stage *stage, tp_prng *prng)
{
    const tp_scenario *scenario = stage->scenario;
    uint32_t shards = 1 + (uint32_t)tp_prng_below(prng, 4);
    uint32_t most = stage->options->shards_most;
    if (most != 0 && shards > most)
        shards = most;
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = shards,
        .memory_limit = UINT64_C(1) << 40, .allocator = tp_world_allocator(stage->world),
        .turn_batch = 1 + (uint32_t)tp_prng_below(prng, 16), .long_turn = TROUPE_MILLISECONDS(20),
        .wake_scan = TROUPE_NEVER /* or the world never came to rest */, .log = "info"};
    options.ask_timeout = TROUPE_SECONDS(5) + tp_prng_below(prng, TROUPE_SECONDS(10));
    /* Without memory for a probe only the deadline ends a circle. */
    if (tp_prng_chance(prng, 1, 6) && !scenario->memory_fails)
        options.ask_timeout = TROUPE_NEVER;
    options.deadlock_wait = TROUPE_MILLISECONDS(5);
    if (tp_prng_chance(prng, 1, 2))
        options.deadlock_wait = tp_draw_between(prng, 50000, TROUPE_MILLISECONDS(10));
    options.idle = TROUPE_SECONDS(30);
    if (tp_prng_chance(prng, 1, 4))
        options.idle = TROUPE_NEVER;
    if (scenario->short_idle)
        options.idle = tp_draw_between(prng, TROUPE_MILLISECONDS(1), TROUPE_MILLISECONDS(500));
    options.drain_timeout = TROUPE_SECONDS(30);
    if (scenario->closes && tp_prng_chance(prng, 1, 2))
        options.drain_timeout = tp_draw_between(prng, 1000, TROUPE_MILLISECONDS(100));
    draw_limits(stage, prng, &options);
    stage->node_options = options;
}

static void draw_players(tp_stage *stage, tp_prng *prng)
{
    const tp_scenario *scenario = stage->scenario;
    uint32_t most = scenario->actors_most;
    if (stage->options->actors_most != 0 && stage->options->actors_most < most)
        most = stage->options->actors_most;
    uint32_t count = most < 3 ? most : 2 + (uint32_t)tp_prng_below(prng, most - 2);
    stage->solo_count = scenario->ops[TP_OP_CIRCLE] != 0 ? 3 + (uint32_t)tp_prng_below(prng, 4) : 0;
    stage->solo_first = count;
    stage->player_count = count + stage->solo_count;
    uint32_t left_out =
        (uint32_t)tp_prng_next(prng) & (uint32_t)tp_prng_next(prng); /* of the types */
    for (uint32_t i = 0; i < stage->player_count; i++) {
        tp_player *player = &stage->players[i];
        snprintf(player->key, sizeof player->key, "%u", i);
        player->shard = UINT32_MAX;
        if (i >= stage->solo_first)
            continue;
        uint32_t sum = 0, pick = 0;
        for (uint32_t k = 0; k < STAGE_TYPES; k++)
            sum += (left_out >> k) & 1 ? 0 : scenario->types[k];
        if (sum == 0)
            continue;
        uint64_t drawn = tp_prng_below(prng, sum);
        while (true) {
            uint32_t weight = (left_out >> pick) & 1 ? 0 : scenario->types[pick];
            if (drawn < weight)
                break;
            drawn -= weight;
            pick++;
        }
        player->type = (uint8_t)pick;
    }
    uint32_t mask = (uint32_t)tp_prng_next(prng) & (uint32_t)tp_prng_next(prng);
    stage->act_mask = mask & ~(1U << TP_ACT_WRITE | 1U << TP_ACT_ASK);
}

static void stuck(void *user, const char *what)
{
    tp_violate(user, "P3 rest", "%s", what);
}

static void make_world(tp_stage *stage, tp_prng *prng)
{
    tp_world_options options = {.seed = stage->options->seed,
        .mutants = stage->options->mutants,
        .stuck = stuck,
        .user = stage,
        .record = stage->options->record,
        .step_limit = 400000};
    bool stormy = stage->scenario->stormy;
    if (stormy || tp_prng_chance(prng, 3, 4)) {
        options.pause_chance = (stormy ? 200 : 1) + (uint32_t)tp_prng_below(prng, 200);
        options.pause_max = tp_draw_between(prng, stormy ? 1000000 : 5000, TROUPE_MILLISECONDS(20));
    }
    options.hurry = (uint32_t)tp_prng_below(prng, 900);
    stage->world = tp_world_create(&options);
    if (stage->world == NULL)
        abort();
}

static void open_node(tp_stage *stage)
{
    const troupe_type *types[STAGE_TYPES];
    tp_stage_types_make(stage);
    for (uint32_t i = 0; i < STAGE_TYPES; i++)
        types[i] = &stage->types[i];
    char error[256];
    tp_env *env = tp_world_env(stage->world);
    troupe_status status = tp_node_open_in(
        env, true, &stage->node_options, types, STAGE_TYPES, &stage->node, error, sizeof error);
    if (status != TROUPE_OK)
        tp_violate(stage, "open", "%s: %s", troupe_status_name(status), error);
    for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
        if (troupe_client_open(stage->node, &stage->clients[i]) != TROUPE_OK)
            abort();
    status = troupe_node_subscribe(stage->node, tp_stage_lifecycle, stage, &stage->subscription);
    if (status != TROUPE_OK)
        tp_violate(stage, "open", "no subscription: %s", troupe_status_name(status));
    troupe_stats stats = {.size = sizeof stats};
    if (troupe_node_stats(stage->node, &stats) == TROUPE_OK)
        stage->bytes_fresh = stats.bytes;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void answered_outside(void *user, const troupe_answer *answer)
{
    tp_deed *deed = user;
    deed->stage->outside_open--;
    tp_deed_answered(deed->stage, deed, answer, NULL);
}

static void call_outside(tp_stage *stage, tp_deed *deed)
{
    troupe_call_options options;
    troupe_client *client = stage->clients[deed->sender - STAGE_ACTORS];
    tp_deed_options(stage, deed, &options);
    tp_deed_issue(stage, deed, NULL);
    troupe_id id = tp_player_id(stage, deed->target);
    troupe_status status;
    if (deed->kind == TP_DEED_TELL) {
        status =
            troupe_client_tell(client, id, tp_deed_method(deed), tp_deed_payload(deed), &options);
    } else {
        status = troupe_client_ask_callback(client, id, tp_deed_method(deed), tp_deed_payload(deed),
            &options, answered_outside, deed);
        if (status == TROUPE_OK)
            stage->outside_open++;
    }
    tp_deed_sent(stage, deed, status);
}

static void block_outside(tp_stage *stage, tp_deed *deed)
{
    troupe_call_options options;
    troupe_client *client = stage->clients[deed->sender - STAGE_ACTORS];
    tp_deed_options(stage, deed, &options);
    tp_deed_issue(stage, deed, NULL);
    deed->accepted = true;
    troupe_answer answer;
    troupe_status status = troupe_client_ask(client, tp_player_id(stage, deed->target),
        tp_deed_method(deed), tp_deed_payload(deed), &options, &answer);
    if (status != answer.status)
        tp_violate(stage, "P3 answer", "a blocking ask returns another status than it answers");
    tp_deed_answered(stage, deed, &answer, NULL);
    troupe_answer_release(&answer);
}

static void deactivate(tp_stage *stage, uint16_t actor)
{
    troupe_status status = troupe_node_deactivate(stage->node, tp_player_id(stage, actor));
    bool ok = status == TROUPE_OK || status == TROUPE_NOT_FOUND ||
              (stage->memory_fails && status == TROUPE_NO_MEMORY);
    if (!ok)
        tp_violate(
            stage, "P2 lifecycle", "a deactivation from outside: %s", troupe_status_name(status));
}

static void perform(tp_stage *stage, const tp_op *op)
{
    for (uint32_t i = 0; i < op->count; i++) {
        if (op->kind == TP_OP_BLOCKING)
            block_outside(stage, op->deeds[i]);
        else
            call_outside(stage, op->deeds[i]);
    }
    if (op->kind == TP_OP_WAIT) {
        uint64_t until = tp_world_now(stage->world) + op->wait;
        while (tp_world_now(stage->world) < until && tp_world_step_until(stage->world, until)) {
        }
    } else if (op->kind == TP_OP_DEACTIVATE) {
        deactivate(stage, op->actor);
    } else if (op->kind == TP_OP_LOOK) {
        tp_stage_look(stage);
    }
}

static void go_on(tp_stage *stage)
{
    uint64_t until = tp_world_now(stage->world) + TROUPE_MILLISECONDS(40);
    for (uint32_t k = 0; k < 40; k++)
        if (!tp_world_step_until(stage->world, until))
            return;
}

static void run_ops(tp_stage *stage, tp_prng *prng)
{
    const tp_stage_options *options = stage->options;
    uint64_t most = stage->scenario->effects;
    if (stage->scenario->closes)
        most += tp_prng_below(prng, most);
    if (stage->scenario->memory_fails) {
        uint64_t first = tp_world_allocations(stage->world) + tp_prng_below(prng, 4000);
        uint64_t count = 1 + tp_prng_below(prng, 40);
        uint32_t chance = tp_prng_chance(prng, 1, 2) ? 1 + (uint32_t)tp_prng_below(prng, 30) : 0;
        tp_world_fail_memory(stage->world, chance, first, count);
        stage->memory_fails = true;
    }
    for (uint32_t i = 0; tp_world_effects(stage->world) < most || i < 20; i++) {
        if (i == 3000 || (options->ops_most != 0 && i >= options->ops_most))
            break;
        if (options->skip != NULL && options->skip[i])
            continue;
        tp_op op;
        stage->op = i;
        tp_plan(stage, i, &op);
        for (uint32_t k = 0; k < op.steps_before; k++)
            (void)tp_world_step_until(stage->world, tp_world_now(stage->world));
        tp_plan_say(stage, i, &op);
        perform(stage, &op);
        if (i % 16 == 15) /* however busy they are outside, inside something happens */
            go_on(stage);
    }
    tp_world_fail_memory(stage->world, 0, 0, 0);
}

static void close_node(tp_stage *stage)
{
    for (uint32_t i = 0; i < STAGE_CLIENTS; i++)
        troupe_client_close(stage->clients[i]);
    troupe_node_close(stage->node);
    stage->node = NULL;
}

static void dispose(tp_stage *stage)
{
    for (uint32_t i = 0; i < stage->deed_count; i++) {
        free(stage->deeds[i]->acts);
        free(stage->deeds[i]->payload);
        free(stage->deeds[i]);
    }
    free(stage->deeds);
    free(stage->timers);
    free(stage->cycles);
    tp_world_destroy(stage->world);
    free(stage);
}

static void fill_result(const tp_stage *stage, uint64_t began, tp_stage_result *ret)
{
    const tp_world *world = stage->world;
    *ret = (tp_stage_result){.hash = tp_world_hash(world),
        .effects = tp_world_effects(world),
        .steps = tp_world_steps(world),
        .virtual_time = tp_world_now(world) - began,
        .ops = stage->op,
        .deeds = stage->deed_count,
        .mark_count = tp_world_mark_count(world)};
    for (uint32_t i = 0; i < ret->mark_count; i++)
        ret->marks[i] = tp_world_mark_name(world, i);
}

void tp_stage_run(const tp_stage_options *options, tp_stage_result *ret_result)
{
    tp_stage *stage = calloc(1, sizeof *stage);
    if (stage == NULL)
        abort();
    stage->options = options;
    stage->scenario = options->scenario;
    uint64_t seed = options->seed;
    tp_prng prng;
    tp_prng_seed(&prng, tp_prng_split(&seed) ^ 1);
    tp_prng_seed(&stage->prng, tp_prng_split(&seed));
    make_world(stage, &prng);
    uint64_t began = tp_world_now(stage->world);
    draw_players(stage, &prng);
    draw_options(stage, &prng);
    open_node(stage);
    run_ops(stage, &prng);
    if (stage->scenario->closes) {
        stage->closing = true;
    } else {
        tp_stage_rest(stage);
    }
    close_node(stage);
    tp_stage_after_close(stage);
    fill_result(stage, began, ret_result);
    dispose(stage);
}
