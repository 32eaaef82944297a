#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What is said of one actor type: flags go before the environment, that before the file, the file
# before the module's code; a type or setting that does not exist is named, with its place and what
# was probably meant.
set -u
. "$(dirname "$0")/daemon.sh"
export COUNTER_FILE="$work/counts"
module counter
module tally
write() { configure counter tally -- "$@"; }
is_active() { [ "$(troupe actors | sed 1d | cut -d' ' -f1)" = "$1" ]; }

# ---- one goes before the other --------------------------------------------------------------------

write 'types:' '  counter:' '    idle: 1h' '    mailbox_limit: 11' '    turn_batch: 3' \
    '    placement: { policy: random, require: { gpu: "true", zone: a } }'
run 0 troupe config --check "$file"
TROUPE_TYPES='counter.idle=2h; counter.mailbox_limit=12' \
    start --config "$file" --types.counter.idle 40ms --set types.tally.idle=1h
is_shown types.counter.turn_batch '3 file'
is_shown types.counter.mailbox_limit '12 environment'
is_shown types.counter.idle '40ms flag'
is_shown types.tally.idle '1h flag'
is_shown types.counter.placement.policy 'random file'
is_shown types.counter.placement.require 'gpu=true, zone=a file'
run 0 troupe ask counter/1 count
run 0 troupe ask tally/1 show
until_true is_active 'tally/1' # each by its own idle age

# ---- and again, at a reload: environment and flags are as they were --------------------------------

write 'idle: 50ms' 'types: { counter: { turn_batch: 4, placement: least-loaded } }'
run 0 troupe config --reload
grep -qE '^types.counter.turn_batch +4 +taken$' "$work/out" || die 'turn_batch'
grep -qE '^types.counter.placement.policy +least-loaded +needs a restart$' "$work/out" || die 'policy'
grep -qE '^types.counter.placement.require +as the module says +needs a restart$' "$work/out" ||
    die 'require'
[ "$(wc -l <"$work/out")" = 4 ] || die 'more, or less'
is_shown types.counter.turn_batch '4 file'
is_shown types.counter.placement.policy 'random file'
run 0 troupe ask tally/1 show
is_active 'tally/1' || die "the node's idle age is not that of a type with its own"
kill "$daemon"
wait "$daemon" || die "trouped ended with $?"
daemon=''

# ---- what is wrong -------------------------------------------------------------------------------

served="$build/trouped --config $file --check"
write 'types: { counter: { idle: 1h } }'
run 0 $served
[ "$(cat "$work/out")" = 'trouped: ok' ] || die 'not ok'
[ ! -e "$work/run/node.sock" ] || die 'a check that serves'
write 'types: { conter: { idle: 1h } }'
run 2 $served
has err "$file: line 2, column 26: types.conter.idle: no module brings a type \"conter\": did you mean counter?"
write 'types: { counter: { idel: 1h } }'
run 2 $served
has err "$file: line 2, column 27: types.counter: idel: no such setting of a type; did you mean idle?"
run 1 troupe config --check "$file"
has err 'did you mean idle?'
write 'types: { counter: { placement: { polcy: random } } }'
run 1 troupe config --check "$file"
has err 'types.counter: placement.polcy: no such setting of a type; did you mean placement.policy?'
write 'types: { counter: { placement: randm } }'
run 1 troupe config --check "$file"
has err 'placement.policy: "randm": unknown policy: choose prefer-local'
write 'types: { counter: { placement: { require: "gpu=" } } }' 'types.x.y: 1'
run 1 troupe config --check "$file"
has err 'types.x: y: no such setting of a type'
write 'types: { counter: { idle: 0s } }'
run 1 troupe config --check "$file"
has err 'types.counter: idle: 0 is too small'
write 'shards: 300'
run 2 $served
has err 'line 2, column 9: shards: 300 is too large'
write ''
run 2 $served --types.counter.idel 5m
has err 'types.counter: idel: no such setting of a type; did you mean idle?'
run 2 $served --types.conter.idle 5m
has err 'types.conter.idle: no module brings a type "conter": did you mean counter?'
run 2 env TROUPE_TYPES='counter.idle' $served
has err '$TROUPE_TYPES: "counter.idle": write'
run 2 env TROUPE_TYPES='tally.idle=1h; conter.idle=5m' $served
has err '$TROUPE_TYPES: types.conter.idle: no module brings a type "conter"'

run 0 troupe config --explain types.account.mailbox_limit
has out 'mailbox_limit (count)'
has out 'flag --types.TYPE.mailbox_limit'
run 0 troupe config --explain max_actors
if grep -q 'types' "$work/out"; then die 'max_actors is of no type'; fi

echo "$checks checks"
