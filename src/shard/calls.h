/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of an ask that other waiting forms than troupe_ask use: to begin one, and to refuse one
 * with words. In calls.c. And what a ref is (ref.c).
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_CALLS_H
#define TP_SHARD_CALLS_H

#include "shard/shard.h"

/* Checks, opens a slot with this waiter, and sends. Nothing is left of it when that fails. It may
 * have ended when this returns: it was refused on the way. */
TROUPE_CHECK troupe_status tp_call_begin(troupe_turn *turn, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, tp_ask_kind kind, void *waiter,
    tp_call *ret_call);
/* Fills an answer that is NOT_DONE. Returns `status`. */
troupe_status tp_call_refuse(troupe_turn *turn, const troupe_request *request,
    troupe_status status, troupe_answer *ret_answer);

/* Of any thread. */
struct troupe_ref {
    _Atomic uint32_t holders;
    uint64_t number;                   /* of the node's refs; from 1 */
    const troupe_allocator *allocator; /* outlives the node, so that a ref may */
    tp_shared *shared;                 /* while the node lives */
    tp_target to;                      /* its strings follow the struct */
};

#endif
