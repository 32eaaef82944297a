/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When reminders are due: periods, moments and cron expressions, against a slow model that lives
 * through the years second by second; texts that are wrong are refused at the right column.
 */
#include "store/schedule.h"

#include "base/prng.h"
#include "store/calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static tp_timetable parse_set(const char *text, uint64_t set)
{
    char error[256] = "";
    tp_timetable schedule;
    if (tp_schedule_parse(troupe_str(text), set, &schedule, error, sizeof error) != TROUPE_OK)
        fail_msg("%s: %s", text, error);
    return schedule;
}

static uint64_t moment(const char *text)
{
    char line[80];
    snprintf(line, sizeof line, "at %s", text);
    return parse_set(line, 0).start;
}

static uint64_t next(const tp_timetable *schedule, uint64_t after)
{
    uint64_t due = 0;
    assert_true(tp_schedule_next(schedule, after, &due));
    assert_true(due > after);
    return due;
}

/* "2026-11-22T10:00:00Z", by the C library. */
static const char *print(uint64_t wall, char *out, size_t size)
{
    time_t seconds = (time_t)(wall / SECOND);
    struct tm parts;
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
    return out;
}

static void assert_dues(const char *text, const char *after, const char *const *dues)
{
    tp_timetable schedule = parse_set(text, 0);
    uint64_t at = moment(after);
    for (; *dues != NULL; dues++) {
        char found[40];
        at = next(&schedule, at);
        assert_string_equal(print(at, found, sizeof found), *dues);
    }
}

#define ASSERT_DUES(text, after, ...) \
    assert_dues(text, after, (const char *const[]){__VA_ARGS__, NULL})

static void moments_are_those_of_the_c_library(void **state)
{
    (void)state;
    static const char *const good[] = {"1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z",
        "2000-02-29T12:00:00Z", "2026-11-22T10:00:00Z", "2100-02-28T00:00:01Z",
        "2553-12-31T23:59:59Z"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char found[40];
        assert_string_equal(print(moment(good[i]), found, sizeof found), good[i]);
    }
    assert_int_equal(moment("2026-11-22T10:00Z"), moment("2026-11-22T10:00:00Z"));
    assert_int_equal(moment("2026-11-22T10:00:00+01:30"), moment("2026-11-22T08:30:00Z"));
    assert_int_equal(moment("2026-12-31T23:00:00-02:00"), moment("2027-01-01T01:00:00Z"));
    assert_int_equal(moment("1970-01-01T00:00:01.5Z"), 3 * SECOND / 2);
    assert_int_equal(moment("1970-01-01T00:00:00.000000001Z"), 1);
    assert_int_equal(moment("18446744073709551615"), UINT64_MAX);
    for (uint32_t day = 0; day < 213504; day++)
        assert_int_equal(tp_calendar_days(tp_calendar_date(day)), day);
}

static void a_period_counts_from_when_it_was_set(void **state)
{
    (void)state;
    tp_timetable schedule = parse_set("every 90s", 1000 * SECOND);
    assert_int_equal(next(&schedule, 0), 1090 * SECOND);
    assert_int_equal(next(&schedule, 1089 * SECOND), 1090 * SECOND);
    assert_int_equal(next(&schedule, 1090 * SECOND), 1180 * SECOND);
    assert_int_equal(next(&schedule, 1180 * SECOND - 1), 1180 * SECOND);
    schedule = parse_set("  every 1h30m\t", 5);
    assert_int_equal(next(&schedule, 0), TROUPE_MINUTES(90) + 5);
    schedule = parse_set("every 250ms", 0);
    assert_int_equal(next(&schedule, SECOND), SECOND + TROUPE_MILLISECONDS(250));
    schedule = parse_set("every 1w2d3h4m5s6ms7us8ns", 0);
    assert_int_equal(schedule.period, UINT64_C(788645006007008));
    uint64_t due = 7;
    schedule = parse_set("every 300d", 0);
    assert_false(tp_schedule_next(&schedule, UINT64_MAX - TROUPE_HOURS(1), &due));
    assert_int_equal(due, 7);
}

static void a_period_from_a_moment_begins_there(void **state)
{
    (void)state;
    tp_timetable schedule = parse_set("every 1h from 2026-11-22T10:00:00Z", 77);
    uint64_t begin = moment("2026-11-22T10:00:00Z");
    assert_int_equal(next(&schedule, 0), begin);
    assert_int_equal(next(&schedule, begin), begin + TROUPE_HOURS(1));
    schedule = parse_set("every 1s from 0", 77);
    assert_int_equal(next(&schedule, 0), SECOND);
}

static void a_period_ends_with_its_last_moment(void **state)
{
    (void)state;
    uint64_t begin = moment("2026-11-22T10:00:00Z"), due = 7;
    tp_timetable schedule =
        parse_set("every 1h from 2026-11-22T10:00:00Z until 2026-11-22T12:00:00Z ", 77);
    assert_int_equal(next(&schedule, 0), begin);
    assert_int_equal(next(&schedule, begin + TROUPE_HOURS(1)), begin + TROUPE_HOURS(2));
    assert_false(tp_schedule_next(&schedule, begin + TROUPE_HOURS(2), &due));
    assert_int_equal(due, 7);
    assert_int_equal(tp_schedule_count(&schedule, 0, UINT64_MAX), 3);
    tp_schedule_step step = tp_schedule_catch_up(&schedule, 1, begin, begin + TROUPE_HOURS(9));
    assert_true(!step.more && step.missed == 2 && step.number == 4);
    schedule = parse_set("every 10s until 25000000000", 0);
    assert_int_equal(next(&schedule, 10 * SECOND), 20 * SECOND);
    assert_false(tp_schedule_next(&schedule, 20 * SECOND, &due));
    schedule = parse_set("every 1h from 5 until 5", 0);
    assert_int_equal(next(&schedule, 0), 5);
    assert_false(tp_schedule_next(&schedule, 5, &due));
}

static void once_is_due_once(void **state)
{
    (void)state;
    tp_timetable schedule = parse_set("at 2026-11-22T10:00:00Z", 0);
    uint64_t due = moment("2026-11-22T10:00:00Z");
    assert_int_equal(next(&schedule, due - 1), due);
    assert_false(tp_schedule_next(&schedule, due, &due));
    schedule = parse_set("in 5m", 40);
    assert_int_equal(next(&schedule, 40), TROUPE_MINUTES(5) + 40);
}

static void cron_is_due_as_crontab_says(void **state)
{
    (void)state;
    ASSERT_DUES(
        "30 9 * * MON-FRI", "2026-11-20T09:30:00Z", "2026-11-23T09:30:00Z", "2026-11-24T09:30:00Z");
    ASSERT_DUES("*/20 22-23,0 * * *", "2026-12-31T22:30:00Z", "2026-12-31T22:40:00Z",
        "2026-12-31T23:00:00Z", "2026-12-31T23:20:00Z", "2026-12-31T23:40:00Z",
        "2027-01-01T00:00:00Z", "2027-01-01T00:20:00Z", "2027-01-01T00:40:00Z",
        "2027-01-01T22:00:00Z");
    ASSERT_DUES("5/20 0 * jan,Dec *", "2026-11-22T00:00:00Z", "2026-12-01T00:05:00Z",
        "2026-12-01T00:25:00Z", "2026-12-01T00:45:00Z", "2026-12-02T00:05:00Z");
    ASSERT_DUES("15,45 30 12 1 * *", "2026-11-22T00:00:00Z", "2026-12-01T12:30:15Z",
        "2026-12-01T12:30:45Z", "2027-01-01T12:30:15Z");
    ASSERT_DUES("0 0 31 * *", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z",
        "2027-03-31T00:00:00Z", "2027-05-31T00:00:00Z");
    ASSERT_DUES("0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z");
    ASSERT_DUES("@hourly", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z");
    ASSERT_DUES("@daily", "2026-11-22T10:00:00Z", "2026-11-23T00:00:00Z");
    ASSERT_DUES("@weekly", "2026-11-22T10:00:00Z", "2026-11-29T00:00:00Z");
    ASSERT_DUES("@monthly", "2026-11-22T10:00:00Z", "2026-12-01T00:00:00Z");
    ASSERT_DUES("@yearly", "2026-11-22T10:00:00Z", "2027-01-01T00:00:00Z");
    ASSERT_DUES("0 0 * * 7", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z");
    ASSERT_DUES("0 0 * * FRI-SUN", "2026-11-23T00:00:00Z", "2026-11-27T00:00:00Z",
        "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-04T00:00:00Z");
}

/* crontab(5): the command runs when either field matches, unless one begins with *. */
static void day_and_weekday_are_either_or_unless_one_is_starred(void **state)
{
    (void)state;
    ASSERT_DUES("0 0 13 * FRI", "2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z",
        "2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z",
        "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z");
    ASSERT_DUES(
        "0 0 */13 * FRI", "2026-11-10T00:00:00Z", "2026-11-27T00:00:00Z", "2027-01-01T00:00:00Z");
    ASSERT_DUES("0 0 1 * */7", "2026-11-10T00:00:00Z", "2027-08-01T00:00:00Z");
    ASSERT_DUES(
        "0 0 30 2 MON", "2026-01-31T00:00:00Z", "2026-02-02T00:00:00Z", "2026-02-09T00:00:00Z");
}

static void what_can_never_be_due_is_refused_and_what_can_is_found(void **state)
{
    (void)state;
    static const char *const never[] = {"0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 2 */2"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        char error[256];
        tp_timetable schedule;
        assert_int_equal(tp_schedule_parse(troupe_str(never[i]), 0, &schedule, error, sizeof error),
            TROUPE_USAGE);
        assert_non_null(strstr(error, "never be due"));
    }
    /* The sparsest: the leap day on one weekday. No gap is over 40 years. */
    for (uint32_t weekday = 0; weekday < 7; weekday++) {
        tp_timetable schedule = parse_set("0 0 29 2 *", 0);
        schedule.weekdays = 1u << weekday;
        uint64_t due = 0;
        uint64_t count = 0;
        for (uint64_t after = 0; tp_schedule_next(&schedule, after, &due); after = due) {
            assert_true(due - after <= TROUPE_HOURS(24) * 366 * 40);
            assert_int_equal(tp_calendar_weekday((uint32_t)(due / SECOND / 86400)), weekday);
            count++;
        }
        assert_in_range(count, 18, 22);
        assert_int_equal(tp_schedule_count(&schedule, 0, UINT64_MAX), count);
    }
}

static const struct {
    const char *text;
    int column; /* 0: none is named */
    const char *words;
} wrong[] = {
    {"", 1, "every 90s"},
    {"   ", 1, "every 90s"},
    {"tomorrow", 1, "every 90s"},
    {"TZ=Europe/Berlin 0 0 * * *", 1, "UTC"},
    {"CRON_TZ=UTC 0 0 * * *", 1, "UTC"},
    {"every", 6, "missing"},
    {"every ", 6, "missing"},
    {"every 90", 9, "unit"},
    {"every 90x", 9, "unit"},
    {"every 5min", 8, "unit"},
    {"every 1.5h", 8, "unit"},
    {"every 5s1m", 10, "larger"},
    {"every 1s2s", 10, "larger"},
    {"every 0s", 7, "1ms"},
    {"every 999us", 7, "1ms"},
    {"every 99999999999999999999s", 7, "too large"},
    {"every 99999w", 7, "584 years"},
    {"every 5s now", 10, "end here"},
    {"every 5s from", 14, "year"},
    {"every 5s until", 15, "year"},
    {"every 5s until noon", 16, "year"},
    {"every 5s until 10000000000000 x", 31, "end here"},
    {"every 5s until 4999999999", 10, "before its first"},
    {"every 5s until 6000000000 from 0", 27, "end here"},
    {"in 5m 3", 7, "end here"},
    {"in 584d584", 11, "unit"},
    {"at noon", 4, "year"},
    {"at 2026-13-01T00:00:00Z", 9, "month"},
    {"at 2026-02-29T00:00:00Z", 4, "28 days"},
    {"at 2100-02-29T00:00:00Z", 4, "28 days"},
    {"at 1969-12-31T00:00:00Z", 4, "1970"},
    {"at 2026-02-28", 14, "T"},
    {"at 2026-02-28T24:00:00Z", 15, "hour"},
    {"at 2026-02-28T23:60:00Z", 18, "minute"},
    {"at 2026-02-28T23:59:60Z", 21, "second"},
    {"at 2026-02-28T23:59:59", 23, "zone"},
    {"at 2026-02-28T23:59:59.Z", 24, "fraction"},
    {"at 2026-02-28T23:59:59ZZ", 24, "end"},
    {"at 2026-02-28T23:59:59.1234567890Z", 24, "fraction"},
    {"at 1970-01-01T00:00:00+01:00", 23, "1970"},
    {"at 99999999999999999999", 4, "large"},
    {"1 2 3 4", 0, "not 4"},
    {"1 2 3 4 5 6 7", 0, "not 7"},
    {"60 * * * *", 1, "0 to 59"},
    {"* 24 * * *", 3, "0 to 23"},
    {"* * 0 * *", 5, "1 to 31"},
    {"* * * 13 *", 7, "1 to 12"},
    {"* * * * 8", 9, "0 to 7"},
    {"60 0 * * * *", 1, "a second"},
    {"* * * FOO *", 7, "JAN"},
    {"* * * * MONDAY", 9, "SUN"},
    {"* JAN * * *", 3, "not a name"},
    {"5-1 * * * *", 3, "backwards"},
    {"*/0 * * * *", 3, "step"},
    {"*/60 * * * *", 3, "step"},
    {"*/ * * * *", 3, "step"},
    {"1, * * * *", 3, "minute"},
    {"1- * * * *", 3, "minute"},
    {"1-2-3 * * * *", 4, "field"},
    {"*5 * * * *", 2, "field"},
    {"* * L * *", 5, "not a name"},
    {"* * 15W * *", 7, "field"},
    {"* * * * 5#3", 10, "field"},
    {"* * ? * *", 5, "missing"},
    {"@every 5m", 1, "every 5m"},
    {"@reboot", 1, "@hourly"},
    {"@daily 5", 8, "end here"},
    {" 0 0 30 2 *", 2, "never"},
};

static void wrong_texts_are_refused_at_their_column(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char error[256] = "";
        char column[32] = "schedule is wrong: ";
        tp_timetable schedule = {.period = 77};
        if (wrong[i].column > 0)
            snprintf(column, sizeof column, " at column %d: ", wrong[i].column);
        troupe_status status =
            tp_schedule_parse(troupe_str(wrong[i].text), 0, &schedule, error, sizeof error);
        if (status != TROUPE_USAGE || strstr(error, column) == NULL ||
            strstr(error, wrong[i].words) == NULL)
            fail_msg("%s -> %d %s", wrong[i].text, status, error);
        assert_int_equal(schedule.period, 77);
        assert_int_equal(
            tp_schedule_parse(troupe_str(wrong[i].text), 0, &schedule, NULL, 0), TROUPE_USAGE);
    }
    char longest[TP_SCHEDULE_TEXT_MAX + 1];
    char error[256];
    tp_timetable schedule;
    memset(longest, ' ', sizeof longest);
    memcpy(longest, "in 5m", 5);
    assert_int_equal(tp_schedule_parse(troupe_slice_of(longest, TP_SCHEDULE_TEXT_MAX), 0, &schedule,
                         error, sizeof error),
        TROUPE_OK);
    assert_int_equal(tp_schedule_parse(troupe_slice_of(longest, TP_SCHEDULE_TEXT_MAX + 1), 0,
                         &schedule, error, sizeof error),
        TROUPE_USAGE);
    assert_non_null(strstr(error, "256"));
}

/* ------------------------------------------------------------------------------------------
 * The model: a clock that ticks seconds, and sets as arrays.
 */
typedef struct ticks {
    int year, month, day, weekday, hour, minute, second;
    uint64_t wall;
} ticks;

static int month_length(int year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return lengths[month - 1] +
           (month == 2 && ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0));
}

static void tick_day(ticks *clock)
{
    clock->weekday = (clock->weekday + 1) % 7;
    if (++clock->day > month_length(clock->year, clock->month)) {
        clock->day = 1;
        if (++clock->month > 12) {
            clock->month = 1;
            clock->year++;
        }
    }
}

static void tick(ticks *clock)
{
    clock->wall += SECOND;
    if (++clock->second < 60)
        return;
    clock->second = 0;
    if (++clock->minute < 60)
        return;
    clock->minute = 0;
    if (++clock->hour < 24)
        return;
    clock->hour = 0;
    tick_day(clock);
}

static ticks ticks_at(int year, int month, int day)
{
    ticks clock = {.year = 1970, .month = 1, .day = 1, .weekday = 4};
    while (clock.year != year || clock.month != month || clock.day != day) {
        tick_day(&clock);
        clock.wall += 86400 * SECOND;
    }
    return clock;
}

typedef struct model_field {
    bool in[61];
    bool is_starred;
    char text[80];
} model_field;

typedef struct model {
    model_field second, minute, hour, day, month, weekday;
    char text[512];
} model;

static bool model_day(const model *self, const ticks *at)
{
    bool day = self->day.in[at->day];
    bool weekday = self->weekday.in[at->weekday];
    bool fits = self->day.is_starred || self->weekday.is_starred ? day && weekday : day || weekday;
    return fits && self->month.in[at->month];
}

static bool model_is_due(const model *self, const ticks *at)
{
    return self->second.in[at->second] && self->minute.in[at->minute] && self->hour.in[at->hour] &&
           model_day(self, at);
}

/* One item of a list, as text and as members. */
static void random_item(tp_prng *prng, model_field *field, int low, int high)
{
    char item[24];
    int span = high - low;
    int first = low + (int)tp_prng_below(prng, (uint64_t)span + 1);
    int last = first;
    int step = 1;
    switch (tp_prng_below(prng, 4)) {
    case 0:
        snprintf(item, sizeof item, "%d", first);
        break;
    case 1:
        last = first + (int)tp_prng_below(prng, (uint64_t)(high - first) + 1);
        snprintf(item, sizeof item, "%d-%d", first, last);
        break;
    case 2:
        last = first + (int)tp_prng_below(prng, (uint64_t)(high - first) + 1);
        step = 1 + (int)tp_prng_below(prng, (uint64_t)span);
        snprintf(item, sizeof item, "%d-%d/%d", first, last, step);
        break;
    default:
        last = high;
        step = 1 + (int)tp_prng_below(prng, (uint64_t)span);
        snprintf(item, sizeof item, "%d/%d", first, step);
    }
    for (int value = first; value <= last; value += step)
        field->in[value] = true;
    snprintf(field->text + strlen(field->text), sizeof field->text - strlen(field->text), "%s%s",
        field->text[0] != '\0' ? "," : "", item);
}

static void random_field(tp_prng *prng, model_field *field, int low, int high, unsigned starred)
{
    memset(field, 0, sizeof *field);
    if (tp_prng_below(prng, 10) < starred) {
        int step =
            tp_prng_below(prng, 3) > 0 ? 1 : 1 + (int)tp_prng_below(prng, (uint64_t)(high - low));
        field->is_starred = true;
        for (int value = low; value <= high; value += step)
            field->in[value] = true;
        if (step == 1)
            snprintf(field->text, sizeof field->text, "*");
        else
            snprintf(field->text, sizeof field->text, "*/%d", step);
        return;
    }
    for (uint64_t items = 1 + tp_prng_below(prng, 3); items > 0; items--)
        random_item(prng, field, low, high);
}

static void random_model(tp_prng *prng, model *self)
{
    random_field(prng, &self->second, 0, 59, 1);
    random_field(prng, &self->minute, 0, 59, 2);
    random_field(prng, &self->hour, 0, 23, 3);
    random_field(prng, &self->day, 1, 31, 4);
    random_field(prng, &self->month, 1, 12, 6);
    random_field(prng, &self->weekday, 0, 6, 5);
    snprintf(self->text, sizeof self->text, "%s %s %s %s %s %s", self->second.text,
        self->minute.text, self->hour.text, self->day.text, self->month.text, self->weekday.text);
}

/* Lives through `days` days, and compares every due time, and the count of them. A day that is not
 * due is passed at once, or the years would take hours. */
static unsigned live_through(const model *self, const tp_timetable *schedule, ticks clock, int days)
{
    uint64_t begin = clock.wall - 1;
    uint64_t last = begin;
    uint64_t expected = 0;
    unsigned dues = 0;
    bool more = tp_schedule_next(schedule, begin, &expected);
    for (int day = 0; day < days; day++) {
        if (!model_day(self, &clock)) {
            tick_day(&clock);
            clock.wall += 86400 * SECOND;
            continue;
        }
        for (int second = 0; second < 86400; second++, tick(&clock)) {
            if (!model_is_due(self, &clock))
                continue;
            if (!more || expected != clock.wall)
                fail_msg("%s: due at %llu, found %llu", self->text, (unsigned long long)clock.wall,
                    (unsigned long long)expected);
            dues++;
            last = expected;
            more = tp_schedule_next(schedule, last, &expected);
        }
    }
    assert_true(!more || expected >= clock.wall);
    assert_int_equal(tp_schedule_count(schedule, begin, clock.wall - 1), dues);
    assert_int_equal(tp_schedule_count(schedule, begin, last), dues);
    if (dues > 0)
        assert_int_equal(tp_schedule_count(schedule, begin, last - 1), dues - 1);
    return dues;
}

static void cron_is_due_when_the_model_is_second_by_second_through_years(void **state)
{
    (void)state;
    static const int begins[][3] = {{2026, 11, 22}, {2027, 12, 30}, {2096, 2, 1}, {2000, 1, 31},
        {1970, 1, 1}, {2099, 12, 1}, {2400, 2, 27}};
    tp_prng prng;
    tp_prng_seed(&prng, 7);
    unsigned refused = 0;
    unsigned dues = 0;
    for (unsigned round = 0; round < 210; round++) {
        model self;
        random_model(&prng, &self);
        const int *begin = begins[round % 7];
        ticks clock = ticks_at(begin[0], begin[1], begin[2]);
        if (clock.wall == 0)
            clock = ticks_at(1970, 1, 2); /* begins are reached from before them */
        char error[256];
        tp_timetable schedule;
        /* Few expressions go through nine years, with 2100, which has no leap day. */
        int days = round % 70 == 2 ? 366 * 9 : 20 + (int)tp_prng_below(&prng, 80);
        if (tp_schedule_parse(troupe_str(self.text), 0, &schedule, error, sizeof error) !=
            TROUPE_OK) {
            assert_non_null(strstr(error, "never be due"));
            memset(&schedule, 0, sizeof schedule);
            refused++;
            for (int day = 0; day < 366 * 9; day++, tick_day(&clock))
                assert_false(model_day(&self, &clock));
            continue;
        }
        dues += live_through(&self, &schedule, clock, days);
    }
    assert_true(refused < 20 && dues > 100000);
}

static void leap_days_month_ends_and_the_last_second_of_a_year_are_met(void **state)
{
    (void)state;
    model self;
    static const char *const texts[] = {"59 59 23 28-31 * *", "0 0 0 29 2 *", "0 0 0 1 1,3 *",
        "59 59 23 31 12 *", "0 0 0 */30 * *"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        memset(&self, 0, sizeof self);
        snprintf(self.text, sizeof self.text, "%s", texts[i]);
        tp_timetable schedule = parse_set(texts[i], 0);
        for (int value = 0; value < 60; value++) {
            self.second.in[value] = schedule.seconds >> value & 1;
            self.minute.in[value] = schedule.minutes >> value & 1;
            self.hour.in[value] = value < 24 && (schedule.hours >> value & 1);
            self.day.in[value] = value < 32 && (schedule.days >> value & 1);
            self.month.in[value] = value < 13 && (schedule.months >> value & 1);
            self.weekday.in[value] = value < 7;
        }
        self.weekday.is_starred = true;
        assert_true(live_through(&self, &schedule, ticks_at(2095, 12, 30), 366 * 10) > 1);
    }
}

/* ------------------------------------------------------------------------------------------ */

static void missed_due_times_are_counted_and_fire_once(void **state)
{
    (void)state;
    tp_timetable schedule = parse_set("every 10s", 0);
    tp_schedule_step step = tp_schedule_catch_up(&schedule, 1, 10 * SECOND, 10 * SECOND);
    assert_true(step.more && step.missed == 0 && step.number == 2 && step.due == 20 * SECOND);
    step = tp_schedule_catch_up(&schedule, 1, 10 * SECOND, 45 * SECOND);
    assert_true(step.more && step.missed == 3 && step.number == 5 && step.due == 50 * SECOND);
    step = tp_schedule_catch_up(&schedule, 4, 40 * SECOND, 50 * SECOND);
    assert_true(step.more && step.missed == 1 && step.number == 6 && step.due == 60 * SECOND);
    /* The clock was set back: the next one is after this one all the same. */
    step = tp_schedule_catch_up(&schedule, 4, 40 * SECOND, 5 * SECOND);
    assert_true(step.more && step.missed == 0 && step.number == 5 && step.due == 50 * SECOND);
    schedule = parse_set("in 10s", 0);
    step = tp_schedule_catch_up(&schedule, 1, 10 * SECOND, 99 * SECOND);
    assert_true(!step.more && step.missed == 0 && step.number == 2);
    schedule = parse_set("0 9 * * MON-FRI", 0);
    uint64_t friday = moment("2026-11-20T09:00:00Z");
    step = tp_schedule_catch_up(&schedule, 8, friday, moment("2026-11-25T10:00:00Z"));
    assert_true(step.more && step.missed == 3 && step.number == 12);
    assert_int_equal(step.due, moment("2026-11-26T09:00:00Z"));
}

/* A node that was off for five centuries counts as quickly as one that was off for a minute. */
static void the_work_is_bounded_however_much_was_missed(void **state)
{
    (void)state;
    tp_timetable schedule = parse_set("* * * * * *", 0);
    uint64_t last = UINT64_MAX / SECOND;
    for (int i = 0; i < 100; i++)
        assert_int_equal(tp_schedule_count(&schedule, 0, UINT64_MAX), last);
    uint64_t due = 0;
    assert_true(tp_schedule_next(&schedule, (last - 1) * SECOND, &due));
    assert_int_equal(due, last * SECOND);
    assert_false(tp_schedule_next(&schedule, last * SECOND, &due));
    assert_false(tp_schedule_next(&schedule, UINT64_MAX, &due));
    /* 64 bits end in July 2554. */
    schedule = parse_set("0 0 1 7,8 *", 0);
    due = next(&schedule, UINT64_MAX - TROUPE_HOURS(24 * 30));
    assert_false(tp_schedule_next(&schedule, due, &due));
    schedule = parse_set("every 1ms from 0", 0);
    assert_int_equal(tp_schedule_count(&schedule, 0, UINT64_MAX), UINT64_MAX / 1000000);
    tp_schedule_step step = tp_schedule_catch_up(&schedule, 1, 0, UINT64_MAX);
    assert_false(step.more);
    assert_int_equal(tp_schedule_count(&schedule, 9, 9), 0);
    assert_int_equal(tp_schedule_count(&schedule, 9, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_those_of_the_c_library),
        cmocka_unit_test(a_period_counts_from_when_it_was_set),
        cmocka_unit_test(a_period_from_a_moment_begins_there),
        cmocka_unit_test(a_period_ends_with_its_last_moment),
        cmocka_unit_test(once_is_due_once),
        cmocka_unit_test(cron_is_due_as_crontab_says),
        cmocka_unit_test(day_and_weekday_are_either_or_unless_one_is_starred),
        cmocka_unit_test(what_can_never_be_due_is_refused_and_what_can_is_found),
        cmocka_unit_test(wrong_texts_are_refused_at_their_column),
        cmocka_unit_test(cron_is_due_when_the_model_is_second_by_second_through_years),
        cmocka_unit_test(leap_days_month_ends_and_the_last_second_of_a_year_are_met),
        cmocka_unit_test(missed_due_times_are_counted_and_fire_once),
        cmocka_unit_test(the_work_is_bounded_however_much_was_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
