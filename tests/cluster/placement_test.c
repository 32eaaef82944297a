/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement between three nodes: policies of node and type, labels, functions, types that only some
 * host; and what nodes know of each other's loads.
 */
#include "nodes.h"

#include "cluster/cluster.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEYS = 90, ROUNDS = 200 };

static int on_node_3(
    const troupe_placement *ask, const troupe_member *const *members, size_t count, void *user)
{
    if (ask->key.size != 0 && ((const char *)ask->key.data)[0] == 'd')
        return TROUPE_PLACE_DEFAULT;
    for (size_t i = 0; i < count; i++)
        if (troupe_label_is(members[i], "region", user))
            return (int)i;
    return TROUPE_PLACE_DEFAULT;
}

static const troupe_type in_turn = {
    TROUPE_TYPE("in_turn"), TROUPE_METHODS(nodes_methods), .placement = {.policy = "round-robin"}};
static const troupe_type by_hash = {TROUPE_TYPE("by_hash"), TROUPE_METHODS(nodes_methods),
    .placement = {.policy = "consistent-hash"}};
static const troupe_type spread = {
    TROUPE_TYPE("spread"), TROUPE_METHODS(nodes_methods), .placement = {.policy = "least-loaded"}};
static const troupe_type on_gpu = {
    TROUPE_TYPE("on_gpu"), TROUPE_METHODS(nodes_methods), .placement = {.require = "gpu=true"}};
static const troupe_type nowhere = {
    TROUPE_TYPE("nowhere"), TROUPE_METHODS(nodes_methods), .placement = {.require = "gpu=no"}};
static const troupe_type chosen = {TROUPE_TYPE("chosen"), TROUPE_METHODS(nodes_methods),
    .placement = {.policy = "prefer-local", .choose = on_node_3, .user = (void *)"south"}};

static const troupe_node_options labelled[NODES] = {{TROUPE_NODE_OPTIONS, .labels = "region=north"},
    {TROUPE_NODE_OPTIONS, .labels = "gpu=true, region=east"},
    {TROUPE_NODE_OPTIONS, .labels = "region=south"}};

static void count_places_of(nodes *self, const char *type, int round, int counts[NODES])
{
    char key[32];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key-%d-%d", round, i);
        int first = nodes_where(self, i % NODES, type, key);
        counts[first]++;
        assert_int_equal(nodes_where(self, (i + 1) % NODES, type, key), first);
    }
}

static void count_places(nodes *self, const char *type, int counts[NODES])
{
    count_places_of(self, type, 0, counts);
}

/* By load: who was busier than the others in the last second gets none until that is over. */
static void count_places_by_load(nodes *self, const char *type, int counts[NODES])
{
    for (int round = 0; round < ROUNDS; round++) {
        count_places_of(self, type, round, counts);
        if (counts[0] != 0 && counts[1] != 0 && counts[2] != 0)
            return;
    }
}

static void policies_of_types_choose_as_they_promise(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, labelled, TROUPE_TYPES(&seat, &in_turn, &by_hash, &spread, &on_gpu, &chosen));
    int turn[NODES] = {0}, hash[NODES] = {0}, load[NODES] = {0};
    count_places(&self, "in_turn", turn);
    count_places(&self, "by_hash", hash);
    count_places_by_load(&self, "spread", load);
    for (int i = 0; i < NODES; i++) {
        assert_in_range(turn[i], KEYS / 3 - 3, KEYS / 3 + 3);
        assert_in_range(hash[i], 1, KEYS);
        assert_in_range(load[i], 1, ROUNDS * KEYS);
        assert_int_equal(nodes_where(&self, i, "seat", i == 0 ? "a" : (i == 1 ? "b" : "c")), i);
        char key[16];
        for (int k = 0; k < 10; k++) {
            (void)snprintf(key, sizeof key, "g%d-%d", i, k);
            assert_int_equal(nodes_where(&self, i, "on_gpu", key), 1);
            assert_int_equal(nodes_where(&self, i, "chosen", key), 2);
            key[0] = 'd';
            assert_int_equal(nodes_where(&self, i, "chosen", key), i);
        }
    }
    nodes_close(&self);
}

static void homes_that_do_not_host_a_type_place_it_as_it_wants(void **state)
{
    (void)state;
    nodes self;
    const troupe_type *first[] = {&seat}, *others[] = {&seat, &on_gpu, &in_turn};
    nodes_open_each(
        &self, labelled, (const nodes_types[NODES]){{first, 1}, {others, 3}, {others, 3}});
    char key[16];
    int counts[NODES] = {0};
    for (int k = 0; k < KEYS; k++) { /* a third of them are at home at node-1 */
        (void)snprintf(key, sizeof key, "k%d", k);
        assert_int_equal(nodes_where(&self, 1 + k % 2, "on_gpu", key), 1);
        counts[nodes_where(&self, 1 + k % 2, "in_turn", key)]++;
    }
    assert_int_equal(counts[0], 0);
    assert_in_range(counts[1], KEYS / 2 - 3, KEYS / 2 + 3);
    nodes_close(&self);
}

static void where_no_node_has_the_labels_calls_say_that_nothing_was_done(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, labelled, TROUPE_TYPES(&nowhere));
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(troupe_node_ask(self.list[0], troupe_id_of("nowhere", "x"), "where",
                         troupe_str(""), NULL, &answer),
        TROUPE_UNAVAILABLE);
    assert_int_equal(answer.outcome, TROUPE_NOT_DONE);
    troupe_answer_release(&answer);
    nodes_close(&self);
}

static bool knows_all(nodes *self, void *user)
{
    (void)user;
    for (int i = 0; i < NODES; i++) {
        tp_load_sheet *sheet = tp_cluster_loads(self->list[i]->cluster);
        bool is_so = sheet != NULL && sheet->count == NODES;
        for (uint32_t k = 0; is_so && k < NODES; k++) {
            const tp_load_row *row = &sheet->rows[k];
            bool is_self = row->incarnation == tp_cluster_incarnation(self->list[i]->cluster);
            is_so = row->at != 0 && row->said.memory_limit != 0 &&
                    (is_self ? row->round_trip == 0 : row->round_trip != 0);
            uint64_t second = tp_cluster_incarnation(self->list[1]->cluster);
            is_so = is_so && (row->incarnation != second || row->said.actors >= KEYS);
        }
        tp_load_sheet_release(sheet);
        if (!is_so)
            return false;
    }
    return true;
}

static void nodes_know_of_each_others_loads_and_distance(void **state)
{
    (void)state;
    nodes self;
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){
            TROUPE_NODE_OPTIONS, .health_check_interval = TROUPE_MILLISECONDS(50)};
    nodes_open(&self, options, TROUPE_TYPES(&seat));
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(nodes_where(&self, 1, "seat", key), 1);
    }
    nodes_await(knows_all, &self, NULL);
    nodes_close(&self);
}

/* Node-1 lets more in than the others take. Of the first requests some carry the grant of a home,
 * which is in no frame then. */
static void what_no_frame_holds_is_refused_and_its_actor_made_by_the_next(void **state)
{
    (void)state;
    enum { BIG = 17 << 20, TRIES = 18 };
    const troupe_type *types[] = {&in_turn};
    const troupe_node_options options[NODES] = {{TROUPE_NODE_OPTIONS, .max_message = 32u << 20}};
    nodes self;
    nodes_open(&self, options, types, 1);
    char *big = calloc(1, BIG), key[16];
    int refused = 0;
    for (int i = 0; i < TRIES; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        (void)snprintf(key, sizeof key, "big-%d", i);
        refused += troupe_node_ask(self.list[0], troupe_id_of("in_turn", key), "where",
                       (troupe_slice){big, BIG}, NULL, &answer) == TROUPE_TOO_LARGE;
        troupe_answer_release(&answer);
    }
    assert_true(refused > 0);
    for (int i = 0; i < TRIES; i++) {
        (void)snprintf(key, sizeof key, "big-%d", i);
        (void)nodes_where(&self, 0, "in_turn", key);
    }
    free(big);
    nodes_close(&self);
}

/* More than a link keeps, so that the last ones wait, among them one that no frame holds. */
static troupe_status cry(troupe_turn *turn, void *state, troupe_slice key)
{
    enum { BIG = 17 << 20, TELLS = 20 };
    (void)state;
    troupe_id to = {troupe_str("seat"), {0, 0}, key};
    char *big = calloc(1, BIG);
    troupe_status status = TROUPE_OK;
    for (int i = 0; i < TELLS && status == TROUPE_OK; i++)
        status = troupe_tell(turn, to, "where", (troupe_slice){big, 1 << 20}, NULL);
    if (status == TROUPE_OK)
        status = troupe_tell(turn, to, "where", (troupe_slice){big, BIG}, NULL);
    free(big);
    return status == TROUPE_OK ? troupe_reply_bytes(turn, troupe_str("")) : status;
}

static void what_no_frame_holds_keeps_nothing_behind_it(void **state)
{
    (void)state;
    static const troupe_method methods[] = {TROUPE_METHOD(cry)};
    static const troupe_type crier = {TROUPE_TYPE("crier"), TROUPE_METHODS(methods)};
    const troupe_type *types[] = {&seat, &crier};
    const troupe_node_options options[NODES] = {{TROUPE_NODE_OPTIONS, .max_message = 32u << 20}};
    nodes self;
    nodes_open(&self, options, types, 2);
    assert_int_equal(nodes_where(&self, 1, "seat", "far"), 1);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(troupe_node_ask(self.list[0], troupe_id_of("crier", "one"), "cry",
                         troupe_str("far"), NULL, &answer),
        TROUPE_OK);
    troupe_answer_release(&answer);
    assert_int_equal(nodes_where(&self, 0, "seat", "far"), 1);
    nodes_close(&self);
}

static void placements_that_mean_nothing_are_refused_at_the_start(void **state)
{
    (void)state;
    const troupe_type bad_policy = {
        TROUPE_TYPE("bad"), TROUPE_METHODS(nodes_methods), .placement = {.policy = "somewhere"}};
    const troupe_type bad_terms = {
        TROUPE_TYPE("bad"), TROUPE_METHODS(nodes_methods), .placement = {.require = "gpu=="}};
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .cluster = "file:/nonexistent", .log = "off"};
    char error[512];
    troupe_node *node;
    assert_int_equal(
        troupe_node_open_explained(&options, TROUPE_TYPES(&bad_policy), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_non_null(strstr(error, "round-robin"));
    assert_int_equal(
        troupe_node_open_explained(&options, TROUPE_TYPES(&bad_terms), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_non_null(strstr(error, "column"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_of_types_choose_as_they_promise),
        cmocka_unit_test(homes_that_do_not_host_a_type_place_it_as_it_wants),
        cmocka_unit_test(where_no_node_has_the_labels_calls_say_that_nothing_was_done),
        cmocka_unit_test(nodes_know_of_each_others_loads_and_distance),
        cmocka_unit_test(what_no_frame_holds_is_refused_and_its_actor_made_by_the_next),
        cmocka_unit_test(what_no_frame_holds_keeps_nothing_behind_it),
        cmocka_unit_test(placements_that_mean_nothing_are_refused_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
