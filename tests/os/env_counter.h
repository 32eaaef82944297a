/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the real env share: a runner that counts what arrives, a job that posts to it,
 * and an env to run them in. Not a test.
 *
 * Invariants: `taken` never exceeds `arrived`. Threads: send and the atomics any; the rest the
 * runner's.
 */
#ifndef TP_TESTS_ENV_COUNTER_H
#define TP_TESTS_ENV_COUNTER_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/env.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)

/* A runner that counts what arrives, and hands each arrival on to `peer`. */
typedef struct counter {
    tp_runner runner;
    tp_env *env;
    _Atomic uint64_t arrived;
    uint64_t taken;
    uint64_t target;        /* ends a wait when this many were taken */
    tp_waiter *waiter;
    struct counter *peer;
    _Atomic uint64_t due;   /* what step returns when there is nothing */
    _Atomic bool stop;
    _Atomic uint64_t steps;
    _Atomic uint64_t last_step;
    _Atomic bool was_inside;
} counter;

static inline counter *counter_of(tp_runner *runner)
{
    return (counter *)(void *)runner;
}

static inline bool counter_has_arrivals(tp_runner *runner)
{
    counter *self = counter_of(runner);
    return atomic_load(&self->arrived) != self->taken || atomic_load(&self->stop);
}

static inline void counter_send(counter *to)
{
    atomic_fetch_add(&to->arrived, 1);
    to->env->runner_wake(to->env, &to->runner);
}

static inline uint64_t counter_step(tp_runner *runner)
{
    counter *self = counter_of(runner);
    atomic_fetch_add(&self->steps, 1);
    atomic_store(&self->last_step, self->env->now(self->env));
    atomic_store(&self->was_inside, self->env->is_runner(self->env));
    if (atomic_load(&self->arrived) != self->taken) {
        self->taken++;
        if (self->peer != NULL && !atomic_load(&self->stop)) {
            counter_send(self->peer);
        }
        if (self->taken == self->target && self->waiter != NULL) {
            self->env->signal(self->env, self->waiter);
        }
        return 0;
    }
    return atomic_load(&self->stop) ? TP_STEP_DONE : atomic_load(&self->due);
}

static inline void counter_init(counter *self, tp_env *env, uint64_t spin)
{
    memset(self, 0, sizeof(*self));
    self->runner.step = counter_step;
    self->runner.has_arrivals = counter_has_arrivals;
    self->runner.name = "test-shard";
    self->runner.spin = spin;
    self->env = env;
    atomic_store(&self->due, TP_NEVER);
}

static inline void counter_end(counter *self)
{
    atomic_store(&self->stop, true);
    self->env->runner_wake(self->env, &self->runner);
    self->env->runner_join(self->env, &self->runner);
}

static inline tp_env *open_env(bool driven)
{
    tp_env *env = NULL;
    tp_real_options options = {
        .allocator = tp_allocator_system(),
        .driven = driven,
        .blocking_threads = 2,
        .blocking_limit = 3,
        .spin = 20000,
    };
    assert_int_equal(tp_real_env_create(&options, &env), TROUPE_OK);
    return env;
}

/* Until the runner is asleep: a fact that the seam shows. */
static inline void await_sleep(counter *self)
{
    while (atomic_load(&self->runner.sleeping) == 0) {
        (void)sched_yield();
    }
}

/* A job that counts as an arrival when it is done. */
typedef struct post_job {
    tp_job job;
    counter *to;
    tp_waiter *waiter; /* of post_signal */
    sigset_t mask;
} post_job;

static inline void post_run(tp_job *job)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, &((post_job *)(void *)job)->mask);
}

static inline void post_done(tp_job *job)
{
    counter_send(((post_job *)(void *)job)->to);
}

/* `done` for a thread that waits for the job itself: not by way of the runner. */
static inline void post_signal(tp_job *job)
{
    post_job *self = (post_job *)(void *)job;
    self->to->env->signal(self->to->env, self->waiter);
}

#endif
