/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types that this node has not registered, but other members of its cluster host: a name with a
 * number, so that calls to them can be made, and messages of others be passed on. No activation of
 * one is ever made here. Which methods such a type has only its hosts know, so each takes any name
 * (TP_METHOD_OTHER), and a host refuses what there is not. Names for which somebody made a selector
 * have numbers, so that their calls need no name, and links are taught them.
 *
 * Names come from the views, before anybody here can call them, and from what others send, whose
 * view may be newer. Which of them are hosted now is the newest view's; a type that no member hosts
 * any more stays known, and the home of the id refuses the call.
 *
 * Invariants
 * 1. A type that was found stays where it is, with its number, while the node lives.
 * 2. None has the name of a registered type.
 *
 * Bounded: TP_FOREIGN_MAX types in a node's life; beyond, a name is not learned. Once there are
 * TP_FOREIGN_TOLD, one that somebody only mentions is not, so that a member that makes names up
 * takes none from views: its calls get NO_TYPE. No name leaves, so none of those that were refused
 * is learned by a mention later. TP_FOREIGN_METHODS selectors of each.
 * Threads: any. The lock orders those who learn; `next` and `count` publish a type that is whole to
 * those who look, `view` the marks of that view.
 */
#ifndef TP_SHARD_FOREIGN_H
#define TP_SHARD_FOREIGN_H

#include "shard/type.h"

#define TP_FOREIGN_FIRST   0x10000u /* numbers of foreign types */
#define TP_FOREIGN_MAX     4096u
#define TP_FOREIGN_TOLD    2048u /* beyond so many, only what views say is learned */
#define TP_FOREIGN_METHODS 128u
#define TP_FOREIGN_BUCKETS 256u

typedef struct tp_shared tp_shared;

typedef struct tp_foreign_type {
    tp_type type;          /* its method_count is 0: the names are found by tp_foreign_method */
    uint32_t method_count; /* under the lock */
    struct tp_foreign_type *next; /* of its bucket */
    _Atomic uint64_t seen;        /* number of the newest view with a member that hosts it */
} tp_foreign_type;

typedef struct tp_foreign_table {
    _Atomic(tp_foreign_type *) buckets[TP_FOREIGN_BUCKETS];
    tp_foreign_type *list[TP_FOREIGN_MAX];
} tp_foreign_table;

/* Begins as zeros. */
typedef struct tp_foreign {
    atomic_flag lock;
    _Atomic(tp_foreign_table *) table; /* NULL: none was learned yet */
    _Atomic uint32_t count;
    _Atomic uint64_t view; /* the newest whose types are learned */
} tp_foreign;

void tp_foreign_deinit(tp_shared *shared);

/* The type of that name, registered or foreign, which is learned, should it not be known. `view`:
 * of a view that says that a member hosts it; 0: somebody mentioned it. NULL: no memory, or there
 * are too many. */
const tp_type *tp_foreign_learn(tp_shared *shared, troupe_slice name, uint64_t view);
/* Is there no room for a name that somebody only mentions? */
bool tp_foreign_is_full(const tp_shared *shared);
/* The number of a method of a foreign type. NO_METHOD: it is no name. NO_MEMORY: also beyond
 * TP_FOREIGN_METHODS. */
TROUPE_CHECK troupe_status tp_foreign_method(
    tp_shared *shared, const tp_type *type, troupe_slice name, uint32_t *ret_number);
/* All types of that view are learned. */
void tp_foreign_learned(tp_shared *shared, uint64_t view);

/* Does a member host the k-th foreign type, as of that view, which is the newest? */
bool tp_foreign_is_hosted(tp_shared *shared, uint32_t k, uint64_t view);

/* Registered, or foreign and known. NULL: neither. */
const tp_type *tp_type_known(tp_shared *shared, troupe_slice name);
const tp_type *tp_type_at(tp_shared *shared, uint32_t number);

static inline bool tp_type_is_foreign(const tp_type *type)
{
    return type->number >= TP_FOREIGN_FIRST;
}

/* Calls once: what a foreign type is its host knows. */
static inline bool tp_type_takes_once(const tp_type *type)
{
    return type->gated || tp_type_is_foreign(type);
}

#endif
