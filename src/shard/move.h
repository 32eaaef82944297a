/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An activation leaves its shard whole, to run on elsewhere: its state, what waits in its mailbox,
 * its timers. The cluster decides when and where to (cluster/mover.c); here it is brought to rest,
 * taken apart, and put together again.
 *
 *   ACTIVE --begin--> ACTIVE, to move
 *          --no turn, no ask with callback, no commit--> on_deactivate and save, if it has them
 *          --> MOVING: away->still(actor) --> tp_move_finish
 *
 * A type that persists leaves its state in the store, and is loaded there. Of others the state goes
 * along: as their save hook or schema writes it, else its bytes.
 *
 * Invariants
 * 1. In MOVING no turn begins, and the record stays until finish or undo.
 * 2. Asks with callback are waited for: their answers come to this shard.
 *
 * Threads: the shard's.
 */
#ifndef TP_SHARD_MOVE_H
#define TP_SHARD_MOVE_H

#include "shard/away.h"

/* Of a timer, to be set again. */
typedef struct tp_timer_copy {
    uint64_t number, period;
    uint64_t left;     /* ns until it fires */
    uint64_t last;     /* ns until it is over; TP_NEVER: it is not */
    troupe_slice name; /* who set it from outside knows it by that; else empty */
    troupe_slice method, payload;
} tp_timer_copy;

/* From now on it comes to rest; `still` may be called before this returns. It must be guarded.
 * False: not now. */
bool tp_move_begin(tp_shard *shard, tp_activation *actor);
/* Before `still`: it goes on as it was. False: it is being deactivated, and cannot. */
bool tp_move_undo(tp_shard *shard, tp_activation *actor);
/* [tp_settle and its like] Is it to move? Looks whether it may by now. True: nothing else is to be
 * done with it. */
bool tp_move_look(tp_shard *shard, tp_activation *actor);

/* In MOVING: it goes on here after all, activated anew with its state. */
void tp_move_back(tp_shard *shard, tp_activation *actor);
/* In MOVING. The state that goes along, sealed; empty: none does. Good until finish. */
troupe_slice tp_move_state(const tp_activation *actor);
void tp_move_timers(tp_shard *shard, const tp_activation *actor,
    void (*see)(void *user, const tp_timer_copy *timer), void *user);
/* The first message of its mailbox, which is the caller's now; NULL: none is left. Ticks of timers
 * are dropped on the way: the timers go along. */
tp_message *tp_move_message(tp_shard *shard, tp_activation *actor);
/* The record goes. */
void tp_move_finish(tp_shard *shard, tp_activation *actor);

/* A record for what came: not scheduled yet. NULL: no memory. */
tp_activation *tp_move_arrive(tp_shard *shard, const tp_type *type, uint64_t hash,
    troupe_slice partition, troupe_slice key, troupe_slice state);
/* BUSY, NO_MEMORY, NO_METHOD: it is lost. */
TROUPE_CHECK troupe_status tp_move_timer(
    tp_shard *shard, tp_activation *actor, const tp_timer_copy *timer);
void tp_move_put(tp_shard *shard, tp_activation *actor, tp_message *message);
void tp_move_start(tp_shard *shard, tp_activation *actor);

/* [lifecycle.c, load.c] */
TROUPE_CHECK troupe_status tp_move_keep(troupe_turn *turn); /* before on_deactivate */
void tp_move_rested(tp_shard *shard, tp_activation *actor, bool is_saved);
TROUPE_CHECK troupe_status tp_move_load(troupe_turn *turn); /* in place of the store's */

#endif
