#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The demo reads a package index as it says: first alternatives, first providers, cycles, clauses twice,
# names that nobody provides; its figures for a small index are those worked out by hand, on one node and
# on three processes. On this machine's own index, where there is one, a part of it runs through with
# equal figures. Ctrl-C, and a process that is killed, end a cluster with exit code 1 and leave nothing.
set -eu
. "$(dirname "$0")/run_example.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/index" <<'END'
Package: app
Version: 1
Depends: libfoo (>= 1), mail-agent | postfix,
 python3:any, missing-thing [amd64]
Description: the first alternative of mail-agent is virtual
 Depends: this line belongs to the description

Package: libfoo
Depends: libc, libbar

Package: libbar
Depends: libfoo, libc (>= 1), libc (<< 2)

Package: postfix
Provides: mail-agent

Package: exim
Provides: smtp, mail-agent (= 1)

Package: libc

Package: python3
Pre-Depends: libc

Package: app
Depends: libc
END

WANTED='"packages": 7, "dependencies": 8, "clauses": 10, "by_provider": 1, "repeated": 1, "unresolved": 1,'
for nodes in 1 3; do
    example packages --index "$work/index" --rounds 1 --json --nodes $nodes
    for line in \
        '{"package": "libc", "rank": 1.850, "closure": 4}' \
        '{"package": "libfoo", "rank": 0.858, "closure": 2}' \
        '{"package": "libbar", "rank": 0.575, "closure": 2}' \
        '{"package": "exim", "rank": 0.433, "closure": 1}' \
        '{"package": "python3", "rank": 0.433, "closure": 1}' \
        '{"package": "app", "rank": 0.150, "closure": 0}' \
        '{"package": "postfix", "rank": 0.150, "closure": 0}'; do
        if ! printf '%s\n' "$output" | grep -qF "$line"; then
            echo "FAILED: no $line"
            exit 1
        fi
    done
done

if "$build/examples/example_packages" --index "$work/none" 2>"$work/error"; then
    echo 'FAILED: a missing index is no error'
    exit 1
fi
grep -q -- '--index FILE' "$work/error"

if [ -s /var/lib/dpkg/status ]; then
    WANTED='figures are those of the plain computation'
    example packages --quick
    example packages --quick --nodes 3
    example packages --quick --storage "sqlite:$work/packages.db"
    example packages --index "$work/index" --rounds 1 --storage "sqlite:$work/packages.db" # the same file
else
    echo 'NOTE: this machine has no package index; only the small one was tried'
fi
