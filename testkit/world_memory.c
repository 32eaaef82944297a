/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a world: the system's, counted, and failing by plan. A growth that fails leaves the
 * old block, as it must.
 *
 * Threads: one, as world.h.
 */
#include "testkit/world_inside.h"

#include <stdlib.h>

/* What fresh and released memory looks like, so that whoever relies on either fails the same way
 * each time. */
#define FRESH     0xA5
#define GONE      0xDD
#define JUNK_MOST 4096

static bool fails(world_memory *memory)
{
    uint64_t number = memory->allocations++;
    bool planned = number >= memory->first && number - memory->first < memory->count;
    if (!planned && memory->chance != 0)
        planned = tp_prng_chance(&memory->prng, memory->chance, 1024);
    if (planned)
        memory->failed++;
    return planned;
}

static void *allocate(void *context, size_t size)
{
    world_memory *memory = context;
    if (fails(memory))
        return NULL;
    void *block = malloc(size);
    if (block == NULL)
        return NULL;
    memset(block, FRESH, size < JUNK_MOST ? size : JUNK_MOST);
    memory->blocks++;
    memory->bytes += size;
    return block;
}

static void *reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    world_memory *memory = context;
    if (fails(memory))
        return NULL;
    void *grown = realloc(block, new_size);
    if (grown == NULL)
        return NULL;
    memory->bytes += new_size - old_size;
    return grown;
}

static void release(void *context, void *block, size_t size)
{
    world_memory *memory = context;
    TP_ASSERT(memory->blocks != 0 && memory->bytes >= size);
    memory->blocks--;
    memory->bytes -= size;
    memset(block, GONE, size < JUNK_MOST ? size : JUNK_MOST);
    uint32_t at = memory->kept_at++ % WORLD_KEPT;
    free(memory->kept[at]);
    memory->kept[at] = block;
}

void tp_world_memory_deinit(tp_world *world)
{
    for (uint32_t i = 0; i < WORLD_KEPT; i++)
        free(world->memory.kept[i]);
}

void tp_world_memory_init(tp_world *world)
{
    world->memory.allocator = (troupe_allocator){&world->memory, allocate, reallocate, release};
}

const troupe_allocator *tp_world_allocator(tp_world *world)
{
    return &world->memory.allocator;
}
uint64_t tp_world_live_blocks(const tp_world *world)
{
    return world->memory.blocks;
}
uint64_t tp_world_live_bytes(const tp_world *world)
{
    return world->memory.bytes;
}
uint64_t tp_world_allocations(const tp_world *world)
{
    return world->memory.allocations;
}
uint64_t tp_world_failed_allocations(const tp_world *world)
{
    return world->memory.failed;
}

void tp_world_fail_memory(tp_world *world, uint32_t chance, uint64_t first, uint64_t count)
{
    world->memory.chance = chance;
    world->memory.first = first;
    world->memory.count = count;
}
