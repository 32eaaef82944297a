/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shard knows of other nodes: this port, which src/cluster fills in. Without one (NULL) the
 * node is alone, and an actor that is asked for is made here. With one, a request for an actor that
 * has no record on its shard goes to `absent` in place of a creation, and comes back, if it is to
 * be made here after all, through tp_accept_granted.
 *
 * Addresses. Where an answer goes is a number: below TP_AWAY_FIRST a shard of this node; from there
 * on a *correspondent*, a shard of another node, whose number the cluster gave (the k-th is
 * TP_AWAY_FIRST + k).
 *
 * Invariants
 * 1. While a record of an actor exists here, requests for it come to it and not to `absent`.
 * 2. `gone` is called once for each record that was made through tp_accept_granted, after which the
 * next request is absent again.
 * 3. Requests for a record with TP_GUARDED are absent, too: the cluster orders them. It is in no
 * cache of hot records (tp_shard.recent).
 * 4. While `pass` says no, no turn begins and nothing leaves: the lease has run out.
 * 5. At a node that was put out all records are guarded, and no turn begins, though `pass` says yes
 * while it closes: turns that wait end then.
 *
 * Threads: all on the shard's thread, but for has_arrivals' caller, which is the same at rest.
 */
#ifndef TP_SHARD_AWAY_H
#define TP_SHARD_AWAY_H

#include "shard/shard.h"

#define TP_AWAY_FIRST 0x8000u

#define TP_PUT_OUT "its node was put out of the cluster"

struct tp_away {
    uint64_t incarnation; /* this node's */
    /* The node of a correspondent, and *ret_shard of it. */
    uint64_t (*whose)(const tp_away *away, uint32_t number, uint32_t *ret_shard);
    /* A request or wake for an id without a record here; takes the message. */
    void (*absent)(tp_away *away, tp_message *message);
    /* A plain tell of the turn that runs, to an id as above, before it is a message: the parts are
     * the caller's. True: it is on its way; false: nothing was done, make a message of it. */
    bool (*pass_by)(tp_away *away, const tp_message_parts *parts, const tp_message_head *head);
    /* A cancel or probe that goes after an ask: to `node`, or (0) to where the id of its hash is,
     * as far as it is known. Takes the message. It may be lost: deadlines end what it is about. */
    void (*follow)(tp_away *away, uint64_t node, tp_message *message);
    /* To a correspondent: a reply, an acknowledgement, a mark; takes the message. Never refused. */
    void (*send)(tp_away *away, uint32_t to, tp_message *message);
    /* Is it this node that wakes the actor of that hash should it sleep on work? Of all members
     * that host its type, which this one does, one is. As of the view that this shard has. */
    bool (*wakes)(const tp_away *away, const tp_type *type, uint64_t hash);
    /* The mailbox of an actor that was full is half empty. */
    void (*has_room)(tp_away *away, const tp_activation *actor);
    /* The record of an actor is about to go. */
    void (*gone)(tp_away *away, const tp_activation *actor);
    /* The node closes: may the actor, which is idle, live on at another one? True: it moves, or
     * will have; false: it is to be deactivated here. */
    bool (*moves_on)(tp_away *away, tp_activation *actor);
    /* An actor that was to move (move.h) is at rest; its record is the cluster's. */
    void (*still)(tp_away *away, tp_activation *actor);
    /* It does not move: it could not be saved, or there was no memory. */
    void (*stays)(tp_away *away, tp_activation *actor);
    /* Begin of a pass: takes in what came and what is due. May turns begin? */
    bool (*pass)(tp_away *away);
    /* End of a pass: lets out what may leave; when it has to be called again (env's now). */
    uint64_t (*flush)(tp_away *away);
    bool (*has_arrivals)(const tp_away *away);
    /* Is nothing under way or waiting? */
    bool (*is_quiet)(const tp_away *away);
    /* Do others know, as far as this shard does, that this node leaves, so that it gets no actors?
     */
    bool (*is_leaving)(const tp_away *away);
    /* This node leaves, and no actor is here any more: will nothing come any more, either? Asked
     * again until then. */
    bool (*is_deserted)(tp_away *away);
    /* The last step of the runner: what it alone may close. May be NULL. */
    void (*end)(tp_away *away);
};

static inline bool tp_is_away(uint32_t to)
{
    return to >= TP_AWAY_FIRST;
}

/* A request that may make its actor here. NULL: it was refused, and there is no record. */
tp_activation *tp_accept_granted(tp_shard *shard, tp_message *message);

/* It was put out of its cluster, or has left it: nothing of it counts any more. */
static inline bool tp_lease_is_lost(const tp_shared *shared)
{
    return atomic_load_explicit(&shared->lease_until, memory_order_relaxed) == 0;
}

/* May effects of this node leave at this moment? To be asked right before each of them. */
static inline bool tp_lease_holds(tp_shared *shared)
{
    uint64_t until = atomic_load_explicit(&shared->lease_until, memory_order_acquire);
    return TP_LIKELY(until == TP_NEVER) || shared->env->boot(shared->env) < until ||
           (until != 0 && TP_ENV_MUTANT(shared->env, TP_MUTANT_NO_LEASE));
}

#endif
