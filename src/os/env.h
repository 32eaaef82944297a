/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one seam to everything that is not a pure function of the past: clock, entropy, threads,
 * waiting, jobs. The product calls nothing of this by another way, so that a world of the test kit
 * that fills in this struct runs the product's own code, repeatably. The real implementation is
 * real_env.c (libuv); the simulated one is testkit/world.c.
 *
 * Invariants
 * 1. A runner's `step` is never run by two threads at once, and never while another step of the
 * same runner is on the stack.
 * 2. After `wake` the runner is stepped at least once, however the wake raced with its going to
 * sleep.
 * 3. `now` never goes back, also between threads of one env.
 *
 * Threads: each function says who may call it.
 */
#ifndef TP_OS_ENV_H
#define TP_OS_ENV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/net.h"
#include "os/wait.h"
#include "troupe/base.h"
#include "troupe/status.h"

#define TP_NEVER     UINT64_MAX
#define TP_STEP_DONE (UINT64_MAX - 1) /* the runner has ended; it is not stepped again */

typedef struct tp_env tp_env;

/* Something that is stepped: a shard. The caller fills in the first group before runner_start and
 * keeps the storage until runner_join. */
typedef struct tp_runner {
    /* One pass. Returns 0: step again at once; else the moment (env's now) of the next own work,
     * TP_NEVER: none, or TP_STEP_DONE. [the runner's thread] */
    uint64_t (*step)(struct tp_runner *runner);
    /* Cheap: has anything arrived since the last step? Asked while spinning, and once more after
     * `sleeping` is set. */
    bool (*has_arrivals)(struct tp_runner *runner);
    const char *name;
    uint32_t number; /* of the shard */
    uint64_t spin;   /* ns of polling has_arrivals before it sleeps */
    /* Driven: no turn begins after it, as the host wants to go on; set before each step. */
    uint64_t pass_until;
    /* Its step may block, on files or a network: it has a thread also where the host drives. */
    bool own_thread;
    /* The watchdog's view, written by step's code: turns begun; the running turn's owner. */
    _Atomic uint64_t turns_begun;
    /* Called by the watchdog on its own thread when the same turn has been running for `stuck` ns,
     * once per turn. */
    void (*on_stuck)(struct tp_runner *runner, uint64_t age);
    uint64_t stuck;
    /* The env's. Apart from what a running shard writes, since every waker reads it. */
    char apart[64];
    _Atomic uint32_t sleeping; /* 1: it sleeps or is about to; wake must do more than nothing */
    void *seat;
    char aside[64];
} tp_runner;

/* A job for the blocking pool; caller's storage, kept until `done` was called. */
typedef struct tp_job {
    struct tp_job *next;              /* the env's */
    void (*run)(struct tp_job *job);  /* [pool thread] */
    void (*done)(struct tp_job *job); /* [pool thread; simulated: the world] after run; last touch
                                         of the job by the env */
} tp_job;

/* A thread outside that waits for one thing; caller's storage. All of it is the env's, between
 * wait_begin and wait_end. */
typedef struct tp_waiter {
    _Atomic uint32_t done;
    void *seat;
    tp_event event;
} tp_waiter;

/* What the process has used. */
typedef struct tp_usage {
    uint64_t cpu;      /* ns, of all its threads */
    uint64_t resident; /* bytes */
} tp_usage;

struct tp_env {
    /* ---- clock and entropy [any thread] */
    uint64_t (*now)(tp_env *env);  /* monotonic ns */
    uint64_t (*boot)(tp_env *env); /* as now, but it goes on while the machine sleeps: for leases */
    uint64_t (*wall)(tp_env *env); /* ns since 1970 */
    void (*entropy)(tp_env *env, void *out, size_t size);
    /* Coarse time: grows by one each 10 ms while a runner is awake. Read before and after each
     * turn, at the price of a load. Simulated: advanced by the world with its clock. */
    const _Atomic uint32_t *pulse;
    bool beats; /* a thread moves the pulse; else it moves between steps only, by leaps */
    uint32_t cores;
    uint64_t memory; /* bytes that this process may use */
    uint32_t stacks; /* of fibers that this process may have; 0: any number */
    void (*usage)(tp_env *env, tp_usage *ret_usage); /* [any thread] simulated: nothing */

    /* ---- runners [the thread that opens or closes the node] */
    troupe_status (*runner_start)(
        tp_env *env, tp_runner *runner);                 /* UNAVAILABLE: no thread; NO_MEMORY */
    void (*runner_join)(tp_env *env, tp_runner *runner); /* until its step returned TP_STEP_DONE */
    void (*runner_wake)(tp_env *env,
        tp_runner *runner); /* [any thread] call after publishing work; cheap when awake */

    /* ---- jobs */
    troupe_status (*job_start)(tp_env *env,
        tp_job *job); /* [any thread] BUSY: the queue is full; then done is not called */

    /* ---- waiting from outside [threads that are not runners] */
    troupe_status (*wait_begin)(tp_env *env, tp_waiter *waiter); /* NO_MEMORY, UNAVAILABLE */
    bool (*wait)(tp_env *env, tp_waiter *waiter,
        uint64_t deadline); /* until done or deadline (now); false: deadline */
    void (*wait_end)(tp_env *env, tp_waiter *waiter);
    void (*signal)(
        tp_env *env, tp_waiter *waiter); /* [any thread] sets done; last touch of the waiter */
    bool (*is_runner)(tp_env *env);      /* is the calling thread inside a step of this env? */

    /* ---- driven mode: NULL where runners have threads */
    uint64_t (*poll)(tp_env *env, uint64_t budget); /* as troupe_node_poll */
    int (*descriptor)(tp_env *env);

    tp_net net;

    /* ---- standard error, whole lines */
    void (*write_log)(tp_env *env, const char *text, size_t size);

    void (*destroy)(tp_env *env);
    /* Simulation only: a point where the world may pause, reorder or fail; NULL in the real env. */
    uint32_t (*choose)(tp_env *env, uint32_t alternatives);
    /* Simulation only: a named situation was reached; NULL in the real env. */
    void (*mark)(tp_env *env, const char *situation);
    /* Simulation only: folded into the trace hash; NULL in the real env. */
    void (*trace)(tp_env *env, uint32_t what, uint64_t detail);
    uint64_t mutants; /* planted mistakes (testkit/mutants.def), for proving that the simulation
                         sees them; 0 in the real env */
};

typedef struct tp_real_options {
    const troupe_allocator *allocator;
    bool driven;
    uint32_t blocking_threads;
    uint32_t blocking_limit;
    uint64_t spin; /* of wait */
} tp_real_options;

troupe_status tp_real_env_create(const tp_real_options *options, tp_env **ret_env);

#endif
