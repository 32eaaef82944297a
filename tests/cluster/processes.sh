# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Three processes of trouped that are one cluster on the file provider, for the tests of this folder,
# over what the tests of the daemon share (tests/e2e/daemon.sh). Persistent actors lie in a Redis of
# the test's own.
#
# nodes have the numbers 1 to 3; $work/nI.sock, $work/nI.err, pid_I.
. "$(dirname "$0")/../e2e/daemon.sh"
unset TROUPE_SOCKET
module tally
"$compiler" -std=gnu11 -D_GNU_SOURCE -O1 -g -I "$source/tests/cluster" "$source/tests/e2e/load.c" "$source/tests/cluster/history.c" \
    -lpthread -o "$work/load" || die 'the load does not compile'
pid_1='' pid_2='' pid_3='' redis=''
storage=''
lease=3s
membership="file:$work/members"
# What a test sets so that node I runs elsewhere: a command that runs it, arguments of its own.
inside_1='' inside_2='' inside_3='' place_1='' place_2='' place_3=''
sockets="$work/n1.sock $work/n2.sock $work/n3.sock"

clean() {
    for process in $pid_1 $pid_2 $pid_3 $daemon $redis; do kill -9 "$process" 2>/dev/null; done
    rm -rf "$work"
}

die() {
    echo "FAILED: $*"
    for file in out err n1.err n2.err n3.err; do
        echo "---- $file"
        tail -n 25 "$work/$file" 2>/dev/null | cut -c1-300
    done
    echo '---- what the threads of the nodes wait for'
    for process in $pid_1 $pid_2 $pid_3; do
        if ! grep -qs '^State:.[^Z]' "/proc/$process/status"; then
            wait "$process"
            echo "$process has ended with $?"
        fi
        for thread in /proc/"$process"/task/*; do
            echo "$process $(cat "$thread/comm" "$thread/wchan" 2>/dev/null | tr '\n' ' ')"
        done
    done
    exit 1
}

pid_of() { eval "echo \$pid_$1"; }
at() {
    number=$1
    shift
    "$build/troupe" "$@" --socket "$work/n$number.sock"
}
node_serves() { grep -q '^trouped: ' "$work/n$1.out"; }

# begin I [ARGUMENT]...: a node, without waiting for it.
begin() {
    number=$1
    shift
    : >"$work/n$number.out"
    eval "inside=\$inside_$number place=\$place_$number"
    # shellcheck disable=SC2086
    $inside "$build/trouped" --name "node-$number" --socket "$work/n$number.sock" --shards 2 \
        --log info --cluster "$membership" --lease_ttl $lease --load "$work/tally.so" \
        ${storage:+--storage "$storage"} $place "$@" >"$work/n$number.out" \
        2>>"$work/n$number.err" &
    eval "pid_$number=$!"
}
await_members() {
    for node in 1 2 3; do
        at $node view --json 2>/dev/null | grep -q '"members":3' || return 1
    done
}
start_three() {
    for node in 1 2 3; do begin $node "$@"; done
    for node in 1 2 3; do until_true node_serves $node; done
    until_true await_members
}
# end I: SIGTERM, and its exit code must be 0.
end() {
    process=$(pid_of "$1")
    kill -TERM "$process"
    wait "$process"
    code=$?
    eval "pid_$1=''"
    checks=$((checks + 1))
    [ $code -eq 0 ] || die "node $1 ended with $code"
}
# kill_node I: as a crash.
kill_node() {
    kill -9 "$(pid_of "$1")"
    wait "$(pid_of "$1")" 2>/dev/null
    eval "pid_$1=''"
}

# Sets `storage`.
start_redis() {
    program=$(command -v redis-server) || die 'redis-server is not installed (make deps-test)'
    mkdir "$work/redis"
    "$program" --port 0 --unixsocket "$work/redis/socket" --dir "$work/redis" --save '' \
        --appendonly yes --appendfsync always --maxmemory-policy noeviction >"$work/redis/log" 2>&1 &
    redis=$!
    until_true test -S "$work/redis/socket"
    storage="redis://$work/redis/socket"
}
