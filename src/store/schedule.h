/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a reminder is due: a text becomes a small plain struct, which tells the next due time after
 * any moment. Not the alarm, and not the reminder's row. What sets and fires reminders calls it.
 *
 *   every 90s                      set + 90s, set + 180s, ...; also 250ms, 1h30m, 2d, 1w
 *   every 1h from MOMENT           MOMENT, MOMENT + 1h, ...
 *   every 1h ... until MOMENT      the same, and none after MOMENT
 *   at MOMENT                      once
 *   in 5m                          once, that long after it was set
 *   MIN HOUR DAY MONTH WEEKDAY     cron; a sixth field in front is the second (else 0)
 *   @hourly @daily @midnight @weekly @monthly @yearly @annually
 *
 * MOMENT is 2026-11-22T10:00:00Z, with +01:00 or a fraction of a second if you like, or nanoseconds
 * since 1970. Units: w d h m s ms us ns, the larger before the smaller. A period is 1ms or more.
 *
 * Cron fields are lists of *, N, N-M, each with /STEP if you like; N/STEP runs to the end of the
 * field. Months and weekdays have English names of three letters; Sunday is 0 and 7. As in Vixie's
 * cron (crontab(5)): if both DAY and WEEKDAY begin with something else than *, a day that fits
 * *either* is due; else it must fit both.
 *
 * All is UTC: a day has 24 hours, no hour is skipped or comes twice. TZ= is refused. A reminder
 * that should follow a local clock is set anew by its actor.
 *
 * Invariants
 * 1. The same text and the same moment of setting make the same schedule, on every node.
 * 2. Due times rise strictly; none is before 1970 or after year 2554, where 64 bits end.
 * 3. Work is bounded by the number of months until then, however sparse the expression; one that
 * can never be due is refused. Threads: pure.
 */
#ifndef TP_STORE_SCHEDULE_H
#define TP_STORE_SCHEDULE_H

#include <troupe.h>

#define TP_SCHEDULE_TEXT_MAX   256
#define TP_SCHEDULE_PERIOD_MIN TROUPE_MILLISECONDS(1)

typedef enum tp_schedule_kind {
    TP_SCHEDULE_EVERY = 1, /* start + k * period */
    TP_SCHEDULE_ONCE,      /* start */
    TP_SCHEDULE_CRON,      /* the masks: bit n is value n */
} tp_schedule_kind;

typedef struct tp_timetable {
    tp_schedule_kind kind;
    uint64_t start; /* wall, ns */
    uint64_t period;
    uint64_t last; /* of TP_SCHEDULE_EVERY: none is due after it */
    uint64_t seconds;
    uint64_t minutes;
    uint32_t hours;
    uint32_t days;
    uint32_t months;
    uint32_t weekdays;
    bool either; /* days or weekdays; else both */
} tp_timetable;

/* How a reminder goes on when it has fired. */
typedef struct tp_schedule_step {
    bool more;       /* it will be due again: `number` and `due` say when */
    uint64_t missed; /* due times that the firing stands for besides its own */
    uint64_t number;
    uint64_t due;
} tp_schedule_step;

/* `set`: the moment at which the reminder was set, wall, ns. USAGE: `error` says at which column
 * what is wrong, and what to write. Spaces around the text do not matter. */
TROUPE_CHECK troupe_status tp_schedule_parse(
    troupe_slice text, uint64_t set, tp_timetable *ret_schedule, char *error, size_t error_size);

/* The first due time strictly after `after`. False: never again. */
bool tp_schedule_next(const tp_timetable *schedule, uint64_t after, uint64_t *ret_due);

/* How many due times are after `after` and not after `until`. */
uint64_t tp_schedule_count(const tp_timetable *schedule, uint64_t after, uint64_t until);

/* The reminder fires at `now` for the due time `due` with its `number`: what comes next. Due times
 * that have passed meanwhile are missed, not fired: they are counted, and `number`, which numbers
 * due times, goes past them. If `now` is before `due` (a clock was set back), the next one is after
 * `due` all the same, so that no due time fires twice. */
tp_schedule_step tp_schedule_catch_up(
    const tp_timetable *schedule, uint64_t number, uint64_t due, uint64_t now);

#endif
