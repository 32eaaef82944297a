/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event of wait.h: one word that a futex sleeps on where there are futexes (Linux), the same
 * word under a mutex and a condition variable elsewhere.
 *
 * Invariants
 * 1. state is IDLE, SLEEPING (a waiter is in the kernel or about to be) or SET. Signallers store
 *    SET; only the waiter leaves SET.
 *
 *        IDLE --signal--> SET            IDLE --wait--> SLEEPING --signal--> SET, wake
 *        SET --wait--> IDLE              SLEEPING --timeout--> IDLE
 *
 * 2. The kernel puts the waiter to sleep only while state is SLEEPING, so a signal between the
 *    look and the sleep is seen.
 * 3. A signaller touches no memory of the event after its store, or the waiter waits for it to be
 *    through (event_settle). Waking a futex that is gone wakes nobody, or one who looks again.
 *
 * Threads: as wait.h.
 */
#include "os/wait.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { IDLE, SLEEPING, SET };

#define SECOND_NS UINT64_C(1000000000)

static void event_settle(tp_event *event);

static bool event_take(tp_event *event)
{
    uint32_t set = SET;
    if (atomic_load_explicit(&event->state, memory_order_relaxed) != SET ||
        !atomic_compare_exchange_strong_explicit(
            &event->state, &set, IDLE, memory_order_acquire, memory_order_relaxed)) {
        return false;
    }
    event_settle(event);
    return true;
}

/* Signalled or not: until the spinning or the time is over. */
static bool event_spin(tp_event *event, uint64_t deadline, uint64_t spin_ns)
{
    uint64_t until = 0;
    for (;;) {
        /* The clock costs as much as a few pauses: look at it now and then only. */
        for (int i = 0; i < 16; i++) {
            if (event_take(event)) {
                return true;
            }
            tp_cpu_pause();
        }
        uint64_t now = tp_clock_ns(CLOCK_MONOTONIC);
        if (until == 0) {
            until = spin_ns > UINT64_MAX - now ? UINT64_MAX : now + spin_ns;
        }
        if (now >= until || now >= deadline) {
            return false;
        }
    }
}

static struct timespec time_of(uint64_t at)
{
    return (struct timespec){
        .tv_sec = (time_t)(at / SECOND_NS),
        .tv_nsec = (long)(at % SECOND_NS),
    };
}

#ifdef __linux__

bool tp_event_init(tp_event *event)
{
    atomic_init(&event->state, IDLE);
    return true;
}

void tp_event_deinit(tp_event *event)
{
    (void)event;
}

void tp_event_signal(tp_event *event)
{
    if (atomic_exchange_explicit(&event->state, SET, memory_order_release) == SLEEPING) {
        (void)syscall(SYS_futex, &event->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void event_settle(tp_event *event)
{
    (void)event;
}

/* True when the deadline passed. Any other return, early or not, is for the caller to look. */
static bool event_sleep(tp_event *event, uint64_t deadline)
{
    /* The bitset form is the one whose timeout is a point in time on the monotonic clock. */
    struct timespec until = time_of(deadline);
    long rc = syscall(SYS_futex, &event->state, FUTEX_WAIT_BITSET_PRIVATE, SLEEPING,
        deadline == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    return rc != 0 && errno == ETIMEDOUT;
}

#else

bool tp_event_init(tp_event *event)
{
    atomic_init(&event->state, IDLE);
    if (pthread_mutex_init(&event->mutex, NULL) != 0) {
        return false;
    }
    if (pthread_cond_init(&event->changed, NULL) != 0) {
        (void)pthread_mutex_destroy(&event->mutex);
        return false;
    }
    return true;
}

void tp_event_deinit(tp_event *event)
{
    (void)pthread_cond_destroy(&event->changed);
    (void)pthread_mutex_destroy(&event->mutex);
}

void tp_event_signal(tp_event *event)
{
    (void)pthread_mutex_lock(&event->mutex);
    if (atomic_exchange_explicit(&event->state, SET, memory_order_release) == SLEEPING) {
        (void)pthread_cond_signal(&event->changed);
    }
    (void)pthread_mutex_unlock(&event->mutex);
}

static void event_settle(tp_event *event)
{
    (void)pthread_mutex_lock(&event->mutex);
    (void)pthread_mutex_unlock(&event->mutex);
}

/* Not every system lets a condition wait on the monotonic clock. */
static struct timespec wall_time_of(uint64_t deadline)
{
    struct timespec wall;
    uint64_t now = tp_clock_ns(CLOCK_MONOTONIC);
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    return time_of((uint64_t)wall.tv_sec * SECOND_NS + (uint64_t)wall.tv_nsec +
                   (deadline > now ? deadline - now : 0));
}

static bool event_sleep(tp_event *event, uint64_t deadline)
{
    struct timespec until = wall_time_of(deadline == UINT64_MAX ? 0 : deadline);
    int rc = 0;
    (void)pthread_mutex_lock(&event->mutex);
    if (atomic_load_explicit(&event->state, memory_order_relaxed) == SLEEPING) {
        rc = deadline == UINT64_MAX
                 ? pthread_cond_wait(&event->changed, &event->mutex)
                 : pthread_cond_timedwait(&event->changed, &event->mutex, &until);
    }
    (void)pthread_mutex_unlock(&event->mutex);
    return rc == ETIMEDOUT && tp_clock_ns(CLOCK_MONOTONIC) >= deadline;
}

#endif

/* After a timeout: a signal that came at the last moment still counts. */
static bool event_take_or_leave(tp_event *event)
{
    uint32_t sleeping = SLEEPING;
    if (atomic_compare_exchange_strong_explicit(
            &event->state, &sleeping, IDLE, memory_order_relaxed, memory_order_relaxed)) {
        return false;
    }
    bool taken = event_take(event);
    TP_ASSERT(taken);
    return true;
}

bool tp_event_wait(tp_event *event, uint64_t timeout_ns, uint64_t spin_ns)
{
    if (event_take(event)) {
        return true;
    }
    if (timeout_ns == 0) {
        return false;
    }
    uint64_t start = tp_clock_ns(CLOCK_MONOTONIC);
    return tp_event_wait_until(
        event, timeout_ns > UINT64_MAX - start ? UINT64_MAX : start + timeout_ns, spin_ns);
}

bool tp_event_wait_until(tp_event *event, uint64_t deadline, uint64_t spin_ns)
{
    if (event_take(event) || (spin_ns != 0 && event_spin(event, deadline, spin_ns))) {
        return true;
    }
    uint32_t idle = IDLE;
    if (!atomic_compare_exchange_strong_explicit(
            &event->state, &idle, SLEEPING, memory_order_relaxed, memory_order_relaxed)) {
        bool taken = event_take(event);
        TP_ASSERT(taken);
        return true;
    }
    while (!event_sleep(event, deadline)) {
        if (event_take(event)) {
            return true;
        }
    }
    return event_take_or_leave(event);
}
