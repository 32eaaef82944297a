/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system's allocator, and zeroed memory from any allocator.
 *
 * Invariants: malloc aligns to 16 on the platforms served. Threads: any.
 */
#include "base/alloc.h"

#include "base/assert.h"

#include <stdlib.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Blocks from this size on are backed by huge pages where the system gives them on request: tables
 * and pools are walked at random, and a miss of the address translation costs as much as one of the
 * cache. */
#define HUGE_FROM ((size_t)4 << 20)
#define HUGE_PAGE ((uintptr_t)2 << 20)

static void *advise(void *block, size_t size)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (block != NULL && size >= HUGE_FROM) {
        uintptr_t first = ((uintptr_t)block + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
        uintptr_t last = ((uintptr_t)block + size) & ~(HUGE_PAGE - 1);
        (void)madvise((void *)first, last - first, MADV_HUGEPAGE); /* advice: failing is fine */
    }
#else
    (void)size;
#endif
    return block;
}

_Static_assert(_Alignof(max_align_t) >= 16, "malloc returns 16-aligned blocks");

static void *system_allocate(void *context, size_t size)
{
    (void)context;
    return advise(malloc(size), size);
}

static void *system_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    return realloc(block, new_size);
}

static void system_release(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static const troupe_allocator system_allocator = {NULL, system_allocate, system_reallocate,
                                                  system_release};

const troupe_allocator *tp_allocator_system(void)
{
    return &system_allocator;
}

bool tp_allocator_cuts_in_place(const troupe_allocator *allocator)
{
    return allocator->reallocate == system_reallocate;
}

void *tp_allocate_zeroed(const troupe_allocator *allocator, size_t size)
{
    if (allocator->allocate == system_allocate) {
        return advise(calloc(1, size != 0 ? size : 1), size);
    }
    void *block = tp_allocate(allocator, size);
    if (block != NULL) {
        memset(block, 0, size);
    }
    return block;
}

/* The byte before the line says how far behind the block's begin it is: 16 to TP_CACHE_LINE. */
void *tp_allocate_lines(const troupe_allocator *allocator, size_t size)
{
    unsigned char *block = tp_allocate_zeroed(allocator, size + TP_CACHE_LINE);
    if (block == NULL) {
        return NULL;
    }
    size_t ahead = TP_CACHE_LINE - (uintptr_t)block % TP_CACHE_LINE;
    block[ahead - 1] = (unsigned char)ahead;
    return block + ahead;
}

void tp_release_lines(const troupe_allocator *allocator, void *block, size_t size)
{
    if (block != NULL) {
        unsigned char *line = block;
        tp_release(allocator, line - line[-1], size + TP_CACHE_LINE);
    }
}
