/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node measures, as values of one moment (a snapshot), and the page for Prometheus that is
 * written from it. Not where things are counted: the cells are the shards', and src/node/metrics.c
 * puts the snapshot together.
 *
 * Invariants: 1. A page depends on its snapshot only. 2. How many lines it has depends on how many
 * types and shards there are, never on actors, keys, methods or time.
 * Threads: a snapshot is its maker's.
 */
#ifndef TP_OBSERVE_METRICS_H
#define TP_OBSERVE_METRICS_H

#include "base/histogram.h"
#include <troupe/inspect.h>

typedef enum tp_metric_scope {
    TP_METRIC_INFO,
    TP_METRIC_NODE,
    TP_METRIC_SHARD,
    TP_METRIC_TYPE,
} tp_metric_scope;

typedef enum tp_metric_kind {
    TP_METRIC_COUNTER,
    TP_METRIC_GAUGE,
    TP_METRIC_HISTOGRAM,
} tp_metric_kind;

typedef enum tp_metric_unit {
    TP_METRIC_NONE,
    TP_METRIC_SECONDS, /* the value is in nanoseconds */
    TP_METRIC_BYTES,
} tp_metric_unit;

/* Rows of the table. */
typedef enum tp_metric {
#define TP_METRIC(id, scope, kind, unit, name, help) TP_METRIC_OF_##id,
#include "observe/metrics.def"
#undef TP_METRIC
    TP_METRIC_COUNT
} tp_metric;

enum {
    TP_METRIC_HISTOGRAMS = 0
#define TP_METRIC(id, scope, kind, unit, name, help) +(TP_METRIC_##kind == TP_METRIC_HISTOGRAM)
#include "observe/metrics.def"
#undef TP_METRIC
};

enum {
    TP_METRICS_OF_TYPES = 0
#define TP_METRIC(id, scope, kind, unit, name, help) +(TP_METRIC_##scope == TP_METRIC_TYPE)
#include "observe/metrics.def"
#undef TP_METRIC
};

#define TP_METRIC(id, scope, kind, unit, name, help)                                 \
    _Static_assert((TP_METRIC_##scope == TP_METRIC_TYPE) ==                          \
                       ((int)TP_METRIC_OF_##id < (int)TP_METRICS_OF_TYPES),          \
        "rows of types come first");
#include "observe/metrics.def"
#undef TP_METRIC

typedef struct tp_metrics {
    const char *node, *version;
    uint32_t shards, types;
    troupe_slice *type_names;
    uint64_t values[TP_METRIC_COUNT];         /* of NODE */
    tp_histogram times[TP_METRIC_HISTOGRAMS]; /* in their order in the table */
    uint64_t (*of_shards)[TP_METRIC_COUNT];   /* of SHARD */
    uint64_t (*of_types)[TP_METRICS_OF_TYPES]; /* of TYPE: by type, then by shard */
} tp_metrics;

/* The page, in Prometheus' text format 0.0.4. What `write` returns other than OK ends it. */
TROUPE_CHECK troupe_status tp_exposition_write(
    const tp_metrics *metrics, troupe_page_write *write, void *user);

#endif
