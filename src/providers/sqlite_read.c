/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the storage provider `sqlite:` reads: loads, events, snapshots, lists, health. Called by
 * sqlite.c inside the transaction of a group, so it sees what the group wrote before.
 *
 * Invariants: what is found is copied into items at once; the bytes of a statement are valid until
 * its next step only. Threads: run's.
 */
#include "providers/sqlite_inside.h"

#include <stdio.h>

static size_t limit_of(const troupe_store_op *op)
{
    return op->limit != 0 ? op->limit : SQLITE_LIMIT;
}

/* Adds an item unless the statement failed while it was read. */
static troupe_status add(sqlite_store *self, troupe_store_op *op, const troupe_store_item *item)
{
    return self->code == SQLITE_OK ? troupe_store_add(op, item) : TROUPE_UNAVAILABLE;
}

/* ---- one actor ----------------------------------------------------------------------------- */

static troupe_status load_rows(sqlite_store *self, troupe_store_op *op)
{
    troupe_status status = TROUPE_OK;
    tp_sqlite_bind_bytes(self, SQL_LOAD_ROWS, 1, tp_sqlite_id(self));
    while (status == TROUPE_OK && tp_sqlite_next(self, SQL_LOAD_ROWS)) {
        troupe_store_item item = {
            .kind = (uint32_t)tp_sqlite_number(self, SQL_LOAD_ROWS, 0),
            .key = tp_sqlite_bytes(self, SQL_LOAD_ROWS, 1),
            .value = tp_sqlite_bytes(self, SQL_LOAD_ROWS, 2),
        };
        status = add(self, op, &item);
    }
    tp_sqlite_reset(self, SQL_LOAD_ROWS);
    return status;
}

static troupe_status load(sqlite_store *self, troupe_store_op *op)
{
    troupe_status status = TROUPE_OK;
    uint64_t flags = 0;
    sqlite3_stmt *statement = self->statements[SQL_LOAD];
    tp_sqlite_bind_bytes(self, SQL_LOAD, 1, tp_sqlite_id(self));
    if (tp_sqlite_next(self, SQL_LOAD)) {
        op->found = tp_sqlite_number(self, SQL_LOAD, 0);
        op->wake = tp_sqlite_number(self, SQL_LOAD, 1);
        bool is_known = op->found == op->from;
        flags = is_known ? 0 : tp_sqlite_number(self, SQL_LOAD, 2);
        if (!is_known && sqlite3_column_type(statement, 3) != SQLITE_NULL) {
            troupe_store_item item = {.kind = TROUPE_ROW_STATE,
                .time = tp_sqlite_number(self, SQL_LOAD, 4),
                .value = tp_sqlite_bytes(self, SQL_LOAD, 3)};
            status = add(self, op, &item);
        }
    }
    tp_sqlite_reset(self, SQL_LOAD);
    if (status == TROUPE_OK && (flags & SQLITE_ROWS) != 0)
        status = load_rows(self, op);
    return status;
}

static troupe_status read_events(sqlite_store *self, troupe_store_op *op)
{
    troupe_status status = TROUPE_OK;
    size_t limit = limit_of(op), count = 0;
    tp_sqlite_bind_bytes(self, SQL_READ_EVENTS, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_READ_EVENTS, 2, op->from);
    tp_sqlite_bind_number(self, SQL_READ_EVENTS, 3, (uint64_t)limit + 1);
    while (status == TROUPE_OK && !op->more && tp_sqlite_next(self, SQL_READ_EVENTS)) {
        op->more = count++ == limit;
        if (op->more)
            break;
        troupe_store_item item = {
            .number = tp_sqlite_number(self, SQL_READ_EVENTS, 0),
            .time = tp_sqlite_number(self, SQL_READ_EVENTS, 1),
            .key = tp_sqlite_bytes(self, SQL_READ_EVENTS, 2),
            .value = tp_sqlite_bytes(self, SQL_READ_EVENTS, 3),
        };
        status = add(self, op, &item);
    }
    tp_sqlite_reset(self, SQL_READ_EVENTS);
    return status;
}

static troupe_status list_snapshots(sqlite_store *self, troupe_store_op *op)
{
    troupe_status status = TROUPE_OK;
    size_t limit = limit_of(op), count = 0;
    tp_sqlite_bind_bytes(self, SQL_LIST_SNAPSHOTS, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_LIST_SNAPSHOTS, 2, (uint64_t)limit + 1);
    while (status == TROUPE_OK && tp_sqlite_next(self, SQL_LIST_SNAPSHOTS)) {
        op->more = count++ == limit;
        if (op->more)
            break;
        troupe_store_item item = {.number = tp_sqlite_number(self, SQL_LIST_SNAPSHOTS, 0),
            .time = tp_sqlite_number(self, SQL_LIST_SNAPSHOTS, 1)};
        status = add(self, op, &item);
    }
    tp_sqlite_reset(self, SQL_LIST_SNAPSHOTS);
    return status;
}

static troupe_status read_snapshot(sqlite_store *self, troupe_store_op *op)
{
    troupe_status status = TROUPE_NOT_FOUND;
    tp_sqlite_bind_bytes(self, SQL_READ_SNAPSHOT, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_READ_SNAPSHOT, 2, op->from);
    if (tp_sqlite_next(self, SQL_READ_SNAPSHOT)) {
        troupe_store_item item = {
            .number = tp_sqlite_number(self, SQL_READ_SNAPSHOT, 0),
            .time = tp_sqlite_number(self, SQL_READ_SNAPSHOT, 1),
            .value = tp_sqlite_bytes(self, SQL_READ_SNAPSHOT, 2),
        };
        status = add(self, op, &item);
    }
    tp_sqlite_reset(self, SQL_READ_SNAPSHOT);
    return status;
}

/* ---- lists of ids -------------------------------------------------------------------------- */

size_t tp_sqlite_range(troupe_slice type, bool second, char *low, char *high)
{
    memcpy(low, type.data, type.size);
    memcpy(high, type.data, type.size);
    low[type.size] = second ? '@' : '/';
    high[type.size] = (char)(low[type.size] + 1);
    return type.size + 1;
}

static troupe_status list_range(sqlite_store *self, troupe_store_op *op, bool second, size_t *left)
{
    char low[TP_NAME_MAX + 1], high[TP_NAME_MAX + 1];
    size_t size = tp_sqlite_range(op->type, second, low, high);
    troupe_slice begin = troupe_slice_of(low, size);
    size_t shared = op->after.size < size ? op->after.size : size;
    int order = shared != 0 ? memcmp(op->after.data, low, shared) : 0;
    if (order > 0)
        return TROUPE_OK; /* all of the range is before it */
    if (order == 0 && op->after.size > size)
        begin = op->after;
    troupe_status status = TROUPE_OK;
    tp_sqlite_bind_bytes(self, SQL_LIST_IDS, 1, begin);
    tp_sqlite_bind_bytes(self, SQL_LIST_IDS, 2, troupe_slice_of(high, size));
    tp_sqlite_bind_number(self, SQL_LIST_IDS, 3, (uint64_t)*left + 1);
    while (status == TROUPE_OK && tp_sqlite_next(self, SQL_LIST_IDS)) {
        op->more = *left == 0;
        if (op->more)
            break;
        troupe_store_item item = {
            .key = tp_sqlite_bytes(self, SQL_LIST_IDS, 0),
            .number = tp_sqlite_number(self, SQL_LIST_IDS, 1),
            .time = tp_sqlite_number(self, SQL_LIST_IDS, 2),
        };
        status = add(self, op, &item);
        (*left)--;
    }
    tp_sqlite_reset(self, SQL_LIST_IDS);
    return status;
}

/* '/' is before '@', so the ids without a partition come first, all of them. */
static troupe_status list_ids(sqlite_store *self, troupe_store_op *op)
{
    if (op->type.size == 0 || op->type.size > TP_NAME_MAX)
        return TROUPE_USAGE;
    size_t left = limit_of(op);
    troupe_status status = list_range(self, op, false, &left);
    if (status == TROUPE_OK && !op->more && self->code == SQLITE_OK)
        status = list_range(self, op, true, &left);
    return status;
}

static troupe_status list_due(sqlite_store *self, troupe_store_op *op)
{
    troupe_status status = TROUPE_OK;
    size_t limit = limit_of(op), count = 0;
    tp_sqlite_bind_number(self, SQL_LIST_DUE, 1, op->until);
    tp_sqlite_bind_number(self, SQL_LIST_DUE, 2, op->after.size != 0 ? op->from : 0);
    tp_sqlite_bind_bytes(self, SQL_LIST_DUE, 3, op->after);
    tp_sqlite_bind_number(self, SQL_LIST_DUE, 4, (uint64_t)limit + 1);
    while (status == TROUPE_OK && tp_sqlite_next(self, SQL_LIST_DUE)) {
        op->more = count++ == limit;
        if (op->more)
            break;
        troupe_store_item item = {.key = tp_sqlite_bytes(self, SQL_LIST_DUE, 0),
            .time = tp_sqlite_number(self, SQL_LIST_DUE, 1)};
        status = add(self, op, &item);
    }
    tp_sqlite_reset(self, SQL_LIST_DUE);
    return status;
}

/* ---- health -------------------------------------------------------------------------------- */

static troupe_status say(troupe_store_op *op, troupe_status status, const char *words)
{
    troupe_store_item item = {.value = troupe_str(words)};
    troupe_status added = troupe_store_add(op, &item);
    return added == TROUPE_OK ? status : added;
}

/* Reads the whole file: seconds for each gigabyte. `hurry` ends it. */
static troupe_status check_file(sqlite_store *self, troupe_store_op *op)
{
    sqlite3_stmt *statement = NULL;
    troupe_status status = TROUPE_OK;
    char words[512];
    atomic_store(&self->checking, true);
    int code = sqlite3_prepare_v2(self->db, "PRAGMA quick_check(10)", -1, &statement, NULL);
    if (code == SQLITE_OK && !atomic_load(&self->hurried))
        code = sqlite3_step(statement);
    atomic_store(&self->checking, false);
    const char *found = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (found == NULL) {
        (void)snprintf(words, sizeof words, "%.200s: the check did not end: %.200s",
            self->settings.path, sqlite3_errmsg(self->db));
        status =
            say(op, (code & 0xFF) == SQLITE_CORRUPT ? TROUPE_CORRUPT : TROUPE_UNAVAILABLE, words);
    } else if (strcmp(found, "ok") != 0) {
        (void)snprintf(words, sizeof words,
            "%.200s is damaged: %.200s: restore it, or `sqlite3 FILE .recover`",
            self->settings.path, found);
        status = say(op, TROUPE_CORRUPT, words);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static troupe_status report_health(sqlite_store *self, troupe_store_op *op)
{
    if (op->keep == 1)
        return check_file(self, op);
    if (self->trouble[0] != '\0')
        return say(op, TROUPE_UNAVAILABLE, self->trouble);
    return TROUPE_OK;
}

troupe_status tp_sqlite_read(sqlite_store *self, troupe_store_op *op)
{
    switch (op->kind) {
    case TROUPE_STORE_LIST_IDS:
        return list_ids(self, op);
    case TROUPE_STORE_LIST_DUE:
        return list_due(self, op);
    case TROUPE_STORE_HEALTH:
        return report_health(self, op);
    default:
        break;
    }
    self->id_size = troupe_id_print(op->id, self->id, sizeof self->id);
    if (self->id_size >= sizeof self->id)
        return TROUPE_USAGE;
    switch (op->kind) {
    case TROUPE_STORE_LOAD:
        return load(self, op);
    case TROUPE_STORE_READ_EVENTS:
        return read_events(self, op);
    case TROUPE_STORE_LIST_SNAPSHOTS:
        return list_snapshots(self, op);
    case TROUPE_STORE_READ_SNAPSHOT:
        return read_snapshot(self, op);
    default:
        return TROUPE_USAGE;
    }
}
