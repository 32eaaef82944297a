/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples of a shard's actors, for who plans which of them are to move (balancer.h), and the moves
 * that it decided. A sample walks a bounded part of the table and goes on there the next time.
 *
 * Threads: the shard's.
 */
#ifndef TP_CLUSTER_SAMPLER_H
#define TP_CLUSTER_SAMPLER_H

#include "shard/shard.h"

#define TP_SAMPLES     256  /* of a shard, at once */
#define TP_SAMPLE_STEP 4096 /* entries looked at for them */
#define TP_SAMPLE_ID   80   /* of its id as text; longer ones are cut */
#define TP_SAMPLE_NOTE 512

typedef struct tp_sample {
    uint64_t hash;
    uint64_t moved_at; /* by the clock of `now`; 0: not lately */
    uint64_t bytes;
    double turns; /* a second, since it is active */
    uint32_t type;
    char id[TP_SAMPLE_ID];
} tp_sample;

typedef struct tp_sampler {
    uint64_t cursor;
    struct {
        uint64_t hash, at;
    } moved[TP_SAMPLE_NOTE]; /* that came here by a move, or did not want to go */
} tp_sampler;

static inline void tp_sampler_note(tp_sampler *self, uint64_t hash, uint64_t now)
{
    self->moved[hash % TP_SAMPLE_NOTE].hash = hash;
    self->moved[hash % TP_SAMPLE_NOTE].at = now;
}

/* Returns how many it wrote, at most `room`: active ones that are not on their way. */
uint32_t tp_sampler_take(tp_sampler *self, tp_shard *shard, tp_sample *ret_samples, uint32_t room);
/* The activation of such a sample; NULL: it has gone. */
tp_activation *tp_sampler_find(tp_shard *shard, uint64_t hash, uint32_t type);

#endif
