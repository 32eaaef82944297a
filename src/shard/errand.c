/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands: what an operator does to what is stored of an actor, as a turn of that actor, so that
 * versions, the gate and the order of its turns hold for it as for anything else. An old state is
 * put in place of the present one, all is deleted, a dead letter is sent again or dropped, a
 * reminder is set or cancelled, a timer started or ended (appoint.c). What only looks at the store
 * is in src/node/stored.c, which also sends these.
 *
 * The answer is the status in digits, a blank, and the version that the commit makes, or words; the
 * turn itself ends OK unless the store fails, so that no supervision takes an operator's slip for
 * a failure of the actor.
 *
 * Invariant: after a restore or a delete the activation is made anew from the store before its next
 * turn; neither on_deactivate nor a save runs for the state that was replaced.
 * Threads: the shard's own.
 */
#include "shard/durable.h"

static troupe_status tell(troupe_turn *turn, troupe_status status, const char *words)
{
    return troupe_reply_format(turn, "%d %s", (int)status, words);
}

static troupe_status tell_version(troupe_turn *turn, uint64_t version)
{
    return troupe_reply_format(turn, "%d %llu", (int)TROUPE_OK, (unsigned long long)version);
}

static bool replaces(const tp_slip *slip)
{
    return slip->errand == TP_ERRAND_RESTORE || slip->errand == TP_ERRAND_DELETE;
}

static troupe_status run_letter(troupe_turn *turn, const tp_slip *slip, const tp_durable *self)
{
    troupe_slice key = tp_message_payload(turn->message);
    const tp_entry *dead = self != NULL ? tp_rows_find(self, TROUPE_ROW_DEAD, key) : NULL;
    if (dead == NULL)
        return tell(turn, TROUPE_NOT_FOUND, "it has no such dead letter");
    troupe_status status = slip->errand == TP_ERRAND_REPLAY
                               ? tp_outbox_replay(turn, dead)
                               : tp_rows_remove(turn, TROUPE_ROW_DEAD, key);
    if (status == TROUPE_BUSY)
        return tell(turn, status, "its outbox is full; try again later");
    TROUPE_TRY(status);
    return tell_version(turn, tp_commit_next_version(self));
}

static troupe_status run_cancel(troupe_turn *turn, const tp_durable *self)
{
    troupe_slice name = tp_message_payload(turn->message);
    const tp_entry *entry = self != NULL ? tp_rows_find(self, TROUPE_ROW_REMINDER, name) : NULL;
    if (entry == NULL || entry->retired)
        return tell(turn, TROUPE_NOT_FOUND, "it has no such reminder");
    TROUPE_TRY(tp_rows_remove(turn, TROUPE_ROW_REMINDER, name));
    return tell_version(turn, tp_commit_next_version(self));
}

troupe_status tp_errand_run(troupe_turn *turn, const tp_slip *slip)
{
    tp_durable *self = tp_durable_of(turn->actor);
    troupe_slice payload = tp_message_payload(turn->message);
    turn->read_only = true; /* it does not touch the state in memory */
    if (slip->errand == TP_ERRAND_CANCEL)
        return run_cancel(turn, self);
    if (slip->errand == TP_ERRAND_REMIND)
        return tp_appoint_reminder(turn, payload);
    if (slip->errand == TP_ERRAND_TIMER)
        return tp_appoint_timer(turn, payload);
    if (slip->errand == TP_ERRAND_TIMER_END)
        return tp_appoint_timer_end(turn, payload);
    if (!replaces(slip))
        return run_letter(turn, slip, self);
    if (self != NULL)
        return tell_version(turn, tp_commit_next_version(self));
    TROUPE_TRY(tp_lifecycle_replace(turn, slip->errand == TP_ERRAND_DELETE, payload));
    return tell_version(turn, turn->actor->extras->version);
}

troupe_status tp_errand_ends(troupe_turn *turn, const tp_slip *slip)
{
    if (!replaces(slip))
        return TROUPE_OK;
    return tp_commit_replace(
        turn, slip->errand == TP_ERRAND_DELETE, tp_message_payload(turn->message));
}

void tp_errand_over(troupe_turn *turn, const tp_slip *slip)
{
    tp_shard *shard = turn->shard;
    tp_activation *actor = turn->actor;
    tp_durable *self = tp_durable_of(actor);
    if (!replaces(slip) || TP_MUTANT(shard, TP_MUTANT_NO_RELOAD))
        return;
    TP_MARK(shard, "deleted or restored");
    if (self != NULL) {
        self->reload = self->broken = true;
    } else if (actor->turns != NULL) { /* parked ones end on the state that they know */
        actor->flags |= TP_TORN;
    } else {
        tp_activation_reset(shard, actor);
        if (tp_fifo_is_empty(&actor->mailbox))
            actor->flags |= TP_STOPPING;
    }
}
