/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `sqlite:`: all durable state in one file of this machine, the default of a
 * single node. This file runs groups: each is one transaction, and one sync of the log makes all
 * its commits durable. What an operation does is in sqlite_write.c and sqlite_read.c.
 *
 * A group usually succeeds, so that is what is fast: commits are checked before they write, without
 * savepoints. When a statement fails after all (a damaged page, no memory, no room) the transaction
 * is rolled back, the operation that failed keeps its status, and the others of the group run
 * again; from the second time on with a savepoint around each write.
 *
 * Invariants
 * 1. No operation is answered before the transaction it was part of is committed or rolled back.
 * 2. A COMMIT that failed for want of room has not happened: the log's last frame, which alone
 *    makes a transaction count, was not written whole. After any other failure (a sync that failed)
 *    it may be found when the file is opened next, unless something was written over it; until
 *    then (`in_doubt`) what fails is UNKNOWN. SQLite itself goes on from the state before, so
 *    the same commit sent again settles it.
 *    (sqlite src/wal.c: a frame counts if its checksum, which includes those before it, is right.)
 * 3. The log is moved into the file (checkpoint) after a commit that made it longer than `wal`
 *    pages, and then begins anew: it does not grow while that succeeds.
 *
 * Known defect of SQLite 3.7.0 to 3.51.2 (but 3.44.6+ and 3.50.7+): two connections that write and
 * checkpoint at once may damage the log. Here there is one connection, which has the file for
 * itself.
 *
 * Threads: `run`'s; `hurry` any.
 */
#include "providers/table.h"
#include "providers/sqlite_inside.h"

#include "base/bytes.h"
#include "store/kind.h"

#include <troupe/log.h>

#include <stdio.h>

/* From the so manieth time on each write has a savepoint; then all writes that are left fail. */
#define REDOS_CAREFUL 1
#define REDOS_MOST    8

/* Pages by which the log grows. */
#define LOG_AHEAD 256

const troupe_provider tp_sqlite_provider = {
    sizeof(troupe_provider), TROUPE_API_NUMBER, "sqlite", tp_sqlite_open};

/* ---- statements ---------------------------------------------------------------------------- */

static void note(sqlite_store *self, int code)
{
    if (self->code == SQLITE_OK)
        self->code = code;
}

bool tp_sqlite_next(sqlite_store *self, sqlite_statement name)
{
    if (self->code != SQLITE_OK)
        return false;
    int code = sqlite3_step(self->statements[name]);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        note(self, code);
    return false;
}

void tp_sqlite_reset(sqlite_store *self, sqlite_statement name)
{
    (void)sqlite3_reset(self->statements[name]); /* says again what step said */
}

bool tp_sqlite_execute(sqlite_store *self, sqlite_statement name)
{
    (void)tp_sqlite_next(self, name);
    tp_sqlite_reset(self, name);
    return self->code == SQLITE_OK;
}

/* SQLite's numbers are signed: what is beyond them is as far as they go. */
void tp_sqlite_bind_number(sqlite_store *self, sqlite_statement name, int at, uint64_t value)
{
    sqlite3_int64 number = value > INT64_MAX ? INT64_MAX : (sqlite3_int64)value;
    int code = sqlite3_bind_int64(self->statements[name], at, number);
    if (code != SQLITE_OK)
        note(self, code);
}

void tp_sqlite_bind_bytes(sqlite_store *self, sqlite_statement name, int at, troupe_slice bytes)
{
    const void *data = bytes.size != 0 ? bytes.data : ""; /* NULL would be SQL's NULL */
    int code = sqlite3_bind_blob64(self->statements[name], at, data, bytes.size, SQLITE_STATIC);
    if (code != SQLITE_OK)
        note(self, code);
}

void tp_sqlite_bind_null(sqlite_store *self, sqlite_statement name, int at)
{
    int code = sqlite3_bind_null(self->statements[name], at);
    if (code != SQLITE_OK)
        note(self, code);
}

uint64_t tp_sqlite_number(sqlite_store *self, sqlite_statement name, int column)
{
    return (uint64_t)sqlite3_column_int64(self->statements[name], column);
}

troupe_slice tp_sqlite_bytes(sqlite_store *self, sqlite_statement name, int column)
{
    const void *data = sqlite3_column_blob(self->statements[name], column);
    size_t size = (size_t)sqlite3_column_bytes(self->statements[name], column);
    if (data == NULL && sqlite3_errcode(self->db) == SQLITE_NOMEM)
        note(self, SQLITE_NOMEM);
    return troupe_slice_of(data, data != NULL ? size : 0);
}

troupe_slice tp_sqlite_id(const sqlite_store *self)
{
    return troupe_slice_of(self->id, self->id_size);
}

/* ---- what went wrong ----------------------------------------------------------------------- */

static troupe_status status_of(int code)
{
    switch (code & 0xFF) {
    case SQLITE_OK:
        return TROUPE_OK;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return TROUPE_CORRUPT;
    case SQLITE_NOMEM:
        return TROUPE_NO_MEMORY;
    case SQLITE_TOOBIG:
        return TROUPE_TOO_LARGE;
    default:
        return TROUPE_UNAVAILABLE;
    }
}

static const char *advice_for(int code)
{
    switch (code & 0xFF) {
    case SQLITE_FULL:
        return "make room on the disk; nothing is lost, and it goes on by itself";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "the file is damaged: restore it, or `sqlite3 FILE .recover`";
    case SQLITE_IOERR:
        return "look at the disk and at the system's log";
    case SQLITE_NOMEM:
        return "give the node more memory";
    case SQLITE_READONLY:
        return "let the node write to the file and its folder";
    default:
        return "see the code of SQLite";
    }
}

/* HEALTH has the last words. What concerns the whole store is said when it begins, not each time.
 */
static void complain(sqlite_store *self, int code, const char *what)
{
    bool is_local = status_of(code) != TROUPE_UNAVAILABLE;
    char words[sizeof self->trouble];
    (void)snprintf(words, sizeof words, "%.80s: %s: %s (%d): %s", self->settings.path, what,
        sqlite3_errstr(code), code, advice_for(code));
    if ((is_local || !self->is_failing) && self->host.log != NULL)
        self->host.log(self->host.context, TROUPE_LOG_ERROR, "store_failing", words);
    if (!is_local || status_of(code) == TROUPE_CORRUPT)
        memcpy(self->trouble, words, sizeof words);
    self->is_failing = self->is_failing || !is_local;
}

static void be_well(sqlite_store *self)
{
    self->in_doubt = false;
    self->trouble[0] = '\0';
    if (self->is_failing && self->host.log != NULL)
        self->host.log(
            self->host.context, TROUPE_LOG_INFO, "store_well", "sqlite: commits succeed again");
    self->is_failing = false;
}

/* ---- groups -------------------------------------------------------------------------------- */

/* What a failure of the disk means for it. What only reads has changed nothing. */
static troupe_status failure_of(const sqlite_store *self, const troupe_store_op *op)
{
    return self->in_doubt && tp_store_changes(op) ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE;
}

static void clear(troupe_store_op *op)
{
    troupe_store_release(op);
    op->found = 0;
    op->wake = 0;
    op->more = false;
}

static void settle(sqlite_store *self, troupe_store_op *const *ops, size_t at, troupe_status status)
{
    clear(ops[at]);
    ops[at]->status = status;
    self->settled[at] = true;
}

static void settle_writes(
    sqlite_store *self, troupe_store_op *const *ops, size_t count, troupe_status status)
{
    for (size_t i = 0; i < count; i++)
        if (!self->settled[i] && tp_store_changes(ops[i]))
            settle(self, ops, i, status);
}

/* A statement by itself, whose failure is not the operation's. */
static int bare(sqlite_store *self, sqlite_statement name)
{
    int code = sqlite3_step(self->statements[name]);
    (void)sqlite3_reset(self->statements[name]);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

static void roll_back(sqlite_store *self)
{
    if (!sqlite3_get_autocommit(self->db))
        (void)bare(self, SQL_ROLLBACK);
    self->walk.from_size = 0;
}

/* The operation at `at` failed with self->code. True: the others may go on in this transaction. */
static bool isolate(
    sqlite_store *self, troupe_store_op *const *ops, size_t at, size_t count, bool has_savepoint)
{
    int code = self->code;
    troupe_status status = status_of(code);
    self->code = SQLITE_OK;
    self->writer_known = false;
    complain(self, code, "an operation failed");
    settle(self, ops, at, status == TROUPE_UNAVAILABLE ? failure_of(self, ops[at]) : status);
    if (!sqlite3_get_autocommit(self->db)) {
        if (!tp_store_changes(ops[at]))
            return true;
        if (has_savepoint && bare(self, SQL_UNDO) == SQLITE_OK &&
            bare(self, SQL_RELEASE) == SQLITE_OK)
            return true;
    }
    if (status == TROUPE_UNAVAILABLE || self->redos >= REDOS_MOST)
        settle_writes(self, ops, count, self->in_doubt ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE);
    return false;
}

static bool perform(sqlite_store *self, troupe_store_op *const *ops, size_t at, size_t count)
{
    troupe_store_op *op = ops[at];
    clear(op);
    bool has_savepoint = tp_store_changes(op) && self->redos >= REDOS_CAREFUL &&
                         bare(self, SQL_SAVEPOINT) == SQLITE_OK;
    op->status = tp_store_changes(op) ? tp_sqlite_write(self, op) : tp_sqlite_read(self, op);
    if (self->code != SQLITE_OK)
        return isolate(self, ops, at, count, has_savepoint);
    if (op->status != TROUPE_OK && op->items != NULL && op->kind != TROUPE_STORE_HEALTH)
        troupe_store_release(op);
    if (has_savepoint)
        (void)bare(self, SQL_RELEASE);
    return true;
}

/* What a COMMIT that failed means for its writes: invariant 2. */
static troupe_status outcome_of(sqlite_store *self, int code)
{
    switch (code & 0xFF) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_READONLY:
    case SQLITE_CORRUPT: /* found before anything is written to the log */
        break;
    default: /* also no memory: for the index of what is in the log already */
        self->in_doubt = true;
    }
    return self->in_doubt ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE;
}

/* Runs what is not settled as one transaction. False: something is left to run again. */
static bool attempt(sqlite_store *self, troupe_store_op *const *ops, size_t count)
{
    bool writes = false, reads = false;
    for (size_t i = 0; i < count; i++) {
        if (!self->settled[i])
            *(tp_store_changes(ops[i]) ? &writes : &reads) = true;
    }
    if (!writes && !reads)
        return true;
    self->writer_known = false;
    self->code = SQLITE_OK;
    int code = bare(self, writes ? SQL_BEGIN_WRITE : SQL_BEGIN_READ);
    if (code != SQLITE_OK) {
        complain(self, code, "a transaction does not begin");
        for (size_t i = 0; i < count; i++)
            if (!self->settled[i])
                settle(self, ops, i, failure_of(self, ops[i]));
        roll_back(self);
        return true;
    }
    int changes = sqlite3_total_changes(self->db);
    for (size_t i = 0; i < count; i++) {
        if (!self->settled[i] && !perform(self, ops, i, count)) {
            roll_back(self);
            return false;
        }
    }
    code = bare(self, SQL_COMMIT);
    if (code == SQLITE_OK) {
        if (changes != sqlite3_total_changes(self->db) && (self->in_doubt || self->is_failing))
            be_well(self);
        return true;
    }
    complain(self, code, "a commit failed");
    if ((code & 0xFF) == SQLITE_CORRUPT && self->redos < REDOS_MOST) {
        roll_back(self); /* what met the damage is settled by now: once more without it */
        return false;
    }
    settle_writes(self, ops, count, outcome_of(self, code));
    roll_back(self);
    return !reads;
}

/* ---- the log ------------------------------------------------------------------------------- */

static int on_log_written(void *context, sqlite3 *db, const char *schema, int pages)
{
    sqlite_store *self = context;
    (void)db;
    (void)schema;
    self->wal_pages = (size_t)pages;
    return SQLITE_OK;
}

/* A sync of a file that grew costs several of one that did not (the file system's own log is
 * written too), so the log grows by many pages at once: zeros, which are no frames. Where it grows
 * by large transactions anyway, or there is no room, nothing is done. Only what is beyond the end
 * is written. */
static void extend_log(sqlite_store *self, size_t grown)
{
    static const char zeros[64 * 1024];
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    if (self->wal_pages + LOG_AHEAD / 4 < self->wal_room || grown > LOG_AHEAD / 2)
        return;
    self->wal_room = self->wal_pages + LOG_AHEAD;
    if (sqlite3_file_control(self->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL ||
        file->pMethods->xFileSize(file, &size) != SQLITE_OK)
        return;
    sqlite3_int64 wanted = (sqlite3_int64)(self->wal_room * self->frame_size);
    while (size < wanted) {
        int piece = (int)sizeof zeros;
        if (file->pMethods->xWrite(file, zeros, piece, size) != SQLITE_OK)
            return;
        size += piece;
    }
}

/* Moves the log into the file when it is long. What fails is tried again when the log has grown by
 * as much again: nothing is lost by it. */
static void check_log(sqlite_store *self)
{
    size_t grown = self->wal_pages > self->wal_before ? self->wal_pages - self->wal_before : 0;
    self->wal_before = self->wal_pages;
    if (self->wal_pages < self->settings.wal || self->wal_pages < self->wal_retry) {
        if (grown != 0)
            extend_log(self, grown);
        return;
    }
    int code = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (code == SQLITE_OK) {
        self->wal_pages = 0;
        self->wal_retry = 0;
    } else {
        self->wal_retry = self->wal_pages + self->settings.wal;
        complain(self, code, "the log is not moved into the file (checkpoint)");
    }
}

/* ---- the port ------------------------------------------------------------------------------ */

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    sqlite_store *self = (sqlite_store *)store;
    while (count != 0) {
        size_t piece = count < SQLITE_GROUP ? count : SQLITE_GROUP;
        memset(self->settled, 0, piece);
        for (self->redos = 0; !attempt(self, ops, piece); self->redos++)
            ;
        check_log(self);
        ops += piece;
        count -= piece;
    }
}

/* A group takes milliseconds; only a check of the whole file is worth interrupting. */
static void hurry(troupe_store *store)
{
    sqlite_store *self = (sqlite_store *)store;
    atomic_store(&self->hurried, true);
    if (atomic_load(&self->checking))
        sqlite3_interrupt(self->db);
}

static void close_store(troupe_store *store)
{
    tp_sqlite_destroy((sqlite_store *)store);
}

void tp_sqlite_start(sqlite_store *self)
{
    self->store = (troupe_store){.size = sizeof self->store,
        .promises = self->promises,
        .durable = !self->settings.relaxed,
        .own = true,
        .group = SQLITE_GROUP,
        .run = run,
        .hurry = hurry,
        .close = close_store};
    (void)sqlite3_wal_hook(self->db, on_log_written, self);
}
