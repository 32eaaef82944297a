/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the storage provider `sqlite:` opens its file: the URL, the lock, SQLite's settings, each
 * checked after it was set, and the format.
 *
 *     sqlite:PATH[?accept=not-P5&cache=MIB&log=PAGES&page=BYTES&vfs=NAME]      also sqlite:///PATH
 *
 * accept=not-P5 is synchronous NORMAL: what is stored survives the end of the process, but the
 * newest of it not the end of the machine. In PATH %XX is a byte.
 *
 * Beside PATH there are PATH-wal, the log, and PATH-lock, which holds the lock and the number of
 * the process that has it. The kernel takes the lock from a process that ends, so the file may
 * stay. SQLite's own lock on PATH is held too, against programs that know nothing of ours; it is
 * lost if this process opens and closes PATH by itself, and ours is not.
 *
 * Invariants
 * 1. All files are reached through an sqlite3_vfs, so a simulated one sees everything.
 * 2. A format is changed in one transaction, by `steps`, which are never edited, only added to.
 * 3. What the log had from before is written anew and synced once SQLite has its lock, then moved
 *    into the file: a part of it whose sync failed is then as durable as the rest. A sync alone is
 *    not enough: after one that failed systems call the pages clean, and the next one does nothing
 *    (Rebello et al., Can Applications Recover from fsync Failures?, USENIX ATC 2020).
 *
 * Threads: the one that opens the node.
 */
#include "providers/sqlite_inside.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define APPLICATION   0x54727065 /* "Trpe" */
#define CACHE_DEFAULT (UINT64_C(64) << 20)
#define LOG_DEFAULT   4000
#define LOG_PIECE     ((size_t)64 << 10) /* SQLite writes no more than 128 KiB - 1 at once */
#define LOG_KEPT      "67108864" /* bytes of the log that stay when it begins anew */

/* From format n to n + 1. */
static const char *const steps[] = {
    "CREATE TABLE writer(number INTEGER PRIMARY KEY, open INTEGER NOT NULL);"
    /* events: how many there ever were, the position of the last; event_time: its time */
    "CREATE TABLE actor(id BLOB NOT NULL PRIMARY KEY, version INTEGER NOT NULL,"
    " wake INTEGER NOT NULL, time INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " events INTEGER NOT NULL, event_time INTEGER NOT NULL, state BLOB) WITHOUT ROWID;"
    "CREATE INDEX actor_wake ON actor(wake, id) WHERE wake <> 0;"
    "CREATE TABLE row(id BLOB NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL,"
    " value BLOB NOT NULL, PRIMARY KEY(id, kind, key)) WITHOUT ROWID;"
    "CREATE TABLE event(id BLOB NOT NULL, position INTEGER NOT NULL, time INTEGER NOT NULL,"
    " name BLOB NOT NULL, payload BLOB NOT NULL, PRIMARY KEY(id, position)) WITHOUT ROWID;"
    "CREATE TABLE snapshot(id BLOB NOT NULL, version INTEGER NOT NULL, time INTEGER NOT NULL,"
    " state BLOB NOT NULL, PRIMARY KEY(id, version DESC)) WITHOUT ROWID;",
};
#define FORMAT ((int64_t)(sizeof steps / sizeof steps[0]))

/* What an opening knows; `error` has the words when its status is not OK. */
typedef struct opening {
    sqlite_store *self;
    char *error;
    size_t error_size;
    char path[1100]; /* absolute */
} opening;

#define FAIL(at, status, ...) ((void)snprintf((at)->error, (at)->error_size, __VA_ARGS__), (status))

/* ---- the URL ------------------------------------------------------------------------------- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static troupe_status take_path(opening *at, const char *text, size_t size)
{
    char *out = at->self->settings.path;
    size_t room = sizeof at->self->settings.path, length = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_of(text[i + 1]) : -1;
            int low = i + 2 < size ? hex_of(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                return FAIL(at, TROUPE_USAGE,
                    "sqlite: in the path of a URL %% begins two hexadecimal digits, %%25 is %%");
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (length + 1 >= room)
            return FAIL(at, TROUPE_USAGE, "sqlite: the path is longer than %zu bytes", room - 1);
        out[length++] = c;
    }
    out[length] = '\0';
    if (length == 0)
        return FAIL(
            at, TROUPE_USAGE, "sqlite: the URL has no path: write sqlite:/var/lib/NAME/troupe.db");
    return TROUPE_OK;
}

static troupe_status take_number(opening *at, troupe_slice value, const char *name, uint64_t least,
    uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *text = value.data;
    bool is_number = value.size > 0 && value.size < 10;
    for (size_t i = 0; is_number && i < value.size; i++) {
        is_number = text[i] >= '0' && text[i] <= '9';
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    if (!is_number || number < least || number > most)
        return FAIL(at, TROUPE_USAGE, "sqlite: %s=%.*s: a number from %llu to %llu is needed", name,
            TROUPE_ARG(value), (unsigned long long)least, (unsigned long long)most);
    *ret_number = number;
    return TROUPE_OK;
}

static troupe_status take_parameter(opening *at, troupe_slice name, troupe_slice value)
{
    sqlite_settings *settings = &at->self->settings;
    if (troupe_slice_equal(name, troupe_str("accept"))) {
        settings->relaxed = troupe_slice_equal(value, troupe_str("not-P5"));
        if (!settings->relaxed)
            return FAIL(at, TROUPE_USAGE, "sqlite: accept=%.*s: there is accept=not-P5 only",
                TROUPE_ARG(value));
        return TROUPE_OK;
    }
    if (troupe_slice_equal(name, troupe_str("vfs"))) {
        if (value.size == 0 || value.size >= sizeof settings->vfs)
            return FAIL(at, TROUPE_USAGE, "sqlite: vfs=: a name of 1 to %zu bytes is needed",
                sizeof settings->vfs - 1);
        memcpy(settings->vfs, value.data, value.size);
        settings->vfs[value.size] = '\0';
        return TROUPE_OK;
    }
    if (troupe_slice_equal(name, troupe_str("log")))
        return take_number(at, value, "log", 10, 1000000, &settings->wal);
    if (troupe_slice_equal(name, troupe_str("page"))) {
        troupe_status status = take_number(at, value, "page", 512, 65536, &settings->page);
        if (status == TROUPE_OK && (settings->page & (settings->page - 1)) != 0)
            return FAIL(
                at, TROUPE_USAGE, "sqlite: page=%.*s is no power of two", TROUPE_ARG(value));
        return status;
    }
    if (troupe_slice_equal(name, troupe_str("cache"))) {
        troupe_status status = take_number(at, value, "cache", 1, 100000, &settings->cache);
        if (status == TROUPE_OK)
            settings->cache <<= 20;
        return status;
    }
    return FAIL(at, TROUPE_USAGE,
        "sqlite: unknown parameter %.*s: there are accept, cache, log, page, vfs",
        TROUPE_ARG(name));
}

static troupe_status take_url(opening *at, const char *url)
{
    static const char scheme[] = "sqlite:";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return FAIL(at, TROUPE_USAGE, "sqlite: the URL is no sqlite:PATH");
    const char *path = url + sizeof scheme - 1;
    if (strncmp(path, "///", 3) == 0)
        path += 2;
    else if (strncmp(path, "//", 2) == 0)
        return FAIL(at, TROUPE_USAGE,
            "sqlite: a file has no host: write sqlite:PATH or sqlite:///ABSOLUTE/PATH");
    size_t size = strcspn(path, "?");
    troupe_status status = take_path(at, path, size);
    const char *rest = path + size;
    while (status == TROUPE_OK && *rest != '\0') {
        rest++; /* the ? or & */
        size_t length = strcspn(rest, "&");
        size_t name = strcspn(rest, "=&");
        const char *value = name < length ? rest + name + 1 : rest + length;
        status = take_parameter(at, troupe_slice_of(rest, name),
            troupe_slice_of(value, (size_t)(rest + length - value)));
        rest += length;
    }
    return status;
}

/* ---- the lock ------------------------------------------------------------------------------ */

static troupe_status refuse_lock(opening *at)
{
    sqlite3_file *file = at->self->lock;
    char owner[24] = "";
    /* A file shorter than that is read as far as it goes, and filled up with zeros. */
    int code = file->pMethods->xRead(file, owner, sizeof owner - 1, 0);
    owner[strspn(owner, "0123456789")] = '\0';
    bool is_known = (code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ) && owner[0] != '\0';
    return FAIL(at, TROUPE_UNAVAILABLE,
        "sqlite: %.200s is open in process %s: a store of this kind belongs to one node; stop that "
        "one, or give this one a file of its own",
        at->self->settings.path, is_known ? owner : "(unknown)");
}

static troupe_status take_lock(opening *at)
{
    sqlite_store *self = at->self;
    char path[sizeof at->path + 8];
    (void)snprintf(path, sizeof path, "%s-lock", at->path);
    self->lock_name = sqlite3_create_filename(path, "", "", 0, NULL);
    sqlite3_file *file = tp_allocate_zeroed(self->host.allocator, (size_t)self->vfs->szOsFile);
    if (self->lock_name == NULL || file == NULL) {
        tp_release(self->host.allocator, file, (size_t)self->vfs->szOsFile);
        return FAIL(at, TROUPE_NO_MEMORY, "sqlite: no memory");
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB, found = 0;
    int code = self->vfs->xOpen(self->vfs, self->lock_name, file, flags, &found);
    if (code != SQLITE_OK || (found & SQLITE_OPEN_READONLY) != 0) {
        if (file->pMethods != NULL)
            (void)file->pMethods->xClose(file);
        tp_release(self->host.allocator, file, (size_t)self->vfs->szOsFile);
        return FAIL(at, TROUPE_UNAVAILABLE,
            "sqlite: cannot write %.200s-lock: the folder must be there and belong to the node",
            self->settings.path);
    }
    self->lock = file;
    static const int levels[] = {SQLITE_LOCK_SHARED, SQLITE_LOCK_RESERVED, SQLITE_LOCK_EXCLUSIVE};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (file->pMethods->xLock(file, levels[i]) != SQLITE_OK)
            return refuse_lock(at);
    char owner[24] = {0};
    (void)snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    /* Only words for whoever comes second: no reason to fail. */
    (void)file->pMethods->xWrite(file, owner, sizeof owner - 1, 0);
    return TROUPE_OK;
}

static void give_lock(sqlite_store *self)
{
    if (self->lock != NULL) {
        (void)self->lock->pMethods->xUnlock(self->lock, SQLITE_LOCK_NONE);
        (void)self->lock->pMethods->xClose(self->lock);
        tp_release(self->host.allocator, self->lock, (size_t)self->vfs->szOsFile);
    }
    if (self->lock_name != NULL)
        sqlite3_free_filename(self->lock_name);
}

/* ---- settings ------------------------------------------------------------------------------ */

static troupe_status fail_code(opening *at, int code, const char *what)
{
    const char *path = at->self->settings.path;
    switch (code & 0xFF) {
    case SQLITE_NOTADB:
        return FAIL(at, TROUPE_CORRUPT,
            "sqlite: %.200s is no database, or its first page is damaged: restore it, or name "
            "another file",
            path);
    case SQLITE_CORRUPT:
        return FAIL(at, TROUPE_CORRUPT,
            "sqlite: %.200s is damaged (%s: %s): restore it, or `sqlite3 FILE .recover`", path,
            what, sqlite3_errstr(code));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return FAIL(at, TROUPE_UNAVAILABLE,
            "sqlite: %.200s is in use by another program: end it, or give the node another file",
            path);
    case SQLITE_NOMEM:
        return FAIL(at, TROUPE_NO_MEMORY, "sqlite: no memory");
    default:
        return FAIL(at, TROUPE_UNAVAILABLE, "sqlite: %.200s: %s: %s: %s", path, what,
            sqlite3_errstr(code),
            at->self->db != NULL && sqlite3_system_errno(at->self->db) != 0
                ? strerror(sqlite3_system_errno(at->self->db))
                : "the file and its folder must be writable");
    }
}

/* Runs SQL; the first column of its first row goes into `ret_number`, 0 if there is none. */
static int ask(sqlite_store *self, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW && ret_number != NULL)
        *ret_number = sqlite3_column_int64(statement, 0);
    int last = sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? last : code;
}

static troupe_status set_journal(opening *at)
{
    sqlite_store *self = at->self;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(self->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const char *mode = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    bool is_wal = mode != NULL && strcmp(mode, "wal") == 0;
    (void)sqlite3_finalize(statement);
    if (code != SQLITE_ROW)
        return fail_code(at, code, "journal_mode = WAL");
    if (!is_wal)
        return FAIL(at, TROUPE_USAGE,
            "sqlite: %.200s does not take journal_mode = WAL: put it on a local file system",
            self->settings.path);
    return TROUPE_OK;
}

static troupe_status set_up(opening *at)
{
    sqlite_store *self = at->self;
    char cache[64], page[64];
    (void)snprintf(cache, sizeof cache, "PRAGMA cache_size = -%llu",
        (unsigned long long)(self->settings.cache >> 10));
    (void)snprintf(
        page, sizeof page, "PRAGMA page_size = %llu", (unsigned long long)self->settings.page);
    const char *const settings[] = {
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA cell_size_check = ON",
        "PRAGMA trusted_schema = OFF",
        /* Debian compiles it on: everything that is freed is overwritten, and logged */
        "PRAGMA secure_delete = OFF",
        "PRAGMA wal_autocheckpoint = 0",
        "PRAGMA journal_size_limit = " LOG_KEPT,
        cache,
        self->settings.page != 0 ? page : "PRAGMA page_size",
        self->settings.relaxed ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL",
        "PRAGMA fullfsync = ON", /* where there is such a thing */
        "PRAGMA checkpoint_fullfsync = ON",
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        int code = ask(self, settings[i], NULL);
        if (code != SQLITE_OK)
            return fail_code(at, code, settings[i]);
    }
    troupe_status status = set_journal(at);
    if (status != TROUPE_OK)
        return status;
    int64_t level = 0, wanted = self->settings.relaxed ? 1 : 2;
    int code = ask(self, "PRAGMA synchronous", &level);
    if (code != SQLITE_OK || level != wanted)
        return FAIL(at, TROUPE_USAGE,
            "sqlite: synchronous is %lld and not %lld, although it was set", (long long)level,
            (long long)wanted);
    return TROUPE_OK;
}

/* ---- format -------------------------------------------------------------------------------- */

static int change_format(sqlite_store *self, int64_t from)
{
    char mark[96];
    (void)snprintf(mark, sizeof mark, "PRAGMA user_version = %lld; PRAGMA application_id = %d",
        (long long)FORMAT, APPLICATION);
    int code = sqlite3_exec(self->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (int64_t i = from; i < FORMAT && code == SQLITE_OK; i++)
        code = sqlite3_exec(self->db, steps[i], NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(self->db, mark, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(self->db, "COMMIT", NULL, NULL, NULL);
    if (!sqlite3_get_autocommit(self->db))
        (void)sqlite3_exec(self->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

/* ---- the log ------------------------------------------------------------------------------- */

/* All of the file over itself, and a sync. */
static int write_anew(sqlite3_file *file, char *piece, size_t size)
{
    sqlite3_int64 end = 0;
    int code = file->pMethods->xFileSize(file, &end);
    for (sqlite3_int64 at = 0; at < end && code == SQLITE_OK; at += (sqlite3_int64)size) {
        int length = end - at < (sqlite3_int64)size ? (int)(end - at) : (int)size;
        code = file->pMethods->xRead(file, piece, length, at);
        if (code == SQLITE_OK)
            code = file->pMethods->xWrite(file, piece, length, at);
    }
    return code != SQLITE_OK || end == 0 ? code : file->pMethods->xSync(file, SQLITE_SYNC_FULL);
}

/* Invariant 3. Its cost is that of the log, which a store that was closed does not leave. */
static troupe_status renew_log(opening *at)
{
    sqlite_store *self = at->self;
    char path[sizeof at->path + 8];
    (void)snprintf(path, sizeof path, "%s-wal", at->path);
    int is_there = 0, code = self->vfs->xAccess(self->vfs, path, SQLITE_ACCESS_EXISTS, &is_there);
    if (code != SQLITE_OK || !is_there)
        return code == SQLITE_OK ? TROUPE_OK : fail_code(at, code, "looking for its log");
    size_t file_size = (size_t)self->vfs->szOsFile;
    const char *name = sqlite3_create_filename(path, "", "", 0, NULL);
    sqlite3_file *file = tp_allocate_zeroed(self->host.allocator, file_size);
    char *piece = tp_allocate(self->host.allocator, LOG_PIECE);
    code = SQLITE_NOMEM;
    if (name != NULL && file != NULL && piece != NULL) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_WAL, found = 0;
        code = self->vfs->xOpen(self->vfs, name, file, flags, &found);
        if (code == SQLITE_OK)
            code = write_anew(file, piece, LOG_PIECE);
        if (file->pMethods != NULL)
            (void)file->pMethods->xClose(file);
    }
    tp_release(self->host.allocator, piece, LOG_PIECE);
    tp_release(self->host.allocator, file, file_size);
    sqlite3_free_filename(name);
    return code == SQLITE_OK ? TROUPE_OK : fail_code(at, code, "writing its log anew");
}

static troupe_status check_format(opening *at)
{
    sqlite_store *self = at->self;
    int64_t application = 0, format = 0, tables = 0;
    int code = ask(self, "PRAGMA application_id", &application);
    if (code == SQLITE_OK)
        code = ask(self, "PRAGMA user_version", &format);
    if (code == SQLITE_OK)
        code = ask(self, "SELECT count(*) FROM sqlite_schema", &tables);
    if (code != SQLITE_OK)
        return fail_code(at, code, "reading it");
    /* Invariant 3. SQLite has read, so it has its lock on the file: nobody else writes the log. */
    TROUPE_TRY(renew_log(at));
    code = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (code != SQLITE_OK)
        return fail_code(at, code, "moving the log into the file");
    bool is_new = application == 0 && format == 0 && tables == 0;
    if (!is_new && application != APPLICATION)
        return FAIL(at, TROUPE_USAGE,
            "sqlite: %.200s is a database of another program: name another file",
            self->settings.path);
    if (format > FORMAT || format < 0)
        return FAIL(at, TROUPE_USAGE,
            "sqlite: %.200s has format %lld, this version of Troupe knows formats up to %lld: "
            "run the newer Troupe that wrote it",
            self->settings.path, (long long)format, (long long)FORMAT);
    if (format < FORMAT)
        code = change_format(self, format);
    return code == SQLITE_OK ? TROUPE_OK : fail_code(at, code, "changing its format");
}

static troupe_status prepare(opening *at)
{
    static const char *const texts[SQL_COUNT] = {
#define SQLITE_STATEMENT_TEXT(name, text) [SQL_##name] = (text),
        SQLITE_STATEMENTS(SQLITE_STATEMENT_TEXT)
#undef SQLITE_STATEMENT_TEXT
    };
    sqlite_store *self = at->self;
    for (int i = 0; i < SQL_COUNT; i++) {
        int code = sqlite3_prepare_v3(
            self->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i], NULL);
        if (code != SQLITE_OK)
            return fail_code(at, code, texts[i]);
    }
    return TROUPE_OK;
}

/* ---- opening ------------------------------------------------------------------------------- */

static troupe_status open_file(opening *at)
{
    sqlite_store *self = at->self;
    const char *vfs = self->settings.vfs[0] != '\0' ? self->settings.vfs : NULL;
    self->vfs = sqlite3_vfs_find(vfs);
    if (self->vfs == NULL)
        return FAIL(at, TROUPE_USAGE, "sqlite: vfs=%s: nobody registered it", self->settings.vfs);
    int code = self->vfs->xFullPathname(
        self->vfs, self->settings.path, (int)sizeof at->path - 8, at->path);
    if ((code & 0xFF) != SQLITE_OK)
        return fail_code(at, code, "finding the folder");
    troupe_status status = take_lock(at);
    if (status != TROUPE_OK)
        return status;
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    code = sqlite3_open_v2(at->path, &self->db, flags, vfs);
    return code == SQLITE_OK ? TROUPE_OK : fail_code(at, code, "opening it");
}

static troupe_status open_all(opening *at, const char *url)
{
    sqlite_store *self = at->self;
    troupe_status status = take_url(at, url);
    if (status == TROUPE_OK)
        status = open_file(at);
    if (status == TROUPE_OK)
        status = set_up(at);
    if (status == TROUPE_OK)
        status = check_format(at);
    if (status == TROUPE_OK)
        status = prepare(at);
    if (status != TROUPE_OK)
        return status;
    int64_t page = 0;
    int code = ask(self, "PRAGMA page_size", &page);
    if (code != SQLITE_OK)
        return fail_code(at, code, "reading it");
    self->frame_size = (size_t)page + 24;
    (void)snprintf(self->promises, sizeof self->promises,
        "sqlite %s, %.80s: one node; WAL, synchronous %s: %s", sqlite3_libversion(),
        self->settings.path, self->settings.relaxed ? "NORMAL" : "FULL",
        self->settings.relaxed ? "not P5: the newest commits may be lost when the machine ends"
                               : "P5: what was answered survives the end of process and machine");
    tp_sqlite_start(self);
    return TROUPE_OK;
}

troupe_status tp_sqlite_open(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size)
{
    sqlite_store *self = tp_allocate_zeroed(host->allocator, sizeof *self);
    opening at = {.self = self, .error = error, .error_size = error != NULL ? error_size : 0};
    if (self == NULL)
        return FAIL(&at, TROUPE_NO_MEMORY, "sqlite: no memory");
    self->host = *host;
    self->settings.cache = CACHE_DEFAULT;
    self->settings.wal = LOG_DEFAULT;
    troupe_status status = open_all(&at, url);
    if (status != TROUPE_OK) {
        tp_sqlite_destroy(self);
        return status;
    }
    *ret_store = &self->store;
    return TROUPE_OK;
}

void tp_sqlite_destroy(sqlite_store *self)
{
    for (int i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(self->statements[i]);
    (void)sqlite3_close(self->db);
    give_lock(self);
    tp_release(self->host.allocator, self, sizeof *self);
}
