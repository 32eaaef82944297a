/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What view.c (making and finding) and view_json.c (text) share; included by them only. A *shape*
 * is a tp_view whose parts lie anywhere, on its way to become one block.
 *
 * Threads: none of its own.
 */
#ifndef TP_MEMBER_VIEW_INSIDE_H
#define TP_MEMBER_VIEW_INSIDE_H

#include "member/view.h"

/* What is wrong with the shape; NULL: nothing. `*ret_member`: in which one, or 0. */
const char *tp_view_wrong(const tp_view *shape, uint64_t *ret_member);

/* The text of a shape, in a block of `*ret_room` bytes. TOO_LARGE, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_view_encode(const troupe_allocator *allocator, const tp_view *shape,
    const uint32_t *leaders, troupe_slice *ret_text, size_t *ret_room);

/* Copies a shape that nothing is wrong with; encodes it if it has no text. TOO_LARGE, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_view_make(
    const troupe_allocator *allocator, const tp_view *shape, const tp_view **ret_view);

#endif
