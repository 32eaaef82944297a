/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outbox messages that came while one before them of the same sender runs here: they wait for its
 * end. So a stream to an actor whose turns park, and that lets others in meanwhile, runs one by
 * one, as fast as they end. Who may run is said in outbox_target.c; a message whose forerunner is
 * not here at all is dropped, there or here, and comes again.
 *
 * Invariants
 * 1. Of each sender they are in the order of their numbers, none twice and none left out: who came
 * ahead of one that was refused would keep that out. Only the first goes on when a turn ends, so
 * each is looked at once or twice, however many wait.
 * 2. Who waits does so behind a turn of its sender, or behind a message of it that has left from
 * here for the mailbox. When that ends, or is dropped, the next goes on.
 * 3. They keep the limits of a mailbox, apart from it; who does not fit comes again.
 * 4. They are accepted by nobody: when the actor's rows go, so do they, and come again.
 */
#include "shard/durable.h"

/* Those of one sender; never without any. */
typedef struct line {
    tp_link link;
    uint64_t hash; /* of the sender */
    tp_fifo messages;
} line;

struct tp_early {
    tp_index by_sender;
    tp_list lines;
    uint32_t count;
    uint64_t bytes;
};

static bool is_of(const void *item, const void *key)
{
    const line *of = item;
    return troupe_id_equal(
        tp_message_caller(tp_message_of(of->messages.head)), *(const troupe_id *)key);
}

/* NULL: none of it waits. */
static line *line_of(const tp_shard *shard, const tp_early *self, troupe_id sender)
{
    if (self == NULL || self->count == 0)
        return NULL;
    return tp_index_find(
        &self->by_sender, tp_types_hash(&shard->shared->types, sender), is_of, &sender);
}

static tp_early *get(tp_shard *shard, tp_durable *of)
{
    if (tp_rows_init(shard, of) != TROUPE_OK)
        return NULL;
    if (of->beside->early != NULL)
        return of->beside->early;
    tp_early *self = tp_pool_take(&shard->pool, sizeof *self);
    if (self == NULL)
        return NULL;
    *self = (tp_early){.count = 0};
    if (tp_index_init(&self->by_sender, shard->shared->allocator, 8) != TROUPE_OK) {
        tp_pool_give(&shard->pool, self);
        return NULL;
    }
    tp_list_init(&self->lines);
    of->beside->early = self;
    return self;
}

/* With its first message. */
static line *add_line(tp_shard *shard, tp_early *self, tp_message *message)
{
    line *fresh = tp_pool_take(&shard->pool, sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    *fresh = (line){.hash = tp_types_hash(&shard->shared->types, tp_message_caller(message))};
    tp_fifo_init(&fresh->messages);
    if (tp_index_insert(&self->by_sender, fresh->hash, fresh) != TROUPE_OK) {
        tp_pool_give(&shard->pool, fresh);
        return NULL;
    }
    tp_list_push_back(&self->lines, &fresh->link);
    return fresh;
}

static bool has_room(const tp_early *self, const tp_type *type, const tp_message *message)
{
    return self->count < TP_LIVE_GET(type->is.mailbox_limit) &&
           self->bytes + tp_message_bytes(message) <= type->mailbox_bytes;
}

void tp_early_wait(
    tp_shard *shard, tp_activation *actor, tp_message *message, tp_row_number running)
{
    tp_early *self = get(shard, tp_durable_of(actor));
    line *of = line_of(shard, self, tp_message_caller(message));
    const tp_slip *slip = tp_message_slip(message);
    tp_row_number last =
        of != NULL ? tp_message_slip(tp_message_of(of->messages.tail))->number : running;
    if (tp_row_number_compare(slip->number, last) <= 0) {
        tp_pool_give(&shard->pool, message); /* a copy, or one that was given up */
        return;
    }
    bool is_next = tp_row_number_compare(slip->before, last) <= 0;
    bool fits = is_next && self != NULL && has_room(self, actor->type, message);
    if (fits && of == NULL)
        of = add_line(shard, self, message);
    if (!fits || of == NULL) {
        tp_count(&shard->counters.outbox_early);
        tp_pool_give(&shard->pool, message);
        return;
    }
    TP_MARK(shard, "outbox message waits for the one before it");
    tp_fifo_push_back(&of->messages, &message->node);
    self->count++;
    self->bytes += tp_message_bytes(message);
}

static tp_message *take(tp_shard *shard, tp_early *self, line *of)
{
    tp_message *message = tp_message_of(tp_fifo_pop_front(&of->messages));
    self->count--;
    self->bytes -= tp_message_bytes(message);
    if (!tp_fifo_is_empty(&of->messages))
        return message;
    (void)tp_index_remove(&self->by_sender, of->hash, of);
    tp_list_remove(&of->link);
    tp_pool_give(&shard->pool, of);
    return message;
}

void tp_early_next(tp_shard *shard, tp_activation *actor, troupe_id sender)
{
    tp_durable *durable = tp_durable_of(actor);
    tp_early *self = durable != NULL && durable->beside != NULL ? durable->beside->early : NULL;
    line *of = line_of(shard, self, sender);
    if (of != NULL)
        tp_mailbox_push_front(shard, actor, take(shard, self, of));
}

void tp_early_clear(tp_shard *shard, tp_beside *beside)
{
    tp_early *self = beside->early;
    if (self == NULL)
        return;
    while (!tp_list_is_empty(&self->lines))
        tp_pool_give(
            &shard->pool, take(shard, self, TP_CONTAINER(tp_list_front(&self->lines), line, link)));
    tp_index_deinit(&self->by_sender);
    tp_pool_give(&shard->pool, self);
    beside->early = NULL;
}
