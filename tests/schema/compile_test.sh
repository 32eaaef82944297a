#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The tables of <troupe/schema.h> compile without a warning in C11 and C++20 with gcc and clang, and a
# member that is not what the macro says does not compile in any of them.
set -u
cd "${TROUPE_SOURCE:-$(dirname "$0")/../..}" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
tried=0
flags='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude -I. -fsyntax-only'

# compiles NAME: tries the file with all four.
each() {
    printf 'gcc -std=c11 %s.c\nclang -std=c11 %s.c\ng++ -std=c++20 %s.cpp\nclang++ -std=c++20 %s.cpp\n' \
        "$1" "$1" "$1" "$1"
}

cat >"$work/good.c" <<'END'
#include <troupe.h>
#include "tests/schema/everything.h"
#ifdef __cplusplus
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
static const troupe_type account_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(struct account, account_fields), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type older_type = {TROUPE_TYPE("older"),
    TROUPE_STATE(struct account, account_fields, .version = 3)};
int main(void)
{
    char bytes[64];
    (void)account_type;
    (void)older_type;
    struct account account = {1, "ada"};
    troupe_buffer buffer = {0, bytes, 0, sizeof bytes};
    (void)everything_schema;
#ifndef __cplusplus
    (void)tree_schema;
#endif
    return troupe_schema_encode(&account_schema, &account, &buffer, 0, 0);
}
END
cp "$work/good.c" "$work/good.cpp"
each "$work/good" >"$work/commands"
while read -r command; do
    tried=$((tried + 1))
    # shellcheck disable=SC2086
    if ! $command $flags 2>"$work/log"; then
        echo "FAILED: $command does not compile:"
        head -n 20 "$work/log"
        bad=$((bad + 1))
    fi
done <"$work/commands"

# wrong FIELD: must not compile.
wrong() {
    cat >"$work/wrong.c" <<END
#include <troupe/schema.h>
struct inner { int a; };
struct record {
    int32_t i32; uint32_t u32; int64_t i64; double f64; char text[8]; char *owned; uint8_t block[4];
    int16_t list[3]; int16_t *pointer; int32_t count; uint32_t used; bool has; struct inner inner;
};
static const troupe_field fields[] = { $1 };
static const troupe_schema schema = TROUPE_SCHEMA(struct record, fields);
int main(void) { return (int)schema.field_count - 1; }
END
    cp "$work/wrong.c" "$work/wrong.cpp"
    each "$work/wrong" >"$work/commands"
    while read -r command; do
        tried=$((tried + 1))
        # shellcheck disable=SC2086
        if $command $flags 2>"$work/log"; then
            echo "FAILED: $command compiles $1"
            bad=$((bad + 1))
        elif ! grep -q -e 'type is not' -e 'is no ' -e 'is neither' -e 'must be' -e 'is not what' \
            "$work/log"; then
            echo "FAILED: $command refuses $1 without our words:"
            head -n 5 "$work/log"
            bad=$((bad + 1))
        fi
    done <"$work/commands"
}
wrong 'TROUPE_FIELD_I64(struct record, i32)'
wrong 'TROUPE_FIELD_I32(struct record, u32)'
wrong 'TROUPE_FIELD_U32(struct record, i32)'
wrong 'TROUPE_FIELD_F32(struct record, f64)'
wrong 'TROUPE_FIELD_BOOL(struct record, block)'
wrong 'TROUPE_FIELD_STRING(struct record, owned)'
wrong 'TROUPE_FIELD_TEXT(struct record, text)'
wrong 'TROUPE_FIELD_BYTES(struct record, text)'
wrong 'TROUPE_FIELD_ARRAY(struct record, pointer, I16)'
wrong 'TROUPE_FIELD_ARRAY(struct record, list, I32)'
wrong 'TROUPE_FIELD_OWNED(struct record, list, used, I16)'
wrong 'TROUPE_FIELD_OWNED(struct record, pointer, count, I16)'
wrong 'TROUPE_FIELD_COUNTED(struct record, list, f64, I16)'
wrong 'TROUPE_FIELD_I32(struct record, i32, .present = TROUPE_PRESENT(struct record, used))'

# The eye is tested too: the frame of the wrong ones compiles around a right field.
cat >"$work/frame" <<'END'
TROUPE_FIELD_I32(struct record, i32, .present = TROUPE_PRESENT(struct record, has))
END
before=$bad
wrong "$(cat "$work/frame")" >"$work/frames"
if [ $((bad - before)) -ne 4 ] || [ "$(grep -c 'compiles' "$work/frames")" -ne 4 ]; then
    echo 'FAILED: the frame itself does not compile, so that nothing above is proved'
    cat "$work/frames"
    exit 1
fi
bad=$before
echo "$tried compilations, $bad failed"
[ $bad -eq 0 ]
