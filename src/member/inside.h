/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the membership machine: its state, and what its files call of one another. Included
 * by them only.
 *
 *   member.c   events, effects, times; views and their installation; the end
 *   lease.c    the own register: raising, lapse and return (rules 1, 2, 7)
 *   observe.c  the registers of others: seen, revoked, removed; publications (rules 3 to 5)
 *   join.c     becoming a member, admitting others, leaving
 *   votes.c    probes, doubts, checks and votes; the own lateness (rule 8)
 *
 * Each file has a `tp_member_run_…` that does what is due now, and says by `tp_member_is_due` when
 * it wants to be asked again. After each event all of them run until none wants another round.
 *
 * Threads: the machine's owner.
 */
#ifndef TP_MEMBER_INSIDE_H
#define TP_MEMBER_INSIDE_H

#include "base/prng.h"
#include "member/member.h"

#define TP_MEMBER_NEVER  UINT64_MAX
#define TP_MEMBER_NOBODY UINT32_MAX /* of `asked`: there is no view, so there is nobody to ask */

typedef enum tp_member_phase {
    TP_MEMBER_NEW,
    TP_MEMBER_JOINING,
    TP_MEMBER_IN,
    TP_MEMBER_ENDED
} tp_member_phase;

/* One call that may be under way. */
typedef struct tp_member_line {
    bool busy;
    uint64_t id;
    uint64_t sent;
    uint32_t failures; /* in a row, for the back-off */
} tp_member_line;

/* What this node knows of another member. */
typedef struct tp_peer {
    uint64_t incarnation;
    /* its register */
    bool seen, revoked, ended;
    uint64_t count, t0;
    uint64_t revoke_again; /* not before, after one that failed */
    /* probes */
    uint64_t reached_at, probed_since; /* since when probes are going without an answer; 0: none */
    bool doubted;                      /* to be looked at by the next check */
    /* votes */
    uint64_t my_vote, vote; /* when; 0: never */
    uint64_t vote_from;
} tp_peer;

struct tp_member {
    const troupe_allocator *allocator;
    const tp_view *own; /* view 1 of a cluster of this node alone: what it is, and the first view */
    uint64_t stuck_limit;
    uint64_t mutants;
    tp_prng prng;
    tp_member_phase phase;
    tp_member_counts counts;
    uint64_t incarnation;
    char reason[192];

    /* effects: a ring */
    tp_member_effect effects[TP_MEMBER_EFFECTS];
    size_t effect_begin, effect_count;

    /* times */
    uint64_t next; /* of the round under way, then of tp_member_next */
    bool again;    /* another round */
    uint64_t ttl;

    /* calls */
    tp_member_line lines[TP_MEMBER_OPS];
    uint64_t last_id;

    /* views */
    const tp_view *view;    /* installed, or while joining the newest seen; NULL: none */
    const tp_view *pending; /* CAS under way */
    bool want_view;
    uint64_t view_at;    /* next reading */
    uint64_t view_floor; /* installed number when the reading under way was asked for */

    /* lease.c */
    uint64_t count;        /* of the own register */
    uint64_t raised_since; /* from when on a reading must show it, if count > 0 */
    bool count_unknown;    /* to be read from the registers, asked for not before: */
    uint64_t count_from;
    uint64_t raise_at;
    uint64_t lease_until; /* of the last raise that succeeded */
    uint64_t fence;       /* the lease that is given out; 0: none */
    bool caught_up;       /* a view was read after the lease began to run without a gap */
    uint64_t catch_from;  /* a reading counts if it was asked for since then */
    bool suspended;
    bool has_passes;
    uint64_t oldest_pass;

    /* observe.c */
    tp_peer *peers; /* one for each member of `view` but this one, in its order */
    size_t peer_count;
    uint64_t registers_at;
    bool want_registers;     /* the reading under way may have begun too early */
    uint64_t registers_good; /* when the last good reading came; 0: none since the last reset */
    bool has_run;
    uint64_t run;
    uint64_t publish_at;
    uint64_t revoking; /* incarnation under way */

    /* join.c */
    const tp_view *joins[TP_MEMBER_JOINS];
    size_t join_count;
    uint64_t join_at;
    uint32_t asked;
    uint64_t ask_until;
    bool wants_to_leave, has_emptied, parting;
    uint64_t empty_since;

    /* votes.c */
    uint64_t probe_at;
    bool checking;
    uint64_t check_began, check_probe, check_until;
    uint32_t score;
    uint64_t score_at; /* falls by one */
    uint64_t score_up; /* does not rise again before */
};

/* member.c */
tp_member_effect *tp_member_emit(tp_member *self, tp_member_effect_kind kind);
/* Sends a call, unless one of that op is under way; NULL then. */
tp_member_effect *tp_member_send(tp_member *self, uint64_t now, tp_member_op op, uint64_t timeout);
bool tp_member_is_due(tp_member *self, uint64_t now, uint64_t at);
uint64_t tp_member_back_off(tp_member *self, tp_member_op op, uint64_t now);
void tp_member_end(tp_member *self, tp_member_effect_kind kind, const char *format, ...)
    TROUPE_PRINTF(3, 4);
/* False: no memory now, or the machine has ended; the view is not installed. */
bool tp_member_install(tp_member *self, uint64_t now, const tp_view *view);
static inline bool tp_member_is_mutant(const tp_member *self, tp_member_mutant mutant)
{
    return (self->mutants & mutant) != 0;
}
static inline const tp_view_member *tp_member_me(const tp_member *self)
{
    return self->view != NULL ? tp_view_find(self->view, self->incarnation) : NULL;
}
tp_peer *tp_member_peer(tp_member *self, uint64_t incarnation);

/* lease.c */
void tp_member_run_lease(tp_member *self, uint64_t now);
void tp_member_raised(tp_member *self, uint64_t now, const tp_member_answer *answer);
void tp_member_own_register(
    tp_member *self, uint64_t now, uint64_t sent, const troupe_register *own);
void tp_member_view_was_read(tp_member *self, uint64_t now, uint64_t sent);
void tp_member_disarm(tp_member *self);

/* observe.c */
void tp_member_run_observer(tp_member *self, uint64_t now);
void tp_member_run_publisher(tp_member *self, uint64_t now);
void tp_member_read_registers_soon(tp_member *self, uint64_t now);
void tp_member_registers_read(tp_member *self, uint64_t now, const tp_member_answer *answer);
void tp_member_revoke_answered(tp_member *self, uint64_t now, const tp_member_answer *answer);
void tp_member_forget_times(tp_member *self);
uint64_t tp_member_wait(const tp_member *self);

/* join.c */
void tp_member_run_join(tp_member *self, uint64_t now);
bool tp_member_find_self(tp_member *self, uint64_t now, const tp_view *view);
void tp_member_purge_joins(tp_member *self);
/* The own next step of leaving, if one is due. */
bool tp_member_own_step(tp_member *self, uint64_t now, tp_view_change *ret_change);

/* votes.c */
void tp_member_run_votes(tp_member *self, uint64_t now);
void tp_member_is_late(tp_member *self, uint64_t now);
bool tp_member_is_voted_out(const tp_member *self, const tp_peer *peer, uint64_t now);

#endif
