/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs seeds in processes of their own, so that a crash costs its seed only, and gathers what they
 * found. Also shrinks a failing seed to few operations. Called by sim_main.c and by tests.
 *
 * Threads: one; the work is in children.
 */
#ifndef TP_TESTKIT_SEEDS_H
#define TP_TESTKIT_SEEDS_H

#include "testkit/stage.h"

#define TP_SEED_MARKS  TP_WORLD_MARKS
#define TP_SEED_FAULTS 10 /* violations that are kept; then the run ends */

/* What a seed runs: a scenario of ours, or a simulation of a user. Must violate or return. */
typedef void tp_subject_run(
    const void *subject, const tp_stage_options *options, tp_stage_result *ret_result);

typedef struct tp_subject {
    tp_subject_run *run;
    const void *subject; /* NULL: each seed draws its scenario */
    const char *name;
} tp_subject;

/* The scenarios; `name` NULL: all. False: no such. */
bool tp_subject_scenario(const char *name, tp_subject *ret_subject);

typedef struct tp_seed_fault {
    uint64_t seed;
    uint32_t op;
    char subject[32];
    char checker[32];
    char text[1200];
} tp_seed_fault;

typedef struct tp_seed_report {
    uint64_t seeds; /* that were run */
    uint64_t hash;  /* of all, whatever their order */
    uint64_t effects, steps, effects_least;
    uint64_t virtual_time;
    char mark_names[TP_SEED_MARKS][48];
    uint64_t marks[TP_SEED_MARKS]; /* seeds that reached it */
    uint32_t mark_count;
    tp_seed_fault faults[TP_SEED_FAULTS];
    uint32_t fault_count;
} tp_seed_report;

typedef struct tp_seed_order {
    tp_subject subject;
    uint64_t start, count;
    uint64_t mutants;
    uint32_t jobs; /* 0: 1 */
    bool twice;    /* each seed again, and compared (P12) */
    bool first_fault_ends;
    bool quiet; /* children say nothing on standard error */
    void (*each)(void *user, uint64_t seed, const char *subject,
        const tp_stage_result *result);                            /* in the child; or NULL */
    void (*progress)(void *user, uint64_t seeds, uint32_t faults); /* now and then; or NULL */
    void *user;
} tp_seed_order;

/* False: no process could be made. */
bool tp_seeds_run(const tp_seed_order *order, tp_seed_report *ret_report);

/* The shortest run of a failing seed that was found. */
typedef struct tp_shrunk {
    uint32_t ops;            /* that are left */
    uint32_t actors, shards; /* 0: as drawn */
    uint32_t tries;
    tp_seed_fault fault;
} tp_shrunk;

/* Prints its operations as numbered steps by `say`. False: the seed does not fail. */
bool tp_seed_shrink(const tp_subject *subject, uint64_t seed, uint64_t mutants,
    void (*say)(void *user, const char *line), void *user, tp_shrunk *ret_shrunk);

#endif
