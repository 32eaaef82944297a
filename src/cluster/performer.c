/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what the directory machine of a shard wants: delivers letters, sends them on, answers, says
 * words, asks placement. It decides nothing.
 */
#include "cluster/outpost_inside.h"

#include "shard/durable.h"
#include "shard/words.h"
#include "shard/workers.h"

#include <stdio.h>

#define MOVE_PATIENCE TROUPE_SECONDS(5) /* of coming to rest */

tp_channel *tp_outpost_channel(tp_outpost *self, uint64_t node, uint32_t shard)
{
    return tp_channels_get(self->channels, node, (uint16_t)shard);
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

tp_outpost_letter *tp_letter_make(tp_outpost *self, tp_message *message)
{
    tp_outpost_letter *made = tp_pool_take(&self->shard->pool, sizeof *made);
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
    made->letter.flags = message->kind == TP_ASK ? 0 : TP_LETTER_WAITS;
    return made;
}

/* Its message is the caller's. */
tp_message *tp_letter_open(tp_outpost *self, tp_letter *letter)
{
    tp_outpost_letter *mine = TP_CONTAINER(letter, tp_outpost_letter, letter);
    tp_message *message = mine->message;
    tp_pool_give(&self->shard->pool, mine);
    return message;
}

/* Tells who sent it that the parcel is in a mailbox, or was answered; `lost`: or its way broke. */
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
    return tp_activation_find(self->shard, tp_type_at(self->shard->shared, id->type),
        id->hash, id->partition, id->key);
}

/* What is owed an acknowledgement, or is no method's, is refused in its turn. */
static bool has_method(const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    return message->kind > TP_ASK || message->method != TP_METHOD_OTHER ||
           message->type->is.otherwise != NULL ||
           (slip != NULL && (slip->flags & ~(uint32_t)TP_SLIP_ONCE) != 0);
}

static bool has_once(const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    return slip != NULL && (slip->flags & TP_SLIP_ONCE) != 0;
}

static tp_activation *refuse_method(tp_outpost *self, tp_message *message, tp_activation *actor)
{
    char words[TP_WORDS_MAX];
    (void)tp_no_method_words(words, message->type, tp_message_method_name(message));
    tp_message_answer(self->shard, message, TROUPE_NO_METHOD, TROUPE_NOT_DONE, "%s", words);
    return actor;
}

tp_activation *tp_outpost_into(
    tp_outpost *self, tp_activation *actor, tp_message *message, uint64_t origin)
{
    tp_shard *shard = self->shard;
    bool is_tell = message->kind == TP_TELL;
    if (TP_UNLIKELY(!has_method(message)))
        return refuse_method(self, message, actor);
    if (has_once(message) && !message->type->gated) {
        tp_message_answer(shard, message, TROUPE_USAGE, TROUPE_NOT_DONE,
            "\"once\" is for types that persist every turn");
        return actor;
    }
    if (actor == NULL)
        return tp_accept_granted(shard, message);
    if (message->kind == TP_ACKED)
        tp_outbox_acked_at(shard, actor, message);
    else
        tp_accept_at(shard, actor, message);
    if (is_tell && TP_UNLIKELY(actor->flags & TP_SHOWN_FULL))
        tp_outpost_say_mailbox_full(self, origin, actor);
    return actor;
}

/* The same, before its record has been looked for. */
static tp_activation *into_mailbox(tp_outpost *self, tp_message *message, uint64_t origin)
{
    tp_shard *shard = self->shard;
    if (tp_type_is_foreign(message->type)) {
        tp_message_answer(
            shard, message, TROUPE_NO_TYPE, TROUPE_NOT_DONE, "this node does not host the type");
        return NULL;
    }
    /* Of many activations of an id the home knows none: one here takes it. */
    if (tp_type_has_workers(message->type))
        message->hash = tp_worker_of(
            shard, message->type, tp_message_partition(message), tp_message_key(message));
    tp_activation *actor = tp_activation_find(shard, message->type, message->hash,
        tp_message_partition(message), tp_message_key(message));
    return tp_outpost_into(self, actor, message, origin);
}

tp_late_event *tp_late_make(tp_outpost *self, tp_late_kind kind, const tp_directory_id *id)
{
    size_t size = id != NULL ? id->key.size + id->partition.size : 0;
    tp_late_event *event = tp_pool_take(&self->shard->pool, sizeof *event + size);
    if (event == NULL) {
        tp_count(&self->shard->counters.no_memory);
        return NULL;
    }
    memset(event, 0, sizeof *event);
    event->kind = kind;
    if (id == NULL)
        return event;
    event->id = tp_directory_id_keep(event->name, id);
    return event;
}

/* The shard of that member whose letters about an id come here; of one that has gone, none. */
static uint32_t agent_of(const tp_outpost *self, uint64_t node, uint64_t hash)
{
    const tp_view_member *member = node != 0 ? tp_chart_member(self->chart, node) : NULL;
    return member != NULL ? tp_hash_shard(hash, member->shards) : 0;
}

static void deliver(tp_outpost *self, const tp_directory_effect *effect)
{
    uint64_t from = effect->letter->from, number = effect->letter->number;
    uint32_t shard = agent_of(self, from, effect->letter->id.hash);
    uint64_t origin = effect->letter->origin;
    bool guarded = effect->guarded;
    /* Should it not come to be. Without memory for that it stays ours, and is made when asked. */
    tp_late_event *release =
        effect->create ? tp_late_make(self, TP_LATE_GONE, &effect->letter->id) : NULL;
    tp_activation *actor = into_mailbox(self, tp_letter_open(self, effect->letter), origin);
    if (actor != NULL && tp_type_has_workers(actor->type))
        actor = NULL; /* a worker is at nobody's home: the next call is placed anew */
    if (actor != NULL && guarded)
        tp_activation_guard(self->shard, actor);
    if (actor == NULL && release != NULL)
        tp_fifo_push_back(&self->late, &release->next);
    else if (release != NULL)
        tp_pool_give(&self->shard->pool, release);
    if (from != 0)
        settle(self, from, shard, number, false);
}

/* What is too large for a channel, in words that say whose limit it is. */
static void too_large_words(const tp_outpost *self, const tp_channel *channel,
    const tp_message *message, char *words, size_t size)
{
    const tp_view_member *peer = tp_chart_member(self->chart, channel->peer);
    (void)snprintf(words, size,
        "its %zu bytes do not go to %.*s, which takes frames of %u bytes; max_message is %llu "
        "here: let it be the same on all nodes",
        tp_message_payload(message).size, TROUPE_ARG(peer != NULL ? peer->name : (troupe_slice){0}),
        channel->session.max_send, (unsigned long long)self->shard->shared->options.max_message);
}

tp_message *tp_outpost_say_too_large(
    tp_outpost *self, const tp_channel *channel, const tp_message *message)
{
    char words[TP_WORDS_MAX];
    tp_count(&self->shard->counters.too_large);
    too_large_words(self, channel, message, words, sizeof words);
    const tp_slip *slip = tp_message_slip(message);
    tp_slip own;
    if (slip != NULL) {
        own = *slip;
        own.status = TROUPE_TOO_LARGE;
    }
    const tp_message_parts parts = {.caller = tp_message_tail(message),
        .key = tp_message_key(message),
        .partition = tp_message_partition(message),
        .content_type = TROUPE_TEXT,
        .payload = troupe_str(words),
        .slip = slip != NULL ? &own : NULL};
    const tp_message_head head = {.hash = message->hash,
        .type = message->type,
        .deadline = message->deadline,
        .from = message->from,
        .caller_type = message->caller_type,
        .status = TROUPE_TOO_LARGE,
        .method = TP_METHOD_OTHER,
        .from_shard = message->from_shard,
        .caller_key_size = message->caller_key_size,
        .caller_partition_size = message->caller_partition_size,
        .kind = message->kind};
    tp_message *made = tp_message_make_here(&self->shard->pool, &parts, &head);
    if (made != NULL)
        made->outcome = message->outcome;
    return made;
}

/* What came of an outbox message is smaller in words: they go the way that it could not. */
static void acknowledge_in_words(
    tp_outpost *self, const tp_channel *channel, const tp_message *message)
{
    tp_message *words = tp_outpost_say_too_large(self, channel, message);
    if (words != NULL) /* else the outbox asks again */
        tp_send_control(
            self->shard, tp_hash_shard(words->hash, self->shard->shared->shard_count), words);
}

void tp_outpost_no_way(tp_outpost *self, const tp_channel *channel, tp_message *message,
    uint64_t ticket, troupe_status status)
{
    char words[TP_WORDS_MAX];
    (void)snprintf(words, sizeof words, "there is no way to its node at the moment: %s",
        troupe_status_text(status));
    if (status == TROUPE_TOO_LARGE && message->kind == TP_ACKED)
        acknowledge_in_words(self, channel, message);
    else if (status == TROUPE_TOO_LARGE)
        too_large_words(self, channel, message, words, sizeof words);
    tp_message_answer(self->shard, message, status, TROUPE_NOT_DONE, "%s", words);
    tp_directory_unsent(self->directory, ticket);
}

static void forward(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_channel *channel = tp_outpost_channel(self, effect->node, effect->shard);
    troupe_status status = channel == NULL
                               ? TROUPE_UNAVAILABLE
                               : tp_line_send(self, channel, effect->letter, effect->number);
    if (status != TROUPE_OK)
        tp_outpost_no_way(
            self, channel, tp_letter_open(self, effect->letter), effect->number, status);
}

/* Behind others that wait for credit. */
static troupe_status wait_as_letter(
    tp_outpost *self, tp_channel *channel, tp_message *message, const tp_directory_course *course)
{
    tp_outpost_letter *made = tp_letter_make(self, message);
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    made->letter.origin = self->options.incarnation;
    made->letter.order = course->order;
    made->letter.hops = 1;
    troupe_status status = tp_line_send(self, channel, &made->letter, course->ticket);
    if (status != TROUPE_OK)
        (void)tp_letter_open(self, &made->letter);
    return status;
}

bool tp_outpost_pass_by(
    tp_outpost *self, const tp_message_parts *parts, const tp_message_head *head)
{
    const tp_directory_id id = {.hash = head->hash, .type = head->type->number, .key = parts->key};
    tp_directory_course course;
    if (!tp_directory_follow(self->directory, &id, 0, &course))
        return false;
    const tp_postmark mark = {.order = course.order, .hops = 1};
    tp_channel *channel = tp_outpost_channel(self, course.node, course.shard);
    troupe_status status =
        channel == NULL ? TROUPE_UNAVAILABLE
                        : tp_line_tell(self, channel, parts, head, &mark, course.ticket);
    if (status == TROUPE_OK)
        return true;
    tp_message *message = tp_message_make_here(&self->shard->pool, parts, head);
    if (message == NULL) {
        tp_directory_settled(self->directory, course.ticket, false);
        return false;
    }
    if (status == TROUPE_BUSY)
        status = wait_as_letter(self, channel, message, &course);
    if (status != TROUPE_OK)
        tp_outpost_no_way(self, channel, message, course.ticket, status);
    return true;
}

bool tp_outpost_follow(tp_outpost *self, tp_message *message)
{
    const tp_directory_id id = {.hash = message->hash,
        .type = message->type->number,
        .partition = tp_message_partition(message),
        .key = tp_message_key(message)};
    tp_directory_course course;
    if (!tp_directory_follow(self->directory, &id, token_of(message), &course))
        return false;
    const tp_postmark mark = {.order = course.order, .hops = 1};
    tp_channel *channel = tp_outpost_channel(self, course.node, course.shard);
    troupe_status status = channel == NULL
                               ? TROUPE_UNAVAILABLE
                               : tp_line_pass(self, channel, message, &mark, course.ticket);
    if (status == TROUPE_BUSY)
        status = wait_as_letter(self, channel, message, &course);
    if (status != TROUPE_OK)
        tp_outpost_no_way(self, channel, message, course.ticket, status);
    return true;
}

static void refuse_type(tp_outpost *self, tp_message *message)
{
    char words[TP_WORDS_MAX];
    (void)tp_no_type_words(words, self->shard->shared, message->type->name);
    tp_message_answer(self->shard, message, TROUPE_NO_TYPE, TROUPE_NOT_DONE, "%s", words);
}

static void refuse(tp_outpost *self, const tp_directory_effect *effect)
{
    uint64_t from = effect->letter->from, number = effect->letter->number;
    uint32_t shard = agent_of(self, from, effect->letter->id.hash);
    troupe_status status = effect->status;
    tp_message *message = tp_letter_open(self, effect->letter);
    if (status == TROUPE_NO_TYPE)
        refuse_type(self, message);
    else
        tp_message_answer(
            self->shard, message, status, TROUPE_NOT_DONE, "%s", troupe_status_text(status));
    if (from != 0)
        settle(self, from, shard, number, false);
}

static void way_broke(tp_outpost *self, uint64_t token)
{
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
    tp_channel *channel = tp_outpost_channel(self, effect->node, effect->shard);
    /* Without memory it is repeated, or asked for again. */
    if (channel != NULL &&
        tp_line_say(self, channel, effect->word.kind, &effect->word) != TROUPE_OK)
        tp_count(&self->shard->counters.no_memory);
}

static void place(tp_outpost *self, const tp_directory_effect *effect)
{
    const tp_type *type = tp_type_at(self->shard->shared, effect->id.type);
    char name[TP_DIRECTORY_NAME_MAX];
    const tp_directory_id id = tp_directory_id_keep(name, &effect->id); /* borrowed until now */
    uint64_t node = 0;
    troupe_status status = tp_placing_choose(
        &self->placing, self->chart, type, &id, effect->node, self->shard->now, &node);
    tp_directory_placed(self->directory, &id, node, status);
}

static void unguard(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_activation *actor = find(self, &effect->id);
    if (actor != NULL)
        actor->flags &= (uint16_t)~TP_GUARDED;
}

static void found(tp_outpost *self, const tp_directory_effect *effect)
{
    if ((effect->token & TP_RECALL_TOKEN) != 0)
        tp_recall_found(&self->recall, effect->token, effect->node, effect->status == TROUPE_OK);
}

/* ---- moves ----------------------------------------------------------------------------------- */

static void note_stays(void *user, const tp_directory_id *id)
{
    tp_outpost *self = user;
    tp_late_event *event = tp_late_make(self, TP_LATE_STAYS, id);
    if (event != NULL) /* else the directory goes on waiting, and the home is asked again */
        tp_fifo_push_back(&self->late, &event->next);
}

static void capture(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_activation *actor = find(self, &effect->id);
    if (actor != NULL)
        tp_activation_guard(self->shard, actor);
    if (actor == NULL || !tp_mover_capture(&self->mover, actor, MOVE_PATIENCE, note_stays, self))
        note_stays(self, &effect->id);
}

static void install_copy(tp_outpost *self, const tp_directory_effect *effect)
{
    tp_channel *channel = tp_outpost_channel(self, effect->node, effect->shard);
    size_t size = 0;
    const void *body = tp_mover_copy(&self->mover, &effect->id, effect->number, &size);
    if (channel == NULL || body == NULL)
        return; /* the directory asks for it back by and by */
    if (tp_line_give(self, channel, TP_WORD_INSTALL, body, size) == TROUPE_NO_MEMORY)
        tp_count(&self->shard->counters.no_memory);
}

void tp_outpost_perform(tp_outpost *self, const tp_directory_effect *effect)
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
        tp_pool_give(&self->shard->pool, tp_letter_open(self, effect->letter));
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
    case TP_DIRECTORY_LEARNED:
        tp_recall_learn(&self->recall, &effect->id, effect->node);
        return;
    case TP_DIRECTORY_FOUND:
        found(self, effect);
        return;
    case TP_DIRECTORY_CAPTURE:
        capture(self, effect);
        return;
    case TP_DIRECTORY_INSTALL:
        install_copy(self, effect);
        return;
    case TP_DIRECTORY_RESUME:
        tp_sampler_note(&self->sampler, effect->id.hash, self->shard->now);
        (void)tp_mover_resume(&self->mover, &effect->id);
        return;
    case TP_DIRECTORY_DROP:
        tp_mover_drop(&self->mover, &effect->id, effect->number);
        return;
    case TP_DIRECTORY_TARDY:
        self->options.tardy(self->options.user, effect->node);
        return;
    default:
        return;
    }
}

bool tp_outpost_preload(
    tp_outpost *self, const tp_directory_id *id, uint64_t node, bool *ret_is_full)
{
    *ret_is_full = false;
    if (self->chart == NULL || node == 0 || node == self->options.incarnation ||
        tp_outpost_is_home(self, id->hash))
        return false;
    return tp_recall_preload(&self->recall, id, node, ret_is_full);
}
