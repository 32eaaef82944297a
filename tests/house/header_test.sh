#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The public headers compile alone, without a warning, as C11 of gcc and of clang, strictly, and as
# C++20 of both. Every header is compiled twice in one file, so a missing guard is found too. And so
# compiles what a user types in C++.
set -u
cd "${TROUPE_SOURCE:-$(dirname "$0")/../..}" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
tried=0

try() {
    compiler=$1
    shift
    if ! command -v "$compiler" >/dev/null; then
        echo "FAILED: $compiler is not installed (make deps-test)"
        bad=$((bad + 1))
        return
    fi
    tried=$((tried + 1))
    if ! "$compiler" "$@" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude \
        -fsyntax-only 2>"$work/log"; then
        echo "FAILED: $compiler $*"
        head -n 20 "$work/log"
        bad=$((bad + 1))
    fi
}

for header in include/troupe.h include/troupe/*.h; do
    if [ ! -e "$header" ]; then
        echo "FAILED: there is no $header"
        bad=$((bad + 1))
        continue
    fi
    name=${header#include/}
    for kind in c cpp; do
        printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" \
            >"$work/alone.$kind"
    done
    for compiler in gcc clang; do try $compiler -std=c11 "$work/alone.c"; done
    for compiler in g++ clang++; do try $compiler -std=c++20 "$work/alone.cpp"; done
done
for compiler in g++ clang++; do try $compiler -std=c++20 tests/house/user.cpp; done
echo "$tried compilations, $bad failed"
[ $bad -eq 0 ]
