/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store found: a list of items, each one block of the operation's allocator with its bytes
 * behind it, but for a first one that fits into the room of the operation: a state that is loaded
 * needs no block then that one thread takes and another gives back. Providers add, who submitted
 * the operation releases.
 *
 * Threads: an operation belongs to the provider until `done`, then to who submitted it.
 */
#include "base/alloc.h"
#include "base/bytes.h"

#include <troupe/provider.h>

static size_t block_size(const troupe_store_item *item)
{
    return sizeof *item + item->key.size + item->value.size;
}

troupe_status troupe_store_add(troupe_store_op *op, const troupe_store_item *item)
{
    bool has_room = op->items == NULL && block_size(item) <= op->room_size;
    troupe_store_item *made = has_room ? op->room : tp_allocate(op->allocator, block_size(item));
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    char *key = (char *)(made + 1);
    char *value = key + item->key.size;
    tp_bytes_copy(key, item->key.data, item->key.size);
    tp_bytes_copy(value, item->value.data, item->value.size);
    *made = *item;
    made->next = NULL;
    made->key.data = key;
    made->value.data = value;
    if (op->last != NULL)
        op->last->next = made;
    else
        op->items = made;
    op->last = made;
    return TROUPE_OK;
}

void troupe_store_release(troupe_store_op *op)
{
    while (op->items != NULL) {
        troupe_store_item *item = op->items;
        op->items = item->next;
        if (item != op->room)
            tp_release(op->allocator, item, block_size(item));
    }
    op->last = NULL;
}
