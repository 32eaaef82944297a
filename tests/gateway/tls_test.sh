#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Calls over HTTPS, with curl: the certificate that callers see, those of callers themselves, files
# that are wrong, and new ones while the daemon runs.
#
# CC compiles the module.
set -u
. "$(dirname "$0")/gateway.sh"
command -v openssl >/dev/null || { echo 'SKIPPED: there is no openssl'; exit 77; }
module web

# authority NAME; certificate NAME AUTHORITY USE: NAME.pem and NAME.key.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
        -keyout "$work/$1.key" -out "$work/$1.pem" 2>"$work/err" || die "no authority $1"
}
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "$work/$1.key" -out "$work/request.pem" 2>"$work/err" || die "no request $1"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%s\n' "$3" >"$work/extensions"
    openssl x509 -req -in "$work/request.pem" -CA "$work/$2.pem" -CAkey "$work/$2.key" -days 2 \
        -extfile "$work/extensions" -out "$work/$1.pem" 2>"$work/err" || die "no certificate $1"
}
authority mine
authority others
certificate server mine serverAuth
certificate renewed others serverAuth
certificate caller mine clientAuth
certificate stranger others clientAuth
certificate misused mine serverAuth

# serve_tls ARGUMENT...: serves at https; $call is where calls go.
serve_tls() {
    start --load "$work/web.so" --http 127.0.0.1:0 --http_tls_certificate "$work/now.pem" \
        --http_tls_key "$work/now.key" "$@"
    at=$(grep -o 'https://[^/]*' "$work/daemon.out") || die 'the ready line names no address'
    port=${at##*:}
    call="$at/v1.0/actors"
}
use() { cp "$work/$1.pem" "$work/now.pem" && cp "$work/$1.key" "$work/now.key"; }
# fails CURL-ARGUMENT...: there is no answer.
fails() {
    checks=$((checks + 1))
    if curl -s --max-time 30 -o "$work/out" "$@" 2>"$work/err"; then die "it was answered: $*"; fi
}

# ---- the certificate that callers see -----------------------------------------------------------

use server
serve_tls
get 200 --cacert "$work/mine.pem" -d hello "$call/web/a/method/echo"
says hello
get 204 --cacert "$work/mine.pem" "$at/v1.0/healthz"
get 200 --cacert "$work/mine.pem" --tls-max 1.2 -d hello "$call/web/a/method/echo"
fails --cacert "$work/others.pem" -d hello "$call/web/a/method/echo"
fails --cacert "$work/mine.pem" --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 -d hello "$call/web/a/method/echo"
fails -d hello "http://127.0.0.1:$port/v1.0/actors/web/a/method/echo"
curl -s -Z --parallel-max 16 --cacert "$work/mine.pem" -d x "$call/web/[1-100]/method/echo" >"$work/out" ||
    die 'many at once'
[ "$(wc -c <"$work/out")" = 100 ] || die 'not all of 100 were answered'

# A caller that goes away cancels its call here, too.
parked() { troupe ps --json | grep -qF "\"web/$1\""; }
nobody_parked() { ! troupe ps --json | grep -q '"late"'; }
curl -s -H 'Troupe-Timeout: 10m' --cacert "$work/mine.pem" -d 600000 "$call/web/one/method/late" >"$work/out" 2>&1 &
caller=$!
until_true parked one
kill -9 $caller
until_true nobody_parked

# ---- new ones, while it runs ----------------------------------------------------------------------

use renewed
run 0 troupe config --reload
get 200 --cacert "$work/others.pem" -d hello "$call/web/a/method/echo"
fails --cacert "$work/mine.pem" -d hello "$call/web/a/method/echo"
cp "$work/server.key" "$work/now.key" # it is not that of the certificate
run 1 troupe config --reload
has err 'http_tls_key'
echo nonsense >"$work/now.pem"
run 1 troupe config --reload
has err "http_tls_certificate: $work/now.pem"
get 200 --cacert "$work/others.pem" -d hello "$call/web/a/method/echo" # those before stay
stop

# ---- certificates of callers ------------------------------------------------------------------------

use server
serve_tls --http_tls_authority "$work/mine.pem"
tell() { # CODE NAME: a call with that certificate
    get "$1" --cacert "$work/mine.pem" --cert "$work/$2.pem" --key "$work/$2.key" -d hello "$call/web/a/method/echo"
}
tell 200 caller
says hello
tell 403 stranger
says 'ERR_CERTIFICATE'
tell 403 misused
get 403 --cacert "$work/mine.pem" -d hello "$call/web/a/method/echo"
says 'http_tls_authority'
get 204 --cacert "$work/mine.pem" "$at/v1.0/healthz" # health needs none
stop

# ---- what does not begin ----------------------------------------------------------------------------

run 2 "$build/trouped" --load "$work/web.so" --http 127.0.0.1:0 --http_tls_certificate "$work/now.pem"
has err 'http_tls_key'
run 2 "$build/trouped" --load "$work/web.so" --http 127.0.0.1:0 --http_tls_certificate "$work/now.pem" \
    --http_tls_key "$work/nowhere"
has err "http_tls_key: $work/nowhere cannot be read"
run 2 "$build/trouped" --load "$work/web.so" --http 127.0.0.1:0 --http_tls_certificate "$work/server.pem" \
    --http_tls_key "$work/caller.key"
has err 'http_tls_key'
run 2 "$build/trouped" --load "$work/web.so" --http 127.0.0.1:0 --http_tls_certificate "$work/now.pem" \
    --http_tls_key "$work/now.key" --http_tls_authority "$work/now.key"
has err 'http_tls_authority'
echo "$checks checks"
