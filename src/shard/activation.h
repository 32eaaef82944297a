/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An activation: the one instance of an id in memory, in one block with its key, its partition and
 * its state. Its life is a table of ARCHITECTURE.md. Part of shard.h, which includes it.
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_ACTIVATION_H
#define TP_SHARD_ACTIVATION_H

#include "base/list.h"
#include "shard/moment.h"
#include "shard/type.h"

typedef struct tp_activation tp_activation;
typedef struct tp_durable tp_durable; /* durable.h */

typedef enum tp_phase {
    TP_NEW,
    TP_ACTIVATING,
    TP_ACTIVE,
    TP_DEACTIVATING,
    TP_WAITING,
    TP_MOVING, /* at rest, to go on elsewhere (move.h) */
    TP_HALTED, /* active, but begins no turn: its commits are behind, or it is to be loaded again */
} tp_phase;

enum {
    TP_QUEUED = 1,     /* in the run queue */
    TP_USED = 2,       /* since the eviction hand passed */
    TP_LEAVE = 4,      /* deactivate when nothing waits */
    TP_DIRTY = 8,      /* a turn that may write has run since the last save */
    TP_SHOWN_FULL = 16, /* the mailbox is among the full ones (full.h) */
    TP_STOPPING = 32,  /* supervision stops it */
    TP_LIVE = 64,      /* counted as active; on_activate has succeeded, so on_deactivate is due */
    TP_HOLDS = 128,    /* its state may own something: discard is due */
    TP_MOVES = 1024,   /* it is to move (move.h) */
    TP_CAME = 2048,    /* it came by a move, and does not run yet: kept without messages, too */
    TP_GUARDED = 512,  /* requests for it are the cluster's to order (away.h) */
    TP_TORN = 256, /* a failed turn asks for a new activation as soon as no other turn is parked */
};

/* What few activations have. */
typedef struct tp_extras {
    tp_list timers; /* tp_actor_timer */
    uint32_t timer_count;
    uint32_t callbacks; /* asks with callback that are pending */
    uint64_t timer_numbers;
    uint64_t version;    /* of the stored state */
    tp_durable *durable; /* of types that commit while they live */
    uint32_t failures;   /* in a row */
    uint32_t generation; /* raised by each restart: callbacks of before are dropped */
    tp_alarm back_off;
    tp_activation *actor; /* of back_off and probe */
    tp_alarm probe;
    void *arena; /* blocks, see arena.h */
    size_t arena_bytes;
    void *moved; /* a state that goes along, or came; sealed, of the pool */
    size_t moved_size;
    troupe_reason reason; /* of the deactivation under way or to come */
} tp_extras;

struct tp_activation {
    /* seldom touched; first, so that all that a message touches lies together with the key */
    tp_link recency;
    uint64_t activated_at;
    tp_alarm idle;
    uint64_t hash;
    tp_fifo_node run_node;
    /* touched by each message */
    const tp_type *type;
    tp_fifo mailbox;
    troupe_turn *turns; /* running or parked, latest first */
    uint32_t queued;
    uint32_t queued_bytes;
    uint8_t phase;
    uint8_t partition_size;
    uint16_t flags;
    uint16_t key_size;
    uint16_t head_size; /* of record, key and partition: the state begins there */
    /* touched by each turn */
    uint64_t last_used;
    uint64_t received;
    uint64_t processed;
    uint32_t errors;
    uint32_t turn_count;
    tp_extras *extras;
    /* key, partition, padding to 16, state */
};

/* Begins to fetch what a message will touch. */
static inline void tp_activation_prefetch(const tp_activation *actor)
{
    const char *hot = (const char *)&actor->type;
    __builtin_prefetch(hot, 1);
    __builtin_prefetch(hot + TP_CACHE_LINE, 1);
    __builtin_prefetch((const char *)(actor + 1) + 47, 1); /* with a short key, a small state */
}

static inline troupe_slice tp_activation_key(const tp_activation *actor)
{
    return (troupe_slice){actor + 1, actor->key_size};
}

static inline troupe_slice tp_activation_partition(const tp_activation *actor)
{
    return (troupe_slice){(const char *)(actor + 1) + actor->key_size, actor->partition_size};
}

static inline troupe_id tp_activation_id(const tp_activation *actor)
{
    return (troupe_id){actor->type->name, tp_activation_partition(actor), tp_activation_key(actor)};
}

static inline void *tp_activation_state(tp_activation *actor)
{
    return (char *)actor + actor->head_size;
}

tp_activation *tp_activation_find(
    tp_shard *shard, const tp_type *type, uint64_t hash, troupe_slice partition, troupe_slice key);
/* Is any of that hash here? */
bool tp_activation_is_here(const tp_shard *shard, uint64_t hash);
/* NULL: out of memory. */
tp_activation *tp_activation_create(
    tp_shard *shard, const tp_type *type, uint64_t hash, troupe_slice partition, troupe_slice key);
void tp_activation_free(tp_shard *shard, tp_activation *actor);
void tp_activation_guard(tp_shard *shard, tp_activation *actor); /* TP_GUARDED from now on */
void tp_activation_discard(tp_activation *actor); /* what its state owns, once per activation */
TROUPE_CHECK tp_extras *tp_activation_extras(
    tp_shard *shard, tp_activation *actor); /* NULL: no memory */
bool tp_activation_is_idle(const tp_activation *actor);
/* Idle, and active, or only the record of one that was reset: nothing is under way. */
static inline bool tp_activation_may_leave(const tp_activation *actor)
{
    return (actor->phase == TP_ACTIVE || actor->phase == TP_NEW) && tp_activation_is_idle(actor);
}

#endif
