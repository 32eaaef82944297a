/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: what this node gains and loses by one, the sweep over all records after it, and the work
 * that goes on between events.
 *
 * A range that is at home here after a view is settled if it was here and settled before; is
 * claimed if another member was its home; is surveyed if its home is gone, or was not settled here.
 * A range that left is *departed*: its entries stay for the claim of the new home, until the next
 * view.
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

#include <string.h>

#define SWEEP_STEP 512 /* records looked at in one call of work */
#define AGAIN_STEP 64  /* asides, ways */

/* What a view changes, made ready before anything changes. */
typedef struct turnover {
    const tp_directory_view *view;
    uint32_t self;
    bool follows; /* the view after the present one */
    tp_spans departed, survey;
    tp_list tasks;
    tp_peer **peers;
} turnover;

/* ---- settled? ---- */

void tp_views_shards(
    const tp_directory *self, uint32_t shards, uint32_t *ret_first, uint32_t *ret_last)
{
    uint64_t own = self->options.shards;
    uint64_t first = (((uint64_t)self->options.shard << 32) + own - 1) / own;
    uint64_t last = ((((uint64_t)self->options.shard + 1) << 32) + own - 1) / own - 1;
    *ret_first = (uint32_t)(first * shards >> 32);
    *ret_last = (uint32_t)(last * shards >> 32);
}

static bool is_covered(tp_directory *self, const tp_task *task, uint64_t hash)
{
    const tp_peer *peer = tp_directory_peer(self, task->node);
    uint32_t shard = peer != NULL ? tp_directory_shard_of(hash, peer->shards) : 0;
    for (uint32_t i = 0; i < task->count; i++) {
        const tp_debt *debt = &task->debts[i];
        if (debt->shard == shard) {
            return debt->done || tp_record_order(hash) < debt->covered;
        }
    }
    return false;
}

bool tp_views_is_settled(tp_directory *self, const tp_record *record)
{
    if (TP_LIKELY(tp_list_is_empty(&self->tasks))) {
        return true;
    }
    if (record->flags & RECORD_SURE && record->stamp == (uint32_t)self->view->number) {
        return true;
    }
    TP_LIST_EACH(&self->tasks, link)
    {
        const tp_task *task = TP_CONTAINER(link, tp_task, link);
        if (tp_spans_has(&task->spans, record->hash)) {
            return !task->survey && is_covered(self, task, record->hash);
        }
    }
    return true;
}

/* ---- the plan ---- */

static bool unite(tp_directory *self, tp_spans *into, const tp_spans *with)
{
    tp_spans both = {NULL, 0, 0};
    if (!tp_spans_either(&both, self->pool, into, with)) {
        tp_spans_clear(&both, self->pool);
        return false;
    }
    tp_spans_clear(into, self->pool);
    *into = both;
    return true;
}

static tp_task *claim_of(tp_directory *self, turnover *plan, uint64_t former)
{
    TP_LIST_EACH(&plan->tasks, link)
    {
        tp_task *task = TP_CONTAINER(link, tp_task, link);
        if (task->node == former) {
            return task;
        }
    }
    tp_task *task = tp_tasks_create(self, former);
    uint32_t at = tp_directory_find_member(plan->view, former);
    if (task != NULL) {
        tp_list_push_back(&plan->tasks, &task->link);
        if (!tp_tasks_owe(self, task, &plan->view->members[at])) {
            return NULL; /* the plan is given up, with the task */
        }
    }
    return task;
}

/* A part of what is gained, that had one former home. */
static bool plan_gain(tp_directory *self, turnover *plan, uint32_t former, tp_span span)
{
    uint64_t node = self->view->members[former].node;
    if (tp_directory_find_member(plan->view, node) == TP_DIRECTORY_NOBODY) {
        return tp_spans_append(&plan->survey, self->pool, span);
    }
    tp_task *task = claim_of(self, plan, node);
    return task != NULL && tp_spans_append(&task->spans, self->pool, span);
}

static bool plan_gains(tp_directory *self, turnover *plan, const tp_spans *gained)
{
    for (uint32_t i = 0; i < gained->count; i++) {
        tp_span left = gained->items[i];
        tp_ring_cursor cursor = {left.first, false};
        tp_ring_move arc;
        do {
            if (!tp_ring_each_arc(self->view->ring, &cursor, &arc)) {
                break;
            }
            tp_span both = {arc.first, arc.last < left.last ? arc.last : left.last};
            if (!plan_gain(self, plan, arc.from->node, both)) {
                return false;
            }
        } while (arc.last < left.last);
    }
    return true;
}

static bool unsettled_spans(tp_directory *self, tp_spans *out)
{
    TP_LIST_EACH(&self->tasks, link)
    {
        if (!unite(self, out, &TP_CONTAINER(link, tp_task, link)->spans)) {
            return false;
        }
    }
    return true;
}

/* The sets that a plan is made of. */
typedef struct sets {
    tp_spans before, after, unsettled, known, kept, again, gained;
} sets;

static bool plan_following(tp_directory *self, turnover *plan, sets *s)
{
    tp_pool *pool = self->pool;
    bool was_member = self->member;
    return (!was_member || tp_spans_of_member(&s->before, pool, self->view, self->self)) &&
           unsettled_spans(self, &s->unsettled) &&
           tp_spans_without(&s->known, pool, &s->before, &s->unsettled) &&
           tp_spans_without(&plan->departed, pool, &s->known, &s->after) &&
           tp_spans_common(&s->kept, pool, &s->before, &s->after) &&
           tp_spans_common(&s->again, pool, &s->kept, &s->unsettled) &&
           tp_spans_without(&s->gained, pool, &s->after, &s->before) &&
           plan_gains(self, plan, &s->gained) && unite(self, &plan->survey, &s->again);
}

static bool plan_spans(tp_directory *self, turnover *plan)
{
    sets s;
    memset(&s, 0, sizeof(s));
    bool is_member = plan->self != TP_DIRECTORY_NOBODY;
    bool ok = !is_member || tp_spans_of_member(&s.after, self->pool, plan->view, plan->self);
    if (ok && plan->follows) {
        ok = plan_following(self, plan, &s);
    } else if (ok && !(self->view == NULL && plan->view->number == 1)) {
        plan->survey = s.after; /* nothing is known of what was */
        memset(&s.after, 0, sizeof(s.after));
    }
    tp_spans *all[] = {&s.before, &s.after, &s.unsettled, &s.known, &s.kept, &s.again, &s.gained};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        tp_spans_clear(all[i], self->pool);
    }
    return ok;
}

static bool plan_survey(tp_directory *self, turnover *plan)
{
    if (plan->survey.count == 0) {
        return true;
    }
    tp_task *task = tp_tasks_create(self, 0);
    if (task == NULL) {
        return false;
    }
    tp_list_push_back(&plan->tasks, &task->link);
    task->spans = plan->survey;
    memset(&plan->survey, 0, sizeof(plan->survey));
    for (uint32_t i = 0; i < plan->view->member_count; i++) {
        if (!tp_tasks_owe(self, task, &plan->view->members[i])) {
            return false;
        }
    }
    return true;
}

static bool plan_peers(tp_directory *self, turnover *plan)
{
    const tp_directory_view *view = plan->view;
    plan->peers = tp_pool_take(self->pool, view->member_count * sizeof(tp_peer *));
    if (plan->peers == NULL) {
        return false;
    }
    memset(plan->peers, 0, view->member_count * sizeof(tp_peer *));
    for (uint32_t i = 0; i < view->member_count; i++) {
        const tp_directory_member *member = &view->members[i];
        if (tp_directory_is_member(self, member->node)) {
            continue;
        }
        size_t size = sizeof(tp_peer) + member->shards * sizeof(tp_end);
        tp_peer *peer = tp_pool_take(self->pool, size);
        if (peer == NULL) {
            return false;
        }
        memset(peer, 0, size);
        peer->node = member->node;
        peer->shards = member->shards;
        tp_list_init(&peer->ways);
        plan->peers[i] = peer;
    }
    return true;
}

static void give_up(tp_directory *self, turnover *plan)
{
    tp_link *link;
    while ((link = tp_list_front(&plan->tasks)) != NULL) {
        tp_tasks_destroy(self, TP_CONTAINER(link, tp_task, link));
    }
    for (uint32_t i = 0; plan->peers != NULL && i < plan->view->member_count; i++) {
        tp_pool_give(self->pool, plan->peers[i]);
    }
    tp_pool_give(self->pool, plan->peers);
    tp_spans_clear(&plan->departed, self->pool);
    tp_spans_clear(&plan->survey, self->pool);
}

/* ---- the change ---- */

/* Empties `from`. */
static void append(tp_list *to, tp_list *from)
{
    if (!tp_list_is_empty(from)) {
        tp_link *first = from->head.next, *last = from->head.previous;
        first->previous = to->head.previous;
        to->head.previous->next = first;
        last->next = &to->head;
        to->head.previous = last;
        tp_list_init(from);
    }
}

void tp_views_look_again(tp_directory *self)
{
    append(&self->waiting_again, &self->waiting);
}

static void doom(tp_directory *self, tp_peer *peer)
{
    TP_LIST_EACH(&peer->ways, link)
    {
        TP_CONTAINER(link, tp_way, peer)->lost = true;
    }
    append(&self->doomed, &peer->ways);
    tp_pool_give(self->pool, peer);
}

static void change_peers(tp_directory *self, turnover *plan)
{
    for (uint32_t i = 0; self->peers != NULL && i < self->view->member_count; i++) {
        tp_peer *peer = self->peers[i];
        uint32_t at = tp_directory_find_member(plan->view, peer->node);
        if (at != TP_DIRECTORY_NOBODY) {
            plan->peers[at] = peer;
        } else {
            doom(self, peer);
        }
    }
    tp_pool_give(self->pool, self->peers);
    self->peers = plan->peers;
}

static void change(tp_directory *self, turnover *plan)
{
    tp_link *link;
    while ((link = tp_list_front(&self->tasks)) != NULL) {
        tp_tasks_destroy(self, TP_CONTAINER(link, tp_task, link));
    }
    while ((link = tp_list_front(&self->jobs)) != NULL) {
        tp_jobs_destroy(self, TP_CONTAINER(link, tp_job, link));
    }
    change_peers(self, plan);
    tp_spans_clear(&self->departed, self->pool);
    self->departed = plan->departed;
    append(&self->tasks, &plan->tasks);
    self->view = plan->view;
    self->self = plan->self;
    self->member = plan->self != TP_DIRECTORY_NOBODY;
    self->count = 0;
    self->sweep = 0;
    self->sweeping = true;
    if (HOLDS(self, REPEAT)) {
        append(&self->open_again, &self->open);
    }
    tp_views_look_again(self);
}

troupe_status tp_directory_install(tp_directory *self, const tp_directory_view *view)
{
    if (self->view != NULL && view->number <= self->view->number) {
        return TROUPE_USAGE;
    }
    tp_directory_finish(self);
    if (!tp_fifo_is_empty(&self->loop) || !tp_flow_feed(self)) {
        return TROUPE_NO_MEMORY;
    }
    turnover plan;
    memset(&plan, 0, sizeof(plan));
    tp_list_init(&plan.tasks);
    plan.view = view;
    plan.self = tp_directory_find_member(view, self->options.self);
    plan.follows = self->view != NULL && view->number == self->view->number + 1;
    if (!plan_spans(self, &plan) || !plan_survey(self, &plan) || !plan_peers(self, &plan)) {
        give_up(self, &plan);
        return TROUPE_NO_MEMORY;
    }
    change(self, &plan);
    return TROUPE_OK;
}

/* ---- work ---- */

static void leave_cluster(tp_directory *self, tp_record *record)
{
    if (record->state != TP_DIRECTORY_ABSENT) {
        self->figures.activations -=
            record->state == TP_DIRECTORY_ACTIVE || record->state == TP_DIRECTORY_CAPTURING;
        record->state = TP_DIRECTORY_ABSENT;
        record->number = 0;
        record->flags &= (uint8_t)~RECORD_CREATE;
    }
    if (record->aside != NULL) {
        record->aside->ran = 0;
        tp_words_open(self, record->aside, 0);
    }
    tp_directory_no_entry(self, record);
}

/* Does the entry say something under this view? */
static bool is_current(tp_directory *self, const tp_record *record)
{
    if (!tp_directory_is_member(self, record->host)) {
        return false;
    }
    bool is_home = tp_directory_home_node(self, record->hash) == self->options.self;
    if (record->flags & RECORD_COPY) {
        return is_home ? !tp_views_is_settled(self, record)
                       : tp_words_keeps_copy(
                             self, record->hash, tp_directory_home_node(self, record->hash));
    }
    if (is_home) {
        return record->stamp == (uint32_t)self->view->number || tp_views_is_settled(self, record);
    }
    return tp_spans_has(&self->departed, record->hash);
}

static void sweep_record(tp_directory *self, tp_record *record)
{
    if (!self->member) {
        leave_cluster(self, record);
    } else if (record->host != 0 && !is_current(self, record)) {
        tp_directory_no_entry(self, record);
    }
    if (record->stamp != (uint32_t)self->view->number) {
        record->flags &= (uint8_t)~RECORD_SURE;
    }
    tp_flow(self, record);
}

static bool sweep(tp_directory *self)
{
    for (int i = 0; self->sweeping && i < SWEEP_STEP; i++) {
        void *item;
        if (!tp_directory_reserve(self)) {
            return true;
        }
        if (tp_index_each(&self->records, &self->sweep, &item)) {
            sweep_record(self, item);
        } else {
            self->sweeping = false;
        }
    }
    return self->sweeping;
}

static bool look_at_open(tp_directory *self)
{
    for (int i = 0; i < AGAIN_STEP && tp_directory_reserve(self); i++) {
        tp_link *link = tp_list_pop_front(&self->open_again);
        if (link == NULL) {
            return false;
        }
        tp_list_push_back(&self->open, link);
        tp_record *record = TP_CONTAINER(link, tp_aside, open)->record;
        tp_words_request(self, record);
        tp_flow(self, record);
        tp_directory_finish(self);
    }
    return true;
}

static void look_at(tp_directory *self, tp_record *record)
{
    record->pins++;
    tp_words_replay(self, record);
    record->pins--;
    if (tp_directory_reserve(self)) {
        tp_flow(self, record);
    }
}

static bool look_at_waiting(tp_directory *self)
{
    for (int i = 0; i < AGAIN_STEP && tp_directory_reserve(self); i++) {
        tp_link *link = tp_list_pop_front(&self->waiting_again);
        if (link == NULL) {
            return false;
        }
        tp_list_push_back(&self->waiting, link);
        look_at(self, TP_CONTAINER(link, tp_aside, waiting)->record);
        tp_directory_finish(self);
    }
    return true;
}

static bool look_at_doomed(tp_directory *self)
{
    for (int i = 0; i < AGAIN_STEP && tp_directory_reserve(self); i++) {
        tp_link *link = tp_list_front(&self->doomed);
        if (link == NULL) {
            return false;
        }
        tp_way *way = TP_CONTAINER(link, tp_way, peer);
        tp_flow_way_ends(self, way, way->lost);
        tp_directory_finish(self);
    }
    return true;
}

bool tp_directory_work(tp_directory *self)
{
    if (self->view == NULL || !tp_directory_reserve(self)) {
        return false;
    }
    tp_directory_finish(self);
    if (!tp_flow_feed(self)) {
        return false; /* the next tick */
    }
    bool more = look_at_open(self);
    more |= look_at_doomed(self);
    more |= look_at_waiting(self);
    more |= sweep(self);
    if (self->member && tp_directory_reserve(self)) {
        more |= tp_tasks_work(self);
        more |= tp_jobs_work(self);
        more |= tp_tasks_finish_some(self);
    }
    tp_directory_finish(self);
    return more;
}

/* ---- time ---- */

static void tick_open(tp_directory *self)
{
    tp_link *stop = tp_list_back(&self->open);
    for (int i = 0; stop != NULL && i < AGAIN_STEP * 4 && tp_directory_reserve(self); i++) {
        tp_link *link = tp_list_pop_front(&self->open);
        if (link == NULL) {
            break;
        }
        tp_list_push_back(&self->open, link);
        tp_aside *aside = TP_CONTAINER(link, tp_aside, open);
        bool is_last = link == stop;
        bool is_new = aside->record->state == TP_DIRECTORY_SOURCE && !aside->asked;
        if (aside->repeat_at <= self->now && (is_new || HOLDS(self, REPEAT))) {
            tp_moves_tick(self, aside->record);
            tp_flow(self, aside->record);
            tp_directory_finish(self);
        }
        if (is_last) {
            break;
        }
    }
}

static void tick_waiting(tp_directory *self)
{
    tp_link *stop = tp_list_back(&self->waiting);
    for (int i = 0; stop != NULL && i < AGAIN_STEP * 4 && tp_directory_reserve(self); i++) {
        tp_link *link = tp_list_pop_front(&self->waiting);
        if (link == NULL) {
            break;
        }
        tp_list_push_back(&self->waiting, link);
        bool is_last = link == stop;
        tp_record *record = TP_CONTAINER(link, tp_aside, waiting)->record;
        tp_flow_expire(self, record);
        look_at(self, record);
        tp_directory_finish(self);
        if (is_last) {
            break;
        }
    }
}

void tp_directory_tick(tp_directory *self, uint64_t now)
{
    self->now = now;
    if (self->view == NULL || !tp_flow_feed(self) || !tp_directory_reserve(self)) {
        return;
    }
    tick_open(self);
    tick_waiting(self);
    if (self->member && tp_directory_reserve(self)) {
        tp_tasks_tick(self);
        tp_jobs_tick(self);
    }
    tp_directory_finish(self);
}
