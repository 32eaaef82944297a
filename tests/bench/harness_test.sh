#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The bench harness judges as docs/benchmarks.md says: a small program of cases with known figures is
# built beside limits that are scripts, so every median, ratio and verdict is known in advance.
# Run by ctest with CC and TROUPE_SOURCE, or by hand.
set -eu

source=${TROUPE_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
cd "$scratch"
failed=0

cat >cases.c <<'END'
#include "harness/bench.h"

static double hundred(tp_bench *bench) { return (double)tp_bench_param(bench, "value", 100); }
static double absent(tp_bench *bench) { return tp_bench_skip(bench, "needs \"%d\" moons", 2); }
static double wrong(tp_bench *bench) { return tp_bench_fail(bench, "lost a message"); }
static double twice(tp_bench *bench)
{
    tp_bench_also(bench, "further", "ms", 7, TP_BENCH_VALUE_AT_MOST, 6);
    return 200;
}

static const tp_bench_case cases[] = {
    { .name = "even", .unit = "ops/s", .body = hundred, .limit = "steps", .runs = 3,
      .bar = TP_BENCH_RATIO_AT_LEAST, .bound = 0.5, .peer = "race" },
    { .name = "slow", .unit = "ns", .body = hundred, .limit = "fixed 50 ns 0", .runs = 1,
      .bar = TP_BENCH_RATIO_AT_MOST, .bound = 1.9 },
    { .name = "flattered", .unit = "ops/s", .body = hundred, .limit = "fixed 50 ops/s 100", .runs = 1,
      .bar = TP_BENCH_RATIO_AT_LEAST, .bound = 0.5 },
    { .name = "based", .unit = "ops/s", .body = twice, .base = hundred, .runs = 2,
      .bar = TP_BENCH_RATIO_AT_LEAST, .bound = 2 },
    { .name = "absent", .unit = "ns", .body = absent },
    { .name = "wrong", .unit = "ns", .body = wrong, .bar = TP_BENCH_VALUE_AT_MOST, .bound = 1 },
    { .name = "unlimited", .unit = "ns", .body = hundred, .limit = "nowhere" },
};

int main(int argc, char **argv)
{
    return tp_bench_main(argc, argv, "test", cases, sizeof(cases) / sizeof(cases[0]));
}
END
"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -I "$source/bench" cases.c "$source"/bench/harness/*.c \
    -lm -o bench_test

cat >limit_fixed <<'END'
#!/bin/sh
echo "{\"name\":\"fixed\",\"value\":$1,\"unit\":\"$2\",\"orientation\":$3}"
END
# 100, 400, 200: ratios 1, 0.25, 0.5, so the median of the ratios is 0.5 and of the limits 200.
cat >limit_steps <<'END'
#!/bin/sh
cd "$(dirname "$0")"
echo x >>turns
set -- 100 400 200
shift $(($(wc -l <turns) - 1))
echo "{ \"name\": \"a } \\\" b\", \"value\" : $1, \"unit\": \"ops/s\", \"orientation\": 0 }"
END
chmod +x limit_fixed limit_steps

# expect TEXT FILE WHAT: the file has the text.
expect() {
    if grep -qF -- "$1" "$2"; then return; fi
    echo "FAILED: $3: no '$1' in:"
    cat "$2"
    failed=$((failed + 1))
}

# run CODE ARGUMENT...: must end with the code; leaves out.json, table and errors.
run() {
    rm -f out.json turns
    wanted=$1
    shift
    code=0
    ./bench_test --json out.json "$@" >table 2>errors || code=$?
    if [ "$code" -ne "$wanted" ]; then
        echo "FAILED: bench_test $*: exit $code, not $wanted"
        cat table errors
        failed=$((failed + 1))
    fi
}

run 0 --only even
expect '"value":100,' out.json 'the value is the median of ours'
expect '"limit":{"name":"steps","value":200' out.json 'the limit is the median of the limits'
expect '"ratio":0.5,"ratio_min":0.25,"ratio_max":1' out.json 'the ratio is the median of the pairs'
expect '"runs":3,"min":100,"max":100' out.json 'runs, least and most are told'
expect '"verdict":"ok"' out.json 'a ratio equal to the bar holds it'

run 1 --only even --param value=99
expect '"verdict":"MISS"' out.json 'a ratio under the bar misses it'

echo '[ {"name":"race","peer":"other","value":50,"unit":"ops/s"},' >peers.json
echo '  {"name":"nobody","peer":"other","value":1,"unit":"ns"} ]' >>peers.json
run 0 --only even --peers peers.json
expect '"peers":[{"name":"other","value":50,"ratio":2}]' out.json 'a peer is found by its name'
run 0 --only slow --param value=90 --peers no-such-file
expect '"peers":[]' out.json 'without a file of peers there are none'
echo '[{"name":"race","peer":"other","value":101,"unit":"ops/s"}]' >peers.json
run 1 --only even --peers peers.json
expect '"verdict":"MISS"' out.json 'being behind a peer is a miss'
echo '[{"name":"race","value":101,"unit":"ops/s"}]' >peers.json
run 2 --only even --peers peers.json
expect 'each entry needs' errors 'an entry without a peer is refused'

run 1 --only slow
expect '"ratio":2,' out.json 'the ratio of times is ours by the limit'
expect '"verdict":"MISS"' out.json 'a time over the bar misses it'
run 0 --only slow --param value=95

run 1 --only flattered
expect '"verdict":"LOW"' out.json 'a limit under 0.7 of its orientation does not count'
run 0 --only flattered --no-floor

run 1 --only based
expect '"ratio":2,' out.json 'a body can be the limit of another'
expect '{"name":"further","unit":"ms","value":7,' out.json 'a further figure is a row of its own'
expect '"runs":2,"min":7,"max":7' out.json 'a further figure is taken from every run'
expect '"verdict":"MISS"' out.json 'a further figure has its own bar'

run 0 --only absent
expect "\"reason\":\"needs '2' moons\",\"verdict\":\"skipped\"" out.json 'a skip says why'
run 2 --only wrong
expect '"reason":"lost a message","verdict":"BROKEN"' out.json 'a failed body is no figure'
run 2 --only unlimited
expect '"verdict":"BROKEN"' out.json 'a missing limit is no figure'
run 2 --only nothing
expect 'no case nothing' errors 'an unknown case is named'
run 2 --runs 0
expect 'cannot use --runs' errors 'an unusable option is named'

[ "$failed" -eq 0 ] || exit 1
