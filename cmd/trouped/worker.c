/* SPDX-License-Identifier: Apache-2.0 */
/* The one thread for calls that wait: see worker.h, also for invariants and threads. */
#include "trouped/worker.h"

static void work(void *argument)
{
    daemon_worker *worker = argument;
    uv_mutex_lock(&worker->mutex);
    while (worker->first != NULL || !worker->is_stopping) {
        worker_job *job = worker->first;
        if (job == NULL) {
            uv_cond_wait(&worker->arrival, &worker->mutex);
            continue;
        }
        worker->first = job->next;
        if (worker->first == NULL) worker->end = &worker->first;
        uv_mutex_unlock(&worker->mutex);
        job->run(job);
        uv_mutex_lock(&worker->mutex);
    }
    uv_mutex_unlock(&worker->mutex);
}

bool worker_start(daemon_worker *worker)
{
    worker->end = &worker->first;
    if (uv_mutex_init(&worker->mutex) != 0) return false;
    if (uv_cond_init(&worker->arrival) != 0) {
        uv_mutex_destroy(&worker->mutex);
        return false;
    }
    if (uv_thread_create(&worker->thread, work, worker) != 0) {
        uv_cond_destroy(&worker->arrival);
        uv_mutex_destroy(&worker->mutex);
        return false;
    }
    worker->is_started = true;
    return true;
}

void worker_add(daemon_worker *worker, worker_job *job)
{
    job->next = NULL;
    uv_mutex_lock(&worker->mutex);
    *worker->end = job;
    worker->end = &job->next;
    uv_cond_signal(&worker->arrival);
    uv_mutex_unlock(&worker->mutex);
}

void worker_stop(daemon_worker *worker)
{
    if (!worker->is_started) return;
    uv_mutex_lock(&worker->mutex);
    worker->is_stopping = true;
    uv_cond_signal(&worker->arrival);
    uv_mutex_unlock(&worker->mutex);
    uv_thread_join(&worker->thread);
    uv_cond_destroy(&worker->arrival);
    uv_mutex_destroy(&worker->mutex);
    worker->is_started = false;
}
