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

# Symbols as `objdump -t` prints them: value, flags, section, size, name.
objdump -t "$library" | awk '
    /^[^ ]+: +file format/ { file = $1 }
    $NF !~ /^\./ && / (\.data|\.bss|\.data\.[a-z_]*|\.bss\.[a-z_]*|\*COM\*)\t/ {
        if ($0 ~ / \.data\.rel\.ro/) next
        print "FAILED: " file " " $NF " can change"
        bad = 1
    }
    $NF !~ /^\./ && / \.(tdata|tbss)/ { print file " " $NF " belongs to a thread" }
    END { exit bad }
'
