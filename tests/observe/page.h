/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's page of metrics as a test reads it: taken whole, then values by the begin of their
 * lines, summed.
 *
 * Threads: one.
 */
#ifndef TESTS_OBSERVE_PAGE_H
#define TESTS_OBSERVE_PAGE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <troupe/inspect.h>

typedef struct metrics_page {
    char *text;
    size_t size;
} metrics_page;

static inline troupe_status page_add(void *user, troupe_slice part)
{
    metrics_page *self = user;
    char *grown = realloc(self->text, self->size + part.size + 1);
    if (grown == NULL)
        return TROUPE_NO_MEMORY;
    self->text = grown;
    memcpy(grown + self->size, part.data, part.size);
    self->size += part.size;
    grown[self->size] = 0;
    return TROUPE_OK;
}

static inline void page_drop(metrics_page *self)
{
    free(self->text);
    *self = (metrics_page){0};
}

/* Of all lines that begin so and have `label` (NULL: whatever they have); -1: there is none. */
static inline double page_sum(const metrics_page *self, const char *name, const char *label)
{
    double sum = 0;
    bool found = false;
    size_t length = strlen(name);
    for (const char *line = self->text; *line != 0; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n');
        const char *has = label != NULL ? strstr(line, label) : line;
        if (strncmp(line, name, length) != 0 || strchr("{ ", line[length]) == NULL || has == NULL ||
            has > end)
            continue;
        const char *value = end;
        while (value[-1] != ' ')
            value--;
        sum += strtod(value, NULL);
        found = true;
    }
    return found ? sum : -1;
}

/* The same of a node as it is now. */
static inline double page_value(troupe_node *node, const char *name, const char *label)
{
    metrics_page self = {0};
    double value = -1;
    if (troupe_node_metrics(node, page_add, &self) == TROUPE_OK)
        value = page_sum(&self, name, label);
    page_drop(&self);
    return value;
}

#endif
