/* SPDX-License-Identifier: Apache-2.0 */
/* Three nodes in one process. See nodes.h. */
#include "nodes.h"

#include "cluster/cluster.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <troupe/cluster.h>
#include <unistd.h>

#include <cmocka.h>

static troupe_status where(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_reply_format(turn, "%s", troupe_node_name(troupe_turn_node(turn)));
}

const troupe_method nodes_methods[1] = {TROUPE_METHOD(where)};
const troupe_type seat = {TROUPE_TYPE("seat"), TROUPE_METHODS(nodes_methods)};

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void breathe(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void make_folder(nodes *self)
{
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(self->folder, sizeof self->folder, "%.90s/troupe-nodes-XXXXXX",
        temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(self->folder));
}

static void open_one(nodes *self, int i, const troupe_node_options *options, nodes_types types)
{
    char url[160], error[512];
    (void)snprintf(url, sizeof url, "file:%s", self->folder);
    troupe_node_options given = {TROUPE_NODE_OPTIONS};
    if (options != NULL)
        given = *options;
    given.size = sizeof given;
    (void)snprintf(self->names[i], sizeof self->names[i], "node-%d", i + 1);
    given.name = self->names[i];
    given.cluster = url;
    given.shards = given.shards != 0 ? given.shards : 1;
    given.log = given.log != NULL ? given.log : "error,text";
    if (troupe_node_open_explained(
            &given, types.list, types.count, &self->list[i], error, sizeof error) != TROUPE_OK)
        fail_msg("%s: %s", self->names[i], error);
}

bool nodes_see_all(nodes *self, void *unused)
{
    (void)unused;
    for (int i = 0; i < NODES; i++) {
        troupe_cluster_view view = {.size = sizeof view};
        assert_int_equal(troupe_cluster_view_get(self->list[i], &view), TROUPE_OK);
        if (view.members != NODES)
            return false;
    }
    return true;
}

void nodes_open_each(
    nodes *self, const troupe_node_options options[NODES], const nodes_types types[NODES])
{
    *self = (nodes){0};
    make_folder(self);
    for (int i = 0; i < NODES; i++)
        open_one(self, i, options != NULL ? &options[i] : NULL, types[i]);
    nodes_await(nodes_see_all, self, NULL);
}

void nodes_replace(nodes *self, int node, nodes_types types)
{
    troupe_node_close(self->list[node]);
    open_one(self, node, NULL, types);
    nodes_await(nodes_see_all, self, NULL);
}

void nodes_open(nodes *self, const troupe_node_options options[NODES],
    const troupe_type *const *types, size_t type_count)
{
    const nodes_types all = {types, type_count};
    nodes_open_each(self, options, (const nodes_types[NODES]){all, all, all});
}

void nodes_close(nodes *self)
{
    for (int i = 0; i < NODES; i++) {
        double begin = seconds();
        troupe_node_close(self->list[i]);
        if (seconds() - begin > 15) /* half of drain_timeout: it left, and did not give up */
            fail_msg("%s took %.1f s to leave", self->names[i], seconds() - begin);
    }
    char command[200];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", self->folder);
    assert_int_equal(system(command), 0);
}

int nodes_where(nodes *self, int asked, const char *type, const char *key)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(20)};
    troupe_status status = troupe_node_ask(
        self->list[asked], troupe_id_of(type, key), "where", troupe_str(""), &options, &answer);
    if (status != TROUPE_OK)
        fail_msg("%s/%s from %s: %s: %.*s", type, key, self->names[asked],
            troupe_status_name(status), TROUPE_ARG(answer.message));
    int found = -1;
    for (int i = 0; i < NODES; i++)
        if (answer.payload.size == strlen(self->names[i]) &&
            memcmp(answer.payload.data, self->names[i], answer.payload.size) == 0)
            found = i;
    troupe_answer_release(&answer);
    assert_true(found >= 0);
    return found;
}

void nodes_await(bool (*holds)(nodes *self, void *user), nodes *self, void *user)
{
    double begin = seconds();
    while (!holds(self, user)) {
        if (seconds() - begin > 20)
            fail_msg("it did not come to hold in 20 seconds");
        breathe();
    }
}

int nodes_home_of(nodes *self, const char *type, const char *key)
{
    tp_cluster_look look;
    assert_int_equal(tp_cluster_see(self->list[0]->cluster, &look), TROUPE_OK);
    const tp_shared *shared = &self->list[0]->shared;
    uint64_t hash = tp_types_hash(&shared->types, troupe_id_of(type, key));
    const tp_directory_view *view = &look.chart->view;
    uint64_t home = view->members[tp_directory_home(view, hash)].node;
    int found = 0;
    while (home != tp_cluster_incarnation(self->list[found]->cluster))
        found++;
    tp_chart_release(look.chart);
    return found;
}

troupe_stats nodes_stats(nodes *self, int node)
{
    troupe_stats stats = {.size = sizeof stats};
    assert_int_equal(troupe_node_stats(self->list[node], &stats), TROUPE_OK);
    return stats;
}
