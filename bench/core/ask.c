/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask_shard, ask_cross_1, ask_cross_1000: an actor asks another, which sends the 64 bytes back. One
 * in flight is one asker, a thousand are a thousand askers that park, or (ask_cross_callback) one
 * asker whose callbacks ask again.
 *
 * Invariants: every answer carries what was asked.
 * Threads: askers are on shard 0, the answering actor there or on shard 1.
 */
#include "core.h"
#include <math.h>
#include <semaphore.h>

enum { BETWEEN_CLOCKS = 64, FLIGHT_MAX = 4096 };

typedef struct job {
    tp_bench *bench;
    troupe_id echo;
    uint64_t warm, operations; /* operations 0: as long as a run lasts */
    uint64_t flight;
    /* of the callback form; written on shard 0 */
    uint64_t start_ns, asked, answered;
    sem_t ended;
    bool over, wrong;
} job;

/* Written on shard 0, by the callbacks of the asks from outside; `ended` publishes it. */
typedef struct total {
    uint64_t operations, start_ns, end_ns;
    bool wrong;
    sem_t ended;
} total;

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice payload)
{
    TROUPE_TRY(tp_core_receive(state, payload));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status ask_once(
    troupe_turn *turn, const troupe_ref *ref, troupe_selector method, uint64_t number)
{
    char payload[TP_CORE_PAYLOAD] = {0};
    uint64_t back = number + 1;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    memcpy(payload, &number, sizeof(number));
    troupe_status status =
        troupe_ask_ref(turn, ref, method, troupe_slice_of(payload, sizeof(payload)), NULL, &answer);
    if (status == TROUPE_OK)
        memcpy(&back, answer.payload.data, sizeof(back));
    troupe_answer_release(&answer);
    TROUPE_TRY(status);
    return back == number ? TROUPE_OK : troupe_fail(turn, TROUPE_FAILED, "another's answer");
}

static void release(void *ref)
{
    troupe_ref_release(ref);
}

static troupe_status drive(troupe_turn *turn, void *state, troupe_slice payload)
{
    const job *what = troupe_turn_user(turn);
    tp_core_result result = {0};
    troupe_selector method;
    troupe_ref *ref;
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), what->echo, &ref));
    TROUPE_TRY(troupe_defer(turn, release, ref));
    TROUPE_TRY(troupe_ref_selector(ref, "echo", &method));
    for (uint64_t i = 0; i < what->warm; i++)
        TROUPE_TRY(ask_once(turn, ref, method, i));
    tp_bench_count_start(what->bench);
    result.start_ns = tp_bench_now_ns();
    do {
        for (int i = 0; i < BETWEEN_CLOCKS; i++)
            TROUPE_TRY(ask_once(turn, ref, method, result.operations++));
        result.end_ns = tp_bench_now_ns();
    } while (what->operations != 0
                 ? result.operations < what->operations
                 : result.end_ns - result.start_ns < tp_bench_run_ns(what->bench));
    tp_bench_count_stop(what->bench, result.operations);
    return troupe_reply_bytes(turn, troupe_slice_of(&result, sizeof(result)));
}

/* --- the callback form --- */

static troupe_turn_done answered;

static troupe_status ask_again(troupe_turn *turn, job *what)
{
    char payload[TP_CORE_PAYLOAD] = {0};
    memcpy(payload, &what->asked, sizeof(what->asked));
    what->asked++;
    return troupe_ask_callback(
        turn, what->echo, "echo", troupe_slice_of(payload, sizeof(payload)), NULL, answered, what);
}

static void answered(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    job *what = user;
    (void)state;
    what->answered++;
    what->wrong = what->wrong || answer->status != TROUPE_OK;
    if (what->answered % BETWEEN_CLOCKS == 0 &&
        tp_bench_now_ns() - what->start_ns >= tp_bench_run_ns(what->bench))
        what->over = true;
    if (!what->over && !what->wrong)
        what->wrong = ask_again(turn, what) != TROUPE_OK;
    if (what->answered == what->asked)
        sem_post(&what->ended);
}

static troupe_status begin(troupe_turn *turn, void *state, troupe_slice payload)
{
    job *what = troupe_turn_user(turn);
    tp_core_result result = {0};
    (void)state;
    (void)payload;
    what->start_ns = tp_bench_now_ns();
    for (uint64_t i = 0; i < what->flight; i++)
        TROUPE_TRY(ask_again(turn, what));
    return troupe_reply_bytes(turn, troupe_slice_of(&result, sizeof(result)));
}

static const troupe_method echo_methods[] = {
    TROUPE_METHOD(echo), TROUPE_METHOD_NAMED("place", tp_core_place)};
static const troupe_type echo_type = {
    TROUPE_TYPE("echo"), .state_size = sizeof(tp_core_sink), TROUPE_METHODS(echo_methods)};
static const troupe_method asker_methods[] = {
    TROUPE_METHOD(drive), TROUPE_METHOD(begin), TROUPE_METHOD_NAMED("place", tp_core_place)};

static void add(void *user, const troupe_answer *answer)
{
    total *sum = user;
    tp_core_result one = {0};
    if (answer->status == TROUPE_OK && answer->payload.size == sizeof(one))
        memcpy(&one, answer->payload.data, sizeof(one));
    else
        sum->wrong = true;
    if (sum->operations == 0 || one.start_ns < sum->start_ns)
        sum->start_ns = one.start_ns;
    if (one.end_ns > sum->end_ns)
        sum->end_ns = one.end_ns;
    sum->operations += one.operations;
    sem_post(&sum->ended);
}

/* Starts `flight` askers at once and waits for all of them. */
static double run_askers(tp_bench *bench, troupe_node *node, uint64_t flight)
{
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(30)};
    total sum = {0};
    troupe_client *client;
    uint64_t begun = 0;
    uint32_t number = 0;
    char keys[FLIGHT_MAX][32];
    for (uint64_t i = 0; i < flight; i++)
        if (!tp_core_find(bench, node, "asker", "asker", 0, &number, keys[i]))
            return NAN;
    if (troupe_client_open(node, &client) != TROUPE_OK)
        return tp_bench_fail(bench, "no client");
    sem_init(&sum.ended, 0, 0);
    while (
        begun < flight && troupe_client_ask_callback(client, troupe_id_of("asker", keys[begun]),
                              "drive", (troupe_slice){NULL, 0}, &options, add, &sum) == TROUPE_OK)
        begun++;
    for (uint64_t i = 0; i < begun; i++)
        sem_wait(&sum.ended);
    troupe_client_close(client);
    sem_destroy(&sum.ended);
    if (begun < flight || sum.wrong)
        return tp_bench_fail(bench, "an ask was refused or failed");
    tp_core_result result = {sum.operations, sum.start_ns, sum.end_ns};
    return tp_core_rate(&result);
}

static double ask_on_one(tp_bench *bench, const troupe_node_options *options, job *what)
{
    troupe_type asker_type = {TROUPE_TYPE("asker"), TROUPE_METHODS(asker_methods), .user = what};
    tp_core_result result = {0};
    troupe_node *node = tp_core_open(bench, options, TROUPE_TYPES(&echo_type, &asker_type));
    if (node == NULL)
        return NAN;
    what->echo = troupe_id_of("echo", "echo");
    bool good = tp_core_run(bench, node, troupe_id_of("asker", "asker"), "drive", &result);
    troupe_node_close(node);
    return good ? tp_core_rate(&result) : NAN;
}

double tp_core_ask_shard(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1};
    job what = {.bench = bench};
    tp_bench_pin(0);
    return ask_on_one(bench, &options, &what);
}

double tp_core_ask_count(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true};
    job what = {.bench = bench, .warm = 4096, .operations = 32768};
    return ask_on_one(bench, &options, &what);
}

static double run_callbacks(tp_bench *bench, troupe_node *node, job *what)
{
    tp_core_result result = {0};
    uint32_t number = 0;
    char key[32];
    if (!tp_core_find(bench, node, "asker", "asker", 0, &number, key))
        return NAN;
    sem_init(&what->ended, 0, 0);
    if (!tp_core_run(bench, node, troupe_id_of("asker", key), "begin", &result))
        return NAN;
    sem_wait(&what->ended);
    result = (tp_core_result){what->answered, what->start_ns, tp_bench_now_ns()};
    sem_destroy(&what->ended);
    return what->wrong ? tp_bench_fail(bench, "an ask failed") : tp_core_rate(&result);
}

static double ask_across(
    tp_bench *bench, const troupe_node_options *options, job *what, bool callbacks)
{
    troupe_type asker_type = {TROUPE_TYPE("asker"), TROUPE_METHODS(asker_methods), .user = what};
    char key[32];
    uint32_t number = 0;
    if (tp_bench_cores() < 2)
        return tp_bench_skip(bench, "needs 2 cores");
    if (what->flight > FLIGHT_MAX)
        return tp_bench_fail(bench, "flight is over %d", FLIGHT_MAX);
    troupe_node *node = tp_core_open(bench, options, TROUPE_TYPES(&echo_type, &asker_type));
    if (node == NULL)
        return NAN;
    double rate = NAN;
    if (tp_core_find(bench, node, "echo", "echo", 1, &number, key)) {
        what->echo = troupe_id_of("echo", key);
        rate = callbacks ? run_callbacks(bench, node, what) : run_askers(bench, node, what->flight);
    }
    troupe_node_close(node);
    return rate;
}

/* Both shards poll throughout. */
double tp_core_ask_cross_1(tp_bench *bench)
{
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .spin = TROUPE_MILLISECONDS(10)};
    job what = {.bench = bench, .flight = 1};
    return 1e9 / ask_across(bench, &options, &what, false);
}

double tp_core_ask_cross_1000(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2};
    job what = {.bench = bench, .flight = tp_bench_param(bench, "flight", 1000)};
    return ask_across(bench, &options, &what, false);
}

double tp_core_ask_cross_callback(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2};
    job what = {.bench = bench, .flight = tp_bench_param(bench, "flight", 1000)};
    return ask_across(bench, &options, &what, true);
}
