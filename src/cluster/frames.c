/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other nodes send to a shard: requests for its actors, answers, receipts, words of the
 * directory.
 */
#include "cluster/outpost_inside.h"

static void settle(tp_outpost *self, tp_channel *channel, uint64_t parcel)
{
    if (tp_session_settle(&channel->session, parcel) != TROUPE_OK)
        tp_count(&self->shard->counters.no_memory);
}

/* Its type has no number here, and never gets one: breaking the link would not help. */
static void refuse_type(tp_outpost *self, tp_channel *channel, const tp_session_frame *frame,
    const tp_parcel *parcel, troupe_slice unknown)
{
    uint32_t to;
    tp_message *reply =
        tp_translator_refuse(&self->translator, channel->peer, parcel, unknown, &to);
    TP_MARK(self->shard, "a type that there is no room for");
    if (reply != NULL)
        tp_reply_leave(self->shard, to, reply);
    else
        tp_count(&self->shard->counters.dead_letters);
    settle(self, channel, frame->parcel);
}

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
    tp_message *message = tp_translator_read(
        &self->translator, &channel->session, channel->peer, frame->kind, &parcel, &mark, &fault);
    if (message == NULL && mark.unknown.size != 0) {
        refuse_type(self, channel, frame, &parcel, mark.unknown);
        return NULL;
    }
    if (message == NULL)
        return fault != NULL ? fault : "no memory for it now";
    self->received++;
    tp_arrivals_flush(shard);
    tp_activation *actor = tp_type_is_foreign(message->type)
                               ? NULL
                               : tp_activation_find(shard, message->type, message->hash,
                                     tp_message_partition(message), tp_message_key(message));
    if (actor != NULL && !(actor->flags & TP_GUARDED) && mark.grant == 0 && mark.trail.size == 0 &&
        !tp_directory_is_starving(self->directory)) {
        (void)tp_outpost_into(self, actor, message, mark.origin);
        if (mark.hops > 1) {
            tp_directory_detoured(self->directory, parcel.hash, mark.origin, mark.hops);
            tp_outpost_drain(self);
        }
        settle(self, channel, frame->parcel);
        return NULL;
    }
    tp_outpost_letter *made = tp_letter_make(self, message);
    if (made == NULL) {
        tp_pool_give(&shard->pool, message);
        return "no memory for it now";
    }
    made->letter.from = channel->peer;
    made->letter.number = frame->parcel;
    tp_postmark_read(&mark, &made->letter);
    if (message->kind == TP_TELL && TP_UNLIKELY(tp_outpost_is_filling(self, &made->letter.id)))
        (void)tp_outpost_say_full(
            self, mark.origin, message->hash, (uint32_t)tp_directory_held(self->directory));
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
    tp_message *message = tp_translator_read_reply(&self->translator, &reply, &to);
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
            uint64_t ticket = tp_line_take(channel, range.first + i);
            if (ticket == 0)
                continue;
            tp_directory_settled(self->directory, ticket, false);
            if (tp_directory_has_effects(self->directory))
                tp_outpost_drain(self);
        }
    return NULL;
}

static const char *take_copy(tp_outpost *self, const tp_channel *channel, troupe_slice body)
{
    tp_directory_id id;
    uint64_t number;
    bool is_short;
    const char *fault = tp_mover_came(&self->mover, body, &id, &number, &is_short);
    if (fault != NULL)
        return fault;
    if (is_short && tp_foreign_is_full(self->shard->shared))
        return NULL; /* its source takes it back by and by, as if it had been lost */
    if (is_short)
        return "no memory for it now";
    if (tp_directory_installed(self->directory, &id, channel->peer, number) != TROUPE_OK) {
        tp_mover_drop(&self->mover, &id, number);
        return "no memory for it now";
    }
    tp_outpost_drain(self);
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
    if (in.what == TP_WORD_INQUIRY || in.what == TP_WORD_INFORMED)
        return tp_inquiry_came(self, channel, in.what, in.body);
    if (in.what == TP_WORD_CANCEL || in.what == TP_WORD_PROBE)
        return tp_follow_came(self, in.what, in.body);
    if (in.what == TP_WORD_LOST) {
        fault = tp_word_get(&self->translator, &self->words, 0, in.body, &word, &is_short);
        if (fault != NULL || is_short)
            return fault;
        uint64_t ticket = tp_line_take(channel, word.number);
        if (ticket != 0) {
            tp_directory_settled(self->directory, ticket, true);
            tp_outpost_drain(self);
        }
        return NULL;
    }
    if (in.what == TP_WORD_INSTALL)
        return take_copy(self, channel, in.body);
    fault = tp_word_get(&self->translator, &self->words, in.what, in.body, &word, &is_short);
    if (fault != NULL)
        return fault;
    if (is_short ||
        tp_directory_word_came(self->directory, channel->peer, channel->shard, &word) != TROUPE_OK)
        return "no memory for it now";
    tp_outpost_drain(self);
    return NULL;
}

const char *tp_outpost_frame(void *user, tp_channel *channel, const tp_session_frame *frame)
{
    tp_outpost *self = user;
    if (tp_lease_is_lost(self->shard->shared))
        return NULL; /* out of the cluster: nothing reaches it any more */
    switch (frame->kind) {
    case TP_FRAME_REQUEST:
    case TP_FRAME_ACKED:
        return take_request(self, channel, frame);
    case TP_FRAME_REPLY:
        return take_reply(self, frame);
    case TP_FRAME_SETTLED:
        return take_settled(self, channel, frame);
    case TP_FRAME_WORD:
        return take_word(self, channel, frame);
    case TP_FRAME_FULL:
    case TP_FRAME_CLEAR:
        return tp_outpost_take_mark(self, frame);
    default:
        return NULL;
    }
}
