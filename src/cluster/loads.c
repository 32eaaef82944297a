/* SPDX-License-Identifier: Apache-2.0 */
/* What members say of their loads, for all to read. See loads.h. */
#include "cluster/loads.h"

#include "base/alloc.h"

#include <string.h>

static void lock(tp_loads *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire))
        ;
}

static void unlock(tp_loads *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

void tp_loads_init(tp_loads *self, const troupe_allocator *allocator)
{
    *self = (tp_loads){.allocator = allocator};
    atomic_flag_clear(&self->lock);
}

void tp_loads_deinit(tp_loads *self)
{
    tp_load_sheet_release(self->sheet);
    tp_release(self->allocator, self->rows, self->room * sizeof *self->rows);
    self->sheet = NULL;
    self->rows = NULL;
    self->room = self->count = 0;
}

static const tp_load_row *find(const tp_load_row *rows, uint32_t count, uint64_t incarnation)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rows[middle].incarnation < incarnation)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && rows[low].incarnation == incarnation ? &rows[low] : NULL;
}

static tp_load_row *row_of(tp_loads *self, uint64_t incarnation)
{
    const tp_load_row *row = find(self->rows, self->count, incarnation);
    return row != NULL ? &self->rows[row - self->rows] : NULL;
}

troupe_status tp_loads_follow(tp_loads *self, const tp_view *view)
{
    uint32_t count = (uint32_t)view->member_count;
    tp_load_row *rows = tp_allocate_zeroed(self->allocator, (count + 1) * sizeof *rows);
    if (rows == NULL)
        return TROUPE_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const tp_load_row *before = find(self->rows, self->count, view->members[i].incarnation);
        if (before != NULL)
            rows[i] = *before;
        rows[i].incarnation = view->members[i].incarnation;
    }
    tp_release(self->allocator, self->rows, self->room * sizeof *rows);
    self->rows = rows;
    self->count = count;
    self->room = count + 1;
    self->is_changed = true;
    return TROUPE_OK;
}

void tp_loads_said(tp_loads *self, uint64_t incarnation, const tp_wire_load *said, uint64_t now)
{
    tp_load_row *row = row_of(self, incarnation);
    if (row == NULL)
        return;
    row->said = *said;
    row->at = now;
    self->is_changed = true;
}

void tp_loads_measured(tp_loads *self, uint64_t incarnation, uint64_t round_trip)
{
    tp_load_row *row = row_of(self, incarnation);
    if (row == NULL)
        return;
    /* Smoothed as in TCP (RFC 6298: one eighth of the newest); what is shorter counts at once. */
    uint64_t known = row->round_trip;
    if (known == 0 || round_trip < known)
        known = round_trip;
    else
        known += (round_trip - known) / 8;
    row->round_trip = known != 0 ? known : 1;
    self->is_changed = true;
}

void tp_loads_publish(tp_loads *self)
{
    if (!self->is_changed)
        return;
    size_t bytes = sizeof(tp_load_sheet) + self->count * sizeof(tp_load_row);
    tp_load_sheet *sheet = tp_allocate(self->allocator, bytes);
    if (sheet == NULL)
        return;
    *sheet = (tp_load_sheet){.allocator = self->allocator, .references = 1, .count = self->count};
    if (self->count != 0)
        memcpy(sheet->rows, self->rows, self->count * sizeof(tp_load_row));
    lock(self);
    tp_load_sheet *before = self->sheet;
    self->sheet = sheet;
    unlock(self);
    tp_load_sheet_release(before);
    atomic_fetch_add_explicit(&self->edition, 1, memory_order_release);
    self->is_changed = false;
}

tp_load_sheet *tp_loads_take(tp_loads *self)
{
    lock(self);
    tp_load_sheet *sheet = self->sheet;
    if (sheet != NULL)
        atomic_fetch_add_explicit(&sheet->references, 1, memory_order_relaxed);
    unlock(self);
    return sheet;
}

void tp_load_sheet_release(tp_load_sheet *sheet)
{
    if (sheet == NULL ||
        atomic_fetch_sub_explicit(&sheet->references, 1, memory_order_acq_rel) != 1)
        return;
    tp_release(sheet->allocator, sheet, sizeof *sheet + sheet->count * sizeof(tp_load_row));
}

const tp_load_row *tp_load_sheet_find(const tp_load_sheet *sheet, uint64_t incarnation)
{
    return find(sheet->rows, sheet->count, incarnation);
}
