#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Cut, one-way, slow and stalled links between three processes in network namespaces of their own, with
# the stores in a fourth one: whatever breaks, no history of a persistent actor shows it; who was cut
# off is replaced and comes back as a new incarnation; what is only slow is not replaced.
set -u
. "$(dirname "$0")/processes.sh"
. "$(dirname "$0")/network.sh"
membership=redis://10.99.0.9:6001
storage=redis://10.99.0.9:6002
lease=1s
start_three

# ---- cut links -----------------------------------------------------------------------------------

under_load 7
deaf 3 ip saddr 10.99.0.0/24
until_true two_members
sleep 1
heal
judge 'node 3 is cut off from all'
[ "$(deaths 3)" -ge 1 ] || die 'node 3 did not notice that it was replaced'

before=$(deaths 3)
under_load 7
deaf 3 ip saddr '{ 10.99.0.1, 10.99.0.2 }' tcp dport 7000
deaf 3 ip saddr '{ 10.99.0.1, 10.99.0.2 }' tcp sport 7000
sleep 4
heal
judge 'node 3 hears no member, and reaches the store'
[ "$(deaths 3)" -gt "$before" ] || die 'node 3 was not voted out'

# One member's word against another's: no two votes, so nobody is replaced, and what was on its way
# arrives when the link is back.
before="$(view) $(deaths 1)$(deaths 2)$(deaths 3)"
under_load 8
deaf 2 ip saddr 10.99.0.3
deaf 3 ip saddr 10.99.0.2
sleep 3
heal
judge 'nodes 2 and 3 do not reach each other'
[ "$(view) $(deaths 1)$(deaths 2)$(deaths 3)" = "$before" ] || die 'a node was replaced by one vote'

# ---- the store of the membership is gone for all, for longer than a lease ----------------------------

before="$(deaths 1)$(deaths 2)$(deaths 3)"
under_load 7
for node in 1 2 3; do deaf $node tcp sport 6001; done
sleep 3
heal
judge 'nobody reaches the store of the membership'
[ "$(deaths 1)$(deaths 2)$(deaths 3)" = "$before" ] || die 'a node died for want of the store'

for node in 1 2 3; do end $node; done

# ---- slow and stalled links, by proxies ------------------------------------------------------------

"$compiler" -std=gnu11 -D_GNU_SOURCE -O1 "$source/tests/e2e/slowlink.c" -o "$work/slowlink" ||
    die 'the slow link does not compile'
for node in 1 2 3; do
    echo 20 >"$work/delay$node"
    ip netns exec "$ns-0" "$work/slowlink" 10.99.0.9 "710$node" "10.99.0.$node" 7000 "$work/delay$node" &
    servers="$servers $!"
    eval "place_$node=\"\$place_$node --advertise 10.99.0.9:710$node\""
done
start_three
under_load 8
before="$(view) $(deaths 1)$(deaths 2)$(deaths 3)"
for round in 1 2 3; do
    echo -1 >"$work/delay$round"
    sleep 0.5
    echo 20 >"$work/delay$round"
    sleep 1
done
judge 'links of 20 ms that stall for half a lease'
[ "$(view) $(deaths 1)$(deaths 2)$(deaths 3)" = "$before" ] || die 'a node was replaced for a slow link'
grep -q ' 0 unknown' "$work/load.out" || die 'a slow link made calls unknown'
for node in 1 2 3; do end $node; done
echo "$checks checks passed"
