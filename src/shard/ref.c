/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refs: an id resolved once, for many calls. Calls through them are in calls.c.
 *
 * Invariants: all of a ref but its holders is as it was made.
 * Threads: any.
 */
#include "shard/calls.h"
#include "shard/workers.h"

#include "base/alloc.h"
#include "base/id.h"

troupe_status tp_ref_make(tp_shared *shared, troupe_id id, troupe_ref **ret_ref)
{
    const tp_type *type = tp_type_known(shared, id.type);
    if (type == NULL)
        return tp_name_is_valid(id.type) ? TROUPE_NO_TYPE : TROUPE_USAGE;
    if (id.key.size - 1 >= TP_KEY_MAX ||
        (id.partition.size != 0 && !tp_name_is_valid(id.partition)))
        return TROUPE_USAGE;
    troupe_ref *ref = tp_allocate(shared->allocator, sizeof *ref + id.key.size + id.partition.size);
    if (ref == NULL)
        return TROUPE_NO_MEMORY;
    char *key = (char *)(ref + 1);
    char *partition = key + id.key.size;
    memcpy(key, id.key.data, id.key.size);
    if (id.partition.size != 0)
        memcpy(partition, id.partition.data, id.partition.size);
    uint64_t hash = tp_type_hash(&shared->types, type, id.partition, id.key);
    *ref = (troupe_ref){.holders = 1,
        .number = 1 + atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed),
        .allocator = shared->allocator,
        .shared = shared,
        .to = {.type = type,
            .partition = {partition, id.partition.size},
            .key = {key, id.key.size},
            .hash = hash,
            .shard = tp_type_has_workers(type) ? TP_SHARD_ANY
                                               : tp_hash_shard(hash, shared->shard_count)}};
    *ret_ref = ref;
    return TROUPE_OK;
}

troupe_ref *troupe_ref_retain(troupe_ref *ref)
{
    if (ref != NULL)
        atomic_fetch_add_explicit(&ref->holders, 1, memory_order_relaxed);
    return ref;
}

void troupe_ref_release(troupe_ref *ref)
{
    if (ref == NULL || atomic_fetch_sub_explicit(&ref->holders, 1, memory_order_acq_rel) != 1)
        return;
    tp_release(ref->allocator, ref, sizeof *ref + ref->to.key.size + ref->to.partition.size);
}

troupe_id troupe_ref_id(const troupe_ref *ref)
{
    return (troupe_id){ref->to.type->name, ref->to.partition, ref->to.key};
}

bool troupe_ref_equal(const troupe_ref *left, const troupe_ref *right)
{
    return left == right || (left->to.hash == right->to.hash &&
                                troupe_id_equal(troupe_ref_id(left), troupe_ref_id(right)));
}

troupe_status troupe_ref_selector(
    const troupe_ref *ref, const char *name, troupe_selector *ret_selector)
{
    if (tp_type_is_foreign(ref->to.type))
        return tp_foreign_method(
            ref->shared, ref->to.type, troupe_str(name), &ret_selector->number);
    int32_t number = tp_type_method(ref->to.type, troupe_str(name));
    if (number < 0 || number == TP_METHOD_OTHER)
        return TROUPE_NO_METHOD; /* a catch-all needs the name in each call */
    ret_selector->number = (uint32_t)number;
    return TROUPE_OK;
}
