/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak: churn far above max_actors, for as long as it is told. Churners, actors that never rest,
 * tell and ask random accounts (saved when they leave, so no count may be lost) and random cells
 * (which set timers, panic, leave, and ask accounts); the body asks from outside meanwhile. Its
 * figure is how far resident memory strayed from its plateau in the last half. Run by tools/soak
 * and by tests/soak.
 *
 * Invariants, each checked at the end
 *   1. Every account has counted exactly what was accepted for it.
 *   2. Turns of cells, panics and timer ticks are exactly those the node counted and callers saw.
 *   3. Active actors are at most max_actors and the churners; nothing is parked, queued or pending.
 * Threads: churners are on all shards; what they share is atomic.
 */
#include "core.h"
#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <troupe/inspect.h>

enum { CHURNERS = 16, SAMPLES = 40, NAMES_PER_ACTOR = 10 };

/* Written by actors of all shards and by the body, but for the first four. */
typedef struct soak {
    tp_bench *bench;
    uint64_t names, max_actors, end_ns;
    _Atomic uint64_t *expected; /* per account */
    _Atomic uint64_t arm_tells, arm_turns, booms, panics, ticks, refused, relayed;
    _Atomic uint32_t wrong; /* the first status that should not have been */
    sem_t ended;
} soak;

static void note_wrong(soak *what, troupe_status status)
{
    uint32_t none = 0;
    atomic_compare_exchange_strong(&what->wrong, &none, (uint32_t)status);
}

static bool is_refusal(troupe_status status)
{
    return troupe_status_kind(status) == TROUPE_KIND_BUSY;
}

/* --- accounts: saved when they leave --- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    uint64_t *count = state;
    (void)payload;
    ++*count;
    return troupe_reply_bytes(turn, troupe_slice_of(count, sizeof(*count)));
}

static troupe_status get(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(state, sizeof(uint64_t)));
}

static const troupe_method account_methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(get)};

static troupe_id name_of(const char *type, uint64_t number, char key[TP_BENCH_KEY])
{
    tp_bench_key(number, key);
    return (troupe_id){troupe_str(type), {NULL, 0}, {key, TP_BENCH_KEY}};
}

static troupe_slice nothing(void)
{
    return (troupe_slice){NULL, 0};
}

static troupe_status ask_from(troupe_turn *turn, troupe_id id, const char *method)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, id, method, nothing(), NULL, &answer);
    troupe_answer_release(&answer);
    return status;
}

/* An account counts what was accepted; anything but done or refused would make that inexact. */
static troupe_status add_from(troupe_turn *turn, soak *what, uint64_t number, bool is_ask)
{
    char key[TP_BENCH_KEY];
    troupe_id id = name_of("account", number, key);
    troupe_status status =
        is_ask ? ask_from(turn, id, "add") : troupe_tell(turn, id, "add", nothing(), NULL);
    if (status == TROUPE_OK)
        atomic_fetch_add_explicit(&what->expected[number], 1, memory_order_relaxed);
    else if (is_refusal(status))
        atomic_fetch_add_explicit(&what->refused, 1, memory_order_relaxed);
    else
        note_wrong(what, status);
    return status;
}

/* --- cells: forget, panic, leave --- */

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    soak *what = troupe_turn_user(turn);
    (void)state;
    (void)payload;
    atomic_fetch_add_explicit(&what->ticks, 1, memory_order_relaxed);
    return TROUPE_OK;
}

static troupe_status arm(troupe_turn *turn, void *state, troupe_slice payload)
{
    soak *what = troupe_turn_user(turn);
    uint64_t *turns = state;
    troupe_timer timer;
    (void)payload;
    ++*turns;
    atomic_fetch_add_explicit(&what->arm_turns, 1, memory_order_relaxed);
    uint64_t first = TROUPE_MILLISECONDS(1 + troupe_random(turn) % 8);
    troupe_status status = troupe_timer_start(turn, "tick", nothing(), first, 0, &timer);
    return status == TROUPE_BUSY ? TROUPE_OK : status;
}

static troupe_status boom(troupe_turn *turn, void *state, troupe_slice payload)
{
    soak *what = troupe_turn_user(turn);
    uint64_t *turns = state;
    (void)payload;
    ++*turns;
    troupe_turn_alloc(turn, 256);
    atomic_fetch_add_explicit(&what->booms, 1, memory_order_relaxed);
    troupe_panic(turn, "as planned");
}

static troupe_status leave(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_deactivate(turn);
    return troupe_reply_bytes(turn, nothing());
}

static troupe_status relay(troupe_turn *turn, void *state, troupe_slice payload)
{
    soak *what = troupe_turn_user(turn);
    (void)state;
    (void)payload;
    troupe_actor_alloc(turn, 64);
    if (add_from(turn, what, troupe_random(turn) % what->names, true) == TROUPE_OK)
        atomic_fetch_add_explicit(&what->relayed, 1, memory_order_relaxed);
    return troupe_reply_bytes(turn, nothing());
}

static const troupe_method cell_methods[] = {TROUPE_METHOD(tick), TROUPE_METHOD(arm),
    TROUPE_METHOD(boom), TROUPE_METHOD(leave), TROUPE_METHOD(relay)};

/* --- churners --- */

static void disturb(troupe_turn *turn, soak *what, uint64_t chance)
{
    static const char *const methods[] = {"boom", "leave", "relay", "relay"};
    char key[TP_BENCH_KEY];
    const char *method = methods[chance % 4];
    troupe_status status =
        ask_from(turn, name_of("cell", troupe_random(turn) % what->names, key), method);
    if (status == TROUPE_PANIC && chance % 4 == 0)
        atomic_fetch_add_explicit(&what->panics, 1, memory_order_relaxed);
    else if (is_refusal(status))
        atomic_fetch_add_explicit(&what->refused, 1, memory_order_relaxed);
    else if (status != TROUPE_OK || chance % 4 == 0)
        note_wrong(what, status != TROUPE_OK ? status : TROUPE_BUG);
}

static void churn_once(troupe_turn *turn, soak *what)
{
    uint64_t chance = troupe_random(turn);
    uint64_t number = (chance >> 16) % what->names;
    char key[TP_BENCH_KEY];
    switch (chance % 16) {
    case 0:
    case 1:
        disturb(turn, what, chance >> 8);
        return;
    case 2:
    case 3: {
        troupe_status status =
            troupe_tell(turn, name_of("cell", number, key), "arm", nothing(), NULL);
        if (status == TROUPE_OK)
            atomic_fetch_add_explicit(&what->arm_tells, 1, memory_order_relaxed);
        else if (!is_refusal(status))
            note_wrong(what, status);
        return;
    }
    default:
        add_from(turn, what, number, chance % 16 < 8);
    }
}

static troupe_status churn(troupe_turn *turn, void *state, troupe_slice payload)
{
    soak *what = troupe_turn_user(turn);
    tp_core_result result = {.start_ns = tp_bench_now_ns()};
    (void)state;
    (void)payload;
    while (tp_bench_now_ns() < what->end_ns && atomic_load(&what->wrong) == 0) {
        for (int i = 0; i < 32; i++, result.operations++)
            churn_once(turn, what);
        TROUPE_TRY(troupe_yield(turn));
    }
    result.end_ns = tp_bench_now_ns();
    return troupe_reply_bytes(turn, troupe_slice_of(&result, sizeof(result)));
}

static const troupe_method churner_methods[] = {TROUPE_METHOD(churn)};

/* --- the body --- */

static void over(void *user, const troupe_answer *answer)
{
    soak *what = user;
    if (answer->status != TROUPE_OK)
        note_wrong(what, answer->status);
    sem_post(&what->ended);
}

static bool begin(troupe_client *client, soak *what)
{
    static const char *const keys[CHURNERS] = {
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"};
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_HOURS(1000)};
    int begun = 0;
    for (; begun < CHURNERS; begun++)
        if (troupe_client_ask_callback(client, troupe_id_of("churner", keys[begun]), "churn",
                nothing(), &options, over, what) != TROUPE_OK)
            break;
    return begun == CHURNERS;
}

/* One ask from outside; what it counted. */
static troupe_status ask_outside(
    troupe_client *client, uint64_t number, const char *method, uint64_t *ret_count)
{
    char key[TP_BENCH_KEY];
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_client_ask(
        client, name_of("account", number, key), method, nothing(), NULL, &answer);
    if (status == TROUPE_OK)
        memcpy(ret_count, answer.payload.data, sizeof(*ret_count));
    troupe_answer_release(&answer);
    return status;
}

/* Asks from outside until `until`. */
static void visit(troupe_client *client, soak *what, uint64_t until, uint64_t *random)
{
    while (tp_bench_now_ns() < until && atomic_load(&what->wrong) == 0) {
        uint64_t number = tp_bench_random(random) % what->names, count;
        troupe_status status = ask_outside(client, number, "add", &count);
        if (status == TROUPE_OK)
            atomic_fetch_add_explicit(&what->expected[number], 1, memory_order_relaxed);
        else if (!is_refusal(status))
            note_wrong(what, status);
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* How far any sample of the last half is from their median, per cent. */
static double straying(double *samples, size_t count)
{
    double *half = samples + count / 2;
    size_t size = count - count / 2;
    qsort(half, size, sizeof(*half), compare);
    double plateau = half[size / 2], up = half[size - 1] - plateau, down = plateau - half[0];
    return (up > down ? up : down) * 100 / plateau;
}

static bool check_accounts(tp_bench *bench, troupe_client *client, soak *what)
{
    for (uint64_t i = 0; i < what->names; i++) {
        uint64_t count = 0, expected = atomic_load(&what->expected[i]);
        troupe_status status;
        while (is_refusal(status = ask_outside(client, i, "get", &count)))
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        if (status == TROUPE_OK && count == expected)
            continue;
        tp_bench_fail(bench, "account %llu counts %llu, not %llu (%s)", (unsigned long long)i,
            (unsigned long long)count, (unsigned long long)expected, troupe_status_name(status));
        return false;
    }
    return true;
}

#define EQUAL(left, right)                                                                \
    do {                                                                                  \
        unsigned long long left_ = (left), right_ = (right);                              \
        if (left_ != right_) {                                                            \
            tp_bench_fail(bench, "%s is %llu, %s is %llu", #left, left_, #right, right_); \
            return false;                                                                 \
        }                                                                                 \
    } while (0)

/* Timers may still be due, and restarts after a back-off: waits up to ten seconds for them. */
static bool settle(troupe_node *node, troupe_stats *stats)
{
    for (int i = 0; i < 100; i++) {
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        if (troupe_node_stats(node, stats) != TROUPE_OK)
            return false;
        if (stats->parked == 0 && stats->queued == 0 && stats->pending_asks == 0)
            return true;
    }
    return true;
}

static bool check_counters(tp_bench *bench, troupe_node *node, const soak *what)
{
    troupe_stats stats = {.size = sizeof(stats)};
    if (!settle(node, &stats)) {
        tp_bench_fail(bench, "no statistics");
        return false;
    }
    EQUAL(what->panics, what->booms);
    EQUAL(stats.panics, what->booms);
    EQUAL(what->arm_turns, what->arm_tells);
    EQUAL(stats.timers, what->ticks);
    EQUAL(stats.dead_letters, 0);
    EQUAL(stats.timeouts + stats.expired + stats.cancelled + stats.save_failures, 0);
    EQUAL(stats.activations - stats.deactivations, stats.active);
    EQUAL(stats.parked, 0);
    EQUAL(stats.queued, 0);
    EQUAL(stats.pending_asks, 0);
    if (stats.active > what->max_actors + CHURNERS || stats.evictions == 0 || what->ticks == 0 ||
        what->booms == 0) {
        tp_bench_fail(bench, "%llu active, %llu evicted, %llu ticks, %llu panics",
            (unsigned long long)stats.active, (unsigned long long)stats.evictions,
            (unsigned long long)what->ticks, (unsigned long long)what->booms);
        return false;
    }
    tp_bench_also(bench, "soak_turns", "turns", (double)stats.turns, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "soak_evictions", "actors", (double)stats.evictions, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "soak_panics", "turns", (double)stats.panics, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "soak_ticks", "turns", (double)stats.timers, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "soak_refused", "calls", (double)what->refused, TP_BENCH_SHOWN, 0);
    return true;
}

static double run(tp_bench *bench, troupe_node *node, troupe_client *client, soak *what)
{
    uint64_t seconds = tp_bench_param(bench, "seconds", 10), start = tp_bench_now_ns(), random = 1;
    double samples[SAMPLES];
    what->end_ns = start + TROUPE_SECONDS(seconds);
    if (!begin(client, what))
        return tp_bench_fail(bench, "the churners did not begin");
    for (uint64_t i = 0; i < SAMPLES; i++) {
        visit(client, what, start + TROUPE_SECONDS(seconds) * (i + 1) / SAMPLES, &random);
        samples[i] = (double)tp_bench_rss_bytes();
    }
    for (int i = 0; i < CHURNERS; i++)
        while (sem_wait(&what->ended) != 0)
            ;
    uint32_t wrong = atomic_load(&what->wrong);
    if (wrong != 0)
        return tp_bench_fail(bench, "a call ended with %s", troupe_status_name((int32_t)wrong));
    if (!check_accounts(bench, client, what) || !check_counters(bench, node, what))
        return NAN;
    tp_bench_also(bench, "soak_resident", "bytes", samples[SAMPLES - 1], TP_BENCH_SHOWN, 0);
    return straying(samples, SAMPLES);
}

double tp_core_soak(tp_bench *bench)
{
    soak what = {.bench = bench, .max_actors = tp_bench_param(bench, "max_actors", 2000)};
    what.names = what.max_actors * NAMES_PER_ACTOR;
    what.expected = calloc(what.names, sizeof(*what.expected));
    if (what.expected == NULL)
        return tp_bench_skip(bench, "no memory");
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .max_actors = what.max_actors, .log = "off"};
    troupe_type account = {TROUPE_TYPE("account"), .state_size = sizeof(uint64_t),
        .persist = TROUPE_PERSIST_ON_DEACTIVATE, TROUPE_METHODS(account_methods), .user = &what};
    troupe_type cell = {TROUPE_TYPE("cell"), .state_size = sizeof(uint64_t),
        TROUPE_METHODS(cell_methods), .user = &what};
    troupe_type churner = {TROUPE_TYPE("churner"), TROUPE_METHODS(churner_methods), .user = &what};
    troupe_node *node = tp_core_open(bench, &options, TROUPE_TYPES(&account, &cell, &churner));
    troupe_client *client = NULL;
    double value = NAN;
    sem_init(&what.ended, 0, 0);
    if (node != NULL && troupe_client_open(node, &client) == TROUPE_OK)
        value = run(bench, node, client, &what);
    troupe_client_close(client);
    troupe_node_close(node);
    sem_destroy(&what.ended);
    free(what.expected);
    return value;
}
