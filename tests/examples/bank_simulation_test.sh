#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The bank in a simulated cluster: no seed loses a cent whatever befalls its nodes. A bank that stores
# too late, or whose transfers are plain tells, loses some, and the run that shows it is made small
# and names the node that goes.
#
# CC compiles the simulation, as a user does it.
set -u
source=${TROUPE_SOURCE:?is set by ctest}
troupe=${TROUPE_BUILD:?is set by ctest}/troupe
bank=$source/examples/bank
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*"
    cat "$work/log"
    exit 1
}

# NAME, its account.c
compile() {
    "${CC:-cc}" -std=gnu11 -shared -fPIC -I"$source/include" -I"$bank" -o "$work/$1.so" \
        "$bank/simulation.c" "$2" 2>"$work/log" || fail "$1 does not compile"
}

# NAME, a line of sed that plants a mistake
planted() {
    sed "$2" "$bank/account.c" >"$work/$1.c"
    cmp -s "$bank/account.c" "$work/$1.c" && fail "there is no place for the mistake $1"
    compile "$1" "$work/$1.c"
    "$troupe" sim --load "$work/$1.so" --seeds 200 >"$work/log" 2>&1 && fail "the mistake $1 is not found"
    replay=$(sed -n 's/^replay: troupe //p' "$work/log" | head -n 1)
    # shellcheck disable=SC2086
    "$troupe" $replay >"$work/log" 2>&1
    [ $? -eq 1 ] || fail "'$replay' does not fail"
    grep -q 'node-[0-9]* \(is killed\|leaves\|is stopped\)' "$work/log" || fail "no node goes: $1"
    grep -q 'shrunk to [1-9] operation' "$work/log" || fail "the run of $1 is not made small"
}

compile sound "$bank/account.c"
"$troupe" sim --load "$work/sound.so" --seeds 60 >"$work/log" 2>&1 || fail 'a sound bank is reported'
grep -q '60 seeds, 0 violations' "$work/log" || fail 'the summary is missing'
planted stores_late 's/TROUPE_PERSIST_EVERY_TURN/TROUPE_PERSIST_ON_DEACTIVATE/'
planted forgets_requests 's/TROUPE_TRY(troupe_ask_then(turn, other, "deposit", troupe_str(request), &options,/TROUPE_TRY(troupe_tell(turn, other, "deposit", troupe_str(request), \&options)); account->on_the_way -= cents; (void)(((void)0,/; s/^        &(troupe_then){/        \&(troupe_then){/'
