/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of words, frozen as those of frames (wire/frames.h, 5.):
 *   view, hash, number, other u64 · last u8 · spans u16 · items u32
 *   span: first, last u64
 *   item: hash, host, number, prev, peer u64 · state, activations u32 · type u8 text ·
 *         partition u8 text · key u16 text
 */
#include "cluster/words.h"

#include "base/alloc.h"

#define HEAD      (4 * 8 + 1 + 2 + 4)
#define ITEM      (5 * 8 + 2 * 4 + 1 + 1 + 2)
#define ITEMS_MAX (1u << 16)

size_t tp_word_size(const tp_translator *translator, const tp_directory_word *word)
{
    size_t size = HEAD + word->span_count * sizeof(uint64_t) * 2;
    for (uint32_t i = 0; i < word->item_count; i++) {
        const tp_directory_id *id = &word->items[i].id;
        const tp_type *type = tp_type_at(translator->shard->shared, id->type);
        size += ITEM + type->name.size + id->partition.size + id->key.size;
    }
    return size;
}

static char *put_item(const tp_translator *translator, char *at, const tp_directory_item *item)
{
    troupe_slice type = tp_type_at(translator->shard->shared, item->id.type)->name;
    at = tp_put_64(tp_put_64(at, item->id.hash), item->host);
    at = tp_put_64(tp_put_64(tp_put_64(at, item->number), item->prev), item->peer);
    at = tp_put_32(tp_put_32(at, item->state), item->activations);
    at = tp_put_bytes(tp_put_8(at, (unsigned)type.size), type);
    at = tp_put_bytes(tp_put_8(at, (unsigned)item->id.partition.size), item->id.partition);
    return tp_put_bytes(tp_put_16(at, (unsigned)item->id.key.size), item->id.key);
}

void tp_word_put(const tp_translator *translator, char *at, const tp_directory_word *word)
{
    at = tp_put_64(tp_put_64(at, word->view), word->hash);
    at = tp_put_64(tp_put_64(at, word->number), word->other);
    at = tp_put_16(tp_put_8(at, word->last), word->span_count);
    at = tp_put_32(at, word->item_count);
    for (uint32_t i = 0; i < word->span_count; i++)
        at = tp_put_64(tp_put_64(at, word->spans[i].first), word->spans[i].last);
    for (uint32_t i = 0; i < word->item_count; i++)
        at = put_item(translator, at, &word->items[i]);
}

/* ---- in -------------------------------------------------------------------------------------- */

void tp_word_room_deinit(tp_word_room *room)
{
    tp_release(room->allocator, room->items, room->item_room * sizeof *room->items);
    tp_release(room->allocator, room->spans, room->span_room * sizeof *room->spans);
    *room = (tp_word_room){.allocator = room->allocator};
}

static bool make_room(tp_word_room *room, uint32_t items, uint32_t spans)
{
    if (items > room->item_room) {
        tp_directory_item *grown = tp_allocate(room->allocator, items * sizeof *grown);
        if (grown == NULL)
            return false;
        tp_release(room->allocator, room->items, room->item_room * sizeof *grown);
        room->items = grown;
        room->item_room = items;
    }
    if (spans > room->span_room) {
        tp_span *grown = tp_allocate(room->allocator, spans * sizeof *grown);
        if (grown == NULL)
            return false;
        tp_release(room->allocator, room->spans, room->span_room * sizeof *grown);
        room->spans = grown;
        room->span_room = spans;
    }
    return true;
}

static bool is_text(troupe_slice text, size_t least, size_t most)
{
    return text.size >= least && text.size <= most;
}

/* Of a type for which there is no room: nothing of it is ever known or made here, so that what the
 * item says of an id is of no use. */
static const char unknown[] = "unknown";

/* NULL; a fault; `unknown`; or "" for want of memory. */
static const char *get_item(tp_translator *translator, tp_in *in, tp_directory_item *item)
{
    item->id.hash = tp_in_64(in);
    item->host = tp_in_64(in);
    item->number = tp_in_64(in);
    item->prev = tp_in_64(in);
    item->peer = tp_in_64(in);
    item->state = tp_in_32(in);
    item->activations = tp_in_32(in);
    troupe_slice type = tp_in_bytes(in, tp_in_8(in));
    item->id.partition = tp_in_bytes(in, tp_in_8(in));
    item->id.key = tp_in_bytes(in, tp_in_16(in));
    if (in->short_of)
        return "it is shorter than it says";
    if (!is_text(type, 1, TP_NAME_MAX) || !is_text(item->id.partition, 0, TP_NAME_MAX) ||
        !is_text(item->id.key, 1, TP_KEY_MAX))
        return "an id in it is none";
    if (item->state > TP_DIRECTORY_TARGET)
        return "a state in it is none";
    const tp_type *known = tp_foreign_learn(translator->shard->shared, type, 0);
    if (known == NULL)
        return tp_foreign_is_full(translator->shard->shared) ? unknown : "";
    if (!tp_translator_is_hash(
            translator, known, item->id.hash, item->id.partition, item->id.key))
        return "an id in it has another hash than it says";
    item->id.type = known->number;
    return NULL;
}

const char *tp_word_get(tp_translator *translator, tp_word_room *room, unsigned kind,
    troupe_slice body, tp_directory_word *ret_word, bool *ret_short)
{
    tp_in in = tp_in_of(body.data, body.size);
    tp_directory_word word = {.kind = kind, .view = tp_in_64(&in)};
    word.hash = tp_in_64(&in);
    word.number = tp_in_64(&in);
    word.other = tp_in_64(&in);
    word.last = tp_in_8(&in) != 0;
    word.span_count = tp_in_16(&in);
    word.item_count = tp_in_32(&in);
    *ret_short = false;
    if (in.short_of || kind >= TP_WORD_COUNT)
        return "it is no word of the directory";
    size_t least = word.span_count * (size_t)16 + word.item_count * (size_t)(ITEM + 2);
    if (word.item_count > ITEMS_MAX || least > (size_t)(in.end - in.at))
        return "it is shorter than it says";
    if (!make_room(room, word.item_count, word.span_count)) {
        *ret_short = true;
        return NULL;
    }
    for (uint32_t i = 0; i < word.span_count; i++) {
        room->spans[i].first = tp_in_64(&in);
        room->spans[i].last = tp_in_64(&in);
        if (room->spans[i].first > room->spans[i].last ||
            (i > 0 && room->spans[i].first <= room->spans[i - 1].last))
            return "its spans are not in order";
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < word.item_count; i++) {
        const char *fault = get_item(translator, &in, &room->items[kept]);
        if (fault == unknown)
            continue;
        kept++;
        *ret_short = fault != NULL && fault[0] == 0;
        if (fault != NULL)
            return *ret_short ? NULL : fault;
    }
    if (in.at != in.end)
        return "something follows its end";
    word.item_count = kept;
    word.items = room->items;
    word.spans = room->spans;
    *ret_word = word;
    return NULL;
}
