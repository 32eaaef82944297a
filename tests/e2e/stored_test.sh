#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What an operator does with stored actors, as he types it: state, stored, snapshots, dead letters,
# delete, calls once; on a sqlite file, over a restart, with --json, words and exit codes.
#
# Needs TROUPE_BUILD (the build's folder) and TROUPE_SOURCE; ctest sets them. CC compiles the module.
set -u
build=${TROUPE_BUILD:?}
source=${TROUPE_SOURCE:?}
work=$(mktemp -d /tmp/troupe-stored.XXXXXX)
unset XDG_RUNTIME_DIR TROUPE_CONFIG NOTIFY_SOCKET
export TROUPE_SOCKET="$work/run/node.sock"
export PURSE_REFUSES="$work/refuses"
daemon=''
checks=0

clean() {
    if [ -n "$daemon" ]; then kill -9 "$daemon" 2>/dev/null; fi
    rm -rf "$work"
}
trap clean EXIT

die() {
    echo "FAILED: $*"
    echo '---- out'; cat "$work/out" 2>/dev/null
    echo '---- err'; cat "$work/err" 2>/dev/null
    echo '---- trouped'; tail -20 "$work/daemon.out" "$work/daemon.err" 2>/dev/null
    exit 1
}

# run CODE ARGUMENT...: runs troupe, keeps its output, checks the exit code.
run() {
    wanted=$1
    shift
    "$build/troupe" "$@" >"$work/out" 2>"$work/err"
    code=$?
    checks=$((checks + 1))
    [ $code -eq "$wanted" ] || die "exit code $code, not $wanted: troupe $*"
}
has() {
    checks=$((checks + 1))
    grep -qF -- "$2" "$work/$1" || die "std$1 does not say: $2"
}
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
start() {
    : >"$work/daemon.out"
    "$build/trouped" --load "$work/purse.so" --storage "sqlite:$work/state.db" --shards 2 \
        >"$work/daemon.out" 2>"$work/daemon.err" &
    daemon=$!
    for _ in $(seq 200); do
        if grep -q '^trouped: ' "$work/daemon.out"; then return 0; fi
        sleep 0.05
    done
    die 'trouped does not start'
}
# restart SIGNAL
restart() {
    kill "-$1" "$daemon"
    wait "$daemon" 2>/dev/null
    daemon=''
    start
}

"${CC:-cc}" -std=gnu11 -shared -fPIC -I "$source/include" -o "$work/purse.so" \
    "$source/tests/e2e/purse.c" || die 'the module does not compile'
start

# ---- state, stored --------------------------------------------------------------------------------

run 0 ask purse/ann put xxx
run 0 ask purse/ann put xx
run 0 ask purse/bob put x
run 0 ask purse/cyd put x
restart KILL # what was answered is there
run 0 state purse/ann
has out 'purse/ann  version 2  20'
has out '{"coins":5,"owner":"nobody"}'
run 0 state purse/ann --json
has out '"version":2,'
has out '"state":{"coins":5,"owner":"nobody"}'
run 0 stored purse
has out 'ACTOR'
has out 'purse/cyd'
run 0 stored purse --limit 1
has out 'purse/ann'
has err "there are more than 1; go on with --after 'purse/ann'"
run 0 stored purse --after purse/bob --json
has out '"actors":[{"stored":true,"actor":"purse/cyd","version":1,'
has out '"more":false'
run 0 actors --json # nobody was activated
has out '"actors":[]'

run 1 state purse/dan
has err 'nothing is stored of it'
run 1 state purze/ann
has err 'did you mean "purse"?'
run 1 state sieve/x
has err 'is not persistent'
run 1 stored sieve
has err 'is not persistent'
run 2 state
run 2 stored purse --limit none

# ---- snapshots ------------------------------------------------------------------------------------

run 0 snapshots purse/ann
has out 'VERSION'
run 0 snapshots purse/ann --json
has out '"snapshots":[{"stored":true,"version":2,'
run 0 snapshots purse/ann --show 1
has out '{"coins":3,"owner":"nobody"}'
run 1 snapshots purse/ann --show 9
has err 'no snapshot of version 9'
run 2 snapshots purse/ann --show first
run 2 snapshots purse/ann --show 1 --restore 1
has err 'exclude each other'
run 0 snapshots purse/ann --restore 1
says 'version 1 is the state again, as version 3'
run 0 ask purse/ann put x
says 4
restart TERM
run 0 state purse/ann
has out '{"coins":4,"owner":"nobody"}'

# ---- calls once -----------------------------------------------------------------------------------

run 0 ask purse/ann put x --once invoice-1
says 5
run 0 ask purse/ann put x --once invoice-1
says 5
restart KILL
run 0 ask purse/ann put x --once invoice-1
says 5
run 1 ask sieve/x put x --once invoice-1
has err 'persist every turn'

# ---- dead letters ---------------------------------------------------------------------------------

: >"$PURSE_REFUSES"
run 0 ask purse/ann give bob
run 0 ask purse/ann give cyd
until_says 'purse/cyd' dead purse/ann
has out 'not now'
has out 'NUMBER'
run 0 dead purse/ann --json
has out '"target":"purse/bob","method":"take"'
first=$("$build/troupe" dead purse/ann | sed -n '2s/ .*//p')
second=$("$build/troupe" dead purse/ann | sed -n '3s/ .*//p')
rm "$PURSE_REFUSES"
run 0 dead purse/ann --replay "$first"
until_says '{"coins":2,"owner":"nobody"}' state purse/bob
run 1 dead purse/ann --replay "$first"
has err 'no such dead letter'
run 1 dead purse/ann --drop seven
has err 'those look like 12.0'
run 2 dead purse/ann --drop "$second" --replay "$second"
run 0 dead purse/ann --drop "$second"
run 0 dead purse/ann
has err 'no dead letter'

# ---- the store itself ---------------------------------------------------------------------------

run 0 store
has out 'survives the end of process and machine'
has out 'it is well'
run 0 store --check
has out 'it is well'
run 0 store --json
has out '"well":true'

# ---- delete ---------------------------------------------------------------------------------------

run 2 delete purse/ann
has err 'troupe delete purse/ann --yes'
run 0 state purse/ann
run 0 delete purse/ann --yes
run 1 state purse/ann
has err 'nothing is stored of it any more'
run 0 snapshots purse/ann
has err 'no snapshot is kept'
run 1 delete purse/ann --yes --json
has out '"status":"NOT_FOUND"'
restart KILL
run 0 ask purse/ann put x
says 1
run 0 stored purse --json
has out '"actor":"purse/ann"'

for command in store state stored snapshots dead delete; do
    run 0 help $command
    has out 'Examples:'
done
run 0 completion
has out 'snapshots) words='
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
dd if=/dev/urandom of="$work/state.db" bs=4096 seek=1 count=3 conv=notrunc 2>/dev/null
start
run 1 store --check
has out 'survives the end of process and machine'
has err 'is damaged'
echo "$checks checks passed"
