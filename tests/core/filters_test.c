/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call filters: around each method in their order, the node's first; one that refuses ends the call
 * NOT_DONE and nothing behind it runs; they may ask and read the context.
 */
#include "tests/promises/scene.h"

typedef struct book {
    int32_t runs;
} book;

static char seen[512]; /* of the one shard of a world */

static void see(const char *what, const char *who)
{
    size_t size = strlen(seen);
    snprintf(seen + size, sizeof seen - size, "%s%s ", what, who);
}

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    book *self = state;
    self->runs++;
    see("run", "");
    if (troupe_slice_equal(in, troupe_str("fail")))
        return troupe_fail(turn, TROUPE_APPLICATION + 7, "as was asked for");
    if (troupe_slice_equal(in, troupe_str("panic")))
        troupe_panic(turn, "as was asked for");
    return troupe_reply_format(turn, "%d", self->runs);
}

static troupe_status runs(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const book *self = state;
    see("read", "");
    return troupe_reply_format(turn, "%d", self->runs);
}

static troupe_status other(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    see("other", "");
    return troupe_reply_format(turn, "%.*s", TROUPE_ARG(troupe_turn_method(turn)));
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_timer timer;
    TROUPE_TRY(troupe_timer_start(turn, "add", troupe_str(""), MS(1), 0, &timer));
    return troupe_reply_bytes(turn, troupe_str("started"));
}

/* Says whether it may. */
static troupe_status may(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    return troupe_reply_bytes(
        turn, troupe_str(troupe_slice_equal(in, troupe_str("guest")) ? "no" : "yes"));
}

static troupe_status watch_before(troupe_turn *turn, void *user)
{
    (void)turn;
    see("+", user);
    return TROUPE_OK;
}

static void watch_after(troupe_turn *turn, troupe_status status, void *user)
{
    char text[64];
    snprintf(text, sizeof text, "%s", (const char *)user);
    if (status != TROUPE_OK) {
        snprintf(text, sizeof text, "%s:%s", (const char *)user, troupe_status_name(status));
        if (troupe_sleep(turn, MS(1)) != TROUPE_INTERRUPTED)
            see("slept", "");
    }
    see("-", text);
}

static troupe_status guard_before(troupe_turn *turn, void *user)
{
    (void)user;
    troupe_slice tenant = troupe_context_get(turn, "tenant");
    if (troupe_slice_equal(tenant, troupe_str("mute")))
        return TROUPE_BUSY;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, troupe_id_of("judge", "j"), "may", tenant, NULL, &answer));
    bool passes = troupe_slice_equal(answer.payload, troupe_str("yes"));
    troupe_answer_release(&answer);
    if (passes)
        return TROUPE_OK;
    return troupe_fail(turn, TROUPE_DENIED, "%.*s may not %.*s", TROUPE_ARG(tenant),
        TROUPE_ARG(troupe_turn_method(turn)));
}

static const troupe_filter of_node[] = {{"watch", watch_before, watch_after, "n"}};
static const troupe_filter of_type[] = {{"first", watch_before, watch_after, "1"},
    {"guard", guard_before, NULL, NULL}, {"last", watch_before, watch_after, "2"}};

static const troupe_method methods[] = {
    TROUPE_METHOD(add), TROUPE_READ_METHOD(runs), TROUPE_METHOD(tick)};
static const troupe_method judge_methods[] = {TROUPE_METHOD(may)};
static const troupe_type book_type = {TROUPE_TYPE("book"), .state_size = sizeof(book),
    TROUPE_METHODS(methods), .otherwise = other, TROUPE_FILTERS(of_type),
    .supervision = {.on_error = TROUPE_SUPERVISE_RESTART}};
static const troupe_type firm_type = {TROUPE_TYPE("firm"), .state_size = sizeof(book),
    TROUPE_METHODS(methods), TROUPE_FILTERS(of_type), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type judge_type = {TROUPE_TYPE("judge"), TROUPE_METHODS(judge_methods)};

#define ALL_TYPES TROUPE_TYPES(&book_type, &firm_type, &judge_type)

static heard ask_as(
    scene *at, const char *tenant, const char *id, const char *method, const char *payload)
{
    call got;
    troupe_context context = {"tenant", troupe_str(tenant)};
    seen[0] = 0;
    scene_ask(at, &got, id, method, payload,
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .context = &context, .context_count = 1});
    scene_await(at, &got);
    return got.got;
}

static void they_run_around_each_method_in_order(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    assert_string_equal(ask_as(&at, "acme", "book/a", "add", "").text, "1");
    assert_string_equal(seen, "+1 +2 run -2 -1 ");
    assert_string_equal(ask_as(&at, "acme", "book/a", "runs", "").text, "1");
    assert_string_equal(seen, "+1 +2 read -2 -1 ");
    assert_string_equal(ask_as(&at, "acme", "book/a", "sing", "").text, "sing");
    assert_string_equal(seen, "+1 +2 other -2 -1 ");
    assert_string_equal(ask_as(&at, "acme", "firm/a", "add", "").text, "1");
    assert_string_equal(seen, "+1 +2 run -2 -1 ");
    scene_close(&at);
}

static void those_of_the_node_come_first_and_reach_all_types(void **state)
{
    (void)state;
    scene at;
    troupe_filter mine[] = {of_node[0]};
    scene_open(&at, &(troupe_node_options){TROUPE_NODE_OPTIONS, TROUPE_FILTERS(mine)}, ALL_TYPES);
    mine[0] = (troupe_filter){0}; /* it was copied */
    assert_string_equal(ask_as(&at, "acme", "book/a", "add", "").text, "1");
    assert_string_equal(seen, "+n +1 +n -n +2 run -2 -1 -n "); /* the judge has them too */
    scene_close(&at);
}

static void one_that_refuses_ends_the_call_and_nothing_behind_it_runs(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    const char *const ids[] = {"book/a", "firm/a"};
    for (int i = 0; i < 2; i++) {
        heard got = ask_as(&at, "guest", ids[i], "add", "");
        assert_heard(got, TROUPE_DENIED);
        assert_int_equal(got.outcome, TROUPE_NOT_DONE);
        assert_says(got.text, "guest may not add");
        assert_string_equal(seen, "+1 -1:DENIED ");
        got = ask_as(&at, "mute", ids[i], "add", "");
        assert_heard(got, TROUPE_BUSY);
        assert_int_equal(got.outcome, TROUPE_NOT_DONE);
        assert_says(got.text, "refused by the filter 'guard'");
        assert_string_equal(ask_as(&at, "acme", ids[i], "runs", "").text, "0");
    }
    assert_int_equal(stats_of(at.node).refused, 4);
    assert_int_equal(stats_of(at.node).restarts, 0); /* it is no failure of the actor */
    scene_close(&at);
}

static void they_see_how_a_method_failed_and_cannot_keep_what_it_changed(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    const char *const ids[] = {"book/a", "firm/a"};
    for (int i = 0; i < 2; i++) {
        assert_heard(ask_as(&at, "acme", ids[i], "add", "fail"), TROUPE_APPLICATION + 7);
        assert_string_equal(seen, "+1 +2 run -2:APPLICATION -1:APPLICATION ");
        assert_string_equal(ask_as(&at, "acme", ids[i], "runs", "").text, "0");
        assert_heard(ask_as(&at, "acme", ids[i], "add", "panic"), TROUPE_PANIC);
        assert_string_equal(seen, "+1 +2 run ");
        assert_string_equal(ask_as(&at, "acme", ids[i], "add", "").text, "1");
    }
    scene_close(&at);
}

static void tells_and_timers_pass_them_too(void **state)
{
    (void)state;
    scene at;
    scene_open(&at, NULL, ALL_TYPES);
    assert_ok(ask_as(&at, "acme", "book/a", "tick", "").status);
    seen[0] = 0;
    scene_run(&at, MS(5));
    assert_string_equal(seen, "+1 +2 run -2 -1 ");
    seen[0] = 0;
    troupe_context guest = {"tenant", troupe_str("guest")};
    assert_ok(troupe_client_tell(at.client, id_of("book/a"), "add", troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .context = &guest, .context_count = 1}));
    scene_run(&at, MS(5));
    assert_string_equal(seen, "+1 -1:DENIED ");
    scene_close(&at);
}

static void wrong_ones_are_refused_with_words(void **state)
{
    (void)state;
    char error[512] = "";
    troupe_node *node = NULL;
    troupe_filter empty = {"empty", NULL, NULL, NULL};
    troupe_type type = judge_type;
    type.filters = &empty;
    type.filter_count = 1;
    type.filter_size = sizeof empty;
    assert_status(troupe_node_open_explained(NULL, TROUPE_TYPES(&type), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_says(error, "'judge': a filter needs a function");
    type.filter_size = 8;
    assert_status(troupe_node_open_explained(NULL, TROUPE_TYPES(&type), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_says(error, "its filters' size differs");
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .filters = &empty, .filter_size = sizeof empty, .filter_count = 1};
    assert_status(
        troupe_node_open_explained(&options, TROUPE_TYPES(&judge_type), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_says(error, "the node's filters: a filter needs a function");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_run_around_each_method_in_order),
        cmocka_unit_test(those_of_the_node_come_first_and_reach_all_types),
        cmocka_unit_test(one_that_refuses_ends_the_call_and_nothing_behind_it_runs),
        cmocka_unit_test(they_see_how_a_method_failed_and_cannot_keep_what_it_changed),
        cmocka_unit_test(tells_and_timers_pass_them_too),
        cmocka_unit_test(wrong_ones_are_refused_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
