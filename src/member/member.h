/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of membership of one node: joins, holds its lease, observes the leases of all others,
 * follows views, revokes and removes the dead, votes on the unreachable, leaves. Events in, effects
 * out: no clock, no I/O, no threads, no memory of others' but what it is handed. Its specification
 * is PROTOCOLS 1, modelled in model/lease.pml. Driven by cluster/control.c and by the worlds
 * of tests/member; which store is behind the calls it does not know.
 *
 * How to drive it. Each event is a function with `now`, a reading of the node's clock (one that
 * runs on while the machine sleeps: CLOCK_BOOTTIME) taken *after* what the event tells of had come.
 * After each event take the effects until there are none, and perform them in their order; call
 * tp_member_tick at tp_member_next, or when you can. A CALL is answered once by tp_member_answered
 * with its id, whatever came of it (member/perform.h does call and answer); at most one of each op
 * is under way, so raises and the rest may have threads of their own.
 *
 * The fence. LEASE{until} is the moment from which on this node has no effects: publish it to all
 * shards (an atomic), and compare a fresh clock reading with it immediately before each write to a
 * link, a store or an outside caller. SUSPENDED and RESUMED only tell; safety does not rest on
 * them.
 *
 * Rules, each with a mutant that the worlds of tests/member catch
 * 1. A lease runs hold = ttl * 0.99 from *before* its raise was sent, if the raise was answered OK.
 *    A conflict or an unknown outcome is none, whatever landed: read the registers, raise again.
 * 2. A lease that lapsed is used again only after a raise succeeded and, after that, a view was
 * read and installed, and while that raise's lease still runs.
 * 3. A register's count c was first seen at t0, a reading taken after the answer came. It is
 * revoked at c when it has not changed for ttl * 1.01 (more when this node is late itself), or by
 * votes, or when the provider knows that its holder has ended.
 * 4. The view without a revoked member is published not before t0 + ttl * 1.01, where t0 is when
 * the count at which this node revoked was first seen, or when it was found revoked by others. At
 * once if the holder has ended for sure.
 * 5. Only time during which the registers could be read counts: a gap of more than 3/8 ttl
 *    between two good reads, another run of the store, or an own suspension begins all t0 anew. So
 * an outage of the store, or a pause of this node, evicts nobody.
 * 6. Whoever finds its own register revoked or gone, a view without itself, a view whose number
 * fell or whose text changed under the same number, has DIED: the process starts anew as another
 *    incarnation. A node that leaves lets its lease go before it asks for the view without it.
 * 7. No raise while a shard has not passed its loop for `stuck_limit`.
 * 8. A vote of one's own needs answers from a majority of the view within one check, and none from
 *    the one voted on; two members' fresh votes revoke. In a view of two the older one's is enough.
 *    Who is late, or suspended, neither votes nor revokes.
 *
 * Joins. A process that is not in the view asks a member to admit it (ASK_JOIN), so that many are
 * admitted by one view; if that does not help in time it writes itself into the view. Of a view
 * that nobody has made yet it makes the first. What is asked of members is queued, up to
 * TP_MEMBER_JOINS; beyond, the candidates write themselves in.
 *
 * Leaving: tp_member_leave -> view with `leaving` -> the cluster hands over -> tp_member_emptied ->
 * view with `empty` -> view without it -> LEFT. Each step is repeated until it is in the view.
 *
 * Limits: members TP_VIEW_MEMBERS_MAX, joins that wait TP_MEMBER_JOINS, effects between two drains
 * TP_MEMBER_EFFECTS (an event makes fewer; that is asserted). No memory: the view is installed, or
 * published, a little later.
 *
 * Threads: one owner.
 */
#ifndef TP_MEMBER_MEMBER_H
#define TP_MEMBER_MEMBER_H

#include "member/view.h"

enum {
    TP_MEMBER_JOINS = 256,
    TP_MEMBER_EFFECTS = 64,
    TP_MEMBER_NEIGHBOURS = 5, /* that a member probes all the time */
    TP_MEMBER_SCORE_MAX = 8,
};

typedef struct tp_member tp_member;

/* Planted mistakes, one bit each, for proving that the worlds see them; 0 in the product. */
typedef enum tp_member_mutant {
    TP_MEMBER_NO_MARGIN = 1,           /* hold = wait = ttl */
    TP_MEMBER_COUNT_FROM_ANSWER = 2,   /* the lease runs from when the answer came */
    TP_MEMBER_CONFLICT_IS_SUCCESS = 4, /* a conflict renews the lease: why, it does not look */
    TP_MEMBER_NO_CATCH_UP = 8,         /* goes on after a lapse without reading the view */
    TP_MEMBER_T0_BEFORE_READ = 16,     /* t0 is when the registers were asked for */
    TP_MEMBER_PUBLISH_EARLY = 32,      /* the revoked are removed at once */
    TP_MEMBER_FINDER_IS_EARLY = 64,    /* who finds a revoked register does not wait */
    TP_MEMBER_OUTAGE_COUNTS = 128,     /* time without the store counts against others */
    TP_MEMBER_LEAVES_ARMED = 256,      /* keeps its lease while it asks for the view without it */
    TP_MEMBER_LATE_VOTES = 512,        /* votes alone, late or not, without a majority */
} tp_member_mutant;

typedef struct tp_member_options {
    const troupe_allocator *allocator;
    tp_view_member self;                  /* nonce, name, address, shards, types, labels; copied */
    uint64_t ttl;                         /* for a cluster that begins; else the view's holds */
    unsigned char secret[TP_VIEW_SECRET]; /* likewise */
    uint64_t stuck_limit;                 /* 0: 30 s */
    uint64_t seed;                        /* of jitter and choices */
    uint64_t mutants;
} tp_member_options;

/* ---- effects --------------------------------------------------------------------------------- */

typedef enum tp_member_op {
    TP_MEMBER_READ_VIEW, /* view: the newest that is known, or NULL; it is not made again */
    TP_MEMBER_CAS_VIEW,  /* view */
    TP_MEMBER_RAISE,    /* incarnation, count */
    TP_MEMBER_REVOKE,   /* incarnation, count */
    TP_MEMBER_READ_REGISTERS,
    TP_MEMBER_OPS,
} tp_member_op;

typedef enum tp_member_effect_kind {
    TP_MEMBER_CALL = 1,  /* op, id, timeout and what the op names */
    TP_MEMBER_LEASE,     /* until: the fence; 0: no effects from now on */
    TP_MEMBER_JOINED,    /* incarnation: this node's, from now on; comes before its first INSTALL */
    TP_MEMBER_INSTALL,   /* view, followed: it tells each change since the one installed before */
    TP_MEMBER_SUSPENDED, /* the lease has run out: nothing leaves, nothing starts, all stays */
    TP_MEMBER_RESUMED, /* there is a lease, and the newest view is installed; also the first time */
    TP_MEMBER_PROBE,   /* to: send a probe on the link for probes; 0: to all of the view but us */
    TP_MEMBER_SAY_VOTE, /* to, target: hand `target` to tp_member_heard_vote at `to` */
    TP_MEMBER_ASK_JOIN, /* to (in `view`): hand tp_member_candidate to tp_member_join_asked there */
    TP_MEMBER_LEFT,     /* the view is without us, as we wished: the end */
    TP_MEMBER_DIED,     /* reason: the end of this incarnation; start anew as another one */
} tp_member_effect_kind;

/* `view` is a reference that belongs to who takes the effect. */
typedef struct tp_member_effect {
    tp_member_effect_kind kind;
    tp_member_op op;
    bool followed;
    uint64_t id;
    uint64_t timeout; /* ns, for the provider's function */
    uint64_t incarnation, count;
    uint64_t to, target;
    uint64_t until;
    const tp_view *view;
    const char *reason; /* one line; lives as long as the machine */
} tp_member_effect;

/* The next effect, in order; false: there is none. */
bool tp_member_take(tp_member *member, tp_member_effect *ret_effect);

/* ---- its life and its events ----------------------------------------------------------------- */

/* USAGE: `self` breaks a limit of views; NO_MEMORY. */
TROUPE_CHECK troupe_status tp_member_create(
    const tp_member_options *options, tp_member **ret_member);
void tp_member_destroy(tp_member *member); /* NULL is a no-op */

/* It begins to join. */
void tp_member_start(tp_member *member, uint64_t now);
/* The moment of tp_member_next has come; early calls do no harm. */
void tp_member_tick(tp_member *member, uint64_t now);
/* When to tick next; UINT64_MAX: it has ended. */
uint64_t tp_member_next(const tp_member *member);

typedef struct tp_member_answer {
    tp_member_op op;
    uint64_t id;
    troupe_status status;
    const tp_view *view;              /* READ_VIEW, OK: NULL if there is none; borrowed */
    const troupe_register *registers; /* READ_REGISTERS, OK: by rising incarnation; borrowed */
    size_t register_count;
    uint64_t run;
} tp_member_answer;

/* What came of a CALL. */
void tp_member_answered(tp_member *member, uint64_t now, const tp_member_answer *answer);
/* The watch says that there may be a newer view, or a holder that has ended; or a peer or a frame
 * named number `number`. */
void tp_member_changed(tp_member *member, uint64_t now);
void tp_member_peer_number(tp_member *member, uint64_t now, uint64_t number);
/* A member sent us this view (the barrier); borrowed. Older ones are ignored. */
void tp_member_peer_view(tp_member *member, uint64_t now, const tp_view *view);
/* The answer to a probe came, or anything else from that member by the link for probes. */
void tp_member_reached(tp_member *member, uint64_t now, uint64_t incarnation);
/* A SAY_VOTE arrived. */
void tp_member_heard_vote(tp_member *member, uint64_t now, uint64_t from, uint64_t target);
/* An ASK_JOIN arrived: view 1 of a cluster of the candidate alone, as tp_member_candidate gives it;
 * borrowed. False: refused, for the queue is full or we are no member. */
bool tp_member_join_asked(tp_member *member, uint64_t now, const tp_view *candidate);
/* A member does not take us: another token, another cluster. Ends one that joins. */
void tp_member_denied(tp_member *member, const char *reason);
/* The moment at which the slowest shard last passed its loop; tell it each ttl / 8 or so. */
void tp_member_shards(tp_member *member, uint64_t now, uint64_t oldest_pass);
/* Wishes: leave; all that we had is handed over. */
void tp_member_leave(tp_member *member, uint64_t now);
void tp_member_emptied(tp_member *member, uint64_t now);

/* ---- looking --------------------------------------------------------------------------------- */

/* What ASK_JOIN sends: `->text` on the wire, tp_view_parse with number 1 there. */
const tp_view *tp_member_candidate(const tp_member *member);

typedef struct tp_member_counts {
    uint64_t raises, raises_failed, raise_conflicts, suspensions, views, publications,
        publications_lost, revocations, votes, checks, joins_refused, late;
} tp_member_counts;

typedef struct tp_member_state {
    uint64_t incarnation; /* 0: not yet a member */
    const tp_view *view;  /* installed; NULL: none; borrowed until the next event */
    uint64_t lease_until;
    uint64_t ttl;
    bool suspended, ended;
    uint32_t score; /* of its own lateness: 0 is well */
    tp_member_counts counts;
} tp_member_state;

tp_member_state tp_member_look(const tp_member *member);
/* Members that may be dead, as far as this one has seen; returns how many, at most `room`. For
 * `troupe nodes`. */
uint32_t tp_member_doubted(const tp_member *member, uint64_t *ret_incarnations, uint32_t room);

#endif
