#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Planned changes: all three processes are stopped by SIGTERM and started anew, one after the other,
# while others call. No history of a persistent actor shows it; callers at nodes that stay see no
# error; callers at the node that stops may be refused, with nothing done, and are told so.
set -u
. "$(dirname "$0")/processes.sh"
start_redis
start_three

echo 'one leaves, callers are at the others:'
for key in 1 2 3 4 5 6 7 8; do run 0 at 2 ask ledger/q$key add $key; done
"$work/load" run ledger 30 6 4 "$work/n1.sock" "$work/n3.sock" >"$work/out" 2>"$work/err" &
load=$!
sleep 1.5
end 2
wait $load || die 'histories while a node leaves'
cat "$work/out"
has out ' 0 not done, 0 unknown'
for key in 1 2 3 4 5 6 7 8; do
    run 0 at 1 ask ledger/q$key show
    has out $key
done
begin 2
until_true await_members

echo 'a rolling restart, callers are at all:'
"$work/load" run ledger 30 6 12 $sockets >"$work/out" 2>"$work/err" &
load=$!
sleep 1
for node in 1 2 3; do
    end $node
    begin $node
    until_true await_members
done
wait $load || die 'histories of a rolling restart'
cat "$work/out"
has out ' 0 unknown'
for node in 1 2 3; do end $node; done
grep -l 'closing_hurries\|closing_incomplete\|leaving_hurries\|leaving_incomplete' "$work"/n?.err && die 'a node did not leave in order'
echo "$checks checks passed"
