/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of a stored state: what was sealed opens; what was damaged, cut, misplaced or
 * written by a newer version does not, and says why.
 */
#include "store/record.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(0x5eed)

static const char *open_fault(troupe_slice stored, uint64_t seed)
{
    troupe_slice bytes = {NULL, 77};
    const char *reason = NULL;
    if (tp_record_open(stored, seed, &bytes, &reason) == TROUPE_OK) {
        assert_null(reason);
        return NULL;
    }
    assert_non_null(reason);
    assert_true(bytes.data == NULL && bytes.size == 77);
    assert_int_equal(tp_record_open(stored, seed, &bytes, NULL), TROUPE_CORRUPT);
    return reason;
}

static void what_was_sealed_opens_to_the_same_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 16, 17, 240, 241, 4096, 100001};
    tp_prng prng;
    tp_prng_seed(&prng, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        unsigned char *bytes = malloc(size + 1);
        for (size_t k = 0; k < size; k++)
            bytes[k] = (unsigned char)tp_prng_next(&prng);
        assert_int_equal(tp_record_size(size), size + TP_RECORD_HEADER_BYTES);
        unsigned char *record = malloc(tp_record_size(size) + 1);
        record[tp_record_size(size)] = 0xAB;
        tp_record_seal(record, SEED, troupe_slice_of(bytes, size));
        assert_int_equal(record[tp_record_size(size)], 0xAB);
        troupe_slice found;
        assert_int_equal(
            tp_record_open(troupe_slice_of(record, tp_record_size(size)), SEED, &found, NULL),
            TROUPE_OK);
        assert_true(troupe_slice_equal(found, troupe_slice_of(bytes, size)));
        /* In place, as a commit does that has saved behind the header. */
        unsigned char *place = malloc(tp_record_size(size));
        memcpy(place + TP_RECORD_HEADER_BYTES, bytes, size);
        tp_record_seal(place, SEED, troupe_slice_of(place + TP_RECORD_HEADER_BYTES, size));
        assert_memory_equal(place, record, tp_record_size(size));
        free(place);
        free(record);
        free(bytes);
    }
}

/* Stored bytes outlive versions and machines: these never change. */
static void the_bytes_of_format_1_are_these(void **state)
{
    (void)state;
    unsigned char record[TP_RECORD_HEADER_BYTES + 5];
    uint64_t seed = tp_record_seed(troupe_id_of("cart", "42"));
    tp_record_seal(record, seed, troupe_str("hello"));
    static const unsigned char expected[] = {1, 0, 0, 0, 5, 0, 0, 0, 0xf6, 0x4a, 0x4a, 0x84, 0x96,
        0x8a, 0xd8, 0x08, 'h', 'e', 'l', 'l', 'o'};
    assert_memory_equal(record, expected, sizeof expected);
}

static void a_changed_bit_anywhere_is_seen(void **state)
{
    (void)state;
    unsigned char record[TP_RECORD_HEADER_BYTES + 100];
    unsigned char bytes[100];
    memset(bytes, 0x5a, sizeof bytes);
    tp_record_seal(record, SEED, troupe_slice_of(bytes, sizeof bytes));
    for (size_t bit = 0; bit < sizeof record * 8; bit++) {
        record[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_non_null(open_fault(troupe_slice_of(record, sizeof record), SEED));
        record[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_null(open_fault(troupe_slice_of(record, sizeof record), SEED));
}

static void a_record_that_was_cut_or_grew_is_seen(void **state)
{
    (void)state;
    unsigned char record[TP_RECORD_HEADER_BYTES + 40] = {0};
    tp_record_seal(record, SEED, troupe_str("0123456789"));
    for (size_t size = 0; size <= sizeof record; size++) {
        const char *reason = open_fault(troupe_slice_of(record, size), SEED);
        assert_int_equal(reason == NULL, size == TP_RECORD_HEADER_BYTES + 10);
    }
    assert_non_null(open_fault(troupe_str(NULL), SEED));
}

static void a_record_of_another_actor_is_seen(void **state)
{
    (void)state;
    troupe_id ids[] = {troupe_id_of("cart", "1"), troupe_id_of("cart", "2"),
        troupe_id_of("car", "t1"), {troupe_str("cart"), troupe_str("eu"), troupe_str("1")}};
    unsigned char record[TP_RECORD_HEADER_BYTES + 3];
    for (size_t i = 0; i < 4; i++) {
        tp_record_seal(record, tp_record_seed(ids[i]), troupe_str("abc"));
        for (size_t k = 0; k < 4; k++) {
            const char *reason =
                open_fault(troupe_slice_of(record, sizeof record), tp_record_seed(ids[k]));
            assert_int_equal(reason == NULL, i == k);
        }
    }
}

static void a_newer_format_is_told_from_damage(void **state)
{
    (void)state;
    unsigned char record[TP_RECORD_HEADER_BYTES + 3];
    tp_record_seal(record, SEED, troupe_str("abc"));
    record[10] ^= 1;
    const char *damaged = open_fault(troupe_slice_of(record, sizeof record), SEED);
    record[0] = TP_RECORD_FORMAT + 1;
    const char *newer = open_fault(troupe_slice_of(record, sizeof record), SEED);
    assert_non_null(damaged);
    assert_non_null(newer);
    assert_string_not_equal(damaged, newer);
    assert_non_null(strstr(newer, "newer"));
}

static void the_seed_takes_the_longest_id(void **state)
{
    (void)state;
    char name[128];
    char key[1024];
    memset(name, 'n', sizeof name);
    memset(key, 'k', sizeof key);
    troupe_slice part = troupe_slice_of(name, sizeof name);
    troupe_id id = {part, part, troupe_slice_of(key, sizeof key)};
    uint64_t seed = tp_record_seed(id);
    key[1023] = 'l';
    assert_int_not_equal(seed, tp_record_seed(id));
}

static void more_than_4_gib_has_no_record(void **state)
{
    (void)state;
    assert_int_equal(tp_record_size((size_t)UINT32_MAX + 1), 0);
    assert_int_equal(tp_record_size(SIZE_MAX), 0);
    assert_int_not_equal(tp_record_size(UINT32_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_to_the_same_bytes),
        cmocka_unit_test(the_bytes_of_format_1_are_these),
        cmocka_unit_test(a_changed_bit_anywhere_is_seen),
        cmocka_unit_test(a_record_that_was_cut_or_grew_is_seen),
        cmocka_unit_test(a_record_of_another_actor_is_seen),
        cmocka_unit_test(a_newer_format_is_told_from_damage),
        cmocka_unit_test(the_seed_takes_the_longest_id),
        cmocka_unit_test(more_than_4_gib_has_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
