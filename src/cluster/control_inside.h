/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control runner of a node holds, and what its files share:
 *
 *   control.c          the runner: begin, passes
 *   member_effects.c   what the machine of membership wants done
 *   peers.c            the door, and the channels to other control runners
 *   cluster.c          what other threads see and ask of it, open and close (cluster.h)
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

/* [any] */
static inline void tp_control_lock(tp_cluster *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire))
        ;
}

static inline void tp_control_unlock(tp_cluster *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

/* NULL: not attached yet. [any] */
static inline tp_outpost **tp_control_outposts(tp_cluster *self)
{
    tp_control_lock(self);
    tp_outpost **outposts = self->outposts;
    tp_control_unlock(self);
    return outposts;
}

/* The clock of leases: it goes on while the machine sleeps. [any] */
static inline uint64_t tp_control_boot(const tp_cluster *self)
{
    return self->env->boot(self->env);
}

/* Tellers and runner. [opening thread] */
TROUPE_CHECK troupe_status tp_control_start(tp_cluster *self);
/* Who waits for another state of it looks again. */
void tp_control_signal(tp_cluster *self);

/* All that the machine wants until now. */
void tp_control_perform(tp_cluster *self);
/* Takes the reference if it is done. */
bool tp_control_install(tp_cluster *self, const tp_view *view);

/* Opens the door and the channels; `open_error` says what is wrong. */
TROUPE_CHECK troupe_status tp_control_listen(tp_cluster *self);
/* Where it fails, the next pass tries again. */
troupe_status tp_control_open_channels(tp_cluster *self);
/* Certificates that were given since. */
void tp_control_renew_tls(tp_cluster *self);
/* A MEMBER frame (say.h) to another control runner; nothing where there is no channel. */
void tp_control_say(tp_cluster *self, uint64_t to, unsigned what, troupe_slice body);

#endif
