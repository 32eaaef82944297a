#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# docs/metrics.md names every metric of a node as the compiler sees the table, and each is named by
# Prometheus' rules: once, counters end in _total, seconds and bytes say so.
set -u
root=${TROUPE_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*"; exit 1; }

cat >"$work/rows.c" <<'END'
#include <stdio.h>
#include <troupe/inspect.h>
int main(void)
{
#define TP_METRIC(id, scope, kind, unit, name, help) puts(name " " #kind " " #unit " | " help " |");
#include "observe/metrics.def"
    return 0;
}
END
"${CC:-cc}" -I "$root/include" -I "$root/src" -o "$work/rows" "$work/rows.c" ||
    fail 'the table is no C'
"$work/rows" >"$work/rows.txt"
[ "$(wc -l <"$work/rows.txt")" -gt 50 ] || fail 'the table is short'
cut -d ' ' -f 1 "$work/rows.txt" | sort | uniq -d | grep . && fail 'these names stand twice'
awk '{ end = $2 == "COUNTER" ? "_total" : ""
       unit = $3 == "NONE" ? "" : "_" tolower($3)
       if ($1 !~ "^troupe_[a-z_]+$" && $1 !~ "^process_[a-z_]+$" || $1 !~ unit end "$" ||
           end == "" && $1 ~ /_total$/) { print $1; bad = 1 }
     } END { exit bad }' "$work/rows.txt" || fail 'these names break the rules'

"$root/tools/metric-table" "$root" | grep '^|' >"$work/wanted"
sed 's/ .* | \(.*\) |$/ | \1 |/' "$work/rows.txt" >"$work/seen"
sed -n '3,$s/^| `\([a-z_]*\)`.* | \(.*\) |$/\1 | \2 |/p' "$work/wanted" >"$work/told"
diff "$work/seen" "$work/told" || fail 'tools/metric-table reads the table otherwise'
sed -n '/^| metric | kind /,/^$/p' "$root/docs/metrics.md" | grep '^|' >"$work/got"
diff "$work/wanted" "$work/got" || fail 'docs/metrics.md is not what tools/metric-table prints'
