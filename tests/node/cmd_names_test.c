/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people read: durations, and where the socket lies. Not the options of a node.
 * Invariants: none of its own. Threads: one; it changes the environment.
 */
#include "shared/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void a_duration_is_printed_short_and_in_a_fitting_unit(void **state)
{
    static const struct {
        uint64_t duration;
        const char *text;
    } cases[] = {
        {0, "0 ns"}, {999, "999 ns"}, {1500, "1.5 us"}, {999600, "1 ms"}, {1234567890, "1.2 s"},
        {999600000, "1.0 s"}, {TROUPE_SECONDS(119), "119.0 s"}, {TROUPE_MINUTES(3), "3.0 m"},
        {TROUPE_HOURS(3), "3.0 h"}, {TROUPE_HOURS(72), "3.0 d"},
    };
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cmd_duration_print(cases[i].duration, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
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
        cmocka_unit_test(a_duration_is_printed_short_and_in_a_fitting_unit),
        cmocka_unit_test(the_socket_lies_where_the_environment_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
