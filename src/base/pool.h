/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of one shard: blocks by size class, cut from 64 KiB pages, which are cut from regions
 * of the node's allocator. A block may be given back by any shard: it travels home to the pool that
 * owns it, in batches. Not a general malloc: only threads that have a pool of the same node may
 * give, and regions go back to the allocator only at the end. It has no limit of its own: NULL
 * means that the allocator refused; who must bound memory counts tp_pool_bytes.
 *
 * A page begins with its header: one line that stays as it is while blocks are out (any thread may
 * read it) and one that the owner writes. Headers of neighbouring pages begin at different lines,
 * or they would all compete for one set of the cache. Blocks larger than TP_POOL_SMALL_MAX have an
 * allocation each, with a page header before them, so that giving needs no size. The last of those
 * that came back are kept (TP_POOL_KEPT_MAX, TP_POOL_KEPT_BYTES): an allocator may give such memory
 * to the system and get it back by page faults, which cost more than to fill it.
 *
 * Direct mode, for hostile tests: every block is an allocation of its own, so that failing
 * allocators and memory checkers see each one; blocks given by others are released at once, and
 * blocks still out at deinit are leaks that a checker reports.
 *
 * Invariants: 1. A block is out, or free in its page, or on its way home: in one place at a time.
 * 2. `live` of a page counts the blocks out or on their way. 3. A page is current in its class, or
 * listed in its class (it has a free block), or full, or free for any class.
 * Threads: take, collect and the fields of tp_pool are the owner's; `returned` is pushed on by any.
 */
#ifndef TP_BASE_POOL_H
#define TP_BASE_POOL_H

#include "base/assert.h"
#include "base/cell.h"
#include "base/limits.h"
#include "base/list.h"

#include <troupe/status.h>

#if defined(__SANITIZE_ADDRESS__)
#define TP_POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TP_POOL_ASAN 1
#endif
#endif

#ifdef TP_POOL_ASAN
#include <sanitizer/asan_interface.h>
#define TP_POOL_UNCHECKED __attribute__((no_sanitize("address")))
#define TP_POOL_HIDE(block, size) ASAN_POISON_MEMORY_REGION(block, size)
#define TP_POOL_SHOW(block, size) ASAN_UNPOISON_MEMORY_REGION(block, size)
#define TP_POOL_IS_OUT(block) (!__asan_address_is_poisoned(block))
#else
#define TP_POOL_UNCHECKED
#define TP_POOL_HIDE(block, size) ((void)(block), (void)(size))
#define TP_POOL_SHOW(block, size) ((void)(block), (void)(size))
#define TP_POOL_IS_OUT(block) true
#endif

#define TP_POOL_CLASS_LARGE TP_POOL_CLASSES

/* `wake` of a page: giving a block back to it goes the slow way when live <= wake. */
#define TP_POOL_WAKE_NEVER (-1)
#define TP_POOL_WAKE_EMPTY 0
#define TP_POOL_WAKE_ALWAYS INT32_MAX

typedef struct tp_pool_page {
    /* written by the owner while no block is out, read by any */
    _Alignas(TP_CACHE_LINE) uint16_t owner;
    uint16_t size_class;
    uint32_t block_size; /* 0 for a large block */
    size_t large_size;   /* of the user's part */
    void *base;          /* of the allocation of a large block */
    size_t base_size;

    /* written and read by the owner */
    _Alignas(TP_CACHE_LINE) void *free; /* linked through their first word */
    int32_t live;
    int32_t wake;
    uint32_t carved; /* bytes of the page that became blocks so far, with the header */
    tp_link link;    /* among the listed pages of the class, the free pages, large or kept blocks */
} tp_pool_page;

/* Blocks of one other owner, on their way. Written by the pool's own thread. */
typedef struct tp_pool_parcel {
    void *first;
    void *last;
    uint32_t count;
} tp_pool_parcel;

typedef struct tp_pool_region tp_pool_region;

typedef struct tp_pool {
    /* written by the owner */
    uint16_t owner;
    uint16_t owners;
    bool direct;
    uint32_t travelling; /* blocks in parcels */
    tp_cell taken;       /* bytes; may be read by any */
    tp_cell given;       /* bytes that came back; may be read by any */
    tp_cell reserved;    /* bytes from the allocator; may be read by any */
    tp_pool_page *current[TP_POOL_CLASSES]; /* never NULL: a page without free blocks stands in */
    tp_list listed[TP_POOL_CLASSES];
    tp_list free_pages;
    tp_list large; /* out, or on their way home */
    tp_list kept;  /* large blocks to be taken again, the latest first */
    uint32_t kept_count;
    size_t kept_bytes; /* of their allocations */
    tp_pool_region *regions;
    char *fresh; /* pages of the newest region that were never used */
    uint32_t fresh_count;
    size_t region_bytes; /* of the next region */
    tp_pool_parcel *parcels;
    struct tp_pool **all;
    const troupe_allocator *allocator;

    /* Pushed by any with release: publishes the links of the chain. Taken whole by the owner. */
    _Alignas(TP_CACHE_LINE) _Atomic(void *) returned;
    _Atomic uint64_t direct_given; /* direct mode: bytes released by others */
} tp_pool;

/* `owner` of `owners` is the number of the shard. NO_MEMORY: nothing was done. The pool must not
 * be moved afterwards. */
TROUPE_CHECK troupe_status tp_pool_init(tp_pool *pool, const troupe_allocator *allocator,
                                        uint16_t owner, uint16_t owners, bool direct);

/* Once no thread uses any of the connected pools: their blocks are gone with it. */
void tp_pool_deinit(tp_pool *pool);

/* Tells it its peers, by owner; before any block of another is given. The array is borrowed. */
void tp_pool_connect(tp_pool *pool, tp_pool **all);

/* [owner of mine] Sends home what waits for a full batch. Call when idle. */
void tp_pool_flush(tp_pool *mine);

/* [owner] Takes back what came home. Call now and then; tp_pool_take does so when it runs short. */
void tp_pool_collect(tp_pool *pool);

/* [any thread] Bytes of the blocks out or on their way home, by the sizes of their classes. */
size_t tp_pool_bytes(const tp_pool *pool);

/* [any thread] Are they more than so many? */
static inline bool tp_pool_is_above(const tp_pool *pool, size_t bytes)
{
    return tp_cell_get(&pool->taken) >
           bytes + tp_cell_get(&pool->given) +
               atomic_load_explicit(&pool->direct_given, memory_order_relaxed);
}

/* [any thread] Bytes asked of the allocator and not released. */
size_t tp_pool_reserved(const tp_pool *pool);

void *tp_pool_take_slowly(tp_pool *pool, size_t size);
void tp_pool_give_slowly(tp_pool *mine, void *block, tp_pool_page *page);
void tp_pool_give_abroad(tp_pool *mine, void *block, tp_pool_page *page);
void tp_pool_give_directly(tp_pool *mine, void *block);

/* Classes go in steps of 16 bytes to 256, then four to an octave. */
static inline uint32_t tp_pool_class(size_t size)
{
    size_t last = size != 0 ? size - 1 : 0;
    if (last < 256) {
        return (uint32_t)(last / 16);
    }
    uint32_t octave = 63u - (uint32_t)__builtin_clzll(last);
    return 16u + (octave - 8u) * 4u + (uint32_t)((last >> (octave - 2u)) & 3u);
}

static inline tp_pool_page *tp_pool_page_of(const void *block)
{
    uintptr_t start = (uintptr_t)block & ~(uintptr_t)(TP_POOL_PAGE_BYTES - 1);
    uintptr_t colour = (start / TP_POOL_PAGE_BYTES) %
                       (TP_POOL_PAGE_HEADER_BYTES / sizeof(tp_pool_page));
    return (tp_pool_page *)(start + colour * sizeof(tp_pool_page));
}

/* A block that is not out holds a link in its first word, hidden from the address sanitizer. */
TP_POOL_UNCHECKED static inline void *tp_pool_link(const void *block)
{
    return *(void *const *)block;
}

TP_POOL_UNCHECKED static inline void tp_pool_set_link(void *block, void *next)
{
    *(void **)block = next;
}

/* [owner] A block of `size` bytes, 16-aligned, contents undefined; NULL when out of memory. */
TROUPE_CHECK static inline void *tp_pool_take(tp_pool *pool, size_t size)
{
    if (TP_UNLIKELY(size - 1 >= 256 && size > TP_POOL_SMALL_MAX)) {
        return tp_pool_take_slowly(pool, size);
    }
    tp_pool_page *page =
        pool->current[TP_LIKELY(size - 1 < 256) ? (size - 1) / 16 : tp_pool_class(size)];
    void *block = page->free;
    if (TP_UNLIKELY(block == NULL)) {
        return tp_pool_take_slowly(pool, size);
    }
    void *next = tp_pool_link(block);
    __builtin_prefetch(next, 1);
    page->free = next;
    page->live++;
    tp_cell_add(&pool->taken, page->block_size);
    TP_POOL_SHOW(block, size + (size == 0));
    return block;
}

/* [owner of mine] Gives back a block of `mine` or of any pool connected with it. NULL is fine. */
static inline void tp_pool_give(tp_pool *mine, void *block)
{
    if (TP_UNLIKELY(block == NULL)) {
        return;
    }
    if (TP_UNLIKELY(mine->direct)) {
        tp_pool_give_directly(mine, block);
        return;
    }
    TP_ASSERT(TP_POOL_IS_OUT(block)); /* given twice? */
    tp_pool_page *page = tp_pool_page_of(block);
    if (TP_UNLIKELY(page->owner != mine->owner)) {
        tp_pool_give_abroad(mine, block, page);
        return;
    }
    page->live--;
    if (TP_UNLIKELY(page->live <= page->wake)) {
        tp_pool_give_slowly(mine, block, page);
        return;
    }
    tp_pool_set_link(block, page->free);
    page->free = block;
    tp_cell_add(&mine->given, page->block_size);
    TP_POOL_HIDE(block, page->block_size);
}

#endif
