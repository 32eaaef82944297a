/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin protocol as bytes: cuts a stream into lines, reads a line as a request, writes answers.
 * docs/admin-socket.md is its description. It does no input or output and knows no node; trouped
 * feeds it from its socket, the fuzzer from anywhere.
 *
 * Invariants
 * 1. Every taken line and every TOO_LONG gives rise to exactly one answer line.
 * 2. An answer is one line of valid JSON that ends with a newline, whatever actors replied.
 * 3. No more than ADMIN_LINE_MAX and one read is held of a stream.
 *
 * Threads: one owner per object.
 */
#ifndef CMD_SHARED_ADMIN_CODEC_H
#define CMD_SHARED_ADMIN_CODEC_H

#include "shared/bytes.h"

#include <jansson.h>
#include <troupe/inspect.h>

#define ADMIN_LINE_MAX ((size_t)12 * 1024 * 1024) /* 8 MiB as base64, and words around it */
#define ADMIN_READ_SIZE ((size_t)64 * 1024)
#define ADMIN_ID_MAX 64 /* bytes of an id that is a string */
#define ADMIN_METHOD_MAX 128
#define ADMIN_CONTENT_TYPE_MAX 128
#define ADMIN_ONCE_MAX 64
#define ADMIN_NUMBER_MAX 39 /* of a dead letter */
#define ADMIN_REMINDER_MAX 128
#define ADMIN_NODE_MAX 128
#define ADMIN_LIST_LIMIT 100 /* default of "limit" */
#define ADMIN_LIST_LIMIT_MAX 10000
#define ADMIN_TIMEOUT_MS_MAX (INT64_C(1000) * 3600 * 24)
#define ADMIN_CONNECTIONS_MAX 64
#define ADMIN_IN_FLIGHT_MAX 256 /* requests of one connection */

/* ---- lines ---- */

typedef struct admin_lines {
    char *data;
    size_t size;
    size_t capacity;
    size_t begin;    /* of the next line */
    size_t scanned;  /* no newline is between begin and here */
    bool is_skipping; /* the rest of a line that was too long */
} admin_lines;

typedef enum admin_line {
    ADMIN_LINE_NONE,     /* more bytes are needed */
    ADMIN_LINE_TAKEN,
    ADMIN_LINE_TOO_LONG, /* a line was thrown away; what follows it is taken as usual */
} admin_line;

void admin_lines_deinit(admin_lines *lines);
/* Room for the next bytes of the stream; NULL: no memory. Lines that were taken become invalid. */
char *admin_lines_room(admin_lines *lines, size_t size);
/* `size` bytes were put into the room. */
void admin_lines_add(admin_lines *lines, size_t size);
/* The next line without its end; it is valid until the next admin_lines_room. Empty lines are left
 * out. `is_end`: no more bytes will come, so a last line needs no newline. */
admin_line admin_lines_take(admin_lines *lines, bool is_end, troupe_slice *ret_line);

/* ---- requests ---- */

enum {
    ADMIN_HAS_ACTOR = 1 << 0,
    ADMIN_HAS_ACTOR_BASE64 = 1 << 1,
    ADMIN_HAS_METHOD = 1 << 2,
    ADMIN_HAS_PAYLOAD = 1 << 3,
    ADMIN_HAS_PAYLOAD_TEXT = 1 << 4,
    ADMIN_HAS_PAYLOAD_BASE64 = 1 << 5,
    ADMIN_HAS_CONTENT_TYPE = 1 << 6,
    ADMIN_HAS_TIMEOUT_MS = 1 << 7,
    ADMIN_HAS_TYPE = 1 << 8,
    ADMIN_HAS_PATTERN = 1 << 9,
    ADMIN_HAS_LIMIT = 1 << 10,
    ADMIN_HAS_DRAIN = 1 << 11,
    ADMIN_HAS_ONCE = 1 << 12,
    ADMIN_HAS_VERSION = 1 << 13,
    ADMIN_HAS_AFTER = 1 << 14,
    ADMIN_HAS_NUMBER = 1 << 15,
    ADMIN_HAS_CHECK = 1 << 16,
    ADMIN_HAS_NAME = 1 << 17,
    ADMIN_HAS_EVENTUAL = 1 << 18,
    ADMIN_HAS_NODE = 1 << 19,
    ADMIN_HAS_DRY_RUN = 1 << 20,
    ADMIN_HAS_ONCE_BASE64 = 1 << 21,
};
#define ADMIN_TAKES_ACTOR (ADMIN_HAS_ACTOR | ADMIN_HAS_ACTOR_BASE64)
#define ADMIN_TAKES_ONCE (ADMIN_HAS_ONCE | ADMIN_HAS_ONCE_BASE64)
#define ADMIN_TAKES_CALL                                                                           \
    (ADMIN_TAKES_ACTOR | ADMIN_HAS_METHOD | ADMIN_HAS_PAYLOAD | ADMIN_HAS_PAYLOAD_TEXT |           \
     ADMIN_HAS_PAYLOAD_BASE64 | ADMIN_HAS_CONTENT_TYPE | ADMIN_HAS_TIMEOUT_MS)

/* X(NAME, "name", members it takes, needs an actor, may come over the network) */
#define ADMIN_VERB_MAP(X)                                                                          \
    X(ASK, "ask", ADMIN_TAKES_CALL | ADMIN_TAKES_ONCE, true, true)                                 \
    X(TELL, "tell", ADMIN_TAKES_CALL, true, true)                                                  \
    X(ACTORS, "actors", ADMIN_HAS_TYPE | ADMIN_HAS_PATTERN | ADMIN_HAS_LIMIT, false, true)         \
    X(LOOKUP, "lookup", ADMIN_TAKES_ACTOR | ADMIN_HAS_EVENTUAL | ADMIN_HAS_TIMEOUT_MS,             \
      true, true)                                                                                  \
    X(DISCOVER, "discover", ADMIN_HAS_TYPE | ADMIN_HAS_PATTERN | ADMIN_HAS_LIMIT |                 \
      ADMIN_HAS_AFTER | ADMIN_HAS_TIMEOUT_MS, false, true)                                         \
    X(NODES, "nodes", 0, false, true)                                                              \
    X(VIEW, "view", 0, false, true)                                                                \
    X(PS, "ps", ADMIN_HAS_LIMIT, false, true)                                                      \
    X(WHERE, "where", ADMIN_TAKES_ACTOR, true, true)                                               \
    X(STATS, "stats", ADMIN_TAKES_ACTOR, false, true)                                              \
    X(METRICS, "metrics", 0, false, true)                                                          \
    X(DEACTIVATE, "deactivate", ADMIN_TAKES_ACTOR, true, false)                                    \
    X(STORE, "store", ADMIN_HAS_CHECK, false, false)                                               \
    X(STATE, "state", ADMIN_TAKES_ACTOR, true, false)                                              \
    X(STORED, "stored", ADMIN_HAS_TYPE | ADMIN_HAS_AFTER | ADMIN_HAS_LIMIT, false, false)          \
    X(SNAPSHOTS, "snapshots", ADMIN_TAKES_ACTOR | ADMIN_HAS_LIMIT, true, false)                    \
    X(SNAPSHOT, "snapshot", ADMIN_TAKES_ACTOR | ADMIN_HAS_VERSION, true, false)                    \
    X(RESTORE, "restore", ADMIN_TAKES_ACTOR | ADMIN_HAS_VERSION | ADMIN_HAS_TIMEOUT_MS,            \
      true, false)                                                                                 \
    X(DELETE, "delete", ADMIN_TAKES_ACTOR | ADMIN_HAS_TIMEOUT_MS, true, false)                     \
    X(DEAD, "dead", ADMIN_TAKES_ACTOR, true, false)                                                \
    X(REPLAY, "replay", ADMIN_TAKES_ACTOR | ADMIN_HAS_NUMBER | ADMIN_HAS_TIMEOUT_MS,               \
      true, false)                                                                                 \
    X(DROP, "drop", ADMIN_TAKES_ACTOR | ADMIN_HAS_NUMBER | ADMIN_HAS_TIMEOUT_MS, true, false)      \
    X(REMINDERS, "reminders", ADMIN_TAKES_ACTOR, true, false)                                      \
    X(CANCEL, "cancel", ADMIN_TAKES_ACTOR | ADMIN_HAS_NAME | ADMIN_HAS_TIMEOUT_MS, true, false)    \
    X(TYPES, "types", 0, false, true)                                                              \
    X(CONFIG, "config", 0, false, false)                                                           \
    X(RELOAD, "reload", 0, false, false)                                                           \
    X(PING, "ping", 0, false, true)                                                                \
    X(MIGRATE, "migrate", ADMIN_TAKES_ACTOR | ADMIN_HAS_NODE | ADMIN_HAS_TIMEOUT_MS,               \
      true, false)                                                                                 \
    X(PRELOAD, "preload", ADMIN_HAS_TYPE | ADMIN_HAS_PATTERN | ADMIN_HAS_TIMEOUT_MS,               \
      false, false)                                                                                \
    X(REBALANCE, "rebalance", ADMIN_HAS_DRY_RUN | ADMIN_HAS_TIMEOUT_MS, false, false)              \
    X(DRAIN, "drain", ADMIN_HAS_NODE, false, false)                                                \
    X(SHUTDOWN, "shutdown", ADMIN_HAS_DRAIN, false, false)

typedef enum admin_verb {
    ADMIN_VERB_UNKNOWN,
#define X(name, ...) ADMIN_VERB_##name,
    ADMIN_VERB_MAP(X)
#undef X
} admin_verb;

typedef struct admin_request {
    char id[ADMIN_ID_MAX * 6 + 3]; /* as JSON; "null" if there was none */
    admin_verb verb;
    unsigned has;              /* ADMIN_HAS_… */
    troupe_id actor;           /* borrows from the request, as all slices here */
    const char *method;        /* ask, tell */
    const char *content_type;  /* NULL: none */
    troupe_slice payload;
    uint64_t timeout;          /* ns; 0: none given */
    troupe_slice type;
    troupe_slice pattern;
    size_t limit;
    troupe_slice once;         /* empty: none */
    uint64_t version;          /* of a snapshot */
    troupe_slice after;        /* text form of an id */
    const char *number;        /* of a dead letter */
    const char *name;          /* of a reminder */
    bool is_drain;
    bool is_check;             /* of the store: all of it */
    bool is_eventual;          /* of a look-up */
    bool is_dry_run;           /* of rebalancing: nothing moves */
    const char *node;          /* to drain; NULL: the one that is asked */
    char error[320];           /* words, when parsing failed */
    json_t *root;              /* owns the strings */
    char *payload_owned;
    char *actor_owned;
    char *once_owned;
} admin_request;

/* May a request with this verb come over the network? */
bool admin_is_remote(admin_verb verb);

/* Reads one line. Other than OK: `error` says what is wrong and `id` is set as far as it was
 * readable. USAGE; NO_MEMORY. The request is to be deinited in either case. */
TROUPE_CHECK troupe_status admin_request_parse(admin_request *request, troupe_slice line);
void admin_request_deinit(admin_request *request);

/* ---- answers; admin_answer.c ---- */

/* {"id":…,"ok":true   the members follow, each with its comma; admin_write_end ends it. */
void admin_write_begin(cmd_bytes *out, const char *id);
void admin_write_end(cmd_bytes *out);
void admin_write_error(cmd_bytes *out, const char *id, troupe_status status,
                       troupe_outcome outcome, troupe_slice message);
/* The answer of an ask, good or bad. */
void admin_write_answer(cmd_bytes *out, const char *id, const troupe_answer *answer);

/* ,"name":"text" */
void admin_write_text(cmd_bytes *out, const char *name, troupe_slice text);
/* ,"name":number   null beyond 2^63, which is how "never" looks. */
void admin_write_number(cmd_bytes *out, const char *name, uint64_t number);
/* ,"name":"text", or ,"name_base64":"…" when it is no UTF-8. */
void admin_write_bytes(cmd_bytes *out, const char *name, troupe_slice bytes);
/* The same, of the text form of an id. */
void admin_write_id(cmd_bytes *out, const char *name, troupe_id id);

/* The members of a call behind its actor: method, time-out (0: none), key of a call once (empty:
 * none), and its payload, as text where it is that. `content_type` may be NULL. */
typedef struct admin_call {
    const char *method;
    uint64_t timeout;
    troupe_slice once;
    bool has_payload;
    troupe_slice payload;
    const char *content_type;
} admin_call;
void admin_write_call(cmd_bytes *out, const admin_call *call);
/* The bytes of an answer's payload; `line` is what `root` was read from. False: it makes no sense,
 * or there is no memory. */
bool admin_read_payload(const json_t *root, troupe_slice line, cmd_bytes *out);

/* An object that stands in an array; the comma before it is written unless it is the first. */
void admin_write_actor(cmd_bytes *out, bool is_first, const char *node,
                       const troupe_actor_info *info);
/* Its members but `node` and `actor`, each with its comma before it. */
void admin_write_actor_figures(cmd_bytes *out, const troupe_actor_info *info);
/* The members of a parked turn, without braces, beginning with a comma. */
void admin_write_parked(cmd_bytes *out, const troupe_parked_info *info);
/* ,"uptime_ns":…  all of it. */
void admin_write_stats(cmd_bytes *out, const troupe_stats *stats);
/* ,"types":[…] */
void admin_write_types(cmd_bytes *out, const troupe_type *const *types, size_t count);

#endif
