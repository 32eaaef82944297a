/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alarms of a shard: by the node's own clock, and *moments*, by the wall clock. What the wheel
 * calls. Part of shard.h, which includes it.
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_MOMENT_H
#define TP_SHARD_MOMENT_H

#include "base/list.h"
#include "base/wheel.h"

typedef struct tp_shard tp_shard;

typedef struct tp_alarm tp_alarm;
struct tp_alarm {
    tp_timer timer;
    void (*fire)(tp_shard *shard, tp_alarm *alarm); /* between turns; only enqueues */
};

/* Of the wall clock. */
typedef struct tp_moment tp_moment;
struct tp_moment {
    tp_alarm alarm;
    tp_link link;                                     /* among those of the shard that are set */
    uint64_t due;                                     /* wall clock, ns */
    void (*come)(tp_shard *shard, tp_moment *moment); /* between turns; only enqueues */
};

typedef struct tp_moments {
    tp_list set;
    tp_alarm watch;  /* looks whether the wall clock was stepped, while any is set */
    uint64_t offset; /* wall clock less the node's, when it looked last */
} tp_moments;

void tp_moments_init(tp_shard *shard);
/* `come` is called at the first pass at which the wall clock shows `due` or later; sets it anew. */
void tp_moment_set(tp_shard *shard, tp_moment *moment, uint64_t due,
    void (*come)(tp_shard *shard, tp_moment *moment));
void tp_moment_cancel(tp_shard *shard, tp_moment *moment); /* a no-op if it is not set */

#endif
