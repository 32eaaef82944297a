#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The count of tests that `make test` prints is true: cases of cmocka one by one, other programs and
# scripts as one, and a program that crashes after some cases counts as a failure.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# counts WANTED WHAT: the log is on standard input.
counts() {
    cat >"$work/log"
    got=$("$here/tools/count-tests" "$work/log")
    if [ "$got" != "$1" ]; then
        echo "FAILED: $2: wanted '$1', got '$got'"
        bad=1
    fi
}

counts '3 0' 'a program of cmocka that passed' <<'END'
1/1 Testing: a
[  PASSED  ] 3 test(s).
Test Passed.
END
counts '2 1' 'a program of cmocka with a failed case' <<'END'
1/1 Testing: a
[  PASSED  ] 2 test(s).
[  FAILED  ] one_case
[  FAILED  ] 1 test(s), listed below:
Test Failed.
END
counts '4 1' 'a program of two groups that crashed in a third' <<'END'
1/1 Testing: a
[  PASSED  ] 3 test(s).
[  PASSED  ] 1 test(s).
Test Failed.
END
counts '1 2' 'scripts, and a crash before the first case' <<'END'
1/3 Testing: a
Test Passed.
2/3 Testing: b
Test Failed.
3/3 Testing: c
END
counts '0 0' 'nothing' </dev/null
[ $bad -eq 0 ]
