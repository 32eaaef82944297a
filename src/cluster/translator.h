/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between messages, as shards have them (shard/message.h), and parcels and replies, as they travel
 * (wire/frames.h): names for numbers, remaining time for deadlines, correspondents for shards. It
 * sends nothing and decides nothing.
 *
 * Invariants
 * 1. A message that was read is whole: its key, names and payload are copied into it.
 * 2. A type that this node has not registered is a foreign one (shard/foreign.h).
 * 3. A method that this node's type has not is kept by its name (TP_METHOD_OTHER).
 * 4. What was read of an actor of this node's types has the hash of its id: no table ever has it
 * twice.
 *
 * Threads: the shard's.
 */
#ifndef TP_CLUSTER_TRANSLATOR_H
#define TP_CLUSTER_TRANSLATOR_H

#include "cluster/correspondents.h"
#include "directory/directory.h"
#include "shard/shard.h"
#include "transport/channels.h"

typedef struct tp_translator {
    tp_shard *shard;
    uint64_t incarnation;          /* one's own */
    const tp_directory_view *view; /* the newest installed; its user keeps it right */
    tp_correspondents correspondents;
    char *scratch; /* for slips */
    size_t scratch_size;
} tp_translator;

/* What a parcel says beside its message. */
typedef struct tp_postmark {
    uint64_t order;
    uint64_t origin;    /* 0: the sender of the frame, which the letter has not been away from */
    troupe_slice trail; /* of an `origin`: incarnations, as they travel; else empty */
    uint64_t grant, home;
    uint8_t hops;
    bool only_active;
    troupe_slice unknown; /* a type that it names, for which there is no room; else empty */
} tp_postmark;

_Static_assert(TP_PARCEL_TRAIL_MAX == TP_DIRECTORY_TRAIL, "what a letter went through travels");

/* Of a letter that leaves: the mark borrows from `room`. */
typedef struct tp_trail_room {
    char bytes[8 * TP_DIRECTORY_TRAIL];
} tp_trail_room;

tp_postmark tp_postmark_of(
    const tp_translator *self, const tp_letter *letter, tp_trail_room *room);
/* Of one that arrived: all that travels with it. */
void tp_postmark_read(const tp_postmark *mark, tp_letter *letter);

TROUPE_CHECK troupe_status tp_translator_init(
    tp_translator *self, tp_shard *shard, uint64_t incarnation);
void tp_translator_deinit(tp_translator *self);

/* What a message says (from_shard) of the asker of an ask for that hash. False: no memory, no
 * number is left, or no such shard of this node. */
TROUPE_CHECK bool tp_translator_find_asker(
    tp_translator *self, uint64_t node, uint16_t shard, uint64_t hash, uint16_t *ret_from);
/* Is that the hash of the id, as far as this node can say? Of types that it has not registered it
 * cannot: they may have workers, whose hashes are their own. */
bool tp_translator_is_hash(const tp_translator *self, const tp_type *type, uint64_t hash,
    troupe_slice partition, troupe_slice key);
/* Puts a request or acknowledgement; the message stays the caller's. As
 * tp_session_put_parcel. */
TROUPE_CHECK troupe_status tp_translator_put(tp_translator *self, tp_channel *channel,
    const tp_message *message, const tp_postmark *mark, uint64_t *ret_number);
/* The same of a tell that has not become a message: no partition, no deadline, a method by number.
 */
TROUPE_CHECK troupe_status tp_translator_put_tell(tp_channel *channel,
    const tp_message_parts *parts, const tp_message_head *head, const tp_postmark *mark,
    uint64_t *ret_number);
/* A message as a parcel that needs no session to be read: for what is kept, or goes along with its
 * actor, whose mailbox it is out of (it may lack its key). Good as long as the message, and until
 * the next call. False: no memory. */
TROUPE_CHECK bool tp_translator_pack(tp_translator *self, const tp_message *message,
    const tp_activation *actor, tp_parcel *ret_parcel);
/* Puts a reply; `to`: whose answer it is. */
TROUPE_CHECK troupe_status tp_translator_put_reply(
    tp_translator *self, tp_channel *channel, const tp_message *reply, const tp_correspondent *to);

/* A parcel of `sender` becomes a message. `session`: that knows its names; NULL: it needs none.
 * NULL: *ret_fault says what is wrong with it, or is NULL: its type is `unknown`, or no memory. */
tp_message *tp_translator_read(tp_translator *self, tp_session *session, uint64_t sender,
    unsigned kind, const tp_parcel *parcel, tp_postmark *ret_mark, const char **ret_fault);
/* The refusal of such a request whose type is unknown: the answer to it, and in *ret_to for whom.
 * NULL: it wants none, or there is no memory. */
tp_message *tp_translator_refuse(tp_translator *self, uint64_t sender, const tp_parcel *parcel,
    troupe_slice unknown, uint32_t *ret_to);
/* A reply; for the shard *ret_shard of this node. NULL: no memory. */
tp_message *tp_translator_read_reply(
    tp_translator *self, const tp_wire_reply *reply, uint32_t *ret_shard);

#endif
