#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sleeping actors with work are woken by one member, not by each: 1,000 of them cost about 1,000 wakes
# in three nodes. And all of them are woken where the member that was to do it dies just before, and
# where the home of some does not host their type.
set -u
. "$(dirname "$0")/processes.sh"
module herd "$source/tests/cluster/herd.c"
start_redis
host="--load $work/herd.so"
scans='--wake_scan 5s --idle 2s'
count=1000

# counter I NAME: of that node.
counter() { at "$1" stats --json | sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p"; }
# sum NAME NODE...
sum() {
    name=$1 total=0
    shift
    for node in "$@"; do total=$((total + $(counter "$node" "$name"))); done
    echo $total
}
have_rung() { # COUNT NODE...
    wanted=$1
    shift
    [ "$(sum reminders "$@")" -ge "$wanted" ]
}
# set_all SECONDS: the moment is the same for all.
set_all() {
    run 0 at 1 ask shepherd/a each "$count set at $(date -u -d "+$1 seconds" +%Y-%m-%dT%H:%M:%SZ)" \
        --timeout 60s
}
# all_rang TIMES: each of them.
all_rang() {
    run 0 at 1 ask shepherd/a each "$count rings" --timeout 60s
    has out "$1"
}

echo 'three nodes find them asleep:'
# shellcheck disable=SC2086
start_three $host $scans
set_all 12
for node in 1 2 3; do end $node; done
# shellcheck disable=SC2086
start_three $host $scans
until_true have_rung $count 1 2 3
wakes=$(sum wakes 1 2 3)
echo "$wakes wakes"
[ "$wakes" -ge $count ] || die "$wakes wakes"
[ "$wakes" -le $((count * 11 / 10)) ] || die "$wakes wakes of $count actors"
all_rang $count

echo 'the member that was to wake a third of them dies:'
set_all 15
sleepers() { [ "$(at 1 stats --json | sed -n 's/.*"active":\([0-9]*\).*/\1/p')" -lt 10 ]; }
until_true sleepers
kill_node 3
before=$(sum reminders 1 2)
until_true have_rung $((before + count)) 1 2
all_rang $((count * 2))

echo 'a member does not host them:'
set_all 10
end 2
# shellcheck disable=SC2086
begin 3 $scans
# shellcheck disable=SC2086
begin 2 $host $scans
for node in 2 3; do until_true node_serves $node; done
until_true await_members
end 1
# shellcheck disable=SC2086
begin 1 $host $scans
until_true node_serves 1
until_true await_members
until_true have_rung $count 1 2
wakes=$(sum wakes 1 2 3)
echo "$wakes wakes"
[ "$wakes" -le $((count * 11 / 10)) ] || die "$wakes wakes of $count actors"
all_rang $((count * 3))
for node in 1 2 3; do end $node; done
echo "$checks checks passed"
