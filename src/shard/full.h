/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which mailboxes are full, of the actors of one shard and of those of other nodes that are told by
 * way of it: a set of hashes that the shard writes and whoever sends reads, so that what comes
 * beyond a limit is what was under way when the mailbox became full, and nobody has to be told. It
 * knows hashes, not actors. Part of shard.h, which includes it.
 *
 * A hash lies in the line that it leads to, one cache line of eight. If that has no room, its bit
 * stands for it, and the other hashes of that bit with it: they are refused as well as long as it
 * is full. So nothing is ever forgotten, and nothing here can fail.
 *
 * Invariants
 * 1. A hash is in it as often as it was put and not taken out.
 * 2. The TP_CROWDED_FULL of the shard is set while anything is in it.
 * Threads: written by the shard's; tp_full_has by any.
 */
#ifndef TP_SHARD_FULL_H
#define TP_SHARD_FULL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TP_FULL_LINES 1024 /* powers of two */
#define TP_FULL_BITS  4096
#define TP_FULL_WIDE  8

typedef struct tp_full {
    _Alignas(64) _Atomic uint64_t lines[TP_FULL_LINES][TP_FULL_WIDE]; /* [any reads] 0: free */
    _Atomic uint64_t bits[TP_FULL_BITS / 64];                         /* [any reads] */
    uint32_t of_bits[TP_FULL_BITS]; /* how many hashes each stands for */
    _Atomic uint32_t crossed;       /* [any reads] hashes that are bits */
    uint32_t count;
    uint32_t line_count, wide; /* that are used */
} tp_full;

/* All zero is an empty one, but for this. A simulated one has one line of two, so that bits are
 * used. */
void tp_full_init(tp_full *self, bool simulated);
void tp_full_put(tp_full *self, uint64_t hash);
void tp_full_take(tp_full *self, uint64_t hash); /* which was put */
bool tp_full_has(const tp_full *self, uint64_t hash); /* [any thread] */

#endif
