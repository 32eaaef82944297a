/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a method answers and fails, and what it can learn about its turn. Replies are staged here and
 * leave at the end of the turn (turn.c).
 */
#include "shard/shard.h"

#include "base/text.h"

#include <jansson.h>
#include <stdarg.h>

#define WORDS_MAX 4096

void *tp_turn_take(troupe_turn *turn, size_t limit, size_t size)
{
    if (turn->arena == NULL)
        turn->arena_bytes = 0;
    turn->holds = true;
    return tp_arena_take(turn->shard, &turn->arena, &turn->arena_bytes, limit, size);
}

/* One reply per ask, none after a failure. A second one makes the whole call USAGE. */
static troupe_status misused(troupe_turn *turn)
{
    turn->failed = true;
    TP_LOG(turn->shard->shared->log, TROUPE_LOG_ERROR, "reply_misused",
        TP_FIELDS(tp_field_text("type", turn->actor->type->name),
            tp_field_text("key", tp_activation_key(turn->actor)),
            tp_field_text("method", troupe_turn_method(turn))),
        "the method replied twice, or after failing; its caller gets USAGE");
    return TROUPE_USAGE;
}

static inline troupe_status may_reply(troupe_turn *turn)
{
    if (!tp_turn_is_asked(turn))
        return TROUPE_OK;
    return TP_LIKELY(turn->reply == NULL && !turn->failed) ? TROUPE_OK : misused(turn);
}

/* A tell of an outbox is not answered, but why it failed is kept with the dead letter. That of an
 * activation is told to all that waited for it. */
static bool wants_words(const troupe_turn *turn, troupe_status status)
{
    if (status == TROUPE_OK || turn->reply != NULL)
        return false;
    return turn->kind == TP_TURN_ACTIVATE || (turn->message != NULL &&
                                                 turn->kind == TP_TURN_METHOD &&
                                                 tp_message_is_of_outbox(turn->message));
}

__attribute__((always_inline)) static inline troupe_status stage_here(
    troupe_turn *turn, troupe_status status, const char *content_type, troupe_slice payload)
{
    if (!tp_turn_is_asked(turn) && !wants_words(turn, status))
        return status;
    tp_shard *shard = turn->shard;
    if (TP_UNLIKELY(payload.size > shard->max_message)) {
        tp_count(&shard->counters.too_large);
        return TROUPE_TOO_LARGE;
    }
    tp_message_parts parts = {.content_type = content_type, .payload = payload};
    tp_message_head head = {.kind = TP_REPLY, .status = status, .deadline = TP_NEVER};
    tp_message *reply = tp_message_make_here(&shard->pool, &parts, &head);
    if (TP_UNLIKELY(reply == NULL)) {
        tp_count(&shard->counters.no_memory);
        return status == TROUPE_OK ? TROUPE_NO_MEMORY : status;
    }
    turn->reply = reply;
    return status;
}

static troupe_status stage(
    troupe_turn *turn, troupe_status status, const char *content_type, troupe_slice payload)
{
    return stage_here(turn, status, content_type, payload);
}

troupe_status troupe_reply_typed(troupe_turn *turn, const char *content_type, troupe_slice payload)
{
    TROUPE_TRY(may_reply(turn));
    return stage(turn, TROUPE_OK, content_type, payload);
}

troupe_status troupe_reply_bytes(troupe_turn *turn, troupe_slice payload)
{
    TROUPE_TRY(may_reply(turn));
    return stage_here(turn, TROUPE_OK, NULL, payload);
}

troupe_status troupe_reply_format(troupe_turn *turn, const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    if (size < 0)
        return TROUPE_USAGE;
    if ((size_t)size < sizeof words)
        return troupe_reply_typed(turn, TROUPE_TEXT, (troupe_slice){words, (size_t)size});
    char *longer = troupe_turn_alloc(turn, (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(longer, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return troupe_reply_typed(turn, TROUPE_TEXT, (troupe_slice){longer, (size_t)size});
}

troupe_status troupe_reply_json(troupe_turn *turn, const char *pack, ...)
{
    va_list arguments;
    va_start(arguments, pack);
    json_error_t error;
    json_t *value = json_vpack_ex(&error, 0, pack, arguments);
    va_end(arguments);
    if (value == NULL)
        return troupe_fail(turn, TROUPE_USAGE, "the JSON pack '%s' is wrong: %s", pack, error.text);
    size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    /* Not troupe_turn_alloc: its panic would leave the value behind. */
    size_t most = TP_LIVE_GET(turn->actor->type->is.arena_limit);
    char *text = size != 0 ? tp_turn_take(turn, most, size) : NULL;
    if (text != NULL)
        size = json_dumpb(value, text, size, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (text == NULL)
        return troupe_fail(
            turn, TROUPE_NO_MEMORY, "no memory for a JSON reply, or it is beyond arena_limit");
    return troupe_reply_typed(turn, TROUPE_JSON, (troupe_slice){text, size});
}

troupe_status troupe_reply_take(troupe_turn *turn, troupe_answer *answer)
{
    troupe_status status = may_reply(turn);
    if (status != TROUPE_OK) {
        troupe_answer_release(answer);
        return status;
    }
    tp_message *reply = answer->owner;
    bool is_ask = tp_turn_is_asked(turn);
    if (reply != NULL && is_ask && answer->home == turn->shard) { /* the block itself goes on */
        turn->reply = reply;
        status = answer->status;
        if (status != TROUPE_OK)
            turn->failed = true;
        *answer = (troupe_answer)TROUPE_ANSWER_INIT;
        return status;
    }
    /* An answer of another node of this process, or one made by hand: copied. */
    status = answer->status;
    if (status != TROUPE_OK)
        turn->failed = true;
    char content[UINT8_MAX + 1];
    size_t size = answer->content_type.size < sizeof content ? answer->content_type.size : 0;
    if (size != 0)
        memcpy(content, answer->content_type.data, size);
    content[size] = 0;
    status = stage(turn, status, status == TROUPE_OK ? content : TROUPE_TEXT,
        status == TROUPE_OK ? answer->payload : answer->message);
    troupe_answer_release(answer);
    return status;
}

static void stage_failure(
    troupe_turn *turn, troupe_status status, const char *format, va_list arguments)
{
    char words[WORDS_MAX];
    tp_text text;
    tp_text_init(&text, words, sizeof words);
    char id[TP_ID_MAX + 1];
    if (turn->kind != TP_TURN_ACTIVATE) { /* whose words follow the name of who waited for it */
        troupe_id_print(tp_activation_id(turn->actor), id, sizeof id);
        tp_text_printf(&text, "%s ", id);
    }
    tp_text_printf(&text, "%.*s: ", TROUPE_ARG(troupe_turn_method(turn)));
    tp_text_vprintf(&text, format, arguments);
    stage(turn, status, TROUPE_TEXT, tp_text_slice(&text));
}

troupe_status troupe_fail(troupe_turn *turn, troupe_status status, const char *format, ...)
{
    if (status == TROUPE_OK)
        status = TROUPE_USAGE;
    if (may_reply(turn) != TROUPE_OK)
        return TROUPE_USAGE;
    turn->failed = true;
    va_list arguments;
    va_start(arguments, format);
    stage_failure(turn, status, format, arguments);
    va_end(arguments);
    return status;
}

void troupe_panic(troupe_turn *turn, const char *format, ...)
{
    tp_shard *shard = turn->shard;
    TP_ASSERT(shard->running == turn);
    tp_count(&shard->counters.panics);
    TP_MARK(shard, "panic");
    char words[WORDS_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "turn_panicked",
        TP_FIELDS(tp_field_text("type", turn->actor->type->name),
            tp_field_text("key", tp_activation_key(turn->actor)),
            tp_field_text("method", troupe_turn_method(turn))),
        "%s", words);
    if (turn->reply != NULL)
        tp_pool_give(&shard->pool, turn->reply);
    turn->reply = NULL;
    turn->failed = false;
    va_start(arguments, format);
    stage_failure(turn, TROUPE_PANIC, format, arguments);
    va_end(arguments);
    turn->failed = true;
    turn->panicked = true;
    turn->left = true;
    tp_turn_end(turn, TROUPE_PANIC);
    tp_fiber_abandon(shard);
}

/* ---- about the turn ------------------------------------------------------------------------ */

troupe_id troupe_turn_self(const troupe_turn *turn)
{
    return tp_activation_id(turn->actor);
}

troupe_id troupe_turn_caller(const troupe_turn *turn)
{
    if (turn->message == NULL)
        return (troupe_id){{0, 0}, {0, 0}, {0, 0}};
    return tp_message_caller(turn->message);
}

troupe_slice troupe_turn_method(const troupe_turn *turn)
{
    if (turn->kind == TP_TURN_ACTIVATE)
        return troupe_str("on_activate");
    if (turn->kind == TP_TURN_DEACTIVATE)
        return troupe_str("on_deactivate");
    if (turn->message == NULL)
        return troupe_str("(ended)");
    if (turn->kind == TP_TURN_CALLBACK)
        return troupe_str("(answer)");
    return tp_message_method_name(turn->message);
}

troupe_slice troupe_turn_content_type(const troupe_turn *turn)
{
    return turn->message != NULL ? tp_message_content_type(turn->message) : troupe_str("");
}

bool troupe_turn_is_ask(const troupe_turn *turn)
{
    return tp_turn_is_asked(turn);
}

troupe_status troupe_turn_answer(const troupe_turn *turn, troupe_outcome *ret_outcome)
{
    const tp_slip *slip = turn->message != NULL ? tp_message_slip(turn->message) : NULL;
    bool is_answer = slip != NULL && (slip->flags & TP_SLIP_ANSWER);
    if (ret_outcome != NULL)
        *ret_outcome = is_answer ? slip->outcome : TROUPE_DONE;
    return is_answer ? slip->status : TROUPE_OK;
}

troupe_slice troupe_turn_context(const troupe_turn *turn)
{
    const tp_slip *slip = turn->message != NULL ? tp_message_slip(turn->message) : NULL;
    bool is_answer = slip != NULL && (slip->flags & TP_SLIP_ANSWER);
    return is_answer ? slip->context : (troupe_slice){NULL, 0};
}

uint64_t troupe_turn_remaining(const troupe_turn *turn)
{
    if (turn->deadline == TP_NEVER)
        return TROUPE_NEVER;
    uint64_t now = tp_clock(turn->shard);
    return turn->deadline > now ? turn->deadline - now : 0;
}

bool troupe_turn_is_cancelled(const troupe_turn *turn)
{
    return turn->cancelled || turn->interrupted ||
           (turn->deadline != TP_NEVER && turn->deadline <= tp_clock(turn->shard));
}

void *troupe_turn_user(const troupe_turn *turn)
{
    return turn->actor->type->is.user;
}
troupe_node *troupe_turn_node(const troupe_turn *turn)
{
    return turn->shard->shared->node;
}
uint32_t troupe_turn_shard(const troupe_turn *turn)
{
    return turn->shard->number;
}
uint64_t troupe_now(const troupe_turn *turn)
{
    return tp_clock_read(turn->shard);
}
uint64_t troupe_wall(const troupe_turn *turn)
{
    return turn->shard->env->wall(turn->shard->env);
}
uint64_t troupe_random(troupe_turn *turn)
{
    return tp_prng_next(&turn->shard->prng);
}

void troupe_deactivate(troupe_turn *turn)
{
    turn->actor->flags |= TP_LEAVE;
}

troupe_status troupe_defer(troupe_turn *turn, void (*cleanup)(void *argument), void *argument)
{
    tp_defer *defer = tp_turn_take(turn, SIZE_MAX, sizeof *defer);
    if (defer == NULL)
        return TROUPE_NO_MEMORY;
    *defer = (tp_defer){turn->defers, cleanup, argument};
    turn->defers = defer;
    return TROUPE_OK;
}

void *troupe_turn_alloc(troupe_turn *turn, size_t size)
{
    size_t limit = TP_LIVE_GET(turn->actor->type->is.arena_limit);
    void *block = tp_turn_take(turn, limit, size);
    if (block == NULL)
        troupe_panic(turn,
            "the turn's arena is exhausted: %zu bytes more than arena_limit (%zu), or no memory",
            size, limit);
    return block;
}

void *troupe_actor_alloc(troupe_turn *turn, size_t size)
{
    size_t limit = TP_LIVE_GET(turn->actor->type->is.arena_limit);
    tp_extras *extras = tp_activation_extras(turn->shard, turn->actor);
    void *block = extras != NULL ? tp_arena_take(turn->shard, &extras->arena, &extras->arena_bytes,
                                       limit, size)
                                 : NULL;
    if (block == NULL)
        troupe_panic(turn,
            "the activation's arena is exhausted: %zu bytes more than arena_limit (%zu), or no "
            "memory",
            size, limit);
    return block;
}
