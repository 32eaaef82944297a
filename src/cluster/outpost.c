/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a cluster that a shard has. See outpost.h. */
#include "cluster/outpost.h"

#include "base/alloc.h"
#include "shard/durable.h"

#include <stdio.h>

#define TICK         TROUPE_MILLISECONDS(20) /* of the directory, while it has something open */
#define TICK_AT_REST TROUPE_SECONDS(1)
#define TICKETS      256 /* parcels of a channel that may be unsettled, at first */

/* A message on its way through the directory. */
typedef struct outpost_letter {
    tp_letter letter;
    tp_message *message;
} outpost_letter;

/* What the directory calls a parcel that was sent on a channel: by parcel number. */
typedef struct tickets {
    uint64_t *list;  /* ring */
    uint64_t size;   /* power of two */
    uint64_t oldest; /* number of the first that may be unsettled */
} tickets;

/* An event for the directory that came while its effects were performed. */
typedef struct late_event {
    tp_fifo_node next;
    tp_message *message; /* a request; or NULL: a record has gone */
    tp_directory_id id;
    char name[]; /* key, partition */
} late_event;

struct tp_outpost {
    tp_away port; /* first */
    tp_shard *shard;
    tp_outpost_options options;
    tp_translator translator;
    tp_directory *directory;
    tp_channels *channels;
    tp_chart *chart, *chart_before; /* the directory uses the view before until the next */
    tp_word_room words;
    tp_fifo late;
    bool drains, was_suspended;
    uint64_t tick_at;
    uint64_t forwarded, received, refused, lost;
};

static tp_outpost *of(tp_away *away)
{
    return (tp_outpost *)(void *)away;
}

/* ---- channels and tickets -------------------------------------------------------------------- */

static tp_channel *channel_to(tp_outpost *self, uint64_t node, uint32_t shard)
{
    return tp_channels_get(self->channels, node, (uint16_t)shard);
}

static bool note_ticket(tp_outpost *self, tp_channel *channel, uint64_t number, uint64_t ticket)
{
    const troupe_allocator *allocator = self->shard->shared->allocator;
    tickets *noted = channel->user;
    if (noted == NULL) {
        noted = tp_allocate_zeroed(allocator, sizeof *noted);
        if (noted == NULL)
            return false;
        noted->oldest = number;
        channel->user = noted;
    }
    if (number - noted->oldest >= noted->size) {
        uint64_t size = noted->size != 0 ? noted->size * 2 : TICKETS;
        while (number - noted->oldest >= size)
            size *= 2;
        uint64_t *grown = tp_allocate_zeroed(allocator, size * sizeof *grown);
        if (grown == NULL)
            return false;
        for (uint64_t i = noted->oldest; i < number; i++)
            grown[i & (size - 1)] = noted->list[i & (noted->size - 1)];
        tp_release(allocator, noted->list, noted->size * sizeof *grown);
        noted->list = grown;
        noted->size = size;
    }
    noted->list[number & (noted->size - 1)] = ticket;
    return true;
}

/* 0: it has none. */
static uint64_t take_ticket(tp_channel *channel, uint64_t number)
{
    tickets *noted = channel->user;
    if (noted == NULL || number < noted->oldest || number - noted->oldest >= noted->size)
        return 0;
    uint64_t *at = &noted->list[number & (noted->size - 1)];
    uint64_t ticket = *at;
    *at = 0;
    uint64_t last = channel->session.parcels;
    while (noted->oldest <= last && noted->list[noted->oldest & (noted->size - 1)] == 0)
        noted->oldest++;
    return ticket;
}

static void drop_tickets(void *user, tp_channel *channel)
{
    tp_outpost *self = user;
    const troupe_allocator *allocator = self->shard->shared->allocator;
    tickets *noted = channel->user;
    if (noted == NULL)
        return;
    tp_release(allocator, noted->list, noted->size * sizeof *noted->list);
    tp_release(allocator, noted, sizeof *noted);
    channel->user = NULL;
}

/* ---- letters --------------------------------------------------------------------------------- */

/* The asker of a request of this node, so that it can be told that its way broke. */
static uint64_t token_of(const tp_message *message)
{
    if (message->kind != TP_ASK || tp_is_away(message->from_shard))
        return 0;
    return (uint64_t)(message->from_shard + 1u) << 52 | (uint64_t)message->from.slot << 24 |
           (message->from.generation & 0xFFFFFF);
}

static outpost_letter *letter_make(tp_outpost *self, tp_message *message)
{
    outpost_letter *made = tp_pool_take(&self->shard->pool, sizeof *made);
    if (made == NULL)
        return NULL;
    memset(made, 0, sizeof *made);
    made->message = message;
    made->letter.id = (tp_directory_id){.hash = message->hash,
        .type = message->type->number,
        .partition = tp_message_partition(message),
        .key = tp_message_key(message)};
    made->letter.deadline = message->deadline;
    made->letter.token = token_of(message);
    made->letter.bytes = (uint32_t)tp_message_bytes(message);
    return made;
}

/* Its message is the caller's. */
static tp_message *letter_open(tp_outpost *self, tp_letter *letter)
{
    outpost_letter *mine = TP_CONTAINER(letter, outpost_letter, letter);
    tp_message *message = mine->message;
    tp_pool_give(&self->shard->pool, mine);
    return message;
}

static void settle(tp_outpost *self, uint64_t node, uint32_t shard, uint64_t number, bool lost)
{
    tp_channel *channel = tp_channels_find(self->channels, node, (uint16_t)shard);
    if (channel == NULL)
        return; /* its node is gone, and with it who waits for this */
    if (lost) {
        char *at;
        uint64_t frame;
        const tp_directory_word word = {.number = number};
        tp_wire_word out = {.what = TP_WORD_LOST, .body = {NULL, 0}};
        size_t size = tp_wire_word_size(&out) + tp_word_size(&self->translator, &word);
        if (tp_session_put(&channel->session, TP_FRAME_WORD, 0, size, &at, &frame) == TROUPE_OK) {
            tp_wire_word_put(at, &out);
            tp_word_put(&self->translator, at + tp_wire_word_size(&out), &word);
        }
    }
    if (tp_session_settle(&channel->session, number) != TROUPE_OK)
        tp_count(&self->shard->counters.no_memory);
}

/* ---- what the directory wants ---------------------------------------------------------------- */

static tp_activation *find(tp_outpost *self, const tp_directory_id *id)
{
    if (id->type >= TP_FOREIGN_FIRST)
        return NULL;
    return tp_activation_find(self->shard, tp_translator_type_at(&self->translator, id->type),
        id->hash, id->partition, id->key);
}

static void guard(tp_outpost *self, tp_activation *actor, bool guarded)
{
    if (guarded)
        actor->flags |= TP_GUARDED;
    else
        actor->flags &= (uint16_t)~TP_GUARDED;
    if (self->shard->recent[actor->hash % TP_RECENT].actor == actor)
        self->shard->recent[actor->hash % TP_RECENT] = (tp_recent){.actor = NULL};
}

static bool has_method(const tp_message *message)
{
    return message->kind > TP_ASK || message->method != TP_METHOD_OTHER ||
           message->type->is.otherwise != NULL || tp_message_slip(message) != NULL;
}

/* Into the mailbox of the actor, which is made if it has no record: the directory says that it is
 * here. NULL: there is no record, and the message was answered. */
static tp_activation *into_mailbox(tp_outpost *self, tp_message *message)
{
    tp_shard *shard = self->shard;
    if (tp_translator_is_foreign(message->type)) {
        tp_message_answer(
            shard, message, TROUPE_NO_TYPE, TROUPE_NOT_DONE, "this node does not host the type");
        return NULL;
    }
    tp_activation *actor = tp_activation_find(shard, message->type, message->hash,
        tp_message_partition(message), tp_message_key(message));
    if (!has_method(message)) {
        char words[TP_NAME_MAX + 64];
        (void)snprintf(words, sizeof words, "the type has no method '%.*s' on the node it is at",
            TROUPE_ARG(tp_message_method_name(message)));
        tp_message_answer(shard, message, TROUPE_NO_METHOD, TROUPE_NOT_DONE, "%s", words);
        return actor;
    }
    if (actor == NULL)
        return tp_accept_granted(shard, message);
    if (message->kind == TP_ACKED)
        tp_outbox_acked(shard, message);
    else
        tp_accept_at(shard, actor, message);
    return actor;
}

static late_event *late_make(tp_outpost *self, const tp_directory_id *id)
{
    size_t size = id != NULL ? id->key.size + id->partition.size : 0;
    late_event *event = tp_pool_take(&self->shard->pool, sizeof *event + size);
    if (event == NULL) {
        tp_count(&self->shard->counters.no_memory);
        return NULL;
    }
    memset(event, 0, sizeof *event);
    if (id == NULL)
        return event;
    memcpy(event->name, id->key.data, id->key.size);
    if (id->partition.size != 0)
        memcpy(event->name + id->key.size, id->partition.data, id->partition.size);
    event->id = *id;
    event->id.key.data = event->name;
    event->id.partition.data = event->name + id->key.size;
    return event;
}

static void deliver(tp_outpost *self, const tp_directory_effect *effect)
{
    uint64_t from = effect->letter->from, number = effect->letter->number;
    uint32_t shard = effect->shard;
    bool guarded = effect->guarded;
    /* Should it not come to be. Without memory for that it stays ours, and is made when asked. */
    late_event *release = effect->create ? late_make(self, &effect->letter->id) : NULL;
    tp_activation *actor = into_mailbox(self, letter_open(self, effect->letter));
    if (actor != NULL && guarded)
        guard(self, actor, true);
    if (actor == NULL && release != NULL)
        tp_fifo_push_back(&self->late, &release->next);
    else if (release != NULL)
        tp_pool_give(&self->shard->pool, release);
    if (from != 0)
        settle(self, from, shard, number, false);
}

static void forward(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_letter *letter = effect->letter;
    tp_shard *shard = self->shard;
    const tp_postmark mark = {.order = letter->order,
        .origin = letter->origin == self->options.incarnation ? 0 : letter->origin,
        .grant = letter->grant.number,
        .home = letter->grant.home,
        .hops = letter->hops,
        .only_active = (letter->flags & TP_LETTER_ACTIVE) != 0};
    tp_channel *channel = channel_to(self, effect->node, effect->shard);
    uint64_t number = 0;
    troupe_status status = channel == NULL ? TROUPE_UNAVAILABLE : TROUPE_OK;
    tp_message *message = letter_open(self, letter);
    if (status == TROUPE_OK)
        status = tp_translator_put(&self->translator, channel, message, NULL, &mark, &number);
    if (status == TROUPE_OK && note_ticket(self, channel, number, effect->number)) {
        self->forwarded++;
        tp_pool_give(&shard->pool, message);
        return;
    }
    self->refused++;
    if (status == TROUPE_OK) { /* it left, but its end will not be known: as if it were settled */
        tp_pool_give(&shard->pool, message);
    } else {
        tp_message_answer(shard, message, status, TROUPE_NOT_DONE,
            "the way to its node is full or closed at the moment; try again later");
    }
    tp_directory_settled(self->directory, effect->number, false);
}

static void refuse(tp_outpost *self, const tp_directory_effect *effect)
{
    uint64_t from = effect->letter->from, number = effect->letter->number;
    uint32_t shard = effect->shard;
    troupe_status status = effect->status;
    tp_message *message = letter_open(self, effect->letter);
    self->refused++;
    tp_message_answer(
        self->shard, message, status, TROUPE_NOT_DONE, "%s", troupe_status_text(status));
    if (from != 0)
        settle(self, from, shard, number, false);
}

static void way_broke(tp_outpost *self, uint64_t token)
{
    self->lost++;
    if (token == 0) {
        tp_count(&self->shard->counters.dead_letters);
        return;
    }
    const tp_message_parts parts = {.content_type = TROUPE_TEXT,
        .payload = troupe_str("its node left the cluster before it answered; it may have run")};
    tp_message *reply = tp_message_make(&self->shard->pool, &parts);
    if (reply == NULL)
        return; /* its deadline ends it */
    uint32_t to = (uint32_t)(token >> 52) - 1;
    reply->kind = TP_REPLY;
    reply->from.slot = (uint32_t)(token >> 24) & 0xFFFFFFF;
    reply->from.generation = (uint32_t)token & 0xFFFFFF;
    reply->status = TROUPE_UNKNOWN;
    reply->outcome = TROUPE_UNKNOWN_OUTCOME;
    tp_reply_leave(self->shard, to, reply);
}

static void say(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_channel *channel = channel_to(self, effect->node, effect->shard);
    if (channel == NULL)
        return;
    const tp_wire_word out = {.what = (uint8_t)effect->word.kind, .body = {NULL, 0}};
    size_t head = tp_wire_word_size(&out);
    size_t size = head + tp_word_size(&self->translator, &effect->word);
    char *at;
    uint64_t number;
    if (tp_session_put(&channel->session, TP_FRAME_WORD, 0, size, &at, &number) != TROUPE_OK) {
        tp_count(&self->shard->counters.no_memory); /* it is repeated, or asked for again */
        return;
    }
    tp_wire_word_put(at, &out);
    tp_word_put(&self->translator, at + head, &effect->word);
}

static void place(tp_outpost *self, const tp_directory_effect *effect)
{
    const tp_type *type = tp_translator_type_at(&self->translator, effect->id.type);
    uint64_t node = self->options.place(
        self->options.user, self->chart, type, effect->id.hash, effect->node, &self->shard->prng);
    char name[TP_KEY_MAX + TP_NAME_MAX];
    tp_directory_id id = effect->id; /* borrowed until the next call: kept */
    memcpy(name, id.key.data, id.key.size);
    memcpy(name + id.key.size, id.partition.data, id.partition.size);
    id.key.data = name;
    id.partition.data = name + id.key.size;
    tp_directory_placed(self->directory, &id, node, node != 0 ? TROUPE_OK : TROUPE_NO_TYPE);
}

static void unguard(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_activation *actor = find(self, &effect->id);
    if (actor != NULL)
        guard(self, actor, false);
}

static void perform(tp_outpost *self, const tp_directory_effect *effect)
{
    switch (effect->kind) {
    case TP_DIRECTORY_DELIVER:
        deliver(self, effect);
        return;
    case TP_DIRECTORY_FORWARD:
        forward(self, effect);
        return;
    case TP_DIRECTORY_REFUSE:
        refuse(self, effect);
        return;
    case TP_DIRECTORY_DISCARD:
        tp_pool_give(&self->shard->pool, letter_open(self, effect->letter));
        return;
    case TP_DIRECTORY_SETTLE:
        settle(self, effect->node, effect->shard, effect->number, effect->lost);
        return;
    case TP_DIRECTORY_LOST:
        way_broke(self, effect->token);
        return;
    case TP_DIRECTORY_WORD:
        say(self, effect);
        return;
    case TP_DIRECTORY_PLACE:
        place(self, effect);
        return;
    case TP_DIRECTORY_UNGUARD:
        unguard(self, effect);
        return;
    case TP_DIRECTORY_TARDY:
        self->options.tardy(self->options.user, effect->node);
        return;
    default:
        return;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void feed_request(tp_outpost *self, tp_message *message)
{
    outpost_letter *made = letter_make(self, message);
    if (made == NULL) {
        tp_count(&self->shard->counters.no_memory);
        tp_message_answer(self->shard, message, TROUPE_NO_MEMORY, TROUPE_NOT_DONE,
            "no memory for a message to another node");
        return;
    }
    tp_directory_request(self->directory, &made->letter);
}

static void feed_late(tp_outpost *self, late_event *event)
{
    if (event->message != NULL) {
        feed_request(self, event->message);
    } else if (tp_directory_release(self->directory, &event->id) != TROUPE_OK) {
        tp_count(&self->shard->counters.no_memory); /* it stays ours, and is made anew when asked */
    }
    tp_pool_give(&self->shard->pool, event);
}

void tp_outpost_drain(tp_outpost *self)
{
    if (self->drains)
        return;
    self->drains = true;
    for (;;) {
        const tp_directory_effect *effect;
        while ((effect = tp_directory_effect_take(self->directory)) != NULL)
            perform(self, effect);
        tp_fifo_node *node = tp_fifo_pop_front(&self->late);
        if (node == NULL)
            break;
        feed_late(self, TP_CONTAINER(node, late_event, next));
    }
    self->drains = false;
}

static void absent_cancel(tp_outpost *self, tp_message *cancel)
{
    /* It goes where its ask went: the host, as far as it is known. The deadline goes with the ask,
     * so that nothing hangs where it is not. */
    tp_pool_give(&self->shard->pool, cancel);
}

static void absent(tp_away *away, tp_message *message)
{
    tp_outpost *self = of(away);
    if (message->kind == TP_CANCEL) {
        absent_cancel(self, message);
        return;
    }
    if (!self->drains && tp_fifo_is_empty(&self->late)) {
        feed_request(self, message);
        tp_outpost_drain(self);
        return;
    }
    late_event *event = late_make(self, NULL);
    if (event == NULL) {
        tp_message_answer(self->shard, message, TROUPE_NO_MEMORY, TROUPE_NOT_DONE,
            "no memory for a message to another node");
        return;
    }
    event->message = message;
    tp_fifo_push_back(&self->late, &event->next);
    tp_outpost_drain(self);
}

static void gone(tp_away *away, const tp_activation *actor)
{
    tp_outpost *self = of(away);
    const tp_directory_id id = {.hash = actor->hash,
        .type = actor->type->number,
        .partition = tp_activation_partition(actor),
        .key = tp_activation_key(actor)};
    late_event *event = late_make(self, &id);
    if (event != NULL) /* else as above */
        tp_fifo_push_back(&self->late, &event->next);
    /* The record is in the table until the caller returns: the directory hears of it then. */
}

/* ---- what other nodes send ------------------------------------------------------------------- */

static const char *take_request(
    tp_outpost *self, tp_channel *channel, const tp_session_frame *frame)
{
    tp_shard *shard = self->shard;
    tp_parcel parcel;
    tp_postmark mark;
    const char *fault = tp_parcel_get(frame->body, &parcel);
    if (fault == NULL && tp_hash_shard(parcel.hash, shard->shared->shard_count) != shard->number)
        fault = "it is for another shard";
    if (fault != NULL)
        return fault;
    tp_message *message =
        tp_translator_read(&self->translator, channel, frame->kind, &parcel, &mark, &fault);
    if (message == NULL)
        return fault != NULL ? fault : "no memory for it now";
    self->received++;
    tp_arrivals_flush(shard);
    tp_activation *actor = tp_translator_is_foreign(message->type)
                               ? NULL
                               : tp_activation_find(shard, message->type, message->hash,
                                     tp_message_partition(message), tp_message_key(message));
    if (frame->kind == TP_FRAME_CANCEL) {
        tp_cancel_arrived(shard, message);
        settle(self, channel->peer, channel->shard, frame->parcel, false);
        return NULL;
    }
    if (actor != NULL && !(actor->flags & TP_GUARDED) && mark.grant == 0) {
        (void)into_mailbox(self, message);
        settle(self, channel->peer, channel->shard, frame->parcel, false);
        return NULL;
    }
    outpost_letter *made = letter_make(self, message);
    if (made == NULL) {
        tp_pool_give(&shard->pool, message);
        return "no memory for it now";
    }
    made->letter.from = channel->peer;
    made->letter.number = frame->parcel;
    made->letter.origin = mark.origin;
    made->letter.order = mark.order;
    made->letter.grant = (tp_grant){mark.grant, mark.home};
    made->letter.hops = mark.hops;
    made->letter.flags = mark.only_active ? TP_LETTER_ACTIVE : 0;
    tp_directory_arrived(self->directory, &made->letter);
    tp_outpost_drain(self);
    return NULL;
}

static const char *take_reply(tp_outpost *self, const tp_session_frame *frame)
{
    tp_wire_reply reply;
    const char *fault = tp_wire_reply_get(frame->body, &reply);
    if (fault != NULL)
        return fault;
    if (reply.shard >= self->shard->shared->shard_count)
        return "it is for a shard that there is not";
    uint32_t to;
    tp_message *message = tp_translator_read_reply(&self->translator, frame->kind, &reply, &to);
    if (message == NULL)
        return "no memory for it now";
    tp_reply_leave(self->shard, to, message);
    return NULL;
}

static const char *take_settled(
    tp_outpost *self, tp_channel *channel, const tp_session_frame *frame)
{
    tp_wire_settled settled;
    const char *fault = tp_wire_settled_get(frame->body, &settled);
    if (fault != NULL)
        return fault;
    tp_wire_range range;
    while (tp_wire_settled_next(&settled, &range))
        for (uint64_t i = 0; i < range.count; i++) {
            uint64_t ticket = take_ticket(channel, range.first + i);
            if (ticket == 0)
                continue;
            tp_directory_settled(self->directory, ticket, false);
            tp_outpost_drain(self);
        }
    return NULL;
}

static const char *take_word(tp_outpost *self, tp_channel *channel, const tp_session_frame *frame)
{
    tp_wire_word in;
    tp_directory_word word;
    bool is_short;
    const char *fault = tp_wire_word_get(frame->body, &in);
    if (fault != NULL)
        return fault;
    if (in.what == TP_WORD_LOST) {
        fault = tp_word_get(&self->translator, &self->words, 0, in.body, &word, &is_short);
        if (fault != NULL || is_short)
            return fault;
        uint64_t ticket = take_ticket(channel, word.number);
        if (ticket != 0) {
            tp_directory_settled(self->directory, ticket, true);
            tp_outpost_drain(self);
        }
        return NULL;
    }
    fault = tp_word_get(&self->translator, &self->words, in.what, in.body, &word, &is_short);
    if (fault != NULL)
        return fault;
    if (is_short ||
        tp_directory_word_came(self->directory, channel->peer, channel->shard, &word) != TROUPE_OK)
        return "no memory for it now";
    tp_outpost_drain(self);
    return NULL;
}

/* A mailbox elsewhere is full, or is not any more: all shards of this node are told. */
static const char *take_mark(tp_outpost *self, const tp_session_frame *frame)
{
    uint64_t hash;
    const char *fault = tp_wire_mark_get(frame->body, &hash);
    for (uint32_t to = 0; fault == NULL && to < self->shard->shared->shard_count; to++) {
        const tp_message_parts none = {0};
        tp_message *mark = tp_message_make(&self->shard->pool, &none);
        if (mark == NULL)
            break; /* a hint */
        mark->kind = frame->kind == TP_FRAME_FULL ? TP_FULL : TP_CLEAR;
        mark->hash = hash;
        tp_send_control(self->shard, to, mark);
    }
    return fault;
}

static const char *on_frame(void *user, tp_channel *channel, const tp_session_frame *frame)
{
    tp_outpost *self = user;
    switch (frame->kind) {
    case TP_FRAME_REQUEST:
    case TP_FRAME_ACKED:
    case TP_FRAME_CANCEL:
        return take_request(self, channel, frame);
    case TP_FRAME_REPLY:
        return take_reply(self, frame);
    case TP_FRAME_SETTLED:
        return take_settled(self, channel, frame);
    case TP_FRAME_WORD:
        return take_word(self, channel, frame);
    case TP_FRAME_FULL:
    case TP_FRAME_CLEAR:
        return take_mark(self, frame);
    default:
        return NULL;
    }
}

/* ---- what this node sends to others ---------------------------------------------------------- */

static void send_mark(tp_outpost *self, const tp_correspondent *to, const tp_message *message)
{
    tp_channel *channel = tp_channels_find(self->channels, to->peer, to->agent);
    char *at;
    uint64_t number;
    tp_frame_kind kind = message->kind == TP_FULL ? TP_FRAME_FULL : TP_FRAME_CLEAR;
    if (channel != NULL &&
        tp_session_put(&channel->session, kind, 0, TP_WIRE_MARK_BYTES, &at, &number) == TROUPE_OK)
        tp_wire_mark_put(at, message->hash);
}

static void send_away(tp_away *away, uint32_t number, tp_message *message)
{
    tp_outpost *self = of(away);
    tp_shard *shard = self->shard;
    const tp_correspondent *to = tp_correspondents_at(&self->translator.correspondents, number);
    if (message->kind == TP_ACKED) { /* its sender is an actor: wherever that is now */
        tp_send_control(shard, tp_hash_shard(message->hash, shard->shared->shard_count), message);
        return;
    }
    if (message->kind == TP_FULL || message->kind == TP_CLEAR) {
        send_mark(self, to, message);
    } else if (message->kind == TP_REPLY && !to->is_gone) {
        tp_channel *channel = channel_to(self, to->peer, to->agent);
        if (channel == NULL ||
            tp_translator_put_reply(&self->translator, channel, message, to) != TROUPE_OK)
            tp_count(&shard->counters.no_memory); /* the asker's deadline ends it: UNKNOWN */
    }
    tp_pool_give(&shard->pool, message);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static bool pass(tp_away *away)
{
    tp_outpost *self = of(away);
    tp_shard *shard = self->shard;
    if (shard->now >= self->tick_at) {
        tp_directory_tick(self->directory, shard->now);
        self->tick_at = shard->now + TICK;
    }
    tp_outpost_drain(self);
    for (int i = 0; i < 16 && tp_directory_work(self->directory); i++)
        tp_outpost_drain(self);
    tp_outpost_drain(self);
    (void)tp_channels_pass(self->channels, shard->now);
    tp_outpost_drain(self);
    bool holds = tp_lease_holds(shard->shared);
    if (holds && self->was_suspended)
        tp_outside_let_go(shard, false);
    self->was_suspended = !holds;
    return holds;
}

static bool has_open(const tp_outpost *self)
{
    tp_directory_figures figures;
    tp_directory_figures_get(self->directory, &figures);
    return figures.held != 0 || figures.ways != 0 || figures.tasks != 0;
}

static uint64_t flush(tp_away *away)
{
    tp_outpost *self = of(away);
    tp_outpost_drain(self);
    uint64_t due = tp_channels_flush(self->channels, self->shard->now);
    uint64_t tick = self->shard->now + (has_open(self) ? TICK : TICK_AT_REST);
    return due < tick ? due : tick;
}

static bool has_arrivals(const tp_away *away)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    return tp_channels_has_arrivals(self->channels) || !tp_fifo_is_empty(&self->late);
}

static bool is_quiet(const tp_away *away)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    return tp_fifo_is_empty(&self->late) && !has_open(self) && tp_channels_are_idle(self->channels);
}

/* ---- views ----------------------------------------------------------------------------------- */

typedef struct view_delivery {
    tp_inbound inbound;
    tp_outpost *outpost;
    tp_chart *before, *chart;
} view_delivery;

/* False: no memory; again. */
static bool install_one(tp_outpost *self, tp_chart *chart)
{
    if (self->chart != NULL && chart->view.number <= self->chart->view.number)
        return true;
    if (tp_directory_install(self->directory, &chart->view) != TROUPE_OK)
        return false;
    tp_chart_release(self->chart_before);
    self->chart_before = self->chart;
    self->chart = tp_chart_retain(chart);
    self->translator.view = &self->chart->view;
    tp_outpost_drain(self);
    return true;
}

static void leave_gone(tp_outpost *self)
{
    for (uint32_t i = 0; self->chart_before != NULL && i < self->chart_before->view.member_count;
         i++) {
        uint64_t node = self->chart_before->view.members[i].node;
        if (tp_directory_find_member(&self->chart->view, node) != TP_DIRECTORY_NOBODY)
            continue;
        tp_correspondents_gone(&self->translator.correspondents, node);
        tp_channels_gone(self->channels, node, drop_tickets, self);
    }
}

static void view_came(tp_shard *shard, tp_inbound *inbound)
{
    view_delivery *delivery = TP_CONTAINER(inbound, view_delivery, inbound);
    tp_outpost *self = delivery->outpost;
    bool done = (delivery->before == NULL || install_one(self, delivery->before)) &&
                install_one(self, delivery->chart);
    if (!done) {
        tp_count(&shard->counters.no_memory);
        tp_inbox_push(shard, inbound); /* again with the next pass */
        return;
    }
    tp_channels_set_view(self->channels, self->options.incarnation, self->chart->view.number);
    leave_gone(self);
    tp_chart_release(delivery->before);
    tp_chart_release(delivery->chart);
    tp_release(shard->shared->allocator, delivery, sizeof *delivery);
}

troupe_status tp_outpost_install(tp_outpost *self, tp_chart *before, tp_chart *chart)
{
    view_delivery *delivery = tp_allocate(self->shard->shared->allocator, sizeof *delivery);
    if (delivery == NULL)
        return TROUPE_NO_MEMORY;
    *delivery = (view_delivery){
        .inbound = {.arrive = view_came}, .outpost = self, .before = before, .chart = chart};
    tp_inbox_push(self->shard, &delivery->inbound);
    return TROUPE_OK;
}

/* ---- connections and the lease, from the control runner ---------------------------------------
 */

typedef struct guest_delivery {
    tp_inbound inbound;
    tp_outpost *outpost;
    tp_socket socket;
    tp_preamble preamble;
    size_t size; /* of `rest` */
    char rest[];
} guest_delivery;

static void guest_came(tp_shard *shard, tp_inbound *inbound)
{
    guest_delivery *guest = TP_CONTAINER(inbound, guest_delivery, inbound);
    tp_channels_accept(
        guest->outpost->channels, guest->socket, guest->preamble, guest->rest, guest->size);
    tp_release(shard->shared->allocator, guest, sizeof *guest + guest->size);
}

void tp_outpost_adopt(
    tp_outpost *self, tp_socket socket, tp_preamble preamble, const void *rest, size_t rest_size)
{
    tp_shared *shared = self->shard->shared;
    guest_delivery *guest = tp_allocate(shared->allocator, sizeof *guest + rest_size);
    if (guest == NULL) {
        shared->env->net.drop(shared->env, socket);
        return;
    }
    *guest = (guest_delivery){.inbound = {.arrive = guest_came},
        .outpost = self,
        .socket = socket,
        .preamble = preamble,
        .size = rest_size};
    memcpy(guest->rest, rest, rest_size);
    tp_inbox_push(self->shard, &guest->inbound);
}

typedef struct rouse_delivery {
    tp_inbound inbound;
    bool is_lost;
} rouse_delivery;

static void roused(tp_shard *shard, tp_inbound *inbound)
{
    rouse_delivery *delivery = TP_CONTAINER(inbound, rouse_delivery, inbound);
    if (delivery->is_lost)
        tp_outside_let_go(shard, true);
    tp_release(shard->shared->allocator, delivery, sizeof *delivery);
}

void tp_outpost_rouse(tp_outpost *self, bool is_lost)
{
    tp_shared *shared = self->shard->shared;
    rouse_delivery *delivery = tp_allocate(shared->allocator, sizeof *delivery);
    if (delivery == NULL) { /* its next pass sees the lease; what is lost ends by its deadline */
        shared->env->runner_wake(shared->env, &self->shard->runner);
        return;
    }
    *delivery = (rouse_delivery){.inbound = {.arrive = roused}, .is_lost = is_lost};
    tp_inbox_push(self->shard, &delivery->inbound);
}

/* ---- calls of the channels ------------------------------------------------------------------- */

static bool find_member(void *user, uint64_t incarnation, char *address, size_t size)
{
    tp_outpost *self = user;
    const tp_view_member *member =
        self->chart != NULL ? tp_chart_member(self->chart, incarnation) : NULL;
    if (member == NULL || member->address.size >= size)
        return false;
    memcpy(address, member->address.data, member->address.size);
    address[member->address.size] = 0;
    return true;
}

static tp_peer_answer judge(void *user, const tp_hello_side *peer)
{
    tp_outpost *self = user;
    if (self->chart != NULL && tp_chart_member(self->chart, peer->incarnation) != NULL)
        return TP_PEER_KNOWN;
    return self->chart == NULL || peer->view > self->chart->view.number ? TP_PEER_BEHIND
                                                                        : TP_PEER_STRANGE;
}

static void on_newer_view(void *user, uint64_t number)
{
    tp_outpost *self = user;
    self->options.newer_view(self->options.user, number);
}

static bool may_send(void *user)
{
    return tp_lease_holds(((tp_outpost *)user)->shard->shared);
}

static void on_log(void *user, int level, const char *event, const char *peer, const char *text)
{
    tp_outpost *self = user;
    tp_log *log = self->shard->shared->log;
    if (level == 0)
        TP_LOG(log, TROUPE_LOG_DEBUG, "channel",
            TP_FIELDS(tp_field_string("what", event), tp_field_string("peer", peer)), "%s", text);
    else
        TP_LOG(log, TROUPE_LOG_WARN, "channel",
            TP_FIELDS(tp_field_string("what", event), tp_field_string("peer", peer)), "%s", text);
}

static const tp_channels_calls channel_calls = {.find = find_member,
    .judge = judge,
    .frame = on_frame,
    .newer_view = on_newer_view,
    .may_send = may_send};

/* ---- begin and end --------------------------------------------------------------------------- */

tp_outpost *tp_outpost_of(const tp_shard *shard)
{
    return (tp_outpost *)(void *)shard->away;
}

tp_directory *tp_outpost_directory(tp_outpost *self)
{
    return self->directory;
}

const tp_chart *tp_outpost_chart(const tp_outpost *self)
{
    return self->chart;
}

void tp_outpost_look(const tp_outpost *self, tp_outpost_figures *ret_figures)
{
    *ret_figures = (tp_outpost_figures){.channels = tp_channels_count(self->channels),
        .forwarded = self->forwarded,
        .received = self->received,
        .refused = self->refused,
        .lost = self->lost};
    tp_directory_figures_get(self->directory, &ret_figures->directory);
}

static troupe_status create_parts(tp_outpost *self)
{
    tp_shard *shard = self->shard;
    tp_shared *shared = shard->shared;
    const tp_outpost_options *options = &self->options;
    TROUPE_TRY(tp_translator_init(&self->translator, shard, options->incarnation));
    const tp_directory_options directory = {.self = options->incarnation,
        .shard = shard->number,
        .shards = shared->shard_count,
        .replicas = options->replicas};
    TROUPE_TRY(tp_directory_create(&directory, &shard->pool, shared->allocator, &self->directory));
    const tp_channels_options channels = {.env = shared->env,
        .runner = &shard->runner,
        .allocator = shared->allocator,
        .calls = &channel_calls,
        .user = self,
        .self = {.incarnation = options->incarnation,
            .shard = (uint16_t)shard->number,
            .shards = (uint16_t)shared->shard_count,
            .max_frame = 1u << 24,
            .node = options->node,
            .address = options->address},
        .cluster = options->cluster,
        .token = options->token,
        .session = options->session,
        .log = on_log};
    return tp_channels_create(&channels, &self->channels);
}

troupe_status tp_outpost_create(const tp_outpost_options *options, tp_outpost **ret_outpost)
{
    const troupe_allocator *allocator = options->shard->shared->allocator;
    tp_outpost *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->port = (tp_away){absent, send_away, gone, pass, flush, has_arrivals, is_quiet};
    self->shard = options->shard;
    self->options = *options;
    self->words = (tp_word_room){.allocator = allocator};
    tp_fifo_init(&self->late);
    troupe_status status = create_parts(self);
    if (status != TROUPE_OK) {
        tp_outpost_destroy(self);
        return status;
    }
    self->shard->away = &self->port;
    /* Chains of calls are told apart across nodes. */
    self->shard->chains = (options->incarnation & 0xFFFF) << 32;
    *ret_outpost = self;
    return TROUPE_OK;
}

static void drop_letter(void *user, tp_letter *letter)
{
    tp_outpost *self = user;
    tp_pool_give(&self->shard->pool, letter_open(self, letter));
}

void tp_outpost_destroy(tp_outpost *self)
{
    if (self == NULL)
        return;
    const troupe_allocator *allocator = self->shard->shared->allocator;
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&self->late)) != NULL;) {
        late_event *event = TP_CONTAINER(node, late_event, next);
        if (event->message != NULL)
            tp_pool_give(&self->shard->pool, event->message);
        tp_pool_give(&self->shard->pool, event);
    }
    if (self->channels != NULL)
        tp_channels_each(self->channels, drop_tickets, self);
    tp_channels_destroy(self->channels);
    if (self->directory != NULL)
        tp_directory_destroy(self->directory, drop_letter, self);
    tp_translator_deinit(&self->translator);
    tp_word_room_deinit(&self->words);
    tp_chart_release(self->chart_before);
    tp_chart_release(self->chart);
    self->shard->away = NULL;
    tp_release(allocator, self, sizeof *self);
}
