/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P10, deadlocks are reported: cycles of two to five actors over one to four shards, by one caller
 * and by independent ones, end with one victim that is told the path; what only looks like a cycle
 * is left alone. In a world, each with several schedules.
 */
#include "tests/promises/scene.h"

/* "rest_ms next…": rests, then asks the next id of the list with what is left of the list. */
static troupe_status go(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256], id[32];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    int rest = 0, used = 0;
    if (sscanf(text, "%d %n", &rest, &used) != 1)
        return TROUPE_USAGE;
    if (rest != 0)
        TROUPE_TRY(troupe_sleep(turn, MS((unsigned)rest)));
    const char *list = text + used;
    if (sscanf(list, "%31s%n", id, &used) != 1)
        return troupe_reply_format(turn, "end");
    char next[256];
    snprintf(next, sizeof next, "0%s", list + used);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, id_of(id), "go", troupe_str(next), NULL, &answer);
    if (status == TROUPE_OK)
        return troupe_reply_take(turn, &answer);
    /* An application's failure, so that the victim is told from those who only hear of it. */
    status = status == TROUPE_DEADLOCK ? TROUPE_APPLICATION + 1 : status;
    troupe_status fails = troupe_fail(turn, status, "heard: %.*s", TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return fails;
}

/* Works for ten milliseconds without a park. */
static troupe_status toil(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    tp_world_advance(*(tp_world *const *)troupe_turn_user(turn), MS(10));
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(go), TROUPE_METHOD(toil)};
static const troupe_type plain = {TROUPE_TYPE("a"), TROUPE_METHODS(methods)};
static const troupe_type chained = {
    TROUPE_TYPE("chain"), TROUPE_METHODS(methods), .reentrancy = TROUPE_REENTRANCY_CALL_CHAIN};
static const troupe_type open_type = {
    TROUPE_TYPE("open"), TROUPE_METHODS(methods), .reentrancy = TROUPE_REENTRANCY_ALWAYS};

static void open_ring(scene *self, uint32_t shards, uint64_t wait)
{
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = shards, .deadlock_wait = wait,
        .ask_timeout = TROUPE_SECONDS(5)};
    scene_open(self, &options, TROUPE_TYPES(&plain, &chained, &open_type));
}

static void an_actor_that_asks_in_a_circle_fails_in_milliseconds_with_the_path(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards++) {
        for (int length = 1; length <= 5; length++) {
            scene s;
            open_ring(&s, shards, 0);
            char list[64] = "0";
            for (int i = 2; i <= length; i++)
                snprintf(list + strlen(list), sizeof list - strlen(list), " a/%d", i);
            strcat(list, " a/1"); /* back to where it began */
            call only;
            uint64_t begin = tp_world_now(s.world);
            scene_ask(&s, &only, "a/1", "go", list, NULL);
            scene_await(&s, &only);
            assert_heard(only.got, TROUPE_APPLICATION + 1);
            assert_true(only.at - begin < MS(20));
            assert_says(only.got.text, "deadlock");
            for (int i = 1; i <= length; i++) {
                char hop[32];
                snprintf(hop, sizeof hop, "a/%d go", i);
                assert_says(only.got.text, hop);
            }
            assert_int_equal(stats_of(s.node).deadlocks, 1);
            assert_int_equal(stats_of(s.node).timeouts, 0);
            scene_run(&s, MS(100));
            assert_int_equal(stats_of(s.node).parked, 0);
            scene_close(&s);
        }
    }
}

static void a_circle_of_independent_callers_has_exactly_one_victim(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards++) {
        for (int length = 2; length <= 5; length++) {
            scene s;
            open_ring(&s, shards, 0);
            call calls[5];
            for (int i = 0; i < length; i++) { /* each rests, then asks the one to its right */
                char id[32], list[32];
                snprintf(id, sizeof id, "a/%d", i);
                snprintf(list, sizeof list, "2 a/%d", (i + 1) % length);
                scene_ask(&s, &calls[i], id, "go", list, NULL);
            }
            scene_run(&s, MS(100));
            int victims = 0;
            for (int i = 0; i < length; i++) {
                assert_int_equal(calls[i].ends, 1);
                victims += calls[i].got.status == TROUPE_APPLICATION + 1;
                if (calls[i].got.status != TROUPE_APPLICATION + 1)
                    assert_heard(calls[i].got, TROUPE_OK);
                else
                    for (int hop = 0; hop < length; hop++) {
                        char id[32];
                        snprintf(id, sizeof id, "a/%d go", hop);
                        assert_says(calls[i].got.text, id);
                    }
            }
            assert_int_equal(victims, 1);
            assert_int_equal(stats_of(s.node).deadlocks, 1);
            scene_close(&s);
        }
    }
}

static void two_circles_that_share_nothing_have_a_victim_each(void **state)
{
    (void)state;
    scene s;
    open_ring(&s, 3, 0);
    call calls[4];
    static const char *const lists[] = {"2 a/1", "2 a/0", "2 a/3", "2 a/2"};
    for (int i = 0; i < 4; i++) {
        char id[32];
        snprintf(id, sizeof id, "a/%d", i);
        scene_ask(&s, &calls[i], id, "go", lists[i], NULL);
    }
    scene_run(&s, MS(100));
    for (int i = 0; i < 4; i += 2)
        assert_int_equal(
            (calls[i].got.status != TROUPE_OK) + (calls[i + 1].got.status != TROUPE_OK), 1);
    assert_int_equal(stats_of(s.node).deadlocks, 2);
    scene_close(&s);
}

static void who_waits_for_a_circle_from_outside_it_is_not_the_victim(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards++) {
        scene s;
        open_ring(&s, shards, 0);
        call circle[2], onlooker;
        scene_ask(&s, &circle[0], "a/0", "go", "2 a/1", NULL);
        scene_ask(&s, &circle[1], "a/1", "go", "2 a/0", NULL);
        scene_run(&s, MS(1));
        scene_ask(&s, &onlooker, "a/2", "go", "0 a/0", NULL);
        scene_run(&s, MS(100));
        assert_heard(onlooker.got, TROUPE_OK);
        assert_int_equal(
            (circle[0].got.status != TROUPE_OK) + (circle[1].got.status != TROUPE_OK), 1);
        assert_int_equal(stats_of(s.node).deadlocks, 1);
        scene_close(&s);
    }
}

static void a_long_wait_without_a_circle_is_left_alone(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards++) {
        scene s;
        open_ring(&s, shards, 0);
        call calls[12]; /* a fan of chains that all end at one slow actor */
        for (int i = 0; i < 12; i++) {
            char id[32], list[64];
            snprintf(id, sizeof id, "a/%d", i % 6);
            snprintf(list, sizeof list, "1 a/m%d a/n%d a/slow", i % 3, i % 2);
            scene_ask(&s, &calls[i], id, "go", list, NULL);
        }
        call slow;
        scene_ask(&s, &slow, "a/slow", "go", "200", NULL);
        scene_run(&s, TROUPE_SECONDS(2));
        for (int i = 0; i < 12; i++)
            assert_heard(calls[i].got, TROUPE_OK);
        assert_int_equal(stats_of(s.node).deadlocks, 0);
        assert_true(stats_of(s.node).probes > 0); /* they looked, and found none */
        scene_close(&s);
    }
}

static void reentrant_types_let_their_circles_through(void **state)
{
    (void)state;
    scene s;
    open_ring(&s, 3, 0);
    assert_heard(ask(s.node, "chain/1", "go", "0 a/2 a/3 chain/1"), TROUPE_OK);
    assert_heard(ask(s.node, "open/1", "go", "0 a/2 a/3 open/1"), TROUPE_OK);
    call calls[2]; /* not of one chain: only `always` lets them in */
    scene_ask(&s, &calls[0], "open/1", "go", "2 open/2", NULL);
    scene_ask(&s, &calls[1], "open/2", "go", "2 open/1", NULL);
    scene_run(&s, MS(100));
    assert_heard(calls[0].got, TROUPE_OK);
    assert_heard(calls[1].got, TROUPE_OK);
    assert_int_equal(stats_of(s.node).deadlocks, 0);
    scene_close(&s);
}

/* Who may come in beside a parked turn waits for the run queue only, however long it is. */
static void a_busy_shard_does_not_make_a_circle_of_what_may_come_in(void **state)
{
    (void)state;
    tp_world *world = NULL;
    troupe_type busy = plain;
    busy.name = "busy";
    busy.user = &world;
    static const char *const selves[] = {"open/1", "chain/1"};
    for (int i = 0; i < 2; i++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            scene s;
            scene_open(&s, NULL, TROUPE_TYPES(&open_type, &chained, &busy));
            world = s.world;
            for (uint64_t j = 0; j < seed; j++) /* another schedule */
                (void)tp_prng_next(tp_world_prng(s.world));
            call only, others[12];
            char list[32];
            snprintf(list, sizeof list, "0 %s", selves[i]);
            scene_ask(&s, &only, selves[i], "go", list, NULL);
            for (int j = 0; j < 12; j++) {
                char id[32];
                snprintf(id, sizeof id, "busy/%d", j);
                scene_ask(&s, &others[j], id, "toil", "", NULL);
            }
            scene_await(&s, &only);
            assert_heard(only.got, TROUPE_OK);
            assert_int_equal(stats_of(s.node).deadlocks, 0);
            scene_close(&s);
        }
    }
}

static void circles_that_time_outs_and_cancels_dissolve_have_no_victim(void **state)
{
    (void)state;
    scene s;
    open_ring(&s, 3, MS(20)); /* the looking begins when they are gone */
    call calls[2];
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    scene_ask(&s, &calls[0], "a/0", "go", "2 a/1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = MS(10)});
    scene_ask(&s, &calls[1], "a/1", "go", "2 a/0", NULL);
    scene_run(&s, MS(100));
    assert_heard(calls[0].got, TROUPE_TIMEOUT);
    assert_heard(calls[1].got, TROUPE_OK);
    scene_ask(&s, &calls[0], "a/0", "go", "2 a/1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_ask(&s, &calls[1], "a/1", "go", "2 a/0", NULL);
    scene_run(&s, MS(10));
    troupe_cancel_fire(cancel);
    scene_run(&s, MS(100));
    assert_heard(calls[0].got, TROUPE_CANCELLED);
    assert_heard(calls[1].got, TROUPE_OK);
    assert_int_equal(stats_of(s.node).deadlocks, 0);
    troupe_cancel_destroy(cancel);
    scene_close(&s);
}

static void with_the_looking_off_a_circle_ends_by_its_deadline(void **state)
{
    (void)state;
    scene s;
    open_ring(&s, 1, TROUPE_NEVER);
    heard got = ask_within(s.node, "a/1", "go", "0 a/2 a/1", MS(300));
    assert_heard(got, TROUPE_TIMEOUT);
    assert_int_equal(stats_of(s.node).deadlocks, 0);
    assert_int_equal(stats_of(s.node).probes, 0);
    scene_close(&s);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void circles_are_found_between_threads(void **state)
{
    (void)state;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 3, .log = "off", .ask_timeout = TROUPE_SECONDS(60)};
    troupe_node *node;
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&plain), &node));
    for (int i = 0; i < 20; i++) {
        char id[32], list[64];
        snprintf(id, sizeof id, "a/x%d", i);
        snprintf(list, sizeof list, "0 a/y%d a/z%d a/x%d", i, i, i);
        heard got = ask(node, id, "go", list);
        assert_heard(got, TROUPE_APPLICATION + 1);
        assert_says(got.text, id);
    }
    assert_int_equal(stats_of(node).deadlocks, 20);
    troupe_node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_that_asks_in_a_circle_fails_in_milliseconds_with_the_path),
        cmocka_unit_test(a_circle_of_independent_callers_has_exactly_one_victim),
        cmocka_unit_test(two_circles_that_share_nothing_have_a_victim_each),
        cmocka_unit_test(who_waits_for_a_circle_from_outside_it_is_not_the_victim),
        cmocka_unit_test(a_long_wait_without_a_circle_is_left_alone),
        cmocka_unit_test(reentrant_types_let_their_circles_through),
        cmocka_unit_test(a_busy_shard_does_not_make_a_circle_of_what_may_come_in),
        cmocka_unit_test(circles_that_time_outs_and_cancels_dissolve_have_no_victim),
        cmocka_unit_test(with_the_looking_off_a_circle_ends_by_its_deadline),
        cmocka_unit_test(circles_are_found_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
