/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request context: values set outside or in a turn go along with all that is called because of
 * it, on this shard and on others, also through callbacks and outboxes, and end where the header
 * says so.
 */
#include "tests/promises/scene.h"

typedef struct note {
    char text[128];
} note;

static troupe_slice tenant_of(troupe_turn *turn)
{
    troupe_slice value = troupe_context_get(turn, "tenant");
    return value.data != NULL ? value : troupe_str("none");
}

static troupe_id target_of(troupe_slice text)
{
    troupe_id id = troupe_id_of("", "");
    (void)!troupe_id_parse(text, &id, NULL);
    return id;
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_reply_bytes(turn, tenant_of(turn));
}

static troupe_status keep(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    note *self = state;
    snprintf(self->text, sizeof self->text, "%.*s", TROUPE_ARG(tenant_of(turn)));
    return troupe_reply_bytes(turn, troupe_str("kept"));
}

static troupe_status kept(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const note *self = state;
    return troupe_reply_format(turn, "%s", self->text);
}

static troupe_status ask_on(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    (void)!troupe_ask(turn, target_of(in), "show", troupe_str(""), NULL, &answer);
    return troupe_reply_take(turn, &answer);
}

static troupe_status tell_on(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(troupe_tell(turn, target_of(in), "keep", troupe_str(""), NULL));
    return troupe_reply_bytes(turn, troupe_str("told"));
}

/* Sets a value of its own, asks with that, and with one for this call only. */
static troupe_status change(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[64];
    troupe_context one = {"tenant", troupe_str("guest")}, gone = {"tenant", troupe_str("")};
    const troupe_context *given[] = {NULL, &one, &gone};
    size_t size = 0;
    TROUPE_TRY(troupe_context_set(turn, "tenant", troupe_str("mine")));
    TROUPE_TRY(troupe_context_set(turn, "trace", troupe_str("12345678")));
    TROUPE_TRY(troupe_context_set(turn, "tenant", troupe_str("own")));
    for (size_t i = 0; i < 3; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_call_options options = {
            TROUPE_CALL_OPTIONS, .context = given[i], .context_count = i != 0};
        (void)!troupe_ask(turn, target_of(in), "show", troupe_str(""), &options, &answer);
        size +=
            (size_t)snprintf(text + size, sizeof text - size, "%.*s ", TROUPE_ARG(answer.payload));
        troupe_answer_release(&answer);
    }
    snprintf(text + size, sizeof text - size, "%.*s %.*s", TROUPE_ARG(tenant_of(turn)),
        TROUPE_ARG(troupe_context_get(turn, "trace")));
    return troupe_reply_format(turn, "%s", text);
}

static void came_back(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)user;
    note *self = state;
    snprintf(self->text, sizeof self->text, "%.*s after %.*s", TROUPE_ARG(tenant_of(turn)),
        TROUPE_ARG(answer->payload));
}

static troupe_status call_on(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(
        troupe_ask_callback(turn, target_of(in), "show", troupe_str(""), NULL, came_back, NULL));
    return troupe_reply_bytes(turn, troupe_str("asked"));
}

static troupe_status tick_on(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_timer timer;
    TROUPE_TRY(troupe_timer_start(turn, "keep", troupe_str(""), MS(1), 0, &timer));
    return troupe_reply_bytes(turn, troupe_str("started"));
}

static troupe_status fill(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    static const char bytes[4096] = {0};
    troupe_slice all = {bytes, sizeof bytes - 4 - 3}, more = {bytes, sizeof bytes - 4 - 2};
    char name[66];
    memset(name, 'n', 65);
    name[65] = 0;
    if (troupe_context_set(turn, "big", more) != TROUPE_TOO_LARGE ||
        troupe_context_set(turn, "", troupe_str("x")) != TROUPE_USAGE ||
        troupe_context_set(turn, name, troupe_str("x")) != TROUPE_USAGE ||
        troupe_context_set(turn, name + 1, troupe_str("x")) != TROUPE_OK ||
        troupe_context_set(turn, "big", all) != TROUPE_TOO_LARGE ||
        troupe_context_set(turn, name + 1, troupe_str("")) != TROUPE_OK ||
        troupe_context_set(turn, "big", all) != TROUPE_OK ||
        troupe_context_get(turn, "big").size != all.size ||
        troupe_context_set(turn, "s", troupe_str("x")) != TROUPE_TOO_LARGE)
        return troupe_fail(turn, TROUPE_APPLICATION, "a limit is not where it is said to be");
    troupe_context one = {"tenant", troupe_str("x")};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, target_of(in), "show", troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .context = &one, .context_count = 1}, &answer);
    troupe_answer_release(&answer);
    return troupe_reply_format(turn, "%s", troupe_status_name(status));
}

/* Persistent: by the outbox, and by troupe_ask_then. */
static troupe_status post(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(troupe_tell(turn, target_of(in), "keep", troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(turn, troupe_str("posted"));
}

static troupe_status then_on(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(troupe_ask_then(turn, target_of(in), "show", troupe_str(""), NULL,
        &(troupe_then){TROUPE_THEN, .done = "keep", .failed = "keep"}));
    return troupe_reply_bytes(turn, troupe_str("posted"));
}

/* Tells, and fails. */
static troupe_status tell_and_fail(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(troupe_tell(turn, target_of(in), "keep", troupe_str(""), NULL));
    return troupe_fail(turn, TROUPE_APPLICATION, "after all");
}

static void noted(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)state;
    *(troupe_status *)user = answer->status;
}

static troupe_status heard_of = TROUPE_OK;

static troupe_status call_and_fail(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(
        troupe_ask_callback(turn, target_of(in), "show", troupe_str(""), NULL, noted, &heard_of));
    return troupe_fail(turn, TROUPE_APPLICATION, "after all");
}

static const troupe_method methods[] = {TROUPE_READ_METHOD(show), TROUPE_METHOD(keep),
    TROUPE_READ_METHOD(kept), TROUPE_METHOD(ask_on), TROUPE_METHOD(tell_on), TROUPE_METHOD(change),
    TROUPE_METHOD(call_on), TROUPE_METHOD(tick_on), TROUPE_METHOD(fill), TROUPE_METHOD(post),
    TROUPE_METHOD(then_on), TROUPE_METHOD(tell_and_fail), TROUPE_METHOD(call_and_fail)};
static const troupe_type plain_type = {
    TROUPE_TYPE("plain"), .state_size = sizeof(note), TROUPE_METHODS(methods)};
static const troupe_type deep_type = {TROUPE_TYPE("deep"), .state_size = sizeof(note),
    TROUPE_METHODS(methods), .stack_size = 128 << 10};
static const troupe_type firm_type = {TROUPE_TYPE("firm"), .state_size = sizeof(note),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

#define ALL_TYPES TROUPE_TYPES(&plain_type, &deep_type, &firm_type)

static heard ask_as(
    scene *at, const char *tenant, const char *id, const char *method, const char *payload)
{
    call got;
    troupe_context context = {"tenant", troupe_str(tenant)};
    scene_ask(at, &got, id, method, payload,
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .context = &context, .context_count = 1});
    scene_await(at, &got);
    assert_heard(got.got, TROUPE_OK);
    return got.got;
}

static void expect_kept(scene *at, const char *id, const char *text)
{
    call got;
    scene_ask(at, &got, id, "kept", "", NULL);
    scene_await(at, &got);
    assert_string_equal(got.got.text, text);
}

static void what_is_set_outside_is_read_by_all_that_is_called(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 3}, ALL_TYPES);
    assert_string_equal(ask_as(&at, "acme", "plain/a", "show", "").text, "acme");
    assert_string_equal(ask_as(&at, "acme", "deep/a", "show", "").text, "acme");
    for (int i = 0; i < 8; i++) { /* some are on the same shard, some are not */
        char to[32];
        snprintf(to, sizeof to, "%s/to-%d", i % 2 ? "deep" : "plain", i);
        assert_string_equal(ask_as(&at, "acme", "plain/a", "ask_on", to).text, "acme");
        assert_string_equal(ask_as(&at, "umbrella", "deep/a", "ask_on", to).text, "umbrella");
        assert_string_equal(ask_as(&at, "acme", "firm/a", "ask_on", to).text, "acme");
        ask_as(&at, "umbrella", "plain/a", "tell_on", to);
        scene_run(&at, MS(10));
        expect_kept(&at, to, "umbrella");
    }
    scene_close(&at);
}

static void a_call_without_it_has_none_whoever_had_one_before(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    call carries, plain[4];
    troupe_context context = {"tenant", troupe_str("acme")};
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .context = &context, .context_count = 1};
    scene_ask(&at, &plain[0], "plain/a", "show", "", NULL);
    scene_ask(&at, &carries, "plain/a", "ask_on", "plain/b", &options);
    for (int i = 1; i < 4; i++)
        scene_ask(&at, &plain[i], "plain/a", i == 2 ? "ask_on" : "show", "plain/b", NULL);
    for (int i = 0; i < 4; i++) {
        scene_await(&at, &plain[i]);
        assert_string_equal(plain[i].got.text, "none");
    }
    assert_string_equal(carries.got.text, "acme");
    scene_close(&at);
}

static void what_a_turn_sets_goes_along_and_one_call_may_differ(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2}, ALL_TYPES);
    const char *want = "own guest none own 12345678";
    assert_string_equal(ask_as(&at, "acme", "plain/a", "change", "plain/b").text, want);
    assert_string_equal(ask_as(&at, "acme", "plain/a", "change", "plain/c").text, want);
    call got;
    scene_ask(&at, &got, "plain/a", "change", "plain/b", NULL);
    scene_await(&at, &got);
    assert_string_equal(got.got.text, want);
    scene_close(&at);
}

static void a_callback_has_it_and_a_timer_has_not(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    ask_as(&at, "acme", "plain/a", "call_on", "plain/b");
    scene_run(&at, MS(10));
    expect_kept(&at, "plain/a", "acme after acme");
    ask_as(&at, "acme", "plain/a", "tick_on", "");
    scene_run(&at, MS(10));
    expect_kept(&at, "plain/a", "none");
    scene_close(&at);
}

static void its_limits_are_told(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    call got;
    scene_ask(&at, &got, "plain/a", "fill", "plain/b", NULL);
    scene_await(&at, &got);
    assert_string_equal(got.got.text, "TOO_LARGE");
    static const char bytes[4096] = {0};
    troupe_context large = {"large", {bytes, sizeof bytes}}, unnamed = {"", troupe_str("x")};
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .context = &large, .context_count = 1};
    assert_status(scene_try(&at, &got, "plain/a", "show", "", &options), TROUPE_TOO_LARGE);
    options.context = &unnamed;
    assert_status(scene_try(&at, &got, "plain/a", "show", "", &options), TROUPE_USAGE);
    large.value.size = sizeof bytes - 4 - 5;
    options.context = &large;
    assert_ok(scene_try(&at, &got, "plain/a", "show", "", &options));
    scene_await(&at, &got);
    assert_ok(got.got.status);
    scene_close(&at);
}

static void an_outbox_keeps_it_and_the_answer_of_ask_then_has_it(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2}, ALL_TYPES);
    ask_as(&at, "acme", "firm/a", "post", "firm/b");
    ask_as(&at, "acme", "firm/a", "post", "plain/b");
    scene_run(&at, MS(100));
    expect_kept(&at, "firm/b", "acme");
    expect_kept(&at, "plain/b", "acme");
    ask_as(&at, "umbrella", "firm/c", "then_on", "firm/b");
    ask_as(&at, "umbrella", "firm/d", "then_on", "plain/b");
    scene_run(&at, MS(100));
    expect_kept(&at, "firm/c", "umbrella");
    expect_kept(&at, "firm/d", "umbrella");
    scene_close(&at);
}

static void a_turn_that_persists_and_fails_has_told_nobody(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    call got;
    scene_ask(&at, &got, "firm/a", "tell_and_fail", "plain/b", NULL);
    scene_await(&at, &got);
    assert_heard(got.got, TROUPE_APPLICATION);
    scene_run(&at, MS(10));
    expect_kept(&at, "plain/b", "");
    scene_close(&at);
}

static void an_ask_of_a_turn_that_persists_and_fails_ends_at_once(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    call got;
    troupe_context context = {"tenant", troupe_str("acme")};
    scene_ask(&at, &got, "firm/a", "call_and_fail", "plain/b",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .context = &context, .context_count = 1});
    scene_await(&at, &got);
    assert_heard(got.got, TROUPE_APPLICATION);
    scene_run(&at, MS(10));
    assert_status(heard_of, TROUPE_WITHDRAWN);
    scene_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_outside_is_read_by_all_that_is_called),
        cmocka_unit_test(a_call_without_it_has_none_whoever_had_one_before),
        cmocka_unit_test(what_a_turn_sets_goes_along_and_one_call_may_differ),
        cmocka_unit_test(a_callback_has_it_and_a_timer_has_not),
        cmocka_unit_test(its_limits_are_told),
        cmocka_unit_test(an_outbox_keeps_it_and_the_answer_of_ask_then_has_it),
        cmocka_unit_test(a_turn_that_persists_and_fails_has_told_nobody),
        cmocka_unit_test(an_ask_of_a_turn_that_persists_and_fails_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
