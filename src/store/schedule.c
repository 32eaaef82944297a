/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Due times of store/schedule.h; store/schedule_parse.c reads their texts. A cron expression is
 * searched month by month: the days of a month that are due are one mask, made without a loop.
 *
 * Threads: pure.
 */
#include "store/schedule.h"

#include "store/calendar.h"

#define LAST_SECOND (UINT64_MAX / TP_CALENDAR_SECOND)
#define LAST_YEAR   2554

/* The first member of `mask` at or above `from`; 64: none. */
static uint32_t next_member(uint64_t mask, uint32_t from)
{
    uint64_t rest = from < 64 ? mask >> from : 0;
    return rest != 0 ? from + (uint32_t)__builtin_ctzll(rest) : 64;
}

/* Members below `limit`, which is below 64. */
static uint32_t count_below(uint64_t mask, uint32_t limit)
{
    return (uint32_t)__builtin_popcountll(mask & ((UINT64_C(1) << limit) - 1));
}

static bool is_member(uint64_t mask, uint32_t value)
{
    return mask >> value & 1;
}

/* The days of a month that are due: bit d is day d. */
static uint64_t days_of_month(const tp_timetable *self, uint32_t year, uint32_t month)
{
    if (!is_member(self->months, month))
        return 0;
    uint32_t first = tp_calendar_weekday(tp_calendar_days((tp_date){year, month, 1}));
    uint64_t week = (self->weekdays >> first | self->weekdays << (7 - first)) & 0x7f;
    /* The week of the first day, five times: bit 0 is day 1. */
    uint64_t by_weekday = (week | week << 7 | week << 14 | week << 21 | week << 28) << 1;
    uint64_t due = self->either ? self->days | by_weekday : self->days & by_weekday;
    uint32_t length = tp_calendar_month_length(year, month);
    return due & ((UINT64_C(2) << length) - 2);
}

/* The first due time of a day at or after its second `from`; false: none left. */
static bool next_of_day(const tp_timetable *self, uint32_t from, uint32_t *ret_second)
{
    uint32_t hour = from / 3600;
    uint32_t minute = from / 60 % 60;
    uint32_t second = next_member(self->seconds, from % 60);
    if (second == 64 || !is_member(self->minutes, minute)) {
        minute = next_member(self->minutes, minute + 1);
        second = next_member(self->seconds, 0);
    }
    if (minute == 64 || !is_member(self->hours, hour)) {
        hour = next_member(self->hours, hour + 1);
        minute = next_member(self->minutes, 0);
        second = next_member(self->seconds, 0);
    }
    if (hour == 64)
        return false;
    *ret_second = hour * 3600 + minute * 60 + second;
    return true;
}

static bool next_by_cron(const tp_timetable *self, uint64_t after, uint64_t *ret_due)
{
    uint64_t from = after / TP_CALENDAR_SECOND + 1;
    if (from > LAST_SECOND)
        return false;
    tp_date date = tp_calendar_date((uint32_t)(from / TP_CALENDAR_DAY_SECONDS));
    uint32_t second = 0;
    uint64_t days = days_of_month(self, date.year, date.month);
    if (!is_member(days, date.day) ||
        !next_of_day(self, (uint32_t)(from % TP_CALENDAR_DAY_SECONDS), &second)) {
        date.day++;
        (void)next_of_day(self, 0, &second);
    }
    while (date.year <= LAST_YEAR) {
        uint32_t day = next_member(days_of_month(self, date.year, date.month), date.day);
        if (day != 64) {
            date.day = day;
            uint64_t due = (uint64_t)tp_calendar_days(date) * TP_CALENDAR_DAY_SECONDS + second;
            if (due > LAST_SECOND)
                return false;
            *ret_due = due * TP_CALENDAR_SECOND;
            return true;
        }
        date.day = 1;
        date.year += date.month == 12 ? 1 : 0;
        date.month = date.month % 12 + 1;
    }
    return false;
}

bool tp_schedule_next(const tp_timetable *schedule, uint64_t after, uint64_t *ret_due)
{
    if (schedule->kind == TP_SCHEDULE_CRON)
        return next_by_cron(schedule, after, ret_due);
    if (after < schedule->start) {
        *ret_due = schedule->start;
        return true;
    }
    if (schedule->kind == TP_SCHEDULE_ONCE)
        return false;
    uint64_t past = (after - schedule->start) % schedule->period;
    uint64_t due;
    if (__builtin_add_overflow(after - past, schedule->period, &due) || due > schedule->last)
        return false;
    *ret_due = due;
    return true;
}

/* Due times of a due day, up to its second `last`. */
static uint64_t count_of_day(const tp_timetable *self, uint32_t last)
{
    uint64_t in_minute = (uint64_t)__builtin_popcountll(self->seconds);
    uint64_t in_hour = in_minute * (uint64_t)__builtin_popcountll(self->minutes);
    uint32_t hour = last / 3600;
    uint32_t minute = last / 60 % 60;
    uint64_t count = in_hour * count_below(self->hours, hour);
    if (is_member(self->hours, hour)) {
        count += in_minute * count_below(self->minutes, minute);
        if (is_member(self->minutes, minute))
            count += count_below(self->seconds, last % 60 + 1);
    }
    return count;
}

/* Due times from the beginning of a month to the second `last` of all time, which is not before. */
static uint64_t count_from_month(const tp_timetable *self, tp_date month, uint64_t last)
{
    tp_date date = tp_calendar_date((uint32_t)(last / TP_CALENDAR_DAY_SECONDS));
    uint64_t in_day = count_of_day(self, TP_CALENDAR_DAY_SECONDS - 1);
    uint64_t count = 0;
    while (month.year < date.year || (month.year == date.year && month.month < date.month)) {
        uint64_t days = days_of_month(self, month.year, month.month);
        count += in_day * (uint64_t)__builtin_popcountll(days);
        month.year += month.month == 12 ? 1 : 0;
        month.month = month.month % 12 + 1;
    }
    uint64_t days = days_of_month(self, date.year, date.month);
    count += in_day * count_below(days, date.day);
    if (is_member(days, date.day))
        count += count_of_day(self, (uint32_t)(last % TP_CALENDAR_DAY_SECONDS));
    return count;
}

/* start, start + period, ... up to `until`. */
static uint64_t count_periods(const tp_timetable *self, uint64_t until)
{
    if (until < self->start)
        return 0;
    if (self->kind == TP_SCHEDULE_EVERY && until > self->last)
        until = self->last;
    return self->kind == TP_SCHEDULE_ONCE ? 1 : (until - self->start) / self->period + 1;
}

uint64_t tp_schedule_count(const tp_timetable *schedule, uint64_t after, uint64_t until)
{
    if (until <= after)
        return 0;
    if (schedule->kind != TP_SCHEDULE_CRON)
        return count_periods(schedule, until) - count_periods(schedule, after);
    uint64_t from = after / TP_CALENDAR_SECOND;
    tp_date month = tp_calendar_date((uint32_t)(from / TP_CALENDAR_DAY_SECONDS));
    return count_from_month(schedule, month, until / TP_CALENDAR_SECOND) -
           count_from_month(schedule, month, from);
}

tp_schedule_step tp_schedule_catch_up(
    const tp_timetable *schedule, uint64_t number, uint64_t due, uint64_t now)
{
    uint64_t moment = now > due ? now : due;
    tp_schedule_step step = {.missed = tp_schedule_count(schedule, due, moment)};
    step.more = tp_schedule_next(schedule, moment, &step.due);
    step.number = number + step.missed + 1;
    return step;
}
