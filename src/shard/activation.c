/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of activations: the table that finds them, the little cache before it, their memory. What
 * they live through is in lifecycle.c.
 *
 * An idle activation is this record with id and state, and nothing else: no stack, no lock, one
 * timer link.
 */
#include "shard/durable.h"

typedef struct id_parts {
    const tp_type *type;
    troupe_slice partition, key;
} id_parts;

static inline bool same_id(const void *item, const void *key)
{
    const tp_activation *actor = item;
    const id_parts *id = key;
    return actor->type == id->type && actor->key_size == id->key.size &&
           actor->partition_size == id->partition.size &&
           tp_bytes_are_equal(actor + 1, id->key.data, id->key.size) &&
           tp_bytes_are_equal(
               (const char *)(actor + 1) + actor->key_size, id->partition.data, id->partition.size);
}

tp_activation *tp_activation_find(
    tp_shard *shard, const tp_type *type, uint64_t hash, troupe_slice partition, troupe_slice key)
{
    id_parts id = {type, partition, key};
    tp_activation *recent = shard->recent[hash % TP_RECENT].actor;
    if (shard->recent[hash % TP_RECENT].hash == hash && recent != NULL && same_id(recent, &id))
        return recent;
    tp_activation *actor = tp_index_find(&shard->table, hash, same_id, &id);
    if (actor != NULL && TP_LIKELY(!(actor->flags & TP_GUARDED)))
        shard->recent[hash % TP_RECENT] = (tp_recent){.hash = hash, .actor = actor};
    return actor;
}

static bool is_any(const void *item, const void *key)
{
    (void)item;
    (void)key;
    return true;
}

bool tp_activation_is_here(const tp_shard *shard, uint64_t hash)
{
    return tp_index_find(&shard->table, hash, is_any, NULL) != NULL;
}

tp_activation *tp_activation_create(
    tp_shard *shard, const tp_type *type, uint64_t hash, troupe_slice partition, troupe_slice key)
{
    size_t head = (sizeof(tp_activation) + key.size + partition.size + 15) & ~(size_t)15;
    tp_activation *actor = tp_pool_take(&shard->pool, head + type->is.state_size);
    if (actor == NULL)
        return NULL;
    memset(actor, 0, sizeof *actor);
    actor->hash = hash;
    actor->type = type;
    tp_fifo_init(&actor->mailbox);
    actor->key_size = (uint16_t)key.size;
    actor->partition_size = (uint8_t)partition.size;
    actor->head_size = (uint16_t)head;
    memcpy(actor + 1, key.data, key.size);
    if (partition.size != 0)
        memcpy((char *)(actor + 1) + key.size, partition.data, partition.size);
    if (type->is.state_size != 0)
        memset(tp_activation_state(actor), 0, type->is.state_size);
    if (tp_index_insert(&shard->table, hash, actor) != TROUPE_OK) {
        tp_pool_give(&shard->pool, actor);
        return NULL;
    }
    shard->recent[hash % TP_RECENT] = (tp_recent){.hash = hash, .actor = actor};
    tp_list_push_back(&shard->recency, &actor->recency);
    shard->active++;
    tp_count(&tp_counters_of(shard, type)->actors);
    actor->last_used = shard->now;
    actor->activated_at = shard->now;
    return actor;
}

void tp_activation_guard(tp_shard *shard, tp_activation *actor)
{
    actor->flags |= TP_GUARDED;
    if (shard->recent[actor->hash % TP_RECENT].actor == actor)
        shard->recent[actor->hash % TP_RECENT] = (tp_recent){.actor = NULL};
}

void tp_activation_free(tp_shard *shard, tp_activation *actor)
{
    TP_ASSERT(
        actor->turns == NULL && tp_fifo_is_empty(&actor->mailbox) && !(actor->flags & TP_QUEUED));
    if (shard->recent[actor->hash % TP_RECENT].actor == actor)
        shard->recent[actor->hash % TP_RECENT] = (tp_recent){.actor = NULL};
    tp_mailbox_clear(shard, actor);
    tp_index_remove(&shard->table, actor->hash, actor);
    tp_list_remove(&actor->recency);
    tp_alarm_cancel(shard, &actor->idle);
    if (actor->extras != NULL) {
        tp_extras *extras = actor->extras;
        tp_timers_stop(shard, actor);
        tp_alarm_cancel(shard, &extras->back_off);
        tp_alarm_cancel(shard, &extras->probe);
        tp_arena_drop(shard, &extras->arena, &extras->arena_bytes);
        tp_durable_free(shard, actor);
        tp_pool_give(&shard->pool, extras->moved); /* came, and was never taken */
        tp_pool_give(&shard->pool, extras);
    }
    shard->active--;
    TP_ASSERT(shard->active != 0 || shard->full.count == shard->mark_count);
    tp_cell_sub(&tp_counters_of(shard, actor->type)->actors, 1);
    shard->departures++;
    while (TP_UNLIKELY(atomic_fetch_add_explicit(&shard->watchers, 0, memory_order_acq_rel) != 0)) {
        /* the watchdog copies an id: well under a microsecond */
    }
    tp_pool_give(&shard->pool, actor);
}

void tp_activation_discard(tp_activation *actor)
{
    if (!(actor->flags & TP_HOLDS))
        return;
    actor->flags &= (uint16_t)~TP_HOLDS;
    if (actor->type->is.discard != NULL)
        actor->type->is.discard(tp_activation_state(actor));
    if (actor->type->owns)
        troupe_schema_free(actor->type->is.schema, tp_activation_state(actor), NULL);
}

tp_extras *tp_activation_extras(tp_shard *shard, tp_activation *actor)
{
    if (TP_LIKELY(actor->extras != NULL))
        return actor->extras;
    tp_extras *extras = tp_pool_take(&shard->pool, sizeof *extras);
    if (extras == NULL)
        return NULL;
    memset(extras, 0, sizeof *extras);
    tp_list_init(&extras->timers);
    extras->actor = actor;
    actor->extras = extras;
    return extras;
}

bool tp_activation_is_idle(const tp_activation *actor)
{
    return actor->turns == NULL && actor->queued == 0 && !(actor->flags & TP_QUEUED) &&
           (actor->extras == NULL ||
               (actor->extras->callbacks == 0 && (actor->extras->durable == NULL ||
                                                     tp_durable_is_quiet(actor->extras->durable))));
}
