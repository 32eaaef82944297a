#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Reminders and outbox messages go with their actor: they survive a move to another node and the crash
# of the node that they were set at, and ring once for each due time.
set -u
. "$(dirname "$0")/processes.sh"
module purse
start_redis
start_three --load "$work/purse.so"

# coins AT: of ann, without waking her.
coins() { at "$1" state purse/ann --json | sed -n 's/.*"coins":\([0-9-]*\).*/\1/p'; }
has_coins() { [ "$(coins 3)" = "$1" ]; }
# host: the number of the node that has ann.
host() { at 3 lookup purse/ann | sed -n 's/.*node-\([123]\).*/\1/p' | head -n 1; }

run 0 at 1 ask purse/ann put x
[ "$(host)" = 1 ] || die "ann is at node $(host)"
run 0 at 1 tell purse/ann remind 'soon in 2s'
run 0 at 1 tell purse/ann remind 'yearly 0 0 1 1 *'
run 0 at 1 migrate purse/ann node-2
[ "$(host)" = 2 ] || die "ann is at node $(host), not 2"
until_true has_coins 2
run 0 at 1 reminders purse/ann --json
has out '"name":"yearly"'
grep -q soon "$work/out" && die 'a reminder that has rung is still there'

run 0 at 2 tell purse/ann remind 'later in 3s'
has_later() { at 3 reminders purse/ann | grep -q later; }
until_true has_later # a tell is accepted before its turn has run
kill_node 2
until_true has_coins 3
[ "$(host)" != 2 ] || die 'ann is at a node that is dead'

run 0 at 1 ask purse/ann give bob
begin 2 --load "$work/purse.so"
until_true node_serves 2
until_true await_members
bob_has_one() { at 2 state purse/bob --json | grep -q '"coins":1[,}]'; }
until_true bob_has_one
sleep 1 # what rang twice would do so at once
[ "$(coins 2)" = 2 ] || die "ann has $(coins 2) coins, not 2"
run 0 at 2 reminders purse/ann --json
has out '"name":"yearly"'
for node in 1 2 3; do end $node; done
echo "$checks checks passed"
