#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The membership in etcd and in PostgreSQL, as cluster/partition has it in Redis: a node is cut off
# from all and replaced; nobody reaches the store for longer than a lease; the store is killed and
# comes back. No history shows it, and a store that is away ends no incarnation.
set -u
. "$(dirname "$0")/processes.sh"
. "$(dirname "$0")/network.sh"
command -v etcd >/dev/null || die 'etcd is not installed (make deps-test)'
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -n "$postgres_bin" ] || die 'PostgreSQL is not installed (make deps-test)'
storage=redis://10.99.0.9:6002
lease=1s
server=''

etcd_start() {
    ip netns exec "$ns-0" etcd --data-dir "$work/etcd" --listen-client-urls http://10.99.0.9:6003 \
        --advertise-client-urls http://10.99.0.9:6003 --listen-peer-urls http://10.99.0.9:6013 \
        --initial-advertise-peer-urls http://10.99.0.9:6013 \
        --initial-cluster default=http://10.99.0.9:6013 >"$work/etcd.log" 2>&1 & # its log begins anew
    server=$!
    servers="$servers $server"
}
etcd_answers() { grep -q 'ready to serve client requests' "$work/etcd.log"; }

# PostgreSQL refuses root.
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
postgres_make() {
    mkdir "$work/postgres"
    chmod 711 "$work"
    chown postgres "$work/postgres"
    as_postgres "$postgres_bin/initdb" -D "$work/postgres" -A trust >"$work/initdb.log" 2>&1 ||
        die 'initdb fails'
    echo 'host all all 10.99.0.0/24 trust' >>"$work/postgres/pg_hba.conf"
}
postgres_start() {
    ip netns exec "$ns-0" setpriv --reuid postgres --regid postgres --clear-groups \
        "$postgres_bin/postgres" -D "$work/postgres" -p 6004 -h 10.99.0.9 -k '' \
        >>"$work/postgres.log" 2>&1 &
    server=$!
    servers="$servers $server"
}
postgres_answers() { in_ns 0 "$postgres_bin/pg_isready" -h 10.99.0.9 -p 6004; }

# try NAME PORT: the scenes on that store.
try() {
    "$1_start"
    until_true "$1_answers"
    start_three

    under_load 7
    deaf 3 ip saddr 10.99.0.0/24
    until_true two_members
    sleep 1
    heal
    judge "$1: node 3 is cut off from all"
    [ "$(deaths 3)" -ge 1 ] || die 'node 3 did not notice that it was replaced'

    before="$(deaths 1)$(deaths 2)$(deaths 3)"
    under_load 7
    for node in 1 2 3; do deaf $node tcp sport "$2"; done
    sleep 3
    heal
    judge "$1: nobody reaches it"

    under_load 8
    kill -9 "$server"
    wait "$server" 2>/dev/null
    sleep 2
    "$1_start"
    until_true "$1_answers"
    judge "$1: it is killed and comes back"
    [ "$(deaths 1)$(deaths 2)$(deaths 3)" = "$before" ] || die 'a node died for want of the store'
    for node in 1 2 3; do end $node; done
    kill -9 "$server"
}
membership=etcd://10.99.0.9:6003
try etcd 6003
for node in 1 2 3; do rm -f "$work/n$node.err"; done
postgres_make
membership=postgres://postgres@10.99.0.9:6004/postgres
try postgres 6004
echo "$checks checks passed"
