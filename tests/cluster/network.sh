# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Network namespaces for the three processes of a test (processes.sh), and a fourth one for stores and
# proxies, with links that can be cut. Sourced after processes.sh. Skips the test where that is not
# allowed.
command -v nft >/dev/null && command -v ip >/dev/null || die 'nft or ip is not installed (make deps-test)'
command -v redis-server >/dev/null || die 'redis-server is not installed (make deps-test)'
ns=trp$$
if ! ip netns add "$ns-0" 2>"$work/err"; then
    echo "SKIPPED: network namespaces are not allowed here: $(cat "$work/err")"
    exit 77
fi
servers=''
leave() {
    for process in $servers; do kill -9 "$process" 2>/dev/null; done
    clean
    for node in 0 1 2 3; do ip netns del "$ns-$node" 2>/dev/null; done
}
trap leave EXIT

# ---- the network: 10.99.0.9 has the stores and proxies, 10.99.0.I is node I --------------------------

in_ns() {
    place=$1
    shift
    ip netns exec "$ns-$place" "$@"
}
in_ns 0 ip link add hub type bridge || die 'no bridge'
in_ns 0 ip addr add 10.99.0.9/24 dev hub
in_ns 0 ip link set hub up
in_ns 0 ip link set lo up
for node in 1 2 3; do
    ip netns add "$ns-$node" || die 'no namespace'
    in_ns 0 ip link add "to$node" type veth peer name eth0 netns "$ns-$node" || die 'no link'
    in_ns 0 ip link set "to$node" master hub up
    in_ns $node ip addr add "10.99.0.$node/24" dev eth0
    in_ns $node ip link set eth0 up
    in_ns $node ip link set lo up
    in_ns $node nft add table inet cut || die 'no nftables'
    in_ns $node nft add chain inet cut in '{ type filter hook input priority 0; }'
    eval "inside_$node='ip netns exec $ns-$node'"
    eval "place_$node='--listen 10.99.0.$node:7000 --allow_clear_text'"
done
# deaf I WHAT...: node I hears nothing of what nft calls WHAT. heal: all hear all.
deaf() {
    node=$1
    shift
    in_ns "$node" nft add rule inet cut in "$@" drop || die "nft refuses $*"
}
heal() {
    for node in 1 2 3; do in_ns $node nft flush chain inet cut in; done
}

# redis NAME PORT: in the namespace of the stores. (Not by in_ns: $! is to be the server itself.)
redis() {
    mkdir "$work/$1"
    ip netns exec "$ns-0" redis-server --bind 10.99.0.9 --protected-mode no --port "$2" --dir "$work/$1" --save '' \
        --appendonly yes --appendfsync always --maxmemory-policy noeviction >"$work/$1/log" 2>&1 &
    servers="$servers $!"
}
redis members 6001
redis state 6002
answers() { in_ns 0 redis-cli -h 10.99.0.9 -p "$1" ping | grep -q PONG; }
until_true answers 6001
until_true answers 6002

# ---- calls meanwhile ------------------------------------------------------------------------------

# under_load SECONDS: histories in the background; judge: what became of them.
under_load() {
    "$work/load" run ledger 20 8 "$1" $sockets >"$work/load.out" 2>"$work/err" &
    load=$!
    sleep 1
}
judge() {
    wait $load || {
        cp "$work/load.out" "$work/out"
        die "histories: $1"
    }
    echo "$1:"
    cat "$work/load.out"
    checks=$((checks + 1))
    grep -q '^calls: 0 good' "$work/load.out" && die "$1: no call went well"
    until_true await_members
    for node in 1 2 3; do run 0 at $node ask ledger/after add 1; done
}
deaths() { grep -c '"event":"died"' "$work/n$1.err"; }
view() { at 1 view --json | sed -n 's/.*"view":\([0-9]*\),.*/\1/p'; }
two_members() { at 1 view --json | grep -q '"members":2'; }
