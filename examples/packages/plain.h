/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of the demo and the plain way to compute them: one thread, two loops, no actors. The
 * actors' figures are compared with these. Called by main.c and run.c.
 *
 * Invariants: 1. All arithmetic is on integers, so no order of additions changes a figure.
 * Threads: pure.
 */
#ifndef PACKAGES_PLAIN_H
#define PACKAGES_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "index.h"

/* Rank is in fixed point: RANK_UNIT is 1. Every package begins with 1. In a round it gives 85 per
 * cent of its rank to the packages it depends on, in equal parts, and keeps nothing; each gets 15
 * per cent of 1 besides. */
#define RANK_UNIT (UINT64_C(1) << 32)
#define RANK_BASE (RANK_UNIT * 15 / 100)

static inline uint64_t rank_share(uint64_t rank, uint32_t degree)
{
    return rank * 85 / 100 / degree;
}

struct figures {
    uint32_t *closures; /* [packages]: how many other packages depend on it, directly or not */
    uint64_t *ranks;    /* [packages] */
    double closure_seconds;
    double rank_seconds;
};

bool figures_init(struct figures *figures, uint32_t count);
void figures_deinit(struct figures *figures);

/* Fills in closures and ranks. False: no memory. */
bool plain_compute(const struct package_index *index, uint32_t rounds, struct figures *figures);

/* Seconds on a clock that only goes forward. */
double plain_clock(void);

#endif
