/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebalancing between three nodes: what is all on one node is spread, no call fails meanwhile, what
 * placement forbids does not happen, and a dry run only says what it would do.
 */
#include "nodes.h"

#include "cluster/cluster.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/cluster.h>

#include <cmocka.h>

enum { KEYS = 300 };

static const troupe_type on_gpu = {TROUPE_TYPE("on_gpu"), TROUPE_METHODS(nodes_methods),
    .placement = {.policy = "prefer-local", .require = "gpu=true"}};

static void fill(nodes *self, const char *type, int at)
{
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(nodes_where(self, at, type, key), at);
    }
}

static uint64_t total(nodes *self)
{
    uint64_t active = 0;
    for (int i = 0; i < NODES; i++)
        active += nodes_stats(self, i).active;
    return active;
}

/* Asks all of them from everywhere meanwhile. */
static bool is_even(nodes *self, void *user)
{
    char key[16];
    int counts[NODES] = {0};
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        counts[nodes_where(self, i % NODES, user, key)]++;
    }
    for (int i = 0; i < NODES; i++)
        if (counts[i] < KEYS / 5)
            return false;
    return true;
}

static void an_uneven_load_is_spread_and_no_call_fails(void **state)
{
    (void)state;
    nodes self;
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS,
            .health_check_interval = TROUPE_MILLISECONDS(50),
            .rebalance_interval = TROUPE_MILLISECONDS(100), .shards = 2};
    nodes_open(&self, options, TROUPE_TYPES(&seat));
    fill(&self, "seat", 0);
    nodes_await(is_even, &self, (void *)"seat");
    assert_int_equal(total(&self), KEYS);
    assert_true(nodes_stats(&self, 0).rebalanced > 0);
    nodes_close(&self);
}

/* The node without a GPU is no reason to leave a third of the load to it. */
static bool are_halves(nodes *self, void *user)
{
    (void)user;
    for (int i = 0; i < NODES; i++) {
        uint64_t active = nodes_stats(self, i).active;
        if (i == 1 ? active != 0 : active < KEYS * 9 / 20)
            return false;
    }
    return true;
}

static void who_may_host_nothing_does_not_count(void **state)
{
    (void)state;
    nodes self;
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS,
            .health_check_interval = TROUPE_MILLISECONDS(50),
            .rebalance_interval = TROUPE_MILLISECONDS(100),
            .labels = i == 1 ? "gpu=false" : "gpu=true"};
    nodes_open(&self, options, TROUPE_TYPES(&on_gpu));
    fill(&self, "on_gpu", 0);
    nodes_await(are_halves, &self, NULL);
    nodes_close(&self);
}

static bool knows_load(nodes *self, void *user)
{
    (void)user;
    tp_load_sheet *sheet = tp_cluster_loads(self->list[0]->cluster);
    bool knows = sheet != NULL && sheet->count == NODES && sheet->rows[0].said.actors >= KEYS;
    for (uint32_t i = 0; knows && i < NODES; i++)
        knows = sheet->rows[i].at != 0;
    tp_load_sheet_release(sheet);
    return knows;
}

static void look_at_move(void *user, const troupe_cluster_move *move)
{
    uint32_t *count = user;
    assert_int_equal(strncmp(move->actor.data, "on_gpu/key-", 11), 0);
    assert_true(troupe_slice_equal(move->to, troupe_str("node-3")));
    assert_true(move->cost > (double)move->bytes && move->share > 0 && move->to_share < 1);
    ++*count;
}

static void a_dry_run_says_what_would_move_and_moves_nothing(void **state)
{
    (void)state;
    nodes self;
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS,
            .health_check_interval = TROUPE_MILLISECONDS(50),
            .labels = i == 1 ? "gpu=false" : "gpu=true"};
    nodes_open(&self, options, TROUPE_TYPES(&on_gpu));
    fill(&self, "on_gpu", 0);
    nodes_await(knows_load, &self, NULL);
    troupe_cluster_plan plan = {0};
    uint32_t seen = 0;
    assert_int_equal(troupe_cluster_rebalance(self.list[0], true, 0, &plan, NULL, NULL),
        TROUPE_USAGE); /* without its size */
    plan.size = sizeof plan;
    assert_int_equal(troupe_cluster_rebalance(
                         self.list[0], true, TROUPE_SECONDS(20), &plan, look_at_move, &seen),
        TROUPE_OK);
    assert_int_equal(seen, TP_BALANCER_MOVES); /* as many as a cycle may */
    assert_int_equal(plan.planned, seen);
    assert_int_equal(plan.begun, 0);
    assert_string_equal(plan.why, "uneven");
    assert_true(plan.share > 1.15 && plan.share_after < plan.share);
    assert_int_equal(plan.members, NODES);
    assert_int_equal(
        troupe_cluster_rebalance(self.list[1], false, 0, &plan, look_at_move, &seen), TROUPE_OK);
    assert_string_equal(plan.why, "below");
    assert_int_equal(seen, TP_BALANCER_MOVES);
    assert_int_equal(nodes_stats(&self, 0).active, KEYS);
    assert_int_equal(nodes_stats(&self, 0).rebalanced, 0);
    nodes_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_uneven_load_is_spread_and_no_call_fails),
        cmocka_unit_test(who_may_host_nothing_does_not_count),
        cmocka_unit_test(a_dry_run_says_what_would_move_and_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
