/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash index against a plain model: an array of all keys with a flag each.
 */
#include "base/index.h"

#include "base/alloc.h"
#include "base/prng.h"
#include "failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { KEYS = 3000 };

typedef struct item {
    uint64_t key;
    uint64_t hash;
    bool is_in;
    bool was_in_all_along;
    bool was_seen;
} item;

static bool same(const void *member, const void *key)
{
    return ((const item *)member)->key == *(const uint64_t *)key;
}

/* Hashes from good to awful: all items must be found whatever the hash is worth. */
static uint64_t hash_of(uint64_t key, uint64_t kind)
{
    uint64_t state = key;
    switch (kind) {
    case 0: return tp_prng_split(&state);
    case 1: return key;
    case 2: return key << 52;
    case 3: return key % 7;
    default: return tp_prng_split(&state) | UINT64_C(0xFFFFF) << 44;
    }
}

static item *make_items(uint64_t kind)
{
    item *items = calloc(KEYS, sizeof(*items));
    assert_non_null(items);
    for (uint64_t i = 0; i < KEYS; i++) {
        items[i].key = i;
        items[i].hash = hash_of(i, kind);
    }
    return items;
}

static void check_all(const tp_index *index, item *items)
{
    size_t count = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        void *found = tp_index_find(index, items[i].hash, same, &items[i].key);
        assert_ptr_equal(found, items[i].is_in ? &items[i] : NULL);
        if (items[i].is_in) {
            item *peeked = tp_index_peek(index, items[i].hash);
            assert_non_null(peeked);
            assert_true(peeked->hash == items[i].hash && peeked->is_in);
            count++;
        }
    }
    assert_int_equal(tp_index_count(index), count);
}

static void toggle(tp_index *index, item *it)
{
    if (it->is_in) {
        assert_true(tp_index_remove(index, it->hash, it));
        assert_false(tp_index_remove(index, it->hash, it));
    } else {
        assert_int_equal(tp_index_insert(index, it->hash, it), TROUPE_OK);
    }
    it->is_in = !it->is_in;
    it->was_in_all_along = false;
}

static void finds_exactly_what_was_inserted_and_not_removed(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        failing memory;
        failing_init(&memory);
        tp_prng prng;
        tp_prng_seed(&prng, seed);
        item *items = make_items(seed % 5);
        tp_index index;
        size_t initial = (size_t)tp_prng_below(&prng, 100);
        assert_int_equal(tp_index_init(&index, &memory.allocator, initial), TROUPE_OK);
        for (int round = 0; round < 12; round++) {
            uint64_t span = tp_prng_between(&prng, 1, seed % 5 == 3 ? 300 : KEYS);
            for (uint64_t i = 0; i < span; i++) {
                toggle(&index, &items[tp_prng_below(&prng, span)]);
            }
            check_all(&index, items);
        }
        tp_index_deinit(&index);
        tp_index_deinit(&index);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
        free(items);
    }
}

static void scan_sees_every_item_that_stays_while_the_index_changes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        tp_prng prng;
        tp_prng_seed(&prng, seed);
        item *items = make_items(seed % 5);
        uint64_t span = seed % 5 == 3 ? 200 : tp_prng_between(&prng, 10, KEYS);
        tp_index index;
        assert_int_equal(tp_index_init(&index, tp_allocator_system(), 0), TROUPE_OK);
        for (uint64_t i = 0; i < span / 3; i++) {
            toggle(&index, &items[tp_prng_below(&prng, span)]);
        }
        for (uint64_t i = 0; i < KEYS; i++) {
            items[i].was_in_all_along = items[i].is_in;
        }
        uint64_t churn = tp_prng_below(&prng, 4);
        uint64_t cursor = 0;
        void *found;
        while (tp_index_each(&index, &cursor, &found)) {
            item *it = found;
            assert_true(it->is_in);
            it->was_seen = true;
            for (uint64_t i = 0; i < churn; i++) {
                uint64_t n = tp_prng_below(&prng, span);
                if (!items[n].is_in || tp_prng_chance(&prng, 1, 8)) {
                    toggle(&index, &items[n]);
                }
            }
        }
        assert_int_equal(cursor, 0);
        for (uint64_t i = 0; i < KEYS; i++) {
            assert_true(items[i].was_seen || !items[i].was_in_all_along);
        }
        tp_index_deinit(&index);
        free(items);
    }
}

static void scan_of_a_resting_index_sees_every_item_once(void **state)
{
    (void)state;
    item *items = make_items(0);
    tp_index index;
    assert_int_equal(tp_index_init(&index, tp_allocator_system(), 0), TROUPE_OK);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t cursor = 0;
        void *found = NULL;
        size_t seen = 0;
        bool check = i % 97 == 0 || (i > 890 && i < 1000); /* before, while and after it grows */
        while (check && tp_index_each(&index, &cursor, &found)) {
            seen++;
        }
        assert_true(!check || seen == i);
        toggle(&index, &items[i]);
    }
    tp_index_deinit(&index);
    free(items);
}

static void insert_goes_on_while_there_is_room_when_memory_is_refused(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    item *items = make_items(0);
    tp_index index;
    assert_int_equal(tp_index_init(&index, &memory.allocator, 0), TROUPE_OK);
    memory.fail_from = 2;
    memory.fail_count = UINT64_MAX;
    uint64_t n = 0;
    while (tp_index_insert(&index, items[n].hash, &items[n]) == TROUPE_OK) {
        items[n++].is_in = true;
    }
    assert_int_equal(n, 15); /* of 16 buckets one stays empty */
    check_all(&index, items);
    assert_int_equal(tp_index_insert(&index, items[n].hash, &items[n]), TROUPE_NO_MEMORY);
    memory.fail_from = 0;
    for (; n < KEYS; n++) {
        toggle(&index, &items[n]);
    }
    check_all(&index, items);
    tp_index_deinit(&index);
    assert_int_equal(memory.bytes, 0);
    free(items);
}

static void survives_the_failure_of_any_allocation(void **state)
{
    (void)state;
    for (uint64_t i = 1; i < 12; i++) {
        failing memory;
        failing_init(&memory);
        memory.fail_from = i;
        memory.fail_count = 1;
        item *items = make_items(0);
        tp_index index;
        troupe_status status = tp_index_init(&index, &memory.allocator, 0);
        assert_int_equal(status, i == 1 ? TROUPE_NO_MEMORY : TROUPE_OK);
        for (uint64_t n = 0; status == TROUPE_OK && n < KEYS; n++) {
            toggle(&index, &items[n]);
        }
        if (status == TROUPE_OK) {
            check_all(&index, items);
            tp_index_deinit(&index);
        }
        assert_int_equal(memory.bytes, 0);
        free(items);
    }
}

static void nothing_is_lost_while_a_large_table_is_moved_and_cut_off(void **state)
{
    (void)state;
    enum { MANY = 200000, SCANNED = 40000 };
    static item items[MANY];
    memset(items, 0, sizeof(items));
    tp_prng prng;
    tp_prng_seed(&prng, 9);
    tp_index index;
    assert_int_equal(tp_index_init(&index, tp_allocator_system(), 0), TROUPE_OK);
    size_t cuts = 0;
    uint64_t cursor = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        items[i].key = i;
        items[i].hash = hash_of(i, 0);
        toggle(&index, &items[i]);
        cuts += index.old.entries != NULL && index.old.limit < (size_t)1 << index.old.bits;
        uint64_t n = tp_prng_below(&prng, i + 1);
        void *found = tp_index_find(&index, items[n].hash, same, &n);
        assert_ptr_equal(found, items[n].is_in ? &items[n] : NULL);
        if (n > SCANNED && n % 8 == 0) {
            toggle(&index, &items[n]);
        }
        if (i > SCANNED && (cursor != 0 || i == SCANNED + 1) &&
            tp_index_each(&index, &cursor, &found)) {
            ((item *)found)->was_seen = true;
        }
    }
    assert_true(cuts > 0);
    void *found;
    while (cursor != 0 && tp_index_each(&index, &cursor, &found)) {
        ((item *)found)->was_seen = true;
    }
    size_t count = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        found = tp_index_find(&index, items[i].hash, same, &i);
        assert_ptr_equal(found, items[i].is_in ? &items[i] : NULL);
        assert_true(i > SCANNED || items[i].was_seen);
        count += items[i].is_in;
    }
    assert_int_equal(tp_index_count(&index), count);
    tp_index_deinit(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_exactly_what_was_inserted_and_not_removed),
        cmocka_unit_test(scan_sees_every_item_that_stays_while_the_index_changes),
        cmocka_unit_test(scan_of_a_resting_index_sees_every_item_once),
        cmocka_unit_test(insert_goes_on_while_there_is_room_when_memory_is_refused),
        cmocka_unit_test(nothing_is_lost_while_a_large_table_is_moved_and_cut_off),
        cmocka_unit_test(survives_the_failure_of_any_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
