/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every compile-time limit of the runtime, in one place, tied together by static asserts. Not the
 * limits that a user sets: those are options of the node, checked against these.
 *
 * Invariants: the static asserts below. Threads: none.
 */
#ifndef TP_BASE_LIMITS_H
#define TP_BASE_LIMITS_H

#include <stdint.h>

/* Ids: `type/key`, `type@partition/key`. */
#define TP_KEY_MAX 1024
#define TP_NAME_MAX 128
#define TP_ID_MAX (TP_NAME_MAX + 1 + TP_NAME_MAX + 1 + TP_KEY_MAX)

/* Shards of one node. */
#define TP_SHARDS_MAX 256

/* Pool: pages of blocks, cut from regions. */
#define TP_POOL_PAGE_BYTES 65536
#define TP_POOL_PAGE_HEADER_BYTES 1024
#define TP_POOL_SMALL_MAX 16384
#define TP_POOL_CLASSES 40
#define TP_POOL_REGION_MIN_BYTES (256 * 1024)
#define TP_POOL_REGION_MAX_BYTES (32 * 1024 * 1024)
#define TP_POOL_LARGE_MAX (UINT64_C(1) << 40)
#define TP_POOL_KEPT_MAX 16 /* large blocks that wait to be taken again, in all so many bytes */
#define TP_POOL_KEPT_BYTES (4 * 1024 * 1024)
#define TP_POOL_BATCH 64 /* foreign blocks that travel home together */

/* Hash index: buckets are the top bits of a hash; the cursor of a scan needs the others. */
#define TP_INDEX_BITS_MIN 4
#define TP_INDEX_BITS_MAX 36

/* Timing wheel. */
#define TP_WHEEL_TICK_BITS 20 /* 2^20 ns, about a millisecond */
#define TP_WHEEL_SLOT_BITS 6
#define TP_WHEEL_LEVELS 8

/* Histogram: 2^5 steps per octave, so a value is off by 1/32 at most. */
#define TP_HISTOGRAM_STEP_BITS 5

_Static_assert(TP_ID_MAX <= UINT16_MAX, "the length of an id fits 16 bits");
_Static_assert(TP_SHARDS_MAX < UINT16_MAX, "a shard's number fits 16 bits, with one to spare");
_Static_assert((TP_POOL_PAGE_BYTES & (TP_POOL_PAGE_BYTES - 1)) == 0, "pages are found by masking");
_Static_assert(TP_POOL_SMALL_MAX * 3 <= TP_POOL_PAGE_BYTES - TP_POOL_PAGE_HEADER_BYTES,
               "a page holds at least three blocks");
_Static_assert(TP_POOL_REGION_MIN_BYTES % TP_POOL_PAGE_BYTES == 0, "regions are whole pages");
_Static_assert(TP_POOL_REGION_MAX_BYTES >= TP_POOL_REGION_MIN_BYTES, "regions grow");
_Static_assert(TP_WHEEL_LEVELS * TP_WHEEL_SLOT_BITS + TP_WHEEL_TICK_BITS > 64,
               "the wheel reaches to the end of time");

#endif
