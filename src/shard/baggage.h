/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request context of calls: small named values that flow along (troupe_context_set). Here as
 * one slice of bytes, its *baggage*: it lies in slips, in the rows of an outbox, and behind
 * callbacks. What a turn does with it is in context.c.
 *
 * An entry is the length of its name in one byte, that of its value in two (little-endian), one
 * byte 0, the name and the value. The sum of all is at most TP_BAGGAGE_MAX.
 *
 * Invariants: no name is there twice. Bytes of any other form are read up to the first entry that
 * is not whole. Threads: pure.
 */
#ifndef TP_SHARD_BAGGAGE_H
#define TP_SHARD_BAGGAGE_H

#include <troupe.h>

#define TP_BAGGAGE_MAX      4096
#define TP_BAGGAGE_NAME_MAX 64
#define TP_BAGGAGE_HEAD     4

/* `data` is NULL: there is no such entry. */
troupe_slice tp_baggage_find(troupe_slice baggage, troupe_slice name);

/* Puts it among the `*size` bytes at `data`, which has room for TP_BAGGAGE_MAX, in place of the one
 * of that name; an empty value only takes that one out. USAGE: the name. TOO_LARGE: nothing was
 * changed. */
TROUPE_CHECK troupe_status tp_baggage_put(
    char *data, size_t *size, troupe_slice name, troupe_slice value);

/* Writes `base` with `count` entries put over it into `out`, which has room for TP_BAGGAGE_MAX. */
TROUPE_CHECK troupe_status tp_baggage_merge(troupe_slice base, const troupe_context *given,
    size_t count, char *out, troupe_slice *ret_baggage);

#endif
