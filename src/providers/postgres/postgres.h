/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the PostgreSQL provider share: the session (one connection in pipeline mode,
 * with a deadline for everything), the statements, the buffers that parameters are built in. Not
 * included by anything outside this folder but its tests, which want tp_postgres_open.
 *
 *   store.c    the port: URL, groups cut into waves, which statement serves which operation
 *   session.c  connecting, sending, waiting, reconnecting; knows no operation
 *   schema.c   the tables and functions of each format, and the way from one to the next
 *   commit.c   actor commits as arrays, one call for a wave
 *   query.c    all other operations
 *
 * Threads: all of it is the committer's, but tp_pg_hurry, which is any thread's.
 */
#ifndef TP_POSTGRES_H
#define TP_POSTGRES_H

#include "base/limits.h"

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <troupe/log.h>
#include <troupe/provider.h>

enum {
    TP_PG_GROUP = 1024,          /* operations of one run */
    TP_PG_WAVE_BYTES = 16 << 20, /* of one transaction, about */
    TP_PG_ID_MAX = 1536,         /* room for the text form of any id */
    TP_PG_PARAMETERS = 24,
};
/* What one commit may hold: PostgreSQL takes 1 GB in a value and in a message. */
#define TP_PG_COMMIT_MAX ((size_t)500 << 20)

/* A statement, prepared when a session begins. */
typedef enum tp_pg_statement {
    TP_PG_COMMIT_PLAIN,
    TP_PG_COMMIT_FULL,
    TP_PG_PATIENCE,
    TP_PG_OPEN_WRITER,
    TP_PG_CLOSE_WRITER,
    TP_PG_CLOSE_OLDER,
    TP_PG_END_SESSIONS,
    TP_PG_LOAD,
    TP_PG_READ_EVENTS,
    TP_PG_LIST_SNAPSHOTS,
    TP_PG_READ_SNAPSHOT,
    TP_PG_PRUNE,
    TP_PG_LIST_IDS,
    TP_PG_LIST_DUE,
    TP_PG_HEALTH,
    TP_PG_STATEMENTS,
} tp_pg_statement;

/* Growing bytes; when memory runs out `failed` stays set until it is emptied. */
typedef struct tp_pg_buffer {
    const troupe_allocator *allocator;
    char *data;
    size_t size;
    size_t room;
    bool failed;
} tp_pg_buffer;

/* Parameters in binary form. Offsets, for the buffer moves as it grows. */
typedef struct tp_pg_parameters {
    tp_pg_buffer *buffer;
    size_t offset[TP_PG_PARAMETERS];
    size_t size[TP_PG_PARAMETERS];
    int count;
} tp_pg_parameters;

typedef struct tp_pg_session {
    const troupe_store_host *host;
    PGconn *conn;        /* NULL: none */
    int alarm;           /* an eventfd: readable once the node closes */
    atomic_bool hurried; /* published by tp_pg_hurry to the committer */
    uint64_t timeout;    /* ns: of a run, and of an opening */
    uint64_t retry_at;
    uint64_t back_off, back_off_most; /* between two tries to connect */
    uint64_t opening_extra;           /* ns that connecting may last beyond a deadline */
    uint64_t writer; /* that this node opened; 0: none yet. Names its session at the server */
    bool weak;       /* the URL accepts settings that break P5 */
    bool durable;    /* with the settings found */
    bool ended;      /* the server said that it ends the session */
    bool synced;     /* the last statement that was queued had its sync, which may be out */
    bool was_lost;
    bool bare; /* no tables and no statements of the store: member.c brings its own */
    char synchronous[16]; /* the setting in force */
    char *url;            /* for libpq, without our options */
    size_t url_room;
    char schema[64];
    char error[512]; /* the last one, in words */
    char scratch[16384];
} tp_pg_session;

/* What came of a statement that ended with a sync. */
typedef enum tp_pg_outcome {
    TP_PG_DONE,
    TP_PG_REFUSED, /* the server said an error: nothing of it was done */
    TP_PG_UNSENT,  /* it never went out as a whole: nothing of it was done */
    TP_PG_LOST,    /* no answer: nobody knows */
} tp_pg_outcome;

typedef struct tp_pg_answer {
    tp_pg_outcome outcome;
    PGresult *rows; /* the last statement's, when DONE; give back by PQclear */
    char state[6];  /* SQLSTATE, when REFUSED */
} tp_pg_answer;

/* session.c */
troupe_status tp_pg_session_open(tp_pg_session *session, uint64_t deadline);
void tp_pg_session_close(tp_pg_session *session);
/* Is there a connection? Tries to make one unless the last failure is too young. */
bool tp_pg_session_ready(tp_pg_session *session, uint64_t deadline);
void tp_pg_session_drop(tp_pg_session *session, const char *why);
/* A simple query outside a pipeline. */
tp_pg_answer tp_pg_simple(tp_pg_session *session, const char *sql, uint64_t deadline);
/* Queues a statement; false: it cannot be sent. */
bool tp_pg_send(
    tp_pg_session *session, tp_pg_statement statement, const tp_pg_parameters *parameters);
/* Ends the transaction of what was queued and lets it out. */
bool tp_pg_sync(tp_pg_session *session);
/* The answer to everything up to the next sync. */
tp_pg_answer tp_pg_receive(tp_pg_session *session, uint64_t deadline);
void tp_pg_note(tp_pg_session *session, const char *format, ...) TROUPE_PRINTF(2, 3);
void tp_pg_hurry(tp_pg_session *session);

/* schema.c: creates, checks, upgrades. `error` of the session says what is wrong. */
troupe_status tp_pg_schema_ensure(tp_pg_session *session, uint64_t deadline);
/* The text of a statement for this session's schema; NULL: it does not fit. */
const char *tp_pg_schema_text(tp_pg_session *session, const char *pattern);
const char *tp_pg_statement_pattern(tp_pg_statement statement);

/* parameters.c */
bool tp_pg_reserve(tp_pg_buffer *buffer, size_t more);
void tp_pg_buffer_empty(tp_pg_buffer *buffer);
void tp_pg_buffer_deinit(tp_pg_buffer *buffer);
void tp_pg_put_u32(tp_pg_buffer *buffer, uint32_t value);
void tp_pg_put_u64(tp_pg_buffer *buffer, uint64_t value);
void tp_pg_put_bytes(tp_pg_buffer *buffer, const void *data, size_t size);
/* A parameter begins, and ends. */
void tp_pg_begin(tp_pg_parameters *parameters);
void tp_pg_end(tp_pg_parameters *parameters);
void tp_pg_add_number(tp_pg_parameters *parameters, uint64_t value); /* int8 */
void tp_pg_add_bytes(tp_pg_parameters *parameters, troupe_slice bytes);
/* Within a parameter: the head of an array, then its elements. */
enum { TP_PG_BYTEA = 17, TP_PG_INT8 = 20, TP_PG_INT4 = 23 };
void tp_pg_array(tp_pg_buffer *buffer, uint32_t type, size_t count);
void tp_pg_element(tp_pg_buffer *buffer, troupe_slice bytes);
void tp_pg_element_null(tp_pg_buffer *buffer);
void tp_pg_element_u32(tp_pg_buffer *buffer, uint32_t value);
void tp_pg_element_u64(tp_pg_buffer *buffer, uint64_t value);
/* Fields of a result. */
uint64_t tp_pg_u64(const PGresult *rows, int row, int column);
uint32_t tp_pg_u32(const PGresult *rows, int row, int column);
troupe_slice tp_pg_bytes(const PGresult *rows, int row, int column);
uint32_t tp_pg_read_u32(const char *at);
uint64_t tp_pg_read_u64(const char *at);

/* An operation of the wave, with its id as text. */
typedef struct tp_pg_entry {
    troupe_store_op *op;
    troupe_slice id;
    uint64_t hash;
} tp_pg_entry;

typedef struct tp_pg_row {
    const tp_pg_entry *entry;
    const troupe_store_row *row;
    uint32_t ordinal; /* of the commit, from 1 */
    uint32_t place;   /* in the commit */
} tp_pg_row;

/* Where pruning goes on, by the same rule; no type: from the first actor. */
typedef struct tp_pg_walk {
    char type[TP_NAME_MAX];
    size_t type_size;
    uint64_t keep;
    bool by_age;
    char from[TP_PG_ID_MAX]; /* the last actor that was looked at */
    size_t from_size;
} tp_pg_walk;

typedef struct tp_pg_store {
    troupe_store store;
    troupe_store_host host;
    tp_pg_session session;
    tp_pg_buffer buffer; /* of parameters */
    tp_pg_buffer texts;  /* of ids */
    tp_pg_buffer rows;   /* tp_pg_row[] */
    tp_pg_entry entries[TP_PG_GROUP];
    tp_pg_entry commits[TP_PG_GROUP]; /* of the wave, by id */
    tp_pg_entry loads[TP_PG_GROUP];
    uint16_t seen[4 * TP_PG_GROUP]; /* index of an entry + 1, by hash */
    tp_pg_walk walk;
    char promises[320];
} tp_pg_store;

/* commit.c: the commits of one writer with different ids, by id. Queues them; false: not sent, all
 * ended. */
bool tp_pg_commit_send(tp_pg_store *self, const tp_pg_entry *entries, size_t count);
/* Ends them by the answer, and repeats what may be repeated. */
void tp_pg_commit_finish(
    tp_pg_store *self, tp_pg_entry *entries, size_t count, tp_pg_answer answer, uint64_t deadline);

/* query.c */
bool tp_pg_load_send(tp_pg_store *self, const tp_pg_entry *entries, size_t count);
void tp_pg_load_finish(
    tp_pg_store *self, const tp_pg_entry *entries, size_t count, tp_pg_answer answer);
void tp_pg_query_run(tp_pg_store *self, const tp_pg_entry *entry, uint64_t deadline);
/* store.c: the URL of a session as libpq takes it, and our options into it. USAGE, NO_MEMORY. */
troupe_status tp_pg_take_url(tp_pg_session *session, const char *url);

/* What a refused operation that changes nothing, or has changed nothing, is answered. */
troupe_status tp_pg_status_of(tp_pg_store *self, const tp_pg_answer *answer);

troupe_status tp_postgres_open(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size);

#endif
