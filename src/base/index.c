/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insertion, removal, growth and scans of the hash index of base/index.h; finding is inline there.
 *
 * Invariants: see base/index.h. Also: entries of one home bucket lie in the order in which they
 * came to the table, as removal shifts entries back without changing that order; scans rely on it.
 * Threads: one owner.
 */
#include "base/index.h"

#include "base/alloc.h"

#include <string.h>

/* Buckets of the old table that an insert or a removal moves. Growth starts at 7/8 of N entries and
 * the new table has room for 7/8 N more, so anything above 8/7 would end in time; more ends sooner,
 * and halves the time in which a find may look twice. */
#define MOVE_STEP 16

/* Buckets at the end of the old table that are given back together: 256 KiB. */
#define CUT_STEP 16384

static size_t table_bytes(uint32_t bits)
{
    return sizeof(tp_index_entry) << bits;
}

static size_t table_limit(uint32_t bits)
{
    size_t buckets = (size_t)1 << bits;
    return buckets - buckets / 8;
}

static bool table_create(tp_index_table *table, const troupe_allocator *allocator, uint32_t bits)
{
    if (bits > TP_INDEX_BITS_MAX) {
        return false;
    }
    tp_index_entry *entries = tp_allocate_zeroed(allocator, table_bytes(bits));
    if (entries == NULL) {
        return false;
    }
    table->entries = entries;
    table->bits = bits;
    table->limit = (size_t)1 << bits;
    table->count = 0;
    return true;
}

static void table_destroy(tp_index_table *table, const troupe_allocator *allocator)
{
    if (table->entries != NULL) {
        tp_release(allocator, table->entries, table->limit * sizeof(tp_index_entry));
    }
    memset(table, 0, sizeof(*table));
}

/* The table has an empty bucket left after this. */
static void table_insert(tp_index_table *table, uint64_t hash, void *item)
{
    size_t mask = tp_index_mask(table);
    size_t bucket = tp_index_bucket(table, hash);
    while (table->entries[bucket].item != NULL) {
        bucket = (bucket + 1) & mask;
    }
    table->entries[bucket].hash = hash;
    table->entries[bucket].item = item;
    table->count++;
}

static bool table_remove(tp_index_table *table, uint64_t hash, const void *item)
{
    size_t mask = tp_index_mask(table);
    size_t hole = tp_index_bucket(table, hash);
    while (table->entries[hole].item != item) {
        if (table->entries[hole].item == NULL) {
            return false;
        }
        hole = (hole + 1) & mask;
    }
    /* Shift back whatever would be cut off from its home bucket by the hole (Knuth 6.4, R). */
    for (size_t i = (hole + 1) & mask; table->entries[i].item != NULL; i = (i + 1) & mask) {
        size_t home = tp_index_bucket(table, table->entries[i].hash);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->entries[hole] = table->entries[i];
            hole = i;
        }
    }
    table->entries[hole].item = NULL;
    table->count--;
    return true;
}

/* Gives back what lies above the bucket to move next, which is empty and ends every probe. */
static void cut_off(tp_index *index)
{
    tp_index_table *old = &index->old;
    size_t limit = index->old_next + 1;
    if (limit + CUT_STEP > old->limit || !tp_allocator_cuts_in_place(index->allocator)) {
        return;
    }
    tp_index_entry *entries =
        tp_reallocate(index->allocator, old->entries, old->limit * sizeof(tp_index_entry),
                      limit * sizeof(tp_index_entry));
    if (entries != NULL) {
        old->entries = entries;
        old->limit = limit;
    }
}

/* Moves at least `buckets` of the old table, and goes on to the end of a cluster. */
static void move_some(tp_index *index, size_t buckets)
{
    tp_index_table *old = &index->old;
    size_t mask = tp_index_mask(old);
    while (index->old_left > 0 && old->count > 0) {
        tp_index_entry *entry = &old->entries[index->old_next];
        if (entry->item != NULL) {
            table_insert(&index->newest, entry->hash, entry->item);
            entry->item = NULL;
            old->count--;
        } else if (buckets == 0) {
            cut_off(index);
            return;
        }
        index->old_next = (index->old_next - 1) & mask;
        index->old_left--;
        buckets -= buckets > 0;
    }
    TP_ASSERT(old->count == 0);
    table_destroy(old, index->allocator);
}

/* Starts growing. False: no memory, and nothing changed. */
static bool grow(tp_index *index)
{
    tp_index_table larger;
    if (!table_create(&larger, index->allocator, index->newest.bits + 1)) {
        return false;
    }
    index->old = index->newest;
    index->newest = larger;
    /* Down from the first empty bucket, so that no cluster is cut in two. The cluster that may wrap
     * round the end moves first: no later stop finds it half moved, and then the end can be cut. */
    size_t start = 0;
    while (index->old.entries[start].item != NULL) {
        start++;
    }
    index->old_next = start;
    index->old_left = tp_index_mask(&index->old) + 1;
    return true;
}

troupe_status tp_index_init(tp_index *index, const troupe_allocator *allocator, size_t initial)
{
    uint32_t bits = TP_INDEX_BITS_MIN;
    while (bits <= TP_INDEX_BITS_MAX && table_limit(bits) < initial) {
        bits++;
    }
    tp_index_table table;
    if (!table_create(&table, allocator, bits)) {
        return TROUPE_NO_MEMORY;
    }
    memset(index, 0, sizeof(*index));
    index->newest = table;
    index->allocator = allocator;
    return TROUPE_OK;
}

void tp_index_deinit(tp_index *index)
{
    if (index->newest.entries == NULL) {
        return;
    }
    table_destroy(&index->old, index->allocator);
    table_destroy(&index->newest, index->allocator);
}

troupe_status tp_index_insert(tp_index *index, uint64_t hash, void *item)
{
    TP_DEBUG_ASSERT(item != NULL);
    if (TP_UNLIKELY(index->old.entries != NULL)) {
        move_some(index, MOVE_STEP);
    }
    if (TP_UNLIKELY(index->newest.count >= table_limit(index->newest.bits))) {
        if (index->old.entries != NULL) {
            move_some(index, SIZE_MAX);
        }
        if (!grow(index) && index->newest.count >= tp_index_mask(&index->newest)) {
            return TROUPE_NO_MEMORY;
        }
    }
    table_insert(&index->newest, hash, item);
    return TROUPE_OK;
}

bool tp_index_remove(tp_index *index, uint64_t hash, const void *item)
{
    if (TP_UNLIKELY(index->old.entries != NULL)) {
        move_some(index, MOVE_STEP);
    }
    return table_remove(&index->newest, hash, item) ||
           (tp_index_table_reaches(&index->old, hash) && table_remove(&index->old, hash, item));
}

/*
 * Scans go by home buckets of the newest table, so an item's place in its cluster does not matter,
 * and a table that doubles only splits what is yet to come. The items of a bucket are those in the
 * old table, then those in the newest, each from the last to the first: the first `left` of them
 * are still to be returned, and whatever is removed or added leaves those among the first `left`,
 * or fewer. If the table doubled since, the bucket begins anew: some come twice, none is missed.
 *
 * The cursor, from the top: bucket (as top bits of a hash), 1 bit: in the newest table, 6 bits: the
 * table's bits, 21 bits: left + 1, or 0 when this table's part of the bucket is not begun.
 */
#define CURSOR_LEFT_BITS 21
#define CURSOR_BITS_BITS 6
#define CURSOR_LOW_BITS (CURSOR_LEFT_BITS + CURSOR_BITS_BITS + 1)

_Static_assert(TP_INDEX_BITS_MAX + CURSOR_LOW_BITS <= 64, "the cursor holds any bucket");
_Static_assert(TP_INDEX_BITS_MAX < 1 << CURSOR_BITS_BITS, "the cursor holds any table's bits");

typedef struct position {
    size_t bucket; /* of the newest table */
    bool in_newest;
    uint64_t left; /* items to return in this part of the bucket, plus 1; 0: not begun */
} position;

static position decode(const tp_index *index, uint64_t cursor)
{
    const uint64_t bits = (cursor >> CURSOR_LEFT_BITS) & ((1u << CURSOR_BITS_BITS) - 1);
    position at = {(size_t)((cursor >> CURSOR_LOW_BITS << CURSOR_LOW_BITS) >>
                            (64 - index->newest.bits)),
                   false, 0};
    if (bits == index->newest.bits) {
        at.in_newest = (cursor >> (CURSOR_LOW_BITS - 1) & 1) != 0;
        at.left = cursor & ((1u << CURSOR_LEFT_BITS) - 1);
    }
    return at;
}

static uint64_t encode(const tp_index *index, position at)
{
    TP_ASSERT(at.left < 1u << CURSOR_LEFT_BITS);
    return (uint64_t)at.bucket << (64 - index->newest.bits) |
           (uint64_t)at.in_newest << (CURSOR_LOW_BITS - 1) |
           (uint64_t)index->newest.bits << CURSOR_LEFT_BITS | at.left;
}

/* Of the items in `table` whose home in the newest table is `bucket`: how many there are, if fewer
 * than `stop`; else the item number `stop` (from 1) too. */
static uint64_t count_home(const tp_index *index, const tp_index_table *table, size_t bucket,
                           uint64_t stop, void **ret_item)
{
    uint64_t count = 0;
    size_t i = bucket >> (index->newest.bits - table->bits);
    if (table->entries == NULL || i >= table->limit) {
        return 0;
    }
    size_t mask = tp_index_mask(table);
    for (; table->entries[i].item != NULL && count < stop; i = (i + 1) & mask) {
        if (tp_index_bucket(&index->newest, table->entries[i].hash) == bucket) {
            count++;
            *ret_item = table->entries[i].item;
        }
    }
    return count;
}

bool tp_index_each(const tp_index *index, uint64_t *cursor, void **ret_item)
{
    position at = decode(index, *cursor);
    size_t mask = tp_index_mask(&index->newest);
    while (true) {
        const tp_index_table *table = at.in_newest ? &index->newest : &index->old;
        void *item = NULL;
        uint64_t stop = at.left == 0 ? UINT64_MAX : at.left - 1;
        uint64_t left = count_home(index, table, at.bucket, stop, &item);
        if (left > 0) {
            at.left = left; /* left - 1 remain, plus 1 */
            *cursor = encode(index, at);
            *ret_item = item;
            return true;
        }
        at.left = 0;
        if (at.in_newest && at.bucket == mask) {
            *cursor = 0;
            return false;
        }
        at.bucket += at.in_newest;
        at.in_newest = !at.in_newest;
    }
}
