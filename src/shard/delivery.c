/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The begin and end of turns whose message carries a slip, and the commit at the end of any turn of
 * a type that commits while it lives: turn.c and park.c call it; what once, outbox and reminders
 * mean by it is in once.c, outbox.c and reminders.c.
 */
#include "shard/durable.h"

static inline const tp_slip *slip_of(const troupe_turn *turn)
{
    return turn->message != NULL && turn->kind == TP_TURN_METHOD ? tp_message_slip(turn->message)
                                                                 : NULL;
}

bool tp_delivery_begins(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    if (slip->flags & TP_SLIP_WAKE) {
        tp_pool_give(&shard->pool, message);
        return false;
    }
    if (slip->flags & TP_SLIP_REMIND)
        return tp_reminder_begins(shard, actor, message, slip);
    if (message->kind == TP_ACKED) {
        tp_outbox_ack_begins(shard, actor, message);
        return false;
    }
    if (slip->flags & (TP_SLIP_OUTBOX | TP_SLIP_HERE))
        return tp_outbox_begins(shard, actor, message, slip);
    if (!(slip->flags & TP_SLIP_ONCE))
        return true;
    return tp_once_begins(shard, actor, message, slip);
}

troupe_status tp_delivery_parks(troupe_turn *turn)
{
    const tp_slip *slip = slip_of(turn);
    if (slip == NULL || !(slip->flags & TP_SLIP_ONCE))
        return TROUPE_OK;
    return tp_once_parks(turn, slip);
}

static troupe_status ends(troupe_turn *turn, const tp_slip *slip, troupe_status status)
{
    if (slip == NULL)
        return TROUPE_OK;
    if (slip->flags & (TP_SLIP_OUTBOX | TP_SLIP_HERE))
        return tp_outbox_ends(turn, slip, status);
    if (slip->flags & TP_SLIP_REMIND)
        return tp_reminder_ends(turn, slip);
    if (slip->flags & TP_SLIP_ERRAND)
        return status == TROUPE_OK ? tp_errand_ends(turn, slip) : TROUPE_OK;
    return slip->flags & TP_SLIP_ONCE ? tp_once_ends(turn, slip, status) : TROUPE_OK;
}

/* Supervision delivers the message of a turn that panicked again: nothing of it is known yet. */
static bool comes_again(const troupe_turn *turn)
{
    const troupe_supervision *policy = &turn->actor->type->is.supervision;
    return turn->panicked && policy->redeliver && turn->message != NULL &&
           turn->message->deliveries + 1u < policy->poison_after;
}

/* A commit failed while it was parked: whatever it answers would tell of a state that never was,
 * and nothing of its call is remembered, so that it may come again. */
static bool is_lost(const troupe_turn *turn)
{
    const tp_durable *self = tp_durable_of(turn->actor);
    return turn->parked_once && (self->reload || self->fenced);
}

troupe_status tp_delivery_commit(troupe_turn *turn, troupe_status status)
{
    if (tp_durable_of(turn->actor) == NULL)
        return status; /* its load failed */
    if (is_lost(turn)) {
        TP_MARK(turn->shard, "turn lost its state");
        turn->lost = true;
        tp_commit_drop(turn);
        tp_commit_spoil(turn);
        return status == TROUPE_PANIC ? status : TROUPE_UNAVAILABLE;
    }
    const tp_slip *slip = comes_again(turn) ? NULL : slip_of(turn);
    bool did_well = status == TROUPE_OK;
    if (did_well)
        status = ends(turn, slip, status);
    if (status == TROUPE_OK)
        status = tp_commit_point(turn, true);
    turn->remembered = status == TROUPE_OK;
    if (status == TROUPE_OK)
        return TROUPE_OK;
    tp_commit_drop(turn);
    /* Of a turn that failed its call may have to be remembered, and nothing else. A reminder whose
     * turn did well and could not be committed comes again. */
    bool rings_again = did_well && slip != NULL && (slip->flags & TP_SLIP_REMIND);
    turn->remembered = slip != NULL && !rings_again && ends(turn, slip, status) == TROUPE_OK &&
                       tp_commit_point(turn, false) == TROUPE_OK;
    if (!turn->remembered)
        tp_rows_drop(turn);
    tp_commit_spoil(turn);
    return status;
}

void tp_delivery_over(troupe_turn *turn, troupe_status status)
{
    const tp_slip *slip = slip_of(turn);
    if (slip != NULL && (slip->flags & (TP_SLIP_OUTBOX | TP_SLIP_HERE)) && !turn->lost)
        tp_outbox_over(turn, slip, status);
    if (slip != NULL && (slip->flags & TP_SLIP_OUTBOX))
        tp_early_next(turn->shard, turn->actor, tp_message_caller(turn->message));
    if (slip != NULL && (slip->flags & TP_SLIP_REMIND))
        tp_reminder_over(turn, slip);
    if (slip != NULL && (slip->flags & TP_SLIP_ERRAND) && status == TROUPE_OK)
        tp_errand_over(turn, slip);
}

void tp_delivery_twins(troupe_turn *turn)
{
    tp_fifo_node *node;
    while ((node = tp_fifo_pop_front(&turn->twins)) != NULL)
        tp_mailbox_push_front(turn->shard, turn->actor, tp_message_of(node));
}
