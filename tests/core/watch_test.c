/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking on: long and stuck turns are told with actor and method, parked turns show what they wait
 * for, statistics add up, an idle node hardly wakes.
 */
#include "tests/promises/scene.h"

typedef struct stage {
    tp_world *world;
    _Atomic bool held, holds;
} stage;

static troupe_status work(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    const stage *of = troupe_turn_user(turn);
    tp_world_advance(of->world, MS((unsigned)atoi(text)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status hold(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    stage *of = troupe_turn_user(turn);
    atomic_store(&of->holds, true);
    while (atomic_load(&of->held))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return troupe_reply_bytes(turn, payload);
}

static troupe_status rest(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(1)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status pass(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, id_of("w/resting"), "rest", payload, NULL, &answer);
    if (status == TROUPE_OK)
        return troupe_reply_take(turn, &answer);
    troupe_answer_release(&answer);
    return status;
}

static troupe_status pass_by(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static troupe_status fails(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

static const troupe_method methods[] = {TROUPE_METHOD(work), TROUPE_METHOD(hold),
    TROUPE_METHOD(rest), TROUPE_METHOD(pass), TROUPE_METHOD(pass_by),
    TROUPE_METHOD(fails)};

static void open_stage(scene *s, stage *of, troupe_type *type)
{
    memset(of, 0, sizeof *of);
    *type = (troupe_type){TROUPE_TYPE("w"), TROUPE_METHODS(methods), .user = of};
    scene_open(
        s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2}, TROUPE_TYPES(type));
    of->world = s->world;
}

static void a_turn_that_runs_long_is_logged_with_actor_and_method(void **state)
{
    (void)state;
    scene s;
    stage of;
    troupe_type type;
    open_stage(&s, &of, &type);
    ask(s.node, "w/short", "work", "70");
    assert_heard(ask(s.node, "w/rests", "rest", ""), TROUPE_OK); /* parked is not running */
    assert_int_equal(stats_of(s.node).long_turns, 0);
    assert_int_equal(tape_count(s.log, "turn_long"), 0);
    ask(s.node, "w/long", "work", "230");
    assert_int_equal(stats_of(s.node).long_turns, 1);
    assert_says(tape_text(s.log, "turn_long"), "actor=w/long");
    assert_says(tape_text(s.log, "turn_long"), "method=work");
    assert_says(tape_text(s.log, "turn_long"), "ms=230");
    scene_close(&s);
}

static void count_one(void *user, const troupe_actor_info *info)
{
    (void)info;
    ++*(int *)user;
}

static void a_stuck_shard_hides_no_other(void **state)
{
    (void)state;
    stage of = {.held = true};
    const troupe_type type = {TROUPE_TYPE("w"), TROUPE_METHODS(methods), .user = &of};
    troupe_node *node;
    assert_ok(troupe_node_open(
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .log = "off"},
        TROUPE_TYPES(&type), &node));
    int before = 0, seen = 0;
    for (int i = 0; i < 40; i++) {
        char id[32];
        snprintf(id, sizeof id, "w/%d", i);
        assert_heard(ask(node, id, "pass_by", ""), TROUPE_OK);
    }
    const troupe_slice all = {NULL, 0};
    assert_ok(troupe_node_each_actor(node, all, all, 100, count_one, &before));
    assert_int_equal(before, 40);
    tell(node, "w/0", "hold", "");
    while (!atomic_load(&of.holds))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    uint64_t begun = clock_now();
    assert_status(
        troupe_node_each_actor(node, all, all, 100, count_one, &seen), TROUPE_UNAVAILABLE);
    assert_true(clock_now() - begun >= TROUPE_SECONDS(1)); /* nobody is given up before */
    assert_in_range(seen, 1, 39);
    atomic_store(&of.held, false);
    seen = 0;
    assert_ok(troupe_node_each_actor(node, all, all, 100, count_one, &seen));
    assert_int_equal(seen, 40);
    troupe_node_close(node);
}

static bool is_told(void *user)
{
    return tape_count(user, "turn_stuck") != 0;
}

static void a_turn_that_is_stuck_is_told_while_it_runs_with_actor_and_method(void **state)
{
    (void)state;
    stage of = {.held = true};
    const troupe_type type = {TROUPE_TYPE("w"), TROUPE_METHODS(methods), .user = &of};
    tape *log = malloc(sizeof *log);
    tape_init(log);
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1,
        .stuck_turn = MS(20), .on_log = tape_write, .on_log_user = log};
    troupe_node *node;
    troupe_client *client;
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&type), &node));
    assert_ok(troupe_client_open(node, &client));
    call only = {.world = NULL};
    assert_ok(troupe_client_ask_callback(
        client, id_of("w@p/stone"), "hold", troupe_str(""), NULL, call_over, &only));
    assert_true(comes_true(is_told, log));
    assert_int_equal(only.ends, 0); /* while it runs */
    assert_says(tape_text(log, "turn_stuck"), "w@p/stone");
    assert_says(tape_text(log, "turn_stuck"), "method=hold");
    atomic_store(&of.held, false);
    troupe_client_close(client);
    troupe_node_close(node);
    assert_heard(only.got, TROUPE_OK);
    assert_int_equal(tape_count(log, "turn_stuck"), 1); /* once for each turn */
    free(log);
}

typedef struct sight {
    int count;
    char text[512];
} sight;

static void see(void *user, const troupe_parked_info *info)
{
    sight *to = user;
    char id[64], target[64] = "";
    troupe_id_print(info->id, id, sizeof id);
    if (info->target.type.size != 0)
        troupe_id_print(info->target, target, sizeof target);
    size_t size = strlen(to->text);
    snprintf(to->text + size, sizeof to->text - size, "%s %.*s %s%s%s %.*s;", id,
        TROUPE_ARG(info->method), info->reason, *target ? " " : "", target,
        TROUPE_ARG(info->target_method));
    to->count += info->waiting >= MS(99) && info->age >= info->waiting && info->frame_count > 0;
}

static void parked_turns_show_what_they_wait_for(void **state)
{
    (void)state;
    scene s;
    stage of;
    troupe_type type;
    open_stage(&s, &of, &type);
    call calls[2];
    scene_ask(&s, &calls[0], "w/asking", "pass", "", NULL);
    scene_run(&s, MS(100));
    sight all = {0}, one = {0};
    assert_ok(troupe_node_each_parked(s.node, NULL, see, &all));
    assert_int_equal(all.count, 2);
    assert_says(all.text, "w/asking pass ask w/resting rest;");
    assert_says(all.text, "w/resting rest sleep ;");
    const troupe_id id = id_of("w/asking");
    assert_ok(troupe_node_each_parked(s.node, &id, see, &one));
    assert_string_equal(one.text, "w/asking pass ask w/resting rest;");
    scene_await(&s, &calls[0]);
    sight none = {0};
    assert_ok(troupe_node_each_parked(s.node, NULL, see, &none));
    assert_string_equal(none.text, "");
    scene_close(&s);
}

static void statistics_add_up(void **state)
{
    (void)state;
    scene s;
    stage of;
    troupe_type type;
    open_stage(&s, &of, &type);
    uint64_t begin = stats_of(s.node).uptime;
    for (int i = 0; i < 1000; i++) {
        char id[32];
        snprintf(id, sizeof id, "w/%d", i % 10);
        ask(s.node, id, i % 4 == 0 ? "fails" : "work", "0");
        tell(s.node, id, "work", "0");
    }
    scene_run(&s, MS(10));
    troupe_stats stats = stats_of(s.node);
    assert_int_equal(stats.asks, 1000);
    assert_int_equal(stats.tells, 1000);
    assert_int_equal(stats.turns, 2000);
    assert_int_equal(stats.failures, 250);
    assert_int_equal(stats.activations, 10);
    assert_int_equal(stats.active, 10);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.pending_asks, 0);
    assert_int_equal(stats.shards, 2);
    assert_true(stats.uptime - begin >= MS(10));
    assert_true(stats.bytes > 0 && stats.reserved >= stats.bytes);
    assert_true(stats.turn_time.count > 10); /* sampled */
    assert_true(stats.ask_time.count > 5);
    assert_true(stats.turn_time.p50 <= stats.turn_time.p99);
    assert_true(stats.turn_time.p99 <= stats.turn_time.p999);
    troupe_stats wrong = {.size = 8};
    assert_status(troupe_node_stats(s.node, &wrong), TROUPE_USAGE);
    scene_close(&s);
}

static void an_idle_node_hardly_wakes(void **state)
{
    (void)state;
    scene s;
    stage of;
    troupe_type type;
    open_stage(&s, &of, &type);
    for (int i = 0; i < 200; i++) {
        char id[32];
        snprintf(id, sizeof id, "w/%d", i);
        ask(s.node, id, "work", "0");
    }
    uint64_t before = stats_of(s.node).passes;
    scene_run(&s, TROUPE_MINUTES(10)); /* the idle age is fifteen */
    uint64_t after = stats_of(s.node).passes;
    assert_true(after - before < 60); /* two shards */
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_that_runs_long_is_logged_with_actor_and_method),
        cmocka_unit_test(a_stuck_shard_hides_no_other),
        cmocka_unit_test(a_turn_that_is_stuck_is_told_while_it_runs_with_actor_and_method),
        cmocka_unit_test(parked_turns_show_what_they_wait_for),
        cmocka_unit_test(statistics_add_up),
        cmocka_unit_test(an_idle_node_hardly_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
