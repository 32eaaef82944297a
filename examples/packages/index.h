/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Debian package index as a graph: packages in the order of their names, and for each the
 * packages it depends on. It knows nothing of actors, versions or architectures. Called by main.c;
 * read by all others.
 *
 * Invariants: 1. Names are unique and sorted by bytes; a package's number is its place. 2. The list
 * of a package has no package twice and never itself. 3. Nothing changes after index_read or
 * index_part.
 * Threads: immutable once made, so all may read it.
 */
#ifndef PACKAGES_INDEX_H
#define PACKAGES_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct package_index {
    char source[256]; /* where it came from, for people */
    uint32_t count;   /* packages */
    uint32_t edges;   /* dependencies between them */
    char **names;     /* [count] */
    uint32_t *begin;  /* [count + 1]: list of package i is targets[begin[i]] to targets[begin[i + 1]
                         - 1] */
    uint32_t *targets;     /* [edges] */
    uint32_t *dependents;  /* [count]: how many lists a package is in */
    uint32_t dependencies; /* clauses read out of Depends and Pre-Depends */
    uint32_t
        virtual_ones;    /* of them, those that only a Provides of another package could resolve */
    uint32_t unresolved; /* of them, those that nobody provides */
    char unresolved_names[5][64]; /* some of their names, for people */
    uint32_t repeated; /* of them, those that led to a package already in the list, or to itself */
};

/* Reads `file`, or where it is NULL `apt-cache dumpavail`, or where that has nothing dpkg's status
 * file. On failure returns false and says in `error` what is wrong and what to do. */
bool index_read(struct package_index *index, const char *file, char *error, size_t error_size);

/* A smaller index of at least `wanted` packages (or all): whole closures, so that no dependency is
 * cut. */
bool index_part(const struct package_index *whole, uint32_t wanted, struct package_index *ret_part);

void index_deinit(struct package_index *index);

static inline uint32_t index_degree(const struct package_index *index, uint32_t package)
{
    return index->begin[package + 1] - index->begin[package];
}

#endif
