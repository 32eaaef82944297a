/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters around the methods of a type: those of the node, then its own. A type that has any gets
 * functions of filters.c in the place of its methods; others know nothing of filters. type.c calls
 * it.
 *
 * Threads: tp_filters_put before the start; the rest is immutable.
 */
#ifndef TP_SHARD_FILTERS_H
#define TP_SHARD_FILTERS_H

#include <troupe.h>

#define TP_FILTERS_MAX 64 /* of a node, and of a type */

struct tp_type;

typedef struct tp_filters {
    const troupe_allocator *allocator;
    uint32_t count;
    struct tp_method *methods; /* as they were given; behind the list */
    troupe_method_run *otherwise;
    troupe_filter list[];
} tp_filters;

/* NULL: they are sound; else what is wrong. */
const char *tp_filters_check(const troupe_filter *list, size_t size, size_t count);
/* Puts those of the node and of the type around the type's methods. NO_MEMORY: nothing was done. */
TROUPE_CHECK troupe_status tp_filters_put(
    struct tp_type *type, const troupe_allocator *allocator, const troupe_node_options *options);
void tp_filters_release(struct tp_type *type);

#endif
