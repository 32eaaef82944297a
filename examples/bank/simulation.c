/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bank in a simulated cluster of three nodes, which are killed, stopped, cut off and replaced
 * while accounts transfer money. At rest no cent is lost or made.
 *
 *     cc -shared -fPIC -o bank_simulation.so examples/bank/simulation.c examples/bank/account.c
 *     troupe sim --load ./bank_simulation.so --seeds 1000
 */
#include <inttypes.h>
#include <stdio.h>
#include <troupe/sim.h>

#include "bank.h"

enum { ACCOUNTS = 8, CENTS = 1000, TRANSFERS = 40 };

static troupe_id account(uint64_t number, char room[8])
{
    snprintf(room, 8, "%u", (unsigned)(number % ACCOUNTS));
    return troupe_id_of("account", room);
}

static void read_account(troupe_sim *sim, uint64_t number, int64_t *balance, int64_t *on_the_way)
{
    char room[8];
    troupe_answer answer = TROUPE_ANSWER_INIT;
    if (troupe_sim_ask(sim, account(number, room), "show", troupe_str(""), &answer) != TROUPE_OK ||
        troupe_json_integer(answer.payload, "balance", balance) != TROUPE_OK ||
        troupe_json_integer(answer.payload, "on_the_way", on_the_way) != TROUPE_OK)
        troupe_sim_violated(sim, "account %s cannot be read: %.*s", room,
            TROUPE_ARG(answer.status == TROUPE_OK ? answer.payload : answer.message));
    troupe_answer_release(&answer);
}

static void total_balance_is(troupe_sim *sim, int64_t expected)
{
    int64_t total = 0;
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        int64_t balance = 0, on_the_way = 0;
        read_account(sim, i, &balance, &on_the_way);
        if (on_the_way != 0)
            troupe_sim_violated(
                sim, "%" PRId64 " cents of account %" PRIu64 " do not arrive", on_the_way, i);
        total += balance;
    }
    if (total != expected)
        troupe_sim_violated(sim, "there are %" PRId64 " cents, not %" PRId64, total, expected);
}

TROUPE_SIMULATION(money_is_conserved, .nodes = 3, .faults = TROUPE_FAULTS_ALL)
{
    char from[8], to[8], payload[64];
    troupe_sim_load(sim, &bank_account_type);
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(payload, sizeof(payload), "{\"cents\": %d}", CENTS);
        if (troupe_sim_ask(sim, account(i, from), "deposit", troupe_str(payload), &answer) !=
            TROUPE_OK)
            troupe_sim_violated(sim, "a deposit in peace: %.*s", TROUPE_ARG(answer.message));
        troupe_answer_release(&answer);
    }
    for (int i = 0; i < TRANSFERS; i++) {
        troupe_id payer = account(troupe_sim_random(sim), from);
        (void)account(troupe_sim_random(sim), to);
        snprintf(payload, sizeof(payload), "{\"to\": \"%s\", \"cents\": %u}", to,
            1 + (unsigned)troupe_sim_below(sim, CENTS));
        troupe_sim_tell(sim, payer, "transfer", troupe_str(payload));
    }
    troupe_sim_at_rest(sim, total_balance_is, ACCOUNTS * CENTS);
}
