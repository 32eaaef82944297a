/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate_pause: the longest ask of a caller who asks on and on while the actor moves to the other
 * process; 1 KiB of state, and askers beside it that keep both nodes busy.
 *
 * Invariants: an actor that moved says from where it answers; its state has come along.
 * Threads: the body's orders moves and asks; all else is on the only shard of a process.
 */
#include "cluster.h"
#include "crew.h"

#include "cluster/outpost.h"
#include "node/node.h"

#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE = 1024, TRIPS = 16, MOVES_MAX = 1000, BUSY_ASKERS = 16, TRIES = 100000 };

/* Of a process: nodes of two processes share no memory. */
typedef struct scene {
    tp_crew crew;
    _Atomic bool over;
    sem_t seen_here; /* the watcher had an answer of the actor before it moves */
} scene;

typedef struct satchel {
    char bytes[STATE];
} satchel;

typedef struct seen {
    uint64_t longest, trip; /* trip: of an ask once it is there */
    uint64_t here;          /* answers before it moved */
    bool came_whole;
} seen;

static troupe_status place(troupe_turn *turn, void *state, troupe_slice payload)
{
    satchel *self = state;
    (void)payload;
    memset(self->bytes, 'x', STATE);
    return troupe_reply_bytes(turn, (troupe_slice){NULL, 0});
}

/* 1: here is the first node; then, whether all of the state is there. */
static troupe_status look(troupe_turn *turn, void *state, troupe_slice payload)
{
    const satchel *self = state;
    char out[2] = {strcmp(troupe_node_name(troupe_turn_node(turn)), "first") == 0,
        self->bytes[0] == 'x' && self->bytes[STATE - 1] == 'x'};
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(out, sizeof out));
}

static const troupe_method satchel_methods[] = {TROUPE_METHOD(place), TROUPE_METHOD(look)};
static const troupe_type satchel_type = {
    TROUPE_TYPE("satchel"), .state_size = sizeof(satchel), TROUPE_METHODS(satchel_methods)};

static troupe_status ask_where(troupe_turn *turn, troupe_id id, char ret_out[2])
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, id, "look", (troupe_slice){NULL, 0}, NULL, &answer);
    if (status == TROUPE_OK)
        memcpy(ret_out, answer.payload.data, 2);
    else
        status = troupe_fail(turn, status, "%.*s", TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return status;
}

/* Asks until the actor, which must be here at first, answers from the other node. */
static troupe_status watch(troupe_turn *turn, void *state, troupe_slice payload)
{
    scene *self = troupe_turn_user(turn);
    troupe_id id = {.type = troupe_str("satchel"), .key = payload};
    char out[2] = {1, 0};
    seen all = {0};
    (void)state;
    while (out[0] == 1) {
        uint64_t start = tp_bench_now_ns();
        TROUPE_TRY(ask_where(turn, id, out));
        uint64_t took = tp_bench_now_ns() - start;
        all.longest = took > all.longest ? took : all.longest;
        if (out[0] == 1 && all.here++ == 0)
            sem_post(&self->seen_here);
        TROUPE_TRY(troupe_yield(turn));
    }
    all.came_whole = out[1] == 1;
    if (all.here == 0)
        sem_post(&self->seen_here); /* which the body takes for a failure */
    uint64_t start = tp_bench_now_ns();
    for (int i = 0; i < TRIPS; i++)
        TROUPE_TRY(ask_where(turn, id, out));
    all.trip = (tp_bench_now_ns() - start) / TRIPS;
    return troupe_reply_bytes(turn, troupe_slice_of(&all, sizeof all));
}

static troupe_status be_busy(troupe_turn *turn, void *state, troupe_slice payload)
{
    scene *self = troupe_turn_user(turn);
    char out[2];
    (void)state;
    (void)payload;
    while (!atomic_load(&self->over))
        TROUPE_TRY(ask_where(turn, troupe_id_of("satchel", "steady"), out));
    return TROUPE_OK;
}

static const troupe_method watcher_methods[] = {TROUPE_METHOD(watch), TROUPE_METHOD(be_busy)};

/* ---- moves ---- */

typedef struct move {
    const char *key;
    troupe_status status;
} move;

static void order_move(tp_shard *shard, void *user)
{
    move *self = user;
    tp_outpost *outpost = tp_outpost_of(shard);
    const tp_chart *chart = tp_outpost_chart(outpost);
    const tp_type *type = tp_types_find(&shard->shared->types, troupe_str("satchel"));
    troupe_slice key = troupe_str(self->key);
    const tp_directory_id id = {
        .hash = tp_type_hash(&shard->shared->types, type, (troupe_slice){NULL, 0}, key),
        .type = type->number,
        .key = key};
    for (uint32_t i = 0; i < chart->view.member_count; i++) {
        uint64_t node = chart->view.members[i].node;
        const tp_view_member *named = tp_chart_member(chart, node);
        if (named != NULL && !troupe_slice_equal(named->name, troupe_str("first")))
            self->status = tp_outpost_move(outpost, &id, node);
    }
}

/* Written on the shard; `ended` publishes it. */
typedef struct watched {
    seen all;
    troupe_status status;
    sem_t ended;
} watched;

static void moved(void *user, const troupe_answer *answer)
{
    watched *self = user;
    self->status = answer->status;
    if (answer->status == TROUPE_OK && answer->payload.size == sizeof self->all)
        memcpy(&self->all, answer->payload.data, sizeof self->all);
    sem_post(&self->ended);
}

static bool ask_from_outside(scene *self, troupe_client *client, const char *key)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_client_ask(
        client, troupe_id_of("satchel", key), "place", (troupe_slice){NULL, 0}, NULL, &answer);
    if (status != TROUPE_OK)
        tp_bench_fail(
            self->crew.bench, "%s: %.*s", troupe_status_name(status), TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return status == TROUPE_OK;
}

static double move_one(scene *self, troupe_client *client, const char *key, double *ret_trip)
{
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(1)};
    watched seen_by = {.status = TROUPE_FAILED};
    move wanted = {.key = key, .status = TROUPE_BUSY};
    if (!ask_from_outside(self, client, key))
        return NAN;
    sem_init(&seen_by.ended, 0, 0);
    if (troupe_client_ask_callback(client, troupe_id_of("watcher", key), "watch", troupe_str(key),
            &options, moved, &seen_by) != TROUPE_OK)
        return tp_bench_fail(self->crew.bench, "a watcher was refused");
    while (sem_wait(&self->seen_here) != 0)
        ;
    for (int i = 0; i < TRIES && wanted.status != TROUPE_OK; i++)
        if (tp_node_visit(self->crew.node, 0, 1, order_move, &wanted) != TROUPE_OK)
            break;
    sem_wait(&seen_by.ended); /* with an error, if it did not move */
    sem_destroy(&seen_by.ended);
    if (seen_by.status != TROUPE_OK || !seen_by.all.came_whole)
        return tp_bench_fail(self->crew.bench, "a move: %s", troupe_status_name(seen_by.status));
    if (seen_by.all.here == 0)
        return tp_bench_fail(self->crew.bench, "the actor was not here before its move");
    *ret_trip = (double)seen_by.all.trip / 1e6;
    return (double)seen_by.all.longest / 1e6;
}

static void busy_ended(void *user, const troupe_answer *answer)
{
    (void)answer;
    sem_post(user);
}

/* p50; p99 is the row behind it. */
static double move_all(scene *self, troupe_client *client, uint64_t count)
{
    static double pauses[MOVES_MAX], trips[MOVES_MAX];
    for (uint64_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "moves-%u", (unsigned)i);
        pauses[i] = move_one(self, client, key, &trips[i]);
        if (isnan(pauses[i]))
            return NAN;
    }
    tp_bench_sort(pauses, count);
    tp_bench_sort(trips, count);
    tp_bench_also(self->crew.bench, "migrate_pause_trip", "ms, one round trip", trips[count / 2],
        TP_BENCH_SHOWN, 0);
    tp_bench_also(self->crew.bench, "migrate_pause_p99", "ms", pauses[(count * 99 - 1) / 100],
        TP_BENCH_VALUE_AT_MOST, 10);
    return pauses[count / 2];
}

static double under_load(scene *self, uint64_t count)
{
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(4)};
    troupe_client *client;
    sem_t ended;
    int busy = 0;
    if (troupe_client_open(self->crew.node, &client) != TROUPE_OK)
        return tp_bench_fail(self->crew.bench, "no client");
    sem_init(&ended, 0, 0);
    sem_init(&self->seen_here, 0, 0);
    for (; busy < BUSY_ASKERS; busy++) {
        char key[32];
        snprintf(key, sizeof key, "busy-%d", busy);
        if (troupe_client_ask_callback(client, troupe_id_of("watcher", key), "be_busy",
                (troupe_slice){NULL, 0}, &options, busy_ended, &ended) != TROUPE_OK)
            break;
    }
    double p50 = move_all(self, client, count);
    atomic_store(&self->over, true);
    for (int i = 0; i < busy; i++)
        sem_wait(&ended);
    sem_destroy(&ended);
    sem_destroy(&self->seen_here);
    troupe_client_close(client);
    return p50;
}

double tp_cluster_migrate_pause(tp_bench *bench)
{
    scene self = {.crew = {.bench = bench}};
    const troupe_type watcher_type = {
        TROUPE_TYPE("watcher"), TROUPE_METHODS(watcher_methods), .user = &self};
    const troupe_type *const types[] = {&satchel_type, &watcher_type};
    uint64_t count = tp_bench_param(bench, "moves", 200);
    double p50 = NAN;
    if (count == 0 || count > MOVES_MAX)
        return tp_bench_fail(bench, "moves is over %d", MOVES_MAX);
    self.crew.types = types;
    self.crew.type_count = 2;
    if (tp_crew_open(&self.crew) && tp_crew_start(&self.crew, "satchel", "steady"))
        p50 = under_load(&self, count);
    tp_crew_close(&self.crew);
    return p50;
}
