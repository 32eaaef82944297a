/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of a turn that read and answer by schema (the end of <troupe/schema.h>). The codecs are
 * src/schema's; here are the turn's arena, the choice between the two forms, and the words of
 * failures.
 *
 * Who asks in the binary form is answered in it; everybody else, people above all, in JSON.
 *
 * Invariants: nothing here panics while something outside of the arena is owned. Threads: the
 * shard's own.
 */
#include "schema/schema.h"
#include "shard/shard.h"

#define WORDS_MAX 512
#define HERE_MAX  1024 /* bytes of a reply that are made on the stack */

/* ---- the arena as an allocator: nothing is given back before the turn ends ----------------- */

static void *arena_allocate(void *context, size_t size)
{
    troupe_turn *turn = context;
    return tp_turn_take(turn, TP_LIVE_GET(turn->actor->type->is.arena_limit), size);
}

static void *arena_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    if (new_size <= old_size)
        return block;
    void *moved = arena_allocate(context, new_size);
    if (moved != NULL)
        memcpy(moved, block, old_size);
    return moved;
}

static void arena_release(void *context, void *block, size_t size)
{
    (void)context;
    (void)block;
    (void)size;
}

static troupe_allocator arena_of(troupe_turn *turn)
{
    return (troupe_allocator){turn, arena_allocate, arena_reallocate, arena_release};
}

static troupe_status no_memory(troupe_turn *turn, const char *words)
{
    return troupe_fail(turn, TROUPE_NO_MEMORY, "%s (arena_limit is %zu)", words,
        TP_LIVE_GET(turn->actor->type->is.arena_limit));
}

/* ---- reading ------------------------------------------------------------------------------- */

troupe_status troupe_decode(
    troupe_turn *turn, const troupe_schema *schema, troupe_slice payload, void *ret_value)
{
    char words[WORDS_MAX] = "";
    troupe_allocator arena = arena_of(turn);
    troupe_status status = troupe_schema_read(
        schema, troupe_turn_content_type(turn), payload, ret_value, &arena, words, sizeof words);
    if (TP_LIKELY(status == TROUPE_OK))
        return TROUPE_OK;
    if (status == TROUPE_NO_MEMORY)
        return no_memory(turn, words);
    /* It is the call that is wrong; CORRUPT would speak of what is stored. */
    return troupe_fail(turn, status == TROUPE_CORRUPT ? TROUPE_USAGE : status, "%s", words);
}

troupe_status troupe_decode_answer(troupe_turn *turn, const troupe_schema *schema,
    const struct troupe_answer *answer, void *ret_value)
{
    char words[WORDS_MAX] = "";
    if (answer->status != TROUPE_OK)
        return troupe_fail(turn, answer->status, "%.*s", TROUPE_ARG(answer->message));
    troupe_allocator arena = arena_of(turn);
    troupe_status status = troupe_schema_read(
        schema, answer->content_type, answer->payload, ret_value, &arena, words, sizeof words);
    if (status == TROUPE_OK)
        return TROUPE_OK;
    if (status == TROUPE_NO_MEMORY)
        return no_memory(turn, words);
    return troupe_fail(turn, status, "the answer is not what was expected: %s", words);
}

/* ---- writing ------------------------------------------------------------------------------- */

typedef troupe_status write_form(const troupe_schema *schema, const void *value,
    troupe_buffer *buffer, char *error, size_t error_size);

/* First into the room that is there, then, where that does not suffice, into the arena. */
static troupe_status write_value(troupe_turn *turn, write_form *form, const troupe_schema *schema,
    const void *value, troupe_buffer *buffer, const troupe_allocator *arena)
{
    char words[WORDS_MAX] = "";
    troupe_status status = form(schema, value, buffer, words, sizeof words);
    if (status == TROUPE_TOO_LARGE && buffer->allocator == NULL) {
        *buffer = (troupe_buffer){arena, NULL, 0, 0};
        status = form(schema, value, buffer, words, sizeof words);
    }
    if (TP_LIKELY(status == TROUPE_OK))
        return TROUPE_OK;
    if (status == TROUPE_NO_MEMORY)
        return no_memory(turn, words);
    return troupe_fail(turn, status, "%s", words);
}

troupe_status troupe_encode(
    troupe_turn *turn, const troupe_schema *schema, const void *value, troupe_slice *ret_payload)
{
    troupe_allocator arena = arena_of(turn);
    troupe_buffer buffer = {&arena, NULL, 0, 0};
    TROUPE_TRY(write_value(turn, troupe_schema_encode, schema, value, &buffer, &arena));
    *ret_payload = troupe_buffer_slice(&buffer);
    return TROUPE_OK;
}

static bool asks_packed(const troupe_turn *turn)
{
    return turn->message != NULL && tp_schema_is_packed(tp_message_content_type(turn->message),
                                        tp_message_payload(turn->message));
}

troupe_status troupe_reply(troupe_turn *turn, const troupe_schema *schema, const void *value)
{
    if (!troupe_turn_is_ask(turn))
        return TROUPE_OK;
    char here[HERE_MAX];
    bool is_packed = asks_packed(turn);
    troupe_allocator arena = arena_of(turn);
    troupe_buffer buffer = {NULL, here, 0, sizeof here};
    TROUPE_TRY(write_value(turn, is_packed ? troupe_schema_encode : troupe_schema_to_json, schema,
        value, &buffer, &arena));
    return troupe_reply_typed(
        turn, is_packed ? TROUPE_PACKED : TROUPE_JSON, troupe_buffer_slice(&buffer));
}
