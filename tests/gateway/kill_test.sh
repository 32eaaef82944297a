#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A node behind three gateways is killed while callers are at all of them: who repeats a call with its
# Idempotency-Key has it done once, wherever he repeats it; without a key, what says that it was not
# done was not, and what nobody knows is said to be UNKNOWN. The sums of the actors show it.
#
# CC compiles the modules.
set -u
. "$(dirname "$0")/../cluster/processes.sh"
if ! [ -e "$build/libtroupe_gateway.so" ] || ! command -v curl >/dev/null; then
    echo 'SKIPPED: libtroupe_gateway.so is not built, or there is no curl (make deps-test)'
    exit 77
fi
callers=3 actors=5
calls=40 # of each caller, of each sort
module web
start_redis
start_three --load "$work/web.so" --http 127.0.0.1:0

url() { echo "$(grep -o 'http://[^/]*' "$work/n$1.out" | head -n 1)/v1.0/actors/vault/$2/method/add"; }
for node in 1 2 3; do eval "url_$node='$(url $node ACTOR)'"; done
# add CALLER NODE ACTOR CURL-ARGUMENT...: adds 1; sets `code`, and `outcome` as the error says.
add() {
    caller=$1 actor=$3
    eval "at=\$url_$2"
    shift 3
    code=$(curl -s --max-time 60 -o "$work/answer.$caller" -w '%{http_code}' -d '{"amount":1}' "$@" \
        "${at%ACTOR*}$actor${at#*ACTOR}" 2>/dev/null)
    outcome=$(grep -o '"outcome":"[A-Z_]*"' "$work/answer.$caller" 2>/dev/null | cut -d '"' -f 4)
    if [ "$code" = 000 ]; then outcome=UNKNOWN; fi # the node was killed: nothing was said
}
# What came must be one of the promises: `done`, or an error whose code goes with its outcome.
judge() {
    case $code.$outcome in
    200.*) ;;
    503.NOT_DONE | 408.NOT_DONE | 502.UNKNOWN | 504.UNKNOWN | 000.UNKNOWN) ;;
    *) echo "a $code says $outcome: $(cat "$work/answer.$1")" >>"$work/wrong" ;;
    esac
}
# A part of the calls comes after the kill, however fast the others were.
await_kill() { [ "$1" -ne $((calls * 3 / 4)) ] || until [ -e "$work/killed" ]; do sleep 0.02; done; }
# once CALLER NODE: each call until it is done, at the next node after an error.
once() {
    for call in $(seq $calls); do
        await_kill "$call"
        node=$2
        while add "$1" "$node" "once$((call % actors))" -H "Idempotency-Key: $1-$call" && judge "$1" &&
            [ "$code" != 200 ]; do
            echo again >>"$work/again"
            node=$((node % 3 + 1))
            sleep 0.05
        done
        echo done >>"$work/once.$1"
    done
}
# plain CALLER NODE: each call once; what became of it is noted.
plain() {
    node=$2
    for call in $(seq $calls); do
        await_kill "$call"
        add "$1" "$node" "plain$((call % actors))"
        judge "$1"
        case $code.$outcome in
        200.*) echo done ;;
        *.NOT_DONE) echo not ;;
        *) echo unknown ;;
        esac >>"$work/plain.$1"
        if [ "$code" = 000 ]; then node=3; fi
    done
}
total() { # NAME: the sum of its actors
    sum=0
    for actor in $(seq 0 $((actors - 1))); do
        one=$(curl -s -d '{"amount":0}' "$(url 3 "$1$actor")" | grep -o '[0-9]*')
        sum=$((sum + one))
    done
    echo $sum
}
# value NODE METRIC: what the node's page says of its links.
value() { at "$1" metrics | awk -v name="troupe_link_$2_total" '$1 == name { print $2 }'; }
spoke() { [ "$(value "$1" bytes_out)" -gt 1000 ] && [ "$(value "$1" batches_out)" -gt 10 ]; }
count() { cat "$work/$1".* 2>/dev/null | grep -c "^$2\$"; }

list=''
for caller in $(seq $callers); do
    once $caller $caller &
    list="$list $!"
    plain 1$caller $caller &
    list="$list $!"
done
has_calls() { [ "$(count once done)" -ge $((callers * calls / 4)) ] && [ "$(count plain done)" -ge $callers ]; }
until_true has_calls
[ "$(count once done)" -lt $((callers * calls)) ] || die 'the callers had ended before the kill'
for node in 1 2 3; do until_true spoke $node; done
kill_node 1
: >"$work/killed"
for process in $list; do wait "$process"; done

# Links that were there broke, and the figures of those that have gone stay.
broke() { [ "$(value "$1" breaks)" -ge 1 ] && spoke "$1"; }
for node in 2 3; do until_true broke $node; done
checks=$((checks + 1))
if [ -s "$work/wrong" ]; then die "$(head -n 5 "$work/wrong")"; fi
[ -s "$work/again" ] || die 'nobody noticed the kill'
wanted=$((callers * calls)) got=$(total once)
checks=$((checks + 1))
[ "$got" = $wanted ] || die "with keys the actors have $got, not $wanted"
got=$(total plain) least=$(count plain done) unknown=$(count plain unknown)
checks=$((checks + 1))
if [ "$got" -lt "$least" ] || [ "$got" -gt $((least + unknown)) ]; then
    die "without keys the actors have $got, where $least were done and of $unknown nobody knows"
fi
[ $((least + unknown + $(count plain not))) = $wanted ] || die 'a call has no outcome'
echo "$(wc -l <"$work/again") repeated; $least done, $unknown unknown, $(count plain not) not done; $checks checks"
