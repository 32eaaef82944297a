#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The threads for jobs that block are the actors': however many requests wait over HTTP for a turn of
# an actor, that turn gets its thread.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web

serve --blocking_threads 2 --ask_timeout 1m
call="$at/v1.0/actors"
mkfifo "$work/pipe"
curl -s -o "$work/block" -w '%{http_code}' -d "$work/pipe" "$call/egg/a/method/block" >"$work/code" &
caller=$!
parked() { troupe ps --json | grep -qF '"egg/a"'; }
until_true parked
curl -s -Z --parallel-immediate --parallel-max 16 -o /dev/null -w '%{http_code}\n' -X PUT -d '{"dueTime":"1h","callback":"tick"}' \
    "$call/egg/a/timers/t[1-8]" >"$work/codes" 2>"$work/err" &
timers=$!
# All are there, and one at least waits behind the turn that blocks.
queued() { [ "$(troupe stats --json | grep -o '"http_requests":9\b\|"queued":[1-9]' | wc -l)" = 2 ]; }
until_true queued
echo go >"$work/pipe"
is_over() { ! kill -0 $caller 2>/dev/null && ! kill -0 $timers 2>/dev/null; }
until_true is_over
[ "$(cat "$work/code")" = 204 ] || die "the turn that blocks: $(cat "$work/code" "$work/block")"
[ "$(sort "$work/codes" | uniq -c | tr -s ' ')" = ' 8 204' ] || die "timers: $(sort "$work/codes" | uniq -c)"
get 204 -H 'Troupe-Timeout: 5s' -X DELETE "$call/egg/a/timers/t1"
# Such a request has the time that it says.
mkfifo "$work/again"
curl -s -o /dev/null -d "$work/again" "$call/egg/b/method/block" &
caller=$!
parked() { troupe ps --json | grep -qF '"egg/b"'; }
until_true parked
get 504 -H 'Troupe-Timeout: 50ms' -d '{"dueTime":"1h","callback":"tick"}' "$call/egg/b/timers/t"
get 504 -H 'Troupe-Timeout: 50ms' -X DELETE "$call/egg/b/timers/t"
echo go >"$work/again"
wait $caller
checks=$((checks + 2))
stop
echo "$checks checks"
