#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A turn that does not return keeps its shard, and nobody who asks there: each ask ends soon after its
# time-out, with TIMEOUT and an outcome that is unknown, however many there are, and callers find the
# node as before. When the turn returns all goes on.
set -u
. "$(dirname "$0")/daemon.sh"
module stuck
export STUCK_FILE="$work/stuck"
: >"$STUCK_FILE"
configure stuck -- 'shards: 1' 'ask_timeout: 1m'
start --config "$file"
configure stuck -- 'shards: 1' 'ask_timeout: 500ms'
run 0 troupe config --reload

# By its own time-out, by the node's as it is now, and behind the one that does not return.
for ask in 'stuck/1 hang --timeout 300ms' 'stuck/1 nothing' 'stuck/2 nothing --timeout 300ms'; do
    run 1 timeout 20 "$build/troupe" ask $ask
    has err 'TIMEOUT, outcome UNKNOWN: '
done
until_true grep -q '"event":"ask_left"' "$work/daemon.err"

# More than there are connections: those that were left have none.
asks=''
for _ in 1 2 3 4; do
    for _ in $(seq 20); do
        timeout 20 "$build/troupe" ask stuck/3 nothing --timeout 10ms >/dev/null 2>&1 &
        asks="$asks $!"
    done
    for ask in $asks; do
        wait "$ask"
        [ $? -eq 1 ] || die 'an ask did not end'
    done
    asks=''
done
run 0 troupe ping
run 1 timeout 20 "$build/troupe" ask stuck/1 nothing --timeout 10ms

rm "$STUCK_FILE"
answers() { [ "$(troupe ask stuck/1 nothing)" = here ]; }
until_true answers
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"
daemon=''
echo "$checks checks"
