/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A counter that one thread writes and any thread may read: no lock, no locked instruction. Not a
 * counter for several writers.
 *
 * Invariants: the value read is one that was written. Threads: one writer; readers any.
 */
#ifndef TP_BASE_CELL_H
#define TP_BASE_CELL_H

#include <stdatomic.h>
#include <stdint.h>

/* A plain field that all threads read and that is seldom changed, by one at a time: an option of a
 * node that runs. It publishes nothing but itself. */
#define TP_LIVE_GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define TP_LIVE_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

typedef struct tp_cell {
    _Atomic uint64_t value; /* publishes nothing but itself */
} tp_cell;

static inline uint64_t tp_cell_get(const tp_cell *cell)
{
    return atomic_load_explicit(&cell->value, memory_order_relaxed);
}

static inline void tp_cell_set(tp_cell *cell, uint64_t value)
{
    atomic_store_explicit(&cell->value, value, memory_order_relaxed);
}

#ifdef __x86_64__
/* One instruction, not a locked one; of a load and a store, which say the same, compilers make
 * three. */
static inline void tp_cell_add(tp_cell *cell, uint64_t n)
{
    __asm__("addq %1, %0" : "+m"(cell->value) : "er"(n) : "cc");
}
#else
static inline void tp_cell_add(tp_cell *cell, uint64_t n)
{
    tp_cell_set(cell, tp_cell_get(cell) + n);
}
#endif

static inline void tp_cell_sub(tp_cell *cell, uint64_t n)
{
    tp_cell_set(cell, tp_cell_get(cell) - n);
}

#endif
