/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of a call: one number, whose *kind* tells the program what to do and whose *outcome*
 * tells whether the thing asked for happened. The list below is the only one: the constants, the
 * texts, the documents and the command line tool are all made from it. Not an errno.
 *
 * Invariants: 1. 0 is OK. 2. Codes never change their number. 3. Codes below TROUPE_APPLICATION are
 * the library's; those at or above it belong to the application and have kind FAILED.
 * Threads: pure.
 */
#ifndef TROUPE_STATUS_H
#define TROUPE_STATUS_H

#include <troupe/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t troupe_status;

/* What to do about it. */
typedef enum troupe_kind {
    TROUPE_KIND_OK,
    TROUPE_KIND_BUSY,        /* try again later, with back-off */
    TROUPE_KIND_TIMEOUT,     /* it may have run: ask again only if that is harmless */
    TROUPE_KIND_CANCELLED,   /* you, or who asked you, gave it up */
    TROUPE_KIND_UNAVAILABLE, /* nobody can serve it now: try again later */
    TROUPE_KIND_UNKNOWN,     /* it may have run, and nobody can tell */
    TROUPE_KIND_EXPIRED,     /* too late: ask with more time */
    TROUPE_KIND_DEADLOCK,    /* a circle of asks: change who asks whom */
    TROUPE_KIND_TOO_LARGE,   /* send less, or raise the limit */
    TROUPE_KIND_ABSENT,      /* there is no such thing */
    TROUPE_KIND_CONFLICT,    /* somebody else was first: read again */
    TROUPE_KIND_DENIED,      /* not allowed */
    TROUPE_KIND_USAGE,       /* the call is wrong: mend the program */
    TROUPE_KIND_CLOSED,      /* it is closing */
    TROUPE_KIND_CORRUPT,     /* data do not check out */
    TROUPE_KIND_BUG,         /* a defect: look into the log */
    TROUPE_KIND_FAILED,      /* the application's own answer */
    TROUPE_KIND_COUNT
} troupe_kind;

/* Whether what was asked for happened. */
typedef enum troupe_outcome {
    TROUPE_DONE,
    TROUPE_NOT_DONE,
    TROUPE_UNKNOWN_OUTCOME
} troupe_outcome;

/* X(NAME, code, KIND, OUTCOME, "what it is: what to do") */
#define TROUPE_STATUS_MAP(X)                                                                       \
    X(OK, 0, OK, DONE, "done")                                                                     \
    X(BUSY, 1, BUSY, NOT_DONE, "a limit is reached: try again later, with back-off")               \
    X(TIMEOUT, 2, TIMEOUT, UNKNOWN_OUTCOME,                                                        \
      "no answer in time: it may have run; ask again only if twice is harmless")                   \
    X(EXPIRED, 3, EXPIRED, NOT_DONE,                                                               \
      "the deadline passed before it started: ask again with more time")                           \
    X(CANCELLED, 4, CANCELLED, UNKNOWN_OUTCOME, "cancelled while it ran: it may have run in part") \
    X(WITHDRAWN, 5, CANCELLED, NOT_DONE, "cancelled before it started: nothing to do")             \
    X(UNAVAILABLE, 6, UNAVAILABLE, NOT_DONE, "nobody can serve it now: try again later")           \
    X(UNKNOWN, 7, UNKNOWN, UNKNOWN_OUTCOME,                                                        \
      "the way to it broke: it may have run; ask again only if twice is harmless")                 \
    X(DEADLOCK, 8, DEADLOCK, NOT_DONE,                                                             \
      "actors wait for each other in a circle: change who asks whom, or allow reentrancy")         \
    X(TOO_LARGE, 9, TOO_LARGE, NOT_DONE, "larger than a limit: send less or raise the limit")      \
    X(NO_TYPE, 10, ABSENT, NOT_DONE, "no such actor type: register it or mend the id")             \
    X(NO_METHOD, 11, ABSENT, NOT_DONE, "the type has no such method: mend the name")               \
    X(NOT_FOUND, 12, ABSENT, NOT_DONE, "no such thing: check its name")                            \
    X(CONFLICT, 13, CONFLICT, NOT_DONE, "somebody else changed it first: read it again")           \
    X(DENIED, 14, DENIED, NOT_DONE, "not allowed: ask for the right")                              \
    X(USAGE, 15, USAGE, NOT_DONE, "the call is wrong: mend the program")                           \
    X(CLOSED, 16, CLOSED, NOT_DONE, "the node is closing: ask another one")                        \
    X(CORRUPT, 17, CORRUPT, NOT_DONE, "the data do not check out: restore them")                   \
    X(NO_MEMORY, 18, BUSY, NOT_DONE, "no memory: try again later or give the node more")           \
    X(PANIC, 19, BUG, UNKNOWN_OUTCOME,                                                             \
      "the actor panicked while it ran this: see the log for where")                               \
    X(INTERRUPTED, 20, UNKNOWN, UNKNOWN_OUTCOME,                                                   \
      "the actor was stopped while it ran this: it may have run in part")                          \
    X(BUG, 21, BUG, UNKNOWN_OUTCOME, "a defect in the library: please report it with the log")     \
    X(POISONED, 22, BUG, NOT_DONE,                                                                 \
      "set aside since it killed its actor again and again: see the log, mend the actor")          \
    X(FAILED, 24, FAILED, UNKNOWN_OUTCOME, "the actor answered that it failed: see the answer")

enum {
#define TROUPE_STATUS_CONSTANT(name, code, kind, outcome, text) TROUPE_##name = (code),
    TROUPE_STATUS_MAP(TROUPE_STATUS_CONSTANT)
#undef TROUPE_STATUS_CONSTANT
    TROUPE_APPLICATION = 1000 /* the first code that is yours */
};

/* [any thread] "TIMEOUT"; "APPLICATION" for yours; "?" for a number that is nobody's. */
TROUPE_API const char *troupe_status_name(troupe_status status);

/* [any thread] One line for a person: what it is and what to do. */
TROUPE_API const char *troupe_status_text(troupe_status status);

/* [any thread] What to do. A number that is nobody's is a BUG. */
TROUPE_API troupe_kind troupe_status_kind(troupe_status status);

/* [any thread] Whether it happened, as far as the status alone tells. `outcome` of an answer knows
 * more: a method that failed, by an application's own code (here: UNKNOWN) or another, has NOT_DONE
 * if nothing of its turn is left: its state was put back, and it sent nothing and did not wait. */
TROUPE_API troupe_outcome troupe_status_outcome(troupe_status status);

/* [any thread] "TIMEOUT" for TROUPE_KIND_TIMEOUT. */
TROUPE_API const char *troupe_kind_name(troupe_kind kind);

#ifdef __cplusplus
}
#endif

#endif
