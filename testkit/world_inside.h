/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a world, for world.c and world_memory.c only.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_WORLD_INSIDE_H
#define TP_TESTKIT_WORLD_INSIDE_H

#include "testkit/world.h"

#include <troupe.h>

#define WORLD_SEATS 64
#define WORLD_LOG   16384
#define WORLD_KEPT  256

typedef struct world_seat {
    tp_runner *runner;
    uint64_t due; /* as its last step said */
    uint64_t paused_until;
    bool woken;
    bool done;
} world_seat;

typedef struct world_job {
    struct world_job *next;
    tp_job *job;
    uint64_t due;
} world_job;

typedef struct world_env {
    tp_env env;
    tp_world *world;
    struct world_env *next;
} world_env;

typedef struct world_block world_block;

typedef struct world_memory {
    troupe_allocator allocator;
    tp_prng prng;
    uint64_t blocks, bytes; /* that are out */
    uint64_t allocations, failed;
    uint32_t chance;
    uint64_t first, count;
    world_block *out;
    world_block *kept[WORLD_KEPT]; /* released, and not yet the system's again */
    uint32_t kept_at;
} world_memory;

struct tp_world {
    tp_world_options options;
    tp_prng prng;    /* of the schedule */
    tp_prng entropy; /* of the nodes */
    uint64_t now;
    _Atomic uint32_t pulse;

    world_seat *seats[WORLD_SEATS];
    uint32_t seat_count;
    world_seat *running; /* NULL: outside of steps */
    uint64_t step_began;
    world_job *jobs;
    uint32_t job_count;
    tp_world_event *events;
    world_env *envs;
    uint64_t steps;

    uint64_t hash;
    uint64_t effects;
    const char *marks[TP_WORLD_MARKS];
    uint32_t mark_count;
    char log[WORLD_LOG + 1];
    size_t log_size;
    world_memory memory;
};

void tp_world_memory_init(tp_world *world);
void tp_world_memory_deinit(tp_world *world);
void tp_world_memory_drop(tp_world *world);

#endif
