/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that grow, and what is written into them as text: JSON strings and base64 (RFC 4648). The
 * encoders of this folder call it, and users through <troupe/schema.h>.
 *
 * Invariants: 1. size <= capacity. 2. A failed call adds nothing. Threads: one owner.
 */
#include "schema/schema.h"

#include "base/alloc.h"

#define BUFFER_MIN 128

troupe_status tp_buffer_reserve(troupe_buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->size >= size)
        return TROUPE_OK;
    if (buffer->allocator == NULL)
        return TROUPE_TOO_LARGE;
    size_t wanted;
    if (__builtin_add_overflow(buffer->size, size, &wanted) || wanted > SIZE_MAX / 2)
        return TROUPE_NO_MEMORY;
    size_t capacity = buffer->capacity * 2 > BUFFER_MIN ? buffer->capacity * 2 : BUFFER_MIN;
    if (capacity < wanted)
        capacity = wanted;
    char *data = tp_reallocate(buffer->allocator, buffer->data, buffer->capacity, capacity);
    if (data == NULL)
        return TROUPE_NO_MEMORY;
    buffer->data = data;
    buffer->capacity = capacity;
    return TROUPE_OK;
}

troupe_status troupe_buffer_add(troupe_buffer *buffer, const void *data, size_t size)
{
    if (size == 0)
        return TROUPE_OK;
    TROUPE_TRY(tp_buffer_reserve(buffer, size));
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return TROUPE_OK;
}

void troupe_buffer_deinit(troupe_buffer *buffer)
{
    if (buffer->allocator == NULL)
        return;
    tp_release(buffer->allocator, buffer->data, buffer->capacity);
    buffer->data = NULL;
    buffer->size = buffer->capacity = 0;
}

/* ---- JSON strings -------------------------------------------------------------------------- */

/* The length of the UTF-8 sequence at `at`, 0 if there is none (RFC 3629, table 3-7 of Unicode). */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    uint8_t first = at[0], low = 0x80, high = 0xBF;
    size_t size;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF) {
        size = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        size = 3;
        low = first == 0xE0 ? 0xA0 : 0x80;
        high = first == 0xED ? 0x9F : 0xBF;
    } else if (first >= 0xF0 && first <= 0xF4) {
        size = 4;
        low = first == 0xF0 ? 0x90 : 0x80;
        high = first == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (left < size || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

static size_t escape(uint8_t byte, char *out)
{
    static const char digits[] = "0123456789abcdef";
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; named[i] != 0; i += 2)
        if ((uint8_t)named[i] == byte) {
            out[0] = '\\';
            out[1] = named[i + 1];
            return 2;
        }
    memcpy(out, "\\u00", 4);
    out[4] = digits[byte >> 4];
    out[5] = digits[byte & 15];
    return 6;
}

troupe_status tp_buffer_json_string(troupe_buffer *buffer, troupe_slice text)
{
    const uint8_t *bytes = text.data;
    /* A byte becomes six at most. */
    size_t most;
    if (__builtin_mul_overflow(text.size, 6, &most) || most > SIZE_MAX - 2)
        return TROUPE_NO_MEMORY;
    if (text.size > 256) { /* then rather a second look than six times the room */
        most = text.size;
        for (size_t i = 0; i < text.size; i++)
            most += bytes[i] < 0x20 || bytes[i] >= 0x7F ? 5 : bytes[i] == '"' || bytes[i] == '\\';
    }
    TROUPE_TRY(tp_buffer_reserve(buffer, most + 2));
    char *out = buffer->data + buffer->size;
    *out++ = '"';
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_length(bytes + i, text.size - i);
        if (size == 0) {
            memcpy(out, "\\ufffd", 6);
            out += 6;
            i++;
        } else if (size == 1 && (bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\')) {
            out += escape(bytes[i++], out);
        } else {
            memcpy(out, bytes + i, size);
            out += size;
            i += size;
        }
    }
    *out++ = '"';
    buffer->size = (size_t)(out - buffer->data);
    return TROUPE_OK;
}

/* ---- base64 -------------------------------------------------------------------------------- */

troupe_status tp_buffer_base64(troupe_buffer *buffer, troupe_slice bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = bytes.data;
    if (bytes.size > SIZE_MAX / 4)
        return TROUPE_NO_MEMORY;
    TROUPE_TRY(tp_buffer_reserve(buffer, (bytes.size + 2) / 3 * 4));
    char *out = buffer->data + buffer->size;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0);
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[group & 63] : '=';
    }
    buffer->size += (bytes.size + 2) / 3 * 4;
    return TROUPE_OK;
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

size_t tp_base64_read(troupe_slice text, uint8_t *out)
{
    const char *in = text.data;
    size_t size = text.size;
    if (size % 4 == 0 && size != 0 && in[size - 1] == '=') {
        size--;
        if (in[size - 1] == '=')
            size--;
    }
    if (size % 4 == 1)
        return SIZE_MAX;
    size_t written = 0;
    uint32_t group = 0;
    for (size_t i = 0; i < size; i++) {
        int value = sextet(in[i]);
        if (value < 0)
            return SIZE_MAX;
        group = group << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue;
        if (out != NULL)
            out[written] = (uint8_t)(group >> (6 - 2 * (i % 4)));
        written++;
    }
    return written;
}
