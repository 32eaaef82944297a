/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the storage provider `sqlite:` writes: writer rows, actor commits, pruning. Called by
 * sqlite.c inside the transaction of a group.
 *
 * Invariants
 * 1. A commit that will be refused (sizes, writer, version) has written nothing: the actor's row,
 *    which holds the version, is written first, on condition of the version.
 * 2. A status other than OK comes without a change, or with `code` set.
 *
 * Threads: run's.
 */
#include "providers/sqlite_inside.h"

/* SQLite's own limit of a row is 10^9 bytes; what is beside the bytes fits in the rest. */
#define VALUE_MAX   UINT64_C(999000000)
#define ROW_KEY_MAX 1200

/* A walk over snapshots looks at so many for each that it may remove. */
#define LOOKS 16

/* Keeps the order of all 64 bits. */
static void bind_writer(sqlite_store *self, sqlite_statement name, uint64_t writer)
{
    int64_t number = (int64_t)(writer ^ (UINT64_C(1) << 63));
    (void)sqlite3_bind_int64(self->statements[name], 1, number);
}

/* ---- writers ------------------------------------------------------------------------------- */

static troupe_status open_writer(sqlite_store *self, troupe_store_op *op)
{
    self->writer_known = false;
    bind_writer(self, SQL_OPEN_WRITER, op->writer);
    if (!tp_sqlite_execute(self, SQL_OPEN_WRITER))
        return TROUPE_UNAVAILABLE;
    return sqlite3_changes(self->db) == 1 ? TROUPE_OK : TROUPE_CONFLICT;
}

static troupe_status close_writer(sqlite_store *self, troupe_store_op *op, sqlite_statement name)
{
    self->writer_known = false;
    bind_writer(self, name, op->writer);
    if (!tp_sqlite_execute(self, name))
        return TROUPE_UNAVAILABLE;
    if (name == SQL_CLOSE_OLDER)
        op->found = (uint64_t)sqlite3_changes(self->db);
    return TROUPE_OK;
}

/* Asked once for each run of commits by the same writer. */
static bool writer_is_open(sqlite_store *self, uint64_t writer)
{
    if (!self->writer_known || self->writer != writer) {
        bind_writer(self, SQL_FIND_WRITER, writer);
        self->writer_open = tp_sqlite_next(self, SQL_FIND_WRITER) &&
                            tp_sqlite_number(self, SQL_FIND_WRITER, 0) != 0;
        tp_sqlite_reset(self, SQL_FIND_WRITER);
        self->writer = writer;
        self->writer_known = self->code == SQLITE_OK;
    }
    return self->writer_open;
}

/* ---- a commit ------------------------------------------------------------------------------ */

/* The journal of the actor: the last event there is. */
typedef struct tail {
    uint64_t position;
    uint64_t time;
} tail;

static troupe_status check_sizes(const troupe_store_commit *commit)
{
    if (commit->state.size > VALUE_MAX)
        return TROUPE_TOO_LARGE;
    for (size_t i = 0; i < commit->row_count; i++) {
        if (commit->rows[i].key.size == 0)
            return TROUPE_USAGE;
        if (commit->rows[i].key.size > ROW_KEY_MAX || commit->rows[i].value.size > VALUE_MAX)
            return TROUPE_TOO_LARGE;
    }
    for (size_t i = 0; i < commit->event_count; i++) {
        if (commit->events[i].name.size > VALUE_MAX ||
            commit->events[i].payload.size > VALUE_MAX - commit->events[i].name.size)
            return TROUPE_TOO_LARGE;
    }
    return TROUPE_OK;
}

/* The stored version; 0: none. */
static uint64_t find_actor(sqlite_store *self, tail *ret_tail)
{
    uint64_t version = 0;
    tp_sqlite_bind_bytes(self, SQL_FIND_ACTOR, 1, tp_sqlite_id(self));
    if (tp_sqlite_next(self, SQL_FIND_ACTOR)) {
        version = tp_sqlite_number(self, SQL_FIND_ACTOR, 0);
        *ret_tail = (tail){
            tp_sqlite_number(self, SQL_FIND_ACTOR, 1), tp_sqlite_number(self, SQL_FIND_ACTOR, 2)};
    }
    tp_sqlite_reset(self, SQL_FIND_ACTOR);
    return version;
}

static bool puts_rows(const troupe_store_commit *commit)
{
    for (size_t i = 0; i < commit->row_count; i++)
        if (!commit->rows[i].remove)
            return true;
    return false;
}

static void bind_state(
    sqlite_store *self, sqlite_statement name, int at, const troupe_store_commit *commit)
{
    if (commit->has_state)
        tp_sqlite_bind_bytes(self, name, at, commit->state);
    else
        tp_sqlite_bind_null(self, name, at);
}

/* The bits of `flags` that stay, and those that come. */
typedef struct flags {
    uint64_t stay;
    uint64_t come;
} flags;

static flags flags_of(const troupe_store_commit *commit)
{
    flags change = {commit->erase ? 0 : SQLITE_ROWS, 0};
    if (puts_rows(commit))
        change.come = SQLITE_ROWS;
    else if (commit->erase && !commit->has_state && commit->event_count == 0)
        change.come = SQLITE_ERASED;
    return change;
}

/* The most frequent commit by far: a state, no alarm before or after, so no index is touched. */
static bool save_still(sqlite_store *self, const troupe_store_op *op, flags change)
{
    const troupe_store_commit *commit = &op->commit;
    tp_sqlite_bind_bytes(self, SQL_SAVE_STILL, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_SAVE_STILL, 2, op->version);
    tp_sqlite_bind_number(self, SQL_SAVE_STILL, 3, commit->time);
    tp_sqlite_bind_number(self, SQL_SAVE_STILL, 4, change.stay);
    tp_sqlite_bind_number(self, SQL_SAVE_STILL, 5, change.come);
    tp_sqlite_bind_bytes(self, SQL_SAVE_STILL, 6, commit->state);
    return tp_sqlite_execute(self, SQL_SAVE_STILL) && sqlite3_changes(self->db) == 1;
}

static bool create_actor(
    sqlite_store *self, const troupe_store_commit *commit, flags change, tail end)
{
    tp_sqlite_bind_bytes(self, SQL_CREATE, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_CREATE, 2, commit->wake);
    tp_sqlite_bind_number(self, SQL_CREATE, 3, commit->time);
    tp_sqlite_bind_number(self, SQL_CREATE, 4, change.come);
    tp_sqlite_bind_number(self, SQL_CREATE, 5, end.position);
    tp_sqlite_bind_number(self, SQL_CREATE, 6, end.time);
    bind_state(self, SQL_CREATE, 7, commit);
    return tp_sqlite_execute(self, SQL_CREATE) && sqlite3_changes(self->db) == 1;
}

/* Writes the actor's row if the version is the stored one. False: it is not, or `code`. `end` is
 * the journal's tail after the commit; it counts only if the commit has events. */
static bool write_actor(sqlite_store *self, const troupe_store_op *op, tail end)
{
    const troupe_store_commit *commit = &op->commit;
    flags change = flags_of(commit);
    if (op->version == 0)
        return create_actor(self, commit, change, end);
    bool has_events = commit->event_count != 0;
    bool puts_state = commit->has_state || commit->erase;
    if (commit->has_state && commit->wake == 0 && !has_events && save_still(self, op, change))
        return true;
    sqlite_statement name = !puts_state && has_events ? SQL_TOUCH
                            : puts_state              ? SQL_SAVE
                                                      : SQL_STAY;
    tp_sqlite_bind_bytes(self, name, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, name, 2, op->version);
    tp_sqlite_bind_number(self, name, 3, commit->wake);
    tp_sqlite_bind_number(self, name, 4, commit->time);
    tp_sqlite_bind_number(self, name, 5, change.stay);
    tp_sqlite_bind_number(self, name, 6, change.come);
    if (name == SQL_SAVE) {
        bind_state(self, name, 7, commit);
    } else if (name == SQL_TOUCH) {
        tp_sqlite_bind_number(self, name, 7, end.position);
        tp_sqlite_bind_number(self, name, 8, end.time);
    }
    if (!tp_sqlite_execute(self, name) || sqlite3_changes(self->db) != 1)
        return false;
    if (!has_events || name == SQL_TOUCH)
        return true;
    tp_sqlite_bind_bytes(self, SQL_ADVANCE, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_ADVANCE, 2, end.position);
    tp_sqlite_bind_number(self, SQL_ADVANCE, 3, end.time);
    return tp_sqlite_execute(self, SQL_ADVANCE);
}

static void erase(sqlite_store *self)
{
    static const sqlite_statement all[] = {SQL_ERASE_ROWS, SQL_ERASE_EVENTS, SQL_ERASE_SNAPSHOTS};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tp_sqlite_bind_bytes(self, all[i], 1, tp_sqlite_id(self));
        if (!tp_sqlite_execute(self, all[i]))
            return;
    }
}

static void write_rows(sqlite_store *self, const troupe_store_commit *commit)
{
    for (size_t i = 0; i < commit->row_count && self->code == SQLITE_OK; i++) {
        const troupe_store_row *row = &commit->rows[i];
        sqlite_statement name = row->remove ? SQL_REMOVE_ROW : SQL_PUT_ROW;
        tp_sqlite_bind_bytes(self, name, 1, tp_sqlite_id(self));
        tp_sqlite_bind_number(self, name, 2, row->kind);
        tp_sqlite_bind_bytes(self, name, 3, row->key);
        if (!row->remove)
            tp_sqlite_bind_bytes(self, name, 4, row->value);
        (void)tp_sqlite_execute(self, name);
    }
}

/* `at` is the tail before the commit. */
static void write_events(sqlite_store *self, const troupe_store_commit *commit, tail at)
{
    for (size_t i = 0; i < commit->event_count && self->code == SQLITE_OK; i++) {
        const troupe_store_event *event = &commit->events[i];
        at.position++;
        at.time = at.time >= commit->time ? at.time + 1 : commit->time;
        tp_sqlite_bind_bytes(self, SQL_PUT_EVENT, 1, tp_sqlite_id(self));
        tp_sqlite_bind_number(self, SQL_PUT_EVENT, 2, at.position);
        tp_sqlite_bind_number(self, SQL_PUT_EVENT, 3, at.time);
        tp_sqlite_bind_bytes(self, SQL_PUT_EVENT, 4, event->name);
        tp_sqlite_bind_bytes(self, SQL_PUT_EVENT, 5, event->payload);
        (void)tp_sqlite_execute(self, SQL_PUT_EVENT);
    }
}

static void write_snapshot(sqlite_store *self, const troupe_store_op *op)
{
    tp_sqlite_bind_bytes(self, SQL_PUT_SNAPSHOT, 1, tp_sqlite_id(self));
    tp_sqlite_bind_number(self, SQL_PUT_SNAPSHOT, 2, op->version + 1);
    tp_sqlite_bind_number(self, SQL_PUT_SNAPSHOT, 3, op->commit.time);
    tp_sqlite_bind_bytes(self, SQL_PUT_SNAPSHOT, 4, op->commit.state);
    (void)tp_sqlite_execute(self, SQL_PUT_SNAPSHOT);
}

static tail tail_after(tail before, const troupe_store_commit *commit)
{
    if (commit->event_count == 0)
        return before;
    uint64_t first = before.time >= commit->time ? before.time + 1 : commit->time;
    return (tail){before.position + commit->event_count, first + commit->event_count - 1};
}

static troupe_status commit_actor(sqlite_store *self, troupe_store_op *op)
{
    const troupe_store_commit *commit = &op->commit;
    troupe_status status = check_sizes(commit);
    if (status != TROUPE_OK)
        return status;
    if (!writer_is_open(self, op->writer)) {
        tail unused;
        op->found = find_actor(self, &unused);
        return TROUPE_CLOSED;
    }
    tail before = {0, 0};
    bool is_other = commit->event_count != 0 && find_actor(self, &before) != op->version;
    if (is_other || !write_actor(self, op, tail_after(before, commit))) {
        op->found = find_actor(self, &before);
        return TROUPE_CONFLICT;
    }
    if (commit->erase)
        erase(self);
    write_rows(self, commit);
    write_events(self, commit, before);
    if (commit->snapshot && commit->has_state)
        write_snapshot(self, op);
    op->found = op->version + 1;
    return TROUPE_OK;
}

/* ---- pruning ------------------------------------------------------------------------------- */

/* One call's work: it removes `limit`, and looks at `looks`, give or take an actor's. */
typedef struct pruning {
    troupe_store_op *op;
    size_t limit;
    size_t looks;
    char last[TP_ID_MAX]; /* the actor at hand */
    size_t last_size;
    uint64_t rank; /* of the snapshot at hand among its actor's: the newest is 0 */
} pruning;

static bool must_go(const pruning *self, uint64_t time)
{
    const troupe_store_op *op = self->op;
    if (self->rank == 0)
        return false;
    return (op->keep != 0 && self->rank >= op->keep) || (op->until != 0 && time < op->until);
}

/* Looks at the row that the walk found. False: the walk stops, at `last`. */
static bool prune_one(sqlite_store *self, pruning *at)
{
    troupe_slice id = tp_sqlite_bytes(self, SQL_WALK_SNAPSHOTS, 0);
    if (id.size > sizeof at->last)
        return true; /* none of ours */
    if (!troupe_slice_equal(id, troupe_slice_of(at->last, at->last_size))) {
        memcpy(at->last, id.data, id.size);
        at->last_size = id.size;
        at->rank = 0;
        at->op->more = at->looks == 0;
        if (at->op->more)
            return false;
    }
    at->looks -= at->looks != 0;
    if (must_go(at, tp_sqlite_number(self, SQL_WALK_SNAPSHOTS, 2))) {
        at->op->more = at->op->found == at->limit;
        if (at->op->more)
            return false;
        tp_sqlite_bind_bytes(self, SQL_PRUNE, 1, troupe_slice_of(at->last, at->last_size));
        tp_sqlite_bind_number(self, SQL_PRUNE, 2, tp_sqlite_number(self, SQL_WALK_SNAPSHOTS, 1));
        if (!tp_sqlite_execute(self, SQL_PRUNE))
            return false;
        at->op->found++;
    }
    at->rank++;
    return true;
}

static void prune_range(sqlite_store *self, pruning *at, bool second)
{
    char low[TP_NAME_MAX + 1], high[TP_NAME_MAX + 1];
    size_t size = tp_sqlite_range(at->op->type, second, low, high);
    troupe_slice begin = troupe_slice_of(low, size);
    const sqlite_walk *walk = &self->walk;
    if (walk->from_size > size && memcmp(walk->from, low, size) == 0)
        begin = troupe_slice_of(walk->from, walk->from_size);
    else if (walk->from_size != 0 && !second)
        return; /* it is in the second range already */
    tp_sqlite_bind_bytes(self, SQL_WALK_SNAPSHOTS, 1, begin);
    tp_sqlite_bind_bytes(self, SQL_WALK_SNAPSHOTS, 2, troupe_slice_of(high, size));
    while (tp_sqlite_next(self, SQL_WALK_SNAPSHOTS) && prune_one(self, at))
        ;
    tp_sqlite_reset(self, SQL_WALK_SNAPSHOTS);
}

/* The next call by the same rule goes on where this one stops, so that the actors before are not
 * looked at again. */
static troupe_status prune(sqlite_store *self, troupe_store_op *op)
{
    if (op->type.size == 0 || op->type.size > TP_NAME_MAX)
        return TROUPE_USAGE;
    sqlite_walk *walk = &self->walk;
    bool is_same = troupe_slice_equal(op->type, troupe_slice_of(walk->type, walk->type_size)) &&
                   walk->keep == op->keep && walk->by_age == (op->until != 0);
    if (!is_same) {
        memcpy(walk->type, op->type.data, op->type.size);
        walk->type_size = op->type.size;
        walk->keep = op->keep;
        walk->by_age = op->until != 0;
        walk->from_size = 0;
    }
    size_t limit = op->limit != 0 ? op->limit : SQLITE_LIMIT;
    pruning at = {.op = op, .limit = limit, .looks = limit * LOOKS};
    prune_range(self, &at, false);
    if (self->code == SQLITE_OK && !op->more)
        prune_range(self, &at, true);
    walk->from_size = op->more ? at.last_size : 0;
    memcpy(walk->from, at.last, walk->from_size);
    return TROUPE_OK;
}

troupe_status tp_sqlite_write(sqlite_store *self, troupe_store_op *op)
{
    switch (op->kind) {
    case TROUPE_STORE_OPEN_WRITER:
        return open_writer(self, op);
    case TROUPE_STORE_CLOSE_WRITER:
        return close_writer(self, op, SQL_CLOSE_WRITER);
    case TROUPE_STORE_CLOSE_OLDER:
        return close_writer(self, op, SQL_CLOSE_OLDER);
    case TROUPE_STORE_PRUNE:
        return prune(self, op);
    default:
        break;
    }
    self->id_size = troupe_id_print(op->id, self->id, sizeof self->id);
    if (self->id_size >= sizeof self->id)
        return TROUPE_USAGE;
    return commit_actor(self, op);
}
