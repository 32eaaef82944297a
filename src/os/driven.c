/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driven mode: no threads for runners. The host steps the one runner by poll, or a thread that
 * waits for an answer steps it meanwhile. Not for more than one runner, and without a watchdog.
 * Runners that ask for a thread of their own have it here, too: see runner.c.
 *
 * Invariants
 * 1. Only the thread that holds the drive (`is_driven_now`) steps. Whoever lets go of it tells
 *    those that wait for it, so one of them takes over.
 * 2. While nobody holds the drive and the host was not told to call again at once, `sleeping` is 1:
 *    a wake makes the descriptor readable.
 * 3. The loop's events are taken before `sleeping` is set and never after, so the descriptor stays
 *    readable until the next poll.
 * 4. A thread that stepped inside wait makes the descriptor readable when something is due before
 *    the moment that the last poll promised the host.
 *
 * Threads: poll and join one at a time; wait any number; signal and wake anybody. The pulse moves
 * between steps only, so it does not show how long a turn took.
 */
#include "os/real.h"

#define LOOK_NS UINT64_C(1000000)
#define PASS_NS UINT64_C(20000) /* what a pass may take if the host gave no budget */

static bool drive_take(tp_real_env *env)
{
    return !atomic_exchange(&env->is_driven_now, true);
}

static void drive_give(tp_real_env *env)
{
    atomic_store(&env->is_driven_now, false);
    (void)pthread_mutex_lock(&env->mutex);
    for (tp_wait_seat *seat = env->drive_waiters; seat != NULL; seat = seat->next) {
        tp_event_signal(&seat->event);
    }
    (void)pthread_mutex_unlock(&env->mutex);
}

/* One step, whose turns are over at `until`. Returns when the next is due: a moment that is over
 * means at once. */
static uint64_t pass(tp_real_env *env, uint64_t now, uint64_t until)
{
    tp_seat *seat = env->driven;
    tp_pulse_advance(env, now);
    if (seat->runner == NULL || seat->is_done) {
        return TP_NEVER;
    }
    uint64_t least = now + PASS_NS, most = now + TP_PULSE_NS;
    seat->runner->pass_until = until < least ? least : until < most ? until : most;
    uint64_t due = tp_seat_step(seat);
    return due == TP_STEP_DONE ? TP_NEVER : due;
}

static void set_sleeping(tp_seat *seat, uint32_t sleeping)
{
    if (seat->runner != NULL) {
        atomic_store(&seat->runner->sleeping, sleeping);
    }
}

/* Says that nobody steps from here on. True if something arrived before that could be seen. */
static bool fall_asleep(tp_seat *seat)
{
    set_sleeping(seat, 1);
    tp_full_fence();
    if (seat->runner != NULL && !seat->is_done && seat->runner->has_arrivals(seat->runner)) {
        set_sleeping(seat, 0);
        return true;
    }
    return false;
}

uint64_t tp_driven_poll(tp_env *base, uint64_t budget)
{
    tp_real_env *env = tp_real(base);
    tp_seat *seat = env->driven;
    if (!drive_take(env)) {
        /* Another thread steps inside its wait, and will tell by the descriptor what is left. */
        atomic_store(&env->promised, TP_NEVER);
        return TP_NEVER;
    }
    set_sleeping(seat, 0);
    uint64_t now = tp_real_now(base);
    uint64_t end = budget < TP_NEVER - now ? now + budget : TP_NEVER;
    uint64_t due;
    do {
        due = pass(env, now, end);
        now = tp_real_now(base);
    } while (due <= now && now < end);
    if (due > now || now - seat->looked >= LOOK_NS) {
        tp_seat_look(seat, now);
    }
    if (due > now && (seat->is_stirred || fall_asleep(seat))) {
        due = 0;
    }
    atomic_store(&env->promised, due);
    drive_give(env);
    return due == TP_NEVER ? TP_NEVER : due <= now ? 0 : due - now;
}

int tp_driven_descriptor(tp_env *base)
{
    return uv_backend_fd(&tp_real(base)->driven->loop);
}

/* Steps and sleeps until `done` or `deadline`; returns when the next step is due. */
static uint64_t drive_until(tp_real_env *env, const _Atomic uint32_t *done, uint64_t deadline)
{
    tp_seat *seat = env->driven;
    uint64_t due = 0;
    set_sleeping(seat, 0);
    while (atomic_load_explicit(done, memory_order_acquire) == 0) {
        uint64_t now = tp_real_now(&env->base);
        if (now >= deadline) {
            break;
        }
        due = pass(env, now, deadline);
        if (atomic_load_explicit(done, memory_order_acquire) != 0) {
            break;
        }
        now = tp_real_now(&env->base);
        if (due > now) {
            tp_seat_sleep(seat, due < deadline ? due : deadline);
        } else if (now - seat->looked >= LOOK_NS) {
            tp_seat_look(seat, now);
        }
    }
    return due;
}

/* Until this thread can have the drive, or its waiter is done, or the time is over. */
static void wait_for_drive(tp_real_env *env, tp_wait_seat *seat, uint64_t timeout)
{
    (void)pthread_mutex_lock(&env->mutex);
    seat->next = env->drive_waiters;
    env->drive_waiters = seat;
    (void)pthread_mutex_unlock(&env->mutex);
    /* Who holds the drive now gives it back after this look, and then finds the seat listed. */
    if (atomic_load(&env->is_driven_now)) {
        (void)tp_event_wait(&seat->event, timeout, 0);
    }
    (void)pthread_mutex_lock(&env->mutex);
    tp_wait_seat **link = &env->drive_waiters;
    while (*link != seat) {
        link = &(*link)->next;
    }
    *link = seat->next;
    seat->next = NULL;
    (void)pthread_mutex_unlock(&env->mutex);
}

bool tp_driven_wait(tp_env *base, tp_waiter *waiter, uint64_t deadline)
{
    tp_real_env *env = tp_real(base);
    TP_ASSERT(!tp_is_runner(base)); /* it would wait for itself */
    while (atomic_load_explicit(&waiter->done, memory_order_acquire) == 0) {
        uint64_t now = tp_real_now(base);
        if (now >= deadline) {
            return false;
        }
        if (!drive_take(env)) {
            wait_for_drive(env, waiter->seat, deadline == TP_NEVER ? TP_NEVER : deadline - now);
            continue;
        }
        uint64_t due = drive_until(env, &waiter->done, deadline);
        bool is_early = due < atomic_load(&env->promised);
        if (fall_asleep(env->driven) || is_early) {
            set_sleeping(env->driven, 0);
            tp_bell_ring(&env->driven->bell);
        }
        drive_give(env);
    }
    return true;
}

void tp_driven_signal(tp_env *base, tp_waiter *waiter)
{
    tp_wait_seat *seat = waiter->seat;
    atomic_store_explicit(&waiter->done, 1, memory_order_release);
    tp_event_signal(&seat->event);
    if (!tp_seat_is_stepped_here(tp_real(base)->driven)) {
        tp_bell_ring(&tp_real(base)->driven->bell); /* the waiter may sleep in the loop */
    }
}

troupe_status tp_driven_start(tp_env *base, tp_runner *runner)
{
    tp_seat *seat = tp_real(base)->driven;
    if (runner->own_thread) {
        return tp_threaded_start(base, runner);
    }
    if (seat->runner != NULL) {
        return TROUPE_UNAVAILABLE;
    }
    atomic_store(&runner->sleeping, 1); /* until the host polls for the first time */
    runner->seat = seat;
    seat->is_done = false;
    seat->runner = runner;
    return TROUPE_OK;
}

void tp_driven_join(tp_env *base, tp_runner *runner)
{
    tp_real_env *env = tp_real(base);
    tp_seat *seat = env->driven;
    if (runner->own_thread) {
        tp_threaded_join(base, runner);
        return;
    }
    TP_ASSERT(seat->runner == runner);
    bool is_ours = drive_take(env);
    TP_ASSERT(is_ours); /* no call may be under way when a node closes */
    set_sleeping(seat, 0);
    while (!seat->is_done) {
        uint64_t due = pass(env, tp_real_now(base), TP_NEVER);
        if (!seat->is_done && due > tp_real_now(base)) {
            tp_seat_sleep(seat, due);
        }
    }
    /* A pool thread may have handed in the last job's end, and still be on its way out of wake. */
    tp_jobs_quiesce(&env->jobs);
    seat->runner = NULL;
    drive_give(env);
}
