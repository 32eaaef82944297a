/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control runner tells others of its node's load, and hears of theirs: each
 * health_check_interval it sends a LOAD frame and an echo to the other members, and publishes what
 * came as a sheet (loads.h). In a large cluster it tells the TP_REPORTER_ROUND that follow it, and
 * so knows of as many: enough for choices of two at random, and connections stay bounded.
 *
 * The load: which share of the shards' time goes into turns (their number, by the mean of those
 * that were timed), memory in use, actors, messages in mailboxes. It reads counters that the shards
 * write for it, and asks nothing of them.
 *
 * Threads: the control runner's.
 */
#ifndef TP_CLUSTER_REPORTER_H
#define TP_CLUSTER_REPORTER_H

#include "cluster/chart.h"
#include "cluster/loads.h"
#include "shard/shard.h"
#include "transport/channels.h"

#define TP_REPORTER_ROUND 64

typedef struct tp_reporter {
    tp_shared *shared;
    tp_loads *loads;
    uint64_t interval, due;
    uint64_t incarnation;
    uint64_t view;  /* that `loads` follow */
    uint64_t at;    /* of the last measurement; 0: none yet */
    uint64_t turns; /* until then */
    uint64_t timed, time;
    uint64_t mean; /* ns of a turn */
} tp_reporter;

void tp_reporter_init(tp_reporter *self, tp_shared *shared, tp_loads *loads);
/* Returns when it is to be called again. */
uint64_t tp_reporter_pass(tp_reporter *self, uint64_t now, uint64_t incarnation,
    const tp_chart *chart, tp_channels *channels);

/* NULL, or what is wrong with it. */
TROUPE_CHECK const char *tp_reporter_load(
    tp_reporter *self, uint64_t from, const tp_session_frame *frame);
/* A stamp of one's own came back. */
void tp_reporter_echoed(tp_reporter *self, uint64_t from, troupe_slice stamp);

#endif
