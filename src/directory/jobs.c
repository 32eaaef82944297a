/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others ask of this node when views change, answered page by page: a former home hands over
 * its entries (CLAIM, WANT), a host names its activations (SURVEY). A page is sent when the last
 * one was asked on (MORE), so an answer never fills a link.
 *
 * An entry whose host may not have had the home's last word waits for it: a SYNC goes to the host
 * behind the word, and the hand-over goes on when it is answered. A host that is the new home
 * itself has the word before the page, on the same link.
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

#include <string.h>

#define VISIT_STEP 4096         /* records looked at in one call of work */
#define PAGE_BYTES (128 * 1024) /* of text: a page is cut then */
#define FLOOR_STEP 8            /* words about floors in one tick */

void tp_jobs_destroy(tp_directory *self, tp_job *job)
{
    tp_list_remove(&job->link);
    tp_spans_clear(&job->spans, self->pool);
    tp_spans_clear(&job->unknown, self->pool);
    tp_pool_give(self->pool, job);
}

/* ---- pages ---- */

void *tp_jobs_page(tp_directory *self, tp_record *const *records, uint32_t count, size_t spans)
{
    size_t size = count * sizeof(tp_directory_item) + spans * sizeof(tp_span) + 1;
    for (uint32_t i = 0; i < count; i++) {
        size += (size_t)records[i]->key_size + records[i]->partition_size;
    }
    char *page = tp_pool_take(self->pool, size);
    if (page == NULL) {
        return NULL;
    }
    tp_directory_item *items = (tp_directory_item *)(void *)page;
    char *text = page + count * sizeof(*items) + spans * sizeof(tp_span);
    for (uint32_t i = 0; i < count; i++) {
        const tp_record *record = records[i];
        memset(&items[i], 0, sizeof(items[i]));
        items[i].id = (tp_directory_id){record->hash, record->type,
            troupe_slice_of(text, record->partition_size),
            troupe_slice_of(text + record->partition_size, record->key_size)};
        items[i].activations = record->activations;
        memcpy(text, record->text, (size_t)record->partition_size + record->key_size);
        text += (size_t)record->partition_size + record->key_size;
    }
    return page;
}

static void fill(
    const tp_directory *self, tp_directory_item *item, const tp_record *record, bool survey)
{
    item->host = survey ? 0 : record->host;
    item->number = survey ? record->number : record->grant;
    item->prev = survey || !HOLDS(self, PREV) ? 0 : record->prev;
    item->state = record->state;
    item->peer = survey && record->aside != NULL ? record->aside->peer : 0;
}

/* ---- the hand-over of one entry ---- */

/* Has its host had the last word? If nobody knows, asks. */
static bool is_word_known(tp_directory *self, const tp_record *record, uint64_t heir)
{
    if (!(record->flags & RECORD_WORD) || record->host == self->options.self ||
        record->host == heir || !HOLDS(self, ACKED_WORD)) {
        return true;
    }
    tp_peer *peer = tp_directory_peer(self, record->host);
    uint32_t shard = tp_directory_shard_of(record->hash, peer->shards);
    tp_end *end = &peer->ends[shard];
    if (end->sync_asked != self->view->number) {
        end->sync_asked = self->view->number;
        tp_directory_tell_shard(self, record->host, shard, TP_WORD_SYNC, NULL);
    }
    return end->heard > self->view->number;
}

static bool is_wanted(tp_directory *self, const tp_job *job, const tp_record *record)
{
    if (tp_directory_shard_of(record->hash, job->shards) != job->shard ||
        !tp_spans_has(&job->spans, record->hash)) {
        return false;
    }
    if (job->survey) {
        return record->state != TP_DIRECTORY_ABSENT;
    }
    return tp_record_has_entry(record) && tp_directory_is_member(self, record->host);
}

/* ---- a page of a job ---- */

typedef struct gathered {
    uint32_t count;
    uint64_t cursor;
    bool last;  /* there is nothing more */
    bool stuck; /* the next entry waits for a SYNC */
} gathered;

static gathered gather(tp_directory *self, tp_job *job)
{
    gathered got = {.cursor = job->cursor};
    size_t bytes = 0;
    tp_record **records = (tp_record **)self->scratch;
    for (int i = 0; i < VISIT_STEP && got.count < self->options.slice && bytes < PAGE_BYTES; i++) {
        uint64_t next = got.cursor;
        void *item;
        if (!tp_index_each(&self->records, &next, &item)) {
            got.last = true;
            return got;
        }
        tp_record *record = item;
        if (is_wanted(self, job, record)) {
            if (!job->survey && !is_word_known(self, record, job->node)) {
                got.stuck = true;
                return got;
            }
            bytes += (size_t)record->key_size + record->partition_size;
            records[got.count++] = record;
        }
        got.cursor = next;
    }
    return got;
}

/* The bucket of the cursor is the first that may hold what was not yet seen (base/index.c). */
static uint64_t covered_by(const tp_directory *self, uint64_t cursor)
{
    uint32_t low = 64 - self->records.newest.bits;
    return cursor >> low << low;
}

static bool send_page(tp_directory *self, tp_job *job, const gathered *got)
{
    tp_record **records = (tp_record **)self->scratch;
    uint32_t spans = job->unknown.count;
    tp_directory_item *items = tp_jobs_page(self, records, got->count, spans);
    if (items == NULL) {
        return false;
    }
    tp_span *unknown = (tp_span *)(void *)(items + got->count);
    for (uint32_t i = 0; i < got->count; i++) {
        fill(self, &items[i], records[i], job->survey);
    }
    if (spans > 0) {
        memcpy(unknown, job->unknown.items, spans * sizeof(*unknown));
        tp_spans_clear(&job->unknown, self->pool);
    }
    tp_directory_word *word = tp_directory_tell_shard(
        self, job->node, job->shard, job->survey ? TP_WORD_ANSWER : TP_WORD_SLICE, items);
    word->number = job->number;
    word->other = got->last ? UINT64_MAX : covered_by(self, got->cursor);
    word->last = got->last;
    word->items = items;
    word->item_count = got->count;
    word->spans = unknown;
    word->span_count = spans;
    self->figures.pages++;
    for (uint32_t i = 0; !job->survey && i < got->count; i++) {
        tp_directory_no_entry(self, records[i]);
        tp_directory_tidy(self, records[i]);
    }
    job->cursor = got->cursor;
    job->waits = true;
    return true;
}

/* False: nothing more can be done now. */
static bool work_on(tp_directory *self, tp_job *job)
{
    if (job->waits || !tp_directory_reserve(self)) {
        return false;
    }
    gathered got = gather(self, job);
    if (got.count == 0 && !got.last && job->unknown.count == 0) {
        job->cursor = got.cursor;
        return !got.stuck;
    }
    if (!send_page(self, job, &got)) {
        return false;
    }
    if (got.last) {
        tp_jobs_destroy(self, job);
    }
    return true;
}

bool tp_jobs_work(tp_directory *self)
{
    bool more = false;
    TP_LIST_EACH(&self->jobs, link)
    {
        more |= work_on(self, TP_CONTAINER(link, tp_job, link));
    }
    return more;
}

/* ---- the words that begin jobs ---- */

static bool add_floor(tp_directory *self, uint64_t home, const tp_spans *asked)
{
    tp_floor *floor = tp_pool_take(self->pool, sizeof(*floor));
    if (floor == NULL) {
        return false;
    }
    memset(floor, 0, sizeof(*floor));
    tp_spans none = {NULL, 0, 0};
    if (!tp_spans_either(&floor->spans, self->pool, asked, &none)) {
        tp_spans_clear(&floor->spans, self->pool);
        tp_pool_give(self->pool, floor);
        return false;
    }
    floor->view = self->view->number;
    floor->home = home;
    tp_list_push_back(&self->floors, &floor->link);
    return true;
}

static troupe_status begin_job(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    const tp_peer *peer = tp_directory_peer(self, from);
    if (peer == NULL || shard >= peer->shards) {
        return TROUPE_OK;
    }
    tp_span *items = (tp_span *)(uintptr_t)word->spans; /* only read */
    const tp_spans asked = {items, word->span_count, word->span_count}, none = {NULL, 0, 0};
    tp_job *job = tp_pool_take(self->pool, sizeof(*job));
    if (job == NULL) {
        return TROUPE_NO_MEMORY;
    }
    memset(job, 0, sizeof(*job));
    tp_list_push_back(&self->jobs, &job->link);
    job->survey = word->kind == TP_WORD_SURVEY;
    job->number = word->number;
    job->node = from;
    job->shard = shard;
    job->shards = peer->shards;
    bool ok;
    if (job->survey) {
        ok = tp_spans_either(&job->spans, self->pool, &asked, &none) &&
             add_floor(self, from, &asked);
    } else {
        ok = tp_spans_common(&job->spans, self->pool, &asked, &self->departed) &&
             tp_spans_without(&job->unknown, self->pool, &asked, &self->departed);
    }
    if (!ok) {
        tp_jobs_destroy(self, job);
        return TROUPE_NO_MEMORY;
    }
    return TROUPE_OK;
}

typedef struct seen {
    tp_record *records[8];
    uint32_t count;
} seen;

static bool see_entry(const void *item, const void *key)
{
    seen *all = (seen *)(uintptr_t)key;
    if (all->count < 8 && tp_record_has_entry(item)) {
        all->records[all->count++] = (tp_record *)(uintptr_t)item;
    }
    return false;
}

/* One hash ahead of the others. If it cannot be now, it comes with the others. */
static troupe_status came_want(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    if (!tp_spans_has(&self->departed, word->hash) ||
        tp_directory_home_node(self, word->hash) != from) {
        return TROUPE_OK;
    }
    seen all = {.count = 0};
    (void)tp_index_find(&self->records, tp_record_key(word->hash), see_entry, &all);
    uint32_t count = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (tp_directory_is_member(self, all.records[i]->host)) {
            if (!is_word_known(self, all.records[i], from)) {
                return TROUPE_OK;
            }
            all.records[count++] = all.records[i];
        }
    }
    tp_directory_item *items = tp_jobs_page(self, all.records, count, 0);
    if (items == NULL) {
        return TROUPE_OK;
    }
    tp_directory_word *one = tp_directory_tell_shard(self, from, shard, TP_WORD_ONE, items);
    one->hash = word->hash;
    one->items = items;
    one->item_count = count;
    for (uint32_t i = 0; i < count; i++) {
        fill(self, &items[i], all.records[i], false);
    }
    for (uint32_t i = 0; i < count; i++) {
        tp_directory_no_entry(self, all.records[i]);
        tp_directory_tidy(self, all.records[i]);
    }
    return TROUPE_OK;
}

static void came_more(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    TP_LIST_EACH(&self->jobs, link)
    {
        tp_job *job = TP_CONTAINER(link, tp_job, link);
        if (job->node == from && job->shard == shard && job->number == word->number) {
            job->waits = false;
        }
    }
}

troupe_status tp_jobs_handle(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    const bool is_now = word->view == self->view->number;
    tp_peer *peer = tp_directory_peer(self, from);
    tp_directory_word *synced;
    switch (word->kind) {
    case TP_WORD_SYNC:
        synced = tp_directory_tell_shard(self, from, shard, TP_WORD_SYNCED, NULL);
        synced->number = word->view;
        synced->other = word->number;
        return TROUPE_OK;
    case TP_WORD_SYNCED:
        if (peer != NULL && shard < peer->shards && word->other > peer->ends[shard].round_heard) {
            peer->ends[shard].round_heard = word->other;
        }
        if (peer != NULL && shard < peer->shards && word->number >= peer->ends[shard].heard) {
            peer->ends[shard].heard = word->number + 1;
        }
        return TROUPE_OK;
    case TP_WORD_SURVEY:
    case TP_WORD_CLAIM:
        return is_now ? begin_job(self, from, shard, word) : TROUPE_OK;
    case TP_WORD_WANT:
        return is_now ? came_want(self, from, shard, word) : TROUPE_OK;
    default:
        if (is_now) {
            came_more(self, from, shard, word);
        }
        return TROUPE_OK;
    }
}

/* ---- floors ---- */

/* Who was heard to know a view sends no grant of an older one any more: links keep their order. */
static bool is_needed(tp_directory *self, const tp_floor *floor, uint32_t *words)
{
    bool needed = false;
    for (uint32_t i = 0; i < self->view->member_count; i++) {
        tp_peer *peer = self->peers[i];
        uint32_t first, last;
        tp_views_shards(self, peer->shards, &first, &last);
        for (uint32_t s = first; s <= last && peer->node != self->options.self; s++) {
            tp_end *end = &peer->ends[s];
            if (end->heard > floor->view) {
                continue;
            }
            needed = true;
            if (end->sync_asked < floor->view && *words < FLOOR_STEP) {
                (*words)++;
                end->sync_asked = self->view->number;
                tp_directory_tell_shard(self, peer->node, s, TP_WORD_SYNC, NULL);
            }
        }
    }
    return needed;
}

void tp_jobs_tick(tp_directory *self)
{
    uint32_t words = 0;
    tp_link *link = tp_list_front(&self->floors);
    if (link == NULL || !tp_directory_reserve(self)) {
        return;
    }
    tp_floor *floor = TP_CONTAINER(link, tp_floor, link);
    if (floor->view < self->view->number && !is_needed(self, floor, &words)) {
        tp_list_remove(&floor->link);
        tp_spans_clear(&floor->spans, self->pool);
        tp_pool_give(self->pool, floor);
    }
}

bool tp_directory_sound(tp_directory *self, uint64_t round)
{
    uint32_t words = 0;
    bool all = true;
    if (self->view == NULL) {
        return true;
    }
    if (!tp_directory_reserve(self)) {
        return false;
    }
    for (uint32_t i = 0; i < self->view->member_count; i++) {
        tp_peer *peer = self->peers[i];
        uint32_t first, last;
        tp_views_shards(self, peer->shards, &first, &last);
        for (uint32_t s = first; s <= last && peer->node != self->options.self; s++) {
            tp_end *end = &peer->ends[s];
            all = all && end->round_heard >= round;
            if (end->round < round && words < FLOOR_STEP) {
                words++;
                end->round = round;
                tp_directory_tell_shard(self, peer->node, s, TP_WORD_SYNC, NULL)->number = round;
            }
        }
    }
    return all;
}
