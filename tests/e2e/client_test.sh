#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A program that is no member calls actors by the client library: at the admin socket, in clear text
# with a token, by TLS. What went wrong it is told by status, outcome and words, as callers within a
# node are; a node that comes back is called again, one that is silent given up; signals do not reach it.
set -u
. "$(dirname "$0")/daemon.sh"
command -v openssl >/dev/null || { echo 'openssl is not installed'; exit 77; }
export COUNTER_FILE="$work/counts"
module counter
module tally
module purse
# A library with a sanitizer inside wants one in its program.
inside=$(nm -D "$build/libtroupe_client.so" | sed -n 's/.* U __\([at]san\)_init.*/\1/p')
case $inside in
    asan) sanitize=-fsanitize=address,undefined ;;
    tsan) echo 'the program would be of another compiler'; exit 77 ;;
    *) sanitize='' ;;
esac
"$compiler" -std=gnu11 -D_GNU_SOURCE $sanitize -I "$source/include" -o "$work/client" "$source/tests/e2e/client.c" \
    -L "$build" -ltroupe_client -ltroupe -Wl,-rpath,"$build" || die 'client.c does not compile'

# calls LINE...: what they answered, a line each.
calls() {
    for line in "$@"; do echo "$line"; done >"$work/in"
    "$work/client" $where <"$work/in" >"$work/out" 2>"$work/err" || die "the client ends: $?"
}
# nth N TEXT: the Nth answer begins so.
nth() {
    checks=$((checks + 1))
    case $(sed -n "$1p" "$work/out") in "$2"*) ;; *) die "answer $1 is not: $2" ;; esac
}

# ---- at the socket ---------------------------------------------------------------------------------

start --load "$work/counter.so" --load "$work/tally.so"
where="socket $TROUPE_SOCKET"
calls 'ask tally/1 add 3' 'tell tally/1 add 4' 'ask tally/1 show' 'ask counter/1 echo two words' \
    'bytes counter/1 echo' 'ask tally/1 nonsense' 'ask nosuch/1 show' 'large counter/1 echo' \
    'misuse counter/1 echo' 'once k counter/1 count' 'ask tally/1 show'
nth 1 'OK DONE '
nth 2 'OK DONE '
nth 3 'OK DONE text/plain; charset=utf-8 7'
nth 4 'OK DONE text/plain; charset=utf-8 two words'
nth 5 'the same'
nth 6 'NO_METHOD NOT_DONE '
nth 7 'NO_TYPE NOT_DONE '
nth 8 'TOO_LARGE NOT_DONE '
nth 9 'USAGE NOT_DONE '
nth 10 'USAGE NOT_DONE ' # of a type that does not persist every turn
nth 11 'OK DONE text/plain; charset=utf-8 7'
"$work/client" socket "$work/none" >"$work/out" </dev/null && die 'it calls nobody'
nth 1 'UNAVAILABLE no node answers'
for nowhere in socket address; do
    "$work/client" $nowhere '' >"$work/out" </dev/null && die 'it calls an empty name'
    nth 1 'USAGE give an address, or a socket'
done
calls 'context counter/1 echo' 'long counter/1 echo'
nth 1 'USAGE NOT_DONE a remote knows of the options'
nth 2 'USAGE NOT_DONE a remote'"'"'s calls have a time-out of 24 hours at most'
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"

# Keys of calls once are bytes: two that are no text are two.
start --load "$work/counter.so" --load "$work/tally.so" --load "$work/purse.so" --storage "sqlite:$work/state.db"
one=$(printf '\376') two=$(printf '\377')
calls "once $one purse/1 put x" "once $two purse/1 put x" "once $one purse/1 put x" "once text purse/1 put x"
nth 1 'OK DONE text/plain; charset=utf-8 1'
nth 2 'OK DONE text/plain; charset=utf-8 2'
nth 3 'OK DONE text/plain; charset=utf-8 1'
nth 4 'OK DONE text/plain; charset=utf-8 3'

# ---- a node that goes, and comes back --------------------------------------------------------------

# say LINE; answers N TEXT: of one client that goes on.
say() { echo "$1" >&8; }
answers() { until_true eval "[ \$(wc -l <'$work/out') -ge $1 ]" && nth "$@"; }
mkfifo "$work/pipe"
"$work/client" $where <"$work/pipe" >"$work/out" 2>"$work/err" &
client=$!
exec 8>"$work/pipe"
say 'ask tally/2 add 1'
answers 1 'OK DONE'
say 'ask counter/2 wait_long'
is_asked() { [ "$(troupe ps --json | grep -c wait_long)" = 1 ]; }
until_true is_asked
kill -9 "$daemon"
answers 2 'UNKNOWN UNKNOWN the node closed the connection before it answered'
say 'ask tally/2 add 1'
answers 3 'UNAVAILABLE NOT_DONE no node answers'
start --load "$work/counter.so" --load "$work/tally.so" 8>&-
say 'ask tally/2 add 1'
answers 4 'OK DONE'
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"
start --load "$work/counter.so" --load "$work/tally.so" 8>&-
say 'ask tally/2 add 1' # its connection has ended, and nothing was sent by it
answers 5 'OK DONE'
# One that is silent is given up, and called anew.
kill -STOP "$daemon"
say 'soon tally/2 show'
timeout 20 "$build/troupe" ask tally/2 show --timeout 200ms 2>"$work/silent"
[ $? -eq 1 ] || die 'the tool waits for a silent node'
grep -qF 'UNKNOWN, outcome UNKNOWN: the node is silent' "$work/silent" || die 'the tool tells another reason'
answers 6 'UNKNOWN UNKNOWN the node is silent'
kill -CONT "$daemon"
say 'ask tally/2 add 1'
answers 7 'OK DONE'
exec 8>&-
wait $client || die "the client ended with $?"
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"

# ---- over the network ------------------------------------------------------------------------------

echo 'a long secret' >"$work/token"
echo 'another' >"$work/other"
start --load "$work/tally.so" --remote 127.0.0.1:0 --remote-token "$work/token"
address=$(sed -n 's/.*--connect \(.*\)$/\1/p' "$work/daemon.out")
where="address $address"
export TROUPE_TOKEN_FILE="$work/token"
calls 'ask tally/1 add 5' 'tell tally/1 add 1' 'ask tally/1 show'
nth 3 'OK DONE text/plain; charset=utf-8 6'
export TROUPE_TOKEN_FILE="$work/other"
calls 'ask tally/1 add 5'
nth 1 'DENIED NOT_DONE another token'
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"
unset TROUPE_TOKEN_FILE

quietly() { "$@" >"$work/openssl" 2>&1 || { cat "$work/openssl"; die "$*"; }; }
quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=node-1 \
    -keyout "$work/key.pem" -out "$work/paper.pem"
start --load "$work/tally.so" --load "$work/counter.so" --remote 127.0.0.1:0 --tls_certificate "$work/paper.pem" \
    --tls_key "$work/key.pem" --tls_authority "$work/paper.pem" --cluster_token a-token
address=$(sed -n 's/.*--connect \(.*\)$/\1/p' "$work/daemon.out")
where="address $address"
export TROUPE_TLS_CERTIFICATE="$work/paper.pem" TROUPE_TLS_KEY="$work/key.pem" TROUPE_TLS_AUTHORITY="$work/paper.pem"
"$work/client" $where </dev/null >"$work/out" && die 'it takes another node'
nth 1 'UNAVAILABLE 127.0.0.1:'
has out 'the certificate there is not of 127.0.0.1'
export TROUPE_TLS_NAME=node-1
calls 'ask tally/1 add 5' 'ask tally/1 show' 'rattled counter/1 wait_long' 'rattled tally/1 show'
nth 2 'OK DONE text/plain; charset=utf-8 5'
nth 3 'TIMEOUT '
nth 4 'OK DONE '
kill -STOP "$daemon"
run 3 timeout 30 "$build/troupe" ping --connect "$address"
has err 'TLS: the other end is silent'
kill -CONT "$daemon"

# The example does the same.
if [ -x "$build/examples/example_far" ]; then
    run 0 env TROUPE_CONNECT="$address" "$build/examples/example_far" tally/1 show
    [ "$(cat "$work/out")" = 5 ] || die 'the example'
    run 0 env TROUPE_CONNECT= "$build/examples/example_far" tally/1 show # at $TROUPE_SOCKET
    [ "$(cat "$work/out")" = 5 ] || die 'the example at the socket'
fi
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"
daemon=''
echo "$checks checks"
