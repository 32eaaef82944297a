/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions from outside of the shards to a shard of any node, and their answers: where the home
 * says that an actor is, how an actor fares, which actors are at home somewhere. For those who look
 * (src/node/looking.c); no call of an actor rests on them.
 *
 * A question goes by the inbox of a shard of this node to its outpost, from there as a WORD
 * (TP_WORD_INQUIRY) to the shard that is asked, and comes back as TP_WORD_INFORMED. A shard of
 * this node that is asked is its own carrier.
 *
 *   question   kind u8, then
 *     HOME, SIGHT   hash u64 · type u8 text · partition u8 text · key u16 text
 *     MOVE          status u32
 *     PAGE          cursor u64 · limit u32 · type u8 text · pattern u16 text
 *   answer
 *     HOME          host u64 · activations u32 · flags u8 (TP_HOME_*)
 *     SIGHT         found u8 · shard u32 · age, idle, received, processed, errors, bytes u64 ·
 *                   queued, parked u32 · phase u8 text
 *     PAGE          cursor u64 · settled u8 · count u32 ·
 *                   items: host u64 · type u8 text · partition u8 text · key u16 text
 *
 * Bounded: TP_INQUIRIES_MAX open ones of a shard (BUSY); TP_INQUIRY_PAGE items of a page.
 * Threads: `tp_inquire` any that is no runner; the rest the shard's.
 */
#ifndef TP_CLUSTER_INQUIRY_H
#define TP_CLUSTER_INQUIRY_H

#include "cluster/outpost.h"
#include "cluster/words.h"
#include "wire/octets.h"

#define TP_INQUIRIES_MAX 256
#define TP_INQUIRY_PAGE  1000
#define TP_PATTERN_MAX   1024

enum { TP_INQUIRY_HOME = 1, TP_INQUIRY_SIGHT, TP_INQUIRY_PAGE_OF, TP_INQUIRY_MOVE };
enum { TP_HOME_IS_HOME = 1, TP_HOME_IS_SETTLED = 2 };

#define TP_INQUIRY_ROOM (2048 + TP_PATTERN_MAX) /* of a question */

typedef struct tp_inquiry_question {
    uint64_t node;  /* incarnation of the member that is asked */
    uint32_t shard; /* of it */
    size_t size;
    char bytes[TP_INQUIRY_ROOM];
} tp_inquiry_question;

void tp_inquiry_ask_id(tp_inquiry_question *question, unsigned kind, uint64_t hash,
    troupe_slice type, troupe_slice partition, troupe_slice key);
/* To begin to move it to that member. */
void tp_inquiry_ask_move(tp_inquiry_question *question, uint64_t hash, troupe_slice type,
    troupe_slice partition, troupe_slice key, uint64_t to);
void tp_inquiry_ask_page(tp_inquiry_question *question, uint64_t cursor, uint32_t limit,
    troupe_slice type, troupe_slice pattern);

/* Waits for the answer: bytes of the shared allocator, the caller's. TIMEOUT; UNAVAILABLE: no such
 * member; BUSY, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_inquire(tp_shared *shared, const tp_inquiry_question *question,
    uint64_t deadline, char **ret_answer, size_t *ret_size);

/* ---- of an outpost ---- */

typedef struct tp_inquiries {
    tp_list open;
    uint32_t count;
    uint64_t next;
} tp_inquiries;

void tp_inquiries_init(tp_inquiries *self);
void tp_inquiries_deinit(tp_inquiries *self);
/* Lets go those that nobody waits for any more, or whose member has gone. */
void tp_inquiries_tick(tp_outpost *outpost);
/* A WORD of these came. NULL, or what is wrong with it. */
TROUPE_CHECK const char *tp_inquiry_came(
    tp_outpost *outpost, tp_channel *channel, unsigned what, troupe_slice body);

#endif
