/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table and the aging of directory/sketch.h.
 *
 * Invariants and threads: see directory/sketch.h.
 */
#include "directory/sketch.h"

#include "base/alloc.h"

static size_t table_bytes(const tp_sketch *sketch)
{
    return (size_t)sketch->blocks * TP_SKETCH_WORDS * sizeof(uint64_t);
}

troupe_status tp_sketch_init(tp_sketch *sketch, const troupe_allocator *allocator, uint32_t entries)
{
    TP_ASSERT(entries > 0);
    tp_sketch fresh = {.allocator = allocator};
    fresh.blocks = entries / TP_SKETCH_WORDS + (entries % TP_SKETCH_WORDS != 0);
    fresh.halved = fresh.blocks;
    fresh.period = (uint64_t)entries * TP_SKETCH_TIMES;
    TP_ASSERT(fresh.blocks / TP_SKETCH_LOT + 1 < fresh.period / 2);
    fresh.words = tp_allocate_lines(allocator, table_bytes(&fresh));
    if (fresh.words == NULL) {
        return TROUPE_NO_MEMORY;
    }
    *sketch = fresh;
    return TROUPE_OK;
}

void tp_sketch_deinit(tp_sketch *sketch)
{
    tp_release_lines(sketch->allocator, sketch->words, table_bytes(sketch));
    *sketch = (tp_sketch){0};
}

void tp_sketch_age(tp_sketch *sketch)
{
    uint32_t left = sketch->blocks - sketch->halved;
    uint32_t lot = left < TP_SKETCH_LOT ? left : TP_SKETCH_LOT;
    uint64_t *words = &sketch->words[(size_t)sketch->halved * TP_SKETCH_WORDS];
    for (uint32_t i = 0; i < lot * TP_SKETCH_WORDS; i++) {
        words[i] = (words[i] >> 1) & UINT64_C(0x7777777777777777);
    }
    sketch->halved += lot;
}
