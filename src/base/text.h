/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds text in the caller's buffer: it cuts what does not fit and says so, and never overflows.
 * Not a growing string. Logs, the admin socket and error texts call it.
 *
 * Invariants: 1. size < capacity, and data[size] is 0, unless capacity is 0. 2. Once something was
 * cut, `is_cut` stays true and nothing more is added, so what is there is a true beginning.
 * Threads: one owner.
 */
#ifndef TP_BASE_TEXT_H
#define TP_BASE_TEXT_H

#include <troupe/base.h>

#include <stdarg.h>

typedef struct tp_text {
    char *data;
    size_t size;     /* without the end mark */
    size_t capacity; /* of data, with the end mark */
    bool is_cut;
} tp_text;

void tp_text_init(tp_text *text, char *data, size_t capacity);

/* Adds formatted text; cuts it where the buffer ends. */
void tp_text_printf(tp_text *text, const char *format, ...) TROUPE_PRINTF(2, 3);
void tp_text_vprintf(tp_text *text, const char *format, va_list arguments) TROUPE_PRINTF(2, 0);

/* Adds bytes as they are. */
void tp_text_append(tp_text *text, troupe_slice bytes);

/* Adds a JSON string with its quotes. Bytes that are no UTF-8 become \ufffd. An escape is added
 * whole or not at all. */
void tp_text_json(tp_text *text, troupe_slice bytes);

/* Are they all of well-formed UTF-8? */
bool tp_text_is_utf8(troupe_slice bytes);

static inline troupe_slice tp_text_slice(const tp_text *text)
{
    return troupe_slice_of(text->data, text->size);
}

#endif
