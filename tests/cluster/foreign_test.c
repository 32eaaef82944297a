/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types that only other members host: a node that has not registered them calls them as its own,
 * from outside and out of turns, by id, ref and outbox; is told which types there are, and which
 * methods; and learns of types with the members that bring them.
 */
#include "nodes.h"

#include "cluster/outpost_inside.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

#include <cmocka.h>

enum { CALLS = 60 };

/* ---- types ----------------------------------------------------------------------------------- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    int *sum = state;
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    *sum += (int)strtol(text, NULL, 10);
    return troupe_reply_format(turn, "%d", *sum);
}

static troupe_status last_caller(troupe_turn *turn, void *state, troupe_slice in)
{
    char id[200];
    (void)state;
    (void)in;
    troupe_id_print(troupe_turn_caller(turn), id, sizeof id);
    return troupe_reply_format(turn, "%s", id);
}

static const troupe_method adder_methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(last_caller)};
static const troupe_type adder = {
    TROUPE_TYPE("adder"), .state_size = sizeof(int), TROUPE_METHODS(adder_methods)};
static const troupe_type keeper = {TROUPE_TYPE("keeper"), .state_size = sizeof(int),
    TROUPE_METHODS(adder_methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type crew = {
    TROUPE_TYPE("crew"), TROUPE_METHODS(nodes_methods), .stateless_workers = 2};

/* Asks and tells the adder of its own key by name; then through a ref. */
static troupe_status forward(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id id = {troupe_str("adder"), {0, 0}, troupe_turn_self(turn).key};
    TROUPE_TRY(troupe_tell(turn, id, "add", in, NULL));
    TROUPE_TRY(troupe_ask(turn, id, "add", in, NULL, &answer));
    troupe_answer_release(&answer);
    troupe_ref *ref;
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), id, &ref));
    troupe_selector selector;
    troupe_status status = troupe_ref_selector(ref, "add", &selector);
    if (status == TROUPE_OK)
        status = troupe_ask_ref(turn, ref, selector, in, NULL, &answer);
    troupe_ref_release(ref);
    return status == TROUPE_OK ? troupe_reply_take(turn, &answer) : status;
}

static troupe_status who(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id id = {troupe_str("adder"), {0, 0}, troupe_turn_self(turn).key};
    TROUPE_TRY(troupe_ask(turn, id, "last_caller", in, NULL, &answer));
    return troupe_reply_take(turn, &answer);
}

/* Which status and words a call of a turn gets: "type method". */
static troupe_status try_call(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[64], type[32], method[32];
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    if (sscanf(text, "%31s %31s", type, method) != 2)
        return TROUPE_USAGE;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, troupe_id_of(type, "x"), method, troupe_str("1"), NULL, &answer);
    troupe_status replied =
        troupe_reply_format(turn, "%d %d %.*s", status, answer.outcome, TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return replied;
}

static const troupe_method agent_methods[] = {
    TROUPE_METHOD(forward), TROUPE_METHOD(who), TROUPE_METHOD(try_call)};
static const troupe_type agent = {TROUPE_TYPE("agent"), TROUPE_METHODS(agent_methods)};

/* Orders by its outbox, once; what came of it comes back as a turn. */
static troupe_status order(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_id id = {troupe_str("keeper"), {0, 0}, troupe_turn_self(turn).key};
    TROUPE_TRY(troupe_ask_then(turn, id, "add", in, NULL,
        &(troupe_then){TROUPE_THEN, .done = "ordered", .failed = "failed"}));
    return troupe_reply_format(turn, "noted");
}

static troupe_status ordered(troupe_turn *turn, void *state, troupe_slice in)
{
    return add(turn, state, in);
}

static troupe_status failed(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    return add(turn, state, troupe_str("1000"));
}

static const troupe_method clerk_methods[] = {
    TROUPE_METHOD(order), TROUPE_METHOD(ordered), TROUPE_METHOD(failed), TROUPE_METHOD(add)};
static const troupe_type clerk = {TROUPE_TYPE("clerk"), .state_size = sizeof(int),
    TROUPE_METHODS(clerk_methods), .persist = TROUPE_PERSIST_EVERY_TURN};

/* Node-1 hosts agents, the two others what they call. */
static const troupe_type *const callers[] = {&seat, &agent, &clerk};
static const troupe_type *const hosts[] = {&seat, &adder, &keeper, &crew};

static int open_cluster(void **state)
{
    static nodes self;
    nodes_open_each(&self, NULL, (const nodes_types[NODES]){{callers, 3}, {hosts, 4}, {hosts, 4}});
    *state = &self;
    return 0;
}

static int close_cluster(void **state)
{
    nodes_close(*state);
    return 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void ask(nodes *self, int node, troupe_id id, const char *method, const char *payload,
    const char *wanted)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_node_ask(self->list[node], id, method, troupe_str(payload), NULL, &answer);
    if (status != TROUPE_OK)
        fail_msg("%s: %.*s", troupe_status_text(status), TROUPE_ARG(answer.message));
    if (!troupe_slice_equal(answer.payload, troupe_str(wanted)))
        fail_msg("%.*s, and not %s", TROUPE_ARG(answer.payload), wanted);
    troupe_answer_release(&answer);
}

static void callers_outside_ask_and_tell_by_name(void **state)
{
    nodes *self = *state;
    char key[16], sum[16];
    for (int i = 0; i < CALLS; i++) { /* a third of them are at home at node-1 */
        (void)snprintf(key, sizeof key, "outside-%d", i);
        troupe_id id = troupe_id_of("adder", key);
        assert_int_equal(
            troupe_node_tell(self->list[0], id, "add", troupe_str("1"), NULL), TROUPE_OK);
        ask(self, 0, id, "add", "2", "3"); /* order of one sender holds */
        ask(self, 1 + i % 2, id, "add", "4", "7");
        (void)snprintf(sum, sizeof sum, "%d", 7 + i);
        char more[16];
        (void)snprintf(more, sizeof more, "%d", i);
        ask(self, 0, id, "add", more, sum);
    }
}

static void an_id_read_from_a_text_is_called(void **state)
{
    nodes *self = *state;
    troupe_id id;
    assert_int_equal(troupe_id_parse(troupe_str("adder@shop/a text"), &id, NULL), TROUPE_OK);
    ask(self, 0, id, "add", "5", "5");
    ask(self, 2, id, "add", "5", "10");
}

static void turns_ask_tell_and_use_refs(void **state)
{
    nodes *self = *state;
    char key[16], caller[32];
    for (int i = 0; i < CALLS; i++) {
        (void)snprintf(key, sizeof key, "inside-%d", i);
        (void)snprintf(caller, sizeof caller, "agent/%s", key);
        /* Node-2 does not host agents, and node-1 no adders. */
        ask(self, i % NODES, troupe_id_of("agent", key), "forward", "2", "6");
        ask(self, i % NODES, troupe_id_of("agent", key), "who", "", caller);
    }
}

static void once_is_the_hosts_to_keep(void **state)
{
    nodes *self = *state;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .once = troupe_str("only one")};
    for (int i = 0; i < 3; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        assert_int_equal(troupe_node_ask(self->list[0], troupe_id_of("keeper", "k"), "add",
                             troupe_str("3"), &options, &answer),
            TROUPE_OK);
        assert_memory_equal(answer.payload.data, "3", 1);
        troupe_answer_release(&answer);
        assert_int_equal(troupe_node_ask(self->list[0], troupe_id_of("adder", "k"), "add",
                             troupe_str("3"), &options, &answer),
            TROUPE_USAGE);
        assert_int_equal(answer.outcome, TROUPE_NOT_DONE);
        static const char said[] = "persist every turn";
        assert_non_null(memmem(answer.message.data, answer.message.size, said, sizeof said - 1));
        troupe_answer_release(&answer);
    }
}

static bool is_ordered(nodes *self, void *user)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(troupe_node_ask(self->list[0], troupe_id_of("clerk", "c"), "add",
                         troupe_str("0"), NULL, &answer),
        TROUPE_OK);
    bool is_so = troupe_slice_equal(answer.payload, troupe_str(user));
    troupe_answer_release(&answer);
    return is_so;
}

static void outboxes_reach_them_and_are_acknowledged(void **state)
{
    nodes *self = *state;
    ask(self, 0, troupe_id_of("clerk", "c"), "order", "7", "noted");
    nodes_await(is_ordered, self, (void *)"7");
    ask(self, 1, troupe_id_of("clerk", "c"), "order", "4", "noted");
    nodes_await(is_ordered, self, (void *)"18"); /* 7, and 7 + 4 */
    ask(self, 2, troupe_id_of("keeper", "c"), "add", "0", "11");
    assert_int_equal(nodes_stats(self, 0).outbox_sent, 2);
}

static void stateless_workers_of_others_are_called(void **state)
{
    nodes *self = *state;
    uint64_t before = nodes_stats(self, 1).active + nodes_stats(self, 2).active;
    for (int i = 0; i < CALLS; i++)
        assert_in_range(nodes_where(self, 0, "crew", "a"), 1, 2);
    /* As many at most on each node as the type allows. */
    uint64_t after = nodes_stats(self, 1).active + nodes_stats(self, 2).active;
    assert_in_range(after - before, 1, 4);
}

/* ---- what there is not ----------------------------------------------------------------------- */

static void refused(nodes *self, troupe_id id, const char *method, troupe_status wanted,
    const char *first, const char *second)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(
        troupe_node_ask(self->list[0], id, method, troupe_str("1"), NULL, &answer), wanted);
    assert_int_equal(answer.outcome, TROUPE_NOT_DONE);
    char words[800];
    (void)snprintf(words, sizeof words, "%.*s", TROUPE_ARG(answer.message));
    if (strstr(words, first) == NULL || strstr(words, second) == NULL)
        fail_msg("no \"%s\" or no \"%s\" in: %s", first, second, words);
    troupe_answer_release(&answer);
}

static void a_type_that_nobody_hosts_is_named_with_those_that_there_are(void **state)
{
    nodes *self = *state;
    refused(self, troupe_id_of("ader", "x"), "add", TROUPE_NO_TYPE,
        "no member of the cluster hosts an actor type \"ader\"",
        "there are: seat, agent, clerk, adder, keeper, crew");
    assert_int_equal(
        troupe_node_tell(self->list[0], troupe_id_of("ader", "x"), "add", troupe_str(""), NULL),
        TROUPE_NO_TYPE);
    ask(self, 0, troupe_id_of("agent", "t"), "try_call", "ader add",
        "10 1 ader/x add: no member of the cluster hosts an actor type \"ader\"; there are: seat, "
        "agent, clerk, adder, keeper, crew");
}

static void a_method_that_its_host_has_not_is_named_with_those_that_there_are(void **state)
{
    nodes *self = *state;
    refused(self, troupe_id_of("adder", "x"), "subtract", TROUPE_NO_METHOD,
        "the type \"adder\" has no method \"subtract\"", "there are: add, last_caller");
    ask(self, 0, troupe_id_of("agent", "t"), "try_call", "adder subtract",
        "11 1 adder/x subtract: the type \"adder\" has no method \"subtract\"; there are: add, "
        "last_caller");
    /* Something travels with the call: it comes as far as its turn, and no further. */
    const troupe_context item = {"user", troupe_str("ada")};
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .context = &item, .context_count = 1};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(troupe_node_ask(self->list[0], troupe_id_of("adder", "x"), "subtract",
                         troupe_str("1"), &options, &answer),
        TROUPE_NO_METHOD);
    assert_int_equal(answer.outcome, TROUPE_NOT_DONE);
    troupe_answer_release(&answer);
    ask(self, 0, troupe_id_of("adder", "x"), "add", "1", "1");
}

/* ---- members come and go --------------------------------------------------------------------- */

static bool answers(nodes *self, void *user)
{
    const troupe_status *wanted = user;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_node_ask(
        self->list[0], troupe_id_of("adder", "late"), "add", troupe_str("1"), NULL, &answer);
    troupe_answer_release(&answer);
    return status == *wanted;
}

static void a_type_is_there_while_a_member_hosts_it(void **state)
{
    (void)state;
    nodes self;
    nodes_open_each(
        &self, NULL, (const nodes_types[NODES]){{callers, 3}, {callers, 3}, {callers, 3}});
    troupe_status wanted = TROUPE_NO_TYPE;
    assert_true(answers(&self, &wanted));
    nodes_replace(&self, 2, (nodes_types){hosts, 4});
    wanted = TROUPE_OK;
    nodes_await(answers, &self, &wanted);
    troupe_node_close(self.list[2]);
    self.list[2] = NULL;
    wanted = TROUPE_NO_TYPE;
    nodes_await(answers, &self, &wanted);
    refused(&self, troupe_id_of("adder", "late"), "add", TROUPE_NO_TYPE,
        "no member of the cluster hosts an actor type \"adder\"", "there are: seat, agent, clerk");
    nodes_close(&self);
}

/* Nothing that other nodes say of types that node-2 has no number for breaks its links. */
static void a_type_that_a_node_has_no_room_for_is_refused_and_the_link_stays(void **state)
{
    (void)state;
    nodes self;
    nodes_open(&self, NULL, TROUPE_TYPES(&seat));
    tp_shared *full = &self.list[1]->shared, *asks = &self.list[0]->shared;
    char name[32], key[16], words[700];
    for (uint32_t i = 0; i < TP_FOREIGN_TOLD; i++) {
        (void)snprintf(name, sizeof name, "made-up-%u", i);
        (void)tp_foreign_learn(full, troupe_str(name), 0);
    }
    assert_non_null(tp_foreign_learn(asks, troupe_str("unheard"), 1u << 20));
    for (int i = 0; i == 0 || nodes_home_of(&self, "unheard", key) != 1; i++)
        (void)snprintf(key, sizeof key, "k%d", i);
    for (int i = 0; i < 3; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        const troupe_id id = troupe_id_of("unheard", key);
        const troupe_call_options soon = {TROUPE_CALL_OPTIONS,
            .timeout = TROUPE_SECONDS(20),
            .once = troupe_str(i == 2 ? "k" : "")};
        assert_int_equal(troupe_node_tell(self.list[0], id, "x", troupe_str(""), NULL), TROUPE_OK);
        assert_int_equal(
            troupe_node_ask(self.list[0], id, "x", troupe_str(""), &soon, &answer), TROUPE_NO_TYPE);
        assert_int_equal(answer.outcome, i == 2 ? TROUPE_UNKNOWN_OUTCOME : TROUPE_NOT_DONE);
        (void)snprintf(words, sizeof words, "%.*s", TROUPE_ARG(answer.message));
        assert_non_null(strstr(words, "\"unheard\""));
        assert_non_null(strstr(words, "2048"));
        troupe_answer_release(&answer);
        assert_int_equal(nodes_where(&self, 1, "seat", key), nodes_where(&self, 0, "seat", key));
    }
    nodes_close(&self);
}

/* A cancel as it is, and with a byte too many. */
static void read_cancels(tp_shard *shard, void *user)
{
    (void)user;
    char body[28] = {0};
    uint64_t hash = 0;
    while (tp_hash_shard(hash, shard->shared->shard_count) != shard->number)
        hash++;
    tp_put_64(body, hash);
    assert_null(tp_follow_came(tp_outpost_of(shard), TP_WORD_CANCEL, (troupe_slice){body, 27}));
    assert_non_null(tp_follow_came(tp_outpost_of(shard), TP_WORD_CANCEL, (troupe_slice){body, 28}));
    assert_non_null(tp_follow_came(tp_outpost_of(shard), TP_WORD_CANCEL, (troupe_slice){body, 26}));
}

static void a_cancel_of_another_size_is_none(void **state)
{
    nodes *self = *state;
    assert_int_equal(tp_node_visit(self->list[0], 0, 1, read_cancels, NULL), TROUPE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_outside_ask_and_tell_by_name),
        cmocka_unit_test(an_id_read_from_a_text_is_called),
        cmocka_unit_test(turns_ask_tell_and_use_refs),
        cmocka_unit_test(once_is_the_hosts_to_keep),
        cmocka_unit_test(outboxes_reach_them_and_are_acknowledged),
        cmocka_unit_test(stateless_workers_of_others_are_called),
        cmocka_unit_test(a_type_that_nobody_hosts_is_named_with_those_that_there_are),
        cmocka_unit_test(a_method_that_its_host_has_not_is_named_with_those_that_there_are),
        cmocka_unit_test(a_type_is_there_while_a_member_hosts_it),
        cmocka_unit_test(a_cancel_of_another_size_is_none),
        cmocka_unit_test(a_type_that_a_node_has_no_room_for_is_refused_and_the_link_stays),
    };
    return cmocka_run_group_tests(tests, open_cluster, close_cluster);
}
