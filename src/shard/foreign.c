/* SPDX-License-Identifier: Apache-2.0 */
/* Types that only other members host. See foreign.h. */
#include "shard/shard.h"

#include "base/alloc.h"

/* ---- finding --------------------------------------------------------------------------------- */

static const tp_foreign_type *find_in(
    const tp_foreign_table *table, uint64_t hash, troupe_slice name)
{
    const tp_foreign_type *type = atomic_load_explicit(
        &table->buckets[hash % TP_FOREIGN_BUCKETS], memory_order_acquire);
    while (type != NULL && !troupe_slice_equal(type->type.name, name))
        type = type->next;
    return type;
}

const tp_type *tp_type_known(tp_shared *shared, troupe_slice name)
{
    const tp_type *own = tp_types_find(&shared->types, name);
    const tp_foreign_table *table =
        atomic_load_explicit(&shared->foreign.table, memory_order_acquire);
    if (own != NULL || table == NULL)
        return own;
    const tp_foreign_type *found = find_in(table, tp_type_name_hash(&shared->types, name), name);
    return found != NULL ? &found->type : NULL;
}

const tp_type *tp_type_at(tp_shared *shared, uint32_t number)
{
    if (number < TP_FOREIGN_FIRST)
        return &shared->types.list[number];
    const tp_foreign_table *table =
        atomic_load_explicit(&shared->foreign.table, memory_order_acquire);
    return &table->list[number - TP_FOREIGN_FIRST]->type;
}

bool tp_foreign_is_hosted(tp_shared *shared, uint32_t k, uint64_t view)
{
    const tp_foreign_table *table =
        atomic_load_explicit(&shared->foreign.table, memory_order_acquire);
    return atomic_load_explicit(&table->list[k]->seen, memory_order_relaxed) >= view;
}

static void lock(tp_foreign *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire))
        ;
}

static void unlock(tp_foreign *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

/* ---- learning -------------------------------------------------------------------------------- */

/* Stands for methods that only hosts know: no turn of a foreign type ever runs here. */
static troupe_status run_nowhere(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_fail(turn, TROUPE_NO_TYPE, "this node does not host the type");
}

static tp_foreign_type *make(tp_shared *shared, troupe_slice name, uint32_t number)
{
    tp_foreign_type *made = tp_allocate_zeroed(shared->allocator, sizeof *made + name.size + 1);
    if (made == NULL)
        return NULL;
    char *copy = (char *)(made + 1);
    memcpy(copy, name.data, name.size);
    made->type = (tp_type){.name = {copy, name.size},
        .hash = tp_type_name_hash(&shared->types, name),
        .number = TP_FOREIGN_FIRST + number,
        .is = {.size = sizeof(troupe_type), .name = copy, .otherwise = run_nowhere}};
    return made;
}

/* Under the lock. */
static tp_foreign_type *add(tp_shared *shared, troupe_slice name, uint32_t most)
{
    tp_foreign *self = &shared->foreign;
    tp_foreign_table *table = atomic_load_explicit(&self->table, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&self->count, memory_order_relaxed);
    if (table == NULL) {
        table = tp_allocate_zeroed(shared->allocator, sizeof *table);
        atomic_store_explicit(&self->table, table, memory_order_release);
    }
    if (table == NULL || count >= most)
        return NULL;
    tp_foreign_type *made = make(shared, name, count);
    if (made == NULL)
        return NULL;
    _Atomic(tp_foreign_type *) *bucket = &table->buckets[made->type.hash % TP_FOREIGN_BUCKETS];
    made->next = atomic_load_explicit(bucket, memory_order_relaxed);
    table->list[count] = made;
    atomic_store_explicit(bucket, made, memory_order_release);
    atomic_store_explicit(&self->count, count + 1, memory_order_release);
    return made;
}

const tp_type *tp_foreign_learn(tp_shared *shared, troupe_slice name, uint64_t view)
{
    const tp_type *known = tp_type_known(shared, name);
    if (known != NULL && (view == 0 || !tp_type_is_foreign(known)))
        return known;
    tp_foreign *self = &shared->foreign;
    lock(self);
    tp_foreign_table *table = atomic_load_explicit(&self->table, memory_order_relaxed);
    known = tp_type_known(shared, name); /* another thread may have learned it meanwhile */
    tp_foreign_type *type =
        known != NULL ? table->list[known->number - TP_FOREIGN_FIRST]
                      : add(shared, name, view != 0 ? TP_FOREIGN_MAX : TP_FOREIGN_TOLD);
    if (type != NULL && atomic_load_explicit(&type->seen, memory_order_relaxed) < view)
        atomic_store_explicit(&type->seen, view, memory_order_relaxed);
    unlock(self);
    return type != NULL ? &type->type : NULL;
}

bool tp_foreign_is_full(const tp_shared *shared)
{
    return atomic_load_explicit(&shared->foreign.count, memory_order_acquire) >= TP_FOREIGN_TOLD;
}

/* Under the lock. */
static troupe_status add_method(tp_shared *shared, tp_foreign_type *self, troupe_slice name)
{
    tp_type *type = &self->type;
    if (self->method_count == TP_FOREIGN_METHODS)
        return TROUPE_NO_MEMORY;
    if (type->methods == NULL)
        type->methods =
            tp_allocate(shared->allocator, TP_FOREIGN_METHODS * sizeof *type->methods);
    char *copy = type->methods != NULL ? tp_allocate(shared->allocator, name.size + 1) : NULL;
    if (copy == NULL)
        return TROUPE_NO_MEMORY;
    memcpy(copy, name.data, name.size);
    copy[name.size] = 0;
    type->methods[self->method_count++] =
        (tp_method){.name = {copy, name.size}, .run = run_nowhere};
    return TROUPE_OK;
}

troupe_status tp_foreign_method(
    tp_shared *shared, const tp_type *type, troupe_slice name, uint32_t *ret_number)
{
    tp_foreign *foreign = &shared->foreign;
    if (name.size == 0 || name.size > TP_NAME_MAX)
        return TROUPE_NO_METHOD;
    lock(foreign);
    const tp_foreign_table *table = atomic_load_explicit(&foreign->table, memory_order_relaxed);
    tp_foreign_type *self = table->list[type->number - TP_FOREIGN_FIRST];
    uint32_t number = 0;
    while (number < self->method_count &&
           !troupe_slice_equal(self->type.methods[number].name, name))
        number++;
    troupe_status status =
        number < self->method_count ? TROUPE_OK : add_method(shared, self, name);
    unlock(foreign);
    *ret_number = number;
    return status;
}

void tp_foreign_learned(tp_shared *shared, uint64_t view)
{
    _Atomic uint64_t *newest = &shared->foreign.view;
    uint64_t known = atomic_load_explicit(newest, memory_order_relaxed);
    while (known < view && !atomic_compare_exchange_weak_explicit(
                               newest, &known, view, memory_order_release, memory_order_relaxed))
        ;
}

void tp_foreign_deinit(tp_shared *shared)
{
    tp_foreign_table *table = atomic_load_explicit(&shared->foreign.table, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&shared->foreign.count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        tp_foreign_type *type = table->list[i];
        for (uint32_t k = 0; k < type->method_count; k++) {
            troupe_slice name = type->type.methods[k].name;
            tp_release(shared->allocator, (void *)(uintptr_t)name.data, name.size + 1);
        }
        tp_release(shared->allocator, type->type.methods,
            type->type.methods != NULL ? TP_FOREIGN_METHODS * sizeof(tp_method) : 0);
        tp_release(shared->allocator, type, sizeof *type + type->type.name.size + 1);
    }
    tp_release(shared->allocator, table, table != NULL ? sizeof *table : 0);
    atomic_store_explicit(&shared->foreign.table, NULL, memory_order_relaxed);
}
