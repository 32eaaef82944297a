/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of `memory:`: see memory.h. Rows are chained by hash, because a window of `once` keys may
 * hold thousands; events and snapshots are arrays in order of their numbers.
 *
 * Threads: as memory.h says.
 */
#include "providers/memory.h"

#include "base/alloc.h"
#include "base/bytes.h"

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

#define CHAINS_FIRST 8

/* ---- parts ---------------------------------------------------------------------------------- */

static tp_memory_blob *blob_create(
    const troupe_allocator *allocator, troupe_slice first, troupe_slice second)
{
    size_t size = first.size + second.size;
    tp_memory_blob *made = tp_allocate(allocator, sizeof *made + size);
    if (made == NULL)
        return NULL;
    *made = (tp_memory_blob){1, size};
    char *bytes = (char *)(made + 1);
    tp_bytes_copy(bytes, first.data, first.size);
    tp_bytes_copy(bytes + first.size, second.data, second.size);
    return made;
}

static void blob_drop(tp_memory_blob *blob, const troupe_allocator *allocator)
{
    if (blob != NULL && --blob->holders == 0)
        tp_release(allocator, blob, sizeof *blob + blob->size);
}

static troupe_slice row_key(const tp_memory_row *row)
{
    return (troupe_slice){row + 1, row->key_size};
}

static uint64_t row_hash(uint32_t kind, troupe_slice key)
{
    return XXH3_64bits_withSeed(key.data, key.size, kind);
}

static tp_memory_row *row_create(const troupe_allocator *allocator, const troupe_store_row *of)
{
    tp_memory_row *made = tp_allocate(allocator, sizeof *made + of->key.size + of->value.size);
    if (made == NULL)
        return NULL;
    *made = (tp_memory_row){.hash = row_hash(of->kind, of->key),
        .kind = of->kind,
        .key_size = of->key.size,
        .value_size = of->value.size};
    char *bytes = (char *)(made + 1);
    tp_bytes_copy(bytes, of->key.data, of->key.size);
    tp_bytes_copy(bytes + of->key.size, of->value.data, of->value.size);
    return made;
}

static void row_destroy(tp_memory_row *row, const troupe_allocator *allocator)
{
    if (row != NULL)
        tp_release(allocator, row, sizeof *row + row->key_size + row->value_size);
}

static bool moments_reserve(
    tp_memory_moments *moments, const troupe_allocator *allocator, size_t more)
{
    if (moments->capacity - moments->count >= more)
        return true;
    size_t capacity = (moments->count + more) * 2;
    tp_memory_moment *grown = tp_reallocate(
        allocator, moments->items, moments->capacity * sizeof *grown, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    moments->items = grown;
    moments->capacity = capacity;
    return true;
}

static void moments_clear(tp_memory_moments *moments, const troupe_allocator *allocator)
{
    for (size_t i = 0; i < moments->count; i++)
        blob_drop(moments->items[i].blob, allocator);
    tp_release(allocator, moments->items, moments->capacity * sizeof *moments->items);
    *moments = (tp_memory_moments){0};
}

/* ---- records -------------------------------------------------------------------------------- */

tp_memory_record *tp_memory_record_create(const troupe_allocator *allocator, troupe_slice text)
{
    tp_memory_record *made = tp_allocate_zeroed(allocator, sizeof *made + text.size);
    if (made == NULL)
        return NULL;
    made->text_size = text.size;
    tp_bytes_copy(made + 1, text.data, text.size);
    return made;
}

static void clear(tp_memory_record *record, const troupe_allocator *allocator)
{
    blob_drop(record->state, allocator);
    record->state = NULL;
    for (size_t i = 0; i < record->row_chains; i++) {
        while (record->rows[i] != NULL) {
            tp_memory_row *row = record->rows[i];
            record->rows[i] = row->next;
            row_destroy(row, allocator);
        }
    }
    tp_release(allocator, record->rows, record->row_chains * sizeof(tp_memory_row *));
    record->rows = NULL;
    record->row_count = record->row_chains = 0;
    moments_clear(&record->events, allocator);
    moments_clear(&record->snapshots, allocator);
}

void tp_memory_record_destroy(tp_memory_record *record, const troupe_allocator *allocator)
{
    if (record == NULL)
        return;
    clear(record, allocator);
    tp_release(allocator, record, sizeof *record + record->text_size);
}

/* ---- changes -------------------------------------------------------------------------------- */

static troupe_status prepare(
    tp_memory_change *change, const troupe_allocator *allocator, const troupe_store_commit *commit)
{
    if (commit->has_state) {
        change->state = blob_create(allocator, commit->state, (troupe_slice){NULL, 0});
        if (change->state == NULL)
            return TROUPE_NO_MEMORY;
    }
    if (commit->row_count != 0) {
        change->rows = tp_allocate_zeroed(allocator, commit->row_count * sizeof *change->rows);
        if (change->rows == NULL)
            return TROUPE_NO_MEMORY;
        change->row_count = commit->row_count;
    }
    for (size_t i = 0; i < commit->row_count; i++) {
        if (commit->rows[i].remove)
            continue;
        change->rows[i] = row_create(allocator, &commit->rows[i]);
        if (change->rows[i] == NULL)
            return TROUPE_NO_MEMORY;
    }
    if (commit->event_count != 0) {
        change->events =
            tp_allocate_zeroed(allocator, commit->event_count * sizeof *change->events);
        if (change->events == NULL)
            return TROUPE_NO_MEMORY;
        change->event_count = commit->event_count;
    }
    for (size_t i = 0; i < commit->event_count; i++) {
        change->events[i] =
            blob_create(allocator, commit->events[i].name, commit->events[i].payload);
        if (change->events[i] == NULL)
            return TROUPE_NO_MEMORY;
    }
    return TROUPE_OK;
}

troupe_status tp_memory_change_init(
    tp_memory_change *change, const troupe_allocator *allocator, const troupe_store_commit *commit)
{
    *change = (tp_memory_change){0};
    troupe_status status = prepare(change, allocator, commit);
    if (status != TROUPE_OK)
        tp_memory_change_deinit(change, allocator);
    return status;
}

void tp_memory_change_deinit(tp_memory_change *change, const troupe_allocator *allocator)
{
    blob_drop(change->state, allocator);
    for (size_t i = 0; i < change->row_count; i++)
        row_destroy(change->rows[i], allocator);
    tp_release(allocator, change->rows, change->row_count * sizeof *change->rows);
    for (size_t i = 0; i < change->event_count; i++)
        blob_drop(change->events[i], allocator);
    tp_release(allocator, change->events, change->event_count * sizeof *change->events);
    *change = (tp_memory_change){0};
}

static tp_memory_row **row_find(tp_memory_record *record, uint64_t hash, const troupe_store_row *of)
{
    tp_memory_row **at = &record->rows[hash & (record->row_chains - 1)];
    while (*at != NULL && ((*at)->hash != hash || (*at)->kind != of->kind ||
                              !troupe_slice_equal(row_key(*at), of->key)))
        at = &(*at)->next;
    return at;
}

/* Longer chains are the price where memory for more of them is refused; the first few must be had.
 */
static bool chains_reserve(tp_memory_record *record, const troupe_allocator *allocator, size_t more)
{
    size_t chains = record->row_chains != 0 ? record->row_chains : CHAINS_FIRST;
    while (chains < record->row_count + more)
        chains *= 2;
    if (chains == record->row_chains)
        return true;
    tp_memory_row **grown = tp_allocate_zeroed(allocator, chains * sizeof *grown);
    if (grown == NULL)
        return record->row_chains != 0;
    for (size_t i = 0; i < record->row_chains; i++) {
        while (record->rows[i] != NULL) {
            tp_memory_row *row = record->rows[i];
            record->rows[i] = row->next;
            row->next = grown[row->hash & (chains - 1)];
            grown[row->hash & (chains - 1)] = row;
        }
    }
    tp_release(allocator, record->rows, record->row_chains * sizeof *grown);
    record->rows = grown;
    record->row_chains = chains;
    return true;
}

static void apply_rows(tp_memory_record *record, const troupe_allocator *allocator,
    tp_memory_change *change, const troupe_store_commit *commit)
{
    for (size_t i = 0; i < commit->row_count; i++) {
        const troupe_store_row *row = &commit->rows[i];
        tp_memory_row **at = row_find(record, row_hash(row->kind, row->key), row);
        tp_memory_row *old = *at;
        if (old != NULL) {
            *at = old->next;
            row_destroy(old, allocator);
            record->row_count--;
        }
        if (change->rows[i] != NULL) {
            change->rows[i]->next = *at;
            *at = change->rows[i];
            change->rows[i] = NULL;
            record->row_count++;
        }
    }
}

static void apply_events(
    tp_memory_record *record, tp_memory_change *change, const troupe_store_commit *commit)
{
    for (size_t i = 0; i < commit->event_count; i++) {
        uint64_t next = record->last_time + 1;
        record->last_time = next > commit->time ? next : commit->time;
        record->events.items[record->events.count++] =
            (tp_memory_moment){.number = ++record->last_position,
                .time = record->last_time,
                .blob = change->events[i],
                .name_size = commit->events[i].name.size};
        change->events[i] = NULL;
    }
}

troupe_status tp_memory_record_apply(tp_memory_record *record, const troupe_allocator *allocator,
    tp_memory_change *change, const troupe_store_commit *commit)
{
    if (commit->erase) {
        /* Emptied in place of the new: all that can fail comes first, on the emptied one's size. */
        tp_memory_record emptied = {0};
        if ((commit->row_count != 0 && !chains_reserve(&emptied, allocator, commit->row_count)) ||
            (commit->event_count != 0 &&
                !moments_reserve(&emptied.events, allocator, commit->event_count)) ||
            (commit->snapshot && !moments_reserve(&emptied.snapshots, allocator, 1))) {
            clear(&emptied, allocator);
            return TROUPE_NO_MEMORY;
        }
        clear(record, allocator);
        record->rows = emptied.rows;
        record->row_chains = emptied.row_chains;
        record->events = emptied.events;
        record->snapshots = emptied.snapshots;
    } else if ((commit->row_count != 0 && !chains_reserve(record, allocator, commit->row_count)) ||
               !moments_reserve(&record->events, allocator, commit->event_count) ||
               !moments_reserve(&record->snapshots, allocator, commit->snapshot)) {
        return TROUPE_NO_MEMORY;
    }
    record->is_live =
        !commit->erase || commit->has_state || commit->row_count != 0 || commit->event_count != 0;
    record->version++;
    record->wake = commit->wake;
    record->time = commit->time;
    if (commit->has_state) {
        tp_memory_blob *old = record->state;
        record->state = change->state;
        change->state = old; /* goes with the change, outside of the lock */
    }
    if (commit->snapshot && record->state != NULL) {
        record->state->holders++;
        record->snapshots.items[record->snapshots.count++] = (tp_memory_moment){
            .number = record->version, .time = commit->time, .blob = record->state};
    }
    apply_rows(record, allocator, change, commit);
    apply_events(record, change, commit);
    return TROUPE_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

static size_t limit_of(const troupe_store_op *op)
{
    return op->limit != 0 ? op->limit : 1000;
}

static troupe_slice blob_bytes(const tp_memory_blob *blob)
{
    return (troupe_slice){blob + 1, blob->size};
}

troupe_status tp_memory_record_load(const tp_memory_record *record, troupe_store_op *op)
{
    op->found = record->version;
    op->wake = record->wake;
    if (record->version == op->from)
        return TROUPE_OK;
    if (record->state != NULL) {
        troupe_store_item item = {.kind = TROUPE_ROW_STATE,
            .number = record->version,
            .time = record->time,
            .value = blob_bytes(record->state)};
        TROUPE_TRY(troupe_store_add(op, &item));
    }
    for (size_t i = 0; i < record->row_chains; i++) {
        for (const tp_memory_row *row = record->rows[i]; row != NULL; row = row->next) {
            troupe_store_item item = {.kind = row->kind,
                .key = row_key(row),
                .value = {(const char *)(row + 1) + row->key_size, row->value_size}};
            TROUPE_TRY(troupe_store_add(op, &item));
        }
    }
    return TROUPE_OK;
}

/* The index of the first moment whose number is `number` or more. */
static size_t moments_find(const tp_memory_moments *moments, uint64_t number)
{
    size_t low = 0, high = moments->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (moments->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

troupe_status tp_memory_record_read_events(const tp_memory_record *record, troupe_store_op *op)
{
    size_t limit = limit_of(op);
    const tp_memory_moments *events = &record->events;
    for (size_t i = moments_find(events, op->from); i < events->count; i++) {
        if (limit-- == 0) {
            op->more = true;
            break;
        }
        const tp_memory_moment *event = &events->items[i];
        troupe_slice bytes = blob_bytes(event->blob);
        troupe_store_item item = {.number = event->number,
            .time = event->time,
            .key = {bytes.data, event->name_size},
            .value = {(const char *)bytes.data + event->name_size, bytes.size - event->name_size}};
        TROUPE_TRY(troupe_store_add(op, &item));
    }
    return TROUPE_OK;
}

troupe_status tp_memory_record_list_snapshots(const tp_memory_record *record, troupe_store_op *op)
{
    size_t limit = limit_of(op);
    for (size_t i = record->snapshots.count; i-- > 0;) {
        if (limit-- == 0) {
            op->more = true;
            break;
        }
        const tp_memory_moment *snapshot = &record->snapshots.items[i];
        troupe_store_item item = {.number = snapshot->number, .time = snapshot->time};
        TROUPE_TRY(troupe_store_add(op, &item));
    }
    return TROUPE_OK;
}

troupe_status tp_memory_record_read_snapshot(const tp_memory_record *record, troupe_store_op *op)
{
    size_t at = moments_find(&record->snapshots, op->from);
    if (at == record->snapshots.count || record->snapshots.items[at].number != op->from)
        return TROUPE_NOT_FOUND;
    const tp_memory_moment *snapshot = &record->snapshots.items[at];
    troupe_store_item item = {
        .number = snapshot->number, .time = snapshot->time, .value = blob_bytes(snapshot->blob)};
    return troupe_store_add(op, &item);
}

size_t tp_memory_record_prune(tp_memory_record *record, const troupe_allocator *allocator,
    const troupe_store_op *op, size_t limit, bool *ret_more)
{
    tp_memory_moments *snapshots = &record->snapshots;
    size_t went = 0, stays = 0;
    *ret_more = false;
    for (size_t i = 0; i < snapshots->count; i++) {
        tp_memory_moment *snapshot = &snapshots->items[i];
        size_t newer = snapshots->count - 1 - i;
        bool goes = newer != 0 && ((op->keep != 0 && newer >= op->keep) ||
                                      (op->until != 0 && snapshot->time < op->until));
        if (goes && went == limit)
            *ret_more = true;
        if (goes && went < limit) {
            blob_drop(snapshot->blob, allocator);
            went++;
        } else {
            snapshots->items[stays++] = *snapshot;
        }
    }
    snapshots->count = stays;
    return went;
}
