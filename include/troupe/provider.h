/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage port: what a provider of durable state implements. `memory:` and `sqlite:` are in the
 * library; others are modules, shared objects that are found by the scheme of their URL
 * (`redis://…` loads libtroupe_redis.so) and say TROUPE_PROVIDER once. Ours have no private door:
 * whoever passes tests/store's conformance suite is as good.
 *
 * A provider is written as a plain blocking function, `run`, that takes a group of operations and
 * sets a status in each. Troupe calls it on a thread of its own with whatever has gathered while
 * the last call was under way, so that many actors share a commit; nothing waits for a group to
 * fill.
 *
 * Words. *Actor commit*: the change of one actor: state, rows, events, snapshot; all or nothing.
 * *Writer*: a number that names one run of one node; commits count only while its row is open.
 * *Row*: a small named piece beside the state (a reminder, an outbox entry, a dedup entry).
 *
 * Invariants (PROTOCOLS: writers, versions, unknown outcomes)
 * 1. A commit is done only if its writer's row is open and the stored version equals `version`; the
 *    stored version is then version + 1. An actor that was never stored has version 0. Versions
 * never restart: an erase leaves a tombstone that keeps the version.
 * 2. Each commit is all-or-nothing and is answered by itself: one bad commit fails no neighbour.
 * 3. The result is as if the operations of a group ran one after the other in their order, so a
 *    commit may rest on an earlier one of its group.
 * 4. OK is said only when the commit is durable as the store is configured. CONFLICT, CLOSED,
 *    UNAVAILABLE, TOO_LARGE, NO_MEMORY and CORRUPT say that it was not done and will not be.
 * UNKNOWN says that it may have been done, or may land yet; the caller sends the same commit again.
 * 5. A writer's row is inserted once, open, and closed once; it never opens again. Closing an
 * absent row leaves a closed one. A close returns when no commit of that writer can land any more.
 *
 * Threads: `run` is called by one thread at a time, always the same one, unless `immediate`. `open`
 * and `close` are called by the thread that opens and closes the node.
 */
#ifndef TROUPE_PROVIDER_H
#define TROUPE_PROVIDER_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum troupe_store_kind {
    /* `writer`. CONFLICT: there is such a row already. */
    TROUPE_STORE_OPEN_WRITER = 1,
    /* `writer`. OK also when it was closed before. */
    TROUPE_STORE_CLOSE_WRITER,
    /* `writer` -> `found`: how many. Closes all open rows whose number is smaller: those of former
     * runs of a node that has its store for itself. */
    TROUPE_STORE_CLOSE_OLDER,
    /* `id` -> `found` (the version; 0: never stored), `wake`, items: one of kind TROUPE_ROW_STATE
     * if there is a state (its time that of the last commit, or 0), then all rows, in any order.
     * `from`: a version that the caller knows; if that is the one stored, no items need be made. */
    TROUPE_STORE_LOAD,
    /* `id`, `writer`, `version`, `commit` -> `found`: the version that is stored now. CONFLICT: it
     * was another one than `version`. CLOSED: the writer's row is not open, whatever the version.
     */
    TROUPE_STORE_COMMIT,
    /* `id`, `from` (position), `limit` -> items in order of position: number = position, time, key
     * = name of the event, value = payload. */
    TROUPE_STORE_READ_EVENTS,
    /* `id`, `limit` -> items, newest first: number = version, time; no value. */
    TROUPE_STORE_LIST_SNAPSHOTS,
    /* `id`, `from` = version -> one item with its value; NOT_FOUND. */
    TROUPE_STORE_READ_SNAPSHOT,
    /* `type`, `keep` (newest so many of each actor; 0: any number), `until` (older ones go; 0: any
     * age), `limit` (of one call) -> `found`: how many went; `more`. What one of the two sends away
     * goes, but the newest snapshot of an actor always stays. */
    TROUPE_STORE_PRUNE,
    /* `type`, `after` (text form of an id; empty: from the first), `limit` -> items in bytewise
     * order of their text form: key = text form, number = version, time = of the last commit; no
     * erased ones. `more`. */
    TROUPE_STORE_LIST_IDS,
    /* `until` (wall time), `after`, `limit` -> ids whose `wake` is not 0 and <= until: key = text
     * form, time = wake, in order of wake, then text form. `after` is empty, or the text form of
     * the last id seen, whose wake is in `from`. `more`. */
    TROUPE_STORE_LIST_DUE,
    /* OK, or what is wrong, in words, as one item's value. `keep` 1: all that is stored is read,
     * and looked at for damage, if that is possible. */
    TROUPE_STORE_HEALTH,
} troupe_store_kind;

/* Kinds of rows; a provider treats them alike. Row kinds are kept apart from one another by actor.
 */
enum {
    TROUPE_ROW_STATE = 0, /* only in results of a load */
    TROUPE_ROW_ONCE = 1,
    TROUPE_ROW_OUTBOX = 2,
    TROUPE_ROW_SENDER = 3,
    TROUPE_ROW_REMINDER = 4,
    TROUPE_ROW_DEAD = 5,
};

/* One found thing; made by troupe_store_add. What its fields mean is said at the kinds above. */
typedef struct troupe_store_item troupe_store_item;
struct troupe_store_item {
    troupe_store_item *next;
    uint32_t kind; /* of a row */
    uint64_t number;
    uint64_t time; /* wall clock, ns since 1970 */
    troupe_slice key;
    troupe_slice value;
};

typedef struct troupe_store_row {
    uint32_t kind;
    bool remove;      /* else put: inserted, or replaced */
    troupe_slice key; /* 1 to 1,200 bytes of anything */
    troupe_slice value;
} troupe_store_row;

typedef struct troupe_store_event {
    troupe_slice name;
    troupe_slice payload;
} troupe_store_event;

/* What a commit changes. An erase removes state, rows, snapshots and events first; if it puts
 * nothing in their place it leaves a tombstone, until the next commit. Positions and times of
 * events go on after an erase, as versions do. Within a commit the rows are taken in their order.
 * `snapshot` comes with `has_state` only. */
typedef struct troupe_store_commit {
    bool erase;
    bool has_state;
    bool snapshot; /* the state is kept as a snapshot, too, under the new version */
    troupe_slice state;
    const troupe_store_row *rows;
    size_t row_count;
    const troupe_store_event *events; /* get the next positions of the actor, from 1 */
    size_t event_count;
    /* The moment at which somebody must wake the actor (a reminder is due, an outbox waits): wall
     * clock, ns; 0: nobody. Replaces the one before. */
    uint64_t wake;
    uint64_t time; /* of the commit, wall clock; events get max(last event's + 1, time) */
} troupe_store_commit;

typedef struct troupe_store_op troupe_store_op;
struct troupe_store_op {
    /* in: kept by the caller, with all that it points to, until done */
    troupe_store_kind kind;
    troupe_id id;
    uint64_t writer;
    uint64_t version;
    troupe_store_commit commit;
    troupe_slice type;
    troupe_slice after;
    uint64_t from;
    uint64_t until;
    uint64_t keep;
    size_t limit;                      /* 0: 1,000 */
    const troupe_allocator *allocator; /* of the items */
    /* out */
    troupe_status status;
    uint64_t found;
    uint64_t wake;
    bool more;
    troupe_store_item
        *items; /* belong to the caller, who gives them back by troupe_store_release */
    troupe_store_item *last;
    /* Troupe's */
    void (*done)(troupe_store_op *op);
    troupe_store_op *next;
    void *owner;
    void *room; /* the first item that is found goes here if it fits; NULL: there is none */
    size_t room_size;
};

/* [run] Adds a copy of `item` to the op's items. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_store_add(
    troupe_store_op *op, const troupe_store_item *item);
/* [any thread] Gives the op's items back. */
TROUPE_API void troupe_store_release(troupe_store_op *op);

/* An open store: the first member of the provider's own struct. */
typedef struct troupe_store troupe_store;
struct troupe_store {
    size_t size;          /* sizeof(troupe_store) it was compiled with */
    const char *promises; /* one line for the log: what it gives with the settings found */
    bool durable;         /* what it says OK to survives a crash of node and machine (P5) */
    bool immediate; /* run never blocks, and may be called by any thread, beside another one */
    size_t group;   /* operations that one run takes at most; 0: 1,024 */
    void (*run)(troupe_store *store, troupe_store_op *const *ops, size_t count);
    /* [any thread] The node closes: a run under way should end soon, with UNKNOWN or UNAVAILABLE
     * for what it could not do. May be NULL. */
    void (*hurry)(troupe_store *store);
    void (*close)(troupe_store *store);
    bool own; /* no other node sees what is in it (a file, memory): so this one wakes all of it */
};

/* What the node lends its providers. */
typedef struct troupe_store_host {
    size_t size;
    const troupe_allocator *allocator;
    void *context;
    uint64_t (*now)(void *context);  /* monotonic, ns */
    uint64_t (*wall)(void *context); /* since 1970, ns */
    /* One line into the node's log; level as in <troupe/log.h>. */
    void (*log)(void *context, int level, const char *event, const char *text);
    uint64_t open_until; /* by `now`: an opening that takes longer fails; 0 or UINT64_MAX: none */
} troupe_store_host;

typedef struct troupe_provider {
    size_t size;
    uint32_t api_number; /* TROUPE_API_NUMBER it was compiled with */
    const char *scheme;  /* "redis" */
    /* Connects, or makes sure that it can; creates what is missing. On failure `error` says what is
     * wrong and what to do. USAGE: the URL, or a setting of the store that would break a promise
     * and is not accepted in the URL (`?accept=not-P5`). UNAVAILABLE: nobody there. */
    troupe_status (*open)(const troupe_store_host *host, const char *url, troupe_store **ret_store,
        char *error, size_t error_size);
} troupe_provider;

#define TROUPE_PROVIDER_SYMBOL "troupe_provider_entry"

/* TROUPE_PROVIDER("redis", open_redis) */
#define TROUPE_PROVIDER(scheme_name, open_function)                \
    TROUPE_API extern const troupe_provider troupe_provider_entry; \
    const troupe_provider troupe_provider_entry = {                \
        sizeof(troupe_provider), TROUPE_API_NUMBER, (scheme_name), (open_function)}

#ifdef __cplusplus
}
#endif

#endif
