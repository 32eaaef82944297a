/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vault: one node in a world, on a store in which things go wrong by plan, with actors that
 * commit while they live. The node is killed at random moments and opened again on the same store.
 * Each thing that is asked is a deed with a number; every actor's state counts what each deed did
 * to it, so that the store itself says what is durable, and what happened twice. Beside stage.h,
 * which knows actors that live in memory; scenarios.c names the scenarios of both.
 *
 *   vault.c        opens, performs, kills, waits for rest, closes
 *   vault_disk.c   its store on a simulated disk, which fails with the node or by itself
 *   vault_rewind.c restores and deletes actors, as operators do
 *   vault_plan.c   draws operations, says them in words
 *   vault_types.c  the actor types: they do what deeds say
 *   vault_model.c  what is stored, and the checkers
 *
 * Invariants
 * 1. Operation i is drawn from (seed, i) alone.
 * 2. The store is read by the checkers behind the node's back, below all faults; they change
 * nothing in it.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_VAULT_H
#define TP_TESTKIT_VAULT_H

#include "testkit/faulty_store.h"
#include "testkit/sim_disk.h"
#include "testkit/stage.h"

#define VAULT_ACTORS  12
#define VAULT_DEEDS   1024
#define VAULT_CLIENTS 2

typedef struct tp_vault tp_vault;

typedef enum tp_vault_kind {
    TP_VAULT_PUT,
    TP_VAULT_FAIL, /* writes, then fails */
    TP_VAULT_SEND, /* an outbox tell */
    TP_VAULT_THEN, /* troupe_ask_then */
    TP_VAULT_TELL, /* a plain tell */
    TP_VAULT_MID,  /* writes, asks another one, writes again */
    TP_VAULT_SHOW, /* only reads */
    TP_VAULT_PEEK, /* only reads, and asks in the middle */
    TP_VAULT_REMIND,
    TP_VAULT_UNREMIND,
    TP_VAULT_KINDS
} tp_vault_kind;

typedef struct tp_vault_deed tp_vault_deed;
struct tp_vault_deed {
    tp_vault *vault;
    uint32_t number; /* from 1 */
    tp_vault_kind kind;
    uint16_t target;
    uint16_t sender;      /* of a part: the actor that sends it */
    tp_vault_deed *from;  /* NULL: from outside */
    tp_vault_deed *child; /* NULL: none */
    /* Of one that sends: a plain tell to the same target, ahead of that or behind it. NULL: none */
    tp_vault_deed *beside;
    bool is_behind;
    int64_t amount;
    bool once, refuses;                 /* refuses: fails for good at its target */
    uint64_t rests_before, rests_after; /* parks around the first write; 0: none */
    uint64_t timeout;                   /* 0: the node's */
    uint8_t bell;                       /* the reminder that it sets or cancels */
    uint64_t period;                    /* 0: it rings once, */
    uint64_t in;                        /* after so long */

    /* fate */
    uint32_t attempts, starts;
    uint32_t not_done, unknown; /* of the attempts */
    uint64_t first_issued;
    uint32_t sequence; /* of an outbox message, as it was sent last */
    bool acknowledged;
    uint64_t acknowledged_writes; /* as its answer said */
};

#define VAULT_BELLS 2

/* What an actor knows of a reminder of its; changes with it, in the same commits. */
typedef struct tp_vault_bell {
    uint64_t is_set, stamp; /* which deed has set or cancelled it */
    uint64_t period;
    uint64_t last; /* due time that rang */
    uint64_t next; /* number */
} tp_vault_bell;

/* What each actor has; stored as it is, or behind a word by save hooks. */
typedef struct tp_vault_state {
    uint64_t writes;
    uint64_t born; /* the world's time of its first write */
    int64_t coins;
    tp_vault_bell bells[VAULT_BELLS];
    uint32_t last[VAULT_ACTORS]; /* the number of the newest one of each */
    uint8_t marks[VAULT_DEEDS];  /* four counters of two bits, see tp_vault_mark */
} tp_vault_state;

enum { TP_MARK_FIRST, TP_MARK_SECOND, TP_MARK_DONE, TP_MARK_FAILED };

static inline uint32_t tp_vault_mark_of(
    const tp_vault_state *state, const tp_vault_deed *deed, uint32_t which)
{
    return (state->marks[deed->number - 1] >> (2 * which)) & 3U;
}

typedef struct tp_vault_type {
    const char *name;
    troupe_persist persist;
    troupe_reentrancy reentrancy;
    bool hooks, parts; /* parts: on_deactivate writes, and tells others */
} tp_vault_type;

#define VAULT_TYPES 6
extern const tp_vault_type tp_vault_types[VAULT_TYPES];

typedef struct tp_vault_actor {
    uint8_t type;
    char key[12];
    bool rewinds;     /* may be restored and deleted: what it was told may not be there any more */
    uint64_t deleted; /* it was deleted for good, by a request of that time */
    uint64_t version; /* the highest that was seen */
    uint32_t sent[VAULT_ACTORS]; /* numbers given to its outbox messages, also in vain */
} tp_vault_actor;

typedef enum tp_vault_op_kind {
    TP_VAULT_ASK,
    TP_VAULT_BURST, /* many to one */
    TP_VAULT_AGAIN, /* a call once is asked again */
    TP_VAULT_WAIT,
    TP_VAULT_DEACTIVATE,
    TP_VAULT_OUTAGE, /* the store refuses all, or says nothing, for a while */
    TP_VAULT_CRASH,
    TP_VAULT_MEDDLE, /* somebody else writes what is there once more: a new version */
    TP_VAULT_RESTORE,
    TP_VAULT_DELETE,
    TP_VAULT_OPS
} tp_vault_op_kind;

/* What a scenario of this kind draws from. */
typedef struct tp_vault_scenario {
    uint8_t ops[TP_VAULT_OPS];
    uint8_t kinds[TP_VAULT_KINDS];
    uint8_t types[VAULT_TYPES];
    uint32_t once;              /* of 16 deeds */
    uint32_t faults[TP_FAULTS]; /* highest chances, of 1,024; each seed draws its own */
    uint64_t delay_most;
    bool tight_actors;
    bool disk;            /* the store is sqlite: on a simulated disk */
    uint32_t disk_errors; /* highest chance of its changes to fail, of 1,024 */
} tp_vault_scenario;

typedef struct tp_vault_op {
    tp_vault_op_kind kind;
    uint32_t steps_before;
    uint64_t wait;
    tp_vault_deed *deeds[24];
    uint32_t count;
    uint16_t actor;
    uint32_t pick; /* AGAIN: which; CRASH: what becomes of what waits for the store */
} tp_vault_op;

struct tp_vault {
    const tp_stage_options *options;
    const tp_vault_scenario *scenario;
    tp_world *world;
    troupe_store *inner;
    tp_faulty_store *faulty;
    tp_fault_plan plan;
    tp_sim_disk *disk; /* NULL: the store is in memory */
    tp_prng disk_prng;
    tp_sim_disk_plan disk_plan;
    uint32_t disk_errors;
    char disk_url[160];
    tp_world_event outage; /* its end */
    uint64_t effects;      /* it ends after so many */
    uint64_t writer;       /* of the node that lives */
    troupe_node *node;
    troupe_node_options node_options;
    troupe_client *clients[VAULT_CLIENTS];
    troupe_type types[VAULT_TYPES];
    tp_vault_actor actors[VAULT_ACTORS];
    uint32_t actor_count;
    tp_vault_deed *deeds[VAULT_DEEDS];
    uint32_t deed_count;
    uint32_t op;
    uint32_t incarnation;
    struct tp_vault_attempt *attempts; /* those without an end */
    struct tp_vault_errand *errands;   /* the same */
    bool restores_late;                /* one was given up, and may still come */
    uint64_t rested;                   /* wall clock of the end, before the last node closed */
};

/* vault.c: a tp_stage_run. */
void tp_vault_run(const tp_stage_options *options, tp_stage_result *ret_result);

/* Of a store: the time that its work takes. `user`: the vault. */
void tp_vault_pass_time(void *user, uint64_t duration);

/* vault_disk.c */
void tp_vault_disk_make(tp_vault *vault, tp_prng *prng); /* and opens `inner` on it */
void tp_vault_disk_dispose(tp_vault *vault);
/* What goes wrong until the next crash is drawn; calm: nothing. */
void tp_vault_disk_live(tp_vault *vault, bool calm);
/* For a while each change fails, or there is no room. */
void tp_vault_disk_break(tp_vault *vault, uint32_t pick);
void tp_vault_disk_heal(tp_vault *vault);
/* Its node is gone, with its process or with the power: `inner` is closed and opened again. */
void tp_vault_disk_crash(tp_vault *vault, bool power);
void tp_vault_disk_check(tp_vault *vault); /* the file is whole */

/* vault_rewind.c */
void tp_vault_rewind(tp_vault *vault, uint16_t actor, bool erase, uint32_t pick);
void tp_vault_rewinds_forget(tp_vault *vault); /* the node is gone */
void tp_vault_check_snapshots(tp_vault *vault, uint16_t actor);

/* vault_plan.c */
void tp_vault_plan(tp_vault *vault, uint32_t index, tp_vault_op *ret_op);
void tp_vault_say(tp_vault *vault, uint32_t index, const tp_vault_op *op);

/* vault_types.c */
void tp_vault_types_make(tp_vault *vault);
#define VAULT_SNAPSHOTS 3 /* that types keep where they can be restored */
static inline bool tp_vault_restores(const tp_vault *vault)
{
    return vault->scenario->ops[TP_VAULT_RESTORE] != 0;
}
troupe_id tp_vault_id(const tp_vault *vault, uint16_t actor);
const char *tp_vault_method(const tp_vault_deed *deed);
/* What a deed travels with; `sequence` of outbox messages, else 0. */
typedef struct tp_vault_order {
    uint32_t number, sequence;
} tp_vault_order;
typedef struct tp_vault_receipt {
    uint64_t number, writes;
} tp_vault_receipt;

/* vault_model.c */
_Noreturn void tp_vault_violate(tp_vault *vault, const char *checker, const char *format, ...)
    TROUPE_PRINTF(3, 4);
bool tp_vault_gated(const tp_vault *vault, uint16_t actor);
typedef struct tp_vault_record {
    tp_vault_state state;
    uint32_t rows[TROUPE_ROW_DEAD + 1];
    uint64_t version, wake;
} tp_vault_record;
/* An operation behind the node's back, in which no disk fails. */
void tp_vault_look(tp_vault *vault, troupe_store_op *op);
/* What the store has of an actor; zeros: nothing. */
void tp_vault_meddle(tp_vault *vault, uint16_t actor);
void tp_vault_stored(tp_vault *vault, uint16_t actor, tp_vault_record *ret_record);
/* Bytes as stored to the state in them. */
void tp_vault_state_read(
    tp_vault *vault, uint16_t actor, troupe_slice bytes, tp_vault_state *ret_state);
/* A part has come to its target: what it rests on is durable. */
void tp_vault_came(tp_vault_deed *deed);
void tp_vault_answered(tp_vault_deed *deed, const troupe_answer *answer);
/* The newest attempt of a call once has ended NOT_DONE: that speaks of those before it, too. */
void tp_vault_told_none(tp_vault_deed *deed, troupe_status status);
void tp_vault_check_rest(tp_vault *vault);

#endif
