/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of an outpost share:
 *
 *   outpost.c    events of the shard, passes, views, begin and end
 *   performer.c  what the directory wants done
 *   frames.c     what other nodes send
 *   inquiry.c    questions from outside of the shards (inquiry.h)
 *   tickets.c    which parcels of a channel are not settled yet
 *
 * Threads: the shard's.
 */
#ifndef TP_CLUSTER_OUTPOST_INSIDE_H
#define TP_CLUSTER_OUTPOST_INSIDE_H

#include "cluster/inquiry.h"
#include "cluster/outpost.h"
#include "cluster/placing.h"
#include "cluster/recall.h"

/* A message on its way through the directory. */
typedef struct tp_outpost_letter {
    tp_letter letter;
    tp_message *message;
} tp_outpost_letter;

/* An event for the directory that came while its effects were performed. */
typedef struct tp_late_event {
    tp_fifo_node next;
    tp_message *message; /* a request; or NULL: a record has gone */
    tp_directory_id id;
    char name[]; /* key, partition */
} tp_late_event;

struct tp_outpost {
    tp_away port; /* first */
    tp_shard *shard;
    tp_outpost_options options;
    tp_translator translator;
    tp_directory *directory;
    tp_recall recall;
    tp_placing placing;
    tp_cell actors, queued, bytes; /* [any reads] as of some tick */
    uint64_t gauge_at;
    tp_channels *channels;
    tp_chart *chart, *chart_before; /* the directory uses the view before until the next */
    tp_word_room words;
    tp_fifo late;
    tp_inquiries inquiries;
    bool drains, was_suspended;
    uint64_t tick_at;
    uint64_t forwarded, received, refused, lost;
};

/* tickets.c. Numbers of parcels that were sent on a channel, with what the directory calls them.
 * False: no memory. */
bool tp_ticket_note(tp_outpost *self, tp_channel *channel, uint64_t number, uint64_t ticket);
uint64_t tp_ticket_take(tp_channel *channel, uint64_t number); /* 0: it has none */
void tp_tickets_drop(void *self, tp_channel *channel);

/* performer.c. NULL: no memory; no member. */
tp_channel *tp_outpost_channel(tp_outpost *self, uint64_t node, uint32_t shard);
/* Takes the message if it is not NULL. */
tp_outpost_letter *tp_letter_make(tp_outpost *self, tp_message *message);
/* Its message is the caller's. */
tp_message *tp_letter_open(tp_outpost *self, tp_letter *letter);
tp_late_event *tp_late_make(tp_outpost *self, const tp_directory_id *id);
/* Tells who sent it that the parcel is in a mailbox, or was answered; `lost`: or its way broke. */
void tp_outpost_settle(tp_outpost *self, uint64_t node, uint32_t shard, uint64_t number, bool lost);
/* Into the mailbox of the actor, which is made if it has no record: the directory says that it is
 * here. NULL: there is no record, and the message was answered. */
tp_activation *tp_outpost_into_mailbox(tp_outpost *self, tp_message *message);
void tp_outpost_perform(tp_outpost *self, const tp_directory_effect *effect);

/* frames.c. NULL, or what is wrong with it. */
const char *tp_outpost_frame(void *self, tp_channel *channel, const tp_session_frame *frame);

#endif
