/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bank accounts whose transfers wait for one another. Payloads are JSON. Used by bank.c and
 * module.c.
 *
 * A transfer takes the money from its own account, asks the other one to take it in, and puts it
 * back if that did not happen. Turns of one account do not interleave, so nothing else changes the
 * balance meanwhile. Two accounts that pay each other at the same time wait for each other: the
 * runtime finds the cycle and one of the asks ends with DEADLOCK, NOT_DONE. That transfer is undone
 * like any other that failed, and the teller tries it again.
 *
 * Invariants: 1. balance + in_doubt is what was paid in, less what was paid out. 2. A method
 * changes the state only after its last check, so `keep_on_failure` is right: without it the
 * failing turn would also undo the refund, since a failing turn goes back to its last commit point,
 * and that is the park inside the ask, after the money was taken.
 * Threads: the account's shard.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bank.h"

struct account {
    int64_t balance;  /* cents */
    int64_t in_doubt; /* sent, and neither confirmed nor refused */
};

static troupe_status read_cents(troupe_turn *turn, troupe_slice in, int64_t *ret_cents)
{
    int64_t cents = 0;
    if (troupe_json_integer(in, "cents", &cents) != TROUPE_OK || cents <= 0)
        return troupe_fail(turn, BANK_NO_AMOUNT, "say how much: {\"cents\": 500}, more than 0");
    *ret_cents = cents;
    return TROUPE_OK;
}

static troupe_status reply_account(troupe_turn *turn, const struct account *account)
{
    return troupe_reply_json(turn, "{s:I, s:I}", "balance", (long long)account->balance, "in_doubt",
        (long long)account->in_doubt);
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
    return reply_account(turn, account);
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
    return reply_account(turn, account);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    return reply_account(turn, state);
}

static troupe_status transfer(troupe_turn *turn, void *state, troupe_slice in)
{
    struct account *account = state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_slice to;
    int64_t cents = 0;
    TROUPE_TRY(read_cents(turn, in, &cents));
    if (troupe_json_string(turn, in, "to", &to) != TROUPE_OK || to.size == 0)
        return troupe_fail(turn, BANK_NO_AMOUNT, "say to whom: {\"to\": \"bob\", \"cents\": 5}");
    if (troupe_slice_equal(to, troupe_turn_self(turn).key))
        return troupe_fail(turn, BANK_SAME_ACCOUNT, "an account does not pay itself");
    TROUPE_TRY(take(turn, account, cents));

    char request[64];
    snprintf(request, sizeof(request), "{\"cents\": %" PRId64 "}", cents);
    troupe_id other = {troupe_str("account"), {NULL, 0}, to};
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = TROUPE_JSON};
    troupe_status status =
        troupe_ask(turn, other, "deposit", troupe_str(request), &options, &answer);
    if (status == TROUPE_OK) {
        troupe_answer_release(&answer);
        return reply_account(turn, account);
    }
    if (answer.outcome == TROUPE_UNKNOWN_OUTCOME) {
        account->in_doubt += cents; /* putting it back might make money of nothing */
        troupe_answer_release(&answer);
        return troupe_fail(turn, BANK_IN_DOUBT, "%" PRId64 " cents are on their way, %s", cents,
            troupe_status_name(status));
    }
    account->balance += cents;
    return troupe_reply_take(turn, &answer); /* passes the failure on, words and all */
}

static const troupe_method account_methods[] = {
    TROUPE_METHOD(deposit),
    TROUPE_METHOD(withdraw),
    TROUPE_METHOD(transfer),
    TROUPE_READ_METHOD(show),
};

const troupe_type bank_account_type = {
    TROUPE_TYPE("account"),
    .state_size = sizeof(struct account),
    TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_ON_DEACTIVATE,
    .keep_on_failure = true,
    .idle = TROUPE_MINUTES(10),
};

/* ---- the teller ------------------------------------------------------------------------------ */

static troupe_status pay(troupe_turn *turn, void *state, troupe_slice in)
{
    troupe_slice from;
    (void)state;
    if (troupe_json_string(turn, in, "from", &from) != TROUPE_OK || from.size == 0)
        return troupe_fail(turn, BANK_NO_AMOUNT,
            "say who pays: {\"from\": \"alice\", \"to\": \"bob\", \"cents\": 5}");
    troupe_id payer = {troupe_str("account"), {NULL, 0}, from};
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .content_type = TROUPE_JSON};
    for (;;) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_status status = troupe_ask(turn, payer, "transfer", in, &options, &answer);
        if (status != TROUPE_DEADLOCK)
            return troupe_reply_take(turn, &answer);
        troupe_answer_release(&answer);
        /* Nothing has happened. A moment of chance length, so that the two do not meet again. */
        TROUPE_TRY(troupe_sleep(turn, TROUPE_MICROSECONDS(100 + troupe_random(turn) % 900)));
    }
}

static const troupe_method teller_methods[] = {TROUPE_METHOD(pay)};

const troupe_type bank_teller_type = {TROUPE_TYPE("teller"), TROUPE_METHODS(teller_methods)};
