/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain computation: for closures a walk from each package through all it depends on, for ranks
 * one pass over all lists per round. It is what the actors are checked against, so it is kept too
 * simple to be wrong.
 *
 * Invariants: 1. `seen[p]` is the number + 1 of the last walk that reached p.
 * Threads: pure.
 */
#include "plain.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double plain_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool figures_init(struct figures *figures, uint32_t count)
{
    *figures = (struct figures){0};
    figures->closures = calloc(count, sizeof(*figures->closures));
    figures->ranks = calloc(count, sizeof(*figures->ranks));
    if (figures->closures != NULL && figures->ranks != NULL)
        return true;
    figures_deinit(figures);
    return false;
}

void figures_deinit(struct figures *figures)
{
    free(figures->closures);
    free(figures->ranks);
    *figures = (struct figures){0};
}

static void walk(const struct package_index *index, uint32_t package, uint32_t *seen,
    uint32_t *stack, uint32_t *closures)
{
    uint32_t height = 0;
    stack[height++] = package;
    seen[package] = package + 1;
    while (height > 0) {
        uint32_t one = stack[--height];
        for (uint32_t i = index->begin[one]; i < index->begin[one + 1]; i++) {
            uint32_t target = index->targets[i];
            if (seen[target] == package + 1)
                continue;
            seen[target] = package + 1;
            closures[target]++;
            stack[height++] = target;
        }
    }
}

static void rank_round(const struct package_index *index, const uint64_t *ranks, uint64_t *next)
{
    for (uint32_t i = 0; i < index->count; i++)
        next[i] = RANK_BASE;
    for (uint32_t i = 0; i < index->count; i++) {
        if (index_degree(index, i) == 0)
            continue;
        uint64_t share = rank_share(ranks[i], index_degree(index, i));
        for (uint32_t j = index->begin[i]; j < index->begin[i + 1]; j++)
            next[index->targets[j]] += share;
    }
}

bool plain_compute(const struct package_index *index, uint32_t rounds, struct figures *figures)
{
    uint32_t *seen = calloc(index->count, sizeof(*seen));
    uint32_t *stack = calloc(index->count, sizeof(*stack));
    uint64_t *next = calloc(index->count, sizeof(*next));
    bool good = seen != NULL && stack != NULL && next != NULL;
    if (good) {
        double begin = plain_clock();
        memset(figures->closures, 0, index->count * sizeof(*figures->closures));
        for (uint32_t i = 0; i < index->count; i++)
            walk(index, i, seen, stack, figures->closures);
        figures->closure_seconds = plain_clock() - begin;

        begin = plain_clock();
        for (uint32_t i = 0; i < index->count; i++)
            figures->ranks[i] = RANK_UNIT;
        for (uint32_t round = 0; round < rounds; round++) {
            rank_round(index, figures->ranks, next);
            memcpy(figures->ranks, next, index->count * sizeof(*next));
        }
        figures->rank_seconds = plain_clock() - begin;
    }
    free(seen);
    free(stack);
    free(next);
    return good;
}
