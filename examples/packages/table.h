/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the demo prints: for people, and as one JSON object. Called by main.c.
 *
 * Threads: main.
 */
#ifndef PACKAGES_TABLE_H
#define PACKAGES_TABLE_H

#include <stdio.h>

#include "run.h"

enum { RUNS = 2 };

/* All that there is to say. */
struct report {
    const struct package_index *index;
    const struct figures *plain;
    const char *titles[RUNS];
    struct run_result runs[RUNS];
    uint32_t max_actors[RUNS];
    uint32_t different[RUNS]; /* figures that are not those of the plain computation */
    uint32_t nodes; /* of each run */
    uint32_t rounds;
    uint32_t run_count; /* that were done */
};

void table_print_index(FILE *out, const struct package_index *index);
void table_print_plain(FILE *out, const struct report *report);
void table_print_run(FILE *out, const struct report *report, uint32_t run);
/* The packages with the highest rank. */
void table_print_top(FILE *out, const struct report *report);
void table_print_json(FILE *out, const struct report *report);

#endif
