/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of durable_turns_sqlite, durable_hot_sqlite, durable_one_sqlite and activate_load_sqlite:
 * SQLite's own interface, prepared statements, one connection that has the file for itself, WAL,
 * synchronous FULL and so a real sync for each transaction, the log moved into the file each 4,000
 * pages: the settings that were best here. Rows have a key of 16 bytes, a version, and 200 bytes.
 *
 *   durable_sqlite [ACTORS [GROUP]]    commits a second: random actors, GROUP for each transaction
 *   durable_sqlite --hot [1 [GROUP]]   the same on one actor
 *   durable_sqlite --one               nanoseconds for a commit that another thread is handed, one
 *                                      at a time (handed.h)
 *   durable_sqlite --load [ACTORS]     gets a second of random rows, GROUP for each transaction
 *
 * The file is in the folder DURABLE_FOLDER, or TMPDIR, or /tmp: a disk, if its syncs are to count.
 *
 * Invariants: what is counted is committed. Threads: main; --one has a second one, which alone uses
 * the connection, and `work` is under the mutex.
 */
#include "handed.h"

#include <sqlite3.h>
#include <unistd.h>

enum { STATE = 200, KEY = 16, LOG_PAGES = 4000 };

#define LOOK_NS 1500000000ull /* a few syncs and checkpoints must be in it */

struct database {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *put, *change, *get;
    char folder[200], path[240];
    uint64_t actors, group, seed;
    int pages; /* of the log */
};

static void need(int code, const struct database *self, const char *what)
{
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW)
        return;
    fprintf(stderr, "limit: %s: %s\n", what, self->db != NULL ? sqlite3_errmsg(self->db) : "?");
    exit(1);
}

static void run(struct database *self, sqlite3_stmt *statement)
{
    need(sqlite3_step(statement), self, "step");
    need(sqlite3_reset(statement), self, "reset");
}

static sqlite3_stmt *prepare(struct database *self, const char *text)
{
    sqlite3_stmt *statement = NULL;
    need(sqlite3_prepare_v3(self->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), self,
        text);
    return statement;
}

static int on_log(void *context, sqlite3 *db, const char *schema, int pages)
{
    (void)db;
    (void)schema;
    ((struct database *)context)->pages = pages;
    return SQLITE_OK;
}

static void end_transaction(struct database *self)
{
    run(self, self->commit);
    if (self->pages < LOG_PAGES)
        return;
    need(sqlite3_wal_checkpoint_v2(self->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), self,
        "checkpoint");
    self->pages = 0;
}

static void make_key(char *key, uint64_t number)
{
    memcpy(key, "account/", KEY - 8);
    for (int i = KEY - 1; i >= KEY - 8; i--, number /= 10)
        key[i] = (char)('0' + number % 10);
}

static void write_row(
    struct database *self, sqlite3_stmt *statement, uint64_t number, uint64_t version)
{
    char key[KEY], state[STATE];
    make_key(key, number);
    memset(state, (int)(version & 0xFF), sizeof state);
    sqlite3_bind_blob(statement, 1, key, KEY, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)version);
    sqlite3_bind_blob(statement, 3, state, STATE, SQLITE_STATIC);
    run(self, statement);
}

static void close_database(struct database *self)
{
    sqlite3_stmt *all[] = {self->begin, self->commit, self->put, self->change, self->get};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sqlite3_finalize(all[i]);
    sqlite3_close(self->db);
    unlink(self->path);
    rmdir(self->folder);
}

static void open_database(struct database *self)
{
    const char *place = getenv("DURABLE_FOLDER");
    if (place == NULL)
        place = getenv("TMPDIR");
    snprintf(self->folder, sizeof self->folder, "%s/durable-sqlite-XXXXXX",
        place != NULL ? place : "/tmp");
    if (mkdtemp(self->folder) == NULL) {
        fprintf(stderr, "limit: no folder %s\n", self->folder);
        exit(LIMIT_SKIPPED);
    }
    snprintf(self->path, sizeof self->path, "%s/raw.db", self->folder);
    need(sqlite3_open_v2(self->path, &self->db,
             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL),
        self, "open");
    need(sqlite3_exec(self->db,
             "PRAGMA locking_mode = EXCLUSIVE; PRAGMA secure_delete = OFF;"
             "PRAGMA cache_size = -65536; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
             "PRAGMA wal_autocheckpoint = 0;"
             "CREATE TABLE actor(id BLOB PRIMARY KEY, version INTEGER, state BLOB) WITHOUT ROWID",
             NULL, NULL, NULL),
        self, "settings");
    sqlite3_wal_hook(self->db, on_log, self);
    self->begin = prepare(self, "BEGIN IMMEDIATE");
    self->commit = prepare(self, "COMMIT");
    self->put = prepare(self, "INSERT INTO actor(id, version, state) VALUES(?1, ?2, ?3)");
    self->change = prepare(self, "UPDATE actor SET version = ?2, state = ?3 WHERE id = ?1");
    self->get = prepare(self, "SELECT version, state FROM actor WHERE id = ?1");
    run(self, self->begin);
    for (uint64_t i = 0; i < self->actors; i++)
        write_row(self, self->put, i, 1);
    end_transaction(self);
    /* A log that grows is synced more slowly than one that is written over: each measurement begins
     * after the first checkpoint. */
    need(sqlite3_exec(self->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), self, "settings");
    for (uint64_t version = 2; self->pages != 0; version++) {
        run(self, self->begin);
        write_row(self, self->change, 0, version);
        end_transaction(self);
    }
    need(sqlite3_exec(self->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL), self, "settings");
}

/* Returns commits a second. */
static double measure_turns(struct database *self)
{
    uint64_t done = 0, start = limit_now_ns(), end;
    do {
        run(self, self->begin);
        for (uint64_t i = 0; i < self->group; i++, done++)
            write_row(self, self->change, limit_random(&self->seed) % self->actors, done + 2);
        end_transaction(self);
        end = limit_now_ns();
    } while (end - start < LOOK_NS);
    return (double)done * 1e9 / (double)(end - start);
}

static double measure_loads(struct database *self)
{
    uint64_t done = 0, sum = 0, start = limit_now_ns(), end;
    char key[KEY], state[STATE];
    do {
        for (uint64_t i = 0; i < self->group; i++, done++) {
            make_key(key, limit_random(&self->seed) % self->actors);
            sqlite3_bind_blob(self->get, 1, key, KEY, SQLITE_STATIC);
            need(sqlite3_step(self->get), self, "get");
            sum += (uint64_t)sqlite3_column_int64(self->get, 0);
            memcpy(state, sqlite3_column_blob(self->get, 1), STATE);
            char *used = state;
            LIMIT_OPAQUE(used);
            sqlite3_reset(self->get);
        }
        end = limit_now_ns();
    } while (end - start < LOOK_NS);
    if (sum < done) /* versions begin at 1 */
        exit(1);
    return (double)done * 1e9 / (double)(end - start);
}

static void commit_one(void *user, uint64_t number)
{
    struct database *self = user;
    run(self, self->begin);
    write_row(self, self->change, 0, number);
    end_transaction(self);
}

static bool has(int argc, char **argv, const char *flag)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    bool one = has(argc, argv, "--one"), hot = has(argc, argv, "--hot");
    struct database database = {
        .actors = limit_argument(argc, argv, 0, one || hot ? 1 : 10000),
        .group = limit_argument(argc, argv, 1, 1000),
    };
    open_database(&database);
    const char *name = "durable_turns_sqlite", *unit = "1/s";
    double value, orientation = 0;
    if (one) {
        name = "durable_one_sqlite";
        unit = "ns";
        value = limit_handed(commit_one, &database, LOOK_NS);
    } else if (has(argc, argv, "--load")) {
        name = "activate_load_sqlite";
        value = measure_loads(&database);
    } else {
        name = hot ? "durable_hot_sqlite" : name;
        orientation = hot ? 0 : 51000;
        value = measure_turns(&database);
    }
    close_database(&database);
    return limit_report(argc, argv, name, value, unit, orientation);
}
