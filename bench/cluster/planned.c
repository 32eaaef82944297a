/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rolling_restart: three processes are stopped in order and started anew, one after the other,
 * while others call their actors; the throughput of that time beside that of quiet times.
 * join_balance: a third process joins two that have all actors; how long it takes until no process
 * has 15 % more or fewer than the mean. Nobody may see a failed ask, and no actor may lose what it
 * was told.
 *
 * Invariants: what was answered is in the actor's sum. Threads: callers, each with its own tally;
 * the body's reads them.
 */
#include "cluster.h"
#include "crew.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACTORS = 600, CALLERS = 8, HOSTS = TP_CREW_PEERS, JOIN_MS = 10000, LOOK_MS = 100 };

/* ---- what is called -------------------------------------------------------------------------- */

typedef struct till {
    int64_t sum;
} till;

typedef struct receipt {
    int64_t sum;
    pid_t where;
} receipt;

static const troupe_field till_fields[] = {TROUPE_FIELD_I64(till, sum)};

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    till *self = state;
    self->sum += (int64_t)payload.size;
    const receipt out = {.sum = self->sum, .where = getpid()};
    return troupe_reply_bytes(turn, troupe_slice_of(&out, sizeof out));
}

static const troupe_method till_methods[] = {TROUPE_METHOD(add)};
static const troupe_type till_type = {
    TROUPE_TYPE("till"), TROUPE_STATE(till, till_fields), TROUPE_METHODS(till_methods)};
static const troupe_type *const types[] = {&till_type};

/* Adds `size`, which may be nothing. */
static troupe_status call(troupe_node *node, uint64_t actor, size_t size, receipt *ret_receipt)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    char key[TP_BENCH_KEY + 1] = "";
    tp_bench_key(actor, key);
    troupe_status status = troupe_node_ask(
        node, troupe_id_of("till", key), "add", (troupe_slice){"x", size}, NULL, &answer);
    if (status == TROUPE_OK)
        memcpy(ret_receipt, answer.payload.data, sizeof *ret_receipt);
    else
        fprintf(stderr, "bench: %s: %.*s\n", troupe_status_name(status),
            TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return status;
}

/* ---- callers --------------------------------------------------------------------------------- */

typedef struct load load;
typedef struct caller {
    load *of;
    pthread_t thread;
    uint64_t seed;
    _Atomic uint64_t good, failed;
} caller;

struct load {
    tp_crew crew;
    caller callers[CALLERS];
    int begun;
    _Atomic bool is_over;
};

static void *call_on(void *user)
{
    caller *self = user;
    receipt seen;
    while (!atomic_load(&self->of->is_over))
        if (call(self->of->crew.node, tp_bench_random(&self->seed) % ACTORS, 1, &seen) == TROUPE_OK)
            atomic_fetch_add(&self->good, 1);
        else
            atomic_fetch_add(&self->failed, 1);
    return NULL;
}

static bool begin_callers(load *self)
{
    for (; self->begun < CALLERS; self->begun++) {
        caller *one = &self->callers[self->begun];
        one->of = self;
        one->seed = (uint64_t)self->begun;
        if (pthread_create(&one->thread, NULL, call_on, one) != 0)
            return (tp_bench_fail(self->crew.bench, "no thread"), false);
    }
    return true;
}

static void end_callers(load *self)
{
    atomic_store(&self->is_over, true);
    while (self->begun > 0)
        pthread_join(self->callers[--self->begun].thread, NULL);
}

static uint64_t good_calls(const load *self)
{
    uint64_t sum = 0;
    for (int i = 0; i < CALLERS; i++)
        sum += atomic_load(&self->callers[i].good);
    return sum;
}

static uint64_t failed_calls(const load *self)
{
    uint64_t sum = 0;
    for (int i = 0; i < CALLERS; i++)
        sum += atomic_load(&self->callers[i].failed);
    return sum;
}

/* After the callers have ended: answered calls that no actor knows of. NaN after tp_bench_fail. */
static double lost_calls(load *self)
{
    uint64_t kept = 0;
    for (uint64_t actor = 0; actor < ACTORS; actor++) {
        receipt seen;
        if (call(self->crew.node, actor, 0, &seen) != TROUPE_OK)
            return tp_bench_fail(self->crew.bench, "an actor does not answer");
        kept += (uint64_t)seen.sum;
    }
    return fabs((double)good_calls(self) - (double)kept);
}

static load *open_load(tp_bench *bench, int hosts)
{
    load *self = calloc(1, sizeof *self);
    if (self == NULL) {
        tp_bench_fail(bench, "no memory");
        return NULL;
    }
    self->crew = (tp_crew){.bench = bench,
        .types = types,
        .type_count = 1,
        .first_hosts_nothing = true,
        .is_free = true,
        .options.rebalance_interval = TROUPE_SECONDS(1)};
    bool is_open = tp_crew_open(&self->crew);
    for (int i = 0; is_open && i < hosts; i++)
        is_open = tp_crew_begin(&self->crew, i);
    if (is_open)
        return self;
    tp_crew_close(&self->crew);
    free(self);
    return NULL;
}

static void close_load(load *self)
{
    end_callers(self);
    tp_crew_close(&self->crew);
    free(self);
}

/* ---- rolling restart ------------------------------------------------------------------------- */

/* Good calls a second; waits for `milliseconds` where nothing is restarted. */
static double rate_of(load *self, bool restarts, uint64_t milliseconds)
{
    uint64_t start = tp_bench_now_ns(), before = good_calls(self);
    for (int i = 0; restarts && i < HOSTS; i++)
        if (!tp_crew_end(&self->crew, i) || !tp_crew_begin(&self->crew, i))
            return NAN;
    tp_bench_sleep_ms(milliseconds);
    return (double)(good_calls(self) - before) * 1e9 / (double)(tp_bench_now_ns() - start);
}

double tp_cluster_rolling_restart(tp_bench *bench)
{
    double share = NAN;
    load *self = open_load(bench, HOSTS);
    if (self == NULL)
        return NAN;
    if (begin_callers(self)) {
        tp_bench_sleep_ms(1000); /* all actors are there */
        double before = rate_of(self, false, 2000), meanwhile = rate_of(self, true, 200);
        double steady = (before + rate_of(self, false, 2000)) / 2;
        end_callers(self);
        double lost = lost_calls(self);
        share = meanwhile / steady;
        tp_bench_also(bench, "rolling_restart_steady", "ops/s", steady, TP_BENCH_SHOWN, 0);
        tp_bench_also(bench, "rolling_restart_failed", "failed asks", (double)failed_calls(self),
            TP_BENCH_VALUE_AT_MOST, 0);
        tp_bench_also(bench, "rolling_restart_lost", "lost calls", lost, TP_BENCH_VALUE_AT_MOST, 0);
    }
    close_load(self);
    return share;
}

/* ---- a third one joins ----------------------------------------------------------------------- */

/* Per cent of the mean by which a host has more or fewer actors, at most. */
static double spread_of(load *self)
{
    double counts[HOSTS] = {0}, mean = (double)ACTORS / HOSTS, most = 0;
    for (uint64_t actor = 0; actor < ACTORS; actor++) {
        receipt seen = {.where = 0};
        if (call(self->crew.node, actor, 0, &seen) != TROUPE_OK)
            return tp_bench_fail(self->crew.bench, "an actor does not answer");
        for (int i = 0; i < HOSTS; i++)
            counts[i] += self->crew.peers[i] == seen.where;
    }
    for (int i = 0; i < HOSTS; i++)
        most = fmax(most, fabs(counts[i] - mean) / mean * 100);
    return most;
}

/* Seconds until the loads were even; and how even they are in the end. */
static double join(load *self)
{
    uint64_t start = tp_bench_now_ns(), end = start + (uint64_t)JOIN_MS * 1000000;
    double even_after = NAN, spread = 100;
    if (!tp_crew_begin(&self->crew, HOSTS - 1))
        return NAN;
    while (tp_bench_now_ns() < end) {
        tp_bench_sleep_ms(LOOK_MS);
        spread = spread_of(self);
        if (isnan(spread))
            return NAN;
        if (isnan(even_after) && spread <= 15)
            even_after = (double)(tp_bench_now_ns() - start) / 1e9;
    }
    tp_bench_also(self->crew.bench, "join_balance_spread", "% off the mean", spread,
        TP_BENCH_VALUE_AT_MOST, 15);
    return isnan(even_after) ? (double)JOIN_MS / 1e3 + 1 : even_after;
}

double tp_cluster_join_balance(tp_bench *bench)
{
    double seconds = NAN;
    load *self = open_load(bench, HOSTS - 1);
    if (self == NULL)
        return NAN;
    if (begin_callers(self)) {
        tp_bench_sleep_ms(1000); /* all actors are there */
        seconds = join(self);
        end_callers(self);
        tp_bench_also(bench, "join_balance_failed", "failed asks", (double)failed_calls(self),
            TP_BENCH_VALUE_AT_MOST, 0);
        tp_bench_also(
            bench, "join_balance_lost", "lost calls", lost_calls(self), TP_BENCH_VALUE_AT_MOST, 0);
    }
    close_load(self);
    return seconds;
}
