/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of the location cache of directory/cache.h, over its table (cache_table.c) and its
 * order (cache_order.c).
 *
 * Invariants and threads: see directory/cache.h.
 */
#include "directory/cache_inside.h"

#define AHEAD 8 /* uses that lie between fetching the neighbours of an entry and moving it */

static inline bool is_same(const tp_cache_record *record, const tp_cache_id *id)
{
    size_t split = id->partition.size, size = id->key.size;
    if (record->hash != id->hash || record->type != id->type || record->partition_size != split ||
        record->text_size != split + size) {
        return false;
    }
    if (TP_LIKELY(split == 0 && size <= TP_CACHE_INLINE)) {
        return tp_bytes_are_equal(record->text.whole, id->key.data, size);
    }
    return tp_cache_text_is(record, id);
}

/* NONE: not there. Inline in tp_cache_find, which is on the way of each message that leaves. */
__attribute__((always_inline)) static inline uint32_t look_up(
    const tp_cache *cache, const tp_cache_id *id, tp_cache_record **ret_record)
{
    uint64_t mixed = tp_index_mix(id->hash);
    for (size_t at = tp_cache_home(cache, mixed);; at = tp_cache_next(cache, at)) {
        uint64_t bucket = cache->buckets[at];
        if (bucket == 0) {
            return TP_CACHE_NONE;
        }
        if ((bucket ^ mixed) >> 32 != 0) {
            continue;
        }
        uint32_t number = (uint32_t)bucket - 1;
        __builtin_prefetch(tp_cache_link_at(cache, number), 1); /* while the line comes */
        *ret_record = tp_cache_record_at(cache, number);
        if (TP_LIKELY(is_same(*ret_record, id))) {
            return number;
        }
    }
}

static uint32_t number_of(const tp_cache *cache, const tp_cache_id *id)
{
    tp_cache_record *record;
    return look_up(cache, id, &record);
}

static inline void learn(tp_cache *cache, uint64_t mixed, bool is_hit)
{
    tp_cache_climb *climb = &cache->climb;
    tp_sketch_add_mixed(&cache->sketch, mixed);
    climb->hits += is_hit;
    if (TP_UNLIKELY(++climb->lookups >= (uint64_t)cache->options.size * TP_CACHE_SAMPLE)) {
        tp_cache_climb_on(cache);
    }
}

/* Notes the look-ups that are not noted yet, one after the other. */
static void catch_up(tp_cache *cache)
{
    bool learns = cache->options.policy == TP_CACHE_TINYLFU;
    for (uint32_t i = 0; i < cache->use_count; i++) {
        const tp_cache_use *use = &cache->uses[i];
        if (learns) {
            learn(cache, use->mixed, use->is_hit);
            if (use->number != TP_CACHE_NONE) {
                tp_cache_touch(cache, tp_cache_record_at(cache, use->number), use->number);
            }
        } else if (use->number != TP_CACHE_NONE) {
            tp_cache_to_front(cache, TP_CACHE_WINDOW, use->number);
        }
    }
    cache->use_count = 0;
}

static void prefetch_neighbours(const tp_cache *cache, uint32_t number)
{
    if (number == TP_CACHE_NONE) {
        return;
    }
    const tp_cache_link *link = tp_cache_link_at(cache, number);
    if (link->previous != TP_CACHE_NONE) {
        __builtin_prefetch(tp_cache_link_at(cache, link->previous), 1);
    }
    if (link->next != TP_CACHE_NONE) {
        __builtin_prefetch(tp_cache_link_at(cache, link->next), 1);
    }
}

static inline void note_use(tp_cache *cache, uint64_t mixed, uint32_t number, bool is_hit)
{
    uint32_t count = cache->use_count;
    cache->uses[count] = (tp_cache_use){mixed, number, is_hit};
    cache->use_count = ++count;
    if (count > AHEAD) {
        prefetch_neighbours(cache, cache->uses[count - AHEAD - 1].number);
    }
    if (count == TP_CACHE_USES) {
        catch_up(cache);
    }
}

/* An entry that is not pinned goes. */
static void let_go(tp_cache *cache, uint32_t number, uint64_t *counter)
{
    catch_up(cache);
    tp_cache_list_drop(cache, number);
    if (cache->options.ttl != 0) {
        tp_cache_age_drop(cache, number);
    }
    tp_cache_remove(cache, number);
    *counter += 1;
}

static uint64_t *why_not_believed(tp_cache *cache, const tp_cache_record *record)
{
    return (record->flags & TP_CACHE_INVALID) != 0 ? &cache->stats.invalidated : &cache->stats.gone;
}

static void place_of(
    const tp_cache *cache, const tp_cache_record *record, tp_cache_place *ret_place)
{
    const tp_cache_host *host = &cache->hosts[record->host];
    *ret_place = (tp_cache_place){host->incarnation, host->node, record->opaque};
}

static uint32_t missed(tp_cache *cache)
{
    cache->stats.misses++;
    return TP_CACHE_NONE;
}

/* May a look-up name it? If not, and nobody pins it, it goes. */
static bool is_good(tp_cache *cache, tp_cache_record *record, uint32_t number, uint64_t now)
{
    if (TP_UNLIKELY(!tp_cache_is_believed(cache, record))) {
        if (record->pins == 0) {
            let_go(cache, number, why_not_believed(cache, record));
        }
        return false;
    }
    if (TP_UNLIKELY(record->expires <= now && record->pins == 0)) {
        let_go(cache, number, &cache->stats.expired);
        return false;
    }
    return true;
}

uint32_t tp_cache_find(
    tp_cache *cache, const tp_cache_id *id, uint64_t now, tp_cache_place *ret_place)
{
    bool learns = cache->options.policy == TP_CACHE_TINYLFU;
    uint64_t mixed = 0;
    if (learns) {
        mixed = tp_sketch_mix(id->hash);
        tp_sketch_prefetch(&cache->sketch, mixed);
    }
    tp_cache_record *record;
    uint32_t number = look_up(cache, id, &record);
    if (TP_UNLIKELY(number == TP_CACHE_NONE || !is_good(cache, record, number, now))) {
        if (learns) {
            note_use(cache, mixed, TP_CACHE_NONE, false);
        }
        return missed(cache);
    }
    record->flags |= TP_CACHE_USED;
    place_of(cache, record, ret_place);
    note_use(cache, mixed, TP_LIKELY(record->pins == 0) ? number : TP_CACHE_NONE, true);
    cache->stats.hits++;
    return number;
}

uint32_t tp_cache_peek(
    const tp_cache *cache, const tp_cache_id *id, tp_cache_place *ret_place, uint32_t *ret_pins)
{
    uint32_t number = number_of(cache, id);
    if (number != TP_CACHE_NONE) {
        const tp_cache_record *record = tp_cache_record_at(cache, number);
        place_of(cache, record, ret_place);
        *ret_pins = record->pins;
    }
    return number;
}

/* Believed from now on. */
static void renew(tp_cache *cache, uint32_t number, const tp_cache_place *place, uint64_t now)
{
    tp_cache_record *record = tp_cache_record_at(cache, number);
    record->opaque = place->opaque;
    record->flags = TP_CACHE_LIVE;
    if (cache->options.ttl != 0) {
        record->expires = now + cache->options.ttl;
        tp_cache_age_push(cache, number);
    }
}

static troupe_status put_over(
    tp_cache *cache, uint32_t number, const tp_cache_place *place, uint64_t now)
{
    uint32_t host;
    troupe_status status = tp_cache_host_hold(cache, place->node, place->incarnation, &host);
    if (status != TROUPE_OK) {
        return status;
    }
    tp_cache_record *record = tp_cache_record_at(cache, number);
    tp_cache_host_drop(cache, record->host);
    record->host = host;
    if (cache->options.ttl != 0) {
        tp_cache_age_drop(cache, number);
    }
    renew(cache, number, place, now);
    cache->stats.corrected++;
    return TROUPE_OK;
}

/* Room for one more: a free number, or one that somebody gives up. */
static troupe_status make_room(tp_cache *cache)
{
    if (cache->count < cache->options.size) {
        return tp_cache_make_room(cache);
    }
    if (cache->pinned == cache->count) {
        cache->stats.refused++;
        return TROUPE_BUSY;
    }
    return TROUPE_OK;
}

static void evict(tp_cache *cache)
{
    uint64_t counted = 0; /* the order has counted why */
    let_go(cache, tp_cache_victim(cache), &counted);
}

static troupe_status put_new(tp_cache *cache, const tp_cache_id *id, const tp_cache_place *place,
    uint64_t now, uint32_t *ret_number)
{
    size_t size = id->partition.size + id->key.size;
    char *rest = NULL;
    uint32_t host;
    catch_up(cache);
    troupe_status status = make_room(cache);
    if (status == TROUPE_OK && size > TP_CACHE_INLINE) {
        rest = tp_pool_take(cache->pool, size - TP_CACHE_BEGIN);
        status = rest != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    }
    if (status == TROUPE_OK) {
        status = tp_cache_host_hold(cache, place->node, place->incarnation, &host);
    }
    if (status != TROUPE_OK) {
        tp_pool_give(cache->pool, rest);
        return status;
    }
    if (cache->count == cache->options.size) {
        evict(cache);
    }
    uint32_t number = tp_cache_add(cache, id, rest, host);
    renew(cache, number, place, now);
    tp_cache_arrange(cache, number);
    *ret_number = number;
    return TROUPE_OK;
}

troupe_status tp_cache_put(tp_cache *cache, const tp_cache_id *id, const tp_cache_place *place,
    uint64_t now, uint32_t *ret_number)
{
    TP_ASSERT(id->partition.size <= TP_NAME_MAX && id->key.size <= TP_KEY_MAX);
    uint32_t number = number_of(cache, id);
    troupe_status status;
    if (number != TP_CACHE_NONE) {
        status = put_over(cache, number, place, now);
    } else {
        status = put_new(cache, id, place, now, &number);
        cache->stats.put += status == TROUPE_OK;
    }
    if (status == TROUPE_OK && ret_number != NULL) {
        *ret_number = number;
    }
    return status;
}

size_t tp_cache_preload(tp_cache *cache, const tp_cache_id *ids, const tp_cache_place *places,
    size_t count, uint64_t now)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t number;
        if (number_of(cache, &ids[i]) != TP_CACHE_NONE) {
            continue;
        }
        if (cache->count == cache->options.size) {
            return i;
        }
        troupe_status status = put_new(cache, &ids[i], &places[i], now, &number);
        if (status == TROUPE_NO_MEMORY) {
            return i;
        }
        cache->stats.preloaded += status == TROUPE_OK;
    }
    return count;
}

void tp_cache_pin(tp_cache *cache, uint32_t number)
{
    tp_cache_record *record = tp_cache_record_at(cache, number);
    TP_ASSERT((record->flags & TP_CACHE_LIVE) != 0 && record->pins < UINT32_MAX);
    if (record->pins++ == 0) {
        catch_up(cache);
        tp_cache_list_drop(cache, number);
        cache->pinned++;
    }
}

void tp_cache_unpin(tp_cache *cache, uint32_t number)
{
    tp_cache_record *record = tp_cache_record_at(cache, number);
    TP_ASSERT((record->flags & TP_CACHE_LIVE) != 0 && record->pins > 0);
    if (--record->pins != 0) {
        return;
    }
    cache->pinned--;
    catch_up(cache);
    tp_cache_list_push(cache, (tp_cache_segment)record->segment, number);
    if (!tp_cache_is_believed(cache, record)) {
        let_go(cache, number, why_not_believed(cache, record));
    }
}

bool tp_cache_invalidate(tp_cache *cache, const tp_cache_id *id, const tp_cache_place *only)
{
    uint32_t number = number_of(cache, id);
    if (number == TP_CACHE_NONE) {
        return false;
    }
    tp_cache_record *record = tp_cache_record_at(cache, number);
    const tp_cache_host *host = &cache->hosts[record->host];
    if (only != NULL && (host->node != only->node || host->incarnation != only->incarnation)) {
        return false;
    }
    bool was_believed = tp_cache_is_believed(cache, record);
    record->flags |= TP_CACHE_INVALID;
    if (record->pins == 0) {
        let_go(cache, number, &cache->stats.invalidated);
    }
    return was_believed;
}

void tp_cache_forget_host(tp_cache *cache, uint32_t node, uint64_t incarnation)
{
    uint32_t host = tp_cache_host_find(cache, node, incarnation);
    if (host != TP_CACHE_NONE && !cache->hosts[host].is_gone) {
        cache->hosts[host].is_gone = true;
        cache->sweep_left = cache->fresh;
    }
}

/* Steps left. */
static uint32_t sweep(tp_cache *cache, uint32_t steps)
{
    for (; steps > 0 && cache->sweep_left > 0; steps--, cache->sweep_left--) {
        uint32_t number = cache->sweep_at < cache->fresh ? cache->sweep_at : 0;
        cache->sweep_at = number + 1;
        const tp_cache_record *record = tp_cache_record_at(cache, number);
        if ((record->flags & TP_CACHE_LIVE) != 0 && record->pins == 0 &&
            cache->hosts[record->host].is_gone) {
            let_go(cache, number, &cache->stats.gone);
        }
    }
    return steps;
}

static bool is_old(const tp_cache *cache, uint32_t number, uint64_t now)
{
    return number != TP_CACHE_NONE && tp_cache_record_at(cache, number)->expires <= now;
}

static uint32_t expire(tp_cache *cache, uint64_t now, uint32_t steps)
{
    for (; steps > 0 && is_old(cache, cache->ages.last, now); steps--) {
        uint32_t number = cache->ages.last;
        tp_cache_record *record = tp_cache_record_at(cache, number);
        if (record->pins == 0) {
            let_go(cache, number, &cache->stats.expired);
        } else { /* it is in use: look again after another such time */
            record->expires = now + cache->options.ttl;
            record->flags &= (uint8_t)~TP_CACHE_ASKED;
            tp_cache_age_drop(cache, number);
            tp_cache_age_push(cache, number);
        }
    }
    return steps;
}

static bool is_due(const tp_cache *cache, uint64_t now)
{
    return cache->next_due != TP_CACHE_NONE &&
           tp_cache_record_at(cache, cache->next_due)->expires - cache->options.refresh <= now;
}

static uint32_t collect_due(
    tp_cache *cache, uint64_t now, uint32_t steps, uint32_t *ret_due, uint32_t room)
{
    const uint8_t both = TP_CACHE_USED | TP_CACHE_ASKED;
    uint32_t count = 0;
    for (; steps > 0 && count < room && is_due(cache, now); steps--) {
        uint32_t number = cache->next_due;
        tp_cache_record *record = tp_cache_record_at(cache, number);
        cache->next_due = tp_cache_age_at(cache, number)->previous;
        if ((record->flags & both) == TP_CACHE_USED && tp_cache_is_believed(cache, record)) {
            record->flags |= TP_CACHE_ASKED;
            ret_due[count++] = number;
        }
    }
    cache->stats.refreshes += count;
    return count;
}

uint32_t tp_cache_tick(
    tp_cache *cache, uint64_t now, uint32_t steps, uint32_t *ret_due, uint32_t room, bool *ret_more)
{
    uint32_t count = 0;
    uint32_t left = sweep(cache, steps);
    if (cache->options.ttl != 0) {
        left = expire(cache, now, left);
        if (cache->options.refresh != 0) {
            count = collect_due(cache, now, left, ret_due, room);
        }
    }
    *ret_more = cache->sweep_left > 0 || is_old(cache, cache->ages.last, now) ||
                (cache->options.refresh != 0 && is_due(cache, now));
    return count;
}

void tp_cache_describe(const tp_cache *cache, uint32_t number, char buffer[TP_CACHE_TEXT_MAX],
    tp_cache_id *ret_id, tp_cache_place *ret_place)
{
    const tp_cache_record *record = tp_cache_record_at(cache, number);
    size_t size = record->text_size;
    size_t split = record->partition_size;
    TP_ASSERT((record->flags & TP_CACHE_LIVE) != 0);
    if (size <= TP_CACHE_INLINE) {
        memcpy(buffer, record->text.whole, size);
    } else {
        memcpy(buffer, record->text.begin, TP_CACHE_BEGIN);
        memcpy(buffer + TP_CACHE_BEGIN, record->text.rest, size - TP_CACHE_BEGIN);
    }
    *ret_id = (tp_cache_id){.hash = record->hash,
        .type = record->type,
        .partition = troupe_slice_of(buffer, split),
        .key = troupe_slice_of(buffer + split, size - split)};
    place_of(cache, record, ret_place);
}
