/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runners with threads of their own: each loops over step, polls for a while when there is nothing
 * to do, then sleeps in its libuv loop. It knows nothing of what a step does.
 *
 *     stepping --due later--> spinning --arrival, or due--> stepping
 *     spinning --spin is over--> sleeping --wake, due, or something arrived--> stepping
 *
 * Invariants
 * 1. `sleeping` is set before the last look for arrivals, and a waker looks at it after its work is
 *    published, with a full fence on either side: one of the two sees the other.
 * 2. Who takes `sleeping` from 1 to 0 owes the bell; all others have nothing to do. A ring may
 *    come late, even into the next sleep, so it ends no sleep by itself: `sleeping` that is 0 does,
 *    or the moment that was slept for.
 * 3. A busy runner enters libuv about once a millisecond, with sockets each 20 us, and the system
 * not otherwise.
 * 4. A call of a stream or listener (`is_stirred`) is followed by a step.
 *
 * Threads: the loop is the runner's; wake is anybody's; start and join are the owner's.
 */
#include <sched.h>
#include <signal.h>

#include "base/limits.h"
#include "os/real.h"

#define LOOK_PASSES     64u /* passes between two looks at the clock while busy */
#define LOOK_NS         UINT64_C(1000000)
#define LOOK_SOCKETS_NS UINT64_C(20000)
#define SPIN_PART       16u /* of the spin, after a wait that was too long for it */
#define VAIN_MOST       2u  /* polls in vain in a row, after which it polls a part */
#define VAIN_TRY        32u
#define MILLISECOND_NS  UINT64_C(1000000)

/* The steps under way on this thread, innermost first: an env may be polled from another's turn. */
typedef struct step_frame {
    const tp_seat *seat;
    const struct step_frame *outer;
} step_frame;

/* Which steps a thread is in is a fact of the thread, not of an env, and is_runner is asked by
 * callers that have nothing but the env. */
static _Thread_local const step_frame *frames; /* tidy: static: per thread, empty outside steps */

bool tp_is_runner(tp_env *env)
{
    for (const step_frame *frame = frames; frame != NULL; frame = frame->outer) {
        if (&frame->seat->env->base == env) {
            return true;
        }
    }
    return false;
}

bool tp_seat_is_stepped_here(const tp_seat *seat)
{
    for (const step_frame *frame = frames; frame != NULL; frame = frame->outer) {
        if (frame->seat == seat) {
            return true;
        }
    }
    return false;
}

uint64_t tp_seat_step(tp_seat *seat)
{
    step_frame frame = {seat, frames};
    frames = &frame;
    seat->is_stirred = false;
    uint64_t due = seat->runner->step(seat->runner);
    frames = frame.outer;
    seat->is_done = due == TP_STEP_DONE;
    return due;
}

/* ---- seats ----------------------------------------------------------------------------------- */

/* libuv before 1.45 looks at timers first and then polls, for ever if there are no more. So after
 * one that is due by then, as the thread did not run for a while, the poll must not wait. */
static void on_timer(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void seat_close(tp_seat *seat)
{
    tp_seat_net_close(seat);
    tp_bell_close(&seat->bell);
    uv_close((uv_handle_t *)&seat->timer, NULL);
    (void)uv_run(&seat->loop, UV_RUN_DEFAULT);
    tp_bell_free(&seat->bell);
    int rc = uv_loop_close(&seat->loop);
    TP_ASSERT(rc == 0);
    tp_release(seat->env->allocator, seat->arriving, seat->arriving != NULL ? TP_ARRIVING : 0);
}

static troupe_status status_of(int rc)
{
    return rc == UV_ENOMEM ? TROUPE_NO_MEMORY : TROUPE_UNAVAILABLE;
}

static troupe_status seat_open(tp_seat *seat)
{
    int rc = uv_loop_init(&seat->loop);
    if (rc != 0) {
        return status_of(rc);
    }
    rc = tp_bell_open(&seat->bell, &seat->loop);
    if (rc != 0) {
        (void)uv_loop_close(&seat->loop);
        return status_of(rc);
    }
    (void)uv_timer_init(&seat->loop, &seat->timer);
    /* libuv registers descriptors when it next polls: now, so that a wake shows from here on. */
    (void)uv_run(&seat->loop, UV_RUN_NOWAIT);
    return TROUPE_OK;
}

troupe_status tp_seat_create(tp_real_env *env, tp_runner *runner, tp_seat **ret_seat)
{
    tp_seat *seat = tp_allocate_zeroed(env->allocator, sizeof(*seat));
    if (seat == NULL) {
        return TROUPE_NO_MEMORY;
    }
    seat->env = env;
    seat->runner = runner;
    tp_list_init(&seat->streams);
    tp_list_init(&seat->listeners);
    troupe_status status = seat_open(seat);
    if (status != TROUPE_OK) {
        tp_release(env->allocator, seat, sizeof(*seat));
        return status;
    }
    *ret_seat = seat;
    return TROUPE_OK;
}

void tp_seat_destroy(tp_seat *seat)
{
    if (seat != NULL) {
        seat_close(seat);
        tp_release(seat->env->allocator, seat, sizeof(*seat));
    }
}

void tp_seat_look(tp_seat *seat, uint64_t now)
{
    seat->looked = now;
    (void)uv_run(&seat->loop, UV_RUN_NOWAIT);
}

static void arm(tp_seat *seat, uint64_t until)
{
    uv_update_time(&seat->loop);
    /* libuv counts whole milliseconds of the same clock; rounded up, so never early. */
    uint64_t at = until / MILLISECOND_NS + (until % MILLISECOND_NS != 0);
    uint64_t loop_now = uv_now(&seat->loop);
    (void)uv_timer_start(&seat->timer, on_timer, at > loop_now ? at - loop_now : 0, 0);
}

/* In driven mode an async may be for a thread that waits, which looks after each sleep. */
static bool is_over(tp_seat *seat, uint64_t until)
{
    return seat == seat->env->driven || seat->is_stirred ||
           atomic_load(&seat->runner->sleeping) == 0 ||
           (until != TP_NEVER && !uv_is_active((uv_handle_t *)&seat->timer));
}

void tp_seat_sleep(tp_seat *seat, uint64_t until)
{
    tp_runner *runner = seat->runner;
    if (runner != NULL) {
        atomic_store(&runner->sleeping, 1);
        tp_full_fence();
        if (runner->has_arrivals(runner)) {
            atomic_store(&runner->sleeping, 0);
            return;
        }
    }
    if (until != TP_NEVER) {
        arm(seat, until);
    }
    tp_pulse_rest(seat->env);
    do {
        (void)uv_run(&seat->loop, UV_RUN_ONCE);
    } while (!is_over(seat, until));
    tp_pulse_rise(seat->env);
    if (until != TP_NEVER) {
        (void)uv_timer_stop(&seat->timer);
    }
    if (runner != NULL) {
        atomic_store(&runner->sleeping, 0);
    }
}

/* ---- the loop of a thread -------------------------------------------------------------------- */

/* A wait is taken to last as long as the one before did. Where that was longer than polling could
 * have bridged (a disk's sync, say), it polls a little only: the core is worth more to others, and
 * a wake comes as soon as polling sees it. (Linux's cpuidle governor haltpoll goes by the same.)
 * Where polling was in vain again and again although the waits are short, who is waited for may
 * need this very core: it polls a little, and tries all of it now and then. */
static void learn(tp_seat *seat, uint64_t waited)
{
    uint64_t all = seat->runner->spin;
    seat->vain++;
    bool tries = seat->vain < VAIN_MOST || seat->vain % VAIN_TRY == 0;
    seat->spin = waited / 2 <= all && tries ? all : all / SPIN_PART;
}

static void poll_all(tp_seat *seat)
{
    seat->spin = seat->runner->spin;
    seat->vain = 0;
}

/* True: something arrived, or the moment has come. Else the spinning, from *ret_begun, was in vain.
 */
static bool spin(tp_seat *seat, uint64_t due, uint64_t *ret_begun)
{
    tp_runner *runner = seat->runner;
    tp_env *env = &seat->env->base;
    uint64_t now = tp_real_now(env);
    uint64_t end = seat->spin < TP_NEVER - now ? now + seat->spin : TP_NEVER;
    *ret_begun = now;
    do {
        if (now >= due) {
            return true;
        }
        /* The clock costs as much as a few pauses: look at it now and then only. */
        for (uint32_t i = 0; i < 16; i++) {
            if (runner->has_arrivals(runner)) {
                poll_all(seat);
                return true;
            }
            tp_cpu_pause();
        }
        if (seat->sockets != 0) {
            (void)uv_run(&seat->loop, UV_RUN_NOWAIT);
            if (seat->is_stirred) {
                poll_all(seat);
                return true;
            }
        }
        now = tp_real_now(env);
    } while (now < end || now >= due);
    return false;
}

static void *runner_run(void *argument)
{
    tp_seat *seat = argument;
    tp_real_env *env = seat->env;
    seat->spin = seat->runner->spin;
    tp_thread_name(seat->runner->name != NULL ? seat->runner->name : "troupe-shard");
    uint32_t passes = 0;
    for (;;) {
        uint64_t due = tp_seat_step(seat);
        if (due == TP_STEP_DONE) {
            break;
        }
        if (due != 0) {
            uint64_t begun;
            if (!spin(seat, due, &begun)) {
                tp_seat_sleep(seat, due);
                learn(seat, tp_real_now(&env->base) - begun);
                passes = 0;
            }
            continue;
        }
        if (++passes % LOOK_PASSES == 0 || seat->sockets != 0) {
            uint64_t now = tp_real_now(&env->base);
            if (now - seat->looked >= (seat->sockets != 0 ? LOOK_SOCKETS_NS : LOOK_NS)) {
                tp_seat_look(seat, now);
            }
        }
    }
    tp_pulse_rest(env);
    return NULL;
}

troupe_status tp_threaded_start(tp_env *base, tp_runner *runner)
{
    tp_real_env *env = tp_real(base);
    tp_seat *seat = NULL;
    if (env->seat_count > TP_SHARDS_MAX) {
        return TROUPE_UNAVAILABLE;
    }
    troupe_status status = tp_seat_create(env, runner, &seat);
    if (status != TROUPE_OK) {
        return status;
    }
    atomic_store(&runner->sleeping, 0);
    runner->seat = seat;
    tp_pulse_rise(env);
    if (tp_thread_create(&seat->thread, runner_run, seat) != 0) {
        tp_pulse_rest(env);
        runner->seat = NULL;
        tp_seat_destroy(seat);
        return TROUPE_UNAVAILABLE;
    }
    (void)pthread_mutex_lock(&env->mutex);
    seat->is_watched = true;
    seat->next = env->seats;
    env->seats = seat;
    env->seat_count++;
    (void)pthread_mutex_unlock(&env->mutex);
    return TROUPE_OK;
}

void tp_threaded_join(tp_env *base, tp_runner *runner)
{
    tp_real_env *env = tp_real(base);
    tp_seat *seat = runner->seat;
    (void)pthread_join(seat->thread, NULL);
    (void)pthread_mutex_lock(&env->mutex);
    seat->is_watched = false;
    (void)pthread_mutex_unlock(&env->mutex);
    /* A pool thread may have handed in the last job's end, and still be on its way out of wake. */
    tp_jobs_quiesce(&env->jobs);
}

void tp_runner_wake(tp_env *env, tp_runner *runner)
{
    (void)env;
    tp_full_fence();
    /* Acquired: it was set by the runner's thread, which knows its seat; the waker may not yet. */
    if (atomic_load_explicit(&runner->sleeping, memory_order_acquire) == 0) {
        return;
    }
    tp_seat *seat = runner->seat;
    if (atomic_exchange(&runner->sleeping, 0) != 0) {
        tp_bell_ring(&seat->bell);
    }
}
