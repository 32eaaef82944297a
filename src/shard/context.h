/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request context of turns, for those who begin turns and send messages. See context.c; its
 * bytes are baggage.h's.
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_CONTEXT_H
#define TP_SHARD_CONTEXT_H

#include "shard/shard.h"

static inline troupe_slice tp_turn_baggage(const troupe_turn *turn)
{
    return turn->carries ? (troupe_slice){turn->baggage, turn->baggage_size}
                         : (troupe_slice){NULL, 0};
}
void tp_context_come(troupe_turn *turn, troupe_slice baggage); /* borrows until the turn ends */
/* What goes along with a call of this turn. `*ret_block`: gone back to the pool by who calls, once
 * it was copied; NULL: nothing. TOO_LARGE, USAGE, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_context_merge(const troupe_turn *turn,
    const troupe_call_options *options, void **ret_block, troupe_slice *ret_baggage);

#endif
