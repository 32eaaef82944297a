#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `troupe metrics` prints what Prometheus reads: promtool finds nothing to complain of, and what was
# done is what was counted.
set -u
. "$(dirname "$0")/daemon.sh"
export COUNTER_FILE="$work/counts"

command -v promtool >/dev/null || die 'promtool is missing: make deps-test'
module counter
start --load "$work/counter.so" --shards 2

# value NAME: of the last page, summed over its labels.
value() {
    awk -v name="$1" 'index($1, name "{") == 1 || $1 == name { sum += $2; seen = 1 }
                      END { if (!seen) exit 1; print sum }' "$work/out" || die "no $1 on the page"
}
# is NAME VALUE
is() {
    checks=$((checks + 1))
    got=$(value "$1") || exit 1
    [ "$got" = "$2" ] || die "$1 is $got, not $2"
}

for i in 1 2 3 4 5 6 7; do
    troupe ask counter/$i count >/dev/null || die 'the ask failed'
done
run 0 troupe metrics
cp "$work/out" "$work/page"
is troupe_asks_total 7
is troupe_turns_total 7
is troupe_failures_total 0
is troupe_actors 7
has out 'troupe_turns_total{type="counter",shard="1"} '
[ "$(value process_resident_memory_bytes)" -gt 1000000 ] || die 'the process has no memory'
value process_cpu_seconds_total | grep -q '[1-9]' || die 'the process has used no processor'
run 0 promtool check metrics <"$work/page"
[ ! -s "$work/err" ] || die 'promtool complains'

# ---- the same for a person ------------------------------------------------------------------------

run 0 troupe stats
has out 'now: 7 actors active, of 7 activations ever'
has out 'turns a second'
has out 'MiB resident'
run 0 troupe stats counter/3
has out 'counter/3  node-1/'
has out 'received 1  processed 1  errors 0  queued 0  parked 0'
run 0 troupe stats counter/3 --json
has out '"processed":1,"errors":0'
run 1 troupe stats counter/99
has err 'NOT_FOUND'
run 1 troupe stats nosuch/1
has err 'NO_TYPE'
run 2 troupe stats nonsense
run 0 troupe nodes
has out 'HEALTHY'
run 0 troupe nodes --json
has out '"healthy":true'
has out '"actors":7'

# ---- one source: what a person reads is what Prometheus reads ---------------------------------------

troupe ask counter/1 nonsense >/dev/null 2>&1
run 0 troupe stats --json
tr '{,}' '\n\n\n' <"$work/out" | sed -n 's/^"\([a-z_]*\)":\([0-9][0-9]*\)$/\1 \2/p' >"$work/stats"
run 0 troupe metrics
# counted NAME: as stats say it.
counted() { sed -n "s/^$1 //p" "$work/stats" | head -n 1; }
for name in turns failures asks tells activations deactivations evictions busy_mailbox panics timeouts \
    parks cache_hits cache_misses cache_evictions http_requests store_ops no_memory; do
    [ -n "$(counted $name)" ] || die "stats without $name"
    is "troupe_${name}_total" "$(counted $name)"
done
is troupe_actors "$(counted active)"
is troupe_queued_messages "$(counted queued)"
is troupe_parked_turns "$(counted parked)"
is troupe_pending_asks "$(counted pending_asks)"
is troupe_memory_used_bytes "$(counted bytes)"
is troupe_memory_reserved_bytes "$(counted reserved)"
# All counters that stats have are on the page.
for name in $(sed -n '/^turns /,/^count /p' "$work/stats" | cut -d' ' -f1); do
    [ "$name" = count ] || value "troupe_${name}_total" >/dev/null || exit 1
done
# What stats say of time is of what the page has counted.
[ "$(sed -n 's/^count //p' "$work/stats" | sed -n 2p)" = "$(value troupe_ask_seconds_count)" ] ||
    die 'another number of asks was measured'
checks=$((checks + 1))
echo "$checks checks"
