/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the entries of a location cache are: buckets, lines and their texts, hosts. Called by
 * cache.c.
 *
 * A bucket holds the top half of the mixed hash and the number of the line. The place of an entry
 * is that half times the number of buckets (so any number of buckets serves, not powers of two
 * only), and can be told from the bucket alone: removal shifts back without touching a line
 * (Knuth 6.4, algorithm R).
 *
 * Invariants and threads: see directory/cache_inside.h. One bucket in four is empty at least.
 */
#include "directory/cache_inside.h"

#include "base/alloc.h"

/* Of a text that goes on beyond its line. */
static bool part_is(const tp_cache_record *record, size_t from, troupe_slice part)
{
    const char *bytes = part.data;
    size_t size = part.size;
    if (from < TP_CACHE_BEGIN) {
        size_t here = TP_CACHE_BEGIN - from < size ? TP_CACHE_BEGIN - from : size;
        if (memcmp(record->text.begin + from, bytes, here) != 0) {
            return false;
        }
        bytes += here;
        size -= here;
        from = TP_CACHE_BEGIN;
    }
    return size == 0 || memcmp(record->text.rest + (from - TP_CACHE_BEGIN), bytes, size) == 0;
}

bool tp_cache_text_is(const tp_cache_record *record, const tp_cache_id *id)
{
    size_t split = id->partition.size;
    if (record->text_size <= TP_CACHE_INLINE) {
        return memcmp(record->text.whole + split, id->key.data, id->key.size) == 0 &&
               (split == 0 || memcmp(record->text.whole, id->partition.data, split) == 0);
    }
    return part_is(record, split, id->key) && (split == 0 || part_is(record, 0, id->partition));
}

static void bucket_insert(tp_cache *cache, uint64_t hash, uint32_t number)
{
    uint64_t bucket = (tp_index_mix(hash) & ~(uint64_t)UINT32_MAX) | ((uint64_t)number + 1);
    size_t at = tp_cache_home(cache, bucket);
    while (cache->buckets[at] != 0) {
        at = tp_cache_next(cache, at);
    }
    cache->buckets[at] = bucket;
}

static size_t distance(const tp_cache *cache, size_t from, size_t to)
{
    return to >= from ? to - from : to + cache->bucket_count - from;
}

static void bucket_remove(tp_cache *cache, uint64_t hash, uint32_t number)
{
    uint64_t *buckets = cache->buckets;
    size_t hole = tp_cache_home(cache, tp_index_mix(hash));
    while ((uint32_t)buckets[hole] != number + 1) {
        TP_DEBUG_ASSERT(buckets[hole] != 0);
        hole = tp_cache_next(cache, hole);
    }
    for (size_t at = tp_cache_next(cache, hole); buckets[at] != 0; at = tp_cache_next(cache, at)) {
        /* It may fill the hole unless its own place lies behind the hole. */
        if (distance(cache, tp_cache_home(cache, buckets[at]), at) >= distance(cache, hole, at)) {
            buckets[hole] = buckets[at];
            hole = at;
        }
    }
    buckets[hole] = 0;
}

static size_t lot_bytes(const tp_cache *cache)
{
    return cache->lot_size * sizeof(tp_cache_record);
}

static uint32_t lots_max(uint32_t size)
{
    return (size + TP_CACHE_LOT - 1) / TP_CACHE_LOT;
}

troupe_status tp_cache_make_room(tp_cache *cache)
{
    if (cache->free != TP_CACHE_NONE || cache->fresh < cache->lot_count * cache->lot_size) {
        return TROUPE_OK;
    }
    tp_cache_record *lot = tp_allocate_lines(cache->allocator, lot_bytes(cache));
    if (lot == NULL) {
        return TROUPE_NO_MEMORY;
    }
    cache->lots[cache->lot_count++] = lot;
    return TROUPE_OK;
}

uint32_t tp_cache_add(tp_cache *cache, const tp_cache_id *id, char *rest, uint32_t host)
{
    uint32_t number = cache->free;
    if (number != TP_CACHE_NONE) {
        cache->free = tp_cache_link_at(cache, number)->next;
    } else {
        number = cache->fresh++;
    }
    tp_cache_record *record = tp_cache_record_at(cache, number);
    *record = (tp_cache_record){.hash = id->hash,
        .expires = UINT64_MAX,
        .type = id->type,
        .host = host,
        .text_size = (uint16_t)(id->partition.size + id->key.size),
        .partition_size = (uint8_t)id->partition.size,
        .flags = TP_CACHE_LIVE};
    char text[TP_CACHE_TEXT_MAX];
    if (id->partition.size != 0) {
        memcpy(text, id->partition.data, id->partition.size);
    }
    memcpy(text + id->partition.size, id->key.data, id->key.size);
    if (record->text_size <= TP_CACHE_INLINE) {
        memcpy(record->text.whole, text, record->text_size);
    } else {
        memcpy(record->text.begin, text, TP_CACHE_BEGIN);
        memcpy(rest, text + TP_CACHE_BEGIN, record->text_size - (size_t)TP_CACHE_BEGIN);
        record->text.rest = rest;
        cache->rest_bytes += record->text_size - (size_t)TP_CACHE_BEGIN;
    }
    bucket_insert(cache, id->hash, number);
    cache->count++;
    return number;
}

void tp_cache_remove(tp_cache *cache, uint32_t number)
{
    tp_cache_record *record = tp_cache_record_at(cache, number);
    bucket_remove(cache, record->hash, number);
    tp_cache_host_drop(cache, record->host);
    if (record->text_size > TP_CACHE_INLINE) {
        tp_pool_give(cache->pool, record->text.rest);
        cache->rest_bytes -= record->text_size - (size_t)TP_CACHE_BEGIN;
    }
    record->flags = 0;
    tp_cache_link_at(cache, number)->next = cache->free;
    cache->free = number;
    cache->count--;
}

/* ---- hosts ---- */

typedef struct host_key {
    const tp_cache *cache;
    uint64_t incarnation;
    uint32_t node;
} host_key;

/* Items are numbers + 1. */
static bool is_host(const void *item, const void *key)
{
    const host_key *wanted = key;
    const tp_cache_host *host = &wanted->cache->hosts[(uintptr_t)item - 1];
    return host->incarnation == wanted->incarnation && host->node == wanted->node;
}

static uint64_t host_hash(uint32_t node, uint64_t incarnation)
{
    return tp_sketch_mix(incarnation ^ ((uint64_t)node << 32));
}

uint32_t tp_cache_host_find(const tp_cache *cache, uint32_t node, uint64_t incarnation)
{
    host_key key = {cache, incarnation, node};
    void *item = tp_index_find(&cache->host_index, host_hash(node, incarnation), is_host, &key);
    return item != NULL ? (uint32_t)((uintptr_t)item - 1) : TP_CACHE_NONE;
}

static troupe_status make_host_room(tp_cache *cache)
{
    if (cache->host_free != TP_CACHE_NONE || cache->host_fresh < cache->host_capacity) {
        return TROUPE_OK;
    }
    uint32_t capacity = cache->host_capacity != 0 ? cache->host_capacity * 2 : 16;
    tp_cache_host *hosts = tp_reallocate(cache->allocator, cache->hosts,
        cache->host_capacity * sizeof(*hosts), capacity * sizeof(*hosts));
    if (hosts == NULL) {
        return TROUPE_NO_MEMORY;
    }
    cache->hosts = hosts;
    cache->host_capacity = capacity;
    return TROUPE_OK;
}

troupe_status tp_cache_host_hold(
    tp_cache *cache, uint32_t node, uint64_t incarnation, uint32_t *ret_host)
{
    uint32_t number = tp_cache_host_find(cache, node, incarnation);
    if (number != TP_CACHE_NONE) {
        if (cache->hosts[number].is_gone) {
            return TROUPE_UNAVAILABLE;
        }
        cache->hosts[number].count++;
        *ret_host = number;
        return TROUPE_OK;
    }
    if (make_host_room(cache) != TROUPE_OK) {
        return TROUPE_NO_MEMORY;
    }
    number = cache->host_free != TP_CACHE_NONE ? cache->host_free : cache->host_fresh;
    if (tp_index_insert(&cache->host_index, host_hash(node, incarnation),
            (void *)((uintptr_t)number + 1)) != TROUPE_OK) {
        return TROUPE_NO_MEMORY;
    }
    if (number == cache->host_free) {
        cache->host_free = cache->hosts[number].node;
    } else {
        cache->host_fresh++;
    }
    cache->hosts[number] = (tp_cache_host){incarnation, node, 1, false};
    *ret_host = number;
    return TROUPE_OK;
}

void tp_cache_host_drop(tp_cache *cache, uint32_t number)
{
    tp_cache_host *host = &cache->hosts[number];
    if (--host->count != 0) {
        return;
    }
    bool was_there = tp_index_remove(&cache->host_index, host_hash(host->node, host->incarnation),
        (void *)((uintptr_t)number + 1));
    TP_ASSERT(was_there);
    host->node = cache->host_free;
    cache->host_free = number;
}

/* ---- all of it ---- */

static size_t bucket_bytes(const tp_cache *cache)
{
    return cache->bucket_count * sizeof *cache->buckets;
}

static size_t link_bytes(const tp_cache *cache)
{
    return cache->options.size * sizeof(tp_cache_link);
}

static void release_tables(tp_cache *cache)
{
    const troupe_allocator *allocator = cache->allocator;
    tp_release_lines(allocator, cache->buckets, bucket_bytes(cache));
    tp_release_lines(allocator, cache->links, link_bytes(cache));
    tp_release_lines(allocator, cache->age_links, link_bytes(cache));
    tp_release(allocator, cache->lots, lots_max(cache->options.size) * sizeof *cache->lots);
    tp_sketch_deinit(&cache->sketch);
    tp_index_deinit(&cache->host_index);
}

static troupe_status open_tables(tp_cache *cache)
{
    const troupe_allocator *allocator = cache->allocator;
    uint32_t size = cache->options.size;
    bool ages = cache->options.ttl != 0;
    cache->bucket_count = size * 2 + 2;
    cache->lots = tp_allocate_zeroed(allocator, lots_max(size) * sizeof *cache->lots);
    cache->buckets = tp_allocate_lines(allocator, bucket_bytes(cache));
    cache->links = tp_allocate_lines(allocator, link_bytes(cache));
    cache->age_links = ages ? tp_allocate_lines(allocator, link_bytes(cache)) : NULL;
    if (cache->lots == NULL || cache->buckets == NULL || cache->links == NULL ||
        (ages && cache->age_links == NULL)) {
        return TROUPE_NO_MEMORY;
    }
    if (cache->options.policy == TP_CACHE_TINYLFU &&
        tp_sketch_init(&cache->sketch, allocator, size) != TROUPE_OK) {
        return TROUPE_NO_MEMORY;
    }
    return tp_index_init(&cache->host_index, allocator, 0);
}

troupe_status tp_cache_init(tp_cache *cache, const troupe_allocator *allocator, tp_pool *pool,
    const tp_cache_options *options)
{
    bool fits = options->size > 0 && options->size <= TP_CACHE_SIZE_MAX &&
                (options->ttl == 0 ? options->refresh == 0 : options->refresh < options->ttl);
    if (!fits) {
        return TROUPE_USAGE;
    }
    tp_cache fresh = {.options = *options,
        .allocator = allocator,
        .pool = pool,
        .lot_size = options->size < TP_CACHE_LOT ? options->size : TP_CACHE_LOT,
        .free = TP_CACHE_NONE,
        .host_free = TP_CACHE_NONE};
    if (open_tables(&fresh) != TROUPE_OK) {
        release_tables(&fresh);
        return TROUPE_NO_MEMORY;
    }
    tp_cache_order_init(&fresh);
    tp_prng_seed(&fresh.chance, options->seed);
    *cache = fresh;
    return TROUPE_OK;
}

void tp_cache_deinit(tp_cache *cache)
{
    for (uint32_t number = 0; number < cache->fresh; number++) {
        tp_cache_record *record = tp_cache_record_at(cache, number);
        if ((record->flags & TP_CACHE_LIVE) != 0 && record->text_size > TP_CACHE_INLINE) {
            tp_pool_give(cache->pool, record->text.rest);
        }
    }
    for (uint32_t i = 0; i < cache->lot_count; i++) {
        tp_release_lines(cache->allocator, cache->lots[i], lot_bytes(cache));
    }
    release_tables(cache);
    tp_release(cache->allocator, cache->hosts, cache->host_capacity * sizeof(*cache->hosts));
    *cache = (tp_cache){0};
}

size_t tp_cache_bytes(const tp_cache *cache)
{
    size_t bytes = bucket_bytes(cache) + link_bytes(cache) +
                   (cache->age_links != NULL ? link_bytes(cache) : 0) +
                   lots_max(cache->options.size) * sizeof(*cache->lots) +
                   cache->lot_count * lot_bytes(cache) +
                   cache->host_capacity * sizeof(*cache->hosts) + cache->rest_bytes;
    if (cache->options.policy == TP_CACHE_TINYLFU) {
        bytes += (size_t)cache->sketch.blocks * TP_SKETCH_WORDS * sizeof(uint64_t);
    }
    return bytes;
}
