/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actor commits: a wave of them as arrays, one call of a function for all, one transaction. What
 * the function refuses it names by place, and the others are done. If the call itself fails, all of
 * it was undone: it is tried again, in halves where one of them may be the cause, until the bad one
 * is alone.
 *
 * Invariants
 * 1. A commit is OK only when the answer came up to the end of its transaction. LOST is UNKNOWN.
 * 2. Ids go in bytewise order, so two transactions take their rows in one order.
 * 3. All repeats end at the deadline of the run; what is left then was not done.
 *
 * Threads: the committer's.
 */
#include "providers/postgres/postgres.h"

#include <stdlib.h>

enum { TRIES = 5, KEEPS_STATE = 1, ERASES = 2, KEEPS_SNAPSHOT = 4, TOMBSTONE = 8, PUTS_ROWS = 16 };
enum {
    HAS_NEW = 1,
    HAS_OLD = 2,
    HAS_ERASE = 4,
    HAS_SNAPSHOT = 8,
    HAS_REMOVE = 16,
    HAS_PUT = 32,
    HAS_EVENT = 64
};

static uint32_t flags_of(const troupe_store_commit *commit)
{
    uint32_t flags = !commit->has_state && !commit->erase ? KEEPS_STATE : 0;
    if (commit->erase)
        flags |= ERASES;
    if (commit->snapshot && commit->has_state)
        flags |= KEEPS_SNAPSHOT;
    if (commit->erase && !commit->has_state && commit->row_count == 0 && commit->event_count == 0)
        flags |= TOMBSTONE;
    if (commit->row_count != 0)
        flags |= PUTS_ROWS;
    return flags;
}

/* int8 is signed; a moment after the year 2262 is as good as never. */
static uint64_t moment(uint64_t time)
{
    return time < INT64_MAX ? time : INT64_MAX;
}

static int compare_rows(const void *left, const void *right)
{
    const tp_pg_row *a = left, *b = right;
    if (a->ordinal != b->ordinal)
        return a->ordinal < b->ordinal ? -1 : 1;
    if (a->row->kind != b->row->kind)
        return a->row->kind < b->row->kind ? -1 : 1;
    size_t size = a->row->key.size < b->row->key.size ? a->row->key.size : b->row->key.size;
    int order = size != 0 ? memcmp(a->row->key.data, b->row->key.data, size) : 0;
    if (order != 0)
        return order;
    if (a->row->key.size != b->row->key.size)
        return a->row->key.size < b->row->key.size ? -1 : 1;
    return a->place < b->place ? -1 : 1;
}

static bool same_row(const tp_pg_row *a, const tp_pg_row *b)
{
    return a->ordinal == b->ordinal && a->row->kind == b->row->kind &&
           troupe_slice_equal(a->row->key, b->row->key);
}

/* The rows of the wave, in order, each key once: the last word counts. Returns how many. */
static size_t gather_rows(tp_pg_store *self, const tp_pg_entry *entries, size_t count)
{
    tp_pg_buffer_empty(&self->rows);
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += entries[i].op->commit.row_count;
    if (found == 0 || !tp_pg_reserve(&self->rows, found * sizeof(tp_pg_row)))
        return 0;
    tp_pg_row *rows = (tp_pg_row *)(void *)self->rows.data;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const troupe_store_commit *commit = &entries[i].op->commit;
        for (size_t k = 0; k < commit->row_count; k++)
            rows[n++] = (tp_pg_row){&entries[i], &commit->rows[k], (uint32_t)i + 1, (uint32_t)k};
    }
    qsort(rows, n, sizeof *rows, compare_rows);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && same_row(&rows[i], &rows[i + 1]))
            continue;
        rows[kept++] = rows[i];
    }
    return kept;
}

/* What the wave has. */
static uint32_t look(const tp_pg_entry *entries, size_t count, bool *ret_plain)
{
    uint32_t what = 0;
    bool plain = true;
    for (size_t i = 0; i < count; i++) {
        const troupe_store_commit *commit = &entries[i].op->commit;
        what |= entries[i].op->version == 0 ? HAS_NEW : HAS_OLD;
        if (commit->erase)
            what |= HAS_ERASE;
        if (commit->snapshot && commit->has_state)
            what |= HAS_SNAPSHOT;
        if (commit->event_count != 0)
            what |= HAS_EVENT;
        plain = plain && commit->has_state && !commit->erase && !commit->snapshot &&
                commit->row_count == 0 && commit->event_count == 0 && commit->wake == 0;
    }
    *ret_plain = plain;
    return what;
}

/* One parameter: an array with an element for each entry, or row. */
typedef struct column {
    uint32_t type;
    void (*put)(tp_pg_buffer *buffer, const void *item);
} column;

static void put_columns(tp_pg_parameters *to, const column *columns, size_t column_count,
    const void *items, size_t item_size, size_t count)
{
    for (size_t c = 0; c < column_count; c++) {
        tp_pg_begin(to);
        tp_pg_array(to->buffer, columns[c].type, count);
        for (size_t i = 0; i < count; i++)
            columns[c].put(to->buffer, (const char *)items + i * item_size);
        tp_pg_end(to);
    }
}

/* A field of an item as an element. */
#define PUT(name, item_type, element, field)                 \
    static void name(tp_pg_buffer *buffer, const void *item) \
    {                                                        \
        const item_type *of = item;                          \
        element(buffer, field);                              \
    }

static void element_or_null(tp_pg_buffer *buffer, bool is_there, troupe_slice bytes)
{
    if (is_there)
        tp_pg_element(buffer, bytes);
    else
        tp_pg_element_null(buffer);
}

PUT(put_id, tp_pg_entry, tp_pg_element, of->id)
PUT(put_version, tp_pg_entry, tp_pg_element_u64, of->op->version)
PUT(put_time, tp_pg_entry, tp_pg_element_u64, moment(of->op->commit.time))
PUT(put_flags, tp_pg_entry, tp_pg_element_u32, flags_of(&of->op->commit))
PUT(put_wake, tp_pg_entry, tp_pg_element_u64, moment(of->op->commit.wake))
PUT(put_event_count, tp_pg_entry, tp_pg_element_u64, of->op->commit.event_count)
PUT(put_row_place, tp_pg_row, tp_pg_element_u32, of->ordinal)
PUT(put_row_id, tp_pg_row, tp_pg_element, of->entry->id)
PUT(put_row_kind, tp_pg_row, tp_pg_element_u32, of->row->kind)
PUT(put_row_key, tp_pg_row, tp_pg_element, of->row->key)

static void put_state(tp_pg_buffer *buffer, const void *item)
{
    const troupe_store_commit *commit = &((const tp_pg_entry *)item)->op->commit;
    element_or_null(buffer, commit->has_state, commit->state);
}

static void put_row_value(tp_pg_buffer *buffer, const void *item)
{
    const troupe_store_row *row = ((const tp_pg_row *)item)->row;
    element_or_null(buffer, !row->remove, row->value);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void put_plain(tp_pg_parameters *to, const tp_pg_entry *entries, size_t count, uint32_t what)
{
    static const column columns[] = {{TP_PG_BYTEA, put_id}, {TP_PG_INT8, put_version},
        {TP_PG_INT8, put_time}, {TP_PG_BYTEA, put_state}};
    tp_pg_add_number(to, entries[0].op->writer);
    tp_pg_add_number(to, what);
    put_columns(to, columns, COUNT(columns), entries, sizeof *entries, count);
}

static void put_others(tp_pg_parameters *to, const tp_pg_entry *entries, size_t count)
{
    static const column columns[] = {
        {TP_PG_INT4, put_flags}, {TP_PG_INT8, put_wake}, {TP_PG_INT8, put_event_count}};
    put_columns(to, columns, COUNT(columns), entries, sizeof *entries, count);
}

static void put_rows(tp_pg_parameters *to, const tp_pg_row *rows, size_t count)
{
    static const column columns[] = {{TP_PG_INT4, put_row_place}, {TP_PG_BYTEA, put_row_id},
        {TP_PG_INT4, put_row_kind}, {TP_PG_BYTEA, put_row_key}, {TP_PG_BYTEA, put_row_value}};
    put_columns(to, columns, COUNT(columns), rows, sizeof *rows, count);
}

typedef void put_event(tp_pg_buffer *buffer, const tp_pg_entry *entry, size_t place, size_t index);

static void put_event_place(
    tp_pg_buffer *buffer, const tp_pg_entry *entry, size_t place, size_t index)
{
    (void)entry, (void)index;
    tp_pg_element_u32(buffer, (uint32_t)place);
}

static void put_event_id(tp_pg_buffer *buffer, const tp_pg_entry *entry, size_t place, size_t index)
{
    (void)place, (void)index;
    tp_pg_element(buffer, entry->id);
}

/* How far before the actor's last event. */
static void put_event_back(
    tp_pg_buffer *buffer, const tp_pg_entry *entry, size_t place, size_t index)
{
    (void)place;
    tp_pg_element_u64(buffer, entry->op->commit.event_count - 1 - index);
}

static void put_event_name(
    tp_pg_buffer *buffer, const tp_pg_entry *entry, size_t place, size_t index)
{
    (void)place;
    tp_pg_element(buffer, entry->op->commit.events[index].name);
}

static void put_event_payload(
    tp_pg_buffer *buffer, const tp_pg_entry *entry, size_t place, size_t index)
{
    (void)place;
    tp_pg_element(buffer, entry->op->commit.events[index].payload);
}

static void put_events(tp_pg_parameters *to, const tp_pg_entry *entries, size_t count)
{
    static const struct {
        uint32_t type;
        put_event *put;
    } columns[] = {
        {TP_PG_INT4, put_event_place},
        {TP_PG_BYTEA, put_event_id},
        {TP_PG_INT8, put_event_back},
        {TP_PG_BYTEA, put_event_name},
        {TP_PG_BYTEA, put_event_payload},
    };
    size_t events = 0;
    for (size_t i = 0; i < count; i++)
        events += entries[i].op->commit.event_count;
    for (size_t c = 0; c < COUNT(columns); c++) {
        tp_pg_begin(to);
        tp_pg_array(to->buffer, columns[c].type, events);
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < entries[i].op->commit.event_count; k++)
                columns[c].put(to->buffer, &entries[i], i + 1, k);
        }
        tp_pg_end(to);
    }
}

static void end_all(const tp_pg_entry *entries, size_t count, troupe_status status)
{
    for (size_t i = 0; i < count; i++)
        entries[i].op->status = status;
}

bool tp_pg_commit_send(tp_pg_store *self, const tp_pg_entry *entries, size_t count)
{
    tp_pg_buffer_empty(&self->buffer);
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    bool plain;
    uint32_t what = look(entries, count, &plain);
    if (plain) {
        put_plain(&parameters, entries, count, what);
    } else {
        size_t rows = gather_rows(self, entries, count);
        const tp_pg_row *row = (const tp_pg_row *)(const void *)self->rows.data;
        for (size_t i = 0; i < rows; i++)
            what |= row[i].row->remove ? HAS_REMOVE : HAS_PUT;
        put_plain(&parameters, entries, count, what);
        put_others(&parameters, entries, count);
        put_rows(&parameters, row, rows);
        put_events(&parameters, entries, count);
    }
    if (self->buffer.failed || (!plain && self->rows.failed)) {
        end_all(entries, count, TROUPE_NO_MEMORY);
        return false;
    }
    if (tp_pg_send(&self->session, plain ? TP_PG_COMMIT_PLAIN : TP_PG_COMMIT_FULL, &parameters) &&
        tp_pg_sync(&self->session))
        return true;
    end_all(entries, count, TROUPE_UNAVAILABLE);
    return false;
}

/* The refused ones are named as pairs (place, stored version); all others are done. */
static void end_answered(const tp_pg_entry *entries, size_t count, const PGresult *rows)
{
    for (size_t i = 0; i < count; i++) {
        entries[i].op->status = TROUPE_OK;
        entries[i].op->found = entries[i].op->version + 1;
    }
    enum { HEAD = 12, DIMENSION = 8, ELEMENT = 12 };
    const char *at = PQgetvalue(rows, 0, 0);
    size_t size = (size_t)PQgetlength(rows, 0, 0);
    uint32_t dimensions = size >= HEAD ? tp_pg_read_u32(at) : 0;
    size_t start = HEAD + (size_t)dimensions * DIMENSION;
    for (; dimensions == 2 && start + 2 * (size_t)ELEMENT <= size; start += 2 * (size_t)ELEMENT) {
        int64_t place = (int64_t)tp_pg_read_u64(at + start + 4);
        size_t index = (size_t)(place < 0 ? -place : place) - 1;
        if (index >= count)
            continue;
        entries[index].op->status = place < 0 ? TROUPE_CLOSED : TROUPE_CONFLICT;
        entries[index].op->found = tp_pg_read_u64(at + start + ELEMENT + 4);
    }
}

static bool begins(const tp_pg_answer *answer, const char *class)
{
    return strncmp(answer->state, class, strlen(class)) == 0;
}

/* May a part of the group do better than the whole? Not if the server itself is in trouble. */
static bool may_split(const tp_pg_answer *answer)
{
    static const char *const hopeless[] = {"08", "25", "28", "3F", "42", "53", "57", "58"};
    for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++) {
        if (begins(answer, hopeless[i]))
            return false;
    }
    return true;
}

/* The group goes again, as it is. */
static tp_pg_answer again(
    tp_pg_store *self, const tp_pg_entry *entries, size_t count, bool impatient, uint64_t deadline)
{
    tp_pg_session *session = &self->session;
    if (self->host.now(self->host.context) >= deadline || !tp_pg_session_ready(session, deadline))
        return (tp_pg_answer){.outcome = TP_PG_UNSENT};
    if (impatient) { /* somebody holds a lock: the others shall not wait for it again and again */
        tp_pg_buffer_empty(&self->buffer);
        tp_pg_parameters parameters = {.buffer = &self->buffer};
        tp_pg_add_number(&parameters, 20);
        if (self->buffer.failed || !tp_pg_send(session, TP_PG_PATIENCE, &parameters))
            return (tp_pg_answer){.outcome = TP_PG_UNSENT};
    }
    if (!tp_pg_commit_send(self, entries, count))
        return (tp_pg_answer){.outcome = TP_PG_UNSENT};
    return tp_pg_receive(session, deadline);
}

/* Bounded by log2 of the group: each call halves it. */
static void finish(tp_pg_store *self, const tp_pg_entry *entries, size_t count, tp_pg_answer answer,
    uint64_t deadline)
{
    bool locked = false;
    for (int i = 1; i < TRIES && answer.outcome == TP_PG_REFUSED && begins(&answer, "40"); i++)
        answer = again(self, entries, count, false, deadline);
    switch (answer.outcome) {
    case TP_PG_DONE:
        end_answered(entries, count, answer.rows);
        PQclear(answer.rows);
        return;
    case TP_PG_LOST:
        end_all(entries, count, TROUPE_UNKNOWN);
        return;
    case TP_PG_UNSENT:
        end_all(entries, count, TROUPE_UNAVAILABLE);
        return;
    case TP_PG_REFUSED:
        break;
    }
    locked = begins(&answer, "55P03");
    if (count == 1 || !may_split(&answer)) {
        end_all(entries, count, tp_pg_status_of(self, &answer));
        return;
    }
    size_t half = count / 2;
    answer = again(self, entries, half, locked, deadline);
    finish(self, entries, half, answer, deadline);
    answer = again(self, entries + half, count - half, locked, deadline);
    finish(self, entries + half, count - half, answer, deadline);
}

void tp_pg_commit_finish(
    tp_pg_store *self, tp_pg_entry *entries, size_t count, tp_pg_answer answer, uint64_t deadline)
{
    finish(self, entries, count, answer, deadline);
}
