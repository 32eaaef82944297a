/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The location cache against a plain model: arrays in order of use, searched from end to end, and
 * the rules of directory/cache.h written down as simply as they can be. Long random runs of all
 * operations for each policy; after each step the answers are the same, and now and then everything
 * is. The sketch is compared with counters that are all halved at once.
 */
#include "directory/cache.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { IDS = 120, NODES = 6, MAX = 40 };

typedef struct line {
    bool live, used, asked, invalid;
    uint32_t pins, node, opaque, number;
    uint64_t expires;
    tp_cache_segment segment;
} line;

typedef struct order {
    uint32_t ids[IDS];
    uint32_t count;
} order;

typedef struct model {
    tp_cache_options options;
    line lines[IDS];
    order lists[TP_CACHE_SEGMENTS], ages; /* the first is the latest */
    uint32_t count, pinned, window;
    bool gone[NODES];
    tp_cache_stats stats;
    tp_sketch sketch;
    tp_prng chance;
    double rate;
    uint32_t level, tried, hold, left;
    bool up, settled;
    uint64_t hits, lookups;
} model;

typedef struct scene {
    failing memory;
    tp_pool pool;
    tp_cache cache;
    model model;
    tp_prng chance;
    uint64_t now;
    tp_cache_id ids[IDS];
    char texts[IDS][80];
} scene;

/* ---- the model ---- */

static void order_drop(order *self, uint32_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->ids[i] != id) {
            self->ids[kept++] = self->ids[i];
        }
    }
    assert_int_equal(kept, self->count - 1);
    self->count = kept;
}

static void order_push(order *self, uint32_t id)
{
    memmove(self->ids + 1, self->ids, self->count * sizeof self->ids[0]);
    self->ids[0] = id;
    self->count++;
}

static uint32_t order_last(const order *self)
{
    return self->count != 0 ? self->ids[self->count - 1] : TP_CACHE_NONE;
}

static void enter(model *self, uint32_t id, tp_cache_segment segment)
{
    self->lines[id].segment = segment;
    order_push(&self->lists[segment], id);
}

static void leave(model *self, uint32_t id)
{
    order_drop(&self->lists[self->lines[id].segment], id);
}

static void unname(model *self, uint32_t node)
{
    for (uint32_t i = 0; i < IDS; i++) {
        if (self->lines[i].live && self->lines[i].node == node) {
            return;
        }
    }
    self->gone[node] = false;
}

static void forget(model *self, uint32_t id, uint64_t *counter)
{
    leave(self, id);
    if (self->options.ttl != 0) {
        order_drop(&self->ages, id);
    }
    self->lines[id].live = false;
    self->count--;
    unname(self, self->lines[id].node);
    *counter += 1;
}

static bool believed(const model *self, uint32_t id)
{
    return !self->lines[id].invalid && !self->gone[self->lines[id].node];
}

static void settle(model *self)
{
    uint32_t most = (self->options.size - self->window) * 4 / 5;
    for (int i = 0; i < 2 && self->lists[TP_CACHE_WINDOW].count > self->window; i++) {
        uint32_t id = order_last(&self->lists[TP_CACHE_WINDOW]);
        leave(self, id);
        enter(self, id, TP_CACHE_PROBATION);
    }
    for (int i = 0; i < 2 && self->lists[TP_CACHE_PROTECTED].count > most; i++) {
        uint32_t id = order_last(&self->lists[TP_CACHE_PROTECTED]);
        leave(self, id);
        enter(self, id, TP_CACHE_PROBATION);
    }
}

/* Tests the shares of the window beside the one held; see directory/cache_order.c. */
static void climb(model *self)
{
    static const uint32_t shares[] = {1, 4, 15, 40, 70, 95};
    double rate = (double)self->hits / (double)self->lookups;
    bool tests = self->tried != self->level;
    self->hits = self->lookups = 0;
    if (self->count < self->options.size) {
        return;
    }
    if (tests && !self->settled) {
        self->settled = true;
        return;
    }
    if (tests && rate > self->rate + (self->up ? 0.004 : 0)) {
        self->level = self->tried;
        self->hold = 1;
        self->left = 0;
    } else if (tests) {
        self->up = !self->up;
        self->tried = self->level;
        self->hold = self->hold * 2 < 64 ? self->hold * 2 : 64;
        self->left = self->hold;
    } else if (rate < self->rate - 0.05) {
        self->hold = 1;
        self->left = 0;
        self->up = true;
    }
    self->rate = rate;
    if (self->left > 0) {
        self->left--;
    } else {
        self->up = self->level == 0 || (self->level < 5 && self->up);
        self->tried = self->up ? self->level + 1 : self->level - 1;
        self->settled = false;
    }
    uint32_t window = self->options.size * shares[self->tried] / 100;
    self->window = window > 0 ? window : 1;
}

static bool model_find(model *self, uint32_t id, uint64_t hash, uint64_t now)
{
    line *entry = &self->lines[id];
    bool is_hit = entry->live;
    if (entry->live && !believed(self, id)) {
        is_hit = false;
        if (entry->pins == 0) {
            forget(self, id, entry->invalid ? &self->stats.invalidated : &self->stats.gone);
        }
    } else if (entry->live && entry->expires <= now && entry->pins == 0) {
        is_hit = false;
        forget(self, id, &self->stats.expired);
    }
    if (self->options.policy == TP_CACHE_TINYLFU) {
        tp_sketch_add(&self->sketch, hash);
        self->hits += is_hit;
        if (++self->lookups >= self->options.size * 2) {
            climb(self);
        }
    }
    if (!is_hit) {
        self->stats.misses++;
        return false;
    }
    self->stats.hits++;
    entry->used = true;
    if (entry->pins == 0) {
        bool rises = entry->segment == TP_CACHE_PROBATION;
        leave(self, id);
        enter(self, id, rises ? TP_CACHE_PROTECTED : entry->segment);
        if (rises) {
            settle(self);
        }
    }
    return true;
}

static uint32_t choose(model *self, const tp_cache_id *ids)
{
    uint32_t newest = order_last(&self->lists[TP_CACHE_WINDOW]);
    uint32_t victim = order_last(&self->lists[TP_CACHE_PROBATION]);
    victim = victim != TP_CACHE_NONE ? victim : order_last(&self->lists[TP_CACHE_PROTECTED]);
    if (newest == TP_CACHE_NONE || victim == TP_CACHE_NONE ||
        self->lists[TP_CACHE_WINDOW].count < self->window) {
        self->stats.evicted++;
        return victim != TP_CACHE_NONE ? victim : newest;
    }
    uint32_t mine = tp_sketch_estimate(&self->sketch, ids[newest].hash);
    uint32_t its = tp_sketch_estimate(&self->sketch, ids[victim].hash);
    if (mine > its || (mine >= 6 && tp_prng_chance(&self->chance, 1, 128))) {
        leave(self, newest);
        enter(self, newest, TP_CACHE_PROBATION);
        self->stats.evicted++;
        return victim;
    }
    self->stats.not_admitted++;
    return newest;
}

static void believe(model *self, uint32_t id, uint32_t node, uint32_t opaque, uint64_t now)
{
    line *entry = &self->lines[id];
    entry->used = entry->asked = entry->invalid = false;
    entry->node = node;
    entry->opaque = opaque;
    entry->expires = UINT64_MAX;
    if (self->options.ttl != 0) {
        entry->expires = now + self->options.ttl;
        order_push(&self->ages, id);
    }
}

static troupe_status model_put(
    model *self, const tp_cache_id *ids, uint32_t id, uint32_t node, uint32_t opaque, uint64_t now)
{
    line *entry = &self->lines[id];
    if (!entry->live && self->count == self->options.size && self->pinned == self->count) {
        self->stats.refused++;
        return TROUPE_BUSY;
    }
    if (self->gone[node]) {
        return TROUPE_UNAVAILABLE;
    }
    if (entry->live) {
        uint32_t before = entry->node;
        if (self->options.ttl != 0) {
            order_drop(&self->ages, id);
        }
        believe(self, id, node, opaque, now);
        unname(self, before);
        self->stats.corrected++;
        return TROUPE_OK;
    }
    if (self->count == self->options.size) {
        uint64_t counted = 0;
        forget(self, choose(self, ids), &counted);
    }
    *entry = (line){.live = true};
    self->count++;
    believe(self, id, node, opaque, now);
    enter(self, id, TP_CACHE_WINDOW);
    if (self->options.policy == TP_CACHE_TINYLFU) {
        settle(self);
    }
    self->stats.put++;
    return TROUPE_OK;
}

static uint32_t model_tick(model *self, uint64_t now, uint32_t *ret_due, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < IDS; id++) {
        line *entry = &self->lines[id];
        if (entry->live && entry->pins == 0 && self->gone[entry->node]) {
            forget(self, id, &self->stats.gone);
        }
    }
    while (self->ages.count != 0 && self->lines[order_last(&self->ages)].expires <= now) {
        uint32_t id = order_last(&self->ages);
        if (self->lines[id].pins == 0) {
            forget(self, id, &self->stats.expired);
            continue;
        }
        self->lines[id].expires = now + self->options.ttl;
        self->lines[id].asked = false;
        order_drop(&self->ages, id);
        order_push(&self->ages, id);
    }
    for (uint32_t i = self->ages.count; self->options.refresh != 0 && i-- > 0 && count < room;) {
        uint32_t id = self->ages.ids[i];
        line *entry = &self->lines[id];
        if (entry->expires - self->options.refresh > now) {
            break;
        }
        if (entry->used && !entry->asked && believed(self, id)) {
            entry->asked = true;
            ret_due[count++] = id;
        }
        entry->asked = true; /* looked at once */
    }
    self->stats.refreshes += count;
    return count;
}

/* ---- the comparison ---- */

static void open_scene(scene *self, tp_cache_options options, uint64_t seed)
{
    memset(self, 0, sizeof *self);
    failing_init(&self->memory);
    tp_prng_seed(&self->chance, seed);
    options.seed = seed;
    assert_int_equal(tp_pool_init(&self->pool, &self->memory.allocator, 0, 1, true), TROUPE_OK);
    assert_int_equal(
        tp_cache_init(&self->cache, &self->memory.allocator, &self->pool, &options), TROUPE_OK);
    model *of = &self->model;
    of->options = options;
    of->window = options.size * 7 / 10 > 0 ? options.size * 7 / 10 : 1;
    of->level = of->tried = 4;
    of->hold = of->left = 1;
    tp_prng_seed(&of->chance, seed);
    if (options.policy == TP_CACHE_TINYLFU) {
        assert_int_equal(
            tp_sketch_init(&of->sketch, &self->memory.allocator, options.size), TROUPE_OK);
    }
    for (uint32_t i = 0; i < IDS; i++) {
        size_t part = i % 4 == 0 ? 1 + i % 20 : 0, key = 1 + i % 50;
        memset(self->texts[i], 'a', sizeof self->texts[i]);
        memcpy(self->texts[i] + part + key - 1, &"0123456789ABCDEFGHIJKLMNO"[i / 50], 1);
        uint64_t state = i / 2; /* hashes in pairs, and some in one bucket */
        self->ids[i] = (tp_cache_id){i % 3 == 0 ? i / 3 : tp_prng_split(&state), i % 7,
            troupe_slice_of(self->texts[i], part), troupe_slice_of(self->texts[i] + part, key)};
    }
}

static void close_scene(scene *self)
{
    if (self->model.options.policy == TP_CACHE_TINYLFU) {
        tp_sketch_deinit(&self->model.sketch);
    }
    tp_cache_deinit(&self->cache);
    tp_pool_deinit(&self->pool);
    assert_int_equal(self->memory.bytes, 0);
    assert_int_equal(self->memory.wrong_sizes, 0);
}

static void compare(const scene *self)
{
    const model *of = &self->model;
    assert_int_equal(self->cache.count, of->count);
    assert_int_equal(self->cache.pinned, of->pinned);
    assert_memory_equal(&self->cache.stats, &of->stats, sizeof of->stats);
    for (uint32_t i = 0; i < TP_CACHE_SEGMENTS && self->cache.use_count == 0; i++) {
        assert_int_equal(self->cache.lists[i].count, of->lists[i].count);
    }
    for (uint32_t id = 0; id < IDS; id++) {
        const line *entry = &of->lines[id];
        tp_cache_place place = {0};
        uint32_t pins = 0;
        uint32_t number = tp_cache_peek(&self->cache, &self->ids[id], &place, &pins);
        assert_int_equal(number != TP_CACHE_NONE, entry->live);
        if (entry->live) {
            assert_int_equal(place.node, entry->node);
            assert_int_equal(place.incarnation, entry->node + 100);
            assert_int_equal(place.opaque, entry->opaque);
            assert_int_equal(pins, entry->pins);
            assert_true(entry->pins == 0 || entry->number == number);
        }
    }
}

static void step_pin(scene *self, uint32_t id)
{
    line *entry = &self->model.lines[id];
    uint32_t pins = 0;
    tp_cache_place place;
    uint32_t number = tp_cache_peek(&self->cache, &self->ids[id], &place, &pins);
    if (entry->pins > 0 && tp_prng_chance(&self->chance, 3, 4)) {
        tp_cache_unpin(&self->cache, number);
        if (--entry->pins == 0) {
            self->model.pinned--;
            enter(&self->model, id, entry->segment);
            if (!believed(&self->model, id)) {
                forget(&self->model, id,
                    entry->invalid ? &self->model.stats.invalidated : &self->model.stats.gone);
            }
        }
    } else if (entry->live) {
        tp_cache_pin(&self->cache, number);
        entry->number = number;
        if (entry->pins++ == 0) {
            self->model.pinned++;
            leave(&self->model, id);
        }
    }
}

static void step_invalidate(scene *self, uint32_t id)
{
    line *entry = &self->model.lines[id];
    bool was = entry->live && believed(&self->model, id);
    assert_int_equal(tp_cache_invalidate(&self->cache, &self->ids[id], NULL), was);
    if (entry->live) {
        entry->invalid = true;
        if (entry->pins == 0) {
            forget(&self->model, id, &self->model.stats.invalidated);
        }
    }
}

static void step_forget_host(scene *self, uint32_t node)
{
    tp_cache_forget_host(&self->cache, node, node + 100);
    for (uint32_t i = 0; i < IDS; i++) {
        if (self->model.lines[i].live && self->model.lines[i].node == node) {
            self->model.gone[node] = true;
        }
    }
}

static void step_tick(scene *self)
{
    uint32_t due[8], wanted[8], room = (uint32_t)tp_prng_below(&self->chance, 9);
    bool more;
    uint32_t count = tp_cache_tick(&self->cache, self->now, UINT32_MAX, due, room, &more);
    assert_int_equal(count, model_tick(&self->model, self->now, wanted, room));
    for (uint32_t i = 0; i < count; i++) {
        char buffer[TP_CACHE_TEXT_MAX];
        tp_cache_id id;
        tp_cache_place place;
        tp_cache_describe(&self->cache, due[i], buffer, &id, &place);
        assert_true(troupe_slice_equal(id.key, self->ids[wanted[i]].key));
        assert_true(troupe_slice_equal(id.partition, self->ids[wanted[i]].partition));
        assert_int_equal(id.type, self->ids[wanted[i]].type);
    }
}

static void step_put(scene *self, uint32_t id)
{
    uint32_t node = (uint32_t)tp_prng_below(&self->chance, NODES);
    uint32_t opaque = (uint32_t)tp_prng_below(&self->chance, 1000);
    tp_cache_place place = {node + 100, node, opaque};
    troupe_status status = tp_cache_put(&self->cache, &self->ids[id], &place, self->now, NULL);
    assert_int_equal(status, model_put(&self->model, self->ids, id, node, opaque, self->now));
}

static void step(scene *self)
{
    uint64_t kind = tp_prng_below(&self->chance, 100);
    uint32_t id = (uint32_t)tp_prng_below(&self->chance, IDS);
    if (tp_prng_chance(&self->chance, 1, 2)) {
        id /= 6; /* some are used more */
    }
    if (kind < 60) {
        tp_cache_place place = {0};
        bool hit = model_find(&self->model, id, self->ids[id].hash, self->now);
        uint32_t number = tp_cache_find(&self->cache, &self->ids[id], self->now, &place);
        assert_int_equal(number != TP_CACHE_NONE, hit);
        assert_int_equal(place.opaque, hit ? self->model.lines[id].opaque : 0);
        if (!hit) {
            step_put(self, id);
        }
    } else if (kind < 72) {
        step_put(self, id);
    } else if (kind < 88) {
        step_pin(self, id);
    } else if (kind < 92) {
        step_invalidate(self, id);
    } else if (kind < 93) {
        step_forget_host(self, id % NODES);
    } else {
        step_tick(self);
    }
    self->now += tp_prng_below(&self->chance, 3);
}

static void run(tp_cache_policy policy, uint64_t ttl, uint64_t refresh)
{
    const uint32_t sizes[] = {1, 2, 3, 10, MAX};
    scene *self = malloc(sizeof *self);
    tp_cache_stats sum = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        open_scene(self,
            (tp_cache_options){
                .size = sizes[seed % 5], .policy = policy, .ttl = ttl, .refresh = refresh},
            seed);
        for (int i = 0; i < 6000; i++) {
            step(self);
            if (i % 16 == 0) {
                compare(self);
            }
        }
        compare(self);
        sum.hits += self->cache.stats.hits;
        sum.gone += self->cache.stats.gone;
        sum.refused += self->cache.stats.refused;
        sum.refreshes += self->cache.stats.refreshes;
        sum.not_admitted += self->cache.stats.not_admitted;
        close_scene(self);
    }
    assert_true(sum.hits > 1000 && sum.gone > 100 && sum.refused > 10);
    assert_true(refresh == 0 || sum.refreshes > 100);
    assert_true(policy == TP_CACHE_LRU || sum.not_admitted > 100);
    free(self);
}

static void lru_does_what_the_plain_model_does(void **state)
{
    (void)state;
    run(TP_CACHE_LRU, 0, 0);
}

static void lru_with_a_time_to_live_does_what_the_plain_model_does(void **state)
{
    (void)state;
    run(TP_CACHE_LRU, 100, 30);
    run(TP_CACHE_LRU, 100, 0);
}

static void w_tinylfu_does_what_the_plain_model_does(void **state)
{
    (void)state;
    run(TP_CACHE_TINYLFU, 0, 0);
    run(TP_CACHE_TINYLFU, 100, 30);
}

/* Between the halvings an estimate is at least what was added, up to 15, and at most all of it. */
static void the_sketch_counts_and_forgets_by_halves(void **state)
{
    (void)state;
    failing memory;
    tp_sketch sketch;
    tp_prng chance;
    uint32_t counts[64] = {0};
    uint64_t hashes[64];
    failing_init(&memory);
    tp_prng_seed(&chance, 3);
    assert_int_equal(tp_sketch_init(&sketch, &memory.allocator, 4096), TROUPE_OK);
    for (int i = 0; i < 64; i++) {
        hashes[i] = tp_prng_next(&chance);
    }
    for (int i = 0; i < 400; i++) {
        uint64_t at = tp_prng_below(&chance, 64) * tp_prng_below(&chance, 64) / 64;
        tp_sketch_add(&sketch, hashes[at]);
        counts[at]++;
    }
    uint32_t exact = 0;
    for (int i = 0; i < 64; i++) {
        uint32_t wanted = counts[i] < 15 ? counts[i] : 15;
        assert_true(tp_sketch_estimate(&sketch, hashes[i]) >= wanted);
        exact += tp_sketch_estimate(&sketch, hashes[i]) == wanted;
    }
    assert_true(exact >= 60);
    uint32_t before[64];
    for (int i = 0; i < 64; i++) {
        before[i] = tp_sketch_estimate(&sketch, hashes[i]);
    }
    sketch.additions = sketch.period - 1;
    tp_sketch_add(&sketch, UINT64_C(0x1234567)); /* all are halved for readers at once, */
    assert_true(sketch.halved < sketch.blocks);  /* and in memory by and by */
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 64; i++) {
            uint32_t now = tp_sketch_estimate(&sketch, hashes[i]);
            assert_true(now >= before[i] / 2 && now <= before[i] / 2 + 1);
        }
        tp_sketch_age(&sketch);
    }
    assert_int_equal(sketch.halved, sketch.blocks);
    tp_sketch_deinit(&sketch);
    assert_int_equal(memory.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_does_what_the_plain_model_does),
        cmocka_unit_test(lru_with_a_time_to_live_does_what_the_plain_model_does),
        cmocka_unit_test(w_tinylfu_does_what_the_plain_model_does),
        cmocka_unit_test(the_sketch_counts_and_forgets_by_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
