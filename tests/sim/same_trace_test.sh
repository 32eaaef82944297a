#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A seed's trace is the same whatever compiler and options built the program: compares this build with
# the other builds that there are (build/release, build/asan, build/tsan, build/dev).
set -u
mine=${TROUPE_BUILD:?is set by ctest}/troupe
source=${TROUPE_SOURCE:?is set by ctest}
if [ ! -x "$mine" ]; then
    echo "FAILED: $mine was not built"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
compared=0

# Old binaries of other builds are another program: only those that are no older than the sources count.
is_fresh() {
    [ -x "$1" ] && [ -z "$(find "$source/src" "$source/testkit" "$source/include" -newer "$1" \
        -name '*.[chS]' -print -quit)" ]
}

plain=''
if setarch "$(uname -m)" -R true 2>/dev/null; then plain="setarch $(uname -m) -R"; fi

runs() {
    $plain "$1" sim --start 1 --seeds 24 --once --trace &&
        $plain "$1" sim --scenario disks --start 1 --seeds 6 --once --trace &&
        $plain "$1" sim --scenario cluster --start 1 --seeds 6 --once --trace
}

runs "$mine" >"$work/mine" || bad=1
if ! grep -q 'trace 0x' "$work/mine"; then
    echo 'FAILED: no trace was printed'
    cat "$work/mine"
    exit 1
fi
for other in "$source"/build/*/troupe; do
    if [ "$other" -ef "$mine" ] || ! is_fresh "$other"; then continue; fi
    runs "$other" >"$work/other"
    if ! diff "$work/mine" "$work/other"; then
        echo "FAILED: $other runs otherwise"
        bad=1
    fi
    compared=$((compared + 1))
done
if [ $bad -eq 0 ] && [ $compared -eq 0 ]; then
    echo 'SKIPPED: no other build is as new as the sources: the trace was compared with none'
    exit 77
fi
echo "compared with $compared other builds"
[ $bad -eq 0 ]
