/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bare table of records by name for the raw limits: linear probing over slots of 8 bytes (half of
 * the hash, number of the record), records in one array. No deletion, no eviction, no second type.
 *
 * Invariants
 *   1. At most three of four slots are used; a slot of 0 is free (record numbers begin at 1).
 *   2. A record begins with its key; the slot is only a hint, the key decides.
 * Threads: one.
 */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include "limit.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LIMIT_KEY = 16 };

struct limit_record {
    char key[LIMIT_KEY];
    uint64_t size;
    uint64_t received;
    char rest[32]; /* one line; longer records go on behind it */
};

struct limit_table {
    uint64_t *slots;
    uint64_t mask, count;
    char *records;
    uint64_t stride;
    uint64_t secret; /* of the type's name; mixed into each key's hash */
};

/* "account-" and eight hexadecimal digits. Ours makes its names the same way (tp_bench_key). */
static inline void limit_key(uint64_t index, char *ret_key)
{
    /* Spread the nibbles of 32 bits over 64, highest first in memory, then add '0' or 'a' - 10. */
    uint64_t x = __builtin_bswap32((uint32_t)index);
    x = (x | x << 16) & 0x0000ffff0000ffffull;
    x = (x | x << 8) & 0x00ff00ff00ff00ffull;
    x = (x >> 4 & 0x000f000f000f000full) | (x & 0x000f000f000f000full) << 8;
    uint64_t letters = (x + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull;
    x += 0x3030303030303030ull + letters * 39;
    memcpy(ret_key, "account-", 8);
    memcpy(ret_key + 8, &x, 8);
}

static inline uint64_t limit_hash(const struct limit_table *table, const char *key, size_t size)
{
    return XXH3_64bits_withSeed(key, size, table->secret);
}

static inline struct limit_record *limit_record(const struct limit_table *table, uint64_t number)
{
    return (struct limit_record *)(void *)(table->records + number * table->stride);
}

static inline void limit_table_init(
    struct limit_table *table, uint64_t slots, uint64_t stride, uint64_t records)
{
    table->slots = limit_map(slots * sizeof(uint64_t));
    table->mask = slots - 1;
    table->count = 0;
    table->stride = stride;
    table->records = limit_map((records + 1) * stride);
    table->secret = XXH3_64bits("account", 7);
}

static inline void limit_table_deinit(struct limit_table *table, uint64_t records)
{
    munmap(table->slots, (table->mask + 1) * sizeof(uint64_t));
    munmap(table->records, (records + 1) * table->stride);
}

static inline void limit_table_place(struct limit_table *table, uint64_t slot, uint64_t at)
{
    while (table->slots[at & table->mask] != 0)
        at++;
    table->slots[at & table->mask] = slot;
}

/* Twice as many slots. The slot keeps enough of the hash that no record is read. */
static inline void limit_table_grow(struct limit_table *table)
{
    uint64_t *old = table->slots, size = table->mask + 1;
    table->slots = limit_map(size * 2 * sizeof(uint64_t));
    table->mask = size * 2 - 1;
    for (uint64_t i = 0; i < size; i++)
        if (old[i] != 0)
            limit_table_place(table, old[i], old[i] >> 32);
    munmap(old, size * sizeof(uint64_t));
}

static inline uint64_t limit_table_home(uint64_t hash)
{
    return hash >> 32;
}

/* The record of a name, or NULL. */
static inline struct limit_record *limit_table_find(
    const struct limit_table *table, const char *key, size_t size, uint64_t hash)
{
    for (uint64_t at = limit_table_home(hash);; at++) {
        uint64_t slot = table->slots[at & table->mask];
        if (slot == 0)
            return NULL;
        if ((slot ^ hash) >> 32 != 0)
            continue;
        struct limit_record *record = limit_record(table, slot & UINT32_MAX);
        if (record->size == size && memcmp(record->key, key, size) == 0)
            return record;
    }
}

/* Adds a name that is not there. Its record is the next one of the array, zeroed by the system. */
static inline struct limit_record *limit_table_add(
    struct limit_table *table, const char *key, size_t size, uint64_t hash)
{
    if ((table->count + 1) * 4 > (table->mask + 1) * 3)
        limit_table_grow(table);
    uint64_t number = ++table->count;
    struct limit_record *record = limit_record(table, number);
    memcpy(record->key, key, size);
    record->size = size;
    limit_table_place(table, (hash & ~(uint64_t)UINT32_MAX) | number, limit_table_home(hash));
    return record;
}

#endif
