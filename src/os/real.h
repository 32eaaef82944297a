/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the real env share: real_env.c (composition, clock, waiters), runner.c (threads
 * that step shards), driven.c (the host's thread does), pulse.c (coarse time and the watchdog).
 * Nobody else includes it: env.h is the face.
 *
 * Invariants
 * 1. Seats and waiter seats are freed by destroy and not before: a late waker or signaller touches
 *    memory that is still there, and at worst wakes somebody for nothing. (Without a drive a thread
 *    waits for its own event alone, which bears a late signaller: os/wait.h.)
 * 2. A runner is watched from runner_start until runner_join, so on_stuck is never called later.
 *
 * Threads: each group of fields says who writes it.
 */
#ifndef TP_OS_REAL_H
#define TP_OS_REAL_H

#include <pthread.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "os/bell.h"
#include "os/env.h"
#include "os/jobs.h"
#include "os/wait.h"

#define TP_PULSE_NS UINT64_C(10000000)
#define TP_WAITERS_MAX 65536u /* driven: threads that block at once; wait_begin: NO_MEMORY */

typedef struct tp_real_env tp_real_env;

/* Where a runner sits: its event loop and its thread. */
typedef struct tp_seat {
    tp_real_env *env;
    struct tp_seat *next; /* in env->seats; under env->mutex */

    /* Set before the first step. */
    tp_runner *runner; /* driven: NULL until runner_start */
    uv_loop_t loop;
    tp_bell bell; /* [any thread] rung by who took `sleeping` from 1 to 0 */
    uv_timer_t timer;
    pthread_t thread;

    /* Written by the thread that steps. */
    uint64_t looked; /* when the loop was last entered */
    uint64_t spin;   /* how long it polls the next time: the runner's spin, or a part of it */
    uint32_t vain;   /* waits in a row that polling did not bridge */
    bool is_done;
    uint32_t sockets; /* that its loop watches: it is entered more often, also while polling */
    bool is_stirred;  /* a stream's or listener's call was made since the last step */
    char *arriving;   /* bytes just read, of TP_ARRIVING; made with the first stream */
    tp_list streams;  /* net.c */
    tp_list listeners;

    /* Written by the pulse thread, under env->mutex. */
    bool is_watched;
    bool is_reported;
    uint64_t turn;  /* the last value of turns_begun that was seen */
    uint64_t since; /* when it was first seen */
} tp_seat;

/* Driven: a thread inside wait. */
typedef struct tp_wait_seat {
    tp_event event;
    struct tp_wait_seat *next; /* free, or waiting for the drive; under env->mutex */
    struct tp_wait_seat *all;  /* every one ever made; under env->mutex */
} tp_wait_seat;

struct tp_real_env {
    tp_env base; /* first: a tp_env of this kind is one of these */

    /* Set by create. */
    const troupe_allocator *allocator;
    uint64_t spin;
    tp_jobs jobs;

    /* Under mutex. */
    pthread_mutex_t mutex;
    tp_seat *seats;
    uint32_t seat_count;
    tp_wait_seat *wait_seats;
    tp_wait_seat *free_wait_seats;
    tp_wait_seat *drive_waiters; /* driven: threads in wait that another thread steps for */
    uint32_t wait_seat_count;

    pthread_mutex_t log_mutex; /* held while a line is written, so that lines stay whole */

    /* The pulse thread. `pulse` is written by it; driven: by who steps. */
    _Atomic uint32_t pulse;
    _Atomic uint64_t awake; /* low half: runners awake; high half: how often one rose (wraps) */
    _Atomic uint32_t pulse_rests; /* 1: the pulse thread sleeps without end, or is about to */
    _Atomic bool pulse_stops;
    tp_event pulse_event;
    pthread_t pulse_thread;
    bool has_pulse_thread;
    uint64_t pulse_last; /* the moment that `pulse` stands for */

    /* Driven. */
    tp_seat *driven;
    _Atomic bool is_driven_now; /* a thread is inside poll or wait; exchange takes, store gives */
    _Atomic uint64_t promised;  /* when the host will poll again by itself, as it was told */
};

static inline tp_real_env *tp_real(tp_env *env)
{
    return (tp_real_env *)(void *)env;
}

uint64_t tp_real_now(tp_env *env);

/*
 * Between "I publish, then look whether you sleep" and "I say that I sleep, then look whether
 * something came" one of the two must see the other: each puts this between its store and its load
 * (Dekker; C11 7.17.4, sequentially consistent fences). gcc's thread sanitizer has no fences.
 */
static inline void tp_full_fence(void)
{
#if defined(__SANITIZE_THREAD__)
    _Atomic int local = 0;
    (void)atomic_fetch_add(&local, 1);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* A thread of ours: named, and deaf to every signal. Returns 0 or an errno. */
int tp_thread_create(pthread_t *thread, void *(*run)(void *), void *argument);
void tp_thread_name(const char *name); /* the calling thread; cut at 15 bytes */

/* runner.c: seats and threaded runners. */
troupe_status tp_seat_create(tp_real_env *env, tp_runner *runner, tp_seat **ret_seat);
void tp_seat_destroy(tp_seat *seat);            /* no thread uses it any more */
uint64_t tp_seat_step(tp_seat *seat);           /* one step; inside, is_runner is true */
void tp_seat_look(tp_seat *seat, uint64_t now); /* the loop's events, without waiting */
void tp_seat_sleep(tp_seat *seat, uint64_t until); /* until then, a wake or an arrival */
bool tp_is_runner(tp_env *env);
bool tp_seat_is_stepped_here(const tp_seat *seat); /* is the calling thread inside its step? */
troupe_status tp_threaded_start(tp_env *env, tp_runner *runner);
void tp_threaded_join(tp_env *env, tp_runner *runner);
void tp_runner_wake(tp_env *env, tp_runner *runner);

/* net.c */
#define TP_ARRIVING ((size_t)256 * 1024)
extern const tp_net tp_real_net;
void tp_seat_net_close(tp_seat *seat); /* what is still open of it */

/* driven.c */
troupe_status tp_driven_start(tp_env *env, tp_runner *runner);
void tp_driven_join(tp_env *env, tp_runner *runner);
uint64_t tp_driven_poll(tp_env *env, uint64_t budget);
int tp_driven_descriptor(tp_env *env);
bool tp_driven_wait(tp_env *env, tp_waiter *waiter, uint64_t deadline);
void tp_driven_signal(tp_env *env, tp_waiter *waiter);

/* pulse.c */
troupe_status tp_pulse_start(tp_real_env *env);
void tp_pulse_stop(tp_real_env *env);
void tp_pulse_rise(tp_real_env *env); /* [runner] it is awake from now on */
void tp_pulse_rest(tp_real_env *env); /* [runner] it goes to sleep */
void tp_pulse_advance(tp_real_env *env, uint64_t now); /* [pulse thread; driven: who steps] */

#endif
