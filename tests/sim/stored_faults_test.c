/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletes and restores on a store that refuses, loses, is silent about what it did, does things
 * late and twice: what was acknowledged holds, what was refused did not happen, also for the next
 * node; in a world, by many seeds.
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
#include <troupe/stored.h>

enum { STEPS = 60, SEEDS = 200 };

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    uint64_t *count = state;
    ++*count;
    return troupe_reply_format(turn, "%llu", (unsigned long long)*count);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%llu", (unsigned long long)*(const uint64_t *)state);
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

typedef struct town {
    tp_world *world;
    troupe_node *node;
    troupe_id id;
    uint64_t value; /* as it must be */
    uint64_t done[3], refused[3];
} town;

static troupe_status ask(town *self, const char *method, uint64_t *ret_value)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_node_ask(self->node, self->id, method, (troupe_slice){NULL, 0}, NULL, &answer);
    if (status == TROUPE_OK) {
        char text[24];
        snprintf(text, sizeof text, "%.*s", TROUPE_ARG(answer.payload));
        *ret_value = strtoull(text, NULL, 10);
    } else if (answer.outcome == TROUPE_NOT_DONE) {
        status = TROUPE_UNAVAILABLE;
    } else {
        status = TROUPE_UNKNOWN;
    }
    troupe_answer_release(&answer);
    return status;
}

static uint64_t see(town *self)
{
    uint64_t value = 0;
    for (int i = 0; i < 1000; i++)
        if (ask(self, "show", &value) == TROUPE_OK)
            return value;
    fail_msg("it cannot be read any more");
    return 0;
}

/* A change has ended so; it makes `after`. */
static void judge(town *self, int what, troupe_status status, uint64_t after)
{
    if (status == TROUPE_OK) {
        self->done[what]++;
        self->value = after;
    } else {
        self->refused[what]++;
    }
    if (status == TROUPE_OK || troupe_status_outcome(status) == TROUPE_NOT_DONE) {
        assert_int_equal(see(self), self->value);
        return;
    }
    uint64_t value = see(self);
    assert_true(value == self->value || value == after);
    self->value = value;
}

typedef struct seen {
    uint64_t version, value;
} seen;

static void note(void *user, const troupe_stored *stored)
{
    seen *self = user;
    self->version = stored->version;
    if (stored->state.size == sizeof self->value)
        memcpy(&self->value, stored->state.data, sizeof self->value);
}

static void do_one(town *self)
{
    uint64_t value = 0;
    uint64_t chance = tp_prng_below(tp_world_prng(self->world), 8);
    if (chance == 0) {
        troupe_status status = troupe_stored_delete(self->node, self->id, 0, NULL, 0);
        if (status == TROUPE_NOT_FOUND)
            assert_int_equal(self->value, 0);
        judge(self, 0, status == TROUPE_NOT_FOUND ? TROUPE_UNAVAILABLE : status, 0);
    } else if (chance == 1) {
        seen kept = {0};
        if (troupe_stored_each_snapshot(self->node, self->id, 1, note, &kept, NULL, 0) !=
                TROUPE_OK ||
            kept.version < 2)
            return;
        uint64_t version = 1 + tp_prng_below(tp_world_prng(self->world), kept.version);
        if (troupe_stored_snapshot(self->node, self->id, version, note, &kept, NULL, 0) ==
            TROUPE_OK)
            judge(self, 1, troupe_stored_restore(self->node, self->id, version, 0, NULL, NULL, 0),
                kept.value);
    } else {
        troupe_status status = ask(self, "add", &value);
        if (status == TROUPE_OK)
            assert_int_equal(value, self->value + 1);
        judge(self, 2, status, self->value + 1);
    }
}

static void run(const troupe_type *type, uint64_t seed, town *all)
{
    const tp_world_options options = {.seed = seed, .stuck = stuck};
    tp_world *world = tp_world_create(&options);
    const troupe_store_host host = {
        .size = sizeof host, .allocator = tp_allocator_system(), .now = no_time, .wall = no_time};
    char error[256] = "";
    troupe_store *inner = NULL;
    assert_int_equal(
        tp_memory_provider.open(&host, "memory:", &inner, error, sizeof error), TROUPE_OK);
    tp_faulty_store *faulty = tp_faulty_store_create(tp_allocator_system(), inner, seed);
    const tp_fault_plan plan = {.chances = {[TP_FAULT_REFUSED] = 80,
                                    [TP_FAULT_LOST] = 80,
                                    [TP_FAULT_SILENT] = 80,
                                    [TP_FAULT_LATE] = 40,
                                    [TP_FAULT_TWICE] = 40},
        .delay_most = TROUPE_MILLISECONDS(5),
        .pause = pass_time,
        .user = world};
    tp_faulty_store_plan(faulty, &plan);
    town self = {.world = world, .id = troupe_id_of("counter", "a")};
    const troupe_node_options node_options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .log = "off", .allocator = tp_world_allocator(world)};
    for (int times = 0; times < 2; times++) {
        troupe_status status =
            tp_node_open_on(tp_world_env(world), true, tp_faulty_store_get(faulty), &node_options,
                TROUPE_TYPES(type), &self.node, error, sizeof error);
        assert_string_equal(error, "");
        assert_int_equal(status, TROUPE_OK);
        assert_int_equal(see(&self), self.value);
        for (int i = 0; i < STEPS; i++)
            do_one(&self);
        troupe_node_close(self.node);
        assert_int_equal(tp_world_live_blocks(world), 0);
    }
    for (int i = 0; i < 3; i++) {
        all->done[i] += self.done[i];
        all->refused[i] += self.refused[i];
    }
    tp_faulty_store_destroy(faulty);
    inner->close(inner);
    tp_world_destroy(world);
}

static void deletes_and_restores_happen_as_they_were_answered(void **state)
{
    (void)state;
    static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_READ_METHOD(show)};
    static const troupe_type counter = {TROUPE_TYPE("counter"), TROUPE_METHODS(methods),
        .state_size = sizeof(uint64_t), .persist = TROUPE_PERSIST_EVERY_TURN,
        .retention = {.max_snapshots = 100}};
    town all = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(&counter, seed, &all);
    for (int i = 0; i < 3; i++) {
        assert_true(all.done[i] > SEEDS);
        assert_true(all.refused[i] > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deletes_and_restores_happen_as_they_were_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
