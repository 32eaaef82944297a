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
        troupe_status status =
            troupe_ask_callback(turn, id, "nothing", troupe_str(""), &options, on_answer, NULL);
        taken += status != TROUPE_USAGE;
    }
    return troupe_reply_format(turn, "%d", taken);
}

static troupe_status twice(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_reply_bytes(turn, payload));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status evil(troupe_turn *turn, const void *state, troupe_slice payload)
{
    if (payload.size != 0) /* after a park nobody can tell who wrote it */
        TROUPE_TRY(troupe_sleep(turn, MS(1)));
    ++*(int *)(uintptr_t)state;
    return troupe_reply_bytes(turn, payload);
}

static troupe_status look(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%d", *(const int *)state);
}

static troupe_status late(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)troupe_fail(turn, TROUPE_APPLICATION, "no");
    return troupe_reply_bytes(turn, payload);
}

static troupe_status never(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)state;
    (void)payload;
    return TROUPE_OK;
}

static troupe_status doze(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(5)));
    return troupe_reply_bytes(turn, payload);
}

/* Asks "other" with what the payload says is wrong; replies with the words. */
static troupe_status ask_wrongly(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char what[16];
    snprintf(what, sizeof what, "%.*s", TROUPE_ARG(payload));
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = MS(100)};
    if (strcmp(what, "once") == 0)
        options.once = troupe_str("k");
    troupe_id id = troupe_id_of(
        strcmp(what, "type") == 0 ? "a b" : "user", strcmp(what, "key") == 0 ? "" : "other");
    troupe_answer answer = TROUPE_ANSWER_INIT;
    if (strcmp(what, "outside") == 0)
        (void)!troupe_node_ask(troupe_turn_node(turn), id, "nothing", payload, &options, &answer);
    else
        (void)!troupe_ask(
            turn, id, strcmp(what, "method") == 0 ? NULL : "doze", payload, &options, &answer);
    troupe_status status = troupe_reply_format(
        turn, "%s %.*s", troupe_status_name(answer.status), TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return status;
}

typedef struct last_words {
    char text[512];
} last_words;

static void keep_words(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)state;
    snprintf(((last_words *)user)->text, sizeof((last_words *)user)->text, "%s %.*s",
        troupe_status_name(answer->status), TROUPE_ARG(answer->message));
}

/* Asks somebody who is slow, by a callback; the payload is where its words go. */
static troupe_status ask_by_callback(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    last_words *words;
    memcpy(&words, payload.data, sizeof(last_words *));
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = MS(100)};
    return troupe_ask_callback(turn, troupe_id_in("user", "p", "other"), "doze", troupe_str(""),
        &options, keep_words, words);
}

static const troupe_method methods[] = {TROUPE_METHOD(ask_by_callback), TROUPE_METHOD(twice),
    TROUPE_METHOD(late), TROUPE_READ_METHOD(evil), TROUPE_READ_METHOD(look), TROUPE_METHOD(never),
    TROUPE_METHOD(doze), TROUPE_METHOD(ask_wrongly), TROUPE_METHOD(busy), TROUPE_METHOD(nothing),
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

/* ---- words --------------------------------------------------------------------------------- */

static void a_reply_that_is_misused_is_told_from_the_others(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    static const char *const cases[][2] = {
        {"twice", "user/a twice: the method replied, and then replied again or failed"},
        {"late", "user/a late: the method failed, and then replied or returned OK"},
        {"never", "user/a never: the method returned OK without a reply"}};
    for (size_t i = 0; i < 3; i++) {
        heard got = ask(s.node, "user/a", cases[i][0], "x");
        assert_heard(got, TROUPE_USAGE);
        assert_string_equal(got.text, cases[i][1]);
    }
    scene_close(&s);
}

static void a_read_only_method_that_writes_is_named(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    heard got = ask(s.node, "user/a", "evil", "");
    assert_heard(got, TROUPE_USAGE);
    assert_string_equal(
        got.text, "user/a evil: the method is read-only, and has changed the state");
    assert_int_equal(tape_count(s.log, "read_method_wrote"), 1);
    assert_heard(ask(s.node, "user/a", "look", ""), TROUPE_OK);
    assert_heard(ask(s.node, "user/a", "evil", "waits"), TROUPE_OK);
    assert_int_equal(tape_count(s.log, "read_method_wrote"), 1);
    scene_close(&s);
}

static void what_is_wrong_with_a_call_in_a_turn_is_said(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    static const char *const cases[][2] = {{"key", "USAGE user/ doze: its key is empty"},
        {"method", "USAGE user/other : the method is NULL"},
        {"type", "USAGE a b/other doze: a type's name is 1 to 128 bytes"},
        {"once", "USAGE user/other doze: once is for types that persist every turn"},
        {"outside", "USAGE user/other nothing: who asks from outside waits"},
        {"time", "TIMEOUT user/other doze: no answer within the deadline"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_says(ask(s.node, "user/a", "ask_wrongly", cases[i][0]).text, cases[i][1]);
    scene_close(&s);
}

static void a_callback_that_comes_too_late_says_whom_it_asked(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 2; shards++) {
        scene s;
        const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = shards};
        scene_open(&s, &options, TROUPE_TYPES(&user_type));
        for (uint32_t key = 0; key < 4; key++) { /* some are not on the other's shard */
            last_words words = {""}, *at = &words;
            char id[16];
            snprintf(id, sizeof id, "user/%u", key);
            assert_ok(troupe_node_tell(
                s.node, id_of(id), "ask_by_callback", (troupe_slice){&at, sizeof at}, NULL));
            scene_run(&s, MS(200));
            assert_says(words.text, "TIMEOUT user@p/other doze: no answer within the deadline");
        }
        scene_close(&s);
    }
}

static void what_is_wrong_with_a_call_from_outside_is_said(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = MS(100)};
    struct {
        troupe_id id;
        const char *method, *words;
        troupe_status status;
    } cases[] = {
        {troupe_id_of("user", ""), "nothing", "user/ nothing: its key is empty", TROUPE_USAGE},
        {troupe_id_of("user", "k"), NULL, "user/k : the method is NULL", TROUPE_USAGE},
        {troupe_id_of("a b", "k"), "x", "a type's name is 1 to 128 bytes", TROUPE_USAGE},
        {troupe_id_of("", "k"), "x", "a type's name is 1 to 128 bytes", TROUPE_USAGE},
        {troupe_id_of("ab", "k"), "x", "no actor type \"ab\"", TROUPE_NO_TYPE},
        {troupe_id_of("user", "k"), "doze", "user/k doze: no answer within the deadline",
            TROUPE_TIMEOUT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        heard got;
        (void)!troupe_node_ask(
            s.node, cases[i].id, cases[i].method, troupe_str(""), &options, &answer);
        hear(&got, &answer);
        troupe_answer_release(&answer);
        assert_heard(got, cases[i].status);
        assert_says(got.text, cases[i].words);
    }
    options.outbox = true;
    assert_says(ask_with(s.node, "user/a", "busy", "", &options).text, "an outbox is for what");
    scene_close(&s);
}

static void who_was_cancelled_is_named(void **state)
{
    (void)state;
    scene s;
    open_users(&s);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(s.node, &cancel));
    call only;
    scene_ask(&s, &only, "user/a", "doze", "",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_run(&s, MS(10));
    troupe_cancel_fire(cancel);
    scene_await(&s, &only);
    assert_heard(only.got, TROUPE_CANCELLED);
    assert_string_equal(only.got.text, "user/a doze: its caller cancelled it while it ran");
    troupe_cancel_destroy(cancel);
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

static void each_of_many_types_is_found_by_its_name(void **state)
{
    (void)state;
    enum { MANY = 700 };
    static char names[MANY][16];
    static troupe_type types[MANY];
    static const troupe_type *list[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "type.%d", i);
        types[i] = user_type;
        types[i].name = names[i];
        list[i] = &types[i];
    }
    for (size_t count = 7; count <= MANY; count += count < 12 ? 1 : 172) {
        scene s;
        scene_open(&s, NULL, list, count);
        const tp_types *of = &s.node->shared.types;
        for (size_t i = 0; i < MANY; i++) {
            const tp_type *found = tp_types_find(of, troupe_str(names[i]));
            assert_true(i < count ? found == &of->list[i] : found == NULL);
        }
        assert_int_equal(of->slot_count != 0, count > 8); /* many are not looked through */
        scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_of_more_than_there_can_be_is_refused),
        cmocka_unit_test(options_that_are_wrong_are_refused_outside),
        cmocka_unit_test(options_that_are_wrong_are_refused_in_a_turn),
        cmocka_unit_test(a_reply_that_is_misused_is_told_from_the_others),
        cmocka_unit_test(a_read_only_method_that_writes_is_named),
        cmocka_unit_test(what_is_wrong_with_a_call_in_a_turn_is_said),
        cmocka_unit_test(a_callback_that_comes_too_late_says_whom_it_asked),
        cmocka_unit_test(what_is_wrong_with_a_call_from_outside_is_said),
        cmocka_unit_test(who_was_cancelled_is_named),
        cmocka_unit_test(each_of_many_types_is_found_by_its_name),
        cmocka_unit_test(a_stack_beyond_the_limit_is_refused_when_the_node_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
