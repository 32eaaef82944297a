/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bodies of group core share (core.h). Nothing of this runs while something is measured,
 * but the one ask that waits for the driver.
 *
 * Invariants: every failure leaves its words in the tp_bench.
 * Threads: the body's; tp_core_place runs on a shard.
 */
#include "core.h"
#include <math.h>
#include <stdio.h>

troupe_node *tp_core_open(tp_bench *bench, const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count)
{
    char error[160] = "";
    troupe_node *node = NULL;
    troupe_status status =
        troupe_node_open_explained(options, types, type_count, &node, error, sizeof(error));
    if (status == TROUPE_OK)
        return node;
    tp_bench_fail(bench, "the node did not open: %s: %s", troupe_status_name(status), error);
    return NULL;
}

static bool ask(
    tp_bench *bench, troupe_node *node, troupe_id id, const char *method, void *ret, size_t size)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(30)};
    troupe_status status =
        troupe_node_ask(node, id, method, (troupe_slice){NULL, 0}, &options, &answer);
    bool good = status == TROUPE_OK && answer.payload.size == size;
    if (good)
        memcpy(ret, answer.payload.data, size);
    else
        tp_bench_fail(
            bench, "%s: %s: %.*s", method, troupe_status_name(status), TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return good;
}

bool tp_core_run(tp_bench *bench, troupe_node *node, troupe_id driver, const char *method,
    tp_core_result *ret_result)
{
    return ask(bench, node, driver, method, ret_result, sizeof(*ret_result));
}

double tp_core_rate(const tp_core_result *result)
{
    if (result->operations == 0 || result->end_ns <= result->start_ns)
        return NAN;
    return (double)result->operations * 1e9 / (double)(result->end_ns - result->start_ns);
}

troupe_status tp_core_place(troupe_turn *turn, void *state, troupe_slice payload)
{
    uint32_t shard = troupe_turn_shard(turn);
    (void)state;
    (void)payload;
    tp_bench_pin(shard);
    return troupe_reply_bytes(turn, troupe_slice_of(&shard, sizeof(shard)));
}

bool tp_core_find(tp_bench *bench, troupe_node *node, const char *type, const char *prefix,
    uint32_t shard, uint32_t *number, char ret_key[32])
{
    for (uint32_t tries = 0; tries < 1000; tries++) {
        char key[32];
        uint32_t found;
        snprintf(key, sizeof(key), "%s-%u", prefix, (*number)++);
        if (!ask(bench, node, troupe_id_of(type, key), "place", &found, sizeof(found)))
            return false;
        if (found != shard)
            continue;
        memcpy(ret_key, key, sizeof(key));
        return true;
    }
    tp_bench_fail(bench, "no name of 1,000 is on shard %u", shard);
    return false;
}
