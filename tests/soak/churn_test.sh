#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Ten seconds of tools/soak: memory stays flat and every count exact far above max_actors. Under a
# sanitizer the counts alone are judged, since freed memory stays with the sanitizer for a while.
# Run by ctest with TROUPE_SOURCE and TROUPE_BUILD.
set -eu

source=${TROUPE_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${TROUPE_BUILD:-$source/build/release}
bar=5
if grep -q '^TROUPE_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt"; then bar=1000; fi
BUILD=$build SOAK_SECONDS=${SOAK_SECONDS:-10} SOAK_BAR=$bar exec "$source/tools/soak"
