/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows beside an actor's state, as structs and as stored bytes: answers given once, outbox,
 * numbers seen of senders, reminders, dead letters. Not what is done with them, and not the store.
 * What commits and loads an actor calls it.
 *
 * A value is a header of 12 bytes and the fields of its kind in the order of its struct: numbers
 * little-endian in their width, enums in one byte, slices as a u32 length and their bytes.
 *
 *   0  format    1
 *   1  kind      TROUPE_ROW_...
 *   2  zero      2 bytes
 *   4  checksum  u64: XXH3-64 of the fields, seeded by XXH3-64 of the key, which is seeded by
 *                XXH3-64 of header bytes 0 to 3, which is seeded by the seed of the actor's id
 *
 * Keys
 *   ONCE      the request id, 1 to 64 bytes
 *   OUTBOX    tp_row_number, both parts big-endian: bytewise order is the order of sending
 *   SENDER    tp_row_sender_key of the sending actor; or "#": its `last.version` is that of the
 *             commit that forgot other senders last
 *   REMINDER  its name, 1 to 128 bytes
 *   DEAD      the key that it had in the outbox
 *
 * Invariants
 * 1. What was encoded decodes, under the same seed and key, to the same fields; what decodes
 *    encodes to the same bytes: a row has one form.
 * 2. Damaged, cut and misplaced rows, and any other bytes, are CORRUPT; nothing outside of a value
 *    is read, and nothing is allocated.
 * Threads: pure.
 */
#ifndef TP_STORE_ROWS_H
#define TP_STORE_ROWS_H

#include <troupe/provider.h>

#define TP_ROW_FORMAT       1
#define TP_ROW_HEADER_BYTES 12
#define TP_ROW_KEY_MAX      1200 /* of <troupe/provider.h> */
#define TP_ROW_ONCE_MAX     64
#define TP_ROW_REMINDER_MAX 128
#define TP_ROW_NUMBER_BYTES 12

/* The place of a message among all that an actor has sent: the version of its commit, and the place
 * in it. Rises, never repeats. */
typedef struct tp_row_number {
    uint64_t version;
    uint32_t index;
} tp_row_number;

typedef enum tp_once_state {
    TP_ONCE_BEGUN = 1, /* the turn may have done something; no answer yet */
    TP_ONCE_DONE = 2,
} tp_once_state;

typedef struct tp_row_once {
    tp_once_state state;
    troupe_status status;
    troupe_outcome outcome;
    uint64_t expires; /* wall, ns */
    troupe_slice content_type;
    troupe_slice payload;
    troupe_slice message; /* of an error */
} tp_row_once;

typedef struct tp_row_outbox {
    uint32_t flags;    /* the sender's; kept as they are */
    uint32_t attempts; /* at sending, before this row was written */
    uint64_t created;  /* wall, ns */
    uint64_t expires;  /* wall, ns: given up after this; 0: never */
    /* Of the answer that this message carries back; OK and DONE in a request. */
    troupe_status status;
    troupe_outcome outcome;
    troupe_id target; /* valid by base/id.h */
    troupe_slice method;
    troupe_slice content_type;
    troupe_slice payload;
    /* Where the answer goes: methods of the sender, empty if it wants none. The context goes along,
     * there and back. */
    troupe_slice then_done;
    troupe_slice then_failed;
    troupe_slice then_context;
    troupe_slice baggage; /* the request context; kept as it is */
} tp_row_outbox;

typedef struct tp_row_sender {
    tp_row_number last;    /* of those received */
    uint64_t seen;         /* wall, ns: when */
    troupe_status refused; /* how that one failed; else OK */
} tp_row_sender;

typedef struct tp_row_reminder {
    uint64_t number;       /* of the next due time, from 1 */
    uint64_t due;          /* the next, wall, ns */
    uint64_t set;          /* wall, ns: when it was set */
    troupe_slice schedule; /* as given, store/schedule.h */
    troupe_slice method;
    troupe_slice content_type;
    troupe_slice payload;
} tp_row_reminder;

typedef struct tp_row_dead {
    tp_row_outbox message;
    troupe_status reason;
    uint64_t moved; /* wall, ns: when it was given up */
    troupe_slice words;
} tp_row_dead;

typedef struct tp_row {
    uint32_t kind; /* TROUPE_ROW_ONCE to TROUPE_ROW_DEAD: which member */
    union {
        tp_row_once once;
        tp_row_outbox outbox;
        tp_row_sender sender;
        tp_row_reminder reminder;
        tp_row_dead dead;
    };
} tp_row;

/* The bytes of the value. 0: a field or the key breaks its rule, or it is more than 4 GiB. */
size_t tp_row_size(const tp_row *row, troupe_slice key);

/* Writes tp_row_size(row, key) bytes, which is not 0. `seed`: tp_record_seed of the actor's id. */
void tp_row_encode(const tp_row *row, uint64_t seed, troupe_slice key, void *out);

/* The slices of `*ret_row` borrow from `value`. CORRUPT: `*ret_reason` (`ret_reason` may be NULL)
 * says what is wrong, a static text. */
TROUPE_CHECK troupe_status tp_row_decode(uint32_t kind, uint64_t seed, troupe_slice key,
    troupe_slice value, tp_row *ret_row, const char **ret_reason);

/* Puts a header with the right checksum before the fields at value + TP_ROW_HEADER_BYTES. `size` is
 * that of all. Encode ends by it; fuzzers get past the checksum by it. */
void tp_row_seal(uint32_t kind, uint64_t seed, troupe_slice key, void *value, size_t size);

/* Writes TP_ROW_NUMBER_BYTES. */
void tp_row_number_key(tp_row_number number, void *out);

/* CORRUPT: not such a key. */
TROUPE_CHECK troupe_status tp_row_number_of(troupe_slice key, tp_row_number *ret_number);

/* Below, at or above 0, as `left` was sent before, is, or was sent after `right`. */
int tp_row_number_compare(tp_row_number left, tp_row_number right);

/* Writes at most TP_ROW_KEY_MAX bytes and returns how many: the text form of the id. If that is
 * longer, it is '#' (no id begins so), 32 hex digits of its XXH3-128, and its beginning. */
size_t tp_row_sender_key(troupe_id sender, char *out);

/* The key of the row that is of no sender. */
#define TP_ROW_FORGOT "#"
static inline bool tp_row_is_forgot(uint32_t kind, troupe_slice key)
{
    return kind == TROUPE_ROW_SENDER && troupe_slice_equal(key, troupe_str(TP_ROW_FORGOT));
}

#endif
