/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the storage provider `sqlite:` share: the open store, its prepared statements
 * and the steps of an operation. Not for others: they see providers/table.h.
 *
 *     sqlite.c        groups: a transaction for each, what becomes of it when a part fails
 *     sqlite_open.c   URL, lock, settings, format
 *     sqlite_write.c  writers, commits, pruning
 *     sqlite_read.c   loads, lists, events, snapshots, health
 *
 * Invariants: 1. `code` is OK, or the first SQLite error of the operation at hand. 2. Every
 * statement is reset when an operation ends, and all its parameters are bound anew by the next.
 * Threads: `run`'s, but for `checking` and `hurried`.
 */
#ifndef TP_PROVIDERS_SQLITE_INSIDE_H
#define TP_PROVIDERS_SQLITE_INSIDE_H

#include "base/limits.h"

#include <troupe/provider.h>

#include <sqlite3.h>
#include <stdatomic.h>

#define SQLITE_GROUP 1024u
#define SQLITE_LIMIT 1000u /* of what a list finds, where the operation says none */
/* What `flags` of an actor says. ROWS: it may have rows; without it a load need not look. */
#define SQLITE_ERASED 1
#define SQLITE_ROWS   2

/* X(NAME, "text") */
#define SQLITE_STATEMENTS(X)                                                                     \
    X(BEGIN_READ, "BEGIN")                                                                       \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                            \
    X(COMMIT, "COMMIT")                                                                          \
    X(ROLLBACK, "ROLLBACK")                                                                      \
    X(SAVEPOINT, "SAVEPOINT one")                                                                \
    X(RELEASE, "RELEASE one")                                                                    \
    X(UNDO, "ROLLBACK TO one")                                                                   \
    X(FIND_WRITER, "SELECT open FROM writer WHERE number = ?1")                                  \
    X(OPEN_WRITER, "INSERT INTO writer(number, open) VALUES(?1, 1) ON CONFLICT DO NOTHING")      \
    X(CLOSE_WRITER, "INSERT INTO writer(number, open) VALUES(?1, 0) "                            \
                    "ON CONFLICT(number) DO UPDATE SET open = 0")                                \
    X(CLOSE_OLDER, "UPDATE writer SET open = 0 WHERE number < ?1 AND open = 1")                  \
    X(FIND_ACTOR, "SELECT version, events, event_time FROM actor WHERE id = ?1")                 \
    X(CREATE, "INSERT INTO actor(id, version, wake, time, flags, events, event_time, state) "    \
              "VALUES(?1, 1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING")                    \
    X(SAVE, "UPDATE actor SET version = ?2 + 1, wake = ?3, time = ?4, "                          \
            "flags = (flags & ?5) | ?6, state = ?7 WHERE id = ?1 AND version = ?2")              \
    X(SAVE_STILL, "UPDATE actor SET version = ?2 + 1, time = ?3, flags = (flags & ?4) | ?5, "    \
                  "state = ?6 WHERE id = ?1 AND version = ?2 AND wake = 0")                      \
    X(TOUCH, "UPDATE actor SET version = ?2 + 1, wake = ?3, time = ?4, "                         \
             "flags = (flags & ?5) | ?6, events = ?7, event_time = ?8 "                          \
             "WHERE id = ?1 AND version = ?2")                                                   \
    X(STAY, "UPDATE actor SET version = ?2 + 1, wake = ?3, time = ?4, "                          \
            "flags = (flags & ?5) | ?6 WHERE id = ?1 AND version = ?2")                          \
    X(ADVANCE, "UPDATE actor SET events = ?2, event_time = ?3 WHERE id = ?1")                    \
    X(PUT_ROW, "INSERT OR REPLACE INTO row(id, kind, key, value) VALUES(?1, ?2, ?3, ?4)")        \
    X(REMOVE_ROW, "DELETE FROM row WHERE id = ?1 AND kind = ?2 AND key = ?3")                    \
    X(PUT_EVENT, "INSERT INTO event(id, position, time, name, payload) "                         \
                 "VALUES(?1, ?2, ?3, ?4, ?5)")                                                   \
    X(PUT_SNAPSHOT, "INSERT OR REPLACE INTO snapshot(id, version, time, state) "                 \
                    "VALUES(?1, ?2, ?3, ?4)")                                                    \
    X(ERASE_ROWS, "DELETE FROM row WHERE id = ?1")                                               \
    X(ERASE_EVENTS, "DELETE FROM event WHERE id = ?1")                                           \
    X(ERASE_SNAPSHOTS, "DELETE FROM snapshot WHERE id = ?1")                                     \
    X(LOAD, "SELECT version, wake, flags, state, time FROM actor WHERE id = ?1")                 \
    X(LOAD_ROWS, "SELECT kind, key, value FROM row WHERE id = ?1")                               \
    X(READ_EVENTS, "SELECT position, time, name, payload FROM event "                            \
                   "WHERE id = ?1 AND position >= ?2 ORDER BY position LIMIT ?3")                \
    X(LIST_SNAPSHOTS, "SELECT version, time FROM snapshot "                                      \
                      "WHERE id = ?1 ORDER BY version DESC LIMIT ?2")                            \
    X(READ_SNAPSHOT, "SELECT version, time, state FROM snapshot WHERE id = ?1 AND version = ?2") \
    X(LIST_IDS, "SELECT id, version, time FROM actor WHERE id > ?1 AND id < ?2 "                 \
                "AND flags & 1 = 0 ORDER BY id LIMIT ?3")                                        \
    X(LIST_DUE, "SELECT id, wake FROM actor WHERE wake <> 0 AND wake <= ?1 "                     \
                "AND (wake, id) > (?2, ?3) ORDER BY wake, id LIMIT ?4")                          \
    X(WALK_SNAPSHOTS, "SELECT id, version, time FROM snapshot WHERE id >= ?1 AND id < ?2 "       \
                      "ORDER BY id, version DESC")                                               \
    X(PRUNE, "DELETE FROM snapshot WHERE id = ?1 AND version = ?2")

typedef enum sqlite_statement {
#define SQLITE_STATEMENT_NAME(name, text) SQL_##name,
    SQLITE_STATEMENTS(SQLITE_STATEMENT_NAME)
#undef SQLITE_STATEMENT_NAME
        SQL_COUNT
} sqlite_statement;

/* What the URL asks for. */
typedef struct sqlite_settings {
    char path[1024];
    char vfs[64];   /* empty: the system's */
    bool relaxed;   /* synchronous NORMAL: accept=not-P5 */
    uint64_t cache; /* bytes of the page cache */
    uint64_t wal;   /* pages of the log after which they are moved into the file */
    uint64_t page;  /* bytes of a page, of a new file */
} sqlite_settings;

/* Where a walk over snapshots that stopped at its limit goes on. */
typedef struct sqlite_walk {
    char from[TP_ID_MAX];
    size_t from_size; /* 0: from the first */
    char type[TP_NAME_MAX];
    size_t type_size;
    uint64_t keep;
    bool by_age;
} sqlite_walk;

typedef struct sqlite_store {
    troupe_store store;
    troupe_store_host host;
    sqlite_settings settings;
    char promises[256];

    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    sqlite3_vfs *vfs;
    sqlite3_file *lock; /* the lock file, held; NULL: none */
    const char *lock_name;

    /* The group at hand. */
    bool settled[SQLITE_GROUP];
    unsigned redos;
    bool writer_known; /* `writer_open` is that of `writer` */
    bool writer_open;
    uint64_t writer;
    char id[TP_ID_MAX + 1]; /* the operation's */
    size_t id_size;
    int code;

    /* A commit of the log failed, and nothing was written over it since: it may yet be found by
     * the next open. */
    bool in_doubt;
    size_t wal_pages;  /* of the log, when the last transaction ended */
    size_t wal_before; /* and the one before it */
    size_t wal_room;   /* pages that the log's file has room for, as far as known */
    size_t frame_size; /* bytes of a page in the log */
    size_t wal_retry;  /* after a checkpoint that failed: not before so many */
    bool is_failing;   /* said so in the log */
    char trouble[200]; /* the last one, for HEALTH; empty: none since the last write */
    sqlite_walk walk;
    _Atomic bool checking; /* a long check runs, which `hurry` may interrupt */
    _Atomic bool hurried;
} sqlite_store;

/* ---- statements (sqlite.c) */
/* Runs a statement that finds nothing. False: `code` says why. */
bool tp_sqlite_execute(sqlite_store *self, sqlite_statement name);
/* The next row is there? False at the end and after an error (`code`). Reset it in the end. */
bool tp_sqlite_next(sqlite_store *self, sqlite_statement name);
void tp_sqlite_reset(sqlite_store *self, sqlite_statement name);
void tp_sqlite_bind_number(sqlite_store *self, sqlite_statement name, int at, uint64_t value);
void tp_sqlite_bind_bytes(sqlite_store *self, sqlite_statement name, int at, troupe_slice bytes);
void tp_sqlite_bind_null(sqlite_store *self, sqlite_statement name, int at);
uint64_t tp_sqlite_number(sqlite_store *self, sqlite_statement name, int column);
troupe_slice tp_sqlite_bytes(sqlite_store *self, sqlite_statement name, int column);
troupe_slice tp_sqlite_id(const sqlite_store *self);

/* ---- opening (sqlite_open.c) */
troupe_status tp_sqlite_open(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size);
/* Also of a store that did not open all the way. */
void tp_sqlite_destroy(sqlite_store *self);
/* Fills in the vtable. */
void tp_sqlite_start(sqlite_store *self);

/* ---- operations: the status of each, unless `code` is set */
troupe_status tp_sqlite_write(sqlite_store *self, troupe_store_op *op);
troupe_status tp_sqlite_read(sqlite_store *self, troupe_store_op *op);
/* The two ranges of ids that a type has, both open at the ends: type/…, type@…/…. Texts of
 * TP_NAME_MAX + 1 bytes. */
size_t tp_sqlite_range(troupe_slice type, bool second, char *low, char *high);

#endif
