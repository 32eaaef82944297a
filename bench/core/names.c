/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows about many actors by name: tell_random_*, activate, idle_bytes_*, idle_cpu. One driver
 * tells accounts by id and method name, made and hashed each time; the account counts in its state.
 * The first tell to each is what activates it.
 *
 * Invariants
 *   1. `received` reaches what was told before a figure is taken: nothing is lost.
 *   2. At most two windows are in flight.
 * Threads: driver and accounts are on one shard and share `received`; in idle_cpu they are on
 * several, and do not.
 */
#include "core.h"
#include <math.h>
#include <time.h>
#include <troupe/inspect.h>

typedef struct job {
    tp_bench *bench;
    uint64_t actors, window;
    uint64_t warm, operations; /* operations 0: as long as a run lasts */
    uint64_t told, received;
    bool several_shards, counts_fill;
} job;

/* 32 bytes, as the row idle_bytes says. */
typedef struct account {
    tp_core_sink sink;
    uint64_t opened, closed;
} account;

static troupe_status credit(troupe_turn *turn, void *state, troupe_slice payload)
{
    job *what = troupe_turn_user(turn);
    account *self = state;
    if (!what->several_shards)
        what->received++;
    return tp_core_receive(&self->sink, payload);
}

static troupe_status tell_name(troupe_turn *turn, job *what, uint64_t index)
{
    char key[TP_BENCH_KEY], payload[TP_CORE_PAYLOAD] = {0};
    troupe_status status;
    tp_bench_key(index, key);
    troupe_id id = {troupe_str("account"), {NULL, 0}, {key, sizeof(key)}};
    memcpy(payload, &index, sizeof(index));
    while ((status = troupe_tell(turn, id, "credit", troupe_slice_of(payload, sizeof(payload)),
                NULL)) == TROUPE_BUSY)
        TROUPE_TRY(troupe_yield(turn));
    if (status == TROUPE_OK)
        what->told++;
    return status;
}

/* Yields until at most `behind` messages have not run. */
static troupe_status catch_up(troupe_turn *turn, const job *what, uint64_t behind)
{
    if (what->several_shards)
        return troupe_yield(turn);
    do
        TROUPE_TRY(troupe_yield(turn));
    while (what->told - what->received > behind);
    return TROUPE_OK;
}

static troupe_status reply(troupe_turn *turn, uint64_t operations, uint64_t start)
{
    tp_core_result result = {operations, start, tp_bench_now_ns()};
    return troupe_reply_bytes(turn, troupe_slice_of(&result, sizeof(result)));
}

static troupe_status tell_each(troupe_turn *turn, job *what, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        TROUPE_TRY(tell_name(turn, what, i));
        if (i % what->window == 0)
            TROUPE_TRY(catch_up(turn, what, what->window));
    }
    return catch_up(turn, what, 0);
}

static troupe_status fill(troupe_turn *turn, void *state, troupe_slice payload)
{
    job *what = troupe_turn_user(turn);
    (void)state;
    (void)payload;
    TROUPE_TRY(tell_each(turn, what, 0, what->warm));
    if (what->counts_fill)
        tp_bench_count_start(what->bench);
    uint64_t start = tp_bench_now_ns();
    TROUPE_TRY(tell_each(turn, what, what->warm, what->actors));
    if (what->counts_fill)
        tp_bench_count_stop(what->bench, what->actors - what->warm);
    return reply(turn, what->actors - what->warm, start);
}

static troupe_status scatter(troupe_turn *turn, void *state, troupe_slice payload)
{
    job *what = troupe_turn_user(turn);
    uint64_t random = 1, before = what->told, start = tp_bench_now_ns();
    (void)state;
    (void)payload;
    tp_bench_count_start(what->bench);
    do {
        for (uint64_t i = 0; i < what->window; i++) {
            uint64_t drawn = tp_bench_random(&random);
            TROUPE_TRY(
                tell_name(turn, what, (uint64_t)(((__uint128_t)drawn * what->actors) >> 64)));
        }
        TROUPE_TRY(catch_up(turn, what, what->window));
    } while (what->operations != 0 ? what->told - before < what->operations
                                   : tp_bench_now_ns() - start < tp_bench_run_ns(what->bench));
    TROUPE_TRY(catch_up(turn, what, 0));
    tp_bench_count_stop(what->bench, what->told - before);
    return reply(turn, what->told - before, start);
}

static const troupe_method account_methods[] = {TROUPE_METHOD(credit)};
static const troupe_method driver_methods[] = {TROUPE_METHOD(fill), TROUPE_METHOD(scatter)};

/* Fills, then does one thing more: `then` is a method of the driver or NULL. Takes resident bytes
 * before and after the filling. */
typedef struct figures {
    tp_core_result filled, then;
    uint64_t before, after;
} figures;

static void rest(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&time, NULL);
}

static bool run(
    tp_bench *bench, troupe_node_options options, job *what, const char *then, figures *ret_figures)
{
    troupe_type account_type = {TROUPE_TYPE("account"), .state_size = sizeof(account),
        TROUPE_METHODS(account_methods), .user = what};
    troupe_type driver_type = {TROUPE_TYPE("driver"), TROUPE_METHODS(driver_methods), .user = what};
    troupe_id driver = troupe_id_of("driver", "driver");
    options.max_actors = what->actors + 1000;
    troupe_node *node = tp_core_open(bench, &options, TROUPE_TYPES(&account_type, &driver_type));
    if (node == NULL)
        return false;
    ret_figures->before = tp_bench_rss_bytes();
    bool good = tp_core_run(bench, node, driver, "fill", &ret_figures->filled);
    if (good && then == NULL && !options.driven) {
        rest(TROUPE_MILLISECONDS(50)); /* the shard gives back what it can when it has no work */
        ret_figures->after = tp_bench_rss_bytes();
    }
    if (good && then != NULL)
        good = tp_core_run(bench, node, driver, then, &ret_figures->then);
    troupe_node_close(node);
    return good;
}

static double tell_random(tp_bench *bench, bool no_metrics)
{
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .idle = TROUPE_NEVER, .no_metrics = no_metrics};
    job what = {.bench = bench,
        .actors = tp_bench_param(bench, "actors", 1000000),
        .window = tp_bench_param(bench, "window", TP_CORE_WINDOW)};
    figures taken;
    tp_bench_pin(0);
    return run(bench, options, &what, "scatter", &taken) ? tp_core_rate(&taken.then) : NAN;
}

double tp_core_tell_random(tp_bench *bench)
{
    return tell_random(bench, false);
}

double tp_core_tell_random_bare(tp_bench *bench)
{
    return tell_random(bench, true);
}

double tp_core_lookup_count(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true};
    job what = {.bench = bench, .actors = 10000, .window = TP_CORE_WINDOW, .operations = 32768};
    figures taken;
    return run(bench, options, &what, "scatter", &taken) ? 0 : NAN;
}

double tp_core_activate(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1};
    job what = {.bench = bench,
        .actors = tp_bench_param(bench, "actors", 1000000),
        .window = tp_bench_param(bench, "window", TP_CORE_WINDOW)};
    figures taken;
    tp_bench_pin(0);
    return run(bench, options, &what, NULL, &taken) ? tp_core_rate(&taken.filled) : NAN;
}

double tp_core_activate_count(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true};
    job what = {.bench = bench,
        .counts_fill = true,
        .actors = 20000,
        .window = TP_CORE_WINDOW,
        .warm = 4000};
    figures taken;
    return run(bench, options, &what, NULL, &taken) ? 0 : NAN;
}

double tp_core_idle_bytes(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1};
    job what = {.bench = bench,
        .actors = tp_bench_param(bench, "actors", 1000000),
        .window = TP_CORE_WINDOW};
    figures taken;
    if (!run(bench, options, &what, NULL, &taken))
        return NAN;
    return (double)(taken.after - taken.before) / (double)what.actors;
}

/* Waits until all accounts are active; tells from one shard to another are still under way then. */
static bool wait_active(tp_bench *bench, troupe_node *node, uint64_t actors)
{
    for (int tries = 0; tries < 600; tries++) {
        troupe_stats stats = {.size = sizeof(stats)};
        if (troupe_node_stats(node, &stats) == TROUPE_OK && stats.active > actors)
            return true;
        rest(TROUPE_MILLISECONDS(100));
    }
    tp_bench_fail(bench, "the actors did not become active");
    return false;
}

double tp_core_idle_cpu(tp_bench *bench)
{
    job what = {.bench = bench,
        .actors = tp_bench_param(bench, "actors", 1000000),
        .window = TP_CORE_WINDOW,
        .several_shards = true};
    uint64_t measured = tp_bench_param(bench, "seconds", 5);
    troupe_type account_type = {TROUPE_TYPE("account"), .state_size = sizeof(account),
        TROUPE_METHODS(account_methods), .user = &what};
    troupe_type driver_type = {
        TROUPE_TYPE("driver"), TROUPE_METHODS(driver_methods), .user = &what};
    tp_core_result result;
    troupe_node *node = tp_core_open(bench, NULL, TROUPE_TYPES(&account_type, &driver_type));
    if (node == NULL)
        return NAN;
    if (!tp_core_run(bench, node, troupe_id_of("driver", "driver"), "fill", &result) ||
        !wait_active(bench, node, what.actors)) {
        troupe_node_close(node);
        return NAN;
    }
    rest(TROUPE_SECONDS(1));
    uint64_t wakeups = tp_bench_wakeups(), cpu = tp_bench_cpu_ns();
    rest(TROUPE_SECONDS(measured));
    wakeups = tp_bench_wakeups() - wakeups - 1; /* one is the sleep of this thread */
    cpu = tp_bench_cpu_ns() - cpu;
    troupe_node_close(node);
    tp_bench_also(bench, "idle_cpu_time", "us/s of processor", (double)cpu / 1e3 / (double)measured,
        TP_BENCH_SHOWN, 0);
    return (double)wakeups / (double)measured;
}
