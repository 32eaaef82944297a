#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Three processes are one cluster: any answers for every actor; nodes, view, lookup and discover say
# where things are. After kill -9 of one its actors answer elsewhere, volatile ones anew and
# persistent ones with their state, and no history of a persistent actor shows the crash.
set -u
. "$(dirname "$0")/processes.sh"
start_redis
start_three

# ---- one cluster --------------------------------------------------------------------------------

run 0 at 1 ask ledger/a add 1
run 0 at 2 ask ledger/a add 1
run 0 at 3 ask ledger/a add 1
has out 3
for node in 1 2 3; do
    run 0 at $node nodes
    for other in 1 2 3; do has out "node-$other"; done
    run 0 at $node lookup ledger/a
    has out 'node-1/'
    has out 'active'
    run 1 at $node lookup ledger/nobody
    has err NOT_FOUND
    run 1 at $node lookup nothing/a
    has err NO_TYPE
done
run 0 at 2 view
has out '3 members'
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do run 0 at $((i % 3 + 1)) ask ledger/d$i add $i; done
run 0 at 1 discover "ledger/d*"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do has out "ledger/d$i "; done
after='' pages=0
: >"$work/found"
while [ $pages -lt 20 ]; do
    run 0 at 2 discover "ledger/d*" --limit 5 --json ${after:+--after "$after"}
    grep -o "\"ledger/d[0-9]*\"" "$work/out" >>"$work/found"
    pages=$((pages + 1))
    after=$(sed -n 's/.*"cursor":"\([0-9.]*\)".*/\1/p' "$work/out")
    [ -n "$after" ] || break
done
[ "$(sort -u "$work/found" | wc -l)" -eq 12 ] || die 'pages of discover do not give all actors'
[ "$(wc -l <"$work/found")" -eq 12 ] || die 'pages of discover give an actor twice'
run 1 at 1 drain node-2
has err 'this is node node-1'

# ---- kill -9 ------------------------------------------------------------------------------------

for key in 1 2 3 4 5 6 7 8; do
    run 0 at 3 ask tally/v$key add 5
    run 0 at 3 ask ledger/p$key add 7
done
process=$pid_3
"$work/load" detect "$work/n1.sock" "$process" tally/v1 tally/v2 tally/v3 tally/v4 \
    ledger/p1 ledger/p2 ledger/p3 ledger/p4 >"$work/times" || die 'actors of a dead node do not answer'
wait "$process" 2>/dev/null
pid_3=''
slowest=$(sort -n "$work/times" | tail -n 1)
echo "kill -9: the last of 8 actors answered elsewhere after $slowest ms"
[ "${slowest%.*}" -le 4000 ] || die "an actor answered after $slowest ms: more than ttl + 1 s"
run 0 at 2 ask tally/v5 show
has out 0
for key in 1 5 6 7 8; do
    run 0 at 2 ask ledger/p$key show
    has out 7
done
begin 3
until_true await_members

# ---- a call once outlives the node that serves it ---------------------------------------------------

run 0 at 3 ask ledger/once add 1
kill -STOP "$pid_3"
at 1 ask ledger/once add 5 --once gift --timeout 20s >"$work/once.out" 2>"$work/err" &
asker=$!
sleep 0.5 # until it waits for node 3, as a rule; a call that is late finds it dead
kill_node 3
wait $asker || die 'a call once was not asked again when its node died'
cp "$work/once.out" "$work/out"
has out 6
run 0 at 2 ask ledger/once add 5 --once gift
has out 6
run 0 at 1 ask ledger/once show
has out 6
begin 3
until_true await_members

# ---- under load ---------------------------------------------------------------------------------

"$work/load" run ledger 20 6 5 $sockets >"$work/out" 2>"$work/err" &
load=$!
sleep 1.5
kill_node 2
begin 2
wait $load || die 'histories under kill -9'
cat "$work/out"
until_true await_members
echo "$checks checks passed"
