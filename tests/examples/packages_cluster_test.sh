#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The demo on three processes ends as it says when it is ended: by Ctrl-C and SIGTERM in order, and when
# one of its processes is killed. Each time its exit code is 1, it says why, and it leaves no process
# and no file. Its figures are the matter of packages_test.sh.
set -eu
build=${TROUPE_BUILD:-$(cd "$(dirname "$0")/../../build/release" && pwd)}
work=$(mktemp -d)
driver=
trap '[ -z "$driver" ] || kill -9 $driver $(children) 2>/dev/null || true; rm -rf "$work"' EXIT

children() {
    cat "/proc/$driver/task/$driver/children"
}

failed() {
    echo "FAILED: $1"
    cat "$work/out"
    exit 1
}

awk 'BEGIN {
    for (i = 0; i < 4000; i++)
        printf "Package: p%d\nDepends: p%d, p%d\n\n", i, (i * 7 + 1) % 4000, (i * 13 + 5) % 4000
}' >"$work/index"

# Starts it, with work for much longer than this test takes, and waits until its actors are loaded.
begin() {
    : >"$work/out" # at once: what the last one said is not what this one says
    TMPDIR=$work setsid "$build/examples/example_packages" --index "$work/index" --rounds 1000 \
        --nodes 3 >"$work/out" 2>&1 &
    driver=$!
    for _ in $(seq 600); do
        if grep -q '^  load ' "$work/out"; then
            ls -d "$work"/troupe-demo-* >/dev/null || failed 'there is no folder to be taken away'
            return
        fi
        sleep 0.1
    done
    failed 'it does not begin'
}

# It ends with 1, says $1, and nothing is left of it.
has_ended() {
    code=0
    wait "$driver" || code=$?
    driver=
    [ $code -eq 1 ] || failed "exit code $code"
    grep -q "$1" "$work/out" || failed "it does not say: $1"
    for child in $peers; do
        [ ! -e "/proc/$child" ] || failed "process $child is left"
    done
    if ls -d "$work"/troupe-demo-* 2>/dev/null; then
        failed 'its folder is left'
    fi
}

for signal in INT TERM; do
    begin
    peers=$(children)
    [ "$(echo "$peers" | wc -w)" -eq 2 ] || failed "its processes are $peers"
    kill -$signal "-$driver" # to its group, as a terminal does
    has_ended 'stopped by a signal'
done

begin
peers=$(children)
kill -9 "${peers%% *}"
has_ended 'node-2 has ended'
echo 'ended by INT, TERM and by a process that was killed'
