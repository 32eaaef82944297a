/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a call with a key is remembered: until the latest deadline with which it was asked and
 * max_clock_skew are over. In a world, on a store that outlives its nodes. That such a call happens
 * once at all is in durable_test.c.
 *
 * Threads: one, the test's.
 */
#include "tests/promises/scene.h"

#include "base/alloc.h"
#include "providers/table.h"
#include "shard/shard.h"
#include "testkit/faulty_store.h"

#define DEADLINE TROUPE_SECONDS(2)
#define SKEW     TROUPE_SECONDS(10)

typedef struct tally {
    uint64_t halves, wholes;
} tally;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    tally *self = state;
    self->halves++;
    return troupe_reply_format(turn, "%llu", (unsigned long long)++self->wholes);
}

/* The first half is stored when it asks. */
static troupe_status relay(troupe_turn *turn, void *state, troupe_slice in)
{
    tally *self = state;
    self->halves++;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, id_of("tally/other"), "add", in, NULL, &answer));
    troupe_answer_release(&answer);
    return troupe_reply_format(turn, "%llu", (unsigned long long)++self->wholes);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const tally *self = state;
    return troupe_reply_format(
        turn, "%llu, %llu", (unsigned long long)self->halves, (unsigned long long)self->wholes);
}

static const troupe_method methods[] = {
    TROUPE_METHOD(add), TROUPE_METHOD(relay), TROUPE_READ_METHOD(show)};
static const troupe_type tally_type = {TROUPE_TYPE("tally"), .state_size = sizeof(tally),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

/* ---- a world with a store that outlives its nodes -------------------------------------------- */

typedef struct stand {
    tp_world *world;
    troupe_store *inner;
    tp_faulty_store *store;
    troupe_node *node;
} stand;

static uint64_t no_time(void *context)
{
    (void)context;
    return 1;
}

static void open_node(stand *self)
{
    char error[256] = "";
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .log = "off",
        .max_clock_skew = SKEW, .idle = TROUPE_NEVER, .allocator = tp_world_allocator(self->world)};
    troupe_status status =
        tp_node_open_on(tp_world_env(self->world), true, tp_faulty_store_get(self->store), &options,
            TROUPE_TYPES(&tally_type), &self->node, error, sizeof error);
    check_status(status, TROUPE_OK, error, __FILE__, __LINE__);
}

static void stand_open(stand *self)
{
    const tp_world_options options = {.seed = 1, .hurry = 1024, .stuck = scene_is_stuck};
    const troupe_store_host host = {
        .size = sizeof host, .allocator = tp_allocator_system(), .now = no_time, .wall = no_time};
    char error[256] = "";
    *self = (stand){.world = tp_world_create(&options)};
    assert_ok(tp_memory_provider.open(&host, "memory:", &self->inner, error, sizeof error));
    self->store = tp_faulty_store_create(tp_allocator_system(), self->inner, 1);
    open_node(self);
}

static void stand_close(stand *self)
{
    troupe_node_close(self->node);
    assert_int_equal(tp_world_live_blocks(self->world), 0);
    tp_faulty_store_destroy(self->store);
    self->inner->close(self->inner);
    tp_world_destroy(self->world);
}

static void crash(stand *self)
{
    tp_shared *shared = &self->node->shared;
    for (uint32_t i = 0; i < shared->shard_count; i++)
        tp_fiber_pool_deinit(&shared->shards[i]->fibers);
    tp_world_crash(self->world);
    open_node(self);
}

static void run(stand *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_step_until(self->world, until)) {
    }
}

static heard ask_as(stand *self, const char *method, const char *key)
{
    return ask_with(self->node, "tally/x", method, "",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = DEADLINE, .once = troupe_str(key)});
}

/* Another call makes the actor look for keys that nobody can ask for any more. */
static void sweep(stand *self, const char *key)
{
    assert_heard(ask_as(self, "add", key), TROUPE_OK);
    run(self, TROUPE_SECONDS(1));
}

static void asks_again(stand *self, const char *text)
{
    heard got = ask_as(self, "add", "k");
    assert_heard(got, TROUPE_OK);
    assert_string_equal(got.text, text);
}

/* ---- promises -------------------------------------------------------------------------------- */

static void a_key_is_remembered_until_its_deadline_and_the_skew_are_over(void **state)
{
    (void)state;
    stand at;
    stand_open(&at);
    asks_again(&at, "1");
    run(&at, DEADLINE + SKEW - TROUPE_SECONDS(2));
    sweep(&at, "s1");
    asks_again(&at, "1");
    run(&at, 3 * (DEADLINE + SKEW));
    sweep(&at, "s2");
    asks_again(&at, "4"); /* it names a new call */
    stand_close(&at);
}

static void a_key_asked_again_is_remembered_until_the_later_deadline(void **state)
{
    (void)state;
    stand at;
    stand_open(&at);
    asks_again(&at, "1");
    for (uint32_t i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof key, "s%u", i);
        run(&at, DEADLINE + SKEW - TROUPE_SECONDS(2));
        asks_again(&at, "1");
        crash(&at);
        run(&at, TROUPE_SECONDS(3)); /* behind the end of the time before */
        sweep(&at, key);
        asks_again(&at, "1");
    }
    stand_close(&at);
}

static void a_call_that_was_interrupted_is_remembered_as_long(void **state)
{
    (void)state;
    stand at;
    stand_open(&at);
    static call first;
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = DEADLINE, .once = troupe_str("k")};
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "relay", troupe_str(""), &options, call_over, &first));
    while (stats_of(at.node).commits == 0)
        assert_true(tp_world_step(at.world));
    crash(&at);
    assert_status(ask_as(&at, "relay", "k").status, TROUPE_INTERRUPTED);
    run(&at, DEADLINE + SKEW - TROUPE_SECONDS(2));
    assert_status(ask_as(&at, "relay", "k").status, TROUPE_INTERRUPTED);
    run(&at, TROUPE_SECONDS(5));
    sweep(&at, "s");
    assert_status(ask_as(&at, "relay", "k").status, TROUPE_INTERRUPTED);
    assert_string_equal(ask(at.node, "tally/x", "show", "").text, "2, 1");
    stand_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_remembered_until_its_deadline_and_the_skew_are_over),
        cmocka_unit_test(a_key_asked_again_is_remembered_until_the_later_deadline),
        cmocka_unit_test(a_call_that_was_interrupted_is_remembered_as_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
