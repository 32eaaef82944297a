/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of positions on the ring as sorted lists of spans: what a node is home of, what is settled,
 * what a survey asks for. Not entries. The directory machine calls it when views change.
 *
 * Invariants: spans rise, do not touch each other, and none is empty. A set whose call failed holds
 * some part of the result and is to be cleared. Threads: one owner.
 */
#ifndef TP_DIRECTORY_SPANS_H
#define TP_DIRECTORY_SPANS_H

#include "directory/directory.h"

typedef struct tp_spans {
    tp_span *items;
    uint32_t count, room;
} tp_spans; /* zeroed: empty */

void tp_spans_clear(tp_spans *spans, tp_pool *pool);

/* All below: false, no memory. */

/* `span` begins after all that is there ends, or touches its end. */
TROUPE_CHECK bool tp_spans_append(tp_spans *spans, tp_pool *pool, tp_span span);
/* Appends what a and b have in common, what a has and b lacks, what either has: to an empty set. */
TROUPE_CHECK bool tp_spans_common(
    tp_spans *out, tp_pool *pool, const tp_spans *a, const tp_spans *b);
TROUPE_CHECK bool tp_spans_without(
    tp_spans *out, tp_pool *pool, const tp_spans *a, const tp_spans *b);
TROUPE_CHECK bool tp_spans_either(
    tp_spans *out, tp_pool *pool, const tp_spans *a, const tp_spans *b);
/* Appends what is at home at that member, to an empty set. */
TROUPE_CHECK bool tp_spans_of_member(
    tp_spans *out, tp_pool *pool, const tp_directory_view *view, uint32_t member);

/* Is the position of that hash among them? */
bool tp_spans_has(const tp_spans *spans, uint64_t hash);

#endif
