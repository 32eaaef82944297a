/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that takes its time is a runner of the simulated world like a shard: turns wait for it,
 * what goes wrong goes wrong by the seed, and the same seed is the same run.
 *
 * Threads: one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/node.h"
#include "providers/table.h"
#include "testkit/faulty_store.h"
#include "testkit/world.h"
#include <troupe/inspect.h>

enum { ACTORS = 5, ROUNDS = 12 };

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    uint64_t *count = state;
    ++*count;
    return troupe_reply_format(turn, "%llu", (unsigned long long)*count);
}

static void stuck(void *user, const char *what)
{
    (void)user;
    fprintf(stderr, "the world is stuck: %s\n", what);
    abort();
}

static uint64_t no_time(void *context)
{
    (void)context;
    return 1;
}

static void pass_time(void *user, uint64_t duration)
{
    tp_world_advance(user, duration);
}

static troupe_status ask_add(troupe_node *node, const char *key, uint64_t *ret_count)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_node_ask(
        node, troupe_id_of("counter", key), "add", (troupe_slice){NULL, 0}, NULL, &answer);
    if (status == TROUPE_OK) {
        char text[24];
        snprintf(text, sizeof text, "%.*s", TROUPE_ARG(answer.payload));
        *ret_count = strtoull(text, NULL, 10);
    }
    troupe_answer_release(&answer);
    return status;
}

/* Adds, and lets go of the actors in between, so that they are saved and loaded. */
static void use(troupe_node *node, uint64_t *counts)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < ACTORS; i++) {
            char key[8];
            uint64_t count = 0;
            snprintf(key, sizeof key, "%d", i);
            troupe_status status = ask_add(node, key, &count);
            assert_true(status == TROUPE_OK || status == TROUPE_UNAVAILABLE);
            if (status == TROUPE_OK)
                assert_int_equal(count, ++counts[i]);
            troupe_status left = troupe_node_deactivate(node, troupe_id_of("counter", key));
            assert_true(left == TROUPE_OK || left == TROUPE_NOT_FOUND);
        }
    }
}

/* Two nodes, one after the other, on one store. Returns the hash of all that happened. */
static uint64_t run(uint64_t seed)
{
    static const troupe_method methods[] = {TROUPE_METHOD(add)};
    static const troupe_type counter = {TROUPE_TYPE("counter"), TROUPE_METHODS(methods),
        .state_size = sizeof(uint64_t), .persist = TROUPE_PERSIST_ON_DEACTIVATE};
    const tp_world_options options = {.seed = seed, .stuck = stuck};
    tp_world *world = tp_world_create(&options);
    const troupe_store_host host = {
        .size = sizeof host, .allocator = tp_allocator_system(), .now = no_time, .wall = no_time};
    char error[256] = "";
    troupe_store *inner = NULL;
    assert_int_equal(
        tp_memory_provider.open(&host, "memory:", &inner, error, sizeof error), TROUPE_OK);
    tp_faulty_store *faulty = tp_faulty_store_create(tp_allocator_system(), inner, seed);
    const tp_fault_plan plan = {.chances = {[TP_FAULT_REFUSED] = 100, [TP_FAULT_TWICE] = 100},
        .delay_most = TROUPE_MILLISECONDS(20),
        .pause = pass_time,
        .user = world};
    tp_faulty_store_plan(faulty, &plan);
    uint64_t counts[ACTORS] = {0};
    const troupe_node_options node_options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .log = "off", .allocator = tp_allocator_system()};
    for (int times = 0; times < 2; times++) {
        troupe_node *node = NULL;
        troupe_status status =
            tp_node_open_on(tp_world_env(world), false, tp_faulty_store_get(faulty), &node_options,
                TROUPE_TYPES(&counter), &node, error, sizeof error);
        assert_string_equal(error, "");
        assert_int_equal(status, TROUPE_OK);
        use(node, counts);
        troupe_node_close(node);
    }
    uint64_t hash = tp_world_hash(world);
    assert_true(tp_faulty_store_count(faulty, TP_FAULT_REFUSED) != 0);
    assert_true(tp_faulty_store_count(faulty, TP_FAULT_TWICE) != 0);
    tp_faulty_store_destroy(faulty);
    inner->close(inner);
    tp_world_destroy(world);
    return hash;
}

static void nodes_on_a_slow_store_lose_nothing_and_the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    uint64_t hashes[2] = {0};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t hash = run(seed);
        assert_int_equal(run(seed), hash);
        assert_true(hash != hashes[0]);
        hashes[0] = hash;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_on_a_slow_store_lose_nothing_and_the_same_seed_is_the_same_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
