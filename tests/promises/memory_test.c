/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P9, bounded: messages count for memory_limit. Who adds to it beyond the limit is refused; what
 * was accepted and replies never are, and below it again all goes on. In a world.
 */
#include "tests/promises/scene.h"

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    char text[256];
    (*(uint64_t *)state)++;
    TROUPE_TRY(troupe_sleep(turn, MS((unsigned)atoi(text_of(payload, text)))));
    return troupe_reply_format(turn, "rested");
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    (*(uint64_t *)state)++;
    return troupe_reply_format(turn, "%llu", *(unsigned long long *)state);
}

/* "n size": tells each of b/m0 to b/m7 n times so many bytes; replies how many were accepted. */
static troupe_status pile(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    static char bytes[65536];
    char text[256], id[64];
    unsigned rounds, size, accepted = 0;
    if (sscanf(text_of(payload, text), "%u %u", &rounds, &size) != 2 || size > sizeof bytes)
        return TROUPE_USAGE;
    for (unsigned i = 0; i < rounds * 8; i++) {
        snprintf(id, sizeof id, "b/m%u", i % 8);
        accepted += troupe_tell(turn, id_of(id), "count", (troupe_slice){bytes, size}, NULL) ==
                    TROUPE_OK;
    }
    return troupe_reply_format(turn, "%u", accepted);
}

static const troupe_method methods[] = {
    TROUPE_METHOD(nap), TROUPE_METHOD(count), TROUPE_METHOD(pile)};
static const troupe_type type = {
    TROUPE_TYPE("b"), .state_size = sizeof(uint64_t), TROUPE_METHODS(methods)};

static void open_holders(scene *s, const troupe_node_options *options)
{
    scene_open(s, options, TROUPE_TYPES(&type));
}

enum { HOLDERS = 8, PIECE = 65536, MEMORY = 4 << 20 };

static void hold(scene *s, call naps[HOLDERS], const char *how_long)
{
    char id[32];
    for (uint32_t i = 0; i < HOLDERS; i++) {
        snprintf(id, sizeof id, "b/m%u", i);
        scene_ask(s, &naps[i], id, "nap", how_long, NULL);
    }
    scene_run(s, MS(5));
}

static void messages_count_for_memory_limit(void **state)
{
    (void)state;
    static char bytes[PIECE];
    scene s;
    call naps[HOLDERS], late;
    open_holders(
        &s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .memory_limit = MEMORY, .inbox_limit = 16});
    hold(&s, naps, "1000");
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < 200; i++) {
        char id[32];
        snprintf(id, sizeof id, "b/m%u", i % HOLDERS);
        accepted += troupe_node_tell(s.node, id_of(id), "count", (troupe_slice){bytes, PIECE},
                        NULL) == TROUPE_OK;
        scene_run(&s, 1);
    }
    assert_in_range(accepted, MEMORY / PIECE / 2, MEMORY / PIECE + 2);
    troupe_stats stats = stats_of(s.node);
    assert_in_range(stats.bytes, MEMORY / 2, MEMORY + 2 * PIECE);
    assert_int_equal(stats.busy_memory, 200 - accepted);
    assert_int_equal(stats.busy_actors + stats.busy_inbox + stats.busy_mailbox, 0);
    scene_ask(&s, &late, "b/m1", "count", "", NULL);
    scene_run(&s, MS(5));
    assert_heard(late.got, TROUPE_BUSY);
    assert_int_equal(late.got.outcome, TROUPE_NOT_DONE);
    assert_says(late.got.text, "memory_limit");
    late = (call){0};
    scene_ask(&s, &late, "b/new", "count", "", NULL);
    scene_run(&s, MS(5));
    assert_heard(late.got, TROUPE_BUSY);
    assert_says(late.got.text, "memory_limit");
    scene_run(&s, TROUPE_SECONDS(2)); /* they leave, and with them what they held */
    for (uint32_t i = 0; i < HOLDERS; i++)
        assert_heard(naps[i].got, TROUPE_OK);
    assert_int_equal(stats_of(s.node).dead_letters, 0);
    assert_heard(ask(s.node, "b/m1", "count", ""), TROUPE_OK);
    tell(s.node, "b/m1", "count", "");
    scene_close(&s);
}

static void a_turn_that_sends_is_bounded_by_memory_limit_before_it_parks(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 2; shards++) {
        scene s;
        call naps[HOLDERS];
        open_holders(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS,
                             .memory_limit = MEMORY * shards, .shards = shards});
        hold(&s, naps, "1000");
        heard got = ask(s.node, "b/piler", "pile", "50 65000");
        unsigned accepted = (unsigned)atoi(got.text);
        assert_in_range(accepted, MEMORY / PIECE / 2, MEMORY / PIECE * 5 / 4);
        got = ask(s.node, "b/piler", "pile", "500 1000");
        assert_true(stats_of(s.node).bytes < MEMORY * shards * 5 / 4);
        assert_true(stats_of(s.node).busy_memory >= 400 - accepted);
        scene_run(&s, TROUPE_SECONDS(2));
        assert_int_equal(stats_of(s.node).queued, 0);
        assert_int_equal(stats_of(s.node).dead_letters, 0);
        assert_string_equal(ask(s.node, "b/piler", "pile", "1 1000").text, "8");
        scene_close(&s);
    }
}

static void payloads_under_way_from_outside_count_as_well(void **state)
{
    (void)state;
    static char bytes[PIECE];
    scene s;
    open_holders(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .memory_limit = MEMORY});
    assert_heard(ask(s.node, "b/1", "count", ""), TROUPE_OK);
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < 200; i++) /* no step in between */
        accepted += troupe_node_tell(s.node, id_of("b/1"), "count", (troupe_slice){bytes, PIECE},
                        NULL) == TROUPE_OK;
    assert_in_range(accepted, MEMORY / PIECE / 2, MEMORY / PIECE + 1);
    assert_int_equal(stats_of(s.node).busy_memory, 200 - accepted);
    scene_run(&s, MS(100));
    assert_int_equal(stats_of(s.node).queued, 0);
    assert_status(
        troupe_node_tell(s.node, id_of("b/1"), "count", (troupe_slice){bytes, PIECE}, NULL),
        TROUPE_OK);
    scene_close(&s);
}

static void a_memory_limit_that_holds_no_actor_is_refused(void **state)
{
    (void)state;
    troupe_node *node;
    char error[256];
    assert_status(troupe_node_open_explained(
                      &(troupe_node_options){TROUPE_NODE_OPTIONS, .memory_limit = 1, .shards = 1},
                      TROUPE_TYPES(&type), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_says(error, "memory_limit");
    assert_says(error, "16KiB");
    scene s; /* the least there is holds one */
    open_holders(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .memory_limit = 16384});
    for (int i = 0; i < 3; i++)
        assert_heard(ask(s.node, "b/1", "count", ""), TROUPE_OK);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_count_for_memory_limit),
        cmocka_unit_test(a_turn_that_sends_is_bounded_by_memory_limit_before_it_parks),
        cmocka_unit_test(payloads_under_way_from_outside_count_as_well),
        cmocka_unit_test(a_memory_limit_that_holds_no_actor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
