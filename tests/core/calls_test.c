/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks and tells, and how they end (P3): replies, misuse of replies, time-outs, deadlines that
 * travel, work that is not started for callers who gave up, cancellation, retries. In a world, so
 * that times are exact.
 */
#include "tests/promises/scene.h"

/* ---- actors -------------------------------------------------------------------------------- */

typedef struct worker {
    int64_t runs;
    int64_t cancelled;
    int64_t answers;
    char text[200];
} worker;

static uint64_t millis_of(troupe_slice payload)
{
    char text[256];
    return MS((uint64_t)atoll(text_of(payload, text)));
}

static troupe_status twice(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_reply_bytes(turn, payload));
    (void)troupe_reply_bytes(turn, payload);
    return TROUPE_OK;
}

static troupe_status never(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)state;
    (void)payload;
    return TROUPE_OK;
}

static troupe_status late(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)troupe_fail(turn, TROUPE_APPLICATION + 1, "no");
    (void)troupe_reply_bytes(turn, payload);
    return TROUPE_OK;
}

static troupe_status fails(troupe_turn *turn, void *state, troupe_slice payload)
{
    worker *self = state;
    self->runs++;
    return troupe_fail(turn, TROUPE_APPLICATION + 7, "out of %.*s", TROUPE_ARG(payload));
}

static troupe_status bare(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)state;
    (void)payload;
    return TROUPE_APPLICATION + 8;
}

/* Counts its runs, then sleeps for the payload's milliseconds. */
static troupe_status doze(troupe_turn *turn, void *state, troupe_slice payload)
{
    worker *self = state;
    self->runs++;
    troupe_status status = troupe_sleep(turn, millis_of(payload));
    if (troupe_turn_is_cancelled(turn))
        self->cancelled++;
    TROUPE_TRY(status);
    return troupe_reply_format(turn, "rested");
}

static troupe_status runs(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const worker *self = state;
    (void)payload;
    return troupe_reply_format(
        turn, "%lld %lld", (long long)self->runs, (long long)self->cancelled);
}

static troupe_status remaining(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    uint64_t left = troupe_turn_remaining(turn);
    if (left == TROUPE_NEVER)
        return troupe_reply_format(turn, "never");
    return troupe_reply_format(turn, "%llu", (unsigned long long)(left / 1000));
}

/* "id method payload timeout_ms": asks it, and passes the end on, with the status in words. */
static troupe_status pass(troupe_turn *turn, void *state, troupe_slice payload)
{
    worker *self = state;
    char text[256], id[64], method[64], given[64];
    int timeout = 0;
    if (sscanf(text_of(payload, text), "%63s %63s %63s %d", id, method, given, &timeout) < 3)
        return TROUPE_USAGE;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = MS((unsigned)timeout)};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, id_of(id), method, troupe_str(given), &options, &answer);
    self->answers++;
    snprintf(self->text, sizeof self->text, "%s %.*s", troupe_status_name(status),
        TROUPE_ARG(status == TROUPE_OK ? answer.payload : answer.message));
    if (troupe_turn_is_cancelled(turn))
        self->cancelled++;
    troupe_answer_release(&answer);
    return troupe_reply_format(turn, "%s", self->text);
}

static troupe_status text(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const worker *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%s", self->text);
}

static void came(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    worker *self = state;
    self->answers += *(const int *)user;
    (void)turn;
    snprintf(self->text, sizeof self->text, "%s %.*s", troupe_status_name(answer->status),
        TROUPE_ARG(answer->status == TROUPE_OK ? answer->payload : answer->message));
}

/* As pass, with a callback: replies at once. */
static troupe_status post(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    static const int one = 1;
    char given_text[256], id[64], method[64], given[64];
    int timeout = 0;
    if (sscanf(text_of(payload, given_text), "%63s %63s %63s %d", id, method, given, &timeout) < 3)
        return TROUPE_USAGE;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = MS((unsigned)timeout)};
    troupe_status status = troupe_ask_callback(turn, id_of(id), method, troupe_str(given),
        &options, came, (void *)(uintptr_t)&one);
    return troupe_reply_format(turn, "%s", troupe_status_name(status));
}

static troupe_status answers(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const worker *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%lld", (long long)self->answers);
}

static troupe_status send(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char given[256], id[64], method[64], rest[64];
    if (sscanf(text_of(payload, given), "%63s %63s %63s", id, method, rest) < 3)
        return TROUPE_USAGE;
    TROUPE_TRY(troupe_tell(turn, id_of(id), method, troupe_str(rest), NULL));
    return troupe_reply_format(turn, "told");
}

/* BUSY until it has been asked the payload's number of times, by what its state says. */
static troupe_status at_last(troupe_turn *turn, void *state, troupe_slice payload)
{
    worker *self = state;
    char given[256];
    self->runs++;
    if (self->runs < atoi(text_of(payload, given)))
        return troupe_fail(turn, TROUPE_BUSY, "come back later");
    return troupe_reply_format(turn, "%lld", (long long)self->runs);
}

static const troupe_method worker_methods[] = {TROUPE_METHOD(twice), TROUPE_METHOD(never),
    TROUPE_METHOD(late), TROUPE_METHOD(fails), TROUPE_METHOD(bare), TROUPE_METHOD(doze),
    TROUPE_READ_METHOD(runs), TROUPE_METHOD(remaining), TROUPE_METHOD(pass),
    TROUPE_READ_METHOD(text), TROUPE_METHOD(post), TROUPE_READ_METHOD(answers),
    TROUPE_METHOD(send), TROUPE_METHOD(at_last)};
static const troupe_type worker_type = {
    TROUPE_TYPE("worker"), .state_size = sizeof(worker), TROUPE_METHODS(worker_methods)};
/* Keeps what a failing turn wrote, to count attempts. */
static const troupe_type stubborn_type = {TROUPE_TYPE("stubborn"), .state_size = sizeof(worker),
    TROUPE_METHODS(worker_methods), .keep_on_failure = true};

static void open_workers(scene *self)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 3};
    scene_open(self, &options, TROUPE_TYPES(&worker_type, &stubborn_type));
}

/* ---- one reply ----------------------------------------------------------------------------- */

static void expect_usage(scene *s, const char *method)
{
    heard got = ask(s->node, "worker/tom", method, "x");
    assert_heard(got, TROUPE_USAGE);
    assert_says(got.text, "worker/tom");
    assert_says(got.text, method);
}

static void a_method_that_replies_twice_gets_usage_naming_actor_and_method(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    expect_usage(&s, "twice");
    assert_int_equal(tape_count(s.log, "reply_misused"), 1);
    assert_says(tape_text(s.log, "reply_misused"), "key=tom");
    assert_says(tape_text(s.log, "reply_misused"), "method=twice");
    scene_close(&s);
}

static void a_method_that_never_replies_gets_usage_naming_actor_and_method(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    expect_usage(&s, "never");
    tell(s.node, "worker/tom", "never", ""); /* for a tell that is no fault */
    scene_run(&s, MS(1));
    assert_int_equal(stats_of(s.node).failures, 1);
    scene_close(&s);
}

static void a_reply_after_failing_gets_usage_naming_actor_and_method(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    expect_usage(&s, "late");
    assert_says(tape_text(s.log, "reply_misused"), "method=late");
    scene_close(&s);
}

static void a_failure_arrives_with_its_own_code_and_words(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    heard got = ask(s.node, "worker/tom", "fails", "milk");
    assert_heard(got, TROUPE_APPLICATION + 7);
    assert_int_equal(troupe_status_kind(got.status), TROUPE_KIND_FAILED);
    assert_says(got.text, "worker/tom");
    assert_says(got.text, "fails");
    assert_says(got.text, "out of milk");
    assert_heard(ask(s.node, "worker/tom", "bare", ""), TROUPE_APPLICATION + 8);
    assert_says(ask(s.node, "worker/ann", "pass", "worker/tom fails milk").text, "out of milk");
    scene_close(&s);
}

/* ---- callbacks, tells ---------------------------------------------------------------------- */

static void an_ask_with_callback_from_outside_ends_exactly_once(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    call calls[50];
    for (int i = 0; i < 50; i++) {
        char id[32];
        snprintf(id, sizeof id, "worker/%d", i);
        scene_ask(&s, &calls[i], id, i % 2 ? "doze" : "fails", "1", NULL);
    }
    scene_run(&s, TROUPE_SECONDS(1));
    for (int i = 0; i < 50; i++) {
        assert_int_equal(calls[i].ends, 1);
        assert_heard(calls[i].got, i % 2 ? TROUPE_OK : TROUPE_APPLICATION + 7);
    }
    scene_close(&s);
}

static void an_ask_with_callback_that_is_refused_at_once_never_calls_it(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    call none;
    assert_status(scene_try(&s, &none, "nobody/1", "x", "", NULL), TROUPE_NO_TYPE);
    assert_int_equal(none.ends, 0);
    assert_status(scene_try(&s, &none, "worker/1", "x", "", NULL), TROUPE_NO_METHOD);
    assert_status(scene_try(&s, &none, "worker/1", "doze", "1",
                      &(troupe_call_options){TROUPE_CALL_OPTIONS, .retry = {.attempts = 2}}),
        TROUPE_USAGE); /* retries are for waiting forms */
    scene_run(&s, MS(10));
    assert_int_equal(none.ends, 0);
    scene_close(&s);
}

static void a_callback_ask_in_a_turn_comes_back_as_a_turn_of_its_actor_exactly_once(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    assert_string_equal(ask(s.node, "worker/ann", "post", "worker/tom doze 20").text, "OK");
    assert_string_equal(ask(s.node, "worker/ann", "answers", "").text, "0");
    scene_run(&s, MS(50));
    assert_string_equal(ask(s.node, "worker/ann", "answers", "").text, "1");
    assert_string_equal(ask(s.node, "worker/ann", "text", "").text, "OK rested");
    ask(s.node, "worker/ann", "post", "worker/tom fails x");
    scene_run(&s, MS(50));
    assert_string_equal(ask(s.node, "worker/ann", "answers", "").text, "2");
    assert_says(ask(s.node, "worker/ann", "text", "").text, "out of x");
    assert_string_equal(
        ask(s.node, "worker/ann", "post", "nobody/tom fails x").text, "NO_TYPE");
    ask(s.node, "worker/ann", "post", "worker/tom doze 200 5"); /* its time-out comes first */
    scene_run(&s, TROUPE_SECONDS(1));
    assert_string_equal(ask(s.node, "worker/ann", "answers", "").text, "3");
    assert_says(ask(s.node, "worker/ann", "text", "").text, "TIMEOUT");
    scene_close(&s);
}

static void tells_arrive_from_outside_and_from_actors(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    tell(s.node, "worker/tom", "doze", "1");
    assert_string_equal(ask(s.node, "worker/ann", "send", "worker/tom doze 1").text, "told");
    scene_run(&s, MS(20));
    assert_string_equal(ask(s.node, "worker/tom", "runs", "").text, "2 0");
    assert_int_equal(stats_of(s.node).dead_letters, 0);
    scene_close(&s);
}

/* ---- time ---------------------------------------------------------------------------------- */

static void an_ask_times_out_at_its_time_and_says_unknown(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    uint64_t begin = tp_world_now(s.world);
    heard got = ask_within(s.node, "worker/tom", "doze", "1000", MS(100));
    uint64_t took = tp_world_now(s.world) - begin;
    assert_heard(got, TROUPE_TIMEOUT);
    assert_int_equal(got.outcome, TROUPE_UNKNOWN_OUTCOME);
    assert_in_range(took, MS(100), MS(100) + TICK);
    assert_int_equal(stats_of(s.node).timeouts, 1);
    scene_close(&s);
}

static void an_ask_without_a_timeout_of_its_own_has_the_nodes(void **state)
{
    (void)state;
    scene s;
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .ask_timeout = MS(40)};
    scene_open(&s, &options, TROUPE_TYPES(&worker_type));
    uint64_t begin = tp_world_now(s.world);
    assert_heard(ask(s.node, "worker/tom", "doze", "1000"), TROUPE_TIMEOUT);
    assert_in_range(tp_world_now(s.world) - begin, MS(40), MS(40) + TICK);
    begin = tp_world_now(s.world);
    heard got = ask_within(s.node, "worker/ann", "pass", "worker/tim doze 1000", MS(1000));
    assert_says(got.text, "TIMEOUT");
    assert_in_range(tp_world_now(s.world) - begin, MS(40), MS(40) + TICK);
    scene_close(&s);
}

static void a_deadline_travels_with_the_call_and_shrinks(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    heard got = ask_within(s.node, "worker/ann", "pass", "worker/tom remaining x 5000", MS(100));
    long long left = 0;
    assert_int_equal(sscanf(got.text, "OK %lld", &left), 1);
    assert_in_range(left, 1, 100000); /* not the 5 s of the ask inside */
    got = ask_within(s.node, "worker/ann", "pass", "worker/tom remaining x 20", MS(100));
    assert_int_equal(sscanf(got.text, "OK %lld", &left), 1);
    assert_in_range(left, 1, 20000);
    scene_close(&s);
}

static void an_ask_inside_ends_when_its_askers_deadline_does(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    uint64_t begin = tp_world_now(s.world);
    heard got = ask_within(s.node, "worker/ann", "pass", "worker/tom doze 9000 5000", MS(50));
    assert_heard(got, TROUPE_TIMEOUT);
    assert_in_range(tp_world_now(s.world) - begin, MS(50), MS(50) + TICK);
    scene_run(&s, MS(10));
    assert_int_equal(stats_of(s.node).parked, 0); /* nobody works on for a caller that is gone */
    scene_close(&s);
}

static void work_whose_caller_gave_up_is_not_started(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    call first, second;
    scene_ask(&s, &first, "worker/tom", "doze", "200", NULL);
    scene_ask(&s, &second, "worker/tom", "doze", "1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = MS(50)});
    scene_await(&s, &second);
    assert_heard(second.got, TROUPE_TIMEOUT);
    scene_await(&s, &first);
    scene_run(&s, MS(500));
    assert_string_equal(ask(s.node, "worker/tom", "runs", "").text, "1 0");
    scene_close(&s);
}

static void a_tell_that_is_late_is_not_started_and_counted(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    call first;
    scene_ask(&s, &first, "worker/tom", "doze", "200", NULL);
    assert_ok(troupe_node_tell(s.node, id_of("worker/tom"), "doze", troupe_str("1"),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = MS(50)}));
    assert_ok(troupe_node_tell(s.node, id_of("worker/tom"), "doze", troupe_str("1"),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = MS(500)}));
    scene_run(&s, MS(600));
    assert_int_equal(stats_of(s.node).expired, 1);
    assert_string_equal(ask(s.node, "worker/tom", "runs", "").text, "2 0");
    scene_close(&s);
}

/* ---- cancellation -------------------------------------------------------------------------- */

static void an_ask_cancelled_before_it_started_is_withdrawn_and_costs_no_turn(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    call first, second;
    scene_ask(&s, &first, "worker/tom", "doze", "100", NULL);
    scene_ask(&s, &second, "worker/tom", "doze", "1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_run(&s, MS(10));
    troupe_cancel_fire(cancel);
    scene_run(&s, MS(1));
    assert_int_equal(second.ends, 1);
    assert_heard(second.got, TROUPE_WITHDRAWN);
    assert_int_equal(second.got.outcome, TROUPE_NOT_DONE);
    scene_run(&s, MS(500));
    assert_heard(first.got, TROUPE_OK);
    assert_string_equal(ask(s.node, "worker/tom", "runs", "").text, "1 0");
    assert_int_equal(stats_of(s.node).cancelled, 1);
    troupe_cancel_destroy(cancel);
    scene_close(&s);
}

static void an_ask_cancelled_while_it_runs_is_cancelled_and_its_turn_sees_it(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    call only;
    uint64_t begin = tp_world_now(s.world);
    scene_ask(&s, &only, "stubborn/tom", "doze", "100",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_run(&s, MS(10));
    troupe_cancel_fire(cancel);
    scene_await(&s, &only);
    assert_heard(only.got, TROUPE_CANCELLED);
    assert_int_equal(only.got.outcome, TROUPE_UNKNOWN_OUTCOME);
    assert_true(only.at - begin < MS(12)); /* it does not sleep on */
    scene_run(&s, MS(1));
    assert_string_equal(ask(s.node, "stubborn/tom", "runs", "").text, "1 1");
    troupe_cancel_destroy(cancel);
    scene_close(&s);
}

static void cancelling_goes_on_to_what_the_turn_itself_waits_for(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    call only;
    scene_ask(&s, &only, "stubborn/a", "pass", "stubborn/b doze 5000",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_run(&s, MS(10));
    assert_int_equal(stats_of(s.node).parked, 2);
    troupe_cancel_fire(cancel);
    scene_run(&s, MS(5));
    assert_heard(only.got, TROUPE_CANCELLED);
    assert_int_equal(stats_of(s.node).parked, 0);
    assert_string_equal(ask(s.node, "stubborn/b", "runs", "").text, "1 1");
    assert_says(ask(s.node, "stubborn/a", "text", "").text, "CANCELLED");
    troupe_cancel_destroy(cancel);
    scene_close(&s);
}

static void a_cancel_that_was_fired_ends_asks_that_name_it_later(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    troupe_cancel_fire(cancel);
    troupe_cancel_fire(cancel); /* once is enough, twice no harm */
    heard got = ask_with(s.node, "worker/tom", "doze", "1000",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    assert_int_equal(troupe_status_kind(got.status), TROUPE_KIND_CANCELLED);
    scene_run(&s, MS(10));
    assert_int_equal(stats_of(s.node).parked, 0);
    troupe_cancel_destroy(cancel);
    scene_close(&s);
}

static void a_cancel_that_comes_after_the_end_changes_nothing(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    call only;
    scene_ask(&s, &only, "worker/tom", "doze", "1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_await(&s, &only);
    troupe_cancel_fire(cancel);
    troupe_cancel_destroy(cancel);
    troupe_cancel_destroy(NULL);
    scene_run(&s, MS(100));
    assert_int_equal(only.ends, 1);
    assert_heard(only.got, TROUPE_OK);
    assert_int_equal(stats_of(s.node).cancelled, 0);
    scene_close(&s);
}

/* ---- retries ------------------------------------------------------------------------------- */

static void a_busy_call_is_tried_again_until_it_is_done(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .retry = {.attempts = 5, .backoff = MS(10), .jitter = 1}};
    /* Its state is restored by each failure, so the worker stays BUSY. */
    uint64_t begin = tp_world_now(s.world);
    assert_heard(ask_with(s.node, "worker/tom", "at_last", "3", &options), TROUPE_BUSY);
    uint64_t took = tp_world_now(s.world) - begin; /* 10 + 20 + 40 + 80 ms, less a per cent */
    assert_in_range(took, MS(148), MS(150) + 5 * TICK);
    assert_int_equal(stats_of(s.node).turns, 5);
    scene_close(&s);
}

static void a_retry_is_for_what_was_not_done_only(void **state)
{
    (void)state;
    scene s;
    open_workers(&s);
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = MS(20), .retry = {.attempts = 5, .backoff = MS(10)}};
    assert_heard(ask_with(s.node, "worker/tom", "doze", "1000", &options), TROUPE_TIMEOUT);
    assert_heard(
        ask_with(s.node, "stubborn/ann", "fails", "x", &options), TROUPE_APPLICATION + 7);
    /* BUSY of an actor that keeps what it wrote: it may have happened. */
    assert_heard(ask_with(s.node, "stubborn/tom", "at_last", "3", &options), TROUPE_BUSY);
    assert_string_equal(ask(s.node, "stubborn/tom", "runs", "").text, "1 0");
    scene_run(&s, MS(10));
    assert_string_equal(ask(s.node, "stubborn/ann", "runs", "").text, "1 0");
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_that_replies_twice_gets_usage_naming_actor_and_method),
        cmocka_unit_test(a_method_that_never_replies_gets_usage_naming_actor_and_method),
        cmocka_unit_test(a_reply_after_failing_gets_usage_naming_actor_and_method),
        cmocka_unit_test(a_failure_arrives_with_its_own_code_and_words),
        cmocka_unit_test(an_ask_with_callback_from_outside_ends_exactly_once),
        cmocka_unit_test(an_ask_with_callback_that_is_refused_at_once_never_calls_it),
        cmocka_unit_test(a_callback_ask_in_a_turn_comes_back_as_a_turn_of_its_actor_exactly_once),
        cmocka_unit_test(tells_arrive_from_outside_and_from_actors),
        cmocka_unit_test(an_ask_times_out_at_its_time_and_says_unknown),
        cmocka_unit_test(an_ask_without_a_timeout_of_its_own_has_the_nodes),
        cmocka_unit_test(a_deadline_travels_with_the_call_and_shrinks),
        cmocka_unit_test(an_ask_inside_ends_when_its_askers_deadline_does),
        cmocka_unit_test(work_whose_caller_gave_up_is_not_started),
        cmocka_unit_test(a_tell_that_is_late_is_not_started_and_counted),
        cmocka_unit_test(an_ask_cancelled_before_it_started_is_withdrawn_and_costs_no_turn),
        cmocka_unit_test(an_ask_cancelled_while_it_runs_is_cancelled_and_its_turn_sees_it),
        cmocka_unit_test(cancelling_goes_on_to_what_the_turn_itself_waits_for),
        cmocka_unit_test(a_cancel_that_was_fired_ends_asks_that_name_it_later),
        cmocka_unit_test(a_cancel_that_comes_after_the_end_changes_nothing),
        cmocka_unit_test(a_busy_call_is_tried_again_until_it_is_done),
        cmocka_unit_test(a_retry_is_for_what_was_not_done_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
