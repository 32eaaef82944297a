/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timing wheel against a plain model: a list searched for the least due tick, and among those
 * for the first that was set.
 */
#include "base/wheel.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { TIMERS = 200 };

#define TICK (UINT64_C(1) << TP_WHEEL_TICK_BITS)

typedef struct entry {
    tp_timer timer;
    bool is_set;
    uint64_t tick;
    uint64_t order;
} entry;

typedef struct world {
    tp_wheel wheel;
    tp_prng prng;
    uint64_t now;
    uint64_t order;
    entry entries[TIMERS];
} world;

static uint64_t due_tick(uint64_t due, uint64_t now)
{
    uint64_t tick = due / TICK + (due % TICK != 0);
    return tick < now / TICK ? now / TICK : tick;
}

static entry *model_first(world *w)
{
    entry *first = NULL;
    for (int i = 0; i < TIMERS; i++) {
        entry *e = &w->entries[i];
        if (e->is_set && (first == NULL || e->tick < first->tick ||
                          (e->tick == first->tick && e->order < first->order))) {
            first = e;
        }
    }
    return first;
}

static void set_some(world *w)
{
    entry *e = &w->entries[tp_prng_below(&w->prng, TIMERS)];
    uint64_t width = tp_prng_between(&w->prng, 1, 63);
    uint64_t due = w->now + tp_prng_below(&w->prng, UINT64_C(1) << width);
    if (due < w->now) {
        due = UINT64_MAX;
    }
    if (tp_prng_chance(&w->prng, 1, 10)) {
        due = tp_prng_below(&w->prng, w->now + 1);
    }
    tp_wheel_set(&w->wheel, &e->timer, due);
    e->is_set = true;
    e->tick = due_tick(due, w->now);
    e->order = w->order++;
    assert_int_equal(e->timer.due, due);
}

static void cancel_some(world *w)
{
    entry *e = &w->entries[tp_prng_below(&w->prng, TIMERS)];
    assert_int_equal(tp_timer_is_set(&e->timer), e->is_set);
    tp_wheel_cancel(&w->wheel, &e->timer);
    e->is_set = false;
    assert_false(tp_timer_is_set(&e->timer));
}

static void expire_all(world *w, bool with_setting)
{
    uint64_t limit = 1000;
    while (limit-- > 0) {
        entry *first = model_first(w);
        bool is_due = first != NULL && first->tick <= w->now / TICK;
        tp_timer *timer = tp_wheel_expire(&w->wheel, w->now);
        assert_ptr_equal(timer, is_due ? &first->timer : NULL);
        if (timer == NULL) {
            return;
        }
        assert_false(tp_timer_is_set(timer));
        assert_true(timer->due <= w->now);
        first->is_set = false;
        if (with_setting && tp_prng_chance(&w->prng, 1, 4)) {
            /* later than now, since in the middle of expiring the wheel's tick is behind */
            entry *e = &w->entries[tp_prng_below(&w->prng, TIMERS)];
            uint64_t due = w->now + TICK + tp_prng_below(&w->prng, 200 * TICK);
            tp_wheel_set(&w->wheel, &e->timer, due);
            e->is_set = true;
            e->tick = due_tick(due, w->now);
            e->order = w->order++;
        }
    }
    fail_msg("never done expiring");
}

static void check_next(const world *w, entry *first)
{
    uint64_t next = tp_wheel_next(&w->wheel);
    if (first == NULL) {
        assert_int_equal(next, UINT64_MAX);
    } else if (first->tick < UINT64_C(1) << 44) {
        assert_true(next <= first->tick * TICK);
    }
}

static void expires_by_due_tick_then_order_of_setting_and_never_early(void **state)
{
    (void)state;
    static world w;
    for (uint64_t seed = 0; seed < 300; seed++) {
        memset(&w, 0, sizeof(w));
        tp_prng_seed(&w.prng, seed);
        w.now = tp_prng_next(&w.prng) >> tp_prng_between(&w.prng, 4, 63);
        tp_wheel_init(&w.wheel, w.now);
        for (int i = 0; i < 400; i++) {
            uint64_t choice = tp_prng_below(&w.prng, 10);
            if (choice < 6) {
                set_some(&w);
            } else if (choice < 8) {
                cancel_some(&w);
            } else {
                uint64_t width = tp_prng_between(&w.prng, 1, 45);
                w.now += tp_prng_below(&w.prng, UINT64_C(1) << width);
                expire_all(&w, seed % 2 == 0);
            }
            check_next(&w, model_first(&w));
        }
    }
}

static void one_far_timer_wakes_an_idle_loop_a_handful_of_times(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        tp_prng prng;
        tp_prng_seed(&prng, seed);
        static tp_wheel wheel;
        uint64_t now = tp_prng_next(&prng) >> tp_prng_between(&prng, 10, 63);
        uint64_t due = now + (tp_prng_next(&prng) >> tp_prng_between(&prng, 2, 40));
        tp_timer timer = {0};
        tp_wheel_init(&wheel, now);
        tp_wheel_set(&wheel, &timer, due);
        int wakes = 0;
        while (tp_wheel_expire(&wheel, now) == NULL) {
            uint64_t next = tp_wheel_next(&wheel);
            assert_true(next > now || due <= now);
            now = next > now ? next : now;
            wakes++;
            assert_true(wakes <= TP_WHEEL_LEVELS);
        }
        assert_true(now >= due && now - due < 2 * TICK);
        assert_int_equal(tp_wheel_next(&wheel), UINT64_MAX);
    }
}

static void time_that_goes_back_stands_still(void **state)
{
    (void)state;
    static tp_wheel wheel;
    tp_timer timer = {0};
    tp_wheel_init(&wheel, 100 * TICK);
    assert_null(tp_wheel_expire(&wheel, 200 * TICK));
    tp_wheel_set(&wheel, &timer, 150 * TICK);
    assert_ptr_equal(tp_wheel_expire(&wheel, 10 * TICK), &timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expires_by_due_tick_then_order_of_setting_and_never_early),
        cmocka_unit_test(one_far_timer_wakes_an_idle_loop_a_handful_of_times),
        cmocka_unit_test(time_that_goes_back_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
