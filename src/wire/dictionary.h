/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types and methods as small numbers, per session and direction: which numbers were given out, and
 * what those of the peer mean. Not how they are taught: the session sends a NAME frame before the
 * first use, so that names come again with what uses them.
 *
 * A number stands for a type and a method of it together (or for the type alone), so that one
 * look-up finds both. The sender finds its numbers by a `local` number of 32 bits that its user
 * chose for the pair; the receiver's user hangs what it found under the name at the number (bound).
 *
 * Invariants: 1. Numbers are given out and learned as 1, 2, 3 ... 2. Both tables are bounded:
 * beyond that the sender's names travel in words, and the peer's break the link. Threads: one
 * owner.
 */
#ifndef TP_WIRE_DICTIONARY_H
#define TP_WIRE_DICTIONARY_H

#include <troupe/base.h>
#include <troupe/status.h>

/* ---- the sender's side ---- */

typedef struct tp_taught_entry {
    uint32_t local; /* 0: empty */
    uint16_t number;
} tp_taught_entry;

typedef struct tp_taught {
    const troupe_allocator *allocator;
    tp_taught_entry *entries; /* open addressing, at most half full */
    uint32_t mask;
    uint32_t count, limit;
} tp_taught;

void tp_taught_init(tp_taught *taught, const troupe_allocator *allocator, uint32_t limit);
void tp_taught_deinit(tp_taught *taught);

/* Is there room for one more? Makes it. */
TROUPE_CHECK bool tp_taught_make_room(tp_taught *taught);
/* After tp_taught_make_room; returns its number. */
uint16_t tp_taught_add(tp_taught *taught, uint32_t local);

static inline uint32_t tp_taught_place(uint32_t local, uint32_t mask)
{
    return (local * UINT32_C(0x9E3779B1)) >> 7 & mask;
}

/* 0: it was not taught. `local` is not 0. */
static inline uint16_t tp_taught_find(const tp_taught *taught, uint32_t local)
{
    if (taught->entries == NULL)
        return 0;
    for (uint32_t i = tp_taught_place(local, taught->mask);; i = (i + 1) & taught->mask) {
        if (taught->entries[i].local == local)
            return taught->entries[i].number;
        if (taught->entries[i].local == 0)
            return 0;
    }
}

/* ---- the receiver's side ---- */

typedef struct tp_learned_name {
    troupe_slice type, method; /* bytes of the entry's own */
    void *bound;               /* the user's; NULL at first */
    uint64_t bound_number;     /* likewise; 0 */
} tp_learned_name;

typedef struct tp_learned {
    const troupe_allocator *allocator;
    tp_learned_name *names; /* names[0] is number 1 */
    uint32_t count, room, limit;
} tp_learned;

void tp_learned_init(tp_learned *learned, const troupe_allocator *allocator, uint32_t limit);
void tp_learned_deinit(tp_learned *learned);

/* NO_MEMORY; CORRUPT: not the next number; TOO_LARGE: beyond the limit. */
TROUPE_CHECK troupe_status tp_learned_add(
    tp_learned *learned, uint16_t number, troupe_slice type, troupe_slice method);

/* NULL: the peer has not taught it. */
static inline tp_learned_name *tp_learned_find(const tp_learned *learned, uint16_t number)
{
    return (uint32_t)number - 1 < learned->count ? &learned->names[number - 1] : NULL;
}

#endif
