/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes say to each other inside a session: the kinds of frames, a plain struct for each, and
 * their bytes. Not batches and numbers (wire/batch.h, wire/session.h), not the hello. The session
 * puts and finds frames; the cluster fills and reads the structs. docs/wire.md has the bytes.
 *
 * A frame is: kind u8, flags u8, size u16, body; with flag LONG a u32 follows the size (which is
 * then 0) and says the size of the body. Numbers are little-endian.
 *
 * Invariants
 * 1. Slices of a struct that was read borrow from the body. 2. Reading touches no byte outside the
 * body, and a body that is longer or shorter than its kind says is refused. 3. Fields whose bit is
 * not set are neither read when writing, nor set when reading, but for those that say so.
 * 4. Kinds and bits never change their number; a bit that this version does not know is refused.
 * 5. Version 1 is frozen: what it lays out stays so, byte by byte (docs/wire.md has its boxes).
 * Threads: pure.
 */
#ifndef TP_WIRE_FRAMES_H
#define TP_WIRE_FRAMES_H

#include "base/limits.h"
#include "wire/octets.h"

#include <troupe/status.h>

#define TP_WIRE_VERSION        1 /* the newest that is spoken here */
#define TP_WIRE_VERSION_OLDEST 1
#define TP_WIRE_NEVER          UINT64_MAX /* no deadline */

/*
 * name, number, how it travels.
 *   NUMBERED: kept until the peer has it, in order, exactly once.
 *   LOOSE: sent once, lost with a connection, and not held up by the view barrier.
 */
#define TP_FRAME_MAP(X)                                                                     \
    X(REQUEST, 1, NUMBERED) /* an ask or a tell: tp_parcel */                               \
    X(ACKED, 2, NUMBERED)   /* an outbox message was handled: tp_parcel, its slip */        \
    X(REPLY, 3, NUMBERED)   /* tp_wire_reply */                                             \
    X(FULL, 4, NUMBERED)    /* the mailbox of a hash is full: tp_wire_mark */               \
    X(CLEAR, 5, NUMBERED)   /* it is no more: tp_wire_mark */                               \
    X(SETTLED, 6, NUMBERED) /* the session's own; its user sees it, too: tp_wire_settled */ \
    X(NAME, 7, NUMBERED)    /* the session's own: tp_wire_name */                           \
    X(WORD, 8, NUMBERED)    /* of the directory, and what goes with it: tp_wire_word */     \
    X(MEMBER, 9, LOOSE)     /* of the members' control runners: tp_wire_word */             \
    X(VIEW, 10, LOOSE)      /* kept for a later version: nobody says it, nobody hears it */ \
    X(LOAD, 11, LOOSE)      /* tp_wire_load */                                              \
    X(PING, 12, LOOSE)      /* the session answers it: tp_wire_stamp */                     \
    X(PONG, 13, LOOSE)      /* tp_wire_stamp */                                             \
    X(BYE, 14, LOOSE)       /* likewise */

typedef enum tp_frame_kind {
#define TP_FRAME_CONSTANT(name, number, way) TP_FRAME_##name = (number),
    TP_FRAME_MAP(TP_FRAME_CONSTANT)
#undef TP_FRAME_CONSTANT
        TP_FRAME_KINDS
} tp_frame_kind;

/* Flags of a frame. Others are refused. */
enum {
    TP_FRAME_SKIP = 1,   /* who does not know the kind passes over it */
    TP_FRAME_LONG = 128, /* a u32 follows the head: the size of the body */
};

enum { TP_FRAME_HEAD = 4, TP_FRAME_HEAD_LONG = 8 };

static inline bool tp_frame_is_parcel(unsigned kind)
{
    return kind - TP_FRAME_REQUEST <= TP_FRAME_ACKED - TP_FRAME_REQUEST;
}

static inline bool tp_frame_is_loose(unsigned kind)
{
    return kind - TP_FRAME_MEMBER <= TP_FRAME_BYE - TP_FRAME_MEMBER;
}

static inline bool tp_frame_is_known(unsigned kind)
{
    return kind - 1 < TP_FRAME_KINDS - 1;
}

/* "REQUEST"; "?" */
const char *tp_frame_name(unsigned kind);

/* With its head. */
static inline size_t tp_frame_size(size_t body)
{
    return body + (TP_LIKELY(body <= UINT16_MAX) ? TP_FRAME_HEAD : TP_FRAME_HEAD_LONG);
}

/* Writes the head; returns where the body goes. */
static inline char *tp_frame_put_head(char *at, unsigned kind, unsigned flags, size_t body)
{
    if (TP_LIKELY(body <= UINT16_MAX))
        return tp_put_32(at, (uint32_t)(kind | flags << 8 | body << 16));
    tp_put_32(at, kind | (flags | TP_FRAME_LONG) << 8);
    return tp_put_32(at + 4, (uint32_t)body);
}

/* ---- parcels: what is for an actor ---------------------------------------------------------- */

enum {
    TP_PARCEL_ASK = 1,    /* an answer is wanted: `from` */
    TP_PARCEL_ACTIVE = 2, /* only if it is active */
    TP_PARCEL_READ = 4,   /* a method that changes nothing */
    TP_PARCEL_BACK = 8,   /* returned by a host that did not take it: it goes before newer ones */
    /* Which parts it has, in the order in which they travel. */
    TP_PARCEL_ORDER = 16,      /* its number among those that its origin sent to this shard */
    TP_PARCEL_NAMES = 32,      /* type and method in words, since `name` is 0 */
    TP_PARCEL_PARTITION = 64,  /* of the target */
    TP_PARCEL_FROM = 128,      /* the asker's slot */
    TP_PARCEL_ELSEWHERE = 256, /* the asker's node is not the sender of the frame */
    TP_PARCEL_CHAIN = 512,
    TP_PARCEL_DEADLINE = 1024,
    TP_PARCEL_CALLER = 2048, /* who calls is an actor */
    TP_PARCEL_GRANT = 4096,
    TP_PARCEL_CONTENT = 8192, /* content type in words */
    TP_PARCEL_SLIP = 16384,
    TP_PARCEL_ORIGIN = 32768, /* it began at another node than the sender of the frame */
    TP_PARCEL_PARTS = 65536 - 16,
};

/* The slot of an ask: where its answer goes. */
typedef struct tp_wire_call {
    uint32_t slot, generation;
    uint16_t shard;
    uint64_t incarnation; /* 0: the sender of the frame */
} tp_wire_call;

typedef struct tp_parcel {
    uint16_t bits;
    uint8_t hops;
    uint8_t content; /* tp_content of the payload */
    uint16_t name;   /* of type and method, as taught (wire/dictionary.h); 0: NAMES */
    uint64_t hash;   /* of the id, the same on all nodes */
    troupe_slice key;
    troupe_slice payload;

    uint64_t order;            /* ORDER; else set to 0 when read */
    uint64_t origin;           /* ORIGIN; else set to 0: the sender of the frame */
    troupe_slice trail;        /* ORIGIN: u64 each; else set to empty */
    troupe_slice type, method; /* NAMES; else set to empty when read */
    troupe_slice partition;    /* else set to empty */
    tp_wire_call from;         /* FROM */
    uint64_t chain;            /* else set to 0 */
    uint64_t remaining;        /* ns from when it was sent; else set to TP_WIRE_NEVER */
    uint16_t caller_name;      /* CALLER; as taught, or 0: */
    troupe_slice caller_type;  /* CALLER */
    troupe_slice caller_partition, caller_key; /* CALLER */
    uint64_t grant, home;      /* GRANT: number, incarnation of who gave it; else `grant` 0 */
    troupe_slice content_type; /* CONTENT; else set to empty */
    troupe_slice slip;         /* opaque here; else set to empty */
} tp_parcel;

enum {
    TP_PARCEL_HEAD = 16,
    TP_PARCEL_FROM_BYTES = 10,
    TP_PARCEL_SLIP_MAX = 1 << 20, /* bytes */
    TP_PARCEL_TRAIL_MAX = 8,      /* nodes */
    TP_PARCEL_NO_PAYLOAD_MAX =    /* of the body, beside payload and slip */
    TP_PARCEL_HEAD + 16 + TP_KEY_MAX + 2 * (TP_NAME_MAX + 1) + TP_NAME_MAX + 1 + 18 + 8 + 8 +
    (2 + TP_NAME_MAX + 1 + TP_NAME_MAX + 1 + 2 + TP_KEY_MAX) + 16 + 256 + 4 + 1 +
    8 * TP_PARCEL_TRAIL_MAX,
};

/* Of the parts that have a bit. */
size_t tp_parcel_parts_size(const tp_parcel *parcel);
char *tp_parcel_put_parts(char *at, const tp_parcel *parcel);

static inline size_t tp_parcel_size(const tp_parcel *parcel)
{
    size_t size = TP_PARCEL_HEAD + parcel->key.size + parcel->payload.size;
    return TP_LIKELY(!(parcel->bits & TP_PARCEL_PARTS)) ? size
                                                        : size + tp_parcel_parts_size(parcel);
}

/* Writes tp_parcel_size bytes. Names are 1 to TP_NAME_MAX bytes, partitions up to it, keys 1 to
 * TP_KEY_MAX, a content type up to 255. */
static inline void tp_parcel_put(char *at, const tp_parcel *parcel)
{
    at = tp_put_64(at, (uint64_t)parcel->bits | (uint64_t)parcel->hops << 16 |
                           (uint64_t)parcel->content << 24 | (uint64_t)parcel->name << 32 |
                           (uint64_t)parcel->key.size << 48);
    at = tp_put_64(at, parcel->hash);
    if (TP_UNLIKELY(parcel->bits & TP_PARCEL_PARTS))
        at = tp_parcel_put_parts(at, parcel);
    at = tp_put_bytes(at, parcel->key);
    tp_put_bytes(at, parcel->payload);
}

/* NULL; or what is wrong, a static text. */
TROUPE_CHECK const char *tp_parcel_get(troupe_slice body, tp_parcel *ret_parcel);

/* ---- replies -------------------------------------------------------------------------------- */

enum {
    TP_REPLY_CONTENT = 1, /* content type in words */
    TP_REPLY_SLIP = 2,
    TP_REPLY_KNOWN = 3,
};

typedef struct tp_wire_reply {
    uint32_t slot, generation; /* of the ask, on the node that gets this frame */
    uint16_t shard;
    uint8_t bits;
    uint8_t content;
    troupe_status status;
    uint8_t outcome;
    troupe_slice content_type; /* CONTENT; else set to empty */
    troupe_slice slip;         /* SLIP; else set to empty */
    troupe_slice payload;
} tp_wire_reply;

enum { TP_REPLY_HEAD = 20 };

size_t tp_wire_reply_size(const tp_wire_reply *reply);
void tp_wire_reply_put(char *at, const tp_wire_reply *reply);
TROUPE_CHECK const char *tp_wire_reply_get(troupe_slice body, tp_wire_reply *ret_reply);

/* ---- the small ones ------------------------------------------------------------------------- */

/* FULL, CLEAR: 8 bytes. */
enum { TP_WIRE_MARK_BYTES = 8 };
void tp_wire_mark_put(char *at, uint64_t hash);
TROUPE_CHECK const char *tp_wire_mark_get(troupe_slice body, uint64_t *ret_hash);

/* Ranges of parcels, by the numbers that tp_session_put_parcel gave: they are in the mailbox, or
 * their next hop has said so. */
typedef struct tp_wire_range {
    uint64_t first;
    uint32_t count; /* at least 1 */
} tp_wire_range;

typedef struct tp_wire_settled {
    tp_in in;
} tp_wire_settled;

enum { TP_WIRE_RANGE_BYTES = 12 };
void tp_wire_range_put(char *at, tp_wire_range range);
TROUPE_CHECK const char *tp_wire_settled_get(troupe_slice body, tp_wire_settled *ret_settled);
/* False: there are no more. */
bool tp_wire_settled_next(tp_wire_settled *settled, tp_wire_range *ret_range);

/* The next number of a direction, beginning with 1, is type and method (empty: the type alone). */
typedef struct tp_wire_name {
    uint16_t number;
    troupe_slice type, method;
} tp_wire_name;

size_t tp_wire_name_size(const tp_wire_name *name);
void tp_wire_name_put(char *at, const tp_wire_name *name);
TROUPE_CHECK const char *tp_wire_name_get(troupe_slice body, tp_wire_name *ret_name);

/* WORD, MEMBER: what its machine means by it. */
typedef struct tp_wire_word {
    uint8_t what;
    troupe_slice body;
} tp_wire_word;

size_t tp_wire_word_size(const tp_wire_word *word);
void tp_wire_word_put(char *at, const tp_wire_word *word);
TROUPE_CHECK const char *tp_wire_word_get(troupe_slice body, tp_wire_word *ret_word);

/* How busy the sender's node is. A newer sender may say more: what follows is passed over. */
typedef struct tp_wire_load {
    uint32_t cpu; /* thousandths of all its cores */
    uint32_t flags;
    uint64_t memory, memory_limit; /* bytes */
    uint64_t actors, queued;
    uint64_t turn_ns; /* mean of the last seconds */
    uint64_t turns;   /* a second */
} tp_wire_load;

enum { TP_WIRE_LOAD_BYTES = 56 };
void tp_wire_load_put(char *at, const tp_wire_load *load);
TROUPE_CHECK const char *tp_wire_load_get(troupe_slice body, tp_wire_load *ret_load);

/* PING, PONG: 8 bytes, that come back as they are. */
enum { TP_WIRE_STAMP_BYTES = 8 };
void tp_wire_stamp_put(char *at, uint64_t stamp);
TROUPE_CHECK const char *tp_wire_stamp_get(troupe_slice body, uint64_t *ret_stamp);

#endif
