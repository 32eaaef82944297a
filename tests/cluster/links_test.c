/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of connections between nodes do what they say: compression, batches by number and
 * time, idle connections. What travels is counted by the nodes themselves; how batches look on the
 * wire is tested in tests/wire.
 */
#include "nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <troupe.h>

#include <cmocka.h>

enum { SIZE = 4096, ASKS = 64, TELLS = 512, LEAST = 16 /* bytes of a tell, on its way */ };

static troupe_status measure(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    return troupe_reply_format(turn, "%zu", in.size);
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    (*(uint32_t *)state)++;
    return TROUPE_OK;
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    return troupe_reply_format(turn, "%u", *(uint32_t *)state);
}

/* Tells somebody so many times. */
static troupe_status pour(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    for (int i = 0; i < TELLS; i++)
        TROUPE_TRY(troupe_tell(turn, troupe_id_of("far", "b"), "take", troupe_str("x"), NULL));
    return troupe_reply_format(turn, "poured");
}

static const troupe_method far_methods[] = {
    TROUPE_METHOD(measure), TROUPE_METHOD(take), TROUPE_METHOD(count)};
static const troupe_type far_type = {
    TROUPE_TYPE("far"), .state_size = sizeof(uint32_t), TROUPE_METHODS(far_methods)};
static const troupe_method near_methods[] = {TROUPE_METHOD(pour)};
static const troupe_type near_type = {TROUPE_TYPE("near"), TROUPE_METHODS(near_methods)};

/* Node-1 hosts no `far`, the others nothing else, so that each call of it travels. */
static void open_with(nodes *self, troupe_node_options all)
{
    static const troupe_type *const callers[] = {&seat, &near_type},
                                    *const hosts[] = {&seat, &far_type};
    troupe_node_options options[NODES] = {all, all, all};
    nodes_open_each(
        self, options, (const nodes_types[NODES]){{callers, 2}, {hosts, 2}, {hosts, 2}});
}

static void expect(
    nodes *self, troupe_id id, const char *method, troupe_slice in, const char *wanted)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_node_ask(self->list[0], id, method, in, NULL, &answer);
    if (status != TROUPE_OK)
        fail_msg("%s: %.*s", troupe_status_name(status), TROUPE_ARG(answer.message));
    assert_true(troupe_slice_equal(answer.payload, troupe_str(wanted)));
    troupe_answer_release(&answer);
}

/* The figures of links are shown once a second. */
static bool has_sent(nodes *self, void *bytes)
{
    return nodes_stats(self, 0).link_raw_out > *(uint64_t *)bytes;
}

/* Bytes that node-1 sent, of those that it would have sent as they are, in per cent. */
static uint64_t share_sent(const char *compression, uint64_t above)
{
    nodes self;
    open_with(&self, (troupe_node_options){TROUPE_NODE_OPTIONS,
                         .compression = compression,
                         .compress_above = above});
    char text[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        text[i] = "a text that says the same again and again. "[i % 43];
    for (int i = 0; i < ASKS; i++)
        expect(&self, troupe_id_of("far", "a"), "measure", (troupe_slice){text, SIZE}, "4096");
    uint64_t bytes = (uint64_t)ASKS * SIZE;
    nodes_await(has_sent, &self, &bytes);
    troupe_stats stats = nodes_stats(&self, 0);
    uint64_t share = stats.link_bytes_out * 100 / stats.link_raw_out;
    nodes_close(&self);
    return share;
}

static void batches_are_compressed_as_the_option_says(void **state)
{
    (void)state;
    assert_true(share_sent(NULL, 0) >= 100);
    assert_true(share_sent("lz4", 0) < 50);
    assert_true(share_sent("zstd", 0) < 50);
    assert_true(share_sent("zstd", 1 << 20) >= 100); /* none is as large */
}

/* Batches that node-1 sent for the tells of one turn. */
static uint64_t batches_of(uint32_t limit, uint64_t delay)
{
    nodes self;
    open_with(&self, (troupe_node_options){
                         TROUPE_NODE_OPTIONS, .batch_limit = limit, .batch_delay = delay});
    expect(&self, troupe_id_of("far", "b"), "count", troupe_str(""), "0");
    uint64_t bytes = 0;
    nodes_await(has_sent, &self, &bytes);
    troupe_stats before = nodes_stats(&self, 0);
    expect(&self, troupe_id_of("near", "a"), "pour", troupe_str(""), "poured");
    char all[16];
    (void)snprintf(all, sizeof all, "%d", TELLS);
    expect(&self, troupe_id_of("far", "b"), "count", troupe_str(""), all);
    bytes = before.link_raw_out + TELLS * LEAST;
    nodes_await(has_sent, &self, &bytes);
    uint64_t sent = nodes_stats(&self, 0).link_batches_out - before.link_batches_out;
    nodes_close(&self);
    return sent;
}

static void batches_hold_as_many_messages_as_the_options_say(void **state)
{
    (void)state;
    assert_true(batches_of(4, 0) >= TELLS / 4);
    assert_true(batches_of(0, 0) < TELLS / 4);
    assert_true(batches_of(0, TROUPE_MILLISECONDS(20)) < TELLS / 4);
}

/* Either side of a connection may be the first to close it. */
static bool has_closed_idle(nodes *self, void *unused)
{
    (void)unused;
    uint64_t idles = 0;
    for (int i = 0; i < NODES; i++)
        idles += nodes_stats(self, i).link_idles;
    return idles != 0;
}

static void idle_connections_are_closed_and_made_again(void **state)
{
    (void)state;
    nodes self;
    open_with(&self, (troupe_node_options){
                         TROUPE_NODE_OPTIONS, .max_idle_time = TROUPE_MILLISECONDS(50)});
    expect(&self, troupe_id_of("far", "b"), "count", troupe_str(""), "0");
    nodes_await(has_closed_idle, &self, NULL);
    expect(&self, troupe_id_of("far", "b"), "count", troupe_str(""), "0");
    nodes_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_compressed_as_the_option_says),
        cmocka_unit_test(batches_hold_as_many_messages_as_the_options_say),
        cmocka_unit_test(idle_connections_are_closed_and_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
