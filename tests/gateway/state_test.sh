#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The state of an actor over HTTP: it is read as JSON by its schema or as bytes, with its version as
# ETag, and nobody is activated for it; what is not stored is 204, what is damaged is an error, and
# nobody writes it.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web

storage="sqlite:$work/state.db"
serve --storage "$storage"
call="$at/v1.0/actors"
state() { echo "$call/vault/$1/state/${2:-state}"; }
tag() { grep -i '^ETag:' "$work/head" | tr -d '\r' | cut -d ' ' -f 2; }
nobody_is_active() {
    run 0 troupe ps --json
    checks=$((checks + 1))
    if grep -qF '"vault/' "$work/out"; then die 'an actor is active'; fi
}

# ---- what is there --------------------------------------------------------------------------------

get 204 "$(state a)"
[ -z "$(tag)" ] || die 'what is not stored has a tag'
nobody_is_active
get 200 -H 'Content-Type: application/json' -d '{"amount":5}' "$call/vault/a/method/add"
get 200 "$(state a)"
says '{"total":5}'
tells 'Content-Type: application/json'
first=$(tag)
[ -n "$first" ] || die 'a state has no tag'
get 204 "$(state a other)" # a native actor has one key
[ -z "$(tag)" ] || die 'another key has the tag of the state'
get 304 -H "If-None-Match: $first" "$(state a)"
[ ! -s "$work/out" ] || die 'a 304 has a body'
[ "$(tag)" = "$first" ] || die 'a 304 has another tag'
get 304 -H "If-None-Match: W/\"0\", $first" "$(state a)"
get 200 -H 'Content-Type: application/json' -d '{"amount":1}' "$call/vault/a/method/add"
get 200 -H "If-None-Match: $first" "$(state a)"
says '{"total":6}'
[ "$(tag)" != "$first" ] || die 'another state has the same tag'
get 200 -I "$(state a)"
tells 'ETag:'

# ---- as its bytes ---------------------------------------------------------------------------------

get 200 -d x "$call/plain/a/method/keep"
get 200 "$call/plain/a/state/state"
tells 'Content-Type: application/octet-stream'
[ "$(cat "$work/out")" = 'xxxxxxxx' ] || die 'not the bytes of the state'

get 200 -d q "$call/plain/b/method/keep"

# ---- nobody is disturbed --------------------------------------------------------------------------

run 0 troupe deactivate vault/a
until_true sh -c "! '$build/troupe' ps --json | grep -q '\"vault/'"
get 200 "$(state a)"
says '{"total":6}'
nobody_is_active
# A turn that runs does not hold a reader up, and what it has not committed is not shown.
curl -s -d 5000 -o "$work/late" "$call/vault/a/method/late" &
until_true sh -c "'$build/troupe' ps --json | grep -q '\"vault/a'"
get 200 --max-time 3 "$(state a)"
says '{"total":6}'
wait $! || die 'the turn'

# ---- what is refused ------------------------------------------------------------------------------

get 400 "$call/web/a/state/state"
says '"errorCode":"ERR_ACTOR_STATE_GET"'
says 'not persistent'
get 404 "$call/nobody/a/state/state"
says '"errorCode":"ERR_ACTOR_STATE_GET"'
get 405 -X DELETE "$(state a)"
tells 'Allow: GET, HEAD'
for method in POST PUT; do
    get 400 -X $method -d '[{"operation":"upsert","request":{"key":"state","value":{"total":1}}}]' \
        "$call/vault/a/state"
    says '"errorCode":"ERR_ACTOR_STATE_TRANSACTION_SAVE"'
    says 'its own turns'
done
get 405 "$call/vault/a/state"
tells 'Allow: POST, PUT'
get 200 "$(state a)"
says '{"total":6}'

# ---- many at once, and the end of the node --------------------------------------------------------

curl -s -Z --parallel-max 64 -o /dev/null -w '%{http_code}\n' "$call/vault/a/state/state?[1-400]" \
    >"$work/out" || die 'many at once'
checks=$((checks + 1))
if grep -qvx '200\|503' "$work/out"; then die 'another answer than 200 and 503'; fi
grep -qx 200 "$work/out" || die 'none of many was answered'
curl -s -Z --parallel-max 32 -o /dev/null "$call/vault/a/state/state?[1-2000]" 2>/dev/null &
stop
wait

# ---- one that is damaged is not one that is not there ---------------------------------------------

LC_ALL=C sed -i 's/qqqqqqqq/qqqqqqqz/g' "$work"/state.db* || die 'the file of the store'
serve --storage "$storage"
get 500 "$at/v1.0/actors/plain/b/state/state"
says '"errorCode":"ERR_ACTOR_STATE_GET"'
says '"status":"CORRUPT"'
[ -z "$(tag)" ] || die 'a damaged state has a tag'
stop
echo "$checks checks"
