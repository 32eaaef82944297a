/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small town of persistent actors in a process of its own, that is killed again and again, and
 * the ledger of what it was asked to do: for the tests that prove that nothing which was answered
 * is lost and nothing happens twice. Not a test of providers (tests/store).
 *
 *   town_types.c   the actors: tallies that count deeds, accounts that send each other money
 *                  and set reminders
 *   town_points.c  the places in the code at which the process kills itself, listed in points.def
 *   town_node.c    the process: a node, and a line to the test
 *   town_ledger.c  what was asked, what came of it, and whether the store agrees
 *   town_siege.c   rounds of asking, killing and auditing
 *
 * Each deed has a slot of its own in the state of the actors that it concerns, which count how
 * often it happened to them. All slots of an *age* used up, the town settles: what is unknown is
 * asked again, money arrives, and the next age begins with new actors.
 *
 * Threads: the test's process has one, so that it may fork; the town's has those of a node.
 */
#ifndef TEST_CRASH_TOWN_H
#define TEST_CRASH_TOWN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/env.h"
#include <troupe/provider.h>

enum {
    TOWN_SLOTS = 1024, /* deeds of an age */
    TOWN_TALLIES = 6,
    TOWN_ACCOUNTS = 5,
    TOWN_AGES = 64,
    TOWN_POINTS = 80, /* at most */
    TOWN_REFUSES = TROUPE_APPLICATION + 1,
    TOWN_HALF, /* what a relay answers whose ask was not answered */
};

typedef enum town_kind {
    TOWN_ADD,    /* a tally counts */
    TOWN_FAIL,   /* a tally counts, and fails */
    TOWN_RELAY,  /* a tally counts a half, asks in the middle of its turn, counts the whole */
    TOWN_GIVE,   /* money goes by an outbox tell */
    TOWN_MOVE,   /* money goes by troupe_ask_then; each eighth is refused, and comes back */
    TOWN_REMIND, /* an account sets a reminder, which is due once or some times */
    TOWN_KINDS,
    TOWN_SHOW = TOWN_KINDS, /* what an account has, and how much of it is open */
    TOWN_STOP,
} town_kind;

typedef struct town_tally {
    uint64_t leavings; /* deactivations */
    uint8_t half[TOWN_SLOTS], seen[TOWN_SLOTS];
} town_tally;

typedef struct town_account {
    int64_t balance;
    int64_t open; /* answers that are to come, and reminders that are set */
    uint8_t out[TOWN_SLOTS], in[TOWN_SLOTS], done[TOWN_SLOTS], failed[TOWN_SLOTS];
    uint8_t set[TOWN_SLOTS], rang[TOWN_SLOTS]; /* rang: for the last time */
    uint32_t due[TOWN_SLOTS];                  /* the number that fires next; 0: none */
    uint32_t wrong;                            /* reminders that fired with another one */
} town_account;

#define TOWN_RINGS 6 /* at the first due time behind so many a reminder that repeats ends */

/* What a deed is told; also its actors' payload. */
typedef struct town_deed {
    uint32_t kind, age, slot;
    uint32_t from, to; /* numbers of actors; `to` of transfers */
    uint32_t once;
} town_deed;

typedef struct town_answer {
    town_deed of; /* age UINT32_MAX: the node is open, or could not be (status) */
    troupe_status status;
    troupe_outcome outcome;
    int64_t balance, open; /* of a show */
    char words[160];       /* of a failure */
} town_answer;

static inline int64_t town_amount(uint32_t slot)
{
    return 1 + slot % 7;
}

/* The amount is refused by who should get it. */
static inline bool town_is_refused(uint32_t slot)
{
    return slot % 8 == 5;
}

/* The reminder is due again and again. */
static inline bool town_repeats(uint32_t slot)
{
    return slot % 2 == 1;
}

/* Who fails does so by a panic. */
static inline bool town_panics(uint32_t slot)
{
    return slot % 8 == 3;
}

/* ---- town_types.c --------------------------------------------------------------------------- */
extern const troupe_type *const town_types[];
extern const size_t town_type_count;
typedef struct town_name {
    char key[24];
    troupe_id id;
} town_name;
void town_name_of(bool is_account, uint32_t age, uint32_t number, town_name *ret_name);

/* ---- town_points.c -------------------------------------------------------------------------- */
/* Kills the process when `point` is reached for the `nth` time. NULL: never. [before the node] */
void town_points_arm(const char *point, uint32_t nth);
/* A point was reached. */
void town_point(const char *name);
/* The env says its points. */
void town_points_watch(tp_env *env);
/* Each connection of sqlite that is opened from now on says its statements. */
void town_points_watch_sqlite(void);
/* A store that says when it is called and what it has answered; closes `inner` with itself. */
troupe_store *town_points_wrap(troupe_store *inner);

/* ---- town_node.c ---------------------------------------------------------------------------- */
/* Opens the store of a test, in the town and for audits. */
typedef troupe_status town_open(void *user, const troupe_store_host *host, troupe_store **ret_store,
    char *error, size_t error_size);

typedef struct town_place {
    const char *name; /* of the store */
    town_open *open;
    void *user;
    char folder[200];     /* the town's log is there */
    uint64_t ask_timeout; /* 0: 20 s */
    bool is_sqlite;       /* its statements are points, too */
    uint64_t mutants;     /* planted mistakes, 1 << TP_MUTANT_…, in rounds with a point */
} town_place;

typedef struct town {
    pid_t pid; /* 0: none */
    int line;
} town;

/* Where it kills itself: as of town_points_arm. */
typedef struct town_aim {
    const char *point;
    uint32_t nth;
    bool errs; /* on a store that errs now and then */
} town_aim;

/* `aim` may be NULL. Returns when the node is open, or dead. */
bool town_start(town *self, const town_place *place, const town_aim *aim);
void town_ask(town *self, const town_deed *deed);
/* False: nothing came within `milliseconds`, or, with `*ret_gone`, the town is dead. */
bool town_hear(town *self, int milliseconds, town_answer *ret_answer, bool *ret_gone);
void town_kill(town *self);
/* It was dead, or is killed; fails the test if it died otherwise. What it still said stays. */
void town_bury(town *self, const town_place *place);
/* Closes the node; false: it died, or hangs. */
bool town_stop(town *self, const town_place *place);
/* What the test lends to stores that it opens itself. */
troupe_store_host town_host(void);
void town_show_log(const town_place *place);

/* ---- town_ledger.c -------------------------------------------------------------------------- */
typedef enum town_fate {
    TOWN_FREE,
    TOWN_ASKED,       /* no answer yet */
    TOWN_PENDING,     /* once: it is asked again */
    TOWN_UNKNOWN,     /* not once: nobody knows */
    TOWN_DONE,        /* answered so */
    TOWN_NOT_DONE,    /* answered so */
    TOWN_INTERRUPTED, /* answered so: the half of it was done */
} town_fate;

typedef struct town_entry {
    town_deed deed;
    town_fate fate;
    double asked; /* when */
} town_entry;

typedef struct town_ledger {
    const town_place *place;
    uint32_t age, used;
    town_entry entries[TOWN_AGES][TOWN_SLOTS];
    uint64_t tally_versions[TOWN_AGES][TOWN_TALLIES];
    uint64_t account_versions[TOWN_AGES][TOWN_ACCOUNTS];
    uint64_t counts[TOWN_INTERRUPTED + 1]; /* of answers */
    uint64_t audits, writer;
} town_ledger;

/* The next deed by chance; NULL: the age is over. */
town_entry *town_ledger_new(town_ledger *self, uint32_t chance);
void town_ledger_answer(town_ledger *self, const town_answer *answer);
/* The process is gone: what was asked is unknown. */
void town_ledger_lost(town_ledger *self);
/* How many of this age have this fate. */
uint32_t town_ledger_count(const town_ledger *self, town_fate fate);
/* Reads the store and fails the test if it does not agree. `settled`: nothing is under way. */
void town_ledger_audit(town_ledger *self, uint32_t age, bool settled);

/* ---- town_siege.c --------------------------------------------------------------------------- */
typedef struct town_siege {
    town_ledger ledger;
    uint64_t seed;
    uint32_t kills, by_point;
    uint32_t point; /* the next one to be tried */
    uint32_t hits[TOWN_POINTS];
    bool missed[TOWN_POINTS]; /* the last time; then its first occurrence will do */
    uint32_t statuses[32];    /* of answers */
    double since;
} town_siege;

/* Times the count of a test by TROUPE_CRASH (per cent); less under a sanitizer. */
uint32_t town_scale(uint32_t count);
void town_siege_begin(town_siege *self, const town_place *place, uint64_t seed);
/* Kills the town `kills` times: at chance moments, and at each point in turn. */
void town_siege_run(town_siege *self, uint32_t kills);
/* Asks until all is answered and all money has arrived, then audits; a new age. */
void town_siege_settle(town_siege *self);
/* Settles, audits all ages, checks the store. Every point must have killed `least` times. */
void town_siege_end(town_siege *self, uint32_t least);
/* One round without a kill: asks `count` deeds while `meanwhile` does something to the store, until
 * it returns true, and hears until all is answered. Each answer must come in time, and each failure
 * have words. */
void town_siege_round(
    town_siege *self, uint32_t count, bool (*meanwhile)(void *user, uint32_t asked), void *user);

#endif
