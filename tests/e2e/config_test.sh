#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `troupe config --check FILE` tells every error of a configuration file, each with its place, and
# says ok of a file with which a daemon starts.
set -u
. "$(dirname "$0")/daemon.sh"

mkdir "$work/etc"
file="$work/etc/node.yaml"
printf 'key\n' >"$work/etc/token"
cat >"$file" <<'END'
node: node-9
shards: 2
max-actors: 1_000
modules: [x.so]
socket: node.sock
cluster_token: ${file:token}
types:
  account: { idle: 5m, mailbox_limit: 10 }
END
run 0 troupe config --check "$file"
[ "$(cat "$work/out")" = "$file: ok" ] || die 'not ok'
[ ! -s "$work/err" ] || die 'words about a good file'
run 0 troupe config "$file" --check --json
[ "$(cat "$work/out")" = '{"ok":true,"errors":[]}' ] || die 'not ok as JSON'

cat >"$file" <<'END'
shards: 1000
max_actor: 5
modlues: [x.so]
driven: true
types:
  account: { idel: 5m }
  other: { idle: 0s }
idle: 1s
http: 0.0.0.0:80
END
run 1 troupe config --check "$file"
has err "$file: line 1, column 9: shards: 1_000 is too large"
has err "$file: line 2, column 12: max_actor: no such option; did you mean max_actors?"
has err "$file: line 3, column 11: modlues: no such option; did you mean modules?"
has err "$file: line 4, column 9: driven:"
has err "$file: line 6, column 20: types.account: idel: no such setting of a type; did you mean idle?"
has err "$file: line 7, column 18: types.other: idle: 0 is too small"
has err "$file: line 9, column 7: http: 0.0.0.0:80 is reached from other machines"
[ "$(wc -l <"$work/err")" = 7 ] || die 'not each error once'
[ ! -s "$work/out" ] || die 'a bad file is ok'
run 1 troupe config --check "$file" --json
has out '{"ok":false,"errors":[{"line":1,"column":9,"text":"shards: 1_000 is too large'
# What the daemon says of the first of them is the same.
run 2 "$build/trouped" --config "$file"
has err "$file: line 1, column 9: shards: 1_000 is too large"

printf 'shards: 1000\nidle: [\n' >"$file"
run 1 troupe config --check "$file"
has err 'line 1, column 9: shards'
has err 'line 3, column 1: '
printf 'shards: 2\nhttp_token: ${file:absent}\n' >"$file"
run 1 troupe config --check "$file"
has err "line 2, column 13: http_token: \${file:$work/etc/absent}: No such file"
run 1 troupe config --check "$work/etc/none.yaml"
has err 'none.yaml: No such file'
run 2 troupe config --check
has err '--check FILE'
run 2 troupe config "$file"
has err 'only checked'

# ---- what a node found on the machine is shown ----------------------------------------------------

module counter
export COUNTER_FILE="$work/counts"
start --load "$work/counter.so"
run 0 troupe config
grep -qE '^shards +[1-9][0-9_]* +machine$' "$work/out" || die 'the shards that were found'
grep -qE '^memory_limit +[1-9][0-9]*[KMGT]?i?B +machine$' "$work/out" || die 'the memory'
grep -qE '^max_clock_skew +10s +default$' "$work/out" || die 'a default'
checks=$((checks + 3))

echo "$checks checks"
