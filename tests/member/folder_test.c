/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `file:` against the conformance suite, in a folder of its own; and what
 * only it promises: the death of a process is seen at once, and a process that is stopped blocks
 * nobody.
 *
 * Threads: the suite's.
 */
#include "suite.h"
#include "tests/store/servers.h"

#include "providers/file/file.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static troupe_status open_on(void *user, const char *cluster, troupe_membership **ret_membership)
{
    const test_server *self = user;
    char url[400], error[400] = "";
    snprintf(url, sizeof url, "file:%s/%s", self->folder, cluster);
    troupe_status status =
        tp_member_file_open(&suite_host, url, cluster, ret_membership, error, sizeof error);
    if (status != TROUPE_OK)
        fprintf(stderr, "%s\n", error);
    return status;
}

typedef struct look {
    bool found, ended;
} look;

static void on_register(void *user, const troupe_register *found)
{
    look *self = user;
    if (found->incarnation == 3) {
        self->found = true;
        self->ended = found->ended;
    }
}

static look look_at(troupe_membership *handle)
{
    look found = {false, false};
    uint64_t run;
    assert_int_equal(
        handle->read_registers(handle, TROUPE_SECONDS(1), on_register, &found, &run), TROUPE_OK);
    return found;
}

/* In a child: raises, says so, and waits for its end. */
static void hold(void *user, const char *cluster, int say)
{
    troupe_membership *handle = NULL;
    if (open_on(user, cluster, &handle) == TROUPE_OK &&
        handle->raise(handle, TROUPE_SECONDS(1), 3, 0) == TROUPE_OK && write(say, "x", 1) == 1)
        pause();
    _exit(1);
}

static void the_death_of_a_process_is_seen_at_once(void **state)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        hold(*state, "deaths", ends[1]);
    assert_true(child > 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    troupe_membership *handle = NULL;
    assert_int_equal(open_on(*state, "deaths", &handle), TROUPE_OK);
    assert_true(look_at(handle).found);
    assert_false(look_at(handle).ended);
    int status;
    kill(child, SIGSTOP);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_false(look_at(handle).ended);
    assert_int_equal(
        handle->cas_view(handle, TROUPE_SECONDS(1), 1, troupe_str("x"), (uint64_t[]){3}, 1),
        TROUPE_OK);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(look_at(handle).ended);
    handle->close(handle);
    close(ends[0]);
    close(ends[1]);
}

/* Which returns early for whatever else happens in the folder. */
static void a_watch_ends_with_the_death_of_a_process(void **state)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        hold(*state, "watched", ends[1]);
    assert_true(child > 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    troupe_membership *handle = NULL;
    assert_int_equal(open_on(*state, "watched", &handle), TROUPE_OK);
    while (handle->watch(handle, TROUPE_MILLISECONDS(50), 0) == TROUPE_OK)
        ;
    kill(child, SIGKILL);
    assert_int_equal(handle->watch(handle, TROUPE_MINUTES(1), 0), TROUPE_OK);
    assert_true(look_at(handle).ended);
    assert_int_equal(waitpid(child, NULL, 0), child);
    handle->close(handle);
    close(ends[0]);
    close(ends[1]);
}

static void a_header_that_is_ahead_of_the_folder_is_mended(void **state)
{
    const test_server *self = *state;
    troupe_membership *handle = NULL;
    char path[300];
    assert_int_equal(open_on(*state, "ahead", &handle), TROUPE_OK);
    for (uint64_t number = 1; number <= 3; number++)
        assert_int_equal(
            handle->cas_view(handle, TROUPE_SECONDS(1), number, troupe_str("x"), NULL, 0),
            TROUPE_OK);
    handle->close(handle);
    snprintf(path, sizeof path, "%s/ahead/view.3", self->folder); /* lost with the power */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_on(*state, "ahead", &handle), TROUPE_OK);
    assert_int_equal(
        handle->cas_view(handle, TROUPE_SECONDS(1), 3, troupe_str("y"), NULL, 0), TROUPE_OK);
    handle->close(handle);
}

static void a_url_that_names_nothing_is_refused_with_reason(void **state)
{
    troupe_membership *handle = NULL;
    char error[400] = "";
    (void)state;
    assert_int_equal(
        tp_member_file_open(&suite_host, "file:", "c", &handle, error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "file:NAME"));
    assert_int_equal(
        tp_member_file_open(&suite_host, "file:/proc/nowhere", "c", &handle, error, sizeof error),
        TROUPE_USAGE);
    assert_non_null(strstr(error, "/proc/nowhere"));
    assert_null(handle);
}

int main(void)
{
    test_server self = {0};
    if (!server_make_folder(&self, "member"))
        return 1;
    const suite place = {.name = "file", .open = open_on, .user = &self, .tells_ends = true};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_death_of_a_process_is_seen_at_once, &self),
        cmocka_unit_test_prestate(a_watch_ends_with_the_death_of_a_process, &self),
        cmocka_unit_test_prestate(a_header_that_is_ahead_of_the_folder_is_mended, &self),
        cmocka_unit_test_prestate(a_url_that_names_nothing_is_refused_with_reason, &self),
    };
    int failed = suite_run(&place);
    failed += cmocka_run_group_tests_name("file alone", tests, NULL, NULL);
    server_remove_folder(&self);
    return failed;
}
