/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway over a node that is played: what waits for other nodes holds up nothing else, updates
 * read what they have to, and what fails at the opening or comes at the end leaves nothing behind.
 *
 * Invariants: none of its own. Threads: stand_in.h.
 */
#include "stand_in.h"

#include "gateway/server.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000
#define LOOK        "/v1/troupe/actors/web/a"

static stand_in node;

/* A job of the pool, as an actor's. */
typedef struct chore {
    tp_job job;
    _Atomic bool is_done;
} chore;

static void work(tp_job *job)
{
    (void)job;
}

static void worked(tp_job *job)
{
    atomic_store(&((chore *)(void *)job)->is_done, true);
}

static bool becomes(const _Atomic bool *flag)
{
    for (int i = 0; i < PATIENCE_MS && !atomic_load(flag); i++)
        (void)poll(NULL, 0, 1);
    return atomic_load(flag);
}

static void a_full_desk_stalls_neither_reads_nor_calls_nor_jobs(void **state)
{
    (void)state;
    enum { LINE = 32, MORE = 6 }; /* how many wait, as docs/http.md says */
    int callers[2 + LINE + MORE], refused = 0;
    chore task = {.job = {.run = work, .done = worked}};
    stand_in_init(&node);
    atomic_store(&node.is_shut, true);
    assert_int_equal(stand_in_open(&node), TROUPE_OK);
    for (int i = 0; i < 2 + LINE + MORE; i++)
        callers[i] = caller_send(&node, "GET", LOOK);
    /* The library may take them in any order: those for which there is no room hear it at once. */
    struct pollfd waits[2 + LINE + MORE];
    for (int i = 0; i < 2 + LINE + MORE; i++)
        waits[i] = (struct pollfd){callers[i], POLLIN, 0};
    while (refused < MORE) {
        assert_true(poll(waits, 2 + LINE + MORE, PATIENCE_MS) > 0);
        for (int i = 0; i < 2 + LINE + MORE; i++) {
            if (waits[i].revents == 0)
                continue;
            assert_int_equal(caller_code(callers[i], PATIENCE_MS), 503);
            (void)close(callers[i]);
            waits[i] = (struct pollfd){-1, 0, 0};
            refused++;
        }
    }
    assert_int_equal(caller_ask(&node, "GET", "/v1.0/actors/web/a/state/state"), 200);
    assert_int_equal(caller_ask(&node, "POST", "/v1.0/actors/web/a/method/echo"), 204);
    assert_int_equal(caller_ask(&node, "GET", "/readyz"), 200);
    assert_int_equal(node.env->job_start(node.env, &task.job), TROUPE_OK);
    assert_true(becomes(&task.is_done));
    assert_int_equal(atomic_load(&node.looks), 2); /* of a pool of four */
    atomic_store(&node.is_shut, false);
    for (int i = 0; i < 2 + LINE + MORE; i++) {
        if (waits[i].fd < 0)
            continue;
        assert_int_equal(caller_code(callers[i], PATIENCE_MS), 404);
        (void)close(callers[i]);
    }
    stand_in_close(&node);
}

static void a_node_that_closes_lets_nobody_wait_in_line(void **state)
{
    (void)state;
    int callers[8], closed = 0;
    stand_in_init(&node);
    atomic_store(&node.is_shut, true);
    assert_int_equal(stand_in_open(&node), TROUPE_OK);
    for (int i = 0; i < 8; i++)
        callers[i] = caller_send(&node, "GET", LOOK);
    while (atomic_load(&node.looks) < 2)
        (void)poll(NULL, 0, 1);
    assert_int_equal(caller_ask(&node, "GET", "/readyz"), 200);
    tp_gateway_server.drain(node.gateway);
    atomic_store(&node.is_shut, false);
    for (int i = 0; i < 8; i++) {
        int code = caller_code(callers[i], PATIENCE_MS);
        assert_true(code == 404 || code == 503 || code == -1);
        closed += code != 404;
        (void)close(callers[i]);
    }
    assert_int_equal(closed, 6);
    assert_int_equal(atomic_load(&node.looks), 2);
    stand_in_close(&node);
}

static void who_listens_second_waits_until_the_first_has_subscribed(void **state)
{
    (void)state;
    stand_in_init(&node);
    atomic_store(&node.is_shut, true);
    assert_int_equal(stand_in_open(&node), TROUPE_OK);
    int first = caller_send(&node, "GET", "/v1/troupe/events");
    while (atomic_load(&node.looks) == 0)
        (void)poll(NULL, 0, 1);
    int second = caller_send(&node, "GET", "/v1/troupe/events");
    assert_int_equal(caller_code(second, 500), -1); /* else it would miss what comes meanwhile */
    atomic_store(&node.is_shut, false);
    assert_int_equal(caller_code(first, PATIENCE_MS), 200);
    assert_int_equal(caller_code(second, PATIENCE_MS), 200);
    assert_int_equal(atomic_load(&node.looks), 1);
    (void)close(first);
    (void)close(second);
    stand_in_close(&node);
}

/* ---- updates ----------------------------------------------------------------------------------
 */

static void a_state_is_read_once_for_each_version(void **state)
{
    (void)state;
    stand_in_init(&node);
    assert_int_equal(stand_in_open(&node), TROUPE_OK);
    int caller = caller_send(&node, "GET", LOOK "/updates");
    assert_true(caller_shows(caller, "{\"version\":1,\"state\":{}}", PATIENCE_MS));
    while (atomic_load(&node.loads) < 4)
        (void)poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&node.shows), 1);
    (void)close(caller);
    stand_in_close(&node);
}

static void what_there_was_no_memory_for_is_told_later(void **state)
{
    (void)state;
    stand_in_init(&node);
    atomic_store(&node.failures, 2);
    assert_int_equal(stand_in_open(&node), TROUPE_OK);
    int caller = caller_send(&node, "GET", LOOK "/updates");
    assert_true(caller_shows(caller, "{\"version\":1,\"state\":{}}", PATIENCE_MS));
    assert_int_equal(atomic_load(&node.shows), 3);
    (void)close(caller);
    atomic_store(&node.failures, 1);
    assert_int_equal(caller_ask(&node, "GET", "/v1.0/actors/web/a/state/state"), 503);
    assert_int_equal(caller_ask(&node, "GET", "/v1.0/actors/web/a/state/other"), 204);
    assert_int_equal(atomic_load(&node.shows), 4); /* no more: another key is none of the store's */
    stand_in_close(&node);
}

/* ---- the herald -------------------------------------------------------------------------------
 */

static troupe_status (*real_start)(tp_env *env, tp_runner *runner);

static troupe_status start_but_the_herald(tp_env *env, tp_runner *runner)
{
    return strcmp(runner->name, "troupe-herald") == 0 ? TROUPE_UNAVAILABLE
                                                      : real_start(env, runner);
}

static void a_gateway_that_does_not_open_closes_its_socket(void **state)
{
    (void)state;
    stand_in_init(&node);
    real_start = node.env->runner_start;
    node.env->runner_start = start_but_the_herald;
    assert_int_equal(stand_in_open(&node), TROUPE_UNAVAILABLE);
    assert_int_equal(fcntl((int)node.host.socket.handle, F_GETFD), -1);
    stand_in_close(&node);
}

static void (*real_join)(tp_env *env, tp_runner *runner);
static int late_caller;
static bool late_ends;

/* The library goes on when the herald has ended, and opens a stream before it is stopped. */
static void join_and_go_on(tp_env *env, tp_runner *runner)
{
    real_join(env, runner);
    if (strcmp(runner->name, "troupe-herald") != 0)
        return;
    atomic_store(&node.is_held, false);
    late_ends = caller_code(late_caller, PATIENCE_MS) == 200 && caller_ends(late_caller, 2000);
    if (!late_ends)
        fail_msg("a stream that opens at the end does not end"); /* the library could not stop */
}

static void a_stream_that_opens_while_the_node_closes_ends(void **state)
{
    (void)state;
    stand_in_init(&node);
    real_join = node.env->runner_join;
    node.env->runner_join = join_and_go_on;
    atomic_store(&node.is_shut, true);
    atomic_store(&node.is_held, true);
    assert_int_equal(stand_in_open(&node), TROUPE_OK);
    late_caller = caller_send(&node, "GET", "/v1/troupe/events");
    while (atomic_load(&node.looks) == 0)
        (void)poll(NULL, 0, 1);
    int busy = caller_send(&node, "GET", "/metrics");
    assert_true(becomes(&node.is_asked));
    tp_gateway_server.drain(node.gateway);
    atomic_store(&node.is_shut, false); /* it has subscribed, and the library does not come to it */
    assert_true(tp_gateway_server.close(node.gateway, TROUPE_SECONDS(1)));
    assert_true(late_ends);
    node.gateway = NULL;
    (void)caller_ends(busy, PATIENCE_MS);
    stand_in_close(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_desk_stalls_neither_reads_nor_calls_nor_jobs),
        cmocka_unit_test(a_node_that_closes_lets_nobody_wait_in_line),
        cmocka_unit_test(who_listens_second_waits_until_the_first_has_subscribed),
        cmocka_unit_test(a_state_is_read_once_for_each_version),
        cmocka_unit_test(what_there_was_no_memory_for_is_told_later),
        cmocka_unit_test(a_gateway_that_does_not_open_closes_its_socket),
        cmocka_unit_test(a_stream_that_opens_while_the_node_closes_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
