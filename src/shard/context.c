/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request context of a turn: what came with its message, what it sets, and how it goes along
 * with what it sends. Its bytes are baggage.h's. Most turns have none and never come here.
 *
 * Invariants: `carries` is set exactly while the turn's baggage is not empty or its own; what was
 * sent before a change keeps what it was sent with. Threads: the shard's own.
 */
#include "shard/context.h"

#include "shard/baggage.h"

void tp_context_come(troupe_turn *turn, troupe_slice baggage)
{
    if (baggage.size == 0)
        return;
    turn->carries = true;
    turn->baggage = (char *)(uintptr_t)baggage.data; /* copied before it is written to */
    turn->baggage_size = baggage.size;
    turn->baggage_is_own = false;
}

troupe_slice troupe_context_get(const troupe_turn *turn, const char *name)
{
    return tp_baggage_find(tp_turn_baggage(turn), troupe_str(name));
}

/* Room of its own, where what has come is copied to. */
static troupe_status own_baggage(troupe_turn *turn)
{
    char *own = tp_turn_take(turn, SIZE_MAX, TP_BAGGAGE_MAX);
    if (own == NULL)
        return TROUPE_NO_MEMORY;
    troupe_slice come = tp_turn_baggage(turn);
    size_t size = come.size <= TP_BAGGAGE_MAX ? come.size : 0;
    if (size != 0)
        memcpy(own, come.data, size);
    turn->baggage = own;
    turn->baggage_size = size;
    turn->baggage_is_own = true;
    turn->carries = true;
    return TROUPE_OK;
}

troupe_status troupe_context_set(troupe_turn *turn, const char *name, troupe_slice value)
{
    if (!turn->carries || !turn->baggage_is_own)
        TROUPE_TRY(own_baggage(turn));
    return tp_baggage_put(turn->baggage, &turn->baggage_size, troupe_str(name), value);
}

troupe_status tp_context_merge(const troupe_turn *turn, const troupe_call_options *options,
    void **ret_block, troupe_slice *ret_baggage)
{
    troupe_slice own = tp_turn_baggage(turn);
    *ret_block = NULL;
    if (options == NULL || options->context_count == 0) {
        *ret_baggage = own;
        return TROUPE_OK;
    }
    char *block = tp_pool_take(&turn->shard->pool, TP_BAGGAGE_MAX);
    if (block == NULL)
        return TROUPE_NO_MEMORY;
    troupe_status status =
        tp_baggage_merge(own, options->context, options->context_count, block, ret_baggage);
    if (status == TROUPE_OK)
        *ret_block = block;
    else
        tp_pool_give(&turn->shard->pool, block);
    return status;
}
