/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event promises: no signal is lost, signals before a wait wake it once, time-outs end a
 * wait, and the signaller's writes are seen. Run it under ThreadSanitizer, too.
 *
 * Invariants: the tests wait by events only, never by sleeping.
 * Threads: two per test at most.
 */
#include "os/wait.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define MILLISECOND UINT64_C(1000000)
#define ROUNDS 20000

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * UINT64_C(1000000000) + (uint64_t)at.tv_nsec;
}

static void signal_before_wait_is_kept_and_taken_once(void **state)
{
    (void)state;
    tp_event event;
    assert_true(tp_event_init(&event));
    assert_false(tp_event_wait(&event, 0, 0));
    tp_event_signal(&event);
    tp_event_signal(&event);
    assert_true(tp_event_wait(&event, TP_EVENT_FOREVER, 0));
    assert_false(tp_event_wait(&event, 0, 0));
    tp_event_signal(&event);
    assert_true(tp_event_wait(&event, 0, 0));
    tp_event_deinit(&event);
}

static void wait_ends_at_its_timeout_and_not_before(void **state)
{
    (void)state;
    static const uint64_t spins[] = { 0, MILLISECOND, TP_EVENT_FOREVER };
    for (size_t i = 0; i < sizeof spins / sizeof *spins; i++) {
        tp_event event;
        assert_true(tp_event_init(&event));
        uint64_t start = now();
        assert_false(tp_event_wait(&event, 5 * MILLISECOND, spins[i]));
        assert_true(now() - start >= 5 * MILLISECOND);
        tp_event_signal(&event);
        assert_true(tp_event_wait(&event, 0, 0));
        tp_event_deinit(&event);
    }
}

struct match {
    tp_event ball[2];
    uint64_t spin;
    unsigned long written; /* plain on purpose: the events must order it */
};

static void *second_player(void *argument)
{
    struct match *match = argument;
    for (unsigned long i = 0; i < ROUNDS; i++) {
        if (!tp_event_wait(&match->ball[1], TP_EVENT_FOREVER, match->spin)) {
            return NULL;
        }
        match->written++;
        tp_event_signal(&match->ball[0]);
    }
    return match;
}

static void play(uint64_t spin)
{
    struct match match = { .spin = spin };
    pthread_t thread;
    void *result = NULL;
    assert_true(tp_event_init(&match.ball[0]));
    assert_true(tp_event_init(&match.ball[1]));
    assert_int_equal(pthread_create(&thread, NULL, second_player, &match), 0);
    for (unsigned long i = 0; i < ROUNDS; i++) {
        match.written++;
        tp_event_signal(&match.ball[1]);
        assert_true(tp_event_wait(&match.ball[0], 60000 * MILLISECOND, spin));
        assert_int_equal(match.written, 2 * (i + 1));
    }
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &match);
    tp_event_deinit(&match.ball[0]);
    tp_event_deinit(&match.ball[1]);
}

static void no_signal_is_lost_when_waiters_sleep(void **state)
{
    (void)state;
    play(0);
}

static void no_signal_is_lost_when_waiters_spin_first(void **state)
{
    (void)state;
    play(2000);
}

static void *signal_all(void *argument)
{
    tp_event **mailbox = argument;
    for (unsigned long i = 0; i < ROUNDS; i++) {
        tp_event *event = NULL;
        while (event == NULL) {
            event = __atomic_exchange_n(mailbox, NULL, __ATOMIC_ACQ_REL);
        }
        tp_event_signal(event);
    }
    return NULL;
}

static void event_may_be_freed_by_the_wait_that_took_the_signal(void **state)
{
    (void)state;
    tp_event *mailbox = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, signal_all, &mailbox), 0);
    for (unsigned long i = 0; i < ROUNDS; i++) {
        tp_event *event = malloc(sizeof *event);
        assert_non_null(event);
        assert_true(tp_event_init(event));
        __atomic_store_n(&mailbox, event, __ATOMIC_RELEASE);
        assert_true(tp_event_wait(event, TP_EVENT_FOREVER, i % 2 * 1000));
        tp_event_deinit(event);
        free(event);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Time-outs that race with signals: whatever a wait missed by its time-out, the next one gets. */
static void signal_that_races_with_a_timeout_is_not_lost(void **state)
{
    (void)state;
    struct match match = { .spin = 0 };
    pthread_t thread;
    assert_true(tp_event_init(&match.ball[0]));
    assert_true(tp_event_init(&match.ball[1]));
    assert_int_equal(pthread_create(&thread, NULL, second_player, &match), 0);
    for (unsigned long i = 0; i < ROUNDS; i++) {
        uint64_t give_up = now() + 60000 * MILLISECOND;
        tp_event_signal(&match.ball[1]);
        while (!tp_event_wait(&match.ball[0], 1 + i % 8192, 0)) {
            assert_true(now() < give_up);
        }
        assert_int_equal(match.written, i + 1);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    tp_event_deinit(&match.ball[0]);
    tp_event_deinit(&match.ball[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signal_before_wait_is_kept_and_taken_once),
        cmocka_unit_test(wait_ends_at_its_timeout_and_not_before),
        cmocka_unit_test(no_signal_is_lost_when_waiters_sleep),
        cmocka_unit_test(no_signal_is_lost_when_waiters_spin_first),
        cmocka_unit_test(event_may_be_freed_by_the_wait_that_took_the_signal),
        cmocka_unit_test(signal_that_races_with_a_timeout_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
