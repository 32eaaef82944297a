/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lays messages out in one block of the pool: header, names, payload. It knows nothing of where
 * they go. Called by whoever in the shard makes a message, a reply or a word of control.
 */
#include "shard/message.h"

static const char *const known_content[] = {[TP_CONTENT_BYTES] = TROUPE_BYTES,
    [TP_CONTENT_TEXT] = TROUPE_TEXT,
    [TP_CONTENT_JSON] = TROUPE_JSON};
static const uint8_t known_size[] = {[TP_CONTENT_BYTES] = sizeof TROUPE_BYTES - 1,
    [TP_CONTENT_TEXT] = sizeof TROUPE_TEXT - 1,
    [TP_CONTENT_JSON] = sizeof TROUPE_JSON - 1};

uint8_t tp_content_number(const char *content_type)
{
    if (content_type[0] == 0)
        return TP_CONTENT_BYTES;
    for (uint8_t i = 0; i < sizeof known_content / sizeof known_content[0]; i++)
        if (content_type == known_content[i] || strcmp(content_type, known_content[i]) == 0)
            return i;
    return TP_CONTENT_OWN;
}

troupe_slice tp_message_other_content_type(const tp_message *message)
{
    if (message->content != TP_CONTENT_OWN)
        return (troupe_slice){known_content[message->content], known_size[message->content]};
    return (troupe_slice){tp_message_tail(message) + tp_message_key_at(message) +
                              message->key_size + message->partition_size + message->method_size,
        message->content_size};
}

tp_message *tp_message_make(tp_pool *pool, const tp_message_parts *parts)
{
    tp_message_head head = {.kind = TP_TELL, .deadline = UINT64_MAX};
    return tp_message_make_here(pool, parts, &head);
}

tp_message *tp_message_copy(tp_pool *pool, const tp_message *from)
{
    char content[UINT8_MAX + 1];
    troupe_slice type = tp_message_content_type(from);
    memcpy(content, type.data, type.size);
    content[type.size] = 0;
    bool is_named = from->method == TP_METHOD_OTHER;
    const tp_message_parts parts = {.caller = tp_message_tail(from),
        .key = tp_message_key(from),
        .partition = tp_message_partition(from),
        .method = is_named ? tp_message_method_name(from) : (troupe_slice){NULL, 0},
        .content_type = content,
        .payload = tp_message_payload(from),
        .slip = tp_message_slip(from)};
    const tp_message_head head = {.hash = from->hash,
        .type = from->type,
        .deadline = from->deadline,
        .from = from->from,
        .chain = from->chain,
        .caller_type = from->caller_type,
        .status = from->status,
        .method = from->method,
        .from_shard = from->from_shard,
        .caller_key_size = from->caller_key_size,
        .caller_partition_size = from->caller_partition_size,
        .kind = from->kind};
    return tp_message_make_here(pool, &parts, &head);
}
