/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated world: clock, chance, threads, jobs and memory of one or several nodes, made of a
 * seed. It fills in src/os/env.h, so that the product's own code runs in it. Not a model of actors:
 * what is asked of them and checked is in stage.h.
 *
 * Invariants
 * 1. Nothing enters the trace but what follows from the seed: no wall clock, no address, no order
 * of a hash table.
 * 2. The clock moves between steps, and inside one only by tp_world_advance. It never goes back.
 * 3. A runner that was woken, or has arrivals, is stepped again, however long it was left alone.
 *
 * Threads: one. Runners are stepped one at a time, each step on the caller's stack.
 */
#ifndef TP_TESTKIT_WORLD_H
#define TP_TESTKIT_WORLD_H

#include "base/prng.h"
#include "os/env.h"

#include <troupe/provider.h>

typedef struct tp_world tp_world;

/* What a step did, for naming the first one that differs. */
typedef struct tp_world_effect {
    uint64_t detail;
    uint64_t now;
    uint32_t what;
    uint32_t runner;
} tp_world_effect;

/* Effects of a run, to compare the next one with. */
typedef struct tp_world_record {
    tp_world_effect *effects;
    size_t count, capacity;
    bool compares;     /* false: writes, true: compares */
    size_t differs_at; /* SIZE_MAX: nowhere */
    tp_world_effect other;
} tp_world_record;

void tp_world_record_deinit(tp_world_record *record);

/* Something cannot go on. Must not return. */
typedef void tp_world_stuck(void *user, const char *what);

typedef struct tp_world_options {
    uint64_t seed;
    uint64_t mutants;
    uint64_t pause_max;    /* a runner is left alone for so long at most; 0: never */
    uint32_t pause_chance; /* of 1,024: after a step */
    uint32_t hurry;        /* of 1,024: a step after which the clock stands still */
    bool calm;             /* choices of the product take the usual way; jobs end at once */
    uint64_t tick;         /* all that is due runs at once, then the clock goes on by this: for
                            * many nodes; no schedule is drawn. 0: one at a time */
    uint64_t step_limit;   /* 0: 4,000,000 */
    uint32_t job_limit;    /* jobs that wait; 0: 16 */
    uint64_t delay_most;   /* of a network's way; 0: 100 us */
    uint32_t break_chance; /* of 65,536: a write breaks its connection */
    tp_world_stuck *stuck;
    void *user;
    tp_world_record *record; /* NULL: none */
} tp_world_options;

#define TP_WORLD_MARKS 128

/* NULL: no memory. */
tp_world *tp_world_create(const tp_world_options *options);
/* After its nodes were closed. NULL is a no-op. */
void tp_world_destroy(tp_world *world);

/* The world as a node sees it; the world owns it. NULL: no memory. */
tp_env *tp_world_env(tp_world *world);
/* The same for a process of its own: a host of the world's network, with memory of its own, that
 * can be killed alone. All processes are made before the first cut. NULL: no memory. */
tp_env *tp_world_process(tp_world *world, const char *host);
const troupe_allocator *tp_world_memory_of(tp_env *env);
uint64_t tp_world_blocks_of(tp_env *env); /* of a process: that are out */
/* [outside of steps] The process is gone: its runners, jobs and memory, none of which may be
 * touched again. What it sent may still arrive; then its connections break. */
void tp_world_kill(tp_world *world, tp_env *process);
/* Nothing of it runs for so long, as if it were stopped. */
void tp_world_pause(tp_world *world, tp_env *process, uint64_t duration);
/* One way: what is sent while it is cut arrives when it is healed. */
void tp_world_cut(tp_world *world, tp_env *from, tp_env *to, bool is_cut);
/* What all its nodes have written to connections so far. */
void tp_world_traffic(const tp_world *world, uint64_t *ret_writes, uint64_t *ret_bytes);
/* Its clock: so far ahead of the world's, and faster by `rate` of 1e9; its wall clock by less than
 * a second, and as fast. Before its first step. */
void tp_world_set_clock(tp_env *process, uint64_t skew, int64_t rate);
/* Counts what is out, and fails by plan. */
const troupe_allocator *tp_world_allocator(tp_world *world);
uint64_t tp_world_live_blocks(const tp_world *world);
uint64_t tp_world_live_bytes(const tp_world *world);
uint64_t tp_world_allocations(const tp_world *world);
/* From now on: each allocation fails `chance` times of 1,024, and all from number `first` for
 * `count`. */
void tp_world_fail_memory(tp_world *world, uint32_t chance, uint64_t first, uint64_t count);
uint64_t tp_world_failed_allocations(const tp_world *world);

uint64_t tp_world_now(const tp_world *world);
/* Scale by scale, each up to twice the one below: small ones are as likely as large ones. */
uint64_t tp_draw_between(tp_prng *prng, uint64_t least, uint64_t most);
/* Chance of the world's schedule; whoever draws changes what comes. */
tp_prng *tp_world_prng(tp_world *world);
/* For stores: its time, the system's memory; nothing is logged. */
troupe_store_host tp_world_store_host(tp_world *world);
/* Inside a step: the time that the work of a turn takes. */
void tp_world_advance(tp_world *world, uint64_t duration);
/* Did this step begin at or after `moment`? Outside: now. */
uint64_t tp_world_step_began(const tp_world *world);

/* One step of a runner, one job, or one event; moves the clock if nothing is due. False: nothing
 * is, ever. */
bool tp_world_step(tp_world *world);
/* The same, but not past `until`: then the clock stands there, and it returns false. */
bool tp_world_step_until(tp_world *world, uint64_t until);

/* Calls `happen` outside of steps at `due`. Caller's storage, kept until then or until it is
 * cancelled. */
typedef struct tp_world_event tp_world_event;
struct tp_world_event {
    void (*happen)(tp_world_event *event);
    uint64_t due;
    tp_world_event *next;
    bool is_set;
};
void tp_world_at(tp_world *world, tp_world_event *event, uint64_t due);
void tp_world_cancel(tp_world *world, tp_world_event *event);

/* One step of that runner alone, whatever else is due; nothing if it is not due. */
void tp_world_step_runner(tp_world *world, uint32_t number);
/* [outside of steps] Every node of the world is gone, as processes are that were killed: runners,
 * jobs, and all memory of the world's allocator, none of which may be touched again. Events stay.
 * What a node has beside that (its fibers' stacks) the caller gives back before. */
void tp_world_crash(tp_world *world);

uint64_t tp_world_hash(const tp_world *world);
uint64_t tp_world_effects(const tp_world *world);
uint64_t tp_world_steps(const tp_world *world);
/* For effects of those who use the world. */
void tp_world_trace(tp_world *world, uint32_t what, uint64_t detail);

/* Situations that were reached: names in the order of their first time. */
uint32_t tp_world_mark_count(const tp_world *world);
const char *tp_world_mark_name(const tp_world *world, uint32_t index);
void tp_world_mark(tp_world *world, const char *situation);

/* The last lines that nodes logged. Ends with NUL. */
const char *tp_world_log(tp_world *world);
/* The line of the first panic, or that there is none. */
const char *tp_world_panic(tp_world *world);

#endif
