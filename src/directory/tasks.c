/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new home does to know its ranges: a claim to the former home, which hands its entries over
 * page by page, or a survey of all members, which name their activations page by page. Their
 * answers come from jobs.c.
 *
 * A claim is settled from the lowest mixed hash on, as its pages come; ids that are asked for are
 * settled one by one before (WANT, ONE). A survey is settled as a whole. Of what a survey finds for
 * an id the highest number that may live is the entry; no entry is used before the end.
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

#include <string.h>

#define ASK_STEP 8 /* words of one call of work */

tp_task *tp_tasks_create(tp_directory *self, uint64_t former)
{
    tp_task *task = tp_pool_take(self->pool, sizeof(*task));
    if (task != NULL) {
        memset(task, 0, sizeof(*task));
        task->node = former;
        task->survey = former == 0;
        task->number = task->survey ? ++self->surveys : 0;
        task->tardy_at = self->now + self->options.tardy;
        self->figures.surveys += task->survey;
        self->figures.claims += !task->survey;
    }
    return task;
}

void tp_tasks_destroy(tp_directory *self, tp_task *task)
{
    tp_list_remove(&task->link);
    tp_spans_clear(&task->spans, self->pool);
    tp_pool_give(self->pool, task->debts);
    tp_pool_give(self->pool, task);
}

bool tp_tasks_owe(tp_directory *self, tp_task *task, const tp_directory_member *member)
{
    uint32_t first, last;
    tp_views_shards(self, member->shards, &first, &last);
    uint32_t count = task->count + (last - first + 1);
    if (count > task->room) {
        uint32_t room = count * 2;
        tp_debt *debts = tp_pool_take(self->pool, room * sizeof(*debts));
        if (debts == NULL) {
            return false;
        }
        if (task->count > 0) {
            memcpy(debts, task->debts, task->count * sizeof(*debts));
        }
        tp_pool_give(self->pool, task->debts);
        task->debts = debts;
        task->room = room;
    }
    for (uint32_t shard = first; shard <= last; shard++) {
        task->debts[task->count++] = (tp_debt){.node = member->node, .shard = shard};
        task->left++;
    }
    return true;
}

/* ---- asking ---- */

static bool ask(tp_directory *self, tp_task *task)
{
    for (uint32_t i = 0, said = 0; i < task->count; i++) {
        tp_debt *debt = &task->debts[i];
        if (debt->asked) {
            continue;
        }
        if (said++ == ASK_STEP || !tp_directory_reserve(self)) {
            return true;
        }
        tp_span *spans = tp_pool_take(self->pool, task->spans.count * sizeof(*spans));
        if (spans == NULL) {
            return false; /* later, with the next call */
        }
        if (task->spans.count > 0) {
            memcpy(spans, task->spans.items, task->spans.count * sizeof(*spans));
        }
        debt->asked = true;
        tp_directory_word *word = tp_directory_tell_shard(
            self, debt->node, debt->shard, task->survey ? TP_WORD_SURVEY : TP_WORD_CLAIM, spans);
        word->number = task->number;
        word->spans = spans;
        word->span_count = task->spans.count;
    }
    return false;
}

bool tp_tasks_work(tp_directory *self)
{
    bool more = false;
    TP_LIST_EACH(&self->tasks, link)
    {
        more |= ask(self, TP_CONTAINER(link, tp_task, link));
    }
    return more;
}

void tp_tasks_want(tp_directory *self, tp_record *record)
{
    uint32_t view = (uint32_t)self->view->number;
    if (record->aside == NULL || record->aside->wanted == view || self->spares < 8) {
        return;
    }
    TP_LIST_EACH(&self->tasks, link)
    {
        tp_task *task = TP_CONTAINER(link, tp_task, link);
        if (!task->survey && tp_spans_has(&task->spans, record->hash)) {
            record->aside->wanted = view;
            tp_directory_tell(self, task->node, record->hash, TP_WORD_WANT);
            return;
        }
    }
}

void tp_tasks_tick(tp_directory *self)
{
    TP_LIST_EACH(&self->tasks, link)
    {
        tp_task *task = TP_CONTAINER(link, tp_task, link);
        if (task->tardy_at > self->now || task->left == 0 || self->spares < 8) {
            continue;
        }
        task->tardy_at = self->now + self->options.tardy;
        for (uint32_t i = 0; i < task->count; i++) {
            if (!task->debts[i].done && task->debts[i].node != self->options.self) {
                tp_directory_say(self, TP_DIRECTORY_TARDY, NULL)->node = task->debts[i].node;
                break;
            }
        }
    }
}

/* ---- the end ---- */

bool tp_tasks_finish_some(tp_directory *self)
{
    bool any = false;
    if (!self->sweeping) {
        TP_LIST_EACH(&self->tasks, link)
        {
            tp_task *task = TP_CONTAINER(link, tp_task, link);
            if (task->left == 0) {
                tp_tasks_destroy(self, task);
                any = true;
            }
        }
    }
    if (any) {
        tp_views_look_again(self);
    }
    if (self->sure && tp_list_is_empty(&self->tasks)) {
        self->sure = false;
        self->sweep = 0;
        self->sweeping = true;
    }
    return any || self->sweeping;
}

/* ---- a claim is answered ---- */

static tp_debt *find_debt(const tp_task *task, uint64_t node, uint32_t shard)
{
    for (uint32_t i = 0; i < task->count; i++) {
        if (task->debts[i].node == node && task->debts[i].shard == shard) {
            return &task->debts[i];
        }
    }
    return NULL;
}

/* What the former home could not hand over is surveyed. */
static bool survey_instead(tp_directory *self, tp_task *task, const tp_directory_word *word)
{
    tp_span *items = (tp_span *)(uintptr_t)word->spans; /* only read */
    tp_spans unknown = {items, word->span_count, word->span_count};
    tp_spans rest = {NULL, 0, 0};
    tp_task *survey = tp_tasks_create(self, 0);
    bool ok = survey != NULL;
    if (ok) {
        tp_list_push_back(&self->tasks, &survey->link);
        ok = tp_spans_common(&survey->spans, self->pool, &task->spans, &unknown) &&
             tp_spans_without(&rest, self->pool, &task->spans, &unknown);
    }
    for (uint32_t i = 0; ok && i < self->view->member_count; i++) {
        ok = tp_tasks_owe(self, survey, &self->view->members[i]);
    }
    if (!ok || survey->spans.count == 0) {
        tp_spans_clear(&rest, self->pool);
        if (survey != NULL) {
            tp_tasks_destroy(self, survey);
        }
        return ok;
    }
    tp_spans_clear(&task->spans, self->pool);
    task->spans = rest;
    return true;
}

static void take_entry(tp_directory *self, tp_record *record, const tp_directory_item *item)
{
    if (tp_directory_is_member(self, item->host)) {
        tp_directory_set_entry(self, record, item->host, item->number, item->prev);
        record->activations = item->activations;
    }
}

static bool is_sure(const tp_directory *self, const tp_record *record)
{
    return record->flags & RECORD_SURE && record->stamp == (uint32_t)self->view->number;
}

static tp_task *find_claim(tp_directory *self, uint64_t node)
{
    TP_LIST_EACH(&self->tasks, link)
    {
        tp_task *task = TP_CONTAINER(link, tp_task, link);
        if (!task->survey && task->node == node) {
            return task;
        }
    }
    return NULL;
}

static troupe_status came_slice(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    tp_task *task = find_claim(self, from);
    tp_debt *debt = task != NULL ? find_debt(task, from, shard) : NULL;
    if (debt == NULL || debt->done) {
        return TROUPE_OK;
    }
    if (word->span_count > 0 && !survey_instead(self, task, word)) {
        return TROUPE_NO_MEMORY;
    }
    for (uint32_t i = 0; i < word->item_count; i++) {
        const tp_directory_item *item = &word->items[i];
        if (!tp_spans_has(&task->spans, item->id.hash)) {
            continue;
        }
        tp_record *record = tp_directory_obtain(self, &item->id);
        if (record == NULL) {
            return TROUPE_NO_MEMORY;
        }
        if (!is_sure(self, record)) {
            take_entry(self, record, item);
        }
        tp_directory_tidy(self, record);
    }
    debt->covered = word->other;
    if (word->last) {
        debt->done = true;
        task->left--;
    } else {
        tp_directory_tell_shard(self, from, shard, TP_WORD_MORE, NULL);
    }
    tp_views_look_again(self);
    tp_tasks_finish_some(self);
    return TROUPE_OK;
}

/* Sees every record of a hash: says of each that it is not the one. */
typedef struct seen {
    tp_record *records[8];
    uint32_t count;
} seen;

static bool see(const void *item, const void *key)
{
    seen *all = (seen *)(uintptr_t)key;
    if (all->count < 8) {
        all->records[all->count++] = (tp_record *)(uintptr_t)item;
    }
    return false;
}

static troupe_status came_one(tp_directory *self, uint64_t from, const tp_directory_word *word)
{
    tp_task *task = find_claim(self, from);
    tp_record probe = {.hash = word->hash};
    if (task == NULL || !tp_spans_has(&task->spans, word->hash) ||
        tp_views_is_settled(self, &probe)) {
        return TROUPE_OK;
    }
    for (uint32_t i = 0; i < word->item_count; i++) {
        tp_record *record = tp_directory_obtain(self, &word->items[i].id);
        if (record == NULL) {
            return TROUPE_NO_MEMORY;
        }
        if (!is_sure(self, record)) {
            take_entry(self, record, &word->items[i]);
        }
    }
    seen all = {.count = 0};
    (void)tp_index_find(&self->records, tp_record_key(word->hash), see, &all);
    for (uint32_t i = 0; i < all.count; i++) {
        tp_record *record = all.records[i];
        uint32_t view = (uint32_t)self->view->number;
        if (record->stamp != view && record->host != 0) {
            tp_directory_no_entry(self, record); /* of former times */
        }
        record->flags |= RECORD_SURE;
        self->sure = true;
        record->stamp = view;
    }
    tp_views_look_again(self);
    return TROUPE_OK;
}

/* ---- a survey is answered ---- */

static bool may_live(tp_directory *self, const tp_directory_item *item)
{
    switch (item->state) {
    case TP_DIRECTORY_ACTIVE:
    case TP_DIRECTORY_CAPTURING:
    case TP_DIRECTORY_LEAVING:
        return true;
    case TP_DIRECTORY_SOURCE:
        return !HOLDS(self, SOURCE_WAITS) || tp_directory_is_member(self, item->peer);
    default:
        return false; /* a target's copy is none yet */
    }
}

static troupe_status take_answer(tp_directory *self, uint64_t from, const tp_directory_item *item)
{
    if (!may_live(self, item)) {
        return TROUPE_OK;
    }
    tp_record *record = tp_directory_obtain(self, &item->id);
    if (record == NULL) {
        return TROUPE_NO_MEMORY;
    }
    if (is_sure(self, record)) {
        return TROUPE_OK;
    }
    bool is_of_now = tp_record_has_entry(record) && record->stamp == (uint32_t)self->view->number;
    uint64_t rank = 0;
    if (is_of_now) {
        rank = record->flags & RECORD_FOUND ? record->prev : record->grant;
    }
    if (item->number <= rank) {
        return TROUPE_OK;
    }
    if (item->state == TP_DIRECTORY_SOURCE) {
        bool is_new = HOLDS(self, NEW_NUMBER);
        uint64_t number = is_new ? tp_flow_next_number(self) : item->number;
        tp_directory_set_entry(self, record, from, number, item->number);
        record->flags |= RECORD_FOUND;
    } else {
        tp_directory_set_entry(self, record, from, item->number, 0);
    }
    return TROUPE_OK;
}

static troupe_status came_answer(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    tp_task *task = NULL;
    TP_LIST_EACH(&self->tasks, link)
    {
        tp_task *one = TP_CONTAINER(link, tp_task, link);
        task = one->survey && one->number == word->number ? one : task;
    }
    tp_debt *debt = task != NULL ? find_debt(task, from, shard) : NULL;
    if (debt == NULL || debt->done) {
        return TROUPE_OK;
    }
    for (uint32_t i = 0; i < word->item_count; i++) {
        const tp_directory_item *item = &word->items[i];
        if (tp_spans_has(&task->spans, item->id.hash) &&
            take_answer(self, from, item) != TROUPE_OK) {
            return TROUPE_NO_MEMORY;
        }
    }
    if (word->last) {
        debt->done = true;
        task->left--;
    } else {
        tp_directory_tell_shard(self, from, shard, TP_WORD_MORE, NULL)->number = task->number;
    }
    if (!HOLDS(self, ALL_ANSWERS)) {
        task->left = 0;
    }
    tp_tasks_finish_some(self);
    return TROUPE_OK;
}

troupe_status tp_tasks_handle(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    if (word->view != self->view->number) {
        return TROUPE_OK;
    }
    switch (word->kind) {
    case TP_WORD_SLICE:
        return came_slice(self, from, shard, word);
    case TP_WORD_ONE:
        return came_one(self, from, word);
    default:
        return came_answer(self, from, shard, word);
    }
}
