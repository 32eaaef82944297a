/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output gate (P5): nothing leaves an actor that persists every turn before the state it rests
 * on is durable. Requests are held in their turn until its next commit point, so that a turn that
 * fails has sent nothing; then they wait with the replies in the actor's gate, in order.
 *
 * Invariants: see durable.h. An entry that fails is answered exactly once: a reply is replaced by
 * the failure, an ask ends, a tell is a dead letter.
 */
#include "shard/durable.h"

#include "base/text.h"

typedef struct held {
    tp_fifo_node node;
    uint64_t number; /* of the commit that it rests on */
    tp_message *message;
    uint32_t to;
    uint32_t staged; /* messages of the outbox that its turn sent before it */
    bool parted; /* its turn had a commit before this one: a failure cannot take all back */
} held;

static void leave(tp_shard *shard, const held *entry)
{
    if (entry->message == NULL)
        return; /* withdrawn */
    if (entry->message->kind == TP_REPLY) {
        tp_reply_leave(shard, entry->to, entry->message);
        TP_MARK(shard, "reply left");
    } else if (entry->message->kind == TP_ACKED) {
        tp_outbox_ack(shard, entry->to, entry->message);
        TP_MARK(shard, "acknowledgement left");
    } else {
        bool kept = tp_message_is_of_outbox(entry->message);
        tp_send_request(shard, entry->to, entry->message);
        if (kept)
            TP_MARK(shard, "outbox message left");
    }
}

troupe_status tp_gate_hold(troupe_turn *turn, uint32_t to, tp_message *message)
{
    tp_shard *shard = turn->shard;
    if (turn->held_count >= TP_GATE_MAX) {
        tp_count(&shard->counters.busy_link);
        return TROUPE_BUSY;
    }
    held *entry = tp_pool_take(&shard->pool, sizeof *entry);
    if (entry == NULL) {
        tp_count(&shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    turn->held_count++;
    *entry = (held){.message = message,
        .to = to,
        .staged = turn->staged,
        .parted = tp_turn_is_parted(turn)};
    tp_fifo_push_back(&turn->held, &entry->node);
    return TROUPE_OK;
}

static void push(tp_durable *self, held *entry)
{
    entry->number = self->begun;
    self->held++;
    tp_fifo_push_back(&self->gate, &entry->node);
}

void tp_gate_join(troupe_turn *turn, tp_durable *self, uint32_t staged)
{
    tp_shard *shard = turn->shard;
    tp_fifo_node *node;
    while ((node = tp_fifo_front(&turn->held)) != NULL) {
        held *entry = TP_CONTAINER(node, held, node);
        if (entry->staged > staged)
            return;
        tp_fifo_pop_front(&turn->held);
        turn->held_count--;
        turn->has_sent = true;
        if (self->durable == self->begun && self->held == 0) {
            leave(shard, entry);
            tp_pool_give(&shard->pool, entry);
        } else {
            TP_MARK(shard, "request waits in the gate");
            push(self, entry);
        }
    }
}

void tp_gate_push(tp_shard *shard, tp_durable *self, uint32_t to, tp_message *message, bool parted)
{
    held entry = {.message = message, .to = to, .parted = parted};
    bool leaves = self->durable == self->begun && self->held == 0;
    if (leaves || TP_MUTANT(shard, TP_MUTANT_NO_GATE)) {
        leave(shard, &entry);
        return;
    }
    held *kept = tp_pool_take(&shard->pool, sizeof *kept);
    if (kept != NULL) {
        TP_MARK(shard, "output waits in the gate");
        *kept = entry;
        push(self, kept);
        return;
    }
    tp_count(&shard->counters.no_memory);
    if (message->kind != TP_REPLY) {
        tp_pool_give(&shard->pool, message); /* of an outbox: it is sent again */
        return;
    }
    /* It must not leave and cannot wait: its caller hears that nobody can tell. */
    message->status = TROUPE_UNKNOWN;
    message->outcome = TROUPE_UNKNOWN_OUTCOME;
    message->payload_size = 0;
    leave(shard, &entry);
}

void tp_gate_reply(troupe_turn *turn, uint32_t to, tp_message *reply)
{
    tp_shard *shard = turn->shard;
    shard->gated = NULL; /* what else ends by this is not an output of this turn */
    tp_gate_push(shard, tp_durable_of(turn->actor), to, reply, tp_turn_is_parted(turn));
}

void tp_gate_open(tp_shard *shard, tp_durable *self)
{
    for (;;) {
        tp_fifo_node *node = tp_fifo_front(&self->gate);
        if (node == NULL || TP_CONTAINER(node, held, node)->number > self->durable)
            return;
        TP_MARK(shard, "gate opens");
        tp_fifo_pop_front(&self->gate);
        held *entry = TP_CONTAINER(node, held, node);
        leave(shard, entry);
        self->held--; /* until here it keeps the actor: what leaves may make room for another */
        tp_pool_give(&shard->pool, entry);
    }
}

static void fail_reply(tp_shard *shard, tp_durable *self, held *entry, troupe_status status,
    troupe_outcome outcome, const char *words)
{
    char id[TP_ID_MAX + 1];
    char text[TP_ID_MAX + 256];
    troupe_id_print(tp_activation_id(self->actor), id, sizeof id);
    tp_text out;
    tp_text_init(&out, text, sizeof text);
    tp_text_printf(&out, "%s: %s", id, words);
    tp_message_parts parts = {.content_type = TROUPE_TEXT, .payload = tp_text_slice(&out)};
    tp_message *old = entry->message;
    tp_message *reply = tp_message_make(&shard->pool, &parts);
    if (reply == NULL) { /* the old one carries the status home, without words */
        reply = old;
        reply->payload_size = 0;
    } else {
        reply->kind = TP_REPLY;
        reply->from = old->from;
        tp_pool_give(&shard->pool, old);
    }
    reply->status = status;
    reply->outcome = (uint8_t)(entry->parted ? TROUPE_UNKNOWN_OUTCOME : outcome);
    tp_reply_leave(shard, entry->to, reply);
}

static void fail_request(tp_shard *shard, tp_message *message, troupe_status status,
    troupe_outcome outcome, const char *words)
{
    if (message->kind == TP_ACKED || tp_message_is_of_outbox(message)) {
        tp_pool_give(&shard->pool, message); /* of an outbox: what is stored of it decides */
        return;
    }
    if (message->kind != TP_ASK) {
        tp_message_answer(shard, message, status, outcome, "%s", words);
        return;
    }
    /* It was never sent: its own slot ends here. */
    tp_call call = message->from;
    const tp_slip *slip = tp_message_slip(message);
    bool once = slip != NULL && (slip->flags & TP_SLIP_ONCE);
    tp_pool_give(&shard->pool, message);
    tp_ask_end(
        shard, call, status, tp_once_unsent(once, status, TROUPE_NOT_DONE), troupe_str(words));
}

void tp_gate_fail(tp_shard *shard, tp_durable *self, uint64_t above, troupe_status status,
    troupe_outcome outcome, const char *words)
{
    if (outcome == TROUPE_NOT_DONE && tp_once_comes_again(self))
        outcome = TROUPE_UNKNOWN_OUTCOME; /* it will run, with the key of one that fails here */
    tp_fifo gate = self->gate; /* what fails may bring new entries, which do not rest on it */
    tp_fifo_init(&self->gate);
    self->held = 0;
    tp_fifo_node *node;
    while ((node = tp_fifo_pop_front(&gate)) != NULL) {
        held *entry = TP_CONTAINER(node, held, node);
        if (entry->number <= above) {
            self->held++;
            tp_fifo_push_back(&self->gate, &entry->node);
            continue;
        }
        if (entry->message == NULL) {
            /* withdrawn */
        } else if (entry->message->kind == TP_REPLY) {
            fail_reply(shard, self, entry, status, outcome, words);
        } else {
            fail_request(shard, entry->message, status, outcome, words);
        }
        tp_pool_give(&shard->pool, entry);
    }
}

void tp_gate_drop(troupe_turn *turn)
{
    tp_shard *shard = turn->shard;
    tp_fifo_node *node;
    turn->held_count = 0;
    while ((node = tp_fifo_pop_front(&turn->held)) != NULL) {
        held *entry = TP_CONTAINER(node, held, node);
        tp_message *message = entry->message;
        tp_pool_give(&shard->pool, entry);
        if (message->kind == TP_ASK) {
            fail_request(shard, message, TROUPE_WITHDRAWN, TROUPE_NOT_DONE,
                "the turn that asked has failed; what it sent was not sent");
        } else {
            tp_pool_give(&shard->pool, message);
        }
    }
}

void tp_gate_abandon(tp_shard *shard, tp_durable *self)
{
    tp_fifo_node *node;
    while ((node = tp_fifo_pop_front(&self->gate)) != NULL) {
        held *entry = TP_CONTAINER(node, held, node);
        if (entry->message != NULL)
            tp_pool_give(&shard->pool, entry->message);
        tp_pool_give(&shard->pool, entry);
    }
    self->held = 0;
}

bool tp_gate_withdraw(tp_shard *shard, tp_durable *self, tp_call call)
{
    for (tp_fifo_node *node = self->gate.head; node != NULL; node = node->next) {
        held *entry = TP_CONTAINER(node, held, node);
        const tp_message *message = entry->message;
        if (message == NULL || message->kind != TP_ASK || message->from.slot != call.slot ||
            message->from.generation != call.generation)
            continue;
        TP_MARK(shard, "withdrawn from the gate");
        tp_pool_give(&shard->pool, entry->message);
        entry->message = NULL; /* its place in the line stays */
        return true;
    }
    return false;
}
