/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How loaded the members of a cluster are, as they last said of themselves, and how far they are.
 * The control runner writes rows and publishes them as immutable, counted sheets; shards and
 * commands take the newest sheet when its edition is not the one that they have.
 *
 * Invariants
 * 1. A sheet never changes. Rows are by rising incarnation.
 * 2. There are rows of members of the newest view only.
 *
 * Threads: edition and take any; all else the control runner's.
 */
#ifndef TP_CLUSTER_LOADS_H
#define TP_CLUSTER_LOADS_H

#include "member/view.h"
#include "wire/frames.h"

#include <stdatomic.h>

typedef struct tp_load_row {
    uint64_t incarnation;
    uint64_t at; /* env's now when it came; 0: never */
    tp_wire_load said;
    uint64_t round_trip; /* ns; 0: not known, or itself */
} tp_load_row;

typedef struct tp_load_sheet {
    const troupe_allocator *allocator;
    _Atomic uint32_t references;
    uint32_t count;
    tp_load_row rows[];
} tp_load_sheet;

typedef struct tp_loads {
    const troupe_allocator *allocator;
    tp_load_row *rows;
    uint32_t count, room;
    bool is_changed;
    _Atomic uint64_t edition; /* [any] of `sheet` */
    atomic_flag lock;         /* held for a few instructions */
    tp_load_sheet *sheet;     /* guarded by `lock` */
} tp_loads;

void tp_loads_init(tp_loads *loads, const troupe_allocator *allocator);
void tp_loads_deinit(tp_loads *loads);

/* Rows for these members. NO_MEMORY: as before. */
TROUPE_CHECK troupe_status tp_loads_follow(tp_loads *loads, const tp_view *view);
/* Of one that has no row nothing is kept. */
void tp_loads_said(tp_loads *loads, uint64_t incarnation, const tp_wire_load *said, uint64_t now);
void tp_loads_measured(tp_loads *loads, uint64_t incarnation, uint64_t round_trip);
/* Makes a sheet of what changed; without memory the old one stays until the next time. */
void tp_loads_publish(tp_loads *loads);

static inline uint64_t tp_loads_edition(const tp_loads *loads)
{
    return atomic_load_explicit(&loads->edition, memory_order_acquire);
}
/* A reference of the caller's; NULL: there is none yet. */
tp_load_sheet *tp_loads_take(tp_loads *loads);
void tp_load_sheet_release(tp_load_sheet *sheet); /* NULL is a no-op */
/* NULL: no row. */
const tp_load_row *tp_load_sheet_find(const tp_load_sheet *sheet, uint64_t incarnation);

#endif
