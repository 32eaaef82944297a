#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Reminders and timers over HTTP: what is set fires, as often as it was asked for, with its data; what
# is ended does not; a reminder survives its node, and is shown as the API has it; what cannot be is
# refused with words.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web

serve --storage "sqlite:$work/state.db"
call="$at/v1.0/actors"
hears() { [ "$(curl -s "$call/$1/method/heard" | cut -d ' ' -f "$2")" "$3" "$4" ]; }
rings() { hears "bell/$1" 2 -ge "$2"; }

# ---- reminders --------------------------------------------------------------------------------------

get 204 -d '{"dueTime":"0h0m0s20ms","data":{"a":1.10}}' "$call/bell/a/reminders/ring"
until_true rings a 1
get 200 "$call/bell/a/method/heard"
says '{"a":1.10}' # as it came
get 404 "$call/bell/a/reminders/ring"
says '"errorCode":"ERR_ACTOR_REMINDER_NOT_FOUND"'
says 'actor reminder not found: ring'

# One without a method of its name, at once, and its number of times.
get 204 -X PUT -d '{"period":"R3/PT0.02S"}' "$call/bell/b/reminders/other"
until_true hears bell/b 4 -ge 1
gone() { [ "$(curl -s -o /dev/null -w '%{http_code}' "$call/$1")" = 404 ]; }
until_true gone bell/b/reminders/other
get 200 "$call/bell/b/method/heard"
times=$(cut -d ' ' -f 4 "$work/out")
[ "$times" -ge 1 ] && [ "$times" -le 3 ] || die "3 times were $times" # one may stand for others

# Shown, set anew, kept, ended.
get 204 -d '{"dueTime":"2040-01-02T03:04:05Z","period":"1h30m","ttl":"P1D","data":"x\u0061"}' "$call/bell/c/reminders/ring"
get 200 "$call/bell/c/reminders/ring"
tells 'Content-Type: application/json'
[ "$(cat "$work/out")" = '{"actorID":"c","actorType":"bell","dueTime":"2040-01-02T03:04:05Z","period":"@every 1h30m","ttl":"2040-01-03T03:04:05Z","data":"x\u0061"}' ] ||
    die "shown as $(cat "$work/out")"
run 0 troupe reminders bell/c
has out 'every 1h30m from 2040-01-02T03:04:05Z until 2040-01-03T03:04:05Z'
get 409 -d '{"dueTime":"1h","overwrite":false}' "$call/bell/c/reminders/ring"
says '"errorCode":"ERR_ACTOR_REMINDER_ALREADY_EXISTS"'
get 204 -d '{"dueTime":"1h","period":"@every 1s","overwrite":true}' "$call/bell/c/reminders/ring"
get 200 "$call/bell/c/reminders/ring"
says '"period":"@every 1s"'
get 204 -X DELETE "$call/bell/c/reminders/ring"
get 204 -X DELETE "$call/bell/c/reminders/ring"
get 404 "$call/bell/c/reminders/ring"
get 200 "$call/bell/c/method/heard"
says 'ring 0 '

# ---- timers -----------------------------------------------------------------------------------------

for type in bell egg; do
    get 204 -d '{"dueTime":"20ms","period":"20ms","data":7,"callback":"tick"}' "$call/$type/t/timers/one"
    get 204 -d '{"dueTime":"10ms","period":"R2/PT0.01S"}' "$call/$type/u/timers/two"
    get 204 -d '' "$call/$type/v/timers/tick"
    until_true hears $type/t 6 -ge 3
    get 200 "$call/$type/t/method/heard"
    says ' 7'
    get 204 -X DELETE "$call/$type/t/timers/one"
    get 204 -X DELETE "$call/$type/t/timers/one"
    get 200 "$call/$type/t/method/heard"
    before=$(cat "$work/out")
    until_true hears $type/u 8 -ge 1
    until_true hears $type/v 6 -ge 1
    # Set again in the other's place: one ticks, not two, and not the one from before.
    get 204 -d '{"dueTime":"1h"}' "$call/$type/w/timers/tick"
    get 204 -d '{"dueTime":"20ms"}' "$call/$type/w/timers/tick"
    until_true hears $type/w 6 -ge 1
    get 200 "$call/$type/t/method/heard"
    [ "$(cat "$work/out")" = "$before" ] || die 'a timer that was ended ticked'
    get 200 "$call/$type/u/method/heard"
    times=$(cut -d ' ' -f 8 "$work/out")
    [ "$times" -le 2 ] || die "2 times were $times" # a tick that finds one waiting is left out
    get 200 "$call/$type/w/method/heard"
    says ' tick 1 '
done

# As many as an actor may have: a further one is refused, one of a name that is there takes its place.
n=0
while [ $((n += 1)) -le 64 ]; do
    set -- "$@" -d '{"dueTime":"1h","callback":"tick"}' -o /dev/null "$call/bell/full/timers/t$n" --next
done
curl -s "$@" "$at/v1.0/healthz" >/dev/null || die 'timers were not set'
get 503 -d '{"dueTime":"1h","callback":"tick"}' "$call/bell/full/timers/t65"
says '64 timers'
get 204 -d '{"dueTime":"2h","callback":"tick"}' "$call/bell/full/timers/t7"
get 204 -X DELETE "$call/bell/full/timers/t8"
get 204 -d '{"dueTime":"1h","callback":"tick"}' "$call/bell/full/timers/t65"
get 400 -d '{"dueTime":"1h","callback":"tick"}' "$call/bell/full/timers/$(printf 'n%.0s' $(seq 129))"
says 'too long: 128 bytes'

# ---- what is refused --------------------------------------------------------------------------------

refused() { # PATH ERROR WORDS BODY
    get 400 -d "$4" "$call/$1"
    says "\"errorCode\":\"$2\""
    says "$3"
}
refused bell/a/reminders/ring ERR_MALFORMED_REQUEST 'no JSON object' '{"dueTime":'
refused bell/a/reminders/ring ERR_MALFORMED_REQUEST 'no JSON object' '[]'
refused bell/a/reminders/ring ERR_MALFORMED_REQUEST 'are strings' '{"dueTime":5}'
refused bell/a/reminders/ring ERR_ACTOR_REMINDER_CREATE 'a duration is written' '{"dueTime":"soon"}'
refused bell/a/reminders/ring ERR_ACTOR_REMINDER_CREATE 'years and months' '{"period":"P1Y"}'
refused bell/a/reminders/ring ERR_ACTOR_REMINDER_CREATE 'never comes' '{"period":"R0/PT1S"}'
refused bell/a/reminders/ring ERR_ACTOR_REMINDER_CREATE 'before it is due' '{"ttl":"2001-01-01T00:00:00Z"}'
refused bell/a/timers/tick ERR_ACTOR_TIMER_CREATE 'a millisecond' '{"period":"10us"}'
refused egg/a/reminders/ring ERR_ACTOR_REMINDER_CREATE 'have reminders' '{"dueTime":"1s"}'
get 404 -d '{"dueTime":"1s"}' "$call/vault/a/reminders/ring"
says '"errorCode":"ERR_ACTOR_REMINDER_CREATE"'
says 'has no method'
get 404 -d '{"dueTime":"1s","callback":"nothing"}' "$call/bell/a/timers/tick"
says '"errorCode":"ERR_ACTOR_TIMER_CREATE"'
get 403 -d '{"dueTime":"1s"}' "$call/nobody/a/reminders/ring"
says '"errorCode":"ERR_ACTOR_REMINDER_NON_HOSTED"'
get 405 "$call/bell/a/timers/tick"
tells 'Allow: POST, PUT, DELETE'
get 400 -d '{}' "$call/bell/a/reminders/$(printf '%0129d' 1)"
head -c 2000 /dev/zero | tr '\0' 1 >"$work/large"
get 413 -d "{\"data\":\"$(cat "$work/large")\"}" "$call/bell/a/timers/tick"

# ---- a reminder survives its node ---------------------------------------------------------------------

get 204 -d '{"dueTime":"1500ms","data":"later"}' "$call/bell/d/reminders/ring"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
serve --storage "sqlite:$work/state.db"
call="$at/v1.0/actors"
until_true rings d 1
get 200 "$call/bell/d/method/heard"
says '"later"'
stop
echo "$checks checks"
