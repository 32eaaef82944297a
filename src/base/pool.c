/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow ways of the pool of base/pool.h: pages, regions, large blocks, the journey home, and
 * direct mode.
 *
 * The state of a page, and what moves it:
 *   free     take: it becomes current of a class
 *   current  take, no block left: full. It never becomes free while it is current
 *   full     a block comes back: listed
 *   listed   take, the current page is used up: current; its last block comes back: free
 *
 * Invariants and threads: see base/pool.h.
 */
#include "base/pool.h"

#include "base/alloc.h"

#include <string.h>

/* Blocks are carved in lots of about so many bytes: a page is touched no earlier than needed. */
#define CARVE_BYTES 4096

struct tp_pool_region {
    tp_pool_region *next;
    void *base;
    size_t base_size;
    char *start; /* of the pages */
    size_t size; /* of the pages */
};

/* Before each block of direct mode. */
typedef struct direct_header {
    uint64_t size;
    uint64_t owner;
} direct_header;

_Static_assert(sizeof(tp_pool_page) == 2 * TP_CACHE_LINE, "a page header is two cache lines");
_Static_assert(TP_POOL_PAGE_HEADER_BYTES % sizeof(tp_pool_page) == 0, "headers have colours");
_Static_assert(sizeof(direct_header) == 16, "blocks of direct mode stay 16-aligned");

/* Stands in where a class has no page: nothing can be taken from it, so nobody writes it. */
static const tp_pool_page no_page = {.carved = TP_POOL_PAGE_BYTES, .wake = TP_POOL_WAKE_NEVER};

static char *page_start(const tp_pool_page *page)
{
    return (char *)((uintptr_t)page & ~(uintptr_t)(TP_POOL_PAGE_BYTES - 1));
}

static uint32_t class_size(uint32_t size_class)
{
    if (size_class < 16) {
        return (size_class + 1) * 16;
    }
    uint32_t octave = (size_class - 16) / 4;
    return (5 + (size_class - 16) % 4) << (octave + 6);
}

static char *align_to_page(void *base)
{
    const uintptr_t mask = TP_POOL_PAGE_BYTES - 1;
    return (char *)(((uintptr_t)base + mask) & ~mask);
}

troupe_status tp_pool_init(tp_pool *pool, const troupe_allocator *allocator, uint16_t owner,
                           uint16_t owners, bool direct)
{
    TP_ASSERT(owner < owners && owners <= TP_SHARDS_MAX);
    tp_pool_parcel *parcels = tp_allocate_zeroed(allocator, owners * sizeof(*parcels));
    if (parcels == NULL) {
        return TROUPE_NO_MEMORY;
    }
    memset(pool, 0, sizeof(*pool));
    pool->owner = owner;
    pool->owners = owners;
    pool->direct = direct;
    pool->parcels = parcels;
    pool->allocator = allocator;
    pool->region_bytes = TP_POOL_REGION_MIN_BYTES;
    tp_list_init(&pool->free_pages);
    tp_list_init(&pool->large);
    tp_list_init(&pool->kept);
    for (uint32_t i = 0; i < TP_POOL_CLASSES; i++) {
        pool->current[i] = (tp_pool_page *)&no_page;
        tp_list_init(&pool->listed[i]);
    }
    return TROUPE_OK;
}

void tp_pool_connect(tp_pool *pool, tp_pool **all)
{
    pool->all = all;
}

/* The page is in no list. */
static void release_large(tp_pool *pool, tp_pool_page *page)
{
    void *base = page->base;
    size_t base_size = page->base_size;
    tp_cell_sub(&pool->reserved, base_size);
    TP_POOL_SHOW(base, base_size);
    tp_release(pool->allocator, base, base_size);
}

static void release_all(tp_pool *pool, tp_list *pages)
{
    for (tp_link *link = tp_list_pop_front(pages); link != NULL; link = tp_list_pop_front(pages)) {
        release_large(pool, TP_CONTAINER(link, tp_pool_page, link));
    }
}

static void release_kept(tp_pool *pool)
{
    release_all(pool, &pool->kept);
    pool->kept_count = 0;
    pool->kept_bytes = 0;
}

void tp_pool_deinit(tp_pool *pool)
{
    if (pool->allocator == NULL) {
        return;
    }
    release_all(pool, &pool->large);
    release_kept(pool);
    while (pool->regions != NULL) {
        tp_pool_region *region = pool->regions;
        pool->regions = region->next;
        TP_POOL_SHOW(region->start, region->size);
        tp_release(pool->allocator, region->base, region->base_size);
    }
    tp_release(pool->allocator, pool->parcels, pool->owners * sizeof(*pool->parcels));
    memset(pool, 0, sizeof(*pool));
}

/* ---- pages ---- */

/* The allocator's blocks are 16-aligned: one page more holds the pages aligned, and the record. */
static bool add_region_of(tp_pool *pool, size_t size)
{
    size_t base_size = size + TP_POOL_PAGE_BYTES + sizeof(tp_pool_region);
    char *base = tp_allocate(pool->allocator, base_size);
    if (base == NULL) {
        return false;
    }
    char *start = align_to_page(base);
    tp_pool_region *region = (tp_pool_region *)(void *)(start + size);
    region->next = pool->regions;
    region->base = base;
    region->base_size = base_size;
    region->start = start;
    region->size = size;
    pool->regions = region;
    pool->fresh = start;
    pool->fresh_count = (uint32_t)(size / TP_POOL_PAGE_BYTES);
    tp_cell_add(&pool->reserved, base_size);
    return true;
}

/* Each region is twice the last, to a limit; when memory is short the smallest will do. */
static bool add_region(tp_pool *pool)
{
    if (!add_region_of(pool, pool->region_bytes)) {
        return pool->region_bytes > TP_POOL_REGION_MIN_BYTES &&
               add_region_of(pool, TP_POOL_REGION_MIN_BYTES);
    }
    if (pool->region_bytes < TP_POOL_REGION_MAX_BYTES) {
        pool->region_bytes *= 2;
    }
    return true;
}

/* A page without blocks, or NULL. */
static tp_pool_page *take_page(tp_pool *pool)
{
    tp_link *link = tp_list_pop_front(&pool->free_pages);
    if (link != NULL) {
        return TP_CONTAINER(link, tp_pool_page, link);
    }
    if (pool->fresh_count == 0 && !add_region(pool)) {
        return NULL;
    }
    char *start = pool->fresh;
    pool->fresh += TP_POOL_PAGE_BYTES;
    pool->fresh_count--;
    return tp_pool_page_of(start);
}

static void prepare_page(tp_pool *pool, tp_pool_page *page, uint32_t size_class)
{
    memset(page, 0, sizeof(*page));
    page->owner = pool->owner;
    page->size_class = (uint16_t)size_class;
    page->block_size = class_size(size_class);
    page->carved = TP_POOL_PAGE_HEADER_BYTES;
    TP_POOL_HIDE(page_start(page) + TP_POOL_PAGE_HEADER_BYTES,
                 TP_POOL_PAGE_BYTES - TP_POOL_PAGE_HEADER_BYTES);
}

/* Makes some free blocks of the untouched end of a page that has none. False: it is used up. */
static bool carve(tp_pool_page *page)
{
    if (page->carved + page->block_size > TP_POOL_PAGE_BYTES || page->block_size == 0) {
        return false;
    }
    uint32_t count = (TP_POOL_PAGE_BYTES - page->carved) / page->block_size;
    uint32_t lot = CARVE_BYTES / page->block_size;
    if (lot == 0) {
        lot = 1;
    }
    if (count > lot) {
        count = lot;
    }
    char *first = page_start(page) + page->carved;
    page->carved += count * page->block_size;
    void *next = NULL;
    for (uint32_t i = count; i > 0; i--) {
        char *block = first + (size_t)(i - 1) * page->block_size;
        tp_pool_set_link(block, next);
        next = block;
    }
    page->free = next;
    return true;
}

/* The current page of a class is used up: finds another, or NULL. */
static tp_pool_page *replace_current(tp_pool *pool, uint32_t size_class)
{
    tp_pool_page *page;
    tp_link *link = tp_list_pop_front(&pool->listed[size_class]);
    if (link != NULL) {
        page = TP_CONTAINER(link, tp_pool_page, link);
    } else {
        page = take_page(pool);
        if (page == NULL) {
            return NULL;
        }
        prepare_page(pool, page, size_class);
    }
    if (pool->current[size_class] != &no_page) {
        pool->current[size_class]->wake = TP_POOL_WAKE_ALWAYS;
    }
    page->wake = TP_POOL_WAKE_NEVER;
    pool->current[size_class] = page;
    return page;
}

static void *take_small(tp_pool *pool, size_t size)
{
    uint32_t size_class = tp_pool_class(size);
    tp_pool_page *page = pool->current[size_class];
    if (page->free == NULL && !carve(page)) {
        tp_pool_collect(pool); /* may free blocks of the current page */
        if (page->free == NULL) {
            page = replace_current(pool, size_class);
            if (page == NULL) {
                return NULL;
            }
        }
        bool has_room = page->free != NULL || carve(page);
        TP_ASSERT(has_room);
    }
    void *block = page->free;
    page->free = tp_pool_link(block);
    page->live++;
    tp_cell_add(&pool->taken, page->block_size);
    TP_POOL_SHOW(block, size + (size == 0));
    return block;
}

/* ---- large blocks ---- */

static void forget_kept(tp_pool *pool, tp_pool_page *page)
{
    tp_list_remove(&page->link);
    pool->kept_count--;
    pool->kept_bytes -= page->base_size;
}

/* A kept block whose allocation is as large as that, or a quarter larger at most; or NULL. */
static tp_pool_page *find_kept(tp_pool *pool, size_t base_size)
{
    TP_LIST_EACH (&pool->kept, link) {
        tp_pool_page *page = TP_CONTAINER(link, tp_pool_page, link);
        if (page->base_size >= base_size && page->base_size - base_size <= base_size / 4) {
            forget_kept(pool, page);
            return page;
        }
    }
    return NULL;
}

/* The oldest go where there are too many; one of more than a quarter of all bytes is not kept. */
static void keep_or_release(tp_pool *pool, tp_pool_page *page)
{
    if (page->base_size > TP_POOL_KEPT_BYTES / 4) {
        release_large(pool, page);
        return;
    }
    while (pool->kept_count == TP_POOL_KEPT_MAX ||
           pool->kept_bytes + page->base_size > TP_POOL_KEPT_BYTES) {
        tp_pool_page *oldest = TP_CONTAINER(tp_list_back(&pool->kept), tp_pool_page, link);
        forget_kept(pool, oldest);
        release_large(pool, oldest);
    }
    TP_POOL_HIDE((char *)page_start(page) + TP_POOL_PAGE_HEADER_BYTES, page->large_size);
    tp_list_push_front(&pool->kept, &page->link);
    pool->kept_count++;
    pool->kept_bytes += page->base_size;
}

/* The header of a block that was asked of the allocator, or NULL. What is kept is no reason. */
static tp_pool_page *allocate_large(tp_pool *pool, size_t base_size)
{
    char *base = tp_allocate(pool->allocator, base_size);
    if (base == NULL && pool->kept_count > 0) {
        release_kept(pool);
        base = tp_allocate(pool->allocator, base_size);
    }
    if (base == NULL) {
        return NULL;
    }
    tp_pool_page *page = tp_pool_page_of(align_to_page(base));
    memset(page, 0, sizeof(*page));
    page->owner = pool->owner;
    page->size_class = TP_POOL_CLASS_LARGE;
    page->base = base;
    page->base_size = base_size;
    page->wake = TP_POOL_WAKE_ALWAYS;
    tp_cell_add(&pool->reserved, base_size);
    return page;
}

static void *take_large(tp_pool *pool, size_t size)
{
    if (size > TP_POOL_LARGE_MAX) {
        return NULL;
    }
    tp_pool_collect(pool); /* large blocks on their way are worth having back first */
    size_t base_size = size + TP_POOL_PAGE_HEADER_BYTES + TP_POOL_PAGE_BYTES;
    tp_pool_page *page = find_kept(pool, base_size);
    if (page == NULL) {
        page = allocate_large(pool, base_size);
    }
    if (page == NULL) {
        return NULL;
    }
    char *block = page_start(page) + TP_POOL_PAGE_HEADER_BYTES;
    char *end = (char *)page->base + page->base_size;
    page->large_size = size;
    page->live = 1;
    tp_list_push_back(&pool->large, &page->link);
    tp_cell_add(&pool->taken, size);
    TP_POOL_SHOW(block, size);
    TP_POOL_HIDE(block + size, (size_t)(end - (block + size)));
    return block;
}

/* ---- direct mode ---- */

static uint64_t counted_size(uint64_t size)
{
    return size > TP_POOL_SMALL_MAX ? size : class_size(tp_pool_class((size_t)size));
}

static void *take_directly(tp_pool *pool, size_t size)
{
    if (size > TP_POOL_LARGE_MAX) {
        return NULL;
    }
    direct_header *header = tp_allocate(pool->allocator, size + sizeof(*header));
    if (header == NULL) {
        return NULL;
    }
    header->size = size;
    header->owner = pool->owner;
    tp_cell_add(&pool->taken, counted_size(size));
    TP_POOL_HIDE(header, sizeof(*header));
    return header + 1;
}

void tp_pool_give_directly(tp_pool *mine, void *block)
{
    direct_header *header = (direct_header *)block - 1;
    TP_POOL_SHOW(header, sizeof(*header));
    if (header->owner == mine->owner) {
        tp_cell_add(&mine->given, counted_size(header->size));
    } else {
        TP_ASSERT(mine->all != NULL && header->owner < mine->owners);
        atomic_fetch_add_explicit(&mine->all[header->owner]->direct_given,
                                  counted_size(header->size), memory_order_relaxed);
    }
    tp_release(mine->allocator, header, (size_t)header->size + sizeof(*header));
}

/* ---- what the inline functions leave over ---- */

void *tp_pool_take_slowly(tp_pool *pool, size_t size)
{
    if (pool->direct) {
        return take_directly(pool, size);
    }
    return size > TP_POOL_SMALL_MAX ? take_large(pool, size) : take_small(pool, size);
}

/* `live` no longer counts the block. The page was full, or is empty now, or is a large block's. */
void tp_pool_give_slowly(tp_pool *mine, void *block, tp_pool_page *page)
{
    if (page->size_class == TP_POOL_CLASS_LARGE) {
        tp_cell_add(&mine->given, page->large_size);
        tp_list_remove(&page->link);
        keep_or_release(mine, page);
        return;
    }
    tp_pool_set_link(block, page->free);
    page->free = block;
    tp_cell_add(&mine->given, page->block_size);
    TP_POOL_HIDE(block, page->block_size);
    if (page->wake == TP_POOL_WAKE_ALWAYS) {
        page->wake = TP_POOL_WAKE_EMPTY;
        tp_list_push_front(&mine->listed[page->size_class], &page->link);
    }
    if (page->live == 0) {
        tp_list_remove(&page->link);
        tp_list_push_front(&mine->free_pages, &page->link);
    }
}

/* ---- the journey home ---- */

static void send(tp_pool *mine, uint16_t owner)
{
    tp_pool_parcel *parcel = &mine->parcels[owner];
    tp_pool *home = mine->all[owner];
    void *top = atomic_load_explicit(&home->returned, memory_order_relaxed);
    do {
        tp_pool_set_link(parcel->last, top);
    } while (!atomic_compare_exchange_weak_explicit(&home->returned, &top, parcel->first,
                                                    memory_order_release, memory_order_relaxed));
    mine->travelling -= parcel->count;
    memset(parcel, 0, sizeof(*parcel));
}

void tp_pool_give_abroad(tp_pool *mine, void *block, tp_pool_page *page)
{
    uint16_t owner = page->owner;
    bool is_large = page->size_class == TP_POOL_CLASS_LARGE;
    TP_ASSERT(mine->all != NULL && owner < mine->owners);
    tp_pool_parcel *parcel = &mine->parcels[owner];
    TP_POOL_HIDE(block, is_large ? page->large_size : page->block_size);
    tp_pool_set_link(block, parcel->first);
    parcel->first = block;
    if (parcel->last == NULL) {
        parcel->last = block;
    }
    parcel->count++;
    mine->travelling++;
    if (parcel->count == TP_POOL_BATCH || is_large) {
        send(mine, owner);
    }
}

void tp_pool_flush(tp_pool *mine)
{
    for (uint16_t i = 0; i < mine->owners && mine->travelling > 0; i++) {
        if (mine->parcels[i].count > 0) {
            send(mine, i);
        }
    }
}

void tp_pool_collect(tp_pool *pool)
{
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL) {
        return;
    }
    void *block = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (block != NULL) {
        void *next = tp_pool_link(block);
        TP_POOL_SHOW(block, sizeof(void *));
        tp_pool_give(pool, block);
        block = next;
    }
}

/* ---- figures ---- */

size_t tp_pool_bytes(const tp_pool *pool)
{
    uint64_t given = tp_cell_get(&pool->given) +
                     atomic_load_explicit(&pool->direct_given, memory_order_relaxed);
    uint64_t taken = tp_cell_get(&pool->taken);
    return taken > given ? (size_t)(taken - given) : 0;
}

size_t tp_pool_reserved(const tp_pool *pool)
{
    return pool->direct ? tp_pool_bytes(pool) : (size_t)tp_cell_get(&pool->reserved);
}
