/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn that waits for many asks at once (troupe_gather): between gather.c, which asks and waits,
 * ask.c, which ends the asks, and those who look at what a parked turn waits for.
 *
 * Invariants: `pending` parts have a slot, and each ends exactly once; the turn is resumed when no
 * more answers are wanted. Threads: the shard's own.
 */
#ifndef TP_SHARD_GATHER_H
#define TP_SHARD_GATHER_H

#include "shard/shard.h"

typedef struct tp_gather tp_gather;

typedef struct tp_gather_part {
    tp_gather *all;
    tp_call call; /* of no slot, once it has ended or if it never began */
    bool pending;
} tp_gather_part;

struct tp_gather {
    troupe_turn *turn;
    const troupe_request *requests;
    troupe_answer *answers;
    tp_gather_part *parts;
    size_t count, pending;
    size_t good, need; /* answers that are OK */
};

static inline troupe_answer *tp_gather_answer(const tp_gather_part *part)
{
    return &part->all->answers[part - part->all->parts];
}

/* The part's answer is there, its slot is gone. */
void tp_gather_ended(tp_gather_part *part);

/* Number `i` of the asks that a parked turn cannot go on without; it may have ended. NULL: there is
 * no such. A turn that goes on without some of them waits for none in particular. */
static inline const tp_call *tp_turn_waits(const troupe_turn *turn, size_t i)
{
    if (TP_LIKELY(turn->wait == TP_WAIT_ASK))
        return i == 0 ? &turn->wait_call : NULL;
    if (turn->wait != TP_WAIT_GATHER || turn->gather->need < turn->gather->count)
        return NULL;
    return i < turn->gather->count ? &turn->gather->parts[i].call : NULL;
}

/* The turn that waits for this ask; NULL: none does. */
static inline troupe_turn *tp_ask_turn(const tp_ask *ask)
{
    if (ask->kind == TP_ASK_TURN)
        return ask->waiter.turn;
    return ask->kind == TP_ASK_GATHER ? ask->waiter.part->all->turn : NULL;
}

#endif
