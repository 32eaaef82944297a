/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of store/window.h: chains of entries by the hash of their request id, and a binary heap
 * of the same entries by the time at which they may go. Chains are short by the load, and bounded
 * by the limit whatever ids callers choose.
 *
 * Threads: one owner.
 */
#include "store/window.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

#define CAPACITY_MIN 8

void tp_window_init(tp_window *window, const troupe_allocator *allocator, uint32_t limit)
{
    TP_ASSERT(limit > 0);
    *window = (tp_window){.allocator = allocator, .limit = limit};
}

static size_t arrays_size(uint32_t capacity)
{
    return 2 * sizeof(tp_window_entry *) * capacity;
}

static void free_entry(tp_window *self, tp_window_entry *entry)
{
    self->bytes -= sizeof *entry + entry->memory_size;
    tp_release(self->allocator, entry->memory, entry->memory_size);
    tp_release(self->allocator, entry, sizeof *entry);
}

void tp_window_deinit(tp_window *window)
{
    for (uint32_t i = 0; i < window->count; i++)
        free_entry(window, window->heap[i]);
    tp_release(window->allocator, window->heap, arrays_size(window->capacity));
    *window = (tp_window){0};
}

/* ------------------------------------------------------------------------------------------
 * The heap
 */

/* Running entries never go. */
static uint64_t leaves_at(const tp_window_entry *entry)
{
    return entry->state == TP_WINDOW_RUNNING ? UINT64_MAX : entry->expires;
}

static void put_at(tp_window *self, uint32_t place, tp_window_entry *entry)
{
    self->heap[place] = entry;
    entry->place = place;
}

/* Moves an entry to where it belongs now. */
static void settle(tp_window *self, tp_window_entry *entry)
{
    uint32_t place = entry->place;
    uint64_t time = leaves_at(entry);
    while (place > 0 && leaves_at(self->heap[(place - 1) / 2]) > time) {
        put_at(self, place, self->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child + 1 < self->count &&
            leaves_at(self->heap[child + 1]) < leaves_at(self->heap[child]))
            child++;
        if (child >= self->count || leaves_at(self->heap[child]) >= time)
            break;
        put_at(self, place, self->heap[child]);
        place = child;
    }
    put_at(self, place, entry);
}

/* ------------------------------------------------------------------------------------------
 * The chains
 */
static tp_window_entry **bucket_of(const tp_window *self, uint64_t hash)
{
    return &self->buckets[hash & (self->capacity - 1)];
}

static tp_window_entry *find(const tp_window *self, troupe_slice id, uint64_t hash)
{
    if (self->capacity == 0)
        return NULL;
    tp_window_entry *entry = *bucket_of(self, hash);
    while (entry != NULL && !(entry->hash == hash && entry->id_size == id.size &&
                                tp_bytes_are_equal(entry->id, id.data, id.size)))
        entry = entry->next;
    return entry;
}

static void chain(tp_window *self, tp_window_entry *entry)
{
    tp_window_entry **bucket = bucket_of(self, entry->hash);
    entry->next = *bucket;
    *bucket = entry;
}

/* Room for one more. */
static bool reserve(tp_window *self)
{
    if (self->count < self->capacity)
        return true;
    uint32_t capacity = self->capacity == 0 ? CAPACITY_MIN : self->capacity * 2;
    tp_window_entry **heap = tp_allocate(self->allocator, arrays_size(capacity));
    if (heap == NULL)
        return false;
    if (self->count > 0)
        memcpy(heap, self->heap, self->count * sizeof *heap);
    memset(heap + capacity, 0, capacity * sizeof *heap);
    tp_release(self->allocator, self->heap, arrays_size(self->capacity));
    self->bytes += arrays_size(capacity) - arrays_size(self->capacity);
    self->heap = heap;
    self->buckets = heap + capacity;
    self->capacity = capacity;
    for (uint32_t i = 0; i < self->count; i++)
        chain(self, heap[i]);
    return true;
}

/* A new entry without memory. NULL: no memory, nothing has changed. */
static tp_window_entry *insert(
    tp_window *self, troupe_slice id, tp_window_state state, uint64_t expires)
{
    TP_ASSERT(id.size > 0 && id.size <= TP_ROW_ONCE_MAX);
    uint64_t hash = XXH3_64bits(id.data, id.size);
    TP_ASSERT(find(self, id, hash) == NULL);
    if (!reserve(self))
        return NULL;
    tp_window_entry *entry = tp_allocate(self->allocator, sizeof *entry);
    if (entry == NULL)
        return NULL;
    *entry = (tp_window_entry){
        .state = state, .expires = expires, .id_size = (uint8_t)id.size, .hash = hash};
    memcpy(entry->id, id.data, id.size);
    self->bytes += sizeof *entry;
    chain(self, entry);
    entry->place = self->count++;
    settle(self, entry);
    return entry;
}

static void give_memory(tp_window *self, tp_window_entry *entry, void *memory, size_t size)
{
    tp_release(self->allocator, entry->memory, entry->memory_size);
    self->bytes += size - entry->memory_size;
    entry->memory = memory;
    entry->memory_size = size;
}

/* ------------------------------------------------------------------------------------------ */

tp_window_entry *tp_window_find(const tp_window *window, troupe_slice id)
{
    return find(window, id, XXH3_64bits(id.data, id.size));
}

tp_window_decision tp_window_decide(tp_window *window, troupe_slice id, uint64_t deadline,
    uint64_t now, tp_window_entry **ret_entry)
{
    tp_window_entry *entry = tp_window_find(window, id);
    if (entry != NULL) {
        *ret_entry = entry;
        if (entry->state == TP_WINDOW_RUNNING)
            return TP_WINDOW_WAIT;
        return entry->state == TP_WINDOW_DONE ? TP_WINDOW_ANSWER : TP_WINDOW_INTERRUPTED;
    }
    if (deadline <= now)
        return TP_WINDOW_UNKNOWN;
    if (window->count < window->limit)
        return TP_WINDOW_RUN;
    window->refused++;
    return TP_WINDOW_BUSY;
}

troupe_status tp_window_begin(
    tp_window *window, troupe_slice id, uint64_t expires, void *turn, tp_window_entry **ret_entry)
{
    TP_ASSERT(window->count < window->limit);
    tp_window_entry *entry = insert(window, id, TP_WINDOW_RUNNING, expires);
    if (entry == NULL)
        return TROUPE_NO_MEMORY;
    entry->turn = turn;
    *ret_entry = entry;
    return TROUPE_OK;
}

troupe_status tp_window_load(
    tp_window *window, troupe_slice id, const tp_row_once *row, void *memory, size_t memory_size)
{
    tp_window_state state = row->state == TP_ONCE_DONE ? TP_WINDOW_DONE : TP_WINDOW_LOST;
    tp_window_entry *entry = insert(window, id, state, row->expires);
    if (entry == NULL)
        return TROUPE_NO_MEMORY;
    entry->answer = *row;
    give_memory(window, entry, memory, memory_size);
    return TROUPE_OK;
}

void tp_window_finish(tp_window *window, tp_window_entry *entry, const tp_row_once *answer,
    void *memory, size_t memory_size)
{
    TP_ASSERT(entry->state != TP_WINDOW_DONE && answer->state == TP_ONCE_DONE);
    entry->state = TP_WINDOW_DONE;
    entry->turn = NULL;
    entry->answer = *answer;
    entry->expires = answer->expires;
    give_memory(window, entry, memory, memory_size);
    settle(window, entry);
}

void tp_window_lose(tp_window *window, tp_window_entry *entry)
{
    TP_ASSERT(entry->state == TP_WINDOW_RUNNING);
    entry->state = TP_WINDOW_LOST;
    entry->turn = NULL;
    settle(window, entry);
}

tp_window_entry *tp_window_expired(const tp_window *window, uint64_t now)
{
    if (window->count == 0)
        return NULL;
    tp_window_entry *first = window->heap[0];
    return first->state != TP_WINDOW_RUNNING && first->expires <= now ? first : NULL;
}

void tp_window_remove(tp_window *window, tp_window_entry *entry)
{
    tp_window_entry **link = bucket_of(window, entry->hash);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    tp_window_entry *last = window->heap[--window->count];
    if (last != entry) {
        put_at(window, entry->place, last);
        settle(window, last);
    }
    free_entry(window, entry);
}
