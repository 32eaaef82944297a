/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for the machine of membership: several nodes with clocks of their own over one store in
 * memory, with everything that can go wrong between them, all drawn from one seed, and checkers
 * that look at each step. For the tests of this folder. It is not the simulator of whole nodes.
 *
 * What it may do to them: lose a call, or its answer; let a call land late, after it was called
 * unknown; cut one node off from the store, or from its peers (one way, too); stop the store for
 * all; start the store anew; pause a node, kill it, start it again; let its shards hang; let clocks
 * drift within the bounds that the protocol promises for (0.9 % either way).
 *
 * Checkers
 * 1. When a view without X is published, X's lease does not run, by X's clock, unless X is dead.
 * 2. Views are published from v to v+1, and each node installs them in ascending order; nobody is
 *    removed who was not revoked or, empty, left by itself; leaving takes three views.
 * 3. A node that comes back after a lapse has installed the view that was newest when its raise
 *    landed, or a newer one.
 * 4. Nobody is revoked who was not dead, paused, hung, or cut off: a stop of the store excuses
 * none.
 * 5. Once all is well again, soon all live nodes have one view, of exactly them, and hold leases.
 *
 * Threads: the test's one.
 */
#ifndef TEST_MEMBER_WORLD_H
#define TEST_MEMBER_WORLD_H

#include "member/member.h"

typedef struct world_plan {
    uint64_t seed;
    uint64_t mutants;     /* of the machines */
    bool store_unrevokes; /* a mutant of the store */
} world_plan;

typedef struct world_result {
    bool violated;
    char what[256];
    /* what happened, so that tests can say that it did */
    uint64_t views, revoked, left, joined, suspended, resumed, died, restarts, votes, lost, late,
        conflicts, batched;
    uint64_t trace; /* hash of all that happened */
} world_result;

world_result world_run(const world_plan *plan);

#endif
