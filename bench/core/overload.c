/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overload: actors whose turns burn 5 us, and a thread outside that asks on a fixed schedule,
 * whether or not anything is answered. First at loads around the capacity of the shard, to find the
 * peak goodput and the latency there; then at ten times the capacity. The queues are as short as a
 * service that cares for its latency would set them.
 *
 * Invariants
 *   1. The schedule never waits for the node; what is refused is not asked again.
 *   2. Latency is from the call to its answer, of asks that were accepted and served.
 * Threads: the body's asks, on core 0; the only shard is on core 1 and writes the tally. Between
 * steps, and only then, the body reads and empties it.
 */
#include "core.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { ACTORS = 16, MAILBOX = 64, BURN_NS = 5000, SAMPLES = 1 << 18, TICKETS = 1 << 17 };

/* Written by the shard's thread; `ended` publishes the rest. The last two are the body's. */
typedef struct tally {
    uint64_t served, samples;
    uint32_t *latency; /* the first SAMPLES, ns */
    _Atomic uint64_t ended;
    struct ticket *tickets;
    bool unbounded; /* a ticket came round while it was in use */
} tally;

/* One in flight. Tickets are used in a circle, far longer than what the node may hold. */
typedef struct ticket {
    tally *to;
    uint64_t asked_ns;
    _Atomic bool used; /* cleared by the shard's thread when it is done with the ticket */
} ticket;

typedef struct step {
    double goodput, offered; /* a second */
    double p99_ns;
    uint64_t rss_middle, rss_end;
} step;

/* Turns of the same work everywhere: it reads the clock until the time is over. */
static troupe_status burn(troupe_turn *turn, void *state, troupe_slice payload)
{
    uint64_t start = tp_bench_now_ns();
    TROUPE_TRY(tp_core_receive(state, payload));
    while (tp_bench_now_ns() - start < BURN_NS)
        ;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(burn)};
static const troupe_type burner = {TROUPE_TYPE("burner"), .state_size = sizeof(tp_core_sink),
    .mailbox_limit = MAILBOX, TROUPE_METHODS(methods)};

static void served(void *user, const troupe_answer *answer)
{
    ticket *one = user;
    tally *to = one->to;
    if (answer->status == TROUPE_OK) {
        uint64_t spent = tp_bench_now_ns() - one->asked_ns;
        if (to->samples < SAMPLES)
            to->latency[to->samples++] = spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX;
        to->served++;
    }
    atomic_store_explicit(&one->used, false, memory_order_release);
    atomic_fetch_add_explicit(&to->ended, 1, memory_order_release);
}

/* True if it was accepted, as far as the caller was told at once. */
static bool ask(troupe_client *client, tally *to, uint64_t number, uint64_t accepted_before)
{
    char payload[TP_CORE_PAYLOAD] = {0}, key[TP_BENCH_KEY];
    ticket *one = &to->tickets[accepted_before % TICKETS];
    if (atomic_load_explicit(&one->used, memory_order_acquire)) {
        to->unbounded = true;
        return false;
    }
    tp_bench_key(number % ACTORS, key);
    troupe_id id = {troupe_str("burner"), {NULL, 0}, {key, sizeof(key)}};
    memcpy(payload, &number, sizeof(number));
    one->to = to;
    one->asked_ns = tp_bench_now_ns();
    atomic_store_explicit(&one->used, true, memory_order_relaxed);
    bool accepted = troupe_client_ask_callback(client, id, "burn",
                        troupe_slice_of(payload, sizeof(payload)), NULL, served, one) == TROUPE_OK;
    if (!accepted)
        atomic_store_explicit(&one->used, false, memory_order_relaxed);
    return accepted;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Asks `rate` times a second for `ns`; then waits for all that was accepted. */
static step offer(troupe_client *client, tally *to, double rate, uint64_t ns)
{
    uint64_t start = tp_bench_now_ns(), offered = 0, accepted = 0, now;
    step result = {0};
    to->served = to->samples = 0;
    atomic_store_explicit(&to->ended, 0, memory_order_relaxed);
    while ((now = tp_bench_now_ns()) - start < ns) {
        uint64_t due = (uint64_t)((double)(now - start) * rate / 1e9) + 1;
        /* A generator that is behind asks at most so many before it looks at the clock again. */
        for (int i = 0; i < 64 && offered < due; i++)
            accepted += ask(client, to, offered++, accepted);
        if (result.rss_middle == 0 && now - start > ns / 2)
            result.rss_middle = tp_bench_rss_bytes();
    }
    result.rss_end = tp_bench_rss_bytes();
    while (atomic_load_explicit(&to->ended, memory_order_acquire) < accepted)
        nanosleep(&(struct timespec){0, 100000}, NULL);
    now = tp_bench_now_ns();
    result.goodput = (double)to->served * 1e9 / (double)(now - start);
    result.offered = (double)offered * 1e9 / (double)ns;
    qsort(to->latency, to->samples, sizeof(*to->latency), compare);
    if (to->samples > 0)
        result.p99_ns = to->latency[to->samples * 99 / 100];
    return result;
}

static double judge(tp_bench *bench, const step *peak, const step *over)
{
    double growth = (double)over->rss_end / (double)over->rss_middle - 1;
    if (peak->goodput <= 0 || peak->p99_ns <= 0 || over->p99_ns <= 0)
        return tp_bench_fail(bench, "nothing was served");
    tp_bench_also(bench, "overload_p99", "x of p99 at the peak", over->p99_ns / peak->p99_ns,
        TP_BENCH_VALUE_AT_MOST, 2);
    tp_bench_also(bench, "overload_growth", "% of resident bytes", growth > 0 ? growth * 100 : 0,
        TP_BENCH_VALUE_AT_MOST, 5);
    tp_bench_also(bench, "overload_peak", "ops/s", peak->goodput, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "overload_peak_p99", "us", peak->p99_ns / 1e3, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, "overload_offered", "x of capacity", over->offered * BURN_NS / 1e9,
        TP_BENCH_SHOWN, 0);
    return over->goodput / peak->goodput;
}

static double run(tp_bench *bench, troupe_client *client, tally *to)
{
    const double loads[] = {0.7, 0.8, 0.9, 1.0, 1.1, 1.2};
    double capacity = 1e9 / BURN_NS, times = (double)tp_bench_param(bench, "times", 10);
    uint64_t ns = tp_bench_run_ns(bench);
    step peak = {0}, over;
    offer(client, to, capacity / 2, ns / 4); /* activates the actors, warms the caches */
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        step one = offer(client, to, capacity * loads[i], ns);
        if (one.goodput > peak.goodput)
            peak = one;
    }
    over = offer(client, to, capacity * times, 3 * ns);
    return judge(bench, &peak, &over);
}

double tp_core_overload(tp_bench *bench)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1};
    troupe_client *client = NULL;
    tally to = {
        .latency = calloc(SAMPLES, sizeof(uint32_t)), .tickets = calloc(TICKETS, sizeof(ticket))};
    double value = NAN;
    if (tp_bench_cores() < 2 || to.latency == NULL || to.tickets == NULL) {
        free(to.latency);
        free(to.tickets);
        return tp_bench_skip(bench, "needs 2 cores and memory");
    }
    memset(to.latency, 1, SAMPLES * sizeof(uint32_t)); /* resident before growth is looked at */
    memset(to.tickets, 0, TICKETS * sizeof(ticket));
    tp_bench_pin(1);
    troupe_node *node = tp_core_open(bench, &options, TROUPE_TYPES(&burner));
    tp_bench_pin(0);
    if (node != NULL && troupe_client_open(node, &client) == TROUPE_OK)
        value = run(bench, client, &to);
    if (to.unbounded)
        value = tp_bench_fail(bench, "the node held over %d asks", TICKETS);
    troupe_client_close(client);
    troupe_node_close(node);
    free(to.latency);
    free(to.tickets);
    return value;
}
