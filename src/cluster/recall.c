/* SPDX-License-Identifier: Apache-2.0 */
/* The location cache of a shard. See recall.h. */
#include "cluster/recall.h"

#include <string.h>

#define TICK         TROUPE_MILLISECONDS(20)
#define TICK_AT_REST TROUPE_SECONDS(1)
#define STEPS        256
#define PATIENCE     TROUPE_SECONDS(5)

static tp_cache_id id_of(const tp_directory_id *id)
{
    return (tp_cache_id){
        .hash = id->hash, .type = id->type, .partition = id->partition, .key = id->key};
}

troupe_status tp_recall_init(tp_recall *self, tp_shard *shard)
{
    const tp_shared *shared = shard->shared;
    const troupe_node_options *set = &shared->options;
    uint32_t size = set->cache_size / shared->shard_count;
    tp_cache_options options = {.size = size != 0 ? size : 1,
        .policy = strcmp(set->cache_policy, "tinylfu") == 0 ? TP_CACHE_TINYLFU : TP_CACHE_LRU,
        .ttl = set->cache_ttl == TROUPE_NEVER ? 0 : set->cache_ttl,
        .refresh = set->cache_ttl == TROUPE_NEVER ? 0 : set->cache_refresh};
    shared->env->entropy(shared->env, &options.seed, sizeof options.seed);
    self->shard = shard;
    for (uint32_t i = 0; i < TP_RECALL_REFRESHES; i++)
        self->refreshes[i].number = TP_CACHE_NONE;
    TROUPE_TRY(tp_cache_init(&self->cache, shared->allocator, &shard->pool, &options));
    self->is_open = true;
    return TROUPE_OK;
}

void tp_recall_deinit(tp_recall *self)
{
    if (self->is_open)
        tp_cache_deinit(&self->cache);
    self->is_open = false;
}

uint64_t tp_recall_hint(tp_recall *self, const tp_chart *chart, const tp_directory_id *id)
{
    tp_shard *shard = self->shard;
    if (chart == NULL)
        return 0;
    tp_cache_id asked = id_of(id);
    tp_cache_place place;
    bool is_sampled = tp_cache_is_sampled(&self->cache) && !shard->shared->options.no_metrics;
    uint64_t begin = is_sampled ? shard->env->now(shard->env) : 0;
    uint32_t number = tp_cache_find(&self->cache, &asked, shard->now, &place);
    if (is_sampled)
        tp_histogram_record(&shard->cache_time, shard->env->now(shard->env) - begin);
    tp_count(number != TP_CACHE_NONE ? &shard->counters.cache_hits : &shard->counters.cache_misses);
    if (number == TP_CACHE_NONE)
        return 0;
    /* Who leaves is sent to by the homes only: they know when its actors have gone. */
    const tp_view_member *member = tp_chart_member(chart, place.incarnation);
    return member != NULL && member->status == TP_VIEW_ACTIVE ? place.incarnation : 0;
}

/* What the cache did by itself. */
static void count(tp_recall *self)
{
    tp_counters *counters = &self->shard->counters;
    const tp_cache_stats *now = &self->cache.stats, *then = &self->counted;
    tp_cell_add(&counters->cache_evictions,
        now->evicted + now->not_admitted - then->evicted - then->not_admitted);
    tp_cell_add(&counters->cache_preloaded, now->preloaded - then->preloaded);
    tp_cell_add(&counters->cache_expired, now->expired - then->expired);
    tp_cell_add(&counters->cache_corrections, now->corrected - then->corrected);
    self->counted = *now;
}

void tp_recall_learn(tp_recall *self, const tp_directory_id *id, uint64_t node)
{
    tp_cache_id learned = id_of(id);
    const tp_cache_place place = {.incarnation = node};
    if (tp_cache_put(&self->cache, &learned, &place, self->shard->now, NULL) == TROUPE_NO_MEMORY)
        tp_count(&self->shard->counters.no_memory); /* a hint: its letters go by way of the home */
    count(self);
}

bool tp_recall_preload(tp_recall *self, const tp_directory_id *id, uint64_t node, bool *ret_is_full)
{
    tp_cache_id learned = id_of(id);
    const tp_cache_place place = {.incarnation = node};
    uint64_t before = self->cache.stats.preloaded;
    *ret_is_full = tp_cache_preload(&self->cache, &learned, &place, 1, self->shard->now) == 0;
    bool is_new = self->cache.stats.preloaded != before;
    count(self);
    return is_new;
}

void tp_recall_forget(tp_recall *self, uint64_t node)
{
    tp_cache_forget_host(&self->cache, 0, node);
}

/* ---- refresh --------------------------------------------------------------------------------- */

static void end_refresh(tp_recall *self, uint32_t slot)
{
    tp_cache_unpin(&self->cache, self->refreshes[slot].number);
    self->refreshes[slot].number = TP_CACHE_NONE;
    self->refreshes[slot].turn++;
}

static uint32_t free_refreshes(tp_recall *self)
{
    uint32_t count_free = 0;
    for (uint32_t i = 0; i < TP_RECALL_REFRESHES; i++) {
        if (self->refreshes[i].number != TP_CACHE_NONE &&
            self->shard->now >= self->refreshes[i].asked + PATIENCE)
            end_refresh(self, i);
        count_free += self->refreshes[i].number == TP_CACHE_NONE;
    }
    return count_free;
}

static void ask(tp_recall *self, tp_directory *directory, uint32_t number)
{
    uint32_t slot = 0;
    while (self->refreshes[slot].number != TP_CACHE_NONE)
        slot++;
    char text[TP_CACHE_TEXT_MAX];
    tp_cache_id id;
    tp_cache_place place;
    tp_cache_describe(&self->cache, number, text, &id, &place);
    const tp_directory_id asked = {
        .hash = id.hash, .type = id.type, .partition = id.partition, .key = id.key};
    uint64_t token = TP_RECALL_TOKEN | (uint64_t)self->refreshes[slot].turn << 8 | slot;
    if (tp_directory_lookup(directory, &asked, token) != TROUPE_OK)
        return; /* it grows old, and is learned again */
    tp_cache_pin(&self->cache, number);
    self->refreshes[slot].number = number;
    self->refreshes[slot].asked = self->shard->now;
    tp_count(&self->shard->counters.cache_refreshes);
}

/* What grows old is looked at some times before it does. */
static uint64_t pause_of(const tp_cache *cache)
{
    if (cache->options.ttl == 0 || cache->count == 0)
        return TICK_AT_REST;
    uint64_t pause =
        (cache->options.refresh != 0 ? cache->options.refresh : cache->options.ttl) / 4;
    return pause < TICK ? TICK : (pause > TICK_AT_REST ? TICK_AT_REST : pause);
}

void tp_recall_tick(tp_recall *self, tp_directory *directory)
{
    tp_shard *shard = self->shard;
    if (shard->now < self->tick_at)
        return;
    uint32_t due[TP_RECALL_REFRESHES];
    bool more = false;
    uint32_t room = free_refreshes(self);
    uint32_t found = tp_cache_tick(&self->cache, shard->now, STEPS, due, room, &more);
    for (uint32_t i = 0; i < found; i++)
        ask(self, directory, due[i]);
    count(self);
    self->tick_at = shard->now + (more ? TICK : pause_of(&self->cache));
}

void tp_recall_found(tp_recall *self, uint64_t token, uint64_t node, bool is_known)
{
    uint32_t slot = (uint32_t)token & 0xFF;
    if (slot >= TP_RECALL_REFRESHES || self->refreshes[slot].number == TP_CACHE_NONE ||
        self->refreshes[slot].turn != (uint32_t)(token >> 8))
        return; /* it was given up */
    char text[TP_CACHE_TEXT_MAX];
    tp_cache_id id;
    tp_cache_place place;
    tp_cache_describe(&self->cache, self->refreshes[slot].number, text, &id, &place);
    if (is_known && node == 0) {
        (void)tp_cache_invalidate(&self->cache, &id, NULL);
    } else if (is_known) {
        place.incarnation = node;
        if (tp_cache_put(&self->cache, &id, &place, self->shard->now, NULL) != TROUPE_OK)
            tp_count(&self->shard->counters.no_memory);
    }
    end_refresh(self, slot);
    count(self);
}
