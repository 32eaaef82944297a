/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the storage provider `postgres:` does when its server, its sessions or its settings fail:
 * servers stopped, sessions ended and stopped in the middle of a commit, locks held by others,
 * wrong passwords, missing rights, other formats, two nodes at once.
 *
 * Invariant: no test waits for a time to pass; what is awaited is asked for until a deadline.
 * Threads: the test's; some tests run the store on a second one.
 */
#include "postgres_server.h"

#include "base/alloc.h"
#include "providers/postgres/postgres.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define WRITER UINT64_C(1700000000000000001)

static postgres_server server; /* of all tests here */

/* ---- stores ---------------------------------------------------------------------------------- */

static uint64_t read_clock(void *context)
{
    struct timespec moment;
    clock_gettime(context == NULL ? CLOCK_MONOTONIC : CLOCK_REALTIME, &moment);
    return (uint64_t)moment.tv_sec * SECOND + (uint64_t)moment.tv_nsec;
}

static void host_log(void *context, int level, const char *event, const char *text)
{
    (void)context;
    fprintf(stderr, "log %d %s: %s\n", level, event, text);
}

static troupe_status try_open(
    const char *url, troupe_store **ret_store, char *error, size_t error_size)
{
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .now = read_clock,
        .wall = read_clock,
        .log = host_log};
    return tp_postgres_open(&host, url, ret_store, error, error_size);
}

static troupe_store *open_store(const char *options)
{
    char url[500], error[512] = "";
    troupe_store *store = NULL;
    postgres_server_url(&server, options, url, sizeof url);
    if (try_open(url, &store, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    return store;
}

static const char *refused_opening(const char *url, troupe_status expected)
{
    static char error[512];
    troupe_store *store = NULL;
    assert_int_equal(try_open(url, &store, error, sizeof error), expected);
    assert_null(store);
    return error;
}

static const char *refused_options(const char *options)
{
    char url[500];
    postgres_server_url(&server, options, url, sizeof url);
    return refused_opening(url, TROUPE_USAGE);
}

/* A session of the test's own. */
static PGconn *connect_as_other(void)
{
    char url[500];
    postgres_server_url(&server, "", url, sizeof url);
    PGconn *conn = PQconnectdb(url);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    PQclear(PQexec(conn, "SET client_min_messages = error"));
    return conn;
}

/* Runs SQL; the number in its first field, -1: none. */
static long ask(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    long found = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : -1;
    PQclear(result);
    return found;
}

static void ask_once(const char *sql)
{
    PGconn *conn = connect_as_other();
    ask(conn, sql);
    PQfinish(conn);
}

static pid_t backend_of(troupe_store *store)
{
    return PQbackendPID(((tp_pg_store *)(void *)store)->session.conn);
}

/* ---- operations ------------------------------------------------------------------------------ */

static troupe_status run(troupe_store *store, troupe_store_op *op)
{
    op->status = (troupe_status)-1;
    store->run(store, (troupe_store_op *const[]){op}, 1);
    return op->status;
}

static troupe_store_op make_commit(const char *key, uint64_t version)
{
    troupe_store_op op = {.kind = TROUPE_STORE_COMMIT,
        .id = troupe_id_of("user", key),
        .writer = WRITER,
        .version = version,
        .allocator = tp_allocator_system()};
    op.commit.has_state = true;
    op.commit.state = troupe_str("state");
    op.commit.time = WRITER;
    return op;
}

static troupe_status write_row(troupe_store *store, troupe_store_kind kind, uint64_t writer)
{
    troupe_store_op op = {.kind = kind, .writer = writer, .allocator = tp_allocator_system()};
    return run(store, &op);
}

static uint64_t load_version(troupe_store *store, const char *key)
{
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD,
        .id = troupe_id_of("user", key),
        .allocator = tp_allocator_system()};
    assert_int_equal(run(store, &op), TROUPE_OK);
    troupe_store_release(&op);
    return op.found;
}

/* Until the store is reached again. */
typedef struct attempt {
    troupe_store *store;
    troupe_store_op op;
} attempt;

static bool is_answered(void *user)
{
    attempt *self = user;
    troupe_status status = run(self->store, &self->op);
    return status != TROUPE_UNAVAILABLE && status != TROUPE_UNKNOWN;
}

static troupe_store_op run_until_answered(troupe_store *store, troupe_store_op op)
{
    attempt self = {store, op};
    assert_true(server_await(is_answered, &self, 30));
    return self.op;
}

/* The same commit again tells what became of it. */
static void expect_it_is_done(troupe_store *store, troupe_store_op op)
{
    op = run_until_answered(store, op);
    if (op.status != TROUPE_OK)
        assert_int_equal(op.status, TROUPE_CONFLICT);
    assert_int_equal(op.found, op.version + 1);
    assert_int_equal(load_version(store, op.id.key.data), op.version + 1);
}

typedef struct background {
    pthread_t thread;
    troupe_store *store;
    troupe_store_op op;
    uint64_t took;
} background;

static void *run_in_background(void *argument)
{
    background *self = argument;
    uint64_t begun = read_clock(NULL);
    run(self->store, &self->op);
    self->took = read_clock(NULL) - begun;
    return NULL;
}

static void begin_background(background *self, troupe_store *store, troupe_store_op op)
{
    *self = (background){.store = store, .op = op};
    assert_int_equal(pthread_create(&self->thread, NULL, run_in_background, self), 0);
}

/* Another session waits for a lock. */
static bool somebody_waits(void *conn)
{
    return ask(conn, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") > 0;
}

/* ---- setup ----------------------------------------------------------------------------------- */

static int forget_all(void **state)
{
    (void)state;
    if (server.server.pid == 0 && !postgres_server_start(&server, "")) /* a test failed */
        return -1;
    PGconn *conn = connect_as_other();
    ask(conn, "DROP SCHEMA IF EXISTS troupe CASCADE");
    PQfinish(conn);
    return 0;
}

/* ---- the server is away ---------------------------------------------------------------------- */

static void server_that_stopped_and_came_back_serves_again(void **state)
{
    (void)state;
    troupe_store *store = open_store("");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    troupe_store_op commit = make_commit("ada", 0);
    assert_int_equal(run(store, &commit), TROUPE_OK);
    postgres_server_stop(&server);
    commit = make_commit("ada", 1);
    assert_int_equal(run(store, &commit), TROUPE_UNAVAILABLE); /* and not UNKNOWN: it was idle */
    uint64_t begun = read_clock(NULL);
    for (int i = 0; i < 100; i++)
        assert_int_equal(run(store, &commit), TROUPE_UNAVAILABLE);
    assert_true(read_clock(NULL) - begun < SECOND); /* 100 that end at once */
    troupe_store_op health = {.kind = TROUPE_STORE_HEALTH, .allocator = tp_allocator_system()};
    assert_int_equal(run(store, &health), TROUPE_UNAVAILABLE);
    assert_non_null(health.items);
    assert_true(health.items->value.size > 10);
    troupe_store_release(&health);
    assert_true(postgres_server_start(&server, ""));
    commit = run_until_answered(store, commit);
    assert_int_equal(commit.status, TROUPE_OK);
    assert_int_equal(load_version(store, "ada"), 2);
    store->close(store);
}

static void server_killed_and_recovered_has_all_that_was_done(void **state)
{
    (void)state;
    troupe_store *store = open_store("");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    for (uint64_t i = 0; i < 20; i++) {
        troupe_store_op commit = make_commit("ada", i);
        assert_int_equal(run(store, &commit), TROUPE_OK);
    }
    server_end(&server.server, SIGQUIT); /* nothing is tidied up */
    assert_true(postgres_server_start(&server, ""));
    troupe_store_op commit = run_until_answered(store, make_commit("ada", 20));
    assert_int_equal(commit.status, TROUPE_OK);
    store->close(store);
}

static void commit_whose_session_is_ended_is_unknown_and_may_be_sent_again(void **state)
{
    (void)state;
    troupe_store *store = open_store("timeout=20s");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    troupe_store_op commit = make_commit("ada", 0);
    assert_int_equal(run(store, &commit), TROUPE_OK);
    PGconn *conn = connect_as_other();
    ask(conn, "BEGIN; SELECT 1 FROM troupe.actors FOR UPDATE");
    background other;
    commit = make_commit("ada", 1);
    begin_background(&other, store, commit);
    PGconn *watcher = connect_as_other();
    assert_true(server_await(somebody_waits, watcher, 10));
    ask(watcher, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE wait_event_type = 'Lock'");
    pthread_join(other.thread, NULL);
    assert_int_equal(other.op.status, TROUPE_UNKNOWN);
    ask(conn, "ROLLBACK");
    expect_it_is_done(store, commit);
    PQfinish(conn);
    PQfinish(watcher);
    store->close(store);
}

static void session_that_stands_still_makes_commits_unknown_within_the_timeout(void **state)
{
    (void)state;
    troupe_store *store = open_store("timeout=700ms");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    pid_t backend = backend_of(store);
    kill(backend, SIGSTOP);
    uint64_t begun = read_clock(NULL);
    troupe_store_op commit = make_commit("ada", 0);
    assert_int_equal(run(store, &commit), TROUPE_UNKNOWN);
    assert_true(read_clock(NULL) - begun < 3 * SECOND);
    assert_true(read_clock(NULL) - begun >= SECOND / 2);
    expect_it_is_done(store, commit); /* by another session, the first is stopped still */
    kill(backend, SIGCONT);           /* its commit comes late, and is refused */
    commit = make_commit("ada", 1);
    commit = run_until_answered(store, commit);
    assert_int_equal(commit.status, TROUPE_OK);
    assert_int_equal(load_version(store, "ada"), 2);
    store->close(store);
}

static void commit_sent_beside_a_load_that_is_lost_is_unknown(void **state)
{
    (void)state;
    troupe_store *store = open_store("timeout=500ms");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    pid_t backend = backend_of(store);
    kill(backend, SIGSTOP);
    troupe_store_op load = {.kind = TROUPE_STORE_LOAD,
        .id = troupe_id_of("user", "bob"),
        .allocator = tp_allocator_system()};
    troupe_store_op commit = make_commit("ada", 0);
    store->run(store, (troupe_store_op *const[]){&load, &commit}, 2);
    assert_int_equal(load.status, TROUPE_UNAVAILABLE);
    assert_int_equal(commit.status, TROUPE_UNKNOWN);
    kill(backend, SIGCONT); /* it may land now, or be the second */
    expect_it_is_done(store, commit);
    store->close(store);
}

static void node_that_closes_waits_for_no_answer(void **state)
{
    (void)state;
    troupe_store *store = open_store("timeout=60s");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    pid_t backend = backend_of(store);
    kill(backend, SIGSTOP);
    background other;
    begin_background(&other, store, make_commit("ada", 0));
    store->hurry(store);
    pthread_join(other.thread, NULL);
    kill(backend, SIGCONT);
    assert_true(other.op.status == TROUPE_UNKNOWN || other.op.status == TROUPE_UNAVAILABLE);
    assert_true(other.took < 5 * SECOND);
    store->close(store);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

enum { GROUP = 64, BAD = 37 };

static void run_group(troupe_store *store, troupe_status bad)
{
    static char keys[GROUP][16];
    troupe_store_op ops[GROUP], *list[GROUP];
    for (size_t i = 0; i < GROUP; i++) {
        snprintf(keys[i], sizeof keys[i], i == BAD ? "bad" : "good-%zu", i);
        ops[i] = make_commit(keys[i], i == BAD ? 1 : 0);
        list[i] = &ops[i];
    }
    store->run(store, list, GROUP);
    for (size_t i = 0; i < GROUP; i++)
        assert_int_equal(ops[i].status, i == BAD ? bad : TROUPE_OK);
    assert_int_equal(load_version(store, "good-63"), 1);
    assert_int_equal(load_version(store, "bad"), 1);
}

static troupe_store *open_with_bad(void)
{
    troupe_store *store = open_store("");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    troupe_store_op commit = make_commit("bad", 0);
    assert_int_equal(run(store, &commit), TROUPE_OK);
    return store;
}

static void error_of_the_server_about_one_commit_fails_no_neighbour(void **state)
{
    (void)state;
    troupe_store *store = open_with_bad();
    ask_once("ALTER TABLE troupe.actors ADD CHECK (id <> 'user/bad' OR version < 2)");
    run_group(store, TROUPE_UNAVAILABLE);
    store->close(store);
}

static void actor_that_somebody_has_locked_fails_no_neighbour(void **state)
{
    (void)state;
    troupe_store *store = open_with_bad();
    PGconn *conn = connect_as_other();
    ask(conn, "BEGIN; SELECT 1 FROM troupe.actors WHERE id = 'user/bad' FOR UPDATE");
    run_group(store, TROUPE_UNAVAILABLE);
    PQfinish(conn);
    store->close(store);
}

/* ---- writers --------------------------------------------------------------------------------- */

static void writer_whose_session_hangs_in_a_commit_is_closed_all_the_same(void **state)
{
    (void)state;
    troupe_store *store = open_store("timeout=1s");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    PGconn *conn = connect_as_other();
    char sql[200];
    snprintf(sql, sizeof sql,
        "SET application_name = 'troupe/%llu'; BEGIN;"
        " SELECT 1 FROM troupe.writers FOR SHARE",
        (unsigned long long)WRITER);
    ask(conn, sql);
    troupe_store *other = open_store("timeout=4s");
    assert_int_equal(write_row(other, TROUPE_STORE_CLOSE_WRITER, WRITER), TROUPE_OK);
    PGresult *result = PQexec(conn, "COMMIT");
    assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    troupe_store_op commit = run_until_answered(store, make_commit("ada", 0));
    assert_int_equal(commit.status, TROUPE_CLOSED);
    PQfinish(conn);
    store->close(store);
    other->close(other);
}

enum { VERSIONS = 200 };

typedef struct fighter {
    pthread_t thread;
    troupe_store *store;
    uint64_t writer;
    unsigned won[VERSIONS];
} fighter;

static void *fight(void *argument)
{
    fighter *self = argument;
    for (uint64_t version = 0; version < VERSIONS;) {
        troupe_store_op commit = make_commit("ada", version);
        commit.writer = self->writer;
        troupe_status status = run(self->store, &commit);
        if (status == TROUPE_OK)
            self->won[version]++;
        else if (status != TROUPE_CONFLICT)
            return (void *)"neither won nor lost";
        version = commit.found;
    }
    return NULL;
}

static void of_two_writers_exactly_one_makes_each_version(void **state)
{
    (void)state;
    fighter fighters[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        fighters[i].store = open_store("timeout=20s");
        fighters[i].writer = WRITER + i;
        assert_int_equal(write_row(fighters[i].store, TROUPE_STORE_OPEN_WRITER, WRITER + i), 0);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&fighters[i].thread, NULL, fight, &fighters[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        void *wrong = NULL;
        pthread_join(fighters[i].thread, &wrong);
        assert_null(wrong);
        fighters[i].store->close(fighters[i].store);
    }
    for (size_t i = 0; i < VERSIONS; i++)
        assert_int_equal(fighters[0].won[i] + fighters[1].won[i], 1);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void wrong_password_is_said_at_the_opening(void **state)
{
    (void)state;
    char url[300];
    ask_once("DROP ROLE IF EXISTS ada; CREATE ROLE ada LOGIN PASSWORD 'right'");
    snprintf(url, sizeof url, "postgres://ada:wrong@127.0.0.1:%d/postgres", server.port);
    const char *error = refused_opening(url, TROUPE_UNAVAILABLE);
    assert_non_null(strstr(error, "password authentication failed"));
    assert_null(strstr(error, "wrong")); /* and is not told to the log */
}

static void missing_right_is_said_with_what_to_grant(void **state)
{
    (void)state;
    char url[300];
    ask_once("DROP ROLE IF EXISTS ada; CREATE ROLE ada LOGIN PASSWORD 'right'");
    snprintf(url, sizeof url, "postgres://ada:right@127.0.0.1:%d/postgres", server.port);
    const char *error = refused_opening(url, TROUPE_USAGE);
    assert_non_null(strstr(error, "permission denied"));
    assert_non_null(strstr(error, "GRANT CREATE"));
    ask_once("GRANT CREATE ON DATABASE postgres TO ada");
    troupe_store *store = NULL;
    char text[512];
    assert_int_equal(try_open(url, &store, text, sizeof text), TROUPE_OK);
    store->close(store);
    ask_once("DROP SCHEMA troupe CASCADE; REVOKE CREATE ON DATABASE postgres FROM ada;"
             "DROP ROLE ada");
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    assert_non_null(strstr(refused_options("timeout=soon"), "timeout=soon"));
    assert_non_null(strstr(refused_options("schema=a-b"), "schema=a-b"));
    assert_non_null(strstr(refused_options("accept=all"), "not-P5"));
    assert_non_null(strstr(refused_options("colour=red"), "colour"));
    assert_non_null(strstr(
        refused_opening("postgres://127.0.0.1:1/postgres", TROUPE_UNAVAILABLE), "127.0.0.1"));
}

static void server_that_may_lose_what_is_done_is_refused_unless_accepted(void **state)
{
    (void)state;
    postgres_server_stop(&server);
    assert_true(postgres_server_start(&server, "fsync = off"));
    assert_non_null(strstr(refused_options(""), "fsync = off"));
    assert_non_null(strstr(refused_options(""), "accept=not-P5"));
    troupe_store *store = open_store("accept=not-P5");
    assert_false(store->durable);
    assert_non_null(strstr(store->promises, "NOT P5"));
    store->close(store);
    postgres_server_stop(&server);
    assert_true(postgres_server_start(&server, "fsync = on\nsynchronous_commit = off"));
    store = open_store(""); /* that one it sets for its own session */
    assert_true(store->durable);
    assert_non_null(strstr(store->promises, "synchronous_commit on"));
    store->close(store);
    store = open_store("accept=not-P5");
    assert_false(store->durable);
    store->close(store);
    postgres_server_stop(&server);
    assert_true(postgres_server_start(&server, "synchronous_commit = on"));
}

static void newer_format_is_refused(void **state)
{
    (void)state;
    troupe_store *store = open_store("");
    store->close(store);
    ask_once("UPDATE troupe.format SET version = 1000");
    assert_non_null(strstr(refused_options(""), "format 1000"));
}

static void older_format_is_upgraded(void **state)
{
    (void)state;
    troupe_store *store = open_store("");
    assert_int_equal(write_row(store, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    troupe_store_op commit = make_commit("ada", 0);
    assert_int_equal(run(store, &commit), TROUPE_OK);
    store->close(store);
    /* Format 1 had the tables only. */
    ask_once("DROP FUNCTION troupe.commit_plain, troupe.commit_full, troupe.refused,"
             " troupe.refused_all; UPDATE troupe.format SET version = 1");
    store = open_store("");
    commit = make_commit("ada", 1);
    assert_int_equal(run(store, &commit), TROUPE_OK);
    assert_int_equal(load_version(store, "ada"), 2);
    store->close(store);
}

static void *open_in_background(void *argument)
{
    char error[512];
    *(troupe_status *)argument = TROUPE_OK;
    char url[500];
    troupe_store *store = NULL;
    postgres_server_url(&server, "timeout=20s", url, sizeof url);
    troupe_status status = try_open(url, &store, error, sizeof error);
    if (status == TROUPE_OK)
        store->close(store);
    else
        fprintf(stderr, "%s\n", error);
    *(troupe_status *)argument = status;
    return NULL;
}

static void nodes_that_start_at_once_make_one_schema(void **state)
{
    (void)state;
    enum { NODES = 6 };
    pthread_t threads[NODES];
    troupe_status statuses[NODES];
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_in_background, &statuses[i]), 0);
    for (size_t i = 0; i < NODES; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(statuses[i], TROUPE_OK);
}

static void schemas_of_other_names_are_apart(void **state)
{
    (void)state;
    troupe_store *one = open_store(""), *two = open_store("schema=other");
    assert_int_equal(write_row(one, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    assert_int_equal(write_row(two, TROUPE_STORE_OPEN_WRITER, WRITER), TROUPE_OK);
    troupe_store_op commit = make_commit("ada", 0);
    assert_int_equal(run(one, &commit), TROUPE_OK);
    assert_int_equal(load_version(one, "ada"), 1);
    assert_int_equal(load_version(two, "ada"), 0);
    one->close(one);
    two->close(two);
    ask_once("DROP SCHEMA other CASCADE");
}

/* The URL's own timeout is longer. */
static void a_server_that_never_answers_ends_the_opening_in_time(void **state)
{
    (void)state;
    int port, listener = server_listen_mute(&port);
    assert_true(listener >= 0);
    uint64_t began = read_clock(NULL);
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .now = read_clock,
        .wall = read_clock,
        .log = host_log,
        .open_until = began + SECOND / 10};
    char url[128], error[512] = "";
    troupe_store *store = NULL;
    snprintf(url, sizeof url, "postgres://x:secret@127.0.0.1:%d/d?timeout=30s", port);
    assert_int_equal(tp_postgres_open(&host, url, &store, error, sizeof error), TROUPE_UNAVAILABLE);
    assert_null(store);
    assert_true(read_clock(NULL) - began < 20 * SECOND);
    assert_non_null(strstr(error, "127.0.0.1"));
    assert_null(strstr(error, "secret"));
    close(listener);
}

#define TEST(name) cmocka_unit_test_setup(name, forget_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_that_stopped_and_came_back_serves_again),
        TEST(server_killed_and_recovered_has_all_that_was_done),
        TEST(commit_whose_session_is_ended_is_unknown_and_may_be_sent_again),
        TEST(session_that_stands_still_makes_commits_unknown_within_the_timeout),
        TEST(commit_sent_beside_a_load_that_is_lost_is_unknown),
        TEST(node_that_closes_waits_for_no_answer),
        TEST(error_of_the_server_about_one_commit_fails_no_neighbour),
        TEST(actor_that_somebody_has_locked_fails_no_neighbour),
        TEST(writer_whose_session_hangs_in_a_commit_is_closed_all_the_same),
        TEST(of_two_writers_exactly_one_makes_each_version),
        TEST(wrong_password_is_said_at_the_opening),
        TEST(missing_right_is_said_with_what_to_grant),
        TEST(wrong_options_are_named),
        TEST(server_that_may_lose_what_is_done_is_refused_unless_accepted),
        TEST(newer_format_is_refused),
        TEST(older_format_is_upgraded),
        TEST(nodes_that_start_at_once_make_one_schema),
        TEST(schemas_of_other_names_are_apart),
        TEST(a_server_that_never_answers_ends_the_opening_in_time),
    };
    if (!postgres_server_start(&server, "")) {
        fprintf(stderr, "FAILED: PostgreSQL does not start\n");
        postgres_server_remove(&server);
        return 1;
    }
    int failed = cmocka_run_group_tests_name("postgres_faults", tests, NULL, NULL);
    postgres_server_remove(&server);
    return failed;
}
