/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to the server: made, prepared, and used in pipeline mode, with a deadline for each
 * wait and an end to all waits when the node closes. It knows nothing of operations. Called by the
 * other files of this folder.
 *
 * Invariants
 * 1. No call waits longer than its deadline: sockets are non-blocking, and poll is the only wait.
 *    (Looking up a host's name is libpq's, and the resolver's own timeout bounds it.)
 * 2. A statement whose sync has not gone out as a whole is UNSENT: the server ends such a
 *    transaction undone when the connection ends. A statement whose sync may have gone out is LOST
 *    unless its answer, up to the end of its transaction, has come.
 * 3. A connection on which something was not answered is dropped, never used again.
 *
 * Threads: the committer's, but tp_pg_hurry.
 */
#include "providers/postgres/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MILLISECOND      UINT64_C(1000000)
#define FIRST_BACK_OFF   (50 * MILLISECOND)
#define LONGEST_BACK_OFF (2000 * MILLISECOND) /* where the session has no other */
#define GRACE            (100 * MILLISECOND)  /* for what is under way when the node closes */

static uint64_t clock_of(const tp_pg_session *session)
{
    return session->host->now(session->host->context);
}

static void say(tp_pg_session *session, int level, const char *event, const char *text)
{
    if (session->host->log != NULL)
        session->host->log(session->host->context, level, event, text);
}

void tp_pg_note(tp_pg_session *session, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(session->error, sizeof session->error, format, arguments);
    va_end(arguments);
    for (size_t i = 0; session->error[i] != '\0'; i++) {
        if (session->error[i] == '\n' || session->error[i] == '\t')
            session->error[i] = session->error[i + 1] != '\0' ? ' ' : '\0';
    }
}

void tp_pg_hurry(tp_pg_session *session)
{
    atomic_store_explicit(&session->hurried, true, memory_order_release);
    uint64_t one = 1;
    ssize_t written = write(session->alarm, &one, sizeof one);
    (void)written; /* full: it rings already */
}

static bool is_hurried(tp_pg_session *session)
{
    return atomic_load_explicit(&session->hurried, memory_order_acquire);
}

/* False: the deadline has come. */
static bool wait_for(tp_pg_session *session, short events, uint64_t *deadline)
{
    for (;;) {
        bool hurried = is_hurried(session);
        uint64_t now = clock_of(session);
        if (hurried && *deadline > now + GRACE)
            *deadline = now + GRACE;
        if (now >= *deadline)
            return false;
        struct pollfd polled[] = {
            {.fd = PQsocket(session->conn), .events = events},
            {.fd = session->alarm, .events = POLLIN},
        };
        uint64_t left = (*deadline - now) / MILLISECOND + 1;
        int found = poll(polled, hurried ? 1 : 2, left < 60000 ? (int)left : 60000);
        if (found < 0 && errno != EINTR)
            return false;
        if (found > 0 && polled[0].revents != 0)
            return true;
    }
}

void tp_pg_session_drop(tp_pg_session *session, const char *why)
{
    if (session->conn == NULL)
        return;
    if (why != NULL)
        tp_pg_note(session, "postgres: %s", why);
    PQfinish(session->conn);
    session->conn = NULL;
    session->durable = false;
    if (!session->was_lost && !is_hurried(session))
        say(session, TROUPE_LOG_WARN, "store_lost", session->error);
    session->was_lost = true;
}

static void drop_by_error(tp_pg_session *session)
{
    char text[400];
    (void)snprintf(text, sizeof text, "%s", PQerrorMessage(session->conn));
    tp_pg_session_drop(session, text[0] != '\0' ? text : "the connection ended");
}

/* The next result of the session; NULL in `*ret_result` ends those of a statement. */
static bool next_result(tp_pg_session *session, uint64_t *deadline, PGresult **ret_result)
{
    while (PQisBusy(session->conn) != 0) {
        int left = PQflush(session->conn);
        if (left < 0)
            break;
        if (!wait_for(session, (short)(POLLIN | (left > 0 ? POLLOUT : 0)), deadline)) {
            tp_pg_session_drop(session, "the server did not answer in time");
            return false;
        }
        if (PQconsumeInput(session->conn) == 0)
            break;
    }
    *ret_result = PQgetResult(session->conn);
    return true;
}

/* Takes the words and the state of an error. */
static void take_refusal(tp_pg_session *session, tp_pg_answer *answer, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (answer->outcome == TP_PG_REFUSED)
        return;
    answer->outcome = TP_PG_REFUSED;
    (void)snprintf(answer->state, sizeof answer->state, "%s", state != NULL ? state : "");
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    tp_pg_note(session, "postgres: %s (%s)", words != NULL ? words : PQerrorMessage(session->conn),
        answer->state);
    /* The server ends the session: what became of the transaction it does not say. */
    if (severity != NULL && strcmp(severity, "ERROR") != 0)
        answer->outcome = TP_PG_LOST;
}

static tp_pg_answer lost(tp_pg_session *session, tp_pg_answer *answer)
{
    PQclear(answer->rows);
    if (session->conn != NULL)
        drop_by_error(session);
    return (tp_pg_answer){.outcome = TP_PG_LOST};
}

/* Collects results up to a sync, or (simple) up to the end. */
static tp_pg_answer collect(tp_pg_session *session, bool simple, uint64_t deadline)
{
    tp_pg_answer answer = {.outcome = TP_PG_DONE};
    for (;;) {
        PGresult *result = NULL;
        if (!next_result(session, &deadline, &result))
            return lost(session, &answer);
        if (PQstatus(session->conn) != CONNECTION_OK) {
            if (result != NULL)
                take_refusal(session, &answer, result);
            PQclear(result);
            return lost(session, &answer);
        }
        if (result == NULL) {
            if (!simple)
                continue;
            break;
        }
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            break;
        }
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            PQclear(answer.rows);
            answer.rows = result;
            continue;
        }
        if (status != PGRES_PIPELINE_ABORTED)
            take_refusal(session, &answer, result);
        PQclear(result);
        if (answer.outcome == TP_PG_LOST)
            return lost(session, &answer);
    }
    if (answer.outcome != TP_PG_DONE) {
        PQclear(answer.rows);
        answer.rows = NULL;
    }
    return answer;
}

tp_pg_answer tp_pg_simple(tp_pg_session *session, const char *sql, uint64_t deadline)
{
    if (session->conn == NULL || PQsendQuery(session->conn, sql) == 0) {
        if (session->conn != NULL)
            drop_by_error(session);
        return (tp_pg_answer){.outcome = TP_PG_UNSENT};
    }
    return collect(session, true, deadline);
}

bool tp_pg_send(
    tp_pg_session *session, tp_pg_statement statement, const tp_pg_parameters *parameters)
{
    session->synced = false;
    char name[16];
    const char *values[TP_PG_PARAMETERS];
    int sizes[TP_PG_PARAMETERS];
    int binary[TP_PG_PARAMETERS];
    for (int i = 0; i < parameters->count; i++) {
        values[i] = parameters->buffer->data + parameters->offset[i];
        sizes[i] = (int)parameters->size[i];
        binary[i] = 1;
    }
    (void)snprintf(name, sizeof name, "t%d", (int)statement);
    if (session->conn != NULL &&
        PQsendQueryPrepared(session->conn, name, parameters->count, values, sizes, binary, 1) != 0)
        return true;
    if (session->conn != NULL)
        drop_by_error(session);
    return false;
}

bool tp_pg_sync(tp_pg_session *session)
{
    if (session->conn != NULL && PQpipelineSync(session->conn) != 0) {
        session->synced = true;
        return true;
    }
    if (session->conn != NULL)
        drop_by_error(session);
    return false;
}

/* Lets out what is queued, reading meanwhile, for a server that cannot write stops to read. */
static bool flush(tp_pg_session *session, uint64_t *deadline)
{
    for (;;) {
        int left = PQflush(session->conn);
        if (left <= 0)
            return left == 0;
        if (!wait_for(session, POLLIN | POLLOUT, deadline) || PQconsumeInput(session->conn) == 0)
            return false;
    }
}

tp_pg_answer tp_pg_receive(tp_pg_session *session, uint64_t deadline)
{
    /* Lost while what was sent before this was waited for: both had gone out together. */
    if (session->conn == NULL)
        return (tp_pg_answer){.outcome = session->synced ? TP_PG_LOST : TP_PG_UNSENT};
    if (!flush(session, &deadline)) {
        /* What is left may be of those that were sent behind it: it may have gone out, and be done.
         */
        tp_pg_session_drop(session, "the server takes nothing more");
        return (tp_pg_answer){.outcome = session->synced ? TP_PG_LOST : TP_PG_UNSENT};
    }
    return collect(session, false, deadline);
}

/* What the server says unasked. That it ends the session comes this way when nothing is under way;
 * all else is of no use to a node, and libpq would print it. */
static void on_notice(void *context, const PGresult *notice)
{
    tp_pg_session *session = context;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        session->ended = true;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static troupe_status refuse_connection(tp_pg_session *session, const char *why)
{
    char text[400];
    (void)snprintf(text, sizeof text, "%s", why);
    tp_pg_session_drop(session, text);
    return TROUPE_UNAVAILABLE;
}

static troupe_status refuse_mute(tp_pg_session *session)
{
    char text[400];
    const char *host = PQhost(session->conn), *port = PQport(session->conn);
    (void)snprintf(text, sizeof text,
        "the server %s:%s did not answer in time: is it up, and is the URL's host and port right?",
        host != NULL ? host : "", port != NULL ? port : "");
    return refuse_connection(session, text);
}

static troupe_status connect_to(tp_pg_session *session, uint64_t deadline)
{
    char milliseconds[24];
    (void)snprintf(milliseconds, sizeof milliseconds, "%llu",
        (unsigned long long)(session->timeout / MILLISECOND));
    /* Ours come first, so that the URL's own win. */
    const char *const names[] = {"keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "fallback_application_name", "dbname", NULL};
    const char *const values[] = {"5", "2", "3", milliseconds, "troupe", session->url, NULL};
    session->conn = PQconnectStartParams(names, values, 1);
    if (session->conn == NULL) {
        tp_pg_note(session, "postgres: no memory for a connection");
        return TROUPE_UNAVAILABLE;
    }
    session->ended = false;
    PQsetNoticeReceiver(session->conn, on_notice, session);
    PQsetErrorContextVisibility(session->conn, PQSHOW_CONTEXT_NEVER);
    /* A peer that says nothing at all is tried anew early: the system asks again after a second. */
    uint64_t extra = session->opening_extra;
    uint64_t first = deadline > extra ? deadline - extra : deadline;
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (PQstatus(session->conn) == CONNECTION_BAD || next == PGRES_POLLING_FAILED)
            return refuse_connection(session, PQerrorMessage(session->conn));
        short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        bool is_mute = PQstatus(session->conn) == CONNECTION_STARTED;
        if (!wait_for(session, events, is_mute ? &first : &deadline))
            return refuse_mute(session);
        next = PQconnectPoll(session->conn);
    }
    if (PQsetnonblocking(session->conn, 1) != 0)
        return refuse_connection(session, PQerrorMessage(session->conn));
    return TROUPE_OK;
}

/* Times of a session, its plans (always by index: arrays are short, tables long), what it does
 * about a peer that has gone, and its durability. */
static troupe_status settle(tp_pg_session *session, uint64_t deadline)
{
    char sql[1400];
    unsigned long long timeout = session->timeout / MILLISECOND;
    (void)snprintf(sql, sizeof sql,
        "SET statement_timeout = %llu; SET lock_timeout = %llu;"
        "SET idle_in_transaction_session_timeout = %llu;"
        "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;"
        "SET plan_cache_mode = force_generic_plan; SET jit = off; SET bytea_output = hex;"
        "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2;"
        "SET tcp_keepalives_count = 3; SET default_transaction_isolation = 'read committed';"
        "%s"
        "SELECT current_setting('fsync'), current_setting('full_page_writes'),"
        " current_setting('synchronous_commit'), (pg_is_in_recovery() OR"
        " current_setting('transaction_read_only')::bool)::text,"
        " current_setting('server_version'), CASE WHEN %llu <> 0 THEN"
        " set_config('application_name', 'troupe/%llu', false) END",
        timeout, timeout / 4 + 1, timeout * 2,
        session->weak ? ""
                      : "SELECT set_config('synchronous_commit', CASE current_setting("
                        "'synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting("
                        "'synchronous_commit') END, false);",
        (unsigned long long)session->writer, (unsigned long long)session->writer);
    tp_pg_answer answer = tp_pg_simple(session, sql, deadline);
    if (answer.outcome != TP_PG_DONE)
        return TROUPE_UNAVAILABLE;
    PGresult *found = answer.rows;
    (void)snprintf(
        session->synchronous, sizeof session->synchronous, "%s", PQgetvalue(found, 0, 2));
    bool synchronous = strcmp(session->synchronous, "off") != 0;
    bool flushed = strcmp(PQgetvalue(found, 0, 0), "on") == 0;
    bool whole = strcmp(PQgetvalue(found, 0, 1), "on") == 0;
    troupe_status status = TROUPE_OK;
    session->durable = synchronous && flushed && whole;
    if (PQserverVersion(session->conn) < 130000) {
        tp_pg_note(session, "postgres: the server is version %s: version 13 or newer is needed",
            PQgetvalue(found, 0, 4));
        status = TROUPE_USAGE;
    } else if (strcmp(PQgetvalue(found, 0, 3), "true") == 0) {
        tp_pg_note(session, "postgres: the server is read-only (a standby?): name the primary, or"
                            " several hosts with target_session_attrs=read-write");
        status = TROUPE_UNAVAILABLE;
    } else if (!session->durable && !session->weak) {
        tp_pg_note(session,
            "postgres: the server has %s = off, so a crash may lose what it called done: set it to"
            " on in postgresql.conf, or accept that with ?accept=not-P5",
            !flushed ? "fsync" : "full_page_writes");
        status = TROUPE_USAGE;
    }
    PQclear(found);
    return status;
}

static troupe_status prepare(tp_pg_session *session, uint64_t deadline)
{
    if (PQenterPipelineMode(session->conn) == 0)
        return TROUPE_UNAVAILABLE;
    for (int i = 0; i < TP_PG_STATEMENTS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%d", i);
        const char *text = tp_pg_schema_text(session, tp_pg_statement_pattern((tp_pg_statement)i));
        if (text == NULL || PQsendPrepare(session->conn, name, text, 0, NULL) == 0)
            return TROUPE_UNAVAILABLE;
    }
    if (!tp_pg_sync(session))
        return TROUPE_UNAVAILABLE;
    tp_pg_answer answer = tp_pg_receive(session, deadline);
    PQclear(answer.rows);
    return answer.outcome == TP_PG_DONE ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

troupe_status tp_pg_session_open(tp_pg_session *session, uint64_t deadline)
{
    session->was_lost = true; /* failures here are told by who opens */
    troupe_status status = connect_to(session, deadline);
    if (status == TROUPE_OK)
        status = settle(session, deadline);
    if (status == TROUPE_OK && !session->bare)
        status = tp_pg_schema_ensure(session, deadline);
    if (status == TROUPE_OK && !session->bare)
        status = prepare(session, deadline);
    if (status != TROUPE_OK) {
        tp_pg_session_drop(session, NULL);
        return status;
    }
    session->was_lost = false;
    session->back_off = 0;
    return TROUPE_OK;
}

/* Reads what the server said while nobody listened: its end, for one. */
static bool is_alive(tp_pg_session *session)
{
    enum { MESSAGES = 16 };
    struct pollfd polled = {.fd = PQsocket(session->conn), .events = POLLIN};
    for (int i = 0; i < MESSAGES && !session->ended && poll(&polled, 1, 0) > 0; i++) {
        if (PQconsumeInput(session->conn) == 0)
            break;
        int busy = PQisBusy(session->conn); /* parses what has come */
        (void)busy;
    }
    if (!session->ended && PQstatus(session->conn) == CONNECTION_OK)
        return true;
    drop_by_error(session);
    return false;
}

bool tp_pg_session_ready(tp_pg_session *session, uint64_t deadline)
{
    if (session->conn != NULL && is_alive(session))
        return true;
    tp_pg_session_drop(session, "the connection ended");
    uint64_t now = clock_of(session);
    if (is_hurried(session) || now < session->retry_at || now >= deadline)
        return false;
    if (tp_pg_session_open(session, deadline + session->opening_extra) == TROUPE_OK) {
        say(session, TROUPE_LOG_INFO, "store_back", "postgres: the server is there again");
        return true;
    }
    uint64_t wait = session->back_off != 0 ? session->back_off * 2 : FIRST_BACK_OFF;
    uint64_t most = session->back_off_most != 0 ? session->back_off_most : LONGEST_BACK_OFF;
    session->back_off = wait < most ? wait : most;
    session->retry_at = clock_of(session) + session->back_off;
    return false;
}

void tp_pg_session_close(tp_pg_session *session)
{
    if (session->conn != NULL)
        PQfinish(session->conn);
    session->conn = NULL;
    if (session->alarm >= 0)
        (void)close(session->alarm);
    session->alarm = -1;
}
