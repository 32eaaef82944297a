/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The location cache: what users of it are promised, one by one. The random comparison with a plain
 * model is cache_model_test.c.
 */
#include "base/alloc.h"
#include "directory/cache.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct scene {
    failing memory;
    tp_pool pool;
    tp_cache cache;
    char text[64];
} scene;

static void open_scene(scene *self, tp_cache_options options)
{
    failing_init(&self->memory);
    assert_int_equal(tp_pool_init(&self->pool, &self->memory.allocator, 0, 1, true), TROUPE_OK);
    assert_int_equal(
        tp_cache_init(&self->cache, &self->memory.allocator, &self->pool, &options), TROUPE_OK);
}

static void close_scene(scene *self)
{
    tp_cache_deinit(&self->cache);
    tp_pool_deinit(&self->pool);
    assert_int_equal(self->memory.bytes, 0);
    assert_int_equal(self->memory.wrong_sizes, 0);
}

/* Long texts too: every third is longer than a line holds. */
static tp_cache_id id_of(scene *self, uint32_t number)
{
    const char *tail = number % 3 == 0 ? "-with-a-tail-that-does-not-fit" : "";
    int size = snprintf(self->text, sizeof self->text, "k%u%s", number, tail);
    uint64_t state = number;
    return (tp_cache_id){tp_prng_split(&state), 7, troupe_str(number % 2 ? "" : "part"),
        troupe_slice_of(self->text, (size_t)size)};
}

static uint32_t find(scene *self, uint32_t number, uint64_t now)
{
    tp_cache_id id = id_of(self, number);
    tp_cache_place place = {0};
    uint32_t entry = tp_cache_find(&self->cache, &id, now, &place);
    if (entry != TP_CACHE_NONE) {
        assert_int_equal(place.opaque, number);
    }
    return entry;
}

static troupe_status put_on(scene *self, uint32_t number, uint32_t node, uint64_t now)
{
    tp_cache_id id = id_of(self, number);
    tp_cache_place place = {node + 100, node, number};
    return tp_cache_put(&self->cache, &id, &place, now, NULL);
}

static void put(scene *self, uint32_t number, uint64_t now)
{
    assert_int_equal(put_on(self, number, number % 5, now), TROUPE_OK);
}

static void the_entry_used_longest_ago_goes(void **state)
{
    (void)state;
    scene self;
    open_scene(&self, (tp_cache_options){.size = 3});
    for (uint32_t i = 0; i < 3; i++) {
        put(&self, i, 0);
    }
    assert_true(find(&self, 0, 0) != TP_CACHE_NONE);
    put(&self, 3, 0);
    assert_int_equal(find(&self, 1, 0), TP_CACHE_NONE);
    assert_true(find(&self, 2, 0) != TP_CACHE_NONE);
    assert_true(find(&self, 0, 0) != TP_CACHE_NONE);
    assert_int_equal(self.cache.stats.evicted, 1);
    assert_int_equal(self.cache.stats.hits, 3);
    assert_int_equal(self.cache.stats.misses, 1);
    close_scene(&self);
}

static void a_place_is_believed_until_its_time_is_over(void **state)
{
    (void)state;
    scene self;
    open_scene(&self, (tp_cache_options){.size = 3, .ttl = 100});
    put(&self, 1, 50);
    assert_true(find(&self, 1, 149) != TP_CACHE_NONE);
    assert_int_equal(find(&self, 1, 150), TP_CACHE_NONE);
    assert_int_equal(self.cache.stats.expired, 1);
    assert_int_equal(self.cache.count, 0);
    close_scene(&self);
}

static void used_entries_near_their_end_are_handed_out_once_to_be_refreshed(void **state)
{
    (void)state;
    scene self;
    uint32_t due[4];
    bool more;
    char buffer[TP_CACHE_TEXT_MAX];
    tp_cache_id id;
    tp_cache_place place;
    open_scene(&self, (tp_cache_options){.size = 30, .ttl = 100, .refresh = 20});
    for (uint32_t i = 0; i < 10; i++) {
        put(&self, i, 0);
    }
    for (uint32_t i = 0; i < 10; i += 2) {
        find(&self, i, 10);
    }
    assert_int_equal(tp_cache_tick(&self.cache, 79, 100, due, 4, &more), 0);
    assert_false(more);
    assert_int_equal(tp_cache_tick(&self.cache, 80, 100, due, 4, &more), 4);
    assert_true(more);
    tp_cache_describe(&self.cache, due[1], buffer, &id, &place);
    tp_cache_id wanted = id_of(&self, 2);
    assert_true(troupe_slice_equal(id.key, wanted.key));
    assert_true(troupe_slice_equal(id.partition, wanted.partition));
    assert_int_equal(place.opaque, 2);
    assert_int_equal(tp_cache_tick(&self.cache, 80, 100, due, 4, &more), 1);
    assert_false(more);
    put(&self, 2, 85); /* its home answered */
    assert_int_equal(tp_cache_tick(&self.cache, 100, 5, due, 4, &more), 0);
    assert_true(more); /* bounded per call */
    assert_int_equal(self.cache.count, 5);
    assert_int_equal(tp_cache_tick(&self.cache, 100, 100, due, 4, &more), 0);
    assert_int_equal(self.cache.count, 1);
    assert_true(find(&self, 2, 184) != TP_CACHE_NONE);
    close_scene(&self);
}

static void a_pinned_entry_outlives_everything_until_its_last_unpin(void **state)
{
    (void)state;
    scene self;
    bool more;
    tp_cache_place place;
    uint32_t pins = 0;
    open_scene(&self, (tp_cache_options){.size = 2, .ttl = 100});
    put(&self, 1, 0);
    uint32_t entry = find(&self, 1, 0);
    tp_cache_pin(&self.cache, entry);
    tp_cache_pin(&self.cache, entry);
    for (uint32_t i = 2; i < 20; i++) {
        put(&self, i, i);
    }
    tp_cache_tick(&self.cache, 5000, 100, NULL, 0, &more);
    assert_int_equal(find(&self, 1, 5000), entry);
    tp_cache_id id = id_of(&self, 1);
    assert_true(tp_cache_invalidate(&self.cache, &id, NULL));
    assert_int_equal(find(&self, 1, 5000), TP_CACHE_NONE);
    assert_int_equal(tp_cache_peek(&self.cache, &id, &place, &pins), entry);
    assert_int_equal(pins, 2);
    tp_cache_unpin(&self.cache, entry);
    assert_int_equal(tp_cache_peek(&self.cache, &id, &place, &pins), entry);
    tp_cache_unpin(&self.cache, entry);
    assert_int_equal(tp_cache_peek(&self.cache, &id, &place, &pins), TP_CACHE_NONE);
    assert_int_equal(self.cache.stats.invalidated, 1);
    close_scene(&self);
}

static void when_all_are_pinned_another_id_is_busy_and_counted(void **state)
{
    (void)state;
    scene self;
    for (int policy = TP_CACHE_LRU; policy <= TP_CACHE_TINYLFU; policy++) {
        open_scene(&self, (tp_cache_options){.size = 8, .policy = (tp_cache_policy)policy});
        for (uint32_t i = 0; i < 8; i++) {
            put(&self, i, 0);
            tp_cache_pin(&self.cache, find(&self, i, 0));
        }
        assert_int_equal(put_on(&self, 9, 1, 0), TROUPE_BUSY);
        assert_int_equal(put_on(&self, 3, 4, 0), TROUPE_OK); /* a correction still goes */
        assert_int_equal(self.cache.stats.refused, 1);
        tp_cache_unpin(&self.cache, find(&self, 5, 0));
        put(&self, 9, 0);
        assert_int_equal(find(&self, 5, 0), TP_CACHE_NONE);
        close_scene(&self);
    }
}

static void nothing_of_a_forgotten_host_is_believed_and_its_entries_go_in_steps(void **state)
{
    (void)state;
    scene self;
    bool more = true;
    open_scene(&self, (tp_cache_options){.size = 3000});
    for (uint32_t i = 0; i < 3000; i++) {
        put(&self, i, 0);
    }
    tp_cache_forget_host(&self.cache, 3, 102); /* another incarnation */
    tp_cache_forget_host(&self.cache, 2, 102);
    tp_cache_forget_host(&self.cache, 4, 104);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(find(&self, i, 0) == TP_CACHE_NONE, i % 5 == 2 || i % 5 == 4);
    }
    assert_int_equal(put_on(&self, 7000, 2, 0), TROUPE_UNAVAILABLE);
    uint32_t rounds = 0;
    for (uint32_t before = self.cache.count; more; rounds++, before = self.cache.count) {
        tp_cache_tick(&self.cache, 0, 100, NULL, 0, &more);
        assert_true(before - self.cache.count <= 100);
    }
    assert_int_equal(rounds, 30);
    assert_int_equal(self.cache.count, 1800);
    assert_int_equal(self.cache.stats.gone, 1200);
    assert_int_equal(
        put_on(&self, 7000, 2, 0), TROUPE_OK); /* views keep late words out, not this */
    close_scene(&self);
}

static void preload_fills_what_is_free_and_evicts_nothing(void **state)
{
    (void)state;
    scene self;
    scene texts[20];
    tp_cache_id ids[20];
    tp_cache_place places[20];
    open_scene(&self, (tp_cache_options){.size = 10});
    put(&self, 3, 0);
    put(&self, 100, 0);
    for (uint32_t i = 0; i < 20; i++) {
        ids[i] = id_of(&texts[i], i);
        places[i] = (tp_cache_place){1, 1, i};
    }
    assert_int_equal(tp_cache_preload(&self.cache, ids, places, 20, 0), 9);
    assert_int_equal(self.cache.stats.preloaded, 8);
    assert_int_equal(self.cache.stats.evicted, 0);
    assert_true(find(&self, 100, 0) != TP_CACHE_NONE && find(&self, 8, 0) != TP_CACHE_NONE);
    close_scene(&self);
}

static void a_late_word_about_an_older_place_undoes_nothing(void **state)
{
    (void)state;
    scene self;
    open_scene(&self, (tp_cache_options){.size = 10});
    assert_int_equal(put_on(&self, 1, 2, 0), TROUPE_OK);
    tp_cache_id id = id_of(&self, 1);
    assert_false(tp_cache_invalidate(&self.cache, &id, &(tp_cache_place){101, 1, 0}));
    assert_true(find(&self, 1, 0) != TP_CACHE_NONE);
    assert_true(tp_cache_invalidate(&self.cache, &id, &(tp_cache_place){102, 2, 0}));
    assert_int_equal(find(&self, 1, 0), TP_CACHE_NONE);
    assert_false(tp_cache_invalidate(&self.cache, &id, NULL));
    close_scene(&self);
}

static void a_scan_does_not_push_out_what_is_used_often(void **state)
{
    (void)state;
    scene self;
    open_scene(&self, (tp_cache_options){.size = 100, .policy = TP_CACHE_TINYLFU});
    for (int round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            if (find(&self, i, 0) == TP_CACHE_NONE) {
                put(&self, i, 0);
            }
        }
    }
    for (uint32_t i = 1000; i < 1400; i++) { /* each once */
        if (find(&self, i, 0) == TP_CACHE_NONE) {
            put(&self, i, 0);
        }
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(find(&self, i, 0) != TP_CACHE_NONE);
    }
    close_scene(&self);
}

static void options_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    failing memory;
    tp_cache cache;
    failing_init(&memory);
    const tp_cache_options wrong[] = {{.size = 0}, {.size = TP_CACHE_SIZE_MAX + 1},
        {.size = 1, .refresh = 1}, {.size = 1, .ttl = 5, .refresh = 5}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(tp_cache_init(&cache, &memory.allocator, NULL, &wrong[i]), TROUPE_USAGE);
    }
    assert_int_equal(memory.calls, 0);
}

static void without_memory_a_put_changes_nothing(void **state)
{
    (void)state;
    unsigned all = 0;
    for (uint64_t call = 1; call < 60; call++) {
        scene self;
        open_scene(&self, (tp_cache_options){.size = 40, .policy = TP_CACHE_TINYLFU, .ttl = 9});
        self.memory.fail_from = self.memory.calls + call;
        self.memory.fail_count = 1;
        unsigned failures = 0;
        for (uint32_t i = 0; i < 60; i++) {
            uint32_t before = self.cache.count;
            uint64_t evicted = self.cache.stats.evicted + self.cache.stats.not_admitted;
            troupe_status status = put_on(&self, i, i, 0);
            if (status != TROUPE_OK) {
                failures++;
                assert_int_equal(status, TROUPE_NO_MEMORY);
                assert_int_equal(self.cache.count, before);
                assert_int_equal(self.cache.stats.evicted + self.cache.stats.not_admitted, evicted);
                assert_int_equal(find(&self, i, 0), TP_CACHE_NONE);
                assert_int_equal(put_on(&self, i, i, 0), TROUPE_OK);
            }
        }
        assert_true(failures <= 1);
        all += failures;
        close_scene(&self);
    }
    assert_true(all >= 20); /* the index of hosts can do without growing */
    for (uint64_t call = 1; call <= 4; call++) {
        failing memory;
        tp_cache cache;
        failing_init(&memory);
        memory.fail_from = call;
        memory.fail_count = 1;
        assert_int_equal(tp_cache_init(&cache, &memory.allocator, NULL,
                             &(tp_cache_options){.size = 40, .policy = TP_CACHE_TINYLFU}),
            TROUPE_NO_MEMORY);
        assert_int_equal(memory.bytes, 0);
    }
}

/* The bar: at most 96 bytes and the key, all tables included, full, whatever the policy. */
static void an_entry_costs_at_most_96_bytes_and_its_key(void **state)
{
    (void)state;
    for (int policy = TP_CACHE_LRU; policy <= TP_CACHE_TINYLFU; policy++) {
        for (uint32_t key_size = 4; key_size <= 256; key_size *= 2) {
            scene self;
            char key[256] = {0};
            uint32_t size = key_size == 16 ? 100000 : 20000;
            failing_init(&self.memory);
            assert_int_equal(
                tp_pool_init(&self.pool, &self.memory.allocator, 0, 1, false), TROUPE_OK);
            size_t before = self.memory.bytes - tp_pool_reserved(&self.pool);
            tp_cache_options options = {.size = size,
                .policy = (tp_cache_policy)policy,
                .ttl = policy == TP_CACHE_LRU ? 1000 : 0};
            assert_int_equal(
                tp_cache_init(&self.cache, &self.memory.allocator, &self.pool, &options),
                TROUPE_OK);
            for (uint32_t i = 0; i < size; i++) {
                memcpy(key, &i, sizeof i);
                uint64_t seed = i;
                tp_cache_id id = {
                    tp_prng_split(&seed), 1, {NULL, 0}, troupe_slice_of(key, key_size)};
                assert_int_equal(
                    tp_cache_put(&self.cache, &id, &(tp_cache_place){i % 100, i % 100, 0}, 0, NULL),
                    TROUPE_OK);
            }
            assert_int_equal(self.cache.count, size);
            size_t used = self.memory.bytes - before - tp_pool_reserved(&self.pool) +
                          tp_pool_bytes(&self.pool) * 65 / 64; /* with the headers of pages */
            double each = (double)used / size;
            print_message("policy %d, key of %u: %.1f bytes\n", policy, key_size, each);
            assert_true(each <= 96.0 + key_size);
            assert_true((double)tp_cache_bytes(&self.cache) <= (double)used);
            close_scene(&self);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_entry_used_longest_ago_goes),
        cmocka_unit_test(a_place_is_believed_until_its_time_is_over),
        cmocka_unit_test(used_entries_near_their_end_are_handed_out_once_to_be_refreshed),
        cmocka_unit_test(a_pinned_entry_outlives_everything_until_its_last_unpin),
        cmocka_unit_test(when_all_are_pinned_another_id_is_busy_and_counted),
        cmocka_unit_test(nothing_of_a_forgotten_host_is_believed_and_its_entries_go_in_steps),
        cmocka_unit_test(preload_fills_what_is_free_and_evicts_nothing),
        cmocka_unit_test(a_late_word_about_an_older_place_undoes_nothing),
        cmocka_unit_test(a_scan_does_not_push_out_what_is_used_often),
        cmocka_unit_test(options_that_do_not_fit_together_are_refused),
        cmocka_unit_test(without_memory_a_put_changes_nothing),
        cmocka_unit_test(an_entry_costs_at_most_96_bytes_and_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
