/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for wrongly, or beyond all bounds, is refused in words that name it: options of
 * calls, blocks of memory, types. What calls that are right come to is in the other files here.
 */
#include "tests/promises/scene.h"

static troupe_status busy(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_fail(turn, TROUPE_BUSY, "not now");
}

static troupe_status nothing(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

/* Takes as many bytes as the payload says, of the turn's arena or of the activation's. */
static troupe_status take(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[64];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    size_t less = strtoull(text + 1, NULL, 10);
    char *block = text[0] == 't' ? troupe_turn_alloc(turn, SIZE_MAX - less)
                                 : troupe_actor_alloc(turn, SIZE_MAX - less);
    return troupe_reply_format(turn, "%p", (void *)block);
}

static troupe_call_options wrong_options(int which)
{
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = MS(100)};
    if (which == 0)
        options.size = 0;
    if (which == 1)
        options.size++;
    if (which == 2)
        options.retry = (troupe_retry){.attempts = 4, .jitter = 101};
    return options;
}
#define WRONG_OPTIONS 3

static void on_answer(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)state;
    (void)answer;
    (void)user;
}

/* Every form of call with options that are wrong; replies with how many were not refused. */
static troupe_status use_wrongly(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    int taken = 0;
    troupe_id id = troupe_id_of("user", "other");
    for (int i = 0; i < WRONG_OPTIONS; i++) {
        troupe_call_options options = wrong_options(i);
        troupe_answer answer = TROUPE_ANSWER_INIT;
        taken += troupe_ask(turn, id, "busy", troupe_str(""), &options, &answer) != TROUPE_USAGE;
        troupe_answer_release(&answer);
        taken += troupe_tell(turn, id, "nothing", troupe_str(""), &options) != TROUPE_USAGE;
        troupe_status status = troupe_ask_callback(
            turn, id, "nothing", troupe_str(""), &options, on_answer, NULL);
        taken += status != TROUPE_USAGE;
    }
    return troupe_reply_format(turn, "%d", taken);
}

static const troupe_method methods[] = {TROUPE_METHOD(busy), TROUPE_METHOD(nothing),
    TROUPE_METHOD(take), TROUPE_METHOD(use_wrongly)};
static const troupe_type user_type = {
    TROUPE_TYPE("user"), .state_size = sizeof(int), TROUPE_METHODS(methods)};
static const troupe_type greedy_type = {
    TROUPE_TYPE("greedy"), TROUPE_METHODS(methods), .arena_limit = SIZE_MAX};

static void open_users(scene *self)
{
    scene_open(self, NULL, TROUPE_TYPES(&user_type, &greedy_type));
}

/* ---- memory -------------------------------------------------------------------------------- */

static void a_block_of_more_than_there_can_be_is_refused(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    const char *const sizes[] = {"t0", "a0", "t14", "a14", "t16", "a16", "t4096", "a4096"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_heard(ask(s.node, "user/a", "take", sizes[i]), TROUPE_PANIC);
        assert_heard(ask(s.node, "greedy/a", "take", sizes[i]), TROUPE_PANIC);
    }
    scene_close(&s);
}

/* ---- options of calls ---------------------------------------------------------------------- */

static void options_that_are_wrong_are_refused_outside(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    for (int i = 0; i < WRONG_OPTIONS; i++) {
        troupe_call_options options = wrong_options(i);
        call never;
        assert_heard(ask_with(s.node, "user/a", "busy", "", &options), TROUPE_USAGE);
        assert_status(scene_try(&s, &never, "user/a", "busy", "", &options), TROUPE_USAGE);
        assert_status(
            troupe_node_tell(s.node, id_of("user/a"), "nothing", troupe_str(""), &options),
            TROUPE_USAGE);
    }
    scene_close(&s);
}

static void options_that_are_wrong_are_refused_in_a_turn(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    assert_string_equal(ask(s.node, "user/a", "use_wrongly", "").text, "0");
    scene_close(&s);
}

/* ---- types --------------------------------------------------------------------------------- */

/* "" if a node opens with it. */
static const char *refusal_of(const troupe_type *type, char words[256])
{
    troupe_node *node;
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .log = "off"};
    words[0] = 0;
    if (troupe_node_open_explained(&options, TROUPE_TYPES(type), &node, words, 256) == TROUPE_OK)
        troupe_node_close(node);
    return words;
}

static void a_stack_beyond_the_limit_is_refused_when_the_node_opens(void **state)
{
    (void)state;
    char words[256];
    troupe_type type = user_type;
    type.stack_size = (size_t)1 << 30;
    assert_string_equal(refusal_of(&type, words), "");
    type.stack_size++;
    assert_says(refusal_of(&type, words), "'user': stack_size is above 1 GiB");
    type.stack_size = SIZE_MAX;
    assert_says(refusal_of(&type, words), "'user': stack_size is above 1 GiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_of_more_than_there_can_be_is_refused),
        cmocka_unit_test(options_that_are_wrong_are_refused_outside),
        cmocka_unit_test(options_that_are_wrong_are_refused_in_a_turn),
        cmocka_unit_test(a_stack_beyond_the_limit_is_refused_when_the_node_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
