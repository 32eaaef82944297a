#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The published JavaScript SDK for Dapr, as npm gives it, calls native actors by its actor proxy, sets
# their reminders and timers and reads their state (sdk.js).
#
# CC compiles the module. SDK: the package, another version of it may be tried.
set -u
. "$(dirname "$0")/gateway.sh"
sdk=${SDK:-@dapr/dapr@3.18.0}
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo 'SKIPPED: there is no node or no npm (make deps-test)'
    exit 77
fi
module web
mkdir "$work/js"
if ! (cd "$work/js" && npm install --ignore-scripts --no-audit --no-fund --no-save --prefix . "$sdk") \
    >"$work/npm" 2>&1; then
    if ! npm ping >/dev/null 2>&1; then
        echo "SKIPPED: no registry of npm can be reached, and $sdk is not here"
        exit 77
    fi
    cat "$work/npm"
    die "npm does not install $sdk"
fi
cp "$source/tests/gateway/sdk.js" "$work/js"
serve --storage "sqlite:$work/state.db"
run 0 timeout 120 node "$work/js/sdk.js" "$port"
has out 'the SDK is served'
stop
echo "$checks checks"
