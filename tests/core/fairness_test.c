/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits is served, whatever the others of its shard do: turns that go on and turns that begin,
 * one busy actor and the rest, yields, long turns and what is due. Counted in turns and passes, not
 * in time; where times matter, in a world.
 */
#include "tests/promises/scene.h"

typedef struct crowd {
    tp_world *world;       /* NULL: driven */
    uint64_t steps;        /* of those that keep the shard busy */
    uint64_t idle_at;      /* `steps` when the idle actor had its turn; NEVER: not yet */
    bool ended, seen;
    uint64_t yields[64]; /* of each waiter, until it saw what it waited for */
    uint32_t waiters;
} crowd;

static uint32_t number_of(troupe_slice payload)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    return (uint32_t)atoi(text);
}

static void spend(troupe_turn *turn, uint64_t duration)
{
    crowd *of = troupe_turn_user(turn);
    if (of->world != NULL) {
        tp_world_advance(of->world, duration);
        return;
    }
    uint64_t begun = clock_now();
    while (clock_now() - begun < duration) {
    }
}

/* Works 5 us and sleeps 10, again and again: of many such some are always ready. */
static troupe_status toss(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    crowd *of = troupe_turn_user(turn);
    while (!of->ended) {
        of->steps++;
        spend(turn, TROUPE_MICROSECONDS(5));
        TROUPE_TRY(troupe_sleep(turn, TROUPE_MICROSECONDS(10)));
    }
    return TROUPE_OK;
}

/* For so many microseconds. */
static troupe_status work(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    crowd *of = troupe_turn_user(turn);
    of->steps++;
    spend(turn, TROUPE_MICROSECONDS(number_of(payload)));
    return TROUPE_OK;
}

/* So many messages to itself. */
static troupe_status pile(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_id self = troupe_turn_self(turn);
    for (uint32_t i = number_of(payload); i != 0; i--)
        TROUPE_TRY(troupe_tell(turn, self, "work", troupe_str("0"), NULL));
    return TROUPE_OK;
}

static troupe_status look(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    crowd *of = troupe_turn_user(turn);
    of->idle_at = of->steps;
    return TROUPE_OK;
}

static troupe_status see(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    crowd *of = troupe_turn_user(turn);
    of->seen = true;
    return TROUPE_OK;
}

static troupe_status pass_on(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_tell(turn, id_of("c/seer"), "see", troupe_str(""), NULL);
}

/* Yields until two others have had their turns, one after the other: the first is made for it, so
 * that it goes by the run queue. */
static troupe_status give_way(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    crowd *of = troupe_turn_user(turn);
    uint64_t yields = 0;
    of->seen = false;
    char id[32];
    snprintf(id, sizeof id, "c/passer-%u", of->waiters);
    TROUPE_TRY(troupe_tell(turn, id_of(id), "pass_on", troupe_str(""), NULL));
    for (; !of->seen && yields < 1000; yields++)
        TROUPE_TRY(troupe_yield(turn));
    of->yields[of->waiters++] = yields;
    return TROUPE_OK;
}

/* So many milliseconds. */
static troupe_status rest(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    uint64_t begun = troupe_now(turn);
    TROUPE_TRY(troupe_sleep(turn, MS(number_of(payload))));
    return troupe_reply_format(turn, "%llu", (unsigned long long)(troupe_now(turn) - begun));
}

static troupe_status touch(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)payload;
    ++*(uint32_t *)state;
    return TROUPE_OK;
}

static troupe_status wake(troupe_turn *turn, void *state)
{
    (void)turn;
    (void)state;
    return TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(toss), TROUPE_METHOD(work),
    TROUPE_METHOD(pile), TROUPE_METHOD(look), TROUPE_METHOD(see), TROUPE_METHOD(pass_on),
    TROUPE_METHOD(give_way), TROUPE_METHOD(rest)};
static const troupe_method kept_methods[] = {TROUPE_METHOD(touch)};

static troupe_node *open_driven(crowd *of, uint32_t max_fibers)
{
    *of = (crowd){.idle_at = TROUPE_NEVER};
    static troupe_type type, kept;
    type = (troupe_type){TROUPE_TYPE("c"), TROUPE_METHODS(methods), .user = of};
    kept = (troupe_type){TROUPE_TYPE("kept"), TROUPE_METHODS(kept_methods), .state_size = 4,
        .persist = TROUPE_PERSIST_ON_DEACTIVATE, .on_activate = wake};
    troupe_node *node;
    assert_ok(troupe_node_open(&(troupe_node_options){TROUPE_NODE_OPTIONS, .driven = true,
                                   .max_fibers = max_fibers, .log = "off"},
        TROUPE_TYPES(&type, &kept), &node));
    return node;
}

static void tell_many(troupe_node *node, const char *type, int count, const char *method,
    const char *payload)
{
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s/%d", type, i);
        tell(node, id, method, payload);
    }
}

/* How many steps the others made before the idle actor had its turn. */
static uint64_t steps_before_idle(troupe_node *node, crowd *of)
{
    uint64_t before = of->steps;
    tell(node, "c/idle", "look", "");
    for (int i = 0; i < 2000 && of->idle_at == TROUPE_NEVER; i++)
        (void)troupe_node_poll(node, 0);
    assert_true(of->idle_at != TROUPE_NEVER);
    return of->idle_at - before;
}

static void fairness_to_turns_that_begin_where_others_go_on_without_end(void **state)
{
    (void)state;
    crowd of;
    troupe_node *node = open_driven(&of, 0);
    tell_many(node, "c", 600, "toss", "");
    while (of.steps < 5000)
        (void)troupe_node_poll(node, 0);
    assert_in_range(steps_before_idle(node, &of), 0, 600);
    of.ended = true;
    troupe_node_close(node);
}

static void fairness_to_an_idle_actor_beside_a_busy_one(void **state)
{
    (void)state;
    crowd of;
    troupe_node *node = open_driven(&of, 0);
    tell(node, "c/busy", "pile", "5000");
    while (of.steps == 0)
        (void)troupe_node_poll(node, 0);
    assert_in_range(steps_before_idle(node, &of), 0, 400); /* a pass, a batch */
    troupe_node_close(node);
}

static void a_yield_waits_for_the_others_also_after_a_shortage_of_fibers(void **state)
{
    (void)state;
    crowd of;
    troupe_node *node = open_driven(&of, 2);
    while (of.waiters < 2) { /* the first time the actors are made, too */
        tell(node, "c/first", "give_way", "");
        for (uint32_t before = of.waiters; of.waiters == before;)
            (void)troupe_node_poll(node, 0);
    }
    tell_many(node, "c", 2, "rest", "5");
    while (stats_of(node).parked < 2)
        (void)troupe_node_poll(node, 0);
    tell_many(node, "kept", 40, "touch", "");
    while (stats_of(node).busy_fibers < 40)
        (void)troupe_node_poll(node, 0);
    while (stats_of(node).active < 40 || stats_of(node).parked != 0)
        (void)troupe_node_poll(node, MS(1));
    for (uint32_t i = 2; i < 64; i++) { /* in shares of both kinds */
        tell(node, "c/first", "give_way", "");
        while (of.waiters <= i)
            (void)troupe_node_poll(node, MS(5)); /* passes of many turns */
        assert_in_range(of.yields[i], 0, 8); /* one for each that goes first, and a few */
    }
    troupe_node_close(node);
}

/* ---- a pass has an end --------------------------------------------------------------------- */

static void a_poll_ends_with_its_budget_whoever_it_runs(void **state)
{
    (void)state;
    crowd of;
    troupe_node *node = open_driven(&of, 0);
    tell_many(node, "c", 100, "work", "100"); /* one each */
    for (int i = 0; i < 100; i++)
        tell(node, "c/one", "work", "100"); /* in batches */
    while (of.steps < 200) {
        uint64_t before = of.steps;
        (void)troupe_node_poll(node, MS(1));
        assert_in_range(of.steps - before, 0, 10 + 1);
    }
    troupe_node_close(node);
}

static void what_is_due_waits_for_a_beat_and_not_for_a_batch_of_long_turns(void **state)
{
    (void)state;
    crowd of = {.idle_at = TROUPE_NEVER};
    scene s;
    const troupe_type type = {TROUPE_TYPE("c"), TROUPE_METHODS(methods), .user = &of};
    scene_open(&s, NULL, TROUPE_TYPES(&type));
    of.world = s.world;
    call resting;
    scene_ask(&s, &resting, "c/resting", "rest", "20", NULL);
    scene_run(&s, MS(1));
    for (int i = 0; i < 200; i++)
        tell(s.node, "c/one", "work", "4000");
    scene_await(&s, &resting);
    assert_in_range(atoll(resting.got.text), MS(20), MS(40)); /* a beat, a turn, a tick */
    scene_run(&s, TROUPE_SECONDS(1));
    assert_int_equal(of.steps, 200);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fairness_to_turns_that_begin_where_others_go_on_without_end),
        cmocka_unit_test(fairness_to_an_idle_actor_beside_a_busy_one),
        cmocka_unit_test(a_yield_waits_for_the_others_also_after_a_shortage_of_fibers),
        cmocka_unit_test(a_poll_ends_with_its_budget_whoever_it_runs),
        cmocka_unit_test(what_is_due_waits_for_a_beat_and_not_for_a_batch_of_long_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
