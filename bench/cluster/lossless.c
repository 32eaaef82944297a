/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lossless: what callers of persistent actors have seen while processes are killed, stopped past
 * their lease, and restarted in order, is checked for linearizability of each actor by the checker
 * of the tests of real clusters (tests/cluster/history.h). Its value is the number of actors of
 * which no order of the calls explains what they said. A call that was not done is left out, one of
 * which nobody knows stays open.
 *
 * And the checker is checked: of each history without open calls one more is made in which a write
 * that was answered is missing; all of these must be found.
 *
 * Invariants: an actor begins as 0. Threads: callers, each with its own notes; the body's hits
 * processes meanwhile, and reads the notes afterwards.
 */
#include "cluster.h"
#include "crew.h"
#include "tests/cluster/history.h"
#include "tests/store/redis_server.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACTORS = 20, CALLERS = 8, HOSTS = TP_CREW_PEERS, NOTES_MAX = 100000, TTL_MS = 1000 };
enum { KILLED, STOPPED, ENDED, FAULTS };

/* ---- what is called -------------------------------------------------------------------------- */

typedef struct register_ {
    int64_t value;
} register_;

typedef struct wish {
    int64_t argument;
    history_kind kind;
} wish;

static const troupe_field register_fields[] = {TROUPE_FIELD_I64(register_, value)};

static troupe_status use(troupe_turn *turn, void *state, troupe_slice payload)
{
    register_ *self = state;
    wish what;
    if (payload.size != sizeof what)
        return TROUPE_USAGE;
    memcpy(&what, payload.data, sizeof what);
    if (what.kind == HISTORY_ADD)
        self->value += what.argument;
    if (what.kind == HISTORY_SET)
        self->value = what.argument;
    return troupe_reply_bytes(turn, troupe_slice_of(&self->value, sizeof self->value));
}

static const troupe_method register_methods[] = {TROUPE_METHOD(use)};
static const troupe_type register_type = {TROUPE_TYPE("register"),
    TROUPE_STATE(register_, register_fields),
    TROUPE_METHODS(register_methods),
    .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type *const types[] = {&register_type};

/* ---- callers --------------------------------------------------------------------------------- */

typedef struct note {
    uint32_t actor;
    history_call call;
} note;

typedef struct scene scene;
typedef struct caller {
    scene *of;
    pthread_t thread;
    uint64_t seed;
    note *notes;
    size_t count, good, unknown, not_done;
} caller;

struct scene {
    tp_crew crew;
    redis_server redis;
    char storage[SERVER_PATH + 40];
    caller callers[CALLERS];
    int begun;
    _Atomic bool is_over;
    history_call *calls; /* of one actor, from all callers */
};

static void call_once(caller *self)
{
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(5)};
    note *kept = &self->notes[self->count];
    uint64_t kind = tp_bench_random(&self->seed) % 8;
    wish what = {.argument = (int64_t)(tp_bench_random(&self->seed) % 1000) + 1,
        .kind = kind == 0  ? HISTORY_SET
                : kind < 3 ? HISTORY_SHOW
                           : HISTORY_ADD};
    char key[TP_BENCH_KEY + 1] = "";
    troupe_answer answer = TROUPE_ANSWER_INIT;
    kept->actor = (uint32_t)(tp_bench_random(&self->seed) % ACTORS);
    tp_bench_key(kept->actor, key);
    kept->call = (history_call){.begin = tp_bench_now_ns(),
        .end = HISTORY_OPEN,
        .kind = what.kind,
        .argument = what.argument};
    troupe_status status = troupe_node_ask(self->of->crew.node, troupe_id_of("register", key),
        "use", troupe_slice_of(&what, sizeof what), &options, &answer);
    if (status == TROUPE_OK) {
        kept->call.end = tp_bench_now_ns();
        memcpy(&kept->call.result, answer.payload.data, sizeof kept->call.result);
        self->good++;
        self->count++;
    } else if (answer.outcome == TROUPE_NOT_DONE) {
        self->not_done++;
    } else {
        self->unknown++;
        self->count += what.kind != HISTORY_SHOW;
    }
    troupe_answer_release(&answer);
}

static void *call_on(void *user)
{
    caller *self = user;
    while (!atomic_load(&self->of->is_over) && self->count < NOTES_MAX)
        call_once(self);
    return NULL;
}

static bool begin_callers(scene *self)
{
    for (; self->begun < CALLERS; self->begun++) {
        caller *one = &self->callers[self->begun];
        *one = (caller){.of = self, .seed = (uint64_t)self->begun};
        one->notes = calloc(NOTES_MAX, sizeof *one->notes);
        if (one->notes == NULL || pthread_create(&one->thread, NULL, call_on, one) != 0) {
            free(one->notes);
            return (tp_bench_fail(self->crew.bench, "no thread, or no memory"), false);
        }
    }
    return true;
}

static void end_callers(scene *self)
{
    atomic_store(&self->is_over, true);
    for (int i = 0; i < self->begun; i++)
        pthread_join(self->callers[i].thread, NULL);
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* Who is stopped goes on for a while, when others have what it had: its end comes after that. */
static bool hit(scene *self, int host, int fault)
{
    if (fault == ENDED)
        return tp_crew_end(&self->crew, host) && tp_crew_begin(&self->crew, host);
    if (fault == STOPPED) {
        tp_crew_signal(&self->crew, host, SIGSTOP);
        tp_bench_sleep_ms(TTL_MS * 13 / 10);
        tp_crew_signal(&self->crew, host, SIGCONT);
        tp_bench_sleep_ms(TTL_MS / 4);
    }
    tp_crew_kill(&self->crew, host);
    return tp_crew_begin(&self->crew, host);
}

/* Each kind at each host, and quiet times between them. */
static bool hit_all(scene *self)
{
    for (int i = 0; i < FAULTS * HOSTS; i++) {
        tp_bench_sleep_ms(200);
        if (!hit(self, i % HOSTS, (i + i / HOSTS) % FAULTS))
            return false;
    }
    tp_bench_sleep_ms(200);
    return true;
}

/* ---- histories ------------------------------------------------------------------------------- */

static int earlier_first(const void *left, const void *right)
{
    const history_call *a = left, *b = right;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static size_t gather(scene *self, uint32_t actor)
{
    size_t count = 0;
    for (int i = 0; i < self->begun; i++)
        for (size_t k = 0; k < self->callers[i].count; k++)
            if (self->callers[i].notes[k].actor == actor)
                self->calls[count++] = self->callers[i].notes[k].call;
    qsort(self->calls, count, sizeof *self->calls, earlier_first);
    return count;
}

/* The last addition whose effect a later call must have seen; `count`: there is none. */
static size_t find_seen(const history_call *calls, size_t count)
{
    uint64_t last_begin = 0;
    for (size_t i = count; i-- > 0;) {
        if (calls[i].kind == HISTORY_SET)
            break; /* what came before it nobody need see */
        if (calls[i].kind == HISTORY_ADD && calls[i].end < last_begin)
            return i;
        last_begin = calls[i].begin > last_begin ? calls[i].begin : last_begin;
    }
    return count;
}

typedef struct findings {
    double bad, planted, found;
} findings;

static void check_one(scene *self, uint32_t actor, findings *sum)
{
    size_t at, count = gather(self, actor);
    bool has_open = false;
    if (history_check(self->calls, count, &at) != HISTORY_GOOD) {
        fprintf(stderr, "bench: lossless: actor %u: call %zu of %zu fits nowhere\n", actor, at,
            count);
        sum->bad++;
        return;
    }
    for (size_t i = 0; i < count; i++)
        has_open = has_open || self->calls[i].end == HISTORY_OPEN;
    size_t taken = has_open ? count : find_seen(self->calls, count);
    if (taken == count)
        return;
    memmove(&self->calls[taken], &self->calls[taken + 1],
        (count - taken - 1) * sizeof *self->calls);
    sum->planted++;
    sum->found += history_check(self->calls, count - 1, &at) == HISTORY_BAD;
}

static double check_all(scene *self)
{
    findings sum = {0};
    double good = 0, unknown = 0;
    size_t room = 1;
    for (int i = 0; i < self->begun; i++) {
        room += self->callers[i].count;
        good += (double)self->callers[i].good;
        unknown += (double)self->callers[i].unknown;
    }
    self->calls = calloc(room, sizeof *self->calls);
    if (self->calls == NULL)
        return tp_bench_fail(self->crew.bench, "no memory");
    for (uint32_t actor = 0; actor < ACTORS; actor++)
        check_one(self, actor, &sum);
    free(self->calls);
    tp_bench *bench = self->crew.bench;
    tp_bench_also(bench, "lossless_calls", "answered calls", good, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "lossless_unknown", "calls of unknown end", unknown, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "lossless_faults", "faults", FAULTS * HOSTS, TP_BENCH_SHOWN, 0);
    if (sum.planted > 0)
        tp_bench_also(bench, "lossless_planted", "of planted losses found",
            sum.found / sum.planted, TP_BENCH_VALUE_AT_LEAST, 1);
    return good > 0 ? sum.bad : tp_bench_fail(bench, "no call was answered");
}

/* ---- body ------------------------------------------------------------------------------------ */

static bool open_scene(scene *self, tp_bench *bench)
{
    char path[SERVER_PATH];
    self->crew = (tp_crew){.bench = bench,
        .types = types,
        .type_count = 1,
        .first_hosts_nothing = true,
        .is_free = true,
        .options = {.lease_ttl = TROUPE_MILLISECONDS(TTL_MS), .storage = self->storage}};
    if (!server_find("redis-server", "/usr/sbin", path, sizeof path))
        return (tp_bench_skip(bench, "redis-server is not installed (make deps-test)"), false);
    if (!redis_server_start(&self->redis, NULL))
        return (tp_bench_fail(bench, "redis-server does not start"), false);
    snprintf(self->storage, sizeof self->storage, "redis://%s", self->redis.socket);
    bool is_open = tp_crew_open(&self->crew);
    for (int i = 0; is_open && i < HOSTS; i++)
        is_open = tp_crew_begin(&self->crew, i);
    return is_open;
}

double tp_cluster_lossless(tp_bench *bench)
{
    static scene self;
    double bad = NAN;
    if (open_scene(&self, bench)) {
        bool was_hit = begin_callers(&self) && hit_all(&self);
        end_callers(&self);
        if (was_hit)
            bad = check_all(&self);
    }
    tp_crew_close(&self.crew);
    redis_server_remove(&self.redis);
    for (int i = 0; i < self.begun; i++)
        free(self.callers[i].notes);
    return bad;
}
