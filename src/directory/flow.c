/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Letters: held in lanes (one per id and origin, by the origin's order), passed on along ways, and
 * settled. flow() is the heart: the head of each lane goes on as far as the rules let it.
 *
 * Why lanes per origin: if a node held back a letter of one origin for the sake of another's, two
 * nodes that pass letters to each other could wait for each other. Within one origin the order is
 * the same everywhere, so whoever waits waits for an older letter, and the oldest never waits.
 *
 * Invariants and threads: see directory.h.
 */
#include "directory/inside.h"

#include <string.h>

#define PAUSE     UINT64_C(20000000) /* ns before each try of a letter past the hop bound */
#define FOLLOWERS 64 /* requests that go the way of one before, until it is chosen anew */

typedef struct step {
    uint64_t node; /* own: into the mailbox */
    bool refuse, grant;
    troupe_status status;
} step;

/* ---- lanes ---- */

bool tp_aside_is_open(const tp_aside *aside)
{
    for (const tp_lane *lane = aside->lanes; lane != NULL; lane = lane->next) {
        if (!tp_list_is_empty(&lane->held) || !tp_list_is_empty(&lane->passed)) {
            return true;
        }
    }
    return false;
}

static tp_lane *obtain_lane(tp_directory *self, tp_aside *aside, uint64_t origin)
{
    for (tp_lane *lane = aside->lanes; lane != NULL; lane = lane->next) {
        if (lane->origin == origin) {
            return lane;
        }
    }
    tp_lane *first = &aside->first;
    if (tp_list_is_empty(&first->held) && tp_list_is_empty(&first->passed)) {
        first->origin = origin;
        return first;
    }
    tp_lane *lane = tp_pool_take(self->pool, sizeof(*lane));
    if (lane != NULL) {
        memset(lane, 0, sizeof(*lane));
        lane->origin = origin;
        tp_list_init(&lane->held);
        tp_list_init(&lane->passed);
        lane->next = aside->lanes;
        aside->lanes = lane;
    }
    return lane;
}

static tp_way *way_of(tp_link *link)
{
    return link != NULL ? TP_CONTAINER(link, tp_way, link) : NULL;
}

/* Must a letter of that order wait before it goes that way? */
static bool must_wait(const tp_directory *self, tp_lane *lane, uint64_t order, uint64_t node)
{
    bool is_own = lane->origin == self->options.self;
    if (is_own ? !HOLDS(self, SENDER_PATH) : !HOLDS(self, FORWARD_PATH)) {
        return false;
    }
    tp_way *oldest = way_of(tp_list_front(&lane->passed));
    if (oldest == NULL || oldest->order > order || (!lane->mixed && lane->uniform == node)) {
        return false;
    }
    if (!lane->mixed) {
        return true;
    }
    TP_LIST_EACH(&lane->passed, link)
    {
        const tp_way *way = way_of(link);
        if (way->order < order && way->node != node) {
            return true;
        }
    }
    return false;
}

static void insert_held(tp_lane *lane, tp_letter *letter)
{
    tp_link *back = tp_list_back(&lane->held);
    if (back == NULL || TP_CONTAINER(back, tp_letter, link)->order < letter->order) {
        tp_list_push_back(&lane->held, &letter->link);
        return;
    }
    tp_link *at = tp_list_front(&lane->held);
    while (TP_CONTAINER(at, tp_letter, link)->order < letter->order) {
        at = at->next;
    }
    tp_list_insert_between(&letter->link, at->previous, at);
}

static void insert_way(tp_lane *lane, tp_way *way)
{
    if (tp_list_is_empty(&lane->passed)) {
        lane->uniform = way->node;
        lane->mixed = false;
    } else if (lane->uniform != way->node) {
        lane->mixed = true;
    }
    tp_link *back = tp_list_back(&lane->passed);
    if (back == NULL || way_of(back)->order < way->order) {
        tp_list_push_back(&lane->passed, &way->link);
        return;
    }
    tp_link *at = tp_list_front(&lane->passed);
    while (way_of(at)->order < way->order) {
        at = at->next;
    }
    tp_list_insert_between(&way->link, at->previous, at);
}

/* ---- settling ---- */

/* The way leads nowhere any more. Its memory stays. */
static void unlink_way(tp_directory *self, tp_way *way)
{
    tp_ticket_give(&self->tickets, way->ticket);
    tp_list_remove(&way->link);
    tp_list_remove(&way->peer);
    self->figures.ways--;
}

/* Tells those along former ways. Takes. */
static void settle_chain(tp_directory *self, tp_way *way, bool lost)
{
    while (way != NULL) {
        tp_way *upstream = way->upstream;
        if (way->from == 0) {
            tp_pool_give(self->pool, way);
        } else {
            way->lost = lost;
            tp_directory_hand_way(self, way, TP_DIRECTORY_SETTLE);
        }
        way = upstream;
    }
}

void tp_flow_way_ends(tp_directory *self, tp_way *way, bool lost)
{
    tp_record *record = way->record;
    bool is_own = way->lane->origin == self->options.self;
    unlink_way(self, way);
    if (tp_link_is_linked(&way->open.link)) {
        tp_list_remove(&way->open.link);
    }
    if (way->granted != 0 && !lost && record->grant == way->granted) {
        record->flags &= (uint8_t)~RECORD_WORD;
    }
    self->figures.lost += lost;
    settle_chain(self, way->upstream, lost);
    way->upstream = NULL;
    if (way->from != 0) {
        settle_chain(self, way, lost);
    } else if (lost && is_own) {
        tp_directory_hand_way(self, way, TP_DIRECTORY_LOST);
    } else {
        tp_pool_give(self->pool, way);
    }
    tp_flow(self, record);
}

/* Nobody waits for its end: not who sent the letter here, nor a letter behind it. */
static bool ends_alone(const tp_way *way)
{
    return way->from == 0 && way->upstream == NULL && way->granted == 0 &&
           way->record->aside->held == 0 && way->record->aside->pleas == NULL &&
           way->lane->passed.head.next != way->lane->passed.head.previous &&
           tp_link_is_linked(&way->open.link);
}

void tp_directory_settled(tp_directory *self, uint64_t ticket, bool lost)
{
    tp_way *way = tp_ticket_find(&self->tickets, ticket);
    if (TP_LIKELY(way != NULL && !lost && ends_alone(way))) {
        unlink_way(self, way);
        tp_list_remove(&way->open.link);
        tp_pool_give(self->pool, way);
    } else if (way != NULL && tp_directory_reserve(self)) {
        tp_flow_way_ends(self, way, lost);
        tp_directory_finish(self);
    } else if (way != NULL) { /* no memory: work does it */
        way->lost = lost;
        tp_list_remove(&way->peer);
        tp_list_push_back(&self->doomed, &way->peer);
    }
}

/* ---- steps ---- */

static void leave_lane(tp_directory *self, tp_record *record, tp_letter *letter)
{
    tp_list_remove(&letter->link);
    record->aside->held--;
    self->figures.held--;
    self->figures.held_bytes -= letter->bytes;
}

/* It ends here: in the mailbox, or refused. */
static void hand_over(tp_directory *self, tp_letter *letter, uint32_t kind)
{
    tp_way *upstream = letter->upstream;
    letter->upstream = NULL;
    if (tp_link_is_linked(&letter->open.link)) {
        tp_list_remove(&letter->open.link);
    }
    letter->grant = (tp_grant){0, 0};
    tp_directory_hand_letter(self, letter, kind);
    settle_chain(self, upstream, false);
}

static void refuse(tp_directory *self, tp_letter *letter, troupe_status status)
{
    letter->status = status;
    self->figures.refusals++;
    self->figures.busy += status == TROUPE_BUSY;
    hand_over(self, letter, TP_DIRECTORY_REFUSE);
}

/* The sender could have known: its cache shall. */
static void teach(tp_directory *self, uint64_t hash, uint64_t origin, uint64_t host)
{
    if (origin != self->options.self && origin != host && self->spares > 8 &&
        tp_directory_is_member(self, origin)) {
        tp_directory_tell(self, origin, hash, TP_WORD_AT)->other = host;
    }
}

/* The host is the home, and the letter came here by another way: its sender's hint was wrong. */
static void mend_hint(tp_directory *self, uint64_t hash, uint64_t origin, uint32_t hops)
{
    if (hops > 1 && self->member && tp_directory_home_node(self, hash) == self->options.self) {
        teach(self, hash, origin, self->options.self);
    }
}

void tp_directory_detoured(tp_directory *self, uint64_t hash, uint64_t origin, uint32_t hops)
{
    if (tp_directory_reserve(self)) {
        mend_hint(self, hash, origin, hops);
    }
}

static void deliver(tp_directory *self, tp_record *record, tp_letter *letter)
{
    tp_aside *aside = record->aside;
    leave_lane(self, record, letter);
    letter->create = record->flags & RECORD_CREATE;
    record->flags &= (uint8_t)~RECORD_CREATE;
    aside->guarded = aside->guarded || tp_aside_is_open(aside);
    letter->guarded = aside->guarded;
    letter->ticket = record->number;
    mend_hint(self, record->hash, letter->origin, letter->hops);
    hand_over(self, letter, TP_DIRECTORY_DELIVER);
}

uint64_t tp_flow_next_number(tp_directory *self)
{
    self->count++;
    TP_ASSERT(self->count >> TP_DIRECTORY_VIEW_SHIFT == 0);
    return self->view->number << TP_DIRECTORY_VIEW_SHIFT | self->count;
}

static void replace_open(tp_directory_open *by, tp_directory_open *open)
{
    if (tp_link_is_linked(&open->link)) {
        by->order = open->order;
        tp_list_insert_between(&by->link, open->link.previous, &open->link);
        tp_list_remove(&open->link);
    }
}

/* NULL: no memory. */
static tp_way *make_way(
    tp_directory *self, tp_record *record, tp_lane *lane, uint64_t order, uint64_t node)
{
    tp_way *way = tp_pool_take(self->pool, sizeof(*way));
    if (way == NULL) {
        return NULL;
    }
    memset(way, 0, sizeof(*way));
    way->ticket = tp_ticket_take(&self->tickets, way);
    if (way->ticket == 0) {
        tp_pool_give(self->pool, way);
        return NULL;
    }
    way->record = record;
    way->lane = lane;
    way->order = order;
    way->node = node;
    way->hash = record->hash;
    insert_way(lane, way);
    self->figures.ways++;
    self->figures.forwards++;
    return way;
}

/* May those that come after that request go the same way unseen? */
static void note_course(
    const tp_directory *self, tp_record *record, const tp_lane *lane, const tp_letter *letter,
    const step *next, tp_peer *peer)
{
    tp_aside *aside = record->aside;
    bool is_fresh = letter->from == 0 && letter->hops == 0 && letter->upstream == NULL;
    aside->follow = is_fresh && !next->grant && lane == &aside->first ? FOLLOWERS : 0;
    aside->follow_view = self->view->number;
    aside->follow_host = record->host;
    aside->follow_peer = peer;
}

/* False: no memory; the letter stays. */
static bool pass_on(
    tp_directory *self, tp_record *record, tp_lane *lane, tp_letter *letter, const step *next)
{
    tp_peer *peer = tp_directory_peer(self, next->node);
    tp_way *way = make_way(self, record, lane, letter->order, next->node);
    if (way == NULL) {
        return false;
    }
    note_course(self, record, lane, letter, next, peer);
    way->from = letter->from;
    way->number = letter->number;
    way->token = letter->token;
    way->upstream = letter->upstream;
    letter->upstream = NULL;
    leave_lane(self, record, letter);
    replace_open(&way->open, &letter->open);
    tp_list_push_back(&peer->ways, &way->peer);
    letter->hops++;
    tp_trail_go_on(letter);
    letter->node = next->node;
    letter->shard = tp_directory_shard_of(record->hash, peer->shards);
    letter->ticket = way->ticket;
    letter->grant = next->grant ? (tp_grant){record->grant, self->options.self} : (tp_grant){0, 0};
    way->granted = letter->grant.number;
    tp_directory_hand_letter(self, letter, TP_DIRECTORY_FORWARD);
    return true;
}

/* ---- where to ---- */

static bool pauses(tp_directory *self, tp_letter *letter)
{
    if (letter->hops < TP_DIRECTORY_HOPS || letter->pause == UINT64_MAX) {
        return false;
    }
    if (letter->pause == 0) {
        letter->pause = self->now + PAUSE;
    }
    if (letter->pause > self->now) {
        return true;
    }
    letter->pause = UINT64_MAX;
    return false;
}

/* At the home, with an entry that may be relied upon. False: it waits. */
static bool step_at_home(tp_directory *self, tp_record *record, tp_letter *letter, step *ret)
{
    tp_aside *aside = record->aside;
    if (record->host != 0 && (record->flags & RECORD_COPY || record->host == self->options.self ||
                                 !tp_directory_is_member(self, record->host))) {
        tp_directory_no_entry(self, record); /* a hint, ended here, or evicted */
    }
    if (record->host != 0) {
        ret->node = record->host;
        return !pauses(self, letter);
    }
    if (letter->flags & TP_LETTER_ACTIVE) {
        ret->refuse = true;
        ret->status = TROUPE_NOT_FOUND;
        return true;
    }
    if (self->figures.entries >= self->options.entries_max) {
        ret->refuse = true;
        ret->status = TROUPE_BUSY;
        return true;
    }
    if (aside->place == 0 || !tp_directory_is_member(self, aside->place)) {
        aside->place = 0;
        if (!aside->placing) {
            aside->placing = true;
            tp_directory_say(self, TP_DIRECTORY_PLACE, record)->node = letter->origin;
        }
        return false;
    }
    ret->node = aside->place;
    ret->grant = true;
    return true;
}

static bool may_follow_copy(
    const tp_directory *self, const tp_record *record, const tp_letter *letter)
{
    return record->flags & RECORD_COPY && letter->upstream == NULL && letter->hops < 2 &&
           record->host != self->options.self && tp_directory_is_member(self, record->host);
}

/* Where the head of a lane goes next. False: it waits. */
static bool choose_step(tp_directory *self, tp_record *record, tp_letter *letter, step *ret)
{
    const uint64_t own = self->options.self;
    *ret = (step){.node = own};
    if (record->state != TP_DIRECTORY_ABSENT) {
        return record->state == TP_DIRECTORY_ACTIVE;
    }
    if (!self->member || letter->hops >= TP_DIRECTORY_HOPS_MAX || tp_trail_is_full(letter)) {
        ret->refuse = true;
        ret->status = TROUPE_UNAVAILABLE;
        return true;
    }
    uint64_t home = tp_directory_home_node(self, record->hash);
    bool is_settled = home == own && tp_views_is_settled(self, record);
    if (is_settled) {
        return step_at_home(self, record, letter, ret);
    }
    if (may_follow_copy(self, record, letter)) {
        ret->node = record->host;
        return true;
    }
    if (home == own) {
        tp_tasks_want(self, record);
        return false;
    }
    ret->node = home;
    if (letter->from == 0 && letter->hops == 0 && letter->hint != 0 && letter->hint != own &&
        tp_directory_is_member(self, letter->hint)) {
        ret->node = letter->hint;
    }
    return true;
}

static void grant(tp_directory *self, tp_record *record, uint64_t node)
{
    tp_directory_set_entry(self, record, node, tp_flow_next_number(self), 0);
    record->activations++;
    record->aside->place = 0;
    self->figures.grants++;
    if (node == self->options.self) {
        record->state = TP_DIRECTORY_ACTIVE;
        record->number = record->grant;
        record->flags |= RECORD_CREATE;
        self->figures.activations++;
    } else {
        record->flags |= RECORD_WORD;
    }
    tp_words_copy(self, record);
}

/* Who first sent it here is gone, or a node that it went through before, and its origin was told
 * that it is lost: what that sent since may have come by another way, and be done already. */
static bool is_orphan(const tp_directory *self, const tp_letter *letter)
{
    uint64_t from = letter->from;
    for (const tp_way *way = letter->upstream; way != NULL; way = way->upstream) {
        from = way->from;
    }
    return HOLDS(self, VIEW_CHECK) &&
           ((from != 0 && !tp_directory_is_member(self, from)) || tp_trail_is_cut(self, letter));
}

/* Takes the head of a lane one step on. False: it waits. */
static bool take_step(tp_directory *self, tp_record *record, tp_lane *lane, tp_letter *letter)
{
    step next;
    if (is_orphan(self, letter)) {
        leave_lane(self, record, letter);
        refuse(self, letter, TROUPE_UNAVAILABLE);
        return true;
    }
    if (!choose_step(self, record, letter, &next)) {
        return false;
    }
    if (next.refuse) {
        leave_lane(self, record, letter);
        refuse(self, letter, next.status);
        return true;
    }
    if (must_wait(self, lane, letter->order, next.node)) {
        return false;
    }
    if (next.node == self->options.self) {
        if (next.grant) {
            grant(self, record, next.node);
        }
        deliver(self, record, letter);
        return true;
    }
    uint64_t chosen = record->aside->place;
    tp_record before = *record;
    if (next.grant) {
        grant(self, record, next.node);
    }
    if (!pass_on(self, record, lane, letter, &next)) {
        if (next.grant) { /* the number is lost, nothing else */
            tp_directory_no_entry(self, record);
            record->activations = before.activations;
            record->aside->place = chosen;
            self->figures.grants--;
        }
        return false;
    }
    if (!next.grant && record->host == next.node && tp_record_has_entry(record)) {
        teach(self, record->hash, letter->origin, next.node);
    }
    return true;
}

void tp_flow(tp_directory *self, tp_record *record)
{
    tp_aside *aside = record->aside;
    for (tp_lane *lane = aside != NULL ? aside->lanes : NULL; lane != NULL; lane = lane->next) {
        tp_link *link;
        while ((link = tp_list_front(&lane->held)) != NULL &&
               take_step(self, record, lane, TP_CONTAINER(link, tp_letter, link))) {
        }
    }
    tp_directory_tidy(self, record);
}

/* ---- events ---- */

/* Ids whose letters go no further fill half of the room: the other half is for those whose letters
 * only pass through. */
static bool is_full(const tp_directory *self, const tp_aside *aside, const tp_letter *letter)
{
    uint32_t halves = aside->held != 0 ? 1 : 2;
    uint64_t bytes = self->figures.held_bytes + letter->bytes;
    return !(letter->flags & TP_LETTER_WAITS) &&
           (aside->held >= self->options.held_id_max ||
               self->figures.held >= self->options.held_max / 2 * halves ||
               bytes > self->options.held_bytes_max / 2 * halves);
}

static void hold(tp_directory *self, tp_aside *aside, tp_lane *lane, tp_letter *letter)
{
    insert_held(lane, letter);
    aside->held++;
    self->figures.held++;
    self->figures.held_bytes += letter->bytes;
}

/* The lane for a letter that begins its stay here, and its record. NULL: no memory. */
static tp_lane *receive(tp_directory *self, tp_letter *letter, tp_record **ret_record)
{
    letter->upstream = NULL;
    letter->pause = 0;
    letter->create = letter->guarded = false;
    letter->link = letter->open.link = (tp_link){NULL, NULL};
    tp_record *record = tp_directory_reserve(self) ? tp_directory_obtain(self, &letter->id) : NULL;
    if (record == NULL) {
        return NULL;
    }
    tp_aside *aside = tp_directory_aside(self, record);
    tp_lane *lane = aside != NULL ? obtain_lane(self, aside, letter->origin) : NULL;
    if (lane == NULL) {
        tp_directory_tidy(self, record);
    }
    *ret_record = record;
    return lane;
}

void tp_directory_request(tp_directory *self, tp_letter *letter)
{
    letter->origin = self->options.self;
    letter->from = 0;
    letter->hops = 0;
    tp_record *record;
    tp_lane *lane = receive(self, letter, &record);
    if (lane == NULL) {
        refuse(self, letter, TROUPE_NO_MEMORY);
        return;
    }
    if (is_full(self, record->aside, letter) || !self->member) {
        refuse(self, letter, self->member ? TROUPE_BUSY : TROUPE_UNAVAILABLE);
        tp_directory_tidy(self, record);
        return;
    }
    letter->order = ++self->order;
    letter->open.order = letter->order;
    tp_list_push_back(&self->own, &letter->open.link);
    hold(self, record->aside, lane, letter);
    tp_flow(self, record);
    tp_directory_finish(self);
}

/* The aside of an id whose requests go on as the last one did. NULL: they are to be looked at. */
static tp_aside *find_course(tp_directory *self, const tp_directory_id *id)
{
    tp_record *record = tp_directory_find(self, id);
    tp_aside *aside = record != NULL ? record->aside : NULL;
    if (aside == NULL || aside->follow == 0 || aside->held != 0) {
        return NULL;
    }
    const tp_lane *lane = &aside->first;
    bool is_same = self->member && aside->follow_view == self->view->number &&
                   aside->follow_host == record->host && record->state == TP_DIRECTORY_ABSENT &&
                   lane->origin == self->options.self && !lane->mixed &&
                   lane->uniform == aside->follow_peer->node && !tp_list_is_empty(&lane->passed);
    bool is_clear = tp_list_is_empty(&self->starved) && tp_fifo_is_empty(&self->out) &&
                    tp_fifo_is_empty(&self->loop);
    return is_same && is_clear ? aside : NULL;
}

bool tp_directory_follow(tp_directory *self, const tp_directory_id *id, uint64_t token,
    tp_directory_course *ret_course)
{
    tp_aside *aside = find_course(self, id);
    if (aside == NULL) {
        return false;
    }
    tp_peer *peer = aside->follow_peer;
    tp_way *way = make_way(self, aside->record, &aside->first, self->order + 1, peer->node);
    if (way == NULL) {
        return false;
    }
    aside->follow--;
    self->order++;
    way->token = token;
    way->open.order = way->order;
    tp_list_push_back(&self->own, &way->open.link);
    tp_list_push_back(&peer->ways, &way->peer);
    *ret_course = (tp_directory_course){.ticket = way->ticket,
        .order = way->order,
        .node = way->node,
        .shard = tp_directory_shard_of(way->hash, peer->shards)};
    return true;
}

/* A grant came with a letter: may it create, or replace what the home knows is over? */
static void use_grant(tp_directory *self, tp_record *record, tp_grant grant)
{
    bool is_valid = grant.number != 0 && tp_words_new_enough(self, record->hash, grant);
    if (!HOLDS(self, GRANT) && record->state == TP_DIRECTORY_ABSENT) {
        is_valid = true;
    }
    if (!is_valid) {
        return;
    }
    if (record->state != TP_DIRECTORY_ABSENT && grant.number <= record->number) {
        return;
    }
    if (record->state == TP_DIRECTORY_SOURCE || record->state == TP_DIRECTORY_TARGET) {
        tp_directory_say(self, TP_DIRECTORY_DROP, record);
    }
    if (record->state != TP_DIRECTORY_ACTIVE && record->state != TP_DIRECTORY_CAPTURING) {
        record->state = TP_DIRECTORY_ACTIVE;
        record->flags |= RECORD_CREATE;
        self->figures.activations++;
        tp_words_open(self, record->aside, 0);
    }
    record->number = grant.number;
}

/* If it was passed on from here before, that way ends: its former hops wait for the letter. */
static void take_back(tp_directory *self, tp_lane *lane, tp_letter *letter)
{
    tp_link *back = tp_list_back(&lane->passed);
    if (back == NULL || way_of(back)->order < letter->order) {
        return;
    }
    TP_LIST_EACH(&lane->passed, link)
    {
        tp_way *way = way_of(link);
        if (way->order >= letter->order) {
            if (way->order == letter->order) {
                unlink_way(self, way);
                letter->token = way->from == 0 ? way->token : letter->token;
                replace_open(&letter->open, &way->open);
                letter->upstream = way;
                self->figures.returns++;
            }
            return;
        }
    }
}

/* False: no memory, nothing was done. */
static bool arrive(tp_directory *self, tp_letter *letter)
{
    tp_record *record;
    tp_lane *lane = receive(self, letter, &record);
    if (lane == NULL) {
        return false;
    }
    use_grant(self, record, letter->grant);
    letter->grant = (tp_grant){0, 0};
    take_back(self, lane, letter);
    if (letter->upstream == NULL && is_full(self, record->aside, letter)) {
        refuse(self, letter, TROUPE_BUSY);
    } else {
        hold(self, record->aside, lane, letter);
    }
    tp_flow(self, record);
    tp_directory_finish(self);
    return true;
}

/* A letter may carry a grant, or be the end of a way: it is not refused for want of memory, but
 * waits in front of all that comes later. */
bool tp_flow_feed(tp_directory *self)
{
    tp_link *link;
    while ((link = tp_list_front(&self->starved)) != NULL) {
        tp_letter *letter = TP_CONTAINER(link, tp_letter, link);
        tp_list_remove(link);
        if (!arrive(self, letter)) {
            tp_list_push_front(&self->starved, &letter->link);
            return false;
        }
    }
    return true;
}

bool tp_directory_is_starving(const tp_directory *self)
{
    return !tp_list_is_empty(&self->starved);
}

void tp_directory_arrived(tp_directory *self, tp_letter *letter)
{
    if (self->view == NULL ||
        (HOLDS(self, VIEW_CHECK) && !tp_directory_is_member(self, letter->from))) {
        tp_directory_hand_letter(self, letter, TP_DIRECTORY_DISCARD);
    } else if (!tp_flow_feed(self) || !arrive(self, letter)) {
        tp_list_push_back(&self->starved, &letter->link);
    }
}

void tp_directory_placed(
    tp_directory *self, const tp_directory_id *id, uint64_t node, troupe_status status)
{
    tp_record *record = tp_directory_find(self, id);
    if (record == NULL || record->aside == NULL) {
        return;
    }
    tp_aside *aside = record->aside;
    aside->placing = false;
    aside->place = node;
    if (!tp_directory_reserve(self)) {
        return; /* a tick looks at it again */
    }
    if (node == 0 && self->member && record->state == TP_DIRECTORY_ABSENT &&
        tp_directory_home_node(self, record->hash) == self->options.self &&
        tp_views_is_settled(self, record) && record->host == 0) {
        tp_flow_refuse_all(self, record, status);
    }
    tp_flow(self, record);
    tp_directory_finish(self);
}

/* ---- the end of waiting ---- */

void tp_flow_refuse_all(tp_directory *self, tp_record *record, troupe_status status)
{
    for (tp_lane *lane = record->aside->lanes; lane != NULL; lane = lane->next) {
        TP_LIST_EACH(&lane->held, link)
        {
            tp_letter *letter = TP_CONTAINER(link, tp_letter, link);
            leave_lane(self, record, letter);
            refuse(self, letter, status);
        }
    }
}

void tp_flow_expire(tp_directory *self, tp_record *record)
{
    for (tp_lane *lane = record->aside->lanes; lane != NULL; lane = lane->next) {
        TP_LIST_EACH(&lane->held, link)
        {
            tp_letter *letter = TP_CONTAINER(link, tp_letter, link);
            if (letter->deadline <= self->now) {
                leave_lane(self, record, letter);
                refuse(self, letter, TROUPE_EXPIRED);
            }
        }
    }
}

uint64_t tp_directory_mark(const tp_directory *self)
{
    return self->order;
}

bool tp_directory_reached(const tp_directory *self, uint64_t mark)
{
    const tp_link *oldest = tp_list_front(&self->own);
    return oldest == NULL || TP_CONTAINER(oldest, tp_directory_open, link)->order > mark;
}
