/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node: the place where everything is put together. Private parts that node.c, client.c and
 * sight.c share, and the way in for simulated worlds.
 *
 * Threads: fields are written by open and close only, but for what says [any].
 */
#ifndef TP_NODE_NODE_H
#define TP_NODE_NODE_H

#include "node/options.h"
#include "node/storage.h"
#include "shard/shard.h"
#include "shard/slip.h"

#include <troupe/membership.h>
#include <troupe/stored.h>

enum { TP_TLS_FILES = 3 }; /* certificate, key, authority */

struct troupe_node {
    tp_shared shared;
    tp_log log;
    char name[TP_NAME_MAX + 1];
    tp_env *env;
    bool owns_env;
    uint32_t runners; /* started */
    tp_storage *storage;
    _Atomic(struct tp_gone_member *) gone; /* [any] who went before the storage was open */
    _Atomic uint32_t closes_gone; /* it is open: publishes it, and takes over those of `gone` */
    _Atomic bool missed_gone;     /* there was no memory for one of them */
    struct tp_cluster *cluster;   /* NULL: the node is alone */
    void *membership_module;
    struct tp_node_gateway *gateway;        /* NULL: no calls over HTTP */
    char *tls_paths[TP_TLS_FILES];          /* NULL: clear text */
    struct tp_kept_text *kept;              /* texts of the options, while it opens */
    uint64_t texts[TP_OPTIONS];             /* reload.c: what they were, as hashes */
    atomic_flag reloads;                    /* [any] one at a time */
    bool owes_limits, owes_idle;            /* by a reload, to shards; who holds `reloads` */
    _Atomic bool died;                      /* [any] put out of its cluster */
    troupe_store *given_store;              /* until it is the storage's */
    troupe_membership *given_membership[3]; /* until they are the cluster's */
    troupe_client *client;                  /* of troupe_node_ask and _tell */
    _Atomic uint64_t next_subscription;     /* [any] */
    _Atomic uint64_t outside_busy;          /* [any] refusals before a shard saw them */
    _Atomic uint64_t outside_mailbox;       /* [any] the same, of mailboxes that are full */
    _Atomic uint64_t outside_link;          /* [any] of what waits for other nodes */
    _Atomic uint64_t outside_crowded;       /* [any] for want of room for actors */
    _Atomic uint64_t outside_short;         /* [any] of memory */
    _Atomic uint64_t outside_no_memory;     /* [any] */
    _Atomic uint64_t outside_too_large;     /* [any] */
};

/* Opens a node in a world. `hostile`: every block of the pools is an allocation of its own. The env
 * outlives the node. */
TROUPE_CHECK troupe_status tp_node_open_in(tp_env *env, bool hostile,
    const troupe_node_options *options, const troupe_type *const *types, size_t type_count,
    troupe_node **ret_node, char *error, size_t error_size);

/* The same on a store that is open already; the node closes it, also when it does not open. */
TROUPE_CHECK troupe_status tp_node_open_on(tp_env *env, bool hostile, troupe_store *store,
    const troupe_node_options *options, const troupe_type *const *types, size_t type_count,
    troupe_node **ret_node, char *error, size_t error_size);

/* Where a node of a world stands: on handles that are open already. It closes them, also when it
 * does not open. */
typedef struct tp_node_grounds {
    tp_env *env;
    bool hostile;
    troupe_store *store; /* NULL: as the options say */
    troupe_membership
        *membership[3]; /* of one store, if options name a cluster; NULL: as they say */
} tp_node_grounds;
TROUPE_CHECK troupe_status tp_node_open_at(const tp_node_grounds *grounds,
    const troupe_node_options *options, const troupe_type *const *types, size_t type_count,
    troupe_node **ret_node, char *error, size_t error_size);

/* client.c: asks an actor for an errand (shard/errand.c); the answer is filled. `timeout` 0: the
 * node's ask_timeout. */
troupe_status tp_node_errand(troupe_node *node, troupe_id id, tp_errand errand,
    troupe_slice payload, uint64_t timeout, troupe_answer *ret_answer);
/* The same without waiting: `done` comes once if this says OK, as of troupe_client_ask_callback. */
TROUPE_CHECK troupe_status tp_node_errand_callback(troupe_node *node, troupe_id id,
    tp_errand errand, troupe_slice payload, uint64_t timeout, troupe_client_done *done, void *user);

/* reload.c [opening thread]: the texts of the options, before they go. */
void tp_node_note_texts(troupe_node *node);

/* stored.c [any thread], for who may not wait. May something be stored of it? As of
 * <troupe/stored.h>, with words of what is wrong. */
TROUPE_CHECK troupe_status tp_stored_check(
    troupe_node *node, troupe_id id, char *error, size_t error_size);
/* Begins to load what is stored; the op is zeroed but for `done`, `owner` and `from`. OK: `done`
 * comes once, on the store's thread or within, and one of the two below is to follow. */
TROUPE_CHECK troupe_status tp_stored_load(
    troupe_node *node, troupe_id id, troupe_store_op *op, char *error, size_t error_size);
/* What was loaded, as troupe_stored_look and troupe_stored_each_reminder show it; the op's items
 * are given back. */
TROUPE_CHECK troupe_status tp_stored_show(troupe_node *node, troupe_store_op *op,
    troupe_stored_visit *visit, void *user, char *error, size_t error_size);
TROUPE_CHECK troupe_status tp_stored_show_reminders(
    troupe_store_op *op, troupe_reminder_visit *visit, void *user, char *error, size_t error_size);
/* What became of an errand; `*ret_rest` borrows from the answer: words, or the version in digits.
 */
troupe_status tp_stored_outcome(const troupe_answer *answer, troupe_slice *ret_rest);

/* sight.c [any thread]: adds what is counted, by shards or not. */
void tp_node_count(const troupe_node *node, troupe_stats *into);

/* As troupe_node_subscribe: each commit of this node's actors that is durable, by the hash of the
 * actor's id (tp_types_hash), on its shard's thread before anything that rests on it leaves. Ended
 * by troupe_node_unsubscribe. */
TROUPE_CHECK troupe_status tp_node_watch_commits(troupe_node *node,
    void (*committed)(void *user, uint64_t hash), void *user, uint64_t *ret_subscription);

/* visit.c. Runs `visit` on the thread of each shard, one after the other, and waits. UNAVAILABLE:
 * not all came, as turns kept them; it has run on the others. USAGE in a turn or a callback. */
typedef void tp_shard_visit(tp_shard *shard, void *user);
TROUPE_CHECK troupe_status tp_node_visit(
    troupe_node *node, uint32_t first, uint32_t count, tp_shard_visit *visit, void *user);

#endif
