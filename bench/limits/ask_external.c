/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of ask_external: a thread outside puts requests of 64 bytes into a queue behind a mutex and
 * a condition variable, a worker takes one, calls, and puts the reply into a second such queue.
 * Before a side sleeps it polls for the spin budget, as ours does. One request in flight prints
 * nanoseconds per round trip, more print round trips per second. By hand: limit_ask_external [in
 * flight] [spin budget in ns] [--no-floor].
 *
 * Invariants: a message is in the free list of the asker, in a queue, or with one side.
 * Threads: main asks, one answers; `count` may be read without the mutex, as a hint to stop
 * polling.
 */
#include "limit.h"
#include <pthread.h>
#include <stdatomic.h>

struct queue {
    _Alignas(128) pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct limit_message *head, **tail;
    uint64_t sleepers;
    _Atomic uint64_t count;
};

static struct queue requests, replies;
static uint64_t spin_ns;

static void queue_init(struct queue *queue)
{
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->filled, NULL);
    queue->tail = &queue->head;
}

static void put(struct queue *queue, struct limit_message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&queue->mutex);
    *queue->tail = message;
    queue->tail = &message->next;
    uint64_t count = atomic_load_explicit(&queue->count, memory_order_relaxed);
    atomic_store_explicit(&queue->count, count + 1, memory_order_release);
    bool wake = queue->sleepers > 0;
    pthread_mutex_unlock(&queue->mutex);
    if (wake)
        pthread_cond_signal(&queue->filled);
}

/* Polls until the queue has something or the budget is used up; the clock is read now and then. */
static void spin(struct queue *queue)
{
    uint64_t start = 0;
    for (unsigned i = 0; atomic_load_explicit(&queue->count, memory_order_acquire) == 0; i++) {
        if (i % 32 == 31) {
            uint64_t now = limit_now_ns();
            start = start == 0 ? now : start;
            if (now - start >= spin_ns)
                return;
        }
        limit_pause();
    }
}

static struct limit_message *take(struct queue *queue)
{
    spin(queue);
    pthread_mutex_lock(&queue->mutex);
    while (queue->head == NULL) {
        queue->sleepers++;
        pthread_cond_wait(&queue->filled, &queue->mutex);
        queue->sleepers--;
    }
    struct limit_message *message = queue->head;
    queue->head = message->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    uint64_t count = atomic_load_explicit(&queue->count, memory_order_relaxed);
    atomic_store_explicit(&queue->count, count - 1, memory_order_release);
    pthread_mutex_unlock(&queue->mutex);
    return message;
}

static void on_message(void *self, struct limit_message *message)
{
    limit_receive(self, message->payload);
}

/* The request's block carries the reply back. */
static void *answer(void *unused)
{
    limit_pin(1);
    for (;;) {
        struct limit_message *message = take(&requests);
        if (message->run == NULL)
            return unused;
        message->run(message->actor, message);
        put(&replies, message);
    }
}

static void ask(
    struct limit_message *message, struct limit_actor *to, limit_method *run, uint64_t *asked)
{
    char payload[LIMIT_PAYLOAD] = {0};
    memcpy(payload, asked, sizeof(*asked));
    ++*asked;
    message->run = run;
    message->actor = to;
    message->size = LIMIT_PAYLOAD;
    memcpy(message->payload, payload, LIMIT_PAYLOAD);
    put(&requests, message);
}

int main(int argc, char **argv)
{
    uint64_t flight = limit_argument(argc, argv, 0, 1), asked = 0, answered = 0, start, end;
    struct limit_actor actor = {0};
    struct limit_pool pool;
    limit_method *run = on_message;
    pthread_t thread;

    limit_need_cores(2);
    spin_ns = limit_argument(argc, argv, 1, 50000);
    queue_init(&requests);
    queue_init(&replies);
    limit_pool_init(&pool, flight, 128);
    LIMIT_OPAQUE(run);
    if (pthread_create(&thread, NULL, answer, NULL) != 0)
        return LIMIT_SKIPPED;
    limit_pin(0);
    start = limit_now_ns();
    while (asked < flight)
        ask(limit_pool_take(&pool), &actor, run, &asked);
    do {
        for (int i = 0; i < 1024; i++, answered++)
            ask(take(&replies), &actor, run, &asked);
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    for (uint64_t left = flight; left > 1; left--)
        take(&replies);
    ask(take(&replies), NULL, NULL, &asked);
    pthread_join(thread, NULL);
    if (actor.received != asked - 1 || answered + flight != asked - 1)
        return 1;
    if (flight == 1)
        return limit_report(
            argc, argv, "ask_external", (double)(end - start) / (double)answered, "ns", 0);
    return limit_report(
        argc, argv, "ask_external", (double)answered * 1e9 / (double)(end - start), "ops/s", 0);
}
