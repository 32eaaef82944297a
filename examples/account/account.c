/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An account whose state and messages are described once, by tables: clients may speak JSON or the
 * compact binary form, wrong requests are refused in words, fields may come and go later, and what
 * was answered is there after a crash.
 *
 *     account [STORE]     a URL, as sqlite:account.db; else memory:, which forgets it
 */
#include <inttypes.h>
#include <stdio.h>
#include <troupe.h>

enum { SHOP_TOO_POOR = TROUPE_APPLICATION + 1 };

struct account {
    int64_t balance;
    char owner[32];
};
static const troupe_field account_fields[] = {
    TROUPE_FIELD_I64(struct account, balance, .since = 1),
    TROUPE_FIELD_STRING(struct account, owner, .since = 2, .otherwise = "nobody"),
};
static const troupe_schema account_schema =
    TROUPE_SCHEMA(struct account, account_fields, .version = 2);

struct amount {
    int64_t cents;
};
static const troupe_field amount_fields[] = {
    TROUPE_FIELD_I64(struct amount, cents, .required = true),
};
static const troupe_schema amount_schema = TROUPE_SCHEMA(struct amount, amount_fields);

static troupe_status deposit(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    struct amount request;
    TROUPE_TRY(troupe_decode(turn, &amount_schema, in, &request));
    account->balance += request.cents;
    return troupe_reply(turn, &account_schema, account);
}

static troupe_status withdraw(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    struct amount request;
    TROUPE_TRY(troupe_decode(turn, &amount_schema, in, &request));
    if (request.cents > account->balance)
        return troupe_fail(turn, SHOP_TOO_POOR, "balance %" PRId64 " is below %" PRId64,
            account->balance, request.cents);
    account->balance -= request.cents;
    return troupe_reply(turn, &account_schema, account);
}

static const troupe_method account_methods[] = {TROUPE_METHOD(deposit), TROUPE_METHOD(withdraw)};
static const troupe_type account_type = {
    TROUPE_TYPE("account"),
    TROUPE_STATE(struct account, account_fields),
    TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_EVERY_TURN, /* an answer leaves when the new balance is durable */
    .idle = TROUPE_MINUTES(10),
    .retention = {.max_snapshots = 10, .max_age = TROUPE_HOURS(24)},
};

/* As `troupe ask account/alice deposit '{"cents": 500}'` would. */
static troupe_status ask(troupe_node *node, const char *method, const char *json)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = TROUPE_JSON};
    troupe_status status = troupe_node_ask(
        node, troupe_id_of("account", "alice"), method, troupe_str(json), &options, &answer);
    printf("%.*s\n", TROUPE_ARG(status == TROUPE_OK ? answer.payload : answer.message));
    troupe_answer_release(&answer);
    return status;
}

/* A C program keeps to the binary form, and reads the answer into its own struct. */
static troupe_status ask_in_c(troupe_node *node, int64_t cents, struct account *ret_account)
{
    char bytes[64], error[256] = "";
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = TROUPE_PACKED};
    troupe_buffer buffer = {NULL, bytes, 0, sizeof bytes};
    struct amount amount = {cents};
    TROUPE_TRY(troupe_schema_encode(&amount_schema, &amount, &buffer, error, sizeof error));
    troupe_status status = troupe_node_ask(node, troupe_id_of("account", "alice"), "withdraw",
        troupe_buffer_slice(&buffer), &options, &answer);
    if (status == TROUPE_OK)
        status = troupe_schema_decode(
            &account_schema, answer.payload, ret_account, NULL, error, sizeof error);
    troupe_answer_release(&answer);
    return status;
}

int main(int count, char **words)
{
    troupe_node *node = NULL;
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .storage = count > 1 ? words[1] : "memory:"};
    struct account account;
    troupe_status status = troupe_node_open(&options, TROUPE_TYPES(&account_type), &node);
    if (status == TROUPE_OK)
        status = ask(node, "deposit", "{\"cents\": 500}");
    if (status == TROUPE_OK && ask(node, "withdraw", "{\"cents\": 1000000}") != SHOP_TOO_POOR)
        status = TROUPE_FAILED;
    if (status == TROUPE_OK && ask(node, "withdraw", "{\"cents\": \"all\"}") != TROUPE_USAGE)
        status = TROUPE_FAILED;
    if (status == TROUPE_OK)
        status = ask_in_c(node, 120, &account);
    if (status == TROUPE_OK)
        printf("%s has %" PRId64 "\n", account.owner, account.balance);
    troupe_node_close(node);
    return status != TROUPE_OK;
}
