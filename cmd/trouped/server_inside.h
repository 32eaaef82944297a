/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the admin server share: connections and calls. Nobody else includes it.
 *
 * A call goes: line -> call_start -> the node, or the worker -> server_done -> server_deliver ->
 * write. Answers of a connection come as they are ready, not in the order of the requests.
 *
 * Invariants
 * 1. A call is counted in its connection's in_flight from call_start to server_deliver, and a
 *    connection lives at least as long: what comes back finds it. An ask that was left (4.) has no
 *    connection any more: what comes back is thrown away.
 * 2. Nothing that a shard's thread does here waits: it copies the answer and pushes a list.
 * 3. At most ADMIN_CONNECTIONS_MAX connections with ADMIN_IN_FLIGHT_MAX calls each; reading pauses
 *    at that and while more than WRITE_PAUSE bytes wait to be written; beyond WRITE_MAX the
 *    connection is closed.
 * 4. An ask ends LEFT_AFTER_MS behind its time-out: the node's shards keep its deadline, but one
 *    with a stuck turn does not, and then the loop answers. How many are left like that is bounded
 *    by the node, whose shards take so many calls and no more.
 *
 * Threads: everything is the loop's, except daemon_call from the moment it was given away until it
 * is in `done`.
 */
#ifndef TROUPED_SERVER_INSIDE_H
#define TROUPED_SERVER_INSIDE_H

#include "shared/admin_codec.h"
#include "trouped/server.h"
#include "trouped/worker.h"

#include <stdatomic.h>

#define WRITE_PAUSE ((size_t)1024 * 1024)
#define WRITE_MAX ((size_t)64 * 1024 * 1024)
#define LEFT_AFTER_MS 1000 /* as long as the node itself waits for a shard */
#define HURRY_TIME_MS 2000 /* after the asks were cancelled, until connections are just closed */

typedef struct daemon_call daemon_call;
typedef struct daemon_connection daemon_connection;

typedef enum server_stage {
    SERVER_SERVING,
    SERVER_DRAINING, /* nothing new is accepted; what was accepted ends */
    SERVER_HURRYING, /* asks are cancelled */
    SERVER_OVER,
} server_stage;

struct daemon_call {
    daemon_call *next; /* in `done` */
    daemon_connection *connection;
    daemon_server *server;
    worker_job job;
    admin_request request;
    troupe_answer answer; /* of an ask; its slices point into `copy` */
    char *copy;
    bool is_answered;     /* `answer` is filled; else `out` is */
    daemon_call *after;   /* in `asks`: the loop's, as the next two */
    daemon_call **link;   /* NULL: it is not there */
    uint64_t leave_at;    /* in ms of the loop */
    cmd_bytes out;
    uv_write_t write;
};

struct daemon_connection {
    daemon_connection *next;
    daemon_connection **link;
    daemon_server *server;
    uv_pipe_t pipe;
    admin_lines lines;
    troupe_client *client;  /* one per connection: a sender with its own order */
    troupe_cancel *cancel;  /* fired when the other end has gone */
    size_t in_flight;
    size_t writing;
    bool is_reading;
    bool is_taking;   /* a walk over the lines is under way */
    bool is_ended;    /* no more bytes will come */
    bool is_closing;
    bool is_closed;   /* the handle is */
};

struct daemon_server {
    daemon_server_options options;
    uv_loop_t loop;
    uv_pipe_t listener;
    uv_async_t arrival;
    uv_signal_t signals[3];
    uv_timer_t timer;
    uv_timer_t watchdog; /* tells the service manager that this loop turns */
    daemon_worker worker; /* waits for shards */
    daemon_worker store_worker; /* waits for the store, which may take its time */
    _Atomic bool is_hurried; /* what waits for the store's worker is not begun any more */
    worker_job reload;       /* a SIGHUP's */
    _Atomic unsigned hangups; /* that no reload has seen; who makes it 1 adds the job */
    _Atomic(daemon_call *) done; /* pushed by any thread, taken by the loop; publishes the call */
    daemon_call *asks; /* under way */
    uv_timer_t leaver;
    daemon_connection *connections;
    size_t connection_count;
    server_stage stage;
};

/* server.c */
void server_done(daemon_call *call);    /* [any thread] the call is ready to be delivered */
void server_deliver(daemon_call *call); /* [loop] writes its answer and lets it go */
void server_stop(daemon_server *server, bool is_hurried);

/* calls.c */
void call_start(daemon_connection *connection, troupe_slice line);
/* An answer to what was no request. */
void call_refuse(daemon_connection *connection, troupe_status status, const char *words);
void call_destroy(daemon_call *call);
/* [loop] The answer of an ask becomes a line. False: nobody waits for it any more, and it has gone.
 */
bool call_finish(daemon_call *call);
/* Answers those whose shards do not come to their end. [loop] */
void calls_leave(daemon_server *server);

/* stored.c */
bool stored_takes(admin_verb verb);
void stored_run(worker_job *job); /* [store_worker] */

/* members.c [worker] Members of the answer, or its error. */
troupe_status members_nodes(daemon_call *call, troupe_node *node);
troupe_status members_view(daemon_call *call, troupe_node *node);
troupe_status members_lookup(daemon_call *call, troupe_node *node);
troupe_status members_migrate(daemon_call *call, troupe_node *node);
troupe_status members_preload(daemon_call *call, troupe_node *node);
troupe_status members_rebalance(daemon_call *call, troupe_node *node);
troupe_status members_discover(daemon_call *call, troupe_node *node);

/* inspect.c */
void inspect_run(worker_job *job); /* [worker] */

/* explain.c [loop, workers] */
/* NULL: this node has no such type. */
const troupe_type *explain_type(const daemon_server *server, troupe_slice name);
/* Words for a status that a request got at once. */
void explain_status(const daemon_server *server, const admin_request *request,
                    troupe_status status, char *out, size_t size);

#endif
