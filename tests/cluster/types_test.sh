#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Types that only some members host, over a rolling upgrade: old processes without a type answer calls
# to it as soon as a new one hosts it, while it is the only one, and when the last one has gone they
# say so. What there is not is named, with what there is.
set -u
. "$(dirname "$0")/processes.sh"
module counter
export COUNTER_FILE="$work/counts"
new="--load $work/counter.so"
both_count() { # asked at the two old ones
    for node in 1 2; do run 0 at $node ask "counter/$1" count; done
}
upgrade() { # I: stopped, and started with the new type
    end "$1"
    # shellcheck disable=SC2086
    begin "$1" $new
    until_true node_serves "$1"
    until_true await_members
}

start_three
echo 'nobody hosts it:'
run 1 at 1 ask counter/a count
has err 'no member of the cluster hosts an actor type "counter"; there are: tally, ledger'
run 1 at 1 ask taly/a show
has err 'did you mean "tally"?'
run 1 at 2 tell counter/a count
has err 'no member of the cluster hosts an actor type "counter"'
run 1 at 1 ask counter/a count --json
has out '"status":"NO_TYPE"'
has out '"outcome":"NOT_DONE"'

echo 'a new process, two old ones:'
upgrade 3
for key in a b c d e f g h; do
    both_count "$key"
    has out 2
    run 0 at 3 ask "counter/$key" count
    has out 3
    run 0 at 1 tell "counter/$key" count
    run 0 at 1 ask "counter/$key" count
    has out 5
    run 0 at 2 lookup "counter/$key"
    has out 'node-3'
done
run 0 at 1 ask counter@shop/a count
has out 1
run 1 at 1 ask counter/a cont
has err 'the type "counter" has no method "cont"'
has err 'there are: count'
run 0 at 2 discover 'counter/*' --json
has out '"node":"node-3"'
run 1 at 1 actors --type counter
has err 'this node has no actor type "counter": ask a member that hosts it: node-3'
run 1 at 1 ask couter/a count
has err 'did you mean "counter"?'

echo 'a caller at an old process, while the others are upgraded and the first new one goes:'
: >"$work/calls"
while [ ! -e "$work/stop" ]; do
    at 1 ask counter/on count >>"$work/calls" 2>>"$work/failed" || echo failed >>"$work/failed"
done &
caller=$!
upgrade 2
end 3
run 0 at 1 lookup counter/on
has out 'node-2'
touch "$work/stop"
wait $caller
[ -s "$work/failed" ] && die "a call failed: $(head -3 "$work/failed")"
# It moved with its count: each call saw one more than the one before.
seq "$(wc -l <"$work/calls")" | cmp -s - "$work/calls" || die "counts: $(head -500 "$work/calls")"
[ -s "$work/calls" ] || die 'nothing was called'
# shellcheck disable=SC2086
begin 3 $new
until_true await_members

echo 'the last that hosts it goes:'
end 2
end 3
nobody() { ! at 1 ask counter/z count >"$work/out" 2>"$work/err"; }
until_true nobody
has err 'no member of the cluster hosts an actor type "counter"; there are: tally, ledger'
end 1
echo "$checks checks passed"
