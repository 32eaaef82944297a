/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw limit of durable turns on PostgreSQL: libpq itself, 200 bytes of state of many actors changed
 * again and again, each change durable when it is answered. Its best grouping: an array of 1,024
 * states for one prepared update, a transaction each, two of them in the pipeline, so that the
 * server never waits for its client; half of each page left free, so that no index is touched.
 *
 *   durable_postgres URL [GROUP]          commits per second
 *   durable_postgres URL --one            one commit after the other
 *   durable_postgres URL --handed         nanoseconds for a commit that another thread is handed
 *                                         behind a condition variable, one at a time
 *   durable_postgres URL --hot            turns per second of one actor, 1,000 for each commit,
 *                                         which is what such commits alone would let through
 *   durable_postgres URL [GROUP] --get    states read per second, GROUP in one statement
 *
 * Without URL: TROUPE_POSTGRES; without that it is skipped. Its table lies in schema troupe_limit.
 *
 * Invariants: the server's durability is asked for, and a server without it is refused (77).
 * Threads: one; --handed has a second one, which alone uses the connection; the server's is another
 * process.
 */
#include "limits/handed.h"

#include <arpa/inet.h>
#include <libpq-fe.h>

enum { ACTORS = 65536, STATE = 200, GROUP_MAX = 8192, ARRAY_HEAD = 20, DEPTH = 2, HOT = 1000 };
enum { BYTEA = 17 };

struct array {
    char *data;
    int size;
};

static void put(struct array *array, const void *bytes, size_t size)
{
    memcpy(array->data + array->size, bytes, size);
    array->size += (int)size;
}

static void put_number(struct array *array, uint32_t number)
{
    uint32_t big = htonl(number);
    put(array, &big, sizeof big);
}

static void put_head(struct array *array, size_t count)
{
    const uint32_t head[] = {1, 0, BYTEA, (uint32_t)count, 1};
    array->size = 0;
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        put_number(array, head[i]);
}

static int fail(PGconn *conn, const char *what)
{
    fprintf(stderr, "limit durable_postgres: %s: %s\n", what, PQerrorMessage(conn));
    return 1;
}

static int run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : fail(conn, sql);
}

static bool is_durable(PGconn *conn)
{
    PGresult *result = PQexec(conn, "SELECT 1 WHERE current_setting('fsync') = 'on' AND"
                                    " current_setting('full_page_writes') = 'on' AND"
                                    " current_setting('synchronous_commit') = 'on'");
    bool durable = PQntuples(result) == 1;
    PQclear(result);
    return durable;
}

static int begin(PGconn *conn, bool get)
{
    static const char *const setup[] = {
        "SET client_min_messages = error",
        "SET enable_hashjoin = off",
        "SET enable_mergejoin = off",
        "SET enable_seqscan = off",
        "SET plan_cache_mode = force_generic_plan",
        "DROP SCHEMA IF EXISTS troupe_limit CASCADE",
        "CREATE SCHEMA troupe_limit",
        "CREATE TABLE troupe_limit.actors (version int8 NOT NULL, id bytea PRIMARY KEY,"
        " state bytea) WITH (fillfactor = 50)",
        "INSERT INTO troupe_limit.actors SELECT 1, ('account/' || lpad(n::text, 12, '0'))::bytea,"
        " decode(repeat(md5(n::text), 13), 'hex')::bytea FROM generate_series(0, 65535) n",
        "UPDATE troupe_limit.actors SET state = substr(state, 1, 200)",
        "VACUUM ANALYZE troupe_limit.actors",
        "CHECKPOINT",
    };
    for (size_t i = 0; i < sizeof setup / sizeof *setup; i++)
        if (run(conn, setup[i]) != 0)
            return 1;
    PGresult *result = PQprepare(conn, "job",
        get ? "SELECT i.id, a.version, a.state FROM (SELECT unnest($1::bytea[]) AS id) i"
              " JOIN troupe_limit.actors a ON a.id = i.id"
            : "UPDATE troupe_limit.actors a SET version = a.version + 1, state = i.state"
              " FROM (SELECT unnest($1::bytea[]) AS id, unnest($2::bytea[]) AS state) i"
              " WHERE a.id = i.id",
        0, NULL);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status != PGRES_COMMAND_OK || PQenterPipelineMode(conn) == 0)
        return fail(conn, "prepare");
    return 0;
}

/* The next `group` actors; groups walk through all of them. */
static int send_group(
    PGconn *conn, struct array *ids, struct array *states, size_t group, uint64_t first, bool get)
{
    char state[STATE];
    memset(state, (int)(first & 127), sizeof state);
    put_head(ids, group);
    put_head(states, group);
    for (uint64_t i = first; i < first + group; i++) {
        char id[32];
        int size = snprintf(id, sizeof id, "account/%012llu", (unsigned long long)(i % ACTORS));
        put_number(ids, (uint32_t)size);
        put(ids, id, (size_t)size);
        if (get)
            continue;
        memcpy(state, &i, sizeof i);
        put_number(states, STATE);
        put(states, state, STATE);
    }
    const char *values[] = {ids->data, states->data};
    const int sizes[] = {ids->size, states->size};
    const int binary[] = {1, 1};
    return PQsendQueryPrepared(conn, "job", get ? 1 : 2, values, sizes, binary, 1) != 0
               ? 0
               : fail(conn, "send");
}

static int send_end(PGconn *conn)
{
    return PQpipelineSync(conn) != 0 ? 0 : fail(conn, "sync");
}

static int take_answer(PGconn *conn, size_t group, bool get, uint64_t *sum)
{
    PGresult *result = PQgetResult(conn);
    bool good = get ? PQntuples(result) == (int)group : atol(PQcmdTuples(result)) == (long)group;
    for (int i = 0; get && i < PQntuples(result); i++)
        *sum += (uint64_t)PQgetvalue(result, i, 2)[0] + (uint64_t)PQgetvalue(result, i, 0)[8];
    PQclear(result);
    if (!good)
        return fail(conn, "answer");
    PQclear(PQgetResult(conn)); /* NULL: the statement's end */
    return 0;
}

static int take_end(PGconn *conn)
{
    PGresult *result = PQgetResult(conn);
    bool good = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    PQclear(result);
    return good ? 0 : fail(conn, "sync");
}

static int measure(PGconn *conn, size_t group, size_t depth, bool get, double *ret_rate)
{
    struct array ids = {malloc(ARRAY_HEAD + group * 32), 0};
    struct array states = {malloc(ARRAY_HEAD + group * (STATE + 4)), 0};
    uint64_t sent = 0, done = 0, sum = 0, start = limit_now_ns(), end = start;
    int failed = 0;
    while (failed == 0 && (end - start < 4 * LIMIT_RUN_NS || done < sent)) {
        bool more = end - start < 4 * LIMIT_RUN_NS;
        if (more && sent - done < depth * group) {
            failed = send_group(conn, &ids, &states, group, sent, get) || send_end(conn);
            sent += group;
            continue;
        }
        failed = take_answer(conn, group, get, &sum) || take_end(conn);
        done += group;
        end = limit_now_ns();
    }
    LIMIT_OPAQUE(sum);
    *ret_rate = (double)done * 1e9 / (double)(end - start);
    free(ids.data);
    free(states.data);
    return failed;
}

struct single {
    PGconn *conn;
    struct array ids, states;
    uint64_t turns;
};

static void commit_one(void *user, uint64_t number)
{
    struct single *self = user;
    uint64_t sum = 0;
    (void)number;
    for (uint64_t i = 0; i < self->turns; i++)
        if (send_group(self->conn, &self->ids, &self->states, 1, 0, false) != 0)
            exit(1);
    bool failed = send_end(self->conn) != 0;
    for (uint64_t i = 0; i < self->turns && !failed; i++)
        failed = take_answer(self->conn, 1, false, &sum) != 0;
    if (failed || take_end(self->conn) != 0)
        exit(1);
}

/* Nanoseconds for a commit of so many updates of one actor. */
static double measure_single(PGconn *conn, uint64_t turns)
{
    struct single single = {
        conn, {malloc(ARRAY_HEAD + 32), 0}, {malloc(ARRAY_HEAD + STATE + 4), 0}, turns};
    double value = 0;
    if (turns == 1) {
        value = limit_handed(commit_one, &single, 4 * LIMIT_RUN_NS);
    } else {
        uint64_t start = limit_now_ns(), done = 0;
        for (; limit_now_ns() - start < 4 * LIMIT_RUN_NS; done++)
            commit_one(&single, done);
        value = (double)(limit_now_ns() - start) / (double)done;
    }
    free(single.ids.data);
    free(single.states.data);
    return value;
}

int main(int argc, char **argv)
{
    const char *url = getenv("TROUPE_POSTGRES");
    bool one = false, get = false, handed = false, hot = false;
    int plain = 0;
    for (int i = 1; i < argc; i++) {
        handed = handed || strcmp(argv[i], "--handed") == 0;
        hot = hot || strcmp(argv[i], "--hot") == 0;
        one = one || strcmp(argv[i], "--one") == 0;
        get = get || strcmp(argv[i], "--get") == 0;
        if (strncmp(argv[i], "postgres", 8) == 0) {
            url = argv[i];
            plain = 1;
        }
    }
    if (url == NULL) {
        fprintf(stderr, "limit durable_postgres: name a server by its URL\n");
        return LIMIT_SKIPPED;
    }
    size_t group = one ? 1 : limit_argument(argc, argv, plain, 1024);
    PGconn *conn = PQconnectdb(url);
    if (group > GROUP_MAX || PQstatus(conn) != CONNECTION_OK || !is_durable(conn)) {
        fprintf(stderr, "limit durable_postgres: no durable server: %s\n", PQerrorMessage(conn));
        PQfinish(conn);
        return LIMIT_SKIPPED;
    }
    double rate = 0, taken = 0;
    int failed = begin(conn, get);
    if (failed == 0 && (handed || hot))
        taken = measure_single(conn, hot ? HOT : 1);
    else if (failed == 0)
        failed = measure(conn, group, one ? 1 : DEPTH, get, &rate);
    PQfinish(conn);
    if (failed)
        return 1;
    if (handed)
        return limit_report(argc, argv, "durable_postgres_handed", taken, "ns", 0);
    if (hot)
        return limit_report(argc, argv, "durable_postgres_hot", HOT * 1e9 / taken, "ops/s", 0);
    const char *name = get   ? "durable_postgres_get"
                       : one ? "durable_postgres_one"
                             : "durable_postgres";
    return limit_report(argc, argv, name, rate, "ops/s", get || one ? 0 : 88e3);
}
