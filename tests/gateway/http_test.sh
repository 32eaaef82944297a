#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Actors over HTTP as a user calls them, with curl: payloads of any type, JSON through a schema, every
# status with its code, what is refused and how, keys of calls once, tokens, limits, health.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web

serve --max_message 1MiB
call="$at/v1.0/actors"

# ---- payloads -----------------------------------------------------------------------------------

for method in POST PUT GET DELETE; do
    get 200 -X $method -H 'Content-Type: text/x-mine' -d 'as it is' "$call/web/a/method/echo"
    [ "$(cat "$work/out")" = 'as it is' ] || die "the payload by $method"
    tells 'Content-Type: text/x-mine'
done
head -c 1000000 /dev/urandom >"$work/bytes"
get 200 -H 'Content-Type: application/octet-stream' --data-binary "@$work/bytes" "$call/web/a/method/echo"
cmp "$work/bytes" "$work/out" || die 'a megabyte is not what was sent'
get 200 -H 'Transfer-Encoding: chunked' --data-binary "@$work/bytes" "$call/web/a/method/echo"
cmp "$work/bytes" "$work/out" || die 'a megabyte in chunks is not what was sent'
get 204 -d x "$call/web/a/method/nothing"
[ ! -s "$work/out" ] || die 'a 204 has a body'
get 200 -H 'Content-Type: application/json' -d '{"amount":5}' "$call/web/sum/method/add"
says '{"total":5}'
tells 'Content-Type: application/json'
get 200 -d '{"amount":2}' "$call/web/sum/method/add" # curl says it is a form: it looks like JSON
says '{"total":7}'
get 400 -H 'Content-Type: application/json' -d '{"amuont":5}' "$call/web/sum/method/add"
says 'amuont'
get 200 "$call/web/a%20b%C3%A9/method/echo?ignored=1" -d x
get 200 -d x "$call/web@eu/a/method/echo"
get 200 -d x "$call/web/a/method/split" # a line end in a type of content is no field of the head
if grep -qi '^X-Evil' "$work/head"; then die 'an actor wrote into the head'; fi

# Many at once, so that answers come while others are handed over.
for _ in 1 2 3; do
    curl -s -Z --parallel-max 64 -d x "$call/web/[1-400]/method/echo" >"$work/out" || die 'many at once'
    checks=$((checks + 1))
    [ "$(wc -c <"$work/out")" = 400 ] || die "not all of 400 were answered"
done

# ---- every status -------------------------------------------------------------------------------

# The table is checked row by row in codes_test.c; here it goes all the way from an actor.
while read -r number code; do
    get "$code" -d "$number" "$call/web/a/method/fail"
    says "\"code\":$number,"
    says "as I was told: $number"
    says '"errorCode":"ERR_ACTOR_INVOKE_METHOD"'
    case $code in
    503) tells 'Retry-After: 1' ;;
    *) if grep -qi '^Retry-After' "$work/head"; then die "$code has a Retry-After"; fi ;;
    esac
done <<'END'
1 503
2 504
3 408
4 500
5 503
6 503
7 502
8 508
9 413
10 404
11 404
12 404
13 409
14 403
15 400
16 503
17 500
18 503
19 500
20 502
21 500
22 500
24 500
1000 422
1004 422
END
get 422 -d 1004 "$call/web/a/method/fail"
says '"status":"APPLICATION"'
says '"kind":"FAILED"'
says '"outcome":"NOT_DONE"'
get 500 "$call/web/a/method/panic"
says '"status":"PANIC"'
get 404 "$call/webb/a/method/echo"
says 'there are: web, vault, plain, bell, egg, frail'
get 404 "$call/web/a/method/ehco"
says 'has no method'
says '"outcome":"NOT_DONE"'
get 504 -H 'Troupe-Timeout: 50ms' -d 20000 "$call/web/slow/method/late"
says '"outcome":"UNKNOWN"'

# ---- what is refused ----------------------------------------------------------------------------

for name in a%2Fb a%2fb a%5Cb %00 a%00b a%0d%0a . .. %2e%2E a% a%4g %ff %c0%ae; do
    get 400 "$call/web/$name/method/echo"
    says '"errorCode":"ERR_BAD_REQUEST"'
    get 400 "$call/web/a/method/$name"
done
get 400 "$call/web/$(printf '%01025d' 1)/method/echo"
get 200 -d x "$call/web/$(printf '%01024d' 1)/method/echo"
get 400 "$call/web/$(printf '%09000d' 1)/method/echo"
get 404 "$at/v1.0/state/store/key"
says '"errorCode":"ERR_NOT_FOUND"'
get 404 "$at/"
get 405 -X PATCH -d x "$call/web/a/method/echo"
tells 'Allow: POST, PUT, GET, DELETE'
get 405 -d x "$at/v1.0/healthz"
for timeout in soon 5 s -1s 1.5s 0 0ms never 1d1ns 1441m 1S 99999999999999999999s; do
    get 400 -H "Troupe-Timeout: $timeout" "$call/web/a/method/echo"
done
for timeout in 30000ms 1m30s 1d 1440m; do
    get 200 -H "Troupe-Timeout: $timeout" -d x "$call/web/a/method/echo"
done
get 400 -H "Content-Type: $(printf '%0256d' 1)" -d x "$call/web/a/method/echo"
cat "$work/bytes" "$work/bytes" >"$work/large"
get 413 -H 'Expect:' --data-binary "@$work/large" "$call/web/a/method/echo"
says 'max_message'
get 413 -H 'Transfer-Encoding: chunked' --data-binary "@$work/large" "$call/web/a/method/echo"
says 'max_message'
get 403 -H 'Origin: http://evil.example' -d x "$call/web/a/method/echo"
says 'http_token'
get 403 -H 'Sec-Fetch-Site: cross-site' "$call/web/a/method/echo" # a picture, a link
get 200 -H 'Sec-Fetch-Site: none' -d x "$call/web/a/method/echo"
get 403 -H 'Host: evil.example:80' -d x "$call/web/a/method/echo"
get 200 -H 'Host: localhost:80' -d x "$call/web/a/method/echo"
counts http_refused 43

# ---- once ---------------------------------------------------------------------------------------

for amount in 5 6; do
    get 200 -H 'Idempotency-Key: k1' -d "{\"amount\":$amount}" "$call/vault/v/method/add"
    says '{"total":5}'
done
get 200 -H 'Idempotency-Key: k2' -d '{"amount":6}' "$call/vault/v/method/add"
says '{"total":11}'
get 400 -H 'Idempotency-Key: k1' -d x "$call/web/a/method/echo"
says 'persist every turn'
get 400 -H "Idempotency-Key: $(printf '%065d' 1)" -d '{"amount":5}' "$call/vault/v/method/add"
get 400 -H 'Idempotency-Key;' -d '{"amount":5}' "$call/vault/v/method/add"

# ---- calls under way are counted, and wait for nobody ---------------------------------------------

stop
serve --http_calls 2
call="$at/v1.0/actors"
parked() { troupe ps --json | grep -qF "\"$1\""; }
for name in one two; do
    curl -s -d 4000 "$call/web/$name/method/late" -o "$work/late.$name" &
    until_true parked "web/$name"
done
get 503 -d x "$call/web/a/method/echo"
says '"status":"BUSY"'
tells 'Retry-After: 1'
# Nobody here knows what became of an earlier one with the same key: no code that asks for it again.
get 502 -H 'Idempotency-Key: k1' -d '{"amount":5}' "$call/vault/v/method/add"
says '"status":"BUSY"'
says '"outcome":"UNKNOWN"'
get 204 "$at/v1.0/healthz" # no page waits for them
counts http_busy 2
until_true grep -q late "$work/late.one"
until_true grep -q late "$work/late.two"
get 200 -d x "$call/web/a/method/echo"

# ---- limits -------------------------------------------------------------------------------------

stop
serve --http_type_calls 1
call="$at/v1.0/actors"
curl -s -d 4000 "$call/web/one/method/late" -o "$work/late.three" &
until_true parked web/one
get 503 -d x "$call/web/a/method/echo"
says 'http_type_calls'
get 200 -d '{"amount":1}' "$call/vault/v/method/add" # another type
until_true grep -q late "$work/late.three"
get 200 -d x "$call/web/a/method/echo"
stop

# The limits are for a minute of calls at this pace, whatever else the machine does.
codes() { # COUNT CURL-ARGUMENT...: how many of so many were let through
    count=$1
    shift
    for _ in $(seq "$count"); do
        curl -s -o "$work/out" -D "$work/head" -w '%{http_code}\n' "$@"
    done >"$work/codes"
    checks=$((checks + 1))
    through=$(grep -c '^200' "$work/codes")
    [ "$(grep -c '^200\|^429' "$work/codes")" = "$count" ] || die "another code: $(sort -u "$work/codes")"
}
held_back() { # LEAST: so many were let through at least, and not all
    [ "$through" -ge "$1" ] && [ "$through" -lt "$count" ] || die "$through of $count were let through"
}
serve --http_rate_type 2
call="$at/v1.0/actors"
codes 40 -d x "$call/web/a/method/echo"
held_back 2
counts http_limited 1
get 200 -d '{"amount":1}' "$call/vault/v/method/add" # another type
many() { # COUNT CODE CURL-ARGUMENT...: until that code comes
    for _ in $(seq "$1"); do
        code=$(curl -s -D "$work/head" -o "$work/out" -w '%{http_code}' "$3" "$4" "$5" "$6" "$7")
        [ "$code" = "$2" ] && return
    done
    die "no $2 in $1"
}
many 40 429 -d x -H 'Accept: */*' "$call/web/a/method/echo"
says '"errorCode":"ERR_RATE"'
says '"status":"BUSY"'
says '"outcome":"NOT_DONE"'
tells 'Retry-After: 1'
many 40 429 -d x -H 'Idempotency-Key: k' "$call/web/a/method/echo"
says '"outcome":"UNKNOWN"' # an earlier one with that key may be under way
stop
serve --http_rate_partition 2
call="$at/v1.0/actors"
codes 40 -d x "$call/web@eu/a/method/echo"
held_back 2
get 200 -d x "$call/web@us/a/method/echo"
get 200 -d x "$call/web/a/method/echo"
stop
serve --http_rate_caller 2
call="$at/v1.0/actors"
codes 40 -d x "$call/web/a/method/echo"
held_back 2
for _ in 1 2 3 4 5 6; do get 200 "$at/readyz"; done # health is not counted
get 200 --interface 127.0.0.2 -d x "$call/web/a/method/echo" # another caller
stop
serve

# ---- pages --------------------------------------------------------------------------------------

get 204 "$at/v1.0/healthz/outbound"
get 200 "$at/livez"
get 200 "$at/readyz"
says ready
get 200 "$at/v1.0/metadata"
says '"type":"web"'
says '"id":"node-1"'
get 200 -I "$at/readyz"
get 200 "$at/metrics"
tells 'Content-Type: text/plain; version=0.0.4'
says 'troupe_http_requests_total '
if command -v promtool >/dev/null; then promtool check metrics <"$work/out" || die 'promtool'; fi
stop

# ---- tokens -------------------------------------------------------------------------------------

serve --http_token 's3cret value'
call="$at/v1.0/actors"
get 401 -d x "$call/web/a/method/echo"
says 'invalid api token'
tells 'WWW-Authenticate: Bearer'
get 401 -H 'Authorization: Bearer s3cret' -d x "$call/web/a/method/echo"
get 401 -H 'dapr-api-token: s3cret valuex' -d x "$call/web/a/method/echo"
get 401 "$at/v1.0/metadata"
get 401 "$at/metrics"
get 401 "$at/nowhere"
get 200 -H 'Authorization: Bearer s3cret value' -d x "$call/web/a/method/echo"
get 200 -H 'dapr-api-token: s3cret value' -H 'Origin: http://a.example' -d x "$call/web/a/method/echo"
get 204 "$at/v1.0/healthz"
get 200 "$at/readyz"
# Who guesses is not listened to for a while, whatever he shows; others are.
curl -s -o /dev/null -w '%{http_code}\n' -H 'dapr-api-token: guess' "$call/web/a/method/echo?[1-200]" >"$work/codes"
checks=$((checks + 1))
[ "$(sort -u "$work/codes" | paste -s -d ' ')" = '401 429' ] || die "guesses get $(sort "$work/codes" | uniq -c)"
knows() { [ "$(curl -s -o "$work/out" -w '%{http_code}' -H 'dapr-api-token: s3cret value' -d x "$call/web/a/method/echo" "$@")" = 200 ]; }
knows --interface 127.0.0.2 || die 'another address pays for the guesses'
until_true knows
for _ in $(seq 30); do get 401 "$at/metrics"; done # without a token nothing is guessed
counts http_limited 1
stop

# ---- addresses ----------------------------------------------------------------------------------

run 2 "$build/trouped" --load "$work/web.so" --http 0.0.0.0:0 --http_allow_clear_text
has err 'http_token'
run 2 "$build/trouped" --load "$work/web.so" --http nonsense --http_allow_open --http_allow_clear_text
has err 'is not an address'
run 2 "$build/trouped" --load "$work/web.so" --http 127.0.0.1:0 --http_bytes 64KiB
has err 'max_message'
serve
run 1 "$build/trouped" --load "$work/web.so" --socket "$work/other.sock" --http "127.0.0.1:$port"
has err 'cannot listen'
stop
run 2 "$build/trouped" --load "$work/web.so" --http 0.0.0.0:0 --http_token x
has err 'without encryption'
start --load "$work/web.so" --http 0.0.0.0:0 --http_allow_open --http_allow_clear_text
stop
start --load "$work/web.so"
if grep -q http "$work/daemon.out"; then die 'it listens though nobody asked for it'; fi
stop
echo "$checks checks"
