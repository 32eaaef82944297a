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

/* Before each block: all that are out are in a ring, so that a crash can drop them. */
struct world_block {
    _Alignas(16) struct world_block *next;
    struct world_block *previous;
    size_t size;
};

static void put_in(world_memory *memory, world_block *block)
{
    block->next = memory->out;
    block->previous = NULL;
    if (memory->out != NULL)
        memory->out->previous = block;
    memory->out = block;
}

static void take_out(world_memory *memory, world_block *block)
{
    if (block->next != NULL)
        block->next->previous = block->previous;
    if (block->previous != NULL)
        block->previous->next = block->next;
    else
        memory->out = block->next;
}

static void *allocate(void *context, size_t size)
{
    world_memory *memory = context;
    if (fails(memory))
        return NULL;
    world_block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    put_in(memory, block);
    if (!memory->is_plain)
        memset(block + 1, FRESH, size < JUNK_MOST ? size : JUNK_MOST);
    memory->blocks++;
    memory->bytes += size;
    return block + 1;
}

static void *reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    world_memory *memory = context;
    if (fails(memory))
        return NULL;
    if (block == NULL)
        return allocate(context, new_size);
    world_block *old = (world_block *)block - 1;
    take_out(memory, old);
    world_block *grown = realloc(old, sizeof *grown + new_size);
    if (grown != NULL)
        grown->size = new_size;
    put_in(memory, grown != NULL ? grown : old);
    if (grown == NULL)
        return NULL;
    memory->bytes += new_size - old_size;
    return grown + 1;
}

static void release(void *context, void *given, size_t size)
{
    world_memory *memory = context;
    world_block *block = (world_block *)given - 1;
    TP_ASSERT(memory->blocks != 0 && memory->bytes >= size);
    take_out(memory, block);
    memory->blocks--;
    memory->bytes -= size;
    if (memory->is_plain) {
        free(block);
        return;
    }
    memset(given, GONE, size < JUNK_MOST ? size : JUNK_MOST);
    uint32_t at = memory->kept_at++ % WORLD_KEPT;
    free(memory->kept[at]);
    memory->kept[at] = block;
}

void tp_world_memory_drop(world_memory *memory)
{
    while (memory->out != NULL) {
        world_block *block = memory->out;
        memory->out = block->next;
        free(block);
    }
    memory->blocks = memory->bytes = 0;
}

void tp_world_memory_deinit(world_memory *memory)
{
    for (uint32_t i = 0; i < WORLD_KEPT; i++)
        free(memory->kept[i]);
}

void tp_world_memory_init(world_memory *memory, uint64_t seed)
{
    tp_prng_seed(&memory->prng, seed);
    memory->allocator = (troupe_allocator){memory, allocate, reallocate, release};
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
