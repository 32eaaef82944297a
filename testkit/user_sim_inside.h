/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What user_sim.c (a run and its calls) and user_houses.c (its nodes, and what befalls them) share.
 *
 * A simulation has one node, or a cluster of several: each is in a *house*, a process of the world
 * that can be killed. Who was killed or has left is not opened again; another house is.
 *
 * Invariants
 * 1. Houses are opened, closed and killed between calls only, never while a call is waited for.
 * 2. Whatever befalls a house follows from (seed, number of the call before it) alone.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_USER_SIM_INSIDE_H
#define TP_TESTKIT_USER_SIM_INSIDE_H

#include "testkit/user_sim.h"

#include "node/node.h"
#include "providers/member_memory.h"
#include "testkit/faulty_store.h"

enum {
    SIM_TYPES = 64,
    SIM_HOUSES = 24, /* over a run */
    SIM_NODES = 9,   /* at a time */
    SIM_CUTS = 16,   /* that wait to be healed */
    SIM_OPS = 4000,  /* that can be left out */
};

typedef struct tp_sim_house {
    troupe_sim *sim;
    uint16_t number;
    bool is_open;
    bool died; /* its cluster put it out */
    char name[12], address[24];
    tp_env *env;
    troupe_node *node; /* NULL: not open, or killed */
    troupe_client *client;
    tp_faulty_store *store;      /* the common one, so that closing it closes nothing */
    troupe_membership *rolls[3]; /* its node's */
} tp_sim_house;

/* An ask from outside without an end. */
typedef struct tp_sim_call {
    struct tp_sim_call *next;
    troupe_sim *sim;
    tp_sim_house *house;
    troupe_sim_done *done;
    void *user;
} tp_sim_call;

typedef struct tp_sim_cut {
    tp_world_event heals;
    troupe_sim *sim;
    uint16_t from, to;
    bool is_set, both_ways;
} tp_sim_cut;

struct troupe_sim {
    const troupe_simulation *simulation;
    const tp_stage_options *options;
    tp_world *world;
    tp_prng prng;
    troupe_node_options node_options;
    const troupe_type *types[SIM_TYPES];
    size_t type_count;
    tp_sim_call *calls;
    uint32_t ops;   /* that were begun, calls and faults: for shrinking */
    uint32_t begun; /* calls, those that are left out with them */
    bool has_begun; /* its nodes are open */
    uint64_t began_at;

    /* of clusters */
    uint32_t nodes; /* at a time; 1: no cluster */
    uint64_t ttl;
    troupe_store *store;
    tp_member_memory *membership;
    tp_sim_house houses[SIM_HOUSES];
    uint32_t house_count; /* that were opened ever */
    tp_sim_cut cuts[SIM_CUTS];
};

/* user_sim.c */

/* Is the next operation part of the run? A shrunk one leaves some out. */
bool tp_sim_takes(troupe_sim *sim);
/* The operation that was taken last, in words, to whoever listens. */
void tp_sim_say(troupe_sim *sim, const char *format, ...) TROUPE_PRINTF(2, 3);
void tp_sim_report(troupe_sim *sim, const char *checker, const char *text);
void tp_sim_run_for(troupe_sim *sim, uint64_t duration);
/* Its node was killed: nobody else ends them. */
void tp_sim_end_calls(troupe_sim *sim, const tp_sim_house *house);

/* user_houses.c */

/* The world is there, no node is. */
void tp_sim_houses_make(troupe_sim *sim);
void tp_sim_houses_open(troupe_sim *sim);
/* Before a call: something goes wrong, or time passes, or a node takes the place of another. */
void tp_sim_befall(troupe_sim *sim);
/* Those that were put out close; others come for those that are missing. */
void tp_sim_tend(troupe_sim *sim);
/* One that is open: there always is. */
tp_sim_house *tp_sim_pick(troupe_sim *sim);
/* Nothing is wrong any more, and all that should happen has. */
void tp_sim_houses_rest(troupe_sim *sim);
/* The nodes are closed, what they leave behind is looked at. */
void tp_sim_houses_close(troupe_sim *sim);
void tp_sim_houses_dispose(troupe_sim *sim);

#endif
