/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bank accounts that survive any crash. Payloads are JSON. Used by bank.c and module.c.
 *
 * A transfer takes the money from its own account and asks the other one to take it in by
 * troupe_ask_then: one commit holds the lower balance and the request, and the answer comes later
 * as a turn of its own, which says that the money has arrived or puts it back. Whenever the node
 * dies, each request is served once and each answer arrives once, so no cent is lost or made.
 *
 * Invariants: 1. balance + on_the_way is what was paid in, less what was paid out and has arrived.
 * Threads: the account's shard.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bank.h"

struct account {
    int64_t balance;    /* cents */
    int64_t on_the_way; /* taken off, and neither arrived nor come back */
};
/* What is stored of it, what `troupe state account/alice` shows, and what it answers. */
static const troupe_field account_fields[] = {
    TROUPE_FIELD_I64(struct account, balance),
    TROUPE_FIELD_I64(struct account, on_the_way),
};
static const troupe_schema account_schema = TROUPE_SCHEMA(struct account, account_fields);

static troupe_status read_cents(troupe_turn *turn, troupe_slice in, int64_t *ret_cents)
{
    int64_t cents = 0;
    if (troupe_json_integer(in, "cents", &cents) != TROUPE_OK || cents <= 0)
        return troupe_fail(turn, BANK_NO_AMOUNT, "say how much: {\"cents\": 500}, more than 0");
    *ret_cents = cents;
    return TROUPE_OK;
}

static troupe_status deposit(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    int64_t cents = 0, balance;
    TROUPE_TRY(read_cents(turn, in, &cents));
    if (__builtin_add_overflow(account->balance, cents, &balance))
        return troupe_fail(
            turn, BANK_NO_AMOUNT, "%" PRId64 " cents are more than an account holds", cents);
    account->balance = balance;
    return troupe_reply(turn, &account_schema, account);
}

static troupe_status take(troupe_turn *turn, struct account *account, int64_t cents)
{
    if (cents > account->balance)
        return troupe_fail(
            turn, BANK_TOO_POOR, "balance %" PRId64 " is below %" PRId64, account->balance, cents);
    account->balance -= cents;
    return TROUPE_OK;
}

static troupe_status withdraw(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    int64_t cents = 0;
    TROUPE_TRY(read_cents(turn, in, &cents));
    TROUPE_TRY(take(turn, account, cents));
    return troupe_reply(turn, &account_schema, account);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    return troupe_reply(turn, &account_schema, state);
}

static troupe_status transfer(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    troupe_slice to;
    int64_t cents = 0;
    TROUPE_TRY(read_cents(turn, in, &cents));
    if (troupe_json_string(turn, in, "to", &to) != TROUPE_OK || to.size == 0)
        return troupe_fail(turn, BANK_NO_AMOUNT, "say to whom: {\"to\": \"bob\", \"cents\": 5}");
    troupe_id other = {troupe_str("account"), {NULL, 0}, to};
    if (troupe_id_equal(other, troupe_turn_self(turn)))
        return troupe_fail(turn, BANK_SAME_ACCOUNT, "an account does not pay itself");
    TROUPE_TRY(take(turn, account, cents));
    account->on_the_way += cents;

    char request[64];
    snprintf(request, sizeof(request), "{\"cents\": %" PRId64 "}", cents);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = TROUPE_JSON};
    TROUPE_TRY(troupe_ask_then(turn, other, "deposit", troupe_str(request), &options,
        &(troupe_then){
            TROUPE_THEN, .done = "arrived", .failed = "refund", .context = troupe_str(request)}));
    return troupe_reply(
        turn, &account_schema, account); /* leaves when balance and request are durable */
}

static troupe_status arrived(troupe_turn *turn, void *state, troupe_slice answer)
{
    struct account *account = state;
    int64_t cents = 0;
    (void)answer;
    TROUPE_TRY(read_cents(turn, troupe_turn_context(turn), &cents));
    account->on_the_way -= cents;
    return TROUPE_OK;
}

static troupe_status refund(troupe_turn *turn, void *state, troupe_slice words)
{
    struct account *account = state;
    int64_t cents = 0;
    (void)words;
    TROUPE_TRY(read_cents(turn, troupe_turn_context(turn), &cents));
    account->on_the_way -= cents;
    account->balance += cents;
    return TROUPE_OK;
}

static const troupe_method account_methods[] = {
    TROUPE_METHOD(deposit),
    TROUPE_METHOD(withdraw),
    TROUPE_METHOD(transfer),
    TROUPE_METHOD(arrived),
    TROUPE_METHOD(refund),
    TROUPE_READ_METHOD(show),
};

const troupe_type bank_account_type = {
    TROUPE_TYPE("account"),
    TROUPE_STATE(struct account, account_fields),
    TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_EVERY_TURN,
    .idle = TROUPE_MINUTES(10),
};
