/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and times for a person at a terminal. Not JSON. The commands call it.
 *
 * Invariants: 1. No control byte of an actor reaches the terminal. 2. Columns are as wide as their
 * widest cell, two blanks between; the last has no blanks behind it.
 * Threads: one.
 */
#ifndef TROUPE_PRINT_H
#define TROUPE_PRINT_H

#include "shared/bytes.h"

#include <jansson.h>

#define TABLE_COLUMNS_MAX 12

typedef struct cli_table {
    int columns;
    unsigned right; /* bit n: column n is aligned to the right */
    char **cells;   /* row by row */
    size_t count;
    size_t capacity;
    bool failed;
} cli_table;

void cli_table_init(cli_table *table, int columns, unsigned right);
void cli_table_add(cli_table *table, const char *format, ...) TROUPE_PRINTF(2, 3);
/* The first row; none where there are no `rows`. */
void cli_table_add_heads(cli_table *table, const char *const *heads, const json_t *rows);
/* A JSON string, an id in base64 or an integer becomes a cell; NULL an empty one. */
void cli_table_add_json(cli_table *table, const json_t *value);
/* A duration in nanoseconds; null is "never". */
void cli_table_add_time(cli_table *table, const json_t *value);
/* Prints and frees. False: there was no memory. */
bool cli_table_print(cli_table *table);

/* The member `name` of `object`, or `name`_base64 in readable form; the caller frees it. */
char *cli_id_text(const json_t *object, const char *name);
/* "1.2 s" out of a JSON integer; returns `out`. */
const char *cli_time_text(const json_t *value, char *out, size_t size);

#endif
