#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Troupe's own pages over HTTP: active actors in pages, one of them, what the node has counted, and
# calls of actors that are active only; nobody is activated by looking.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web

serve
own="$at/v1/troupe"
call="$at/v1.0/actors"
is_json() { # the last body is whole
    checks=$((checks + 1))
    python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$work/out" 2>/dev/null ||
        ! command -v python3 >/dev/null || die 'it is no JSON'
}

# ---- which are active -------------------------------------------------------------------------------

get 200 "$own/actors"
says '{"actors":[],"more":false,"missed":false}'
for name in a b 'c%22d' other; do get 200 -d x "$call/web/$name/method/echo"; done
get 200 -d x "$call/egg/a/method/heard"
get 200 "$own/actors?type=web"
is_json
[ "$(grep -o '"actor":"web/' "$work/out" | wc -l)" = 4 ] || die 'not the four of a type'
says '"actor":"web/c\"d","node":"node-1"'
get 200 "$own/actors?pattern=a"
[ "$(grep -o '"actor":' "$work/out" | wc -l)" = 2 ] || die 'not the two of a pattern'
get 200 "$own/actors?type=web&pattern=o%2A" # escapes are taken away once
says '"actor":"web/other"'
if grep -q 'web/a' "$work/out"; then die 'another one than the pattern says'; fi
get 200 "$own/actors?limit=3"
says '"more":true'
[ "$(grep -o '"actor":' "$work/out" | wc -l)" = 3 ] || die 'not as many as the limit says'
for query in limit=0 limit=1001 limit=x limit=-1 limit=5x 'cursor=1.2' 'cursor=1.2.3x' 'pattern=%00' \
    'pattern=%ff' "type=$(printf '%0129d' 1)"; do
    get 400 "$own/actors?$query"
    says '"errorCode":"ERR_BAD_REQUEST"'
done
get 405 -X POST -d '' "$own/actors"

# ---- one --------------------------------------------------------------------------------------------

get 200 "$own/actors/web/a"
is_json
says '"actor":"web/a","node":"node-1"'
says '"phase":"active"'
says '"received":1,'
get 200 "$own/actors/web/a?consistency=eventual"
get 400 "$own/actors/web/a?consistency=much"
get 404 "$own/actors/web/nobody"
says '"errorCode":"ERR_ACTOR_NOT_ACTIVE"'
get 404 "$own/actors/nobody/a"
says '"status":"NO_TYPE"'
get 400 "$own/actors/web/a%2Fb"

# ---- a call if it is active -------------------------------------------------------------------------

get 200 -d 'x y' "$own/actors/web/a/method/echo"
says 'x y'
get 404 -d x "$own/actors/web/asleep/method/echo"
says 'it is not active'
get 404 "$own/actors/web/asleep"
get 422 -d 1004 "$own/actors/web/a/method/fail"
get 404 -d 1 "$own/actors/web/a/method/nope"
says 'has no method'
get 504 -H 'Troupe-Timeout: 50ms' -d 20000 "$own/actors/web/b/method/late"

# ---- the node ---------------------------------------------------------------------------------------

get 200 "$own/stats"
is_json
says '"node":"node-1"'
says '"active":5'
says '"activations":5'
says '"turn_time":{"count":'
get 200 -I "$own/stats"

# ---- who is let in ----------------------------------------------------------------------------------

get 404 "$own/"
get 404 "$at/v1/troupe"
stop
serve --http_token secret
for page in actors actors/web/a stats; do get 401 "$at/v1/troupe/$page"; done
get 200 -H 'Authorization: Bearer secret' "$at/v1/troupe/stats"
stop
echo "$checks checks"
