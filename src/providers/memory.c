/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `memory:`: state that lives as long as the node. For tests, for demos, and
 * for actors that may be evicted but need not survive the process. Nothing is durable.
 *
 * Invariants
 * 1. A record stays until the store closes, as a tombstone if need be: its id may be read without
 * the lock, and scans keep pointers to records.
 * 2. A partition's lock covers moves of pointers and the copies that a load makes, no more.
 * 3. Who closes a writer takes each partition's lock once afterwards: a commit that saw the writer
 * open is over then.
 *
 * Threads: any, side by side; a record is found in one of the partitions, each behind a spin lock.
 */
#include "providers/memory.h"

#include "base/alloc.h"
#include "base/id.h"
#include "base/index.h"
#include "providers/table.h"

#include <stdatomic.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

#define PARTITIONS 64

typedef struct partition {
    _Alignas(TP_CACHE_LINE) atomic_flag lock;
    tp_index records;
    tp_memory_record *waking; /* those with a wake, in no order */
} partition;

typedef struct writer {
    struct writer *next;
    uint64_t number;
    _Atomic bool is_open; /* set false publishes nothing: see invariant 3 */
} writer;

typedef struct memory_store {
    troupe_store store;
    const troupe_allocator *allocator;
    uint64_t seed;
    atomic_flag writers_lock;  /* of adding */
    _Atomic(writer *) writers; /* publishes the writer; never removed */
    partition *partitions;
} memory_store;

static void lock(atomic_flag *flag)
{
    while (atomic_flag_test_and_set_explicit(flag, memory_order_acquire)) {
    }
}

static void unlock(atomic_flag *flag)
{
    atomic_flag_clear_explicit(flag, memory_order_release);
}

/* ---- writers -------------------------------------------------------------------------------- */

static writer *find_writer(memory_store *self, uint64_t number)
{
    writer *at = atomic_load_explicit(&self->writers, memory_order_acquire);
    while (at != NULL && at->number != number)
        at = at->next;
    return at;
}

/* Under writers_lock. */
static troupe_status add_writer(memory_store *self, uint64_t number, bool is_open)
{
    writer *made = tp_allocate_zeroed(self->allocator, sizeof *made);
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    made->number = number;
    atomic_init(&made->is_open, is_open);
    made->next = atomic_load_explicit(&self->writers, memory_order_relaxed);
    atomic_store_explicit(&self->writers, made, memory_order_release);
    return TROUPE_OK;
}

static void await_commits(memory_store *self)
{
    for (size_t i = 0; i < PARTITIONS; i++) {
        lock(&self->partitions[i].lock);
        unlock(&self->partitions[i].lock);
    }
}

static troupe_status open_writer(memory_store *self, const troupe_store_op *op)
{
    lock(&self->writers_lock);
    troupe_status status = find_writer(self, op->writer) != NULL
                               ? TROUPE_CONFLICT
                               : add_writer(self, op->writer, true);
    unlock(&self->writers_lock);
    return status;
}

static troupe_status close_writer(memory_store *self, const troupe_store_op *op)
{
    troupe_status status = TROUPE_OK;
    lock(&self->writers_lock);
    writer *found = find_writer(self, op->writer);
    if (found != NULL)
        atomic_store_explicit(&found->is_open, false, memory_order_relaxed);
    else
        status = add_writer(self, op->writer, false);
    unlock(&self->writers_lock);
    await_commits(self);
    return status;
}

static troupe_status close_older(memory_store *self, troupe_store_op *op)
{
    lock(&self->writers_lock);
    writer *at = atomic_load_explicit(&self->writers, memory_order_relaxed);
    for (; at != NULL; at = at->next)
        if (at->number < op->writer &&
            atomic_exchange_explicit(&at->is_open, false, memory_order_relaxed))
            op->found++;
    unlock(&self->writers_lock);
    await_commits(self);
    return TROUPE_OK;
}

/* ---- records -------------------------------------------------------------------------------- */

static bool same(const void *item, const void *key)
{
    return troupe_slice_equal(tp_memory_record_text(item), *(const troupe_slice *)key);
}

/* An id and where its record is. */
typedef struct place {
    struct tp_id_text room;
    troupe_slice text;
    uint64_t hash;
    partition *in;
} place;

static void find_place(memory_store *self, troupe_id id, place *ret_place)
{
    size_t size =
        tp_id_print(ret_place->room.data, sizeof ret_place->room, id.type, id.partition, id.key);
    ret_place->text = (troupe_slice){ret_place->room.data, size};
    ret_place->hash = XXH3_64bits_withSeed(ret_place->text.data, size, self->seed);
    ret_place->in = &self->partitions[ret_place->hash % PARTITIONS];
}

static tp_memory_record *find_record(const place *at)
{
    return tp_index_find(&at->in->records, at->hash, same, &at->text);
}

static tp_memory_record *get_record(memory_store *self, const place *at)
{
    tp_memory_record *found = find_record(at);
    if (found != NULL)
        return found;
    found = tp_memory_record_create(self->allocator, at->text);
    if (found == NULL)
        return NULL;
    if (tp_index_insert(&at->in->records, at->hash, found) == TROUPE_OK)
        return found;
    tp_memory_record_destroy(found, self->allocator);
    return NULL;
}

static void watch_wake(partition *in, tp_memory_record *record)
{
    bool watched = record->wake_link != NULL;
    if (watched == (record->wake != 0))
        return;
    if (watched) {
        *record->wake_link = record->wake_next;
        if (record->wake_next != NULL)
            record->wake_next->wake_link = record->wake_link;
        record->wake_link = NULL;
        return;
    }
    record->wake_next = in->waking;
    record->wake_link = &in->waking;
    if (in->waking != NULL)
        in->waking->wake_link = &record->wake_next;
    in->waking = record;
}

/* Under the partition's lock. */
static troupe_status commit_locked(
    memory_store *self, const place *at, tp_memory_change *change, troupe_store_op *op)
{
    writer *by = find_writer(self, op->writer);
    if (by == NULL || !atomic_load_explicit(&by->is_open, memory_order_relaxed))
        return TROUPE_CLOSED;
    tp_memory_record *record = find_record(at);
    op->found = record != NULL ? record->version : 0;
    if (op->found != op->version)
        return TROUPE_CONFLICT;
    if (record == NULL)
        record = get_record(self, at);
    if (record == NULL)
        return TROUPE_NO_MEMORY;
    TROUPE_TRY(tp_memory_record_apply(record, self->allocator, change, &op->commit));
    watch_wake(at->in, record);
    op->found = record->version;
    return TROUPE_OK;
}

static troupe_status commit(memory_store *self, troupe_store_op *op)
{
    place at;
    tp_memory_change change;
    find_place(self, op->id, &at);
    TROUPE_TRY(tp_memory_change_init(&change, self->allocator, &op->commit));
    lock(&at.in->lock);
    troupe_status status = commit_locked(self, &at, &change, op);
    unlock(&at.in->lock);
    tp_memory_change_deinit(&change, self->allocator);
    return status;
}

static troupe_status read(memory_store *self, troupe_store_op *op,
    troupe_status (*reader)(const tp_memory_record *record, troupe_store_op *op))
{
    static const tp_memory_record absent;
    place at;
    find_place(self, op->id, &at);
    lock(&at.in->lock);
    const tp_memory_record *found = find_record(&at);
    troupe_status status = reader(found != NULL ? found : &absent, op);
    unlock(&at.in->lock);
    return status;
}

/* ---- scans ---------------------------------------------------------------------------------- */

/* One that is listed, as it was under its partition's lock. */
typedef struct candidate {
    const tp_memory_record *record;
    uint64_t version, time, wake;
} candidate;

/* The first `limit` in order of those seen, as a heap whose top is the last of them. */
typedef struct selection {
    candidate *items;
    size_t count, limit;
    bool more;
    bool by_wake;
    uint64_t after_wake;
    troupe_slice after;
} selection;

static int compare_slices(troupe_slice left, troupe_slice right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size != 0 ? memcmp(left.data, right.data, size) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static bool is_before(const selection *in, const candidate *left, const candidate *right)
{
    if (in->by_wake && left->wake != right->wake)
        return left->wake < right->wake;
    return compare_slices(
               tp_memory_record_text(left->record), tp_memory_record_text(right->record)) < 0;
}

static void sift_down(selection *in, size_t at, size_t count)
{
    for (;;) {
        size_t largest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (is_before(in, &in->items[largest], &in->items[child]))
                largest = child;
        if (largest == at)
            return;
        candidate moved = in->items[at];
        in->items[at] = in->items[largest];
        in->items[largest] = moved;
        at = largest;
    }
}

static void select_one(selection *in, const tp_memory_record *record)
{
    candidate seen = {record, record->version, record->time, record->wake};
    int order = compare_slices(tp_memory_record_text(record), in->after);
    bool is_behind =
        in->after.size == 0 ||
        (in->by_wake && record->wake != in->after_wake ? record->wake > in->after_wake : order > 0);
    if (!is_behind)
        return;
    if (in->count == in->limit) {
        in->more = true;
        if (!is_before(in, &seen, &in->items[0]))
            return;
        in->items[0] = seen;
        sift_down(in, 0, in->count);
        return;
    }
    size_t at = in->count++;
    in->items[at] = seen;
    while (at != 0 && is_before(in, &in->items[(at - 1) / 2], &in->items[at])) {
        candidate moved = in->items[at];
        in->items[at] = in->items[(at - 1) / 2];
        in->items[at = (at - 1) / 2] = moved;
    }
}

static bool has_type(const tp_memory_record *record, troupe_slice type)
{
    troupe_slice text = tp_memory_record_text(record);
    const char *bytes = text.data;
    return text.size > type.size && memcmp(bytes, type.data, type.size) == 0 &&
           (bytes[type.size] == '/' || bytes[type.size] == '@');
}

static void select_ids(partition *in, const troupe_store_op *op, selection *into)
{
    uint64_t cursor = 0;
    void *item;
    while (tp_index_each(&in->records, &cursor, &item)) {
        const tp_memory_record *record = item;
        if (record->is_live && has_type(record, op->type))
            select_one(into, record);
    }
}

static void select_due(partition *in, const troupe_store_op *op, selection *into)
{
    for (const tp_memory_record *at = in->waking; at != NULL; at = at->wake_next)
        if (at->wake <= op->until)
            select_one(into, at);
}

static troupe_status give_selected(selection *from, troupe_store_op *op)
{
    for (size_t left = from->count; left > 1; left--) { /* heap sort */
        candidate last = from->items[left - 1];
        from->items[left - 1] = from->items[0];
        from->items[0] = last;
        sift_down(from, 0, left - 1);
    }
    for (size_t i = 0; i < from->count; i++) {
        const candidate *seen = &from->items[i];
        troupe_store_item item = {.number = seen->version,
            .time = from->by_wake ? seen->wake : seen->time,
            .key = tp_memory_record_text(seen->record)};
        TROUPE_TRY(troupe_store_add(op, &item));
    }
    op->more = from->more;
    return TROUPE_OK;
}

static troupe_status list(memory_store *self, troupe_store_op *op)
{
    selection into = {.limit = op->limit != 0 ? op->limit : 1000,
        .by_wake = op->kind == TROUPE_STORE_LIST_DUE,
        .after_wake = op->from,
        .after = op->after};
    size_t room = into.limit * sizeof *into.items;
    into.items = tp_allocate(self->allocator, room);
    if (into.items == NULL)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; i < PARTITIONS; i++) {
        partition *in = &self->partitions[i];
        lock(&in->lock);
        if (into.by_wake)
            select_due(in, op, &into);
        else
            select_ids(in, op, &into);
        unlock(&in->lock);
    }
    troupe_status status = give_selected(&into, op);
    tp_release(self->allocator, into.items, room);
    return status;
}

static troupe_status prune(memory_store *self, troupe_store_op *op)
{
    size_t limit = op->limit != 0 ? op->limit : 1000;
    for (size_t i = 0; i < PARTITIONS && !op->more; i++) {
        partition *in = &self->partitions[i];
        uint64_t cursor = 0;
        void *item;
        lock(&in->lock);
        while (!op->more && tp_index_each(&in->records, &cursor, &item)) {
            tp_memory_record *record = item;
            if (has_type(record, op->type))
                op->found += tp_memory_record_prune(
                    record, self->allocator, op, limit - (size_t)op->found, &op->more);
        }
        unlock(&in->lock);
    }
    return TROUPE_OK;
}

/* ---- the store ------------------------------------------------------------------------------ */

static troupe_status run_one(memory_store *self, troupe_store_op *op)
{
    switch (op->kind) {
    case TROUPE_STORE_OPEN_WRITER:
        return open_writer(self, op);
    case TROUPE_STORE_CLOSE_WRITER:
        return close_writer(self, op);
    case TROUPE_STORE_CLOSE_OLDER:
        return close_older(self, op);
    case TROUPE_STORE_LOAD:
        return read(self, op, tp_memory_record_load);
    case TROUPE_STORE_COMMIT:
        return commit(self, op);
    case TROUPE_STORE_READ_EVENTS:
        return read(self, op, tp_memory_record_read_events);
    case TROUPE_STORE_LIST_SNAPSHOTS:
        return read(self, op, tp_memory_record_list_snapshots);
    case TROUPE_STORE_READ_SNAPSHOT:
        return read(self, op, tp_memory_record_read_snapshot);
    case TROUPE_STORE_PRUNE:
        return prune(self, op);
    case TROUPE_STORE_LIST_IDS:
    case TROUPE_STORE_LIST_DUE:
        return list(self, op);
    case TROUPE_STORE_HEALTH:
        return TROUPE_OK;
    }
    return TROUPE_USAGE;
}

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ops[i]->found = ops[i]->wake = 0;
        ops[i]->more = false;
        ops[i]->status = run_one((memory_store *)store, ops[i]);
    }
}

static void close_store(troupe_store *store)
{
    memory_store *self = (memory_store *)store;
    const troupe_allocator *allocator = self->allocator;
    for (size_t i = 0; self->partitions != NULL && i < PARTITIONS; i++) {
        partition *in = &self->partitions[i];
        uint64_t cursor = 0;
        void *item;
        while (in->records.allocator != NULL && tp_index_each(&in->records, &cursor, &item))
            tp_memory_record_destroy(item, allocator);
        if (in->records.allocator != NULL)
            tp_index_deinit(&in->records);
    }
    writer *next = atomic_load_explicit(&self->writers, memory_order_relaxed);
    while (next != NULL) {
        writer *at = next;
        next = at->next;
        tp_release(allocator, at, sizeof *at);
    }
    tp_release_lines(allocator, self->partitions, PARTITIONS * sizeof *self->partitions);
    tp_release(allocator, self, sizeof *self);
}

static troupe_status open_store(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size)
{
    if (strcmp(url, "memory:") != 0) {
        snprintf(error, error_size, "'%s': memory: has nothing behind the colon", url);
        return TROUPE_USAGE;
    }
    memory_store *self = tp_allocate_zeroed(host->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->store = (troupe_store){.size = sizeof self->store,
        .promises = "memory: nothing survives the node",
        .immediate = true,
        .own = true,
        .run = run,
        .close = close_store};
    self->allocator = host->allocator;
    self->seed = host->wall(host->context) ^ host->now(host->context) << 20;
    self->partitions = tp_allocate_lines(host->allocator, PARTITIONS * sizeof *self->partitions);
    troupe_status status = self->partitions != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    if (status == TROUPE_OK)
        memset(self->partitions, 0, PARTITIONS * sizeof *self->partitions);
    for (size_t i = 0; status == TROUPE_OK && i < PARTITIONS; i++)
        status = tp_index_init(&self->partitions[i].records, host->allocator, 8);
    if (status != TROUPE_OK) {
        close_store(&self->store);
        return status;
    }
    *ret_store = &self->store;
    return TROUPE_OK;
}

const troupe_provider tp_memory_provider = {
    sizeof(troupe_provider), TROUPE_API_NUMBER, "memory", open_store};
