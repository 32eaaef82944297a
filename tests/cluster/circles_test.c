/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P10 and cancellation between nodes: actors of three nodes that wait for each other in a circle
 * are told in milliseconds, one of them, with the path; a cancel reaches the turn that serves the
 * ask, and what that waits for; and a call chain knows itself when it comes back.
 */
#include "nodes.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define VICTIM (TROUPE_APPLICATION + 1)

/* "rest_ms next…": rests, then asks the next key of its type with what is left of the list. */
static troupe_status go(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256], key[32], rest_of[256];
    int rest = 0, used = 0;
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    if (sscanf(text, "%d %n", &rest, &used) != 1)
        return TROUPE_USAGE;
    if (rest != 0)
        TROUPE_TRY(troupe_sleep(turn, TROUPE_MILLISECONDS((uint64_t)rest)));
    const char *list = text + used;
    if (sscanf(list, "%31s%n", key, &used) != 1)
        return troupe_reply_format(turn, "end");
    (void)snprintf(rest_of, sizeof rest_of, "0%s", list + used);
    troupe_id next = troupe_turn_self(turn);
    next.key = troupe_str(key);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, next, "go", troupe_str(rest_of), NULL, &answer);
    if (status == TROUPE_OK)
        return troupe_reply_take(turn, &answer);
    status = status == TROUPE_DEADLOCK ? VICTIM : status;
    troupe_status fails = troupe_fail(turn, status, "heard: %.*s", TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return fails;
}

static troupe_status where(troupe_turn *turn, void *state, troupe_slice payload)
{
    return nodes_methods[0].run(turn, state, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(go), TROUPE_METHOD(where)};
static const troupe_type plain = {TROUPE_TYPE("a"), TROUPE_METHODS(methods)};
static const troupe_type chained = {
    TROUPE_TYPE("chain"), TROUPE_METHODS(methods), .reentrancy = TROUPE_REENTRANCY_CALL_CHAIN};

static const char *const keys[NODES] = {"0", "1", "2"};

static int open_cluster(void **state)
{
    static nodes self;
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){
            TROUPE_NODE_OPTIONS, .shards = 2, .ask_timeout = TROUPE_SECONDS(20)};
    nodes_open(&self, options, TROUPE_TYPES(&plain, &chained));
    for (int i = 0; i < NODES; i++) { /* prefer-local: key i is at node i */
        assert_int_equal(nodes_where(&self, i, "a", keys[i]), i);
        assert_int_equal(nodes_where(&self, i, "chain", keys[i]), i);
    }
    *state = &self;
    return 0;
}

static int close_cluster(void **state)
{
    nodes_close(*state);
    return 0;
}

/* ---- calls at once --------------------------------------------------------------------------- */

typedef struct call {
    nodes *cluster;
    int from;
    const char *key, *list;
    troupe_cancel *cancel;
    pthread_t thread;
    troupe_status status;
    double seconds;
    char text[2048];
} call;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *run_call(void *user)
{
    call *self = user;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .cancel = self->cancel};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    double begin = now();
    self->status = troupe_node_ask(self->cluster->list[self->from], troupe_id_of("a", self->key),
        "go", troupe_str(self->list), &options, &answer);
    self->seconds = now() - begin;
    troupe_slice said = self->status == TROUPE_OK ? answer.payload : answer.message;
    (void)snprintf(self->text, sizeof self->text, "%.*s", TROUPE_ARG(said));
    troupe_answer_release(&answer);
    return NULL;
}

static void start(call *self)
{
    assert_int_equal(pthread_create(&self->thread, NULL, run_call, self), 0);
}

static void finish(call *self)
{
    assert_int_equal(pthread_join(self->thread, NULL), 0);
}

static uint64_t deadlocks(nodes *self)
{
    uint64_t sum = 0;
    for (int i = 0; i < NODES; i++)
        sum += nodes_stats(self, i).deadlocks;
    return sum;
}

static void assert_path(const char *text)
{
    assert_non_null(strstr(text, "deadlock"));
    for (int i = 0; i < NODES; i++) {
        char hop[32];
        (void)snprintf(hop, sizeof hop, "a/%d go", i);
        if (strstr(text, hop) == NULL)
            fail_msg("%s is not in: %s", hop, text);
    }
}

static void an_actor_that_asks_in_a_circle_over_nodes_fails_with_the_path(void **state)
{
    nodes *self = *state;
    uint64_t before = deadlocks(self);
    for (int i = 0; i < NODES; i++) {
        char list[32];
        (void)snprintf(list, sizeof list, "0 %d %d %d", (i + 1) % NODES, (i + 2) % NODES, i);
        call only = {.cluster = self, .from = (i + 1) % NODES, .key = keys[i], .list = list};
        start(&only);
        finish(&only);
        assert_int_equal(only.status, VICTIM);
        assert_path(only.text);
        assert_true(only.seconds < 5);
    }
    assert_int_equal(deadlocks(self) - before, NODES);
}

static void independent_callers_of_three_nodes_have_one_victim(void **state)
{
    nodes *self = *state;
    for (int round = 0; round < 20; round++) {
        uint64_t before = deadlocks(self);
        call calls[NODES];
        char lists[NODES][16];
        int victims = 0;
        for (int i = 0; i < NODES; i++) {
            (void)snprintf(lists[i], sizeof lists[i], "100 %d", (i + 1) % NODES);
            calls[i] = (call){
                .cluster = self, .from = (i + round) % NODES, .key = keys[i], .list = lists[i]};
            start(&calls[i]);
        }
        for (int i = 0; i < NODES; i++)
            finish(&calls[i]);
        for (int i = 0; i < NODES; i++) {
            if (calls[i].status == VICTIM)
                assert_path(calls[i].text);
            else
                assert_int_equal(calls[i].status, TROUPE_OK);
            victims += calls[i].status == VICTIM;
            assert_true(calls[i].seconds < 5);
        }
        assert_int_equal(victims, 1);
        assert_int_equal(deadlocks(self) - before, 1);
    }
}

static void long_waits_over_nodes_without_a_circle_are_left_alone(void **state)
{
    nodes *self = *state;
    uint64_t before = deadlocks(self);
    call calls[] = {{.key = "0", .list = "0 1 2"}, {.key = "1", .list = "0 2"},
        {.key = "2", .list = "300"}, {.key = "0", .list = "0 2"}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        calls[i].cluster = self;
        calls[i].from = (int)i % NODES;
        start(&calls[i]);
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        finish(&calls[i]);
        assert_int_equal(calls[i].status, TROUPE_OK);
    }
    assert_int_equal(deadlocks(self), before);
}

static bool rests_at_2(nodes *self, void *user)
{
    (void)user;
    return nodes_stats(self, 2).parked == 1;
}

static bool waits_at_2(nodes *self, void *user)
{
    return nodes_stats(self, 2).queued == *(const uint64_t *)user;
}

static void a_cancel_reaches_what_serves_the_ask_at_another_node(void **state)
{
    nodes *self = *state;
    for (int i = 0; i < NODES; i++) { /* 0 serves it and waits for 1, that for 2 */
        troupe_cancel *first, *second;
        assert_int_equal(troupe_cancel_create(self->list[i], &first), TROUPE_OK);
        assert_int_equal(troupe_cancel_create(self->list[i], &second), TROUPE_OK);
        call serving = {.cluster = self, .from = i, .key = "0", .list = "0 1 2", .cancel = first};
        call waiting = {.cluster = self, .from = i, .key = "2", .list = "0", .cancel = first};
        call resting = {.cluster = self, .from = i, .key = "2", .list = "15000", .cancel = second};
        start(&resting);
        nodes_await(rests_at_2, self, NULL);
        start(&serving);
        nodes_await(waits_at_2, self, &(uint64_t){1});
        start(&waiting);
        nodes_await(waits_at_2, self, &(uint64_t){2});
        troupe_cancel_fire(first);
        finish(&serving);
        finish(&waiting);
        assert_int_equal(serving.status, TROUPE_CANCELLED);
        assert_int_equal(waiting.status, TROUPE_WITHDRAWN);
        nodes_await(waits_at_2, self, &(uint64_t){0}); /* what served it waits for nothing more */
        troupe_cancel_fire(second);
        finish(&resting);
        assert_int_equal(resting.status, TROUPE_CANCELLED);
        call after = {.cluster = self, .from = i, .key = "2", .list = "0"}; /* it rests no more */
        start(&after);
        finish(&after);
        assert_int_equal(after.status, TROUPE_OK);
        assert_true(resting.seconds + after.seconds < 10);
        troupe_cancel_destroy(first);
        troupe_cancel_destroy(second);
    }
}

static void a_call_chain_may_come_back_to_a_node(void **state)
{
    nodes *self = *state;
    for (int i = 0; i < NODES; i++) {
        char list[32];
        (void)snprintf(list, sizeof list, "0 %d %d %d", (i + 1) % NODES, (i + 2) % NODES, i);
        troupe_answer answer = TROUPE_ANSWER_INIT;
        assert_int_equal(troupe_node_ask(self->list[(i + 1) % NODES],
                             troupe_id_of("chain", keys[i]), "go", troupe_str(list), NULL, &answer),
            TROUPE_OK);
        troupe_answer_release(&answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_that_asks_in_a_circle_over_nodes_fails_with_the_path),
        cmocka_unit_test(independent_callers_of_three_nodes_have_one_victim),
        cmocka_unit_test(long_waits_over_nodes_without_a_circle_are_left_alone),
        cmocka_unit_test(a_cancel_reaches_what_serves_the_ask_at_another_node),
        cmocka_unit_test(a_call_chain_may_come_back_to_a_node),
    };
    return cmocka_run_group_tests(tests, open_cluster, close_cluster);
}
