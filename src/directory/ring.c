/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of directory/ring.h: an array of points, slice after slice, each slice sorted. Finding
 * the slice is a shift, and the first point in it a binary search among as many as there are
 * members.
 *
 * Invariants: 1. Points are sorted by position, then name, then incarnation. 2. Slice s begins at
 * point s * count.
 * Threads: see directory/ring.h.
 */
#include "directory/ring.h"

#include "base/alloc.h"
#include "base/prng.h"

#include <stdlib.h>

typedef struct point {
    uint64_t position;
    uint32_t member;
} point;

struct tp_ring {
    const troupe_allocator *allocator;
    size_t bytes;
    uint32_t count;
    uint32_t points; /* per member */
    uint32_t shift;  /* a position's slice is what is left above it */
    tp_ring_member *members;
    point *all; /* points * count */
};

static int by_name(const void *a, const void *b)
{
    const tp_ring_member *left = a;
    const tp_ring_member *right = b;
    if (left->name != right->name) {
        return left->name < right->name ? -1 : 1;
    }
    return left->incarnation < right->incarnation ? -1 : left->incarnation > right->incarnation;
}

/* Members are sorted by name, so their numbers decide where positions are equal. */
static int by_position(const void *a, const void *b)
{
    const point *left = a;
    const point *right = b;
    if (left->position != right->position) {
        return left->position < right->position ? -1 : 1;
    }
    return left->member < right->member ? -1 : left->member > right->member;
}

static void place_points(tp_ring *ring)
{
    uint64_t below = ring->shift < 64 ? (UINT64_C(1) << ring->shift) - 1 : UINT64_MAX;
    for (uint32_t slice = 0; slice < ring->points; slice++) {
        point *first = &ring->all[(size_t)slice * ring->count];
        uint64_t start = ring->shift < 64 ? (uint64_t)slice << ring->shift : 0;
        for (uint32_t i = 0; i < ring->count; i++) {
            uint64_t state = ring->members[i].name ^ ((uint64_t)slice << 48);
            tp_prng_split(&state); /* twice: names may be poor hashes */
            state ^= slice;
            first[i] = (point){start | (tp_prng_split(&state) & below), i};
        }
        qsort(first, ring->count, sizeof(*first), by_position);
    }
}

troupe_status tp_ring_create(const troupe_allocator *allocator, const tp_ring_member *members,
    uint32_t count, uint32_t points, tp_ring **ret_ring)
{
    if (points == 0 || points > TP_RING_POINTS_MAX || (points & (points - 1)) != 0 ||
        count > TP_RING_MEMBERS_MAX) {
        return TROUPE_USAGE;
    }
    size_t names = count * sizeof(tp_ring_member);
    size_t bytes = sizeof(tp_ring) + names + (size_t)count * points * sizeof(point);
    tp_ring *ring = tp_allocate(allocator, bytes);
    if (ring == NULL) {
        return TROUPE_NO_MEMORY;
    }
    *ring = (tp_ring){.allocator = allocator,
        .bytes = bytes,
        .count = count,
        .points = points,
        .shift = 64 - (uint32_t)__builtin_ctz(points)};
    ring->members = (tp_ring_member *)(void *)(ring + 1);
    ring->all = (point *)(void *)((char *)ring->members + names);
    if (count != 0) {
        memcpy(ring->members, members, names);
        qsort(ring->members, count, sizeof(*members), by_name);
        place_points(ring);
    }
    *ret_ring = ring;
    return TROUPE_OK;
}

void tp_ring_destroy(tp_ring *ring)
{
    if (ring != NULL) {
        tp_release(ring->allocator, ring, ring->bytes);
    }
}

uint32_t tp_ring_count(const tp_ring *ring)
{
    return ring->count;
}

/* The number of the first point at or after a position; past the end is the first of all. */
static size_t first_point(const tp_ring *ring, uint64_t position)
{
    size_t slice = ring->shift < 64 ? (size_t)(position >> ring->shift) : 0;
    size_t low = slice * ring->count;
    size_t high = low + ring->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring->all[middle].position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < (size_t)ring->points * ring->count ? low : 0;
}

const tp_ring_member *tp_ring_owner(const tp_ring *ring, uint64_t position)
{
    if (ring->count == 0) {
        return NULL;
    }
    return &ring->members[ring->all[first_point(ring, position)].member];
}

uint32_t tp_ring_successors(
    const tp_ring *ring, uint64_t hash, const tp_ring_member **ret_members, uint32_t room)
{
    size_t total = (size_t)ring->points * ring->count;
    uint32_t most = room < ring->count ? room : ring->count;
    uint32_t count = 0;
    if (most == 0) {
        return 0;
    }
    size_t at = first_point(ring, tp_ring_position(hash));
    for (size_t seen = 0; seen < total && count < most; seen++) {
        const tp_ring_member *member = &ring->members[ring->all[at].member];
        uint32_t i = 0;
        while (i < count && ret_members[i] != member) {
            i++;
        }
        if (i == count) {
            ret_members[count++] = member;
        }
        at = at + 1 < total ? at + 1 : 0;
    }
    return count;
}

static bool is_same(const tp_ring_member *left, const tp_ring_member *right)
{
    return left->name == right->name && left->incarnation == right->incarnation;
}

/* The last position that has the owner of this one, without going round. */
static uint64_t last_of(const tp_ring *ring, uint64_t position)
{
    uint64_t last = ring->all[first_point(ring, position)].position;
    return last >= position ? last : UINT64_MAX;
}

/* The arc at the cursor with one owner in each ring; the cursor goes behind it. */
static tp_ring_move take_arc(const tp_ring *ring, const tp_ring *next, tp_ring_cursor *cursor)
{
    uint64_t mine = last_of(ring, cursor->at);
    uint64_t its = last_of(next, cursor->at);
    tp_ring_move arc = {.first = cursor->at,
        .last = mine < its ? mine : its,
        .from = tp_ring_owner(ring, cursor->at),
        .to = tp_ring_owner(next, cursor->at)};
    cursor->at = arc.last + 1;
    cursor->is_over = arc.last == UINT64_MAX;
    return arc;
}

bool tp_ring_each_arc(const tp_ring *ring, tp_ring_cursor *cursor, tp_ring_move *ret_arc)
{
    TP_ASSERT(ring->count != 0);
    if (cursor->is_over) {
        return false;
    }
    tp_ring_move arc = take_arc(ring, ring, cursor);
    while (!cursor->is_over && tp_ring_owner(ring, cursor->at) == arc.from) {
        arc.last = take_arc(ring, ring, cursor).last;
    }
    *ret_arc = arc;
    return true;
}

bool tp_ring_each_move(
    const tp_ring *ring, const tp_ring *next, tp_ring_cursor *cursor, tp_ring_move *ret_move)
{
    TP_ASSERT(ring->count != 0 && next->count != 0);
    while (!cursor->is_over) {
        tp_ring_move move = take_arc(ring, next, cursor);
        if (is_same(move.from, move.to)) {
            continue;
        }
        while (!cursor->is_over && tp_ring_owner(ring, cursor->at) == move.from &&
               tp_ring_owner(next, cursor->at) == move.to) {
            move.last = take_arc(ring, next, cursor).last;
        }
        *ret_move = move;
        return true;
    }
    return false;
}
