/* SPDX-License-Identifier: Apache-2.0 */
/* Loads of members, told and heard. See reporter.h. */
#include "cluster/reporter.h"

#include "cluster/say.h"

#define NEWCOMER TROUPE_MILLISECONDS(200)

void tp_reporter_init(tp_reporter *self, tp_shared *shared, tp_loads *loads)
{
    *self = (tp_reporter){
        .shared = shared, .loads = loads, .interval = shared->options.health_check_interval};
}

/* ---- one's own ------------------------------------------------------------------------------- */

static void measure(tp_reporter *self, uint64_t now, tp_wire_load *ret_load)
{
    const tp_shared *shared = self->shared;
    troupe_stats stats = {.size = sizeof stats};
    uint64_t timed = 0, time = 0;
    *ret_load = (tp_wire_load){.memory_limit = TP_LIVE_GET(shared->options.memory_limit)};
    for (uint32_t i = 0; i < shared->shard_count; i++) {
        const tp_shard *shard = shared->shards[i];
        tp_inspect_counters(shard, &stats);
        timed += tp_histogram_count(&shard->turn_time);
        time += tp_cell_get(&shard->turn_time.sum);
        ret_load->actors += tp_cell_get(&shard->gauges.actors);
        ret_load->queued += tp_cell_get(&shard->gauges.queued);
        ret_load->memory += tp_pool_bytes(&shard->pool);
    }
    uint64_t elapsed = now - self->at;
    if (timed > self->timed)
        self->mean = (time - self->time) / (timed - self->timed);
    if (self->at != 0 && elapsed != 0) {
        double busy = (double)(stats.turns - self->turns) * (double)self->mean;
        double share = busy / ((double)elapsed * shared->shard_count);
        ret_load->cpu = share >= 1 ? 1000 : (uint32_t)(share * 1000);
        ret_load->turns = (uint64_t)((double)(stats.turns - self->turns) * 1e9 / (double)elapsed);
        ret_load->turn_ns = stats.turns != self->turns ? self->mean : 0;
    }
    self->at = now;
    self->turns = stats.turns;
    self->timed = timed;
    self->time = time;
}

/* ---- to others ------------------------------------------------------------------------------- */

static void tell(tp_channels *channels, uint64_t to, const tp_wire_load *load, uint64_t now)
{
    tp_channel *channel = tp_channels_get(channels, to, TP_SHARD_CONTROL);
    char *at;
    if (channel == NULL)
        return;
    channel->is_wanted = true;
    if (tp_session_put_loose(
            &channel->session, TP_FRAME_LOAD, TP_FRAME_SKIP, TP_WIRE_LOAD_BYTES, &at) == TROUPE_OK)
        tp_wire_load_put(at, load);
    char stamp[8];
    tp_put_64(stamp, now);
    tp_say(channel, TP_SAY_ECHO, (troupe_slice){stamp, sizeof stamp});
}

uint64_t tp_reporter_pass(tp_reporter *self, uint64_t now, uint64_t incarnation,
    const tp_chart *chart, tp_channels *channels)
{
    if (incarnation == 0 || chart == NULL || channels == NULL)
        return now + self->interval;
    if (self->view != chart->view.number &&
        tp_loads_follow(self->loads, chart->members) == TROUPE_OK) {
        self->view = chart->view.number;
        /* Who is new hears of it soon: when it, too, knows that it is a member. */
        if (self->due > now + NEWCOMER)
            self->due = now + NEWCOMER;
        else if (self->due == 0)
            self->due = now + (self->interval < NEWCOMER ? self->interval : NEWCOMER);
    }
    if (now < self->due)
        return self->due;
    self->incarnation = incarnation;
    tp_wire_load load;
    measure(self, now, &load);
    tp_loads_said(self->loads, incarnation, &load, now);
    uint32_t count = chart->view.member_count;
    uint32_t next = tp_directory_find_member(&chart->view, incarnation);
    if (next == TP_DIRECTORY_NOBODY)
        next = 0;
    for (uint32_t told = 0; told + 1 < count && told < TP_REPORTER_ROUND; told++) {
        next = (next + 1) % count;
        if (chart->view.members[next].node != incarnation)
            tell(channels, chart->view.members[next].node, &load, now);
    }
    tp_loads_publish(self->loads);
    self->due = now + self->interval;
    return self->due;
}

/* ---- of others ------------------------------------------------------------------------------- */

const char *tp_reporter_load(tp_reporter *self, uint64_t from, const tp_session_frame *frame)
{
    tp_wire_load load;
    const char *fault = tp_wire_load_get(frame->body, &load);
    if (fault != NULL)
        return fault;
    tp_loads_said(self->loads, from, &load, self->shared->env->now(self->shared->env));
    return NULL;
}

void tp_reporter_echoed(tp_reporter *self, uint64_t from, troupe_slice stamp)
{
    uint64_t now = self->shared->env->now(self->shared->env);
    uint64_t sent = stamp.size == 8 ? tp_get_number(stamp.data, 8) : now;
    if (sent < now)
        tp_loads_measured(self->loads, from, now - sent);
}
