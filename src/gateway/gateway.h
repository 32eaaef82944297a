/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway: actors over HTTP/1.1, by the calls of the Dapr actors API v1.0. A module,
 * libtroupe_gateway.so, which a node loads when its option `http` names an address; this header is
 * the port between the two. The node hands in what the gateway may use of it as functions, so that
 * it does not matter whether the program links libtroupe.so or has the runtime inside.
 *
 * Invariants
 * 1. No thread of the gateway waits for an actor.
 * 2. Everything that a stranger can make grow has a limit: connections, calls under way, bytes.
 * 3. Nothing is called of the host after `close` has returned true. Threads of shards may be about
 *    to return from its code: the module goes when they have ended.
 * Threads: open, drain and close are the opening and closing thread's; the HTTP library runs
 * `threads` of its own; answers come on the threads of shards.
 */
#ifndef TP_GATEWAY_GATEWAY_H
#define TP_GATEWAY_GATEWAY_H

#include "os/env.h"

#include <troupe.h>
#include <troupe/cluster.h>
#include <troupe/log.h>
#include <troupe/provider.h>
#include <troupe/stored.h>

#define TP_GATEWAY_NUMBER 6 /* of this port; a module with another one is refused */
#define TP_GATEWAY_SYMBOL "troupe_gateway_entry"
#define TP_GATEWAY_WORDS  2048

typedef struct tp_gateway tp_gateway;

/* A reminder or timer to be set, as shard/appoint.h has it. */
typedef struct tp_gateway_alarm {
    bool is_timer;
    bool keeps; /* a reminder: one of that name stays, CONFLICT */
    const char *name;
    const char *method, *other; /* the first of them that the type has */
    troupe_slice schedule;      /* of a reminder */
    uint64_t set;               /* of a reminder: wall */
    uint64_t left, period;      /* of a timer: ns until it ticks first, then; 0: once */
    uint64_t last;              /* of a timer: ns until its end; UINT64_MAX: none */
    troupe_slice payload;       /* JSON, or empty */
} tp_gateway_alarm;

/* Each in PEM, as its file has it. */
typedef struct tp_gateway_files {
    troupe_slice certificate; /* of http_tls_certificate */
    troupe_slice key;
    troupe_slice authority; /* empty: callers need no certificate */
} tp_gateway_files;

/* What it uses of its node. The token is copied by open. */
typedef struct tp_gateway_host {
    tp_env *env;
    const troupe_allocator *allocator;
    troupe_client *client;
    /* troupe_client_ask_callback */
    troupe_status (*ask)(troupe_client *client, troupe_id id, const char *method,
        troupe_slice payload, const troupe_call_options *options, troupe_client_done *done,
        void *user);
    /* troupe_cancel_create, _fire, _destroy */
    troupe_status (*cancel_create)(troupe_node *node, troupe_cancel **ret_cancel);
    void (*cancel_fire)(troupe_cancel *cancel);
    void (*cancel_destroy)(troupe_cancel *cancel);
    void (*ended)(const tp_socket *sockets, size_t count, bool *ret_ended); /* tp_net_ended */
    /* [any thread] What is wrong with a call that was not taken, in words; they are in `room`. */
    troupe_slice (*explain)(troupe_node *node, troupe_id id, const char *method, bool once,
        troupe_status status, char room[TP_GATEWAY_WORDS]);
    /* [any thread] May something be stored of it? As of <troupe/stored.h>, with words if not. */
    troupe_status (*stores)(troupe_node *node, troupe_id id, char *error, size_t error_size);
    /* [any thread] Begins to load what is stored of it, by an op that is zeroed but for `done`,
     * `owner` and `from`. OK: `done` comes once, on the store's thread or within, and one of the
     * next two is to follow. */
    troupe_status (*load)(
        troupe_node *node, troupe_id id, troupe_store_op *op, char *error, size_t error_size);
    /* [any thread] What was loaded, as troupe_stored_look and troupe_stored_each_reminder show it;
     * the op's items are given back. */
    troupe_status (*show)(troupe_node *node, troupe_store_op *op, troupe_stored_visit *visit,
        void *user, char *error, size_t error_size);
    troupe_status (*show_reminders)(troupe_store_op *op, troupe_reminder_visit *visit, void *user,
        char *error, size_t error_size);
    /* [any thread] Reads a duration, as options have it: 250us, 1m30s, never. */
    bool (*duration)(const char *text, uint64_t *ret_duration);
    /* [any thread] A turn of the actor sets it, or ends the reminder or timer of that name. OK:
     * `done` comes once, as of an ask, and `outcome` reads its answer; `*ret_words` borrows from
     * that. Else `words` are said. */
    troupe_status (*appoint)(troupe_node *node, troupe_id id, const tp_gateway_alarm *alarm,
        uint64_t timeout, troupe_client_done *done, void *user, char words[TP_GATEWAY_WORDS]);
    troupe_status (*cancel)(troupe_node *node, troupe_id id, bool is_timer, const char *name,
        uint64_t timeout, troupe_client_done *done, void *user, char words[TP_GATEWAY_WORDS]);
    troupe_status (*outcome)(const troupe_answer *answer, troupe_slice *ret_words);
    /* [any thread that may wait] troupe_cluster_discover, troupe_cluster_lookup, troupe_node_stats
     */
    troupe_status (*discover)(troupe_node *node, troupe_slice type, troupe_slice pattern,
        size_t limit, uint64_t timeout, troupe_cluster_cursor *cursor,
        troupe_cluster_found_visit *visit, void *user);
    troupe_status (*lookup)(troupe_node *node, troupe_id id, troupe_consistency consistency,
        uint64_t timeout, troupe_cluster_place_visit *visit, void *user);
    troupe_status (*stats)(troupe_node *node, troupe_stats *ret_stats);
    /* [any thread that may wait] troupe_node_subscribe, troupe_node_unsubscribe */
    troupe_status (*subscribe)(
        troupe_node *node, troupe_lifecycle_visit *visit, void *user, uint64_t *ret_subscription);
    /* Each commit of an actor of this node that is durable, on its shard's thread, by what `hash`
     * [any thread] makes of its id; ended by unsubscribe, too. */
    troupe_status (*watch)(troupe_node *node, void (*committed)(void *user, uint64_t hash),
        void *user, uint64_t *ret_subscription);
    uint64_t (*hash)(troupe_node *node, troupe_id id);
    troupe_status (*unsubscribe)(troupe_node *node, uint64_t subscription);
    /* [any thread] troupe_node_metrics */
    troupe_status (*metrics)(troupe_node *node, troupe_page_write *write, void *user);
    bool (*is_ready)(troupe_node *node); /* [any thread] it serves, and does not close */
    void (*log)(troupe_node *node, troupe_log_level level, const char *event, const char *text);
    troupe_node *node;
    const char *name; /* of the node; lives as long as it */
    size_t type_count;
    troupe_slice (*type)(troupe_node *node, size_t index); /* its name */
    tp_socket socket;                                      /* it listens; the gateway closes it */
    const char *token;                                     /* empty: none is asked for */
    const tp_gateway_files *tls; /* NULL: clear text; else only for open */
    bool beyond;                 /* it is reached from other machines */
    uint32_t threads;
    uint32_t connections; /* at once; more wait until one has gone */
    uint32_t calls;       /* under way at once; beyond it 503 */
    uint32_t pool;        /* threads for jobs that block, which others of the node need, too */
    uint64_t bytes;       /* of bodies and answers at once; beyond it 503 */
    uint64_t body;        /* of one; beyond it 413 */
    /* Calls a second, of one address, type, partition; 0: as many as come. Beyond it 429. */
    uint32_t rate_caller, rate_type, rate_partition;
    uint32_t type_calls; /* under way at once of one type; 0: no such limit. Beyond it 503 */
    uint64_t spin;       /* so long an answer is polled for before its connection is suspended */
    /* A connection that says nothing for so long is closed, and one whose request is not whole. */
    uint64_t timeout;
} tp_gateway_host;

/* X(name): counters since it was opened, those of troupe_stats with "http_" before. */
#define TP_GATEWAY_COUNTER_MAP(X) X(requests) X(refused) X(busy) X(cut) X(gone) X(limited) X(slow)

typedef struct tp_gateway_counts {
#define TP_GATEWAY_FIELD(name) uint64_t name;
    TP_GATEWAY_COUNTER_MAP(TP_GATEWAY_FIELD)
#undef TP_GATEWAY_FIELD
} tp_gateway_counts;

typedef struct tp_gateway_entry {
    size_t size;
    uint32_t number;
    /* NO_MEMORY, UNAVAILABLE: `error` says why; what becomes of the socket is not known. */
    troupe_status (*open)(
        const tp_gateway_host *host, tp_gateway **ret_gateway, char *error, size_t error_size);
    /* Takes no new connection, and answers 503 to whatever begins from now on. */
    void (*drain)(tp_gateway *gateway);
    /* After drain, and when the node has ended what it was asked: gives the answers that are not
     * sent yet `patience` to leave, and ends. False: asks were not answered, and it is left as it
     * is. */
    bool (*close)(tp_gateway *gateway, uint64_t patience);
    void (*count)(const tp_gateway *gateway, tp_gateway_counts *ret_counts); /* [any thread] */
    /* [any thread] Connections from now on use these; of one that was opened with some. CORRUPT:
     * `error` names the option, and those before stay; NO_MEMORY. */
    troupe_status (*retls)(
        tp_gateway *gateway, const tp_gateway_files *files, char *error, size_t error_size);
} tp_gateway_entry;

#endif
