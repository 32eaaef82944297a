/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of a stored state: a header of 16 bytes that lets a damaged, misplaced or newer
 * state be told from a good one before an actor sees it. Not a compression, not a secret, not the
 * rows beside a state (store/rows.h). Whoever commits seals, whoever loads opens.
 *
 *   0  format    1
 *   1  flags     0
 *   2  zero      2 bytes
 *   4  size      u32, of the bytes that follow the header
 *   8  checksum  u64: XXH3-64 of the bytes, seeded by XXH3-64 of header bytes 0 to 7, which is
 *                seeded by the seed of the actor's id
 *
 * Numbers are little-endian.
 *
 * Invariants
 * 1. What was sealed opens under the same seed to the same bytes. 2. A changed bit anywhere, a cut
 * or an added byte, and another actor's record do not open. 3. The seed depends on the text of the
 * id alone, so a store may be read by any node and any tool. XXH3 finds accidents; it does not keep
 * out who may write to the store.
 * Threads: pure.
 */
#ifndef TP_STORE_RECORD_H
#define TP_STORE_RECORD_H

#include <troupe.h>

#define TP_RECORD_FORMAT       1
#define TP_RECORD_HEADER_BYTES 16

/* What an actor's records and rows are sealed with. The id is valid. */
uint64_t tp_record_seed(troupe_id id);

/* The room that `size` bytes take when they are sealed; 0: more than a record holds (4 GiB). */
size_t tp_record_size(size_t size);

/* Writes tp_record_size(bytes.size) bytes, which is not 0. `bytes` may lie at its place already,
 * TP_RECORD_HEADER_BYTES behind `out`; else they do not overlap. */
void tp_record_seal(void *out, uint64_t seed, troupe_slice bytes);

/* `*ret_bytes` borrows from `stored`. CORRUPT: `*ret_reason` (`ret_reason` may be NULL) says what
 * is wrong and what to do, a static text. */
TROUPE_CHECK troupe_status tp_record_open(
    troupe_slice stored, uint64_t seed, troupe_slice *ret_bytes, const char **ret_reason);

#endif
