#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Who does not belong to a cluster changes nothing in it: a node with a wrong token, though it reaches
# the store of the membership; port scanners, garbage, half-open connections. Each leaves a line in the
# log; the members and their calls go on.
set -u
. "$(dirname "$0")/processes.sh"
start_three --cluster_token right
"$compiler" -std=gnu11 -D_GNU_SOURCE "$source/tests/e2e/stranger.c" -o "$work/stranger" ||
    die 'the stranger does not compile'
run 0 at 1 ask tally/a add 1
run 0 at 2 view --json
view=$(sed -n 's/.*"view":\([0-9]*\),"incarnation".*/\1/p' "$work/out")

# ---- a wrong token ------------------------------------------------------------------------------

run 1 "$build/trouped" --name stranger --socket "$work/stranger.sock" --cluster "file:$work/members" \
    --cluster_token wrong --load "$work/tally.so" --join_timeout 20s --log info
has err 'your token is not that of the cluster: check `cluster_token`'
has err 'trouped: '
cat "$work"/n?.err >"$work/out"
has out 'its token is not that of this cluster: check `cluster_token` of both'

run 0 at 1 nodes --json
address=$(sed -n 's/.*"address":"\([0-9.:]*\)".*/\1/p' "$work/out" | head -n 1)

# ---- strangers at the port ----------------------------------------------------------------------

"$work/load" run tally 20 4 8 $sockets >"$work/load.out" 2>"$work/err" &
load=$!
run 0 "$work/stranger" "${address%:*}" "${address#*:}"
cat "$work/out"
wait $load || {
    cp "$work/load.out" "$work/out"
    die 'calls while strangers knock'
}
cp "$work/load.out" "$work/out"
cat "$work/out"
has out ' 0 not done, 0 unknown'
run 0 at 2 ask tally/a add 1
has out 2
run 0 at 2 view --json
[ "$(sed -n 's/.*"view":\([0-9]*\),"incarnation".*/\1/p' "$work/out")" = "$view" ] ||
    die 'the view has changed'
cat "$work"/n?.err >"$work/out"
grep -c '"level":"warn"' "$work/out" >"$work/count"
echo "$(cat "$work/count") lines of warning in the logs"
[ "$(cat "$work/count")" -le 300 ] || die 'strangers fill the log'
for node in 1 2 3; do end $node; done
echo "$checks checks passed"
