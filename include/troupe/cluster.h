/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at the cluster that a node belongs to: its members, its view, where an actor lives, which
 * actors are active anywhere; and having actors moved. Looking activates and moves none, and
 * disturbs none. A node that is alone is a cluster of itself: view 0, incarnation 0.
 *
 * As the functions of <troupe/inspect.h> these wait, so they must not be called from a turn or a
 * callback (USAGE), and visits come on the calling thread; what they show is borrowed during the
 * call.
 */
#ifndef TROUPE_CLUSTER_H
#define TROUPE_CLUSTER_H

#include "inspect.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- members ------------------------------------------------------------------------------- */

typedef struct troupe_cluster_member {
    troupe_slice name;
    troupe_slice address; /* for other nodes */
    uint64_t incarnation; /* unique: a node that starts anew has another */
    uint64_t joined;      /* number of the view that admitted it */
    const char *status;   /* "active", "leaving", "empty" */
    uint32_t shards;
    const troupe_slice *types; /* that it hosts */
    size_t type_count;
    const troupe_label *labels;
    size_t label_count;
    bool is_self;
    bool is_suspected;   /* it may be dead, as far as this node has seen */
    uint64_t lease_left; /* of this node itself; TROUPE_NEVER: of others, and of one alone */
    troupe_load load;    /* what it last said of itself; of one alone what is now */
    uint64_t queued;     /* messages in its mailboxes */
    uint64_t turns;      /* a second */
    uint64_t turn_time;  /* ns, the mean of the last ones; of a node alone, of all */
    uint64_t distance;   /* ns of a round trip; 0: not known, or itself */
    bool is_healthy;     /* active and not suspected; of this node itself: and its lease holds */
} troupe_cluster_member;

typedef void troupe_cluster_member_visit(void *user, const troupe_cluster_member *member);

/* [any thread but in a turn] Each member of the newest view that this node has. NO_MEMORY; of a
 * node alone UNAVAILABLE: a shard did not answer in time. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_nodes(
    troupe_node *node, troupe_cluster_member_visit *visit, void *user);

typedef struct troupe_cluster_change {
    uint64_t view;
    uint64_t incarnation;
    const char *what; /* "joined", "leaving", "empty", "left", "revoked" */
} troupe_cluster_change;

typedef struct troupe_cluster_view {
    size_t size;       /* set by the caller: sizeof(troupe_cluster_view) */
    char cluster[129]; /* its name; "": the node is alone */
    const char *state; /* of this node: "alone", "joining", "member", "suspended", "left", "died" */
    uint64_t number;
    uint64_t incarnation; /* of this node */
    uint32_t members;
    uint64_t ttl, lease_left; /* ns; of a node alone: TROUPE_NEVER */
    uint32_t change_count;
    troupe_cluster_change changes[64]; /* the last ones, the oldest first */
    /* of this node, since its start */
    uint64_t raises, raises_failed, suspensions, revocations, votes;
} troupe_cluster_view;

/* [any thread but in a turn] `ret_view->size` must be set. USAGE. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_view_get(
    troupe_node *node, troupe_cluster_view *ret_view);

/* ---- certificates ------------------------------------------------------------------------ */

/* [any thread but in a turn] Reads the files of tls_certificate, tls_key and tls_authority again,
 * and those of http_tls_certificate, http_tls_key and http_tls_authority. Connections made from now
 * on use what they hold; those that are stay. USAGE: one is wrong, or the node has none: `error`
 * (may be NULL) names it, and the certificates before stay. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_reload_tls(
    troupe_node *node, char *error, size_t error_size);

/* ---- where an actor lives ------------------------------------------------------------------ */

typedef struct troupe_cluster_place {
    troupe_id id;
    troupe_slice node; /* name of the member that has it */
    uint64_t incarnation;
    bool is_self;
    bool is_strong;       /* its home says so, and not only this node's memory */
    uint32_t activations; /* that the home has granted, as far as it knows; 0: unknown */
    bool has_actor;       /* the member said the following of it: */
    troupe_actor_info actor;
} troupe_cluster_place;

typedef void troupe_cluster_place_visit(void *user, const troupe_cluster_place *place);

typedef enum troupe_consistency {
    TROUPE_STRONG,   /* asks the home of the id, and then its host */
    TROUPE_EVENTUAL, /* what this node knows, at once; it may have moved or ended since */
} troupe_consistency;

/* [any thread but in a turn] NOT_FOUND: it is not active; UNAVAILABLE or TIMEOUT: who knows it
 * could not be asked within `timeout` ns (0: 5 s), or is about to learn it. Of a type of stateless
 * workers only this node's are found. NO_TYPE: a node alone has no such type. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_lookup(troupe_node *node, troupe_id id,
    troupe_consistency consistency, uint64_t timeout, troupe_cluster_place_visit *visit,
    void *user);

/* [any thread but in a turn] Moves an active actor to the member of that name, with its state, what
 * waits for it and its timers, and waits until it runs there; turns in progress end first.
 * `*ret_duration`: ns that it took; may be NULL. OK also if it is there already. NOT_FOUND: it is
 * not active, or there is no such member (`is_member` of the latter is false, may be NULL).
 * NO_TYPE: that member does not host its type. BUSY: it moves already, or may not leave yet.
 * TIMEOUT: it is on its way, or stays, since a turn did not end within `timeout` ns (0: 5 s). */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_migrate(troupe_node *node, troupe_id id,
    troupe_slice to, uint64_t timeout, uint64_t *ret_duration, bool *ret_is_member);

/* ---- rebalancing --------------------------------------------------------------------------- */

/* A move of an actor of this node to a less loaded member. */
typedef struct troupe_cluster_move {
    troupe_slice actor; /* its id as text; after 79 bytes it is cut */
    troupe_slice to;    /* name of the member */
    uint64_t incarnation;
    uint64_t bytes;  /* that the move copies */
    double cost;     /* in bytes: these, and as many as turns of its length are as dear as */
    double share;    /* of this node's load goes with it; shares are parts of the members' mean */
    double to_share; /* what that member carries before any move: why it is the one */
} troupe_cluster_move;

typedef void troupe_cluster_move_visit(void *user, const troupe_cluster_move *move);

typedef struct troupe_cluster_plan {
    size_t size; /* set by the caller: sizeof(troupe_cluster_plan) */
    /* "uneven": there are moves; and why there are none: "even"; "below": others carry more, ask
     * them; "held": what it has too much of fits nowhere, or came here just now; "unmeasured": no
     * loads were said since the last moves; "unheard": nor at all; "alone": no cluster */
    const char *why;
    double share, share_after; /* what this node carries; 1: the mean of all members */
    uint32_t members;          /* whose load is known */
    uint32_t planned;          /* moves, up to 100; the next call goes on */
    uint32_t begun;            /* of them; the others would not go, or had gone. 0 of a dry run */
} troupe_cluster_plan;

/* [any thread but in a turn] Gives actors of this node to less loaded members, as
 * rebalance_interval has it done, and at once; if `is_dry`, only says which it would. Each member
 * plans for its own actors. Moves are begun when it returns, not ended; calls go on meanwhile.
 * `visit` may be NULL. `ret_plan->size` must be set. USAGE. BUSY: another thread does it already.
 * TIMEOUT: not planned within `timeout` ns (0: 5 s). UNAVAILABLE: the node closes. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_rebalance(troupe_node *node, bool is_dry,
    uint64_t timeout, troupe_cluster_plan *ret_plan, troupe_cluster_move_visit *visit, void *user);

/* ---- which actors are active --------------------------------------------------------------- */

/* Where a walk is; begins as {0}. It may be printed as its numbers and read again. */
typedef struct troupe_cluster_cursor {
    uint64_t member, shard, at;
    bool is_over;    /* there are no more */
    bool has_missed; /* a member did not answer, or was about to learn what it is home to */
} troupe_cluster_cursor;

typedef struct troupe_cluster_found {
    troupe_id id;
    troupe_slice node; /* name of the member that has it */
    uint64_t incarnation;
} troupe_cluster_found;

typedef void troupe_cluster_found_visit(void *user, const troupe_cluster_found *found);

/* [any thread but in a turn] Active actors of all members, in no useful order: of `type` (empty:
 * all), whose key matches `pattern` (`*` and `?`; empty: all), up to `limit` (1 to 10,000), from
 * the cursor on, which is moved. An actor active throughout is seen once, unless members come or go
 * meanwhile. Stateless workers have no place, and are not seen. `timeout` ns (0: 5 s) for all of
 * the call. A node alone has one page: raise `limit` if `is_over` is false. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_discover(troupe_node *node, troupe_slice type,
    troupe_slice pattern, size_t limit, uint64_t timeout, troupe_cluster_cursor *cursor,
    troupe_cluster_found_visit *visit, void *user);

/* ---- the location cache -------------------------------------------------------------------- */

typedef struct troupe_cluster_preloaded {
    uint64_t learned; /* places that this node did not know */
    bool is_full;     /* a shard's part of the cache has no room for more: raise cache_size */
    bool has_missed;  /* as of a cursor */
} troupe_cluster_preloaded;

/* [any thread but in a turn] Learns where the active actors of all members are, of `type` and
 * `pattern` as for discover, so that the first message to each needs not ask its home. Before calls
 * come, say: nothing leaves the cache for it. Of actors at home here nothing is to be learned.
 * `timeout` ns (0: 5 s); TIMEOUT: what was learned until then stays. USAGE, UNAVAILABLE. A node
 * alone learns nothing. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cluster_preload(troupe_node *node, troupe_slice type,
    troupe_slice pattern, uint64_t timeout, troupe_cluster_preloaded *ret_preloaded);

#ifdef __cplusplus
}
#endif

#endif
