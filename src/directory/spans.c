/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of positions (spans.h): each operation is one walk over both lists.
 *
 * Invariants and threads: see spans.h.
 */
#include "directory/spans.h"

#include <string.h>

void tp_spans_clear(tp_spans *spans, tp_pool *pool)
{
    tp_pool_give(pool, spans->items);
    memset(spans, 0, sizeof(*spans));
}

static bool make_room(tp_spans *spans, tp_pool *pool)
{
    if (spans->count < spans->room) {
        return true;
    }
    uint32_t room = spans->room != 0 ? spans->room * 2 : 8;
    tp_span *items = tp_pool_take(pool, room * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    if (spans->count > 0) {
        memcpy(items, spans->items, spans->count * sizeof(*items));
    }
    tp_pool_give(pool, spans->items);
    spans->items = items;
    spans->room = room;
    return true;
}

bool tp_spans_append(tp_spans *spans, tp_pool *pool, tp_span span)
{
    if (spans->count > 0) {
        tp_span *last = &spans->items[spans->count - 1];
        TP_ASSERT(span.first > last->last);
        if (last->last + 1 == span.first) {
            last->last = span.last;
            return true;
        }
    }
    if (!make_room(spans, pool)) {
        return false;
    }
    spans->items[spans->count++] = span;
    return true;
}

bool tp_spans_common(tp_spans *out, tp_pool *pool, const tp_spans *a, const tp_spans *b)
{
    uint32_t i = 0, j = 0;
    while (i < a->count && j < b->count) {
        tp_span x = a->items[i], y = b->items[j];
        tp_span both = {x.first > y.first ? x.first : y.first, x.last < y.last ? x.last : y.last};
        if (both.first <= both.last && !tp_spans_append(out, pool, both)) {
            return false;
        }
        if (x.last < y.last) {
            i++;
        } else {
            j++;
        }
    }
    return true;
}

bool tp_spans_without(tp_spans *out, tp_pool *pool, const tp_spans *a, const tp_spans *b)
{
    uint32_t j = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        tp_span rest = a->items[i];
        bool is_left = true;
        while (j < b->count && b->items[j].last < rest.first) {
            j++;
        }
        for (uint32_t k = j; is_left && k < b->count && b->items[k].first <= rest.last; k++) {
            tp_span cut = b->items[k];
            if (cut.first > rest.first &&
                !tp_spans_append(out, pool, (tp_span){rest.first, cut.first - 1})) {
                return false;
            }
            is_left = cut.last < rest.last;
            rest.first = is_left ? cut.last + 1 : rest.first;
        }
        if (is_left && !tp_spans_append(out, pool, rest)) {
            return false;
        }
    }
    return true;
}

bool tp_spans_either(tp_spans *out, tp_pool *pool, const tp_spans *a, const tp_spans *b)
{
    uint32_t i = 0, j = 0;
    while (i < a->count || j < b->count) {
        bool is_a = j == b->count || (i < a->count && a->items[i].first <= b->items[j].first);
        tp_span next = is_a ? a->items[i++] : b->items[j++];
        if (out->count > 0 && next.first <= out->items[out->count - 1].last) {
            tp_span *last = &out->items[out->count - 1];
            last->last = next.last > last->last ? next.last : last->last;
        } else if (!tp_spans_append(out, pool, next)) {
            return false;
        }
    }
    return true;
}

bool tp_spans_of_member(
    tp_spans *out, tp_pool *pool, const tp_directory_view *view, uint32_t member)
{
    const tp_ring_member *owner = tp_ring_find(view->ring, member);
    tp_ring_cursor cursor = {0, false};
    tp_ring_move arc;
    while (owner != NULL && tp_ring_each_arc_of(view->ring, owner, &cursor, &arc)) {
        if (!tp_spans_append(out, pool, (tp_span){arc.first, arc.last})) {
            return false;
        }
    }
    return true;
}

bool tp_spans_has(const tp_spans *spans, uint64_t hash)
{
    const uint64_t position = tp_ring_position(hash);
    uint32_t low = 0, high = spans->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (spans->items[middle].last < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < spans->count && spans->items[low].first <= position;
}
