/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town: several nodes of one cluster in a world, each in a process (a *house*) with memory,
 * clock and network host of its own, on one membership store and one store for state. Houses are
 * killed, paused, cut off, opened and left in the middle of asks and tells between actors and from
 * outside. Beside stage.h (one node, actors in memory) and vault.h (one node, a store, crashes).
 *
 *   town.c         makes world and stores; opens, closes and kills houses; makes trouble
 *   town_rolls.c   the membership store as a house sees it: it fails for one house, or for all
 *   town_run.c     performs operations, waits for rest, ends
 *   town_plan.c    draws operations, says them in words
 *   town_types.c   the actor types: they do what deeds say
 *   town_kept.c    what outlives turns: outboxes, reminders, timers; draws, does and checks them
 *   town_model.c   what is known of deeds and actors, and the checkers
 *
 * Invariants
 * 1. Operation i is drawn from (seed, i) alone.
 * 2. The checkers see all of the world at once: what no node can know.
 * 3. A calm town has no faults: nothing that is asked there may fail (P8).
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_TOWN_H
#define TP_TESTKIT_TOWN_H

#include "node/node.h"
#include "testkit/faulty_store.h"
#include "testkit/roll.h"
#include "testkit/stage.h"

#include <setjmp.h>

#define TOWN_ACTORS   10
#define TOWN_DEEDS    700
#define TOWN_HOUSES   20 /* over a run */
#define TOWN_NODES    5  /* at a time */
#define TOWN_TYPES    3
#define TOWN_CLIENTS  2
#define TOWN_CHILDREN 3
#define TOWN_TIMED    64
#define TOWN_BELLS    2
#define TOWN_ATTEMPTS 5
#define TOWN_KEY      16
#define TOWN_WITH     2

typedef struct tp_town tp_town;
typedef struct tp_town_deed tp_town_deed;

/* What a deed leaves behind at its actor. */
typedef enum tp_town_keep { TOWN_NOTHING, TOWN_REMIND, TOWN_UNREMIND, TOWN_TIMER } tp_town_keep;

/* One issue of a deed from outside. */
typedef struct tp_town_attempt {
    tp_town_deed *deed;
    uint32_t number; /* from 1 */
    uint16_t house;
    bool ended;
    bool was_stored; /* of a call once: it had taken effect when this was issued */
    bool is_beside;  /* another one was under way then, of a house that lives */
} tp_town_attempt;

/* A message, and what became of it. */
struct tp_town_deed {
    tp_town *town;
    uint32_t number; /* from 1 */
    uint16_t target;
    bool is_tell;
    bool once;               /* an ask with a key: asked again while its outcome is not known */
    bool outbox, then;       /* sent by the outbox of its sender; then: its answer is a turn */
    bool refuses;            /* an outbox message: fails for good at its target */
    bool repeats;            /* may be issued again: by a turn that runs again */
    tp_town_keep keeps;
    uint8_t bell;
    uint64_t in, period; /* of a reminder or timer; period 0: it rings once */
    uint64_t rests;   /* parks before it takes effect; 0: not */
    uint64_t timeout; /* 0: the node's */
    tp_town_deed *from, *children[TOWN_CHILDREN];
    uint32_t child_count;

    /* fate */
    uint16_t house; /* that it was sent from last */
    uint32_t houses; /* a bit for each one that it was sent from */
    uint32_t issues, not_done;
    uint64_t until;  /* of a call once: it is not asked after that */
    bool gave_up;    /* an outbox message: a turn of it failed, and that may be for good */
    tp_town_attempt attempts[TOWN_ATTEMPTS];
    uint32_t stream, sequence;
    uint64_t issued_at, bound; /* world's time when its answer must have come */
    uint64_t stalled;          /* of its house, until it was issued */
    bool issued, excused;      /* excused: its house is gone, or leaves */
    bool strict;               /* nothing goes wrong when it is issued: nor may it */
    bool ended, stale;         /* its turn reached its end; as no owner any more */
    uint32_t starts, answers;
    uint16_t runs_at; /* house of its turn */
    troupe_status status;
    troupe_outcome outcome;
};

/* What an actor knows of a reminder or timer of its. */
typedef struct tp_town_bell {
    uint64_t is_set, period;
    uint64_t last; /* reminder: due time that rang; timer: world's time when it was set */
    uint64_t next; /* reminder: number; timer: world's time when it is due */
} tp_town_bell;

typedef struct tp_town_state {
    uint64_t writes;
    tp_town_bell bells[TOWN_BELLS];
    uint32_t last[TOWN_ACTORS]; /* the number of the newest outbox message of each */
    uint8_t marks[TOWN_DEEDS];  /* counters of two bits, see tp_town_mark_of */
} tp_town_state;

enum { TOWN_MARK_DONE, TOWN_MARK_ANSWERED, TOWN_MARK_FAILED };

static inline uint32_t tp_town_mark_of(
    const tp_town_state *state, const tp_town_deed *deed, uint32_t which)
{
    return (state->marks[deed->number - 1] >> (2 * which)) & 3U;
}

static inline void tp_town_mark(tp_town_state *state, const tp_town_deed *deed, uint32_t which)
{
    if (tp_town_mark_of(state, deed, which) != 3)
        state->marks[deed->number - 1] += (uint8_t)(1U << (2 * which));
}

/* What is stored of an actor. */
typedef struct tp_town_record {
    tp_town_state state;
    uint32_t rows[TROUPE_ROW_DEAD + 1];
    uint64_t version, wake;
} tp_town_record;

typedef struct tp_town_actor {
    uint8_t type;
    char key[12];
    uint32_t newest; /* activation; 0: none yet */
    uint16_t newest_at;
    uint64_t newest_when;
    uint32_t kept;    /* writes of `jar`s that ended */
    uint64_t version; /* stored, as seen last */
    uint32_t sent[TOWN_ACTORS]; /* numbers given to its outbox messages, also in vain */
} tp_town_actor;

typedef enum tp_house_state {
    HOUSE_EMPTY,
    HOUSE_OPENING,
    HOUSE_OPEN,
    HOUSE_LEAVING,
    HOUSE_GONE
} tp_house_state;

typedef struct tp_house {
    tp_town *town;
    uint16_t number;
    char name[12], address[24];
    tp_env *env;
    tp_house_state state;
    bool died; /* its cluster put it out */
    troupe_node *node;
    troupe_client *clients[TOWN_CLIENTS];
    uint32_t streams[TOWN_CLIENTS];
    tp_faulty_store *store;
    tp_roll *rolls[3]; /* its handles on the membership store */
    troupe_type types[TOWN_TYPES];
    uint32_t activations[TOWN_ACTORS]; /* of each actor, the last here */
    uint64_t stalled;                  /* how long it was stopped, in all */
    uint64_t paused_until;
    bool is_cut_off; /* of the membership store */
} tp_house;

/* Sender to target: numbers given, and the last that came. */
typedef struct tp_town_stream {
    uint32_t sent[TOWN_ACTORS], came[TOWN_ACTORS];
} tp_town_stream;

typedef enum tp_town_op_kind {
    TOWN_ASKS,
    TOWN_WAIT,
    TOWN_DEACTIVATE,
    TOWN_START,
    TOWN_LEAVE,
    TOWN_MOVE, /* an actor, by hand */
    TOWN_KILL,
    TOWN_PAUSE,
    TOWN_CUT,
    TOWN_OUTAGE, /* of the membership store, for one house or for all */
    TOWN_FAULTS, /* of the store */
    TOWN_OPS
} tp_town_op_kind;

typedef struct tp_town_op {
    tp_town_op_kind kind;
    uint32_t pick, other;
    uint64_t wait;
    tp_town_deed *deeds[24];
    uint32_t count;
    uint64_t delays[24];  /* of the deeds, during what takes long */
    struct {
        tp_town_op_kind kind; /* what happens meanwhile; TOWN_ASKS: nothing */
        uint64_t at, wait;
        uint32_t pick, other;
    } with[TOWN_WITH];
} tp_town_op;

/* What happens later. */
typedef struct tp_town_timed {
    tp_world_event event;
    tp_town *town;
    void (*happen)(struct tp_town_timed *self);
    tp_town_deed *deed;
    tp_town_op_kind kind;
    uint32_t pick, other;
    uint64_t wait;
    bool used;
} tp_town_timed;

typedef struct tp_town_scenario {
    uint8_t ops[TOWN_OPS];
    uint32_t faults[TP_FAULTS]; /* highest chances, of 1,024 */
} tp_town_scenario;

struct tp_town {
    const tp_stage_options *options;
    const tp_town_scenario *scenario;
    tp_world *world;
    tp_member_memory *membership;
    troupe_store *inner;
    tp_fault_plan plan;
    bool calm, resting, is_out; /* is_out: the membership store */
    bool patchy;           /* houses of odd numbers host hats only */
    bool was_bare;         /* patchy, and for a while no house hosted tills and jars */
    uint64_t hosted_since; /* by an open house; TP_NEVER: not now */
    uint32_t doubts;            /* of 1,024: a change of it that says UNKNOWN */
    uint64_t ttl, last_trouble; /* when the last fault began or ended */
    uint32_t shards;
    uint32_t link_limit; /* 0: as usual; else calls may be BUSY at any time */
    tp_house houses[TOWN_HOUSES];
    uint32_t house_count; /* that were opened ever */
    tp_house *blocked;    /* the house in a call of which the run waits */
    jmp_buf out;          /* when that house is killed */
    tp_town_actor actors[TOWN_ACTORS];
    uint32_t actor_count;
    tp_town_deed *deeds[TOWN_DEEDS];
    uint32_t deed_count;
    tp_town_stream *streams;
    uint32_t stream_count, stream_room;
    uint32_t activation_count;
    tp_town_timed timed[TOWN_TIMED];
    uint32_t op;
};

extern const char *const tp_town_type_names[TOWN_TYPES];
enum { TOWN_TILL, TOWN_HAT, TOWN_JAR }; /* every turn stored; never; at deactivation */

/* town_run.c: a tp_stage_run. */
void tp_town_run(const tp_stage_options *options, tp_stage_result *ret_result);

/* town.c */
void tp_town_make(tp_town *town, tp_prng *prng);
void tp_town_dispose(tp_town *town);
/* Opens the next house. False: it did not open, or was killed meanwhile. */
bool tp_town_open(tp_town *town);
void tp_town_close(tp_town *town, tp_house *house);
void tp_town_kill(tp_town *town, tp_house *house); /* does not return if it is the blocked one */
uint32_t tp_town_open_count(const tp_town *town);
bool tp_town_hosts(const tp_house *house, uint32_t type);
tp_house *tp_town_pick(tp_town *town, uint32_t pick); /* one that is open; NULL: none is */
void tp_town_trouble(
    tp_town *town, tp_town_op_kind kind, uint32_t pick, uint32_t other, uint64_t wait);
tp_town_timed *tp_town_later(tp_town *town, uint64_t wait, void (*happen)(tp_town_timed *self));
void tp_town_heal(tp_town *town); /* all of it */

/* town_rolls.c. NULL: no memory. */
tp_roll *tp_town_roll_open(tp_house *house);

/* town_plan.c */
void tp_town_plan(tp_town *town, uint32_t index, tp_town_op *ret_op);
void tp_town_say(tp_town *town, uint32_t index, const tp_town_op *op);
tp_town_deed *tp_town_deed_make(tp_town *town, uint16_t target);

/* town_types.c */
void tp_town_types_make(tp_house *house);
uint16_t tp_town_self(const troupe_turn *turn);
troupe_slice tp_town_key(const tp_town_deed *deed, char out[TOWN_KEY]); /* of a call once */
troupe_id tp_town_id(const tp_town *town, uint16_t actor);
uint32_t tp_town_actor_of(const tp_town *town, troupe_id id); /* actor_count: none of them */

/* What a deed travels with. */
typedef struct tp_town_order {
    uint32_t number, stream;
    uint32_t sequence; /* 0: in no order */
    uint32_t is_stale; /* its sender was not the owner any more */
} tp_town_order;
typedef struct tp_town_receipt {
    uint64_t number, writes;
} tp_town_receipt;

/* town_run.c: a call once is asked again after a while, at another house perhaps. */
void tp_town_again(tp_town_deed *deed);

/* town_kept.c */
void tp_town_draw_kept(tp_town *town, tp_prng *prng, tp_town_deed *deed);
/* Sends by the outbox of the actor whose turn this is. */
troupe_status tp_town_post(troupe_turn *turn, tp_house *house, tp_town_deed *child);
void tp_town_posted(tp_town_state *state, tp_town_deed *deed, const tp_town_order *order);
troupe_status tp_town_keep_it(troupe_turn *turn, tp_town_state *state, const tp_town_deed *deed);
/* Of a turn of an actor: are its timers late? */
void tp_town_check_timers(tp_house *house, const tp_town_state *state, uint16_t actor);
troupe_status tp_town_ring(troupe_turn *turn, void *bytes, troupe_slice payload);
troupe_status tp_town_tick(troupe_turn *turn, void *bytes, troupe_slice payload);
troupe_status tp_town_done(troupe_turn *turn, void *bytes, troupe_slice payload);
troupe_status tp_town_failed(troupe_turn *turn, void *bytes, troupe_slice payload);
void tp_town_check_late(tp_town *town); /* no reminder is */
/* Is an outbox not empty? Names the actor. */
bool tp_town_is_owed(tp_town *town, uint16_t *ret_actor);
void tp_town_check_kept(tp_town *town, const tp_town_record *records);

/* town_model.c */
_Noreturn void tp_town_violate(tp_town *town, const char *checker, const char *format, ...)
    TROUPE_PRINTF(3, 4);
uint32_t tp_town_stream_make(tp_town *town);
tp_town_order tp_town_issue(tp_town_deed *deed, const tp_house *house, uint32_t stream);
void tp_town_begun(const tp_house *house, tp_town_deed *deed, const tp_town_order *order);
void tp_town_ended(const tp_house *house, tp_town_deed *deed);
void tp_town_answered(tp_town_deed *deed, const troupe_answer *answer);
/* Is this house's activation the newest one of the actor? */
bool tp_town_owns(const tp_house *house, uint16_t actor);
void tp_town_activated(tp_house *house, uint16_t actor);
/* What is stored of it; zeros: nothing. */
void tp_town_stored(tp_town *town, uint16_t actor, tp_town_record *ret_record);
/* A call once is about to be asked from that house. */
tp_town_attempt *tp_town_attempt_make(tp_town_deed *deed, uint16_t house);
/* An attempt has ended, in a call once. NOT_DONE speaks of all that had come when that was said: of
 * the newest one this is now, unless another one may have come behind it. */
void tp_town_attempt_ended(tp_town_attempt *attempt, const troupe_answer *answer);
void tp_town_excuse(tp_town *town, const tp_house *house);
void tp_town_look(tp_town *town); /* at each step or so */
void tp_town_check_rest(tp_town *town);

#endif
