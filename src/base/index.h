/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash index: from a 64-bit hash to items that live elsewhere. Open addressing, linear probing,
 * deletion by shifting back, 16 bytes an entry. It grows a few buckets per insert, so that no
 * insert pauses. It knows no keys: the caller compares them. It never shrinks.
 *
 * A bucket is the top bits of the mixed hash, so entries lie in the order of their hashes, and a
 * table twice as large splits each bucket in two neighbours. While it grows there are two tables,
 * and whole clusters (runs of full buckets) move, so that probing the old one needs no special
 * case. They move from the top down, and the old table is cut off behind them: giving back a
 * hundred megabytes at once would be a pause of ten milliseconds.
 *
 * Invariants: 1. Each table has an empty bucket, so probing ends. 2. New entries go to the newest
 * table. 3. The old table is empty before the new one is full. 4. Entries are 7/8 of the buckets at
 * most, unless memory for a larger table was refused.
 * Threads: one owner.
 */
#ifndef TP_BASE_INDEX_H
#define TP_BASE_INDEX_H

#include "base/assert.h"
#include "base/limits.h"

#include <troupe/status.h>

typedef struct tp_index_entry {
    uint64_t hash;
    void *item; /* NULL: the bucket is empty */
} tp_index_entry;

typedef struct tp_index_table {
    tp_index_entry *entries; /* NULL: there is no such table */
    uint32_t bits;           /* 2^bits buckets */
    size_t limit;            /* buckets that are still in memory: the first so many */
    size_t count;
} tp_index_table;

typedef struct tp_index {
    tp_index_table newest;
    tp_index_table old; /* being moved into newest, or absent */
    size_t old_next;    /* the bucket to move next, downwards */
    size_t old_left;    /* buckets yet to move */
    const troupe_allocator *allocator;
} tp_index;

/* Room for `initial` items before the first growth. NO_MEMORY: nothing was done. */
TROUPE_CHECK troupe_status tp_index_init(tp_index *index, const troupe_allocator *allocator,
                                         size_t initial);
void tp_index_deinit(tp_index *index);

/* Adds an item, not NULL, not there yet. NO_MEMORY: it is full and cannot grow; nothing changed. */
TROUPE_CHECK troupe_status tp_index_insert(tp_index *index, uint64_t hash, void *item);

/* False: it was not there. */
bool tp_index_remove(tp_index *index, uint64_t hash, const void *item);

/* A scan that may be interrupted and resumed, and between calls of which the index may change: each
 * item that is there from first to last is returned at least once. `cursor` begins as 0 and is 0
 * again when it returns false. */
bool tp_index_each(const tp_index *index, uint64_t *cursor, void **ret_item);

static inline size_t tp_index_count(const tp_index *index)
{
    return index->newest.count + index->old.count;
}

/* Weak hashes come out spread (Fibonacci hashing; Knuth 6.4); the map is one to one. */
static inline uint64_t tp_index_mix(uint64_t hash)
{
    return hash * UINT64_C(0x9E3779B97F4A7C15);
}

static inline size_t tp_index_bucket(const tp_index_table *table, uint64_t hash)
{
    return (size_t)(tp_index_mix(hash) >> (64 - table->bits));
}

/* Can the table hold that hash? The absent table holds none. */
static inline bool tp_index_table_reaches(const tp_index_table *table, uint64_t hash)
{
    return table->entries != NULL && tp_index_bucket(table, hash) < table->limit;
}

static inline size_t tp_index_mask(const tp_index_table *table)
{
    return ((size_t)1 << table->bits) - 1;
}

__attribute__((always_inline)) static inline void *
tp_index_table_find(const tp_index_table *table, uint64_t hash,
                    bool (*same)(const void *item, const void *key), const void *key)
{
    size_t mask = tp_index_mask(table);
    size_t bucket = tp_index_bucket(table, hash);
    const tp_index_entry *entry = &table->entries[bucket];
    while (entry->item != NULL) {
        if (entry->hash == hash && (same == NULL || same(entry->item, key))) {
            return entry->item;
        }
        bucket = (bucket + 1) & mask;
        entry = &table->entries[bucket];
    }
    return NULL;
}

/* The item of that hash for which same(item, key) holds, or NULL. */
__attribute__((always_inline)) static inline void *
tp_index_find(const tp_index *index, uint64_t hash, bool (*same)(const void *item, const void *key),
              const void *key)
{
    void *item = tp_index_table_find(&index->newest, hash, same, key);
    if (TP_UNLIKELY(item == NULL && tp_index_table_reaches(&index->old, hash))) {
        item = tp_index_table_find(&index->old, hash, same, key);
    }
    return item;
}

/* The first item of that hash, or NULL, without touching any item. For prefetching it. */
static inline void *tp_index_peek(const tp_index *index, uint64_t hash)
{
    return tp_index_find(index, hash, NULL, NULL);
}

/* Begins to fetch the bucket of that hash. */
static inline void tp_index_prefetch(const tp_index *index, uint64_t hash)
{
    __builtin_prefetch(&index->newest.entries[tp_index_bucket(&index->newest, hash)]);
    if (TP_UNLIKELY(index->old.entries != NULL)) {
        __builtin_prefetch(&index->old.entries[tp_index_bucket(&index->old, hash)]);
    }
}

#endif
