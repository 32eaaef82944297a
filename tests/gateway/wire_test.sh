#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What no well-behaved client sends: pipelined, half-sent, slow, malformed and enormous requests, a
# thousand connections that say nothing, callers that go away; and that the end of a node answers what
# is under way and refuses the rest.
#
# CC compiles the module and the client.
set -u
. "$(dirname "$0")/gateway.sh"
module web
"$compiler" -D_GNU_SOURCE -g "$source/tests/e2e/raw_http.c" -o "$work/raw_http" ||
    die 'the client does not compile'

# raw COUNT TEXT: sends the text, of printf, and keeps what comes until so many answers are whole.
raw() {
    printf "$2" | "$work/raw_http" "$port" "$1" >"$work/out" 2>"$work/err" ||
        die "the client: $(cat "$work/err")"
}
post() { # METHOD BODY-SIZE: the head of a call
    printf 'POST /v1.0/actors/web/a/method/%s HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: %s\\r\\n\\r\\n' \
        "$1" "$2"
}
# hold hold COUNT PATH CODE: connections that are open and silent; let_go: each asks until it gets the
# code. hold reset PATH: one that asks; let_go: it is reset.
hold() {
    rm -f "$work/go"
    mkfifo "$work/go"
    "$work/raw_http" "$port" "$@" <"$work/go" >"$work/held" 2>"$work/err" &
    holder=$!
    exec 9>"$work/go"
    until_true grep -q held "$work/held"
}
says_held() {
    checks=$((checks + 1))
    grep -qx "served $1" "$work/held" || die "not $1 were served: $(cat "$work/held")"
}
let_go() {
    echo go >&9
    wait $holder || die "the client: $(cat "$work/err")"
    exec 9>&-
}
answers() { # CODE...: what came are these, in this order, and nothing else
    checks=$((checks + 1))
    got=$(grep -o 'HTTP/1.1 [0-9]*' "$work/out" | cut -d ' ' -f 2 | paste -s -d ' ')
    [ "$got" = "$*" ] || die "the codes are '$got', not '$*'"
}
refused() { # by a code, or by an end without one, and nothing was served
    checks=$((checks + 1))
    if grep -aq 'HTTP/1.1 2' "$work/out"; then die 'it was served'; fi
    grep -aq 'HTTP/1.1 4\|(closed)' "$work/out" || die 'it was not refused'
}
is_whole() { # the daemon still serves
    get 200 -d fine "$at/v1.0/actors/web/a/method/echo"
    says fine
}

serve --http_timeout 2s --max_message 1MiB

# ---- pipelined: one after the other, each answered, in order ---------------------------------------

raw 4 "$(post echo 3)one$(post late 3)200$(post echo 3)two$(post nope 1)x"
answers 200 200 200 404
[ "$(grep -o 'one\|late\|two' "$work/out" | head -n 3 | paste -s -d ' ')" = 'one late two' ] || die 'the order'
raw 2 "$(post nope 5)abcde$(post echo 2)ok" # the body of a refused call is no request
answers 404 200
raw 2 "PATCH /v1.0/actors/web/a/method/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde$(post echo 2)ok"
answers 405 200

# ---- malformed ------------------------------------------------------------------------------------

head='POST /v1.0/actors/web/a/method/echo HTTP/1.1\r\nHost: localhost\r\n'
raw 0 'nonsense\r\n\r\n'
refused
raw 0 "${head}Content-Length: x\r\n\r\n"
refused
raw 0 "${head}Content-Length: 99999999999999999999999\r\n\r\n"
refused
raw 0 "${head}Content-Length: -1\r\n\r\nGET /livez HTTP/1.1\r\n\r\n"
refused
raw 0 "${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"
refused
# Two ways to say the size: whoever stood in front may have taken the other one (request smuggling).
raw 0 "${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
refused
# So do a field twice, also in the same words, and codings that are not the one that is known. The
# request behind such a one is not served.
follower='GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'
for fields in 'Content-Length: 4\r\nContent-Length: 5' 'Content-Length: 4\r\nContent-Length: 4' \
    'Content-Length: 4, 4' 'Content-Length: +4' 'Content-Length: 0x4' 'Content-Length:' \
    'Transfer-Encoding: identity' 'Transfer-Encoding: gzip, chunked' 'Transfer-Encoding: xchunked' \
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked' \
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity' \
    'transfer-encoding: chunked\r\nTRANSFER-ENCODING: chunked' \
    'Content-Length: 4\r\nHost: elsewhere' 'Content-Length: 4\r\nTroupe-Timeout: 1s\r\nTroupe-Timeout: 2s' \
    'Content-Length: 4\r\nIdempotency-Key: a\r\nIdempotency-Key: b'; do
    raw 0 "${head}$fields\r\n\r\n0\r\n\r\n$follower"
    refused
    has out 'HTTP/1.1 400'
done
raw 0 'POST /v1.0/actors/web/a/method/echo HTTP/1.1\r\nContent-Length: 1\r\n\r\nx' # no Host
refused
raw 0 "GET /v1.0/actors/web/\0/method/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
refused
is_whole

# ---- anything ---------------------------------------------------------------------------------------

# fuzz SEED TEXT: changed in many ways, it gets an answer or an end, and nothing breaks.
fuzz() {
    printf "$2" | "$work/raw_http" "$port" fuzz 500 "$1" >"$work/out" 2>"$work/err" || die "seed $1: $(cat "$work/err")"
    checks=$((checks + 1))
    if grep -v '^000\|^2..\|^4..\|^503\|^505' "$work/out" >"$work/odd"; then die "seed $1: $(cat "$work/odd")"; fi
    grep -q '^4' "$work/out" || die "seed $1: nothing was refused"
}
fuzz 1 "$(post echo 3)one$(post echo 3)two"
fuzz 2 "${head}Transfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n3\r\none\r\n0\r\n\r\n"
fuzz 3 'GET /v1/troupe/actors?type=web&pattern=%%2A&limit=3&cursor=1.2.3 HTTP/1.1\r\nHost: localhost\r\n\r\n'
fuzz 4 'GET /v1.0/actors/vault/a/state/state HTTP/1.1\r\nHost: localhost:80\r\nIf-None-Match: W/"1", "2"\r\n\r\n'
fuzz 5 "${head}Content-Length: 2\r\nIdempotency-Key: k\r\nTroupe-Timeout: 1m30s\r\nAuthorization: Bearer x\r\nOrigin: null\r\n\r\n{}"
fuzz 6 'PUT /v1.0/actors/bell/a/reminders/ring HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 49\r\n\r\n{"dueTime":"1h","period":"R3/PT1M","data":[1,2]} '
is_whole

# ---- enormous -------------------------------------------------------------------------------------

long=$(printf '%040000d' 1)
raw 0 "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: $long\r\n\r\n"
answers 431
raw 0 "GET /$long HTTP/1.1\r\nHost: localhost\r\n\r\n"
refused
raw 1 "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: $(printf '%020000d' 1)\r\n\r\n"
answers 200

# ---- half-sent and slow -----------------------------------------------------------------------------

for part in 'POST /v1.0/act' "$head" "$(post echo 10)abc" "${head}Transfer-Encoding: chunked\r\n\r\n5\r\nab"; do
    raw 0 "$part"
    has out '(closed)'
    if grep -q 'HTTP/1.1 2' "$work/out"; then die 'half a request was served'; fi
done
counts http_cut 1
is_whole

# ---- a thousand that say nothing ----------------------------------------------------------------------

stop
# The daemon takes as many open files as it may have, whatever it was started with.
allowed=$(ulimit -Sn)
ulimit -Sn 300
serve
ulimit -Sn "$allowed"
if grep -q http_connections "$work/daemon.err"; then die 'the limit could be raised'; fi

# One that is announced as too large is not waited for.
raw 1 "${head}Content-Length: 9999999\r\n\r\n"
answers 413
# A body without end is not read for ever.
{
    printf "${head}Transfer-Encoding: chunked\r\n\r\n"
    for _ in 1 2 3 4 5 6; do
        printf '100000\r\n'
        head -c 1048576 /dev/zero
        printf '\r\n'
    done
} | "$work/raw_http" "$port" 0 >"$work/out" 2>"$work/err" || die "the client: $(cat "$work/err")"
has out '(closed)'
counts http_cut 1
is_whole

hold hold 1000 /livez 200
is_whole
let_go
says_held 1000

# ---- callers that go away, answers that nobody reads -----------------------------------------------------

# They would be there for ten minutes, longer than until_true waits.
parked() { troupe ps --json | grep -qF "\"web/$1\""; }
nobody_parked() { ! troupe ps --json | grep -q '"late"'; }
for name in one two three; do
    curl -s -H 'Troupe-Timeout: 10m' -d 600000 "$at/v1.0/actors/web/$name/method/late" >/dev/null 2>&1 &
    caller=$!
    until_true parked $name
    kill -9 $caller
done
until_true nobody_parked
counts http_gone 3
hold reset /v1.0/actors/web/four/method/late
until_true parked four
let_go
until_true nobody_parked
counts http_gone 4
counts cancelled 4
# What waits behind another call has not begun, and does not.
has_gone() { [ "$(troupe stats --json | grep -o '"http_gone":[0-9]*' | cut -d : -f 2)" -ge "$1" ]; }
curl -s -H 'Troupe-Timeout: 10m' -d 600000 "$at/v1.0/actors/web/busy/method/late" >/dev/null 2>&1 &
first=$!
until_true parked busy
curl -s -H 'Content-Type: application/json' -d '{"amount":5}' "$at/v1.0/actors/web/busy/method/add" >/dev/null 2>&1 &
second=$!
waits() { troupe stats --json | grep -q '"queued":1[,}]'; }
until_true waits
kill -9 $second
until_true has_gone 5
kill -9 $first
until_true has_gone 6
get 200 -H 'Content-Type: application/json' -d '{"amount":1}' "$at/v1.0/actors/web/busy/method/add"
says '{"total":1}'
# Callers that flee before their connection is suspended.
stop
serve --spin 10ms
"$work/raw_http" "$port" flee 200 /v1.0/actors/web/five/method/late || die 'the client'
until_true has_gone 1
until_true nobody_parked
is_whole
stop
serve

# ---- fewer open files than connections -------------------------------------------------------------------

stop
cat >"$work/trouped" <<END
#!/bin/sh
ulimit -Sn 600 && ulimit -Hn 600 && exec "$build/trouped" "\$@"
END
chmod +x "$work/trouped"
build=$work serve
checks=$((checks + 1))
grep -q 'room for 344 connections over HTTP, not for 10000' "$work/daemon.err" || die 'the limit was not told'
hold hold 340 /livez 200
let_go
says_held 340
is_whole
stop
serve

# ---- the end ----------------------------------------------------------------------------------------------

hold hold 1 /v1.0/actors/web/b/method/echo 503
curl -s -d 3000 -o "$work/late" -w '%{http_code}' "$at/v1.0/actors/web/one/method/late" >"$work/code" &
caller=$!
until_true parked one
kill -TERM "$daemon"
let_go
says_held 1
if curl -s "$at/livez" >"$work/out" 2>"$work/err"; then die 'a closing node took a connection'; fi
wait $caller || die 'the caller of a closing node got no answer'
[ "$(cat "$work/code") $(cat "$work/late")" = '200 late' ] || die "$(cat "$work/code" "$work/late")"
wait "$daemon" || die "trouped ended with $?"
daemon=''
echo "$checks checks"
