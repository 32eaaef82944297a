/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider's door: `postgres://…` opened and closed, and a group of operations cut into waves.
 * A wave is a run of loads and commits with different ids, of one writer: nobody could tell in
 * which order they ran, so its loads are one statement and its commits another, both sent at once.
 * All else is a wave of its own. What the port asks for is in <troupe/provider.h>.
 *
 * Options of the URL, besides those of libpq: schema=NAME (troupe), timeout=SECONDS or 500ms (2),
 * accept=not-P5.
 *
 * Invariants
 * 1. An id comes at most once in a wave.
 * 2. Waves run one after the other, each to its end.
 * 3. A run ends within `timeout`; what was not begun by then is UNAVAILABLE.
 *
 * Threads: run is the committer's, hurry anybody's.
 */
#include "base/alloc.h"
#include "providers/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

/* ---- waves ----------------------------------------------------------------------------------- */

typedef struct wave {
    size_t commits;
    size_t loads;
    size_t bytes;
    uint64_t writer;
} wave;

static uint64_t hash_of(troupe_slice text)
{
    const unsigned char *at = text.data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < text.size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash ^ (hash >> 29);
}

static size_t bytes_of(const troupe_store_op *op)
{
    if (op->kind != TROUPE_STORE_COMMIT)
        return 0;
    size_t bytes = op->commit.state.size;
    for (size_t i = 0; i < op->commit.row_count; i++)
        bytes += op->commit.rows[i].key.size + op->commit.rows[i].value.size;
    for (size_t i = 0; i < op->commit.event_count; i++)
        bytes += op->commit.events[i].name.size + op->commit.events[i].payload.size;
    return bytes;
}

/* Marks the entry's id as seen in this wave; false: it was. */
static bool see(tp_pg_store *self, size_t index)
{
    enum { SLOTS = sizeof self->seen / sizeof *self->seen };
    const tp_pg_entry *entry = &self->entries[index];
    for (size_t slot = entry->hash % SLOTS;; slot = (slot + 1) % SLOTS) {
        if (self->seen[slot] == 0) {
            self->seen[slot] = (uint16_t)(index + 1);
            return true;
        }
        const tp_pg_entry *other = &self->entries[self->seen[slot] - 1];
        if (other->hash == entry->hash && troupe_slice_equal(other->id, entry->id))
            return false;
    }
}

static bool joins(tp_pg_store *self, wave *at, size_t index)
{
    const troupe_store_op *op = self->entries[index].op;
    if (op->kind != TROUPE_STORE_COMMIT && op->kind != TROUPE_STORE_LOAD)
        return false;
    size_t bytes = bytes_of(op);
    if (op->kind == TROUPE_STORE_COMMIT && at->commits != 0 &&
        (op->writer != at->writer || at->bytes + bytes > TP_PG_WAVE_BYTES))
        return false;
    if (!see(self, index))
        return false;
    at->bytes += bytes;
    if (op->kind == TROUPE_STORE_LOAD) {
        self->loads[at->loads++] = self->entries[index];
    } else {
        at->writer = op->writer;
        self->commits[at->commits++] = self->entries[index];
    }
    return true;
}

static int compare_ids(const void *left, const void *right)
{
    const tp_pg_entry *a = left, *b = right;
    size_t size = a->id.size < b->id.size ? a->id.size : b->id.size;
    int order = memcmp(a->id.data, b->id.data, size);
    return order != 0 ? order : a->id.size < b->id.size ? -1 : a->id.size > b->id.size;
}

static void run_wave(tp_pg_store *self, const wave *at, uint64_t deadline)
{
    qsort(self->commits, at->commits, sizeof *self->commits, compare_ids);
    bool loads = at->loads != 0 && tp_pg_load_send(self, self->loads, at->loads);
    bool commits = at->commits != 0 && tp_pg_commit_send(self, self->commits, at->commits);
    if (loads)
        tp_pg_load_finish(self, self->loads, at->loads, tp_pg_receive(&self->session, deadline));
    if (commits)
        tp_pg_commit_finish(
            self, self->commits, at->commits, tp_pg_receive(&self->session, deadline), deadline);
}

static bool has_id(const troupe_store_op *op)
{
    return op->kind == TROUPE_STORE_LOAD || op->kind == TROUPE_STORE_COMMIT ||
           op->kind == TROUPE_STORE_READ_EVENTS || op->kind == TROUPE_STORE_LIST_SNAPSHOTS ||
           op->kind == TROUPE_STORE_READ_SNAPSHOT;
}

/* The text of each id; false: no memory. */
static bool enter(tp_pg_store *self, troupe_store_op *const *ops, size_t count)
{
    tp_pg_buffer_empty(&self->texts);
    if (!tp_pg_reserve(&self->texts, count * TP_PG_ID_MAX))
        return false;
    for (size_t i = 0; i < count; i++) {
        tp_pg_entry *entry = &self->entries[i];
        *entry = (tp_pg_entry){.op = ops[i]};
        if (!has_id(ops[i]))
            continue;
        char *text = self->texts.data + self->texts.size;
        size_t size = troupe_id_print(ops[i]->id, text, TP_PG_ID_MAX);
        entry->id = troupe_slice_of(text, size < TP_PG_ID_MAX ? size : TP_PG_ID_MAX - 1);
        entry->hash = hash_of(entry->id);
        self->texts.size += entry->id.size + 1;
    }
    return true;
}

static void end_all(troupe_store_op *const *ops, size_t count, troupe_status status)
{
    for (size_t i = 0; i < count; i++)
        ops[i]->status = status;
}

static void run_group(
    tp_pg_store *self, troupe_store_op *const *ops, size_t count, uint64_t deadline)
{
    if (!enter(self, ops, count)) {
        end_all(ops, count, TROUPE_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < count;) {
        wave next = {0};
        size_t begun = i;
        if (bytes_of(ops[i]) > TP_PG_COMMIT_MAX) {
            ops[i++]->status = TROUPE_TOO_LARGE;
            continue;
        }
        memset(self->seen, 0, sizeof self->seen);
        while (i < count && joins(self, &next, i))
            i++;
        bool ready = tp_pg_session_ready(&self->session, deadline);
        if (i == begun) {
            ops[i]->status = TROUPE_UNAVAILABLE;
            if (ready || ops[i]->kind == TROUPE_STORE_HEALTH)
                tp_pg_query_run(self, &self->entries[i], deadline);
            i++;
        } else if (ready) {
            run_wave(self, &next, deadline);
        } else {
            end_all(ops + begun, i - begun, TROUPE_UNAVAILABLE);
        }
    }
}

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    tp_pg_store *self = (tp_pg_store *)(void *)store;
    uint64_t deadline = self->host.now(self->host.context) + self->session.timeout;
    for (size_t i = 0; i < count; i += TP_PG_GROUP)
        run_group(self, ops + i, count - i < TP_PG_GROUP ? count - i : TP_PG_GROUP, deadline);
}

static void hurry(troupe_store *store)
{
    tp_pg_hurry(&((tp_pg_store *)(void *)store)->session);
}

static void destroy(troupe_store *store)
{
    tp_pg_store *self = (tp_pg_store *)(void *)store;
    const troupe_allocator *allocator = self->host.allocator;
    tp_pg_session_close(&self->session);
    tp_pg_buffer_deinit(&self->buffer);
    tp_pg_buffer_deinit(&self->texts);
    tp_pg_buffer_deinit(&self->rows);
    tp_release(allocator, self->session.url, self->session.url_room);
    tp_release(allocator, self, sizeof *self);
}

/* ---- the URL --------------------------------------------------------------------------------- */

static bool is_plain_name(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool letter = (text[i] >= 'a' && text[i] <= 'z') || text[i] == '_';
        if (!letter && (i == 0 || text[i] < '0' || text[i] > '9'))
            return false;
    }
    return size >= 1 && size <= 63;
}

static bool parse_timeout(const char *text, size_t size, uint64_t *ret_timeout)
{
    char copy[24];
    if (size == 0 || size >= sizeof copy || text[0] < '0' || text[0] > '9')
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *unit = copy;
    unsigned long long number = strtoull(copy, &unit, 10);
    if (number == 0 || number > 3600000)
        return false;
    if (strcmp(unit, "ms") == 0)
        *ret_timeout = TROUPE_MILLISECONDS(number);
    else if (unit[0] == '\0' || strcmp(unit, "s") == 0)
        *ret_timeout = TROUPE_SECONDS(number);
    else
        return false;
    return true;
}

/* One of ours is taken; 0: it is not ours, 1: it is, -1: and wrong. */
static int take_option(tp_pg_session *session, const char *text, size_t size)
{
    const char *equals = memchr(text, '=', size);
    size_t name = equals != NULL ? (size_t)(equals - text) : size;
    const char *value = equals != NULL ? equals + 1 : text + size;
    size_t length = size - (size_t)(value - text);
    troupe_slice option = troupe_slice_of(text, name);
    if (troupe_slice_equal(option, troupe_str("schema"))) {
        if (!is_plain_name(value, length)) {
            tp_pg_note(session, "postgres: schema=%.*s: a schema's name is 1 to 63 of a-z 0-9 _",
                (int)length, value);
            return -1;
        }
        memcpy(session->schema, value, length);
        session->schema[length] = '\0';
        return 1;
    }
    if (troupe_slice_equal(option, troupe_str("timeout"))) {
        if (parse_timeout(value, length, &session->timeout))
            return 1;
        tp_pg_note(session, "postgres: timeout=%.*s: write seconds, or milliseconds as 500ms",
            (int)length, value);
        return -1;
    }
    if (troupe_slice_equal(option, troupe_str("accept"))) {
        session->weak = troupe_slice_equal(troupe_slice_of(value, length), troupe_str("not-P5"));
        if (session->weak)
            return 1;
        tp_pg_note(
            session, "postgres: accept=%.*s: what can be accepted is not-P5", (int)length, value);
        return -1;
    }
    return 0;
}

/* The URL as libpq takes it: without our options, which it would refuse. */
troupe_status tp_pg_take_url(tp_pg_session *session, const char *url)
{
    size_t size = strlen(url);
    session->url_room = size + 1;
    session->url = tp_allocate(session->host->allocator, session->url_room);
    if (session->url == NULL)
        return TROUPE_NO_MEMORY;
    const char *query = strchr(url, '?');
    size_t made = query != NULL ? (size_t)(query - url) : size;
    memcpy(session->url, url, made);
    bool first = true;
    for (const char *at = query != NULL ? query + 1 : url + size; *at != '\0';) {
        size_t length = strcspn(at, "&");
        int taken = take_option(session, at, length);
        if (taken < 0)
            return TROUPE_USAGE;
        if (taken == 0 && length != 0) {
            session->url[made++] = first ? '?' : '&';
            first = false;
            memcpy(session->url + made, at, length);
            made += length;
        }
        at += length + (at[length] == '&');
    }
    session->url[made] = '\0';
    char *words = NULL;
    PQconninfoOption *options = PQconninfoParse(session->url, &words);
    if (options == NULL)
        tp_pg_note(session, "postgres: the URL is wrong: %s", words != NULL ? words : "no memory");
    PQfreemem(words);
    PQconninfoFree(options);
    return options != NULL ? TROUPE_OK : TROUPE_USAGE;
}

static troupe_status begin(tp_pg_store *self, const char *url)
{
    tp_pg_session *session = &self->session;
    session->host = &self->host;
    session->timeout = TROUPE_SECONDS(2);
    session->alarm = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    memcpy(session->schema, "troupe", sizeof "troupe");
    if (session->alarm < 0) {
        tp_pg_note(session, "postgres: no file descriptor left: raise the limit (ulimit -n)");
        return TROUPE_UNAVAILABLE;
    }
    troupe_status status = tp_pg_take_url(session, url);
    if (status != TROUPE_OK)
        return status;
    /* An opening may create a schema. */
    uint64_t time = session->timeout < TROUPE_SECONDS(10) ? TROUPE_SECONDS(10) : session->timeout;
    uint64_t deadline = self->host.now(self->host.context) + time, until = self->host.open_until;
    return tp_pg_session_open(session, until != 0 && until < deadline ? until : deadline);
}

troupe_status tp_postgres_open(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size)
{
    tp_pg_store *self = tp_allocate(host->allocator, sizeof *self);
    if (self == NULL) {
        (void)snprintf(error, error_size, "postgres: no memory");
        return TROUPE_NO_MEMORY;
    }
    memset(self, 0, sizeof *self);
    self->host = *host;
    self->session.alarm = -1;
    self->buffer.allocator = self->texts.allocator = self->rows.allocator = host->allocator;
    troupe_status status = begin(self, url);
    if (status != TROUPE_OK) {
        (void)snprintf(error, error_size, "%s", self->session.error);
        destroy(&self->store);
        return status;
    }
    (void)snprintf(self->promises, sizeof self->promises,
        "postgres %s: schema %s, synchronous_commit %s, %s",
        PQparameterStatus(self->session.conn, "server_version"), self->session.schema,
        self->session.synchronous,
        self->session.durable ? "P5: what is done survives a crash of the server's machine"
                              : "NOT P5: a crash may lose what was called done");
    self->store = (troupe_store){
        .size = sizeof self->store,
        .promises = self->promises,
        .durable = self->session.durable,
        .group = TP_PG_GROUP,
        .run = run,
        .hurry = hurry,
        .close = destroy,
    };
    *ret_store = &self->store;
    return TROUPE_OK;
}
