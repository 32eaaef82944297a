#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# While the store stands still, looks into the node are answered at once, also behind looks at what
# is stored; those come when the store does; and a daemon that is told to hurry begins none of them.
#
# CC compiles module and provider.
set -u
. "$(dirname "$0")/daemon.sh"
export SLOW_STORE="$work/slow"
export TROUPE_PROVIDER_PATH="$work"

module purse
module slow_store
mv "$work/slow_store.so" "$work/libtroupe_slow.so"
start --load "$work/purse.so" --storage slow:
run 0 troupe stored purse

touch "$SLOW_STORE"
troupe stored purse >"$work/first.out" 2>&1 &
first=$!
troupe state purse/ann >"$work/second.out" 2>&1 &
second=$!
for look in ping stats actors ps types config 'lookup purse/ann' 'where purse/ann'; do
    # shellcheck disable=SC2086
    timeout 5 "$build/troupe" $look >"$work/out" 2>"$work/err"
    code=$?
    if [ $code -ne 0 ] && ! grep -q 'NOT_FOUND' "$work/err"; then
        die "$look waits for the store: exit code $code"
    fi
done
kill -0 "$first" 2>/dev/null || die 'stored did not wait for the store'
kill -0 "$second" 2>/dev/null || die 'state did not wait for the store'

run 0 troupe shutdown --now
rm "$SLOW_STORE"
wait "$daemon" || die 'the daemon failed'
daemon=''
wait "$first"
wait "$second"
echo 'looks did not wait for the store'
