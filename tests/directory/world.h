/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model world for directory machines: some nodes in one process, links that keep order per pair
 * of shards and are as slow as a seed likes, crashes, evictions whose victim goes on for a while,
 * views that move homes to and fro, joins, releases, migrations, several ids and senders. It
 * performs the effects of the machines as src/cluster does, without bytes, and checks D1 to D4 of
 * model/directory.pml. Mailboxes run what they get at once.
 *
 * Threads: one.
 */
#ifndef TEST_DIRECTORY_WORLD_H
#define TEST_DIRECTORY_WORLD_H

#include "directory/directory.h"

typedef struct world_plan {
    uint32_t nodes;    /* at the begin, 1 to 6 */
    uint32_t ids;      /* 1 to 8 */
    uint32_t steps;    /* then all faults end, and everything comes to rest */
    uint32_t messages; /* at most */
    uint32_t views;    /* at most */
    uint32_t crashes, evictions, releases, moves; /* at most */
    uint32_t shards;                              /* of a node: 1 to so many */
    uint32_t slice;                               /* items of a page */
    uint32_t replicas;
    bool direct_pool; /* every block an allocation */
    uint32_t without; /* rules taken out */
    uint32_t storm;   /* of so many frames on which a rule hangs one is slow; 0: by chance only */
    uint32_t hunger;  /* one of so many allocations fails; 0: none. Messages may be refused then */
} world_plan;

typedef struct world_result {
    const char *wrong; /* NULL: every promise was kept */
    uint64_t trace;    /* a hash of all that happened: the same seed gives the same */
    uint64_t steps, done, lost, refused, surveys, claims, grants, returns, moved, replaced,
        followed;
} world_result;

world_result world_run(uint64_t seed, const world_plan *plan);

/* Planned changes only: nothing may be lost, and order holds. Or with crashes and evictions. */
world_plan world_draw(uint64_t seed, bool planned);
/* Planned changes while memory is short: nothing may be lost but what was refused. */
world_plan world_draw_hunger(uint64_t seed);
/* One id, three or four nodes, and much that happens to it at once: finds what a missing rule does.
 */
world_plan world_draw_storm(uint64_t seed);

#endif
