/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what is written is read again, every cut and every wrong bit is refused with words, and
 * nothing outside the body is touched (each body lies in a block of its own size, for the
 * sanitizers to see).
 */
#include "wire/frames.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A copy that ends where its block ends. */
static troupe_slice exact(const void *bytes, size_t size)
{
    char *copy = malloc(size != 0 ? size : 1);
    if (size != 0)
        memcpy(copy, bytes, size);
    return troupe_slice_of(copy, size);
}

static void drop(troupe_slice slice)
{
    free((void *)(uintptr_t)slice.data);
}

static void assert_same(troupe_slice left, troupe_slice right)
{
    assert_true(troupe_slice_equal(left, right));
}

static tp_parcel parcel_with(unsigned bits)
{
    tp_parcel parcel = {.bits = (uint16_t)bits,
        .hops = 3,
        .content = 2,
        .name = bits & TP_PARCEL_NAMES ? 0 : 77,
        .hash = UINT64_C(0x1122334455667788),
        .key = troupe_str("some-key"),
        .payload = troupe_str("a payload of some bytes"),
        .from = {5, 6, 7, 0},
        .remaining = TP_WIRE_NEVER};
    if (bits & TP_PARCEL_NAMES) {
        parcel.type = troupe_str("counter");
        parcel.method = troupe_str("add");
    }
    if (bits & TP_PARCEL_PARTITION)
        parcel.partition = troupe_str("tenant");
    if (bits & TP_PARCEL_ELSEWHERE)
        parcel.from.incarnation = 99;
    if (bits & TP_PARCEL_CHAIN)
        parcel.chain = 12345;
    if (bits & TP_PARCEL_DEADLINE)
        parcel.remaining = 30000000000;
    if (bits & TP_PARCEL_CALLER) {
        parcel.caller_name = bits & TP_PARCEL_ASK ? 4 : 0;
        parcel.caller_type = parcel.caller_name == 0 ? troupe_str("cart") : troupe_str("");
        parcel.caller_key = troupe_str("42");
        parcel.caller_partition = troupe_str(bits & TP_PARCEL_READ ? "p" : "");
    }
    if (bits & TP_PARCEL_GRANT) {
        parcel.grant = 7 << 24 | 9;
        parcel.home = 3;
    }
    if (bits & TP_PARCEL_CONTENT)
        parcel.content_type = troupe_str("application/x-own");
    if (bits & TP_PARCEL_SLIP)
        parcel.slip = troupe_str("slip bytes");
    if (bits & TP_PARCEL_ORDER)
        parcel.order = UINT64_MAX - 7;
    if (bits & TP_PARCEL_ORIGIN)
        parcel.origin = 11;
    if (parcel.origin != 0 && (bits & TP_PARCEL_GRANT))
        parcel.trail = troupe_slice_of("two-----nodes---", 16);
    return parcel;
}

static void assert_parcel(const tp_parcel *got, const tp_parcel *put)
{
    assert_int_equal(got->bits, put->bits);
    assert_int_equal(got->hops, put->hops);
    assert_int_equal(got->content, put->content);
    assert_int_equal(got->name, put->name);
    assert_true(got->hash == put->hash);
    assert_same(got->key, put->key);
    assert_same(got->payload, put->payload);
    assert_same(got->type, put->type);
    assert_same(got->method, put->method);
    assert_same(got->partition, put->partition);
    assert_same(got->content_type, put->content_type);
    assert_same(got->slip, put->slip);
    assert_true(got->chain == put->chain && got->remaining == put->remaining);
    assert_true(got->grant == put->grant);
    assert_true(got->order == put->order && got->origin == put->origin);
    assert_same(got->trail, put->trail);
    if (put->bits & TP_PARCEL_GRANT)
        assert_true(got->home == put->home);
    if (put->bits & TP_PARCEL_FROM) {
        assert_int_equal(got->from.slot, put->from.slot);
        assert_int_equal(got->from.generation, put->from.generation);
        assert_int_equal(got->from.shard, put->from.shard);
        assert_true(got->from.incarnation == put->from.incarnation);
    }
    if (put->bits & TP_PARCEL_CALLER) {
        assert_int_equal(got->caller_name, put->caller_name);
        assert_same(got->caller_type, put->caller_type);
        assert_same(got->caller_partition, put->caller_partition);
        assert_same(got->caller_key, put->caller_key);
    }
}

static bool makes_sense(unsigned bits)
{
    if ((bits & TP_PARCEL_ORIGIN) && !(bits & TP_PARCEL_ORDER))
        return false;
    return (bits & TP_PARCEL_FROM) || !(bits & (TP_PARCEL_ASK | TP_PARCEL_ELSEWHERE));
}

static void a_parcel_with_any_parts_is_read_as_it_was_written(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (unsigned bits = 0; bits <= UINT16_MAX; bits++) {
        if (!makes_sense(bits))
            continue;
        tp_parcel put = parcel_with(bits), got;
        char bytes[1024];
        size_t size = tp_parcel_size(&put);
        assert_true(size < sizeof bytes);
        bytes[size] = 0x5a;
        tp_parcel_put(bytes, &put);
        assert_int_equal(bytes[size], 0x5a);
        troupe_slice body = exact(bytes, size);
        const char *fault = tp_parcel_get(body, &got);
        assert_null(fault);
        assert_parcel(&got, &put);
        drop(body);
        seen++;
    }
    assert_int_equal(seen, (1 << 16) * 5 / 8 * 3 / 4);
}

static void a_parcel_that_is_cut_is_refused_or_lacks_payload_only(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= UINT16_MAX; bits += 7) {
        if (!makes_sense(bits))
            continue;
        tp_parcel put = parcel_with(bits), got;
        char bytes[1024];
        size_t size = tp_parcel_size(&put);
        tp_parcel_put(bytes, &put);
        for (size_t cut = 0; cut < size; cut++) {
            troupe_slice body = exact(bytes, cut);
            const char *fault = tp_parcel_get(body, &got);
            if (cut >= size - put.payload.size) {
                assert_null(fault);
                assert_int_equal(got.payload.size, cut - (size - put.payload.size));
            } else {
                assert_non_null(fault);
            }
            drop(body);
        }
    }
}

static const char *fault_of(const tp_parcel *put)
{
    char bytes[4096];
    tp_parcel got;
    size_t size = tp_parcel_size(put);
    tp_parcel_put(bytes, put);
    troupe_slice body = exact(bytes, size);
    const char *fault = tp_parcel_get(body, &got);
    drop(body);
    return fault;
}

static void a_parcel_that_makes_no_sense_is_refused_with_words(void **state)
{
    (void)state;
    tp_parcel put = parcel_with(TP_PARCEL_ORIGIN);
    assert_non_null(strstr(fault_of(&put), "no order"));
    put = parcel_with(TP_PARCEL_ORIGIN | TP_PARCEL_ORDER);
    char trail[8 * (TP_PARCEL_TRAIL_MAX + 1)] = {0};
    put.trail = troupe_slice_of(trail, sizeof trail);
    assert_non_null(strstr(fault_of(&put), "more nodes"));
    put.trail.size -= 8;
    assert_null(fault_of(&put));
    put = parcel_with(TP_PARCEL_ASK);
    assert_non_null(strstr(fault_of(&put), "nobody asks"));
    put = parcel_with(TP_PARCEL_ELSEWHERE);
    assert_non_null(strstr(fault_of(&put), "no slot"));
    put = parcel_with(0);
    put.name = 0;
    assert_non_null(strstr(fault_of(&put), "neither"));
    put = parcel_with(TP_PARCEL_NAMES);
    put.name = 3;
    assert_non_null(strstr(fault_of(&put), "both"));
    put = parcel_with(TP_PARCEL_NAMES);
    put.type = troupe_str("");
    assert_non_null(strstr(fault_of(&put), "no name"));
    put = parcel_with(0);
    put.key = troupe_str("");
    assert_non_null(strstr(fault_of(&put), "key"));
    char key[TP_KEY_MAX + 1] = {0};
    put.key = troupe_slice_of(key, sizeof key);
    assert_non_null(strstr(fault_of(&put), "key"));
    put.key.size = TP_KEY_MAX;
    assert_null(fault_of(&put));
    put = parcel_with(TP_PARCEL_CALLER);
    put.caller_key = troupe_str("");
    assert_non_null(strstr(fault_of(&put), "caller"));
}

static void a_reply_is_read_as_it_was_written_and_no_cut_is_taken_for_it(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= TP_REPLY_KNOWN; bits++) {
        tp_wire_reply put = {.slot = 1,
            .generation = UINT32_MAX,
            .shard = 255,
            .bits = (uint8_t)bits,
            .content = 255,
            .status = -5,
            .outcome = TROUPE_UNKNOWN_OUTCOME,
            .payload = troupe_str("words")};
        if (bits & TP_REPLY_CONTENT)
            put.content_type = troupe_str("text/x");
        if (bits & TP_REPLY_SLIP)
            put.slip = troupe_str("s");
        char bytes[256];
        size_t size = tp_wire_reply_size(&put);
        tp_wire_reply_put(bytes, &put);
        for (size_t cut = 0; cut <= size; cut++) {
            troupe_slice body = exact(bytes, cut);
            tp_wire_reply got;
            const char *fault = tp_wire_reply_get(body, &got);
            if (cut < size - put.payload.size) {
                assert_non_null(fault);
            } else {
                assert_null(fault);
                assert_int_equal(got.slot, put.slot);
                assert_int_equal(got.generation, put.generation);
                assert_int_equal(got.shard, put.shard);
                assert_int_equal(got.bits, put.bits);
                assert_int_equal(got.content, put.content);
                assert_int_equal(got.status, put.status);
                assert_int_equal(got.outcome, put.outcome);
                assert_same(got.content_type, put.content_type);
                assert_same(got.slip, put.slip);
                assert_int_equal(got.payload.size, put.payload.size - (size - cut));
            }
            drop(body);
        }
        bytes[18] = 9;
        tp_wire_reply got;
        assert_non_null(tp_wire_reply_get(troupe_slice_of(bytes, size), &got));
    }
}

static void names_and_ranges_are_read_as_they_were_written(void **state)
{
    (void)state;
    char bytes[512];
    tp_wire_name name = {9, troupe_str("counter"), troupe_str("add")}, got_name = {0};
    tp_wire_name_put(bytes, &name);
    size_t size = tp_wire_name_size(&name);
    assert_null(tp_wire_name_get(troupe_slice_of(bytes, size), &got_name));
    assert_int_equal(got_name.number, 9);
    assert_same(got_name.type, name.type);
    assert_same(got_name.method, name.method);
    assert_non_null(tp_wire_name_get(troupe_slice_of(bytes, size - 1), &got_name));
    assert_non_null(tp_wire_name_get(troupe_slice_of(bytes, size + 1), &got_name));

    tp_wire_settled settled;
    tp_wire_range range;
    tp_wire_range_put(bytes, (tp_wire_range){1, 5});
    tp_wire_range_put(bytes + TP_WIRE_RANGE_BYTES, (tp_wire_range){UINT64_MAX, 1});
    assert_null(tp_wire_settled_get(troupe_slice_of(bytes, 2 * TP_WIRE_RANGE_BYTES), &settled));
    assert_true(tp_wire_settled_next(&settled, &range) && range.first == 1 && range.count == 5);
    assert_true(tp_wire_settled_next(&settled, &range) && range.first == UINT64_MAX);
    assert_false(tp_wire_settled_next(&settled, &range));
    assert_non_null(tp_wire_settled_get(troupe_slice_of(bytes, 13), &settled));
    assert_non_null(tp_wire_settled_get(troupe_slice_of(bytes, 0), &settled));
    tp_wire_range_put(bytes, (tp_wire_range){UINT64_MAX, 2});
    assert_non_null(tp_wire_settled_get(troupe_slice_of(bytes, 12), &settled));
    tp_wire_range_put(bytes, (tp_wire_range){0, 2});
    assert_non_null(tp_wire_settled_get(troupe_slice_of(bytes, 12), &settled));
}

static void the_small_ones_are_read_as_they_were_written(void **state)
{
    (void)state;
    char bytes[512];
    uint64_t hash = 0;
    tp_wire_mark_put(bytes, 77);
    assert_null(tp_wire_mark_get(troupe_slice_of(bytes, 8), &hash));
    assert_true(hash == 77);
    assert_non_null(tp_wire_mark_get(troupe_slice_of(bytes, 7), &hash));
    assert_non_null(tp_wire_mark_get(troupe_slice_of(bytes, 9), &hash));

    tp_wire_word word = {3, troupe_str("body")}, got_word = {0};
    tp_wire_word_put(bytes, &word);
    assert_null(tp_wire_word_get(troupe_slice_of(bytes, tp_wire_word_size(&word)), &got_word));
    assert_int_equal(got_word.what, 3);
    assert_same(got_word.body, word.body);
    assert_non_null(tp_wire_word_get(troupe_slice_of(bytes, 0), &got_word));

    tp_wire_load load = {1, 2, 3, 4, 5, 6, 7, 8}, got_load = {0};
    tp_wire_load_put(bytes, &load);
    assert_null(tp_wire_load_get(troupe_slice_of(bytes, TP_WIRE_LOAD_BYTES), &got_load));
    assert_memory_equal(&load, &got_load, sizeof load);
    /* From a later version, which says more. */
    assert_null(tp_wire_load_get(troupe_slice_of(bytes, TP_WIRE_LOAD_BYTES + 8), &got_load));
    assert_non_null(tp_wire_load_get(troupe_slice_of(bytes, TP_WIRE_LOAD_BYTES - 1), &got_load));
}

static void every_kind_has_a_name_and_a_way(void **state)
{
    (void)state;
    assert_string_equal(tp_frame_name(TP_FRAME_REQUEST), "REQUEST");
    assert_string_equal(tp_frame_name(TP_FRAME_BYE), "BYE");
    assert_string_equal(tp_frame_name(0), "?");
    assert_string_equal(tp_frame_name(TP_FRAME_KINDS), "?");
    assert_string_equal(tp_frame_name(255), "?");
    enum { NUMBERED, LOOSE };
    static const int ways[TP_FRAME_KINDS] = {
#define WAY(name, number, way) [number] = way,
        TP_FRAME_MAP(WAY)
#undef WAY
    };
    for (unsigned kind = 1; kind < TP_FRAME_KINDS; kind++)
        assert_int_equal(tp_frame_is_loose(kind), ways[kind] == LOOSE);
    assert_false(tp_frame_is_loose(0) || tp_frame_is_parcel(0) || tp_frame_is_parcel(5));
}

static void random_bytes_are_refused_or_read_within_their_bounds(void **state)
{
    (void)state;
    tp_prng prng;
    tp_prng_seed(&prng, 4);
    for (unsigned i = 0; i < 200000; i++) {
        size_t size = tp_prng_next(&prng) % 80;
        unsigned char bytes[80];
        for (size_t k = 0; k < size; k++)
            bytes[k] = (unsigned char)(tp_prng_next(&prng) >> (tp_prng_next(&prng) % 60));
        troupe_slice body = exact(bytes, size);
        tp_parcel parcel;
        tp_wire_reply reply;
        tp_wire_name name;
        tp_wire_settled settled;
        if (tp_parcel_get(body, &parcel) == NULL) {
            assert_int_equal(tp_parcel_size(&parcel), size);
            char again[80];
            tp_parcel_put(again, &parcel);
            assert_memory_equal(again, body.data, size);
        }
        if (tp_wire_reply_get(body, &reply) == NULL)
            assert_int_equal(tp_wire_reply_size(&reply), size);
        if (tp_wire_name_get(body, &name) == NULL)
            assert_int_equal(tp_wire_name_size(&name), size);
        (void)!tp_wire_settled_get(body, &settled);
        drop(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parcel_with_any_parts_is_read_as_it_was_written),
        cmocka_unit_test(a_parcel_that_is_cut_is_refused_or_lacks_payload_only),
        cmocka_unit_test(a_parcel_that_makes_no_sense_is_refused_with_words),
        cmocka_unit_test(a_reply_is_read_as_it_was_written_and_no_cut_is_taken_for_it),
        cmocka_unit_test(names_and_ranges_are_read_as_they_were_written),
        cmocka_unit_test(the_small_ones_are_read_as_they_were_written),
        cmocka_unit_test(every_kind_has_a_name_and_a_way),
        cmocka_unit_test(random_bytes_are_refused_or_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
