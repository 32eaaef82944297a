/* SPDX-License-Identifier: Apache-2.0 */
/*
 * durable_turns, durable_one, durable_hot, activate_load, once_cost and outbox_cost of each
 * provider. A driver asks accounts, each answer brings the next ask, so that `flight` of them are
 * under way; an account persists every turn and changes its 200 bytes in each. What is measured is
 * the way from the ask to the answer: turn, commit, gate, reply.
 *
 * Invariants
 *   1. Every account is there before something is measured, and every answer is looked at.
 *   2. A cold load finds what was stored: the answer says whether the account was ever changed.
 * Threads: driver and accounts are on one shard; the body's thread waits.
 */
#include "state.h"

#include <math.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/inspect.h>
#include <unistd.h>

enum { FLIGHT_MAX = 8192, SAMPLES_MAX = 1 << 22, WAITS = 10000 };

typedef struct job job;

typedef struct slot {
    job *of;
    uint64_t start_ns;
} slot;

struct job {
    tp_bench *bench;
    uint64_t actors, flight;
    bool walks;              /* names in turn, not at random */
    bool reads;              /* the account only answers */
    bool once;               /* each call has a key */
    bool outbox;             /* each account tells another actor in the same commit */
    uint64_t random, number; /* number: of calls, over all phases */
    /* of a phase; on shard 0, published by `ended` */
    uint64_t limit, run_ns; /* asks, or time */
    uint64_t start_ns, end_ns, asked, answered;
    uint32_t *samples; /* NULL: none are taken */
    uint64_t sample_count;
    bool over;
    troupe_status status;
    char words[96];
    slot slots[FLIGHT_MAX];
    sem_t ended;
};

typedef struct account {
    uint64_t version;
    char bytes[TP_STATE_BYTES - sizeof(uint64_t)];
} account;

/* ---- actors --------------------------------------------------------------------------------- */

static troupe_status change(troupe_turn *turn, void *state, troupe_slice payload)
{
    const job *what = troupe_turn_user(turn);
    account *self = state;
    (void)payload;
    self->version++;
    memset(self->bytes, (int)(self->version & 0xff), sizeof self->bytes);
    if (what->outbox) {
        troupe_id sink = {troupe_str("sink"), {NULL, 0}, troupe_turn_self(turn).key};
        TROUPE_TRY(troupe_tell(turn, sink, "receive", (troupe_slice){self, TP_CORE_PAYLOAD},
            &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    }
    return troupe_reply_bytes(turn, troupe_slice_of(&self->version, sizeof self->version));
}

static troupe_status peek(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const account *self = state;
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(&self->version, sizeof self->version));
}

static troupe_status receive(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    return tp_core_receive(state, payload);
}

static troupe_turn_done answered;

static troupe_status ask_again(troupe_turn *turn, slot *at)
{
    job *what = at->of;
    char key[TP_BENCH_KEY], name[TP_BENCH_KEY];
    uint64_t drawn = what->walks ? what->asked : tp_bench_random(&what->random);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(60)};
    tp_bench_key(drawn % what->actors, key);
    troupe_id id = {troupe_str("account"), {NULL, 0}, {key, sizeof key}};
    if (what->once) {
        tp_bench_key(what->number, name);
        options.once = (troupe_slice){name, sizeof name};
    }
    what->asked++;
    what->number++;
    return troupe_ask_callback(
        turn, id, what->reads ? "peek" : "change", (troupe_slice){NULL, 0}, &options, answered, at);
}

static void check(job *what, const troupe_answer *answer)
{
    uint64_t version = 0;
    troupe_status status = answer->status;
    if (status == TROUPE_OK && answer->payload.size == sizeof version)
        memcpy(&version, answer->payload.data, sizeof version);
    if (status == TROUPE_OK && version == 0)
        status = TROUPE_NOT_FOUND;
    if (status == TROUPE_OK || what->status != TROUPE_OK)
        return;
    what->status = status;
    snprintf(what->words, sizeof what->words, "%.*s", TROUPE_ARG(answer->message));
}

static void answered(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    slot *at = user;
    job *what = at->of;
    uint64_t now = tp_bench_now_ns(), took = now - at->start_ns;
    (void)state;
    what->answered++;
    what->end_ns = now;
    check(what, answer);
    if (what->samples != NULL && what->sample_count < SAMPLES_MAX)
        what->samples[what->sample_count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    if (what->limit != 0 ? what->asked == what->limit : now - what->start_ns >= what->run_ns)
        what->over = true;
    at->start_ns = now;
    if (!what->over && what->status == TROUPE_OK)
        what->status = ask_again(turn, at);
    if (what->answered == what->asked)
        sem_post(&what->ended);
}

static troupe_status begin(troupe_turn *turn, void *state, troupe_slice payload)
{
    job *what = troupe_turn_user(turn);
    (void)state;
    (void)payload;
    what->asked = what->answered = 0;
    what->over = false;
    what->start_ns = tp_bench_now_ns();
    for (uint64_t i = 0; i < what->flight && (what->limit == 0 || i < what->limit); i++) {
        what->slots[i] = (slot){what, tp_bench_now_ns()};
        TROUPE_TRY(ask_again(turn, &what->slots[i]));
    }
    return TROUPE_OK;
}

static const troupe_method account_methods[] = {TROUPE_METHOD(change), TROUPE_READ_METHOD(peek)};
static const troupe_method driver_methods[] = {TROUPE_METHOD(begin)};
static const troupe_method sink_methods[] = {TROUPE_METHOD(receive)};

/* ---- phases --------------------------------------------------------------------------------- */

typedef struct scene {
    job what;
    tp_state_place place;
    troupe_type account, driver, sink;
    troupe_node *node;
    troupe_client *client;
} scene;

static bool open_node(scene *self)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .storage = self->place.url,
        .log = "error", /* memory: warns that it forgets */
        .idle = TROUPE_NEVER, .mailbox_limit = 2 * FLIGHT_MAX, .max_actors = 4000000};
    self->node = tp_core_open(
        self->what.bench, &options, TROUPE_TYPES(&self->account, &self->driver, &self->sink));
    if (self->node == NULL)
        return false;
    if (troupe_client_open(self->node, &self->client) == TROUPE_OK)
        return true;
    tp_bench_fail(self->what.bench, "no client");
    return false;
}

static void close_node(scene *self)
{
    if (self->client != NULL)
        troupe_client_close(self->client);
    self->client = NULL;
    troupe_node_close(self->node);
    self->node = NULL;
}

static scene *scene_open(tp_bench *bench)
{
    scene *self = calloc(1, sizeof *self);
    if (self == NULL) {
        tp_bench_fail(bench, "no memory");
        return NULL;
    }
    job *what = &self->what;
    *what = (job){.bench = bench,
        .actors = tp_bench_param(bench, "actors", 10000),
        .flight = tp_bench_param(bench, "flight", 2048),
        .walks = tp_bench_param(bench, "walks", 0) != 0,
        .random = 1,
        .run_ns = tp_bench_run_ns(bench)};
    sem_init(&what->ended, 0, 0);
    if (what->flight > FLIGHT_MAX)
        what->flight = FLIGHT_MAX;
    self->account = (troupe_type){TROUPE_TYPE("account"), .state_size = sizeof(account),
        TROUPE_METHODS(account_methods), .persist = TROUPE_PERSIST_EVERY_TURN, .user = what};
    self->driver =
        (troupe_type){TROUPE_TYPE("driver"), TROUPE_METHODS(driver_methods), .user = what};
    self->sink = (troupe_type){
        TROUPE_TYPE("sink"), .state_size = sizeof(tp_core_sink), TROUPE_METHODS(sink_methods)};
    if (tp_state_open(bench, &self->place) && open_node(self))
        return self;
    tp_state_close(&self->place);
    free(self);
    return NULL;
}

static void scene_close(scene *self)
{
    if (self == NULL)
        return;
    close_node(self);
    tp_state_close(&self->place);
    free(self->what.samples);
    sem_destroy(&self->what.ended);
    free(self);
}

/* `limit` asks, or for `run_ns`. Asks a second; NAN after tp_bench_fail. */
static double phase(scene *self, uint64_t limit, uint64_t run_ns)
{
    job *what = &self->what;
    what->limit = limit;
    what->run_ns = run_ns;
    if (troupe_client_tell(self->client, troupe_id_of("driver", "driver"), "begin",
            (troupe_slice){NULL, 0}, NULL) != TROUPE_OK)
        return tp_bench_fail(what->bench, "the driver was not told");
    while (sem_wait(&what->ended) != 0)
        ;
    if (what->status != TROUPE_OK)
        return tp_bench_fail(
            what->bench, "an ask ended with %s: %s", troupe_status_name(what->status), what->words);
    return (double)what->answered * 1e9 / (double)(what->end_ns - what->start_ns);
}

/* Each account is changed once. */
static bool fill(scene *self)
{
    job kept = self->what;
    self->what.walks = true;
    self->what.flight = kept.flight < 1000 ? 1000 : kept.flight;
    self->what.once = self->what.outbox = false;
    bool filled = !isnan(phase(self, kept.actors, 0));
    self->what.walks = kept.walks;
    self->what.flight = kept.flight;
    self->what.once = kept.once;
    self->what.outbox = kept.outbox;
    return filled;
}

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void show_times(scene *self, const char *row)
{
    static char names[2][64]; /* must outlive the body */
    job *what = &self->what;
    const char *store = tp_state_names[self->place.kind];
    if (what->sample_count == 0)
        return;
    qsort(what->samples, what->sample_count, sizeof *what->samples, by_size);
    snprintf(names[0], sizeof names[0], "%s_%s_p50", row, store);
    snprintf(names[1], sizeof names[1], "%s_%s_p99", row, store);
    tp_bench_also(what->bench, names[0], "us", what->samples[what->sample_count / 2] / 1e3,
        TP_BENCH_SHOWN, 0);
    tp_bench_also(what->bench, names[1], "us", what->samples[what->sample_count * 99 / 100] / 1e3,
        TP_BENCH_SHOWN, 0);
}

/* Fills, warms up and measures. `row`: times are shown under its name; NULL: they are not. */
static double run(scene *self, const char *row)
{
    if (self == NULL)
        return NAN;
    job *what = &self->what;
    uint64_t run_ns = what->run_ns;
    bool good = fill(self) && !isnan(phase(self, 0, run_ns / 5));
    what->samples = row != NULL ? malloc(SAMPLES_MAX * sizeof *what->samples) : NULL;
    double rate = good ? phase(self, 0, run_ns) : NAN;
    if (!isnan(rate) && row != NULL)
        show_times(self, row);
    scene_close(self);
    return rate;
}

double tp_state_turns(tp_bench *bench)
{
    return run(scene_open(bench), "durable_turns");
}

double tp_state_one(tp_bench *bench)
{
    return 1e9 / run(scene_open(bench), "durable_one");
}

double tp_state_hot(tp_bench *bench)
{
    return run(scene_open(bench), "durable_hot");
}

double tp_state_plain(tp_bench *bench)
{
    return 1e9 / run(scene_open(bench), NULL);
}

double tp_state_once(tp_bench *bench)
{
    scene *self = scene_open(bench);
    if (self != NULL)
        self->what.once = true;
    return 1e9 / run(self, NULL);
}

double tp_state_outbox(tp_bench *bench)
{
    scene *self = scene_open(bench);
    if (self != NULL)
        self->what.outbox = true;
    return 1e9 / run(self, NULL);
}

/* ---- cold accounts -------------------------------------------------------------------------- */

static uint64_t active(scene *self)
{
    troupe_stats stats = {.size = sizeof stats};
    return troupe_node_stats(self->node, &stats) == TROUPE_OK ? stats.active : 0;
}

/* Nothing of the accounts is in memory any more but in the store: the node starts again, or, where
 * the store would be forgotten, each is deactivated. */
static bool make_cold(scene *self, uint64_t *ret_start)
{
    job *what = &self->what;
    if (self->place.kind != TP_STATE_MEMORY) {
        close_node(self);
        *ret_start = tp_bench_now_ns();
        return open_node(self);
    }
    for (uint64_t i = 0; i < what->actors; i++) {
        char key[TP_BENCH_KEY];
        tp_bench_key(i, key);
        troupe_id id = {troupe_str("account"), {NULL, 0}, {key, sizeof key}};
        if (troupe_node_deactivate(self->node, id) != TROUPE_OK) {
            tp_bench_fail(what->bench, "an actor was not deactivated");
            return false;
        }
    }
    for (int tries = 0; active(self) > 1; tries++) { /* the driver stays */
        if (tries == WAITS) {
            tp_bench_fail(what->bench, "actors stayed active");
            return false;
        }
        usleep(1000);
    }
    *ret_start = tp_bench_now_ns();
    return true;
}

static void show_stored(scene *self, double recovered)
{
    static char names[2][64];
    const char *store = tp_state_names[self->place.kind];
    snprintf(names[0], sizeof names[0], "recovery_%s", store);
    if (self->place.kind != TP_STATE_MEMORY)
        tp_bench_also(self->what.bench, names[0], "ops/s", recovered, TP_BENCH_SHOWN, 0);
    uint64_t stored = tp_state_stored(&self->place);
    snprintf(names[1], sizeof names[1], "stored_bytes_%s", store);
    if (stored != 0)
        tp_bench_also(self->what.bench, names[1], "bytes",
            (double)stored / (double)self->what.actors, TP_BENCH_SHOWN, 0);
}

/* Recovery: actors a second, the opening of the node included. */
double tp_state_load(tp_bench *bench)
{
    scene *self = scene_open(bench);
    uint64_t start = 0;
    double rate = NAN;
    if (self == NULL)
        return NAN;
    if (fill(self) && make_cold(self, &start)) {
        self->what.walks = self->what.reads = true;
        rate = phase(self, self->what.actors, 0);
    }
    if (!isnan(rate))
        show_stored(self, (double)self->what.actors * 1e9 / (double)(self->what.end_ns - start));
    scene_close(self);
    return rate;
}
