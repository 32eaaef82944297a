/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn waits for by its own wish and not for an answer: time, the others' turns, work on
 * another thread. How it parks is park.c; asks are calls.c.
 *
 * Threads: the shard's own; blocking work runs on the pool's, and comes back by the inbox.
 */
#include "shard/quick.h"

static void slept(tp_shard *shard, tp_alarm *alarm)
{
    (void)shard;
    tp_unpark(TP_CONTAINER(alarm, troupe_turn, alarm), TROUPE_OK);
}

troupe_status troupe_sleep(troupe_turn *turn, uint64_t duration)
{
    if (duration == 0)
        return troupe_yield(turn);
    TROUPE_TRY(tp_park_reserve(turn));
    turn->alarm.timer.link = (tp_link){NULL, NULL};
    uint64_t due = tp_time_after(tp_clock_read(turn->shard), duration);
    tp_alarm_set(turn->shard, &turn->alarm, due, slept);
    return tp_park(turn, TP_WAIT_SLEEP);
}

troupe_status troupe_yield(troupe_turn *turn)
{
    TROUPE_TRY(tp_park_reserve(turn));
    tp_shard *shard = turn->shard;
    if (turn->actor->type->interleaves && tp_mailbox_may_run(shard, turn->actor))
        tp_schedule(shard, turn->actor); /* what waits for this actor is ready, too */
    if (shard->times_all)
        tp_clock_read(shard); /* for the end of the pass: it may be long until the next turn */
    bool is_first = !tp_arrivals_wait(shard) && tp_fifo_is_empty(&shard->yielding);
    turn->yield_until = is_first ? shard->run_pushed : shard->arrived;
    tp_fifo_push_back(is_first ? &shard->yielded : &shard->yielding, &turn->ready);
    return tp_park(turn, TP_WAIT_YIELD);
}

typedef struct blocking {
    tp_job job;
    tp_inbound inbound;
    troupe_turn *turn;
    troupe_job *run;
    void *argument;
} blocking;

static void blocking_run(tp_job *job)
{
    blocking *self = TP_CONTAINER(job, blocking, job);
    self->run(self->argument);
}

static void blocking_done(tp_job *job)
{
    blocking *self = TP_CONTAINER(job, blocking, job);
    tp_inbox_push(self->turn->shard, &self->inbound);
}

static void blocking_over(tp_shard *shard, tp_inbound *inbound)
{
    (void)shard;
    tp_unpark(TP_CONTAINER(inbound, blocking, inbound)->turn, TROUPE_OK);
}

troupe_status troupe_blocking(troupe_turn *turn, troupe_job *job, void *argument)
{
    tp_shard *shard = turn->shard;
    TROUPE_TRY(tp_park_reserve(turn));
    blocking self = {.job = {.run = blocking_run, .done = blocking_done},
        .inbound = {.arrive = blocking_over},
        .turn = turn,
        .run = job,
        .argument = argument};
    troupe_status status = shard->env->job_start(shard->env, &self.job);
    if (status == TROUPE_BUSY)
        tp_count(&shard->counters.busy_blocking);
    if (status != TROUPE_OK)
        return status;
    return tp_park(turn, TP_WAIT_BLOCKING);
}
