#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The shared libraries export names that begin with troupe_ and nothing else, provider modules only
# their entry, the gateway likewise, and libtroupe.so and libtroupe_client.so export every function
# that the public headers declare.
set -u
build=${TROUPE_BUILD:?is set by ctest}
source=${TROUPE_SOURCE:?is set by ctest}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# names LIBRARY: what it defines for others.
names() { nm -D --defined-only "$1" | awk '{ print $NF }' | sed 's/@.*//' | sort -u; }

for library in libtroupe.so libtroupe_client.so libtroupe_testkit.so; do
    if [ ! -e "$build/$library" ]; then
        if [ $library = libtroupe.so ]; then
            echo "FAILED: $library was not built"
            bad=1
        fi
        continue
    fi
    names "$build/$library" >"$work/$library"
    if grep -v '^troupe_' "$work/$library" >"$work/foreign"; then
        echo "FAILED: $library exports more than troupe_ names:"
        head -n 20 "$work/foreign"
        bad=1
    fi
    echo "$library exports $(grep -c '^troupe_' "$work/$library") names"
done

for module in "$build"/libtroupe_*.so; do
    case $module in */libtroupe_testkit.so | */libtroupe_client.so | *'*'*) continue ;; esac
    # One for each port that it implements: storage, membership.
    if ! names "$module" | grep -q . ||
        names "$module" | grep -qvx 'troupe_provider_entry\|troupe_membership_entry\|troupe_gateway_entry'; then
        echo "FAILED: $module exports none, or other names than the entries of modules:"
        names "$module" | head -n 20
        bad=1
    fi
done

if [ -e "$work/libtroupe.so" ]; then
    # Declarations of the header itself, comments removed by the preprocessor; only functions that are
    # marked as exported count, so inline helpers do not.
    for header in "$source"/include/troupe.h "$source"/include/troupe/*.h; do
        case $header in */testkit.h | */sim.h) continue ;; esac
        if [ -e "$header" ]; then
            "${CC:-cc}" -std=gnu11 -I"$source/include" -E -P "$header"
        fi
    done | tr '\n' ' ' | tr ';' '\n' |
        grep 'visibility *( *"default" *)' |
        sed 's/__attribute__ *(([^)]*([^)]*)[^)]*))//g; s/__attribute__ *(([^)]*))//g' |
        sed -n 's/^[^(]*[ *]\(troupe_[a-z0-9_]*\) *(.*/\1/p' | sort -u >"$work/declared"
    echo "the headers declare $(wc -l <"$work/declared") functions"
    if [ ! -s "$work/declared" ]; then
        echo 'FAILED: no declaration was found in the headers'
        bad=1
    fi
    cat "$work/libtroupe.so" "$work/libtroupe_client.so" 2>/dev/null | sort -u >"$work/exported"
    comm -23 "$work/declared" "$work/exported" >"$work/absent"
    if [ -s "$work/absent" ]; then
        echo 'FAILED: declared, but in neither libtroupe.so nor libtroupe_client.so:'
        cat "$work/absent"
        bad=1
    fi
fi
[ $bad -eq 0 ]
