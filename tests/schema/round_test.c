/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through a schema comes back: random values of every kind through both forms and copies,
 * with every allocation failing in turn; and bytes that were written once are read for ever.
 */
#include "base/prng.h"
#include "schema/schema.h"
#include "tests/base/failing.h"
#include "tests/schema/everything.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t below(tp_prng *prng, uint64_t count)
{
    return tp_prng_next(prng) % count;
}

/* Numbers of all lengths, of either sign. */
static uint64_t any(tp_prng *prng)
{
    uint64_t value = tp_prng_next(prng) >> below(prng, 64);
    return below(prng, 2) != 0 ? value : 0 - value;
}

static void any_string(tp_prng *prng, char *out, size_t capacity)
{
    static const char *const letters[] = {"a", "Z", "\"", "\\", "\n", "\x01", "/", "\xc3\xa4",
        "\xe2\x82\xac", "\xf0\x9f\x8e\xad", " "};
    size_t size = 0, wanted = below(prng, capacity);
    for (;;) {
        const char *letter = letters[below(prng, sizeof letters / sizeof letters[0])];
        if (size + strlen(letter) > wanted || size + strlen(letter) >= capacity)
            break;
        memcpy(out + size, letter, strlen(letter));
        size += strlen(letter);
    }
    out[size] = 0;
}

static void any_text(tp_prng *prng, char **text, const troupe_allocator *allocator)
{
    char held[300];
    any_string(prng, held, below(prng, 10) == 0 ? sizeof held : 20);
    assert_int_equal(troupe_text_set(text, troupe_str(held), allocator), TROUPE_OK);
}

static void any_point(tp_prng *prng, struct point *point, const troupe_allocator *allocator)
{
    point->x = (int32_t)any(prng);
    point->weight = (float)(int32_t)any(prng) / 3.0f;
    any_text(prng, &point->label, allocator);
}

static void any_everything(tp_prng *prng, struct everything *it, const troupe_allocator *allocator)
{
    memset(it, 0, sizeof *it);
    it->i8 = (int8_t)any(prng);
    it->i16 = (int16_t)any(prng);
    it->i32 = (int32_t)any(prng);
    it->i64 = (int64_t)any(prng);
    it->u8 = (uint8_t)any(prng);
    it->u16 = (uint16_t)any(prng);
    it->u32 = (uint32_t)any(prng);
    it->u64 = any(prng);
    it->f32 = (float)(int64_t)any(prng) / 7.0f;
    it->f64 = (double)(int64_t)any(prng) / 7.0;
    if (below(prng, 10) == 0)
        it->f64 = below(prng, 2) != 0 ? -(double)INFINITY : 1e-310;
    it->flag = below(prng, 2) != 0;
    static const enum colour colours[] = {RED, GREEN, BLUE};
    it->colour = colours[below(prng, 3)];
    it->has_limit = below(prng, 2) != 0;
    it->limit = it->has_limit ? (uint32_t)any(prng) : 0;
    any_string(prng, it->name, sizeof it->name);
    any_text(prng, &it->note, allocator);
    unsigned char held[300];
    for (size_t i = 0; i < sizeof held; i++)
        held[i] = (unsigned char)any(prng);
    assert_int_equal(
        troupe_bytes_set(&it->blob, troupe_slice_of(held, below(prng, sizeof held)), allocator),
        TROUPE_OK);
    it->block_size = (uint16_t)below(prng, sizeof it->block + 1);
    memcpy(it->block, held, it->block_size);
    it->has_home = below(prng, 2) != 0;
    if (it->has_home)
        any_point(prng, &it->home, allocator);
    any_point(prng, &it->here, allocator);
    for (size_t i = 0; i < 3; i++)
        it->fixed[i] = (int16_t)any(prng);
    it->some_count = (uint8_t)below(prng, 5);
    for (size_t i = 0; i < it->some_count; i++)
        it->some[i] = (double)any(prng);
    it->many_count = below(prng, 40);
    assert_int_equal(
        troupe_array_resize(&it->many, sizeof *it->many, 0, it->many_count, allocator), TROUPE_OK);
    for (size_t i = 0; i < it->many_count; i++)
        it->many[i] = any(prng);
    for (size_t i = 0; i < 2; i++) {
        any_string(prng, it->words[i], sizeof it->words[i]);
        any_text(prng, &it->texts[i], allocator);
        any_point(prng, &it->corners[i], allocator);
    }
    it->tag_count = (uint32_t)below(prng, 4);
    assert_int_equal(
        troupe_array_resize(&it->tags, sizeof *it->tags, 0, it->tag_count, allocator), TROUPE_OK);
    for (size_t i = 0; i < it->tag_count; i++)
        any_text(prng, &it->tags[i], allocator);
    it->stop_count = (uint32_t)below(prng, 4);
    for (size_t i = 0; i < it->stop_count; i++)
        any_point(prng, &it->stops[i], allocator);
    it->way_count = below(prng, 10);
    assert_int_equal(
        troupe_array_resize(&it->way, sizeof *it->way, 0, it->way_count, allocator), TROUPE_OK);
    for (size_t i = 0; i < it->way_count; i++)
        any_point(prng, &it->way[i], allocator);
}

static void random_values_come_back_through_both_forms(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    const troupe_allocator *allocator = &memory.allocator;
    tp_prng prng;
    tp_prng_seed(&prng, 7);
    char error[256] = "";
    for (int round = 0; round < 3000; round++) {
        struct everything it, back, copy;
        any_everything(&prng, &it, allocator);
        troupe_buffer packed = {allocator, NULL, 0, 0}, again = packed, json = packed;
        assert_int_equal(
            troupe_schema_encode(&everything_schema, &it, &packed, error, sizeof error), TROUPE_OK);
        assert_int_equal(troupe_schema_decode(&everything_schema, troupe_buffer_slice(&packed),
                             &back, allocator, error, sizeof error),
            TROUPE_OK);
        assert_true(troupe_schema_equal(&everything_schema, &it, &back));
        assert_int_equal(
            troupe_schema_encode(&everything_schema, &back, &again, NULL, 0), TROUPE_OK);
        assert_true(troupe_slice_equal(troupe_buffer_slice(&packed), troupe_buffer_slice(&again)));
        troupe_schema_free(&everything_schema, &back, allocator);

        assert_int_equal(
            troupe_schema_to_json(&everything_schema, &it, &json, error, sizeof error), TROUPE_OK);
        if (troupe_schema_from_json(&everything_schema, troupe_buffer_slice(&json), &back,
                allocator, error, sizeof error) != TROUPE_OK)
            fail_msg("%s: %.*s", error, TROUPE_ARG(troupe_buffer_slice(&json)));
        assert_true(troupe_schema_equal(&everything_schema, &it, &back));
        troupe_schema_free(&everything_schema, &back, allocator);

        assert_int_equal(troupe_schema_copy(&everything_schema, &it, &copy, allocator), TROUPE_OK);
        assert_true(troupe_schema_equal(&everything_schema, &it, &copy));
        assert_ptr_not_equal(copy.here.label, it.here.label);
        copy.corners[1].x ^= 1;
        assert_false(troupe_schema_equal(&everything_schema, &it, &copy));
        troupe_schema_free(&everything_schema, &copy, allocator);
        troupe_schema_free(&everything_schema, &it, allocator);
        troupe_buffer_deinit(&packed);
        troupe_buffer_deinit(&again);
        troupe_buffer_deinit(&json);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
    }
}

/* One round trip through everything; what was allocated must be back after it, however it ends. */
static troupe_status all_ways(const struct everything *it, const troupe_allocator *allocator)
{
    char error[256];
    struct everything back;
    troupe_buffer packed = {allocator, NULL, 0, 0}, json = packed;
    troupe_status status =
        troupe_schema_encode(&everything_schema, it, &packed, error, sizeof error);
    if (status == TROUPE_OK)
        status = troupe_schema_decode(&everything_schema, troupe_buffer_slice(&packed), &back,
            allocator, error, sizeof error);
    if (status == TROUPE_OK) {
        troupe_schema_free(&everything_schema, &back, allocator);
        status = troupe_schema_to_json(&everything_schema, it, &json, error, sizeof error);
    }
    if (status == TROUPE_OK)
        status = troupe_schema_from_json(
            &everything_schema, troupe_buffer_slice(&json), &back, allocator, error, sizeof error);
    if (status == TROUPE_OK) {
        troupe_schema_free(&everything_schema, &back, allocator);
        status = troupe_schema_copy(&everything_schema, it, &back, allocator);
    }
    if (status == TROUPE_OK) {
        troupe_schema_free(&everything_schema, &back, allocator);
        status = troupe_schema_init(&everything_schema, &back, allocator);
    }
    if (status == TROUPE_OK)
        troupe_schema_free(&everything_schema, &back, allocator);
    troupe_buffer_deinit(&packed);
    troupe_buffer_deinit(&json);
    return status;
}

static void each_failed_allocation_is_no_memory_and_leaks_nothing(void **state)
{
    (void)state;
    failing memory;
    tp_prng prng;
    tp_prng_seed(&prng, 11);
    struct everything it;
    any_everything(&prng, &it, NULL);
    uint64_t i = 1;
    for (;; i++) {
        failing_init(&memory);
        memory.fail_from = i;
        memory.fail_count = 1;
        troupe_status status = all_ways(&it, &memory.allocator);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
        if (memory.calls < i) {
            assert_int_equal(status, TROUPE_OK);
            break;
        }
        assert_int_equal(status, TROUPE_NO_MEMORY);
    }
    assert_true(i > 40);
    troupe_schema_free(&everything_schema, &it, NULL);
}

static void a_fixed_buffer_is_full_and_says_so(void **state)
{
    (void)state;
    struct account account = {12345, "ada"};
    char bytes[64];
    char error[128];
    for (size_t capacity = 0; capacity < sizeof bytes; capacity++) {
        troupe_buffer buffer = {NULL, bytes, 0, capacity};
        troupe_status status =
            troupe_schema_to_json(&account_schema, &account, &buffer, error, sizeof error);
        assert_true(status == TROUPE_OK || status == TROUPE_TOO_LARGE);
        if (status == TROUPE_TOO_LARGE) {
            assert_string_equal(error, "account: does not fit the buffer");
            assert_int_equal(buffer.size, 0);
        }
    }
}

/* Written by the first version of this code. If this test fails, stored state is lost: mend the
 * code, not the bytes. */
static void bytes_of_the_first_version_are_read_and_written_for_ever(void **state)
{
    (void)state;
    static const unsigned char golden[] = {0x01, 0x02, 0xb1, 0x85, 0xd8, 0x3f, 0xe7, 0x07, 0x84,
        0xd1, 0xf6, 0x21, 0x03, 0x61, 0x64, 0x61, 0x00};
    struct account account = {-500, "ada"}, back;
    troupe_buffer buffer = {NULL, (char[64]){0}, 0, 64};
    assert_int_equal(troupe_schema_encode(&account_schema, &account, &buffer, NULL, 0), TROUPE_OK);
    if (!troupe_slice_equal(troupe_buffer_slice(&buffer), troupe_slice_of(golden, sizeof golden))) {
        for (size_t i = 0; i < buffer.size; i++)
            fprintf(stderr, "0x%02x, ", (unsigned char)buffer.data[i]);
        fail_msg("the format has changed");
    }
    assert_int_equal(troupe_schema_decode(&account_schema, troupe_slice_of(golden, sizeof golden),
                         &back, NULL, NULL, 0),
        TROUPE_OK);
    assert_int_equal(back.balance, -500);
    assert_string_equal(back.owner, "ada");
}

static troupe_slice read_golden(const char *name, char *out, size_t capacity)
{
    char path[1024];
    const char *source = getenv("TROUPE_SOURCE");
    snprintf(path, sizeof path, "%s/tests/schema/golden/%s", source != NULL ? source : ".", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s cannot be read: set TROUPE_SOURCE to the repository", path);
    size_t size = fread(out, 1, capacity, file);
    fclose(file);
    return troupe_slice_of(out, size);
}

/* As above, with a field of each kind and shape. */
static void each_kind_is_read_and_written_for_ever(void **state)
{
    (void)state;
    char bytes[2048], text[2048], error[256] = "";
    struct everything it, same;
    troupe_slice packed = read_golden("everything.bin", bytes, sizeof bytes);
    troupe_slice json = read_golden("everything.json", text, sizeof text);
    troupe_buffer buffer = {NULL, (char[2048]){0}, 0, 2048};
    if (troupe_schema_decode(&everything_schema, packed, &it, NULL, error, sizeof error) !=
        TROUPE_OK)
        fail_msg("%s", error);
    assert_int_equal(
        troupe_schema_from_json(&everything_schema, json, &same, NULL, error, sizeof error),
        TROUPE_OK);
    assert_true(troupe_schema_equal(&everything_schema, &it, &same));
    assert_int_equal(it.i64, -70000);
    assert_string_equal(it.way[0].label, "unnamed");
    assert_int_equal(troupe_schema_encode(&everything_schema, &same, &buffer, NULL, 0), TROUPE_OK);
    assert_true(troupe_slice_equal(troupe_buffer_slice(&buffer), packed));
    troupe_schema_free(&everything_schema, &it, NULL);
    troupe_schema_free(&everything_schema, &same, NULL);
}

static void json_reads_as_a_person_expects(void **state)
{
    (void)state;
    struct everything it;
    tp_prng prng;
    tp_prng_seed(&prng, 3);
    assert_int_equal(troupe_schema_init(&everything_schema, &it, NULL), TROUPE_OK);
    it.u8 = 200;
    it.i64 = INT64_MIN;
    it.f32 = 0.1f;
    it.has_limit = true;
    it.limit = 9;
    memcpy(it.block, "hi!!", 4);
    it.block_size = 4;
    memcpy(it.name, "a\"b\xff", 5);
    troupe_buffer json = {tp_schema_allocator(NULL), NULL, 0, 0};
    assert_int_equal(troupe_schema_to_json(&everything_schema, &it, &json, NULL, 0), TROUPE_OK);
    assert_int_equal(troupe_buffer_add(&json, "", 1), TROUPE_OK);
    assert_string_equal(json.data,
        "{\"i8\":0,\"i16\":0,\"i32\":-7,\"i64\":-9223372036854775808,\"u8\":200,\"u16\":0,\"u32\":"
        "0,\"u64\":\"18446744073709551615\",\"f32\":0.1,\"f64\":2.5,\"flag\":true,\"colour\":"
        "\"blue\",\"limit\":9,\"name\":\"a\\\"b\\ufffd\",\"note\":\"\",\"blob\":\"\",\"block\":"
        "\"aGkhIQ==\",\"here\":{\"x\":0,\"weight\":0.5,\"label\":\"unnamed\"},\"fixed\":[0,0,0],"
        "\"some\":[],\"many\":[],\"words\":[\"\",\"\"],\"texts\":[\"\",\"\"],\"tags\":[],"
        "\"corners\":[{\"x\":0,\"weight\":0.5,\"label\":\"unnamed\"},{\"x\":0,\"weight\":0.5,"
        "\"label\":\"unnamed\"}],\"stops\":[],\"way\":[]}");
    troupe_buffer_deinit(&json);
    troupe_schema_free(&everything_schema, &it, NULL);
}

static void negative_zero_comes_back_through_json(void **state)
{
    (void)state;
    struct everything it, back;
    troupe_buffer buffer = {tp_schema_allocator(NULL), NULL, 0, 0};
    assert_int_equal(troupe_schema_init(&everything_schema, &it, NULL), TROUPE_OK);
    it.f32 = -0.0f;
    it.f64 = -0.0;
    assert_int_equal(troupe_schema_to_json(&everything_schema, &it, &buffer, NULL, 0), TROUPE_OK);
    assert_int_equal(troupe_schema_from_json(
                         &everything_schema, troupe_buffer_slice(&buffer), &back, NULL, NULL, 0),
        TROUPE_OK);
    assert_true(troupe_schema_equal(&everything_schema, &it, &back));
    troupe_schema_free(&everything_schema, &it, NULL);
    troupe_schema_free(&everything_schema, &back, NULL);
    troupe_buffer_deinit(&buffer);
}

static void a_tree_of_its_own_kind_is_carried(void **state)
{
    (void)state;
    struct tree tree;
    char error[200] = "";
    const char *json =
        "{\"name\":\"a\",\"children\":[{\"name\":\"b\",\"children\":[{\"name\":\"c\","
        "\"children\":[]}]},{\"name\":\"d\",\"children\":[]}]}";
    assert_int_equal(troupe_schema_check(&tree_schema, error, sizeof error), TROUPE_OK);
    assert_int_equal(
        troupe_schema_from_json(&tree_schema, troupe_str(json), &tree, NULL, error, sizeof error),
        TROUPE_OK);
    assert_int_equal(tree.child_count, 2);
    assert_string_equal(tree.children[0].children[0].name, "c");
    struct tree back;
    troupe_buffer buffer = {tp_schema_allocator(NULL), NULL, 0, 0};
    assert_int_equal(troupe_schema_encode(&tree_schema, &tree, &buffer, NULL, 0), TROUPE_OK);
    assert_int_equal(troupe_schema_decode(&tree_schema, troupe_buffer_slice(&buffer), &back, NULL,
                         error, sizeof error),
        TROUPE_OK);
    assert_true(troupe_schema_equal(&tree_schema, &tree, &back));
    buffer.size = 0;
    assert_int_equal(troupe_schema_to_json(&tree_schema, &back, &buffer, NULL, 0), TROUPE_OK);
    assert_true(troupe_slice_equal(troupe_buffer_slice(&buffer), troupe_str(json)));
    troupe_schema_free(&tree_schema, &tree, NULL);
    troupe_schema_free(&tree_schema, &back, NULL);
    troupe_buffer_deinit(&buffer);
    assert_true(troupe_schema_owns(&tree_schema) && !troupe_schema_owns(&account_schema));
}

static void what_is_nested_too_deep_is_refused_and_not_followed(void **state)
{
    (void)state;
    char json[4096] = "";
    struct tree tree;
    char error[1024] = "";
    for (int i = 0; i < 100; i++)
        strcat(json, "{\"children\":[");
    for (int i = 0; i < 100; i++)
        strcat(json, "]}");
    assert_int_equal(
        troupe_schema_from_json(&tree_schema, troupe_str(json), &tree, NULL, error, sizeof error),
        TROUPE_USAGE);
    assert_non_null(strstr(error, "is nested too deep"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_values_come_back_through_both_forms),
        cmocka_unit_test(each_failed_allocation_is_no_memory_and_leaks_nothing),
        cmocka_unit_test(a_fixed_buffer_is_full_and_says_so),
        cmocka_unit_test(bytes_of_the_first_version_are_read_and_written_for_ever),
        cmocka_unit_test(each_kind_is_read_and_written_for_ever),
        cmocka_unit_test(json_reads_as_a_person_expects),
        cmocka_unit_test(negative_zero_comes_back_through_json),
        cmocka_unit_test(a_tree_of_its_own_kind_is_carried),
        cmocka_unit_test(what_is_nested_too_deep_is_refused_and_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
