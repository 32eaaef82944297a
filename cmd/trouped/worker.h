/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that runs jobs in the order given: for calls that wait for the node, which the loop of
 * the admin socket must not make. Not a pool, and not for actors' work.
 *
 * Invariants: 1. Each job runs exactly once, also those that wait when the worker is stopped.
 * 2. The number of waiting jobs is bounded by the requests in flight (admin_codec.h).
 * Threads: worker_add from any thread; the others from the owner's.
 */
#ifndef TROUPED_WORKER_H
#define TROUPED_WORKER_H

#include <stdbool.h>
#include <uv.h>

/* Caller's storage; the worker does not touch it once `run` was called. */
typedef struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job);
} worker_job;

typedef struct daemon_worker {
    uv_thread_t thread;
    uv_mutex_t mutex; /* guards all below */
    uv_cond_t arrival;
    worker_job *first;
    worker_job **end;
    bool is_stopping;
    bool is_started;
} daemon_worker;

bool worker_start(daemon_worker *worker); /* false: the system gives no thread */
void worker_add(daemon_worker *worker, worker_job *job);
void worker_stop(daemon_worker *worker); /* after the waiting jobs; never started: no-op */

#endif
