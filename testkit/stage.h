/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage: one node in a world, actors of purpose-built types, deeds that they are asked to do, and
 * a model that knows of each deed what became of it. The checkers compare the model with what the
 * node says and does; each cites the promise it checks (P1 to P12 of ARCHITECTURE). Which deeds are
 * drawn is a scenario (scenarios.c).
 *
 *   stage.c         opens, performs, waits for rest, closes
 *   stage_plan.c    draws operations, says them in words
 *   stage_types.c   the actor types: they do what deeds say
 *   stage_model.c   the model and its checkers
 *   stage_cycles.c  who waits for whom (P10)
 *   stage_end.c     what must hold at rest, and after the close
 *
 * Invariants
 * 1. Operation i is drawn from (seed, i) alone, so that a run may be cut short or leave some out.
 * 2. Nothing that depends on addresses reaches the world.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_STAGE_H
#define TP_TESTKIT_STAGE_H

#include "testkit/world.h"

#include <troupe.h>
#include <troupe/inspect.h>

#define STAGE_ACTORS  40
#define STAGE_CLIENTS 3
#define STAGE_SENDERS (STAGE_ACTORS + STAGE_CLIENTS)
#define STAGE_STATE   640
#define STAGE_CYCLE   8                 /* actors in a circle that the model follows to its end */
#define STAGE_SOON    TROUPE_SECONDS(2) /* far above all pauses: what is to happen has happened */

typedef struct tp_stage tp_stage;
typedef struct tp_deed tp_deed;
typedef struct tp_stage_turn tp_stage_turn;

/* ---- what actors are asked to do ------------------------------------------------------------- */

typedef enum tp_act_kind {
    TP_ACT_WRITE,
    TP_ACT_ASK,
    TP_ACT_TELL,
    TP_ACT_CALL, /* ask with callback */
    TP_ACT_SLEEP,
    TP_ACT_YIELD,
    TP_ACT_BLOCK,
    TP_ACT_WORK, /* takes time without a park */
    TP_ACT_TIMER,
    TP_ACT_UNTIMER,
    TP_ACT_DEFER,
    TP_ACT_ALLOC,
    TP_ACT_REPLY, /* before the end */
    TP_ACT_LEAVE,
    TP_ACT_FAIL,
    TP_ACT_ERROR, /* fails with a status that supervision minds */
    TP_ACT_PANIC,
    TP_ACT_COUNT
} tp_act_kind;

typedef struct tp_act {
    tp_act_kind kind;
    uint64_t amount;
    tp_deed *deed; /* of asks, tells, calls */
} tp_act;

typedef enum tp_deed_kind { TP_DEED_ASK, TP_DEED_TELL, TP_DEED_CALL } tp_deed_kind;

/* One message and all that came of it. */
struct tp_deed {
    uint32_t number;
    uint32_t root;   /* the deed from outside that it descends from */
    tp_deed *parent; /* NULL: from outside */
    tp_deed_kind kind;
    uint16_t sender, target;
    bool read_only, nonsense, other;
    uint32_t retries;
    uint32_t padding;       /* bytes of payload beyond the number */
    unsigned char *payload; /* once it was needed */
    uint64_t timeout;       /* 0: the node's */
    uint64_t cancel_after;  /* 0: never */
    tp_act *acts;
    uint32_t act_count;

    /* fate */
    bool issued, accepted, finished_call; /* finished_call: the asker knows its end */
    bool promised_not_done, promised_not_started;
    uint32_t sequence; /* 0: not ordered */
    uint32_t starts, ends, effects, panics, answers;
    bool ended_ok, errored, failed;
    uint64_t issued_at, deadline_least, deadline_most;
    uint64_t ended_at, answered_at, fired_at;
    troupe_status status;
    troupe_outcome outcome;
    uint32_t cycle;      /* 0: none */
    uint32_t epoch;      /* of the sender, for callbacks */
    tp_stage_turn *view; /* the turn that serves it */
    troupe_cancel *cancel;
    tp_world_event fire;
    tp_stage *stage;
};

/* The begin of every state; the rest is filled by writes. */
typedef struct tp_stage_state {
    uint64_t writes;
    uint32_t last_deed;
    uint32_t spare;
    tp_stage **owned; /* hooked: made by on_activate, freed by discard */
} tp_stage_state;

/* A turn that has begun. */
struct tp_stage_turn {
    tp_stage *stage;
    troupe_turn *turn;
    uint16_t actor;
    tp_deed *deed;   /* NULL: a hook, a tick, a callback */
    tp_deed *asking; /* what it waits for */
    bool read_only, hook;
    uint32_t pending; /* writes since the last commit point */
    uint32_t seen;    /* stamp of the last search */
    uint64_t parks;   /* of its shard, before the call that may park */
    tp_stage_turn *next;
    unsigned char commit[STAGE_STATE];
};

typedef struct tp_stage_type {
    const char *name;
    size_t state_size;
    bool reads, chain, always, persistent, hooks, restores, interleaves, fragile, stops;
} tp_stage_type;

#define STAGE_TYPES 9
enum {
    TP_SOLO,
    TP_READER,
    TP_CHAIN,
    TP_ALWAYS,
    TP_KEEPER,
    TP_HOOKED,
    TP_FRAGILE,
    TP_STOPPER,
    TP_BIG
};
extern const tp_stage_type tp_stage_types[STAGE_TYPES];

typedef struct tp_player {
    uint8_t type;
    char key[12];
    bool in_step, live;
    uint32_t epoch;  /* activations */
    uint32_t resets; /* failures that may have ended an activation */
    uint32_t shard;  /* UINT32_MAX: not seen yet */
    uint64_t rests_until;
    tp_stage_turn *open;
    unsigned char last[STAGE_STATE];   /* as the last step left it */
    unsigned char stored[STAGE_STATE]; /* as the last deactivation saved it */
} tp_player;

typedef struct tp_stage_timer {
    uint16_t actor;
    uint32_t epoch, ticks, most;
    uint64_t started, first, period;
    troupe_timer timer;
    bool stopped;
} tp_stage_timer;

typedef struct tp_stage_cycle {
    tp_deed *deeds[STAGE_CYCLE];
    uint32_t count;
    uint32_t victims;
    bool strict; /* nothing but the report of the node can dissolve it */
    uint64_t closed_at;
} tp_stage_cycle;

/* ---- scenarios ------------------------------------------------------------------------------- */

typedef enum tp_op_kind {
    TP_OP_ASK,
    TP_OP_TELL,
    TP_OP_BURST,  /* an actor sends many at once */
    TP_OP_CIRCLE, /* independent callers that wait for each other */
    TP_OP_WAIT,
    TP_OP_DEACTIVATE,
    TP_OP_LOOK,     /* statistics, actors, parked turns */
    TP_OP_BLOCKING, /* an ask that blocks the outside thread */
    TP_OP_COUNT
} tp_op_kind;

typedef struct tp_scenario {
    const char *name;
    const char *about;
    uint32_t share;           /* of the seeds, relative */
    uint8_t ops[TP_OP_COUNT]; /* weights */
    uint8_t acts[TP_ACT_COUNT];
    uint8_t types[STAGE_TYPES];
    uint32_t actors_most;
    uint32_t effects; /* it ends after so many */
    bool tight_mailboxes, tight_links, tight_asks, tight_fibers, tight_actors, tight_memory,
        tight_inbox;
    bool deadlines; /* short timeouts and many cancels */
    bool short_idle;
    bool closes; /* in the middle */
    bool stormy; /* bursts of several at once, shards that pause often and long */
    bool memory_fails;
    const struct tp_vault_scenario *vault; /* not NULL: vault.h runs it, with fields of its own */
    const struct tp_town_scenario *town;   /* the same of town.h */
} tp_scenario;

/* In tp_scenarios; NULL: no such. */
const tp_scenario *tp_scenario_find(const char *name);
const tp_scenario *tp_scenario_at(uint32_t index);
uint32_t tp_scenario_count(void);
const tp_scenario *tp_scenario_draw(uint64_t seed);

/* ---- a run ----------------------------------------------------------------------------------- */

/* A promise was broken. Must not return. */
typedef void tp_violated(void *user, const char *checker, const char *text);

typedef struct tp_stage_options {
    uint64_t seed;
    const tp_scenario *scenario;
    uint64_t mutants;
    uint32_t ops_most;    /* 0: no limit */
    const uint8_t *skip;  /* ops_most flags, or NULL */
    uint32_t actors_most; /* 0: the scenario's */
    uint32_t shards_most; /* 0: drawn */
    tp_world_record *record;
    void (*say)(void *user, const char *line); /* each operation in words; NULL: none */
    void *say_user;
    tp_violated *violated;
    void *user;
} tp_stage_options;

typedef struct tp_stage_result {
    uint64_t hash, effects, steps, virtual_time;
    uint32_t ops, deeds;
    uint32_t mark_count;
    const char *marks[TP_WORLD_MARKS];
} tp_stage_result;

/* Runs one seed. Returns only if nothing was violated. */
void tp_stage_run(const tp_stage_options *options, tp_stage_result *ret_result);

/* ---- inside ---------------------------------------------------------------------------------- */

struct tp_stage {
    const tp_stage_options *options;
    const tp_scenario *scenario;
    tp_world *world;
    tp_prng prng; /* chance inside of turns */
    troupe_node *node;
    troupe_node_options node_options;
    troupe_client *clients[STAGE_CLIENTS];
    troupe_type types[STAGE_TYPES];
    uint64_t subscription;
    bool memory_fails, closing;
    uint32_t act_mask; /* acts that this seed leaves out */

    tp_player players[STAGE_ACTORS];
    uint32_t player_count;
    uint32_t solo_first, solo_count; /* actors that circles are made of */

    tp_deed **deeds; /* by number - 1 */
    uint32_t deed_count, deed_capacity;
    uint32_t op; /* that is being performed */
    tp_stage_timer *timers;
    uint32_t timer_count, timer_capacity;
    tp_stage_cycle *cycles;
    uint32_t cycle_count, cycle_capacity;
    uint32_t stamp;
    uint32_t sent[STAGE_SENDERS][STAGE_ACTORS];
    uint32_t arrived[STAGE_SENDERS][STAGE_ACTORS];
    uint32_t defers_open, owned_open, jobs_open;
    uint32_t outside_open; /* asks from outside without an end */
    uint32_t retrying;     /* asks that may be sent again: circles close unseen by the model */
    uint64_t retried_at;
    uint64_t bytes_fresh;
    uint64_t lost_tells; /* accepted, and never begun */
};

/* stage_plan.c */
typedef struct tp_op {
    tp_op_kind kind;
    uint32_t steps_before; /* of the world */
    uint64_t wait;
    tp_deed *deeds[STAGE_CYCLE];
    uint32_t count;
    uint16_t actor;
} tp_op;
void tp_plan(tp_stage *stage, uint32_t index, tp_op *ret_op);
void tp_plan_say(tp_stage *stage, uint32_t index, const tp_op *op);
void tp_plan_say_open(tp_stage *stage);

/* stage_types.c */
void tp_stage_types_make(tp_stage *stage);
/* The bytes that it travels with, and is answered with. */
troupe_slice tp_deed_payload(tp_deed *deed);
void tp_deed_options(tp_stage *stage, tp_deed *deed, troupe_call_options *ret_options);
const char *tp_deed_method(const tp_deed *deed);
troupe_id tp_player_id(const tp_stage *stage, uint16_t actor);

/* stage_model.c */
_Noreturn void tp_violate(tp_stage *stage, const char *checker, const char *format, ...)
    TROUPE_PRINTF(3, 4);
void tp_stage_turn_begin(tp_stage *stage, tp_stage_turn *view, troupe_turn *turn, uint16_t actor,
    tp_deed *deed, const void *state);
void tp_stage_turn_pause(tp_stage_turn *view, const void *state); /* before a call that may park */
void tp_stage_turn_resume(
    tp_stage_turn *view, const void *state, const tp_deed *asked); /* after it */
void tp_stage_turn_end(tp_stage_turn *view, const void *state, troupe_status status, bool panics);
void tp_deed_issue(tp_stage *stage, tp_deed *deed, tp_stage_turn *by);
void tp_deed_drop_cancel(tp_stage *stage, tp_deed *deed); /* its call has ended */
/* What the send said at once; asks that wait are answered instead. */
void tp_deed_sent(tp_stage *stage, tp_deed *deed, troupe_status status);
void tp_deed_answered(
    tp_stage *stage, tp_deed *deed, const troupe_answer *answer, troupe_turn *turn);
void tp_stage_lifecycle(void *user, const troupe_lifecycle *event);
void tp_stage_name(const tp_stage *stage, uint16_t sender, char *out, size_t size);
void tp_timer_ticked(tp_stage *stage, tp_stage_turn *view, troupe_slice payload);
/* As the next activation has to find it. */
const unsigned char *tp_player_fresh(const tp_stage *stage, const tp_player *player);

/* stage_cycles.c */
void tp_cycles_asked(tp_stage *stage, tp_deed *deed, tp_stage_turn *by);
void tp_cycles_victim(tp_stage *stage, tp_deed *deed);
void tp_cycles_end(tp_stage *stage);

/* stage_end.c */
void tp_stage_look(tp_stage *stage);
void tp_stage_rest(tp_stage *stage);
void tp_stage_after_close(tp_stage *stage);

#endif
