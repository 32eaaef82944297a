#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `troupe rebalance` of real processes: of a node that has all actors a dry run names the moves and
# makes none; then they are made, the counts even out, each actor keeps what it has, and no call fails.
set -u
. "$(dirname "$0")/processes.sh"
actors=120
most=42 # of the third that each node is to have

count_at() { at "$1" actors --limit 1000 --json 2>/dev/null | grep -o '"actor":' | wc -l; }
moves() { grep -o '"actor":' "$work/out" | wc -l; }
has_heard_all() { # and the numbers are those of now
    at 1 nodes --json | grep -o '"actors":[0-9]*' | sort | tr '\n' ' ' |
        grep -q "\"actors\":0 \"actors\":0 \"actors\":$actors "
}
plans() { at 1 rebalance --dry-run --json >"$work/out" 2>"$work/err" && grep -q '"why":"uneven"' "$work/out"; }
is_even() {
    for node in 1 2 3; do
        [ "$(count_at $node)" -le $most ] || return 1
    done
}
is_told_even() { at 1 rebalance --dry-run >"$work/out" 2>"$work/err" && grep -q 'evenly loaded' "$work/out"; }

echo 'all at one:'
start_three --health_check_interval 50ms
for i in $(seq $actors); do run 0 at 1 ask "tally/$i" set "$i"; done
until_true has_heard_all
run 2 at 1 rebalance node-1
run 2 at 1 rebalance --dryrun
[ "$(count_at 1)" -eq $actors ] || die 'they are not where they were asked'

echo 'a dry run:'
until_true plans
planned=$(moves)
[ "$planned" -ge $((actors - 40 - 2)) ] && [ "$planned" -le $((actors - 40)) ] || die "$planned moves"
has out '"node":"node-1"'
has out '"dry_run":true'
has out "\"planned\":$planned"
has out '"begun":0'
has out '"members":3'
has out '"to":"node-2"'
has out '"to":"node-3"'
run 0 at 1 rebalance --dry-run
has out 'ACTOR'
has out 'node-1  node-2'
has out 'none moved'
has out "$planned to move"
run 0 at 2 rebalance
has out 'nothing to move from node-2: others carry more'
[ "$(count_at 1)" -eq $actors ] || die 'a dry run has moved something'
run 0 at 1 stats --json
has out '"rebalanced":0'

echo 'moves, while one calls:'
: >"$work/failed"
: >"$work/calling"
while [ -e "$work/calling" ]; do
    for i in 1 50 $actors; do
        [ "$(at 2 ask "tally/$i" show 2>>"$work/failed")" = "$i" ] || echo "tally/$i" >>"$work/failed"
    done
done &
caller=$!
run 0 at 1 rebalance
has out 'on their way'
until_true is_even
rm "$work/calling"
wait $caller
[ -s "$work/failed" ] && die "a call failed: $(head -3 "$work/failed")"
until_true is_told_even
for i in $(seq $actors); do
    run 0 at 3 ask "tally/$i" show
    [ "$(cat "$work/out")" = "$i" ] || die "tally/$i has lost what it had: $(cat "$work/out")"
done
is_even || die 'it has not stayed even'
for node in 1 2 3; do end $node; done

echo 'alone:'
export TROUPE_SOCKET="$work/run/node.sock"
start --name one --load "$work/tally.so"
run 0 troupe rebalance --dry-run
has out 'nothing to move from one: it was started without --cluster'
echo "$checks checks passed"
