/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The location cache at work between three nodes: what a node learned it uses, what is wrong is
 * corrected, what is old is asked for anew, and `troupe stats` has the counts.
 */
#include "nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <troupe/cluster.h>

#include <cmocka.h>

enum { KEYS = 60 };

static void key_of(char key[16], int number)
{
    (void)snprintf(key, 16, "seat-%d", number);
}

static void ask_all(nodes *self, int asked, int expected)
{
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        key_of(key, i);
        assert_int_equal(nodes_where(self, asked, "seat", key), expected);
    }
}

static bool has_hits(nodes *self, void *user)
{
    ask_all(self, 0, *(int *)user);
    return nodes_stats(self, 0).cache_hits > 0;
}

static void actors_that_others_host_are_found_without_asking_their_home_again(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, NULL, TROUPE_TYPES(&seat));
    int at = 1;
    ask_all(&self, 1, at); /* prefer-local: they are made where they are asked for */
    ask_all(&self, 0, at);
    troupe_stats first = nodes_stats(&self, 0);
    assert_true(first.cache_misses > 0);
    nodes_await(has_hits, &self, &at);
    nodes_close(&self);
}

/* All of them, until the homes have all that is active. */
static bool preloads(nodes *self, void *user)
{
    troupe_cluster_preloaded *done = user, next;
    assert_int_equal(
        troupe_cluster_preload(self->list[0], troupe_str("seat"), troupe_str(""), 0, &next),
        TROUPE_OK);
    done->learned += next.learned;
    done->is_full = next.is_full;
    return !next.has_missed && next.learned == 0 && done->learned > 0;
}

static void what_was_preloaded_is_found_by_the_first_call(void **state)
{
    (void)state;
    nodes self;
    troupe_cluster_preloaded done = {0};
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2};
    nodes_open(&self, options, TROUPE_TYPES(&seat));
    ask_all(&self, 1, 1);
    assert_int_equal(
        troupe_cluster_preload(self.list[0], troupe_str("seat"), troupe_str("chair-*"), 0, &done),
        TROUPE_OK);
    assert_int_equal(done.learned, 0);
    nodes_await(preloads, &self, &done);
    assert_false(done.is_full);
    ask_all(&self, 0, 1);
    troupe_stats stats = nodes_stats(&self, 0);
    assert_int_equal(stats.cache_preloaded, done.learned);
    assert_int_equal(stats.cache_hits, done.learned); /* all but those at home here */
    assert_int_equal(stats.cache_misses, 0);
    nodes_close(&self);
}

static void a_preload_ends_when_the_cache_is_full(void **state)
{
    (void)state;
    nodes self;
    troupe_cluster_preloaded done = {0};
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .cache_size = 16};
    nodes_open(&self, options, TROUPE_TYPES(&seat));
    ask_all(&self, 1, 1);
    nodes_await(preloads, &self, &done);
    assert_true(done.is_full);
    assert_int_equal(done.learned, 16);
    assert_int_equal(nodes_stats(&self, 0).cache_evictions, 0);
    nodes_close(&self);
}

static void calls_that_leave_a_node_are_counted_there(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, NULL, TROUPE_TYPES(&seat));
    ask_all(&self, 1, 1);
    uint64_t before[] = {nodes_stats(&self, 0).sent_away, nodes_stats(&self, 1).sent_away};
    ask_all(&self, 0, 1);
    ask_all(&self, 1, 1); /* they are here: nothing is sent */
    assert_int_equal(nodes_stats(&self, 0).sent_away, before[0] + KEYS);
    assert_true(nodes_stats(&self, 1).sent_away < before[1] + KEYS);
    nodes_close(&self);
}

static bool is_corrected(nodes *self, void *user)
{
    ask_all(self, 0, *(int *)user);
    return nodes_stats(self, 0).cache_corrections > 0;
}

static void actors_that_were_made_elsewhere_meanwhile_are_still_found(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, NULL, TROUPE_TYPES(&seat));
    int at = 1;
    ask_all(&self, 1, at);
    nodes_await(has_hits, &self, &at);
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        key_of(key, i);
        assert_int_equal(
            troupe_node_deactivate(self.list[1], troupe_id_of("seat", key)), TROUPE_OK);
    }
    for (int i = 0; i < KEYS; i++) { /* its end may take a moment to reach the home */
        key_of(key, i);
        while (nodes_where(&self, 2, "seat", key) != 2) {
            assert_true(
                troupe_node_deactivate(self.list[1], troupe_id_of("seat", key)) != TROUPE_USAGE);
        }
    }
    at = 2;
    nodes_await(is_corrected, &self, &at);
    nodes_close(&self);
}

static bool has_refreshed(nodes *self, void *user)
{
    ask_all(self, 0, *(int *)user);
    troupe_stats stats = nodes_stats(self, 0);
    return stats.cache_refreshes > 0 && stats.cache_hits > 0;
}

static void places_in_use_are_asked_for_anew_before_they_are_too_old(void **state)
{
    (void)state;
    nodes self;
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS, .cache_policy = "tinylfu",
            .cache_ttl = TROUPE_SECONDS(2), .cache_refresh = TROUPE_MILLISECONDS(1900)};
    nodes_open(&self, options, TROUPE_TYPES(&seat));
    int at = 1;
    ask_all(&self, 1, at);
    nodes_await(has_refreshed, &self, &at);
    nodes_close(&self);
}

static void what_a_member_that_left_had_is_found_where_it_is_made_anew(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, NULL, TROUPE_TYPES(&seat));
    int at = 1;
    ask_all(&self, 1, at);
    nodes_await(has_hits, &self, &at);
    troupe_node_close(self.list[1]);
    self.list[1] = NULL;
    ask_all(&self, 0, 0);
    nodes_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actors_that_others_host_are_found_without_asking_their_home_again),
        cmocka_unit_test(what_was_preloaded_is_found_by_the_first_call),
        cmocka_unit_test(a_preload_ends_when_the_cache_is_full),
        cmocka_unit_test(calls_that_leave_a_node_are_counted_there),
        cmocka_unit_test(actors_that_were_made_elsewhere_meanwhile_are_still_found),
        cmocka_unit_test(places_in_use_are_asked_for_anew_before_they_are_too_old),
        cmocka_unit_test(what_a_member_that_left_had_is_found_where_it_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
