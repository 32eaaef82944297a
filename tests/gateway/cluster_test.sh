#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The gateways of three nodes that are one cluster: an actor's reminders and timers are set and ended,
# and its state is read, at whichever node somebody asks, and its timers go along when it moves.
set -u
. "$(dirname "$0")/../cluster/processes.sh"
if ! [ -e "$build/libtroupe_gateway.so" ] || ! command -v curl >/dev/null; then
    echo 'SKIPPED: libtroupe_gateway.so is not built, or there is no curl (make deps-test)'
    exit 77
fi
module web
start_redis
start_three --load "$work/web.so" --http 127.0.0.1:0

# url NODE PATH
url() { echo "$(grep -o 'http://[^/]*' "$work/n$1.out" | head -n 1)/v1.0/actors/$2"; }
get() { # CODE NODE PATH CURL-ARGUMENT...
    wanted=$1 node=$2 path=$3
    shift 3
    code=$(curl -s --max-time 30 -o "$work/out" -w '%{http_code}' "$@" "$(url "$node" "$path")" \
        2>"$work/err") || die "curl failed with $?: $path"
    checks=$((checks + 1))
    [ "$code" = "$wanted" ] || die "$code, not $wanted, at node $node: $path"
}
heard() { curl -s "$(url 1 "$1/method/heard")" | cut -d ' ' -f "$2"; }
hears() { [ "$(heard "$1" "$2")" -ge "$3" ]; }

# ---- a timer goes along ---------------------------------------------------------------------------

get 200 1 egg/a/method/heard
get 204 2 egg/a/timers/mine -d '{"dueTime":"20ms","period":"20ms","callback":"tick"}'
until_true hears egg/a 6 2
for node in 2 3; do
    run 0 at 1 migrate egg/a node-$node
    before=$(heard egg/a 6)
    until_true hears egg/a 6 $((before + 3))
done
get 204 1 egg/a/timers/mine -X DELETE
before=$(heard egg/a 6)
# One that has come since has ticked behind what was ended: it would have, too.
get 204 2 egg/a/timers/other -d '{"dueTime":"100ms"}'
until_true hears egg/a 8 1
[ "$(heard egg/a 6)" = "$before" ] || die 'a timer ticks that was ended at another node'

# ---- a reminder is set and cancelled from anywhere ------------------------------------------------

get 200 1 bell/a/method/heard
run 0 at 1 migrate bell/a node-2
get 204 3 bell/a/reminders/ring -d '{"dueTime":"1h"}'
for node in 1 2 3; do get 200 $node bell/a/reminders/ring; done
get 204 3 bell/a/reminders/ring -X DELETE
for node in 1 2 3; do get 404 $node bell/a/reminders/ring; done
get 204 3 bell/a/reminders/other -d '{"dueTime":"20ms"}'
until_true hears bell/a 4 1

# ---- the state ------------------------------------------------------------------------------------

get 200 1 vault/a/method/add -d '{"amount":5}'
run 0 at 1 migrate vault/a node-3
for node in 1 2 3; do
    get 200 $node vault/a/state/state
    has out '{"total":5}'
done

# ---- who is active anywhere, page by page ---------------------------------------------------------

own() { url "$1" '' | sed 's|v1.0/actors/|v1/troupe/|'; }
for i in $(seq 40); do get 200 $((i % 3 + 1)) "web/k$i/method/echo" -d x; done
page=$(own 2)actors?type=web\&pattern=k*\&limit=7
after=''
: >"$work/all"
for _ in $(seq 200); do
    curl -s -g "$page$after" >"$work/out" || die 'a page'
    grep -o '"actor":"[^"]*"' "$work/out" >>"$work/all"
    grep -q '"missed":false' "$work/out" || die 'a member was missed'
    cursor=$(sed -n 's/.*"cursor":"\([^"]*\)".*/\1/p' "$work/out")
    [ -n "$cursor" ] || break
    after="&cursor=$cursor"
done
checks=$((checks + 1))
[ "$(sort -u "$work/all" | wc -l)" = 40 ] && [ "$(wc -l <"$work/all")" = 40 ] ||
    die "not the 40 actors once: $(sort "$work/all" | uniq -c)"
for node in 1 2 3; do
    curl -s "$(own $node)actors/vault/a" >"$work/out"
    has out '"actor":"vault/a","node":"node-3"'
    code=$(curl -s -o "$work/out" -w '%{http_code}' -d '{"amount":1}' "$(own $node)actors/vault/a/method/add")
    checks=$((checks + 1))
    [ "$code" = 200 ] || die "a call of one that is active elsewhere gets $code"
done
code=$(curl -s -o "$work/out" -w '%{http_code}' -d '{"amount":1}' "$(own 1)actors/vault/b/method/add")
[ "$code" = 404 ] || die "a call of one that is not active gets $code"

for node in 1 2 3; do end $node; done
echo "$checks checks"
