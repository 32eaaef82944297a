/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers are told of calls that were not made: in words, with the names that there are. Not
 * for logs, and not what a method says itself.
 *
 * Invariants: names that do not fit are counted, not cut.
 * Threads: any.
 */
#ifndef TP_SHARD_WORDS_H
#define TP_SHARD_WORDS_H

#include "shard/shard.h"

#define TP_WORDS_MAX 600

/* "no member of the cluster hosts an actor type …; there are: a, b": all that this node or another
 * member hosts. */
troupe_slice tp_no_type_words(char out[TP_WORDS_MAX], tp_shared *shared, troupe_slice name);
/* Of a type of which another node spoke, when no more names are learned. */
troupe_slice tp_no_room_words(char out[TP_WORDS_MAX], troupe_slice name);

/* "the type … has no method …; there are: a, b". */
troupe_slice tp_no_method_words(char out[TP_WORDS_MAX], const tp_type *type, troupe_slice method);

/* "type/key method: what is wrong", for a call that was refused on this node. `options`, which may
 * be NULL, are looked at for what is wrong with them. */
#define TP_REFUSAL_MAX (TP_ID_MAX + TP_NAME_MAX + TP_WORDS_MAX)
troupe_slice tp_refusal_words(char out[TP_REFUSAL_MAX], tp_shared *shared, troupe_id id,
    troupe_slice method, troupe_status status, const troupe_call_options *options);

#endif
