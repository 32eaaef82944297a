/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text builder of base/text.h: formatted text, bytes, and JSON strings (RFC 8259), with UTF-8
 * checked by the table of well-formed sequences (Unicode 15, table 3-7).
 *
 * Threads: one owner.
 */
#include "base/text.h"

#include "base/assert.h"

#include <stdio.h>

void tp_text_init(tp_text *text, char *data, size_t capacity)
{
    text->data = data;
    text->size = 0;
    text->capacity = capacity;
    text->is_cut = false;
    if (capacity > 0) {
        data[0] = '\0';
    }
}

/* Bytes that still fit, without the end mark. */
static size_t room(const tp_text *text)
{
    return text->is_cut || text->capacity == 0 ? 0 : text->capacity - 1 - text->size;
}

void tp_text_vprintf(tp_text *text, const char *format, va_list arguments)
{
    size_t left = room(text);
    if (left == 0) {
        text->is_cut = text->is_cut || vsnprintf(NULL, 0, format, arguments) > 0;
        return;
    }
    int length = vsnprintf(text->data + text->size, left + 1, format, arguments);
    if (length < 0) {
        text->data[text->size] = '\0';
        text->is_cut = true;
    } else if ((size_t)length > left) {
        text->size += left;
        text->is_cut = true;
    } else {
        text->size += (size_t)length;
    }
}

void tp_text_printf(tp_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tp_text_vprintf(text, format, arguments);
    va_end(arguments);
}

void tp_text_append(tp_text *text, troupe_slice bytes)
{
    size_t left = room(text);
    size_t size = bytes.size <= left ? bytes.size : left;
    if (size > 0) {
        memcpy(text->data + text->size, bytes.data, size);
        text->size += size;
        text->data[text->size] = '\0';
    }
    if (size < bytes.size) {
        text->is_cut = true;
    }
}

/* All of it, or nothing and the text is cut. */
static void append_whole(tp_text *text, const void *bytes, size_t size)
{
    if (size > room(text)) {
        text->is_cut = true;
        return;
    }
    tp_text_append(text, troupe_slice_of(bytes, size));
}

/* The length of the well-formed sequence of two to four bytes that begins here; 0: none does. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
    unsigned char lead = p[0];
    unsigned char low = 0x80; /* the second byte's range, narrower after some leads */
    unsigned char high = 0xBF;
    size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0xC2 || lead > 0xF4 || length > left) {
        return 0;
    }
    switch (lead) {
    case 0xE0: low = 0xA0; break;  /* overlong */
    case 0xED: high = 0x9F; break; /* surrogates */
    case 0xF0: low = 0x90; break;  /* overlong */
    case 0xF4: high = 0x8F; break; /* beyond U+10FFFF */
    default: break;
    }
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

static void append_escape(tp_text *text, unsigned char byte)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char escape[8];
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if ((unsigned char)shorts[i] == byte) {
            escape[0] = '\\';
            escape[1] = shorts[i + 1];
            append_whole(text, escape, 2);
            return;
        }
    }
    int length = snprintf(escape, sizeof(escape), "\\u%04x", byte);
    append_whole(text, escape, (size_t)length);
}

void tp_text_json(tp_text *text, troupe_slice bytes)
{
    const unsigned char *p = bytes.data;
    size_t at = 0;
    append_whole(text, "\"", 1);
    while (at < bytes.size && !text->is_cut) {
        size_t plain = at; /* a run of bytes that stand for themselves goes in one copy */
        while (plain < bytes.size && p[plain] >= 0x20 && p[plain] < 0x80 && p[plain] != '"' &&
               p[plain] != '\\') {
            plain++;
        }
        if (plain > at) {
            tp_text_append(text, troupe_slice_of(p + at, plain - at));
            at = plain;
        } else if (p[at] < 0x80) {
            append_escape(text, p[at]);
            at++;
        } else {
            size_t length = sequence_length(p + at, bytes.size - at);
            if (length > 0) {
                append_whole(text, p + at, length);
            } else {
                append_whole(text, "\\ufffd", 6);
            }
            at += length > 0 ? length : 1;
        }
    }
    append_whole(text, "\"", 1);
}

bool tp_text_is_utf8(troupe_slice bytes)
{
    const unsigned char *p = bytes.data;
    for (size_t at = 0; at < bytes.size;) {
        size_t length = p[at] < 0x80 ? 1 : sequence_length(p + at, bytes.size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}
