#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# docs/features.md names tests and scenes that there are.
set -eu
cd "${TROUPE_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}"
page=docs/features.md

fail() { echo "FAILED: $*"; exit 1; }

seen=0
for name in $(grep '^| [A-Z]' "$page" | grep -oE '`[a-z0-9]+/[a-z_]+(:[a-z_]+)?`' | tr -d '`' | sort -u); do
    test=tests/${name%%:*}_test
    case $name in
    *:*) grep -qE "^ .*[( ]${name#*:}[,)]" "$test.c" || fail "$page: $test.c has no scene ${name#*:}" ;;
    *) [ -f "$test.c" ] || [ -f "$test.sh" ] || fail "$page: there is no $test.c or $test.sh" ;;
    esac
    seen=$((seen + 1))
done
[ "$seen" -gt 100 ] || fail "$page: only $seen tests were read"
