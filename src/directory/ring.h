/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of one view: which member is the home of an id, and who comes after it for copies
 * (consistent hashing: Karger et al., STOC 1997; virtual points as in Dynamo, SOSP 2007). Made once
 * per view, then only read, by any thread. Not the directory's entries, and not the shard within a
 * node: that is hash(id) (tp_hash_shard). The directory, hand-over and placement by hash use it.
 *
 * Each member has `points` points, a power of two, one in each equal slice of the circle (jittered
 * sampling: the shares vary less than with free points, and points of a slice lie together). The
 * owner of a position is the member of the first point at or after it. A point depends on its
 * member's name alone, so a member that comes back under its name gets back what it had.
 *
 * A position is tp_index_mix(hash): entries of a table by base/index.h lie in the order of their
 * positions, so an arc of the ring is a run of buckets; and the shard, which takes the low bits of
 * the hash, says nothing about the position.
 *
 * Invariants
 * 1. Every position has exactly one owner, the same in every node that has the same members.
 * 2. When a member joins or leaves, only positions that it has or had change their owner.
 * 3. Shares: with 128 points the largest share of 2 to 100 members is at most 1.4 of the mean, with
 *    256 at most 1.25, with 512 at most 1.2 (tests/directory/ring_test.c).
 * Threads: any may read.
 */
#ifndef TP_DIRECTORY_RING_H
#define TP_DIRECTORY_RING_H

#include "base/index.h"

#define TP_RING_POINTS      256 /* what clusters use: all members must use the same */
#define TP_RING_POINTS_MAX  4096
#define TP_RING_MEMBERS_MAX 65536

typedef struct tp_ring_member {
    uint64_t name;        /* hash of what stays when the process starts anew */
    uint64_t incarnation; /* tells one process from the next under the same name */
    uint32_t node;        /* the caller's number of it in this view */
} tp_ring_member;

typedef struct tp_ring tp_ring;

/* An arc of positions, both ends included. */
typedef struct tp_ring_move {
    uint64_t first, last;
    const tp_ring_member *from, *to;
} tp_ring_move;

/* Where a walk over arcs or moves is; begins as {0}. One over arcs may begin at any position. */
typedef struct tp_ring_cursor {
    uint64_t at;
    bool is_over;
} tp_ring_cursor;

/* `count` members, none twice by (name, incarnation), in any order; 0 is fine. USAGE: `points` is
 * no power of two up to the maximum, or there are too many members. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_ring_create(const troupe_allocator *allocator,
    const tp_ring_member *members, uint32_t count, uint32_t points, tp_ring **ret_ring);
/* The same members on as many points as `former` has, made of it: in time for each point that is
 * kept, and not for sorting them again. */
TROUPE_CHECK troupe_status tp_ring_follow(const troupe_allocator *allocator, const tp_ring *former,
    const tp_ring_member *members, uint32_t count, tp_ring **ret_ring);
void tp_ring_destroy(tp_ring *ring);

uint32_t tp_ring_count(const tp_ring *ring);

static inline uint64_t tp_ring_position(uint64_t hash)
{
    return tp_index_mix(hash);
}

/* The owner of a position; NULL when the ring has no members. */
const tp_ring_member *tp_ring_owner(const tp_ring *ring, uint64_t position);

/* The home of an id. */
static inline const tp_ring_member *tp_ring_home(const tp_ring *ring, uint64_t hash)
{
    return tp_ring_owner(ring, tp_ring_position(hash));
}

/* The home and the members that follow it on the ring, each once; returns how many, at most `room`.
 */
uint32_t tp_ring_successors(
    const tp_ring *ring, uint64_t hash, const tp_ring_member **ret_members, uint32_t room);

/* All arcs, in order of position, each as long as it has the same owner (`from` and `to`). False:
 * there are no more. The ring has members. */
bool tp_ring_each_arc(const tp_ring *ring, tp_ring_cursor *cursor, tp_ring_move *ret_arc);

/* NULL: nobody has that number. */
const tp_ring_member *tp_ring_find(const tp_ring *ring, uint32_t node);
/* The arcs of one member of the ring, in order of position; two may touch. Looks at no others. */
bool tp_ring_each_arc_of(const tp_ring *ring, const tp_ring_member *member, tp_ring_cursor *cursor,
    tp_ring_move *ret_arc);

/* The arcs whose owner is another in `next` than in `ring`, in order of position, each as long as
 * it has the same two. False: there are no more. Both rings have members. */
bool tp_ring_each_move(
    const tp_ring *ring, const tp_ring *next, tp_ring_cursor *cursor, tp_ring_move *ret_move);

#endif
