/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <troupe/cluster.h> in three nodes of one process: each shows all members, finds where any actor
 * lives, and walks over all of them in pages.
 */
#include "nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <troupe.h>
#include <troupe/cluster.h>

#include <cmocka.h>

static int open_cluster(void **state)
{
    static nodes self;
    static const troupe_type *const types[] = {&seat};
    troupe_node_options options[NODES];
    for (int i = 0; i < NODES; i++)
        options[i] = (troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2};
    nodes_open(&self, options, types, 1);
    *state = &self;
    return 0;
}

static int close_cluster(void **state)
{
    nodes_close(*state);
    return 0;
}

typedef struct sightings {
    int count, selves;
    char node[32], key[300][16];
    bool is_strong, has_actor;
} sightings;

static void see_member(void *user, const troupe_cluster_member *member)
{
    sightings *self = user;
    self->count++;
    self->selves += member->is_self;
    assert_string_equal(member->status, "active");
    assert_int_equal(member->shards, 2);
    assert_false(member->is_suspected);
    assert_true(member->is_healthy);
    assert_true(member->incarnation > 0);
    assert_true(member->address.size > 0);
}

static void each_node_shows_all_members(void **state)
{
    nodes *self = *state;
    for (int i = 0; i < NODES; i++) {
        sightings seen = {0};
        troupe_cluster_view view = {.size = sizeof view};
        assert_int_equal(troupe_cluster_nodes(self->list[i], see_member, &seen), TROUPE_OK);
        assert_int_equal(seen.count, NODES);
        assert_int_equal(seen.selves, 1);
        assert_int_equal(troupe_cluster_view_get(self->list[i], &view), TROUPE_OK);
        assert_string_equal(view.state, "member");
        assert_int_equal(view.members, NODES);
        assert_true(view.lease_left > 0 && view.lease_left <= view.ttl);
        view.size = 1;
        assert_int_equal(troupe_cluster_view_get(self->list[i], &view), TROUPE_USAGE);
    }
}

static void see_place(void *user, const troupe_cluster_place *place)
{
    sightings *self = user;
    self->count++;
    self->is_strong = place->is_strong;
    self->has_actor = place->has_actor;
    (void)snprintf(self->node, sizeof self->node, "%.*s", TROUPE_ARG(place->node));
}

static void a_strong_lookup_finds_an_actor_from_anywhere(void **state)
{
    nodes *self = *state;
    for (int i = 0; i < 30; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "l%d", i);
        int host = nodes_where(self, i % NODES, "seat", key);
        for (int asked = 0; asked < NODES; asked++) {
            sightings seen = {0};
            assert_int_equal(troupe_cluster_lookup(self->list[asked], troupe_id_of("seat", key),
                                 TROUPE_STRONG, 0, see_place, &seen),
                TROUPE_OK);
            assert_int_equal(seen.count, 1);
            assert_true(seen.is_strong && seen.has_actor);
            assert_string_equal(seen.node, self->names[host]);
        }
    }
    sightings none = {0};
    assert_int_equal(troupe_cluster_lookup(self->list[0], troupe_id_of("seat", "nobody"),
                         TROUPE_STRONG, 0, see_place, &none),
        TROUPE_NOT_FOUND);
    assert_int_equal(troupe_cluster_lookup(self->list[0], troupe_id_of("sofa", "a"), TROUPE_STRONG,
                         0, see_place, &none),
        TROUPE_NO_TYPE);
    assert_int_equal(none.count, 0);
}

static void see_found(void *user, const troupe_cluster_found *found)
{
    sightings *self = user;
    if (self->count < 300)
        (void)snprintf(self->key[self->count], 16, "%.*s", TROUPE_ARG(found->id.key));
    self->count++;
}

static void pages_show_each_actor_once(void **state)
{
    nodes *self = *state;
    enum { ACTORS = 100 };
    for (int i = 0; i < ACTORS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "p%d", i);
        (void)nodes_where(self, i % NODES, "seat", key);
    }
    for (int asked = 0; asked < NODES; asked++) {
        static sightings seen;
        troupe_cluster_cursor cursor = {0};
        memset(&seen, 0, sizeof seen);
        for (int pages = 0; !cursor.is_over; pages++) {
            int before = seen.count;
            assert_true(pages < ACTORS);
            assert_int_equal(troupe_cluster_discover(self->list[asked], troupe_str("seat"),
                                 troupe_str("p*"), 7, 0, &cursor, see_found, &seen),
                TROUPE_OK);
            assert_true(seen.count - before <= 7);
        }
        assert_false(cursor.has_missed);
        assert_int_equal(seen.count, ACTORS);
        for (int i = 0; i < ACTORS; i++)
            for (int k = 0; k < i; k++)
                assert_string_not_equal(seen.key[i], seen.key[k]);
    }
    troupe_cluster_cursor cursor = {0};
    assert_int_equal(troupe_cluster_discover(self->list[0], troupe_str(""), troupe_str(""), 0, 0,
                         &cursor, see_found, NULL),
        TROUPE_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_node_shows_all_members),
        cmocka_unit_test(a_strong_lookup_finds_an_actor_from_anywhere),
        cmocka_unit_test(pages_show_each_actor_once),
    };
    return cmocka_run_group_tests(tests, open_cluster, close_cluster);
}
