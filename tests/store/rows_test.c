/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows beside a state: each kind comes back as it was; damage, cuts, other keys, other actors
 * and garbage are seen; keys of the outbox sort in the order of sending.
 */
#include "store/rows.h"

#include "base/limits.h"
#include "base/prng.h"
#include "store/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(0x5eed)

static const char number_key[TP_ROW_NUMBER_BYTES] = "\0\0\0\0\0\0\0\7\0\0\0\1";

static troupe_slice key_of(uint32_t kind)
{
    switch (kind) {
    case TROUPE_ROW_OUTBOX:
    case TROUPE_ROW_DEAD:
        return troupe_slice_of(number_key, sizeof number_key);
    default:
        return troupe_str("some/key");
    }
}

static tp_row_outbox sample_message(void)
{
    return (tp_row_outbox){
        .flags = 0x80000001,
        .attempts = 3,
        .created = UINT64_C(0x1122334455667788),
        .expires = 99,
        .status = TROUPE_APPLICATION + 4,
        .outcome = TROUPE_UNKNOWN_OUTCOME,
        .target = {troupe_str("account"), troupe_str("eu"), troupe_slice_of("a\0/b", 4)},
        .method = troupe_str("deposit"),
        .content_type = troupe_str("application/json"),
        .payload = troupe_str("{\"amount\":5}"),
        .then_done = troupe_str("deposited"),
        .then_failed = troupe_str("refused"),
        .then_context = troupe_slice_of("\xff\0\1", 3),
        .baggage = troupe_slice_of("\1\1\0\0t5", 6),
    };
}

static tp_row sample(uint32_t kind)
{
    tp_row row = {.kind = kind};
    switch (kind) {
    case TROUPE_ROW_ONCE:
        row.once = (tp_row_once){TP_ONCE_DONE, -5, TROUPE_NOT_DONE, 12345, troupe_str("text/plain"),
            troupe_str("payload"), troupe_str("words")};
        break;
    case TROUPE_ROW_OUTBOX:
        row.outbox = sample_message();
        break;
    case TROUPE_ROW_SENDER:
        row.sender = (tp_row_sender){{UINT64_MAX, UINT32_MAX}, 17, TROUPE_APPLICATION + 1};
        break;
    case TROUPE_ROW_REMINDER:
        row.reminder = (tp_row_reminder){7, 8, 9, troupe_str("every 90s"), troupe_str("ring"),
            troupe_str(""), troupe_str("payload")};
        break;
    default:
        row.dead = (tp_row_dead){sample_message(), TROUPE_NO_METHOD, 33, troupe_str("no method")};
    }
    return row;
}

/* The value, of its exact size so that a sanitizer sees a read beyond it. */
static unsigned char *encode(const tp_row *row, troupe_slice key, size_t *ret_size)
{
    size_t size = tp_row_size(row, key);
    assert_true(size > TP_ROW_HEADER_BYTES);
    unsigned char *value = malloc(size);
    tp_row_encode(row, SEED, key, value);
    *ret_size = size;
    return value;
}

static const char *decode_fault(
    uint32_t kind, uint64_t seed, troupe_slice key, troupe_slice value, tp_row *ret_row)
{
    const char *reason = NULL;
    tp_row row = {.kind = 77};
    if (tp_row_decode(kind, seed, key, value, &row, &reason) == TROUPE_OK) {
        assert_null(reason);
        assert_int_equal(row.kind, kind);
        if (ret_row != NULL)
            *ret_row = row;
        return NULL;
    }
    assert_int_equal(row.kind, 77);
    assert_non_null(reason);
    assert_int_equal(tp_row_decode(kind, seed, key, value, &row, NULL), TROUPE_CORRUPT);
    return reason;
}

static void assert_same(troupe_slice left, troupe_slice right)
{
    assert_true(troupe_slice_equal(left, right));
}

static void assert_same_message(const tp_row_outbox *left, const tp_row_outbox *right)
{
    assert_int_equal(left->flags, right->flags);
    assert_int_equal(left->attempts, right->attempts);
    assert_int_equal(left->created, right->created);
    assert_int_equal(left->expires, right->expires);
    assert_int_equal(left->status, right->status);
    assert_int_equal(left->outcome, right->outcome);
    assert_same(left->target.type, right->target.type);
    assert_same(left->target.partition, right->target.partition);
    assert_same(left->target.key, right->target.key);
    assert_same(left->method, right->method);
    assert_same(left->content_type, right->content_type);
    assert_same(left->payload, right->payload);
    assert_same(left->then_done, right->then_done);
    assert_same(left->then_failed, right->then_failed);
    assert_same(left->then_context, right->then_context);
    assert_same(left->baggage, right->baggage);
}

static void assert_same_row(const tp_row *left, const tp_row *right)
{
    switch (left->kind) {
    case TROUPE_ROW_ONCE:
        assert_int_equal(left->once.state, right->once.state);
        assert_int_equal(left->once.status, right->once.status);
        assert_int_equal(left->once.outcome, right->once.outcome);
        assert_int_equal(left->once.expires, right->once.expires);
        assert_same(left->once.content_type, right->once.content_type);
        assert_same(left->once.payload, right->once.payload);
        assert_same(left->once.message, right->once.message);
        break;
    case TROUPE_ROW_OUTBOX:
        assert_same_message(&left->outbox, &right->outbox);
        break;
    case TROUPE_ROW_SENDER:
        assert_int_equal(tp_row_number_compare(left->sender.last, right->sender.last), 0);
        assert_int_equal(left->sender.seen, right->sender.seen);
        assert_int_equal(left->sender.refused, right->sender.refused);
        break;
    case TROUPE_ROW_REMINDER:
        assert_int_equal(left->reminder.number, right->reminder.number);
        assert_int_equal(left->reminder.due, right->reminder.due);
        assert_int_equal(left->reminder.set, right->reminder.set);
        assert_same(left->reminder.schedule, right->reminder.schedule);
        assert_same(left->reminder.method, right->reminder.method);
        assert_same(left->reminder.content_type, right->reminder.content_type);
        assert_same(left->reminder.payload, right->reminder.payload);
        break;
    default:
        assert_same_message(&left->dead.message, &right->dead.message);
        assert_int_equal(left->dead.reason, right->dead.reason);
        assert_int_equal(left->dead.moved, right->dead.moved);
        assert_same(left->dead.words, right->dead.words);
    }
}

static void each_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    for (uint32_t kind = TROUPE_ROW_ONCE; kind <= TROUPE_ROW_DEAD; kind++) {
        tp_row row = sample(kind);
        tp_row found;
        size_t size = 0;
        unsigned char *value = encode(&row, key_of(kind), &size);
        assert_null(decode_fault(kind, SEED, key_of(kind), troupe_slice_of(value, size), &found));
        assert_same_row(&found, &row);
        free(value);
    }
}

/* Stored bytes outlive versions and machines: the order and width of fields never change. */
static void the_bytes_of_format_1_are_these(void **state)
{
    (void)state;
    tp_row row = {
        .kind = TROUPE_ROW_SENDER, .sender = {{0x0102030405060708, 0x090a0b0c}, 0xff, TROUPE_OK}};
    static const unsigned char sender[] = {1, 3, 0, 0, 0x35, 0x3b, 0x01, 0xfa, 0x8f, 0x91, 0x3c,
        0x97, 8, 7, 6, 5, 4, 3, 2, 1, 12, 11, 10, 9, 0xff, 0, 0, 0, 0, 0, 0, 0};
    size_t size = 0;
    unsigned char *value = encode(&row, key_of(row.kind), &size);
    assert_int_equal(size, sizeof sender);
    assert_memory_equal(value, sender, size);
    free(value);
    row = sample(TROUPE_ROW_ONCE);
    value = encode(&row, key_of(row.kind), &size);
    static const unsigned char once[] = {2, 0xfb, 0xff, 0xff, 0xff, 1, 0x39, 0x30, 0, 0, 0, 0, 0, 0,
        10, 0, 0, 0, 't', 'e', 'x', 't'};
    assert_memory_equal(value + TP_ROW_HEADER_BYTES, once, sizeof once);
    free(value);
}

static void a_changed_bit_or_a_cut_anywhere_is_seen(void **state)
{
    (void)state;
    for (uint32_t kind = TROUPE_ROW_ONCE; kind <= TROUPE_ROW_DEAD; kind++) {
        tp_row row = sample(kind);
        size_t size = 0;
        unsigned char *value = encode(&row, key_of(kind), &size);
        for (size_t bit = 0; bit < size * 8; bit++) {
            value[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_non_null(
                decode_fault(kind, SEED, key_of(kind), troupe_slice_of(value, size), NULL));
            value[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < size; cut++) {
            unsigned char *less = malloc(cut + 1);
            memcpy(less, value, cut);
            assert_non_null(
                decode_fault(kind, SEED, key_of(kind), troupe_slice_of(less, cut), NULL));
            free(less);
        }
        free(value);
    }
}

/* Bytes with a right checksum that no version wrote: reading stops at the end, and what is taken
 * has the same bytes when it is written again. */
static void garbage_under_a_right_checksum_is_no_harm(void **state)
{
    (void)state;
    tp_prng prng;
    tp_prng_seed(&prng, 3);
    unsigned taken = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t kind = (uint32_t)(TROUPE_ROW_ONCE + round % 5);
        tp_row row = sample(kind);
        size_t size = 0;
        unsigned char *value = encode(&row, key_of(kind), &size);
        size_t kept = TP_ROW_HEADER_BYTES + (size_t)tp_prng_below(&prng, size);
        kept = kept < size ? kept : size;
        for (uint64_t i = tp_prng_below(&prng, 3); i > 0 && kept > TP_ROW_HEADER_BYTES; i--)
            value[TP_ROW_HEADER_BYTES + tp_prng_below(&prng, kept - TP_ROW_HEADER_BYTES)] =
                (unsigned char)tp_prng_next(&prng);
        unsigned char *less = malloc(kept);
        memcpy(less, value, kept);
        tp_row_seal(kind, SEED, key_of(kind), less, kept);
        if (decode_fault(kind, SEED, key_of(kind), troupe_slice_of(less, kept), &row) == NULL) {
            taken++;
            size_t again = 0;
            unsigned char *copy = encode(&row, key_of(kind), &again);
            assert_int_equal(again, kept);
            assert_memory_equal(copy, less, kept);
            free(copy);
        }
        free(less);
        free(value);
    }
    assert_in_range(taken, 500, 19500);
}

static void bytes_behind_the_last_field_are_seen(void **state)
{
    (void)state;
    for (uint32_t kind = TROUPE_ROW_ONCE; kind <= TROUPE_ROW_DEAD; kind++) {
        tp_row row = sample(kind);
        size_t size = 0;
        unsigned char *value = encode(&row, key_of(kind), &size);
        unsigned char *more = calloc(1, size + 1);
        memcpy(more, value, size);
        tp_row_seal(kind, SEED, key_of(kind), more, size + 1);
        assert_non_null(
            decode_fault(kind, SEED, key_of(kind), troupe_slice_of(more, size + 1), NULL));
        free(more);
        free(value);
    }
}

static void a_row_of_another_actor_kind_or_key_is_seen(void **state)
{
    (void)state;
    tp_row row = sample(TROUPE_ROW_SENDER);
    size_t size = 0;
    troupe_slice key = key_of(TROUPE_ROW_SENDER);
    unsigned char *bytes = encode(&row, key, &size);
    troupe_slice value = troupe_slice_of(bytes, size);
    assert_null(decode_fault(TROUPE_ROW_SENDER, SEED, key, value, NULL));
    assert_non_null(decode_fault(TROUPE_ROW_SENDER, SEED + 1, key, value, NULL));
    assert_non_null(decode_fault(TROUPE_ROW_SENDER, SEED, troupe_str("some/kez"), value, NULL));
    const char *reason = decode_fault(TROUPE_ROW_REMINDER, SEED, key, value, NULL);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "another kind"));
    assert_non_null(decode_fault(TROUPE_ROW_STATE, SEED, key, value, NULL));
    assert_non_null(decode_fault(6, SEED, key, value, NULL));
    free(bytes);
}

static void a_newer_format_is_told_from_damage(void **state)
{
    (void)state;
    tp_row row = sample(TROUPE_ROW_ONCE);
    size_t size = 0;
    unsigned char *value = encode(&row, key_of(row.kind), &size);
    value[0] = TP_ROW_FORMAT + 1;
    const char *newer =
        decode_fault(row.kind, SEED, key_of(row.kind), troupe_slice_of(value, size), NULL);
    assert_non_null(strstr(newer, "newer"));
    free(value);
}

static void a_field_or_key_that_could_not_be_read_again_has_no_size(void **state)
{
    (void)state;
    char longest[TP_ROW_KEY_MAX + 1];
    memset(longest, 'k', sizeof longest);
    static const size_t limits[] = {[TROUPE_ROW_ONCE] = TP_ROW_ONCE_MAX,
        [TROUPE_ROW_OUTBOX] = TP_ROW_NUMBER_BYTES,
        [TROUPE_ROW_SENDER] = TP_ROW_KEY_MAX,
        [TROUPE_ROW_REMINDER] = TP_ROW_REMINDER_MAX,
        [TROUPE_ROW_DEAD] = TP_ROW_NUMBER_BYTES};
    for (uint32_t kind = TROUPE_ROW_ONCE; kind <= TROUPE_ROW_DEAD; kind++) {
        tp_row row = sample(kind);
        assert_int_not_equal(tp_row_size(&row, troupe_slice_of(longest, limits[kind])), 0);
        assert_int_equal(tp_row_size(&row, troupe_slice_of(longest, limits[kind] + 1)), 0);
        assert_int_equal(tp_row_size(&row, troupe_str("")), 0);
    }
    tp_row once = sample(TROUPE_ROW_ONCE);
    once.once.state = 0;
    assert_int_equal(tp_row_size(&once, troupe_str("id")), 0);
    tp_row message = sample(TROUPE_ROW_OUTBOX);
    message.outbox.target.type = troupe_str("no/type");
    assert_int_equal(tp_row_size(&message, key_of(TROUPE_ROW_OUTBOX)), 0);
    message = sample(TROUPE_ROW_DEAD);
    message.dead.message.target.key = troupe_str("");
    assert_int_equal(tp_row_size(&message, key_of(TROUPE_ROW_DEAD)), 0);
    message = sample(TROUPE_ROW_OUTBOX);
    message.outbox.payload.size = (size_t)UINT32_MAX + 1;
    assert_int_equal(tp_row_size(&message, key_of(TROUPE_ROW_OUTBOX)), 0);
    message.outbox.payload.size = UINT32_MAX; /* fits its field, but not with the others */
    assert_int_equal(tp_row_size(&message, key_of(TROUPE_ROW_OUTBOX)), 0);
    tp_row reminder = sample(TROUPE_ROW_REMINDER);
    reminder.reminder.method = troupe_str("");
    assert_int_equal(tp_row_size(&reminder, troupe_str("daily")), 0);
}

static void keys_of_the_outbox_sort_in_the_order_of_sending(void **state)
{
    (void)state;
    static const tp_row_number numbers[] = {{0, 0}, {0, 1}, {1, 0}, {1, 255}, {1, 256},
        {1, UINT32_MAX}, {2, 0}, {255, 9}, {256, 0}, {UINT64_C(1) << 32, 3}, {UINT64_MAX, 0},
        {UINT64_MAX, UINT32_MAX}};
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    for (int i = 0; i < COUNT; i++) {
        unsigned char left[TP_ROW_NUMBER_BYTES];
        tp_row_number again;
        tp_row_number_key(numbers[i], left);
        assert_int_equal(tp_row_number_of(troupe_slice_of(left, sizeof left), &again), TROUPE_OK);
        assert_int_equal(tp_row_number_compare(again, numbers[i]), 0);
        for (int k = 0; k < COUNT; k++) {
            unsigned char right[TP_ROW_NUMBER_BYTES];
            tp_row_number_key(numbers[k], right);
            int order = memcmp(left, right, sizeof left);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            assert_int_equal(tp_row_number_compare(numbers[i], numbers[k]), (i > k) - (i < k));
        }
    }
    tp_row_number untouched = {4, 5};
    assert_int_equal(tp_row_number_of(troupe_str("elevenbytes"), &untouched), TROUPE_CORRUPT);
    assert_true(untouched.version == 4 && untouched.index == 5);
}

static void each_sender_has_a_key_of_its_own_however_long_its_id(void **state)
{
    (void)state;
    char out[TP_ROW_KEY_MAX];
    size_t size = tp_row_sender_key(troupe_id_of("cart", "42"), out);
    assert_same(troupe_slice_of(out, size), troupe_str("cart/42"));
    char name[TP_NAME_MAX];
    char key[TP_KEY_MAX];
    memset(name, 'n', sizeof name);
    memset(key, 'k', sizeof key);
    troupe_slice part = troupe_slice_of(name, sizeof name);
    /* 128 + @ + 128 + / + 942 = 1,200: still the text itself. */
    troupe_id id = {part, part, troupe_slice_of(key, 942)};
    size = tp_row_sender_key(id, out);
    assert_int_equal(size, TP_ROW_KEY_MAX);
    assert_true(out[0] == 'n' && out[257] == '/' && out[1199] == 'k');
    char last[TP_ROW_KEY_MAX];
    memcpy(last, out, sizeof last);
    for (size_t length = 943; length <= TP_KEY_MAX; length++) {
        id.key.size = length;
        assert_int_equal(tp_row_sender_key(id, out), TP_ROW_KEY_MAX);
        assert_true(out[0] == '#' && out[33] == 'n');
        assert_memory_not_equal(out, last, sizeof last);
        memcpy(last, out, sizeof last);
    }
    key[TP_KEY_MAX - 1] = 'l';
    assert_int_equal(tp_row_sender_key(id, out), TP_ROW_KEY_MAX);
    assert_memory_not_equal(out, last, sizeof last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_comes_back_as_it_was),
        cmocka_unit_test(the_bytes_of_format_1_are_these),
        cmocka_unit_test(a_changed_bit_or_a_cut_anywhere_is_seen),
        cmocka_unit_test(garbage_under_a_right_checksum_is_no_harm),
        cmocka_unit_test(bytes_behind_the_last_field_are_seen),
        cmocka_unit_test(a_row_of_another_actor_kind_or_key_is_seen),
        cmocka_unit_test(a_newer_format_is_told_from_damage),
        cmocka_unit_test(a_field_or_key_that_could_not_be_read_again_has_no_size),
        cmocka_unit_test(keys_of_the_outbox_sort_in_the_order_of_sending),
        cmocka_unit_test(each_sender_has_a_key_of_its_own_however_long_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
