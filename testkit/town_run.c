/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of one seed in a town: opens its first houses, performs the operations of the scenario,
 * heals all, waits until every actor answers at every house, closes.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include <troupe/cluster.h>

#include <stdlib.h>

#define SLICE TROUPE_MILLISECONDS(50)

/* A call once is asked no longer than that; its key is kept for max_clock_skew (10 s) more. */
#define ONCE_MOST TROUPE_SECONDS(8)

#define OPS_LEAST 60
#define OPS_MOST  600

static void run_for(tp_town *town, uint64_t duration)
{
    uint64_t until = tp_world_now(town->world) + duration;
    while (tp_world_now(town->world) < until) {
        uint64_t slice = tp_world_now(town->world) + SLICE;
        if (slice > until)
            slice = until;
        while (tp_world_step_until(town->world, slice)) {
        }
        tp_town_look(town);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void answered(void *user, const troupe_answer *answer)
{
    tp_town_attempt *attempt = user;
    tp_town_deed *deed = attempt->deed;
    bool is_newest = attempt->number == deed->issues;
    tp_town_attempt_ended(attempt, answer);
    tp_town_answered(deed, answer);
    if (is_newest && answer->status != TROUPE_OK)
        tp_town_again(deed);
}

/* All attempts of a call once end before its actor may forget the key. */
static void fix_end(const tp_town *town, tp_town_deed *deed)
{
    uint64_t now = tp_world_now(town->world);
    if (deed->until == 0)
        deed->until = now + (deed->timeout != 0 ? deed->timeout : ONCE_MOST);
    if (deed->until < now + TROUPE_MILLISECONDS(1))
        deed->until = now + TROUPE_MILLISECONDS(1);
    bool slices = deed->number % 2 == 0 && deed->until - now > TROUPE_SECONDS(2);
    deed->timeout = slices ? TROUPE_SECONDS(1) : deed->until - now;
}

static void issue(tp_house *house, tp_town_deed *deed)
{
    tp_town *town = house->town;
    char key[TOWN_KEY];
    uint32_t client = deed->number % TOWN_CLIENTS;
    if (deed->issues == TOWN_ATTEMPTS)
        return;
    if (deed->once)
        fix_end(town, deed);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = deed->timeout};
    if (deed->once)
        options.once = tp_town_key(deed, key);
    tp_town_attempt *attempt = tp_town_attempt_make(deed, house->number);
    const tp_town_order order = tp_town_issue(deed, house, house->streams[client]);
    troupe_id to = tp_town_id(town, deed->target);
    troupe_slice payload = {&order, sizeof order};
    troupe_status status =
        deed->is_tell
            ? troupe_client_tell(house->clients[client], to, "serve", payload, &options)
            : troupe_client_ask_callback(
                  house->clients[client], to, "serve", payload, &options, answered, attempt);
    const troupe_answer answer = {.status = status,
        .outcome = deed->once ? TROUPE_UNKNOWN_OUTCOME : TROUPE_NOT_DONE};
    if (status == TROUPE_OK)
        return;
    attempt->ended = true;
    tp_town_answered(deed, &answer);
}

static void issue_at(tp_town *town, uint32_t pick, tp_town_deed *deed)
{
    tp_house *house = tp_town_pick(town, pick);
    if (house != NULL)
        issue(house, deed);
}

static void issue_later(tp_town_timed *self)
{
    issue_at(self->town, self->pick, self->deed);
}

void tp_town_again(tp_town_deed *deed)
{
    tp_town *town = deed->town;
    uint64_t wait = tp_prng_below(tp_world_prng(town->world), TROUPE_MILLISECONDS(700));
    bool is_late = tp_world_now(town->world) + wait + TROUPE_MILLISECONDS(1) > deed->until;
    if (!deed->once || deed->from != NULL || is_late || deed->issues == TOWN_ATTEMPTS)
        return;
    tp_town_timed *timed = tp_town_later(town, wait, issue_later);
    if (timed == NULL)
        return;
    timed->deed = deed;
    timed->pick = deed->number + deed->issues;
    tp_world_mark(town->world, "a call once is asked again from outside");
}

static void trouble_later(tp_town_timed *self)
{
    tp_town_trouble(self->town, self->kind, self->pick, self->other, self->wait);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* What happens while the run waits for a house. */
static void schedule(tp_town *town, const tp_town_op *op)
{
    for (uint32_t i = 0; i < op->count; i++) {
        tp_town_timed *timed = tp_town_later(town, op->delays[i], issue_later);
        if (timed == NULL)
            continue;
        timed->deed = op->deeds[i];
        /* To one that moves much comes from one sender: what goes two ways there is told apart. */
        timed->pick = op->pick + op->deeds[i]->number / (op->kind == TOWN_MOVE ? 8 : 3);
    }
    for (uint32_t i = 0; i < TOWN_WITH && op->with[i].kind != TOWN_ASKS; i++) {
        tp_town_timed *timed = tp_town_later(town, op->with[i].at, trouble_later);
        if (timed == NULL)
            return;
        timed->kind = op->with[i].kind;
        timed->pick = op->with[i].pick;
        timed->other = op->with[i].other;
        timed->wait = op->with[i].wait;
    }
}

static void deactivate(tp_town *town, const tp_town_op *op)
{
    tp_house *house = tp_town_pick(town, op->pick);
    if (house == NULL)
        return;
    uint16_t actor = (uint16_t)(op->other % town->actor_count);
    town->blocked = house;
    if (setjmp(town->out) != 0)
        return;
    troupe_status status = troupe_node_deactivate(house->node, tp_town_id(town, actor));
    town->blocked = NULL;
    tp_world_trace(town->world, 963, (uint64_t)status);
}

/* False: it is not there. */
static bool move_to(
    tp_town *town, const tp_town_op *op, tp_house *house, const tp_house *to, uint16_t actor)
{
    town->blocked = house;
    if (setjmp(town->out) != 0)
        return false;
    troupe_status status = troupe_cluster_migrate(house->node, tp_town_id(town, actor),
        troupe_str(to->name), town->calm ? 0 : op->wait, NULL, NULL);
    town->blocked = NULL;
    tp_world_trace(town->world, 964, (uint64_t)status);
    if (status == TROUPE_OK)
        tp_world_mark(town->world, "an actor is moved by hand");
    else if (!tp_town_hosts(to, town->actors[actor].type))
        tp_world_mark(town->world, "an actor is not moved to who does not host it");
    else if (town->calm && status != TROUPE_NOT_FOUND)
        tp_town_violate(town, "P8 planned", "actor %u is not moved to %s: %s", actor, to->name,
            troupe_status_name(status));
    return status == TROUPE_OK;
}

static void move(tp_town *town, const tp_town_op *op)
{
    tp_house *house = tp_town_pick(town, op->pick);
    tp_house *to = tp_town_pick(town, op->other / 64);
    if (house == NULL)
        return;
    uint16_t actor = (uint16_t)(op->other % town->actor_count);
    schedule(town, op);
    /* Who has sent it may not have heard yet that it runs there, when it goes on. */
    if (!move_to(town, op, house, to, actor) || op->pick % 2 == 0)
        return;
    const tp_house *next = tp_town_pick(town, op->other / 64 + 1);
    if (next != NULL && to->state == HOUSE_OPEN && !to->died &&
        move_to(town, op, to, next, actor))
        tp_world_mark(town->world, "an actor moves on at once");
}

static void close_dead(tp_town *town)
{
    for (uint32_t i = 0; i < town->house_count; i++)
        if (town->houses[i].state == HOUSE_OPEN && town->houses[i].died)
            tp_town_close(town, &town->houses[i]);
}

static void perform(tp_town *town, const tp_town_op *op)
{
    tp_house *house = tp_town_pick(town, op->pick);
    switch (op->kind) {
    case TOWN_ASKS:
        for (uint32_t i = 0; i < op->count; i++) {
            issue_at(town, op->pick + i / 2, op->deeds[i]);
            if (op->deeds[i]->once && op->deeds[i]->number % 4 == 0) /* two at once */
                issue_at(town, op->pick + 1 + i / 2, op->deeds[i]);
        }
        return;
    case TOWN_WAIT:
        run_for(town, op->wait);
        return;
    case TOWN_DEACTIVATE:
        deactivate(town, op);
        return;
    case TOWN_START:
        if (tp_town_open_count(town) == TOWN_NODES || town->house_count + 3 >= TOWN_HOUSES)
            return;
        schedule(town, op);
        (void)tp_town_open(town);
        return;
    case TOWN_LEAVE:
        if (house == NULL || tp_town_open_count(town) < 2)
            return;
        schedule(town, op);
        tp_town_close(town, house);
        return;
    case TOWN_MOVE:
        move(town, op);
        return;
    default:
        tp_town_trouble(town, op->kind, op->pick, op->other, op->wait);
        return;
    }
}

static bool is_short(const tp_town *town, uint32_t ops)
{
    return ops < OPS_MOST && tp_world_effects(town->world) < town->options->scenario->effects;
}

static void run_ops(tp_town *town)
{
    const tp_stage_options *options = town->options;
    for (uint32_t i = 0; i < OPS_LEAST || is_short(town, i); i++) {
        if (options->ops_most != 0 && i >= options->ops_most)
            break;
        if (options->skip != NULL && options->skip[i])
            continue;
        tp_town_op op;
        town->op = i;
        tp_town_plan(town, i, &op);
        tp_town_say(town, i, &op);
        perform(town, &op);
        run_for(
            town, op.wait / 8 < TROUPE_MILLISECONDS(40) ? op.wait / 8 : TROUPE_MILLISECONDS(40));
        close_dead(town);
    }
}

/* ---- rest ------------------------------------------------------------------------------------ */

static void ask_all(tp_town *town)
{
    for (uint32_t i = 0; i < town->house_count; i++)
        for (uint16_t k = 0; town->houses[i].state == HOUSE_OPEN && k < town->actor_count; k++) {
            tp_town_deed *deed = tp_town_deed_make(town, k);
            if (deed != NULL)
                issue(&town->houses[i], deed);
        }
}

/* Nobody calls the owners of outboxes and reminders: their nodes have to wake them. */
static void settle(tp_town *town)
{
    uint16_t actor;
    for (uint32_t round = 0; tp_town_is_owed(town, &actor); round++) {
        if (round == 60)
            tp_town_violate(town, "P7 outbox", "the outbox of actor %u does not empty", actor);
        run_for(town, TROUPE_SECONDS(2));
    }
}

static void rest(tp_town *town)
{
    tp_town_heal(town);
    run_for(town, 4 * town->ttl + TROUPE_SECONDS(12)); /* asks that were under way end, too */
    close_dead(town);
    while ((tp_town_open_count(town) < 2 || town->hosted_since == TP_NEVER) &&
           tp_town_open(town)) {
    }
    run_for(town, 4 * town->ttl + TROUPE_SECONDS(1)); /* those who were killed are put out */
    close_dead(town);
    town->resting = true;
    settle(town);
    tp_town_check_late(town);
    ask_all(town);
    run_for(town, TROUPE_SECONDS(12));
    ask_all(town);
    run_for(town, TROUPE_SECONDS(2));
    for (int i = 0; i < 100 && is_short(town, 0); i++) /* what had no house left to happen at */
        run_for(town, TROUPE_SECONDS(2));
}

static void close_all(tp_town *town)
{
    for (uint32_t i = 0; i < town->house_count; i++)
        if (town->houses[i].state == HOUSE_OPEN)
            tp_town_close(town, &town->houses[i]);
}

static void fill_result(const tp_town *town, uint64_t began, tp_stage_result *ret)
{
    const tp_world *world = town->world;
    *ret = (tp_stage_result){.hash = tp_world_hash(world),
        .effects = tp_world_effects(world),
        .steps = tp_world_steps(world),
        .virtual_time = tp_world_now(world) - began,
        .ops = town->op,
        .deeds = town->deed_count,
        .mark_count = tp_world_mark_count(world)};
    for (uint32_t i = 0; i < ret->mark_count; i++)
        ret->marks[i] = tp_world_mark_name(world, i);
}

void tp_town_run(const tp_stage_options *options, tp_stage_result *ret_result)
{
    tp_town *town = calloc(1, sizeof *town);
    if (town == NULL)
        abort();
    town->options = options;
    town->scenario = options->scenario->town;
    uint64_t seed = options->seed;
    tp_prng prng;
    tp_prng_seed(&prng, tp_prng_split(&seed) ^ 3);
    tp_town_make(town, &prng);
    uint64_t began = tp_world_now(town->world);
    uint32_t doubts = town->doubts;
    town->doubts = 0;
    for (uint64_t i = 2 + tp_prng_below(&prng, 3); i != 0; i--)
        if (!tp_town_open(town))
            tp_town_violate(town, "open", "a node does not open in peace");
    town->doubts = doubts;
    run_ops(town);
    rest(town);
    settle(town);
    tp_town_check_late(town);
    close_all(town);
    tp_town_check_rest(town);
    fill_result(town, began, ret_result);
    tp_town_dispose(town);
}
