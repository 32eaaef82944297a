#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The tool calls nodes over the network, without being or hosting anything: by TLS with certificates
# of one authority, or on this machine in clear text with a token. What changes a node itself does
# not come in that way, nobody without a certificate or the token does, and a reload changes both. Who
# does not show who it is has no place for long, however slowly it speaks, and is in the log.
set -u
. "$(dirname "$0")/daemon.sh"
module tally
"$compiler" -std=gnu11 -D_GNU_SOURCE -o "$work/raw_http" "$source/tests/e2e/raw_http.c" || die 'raw_http.c'
command -v openssl >/dev/null || { echo 'openssl is not installed'; exit 77; }
papers="$work/papers"
mkdir "$papers" "$work/run"
chmod 700 "$work/run"

# authority NAME; paper NAME AUTHORITY: NAME.pem and NAME.key.
quietly() { "$@" >"$work/openssl" 2>&1 || { cat "$work/openssl"; die "$*"; }; }
authority() {
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj "/CN=$1" -keyout "$papers/$1.key" -out "$papers/$1.pem"
}
paper() {
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$papers/$1.key" -out "$papers/$1.csr"
    quietly openssl x509 -req -in "$papers/$1.csr" -CA "$papers/$2.pem" -CAkey "$papers/$2.key" \
        -CAcreateserial -days 2 -out "$papers/$1.pem" -extfile "$papers/names"
}
authority shop
authority thief
printf 'subjectAltName = DNS:localhost, IP:127.0.0.1\n' >"$papers/names"
paper node-1 shop
: >"$papers/names"
paper me shop
paper node-2 shop
paper stranger thief

# node NAME ARGUMENT...: a member of the cluster, once it serves; its address for the tool.
second=''
node() {
    name=$1
    shift
    : >"$work/$name.out"
    "$build/trouped" --name "$name" --load "$work/tally.so" --socket "$work/run/$name.sock" \
        --cluster "file:$work/cluster" --tls_certificate "$papers/$name.pem" \
        --tls_key "$papers/$name.key" --tls_authority "$papers/shop.pem" \
        --remote 127.0.0.1:0 --shards 1 "$@" >"$work/$name.out" 2>"$work/daemon.err" &
    process=$!
    until_true grep -q '^trouped: ' "$work/$name.out"
    address=$(sed -n 's/.*--connect \(.*\)$/\1/p' "$work/$name.out")
}
clean_both() {
    if [ -n "$second" ]; then kill -9 "$second" 2>/dev/null; fi
    clean
}
trap clean_both EXIT
node node-1
daemon=$process
one=$address
node node-2 --placement prefer-local
second=$process
two=$address

by() { echo "--certificate $papers/$1.pem --key $papers/$1.key --authority $papers/${2:-shop}.pem"; }
far="--connect $one $(by me)"
has_two() { troupe nodes --connect "$one" $(by me) | grep -c ' active ' | grep -qx 2; }
until_true has_two

# A handshake of TLS that comes byte by byte, meanwhile.
printf '\026\003\001\002\000\001' | "$work/raw_http" "${one##*:}" drip >"$work/dripped" &
dripper=$!
# is_cut: who dripped was cut when its time was over, and that was told.
is_cut() {
    wait $dripper
    seconds=$(cat "$work/dripped")
    { [ "$seconds" -ge 8 ] && [ "$seconds" -le 30 ]; } || die "it was borne for $seconds seconds"
    until_true grep -q '"event":"remote_refused".*: it has not shown who it is within 10 s' "$work/daemon.err"
    checks=$((checks + 1))
}

# ---- calls ---------------------------------------------------------------------------------------

for key in 1 2 3 4 5 6 7 8; do run 0 troupe ask tally/$key add 3 $far; done
run 0 troupe ask tally/1 add 4 --connect "$two" --server-name node-2 $(by me) # the same actor, by the other node
[ "$(cat "$work/out")" = 7 ] || die 'not the same actor'
run 0 troupe tell tally/1 add 1 $far
run 0 env TROUPE_CONNECT="$one" TROUPE_TLS_CERTIFICATE="$papers/me.pem" TROUPE_TLS_KEY="$papers/me.key" \
    TROUPE_TLS_AUTHORITY="$papers/shop.pem" "$build/troupe" ask tally/1 show --json
has out '"payload_text":"8"'
run 0 troupe lookup tally/1 $far
has out 'tally/1  node-'
run 0 troupe discover 'tally/*' $far --json
[ "$(grep -o '"actor":' "$work/out" | wc -l)" = 8 ] || die 'not all are discovered'
run 0 troupe nodes $far
has out 'node-2'
# Of the other one, too: what it does, how far it is, how it fares.
load='"load":{"cpu":[0-9.]+,"memory":[0-9.]+,"actors"'
knows_of_two() {
    troupe nodes --json $far >"$work/out" && [ "$(grep -o '"healthy":true' "$work/out" | wc -l)" = 2 ] &&
        grep -qE "\"node\":\"node-1\".*$load:8,.*\"node\":\"node-2\".*\"distance_ns\":[1-9][0-9]*,$load:0," "$work/out"
}
until_true knows_of_two
checks=$((checks + 1))
run 0 troupe stats $far
has out 'node-1, 1 shards'
run 0 troupe stats tally/1 $far --json
has out '"received":'
for command in actors view types ping ps 'where tally/1' metrics; do run 0 troupe $command $far; done
run 1 troupe ask tally/1 nonsense $far
has err 'NO_METHOD, outcome NOT_DONE'
dd if=/dev/zero bs=1000000 count=2 2>/dev/null | tr '\0' 7 >"$work/large"
run 0 troupe tell tally/big set - $far <"$work/large" # more than one block

# ---- what is not for the network -------------------------------------------------------------------

for command in shutdown drain config 'migrate tally/1 node-2' 'delete tally/1 --yes' 'state tally/1'; do
    run 2 troupe $command $far
    has err "is not for the network: it needs the node's admin socket"
done
# The node itself refuses it, too, and goes on with that connection.
printf '%s\n' '{"id":1,"do":"shutdown"}' '{"id":2,"do":"config"}' '{"do":"ping","do":"shutdown"}' nonsense \
    '{"id":4,"do":"shutdwn"}' '{"id":3,"do":"ping"}' |
    timeout 20 openssl s_client -quiet -connect "$one" -cert "$papers/me.pem" \
        -key "$papers/me.key" -CAfile "$papers/shop.pem" >"$work/out" 2>"$work/err" &
pipe=$!
until_true grep -q '"id":3,"ok":true' "$work/out"
kill $pipe 2>/dev/null
[ "$(grep -c '"status":"DENIED".*is not for the network' "$work/out")" = 2 ] || die 'not refused'
[ "$(grep -c '"status":"USAGE"' "$work/out")" = 3 ] || die 'what makes no sense is not refused'
has out '{"id":2,"ok":false'
checks=$((checks + 2))

# ---- who is not let in -----------------------------------------------------------------------------

run 1 troupe ping --connect "$one" $(by stranger) # known to be wrong when it reads
run 3 troupe ping --connect "$one" $(by me thief)
has err 'TLS: '
run 1 timeout 20 "$build/troupe" ping --connect "$one"
has err 'outcome UNKNOWN'
until_true grep -q '"event":"remote_refused"' "$work/daemon.err" # of node-2 or 1, as they share it
# Whoever has a certificate of the authority is not each node: node-2's has no address.
run 3 troupe ping --connect "$two" $(by me)
has err 'is not of 127.0.0.1; --server-name'
run 0 troupe ping --connect "$two" $(by me) --server-name node-2
run 0 env TROUPE_TLS_NAME=node-2 "$build/troupe" ping --connect "$two" $(by me)
run 3 troupe ping --connect "$one" $(by me) --server-name node-2
has err 'is not of node-2'
run 0 troupe ping --connect "localhost:${one##*:}" $(by me)
run 2 troupe ping --connect "$one" --certificate "$papers/me.pem"
has err 'one of them is missing'
run 2 troupe ping --connect "$one" --certificate "$papers/none" --key "$papers/me.key" --authority "$papers/shop.pem"
has err 'tls_certificate: '
run 2 troupe ping --connect nowhere
has err 'is no address'
run 3 troupe ping --connect 127.0.0.1:1 $(by me)
has err 'no node answers at 127.0.0.1:1'
for address in 0.0.0.0:0 127.0.0.1:0; do
    run 2 "$build/trouped" --load "$work/tally.so" --remote $address
    has err 'remote: '
done
run 2 "$build/trouped" --load "$work/tally.so" --remote 0.0.0.0:0 --remote-token "$papers/me.key"
has err 'without encryption'
run 2 "$build/trouped" --load "$work/tally.so" --remote 127.0.0.1:0 --tls_certificate '${env:HOME}/a.pem'
has err 'not references'

is_cut
# Strangers do not fill the log: ten lines a second, and then how many were left out.
for _ in $(seq 40); do troupe ping --connect "$one" >/dev/null 2>&1 & done
left_out() {
    troupe ping --connect "$one" >/dev/null 2>&1
    grep -q '"event":"remote_refused","suppressed":[1-9]' "$work/daemon.err"
}
until_true left_out

# ---- the end of a node: who waits gets its answer ----------------------------------------------------

kill "$second"
wait "$second" || die "node-2 ended with $?"
second=''
run 0 troupe ask tally/9 add 1 $far
kill "$daemon"
wait "$daemon" || die "node-1 ended with $?"
daemon=''

# ---- a token, and another one -----------------------------------------------------------------------

echo 'a long secret' >"$work/token"
export TROUPE_SOCKET="$work/run/node.sock"
printf 'modules: [tally.so]\nremote: 127.0.0.1:0\nremote_token: token\n' >"$work/node.yaml"
start --config "$work/node.yaml"
one=$(sed -n 's/.*--connect \(.*\)$/\1/p' "$work/daemon.out")
run 0 troupe ask tally/1 add 1 --connect "$one" --token-file "$work/token"
run 1 troupe ask tally/1 add 1 --connect "$one"
has err 'DENIED, outcome NOT_DONE: another token'
echo 'a long secres' >"$work/other"
run 1 troupe ask tally/1 add 1 --connect "$one" --token-file "$work/other"
has err 'DENIED'
cp "$work/token" "$work/before"
cp "$work/other" "$work/token"
run 0 troupe config --reload
run 1 troupe ping --connect "$one" --token-file "$work/before"
run 0 troupe ping --connect "$one" --token-file "$work/other"
: >"$work/token"
run 1 troupe config --reload
has err 'a token has 1 to 256 bytes'
run 0 env TROUPE_TOKEN_FILE="$work/other" "$build/troupe" ask tally/1 show --connect "$one"
[ "$(cat "$work/out")" = 1 ] || die 'a call that was denied has run'


# ---- strangers ---------------------------------------------------------------------------------------

port=${one##*:}
run 1 troupe ping --connect "$one" --token-file "$work/before"
until_true grep -q '"event":"remote_refused".*127.0.0.1:[0-9]*: another token' "$work/daemon.err"
# 3,000 bytes, and no token among them.
head -c 3000 /dev/zero | tr '\0' 7 | timeout 5 "$work/raw_http" "$port" 0 >"$work/out" || die 'it is waited for'
has out 'the line is longer than 2048 bytes'
"$work/raw_http" "$port" drip </dev/null >"$work/dripped" &
dripper=$!
is_cut
# As many as there is room for: they do not reach the admin socket, and one more is told of.
descriptors() { find "/proc/$daemon/fd" | wc -l; }
before=$(descriptors)
mkfifo "$work/go"
"$work/raw_http" "$port" hold 32 / 200 <"$work/go" >"$work/held" &
holder=$!
exec 9>"$work/go"
until_true grep -q held "$work/held"
run 1 troupe ping --connect "$one" --token-file "$work/other"
until_true grep -q '"event":"remote_full".*there are 32 connections' "$work/daemon.err"
[ "$(descriptors)" -lt $((before + 40)) ] || die 'strangers have connections to the admin socket'
run 0 troupe ping
exec 9>&-
kill $holder
until_true troupe ping --connect "$one" --token-file "$work/other"

echo "$checks checks"
