#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What is installed can be used from outside: by pkg-config, by pkg-config statically, and by CMake's
# find_package(Troupe), also after the installed tree was moved; bench, demo and completion are there.
set -eu
build=${TROUPE_BUILD:?is set by ctest}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -e "$build/libtroupe.so" ]; then
    echo "FAILED: $build/libtroupe.so was not built"
    exit 1
fi

cmake --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/moved"
pc=$(find "$work/moved" -name troupe.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH

mkdir "$work/user"
cat >"$work/user/user.c" <<'END'
#include <stdio.h>
#include <troupe.h>
int main(void)
{
    return puts(troupe_status_name(TROUPE_OK)) < 0;
}
END
cat >"$work/user/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(Troupe REQUIRED)
add_executable(user user.c)
target_link_libraries(user PRIVATE Troupe::troupe)
END

cc=${CC:-cc}
cd "$work/user"
$cc user.c -o shared $(pkg-config --cflags --libs troupe)
./shared
ldd shared | grep -q 'libtroupe\.so\.0' || { echo 'FAILED: shared does not use libtroupe.so.0'; exit 1; }
cat >client.c <<'END'
#include <troupe/client.h>
int main(void)
{
    troupe_remote *remote;
    troupe_remote_options none = {TROUPE_REMOTE_OPTIONS};
    return troupe_remote_open(&none, &remote, 0, 0) != TROUPE_USAGE;
}
END
$cc client.c -o client $(pkg-config --cflags --libs troupe_client)
./client
echo 'ok: pkg-config'

$cc user.c -o static $(pkg-config --cflags troupe) "$LD_LIBRARY_PATH/libtroupe.a" \
    $(pkg-config --static --libs troupe | sed 's/-ltroupe //')
./static
echo 'ok: static'

cmake -S . -B build -G Ninja -DCMAKE_PREFIX_PATH="$work/moved" >"$work/log" 2>&1 &&
    cmake --build build >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
build/user
echo 'ok: find_package(Troupe)'

for program in troupe trouped; do
    if [ -x "$build/$program" ]; then
        (unset LD_LIBRARY_PATH; ldd "$work/moved/bin/$program") | grep 'not found' && exit 1
    fi
done
echo 'ok: installed programs find their library'

for module in "$build"/libtroupe_*.so; do
    if [ -e "$module" ] && [ ! -e "$LD_LIBRARY_PATH/${module##*/}" ]; then
        echo "FAILED: ${module##*/} is not installed beside libtroupe.so"
        exit 1
    fi
done
echo 'ok: provider modules are beside the library'

if [ -x "$build/troupe" ]; then
    (unset LD_LIBRARY_PATH; "$work/moved/bin/troupe" completion) |
        cmp - "$work/moved/share/bash-completion/completions/troupe"
    grep -q '^#compdef troupe' "$work/moved/share/zsh/site-functions/_troupe"
    (unset LD_LIBRARY_PATH; "$work/moved/bin/troupe" demo --help >/dev/null)
    (unset LD_LIBRARY_PATH; "$work/moved/bin/troupe" bench --list >/dev/null)
    (unset LD_LIBRARY_PATH; "$work/moved/bin/troupe" bench state --help >/dev/null)
    echo 'ok: completion, demo and bench are found'
fi
