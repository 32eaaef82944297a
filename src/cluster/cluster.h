/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster part of one node: it joins, holds the lease, follows views, and gives each shard its
 * outpost. The one place where the effects of the machines are performed: store, then send, then
 * notify. src/node opens it before its shards and closes it after them.
 *
 *   cluster.c   the functions below
 *   control.c   the control runner: membership machine, door, channels to other control runners
 *   reporter.c  loads of members, told and heard
 *   balancer.c  which actors of the node are to move to less loaded members
 *   teller.c    the runners that wait for the membership store
 *   outpost.c   what a shard has of it (outpost.h)
 *
 * A node's life in it:  open -> joining -> member -> (suspended <-> member) -> left, or died
 *
 * Invariants
 * 1. tp_shared.lease_until is written by the control runner only, and is 0 until it is a member.
 * 2. A view reaches shards after the writers of those it lacks were told to be closed (`gone`).
 * 3. After it died or left nothing of this node has effects.
 *
 * Threads: open, attach, leave, close by the thread that opens and closes the node; the rest says.
 */
#ifndef TP_CLUSTER_CLUSTER_H
#define TP_CLUSTER_CLUSTER_H

#include "cluster/balancer.h"
#include "cluster/loads.h"
#include "cluster/outpost.h"
#include "member/member.h"

typedef struct tp_cluster tp_cluster;

typedef enum tp_cluster_state {
    TP_CLUSTER_JOINING,
    TP_CLUSTER_MEMBER,
    TP_CLUSTER_SUSPENDED,
    TP_CLUSTER_LEFT,
    TP_CLUSTER_DIED,
} tp_cluster_state;

typedef struct tp_cluster_options {
    tp_shared *shared; /* env, allocator, log; its shards come later */
    /* Three handles on one store: for raises, for all else, to watch. Owned from then on. */
    troupe_membership *handles[3];
    const char *name;    /* of the cluster */
    const char *token;   /* "": none */
    const char *node;    /* name of this one */
    const char *listen;  /* address; port 0: one that is free */
    const char *address; /* as others reach it; "": as it listens */
    uint32_t shards;
    const troupe_slice *types; /* that it hosts */
    size_t type_count;
    const tp_view_label *labels;
    size_t label_count;
    uint64_t ttl; /* of a cluster that begins */
    uint32_t replicas;
    tp_tls_context *tls;    /* NULL: clear text; retained */
    bool allows_clear_text; /* lets in who speaks it, though there is a `tls` */
    /* A member is gone: close its writer before anything of the view without it is loaded. [control
     * thread] */
    void (*gone)(void *user, uint64_t incarnation);
    /* This incarnation is over; `reason` is a line. [control thread] */
    void (*died)(void *user, const char *reason);
    void *user;
} tp_cluster_options;

/* Listens and begins to join. USAGE, UNAVAILABLE, NO_MEMORY: `error` says what; the handles are
 * closed then, too. */
TROUPE_CHECK troupe_status tp_cluster_open(
    const tp_cluster_options *options, tp_cluster **ret_cluster, char *error, size_t error_size);
/* Until it is a member. TIMEOUT, UNAVAILABLE (it died): `error`. */
TROUPE_CHECK troupe_status tp_cluster_await(
    tp_cluster *cluster, uint64_t timeout, char *error, size_t error_size);
/* After await: outposts for all shards of `shared`, before their runners start. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_cluster_attach(tp_cluster *cluster);
/* Says that it leaves; others take over what is asked for from then on. */
void tp_cluster_leave(tp_cluster *cluster);
/* All that it had is handed over; waits until the view lacks it. False: not in time. */
bool tp_cluster_emptied(tp_cluster *cluster, uint64_t timeout);
/* Stops the control runner and what waits for the store. Before the shards end. */
void tp_cluster_stop(tp_cluster *cluster);
/* After the shards' runners have ended. NULL is a no-op. */
void tp_cluster_close(tp_cluster *cluster);

/* [any thread, after await] */
uint64_t tp_cluster_incarnation(const tp_cluster *cluster);
void tp_cluster_secret(const tp_cluster *cluster, uint64_t ret_secret[2]);

/* [any thread, after attach] Certificates for the connections to come. Retained. */
void tp_cluster_set_tls(tp_cluster *cluster, tp_tls_context *tls);

const char *tp_cluster_name(const tp_cluster *cluster);

#define TP_CLUSTER_DOUBTED 16 /* that are shown */

/* A look at it. [any thread] */
typedef struct tp_cluster_look {
    tp_cluster_state state;
    uint64_t incarnation;
    uint64_t ttl, lease_left; /* ns */
    tp_member_counts counts;
    uint64_t doubted[TP_CLUSTER_DOUBTED]; /* incarnations that may be dead */
    uint32_t doubted_count;
    tp_chart *chart; /* a reference of the caller's; NULL: none yet */
} tp_cluster_look;
TROUPE_CHECK troupe_status tp_cluster_see(tp_cluster *cluster, tp_cluster_look *ret_look);
/* How loaded and how far its members are, as far as it has heard; a reference of the caller's.
 * NULL: nothing yet. Rows are by env's `now`. [any thread] */
tp_load_sheet *tp_cluster_loads(tp_cluster *cluster);
/* Rebalances this node's actors now, or only says how (wish->is_dry); the wish is zero but for
 * that. BUSY: somebody does already; TIMEOUT; wish->status. [any thread that is no runner] */
TROUPE_CHECK troupe_status tp_cluster_rebalance(
    tp_cluster *cluster, uint64_t timeout, tp_balancer_wish *wish);

#endif
