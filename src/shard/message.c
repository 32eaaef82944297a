/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lays messages out in one block of the pool: header, names, payload. It knows nothing of where they
 * go. Called by whoever in the shard makes a message, a reply or a word of control.
 */
#include "shard/message.h"

static const char *const known_content[] = {[TP_CONTENT_BYTES] = TROUPE_BYTES,
    [TP_CONTENT_TEXT] = TROUPE_TEXT,
    [TP_CONTENT_JSON] = TROUPE_JSON};

static uint8_t content_number(const char *content_type)
{
    if (content_type == NULL || content_type[0] == 0)
        return TP_CONTENT_BYTES;
    for (uint8_t i = 0; i < sizeof known_content / sizeof known_content[0]; i++)
        if (content_type == known_content[i] || strcmp(content_type, known_content[i]) == 0)
            return i;
    return TP_CONTENT_OWN;
}

troupe_slice tp_message_content_type(const tp_message *message)
{
    if (message->content != TP_CONTENT_OWN)
        return troupe_str(known_content[message->content]);
    return (troupe_slice){tp_message_tail(message) + tp_message_key_at(message) +
                              message->key_size + message->partition_size + message->method_size,
        message->content_size};
}

/* Keys are short: a call of memcpy costs more than the copy. */
static inline char *append(char *at, troupe_slice part)
{
    if (TP_LIKELY(part.size == 16)) {
        memcpy(at, part.data, 16);
    } else if (part.size != 0) {
        memcpy(at, part.data, part.size);
    }
    return at + part.size;
}

static inline void copy_payload(char *at, troupe_slice payload)
{
    if (payload.size == 64) {
        memcpy(at, payload.data, 64);
    } else if (payload.size != 0) {
        memcpy(at, payload.data, payload.size);
    }
}

tp_message *tp_message_make(tp_pool *pool, const tp_message_parts *parts)
{
    uint8_t content = content_number(parts->content_type);
    troupe_slice own = {0, 0};
    if (TP_UNLIKELY(content == TP_CONTENT_OWN)) {
        own = troupe_str(parts->content_type);
        if (own.size > UINT8_MAX)
            own.size = UINT8_MAX;
    }
    size_t tail = parts->caller_key.size + parts->caller_partition.size + parts->key.size +
                  parts->partition.size + parts->method.size + own.size;
    size_t payload_at = (sizeof(tp_message) + tail + 15) & ~(size_t)15;
    tp_message *message = tp_pool_take(pool, payload_at + parts->payload.size);
    if (TP_UNLIKELY(message == NULL))
        return NULL;
    message->node.next = NULL;
    message->hash = 0;
    message->type = NULL;
    message->deadline = UINT64_MAX;
    message->from = (tp_call){0, 0};
    message->chain = 0;
    message->caller_type = NULL;
    message->arrived = 0;
    message->method = 0;
    message->from_shard = 0;
    message->kind = TP_TELL;
    message->flags = 0;
    message->deliveries = 0;
    message->status = TROUPE_OK;
    message->outcome = 0;
    message->extra = NULL;
    message->payload_at = (uint16_t)payload_at;
    message->payload_size = (uint32_t)parts->payload.size;
    message->content = content;
    message->content_size = (uint8_t)own.size;
    message->method_size = (uint8_t)parts->method.size;
    message->caller_key_size = (uint16_t)parts->caller_key.size;
    message->caller_partition_size = (uint8_t)parts->caller_partition.size;
    message->key_size = (uint16_t)parts->key.size;
    message->partition_size = (uint8_t)parts->partition.size;
    char *at = tp_message_tail(message);
    if (tail != 0) {
        at = append(at, parts->caller_key);
        at = append(at, parts->caller_partition);
        at = append(at, parts->key);
        at = append(at, parts->partition);
        at = append(at, parts->method);
        append(at, own);
    }
    copy_payload((char *)message + payload_at, parts->payload);
    return message;
}
