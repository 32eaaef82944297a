#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every path, method and status of docs/openapi.yaml is answered so by a node: what is to be tried
# stands in the file (x-try), and openapi_test lists it.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
module web
"$compiler" -std=gnu11 -D_GNU_SOURCE -o "$work/raw_http" "$source/tests/e2e/raw_http.c" || die 'raw_http.c'
"$build/tests/gateway/openapi_test" list >"$work/list" || die 'there is no list'
cd "$work" || exit 1
head -c 1100000 /dev/zero >large
printf '{"data":"%02000d"}' 1 >long.json
parked() { troupe ps --json | grep -qF '"web/busy"'; }

# stream CODE PATH: one that does not end by itself.
stream() {
    checks=$((checks + 1))
    code=$(curl -s -m 1 -D head -o out -w '%{http_code}' "$at$2")
    [ $? = 28 ] && [ "$code" = "$1" ] || die "$code, not a stream with $1: $2"
    tells 'Content-Type: text/event-stream'
}

# try NODE: asks the node at $at for all that is to be tried of such a one.
try() {
    grep " $1 " list >tries || die "nothing is to be tried of $1"
    while read -r method status node path arguments; do
        [ "$node" = "$1" ] || continue
        eval "set -- $arguments"
        case $arguments in
        '-m 1') stream "$status" "$path" ;;
        *) get "$status" -X "$method" "$at$path" "$@" ;;
        esac
        set -- "$node"
    done <tries
}

# ---- any ------------------------------------------------------------------------------------------

serve --max_message 1MiB --storage "sqlite:$work/state.db"
get 200 -d '{"amount":5}' "$at/v1.0/actors/vault/a/method/add"
get 204 -d '{"dueTime":"5h"}' "$at/v1.0/actors/bell/set/reminders/kept"
get 200 -d x "$at/v1.0/actors/web/a/method/echo"
try any
stop

# ---- locked, full ---------------------------------------------------------------------------------

serve --http_token secret
try locked
stop
serve --http_calls 1
curl -s -d 20000 "$at/v1.0/actors/web/busy/method/late" >/dev/null 2>&1 &
caller=$!
until_true parked
try full
kill $caller
kill -9 "$daemon"
wait "$daemon" 2>/dev/null

# ---- limited: the second of two within a second -----------------------------------------------------

serve --http_rate_type 1
asks() { [ "$(curl -s -o out -w '%{http_code}' -X "$1" "$at$3")" = "$2" ]; }
grep ' limited ' list >limited || die 'nothing is to be tried of a node with limits'
while read -r method status _ path; do
    until_true asks "$method" "$status" "$path"
    checks=$((checks + 1))
done <limited
stop

# ---- closing: who is connected already is told so ---------------------------------------------------

grep ' closing ' list >closing || die 'nothing is to be tried of a node that closes'
while read -r _ status _ path; do
    serve
    curl -s -d 2000 "$at/v1.0/actors/web/busy/method/late" >/dev/null 2>&1 &
    until_true parked
    rm -f go
    mkfifo go
    ./raw_http "$port" hold 1 "$path" "$status" <go >held 2>err &
    holder=$!
    exec 9>go
    until_true grep -q held held
    kill -TERM "$daemon"
    echo go >&9
    wait $holder || die "the client: $(cat err)"
    exec 9>&-
    checks=$((checks + 1))
    grep -qx 'served 1' held || die "a node that closes does not answer $status to $path"
    wait "$daemon" || die "trouped ended with $?"
    daemon=''
done <closing
echo "$checks checks"
