/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the texts of store/schedule.h. Errors say the column, counted in bytes from 1 in the text
 * as it was given, what is wrong there and what to write. tp_schedule_parse is all that it is for.
 *
 * Invariants: a reader only goes forward and never past its end; after the first error nothing is
 * read and no other error is written.
 * Threads: pure.
 */
#include "store/schedule.h"

#include "base/text.h"
#include "store/calendar.h"

typedef struct reader {
    const char *text;
    size_t size;
    size_t at;
    uint64_t set;
    tp_text error;
} reader;

/* Column 0: of the whole. */
static bool TROUPE_PRINTF(3, 4) fail(reader *self, size_t column, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tp_text_printf(&self->error,
        column > 0 ? "the schedule is wrong at column %zu: " : "the schedule is wrong: ", column);
    tp_text_vprintf(&self->error, format, arguments);
    va_end(arguments);
    return false;
}

static char peek(const reader *self)
{
    return self->at < self->size ? self->text[self->at] : '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether nothing of the word is left; a text ends without spaces. */
static bool is_word_end(const reader *self)
{
    return self->at == self->size || is_space(self->text[self->at]);
}

static void skip_spaces(reader *self)
{
    while (self->at < self->size && is_space(self->text[self->at]))
        self->at++;
}

static bool begins_with(const reader *self, const char *word)
{
    size_t size = strlen(word);
    return self->size - self->at >= size && memcmp(self->text + self->at, word, size) == 0;
}

static bool take_char(reader *self, char c)
{
    if (self->at == self->size || self->text[self->at] != c)
        return false;
    self->at++;
    return true;
}

/* Takes `word` if it stands here whole, and the spaces behind it. */
static bool take_word(reader *self, const char *word)
{
    size_t begin = self->at;
    if (!begins_with(self, word))
        return false;
    self->at += strlen(word);
    if (!is_word_end(self)) {
        self->at = begin;
        return false;
    }
    skip_spaces(self);
    return true;
}

static bool expect_end(reader *self)
{
    skip_spaces(self);
    return self->at == self->size || fail(self, self->at + 1, "the text should end here");
}

static bool read_number(reader *self, const char *what, uint64_t *ret_number)
{
    size_t begin = self->at;
    uint64_t number = 0;
    while (is_digit(peek(self))) {
        uint64_t digit = (uint64_t)(self->text[self->at++] - '0');
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return fail(self, begin + 1, "the number is too large");
    }
    if (self->at == begin)
        return fail(self, begin + 1, "%s is missing here", what);
    *ret_number = number;
    return true;
}

/* ------------------------------------------------------------------------------------------
 * Durations
 */
typedef struct unit {
    const char *name;
    uint64_t size;
} unit;

static const unit units[] = {
    {"w", TROUPE_HOURS(7 * 24)},
    {"d", TROUPE_HOURS(24)},
    {"h", TROUPE_HOURS(1)},
    {"ms", TROUPE_MILLISECONDS(1)},
    {"m", TROUPE_MINUTES(1)},
    {"s", TROUPE_SECONDS(1)},
    {"us", TROUPE_MICROSECONDS(1)},
    {"ns", 1},
};

enum { UNITS = sizeof units / sizeof units[0] };

/* The size of the unit that stands here whole; 0: none. */
static uint64_t take_unit(reader *self)
{
    for (size_t i = 0; i < UNITS; i++) {
        size_t end = self->at + strlen(units[i].name);
        if (begins_with(self, units[i].name) &&
            (end == self->size || !is_letter(self->text[end]))) {
            self->at = end;
            return units[i].size;
        }
    }
    return 0;
}

static bool read_duration(reader *self, uint64_t *ret_duration)
{
    uint64_t sum = 0;
    uint64_t last = UINT64_MAX;
    do {
        uint64_t number;
        size_t begin = self->at;
        if (!read_number(self, "a duration, as 90s or 1h30m,", &number))
            return false;
        size_t place = self->at;
        uint64_t size = take_unit(self);
        if (size == 0)
            return fail(self, place + 1, "a unit is missing here: w, d, h, m, s, ms, us or ns");
        if (size >= last)
            return fail(self, place + 1, "units go from the larger to the smaller, each once");
        last = size;
        if (__builtin_mul_overflow(number, size, &number) ||
            __builtin_add_overflow(sum, number, &sum))
            return fail(self, begin + 1, "the duration is longer than 584 years");
    } while (!is_word_end(self));
    *ret_duration = sum;
    return true;
}

/* ------------------------------------------------------------------------------------------
 * Moments
 */

/* A number of exactly `digits` digits between two bounds. */
static bool read_part(reader *self, const char *what, unsigned digits, uint32_t low, uint32_t high,
    uint32_t *ret_part)
{
    size_t begin = self->at;
    uint32_t part = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (!is_digit(peek(self)))
            return fail(self, begin + 1, "%s of %u digits is missing here", what, digits);
        part = part * 10 + (uint32_t)(self->text[self->at++] - '0');
    }
    if (part < low || part > high)
        return fail(self, begin + 1, "%s is from %u to %u", what, low, high);
    *ret_part = part;
    return true;
}

static bool expect_char(reader *self, char c, const char *what)
{
    return take_char(self, c) ||
           fail(self, self->at + 1, "%s is missing here: write 2026-11-22T10:00:00Z", what);
}

static bool read_date(reader *self, uint64_t *ret_second)
{
    size_t begin = self->at;
    tp_date date;
    if (!read_part(self, "a year", 4, 1970, 2553, &date.year) || !expect_char(self, '-', "`-`") ||
        !read_part(self, "a month", 2, 1, 12, &date.month) || !expect_char(self, '-', "`-`") ||
        !read_part(self, "a day", 2, 1, 31, &date.day))
        return false;
    if (date.day > tp_calendar_month_length(date.year, date.month))
        return fail(self, begin + 1, "there is no such day: that month has %u days",
            tp_calendar_month_length(date.year, date.month));
    *ret_second = (uint64_t)tp_calendar_days(date) * TP_CALENDAR_DAY_SECONDS;
    return true;
}

/* hh:mm, hh:mm:ss or hh:mm:ss.fraction */
static bool read_clock(reader *self, uint64_t *ret_second, uint64_t *ret_fraction)
{
    uint32_t hour, minute, second = 0;
    uint64_t fraction = 0;
    if (!read_part(self, "an hour", 2, 0, 23, &hour) || !expect_char(self, ':', "`:`") ||
        !read_part(self, "a minute", 2, 0, 59, &minute))
        return false;
    if (take_char(self, ':')) {
        if (!read_part(self, "a second", 2, 0, 59, &second))
            return false;
        if (take_char(self, '.')) {
            uint64_t weight = TP_CALENDAR_SECOND;
            size_t begin = self->at;
            for (; is_digit(peek(self)) && weight > 1; self->at++) {
                weight /= 10;
                fraction += weight * (uint64_t)(self->text[self->at] - '0');
            }
            if (self->at == begin || is_digit(peek(self)))
                return fail(self, begin + 1, "a fraction of a second has 1 to 9 digits");
        }
    }
    *ret_second = (uint64_t)hour * 3600 + minute * 60 + second;
    *ret_fraction = fraction;
    return true;
}

/* Z, +hh:mm or -hh:mm: moves `*second` to UTC. */
static bool read_zone(reader *self, uint64_t *second)
{
    size_t begin = self->at;
    if (take_char(self, 'Z'))
        return true;
    bool is_east = take_char(self, '+');
    if (!is_east && !take_char(self, '-'))
        return fail(self, begin + 1, "the zone is missing here: write Z for UTC, or as +01:00");
    uint32_t hour, minute;
    if (!read_part(self, "an offset's hour", 2, 0, 23, &hour) || !expect_char(self, ':', "`:`") ||
        !read_part(self, "an offset's minute", 2, 0, 59, &minute))
        return false;
    uint64_t offset = (uint64_t)hour * 3600 + minute * 60;
    if (is_east && offset > *second)
        return fail(self, begin + 1, "the moment is before 1970");
    *second = is_east ? *second - offset : *second + offset;
    return true;
}

static bool read_moment(reader *self, uint64_t *ret_moment)
{
    size_t digits = self->at;
    while (digits < self->size && is_digit(self->text[digits]))
        digits++;
    if (digits > self->at && (digits == self->size || is_space(self->text[digits])))
        return read_number(self, "a moment", ret_moment);
    uint64_t day = 0;
    uint64_t second = 0;
    uint64_t fraction = 0;
    if (!read_date(self, &day) || !expect_char(self, 'T', "`T` and the time") ||
        !read_clock(self, &second, &fraction))
        return false;
    second += day;
    if (!read_zone(self, &second))
        return false;
    if (!is_word_end(self))
        return fail(self, self->at + 1, "the moment should end here");
    /* Years end at 2553, so that this cannot overflow. */
    *ret_moment = second * TP_CALENDAR_SECOND + fraction;
    return true;
}

/* ------------------------------------------------------------------------------------------
 * Cron
 */
typedef struct field {
    const char *name;
    uint32_t low;
    uint32_t high;
    uint32_t first_name; /* the value of the first of the names */
    const char *names;   /* of three letters, one behind the other */
} field;

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const field fields[FIELDS] = {
    [SECOND] = {"a second", 0, 59, 0, ""},
    [MINUTE] = {"a minute", 0, 59, 0, ""},
    [HOUR] = {"an hour", 0, 23, 0, ""},
    [DAY] = {"a day of the month", 1, 31, 0, ""},
    [MONTH] = {"a month", 1, 12, 1, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
    [WEEKDAY] = {"a weekday", 0, 7, 0, "SUNMONTUEWEDTHUFRISAT"},
};

static bool is_name(const char *text, const char *name)
{
    for (int i = 0; i < 3; i++)
        if ((text[i] & ~0x20) != name[i])
            return false;
    return true;
}

static bool read_name(reader *self, const field *kind, uint32_t *ret_value)
{
    size_t length = 0;
    while (self->at + length < self->size && is_letter(self->text[self->at + length]))
        length++;
    uint32_t value = kind->first_name;
    for (const char *name = kind->names; length == 3 && *name != '\0'; name += 3, value++)
        if (is_name(self->text + self->at, name)) {
            self->at += length;
            *ret_value = value;
            return true;
        }
    if (kind->names[0] == '\0')
        return fail(self, self->at + 1, "%s is a number from %u to %u, not a name", kind->name,
            kind->low, kind->high);
    return fail(self, self->at + 1, "%s is a number from %u to %u, or a name as %.3s", kind->name,
        kind->low, kind->high, kind->names);
}

static bool read_value(reader *self, const field *kind, uint32_t *ret_value)
{
    size_t begin = self->at;
    uint64_t value;
    if (is_letter(peek(self)))
        return read_name(self, kind, ret_value);
    if (!read_number(self, kind->name, &value))
        return false;
    if (value < kind->low || value > kind->high)
        return fail(self, begin + 1, "%s is from %u to %u", kind->name, kind->low, kind->high);
    *ret_value = (uint32_t)value;
    return true;
}

/* N-M; `high` is N. */
static bool read_range_end(reader *self, const field *kind, uint32_t low, uint32_t *high)
{
    size_t begin = self->at;
    if (!read_value(self, kind, high))
        return false;
    if (kind == &fields[WEEKDAY] && *high == 0 && low > 0)
        *high = 7; /* FRI-SUN */
    return *high >= low ||
           fail(self, begin + 1, "the range goes backwards: write two, as 22-23,0-5");
}

/* *, N or N-M, each with /STEP. */
static bool read_item(reader *self, const field *kind, uint64_t *mask)
{
    uint32_t low = kind->low;
    uint32_t high = kind == &fields[WEEKDAY] ? 6 : kind->high;
    bool is_single = false;
    if (!take_char(self, '*')) {
        if (!read_value(self, kind, &low))
            return false;
        is_single = !take_char(self, '-');
        if (!is_single && !read_range_end(self, kind, low, &high))
            return false;
        high = is_single && high < low ? low : high; /* weekday 7 */
    }
    uint64_t step = 1;
    size_t begin = self->at + 1;
    if (take_char(self, '/')) {
        if (!read_number(self, "a step", &step))
            return false;
        if (step == 0 || step > kind->high - kind->low)
            return fail(self, begin + 1, "a step is from 1 to %u here", kind->high - kind->low);
    } else if (is_single) {
        high = low;
    }
    for (uint64_t value = low; value <= high; value += step)
        *mask |= UINT64_C(1) << value;
    return true;
}

static bool read_field(reader *self, const field *kind, uint64_t *ret_mask)
{
    uint64_t mask = 0;
    do {
        if (!read_item(self, kind, &mask))
            return false;
    } while (take_char(self, ','));
    if (!is_word_end(self))
        return fail(self, self->at + 1,
            "a field is a list of *, N or N-M, each with /STEP if you like: this is none of it");
    skip_spaces(self);
    *ret_mask = mask;
    return true;
}

static unsigned count_words(const reader *self)
{
    unsigned words = 0;
    for (size_t i = self->at; i < self->size; i++)
        if (!is_space(self->text[i]) && (i == self->at || is_space(self->text[i - 1])))
            words++;
    return words;
}

/* Whether any month has a day that both masks allow. A year of 400 has each day on each weekday, so
 * weekdays exclude none for ever. */
static bool can_be_due(const tp_timetable *schedule)
{
    if (schedule->either)
        return true;
    for (uint32_t month = 1; month <= 12; month++) {
        uint32_t length = tp_calendar_month_length(2000, month);
        if ((schedule->months >> month & 1) && (schedule->days & ((UINT64_C(2) << length) - 2)))
            return true;
    }
    return false;
}

static bool read_cron(reader *self, tp_timetable *schedule)
{
    size_t begin = self->at;
    unsigned words = count_words(self);
    if (words != FIELDS && words != FIELDS - 1)
        return fail(self, 0,
            "a cron expression has five fields (minute hour day month weekday), or six (the second "
            "first), not %u",
            words);
    uint64_t masks[FIELDS] = {1};
    bool is_starred[FIELDS] = {false};
    for (unsigned i = words == FIELDS ? SECOND : MINUTE; i < FIELDS; i++) {
        is_starred[i] = peek(self) == '*';
        if (!read_field(self, &fields[i], &masks[i]))
            return false;
    }
    schedule->kind = TP_SCHEDULE_CRON;
    schedule->seconds = masks[SECOND];
    schedule->minutes = masks[MINUTE];
    schedule->hours = (uint32_t)masks[HOUR];
    schedule->days = (uint32_t)masks[DAY];
    schedule->months = (uint32_t)masks[MONTH];
    schedule->weekdays = (uint32_t)((masks[WEEKDAY] | masks[WEEKDAY] >> 7) & 0x7f);
    schedule->either = !is_starred[DAY] && !is_starred[WEEKDAY];
    return can_be_due(schedule) ||
           fail(self, begin + 1, "no month that it names has such a day: it would never be due");
}

static bool read_macro(reader *self, tp_timetable *schedule)
{
    static const struct {
        const char *name;
        const char *text;
    } macros[] = {
        {"@hourly", "0 * * * *"},
        {"@daily", "0 0 * * *"},
        {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 0"},
        {"@monthly", "0 0 1 * *"},
        {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"},
    };
    for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++)
        if (take_word(self, macros[i].name)) {
            reader inner = {.text = macros[i].text, .size = strlen(macros[i].text)};
            return read_cron(&inner, schedule) && expect_end(self);
        }
    return fail(self, self->at + 1,
        "known are @hourly @daily @midnight @weekly @monthly @yearly and @annually; for periods "
        "write `every 5m`");
}

/* ------------------------------------------------------------------------------------------ */

/* `until MOMENT`, or nothing. */
static bool read_last(reader *self, tp_timetable *schedule)
{
    skip_spaces(self);
    size_t begin = self->at;
    schedule->last = UINT64_MAX;
    if (!take_word(self, "until"))
        return expect_end(self);
    if (!read_moment(self, &schedule->last) || !expect_end(self))
        return false;
    return schedule->last >= schedule->start ||
           fail(self, begin + 1, "it ends before its first due time");
}

static bool read_every(reader *self, tp_timetable *schedule)
{
    size_t begin = self->at;
    if (!read_duration(self, &schedule->period))
        return false;
    if (schedule->period < TP_SCHEDULE_PERIOD_MIN)
        return fail(self, begin + 1, "a period is 1ms at least: for less use a timer");
    schedule->kind = TP_SCHEDULE_EVERY;
    skip_spaces(self);
    if (take_word(self, "from"))
        return read_moment(self, &schedule->start) && read_last(self, schedule);
    if (__builtin_add_overflow(self->set, schedule->period, &schedule->start))
        return fail(self, begin + 1, "its first due time is after year 2554");
    return read_last(self, schedule);
}

static bool read_in(reader *self, tp_timetable *schedule)
{
    size_t begin = self->at;
    uint64_t duration;
    if (!read_duration(self, &duration))
        return false;
    schedule->kind = TP_SCHEDULE_ONCE;
    if (__builtin_add_overflow(self->set, duration, &schedule->start))
        return fail(self, begin + 1, "its due time is after year 2554");
    return expect_end(self);
}

static bool read_schedule(reader *self, tp_timetable *schedule)
{
    if (take_word(self, "every"))
        return read_every(self, schedule);
    if (take_word(self, "in"))
        return read_in(self, schedule);
    if (take_word(self, "at")) {
        schedule->kind = TP_SCHEDULE_ONCE;
        return read_moment(self, &schedule->start) && expect_end(self);
    }
    if (peek(self) == '@')
        return read_macro(self, schedule);
    if (begins_with(self, "TZ=") || begins_with(self, "CRON_TZ="))
        return fail(self, self->at + 1, "schedules are in UTC: leave TZ out and give UTC's hours");
    if (is_digit(peek(self)) || peek(self) == '*')
        return read_cron(self, schedule);
    return fail(self, self->at + 1,
        "write `every 90s`, `in 5m`, `at 2026-11-22T10:00:00Z` or a cron expression as "
        "`30 9 * * MON-FRI`");
}

troupe_status tp_schedule_parse(
    troupe_slice text, uint64_t set, tp_timetable *ret_schedule, char *error, size_t error_size)
{
    reader self = {.text = text.data, .size = text.size, .set = set};
    tp_timetable schedule;
    memset(&schedule, 0, sizeof schedule);
    tp_text_init(&self.error, error, error_size);
    if (text.size > TP_SCHEDULE_TEXT_MAX) {
        fail(&self, 0, "it is longer than %d bytes", TP_SCHEDULE_TEXT_MAX);
        return TROUPE_USAGE;
    }
    while (self.size > 0 && is_space(self.text[self.size - 1]))
        self.size--;
    skip_spaces(&self);
    if (!read_schedule(&self, &schedule))
        return TROUPE_USAGE;
    *ret_schedule = schedule;
    return TROUPE_OK;
}
