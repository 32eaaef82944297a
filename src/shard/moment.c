/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alarms by the wall clock. The shard's wheel runs by the node's own clock, which nobody can set;
 * the wall clock can be stepped, and goes on while a machine sleeps. What is due when is in
 * reminders.c and wake.c.
 *
 * Invariants
 * 1. Nothing comes before the wall clock shows its moment.
 * 2. While any moment is set the two clocks are compared each WATCH; if they have moved against
 * each other all alarms are set anew. With none set nothing wakes the shard.
 * Threads: the shard's own.
 */
#include "shard/shard.h"

#define WATCH TROUPE_SECONDS(60)
#define DRIFT TROUPE_MILLISECONDS(1) /* so much is borne */

void tp_moments_init(tp_shard *shard)
{
    tp_list_init(&shard->moments.set);
}

static void came(tp_shard *shard, tp_alarm *alarm);

static void arm(tp_shard *shard, tp_moment *moment)
{
    tp_env *env = shard->env;
    uint64_t now = env->now(env), wall = env->wall(env);
    uint64_t left = moment->due > wall ? moment->due - wall : 0;
    tp_alarm_set(shard, &moment->alarm, tp_time_after(now, left), came);
}

static void came(tp_shard *shard, tp_alarm *alarm)
{
    tp_moment *moment = TP_CONTAINER(alarm, tp_moment, alarm);
    if (shard->env->wall(shard->env) < moment->due) {
        arm(shard, moment); /* it was set back */
        return;
    }
    tp_moment_cancel(shard, moment);
    moment->come(shard, moment);
}

static uint64_t offset_of(tp_shard *shard)
{
    tp_env *env = shard->env;
    uint64_t now = env->now(env);
    return env->wall(env) - now;
}

static void watch(tp_shard *shard, tp_alarm *alarm)
{
    tp_moments *self = TP_CONTAINER(alarm, tp_moments, watch);
    uint64_t offset = offset_of(shard);
    uint64_t moved = offset > self->offset ? offset - self->offset : self->offset - offset;
    if (moved > DRIFT) {
        TP_MARK(shard, "wall clock was set");
        self->offset = offset;
        TP_LIST_EACH(&self->set, link)
        {
            arm(shard, TP_CONTAINER(link, tp_moment, link));
        }
    }
    tp_alarm_set(shard, alarm, tp_time_after(shard->now, WATCH), watch);
}

void tp_moment_set(tp_shard *shard, tp_moment *moment, uint64_t due,
    void (*come)(tp_shard *shard, tp_moment *moment))
{
    tp_moments *all = &shard->moments;
    moment->due = due;
    moment->come = come;
    if (tp_list_is_empty(&all->set)) {
        all->offset = offset_of(shard);
        tp_alarm_set(shard, &all->watch, tp_time_after(shard->now, WATCH), watch);
    }
    if (!tp_link_is_linked(&moment->link))
        tp_list_push_back(&all->set, &moment->link);
    arm(shard, moment);
}

void tp_moment_cancel(tp_shard *shard, tp_moment *moment)
{
    if (!tp_link_is_linked(&moment->link))
        return;
    tp_alarm_cancel(shard, &moment->alarm);
    tp_list_remove(&moment->link);
    if (tp_list_is_empty(&shard->moments.set))
        tp_alarm_cancel(shard, &shard->moments.watch);
}
