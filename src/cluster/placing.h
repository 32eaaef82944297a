/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement as a shard asks it: the policies of types and node (place/policy.h) over a table of the
 * members of a view, which is made once per view, with the loads of the newest sheet (loads.h).
 *
 * Homes place also ids of types that they do not host. So that they know the policy of those,
 * members tell it as a label of the view that no user can set: "place:TYPE" = "policy;require".
 *
 * Invariants
 * 1. Nothing of a table is used with another view than its own.
 * 2. What was placed at a member since its load came counts as its actor.
 *
 * Threads: one owner, a shard or the control runner; tell: pure.
 */
#ifndef TP_CLUSTER_PLACING_H
#define TP_CLUSTER_PLACING_H

#include "cluster/chart.h"
#include "cluster/loads.h"
#include "place/policy.h"
#include "shard/shard.h"

#include <troupe/placement.h>

typedef struct tp_placing_table tp_placing_table;

typedef struct tp_placing {
    tp_shared *shared;
    tp_loads *loads;
    tp_placement_kind standard;
    uint64_t max_age;        /* of loads */
    tp_placing_table *table; /* NULL: none yet */
    uint64_t seed;
    uint64_t complained; /* when it last did */
} tp_placing;

/* Options and types are as the node has them. */
void tp_placing_init(tp_placing *self, tp_shared *shared, tp_loads *loads);
void tp_placing_deinit(tp_placing *self);

/* Which member is to have `id`; `origin`: where its letter began. NO_TYPE: no member hosts the
 * type; UNAVAILABLE: none of those may have it (the log says why); NO_MEMORY. */
TROUPE_CHECK troupe_status tp_placing_choose(tp_placing *self, const tp_chart *chart,
    const tp_type *type, const tp_directory_id *id, uint64_t origin, uint64_t now,
    uint64_t *ret_node);

/* May an actor of that type, a registered one, be moved to that member for the sake of loads? Not
 * where its placement does not allow it, and not if its hash or a function say where it is. */
bool tp_placing_may_receive(
    tp_placing *self, const tp_chart *chart, const tp_type *type, uint64_t incarnation);

#define TP_PLACING_LABEL_NAME  (6 + TP_NAME_MAX + 1)
#define TP_PLACING_LABEL_VALUE TP_VIEW_NAME_MAX

/* Is that label one of those? */
bool tp_placing_is_private(troupe_slice label);
/* What a type says of its placement, as label of the view. False: it says nothing. USAGE (`error`):
 * it is wrong. */
TROUPE_CHECK troupe_status tp_placing_tell(const troupe_allocator *allocator,
    const troupe_type *type, bool *ret_says, char name[TP_PLACING_LABEL_NAME],
    char value[TP_PLACING_LABEL_VALUE + 1], char *error, size_t error_size);

#endif
