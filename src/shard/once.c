/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that happen once (P7): the key of the call is committed with its effect, and who asks again
 * with that key gets the same answer. Only for types that persist every turn.
 *
 * What becomes of a message with a key that is
 *   not known                 it runs; its answer is committed with what it did
 *   known, answered           the answer is given again
 *   of a turn that is parked  it waits until that turn has ended
 *   begun, and not running    INTERRUPTED: the turn was lost after something may have left
 *   not known, and late       UNKNOWN: it was long on its way, and what was known may be forgotten
 * A turn that fails and is NOT_DONE leaves no key behind: asked again, it runs again.
 * What is refused before it runs is NOT_DONE only if the actor is here, and nobody with its key has
 * run, runs or waits here: of a call once NOT_DONE speaks of all that were made with its key. So it
 * is with a turn that fails, or whose commit does, while another one with its key waits. Who cannot
 * look, or has not sent it, says UNKNOWN, and whether it is asked again does not depend on that.
 *
 * An entry stays until the latest deadline with which its call was asked and `max_clock_skew` have
 * passed. A window that is full of entries that live answers BUSY.
 */
#include "shard/durable.h"

#define NEVER_KEPT TROUPE_HOURS(24) /* the answer of a call without a deadline */
#define LOOKED_AT  64               /* messages of a mailbox, for those with a key */

troupe_status tp_once_slip(const tp_shared *shared, const tp_type *type, troupe_slice key,
    uint64_t deadline, tp_slip *ret_slip)
{
    if (!tp_type_takes_once(type) || key.size > TP_ROW_ONCE_MAX)
        return TROUPE_USAGE;
    tp_env *env = shared->env;
    uint64_t now = env->now(env), wall = env->wall(env);
    uint64_t left = deadline == TP_NEVER ? NEVER_KEPT : deadline > now ? deadline - now : 0;
    *ret_slip = (tp_slip){.flags = TP_SLIP_ONCE,
        .once = key,
        .expires = wall + left + shared->options.max_clock_skew};
    return TROUPE_OK;
}

static troupe_turn *running_of(const tp_activation *actor, troupe_slice key)
{
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next) {
        const tp_slip *slip = turn->message != NULL ? tp_message_slip(turn->message) : NULL;
        if (slip != NULL && (slip->flags & TP_SLIP_ONCE) && troupe_slice_equal(slip->once, key))
            return turn;
    }
    return NULL;
}

static void answer_again(
    tp_shard *shard, tp_durable *self, tp_message *message, const tp_row_once *row)
{
    if (message->kind != TP_ASK) {
        tp_pool_give(&shard->pool, message);
        return;
    }
    char content[UINT8_MAX + 1];
    size_t size = row->content_type.size < sizeof content ? row->content_type.size : 0;
    memcpy(content, row->content_type.data, size);
    content[size] = 0;
    bool fine = row->status == TROUPE_OK;
    tp_message_parts parts = {.content_type = fine ? content : TROUPE_TEXT,
        .payload = fine ? row->payload : row->message};
    tp_message *reply = tp_message_make(&shard->pool, &parts);
    if (reply == NULL) {
        tp_count(&shard->counters.no_memory);
        tp_message_answer(shard, message, TROUPE_NO_MEMORY, TROUPE_NOT_DONE,
            "no memory for its answer; ask again with the same key");
        return;
    }
    reply->kind = TP_REPLY;
    reply->from = message->from;
    reply->status = row->status;
    reply->outcome = (uint8_t)row->outcome;
    uint32_t to = message->from_shard;
    tp_pool_give(&shard->pool, message);
    tp_gate_push(shard, self, to, reply, true); /* its first run may have left something */
}

/* Entries that nobody can ask for any more go with the next commit. */
static void sweep(tp_shard *shard, tp_durable *self, uint64_t wall)
{
    uint32_t looked = 0;
    tp_entry *next;
    for (tp_entry *entry = tp_rows_first(self, TROUPE_ROW_ONCE); entry != NULL && looked < 64;
         entry = next, looked++) {
        next = tp_rows_next(self, entry);
        if (entry->row.once.expires < wall)
            tp_rows_retire(shard, self, entry);
        tp_rows_last(self, entry); /* the next sweep begins with others */
    }
}

/* Asked again with a later deadline, it is known until that one is over: from then on for as long
 * again, so that who asks often does not have each ask stored. The answer waits for that commit. */
static const tp_entry *renew(
    tp_shard *shard, tp_durable *self, tp_entry *entry, const tp_slip *slip)
{
    if (slip->expires <= entry->row.once.expires)
        return entry;
    uint64_t wall = shard->env->wall(shard->env);
    tp_row row = {.kind = TROUPE_ROW_ONCE, .once = entry->row.once};
    row.once.expires = slip->expires + (slip->expires > wall ? slip->expires - wall : 0);
    if (!tp_rows_add(shard, self, &row, entry->key))
        return entry;
    TP_MARK(shard, "once is kept longer");
    entry->retired = true; /* a removal behind it would hit the new one */
    tp_commit_now(shard, self);
    return tp_rows_find(self, TROUPE_ROW_ONCE, slip->once);
}

bool tp_once_begins(tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip)
{
    tp_durable *self = tp_durable_of(actor);
    troupe_turn *running = running_of(actor, slip->once);
    if (running != NULL) {
        TP_MARK(shard, "once waits for its first run");
        tp_fifo_push_back(&running->twins, &message->node);
        return false;
    }
    tp_entry *known = tp_rows_find(self, TROUPE_ROW_ONCE, slip->once);
    const tp_entry *entry = known;
    if (entry != NULL && TP_MUTANT(shard, TP_MUTANT_RUN_TWICE))
        return true;
    if (known != NULL)
        entry = renew(shard, self, known, slip);
    if (entry != NULL && entry->row.once.state == TP_ONCE_DONE) {
        TP_MARK(shard, "once answered again");
        tp_count(&shard->counters.once_repeated);
        answer_again(shard, self, message, &entry->row.once);
        return false;
    }
    if (entry != NULL) {
        TP_MARK(shard, "once was interrupted");
        tp_message_answer(shard, message, TROUPE_INTERRUPTED, TROUPE_UNKNOWN_OUTCOME,
            "its first run was lost on the way; it may have done a part, and is not run again");
        return false;
    }
    uint64_t wall = shard->env->wall(shard->env);
    if (slip->expires < wall) {
        TP_MARK(shard, "once came too late");
        tp_message_answer(shard, message, TROUPE_UNKNOWN, TROUPE_UNKNOWN_OUTCOME,
            "it came behind its deadline and max_clock_skew; it may have run, and be forgotten");
        return false;
    }
    sweep(shard, self, wall);
    if (tp_rows_count(self, TROUPE_ROW_ONCE) < TP_LIVE_GET(shard->shared->options.once_window))
        return true;
    tp_count(&shard->counters.busy_once);
    tp_message_answer(shard, message, TROUPE_BUSY, TROUPE_NOT_DONE,
        "its window of %u calls once is full; try again later, or raise once_window",
        tp_rows_count(self, TROUPE_ROW_ONCE));
    return false;
}

static const tp_slip *once_slip_of(const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    return slip != NULL && (slip->flags & TP_SLIP_ONCE) ? slip : NULL;
}

/* Is it known that none with the key waits to begin? */
static bool none_waits(const tp_activation *actor, troupe_slice key)
{
    uint32_t looked = 0;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        const tp_slip *slip = once_slip_of(tp_message_of(node));
        if (looked++ == LOOKED_AT || (slip != NULL && troupe_slice_equal(slip->once, key)))
            return false;
    }
    return true;
}

troupe_outcome tp_once_outcome(
    const troupe_turn *turn, const tp_message *message, troupe_outcome outcome)
{
    const tp_slip *slip = once_slip_of(message);
    if (slip == NULL || outcome != TROUPE_NOT_DONE ||
        (tp_fifo_is_empty(&turn->twins) && none_waits(turn->actor, slip->once)))
        return outcome;
    return TROUPE_UNKNOWN_OUTCOME;
}

bool tp_once_comes_again(const tp_durable *self)
{
    uint32_t looked = 0;
    for (tp_fifo_node *node = self->actor->mailbox.head; node != NULL; node = node->next) {
        const tp_slip *slip = once_slip_of(tp_message_of(node));
        if (slip != NULL && tp_rows_find(self, TROUPE_ROW_ONCE, slip->once) != NULL)
            return true;
        if (looked++ == LOOKED_AT)
            return tp_rows_count(self, TROUPE_ROW_ONCE) != 0;
    }
    return false;
}

/* Is it known here that no call with its key has taken effect, and that none is about to? */
static bool is_new(tp_shard *shard, const tp_message *message, const tp_slip *slip)
{
    const tp_activation *actor = tp_activation_find(shard, message->type, message->hash,
        tp_message_partition(message), tp_message_key(message));
    bool is_loaded =
        actor != NULL && (actor->phase == TP_ACTIVE || actor->phase == TP_HALTED ||
                             actor->phase == TP_DEACTIVATING);
    const tp_durable *self = is_loaded ? tp_durable_of(actor) : NULL;
    return self != NULL && !self->reload && !self->fenced &&
           running_of(actor, slip->once) == NULL &&
           tp_rows_find(self, TROUPE_ROW_ONCE, slip->once) == NULL &&
           none_waits(actor, slip->once);
}

bool tp_once_may_be_done(tp_shard *shard, const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    const tp_type *type = message->type;
    return slip != NULL && (slip->flags & TP_SLIP_ONCE) &&
           (type->gated || tp_type_is_foreign(type)) && /* others keep no keys */
           !TP_MUTANT(shard, TP_MUTANT_FORGET_KEY) && !is_new(shard, message, slip);
}

troupe_status tp_once_parks(troupe_turn *turn, const tp_slip *slip)
{
    if (tp_rows_find(tp_durable_of(turn->actor), TROUPE_ROW_ONCE, slip->once) != NULL)
        return TROUPE_OK;
    tp_row row = {.kind = TROUPE_ROW_ONCE,
        .once = {.state = TP_ONCE_BEGUN, .status = TROUPE_OK, .expires = slip->expires}};
    TP_MARK(turn->shard, "once begun");
    return tp_rows_put(turn, &row, slip->once);
}

troupe_status tp_once_ends(troupe_turn *turn, const tp_slip *slip, troupe_status status)
{
    troupe_outcome outcome = status == TROUPE_OK ? TROUPE_DONE : tp_turn_outcome(turn);
    if (outcome == TROUPE_NOT_DONE)
        return TROUPE_OK;
    tp_row row = {.kind = TROUPE_ROW_ONCE,
        .once = {
            .state = TP_ONCE_DONE, .status = status, .outcome = outcome, .expires = slip->expires}};
    const tp_message *reply = turn->reply;
    if (status != TROUPE_OK)
        row.once.message = troupe_str(troupe_status_text(status));
    if (reply != NULL && reply->status == status) {
        troupe_slice words = tp_message_payload(reply);
        if (status == TROUPE_OK) {
            row.once.payload = words;
            row.once.content_type = tp_message_content_type(reply);
        } else {
            row.once.message = words;
        }
    }
    TP_MARK(turn->shard, "once answered");
    return tp_rows_put(turn, &row, slip->once);
}
