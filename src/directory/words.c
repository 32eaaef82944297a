/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words between a host and the home of an id: release, switch, take-back and their answers, and the
 * repetition of what is open. Claims and surveys are in tasks.c and jobs.c, what a word does to a
 * copy in moves.c.
 *
 * As home, by the entry (host, number, prev); `n` is what the word names, `s` who says it:
 *   RELEASE  entry is (s, n): it goes. RELEASED in any case
 *   SWITCH   number is n, host is not s: entry becomes (s, new, n), GO. Else VOIDED; and if prev is
 *            n, host another: BACK to it, as if it had lost its patience, for it waits in vain
 *   TAKE     entry is (s, n): becomes (s, new, n), BACK. (s, new, n) already: BACK again.
 *            prev is n, host another: nothing, the target will say RUNNING. Else GONE
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

#include <string.h>

#define SPARES_KEPT 10 /* notes that copies leave to what must be said */

/* ---- the host ---- */

void tp_words_open(tp_directory *self, tp_aside *aside, uint64_t after)
{
    bool is_open = tp_link_is_linked(&aside->open);
    if (after == 0 && is_open) {
        tp_list_remove(&aside->open);
    } else if (after != 0 && !is_open) {
        tp_list_push_back(&self->open, &aside->open);
    }
    aside->repeat_at = self->now + after;
}

/* Says what is open, to the home it knows. */
void tp_words_request(tp_directory *self, tp_record *record)
{
    tp_aside *aside = record->aside;
    if (!self->member) {
        return;
    }
    uint64_t home = tp_directory_home_node(self, record->hash);
    aside->repeat_at = self->now + self->options.repeat;
    if (aside->ran != 0 && !tp_directory_is_member(self, aside->peer)) {
        aside->ran = 0; /* nobody is left to be told */
    }
    if (aside->ran != 0) {
        tp_directory_tell(self, aside->peer, record->hash, TP_WORD_RUNNING)->number = aside->ran;
    }
    if (record->state == TP_DIRECTORY_LEAVING) {
        if (aside->ran == 0 || !HOLDS(self, RUNNING_ACK)) {
            tp_directory_tell(self, home, record->hash, TP_WORD_RELEASE)->number = record->number;
        }
    } else if (record->state == TP_DIRECTORY_TARGET) {
        tp_directory_tell(self, home, record->hash, TP_WORD_SWITCH)->number = record->number;
    } else if (record->state == TP_DIRECTORY_SOURCE) {
        aside->asked = true;
        tp_directory_tell(self, home, record->hash, TP_WORD_TAKE)->number = record->number;
    } else if (aside->ran == 0) {
        tp_words_open(self, aside, 0);
    }
}

/* The activation ended. The record has its aside. */
void tp_words_leave(tp_directory *self, tp_record *record)
{
    record->state = TP_DIRECTORY_LEAVING;
    record->flags &= (uint8_t)~RECORD_CREATE;
    self->figures.activations--;
    tp_words_open(self, record->aside, self->options.repeat);
    tp_words_request(self, record);
    if (!HOLDS(self, RELEASE_ACK)) {
        record->state = TP_DIRECTORY_ABSENT;
        record->number = 0;
        tp_words_open(self, record->aside, 0);
    }
}

troupe_status tp_directory_release(tp_directory *self, const tp_directory_id *id)
{
    tp_record *record = tp_directory_find(self, id);
    if (record == NULL ||
        (record->state != TP_DIRECTORY_ACTIVE && record->state != TP_DIRECTORY_CAPTURING)) {
        return TROUPE_OK;
    }
    if (!tp_directory_reserve(self) || tp_directory_aside(self, record) == NULL) {
        return TROUPE_NO_MEMORY;
    }
    tp_words_leave(self, record);
    tp_flow(self, record);
    tp_directory_finish(self);
    return TROUPE_OK;
}

static tp_record *find_hosted(tp_directory *self, const tp_directory_word *word, uint32_t state);

static void released(tp_directory *self, const tp_directory_word *word)
{
    tp_record *record = find_hosted(self, word, TP_DIRECTORY_LEAVING);
    if (record != NULL) {
        record->state = TP_DIRECTORY_ABSENT;
        record->number = 0;
        tp_words_open(self, record->aside, 0);
        tp_flow(self, record);
    }
}

/* ---- the home ---- */

typedef struct wanted {
    uint64_t number;
    uint64_t host; /* 0: any */
    uint32_t state;
    bool entry;
} wanted;

static bool fits(const void *item, const void *key)
{
    const tp_record *record = item;
    const wanted *want = key;
    if (!want->entry) {
        return record->state == want->state && record->number == want->number;
    }
    return tp_record_has_entry(record) &&
           (record->grant == want->number || record->prev == want->number);
}

static tp_record *find_hosted(tp_directory *self, const tp_directory_word *word, uint32_t state)
{
    wanted want = {.number = word->number, .state = state};
    return tp_index_find(&self->records, tp_record_key(word->hash), fits, &want);
}

/* The entry that has that number, now or before a switch. */
static tp_record *find_entry(tp_directory *self, uint64_t hash, uint64_t number)
{
    wanted want = {.number = number, .entry = true};
    return tp_index_find(&self->records, tp_record_key(hash), fits, &want);
}

static void give_new_number(
    tp_directory *self, tp_record *record, uint64_t host, tp_directory_word_kind kind)
{
    uint64_t former = record->grant;
    tp_directory_set_entry(self, record, host, tp_flow_next_number(self), former);
    record->flags |= RECORD_WORD;
    tp_directory_word *word = tp_directory_tell(self, host, record->hash, kind);
    word->number = former;
    word->other = record->grant;
    tp_words_copy(self, record);
}

void tp_directory_unsent(tp_directory *self, uint64_t ticket)
{
    const tp_way *way = tp_ticket_find(&self->tickets, ticket);
    if (way != NULL && way->granted != 0 && way->record->grant == way->granted) {
        tp_directory_no_entry(self, way->record);
        tp_words_copy(self, way->record);
    }
    tp_directory_settled(self, ticket, false);
}

static void came_release(
    tp_directory *self, tp_record *record, uint64_t from, const tp_directory_word *word)
{
    tp_directory_tell(self, from, word->hash, TP_WORD_RELEASED)->number = word->number;
    if (record != NULL && record->host == from && record->grant == word->number) {
        tp_directory_no_entry(self, record);
        tp_words_copy(self, record);
        tp_flow(self, record);
    }
}

static void say_back(tp_directory *self, tp_record *record, uint64_t number)
{
    record->flags |= RECORD_WORD;
    tp_directory_word *back = tp_directory_tell(self, record->host, record->hash, TP_WORD_BACK);
    back->number = number;
    back->other = record->grant;
}

static void came_switch(
    tp_directory *self, tp_record *record, uint64_t from, const tp_directory_word *word)
{
    if (record != NULL && record->grant == word->number && record->host != from) {
        give_new_number(self, record, from, TP_WORD_GO);
        tp_flow(self, record);
    } else {
        tp_directory_tell(self, from, word->hash, TP_WORD_VOIDED)->number = word->number;
        if (record != NULL && record->prev == word->number && record->host != from &&
            tp_directory_is_member(self, record->host)) {
            say_back(self, record, word->number);
        }
    }
}

static void came_take(
    tp_directory *self, tp_record *record, uint64_t from, const tp_directory_word *word)
{
    if (record != NULL && record->host == from && record->grant == word->number) {
        give_new_number(self, record, from, TP_WORD_BACK);
    } else if (record != NULL && record->host == from) { /* prev is that number */
        say_back(self, record, word->number);
    } else if (record == NULL || !tp_directory_is_member(self, record->host)) {
        tp_directory_tell(self, from, word->hash, TP_WORD_GONE)->number = word->number;
    }
}

static void serve(
    tp_directory *self, tp_record *record, uint64_t from, const tp_directory_word *word)
{
    switch (word->kind) {
    case TP_WORD_RELEASE:
        came_release(self, record, from, word);
        break;
    case TP_WORD_SWITCH:
        came_switch(self, record, from, word);
        break;
    default:
        came_take(self, record, from, word);
        break;
    }
}

/* Is the entry of that number known, whether it is there or not? It may be settled by itself. */
static bool is_known(tp_directory *self, const tp_record *record, uint64_t hash)
{
    tp_record any = {.hash = hash};
    return tp_views_is_settled(self, record != NULL ? record : &any);
}

/* Keeps it until the entry is settled: with some record of that hash. */
static troupe_status keep(
    tp_directory *self, tp_record *record, uint64_t from, const tp_directory_word *word)
{
    if (record == NULL) {
        record = tp_index_peek(&self->records, tp_record_key(word->hash));
    }
    if (record == NULL) { /* what no id has: only its hash is known */
        tp_directory_id id = {.hash = word->hash, .type = UINT32_MAX, .key = troupe_str("?")};
        record = tp_directory_obtain(self, &id);
    }
    tp_aside *aside = record != NULL ? tp_directory_aside(self, record) : NULL;
    tp_plea *plea = aside != NULL ? tp_pool_take(self->pool, sizeof(*plea)) : NULL;
    if (plea == NULL) {
        if (record != NULL) {
            tp_directory_tidy(self, record);
        }
        return TROUPE_NO_MEMORY;
    }
    for (tp_plea *old = aside->pleas; old != NULL; old = old->next) {
        if (old->from == from && old->number == word->number && old->kind == word->kind) {
            tp_pool_give(self->pool, plea);
            return TROUPE_OK;
        }
    }
    *plea = (tp_plea){aside->pleas, from, word->number, word->kind};
    aside->pleas = plea;
    tp_tasks_want(self, record);
    tp_directory_tidy(self, record);
    return TROUPE_OK;
}

static troupe_status ask_home(tp_directory *self, uint64_t from, const tp_directory_word *word)
{
    if (!self->member || tp_directory_home_node(self, word->hash) != self->options.self) {
        return TROUPE_OK; /* it asks the new home by itself */
    }
    tp_record *record = find_entry(self, word->hash, word->number);
    if (!is_known(self, record, word->hash)) {
        return keep(self, record, from, word);
    }
    serve(self, record, from, word);
    return TROUPE_OK;
}

void tp_words_replay(tp_directory *self, tp_record *record)
{
    tp_aside *aside = record->aside;
    if (aside == NULL || aside->pleas == NULL) {
        return;
    }
    bool is_home = self->member && tp_directory_home_node(self, record->hash) == self->options.self;
    if (is_home && !tp_views_is_settled(self, record)) {
        return;
    }
    tp_plea *plea = aside->pleas;
    aside->pleas = NULL;
    uint64_t hash = record->hash;
    record->pins++; /* it stays, whatever the answers do */
    while (plea != NULL) {
        tp_plea *next = plea->next;
        if (is_home && !tp_directory_reserve(self)) { /* no memory: the others repeat in time */
            is_home = false;
        }
        if (is_home && tp_directory_is_member(self, plea->from)) {
            tp_directory_word word = {.kind = plea->kind,
                .view = self->view->number,
                .hash = hash,
                .number = plea->number};
            serve(self, find_entry(self, hash, word.number), plea->from, &word);
        }
        tp_pool_give(self->pool, plea);
        plea = next;
    }
    record->pins--;
}

/* ---- replicas, look-ups, hints ---- */

/* Is this node among those that keep copies of what is at home at `home`? */
bool tp_words_keeps_copy(tp_directory *self, uint64_t hash, uint64_t home)
{
    const tp_ring_member *members[REPLICAS_MAX + 1];
    uint32_t count =
        tp_ring_successors(self->view->ring, hash, members, self->options.replicas + 1);
    bool keeps = false;
    for (uint32_t i = 1; i < count; i++) {
        keeps = keeps || members[i]->node == self->self;
    }
    return keeps && tp_directory_home_node(self, hash) == home;
}

/* Tells the replicas what the entry is now. A hint: without memory it is left out. */
void tp_words_copy(tp_directory *self, tp_record *record)
{
    const tp_ring_member *members[REPLICAS_MAX + 1];
    uint32_t room = self->options.replicas + 1;
    uint32_t count =
        room > 1 ? tp_ring_successors(self->view->ring, record->hash, members, room) : 0;
    for (uint32_t i = 1; i < count && self->spares > SPARES_KEPT; i++) {
        const tp_directory_member *member = &self->view->members[members[i]->node];
        tp_directory_item *item = tp_jobs_page(self, &record, 1, 0);
        if (item == NULL) {
            return;
        }
        item->host = record->host;
        item->number = record->grant;
        tp_directory_word *word = tp_directory_tell_shard(self, member->node,
            tp_directory_shard_of(record->hash, member->shards), TP_WORD_COPY, item);
        word->hash = record->hash;
        word->items = item;
        word->item_count = 1;
    }
}

static troupe_status came_copy(tp_directory *self, uint64_t from, const tp_directory_word *word)
{
    const tp_directory_item *item = word->item_count > 0 ? &word->items[0] : NULL;
    if (item == NULL || word->view != self->view->number ||
        !tp_words_keeps_copy(self, item->id.hash, from)) {
        return TROUPE_OK;
    }
    tp_record *record =
        item->host != 0 ? tp_directory_obtain(self, &item->id) : tp_directory_find(self, &item->id);
    if (record == NULL) {
        return item->host != 0 ? TROUPE_NO_MEMORY : TROUPE_OK;
    }
    if (!tp_record_has_entry(record)) { /* else it is still to be handed over: more than a copy */
        tp_directory_no_entry(self, record);
        if (item->host != 0) {
            record->host = item->host;
            record->grant = item->number;
            record->flags |= RECORD_COPY;
            self->figures.copies++;
        }
    }
    tp_directory_tidy(self, record);
    return TROUPE_OK;
}

static troupe_status came_query(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    if (word->item_count == 0) {
        return TROUPE_OK;
    }
    const tp_directory_id *id = &word->items[0].id;
    tp_directory_place place = tp_directory_look(self, id);
    tp_record *record = tp_directory_obtain(self, id);
    void *page = record != NULL ? tp_jobs_page(self, &record, 1, 0) : NULL;
    if (page == NULL) {
        if (record != NULL) {
            tp_directory_tidy(self, record);
        }
        return TROUPE_NO_MEMORY;
    }
    tp_directory_item *item = page;
    item->host = place.host;
    item->number = place.number;
    tp_directory_word *found = tp_directory_tell_shard(self, from, shard, TP_WORD_FOUND, page);
    found->hash = id->hash;
    found->number = word->number;
    found->other = place.settled && place.strong;
    found->items = item;
    found->item_count = 1;
    tp_directory_tidy(self, record);
    return TROUPE_OK;
}

static void came_found(tp_directory *self, const tp_directory_word *word)
{
    const tp_directory_item *item = word->item_count > 0 ? &word->items[0] : NULL;
    tp_directory_effect *found = tp_directory_say(self, TP_DIRECTORY_FOUND, NULL);
    found->token = word->number;
    found->node = item != NULL ? item->host : 0;
    found->number = item != NULL ? item->number : 0;
    found->status = word->other != 0 ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

static void came_at(tp_directory *self, const tp_directory_word *word)
{
    tp_record *record = tp_index_peek(&self->records, tp_record_key(word->hash));
    if (record != NULL && tp_directory_is_member(self, word->other)) {
        tp_directory_say(self, TP_DIRECTORY_LEARNED, record)->node = word->other;
    }
}

/* ---- all words ---- */

bool tp_words_new_enough(tp_directory *self, uint64_t hash, tp_grant grant)
{
    if (self->view != NULL && grant.number >> TP_DIRECTORY_VIEW_SHIFT >= self->view->number) {
        return true;
    }
    TP_LIST_EACH(&self->floors, link)
    {
        const tp_floor *floor = TP_CONTAINER(link, tp_floor, link);
        if (grant.number >> TP_DIRECTORY_VIEW_SHIFT < floor->view && grant.home != floor->home &&
            tp_spans_has(&floor->spans, hash) && HOLDS(self, FLOOR)) {
            return false;
        }
    }
    return true;
}

troupe_status tp_words_handle(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    switch (word->kind) {
    case TP_WORD_RELEASE:
    case TP_WORD_SWITCH:
    case TP_WORD_TAKE:
        return ask_home(self, from, word);
    case TP_WORD_RELEASED:
        released(self, word);
        return TROUPE_OK;
    case TP_WORD_GO:
    case TP_WORD_VOIDED:
    case TP_WORD_BACK:
    case TP_WORD_GONE:
    case TP_WORD_RUNNING:
    case TP_WORD_RAN:
        tp_moves_handle(self, from, word);
        return TROUPE_OK;
    case TP_WORD_SLICE:
    case TP_WORD_ONE:
    case TP_WORD_ANSWER:
        return tp_tasks_handle(self, from, shard, word);
    case TP_WORD_SYNC:
    case TP_WORD_SYNCED:
    case TP_WORD_CLAIM:
    case TP_WORD_WANT:
    case TP_WORD_SURVEY:
    case TP_WORD_MORE:
        return tp_jobs_handle(self, from, shard, word);
    case TP_WORD_COPY:
        return came_copy(self, from, word);
    case TP_WORD_QUERY:
        return came_query(self, from, shard, word);
    case TP_WORD_FOUND:
        came_found(self, word);
        return TROUPE_OK;
    case TP_WORD_AT:
        came_at(self, word);
        return TROUPE_OK;
    default:
        return TROUPE_OK;
    }
}

troupe_status tp_directory_word_came(
    tp_directory *self, uint64_t from, uint32_t shard, const tp_directory_word *word)
{
    if (self->view == NULL || !self->member ||
        (HOLDS(self, VIEW_CHECK) && !tp_directory_is_member(self, from))) {
        return TROUPE_OK;
    }
    if (!tp_flow_feed(self) || !tp_directory_reserve(self)) {
        return TROUPE_NO_MEMORY; /* what came before it comes first */
    }
    troupe_status status = tp_words_handle(self, from, shard, word);
    tp_directory_finish(self);
    return status;
}
