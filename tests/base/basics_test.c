/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small things of base: statuses, slices, the system's allocator, lists, numbers, histograms.
 */
#include "base/alloc.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/prng.h"
#include "failing.h"

#include <troupe/status.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_status_has_a_name_a_text_a_kind_and_an_outcome(void **state)
{
    (void)state;
#define CHECK(name, code, kind, outcome, text)                                                     \
    assert_int_equal(TROUPE_##name, code);                                                         \
    assert_string_equal(troupe_status_name(TROUPE_##name), #name);                                 \
    assert_string_equal(troupe_status_text(TROUPE_##name), text);                                  \
    assert_int_equal(troupe_status_kind(TROUPE_##name), TROUPE_KIND_##kind);                       \
    assert_string_equal(troupe_kind_name(TROUPE_KIND_##kind), #kind);                              \
    assert_int_equal(troupe_status_outcome(TROUPE_##name), TROUPE_##outcome);                      \
    assert_true((code) >= 0 && (code) < TROUPE_APPLICATION);
    TROUPE_STATUS_MAP(CHECK)
#undef CHECK
}

static void codes_of_the_application_are_failed_and_strange_ones_are_bugs(void **state)
{
    (void)state;
    assert_int_equal(troupe_status_kind(TROUPE_APPLICATION), TROUPE_KIND_FAILED);
    assert_int_equal(troupe_status_kind(INT32_MAX), TROUPE_KIND_FAILED);
    assert_int_equal(troupe_status_outcome(1234), TROUPE_UNKNOWN_OUTCOME); /* the answer knows */
    assert_string_equal(troupe_status_name(1234), "APPLICATION");
    const troupe_status strange[] = {-1, INT32_MIN, 999, 500};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(troupe_status_kind(strange[i]), TROUPE_KIND_BUG);
        assert_string_equal(troupe_status_name(strange[i]), "?");
        assert_int_equal(troupe_status_outcome(strange[i]), TROUPE_UNKNOWN_OUTCOME);
    }
    assert_string_equal(troupe_kind_name(TROUPE_KIND_COUNT), "?");
}

static void slices_are_equal_when_their_bytes_are(void **state)
{
    (void)state;
    assert_true(troupe_slice_equal(troupe_str("abc"), troupe_slice_of("abcd", 3)));
    assert_false(troupe_slice_equal(troupe_str("abc"), troupe_str("abd")));
    assert_false(troupe_slice_equal(troupe_str("abc"), troupe_str("ab")));
    assert_true(troupe_slice_equal(troupe_str(NULL), troupe_str("")));
    assert_int_equal(TROUPE_MINUTES(2), TROUPE_SECONDS(120));
    assert_int_equal(TROUPE_HOURS(1), TROUPE_MILLISECONDS(3600000));
    assert_int_equal(TROUPE_MICROSECONDS(3), TROUPE_NANOSECONDS(3000));
    char text[16];
    snprintf(text, sizeof(text), "%.*s", TROUPE_ARG(troupe_slice_of("abcd", 3)));
    assert_string_equal(text, "abc");
}

static void check_allocator(const troupe_allocator *allocator)
{
    unsigned char *block = tp_allocate_zeroed(allocator, 1000);
    assert_non_null(block);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(block[i], 0);
    }
    memset(block, 7, 1000);
    block = tp_reallocate(allocator, block, 1000, 100000);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 16, 0);
    assert_int_equal(block[999], 7);
    tp_release(allocator, block, 100000);
    block = tp_reallocate(allocator, NULL, 0, 0);
    assert_non_null(block);
    tp_release(allocator, block, 0);
    tp_release(allocator, NULL, 5);
}

static void any_allocator_gives_zeroed_memory_and_gets_its_sizes_back(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    check_allocator(tp_allocator_system());
    check_allocator(&memory.allocator);
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.wrong_sizes, 0);
    memory.fail_from = memory.calls + 1;
    memory.fail_count = 1;
    assert_null(tp_allocate_zeroed(&memory.allocator, 8));
}

typedef struct number {
    tp_link link;
    tp_fifo_node node;
    int value;
} number;

static void list_keeps_order_and_lets_any_member_leave(void **state)
{
    (void)state;
    number numbers[6] = {0};
    tp_list list;
    tp_list_init(&list);
    assert_true(tp_list_is_empty(&list));
    assert_null(tp_list_pop_front(&list));
    for (int i = 0; i < 6; i++) {
        numbers[i].value = i;
        if (i % 2 == 0) {
            tp_list_push_back(&list, &numbers[i].link);
        } else {
            tp_list_push_front(&list, &numbers[i].link);
        }
    }
    char order[16] = "";
    size_t size = 0;
    TP_LIST_EACH(&list, link)
    {
        number *n = TP_CONTAINER(link, number, link);
        order[size++] = (char)('0' + n->value);
        if (n->value == 1 || n->value == 4) {
            tp_list_remove(link);
            assert_false(tp_link_is_linked(link));
        }
    }
    assert_string_equal(order, "531024");
    const int rest[] = {5, 3, 0, 2};
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(tp_list_back(&list), &numbers[2].link);
        assert_ptr_equal(tp_list_pop_front(&list), &numbers[rest[i]].link);
    }
    assert_null(tp_list_front(&list));
}

static void fifo_gives_first_what_came_first(void **state)
{
    (void)state;
    number numbers[4] = {0};
    tp_fifo fifo = {0};
    for (int round = 0; round < 2; round++) {
        assert_null(tp_fifo_pop_front(&fifo));
        tp_fifo_push_back(&fifo, &numbers[1].node);
        tp_fifo_push_back(&fifo, &numbers[2].node);
        tp_fifo_push_front(&fifo, &numbers[0].node);
        tp_fifo_push_back(&fifo, &numbers[3].node);
        int i = 0;
        TP_FIFO_EACH(&fifo, node)
        {
            assert_ptr_equal(node, &numbers[i++].node);
        }
        for (i = 0; i < 4; i++) {
            assert_ptr_equal(tp_fifo_front(&fifo), &numbers[i].node);
            assert_ptr_equal(tp_fifo_pop_front(&fifo), &numbers[i].node);
        }
        assert_true(tp_fifo_is_empty(&fifo));
    }
}

static void random_numbers_are_those_of_the_published_generators(void **state)
{
    (void)state;
    uint64_t seed = 1234567; /* splitmix64, the values of its reference implementation */
    assert_true(tp_prng_split(&seed) == UINT64_C(6457827717110365317));
    assert_true(tp_prng_split(&seed) == UINT64_C(3203168211198807973));
    tp_prng prng = {{1, 2, 3, 4}}; /* xoshiro256**, likewise */
    assert_true(tp_prng_next(&prng) == 11520);
    assert_true(tp_prng_next(&prng) == 0);
    assert_true(tp_prng_next(&prng) == 1509978240);
    assert_true(tp_prng_next(&prng) == UINT64_C(1215971899390074240));
}

static void random_numbers_repeat_from_a_seed_and_stay_in_bounds(void **state)
{
    (void)state;
    tp_prng a;
    tp_prng b;
    tp_prng_seed(&a, 42);
    tp_prng_seed(&b, 42);
    uint64_t hits[7] = {0};
    uint64_t chances = 0;
    for (int i = 0; i < 70000; i++) {
        uint64_t n = tp_prng_below(&a, 7);
        assert_true(n < 7 && n == tp_prng_below(&b, 7));
        hits[n]++;
        uint64_t m = tp_prng_between(&a, 10, 12);
        assert_true(m >= 10 && m <= 12 && m == tp_prng_between(&b, 10, 12));
        bool chance = tp_prng_chance(&a, 1, 7);
        assert_int_equal(chance, tp_prng_chance(&b, 1, 7));
        chances += chance;
        uint64_t large = (UINT64_MAX / 3) * 2; /* a bias of modulo would be a third */
        assert_true(tp_prng_below(&a, large) < large);
        (void)tp_prng_below(&b, large);
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(hits[i], 9500, 10500);
    }
    assert_in_range(chances, 9500, 10500);
    (void)tp_prng_between(&a, 0, UINT64_MAX);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_never_too_low_and_at_most_a_32nd_too_high(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static tp_histogram halves[2];
    static tp_histogram all;
    static uint64_t values[COUNT];
    for (uint64_t seed = 0; seed < 20; seed++) {
        tp_prng prng;
        tp_prng_seed(&prng, seed);
        memset(halves, 0, sizeof(halves));
        tp_histogram_clear(&all);
        assert_int_equal(tp_histogram_quantile(&all, 0.5), 0);
        uint64_t sum = 0;
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = tp_prng_next(&prng) >> tp_prng_below(&prng, 64);
            sum += values[i];
            tp_histogram_record(&halves[i % 2], values[i]);
        }
        tp_histogram_merge(&all, &halves[0]);
        tp_histogram_merge(&all, &halves[1]);
        qsort(values, COUNT, sizeof(values[0]), compare);
        assert_int_equal(tp_histogram_count(&all), COUNT);
        assert_true(tp_histogram_sum(&all) == sum);
        assert_true(tp_histogram_max(&all) == values[COUNT - 1]);
        for (uint64_t rank = 1; rank <= COUNT; rank += 7) {
            uint64_t exact = values[rank - 1];
            uint64_t told = tp_histogram_quantile(&all, ((double)rank - 0.5) / COUNT);
            assert_true(told >= exact && told - exact <= exact / 32);
        }
        assert_true(tp_histogram_quantile(&all, 1.0) == values[COUNT - 1]);
        assert_true(tp_histogram_quantile(&all, 0.0) >= values[0]);
    }
}

static void small_values_and_the_largest_are_exact(void **state)
{
    (void)state;
    static tp_histogram h;
    for (uint64_t i = 0; i < 64; i++) {
        tp_histogram_clear(&h);
        tp_histogram_record(&h, i);
        tp_histogram_record(&h, UINT64_MAX);
        assert_int_equal(tp_histogram_quantile(&h, 0.5), i);
        assert_true(tp_histogram_quantile(&h, 0.51) == UINT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_a_text_a_kind_and_an_outcome),
        cmocka_unit_test(codes_of_the_application_are_failed_and_strange_ones_are_bugs),
        cmocka_unit_test(slices_are_equal_when_their_bytes_are),
        cmocka_unit_test(any_allocator_gives_zeroed_memory_and_gets_its_sizes_back),
        cmocka_unit_test(list_keeps_order_and_lets_any_member_leave),
        cmocka_unit_test(fifo_gives_first_what_came_first),
        cmocka_unit_test(random_numbers_are_those_of_the_published_generators),
        cmocka_unit_test(random_numbers_repeat_from_a_seed_and_stay_in_bounds),
        cmocka_unit_test(quantiles_are_never_too_low_and_at_most_a_32nd_too_high),
        cmocka_unit_test(small_values_and_the_largest_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
