/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two tables of a session's names: a small open-addressing one by local number, and an array.
 *
 * Threads: one owner.
 */
#include "wire/dictionary.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

enum { ROOM_AT_FIRST = 64 };

void tp_taught_init(tp_taught *taught, const troupe_allocator *allocator, uint32_t limit)
{
    *taught = (tp_taught){.allocator = allocator, .limit = limit < UINT16_MAX ? limit : UINT16_MAX};
}

void tp_taught_deinit(tp_taught *taught)
{
    tp_release(
        taught->allocator, taught->entries, ((size_t)taught->mask + 1) * sizeof *taught->entries);
    taught->entries = NULL;
}

static void place(tp_taught_entry *entries, uint32_t mask, tp_taught_entry entry)
{
    uint32_t i = tp_taught_place(entry.local, mask);
    while (entries[i].local != 0)
        i = (i + 1) & mask;
    entries[i] = entry;
}

bool tp_taught_make_room(tp_taught *taught)
{
    if (taught->count >= taught->limit)
        return false;
    uint32_t places = taught->entries != NULL ? taught->mask + 1 : 0;
    if ((taught->count + 1) * 2 <= places)
        return true;
    uint32_t more = places != 0 ? places * 2 : ROOM_AT_FIRST;
    tp_taught_entry *entries =
        tp_allocate_zeroed(taught->allocator, (size_t)more * sizeof *entries);
    if (entries == NULL)
        return false;
    for (uint32_t i = 0; i < places; i++)
        if (taught->entries[i].local != 0)
            place(entries, more - 1, taught->entries[i]);
    tp_release(taught->allocator, taught->entries, (size_t)places * sizeof *entries);
    taught->entries = entries;
    taught->mask = more - 1;
    return true;
}

uint16_t tp_taught_add(tp_taught *taught, uint32_t local)
{
    TP_ASSERT(local != 0 && (taught->count + 1) * 2 <= taught->mask + 1);
    uint16_t number = (uint16_t)++taught->count;
    place(taught->entries, taught->mask, (tp_taught_entry){local, number});
    return number;
}

void tp_learned_init(tp_learned *learned, const troupe_allocator *allocator, uint32_t limit)
{
    *learned =
        (tp_learned){.allocator = allocator, .limit = limit < UINT16_MAX ? limit : UINT16_MAX};
}

static void *bytes_of(const tp_learned_name *name)
{
    return (void *)(uintptr_t)name->type.data;
}

void tp_learned_deinit(tp_learned *learned)
{
    for (uint32_t i = 0; i < learned->count; i++) {
        const tp_learned_name *name = &learned->names[i];
        tp_release(learned->allocator, bytes_of(name), name->type.size + name->method.size);
    }
    tp_release(learned->allocator, learned->names, (size_t)learned->room * sizeof *learned->names);
    learned->names = NULL;
    learned->count = learned->room = 0;
}

static bool make_room(tp_learned *learned)
{
    if (learned->count < learned->room)
        return true;
    uint32_t room = learned->room != 0 ? learned->room * 2 : ROOM_AT_FIRST;
    void *names = tp_reallocate(learned->allocator, learned->names,
        (size_t)learned->room * sizeof *learned->names, (size_t)room * sizeof *learned->names);
    if (names == NULL)
        return false;
    learned->names = names;
    learned->room = room;
    return true;
}

troupe_status tp_learned_add(
    tp_learned *learned, uint16_t number, troupe_slice type, troupe_slice method)
{
    if (number != learned->count + 1)
        return TROUPE_CORRUPT;
    if (learned->count >= learned->limit)
        return TROUPE_TOO_LARGE;
    char *bytes =
        make_room(learned) ? tp_allocate(learned->allocator, type.size + method.size) : NULL;
    if (bytes == NULL)
        return TROUPE_NO_MEMORY;
    tp_bytes_copy(bytes, type.data, type.size);
    tp_bytes_copy(bytes + type.size, method.data, method.size);
    learned->names[learned->count++] =
        (tp_learned_name){.type = {bytes, type.size}, .method = {bytes + type.size, method.size}};
    return TROUPE_OK;
}

