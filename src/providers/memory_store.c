/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `memory:`: state that lives as long as the node. For tests, for demos, and
 * for actors that may be evicted but need not survive the process. Nothing is durable.
 *
 * Threads: one partition per shard; the operations of a shard come from its thread, so there is no
 * lock.
 */
#include "base/alloc.h"
#include "base/index.h"
#include "store/port.h"

typedef struct record {
    uint64_t version;
    char *data; /* NULL: deleted; the version stays */
    size_t size;
    size_t id_size; /* type, '/', partition, '/', key behind the struct */
} record;

typedef struct memory_store {
    tp_store store;
    const troupe_allocator *allocator;
    uint32_t shards;
    tp_index *partitions;
} memory_store;

static size_t id_size(troupe_id id)
{
    return id.type.size + 1 + id.partition.size + 1 + id.key.size;
}

static bool same(const void *item, const void *key)
{
    const record *self = item;
    const troupe_id *id = key;
    if (self->id_size != id_size(*id))
        return false;
    const char *at = (const char *)(self + 1);
    const troupe_slice parts[] = {id->type, id->partition, id->key};
    for (int i = 0; i < 3; i++) {
        if (parts[i].size != 0 && memcmp(at, parts[i].data, parts[i].size) != 0)
            return false;
        at += parts[i].size;
        if (i < 2 && *at++ != '/')
            return false;
    }
    return true;
}

static record *create(memory_store *self, tp_index *index, const tp_store_op *op)
{
    record *made = tp_allocate_zeroed(self->allocator, sizeof *made + id_size(op->id));
    if (made == NULL)
        return NULL;
    made->id_size = id_size(op->id);
    char *at = (char *)(made + 1);
    const troupe_slice parts[] = {op->id.type, op->id.partition, op->id.key};
    for (int i = 0; i < 3; i++) {
        if (parts[i].size != 0)
            memcpy(at, parts[i].data, parts[i].size);
        at += parts[i].size;
        if (i < 2)
            *at++ = '/';
    }
    if (tp_index_insert(index, op->hash, made) == TROUPE_OK)
        return made;
    tp_release(self->allocator, made, sizeof *made + made->id_size);
    return NULL;
}

static troupe_status load(const record *found, tp_store_op *op)
{
    op->version = found != NULL ? found->version : 0;
    op->data = (troupe_slice){NULL, 0};
    if (found == NULL || found->data == NULL)
        return TROUPE_OK;
    char *copy = tp_allocate(op->allocator, found->size != 0 ? found->size : 1);
    if (copy == NULL)
        return TROUPE_NO_MEMORY;
    memcpy(copy, found->data, found->size);
    op->data = (troupe_slice){copy, found->size};
    return TROUPE_OK;
}

static troupe_status save(memory_store *self, tp_index *index, record *found, const tp_store_op *op)
{
    if ((found != NULL ? found->version : 0) != op->version)
        return TROUPE_CONFLICT;
    char *data = NULL;
    size_t room = op->data.size != 0 ? op->data.size : 1;
    if (op->kind == TP_STORE_SAVE) {
        data = tp_allocate(self->allocator, room);
        if (data == NULL)
            return TROUPE_NO_MEMORY;
        if (op->data.size != 0)
            memcpy(data, op->data.data, op->data.size);
    }
    if (found == NULL)
        found = create(self, index, op);
    if (found == NULL) {
        tp_release(self->allocator, data, room);
        return TROUPE_NO_MEMORY;
    }
    if (found->data != NULL)
        tp_release(self->allocator, found->data, found->size != 0 ? found->size : 1);
    found->data = data;
    found->size = op->kind == TP_STORE_SAVE ? op->data.size : 0;
    found->version++;
    return TROUPE_OK;
}

static void submit(tp_store *store, tp_store_op *op)
{
    memory_store *self = (memory_store *)store;
    tp_index *index = &self->partitions[op->shard];
    record *found = tp_index_find(index, op->hash, same, &op->id);
    op->status = op->kind == TP_STORE_LOAD ? load(found, op) : save(self, index, found, op);
    op->done(op);
}

static void destroy(tp_store *store)
{
    memory_store *self = (memory_store *)store;
    const troupe_allocator *allocator = self->allocator;
    for (uint32_t i = 0; i < self->shards; i++) {
        uint64_t cursor = 0;
        void *item;
        while (tp_index_each(&self->partitions[i], &cursor, &item)) {
            record *found = item;
            if (found->data != NULL)
                tp_release(allocator, found->data, found->size != 0 ? found->size : 1);
            tp_release(allocator, found, sizeof *found + found->id_size);
        }
        tp_index_deinit(&self->partitions[i]);
    }
    tp_release(allocator, self->partitions, self->shards * sizeof *self->partitions);
    tp_release(allocator, self, sizeof *self);
}

troupe_status tp_memory_store_create(
    const troupe_allocator *allocator, uint32_t shards, tp_store **ret_store)
{
    memory_store *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->store = (tp_store){submit, destroy};
    self->allocator = allocator;
    self->partitions = tp_allocate_zeroed(allocator, shards * sizeof *self->partitions);
    troupe_status status = self->partitions != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    for (uint32_t i = 0; status == TROUPE_OK && i < shards; i++) {
        status = tp_index_init(&self->partitions[i], allocator, 16);
        if (status == TROUPE_OK)
            self->shards = i + 1;
    }
    if (status != TROUPE_OK) {
        for (uint32_t i = 0; i < self->shards; i++)
            tp_index_deinit(&self->partitions[i]);
        tp_release(allocator, self->partitions, shards * sizeof *self->partitions);
        tp_release(allocator, self, sizeof *self);
        return status;
    }
    *ret_store = &self->store;
    return TROUPE_OK;
}
