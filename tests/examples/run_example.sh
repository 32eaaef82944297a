# SPDX-License-Identifier: Apache-2.0
#
# For the scripts beside it: `example NAME [ARGUMENT...]` runs an example of this build, shows what it
# printed, and ends the script unless it succeeded and printed a line that matches $WANTED.
build=${TROUPE_BUILD:-$(cd "$(dirname "$0")/../../build/release" && pwd)}

example() {
    program=$build/examples/example_$1
    shift
    if [ ! -x "$program" ]; then
        echo "FAILED: $program is not built"
        exit 1
    fi
    output=$("$program" "$@") || {
        code=$?
        printf '%s\nFAILED: exit code %s\n' "$output" "$code"
        exit 1
    }
    printf '%s\n' "$output"
    if ! printf '%s\n' "$output" | grep -qE "$WANTED"; then
        echo "FAILED: no line matches $WANTED"
        exit 1
    fi
}
