/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What asks of a slot know of asking again (again.c): for those that make calls once, and those who
 * end slots.
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_AGAIN_H
#define TP_SHARD_AGAIN_H

#include "shard/shard.h"

/* The slot of that call keeps the message, which is about to be sent, with the name of its target.
 * NO_MEMORY. */
TROUPE_CHECK troupe_status tp_again_keep(tp_shard *shard, tp_call call, const tp_message *message);
/* An answer came: is it no end, as the call is asked again? */
bool tp_again_asks(tp_shard *shard, tp_ask *ask, troupe_status status);
bool tp_again_pauses(const tp_ask *ask); /* nobody has it at the moment */
/* The slot ends. A no-op of others. */
void tp_again_drop(tp_shard *shard, tp_ask *ask);

#endif
