/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message: one block out of the pool of the shard that made it, with everything that travels:
 * header, names, payload. Sent inside the node by pointer; never encoded. Also the form of replies,
 * and of what shards say to each other.
 *
 * The tail holds, each part only if the message has it: caller's key and partition, filled up to a
 * multiple of 16, target's key and partition, method name (catch-all only), content type, and at a
 * multiple of 16 the payload.
 *
 * Invariants
 * 1. A message is in exactly one place: a mailbox, a ring, a waiting list, or in the hands of a
 * turn.
 * 2. `from` names the asker's slot while kind is TP_ASK, and that slot is answered exactly once.
 *
 * Threads: written by the shard that holds it; a ring hands it over.
 */
#ifndef TP_SHARD_MESSAGE_H
#define TP_SHARD_MESSAGE_H

#include "base/bytes.h"
#include "base/list.h"
#include "base/pool.h"
#include "shard/slip.h"
#include "shard/type.h"

struct tp_activation;

typedef enum tp_message_kind {
    TP_TELL,
    TP_ASK,
    TP_TICK,   /* a timer of the actor */
    TP_ANSWER, /* the answer of an ask with callback, as a turn of the asker */
    TP_REPLY,  /* to an ask's slot */
    TP_CANCEL, /* the asker gave up: `from` */
    TP_PROBE,  /* looks for a cycle (probe.h) */
    TP_ACKED,  /* an outbox message was handled: its slip tells which, and how it ended */
    TP_WAKE,   /* the actor is to be woken at `deadline`, wall clock, should it sleep then */
} tp_message_kind;

enum {
    TP_MESSAGE_PROBED = 1,  /* a probe went out for it */
    TP_MESSAGE_TIMED = 2,   /* `arrived` was read from the clock: for the histogram */
    TP_MESSAGE_TOUCHED = 4, /* a turn that it killed parked, sent or wrote: it is never NOT_DONE */
    TP_MESSAGE_SLIP = 16,   /* a tp_slip lies behind the payload */
};

typedef enum tp_content {
    TP_CONTENT_BYTES,
    TP_CONTENT_TEXT,
    TP_CONTENT_JSON,
    TP_CONTENT_OWN = 255
} tp_content;

/* Names a pending ask: a slot in the table of a shard, and which use of it. */
typedef struct tp_call {
    uint32_t slot;
    uint32_t generation;
} tp_call;

typedef struct tp_message {
    tp_fifo_node node;
    uint64_t hash;       /* of the target; of a reply: unused */
    const tp_type *type; /* of the target */
    uint64_t deadline;   /* node's clock; TP_NEVER */
    tp_call from;
    uint64_t chain;             /* the call chain that it belongs to; 0: none yet */
    const tp_type *caller_type; /* NULL: from outside */
    union {
        uint64_t arrived; /* of a request with TP_MESSAGE_TIMED */
        void *extra;      /* TP_ANSWER: its slot's callback; TP_TICK: the timer */
    };

    uint32_t payload_size;
    uint16_t method; /* TP_METHOD_OTHER also of what is for none: TP_CANCEL, TP_ACKED */
    uint16_t from_shard;
    uint16_t payload_at; /* offset from the message's begin */
    uint16_t caller_key_size;
    uint8_t caller_partition_size;
    uint8_t kind;
    /* 0 in most requests: written together */
    uint8_t flags;
    uint8_t content;
    troupe_status status; /* of a reply */
    uint8_t outcome;      /* of a reply */
    uint8_t deliveries;   /* turns that it has killed; of a cancel or probe: nodes it passed */
    uint8_t content_size;
    uint8_t method_size;
    uint8_t partition_size;
    uint8_t unused;
    uint16_t key_size;
} tp_message;

#define TP_MESSAGE_STEP ((size_t)16)

_Static_assert(sizeof(tp_message) % TP_MESSAGE_STEP == 0, "the caller's name begins at a step");

static inline size_t tp_message_step(size_t size)
{
    return (size + TP_MESSAGE_STEP - 1) & ~(TP_MESSAGE_STEP - 1);
}

static inline tp_message *tp_message_of(tp_fifo_node *node)
{
    return TP_CONTAINER(node, tp_message, node);
}

static inline char *tp_message_tail(const tp_message *message)
{
    return (char *)(uintptr_t)message + sizeof(tp_message);
}

static inline troupe_slice tp_message_payload(const tp_message *message)
{
    return (troupe_slice){(const char *)message + message->payload_at, message->payload_size};
}

static inline const tp_slip *tp_message_slip(const tp_message *message)
{
    if (TP_LIKELY(!(message->flags & TP_MESSAGE_SLIP)))
        return NULL;
    size_t at = tp_message_step((size_t)message->payload_at + message->payload_size);
    return (const tp_slip *)(const void *)((const char *)message + at);
}

/* Is it of a row of an outbox? That is stored with its sender, who sends it again, and says itself
 * when it is given up. */
static inline bool tp_message_is_of_outbox(const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    return slip != NULL && (slip->flags & TP_SLIP_OUTBOX) != 0;
}

static inline size_t tp_message_key_at(const tp_message *message)
{
    return tp_message_step((size_t)message->caller_key_size + message->caller_partition_size);
}

static inline troupe_slice tp_message_key(const tp_message *message)
{
    return (troupe_slice){tp_message_tail(message) + tp_message_key_at(message), message->key_size};
}

static inline troupe_slice tp_message_partition(const tp_message *message)
{
    return (troupe_slice){tp_message_tail(message) + tp_message_key_at(message) + message->key_size,
        message->partition_size};
}

static inline troupe_slice tp_message_method_name(const tp_message *message)
{
    if (message->method != TP_METHOD_OTHER)
        return message->type->methods[message->method].name;
    return (troupe_slice){tp_message_tail(message) + tp_message_key_at(message) +
                              message->key_size + message->partition_size,
        message->method_size};
}

static inline troupe_id tp_message_caller(const tp_message *message)
{
    if (message->caller_type == NULL)
        return (troupe_id){{0, 0}, {0, 0}, {0, 0}};
    const char *tail = tp_message_tail(message);
    return (troupe_id){message->caller_type->name,
        {tail + message->caller_key_size, message->caller_partition_size},
        {tail, message->caller_key_size}};
}

troupe_slice tp_message_other_content_type(const tp_message *message);

static inline troupe_slice tp_message_content_type(const tp_message *message)
{
    if (message->content == TP_CONTENT_BYTES)
        return (troupe_slice){TROUPE_BYTES, sizeof TROUPE_BYTES - 1};
    return tp_message_other_content_type(message);
}

/* What a message is made of. Empty slices leave their part out. */
typedef struct tp_message_parts {
    const void *caller; /* key and partition, readable up to a multiple of 16; sizes in the head */
    troupe_slice key, partition;
    troupe_slice method; /* its name, for TP_METHOD_OTHER only */
    const char *content_type;
    troupe_slice payload;
    const tp_slip *slip; /* NULL: none */
} tp_message_parts;

/* What a message says of itself, beside its parts. */
typedef struct tp_message_head {
    uint64_t hash;
    const tp_type *type;
    uint64_t deadline;
    tp_call from;
    uint64_t chain;
    const tp_type *caller_type;
    troupe_status status;
    uint16_t method, from_shard, caller_key_size;
    uint8_t caller_partition_size, kind;
} tp_message_head;

uint8_t tp_content_number(const char *content_type);

static inline char *tp_message_append(char *at, troupe_slice part)
{
    tp_bytes_copy(at, part.data, part.size);
    return at + part.size;
}

/* A message with its parts copied. NULL: no memory. Inline, so that each word is written once, and
 * parts that a caller never gives cost nothing. */
__attribute__((always_inline)) static inline tp_message *tp_message_make_here(
    tp_pool *pool, const tp_message_parts *given, const tp_message_head *head)
{
    const tp_message_parts parts = *given;
    uint8_t content = parts.content_type == NULL ? (uint8_t)TP_CONTENT_BYTES
                                                 : tp_content_number(parts.content_type);
    troupe_slice own = {0, 0};
    if (TP_UNLIKELY(content == TP_CONTENT_OWN)) {
        own = troupe_str(parts.content_type);
        if (own.size > UINT8_MAX)
            own.size = UINT8_MAX;
    }
    size_t caller = tp_message_step((size_t)head->caller_key_size + head->caller_partition_size);
    size_t rare = parts.partition.size + parts.method.size + own.size;
    size_t payload_at = sizeof(tp_message) + caller + tp_message_step(parts.key.size + rare);
    size_t end = payload_at + parts.payload.size;
    if (TP_UNLIKELY(parts.slip != NULL))
        end = tp_message_step(end) + tp_slip_size(parts.slip);
    tp_message *message = tp_pool_take(pool, end);
    if (TP_UNLIKELY(message == NULL))
        return NULL;
    /* One by one: a struct assigned as a whole is cleared first. */
    message->hash = head->hash;
    message->type = head->type;
    message->deadline = head->deadline;
    message->from = head->from;
    message->chain = head->chain;
    message->caller_type = head->caller_type;
    message->payload_size = (uint32_t)parts.payload.size;
    message->method = head->method;
    message->from_shard = head->from_shard;
    message->payload_at = (uint16_t)payload_at;
    message->caller_key_size = head->caller_key_size;
    message->caller_partition_size = head->caller_partition_size;
    message->kind = head->kind;
    message->flags = 0;
    message->content = content;
    message->status = head->status;
    message->outcome = 0;
    message->deliveries = 0;
    message->content_size = (uint8_t)own.size;
    message->method_size = (uint8_t)parts.method.size;
    message->partition_size = (uint8_t)parts.partition.size;
    message->unused = 0;
    message->key_size = (uint16_t)parts.key.size;
    char *at = tp_message_tail(message);
    for (size_t i = 0; i < caller; i += TP_MESSAGE_STEP)
        tp_bytes_store(at + i, tp_bytes_load((const char *)parts.caller + i));
    at = tp_message_append(at + caller, parts.key);
    if (TP_UNLIKELY(rare != 0)) {
        at = tp_message_append(at, parts.partition);
        at = tp_message_append(at, parts.method);
        tp_message_append(at, own);
    }
    tp_bytes_copy((char *)message + payload_at, parts.payload.data, parts.payload.size);
    if (TP_UNLIKELY(parts.slip != NULL)) {
        message->flags = TP_MESSAGE_SLIP;
        tp_slip_copy(
            parts.slip, (char *)message + tp_message_step(payload_at + parts.payload.size));
    }
    return message;
}

/* The same, called: kind TP_TELL, no deadline, all else zero. */
TROUPE_CHECK tp_message *tp_message_make(tp_pool *pool, const tp_message_parts *parts);

/* All of it, but for what it has been through: flags, deliveries. NULL: no memory. */
TROUPE_CHECK tp_message *tp_message_copy(tp_pool *pool, const tp_message *message);

static inline size_t tp_message_bytes(const tp_message *message)
{
    return (size_t)message->payload_at + message->payload_size;
}

#endif
