#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# That the histories of these tests show a fault when there is one: a node is cut off from all and
# replaced, as in cluster/partition, but its clock stands still (tests/e2e/stopped_clock.c), so that it
# believes in its lease. What it then says of its actors is stale, and a history must show it.
set -u
. "$(dirname "$0")/processes.sh"
. "$(dirname "$0")/network.sh"
"$compiler" -std=gnu11 -D_GNU_SOURCE -O1 -shared -fPIC "$source/tests/e2e/stopped_clock.c" \
    -o "$work/stopped_clock.so" || die 'the stopped clock does not compile'
echo 0 >"$work/stopped"
inside_2="$inside_2 env STOPPED_CLOCK=$work/stopped LD_PRELOAD=$work/stopped_clock.so"
inside_2="$inside_2 ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0"
membership=redis://10.99.0.9:6001
storage=redis://10.99.0.9:6002
lease=1s
start_three

# run_load SECONDS: writes at 1 and 3, reads at 2.
run_load() {
    "$work/load" run ledger 200 12 "$1" "$work/n1.sock" "=$work/n2.sock" "$work/n3.sock" \
        >"$work/load.out" 2>"$work/err"
}
run_load 3 || die 'a history is bad while nothing is wrong'
cat "$work/load.out"

run_load 9 &
load=$!
sleep 1
printf 1 1<>"$work/stopped" # in place: a file that is cut short under its reader is a SIGBUS
deaf 2 ip saddr 10.99.0.0/24
wait $load
tail -n 30 "$work/load.out"
grep -q '[1-9][0-9]* not linearizable' "$work/load.out" ||
    die 'a node that answers without a lease is in no history'
checks=$((checks + 1))
echo "$checks checks passed"
