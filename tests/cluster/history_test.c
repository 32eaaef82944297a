/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of histories: what it finds good is good, and each planted fault is caught. Random
 * histories are made from an order that is known, so they are good; then one call is spoilt.
 */
#include "history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static history_verdict check(const history_call *calls, size_t count)
{
    size_t at;
    return history_check(calls, count, &at);
}

#define CHECK(calls) check(calls, sizeof(calls) / sizeof((calls)[0]))

static void calls_that_overlap_may_have_any_order(void **state)
{
    (void)state;
    const history_call calls[] = {
        {10, 50, HISTORY_ADD, 1, 2}, {20, 40, HISTORY_ADD, 1, 1}, {45, 60, HISTORY_SHOW, 0, 2}};
    assert_int_equal(CHECK(calls), HISTORY_GOOD);
}

static void what_ended_before_is_seen_after(void **state)
{
    (void)state;
    const history_call stale[] = {{10, 20, HISTORY_ADD, 1, 1}, {30, 40, HISTORY_SHOW, 0, 0}};
    const history_call lost[] = {{10, 20, HISTORY_ADD, 1, 1}, {30, 40, HISTORY_ADD, 1, 1}};
    const history_call doubled[] = {{10, 20, HISTORY_ADD, 1, 2}};
    assert_int_equal(CHECK(stale), HISTORY_BAD);
    assert_int_equal(CHECK(lost), HISTORY_BAD);
    assert_int_equal(CHECK(doubled), HISTORY_BAD);
}

static void a_call_without_an_end_happened_late_or_never(void **state)
{
    (void)state;
    const history_call late[] = {{10, HISTORY_OPEN, HISTORY_ADD, 5, 0},
        {20, 30, HISTORY_SHOW, 0, 0}, {40, 50, HISTORY_SHOW, 0, 5}};
    const history_call never[] = {
        {10, HISTORY_OPEN, HISTORY_ADD, 5, 0}, {20, 30, HISTORY_ADD, 1, 1}};
    const history_call undone[] = {{10, HISTORY_OPEN, HISTORY_ADD, 5, 0},
        {20, 30, HISTORY_SHOW, 0, 5}, {40, 50, HISTORY_SHOW, 0, 0}};
    const history_call twice[] = {{10, HISTORY_OPEN, HISTORY_ADD, 5, 0},
        {20, 30, HISTORY_SHOW, 0, 5}, {40, 50, HISTORY_SHOW, 0, 10}};
    assert_int_equal(CHECK(late), HISTORY_GOOD);
    assert_int_equal(CHECK(never), HISTORY_GOOD);
    assert_int_equal(CHECK(undone), HISTORY_BAD);
    assert_int_equal(CHECK(twice), HISTORY_BAD);
}

/* A node that was replaced and goes on: both count from the same value. */
static void two_activations_at_once_are_caught(void **state)
{
    (void)state;
    const history_call calls[] = {{10, 20, HISTORY_ADD, 1, 1}, {30, 40, HISTORY_ADD, 1, 2},
        {35, 45, HISTORY_ADD, 1, 2}, {50, 60, HISTORY_ADD, 1, 3}};
    assert_int_equal(CHECK(calls), HISTORY_BAD);
}

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

enum { CALLS = 300, OPEN = 4 };

/* Each call happens at 100 times its number; begins and ends lie around it. */
static void make(history_call calls[CALLS], uint64_t *seed)
{
    int64_t value = 0;
    for (size_t i = 0; i < CALLS; i++) {
        history_call *call = &calls[i];
        uint64_t moment = 1000 + 100 * i;
        *call = (history_call){.begin = moment - draw(seed) % 600,
            .end = moment + draw(seed) % 600,
            .kind = (history_kind)(draw(seed) % 3),
            .argument = (int64_t)(draw(seed) % 1000) + 1};
        value = call->kind == HISTORY_ADD   ? value + call->argument
                : call->kind == HISTORY_SET ? call->argument
                                            : value;
        call->result = value;
        if (i % (CALLS / OPEN) == 7)
            call->end = HISTORY_OPEN;
    }
}

static void random_histories_are_good_until_one_result_is_spoilt(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    for (int round = 0; round < 200; round++) {
        history_call calls[CALLS];
        make(calls, &seed);
        assert_int_equal(check(calls, CALLS), HISTORY_GOOD);
        size_t spoilt = draw(&seed) % CALLS;
        while (calls[spoilt].end == HISTORY_OPEN)
            spoilt = (spoilt + 1) % CALLS;
        calls[spoilt].result += 1000000; /* no order gives this */
        assert_int_equal(check(calls, CALLS), HISTORY_BAD);
    }
}

static void a_value_from_long_ago_is_caught(void **state)
{
    (void)state;
    uint64_t seed = 362436069;
    for (int round = 0; round < 100; round++) {
        history_call calls[CALLS];
        make(calls, &seed);
        for (size_t i = 0; i < CALLS; i++)
            calls[i].kind = HISTORY_ADD; /* values only rise: an old one is never back */
        int64_t value = 0;
        for (size_t i = 0; i < CALLS; i++) {
            if (calls[i].end == HISTORY_OPEN)
                calls[i].end = calls[i].begin + 1200;
            calls[i].result = value += calls[i].argument;
        }
        assert_int_equal(check(calls, CALLS), HISTORY_GOOD);
        size_t at = 50 + draw(&seed) % (CALLS - 50);
        calls[at].kind = HISTORY_SHOW;
        calls[at].result = calls[at - 40].result;
        assert_int_equal(check(calls, CALLS), HISTORY_BAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_overlap_may_have_any_order),
        cmocka_unit_test(what_ended_before_is_seen_after),
        cmocka_unit_test(a_call_without_an_end_happened_late_or_never),
        cmocka_unit_test(two_activations_at_once_are_caught),
        cmocka_unit_test(random_histories_are_good_until_one_result_is_spoilt),
        cmocka_unit_test(a_value_from_long_ago_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
