/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Methods that read and answer by a schema: JSON to who speaks JSON, the binary form to who speaks
 * that, failures in words, owned parts for as long as the turn, answers of other actors.
 */
#include "schema/schema.h"
#include "tests/schema/everything.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct amount {
    int64_t cents;
};
static const troupe_field amount_fields[] = {
    TROUPE_FIELD_I64(struct amount, cents, .required = true)};
static const troupe_schema amount_schema = TROUPE_SCHEMA(struct amount, amount_fields);

static troupe_status deposit(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    struct amount amount;
    TROUPE_TRY(troupe_decode(turn, &amount_schema, in, &amount));
    account->balance += amount.cents;
    return troupe_reply(turn, &account_schema, account);
}

static troupe_status show(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    return troupe_reply(turn, &account_schema, state);
}

/* Everything comes in and goes out, through the turn's arena. */
static troupe_status echo(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    struct everything it;
    TROUPE_TRY(troupe_decode(turn, &everything_schema, in, &it));
    return troupe_reply(turn, &everything_schema, &it);
}

static troupe_status unterminated(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    struct account account = {1, ""};
    memset(account.owner, 'x', sizeof account.owner);
    return troupe_reply(turn, &account_schema, &account);
}

static troupe_status relay(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    struct account account;
    troupe_slice payload;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_encode(turn, &amount_schema, &(struct amount){11}, &payload));
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = TROUPE_PACKED};
    troupe_status status =
        troupe_ask(turn, troupe_id_of("account", "far"), "deposit", payload, &options, &answer);
    bool is_packed = troupe_slice_equal(answer.content_type, troupe_str(TROUPE_PACKED));
    status = troupe_decode_answer(turn, &account_schema, &answer, &account);
    troupe_answer_release(&answer);
    TROUPE_TRY(status);
    return troupe_reply_format(
        turn, "%d %lld %s", is_packed, (long long)account.balance, account.owner);
}

static troupe_status relay_wrong(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    struct everything it;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, troupe_id_of("account", "far"), "show", in, NULL, &answer);
    status = troupe_decode_answer(turn, &everything_schema, &answer, &it);
    troupe_answer_release(&answer);
    return status;
}

static const troupe_method methods[] = {TROUPE_METHOD(deposit), TROUPE_METHOD(show),
    TROUPE_METHOD(echo), TROUPE_METHOD(unterminated), TROUPE_METHOD(relay),
    TROUPE_METHOD(relay_wrong)};
static const troupe_type account_type = {TROUPE_TYPE("account"),
    .state_size = sizeof(struct account), TROUPE_METHODS(methods), .arena_limit = 16384};

static troupe_node *node;
static char type[128], words[8192];

static troupe_status ask(const char *method, const char *content_type, troupe_slice payload)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = content_type};
    troupe_status status =
        troupe_node_ask(node, troupe_id_of("account", "ada"), method, payload, &options, &answer);
    troupe_slice said = status == TROUPE_OK ? answer.payload : answer.message;
    snprintf(words, sizeof words, "%.*s", TROUPE_ARG(said));
    snprintf(type, sizeof type, "%.*s", TROUPE_ARG(answer.content_type));
    troupe_answer_release(&answer);
    return status;
}

static int open_node(void **state)
{
    (void)state;
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true, .log = "off"};
    return troupe_node_open(&options, TROUPE_TYPES(&account_type), &node) != TROUPE_OK;
}

static int close_node(void **state)
{
    (void)state;
    troupe_node_close(node);
    return 0;
}

static void who_speaks_json_is_answered_in_json(void **state)
{
    (void)state;
    assert_int_equal(ask("deposit", TROUPE_JSON, troupe_str("{\"cents\":500}")), TROUPE_OK);
    assert_string_equal(words, "{\"balance\":500,\"owner\":\"\"}");
    assert_string_equal(type, TROUPE_JSON);
    assert_int_equal(ask("deposit", NULL, troupe_str(" {\"cents\":1}")), TROUPE_OK);
    assert_string_equal(words, "{\"balance\":501,\"owner\":\"\"}");
    assert_int_equal(ask("show", NULL, troupe_str("")), TROUPE_OK);
    assert_string_equal(type, TROUPE_JSON);
}

static void who_speaks_binary_is_answered_in_binary(void **state)
{
    (void)state;
    char bytes[64];
    struct account account;
    troupe_buffer buffer = {NULL, bytes, 0, sizeof bytes};
    assert_int_equal(
        troupe_schema_encode(&amount_schema, &(struct amount){9}, &buffer, NULL, 0), TROUPE_OK);
    for (int i = 0; i < 2; i++) { /* named, and recognised */
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_call_options options = {
            TROUPE_CALL_OPTIONS, .content_type = i == 0 ? TROUPE_PACKED : NULL};
        assert_int_equal(troupe_node_ask(node, troupe_id_of("account", "bob"), "deposit",
                             troupe_buffer_slice(&buffer), &options, &answer),
            TROUPE_OK);
        assert_true(troupe_slice_equal(answer.content_type, troupe_str(TROUPE_PACKED)));
        assert_int_equal(
            troupe_schema_decode(&account_schema, answer.payload, &account, NULL, NULL, 0),
            TROUPE_OK);
        assert_int_equal(account.balance, 9 * (i + 1));
        troupe_answer_release(&answer);
    }
}

static void wrong_payloads_fail_the_call_in_words_and_change_nothing(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"cents\":\"many\"}",
            "account/ada deposit: amount: field cents: expected an integer, got "
            "a string that is none of 64 bits"},
        {"{\"cents\":[]}", "account/ada deposit: amount: field cents: expected an integer, got an "
                           "array"},
        {"{\"cent\":1}",
            "account/ada deposit: amount: unknown field 'cent'; did you mean 'cents'?"},
        {"", "account/ada deposit: amount: field cents: is missing, and required"},
        {"\x01\x01\x80",
            "account/ada deposit: amount: is cut off: its end mark is missing at byte 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ask("deposit", NULL, troupe_str(cases[i][0])), TROUPE_USAGE);
        assert_string_equal(words, cases[i][1]);
    }
    assert_int_equal(ask("unterminated", NULL, troupe_str("")), TROUPE_USAGE);
    assert_string_equal(
        words, "account/ada unterminated: account: field owner: the string has no end");
}

static void owned_parts_live_in_the_turn_and_large_values_pass(void **state)
{
    (void)state;
    char json[4096] = "{\"note\":\"", want[4096];
    memset(json + strlen(json), 'x', 2000);
    strcat(json, "\",\"tags\":[\"a\",\"b\"],\"way\":[{\"label\":\"home\"}],\"blob\":\"aGkhIQ==\"}");
    assert_int_equal(ask("echo", TROUPE_JSON, troupe_str(json)), TROUPE_OK);
    snprintf(want, sizeof want, "\"note\":\"%.2000s\",\"blob\":\"aGkhIQ==\"", json + 9);
    assert_non_null(strstr(words, want));
    assert_non_null(strstr(words, "\"way\":[{\"x\":0,\"weight\":0.5,\"label\":\"home\"}]}"));
}

static void what_does_not_fit_the_arena_is_no_memory_with_its_limit(void **state)
{
    (void)state;
    static char json[30000];
    strcpy(json, "{\"note\":\"");
    memset(json + strlen(json), 'x', 20000);
    strcat(json, "\"}");
    assert_int_equal(ask("echo", TROUPE_JSON, troupe_str(json)), TROUPE_NO_MEMORY);
    assert_string_equal(words, "account/ada echo: everything: field note: no memory for its 20000 "
                               "bytes (arena_limit is 16384)");
}

static void answers_of_others_are_read_or_passed_on(void **state)
{
    (void)state;
    if (ask("relay", NULL, troupe_str("")) != TROUPE_OK)
        fail_msg("%s", words);
    assert_string_equal(words, "1 11 ");
    assert_int_equal(ask("relay_wrong", NULL, troupe_str("")), TROUPE_USAGE);
    assert_string_equal(words, "account/ada relay_wrong: the answer is not what was expected: "
                               "everything: unknown field 'balance'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_speaks_json_is_answered_in_json),
        cmocka_unit_test(who_speaks_binary_is_answered_in_binary),
        cmocka_unit_test(wrong_payloads_fail_the_call_in_words_and_change_nothing),
        cmocka_unit_test(owned_parts_live_in_the_turn_and_large_values_pass),
        cmocka_unit_test(what_does_not_fit_the_arena_is_no_memory_with_its_limit),
        cmocka_unit_test(answers_of_others_are_read_or_passed_on),
    };
    return cmocka_run_group_tests(tests, open_node, close_node);
}
