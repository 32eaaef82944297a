#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Streams of events over HTTP: the life of actors, all or those asked for, and what one actor has
# committed, as curl shows them while they are open. A reader that is slow is let go of, one that goes
# away is forgotten, there are only so many, and all end with their node.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web
"$compiler" -std=gnu11 -D_GNU_SOURCE -o "$work/raw_http" "$source/tests/e2e/raw_http.c" || die 'raw_http.c'

serve --storage "sqlite:$work/state.db"
own="$at/v1/troupe"
call="$at/v1.0/actors"
streams=''
trap 'for one in $streams; do kill "$one" 2>/dev/null; done; clean' EXIT

# open NAME PATH [CURL-ARGUMENT]...: a stream into $work/NAME, once it is open.
open() {
    name=$1 path=$2
    shift 2
    : >"$work/$name.head"
    curl -sN -D "$work/$name.head" -o "$work/$name" "$@" "$own/$path" &
    stream=$!
    streams="$streams $stream"
    until_true grep -q '^HTTP/1.1 200' "$work/$name.head"
}
shows() { grep -qF -- "$2" "$work/$1" 2>/dev/null; }
count_of() { grep -cF -- "$2" "$work/$1"; }

# ---- the life of actors -----------------------------------------------------------------------------

open all events
grep -qi '^Content-Type: text/event-stream' "$work/all.head" || die 'the type of a stream'
open webs 'events?type=web'
open one 'events?type=web&id=b'
get 200 -d x "$call/web/a/method/echo"
get 200 -d x "$call/web/b/method/echo"
get 200 -d x "$call/egg/b/method/heard"
for actor in web/a web/b egg/b; do
    until_true shows all "data: {\"actor\":\"$actor\",\"shard\":"
done
until_true shows webs '{"actor":"web/b",'
until_true shows one '{"actor":"web/b",'
[ "$(count_of all 'event: activated')" = 3 ] || die 'not each activation once'
get 500 "$call/frail/a/method/panic"
until_true shows all 'event: failed'
shows all '{"actor":"frail/a","shard":' || die 'who failed'
shows all '"status":"PANIC","method":"panic"}' || die 'why it failed'
run 0 troupe deactivate web/b
until_true shows one 'event: deactivated'
shows one '"reason":"' || die 'a deactivation has a reason'
if shows webs egg; then die 'a type that was not asked for'; fi
if shows one web/a; then die 'an actor that was not asked for'; fi

# ---- what one actor has committed -------------------------------------------------------------------

open sum actors/vault/a/updates
[ -s "$work/sum" ] && die 'an update of what is not stored'
get 200 -d '{"amount":5}' "$call/vault/a/method/add"
until_true shows sum 'data: {"version":1,"state":{"total":5}}'
get 200 -d '{"amount":6}' "$call/vault/a/method/add"
until_true shows sum '"state":{"total":11}}'
# A turn that has not committed is not told, not even to who comes behind it.
mkfifo "$work/pipe"
curl -s -o /dev/null -d "$work/pipe" "$call/vault/a/method/add_late" &
turn=$!
parked() { troupe ps --json | grep -qF '"vault/a"'; }
until_true parked
open early actors/vault/a/updates
until_true shows early '"state":{"total":11}}'
if shows sum '"total":1011' || shows early '"total":1011'; then die 'told before its commit'; fi
echo go >"$work/pipe"
wait $turn
until_true shows early '"state":{"total":1011}}'
until_true shows sum '"state":{"total":1011}}'
# One that knows the last version is told nothing; one that knows another is told the last.
last=$(sed -n 's/^id: //p' "$work/sum" | tail -n 1)
open again actors/vault/a/updates -H "Last-Event-ID: $last"
open behind actors/vault/a/updates -H 'Last-Event-ID: 1'
until_true shows behind '"state":{"total":1011}}'
[ "$(count_of behind 'event: update')" = 1 ] || die 'more than the last'
get 200 -d '{"amount":1}' "$call/vault/a/method/add"
until_true shows again '"state":{"total":1012}}'
[ "$(count_of again 'event: update')" = 1 ] || die 'what was known is told again'
run 0 troupe delete vault/a --yes
until_true shows sum 'event: gone'
# What is left of one may be a reminder only.
get 204 -d '{"dueTime":"5h"}' "$call/bell/r/reminders/ring"
get 200 "$call/bell/r/method/heard"
open rows actors/bell/r/updates -H 'Last-Event-ID: 900'
until_true shows rows 'event: gone'
[ "$(count_of rows 'event: update')" = 0 ] || die 'a state that is not there'
# Bytes have a version only.
open bytes actors/plain/a/updates
get 200 -d x "$call/plain/a/method/keep"
until_true shows bytes 'data: {"version":1}'

# A commit of this node is told at once: looks alone, each 200 ms, would take 100 ms for half of them.
late=$("$work/raw_http" "$port" late 100 /v1/troupe/actors/vault/quick/updates \
    /v1.0/actors/vault/quick/method/add '{"amount":1}' 2>"$work/err") || die "the reader: $(cat "$work/err")"
checks=$((checks + 1))
[ "${late%% *}" -lt 50000 ] || die "updates come late: $late us"

# ---- a heart beats ----------------------------------------------------------------------------------

beats() { grep -qx ':' "$work/$1"; }
until_true beats bytes
until_true beats one

# ---- what is refused --------------------------------------------------------------------------------

get 400 "$own/actors/web/a/updates"
says 'not persistent'
get 404 "$own/actors/nobody/a/updates"
get 400 "$own/events?type=$(printf '%0129d' 1)"
get 405 -X POST -d '' "$own/events"
tells 'Allow: GET'

# ---- one that does not read is let go of, and others are not held up ---------------------------------

mkfifo "$work/go"
"$work/raw_http" "$port" deaf /v1/troupe/events <"$work/go" >"$work/held" 2>"$work/err" &
slow=$!
exec 9>"$work/go"
until_true grep -q held "$work/held"
open quick 'events?type=web&id=last'
name=$(printf '%0900d' 1)
is_slow() {
    i=$((${i:-0} + 1))
    curl -s -Z --parallel-max 16 -o /dev/null -d x "$call/web/$i.[1-300].$name/method/echo" 2>/dev/null
    curl -s "$own/stats" | grep -q '"http_slow":[1-9]'
}
until_true is_slow
counts http_slow 1
get 200 -d x "$call/web/last/method/echo"
until_true shows quick '"actor":"web/last"'
echo go >&9
exec 9>&-
wait $slow || die "the slow one: $(cat "$work/err")"

# ---- the end ----------------------------------------------------------------------------------------

open end events
open sum actors/vault/b/updates
last=$stream
stop
wait "$last"
code=$?
checks=$((checks + 1))
[ $code = 0 ] || die "a stream of a node that closed ended with $code"
serve --http_token secret
get 401 "$at/v1/troupe/events"
get 401 "$at/v1/troupe/actors/vault/a/updates"
stop

# ---- those who go are forgotten, and there are only so many -----------------------------------------

serve
own="$at/v1/troupe"
opens() { [ "$(curl -s -m 0.3 -o /dev/null -w '%{http_code}' "$own/events")" = "$1" ]; }
for i in $(seq 70); do
    curl -sN -o /dev/null "$own/events" &
    streams="$streams $!"
done
until_true opens 503
for one in $streams; do kill "$one" 2>/dev/null; done
wait $streams 2>/dev/null
streams=''
until_true opens 200
for i in $(seq 20); do # as many as there is room for by now
    curl -sN -o /dev/null "$own/events" &
    streams="$streams $!"
done
stop # with many open
echo "updates are late by $late us (p50, p99, most); $checks checks"
