/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold whenever one looks in, at rest, and after the close.
 *
 * P3   every ask has ended, every accepted tell was begun, or its loss has a reason and was counted
 * P9   queues, parked turns and pending asks are within their limits; at rest all is given back
 * P11  clean-ups ran, and what states own was freed
 *
 * Threads: one, as world.h.
 */
#include "testkit/stage.h"

/* ---- looking in ------------------------------------------------------------------------------ */

typedef struct sight {
    tp_stage *stage;
    uint32_t count;
    uint64_t most;
} sight;

/* What may be under way to a mailbox when it is shown full: in rings, arrivals and the inbox, and
 * timers, which are never refused. */
static uint64_t slack(const tp_stage *stage)
{
    const troupe_node_options *options = &stage->node_options;
    uint64_t links = options->link_limit != 0 ? options->link_limit : 16384;
    uint64_t inbox = options->inbox_limit != 0 ? options->inbox_limit : 4096;
    return (options->shards - 1) * links + 512 + inbox + STAGE_CLIENTS + 64;
}

static void see_actor(void *user, const troupe_actor_info *info)
{
    sight *self = user;
    self->count++;
    if (info->queued > self->most)
        tp_violate(self->stage, "P9 mailbox",
            "%u messages wait for one actor; its limit and slack are %llu", info->queued,
            (unsigned long long)self->most);
}

static void see_parked(void *user, const troupe_parked_info *info)
{
    sight *self = user;
    self->count++;
    if (info->reason == NULL || info->id.key.size == 0)
        tp_violate(self->stage, "P9 parked", "a parked turn without an id or a reason");
}

static bool excused(const tp_stage *stage, troupe_status status)
{
    return status == TROUPE_OK || (stage->memory_fails && status == TROUPE_NO_MEMORY);
}

static void check_limits(tp_stage *stage, const troupe_stats *stats)
{
    const troupe_node_options *options = &stage->node_options;
    if (options->max_fibers != 0 && stats->parked > (uint64_t)options->max_fibers * options->shards)
        tp_violate(stage, "P9 fibers", "%llu turns are parked", (unsigned long long)stats->parked);
    if (options->max_asks != 0 &&
        stats->pending_asks > (uint64_t)options->max_asks * options->shards)
        tp_violate(
            stage, "P9 asks", "%llu asks are pending", (unsigned long long)stats->pending_asks);
}

static void see_one(void *user, const troupe_actor_info *info)
{
    sight *self = user;
    if (!troupe_id_equal(info->id, tp_player_id(self->stage, (uint16_t)self->most)))
        tp_violate(self->stage, "P9 sight", "one actor is looked for, another is found");
}

/* Some of those that are called most: a look must not change the order of what they are sent. */
static void look_up(tp_stage *stage)
{
    for (uint16_t i = 0; i < 4 && i < stage->player_count; i++) {
        sight self = {.stage = stage, .most = i};
        troupe_status status =
            troupe_node_lookup(stage->node, tp_player_id(stage, i), see_one, &self);
        if (!excused(stage, status) && status != TROUPE_NOT_FOUND)
            tp_violate(stage, "P9 sight", "one actor: %s", troupe_status_name(status));
    }
}

void tp_stage_look(tp_stage *stage)
{
    look_up(stage);
    troupe_stats stats = {.size = sizeof stats};
    troupe_status status = troupe_node_stats(stage->node, &stats);
    if (!excused(stage, status))
        tp_violate(stage, "P9 sight", "statistics: %s", troupe_status_name(status));
    if (status == TROUPE_OK)
        check_limits(stage, &stats);
    uint64_t limit =
        stage->node_options.mailbox_limit != 0 ? stage->node_options.mailbox_limit : 10000;
    sight actors = {.stage = stage, .most = limit + slack(stage)}, parked = {.stage = stage};
    troupe_slice all = {0, 0};
    status = troupe_node_each_actor(stage->node, all, all, 1000, see_actor, &actors);
    if (!excused(stage, status))
        tp_violate(stage, "P9 sight", "actors: %s", troupe_status_name(status));
    if (actors.count > stage->player_count)
        tp_violate(stage, "P2 owner", "more activations than actors");
    status = troupe_node_each_parked(stage->node, NULL, see_parked, &parked);
    if (!excused(stage, status))
        tp_violate(stage, "P9 sight", "parked turns: %s", troupe_status_name(status));
}

/* ---- deeds ----------------------------------------------------------------------------------- */

/* Why an accepted tell may never begin. */
static bool may_be_lost(const tp_stage *stage, const tp_deed *deed)
{
    const tp_stage_type *type = &tp_stage_types[stage->players[deed->target].type];
    if (stage->closing || stage->memory_fails)
        return true;
    return type->stops || type->hooks || deed->timeout != 0;
}

static void check_deed(tp_stage *stage, const tp_deed *deed)
{
    if (!deed->issued)
        return;
    if (deed->starts != deed->ends)
        tp_violate(stage, "P3 turns", "deed %u began %u times and ended %u times", deed->number,
            deed->starts, deed->ends);
    if (!deed->accepted)
        return;
    if (deed->kind == TP_DEED_TELL) {
        if (deed->starts != 0)
            return;
        stage->lost_tells++;
        if (!may_be_lost(stage, deed))
            tp_violate(stage, "P4 loss", "deed %u, an accepted tell to %s, was never begun",
                deed->number, tp_stage_types[stage->players[deed->target].type].name);
        return;
    }
    if (deed->finished_call)
        return;
    bool died = deed->kind == TP_DEED_CALL && deed->sender < STAGE_ACTORS &&
                (deed->epoch != stage->players[deed->sender].epoch ||
                    stage->players[deed->sender].resets != 0 || stage->closing);
    if (died)
        return;
    tp_violate(stage, "P3 once", "deed %u, an ask of %s, has no end", deed->number,
        tp_stage_types[stage->players[deed->target].type].name);
}

static void check_deeds(tp_stage *stage)
{
    stage->lost_tells = 0;
    for (uint32_t i = 0; i < stage->deed_count; i++)
        check_deed(stage, stage->deeds[i]);
    if (stage->outside_open != 0)
        tp_violate(stage, "P3 once", "%u asks from outside have no end", stage->outside_open);
    if (stage->defers_open != 0)
        tp_violate(stage, "P11 clean-ups", "%u clean-ups did not run", stage->defers_open);
    if (stage->jobs_open != 0)
        tp_violate(stage, "P3 waits", "%u blocking jobs have no end", stage->jobs_open);
}

/* ---- rest ------------------------------------------------------------------------------------ */

static void see_idle(void *user, const troupe_actor_info *info)
{
    tp_violate(user, "P9 idle", "%.*s/%.*s stays: %s, %llu received, idle for %.3f s",
        TROUPE_ARG(info->id.type), TROUPE_ARG(info->id.key), info->phase,
        (unsigned long long)info->received, (double)info->idle / 1e9);
}

static void check_stats(tp_stage *stage)
{
    troupe_stats stats = {.size = sizeof stats};
    if (troupe_node_stats(stage->node, &stats) != TROUPE_OK)
        tp_violate(stage, "P9 sight", "no statistics at rest");
    if (stats.queued != 0 || stats.parked != 0 || stats.pending_asks != 0)
        tp_violate(stage, "P9 rest",
            "at rest %llu messages wait, %llu turns are parked, %llu asks are pending",
            (unsigned long long)stats.queued, (unsigned long long)stats.parked,
            (unsigned long long)stats.pending_asks);
    if (stats.dead_letters < stage->lost_tells)
        tp_violate(stage, "P4 counted", "%llu tells were lost, %llu were counted",
            (unsigned long long)stage->lost_tells, (unsigned long long)stats.dead_letters);
    uint64_t limit = stage->node_options.max_actors, shards = stage->node_options.shards;
    if (limit != 0 && stats.active > (limit + shards - 1) / shards * shards)
        tp_violate(stage, "P9 actors", "at rest %llu actors are active, %llu may be",
            (unsigned long long)stats.active, (unsigned long long)limit);
    if (stage->node_options.idle != TROUPE_NEVER) {
        troupe_slice all = {0, 0};
        if (stats.active != 0 &&
            troupe_node_each_actor(stage->node, all, all, 1, see_idle, stage) != TROUPE_OK)
            tp_violate(stage, "P9 sight", "no actors to be seen at rest");
        if (stats.bytes > stage->bytes_fresh)
            tp_violate(stage, "P9 memory",
                "with no actor left, %llu bytes are out; fresh it was %llu",
                (unsigned long long)stats.bytes, (unsigned long long)stage->bytes_fresh);
        if (stage->owned_open != 0)
            tp_violate(stage, "P11 discard", "%u states were not discarded", stage->owned_open);
    }
}

void tp_stage_rest(tp_stage *stage)
{
    while (tp_world_step(stage->world)) {
    }
    for (uint32_t i = 0; i < stage->deed_count; i++)
        tp_deed_drop_cancel(stage, stage->deeds[i]);
    check_deeds(stage);
    check_stats(stage);
    tp_cycles_end(stage);
}

void tp_stage_after_close(tp_stage *stage)
{
    stage->closing = true;
    check_deeds(stage);
    if (stage->owned_open != 0)
        tp_violate(stage, "P11 discard", "%u states were not discarded", stage->owned_open);
    if (tp_world_live_blocks(stage->world) != 0)
        tp_violate(stage, "P9 leak", "%llu blocks of %llu bytes are out after the close",
            (unsigned long long)tp_world_live_blocks(stage->world),
            (unsigned long long)tp_world_live_bytes(stage->world));
}
