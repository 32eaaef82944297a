/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bodies of reminders and timers mean: durations as Go, ISO 8601 and the SDKs write them, how
 * often, until when; and how what is stored is shown. fuzz/alarm_fuzz.c does it with anything.
 *
 * Invariants: none of its own. Threads: one.
 */
#include "gateway/alarm.h"

#include "store/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW TROUPE_SECONDS(1795341600) /* 2026-11-22T10:00:00Z */

static void durations_are_read_as_go_and_iso_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t wanted;
    } good[] = {{"0", 0}, {"0s", 0}, {"1h30m5s500ms", TROUPE_MILLISECONDS(5405500)},
        {"1.5s", TROUPE_MILLISECONDS(1500)}, {".5s", TROUPE_MILLISECONDS(500)},
        {"0h0m5s0ms", TROUPE_SECONDS(5)}, {"0h0m5s0ms7\xCE\xBCs", TROUPE_SECONDS(5) + 7000},
        {"3\xC2\xB5s", 3000}, {"3us", 3000}, {"9ns", 9}, {"0.000000001s", 1},
        {"0.9999999999999s", 999999999}, {"1m1h", TROUPE_MINUTES(61)}, {"PT1H", TROUPE_HOURS(1)},
        {"P1W2DT3H4M5S", TROUPE_HOURS(9 * 24 + 3) + TROUPE_SECONDS(245)}, {"P1D", TROUPE_HOURS(24)},
        {"p1d", TROUPE_HOURS(24)}, {"PT0.5S", TROUPE_MILLISECONDS(500)},
        {"2562047h", TROUPE_HOURS(2562047)}};
    static const char *const wrong[] = {"", "5", "s", "1x", "-1s", "+1s", " 1s", "1s ", "1 s", "P",
        "PT", "P1", "PT1", "P1H", "PT1D", "P1Y", "P1M", "1d", "1w", "1..5s", "1hh", "PT1H1D",
        "PTT1S", "18446744073709551616ns", "9999999999h", "5124096h", "P99999W", "1s\x01"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t duration = 77;
        const char *reason = "";
        if (!tp_alarm_duration(good[i].text, &duration, &reason))
            fail_msg("%s: %s", good[i].text, reason);
        if (duration != good[i].wanted)
            fail_msg("%s: %llu", good[i].text, (unsigned long long)duration);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t duration = 77;
        const char *reason = NULL;
        if (tp_alarm_duration(wrong[i], &duration, &reason))
            fail_msg("%s: %llu", wrong[i], (unsigned long long)duration);
        assert_non_null(reason);
        assert_int_equal(duration, 77);
    }
}

/* The schedule that comes of a body; "": it was refused. */
static const char *schedule_of(const char *body, char room[TP_ALARM_SCHEDULE_MAX])
{
    tp_alarm_body alarm;
    tp_text text;
    const char *reason = NULL;
    tp_text_init(&text, room, TP_ALARM_SCHEDULE_MAX);
    if (tp_alarm_read(troupe_str(body), NOW, &alarm, &reason) != TROUPE_OK) {
        assert_non_null(reason);
        return "";
    }
    tp_alarm_schedule(&alarm, &text);
    tp_timetable timetable;
    char error[160];
    if (tp_schedule_parse(tp_text_slice(&text), NOW, &timetable, error, sizeof error) != TROUPE_OK)
        fail_msg("%s: %s: %s", body, text.data, error);
    return room;
}

static void bodies_become_schedules(void **state)
{
    (void)state;
    static const struct {
        const char *body, *wanted;
    } list[] = {
        {"", "at 2026-11-22T10:00:00Z"},
        {" {} \n", "at 2026-11-22T10:00:00Z"},
        {"{\"dueTime\":\"1.5s\"}", "at 2026-11-22T10:00:01.500000000Z"},
        {"{\"dueTime\":null,\"period\":\"\",\"ttl\":null}", "at 2026-11-22T10:00:00Z"},
        {"{\"dueTime\":\"2030-01-01T00:00:00+01:00\"}", "at 2029-12-31T23:00:00Z"},
        {"{\"period\":\"PT1H30M\"}", "every 1h30m from 2026-11-22T10:00:00Z"},
        {"{\"period\":\"@every 1500us\"}", "every 1ms500us from 2026-11-22T10:00:00Z"},
        {"{\"dueTime\":\"PT1H\",\"period\":\"R3/PT1M\"}",
            "every 1m from 2026-11-22T11:00:00Z until 2026-11-22T11:02:00Z"},
        {"{\"period\":\"R1/1m\"}", "every 1m from 2026-11-22T10:00:00Z until 2026-11-22T10:00:00Z"},
        {"{\"period\":\"R5\"}", "at 2026-11-22T10:00:00Z"},
        {"{\"period\":\"1m\",\"ttl\":\"PT1H\",\"dueTime\":\"1m\"}",
            "every 1m from 2026-11-22T10:01:00Z until 2026-11-22T11:01:00Z"},
        {"{\"period\":\"R100/1m\",\"ttl\":\"1h\"}",
            "every 1m from 2026-11-22T10:00:00Z until 2026-11-22T11:00:00Z"},
        {"{\"period\":\"R2/1m\",\"ttl\":\"2026-11-23T00:00:00Z\"}",
            "every 1m from 2026-11-22T10:00:00Z until 2026-11-22T10:01:00Z"},
        {"{\"period\":\"0h0m0s0ms0\\u03bcs\"}", "at 2026-11-22T10:00:00Z"},
        {"{\"dueTime\":5}", ""},
        {"{\"dueTime\":\"1s\",\"dueTime\":\"2s\"}", ""},
        {"{\"dueTime\":\"1s\\u0000\"}", ""},
        {"{\"overwrite\":1}", ""},
        {"[]", ""},
        {"\"\"", ""},
        {"{} x", ""},
        {"{", ""},
        {"{\"period\":\"R0/1s\"}", ""},
        {"{\"period\":\"R/1s\"}", ""},
        {"{\"period\":\"R5/\"}", ""},
        {"{\"period\":\"R5x\"}", ""},
        {"{\"period\":\"999us\"}", ""},
        {"{\"ttl\":\"2026-11-22T09:59:59Z\"}", ""},
        {"{\"ttl\":\"2026-11-22T10:00:01Z\",\"dueTime\":\"2s\"}", ""},
        {"{\"dueTime\":\"2026-11-31T00:00:00Z\"}", ""},
        {"{\"dueTime\":\"5124095h\"}", ""},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        char room[TP_ALARM_SCHEDULE_MAX];
        const char *found = schedule_of(list[i].body, room);
        if (strcmp(found, list[i].wanted) != 0)
            fail_msg("%s: %s", list[i].body, found);
    }
}

static void data_is_what_came(void **state)
{
    (void)state;
    static const struct {
        const char *body, *wanted;
    } list[] = {{"{\"data\":1.10}", "1.10"},
        {"{\"data\" : {\"data\":[1,\"}\"]} }", "{\"data\":[1,\"}\"]}"},
        {"{\"a\":{\"data\":5},\"b\":\"data\",\"data\":\"\\\"x\\\\\",\"c\":[]}", "\"\\\"x\\\\\""},
        {"{\"data\":null}", "null"}, {"{\"datas\":5,\"dat\":\"data\"}", ""}, {"{}", ""}, {"", ""},
        {"{\"b\":[{\"data\":5}],\"data\":123456789012345678901234567890}",
            "123456789012345678901234567890"}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        tp_alarm_body alarm;
        const char *reason = "";
        char found[100];
        if (tp_alarm_read(troupe_str(list[i].body), NOW, &alarm, &reason) != TROUPE_OK)
            fail_msg("%s: %s", list[i].body, reason);
        snprintf(found, sizeof found, "%.*s", TROUPE_ARG(alarm.data));
        assert_string_equal(found, list[i].wanted);
    }
}

static void callback_and_overwrite_are_seen(void **state)
{
    (void)state;
    tp_alarm_body alarm;
    const char *reason = "";
    char body[200];
    assert_int_equal(tp_alarm_read(troupe_str("{\"callback\":\"tick\",\"overwrite\":false}"), NOW,
                         &alarm, &reason),
        TROUPE_OK);
    assert_string_equal(alarm.method, "tick");
    assert_true(alarm.keeps);
    assert_int_equal(
        tp_alarm_read(troupe_str("{\"overwrite\":true}"), NOW, &alarm, &reason), TROUPE_OK);
    assert_string_equal(alarm.method, "");
    assert_false(alarm.keeps);
    snprintf(body, sizeof body, "{\"callback\":\"%0129d\"}", 1);
    assert_int_equal(tp_alarm_read(troupe_str(body), NOW, &alarm, &reason), TROUPE_USAGE);
}

static void what_is_stored_is_shown_in_the_words_of_the_api(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *wanted;
    } list[] = {{"at 2026-11-22T10:00:00Z", ""}, {"in 5m", ""},
        {"every 90s", ",\"period\":\"@every 90s\""},
        {"every 1m from 2026-11-22T10:00:00Z until 2027-01-01T00:00:00Z",
            ",\"period\":\"@every 1m\",\"ttl\":\"2027-01-01T00:00:00Z\""},
        {"0 9 * * MON", ",\"period\":\"0 9 * * MON\""}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        char room[1024], wanted[1024];
        tp_text text;
        const troupe_reminder reminder = {.schedule = troupe_str(list[i].schedule), .due = NOW};
        troupe_id id = {.type = troupe_str("bell"), .key = troupe_str("a\"b")};
        tp_text_init(&text, room, sizeof room);
        tp_alarm_print(id, &reminder, &text);
        snprintf(wanted, sizeof wanted,
            "{\"actorID\":\"a\\\"b\",\"actorType\":\"bell\",\"dueTime\":\"2026-11-22T10:00:00Z\"%s}"
            "\n",
            list[i].wanted);
        assert_string_equal(room, wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_as_go_and_iso_write_them),
        cmocka_unit_test(bodies_become_schedules),
        cmocka_unit_test(data_is_what_came),
        cmocka_unit_test(callback_and_overwrite_are_seen),
        cmocka_unit_test(what_is_stored_is_shown_in_the_words_of_the_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
