/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one may ask the directory machine: where an id is, which ids are active, and figures.
 * Nothing here changes what calls do.
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

#include <string.h>

tp_directory_place tp_directory_look(tp_directory *self, const tp_directory_id *id)
{
    tp_directory_place place;
    memset(&place, 0, sizeof(place));
    if (self->view == NULL) {
        return place;
    }
    const tp_record *record = tp_directory_find(self, id);
    tp_record any = {.hash = id->hash};
    place.strong = self->member && tp_directory_home_node(self, id->hash) == self->options.self;
    place.settled = tp_views_is_settled(self, record != NULL ? record : &any);
    if (record == NULL) {
        return place;
    }
    bool is_known = !place.strong || (place.settled && tp_record_has_entry(record));
    if (record->state == TP_DIRECTORY_ACTIVE || record->state == TP_DIRECTORY_CAPTURING) {
        place.host = self->options.self;
        place.number = record->number;
    } else if (is_known && record->host != 0 && tp_directory_is_member(self, record->host)) {
        place.host = record->host;
        place.number = record->grant;
    }
    place.activations = record->activations;
    return place;
}

uint64_t tp_directory_seek(const tp_directory *self, uint64_t hash)
{
    if (self->view == NULL || !self->member) {
        return 0;
    }
    uint64_t home = tp_directory_home_node(self, hash);
    if (home != self->options.self) {
        return home;
    }
    const tp_record *record = tp_index_peek(&self->records, tp_record_key(hash));
    return record != NULL && tp_directory_is_member(self, record->host) ? record->host : 0;
}

static troupe_status ask_the_home(
    tp_directory *self, const tp_directory_id *id, uint64_t home, uint64_t token)
{
    tp_record *record = tp_directory_obtain(self, id);
    tp_directory_item *item = record != NULL ? tp_jobs_page(self, &record, 1, 0) : NULL;
    if (record != NULL) {
        tp_directory_tidy(self, record);
    }
    if (item == NULL) {
        return TROUPE_NO_MEMORY;
    }
    const tp_peer *peer = tp_directory_peer(self, home);
    tp_directory_word *word = tp_directory_tell_shard(
        self, home, tp_directory_shard_of(id->hash, peer->shards), TP_WORD_QUERY, item);
    word->hash = id->hash;
    word->number = token;
    word->items = item;
    word->item_count = 1;
    return TROUPE_OK;
}

troupe_status tp_directory_lookup(tp_directory *self, const tp_directory_id *id, uint64_t token)
{
    if (self->view == NULL || !self->member) {
        return TROUPE_UNAVAILABLE;
    }
    if (!tp_directory_reserve(self)) {
        return TROUPE_NO_MEMORY;
    }
    uint64_t home = tp_directory_home_node(self, id->hash);
    if (home != self->options.self) {
        return ask_the_home(self, id, home, token);
    }
    tp_directory_place place = tp_directory_look(self, id);
    tp_directory_effect *found = tp_directory_say(self, TP_DIRECTORY_FOUND, NULL);
    found->token = token;
    found->node = place.host;
    found->number = place.number;
    found->status = place.settled ? TROUPE_OK : TROUPE_UNAVAILABLE;
    return TROUPE_OK;
}

bool tp_directory_page(tp_directory *self, uint32_t type, uint64_t *cursor, uint32_t limit,
    bool (*matches)(void *user, const tp_directory_id *id),
    void (*see)(void *user, const tp_directory_item *item), void *user)
{
    for (uint32_t seen = 0, i = 0; seen < limit && i < TP_DIRECTORY_SLICE_MAX * 4; i++) {
        void *found;
        if (!tp_index_each(&self->records, cursor, &found)) {
            break;
        }
        const tp_record *record = found;
        tp_directory_item item = {.id = tp_record_id(record),
            .host = record->host,
            .number = record->grant,
            .state = TP_DIRECTORY_ACTIVE,
            .activations = record->activations};
        if (tp_record_has_entry(record) && (type == UINT32_MAX || record->type == type) &&
            self->member && tp_directory_is_member(self, record->host) &&
            tp_directory_home_node(self, record->hash) == self->options.self &&
            tp_views_is_settled(self, record) && (matches == NULL || matches(user, &item.id))) {
            see(user, &item);
            seen++;
        }
    }
    return tp_list_is_empty(&self->tasks);
}

tp_directory_state tp_directory_state_of(tp_directory *self, const tp_directory_id *id)
{
    const tp_record *record = tp_directory_find(self, id);
    return record != NULL ? (tp_directory_state)record->state : TP_DIRECTORY_ABSENT;
}

uint64_t tp_directory_held(const tp_directory *self)
{
    return self->figures.held;
}

bool tp_directory_is_filling(const tp_directory *self)
{
    return self->figures.held >= self->options.held_max / 4 ||
           self->figures.held_bytes >= self->options.held_bytes_max / 4;
}

uint32_t tp_directory_held_of(tp_directory *self, const tp_directory_id *id)
{
    const tp_record *record = self->figures.held != 0 ? tp_directory_find(self, id) : NULL;
    return record != NULL && record->aside != NULL ? record->aside->held : 0;
}

bool tp_directory_has_effects(const tp_directory *self)
{
    return !tp_fifo_is_empty(&self->out) || self->current_note != NULL ||
           self->current_way != NULL;
}

void tp_directory_figures_get(const tp_directory *self, tp_directory_figures *ret_figures)
{
    *ret_figures = self->figures;
    ret_figures->records = tp_index_count(&self->records);
    for (const tp_link *link = self->tasks.head.next; link != &self->tasks.head;
         link = link->next) {
        ret_figures->tasks++;
    }
    for (const tp_link *link = self->starved.head.next; link != &self->starved.head;
         link = link->next) {
        ret_figures->starved++;
    }
}

static size_t bytes_of(const tp_index *index)
{
    return (index->newest.limit * (index->newest.entries != NULL) +
               index->old.limit * (index->old.entries != NULL)) *
           sizeof(tp_index_entry);
}

size_t tp_directory_index_bytes(const tp_directory *self)
{
    return bytes_of(&self->records) + tp_tickets_bytes(&self->tickets);
}
