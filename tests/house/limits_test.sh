#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# docs/limits.md names every option of a node, with its default and limits as they are.
set -u
root=${TROUPE_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/tools/option-table" "$root" >"$work/wanted"
grep -c '^| `' "$work/wanted" >"$work/count"
rows=$(grep -cE '^ *TP_((LIVE|READ)_)?OPTION\(' "$root/src/node/options.def")
if [ "$(cat "$work/count")" != "$rows" ]; then
    echo "FAILED: options.def has $rows rows, tools/option-table prints $(cat "$work/count")"
    exit 1
fi
sed -n '/^| option | kind /,/^$/p' "$root/docs/limits.md" | grep '^|' >"$work/got"
if ! diff "$work/wanted" "$work/got"; then
    echo 'FAILED: docs/limits.md differs from src/node/options.def; see tools/option-table'
    exit 1
fi
