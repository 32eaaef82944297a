/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of jobs.h: one queue under one mutex. Jobs take microseconds at least and block, so the
 * lock is nothing beside them.
 *
 * Invariants: `pending` counts a job from its acceptance until its `done` has returned, so after
 * tp_jobs_quiesce no pool thread touches what the jobs belonged to.
 *
 * Threads: as jobs.h. The lock is never held while a job runs.
 */
#include "os/jobs.h"

#include "base/alloc.h"
#include "os/real.h"

troupe_status tp_jobs_init(tp_jobs *jobs, const troupe_allocator *allocator, uint32_t threads,
                           uint32_t limit)
{
    pthread_t *list = tp_allocate(allocator, threads * sizeof(*list));
    if (list == NULL) {
        return TROUPE_NO_MEMORY;
    }
    *jobs = (tp_jobs){
        .allocator = allocator, .threads = list, .threads_max = threads, .limit = limit};
    (void)pthread_mutex_init(&jobs->mutex, NULL);
    (void)pthread_cond_init(&jobs->has_work, NULL);
    (void)pthread_cond_init(&jobs->is_quiet, NULL);
    return TROUPE_OK;
}

/* Waits for a job and takes it; NULL: the pool stops. Called and returns with the lock held. */
static tp_job *take(tp_jobs *jobs)
{
    while (jobs->first == NULL && !jobs->is_stopping) {
        jobs->idle++;
        (void)pthread_cond_wait(&jobs->has_work, &jobs->mutex);
        jobs->idle--;
    }
    tp_job *job = jobs->first;
    if (job != NULL) {
        jobs->first = job->next;
        if (jobs->first == NULL) {
            jobs->last = NULL;
        }
    }
    return job;
}

static void *work(void *argument)
{
    tp_jobs *jobs = argument;
    tp_thread_name("troupe-job");
    (void)pthread_mutex_lock(&jobs->mutex);
    for (;;) {
        tp_job *job = take(jobs);
        if (job == NULL) {
            break;
        }
        (void)pthread_mutex_unlock(&jobs->mutex);
        job->run(job);
        job->done(job);
        (void)pthread_mutex_lock(&jobs->mutex);
        jobs->pending--;
        if (jobs->pending == 0) {
            (void)pthread_cond_broadcast(&jobs->is_quiet);
        }
    }
    (void)pthread_mutex_unlock(&jobs->mutex);
    return NULL;
}

/* With the lock held: one more thread, if the ones there are have no time for the next job. */
static void grow(tp_jobs *jobs)
{
    if (jobs->thread_count == jobs->threads_max || jobs->pending < jobs->thread_count) {
        return;
    }
    if (tp_thread_create(&jobs->threads[jobs->thread_count], work, jobs) == 0) {
        jobs->thread_count++;
    }
}

troupe_status tp_jobs_start(tp_jobs *jobs, tp_job *job)
{
    (void)pthread_mutex_lock(&jobs->mutex);
    bool is_full = jobs->pending >= (uint64_t)jobs->threads_max + jobs->limit;
    if (!is_full) {
        grow(jobs);
    }
    if (is_full || jobs->thread_count == 0) {
        (void)pthread_mutex_unlock(&jobs->mutex);
        return TROUPE_BUSY;
    }
    job->next = NULL;
    if (jobs->last != NULL) {
        jobs->last->next = job;
    } else {
        jobs->first = job;
    }
    jobs->last = job;
    jobs->pending++;
    if (jobs->idle > 0) {
        (void)pthread_cond_signal(&jobs->has_work);
    }
    (void)pthread_mutex_unlock(&jobs->mutex);
    return TROUPE_OK;
}

void tp_jobs_quiesce(tp_jobs *jobs)
{
    (void)pthread_mutex_lock(&jobs->mutex);
    while (jobs->pending > 0) {
        (void)pthread_cond_wait(&jobs->is_quiet, &jobs->mutex);
    }
    (void)pthread_mutex_unlock(&jobs->mutex);
}

void tp_jobs_deinit(tp_jobs *jobs)
{
    if (jobs->threads == NULL) {
        return;
    }
    tp_jobs_quiesce(jobs);
    (void)pthread_mutex_lock(&jobs->mutex);
    jobs->is_stopping = true;
    (void)pthread_cond_broadcast(&jobs->has_work);
    (void)pthread_mutex_unlock(&jobs->mutex);
    for (uint32_t i = 0; i < jobs->thread_count; i++) {
        (void)pthread_join(jobs->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&jobs->is_quiet);
    (void)pthread_cond_destroy(&jobs->has_work);
    (void)pthread_mutex_destroy(&jobs->mutex);
    tp_release(jobs->allocator, jobs->threads, jobs->threads_max * sizeof(*jobs->threads));
    *jobs = (tp_jobs){0};
}
