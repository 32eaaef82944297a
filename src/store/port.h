/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The port through which shards load and save the state of actors. A provider takes operations and
 * ends each exactly once by `done`: on the caller's thread before submit returns, or later on any
 * thread.
 *
 * Invariants
 * 1. A save is done only if the stored version equals `version`; it then becomes version + 1.
 * Versions never restart: a delete leaves a tombstone that keeps the version.
 * 2. The caller keeps the operation and what it points to until `done`; `data` of a load belongs to
 * the caller afterwards, by the op's allocator.
 */
#ifndef TP_STORE_PORT_H
#define TP_STORE_PORT_H

#include <troupe.h>

typedef enum tp_store_kind { TP_STORE_LOAD, TP_STORE_SAVE, TP_STORE_DELETE } tp_store_kind;

typedef struct tp_store_op tp_store_op;
struct tp_store_op {
    tp_store_kind kind;
    uint32_t shard; /* of the id: operations of one shard come from one thread */
    uint64_t hash;  /* of the id */
    troupe_id id;
    uint64_t version;  /* save, delete: read before; load: the stored one (0: never stored) */
    troupe_slice data; /* save: the bytes; load: the bytes found, allocated (NULL: absent) */
    const troupe_allocator *allocator;
    /* OK; CONFLICT: another version is stored; UNAVAILABLE, NO_MEMORY: not done; CORRUPT. A load of
     * what is absent is OK without data. */
    troupe_status status;
    void (*done)(tp_store_op *op);
};

typedef struct tp_store tp_store;
struct tp_store {
    void (*submit)(tp_store *store, tp_store_op *op);
    void (*destroy)(tp_store *store);
};

/* Opens the provider that a URL names: `memory:`. USAGE: `error` names the known ones. */
TROUPE_CHECK troupe_status tp_memory_store_create(
    const troupe_allocator *allocator, uint32_t shards, tp_store **ret_store);

#endif
