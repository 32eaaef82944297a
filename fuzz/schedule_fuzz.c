/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads arbitrary texts as schedules; the first eight bytes are the moment of setting. Seeds:
 * fuzz/corpus/schedule. libFuzzer calls it.
 *
 * Invariants: an error has words; due times rise, and counting agrees with walking. Threads: one.
 */
#include "store/schedule.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t set;
    if (size < sizeof set)
        return 0;
    memcpy(&set, data, sizeof set);
    troupe_slice text = troupe_slice_of(data + sizeof set, size - sizeof set);
    char error[256] = "";
    tp_timetable schedule;
    if (tp_schedule_parse(text, set, &schedule, error, sizeof error) != TROUPE_OK) {
        TP_ASSERT(error[0] != '\0');
        return 0;
    }
    uint64_t after = set;
    uint64_t due = 0;
    uint64_t number = 0;
    for (; number < 50 && tp_schedule_next(&schedule, after, &due); number++) {
        TP_ASSERT(due > after);
        TP_ASSERT(tp_schedule_count(&schedule, after, due) == 1);
        TP_ASSERT(tp_schedule_count(&schedule, after, due - 1) == 0);
        TP_ASSERT(tp_schedule_count(&schedule, set, due) == number + 1);
        after = due;
    }
    if (number == 0 || !tp_schedule_next(&schedule, set, &due))
        return 0;
    tp_schedule_step step = tp_schedule_catch_up(&schedule, 1, due, after);
    TP_ASSERT(step.missed == number - 1 && step.number == number + 1);
    TP_ASSERT(!step.more || step.due > after);
    return 0;
}
