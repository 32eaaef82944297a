/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: every block keeps what was written to it until it is given back, whoever gives it;
 * memory comes back; refusals are answered. In page mode and in direct mode.
 */
#include "base/alloc.h"
#include "base/pool.h"
#include "base/prng.h"
#include "base/spsc.h"
#include "failing.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SLOTS = 4000, SENDS = 100000, SHARDS = 2 };

typedef struct held {
    unsigned char *block;
    size_t size;
    unsigned char mark;
} held;

static size_t some_size(tp_prng *prng)
{
    uint64_t width = tp_prng_between(prng, 0, tp_prng_chance(prng, 1, 50) ? 18 : 11);
    return (size_t)tp_prng_below(prng, (UINT64_C(1) << width) + 1);
}

static size_t counted(size_t size)
{
    if (size > TP_POOL_SMALL_MAX) {
        return size;
    }
    size_t step = 16;
    size_t rounded = size == 0 ? 16 : (size + 15) / 16 * 16;
    for (size_t octave = 256; octave < rounded; octave *= 2) {
        step = octave / 4;
    }
    return (rounded + step - 1) / step * step;
}

static void take(tp_pool *pool, tp_prng *prng, held *h)
{
    h->size = some_size(prng);
    h->mark = (unsigned char)tp_prng_next(prng);
    h->block = tp_pool_take(pool, h->size);
    assert_non_null(h->block);
    assert_int_equal((uintptr_t)h->block % 16, 0);
    memset(h->block, h->mark, h->size);
}

static void check_marks(const held *h)
{
    for (size_t i = 0; i < h->size; i++) {
        assert_int_equal(h->block[i], h->mark);
    }
}

static void blocks_keep_their_bytes(bool direct)
{
    failing memory;
    failing_init(&memory);
    tp_pool pool;
    assert_int_equal(tp_pool_init(&pool, &memory.allocator, 0, 1, direct), TROUPE_OK);
    tp_prng prng;
    tp_prng_seed(&prng, 3);
    held *slots = calloc(SLOTS, sizeof(*slots));
    assert_non_null(slots);
    size_t bytes = 0;
    for (int i = 0; i < 100000; i++) {
        held *h = &slots[tp_prng_below(&prng, SLOTS)];
        if (h->block == NULL) {
            take(&pool, &prng, h);
            bytes += counted(h->size);
        } else {
            check_marks(h);
            tp_pool_give(&pool, h->block);
            bytes -= counted(h->size);
            h->block = NULL;
        }
        assert_int_equal(tp_pool_bytes(&pool), bytes);
        assert_true(tp_pool_reserved(&pool) >= bytes);
    }
    for (int i = 0; i < SLOTS; i++) {
        tp_pool_give(&pool, slots[i].block);
    }
    assert_int_equal(tp_pool_bytes(&pool), 0);
    tp_pool_deinit(&pool);
    tp_pool_deinit(&pool);
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.wrong_sizes, 0);
    free(slots);
}

static void blocks_keep_their_bytes_until_given_back(void **state)
{
    (void)state;
    blocks_keep_their_bytes(false);
    blocks_keep_their_bytes(true);
}

static void classes_waste_a_quarter_at_most_and_never_fall_short(void **state)
{
    (void)state;
    tp_pool pool;
    assert_int_equal(tp_pool_init(&pool, tp_allocator_system(), 0, 1, false), TROUPE_OK);
    for (size_t size = 0; size <= TP_POOL_SMALL_MAX; size++) {
        void *block = tp_pool_take(&pool, size);
        size_t real = tp_pool_bytes(&pool);
        assert_int_equal(real, counted(size));
        assert_true(real >= size && (size < 64 || real - size <= size / 4));
        memset(block, 1, size);
        tp_pool_give(&pool, block);
    }
    tp_pool_deinit(&pool);
}

static void memory_of_one_size_serves_another_when_given_back(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    tp_pool pool;
    assert_int_equal(tp_pool_init(&pool, tp_allocator_system(), 0, 1, false), TROUPE_OK);
    static const size_t sizes[] = {1000, 500, 16, 5000, 128, 1000};
    void *blocks[COUNT];
    size_t most = 0;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t count = 1000000 / sizes[s] < COUNT ? 1000000 / sizes[s] : COUNT;
        for (size_t i = 0; i < count; i++) {
            blocks[i] = tp_pool_take(&pool, sizes[s]);
            assert_non_null(blocks[i]);
        }
        for (size_t i = 0; i < count; i++) {
            tp_pool_give(&pool, blocks[(i * 7919) % count]);
        }
        if (s == 0) {
            most = tp_pool_reserved(&pool);
        }
    }
    assert_int_equal(tp_pool_bytes(&pool), 0);
    assert_int_equal(tp_pool_reserved(&pool), most);
    tp_pool_deinit(&pool);
}

static void refused_memory_is_null_and_harms_nothing(bool direct)
{
    for (uint64_t i = 1; i < 10; i++) {
        failing memory;
        failing_init(&memory);
        memory.fail_from = i;
        memory.fail_count = 3;
        tp_pool pool;
        troupe_status status = tp_pool_init(&pool, &memory.allocator, 0, 1, direct);
        assert_int_equal(status, i == 1 ? TROUPE_NO_MEMORY : TROUPE_OK);
        uint64_t refusals = 0;
        void *blocks[300] = {NULL};
        for (int n = 0; status == TROUPE_OK && n < 300; n++) {
            size_t size = n % 50 == 0 ? 40000 : 12000;
            blocks[n] = tp_pool_take(&pool, size);
            refusals += blocks[n] == NULL;
            if (blocks[n] != NULL) {
                memset(blocks[n], n, size);
            }
        }
        assert_true(status != TROUPE_OK || refusals > 0);
        for (int n = 0; status == TROUPE_OK && n < 300; n++) {
            tp_pool_give(&pool, blocks[n]);
        }
        if (status == TROUPE_OK) {
            assert_int_equal(tp_pool_bytes(&pool), 0);
            assert_null(tp_pool_take(&pool, SIZE_MAX));
            tp_pool_deinit(&pool);
        }
        assert_int_equal(memory.bytes, 0);
    }
}

static void refused_memory_is_null(void **state)
{
    (void)state;
    refused_memory_is_null_and_harms_nothing(false);
    refused_memory_is_null_and_harms_nothing(true);
}

typedef struct shard {
    tp_pool pool;
    tp_pool *all[SHARDS];
    tp_spsc *in;
    tp_spsc *out;
    uint64_t seed;
    uint64_t wrong;
} shard;

/* Each block carries its size; each byte of it is the low byte of the size. */
static uint64_t give_what_came(shard *self)
{
    void *blocks[32];
    uint32_t count = tp_spsc_take(self->in, blocks, 32);
    for (uint32_t i = 0; i < count; i++) {
        unsigned char *p = blocks[i];
        size_t size;
        memcpy(&size, p, sizeof(size));
        for (size_t k = sizeof(size); k < size; k++) {
            self->wrong += p[k] != (unsigned char)size;
        }
        tp_pool_give(&self->pool, p);
    }
    return count;
}

static bool send_one(shard *self, tp_prng *prng)
{
    size_t size = sizeof(size_t) + some_size(prng);
    unsigned char *p = tp_pool_take(&self->pool, size);
    if (p == NULL) {
        self->wrong++;
        return true;
    }
    memset(p, (unsigned char)size, size);
    memcpy(p, &size, sizeof(size));
    if (!tp_spsc_put(self->out, p)) {
        tp_pool_give(&self->pool, p);
        return false;
    }
    return true;
}

static void *run_shard(void *argument)
{
    shard *self = argument;
    tp_prng prng;
    tp_prng_seed(&prng, self->seed);
    uint64_t sent = 0;
    uint64_t got = 0;
    while (sent < SENDS || got < SENDS) {
        for (int i = 0; i < 16 && sent < SENDS && send_one(self, &prng); i++) {
            sent++;
        }
        bool idle = !tp_spsc_publish(self->out);
        uint64_t count = give_what_came(self);
        got += count;
        if (idle && count == 0) {
            tp_pool_flush(&self->pool);
            sched_yield();
        }
    }
    tp_pool_flush(&self->pool);
    return NULL;
}

static void blocks_travel_home(bool direct)
{
    failing memory;
    failing_init(&memory);
    static shard shards[SHARDS];
    tp_spsc rings[SHARDS];
    memset(shards, 0, sizeof(shards));
    for (uint16_t i = 0; i < SHARDS; i++) {
        shard *s = &shards[i];
        troupe_status status = tp_pool_init(&s->pool, &memory.allocator, i, SHARDS, direct);
        assert_int_equal(status, TROUPE_OK);
        assert_int_equal(tp_spsc_init(&rings[i], &memory.allocator, 128), TROUPE_OK);
        for (uint16_t k = 0; k < SHARDS; k++) {
            s->all[k] = &shards[k].pool;
        }
        tp_pool_connect(&s->pool, s->all);
        s->seed = i;
        s->in = &rings[i];
        s->out = &rings[1 - i];
    }
    pthread_t threads[SHARDS];
    for (int i = 0; i < SHARDS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_shard, &shards[i]), 0);
    }
    for (int i = 0; i < SHARDS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SHARDS; i++) {
        tp_pool_collect(&shards[i].pool);
        assert_int_equal(shards[i].wrong, 0);
        assert_int_equal(tp_pool_bytes(&shards[i].pool), 0);
        assert_true(tp_pool_reserved(&shards[i].pool) < 32 << 20); /* they did come home */
    }
    for (int i = 0; i < SHARDS; i++) {
        tp_pool_deinit(&shards[i].pool);
        tp_spsc_deinit(&rings[i]);
    }
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.wrong_sizes, 0);
}

static void blocks_given_by_another_thread_travel_home(void **state)
{
    (void)state;
    blocks_travel_home(false);
    blocks_travel_home(true);
}

static void deinit_takes_back_pages_and_large_blocks_still_out(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    tp_pool pool;
    assert_int_equal(tp_pool_init(&pool, &memory.allocator, 0, 1, false), TROUPE_OK);
    for (size_t i = 0; i < 500; i++) {
        assert_non_null(tp_pool_take(&pool, i * 100));
    }
    tp_pool_deinit(&pool);
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.wrong_sizes, 0);
}

/* Large blocks: the latest come back without a call of the allocator, within their bounds. */
static void large_blocks_are_kept_for_the_next_within_bounds(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    tp_pool pool;
    assert_int_equal(tp_pool_init(&pool, &memory.allocator, 0, 1, false), TROUPE_OK);
    void *first = tp_pool_take(&pool, 70000);
    memset(first, 1, 70000);
    tp_pool_give(&pool, first);
    uint64_t calls = memory.calls;
    void *again = tp_pool_take(&pool, 60000); /* a little smaller: the same block */
    assert_ptr_equal(again, first);
    memset(again, 2, 60000);
    assert_int_equal(memory.calls, calls);
    void *small = tp_pool_take(&pool, 20000); /* much smaller, when the kept one is home: not it */
    tp_pool_give(&pool, again);
    void *other = tp_pool_take(&pool, 20000);
    assert_ptr_not_equal(other, first);
    assert_int_equal(tp_pool_bytes(&pool), 40000);
    tp_pool_give(&pool, small);
    tp_pool_give(&pool, other);

    void *many[100];
    for (size_t i = 0; i < 100; i++) {
        many[i] = tp_pool_take(&pool, 300000);
        assert_non_null(many[i]);
    }
    void *huge = tp_pool_take(&pool, TP_POOL_KEPT_BYTES);
    assert_non_null(huge);
    tp_pool_give(&pool, huge);
    for (size_t i = 0; i < 100; i++) {
        tp_pool_give(&pool, many[i]);
    }
    assert_int_equal(tp_pool_bytes(&pool), 0);
    assert_true(tp_pool_reserved(&pool) > 300000);
    assert_true(tp_pool_reserved(&pool) <= TP_POOL_KEPT_BYTES);

    memory.fail_from = memory.calls + 1; /* refused once: what is kept goes, and it asks again */
    memory.fail_count = 1;
    huge = tp_pool_take(&pool, TP_POOL_KEPT_BYTES);
    assert_non_null(huge);
    assert_true(tp_pool_reserved(&pool) < TP_POOL_KEPT_BYTES + 2 * TP_POOL_PAGE_BYTES);
    tp_pool_give(&pool, huge);
    tp_pool_deinit(&pool);
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.wrong_sizes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_their_bytes_until_given_back),
        cmocka_unit_test(classes_waste_a_quarter_at_most_and_never_fall_short),
        cmocka_unit_test(memory_of_one_size_serves_another_when_given_back),
        cmocka_unit_test(refused_memory_is_null),
        cmocka_unit_test(blocks_given_by_another_thread_travel_home),
        cmocka_unit_test(deinit_takes_back_pages_and_large_blocks_still_out),
        cmocka_unit_test(large_blocks_are_kept_for_the_next_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
