/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control runner of a node holds. For control.c, which says what it does with it.
 *
 * Threads: the control runner's, but for what is marked.
 */
#ifndef TP_CLUSTER_CONTROL_INSIDE_H
#define TP_CLUSTER_CONTROL_INSIDE_H

#include "cluster/cluster.h"

#include "cluster/balancer.h"
#include "cluster/reporter.h"
#include "cluster/say.h"
#include "cluster/teller.h"
#include "transport/door.h"

enum { LEASE_TELLER, VIEW_TELLER, WATCH_TELLER, TELLERS };

/* What other threads ask of the control runner. */
typedef enum event_kind {
    EVENT_NEWER, /* number: a view that somebody has */
    EVENT_TARDY, /* number: an incarnation */
    EVENT_LEAVE,
    EVENT_EMPTIED,
} event_kind;

typedef struct event {
    tp_mpsc_node node;
    event_kind kind;
    uint64_t number;
} event;

struct tp_cluster {
    tp_runner runner;
    tp_cluster_options options;
    tp_env *env;
    const troupe_allocator *allocator;
    tp_shared *shared;
    char name[TP_NAME_MAX + 1], token[TP_HELLO_TOKEN_MAX + 1], node[TP_NAME_MAX + 1];
    char listen[TP_ADDRESS_MAX], address[TP_ADDRESS_MAX];
    tp_member *member;
    tp_channels *channels;
    tp_tls_context *tls;                /* of channels that are made from now on; NULL: clear */
    _Atomic(tp_tls_context *) next_tls; /* [any] given, and not taken yet */
    tp_door *door;
    tp_teller tellers[TELLERS];
    tp_mpsc events;  /* event */
    tp_mpsc answers; /* tp_teller_call */
    _Atomic bool changed, stops;
    bool is_started, is_open, is_over;
    _Atomic bool has_begun; /* publishes open_status, open_error, address */
    troupe_status open_status;
    char open_error[256];
    const char *reason;
    /* since the first view */
    tp_chart *chart, *chart_before;
    const tp_view *to_install; /* had no memory yet */
    const tp_view *met;        /* a view of others, while it joins */
    tp_outpost **outposts;     /* of each shard, once attached; guarded by `lock` */
    tp_loads loads;
    tp_reporter reporter;
    tp_balancer balancer;
    uint64_t incarnation;
    uint64_t shards_looked;
    struct {
        uint64_t passes, since;
    } seen[TP_SHARDS_MAX];
    /* for other threads; guarded by `lock`, held for a few instructions */
    atomic_flag lock;
    tp_cluster_look look;
    tp_waiter *waiter;
};

#endif
