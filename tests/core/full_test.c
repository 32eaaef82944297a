/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of full mailboxes (shard/full.h) against a list of what was put: a hash that is in it is
 * never missing, however many there are, and one that is not is there only for the bit that it
 * shares with another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "shard/full.h"

enum { HASHES = 30000 };

typedef struct model {
    tp_full *full;
    tp_prng prng;
    uint64_t hashes[HASHES];
    uint32_t puts[HASHES];
} model;

static model *make(bool simulated, uint32_t seed)
{
    model *self = test_calloc(1, sizeof *self);
    self->full = aligned_alloc(64, sizeof *self->full);
    assert_non_null(self->full);
    memset(self->full, 0, sizeof *self->full);
    tp_full_init(self->full, simulated);
    tp_prng_seed(&self->prng, seed);
    for (uint32_t i = 1; i < HASHES; i++) /* the first is 0 */
        self->hashes[i] = tp_prng_next(&self->prng);
    return self;
}

static void drop(model *self)
{
    free(self->full);
    test_free(self);
}

static void put(model *self, uint32_t i)
{
    tp_full_put(self->full, self->hashes[i]);
    self->puts[i]++;
}

static void take(model *self, uint32_t i)
{
    tp_full_take(self->full, self->hashes[i]);
    self->puts[i]--;
}

/* How many are said to be in it that are not. */
static uint32_t check(const model *self, uint32_t count)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool has = tp_full_has(self->full, self->hashes[i]);
        assert_true(has || self->puts[i] == 0);
        wrong += has && self->puts[i] == 0;
    }
    return wrong;
}

static void thousands_are_known_exactly(void **state)
{
    (void)state;
    model *self = make(false, 1);
    for (uint32_t i = 1; i < 1500; i++)
        put(self, i);
    assert_int_equal(check(self, HASHES), 0);
    for (uint32_t i = 1; i < 1500; i++)
        take(self, i);
    assert_int_equal(self->full->count, 0);
    assert_int_equal(check(self, HASHES), 0);
    drop(self);
}

static void beyond_their_lines_they_share_bits_and_none_is_forgotten(void **state)
{
    (void)state;
    model *self = make(false, 2);
    for (uint32_t i = 0; i < 20000; i++)
        put(self, i);
    assert_int_equal(self->full->count, 20000);
    check(self, HASHES);
    for (uint32_t i = 0; i < 20000; i++)
        take(self, i);
    assert_int_equal(self->full->count, 0);
    assert_int_equal(atomic_load(&self->full->crossed), 0);
    assert_int_equal(check(self, HASHES), 0);
    drop(self);
}

static void whatever_comes_and_goes_what_is_in_it_is_found(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 8; seed++) {
        model *self = make(seed % 2 == 0, seed);
        for (uint32_t step = 0; step < 20000; step++) {
            uint32_t i = (uint32_t)tp_prng_below(&self->prng, 64);
            if (self->puts[i] != 0 && tp_prng_chance(&self->prng, 1, 2))
                take(self, i);
            else
                put(self, i);
            if (step % 64 == 0)
                check(self, 64);
        }
        for (uint32_t i = 0; i < 64; i++)
            while (self->puts[i] != 0)
                take(self, i);
        assert_int_equal(self->full->count, 0);
        assert_int_equal(check(self, 64), 0);
        drop(self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_are_known_exactly),
        cmocka_unit_test(beyond_their_lines_they_share_bits_and_none_is_forgotten),
        cmocka_unit_test(whatever_comes_and_goes_what_is_in_it_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
