/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes reminders and timers in the words of the Dapr actors API. See alarm.h.
 *
 * Threads: pure.
 */
#include "gateway/alarm.h"

#include "store/schedule.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DAY TROUPE_HOURS(24)

static bool say(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return false;
}

/* ---- durations ------------------------------------------------------------------------------- */

#define NO_DURATION "a duration is written as 1h30m5s500ms or P1DT2H3M4S"
#define NO_LENGTH   "years and months have no length: give days or hours"
#define TOO_LONG    "a duration is longer than 584 years"

typedef struct unit {
    const char *name;
    uint64_t size;
} unit;

/* A longer name before one that it begins with. */
static const unit units_of_go[] = {{"ms", TROUPE_MILLISECONDS(1)}, {"us", TROUPE_MICROSECONDS(1)},
    {"\xC2\xB5s", TROUPE_MICROSECONDS(1)}, {"\xCE\xBCs", TROUPE_MICROSECONDS(1)}, {"ns", 1},
    {"h", TROUPE_HOURS(1)}, {"m", TROUPE_MINUTES(1)}, {"s", TROUPE_SECONDS(1)}, {NULL, 0}};
static const unit units_of_dates[] = {
    {"w", TROUPE_HOURS(7 * 24)}, {"d", DAY}, {"y", 0}, {"m", 0}, {NULL, 0}};
static const unit units_of_times[] = {
    {"h", TROUPE_HOURS(1)}, {"m", TROUPE_MINUTES(1)}, {"s", TROUPE_SECONDS(1)}, {NULL, 0}};

/* A number with a unit of the list; `*at` goes behind it. */
static bool read_part(const char **at, const unit *units, uint64_t *sum, const char **ret_reason)
{
    uint64_t whole = 0, fraction = 0, weight = 1;
    size_t digits = strspn(*at, "0123456789");
    const char *end = *at + digits;
    for (; *at < end; (*at)++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(**at - '0'), &whole))
            return say(ret_reason, TOO_LONG);
    if (**at == '.') {
        for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, digits++)
            if (weight < TROUPE_SECONDS(1)) {
                fraction = fraction * 10 + (uint64_t)(**at - '0');
                weight *= 10;
            }
    }
    for (; units->name != NULL; units++)
        if (strncasecmp(*at, units->name, strlen(units->name)) == 0)
            break;
    if (digits == 0 || units->name == NULL)
        return say(ret_reason, NO_DURATION);
    if (units->size == 0)
        return say(ret_reason, NO_LENGTH);
    *at += strlen(units->name);
    uint64_t part;
    /* At most 3.6e12 times 1e9 over 1e9. */
    __extension__ typedef unsigned __int128 wide;
    uint64_t rest = (uint64_t)((wide)fraction * units->size / weight);
    if (__builtin_mul_overflow(whole, units->size, &part) ||
        __builtin_add_overflow(part, rest, &part) || __builtin_add_overflow(*sum, part, sum))
        return say(ret_reason, TOO_LONG);
    return true;
}

bool tp_alarm_duration(const char *text, uint64_t *ret_duration, const char **ret_reason)
{
    uint64_t sum = 0;
    bool is_iso = *text == 'P' || *text == 'p';
    const unit *units = is_iso ? units_of_dates : units_of_go;
    const char *at = text + is_iso;
    if (strcmp(text, "0") == 0) { /* which Go takes, too */
        *ret_duration = 0;
        return true;
    }
    do {
        if (is_iso && units == units_of_dates && (*at == 'T' || *at == 't')) {
            units = units_of_times;
            at++;
        }
        if (!read_part(&at, units, &sum, ret_reason))
            return false;
    } while (*at != 0);
    *ret_duration = sum;
    return true;
}

/* A duration from `base` on, or a moment. */
static bool read_moment(
    const char *text, uint64_t base, uint64_t *ret_moment, const char **ret_reason)
{
    uint64_t duration;
    size_t size = strlen(text);
    if (size >= 11 && text[4] == '-' && size < TP_ALARM_MOMENT_MAX) {
        char at[TP_ALARM_MOMENT_MAX + 4];
        tp_timetable once;
        (void)snprintf(at, sizeof at, "at %s", text);
        if (tp_schedule_parse(troupe_str(at), 0, &once, NULL, 0) != TROUPE_OK)
            return say(ret_reason, "a moment is written as 2026-11-22T10:00:00Z");
        *ret_moment = once.start;
        return true;
    }
    if (!tp_alarm_duration(text, &duration, ret_reason))
        return false;
    if (__builtin_add_overflow(base, duration, ret_moment))
        return say(ret_reason, "its time is after year 2554");
    return true;
}

/* `R5/PT1S`, `@every 1s`, a duration; 0 times: no end. */
static bool read_period(
    const char *text, uint64_t *ret_period, uint64_t *ret_times, const char **ret_reason)
{
    *ret_period = *ret_times = 0;
    if (*text == 'R' || *text == 'r') {
        size_t digits = strspn(text + 1, "0123456789");
        if (digits == 0 || digits > 9 || (text[1 + digits] != 0 && text[1 + digits] != '/'))
            return say(ret_reason, "a repetition is written as R5/PT1S");
        *ret_times = strtoull(text + 1, NULL, 10);
        if (*ret_times == 0)
            return say(ret_reason, "a repetition of 0 times never comes");
        text += 1 + digits;
        if (*text == 0) { /* without a period it has nothing to come again by */
            *ret_times = 0;
            return true;
        }
        text++;
    }
    if (strncmp(text, "@every ", 7) == 0)
        text += 7;
    if (*text == 0)
        return *ret_times == 0 || say(ret_reason, "a repetition is written as R5/PT1S");
    if (!tp_alarm_duration(text, ret_period, ret_reason))
        return false;
    if (*ret_period != 0 && *ret_period < TP_SCHEDULE_PERIOD_MIN)
        return say(ret_reason, "a period is a millisecond at least");
    return true;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* Where the value of the member "data" is, of an object that jansson has read: its strings are
 * whole and its brackets match. Empty: its name is written by escapes. */
static troupe_slice find_data(troupe_slice body)
{
    const char *text = body.data, *end = text + body.size, *name = NULL, *begin = NULL;
    int depth = 0;
    for (const char *at = text; at < end; at++) {
        const char *from = at;
        if (*at == '"') {
            for (at++; *at != '"'; at++)
                at += *at == '\\';
            if (depth == 1 && begin == NULL)
                name = from;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == ':' && depth == 1 && begin == NULL) {
            begin = at + 1;
        } else if (depth == 1 && begin != NULL && (*at == ',' || *at == '}')) {
            if (name != NULL && strncmp(name, "\"data\"", 6) == 0)
                return troupe_slice_of(begin, (size_t)(at - begin));
            begin = NULL;
        }
        if (*at == '}' || *at == ']')
            depth--;
    }
    return (troupe_slice){NULL, 0};
}

static troupe_slice trim(troupe_slice text)
{
    const char *at = text.data;
    while (text.size != 0 && memchr(" \t\r\n", *at, 4) != NULL)
        at++, text.size--;
    while (text.size != 0 && memchr(" \t\r\n", at[text.size - 1], 4) != NULL)
        text.size--;
    return troupe_slice_of(at, text.size);
}

/* A string, "" if it is not there or null. */
static bool text_of(
    const json_t *root, const char *name, const char **ret_text, const char **ret_reason)
{
    const json_t *member = json_object_get(root, name);
    *ret_text = json_is_string(member) ? json_string_value(member) : "";
    if (member != NULL && !json_is_string(member) && !json_is_null(member))
        return say(ret_reason, "dueTime, period, ttl and callback are strings");
    if (json_is_string(member) && strlen(*ret_text) != json_string_length(member))
        return say(ret_reason, "a text has a NUL in it");
    return true;
}

typedef struct texts {
    const char *due, *period, *ttl, *callback;
} texts;

static bool read_members(
    const json_t *root, texts *ret, tp_alarm_body *alarm, const char **ret_reason)
{
    const json_t *overwrite = json_object_get(root, "overwrite");
    if (!text_of(root, "dueTime", &ret->due, ret_reason) ||
        !text_of(root, "period", &ret->period, ret_reason) ||
        !text_of(root, "ttl", &ret->ttl, ret_reason) ||
        !text_of(root, "callback", &ret->callback, ret_reason))
        return false;
    if (overwrite != NULL && !json_is_boolean(overwrite) && !json_is_null(overwrite))
        return say(ret_reason, "overwrite is true or false");
    alarm->keeps = json_is_false(overwrite);
    if (strlen(ret->callback) > TP_NAME_MAX)
        return say(ret_reason, "the name of a method has 128 bytes at most");
    memcpy(alarm->method, ret->callback, strlen(ret->callback) + 1);
    return true;
}

static bool read_times(
    const texts *given, uint64_t now, tp_alarm_body *alarm, const char **ret_reason)
{
    uint64_t times, span;
    alarm->last = UINT64_MAX;
    if (!read_period(given->period, &alarm->period, &times, ret_reason))
        return false;
    alarm->due = now;
    if (*given->due != 0 && !read_moment(given->due, now, &alarm->due, ret_reason))
        return false;
    if (*given->ttl != 0 && !read_moment(given->ttl, alarm->due, &alarm->last, ret_reason))
        return false;
    if (alarm->last < alarm->due || alarm->last < now)
        return say(ret_reason, "its ttl is over before it is due");
    if (times != 0 && !__builtin_mul_overflow(times - 1, alarm->period, &span) &&
        !__builtin_add_overflow(alarm->due, span, &span) && span < alarm->last)
        alarm->last = span;
    return true;
}

troupe_status tp_alarm_read(
    troupe_slice body, uint64_t now, tp_alarm_body *ret_alarm, const char **ret_reason)
{
    texts given = {"", "", "", ""};
    json_t *root = NULL;
    *ret_alarm = (tp_alarm_body){.due = now};
    troupe_slice json = trim(body);
    if (json.size != 0) {
        root = json_loadb(
            json.data, json.size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
        bool is_object = json_is_object(root);
        if (!is_object || !read_members(root, &given, ret_alarm, ret_reason)) {
            if (!is_object)
                *ret_reason = "the body is no JSON object";
            json_decref(root);
            return TROUPE_USAGE;
        }
        ret_alarm->data = trim(find_data(json));
    }
    bool is_read = read_times(&given, now, ret_alarm, ret_reason);
    json_decref(root);
    return is_read ? TROUPE_OK : TROUPE_FAILED;
}

/* ---- in words -------------------------------------------------------------------------------- */

/* "1h30m500ms": of Go, and of troupe's schedules. */
static void print_duration(uint64_t duration, tp_text *out)
{
    static const unit units[] = {{"h", TROUPE_HOURS(1)}, {"m", TROUPE_MINUTES(1)},
        {"s", TROUPE_SECONDS(1)}, {"ms", TROUPE_MILLISECONDS(1)}, {"us", TROUPE_MICROSECONDS(1)},
        {"ns", 1}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (duration >= units[i].size)
            tp_text_printf(out, "%" PRIu64 "%s", duration / units[i].size, units[i].name);
        duration %= units[i].size;
    }
}

static void print_moment(uint64_t wall, tp_text *out)
{
    time_t seconds = (time_t)(wall / TROUPE_SECONDS(1));
    unsigned fraction = (unsigned)(wall % TROUPE_SECONDS(1));
    struct tm parts;
    char date[TP_ALARM_MOMENT_MAX] = "";
    if (gmtime_r(&seconds, &parts) != NULL)
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    tp_text_printf(out, fraction != 0 ? "%s.%09uZ" : "%sZ", date, fraction);
}

void tp_alarm_schedule(const tp_alarm_body *alarm, tp_text *out)
{
    if (alarm->period == 0) {
        tp_text_printf(out, "at ");
        print_moment(alarm->due, out);
        return;
    }
    tp_text_printf(out, "every ");
    print_duration(alarm->period, out);
    tp_text_printf(out, " from ");
    print_moment(alarm->due, out);
    if (alarm->last != UINT64_MAX) {
        tp_text_printf(out, " until ");
        print_moment(alarm->last, out);
    }
}

/* Periods that no schedule of ours has made, as cron, are shown as they are. */
static void print_schedule(troupe_slice schedule, tp_text *out)
{
    char text[TP_ALARM_SCHEDULE_MAX + 1], period[TP_ALARM_SCHEDULE_MAX + 16];
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(schedule));
    if (strncmp(text, "at ", 3) == 0 || strncmp(text, "in ", 3) == 0)
        return;
    const char *until = strstr(text, " until ");
    if (strncmp(text, "every ", 6) == 0)
        (void)snprintf(
            period, sizeof period, "@every %.*s", (int)strcspn(text + 6, " \t"), text + 6);
    else
        (void)snprintf(period, sizeof period, "%s", text);
    tp_text_printf(out, ",\"period\":");
    tp_text_json(out, troupe_str(period));
    if (until != NULL) {
        tp_text_printf(out, ",\"ttl\":");
        tp_text_json(out, troupe_str(until + 7));
    }
}

void tp_alarm_print(troupe_id id, const troupe_reminder *reminder, tp_text *out)
{
    tp_text_printf(out, "{\"actorID\":");
    tp_text_json(out, id.key);
    tp_text_printf(out, ",\"actorType\":");
    tp_text_json(out, id.type);
    tp_text_printf(out, ",\"dueTime\":\"");
    print_moment(reminder->due, out);
    tp_text_printf(out, "\"");
    print_schedule(reminder->schedule, out);
    if (reminder->payload.size != 0) {
        tp_text_printf(out, ",\"data\":");
        if (troupe_slice_equal(reminder->content_type, troupe_str(TROUPE_JSON)))
            tp_text_append(out, reminder->payload);
        else
            tp_text_json(out, reminder->payload);
    }
    tp_text_printf(out, "}\n");
}
