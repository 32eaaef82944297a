# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What the tests of the daemon and the tool share: a folder, a daemon in it, commands whose output is
# kept and looked at. A test sources it; its own file says what is promised.
#
# Needs TROUPE_BUILD (the build's folder) and TROUPE_SOURCE; ctest sets them.
build=${TROUPE_BUILD:?}
source=${TROUPE_SOURCE:?}
compiler=${CC:-cc}
work=$(mktemp -d /tmp/troupe-e2e.XXXXXX)
unset XDG_RUNTIME_DIR TROUPE_CONFIG NOTIFY_SOCKET
export TROUPE_SOCKET="$work/run/node.sock"
daemon=''
checks=0

clean() {
    if [ -n "$daemon" ]; then kill -9 "$daemon" 2>/dev/null; fi
    rm -rf "$work"
}
trap clean EXIT

die() {
    echo "FAILED: $*"
    echo '---- out'; cat "$work/out" 2>/dev/null
    echo '---- err'; cat "$work/err" 2>/dev/null
    echo '---- trouped'; tail -n 20 "$work/daemon.out" "$work/daemon.err" 2>/dev/null
    exit 1
}

troupe() { "$build/troupe" "$@"; }
# module NAME [FILE]: of tests/e2e/NAME.c, or of that file, as $work/NAME.so.
module() {
    "$compiler" -std=gnu11 -shared -fPIC -I "$source/include" -o "$work/$1.so" \
        "${2:-$source/tests/e2e/$1.c}" || die "$1.c does not compile"
}

# run CODE COMMAND...: runs, keeps output, checks the exit code.
run() {
    wanted=$1
    shift
    "$@" >"$work/out" 2>"$work/err"
    code=$?
    checks=$((checks + 1))
    [ $code -eq "$wanted" ] || die "exit code $code, not $wanted: $*"
}
# has FILE TEXT: the last output says it.
has() {
    checks=$((checks + 1))
    grep -qF -- "$2" "$work/$1" || die "std$1 does not say: $2"
}
# until_true COMMAND...: waits for a condition, for `patience` seconds at most, else for 30: a disk that
# others write to can hold an fsync for longer than 10.
until_true() {
    for _ in $(seq $((${patience:-30} * 20))); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    die "has not become true: $*"
}
is_ready() { grep -q '^trouped: ' "$work/daemon.out"; }

# start ARGUMENT...: a daemon, once it serves.
start() {
    : >"$work/daemon.out" # or the line of the last one is taken for this one's
    "$build/trouped" "$@" >"$work/daemon.out" 2>"$work/daemon.err" &
    daemon=$!
    until_true is_ready
}

# configure MODULE... -- LINE...: the configuration file of a daemon with those modules.
file="$work/node.yaml"
configure() {
    list=''
    while [ "$1" != -- ]; do
        list="$list${list:+, }$1.so"
        shift
    done
    shift
    { echo "modules: [$list]"; for line in "$@"; do echo "$line"; done; } >"$file"
}
# is_shown OPTION TEXT: what `troupe config` says of it: value, origin, and what waits for a restart.
is_shown() {
    troupe config >"$work/out" 2>"$work/err" || die 'troupe config fails'
    shown=$(grep -E "^$1 " "$work/out" | tr -s ' ' | sed 's/ $//')
    checks=$((checks + 1))
    [ "$shown" = "$1 $2" ] || die "troupe config says \"$shown\", not \"$1 $2\""
}
