/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Troupe: virtual actors in C. This header is the manual of everything that a program needs to host
 * and call actors in its own process. It includes <troupe/reminders.h>, timers that survive
 * everything. Tables that describe structs are in <troupe/schema.h>, what looks into a running node
 * is in <troupe/inspect.h>, what is stored of actors in <troupe/stored.h>, what logs in
 * <troupe/log.h>, modules for the daemon in <troupe/module.h>, simulated worlds in <troupe/sim.h>.
 *
 * Words. A *node* hosts actors on its *shards*, one thread each. An actor is named by an *id*
 * (type, key, optional partition) and always exists: its first message *activates* it. One run of a
 * method is a *turn*; at most one step of an activation runs at a time, always on the thread of its
 * shard. An *ask* expects an answer, a *tell* does not.
 *
 * Threads. Each function says where it may be called: [any thread], [turn] (inside a method or
 * hook, with the turn that was handed in, on the thread that runs it), [before start].
 *
 * Ownership. A troupe_slice borrows; the callee copies what it keeps. A troupe_answer owns until
 * released.
 *
 * Units. All durations are nanoseconds in uint64_t; write TROUPE_MILLISECONDS(5). Zero in options
 * means the default.
 *
 * Errors. Every status has a kind (what to do), and an outcome: NOT_DONE (nothing happened, asking
 * again is safe) or UNKNOWN (it may have run). See <troupe/status.h>.
 */
#ifndef TROUPE_H
#define TROUPE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "troupe/base.h"
#include "troupe/placement.h"
#include "troupe/schema.h"
#include "troupe/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TROUPE_VERSION "0.1.0"
/* Number of the programming interface; modules and programs compiled against another one are
 * refused. */
#define TROUPE_API_NUMBER 1

typedef struct troupe_node troupe_node;
typedef struct troupe_client troupe_client;
typedef struct troupe_turn troupe_turn;
typedef struct troupe_ref troupe_ref;
typedef struct troupe_cancel troupe_cancel;

#define TROUPE_NEVER UINT64_MAX

#ifdef __cplusplus
#define TROUPE_NORETURN [[noreturn]]
#else
#define TROUPE_NORETURN _Noreturn
#endif

/* ------------------------------------------------------------------------------------------
 * Ids
 */

/* Names an actor. Borrows its strings; for calls. `type` and `partition` are names of 1 to 128
 * bytes out of [A-Za-z0-9_.-]; `key` is 1 to 1,024 bytes of anything. The same key in two
 * partitions is two actors. */
typedef struct troupe_id {
    troupe_slice type;
    troupe_slice partition; /* empty: none */
    troupe_slice key;
} troupe_id;

/* [any thread] Makes an id of two strings that end with NUL, which must outlive it. */
static inline troupe_id troupe_id_of(const char *type, const char *key)
{
    troupe_id id = {troupe_str(type), {0, 0}, troupe_str(key)};
    return id;
}

static inline troupe_id troupe_id_in(const char *type, const char *partition, const char *key)
{
    troupe_id id = {troupe_str(type), troupe_str(partition), troupe_str(key)};
    return id;
}

/* [any thread] Reads `type/key` or `type@partition/key`. The result borrows from `text`.
 * USAGE: not an id; `*ret_reason` (may be NULL) says in words what is wrong. */
TROUPE_API TROUPE_CHECK troupe_status troupe_id_parse(
    troupe_slice text, troupe_id *ret_id, const char **ret_reason);

/* [any thread] Writes the text form like snprintf: returns the length, cuts at `size`, ends with
 * NUL. */
TROUPE_API size_t troupe_id_print(troupe_id id, char *out, size_t size);

TROUPE_API bool troupe_id_equal(troupe_id left, troupe_id right);

/* ------------------------------------------------------------------------------------------
 * Refs: an id that owns its strings and is resolved once. For state, and for calls on hot paths.
 * Never dangles, never activates anything by being made. Travels in messages in its id's text form.
 */

/* [any thread] USAGE: malformed id. NO_TYPE: neither the node nor another member that it knows of
 * hosts the type. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_ref_create(
    troupe_node *node, troupe_id id, troupe_ref **ret_ref);
TROUPE_API troupe_ref *troupe_ref_retain(troupe_ref *ref); /* [any thread] */
/* [any thread, also after the node is closed] NULL is a no-op. */
TROUPE_API void troupe_ref_release(troupe_ref *ref);
TROUPE_API troupe_id troupe_ref_id(const troupe_ref *ref); /* borrows from the ref */
TROUPE_API bool troupe_ref_equal(const troupe_ref *left, const troupe_ref *right);

/* A method resolved once, for calls by ref. */
typedef struct troupe_selector {
    uint32_t number;
} troupe_selector;

/* [any thread] NO_METHOD: the type of the ref has no method of that name; a catch-all is called by
 * id. Of a type that only other members host any name is taken, and the call says NO_METHOD if its
 * host has none. NO_MEMORY: also of more than 128 names of such a type. */
TROUPE_API TROUPE_CHECK troupe_status troupe_ref_selector(
    const troupe_ref *ref, const char *method, troupe_selector *ret_selector);

/* ------------------------------------------------------------------------------------------
 * Content types. Payloads are bytes; a content type goes along. Empty means TROUPE_BYTES.
 */
#define TROUPE_BYTES "application/octet-stream"
#define TROUPE_TEXT  "text/plain; charset=utf-8"
#define TROUPE_JSON  "application/json"

/* ------------------------------------------------------------------------------------------
 * Answers
 */
typedef struct troupe_answer {
    troupe_status status;      /* what the call returned */
    troupe_outcome outcome;    /* of this call; see troupe_status_outcome */
    troupe_slice payload;      /* on OK */
    troupe_slice content_type; /* of the payload */
    troupe_slice message;      /* on errors: words; names the actor, the method and what to do */
    void *owner;               /* private */
    void *home;                /* private */
} troupe_answer;

#define TROUPE_ANSWER_INIT                                   \
    {                                                        \
        TROUPE_OK, TROUPE_DONE, {0, 0}, {0, 0}, {0, 0}, 0, 0 \
    }

/* [where the answer was received] Gives its memory back and empties it. Also for answers of failed
 * calls (they own their message). A released or never filled answer is a no-op. Answers of a turn
 * belong to that turn's shard, and must be released in a turn of the same actor. */
TROUPE_API void troupe_answer_release(troupe_answer *answer);

/* ------------------------------------------------------------------------------------------
 * Calls: options
 */

/* Calls that end NOT_DONE with kind BUSY or UNAVAILABLE are sent again, after `backoff`, twice
 * that, … up to `backoff_cap`, each shortened at random by up to `jitter` per cent. Waiting forms
 * only. */
typedef struct troupe_retry {
    uint32_t attempts;    /* in all; 0 and 1: no retry */
    uint32_t jitter;      /* per cent; 0: 50; above 100: USAGE */
    uint64_t backoff;     /* 0: 1 ms */
    uint64_t backoff_cap; /* 0: 1 s */
} troupe_retry;

/* A value of the request context: named by 1 to 64 bytes. */
typedef struct troupe_context {
    const char *name;
    troupe_slice value; /* empty: takes the name out of what goes along */
} troupe_context;

typedef struct troupe_call_options {
    size_t size; /* set by TROUPE_CALL_OPTIONS; another one is USAGE */
    /* Of an ask; 0: the node's ask_timeout. A turn's own deadline is never exceeded. Of a tell: the
     * time until which it must have started; 0: no limit. */
    uint64_t timeout;
    const char *content_type; /* NULL: TROUPE_BYTES */
    troupe_cancel *cancel;    /* NULL: none. Must live until the call has ended */
    troupe_retry retry;
    /* The call happens once, whatever crashes: 1 to 64 bytes that name this call among all those to
     * the same actor. Asked again with the same key it gives the first answer again, until the last
     * deadline it was asked with and `max_clock_skew` are over: then the key is forgotten, and is
     * that of a new call; what comes to its actor later than that does not run: UNKNOWN. NOT_DONE
     * then speaks of all calls with this key that have come to the actor, also of those that wait
     * there (another caller's may be on its way); where nobody can tell it is UNKNOWN, and `retry`
     * does not look at it: asking again is safe. Without `retry` it is asked again by itself, in
     * each form, when the way to the actor broke (UNKNOWN: its node died). Either ends with the
     * deadline of the first attempt. For types that persist every turn; else USAGE. Empty: none. */
    troupe_slice once;
    /* Tells of a turn of a type that persists every turn (elsewhere USAGE; asks do not look at it):
     * committed with the turn, and then takes effect exactly once at a target that persists every
     * turn, at least once at others. `timeout` is how long it is tried; 0: 14 days. `once`,
     * `cancel` and `retry` do not count. What is refused for good is kept as a dead letter. Those
     * of one sender to one target are handled in their order. Plain calls to it come in the order
     * in which they and the outbox's were sent, too, until one of the outbox has to wait at its
     * target (a turn of its sender still runs there, one before it was refused, the target does
     * not know its sender any more) or to be sent again (BUSY, a move, a broken connection, a
     * crash): plain ones may pass that one. */
    bool outbox;
    /* Goes along with the call, and with all that its turns call (troupe_context_get). In a turn:
     * over what the turn itself has. At most 4 KiB, counting 4 bytes and the name for each, else
     * TOO_LARGE. */
    const troupe_context *context;
    size_t context_count;
} troupe_call_options;

/* `&(troupe_call_options){ TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(1) }` */
#define TROUPE_CALL_OPTIONS .size = sizeof(troupe_call_options)

/* [any thread] A cancellation: fired once, ends every ask that names it, and those that name it
 * later, with WITHDRAWN (it had not started) or CANCELLED (it may have). The turn that serves such
 * an ask sees troupe_turn_is_cancelled, and what it itself waits for is cancelled too. NO_MEMORY.
 * It may outlive its node; but it is not fired while troupe_node_close runs. */
TROUPE_API TROUPE_CHECK troupe_status troupe_cancel_create(
    troupe_node *node, troupe_cancel **ret_cancel);
TROUPE_API void troupe_cancel_fire(troupe_cancel *cancel);
TROUPE_API void troupe_cancel_destroy(troupe_cancel *cancel);

/* ------------------------------------------------------------------------------------------
 * Actor types
 */

/* A method. `payload` is borrowed until the turn ends. The return value ends the call: TROUPE_OK
 * after a reply, else the failure; use troupe_fail to give words. A failing turn leaves the state
 * bytes as they were at the last commit point: the turn's begin, its last ask that waited, or, in
 * types with reentrancy or read-only methods, its last park of any kind. What was written before a
 * commit point stays: "ask, refund, fail" would undo the refund and keep what the ask rested on, so
 * put right what must be put right and reply, or fail before the ask. An ask whose
 * method returns OK without a reply ends with USAGE. */
typedef troupe_status troupe_method_run(troupe_turn *turn, void *state, troupe_slice payload);
/* A read-only method: may come in while another turn of the actor is parked. In simulations, and
 * where Troupe is built without NDEBUG, one that writes to the state without waiting ends with
 * USAGE. */
typedef troupe_status troupe_method_read(
    troupe_turn *turn, const void *state, troupe_slice payload);

typedef struct troupe_method {
    const char *name;
    troupe_method_run *run; /* one of run, read */
    troupe_method_read *read;
    void *reserved;
} troupe_method;

#define TROUPE_METHOD(function)         \
    {                                   \
#function, function, NULL, NULL \
    }
#define TROUPE_READ_METHOD(function)    \
    {                                   \
#function, NULL, function, NULL \
    }
/* A method under another name than its function's. */
#define TROUPE_METHOD_NAMED(name, function) \
    {                                       \
        name, function, NULL, NULL          \
    }
#define TROUPE_READ_METHOD_NAMED(name, function) \
    {                                            \
        name, NULL, function, NULL               \
    }

/* Why an activation ends. */
typedef enum troupe_reason {
    TROUPE_REASON_IDLE = 1, /* not called for its type's idle age */
    TROUPE_REASON_EVICTED,  /* max_actors or memory_limit reached; it was the least recently used */
    TROUPE_REASON_ASKED,    /* troupe_deactivate, or from outside */
    TROUPE_REASON_FAILED,   /* supervision: restart or stop */
    TROUPE_REASON_CLOSING,  /* the node closes */
    TROUPE_REASON_MIGRATED, /* it goes on on another node: state, mailbox and timers go along */
} troupe_reason;

TROUPE_API const char *troupe_reason_name(troupe_reason reason);

typedef enum troupe_reentrancy {
    TROUPE_REENTRANCY_NONE = 0,   /* turns never interleave (read-only ones excepted) */
    TROUPE_REENTRANCY_CALL_CHAIN, /* calls that descend from a parked turn of this actor come in */
    TROUPE_REENTRANCY_ALWAYS,     /* whatever comes runs while others are parked */
} troupe_reentrancy;

typedef enum troupe_persist {
    TROUPE_PERSIST_NONE = 0,
    TROUPE_PERSIST_ON_DEACTIVATE, /* saved when it is deactivated; a crash loses what came since */
    /* Each turn that changes the state commits it, and nothing that rests on it (replies, asks,
     * tells) leaves before it is durable as the store is configured. The actor goes on meanwhile,
     * and the turns that come share the next commit. What a turn sends leaves when it ends or asks;
     * a failing turn has sent nothing. */
    TROUPE_PERSIST_EVERY_TURN,
    /* Saved every `snapshot_interval` turns that may write, and at deactivation; replies do not
     * wait. A crash loses the turns since. */
    TROUPE_PERSIST_EVERY_N,
} troupe_persist;

typedef enum troupe_supervise {
    TROUPE_SUPERVISE_RESUME = 0, /* keep the activation, with the state of its last commit point */
    TROUPE_SUPERVISE_RESTART, /* a fresh activation, now or after the back-off; queued messages wait
                                 for it */
    TROUPE_SUPERVISE_STOP,    /* deactivate; queued asks end UNAVAILABLE; a later message activates
                                 anew */
} troupe_supervise;

/* What follows a failed turn, which is: a panic (always supervised, and RESUME then means RESTART
 * when the state was being changed by a turn that had no snapshot), or a method that returned
 * another status than an application code. A failed on_activate counts the same: what waited for
 * it ends with its status, and by RESTART what comes next waits for the back-off. */
typedef struct troupe_supervision {
    troupe_supervise on_panic; /* 0, RESUME: the default */
    troupe_supervise on_error; /* 0, RESUME */
    uint64_t backoff;          /* before a restart; doubles with each failure in a row; 0: 10 ms */
    uint64_t backoff_cap;      /* 0: 30 s */
    uint32_t jitter;           /* per cent of the back-off taken off at random; 0: 20 */
    /* A message whose turns panicked so often is set aside; 0: 3. It is delivered again only if
     * `redeliver`. */
    uint32_t poison_after;
    uint32_t max_failures; /* failures in a row after which the actor is stopped, whatever the
                              policy; 0: no such limit */
    bool redeliver;        /* a message whose turn panicked is delivered again after the restart */
} troupe_supervision;

/* Which stored states of an actor are kept besides the present one. Zeros: none. */
typedef struct troupe_retention {
    uint32_t max_snapshots; /* the newest so many; 0: any number of those young enough */
    uint64_t max_age;       /* 0: any age */
} troupe_retention;

/* Collects the bytes of a save hook. */
typedef struct troupe_writer troupe_writer;
TROUPE_API TROUPE_CHECK troupe_status troupe_write(
    troupe_writer *writer, const void *data, size_t size);

/* Runs around the methods of a type, in the turn, on its stack: whoever calls, by ask, tell, timer
 * or reminder; not around hooks and callbacks. First the node's filters, then the type's: `before`
 * in this order, `after` in the other one. They may read the turn and its context, set that, ask,
 * measure; they do not reply. Types without filters pay nothing. */
typedef struct troupe_filter {
    const char *name; /* for words */
    /* Another status than OK refuses the call, with words by troupe_fail: it ends NOT_DONE with
     * this status, and neither later filters nor the method run. That is no failure of the actor:
     * supervision does not see it. NULL: lets all pass. */
    troupe_status (*before)(troupe_turn *turn, void *user);
    /* With what the method returned, or the filter that refused; only if its own `before` let the
     * call pass. After a failure it cannot wait: asks and sleeps end with INTERRUPTED. A panic
     * leaves it out; what must happen in any case is for troupe_defer. NULL: none. */
    void (*after)(troupe_turn *turn, troupe_status status, void *user);
    void *user;
} troupe_filter;

#define TROUPE_FILTERS(array)                              \
    .filters = (array), .filter_size = sizeof((array)[0]), \
    .filter_count = sizeof(array) / sizeof((array)[0])

typedef struct troupe_type {
    size_t size; /* set by TROUPE_TYPE */
    const char *name;
    size_t state_size; /* bytes of state, zeroed at activation; 0: none */
    /* What describes the state (TROUPE_STATE sets both): a fresh activation has its defaults, what
     * is stored is its binary form, and what it owns (from the allocator NULL) is freed. State that
     * owns something is, when a turn fails, not put back by bytes: types that persist every turn
     * load it anew from their last commit, others keep what the turn wrote. */
    const troupe_schema *schema;
    const troupe_method *methods; /* set by TROUPE_METHODS */
    size_t method_size;
    size_t method_count;
    troupe_method_run *otherwise; /* catch-all for other names: troupe_turn_method tells which */
    troupe_status (*on_activate)(troupe_turn *turn, void *state);
    /* Runs before the save; again, when the save failed and the actor stayed active. In types that
     * persist every turn an ask of it leaves when what it did so far is stored (if it cannot be,
     * the ask ends with that status), and what it tells when the save is durable, never without. */
    void (*on_deactivate)(troupe_turn *turn, void *state, troupe_reason reason);
    /* Writes what is to be stored: at deactivation, after on_deactivate, and in types that commit
     * while they live at the end of each turn that may write and where it waits. NULL: the state's
     * bytes. State behind hooks is not put back when a turn fails (the call's outcome is then
     * UNKNOWN; in EVERY_TURN the actor is loaded again): check first, then write. */
    troupe_status (*save)(troupe_turn *turn, const void *state, troupe_writer *writer);
    troupe_status (*load)(troupe_turn *turn, void *state, troupe_slice saved); /* goes with save */
    /* Frees what the state owns. Called once at the end of each activation, whatever ended it:
     * after on_deactivate and the save, or instead of them when it ends by failure. */
    void (*discard)(void *state);
    troupe_persist persist;
    /* EVERY_N: turns from save to save. EVERY_TURN with retention: commits from one kept snapshot
     * to the next; 0: each. */
    uint32_t snapshot_interval;
    troupe_retention retention;
    troupe_reentrancy reentrancy;
    bool keep_on_failure; /* a failing turn does not restore the state's bytes; for states that own
                             memory. In EVERY_TURN such a turn loads the actor again */
    uint64_t idle;        /* 0: the node's; TROUPE_NEVER */
    uint32_t mailbox_limit; /* messages; 0: the node's */
    uint32_t batch;     /* turns in a row before others get their turn; 0: the node's turn_batch */
    /* 0: the node's; else turns of this type, its hooks among them, start on a fiber of their own,
     * of so many bytes; at most 1 GiB */
    size_t stack_size;
    size_t arena_limit; /* of a turn's and of an activation's arena, bytes; 0: the node's */
    troupe_supervision supervision;
    /* Stateless workers: at most so many activations of one id at a time on a node, up to
     * TROUPE_WORKERS_MAX, spread over the shards; 0: one, as usual. A turn's call goes to one on
     * the turn's own shard (on another, if there are fewer workers than shards), a call from
     * outside to the shards in turn: there to an idle one, else a new one, else the one with the
     * least to do. Each has memory, timers and an idle age of its own. Nothing holds for all: no
     * order between calls, no state in common, no persistence (refused), no once, no reminder. */
    uint32_t stateless_workers;
    const troupe_filter *filters; /* set by TROUPE_FILTERS; at most 64; copied */
    size_t filter_size;
    size_t filter_count;
    troupe_placing placement; /* which node of a cluster; <troupe/placement.h>. Zeros: the node's */
    void *user;               /* troupe_turn_user */
} troupe_type;

#define TROUPE_WORKERS_MAX 1024

#define TROUPE_TYPE(type_name) .size = sizeof(troupe_type), .name = (type_name)
/* `TROUPE_STATE(struct account, account_fields)`: the state and its table in one line; what follows
 * is as in TROUPE_SCHEMA (`.version = 2`, `.upcast = …`). */
#define TROUPE_STATE(...) TROUPE_STATE_(__VA_ARGS__, .reserved_ = 0)
#ifdef __cplusplus
#define TROUPE_STATE_(record, array, ...)                                               \
    .state_size = sizeof(record), .schema = []() -> const troupe_schema * {             \
        static const troupe_schema schema = TROUPE_SCHEMA_(record, array, __VA_ARGS__); \
        return &schema;                                                                 \
    }()
#else
#define TROUPE_STATE_(record, array, ...) \
    .state_size = sizeof(record),         \
    .schema = &(const troupe_schema)TROUPE_SCHEMA_(record, array, __VA_ARGS__)
#endif
#define TROUPE_METHODS(array)                              \
    .methods = (array), .method_size = sizeof((array)[0]), \
    .method_count = sizeof(array) / sizeof((array)[0])

/* ------------------------------------------------------------------------------------------
 * Nodes
 */
struct troupe_log_line;
struct troupe_lifecycle;

/* Every field has a default; `troupe config --defaults` prints the table with limits and meaning.
 */
typedef struct troupe_node_options {
    size_t size;                       /* set by TROUPE_NODE_OPTIONS */
    const char *name;                  /* "node-1" */
    bool driven;                       /* no threads: one shard, run by troupe_node_poll */
    uint32_t shards;                   /* 0: one per core */
    const troupe_allocator *allocator; /* NULL: malloc; must outlive the node */
    const char *storage;               /* "memory:" */
    uint32_t store_limit;              /* operations waiting for the store */
    uint64_t store_open_timeout;       /* how long the opening of the store may take */
    uint32_t once_window;              /* once keys that an actor remembers */
    uint64_t max_clock_skew;  /* answers of calls once are kept so long beyond their deadline */
    uint32_t outbox_limit;    /* outbox messages of an actor under way */
    uint32_t senders_limit;   /* senders of outbox messages that an actor remembers */
    uint64_t prune_interval;  /* from one look for snapshots beyond their retention to the next */
    uint32_t reminders_limit; /* reminders of an actor */
    /* So often the store is asked who must be woken; TROUPE_NEVER: only at start, and in a cluster
     * when a member leaves or has gone. */
    uint64_t wake_scan;
    uint64_t max_actors; /* active at once; the least recently used idle ones go first */
    uint64_t memory_limit; /* bytes of activations, messages and state; as above. What the most of
                              them took (`reserved` of troupe_stats) is used again, and goes back to
                              the allocator when the node closes */
    uint64_t idle;         /* age at which an idle actor is deactivated */
    uint64_t ask_timeout;
    uint32_t mailbox_limit; /* messages waiting for one actor */
    uint64_t mailbox_bytes; /* bytes waiting for one actor */
    uint32_t link_limit;    /* messages under way from one shard to another */
    uint32_t inbox_limit;   /* messages under way from outside threads to one shard */
    uint32_t max_asks;      /* pending asks per shard */
    uint32_t max_fibers;    /* parked turns per shard; on kernels before 6.13 lowered to what
                               vm.max_map_count allows */
    uint64_t max_message;   /* bytes of one payload */
    uint64_t stack_size;    /* bytes of a fiber's stack */
    uint64_t arena_limit;
    uint32_t turn_batch;
    uint64_t spin;          /* an idle shard polls so long before it sleeps */
    uint64_t long_turn;     /* turns without a park that take longer are logged */
    uint64_t stuck_turn;    /* turns that still run after this are reported while they run */
    uint64_t deadlock_wait; /* an ask that waits so long behind a parked turn looks for a cycle;
                               TROUPE_NEVER: off */
    uint64_t drain_timeout; /* troupe_node_close waits so long for turns to end */
    uint32_t blocking_threads;
    uint32_t blocking_limit; /* jobs waiting for a thread */
    const char *cluster;     /* "": alone; else where its nodes agree: "file:FOLDER" */
    const char *cluster_name, *cluster_token, *listen, *advertise;
    const char *tls_certificate, *tls_key, *tls_authority; /* PEM files; "": clear text */
    bool allow_clear_text;          /* beyond loopback; from nodes without certificates */
    uint64_t lease_ttl;             /* a node unheard of for so long is replaced */
    uint64_t join_timeout;          /* of becoming a member */
    uint32_t max_connections;       /* with other nodes, per shard */
    uint64_t max_idle_time, keep_alive; /* silence, until one is closed, is tried */
    uint32_t batch_limit;           /* messages for another node in one batch */
    uint64_t batch_delay;           /* so long they wait for others; 0: for what a pass has */
    const char *compression;        /* of batches for other nodes: "none", "lz4", "zstd" */
    uint64_t compress_above;        /* bytes of a batch */
    const char *http, *http_token;  /* "": no calls over HTTP; callers need no token */
    bool http_allow_open;           /* beyond loopback without a token */
    const char *http_tls_certificate, *http_tls_key, *http_tls_authority; /* PEM; "": clear text */
    bool http_allow_clear_text;     /* beyond loopback */
    uint32_t http_threads;          /* that read and write */
    uint32_t http_connections;      /* at once */
    uint32_t http_calls;            /* under way at once */
    uint32_t http_type_calls;       /* of them of one type; 0: as many */
    uint32_t http_rate_caller;      /* calls a second of one address, type, partition; 0: as come */
    uint32_t http_rate_type, http_rate_partition;
    uint64_t http_bytes;            /* of bodies and answers at once */
    uint64_t http_timeout;          /* of silent connections and of requests that are not whole */
    uint32_t cache_size;            /* entries of the location cache; matters between nodes */
    const char *cache_policy;       /* "lru", "tinylfu" */
    uint64_t cache_ttl;             /* places older than that are not believed; TROUPE_NEVER */
    uint64_t cache_refresh;         /* so long before, those in use are asked for anew; 0: not */
    const char *placement;          /* policy; <troupe/placement.h> */
    const char *labels;             /* of this node, for placement: "gpu=true, region=eu" */
    uint64_t health_check_interval; /* of peers; matters between nodes */
    uint64_t rebalance_interval;    /* of actors between nodes; TROUPE_NEVER: off */
    uint32_t migration_threshold;   /* per cent of the mean by which loads must differ for that */
    const char *
        log; /* "warn": off, error, warn, info, debug; with ",text" as text instead of JSON lines */
    void (*on_log)(void *user,
        const struct troupe_log_line *line); /* [any thread] instead of standard error */
    void *on_log_user;
    void (*on_died)(void *user); /* [a thread of the node] it is out of its cluster, has no effects
                                    any more, and should be closed and opened anew */
    void *on_died_user;
    const troupe_filter *filters; /* of all types; set by TROUPE_FILTERS; at most 64; copied */
    size_t filter_size;
    size_t filter_count;
    bool no_metrics; /* leaves out sampled times; for measuring what they cost */
} troupe_node_options;

#define TROUPE_NODE_OPTIONS .size = sizeof(troupe_node_options)
#ifdef __cplusplus
}
/* C++ has no compound literals; a braced list does the same. */
template <size_t N> struct troupe_types_of {
    const troupe_type *list[N];
};
template <class... types> troupe_types_of(types...) -> troupe_types_of<sizeof...(types)>;
#define TROUPE_TYPES(...)                \
    (troupe_types_of{__VA_ARGS__}.list), \
        (sizeof(troupe_types_of{__VA_ARGS__}) / sizeof(const troupe_type *))
extern "C" {
#else
#define TROUPE_TYPES(...)                        \
    ((const troupe_type *const[]){__VA_ARGS__}), \
        (sizeof((const troupe_type *const[]){__VA_ARGS__}) / sizeof(const troupe_type *))
#endif

/* [any thread] Starts a node with these actor types. `options` may be NULL. The types and what they
 * point to must outlive the node. USAGE: an option or a type is wrong: a line on
 * standard error says which and why. NO_MEMORY. UNAVAILABLE: threads, or the storage. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_open(const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count, troupe_node **ret_node);
/* As troupe_node_open, and on failure writes into `error` what is wrong and what to do. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_open_explained(const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count, troupe_node **ret_node, char *error,
    size_t error_size);

/* [any thread but the node's own] Refuses new outside calls (CLOSED), ends what was accepted,
 * deactivates all actors (state is saved), stops the threads and frees the node. Turns that have
 * not ended after drain_timeout end with INTERRUPTED. A job of troupe_blocking is waited for
 * however long it runs, as it may use what its turn owns: one that can take long has to end by
 * itself. No outside call may be under way in other threads' hands afterwards. NULL is a no-op. */
TROUPE_API void troupe_node_close(troupe_node *node);

/* Driven nodes: the host's loop runs the node. One thread at a time.
 * troupe_node_poll works for at most about `budget` (0: one pass) and returns how long nothing is
 * due: 0 call again at once, TROUPE_NEVER nothing is due until the descriptor becomes readable. */
TROUPE_API uint64_t troupe_node_poll(troupe_node *node, uint64_t budget);
TROUPE_API int troupe_node_descriptor(
    troupe_node *node); /* readable when there is work from outside; -1: none */

/* Asks an actor from outside and blocks the calling thread; on a driven node it polls the node
 * meanwhile. Uses the node's own client. [any thread that is not the node's; in a turn or a
 * callback: USAGE] The answer is filled whatever the status; release it. Statuses: NO_TYPE,
 * NO_METHOD, USAGE (malformed id), TOO_LARGE, BUSY and NO_MEMORY (try again later), TIMEOUT,
 * EXPIRED, CANCELLED, WITHDRAWN, DEADLOCK, UNAVAILABLE, PANIC, POISONED, INTERRUPTED, CLOSED, or
 * what the method returned. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_ask(troupe_node *node, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *ret_answer);
/* Statuses: as far as this side knows them at once: NO_TYPE, NO_METHOD, USAGE, TOO_LARGE, BUSY,
 * NO_MEMORY, CLOSED. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_tell(troupe_node *node, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options);

/* A client is a sender: what one client tells one actor arrives in the order of the calls. [any
 * thread; calls of one client from several threads have no order among them] Clients are closed
 * before their node. */
TROUPE_API TROUPE_CHECK troupe_status troupe_client_open(
    troupe_node *node, troupe_client **ret_client);
TROUPE_API void troupe_client_close(troupe_client *client);
TROUPE_API TROUPE_CHECK troupe_status troupe_client_ask(troupe_client *client, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *ret_answer);
/* The callback runs exactly once if the call was accepted (OK), never otherwise: on the shard's
 * thread, which it must not block; the answer is valid during the callback only. */
typedef void troupe_client_done(void *user, const troupe_answer *answer);
TROUPE_API TROUPE_CHECK troupe_status troupe_client_ask_callback(troupe_client *client,
    troupe_id id, const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_client_done *done, void *user);
TROUPE_API TROUPE_CHECK troupe_status troupe_client_tell(troupe_client *client, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options);

/* ------------------------------------------------------------------------------------------
 * In a turn: answering
 */

/* [turn] Replies to the ask; copies. The reply leaves when the turn ends well. For a tell: no-op.
 * USAGE: replied already. */
TROUPE_API troupe_status troupe_reply_bytes(troupe_turn *turn, troupe_slice payload);
/* NULL: TROUPE_BYTES. */
TROUPE_API troupe_status troupe_reply_typed(
    troupe_turn *turn, const char *content_type, troupe_slice payload);
/* As TROUPE_TEXT. */
TROUPE_API troupe_status troupe_reply_format(troupe_turn *turn, const char *format, ...)
    TROUPE_PRINTF(2, 3);
/* As TROUPE_JSON, by jansson's pack format: troupe_reply_json(turn, "{s:I}", "balance",
 * (json_int_t)5). */
TROUPE_API troupe_status troupe_reply_json(troupe_turn *turn, const char *pack, ...);
/* Passes an answer on as one's own, also a failed one; takes it (moves) in any case. Returns its
 * status. */
TROUPE_API troupe_status troupe_reply_take(troupe_turn *turn, troupe_answer *answer);

/* [turn] Fails the call with words; returns `status`, for `return troupe_fail(…)`. Application
 * codes are TROUPE_APPLICATION and above. USAGE: replied already. */
TROUPE_API troupe_status troupe_fail(
    troupe_turn *turn, troupe_status status, const char *format, ...) TROUPE_PRINTF(3, 4);
/* [turn] Ends this turn as a bug: abandons its stack (deferred clean-ups run), asks the supervision
 * what to do. The caller gets PANIC. Never returns. What the stack owned without troupe_defer is
 * lost. */
TROUPE_NORETURN TROUPE_API void troupe_panic(troupe_turn *turn, const char *format, ...)
    TROUPE_PRINTF(2, 3);
#define TROUPE_REQUIRE(turn, condition)                                                      \
    do {                                                                                     \
        if (!(condition))                                                                    \
            troupe_panic((turn), "%s:%d: %s does not hold", __FILE__, __LINE__, #condition); \
    } while (0)
/* Returns the status from the surrounding method unless it is OK. */
#define TROUPE_TRY(expression)                    \
    do {                                          \
        troupe_status troupe_try_ = (expression); \
        if (troupe_try_ != TROUPE_OK)             \
            return troupe_try_;                   \
    } while (0)

/* ------------------------------------------------------------------------------------------
 * In a turn: calling
 */

/* [turn] Asks and waits: parks this fiber, not the thread. Statuses as troupe_node_ask; DEADLOCK
 * names the cycle in the message. An ask is a commit point, and in types with reentrancy or
 * read-only methods others may run meanwhile. */
TROUPE_API TROUPE_CHECK troupe_status troupe_ask(troupe_turn *turn, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *ret_answer);
TROUPE_API TROUPE_CHECK troupe_status troupe_ask_ref(troupe_turn *turn, const troupe_ref *ref,
    troupe_selector method, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *ret_answer);
/* [turn] Asks and goes on. The answer comes as a turn of this actor of its own: exactly once if
 * this returned OK, unless the activation ends before by failure. The answer is released by the
 * runtime. An actor with such asks pending is not idle. */
typedef void troupe_turn_done(
    troupe_turn *turn, void *state, const troupe_answer *answer, void *user);
TROUPE_API TROUPE_CHECK troupe_status troupe_ask_callback(troupe_turn *turn, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_turn_done *done, void *user);
/* One of the asks of a gather. */
typedef struct troupe_request {
    troupe_id id;
    const char *method;
    troupe_slice payload;
    const troupe_call_options *options; /* NULL: none. A retry or an outbox is USAGE */
} troupe_request;

typedef struct troupe_gather_options {
    size_t size;      /* set by TROUPE_GATHER_OPTIONS */
    size_t need;      /* so many answers that are OK suffice; 0: wait for all, whatever they are */
    uint64_t timeout; /* of each ask, if its own is longer; 0: their own */
} troupe_gather_options;

/* `&(troupe_gather_options){ TROUPE_GATHER_OPTIONS, .need = 2 }` */
#define TROUPE_GATHER_OPTIONS .size = sizeof(troupe_gather_options)

/* [turn] Asks `count` actors at once and waits once: until all have ended, each as with troupe_ask,
 * or until `need` answers are OK. Those that are not there by then are cancelled and say CANCELLED
 * (outcome UNKNOWN). All `count` answers are filled, whatever is returned; release each. OK: `need`
 * (0: all) are OK; else the status of the first that is not. USAGE: `need` is above `count`, or a
 * request's options. A commit point as troupe_ask. What exceeds max_asks ends BUSY. If the turn's
 * caller gives up, all are cancelled. A gather that needs all is part of the search for deadlocks;
 * one that needs fewer is not: there the deadline ends it. */
TROUPE_API TROUPE_CHECK troupe_status troupe_gather(troupe_turn *turn,
    const troupe_request *requests, size_t count, const troupe_gather_options *options,
    troupe_answer *ret_answers);
/* [turn] Statuses: NO_TYPE, NO_METHOD, USAGE, TOO_LARGE, NO_MEMORY, and BUSY: the link to the other
 * shard, the actor's mailbox, or (`outbox`) this actor's outbox is full by what this shard knows;
 * sleep or yield, then try again, or set a retry. */
TROUPE_API TROUPE_CHECK troupe_status troupe_tell(troupe_turn *turn, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options);
TROUPE_API TROUPE_CHECK troupe_status troupe_tell_ref(troupe_turn *turn, const troupe_ref *ref,
    troupe_selector method, troupe_slice payload, const troupe_call_options *options);

/* What becomes of the answer of troupe_ask_then. */
typedef struct troupe_then {
    size_t size;      /* set by TROUPE_THEN */
    const char *done; /* method of this actor that runs with the answer's payload */
    const char
        *failed; /* and if the request failed: with its words; troupe_turn_answer says more */
    troupe_slice context; /* given to both (troupe_turn_context); at most 4 KiB */
} troupe_then;

/* `&(troupe_then){ TROUPE_THEN, .done = "transferred", .failed = "refund" }` */
#define TROUPE_THEN .size = sizeof(troupe_then)

/* [turn] Asks, and survives any crash: the request is committed with this turn, and its answer
 * comes as a turn of this actor, exactly once: of `done`, or of `failed` with what went wrong, also
 * when `timeout` (0: 14 days) is over: UNKNOWN. A target that persists every turn serves it once,
 * others at least once. For types that persist every turn (else USAGE). Nothing is sent before the
 * turn has ended well. Statuses: NO_TYPE, NO_METHOD (also of `done` and
 * `failed`), TOO_LARGE, NO_MEMORY, BUSY: outbox_limit messages are under way. */
TROUPE_API TROUPE_CHECK troupe_status troupe_ask_then(troupe_turn *turn, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    const troupe_then *then);

/* [turn] Parks. CANCELLED: the caller gave up or the node closes. BUSY: no fiber is free. */
TROUPE_API troupe_status troupe_sleep(troupe_turn *turn, uint64_t duration);
/* [turn] Parks until the others that are ready have had their turn. */
TROUPE_API troupe_status troupe_yield(troupe_turn *turn);
/* [turn] Runs `job` on a thread of the node's pool and parks until it has returned. It must not
 * touch the turn or the state. Nothing ends it early, neither a cancel nor a node that closes: both
 * wait for it. BUSY: blocking_limit jobs wait already. */
typedef void troupe_job(void *argument);
TROUPE_API TROUPE_CHECK troupe_status troupe_blocking(
    troupe_turn *turn, troupe_job *job, void *argument);

/* [turn] A timer of this activation: `method` runs as a turn with `payload` (copied, at most 1 KiB)
 * after `first`, then every `period` (0: once). It ends with the activation, and does not keep it
 * from idling. A tick that finds the last one still waiting is left out. BUSY: 64 timers exist. */
typedef struct troupe_timer {
    uint64_t number; /* 0: none */
} troupe_timer;
TROUPE_API TROUPE_CHECK troupe_status troupe_timer_start(troupe_turn *turn, const char *method,
    troupe_slice payload, uint64_t first, uint64_t period, troupe_timer *ret_timer);
TROUPE_API bool troupe_timer_stop(troupe_turn *turn, troupe_timer timer); /* false: it is gone */

/* [turn] `cleanup(argument)` runs when this turn ends, however it ends (last registered first).
 * NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_defer(
    troupe_turn *turn, void (*cleanup)(void *argument), void *argument);

/* [turn] Deactivates this actor as soon as nothing waits for it. */
TROUPE_API void troupe_deactivate(troupe_turn *turn);

/* ------------------------------------------------------------------------------------------
 * In a turn: where am I
 */
TROUPE_API troupe_id troupe_turn_self(const troupe_turn *turn);   /* borrowed until the turn ends */
TROUPE_API troupe_id troupe_turn_caller(const troupe_turn *turn); /* empty type: from outside */
TROUPE_API troupe_slice troupe_turn_method(const troupe_turn *turn);
TROUPE_API troupe_slice troupe_turn_content_type(const troupe_turn *turn);
/* In a method that a troupe_then named: how the request ended, and its context. Else OK, DONE,
 * empty. */
TROUPE_API troupe_status troupe_turn_answer(const troupe_turn *turn, troupe_outcome *ret_outcome);
TROUPE_API troupe_slice troupe_turn_context(const troupe_turn *turn);
/* The request context: small named values, set outside (troupe_call_options) or in a turn, that go
 * along with all asks and tells that the turn makes afterwards, to other shards too, and along with
 * what those call in turn; the turns of troupe_ask_callback, and those that a troupe_then names,
 * have the context of the request. Outbox messages keep it through a crash. What an answer's sender
 * set does not come back; timers and the hooks of an activation begin with none. For names of
 * tenants, users, traces: each message that carries it copies it, and takes the longer way. */
/* [turn] Borrowed until the turn sets another value, or ends. `data` is NULL: it has none. */
TROUPE_API troupe_slice troupe_context_get(const troupe_turn *turn, const char *name);
/* [turn] Copies; an empty value takes it out. USAGE: the name is not 1 to 64 bytes. TOO_LARGE:
 * beyond 4 KiB in all, as in troupe_call_options; nothing was changed. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_context_set(
    troupe_turn *turn, const char *name, troupe_slice value);
TROUPE_API bool troupe_turn_is_ask(const troupe_turn *turn);
TROUPE_API uint64_t troupe_turn_remaining(
    const troupe_turn *turn); /* until the deadline; TROUPE_NEVER: none */
TROUPE_API bool troupe_turn_is_cancelled(const troupe_turn *turn);
TROUPE_API void *troupe_turn_user(const troupe_turn *turn); /* of the type */
TROUPE_API troupe_node *troupe_turn_node(const troupe_turn *turn);
TROUPE_API uint32_t troupe_turn_shard(const troupe_turn *turn);
/* Clock and chance of the world that the node runs in: real, or simulated and repeatable. */
TROUPE_API uint64_t troupe_now(const troupe_turn *turn);  /* monotonic */
TROUPE_API uint64_t troupe_wall(const troupe_turn *turn); /* since 1970 */
TROUPE_API uint64_t troupe_random(troupe_turn *turn);

/* [turn] Memory that lasts as long as the turn, 16-aligned; never freed by itself. Beyond
 * arena_limit the turn panics: returns never NULL. */
TROUPE_API void *troupe_turn_alloc(troupe_turn *turn, size_t size);
/* [turn] The same for as long as the activation. */
TROUPE_API void *troupe_actor_alloc(troupe_turn *turn, size_t size);

#ifdef __cplusplus
}
#endif

#include "troupe/json.h"
#include "troupe/reminders.h"
#endif
