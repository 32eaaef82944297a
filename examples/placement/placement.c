/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where actors are activated. Three nodes of one cluster, in this process for show: one has a GPU,
 * two are in Europe. A type that requires a GPU gets it; a type chooses its member by a function of
 * its own, by what its keys begin with; a third is dealt out in turn. The program checks where each
 * actor says it is.
 *
 * Threads: main, and those of the nodes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>
#include <troupe/inspect.h>

enum { NODES = 3, KEYS = 30 };

static troupe_status where(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_reply_format(turn, "%s", troupe_node_name(troupe_turn_node(turn)));
}

/* Keys are REGION-NUMBER: near their users, on a member that is not too full. */
static int in_the_region(
    const troupe_placement *ask, const troupe_member *const *members, size_t count, void *user)
{
    (void)user;
    char region[8] = "";
    const char *key = ask->key.data;
    for (size_t i = 0; i + 1 < sizeof region && i < ask->key.size && key[i] != '-'; i++)
        region[i] = key[i];
    for (size_t i = 0; i < count; i++)
        if (troupe_label_is(members[i], "region", region) && members[i]->load.memory < 0.8)
            return (int)i;
    return TROUPE_PLACE_DEFAULT;
}

static const troupe_method methods[] = {TROUPE_METHOD(where)};
static const troupe_type model = {TROUPE_TYPE("model"), TROUPE_METHODS(methods),
    .placement = {.policy = "least-loaded", .require = "gpu=true"}};
static const troupe_type session = {
    TROUPE_TYPE("session"), TROUPE_METHODS(methods), .placement = {.choose = in_the_region}};
static const troupe_type job = {
    TROUPE_TYPE("job"), TROUPE_METHODS(methods), .placement = {.policy = "round-robin"}};

/* The number of the node where the actor is; -1: it was not to be found. */
static int find(troupe_node *node, const char *type, const char *key)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    int number = -1;
    if (troupe_node_ask(node, troupe_id_of(type, key), "where", troupe_str(""), NULL, &answer) ==
        TROUPE_OK)
        number = ((const char *)answer.payload.data)[answer.payload.size - 1] - '1';
    else
        fprintf(stderr, "%s/%s: %.*s\n", type, key, TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return number;
}

static int check(troupe_node *const nodes[NODES])
{
    int right = 0, turns[NODES] = {0};
    for (int i = 0; i < KEYS; i++) {
        char key[24];
        troupe_node *asked = nodes[i % NODES];
        (void)snprintf(key, sizeof key, "%s-%d", i % 2 ? "us" : "eu", i);
        right += find(asked, "model", key) == 1;
        int at = find(asked, "session", key);
        right += i % 2 ? at == 2 : at == 0 || at == 1;
        at = find(asked, "job", key);
        if (at >= 0)
            turns[at]++;
    }
    for (int i = 0; i < NODES; i++)
        right += turns[i] > 0;
    printf("jobs: %d on node-1, %d on node-2, %d on node-3\n", turns[0], turns[1], turns[2]);
    return right;
}

int main(void)
{
    static const char *const labels[NODES] = {"region=eu", "region=eu, gpu=true", "region=us"};
    char folder[] = "/tmp/troupe-placement-XXXXXX", url[64], name[NODES][8];
    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    (void)snprintf(url, sizeof url, "file:%s", folder);
    troupe_node *nodes[NODES] = {NULL};
    int opened = 0;
    for (; opened < NODES; opened++) {
        (void)snprintf(name[opened], sizeof name[opened], "node-%d", opened + 1);
        const troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = name[opened],
            .cluster = url, .labels = labels[opened], .shards = 1, .log = "error,text"};
        if (troupe_node_open(&options, TROUPE_TYPES(&model, &session, &job), &nodes[opened]) !=
            TROUPE_OK)
            break;
    }
    int right = opened == NODES ? check(nodes) : 0, wanted = 2 * KEYS + NODES;
    for (int i = 0; i < opened; i++)
        troupe_node_close(nodes[i]);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", folder);
    printf("%d of %d places are right\n", right, wanted);
    return right == wanted ? EXIT_SUCCESS : EXIT_FAILURE;
}
