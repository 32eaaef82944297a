#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Ten thousand connections that say nothing: what they cost, that calls go on beside them, and that each
# is served when it speaks at last.
#
# CC compiles the module and the client.
set -u
. "$(dirname "$0")/gateway.sh"
connections=10000
patience=150 # so many take their time in a node under a sanitizer
most=8192 # bytes of memory of one
if ! ulimit -n $((connections + 1000)) 2>"$work/err"; then
    echo "SKIPPED: open files are limited to $(ulimit -Hn), and this needs $((connections + 1000))"
    exit 77
fi
module web
"$compiler" -D_GNU_SOURCE -g "$source/tests/e2e/raw_http.c" -o "$work/raw_http" ||
    die 'the client does not compile'
resident() { troupe stats --json | grep -o '"resident":[0-9]*' | cut -d : -f 2; }

serve --http_connections $((connections + 100)) --http_timeout 10m
if grep -q http_connections "$work/daemon.err"; then die 'the limit of open files is too low'; fi
get 200 -d fine "$at/v1.0/actors/web/a/method/echo"
before=$(resident)
mkfifo "$work/go"
"$work/raw_http" "$port" hold $connections /livez 200 <"$work/go" >"$work/held" 2>"$work/err" &
holder=$!
exec 9>"$work/go"
until_true grep -q held "$work/held"
# The last of them is accepted before a call that comes behind it is answered.
for _ in 1 2 3; do
    get 200 -d fine "$at/v1.0/actors/web/a/method/echo"
    says fine
done
open=$(ls "/proc/$daemon/fd" | wc -l)
checks=$((checks + 1))
[ "$open" -ge $connections ] || die "only $open files are open"
each=$((($(resident) - before) / connections))
checks=$((checks + 1))
case ${TROUPE_BUILD##*/} in
*san*) ;; # a sanitizer's memory is not ours
*) [ $each -le $most ] || die "$each bytes for each connection, more than $most" ;;
esac
echo go >&9
wait $holder || die "the client: $(cat "$work/err")"
exec 9>&-
checks=$((checks + 1))
grep -qx "served $connections" "$work/held" || die "not all were served: $(cat "$work/held")"
get 200 -d fine "$at/v1.0/actors/web/a/method/echo"
stop
echo "$each bytes for each of $connections; $checks checks"
