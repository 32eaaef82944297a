/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebalancing: which actors are to move so that the members of a cluster are evenly loaded. It
 * plans from loads and samples, and moves nothing: migration does, and may refuse. Called by the
 * cluster once per cycle, and by `troupe rebalance --dry-run`, which throws the plan and the state
 * away.
 *
 * One number stands for what a member carries: of each of turn time, memory and number of actors
 * its part of the sum over all members, weighted 5 : 3 : 2 (a kind of which nobody has any is left
 * out), over its part of the capacity. 1 is the mean. The number of an actor is made alike, so what
 * a move does to both ends is known before.
 *
 * When: some member is above 1 + high or below 1 - high in `patience` cycles one after the other;
 * then in every cycle until all are within low of 1 (hysteresis). Loads older than the last moves
 * are not acted on.
 * What: from the most loaded member to the least loaded that may host the type, the actors that
 * take away most load per cost first: cost is what a move copies and how long its turns are.
 *
 * Invariants
 * 1. No overshoot: no move brings its source below 1 or its target above 1.
 * 2. At most `moves` moves and `bytes` bytes in one cycle.
 * 3. An actor that moved less than `cool_down` ago does not move.
 * 4. An actor is moved to a member that may host its type and is not out.
 * 5. Where each member plans for its own actors, with the same loads, all plans together keep 1.
 * Threads: pure, but for the state and the arrays it is given.
 */
#ifndef TP_PLACE_REBALANCE_H
#define TP_PLACE_REBALANCE_H

#include <troupe/base.h>

#define TP_REBALANCE_ALL UINT32_MAX

typedef struct tp_rebalance_options {
    double high;        /* migration_threshold; 0: 0.15 */
    double low;         /* 0: a third of high */
    uint32_t patience;  /* cycles; 0: 2 */
    uint32_t moves;     /* per cycle; 0: 100 */
    uint64_t bytes;     /* per cycle; 0: 64 MiB */
    uint64_t cool_down; /* of an actor; 0: 2 min */
    uint32_t own;       /* plan for this member only, as all others do; ALL: for all of them */
} tp_rebalance_options;

typedef struct tp_rebalance_member {
    uint64_t at;      /* when it was measured */
    double turn_time; /* seconds of turns per second */
    double memory;    /* bytes */
    double actors;
    double capacity;       /* relative to others; 0: 1 */
    bool may_receive;      /* active, with a lease */
    bool is_out;           /* leaves (drain moves its actors), or may host none of the types */
    const uint64_t *types; /* which may be placed there: bit `type` */
    size_t type_words;
    double measured; /* the planner's: what it carries, 1 is the mean */
    double share;    /* the planner's: the same, as planned afterwards; of targets, with room kept
                        for others */
    bool is_done;    /* the planner's */
} tp_rebalance_member;

typedef struct tp_rebalance_sample {
    uint64_t ref; /* the caller's */
    uint32_t member;
    uint32_t type;
    double turn_time, memory;
    uint64_t bytes;     /* that a move copies */
    uint64_t moved_at;  /* when it came here by a move; 0: it did not */
    double share, cost; /* the planner's */
} tp_rebalance_sample;

typedef struct tp_rebalance_move {
    uint64_t ref;
    uint32_t from, to;
    double cost;  /* in bytes: those that it copies, and as many as its turns are as dear as */
    double share; /* of the load of `from` that goes with it */
} tp_rebalance_move;

/* Of a plan: why there are moves, or why not. */
typedef enum tp_rebalance_verdict {
    TP_REBALANCE_UNKNOWN,    /* there was none yet */
    TP_REBALANCE_UNMEASURED, /* loads are older than the last moves */
    TP_REBALANCE_EVEN,       /* or not uneven for long enough */
    TP_REBALANCE_UNEVEN,     /* without moves: who plans has nothing to give that fits elsewhere */
} tp_rebalance_verdict;

/* Begins as {0}. Kept from cycle to cycle; a dry run gets a copy. */
typedef struct tp_rebalance {
    bool is_active;
    uint32_t strikes;    /* cycles with somebody beyond high */
    uint64_t last_moves; /* when the last plan with moves was made; 0: never */
    tp_rebalance_verdict verdict;
} tp_rebalance;

/* Writes at most `room` moves and returns how many. Shares are written to `members`, and `samples`
 * are sorted. Time: of sorting the samples, and members * samples of givers at worst. */
size_t tp_rebalance_plan(tp_rebalance *state, const tp_rebalance_options *options,
    tp_rebalance_member *members, uint32_t member_count, tp_rebalance_sample *samples,
    size_t sample_count, uint64_t now, tp_rebalance_move *ret_moves, size_t room);

/* The second planner: pairs that talk much to each other from different members come together. */

typedef struct tp_rebalance_pair {
    uint32_t one, two; /* numbers of samples */
    uint64_t messages; /* between them, both ways, in the time of the sampling */
} tp_rebalance_pair;

/* The samples stay where they are; `members` have the shares of a tp_rebalance_plan before. The
 * pair with most messages is looked at first. An actor moves to the other's member if that makes
 * fewer of the sampled messages cross by at least `least`, and leaves no member above 1 + low that
 * was below, nor its own below 1 - low; of the two the one that saves more. Invariants 2 to 4 hold,
 * and an actor moves at most once in a plan. With `own`, of a pair the same one end may move at
 * both planners, so that they do not change places. `links` are room for 2 * pair_count +
 * sample_count + 1 numbers. Sorts `pairs`. */
size_t tp_rebalance_pairs(const tp_rebalance_options *options, tp_rebalance_member *members,
    uint32_t member_count, tp_rebalance_sample *samples, size_t sample_count,
    tp_rebalance_pair *pairs, size_t pair_count, uint64_t least, uint64_t now, uint32_t *links,
    tp_rebalance_move *ret_moves, size_t room);

#endif
