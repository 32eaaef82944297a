/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migration as its two hosts see it; what the home does with switch and take-back is in words.c.
 *
 *   ACTIVE     move: CAPTURING, effect CAPTURE
 *   CAPTURING  captured: SOURCE, effect INSTALL; not done: ACTIVE
 *   SOURCE     patience ends, or a view: TAKE to the home.
 *              BACK: ACTIVE. GONE, RUNNING of the target: ABSENT, effect DROP
 *   ABSENT     installed: TARGET, SWITCH to the home
 *   TARGET     GO: ACTIVE, RUNNING to the source until it says RAN. VOIDED: ABSENT, effect DROP
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

static void drop(tp_directory *self, tp_record *record)
{
    tp_directory_say(self, TP_DIRECTORY_DROP, record);
    record->state = TP_DIRECTORY_ABSENT;
    record->number = 0;
    if (record->aside != NULL) {
        record->aside->asked = false;
        record->aside->peer = 0;
        record->aside->ran = 0;
        tp_words_open(self, record->aside, 0);
    }
}

static void run(tp_directory *self, tp_record *record, uint64_t number)
{
    record->state = TP_DIRECTORY_ACTIVE;
    record->number = number;
    self->figures.activations++;
    record->aside->asked = false;
    record->aside->guarded = true;
    tp_words_open(self, record->aside, 0);
    tp_directory_effect *effect = tp_directory_say(self, TP_DIRECTORY_RESUME, record);
    effect->guarded = true;
}

/* ---- the source ---- */

troupe_status tp_directory_move(tp_directory *self, const tp_directory_id *id, uint64_t to)
{
    tp_record *record = tp_directory_find(self, id);
    if (record == NULL || record->state == TP_DIRECTORY_ABSENT) {
        return TROUPE_NOT_FOUND;
    }
    if (to == self->options.self || !tp_directory_is_member(self, to)) {
        return TROUPE_UNAVAILABLE;
    }
    if (record->state != TP_DIRECTORY_ACTIVE || record->flags & RECORD_CREATE) {
        return TROUPE_BUSY;
    }
    if (record->aside != NULL && record->aside->ran != 0 && HOLDS(self, RUNNING_ACK)) {
        return TROUPE_BUSY;
    }
    if (!tp_directory_reserve(self) || tp_directory_aside(self, record) == NULL) {
        return TROUPE_NO_MEMORY;
    }
    record->state = TP_DIRECTORY_CAPTURING;
    record->aside->peer = to;
    record->aside->guarded = true;
    tp_directory_say(self, TP_DIRECTORY_CAPTURE, record);
    return TROUPE_OK;
}

troupe_status tp_directory_captured(tp_directory *self, const tp_directory_id *id, bool done)
{
    tp_record *record = tp_directory_find(self, id);
    if (record == NULL || record->state != TP_DIRECTORY_CAPTURING) {
        return TROUPE_OK;
    }
    if (!tp_directory_reserve(self)) {
        return TROUPE_NO_MEMORY;
    }
    tp_aside *aside = record->aside;
    tp_peer *peer = tp_directory_peer(self, aside->peer);
    if (done && peer != NULL) {
        record->state = TP_DIRECTORY_SOURCE;
        self->figures.activations--;
        aside->asked = false;
        tp_words_open(self, aside, self->options.move_patience);
        tp_directory_effect *effect = tp_directory_say(self, TP_DIRECTORY_INSTALL, record);
        effect->node = aside->peer;
        effect->shard = tp_directory_shard_of(record->hash, peer->shards);
    } else if (done) {
        self->figures.activations--;
        run(self, record, record->number);
    } else {
        record->state = TP_DIRECTORY_ACTIVE;
    }
    tp_flow(self, record);
    tp_directory_finish(self);
    return TROUPE_OK;
}

void tp_moves_tick(tp_directory *self, tp_record *record)
{
    if (record->state == TP_DIRECTORY_SOURCE && !record->aside->asked && !HOLDS(self, HOMES_WORD)) {
        run(self, record, record->number);
        return;
    }
    tp_words_request(self, record);
}

/* ---- the target ---- */

troupe_status tp_directory_installed(
    tp_directory *self, const tp_directory_id *id, uint64_t from, uint64_t number)
{
    if (!tp_flow_feed(self) || !tp_directory_reserve(self)) {
        return TROUPE_NO_MEMORY;
    }
    tp_record *record = tp_directory_obtain(self, id);
    if (record == NULL || tp_directory_aside(self, record) == NULL) {
        if (record != NULL) {
            tp_directory_tidy(self, record);
        }
        return TROUPE_NO_MEMORY;
    }
    bool fits = record->state == TP_DIRECTORY_ABSENT ||
                (record->state == TP_DIRECTORY_TARGET && number > record->number);
    if (!fits || !self->member ||
        (HOLDS(self, VIEW_CHECK) && !tp_directory_is_member(self, from))) {
        tp_directory_say(self, TP_DIRECTORY_DROP, record)->number = number;
        tp_directory_tidy(self, record);
        return TROUPE_OK;
    }
    if (record->state == TP_DIRECTORY_TARGET) {
        tp_directory_say(self, TP_DIRECTORY_DROP, record);
    }
    record->state = TP_DIRECTORY_TARGET;
    record->number = number;
    record->aside->peer = from;
    record->aside->ran = 0;
    tp_words_open(self, record->aside, self->options.repeat);
    if (HOLDS(self, SWITCH_FIRST)) {
        tp_words_request(self, record);
    } else {
        run(self, record, number);
        tp_flow(self, record);
    }
    tp_directory_finish(self);
    return TROUPE_OK;
}

/* ---- words ---- */

typedef struct copy {
    uint64_t number;
    uint32_t state;
    bool ran;
} copy;

static bool is_copy(const void *item, const void *key)
{
    const tp_record *record = item;
    const copy *want = key;
    if (want->ran) {
        return record->aside != NULL && record->aside->ran == want->number;
    }
    return record->state == want->state && record->number == want->number;
}

static tp_record *find_copy(
    tp_directory *self, const tp_directory_word *word, uint32_t state, bool ran)
{
    copy want = {word->number, state, ran};
    return tp_index_find(&self->records, tp_record_key(word->hash), is_copy, &want);
}

static void came_go(tp_directory *self, tp_record *record, const tp_directory_word *word)
{
    tp_aside *aside = record->aside;
    run(self, record, word->other);
    if (tp_directory_is_member(self, aside->peer)) {
        aside->ran = word->number;
        tp_words_open(self, aside, self->options.repeat);
        tp_words_request(self, record);
    }
}

void tp_moves_handle(tp_directory *self, uint64_t from, const tp_directory_word *word)
{
    tp_record *record = NULL;
    bool is_new = tp_words_new_enough(self, word->hash, (tp_grant){word->other, from});
    switch (word->kind) {
    case TP_WORD_GO:
        record = find_copy(self, word, TP_DIRECTORY_TARGET, false);
        if (record != NULL && is_new) {
            came_go(self, record, word);
        }
        break;
    case TP_WORD_BACK:
        record = find_copy(self, word, TP_DIRECTORY_SOURCE, false);
        if (record != NULL && is_new) {
            run(self, record, word->other);
        }
        break;
    case TP_WORD_VOIDED:
        record = find_copy(self, word, TP_DIRECTORY_TARGET, false);
        break;
    case TP_WORD_RUNNING:
        tp_directory_tell(self, from, word->hash, TP_WORD_RAN)->number = word->number;
        record = find_copy(self, word, TP_DIRECTORY_SOURCE, false);
        break;
    case TP_WORD_GONE:
        record = find_copy(self, word, TP_DIRECTORY_SOURCE, false);
        break;
    default: /* RAN */
        record = find_copy(self, word, 0, true);
        if (record != NULL) {
            record->aside->ran = 0;
            tp_words_request(self, record); /* a release may have waited for it */
        }
        break;
    }
    if (record == NULL) {
        return;
    }
    if (word->kind == TP_WORD_VOIDED || word->kind == TP_WORD_RUNNING ||
        word->kind == TP_WORD_GONE) {
        drop(self, record);
    }
    tp_flow(self, record);
}
