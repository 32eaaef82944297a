/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `postgres:` against the conformance suite, by itself and under the wrapper
 * of faulty.h, on a server of its own. What a failing server does to it is in
 * postgres_faults_test.c.
 *
 * Threads: one.
 */
#include "faulty.h"
#include "postgres_server.h"

#include "providers/postgres/postgres.h"

#include <stdio.h>

typedef struct place {
    postgres_server server;
    char url[400];
    char libpq[400]; /* without our options */
} place;

/* Everything that is stored, but not the schema: making it is what the first open does. */
static int clean(void *user)
{
    const place *self = user;
    PGconn *conn = PQconnectdb(self->libpq);
    PGresult *result = PQexec(conn,
        "DO $$ BEGIN IF to_regclass('troupe.format') IS NOT NULL THEN"
        " TRUNCATE troupe.writers, troupe.actors, troupe.rows, troupe.events, troupe.snapshots;"
        " END IF; END $$");
    int failed = PQresultStatus(result) != PGRES_COMMAND_OK;
    if (failed)
        fprintf(stderr, "%s\n", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return failed;
}

int main(void)
{
    static const troupe_provider provider = {
        sizeof provider, TROUPE_API_NUMBER, "postgres", tp_postgres_open};
    place self = {0};
    if (!postgres_server_start(&self.server, "")) {
        fprintf(stderr, "FAILED: PostgreSQL does not start\n");
        postgres_server_remove(&self.server);
        return 1;
    }
    postgres_server_url(&self.server, "timeout=20s", self.url, sizeof self.url);
    postgres_server_url(&self.server, "", self.libpq, sizeof self.libpq);
    conformance suite = {.name = "postgres",
        .provider = &provider,
        .url = self.url,
        .clean = clean,
        .user = &self,
        .durable = true,
        .shared = true};
    int failed = conformance_run(&suite);
    failed += faulty_run(&suite, 1000);
    postgres_server_remove(&self.server);
    return failed;
}
