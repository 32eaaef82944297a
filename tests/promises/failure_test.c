/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P11, failure stays put: what a failing turn leaves behind, and what each policy of supervision
 * does about it. In a world, so that back-offs are exact; the last test under load with threads.
 */
#include "tests/promises/scene.h"

typedef struct fragile {
    uint64_t value;
    char padding[600]; /* more than what a turn keeps on its stack */
} fragile;

typedef struct small {
    uint64_t value;
} small;

/* What happened to the actors of a test. */
typedef struct fate {
    _Atomic uint32_t activated, deactivated, discarded, delivered;
    _Atomic bool calm; /* turns that are to panic do not */
    bool falls, refuses; /* on_activate panics, or fails */
    uint64_t at[16];   /* times of the activations */
    tp_world *world;
} fate;

static troupe_status set(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    small *self = state;
    self->value++;
    return troupe_reply_format(turn, "%llu", (unsigned long long)self->value);
}

static troupe_status get(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%llu", (unsigned long long)((const small *)state)->value);
}

static troupe_status boom(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    small *self = state;
    fate *of = troupe_turn_user(turn);
    atomic_fetch_add(&of->delivered, 1);
    if (atomic_load(&of->calm))
        return troupe_reply_format(turn, "%llu", (unsigned long long)self->value);
    self->value += 100;
    memset(troupe_turn_alloc(turn, 5000), 1, 5000);
    TROUPE_REQUIRE(turn, self->value < 100);
    return troupe_reply_format(turn, "survived");
}

static troupe_status boom_later(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    small *self = state;
    self->value += 10;
    TROUPE_TRY(troupe_sleep(turn, MS(10)));
    self->value += 100;
    troupe_panic(turn, "after %d ms", 10);
}

static troupe_status err(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)payload;
    ((small *)state)->value += 100;
    return TROUPE_CORRUPT;
}

static troupe_status refuse(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    ((small *)state)->value += 100;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

static troupe_status wait(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_sleep(turn, MS(20)));
    return troupe_reply_format(turn, "waited");
}

static troupe_status rise(troupe_turn *turn, void *state)
{
    (void)state;
    fate *of = troupe_turn_user(turn);
    uint32_t number = atomic_fetch_add(&of->activated, 1);
    if (of->world != NULL && number < 16)
        of->at[number] = tp_world_now(of->world);
    if (of->falls)
        troupe_panic(turn, "it fell at its %u. rise", number + 1);
    if (of->refuses)
        return troupe_fail(turn, TROUPE_UNAVAILABLE, "the shop is %s", "shut");
    return TROUPE_OK;
}

static void lower(troupe_turn *turn, void *state, troupe_reason reason)
{
    (void)state;
    (void)reason;
    atomic_fetch_add(&((fate *)troupe_turn_user(turn))->deactivated, 1);
}

static const troupe_method methods[] = {TROUPE_METHOD(set), TROUPE_READ_METHOD(get),
    TROUPE_METHOD(boom), TROUPE_METHOD(boom_later), TROUPE_METHOD(err), TROUPE_METHOD(refuse),
    TROUPE_METHOD(wait)};

typedef struct stage {
    scene s;
    fate of;
    troupe_type type, bystander;
} stage;

static void open_stage(stage *self, troupe_supervision policy, size_t state_size)
{
    memset(&self->of, 0, sizeof self->of);
    self->type = (troupe_type){TROUPE_TYPE("fragile"), .state_size = state_size,
        TROUPE_METHODS(methods), .on_activate = rise, .on_deactivate = lower,
        .supervision = policy, .user = &self->of};
    self->bystander = (troupe_type){TROUPE_TYPE("bystander"), .state_size = sizeof(small),
        TROUPE_METHODS(methods), .user = &self->of};
    scene_open(&self->s, NULL, TROUPE_TYPES(&self->type, &self->bystander));
    self->of.world = self->s.world;
}

/* ---- state --------------------------------------------------------------------------------- */

static void a_failed_turn_leaves_the_bytes_of_the_state_as_they_were(void **state)
{
    (void)state;
    static const size_t sizes[] = {sizeof(small), sizeof(fragile)};
    for (int i = 0; i < 2; i++) {
        stage t;
        open_stage(&t, (troupe_supervision){0}, sizes[i]);
        troupe_node *node = t.s.node;
        ask(node, "fragile/a", "set", "");
        assert_heard(ask(node, "fragile/a", "boom", ""), TROUPE_PANIC);
        assert_string_equal(ask(node, "fragile/a", "get", "").text, "1");
        heard got = ask(node, "fragile/a", "err", "");
        assert_heard(got, TROUPE_CORRUPT);
        assert_int_equal(got.outcome, TROUPE_NOT_DONE); /* nothing of it is left */
        assert_heard(ask(node, "fragile/a", "refuse", ""), TROUPE_APPLICATION);
        assert_string_equal(ask(node, "fragile/a", "get", "").text, "1");
        scene_close(&t.s);
    }
}

static void a_turn_that_parked_and_failed_says_unknown(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){0}, sizeof(small));
    heard got = ask(t.s.node, "fragile/a", "boom_later", "");
    assert_heard(got, TROUPE_PANIC);
    assert_int_equal(got.outcome, TROUPE_UNKNOWN_OUTCOME);
    assert_says(got.text, "fragile/a");
    assert_says(got.text, "boom_later");
    assert_says(got.text, "after 10 ms");
    scene_close(&t.s);
}

/* ---- policies ------------------------------------------------------------------------------ */

static void a_panic_names_actor_method_and_place_and_is_counted_and_logged(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){0}, sizeof(small));
    heard got = ask(t.s.node, "fragile/a", "boom", "");
    assert_says(got.text, "fragile/a boom");
    assert_says(got.text, "failure_test.c");
    assert_says(got.text, "self->value < 100");
    assert_int_equal(stats_of(t.s.node).panics, 1);
    assert_says(tape_text(t.s.log, "turn_panicked"), "type=fragile key=a method=boom");
    scene_close(&t.s);
}

static void resume_keeps_the_activation(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){.on_panic = TROUPE_SUPERVISE_RESUME}, sizeof(small));
    for (int i = 0; i < 5; i++)
        assert_heard(ask(t.s.node, "fragile/a", "boom", ""), TROUPE_PANIC);
    assert_string_equal(ask(t.s.node, "fragile/a", "set", "").text, "1");
    assert_int_equal(t.of.activated, 1);
    assert_int_equal(stats_of(t.s.node).restarts, 0);
    scene_close(&t.s);
}

static void restart_makes_a_fresh_activation_after_the_back_off(void **state)
{
    (void)state;
    stage t;
    const troupe_supervision policy = {.on_panic = TROUPE_SUPERVISE_RESTART, .backoff = MS(100)};
    open_stage(&t, policy, sizeof(small));
    for (uint32_t i = 0; i < 5; i++) {
        ask(t.s.node, "fragile/a", "set", ""); /* a success: the next failure is the first */
        uint64_t begin = tp_world_now(t.s.world);
        assert_heard(ask(t.s.node, "fragile/a", "boom", ""), TROUPE_PANIC);
        assert_string_equal(ask(t.s.node, "fragile/a", "get", "").text, "0"); /* waited for it */
        assert_int_equal(t.of.activated, i + 2);
        assert_int_equal(t.of.deactivated, 0); /* it ended by failure */
        assert_in_range(t.of.at[i + 1] - begin, MS(80), MS(100) + 2 * TICK);
    }
    assert_int_equal(stats_of(t.s.node).restarts, 5);
    scene_close(&t.s);
}

static void failures_in_a_row_double_the_back_off_up_to_its_cap(void **state)
{
    (void)state;
    stage t;
    const troupe_supervision policy = {.on_panic = TROUPE_SUPERVISE_RESTART,
        .backoff = MS(100), .backoff_cap = MS(500), .jitter = 20};
    open_stage(&t, policy, sizeof(small));
    static const uint64_t most[] = {0, 100, 200, 400, 500, 500};
    uint64_t last = tp_world_now(t.s.world);
    bool is_jittered = false;
    for (uint32_t i = 0; i < 6; i++) {
        call only;
        scene_ask(&t.s, &only, "fragile/a", "boom", "", NULL);
        scene_await(&t.s, &only);
        assert_heard(only.got, TROUPE_PANIC);
        uint64_t pause = t.of.at[i] - last;
        assert_in_range(pause, MS(most[i]) / 100 * 80, MS(most[i]) + 2 * TICK);
        is_jittered |= i != 0 && pause < MS(most[i]) - TICK;
        last = tp_world_now(t.s.world);
    }
    assert_true(is_jittered);
    scene_close(&t.s);
}

static void a_failing_activation_is_tried_again_after_its_back_off(void **state)
{
    (void)state;
    for (int panics = 0; panics < 2; panics++) {
        stage t;
        open_stage(&t,
            (troupe_supervision){.on_panic = TROUPE_SUPERVISE_RESTART,
                .on_error = TROUPE_SUPERVISE_RESTART, .backoff = MS(100), .backoff_cap = MS(150),
                .jitter = 1},
            sizeof(small));
        t.of.falls = panics;
        t.of.refuses = !panics;
        for (int i = 0; i < 4; i++)
            assert_heard(ask(t.s.node, "fragile/a", "get", ""),
                panics ? TROUPE_PANIC : TROUPE_UNAVAILABLE);
        assert_int_equal(t.of.activated, 4); /* none is tried before its time */
        assert_in_range(t.of.at[1] - t.of.at[0], MS(99), MS(101) + TICK);
        assert_in_range(t.of.at[2] - t.of.at[1], MS(148), MS(151) + TICK);
        assert_in_range(t.of.at[3] - t.of.at[2], MS(148), MS(151) + TICK);
        assert_int_equal(stats_of(t.s.node).restarts, 4);
        t.of.falls = t.of.refuses = false;
        assert_string_equal(ask(t.s.node, "fragile/a", "set", "").text, "1");
        t.of.falls = true; /* a call that went well ends the row */
        assert_heard(ask(t.s.node, "fragile/a", "boom", ""), TROUPE_PANIC);
        scene_run(&t.s, MS(101));
        assert_heard(ask(t.s.node, "fragile/a", "get", ""), TROUPE_PANIC);
        scene_close(&t.s);
    }
}

static void a_failing_activation_by_another_policy_is_tried_at_once(void **state)
{
    (void)state;
    static const troupe_supervise policies[] = {TROUPE_SUPERVISE_RESUME, TROUPE_SUPERVISE_STOP};
    for (int i = 0; i < 2; i++) {
        stage t;
        open_stage(&t,
            (troupe_supervision){.on_panic = policies[i], .on_error = policies[i]}, sizeof(small));
        t.of.refuses = true;
        for (int j = 0; j < 3; j++)
            assert_heard(ask(t.s.node, "fragile/a", "get", ""), TROUPE_UNAVAILABLE);
        assert_int_equal(t.of.activated, 3);
        assert_in_range(t.of.at[2] - t.of.at[0], 0, TICK);
        scene_close(&t.s);
    }
}

static void the_words_of_a_failing_activation_reach_who_asked_and_the_log(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){0}, sizeof(small));
    t.of.refuses = true;
    assert_string_equal(ask(t.s.node, "fragile/a", "get", "").text,
        "fragile/a get: its activation failed: on_activate: the shop is shut");
    assert_says(tape_text(t.s.log, "activation_failed"), "the shop is shut");
    t.of.falls = true;
    assert_string_equal(ask(t.s.node, "fragile/a", "get", "").text,
        "fragile/a get: its activation failed: on_activate: it fell at its 2. rise");
    scene_close(&t.s);
}

static void messages_that_wait_survive_a_restart(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){.on_panic = TROUPE_SUPERVISE_RESTART}, sizeof(small));
    call calls[6];
    scene_ask(&t.s, &calls[0], "fragile/a", "boom_later", "", NULL);
    for (int i = 1; i < 6; i++)
        scene_ask(&t.s, &calls[i], "fragile/a", "set", "", NULL);
    scene_run(&t.s, TROUPE_SECONDS(1));
    assert_heard(calls[0].got, TROUPE_PANIC);
    for (int i = 1; i < 6; i++) {
        char want[16];
        snprintf(want, sizeof want, "%d", i);
        assert_heard(calls[i].got, TROUPE_OK);
        assert_string_equal(calls[i].got.text, want);
    }
    scene_close(&t.s);
}

static void stop_ends_the_actor_and_what_waits_with_unavailable(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){.on_error = TROUPE_SUPERVISE_STOP}, sizeof(small));
    ask(t.s.node, "fragile/a", "set", "");
    call calls[4];
    scene_ask(&t.s, &calls[0], "fragile/a", "wait", "", NULL);
    scene_ask(&t.s, &calls[1], "fragile/a", "err", "", NULL);
    scene_ask(&t.s, &calls[2], "fragile/a", "set", "", NULL);
    scene_ask(&t.s, &calls[3], "fragile/a", "set", "", NULL);
    scene_run(&t.s, MS(100));
    assert_heard(calls[0].got, TROUPE_OK);
    assert_heard(calls[1].got, TROUPE_CORRUPT);
    for (int i = 2; i < 4; i++) {
        assert_heard(calls[i].got, TROUPE_UNAVAILABLE);
        assert_int_equal(calls[i].got.outcome, TROUPE_NOT_DONE);
    }
    assert_int_equal(stats_of(t.s.node).active, 0);
    heard later = ask(t.s.node, "fragile/a", "set", "");
    assert_string_equal(later.text, "1"); /* a later one begins anew */
    scene_close(&t.s);
}

static void an_application_code_is_an_answer_not_a_failure(void **state)
{
    (void)state;
    stage t;
    open_stage(&t,
        (troupe_supervision){.on_error = TROUPE_SUPERVISE_STOP, .max_failures = 1}, sizeof(small));
    ask(t.s.node, "fragile/a", "set", "");
    for (int i = 0; i < 5; i++)
        assert_heard(ask(t.s.node, "fragile/a", "refuse", ""), TROUPE_APPLICATION);
    assert_string_equal(ask(t.s.node, "fragile/a", "set", "").text, "2");
    scene_close(&t.s);
}

static void max_failures_in_a_row_stop_the_actor_whatever_the_policy(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){.max_failures = 3}, sizeof(small));
    for (int round = 0; round < 2; round++) {
        ask(t.s.node, "fragile/a", "boom", "");
        ask(t.s.node, "fragile/a", "boom", "");
        ask(t.s.node, "fragile/a", "set", ""); /* a success in between: not in a row */
    }
    assert_int_equal(t.of.activated, 1);
    for (int i = 0; i < 3; i++)
        assert_heard(ask(t.s.node, "fragile/a", "boom", ""), TROUPE_PANIC);
    scene_run(&t.s, MS(1));
    assert_int_equal(stats_of(t.s.node).active, 0);
    assert_string_equal(ask(t.s.node, "fragile/a", "get", "").text, "0");
    scene_close(&t.s);
}

static void see(void *user, const troupe_lifecycle *event)
{
    uint32_t *counts = user;
    counts[event->kind]++;
}

static void a_message_that_kills_its_actor_again_and_again_is_set_aside(void **state)
{
    (void)state;
    stage t;
    const troupe_supervision policy = {
        .on_panic = TROUPE_SUPERVISE_RESTART, .redeliver = true, .poison_after = 4};
    open_stage(&t, policy, sizeof(small));
    uint32_t counts[8] = {0};
    uint64_t subscription;
    assert_ok(troupe_node_subscribe(t.s.node, see, counts, &subscription));
    call deadly, next;
    scene_ask(&t.s, &deadly, "fragile/a", "boom", "", NULL);
    scene_ask(&t.s, &next, "fragile/a", "set", "", NULL);
    scene_run(&t.s, TROUPE_SECONDS(5));
    assert_heard(deadly.got, TROUPE_POISONED);
    assert_says(deadly.got.text, "fragile/a");
    assert_says(deadly.got.text, "4 times");
    assert_int_equal(deadly.ends, 1);
    assert_int_equal(t.of.delivered, 4);
    assert_heard(next.got, TROUPE_OK); /* it kept its place, and the actor is of use again */
    assert_int_equal(stats_of(t.s.node).poisoned, 1);
    assert_int_equal(counts[TROUPE_LIFECYCLE_POISONED], 1);
    assert_int_equal(counts[TROUPE_LIFECYCLE_FAILED], 4);
    assert_says(tape_text(t.s.log, "message_poisoned"), "method=boom");
    scene_close(&t.s);
}

static void a_redelivered_message_may_succeed(void **state)
{
    (void)state;
    stage t;
    open_stage(&t,
        (troupe_supervision){.on_panic = TROUPE_SUPERVISE_RESTART, .redeliver = true},
        sizeof(small));
    call only;
    scene_ask(&t.s, &only, "fragile/a", "boom", "", NULL);
    scene_run(&t.s, MS(1));
    assert_int_equal(only.ends, 0);
    atomic_store(&t.of.calm, true);
    scene_await(&t.s, &only);
    assert_heard(only.got, TROUPE_OK);
    assert_int_equal(t.of.delivered, 2);
    assert_int_equal(stats_of(t.s.node).poisoned, 0);
    scene_close(&t.s);
}

/* ---- the others ---------------------------------------------------------------------------- */

static void a_panic_in_one_actor_hurts_no_other(void **state)
{
    (void)state;
    stage t;
    open_stage(&t, (troupe_supervision){0}, sizeof(small));
    call calls[60];
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s/%d", i % 2 ? "bystander" : "fragile", i);
        scene_ask(&t.s, &calls[i], id, i % 2 ? "wait" : i % 4 ? "boom" : "boom_later", "", NULL);
    }
    scene_run(&t.s, TROUPE_SECONDS(1));
    for (int i = 0; i < 60; i++)
        assert_heard(calls[i].got, i % 2 ? TROUPE_OK : TROUPE_PANIC);
    assert_int_equal(stats_of(t.s.node).parked, 0);
    scene_close(&t.s);
}

typedef struct hammer {
    troupe_node *node;
    uint32_t number;
    bool panics;
    uint64_t good, bad;
} hammer;

static void *strike(void *argument)
{
    hammer *self = argument;
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", self->number * 10 + (uint32_t)i % 10);
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_status status = troupe_node_ask(self->node,
            troupe_id_of(self->panics ? "fragile" : "bystander", key),
            self->panics ? "boom" : "set", troupe_str(""), NULL, &answer);
        self->good += status == (self->panics ? TROUPE_PANIC : TROUPE_OK);
        self->bad += status != (self->panics ? TROUPE_PANIC : TROUPE_OK);
        troupe_answer_release(&answer);
    }
    return NULL;
}

static void a_panicking_type_under_load_leaves_all_others_running(void **state)
{
    (void)state;
    fate of = {0};
    const troupe_type fragile_type = {TROUPE_TYPE("fragile"), .state_size = sizeof(small),
        TROUPE_METHODS(methods), .user = &of};
    const troupe_type bystander = {TROUPE_TYPE("bystander"), .state_size = sizeof(small),
        TROUPE_METHODS(methods), .user = &of};
    account memory;
    account_init(&memory);
    troupe_node *node;
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2, .log = "off",
        .allocator = &memory.allocator};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&fragile_type, &bystander), &node));
    hammer hammers[4];
    pthread_t threads[4];
    for (uint32_t i = 0; i < 4; i++) {
        hammers[i] = (hammer){node, i, i % 2 == 0, 0, 0};
        pthread_create(&threads[i], NULL, strike, &hammers[i]);
    }
    for (uint32_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(hammers[i].good, 3000);
        assert_int_equal(hammers[i].bad, 0);
    }
    assert_int_equal(stats_of(node).panics, 6000);
    for (uint32_t i = 10; i < 20; i++) {
        char id[32];
        snprintf(id, sizeof id, "bystander/%u", i);
        assert_string_equal(ask(node, id, "get", "").text, "300");
    }
    troupe_node_close(node);
    assert_account_is_even(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_turn_leaves_the_bytes_of_the_state_as_they_were),
        cmocka_unit_test(a_turn_that_parked_and_failed_says_unknown),
        cmocka_unit_test(a_panic_names_actor_method_and_place_and_is_counted_and_logged),
        cmocka_unit_test(resume_keeps_the_activation),
        cmocka_unit_test(restart_makes_a_fresh_activation_after_the_back_off),
        cmocka_unit_test(failures_in_a_row_double_the_back_off_up_to_its_cap),
        cmocka_unit_test(a_failing_activation_is_tried_again_after_its_back_off),
        cmocka_unit_test(a_failing_activation_by_another_policy_is_tried_at_once),
        cmocka_unit_test(the_words_of_a_failing_activation_reach_who_asked_and_the_log),
        cmocka_unit_test(messages_that_wait_survive_a_restart),
        cmocka_unit_test(stop_ends_the_actor_and_what_waits_with_unavailable),
        cmocka_unit_test(an_application_code_is_an_answer_not_a_failure),
        cmocka_unit_test(max_failures_in_a_row_stop_the_actor_whatever_the_policy),
        cmocka_unit_test(a_message_that_kills_its_actor_again_and_again_is_set_aside),
        cmocka_unit_test(a_redelivered_message_may_succeed),
        cmocka_unit_test(a_panic_in_one_actor_hurts_no_other),
        cmocka_unit_test(a_panicking_type_under_load_leaves_all_others_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
