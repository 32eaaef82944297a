/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of an actor's outbox by whom they are for, so that what is asked of one of them (which
 * was before it, which is the newest) costs the same however many there are. In memory only: made
 * of the rows. When what is here is sent again is in outbox.c.
 *
 * Invariants
 * 1. Each row of the outbox that is in memory is in one list of its addressee: of those that are
 * open, by number, or of those that are handled and wait for the commit that takes them away.
 * 2. An addressee is there while it has a row.
 * 3. `since` is when the first of the open ones became that, or a load.
 * 4. `expires` is not later than that of any open one; it may be that of one that is handled.
 */
#include "shard/durable.h"

struct tp_addressees {
    tp_index by_id;
    tp_list all;
};

/* Any of its rows. */
static const tp_entry *any_of(const tp_addressee *self)
{
    bool is_open = !tp_list_is_empty(&self->open);
    return tp_entry_of_mate(tp_list_front(is_open ? &self->open : &self->handled));
}

static bool is_for(const void *item, const void *key)
{
    return troupe_id_equal(any_of(item)->row.outbox.target, *(const troupe_id *)key);
}

tp_addressee *tp_addressees_find(const tp_shard *shard, const tp_durable *self, troupe_id id)
{
    if (tp_rows_count(self, TROUPE_ROW_OUTBOX) == 0)
        return NULL;
    return tp_index_find(
        &self->beside->addressees->by_id, tp_types_hash(&shard->shared->types, id), is_for, &id);
}

tp_addressee *tp_addressees_first(const tp_durable *self)
{
    if (tp_rows_count(self, TROUPE_ROW_OUTBOX) == 0)
        return NULL;
    return TP_CONTAINER(tp_list_front(&self->beside->addressees->all), tp_addressee, link);
}

tp_addressee *tp_addressees_next(const tp_addressee *of)
{
    tp_link *next = of->link.next;
    bool is_end = next == &of->owner->beside->addressees->all.head;
    return is_end ? NULL : TP_CONTAINER(next, tp_addressee, link);
}

static tp_addressees *get(tp_shard *shard, tp_beside *beside)
{
    if (beside->addressees != NULL)
        return beside->addressees;
    tp_addressees *self = tp_pool_take(&shard->pool, sizeof *self);
    if (self == NULL)
        return NULL;
    if (tp_index_init(&self->by_id, shard->shared->allocator, 4) != TROUPE_OK) {
        tp_pool_give(&shard->pool, self);
        return NULL;
    }
    tp_list_init(&self->all);
    beside->addressees = self;
    return self;
}

static tp_addressee *create(tp_shard *shard, tp_durable *owner, troupe_id id)
{
    tp_addressees *all = get(shard, owner->beside);
    tp_addressee *self = all != NULL ? tp_pool_take(&shard->pool, sizeof *self) : NULL;
    if (self == NULL)
        return NULL;
    *self = (tp_addressee){
        .owner = owner, .hash = tp_types_hash(&shard->shared->types, id), .expires = TP_NEVER};
    if (tp_index_insert(&all->by_id, self->hash, self) != TROUPE_OK) {
        tp_pool_give(&shard->pool, self);
        return NULL;
    }
    tp_list_init(&self->open);
    tp_list_init(&self->handled);
    tp_list_push_back(&all->all, &self->link);
    return self;
}

static void destroy(tp_shard *shard, tp_addressee *self)
{
    tp_alarm_cancel(shard, &self->again);
    if (tp_link_is_linked(&self->grave))
        tp_list_remove(&self->grave);
    (void)tp_index_remove(&self->owner->beside->addressees->by_id, self->hash, self);
    tp_list_remove(&self->link);
    tp_pool_give(&shard->pool, self);
}

troupe_status tp_addressees_add(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    tp_addressee *to = tp_addressees_find(shard, self, entry->row.outbox.target);
    if (to == NULL)
        to = create(shard, self, entry->row.outbox.target);
    if (to == NULL)
        return TROUPE_NO_MEMORY;
    tp_link *before = to->open.head.previous;
    while (before != &to->open.head &&
           memcmp(tp_entry_of_mate(before)->key.data, entry->key.data, TP_ROW_NUMBER_BYTES) > 0)
        before = before->previous;
    if (tp_list_is_empty(&to->open))
        to->since = shard->now;
    tp_list_insert_between(&entry->mate, before, before->next);
    uint64_t expires = entry->row.outbox.expires;
    if (expires != 0 && expires < to->expires)
        to->expires = expires;
    entry->to = to;
    return TROUPE_OK;
}

static void leave(tp_shard *shard, tp_entry *entry)
{
    tp_addressee *to = entry->to;
    bool was_first = to->open.head.next == &entry->mate;
    tp_list_remove(&entry->mate);
    if (was_first)
        tp_outbox_advances(shard, to);
}

void tp_addressees_handled(tp_shard *shard, tp_entry *entry)
{
    leave(shard, entry);
    tp_list_push_back(&entry->to->handled, &entry->mate);
}

void tp_addressees_remove(tp_shard *shard, tp_entry *entry)
{
    tp_addressee *to = entry->to;
    leave(shard, entry);
    if (tp_list_is_empty(&to->open) && tp_list_is_empty(&to->handled))
        destroy(shard, to);
}

void tp_addressees_clear(tp_shard *shard, tp_beside *beside)
{
    tp_addressees *self = beside->addressees;
    if (self == NULL)
        return;
    while (!tp_list_is_empty(&self->all))
        destroy(shard, TP_CONTAINER(tp_list_front(&self->all), tp_addressee, link));
    tp_index_deinit(&self->by_id);
    tp_pool_give(&shard->pool, self);
    beside->addressees = NULL;
}
