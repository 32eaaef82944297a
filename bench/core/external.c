/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask_external: a thread outside the node asks an actor. One in flight is the blocking ask; with
 * more, one thread keeps them in flight by the callback form and polls for the node's spin budget
 * before it sleeps, as the limit's sides do.
 *
 * Invariants: what the actor received is what was asked.
 * Threads: the body's asks, on core 0; the only shard is on core 1.
 */
#include "core.h"
#include <math.h>
#include <semaphore.h>

enum { BETWEEN_CLOCKS = 64 };

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice payload)
{
    TROUPE_TRY(tp_core_receive(state, payload));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    tp_core_sink *sink = state;
    tp_core_result result = {.operations = sink->received};
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(&result, sizeof(result)));
}

static const troupe_method methods[] = {TROUPE_METHOD(echo), TROUPE_METHOD(count)};
static const troupe_type echo_type = {
    TROUPE_TYPE("echo"), .state_size = sizeof(tp_core_sink), TROUPE_METHODS(methods)};

static troupe_id echo_id(void)
{
    return troupe_id_of("echo", "echo");
}

static troupe_status ask_in_turn(troupe_client *client, uint64_t run_ns, tp_core_result *result)
{
    char payload[TP_CORE_PAYLOAD] = {0};
    troupe_status status = TROUPE_OK;
    do {
        for (int i = 0; i < BETWEEN_CLOCKS && status == TROUPE_OK; i++) {
            troupe_answer answer = TROUPE_ANSWER_INIT;
            memcpy(payload, &result->operations, sizeof(result->operations));
            status = troupe_client_ask(client, echo_id(), "echo",
                troupe_slice_of(payload, sizeof(payload)), NULL, &answer);
            if (status == TROUPE_OK)
                tp_bench_keep(*(const uint64_t *)answer.payload.data);
            troupe_answer_release(&answer);
            result->operations++;
        }
        result->end_ns = tp_bench_now_ns();
    } while (status == TROUPE_OK && result->end_ns - result->start_ns < run_ns);
    return status;
}

/* `ended` publishes `status`, which shard threads write. */
typedef struct flight {
    sem_t ended;
    troupe_status status;
} flight;

static void landed(void *user, const troupe_answer *answer)
{
    flight *all = user;
    if (answer->status != TROUPE_OK)
        all->status = answer->status;
    sem_post(&all->ended);
}

static void wait_for_one(flight *all, uint64_t spin)
{
    uint64_t start = 0;
    for (unsigned i = 0; sem_trywait(&all->ended) != 0; i++) {
        if (i % 32 != 31)
            continue;
        uint64_t now = tp_bench_now_ns();
        start = start == 0 ? now : start;
        if (now - start < spin)
            continue;
        while (sem_wait(&all->ended) != 0)
            ;
        return;
    }
}

static troupe_status ask_many(troupe_client *client, uint64_t count_in_flight, uint64_t run_ns,
    uint64_t spin, tp_core_result *result)
{
    char payload[TP_CORE_PAYLOAD] = {0};
    flight all = {.status = TROUPE_OK};
    troupe_status status = TROUPE_OK;
    uint64_t asked = 0;
    sem_init(&all.ended, 0, 0);
    for (;;) {
        bool over = result->operations % BETWEEN_CLOCKS == 0 &&
                    tp_bench_now_ns() - result->start_ns >= run_ns;
        if (over || status != TROUPE_OK)
            break;
        while (asked - result->operations < count_in_flight && status == TROUPE_OK) {
            memcpy(payload, &asked, sizeof(asked));
            status = troupe_client_ask_callback(client, echo_id(), "echo",
                troupe_slice_of(payload, sizeof(payload)), NULL, landed, &all);
            asked += status == TROUPE_OK;
        }
        wait_for_one(&all, spin);
        result->operations++;
    }
    for (; result->operations < asked; result->operations++)
        wait_for_one(&all, spin);
    result->end_ns = tp_bench_now_ns();
    sem_destroy(&all.ended);
    return status != TROUPE_OK ? status : all.status;
}

static bool ask_external(tp_bench *bench, uint64_t count_in_flight, tp_core_result *result)
{
    uint64_t spin = tp_bench_param(bench, "spin", 50000);
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .spin = spin};
    troupe_client *client = NULL;
    tp_core_result counted = {0};
    if (tp_bench_cores() < 2) {
        tp_bench_skip(bench, "needs 2 cores");
        return false;
    }
    tp_bench_pin(1);
    troupe_node *node = tp_core_open(bench, &options, TROUPE_TYPES(&echo_type));
    tp_bench_pin(0);
    if (node == NULL)
        return false;
    troupe_status status = troupe_client_open(node, &client);
    result->start_ns = tp_bench_now_ns();
    if (status == TROUPE_OK)
        status = count_in_flight == 1
                     ? ask_in_turn(client, tp_bench_run_ns(bench), result)
                     : ask_many(client, count_in_flight, tp_bench_run_ns(bench), spin, result);
    if (status != TROUPE_OK)
        tp_bench_fail(bench, "an ask ended with %s", troupe_status_name(status));
    else if (tp_core_run(bench, node, echo_id(), "count", &counted) &&
             counted.operations != result->operations)
        status = (tp_bench_fail(bench, "an ask was lost"), TROUPE_FAILED);
    troupe_client_close(client);
    troupe_node_close(node);
    return status == TROUPE_OK;
}

double tp_core_ask_external_1(tp_bench *bench)
{
    tp_core_result result = {0};
    return ask_external(bench, 1, &result) ? 1e9 / tp_core_rate(&result) : NAN;
}

double tp_core_ask_external_64(tp_bench *bench)
{
    tp_core_result result = {0};
    return ask_external(bench, tp_bench_param(bench, "flight", 64), &result) ? tp_core_rate(&result)
                                                                             : NAN;
}
