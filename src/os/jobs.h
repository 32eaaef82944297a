/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of threads for work that blocks (troupe_blocking, files). Threads are started when jobs
 * first need them and stay. Not for shards, and not libuv's pool, which is one for the process and
 * has no limit to its queue. The real env calls it.
 *
 * Invariants
 * 1. An accepted job is run once, then done once, both on the same pool thread, in this order.
 * 2. Accepted and not ended are at most threads + limit; one more is BUSY.
 * 3. Jobs are begun in the order in which they were accepted.
 *
 * Threads: tp_jobs_start any; init, quiesce and deinit the env's owner.
 */
#ifndef TP_OS_JOBS_H
#define TP_OS_JOBS_H

#include <pthread.h>

#include "os/env.h"

typedef struct tp_jobs {
    /* Set by init. */
    const troupe_allocator *allocator;
    pthread_t *threads;
    uint32_t threads_max;
    uint32_t limit;

    /* Under mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    pthread_cond_t is_quiet;
    tp_job *first;
    tp_job *last;
    uint64_t pending; /* queued or running */
    uint32_t thread_count;
    uint32_t idle;
    bool is_stopping;
} tp_jobs;

/* NO_MEMORY. With 0 threads every job is BUSY. */
troupe_status tp_jobs_init(tp_jobs *jobs, const troupe_allocator *allocator, uint32_t threads,
                           uint32_t limit);

/* Ends what was accepted, then the threads. A zeroed one is a no-op. */
void tp_jobs_deinit(tp_jobs *jobs);

/* BUSY: the queue is full, or there is no thread and none can be had. */
troupe_status tp_jobs_start(tp_jobs *jobs, tp_job *job);

/* Returns once no job is queued or running. Not from a job. */
void tp_jobs_quiesce(tp_jobs *jobs);

#endif
