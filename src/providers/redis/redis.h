/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the Redis provider: its parts and what they share. Included by the files of this
 * folder and by its tests, which open it by tp_redis_open.
 *
 *   url.c      reads redis://…
 *   link.c     one connection: connects, signs in, sends, receives, all within a deadline
 *   replies.c  the memory that replies are made in
 *   scripts.c  the Lua scripts, and how things lie in Redis
 *   encode.c   operations -> commands
 *   decode.c   replies -> results of operations
 *   promises.c the server's settings -> what is promised
 *   store.c    run: groups, unknown outcomes, reconnection
 *
 * Threads: a store belongs to the thread that runs it; only `hurry` comes from others, and touches
 * the eventfd and one atomic flag.
 */
#ifndef TP_PROVIDERS_REDIS_H
#define TP_PROVIDERS_REDIS_H

#include <troupe/provider.h>

#include <hiredis.h>
#include <stdatomic.h>

/* ---- url.c --------------------------------------------------------------------------------- */

enum {
    TP_REDIS_TEXT = 256,
    TP_REDIS_PREFIX = 64,
    TP_REDIS_LIMIT = 1000
}; /* limit: of an operation that names none */

typedef struct tp_redis_url {
    char host[TP_REDIS_TEXT]; /* or the path of a socket */
    bool is_path;
    uint16_t port;
    unsigned database;
    char user[TP_REDIS_TEXT]; /* empty: the default user */
    char password[TP_REDIS_TEXT];
    char prefix[TP_REDIS_PREFIX + 1];
    uint64_t timeout; /* ns */
    bool accept_not_p5;
    char shown[TP_REDIS_TEXT * 2]; /* for messages: without the password */
} tp_redis_url;

/* USAGE: `error` says which part is wrong. */
TROUPE_CHECK troupe_status tp_redis_url_read(
    const char *text, tp_redis_url *ret_url, char *error, size_t error_size);

/* ---- scripts.c ----------------------------------------------------------------------------- */

typedef enum tp_redis_script {
    TP_REDIS_COMMIT,
    TP_REDIS_LOAD,
    TP_REDIS_OPEN_WRITER,
    TP_REDIS_CLOSE_WRITER,
    TP_REDIS_CLOSE_OLDER,
    TP_REDIS_PRUNE,
    TP_REDIS_LIST_IDS,
    TP_REDIS_SCRIPTS
} tp_redis_script;

enum { TP_REDIS_SHA = 40, TP_REDIS_META = 49, TP_REDIS_WRITTEN = 1 << 16 };

const char *tp_redis_script_text(tp_redis_script script);

/* ---- encode.c ------------------------------------------------------------------------------ */

/* Commands on their way out. */
typedef struct tp_redis_buffer {
    const troupe_allocator *allocator;
    char *data;
    size_t size;
    size_t room;
    bool failed; /* no memory: what was added since the last mark is incomplete */
} tp_redis_buffer;

void tp_redis_buffer_deinit(tp_redis_buffer *buffer);
/* `*<count>`, then the arguments. */
void tp_redis_put_begin(tp_redis_buffer *buffer, size_t count);
void tp_redis_put(tp_redis_buffer *buffer, troupe_slice argument);
void tp_redis_put_text(tp_redis_buffer *buffer, const char *text);

/* What commands need to know of the store. */
typedef struct tp_redis_names {
    troupe_slice prefix;
    char sha[TP_REDIS_SCRIPTS][TP_REDIS_SHA + 1];
} tp_redis_names;

/* How a command came out of operations. */
typedef struct tp_redis_part {
    size_t first, count; /* operations */
    size_t end;          /* bytes of the pipeline up to here */
    bool plain;          /* loads without a script: a transaction, whose last reply counts */
} tp_redis_part;

enum { TP_REDIS_PLAIN_REPLIES = 4 };

/* Ids that a group commits, more or less: all of them, and a few others. */
typedef struct tp_redis_written {
    bool any;
    uint64_t bits[TP_REDIS_WRITTEN / 64];
} tp_redis_written;

/* Adds one command for ops[0], or for as many commits or loads from there on as go into one.
 * Loads of ids that are not in `written` go without a script, which leaves out their rows (NULL:
 * none does). Sets all of the part but `first` and `end`; count is at least 1. TOO_LARGE, USAGE:
 * ops[0] cannot be sent. NO_MEMORY is buffer->failed. */
TROUPE_CHECK troupe_status tp_redis_encode(tp_redis_buffer *buffer, const tp_redis_names *names,
    const tp_redis_written *written, troupe_store_op *const *ops, size_t count,
    tp_redis_part *ret_part);
void tp_redis_written_by(tp_redis_written *written, troupe_store_op *const *ops, size_t count);
/* A load of an id that the group does not commit? */
bool tp_redis_is_plain_load(const tp_redis_written *written, const troupe_store_op *op);

/* ---- decode.c ------------------------------------------------------------------------------ */

/* Sets the results of the operations of one command. The reply is no error. */
void tp_redis_decode(troupe_store_op *const *ops, size_t count, const redisReply *reply);
/* The same of loads without a script. Those that have rows stay without result: their ops are added
 * to `rest`. Returns NULL, or the error that the transaction met. */
const char *tp_redis_decode_plain(troupe_store_op *const *ops, size_t count,
    const redisReply *reply, troupe_store_op **rest, size_t *rest_count);

/* ---- replies.c ----------------------------------------------------------------------------- */

typedef struct tp_redis_piece tp_redis_piece;
typedef struct tp_redis_replies {
    const troupe_store_host *host;
    tp_redis_piece *pieces; /* newest first */
    size_t used;            /* of the newest */
    size_t out;             /* replies that have not been given back */
} tp_redis_replies;

/* The replies of that reader are made here. */
void tp_redis_replies_serve(tp_redis_replies *replies, redisReader *reader);
void tp_redis_replies_out(tp_redis_replies *replies);
void tp_redis_replies_back(tp_redis_replies *replies);
void tp_redis_replies_deinit(tp_redis_replies *replies);

/* ---- link.c -------------------------------------------------------------------------------- */

typedef struct tp_redis_link {
    const troupe_store_host *host;
    const tp_redis_url *url;
    redisContext *redis; /* NULL: not connected */
    int bell;            /* eventfd: readable when the store shall hurry */
    uint64_t deadline;   /* host->now; each byte that moves puts it off by the URL's timeout */
    char error[TP_REDIS_TEXT * 4]; /* of what failed last */
    tp_redis_replies replies;
    char input[64 << 10];
} tp_redis_link;

void tp_redis_link_renew(tp_redis_link *link);
/* Connects, signs in, selects the database. UNAVAILABLE; USAGE: it refused who or what we are. */
TROUPE_CHECK troupe_status tp_redis_link_open(tp_redis_link *link);
void tp_redis_link_close(tp_redis_link *link);
/* Closes it for good: no reply is out any more. */
void tp_redis_link_deinit(tp_redis_link *link);
/* Still connected, as far as one can see without asking? */
bool tp_redis_link_alive(tp_redis_link *link);
/* Adds to `*sent` the bytes that went out. False: broken, out of time or in a hurry. */
bool tp_redis_link_send(tp_redis_link *link, const char *data, size_t size, size_t *sent);
/* The next reply, or NULL: broken, out of time, in a hurry. Given back by tp_redis_link_release. */
redisReply *tp_redis_link_receive(tp_redis_link *link);
/* NULL is a no-op. The link may have been closed meanwhile. */
void tp_redis_link_release(tp_redis_link *link, redisReply *reply);
/* One command of `count` strings, and its reply. */
redisReply *tp_redis_link_ask(tp_redis_link *link, size_t count, const char *const *words);

/* ---- promises.c ---------------------------------------------------------------------------- */

typedef struct tp_redis_promises {
    bool durable;
    char text[TP_REDIS_TEXT * 2];
} tp_redis_promises;

/* USAGE: a setting breaks a promise that the URL does not give up; link->error says which, and what
 * to do. UNAVAILABLE. */
TROUPE_CHECK troupe_status tp_redis_promises_read(
    tp_redis_link *link, tp_redis_promises *ret_promises);
/* OK, or UNAVAILABLE and in `out` what is wrong with the server that gave this INFO, in words. */
TROUPE_CHECK troupe_status tp_redis_health_read(const redisReply *info, char *out, size_t size);

/* ---- store.c ------------------------------------------------------------------------------- */

TROUPE_CHECK troupe_status tp_redis_open(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size);

#endif
