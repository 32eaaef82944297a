/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_ask_*, remote_tell, remote_1k, remote_64k: actors of one process ask or tell an actor of
 * another. Many in flight are many askers that park. Tells go on as long as they are accepted; the
 * driver yields after each window and when it is told BUSY.
 *
 * Invariants: every answer carries what was asked; what was told is counted by its receiver.
 * Threads: askers and drivers are on the only shard of their process.
 */
#include "cluster.h"
#include "crew.h"

#include <math.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BETWEEN_CLOCKS = 16, FLIGHT_MAX = 4096, WINDOW_BYTES = 1 << 16, SIZE_MAX_HERE = 1 << 17 };

typedef struct sink {
    uint64_t received, sum;
} sink;

typedef struct job {
    tp_bench *bench;
    uint64_t size;
} job;

typedef struct result {
    uint64_t operations, start_ns, end_ns;
} result;

/* Written on the shard, by the callbacks of the asks from outside; `ended` publishes it. */
typedef struct total {
    result sum;
    char wrong[128];
    sem_t ended;
} total;

static troupe_status receive(sink *self, troupe_slice payload)
{
    uint64_t first, last;
    if (payload.size < 2 * sizeof(uint64_t))
        return TROUPE_USAGE;
    memcpy(&first, payload.data, sizeof(first));
    memcpy(&last, (const char *)payload.data + payload.size - sizeof(last), sizeof(last));
    self->received++;
    self->sum += first + last;
    return TROUPE_OK;
}

static troupe_status place(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_reply_bytes(turn, (troupe_slice){NULL, 0});
}

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice payload)
{
    TROUPE_TRY(receive(state, payload));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    return receive(state, payload);
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(state, sizeof(sink)));
}

static const troupe_method sink_methods[] = {
    TROUPE_METHOD(place), TROUPE_METHOD(echo), TROUPE_METHOD(take), TROUPE_METHOD(count)};
static const troupe_type sink_type = {
    TROUPE_TYPE("sink"), .state_size = sizeof(sink), TROUPE_METHODS(sink_methods)};

static void release(void *ref)
{
    troupe_ref_release(ref);
}

static troupe_status find_sink(troupe_turn *turn, troupe_ref **ret_ref)
{
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), troupe_id_of("sink", "sink"), ret_ref));
    return troupe_defer(turn, release, *ret_ref);
}

static troupe_status ask_once(
    troupe_turn *turn, const troupe_ref *ref, troupe_selector method, uint64_t number)
{
    char payload[64] = {0};
    uint64_t back = number + 1;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    memcpy(payload, &number, sizeof(number));
    troupe_status status =
        troupe_ask_ref(turn, ref, method, troupe_slice_of(payload, sizeof(payload)), NULL, &answer);
    if (status == TROUPE_OK)
        memcpy(&back, answer.payload.data, sizeof(back));
    else
        status = troupe_fail(turn, status, "%.*s", TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    TROUPE_TRY(status);
    return back == number ? TROUPE_OK : troupe_fail(turn, TROUPE_FAILED, "another's answer");
}

static troupe_status ask(troupe_turn *turn, void *state, troupe_slice payload)
{
    const job *what = troupe_turn_user(turn);
    result all = {0};
    troupe_selector method;
    troupe_ref *ref;
    (void)state;
    (void)payload;
    TROUPE_TRY(find_sink(turn, &ref));
    TROUPE_TRY(troupe_ref_selector(ref, "echo", &method));
    TROUPE_TRY(ask_once(turn, ref, method, 0)); /* the way is known, and its channel is open */
    all.start_ns = tp_bench_now_ns();
    do {
        for (int i = 0; i < BETWEEN_CLOCKS; i++)
            TROUPE_TRY(ask_once(turn, ref, method, all.operations++));
        all.end_ns = tp_bench_now_ns();
    } while (all.end_ns - all.start_ns < tp_bench_run_ns(what->bench));
    return troupe_reply_bytes(turn, troupe_slice_of(&all, sizeof(all)));
}

/* ---- tells ---- */

static troupe_status counted(
    troupe_turn *turn, const troupe_ref *ref, troupe_selector method, sink *ret_sink)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status;
    while ((status = troupe_ask_ref(turn, ref, method, (troupe_slice){NULL, 0}, NULL, &answer)) ==
           TROUPE_BUSY) {
        troupe_answer_release(&answer);
        TROUPE_TRY(troupe_yield(turn));
    }
    if (status == TROUPE_OK)
        memcpy(ret_sink, answer.payload.data, sizeof(*ret_sink));
    troupe_answer_release(&answer);
    return status;
}

static troupe_status tell(troupe_turn *turn, void *state, troupe_slice payload)
{
    static char bytes[SIZE_MAX_HERE];
    const job *what = troupe_turn_user(turn);
    uint64_t window = WINDOW_BYTES / what->size == 0 ? 1 : WINDOW_BYTES / what->size;
    window = window > 256 ? 256 : window;
    result all = {0};
    troupe_selector to_take, to_count;
    troupe_ref *ref;
    sink end = {0};
    (void)state;
    (void)payload;
    TROUPE_TRY(find_sink(turn, &ref));
    TROUPE_TRY(troupe_ref_selector(ref, "take", &to_take));
    TROUPE_TRY(troupe_ref_selector(ref, "count", &to_count));
    TROUPE_TRY(counted(turn, ref, to_count, &end));
    all.start_ns = tp_bench_now_ns();
    do {
        for (uint64_t i = 0; i < window; i++) {
            troupe_status status;
            memcpy(bytes, &all.operations, sizeof(all.operations));
            while ((status = troupe_tell_ref(turn, ref, to_take, troupe_slice_of(bytes, what->size),
                        NULL)) == TROUPE_BUSY)
                TROUPE_TRY(troupe_yield(turn));
            TROUPE_TRY(status);
            all.operations++;
        }
        TROUPE_TRY(troupe_yield(turn));
    } while (tp_bench_now_ns() - all.start_ns < tp_bench_run_ns(what->bench));
    TROUPE_TRY(counted(turn, ref, to_count, &end));
    all.end_ns = tp_bench_now_ns();
    if (end.received != all.operations || end.sum != all.operations * (all.operations - 1) / 2)
        return troupe_fail(turn, TROUPE_FAILED, "%llu of %llu tells came",
            (unsigned long long)end.received, (unsigned long long)all.operations);
    return troupe_reply_bytes(turn, troupe_slice_of(&all, sizeof(all)));
}

static const troupe_method driver_methods[] = {
    TROUPE_METHOD(place), TROUPE_METHOD(ask), TROUPE_METHOD(tell)};

/* ---- bodies ---- */

static void add(void *user, const troupe_answer *answer)
{
    total *all = user;
    result one = {0};
    if (answer->status == TROUPE_OK && answer->payload.size == sizeof(one))
        memcpy(&one, answer->payload.data, sizeof(one));
    else
        snprintf(all->wrong, sizeof(all->wrong), "%s: %.*s", troupe_status_name(answer->status),
            TROUPE_ARG(answer->message));
    if (all->sum.operations == 0 || one.start_ns < all->sum.start_ns)
        all->sum.start_ns = one.start_ns;
    if (one.end_ns > all->sum.end_ns)
        all->sum.end_ns = one.end_ns;
    all->sum.operations += one.operations;
    sem_post(&all->ended);
}

/* Starts `flight` drivers at once and waits for all of them. */
static double run_drivers(const tp_crew *crew, const char *method, uint64_t flight)
{
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(4)};
    total all = {0};
    troupe_client *client;
    uint64_t begun = 0;
    if (troupe_client_open(crew->node, &client) != TROUPE_OK)
        return tp_bench_fail(crew->bench, "no client");
    sem_init(&all.ended, 0, 0);
    for (; begun < flight; begun++) {
        char key[32];
        snprintf(key, sizeof(key), "driver-%u", (unsigned)begun);
        if (troupe_client_ask_callback(client, troupe_id_of("driver", key), method,
                (troupe_slice){NULL, 0}, &options, add, &all) != TROUPE_OK)
            break;
    }
    for (uint64_t i = 0; i < begun; i++)
        sem_wait(&all.ended);
    troupe_client_close(client);
    sem_destroy(&all.ended);
    if (begun < flight)
        return tp_bench_fail(crew->bench, "a driver was refused");
    if (all.wrong[0] != 0)
        return tp_bench_fail(crew->bench, "%s", all.wrong);
    return (double)all.sum.operations * 1e9 / (double)(all.sum.end_ns - all.sum.start_ns);
}

static double run(tp_bench *bench, const char *method)
{
    job what = {.bench = bench, .size = tp_bench_param(bench, "size", 64)};
    const troupe_type driver_type = {
        TROUPE_TYPE("driver"), TROUPE_METHODS(driver_methods), .user = &what};
    const troupe_type *const types[] = {&sink_type, &driver_type};
    tp_crew crew = {.bench = bench,
        .types = types,
        .type_count = 2,
        .options.spin = tp_bench_param(bench, "spin", 0)};
    uint64_t flight = tp_bench_param(bench, "flight", 1);
    double rate = NAN;
    if (what.size < 16 || what.size > SIZE_MAX_HERE || flight > FLIGHT_MAX)
        return tp_bench_fail(
            bench, "size is over %d, or flight over %d", SIZE_MAX_HERE, FLIGHT_MAX);
    if (tp_crew_open(&crew) && tp_crew_start(&crew, "sink", "sink"))
        rate = run_drivers(&crew, method, flight);
    tp_crew_close(&crew);
    return rate;
}

double tp_cluster_remote_ask_1(tp_bench *bench)
{
    return 1e9 / run(bench, "ask");
}

double tp_cluster_remote_ask(tp_bench *bench)
{
    return run(bench, "ask");
}

double tp_cluster_remote_tell(tp_bench *bench)
{
    return run(bench, "tell");
}
