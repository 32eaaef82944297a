/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of a commit that somebody waits for: a second thread, which alone has the store, is handed
 * one commit at a time behind a mutex and a condition variable, and hands back that it is done.
 *
 * Invariants: what is counted has been committed. Threads: the caller's and the second one; `work`
 * is under the mutex.
 */
#ifndef BENCH_HANDED_H
#define BENCH_HANDED_H

#include "limit.h"

#include <pthread.h>

typedef void limit_commit(void *user, uint64_t number);

struct limit_handed {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t asked, done;
    bool is_over;
    limit_commit *commit;
    void *user;
};

static inline void *limit_handed_serve(void *context)
{
    struct limit_handed *work = context;
    pthread_mutex_lock(&work->mutex);
    for (;;) {
        while (work->asked == work->done && !work->is_over)
            pthread_cond_wait(&work->changed, &work->mutex);
        if (work->is_over)
            break;
        uint64_t number = work->asked;
        pthread_mutex_unlock(&work->mutex);
        work->commit(work->user, number);
        pthread_mutex_lock(&work->mutex);
        work->done = number;
        pthread_cond_signal(&work->changed);
    }
    pthread_mutex_unlock(&work->mutex);
    return NULL;
}

/* Nanoseconds for each, measured for `look_ns`. */
static inline double limit_handed(limit_commit *commit, void *user, uint64_t look_ns)
{
    struct limit_handed work = {.mutex = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .commit = commit,
        .user = user};
    pthread_t thread;
    if (pthread_create(&thread, NULL, limit_handed_serve, &work) != 0)
        exit(LIMIT_SKIPPED);
    uint64_t start = limit_now_ns(), end;
    pthread_mutex_lock(&work.mutex);
    do {
        work.asked++;
        pthread_cond_signal(&work.changed);
        while (work.done != work.asked)
            pthread_cond_wait(&work.changed, &work.mutex);
        end = limit_now_ns();
    } while (end - start < look_ns);
    work.is_over = true;
    pthread_cond_signal(&work.changed);
    pthread_mutex_unlock(&work.mutex);
    pthread_join(thread, NULL);
    return (double)(end - start) / (double)work.done;
}

#endif
