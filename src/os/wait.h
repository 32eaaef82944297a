/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event that one thread waits for and others signal: what a thread outside the node's shards
 * blocks on. And what waiting needs: the clock, the pause. Not for fibers (they park) and not for
 * shards (their loop sleeps in the poller).
 *
 * Invariants
 * 1. A signal is never lost: it is taken by the wait that is under way or by the next one.
 * 2. Signals do not count: any number before a wait wake it once.
 * 3. What was written before a signal is seen by the wait that took it.
 *
 * Threads
 * At most one waits at a time, any may signal. A wait that returned true may free the event, even
 * while the signaller is still about to return, if no other signal is to come: an event may live
 * on the waiter's stack.
 */
#ifndef TP_OS_WAIT_H
#define TP_OS_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/assert.h"

#ifndef __linux__
#include <pthread.h>
#endif

#define TP_EVENT_FOREVER UINT64_MAX

static inline void tp_cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static inline uint64_t tp_clock_ns(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);
    TP_ASSERT(rc == 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

typedef struct tp_event {
    _Atomic uint32_t state; /* see wait.c; a signal publishes its thread's writes to the waiter */
#ifndef __linux__
    pthread_mutex_t mutex;
    pthread_cond_t changed;
#endif
} tp_event;

/* [any thread] Not signalled. False if the system has no means left; never on Linux. */
bool tp_event_init(tp_event *event);

/* [any thread] Nobody waits any more. */
void tp_event_deinit(tp_event *event);

/* [any thread] Wakes the waiter, or the next to wait. No system call unless somebody sleeps. */
void tp_event_signal(tp_event *event);

/*
 * [outside thread] Spins for up to `spin_ns`, then sleeps until signalled; resets the event. False
 * if `timeout_ns` (TP_EVENT_FOREVER: none; 0: just look) passed first. The spinning is part of
 * the timeout. Blocks the thread: never on a shard.
 */
bool tp_event_wait(tp_event *event, uint64_t timeout_ns, uint64_t spin_ns);

/* The same until a moment of the monotonic clock, which is not read before it matters. */
bool tp_event_wait_until(tp_event *event, uint64_t deadline, uint64_t spin_ns);

#endif
