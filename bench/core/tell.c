/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell_shard and tell_cross: one actor tells another, on its shard or on the other one, ref and
 * selector resolved once. In tell_shard the driver tells a window of messages and then asks for
 * the count, which is answered when all of them have run (as the peers' windows in bench/peers). In
 * tell_cross it goes on as long as it is accepted, and yields after each window and when BUSY.
 *
 * Invariants: the sink's count is compared with the driver's at the end: nothing is lost.
 * Threads: driver and sink share nothing but messages.
 */
#include "core.h"
#include <math.h>

typedef struct job {
    tp_bench *bench;
    troupe_id sink;
    uint64_t window, warm;
    uint64_t operations; /* 0: as long as a run lasts */
    bool acknowledged;   /* the driver asks for the count after each window */
} job;

typedef struct line {
    troupe_turn *turn;
    const troupe_ref *sink;
    troupe_selector take, count;
    uint64_t told;
} line;

static troupe_status take(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    return tp_core_receive(state, payload);
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(state, sizeof(tp_core_sink)));
}

/* All told messages were run, since this ask came behind them. */
static troupe_status check(line *to)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    tp_core_sink sink = {0};
    troupe_status status;
    while ((status = troupe_ask_ref(to->turn, to->sink, to->count, (troupe_slice){NULL, 0}, NULL,
                &answer)) == TROUPE_BUSY) {
        troupe_answer_release(&answer);
        TROUPE_TRY(troupe_yield(to->turn));
    }
    if (status == TROUPE_OK)
        memcpy(&sink, answer.payload.data, sizeof(sink));
    troupe_answer_release(&answer);
    TROUPE_TRY(status);
    if (sink.received != to->told || sink.sum != to->told * (to->told - 1) / 2)
        return troupe_fail(to->turn, TROUPE_FAILED, "messages were lost");
    return TROUPE_OK;
}

static troupe_status tell_window(line *to, uint64_t window)
{
    char payload[TP_CORE_PAYLOAD] = {0};
    for (uint64_t i = 0; i < window; i++) {
        troupe_status status;
        memcpy(payload, &to->told, sizeof(to->told));
        while ((status = troupe_tell_ref(to->turn, to->sink, to->take,
                    troupe_slice_of(payload, sizeof(payload)), NULL)) == TROUPE_BUSY)
            TROUPE_TRY(troupe_yield(to->turn));
        TROUPE_TRY(status);
        to->told++;
    }
    return TROUPE_OK;
}

static troupe_status tell_until(line *to, const job *what, uint64_t operations)
{
    uint64_t start = tp_bench_now_ns(), before = to->told;
    do {
        TROUPE_TRY(tell_window(to, what->window));
        TROUPE_TRY(what->acknowledged ? check(to) : troupe_yield(to->turn));
    } while (operations != 0 ? to->told - before < operations
                             : tp_bench_now_ns() - start < tp_bench_run_ns(what->bench));
    return check(to);
}

static void release(void *ref)
{
    troupe_ref_release(ref);
}

static troupe_status drive(troupe_turn *turn, void *state, troupe_slice payload)
{
    const job *what = troupe_turn_user(turn);
    line to = {.turn = turn};
    tp_core_result result = {0};
    troupe_ref *ref;
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), what->sink, &ref));
    TROUPE_TRY(troupe_defer(turn, release, ref));
    to.sink = ref;
    TROUPE_TRY(troupe_ref_selector(ref, "take", &to.take));
    TROUPE_TRY(troupe_ref_selector(ref, "count", &to.count));
    if (what->warm != 0)
        TROUPE_TRY(tell_until(&to, what, what->warm));
    uint64_t before = to.told;
    tp_bench_count_start(what->bench);
    result.start_ns = tp_bench_now_ns();
    TROUPE_TRY(tell_until(&to, what, what->operations));
    result.end_ns = tp_bench_now_ns();
    result.operations = to.told - before;
    tp_bench_count_stop(what->bench, result.operations);
    return troupe_reply_bytes(turn, troupe_slice_of(&result, sizeof(result)));
}

static const troupe_method sink_methods[] = {
    TROUPE_METHOD(take), TROUPE_METHOD(count), TROUPE_METHOD_NAMED("place", tp_core_place)};
static const troupe_type sink_type = {
    TROUPE_TYPE("sink"), .state_size = sizeof(tp_core_sink), TROUPE_METHODS(sink_methods)};
static const troupe_method driver_methods[] = {
    TROUPE_METHOD(drive), TROUPE_METHOD_NAMED("place", tp_core_place)};

/* On one shard the two names are any; on two they are looked for. */
static double tell(tp_bench *bench, const troupe_node_options *options, job *what, bool cross)
{
    troupe_type driver_type = {TROUPE_TYPE("driver"), TROUPE_METHODS(driver_methods), .user = what};
    char driver_key[32] = "driver", sink_key[32] = "sink";
    tp_core_result result = {0};
    troupe_node *node = tp_core_open(bench, options, TROUPE_TYPES(&sink_type, &driver_type));
    uint32_t number = 0, other = 0;
    if (node == NULL)
        return NAN;
    bool good = !cross || (tp_core_find(bench, node, "driver", "driver", 0, &number, driver_key) &&
                              tp_core_find(bench, node, "sink", "sink", 1, &other, sink_key));
    what->sink = troupe_id_of("sink", sink_key);
    good = good && tp_core_run(bench, node, troupe_id_of("driver", driver_key), "drive", &result);
    troupe_node_close(node);
    return good ? tp_core_rate(&result) : NAN;
}

static double tell_shard(tp_bench *bench, bool no_metrics)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .no_metrics = no_metrics};
    job what = {.bench = bench,
        .window = tp_bench_param(bench, "window", TP_CORE_WINDOW),
        .acknowledged = true};
    tp_bench_pin(0);
    return tell(bench, &options, &what, false);
}

double tp_core_tell_shard(tp_bench *bench)
{
    return tell_shard(bench, false);
}

double tp_core_tell_shard_bare(tp_bench *bench)
{
    return tell_shard(bench, true);
}

double tp_core_tell_cross(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2};
    job what = {.bench = bench, .window = tp_bench_param(bench, "window", TP_CORE_WINDOW)};
    if (tp_bench_cores() < 2)
        return tp_bench_skip(bench, "needs 2 cores");
    return tell(bench, &options, &what, true);
}

double tp_core_tell_count(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true};
    job what = {.bench = bench,
        .window = TP_CORE_WINDOW,
        .warm = 16 * TP_CORE_WINDOW,
        .operations = 128 * TP_CORE_WINDOW,
        .acknowledged = true};
    return tell(bench, &options, &what, false);
}
