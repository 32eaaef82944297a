/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows beside an actor's state while it lives: answers given once, its outbox, numbers seen of
 * senders, reminders, dead letters. They are loaded with the state; what a turn changes in them is
 * staged in the turn and joins the actor's commit at its next commit point, together with the
 * state. What the rows mean is in once.c, outbox.c and reminders.c; how they look is in
 * store/rows.h.
 *
 * Invariants
 * 1. What is in memory is what is stored, once all that is pending is durable. A commit that fails
 * drops all of it; the load reads it anew.
 * 2. An entry is held by the memory of its actor, by the commit that carries it, or by both; the
 * last of them frees it. It does not change while it is held.
 */
#include "shard/durable.h"

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

static uint64_t hash_of(uint32_t kind, troupe_slice key)
{
    return XXH3_64bits_withSeed(key.data, key.size, kind);
}

typedef struct name {
    uint32_t kind;
    troupe_slice key;
} name;

static bool same(const void *item, const void *key)
{
    const tp_entry *entry = item;
    const name *wanted = key;
    return entry->kind == wanted->kind && troupe_slice_equal(entry->key, wanted->key);
}

static tp_entry *make(tp_shard *shard, uint32_t kind, troupe_slice key, size_t value_size)
{
    tp_entry *entry = tp_pool_take(&shard->pool, sizeof *entry + key.size + value_size);
    if (entry == NULL)
        return NULL;
    *entry = (tp_entry){.kind = kind, .holders = 1, .hash = hash_of(kind, key)};
    char *at = (char *)(entry + 1);
    memcpy(at, key.data, key.size);
    entry->key = (troupe_slice){at, key.size};
    entry->value = (troupe_slice){at + key.size, value_size};
    return entry;
}

void tp_entry_release(tp_shard *shard, tp_entry *entry)
{
    if (--entry->holders == 0)
        tp_pool_give(&shard->pool, entry);
}

/* ---- in memory ------------------------------------------------------------------------------ */

troupe_status tp_rows_init(tp_shard *shard, tp_durable *self)
{
    tp_beside *beside = self->beside;
    if (beside == NULL) {
        beside = tp_pool_take(&shard->pool, sizeof *beside);
        if (beside == NULL)
            return TROUPE_NO_MEMORY;
        *beside = (tp_beside){.owner = self};
        tp_fifo_init(&beside->later);
        tp_fifo_init(&beside->farewells);
        self->beside = beside;
    }
    if (beside->has_rows)
        return TROUPE_OK;
    TROUPE_TRY(tp_index_init(&beside->rows, shard->shared->allocator, 8));
    for (int i = 0; i < TP_ROW_KINDS; i++)
        tp_list_init(&beside->by_kind[i]);
    tp_list_init(&beside->forgettable);
    tp_list_init(&beside->burying);
    beside->has_rows = true;
    return TROUPE_OK;
}

static void clear_list(tp_shard *shard, tp_list *list)
{
    tp_link *link;
    while ((link = tp_list_pop_front(list)) != NULL)
        tp_entry_release(shard, TP_CONTAINER(link, tp_entry, link));
}

void tp_rows_clear(tp_shard *shard, tp_durable *self)
{
    tp_beside *beside = self->beside;
    tp_fifo_node *node;
    if (beside == NULL)
        return;
    while ((node = tp_fifo_pop_front(&beside->later)) != NULL)
        tp_entry_release(shard, TP_CONTAINER(node, tp_entry, node));
    tp_alarm_cancel(shard, &beside->lazy);
    tp_moment_cancel(shard, &beside->remind);
    beside->permit = 0;
    beside->forgets = false;
    tp_early_clear(shard, beside);
    tp_addressees_clear(shard, beside);
    if (!beside->has_rows)
        return;
    for (int i = 0; i < TP_ROW_KINDS; i++) {
        clear_list(shard, &beside->by_kind[i]);
        beside->counts[i] = 0;
    }
    clear_list(shard, &beside->forgettable);
    beside->forgettable_count = 0;
    tp_index_deinit(&beside->rows);
    beside->has_rows = false;
}

void tp_rows_free(tp_shard *shard, tp_durable *self)
{
    tp_rows_clear(shard, self);
    if (self->beside != NULL)
        tp_pool_give(&shard->pool, self->beside);
    self->beside = NULL;
}

tp_entry *tp_rows_find(const tp_durable *self, uint32_t kind, troupe_slice key)
{
    if (tp_rows_count(self, kind) == 0)
        return NULL;
    name wanted = {kind, key};
    return tp_index_find(&self->beside->rows, hash_of(kind, key), same, &wanted);
}

tp_entry *tp_rows_first(const tp_durable *self, uint32_t kind)
{
    if (tp_rows_count(self, kind) == 0 || tp_list_is_empty(&self->beside->by_kind[kind]))
        return NULL;
    return TP_CONTAINER(tp_list_front(&self->beside->by_kind[kind]), tp_entry, link);
}

tp_entry *tp_rows_next(const tp_durable *self, const tp_entry *entry)
{
    tp_link *next = entry->link.next;
    if (next == &self->beside->by_kind[entry->kind].head)
        return NULL;
    return TP_CONTAINER(next, tp_entry, link);
}

void tp_rows_last(tp_durable *self, tp_entry *entry)
{
    tp_list_remove(&entry->link);
    tp_list_push_back(&self->beside->by_kind[entry->kind], &entry->link);
}

tp_entry *tp_rows_turn(tp_durable *self, uint32_t kind, bool forgettable)
{
    if (tp_rows_count(self, kind) == 0)
        return NULL;
    tp_list *list = forgettable ? &self->beside->forgettable : &self->beside->by_kind[kind];
    tp_link *link = tp_list_pop_front(list);
    if (link == NULL)
        return NULL;
    tp_list_push_back(list, link);
    return TP_CONTAINER(link, tp_entry, link);
}

void tp_rows_forgettable(tp_durable *self, tp_entry *entry)
{
    tp_list_remove(&entry->link);
    tp_list_push_back(&self->beside->forgettable, &entry->link);
    entry->forgettable = true;
    self->beside->forgettable_count++;
}

static void forget(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    self->beside->forgettable_count -= entry->forgettable;
    if (entry->kind == TROUPE_ROW_OUTBOX)
        tp_addressees_remove(shard, entry);
    tp_index_remove(&self->beside->rows, entry->hash, entry);
    tp_list_remove(&entry->link);
    self->beside->counts[entry->kind]--;
    tp_entry_release(shard, entry);
}

/* Behind the others of its kind; an outbox is in the order of its numbers, whatever order a store
 * hands its rows out in. */
static void insert(tp_durable *self, tp_entry *entry)
{
    tp_list *list = &self->beside->by_kind[entry->kind];
    tp_link *before = list->head.previous;
    while (entry->kind == TROUPE_ROW_OUTBOX && before != &list->head &&
           memcmp(TP_CONTAINER(before, tp_entry, link)->key.data, entry->key.data,
               TP_ROW_NUMBER_BYTES) > 0)
        before = before->previous;
    tp_list_insert_between(&entry->link, before, before->next);
}

/* Takes the place of the one before, if there is one. */
static troupe_status keep(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    TROUPE_TRY(tp_rows_init(shard, self));
    if (tp_row_is_forgot(entry->kind, entry->key)) {
        self->beside->permit = entry->row.sender.last.version;
        return TROUPE_OK;
    }
    tp_entry *before = tp_rows_find(self, entry->kind, entry->key);
    TROUPE_TRY(tp_index_insert(&self->beside->rows, entry->hash, entry));
    if (entry->kind == TROUPE_ROW_OUTBOX && tp_addressees_add(shard, self, entry) != TROUPE_OK) {
        (void)tp_index_remove(&self->beside->rows, entry->hash, entry);
        return TROUPE_NO_MEMORY;
    }
    if (before != NULL)
        forget(shard, self, before);
    insert(self, entry);
    self->beside->counts[entry->kind]++;
    entry->holders++;
    return TROUPE_OK;
}

troupe_status tp_rows_load(
    tp_shard *shard, tp_durable *self, const troupe_store_item *item, const char **ret_reason)
{
    *ret_reason = "a row beside it is of a kind that this version does not know";
    if (item->kind == 0 || item->kind >= TP_ROW_KINDS)
        return TROUPE_CORRUPT;
    tp_entry *entry = make(shard, item->kind, item->key, item->value.size);
    if (entry == NULL)
        return TROUPE_NO_MEMORY;
    memcpy((void *)(uintptr_t)entry->value.data, item->value.data, item->value.size);
    troupe_status status =
        tp_row_decode(entry->kind, self->seed, entry->key, entry->value, &entry->row, ret_reason);
    if (status == TROUPE_OK)
        status = keep(shard, self, entry);
    tp_entry_release(shard, entry);
    return status;
}

/* ---- what a turn changes -------------------------------------------------------------------- */

troupe_status tp_rows_put(troupe_turn *turn, const tp_row *row, troupe_slice key)
{
    tp_shard *shard = turn->shard;
    tp_durable *self = tp_durable_of(turn->actor);
    size_t size = tp_row_size(row, key);
    if (size == 0)
        return TROUPE_USAGE;
    tp_entry *entry = make(shard, row->kind, key, size);
    if (entry == NULL) {
        tp_count(&shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    tp_row_encode(row, self->seed, entry->key, (void *)(uintptr_t)entry->value.data);
    tp_fifo_push_back(&turn->changes, &entry->node);
    return TROUPE_OK;
}

troupe_status tp_rows_remove(troupe_turn *turn, uint32_t kind, troupe_slice key)
{
    const tp_entry named = {.kind = kind, .key = key};
    tp_entry *removal = tp_rows_removal(turn->shard, &named);
    if (removal == NULL) {
        tp_count(&turn->shard->counters.no_memory);
        return TROUPE_NO_MEMORY;
    }
    tp_fifo_push_back(&turn->changes, &removal->node);
    return TROUPE_OK;
}

tp_entry *tp_rows_removal(tp_shard *shard, const tp_entry *entry)
{
    tp_entry *removal = make(shard, entry->kind, entry->key, 0);
    if (removal != NULL)
        removal->remove = true;
    return removal;
}

void tp_rows_retire(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    tp_entry *removal = entry->retired ? NULL : tp_rows_removal(shard, entry);
    if (removal == NULL)
        return; /* of one that is not retired: it is found again, and retired then */
    entry->retired = true;
    if (entry->kind == TROUPE_ROW_OUTBOX)
        tp_addressees_handled(shard, entry);
    tp_fifo_push_back(&self->beside->later, &removal->node);
    tp_commit_later(shard, self);
}

bool tp_rows_add(tp_shard *shard, tp_durable *self, const tp_row *row, troupe_slice key)
{
    size_t size = tp_row_size(row, key);
    bool has_room = size != 0 && tp_rows_init(shard, self) == TROUPE_OK;
    tp_entry *entry = has_room ? make(shard, row->kind, key, size) : NULL;
    if (entry == NULL) {
        tp_count(&shard->counters.no_memory);
        return false;
    }
    tp_row_encode(row, self->seed, entry->key, (void *)(uintptr_t)entry->value.data);
    tp_fifo_push_back(&self->beside->later, &entry->node);
    tp_commit_later(shard, self);
    return true;
}

void tp_rows_drop(troupe_turn *turn)
{
    tp_fifo_node *node;
    turn->staged = 0;
    while ((node = tp_fifo_pop_front(&turn->changes)) != NULL)
        tp_entry_release(turn->shard, TP_CONTAINER(node, tp_entry, node));
}

troupe_status tp_rows_apply(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    if (entry->remove) {
        tp_entry *before = tp_rows_find(self, entry->kind, entry->key);
        if (before != NULL)
            forget(shard, self, before);
        return TROUPE_OK;
    }
    const char *reason;
    troupe_status status =
        tp_row_decode(entry->kind, self->seed, entry->key, entry->value, &entry->row, &reason);
    TP_ASSERT(status == TROUPE_OK); /* it was encoded here */
    return keep(shard, self, entry);
}

void tp_rows_number(tp_durable *self, tp_entry *entry, tp_row_number number)
{
    void *key = (void *)(uintptr_t)entry->key.data;
    tp_row_number_key(number, key);
    tp_row_seal(entry->kind, self->seed, entry->key, (void *)(uintptr_t)entry->value.data,
        entry->value.size);
    entry->hash = hash_of(entry->kind, entry->key);
}

void tp_rows_permit(tp_durable *self, tp_entry *entry, uint64_t version)
{
    const char *reason;
    void *value = (void *)(uintptr_t)entry->value.data;
    troupe_status status =
        tp_row_decode(entry->kind, self->seed, entry->key, entry->value, &entry->row, &reason);
    TP_ASSERT(status == TROUPE_OK); /* it was encoded here */
    entry->row.sender.last = (tp_row_number){version, 0};
    tp_row_encode(&entry->row, self->seed, entry->key, value);
}
