/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of a shard's actors. See sampler.h. */
#include "cluster/sampler.h"

static bool is_movable(const tp_activation *actor)
{
    return actor->phase == TP_ACTIVE &&
           (actor->flags & (TP_GUARDED | TP_LEAVE | TP_STOPPING)) == 0 &&
           actor->type->is.stateless_workers == 0;
}

static void describe(
    const tp_sampler *self, const tp_shard *shard, const tp_activation *actor, tp_sample *ret)
{
    uint64_t age = shard->now > actor->activated_at ? shard->now - actor->activated_at : 0;
    const uint64_t slot = actor->hash % TP_SAMPLE_NOTE;
    *ret = (tp_sample){.hash = actor->hash,
        .moved_at = self->moved[slot].hash == actor->hash ? self->moved[slot].at : 0,
        .bytes = actor->head_size + actor->type->is.state_size + actor->queued_bytes +
                 (actor->extras != NULL ? actor->extras->arena_bytes : 0),
        .turns = (double)actor->processed * 1e9 / (double)(age + TROUPE_SECONDS(1)),
        .type = actor->type->number};
    (void)troupe_id_print(tp_activation_id(actor), ret->id, sizeof ret->id);
}

uint32_t tp_sampler_take(tp_sampler *self, tp_shard *shard, tp_sample *ret_samples, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t step = 0; step < TP_SAMPLE_STEP && count < room; step++) {
        void *item;
        if (!tp_index_each(&shard->table, &self->cursor, &item))
            break; /* once around; the next one begins anew */
        const tp_activation *actor = item;
        bool is_new = true; /* while the table grows one may be met twice */
        for (uint32_t i = count; i-- > 0 && i + 8 > count;)
            is_new = is_new && ret_samples[i].hash != actor->hash;
        if (is_new && is_movable(actor))
            describe(self, shard, actor, &ret_samples[count++]);
    }
    return count;
}

static bool is_of_type(const void *item, const void *key)
{
    const tp_activation *actor = item;
    return actor->type->number == *(const uint32_t *)key;
}

tp_activation *tp_sampler_find(tp_shard *shard, uint64_t hash, uint32_t type)
{
    return tp_index_find(&shard->table, hash, is_of_type, &type);
}
