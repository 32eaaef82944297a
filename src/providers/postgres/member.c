/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `postgres`: the view and the lease registers of a cluster as rows of two
 * tables, found by the name of the cluster; a notification tells watchers of a new view. It shares
 * the URL, the session and the judgement of the server's settings with the storage provider of this
 * folder, and no table.
 *
 *   member_view      (cluster, number, body)                     one row a cluster
 *   member_register  (cluster, incarnation, count, revoked)      one row an incarnation
 *
 * Invariants
 * 1. A change is one statement, so one transaction; its WHERE or ON CONFLICT is the comparison, and
 *    under READ COMMITTED a row that another transaction has just changed is compared anew.
 * 2. A statement that was sent and not answered is UNKNOWN, and its session is dropped.
 * 3. Registers go with the view that keeps them not, in its statement, and only if it was stored.
 *
 * Threads: a handle's own; hurry any.
 */
#include "base/alloc.h"
#include "providers/postgres/member.h"
#include "providers/postgres/postgres.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

enum { SQL_MAX = 1024, NAME_MAX_BYTES = 128 };
#define MILLISECOND UINT64_C(1000000)
#define LOOK_EVERY  1000 /* ms: a notification may be lost with a session */

typedef struct pg_members {
    troupe_membership port;
    troupe_store_host host;
    tp_pg_session session;
    tp_pg_buffer buffer;
    char cluster[NAME_MAX_BYTES + 1]; /* letters, digits and - _ . only: needs no quoting */
    char promises[320];
} pg_members;

static pg_members *members_of(troupe_membership *port)
{
    return (pg_members *)(void *)port;
}

static uint64_t clock_of(const pg_members *self)
{
    return self->host.now(self->host.context);
}

/* ---- statements ------------------------------------------------------------------------------ */

/* Runs the text of the buffer, which ends with a 0. */
static troupe_status run(pg_members *self, uint64_t deadline, PGresult **ret_rows)
{
    tp_pg_put_bytes(&self->buffer, "", 1);
    if (self->buffer.failed)
        return TROUPE_NO_MEMORY;
    tp_pg_answer answer = {.outcome = TP_PG_UNSENT};
    /* Calls last a part of a lease: who pauses for longer is back after others have replaced it. To
     * connect takes several round trips and a new process of the server: it may last twice as long,
     * and the statement has its own time behind it, or none would ever do. */
    uint64_t now = clock_of(self), time = deadline > now ? deadline - now : 1;
    self->session.back_off_most = time / 2;
    self->session.opening_extra = time;
    if (tp_pg_session_ready(&self->session, deadline))
        answer = tp_pg_simple(&self->session, self->buffer.data, clock_of(self) + time);
    if (answer.outcome == TP_PG_DONE && answer.rows != NULL) {
        *ret_rows = answer.rows;
        return TROUPE_OK;
    }
    PQclear(answer.rows);
    (void)snprintf(self->port.error, sizeof self->port.error, "%.250s", self->session.error);
    return answer.outcome == TP_PG_LOST ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE;
}

static void begin(pg_members *self)
{
    tp_pg_buffer_empty(&self->buffer);
    self->port.error[0] = '\0';
}

static void add(pg_members *self, const char *format, ...) TROUPE_PRINTF(2, 3);
static void add(pg_members *self, const char *format, ...)
{
    char text[SQL_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof text)
        self->buffer.failed = true;
    else
        tp_pg_put_bytes(&self->buffer, text, (size_t)size);
}

/* Of a change: a row says that it was done. */
static troupe_status finish(pg_members *self, uint64_t timeout)
{
    PGresult *rows = NULL;
    TROUPE_TRY(run(self, clock_of(self) + timeout, &rows));
    troupe_status status = PQntuples(rows) == 1 ? TROUPE_OK : TROUPE_CONFLICT;
    PQclear(rows);
    return status;
}

static troupe_status read_rows(pg_members *self, uint64_t timeout, PGresult **ret_rows)
{
    troupe_status status = run(self, clock_of(self) + timeout, ret_rows);
    return status == TROUPE_UNKNOWN ? TROUPE_UNAVAILABLE : status;
}

static uint64_t number_at(const PGresult *rows, int row, int column)
{
    return strtoull(PQgetvalue(rows, row, column), NULL, 10);
}

/* ---- the port -------------------------------------------------------------------------------- */

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    pg_members *self = members_of(port);
    PGresult *rows = NULL;
    begin(self);
    add(self, "SELECT number, body FROM %s.member_view WHERE cluster = '%s'", self->session.schema,
        self->cluster);
    TROUPE_TRY(read_rows(self, timeout, &rows));
    if (PQntuples(rows) == 1)
        on_view(user, number_at(rows, 0, 0),
            troupe_slice_of(PQgetvalue(rows, 0, 1), (size_t)PQgetlength(rows, 0, 1)));
    PQclear(rows);
    return TROUPE_OK;
}

/* Within quotes; standard_conforming_strings is on since 9.1, and said again at each session. */
static void add_quoted(pg_members *self, troupe_slice text)
{
    const char *at = text.data;
    for (size_t from = 0, i = 0; i <= text.size; i++) {
        if (i < text.size && at[i] != '\'')
            continue;
        tp_pg_put_bytes(&self->buffer, at + from, i - from);
        if (i < text.size)
            tp_pg_put_bytes(&self->buffer, "''", 2);
        from = i + 1;
    }
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    pg_members *self = members_of(port);
    const char *schema = self->session.schema;
    if (text.size == 0 || text.size > TROUPE_VIEW_MAX)
        return TROUPE_TOO_LARGE;
    begin(self);
    if (number == 1)
        add(self, "WITH done AS (INSERT INTO %s.member_view VALUES ('%s', 1, '", schema,
            self->cluster);
    else
        add(self, "WITH done AS (UPDATE %s.member_view SET number = %" PRIu64 ", body = '", schema,
            number);
    add_quoted(self, text);
    if (number == 1)
        add(self, "') ON CONFLICT DO NOTHING RETURNING number)");
    else
        add(self, "' WHERE cluster = '%s' AND number = %" PRIu64 " RETURNING number)",
            self->cluster, number - 1);
    add(self,
        ", gone AS (DELETE FROM %s.member_register WHERE cluster = '%s' AND incarnation <> ALL('{",
        schema, self->cluster);
    for (size_t i = 0; i < kept_count; i++)
        add(self, "%s%" PRIu64, i != 0 ? "," : "", kept[i]);
    add(self,
        "}') AND EXISTS (SELECT 1 FROM done))"
        " SELECT number, pg_notify('troupe_member', '%s') FROM done",
        self->cluster);
    return finish(self, timeout);
}

static troupe_status raise_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    pg_members *self = members_of(port);
    begin(self);
    if (count == 0)
        add(self,
            "INSERT INTO %s.member_register VALUES ('%s', %" PRIu64 ", 1, false)"
            " ON CONFLICT DO NOTHING RETURNING 1",
            self->session.schema, self->cluster, incarnation);
    else
        add(self,
            "UPDATE %s.member_register SET count = count + 1 WHERE cluster = '%s'"
            " AND incarnation = %" PRIu64 " AND count = %" PRIu64 " AND NOT revoked RETURNING 1",
            self->session.schema, self->cluster, incarnation, count);
    return finish(self, timeout);
}

static troupe_status revoke_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    pg_members *self = members_of(port);
    begin(self);
    if (count == 0)
        add(self,
            "INSERT INTO %s.member_register VALUES ('%s', %" PRIu64 ", 0, true)"
            " ON CONFLICT DO NOTHING RETURNING 1",
            self->session.schema, self->cluster, incarnation);
    else
        add(self,
            "UPDATE %s.member_register SET revoked = true WHERE cluster = '%s'"
            " AND incarnation = %" PRIu64 " AND count = %" PRIu64 " AND NOT revoked RETURNING 1",
            self->session.schema, self->cluster, incarnation, count);
    return finish(self, timeout);
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    pg_members *self = members_of(port);
    PGresult *rows = NULL;
    begin(self);
    add(self, "SELECT incarnation, count, revoked FROM %s.member_register WHERE cluster = '%s'",
        self->session.schema, self->cluster);
    TROUPE_TRY(read_rows(self, timeout, &rows));
    for (int i = 0; i < PQntuples(rows); i++)
        on_register(user, &(troupe_register){.incarnation = number_at(rows, i, 0),
                              .count = number_at(rows, i, 1),
                              .revoked = PQgetvalue(rows, i, 2)[0] == 't'});
    PQclear(rows);
    *ret_run = 0;
    return TROUPE_OK;
}

/* Until a notification, the bell, or `most` milliseconds. False: the node closes. */
static bool rest(pg_members *self, int most)
{
    struct pollfd files[] = {
        {self->session.alarm, POLLIN, 0}, {PQsocket(self->session.conn), POLLIN, 0}};
    (void)poll(files, 2, most);
    if (files[0].revents != 0) {
        (void)snprintf(self->port.error, sizeof self->port.error, "postgres: the node closes");
        return false;
    }
    (void)PQconsumeInput(self->session.conn);
    for (PGnotify *told; (told = PQnotifies(self->session.conn)) != NULL;)
        PQfreemem(told);
    return true;
}

static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    pg_members *self = members_of(port);
    uint64_t end = clock_of(self) + timeout;
    for (;;) {
        uint64_t now = clock_of(self), found = 0;
        PGresult *rows = NULL;
        if (now >= end)
            return TROUPE_TIMEOUT;
        begin(self);
        add(self, "LISTEN troupe_member; SELECT number FROM %s.member_view WHERE cluster = '%s'",
            self->session.schema, self->cluster);
        uint64_t left = end - now;
        TROUPE_TRY(read_rows(self, left < TROUPE_SECONDS(1) ? TROUPE_SECONDS(1) : left, &rows));
        if (PQntuples(rows) == 1)
            found = number_at(rows, 0, 0);
        PQclear(rows);
        if (found != number)
            return TROUPE_OK;
        uint64_t most = left / MILLISECOND + 1;
        if (!rest(self, most < LOOK_EVERY ? (int)most : LOOK_EVERY))
            return TROUPE_UNAVAILABLE;
    }
}

static void hurry(troupe_membership *port)
{
    tp_pg_hurry(&members_of(port)->session);
}

static void close_handle(troupe_membership *port)
{
    pg_members *self = members_of(port);
    const troupe_allocator *allocator = self->host.allocator;
    tp_pg_session_close(&self->session);
    tp_pg_buffer_deinit(&self->buffer);
    tp_release(allocator, self->session.url, self->session.url_room);
    tp_release(allocator, self, sizeof *self);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* One at a time: two that create at once would fail each other. */
static troupe_status make_tables(pg_members *self, uint64_t deadline)
{
    const char *schema = self->session.schema;
    PGresult *rows = NULL;
    begin(self);
    add(self, "SELECT to_regclass('%s.member_register') IS NOT NULL", schema);
    TROUPE_TRY(run(self, deadline, &rows));
    bool is_there = PQgetvalue(rows, 0, 0)[0] == 't';
    PQclear(rows);
    if (is_there)
        return TROUPE_OK;
    begin(self);
    add(self, "SELECT pg_advisory_xact_lock(7237126394537);CREATE SCHEMA IF NOT EXISTS %s;",
        schema);
    add(self,
        "CREATE TABLE IF NOT EXISTS %s.member_view (cluster text COLLATE \"C\" PRIMARY KEY,"
        " number bigint NOT NULL, body text NOT NULL);",
        schema);
    add(self,
        "CREATE TABLE IF NOT EXISTS %s.member_register (cluster text COLLATE \"C\","
        " incarnation bigint, count bigint NOT NULL, revoked boolean NOT NULL,"
        " PRIMARY KEY (cluster, incarnation))",
        schema);
    TROUPE_TRY(run(self, deadline, &rows));
    PQclear(rows);
    return TROUPE_OK;
}

static troupe_status prepare(pg_members *self, const char *url)
{
    tp_pg_session *session = &self->session;
    session->host = &self->host;
    session->timeout = TROUPE_SECONDS(2);
    session->bare = true;
    session->alarm = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    memcpy(session->schema, "troupe", sizeof "troupe");
    if (session->alarm < 0) {
        tp_pg_note(session, "postgres: no file descriptor left: raise the limit (ulimit -n)");
        return TROUPE_UNAVAILABLE;
    }
    TROUPE_TRY(tp_pg_take_url(session, url));
    uint64_t deadline = clock_of(self) + TROUPE_SECONDS(10);
    TROUPE_TRY(tp_pg_session_open(session, deadline));
    return make_tables(self, deadline);
}

static bool is_plain(const char *cluster)
{
    size_t size =
        strspn(cluster, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return size != 0 && size <= NAME_MAX_BYTES && cluster[size] == '\0';
}

troupe_status tp_postgres_member_open(const troupe_membership_host *host, const char *url,
    const char *cluster, troupe_membership **ret_membership, char *error, size_t error_size)
{
    if (!is_plain(cluster)) {
        (void)snprintf(error, error_size,
            "postgres: the cluster's name '%.128s' is not 1 to 128"
            " letters, digits, - _ .",
            cluster);
        return TROUPE_USAGE;
    }
    pg_members *self = tp_allocate(host->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    memset(self, 0, sizeof *self);
    self->host = (troupe_store_host){.size = sizeof self->host,
        .allocator = host->allocator,
        .context = host->context,
        .now = host->now,
        .log = host->log};
    self->session.alarm = -1;
    self->buffer.allocator = host->allocator;
    (void)snprintf(self->cluster, sizeof self->cluster, "%s", cluster);
    self->port = (troupe_membership){.size = sizeof self->port,
        .promises = self->promises,
        .read_view = read_view,
        .cas_view = cas_view,
        .raise = raise_register,
        .revoke = revoke_register,
        .read_registers = read_registers,
        .watch = watch,
        .hurry = hurry,
        .close = close_handle};
    troupe_status status = prepare(self, url);
    if (status != TROUPE_OK) {
        (void)snprintf(error, error_size, "%s", self->session.error);
        close_handle(&self->port);
        return status;
    }
    (void)snprintf(self->promises, sizeof self->promises,
        "postgres %s: leases and views in schema %s, synchronous_commit %s",
        PQparameterStatus(self->session.conn, "server_version"), self->session.schema,
        self->session.synchronous);
    *ret_membership = &self->port;
    return TROUPE_OK;
}
