/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The once window of one actor: which requests it has seen lately, and what came of them, so that a
 * retry is answered and never run again. A bounded table in memory beside the ONCE rows of the
 * store; not the rows, and not the commit. The turn loop asks it before a once request runs.
 *
 *              begin               finish
 *   (absent) --------> RUNNING ------------> DONE      a retry waits; is answered
 *                        |  \ remove           ^
 *                   lose |   `--> (absent)     | finish (on_interrupted has made it good)
 *                        v                     |
 *                      LOST -------------------'       a retry is answered INTERRUPTED
 *
 * Loaded rows are LOST (begun, and whoever ran it is gone) or DONE.
 *
 * Invariants (PROTOCOLS: once, outbox, reminders)
 * 1. A request id is at most once in the window, and only an absent one may run.
 * 2. A running request never expires; others leave by expiry, or when their caller has acknowledged
 *    the answer (remove).
 * 3. A request that comes after its deadline and is not here does not run: it may have run and been
 *    forgotten. An entry stays longer than that, by all that two arrivals of one request may differ
 *    about its deadline (hops * ttl + max_clock_skew): `expires` is deadline + that, and never what
 *    a retry is judged by.
 * 4. There are never more than `limit` entries, unless more were loaded. A full window says BUSY:
 *    who asks takes out what has expired first.
 * 5. Memory is needed before a request runs only: finish, lose and remove do not fail.
 * Threads: one owner.
 */
#ifndef TP_STORE_WINDOW_H
#define TP_STORE_WINDOW_H

#include "store/rows.h"

#define TP_WINDOW_LIMIT 1024 /* the default of `once_window` */

typedef enum tp_window_state {
    TP_WINDOW_RUNNING = 1,
    TP_WINDOW_LOST,
    TP_WINDOW_DONE
} tp_window_state;

typedef struct tp_window_entry {
    tp_window_state state;
    uint64_t expires;   /* wall, ns */
    void *turn;         /* RUNNING: whose it is to wait for; the owner's */
    tp_row_once answer; /* DONE */
    unsigned char id[TP_ROW_ONCE_MAX];
    uint8_t id_size;
    /* the window's */
    uint32_t place; /* in the heap */
    uint64_t hash;
    struct tp_window_entry *next; /* of its bucket */
    void *memory;                 /* what the slices of `answer` borrow from */
    size_t memory_size;
} tp_window_entry;

typedef struct tp_window {
    const troupe_allocator *allocator;
    uint32_t limit;
    uint32_t count;
    uint32_t capacity;         /* of both arrays; 0 or a power of two */
    tp_window_entry **heap;    /* the first to expire is the first; running ones are last */
    tp_window_entry **buckets; /* behind the heap, in its block */
    size_t bytes;              /* of all its memory */
    uint64_t refused;          /* how often it said BUSY */
} tp_window;

typedef enum tp_window_decision {
    TP_WINDOW_RUN,         /* not seen before: begin, then run it */
    TP_WINDOW_WAIT,        /* entry->turn runs it: answer both when it is done */
    TP_WINDOW_ANSWER,      /* entry->answer */
    TP_WINDOW_INTERRUPTED, /* it was begun and lost: INTERRUPTED, never run it again */
    TP_WINDOW_UNKNOWN,     /* too late to know whether it ran: UNKNOWN */
    TP_WINDOW_BUSY,        /* no room: BUSY, not done */
} tp_window_decision;

/* `limit` > 0. Allocates nothing. */
void tp_window_init(tp_window *window, const troupe_allocator *allocator, uint32_t limit);
void tp_window_deinit(tp_window *window);

/* What to do with a request (id: 1 to 64 bytes), whose caller waits until `deadline`, wall, ns.
 * `*ret_entry` is set for WAIT, ANSWER and INTERRUPTED. */
tp_window_decision tp_window_decide(tp_window *window, troupe_slice id, uint64_t deadline,
    uint64_t now, tp_window_entry **ret_entry);

/* The entry of a request; NULL: none. Entries stay where they are until they are removed. */
tp_window_entry *tp_window_find(const tp_window *window, troupe_slice id);

/* After RUN: the request is RUNNING, and will be forgotten at `expires` (invariant 3). NO_MEMORY:
 * nothing has changed. */
TROUPE_CHECK troupe_status tp_window_begin(
    tp_window *window, troupe_slice id, uint64_t expires, void *turn, tp_window_entry **ret_entry);

/* Puts in a row found in the store, whose id is not there yet: LOST or DONE. `memory`, which the
 * slices of `row` borrow from, is a block of the window's allocator and moves on OK. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_window_load(
    tp_window *window, troupe_slice id, const tp_row_once *row, void *memory, size_t memory_size);

/* RUNNING or LOST becomes DONE with this answer; `memory` moves, as above. */
void tp_window_finish(tp_window *window, tp_window_entry *entry, const tp_row_once *answer,
    void *memory, size_t memory_size);

/* RUNNING becomes LOST: its activation was reset after the begun request had been committed. */
void tp_window_lose(tp_window *window, tp_window_entry *entry);

/* The entry that expired first, if one has by `now`; else NULL. The owner removes its row with the
 * next commit, and it from the window. */
tp_window_entry *tp_window_expired(const tp_window *window, uint64_t now);

/* Takes an entry out and frees it. */
void tp_window_remove(tp_window *window, tp_window_entry *entry);

#endif
