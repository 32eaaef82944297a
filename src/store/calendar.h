/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Gregorian calendar in UTC, in whole days since 1970-01-01. No time zones, no leap seconds: a
 * day has 86,400 seconds, as in POSIX. Schedules call it.
 *
 * After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
 * (howardhinnant.github.io/date_algorithms.html): years are counted from March, so that the leap
 * day is the last.
 *
 * Invariants: tp_calendar_days(tp_calendar_date(n)) == n. Threads: pure.
 */
#ifndef TP_STORE_CALENDAR_H
#define TP_STORE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define TP_CALENDAR_SECOND      UINT64_C(1000000000) /* ns */
#define TP_CALENDAR_DAY_SECONDS 86400u

typedef struct tp_date {
    uint32_t year;  /* from 1970 */
    uint32_t month; /* 1 to 12 */
    uint32_t day;   /* 1 to 31 */
} tp_date;

static inline uint32_t tp_calendar_days(tp_date date)
{
    uint32_t year = date.year - (date.month <= 2 ? 1 : 0);
    uint32_t era = year / 400;
    uint32_t year_of_era = year - era * 400;
    uint32_t month = date.month > 2 ? date.month - 3 : date.month + 9;
    uint32_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static inline tp_date tp_calendar_date(uint32_t days)
{
    uint32_t z = days + 719468;
    uint32_t era = z / 146097;
    uint32_t day_of_era = z - era * 146097;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month = (5 * day_of_year + 2) / 153;
    tp_date date = {year_of_era + era * 400, month < 10 ? month + 3 : month - 9,
        day_of_year - (153 * month + 2) / 5 + 1};
    date.year += date.month <= 2 ? 1 : 0;
    return date;
}

static inline uint32_t tp_calendar_month_length(uint32_t year, uint32_t month)
{
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month == 2)
        return is_leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* 0: Sunday. 1970-01-01 was a Thursday. */
static inline uint32_t tp_calendar_weekday(uint32_t days)
{
    return (days + 4) % 7;
}

#endif
