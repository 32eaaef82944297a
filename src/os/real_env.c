/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real env: puts together the parts of real.h, and holds what is small: clock, entropy,
 * waiters, standard error. Not the simulated world, which is testkit/world.c. src/node creates it.
 *
 * Invariants
 * 1. It installs no signal handler, replaces no allocator and changes no setting of the process.
 *    libuv's own small blocks come from malloc; everything else from the given allocator.
 * 2. A waiter's event lives until the env is destroyed: a signaller may still be inside it when the
 *    waiter has long gone on.
 *
 * Threads: as env.h says of each function.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/fiber.h"
#include "os/real.h"

#define SECOND_NS       UINT64_C(1000000000)
#define LOG_PATIENCE_MS 100 /* for a reader of a non-blocking standard error */

/* ---- clock and entropy ----------------------------------------------------------------------- */

uint64_t tp_real_now(tp_env *env)
{
    (void)env;
    return tp_clock_ns(CLOCK_MONOTONIC);
}

static uint64_t real_boot(tp_env *env)
{
    (void)env;
#ifdef CLOCK_BOOTTIME
    return tp_clock_ns(CLOCK_BOOTTIME);
#else
    return tp_clock_ns(CLOCK_MONOTONIC); /* which goes on there */
#endif
}

static uint64_t real_wall(tp_env *env)
{
    (void)env;
    return tp_clock_ns(CLOCK_REALTIME);
}

static void real_entropy(tp_env *env, void *out, size_t size)
{
    (void)env;
    /* Without chance, ids could be aimed at one shard: going on would be worse than stopping. */
    int rc = uv_random(NULL, NULL, out, size, 0, NULL);
    TP_ASSERT(rc == 0);
}

static void real_usage(tp_env *env, tp_usage *ret_usage)
{
    (void)env;
    uv_rusage_t used;
    size_t resident = 0;
    *ret_usage = (tp_usage){0};
    if (uv_getrusage(&used) == 0)
        ret_usage->cpu =
            (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * SECOND_NS +
            (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * UINT64_C(1000);
    if (uv_resident_set_memory(&resident) == 0)
        ret_usage->resident = resident;
}

/* ---- threads --------------------------------------------------------------------------------- */

int tp_thread_create(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run, argument); /* it inherits the mask */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void tp_thread_name(const char *name)
{
    char cut[16] = {0};
    strncpy(cut, name, sizeof(cut) - 1);
#ifdef __linux__
    (void)pthread_setname_np(pthread_self(), cut);
#elif defined(__APPLE__)
    (void)pthread_setname_np(cut);
#endif
}

/* ---- waiters --------------------------------------------------------------------------------- */

static tp_wait_seat *wait_seat_create(tp_real_env *env)
{
    tp_wait_seat *seat = tp_allocate_zeroed(env->allocator, sizeof(*seat));
    if (seat != NULL && !tp_event_init(&seat->event)) {
        tp_release(env->allocator, seat, sizeof(*seat));
        return NULL;
    }
    return seat;
}

/* With threads that step, the event is all: it may live on the waiter's stack, and `done` only
 * remembers that it was taken. */
static troupe_status real_wait_begin(tp_env *base, tp_waiter *waiter)
{
    (void)base;
    waiter->seat = NULL;
    atomic_init(&waiter->done, 0);
    return tp_event_init(&waiter->event) ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

static bool real_wait(tp_env *base, tp_waiter *waiter, uint64_t deadline)
{
    if (atomic_load_explicit(&waiter->done, memory_order_relaxed) != 0) {
        return true;
    }
    if (!tp_event_wait_until(&waiter->event, deadline, tp_real(base)->spin)) {
        return false;
    }
    atomic_store_explicit(&waiter->done, 1, memory_order_relaxed);
    return true;
}

static void real_wait_end(tp_env *base, tp_waiter *waiter)
{
    (void)base;
    tp_event_deinit(&waiter->event);
}

static void real_signal(tp_env *base, tp_waiter *waiter)
{
    (void)base;
    tp_event_signal(&waiter->event);
}

static troupe_status driven_wait_begin(tp_env *base, tp_waiter *waiter)
{
    tp_real_env *env = tp_real(base);
    (void)pthread_mutex_lock(&env->mutex);
    tp_wait_seat *seat = env->free_wait_seats;
    if (seat != NULL) {
        env->free_wait_seats = seat->next;
    } else if (env->wait_seat_count < TP_WAITERS_MAX) {
        seat = wait_seat_create(env);
        if (seat != NULL) {
            seat->all = env->wait_seats;
            env->wait_seats = seat;
            env->wait_seat_count++;
        }
    }
    (void)pthread_mutex_unlock(&env->mutex);
    if (seat == NULL) {
        return TROUPE_NO_MEMORY;
    }
    seat->next = NULL;
    waiter->seat = seat;
    atomic_store_explicit(&waiter->done, 0, memory_order_relaxed);
    return TROUPE_OK;
}

static void driven_wait_end(tp_env *base, tp_waiter *waiter)
{
    tp_real_env *env = tp_real(base);
    tp_wait_seat *seat = waiter->seat;
    waiter->seat = NULL;
    (void)pthread_mutex_lock(&env->mutex);
    seat->next = env->free_wait_seats;
    env->free_wait_seats = seat;
    (void)pthread_mutex_unlock(&env->mutex);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static troupe_status real_job_start(tp_env *env, tp_job *job)
{
    return tp_jobs_start(&tp_real(env)->jobs, job);
}

/* ---- standard error -------------------------------------------------------------------------- */

static void write_whole(int descriptor, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, text, size);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd item = {.fd = descriptor, .events = POLLOUT};
            if (poll(&item, 1, LOG_PATIENCE_MS) == 0) {
                return; /* nobody reads: a log must not stop the node */
            }
        } else if (written == 0 || errno != EINTR) {
            return;
        }
    }
}

/* A closed pipe must not kill a host that did not ask for SIGPIPE: it is blocked meanwhile, and one
 * that this write raised is taken back. (The same way as in libcurl's sigpipe.h, POSIX only.) */
static void real_write_log(tp_env *base, const char *text, size_t size)
{
    tp_real_env *env = tp_real(base);
    sigset_t pipe_only;
    sigset_t before;
    sigset_t pending;
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    (void)pthread_mutex_lock(&env->log_mutex);
    write_whole(STDERR_FILENO, text, size);
    (void)pthread_mutex_unlock(&env->log_mutex);
    (void)sigpending(&pending);
    if (!was_pending && sigismember(&pending, SIGPIPE) == 1) {
        int number;
        (void)sigwait(&pipe_only, &number);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- the env --------------------------------------------------------------------------------- */

static void release_wait_seats(tp_real_env *env)
{
    while (env->wait_seats != NULL) {
        tp_wait_seat *seat = env->wait_seats;
        env->wait_seats = seat->all;
        tp_event_deinit(&seat->event);
        tp_release(env->allocator, seat, sizeof(*seat));
    }
}

static void real_destroy(tp_env *base)
{
    if (base == NULL) {
        return;
    }
    tp_real_env *env = tp_real(base);
    tp_jobs_deinit(&env->jobs);
    tp_pulse_stop(env);
    while (env->seats != NULL) {
        tp_seat *seat = env->seats;
        env->seats = seat->next;
        tp_seat_destroy(seat);
    }
    tp_seat_destroy(env->driven);
    release_wait_seats(env);
    (void)pthread_mutex_destroy(&env->log_mutex);
    (void)pthread_mutex_destroy(&env->mutex);
    tp_release(env->allocator, env, sizeof(*env));
}

static void fill(tp_real_env *env)
{
    const tp_cgroup_limits limits = tp_cgroup_own();
    uint32_t cores = uv_available_parallelism();
    uint64_t memory = uv_get_total_memory();
    env->base = (tp_env){
        .now = tp_real_now,
        .boot = real_boot,
        .wall = real_wall,
        .entropy = real_entropy,
        .pulse = &env->pulse,
        .cores = limits.cores < cores ? (uint32_t)limits.cores : cores,
        .memory = limits.memory < memory ? limits.memory : memory,
        .stacks = tp_fiber_stacks(),
        .usage = real_usage,
        .runner_start = tp_threaded_start,
        .runner_join = tp_threaded_join,
        .runner_wake = tp_runner_wake,
        .job_start = real_job_start,
        .wait_begin = real_wait_begin,
        .wait = real_wait,
        .wait_end = real_wait_end,
        .signal = real_signal,
        .is_runner = tp_is_runner,
        .net = tp_real_net,
        .write_log = real_write_log,
        .destroy = real_destroy,
    };
}

static troupe_status fill_driven(tp_real_env *env)
{
    env->base.runner_start = tp_driven_start;
    env->base.runner_join = tp_driven_join;
    env->base.wait_begin = driven_wait_begin;
    env->base.wait = tp_driven_wait;
    env->base.wait_end = driven_wait_end;
    env->base.signal = tp_driven_signal;
    env->base.poll = tp_driven_poll;
    env->base.descriptor = tp_driven_descriptor;
    env->pulse_last = tp_real_now(&env->base);
    atomic_store(&env->promised, TP_NEVER);
    return tp_seat_create(env, NULL, &env->driven);
}

troupe_status tp_real_env_create(const tp_real_options *options, tp_env **ret_env)
{
    const troupe_allocator *allocator =
        options->allocator != NULL ? options->allocator : tp_allocator_system();
    tp_real_env *env = tp_allocate_zeroed(allocator, sizeof(*env));
    if (env == NULL) {
        return TROUPE_NO_MEMORY;
    }
    env->allocator = allocator;
    env->spin = options->spin;
    (void)pthread_mutex_init(&env->mutex, NULL);
    (void)pthread_mutex_init(&env->log_mutex, NULL);
    fill(env);
    troupe_status status =
        tp_jobs_init(&env->jobs, allocator, options->blocking_threads, options->blocking_limit);
    if (status == TROUPE_OK) {
        env->base.beats = !options->driven;
        status = options->driven ? fill_driven(env) : tp_pulse_start(env);
    }
    if (status != TROUPE_OK) {
        real_destroy(&env->base);
        return status;
    }
    *ret_env = &env->base;
    return TROUPE_OK;
}
