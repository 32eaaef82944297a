/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything but actor commits: loads (many in one statement), writers, events, snapshots, lists.
 * One statement each, so that what it finds is of one moment.
 *
 * Invariants
 * 1. Closing a writer waits for its commits under way. If one of them does not end, its session is
 *    ended (a node that was stopped while it sent), and the closing is done again.
 * 2. What cannot be read is UNAVAILABLE, never an empty answer.
 *
 * Threads: the committer's.
 */
#include "providers/postgres/postgres.h"

#include <stdlib.h>

enum { DEFAULT_LIMIT = 1000 };

troupe_status tp_pg_status_of(tp_pg_store *self, const tp_pg_answer *answer)
{
    if (answer->outcome != TP_PG_REFUSED)
        return TROUPE_UNAVAILABLE;
    if (strncmp(answer->state, "54", 2) == 0)
        return TROUPE_TOO_LARGE;
    if (strcmp(answer->state, "XX001") == 0 || strcmp(answer->state, "XX002") == 0)
        return TROUPE_CORRUPT;
    if (self->host.log != NULL)
        self->host.log(self->host.context, TROUPE_LOG_WARN, "store_refused", self->session.error);
    /* A primary that has become a standby: the next connection may find the new one. */
    if (strcmp(answer->state, "25006") == 0)
        tp_pg_session_drop(&self->session, NULL);
    return TROUPE_UNAVAILABLE;
}

static tp_pg_answer run(tp_pg_store *self, tp_pg_statement statement,
    const tp_pg_parameters *parameters, uint64_t deadline)
{
    if (parameters->buffer->failed || !tp_pg_send(&self->session, statement, parameters) ||
        !tp_pg_sync(&self->session))
        return (tp_pg_answer){.outcome = TP_PG_UNSENT};
    return tp_pg_receive(&self->session, deadline);
}

/* ---- loads ----------------------------------------------------------------------------------- */

bool tp_pg_load_send(tp_pg_store *self, const tp_pg_entry *entries, size_t count)
{
    tp_pg_buffer_empty(&self->buffer);
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    tp_pg_begin(&parameters);
    tp_pg_array(&self->buffer, TP_PG_BYTEA, count);
    for (size_t i = 0; i < count; i++)
        tp_pg_element(&self->buffer, entries[i].id);
    tp_pg_end(&parameters);
    troupe_status status = self->buffer.failed ? TROUPE_NO_MEMORY : TROUPE_UNAVAILABLE;
    bool sent = !self->buffer.failed && tp_pg_send(&self->session, TP_PG_LOAD, &parameters) &&
                tp_pg_sync(&self->session);
    for (size_t i = 0; !sent && i < count; i++)
        entries[i].op->status = status;
    return sent;
}

/* The rows of an actor: a record of three arrays, of kinds, keys and values. In binary form a
 * record is the number of its fields, then type, length and bytes of each; an array has five
 * numbers before its elements. */
enum { ROW_FIELDS = 3, ARRAY_HEAD = 20 };

typedef struct reader {
    const char *at;
    size_t left;
} reader;

/* The next bytes, or NULL: there are not so many. */
static const char *read_on(reader *from, size_t size)
{
    if (from->left < size)
        return NULL;
    const char *at = from->at;
    from->at += size;
    from->left -= size;
    return at;
}

/* A length, and so many bytes. */
static bool read_piece(reader *from, troupe_slice *ret_piece)
{
    const char *length = read_on(from, 4);
    size_t size = length != NULL ? tp_pg_read_u32(length) : 0;
    const char *bytes = length != NULL ? read_on(from, size) : NULL;
    if (bytes == NULL)
        return false;
    *ret_piece = troupe_slice_of(bytes, size);
    return true;
}

static troupe_status take_rows(troupe_store_op *op, troupe_slice record)
{
    reader whole = {record.data, record.size}, field[ROW_FIELDS];
    const char *count = read_on(&whole, 4);
    if (count == NULL || tp_pg_read_u32(count) != ROW_FIELDS)
        return TROUPE_CORRUPT;
    for (int i = 0; i < ROW_FIELDS; i++) {
        troupe_slice array;
        if (read_on(&whole, 4) == NULL || whole.left < 4)
            return TROUPE_CORRUPT;
        if (tp_pg_read_u32(whole.at) == UINT32_MAX) /* no rows any more */
            return TROUPE_OK;
        if (!read_piece(&whole, &array))
            return TROUPE_CORRUPT;
        field[i] = (reader){array.data, array.size};
        if (read_on(&field[i], ARRAY_HEAD) == NULL)
            return TROUPE_CORRUPT;
    }
    troupe_status status = TROUPE_OK;
    while (status == TROUPE_OK && field[0].left != 0) {
        troupe_slice kind;
        troupe_store_item item = {0};
        if (!read_piece(&field[0], &kind) || kind.size != 4 || !read_piece(&field[1], &item.key) ||
            !read_piece(&field[2], &item.value))
            return TROUPE_CORRUPT;
        item.kind = tp_pg_read_u32(kind.data);
        status = troupe_store_add(op, &item);
    }
    return status;
}

static void take_loaded(troupe_store_op *op, const PGresult *rows, int row)
{
    op->found = tp_pg_u64(rows, row, 1);
    op->wake = tp_pg_u64(rows, row, 2);
    if (PQgetisnull(rows, row, 3) == 0) {
        troupe_store_item item = {.kind = TROUPE_ROW_STATE,
            .time = tp_pg_u64(rows, row, 5),
            .value = tp_pg_bytes(rows, row, 3)};
        op->status = troupe_store_add(op, &item);
    }
    if (op->status == TROUPE_OK && PQgetisnull(rows, row, 4) == 0)
        op->status = take_rows(op, tp_pg_bytes(rows, row, 4));
}

void tp_pg_load_finish(
    tp_pg_store *self, const tp_pg_entry *entries, size_t count, tp_pg_answer answer)
{
    troupe_status status =
        answer.outcome == TP_PG_DONE ? TROUPE_OK : tp_pg_status_of(self, &answer);
    for (size_t i = 0; i < count; i++) {
        entries[i].op->status = status;
        entries[i].op->found = 0;
        entries[i].op->wake = 0;
    }
    if (status != TROUPE_OK)
        return;
    for (int i = 0; i < PQntuples(answer.rows); i++) {
        size_t place = tp_pg_u32(answer.rows, i, 0);
        if (place >= 1 && place <= count)
            take_loaded(entries[place - 1].op, answer.rows, i);
    }
    PQclear(answer.rows);
}

/* ---- writers --------------------------------------------------------------------------------- */

static troupe_status open_writer(tp_pg_store *self, const troupe_store_op *op, uint64_t deadline)
{
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    tp_pg_add_number(&parameters, op->writer);
    tp_pg_answer answer = run(self, TP_PG_OPEN_WRITER, &parameters, deadline);
    if (answer.outcome == TP_PG_LOST)
        return TROUPE_UNKNOWN;
    if (answer.outcome != TP_PG_DONE)
        return tp_pg_status_of(self, &answer);
    bool made = PQntuples(answer.rows) == 1;
    PQclear(answer.rows);
    if (made)
        self->session.writer = op->writer;
    return made ? TROUPE_OK : TROUPE_CONFLICT;
}

static troupe_status close_writers(
    tp_pg_store *self, troupe_store_op *op, bool older, uint64_t deadline)
{
    tp_pg_answer answer = {.outcome = TP_PG_UNSENT};
    for (int i = 0; i < 2; i++) {
        tp_pg_buffer_empty(&self->buffer);
        tp_pg_parameters parameters = {.buffer = &self->buffer};
        tp_pg_add_number(&parameters, op->writer);
        answer = run(self, older ? TP_PG_CLOSE_OLDER : TP_PG_CLOSE_WRITER, &parameters, deadline);
        if (answer.outcome != TP_PG_REFUSED || strcmp(answer.state, "55P03") != 0)
            break;
        tp_pg_buffer_empty(&self->buffer);
        tp_pg_parameters range = {.buffer = &self->buffer};
        tp_pg_add_number(&range, older ? 0 : op->writer);
        tp_pg_add_number(&range, older ? op->writer - 1 : op->writer);
        tp_pg_answer ended = run(self, TP_PG_END_SESSIONS, &range, deadline);
        PQclear(ended.rows);
    }
    if (answer.outcome == TP_PG_LOST)
        return TROUPE_UNKNOWN;
    if (answer.outcome != TP_PG_DONE)
        return tp_pg_status_of(self, &answer);
    op->found = strtoull(PQcmdTuples(answer.rows), NULL, 10);
    PQclear(answer.rows);
    return TROUPE_OK;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static size_t limit_of(const troupe_store_op *op)
{
    size_t limit = op->limit != 0 ? op->limit : DEFAULT_LIMIT;
    return limit < 1000000000 ? limit : 1000000000;
}

static uint64_t positive(uint64_t number)
{
    return number < INT64_MAX ? number : INT64_MAX;
}

/* Which columns of a statement go into an item; -1: none. */
typedef struct shape {
    tp_pg_statement statement;
    int number, time, key, value;
    bool extra; /* one more than the limit was asked for, to know whether there is more */
} shape;

static troupe_status take(
    tp_pg_store *self, troupe_store_op *op, const shape *form, tp_pg_answer answer)
{
    if (answer.outcome != TP_PG_DONE)
        return tp_pg_status_of(self, &answer);
    size_t found = (size_t)PQntuples(answer.rows);
    size_t limit = limit_of(op);
    op->more = form->extra && found > limit;
    if (op->more)
        found = limit;
    troupe_status status = TROUPE_OK;
    for (int i = 0; status == TROUPE_OK && i < (int)found; i++) {
        const PGresult *rows = answer.rows;
        troupe_store_item item = {
            .number = form->number >= 0 ? tp_pg_u64(rows, i, form->number) : 0,
            .time = form->time >= 0 ? tp_pg_u64(rows, i, form->time) : 0,
            .key = form->key >= 0 ? tp_pg_bytes(rows, i, form->key) : (troupe_slice){NULL, 0},
            .value = form->value >= 0 ? tp_pg_bytes(rows, i, form->value) : (troupe_slice){NULL, 0},
        };
        status = troupe_store_add(op, &item);
    }
    PQclear(answer.rows);
    return status;
}

static troupe_status list(tp_pg_store *self, troupe_store_op *op, const shape *form,
    const tp_pg_parameters *parameters, uint64_t deadline)
{
    return take(self, op, form, run(self, form->statement, parameters, deadline));
}

/* The ids of a type: `type/…` and `type@…`, two ranges; of all types: one, and an empty one. */
static void add_type(tp_pg_parameters *to, troupe_slice type)
{
    static const char bounds[] = {'/', '/' + 1, '@', '@' + 1};
    for (size_t i = 0; i < sizeof bounds; i++) {
        tp_pg_begin(to);
        if (type.size != 0) {
            tp_pg_put_bytes(to->buffer, type.data, type.size);
            tp_pg_put_bytes(to->buffer, &bounds[i], 1);
        } else if (i == 1) {
            tp_pg_put_bytes(to->buffer, "\xff", 1); /* behind all names */
        }
        tp_pg_end(to);
    }
}

static troupe_status list_ids(tp_pg_store *self, troupe_store_op *op, uint64_t deadline)
{
    static const shape ids = {TP_PG_LIST_IDS, 1, 2, 0, -1, true};
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    add_type(&parameters, op->type);
    tp_pg_add_bytes(&parameters, op->after);
    tp_pg_add_number(&parameters, limit_of(op) + 1);
    return list(self, op, &ids, &parameters, deadline);
}

static troupe_status list_due(tp_pg_store *self, troupe_store_op *op, uint64_t deadline)
{
    static const shape due = {TP_PG_LIST_DUE, -1, 1, 0, -1, true};
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    tp_pg_add_number(&parameters, positive(op->until));
    tp_pg_add_number(&parameters, op->after.size != 0 ? positive(op->from) : 0);
    tp_pg_add_bytes(&parameters, op->after);
    tp_pg_add_number(&parameters, limit_of(op) + 1);
    return list(self, op, &due, &parameters, deadline);
}

static troupe_status read_events(tp_pg_store *self, const tp_pg_entry *entry, uint64_t deadline)
{
    static const shape events = {TP_PG_READ_EVENTS, 0, 1, 2, 3, true};
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    tp_pg_add_bytes(&parameters, entry->id);
    tp_pg_add_number(&parameters, positive(entry->op->from));
    tp_pg_add_number(&parameters, limit_of(entry->op) + 1);
    return list(self, entry->op, &events, &parameters, deadline);
}

static troupe_status list_snapshots(tp_pg_store *self, const tp_pg_entry *entry, uint64_t deadline)
{
    static const shape snapshots = {TP_PG_LIST_SNAPSHOTS, 0, 1, -1, -1, true};
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    tp_pg_add_bytes(&parameters, entry->id);
    tp_pg_add_number(&parameters, limit_of(entry->op) + 1);
    return list(self, entry->op, &snapshots, &parameters, deadline);
}

static troupe_status read_snapshot(tp_pg_store *self, const tp_pg_entry *entry, uint64_t deadline)
{
    static const shape snapshot = {TP_PG_READ_SNAPSHOT, 0, 1, -1, 2, false};
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    tp_pg_add_bytes(&parameters, entry->id);
    tp_pg_add_number(&parameters, entry->op->from);
    troupe_status status = list(self, entry->op, &snapshot, &parameters, deadline);
    return status == TROUPE_OK && entry->op->items == NULL ? TROUPE_NOT_FOUND : status;
}

enum { PRUNE_LOOKS = 1024 }; /* some milliseconds, in which nobody is served */

/* From where the last call by this rule has stopped, else from the first actor. */
static tp_pg_walk *find_walk(tp_pg_store *self, const troupe_store_op *op)
{
    tp_pg_walk *walk = &self->walk;
    troupe_slice type = {walk->type, walk->type_size};
    if (walk->type_size == 0 || !troupe_slice_equal(type, op->type) || walk->keep != op->keep ||
        walk->by_age != (op->until != 0))
        walk->from_size = 0;
    walk->type_size = op->type.size <= sizeof walk->type ? op->type.size : 0;
    if (walk->type_size != 0)
        memcpy(walk->type, op->type.data, walk->type_size);
    walk->keep = op->keep;
    walk->by_age = op->until != 0;
    return walk;
}

/* A table of all snapshots may be large: a call looks at some of its actors, and the next one goes
 * on behind them. */
static troupe_status prune(tp_pg_store *self, troupe_store_op *op, uint64_t deadline)
{
    tp_pg_walk *walk = find_walk(self, op);
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    add_type(&parameters, op->type);
    tp_pg_add_number(&parameters, positive(op->keep));
    tp_pg_add_number(&parameters, positive(op->until));
    tp_pg_add_number(&parameters, limit_of(op));
    tp_pg_add_bytes(&parameters, troupe_slice_of(walk->from, walk->from_size));
    tp_pg_add_number(&parameters, PRUNE_LOOKS);
    tp_pg_answer answer = run(self, TP_PG_PRUNE, &parameters, deadline);
    if (answer.outcome != TP_PG_DONE)
        return tp_pg_status_of(self, &answer);
    op->found = tp_pg_u64(answer.rows, 0, 0);
    bool all_went = tp_pg_u64(answer.rows, 0, 1) <= op->found;
    bool all_looked_at = tp_pg_u64(answer.rows, 0, 2) < PRUNE_LOOKS;
    op->more = !all_went || !all_looked_at;
    if (all_went) {
        troupe_slice last = tp_pg_bytes(answer.rows, 0, 3);
        walk->from_size = all_looked_at || last.size > sizeof walk->from ? 0 : last.size;
        memcpy(walk->from, last.data, walk->from_size);
    }
    PQclear(answer.rows);
    return TROUPE_OK;
}

static troupe_status tell_ill(troupe_store_op *op, const char *words)
{
    troupe_store_item item = {.value = troupe_str(words)};
    troupe_status status = troupe_store_add(op, &item);
    return status == TROUPE_OK ? TROUPE_UNAVAILABLE : status;
}

static troupe_status look_after(tp_pg_store *self, troupe_store_op *op, uint64_t deadline)
{
    tp_pg_session *session = &self->session;
    tp_pg_parameters parameters = {.buffer = &self->buffer};
    if (session->conn == NULL)
        return tell_ill(op, session->error);
    tp_pg_answer answer = run(self, TP_PG_HEALTH, &parameters, deadline);
    if (answer.outcome != TP_PG_DONE)
        return tell_ill(op, session->error);
    bool read_only = PQgetvalue(answer.rows, 0, 0)[0] != 0;
    bool durable = PQgetvalue(answer.rows, 0, 1)[0] != 0;
    PQclear(answer.rows);
    if (read_only)
        return tell_ill(op, "postgres: the server has become read-only: name the primary");
    if (!durable && !session->weak)
        return tell_ill(op, "postgres: fsync or full_page_writes was turned off: a crash may lose"
                            " what was called done");
    return TROUPE_OK;
}

void tp_pg_query_run(tp_pg_store *self, const tp_pg_entry *entry, uint64_t deadline)
{
    troupe_store_op *op = entry->op;
    tp_pg_buffer_empty(&self->buffer);
    switch (op->kind) {
    case TROUPE_STORE_OPEN_WRITER:
        op->status = open_writer(self, op, deadline);
        break;
    case TROUPE_STORE_CLOSE_WRITER:
        op->status = close_writers(self, op, false, deadline);
        break;
    case TROUPE_STORE_CLOSE_OLDER:
        op->status = close_writers(self, op, true, deadline);
        break;
    case TROUPE_STORE_READ_EVENTS:
        op->status = read_events(self, entry, deadline);
        break;
    case TROUPE_STORE_LIST_SNAPSHOTS:
        op->status = list_snapshots(self, entry, deadline);
        break;
    case TROUPE_STORE_READ_SNAPSHOT:
        op->status = read_snapshot(self, entry, deadline);
        break;
    case TROUPE_STORE_PRUNE:
        op->status = prune(self, op, deadline);
        break;
    case TROUPE_STORE_LIST_IDS:
        op->status = list_ids(self, op, deadline);
        break;
    case TROUPE_STORE_LIST_DUE:
        op->status = list_due(self, op, deadline);
        break;
    case TROUPE_STORE_HEALTH:
        op->status = look_after(self, op, deadline);
        break;
    case TROUPE_STORE_LOAD:
    case TROUPE_STORE_COMMIT:
    default:
        op->status = TROUPE_USAGE;
        break;
    }
}
