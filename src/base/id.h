/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of an id: `type/key` or `type@partition/key`. Parsing borrows, printing writes into the
 * caller's buffer. Not the id that the runtime hashes and compares.
 *
 * Rules: type and partition are names: 1 to TP_NAME_MAX bytes of A-Z a-z 0-9 _ . - that begin with
 * a letter or digit. The key is every byte after the first slash, 1 to TP_KEY_MAX of them, any
 * value.
 * Invariants: what parses prints back to the same bytes. Threads: pure.
 */
#ifndef TP_BASE_ID_H
#define TP_BASE_ID_H

#include <troupe/status.h>

#include "base/limits.h"

/* Room for the longest id and its end mark. */
struct tp_id_text {
    char data[TP_ID_MAX + 1];
};

/* The parts borrow from `text`; the partition is empty when there is none. USAGE: `*ret_reason`
 * (`ret_reason` may be NULL) says what is wrong, a static text. A part too long is USAGE too. */
TROUPE_CHECK troupe_status tp_id_parse(troupe_slice text, troupe_slice *ret_type,
                                       troupe_slice *ret_partition, troupe_slice *ret_key,
                                       const char **ret_reason);

/* As snprintf: at most `size` bytes with the end mark, returns the length without it. An empty
 * partition is left out. */
size_t tp_id_print(char *out, size_t size, troupe_slice type, troupe_slice partition,
                   troupe_slice key);

bool tp_name_is_valid(troupe_slice name);

#endif
