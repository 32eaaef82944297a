/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs change, and what was stored before is still read: fields come, go, are renamed, change
 * places and widths; old programs read what new ones write. Nothing that is stored is misread.
 */
#include "schema/schema.h"
#include "tests/schema/everything.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char store[512];
static char error[512];

static troupe_slice save(const troupe_schema *schema, const void *value)
{
    troupe_buffer buffer = {NULL, store, 0, sizeof store};
    assert_int_equal(troupe_schema_check(schema, error, sizeof error), TROUPE_OK);
    assert_int_equal(tp_schema_save(schema, value, &buffer, error, sizeof error), TROUPE_OK);
    return troupe_buffer_slice(&buffer);
}

static void load(const troupe_schema *schema, troupe_slice saved, void *ret_value)
{
    if (troupe_schema_check(schema, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    if (tp_schema_load(schema, saved, ret_value, NULL, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
}

/* ---- accounts through the years ------------------------------------------------------------ */

struct account_1 {
    int32_t cents;
    uint8_t colour;
};
static const troupe_field account_1_fields[] = {
    TROUPE_FIELD_I32(struct account_1, cents, .since = 1),
    TROUPE_FIELD_U8(struct account_1, colour, .since = 1),
};
static const troupe_schema account_1_schema = TROUPE_SCHEMA(struct account_1, account_1_fields);

/* Version 2: an owner comes, the colour goes, cents are wider, and stand behind. */
struct account_2 {
    char owner[16];
    int64_t cents;
};
static const troupe_field account_2_fields[] = {
    TROUPE_FIELD_STRING(struct account_2, owner, .since = 2, .otherwise = "nobody"),
    TROUPE_FIELD_I64(struct account_2, cents, .since = 1),
};
static const troupe_schema account_2_schema = TROUPE_SCHEMA(struct account_2, account_2_fields);

/* Version 3: tenths of cents under another name, the old ones kept for the upcast; the owner is
 * renamed; a colour comes that is another thing than the one of version 1. */
struct account_3 {
    int64_t old_cents;
    int64_t mills;
    char holder[16];
    char colour[8];
    uint32_t upcasts_from;
};
static troupe_status upcast_3(void *value, uint32_t from, const troupe_allocator *allocator)
{
    (void)allocator;
    struct account_3 *account = value;
    account->upcasts_from = from;
    switch (from) {
    case 1:
        strcpy(account->holder, "old customer");
        __attribute__((fallthrough));
    case 2:
        account->mills = account->old_cents * 10;
    }
    return account->mills < 0 ? TROUPE_APPLICATION + 1 : TROUPE_OK;
}
static const troupe_field account_3_fields[] = {
    TROUPE_FIELD_I64(struct account_3, old_cents, .since = 1, .until = 2, .was = "cents"),
    TROUPE_FIELD_I64(struct account_3, mills, .since = 3),
    TROUPE_FIELD_STRING(struct account_3, holder, .since = 2, .was = "title owner"),
    TROUPE_FIELD_STRING(struct account_3, colour, .since = 3, .otherwise = "white"),
};
static const troupe_schema account_3_schema =
    TROUPE_SCHEMA(struct account_3, account_3_fields, .upcast = upcast_3);

static void a_new_field_has_its_default_and_an_old_one_is_ignored(void **state)
{
    (void)state;
    struct account_2 now;
    load(&account_2_schema, save(&account_1_schema, &(struct account_1){-77, 3}), &now);
    assert_int_equal(now.cents, -77);
    assert_string_equal(now.owner, "nobody");
}

static void an_old_program_reads_messages_of_a_new_one(void **state)
{
    (void)state;
    struct account_1 old;
    troupe_slice saved = save(&account_2_schema, &(struct account_2){"ada", 5});
    assert_int_equal(
        troupe_schema_decode(&account_1_schema, saved, &old, NULL, error, sizeof error), TROUPE_OK);
    assert_int_equal(old.cents, 5);
    assert_int_equal(old.colour, 0);
}

static void an_old_program_does_not_take_over_new_state_unless_told(void **state)
{
    (void)state;
    struct account_1 old;
    troupe_slice saved = save(&account_2_schema, &(struct account_2){"ada", 5});
    assert_int_equal(tp_schema_load(&account_1_schema, saved, &old, NULL, error, sizeof error),
        TROUPE_UNAVAILABLE);
    assert_string_equal(error, "account_1: it was saved by a program that knows version 2, and "
                               "this one knows 1: run the newer program here, or set accept_newer");
    troupe_schema lenient = account_1_schema;
    lenient.accept_newer = true;
    load(&lenient, saved, &old);
    assert_int_equal(old.cents, 5);
}

static void an_upcast_runs_once_from_whichever_version_it_was(void **state)
{
    (void)state;
    struct account_3 now, again;
    assert_int_equal(troupe_schema_version(&account_3_schema), 3);
    load(&account_3_schema, save(&account_1_schema, &(struct account_1){12, 3}), &now);
    assert_int_equal(now.mills, 120);
    assert_int_equal(now.upcasts_from, 1);
    assert_string_equal(now.holder, "old customer");
    assert_string_equal(now.colour, "white"); /* not the 3 of version 1 */
    load(&account_3_schema, save(&account_2_schema, &(struct account_2){"ada", 7}), &now);
    assert_int_equal(now.mills, 70);
    assert_int_equal(now.upcasts_from, 2);
    assert_string_equal(now.holder, "ada");
    load(&account_3_schema, save(&account_3_schema, &now), &again);
    assert_int_equal(again.mills, 70);
    assert_int_equal(again.upcasts_from, 0);
    assert_int_equal(again.old_cents, 0); /* removed: not written any more */
}

static void an_upcast_that_fails_fails_the_load_with_its_status(void **state)
{
    (void)state;
    struct account_3 now;
    troupe_slice saved = save(&account_1_schema, &(struct account_1){-1, 0});
    assert_int_equal(tp_schema_load(&account_3_schema, saved, &now, NULL, error, sizeof error),
        TROUPE_APPLICATION + 1);
    assert_non_null(strstr(error, "account_3: the upcast from version 1 failed"));
}

static void a_value_that_no_longer_fits_is_an_error_not_another_value(void **state)
{
    (void)state;
    struct account_1 old;
    troupe_slice saved = save(&account_2_schema, &(struct account_2){"ada", INT64_C(1) << 31});
    assert_int_equal(
        troupe_schema_decode(&account_1_schema, saved, &old, NULL, error, sizeof error),
        TROUPE_CORRUPT);
    assert_string_equal(
        error, "account_1: field cents: 2147483648 does not fit: -2147483648 to 2147483647");
    assert_int_equal(old.cents, 0);
}

/* ---- kinds --------------------------------------------------------------------------------- */

struct as_i8 {
    int8_t it;
};
struct as_u64 {
    uint64_t it;
};
struct as_f32 {
    float it;
};
struct as_f64 {
    double it;
};
struct as_string {
    char it[4];
};
struct as_array {
    int16_t it[2];
};
struct as_long_array {
    int32_t it[3];
};
#define ONE_FIELD(name, macro)                           \
    static const troupe_field name##_fields[] = {macro}; \
    static const troupe_schema name##_schema = TROUPE_SCHEMA(struct name, name##_fields)
ONE_FIELD(as_i8, TROUPE_FIELD_I8(struct as_i8, it));
ONE_FIELD(as_u64, TROUPE_FIELD_U64(struct as_u64, it));
ONE_FIELD(as_f32, TROUPE_FIELD_F32(struct as_f32, it));
ONE_FIELD(as_f64, TROUPE_FIELD_F64(struct as_f64, it));
ONE_FIELD(as_string, TROUPE_FIELD_STRING(struct as_string, it));
ONE_FIELD(as_array, TROUPE_FIELD_ARRAY(struct as_array, it, I16));
ONE_FIELD(as_long_array, TROUPE_FIELD_ARRAY(struct as_long_array, it, I32));

static void numbers_change_their_width_and_sign_as_far_as_they_fit(void **state)
{
    (void)state;
    struct as_i8 small;
    struct as_u64 large;
    struct as_f64 wide;
    struct as_f32 narrow;
    load(&as_u64_schema, save(&as_i8_schema, &(struct as_i8){100}), &large);
    assert_int_equal(large.it, 100);
    load(&as_i8_schema, save(&as_u64_schema, &(struct as_u64){127}), &small);
    assert_int_equal(small.it, 127);
    load(&as_f64_schema, save(&as_i8_schema, &(struct as_i8){-100}), &wide);
    assert_true(wide.it == -100);
    load(&as_f64_schema, save(&as_f32_schema, &(struct as_f32){1.5f}), &wide);
    assert_true(wide.it == 1.5);
    load(&as_f32_schema, save(&as_f64_schema, &(struct as_f64){1.5}), &narrow);
    assert_true(narrow.it == 1.5f);
    static const struct {
        const troupe_schema *to;
        const char *words;
    } wrong[] = {
        {&as_u64_schema, "as_u64: field it: -1 does not fit: 0 to 18446744073709551615"},
        {&as_string_schema, "as_string: field it: expected a string, and an integer was stored: "
                            "what changes its kind needs a new name"},
        {&as_array_schema, "as_array: field it: expected an array, and an integer was stored: "
                           "what changes its kind needs a new name"},
    };
    char value[64];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tp_schema_load(wrong[i].to, save(&as_i8_schema, &(struct as_i8){-1}),
                             value, NULL, error, sizeof error),
            TROUPE_CORRUPT);
        assert_string_equal(error, wrong[i].words);
    }
    assert_int_equal(tp_schema_load(&as_f32_schema, save(&as_f64_schema, &(struct as_f64){1e300}),
                         value, NULL, error, sizeof error),
        TROUPE_CORRUPT);
    assert_string_equal(error, "as_f32: field it: 1e+300 does not fit a 32-bit float");
}

static void arrays_grow_and_do_not_lose_what_no_longer_fits(void **state)
{
    (void)state;
    struct as_long_array more;
    struct as_array less;
    load(&as_long_array_schema, save(&as_array_schema, &(struct as_array){{1, -2}}), &more);
    assert_int_equal(more.it[0], 1);
    assert_int_equal(more.it[1], -2);
    assert_int_equal(more.it[2], 0);
    assert_int_equal(tp_schema_load(&as_array_schema, save(&as_long_array_schema, &more), &less,
                         NULL, error, sizeof error),
        TROUPE_CORRUPT);
    assert_string_equal(error, "as_array: field it: 3 elements do not fit: there is room for 2");
}

/* ---- what must not be read ----------------------------------------------------------------- */

static void every_cut_of_a_record_is_refused_with_words(void **state)
{
    (void)state;
    struct everything it, back;
    troupe_buffer buffer = {NULL, (char[4096]){0}, 0, 4096};
    const char *json = "{\"i64\":-70000,\"note\":\"hello\",\"blob\":\"aGkhIQ==\",\"many\":[1,300],"
                       "\"way\":[{\"x\":1}],\"tags\":[\"a\",\"b\"],\"home\":{\"x\":3}}";
    assert_int_equal(troupe_schema_from_json(
                         &everything_schema, troupe_str(json), &it, NULL, error, sizeof error),
        TROUPE_OK);
    assert_int_equal(troupe_schema_encode(&everything_schema, &it, &buffer, NULL, 0), TROUPE_OK);
    for (size_t size = 0; size < buffer.size; size++) {
        error[0] = 0;
        char *exact = malloc(size + 1); /* so that a sanitizer sees the end */
        memcpy(exact, buffer.data, size);
        troupe_status status = troupe_schema_decode(
            &everything_schema, troupe_slice_of(exact, size), &back, NULL, error, sizeof error);
        assert_int_equal(status, TROUPE_CORRUPT);
        assert_true(strncmp(error, "everything: ", 12) == 0 && strlen(error) > 20);
        free(exact);
    }
    troupe_schema_free(&everything_schema, &it, NULL);
}

#define BYTES(...)   \
    troupe_slice_of( \
        (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))
/* The keys of the golden record: balance, owner. */
#define BALANCE 0xb1, 0x85, 0xd8, 0x3f
#define OWNER   0x84, 0xd1, 0xf6, 0x21

static void garbage_is_refused_by_name_and_place(void **state)
{
    (void)state;
    const struct {
        troupe_slice bytes;
        const char *words;
    } cases[] = {
        {{NULL, 0}, "account: there are no bytes"},
        {BYTES(2, 1), "account: begins with 2, and the format known here is 1"},
        {BYTES(1), "account: is cut off: its end mark is missing at byte 1"},
        {BYTES(1, 0, 0), "account: a broken version at byte 2 of 2"},
        {BYTES(1, 2, 0x80, 0), "account: a broken key of a field at byte 3 of 3"},
        {BYTES(1, 2, 3, 0), "account: a broken key of a field at byte 3 of 3"},
        {BYTES(1, 2, BALANCE, 0xff, 0), "account: field balance: a broken integer at byte 7 of 7"},
        {BYTES(1, 2, BALANCE, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0),
            "account: field balance: a broken integer at byte 16 of 16"},
        {BYTES(1, 2, BALANCE, 1, BALANCE, 1, 0),
            "account: field balance: comes twice at byte 11 of 12"},
        {BYTES(1, 2, OWNER, 9, 'a', 0),
            "account: field owner: a string or bytes are cut off at byte 7 of 8"},
        {BYTES(1, 2, OWNER, 2, 'a', 0, 0), "account: field owner: a string may not hold a NUL"},
        {BYTES(1, 2, OWNER, 32, 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a',
             'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a',
             'a', 'a', 0),
            "account: field owner: 32 bytes do not fit: there is room for 31"},
        {BYTES(1, 2, 0x0c, 9, 1, 0), "account: an unknown field is cut off at byte 4 of 5"},
        {BYTES(1, 2, 0x0f, 1, 0), "account: an unknown field is cut off at byte 3 of 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct account account = {1, "x"};
        assert_int_equal(troupe_schema_decode(
                             &account_schema, cases[i].bytes, &account, NULL, error, sizeof error),
            TROUPE_CORRUPT);
        assert_string_equal(error, cases[i].words);
        assert_int_equal(account.balance, 0);
        assert_int_equal(account.owner[0], 0);
    }
}

static void a_count_that_lies_does_not_allocate(void **state)
{
    (void)state;
    struct lying {
        uint64_t *many;
        uint8_t many_count;
    } value;
    static const troupe_field fields[] = {
        TROUPE_FIELD_OWNED(struct lying, many, many_count, U64, .number = 1)};
    static const troupe_schema schema = TROUPE_SCHEMA(struct lying, fields);
    assert_int_equal(
        troupe_schema_decode(&schema, BYTES(1, 1, 0x0e, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0),
            &value, NULL, error, sizeof error),
        TROUPE_CORRUPT);
    assert_string_equal(
        error, "lying: field many: an array is shorter than its count says at byte 10 of 11");
    /* 300 elements, and a member of eight bits to count them */
    unsigned char many[309] = {1, 1, 0x0e, 0xaf, 2, 0, 0xac, 2};
    assert_int_equal(troupe_schema_decode(&schema, troupe_slice_of(many, sizeof many), &value, NULL,
                         error, sizeof error),
        TROUPE_CORRUPT);
    assert_string_equal(
        error, "lying: field many: 300 elements do not fit the member that counts them");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_field_has_its_default_and_an_old_one_is_ignored),
        cmocka_unit_test(an_old_program_reads_messages_of_a_new_one),
        cmocka_unit_test(an_old_program_does_not_take_over_new_state_unless_told),
        cmocka_unit_test(an_upcast_runs_once_from_whichever_version_it_was),
        cmocka_unit_test(an_upcast_that_fails_fails_the_load_with_its_status),
        cmocka_unit_test(a_value_that_no_longer_fits_is_an_error_not_another_value),
        cmocka_unit_test(numbers_change_their_width_and_sign_as_far_as_they_fit),
        cmocka_unit_test(arrays_grow_and_do_not_lose_what_no_longer_fits),
        cmocka_unit_test(every_cut_of_a_record_is_refused_with_words),
        cmocka_unit_test(garbage_is_refused_by_name_and_place),
        cmocka_unit_test(a_count_that_lies_does_not_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
