#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A daemon reads its configuration again, on SIGHUP and by `troupe config --reload`: what can change
# takes effect, of the rest it is told that it needs a restart, and a file that is wrong changes
# nothing.
set -u
. "$(dirname "$0")/daemon.sh"
export COUNTER_FILE="$work/counts"
module counter

write() { configure counter -- "$@"; }
has_failed_twice() { [ "$(grep -c 'nothing has changed: ' "$work/daemon.err")" = 2 ]; }
says() { grep -qF -- "$1" "$work/daemon.err"; }
is_idle() { [ "$(troupe actors --json)" = '{"id":1,"ok":true,"actors":[],"more":false}' ]; }

write 'shards: 2' 'max_actors: 1_000' 'ask_timeout: 20s'
start --config "$file" --set outbox_limit=77
run 0 troupe config --reload
[ ! -s "$work/out" ] || die 'changes where there are none'
has err 'nothing has changed'

# ---- what can change does, also of what flags and file say of a type ------------------------------

run 0 troupe ask counter/1 count
write 'shards: 3' 'max_actors: 5_000' 'ask_timeout: 20s' 'outbox_limit: 5' 'idle: 50ms' \
    'cluster_name: other' 'http_token: abcdefgh' 'types: { counter: { mailbox_limit: 9, stack_size: 128KiB } }'
run 0 troupe config --reload
has out 'max_actors                   5_000'
[ "$(grep -c ' taken$' "$work/out")" = 3 ] || die 'not max_actors, idle and mailbox_limit'
grep -qE '^types.counter.mailbox_limit +9 +taken$' "$work/out" || die 'the setting of a type'
grep -qE '^types.counter.stack_size +128KiB +needs a restart$' "$work/out" || die 'of a stack'
grep -qE '^shards +3 +needs a restart$' "$work/out" || die 'shards'
grep -qE '^cluster_name +other +needs a restart$' "$work/out" || die 'the name of the cluster'
grep -qE '^http_token +\*\*\* +needs a restart$' "$work/out" || die 'a token is told'
[ "$(wc -l <"$work/out")" = 7 ] || die 'more has changed, or less'
checks=$((checks + 7))
until_true is_idle # an actor that was active goes by the new age
is_shown idle '50ms file'
is_shown max_actors '5_000 file'
is_shown outbox_limit '77 flag' # a flag goes before the file
is_shown shards '2 file 3'
is_shown cluster_name 'troupe default other'
says 'shards: 3 needs a restart' || die 'the log does not say what needs a restart'
says 'idle: 50ms from now on' && die 'the log is at warn'

# ---- a file that is wrong changes nothing ---------------------------------------------------------

write 'shards: 2' 'idle: 1h' 'max_actor: 7'
run 1 troupe config --reload
has err "$file: line 4, column 12: max_actor: no such option; did you mean max_actors?"
kill -HUP "$daemon"
until_true has_failed_twice # and has read the file, before another one is written
says "line 4, column 12: max_actor: no such option; did you mean max_actors?" || die 'where it is wrong'
write 'idle: 1h' 'types: { conter: { idle: 1h } }'
run 1 troupe config --reload
has err 'line 3, column 26: types.conter.idle: no module brings a type "conter": did you mean counter?'
write 'idle: 1h' 'http_token: ${file:absent}'
run 1 troupe config --reload
has err "line 3, column 13: http_token: \${file:$work/absent}: No such file"
write 'idle: 1h' 'max_message: 64MiB' 'mailbox_bytes: 1MiB'
run 1 troupe config --reload
has err "$file: line 3, column 14: max_message: 64MiB never fits"
is_shown idle '50ms file'
is_shown shards '2 file 3'

# ---- SIGHUP; the log; what needed a restart and is as it was ---------------------------------------

write 'shards: 2' 'idle: 60ms' 'log: info,text' 'modules: [other.so]'
sed -i 1d "$file"
kill -HUP "$daemon"
until_true says 'info node-1 reload: the configuration was read again:'
says 'idle: 60ms from now on' || die 'idle'
says 'warn node-1 reload: modules: another list needs a restart' || die 'modules'
is_shown shards '2 file'
is_shown log 'info,text file'
run 0 troupe ask counter/1 count
until_true says ' warn node-1 state_lost: ' # the node's own log, as it is now
run 0 troupe config --reload --json
has out '"changes":[{"name":"modules","value":"another list","taken":false}]' # and nothing else
checks=$((checks + 8))

kill "$daemon"
wait "$daemon" || die "trouped ended with $?"
daemon=''

# ---- before it is ready -----------------------------------------------------------------------------

# It waits for its configuration out of a pipe when it is told to read it again: it holds that until
# the node is open.
rm "$file"
mkfifo "$file"
: >"$work/daemon.out"
"$build/trouped" --config "$file" >"$work/daemon.out" 2>"$work/daemon.err" &
daemon=$!
exec 9>"$file" # until it has opened it, too
kill -HUP "$daemon"
mv "$file" "$work/pipe"
write 'shards: 1' 'log: info' 'max_actors: 7_000'
(echo 'modules: [counter.so]' >&9) || die 'a SIGHUP ends it'
exec 9>&-
until_true is_ready
until_true says 'was read again: 2 taken'
is_shown max_actors '7_000 file'

echo "$checks checks"
