#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What a service manager hears of the daemon: READY=1 once it serves, WATCHDOG=1 again and again if
# that was asked of this process, RELOADING=1 and READY=1 around a reload, STOPPING=1 when it stops.
set -u
. "$(dirname "$0")/daemon.sh"
export COUNTER_FILE="$work/counts"
module counter
jansson=$(pkg-config --cflags --libs jansson 2>/dev/null || echo -ljansson)
# shellcheck disable=SC2086
"$compiler" -D_GNU_SOURCE "$source/tests/e2e/helper.c" -o "$work/helper" $jansson ||
    die 'the helper does not compile'

# listen: a daemon that is listened to.
listen() {
    rm -f "$work/notify"
    "$work/helper" notify "$work/notify" STOPPING=1 >"$work/notified" &
    until_true test -S "$work/notify"
    NOTIFY_SOCKET="$work/notify" start --load "$work/counter.so"
}
ended() {
    kill "$daemon"
    wait "$daemon" || die "trouped ended with $?"
    daemon=''
    until_true grep -q '^STOPPING=1$' "$work/notified"
}
reloaded() { [ "$(grep -c '^READY=1$' "$work/notified")" = 2 ]; }
fed_three_times() { [ "$(grep -c '^WATCHDOG=1$' "$work/notified")" -ge 3 ]; }

export WATCHDOG_USEC=50000
listen
until_true fed_three_times
kill -HUP "$daemon"
until_true reloaded
grep -v WATCHDOG "$work/notified" | tr '\n' ' ' |
    grep -qE '^READY=1 RELOADING=1 MONOTONIC_USEC=[1-9][0-9]* READY=1 $' || die 'no RELOADING=1'
ended
checks=$((checks + 5))
grep -q '^READY=1$' "$work/notified" || die 'READY=1 is missing'

export WATCHDOG_PID=1 # of another process
listen
for _ in 1 2 3 4 5 6 7 8 9 10; do run 0 troupe ask counter/1 count; done
ended
if grep -q WATCHDOG "$work/notified"; then die 'WATCHDOG=1 for another process'; fi

# It says that it stops when it begins to, while what was accepted still runs.
listen
troupe ask counter/1 wait_long >"$work/late" 2>&1 &
asker=$!
is_parked() { troupe ps | grep -q wait_long; }
until_true is_parked
kill "$daemon"
until_true grep -q '^STOPPING=1$' "$work/notified"
kill -0 "$asker" || die 'it says so when all is over'
kill "$daemon" # at once
wait "$daemon" || die "trouped ended with $?"
daemon=''
wait "$asker" && die 'a cancelled ask is answered'
checks=$((checks + 3))

echo "$checks checks"
