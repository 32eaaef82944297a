/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates and tallies of the gateway, in virtual time: what comes through, how long the others wait,
 * that tables of a fixed size keep their promises when strangers fill them, and who counts as one.
 *
 * Invariants: none of its own. Threads: one.
 */
#include "gateway/rate.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static tp_rates rates;
static tp_tally tally;

static int empty(void **state)
{
    (void)state;
    memset(&rates, 0, sizeof rates);
    memset(&tally, 0, sizeof tally);
    return 0;
}

static bool comes(uint64_t key, uint32_t rate, uint64_t now)
{
    if (tp_rates_wait(&rates, key, rate, now) != 0)
        return false;
    tp_rates_take(&rates, key, rate, now);
    return true;
}

static void a_second_of_calls_comes_at_once_and_then_the_rate(void **state)
{
    (void)state;
    uint64_t now = 5 * SECOND;
    for (int i = 0; i < 10; i++)
        assert_true(comes(7, 10, now));
    assert_false(comes(7, 10, now));
    assert_int_equal(tp_rates_wait(&rates, 7, 10, now), SECOND / 10);
    assert_int_equal(tp_rates_wait(&rates, 7, 10, now + 1), SECOND / 10 - 1);
    assert_true(comes(7, 10, now + SECOND / 10));
    assert_false(comes(7, 10, now + SECOND / 10));
    assert_true(comes(8, 10, now)); /* another one has its own */
    for (int i = 0; i < 10; i++)
        assert_true(comes(7, 10, now + 10 * SECOND));
    assert_false(comes(7, 10, now + 10 * SECOND)); /* no more for having waited */
    assert_true(comes(9, 1, now));
    assert_false(comes(9, 1, now + SECOND - 1));
    assert_true(comes(9, 1, now + SECOND));
}

static void over_any_time_no_more_comes_than_the_rate_and_a_second_of_it(void **state)
{
    (void)state;
    uint64_t now = SECOND, begin = now, count = 0;
    srand(1);
    for (int i = 0; i < 100000; i++) {
        now += (uint64_t)rand() % 2000000;
        count += comes(3, 333, now);
    }
    assert_true(count <= (now - begin) / SECOND * 333 + 2 * 333);
    assert_true(count >= (now - begin) / SECOND * 333 * 99 / 100);
}

static void strangers_in_any_number_take_nothing_from_a_caller(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    for (uint64_t key = 1000; key < 1000 + 10 * TP_RATE_SETS * TP_RATE_WAYS; key++)
        assert_true(comes(tp_rate_key(1, 0, &key, sizeof key), 1, now));
    for (int i = 0; i < 5; i++)
        assert_true(comes(7, 5, now));
}

static void keys_of_other_kinds_and_seeds_are_others(void **state)
{
    (void)state;
    assert_int_equal(tp_rate_key(1, 2, "a", 1), tp_rate_key(1, 2, "a", 1));
    assert_int_not_equal(tp_rate_key(1, 2, "a", 1), tp_rate_key(1, 3, "a", 1));
    assert_int_not_equal(tp_rate_key(1, 2, "a", 1), tp_rate_key(2, 2, "a", 1));
    assert_int_not_equal(tp_rate_key(1, 2, "ab", 2), tp_rate_key(1, 2, "ba", 2));
}

static uint64_t caller(const char *text)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool is_four = inet_pton(AF_INET, text, &four.sin_addr) == 1;
    assert_true(is_four || inet_pton(AF_INET6, text, &six.sin6_addr) == 1);
    troupe_slice address = tp_rate_address(
        is_four ? (const struct sockaddr *)(void *)&four : (const struct sockaddr *)(void *)&six);
    assert_int_not_equal(address.size, 0);
    return tp_rate_key(1, 0, address.data, address.size);
}

static void a_caller_is_an_address_of_ipv4_or_a_network_of_ipv6(void **state)
{
    (void)state;
    assert_int_not_equal(caller("10.0.0.1"), caller("10.0.0.2"));
    assert_int_equal(caller("2001:db8::1"), caller("2001:db8::2:3:4:5"));
    assert_int_not_equal(caller("2001:db8::1"), caller("2001:db8:0:1::1"));
    /* Where one socket takes both, IPv4 looks like this. */
    assert_int_not_equal(caller("::ffff:10.0.0.1"), caller("::ffff:10.0.0.2"));
    assert_int_equal(caller("::ffff:10.0.0.1"), caller("10.0.0.1"));
    assert_int_equal(tp_rate_address(NULL).size, 0);
}

static void so_many_of_a_key_are_under_way_and_no_more(void **state)
{
    (void)state;
    assert_true(tp_tally_enter(&tally, 5, 2));
    assert_true(tp_tally_enter(&tally, 5, 2));
    assert_false(tp_tally_enter(&tally, 5, 2));
    assert_true(tp_tally_enter(&tally, 5 + TP_TALLY_PLACES, 1)); /* beside it */
    tp_tally_leave(&tally, 5);
    assert_true(tp_tally_enter(&tally, 5, 2));
    tp_tally_leave(&tally, 5);
    tp_tally_leave(&tally, 5);
    assert_false(tp_tally_enter(&tally, 5 + TP_TALLY_PLACES, 1)); /* found, though it moved up */
    tp_tally_leave(&tally, 5 + TP_TALLY_PLACES);
    assert_int_equal(tally.used, 0);
}

static void counts_are_exact_whoever_comes_and_goes(void **state)
{
    (void)state;
    static uint32_t model[64];
    uint64_t keys[64];
    memset(model, 0, sizeof model);
    for (uint64_t i = 0; i < 64; i++)
        keys[i] = i % 8 + i * TP_TALLY_PLACES + (i % 3 == 0 ? TP_TALLY_PLACES - 4 : 0);
    srand(2);
    for (int i = 0; i < 200000; i++) {
        int at = rand() % 64;
        if (rand() % 2 == 0) {
            assert_int_equal(tp_tally_enter(&tally, keys[at], 3), model[at] < 3);
            model[at] += model[at] < 3;
        } else if (model[at] != 0) {
            tp_tally_leave(&tally, keys[at]);
            model[at]--;
        }
    }
    for (int at = 0; at < 64; at++)
        for (; model[at] != 0; model[at]--)
            tp_tally_leave(&tally, keys[at]);
    assert_int_equal(tally.used, 0);
}

static void too_many_keys_at_once_are_refused(void **state)
{
    (void)state;
    uint64_t entered = 0;
    for (uint64_t key = 0; key < 10 * TP_TALLY_PLACES; key++)
        entered += tp_tally_enter(&tally, key * 7, 1);
    assert_int_equal(entered, TP_TALLY_PLACES / 4 * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_second_of_calls_comes_at_once_and_then_the_rate, empty),
        cmocka_unit_test_setup(over_any_time_no_more_comes_than_the_rate_and_a_second_of_it, empty),
        cmocka_unit_test_setup(strangers_in_any_number_take_nothing_from_a_caller, empty),
        cmocka_unit_test_setup(keys_of_other_kinds_and_seeds_are_others, empty),
        cmocka_unit_test_setup(a_caller_is_an_address_of_ipv4_or_a_network_of_ipv6, empty),
        cmocka_unit_test_setup(so_many_of_a_key_are_under_way_and_no_more, empty),
        cmocka_unit_test_setup(counts_are_exact_whoever_comes_and_goes, empty),
        cmocka_unit_test_setup(too_many_keys_at_once_are_refused, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
