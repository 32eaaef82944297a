#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What an operator does with stored actors, as he types it: state, stored, snapshots, dead letters,
# reminders, delete, calls once; on a sqlite file, over a restart, with --json, words and exit codes.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/daemon.sh"
export PURSE_REFUSES="$work/refuses"

says() {
    checks=$((checks + 1))
    [ "$(cat "$work/out")" = "$1" ] || die "it does not say exactly: $1"
}
# until_says TEXT ARGUMENT...: waits until troupe says it, 10 seconds at most.
until_says() {
    text=$1
    shift
    for _ in $(seq 200); do
        "$build/troupe" "$@" >"$work/out" 2>"$work/err"
        if grep -qF -- "$text" "$work/out"; then return 0; fi
        sleep 0.05
    done
    die "it never says: $text"
}
serve() { start --load "$work/purse.so" --storage "sqlite:$work/state.db" --shards 2; }
# restart SIGNAL
restart() {
    kill "-$1" "$daemon"
    wait "$daemon" 2>/dev/null
    daemon=''
    serve
}

module purse
serve

# ---- state, stored --------------------------------------------------------------------------------

run 0 troupe ask purse/ann put xxx
run 0 troupe ask purse/ann put xx
run 0 troupe ask purse/bob put x
run 0 troupe ask purse/cyd put x
restart KILL # what was answered is there
run 0 troupe state purse/ann
has out 'purse/ann  version 2  20'
has out '{"coins":5,"owner":"nobody"}'
run 0 troupe state purse/ann --json
has out '"version":2,'
has out '"state":{"coins":5,"owner":"nobody"}'
run 0 troupe stored purse
has out 'ACTOR'
has out 'purse/cyd'
run 0 troupe stored purse --limit 1
has out 'purse/ann'
has err "there are more than 1; go on with --after 'purse/ann'"
run 0 troupe stored purse --after purse/bob --json
has out '"actors":[{"stored":true,"actor":"purse/cyd","version":1,'
has out '"more":false'
run 0 troupe actors --json # nobody was activated
has out '"actors":[]'

run 1 troupe state purse/dan
has err 'nothing is stored of it'
run 1 troupe state purze/ann
has err 'did you mean "purse"?'
run 1 troupe state sieve/x
has err 'is not persistent'
run 1 troupe stored sieve
has err 'is not persistent'
run 2 troupe state
run 2 troupe stored purse --limit none

# ---- snapshots ------------------------------------------------------------------------------------

run 0 troupe snapshots purse/ann
has out 'VERSION'
run 0 troupe snapshots purse/ann --json
has out '"snapshots":[{"stored":true,"version":2,'
run 0 troupe snapshots purse/ann --show 1
has out '{"coins":3,"owner":"nobody"}'
run 1 troupe snapshots purse/ann --show 9
has err 'no snapshot of version 9'
run 2 troupe snapshots purse/ann --show first
run 2 troupe snapshots purse/ann --show 1 --restore 1
has err 'exclude each other'
run 0 troupe snapshots purse/ann --restore 1
says 'version 1 is the state again, as version 3'
run 0 troupe ask purse/ann put x
says 4
restart TERM
run 0 troupe state purse/ann
has out '{"coins":4,"owner":"nobody"}'

# ---- calls once -----------------------------------------------------------------------------------

run 0 troupe ask purse/ann put x --once invoice-1
says 5
run 0 troupe ask purse/ann put x --once invoice-1
says 5
restart KILL
run 0 troupe ask purse/ann put x --once invoice-1
says 5
run 1 troupe ask sieve/x put x --once invoice-1
has err 'persist every turn'

# ---- dead letters ---------------------------------------------------------------------------------

: >"$PURSE_REFUSES"
run 0 troupe ask purse/ann give bob
run 0 troupe ask purse/ann give cyd
until_says 'purse/cyd' dead purse/ann
has out 'not now'
has out 'NUMBER'
run 0 troupe dead purse/ann --json
has out '"target":"purse/bob","method":"take"'
first=$("$build/troupe" dead purse/ann | sed -n '2s/ .*//p')
second=$("$build/troupe" dead purse/ann | sed -n '3s/ .*//p')
rm "$PURSE_REFUSES"
run 0 troupe dead purse/ann --replay "$first"
until_says '{"coins":2,"owner":"nobody"}' state purse/bob
run 1 troupe dead purse/ann --replay "$first"
has err 'no such dead letter'
run 1 troupe dead purse/ann --drop seven
has err 'those look like 12.0'
run 2 troupe dead purse/ann --drop "$second" --replay "$second"
run 0 troupe dead purse/ann --drop "$second"
run 0 troupe dead purse/ann
has err 'no dead letter'

# ---- reminders ------------------------------------------------------------------------------------

run 0 troupe reminders purse/eve
has err 'no reminder'
run 0 troupe tell purse/eve remind 'yearly 0 0 1 1 *'
run 0 troupe tell purse/eve remind 'soon every 1h'
run 0 troupe tell purse/eve remind 'now in 1ms'
until_says '{"coins":1,"owner":"nobody"}' state purse/eve # it rang
run 0 troupe reminders purse/eve
has out 'NAME    NUMBER  DUE'
has out 'every 1h'
run 0 troupe reminders purse/eve --json
has out '"reminders":[{"number":1,"name":"soon","schedule":"every 1h","method":"put","due_unix_ns":'
has out '{"number":1,"name":"yearly","schedule":"0 0 1 1 *","method":"put"'
run 0 troupe reminders purse/eve --cancel soon
run 1 troupe reminders purse/eve --cancel soon
has err 'no such reminder'
restart KILL
run 0 troupe reminders purse/eve
has out 'yearly'
if grep -q soon "$work/out"; then die 'a cancelled reminder is there again'; fi
run 2 troupe reminders purse/eve --timeout 1s
run 1 troupe reminders sieve/x
has err 'is not persistent'

# ---- the store itself ---------------------------------------------------------------------------

run 0 troupe store
has out 'survives the end of process and machine'
has out 'it is well'
run 0 troupe store --check
has out 'it is well'
run 0 troupe store --json
has out '"well":true'

# ---- delete ---------------------------------------------------------------------------------------

run 2 troupe delete purse/ann
has err 'troupe delete purse/ann --yes'
run 0 troupe state purse/ann
run 0 troupe delete purse/ann --yes
run 1 troupe state purse/ann
has err 'nothing is stored of it any more'
run 0 troupe snapshots purse/ann
has err 'no snapshot is kept'
run 1 troupe delete purse/ann --yes --json
has out '"status":"NOT_FOUND"'
restart KILL
run 0 troupe ask purse/ann put x
says 1
run 0 troupe stored purse --json
has out '"actor":"purse/ann"'

for command in store state stored snapshots dead reminders delete; do
    run 0 troupe help $command
    has out 'Examples:'
done
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
dd if=/dev/urandom of="$work/state.db" bs=4096 seek=1 count=3 conv=notrunc 2>/dev/null
serve
run 1 troupe store --check
has out 'survives the end of process and machine'
has err 'is damaged'
echo "$checks checks passed"
