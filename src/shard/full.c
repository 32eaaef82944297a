/* SPDX-License-Identifier: Apache-2.0 */
/* Which mailboxes are full. See full.h. */
#include "shard/full.h"

#include "base/assert.h"

/* Its lowest and highest bits choose shards, the topmost the bucket of a table. */
static uint32_t line_of(const tp_full *self, uint64_t hash)
{
    return (uint32_t)(hash >> 34) & (self->line_count - 1);
}

static uint32_t bit_of(uint64_t hash)
{
    return (uint32_t)(hash >> 44) % TP_FULL_BITS;
}

void tp_full_init(tp_full *self, bool simulated)
{
    self->line_count = simulated ? 1 : TP_FULL_LINES;
    self->wide = simulated ? 2 : TP_FULL_WIDE;
}

/* The place of a hash, or of 0, a free one; NULL: there is none. */
static _Atomic uint64_t *place_of(tp_full *self, uint64_t hash, uint64_t what)
{
    _Atomic uint64_t *line = self->lines[line_of(self, hash)];
    for (uint32_t i = 0; i < self->wide; i++)
        if (atomic_load_explicit(&line[i], memory_order_relaxed) == what)
            return &line[i];
    return NULL;
}

static void add_crossed(tp_full *self, uint32_t by)
{
    atomic_store_explicit(&self->crossed,
        atomic_load_explicit(&self->crossed, memory_order_relaxed) + by, memory_order_relaxed);
}

void tp_full_put(tp_full *self, uint64_t hash)
{
    self->count++;
    _Atomic uint64_t *place = hash != 0 ? place_of(self, hash, 0) : NULL;
    if (place != NULL) {
        atomic_store_explicit(place, hash, memory_order_relaxed);
        return;
    }
    uint32_t bit = bit_of(hash);
    if (self->of_bits[bit]++ == 0)
        atomic_fetch_or_explicit(
            &self->bits[bit / 64], UINT64_C(1) << bit % 64, memory_order_relaxed);
    add_crossed(self, 1);
}

void tp_full_take(tp_full *self, uint64_t hash)
{
    TP_ASSERT(self->count != 0);
    self->count--;
    _Atomic uint64_t *place = hash != 0 ? place_of(self, hash, hash) : NULL;
    if (place != NULL) {
        atomic_store_explicit(place, 0, memory_order_relaxed);
        return;
    }
    uint32_t bit = bit_of(hash);
    TP_ASSERT(self->of_bits[bit] != 0);
    if (--self->of_bits[bit] == 0)
        atomic_fetch_and_explicit(
            &self->bits[bit / 64], ~(UINT64_C(1) << bit % 64), memory_order_relaxed);
    add_crossed(self, UINT32_MAX);
}

bool tp_full_has(const tp_full *self, uint64_t hash)
{
    const _Atomic uint64_t *line = self->lines[line_of(self, hash)];
    for (uint32_t i = 0; i < self->wide && hash != 0; i++)
        if (atomic_load_explicit(&line[i], memory_order_relaxed) == hash)
            return true;
    if (atomic_load_explicit(&self->crossed, memory_order_relaxed) == 0)
        return false;
    uint32_t bit = bit_of(hash);
    return atomic_load_explicit(&self->bits[bit / 64], memory_order_relaxed) >> bit % 64 & 1;
}
