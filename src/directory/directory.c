/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of the directory machine (directory.h): its making and end, records, and effects. What
 * happens to letters is in flow.c, to words in words.c, to views in views.c.
 *
 * Effects are letters and ways, which bring their own memory, and notes, of which each event has a
 * reserve before it begins: so an event that has begun ends. Words of the node to itself go round
 * in `loop`, so that they come after what is under way, in order, as on a link.
 *
 * Invariants and threads: see directory.h.
 */
#include "base/alloc.h"
#include "directory/inside.h"

#include <string.h>

/* The most that one event or one step of work says by notes. */
#define SPARES 24

/* ---- create, destroy ---- */

static void set_defaults(tp_directory_options *options)
{
    options->held_id_max = options->held_id_max != 0 ? options->held_id_max : 1024;
    options->held_max = options->held_max != 0 ? options->held_max : 131072;
    options->held_bytes_max = options->held_bytes_max != 0 ? options->held_bytes_max : 128u << 20;
    options->repeat = options->repeat != 0 ? options->repeat : UINT64_C(1000000000);
    options->move_patience =
        options->move_patience != 0 ? options->move_patience : UINT64_C(5000000000);
    options->tardy = options->tardy != 0 ? options->tardy : UINT64_C(5000000000);
    options->entries_max = options->entries_max != 0 ? options->entries_max : UINT64_MAX;
    if (options->replicas > REPLICAS_MAX) {
        options->replicas = REPLICAS_MAX;
    }
    if (options->slice == 0 || options->slice > TP_DIRECTORY_SLICE_MAX) {
        options->slice = TP_DIRECTORY_SLICE_MAX;
    }
}

troupe_status tp_directory_create(const tp_directory_options *options, tp_pool *pool,
    const troupe_allocator *allocator, tp_directory **ret_directory)
{
    TP_ASSERT(options->self != 0 && options->shard < options->shards);
    tp_directory *self = tp_allocate_zeroed(allocator, sizeof(*self));
    if (self == NULL) {
        return TROUPE_NO_MEMORY;
    }
    self->options = *options;
    self->pool = pool;
    self->allocator = allocator;
    set_defaults(&self->options);
    tp_list *lists[] = {&self->own, &self->open, &self->waiting, &self->doomed, &self->tasks,
        &self->jobs, &self->floors, &self->open_again, &self->waiting_again, &self->starved};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        tp_list_init(lists[i]);
    }
    tp_tickets_init(&self->tickets, allocator);
    self->scratch = tp_allocate(allocator, self->options.slice * sizeof(void *));
    if (self->scratch == NULL || tp_index_init(&self->records, allocator, 0) != TROUPE_OK) {
        tp_directory_destroy(self, NULL, NULL);
        return TROUPE_NO_MEMORY;
    }
    *ret_directory = self;
    return TROUPE_OK;
}

static void destroy_ways(tp_directory *self, tp_way *way)
{
    while (way != NULL) {
        tp_way *upstream = way->upstream;
        tp_pool_give(self->pool, way);
        way = upstream;
    }
}

static void destroy_record(
    tp_directory *self, tp_record *record, void (*drop)(void *user, tp_letter *letter), void *user)
{
    tp_aside *aside = record->aside;
    for (tp_lane *lane = aside != NULL ? aside->lanes : NULL; lane != NULL;) {
        tp_link *link;
        while ((link = tp_list_pop_front(&lane->held)) != NULL) {
            tp_letter *letter = TP_CONTAINER(link, tp_letter, link);
            destroy_ways(self, letter->upstream);
            drop(user, letter);
        }
        while ((link = tp_list_pop_front(&lane->passed)) != NULL) {
            destroy_ways(self, TP_CONTAINER(link, tp_way, link));
        }
        tp_lane *next = lane->next;
        if (lane != &aside->first) {
            tp_pool_give(self->pool, lane);
        }
        lane = next;
    }
    for (tp_plea *plea = aside != NULL ? aside->pleas : NULL; plea != NULL;) {
        tp_plea *next = plea->next;
        tp_pool_give(self->pool, plea);
        plea = next;
    }
    tp_pool_give(self->pool, aside);
    tp_pool_give(self->pool, record);
}

static void destroy_notes(tp_directory *self, tp_fifo *fifo)
{
    tp_fifo_node *node;
    while ((node = tp_fifo_pop_front(fifo)) != NULL) {
        tp_note *note = TP_CONTAINER(node, tp_note, queued.next);
        tp_pool_give(self->pool, note->page);
        tp_pool_give(self->pool, note);
    }
}

static void destroy_lists(
    tp_directory *self, void (*drop)(void *user, tp_letter *letter), void *user)
{
    tp_link *link;
    while ((link = tp_list_front(&self->tasks)) != NULL) {
        tp_tasks_destroy(self, TP_CONTAINER(link, tp_task, link));
    }
    while ((link = tp_list_front(&self->jobs)) != NULL) {
        tp_jobs_destroy(self, TP_CONTAINER(link, tp_job, link));
    }
    while ((link = tp_list_pop_front(&self->starved)) != NULL) {
        drop(user, TP_CONTAINER(link, tp_letter, link));
    }
    while ((link = tp_list_pop_front(&self->floors)) != NULL) {
        tp_floor *floor = TP_CONTAINER(link, tp_floor, link);
        tp_spans_clear(&floor->spans, self->pool);
        tp_pool_give(self->pool, floor);
    }
    for (uint32_t i = 0; self->peers != NULL && i < self->view->member_count; i++) {
        tp_pool_give(self->pool, self->peers[i]);
    }
    tp_pool_give(self->pool, self->peers);
    tp_spans_clear(&self->departed, self->pool);
}

void tp_directory_destroy(
    tp_directory *self, void (*drop)(void *user, tp_letter *letter), void *user)
{
    if (self == NULL) {
        return;
    }
    while (self->pool != NULL && tp_directory_effect_take(self) != NULL) {
    }
    if (self->records.newest.entries != NULL) {
        uint64_t cursor = 0;
        void *item;
        while (tp_index_each(&self->records, &cursor, &item)) {
            tp_index_remove(&self->records, tp_record_key(((tp_record *)item)->hash), item);
            destroy_record(self, item, drop, user);
        }
    }
    destroy_lists(self, drop, user);
    destroy_notes(self, &self->loop);
    destroy_notes(self, &self->spare);
    tp_index_deinit(&self->records);
    tp_tickets_deinit(&self->tickets);
    tp_release(self->allocator, self->scratch, self->options.slice * sizeof(void *));
    tp_release(self->allocator, self, sizeof(*self));
}

void tp_directory_set_without(tp_directory *self, uint32_t rules)
{
    self->without = rules;
}

/* ---- records ---- */

tp_directory_id tp_record_id(const tp_record *record)
{
    return (tp_directory_id){record->hash, record->type,
        troupe_slice_of(record->text, record->partition_size),
        troupe_slice_of(record->text + record->partition_size, record->key_size)};
}

static bool is_same(const void *item, const void *key)
{
    const tp_record *record = item;
    const tp_directory_id *id = key;
    return record->type == id->type && record->key_size == id->key.size &&
           record->partition_size == id->partition.size &&
           memcmp(record->text + record->partition_size, id->key.data, id->key.size) == 0 &&
           (id->partition.size == 0 ||
               memcmp(record->text, id->partition.data, id->partition.size) == 0);
}

tp_record *tp_directory_find(tp_directory *self, const tp_directory_id *id)
{
    return tp_index_find(&self->records, tp_record_key(id->hash), is_same, id);
}

tp_record *tp_directory_obtain(tp_directory *self, const tp_directory_id *id)
{
    tp_record *record = tp_directory_find(self, id);
    if (TP_LIKELY(record != NULL)) {
        return record;
    }
    TP_ASSERT(id->key.size <= TP_KEY_MAX && id->partition.size <= TP_NAME_MAX);
    record = tp_pool_take(self->pool, sizeof(*record) + id->key.size + id->partition.size);
    if (record == NULL) {
        return NULL;
    }
    memset(record, 0, sizeof(*record));
    record->hash = id->hash;
    record->type = id->type;
    record->key_size = (uint16_t)id->key.size;
    record->partition_size = (uint8_t)id->partition.size;
    if (id->partition.size > 0) {
        memcpy(record->text, id->partition.data, id->partition.size);
    }
    memcpy(record->text + id->partition.size, id->key.data, id->key.size);
    if (tp_index_insert(&self->records, tp_record_key(id->hash), record) != TROUPE_OK) {
        tp_pool_give(self->pool, record);
        return NULL;
    }
    return record;
}

tp_aside *tp_directory_aside(tp_directory *self, tp_record *record)
{
    tp_aside *aside = record->aside;
    if (aside == NULL && (aside = tp_pool_take(self->pool, sizeof(*aside))) != NULL) {
        memset(aside, 0, sizeof(*aside));
        aside->record = record;
        aside->lanes = &aside->first;
        tp_list_init(&aside->first.held);
        tp_list_init(&aside->first.passed);
        record->aside = aside;
    }
    return aside;
}

static void tidy_lanes(tp_directory *self, tp_aside *aside)
{
    for (tp_lane **at = &aside->lanes; *at != NULL;) {
        tp_lane *lane = *at;
        if (lane != &aside->first && tp_list_is_empty(&lane->held) &&
            tp_list_is_empty(&lane->passed)) {
            *at = lane->next;
            tp_pool_give(self->pool, lane);
        } else {
            at = &lane->next;
        }
    }
}

void tp_directory_tidy(tp_directory *self, tp_record *record)
{
    tp_aside *aside = record->aside;
    if (aside != NULL) {
        tidy_lanes(self, aside);
        bool is_open = tp_aside_is_open(aside);
        if (record->flags & RECORD_CREATE && aside->held == 0) {
            record->flags &= (uint8_t)~RECORD_CREATE; /* nobody wants it any more */
            record->state = TP_DIRECTORY_ACTIVE;
            tp_words_leave(self, record);
        }
        if (aside->guarded && !is_open && record->state <= TP_DIRECTORY_ACTIVE) {
            aside->guarded = false;
            if (record->state == TP_DIRECTORY_ACTIVE) {
                tp_directory_say(self, TP_DIRECTORY_UNGUARD, record);
            }
        }
        bool waits = aside->held > 0 || aside->pleas != NULL;
        if (waits != tp_link_is_linked(&aside->waiting)) {
            if (waits) {
                tp_list_push_back(&self->waiting, &aside->waiting);
            } else {
                tp_list_remove(&aside->waiting);
            }
        }
        if (is_open || waits || aside->guarded || tp_link_is_linked(&aside->open)) {
            return;
        }
        record->aside = NULL;
        tp_pool_give(self->pool, aside);
    }
    if (record->state == TP_DIRECTORY_ABSENT && record->host == 0 && record->pins == 0 &&
        (!(record->flags & RECORD_SURE) || tp_list_is_empty(&self->tasks))) {
        tp_index_remove(&self->records, tp_record_key(record->hash), record);
        tp_pool_give(self->pool, record);
    }
}

bool tp_record_has_entry(const tp_record *record)
{
    return record->host != 0 && !(record->flags & RECORD_COPY);
}

void tp_directory_no_entry(tp_directory *self, tp_record *record)
{
    self->figures.entries -= tp_record_has_entry(record);
    self->figures.copies -= (record->flags & RECORD_COPY) != 0;
    record->host = 0;
    record->grant = 0;
    record->prev = 0;
    record->flags &= (uint8_t) ~(RECORD_WORD | RECORD_COPY | RECORD_FOUND);
}

void tp_directory_set_entry(
    tp_directory *self, tp_record *record, uint64_t host, uint64_t grant, uint64_t prev)
{
    self->figures.entries += !tp_record_has_entry(record);
    self->figures.copies -= (record->flags & RECORD_COPY) != 0;
    record->host = host;
    record->grant = grant;
    record->prev = prev;
    record->stamp = (uint32_t)self->view->number;
    record->flags &= (uint8_t) ~(RECORD_WORD | RECORD_COPY | RECORD_FOUND);
}

/* ---- members ---- */

uint32_t tp_directory_find_member(const tp_directory_view *view, uint64_t node)
{
    uint32_t low = 0, high = view->member_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (view->members[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < view->member_count && view->members[low].node == node ? low : TP_DIRECTORY_NOBODY;
}

bool tp_directory_is_member(const tp_directory *self, uint64_t node)
{
    return self->view != NULL && tp_directory_find_member(self->view, node) != TP_DIRECTORY_NOBODY;
}

tp_peer *tp_directory_peer(tp_directory *self, uint64_t node)
{
    uint32_t at =
        self->view != NULL ? tp_directory_find_member(self->view, node) : TP_DIRECTORY_NOBODY;
    return at != TP_DIRECTORY_NOBODY ? self->peers[at] : NULL;
}

uint64_t tp_directory_home_node(const tp_directory *self, uint64_t hash)
{
    return self->view->members[tp_directory_home(self->view, hash)].node;
}

/* ---- effects ---- */

bool tp_directory_reserve(tp_directory *self)
{
    while (self->spares < SPARES) {
        tp_note *note = tp_pool_take(self->pool, sizeof(*note));
        if (note == NULL) {
            return false;
        }
        note->page = NULL;
        tp_fifo_push_back(&self->spare, &note->queued.next);
        self->spares++;
    }
    return true;
}

static tp_note *take_note(tp_directory *self, tp_fifo *fifo, uint32_t kind)
{
    tp_fifo_node *node = tp_fifo_pop_front(&self->spare);
    TP_ASSERT(node != NULL);
    self->spares--;
    tp_note *note = TP_CONTAINER(node, tp_note, queued.next);
    memset(note, 0, sizeof(*note));
    note->queued.memory = MEMORY_NOTE;
    note->body.kind = (uint8_t)kind;
    tp_fifo_push_back(fifo, &note->queued.next);
    return note;
}

tp_directory_effect *tp_directory_say(tp_directory *self, uint32_t kind, tp_record *record)
{
    tp_note *note = take_note(self, &self->out, kind);
    if (record != NULL) {
        record->pins++;
        note->record = record;
        note->body.id = tp_record_id(record);
        note->body.number = record->number;
    }
    return &note->body;
}

tp_directory_word *tp_directory_tell_shard(
    tp_directory *self, uint64_t node, uint32_t shard, tp_directory_word_kind kind, void *page)
{
    tp_note *note =
        take_note(self, node == self->options.self ? &self->loop : &self->out, TP_DIRECTORY_WORD);
    note->page = page;
    note->body.node = node;
    note->body.shard = shard;
    note->body.word.kind = kind;
    note->body.word.view = self->view->number;
    return &note->body.word;
}

tp_directory_word *tp_directory_tell(
    tp_directory *self, uint64_t node, uint64_t hash, tp_directory_word_kind kind)
{
    tp_peer *peer = tp_directory_peer(self, node);
    uint32_t shards = peer != NULL ? peer->shards : self->options.shards;
    tp_directory_word *word =
        tp_directory_tell_shard(self, node, tp_directory_shard_of(hash, shards), kind, NULL);
    word->hash = hash;
    return word;
}

void tp_directory_hand_letter(tp_directory *self, tp_letter *letter, uint32_t kind)
{
    letter->queued.memory = MEMORY_LETTER;
    letter->queued.effect = (uint8_t)kind;
    tp_fifo_push_back(&self->out, &letter->queued.next);
}

void tp_directory_hand_way(tp_directory *self, tp_way *way, uint32_t kind)
{
    way->queued.memory = MEMORY_WAY;
    way->queued.effect = (uint8_t)kind;
    tp_fifo_push_back(&self->out, &way->queued.next);
}

static void release_current(tp_directory *self)
{
    tp_note *note = self->current_note;
    if (note != NULL) {
        self->current_note = NULL;
        tp_pool_give(self->pool, note->page);
        note->page = NULL;
        if (note->record != NULL) {
            note->record->pins--;
            if (note->record->pins == 0 && note->record->aside == NULL) {
                tp_directory_tidy(self, note->record);
            }
        }
        if (self->spares < SPARES) {
            tp_fifo_push_back(&self->spare, &note->queued.next);
            self->spares++;
        } else {
            tp_pool_give(self->pool, note);
        }
    }
    tp_pool_give(self->pool, self->current_way);
    self->current_way = NULL;
}

static void describe_letter(tp_directory_effect *effect, tp_letter *letter)
{
    effect->letter = letter;
    effect->create = letter->create;
    effect->guarded = letter->guarded;
    effect->shard = letter->shard;
    effect->status = letter->status;
    effect->node = letter->node;
    effect->number = letter->ticket;
    effect->id = letter->id;
}

static void describe_way(tp_directory *self, tp_directory_effect *effect, const tp_way *way)
{
    tp_peer *peer = tp_directory_peer(self, way->from);
    effect->node = way->from;
    effect->shard = peer != NULL ? tp_directory_shard_of(way->hash, peer->shards) : 0;
    effect->number = way->number;
    effect->token = way->token;
    effect->lost = way->lost;
    effect->id.hash = way->hash;
}

const tp_directory_effect *tp_directory_effect_take(tp_directory *self)
{
    release_current(self);
    tp_fifo_node *node = tp_fifo_pop_front(&self->out);
    if (node == NULL) {
        return NULL;
    }
    tp_directory_queued *queued = TP_CONTAINER(node, tp_directory_queued, next);
    if (queued->memory == MEMORY_NOTE) {
        self->current_note = TP_CONTAINER(queued, tp_note, queued);
        return &self->current_note->body;
    }
    tp_directory_effect *effect = &self->current;
    memset(effect, 0, sizeof(*effect));
    effect->kind = queued->effect;
    if (queued->memory == MEMORY_LETTER) {
        describe_letter(effect, TP_CONTAINER(queued, tp_letter, queued));
    } else {
        self->current_way = TP_CONTAINER(queued, tp_way, queued);
        describe_way(self, effect, self->current_way);
    }
    return effect;
}

/* What the node said to itself. A word that finds no memory stays, and is tried again by work. */
void tp_directory_finish(tp_directory *self)
{
    while (!self->looping && !tp_fifo_is_empty(&self->loop)) {
        if (!tp_directory_reserve(self)) {
            return;
        }
        tp_note *note = TP_CONTAINER(tp_fifo_front(&self->loop), tp_note, queued.next);
        self->looping = true;
        troupe_status status =
            tp_words_handle(self, self->options.self, self->options.shard, &note->body.word);
        self->looping = false;
        if (status == TROUPE_NO_MEMORY) {
            return;
        }
        tp_fifo_pop_front(&self->loop);
        tp_pool_give(self->pool, note->page);
        tp_pool_give(self->pool, note);
    }
}
