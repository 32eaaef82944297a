#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# libtroupe holds no variable that can change: no object of it has anything in .data or .bss, so two
# nodes in one process cannot meet in one. Constants with addresses (.data.rel.ro) are not variables.
set -u
library=${TROUPE_BUILD:?is set by ctest}/libtroupe.a
if [ ! -e "$library" ]; then
    echo "FAILED: $library was not built"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# judge ARCHIVE: names each variable that can change.
# Symbols as `objdump -t` prints them: value, flags, section, size, name.
judge() {
    objdump -t "$1" | awk '
        /^[^ ]+: +file format/ { file = $1 }
        $NF !~ /^\./ && / (\.data|\.bss|\.data\.[a-z_]*|\.bss\.[a-z_]*|\*COM\*)\t/ {
            if ($0 ~ / \.data\.rel\.ro/) next
            print "FAILED: " file " " $NF " can change"
            bad = 1
        }
        $NF !~ /^\./ && / \.(tdata|tbss)/ { print file " " $NF " belongs to a thread" }
        END { exit bad }
    '
}

# The eye is tested first: it must see a planted variable, and not the constant beside it.
cat >"$work/planted.c" <<'END'
static int planted;
int *f(void);
int *f(void) { return &planted; }
const char *const names[] = { "a" };
END
"${CC:-cc}" -fPIC -c "$work/planted.c" -o "$work/planted.o"
ar rcs "$work/planted.a" "$work/planted.o"
judge "$work/planted.a" >"$work/log"
if [ $? -eq 0 ] || ! grep -q planted "$work/log" || grep -q names "$work/log"; then
    echo 'FAILED: a planted variable was not seen'
    exit 1
fi

judge "$library"
