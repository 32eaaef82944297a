/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actor types as their writers see them: methods, the catch-all, read-only methods, state, who am
 * I, content types, JSON, refs, and what the caller hears when a call names nothing that exists. In
 * a world, so that each block of memory is accounted for.
 */
#include "tests/promises/scene.h"

/* ---- an actor with a bit of everything ----------------------------------------------------- */

typedef struct shop {
    int64_t sold;
    char last[32];
} shop;

/* Payloads do not end with NUL. */
static troupe_status sell(troupe_turn *turn, void *state, troupe_slice payload)
{
    shop *self = state;
    char count[256];
    self->sold += payload.size != 0 ? atoi(text_of(payload, count)) : 1;
    return troupe_reply_format(turn, "%lld", (long long)self->sold);
}

static troupe_status sold(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const shop *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%lld", (long long)self->sold);
}

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char type[64];
    troupe_slice given = troupe_turn_content_type(turn);
    snprintf(type, sizeof type, "%.*s", TROUPE_ARG(given));
    return troupe_reply_typed(turn, type, payload);
}

static troupe_status who(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    char self[128], caller[128] = "outside";
    troupe_id_print(troupe_turn_self(turn), self, sizeof self);
    if (troupe_turn_caller(turn).type.size != 0)
        troupe_id_print(troupe_turn_caller(turn), caller, sizeof caller);
    return troupe_reply_format(turn, "%s %.*s by %s, %s, user %s, node %s", self,
        TROUPE_ARG(troupe_turn_method(turn)), caller,
        troupe_turn_is_ask(turn) ? "ask" : "tell", (const char *)troupe_turn_user(turn),
        troupe_node_name(troupe_turn_node(turn)));
}

/* Passes the payload's "id method" on, and the answer back. */
static troupe_status relay(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char id[128], method[64], text[256];
    if (sscanf(text_of(payload, text), "%127s %63s", id, method) != 2)
        return troupe_fail(turn, TROUPE_USAGE, "no id and method");
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, id_of(id), method, troupe_str("relayed"), NULL, &answer);
    if (status == TROUPE_NO_TYPE || status == TROUPE_NO_METHOD) {
        char words[256];
        snprintf(words, sizeof words, "%.*s", TROUPE_ARG(answer.message));
        troupe_answer_release(&answer);
        return troupe_fail(turn, status, "%s", words);
    }
    return troupe_reply_take(turn, &answer);
}

static troupe_status json(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    int64_t count;
    double price;
    bool fresh;
    troupe_slice name;
    TROUPE_TRY(troupe_json_integer(payload, "count", &count));
    TROUPE_TRY(troupe_json_number(payload, "price", &price));
    TROUPE_TRY(troupe_json_boolean(payload, "fresh", &fresh));
    TROUPE_TRY(troupe_json_string(turn, payload, "name", &name));
    return troupe_reply_json(turn, "{s:s#, s:I, s:f, s:b}", "name", name.data, (int)name.size,
        "count", (long long)count * 2, "price", price, "fresh", fresh);
}

static troupe_status json_long(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_slice name;
    TROUPE_TRY(troupe_json_string(turn, payload, "name", &name));
    const char *text = name.data;
    return troupe_reply_format(turn, "%zu %c %d", name.size, text[0], text[name.size]);
}

static troupe_status ref_text(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_id id; /* it came in a message, in its text form */
    TROUPE_TRY(troupe_id_parse(payload, &id, NULL));
    troupe_ref *ref;
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), id, &ref));
    troupe_selector selector;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ref_selector(ref, "sell", &selector);
    if (status == TROUPE_OK)
        status = troupe_ask_ref(turn, ref, selector, troupe_str("5"), NULL, &answer);
    if (status == TROUPE_OK)
        status = troupe_tell_ref(turn, ref, selector, troupe_str("2"), NULL);
    troupe_ref_release(ref);
    if (status != TROUPE_OK) {
        troupe_answer_release(&answer);
        return status;
    }
    return troupe_reply_take(turn, &answer);
}

static troupe_status other(troupe_turn *turn, void *state, troupe_slice payload)
{
    shop *self = state;
    (void)payload;
    snprintf(self->last, sizeof self->last, "%.*s", TROUPE_ARG(troupe_turn_method(turn)));
    return troupe_reply_format(turn, "caught %s", self->last);
}

static const troupe_method shop_methods[] = {TROUPE_METHOD(sell), TROUPE_READ_METHOD(sold),
    TROUPE_METHOD(echo), TROUPE_METHOD(who), TROUPE_METHOD(relay), TROUPE_METHOD(json),
    TROUPE_METHOD(json_long), TROUPE_METHOD(ref_text),
    TROUPE_METHOD_NAMED("as another name", sell)};
static const troupe_type shop_type = {TROUPE_TYPE("shop"), .state_size = sizeof(shop),
    TROUPE_METHODS(shop_methods), .user = (void *)(uintptr_t) "of the shop"};
static const troupe_type any_type = {
    TROUPE_TYPE("any"), .state_size = sizeof(shop), .otherwise = other};

static void open_shops(scene *self)
{
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .name = "market", .shards = 3, .idle = TROUPE_SECONDS(1)};
    scene_open(self, &options, TROUPE_TYPES(&shop_type, &any_type));
}

/* ---- methods ------------------------------------------------------------------------------- */

static void an_actor_begins_with_zeroed_state_and_keeps_it_between_messages(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    assert_string_equal(ask(s.node, "shop/a", "sold", "").text, "0");
    assert_string_equal(ask(s.node, "shop/a", "sell", "3").text, "3");
    assert_string_equal(ask(s.node, "shop/a", "as another name", "4").text, "7");
    assert_string_equal(ask(s.node, "shop/b", "sold", "").text, "0");
    assert_int_equal(stats_of(s.node).activations, 2);
    scene_close(&s);
}

static void the_same_key_in_two_partitions_is_two_actors(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    ask(s.node, "shop@north/a", "sell", "3");
    assert_string_equal(ask(s.node, "shop@south/a", "sold", "").text, "0");
    assert_string_equal(ask(s.node, "shop/a", "sold", "").text, "0");
    assert_string_equal(ask(s.node, "shop@north/a", "sold", "").text, "3");
    scene_close(&s);
}

static void the_catch_all_gets_every_name_that_no_method_has(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    assert_string_equal(ask(s.node, "any/1", "whatever", "").text, "caught whatever");
    assert_string_equal(ask(s.node, "any/1", "it is", "").text, "caught it is");
    assert_string_equal(
        ask(s.node, "shop/x", "relay", "any/1 from_inside").text, "caught from_inside");
    scene_close(&s);
}

static void a_method_knows_itself_its_caller_and_how_it_was_called(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    assert_string_equal(ask(s.node, "shop@p/k/e y", "who", "").text,
        "shop@p/k/e y who by outside, ask, user of the shop, node market");
    assert_string_equal(ask(s.node, "shop@q/1", "relay", "shop/2 who").text,
        "shop/2 who by shop@q/1, ask, user of the shop, node market");
    scene_close(&s);
}

/* ---- what is not there --------------------------------------------------------------------- */

static void asking_an_unregistered_type_is_no_type_and_activates_nothing(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    heard got = ask(s.node, "market/1", "sell", "");
    assert_heard(got, TROUPE_NO_TYPE);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    assert_says(got.text, "market");
    assert_status(troupe_node_tell(s.node, id_of("market/1"), "sell", troupe_str(""), NULL),
        TROUPE_NO_TYPE);
    got = ask(s.node, "shop/1", "relay", "market/1 sell");
    assert_heard(got, TROUPE_NO_TYPE);
    assert_says(got.text, "market");
    assert_int_equal(stats_of(s.node).activations, 1);
    scene_close(&s);
}

static void asking_for_a_method_that_a_type_lacks_is_no_method(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    heard got = ask(s.node, "shop/1", "steal", "");
    assert_heard(got, TROUPE_NO_METHOD);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    assert_says(got.text, "shop");
    assert_says(got.text, "steal");
    assert_status(
        troupe_node_tell(s.node, id_of("shop/1"), "steal", troupe_str(""), NULL), TROUPE_NO_METHOD);
    got = ask(s.node, "shop/1", "relay", "shop/2 steal");
    assert_heard(got, TROUPE_NO_METHOD);
    assert_says(got.text, "steal");
    assert_heard(ask(s.node, "any/1", "", ""), TROUPE_NO_METHOD); /* not even the catch-all's */
    scene_close(&s);
}

static void a_malformed_id_is_usage_and_says_why(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    char key[1026];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    const troupe_id wrong[] = {troupe_id_of("shop", ""), troupe_id_of("shop", key),
        troupe_id_in("shop", "no/slash", "k"), troupe_id_in("shop", "no space", "k")};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        assert_status(
            troupe_node_ask(s.node, wrong[i], "sold", troupe_str(""), NULL, &answer), TROUPE_USAGE);
        assert_int_equal(answer.outcome, TROUPE_NOT_DONE);
        assert_true(answer.message.size != 0);
        troupe_answer_release(&answer);
        assert_status(
            troupe_node_tell(s.node, wrong[i], "sold", troupe_str(""), NULL), TROUPE_USAGE);
        troupe_ref *ref = NULL;
        assert_status(troupe_ref_create(s.node, wrong[i], &ref), TROUPE_USAGE);
        assert_null(ref);
    }
    key[1024] = 0; /* the longest that is one */
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_ok(troupe_node_ask(
        s.node, troupe_id_of("shop", key), "sold", troupe_str(""), NULL, &answer));
    troupe_answer_release(&answer);
    const char *reason = NULL;
    troupe_id id = {0};
    assert_status(troupe_id_parse(troupe_str("shop"), &id, &reason), TROUPE_USAGE);
    assert_non_null(reason);
    scene_close(&s);
}

/* ---- content types, JSON ------------------------------------------------------------------- */

static void the_content_type_goes_along_with_payload_and_reply(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    const char *const types[] = {TROUPE_BYTES, TROUPE_TEXT, TROUPE_JSON, "image/x-own"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        heard got = ask_with(s.node, "shop/1", "echo", "data",
            &(troupe_call_options){TROUPE_CALL_OPTIONS, .content_type = types[i]});
        assert_heard(got, TROUPE_OK);
        assert_string_equal(got.content_type, types[i]);
        assert_string_equal(got.text, "data");
    }
    assert_string_equal(ask(s.node, "shop/1", "echo", "").content_type, TROUPE_BYTES);
    assert_string_equal(ask(s.node, "shop/1", "who", "").content_type, TROUPE_TEXT);
    scene_close(&s);
}

static void payloads_are_any_bytes_of_any_size_up_to_the_limit(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    for (size_t size = 0; size < 3000000; size = size * 3 + 1) {
        unsigned char *bytes = malloc(size + 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)(i * 7 + i / 256);
        troupe_answer answer = TROUPE_ANSWER_INIT;
        assert_ok(troupe_node_ask(s.node, troupe_id_of("shop", "1"), "echo",
            troupe_slice_of(bytes, size), NULL, &answer));
        assert_int_equal(answer.payload.size, size);
        if (size != 0)
            assert_memory_equal(answer.payload.data, bytes, size);
        troupe_answer_release(&answer);
        free(bytes);
    }
    scene_close(&s);
}

static void json_members_are_read_and_replies_are_packed(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    heard got = ask(s.node, "shop/1", "json",
        "{\"name\":\"caf\\u00e9\",\"count\":21,\"price\":1.5,\"fresh\":true}");
    assert_heard(got, TROUPE_OK);
    assert_string_equal(got.content_type, TROUPE_JSON);
    assert_says(got.text, "\"count\":42");
    assert_says(got.text, "\"name\":\"caf\xc3\xa9\"");
    assert_says(got.text, "\"price\":1.5");
    assert_says(got.text, "\"fresh\":true");
    scene_close(&s);
}

static void json_that_is_missing_or_of_another_kind_is_told_apart(void **state)
{
    (void)state;
    int64_t integer = 7;
    double number = 7;
    bool truth = true;
    const troupe_slice given = troupe_str("{\"a\":1,\"b\":\"x\",\"c\":1.5,\"d\":false}");
    assert_status(troupe_json_integer(given, "z", &integer), TROUPE_NOT_FOUND);
    assert_status(troupe_json_integer(given, "b", &integer), TROUPE_USAGE);
    assert_status(troupe_json_integer(given, "c", &integer), TROUPE_USAGE);
    assert_status(troupe_json_number(given, "b", &number), TROUPE_USAGE);
    assert_status(troupe_json_boolean(given, "a", &truth), TROUPE_USAGE);
    assert_status(troupe_json_integer(troupe_str("[1]"), "a", &integer), TROUPE_USAGE);
    assert_status(troupe_json_integer(troupe_str("{\"a\":1"), "a", &integer), TROUPE_USAGE);
    assert_status(troupe_json_integer(troupe_str(""), "a", &integer), TROUPE_USAGE);
    assert_int_equal(integer, 7); /* outputs are untouched on failure */
    assert_true(number == 7 && truth);
    assert_ok(troupe_json_number(given, "a", &number));
    assert_true(number == 1);
    assert_ok(troupe_json_boolean(given, "d", &truth));
    assert_false(truth);
}

static void json_strings_of_any_length_end_with_nul_and_last_as_long_as_the_turn(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    for (size_t size = 1; size < 200000; size = size * 5) {
        char *text = malloc(size + 32), want[64];
        int head = sprintf(text, "{\"name\":\"");
        memset(text + head, 'j', size);
        strcpy(text + (size_t)head + size, "\"}");
        snprintf(want, sizeof want, "%zu j 0", size);
        assert_string_equal(ask(s.node, "shop/1", "json_long", text).text, want);
        free(text);
    }
    scene_close(&s);
}

/* ---- refs ---------------------------------------------------------------------------------- */

static void a_ref_activates_nothing_and_equals_every_ref_to_its_id(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    troupe_ref *one, *same, *elsewhere, *other_key;
    assert_ok(troupe_ref_create(s.node, id_of("shop/1"), &one));
    assert_ok(troupe_ref_create(s.node, id_of("shop/1"), &same));
    assert_ok(troupe_ref_create(s.node, id_of("shop@p/1"), &elsewhere));
    assert_ok(troupe_ref_create(s.node, id_of("shop/2"), &other_key));
    assert_true(troupe_ref_equal(one, same));
    assert_true(troupe_ref_equal(one, one));
    assert_false(troupe_ref_equal(one, elsewhere));
    assert_false(troupe_ref_equal(one, other_key));
    assert_true(troupe_id_equal(troupe_ref_id(elsewhere), id_of("shop@p/1")));
    assert_int_equal(stats_of(s.node).activations, 0);
    troupe_selector selector;
    assert_status(troupe_ref_selector(one, "steal", &selector), TROUPE_NO_METHOD);
    assert_ptr_equal(troupe_ref_retain(one), one);
    troupe_ref_release(one);
    assert_true(troupe_ref_equal(one, same)); /* the second holder */
    troupe_ref_release(one);
    troupe_ref_release(same);
    troupe_ref_release(elsewhere);
    troupe_ref_release(other_key);
    troupe_ref_release(NULL);
    troupe_ref *none = NULL;
    assert_status(troupe_ref_create(s.node, id_of("market/1"), &none), TROUPE_NO_TYPE);
    scene_close(&s);
}

static void a_ref_travels_in_a_message_and_calls_the_same_actor(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    for (int i = 0; i < 8; i++) { /* over several shards */
        char id[32], reader[32];
        snprintf(id, sizeof id, "shop/target-%d", i);
        snprintf(reader, sizeof reader, "shop/reader-%d", i);
        ask(s.node, id, "sell", "1");
        heard got = ask(s.node, reader, "ref_text", id);
        assert_heard(got, TROUPE_OK);
        assert_string_equal(got.text, "6");
        scene_run(&s, MS(1));
        assert_string_equal(ask(s.node, id, "sold", "").text, "8");
    }
    scene_close(&s);
}

static void ids_are_printed_as_they_are_parsed(void **state)
{
    (void)state;
    const char *const texts[] = {"shop/1", "shop@north/1", "s/k/with/slashes@and all"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char out[64];
        troupe_id id;
        assert_ok(troupe_id_parse(troupe_str(texts[i]), &id, NULL));
        assert_int_equal(troupe_id_print(id, out, sizeof out), strlen(texts[i]));
        assert_string_equal(out, texts[i]);
    }
}

/* ---- read-only ----------------------------------------------------------------------------- */

static void a_read_only_turn_loses_nothing_when_its_actor_goes(void **state)
{
    (void)state;
    scene s;
    open_shops(&s);
    ask(s.node, "shop/read", "sold", "");
    ask(s.node, "shop/written", "sell", "");
    scene_run(&s, TROUPE_SECONDS(3));
    assert_int_equal(stats_of(s.node).active, 0);
    assert_int_equal(stats_of(s.node).lost_states, 1);
    assert_says(tape_text(s.log, "state_lost"), "key=written");
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_begins_with_zeroed_state_and_keeps_it_between_messages),
        cmocka_unit_test(the_same_key_in_two_partitions_is_two_actors),
        cmocka_unit_test(the_catch_all_gets_every_name_that_no_method_has),
        cmocka_unit_test(a_method_knows_itself_its_caller_and_how_it_was_called),
        cmocka_unit_test(asking_an_unregistered_type_is_no_type_and_activates_nothing),
        cmocka_unit_test(asking_for_a_method_that_a_type_lacks_is_no_method),
        cmocka_unit_test(a_malformed_id_is_usage_and_says_why),
        cmocka_unit_test(the_content_type_goes_along_with_payload_and_reply),
        cmocka_unit_test(payloads_are_any_bytes_of_any_size_up_to_the_limit),
        cmocka_unit_test(json_members_are_read_and_replies_are_packed),
        cmocka_unit_test(json_that_is_missing_or_of_another_kind_is_told_apart),
        cmocka_unit_test(json_strings_of_any_length_end_with_nul_and_last_as_long_as_the_turn),
        cmocka_unit_test(a_ref_activates_nothing_and_equals_every_ref_to_its_id),
        cmocka_unit_test(a_ref_travels_in_a_message_and_calls_the_same_actor),
        cmocka_unit_test(ids_are_printed_as_they_are_parsed),
        cmocka_unit_test(a_read_only_turn_loses_nothing_when_its_actor_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
