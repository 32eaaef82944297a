#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# While the store stands still, looks into the node are answered at once, also behind looks at what
# is stored; those come when the store does; and a daemon that is told to hurry begins none of them.
#
# Needs TROUPE_BUILD (the build's folder) and TROUPE_SOURCE; ctest sets them. CC compiles modules.
set -u
build=${TROUPE_BUILD:?}
source=${TROUPE_SOURCE:?}
work=$(mktemp -d /tmp/troupe-slow.XXXXXX)
unset XDG_RUNTIME_DIR TROUPE_CONFIG NOTIFY_SOCKET
export TROUPE_SOCKET="$work/node.sock"
export SLOW_STORE="$work/slow"
export TROUPE_PROVIDER_PATH="$work"
daemon=''

clean() {
    rm -f "$SLOW_STORE"
    if [ -n "$daemon" ]; then kill -9 "$daemon" 2>/dev/null; fi
    rm -rf "$work"
}
trap clean EXIT

die() {
    echo "FAILED: $*"
    tail -20 "$work"/*.out "$work"/*.err 2>/dev/null
    exit 1
}

"${CC:-cc}" -std=gnu11 -shared -fPIC -I "$source/include" -o "$work/purse.so" \
    "$source/tests/e2e/purse.c" || die 'the module does not compile'
"${CC:-cc}" -std=gnu11 -shared -fPIC -I "$source/include" -o "$work/libtroupe_slow.so" \
    "$source/tests/e2e/slow_store.c" || die 'the provider does not compile'
"$build/trouped" --load "$work/purse.so" --storage slow: >"$work/daemon.out" \
    2>"$work/daemon.err" &
daemon=$!
for _ in $(seq 200); do
    if grep -qs '^trouped: ' "$work/daemon.out"; then break; fi
    sleep 0.05
done
"$build/troupe" stored purse 2>"$work/none.err" || die 'the store does not answer'

touch "$SLOW_STORE"
"$build/troupe" stored purse >"$work/first.out" 2>&1 &
first=$!
"$build/troupe" state purse/ann >"$work/second.out" 2>&1 &
second=$!
for look in ping stats actors ps types config 'lookup purse/ann' 'where purse/ann'; do
    # shellcheck disable=SC2086
    timeout 5 "$build/troupe" $look >"$work/look.out" 2>"$work/look.err"
    code=$?
    if [ $code -ne 0 ] && ! grep -q 'NOT_FOUND' "$work/look.err"; then
        die "$look waits for the store: exit code $code"
    fi
done
kill -0 "$first" 2>/dev/null || die 'stored did not wait for the store'
kill -0 "$second" 2>/dev/null || die 'state did not wait for the store'

"$build/troupe" shutdown --now >"$work/look.out" 2>&1 || die 'shutdown is refused'
rm "$SLOW_STORE"
wait "$daemon" || die 'the daemon failed'
daemon=''
wait "$first"
wait "$second"
echo 'looks did not wait for the store'
