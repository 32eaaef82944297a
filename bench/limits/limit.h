/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every raw limit needs and none should write twice: the clock, two cores, arguments, a block
 * pool, and the one line that a limit prints. A limit is a whole program that does the physical
 * part of a job and nothing else; it knows nothing of Troupe. Included by each bench/limits
 * program.
 *
 * Invariants
 *   1. A limit prints exactly one JSON line on stdout, and nothing else there.
 *   2. Exit 0: measured. 2: measured, but under 0.7 of its orientation (a broken limit would
 *      flatter us; --no-floor leaves that judgement to the caller, who has the median). 77: this
 *      machine cannot run it.
 * Threads
 *   A pool belongs to the thread that takes from it.
 */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* processor affinity; this header comes first in every limit */
#endif

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { LIMIT_LOW = 2, LIMIT_SKIPPED = 77, LIMIT_PAYLOAD = 64 };

/* Each measurement aims at this long: well above the scheduler's tick, nine of them stay bearable.
 */
#define LIMIT_RUN_NS 300000000ull

static inline uint64_t limit_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* The compiler must take `pointer` for unknown: what hangs on it is neither folded nor inlined. */
#define LIMIT_OPAQUE(pointer) __asm__ volatile("" : "+r"(pointer))

static inline void limit_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Fixed seed, full period: every run draws the same names. */
static inline uint64_t limit_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* The n-th core this process may use; the program ends with 77 where there is none. */
static inline void limit_pin(unsigned n)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        CPU_ZERO(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || n-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof(one), &one) == 0)
            return;
    }
    fprintf(stderr, "limit: needs a core more than this process may use\n");
    exit(LIMIT_SKIPPED);
}

/* Two threads need two cores, else the figure is the scheduler's. Asked before any thread is
 * pinned. */
static inline void limit_need_cores(int count)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) >= count)
        return;
    fprintf(stderr, "limit: needs %d cores\n", count);
    exit(LIMIT_SKIPPED);
}

/* Value of the n-th plain argument (those that do not begin with '-'), or `otherwise`. */
static inline uint64_t limit_argument(int argc, char **argv, int n, uint64_t otherwise)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-' && n-- == 0)
            return strtoull(argv[i], NULL, 10);
    return otherwise;
}

/* Zeroed memory straight from the system, in huge pages where it gives them. */
static inline void *limit_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "limit: no memory for %zu bytes\n", bytes);
        exit(LIMIT_SKIPPED);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

/* Prints the line and returns the exit code. Orientation 0: none was ever noted. Unit "ns": less is
 * better. */
static inline int limit_report(
    int argc, char **argv, const char *name, double value, const char *unit, double orientation)
{
    bool floor = orientation > 0;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--no-floor") == 0)
            floor = false;
    printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"orientation\":%.6g}\n", name, value,
        unit, orientation);
    double share = strcmp(unit, "ns") == 0 ? orientation / value : value / orientation;
    if (!floor || share >= 0.7)
        return 0;
    fprintf(stderr, "limit %s: %.4g %s is only %.2f of its orientation %.4g\n", name, value, unit,
        share, orientation);
    return LIMIT_LOW;
}

/* A message as a shard would hold it: link, receiver and method resolved once, one 64-byte payload.
 */
struct limit_message;
typedef void limit_method(void *actor, struct limit_message *message);
struct limit_message {
    struct limit_message *next;
    limit_method *run;
    void *actor;
    uint64_t size;
    char payload[LIMIT_PAYLOAD];
};

/* What every receiving method does: its actor counts, and reads the first and the last word of the
 * payload. */
struct limit_actor {
    uint64_t received;
    uint64_t sum;
};

static inline void limit_receive(struct limit_actor *actor, const char *payload)
{
    uint64_t first, last;
    memcpy(&first, payload, sizeof(first));
    memcpy(&last, payload + LIMIT_PAYLOAD - sizeof(last), sizeof(last));
    actor->received++;
    actor->sum += first + last;
}

struct limit_pool {
    struct limit_message *free;
};

static inline void limit_pool_init(struct limit_pool *pool, size_t count, size_t stride)
{
    char *slab = limit_map(count * stride);
    pool->free = NULL;
    for (size_t i = count; i-- > 0;) {
        struct limit_message *message = (struct limit_message *)(void *)(slab + i * stride);
        message->next = pool->free;
        pool->free = message;
    }
}

static inline struct limit_message *limit_pool_take(struct limit_pool *pool)
{
    struct limit_message *message = pool->free;
    pool->free = message->next;
    return message;
}

static inline void limit_pool_give(struct limit_pool *pool, struct limit_message *message)
{
    message->next = pool->free;
    pool->free = message;
}

#endif
