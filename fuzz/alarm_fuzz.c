/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads arbitrary bytes as the body of a reminder: what is taken makes a schedule that the node
 * takes, too, and data that lies in the body. The first eight bytes are the moment. libFuzzer calls
 * it.
 * Invariants: none of its own. Threads: one.
 */
#include "gateway/alarm.h"

#include "store/schedule.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t now;
    tp_alarm_body alarm;
    tp_timetable timetable;
    tp_text text;
    const char *reason = NULL;
    char schedule[TP_ALARM_SCHEDULE_MAX], shown[4096];
    if (size < sizeof now)
        return 0;
    memcpy(&now, data, sizeof now);
    now = now % TROUPE_HOURS(24 * 365 * 500) + 1;
    troupe_slice body = troupe_slice_of(data + sizeof now, size - sizeof now);
    if (tp_alarm_read(body, now, &alarm, &reason) != TROUPE_OK) {
        require(reason != NULL && reason[0] != 0);
        return 0;
    }
    const char *begin = body.data;
    require(alarm.data.size == 0 ||
            ((const char *)alarm.data.data >= begin &&
                (const char *)alarm.data.data + alarm.data.size <= begin + body.size));
    require(alarm.last >= alarm.due);
    tp_text_init(&text, schedule, sizeof schedule);
    tp_alarm_schedule(&alarm, &text);
    require(!text.is_cut);
    /* After 2553 the node says that it cannot be. */
    if (alarm.due < TROUPE_HOURS(24 * 365 * 580))
        if (alarm.last == UINT64_MAX || alarm.last < TROUPE_HOURS(24 * 365 * 580))
            require(tp_schedule_parse(tp_text_slice(&text), now, &timetable, NULL, 0) == TROUPE_OK);
    const troupe_reminder reminder = {.schedule = tp_text_slice(&text), .due = alarm.due};
    tp_text_init(&text, shown, sizeof shown);
    tp_alarm_print((troupe_id){.type = {NULL, 0}}, &reminder, &text);
    require(!text.is_cut);
    return 0;
}
