/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live actors move between nodes of a cluster (P8): state, what waits, and timers go along, every
 * call is answered once, and the order of each sender is kept. Three nodes in this process, on
 * sockets and the file provider; who moves what is the test's.
 *
 * Threads: the nodes'; the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/cluster.h"
#include "node/node.h"

#include <troupe.h>
#include <troupe/cluster.h>
#include <troupe/inspect.h>

#define NODES    3
#define PATIENCE 60 /* seconds, until a test has failed */

typedef struct town {
    char folder[64];
    troupe_node *nodes[NODES];
} town;

/* ---- actors ---------------------------------------------------------------------------------- */

typedef struct tally {
    uint64_t sum, last, ticks, out_of_order;
} tally;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    tally *self = state;
    uint64_t number;
    memcpy(&number, payload.data, sizeof number);
    self->out_of_order += number <= self->last;
    self->last = number;
    self->sum += number;
    return troupe_reply_bytes(turn, (troupe_slice){&self->sum, sizeof self->sum});
}

static troupe_status look(troupe_turn *turn, void *state, troupe_slice payload)
{
    tally *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%llu %llu %llu %s", (unsigned long long)self->sum,
        (unsigned long long)self->out_of_order, (unsigned long long)self->ticks,
        troupe_node_name(troupe_turn_node(turn)));
}

static troupe_status wind_up(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_timer timer;
    TROUPE_TRY(troupe_timer_start(
        turn, "tick", troupe_str(""), TROUPE_MILLISECONDS(5), TROUPE_MILLISECONDS(5), &timer));
    return troupe_reply_format(turn, "wound");
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)payload;
    ((tally *)state)->ticks++;
    return TROUPE_OK;
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_MILLISECONDS(50)));
    ((tally *)state)->sum += 1000000;
    return troupe_reply_format(turn, "woke at %s", troupe_node_name(troupe_turn_node(turn)));
}

static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(look),
    TROUPE_METHOD(wind_up), TROUPE_METHOD(tick), TROUPE_METHOD(nap)};
static const troupe_type tally_type = {
    TROUPE_TYPE("tally"), .state_size = sizeof(tally), TROUPE_METHODS(methods)};

/* ---- a town ---------------------------------------------------------------------------------- */

static void town_open(town *self)
{
    snprintf(self->folder, sizeof self->folder, "/tmp/troupe-move-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    for (int i = 0; i < NODES; i++) {
        char name[16], url[80], error[512];
        snprintf(name, sizeof name, "node-%d", i + 1);
        snprintf(url, sizeof url, "file:%s", self->folder);
        const troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = name, .cluster = url,
            .shards = 1, .log = "error", .ask_timeout = TROUPE_SECONDS(20)};
        if (troupe_node_open_explained(&options, TROUPE_TYPES(&tally_type), &self->nodes[i], error,
                sizeof error) != TROUPE_OK)
            fail_msg("%s", error);
    }
}

static void town_close(town *self)
{
    for (int i = 0; i < NODES; i++)
        troupe_node_close(self->nodes[i]);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", self->folder);
    assert_int_equal(system(command), 0);
}

static void ask(
    troupe_node *node, const char *key, const char *method, troupe_slice payload, char out[200])
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_node_ask(node, troupe_id_of("tally", key), method, payload, NULL, &answer);
    if (status != TROUPE_OK)
        fail_msg("%s: %s: %.*s", method, troupe_status_name(status), TROUPE_ARG(answer.message));
    snprintf(out, 200, "%.*s", TROUPE_ARG(answer.payload));
    troupe_answer_release(&answer);
}

typedef struct order {
    const char *key;
    uint64_t to;
    troupe_status status;
} order;

static void move(tp_shard *shard, void *user)
{
    order *self = user;
    const tp_type *type = tp_types_find(&shard->shared->types, troupe_str("tally"));
    troupe_slice key = troupe_str(self->key);
    const tp_directory_id id = {
        .hash = tp_type_hash(&shard->shared->types, type, (troupe_slice){NULL, 0}, key),
        .type = type->number,
        .key = key};
    self->status = tp_outpost_move(tp_outpost_of(shard), &id, self->to);
}

/* From wherever it is. Which node had it. */
static int move_to(town *self, const char *key, int to)
{
    order wanted = {key, tp_cluster_incarnation(self->nodes[to]->cluster), TROUPE_OK};
    for (int i = 0; i < NODES; i++) {
        if (i == to)
            continue;
        assert_int_equal(tp_node_visit(self->nodes[i], 0, 1, move, &wanted), TROUPE_OK);
        if (wanted.status == TROUPE_OK)
            return i;
    }
    return -1;
}

static void nap_a_little(void)
{
    nanosleep(&(struct timespec){0, 2000000}, NULL);
}

static bool is_at(town *self, const char *key, const char *name)
{
    char text[200];
    ask(self->nodes[0], key, "look", troupe_str(""), text);
    return strstr(text, name) != NULL;
}

static void await_at(town *self, const char *key, const char *name)
{
    time_t end = time(NULL) + PATIENCE;
    while (!is_at(self, key, name)) {
        assert_true(time(NULL) < end);
        nap_a_little();
    }
}

/* ---- scenes ---------------------------------------------------------------------------------- */

static void an_actor_moves_with_its_state(void **state)
{
    (void)state;
    town self;
    town_open(&self);
    uint64_t number = 7;
    char text[200];
    ask(self.nodes[0], "a", "add", (troupe_slice){&number, sizeof number}, text);
    assert_true(is_at(&self, "a", "node-1"));
    const troupe_id id = troupe_id_of("tally", "a");
    assert_int_equal(troupe_cluster_migrate(self.nodes[0], id, troupe_str("node-3"),
                         TROUPE_SECONDS(PATIENCE), NULL, NULL),
        TROUPE_OK);
    ask(self.nodes[1], "a", "look", troupe_str(""), text);
    assert_string_equal(text, "7 0 0 node-3");
    assert_int_equal(troupe_cluster_migrate(self.nodes[0], id, troupe_str("node-2"),
                         TROUPE_SECONDS(PATIENCE), NULL, NULL),
        TROUPE_OK);
    ask(self.nodes[2], "a", "look", troupe_str(""), text);
    assert_string_equal(text, "7 0 0 node-2");
    town_close(&self);
}

static void whoever_asks_for_it_waits_until_it_is_there(void **state)
{
    (void)state;
    town self;
    town_open(&self);
    uint64_t number = 7, took = 0;
    char text[200];
    bool is_member = true;
    const troupe_id id = troupe_id_of("tally", "m");
    assert_int_equal(troupe_cluster_migrate(self.nodes[2], id, troupe_str("node-2"), 0, NULL, NULL),
        TROUPE_NOT_FOUND);
    ask(self.nodes[0], "m", "add", (troupe_slice){&number, sizeof number}, text);
    assert_int_equal(
        troupe_cluster_migrate(self.nodes[2], id, troupe_str("node-2"), 0, &took, &is_member),
        TROUPE_OK);
    assert_true(took != 0 && is_member);
    ask(self.nodes[0], "m", "look", troupe_str(""), text);
    assert_string_equal(text, "7 0 0 node-2");
    assert_int_equal(
        troupe_cluster_migrate(self.nodes[1], id, troupe_str("node-2"), 0, NULL, NULL), TROUPE_OK);
    assert_int_equal(
        troupe_cluster_migrate(self.nodes[1], id, troupe_str("nobody"), 0, NULL, &is_member),
        TROUPE_NOT_FOUND);
    assert_false(is_member);
    town_close(&self);
}

static void timers_tick_on_where_it_went(void **state)
{
    (void)state;
    town self;
    town_open(&self);
    char text[200];
    unsigned long long sum, wrong, before, after;
    ask(self.nodes[0], "t", "wind_up", troupe_str(""), text);
    assert_int_equal(troupe_cluster_migrate(self.nodes[2], troupe_id_of("tally", "t"),
                         troupe_str("node-2"), TROUPE_SECONDS(PATIENCE), NULL, NULL),
        TROUPE_OK);
    ask(self.nodes[0], "t", "look", troupe_str(""), text);
    assert_int_equal(sscanf(text, "%llu %llu %llu", &sum, &wrong, &before), 3);
    time_t end = time(NULL) + PATIENCE;
    do {
        assert_true(time(NULL) < end);
        nap_a_little();
        ask(self.nodes[0], "t", "look", troupe_str(""), text);
        assert_int_equal(sscanf(text, "%llu %llu %llu", &sum, &wrong, &after), 3);
    } while (after < before + 3);
    town_close(&self);
}

static void a_turn_in_progress_ends_before_it_moves(void **state)
{
    (void)state;
    town self;
    town_open(&self);
    char text[200];
    ask(self.nodes[0], "n", "look", troupe_str(""), text);
    assert_int_equal(
        troupe_node_tell(self.nodes[0], troupe_id_of("tally", "n"), "nap", troupe_str(""), NULL),
        TROUPE_OK);
    while (move_to(&self, "n", 1) < 0)
        nap_a_little();
    ask(self.nodes[0], "n", "look", troupe_str(""), text); /* of the same sender: after it */
    assert_non_null(strstr(text, "1000000 0 0"));
    await_at(&self, "n", "node-2");
    town_close(&self);
}

#define ROUNDS 30
#define BATCH  200

static void under_load_nothing_fails_and_the_order_of_each_sender_is_kept(void **state)
{
    (void)state;
    town self;
    town_open(&self);
    uint64_t number = 0, sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BATCH; i++) {
            number++;
            sum += number;
            const troupe_slice payload = {&number, sizeof number};
            troupe_status status;
            while ((status = troupe_node_tell(self.nodes[0], troupe_id_of("tally", "load"), "add",
                        payload, NULL)) == TROUPE_BUSY)
                nap_a_little();
            assert_int_equal(status, TROUPE_OK);
            if (i == BATCH / 2)
                (void)move_to(&self, "load", round % NODES);
        }
    }
    char text[200], wanted[100];
    ask(self.nodes[0], "load", "look", troupe_str(""), text);
    snprintf(wanted, sizeof wanted, "%llu 0 0 node-", (unsigned long long)sum);
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        fail_msg("%s, not %s", text, wanted);
    town_close(&self);
}

static void a_node_that_closes_hands_its_actors_over_with_their_state(void **state)
{
    (void)state;
    town self;
    town_open(&self);
    uint64_t number = 1;
    char text[200], key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ask(self.nodes[1], key, "add", (troupe_slice){&number, sizeof number}, text);
    }
    troupe_node_close(self.nodes[1]);
    self.nodes[1] = NULL;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ask(self.nodes[i % 2 * 2], key, "look", troupe_str(""), text);
        if (strncmp(text, "1 0 0 node-", 11) != 0 || strstr(text, "node-2") != NULL)
            fail_msg("%s: %s", key, text);
    }
    town_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_moves_with_its_state),
        cmocka_unit_test(whoever_asks_for_it_waits_until_it_is_there),
        cmocka_unit_test(timers_tick_on_where_it_went),
        cmocka_unit_test(a_turn_in_progress_ends_before_it_moves),
        cmocka_unit_test(a_node_that_closes_hands_its_actors_over_with_their_state),
        cmocka_unit_test(under_load_nothing_fails_and_the_order_of_each_sender_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
