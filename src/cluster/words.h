/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of what directory machines say to each other (directory/directory.h): bodies of WORD
 * frames. Types travel by name.
 *
 * Invariants
 * 1. What was read has been checked: sizes, kinds, states, the order of spans.
 * Threads: one owner.
 */
#ifndef TP_CLUSTER_WORDS_H
#define TP_CLUSTER_WORDS_H

#include "cluster/translator.h"

/* What WORD frames are besides those of the machines; each with its own body. */
#define TP_WORD_CANCEL   250 /* the asker gave up: follow.c */
#define TP_WORD_PROBE    251 /* looks for a circle of asks: the same */
#define TP_WORD_INQUIRY  252 /* inquiry.h */
#define TP_WORD_INFORMED 253 /* the same */
#define TP_WORD_INSTALL  254 /* a copy of an actor that moves: mover.h */
#define TP_WORD_LOST     255 /* the letter of that number was settled, but its way broke */

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
