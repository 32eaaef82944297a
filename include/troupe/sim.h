/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulations: your own actors in a world made of a seed, where the clock jumps, shards pause,
 * nodes are killed, and a failing run repeats bit for bit. Compile them into a shared object and
 * run them by the tool:
 *
 *     TROUPE_SIMULATION(money_is_conserved, .nodes = 3, .faults = TROUPE_FAULTS_ALL)
 *     {
 *         troupe_sim_load(sim, &account_type);
 *         for (int i = 0; i < 100; i++)
 *             troupe_sim_tell(sim, any_account(sim), "transfer", random_transfer(sim));
 *         troupe_sim_at_rest(sim, total_balance_is, 100000);
 *     }
 *
 *     cc -shared -fPIC -o shop_test.so shop_test.c
 *     troupe sim --load ./shop_test.so --seeds 10000
 *
 * Rules. Actors take time and chance from troupe_now, troupe_wall and troupe_random only, and keep
 * nothing outside of their state: a run that differs from itself is reported. Everything happens on
 * one thread. A panic of an actor is a violation, unless the simulation says `.may_panic = true`.
 *
 * Threads: all functions here are for the simulation's own function and its checks, on the thread
 * that runs them.
 */
#ifndef TROUPE_SIM_H
#define TROUPE_SIM_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct troupe_sim troupe_sim;

/* What goes wrong in the world. Chance says when, and how much. */
enum {
    TROUPE_FAULTS_PAUSES = 1, /* shards stand still for up to 20 ms, also with work waiting */
    TROUPE_FAULTS_DELAYS = 2, /* messages between shards or nodes, and jobs, take their time */
    /* Now and then an allocation fails: calls return NO_MEMORY or BUSY. Of one node alone. */
    TROUPE_FAULTS_MEMORY = 4,
    /* Between calls, if there is more than one node: */
    TROUPE_FAULTS_CRASHES = 8,   /* one is killed, and another one comes */
    TROUPE_FAULTS_RESTARTS = 16, /* one leaves in order, and another one comes */
    TROUPE_FAULTS_STOPS = 32,    /* one stands still, also past its lease; clocks differ */
    TROUPE_FAULTS_CUTS = 64,     /* nodes do not reach each other for a while; connections break */
    /* All but MEMORY, which few programs survive without losing a tell. */
    TROUPE_FAULTS_ALL = 123
};

typedef void troupe_sim_run(troupe_sim *sim);

typedef struct troupe_simulation {
    size_t size; /* set by TROUPE_SIMULATION */
    const char *name;
    troupe_sim_run *run;
    uint32_t shards; /* of each node; 0: 1 to 4, of a cluster 1 or 2, by chance */
    uint32_t faults; /* TROUPE_FAULTS_… */
    uint64_t steps;  /* the most that a run may take; 0: 400,000, of a cluster 3,000,000 */
    bool may_panic;
    uint32_t nodes; /* 0, 1: one; more, at most 9: a cluster with a common store in memory */
} troupe_simulation;

#define TROUPE_SIMULATION(simulation, ...)                                                        \
    static void simulation##_run(troupe_sim *sim);                                                \
    static const troupe_simulation simulation##_description = {.size = sizeof(troupe_simulation), \
        .name = #simulation,                                                                      \
        .run = simulation##_run,                                                                  \
        __VA_ARGS__};                                                                             \
    static const troupe_simulation *const simulation##_entry                                      \
        __attribute__((section("troupe_simulations"), used)) = &simulation##_description;         \
    static void simulation##_run(troupe_sim *sim)

/* Before the first call: an actor type, which must outlive the simulation. */
TROUPE_API void troupe_sim_load(troupe_sim *sim, const troupe_type *type);
/* Before the first call: the node's options, to be changed; `shards` and `allocator` are the
 * world's, and so is what makes many nodes a cluster. `idle` is TROUPE_NEVER here: at rest hours
 * may have passed. Types and simulations that set it see their actors leave. */
TROUPE_API troupe_node_options *troupe_sim_options(troupe_sim *sim);

/* Tells from outside, at any node. A refusal for want of room, or of a node that can take it, is
 * tried again as the world goes on; others are violations. Where nodes are killed a tell that was
 * taken may be lost, as in life. */
TROUPE_API void troupe_sim_tell(
    troupe_sim *sim, troupe_id id, const char *method, troupe_slice payload);
/* Asks at any node, and lets the world go on until the answer is there, which may say that none
 * came: at rest none is missing. Release the answer. */
TROUPE_API troupe_status troupe_sim_ask(troupe_sim *sim, troupe_id id, const char *method,
    troupe_slice payload, troupe_answer *ret_answer);
/* Asks without waiting: `done` (may be NULL) hears the answer, inside the world: it must not call
 * troupe_sim_ask. Of a node that is killed all asks end with UNKNOWN. */
typedef void troupe_sim_done(troupe_sim *sim, const troupe_answer *answer, void *user);
TROUPE_API void troupe_sim_send(troupe_sim *sim, troupe_id id, const char *method,
    troupe_slice payload, uint64_t timeout, troupe_sim_done *done, void *user);

/* Chance of this seed: any number, and one below `count`. */
TROUPE_API uint64_t troupe_sim_random(troupe_sim *sim);
TROUPE_API uint64_t troupe_sim_below(troupe_sim *sim, uint64_t count);
TROUPE_API uint64_t troupe_sim_now(troupe_sim *sim);
/* The world goes on for so long; or until nothing is due any more. In a cluster something always
 * is: there all faults end, missing nodes come, and it goes on until all asks from outside have
 * ended, no outbox holds a message and no reminder is due. */
TROUPE_API void troupe_sim_sleep(troupe_sim *sim, uint64_t duration);
TROUPE_API void troupe_sim_rest(troupe_sim *sim);

/* Waits for rest, then calls `check` with what it should find. Call troupe_sim_violated in it if
 * that does not hold. */
typedef void troupe_sim_check(troupe_sim *sim, int64_t expected);
TROUPE_API void troupe_sim_at_rest(troupe_sim *sim, troupe_sim_check *check, int64_t expected);
TROUPE_NORETURN TROUPE_API void troupe_sim_violated(troupe_sim *sim, const char *format, ...)
    TROUPE_PRINTF(2, 3);

/* How the tool finds the simulations of a shared object; every file that includes this brings a
 * copy, of which one is kept. */
#ifndef TROUPE_SIM_NO_TABLE
#define TROUPE_SIM_TABLE_SYMBOL "troupe_simulation_table"
extern const troupe_simulation *const __start_troupe_simulations[]
    __attribute__((weak, visibility("hidden")));
extern const troupe_simulation *const __stop_troupe_simulations[]
    __attribute__((weak, visibility("hidden")));
TROUPE_API __attribute__((weak)) const troupe_simulation *const *troupe_simulation_table(
    size_t *ret_count);
const troupe_simulation *const *troupe_simulation_table(size_t *ret_count)
{
    *ret_count = (size_t)(__stop_troupe_simulations - __start_troupe_simulations);
    return __start_troupe_simulations;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
