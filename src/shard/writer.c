/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects the bytes of a save hook (troupe_write). Owned by the turn in which the hook runs; its
 * block comes from the node's allocator, as states may be large.
 */
#include "shard/durable.h"

#include "base/alloc.h"

void tp_writer_init(troupe_writer *writer, const troupe_allocator *allocator)
{
    *writer = (troupe_writer){.allocator = allocator};
}

void tp_writer_deinit(troupe_writer *writer)
{
    tp_release(writer->allocator, writer->data, writer->capacity);
    *writer = (troupe_writer){.allocator = writer->allocator};
}

void tp_writer_clear(troupe_writer *writer)
{
    writer->size = 0;
    writer->failed = false;
}

troupe_status troupe_write(troupe_writer *writer, const void *data, size_t size)
{
    if (writer->failed)
        return TROUPE_NO_MEMORY;
    if (writer->capacity - writer->size < size) {
        size_t capacity = (writer->size + size) * 2 + 64;
        char *grown = tp_reallocate(writer->allocator, writer->data, writer->capacity, capacity);
        if (grown == NULL) {
            writer->failed = true;
            return TROUPE_NO_MEMORY;
        }
        writer->data = grown;
        writer->capacity = capacity;
    }
    if (size != 0)
        memcpy(writer->data + writer->size, data, size);
    writer->size += size;
    return TROUPE_OK;
}
