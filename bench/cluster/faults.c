/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detect_kill9, detect_stop, detect_cut: from the kill -9 of a process, its SIGSTOP, or the cut of
 * its links, to the first answer of what it had, activated anew; who asks on and on is the other
 * process. And how many processes are replaced that stood still for half a ttl only: none may be.
 *
 * Invariants: what was hit had the actor. Threads: the body's asks; all else is the nodes'.
 */
#include "cluster.h"
#include "crew.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <troupe/cluster.h>

enum { HITS_MAX = 100, PATIENCE_MS = 30000, TTL_MS = 3000 };

typedef bool hit(tp_crew *crew);

static troupe_status place(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_reply_bytes(turn, (troupe_slice){NULL, 0});
}

/* The process that runs it. */
static troupe_status look(troupe_turn *turn, void *state, troupe_slice payload)
{
    pid_t self = getpid();
    (void)state;
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(&self, sizeof self));
}

static const troupe_method lamp_methods[] = {TROUPE_METHOD(place), TROUPE_METHOD(look)};
static const troupe_type lamp_type = {TROUPE_TYPE("lamp"), TROUPE_METHODS(lamp_methods)};
static const troupe_type *const types[] = {&lamp_type};

/* 0: nobody answered. */
static pid_t ask_process(tp_crew *crew, const char *key)
{
    troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = TROUPE_MILLISECONDS(PATIENCE_MS)};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    pid_t found = 0;
    if (troupe_node_ask(crew->node, troupe_id_of("lamp", key), "look", (troupe_slice){NULL, 0},
            &options, &answer) == TROUPE_OK)
        memcpy(&found, answer.payload.data, sizeof found);
    troupe_answer_release(&answer);
    return found;
}

static bool begin(tp_crew *crew, const char *key)
{
    if (!tp_crew_start(crew, "lamp", key))
        return false;
    if (ask_process(crew, key) != crew->peers[0])
        return (tp_bench_fail(crew->bench, "the actor is not in the second process"), false);
    return true;
}

static bool kill_it(tp_crew *crew)
{
    tp_crew_kill(crew, 0);
    return true;
}

static bool stop_it(tp_crew *crew)
{
    tp_crew_signal(crew, 0, SIGSTOP);
    return true;
}

static bool cut_it(tp_crew *crew)
{
    return tp_crew_cut(crew, 0);
}

/* Milliseconds until the first answer. */
static double hit_and_ask(tp_crew *crew, const char *key, hit *strike)
{
    uint64_t start = tp_bench_now_ns();
    if (!strike(crew))
        return tp_bench_fail(crew->bench, "it could not be hit");
    for (;;) {
        bool is_anew = ask_process(crew, key) == getpid();
        double took = (double)(tp_bench_now_ns() - start) / 1e6;
        if (is_anew)
            return took;
        if (took > PATIENCE_MS)
            return tp_bench_fail(crew->bench, "nobody answered for it");
    }
}

/* p99; p50 is the row `p50`. */
static double hit_all(tp_crew *crew, hit *strike, const char *p50)
{
    static double waits[HITS_MAX];
    uint64_t count = tp_bench_param(crew->bench, "hits", 10);
    if (count == 0 || count > HITS_MAX)
        return tp_bench_fail(crew->bench, "hits is over %d", HITS_MAX);
    for (uint64_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "hit-%u", (unsigned)i);
        if (!begin(crew, key))
            return NAN;
        waits[i] = hit_and_ask(crew, key, strike);
        tp_crew_kill(crew, 0); /* what was stopped or cut off, too */
        if (isnan(waits[i]))
            return NAN;
    }
    tp_bench_sort(waits, count);
    tp_bench_also(crew->bench, p50, "ms", waits[count / 2], TP_BENCH_SHOWN, 0);
    return waits[(count * 99 - 1) / 100];
}

/* ---- pauses ---------------------------------------------------------------------------------- */

static uint64_t view_number(tp_crew *crew)
{
    troupe_cluster_view view = {.size = sizeof view};
    return troupe_cluster_view_get(crew->node, &view) == TROUPE_OK ? view.number : 0;
}

/* How often a peer was replaced that stood still for half a ttl; false after tp_bench_fail. */
static bool pause_all(tp_crew *crew, double *ret_evicted)
{
    uint64_t count = tp_bench_param(crew->bench, "pauses", 4), evicted = 0;
    if (!begin(crew, "paused"))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t before = view_number(crew);
        tp_crew_signal(crew, 0, SIGSTOP);
        tp_bench_sleep_ms(TTL_MS / 2);
        tp_crew_signal(crew, 0, SIGCONT);
        tp_bench_sleep_ms(TTL_MS / 2); /* in which a late verdict would fall */
        if (view_number(crew) == before && ask_process(crew, "paused") == crew->peers[0])
            continue;
        evicted++;
        tp_crew_kill(crew, 0);
        if (!begin(crew, "paused"))
            return false;
    }
    tp_crew_kill(crew, 0);
    *ret_evicted = (double)evicted;
    return true;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static tp_crew crew_of(tp_bench *bench)
{
    return (tp_crew){.bench = bench,
        .types = types,
        .type_count = 1,
        .options.lease_ttl = TROUPE_MILLISECONDS(TTL_MS)};
}

double tp_cluster_detect_kill9(tp_bench *bench)
{
    tp_crew crew = crew_of(bench);
    double p99 = tp_crew_open(&crew) ? hit_all(&crew, kill_it, "detect_kill9_p50") : NAN;
    tp_crew_close(&crew);
    return p99;
}

double tp_cluster_detect_stop(tp_bench *bench)
{
    tp_crew crew = crew_of(bench);
    double p99 = NAN, evicted = 0;
    if (tp_crew_open(&crew) && pause_all(&crew, &evicted)) {
        p99 = hit_all(&crew, stop_it, "detect_stop_p50");
        tp_bench_also(bench, "detect_stop_false", "evictions at half a ttl", evicted,
            TP_BENCH_VALUE_AT_MOST, 0);
    }
    tp_crew_close(&crew);
    return p99;
}

double tp_cluster_detect_cut(tp_bench *bench)
{
    tp_crew crew = crew_of(bench);
    crew.is_apart = true;
    double p99 = tp_crew_open(&crew) ? hit_all(&crew, cut_it, "detect_cut_p50") : NAN;
    tp_crew_close(&crew);
    return p99;
}
