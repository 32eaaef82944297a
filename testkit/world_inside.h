/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a world, for world.c, world_memory.c and world_net.c only.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_WORLD_INSIDE_H
#define TP_TESTKIT_WORLD_INSIDE_H

#include "testkit/world.h"

#include "base/list.h"
#include <troupe.h>

#define WORLD_LOG   16384
#define WORLD_PANIC 800
#define WORLD_KEPT  256

typedef struct world_env world_env;

/* Streams by a rising key: what is at 0 is the first. */
typedef struct world_heap_item {
    uint64_t key;
    tp_stream *stream;
} world_heap_item;

typedef struct world_heap {
    world_heap_item *items;
    uint32_t count, room;
} world_heap;

typedef struct world_seat {
    tp_runner *runner;
    world_env *env;
    uint64_t due;     /* as its last step said; of the world's clock */
    uint64_t net_due; /* when the first call of its streams is */
    /* world_net.c */
    tp_list streams;
    world_heap coming; /* those that a call is due to, by when that is */
    world_heap ready;  /* while it delivers: those to which one is due now, in their order */
    uint64_t next_order;
    bool delivers;
    uint64_t paused_until;
    bool woken;
    bool done;
} world_seat;

typedef struct world_job {
    struct world_job *next;
    tp_job *job;
    world_env *env;
    uint64_t due;
} world_job;

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
    bool is_plain; /* without junk, and what is released is the system's at once */
} world_memory;

/* A process, or one of several nodes in one. */
struct world_env {
    tp_env env;
    tp_world *world;
    struct world_env *next;
    uint32_t number;
    char *name;           /* of a process: its host; NULL: not on the network */
    world_memory *memory; /* of a process: its own */
    /* Its clock: `skew` ahead of the world's when it began, `rate` of 1e9 faster. */
    uint64_t began, skew;
    int64_t rate;
    uint64_t paused_until;
    uint32_t ports;
    bool is_gone;
};

struct tp_world {
    tp_world_options options;
    tp_prng prng;    /* of the schedule */
    tp_prng entropy; /* of the nodes */
    uint64_t now;
    _Atomic uint32_t pulse;

    world_seat **seats;
    uint32_t seat_count, seat_capacity;
    world_seat *running; /* NULL: outside of steps */
    uint64_t step_began;
    world_job *jobs;
    uint32_t job_count;
    tp_world_event *events;
    world_env *envs;
    uint32_t env_count;
    tp_listener *listeners;
    struct knock *knocks; /* connects under way */
    tp_list loose;        /* streams that no runner has: on their way from one to another */
    uint64_t writes, written; /* of connections: writes, and bytes in them */
    uint8_t *cuts;        /* env_count * env_count: from, to */
    uint64_t steps;

    uint64_t hash;
    uint64_t effects;
    const char *marks[TP_WORLD_MARKS];
    uint32_t mark_count;
    char log[WORLD_LOG + 1];
    size_t log_size;
    char panic[WORLD_PANIC]; /* the first one's line */
    world_memory memory;
};

void tp_world_memory_init(world_memory *memory, uint64_t seed);
void tp_world_memory_deinit(world_memory *memory);
/* All that is out is gone. */
void tp_world_memory_drop(world_memory *memory);

/* world_net.c */
extern const tp_net tp_world_net;
/* Calls of its streams that are due, before a step. */
void tp_world_net_deliver(tp_world *world, world_seat *seat);
/* Its runner has ended. */
void tp_world_net_leave(world_seat *seat);
/* Its process is killed: what it sent may still arrive, then its connections break. */
void tp_world_net_kill(tp_world *world, world_env *env);
void tp_world_net_healed(tp_world *world, world_env *from, world_env *to);
void tp_world_net_deinit(tp_world *world);
static inline bool tp_world_is_cut(
    const tp_world *world, const world_env *from, const world_env *to)
{
    return world->cuts != NULL && world->cuts[from->number * world->env_count + to->number] != 0;
}
/* A duration up to `most`: each order of magnitude as likely. */
uint64_t tp_world_draw_duration(tp_prng *prng, uint64_t most);

#endif
