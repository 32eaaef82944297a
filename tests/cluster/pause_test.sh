#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A process that is stopped for longer than its lease is replaced. When it goes on nothing of what it
# had begun has effects: no answer and no write of it is seen in any history of a persistent actor. It
# becomes a new incarnation by itself, with the same process number, and answers again. Until it is
# replaced `troupe nodes` calls it not healthy.
set -u
. "$(dirname "$0")/processes.sh"
start_redis
lease=1s
start_three
run 0 at 2 view --json
before=$(sed -n 's/.*"incarnation":\([0-9]*\).*/\1/p' "$work/out" | head -n 1)

"$work/load" run ledger 20 8 9 $sockets >"$work/load.out" 2>"$work/err" &
load=$!
is_unwell() { at 1 nodes --json | sed 's/{"node":/\n&/g' | grep '"node-2"' | grep -q '"healthy":false'; }
for round in 1 2; do
    sleep 1
    kill -STOP "$pid_2"
    if [ $round = 1 ]; then until_true is_unwell; fi
    sleep 2.2
    kill -CONT "$pid_2"
    sleep 0.5
done
wait $load || {
    cp "$work/load.out" "$work/out"
    die 'histories of a paused node'
}
cat "$work/load.out"
until_true await_members
run 0 at 2 ask ledger/after add 1
run 0 at 1 nodes --json
[ "$(grep -o '"healthy":true' "$work/out" | wc -l)" = 3 ] || die 'not all are healthy again'
run 0 at 2 view --json
grep -q '"state":"member"' "$work/out" || die 'it is no member again'
[ "$(sed -n 's/.*"ttl_ns":\([0-9]*\).*/\1/p' "$work/out")" = 1000000000 ] || die 'the ttl is not 1 s'
grep -q "\"incarnation\":$before[,}]" "$work/out" && ! grep -q '"what":"revoked"' "$work/out" &&
    die 'it is the same incarnation'
grep -q '"event":"died"' "$work/n2.err" || die 'its log does not say that it died'
grep -q '"event":"restart"' "$work/n2.err" || die 'its log does not say that it started anew'
kill -0 "$pid_2" || die 'it is another process'
for node in 1 2 3; do end $node; done
echo "$checks checks passed"
