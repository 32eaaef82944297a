/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls through a troupe_allocator, and the system's own one. Not a pool: base/pool.h is that.
 * Everybody who owns memory that is not a pool block calls it.
 *
 * Invariants: 1. Blocks are 16-aligned. 2. The size given to tp_release is the size last asked for.
 * Threads: any.
 */
#ifndef TP_BASE_ALLOC_H
#define TP_BASE_ALLOC_H

#include <troupe/base.h>

/* malloc and its family. */
const troupe_allocator *tp_allocator_system(void);

/* Does reallocation to a smaller size cost no copy? Known of the system's only. */
bool tp_allocator_cuts_in_place(const troupe_allocator *allocator);

/* Zeroed block, NULL on failure. The system's allocator hands out lazily zeroed pages, so a huge
 * table costs nothing until it is touched; any other allocator pays for a memset. */
TROUPE_CHECK void *tp_allocate_zeroed(const troupe_allocator *allocator, size_t size);

/* The same at the begin of a cache line, which an allocator need not give by itself. To be given
 * back by tp_release_lines. */
TROUPE_CHECK void *tp_allocate_lines(const troupe_allocator *allocator, size_t size);
void tp_release_lines(const troupe_allocator *allocator, void *block, size_t size);

/* NULL on failure. Size 0 is served as size 1. */
TROUPE_CHECK static inline void *tp_allocate(const troupe_allocator *allocator, size_t size)
{
    return allocator->allocate(allocator->context, size != 0 ? size : 1);
}

/* As realloc: NULL block allocates; on failure NULL, and the old block stays as it was. */
TROUPE_CHECK static inline void *tp_reallocate(const troupe_allocator *allocator, void *block,
                                               size_t old_size, size_t new_size)
{
    if (block == NULL) {
        return tp_allocate(allocator, new_size);
    }
    return allocator->reallocate(allocator->context, block, old_size != 0 ? old_size : 1,
                                 new_size != 0 ? new_size : 1);
}

/* NULL is fine. */
static inline void tp_release(const troupe_allocator *allocator, void *block, size_t size)
{
    if (block != NULL) {
        allocator->release(allocator->context, block, size != 0 ? size : 1);
    }
}

#endif
