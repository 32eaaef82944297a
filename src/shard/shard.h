/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart: one shard, with its activations, turns, pending asks and links. This header is for the
 * files of src/shard and for src/node, which opens and closes shards; nothing else includes it.
 * What each file of src/shard does is a table of ARCHITECTURE.md; each names what it gives below.
 *
 * Invariants
 * 1. A shard's fields are touched by its own thread only, except those marked [any].
 * 2. At most one turn of a shard runs; `running` is it. All others are parked, and in `parked`.
 * 3. Nothing on the stack above a method call owns a resource: a panic abandons that stack.
 */
#ifndef TP_SHARD_SHARD_H
#define TP_SHARD_SHARD_H

#include "base/cell.h"
#include "base/histogram.h"
#include "base/index.h"
#include "base/list.h"
#include "base/mpring.h"
#include "base/mpsc.h"
#include "base/pool.h"
#include "base/prng.h"
#include "base/spsc.h"
#include "base/wheel.h"
#include "observe/log.h"
#include "os/env.h"
#include "os/fiber.h"
#include "shard/activation.h"
#include "shard/foreign.h"
#include "shard/full.h"
#include "shard/message.h"
#include "shard/moment.h"
#include "shard/type.h"
#include "store/port.h"
#include <troupe/inspect.h>

#define TP_ARRIVALS      512 /* messages that wait to be taken in; a power of two */
#define TP_AHEAD         32  /* of these are looked up before their turn; a power of two */
#define TP_RECENT        256 /* direct-mapped: hash to activation, for the hot ones */
#define TP_HINTS         16  /* direct-mapped: names to types, and to methods */
#define TP_SNAPSHOT      256 /* state bytes kept on the stack of a turn */
#define TP_SAMPLE        128 /* one in so many is timed: turns, asks, messages */
#define TP_TIMERS_MAX    64  /* per actor */
#define TP_FRAMES_MAX    32  /* of a parked stack that are shown */
#define TP_SUBSCRIPTIONS 16
#define TP_WENT          64
#define TP_HELD_BACK     16384 /* bits, one for the hashes that share it */
#define TP_MARKS         256 /* full mailboxes of other nodes that a shard remembers */

/* A call's timeout below this begins at a reading of the clock, not at its last one. */
#define TP_SHORT_TIME TROUPE_SECONDS(1)

typedef struct tp_away tp_away; /* away.h */
typedef struct tp_prune tp_prune;
typedef struct tp_sleepers tp_sleepers; /* wake.c */

/* What all shards of a node share; immutable after the start but for the parts marked [any]. */
struct tp_shared {
    tp_env *env;
    const troupe_allocator *allocator;
    troupe_node_options options;
    tp_types types;
    tp_shard **shards;
    uint32_t shard_count;
    tp_store_port *store;
    tp_log *log;
    troupe_node *node;
    uint64_t started;
    bool hostile;                 /* pools in direct mode */
    _Atomic uint32_t closing;     /* [any] tp_closing */
    _Atomic uint64_t lease_until; /* [any] env's boot; TP_NEVER: the node is alone */
    _Atomic uint64_t refs;        /* [any] made, ever */
    tp_foreign foreign;           /* [any] types of other members */
    char apart[TP_CACHE_LINE];
    _Atomic uint32_t worker_turns; /* [any] calls from outside to types of stateless workers */
};

enum tp_closing {
    TP_OPEN,
    TP_CLOSING,  /* outside calls are refused, timers rest; what was accepted ends */
    TP_HURRYING, /* parks end with INTERRUPTED */
    TP_ENDING,   /* no activation is created any more; those that exist end */
    TP_ENDED,    /* steps return TP_STEP_DONE */
};

/* ---- turns --------------------------------------------------------------------------------- */
typedef enum tp_turn_kind {
    TP_TURN_METHOD,
    TP_TURN_ACTIVATE,
    TP_TURN_DEACTIVATE,
    TP_TURN_CALLBACK
} tp_turn_kind;

typedef enum tp_wait {
    TP_WAIT_NONE,
    TP_WAIT_ASK,
    TP_WAIT_GATHER, /* up to here: for answers */
    TP_WAIT_SLEEP,
    TP_WAIT_YIELD,
    TP_WAIT_BLOCKING,
    TP_WAIT_STORAGE,
} tp_wait;

typedef struct tp_defer {
    struct tp_defer *next;
    void (*cleanup)(void *argument);
    void *argument;
} tp_defer;

/* Whom a call is for, but for the method. */
typedef struct tp_target {
    const tp_type *type;
    troupe_slice partition, key;
    uint64_t hash;
    uint32_t shard;
} tp_target;

/* What is called. */
typedef struct tp_callee {
    troupe_slice name; /* for the catch-all only */
    uint16_t number;
} tp_callee;

static inline troupe_slice tp_callee_name(const tp_target *to, tp_callee called)
{
    return called.number == TP_METHOD_OTHER ? called.name : to->type->methods[called.number].name;
}

struct troupe_turn {
    tp_shard *shard;
    tp_activation *actor;
    tp_message *message; /* NULL in hooks */
    uint64_t deadline;
    uint64_t chain;
    uint64_t began;
    troupe_turn *next; /* of the same actor */
    uint32_t pulse;
    uint8_t kind; /* tp_turn_kind */
    bool read_only;
    bool timed;            /* `began` was read from the clock */
    bool sampled;          /* for the histogram */
    struct {               /* cleared together when it begins */
        tp_message *reply; /* staged until the turn ends well */
        tp_defer *defers;
        void *arena;
        void *before;    /* snapshot of the state, or NULL */
        uint64_t parted; /* the first commit that was begun in its middle; 0: none */
        tp_wait wait;
        bool has_sent; /* asks or tells: a failure cannot take them back */
        union {        /* what its end must look at; `special` is 0 in most turns */
            struct {
                bool failed; /* troupe_fail was called */
                bool parked_once;
                bool cancelled;
                bool interrupted; /* the node hurries: each park fails at once */
                bool panicked : 1;
                bool refused : 1; /* by a filter, or a load: its method or hook did not run */
                bool left : 1;    /* nobody returns to its frame: its end settles the actor */
                bool lost : 1;    /* what it rests on was not stored */
                bool holds;       /* clean-ups, an arena, or a block for `before` */
                union {           /* what it sends cannot go the short way */
                    struct {
                        bool commits; /* its type does, while it lives */
                        bool carries; /* a request context */
                    };
                    uint16_t detour;
                };
            };
            uint64_t special;
        };
    };
    /* set if it carries */
    char *baggage; /* baggage.h */
    size_t baggage_size;
    bool baggage_is_own; /* in its arena, with room for TP_BAGGAGE_MAX */
    /* set if it commits */
    tp_fifo changes; /* tp_entry: of rows, for the next commit point */
    tp_fifo held;    /* requests that leave with the next commit point */
    bool remembered; /* that its message was handled is in a commit, or need not be */
    uint32_t held_count;
    uint32_t staged;        /* messages of the outbox among the changes */
    tp_fifo twins;          /* messages with the same once key: they wait for its end */
    troupe_writer *written; /* by the save hook, in the turn's arena */
    /* set when it parks */
    tp_alarm alarm;     /* of a sleep */
    size_t arena_bytes; /* while arena is not NULL */
    uint64_t prober;    /* the search for a cycle that came by last; 0: none */
    tp_fiber *fiber;    /* that it runs on; its own one if `own_fiber` */
    const char *floor;  /* of the frames above it that the resume comes back to */
    troupe_status wait_status;
    tp_link parked; /* in the shard's list */
    tp_fifo_node ready;
    uint64_t parked_at;
    tp_call wait_call;        /* TP_WAIT_ASK */
    struct tp_gather *gather; /* TP_WAIT_GATHER */
    troupe_answer *wait_answer;
    const tp_target *wait_target; /* what the ask waits for; borrowed from the parked stack */
    tp_callee wait_callee;
    uint64_t yield_until; /* of a yield: when so many were popped off the run queue; while it is in
                             `yielding`: when so many arrivals were taken in */
    _Alignas(16) unsigned char snapshot[TP_SNAPSHOT];
};

/* Does anybody wait for what it answers? */
static inline bool tp_turn_is_asked(const troupe_turn *turn)
{
    const tp_message *message = turn->message;
    if (message == NULL || turn->kind != TP_TURN_METHOD)
        return false;
    if (TP_LIKELY(!(message->flags & TP_MESSAGE_SLIP)))
        return message->kind == TP_ASK;
    return message->kind == TP_ASK || (tp_message_slip(message)->flags & TP_SLIP_THEN);
}

/* ---- asks ---------------------------------------------------------------------------------- */
typedef enum tp_ask_kind {
    TP_ASK_FREE,
    TP_ASK_TURN,
    TP_ASK_CALLBACK,
    TP_ASK_GATHER,
    TP_ASK_OUTSIDE
} tp_ask_kind;

typedef struct tp_callback {
    troupe_turn_done *done;
    void *user;
    tp_activation *actor;
    /* Carries a failure that is found here, so that it cannot fail for want of memory; its names
     * are those of whom it asks. */
    tp_message *spare;
    uint32_t generation; /* of the activation's extras */
    uint32_t baggage_size;
    char baggage[]; /* of the turn that asked */
} tp_callback;

typedef struct tp_cancel_link tp_cancel_link;
typedef struct tp_again tp_again;
typedef struct tp_outside tp_outside;

typedef struct tp_ask {
    tp_alarm alarm; /* the deadline; in the line, `timer` is linked and due, but not set */
    uint32_t generation;
    uint32_t next_free;
    uint8_t kind;
    bool in_line;        /* its deadline is in `ask_line` */
    bool sampled;        /* for the histogram: `asked` was read from the clock */
    const tp_type *type; /* of the target */
    uint64_t hash;
    uint64_t asked; /* when: for youth, and the histogram */
    tp_cancel_link *cancel;
    tp_again *again; /* of a call once that the slot asks again; else NULL */
    union {
        troupe_turn *turn;
        tp_callback *callback;
        struct tp_gather_part *part; /* gather.h */
        tp_outside *outside;
    } waiter;
} tp_ask;

/* ---- what comes from other threads --------------------------------------------------------- */
typedef struct tp_inbound tp_inbound;
struct tp_inbound {
    tp_mpsc_node node;
    void (*arrive)(tp_shard *shard, tp_inbound *inbound); /* between turns */
};

enum { TP_OUTSIDE_PENDING, TP_OUTSIDE_ANSWERED, TP_OUTSIDE_LEFT };

/* What an answer that lives outside is in: the begin of its block. */
typedef struct tp_outside_block {
    const troupe_allocator *allocator;
    size_t size; /* with all that follows */
} tp_outside_block;

/* A call from outside, made by the calling thread out of the node's allocator. The shard gives it
 * back, but for a blocking ask that it answers: that goes back to the caller with the answer. */
struct tp_outside {
    tp_outside_block block; /* first: the owner of an answer that fits into the tail */
    tp_mpsc_node node;      /* among the blocks to be used again */
    const tp_type *type;
    uint64_t hash;
    uint64_t timeout; /* once its shard has taken it in: its deadline */
    uint64_t entered; /* 0: the clock was not read; then about when is told by `pulse` */
    troupe_cancel *cancel;
    tp_waiter *waiter;        /* of the blocking form; its caller's, unless that has left */
    troupe_client_done *done; /* of the callback form */
    void *user;
    _Atomic uint32_t state; /* of the blocking form: the shard answers, or the caller leaves */
    uint32_t pulse;         /* as the call was made */
    uint32_t payload_size;
    uint16_t baggage_size;
    uint16_t key_size;
    uint16_t method_size;
    uint16_t method;
    uint8_t content_size; /* without its 0 */
    uint8_t partition_size;
    uint8_t once_size;
    uint8_t errand; /* tp_errand */
    bool is_ask;
    bool asks_again; /* a call once, of the callback form */
    troupe_answer answer; /* of the blocking form; published by `state` and the waiter's signal */
    char tail[]; /* content type with its 0, key, partition, method, payload, once, baggage; later
                    the answer's */
};

/* ---- links to other shards ----------------------------------------------------------------- */
typedef struct tp_link_out {
    tp_spsc *ring; /* consumed by the other shard; NULL for oneself */
    tp_fifo
        waiting; /* replies and control that found the ring full; requests are refused meanwhile */
    bool staged;
} tp_link_out;

/* ---- the shard ----------------------------------------------------------------------------- */
typedef struct tp_counters {
#define X(name, text) tp_cell name;
    TROUPE_NODE_COUNTER_MAP(X)
#undef X
} tp_counters;

/* What a shard counts of one type; together, so that a turn touches one line. */
typedef struct tp_type_counters {
#define X(name, text) tp_cell name;
    TROUPE_TYPE_COUNTER_MAP(X)
#undef X
    tp_cell actors;      /* records, now */
    tp_cell timed, time; /* turns that were measured, and their ns */
} tp_type_counters;
_Static_assert(sizeof(tp_type_counters) == 64, "a line");

/* What is now, as the last passes left it. */
typedef struct tp_gauges {
    tp_cell actors, queued, parked, pending, fibers;
} tp_gauges;

/* How far it was at a moment, for rates. */
typedef struct tp_pace {
    uint64_t at, turns;
    uint64_t cpu; /* of the process */
} tp_pace;

typedef struct tp_subscription {
    uint64_t number;
    troupe_lifecycle_visit *visit;                /* NULL: of commits only */
    void (*committed)(void *user, uint64_t hash); /* NULL: of the lifecycle only */
    void *user;
} tp_subscription;

/* A type, and a method of a type, that were found by their names lately. */
typedef struct tp_name_hints {
    const tp_type *types[TP_HINTS];
    struct {
        const tp_type *type;
        uint32_t number;
    } methods[TP_HINTS];
} tp_name_hints;

/* An actor that was found lately. */
typedef struct tp_recent {
    uint64_t hash;
    tp_activation *actor; /* NULL: none */
    uint64_t ref;         /* the number of the ref that last led to it; 0: none */
    uint64_t unused;
} tp_recent;

/* Whom an arrival is for, as a look at the table said. */
typedef struct tp_found {
    tp_activation *actor; /* NULL: none */
    uint64_t departures;  /* as they were: if others went meanwhile, it may be gone */
} tp_found;

/* Why a shard takes no tells, and of the full ones no asks either: bits. */
typedef enum tp_crowding {
    TP_NOT_CROWDED = 0,
    TP_CROWDED_HERE = 1, /* it is at its limit and nothing is idle: any */
    TP_CROWDED_AWAY = 2, /* too much waits there for another node: those whose bit is held_back */
    TP_CROWDED_FULL = 4, /* mailboxes are: those of `full` */
    TP_CROWDED_SHORT = 8, /* it is beyond memory_limit and nothing can leave: any */
} tp_crowding;

struct tp_shard {
    tp_runner runner;
    tp_shared *shared;
    tp_env *env;
    tp_away *away; /* NULL: the node is alone */
    uint32_t number;
    uint64_t now; /* read at each pass, with each sampled turn, and when the pulse has moved */
    const _Atomic uint32_t *pulse_at; /* the env's */
    uint32_t pulse;                   /* as it was at that reading */
    bool simulated;                   /* the env traces and marks */
    bool times_all;                   /* each turn is timed: nobody moves its pulse while it runs */
    size_t max_message;
    uint64_t ask_timeout;

    /* turns */
    tp_fiber_pool fibers;
    tp_fiber *host; /* the thread's own stack, inside a step */
    tp_fiber *loop; /* runs the loop, or will when the step enters it */
    tp_fifo spares; /* tp_spare: loop fibers that wait in resume */
    uint32_t spare_count;
    tp_fiber *reserve;   /* fresh, for the next park */
    tp_fiber *abandoned; /* to be given back by whoever lands next */
    troupe_turn *running;
    /* For the watchdog: the actor whose step runs, NULL between steps, and the number of its
     * method. The record stays while `watchers` is not 0 (tp_activation_free waits). */
    _Atomic(const tp_activation *) watched; /* [any] publishes the record's type and id */
    _Atomic uint32_t watched_method;        /* [any] */
    _Atomic uint32_t watchers;              /* [any] */
    tp_fifo run_queue;                      /* activations with something to do */
    uint64_t run_pushed;                    /* onto the run queue, ever */
    uint64_t run_popped;
    tp_fifo ready;    /* parked turns whose wait is over */
    tp_fifo starving; /* activations that wait for a fiber */
    tp_fifo yielded;  /* parked turns that let the others go first */
    tp_fifo yielding; /* the same, while arrivals wait that were there before */
    tp_list parked;
    tp_list storings; /* operations of the store that turns wait for */
    uint32_t parked_count;
    int32_t turns_left;     /* of this pass; a batch of tells may run past it */
    int32_t share_end;      /* so many are left when the share is over */
    bool is_share_of_ready; /* else of those that begin */
    uint32_t sample; /* so many more until one is timed */
    uint64_t unique; /* the last number that was given by tp_shard_unique */
    tp_fifo commits; /* tp_durable: with something to send to the store */
    uint32_t commits_under_way;
    uint32_t loading_count;
    tp_list loadings;                      /* activations that load without a turn (loading.c) */
    troupe_store_op *loads, **loads_last;  /* those that are not with the store yet */
    tp_mpsc_node *answers, **answers_last; /* of a store that answers at once */
    tp_prune *prune;                       /* of the first shard, if any type keeps snapshots */
    tp_fifo acks;             /* acknowledgements of outbox messages to actors of this shard */
    struct {                  /* an ask of an actor that does nothing else, while its asker parks */
        tp_activation *actor; /* NULL: none */
        tp_message *message;
    } handed;
    troupe_turn *gated; /* the turn whose answer is being made, if it goes through a gate */
    tp_fifo probes;     /* messages to oneself: one after the other, not one in the other */

    /* messages */
    tp_pool pool;
    tp_message *arrivals[TP_ARRIVALS]; /* a ring; counted by these, ever: */
    uint64_t arrived, taken_in, looked_up;
    tp_found found[TP_AHEAD]; /* of those that are looked up, and not taken in yet */
    tp_link_out *links;       /* by shard */
    tp_spsc **incoming;       /* by shard; owned by the receiver */
    struct {                  /* full mailboxes of other nodes, the oldest word first */
        uint64_t hash;
        uint64_t until; /* then it is forgotten, and said again if it is still so */
    } marks[TP_MARKS];
    uint32_t mark_count;
    tp_alarm marks_due;
    uint64_t sent, received; /* over links: for the closing */

    /* actors */
    tp_index table;
    tp_recent recent[TP_RECENT];
    uint64_t went[TP_WENT]; /* in a cluster: hashes whose requests went to the directory lately */
    tp_name_hints hints;
    tp_list recency;     /* least recently used first */
    uint64_t active;     /* records */
    uint64_t departures; /* records that went, ever */
    uint64_t max_active;
    uint64_t leaving; /* records in a deactivation that is under way */
    uint64_t queued;  /* messages in mailboxes */
    size_t memory_limit;
    size_t memory_bar; /* who would add to more than that is refused: the limit, or some more */
    bool was_crowded, is_short;
    uint64_t short_since;
    _Atomic uint8_t crowded; /* [any] tells to it are refused: tp_crowding */

    /* asks */
    tp_ask **asks; /* chunks of 1,024 */
    uint32_t ask_chunks;
    uint32_t ask_free; /* first free slot, UINT32_MAX: none */
    tp_list ask_line;  /* asks in the order of their deadlines: most have the same timeout */
    tp_alarm ask_next; /* set not later than the first of the line is due */
    uint32_t pending;

    /* time and chance */
    tp_wheel wheel;
    tp_moments moments;
    tp_sleepers *sleepers; /* NULL: no type of the node commits while it lives */
    tp_prng prng;
    tp_prng sampling; /* which ones are timed; apart, so that this changes nothing else */

    /* sight */
    tp_counters counters;       /* [any reads], as the next three */
    tp_type_counters *of_types; /* by number */
    tp_gauges gauges;
    tp_histogram turn_time, ask_time, queue_time, cache_time;
    tp_pace pace[2]; /* a second apart or more, the older one first */
    tp_subscription subscriptions[TP_SUBSCRIPTIONS];
    uint32_t subscription_count;

    tp_mpsc_node *inbox_rest;   /* drained, not yet taken in */
    uint32_t inbox_after;       /* calls that entered before it was drained go first */
    tp_mpsc_node *held_answers; /* of outside calls: they wait for the lease */
    struct {
        bool is_due, idle;
        uint64_t cursor; /* in `table` */
    } renewal;
    tp_full full;                                  /* [any reads] */
    _Atomic uint64_t held_back[TP_HELD_BACK / 64]; /* [any] of TP_CROWDED_AWAY */
    _Alignas(TP_CACHE_LINE) tp_mpsc inbox; /* [any] */
    tp_mpring calls;                       /* [any] tp_outside */
    _Atomic uint64_t outside_bytes;        /* [any] of the large payloads in `calls` */
    /* Blocks of calls, to be used again: given back by the shard, and what outside threads took of
     * that and did not use yet. */
    _Alignas(TP_CACHE_LINE) _Atomic(tp_mpsc_node *) blocks_back;  /* [any] takes all */
    uint32_t blocks_back_count;                                   /* on `blocks_back`, at most */
    _Alignas(TP_CACHE_LINE) _Atomic(tp_mpsc_node *) blocks_taken; /* [any] takes all, puts all */
};

/* loop.c */
TROUPE_CHECK troupe_status tp_shard_create(
    tp_shared *shared, uint32_t number, tp_shard **ret_shard);
/* Before its runner starts, after all shards were created. */
TROUPE_CHECK troupe_status tp_shard_connect(tp_shard *shard);
void tp_shard_destroy(tp_shard *shard); /* after its runner was joined */
bool tp_shard_is_quiet(const tp_shard *shard);
bool tp_timing_draw(tp_shard *shard); /* for tp_is_timed of quick.h */
static inline void tp_count(tp_cell *cell)
{
    tp_cell_add(cell, 1);
}
static inline tp_type_counters *tp_counters_of(const tp_shard *shard, const tp_type *type)
{
    return &shard->of_types[type->number];
}

/* route.c. [any] What of it keeps a request to that hash out. */
static inline uint64_t tp_held_back_bit(uint64_t hash)
{
    return (hash >> 16) % TP_HELD_BACK; /* its lowest and highest bits choose shards */
}
tp_crowding tp_crowding_among(const tp_shard *shard, unsigned crowded, uint64_t hash, bool is_tell);
static inline tp_crowding tp_crowding_of(const tp_shard *shard, uint64_t hash, bool is_tell)
{
    uint8_t crowded = atomic_load_explicit(&shard->crowded, memory_order_relaxed);
    return TP_LIKELY(crowded == TP_NOT_CROWDED)
               ? TP_NOT_CROWDED
               : tp_crowding_among(shard, crowded, hash, is_tell);
}
void tp_crowd(tp_shard *shard, tp_crowding why, bool is_so);
/* A mailbox of that hash is full; one of those is so no more. */
void tp_show_full(tp_shard *shard, uint64_t hash);
void tp_show_room(tp_shard *shard, uint64_t hash);
/* The same of an actor of another node, as that said; it lasts for a moment. */
void tp_mark_full(tp_shard *shard, uint64_t hash);
void tp_mark_clear(tp_shard *shard, uint64_t hash);
/* Who tells a hash of those bits more gets BUSY from now on; nobody else is held back. */
void tp_hold_back_all(tp_shard *shard, const uint64_t bits[TP_HELD_BACK / 64]);

/* park.c */
TROUPE_CHECK troupe_status tp_fibers_init(tp_shard *shard);
void tp_fibers_feed(tp_shard *shard);
bool tp_fibers_rest(tp_shard *shard); /* gives some spares back; true: more could be */
bool tp_fibers_may_park(const tp_shard *shard);
void tp_fibers_starve(tp_shard *shard, tp_activation *actor); /* it is run again when it may */
void tp_fibers_enter(tp_shard *shard); /* [step] runs the loop until its pass is over */
/* tp_park_reserve is in quick.h. */
TROUPE_CHECK troupe_status tp_park_reserve_slowly(troupe_turn *turn);
/* commit.c, on the turn's own stack: what a save hook writes, should the park be a commit point. */
TROUPE_CHECK troupe_status tp_commit_write(troupe_turn *turn);
troupe_status tp_park(troupe_turn *turn, tp_wait wait); /* after a reserve; returns wait_status */
void tp_resume(tp_shard *shard, troupe_turn *turn);     /* [loop fiber] */
void tp_turn_on_own_fiber(tp_shard *shard, tp_activation *actor, tp_message *message);
/* False: no stack is to be had. */
bool tp_hook_on_own_fiber(tp_shard *shard, tp_activation *actor, tp_turn_kind kind);
TROUPE_NORETURN void tp_fiber_abandon(tp_shard *shard); /* the running fiber ends here */

/* loop.c, for park.c: runs turns until the pass is over. */
void tp_loop_turns(tp_shard *shard);

/* mailbox.c */
void tp_mailbox_clear(tp_shard *shard, tp_activation *actor); /* it is not shown full any more */
bool tp_mailbox_is_half(const tp_activation *actor); /* at most half of each limit is used */
void tp_accept(
    tp_shard *shard, tp_message *message); /* a message for this shard arrives: takes it */
void tp_accept_at(tp_shard *shard, tp_activation *actor, tp_message *message);
/* All arrivals go to their mailboxes. */
void tp_arrivals_flush(tp_shard *shard);
/* Takes in the first, which there is, if its actor does nothing else: that is to run `ret_message`
 * now, which is in no queue. NULL: it is not taken in. */
tp_activation *tp_arrivals_take(tp_shard *shard, tp_message **ret_message);
tp_message *tp_mailbox_next(
    tp_shard *shard, tp_activation *actor); /* the next that may run now, taken out; NULL */
void tp_mailbox_push_front(tp_shard *shard, tp_activation *actor, tp_message *message);
void tp_mailbox_remove(
    tp_shard *shard, tp_activation *actor, tp_message *before, tp_message *message);
void tp_mailbox_rouse_other(tp_shard *shard, tp_activation *actor, const tp_message *message);
bool tp_mailbox_may_run(tp_shard *shard, tp_activation *actor);
/* Asks get BUSY, the others stay. */
void tp_mailbox_refuse(tp_shard *shard, tp_activation *actor, const char *text);
void tp_mailbox_fail_all(
    tp_shard *shard, tp_activation *actor, troupe_status status, const char *text);

/* turn.c */
/* Runs the message, and what waits behind it as long as the turns are plain, at most `left` more,
 * which it counts down. False: one parked in between, so that the caller's frame is old news: the
 * actor may be gone. */
bool tp_turn_run(tp_shard *shard, tp_activation *actor, tp_message *message, uint32_t *left);
/* Runs a message that is in no queue, as tp_arrivals_take gave it, and the arrivals behind it as
 * long as the turns are plain and nobody else has anything to do, at most a batch. */
void tp_turn_run_now(tp_shard *shard, tp_activation *actor, tp_message *message);
void tp_turn_init(troupe_turn *turn, tp_shard *shard, tp_activation *actor, tp_message *message,
    tp_turn_kind kind);
void tp_turn_body(troupe_turn *turn); /* runs and ends it */
/* Not inlined, so that a turn that parks lies on a small frame. */
__attribute__((noinline)) void tp_turn_end(troupe_turn *turn, troupe_status status);
troupe_outcome tp_turn_outcome(const troupe_turn *turn); /* of its failure */
/* Copies the state's bytes, if a failure is to bring them back. False: no memory. */
bool tp_turn_keep(troupe_turn *turn);
void tp_turn_commit(
    troupe_turn *turn); /* the state's bytes as they are now are what a failure goes back to */
void tp_message_answer(tp_shard *shard, tp_message *message, troupe_status status,
    troupe_outcome outcome, const char *format, ...)
    TROUPE_PRINTF(5, 6); /* fails an ask; drops a tell as a dead letter; takes it */
/* Of the arena of a turn that runs. NULL: beyond the limit, or no memory. (reply.c) */
void *tp_turn_take(troupe_turn *turn, size_t limit, size_t size);
void *tp_arena_take(tp_shard *shard, void **arena, size_t *bytes, size_t limit, size_t size);
void tp_arena_drop(tp_shard *shard, void **arena, size_t *bytes);

/* loop.c: after a batch, or a turn that had parked: on to the run queue, out, or nothing. May free
 * the actor. */
void tp_settle(tp_shard *shard, tp_activation *actor);

/* renew.c: after a reload, what each activation follows; `idle`: its idle age, too. Some in each
 * pass. True: there are more. */
void tp_renew(tp_shard *shard, bool idle);
bool tp_renew_some(tp_shard *shard);

/* lifecycle.c */
void tp_activate(
    tp_shard *shard, tp_activation *actor); /* a new one: runs or finishes its activation */
void tp_leave(
    tp_shard *shard, tp_activation *actor, troupe_reason reason); /* deactivates an idle one */
bool tp_make_room(tp_shard *shard);   /* before a creation: false: at the limit, nothing idle */
void tp_keep_limits(tp_shard *shard); /* evicts while over max_actors or memory_limit */
/* Beyond memory_limit, and nothing can leave: says so to who would add to it, or not any more. */
void tp_look_at_memory(tp_shard *shard, bool may_evict);
#define TP_SHORT_WORDS                                                                          \
    "memory_limit is reached and nothing that may leave is idle; try again later, or raise it"
void tp_idle_watch(tp_shard *shard, tp_activation *actor);
/* Of memory_limit, what each shard may take. */
static inline size_t tp_memory_share(const tp_shared *shared)
{
    return (size_t)(TP_LIVE_GET(shared->options.memory_limit) / shared->shard_count);
}
/* After a reload, on the shard's thread: as the options are now. */
void tp_shard_take_limits(tp_shard *shard);

void tp_lifecycle_abandon(tp_shard *shard); /* before its fibers go */
void tp_lifecycle_tell(tp_shard *shard, const troupe_lifecycle *event);
void tp_hook_run(tp_shard *shard, tp_activation *actor, tp_turn_kind kind); /* on this stack */
void tp_activate_body(troupe_turn *turn);
void tp_deactivate_body(troupe_turn *turn);
/* On_deactivate is about to ask: what it did so far is stored, in types that persist every turn. */
TROUPE_CHECK troupe_status tp_deactivation_asks(troupe_turn *turn);
void tp_leave_all(tp_shard *shard); /* closing */
/* `turn`, of on_activate, ended, or a load without one (NULL). */
void tp_activation_over(
    tp_shard *shard, tp_activation *actor, troupe_status status, const troupe_turn *turn);
void tp_deactivation_over(tp_shard *shard, tp_activation *actor,
    troupe_status status); /* the turn of on_deactivate ended */

/* supervise.c */
void tp_supervise(tp_shard *shard, troupe_turn *turn, troupe_status status);
/* After on_activate failed, and what waited was answered. False: the record goes. */
bool tp_supervise_activation(
    tp_shard *shard, tp_activation *actor, troupe_status status, bool panicked);
void tp_supervise_torn(tp_shard *shard, tp_activation *actor); /* its last turn has ended */
/* After a failed turn: the activation ends without on_deactivate; what waits stays. */
void tp_activation_reset(tp_shard *shard, tp_activation *actor);

/* route.c */
void tp_send_control(tp_shard *shard, uint32_t to, tp_message *message); /* never refused; takes */
TROUPE_CHECK troupe_status tp_send_room(
    tp_shard *shard, uint32_t to, uint64_t hash, bool is_tell);          /* may a request go? */
void tp_send_request(tp_shard *shard, uint32_t to, tp_message *message); /* after room; takes */
void tp_links_flush(tp_shard *shard);
bool tp_links_drain(tp_shard *shard);      /* takes in what other shards sent */
bool tp_links_wait(const tp_shard *shard); /* something could not leave yet */
void tp_dispatch(tp_shard *shard, tp_message *message);

/* ask.c */
/* tp_ask_open and tp_ask_reply are in quick.h; these are the parts of them that few asks need. */
TROUPE_CHECK troupe_status tp_ask_more(tp_shard *shard); /* slots */
void tp_ask_set_alarm(tp_shard *shard, tp_ask *ask, uint64_t deadline);
void tp_ask_set_line(tp_shard *shard, uint64_t deadline); /* the alarm of its first */
void tp_ask_reply_slowly(tp_shard *shard, tp_message *reply);
void tp_asks_rest(tp_shard *shard); /* before a sleep: no alarm but what is needed */
#define TP_ASK_CHUNK 1024
void tp_ask_end(
    tp_shard *shard, tp_call call, troupe_status status, troupe_outcome outcome, troupe_slice text);
void tp_ask_withdraw(tp_shard *shard, tp_call call, const char *words); /* CANCELLED, both sides */
void tp_ask_forget(tp_shard *shard, tp_call call);     /* it was not sent: nobody is told */
troupe_cancel *tp_cancel_retain(troupe_cancel *token); /* [any thread] NULL is a no-op */
TROUPE_CHECK troupe_status tp_cancel_make(tp_shared *shared, troupe_cancel **ret_cancel);
void tp_cancel_arrived(tp_shard *shard, tp_message *cancel);
TROUPE_CHECK troupe_status tp_cancel_attach(tp_shard *shard, tp_call call, troupe_cancel *cancel);
void tp_turn_cancel(troupe_turn *turn);
void tp_asks_deinit(tp_shard *shard);
void tp_reply_send(tp_shard *shard, uint32_t to, tp_message *reply);
void tp_reply_leave(tp_shard *shard, uint32_t to, tp_message *reply); /* past any gate */

/* timers.c */
void tp_alarm_set(
    tp_shard *shard, tp_alarm *alarm, uint64_t due, void (*fire)(tp_shard *, tp_alarm *));
static inline void tp_alarm_cancel(tp_shard *shard, tp_alarm *alarm)
{
    tp_wheel_cancel(&shard->wheel, &alarm->timer);
}
void tp_alarms_fire(tp_shard *shard);

void tp_timers_stop(tp_shard *shard, tp_activation *actor);
/* [in a turn] One with a name, in place of that of the same name; method number `method`. BUSY,
 * TOO_LARGE, NO_MEMORY. False: it has none of that name. */
struct tp_timer_copy;
TROUPE_CHECK troupe_status tp_timer_set(
    troupe_turn *turn, uint32_t method, const struct tp_timer_copy *wanted);
bool tp_timer_end(troupe_turn *turn, troupe_slice name);
void tp_tick_taken(tp_shard *shard, tp_message *tick); /* out of the mailbox */
void tp_tick_begins(tp_shard *shard, tp_message *tick);

/* deadlock.c */
void tp_deadlock_watch(tp_shard *shard, tp_activation *actor); /* asks wait behind a parked turn */
void tp_probe_arrived(tp_shard *shard, tp_message *probe);

/* outside.c */
void tp_inbox_push(tp_shard *shard, tp_inbound *inbound); /* [any thread] and wakes it */
bool tp_inbox_drain(tp_shard *shard);
static inline bool tp_inbox_is_empty(const tp_shard *shard)
{
    return shard->inbox_rest == NULL && tp_mpsc_is_empty(&shard->inbox) &&
           tp_mpring_is_empty(&shard->calls);
}
/* Whom it calls; borrowed. */
troupe_id tp_outside_target(const tp_outside *outside, troupe_slice *ret_method);
bool tp_inbox_look(const tp_shard *shard);                   /* false: it is empty */
bool tp_outside_enter(tp_shard *shard, tp_outside *outside); /* [any thread] false: no room */
/* [any thread] For a large payload: do those under way and what the shard has leave any? */
bool tp_outside_has_memory(const tp_shard *shard);
#define TP_OUTSIDE_LARGE 4096
void tp_outside_complete(
    tp_shard *shard, tp_outside *outside, const troupe_answer *answer); /* [shard] */
/* The lease holds again; or it never will. */
void tp_outside_let_go(tp_shard *shard, bool is_lost);
/* Of the answers that wait for the lease those whose deadline is over end with TIMEOUT. Returns the
 * next deadline. */
uint64_t tp_outside_expire_held(tp_shard *shard);
void tp_outside_answer_release(void *block); /* the owner of an answer that lives outside */
void tp_outside_copy(
    const troupe_allocator *allocator, const troupe_answer *from, troupe_answer *to);
/* [any thread] For a shard; NULL: no memory. Who waits takes the block home with the answer. */
TROUPE_CHECK tp_outside *tp_outside_make(
    tp_shard *shard, const tp_message_parts *parts, bool waits);
void tp_outside_blocks_deinit(tp_shard *shard);
void tp_outside_release(tp_outside *outside); /* [any thread] its owner */

/* calls.c */
TROUPE_CHECK troupe_status tp_ref_make(tp_shared *shared, troupe_id id, troupe_ref **ret_ref);

/* Is what a caller filled in of this version, and within its bounds? Else: USAGE. */
static inline bool tp_call_options_are_sound(const troupe_call_options *options)
{
    return options == NULL || (options->size == sizeof *options && options->retry.jitter <= 100);
}

/* retry.c */
uint64_t tp_retry_pause(const troupe_retry *retry, uint32_t attempt, uint64_t chance);
/* A call once whose `retry` is not set is asked again until its deadline when its way broke. */
static inline bool tp_retry_is_own(const troupe_call_options *options)
{
    return options->once.size != 0 && options->retry.attempts == 0;
}
/* May a call that ended so be asked again, after `attempt` attempts? */
bool tp_retry_may(const troupe_call_options *options, troupe_status status, troupe_outcome outcome,
    uint32_t attempt);

/* inspect.c */
/* [any thread] Adds what it has counted, and its times. */
void tp_inspect_counters(const tp_shard *shard, troupe_stats *into);
#define TP_TIMES 4 /* turn, ask, queue, cache */
void tp_inspect_times(const tp_shard *shard, tp_histogram into[TP_TIMES]);
void tp_inspect_now(tp_shard *shard, troupe_stats *into); /* adds what is now */
void tp_inspect_pace(tp_shard *shard); /* pace[1] was set a second ago, or more: another one */
bool tp_inspect_matches(troupe_slice pattern, troupe_slice text);
size_t tp_inspect_actors(tp_shard *shard, troupe_slice type, troupe_slice pattern, size_t limit,
    troupe_actor_visit *visit, void *user);
bool tp_inspect_actor(tp_shard *shard, const tp_type *type, troupe_id id, uint64_t hash,
    troupe_actor_visit *visit, void *user);
void tp_inspect_parked(
    tp_shard *shard, const troupe_id *id, troupe_parked_visit *visit, void *user);

#include "shard/watched.h"

#include "shard/quick.h"

#endif
