/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of one actor in `memory:`, and its changes. Not the store: memory.c is, which keeps
 * the records, locks them and scans them.
 *
 * Invariants
 * 1. A change is prepared first (everything allocated), then applied, which cannot fail.
 * 2. Versions, positions and times of events never restart.
 * Threads: a record belongs to who holds its partition's lock.
 */
#ifndef TP_PROVIDERS_MEMORY_H
#define TP_PROVIDERS_MEMORY_H

#include <troupe/provider.h>

/* Bytes that a state and a snapshot may share. */
typedef struct tp_memory_blob {
    uint32_t holders;
    size_t size;
} tp_memory_blob;

typedef struct tp_memory_row {
    struct tp_memory_row *next;
    uint64_t hash;
    uint32_t kind;
    size_t key_size, value_size; /* behind the struct */
} tp_memory_row;

typedef struct tp_memory_moment { /* an event or a snapshot */
    uint64_t number, time;
    tp_memory_blob *blob; /* event: name, then payload */
    size_t name_size;
} tp_memory_moment;

typedef struct tp_memory_moments {
    tp_memory_moment *items; /* in order of their number */
    size_t count, capacity;
} tp_memory_moments;

typedef struct tp_memory_record {
    uint64_t version; /* 0: never stored */
    uint64_t wake, time;
    bool is_live; /* else a tombstone, or never stored */
    tp_memory_blob *state;
    tp_memory_row **rows; /* chains, by hash */
    size_t row_count, row_chains;
    tp_memory_moments events, snapshots;
    uint64_t last_position, last_time;               /* of events */
    struct tp_memory_record *wake_next, **wake_link; /* those with a wake; link NULL: not in it */
    size_t text_size;                                /* of the id, behind the struct */
} tp_memory_record;

/* What a commit puts, made before the lock is taken. */
typedef struct tp_memory_change {
    tp_memory_blob *state;
    tp_memory_row **rows; /* one for each row of the commit; NULL: a removal */
    tp_memory_blob **events;
    size_t row_count, event_count;
} tp_memory_change;

static inline troupe_slice tp_memory_record_text(const tp_memory_record *record)
{
    return (troupe_slice){record + 1, record->text_size};
}

/* NULL: no memory. */
tp_memory_record *tp_memory_record_create(const troupe_allocator *allocator, troupe_slice text);
void tp_memory_record_destroy(tp_memory_record *record, const troupe_allocator *allocator);

TROUPE_CHECK troupe_status tp_memory_change_init(
    tp_memory_change *change, const troupe_allocator *allocator, const troupe_store_commit *commit);
/* What was not applied goes. */
void tp_memory_change_deinit(tp_memory_change *change, const troupe_allocator *allocator);

/* NO_MEMORY: nothing has changed. */
TROUPE_CHECK troupe_status tp_memory_record_apply(tp_memory_record *record,
    const troupe_allocator *allocator, tp_memory_change *change, const troupe_store_commit *commit);

TROUPE_CHECK troupe_status tp_memory_record_load(
    const tp_memory_record *record, troupe_store_op *op);
TROUPE_CHECK troupe_status tp_memory_record_read_events(
    const tp_memory_record *record, troupe_store_op *op);
TROUPE_CHECK troupe_status tp_memory_record_list_snapshots(
    const tp_memory_record *record, troupe_store_op *op);
TROUPE_CHECK troupe_status tp_memory_record_read_snapshot(
    const tp_memory_record *record, troupe_store_op *op);
/* At most `limit` go; returns how many did, and whether more would. */
size_t tp_memory_record_prune(tp_memory_record *record, const troupe_allocator *allocator,
    const troupe_store_op *op, size_t limit, bool *ret_more);

#endif
