/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics of a node at a moment: reads what shards, storage, client and cluster have noted, and
 * asks none of them, and has a page written (src/observe/exposition.c).
 *
 * Threads: any. Each value is one that was; not all are of the same moment.
 */
#include "node/node.h"

#include "base/alloc.h"
#include "cluster/chart.h"
#include "cluster/cluster.h"
#include "observe/metrics.h"

_Static_assert((int)TP_METRIC_HISTOGRAMS == TP_TIMES, "all that are measured, in the same order");

static void read_shard(const tp_shard *shard, uint64_t into[TP_METRIC_COUNT])
{
#define READ(name) into[TP_METRIC_OF_##name] = tp_cell_get(&shard->gauges.name)
    READ(queued);
    READ(parked);
    READ(pending);
    READ(fibers);
#undef READ
    into[TP_METRIC_OF_bytes] = tp_pool_bytes(&shard->pool);
    into[TP_METRIC_OF_reserved] = tp_pool_reserved(&shard->pool);
}

static void read_type(const tp_type_counters *from, uint64_t into[TP_METRICS_OF_TYPES])
{
#define READ(name, help) into[TP_METRIC_OF_##name] = tp_cell_get(&from->name);
    TROUPE_TYPE_COUNTER_MAP(READ)
    READ(actors, )
    READ(timed, )
    READ(time, )
#undef READ
}

/* A node alone is a cluster of one without a view or a lease. */
static void read_cluster(const troupe_node *node, uint64_t into[TP_METRIC_COUNT])
{
    tp_cluster_look look;
    into[TP_METRIC_OF_members] = 1;
    if (node->cluster == NULL || tp_cluster_see(node->cluster, &look) != TROUPE_OK)
        return;
    const tp_view *view = look.chart != NULL ? look.chart->members : NULL;
    into[TP_METRIC_OF_members] = view != NULL ? view->member_count : 0;
    into[TP_METRIC_OF_view] = view != NULL ? view->number : 0;
    into[TP_METRIC_OF_suspects] = look.doubted_count;
    into[TP_METRIC_OF_lease_left] = look.lease_left;
#define READ(name) into[TP_METRIC_OF_##name] = look.counts.name
    READ(raises);
    READ(raises_failed);
    READ(suspensions);
    READ(revocations);
    READ(votes);
#undef READ
    tp_chart_release(look.chart);
}

static void read_process(const troupe_node *node, uint64_t into[TP_METRIC_COUNT])
{
    tp_usage usage;
    node->env->usage(node->env, &usage);
    into[TP_METRIC_OF_cpu_time] = usage.cpu;
    into[TP_METRIC_OF_resident] = usage.resident;
    into[TP_METRIC_OF_memory_limit] = TP_LIVE_GET(node->shared.options.memory_limit);
    into[TP_METRIC_OF_uptime] = node->env->now(node->env) - node->shared.started;
}

static void read_node(const troupe_node *node, tp_metrics *into)
{
    const tp_shared *shared = &node->shared;
    troupe_stats stats = {.size = sizeof stats};
    tp_node_count(node, &stats);
#define X(name, help) into->values[TP_METRIC_OF_##name] = stats.name;
    TROUPE_NODE_COUNTER_MAP(X)
#undef X
    read_process(node, into->values);
    read_cluster(node, into->values);
    into->node = node->name;
    into->version = TROUPE_VERSION;
    for (uint32_t i = 0; i < into->shards; i++) {
        tp_inspect_times(shared->shards[i], into->times);
        read_shard(shared->shards[i], into->of_shards[i]);
    }
    for (uint32_t i = 0; i < into->types; i++) {
        into->type_names[i] = shared->types.list[i].name;
        for (uint32_t k = 0; k < into->shards; k++)
            read_type(&shared->shards[k]->of_types[i], into->of_types[i * into->shards + k]);
    }
}

troupe_status troupe_node_metrics(troupe_node *node, troupe_page_write *write, void *user)
{
    const tp_shared *shared = &node->shared;
    size_t shards = shared->shard_count, types = shared->types.count;
    tp_metrics *metrics;
    size_t of_shards = shards * sizeof *metrics->of_shards;
    size_t of_types = shards * types * sizeof *metrics->of_types;
    size_t size = sizeof *metrics + of_shards + of_types + types * sizeof *metrics->type_names;
    metrics = tp_allocate_zeroed(shared->allocator, size);
    if (metrics == NULL)
        return TROUPE_NO_MEMORY;
    char *rest = (char *)(metrics + 1);
    metrics->shards = shared->shard_count;
    metrics->types = shared->types.count;
    metrics->of_shards = (void *)rest;
    metrics->of_types = (void *)(rest + of_shards);
    metrics->type_names = (void *)(rest + of_shards + of_types);
    read_node(node, metrics);
    troupe_status status = tp_exposition_write(metrics, write, user);
    tp_release(shared->allocator, metrics, size);
    return status;
}
