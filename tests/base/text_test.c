/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts: ids parse and print back, bad ones are refused each for its own reason; the builder never
 * overflows, and its JSON is JSON.
 */
#include "base/id.h"
#include "base/prng.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static troupe_status parse(troupe_slice text, char *parts, const char **reason)
{
    troupe_slice type = {NULL, 0};
    troupe_slice partition = {NULL, 0};
    troupe_slice key = {NULL, 0};
    troupe_status status = tp_id_parse(text, &type, &partition, &key, reason);
    if (status == TROUPE_OK) {
        snprintf(parts, 4096, "%.*s|%.*s|%.*s", TROUPE_ARG(type), TROUPE_ARG(partition),
                 TROUPE_ARG(key));
    } else {
        assert_true(type.data == NULL && partition.data == NULL && key.data == NULL);
    }
    return status;
}

static void good_ids_parse(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"cart/42", "cart||42"},           {"cart@eu/42", "cart|eu|42"},
        {"a/b/c", "a||b/c"},               {"a/@", "a||@"},
        {"a/b@c/d", "a||b@c/d"},           {"9-._/ ", "9-._|| "},
        {"chat.room@p-1/\xff", "chat.room|p-1|\xff"},
    };
    char parts[4096];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(troupe_str(cases[i][0]), parts, NULL), TROUPE_OK);
        assert_string_equal(parts, cases[i][1]);
    }
}

static void each_bad_id_is_refused_with_its_own_reason(void **state)
{
    (void)state;
    char long_name[TP_NAME_MAX + 4];
    char long_partition[TP_NAME_MAX + 6];
    char long_key[TP_KEY_MAX + 4];
    memset(long_name, 'a', sizeof(long_name));
    memcpy(long_name + TP_NAME_MAX + 1, "/k", 3);
    memset(long_partition, 'a', sizeof(long_partition));
    long_partition[1] = '@';
    memcpy(long_partition + TP_NAME_MAX + 3, "/k", 3);
    memset(long_key, 'k', sizeof(long_key));
    long_key[1] = '/';
    long_key[TP_KEY_MAX + 3] = '\0';
    const char *const cases[] = {"cart", "/k", "-a/k", "a b/k", long_name, "a@/k", "a@-/k",
                                 "a@b@c/k", long_partition, "a/", long_key};
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    const char *reasons[CASES];
    for (size_t i = 0; i < CASES; i++) {
        reasons[i] = NULL;
        assert_int_equal(parse(troupe_str(cases[i]), NULL, &reasons[i]), TROUPE_USAGE);
        assert_non_null(reasons[i]);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(reasons[i], reasons[k]);
        }
    }
    assert_int_equal(parse(troupe_str(NULL), NULL, NULL), TROUPE_USAGE);
    long_key[TP_KEY_MAX + 2] = '\0'; /* the longest that is right */
    char parts[4096];
    assert_int_equal(parse(troupe_str(long_key), parts, NULL), TROUPE_OK);
}

static void random_name(tp_prng *prng, char *out, size_t *ret_size)
{
    static const char bytes[] = "abcXYZ019_.-";
    *ret_size = (size_t)tp_prng_between(prng, 1, TP_NAME_MAX);
    for (size_t i = 0; i < *ret_size; i++) {
        out[i] = bytes[tp_prng_below(prng, i == 0 ? 9 : 12)];
    }
}

static void ids_survive_printing_and_parsing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        tp_prng prng;
        tp_prng_seed(&prng, seed);
        char type[TP_NAME_MAX];
        char partition[TP_NAME_MAX];
        char key[TP_KEY_MAX];
        troupe_slice in[3] = {{type, 0}, {partition, 0}, {key, 0}};
        random_name(&prng, type, &in[0].size);
        if (seed % 2 == 0) {
            random_name(&prng, partition, &in[1].size);
        }
        in[2].size = (size_t)tp_prng_between(&prng, 1, TP_KEY_MAX);
        for (size_t i = 0; i < in[2].size; i++) {
            key[i] = (char)tp_prng_next(&prng);
        }
        struct tp_id_text text;
        size_t length = tp_id_print(text.data, sizeof(text.data), in[0], in[1], in[2]);
        assert_true(length < sizeof(text.data) && text.data[length] == '\0');
        troupe_slice out[3];
        troupe_slice whole = troupe_slice_of(text.data, length);
        assert_int_equal(tp_id_parse(whole, &out[0], &out[1], &out[2], NULL), TROUPE_OK);
        for (int i = 0; i < 3; i++) {
            assert_true(troupe_slice_equal(in[i], out[i]));
        }
    }
}

static void printing_an_id_cuts_like_snprintf(void **state)
{
    (void)state;
    const char *whole = "type@part/key";
    for (size_t size = 0; size < 20; size++) {
        char out[20];
        char expected[20];
        memset(out, '#', sizeof(out));
        memset(expected, '#', sizeof(expected));
        snprintf(expected, size, "%s", whole);
        size_t length = tp_id_print(out, size, troupe_str("type"), troupe_str("part"),
                                    troupe_str("key"));
        assert_int_equal(length, strlen(whole));
        assert_memory_equal(out, expected, sizeof(out));
    }
}

static void names_follow_their_rule(void **state)
{
    (void)state;
    assert_true(tp_name_is_valid(troupe_str("Cart_1.x-y")));
    assert_false(tp_name_is_valid(troupe_str("")));
    assert_false(tp_name_is_valid(troupe_str("_x")));
    assert_false(tp_name_is_valid(troupe_str("a/b")));
    assert_false(tp_name_is_valid(troupe_slice_of("a\0b", 3)));
}

static void text_is_cut_where_the_buffer_ends(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 16; capacity++) {
        char data[17];
        memset(data, '#', sizeof(data));
        tp_text text;
        tp_text_init(&text, data, capacity);
        tp_text_printf(&text, "%s", "");
        assert_false(text.is_cut);
        tp_text_printf(&text, "%d-", 1234);
        tp_text_append(&text, troupe_str("abcd"));
        tp_text_printf(&text, "%s", "!");
        size_t fits = capacity == 0 ? 0 : capacity - 1 < 10 ? capacity - 1 : 10;
        assert_int_equal(text.size, fits);
        assert_int_equal(text.is_cut, fits < 10);
        assert_memory_equal(data, "1234-abcd!", fits);
        assert_true(capacity == 0 || data[fits] == '\0');
        for (size_t i = capacity; i < sizeof(data); i++) {
            assert_int_equal(data[i], '#');
        }
        size_t before = text.size;
        if (text.is_cut) {
            tp_text_append(&text, troupe_str("x"));
            assert_int_equal(text.size, before);
        }
        assert_int_equal(tp_text_slice(&text).size, text.size);
    }
}

static void json_strings_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "\"plain\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", "\"\\ufffd\""},
        {"\xc3", "\"\\ufffd\""},
        {"\xc3(", "\"\\ufffd(\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},                      /* overlong */
        {"\xe0\x80\x80", "\"\\ufffd\\ufffd\\ufffd\""},           /* overlong */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},           /* surrogate */
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* beyond the last */
        {"\xf0\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* overlong */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char data[100];
        tp_text text;
        tp_text_init(&text, data, sizeof(data));
        tp_text_json(&text, troupe_str(cases[i][0]));
        assert_string_equal(data, cases[i][1]);
    }
    char data[100];
    tp_text text;
    tp_text_init(&text, data, sizeof(data));
    tp_text_json(&text, troupe_slice_of("a\0b", 3));
    tp_text_json(&text, troupe_slice_of(NULL, 0));
    assert_string_equal(data, "\"a\\u0000b\"\"\"");
}

static void an_escape_is_never_cut_in_two(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity < 24; capacity++) {
        char data[24];
        tp_text text;
        tp_text_init(&text, data, capacity);
        tp_text_json(&text, troupe_str("a\n\xff\xc3\xa9\x01"));
        assert_int_equal(text.is_cut, capacity < 20);
        static const size_t ends[] = {0, 1, 2, 4, 10, 12, 18, 19};
        size_t expected = 0;
        for (size_t i = 0; i < 8; i++) {
            expected = ends[i] < capacity ? ends[i] : expected;
        }
        assert_int_equal(text.size, expected);
        assert_memory_equal(data, "\"a\\n\\ufffd\xc3\xa9\\u0001\"", expected);
    }
}

static void only_well_formed_utf8_is_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "a", "\x7F", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    static const char *const bad[] = {"\x80", "\xFF", "a\xC3", "\xC0\xAE", "\xE0\x80\xAF",
        "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF0\x9F\x98", "\xC3\x28"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(tp_text_is_utf8(troupe_str(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tp_text_is_utf8(troupe_str(bad[i])));
    }
    assert_true(tp_text_is_utf8(troupe_slice_of("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ids_parse),
        cmocka_unit_test(each_bad_id_is_refused_with_its_own_reason),
        cmocka_unit_test(ids_survive_printing_and_parsing),
        cmocka_unit_test(printing_an_id_cuts_like_snprintf),
        cmocka_unit_test(names_follow_their_rule),
        cmocka_unit_test(text_is_cut_where_the_buffer_ends),
        cmocka_unit_test(json_strings_are_escaped_and_always_utf8),
        cmocka_unit_test(only_well_formed_utf8_is_utf8),
        cmocka_unit_test(an_escape_is_never_cut_in_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
