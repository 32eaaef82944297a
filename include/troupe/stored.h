/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is stored of actors: look at it without activating or disturbing anybody, put an old state
 * back, delete an actor for good, send dead letters again, cancel reminders. For operators and
 * tests; actors need none of it. Nothing else includes this header.
 *
 * Reads go to the store itself and see its last durable commits. Changes run as a turn of the actor
 * (it is activated for it), so they are ordered with its other turns, and return when they are
 * durable. After a restore or a delete the actor begins anew from what is stored: on_activate runs
 * before its next turn, on_deactivate does not run for the state that was replaced.
 *
 * Statuses of all functions: USAGE: called in a turn or a callback, a malformed id, or a type that
 * stores nothing; NO_TYPE; UNAVAILABLE, NO_MEMORY, and what the store says. On failure `error` (may
 * be NULL) says in words what is wrong and what to do.
 *
 * Threads: [any thread but the node's own]; the calls wait for the store. What a visit gets is
 * borrowed until it returns; visits come on the calling thread.
 */
#ifndef TROUPE_STORED_H
#define TROUPE_STORED_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the store fares: OK, or what it says of itself in `error`, UNAVAILABLE or CORRUPT.
 * `ret_promises` (may be NULL; always set, but for USAGE): what it gives with the settings found,
 * one line that lives as long as the node. `thorough`: it also reads all that is stored and looks
 * for damage, if it can; sqlite: seconds for each gigabyte, in which nothing is stored. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_health(
    troupe_node *node, bool thorough, const char **ret_promises, char *error, size_t error_size);

typedef struct troupe_stored {
    troupe_id id;
    uint64_t version;   /* counts the actor's commits, also over a delete */
    uint64_t time;      /* of the last commit, or of the snapshot; since 1970; 0: not known */
    uint64_t wake;      /* when somebody must wake the actor; 0: never */
    bool has_state;     /* false: only rows beside it */
    troupe_slice state; /* as the type saves it; empty in lists */
    troupe_slice json;  /* the same by the type's schema; empty: it has none */
    troupe_slice note;  /* words, if the state cannot be read: damaged, of a newer program */
    /* Rows beside the state; 0 in lists and snapshots. */
    uint32_t once, outbox, senders, reminders, dead;
} troupe_stored;
typedef void troupe_stored_visit(void *user, const troupe_stored *stored);

/* Actors of a type in bytewise order of their text form, from behind `after` (empty: from the
 * first), at most `limit` (0: 1,000). `*ret_more` (may be NULL): there are more. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_each(troupe_node *node, const char *type,
    troupe_slice after, size_t limit, troupe_stored_visit *visit, void *user, bool *ret_more,
    char *error, size_t error_size);
/* What is stored of one actor. NOT_FOUND: nothing. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_look(troupe_node *node, troupe_id id,
    troupe_stored_visit *visit, void *user, char *error, size_t error_size);
/* Its snapshots, newest first, without their states. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_each_snapshot(troupe_node *node, troupe_id id,
    size_t limit, troupe_stored_visit *visit, void *user, char *error, size_t error_size);
/* One snapshot with its state. NOT_FOUND. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_snapshot(troupe_node *node, troupe_id id,
    uint64_t version, troupe_stored_visit *visit, void *user, char *error, size_t error_size);

/* The state of that snapshot becomes the actor's state, by a commit of its own; reminders, outbox
 * and the window of calls once stay as they are. Also for an actor whose stored state is damaged.
 * `timeout` 0: the node's ask_timeout. NOT_FOUND; CORRUPT: the snapshot is damaged. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_restore(troupe_node *node, troupe_id id,
    uint64_t version, uint64_t timeout, uint64_t *ret_version, char *error, size_t error_size);
/* State, snapshots, reminders, outbox, window and dead letters go; what remains is the version, so
 * that it never restarts. A later message activates an actor that was never stored. NOT_FOUND:
 * nothing is stored (an active actor that stored nothing yet is left alone). */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_delete(
    troupe_node *node, troupe_id id, uint64_t timeout, char *error, size_t error_size);

/* A message of the actor's outbox that was refused for good, or ran out of time. */
typedef struct troupe_dead_letter {
    char number[40]; /* names it among those of the actor */
    troupe_id target;
    troupe_slice method;
    troupe_slice content_type;
    troupe_slice payload;
    troupe_status reason;
    troupe_slice words;
    uint64_t created, moved; /* since 1970: sent first; given up */
} troupe_dead_letter;
typedef void troupe_dead_letter_visit(void *user, const troupe_dead_letter *letter);

/* [also for damaged states] Oldest first. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_each_dead(troupe_node *node, troupe_id id,
    troupe_dead_letter_visit *visit, void *user, char *error, size_t error_size);
/* It goes back into the outbox, as a new message. NOT_FOUND; BUSY: the outbox is full. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_replay(troupe_node *node, troupe_id id,
    const char *number, uint64_t timeout, char *error, size_t error_size);
/* It goes for good. NOT_FOUND. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_drop(troupe_node *node, troupe_id id,
    const char *number, uint64_t timeout, char *error, size_t error_size);

/* The reminders that are stored, the next that is due first; `missed` is 0. OK also if there are
 * none, or nothing is stored. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_each_reminder(troupe_node *node, troupe_id id,
    troupe_reminder_visit *visit, void *user, char *error, size_t error_size);
/* It does not fire any more, unless its turn has begun. NOT_FOUND. */
TROUPE_API TROUPE_CHECK troupe_status troupe_stored_cancel(troupe_node *node, troupe_id id,
    const char *name, uint64_t timeout, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
