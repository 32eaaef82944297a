#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/tidy finds each kind of fault that it promises to find, and accepts a tree without any. Each
# case plants one fault in a fresh tree and wants the complaint, at its place.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cases=0
bad=0

header='/* SPDX-License-Identifier: Apache-2.0 */

/* A room of the tree that the test of the house plants its faults in; nobody calls it. */
'

plant() {
    rm -rf "$tree/src" "$tree/cmd" "$tree/include" "$tree/tools"
    mkdir -p "$tree/src/base" "$tree/src/os" "$tree/src/shard" "$tree/cmd/troupe" "$tree/include"
    cp "$here/src/LAYERS" "$tree/src/LAYERS"
    printf '%s\nint tp_pool_size(void);\n' "$header" >"$tree/src/base/pool.h"
    printf '%s\nint tp_env_size(void);\n' "$header" >"$tree/src/os/env.h"
    printf '%s\nint troupe_size(void);\n' "$header" >"$tree/include/troupe.h"
    {
        printf '%s\n#include "base/pool.h"\n#include "os/env.h"\n#include <troupe.h>\n' "$header"
        printf '\n/* malloc( in a comment, and "free(x)" in a string, are words only. */\n'
        printf 'static const char *const names[] = { "free(x)", "time(0)" };\n'
        printf 'static int (*const hooks[2])(void);\n\n'
        printf 'static int size(void)\n{\n    return names[0] != 0 && hooks[0] && a->free(p);\n}\n'
    } >"$tree/src/shard/shard.c"
}

fault() {
    cases=$((cases + 1))
    printf 'FAILED: %s\n' "$1"
    sed 's/^/    /' "$tree/output"
    bad=$((bad + 1))
}

# accepts WHAT
accepts() {
    cases=$((cases + 1))
    perl "$here/tools/tidy" "$tree" >"$tree/output" 2>&1 || fault "accepts $1"
}

# refuses WHAT FILE PATTERN: of the complaints one is about FILE and says PATTERN.
refuses() {
    cases=$((cases + 1))
    if perl "$here/tools/tidy" "$tree" >"$tree/output" 2>&1; then
        fault "refuses $1 (exit status)"
    elif ! grep -q "^$2:[0-9]*: .*$3" "$tree/output"; then
        fault "refuses $1 (message)"
    fi
}

append() {
    plant
    printf '%b\n' "$2" >>"$tree/$1"
}

plant
accepts 'a clean tree'

append src/shard/shard.c '#include "wire/frame.h"'
refuses 'an include that LAYERS does not allow' src/shard/shard.c 'shard may not include wire'
append src/base/pool.h '#include "os/env.h"'
refuses 'an include upwards from base' src/base/pool.h 'base may not include os'
append src/shard/shard.c '#include "../base/pool.h"'
refuses 'an include that climbs' src/shard/shard.c 'climbs'
append src/shard/shard.c '#include "pool.h"'
refuses 'an include without its folder' src/shard/shard.c 'include as'
append src/shard/shard.c '#include <pthread.h>'
refuses 'a header of threads outside src/os' src/shard/shard.c 'src/os only'
plant
printf '%s#include "base/pool.h"\n' "$header" >"$tree/cmd/troupe/main.c"
refuses 'a program that looks inside' cmd/troupe/main.c 'cmd may not include base'
plant
mkdir -p "$tree/src/utils"
refuses 'a folder that is not in the plan' src/utils 'LAYERS'
plant
echo 'base: shard' >>"$tree/src/LAYERS"
refuses 'layers in a circle' src/LAYERS 'circle'
plant
echo 'base shard' >>"$tree/src/LAYERS"
refuses 'a line of LAYERS that means nothing' src/LAYERS 'no line of the form'

for call in 'malloc(3)' 'free(p)' 'calloc(1, 2)' 'realloc(p, 2)' 'strdup(s)' 'sprintf(s, "x")' \
    'strcpy(a, b)' 'strcat(a, b)' 'gets(s)' 'rand()' 'time(0)' 'clock_gettime(0, 0)' \
    'pthread_self()' 'usleep(1)' 'sleep(1)' 'exit(1)' 'abort()' 'assert(x)' 'printf("x")' \
    'puts("x")' 'fprintf(stdout, "x")' 'uv_now(loop)' 'fopen("x", "r")'; do
    append src/shard/shard.c "void f(void);\\nvoid f(void)\\n{\\n    (void)$call;\\n}"
    refuses "the call $call" src/shard/shard.c 'calls '
done
append src/base/pool.h 'static inline void *f(void) { return malloc(1); }'
refuses 'malloc in another file of base' src/base/pool.h 'calls malloc'
plant
printf '%s\nvoid *f(void) { return malloc(1); }\n' "$header" >"$tree/src/base/alloc.c"
accepts 'malloc in base/alloc.c'
append src/os/env.h 'static inline int f(void) { return clock_gettime(0, 0) + pthread_self(); }'
accepts 'clock and threads in src/os'
append src/os/env.h 'static inline void f(void) { free(0); }'
refuses 'free in src/os' src/os/env.h 'calls free'
append src/shard/shard.c 'void g(void) { abort(); /* tidy: abort: the stack is gone */ }'
accepts 'a stated exception'
append src/shard/shard.c 'void g(void) { abort(); /* tidy: abort: */ }'
refuses 'an exception without a reason' src/shard/shard.c 'calls abort'

for variable in 'static int count;' 'static int count = 3;' 'static const char *name = "x";' \
    'static struct world world;' 'static int table[3];' 'static int (*hook)(void);' \
    'static _Atomic int count;' 'static char *const *names;' \
    'static struct point {\n    int x;\n} origin;'; do
    append src/shard/shard.c "$variable"
    refuses "the variable $variable" src/shard/shard.c 'static variable'
done
for constant in 'static const int one = 1;' 'static const char *const names[] = { "x" };' \
    'static int (*const hook)(void) = 0;' 'static inline int f(int a);' \
    'static const struct {\n    int x;\n} origin = { 1 };' 'static char *name_of(int a, int b);' \
    'static int f(int a,\n    int b);'; do
    append src/shard/shard.c "$constant"
    accepts "$constant"
done

plant
sed -i 1d "$tree/src/shard/shard.c"
refuses 'a file without its licence line' src/shard/shard.c 'SPDX'
plant
sed -i 3d "$tree/src/shard/shard.c"
refuses 'a file without its opening paragraph' src/shard/shard.c 'opening paragraph'
append src/shard/shard.c "/* $(printf '%0100d' 0) */"
refuses 'a line over 100 columns' src/shard/shard.c 'columns'
append src/shard/shard.c "/* $(printf '%094d' 0) */"
accepts 'a line of 100 columns'
append src/shard/shard.c "$(awk 'BEGIN { for (i = 0; i < 1000; i++) print "/* line */" }')"
refuses 'a file over 1,000 lines' src/shard/shard.c 'two things'
append src/shard/shard.c "$(awk 'BEGIN { for (i = 0; i < 850; i++) print "/* line */" }')"
accepts 'a file over 800 lines, with a warning'
grep -q 'warning: .*800' "$tree/output" || fault 'warns of a file over 800 lines'
append src/shard/shard.c "void h(void)\\n{\\n$(awk 'BEGIN { for (i = 0; i < 101; i++) print "    ;" }')\\n}"
refuses 'a function over 100 lines' src/shard/shard.c 'a function of'
append src/shard/shard.c '\tint x;'
refuses 'a tab' src/shard/shard.c 'a tab'
append src/shard/shard.c 'int x; '
refuses 'white space at the end' src/shard/shard.c 'white space'
plant
printf 'int x;' >>"$tree/src/shard/shard.c"
refuses 'a last line without its end' src/shard/shard.c 'no newline'
for word in TO-DO FIX-ME X-XX HA-CK; do
    word=$(echo "$word" | tr -d -)
    append src/shard/shard.c "/* $word: later */"
    refuses "the marker $word" src/shard/shard.c 'says'
    plant
    mkdir -p "$tree/tools"
    echo "# $word" >"$tree/tools/script"
    refuses "the marker $word in a script" tools/script 'says'
done
plant
printf '%s\n' "$header" >"$tree/src/shard/lonely.h"
refuses 'a header that nobody includes' src/shard/lonely.h 'nobody includes'

echo "$cases cases, $bad failed"
[ $bad -eq 0 ]
