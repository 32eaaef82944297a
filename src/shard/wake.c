/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody sleeps on work: when an actor that is not active must be woken, because a reminder of it
 * is due or its outbox holds what was not acknowledged. The moment is stored with each commit; a
 * scan of the store wakes those whose moment has come.
 */
#include "shard/durable.h"

uint64_t tp_wake_of(const tp_durable *self, uint64_t wall)
{
    for (const tp_entry *entry = tp_rows_first(self, TROUPE_ROW_OUTBOX); entry != NULL;
         entry = tp_rows_next(self, entry))
        if (!entry->retired)
            return wall;
    uint64_t wake = 0;
    for (const tp_entry *entry = tp_rows_first(self, TROUPE_ROW_REMINDER); entry != NULL;
         entry = tp_rows_next(self, entry))
        if (wake == 0 || entry->row.reminder.due < wake)
            wake = entry->row.reminder.due;
    return wake;
}
