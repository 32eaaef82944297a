/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a simulation of a user: its own types and calls in a world of ours. What it must not do is
 * in troupe/sim.h.
 *
 * Threads: one, as world.h.
 */
#include "testkit/user_sim.h"

#include "testkit/seeds_inside.h"

#include "node/node.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define TYPES_MOST 64

struct troupe_sim {
    const troupe_simulation *simulation;
    const tp_stage_options *options;
    tp_world *world;
    tp_prng prng;
    troupe_node_options node_options;
    const troupe_type *types[TYPES_MOST];
    size_t type_count;
    troupe_node *node; /* NULL: not open yet */
    troupe_client *client;
    uint32_t calls; /* that were begun: an operation each, for shrinking */
};

static void report(troupe_sim *sim, const char *checker, const char *text)
{
    char words[1200];
    snprintf(words, sizeof words, "%s is violated (at operation %u, %.6f s): %s",
        sim->simulation->name, sim->calls != 0 ? sim->calls - 1 : 0,
        (double)tp_world_now(sim->world) / 1e9, text);
    sim->options->violated(sim->options->user, checker, words);
}

static void stuck(void *user, const char *what)
{
    report(user, "rest", what);
}

void troupe_sim_violated(troupe_sim *sim, const char *format, ...)
{
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report(sim, "check", text);
    abort(); /* the report does not return */
}

/* ---- set-up ---------------------------------------------------------------------------------- */

void troupe_sim_load(troupe_sim *sim, const troupe_type *type)
{
    if (sim->node != NULL)
        troupe_sim_violated(sim, "troupe_sim_load comes before the first call");
    if (sim->type_count == TYPES_MOST)
        troupe_sim_violated(sim, "more than %d types", TYPES_MOST);
    sim->types[sim->type_count++] = type;
}

troupe_node_options *troupe_sim_options(troupe_sim *sim)
{
    return &sim->node_options;
}

static void open_node(troupe_sim *sim)
{
    if (sim->node != NULL)
        return;
    char error[256];
    tp_env *env = tp_world_env(sim->world);
    sim->node_options.allocator = tp_world_allocator(sim->world);
    troupe_status status = tp_node_open_in(env, true, &sim->node_options, sim->types,
        sim->type_count, &sim->node, error, sizeof error);
    if (status != TROUPE_OK)
        troupe_sim_violated(sim, "the node does not open: %s", error);
    if (troupe_client_open(sim->node, &sim->client) != TROUPE_OK)
        abort();
    if (sim->simulation->faults & TROUPE_FAULTS_MEMORY)
        tp_world_fail_memory(sim->world, 1 + (uint32_t)tp_prng_below(&sim->prng, 10), 0, 0);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Is the next call part of the run? A shrunk one leaves some out. */
static bool begins(
    troupe_sim *sim, const char *what, troupe_id id, const char *method, troupe_slice payload)
{
    open_node(sim);
    const tp_stage_options *options = sim->options;
    uint32_t call = sim->calls++;
    if (options->ops_most != 0 && call >= options->ops_most)
        return false;
    if (options->skip != NULL && call < 4000 && options->skip[call])
        return false;
    if (options->say != NULL) {
        char line[1600], name[1300];
        troupe_id_print(id, name, sizeof name);
        snprintf(line, sizeof line, "%u. at %.6f s: %s %s %s (%zu bytes)", call,
            (double)tp_world_now(sim->world) / 1e9, what, name, method, payload.size);
        options->say(options->say_user, line);
    }
    for (uint64_t steps = tp_prng_below(&sim->prng, 8); steps-- != 0;)
        (void)tp_world_step_until(sim->world, tp_world_now(sim->world));
    return true;
}

static bool tries_again(troupe_sim *sim, troupe_status status)
{
    if (troupe_status_kind(status) != TROUPE_KIND_BUSY)
        return false;
    (void)tp_world_step_until(sim->world, tp_world_now(sim->world) + TROUPE_MICROSECONDS(100));
    return true;
}

void troupe_sim_tell(troupe_sim *sim, troupe_id id, const char *method, troupe_slice payload)
{
    if (!begins(sim, "tell", id, method, payload))
        return;
    troupe_status status;
    do {
        status = troupe_client_tell(sim->client, id, method, payload, NULL);
    } while (tries_again(sim, status));
    if (status != TROUPE_OK)
        troupe_sim_violated(sim, "a tell %s: %s", method, troupe_status_text(status));
}

troupe_status troupe_sim_ask(troupe_sim *sim, troupe_id id, const char *method,
    troupe_slice payload, troupe_answer *ret_answer)
{
    open_node(sim);
    return troupe_client_ask(sim->client, id, method, payload, NULL, ret_answer);
}

typedef struct sent {
    troupe_sim *sim;
    troupe_sim_done *done;
    void *user;
} sent;

static void answered(void *user, const troupe_answer *answer)
{
    sent *call = user;
    if (call->done != NULL)
        call->done(call->sim, answer, call->user);
    free(call);
}

void troupe_sim_send(troupe_sim *sim, troupe_id id, const char *method, troupe_slice payload,
    uint64_t timeout, troupe_sim_done *done, void *user)
{
    if (!begins(sim, "ask", id, method, payload))
        return;
    sent *call = malloc(sizeof *call);
    if (call == NULL)
        abort();
    *call = (sent){sim, done, user};
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = timeout};
    troupe_status status;
    do {
        status =
            troupe_client_ask_callback(sim->client, id, method, payload, &options, answered, call);
    } while (tries_again(sim, status));
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
    open_node(sim);
    uint64_t now = tp_world_now(sim->world),
             until = duration < UINT64_MAX - now ? now + duration : UINT64_MAX;
    while (tp_world_now(sim->world) < until && tp_world_step_until(sim->world, until)) {
    }
}

static void check_panics(troupe_sim *sim)
{
    troupe_stats stats = {.size = sizeof stats};
    if (sim->simulation->may_panic || troupe_node_stats(sim->node, &stats) != TROUPE_OK ||
        stats.panics == 0)
        return;
    char text[900];
    const char *log = tp_world_log(sim->world);
    size_t size = strlen(log);
    snprintf(text, sizeof text, "an actor panicked; the log ends with: %s",
        size > 600 ? log + size - 600 : log);
    report(sim, "panic", text);
}

void troupe_sim_rest(troupe_sim *sim)
{
    open_node(sim);
    while (tp_world_step(sim->world)) {
    }
    check_panics(sim);
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
        .step_limit = simulation->steps != 0 ? simulation->steps : 400000};
    uint64_t pause = UINT64_C(1000) << tp_prng_below(&sim->prng, 15);
    uint32_t chance = 1 + (uint32_t)tp_prng_below(&sim->prng, 200);
    world.hurry = (uint32_t)tp_prng_below(&sim->prng, 900);
    if (simulation->faults & TROUPE_FAULTS_PAUSES) {
        world.pause_max = pause;
        world.pause_chance = chance;
    }
    world.calm = !(simulation->faults & TROUPE_FAULTS_DELAYS);
    sim->world = tp_world_create(&world);
    if (sim->world == NULL)
        abort();
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
    make_world(sim);
    uint32_t shards = 1 + (uint32_t)tp_prng_below(&sim->prng, 4);
    if (sim->simulation->shards != 0)
        shards = sim->simulation->shards;
    if (options->shards_most != 0 && shards > options->shards_most)
        shards = options->shards_most;
    sim->node_options = (troupe_node_options){TROUPE_NODE_OPTIONS, .shards = shards,
        .memory_limit = UINT64_C(1) << 40,
        .wake_scan = TROUPE_NEVER /* or the world never came to rest */};
    uint64_t began = tp_world_now(sim->world);
    sim->simulation->run(sim);
    troupe_sim_rest(sim);
    troupe_client_close(sim->client);
    troupe_node_close(sim->node);
    if (tp_world_live_blocks(sim->world) != 0)
        report(sim, "leak", "memory of the node is out after its close");
    *ret_result = (tp_stage_result){.hash = tp_world_hash(sim->world),
        .effects = tp_world_effects(sim->world),
        .steps = tp_world_steps(sim->world),
        .virtual_time = tp_world_now(sim->world) - began,
        .ops = sim->calls,
        .mark_count = tp_world_mark_count(sim->world)};
    for (uint32_t i = 0; i < ret_result->mark_count; i++)
        ret_result->marks[i] = tp_world_mark_name(sim->world, i);
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
