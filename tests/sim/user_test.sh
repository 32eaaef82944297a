#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A user's simulation, compiled as a user does it: a sound one passes, a wrong one is reported with its
# seed, its steps and a line that replays it.
set -u
tool=${TROUPE_BUILD:?is set by ctest}/troupe
source=${TROUPE_SOURCE:?is set by ctest}
if [ ! -x "$tool" ]; then
    echo "FAILED: $tool was not built"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

cat >"$work/bank.c" <<'END'
#include <troupe.h>
#include <troupe/sim.h>
#include <stdlib.h>
#include <stdio.h>

#ifndef AGE
#define AGE TROUPE_NEVER
#define FUNDS 0
#endif

typedef struct account { int64_t balance; } account;
typedef struct transfer { int64_t amount; char to[8]; } transfer;

static troupe_status deposit(troupe_turn *turn, void *state, troupe_slice payload)
{
    account *self = state;
    int64_t amount;
    memcpy(&amount, payload.data, sizeof amount);
    self->balance += amount;
    return troupe_reply_bytes(turn, troupe_slice_of(&self->balance, sizeof self->balance));
}

static troupe_status move(troupe_turn *turn, void *state, troupe_slice payload)
{
    account *self = state;
    transfer what;
    memcpy(&what, payload.data, sizeof what);
#ifdef FALLS
    TROUPE_REQUIRE(turn, what.amount != 50 || !"it fell on purpose");
#endif
#ifdef WRONG
    int64_t before = self->balance; /* kept over a park: what others do meanwhile is lost */
    troupe_sleep(turn, TROUPE_MICROSECONDS(50));
    self->balance = before - what.amount;
#else
    self->balance -= what.amount;
#endif
    return troupe_tell(turn, troupe_id_of("account", what.to), "deposit",
        troupe_slice_of(&what.amount, sizeof what.amount), &(troupe_call_options){
            TROUPE_CALL_OPTIONS, .retry = {.attempts = 100}});
}

static const troupe_method methods[] = {TROUPE_METHOD(deposit), TROUPE_METHOD(move)};
static const troupe_type account_type = {TROUPE_TYPE("account"), .state_size = sizeof(account),
    TROUPE_METHODS(methods), .reentrancy = TROUPE_REENTRANCY_ALWAYS, .idle = AGE};

static void total_is(troupe_sim *sim, int64_t expected)
{
    int64_t total = 0, nothing = 0;
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", i);
        troupe_answer answer;
        troupe_status status = troupe_sim_ask(sim, troupe_id_of("account", key), "deposit",
            troupe_slice_of(&nothing, sizeof nothing), &answer);
        if (status != TROUPE_OK) troupe_sim_violated(sim, "%s", troupe_status_name(status));
        int64_t balance;
        memcpy(&balance, answer.payload.data, sizeof balance);
        total += balance;
        troupe_answer_release(&answer);
    }
    if (total != expected) troupe_sim_violated(sim, "%lld, not %lld", (long long)total, (long long)expected);
}

TROUPE_SIMULATION(money_is_conserved, .faults = TROUPE_FAULTS_ALL)
{
    troupe_sim_load(sim, &account_type);
    const int64_t funds = FUNDS;
    if (funds != 0)
        troupe_sim_tell(sim, troupe_id_of("account", "0"), "deposit", troupe_slice_of(&funds, sizeof funds));
    for (int i = 0; i < 60; i++) {
        transfer what = {(int64_t)troupe_sim_below(sim, 100), ""};
        char from[8];
        snprintf(from, sizeof from, "%d", (int)troupe_sim_below(sim, 10));
        snprintf(what.to, sizeof what.to, "%d", (int)troupe_sim_below(sim, 10));
        troupe_sim_tell(sim, troupe_id_of("account", from), "move", troupe_slice_of(&what, sizeof what));
    }
    troupe_sim_at_rest(sim, total_is, funds);
}
END
compile() { "${CC:-cc}" -std=gnu11 -shared -fPIC -I"$source/include" "$@" "$work/bank.c"; }
compile -o "$work/sound.so" || exit 1
compile -DWRONG -o "$work/wrong.so" || exit 1

if ! "$tool" sim --load "$work/sound.so" --seeds 50 >"$work/log" 2>&1; then
    echo 'FAILED: a sound simulation is reported'
    cat "$work/log"
    bad=1
fi
if ! grep -q '50 seeds, 0 violations' "$work/log"; then
    echo 'FAILED: the summary is missing'
    cat "$work/log"
    bad=1
fi
"$tool" sim --load "$work/wrong.so" --seeds 50 >"$work/log" 2>&1
if [ $? -ne 1 ] || ! grep -q 'money_is_conserved is violated' "$work/log"; then
    echo 'FAILED: a lost update was not seen'
    cat "$work/log"
    bad=1
fi
replay=$(sed -n 's/^replay: troupe //p' "$work/log" | head -n 1)
# shellcheck disable=SC2086
"$tool" $replay >"$work/replay" 2>&1
if [ $? -ne 1 ] || ! grep -q 'shrunk to' "$work/replay" || ! grep -q 'tell account/' "$work/replay"; then
    echo "FAILED: '$replay' does not show the steps"
    cat "$work/replay"
    bad=1
fi
# Without an idle age of its own nothing leaves, however long the world takes to rest. A type that has
# one leaves, and a panic is reported in its own words, whatever was logged after it.
compile -DFUNDS=100 -DAGE=0 -o "$work/stays.so" || exit 1
if ! "$tool" sim --load "$work/stays.so" --seeds 20 >"$work/log" 2>&1; then
    echo 'FAILED: actors idled out before the check'
    cat "$work/log"
    bad=1
fi
compile -DFUNDS=100 -DAGE='TROUPE_SECONDS(1)' -o "$work/leaves.so" || exit 1
if "$tool" sim --load "$work/leaves.so" --seeds 20 >"$work/log" 2>&1; then
    echo 'FAILED: the idle age of a type does not hold'
    bad=1
fi
compile -DFALLS -DFUNDS=100 -DAGE='TROUPE_SECONDS(1)' -o "$work/falls.so" || exit 1
"$tool" sim --load "$work/falls.so" --seeds 3 >"$work/log" 2>&1
if ! grep -q 'an actor panicked: .*it fell on purpose' "$work/log"; then
    echo 'FAILED: the words of the panic are missing'
    cat "$work/log"
    bad=1
fi
if "$tool" sim --load "$work/none.so" >"$work/log" 2>&1; then
    echo 'FAILED: a file that is not there was loaded'
    bad=1
fi
[ $bad -eq 0 ]
