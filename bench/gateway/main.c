/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group gateway: actors over HTTP beside what the HTTP library serves by itself, under the same
 * load. Run by tools/bench.
 *
 * Invariants: the bar is that of the project's plan.
 * Threads: the node's and the library's; the load is a process.
 */
#include "harness/bench.h"
#include "limits/http_load.h"

#include <troupe/inspect.h>

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(echo)};
static const troupe_type echo_type = {TROUPE_TYPE("echo"), TROUPE_METHODS(methods)};

static double http_ask(tp_bench *bench)
{
    char error[400] = "";
    troupe_node *node = NULL;
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .http = "127.0.0.1:0", .shards = 1,
        .spin = tp_bench_param(bench, "spin", TROUPE_MICROSECONDS(50))};
    if (tp_bench_cores() < 2)
        return tp_bench_skip(bench, "needs 2 cores");
    if (troupe_node_open_explained(
            &options, TROUPE_TYPES(&echo_type), &node, error, sizeof error) != TROUPE_OK)
        return tp_bench_fail(bench, "the node did not open: %s", error);
    int port = atoi(strrchr(troupe_node_http(node), ':') + 1);
    static const char path[] = "/v1.0/actors/echo/1/method/echo";
    int connections = (int)tp_bench_param(bench, "connections", 64);
    double value = http_load(port, path, connections, tp_bench_run_ns(bench), 0);
    double p99 = http_load(port, path, connections, tp_bench_run_ns(bench), value / 2);
    tp_bench_also(bench, "http_ask_half_p99", "us", p99, TP_BENCH_SHOWN, 0);
    troupe_node_close(node);
    return value;
}

static const tp_bench_case cases[] = {
    {.name = "http_ask",
        .unit = "ops/s",
        .body = http_ask,
        .limit = "http_gateway 64",
        .bar = TP_BENCH_RATIO_AT_LEAST,
        .bound = 0.7},
};

int main(int argc, char **argv)
{
    return tp_bench_main(argc, argv, "gateway", cases, sizeof cases / sizeof cases[0]);
}
