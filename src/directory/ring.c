/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of directory/ring.h: an array of points, slice after slice, each slice sorted. Finding
 * the slice is a shift, and the first point in it a binary search among as many as there are
 * members. A ring that follows another one is a merge of its points with those of new members.
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
    /* points * count of each: two arrays, since in a large cluster they are what a view costs */
    uint64_t *positions;
    uint16_t *owners;
};

_Static_assert(TP_RING_MEMBERS_MAX - 1 <= UINT16_MAX, "the number of a member fits `owners`");

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

/* In slice `slice`. */
static uint64_t position_of(const tp_ring *ring, const tp_ring_member *member, uint32_t slice)
{
    uint64_t below = ring->shift < 64 ? (UINT64_C(1) << ring->shift) - 1 : UINT64_MAX;
    uint64_t start = ring->shift < 64 ? (uint64_t)slice << ring->shift : 0;
    uint64_t state = member->name ^ ((uint64_t)slice << 48);
    tp_prng_split(&state); /* twice: names may be poor hashes */
    state ^= slice;
    return start | (tp_prng_split(&state) & below);
}

/* What a ring is made of: what is kept of a former one, and what is new. */
typedef struct parts {
    const tp_ring *former; /* NULL: nothing is kept */
    uint32_t *kept;        /* of each member of `former` its number in the new ring, or NOBODY */
    uint32_t *added;       /* numbers of new members */
    uint32_t added_count;
    point *points; /* of the new members in one slice */
} parts;

#define NOBODY UINT32_MAX

static bool is_same(const tp_ring_member *left, const tp_ring_member *right)
{
    return left->name == right->name && left->incarnation == right->incarnation;
}

/* Both rings' members are sorted by name. */
static void compare_members(const tp_ring *ring, parts *of)
{
    uint32_t count = of->former != NULL ? of->former->count : 0, was = 0;
    for (uint32_t i = 0; i < ring->count; i++) {
        while (was < count && by_name(&of->former->members[was], &ring->members[i]) < 0) {
            of->kept[was++] = NOBODY;
        }
        if (was < count && is_same(&of->former->members[was], &ring->members[i])) {
            of->kept[was++] = i;
        } else {
            of->added[of->added_count++] = i;
        }
    }
    while (was < count) {
        of->kept[was++] = NOBODY;
    }
}

/* Members that are kept have kept their order, too. */
static void merge_slice(tp_ring *ring, const parts *of, uint32_t slice)
{
    size_t out = (size_t)slice * ring->count;
    uint32_t was_count = of->former != NULL ? of->former->count : 0, new = 0;
    size_t was = (size_t)slice * was_count, end = was + was_count;
    while (new < of->added_count || was < end) {
        point next = {0, was < end ? of->kept[of->former->owners[was]] : NOBODY};
        if (was < end && next.member == NOBODY) {
            was++;
            continue;
        }
        next.position = was < end ? of->former->positions[was] : UINT64_MAX;
        if (was == end || (new < of->added_count && by_position(&of->points[new], &next) < 0)) {
            next = of->points[new ++];
        } else {
            was++;
        }
        ring->positions[out] = next.position;
        ring->owners[out++] = (uint16_t)next.member;
    }
}

static void place_points(tp_ring *ring, parts *of)
{
    compare_members(ring, of);
    for (uint32_t slice = 0; slice < ring->points; slice++) {
        for (uint32_t i = 0; i < of->added_count; i++) {
            uint32_t member = of->added[i];
            of->points[i] = (point){position_of(ring, &ring->members[member], slice), member};
        }
        qsort(of->points, of->added_count, sizeof(*of->points), by_position);
        merge_slice(ring, of, slice);
    }
}

static tp_ring *ring_create(const troupe_allocator *allocator, uint32_t count, uint32_t points)
{
    size_t names = count * sizeof(tp_ring_member), all = (size_t)count * points;
    size_t bytes = sizeof(tp_ring) + names + all * (sizeof(uint64_t) + sizeof(uint16_t));
    tp_ring *ring = tp_allocate(allocator, bytes);
    if (ring == NULL) {
        return NULL;
    }
    *ring = (tp_ring){.allocator = allocator,
        .bytes = bytes,
        .count = count,
        .points = points,
        .shift = 64 - (uint32_t)__builtin_ctz(points)};
    ring->members = (tp_ring_member *)(void *)(ring + 1);
    ring->positions = (uint64_t *)(void *)((char *)ring->members + names);
    ring->owners = (uint16_t *)(void *)(ring->positions + all);
    return ring;
}

static bool fill(tp_ring *ring, const tp_ring *former, const tp_ring_member *members)
{
    uint32_t was = former != NULL ? former->count : 0;
    size_t bytes = ring->count * (sizeof(point) + sizeof(uint32_t)) + was * sizeof(uint32_t);
    char *block = tp_allocate(ring->allocator, bytes);
    if (block == NULL) {
        return false;
    }
    parts of = {.former = former, .points = (point *)(void *)block};
    of.added = (uint32_t *)(void *)(of.points + ring->count);
    of.kept = of.added + ring->count;
    memcpy(ring->members, members, ring->count * sizeof(*members));
    qsort(ring->members, ring->count, sizeof(*members), by_name);
    place_points(ring, &of);
    tp_release(ring->allocator, block, bytes);
    return true;
}

static troupe_status make(const troupe_allocator *allocator, const tp_ring *former,
    const tp_ring_member *members, uint32_t count, uint32_t points, tp_ring **ret_ring)
{
    if (count > TP_RING_MEMBERS_MAX) {
        return TROUPE_USAGE;
    }
    tp_ring *ring = ring_create(allocator, count, points);
    if (ring == NULL || (count != 0 && !fill(ring, former, members))) {
        tp_ring_destroy(ring);
        return TROUPE_NO_MEMORY;
    }
    *ret_ring = ring;
    return TROUPE_OK;
}

troupe_status tp_ring_create(const troupe_allocator *allocator, const tp_ring_member *members,
    uint32_t count, uint32_t points, tp_ring **ret_ring)
{
    if (points == 0 || points > TP_RING_POINTS_MAX || (points & (points - 1)) != 0) {
        return TROUPE_USAGE;
    }
    return make(allocator, NULL, members, count, points, ret_ring);
}

troupe_status tp_ring_follow(const troupe_allocator *allocator, const tp_ring *former,
    const tp_ring_member *members, uint32_t count, tp_ring **ret_ring)
{
    return make(allocator, former, members, count, former->points, ret_ring);
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
        if (ring->positions[middle] < position) {
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
    return &ring->members[ring->owners[first_point(ring, position)]];
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
        const tp_ring_member *member = &ring->members[ring->owners[at]];
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

/* The last position that has the owner of this one, without going round. */
static uint64_t last_of(const tp_ring *ring, uint64_t position)
{
    uint64_t last = ring->positions[first_point(ring, position)];
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

const tp_ring_member *tp_ring_find(const tp_ring *ring, uint32_t node)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        if (ring->members[i].node == node) {
            return &ring->members[i];
        }
    }
    return NULL;
}

/* Up to its point in that slice. False: another one's point lies at the same position, and owns it.
 */
static bool arc_in(
    const tp_ring *ring, const tp_ring_member *member, uint32_t slice, tp_ring_move *ret_arc)
{
    uint64_t last = position_of(ring, member, slice);
    size_t at = first_point(ring, last);
    if (&ring->members[ring->owners[at]] != member) {
        return false;
    }
    uint64_t first = at != 0 ? ring->positions[at - 1] + 1 : 0;
    *ret_arc = (tp_ring_move){.first = first, .last = last, .from = member, .to = member};
    return true;
}

/* Behind the last of all points, which belongs to the first one. */
static bool arc_at_end(const tp_ring *ring, const tp_ring_member *member, tp_ring_move *ret_arc)
{
    uint64_t before = ring->positions[(size_t)ring->points * ring->count - 1];
    if (&ring->members[ring->owners[0]] != member || before == UINT64_MAX) {
        return false;
    }
    *ret_arc = (tp_ring_move){before + 1, UINT64_MAX, member, member};
    return true;
}

bool tp_ring_each_arc_of(const tp_ring *ring, const tp_ring_member *member, tp_ring_cursor *cursor,
    tp_ring_move *ret_arc)
{
    while (!cursor->is_over) {
        uint64_t slice = cursor->at++;
        cursor->is_over = slice == ring->points;
        if (cursor->is_over ? arc_at_end(ring, member, ret_arc)
                            : arc_in(ring, member, (uint32_t)slice, ret_arc)) {
            return true;
        }
    }
    return false;
}
