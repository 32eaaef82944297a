#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The program in the README is examples/hello/hello.c, which is built and run; what the README links to
# in this repository exists.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk '/^```c$/ && !done { inside = 1; next } /^```$/ { if (inside) done = 1; inside = 0 } inside' README.md >"$work/shown"
sed 1,2d examples/hello/hello.c >"$work/built"
diff "$work/shown" "$work/built"

for link in $(grep -oE '\]\([^)#:]+\)' README.md | sed 's/^](//; s/)$//'); do
    if [ ! -e "$link" ]; then
        echo "FAILED: README.md links to $link, which does not exist"
        exit 1
    fi
done
