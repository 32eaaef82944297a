/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that wraps another one and lets things go wrong by plan, as networks and servers do: what
 * was not done and says so, what says UNKNOWN whether it was done, was not, or lands later, what is
 * done twice, what takes its time. It never lies: each answer is one that <troupe/provider.h>
 * allows for what has happened. For tests and for simulations.
 *
 * Invariants
 * 1. UNAVAILABLE: not done. OK: done. UNKNOWN: any of done, not done, lands later.
 * 2. What lands later is run by the wrapped store as it was asked for; if the version has gone on
 * or the writer was closed meanwhile, it changes nothing.
 * 3. Closing the store that it shows to a node ends nothing: the next node may have it, and what is
 * late lands then. Who made it destroys it.
 *
 * Threads: as for any store, `run` by one thread at a time; so is everything else here.
 */
#ifndef TP_TESTKIT_FAULTY_STORE_H
#define TP_TESTKIT_FAULTY_STORE_H

#include <troupe/provider.h>

typedef enum tp_fault {
    TP_FAULT_NONE,
    TP_FAULT_REFUSED, /* not done; UNAVAILABLE */
    TP_FAULT_LOST,    /* not done; UNKNOWN. Of reads: UNAVAILABLE */
    TP_FAULT_SILENT,  /* done; UNKNOWN. Of reads: UNAVAILABLE */
    TP_FAULT_LATE,    /* UNKNOWN; lands after some later operations. Commits only, else as LOST */
    TP_FAULT_TWICE,   /* done, and once more; answered by the first time */
    TP_FAULTS,
} tp_fault;

/* A zeroed one: nothing goes wrong. */
typedef struct tp_fault_plan {
    uint32_t chances[TP_FAULTS]; /* of 1,024, for each operation of `kinds` */
    uint32_t kinds;              /* bits 1 << troupe_store_kind; 0: commits and loads */
    uint64_t at;                 /* that operation of `kinds`, from 1 on, counted since the plan was
                                    set, has `fault`; 0: none */
    tp_fault fault;
    uint64_t late_most; /* operations until a late one lands, at most; 0: 16 */
    /* Each group takes up to so long (ns), passed by `pause`: a sleep, or tp_world_advance. */
    uint64_t delay_most;
    void (*pause)(void *user, uint64_t duration);
    /* Told of each late one that has landed, and which writer it had. */
    void (*landed)(void *user, const troupe_store_op *op, uint64_t writer);
    bool any_writer; /* a planted mistake: late ones land as if the writer's row were not checked */
    void *user;
} tp_fault_plan;

typedef struct tp_faulty_store tp_faulty_store;

/* Wraps `inner`, which outlives it. It is not immediate though `inner` may be: a node gives it a
 * thread, a world a runner. NULL: no memory. */
tp_faulty_store *tp_faulty_store_create(
    const troupe_allocator *allocator, troupe_store *inner, uint64_t seed);
/* What is late is lost. NULL is a no-op. */
void tp_faulty_store_destroy(tp_faulty_store *faulty);

troupe_store *tp_faulty_store_get(tp_faulty_store *faulty);
void tp_faulty_store_plan(tp_faulty_store *faulty, const tp_fault_plan *plan);
/* Lands all that is late; returns how many of them were done. */
uint64_t tp_faulty_store_land(tp_faulty_store *faulty);
/* How often it went wrong in that way. */
uint64_t tp_faulty_store_count(const tp_faulty_store *faulty, tp_fault fault);

#endif
