/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn does besides calling: timers on their grid, sleeping, yielding, blocking work,
 * clean-ups, arenas, deactivating itself. In a world, so that times are exact.
 */
#include "tests/promises/scene.h"

typedef struct clock_actor {
    uint32_t ticks;
    uint64_t at[40]; /* of the first ticks */
    uint64_t nap;    /* of each tick */
    troupe_timer timer, second;
    int32_t cleanups;
    char notes[64];
} clock_actor;

static void note(clock_actor *self, const char *what)
{
    size_t size = strlen(self->notes);
    snprintf(self->notes + size, sizeof self->notes - size, "%s", what);
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    if (self->ticks < 40)
        self->at[self->ticks] = troupe_now(turn);
    self->ticks++;
    char given[256];
    note(self, text_of(payload, given));
    return self->nap != 0 ? troupe_sleep(turn, self->nap) : TROUPE_OK;
}

/* "first period nap" in milliseconds */
static troupe_status start(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    char text[256];
    unsigned first, period, nap;
    if (sscanf(text_of(payload, text), "%u %u %u", &first, &period, &nap) != 3)
        return TROUPE_USAGE;
    self->nap = MS(nap);
    TROUPE_TRY(troupe_timer_start(
        turn, "tick", troupe_str("t"), MS(first), MS(period), &self->timer));
    return troupe_reply_format(turn, "%llu", (unsigned long long)troupe_now(turn));
}

static troupe_status stop(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%d", troupe_timer_stop(turn, self->timer));
}

static troupe_status ticks(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const clock_actor *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%u", self->ticks);
}

static troupe_status look(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_bytes(turn, (troupe_slice){state, sizeof(clock_actor)});
}

static troupe_status many(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_timer timer = {0};
    uint32_t made = 0;
    troupe_status status;
    do {
        status = troupe_timer_start(
            turn, "tick", troupe_str(""), TROUPE_SECONDS(1), TROUPE_SECONDS(1), &timer);
        made += status == TROUPE_OK;
    } while (status == TROUPE_OK);
    char big[1025] = {0};
    troupe_status large = troupe_timer_start(
        turn, "tick", (troupe_slice){big, sizeof big}, 1, 1, &timer);
    troupe_status wrong = troupe_timer_start(turn, "tack", troupe_str(""), 1, 1, &timer);
    return troupe_reply_format(turn, "%u %s %s %s", made, troupe_status_name(status),
        troupe_status_name(large), troupe_status_name(wrong));
}

static troupe_status rest(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256];
    uint64_t begin = troupe_now(turn);
    TROUPE_TRY(troupe_sleep(turn, MS((uint64_t)atoi(text_of(payload, text)))));
    return troupe_reply_format(turn, "%llu", (unsigned long long)(troupe_now(turn) - begin));
}

static troupe_status step_aside(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    char text[256];
    note(self, text_of(payload, text));
    TROUPE_TRY(troupe_yield(turn));
    note(self, text_of(payload, text));
    return troupe_reply_format(turn, "%s", self->notes);
}

typedef struct heavy {
    _Atomic int runs;
    tp_world *world;
} heavy;

static void work(void *argument)
{
    heavy *self = argument;
    atomic_fetch_add(&self->runs, 1);
}

static troupe_status block(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    heavy *job = troupe_turn_user(turn);
    int before = atomic_load(&job->runs);
    TROUPE_TRY(troupe_blocking(turn, work, job));
    return troupe_reply_format(turn, "%d", atomic_load(&job->runs) > before);
}

/* Works for 3 ms, of which the shard's last reading of the clock knows nothing, then "sleep N",
 * "ask N" or "timer N": its reply is how long that took. */
static troupe_status work_then(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    const heavy *of = troupe_turn_user(turn);
    char text[256], what[16];
    unsigned duration;
    if (sscanf(text_of(payload, text), "%15s %u", what, &duration) != 2)
        return TROUPE_USAGE;
    tp_world_advance(of->world, MS(3));
    uint64_t begin = tp_world_now(of->world);
    if (what[0] == 't') {
        self->at[0] = begin;
        TROUPE_TRY(troupe_timer_start(
            turn, "ring", troupe_str(""), MS(duration), 0, &self->timer));
        return troupe_reply_format(turn, "set");
    }
    troupe_status status;
    if (what[0] == 's') {
        status = troupe_sleep(turn, MS(duration));
    } else {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        status = troupe_ask(turn, id_of("clock/slow"), "rest", troupe_str("100"),
            &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = MS(duration)}, &answer);
        troupe_answer_release(&answer);
    }
    return troupe_reply_format(turn, "%s %llu", troupe_status_name(status),
        (unsigned long long)(tp_world_now(of->world) - begin));
}

static troupe_status ring(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    const heavy *of = troupe_turn_user(turn);
    (void)payload;
    self->at[1] = tp_world_now(of->world);
    return TROUPE_OK;
}

typedef struct cleanup {
    clock_actor *self;
    const char *what;
} cleanup;

static void clean(void *argument)
{
    cleanup *given = argument;
    given->self->cleanups++;
    note(given->self, given->what);
}

static troupe_status tidy(troupe_turn *turn, void *state, troupe_slice payload)
{
    clock_actor *self = state;
    char how[256];
    text_of(payload, how);
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        cleanup *given = troupe_turn_alloc(turn, sizeof *given);
        *given = (cleanup){self, names[i]};
        TROUPE_TRY(troupe_defer(turn, clean, given));
    }
    if (strcmp(how, "panic") == 0)
        troupe_panic(turn, "as told");
    if (strcmp(how, "fail") == 0)
        return troupe_fail(turn, TROUPE_APPLICATION, "as told");
    if (strcmp(how, "sleep") == 0)
        TROUPE_TRY(troupe_sleep(turn, MS(5)));
    return troupe_reply_format(turn, "%d", self->cleanups);
}

static troupe_status allocate(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256];
    size_t size = (size_t)atoi(text_of(payload, text));
    char *begin = troupe_turn_alloc(turn, size);
    char *kept = troupe_actor_alloc(turn, 64);
    memset(begin, 1, size);
    memset(kept, 2, 64);
    return troupe_reply_format(
        turn, "%d", ((uintptr_t)begin | (uintptr_t)kept) % 16 == 0);
}

static troupe_status hoard(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    memset(troupe_actor_alloc(turn, 4096), 1, 4096);
    return troupe_reply_format(turn, "more");
}

static troupe_status leave(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_deactivate(turn);
    return troupe_reply_format(turn, "bye");
}

static const troupe_method clock_methods[] = {TROUPE_METHOD(tick), TROUPE_METHOD(start),
    TROUPE_METHOD(stop), TROUPE_READ_METHOD(ticks), TROUPE_READ_METHOD(look), TROUPE_METHOD(many),
    TROUPE_METHOD(rest), TROUPE_METHOD(step_aside), TROUPE_METHOD(block), TROUPE_METHOD(tidy),
    TROUPE_METHOD(allocate), TROUPE_METHOD(hoard), TROUPE_METHOD(leave), TROUPE_METHOD(work_then),
    TROUPE_METHOD(ring)};

static troupe_type clock_type(heavy *job)
{
    return (troupe_type){TROUPE_TYPE("clock"), .state_size = sizeof(clock_actor),
        TROUPE_METHODS(clock_methods), .keep_on_failure = true, .arena_limit = 65536,
        .supervision = {.on_panic = TROUPE_SUPERVISE_RESUME}, .user = job};
}

typedef struct clocks {
    scene s;
    troupe_type type, open;
    heavy job;
} clocks;

static void open_clocks(clocks *self, const troupe_node_options *options)
{
    memset(&self->job, 0, sizeof self->job);
    self->type = clock_type(&self->job);
    self->open = clock_type(&self->job);
    self->open.name = "open";
    self->open.reentrancy = TROUPE_REENTRANCY_ALWAYS;
    scene_open(&self->s, options, TROUPE_TYPES(&self->type, &self->open));
    self->job.world = self->s.world;
}

static clock_actor look_at(scene *s, const char *id)
{
    clock_actor seen;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_ok(troupe_node_ask(s->node, id_of(id), "look", troupe_str(""), NULL, &answer));
    assert_int_equal(answer.payload.size, sizeof seen);
    memcpy(&seen, answer.payload.data, sizeof seen);
    troupe_answer_release(&answer);
    return seen;
}

/* ---- timers -------------------------------------------------------------------------------- */

static void a_timer_ticks_on_the_grid_of_its_period_without_drift(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    scene *s = &c.s;
    uint64_t begin = strtoull(ask(s->node, "clock/1", "start", "10 20 0").text, NULL, 10);
    scene_run(s, MS(10 + 20 * 30 + 5));
    clock_actor seen = look_at(s, "clock/1");
    assert_int_equal(seen.ticks, 31);
    for (uint64_t i = 0; i < 31; i++) /* never early, never later than a tick of the wheel */
        assert_in_range(seen.at[i] - begin, MS(10 + 20 * i), MS(10 + 20 * i) + TICK);
    assert_int_equal(stats_of(s->node).timers, 31);
    assert_int_equal(seen.notes[0], 't');
    scene_close(s);
}

static void a_timer_without_a_period_ticks_once(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    ask(c.s.node, "clock/1", "start", "10 0 0");
    scene_run(&c.s, TROUPE_SECONDS(10));
    assert_string_equal(ask(c.s.node, "clock/1", "ticks", "").text, "1");
    assert_string_equal(ask(c.s.node, "clock/1", "stop", "").text, "0"); /* it is gone */
    scene_close(&c.s);
}

static void a_stopped_timer_ticks_no_more(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    ask(c.s.node, "clock/1", "start", "10 10 0");
    scene_run(&c.s, MS(35));
    assert_string_equal(ask(c.s.node, "clock/1", "stop", "").text, "1");
    scene_run(&c.s, TROUPE_SECONDS(1));
    assert_string_equal(ask(c.s.node, "clock/1", "ticks", "").text, "3");
    assert_string_equal(ask(c.s.node, "clock/1", "stop", "").text, "0");
    scene_close(&c.s);
}

static void a_tick_that_finds_the_last_one_waiting_is_left_out(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    ask(c.s.node, "clock/1", "start", "10 10 35"); /* a turn takes three periods and a half */
    scene_run(&c.s, MS(10 + 35 * 10));
    assert_int_equal(stats_of(c.s.node).queued, 1); /* 36 moments passed; it was not buried */
    assert_in_range(look_at(&c.s, "clock/1").ticks, 10, 12);
    assert_string_equal(ask(c.s.node, "clock/1", "stop", "").text, "1"); /* takes the waiting one */
    uint32_t ticks_then = look_at(&c.s, "clock/1").ticks;
    scene_run(&c.s, TROUPE_SECONDS(1));
    assert_int_equal(look_at(&c.s, "clock/1").ticks, ticks_then);
    scene_close(&c.s);
}

static void a_timer_ends_with_its_activation_and_does_not_keep_it(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, &(troupe_node_options){TROUPE_NODE_OPTIONS, .idle = TROUPE_SECONDS(1)});
    ask(c.s.node, "clock/1", "start", "5000 5000 0"); /* rarer than the idle age */
    scene_run(&c.s, TROUPE_SECONDS(3));
    assert_int_equal(stats_of(c.s.node).active, 0);
    scene_run(&c.s, TROUPE_SECONDS(30));
    assert_int_equal(stats_of(c.s.node).timers, 0);
    assert_int_equal(stats_of(c.s.node).activations, 1);
    scene_close(&c.s);
}

static void timers_are_bounded_and_refuse_what_is_wrong(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    assert_string_equal(
        ask(c.s.node, "clock/1", "many", "").text, "64 BUSY TOO_LARGE NO_METHOD");
    scene_close(&c.s);
}

/* ---- sleeping, yielding, blocking ---------------------------------------------------------- */

static void a_sleep_takes_its_time_and_holds_up_nobody_else(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    call calls[20];
    uint64_t begin = tp_world_now(c.s.world);
    for (int i = 0; i < 20; i++) {
        char id[32];
        snprintf(id, sizeof id, "clock/%d", i);
        scene_ask(&c.s, &calls[i], id, "rest", "100", NULL);
    }
    scene_run(&c.s, MS(10));
    assert_int_equal(stats_of(c.s.node).parked, 20);
    assert_heard(ask(c.s.node, "clock/awake", "ticks", ""), TROUPE_OK);
    for (int i = 0; i < 20; i++) {
        scene_await(&c.s, &calls[i]);
        assert_in_range(atoll(calls[i].got.text), MS(100), MS(100) + TICK);
    }
    assert_true(tp_world_now(c.s.world) - begin < MS(103)); /* all of them at the same time */
    scene_close(&c.s);
}

static void no_time_is_over_early_when_the_turn_worked_before(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    unsigned long long took = 0;
    assert_int_equal(
        sscanf(ask(c.s.node, "clock/1", "work_then", "sleep 5").text, "OK %llu", &took), 1);
    assert_in_range(took, MS(5), MS(5) + TICK);
    assert_int_equal(
        sscanf(ask(c.s.node, "clock/1", "work_then", "ask 5").text, "TIMEOUT %llu", &took), 1);
    assert_in_range(took, MS(5), MS(5) + TICK);
    assert_string_equal(ask(c.s.node, "clock/1", "work_then", "timer 5").text, "set");
    scene_run(&c.s, MS(20));
    clock_actor seen = look_at(&c.s, "clock/1");
    assert_in_range(seen.at[1] - seen.at[0], MS(5), MS(5) + TICK);
    scene_close(&c.s);
}

static void a_yield_lets_the_others_that_are_ready_go_first(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    call one, two;
    scene_ask(&c.s, &one, "open/1", "step_aside", "A", NULL);
    scene_ask(&c.s, &two, "open/1", "step_aside", "B", NULL);
    scene_await(&c.s, &one);
    scene_await(&c.s, &two);
    assert_string_equal(two.got.text, "ABAB");
    scene_close(&c.s);
}

static void blocking_work_runs_beside_the_shard_and_its_turn_goes_on_after_it(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    assert_string_equal(ask(c.s.node, "clock/1", "block", "").text, "1");
    assert_int_equal(atomic_load(&c.job.runs), 1);
    call slow;
    scene_ask(&c.s, &slow, "clock/2", "block", "", NULL);
    assert_heard(ask(c.s.node, "clock/3", "ticks", ""), TROUPE_OK);
    scene_await(&c.s, &slow);
    assert_heard(slow.got, TROUPE_OK);
    scene_close(&c.s);
}

/* ---- clean-ups, arenas --------------------------------------------------------------------- */

static void deferred_cleanups_run_last_registered_first_however_the_turn_ends(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    static const char *const ends[] = {"reply", "fail", "sleep"};
    for (int i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof id, "clock/%d", i);
        heard got = ask(c.s.node, id, "tidy", ends[i]);
        assert_heard(got, i == 1 ? TROUPE_APPLICATION : TROUPE_OK);
        assert_string_equal(look_at(&c.s, id).notes, "cba");
        assert_int_equal(look_at(&c.s, id).cleanups, 3);
    }
    scene_close(&c.s);
}

static const troupe_method plain_methods[] = {TROUPE_METHOD(tidy), TROUPE_READ_METHOD(look)};

static void deferred_cleanups_run_after_a_panic(void **state)
{
    (void)state;
    scene s;
    /* Restores its state before the clean-ups, and resumes with it. */
    const troupe_type type = {TROUPE_TYPE("plain"), .state_size = sizeof(clock_actor),
        TROUPE_METHODS(plain_methods)};
    scene_open(&s, NULL, TROUPE_TYPES(&type));
    assert_heard(ask(s.node, "plain/1", "tidy", "panic"), TROUPE_PANIC);
    assert_string_equal(look_at(&s, "plain/1").notes, "cba");
    scene_close(&s);
}

static void arenas_are_given_back_at_the_end_of_turn_and_activation(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    assert_string_equal(ask(c.s.node, "clock/1", "allocate", "60000").text, "1");
    uint64_t before = stats_of(c.s.node).bytes;
    for (int i = 0; i < 20; i++) /* a turn's arena begins anew each time */
        assert_string_equal(ask(c.s.node, "clock/1", "allocate", "60000").text, "1");
    assert_true(stats_of(c.s.node).bytes < before + 4 * 1024);
    assert_string_equal(ask(c.s.node, "clock/1", "leave", "").text, "bye");
    scene_run(&c.s, MS(1));
    assert_int_equal(stats_of(c.s.node).active, 0);
    scene_close(&c.s);
}

static void an_exhausted_arena_is_a_panic_of_its_own_actor_only(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    heard got = ask(c.s.node, "clock/1", "allocate", "70000");
    assert_heard(got, TROUPE_PANIC);
    assert_says(got.text, "clock/1");
    assert_says(got.text, "arena");
    for (int i = 0; i < 16; i++)
        got = ask(c.s.node, "clock/2", "hoard", "");
    assert_heard(got, TROUPE_OK);
    assert_heard(ask(c.s.node, "clock/2", "hoard", ""), TROUPE_PANIC);
    assert_heard(ask(c.s.node, "clock/3", "allocate", "1000"), TROUPE_OK);
    scene_run(&c.s, TROUPE_SECONDS(1));
    assert_heard(ask(c.s.node, "clock/1", "allocate", "1000"), TROUPE_OK);
    assert_heard(ask(c.s.node, "clock/2", "hoard", ""), TROUPE_OK); /* a fresh activation's */
    scene_close(&c.s);
}

static void an_actor_that_asks_to_leave_is_deactivated_and_comes_back_anew(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    ask(c.s.node, "clock/1", "tick", "x");
    ask(c.s.node, "clock/1", "leave", "");
    scene_run(&c.s, MS(1));
    troupe_stats stats = stats_of(c.s.node);
    assert_int_equal(stats.active, 0);
    assert_int_equal(stats.deactivations, 1);
    assert_string_equal(ask(c.s.node, "clock/1", "ticks", "").text, "0");
    assert_int_equal(stats_of(c.s.node).activations, 2);
    scene_close(&c.s);
}

static void a_message_that_waits_is_served_before_an_actor_leaves(void **state)
{
    (void)state;
    clocks c;
    open_clocks(&c, NULL);
    call calls[4];
    scene_ask(&c.s, &calls[0], "clock/1", "leave", "", NULL);
    for (int i = 1; i < 4; i++)
        scene_ask(&c.s, &calls[i], "clock/1", "ticks", "", NULL);
    scene_run(&c.s, MS(5));
    for (int i = 0; i < 4; i++)
        assert_heard(calls[i].got, TROUPE_OK);
    assert_int_equal(stats_of(c.s.node).active, 0);
    assert_int_equal(stats_of(c.s.node).activations, 1);
    scene_close(&c.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_ticks_on_the_grid_of_its_period_without_drift),
        cmocka_unit_test(a_timer_without_a_period_ticks_once),
        cmocka_unit_test(a_stopped_timer_ticks_no_more),
        cmocka_unit_test(a_tick_that_finds_the_last_one_waiting_is_left_out),
        cmocka_unit_test(a_timer_ends_with_its_activation_and_does_not_keep_it),
        cmocka_unit_test(timers_are_bounded_and_refuse_what_is_wrong),
        cmocka_unit_test(a_sleep_takes_its_time_and_holds_up_nobody_else),
        cmocka_unit_test(no_time_is_over_early_when_the_turn_worked_before),
        cmocka_unit_test(a_yield_lets_the_others_that_are_ready_go_first),
        cmocka_unit_test(blocking_work_runs_beside_the_shard_and_its_turn_goes_on_after_it),
        cmocka_unit_test(deferred_cleanups_run_last_registered_first_however_the_turn_ends),
        cmocka_unit_test(deferred_cleanups_run_after_a_panic),
        cmocka_unit_test(arenas_are_given_back_at_the_end_of_turn_and_activation),
        cmocka_unit_test(an_exhausted_arena_is_a_panic_of_its_own_actor_only),
        cmocka_unit_test(an_actor_that_asks_to_leave_is_deactivated_and_comes_back_anew),
        cmocka_unit_test(a_message_that_waits_is_served_before_an_actor_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
