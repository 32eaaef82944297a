/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a simulation of a user: its own types and calls in a world of ours. What it must not do is
 * in troupe/sim.h.
 *
 * Threads: one, as world.h.
 */
#include "testkit/user_sim_inside.h"

#include "testkit/seeds_inside.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS_MOST         400000
#define STEPS_MOST_OF_MANY 3000000
#define TRIES_MOST         600 /* of a call that no node takes */

static double seconds(const troupe_sim *sim)
{
    return (double)(tp_world_now(sim->world) - sim->began_at) / 1e9;
}

void tp_sim_report(troupe_sim *sim, const char *checker, const char *text)
{
    char words[1200];
    snprintf(words, sizeof words, "%s is violated at %.6f s, operation %u: %s",
        sim->simulation->name, seconds(sim), sim->ops != 0 ? sim->ops - 1 : 0, text);
    sim->options->violated(sim->options->user, checker, words);
}

static void stuck(void *user, const char *what)
{
    tp_sim_report(user, "rest", what);
}

void troupe_sim_violated(troupe_sim *sim, const char *format, ...)
{
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tp_sim_report(sim, "check", text);
    abort(); /* the report does not return */
}

/* ---- set-up ---------------------------------------------------------------------------------- */

void troupe_sim_load(troupe_sim *sim, const troupe_type *type)
{
    if (sim->has_begun)
        troupe_sim_violated(sim, "troupe_sim_load comes before the first call");
    if (sim->type_count == SIM_TYPES)
        troupe_sim_violated(sim, "more than %d types", SIM_TYPES);
    sim->types[sim->type_count++] = type;
}

troupe_node_options *troupe_sim_options(troupe_sim *sim)
{
    return &sim->node_options;
}

static void begin(troupe_sim *sim)
{
    if (sim->has_begun)
        return;
    sim->has_begun = true;
    tp_sim_houses_open(sim);
    if ((sim->simulation->faults & TROUPE_FAULTS_MEMORY) && sim->nodes == 1)
        tp_world_fail_memory(sim->world, 1 + (uint32_t)tp_prng_below(&sim->prng, 10), 0, 0);
}

/* ---- operations ------------------------------------------------------------------------------ */

bool tp_sim_takes(troupe_sim *sim)
{
    const tp_stage_options *options = sim->options;
    uint32_t op = sim->ops++;
    if (options->ops_most != 0 && op >= options->ops_most)
        return false;
    return options->skip == NULL || op >= SIM_OPS || !options->skip[op];
}

void tp_sim_say(troupe_sim *sim, const char *format, ...)
{
    if (sim->options->say == NULL)
        return;
    char line[1600];
    int size = snprintf(line, sizeof line, "%u. at %.6f s: ", sim->ops - 1, seconds(sim));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + size, sizeof line - (size_t)size, format, arguments);
    va_end(arguments);
    sim->options->say(sim->options->say_user, line);
}

/* Is the next call part of the run? */
static bool begins(
    troupe_sim *sim, const char *what, troupe_id id, const char *method, troupe_slice payload)
{
    begin(sim);
    if (sim->nodes > 1)
        tp_sim_befall(sim);
    if (!tp_sim_takes(sim))
        return false;
    char name[1300];
    troupe_id_print(id, name, sizeof name);
    tp_sim_say(sim, "%s %s %s (%zu bytes)", what, name, method, payload.size);
    for (uint64_t steps = tp_prng_below(&sim->prng, 8); steps-- != 0;)
        (void)tp_world_step_until(sim->world, tp_world_now(sim->world));
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Nothing was done, and it may be tried again: the world goes on a little before. */
static bool tries_again(troupe_sim *sim, troupe_status status, uint32_t *tries)
{
    troupe_kind kind = troupe_status_kind(status);
    if (kind == TROUPE_KIND_BUSY) {
        (void)tp_world_step_until(sim->world, tp_world_now(sim->world) + TROUPE_MICROSECONDS(100));
        return true;
    }
    if (sim->nodes == 1 || (kind != TROUPE_KIND_UNAVAILABLE && kind != TROUPE_KIND_CLOSED) ||
        ++*tries == TRIES_MOST)
        return false;
    tp_sim_run_for(sim, sim->ttl / 10);
    tp_sim_tend(sim);
    return true;
}

void troupe_sim_tell(troupe_sim *sim, troupe_id id, const char *method, troupe_slice payload)
{
    if (!begins(sim, "tell", id, method, payload))
        return;
    troupe_status status;
    uint32_t tries = 0;
    do {
        status = troupe_client_tell(tp_sim_pick(sim)->client, id, method, payload, NULL);
    } while (tries_again(sim, status, &tries));
    if (status != TROUPE_OK)
        troupe_sim_violated(sim, "a tell %s: %s", method, troupe_status_text(status));
}

troupe_status troupe_sim_ask(troupe_sim *sim, troupe_id id, const char *method,
    troupe_slice payload, troupe_answer *ret_answer)
{
    begin(sim);
    return troupe_client_ask(tp_sim_pick(sim)->client, id, method, payload, NULL, ret_answer);
}

static void end_call(tp_sim_call *call, const troupe_answer *answer)
{
    tp_sim_call **link = &call->sim->calls;
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    if (call->done != NULL)
        call->done(call->sim, answer, call->user);
    free(call);
}

static void answered(void *user, const troupe_answer *answer)
{
    end_call(user, answer);
}

void tp_sim_end_calls(troupe_sim *sim, const tp_sim_house *house)
{
    static const char words[] = "the node that it was sent from was killed";
    const troupe_answer answer = {.status = TROUPE_UNKNOWN,
        .outcome = TROUPE_UNKNOWN_OUTCOME,
        .message = {words, sizeof words - 1}};
    tp_sim_call *next;
    for (tp_sim_call *call = sim->calls; call != NULL; call = next) {
        next = call->next;
        if (call->house == house)
            end_call(call, &answer);
    }
}

void troupe_sim_send(troupe_sim *sim, troupe_id id, const char *method, troupe_slice payload,
    uint64_t timeout, troupe_sim_done *done, void *user)
{
    if (!begins(sim, "ask", id, method, payload))
        return;
    tp_sim_call *call = malloc(sizeof *call);
    if (call == NULL)
        abort();
    *call = (tp_sim_call){.next = sim->calls, .sim = sim, .done = done, .user = user};
    sim->calls = call;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = timeout};
    troupe_status status;
    uint32_t tries = 0;
    do {
        call->house = tp_sim_pick(sim);
        status = troupe_client_ask_callback(
            call->house->client, id, method, payload, &options, answered, call);
    } while (tries_again(sim, status, &tries));
    if (status != TROUPE_OK)
        troupe_sim_violated(sim, "an ask %s: %s", method, troupe_status_text(status));
}

/* ---- chance, time, rest ---------------------------------------------------------------------- */

uint64_t troupe_sim_random(troupe_sim *sim)
{
    return tp_prng_next(&sim->prng);
}

uint64_t troupe_sim_below(troupe_sim *sim, uint64_t count)
{
    return count != 0 ? tp_prng_below(&sim->prng, count) : 0;
}

uint64_t troupe_sim_now(troupe_sim *sim)
{
    return tp_world_now(sim->world);
}

void troupe_sim_sleep(troupe_sim *sim, uint64_t duration)
{
    begin(sim);
    tp_sim_run_for(sim, duration);
}

void tp_sim_run_for(troupe_sim *sim, uint64_t duration)
{
    uint64_t now = tp_world_now(sim->world),
             until = duration < UINT64_MAX - now ? now + duration : UINT64_MAX;
    while (tp_world_now(sim->world) < until && tp_world_step_until(sim->world, until)) {
    }
}

void troupe_sim_rest(troupe_sim *sim)
{
    begin(sim);
    tp_sim_houses_rest(sim);
}

void troupe_sim_at_rest(troupe_sim *sim, troupe_sim_check *check, int64_t expected)
{
    troupe_sim_rest(sim);
    check(sim, expected);
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void make_world(troupe_sim *sim)
{
    const troupe_simulation *simulation = sim->simulation;
    tp_world_options world = {.seed = sim->options->seed,
        .stuck = stuck,
        .user = sim,
        .record = sim->options->record,
        .step_limit = simulation->steps};
    if (world.step_limit == 0)
        world.step_limit = sim->nodes == 1 ? STEPS_MOST : STEPS_MOST_OF_MANY;
    uint64_t pause = UINT64_C(1000) << tp_prng_below(&sim->prng, 15);
    uint32_t chance = 1 + (uint32_t)tp_prng_below(&sim->prng, 200);
    world.hurry = (uint32_t)tp_prng_below(&sim->prng, 900);
    if (simulation->faults & TROUPE_FAULTS_PAUSES) {
        world.pause_max = pause;
        world.pause_chance = chance;
    }
    world.calm = !(simulation->faults & TROUPE_FAULTS_DELAYS);
    if (!world.calm && sim->nodes > 1)
        world.delay_most =
            tp_draw_between(&sim->prng, TROUPE_MICROSECONDS(50), TROUPE_MILLISECONDS(20));
    if ((simulation->faults & TROUPE_FAULTS_CUTS) && sim->nodes > 1)
        world.break_chance = (uint32_t)tp_prng_below(&sim->prng, 500);
    sim->world = tp_world_create(&world);
    if (sim->world == NULL)
        abort();
    sim->began_at = tp_world_now(sim->world);
}

static void set_options(troupe_sim *sim)
{
    uint32_t shards = 1 + (uint32_t)tp_prng_below(&sim->prng, sim->nodes == 1 ? 4 : 2);
    if (sim->simulation->shards != 0)
        shards = sim->simulation->shards;
    if (sim->options->shards_most != 0 && shards > sim->options->shards_most)
        shards = sim->options->shards_most;
    sim->node_options = (troupe_node_options){
        TROUPE_NODE_OPTIONS, .shards = shards, .memory_limit = UINT64_C(1) << 40};
    /* To come to rest takes virtual time without end, and no state is to be lost by it. */
    sim->node_options.idle = TROUPE_NEVER;
    /* Alone it would never come to rest, and has nothing that sleeps. */
    sim->node_options.wake_scan = sim->nodes == 1 ? TROUPE_NEVER : TROUPE_SECONDS(5);
}

void tp_user_sim_run(
    const void *subject, const tp_stage_options *options, tp_stage_result *ret_result)
{
    troupe_sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        abort();
    uint64_t seed = options->seed;
    sim->simulation = subject;
    sim->options = options;
    tp_seed_page *page = options->user;
    snprintf(page->crashed, sizeof page->crashed, "%s", sim->simulation->name);
    tp_prng_seed(&sim->prng, tp_prng_split(&seed));
    sim->nodes = sim->simulation->nodes > 1 ? sim->simulation->nodes : 1;
    make_world(sim);
    if (sim->nodes > SIM_NODES)
        troupe_sim_violated(sim, ".nodes is %u: at most %d", sim->nodes, SIM_NODES);
    set_options(sim);
    tp_sim_houses_make(sim);
    sim->simulation->run(sim);
    troupe_sim_rest(sim);
    tp_sim_houses_close(sim);
    *ret_result = (tp_stage_result){.hash = tp_world_hash(sim->world),
        .effects = tp_world_effects(sim->world),
        .steps = tp_world_steps(sim->world),
        .virtual_time = tp_world_now(sim->world) - sim->began_at,
        .ops = sim->ops,
        .mark_count = tp_world_mark_count(sim->world)};
    for (uint32_t i = 0; i < ret_result->mark_count; i++)
        ret_result->marks[i] = tp_world_mark_name(sim->world, i);
    tp_sim_houses_dispose(sim);
    tp_world_destroy(sim->world);
    free(sim);
}

/* ---- shared objects -------------------------------------------------------------------------- */

bool tp_user_module_open(
    const char *path, tp_user_module *ret_module, char *error, size_t error_size)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(error, error_size, "%s", dlerror());
        return false;
    }
    void *symbol = dlsym(handle, "troupe_simulation_table");
    const troupe_simulation *const *(*table)(size_t * count);
    memcpy(&table, &symbol, sizeof table);
    *ret_module = (tp_user_module){.handle = handle};
    if (symbol != NULL)
        ret_module->simulations = table(&ret_module->count);
    if (ret_module->count == 0) {
        snprintf(error, error_size,
            "%s has no simulation: write one with TROUPE_SIMULATION(name) { ... }", path);
        dlclose(handle);
        return false;
    }
    for (size_t i = 0; i < ret_module->count; i++) {
        if (ret_module->simulations[i]->size == sizeof(troupe_simulation))
            continue;
        snprintf(error, error_size, "%s was compiled with another <troupe/sim.h>", path);
        dlclose(handle);
        return false;
    }
    return true;
}

void tp_user_module_close(tp_user_module *module)
{
    if (module->handle != NULL)
        dlclose(module->handle);
    *module = (tp_user_module){0};
}
