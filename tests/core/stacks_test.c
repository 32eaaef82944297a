/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types with a stack size of their own: all that is theirs runs on such a stack, methods and
 * callbacks as well as hooks, and a hook that waits for a stack loses nothing.
 *
 * Threads: one, the world's.
 */
#include "tests/promises/scene.h"

enum { DEPTH = 150 }; /* frames of 4 KiB: far beyond the stack of other types */

__attribute__((noinline)) static int deep(int depth)
{
    volatile char frame[4096];
    frame[0] = (char)depth;
    frame[sizeof frame - 1] = 1;
    return depth == 0 ? 0 : deep(depth - 1) + frame[sizeof frame - 1];
}

typedef struct seen {
    uint32_t activated, deactivated, saved, loaded, answered;
    char method[32]; /* of the callback, as it calls itself */
} seen;

static troupe_status dig(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    ++*(int *)state;
    return troupe_reply_format(turn, "%d", deep(DEPTH));
}

static void on_answer(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)state;
    (void)answer;
    seen *of = user;
    of->answered += deep(DEPTH) == DEPTH;
    snprintf(of->method, sizeof of->method, "%.*s", TROUPE_ARG(troupe_turn_method(turn)));
}

static troupe_status call_other(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_ask_callback(turn, troupe_id_of("deep", "other"), "dig", payload, NULL,
        on_answer, troupe_turn_user(turn)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status hold(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_sleep(turn, MS(100)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status rise(troupe_turn *turn, void *state)
{
    (void)state;
    ((seen *)troupe_turn_user(turn))->activated += deep(DEPTH) == DEPTH;
    TROUPE_REQUIRE(turn, troupe_turn_self(turn).key.size < 8);
    return TROUPE_OK;
}

static void set(troupe_turn *turn, void *state, troupe_reason reason)
{
    (void)state;
    (void)reason;
    ((seen *)troupe_turn_user(turn))->deactivated += deep(DEPTH) == DEPTH;
    (void)troupe_sleep(turn, MS(1));
}

static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    ((seen *)troupe_turn_user(turn))->saved += deep(DEPTH) == DEPTH;
    return troupe_write(writer, state, sizeof(int));
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    ((seen *)troupe_turn_user(turn))->loaded += deep(DEPTH) == DEPTH;
    memcpy(state, saved.data, sizeof(int));
    return TROUPE_OK;
}

static const troupe_method methods[] = {
    TROUPE_METHOD(dig), TROUPE_METHOD(call_other), TROUPE_METHOD(hold)};

static troupe_type deep_type(seen *of)
{
    return (troupe_type){TROUPE_TYPE("deep"), .state_size = sizeof(int), TROUPE_METHODS(methods),
        .stack_size = 4 << 20, .on_activate = rise, .on_deactivate = set, .save = save,
        .load = load, .persist = TROUPE_PERSIST_ON_DEACTIVATE, .idle = TROUPE_SECONDS(1),
        .user = of};
}

static void hooks_run_on_the_stack_of_their_type(void **state)
{
    (void)state;
    scene s;
    seen of = {0};
    troupe_type type = deep_type(&of);
    scene_open(&s, NULL, TROUPE_TYPES(&type));
    assert_string_equal(ask(s.node, "deep/a", "dig", "").text, "150");
    scene_run(&s, TROUPE_SECONDS(5));
    assert_int_equal(stats_of(s.node).active, 0);
    assert_string_equal(ask(s.node, "deep/a", "dig", "").text, "150");
    assert_int_equal(of.activated, 2);
    assert_int_equal(of.loaded, 1);
    assert_int_equal(of.saved, 1);
    assert_int_equal(of.deactivated, 1);
    scene_close(&s); /* which stores it once more */
    assert_int_equal(of.saved, 2);
}

static void an_activation_that_panics_on_its_own_stack_hurts_no_other(void **state)
{
    (void)state;
    scene s;
    seen of = {0};
    troupe_type type = deep_type(&of);
    scene_open(&s, NULL, TROUPE_TYPES(&type));
    for (int i = 0; i < 5; i++)
        assert_heard(ask(s.node, "deep/too long a key", "dig", ""), TROUPE_PANIC);
    assert_string_equal(ask(s.node, "deep/a", "dig", "").text, "150");
    scene_close(&s);
}

static void a_callback_of_such_a_type_is_called_an_answer(void **state)
{
    (void)state;
    scene s;
    seen of = {0};
    troupe_type type = deep_type(&of);
    scene_open(&s, NULL, TROUPE_TYPES(&type));
    assert_heard(ask(s.node, "deep/a", "call_other", ""), TROUPE_OK);
    scene_run(&s, MS(10));
    assert_int_equal(of.answered, 1);
    assert_string_equal(of.method, "(answer)");
    scene_close(&s);
}

/* With few stacks: who asks hears that there is none, what was told waits, and all are stored. */
static void what_finds_no_stack_waits_or_is_refused(void **state)
{
    (void)state;
    scene s;
    seen of = {0};
    troupe_type type = deep_type(&of);
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .max_fibers = 2};
    scene_open(&s, &options, TROUPE_TYPES(&type));
    char id[16];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "deep/%d", i);
        tell(s.node, id, "hold", "");
        tell(s.node, id, "dig", "");
    }
    scene_run(&s, TROUPE_SECONDS(10));
    assert_int_equal(of.activated, 8);
    assert_in_range(of.deactivated, 8, 64); /* again, if a save finds no fiber to wait on */
    assert_int_equal(stats_of(s.node).active, 0);
    assert_int_equal(stats_of(s.node).lost_states, 0);
    assert_true(stats_of(s.node).busy_fibers != 0);
    scene_close(&s);
}

/* On a machine that has 60 stacks for a process. */
static void parked_turns_are_capped_where_stacks_are_few(void **state)
{
    (void)state;
    static const struct {
        uint32_t stacks, wanted, shards, got;
    } cases[] = {
        {60, 0, 2, 28}, {60, 100, 3, 18}, {60, 10, 3, 10}, {60, 0, 40, 1}, {0, 0, 2, 16000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seen of = {0};
        troupe_type type = deep_type(&of);
        tape log;
        tape_init(&log);
        tp_world_options world = {.seed = 1, .hurry = 1024, .stuck = scene_is_stuck};
        scene s = {.world = tp_world_create(&world)};
        tp_env *env = tp_world_env(s.world);
        env->stacks = cases[i].stacks;
        troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = cases[i].shards,
            .max_fibers = cases[i].wanted, .on_log = tape_write, .on_log_user = &log, .log = "info",
            .allocator = tp_world_allocator(s.world)};
        char error[256] = "";
        assert_ok(tp_node_open_in(
            env, true, &options, TROUPE_TYPES(&type), &s.node, error, sizeof error));
        assert_int_equal(s.node->shared.options.max_fibers, cases[i].got);
        assert_int_equal(tape_count(&log, "fibers_capped"),
            cases[i].got != (cases[i].wanted != 0 ? cases[i].wanted : 16000));
        troupe_node_close(s.node);
        tp_world_destroy(s.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_run_on_the_stack_of_their_type),
        cmocka_unit_test(an_activation_that_panics_on_its_own_stack_hurts_no_other),
        cmocka_unit_test(a_callback_of_such_a_type_is_called_an_answer),
        cmocka_unit_test(what_finds_no_stack_waits_or_is_refused),
        cmocka_unit_test(parked_turns_are_capped_where_stacks_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
