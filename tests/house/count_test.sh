#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The count of tests that `make test` prints is true: cases of cmocka one by one, other programs and
# scripts as one, and a program that crashes after some cases counts as a failure. What was skipped is
# counted apart, by name and reason.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# counts WANTED WHAT: the log is on standard input; lines of skipped tests are joined by `;`.
counts() {
    cat >"$work/log"
    got=$("$here/tools/count-tests" "$work/log" | paste -s -d ';')
    if [ "$got" != "$1" ]; then
        echo "FAILED: $2: wanted '$1', got '$got'"
        bad=1
    fi
}

counts '3 0 0' 'a program of cmocka that passed' <<'END'
1/1 Testing: a
[  PASSED  ] 3 test(s).
Test Passed.
END
counts '2 1 0' 'a program of cmocka with a failed case' <<'END'
1/1 Testing: a
[  PASSED  ] 2 test(s).
[  FAILED  ] one_case
[  FAILED  ] 1 test(s), listed below:
Test Failed.
END
counts '4 1 0' 'a program of two groups that crashed in a third' <<'END'
1/1 Testing: a
[  PASSED  ] 3 test(s).
[  PASSED  ] 1 test(s).
Test Failed.
END
counts '1 2 0' 'scripts, and a crash before the first case' <<'END'
1/3 Testing: a
Test Passed.
2/3 Testing: b
Test Failed.
3/3 Testing: c
END
counts '1 0 2;area/a one_case: no disk;area/a two_case: no net' 'cases that are skipped' <<'END'
1/1 Testing: area/a
[ RUN      ] one_case
SKIPPED: no disk
[  SKIPPED ] one_case
[ RUN      ] two_case
SKIPPED: no net
[  SKIPPED ] two_case
[  PASSED  ] 1 test(s).
[  SKIPPED ] 2 test(s), listed below:
[  SKIPPED ] one_case
[  SKIPPED ] two_case
Test Passed.
END
counts '1 0 2;area/a one_case: no disk;area/b: no server' \
    'a list that comes before the reason, and a script that is skipped' <<'END'
1/2 Testing: area/a
[  PASSED  ] 1 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] one_case
SKIPPED: no disk
[  SKIPPED ] one_case
Test Passed.
2/2 Testing: area/b
SKIPPED: no server
Test Passed.
END
counts '0 1 1;area/a one_case: says not why' 'a case that is skipped, and a crash' <<'END'
1/2 Testing: area/a
[  SKIPPED ] one_case
Test Failed.
END
counts '0 0 0' 'nothing' </dev/null
[ $bad -eq 0 ]
