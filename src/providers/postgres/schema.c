/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the store, its functions, and every statement that is run on them. The schema makes
 * itself: one step from each format to the next, all of them in one transaction under an advisory
 * lock, so that of two nodes that start at once one finds it done. A format that is newer than this
 * program is refused.
 *
 * Invariants
 * 1. A step that has been released is never edited: another one is added.
 * 2. `@` in a text stands for the quoted name of the schema.
 * 3. The row of the writer is locked FOR SHARE by each commit until its transaction ends. Closing
 *    updates the row, and so waits for it; FOR KEY SHARE would let it pass.
 * 4. commit_plain and commit_full run as the only statement of their transaction, so a row of
 *    `actors` whose xmin is the running transaction was accepted by this very call.
 *
 * Why has_rows: most actors have none, and looking for them would cost a load as much as the state
 * does. It is raised with the first row and falls with an erase.
 *
 * Why functions: the check of the writer, the change of a thousand actors and that of their rows
 * are one message, and one plan each that is kept. A refused actor is returned and never raised, so
 * it costs its neighbours nothing. Half of each page of `actors` is left free: then the new version
 * of a row goes beside the old one and no index is touched (a heap-only tuple), which doubles the
 * rate.
 *
 * Threads: the committer's.
 */
#include "providers/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>

static const char tables[] =
    "CREATE TABLE @.format (version int4 NOT NULL);"
    "INSERT INTO @.format VALUES (0);"
    "CREATE TABLE @.writers (writer int8 PRIMARY KEY, open bool NOT NULL);"
    "CREATE TABLE @.actors ("
    " version int8 NOT NULL, time int8 NOT NULL, wake int8 NOT NULL,"
    " event_position int8 NOT NULL, event_time int8 NOT NULL, erased bool NOT NULL,"
    " has_rows bool NOT NULL, id bytea PRIMARY KEY, state bytea) WITH (fillfactor = 50);"
    "CREATE INDEX actors_wake ON @.actors (wake, id) WHERE wake <> 0;"
    "CREATE TABLE @.rows ("
    " kind int4 NOT NULL, id bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL,"
    " PRIMARY KEY (id, kind, key)) WITH (fillfactor = 80);"
    "CREATE TABLE @.events ("
    " position int8 NOT NULL, time int8 NOT NULL, id bytea NOT NULL, name bytea NOT NULL,"
    " payload bytea NOT NULL, PRIMARY KEY (id, position));"
    "CREATE TABLE @.snapshots ("
    " version int8 NOT NULL, time int8 NOT NULL, id bytea NOT NULL, state bytea NOT NULL,"
    " PRIMARY KEY (id, version));";

/* Answers pairs (place, stored version) of what was refused, places from 1; negative places: the
 * writer is closed. */
static const char functions[] =
    "CREATE FUNCTION @.refused_all(a_ids bytea[]) RETURNS int8[] LANGUAGE sql STABLE AS $f$"
    " SELECT array_agg(ARRAY[-i.place, coalesce(a.version, 0)])"
    " FROM (SELECT unnest(a_ids) AS id, generate_subscripts(a_ids, 1)::int8 AS place) i"
    " LEFT JOIN @.actors a ON a.id = i.id $f$;"

    "CREATE FUNCTION @.refused(a_ids bytea[]) RETURNS int8[] LANGUAGE sql VOLATILE AS $f$"
    " SELECT array_agg(ARRAY[i.place, coalesce(a.version, 0)])"
    " FROM (SELECT unnest(a_ids) AS id, generate_subscripts(a_ids, 1)::int8 AS place) i"
    " LEFT JOIN @.actors a ON a.id = i.id"
    " WHERE a.id IS NULL OR a.xmin <> pg_current_xact_id()::xid $f$;"

    "CREATE FUNCTION @.commit_plain(a_writer int8, a_what int8, a_ids bytea[],"
    " a_versions int8[], a_times int8[], a_states bytea[]) RETURNS int8[]"
    " LANGUAGE plpgsql AS $f$\n"
    "#variable_conflict use_column\n"
    "DECLARE changed int8 := 0; step int8;\n"
    "BEGIN\n"
    " PERFORM 1 FROM @.writers WHERE writer = a_writer AND open FOR SHARE;\n"
    " IF NOT FOUND THEN RETURN @.refused_all(a_ids); END IF;\n"
    " IF a_what & 2 <> 0 THEN\n"
    "  UPDATE @.actors a SET version = i.version + 1, time = i.time, wake = 0,"
    "   erased = false, state = i.state"
    "  FROM (SELECT unnest(a_ids) AS id, unnest(a_versions) AS version,"
    "   unnest(a_times) AS time, unnest(a_states) AS state) i"
    "  WHERE a.id = i.id AND a.version = i.version;\n"
    "  GET DIAGNOSTICS changed = ROW_COUNT;\n"
    " END IF;\n"
    " IF a_what & 1 <> 0 THEN\n"
    "  INSERT INTO @.actors (version, time, wake, event_position, event_time, erased,"
    "   has_rows, id, state)"
    "  SELECT 1, i.time, 0, 0, 0, false, false, i.id, i.state"
    "  FROM (SELECT unnest(a_ids) AS id, unnest(a_versions) AS version,"
    "   unnest(a_times) AS time, unnest(a_states) AS state) i"
    "  WHERE i.version = 0 ON CONFLICT (id) DO NOTHING;\n"
    "  GET DIAGNOSTICS step = ROW_COUNT;\n"
    "  changed := changed + step;\n"
    " END IF;\n"
    " IF changed = cardinality(a_ids) THEN RETURN '{}'; END IF;\n"
    " RETURN @.refused(a_ids);\n"
    "END $f$;"

    "CREATE FUNCTION @.commit_full(a_writer int8, a_what int8, a_ids bytea[],"
    " a_versions int8[], a_times int8[], a_states bytea[], a_flags int4[], a_wakes int8[],"
    " a_events int8[], r_places int4[], r_ids bytea[], r_kinds int4[], r_keys bytea[],"
    " r_values bytea[], e_places int4[], e_ids bytea[], e_backs int8[], e_names bytea[],"
    " e_payloads bytea[]) RETURNS int8[] LANGUAGE plpgsql AS $f$\n"
    "#variable_conflict use_column\n"
    "DECLARE changed int8 := 0; step int8; good bool; refused int8[] := '{}'; fine bool[];\n"
    "BEGIN\n"
    " PERFORM 1 FROM @.writers WHERE writer = a_writer AND open FOR SHARE;\n"
    " IF NOT FOUND THEN RETURN @.refused_all(a_ids); END IF;\n"
    " IF a_what & 2 <> 0 THEN\n"
    "  UPDATE @.actors a SET version = i.version + 1, time = i.time, wake = i.wake,"
    "   erased = i.flags & 8 <> 0,"
    "   has_rows = a.has_rows AND i.flags & 2 = 0 OR i.flags & 16 <> 0, event_position = "
    "a.event_position + i.events,"
    "   event_time = CASE WHEN i.events = 0 THEN a.event_time"
    "    ELSE greatest(a.event_time + 1, i.time) + i.events - 1 END,"
    "   state = CASE WHEN i.flags & 1 <> 0 THEN a.state ELSE i.state END"
    "  FROM (SELECT unnest(a_ids) AS id, unnest(a_versions) AS version,"
    "   unnest(a_times) AS time, unnest(a_states) AS state, unnest(a_flags) AS flags,"
    "   unnest(a_wakes) AS wake, unnest(a_events) AS events) i"
    "  WHERE a.id = i.id AND a.version = i.version;\n"
    "  GET DIAGNOSTICS changed = ROW_COUNT;\n"
    " END IF;\n"
    " IF a_what & 1 <> 0 THEN\n"
    "  INSERT INTO @.actors (version, time, wake, event_position, event_time, erased,"
    "   has_rows, id, state)"
    "  SELECT 1, i.time, i.wake, i.events, CASE WHEN i.events = 0 THEN 0"
    "   ELSE i.time + i.events - 1 END, i.flags & 8 <> 0, i.flags & 16 <> 0,"
    "   i.id, i.state"
    "  FROM (SELECT unnest(a_ids) AS id, unnest(a_versions) AS version,"
    "   unnest(a_times) AS time, unnest(a_states) AS state, unnest(a_flags) AS flags,"
    "   unnest(a_wakes) AS wake, unnest(a_events) AS events) i"
    "  WHERE i.version = 0 ON CONFLICT (id) DO NOTHING;\n"
    "  GET DIAGNOSTICS step = ROW_COUNT;\n"
    "  changed := changed + step;\n"
    " END IF;\n"
    " good := changed = cardinality(a_ids);\n"
    " IF NOT good THEN\n"
    "  refused := @.refused(a_ids);\n"
    "  fine := array_fill(true, ARRAY[cardinality(a_ids)]);\n"
    "  FOR i IN 1 .. array_length(refused, 1) LOOP fine[refused[i][1]] := false; END LOOP;\n"
    " END IF;\n"
    " IF a_what & 4 <> 0 THEN\n"
    "  DELETE FROM @.rows r USING (SELECT unnest(a_ids) AS id, unnest(a_flags) AS flags,"
    "   generate_subscripts(a_ids, 1) AS place) i"
    "  WHERE r.id = i.id AND i.flags & 2 <> 0 AND (good OR fine[i.place]);\n"
    "  DELETE FROM @.events r USING (SELECT unnest(a_ids) AS id, unnest(a_flags) AS flags,"
    "   generate_subscripts(a_ids, 1) AS place) i"
    "  WHERE r.id = i.id AND i.flags & 2 <> 0 AND (good OR fine[i.place]);\n"
    "  DELETE FROM @.snapshots r USING (SELECT unnest(a_ids) AS id, unnest(a_flags) AS flags,"
    "   generate_subscripts(a_ids, 1) AS place) i"
    "  WHERE r.id = i.id AND i.flags & 2 <> 0 AND (good OR fine[i.place]);\n"
    " END IF;\n"
    " IF a_what & 8 <> 0 THEN\n"
    "  INSERT INTO @.snapshots (version, time, id, state)"
    "  SELECT i.version + 1, i.time, i.id, i.state"
    "  FROM (SELECT unnest(a_ids) AS id, unnest(a_versions) AS version,"
    "   unnest(a_times) AS time, unnest(a_states) AS state, unnest(a_flags) AS flags,"
    "   generate_subscripts(a_ids, 1) AS place) i"
    "  WHERE i.flags & 4 <> 0 AND (good OR fine[i.place]);\n"
    " END IF;\n"
    " IF a_what & 16 <> 0 THEN\n"
    "  DELETE FROM @.rows r USING (SELECT unnest(r_places) AS place, unnest(r_ids) AS id,"
    "   unnest(r_kinds) AS kind, unnest(r_keys) AS key, unnest(r_values) AS value) i"
    "  WHERE i.value IS NULL AND r.id = i.id AND r.kind = i.kind AND r.key = i.key"
    "   AND (good OR fine[i.place]);\n"
    " END IF;\n"
    " IF a_what & 32 <> 0 THEN\n"
    "  INSERT INTO @.rows AS r (kind, id, key, value) SELECT i.kind, i.id, i.key, i.value"
    "  FROM (SELECT unnest(r_places) AS place, unnest(r_ids) AS id,"
    "   unnest(r_kinds) AS kind, unnest(r_keys) AS key, unnest(r_values) AS value) i"
    "  WHERE i.value IS NOT NULL AND (good OR fine[i.place])"
    "  ON CONFLICT (id, kind, key) DO UPDATE SET value = excluded.value;\n"
    " END IF;\n"
    " IF a_what & 64 <> 0 THEN\n"
    "  INSERT INTO @.events (position, time, id, name, payload)"
    "  SELECT a.event_position - i.back, a.event_time - i.back, i.id, i.name, i.payload"
    "  FROM (SELECT unnest(e_places) AS place, unnest(e_ids) AS id, unnest(e_backs) AS back,"
    "   unnest(e_names) AS name, unnest(e_payloads) AS payload) i"
    "  JOIN @.actors a ON a.id = i.id WHERE good OR fine[i.place];\n"
    " END IF;\n"
    " RETURN refused;\n"
    "END $f$;";

/* The step from format i to i + 1. */
static const char *const steps[] = {tables, functions};
enum { FORMAT = sizeof steps / sizeof *steps };

static const char *const statements[TP_PG_STATEMENTS] = {
    [TP_PG_COMMIT_PLAIN] = "SELECT @.commit_plain($1, $2, $3, $4, $5, $6)",
    [TP_PG_COMMIT_FULL] = "SELECT @.commit_full($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
                          " $13, $14, $15, $16, $17, $18, $19)",
    [TP_PG_PATIENCE] = "SELECT set_config('lock_timeout', ($1::int8)::text || 'ms', true)",
    /* The name of the session tells who closes the writer which one to end. */
    [TP_PG_OPEN_WRITER] = "WITH made AS (INSERT INTO @.writers (writer, open) VALUES ($1, true)"
                          " ON CONFLICT (writer) DO NOTHING RETURNING writer)"
                          " SELECT set_config('application_name', 'troupe/' || writer, false)"
                          " FROM made",
    [TP_PG_CLOSE_WRITER] = "INSERT INTO @.writers AS w (writer, open) VALUES ($1, false)"
                           " ON CONFLICT (writer) DO UPDATE SET open = false",
    [TP_PG_CLOSE_OLDER] = "UPDATE @.writers SET open = false WHERE open AND writer < $1",
    [TP_PG_END_SESSIONS] = "SELECT pg_terminate_backend(s.pid) FROM pg_stat_activity s"
                           " WHERE s.pid <> pg_backend_pid() AND s.application_name IN"
                           " (SELECT 'troupe/' || w.writer FROM @.writers w"
                           "  WHERE w.open AND w.writer BETWEEN $1 AND $2)",
    [TP_PG_LOAD] =
        "SELECT i.place, a.version, a.wake, a.state, CASE WHEN a.has_rows THEN"
        " (SELECT ROW(array_agg(r.kind), array_agg(r.key), array_agg(r.value))"
        "  FROM @.rows r WHERE r.id = a.id) END, a.time"
        " FROM (SELECT unnest($1::bytea[]) AS id, generate_subscripts($1::bytea[], 1) AS place) i"
        " JOIN @.actors a ON a.id = i.id",
    [TP_PG_READ_EVENTS] = "SELECT position, time, name, payload FROM @.events"
                          " WHERE id = $1 AND position >= $2 ORDER BY position LIMIT $3",
    [TP_PG_LIST_SNAPSHOTS] = "SELECT version, time FROM @.snapshots WHERE id = $1"
                             " ORDER BY version DESC LIMIT $2",
    [TP_PG_READ_SNAPSHOT] = "SELECT version, time, state FROM @.snapshots"
                            " WHERE id = $1 AND version = $2",
    /* Looks at so many actors ($9) behind one ($8); one more than is to go tells whether all went.
     */
    [TP_PG_PRUNE] =
        "WITH looked AS MATERIALIZED (SELECT id FROM ("
        "(SELECT DISTINCT id FROM @.snapshots WHERE id >= $1 AND id < $2 AND id > $8"
        " ORDER BY id LIMIT $9) UNION ALL "
        "(SELECT DISTINCT id FROM @.snapshots WHERE id >= $3 AND id < $4 AND id > $8"
        " ORDER BY id LIMIT $9)) b ORDER BY id LIMIT $9),"
        " old AS MATERIALIZED (SELECT l.id, r.version FROM looked l CROSS JOIN LATERAL"
        " (SELECT version, time, row_number() OVER (ORDER BY version DESC) AS place"
        "  FROM @.snapshots s WHERE s.id = l.id) r WHERE r.place > 1"
        " AND (($5::int8 > 0 AND r.place > $5::int8) OR r.time < $6) LIMIT $7::int8 + 1),"
        " gone AS (DELETE FROM @.snapshots s USING (SELECT * FROM old LIMIT $7) o"
        "  WHERE s.id = o.id AND s.version = o.version RETURNING 1)"
        " SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old),"
        " (SELECT count(*) FROM looked), (SELECT id FROM looked ORDER BY id DESC LIMIT 1)",
    [TP_PG_LIST_IDS] = "SELECT id, version, time FROM ("
                       "(SELECT id, version, time FROM @.actors WHERE id >= $1 AND id < $2"
                       " AND id > $5 AND NOT erased ORDER BY id LIMIT $6) UNION ALL "
                       "(SELECT id, version, time FROM @.actors WHERE id >= $3 AND id < $4"
                       " AND id > $5 AND NOT erased ORDER BY id LIMIT $6)) b ORDER BY id LIMIT $6",
    [TP_PG_LIST_DUE] = "SELECT id, wake FROM @.actors WHERE wake <> 0 AND wake <= $1"
                       " AND (wake, id) > ($2, $3) ORDER BY wake, id LIMIT $4",
    [TP_PG_HEALTH] = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,"
                     " current_setting('fsync')::bool AND current_setting('full_page_writes')::bool"
                     " AND current_setting('synchronous_commit') <> 'off'",
};

const char *tp_pg_statement_pattern(tp_pg_statement statement)
{
    return statements[statement];
}

const char *tp_pg_schema_text(tp_pg_session *session, const char *pattern)
{
    size_t at = 0;
    for (; *pattern != '\0'; pattern++) {
        int made = *pattern == '@' ? snprintf(session->scratch + at, sizeof session->scratch - at,
                                         "\"%s\"", session->schema)
                                   : snprintf(session->scratch + at, sizeof session->scratch - at,
                                         "%c", *pattern);
        at += (size_t)made;
        if (at >= sizeof session->scratch)
            return NULL;
    }
    return session->scratch;
}

/* One statement, or several; what it found as text in the first field of the last one. */
static troupe_status ask(
    tp_pg_session *session, const char *pattern, uint64_t deadline, long *ret_number)
{
    const char *text = tp_pg_schema_text(session, pattern);
    if (text == NULL) {
        tp_pg_note(session, "postgres: the schema's name is too long");
        return TROUPE_USAGE;
    }
    tp_pg_answer answer = tp_pg_simple(session, text, deadline);
    if (answer.outcome == TP_PG_DONE) {
        if (ret_number != NULL)
            *ret_number = PQntuples(answer.rows) == 0 || PQgetisnull(answer.rows, 0, 0)
                              ? -1
                              : strtol(PQgetvalue(answer.rows, 0, 0), NULL, 10);
        PQclear(answer.rows);
        return TROUPE_OK;
    }
    if (answer.outcome != TP_PG_REFUSED)
        return TROUPE_UNAVAILABLE;
    if (strcmp(answer.state, "42501") == 0) {
        char words[300];
        (void)snprintf(words, sizeof words, "%.299s", session->error);
        tp_pg_note(session,
            "%s: GRANT CREATE ON DATABASE to this user, or open the store once as"
            " one who has it and grant USAGE on schema %s and all in it",
            words, session->schema);
    }
    if (strncmp(answer.state, "42", 2) == 0 || strncmp(answer.state, "25", 2) == 0)
        return TROUPE_USAGE;
    return TROUPE_UNAVAILABLE;
}

/* The format that is there; -1: none. Needs no right to create anything. */
static troupe_status find_format(tp_pg_session *session, uint64_t deadline, long *ret_format)
{
    long there = 0;
    troupe_status status = ask(session,
        "SELECT count(*) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE quote_ident(n.nspname) = quote_ident(trim('\"' from '@'))"
        " AND c.relname = 'format'",
        deadline, &there);
    if (status != TROUPE_OK || there <= 0) {
        if (status == TROUPE_OK)
            *ret_format = -1;
        return status;
    }
    return ask(session, "SELECT version FROM @.format", deadline, ret_format);
}

static troupe_status judge(tp_pg_session *session, long format)
{
    if (format <= FORMAT)
        return TROUPE_OK;
    tp_pg_note(session,
        "postgres: schema %s has format %ld and this program knows formats up to %d: update the"
        " program, or name another schema in the URL (?schema=…)",
        session->schema, format, FORMAT);
    return TROUPE_USAGE;
}

static troupe_status upgrade(tp_pg_session *session, uint64_t deadline)
{
    troupe_status status = ask(session,
        "BEGIN; SELECT pg_advisory_xact_lock(hashtext('troupe'), hashtext('@'))", deadline, NULL);
    long format = -1;
    if (status == TROUPE_OK)
        status = find_format(session, deadline, &format);
    if (status == TROUPE_OK)
        status = judge(session, format);
    if (status == TROUPE_OK && format < 0) {
        format = 0;
        long there = 0;
        status = ask(session,
            "SELECT count(*) FROM pg_catalog.pg_namespace"
            " WHERE quote_ident(nspname) = quote_ident(trim('\"' from '@'))",
            deadline, &there);
        if (status == TROUPE_OK && there == 0)
            status = ask(session, "CREATE SCHEMA @", deadline, NULL);
    }
    for (; status == TROUPE_OK && format < FORMAT; format++) {
        status = ask(session, steps[format], deadline, NULL);
        if (status == TROUPE_OK)
            status = ask(session, "UPDATE @.format SET version = version + 1", deadline, NULL);
    }
    if (status == TROUPE_OK)
        return ask(session, "COMMIT", deadline, NULL);
    if (session->conn != NULL && PQstatus(session->conn) == CONNECTION_OK) {
        char kept[sizeof session->error];
        memcpy(kept, session->error, sizeof kept);
        troupe_status ignored = ask(session, "ROLLBACK", deadline, NULL);
        (void)ignored; /* the transaction ends with the session at the latest */
        memcpy(session->error, kept, sizeof kept);
    }
    return status;
}

troupe_status tp_pg_schema_ensure(tp_pg_session *session, uint64_t deadline)
{
    long format = -1;
    troupe_status status = find_format(session, deadline, &format);
    if (status == TROUPE_OK)
        status = judge(session, format);
    if (status == TROUPE_OK && format < FORMAT)
        status = upgrade(session, deadline);
    return status;
}
