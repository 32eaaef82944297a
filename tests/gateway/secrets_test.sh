#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A secret comes by reference, from a file beside the configuration or the environment, works, and
# is nowhere in what the daemon and the tool write: log at debug, configuration, statistics, metrics,
# errors.
set -u
. "$(dirname "$0")/gateway.sh"
export COUNTER_FILE="$work/counts"
module counter

token=Qm8vXtoken7Zr
pass=Kp3wYpass9Td
mkdir "$work/etc" "$work/agreed"
printf '%s\n' "$token" >"$work/etc/token"
cat >"$work/etc/node.yaml" <<END
modules: [../counter.so]
name: \${env:THE_NAME}
http: 127.0.0.1:0
http_token: \${file:token}
cluster_token: $pass
cluster: file:$work/agreed
log: debug
END

everything="$work/everything"
keep() { cat "$work/out" "$work/err" >>"$everything" 2>/dev/null; }
no_secret() {
    checks=$((checks + 1))
    if grep -nF -e "$token" -e "$pass" "$@"; then die 'a secret is told'; fi
}

cd "$work" || exit 1
export THE_NAME=node-x
start --config "$work/etc/node.yaml"
grep -q '^trouped: node-x serves' "$work/daemon.out" || die 'the name by reference'
address=$(sed -n 's|.*curl http://\([^/]*\)/.*|\1|p' "$work/daemon.out")
url="http://$address/v1.0/actors/counter/1/method/count"
[ "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$url")" = 401 ] || die 'called without a token'
code=$(curl -s -o "$work/out" -w '%{http_code}' -X POST -H "dapr-api-token: $token" "$url")
[ "$code" = 200 ] || die "the token of the file is not it: $code"

for words in config 'config --json' stats 'stats --json' metrics 'nodes --json' types \
    'config --explain http_token' ping 'lookup counter/1 --json'; do
    # shellcheck disable=SC2086
    run 0 troupe $words
    keep
done
run 0 troupe config
grep -qE "^http_token +\\\$\{file:$work/etc/token\} +file" "$work/out" || die 'the reference is not shown'
grep -qE '^cluster_token +\*\*\* +file' "$work/out" || die 'cluster_token is not ***'
stop
grep -q '"level":"info"' "$work/daemon.err" || die 'no log'
no_secret "$everything" "$work/daemon.out" "$work/daemon.err"

# ---- what does not work says so, and no secret ----------------------------------------------------

fails() { # WORDS ARGUMENT...
    words=$1
    shift
    run 2 "$build/trouped" --load "$work/counter.so" "$@"
    has err "$words"
    no_secret "$work/err" "$work/out"
}
fails "cluster_token: \${file:nowhere}: No such file" --cluster_token '${file:nowhere}'
fails "http_token: \${env:NOT_THERE}: it is not set" --http_token '${env:NOT_THERE}'
fails 'http_token: "${" begins no reference' --http_token "\${$pass}"
fails 'nosuch://app:***@db' --storage "nosuch://app:$pass@db"
fails "http_token: \${file:token}: No such file" --http_token '${file:token}'
cd "$work/etc" || exit 1 # a flag's path begins where trouped runs
fails 'nosuch' --http_token '${file:token}' --storage nosuch:

echo "$checks checks"
