/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coarse time, and the watchdog that looks for turns that do not end. One thread per env, which
 * rests without a timeout while all runners sleep: an idle node has no wake-ups of its own. Driven
 * envs have no thread: there the pulse moves between steps, and nobody watches.
 *
 * Invariants
 * 1. A runner that rises after `pulse_rests` was set sees it, or the pulse thread sees the runner:
 *    both sides are sequentially consistent. So it never rests while a runner is awake.
 * 2. It rests only after a tick within which nobody rose: runners that sleep and rise often (a
 *    ping-pong) pay for one signal at most each 10 ms.
 *
 * Threads: rise and rest by runners; everything else is the pulse thread's.
 */
#include "os/real.h"

#define ONE_RISE ((UINT64_C(1) << 32) | 1)

static uint32_t awake_of(uint64_t word)
{
    return (uint32_t)word;
}

void tp_pulse_rise(tp_real_env *env)
{
    (void)atomic_fetch_add(&env->awake, ONE_RISE);
    if (TP_UNLIKELY(atomic_load(&env->pulse_rests) != 0) &&
        atomic_exchange(&env->pulse_rests, 0) != 0) {
        tp_event_signal(&env->pulse_event);
    }
}

void tp_pulse_rest(tp_real_env *env)
{
    (void)atomic_fetch_sub(&env->awake, 1);
}

void tp_pulse_advance(tp_real_env *env, uint64_t now)
{
    uint64_t ticks = now > env->pulse_last ? (now - env->pulse_last) / TP_PULSE_NS : 0;
    if (ticks > 0) {
        env->pulse_last += ticks * TP_PULSE_NS;
        (void)atomic_fetch_add_explicit(&env->pulse, (uint32_t)ticks, memory_order_relaxed);
    }
}

/* The count is odd while a turn runs, and no two turns have the same. */
static void watch(tp_seat *seat, uint64_t now)
{
    tp_runner *runner = seat->runner;
    uint64_t turn = atomic_load_explicit(&runner->turns_begun, memory_order_relaxed);
    if (turn != seat->turn) {
        seat->turn = turn;
        seat->since = now;
        seat->is_reported = false;
        return;
    }
    bool is_running = (turn & 1) != 0;
    if (!is_running || seat->is_reported || runner->stuck == 0 || runner->on_stuck == NULL) {
        return;
    }
    if (now - seat->since >= runner->stuck) {
        seat->is_reported = true;
        runner->on_stuck(runner, now - seat->since);
    }
}

static void watch_all(tp_real_env *env, uint64_t now)
{
    (void)pthread_mutex_lock(&env->mutex);
    for (tp_seat *seat = env->seats; seat != NULL; seat = seat->next) {
        if (seat->is_watched) {
            watch(seat, now);
        }
    }
    (void)pthread_mutex_unlock(&env->mutex);
}

static void rest(tp_real_env *env)
{
    atomic_store(&env->pulse_rests, 1);
    if (awake_of(atomic_load(&env->awake)) == 0 && !atomic_load(&env->pulse_stops)) {
        (void)tp_event_wait(&env->pulse_event, TP_EVENT_FOREVER, 0);
    }
    atomic_store(&env->pulse_rests, 0);
    env->pulse_last = tp_real_now(&env->base); /* time that all slept through does not count */
}

static void *pulse_run(void *argument)
{
    tp_real_env *env = argument;
    tp_thread_name("troupe-pulse");
    uint64_t seen = atomic_load(&env->awake);
    while (!atomic_load(&env->pulse_stops)) {
        uint64_t now = tp_real_now(&env->base);
        uint64_t next = env->pulse_last + TP_PULSE_NS;
        if (now < next) {
            (void)tp_event_wait(&env->pulse_event, next - now, 0);
            continue;
        }
        tp_pulse_advance(env, now);
        watch_all(env, now);
        uint64_t word = atomic_load(&env->awake);
        if (awake_of(word) == 0 && word == seen) {
            rest(env);
            word = atomic_load(&env->awake);
        }
        /* As it would look if all slept: a difference means that somebody rose since. */
        seen = word - awake_of(word);
    }
    return NULL;
}

troupe_status tp_pulse_start(tp_real_env *env)
{
    env->pulse_last = tp_real_now(&env->base);
    if (!tp_event_init(&env->pulse_event)) {
        return TROUPE_UNAVAILABLE;
    }
    if (tp_thread_create(&env->pulse_thread, pulse_run, env) != 0) {
        tp_event_deinit(&env->pulse_event);
        return TROUPE_UNAVAILABLE;
    }
    env->has_pulse_thread = true;
    return TROUPE_OK;
}

void tp_pulse_stop(tp_real_env *env)
{
    if (!env->has_pulse_thread) {
        return;
    }
    atomic_store(&env->pulse_stops, true);
    tp_event_signal(&env->pulse_event);
    (void)pthread_join(env->pulse_thread, NULL);
    tp_event_deinit(&env->pulse_event);
    env->has_pulse_thread = false;
}
