#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `troupe cluster up` starts nodes that are one cluster, says how to call them, and stops them in order
# on a signal, which Ctrl-C is, too.
set -u
. "$(dirname "$0")/../e2e/daemon.sh"
unset TROUPE_SOCKET
module tally
up=''
clean() {
    if [ -n "$up" ]; then kill -9 "$up" 2>/dev/null; fi
    rm -rf "$work"
}
members() { "$build/troupe" nodes --json --socket "$work/c/node-1.sock" 2>/dev/null | grep -o '"self"' | wc -l; }
has_two() { [ "$(members)" -eq 2 ]; }

run 2 troupe cluster
run 2 troupe cluster down
run 2 troupe cluster up -n 0
run 2 troupe cluster up -n
run 0 troupe cluster up --help
has out 'usage: troupe cluster up'
"$build/troupe" cluster up -n 2 --folder "$work/c" --load "$work/tally.so" --shards 2 --log info \
    >"$work/up.out" 2>"$work/up.err" &
up=$!
until_true has_two
cp "$work/up.out" "$work/out"
has out "troupe --socket $work/c/node-2.sock nodes"
run 0 troupe ask tally/a add 2 --socket "$work/c/node-1.sock"
run 0 troupe ask tally/a show --socket "$work/c/node-2.sock"
has out 2
for i in 1 2 3 4 5 6 7 8; do run 0 troupe ask "tally/p$i" add 1 --socket "$work/c/node-1.sock"; done
preloads() { run 0 troupe preload 'tally/p*' --json --socket "$work/c/node-2.sock" && grep -q '"learned":[1-8]' "$work/out"; }
until_true preloads
has out '"full":false'
run 0 troupe preload --type tally --socket "$work/c/node-2.sock"
has out 'node-2 has learned where'
run 0 troupe stats --json --socket "$work/c/node-2.sock"
has out '"cache_preloaded":'
kill -INT "$up"
wait "$up"
code=$?
up=''
cp "$work/up.err" "$work/err"
[ $code -eq 0 ] || die "cluster up ended with $code"
grep -q 'closing_incomplete\|leaving_incomplete' "$work"/c/*.log && die 'a node did not stop in order'

# A node that fails is told.
run 1 troupe cluster up -n 1 --folder "$work/c" --load "$work/nothing.so"
has err 'node-1 ended (exit code 1)'
echo "$checks checks passed"
