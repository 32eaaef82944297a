/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads that are nested without end. Parsers of JSON descend on the stack of the turn, which is
 * small: what a caller sends must never end the node. On the loop's own stack, on the stack of a
 * turn that begins while another one waits, and on the smallest that a type may ask for.
 */
#include "tests/promises/scene.h"

#define LEVELS 2000

struct amount {
    int64_t cents;
};
static const troupe_field amount_fields[] = {TROUPE_FIELD_I64(struct amount, cents)};
static const troupe_schema amount_schema = TROUPE_SCHEMA(struct amount, amount_fields);

struct tree {
    struct tree *children;
    uint32_t child_count;
    int64_t cents;
};
extern const troupe_schema tree_schema;
static const troupe_field tree_fields[] = {
    TROUPE_FIELD_STRUCTS_OWNED(struct tree, children, child_count, &tree_schema),
    TROUPE_FIELD_I64(struct tree, cents),
};
const troupe_schema tree_schema = TROUPE_SCHEMA(struct tree, tree_fields);

static troupe_status by_tree(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    struct tree tree;
    TROUPE_TRY(troupe_decode(turn, &tree_schema, in, &tree));
    return troupe_reply(turn, &tree_schema, &tree);
}

static troupe_status by_table(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    struct amount amount;
    TROUPE_TRY(troupe_decode(turn, &amount_schema, in, &amount));
    return troupe_reply_format(turn, "%lld", (long long)amount.cents);
}

static troupe_status by_name(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    int64_t cents = 0;
    TROUPE_TRY(troupe_json_integer(in, "cents", &cents));
    return troupe_reply_format(turn, "%lld", (long long)cents);
}

static troupe_status wait(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state, (void)in;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(3600)));
    return troupe_reply_bytes(turn, troupe_str(""));
}

static const troupe_method methods[] = {
    TROUPE_METHOD(by_table), TROUPE_METHOD(by_name), TROUPE_METHOD(by_tree), TROUPE_METHOD(wait)};
static const troupe_type usual = {TROUPE_TYPE("usual"), TROUPE_METHODS(methods)};
static const troupe_type small = {
    TROUPE_TYPE("small"), TROUPE_METHODS(methods), .stack_size = 16 * 1024};

/* {"cents":7,"more":[[[…]]]}, with `levels` of brackets in all. */
static void fill(char *out, size_t levels, char open, char close)
{
    out += sprintf(out, "{\"cents\":7,\"more\":");
    for (size_t i = 1; i < levels; i++)
        out += sprintf(out, open == '{' ? "{\"a\":" : "[");
    *out++ = '1';
    for (size_t i = 1; i < levels; i++)
        *out++ = close;
    memcpy(out, "}", 2);
}

static troupe_status send(troupe_node *node, const char *type, const char *method, const char *json)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_node_ask(node, troupe_id_of(type, "x"), method, troupe_str(json), NULL, &answer);
    troupe_answer_release(&answer);
    return status;
}

static void all_are_refused(troupe_node *node)
{
    static char json[8 * LEVELS + 64];
    static const char *const types[] = {"usual", "small"};
    for (int i = 0; i < 4; i++) {
        const char *type = types[i / 2];
        fill(json, LEVELS, i % 2 != 0 ? '{' : '[', i % 2 != 0 ? '}' : ']');
        assert_status(send(node, type, "by_table", json), TROUPE_USAGE);
        assert_status(send(node, type, "by_name", json), TROUPE_USAGE);
        fill(json, 60, i % 2 != 0 ? '{' : '[', i % 2 != 0 ? '}' : ']');
        assert_status(send(node, type, "by_table", json), TROUPE_USAGE); /* no such field */
        assert_ok(send(node, type, "by_name", json));
    }
}

/* As deep as a table may be. */
static void a_tree_is_carried(troupe_node *node)
{
    char json[1024] = "";
    for (int i = 0; i < 30; i++)
        strcat(json, "{\"children\":[");
    strcat(json, "{\"cents\":7}");
    for (int i = 0; i < 30; i++)
        strcat(json, "]}");
    assert_ok(send(node, "usual", "by_tree", json));
}

static void a_payload_nested_without_end_is_refused_and_the_node_lives(void **state)
{
    (void)state;
    troupe_node *node = NULL;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .drain_timeout = MS(1), .log = "off"};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&usual, &small), &node));
    all_are_refused(node);
    a_tree_is_carried(node);
    tell(node, "usual/waits", "wait", ""); /* from here on turns run on stacks of their own */
    all_are_refused(node);
    a_tree_is_carried(node);
    troupe_node_close(node);
}

static void brackets_in_strings_are_no_nesting(void **state)
{
    (void)state;
    int64_t cents = 0;
    char json[400] = "{\"text\":\"\\\"";
    memset(json + strlen(json), '[', 300);
    strcat(json, "\",\"cents\":7}");
    assert_ok(troupe_json_integer(troupe_str(json), "cents", &cents));
    assert_int_equal(cents, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payload_nested_without_end_is_refused_and_the_node_lives),
        cmocka_unit_test(brackets_in_strings_are_no_nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
