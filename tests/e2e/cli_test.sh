#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# trouped and troupe as a user runs them: every command and its --json, errors and exit codes, the
# socket's rights, modules that must be refused, and that a stop under load loses nothing.
#
# CC compiles the helper.
set -u
. "$(dirname "$0")/daemon.sh"
export COUNTER_FILE="$work/counts"

helper() { "$work/helper" "$@"; }

# is PATH VALUE: the last output is JSON and says it.
is() {
    checks=$((checks + 1))
    value=$(helper get "$1" <"$work/out") || die "no $1 in the JSON"
    [ "$value" = "$2" ] || die "$1 is $value, not $2"
}
is_over() { ! kill -0 "$daemon" 2>/dev/null; }

# stop_is CODE: waits for the daemon's end.
stop_is() {
    until_true is_over
    wait "$daemon"
    code=$?
    daemon=''
    checks=$((checks + 1))
    [ $code -eq "$1" ] || die "trouped ended with $code, not $1"
}
stop() {
    kill -TERM "$daemon"
    stop_is 0
}

# ---- tools --------------------------------------------------------------------------------------

jansson=$(pkg-config --cflags --libs jansson 2>/dev/null || echo -ljansson)
"$compiler" -D_GNU_SOURCE -g "$source/tests/e2e/helper.c" -o "$work/helper" $jansson ||
    die 'the helper does not compile'
module counter
bank="$build/examples/libbank.so"
[ -e "$bank" ] || die "$bank is not built"

# ---- help, version, no node ---------------------------------------------------------------------

run 2 troupe
has out 'Commands:'
run 0 troupe --help
run 0 troupe --version
has out 'troupe 0.'
run 0 troupe version --json
is api_number 1
for command in ask tell actors lookup discover nodes view migrate preload rebalance drain ps where stats metrics types deactivate config \
    ping shutdown sim bench demo completion version help; do
    run 0 troupe help $command
    has out "troupe $command"
    has out 'Examples:'
done
run 2 troupe help dance
run 0 troupe sim --help
has out '--mutants'
run 2 troupe sim --hulp
run 0 troupe ask --help
has out 'troupe ask ID METHOD'
run 2 troupe aks
has err 'did you mean "ask"?'
run 2 troupe ask account/alice
has err 'needs more arguments'
run 2 troupe ask account/alice show 1 2
has err 'no further argument'
run 2 troupe ask account/alice show --tiemout 1s
has err 'did you mean --timeout?'
run 2 troupe ask account/alice show --timeout soon
has err 'is no duration'
run 2 troupe ask account/alice show --timeout
has err 'needs a value'
run 2 troupe lookup account/alice --limit 3
has err 'takes no option'
run 2 troupe ask alice show
has err 'is no id'
run 2 troupe actors --limit 0
run 3 troupe ping
has err 'start one: trouped --load'
run 3 troupe --socket "$work/nowhere" ask account/alice show --json
run 2 troupe --socket "$(printf '%0200d' 1)" ping
run 0 troupe config --defaults
has out 'max_actors'
run 0 troupe config --defaults --json
is options.0.name name
run 0 troupe config --explain max-actors
has out 'TROUPE_MAX_ACTORS'
run 2 troupe config --explain max_actor
has err 'did you mean "max_actors"?'
run 0 troupe sim --seeds 2
has out 'seeds'
run 2 troupe sim --nonsense
run 0 troupe demo --help
has out 'packages'
run 1 troupe bench nosuchgroup
has err 'bench_nosuchgroup'
run 2 troupe bench ../evil
for made in 'markdown docs/cli.md' 'man man/troupe.1'; do
    run 0 troupe help --${made% *}
    cmp -s "$work/out" "$source/${made#* }" || die "${made#* } is not what troupe help --${made% *} prints"
done
run 0 "$build/trouped" --man
cmp -s "$work/out" "$source/man/trouped.8" || die 'man/trouped.8 is not what trouped --man prints'

# ---- trouped refuses ----------------------------------------------------------------------------

run 0 "$build/trouped" --help
has out '--max_actors'
run 0 "$build/trouped" --version
run 2 "$build/trouped"
has err 'nothing to serve'
run 2 "$build/trouped" --load "$bank" --max_actor 5
has err 'did you mean --max_actors?'
run 2 "$build/trouped" --load "$bank" --max_actors many
has err 'max_actors'
run 2 "$build/trouped" --load "$bank" --set max_actors
has err 'NAME=VALUE'
run 2 "$build/trouped" --load
has err 'needs a value'
run 2 "$build/trouped" "$bank"
has err '--load FILE'
run 2 env TROUPE_IDLE=soon "$build/trouped" --load "$bank"
has err '$TROUPE_IDLE'
run 2 "$build/trouped" --load "$bank" --driven
run 2 "$build/trouped" --config "$work/absent.yaml"
has err 'absent.yaml'
printf 'max_actors: 10\nmax_fibres: 10\n' >"$work/bad.yaml"
run 2 "$build/trouped" --load "$bank" --config "$work/bad.yaml"
has err 'max_fibers'
printf 'types:\n  acount: { idle: 5m }\n' >"$work/bad.yaml"
run 2 "$build/trouped" --load "$bank" --config "$work/bad.yaml"
has err 'did you mean account?'

run 1 "$build/trouped" --load "$work/absent.so"
has err 'absent.so'
printf 'int nothing;\n' >"$work/plain.c"
module plain "$work/plain.c"
run 1 "$build/trouped" --load "$work/plain.so"
has err 'TROUPE_MODULE'
cat >"$work/old.c" <<'END'
#include <troupe/module.h>
TROUPE_API extern const troupe_module troupe_module_entry;
const troupe_module troupe_module_entry = {sizeof(troupe_module), 999, "9.9.9", NULL, 0};
END
module old "$work/old.c"
run 1 "$build/trouped" --load "$work/old.so"
has err 'API number 999'
sed 's/sizeof(troupe_module), 999/16, TROUPE_API_NUMBER/' "$work/old.c" >"$work/short.c"
module short "$work/short.c"
run 1 "$build/trouped" --load "$work/short.so"
has err '16 bytes'
sed 's/999/TROUPE_API_NUMBER/' "$work/old.c" >"$work/empty.c"
module empty "$work/empty.c"
run 1 "$build/trouped" --load "$work/empty.so"
has err 'no actor types'
run 1 "$build/trouped" --load "$bank" --load "$bank"
has err 'already'
[ ! -e "$TROUPE_SOCKET" ] || die 'a daemon that failed left its socket'

# ---- a running node -----------------------------------------------------------------------------

"$work/helper" notify "$work/notify" READY=1 >"$work/notified" &
until_true test -S "$work/notify"
NOTIFY_SOCKET="$work/notify" start --load "$bank" --load "$work/counter.so" --shards 2 --log info
grep -q 'serves account, counter at' "$work/daemon.out" || die 'the ready line'
until_true grep -q 'READY=1' "$work/notified"
[ "$(stat -c %a "$TROUPE_SOCKET")" = 600 ] || die 'the mode of the socket'
[ "$(stat -c %a "$work/run")" = 700 ] || die 'the mode of its folder'

run 0 troupe ping
has out 'node-1'
run 0 troupe ping --json
is ok true
run 0 troupe ask account/alice deposit '{"cents": 500}'
[ "$(helper get balance <"$work/out")" = 500 ] || die 'the balance'
run 0 troupe ask account/alice show --json
is payload.balance 500
is content_type application/json
run 0 troupe ask account/alice transfer '{"to": "bob", "cents": 120}' --timeout 5s
run 0 troupe ask account/bob show --json
is payload.balance 120
run 1 troupe ask account/alice withdraw '{"cents": 5000}'
has err 'APPLICATION 10'
has err 'balance 380 is below 5000'
run 1 troupe ask account/alice withdraw '{"cents": 5000}' --json
is ok false
is kind FAILED
run 1 troupe ask acount/alice show
has err 'NO_TYPE, outcome NOT_DONE'
has err 'did you mean "account"?'
run 1 troupe ask account/alice shew --json
has err 'did you mean "show"?'
is status NO_METHOD
is outcome NOT_DONE
run 0 troupe tell account/carol deposit '{"cents": 7}'
run 0 troupe tell account/carol deposit '{"cents": 7}' --json
is ok true
run 1 troupe tell account/carol dance
# Two tells and then an ask of another connection: it waits its turn behind them, or before.
carol_has_14() { troupe ask account/carol show | grep -q '"balance":14'; }
until_true carol_has_14

# Payloads come back as they were sent, whatever they are.
for text in hello '{"a": 0.10}' '"x"' 'häßlich' '{"broken'; do
    run 0 troupe ask counter/e echo "$text"
    [ "$(cat "$work/out")" = "$text" ] || die "echo of $text"
done
head -c 100000 /dev/urandom >"$work/bytes"
troupe ask counter/e echo - <"$work/bytes" >"$work/back" || die 'echo of bytes'
cmp "$work/bytes" "$work/back" || die 'the bytes are not the same'
run 0 troupe ask counter/e echo x --content-type image/png --json
is content_type image/png
run 0 troupe ask 'counter/a "quoted" key/with slash' echo x
run 0 troupe lookup 'counter/a "quoted" key/with slash' --json
is found.actor 'counter/a "quoted" key/with slash'
run 0 troupe ask "$(printf 'counter/\377')" echo x
run 0 troupe lookup "$(printf 'counter/\377')" --json
is found.actor_base64 Y291bnRlci//

run 0 troupe lookup account/alice
has out 'account/alice  node-1/'
run 0 troupe lookup account/alice --json
is found.phase active
run 1 troupe lookup account/nobody
has err 'NOT_FOUND'
run 1 troupe lookup acount/nobody
has err 'NO_TYPE'
run 0 troupe actors
has out 'account/alice'
run 0 troupe actors 'account/a*'
has out 'account/alice'
if grep -q bob "$work/out"; then die 'the pattern is not heeded'; fi
run 0 troupe actors --type account --limit 2 --json
is more true
is actors.1.node node-1
run 1 troupe actors --type acount
run 0 troupe types
has out 'account  deposit'
run 0 troupe types --json
is types.0.type account
run 0 troupe stats
has out 'turns ended'
run 0 troupe stats --json
is shards 2
[ "$(helper get counters.turns <"$work/out")" -gt 5 ] || die 'turns are not counted'
run 0 troupe config
has out 'flag'
run 0 troupe deactivate account/carol
is_inactive() { ! troupe lookup account/carol; }
until_true is_inactive
run 1 troupe deactivate account/carol
has err 'NOT_FOUND'
run 0 troupe where account/carol
has out 'not active'
run 0 troupe where account/alice
has out 'not parked'

# ---- parked turns -------------------------------------------------------------------------------

"$build/troupe" ask counter/front relay back --timeout 50s >"$work/relay.out" 2>"$work/relay.err" &
relay=$!
relay_waits() { troupe where counter/front | grep -q 'which sleeps'; }
until_true relay_waits
run 0 troupe where counter/front
has out 'in relay, waiting for counter/back wait_long, which sleeps'
has out 'relay+0x'
run 0 troupe where counter/back --json
is turns.0.reason sleep
is turns.0.method wait_long
is active true
run 0 troupe ps
has out 'counter/back wait_long'
run 0 troupe ps --json
is turns.0.parked true
run 1 troupe ask counter/back count --timeout 100ms
# A caller that goes gives up its ask: nothing waits any more.
kill -9 $relay
wait $relay 2>/dev/null
is_unparked() { troupe ps --json | grep -q '"turns":\[\]'; }
until_true is_unparked
# What timed out behind the parked turn has not run since.
run 0 troupe ask counter/back count
[ "$(cat "$work/out")" = 1 ] || die 'an ask whose caller gave up has run'

# ---- the socket, raw ----------------------------------------------------------------------------

# Not in a pipe: there `run` would be a process of its own, and its failure unheard.
printf '{"id":1,"do":"ping"}' >"$work/in"
run 0 helper raw "$TROUPE_SOCKET" <"$work/in"
is id 1
printf 'garbage\n\n{"id":"x","do":"pnig"}\n[]\n' >"$work/in"
run 0 helper raw "$TROUPE_SOCKET" <"$work/in"
[ "$(grep -c '"ok":false' "$work/out")" = 3 ] || die 'one answer per wrong line'
has out 'did you mean'
{
    head -c 13000000 /dev/zero | tr '\0' x
    printf '\n{"id":2,"do":"ping"}\n'
} >"$work/in"
run 0 helper raw "$TROUPE_SOCKET" <"$work/in"
has out '"status":"TOO_LARGE"'
has out '"id":2,"ok":true'
for i in $(seq 2000); do
    echo "{\"id\":$i,\"do\":\"ask\",\"actor\":\"counter/$i\",\"method\":\"count_slowly\"}"
done >"$work/in"
run 0 helper raw "$TROUPE_SOCKET" <"$work/in"
[ "$(grep -c '"payload_text":"1"' "$work/out")" = 2000 ] || die 'each of 2000 asks gets its answer'
head -c 5000000 /dev/zero | tr '\0' x >"$work/large"
run 1 troupe ask counter/e echo - <"$work/large"
has err 'TOO_LARGE'
run 0 helper deaf "$TROUPE_SOCKET"
has out 'answered'
run 0 helper many "$TROUPE_SOCKET" 65
is status BUSY
until_true troupe ping
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work" "$work/run"
    chmod 666 "$TROUPE_SOCKET"
    chmod 755 "$work/helper"
    printf '{"do":"ping"}\n' >"$work/in"
    run 0 setpriv --reuid 65534 --clear-groups "$work/helper" raw "$TROUPE_SOCKET" <"$work/in"
    is status DENIED
    chmod 700 "$work/run"
fi

# ---- the socket's place -------------------------------------------------------------------------

run 1 "$build/trouped" --load "$bank"
has err 'a node answers at'
run 0 troupe ping
echo 'not a socket' >"$work/run/file"
run 1 "$build/trouped" --load "$bank" --socket "$work/run/file"
has err 'no socket'
[ -f "$work/run/file" ] || die 'a file was removed'
mkdir -m 777 "$work/open"
chmod 777 "$work/open"
run 1 "$build/trouped" --load "$bank" --socket "$work/open/node.sock"
has err 'written by others'

kill -HUP "$daemon"
run 0 troupe config --reload # e2e/reload is about what it does
has err 'nothing has changed'
run 0 troupe ping
run 0 troupe shutdown
has out 'stops'
stop_is 0
[ ! -e "$TROUPE_SOCKET" ] || die 'the socket is still there'
run 3 troupe ping

start --load "$bank"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
[ -S "$TROUPE_SOCKET" ] || die 'a killed daemon leaves its socket'
run 3 troupe ping
start --load "$bank"
run 0 troupe ping
stop

# ---- file, environment, flags -------------------------------------------------------------------

cp "$work/counter.so" "$work/run/counter.so"
cat >"$work/run/node.yaml" <<'END'
node: from-file
idle: 7m
max_actors: 1000
mailbox_limit: 50
modules: [counter.so]
types:
  counter: { idle: 100ms }
END
TROUPE_IDLE=8m TROUPE_MAX_ACTORS=2000 start --config "$work/run/node.yaml" --max-actors 3000
run 0 troupe config --json
grep -q '"name":"name","value":"from-file","from":"file"' "$work/out" || die 'the file'
grep -q '"name":"idle","value":"8m","from":"environment"' "$work/out" || die 'the environment'
grep -q '"name":"max_actors","value":"3_000","from":"flag"\|"name":"max_actors","value":"3000","from":"flag"' \
    "$work/out" || die 'the flag'
run 0 troupe ask counter/short count
short_is_gone() { ! troupe lookup counter/short; }
until_true short_is_gone # idle of its type, not of the node
stop

# ---- stopping under load ------------------------------------------------------------------------

rm -f "$COUNTER_FILE"
start --load "$work/counter.so" --shards 2
"$work/helper" load "$TROUPE_SOCKET" 8 >"$work/load" 2>"$work/load.err" &
load=$!
has_worked() { [ "$(troupe stats --json | helper get counters.turns)" -gt 2000 ]; }
until_true has_worked
kill -TERM "$daemon"
stop_is 0
wait $load || die "the load: $(cat "$work/load.err")"
read -r _ accepted _ closed _ unanswered _ strange <"$work/load"
ran=$(awk '{ n += $2 } END { print n + 0 }' "$COUNTER_FILE")
echo "stop under load: $accepted accepted, $ran ran, $closed refused, $unanswered unanswered"
[ "$unanswered" = 0 ] || die 'requests that were sent got no answer'
[ "$strange" = 0 ] || die "answers that should not be: $(head -3 "$work/load.err")"
[ "$accepted" = "$ran" ] || die "$accepted calls were accepted, $ran ran"
[ "$accepted" -gt 2000 ] || die 'the load was none'

# A second signal cancels what is under way, and it is answered.
start --load "$work/counter.so"
"$build/troupe" ask counter/w wait_long --timeout 50s --json >"$work/out" 2>"$work/err" &
waiting=$!
w_waits() { troupe ps --json | grep -q wait_long; }
until_true w_waits
kill -TERM "$daemon"
until_true test ! -e "$TROUPE_SOCKET"
kill -0 "$daemon" || die 'it does not wait for the ask'
kill -TERM "$daemon"
stop_is 0
wait $waiting
is status CANCELLED
is outcome UNKNOWN

echo "$checks checks passed"
