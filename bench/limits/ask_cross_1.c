/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of ask_cross_1: two cache-line hand-offs. One pinned thread writes a request and a number
 * into a line, another, polling, reads it and writes its reply and the next number into the same
 * line. One line handed over twice was half the time of two lines with a writer each (190 ns
 * against 400), and a pause in the polling loop halves it again, because it leaves the line alone
 * while the other writes. Prints nanoseconds per round trip. No pool, no queue, no call.
 *
 * Invariants: the line belongs to the asker while its number is even, to the answerer while it is
 * odd. Threads: main asks, one answers; the number publishes the payload.
 */
#include "limit.h"
#include <pthread.h>
#include <stdatomic.h>

struct line {
    _Alignas(128) _Atomic uint64_t number;
    char payload[LIMIT_PAYLOAD - 8];
};

static struct line line;

static uint64_t wait_beyond(uint64_t number)
{
    uint64_t seen;
    while ((seen = atomic_load_explicit(&line.number, memory_order_acquire)) <= number)
        limit_pause();
    return seen;
}

static void *answer(void *unused)
{
    limit_pin(1);
    for (uint64_t number = 0;; number += 2) {
        char payload[sizeof(line.payload)];
        uint64_t first;
        if (wait_beyond(number) == UINT64_MAX)
            return unused;
        memcpy(payload, line.payload, sizeof(payload));
        memcpy(&first, payload, sizeof(first));
        first++;
        memcpy(payload, &first, sizeof(first));
        memcpy(line.payload, payload, sizeof(payload));
        atomic_store_explicit(&line.number, number + 2, memory_order_release);
    }
}

int main(int argc, char **argv)
{
    char payload[sizeof(line.payload)] = {0};
    uint64_t number = 0, sum = 0, start, end, trips;
    pthread_t thread;

    limit_need_cores(2);
    if (pthread_create(&thread, NULL, answer, NULL) != 0)
        return LIMIT_SKIPPED;
    limit_pin(0);
    start = limit_now_ns();
    do {
        for (int i = 0; i < 1024; i++) {
            uint64_t back;
            memcpy(payload, &number, sizeof(number));
            memcpy(line.payload, payload, sizeof(payload));
            atomic_store_explicit(&line.number, number + 1, memory_order_release);
            wait_beyond(number + 1);
            memcpy(&back, line.payload, sizeof(back));
            sum += back - number;
            number += 2;
        }
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    atomic_store_explicit(&line.number, UINT64_MAX, memory_order_release);
    pthread_join(thread, NULL);
    trips = number / 2;
    if (sum != trips)
        return 1;
    return limit_report(argc, argv, "ask_cross_1", (double)(end - start) / (double)trips, "ns", 68);
}
