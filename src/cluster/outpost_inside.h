/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of an outpost share:
 *
 *   outpost.c    events of the shard, passes, views, begin and end
 *   performer.c  what the directory wants done
 *   frames.c     what other nodes send
 *   inquiry.c    questions from outside of the shards (inquiry.h)
 *   follow.c     cancels and probes that go after asks
 *   marks.c      full mailboxes
 *   line.c       parcels of a channel that are not settled yet, and what waits for credit
 *
 * Threads: the shard's.
 */
#ifndef TP_CLUSTER_OUTPOST_INSIDE_H
#define TP_CLUSTER_OUTPOST_INSIDE_H

#include "cluster/inquiry.h"
#include "cluster/mover.h"
#include "cluster/outpost.h"
#include "cluster/placing.h"
#include "cluster/recall.h"
#include "cluster/sampler.h"

/* A message on its way through the directory. */
typedef struct tp_outpost_letter {
    tp_letter letter;
    tp_message *message;
} tp_outpost_letter;

/* An event for the directory that came while its effects were performed. */
typedef enum tp_late_kind {
    TP_LATE_REQUEST,  /* message */
    TP_LATE_GONE,     /* the record of id has gone */
    TP_LATE_CAPTURED, /* what was to be captured of id is */
    TP_LATE_STAYS,    /* it is not, and goes on here */
} tp_late_kind;

typedef struct tp_late_event {
    tp_fifo_node next;
    tp_late_kind kind;
    tp_message *message;
    tp_directory_id id;
    char name[]; /* key, partition */
} tp_late_event;

#define TP_HOLD_BACK_AT 512 /* letters that wait until who tells more is held back, at most */

/* Whose senders are held back for the sake of one channel, or of the directory. */
typedef struct tp_held_back {
    tp_link link;
    uint64_t bits[TP_HELD_BACK / 64];
} tp_held_back;

#define TP_TOLD_FULL 64

struct tp_outpost {
    tp_away port; /* first */
    tp_shard *shard;
    tp_outpost_options options;
    tp_translator translator;
    tp_directory *directory;
    tp_recall recall;
    tp_placing placing;
    tp_sampler sampler;
    tp_channels *channels;
    _Atomic(tp_tls_context *) next_tls; /* [any] given, and not taken by the channels yet */
    tp_inbound rousing;                 /* on its way to the shard while `roused` is not 0 */
    _Atomic unsigned roused;            /* [any] why */
    tp_chart *chart, *chart_before;     /* the directory uses the view before until the next */
    tp_mover mover;
    tp_word_room words;
    tp_fifo late;
    tp_inquiries inquiries;
    uint32_t waiting;       /* letters, answers and words that wait for credit */
    /* Nodes that heard last that a mailbox here is full, to hear when it is not; who is forgotten
     * believes it for a moment only. */
    struct {
        uint64_t hash, origin; /* origin 0: nobody */
    } told_full[TP_TOLD_FULL];
    uint32_t told_full_at;
    tp_list held_backs;
    tp_held_back *held_back; /* whose letters the directory holds; others are their line's */
    uint64_t moves_until; /* of a node that closes; 0: it does not */
    bool drains, was_suspended;
    uint64_t tick_at;
    uint64_t counted_at; /* when links were last counted for others to see */
    uint64_t round, round_received; /* of leaving: tp_directory_sound */
    bool in_round, is_deserted;
    uint64_t received;
};

/* outpost.c, marks.c. As of its chart. */
bool tp_outpost_is_home(const tp_outpost *self, uint64_t hash);
/* So much waits before a tell of that node: it refuses more by itself for a while. False: it was
 * not said; it is said again. */
bool tp_outpost_say_full(tp_outpost *self, uint64_t origin, uint64_t hash, uint32_t waiting);
/* The same of the mailbox of an actor: it hears as well when there is room again. */
void tp_outpost_say_mailbox_full(tp_outpost *self, uint64_t origin, const tp_activation *actor);
void tp_outpost_has_room(tp_away *away, const tp_activation *actor); /* of the port */
/* NULL, or what is wrong with it. */
const char *tp_outpost_take_mark(tp_outpost *self, const tp_session_frame *frame);
/* Does the directory hold so much of that id, or of all, that who tells more is to be held back? */
bool tp_outpost_is_filling(const tp_outpost *self, const tp_directory_id *id);

/* line.c. Who tells `hash` more gets BUSY at once, in any shard and outside, until tp_let_on, and
 * so do some few others whose hashes have the same bit. What was accepted goes on waiting. */
void tp_hold_back(tp_outpost *self, tp_held_back **held, uint64_t hash);
void tp_let_on(tp_outpost *self, tp_held_back **held);
/* So many letters of one id or channel, and who tells more is held back. */
uint32_t tp_hold_back_at(const tp_outpost *self);

/* A letter to be sent; `ticket`: what the directory calls it until it is settled.
 * NO_MEMORY, TOO_LARGE, BUSY (what waits for that member is as much as may): it is the caller's
 * still. */
TROUPE_CHECK troupe_status tp_line_send(
    tp_outpost *self, tp_channel *channel, tp_letter *letter, uint64_t ticket);
/* The same of a message that needs no letter. BUSY: it has to wait, as a letter. */
TROUPE_CHECK troupe_status tp_line_pass(tp_outpost *self, tp_channel *channel, tp_message *message,
    const tp_postmark *mark, uint64_t ticket);
/* The same of a tell that is no message yet. */
TROUPE_CHECK troupe_status tp_line_tell(tp_outpost *self, tp_channel *channel,
    const tp_message_parts *parts, const tp_message_head *head, const tp_postmark *mark,
    uint64_t ticket);
/* A word of the directory. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_line_say(
    tp_outpost *self, tp_channel *channel, unsigned what, const tp_directory_word *word);
/* One that may be lost. NO_MEMORY, BUSY. */
TROUPE_CHECK troupe_status tp_line_give(
    tp_outpost *self, tp_channel *channel, unsigned what, const void *body, size_t body_size);
/* An answer, to that correspondent. Takes the message. */
void tp_line_reply(tp_outpost *self, tp_channel *channel, uint32_t to, tp_message *reply);
/* The ticket of a parcel that is settled; 0: it has none. */
uint64_t tp_line_take(tp_channel *channel, uint64_t number);
void tp_line_flush(void *self, tp_channel *channel);
void tp_line_drop(void *self, tp_channel *channel);

/* performer.c. NULL: no memory; no member. */
tp_channel *tp_outpost_channel(tp_outpost *self, uint64_t node, uint32_t shard);
/* Takes the message if it is not NULL. */
tp_outpost_letter *tp_letter_make(tp_outpost *self, tp_message *message);
/* Its message is the caller's. */
tp_message *tp_letter_open(tp_outpost *self, tp_letter *letter);
/* NULL: no memory, counted. Put into `late` by who made it. */
tp_late_event *tp_late_make(tp_outpost *self, tp_late_kind kind, const tp_directory_id *id);
/* Into the mailbox of the actor, whose record has been looked for, and is made if it has none: the
 * directory says that it is here. Its type is one of this node's. `origin`: the node that began it.
 * NULL: there is no record, and the message was answered. */
tp_activation *tp_outpost_into(
    tp_outpost *self, tp_activation *actor, tp_message *message, uint64_t origin);
/* It cannot leave by the way of that ticket, over that channel (NULL: there is none), and never
 * will: who sent it is told. Takes it. */
void tp_outpost_no_way(tp_outpost *self, const tp_channel *channel, tp_message *message,
    uint64_t ticket, troupe_status status);
/* An answer or acknowledgement that is too large for that channel, as one that says so. NULL: no
 * memory. */
tp_message *tp_outpost_say_too_large(
    tp_outpost *self, const tp_channel *channel, const tp_message *message);
/* A request of this node that goes the way of those before it. False: it needs a letter. */
bool tp_outpost_pass_by(
    tp_outpost *self, const tp_message_parts *parts, const tp_message_head *head);
bool tp_outpost_follow(tp_outpost *self, tp_message *message);
void tp_outpost_perform(tp_outpost *self, const tp_directory_effect *effect);

/* follow.c. A cancel or probe, to `node`, or (0) to where the id of its hash is, as far as it is
 * known; the message stays the caller's. False: it went nowhere. */
bool tp_follow_send(tp_outpost *self, uint64_t node, const tp_message *message);
/* NULL, or what is wrong with it. */
const char *tp_follow_came(tp_outpost *self, unsigned what, troupe_slice body);

/* frames.c. NULL, or what is wrong with it. */
const char *tp_outpost_frame(void *self, tp_channel *channel, const tp_session_frame *frame);

#endif
