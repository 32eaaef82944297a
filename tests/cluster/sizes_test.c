/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large messages between nodes: what max_message allows travels both ways, as the first thing that
 * two nodes say to each other too; what the other side does not take is refused in words that say
 * both limits, and the link stays. What calls mean is not tested here.
 */
#include "nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

#include <cmocka.h>

enum { BIG = 17 << 20, OVER = 40 << 20, VAST = 130 << 20 };

/* How many bytes it was given. */
static troupe_status measure(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    return troupe_reply_format(turn, "%zu", in.size);
}

/* As many bytes as the payload says. */
static troupe_status give(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    size_t size = (size_t)strtoul(text, NULL, 10);
    char *bytes = calloc(1, size);
    troupe_status status = troupe_reply_bytes(turn, (troupe_slice){bytes, size});
    free(bytes);
    return status;
}

static const troupe_method scale_methods[] = {TROUPE_METHOD(measure), TROUPE_METHOD(give)};
static const troupe_type scale = {TROUPE_TYPE("scale"), TROUPE_METHODS(scale_methods)};

/* Node-1 hosts none, so that each call of it travels. */
static void open_with(nodes *self, const uint64_t max_message[NODES])
{
    static const troupe_type *const callers[] = {&seat}, *const hosts[] = {&seat, &scale};
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS,
            .max_message = max_message[i],
            .mailbox_bytes = max_message[i] != 0 ? 2 * max_message[i] : 0};
    nodes_open_each(
        self, options, (const nodes_types[NODES]){{callers, 1}, {hosts, 2}, {hosts, 2}});
}

static troupe_status ask(nodes *self, const char *key, const char *method, troupe_slice payload,
    troupe_answer *answer)
{
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(20)};
    return troupe_node_ask(
        self->list[0], troupe_id_of("scale", key), method, payload, &options, answer);
}

static void expect_measured(nodes *self, const char *key, size_t size)
{
    char *bytes = calloc(1, size), wanted[32];
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = ask(self, key, "measure", (troupe_slice){bytes, size}, &answer);
    if (status != TROUPE_OK)
        fail_msg("%zu bytes: %s: %.*s", size, troupe_status_name(status),
            TROUPE_ARG(answer.message));
    (void)snprintf(wanted, sizeof wanted, "%zu", size);
    assert_true(troupe_slice_equal(answer.payload, troupe_str(wanted)));
    troupe_answer_release(&answer);
    free(bytes);
}

static void expect_given(nodes *self, const char *key, size_t size)
{
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "%zu", size);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = ask(self, key, "give", troupe_str(wanted), &answer);
    if (status != TROUPE_OK)
        fail_msg("%zu bytes: %s: %.*s", size, troupe_status_name(status),
            TROUPE_ARG(answer.message));
    assert_int_equal(answer.payload.size, size);
    troupe_answer_release(&answer);
}

static void what_max_message_allows_travels_both_ways(void **state)
{
    (void)state;
    nodes self;
    open_with(&self, (const uint64_t[NODES]){OVER, OVER, OVER});
    char key[16];
    for (int i = 0; i < 6; i++) { /* the first of each link is as large as the others */
        (void)snprintf(key, sizeof key, "key-%d", i);
        expect_measured(&self, key, BIG);
        expect_given(&self, key, BIG);
    }
    expect_measured(&self, "key-0", OVER);
    expect_given(&self, "key-0", OVER);
    for (size_t size = 1 << 20; size <= 4 << 20; size += 1 << 20)
        expect_measured(&self, "key-0", size + 17);
    nodes_close(&self);
}

/* More than a directory holds at once unless it is told to. */
static void one_message_may_be_larger_than_the_room_for_those_that_wait(void **state)
{
    (void)state;
    nodes self;
    open_with(&self, (const uint64_t[NODES]){VAST, VAST, VAST});
    expect_measured(&self, "key-0", VAST);
    nodes_close(&self);
}

static void expect_refused(
    nodes *self, const char *key, const char *method, troupe_slice payload, troupe_outcome outcome)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = ask(self, key, method, payload, &answer);
    char words[400];
    (void)snprintf(words, sizeof words, "%.*s", TROUPE_ARG(answer.message));
    assert_int_equal(status, TROUPE_TOO_LARGE);
    assert_int_equal(answer.outcome, outcome);
    assert_non_null(strstr(words, "17825"));       /* its size, 17 MiB and some */
    assert_non_null(strstr(words, "max_message")); /* what is to be changed */
    assert_non_null(strstr(words, "node-"));       /* and where */
    troupe_answer_release(&answer);
}

/* Node-1 lets more in than its frames to the others hold. */
static void what_the_other_side_does_not_take_is_refused_and_the_link_stays(void **state)
{
    (void)state;
    nodes self;
    open_with(&self, (const uint64_t[NODES]){OVER, 0, 0});
    char *big = calloc(1, BIG), key[16];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        expect_refused(
            &self, key, "measure", (troupe_slice){big, BIG}, TROUPE_NOT_DONE);
        expect_measured(&self, key, 100);
    }
    free(big);
    nodes_close(&self);
}

/* The two others let their actors answer more than node-1 takes. */
static void an_answer_that_the_asker_does_not_take_is_refused_at_once(void **state)
{
    (void)state;
    nodes self;
    open_with(&self, (const uint64_t[NODES]){0, OVER, OVER});
    char key[16];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        expect_refused(&self, key, "give", troupe_str("17825792"), TROUPE_DONE);
        expect_given(&self, key, 100);
    }
    nodes_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_max_message_allows_travels_both_ways),
        cmocka_unit_test(one_message_may_be_larger_than_the_room_for_those_that_wait),
        cmocka_unit_test(what_the_other_side_does_not_take_is_refused_and_the_link_stays),
        cmocka_unit_test(an_answer_that_the_asker_does_not_take_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
