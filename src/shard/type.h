/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actor types as the shards see them: checked, defaults filled in, names resolved to numbers. Made
 * once when a node opens (type.c), immutable afterwards, so every shard reads it without care; but
 * for the limits that a reload of the node changes, which are read by TP_LIVE_GET.
 *
 * Invariants
 * 1. A type's number and its methods' numbers do not change while the node lives.
 * 2. `hash` depends on the type's name and the node's secret only.
 */
#ifndef TP_SHARD_TYPE_H
#define TP_SHARD_TYPE_H

#include "base/index.h"
#include <troupe.h>

#define TP_METHOD_OTHER UINT16_MAX /* the catch-all: the message carries the name */
#define TP_STATE_MAX    ((size_t)1 << 30)
#define TP_METHODS_MAX  4096

typedef struct tp_method {
    troupe_slice name;
    troupe_method_run *run;
    troupe_method_read *read; /* not NULL: read-only */
} tp_method;

typedef struct tp_type {
    troupe_slice name;
    uint64_t hash;
    uint32_t number;
    uint32_t method_count;
    tp_method *methods;
    troupe_type is;             /* a copy; optional fields are filled with the node's */
    uint64_t mailbox_bytes;     /* the node's */
    struct tp_filters *filters; /* filters.h; NULL: none */
    uint32_t kept;              /* bytes of the state that a failed turn puts back: all, or 0 */
    bool restores;              /* a failed turn puts the state's bytes back */
    bool encodes;               /* what is stored are not the state's bytes: hooks, or a schema */
    bool owns;                  /* the schema has parts on the heap */
    bool interleaves;           /* others may run while a turn is parked */
    bool commits;               /* while it lives: every turn, or every so many */
    bool gated;                 /* what a turn sends waits for its commit (P5) */
    bool keeps;                 /* snapshots */
    bool plain;                 /* its turns need no stack of their own, and no commit */
    bool activates_alone;       /* nothing to run or load at activation */
    bool loads_alone;           /* something to load, but nothing to run */
    bool ends_alone;            /* nothing to run or save at deactivation */
} tp_type;

typedef struct tp_types {
    tp_type *list;
    uint32_t count;
    uint32_t slot_count; /* a power of two; 0: so few that they are looked through */
    uint32_t *slots;     /* by the hash of the name: number + 1, or 0 */
    const troupe_allocator *allocator;
    uint64_t secret[2];
} tp_types;

/* USAGE: `error` says which type and why. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_types_init(tp_types *types, const troupe_allocator *allocator,
    const uint64_t secret[2], const troupe_node_options *options, const troupe_type *const *given,
    size_t count, char *error, size_t error_size);
void tp_types_deinit(tp_types *types);

/* NULL: no such type. */
const tp_type *tp_types_find(const tp_types *types, troupe_slice name);

/* The number of a method; TP_METHOD_OTHER when the catch-all takes it; -1: neither. */
int32_t tp_type_method(const tp_type *type, troupe_slice name);

/* The hash of an id: keyed, so that nobody outside can aim at one shard or one bucket. */
uint64_t tp_type_hash(
    const tp_types *types, const tp_type *type, troupe_slice partition, troupe_slice key);
/* What of it the type's name makes. */
uint64_t tp_type_name_hash(const tp_types *types, troupe_slice name);
/* The same for a type that this node need not have. */
uint64_t tp_types_hash(const tp_types *types, troupe_id id);

static inline uint32_t tp_hash_shard(uint64_t hash, uint32_t shards)
{
    return (uint32_t)(((hash & UINT32_MAX) * shards) >> 32);
}

#endif
