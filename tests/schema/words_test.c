/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people write and get wrong: JSON of the wrong type, names and numbers, tables that
 * contradict themselves, values that are none. Each is refused, and the words say where and why.
 */
#include "schema/schema.h"
#include "tests/schema/everything.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static char error[512];

static void wrong_json_is_refused_with_the_path_and_the_reason(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "everything: not JSON: line 1 column 0: unexpected token near end of file"},
        {"[]", "everything: expected an object, got an array"},
        {"7", "everything: expected an object, got an integer"},
        {"{\"i8\":1,\"i8\":2}", "everything: not JSON: line 1 column 12: duplicate object key near "
                                "'\"i8\"'"},
        {"{\"colur\":1}", "everything: unknown field 'colur'; did you mean 'colour'?"},
        {"{\"qqqqqqqq\":1}", "everything: unknown field 'qqqqqqqq'"},
        {"{\"i8\":128}", "everything: field i8: 128 does not fit: -128 to 127"},
        {"{\"i16\":-32769}", "everything: field i16: -32769 does not fit: -32768 to 32767"},
        {"{\"u8\":-1}", "everything: field u8: -1 does not fit: 0 to 255"},
        {"{\"u64\":-1}", "everything: field u64: -1 does not fit: 0 to 18446744073709551615"},
        {"{\"i64\":\"9223372036854775808\"}", "everything: field i64: 9223372036854775808 does not "
                                              "fit: -9223372036854775808 to 9223372036854775807"},
        {"{\"i64\":\"12a\"}",
            "everything: field i64: expected an integer, got a string that is none of 64 bits"},
        {"{\"i32\":\"12\"}", "everything: field i32: expected an integer, got a string"},
        {"{\"i32\":1.0}",
            "everything: field i32: expected an integer, got a number with a fraction"},
        {"{\"i32\":null}", "everything: field i32: expected an integer, got null"},
        {"{\"f64\":\"nan\"}", "everything: field f64: expected a number, got a string"},
        {"{\"f64\":true}", "everything: field f64: expected a number, got true"},
        {"{\"f32\":1e39}", "everything: field f32: 1e+39 does not fit a 32-bit float"},
        {"{\"flag\":1}", "everything: field flag: expected true or false, got an integer"},
        {"{\"colour\":\"gren\"}",
            "everything: field colour: unknown name 'gren'; did you mean 'green'?"},
        {"{\"colour\":1}", "everything: field colour: expected a name, got an integer"},
        {"{\"name\":\"123456789012\"}",
            "everything: field name: 12 bytes do not fit: there is room for 11"},
        {"{\"name\":[]}", "everything: field name: expected a string, got an array"},
        {"{\"name\":\"a\",\"title\":\"b\"}",
            "everything: field name: comes twice, by its name and a former one"},
        {"{\"block\":\"aGkhIQ=\"}", "everything: field block: expected base64, got another string"},
        {"{\"block\":7}", "everything: field block: expected base64 in a string, got an integer"},
        {"{\"block\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
            "everything: field block: 21 bytes do not fit: there is room for 20"},
        {"{\"fixed\":[1,2,3,4]}",
            "everything: field fixed: 4 elements do not fit: there is room for 3"},
        {"{\"fixed\":{}}", "everything: field fixed: expected an array, got an object"},
        {"{\"fixed\":[1,\"x\"]}", "everything: field fixed[1]: expected an integer, got a string"},
        {"{\"here\":{\"x\":true}}", "everything: field here.x: expected an integer, got true"},
        {"{\"here\":{\"y\":1}}", "everything: field here: unknown field 'y'; did you mean 'x'?"},
        {"{\"way\":[{},{\"x\":1,\"label\":0}]}",
            "everything: field way[1].label: expected a string, got an integer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct everything it;
        memset(&it, 0xA5, sizeof it);
        assert_int_equal(troupe_schema_from_json(&everything_schema, troupe_str(cases[i][0]), &it,
                             NULL, error, sizeof error),
            TROUPE_USAGE);
        assert_string_equal(error, cases[i][1]);
        assert_null(it.note);
        assert_null(it.way);
    }
}

static void json_has_defaults_former_names_and_large_numbers(void **state)
{
    (void)state;
    struct everything it;
    const char *json =
        "{\"caption\":\"old\",\"u64\":\"18446744073709551614\",\"limit\":null,\"home\":null,"
        "\"f64\":\"-Infinity\",\"f32\":3,\"blob\":\"_-8\",\"colour\":\"green\"}";
    assert_int_equal(troupe_schema_from_json(
                         &everything_schema, troupe_str(json), &it, NULL, error, sizeof error),
        TROUPE_OK);
    assert_string_equal(it.name, "old");
    assert_true(it.u64 == UINT64_MAX - 1 && it.i32 == -7 && it.flag && !it.has_limit);
    assert_true(isinf(it.f64) && it.f32 == 3.0f && it.colour == GREEN);
    assert_string_equal(it.here.label, "unnamed");
    assert_true(!it.has_home && it.home.label != NULL); /* as if it were missing */
    assert_string_equal(it.home.label, "unnamed");
    assert_string_equal(it.note, "");
    assert_int_equal(it.blob.size, 2);
    assert_memory_equal(it.blob.data, "\xff\xef", 2);
    troupe_schema_free(&everything_schema, &it, NULL);
}

struct amount {
    int64_t cents;
    uint32_t tries;
};
static troupe_status is_positive(const void *value, char *words, size_t size)
{
    const struct amount *amount = value;
    if (amount->cents > 0)
        return TROUPE_OK;
    snprintf(words, size, "%lld cents are no amount", (long long)amount->cents);
    return TROUPE_APPLICATION + 5;
}
static const troupe_field amount_fields[] = {
    TROUPE_FIELD_I64(struct amount, cents, .required = true),
    TROUPE_FIELD_U32(struct amount, tries, .since = 2, .required = true),
};
static const troupe_schema amount_schema =
    TROUPE_SCHEMA(struct amount, amount_fields, .validate = is_positive);

static void what_is_required_must_be_there_and_what_is_there_must_be_valid(void **state)
{
    (void)state;
    struct amount amount;
    assert_int_equal(troupe_schema_from_json(&amount_schema, troupe_str("{\"tries\":1}"), &amount,
                         NULL, error, sizeof error),
        TROUPE_USAGE);
    assert_string_equal(error, "amount: field cents: is missing, and required");
    assert_int_equal(
        troupe_schema_from_json(&amount_schema, troupe_str("{\"tries\":1,\"cents\":-3}"), &amount,
            NULL, error, sizeof error),
        TROUPE_APPLICATION + 5);
    assert_string_equal(error, "amount: -3 cents are no amount");
    char bytes[64];
    troupe_buffer buffer = {NULL, bytes, 0, sizeof bytes};
    assert_int_equal(
        troupe_schema_encode(&amount_schema, &(struct amount){5, 6}, &buffer, error, sizeof error),
        TROUPE_OK);
    /* Version, key and content of the last field: without it as version 2 it is missing, as
     * version 1 it could not be there. */
    buffer.size -= 6;
    buffer.data[buffer.size++] = 0;
    assert_int_equal(troupe_schema_decode(&amount_schema, troupe_buffer_slice(&buffer), &amount,
                         NULL, error, sizeof error),
        TROUPE_CORRUPT);
    assert_string_equal(error, "amount: field tries: is missing, and required");
    bytes[1] = 1;
    assert_int_equal(troupe_schema_decode(&amount_schema, troupe_buffer_slice(&buffer), &amount,
                         NULL, error, sizeof error),
        TROUPE_OK);
}

static void payloads_are_read_by_their_type_or_their_looks(void **state)
{
    (void)state;
    char bytes[64];
    struct account account;
    troupe_buffer buffer = {NULL, bytes, 0, sizeof bytes};
    assert_int_equal(
        troupe_schema_encode(&account_schema, &(struct account){5, "ada"}, &buffer, NULL, 0),
        TROUPE_OK);
    troupe_slice packed = troupe_buffer_slice(&buffer), json = troupe_str("{\"balance\":5}");
    const struct {
        const char *type;
        troupe_slice payload;
        troupe_status status;
    } cases[] = {
        {TROUPE_PACKED, packed, TROUPE_OK},
        {"", packed, TROUPE_OK},
        {TROUPE_BYTES, packed, TROUPE_OK},
        {TROUPE_JSON, json, TROUPE_OK},
        {"Application/JSON; charset=utf-8", json, TROUPE_OK},
        {"", json, TROUPE_OK},
        {TROUPE_TEXT, json, TROUPE_OK},
        {TROUPE_JSON, troupe_str("[{\"balance\":5}]"), TROUPE_OK}, /* arguments of JavaScript */
        {TROUPE_JSON, troupe_str("[[{\"balance\":5}]]"), TROUPE_USAGE},
        {TROUPE_JSON, troupe_str("[{\"balance\":5},{}]"), TROUPE_USAGE},
        {TROUPE_JSON, troupe_str("[5]"), TROUPE_USAGE},
        {TROUPE_PACKED, json, TROUPE_CORRUPT},
        {TROUPE_JSON, packed, TROUPE_USAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(troupe_schema_read(&account_schema, troupe_str(cases[i].type),
                             cases[i].payload, &account, NULL, error, sizeof error),
            cases[i].status);
        assert_int_equal(account.balance, cases[i].status == TROUPE_OK ? 5 : 0);
    }
    assert_int_equal(troupe_schema_read(&account_schema, troupe_str(TROUPE_JSON), troupe_str(""),
                         &account, NULL, error, sizeof error),
        TROUPE_OK);
    assert_string_equal(account.owner, "nobody");
}

static void a_value_that_is_none_is_not_written(void **state)
{
    (void)state;
    struct everything it;
    char bytes[4096];
    troupe_buffer buffer = {NULL, bytes, 0, sizeof bytes};
    for (int i = 0; i < 5; i++) {
        static const char *const words[] = {
            "everything: field some: its count says 5, and 4 is its room",
            "everything: field name: the string has no end",
            "everything: field colour: 2 is none of its names",
            "everything: field block: its count says 21, and 20 is its room",
            "everything: field many: its count says 3, and its pointer is NULL",
        };
        assert_int_equal(troupe_schema_init(&everything_schema, &it, NULL), TROUPE_OK);
        if (i == 0)
            it.some_count = 5;
        if (i == 1)
            memset(it.name, 'a', sizeof it.name);
        if (i == 2)
            it.colour = (enum colour)2;
        if (i == 3)
            it.block_size = 21;
        if (i == 4)
            it.many_count = 3;
        assert_int_equal(
            troupe_schema_encode(&everything_schema, &it, &buffer, error, sizeof error),
            TROUPE_USAGE);
        assert_string_equal(error, words[i]);
        assert_int_equal(
            troupe_schema_to_json(&everything_schema, &it, &buffer, error, sizeof error),
            TROUPE_USAGE);
        assert_string_equal(error, words[i]);
        assert_int_equal(buffer.size, 0);
        it.some_count = 0;
        it.many_count = 0;
        troupe_schema_free(&everything_schema, &it, NULL);
    }
}

/* ---- tables -------------------------------------------------------------------------------- */

struct table {
    int32_t a;
    int32_t b;
    char s[4];
    bool has;
    uint8_t n;
    int16_t list[4];
};

static void a_table_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    const troupe_field a = TROUPE_FIELD_I32(struct table, a, .since = 1);
    const troupe_field b = TROUPE_FIELD_I32(struct table, b);
    const troupe_field s = TROUPE_FIELD_STRING(struct table, s);
    const troupe_field list = TROUPE_FIELD_COUNTED(struct table, list, n, I16);
    troupe_field pairs[22][2];
    const char *words[22];
    size_t count = 0;
#define WRONG(first, second, change, text)  \
    do {                                    \
        pairs[count][0] = (first);          \
        pairs[count][1] = (second);         \
        troupe_field *f = &pairs[count][1]; \
        change;                             \
        words[count++] = "table: " text;    \
    } while (0)
    WRONG(a, b, (f->name = "a", f->name_size = 1), "field a: field a has the same name");
    WRONG(a, b, f->offset = 2, "field b: field a lies on the same bytes");
    WRONG(a, b, f->offset = sizeof(struct table), "field b: it lies outside of the struct");
    WRONG(a, b, f->size = 2, "field b: its size is not that of its kind");
    WRONG(a, b, f->kind = 99, "field b: there is no such kind");
    WRONG(a, b, f->shape = 9, "field b: there is no such shape");
    WRONG(a, b, f->since = 3, "field b: its .since is beyond the version of the schema");
    WRONG(a, b, f->until = 2, "field b: its .until is not before the version of the schema");
    WRONG(a, b, (f->since = 2, f->until = 1), "field b: its .until is before its .since");
    WRONG(a, b, f->was = "z a", "field b: field a has the name that it once had");
    WRONG(a, b, f->number = 1048576, "field b: its .number is beyond 1048575");
    WRONG(a, b, f->otherwise = "x", "field b: its default 'x' is not an integer");
    WRONG(a, b, f->otherwise = "2147483648",
        "field b: 2147483648 does not fit: -2147483648 to 2147483647");
    WRONG(a, s, f->otherwise = "abcd", "field s: its default 'abcd' does not fit 4 bytes");
    WRONG(a, b, (f->required = true, f->present = TROUPE_PRESENT(struct table, has)),
        "field b: it is optional and required");
    WRONG(a, b, f->present = 1, "field b: field a lies on the same bytes as its presence");
    WRONG(a, b, f->present = 1000,
        "field b: the member that says whether it is present lies outside of the struct");
    WRONG(a, list, f->count_offset = 1, "field list: field a lies on the same bytes as its count");
    WRONG(a, list, f->count_size = 3,
        "field list: the member that counts is none, or lies outside of the struct");
    WRONG(a, list, f->otherwise = "1",
        "field list: arrays, structs and optional fields have no .otherwise");
    WRONG(a, b, f->kind = TROUPE_FIELD_KIND_STRUCT, "field b: its nested schema is NULL");
    WRONG(a, b, f->name = NULL, "field 2 of table has no name");
    for (size_t i = 0; i < count; i++) {
        troupe_schema schema = TROUPE_SCHEMA(struct table, pairs[i], .version = 2);
        assert_int_equal(troupe_schema_check(&schema, error, sizeof error), TROUPE_USAGE);
        assert_string_equal(error, words[i]);
    }
    pairs[0][0] = a;
    pairs[0][1] = b;
    troupe_schema numbers = TROUPE_SCHEMA(struct table, pairs[0]);
    assert_int_equal(troupe_schema_check(&numbers, error, sizeof error), TROUPE_OK);
    pairs[0][0].number = pairs[0][1].number = 4;
    assert_int_equal(troupe_schema_check(&numbers, error, sizeof error), TROUPE_USAGE);
    assert_string_equal(error, "table: field b: field a has the same number");
}

static void the_tables_of_these_tests_are_right_and_describe_themselves(void **state)
{
    (void)state;
    if (troupe_schema_check(&everything_schema, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    troupe_buffer buffer = {tp_schema_allocator(NULL), NULL, 0, 0};
    assert_int_equal(troupe_schema_describe(&account_schema, &buffer), TROUPE_OK);
    assert_true(troupe_slice_equal(troupe_buffer_slice(&buffer),
        troupe_str("{\"name\":\"account\",\"version\":2,\"size\":40,\"fields\":[{\"name\":"
                   "\"balance\",\"kind\":\"i64\",\"since\":1},{\"name\":\"owner\",\"kind\":"
                   "\"string\",\"size\":32,\"since\":2,\"otherwise\":\"nobody\"}]}")));
    buffer.size = 0;
    assert_int_equal(troupe_schema_describe(&tree_schema, &buffer), TROUPE_OK);
    assert_true(troupe_slice_equal(troupe_buffer_slice(&buffer),
        troupe_str("{\"name\":\"tree\",\"version\":1,\"size\":24,\"fields\":[{\"name\":\"name\","
                   "\"kind\":\"text\",\"since\":0},{\"name\":\"children\",\"kind\":\"struct\","
                   "\"array\":\"owned\",\"since\":0,\"schema\":\"tree\"}]}")));
    troupe_buffer_deinit(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_json_is_refused_with_the_path_and_the_reason),
        cmocka_unit_test(json_has_defaults_former_names_and_large_numbers),
        cmocka_unit_test(what_is_required_must_be_there_and_what_is_there_must_be_valid),
        cmocka_unit_test(payloads_are_read_by_their_type_or_their_looks),
        cmocka_unit_test(a_value_that_is_none_is_not_written),
        cmocka_unit_test(a_table_that_contradicts_itself_is_refused),
        cmocka_unit_test(the_tables_of_these_tests_are_right_and_describe_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
