/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reminders and waking where things go wrong: a store that fails by plan, nodes one after the other
 * on one store, a wall clock that is set, an actor that saves seldom; and a driven node. All but
 * the last in a world with virtual time.
 */
#include "tests/promises/stand.h"

typedef struct bell {
    uint64_t rings, missed, due;
} bell;

static troupe_status set(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char schedule[64];
    snprintf(schedule, sizeof schedule, "%.*s", TROUPE_ARG(in));
    TROUPE_TRY(troupe_remind(turn, "x", schedule, "ring", (troupe_slice){NULL, 0}, NULL));
    return troupe_reply_bytes(turn, troupe_str("set"));
}

static troupe_status ring(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    bell *self = state;
    troupe_reminder now;
    if (!troupe_turn_reminder(turn, &now))
        return TROUPE_OK;
    self->rings++;
    self->missed += now.missed;
    if (troupe_wall(turn) < now.due || now.due <= self->due)
        self->rings += 1000000; /* early, or the same twice */
    self->due = now.due;
    return TROUPE_OK;
}

static void add_number(void *user, const troupe_reminder *reminder)
{
    *(uint64_t *)user = reminder->number;
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const bell *self = state;
    uint64_t next = 0;
    troupe_reminders_each(turn, add_number, &next);
    return troupe_reply_format(turn, "%llu rings, %llu missed, next #%llu",
        (unsigned long long)self->rings, (unsigned long long)self->missed,
        (unsigned long long)next);
}

static troupe_status bump(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    bell *self = state;
    self->rings++;
    return troupe_reply_bytes(turn, troupe_str("more"));
}

static troupe_status quit(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_deactivate(turn);
    return troupe_reply_bytes(turn, troupe_str("bye"));
}

static const troupe_method methods[] = {TROUPE_METHOD(set), TROUPE_METHOD(ring),
    TROUPE_READ_METHOD(show), TROUPE_METHOD(bump), TROUPE_READ_METHOD_NAMED("peek", show),
    TROUPE_METHOD(quit)};
static const troupe_type bell_type = {TROUPE_TYPE("bell"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type seldom_type = {TROUPE_TYPE("seldom"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_N, .snapshot_interval = 2};

static void open_stand(stand *self, uint64_t seed, uint64_t idle)
{
    static const troupe_type *const types[] = {&bell_type, &seldom_type};
    stand_open(self, seed, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .idle = idle},
        types, 2);
}

static void plan(stand *self, uint32_t chance)
{
    const tp_fault_plan wrong = {.chances = {[TP_FAULT_REFUSED] = chance,
                                     [TP_FAULT_LOST] = chance,
                                     [TP_FAULT_SILENT] = chance,
                                     [TP_FAULT_LATE] = chance,
                                     [TP_FAULT_TWICE] = chance}};
    tp_faulty_store_plan(self->store, &wrong);
}

static void assert_shows(stand *self, const char *id, const char *text)
{
    heard got = ask(self->node, id, "show", "");
    assert_heard(got, TROUPE_OK);
    assert_string_equal(got.text, text);
}

static void a_reminder_whose_commit_fails_is_not_set(void **state)
{
    (void)state;
    stand at;
    open_stand(&at, 1, 0);
    const tp_fault_plan next = {
        .kinds = 1u << TROUPE_STORE_COMMIT, .at = 1, .fault = TP_FAULT_REFUSED};
    tp_faulty_store_plan(at.store, &next);
    heard got = ask(at.node, "bell/a", "set", "every 1s");
    assert_status(got.status, TROUPE_UNAVAILABLE);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    stand_run(&at, TROUPE_SECONDS(10));
    assert_shows(&at, "bell/a", "0 rings, 0 missed, next #0");
    stand_close(&at);
}

/* Whatever the store does, and now and then without memory: each due time once, or missed and told.
 */
static void weather(uint64_t seed)
{
    stand at;
    open_stand(&at, seed, TROUPE_MILLISECONDS(700));
    assert_ok(ask(at.node, "bell/a", "set", "every 1s").status);
    for (int i = 0; i < 4; i++) {
        plan(&at, 60);
        tp_world_fail_memory(at.world, seed % 2 == 0 ? 30 : 0, 0, 0);
        stand_run(&at, TROUPE_SECONDS(20));
        plan(&at, 0);
        tp_world_fail_memory(at.world, 0, 0, 0);
        tp_faulty_store_land(at.store);
        stand_close_node(&at);
        stand_run(&at, TROUPE_SECONDS(3));
        stand_open_node(&at);
    }
    stand_run(&at, TROUPE_SECONDS(90));
    heard got = ask(at.node, "bell/a", "show", "");
    assert_heard(got, TROUPE_OK);
    unsigned long long rings = 0, missed = 0, next = 0;
    assert_int_equal(
        sscanf(got.text, "%llu rings, %llu missed, next #%llu", &rings, &missed, &next), 3);
    if (rings + missed + 1 != next || next < 170 || rings < 60)
        print_error("seed %llu: %s\n", (unsigned long long)seed, got.text);
    assert_int_equal(rings + missed + 1, next);
    assert_true(next >= 170);
    assert_true(rings >= 60);
    stand_close(&at);
}

static void each_due_time_fires_once_or_is_missed_whatever_goes_wrong(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        weather(seed);
}

static void all_that_slept_through_a_stop_are_woken_in_pages(void **state)
{
    (void)state;
    enum { ACTORS = 600 };
    stand at;
    open_stand(&at, 1, 0);
    for (int i = 0; i < ACTORS; i++) {
        char id[32];
        snprintf(id, sizeof id, "bell/%d", i);
        assert_ok(ask(at.node, id, "set", i % 2 == 0 ? "in 1h" : "in 10h").status);
    }
    stand_close_node(&at);
    stand_run(&at, TROUPE_HOURS(2));
    stand_open_node(&at);
    stand_run(&at, TROUPE_SECONDS(2));
    assert_int_equal(stats_of(at.node).reminders, ACTORS / 2);
    stand_run(&at, TROUPE_HOURS(9));
    assert_int_equal(stats_of(at.node).reminders, ACTORS);
    assert_shows(&at, "bell/599", "1 rings, 0 missed, next #0");
    stand_close(&at);
}

static uint64_t ahead;

static uint64_t stepped_wall(tp_env *env)
{
    return env->now(env) + UINT64_C(1700000000000000000) + ahead;
}

static void a_wall_clock_that_is_set_is_noticed(void **state)
{
    (void)state;
    stand at;
    ahead = 0;
    open_stand(&at, 1, 0);
    at.env->wall = stepped_wall;
    assert_ok(ask(at.node, "bell/forth", "set", "in 1h").status);
    stand_run(&at, TROUPE_SECONDS(5));
    ahead = TROUPE_HOURS(1);
    stand_run(&at, TROUPE_SECONDS(61));
    assert_shows(&at, "bell/forth", "1 rings, 0 missed, next #0");
    assert_ok(ask(at.node, "bell/back", "set", "in 30m").status);
    ahead = 0;
    stand_run(&at, TROUPE_MINUTES(60));
    assert_shows(&at, "bell/back", "0 rings, 0 missed, next #1"); /* never early */
    stand_run(&at, TROUPE_MINUTES(31));
    assert_shows(&at, "bell/back", "1 rings, 0 missed, next #0");
    stand_close(&at);
}

static void an_actor_that_saves_seldom_keeps_its_state_and_its_reminder(void **state)
{
    (void)state;
    stand at;
    open_stand(&at, 1, 0);
    for (int i = 0; i < 3; i++) {
        assert_ok(ask(at.node, "seldom/a", "bump", "").status);
        assert_ok(ask(at.node, "seldom/a", "quit", "").status);
        stand_run(&at, TROUPE_SECONDS(1));
        assert_int_equal(stats_of(at.node).active, 0);
    }
    assert_ok(ask(at.node, "seldom/a", "set", "in 1m").status);
    assert_ok(ask(at.node, "seldom/a", "bump", "").status);
    assert_ok(ask(at.node, "seldom/a", "quit", "").status);
    stand_close_node(&at);
    stand_open_node(&at);
    stand_run(&at, TROUPE_SECONDS(70));
    assert_int_equal(stats_of(at.node).wakes, 1);
    assert_shows(&at, "seldom/a", "5 rings, 0 missed, next #0");
    stand_close(&at);
}

/* ---- driven ---------------------------------------------------------------------------------- */

static bool has_rung(void *user)
{
    return stats_of(user).reminders >= 3;
}

static void a_driven_node_fires_reminders_when_it_is_polled(void **state)
{
    (void)state;
    troupe_node *node = NULL;
    assert_ok(
        troupe_node_open(&(troupe_node_options){TROUPE_NODE_OPTIONS, .driven = true, .log = "off"},
            TROUPE_TYPES(&bell_type), &node));
    assert_ok(ask(node, "bell/a", "set", "every 20ms").status);
    uint64_t rest = troupe_node_poll(node, 0);
    assert_true(rest <= TROUPE_MILLISECONDS(25));
    assert_true(comes_true(has_rung, node)); /* which polls it */
    troupe_node_close(node);
}

/* ---- a store that lists what no node can have ------------------------------------------------ */

typedef struct strange {
    troupe_store store; /* first */
    troupe_store *inner;
    _Atomic uint32_t first_pages, later_pages;
} strange;

static void strange_run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    static char key[TP_ID_MAX + 2];
    strange *self = (strange *)(void *)store;
    self->inner->run(self->inner, ops, count);
    for (size_t i = 0; i < count; i++) {
        troupe_store_op *op = ops[i];
        if (op->kind != TROUPE_STORE_LIST_DUE || op->status != TROUPE_OK)
            continue;
        if (op->after.size != 0)
            atomic_fetch_add(&self->later_pages, 1);
        if (op->after.size != 0 || op->items == NULL)
            continue;
        atomic_fetch_add(&self->first_pages, 1);
        memset(key, 'x', sizeof key);
        const troupe_store_item item = {.key = {key, sizeof key}, .time = op->items->time};
        assert_ok(troupe_store_add(op, &item));
        op->more = true;
    }
}

static void strange_close(troupe_store *store)
{
    (void)store;
}

/* The last of the page is one: the page behind it is asked for none the less. */
static void a_page_with_an_id_that_no_actor_has_does_not_end_the_scan(void **state)
{
    (void)state;
    stand at;
    open_stand(&at, 9, 0);
    assert_ok(ask(at.node, "bell/a", "set", "every 1s").status);
    assert_ok(ask(at.node, "bell/b", "set", "every 1s").status);
    stand_close_node(&at);
    strange wrap = {.inner = tp_faulty_store_get(at.store)};
    wrap.store = *wrap.inner;
    wrap.store.run = strange_run;
    wrap.store.close = strange_close;
    char error[256] = "";
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2, .log = "off",
        .wake_scan = TROUPE_NEVER, .allocator = tp_world_allocator(at.world)};
    at.env = tp_world_env(at.world);
    troupe_status status = tp_node_open_on(at.env, true, &wrap.store, &options,
        TROUPE_TYPES(&bell_type, &seldom_type), &at.node, error, sizeof error);
    check_status(status, TROUPE_OK, error, __FILE__, __LINE__);
    stand_run(&at, TROUPE_SECONDS(5));
    assert_int_equal(atomic_load(&wrap.first_pages), 1);
    assert_int_equal(stats_of(at.node).wakes, 2);
    assert_int_equal(atomic_load(&wrap.later_pages), 1);
    stand_close_node(&at);
    stand_open_node(&at);
    stand_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reminder_whose_commit_fails_is_not_set),
        cmocka_unit_test(each_due_time_fires_once_or_is_missed_whatever_goes_wrong),
        cmocka_unit_test(all_that_slept_through_a_stop_are_woken_in_pages),
        cmocka_unit_test(a_page_with_an_id_that_no_actor_has_does_not_end_the_scan),
        cmocka_unit_test(a_wall_clock_that_is_set_is_noticed),
        cmocka_unit_test(an_actor_that_saves_seldom_keeps_its_state_and_its_reminder),
        cmocka_unit_test(a_driven_node_fires_reminders_when_it_is_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
