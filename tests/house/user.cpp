/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user types in C++20: a type with a described state, filters, options, a gather, a module,
 * a simulation. header_test.sh compiles it, as strictly as g++ and clang++ can; it is never run.
 */
#include <troupe/module.h>
#include <troupe/sim.h>

struct account {
    int64_t balance;
    char owner[32];
};
static const troupe_field account_fields[] = {
    TROUPE_FIELD_I64(account, balance, .since = 1),
    TROUPE_FIELD_STRING(account, owner, .since = 2, .otherwise = "nobody"),
};
static const troupe_schema account_schema = TROUPE_SCHEMA(account, account_fields);

static troupe_status greet(troupe_turn *turn, void *state, troupe_slice in)
{
    troupe_request requests[2] = {
        {troupe_id_of("a", "b"), "m", in, nullptr}, {troupe_id_of("a", "c"), "m", in, nullptr}};
    troupe_answer answers[2] = {TROUPE_ANSWER_INIT, TROUPE_ANSWER_INIT};
    troupe_gather_options first = {TROUPE_GATHER_OPTIONS, .need = 1};
    TROUPE_TRY(troupe_gather(turn, requests, 2, &first, answers));
    troupe_then then = {TROUPE_THEN, .done = "arrived", .failed = "refund"};
    troupe_call_options patient = {
        TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(1), .retry = {.attempts = 3}};
    TROUPE_TRY(troupe_ask_then(turn, requests[0].id, "m", in, &patient, &then));
    TROUPE_REQUIRE(turn, in.size > 0);
    return troupe_reply(turn, &account_schema, state);
}

static troupe_status begin(troupe_turn *, void *)
{
    return TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(greet), TROUPE_METHOD_NAMED("again", greet)};
static const troupe_filter filters[] = {
    {.name = "pass", .before = [](troupe_turn *, void *) { return troupe_status(TROUPE_OK); }}};
static const troupe_type plain = {TROUPE_TYPE("plain"), TROUPE_METHODS(methods)};
static const troupe_type account_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(account, account_fields), TROUPE_METHODS(methods), .on_activate = begin,
    .persist = TROUPE_PERSIST_EVERY_TURN, .retention = {.max_snapshots = 3},
    .supervision = {.poison_after = 2}, TROUPE_FILTERS(filters)};

TROUPE_MODULE(&plain, &account_type)

TROUPE_SIMULATION(all_is_well, .shards = 2, .faults = TROUPE_FAULTS_ALL)
{
    troupe_sim_load(sim, &account_type);
}

int main()
{
    troupe_node *node = nullptr;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .storage = "memory:"};
    troupe_status status = troupe_node_open(&options, TROUPE_TYPES(&plain, &account_type), &node);
    if (status == TROUPE_OK)
        status = troupe_node_ask(
            node, troupe_id_of("plain", "ada"), "greet", troupe_str("x"), nullptr, &answer);
    troupe_answer_release(&answer);
    troupe_node_close(node);
    return status != TROUPE_OK;
}
