# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What the scripts of this folder share: a daemon with --http, and looks at what it answers. A
# script sources it after its `set`.
. "$(dirname "$0")/../e2e/daemon.sh"
if ! [ -e "$build/libtroupe_gateway.so" ] || ! command -v curl >/dev/null; then
    echo 'SKIPPED: libtroupe_gateway.so is not built, or there is no curl (make deps-test)'
    exit 77
fi

# serve ARGUMENT...: a daemon with the actors of tests/e2e/web.c, at $at (http://…), port $port.
serve() {
    start --load "$work/web.so" --http 127.0.0.1:0 "$@"
    at=$(grep -o 'http://[^/]*' "$work/daemon.out") || die 'the ready line names no address'
    port=${at##*:}
}
# stop: ends the daemon in order.
stop() {
    kill -TERM "$daemon"
    wait "$daemon" || die "trouped ended with $?"
    daemon=''
}
# get CODE CURL-ARGUMENT...: asks, and checks the code; the body is in $work/out, the head in head.
get() {
    wanted=$1
    shift
    code=$(curl -s --path-as-is --max-time 30 -D "$work/head" -o "$work/out" -w '%{http_code}' \
        "$@" 2>"$work/err") || die "curl failed with $?: $*"
    checks=$((checks + 1))
    [ "$code" = "$wanted" ] || die "$code, not $wanted: $*"
}
# says TEXT: the last body has it. tells TEXT: the last head has it.
says() { has out "$1"; }
tells() {
    checks=$((checks + 1))
    grep -qiF -- "$1" "$work/head" || die "the head does not say: $1 but: $(cat "$work/head")"
}
# counts NAME NUMBER: the node's counter is at least that.
counts() {
    run 0 troupe stats --json
    checks=$((checks + 1))
    value=$(grep -o "\"$1\":[0-9]*" "$work/out" | head -n 1 | cut -d : -f 2)
    [ "${value:-0}" -ge "$2" ] || die "$1 is $value, not $2 or more"
}
