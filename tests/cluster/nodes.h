/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three real nodes of one cluster in one process, on a folder of their own, with one type `seat`
 * whose actors say where they are. For tests of what calls between nodes do.
 *
 * Threads: the test's.
 */
#ifndef TESTS_CLUSTER_NODES_H
#define TESTS_CLUSTER_NODES_H

#include <troupe/inspect.h>

enum { NODES = 3 };

typedef struct nodes {
    char folder[128];
    char names[NODES][24];
    troupe_node *list[NODES];
} nodes;

/* Types for nodes_open; `seat` has `where`, which replies the name of its node. */
extern const troupe_type seat;
extern const troupe_method nodes_methods[1]; /* for types of a test */

/* Opens node-1, node-2, node-3 with what `options` says of each (name and cluster are set here;
 * NULL: all defaults); all have a view with all when it returns. */
void nodes_open(nodes *self, const troupe_node_options options[NODES],
    const troupe_type *const *types, size_t type_count);
/* The same with types of each. */
typedef struct nodes_types {
    const troupe_type *const *list;
    size_t count;
} nodes_types;
void nodes_open_each(
    nodes *self, const troupe_node_options options[NODES], const nodes_types types[NODES]);
/* Closes a node and opens it again, by the same name, with other types. */
void nodes_replace(nodes *self, int node, nodes_types types);
void nodes_close(nodes *self);

/* Asks `where` of type/key at a node: 0, 1, 2. Fails the test if it is not answered. */
int nodes_where(nodes *self, int asked, const char *type, const char *key);
/* Which of them is the home of an id, by the view of node-1. */
int nodes_home_of(nodes *self, const char *type, const char *key);
/* Waits until `holds` is true; fails the test after 20 seconds. */
void nodes_await(bool (*holds)(nodes *self, void *user), nodes *self, void *user);
/* For nodes_await: has each node a view with all? */
bool nodes_see_all(nodes *self, void *unused);
troupe_stats nodes_stats(nodes *self, int node);

#endif
