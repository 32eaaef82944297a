/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of what directory machines say to each other (directory/directory.h): bodies of WORD
 * frames. Types travel by name.
 *
 * Invariants
 * 1. What was read has been checked: sizes, kinds, states.
 * Threads: one owner.
 */
#ifndef TP_CLUSTER_WORDS_H
#define TP_CLUSTER_WORDS_H

#include "cluster/translator.h"

/* Not a word of the machines: the letter of that number was settled, but its way broke. */
#define TP_WORD_LOST 255

size_t tp_word_size(const tp_translator *translator, const tp_directory_word *word);
void tp_word_put(const tp_translator *translator, char *at, const tp_directory_word *word);

/* Room for the items and spans of one word at a time. */
typedef struct tp_word_room {
    const troupe_allocator *allocator;
    tp_directory_item *items;
    tp_span *spans;
    uint32_t item_room, span_room;
} tp_word_room;

void tp_word_room_deinit(tp_word_room *room);

/* NULL; or what is wrong. `room` has what the word points to, besides the body. *ret_short: there
 * was no memory (and NULL is returned). */
TROUPE_CHECK const char *tp_word_get(tp_translator *translator, tp_word_room *room, unsigned kind,
    troupe_slice body, tp_directory_word *ret_word, bool *ret_short);

#endif
