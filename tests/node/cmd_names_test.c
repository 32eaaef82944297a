/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people type: durations, misspelt names, where the socket lies. Not the options of a node.
 * Invariants: none of its own. Threads: one; it changes the environment.
 */
#include "shared/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void durations_are_read_with_their_unit(void **state)
{
    static const struct {
        const char *text;
        uint64_t duration;
    } good[] = {{"5s", TROUPE_SECONDS(5)}, {"250ms", TROUPE_MILLISECONDS(250)},
                {"1.5h", TROUPE_MINUTES(90)}, {"2", TROUPE_SECONDS(2)}, {"3 m", TROUPE_MINUTES(3)},
                {"7us", TROUPE_MICROSECONDS(7)}, {"9ns", 9}, {"1d", TROUPE_HOURS(24)}};
    static const char *const bad[] = {"", "s", "-1s", "1x", "1..2s", "inf", "nan", "0x10", "1e9",
                                      "1s2", "99999999999999999999", "1000000d", "."};
    uint64_t duration = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(cmd_duration_parse(good[i].text, &duration));
        assert_int_equal(duration, good[i].duration);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cmd_duration_parse(bad[i], &duration)) fail_msg("%s is taken", bad[i]);
    }
}

static void printed_durations_can_be_read_back(void **state)
{
    char text[32];
    (void)state;
    for (uint64_t duration = 1; duration < UINT64_C(1) << 60; duration = duration * 3 + 1) {
        uint64_t back = 0;
        cmd_duration_print(duration, text, sizeof(text));
        if (!cmd_duration_parse(text, &back)) fail_msg("%s is not taken", text);
        double ratio = (double)back / (double)duration;
        if (ratio < 0.9 || ratio > 1.1) fail_msg("%llu is %s", (unsigned long long)duration, text);
    }
    assert_string_equal(cmd_duration_print(1234567890, text, sizeof(text)), "1.2 s");
    assert_string_equal(cmd_duration_print(999600000, text, sizeof(text)), "1.0 s");
}

static const char *nearest_of(const char *wanted)
{
    static const char *const names[] = {"ask", "tell", "actors", "deactivate", "where",
                                        "ask_timeout"};
    cmd_nearest nearest;
    cmd_nearest_init(&nearest, wanted);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cmd_nearest_offer(&nearest, names[i]);
    }
    return nearest.best;
}

static void a_slip_of_the_fingers_finds_the_name_and_nonsense_finds_none(void **state)
{
    char long_name[200];
    (void)state;
    assert_string_equal(nearest_of("aks"), "ask");
    assert_string_equal(nearest_of("actor"), "actors");
    assert_string_equal(nearest_of("deactviate"), "deactivate");
    assert_string_equal(nearest_of("ask-timeout"), "ask_timeout");
    assert_null(nearest_of("zzzzzz"));
    assert_null(nearest_of(""));
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    assert_null(nearest_of(long_name));
    assert_int_equal(cmd_distance("abcdef", "abdcef"), 1);
    assert_int_equal(cmd_distance("", "abc"), 3);
}

static void the_socket_lies_where_the_environment_says(void **state)
{
    char path[CMD_SOCKET_PATH_MAX];
    char expected[CMD_SOCKET_PATH_MAX];
    char long_path[CMD_SOCKET_PATH_MAX + 1];
    (void)state;
    unsetenv("TROUPE_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    assert_true(cmd_socket_path(path));
    snprintf(expected, sizeof(expected), "/tmp/troupe-%lu/node.sock", (unsigned long)geteuid());
    assert_string_equal(path, expected);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_true(cmd_socket_path(path));
    assert_string_equal(path, "/run/user/7/troupe/node.sock");
    setenv("TROUPE_SOCKET", "./x.sock", 1);
    assert_true(cmd_socket_path(path));
    assert_string_equal(path, "./x.sock");
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = 0;
    setenv("TROUPE_SOCKET", long_path, 1);
    assert_false(cmd_socket_path(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_with_their_unit),
        cmocka_unit_test(printed_durations_can_be_read_back),
        cmocka_unit_test(a_slip_of_the_fingers_finds_the_name_and_nonsense_finds_none),
        cmocka_unit_test(the_socket_lies_where_the_environment_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
