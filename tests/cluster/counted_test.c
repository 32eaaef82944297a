/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts stay exact when actors move: over all nodes each turn is counted once, at the node that
 * ran it, and each actor stands at one node.
 *
 * Threads: the test's; the nodes'.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cluster/nodes.h"
#include "tests/observe/page.h"

#include <troupe/cluster.h>

#define ACTORS 12
#define ROUNDS 5

static double sum_of(nodes *town, const char *name)
{
    double sum = 0;
    for (int i = 0; i < NODES; i++)
        sum += page_value(town->list[i], name, "type=\"seat\"");
    return sum;
}

static void assert_sum(nodes *town, const char *name, double wanted)
{
    double got = sum_of(town, name);
    if (got != wanted)
        fail_msg("%s is %.0f on all nodes, not %.0f", name, got, wanted);
}

/* What has moved is gone where it was soon after it runs elsewhere. */
static bool is_settled(nodes *town, void *moved)
{
    return sum_of(town, "troupe_actors") == ACTORS &&
           sum_of(town, "troupe_deactivations_total") == *(int *)moved;
}

static void moved_actors_are_counted_once(void **unused)
{
    (void)unused;
    nodes town;
    int moved = 0, at[ACTORS];
    char key[16];
    nodes_open(&town, NULL, TROUPE_TYPES(&seat));
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < ACTORS; i++) {
            snprintf(key, sizeof key, "%d", i);
            at[i] = nodes_where(&town, (i + round) % NODES, "seat", key);
        }
        if (round == ROUNDS - 1)
            break;
        for (int i = round % 2; i < ACTORS; i += 2) {
            uint64_t took;
            bool is_member;
            snprintf(key, sizeof key, "%d", i);
            assert_int_equal(
                troupe_cluster_migrate(town.list[0], troupe_id_of("seat", key),
                    troupe_str(town.names[(at[i] + 1) % NODES]), TROUPE_SECONDS(20), &took,
                    &is_member),
                TROUPE_OK);
            moved++;
        }
    }
    nodes_await(is_settled, &town, &moved);
    assert_sum(&town, "troupe_turns_total", ACTORS * ROUNDS);
    assert_sum(&town, "troupe_failures_total", 0);
    assert_sum(&town, "troupe_activations_total", ACTORS + moved);
    for (int i = 0; i < NODES; i++) {
        int here = 0;
        for (int k = 0; k < ACTORS; k++)
            here += at[k] == i;
        assert_int_equal(page_value(town.list[i], "troupe_actors", "type=\"seat\""), here);
    }
    nodes_close(&town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moved_actors_are_counted_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
