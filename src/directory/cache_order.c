/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the entries of a location cache, and which of them goes when room is needed: LRU and
 * W-TinyLFU as directory/cache.h says. Lists by number, links beside the lines. Called by cache.c.
 *
 * The window's aim is one of six shares of the size. A sample of look-ups at the next share, after
 * one in which the entries move there, decides between the two; each test that fails doubles the
 * time to the next, and a fall of the hit rate ends the waiting. (Caffeine's small steps lost 12
 * points on a load of mere recency until they arrived, and 1 point on Zipf by wandering.)
 *
 * Invariants and threads: see directory/cache.h and directory/cache_inside.h.
 */
#include "directory/cache_inside.h"

#define LEVELS       6
#define FIRST_LEVEL  4     /* too large a window costs little, too small a one everything */
#define JUMP         0.05  /* a fall of the hit rate that says: another load */
#define BETTER       0.004 /* what a larger window must gain; a smaller one just must not lose */
#define HOLD_MAX     64    /* samples between two tests */
#define SETTLE_MAX   2     /* entries that one arrival moves from one segment to the next */
#define WARM         6     /* seen so often a newcomer may be lucky */
#define LUCKY_ONE_OF 128

/* Of the size, in hundredths. */
static const uint8_t shares[LEVELS] = {1, 4, 15, 40, 70, 95};

static uint32_t window_at(const tp_cache *cache, uint32_t level)
{
    uint64_t size = (uint64_t)cache->options.size * shares[level] / 100;
    return size > 0 ? (uint32_t)size : 1;
}

void tp_cache_order_init(tp_cache *cache)
{
    for (size_t i = 0; i < TP_CACHE_SEGMENTS; i++) {
        cache->lists[i] = (tp_cache_list){TP_CACHE_NONE, TP_CACHE_NONE, 0};
    }
    cache->ages = (tp_cache_list){TP_CACHE_NONE, TP_CACHE_NONE, 0};
    cache->next_due = TP_CACHE_NONE;
    cache->climb =
        (tp_cache_climb){.level = FIRST_LEVEL, .tried = FIRST_LEVEL, .hold = 1, .left = 1};
    cache->window_size = window_at(cache, FIRST_LEVEL);
}

void tp_cache_list_push(tp_cache *cache, tp_cache_segment segment, uint32_t number)
{
    tp_cache_list *list = &cache->lists[segment];
    tp_cache_link *link = tp_cache_link_at(cache, number);
    link->previous = TP_CACHE_NONE;
    link->next = list->first;
    if (list->first != TP_CACHE_NONE) {
        tp_cache_link_at(cache, list->first)->previous = number;
    } else {
        list->last = number;
    }
    list->first = number;
    list->count++;
    tp_cache_record_at(cache, number)->segment = (uint8_t)segment;
}

static void take_out(tp_cache *cache, tp_cache_segment segment, uint32_t number)
{
    tp_cache_list *list = &cache->lists[segment];
    tp_cache_link *link = tp_cache_link_at(cache, number);
    if (link->previous != TP_CACHE_NONE) {
        tp_cache_link_at(cache, link->previous)->next = link->next;
    } else {
        list->first = link->next;
    }
    if (link->next != TP_CACHE_NONE) {
        tp_cache_link_at(cache, link->next)->previous = link->previous;
    } else {
        list->last = link->previous;
    }
    list->count--;
}

void tp_cache_list_drop(tp_cache *cache, uint32_t number)
{
    take_out(cache, (tp_cache_segment)tp_cache_record_at(cache, number)->segment, number);
}

static void move(tp_cache *cache, tp_cache_segment from, uint32_t number, tp_cache_segment to)
{
    take_out(cache, from, number);
    tp_cache_list_push(cache, to, number);
}

void tp_cache_age_push(tp_cache *cache, uint32_t number)
{
    tp_cache_list *ages = &cache->ages;
    tp_cache_link *link = tp_cache_age_at(cache, number);
    link->previous = TP_CACHE_NONE;
    link->next = ages->first;
    if (ages->first != TP_CACHE_NONE) {
        tp_cache_age_at(cache, ages->first)->previous = number;
    } else {
        ages->last = number;
    }
    ages->first = number;
    ages->count++;
    if (cache->next_due == TP_CACHE_NONE) {
        cache->next_due = number;
    }
}

void tp_cache_age_drop(tp_cache *cache, uint32_t number)
{
    tp_cache_list *ages = &cache->ages;
    tp_cache_link *link = tp_cache_age_at(cache, number);
    if (cache->next_due == number) {
        cache->next_due = link->previous;
    }
    if (link->previous != TP_CACHE_NONE) {
        tp_cache_age_at(cache, link->previous)->next = link->next;
    } else {
        ages->first = link->next;
    }
    if (link->next != TP_CACHE_NONE) {
        tp_cache_age_at(cache, link->next)->previous = link->previous;
    } else {
        ages->last = link->previous;
    }
    ages->count--;
}

static uint32_t protected_size(const tp_cache *cache)
{
    return (uint32_t)((uint64_t)(cache->options.size - cache->window_size) * 4 / 5);
}

/* What is too many in a segment goes on, a few at a time. */
static void settle(tp_cache *cache)
{
    tp_cache_list *lists = cache->lists;
    for (int i = 0; i < SETTLE_MAX && lists[TP_CACHE_WINDOW].count > cache->window_size; i++) {
        move(cache, TP_CACHE_WINDOW, lists[TP_CACHE_WINDOW].last, TP_CACHE_PROBATION);
    }
    uint32_t most = protected_size(cache);
    for (int i = 0; i < SETTLE_MAX && lists[TP_CACHE_PROTECTED].count > most; i++) {
        move(cache, TP_CACHE_PROTECTED, lists[TP_CACHE_PROTECTED].last, TP_CACHE_PROBATION);
    }
}

void tp_cache_touch(tp_cache *cache, tp_cache_record *record, uint32_t number)
{
    tp_cache_segment segment = (tp_cache_segment)record->segment;
    if (segment == TP_CACHE_PROBATION) {
        move(cache, TP_CACHE_PROBATION, number, TP_CACHE_PROTECTED);
        settle(cache);
    } else {
        tp_cache_to_front(cache, segment, number);
    }
}

void tp_cache_arrange(tp_cache *cache, uint32_t number)
{
    tp_cache_list_push(cache, TP_CACHE_WINDOW, number);
    if (cache->options.policy == TP_CACHE_TINYLFU) {
        settle(cache);
    }
}

static bool admits(tp_cache *cache, uint32_t newcomer, uint32_t victim)
{
    uint32_t mine = tp_sketch_estimate(&cache->sketch, tp_cache_record_at(cache, newcomer)->hash);
    uint32_t its = tp_sketch_estimate(&cache->sketch, tp_cache_record_at(cache, victim)->hash);
    return mine > its || (mine >= WARM && tp_prng_chance(&cache->chance, 1, LUCKY_ONE_OF));
}

uint32_t tp_cache_victim(tp_cache *cache)
{
    tp_cache_list *lists = cache->lists;
    uint32_t newest = lists[TP_CACHE_WINDOW].last;
    uint32_t victim = lists[TP_CACHE_PROBATION].last;
    if (victim == TP_CACHE_NONE) {
        victim = lists[TP_CACHE_PROTECTED].last;
    }
    if (newest == TP_CACHE_NONE || victim == TP_CACHE_NONE) { /* LRU too: it has no main part */
        victim = victim != TP_CACHE_NONE ? victim : newest;
        cache->stats.evicted += victim != TP_CACHE_NONE;
        return victim;
    }
    if (lists[TP_CACHE_WINDOW].count < cache->window_size) {
        cache->stats.evicted++;
        return victim;
    }
    if (admits(cache, newest, victim)) {
        move(cache, TP_CACHE_WINDOW, newest, TP_CACHE_PROBATION);
        cache->stats.evicted++;
        return victim;
    }
    cache->stats.not_admitted++;
    return newest;
}

/* The level beside the one that is held; back from an end. */
static uint32_t next_level(tp_cache_climb *climb)
{
    if (climb->up ? climb->level == LEVELS - 1 : climb->level == 0) {
        climb->up = !climb->up;
    }
    return climb->up ? climb->level + 1 : climb->level - 1;
}

void tp_cache_climb_on(tp_cache *cache)
{
    tp_cache_climb *climb = &cache->climb;
    double rate = (double)climb->hits / (double)climb->lookups;
    climb->hits = 0;
    climb->lookups = 0;
    if (cache->count < cache->options.size) {
        return; /* it says nothing before it is full */
    }
    if (climb->tried != climb->level && !climb->settled) {
        climb->settled = true;
        return;
    }
    if (climb->tried != climb->level) {
        bool is_better = rate > climb->rate + (climb->up ? BETTER : 0);
        if (is_better) {
            climb->level = climb->tried;
            climb->hold = 1;
            climb->left = 0;
        } else {
            climb->up = !climb->up;
            climb->tried = climb->level;
            climb->hold = climb->hold * 2 < HOLD_MAX ? climb->hold * 2 : HOLD_MAX;
            climb->left = climb->hold;
        }
    } else if (rate < climb->rate - JUMP) {
        climb->hold = 1;
        climb->left = 0;
        climb->up = true;
    }
    if (climb->tried == climb->level) {
        climb->rate = rate;
        if (climb->left > 0) {
            climb->left--;
        } else {
            climb->tried = next_level(climb);
            climb->settled = false;
        }
    }
    cache->window_size = window_at(cache, climb->tried);
}
