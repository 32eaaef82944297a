/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The target's side of the outbox (P7): may a message begin, what the commit of its turn notes of
 * it, and what its sender is told. Whom a target remembers is in senders.c, who waits for the end
 * of another one in early.c, and how senders send in outbox.c, with the invariants of all.
 *
 * Threads: a shard's own.
 */
#include "shard/durable.h"

#define NUMBER_DIGITS ((size_t)2 * TP_ROW_NUMBER_BYTES)

void tp_outbox_tell(tp_shard *shard, tp_activation *actor, troupe_id sender, const tp_slip *told,
    troupe_slice words)
{
    tp_durable *self = tp_durable_of(actor);
    bool gated = self != NULL && actor->type->gated;
    tp_slip slip = *told;
    if (gated && !(slip.flags & TP_SLIP_PERMIT) && tp_senders_are_many(shard, self))
        slip.flags |= TP_SLIP_WANTED;
    tp_message *acked = tp_outbox_make_acked(shard, actor, sender, &slip, words);
    if (acked == NULL)
        return; /* the message comes again */
    bool early = TP_MUTANT(shard, TP_MUTANT_ACK_EARLY);
    if (gated && !early)
        tp_outbox_push_acked(shard, self, acked);
    else
        tp_outbox_ack(shard, tp_hash_shard(acked->hash, shard->shared->shard_count), acked);
}

/* A turn of this actor that is at the message of this number, or (NULL) at any of the same sender.
 * It was sent again, or given up, while its first run is parked. */
static const tp_slip *running(
    const tp_activation *actor, const tp_message *message, const tp_row_number *number)
{
    for (const troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next) {
        const tp_slip *other = turn->message != NULL && turn->kind == TP_TURN_METHOD
                                   ? tp_message_slip(turn->message)
                                   : NULL;
        if (other != NULL && (other->flags & (TP_SLIP_OUTBOX | TP_SLIP_HERE)) &&
            (number == NULL || tp_row_number_compare(other->number, *number) == 0) &&
            troupe_id_equal(tp_message_caller(turn->message), tp_message_caller(message)))
            return other;
    }
    return NULL;
}

/* A failure that did nothing and may pass: the message is not acknowledged, and comes again. */
static bool may_pass(const troupe_turn *turn, troupe_status status)
{
    if (status == TROUPE_OK || tp_turn_outcome(turn) != TROUPE_NOT_DONE)
        return false;
    troupe_kind kind = troupe_status_kind(status);
    return kind == TROUPE_KIND_BUSY || kind == TROUPE_KIND_UNAVAILABLE;
}

/* A request of this actor by its number, written in 24 hex digits; NULL: it is over. */
static tp_entry *request_of(const tp_durable *self, troupe_slice digits)
{
    char key[TP_ROW_NUMBER_BYTES];
    for (size_t i = 0; i < sizeof key; i++) {
        const char *at = (const char *)digits.data + 2 * i;
        key[i] = (char)(((at[0] - 'a') << 4) | (at[1] - 'a'));
    }
    tp_entry *entry = tp_rows_find(self, TROUPE_ROW_OUTBOX, (troupe_slice){key, sizeof key});
    return entry != NULL && !entry->retired ? entry : NULL;
}

static bool is_answer(const tp_slip *slip)
{
    return (slip->flags & TP_SLIP_ANSWER) && slip->done.size == NUMBER_DIGITS;
}

static void write_number(tp_row_number number, char out[NUMBER_DIGITS])
{
    char key[TP_ROW_NUMBER_BYTES];
    tp_row_number_key(number, key);
    for (size_t i = 0; i < sizeof key; i++) {
        out[2 * i] = (char)('a' + ((unsigned char)key[i] >> 4));
        out[2 * i + 1] = (char)('a' + (key[i] & 15));
    }
}

static bool begins_here(
    tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip)
{
    const tp_entry *entry = tp_outbox_row(tp_durable_of(actor), slip->number);
    if (entry != NULL && !entry->retired && running(actor, message, &slip->number) == NULL)
        return true;
    TP_MARK(shard, "answer had come before");
    tp_pool_give(&shard->pool, message);
    return false;
}

/* It came before. */
static void tell_again(tp_shard *shard, tp_activation *actor, const tp_message *message,
    const tp_slip *slip, const tp_entry *seen)
{
    TP_MARK(shard, "outbox message came again");
    tp_slip told = {.flags = TP_SLIP_OUTBOX, .number = slip->number};
    troupe_slice words = {NULL, 0};
    bool is_last =
        seen != NULL && tp_row_number_compare(slip->number, seen->row.sender.last) == 0;
    if (is_last && seen->row.sender.refused != TROUPE_OK) { /* it may not know that yet */
        told.status = seen->row.sender.refused;
        told.outcome = TROUPE_UNKNOWN_OUTCOME;
        words = troupe_str(troupe_status_text(told.status));
    }
    tp_outbox_tell(shard, actor, tp_message_caller(message), &told, words);
}

/* Is one before it not handled? */
static bool is_early(
    tp_shard *shard, const tp_durable *self, const tp_slip *slip, const tp_entry *seen)
{
    tp_row_number last = seen != NULL ? seen->row.sender.last : (tp_row_number){0, 0};
    /* Behind one that was refused it waits until its sender has buried that for sure. */
    bool is_behind = seen != NULL && seen->row.sender.refused != TROUPE_OK &&
                     tp_row_number_compare(slip->before, last) == 0;
    if (seen == NULL && is_answer(slip) && tp_senders_are_full(shard, self)) {
        TP_MARK(shard, "answer passes others");
        return false;
    }
    return tp_row_number_compare(slip->before, last) > 0 || is_behind;
}

typedef enum verdict { BEGINS, WAITS, DROPPED } verdict;

/* Of a type whose acknowledgements rest on commits. */
static verdict judge(
    tp_shard *shard, tp_activation *actor, const tp_message *message, const tp_slip *slip)
{
    const tp_durable *self = tp_durable_of(actor);
    const tp_entry *seen = tp_senders_find(self, tp_message_caller(message));
    tp_row_number last = seen != NULL ? seen->row.sender.last : (tp_row_number){0, 0};
    bool is_new = tp_row_number_compare(slip->number, last) > 0;
    if (is_new && is_answer(slip) && request_of(self, slip->done) == NULL)
        is_new = false; /* its request was given up */
    if (!is_new && !TP_MUTANT(shard, TP_MUTANT_NO_DEDUP)) {
        tell_again(shard, actor, message, slip, seen);
        return DROPPED;
    }
    if (running(actor, message, NULL) != NULL && !TP_MUTANT(shard, TP_MUTANT_PASS_EARLY))
        return WAITS;
    if (is_early(shard, self, slip, seen) && !TP_MUTANT(shard, TP_MUTANT_PASS_EARLY)) {
        TP_MARK(shard, "outbox message came too early");
        return DROPPED;
    }
    bool is_let_in = seen != NULL || is_answer(slip) || tp_senders_let_in(shard, actor, message);
    return is_let_in ? BEGINS : DROPPED;
}

bool tp_outbox_begins(
    tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip)
{
    if (slip->flags & TP_SLIP_HERE)
        return begins_here(shard, actor, message, slip);
    if (running(actor, message, &slip->number) != NULL) {
        TP_MARK(shard, "outbox message came again");
        tp_pool_give(&shard->pool, message); /* the end of its turn acknowledges it */
        return false;
    }
    verdict found = actor->type->gated ? judge(shard, actor, message, slip) : BEGINS;
    if (found == WAITS) {
        tp_early_wait(shard, actor, message, running(actor, message, NULL)->number);
    } else if (found == DROPPED) {
        if (running(actor, message, NULL) == NULL)
            tp_early_next(shard, actor, tp_message_caller(message));
        tp_pool_give(&shard->pool, message);
    }
    return found == BEGINS;
}

/* The answer of a request that a persistent actor has served is an outbox message of its own. */
static troupe_status stage_answer(troupe_turn *turn, const tp_slip *slip, troupe_status status)
{
    const tp_message *reply = turn->reply;
    bool fits = reply != NULL && reply->status == status;
    char digits[NUMBER_DIGITS];
    write_number(slip->number, digits);
    bool many = tp_senders_are_many(turn->shard, tp_durable_of(turn->actor));
    tp_row row = {.outbox = {.flags = TP_SLIP_ANSWER | (many ? TP_SLIP_WANTED : 0u),
                      .then_done = {digits, sizeof digits}, /* which request it answers */
                      .status = status,
                      .outcome = status == TROUPE_OK ? TROUPE_DONE : tp_turn_outcome(turn),
                      .target = tp_message_caller(turn->message),
                      .method = status == TROUPE_OK ? slip->done : slip->failed,
                      .expires = turn->shard->env->wall(turn->shard->env) + TP_OUTBOX_LIFE,
                      .then_context = slip->context,
                      .baggage = slip->baggage}};
    if (fits) {
        row.outbox.payload = tp_message_payload(reply);
        row.outbox.content_type = tp_message_content_type(reply);
    } else {
        row.outbox.payload = troupe_str(troupe_status_text(status));
    }
    return tp_outbox_stage(turn, &row, true); /* as replies are never refused */
}

troupe_status tp_outbox_ends(troupe_turn *turn, const tp_slip *slip, troupe_status status)
{
    if (slip->flags & TP_SLIP_HERE) {
        char key[TP_ROW_NUMBER_BYTES];
        tp_row_number_key(slip->number, key);
        return tp_rows_remove(turn, TROUPE_ROW_OUTBOX, (troupe_slice){key, sizeof key});
    }
    if (!turn->actor->type->gated || may_pass(turn, status))
        return TROUPE_OK;
    /* Noted even if it was refused and did nothing: else a copy that comes after its sender has
     * buried it does what its dead letter says was not done, or runs beside the next. */
    bool is_request = slip->flags & TP_SLIP_THEN;
    bool kept_by_request = is_answer(slip);
    TROUPE_TRY(tp_senders_note(
        turn, slip, is_request || kept_by_request ? TROUPE_OK : status, kept_by_request));
    tp_entry *request = kept_by_request ? request_of(tp_durable_of(turn->actor), slip->done) : NULL;
    if (request != NULL && (slip->flags & TP_SLIP_WANTED))
        request->farewell = true;
    if (request != NULL)
        TROUPE_TRY(tp_rows_remove(turn, TROUPE_ROW_OUTBOX, request->key));
    return is_request ? stage_answer(turn, slip, status) : TROUPE_OK;
}

void tp_outbox_over(troupe_turn *turn, const tp_slip *slip, troupe_status status)
{
    bool gated = turn->actor->type->gated;
    if ((slip->flags & TP_SLIP_HERE) && !turn->remembered)
        tp_outbox_unanswered(turn->shard, tp_durable_of(turn->actor), slip->number);
    if ((slip->flags & TP_SLIP_HERE) || may_pass(turn, status) || (gated && !turn->remembered))
        return; /* it comes again */
    if (gated && (slip->flags & TP_SLIP_THEN))
        return; /* its answer says so */
    tp_shard *shard = turn->shard;
    tp_slip told = {.flags = TP_SLIP_OUTBOX,
        .number = slip->number,
        .status = status,
        .outcome = status == TROUPE_OK ? TROUPE_DONE : tp_turn_outcome(turn)};
    const tp_message *reply = turn->reply;
    troupe_slice words = {NULL, 0};
    if (!gated && (slip->flags & TP_SLIP_THEN))
        told.flags |= TP_SLIP_ANSWER;
    if (reply != NULL && reply->status == status)
        words = tp_message_payload(reply);
    else if (status != TROUPE_OK)
        words = troupe_str(troupe_status_text(status));
    tp_outbox_tell(shard, turn->actor, tp_message_caller(turn->message), &told, words);
}
