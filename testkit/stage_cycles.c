/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for whom on a stage, and what deadlock reports must say about it (P10): nobody is told
 * of a circle that never was; of a circle that nothing else can dissolve one caller is told, in
 * time, and no second one.
 *
 * An ask waits for the turn that serves it, or, unstarted, for every open turn of its target. That
 * is more than what really waits where turns may come in, so circles are *strict* only among actors
 * whose turns never interleave.
 *
 * Threads: one, as world.h.
 */
#include "testkit/stage.h"

#include <stdlib.h>

typedef struct search {
    tp_stage *stage;
    const tp_stage_turn *goal;
    tp_deed *path[64];
    uint32_t length;
} search;

static bool reaches_view(search *self, tp_stage_turn *view);

/* Turns that are parked hold up nothing where whatever comes may run, but for those of hooks. */
static bool is_held_up(const tp_stage *stage, const tp_deed *deed)
{
    const tp_player *player = &stage->players[deed->target];
    bool hook = false;
    for (const tp_stage_turn *view = player->open; view != NULL; view = view->next)
        hook |= view->hook;
    return hook || !tp_stage_types[player->type].always;
}

static bool reaches(search *self, tp_deed *deed)
{
    if (self->length == 64)
        return false;
    self->path[self->length++] = deed;
    if (deed->view != NULL) {
        if (reaches_view(self, deed->view))
            return true;
    } else if (deed->ends == 0 && is_held_up(self->stage, deed)) {
        for (tp_stage_turn *view = self->stage->players[deed->target].open; view != NULL;
             view = view->next)
            if (reaches_view(self, view))
                return true;
    }
    self->length--;
    return false;
}

static bool reaches_view(search *self, tp_stage_turn *view)
{
    if (view == self->goal)
        return true;
    if (view->seen == self->stage->stamp)
        return false;
    view->seen = self->stage->stamp;
    return view->asking != NULL && !view->asking->finished_call && reaches(self, view->asking);
}

static bool is_strict(const tp_stage *stage, const search *found)
{
    if (stage->memory_fails || stage->closing || stage->node_options.deadlock_wait == TROUPE_NEVER)
        return false;
    if (found->length > STAGE_CYCLE)
        return false;
    for (uint32_t i = 0; i < found->length; i++) {
        const tp_player *player = &stage->players[found->path[i]->target];
        if (player->type != TP_SOLO || player->open == NULL || player->open->next != NULL)
            return false;
        if (found->path[i]->fired_at != 0)
            return false;
    }
    return true;
}

/* Does the deed wait for a view of which `is` is true? */
static bool waits_for(const tp_stage *stage, const tp_deed *deed,
    bool (*is)(const tp_stage_turn *view, const void *user), const void *user)
{
    if (deed->view != NULL)
        return is(deed->view, user);
    if (deed->ends != 0 || !is_held_up(stage, deed))
        return false;
    for (const tp_stage_turn *view = stage->players[deed->target].open; view != NULL;
         view = view->next)
        if (is(view, user))
            return true;
    return false;
}

static bool is_view(const tp_stage_turn *view, const void *user)
{
    return view == user;
}

static bool asks_in_circle(const tp_stage_turn *view, const void *user)
{
    return view->asking != NULL && view->asking->cycle == *(const uint32_t *)user;
}

/* There may be several circles through one ask: all deeds that wait, by any way, for the goal, and
 * that the new ask waits for, are in one. */
static void mark_all(tp_stage *stage, tp_deed *first, const tp_stage_turn *goal, uint32_t number)
{
    search everything = {.stage = stage}; /* sees each view that `first` waits for */
    stage->stamp++;
    (void)reaches(&everything, first);
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < stage->player_count; i++) {
            for (tp_stage_turn *view = stage->players[i].open; view != NULL; view = view->next) {
                tp_deed *deed = view->asking;
                if (view->seen != stage->stamp || deed == NULL || deed->finished_call ||
                    deed->cycle == number)
                    continue;
                if (!waits_for(stage, deed, is_view, goal) &&
                    !waits_for(stage, deed, asks_in_circle, &number))
                    continue;
                deed->cycle = number;
                more = true;
            }
        }
    }
}

void tp_cycles_asked(tp_stage *stage, tp_deed *deed, tp_stage_turn *by)
{
    search self = {.stage = stage, .goal = by};
    stage->stamp++;
    if (!reaches(&self, deed))
        return;
    if (stage->cycle_count == stage->cycle_capacity) {
        stage->cycle_capacity = stage->cycle_capacity != 0 ? stage->cycle_capacity * 2 : 32;
        stage->cycles = realloc(stage->cycles, stage->cycle_capacity * sizeof *stage->cycles);
    }
    tp_stage_cycle *cycle = &stage->cycles[stage->cycle_count++];
    *cycle = (tp_stage_cycle){
        .strict = is_strict(stage, &self), .closed_at = tp_world_now(stage->world)};
    cycle->count = self.length < STAGE_CYCLE ? self.length : STAGE_CYCLE;
    for (uint32_t i = 0; i < self.length; i++) {
        if (i < cycle->count)
            cycle->deeds[i] = self.path[i];
        self.path[i]->cycle = stage->cycle_count;
    }
    if (!cycle->strict)
        mark_all(stage, deed, by, stage->cycle_count);
    tp_world_mark(stage->world, cycle->strict ? "circle of strangers" : "circle");
}

void tp_cycles_victim(tp_stage *stage, tp_deed *deed)
{
    bool unseen =
        stage->retrying != 0 || tp_world_now(stage->world) < stage->retried_at + STAGE_SOON;
    if (deed->cycle == 0 && unseen)
        return;
    if (deed->cycle == 0)
        tp_violate(stage, "P10 false", "deed %u is told of a deadlock, but never was in a circle",
            deed->number);
    tp_stage_cycle *cycle = &stage->cycles[deed->cycle - 1];
    if (++cycle->victims > 1 && cycle->strict)
        tp_violate(stage, "P10 once",
            "a second caller in one circle is told of the deadlock (deed %u)", deed->number);
}

void tp_cycles_end(tp_stage *stage)
{
    for (uint32_t i = 0; i < stage->cycle_count; i++) {
        const tp_stage_cycle *cycle = &stage->cycles[i];
        if (!cycle->strict || stage->closing)
            continue;
        uint64_t first = TROUPE_NEVER;
        for (uint32_t k = 0; k < cycle->count; k++) {
            const tp_deed *deed = cycle->deeds[k];
            if (deed->answered_at != 0 && deed->answered_at < first)
                first = deed->answered_at;
        }
        uint64_t limit = cycle->closed_at + stage->node_options.deadlock_wait + STAGE_SOON;
        if (first > limit)
            tp_violate(stage, "P10 report", "a circle of %u (with deed %u) is not reported",
                cycle->count, cycle->deeds[0]->number);
    }
}
