/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership machine: its events, its effects, its times, and the installation of views. What
 * it does about them is in lease.c, observe.c, join.c and votes.c; see member.h for the rules.
 *
 * Invariants
 * 1. After an event `next` is the earliest moment at which something is due.
 * 2. A machine that has ended emits nothing more, and answers still under way are ignored.
 *
 * Threads: the machine's owner.
 */
#include "member/member.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "member/inside.h"

#include <stdarg.h>
#include <stdio.h>

#define STUCK_LIMIT TROUPE_SECONDS(30)

/* ---- effects and times ----------------------------------------------------------------------- */

tp_member_effect *tp_member_emit(tp_member *self, tp_member_effect_kind kind)
{
    TP_ASSERT(self->effect_count < TP_MEMBER_EFFECTS);
    size_t at = (self->effect_begin + self->effect_count++) % TP_MEMBER_EFFECTS;
    self->effects[at] = (tp_member_effect){.kind = kind};
    return &self->effects[at];
}

bool tp_member_take(tp_member *self, tp_member_effect *ret_effect)
{
    if (self->effect_count == 0)
        return false;
    *ret_effect = self->effects[self->effect_begin];
    self->effect_begin = (self->effect_begin + 1) % TP_MEMBER_EFFECTS;
    self->effect_count--;
    return true;
}

tp_member_effect *tp_member_send(tp_member *self, uint64_t now, tp_member_op op, uint64_t timeout)
{
    tp_member_line *line = &self->lines[op];
    if (line->busy)
        return NULL;
    line->busy = true;
    line->id = ++self->last_id;
    line->sent = now;
    tp_member_effect *effect = tp_member_emit(self, TP_MEMBER_CALL);
    effect->op = op;
    effect->id = line->id;
    effect->timeout = timeout;
    return effect;
}

bool tp_member_is_due(tp_member *self, uint64_t now, uint64_t at)
{
    if (now >= at)
        return true;
    if (at < self->next)
        self->next = at;
    return false;
}

/* From ttl / 64 doubling to ttl / 8, and up to half as much again by chance. */
uint64_t tp_member_back_off(tp_member *self, tp_member_op op, uint64_t now)
{
    tp_member_line *line = &self->lines[op];
    uint64_t wait = (self->ttl / 64) << (line->failures < 3 ? line->failures : 3);
    line->failures++;
    return now + wait + tp_prng_below(&self->prng, wait / 2 + 1);
}

uint64_t tp_member_next(const tp_member *self)
{
    return self->phase == TP_MEMBER_ENDED ? TP_MEMBER_NEVER : self->next;
}

void tp_member_end(tp_member *self, tp_member_effect_kind kind, const char *format, ...)
{
    va_list arguments;
    if (self->phase == TP_MEMBER_ENDED)
        return;
    va_start(arguments, format);
    (void)vsnprintf(self->reason, sizeof self->reason, format, arguments);
    va_end(arguments);
    tp_member_disarm(self);
    self->phase = TP_MEMBER_ENDED;
    tp_member_emit(self, kind)->reason = self->reason;
}

/* ---- views ----------------------------------------------------------------------------------- */

tp_peer *tp_member_peer(tp_member *self, uint64_t incarnation)
{
    size_t low = 0, high = self->peer_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->peers[middle].incarnation < incarnation)
            low = middle + 1;
        else
            high = middle;
    }
    return low < self->peer_count && self->peers[low].incarnation == incarnation ? &self->peers[low]
                                                                                : NULL;
}

/* One peer for each other member; those that were there keep what is known of them. */
static bool renew_peers(tp_member *self, const tp_view *view)
{
    size_t count = view->member_count - 1, at = 0, old = 0;
    tp_peer *peers = tp_allocate_zeroed(self->allocator, count * sizeof *peers);
    if (peers == NULL)
        return false;
    for (size_t i = 0; i < view->member_count; i++) {
        uint64_t incarnation = view->members[i].incarnation;
        if (incarnation == self->incarnation)
            continue;
        while (old < self->peer_count && self->peers[old].incarnation < incarnation)
            old++;
        if (old < self->peer_count && self->peers[old].incarnation == incarnation)
            peers[at] = self->peers[old];
        peers[at++].incarnation = incarnation;
    }
    tp_release(self->allocator, self->peers, self->peer_count * sizeof *peers);
    self->peers = peers;
    self->peer_count = count;
    return true;
}

/* It is a member now: what a member does begins at once. */
static void begin(tp_member *self, uint64_t now)
{
    self->phase = TP_MEMBER_IN;
    tp_member_emit(self, TP_MEMBER_JOINED)->incarnation = self->incarnation;
    self->raise_at = now;
    self->registers_at = now;
    self->probe_at = now;
    self->publish_at = now;
    self->view_at = now + self->ttl / 2;
}

bool tp_member_install(tp_member *self, uint64_t now, const tp_view *view)
{
    if (tp_view_find(view, self->incarnation) == NULL) {
        if (self->parting)
            tp_member_end(
                self, TP_MEMBER_LEFT, "left with view %llu", (unsigned long long)view->number);
        else
            tp_member_end(self, TP_MEMBER_DIED, "view %llu is without this node",
                (unsigned long long)view->number);
        return false;
    }
    if (!renew_peers(self, view))
        return false;
    bool is_first = self->phase == TP_MEMBER_JOINING;
    if (is_first)
        begin(self, now);
    tp_member_effect *effect = tp_member_emit(self, TP_MEMBER_INSTALL);
    effect->view = tp_view_retain(view);
    effect->followed = !is_first && tp_view_can_follow(view, self->view->number);
    const tp_view *old = self->view;
    self->view = tp_view_retain(view);
    tp_view_release(old);
    self->ttl = view->ttl;
    self->counts.views++;
    tp_member_purge_joins(self);
    return true;
}

/* While joining: a view is looked at, not installed, until it names this node. */
static void look_at(tp_member *self, uint64_t now, const tp_view *view)
{
    if (tp_member_find_self(self, now, view))
        return;
    const tp_view *old = self->view;
    self->view = tp_view_retain(view);
    tp_view_release(old);
    self->ttl = view->ttl;
    if (self->asked == TP_MEMBER_NOBODY)
        self->asked = 0;
}

static bool is_same(const tp_view *a, const tp_view *b)
{
    return a->number == b->number && troupe_slice_equal(a->text, b->text);
}

static void take_view(tp_member *self, uint64_t now, uint64_t sent, const tp_view *view)
{
    uint64_t number = view != NULL ? view->number : 0;
    uint64_t have = self->view != NULL ? self->view->number : 0;
    if (number < self->view_floor ||
        (view != NULL && number == have && !is_same(view, self->view))) {
        tp_member_end(self, TP_MEMBER_DIED,
            "the membership store went back: it has view %llu, %s than the view %llu of this node; "
            "was it restored, or is it another one?",
            (unsigned long long)number, number == have ? "another one" : "older",
            (unsigned long long)have);
        return;
    }
    if (self->phase == TP_MEMBER_JOINING) {
        if (view != NULL)
            look_at(self, now, view);
    } else if (number > have && !tp_member_install(self, now, view)) {
        self->view_at = tp_member_back_off(self, TP_MEMBER_READ_VIEW, now);
        self->want_view = true;
        return;
    }
    if (self->phase == TP_MEMBER_IN)
        tp_member_view_was_read(self, now, sent);
}

static void view_answered(tp_member *self, uint64_t now, uint64_t sent, const tp_member_answer *got)
{
    if (got->status != TROUPE_OK) {
        self->want_view = true;
        self->view_at = tp_member_back_off(self, TP_MEMBER_READ_VIEW, now);
        return;
    }
    self->lines[TP_MEMBER_READ_VIEW].failures = 0;
    /* A wish that came while it was under way wants one that began later. */
    self->view_at = self->want_view ? now : now + self->ttl / 2;
    if (self->phase == TP_MEMBER_JOINING && got->view == NULL)
        self->asked = TP_MEMBER_NOBODY;
    take_view(self, now, sent, got->view);
}

static void cas_answered(tp_member *self, uint64_t now, const tp_member_answer *got)
{
    const tp_view *view = self->pending;
    self->pending = NULL;
    if (got->status == TROUPE_OK) {
        self->lines[TP_MEMBER_CAS_VIEW].failures = 0;
        self->counts.publications++;
        uint64_t have = self->view != NULL ? self->view->number : 0;
        if (self->phase == TP_MEMBER_JOINING)
            look_at(self, now, view);
        else if (view->number > have && !tp_member_install(self, now, view))
            self->want_view = true;
    } else {
        self->counts.publications_lost++;
        self->publish_at = tp_member_back_off(self, TP_MEMBER_CAS_VIEW, now);
        self->want_view = true;
        self->view_at = now;
    }
    tp_view_release(view);
}

static void run_views(tp_member *self, uint64_t now)
{
    if (self->lines[TP_MEMBER_READ_VIEW].busy)
        return;
    if (!tp_member_is_due(self, now, self->view_at))
        return;
    self->want_view = false;
    self->view_floor = self->view != NULL ? self->view->number : 0;
    tp_member_effect *effect = tp_member_send(self, now, TP_MEMBER_READ_VIEW, self->ttl / 2);
    effect->view = self->view != NULL ? tp_view_retain(self->view) : NULL;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void run(tp_member *self, uint64_t now)
{
    do {
        self->again = false;
        self->next = TP_MEMBER_NEVER;
        if (self->phase == TP_MEMBER_JOINING) {
            run_views(self, now);
            tp_member_run_join(self, now);
        }
        if (self->phase == TP_MEMBER_IN) {
            tp_member_run_lease(self, now);
            run_views(self, now);
            tp_member_run_observer(self, now);
            tp_member_run_publisher(self, now);
            tp_member_run_votes(self, now);
        }
    } while (self->again && self->phase != TP_MEMBER_ENDED);
}

void tp_member_start(tp_member *self, uint64_t now)
{
    if (self->phase != TP_MEMBER_NEW)
        return;
    self->phase = TP_MEMBER_JOINING;
    self->view_at = now;
    self->publish_at = now;
    run(self, now);
}

void tp_member_tick(tp_member *self, uint64_t now)
{
    uint64_t most = self->ttl / 20;
    if (self->phase == TP_MEMBER_IN && self->next != TP_MEMBER_NEVER && now > self->next + most)
        tp_member_is_late(self, now);
    run(self, now);
}

static void dispatch(tp_member *self, uint64_t now, uint64_t sent, const tp_member_answer *answer)
{
    switch (answer->op) {
    case TP_MEMBER_READ_VIEW:
        view_answered(self, now, sent, answer);
        break;
    case TP_MEMBER_CAS_VIEW:
        cas_answered(self, now, answer);
        break;
    case TP_MEMBER_RAISE:
        tp_member_raised(self, now, answer);
        break;
    case TP_MEMBER_REVOKE:
        tp_member_revoke_answered(self, now, answer);
        break;
    case TP_MEMBER_READ_REGISTERS:
        tp_member_registers_read(self, now, answer);
        break;
    case TP_MEMBER_OPS:
        break;
    }
}

void tp_member_answered(tp_member *self, uint64_t now, const tp_member_answer *answer)
{
    tp_member_line *line = &self->lines[answer->op];
    if (self->phase == TP_MEMBER_ENDED || !line->busy || line->id != answer->id)
        return;
    line->busy = false;
    dispatch(self, now, line->sent, answer);
    run(self, now);
}

static void read_soon(tp_member *self, uint64_t now)
{
    self->want_view = true;
    if (self->lines[TP_MEMBER_READ_VIEW].failures == 0)
        self->view_at = now;
}

void tp_member_changed(tp_member *self, uint64_t now)
{
    read_soon(self, now);
    tp_member_read_registers_soon(self, now);
    run(self, now);
}

void tp_member_peer_number(tp_member *self, uint64_t now, uint64_t number)
{
    if (self->phase == TP_MEMBER_IN && number > self->view->number)
        read_soon(self, now);
    run(self, now);
}

void tp_member_peer_view(tp_member *self, uint64_t now, const tp_view *view)
{
    if (self->phase == TP_MEMBER_IN && view->number > self->view->number &&
        !tp_member_install(self, now, view))
        read_soon(self, now);
    run(self, now);
}

/* ---- its life -------------------------------------------------------------------------------- */

troupe_status tp_member_create(const tp_member_options *options, tp_member **ret_member)
{
    const tp_view_step step = {.joins = &options->self, .join_count = 1};
    tp_member *self = tp_allocate_zeroed(options->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->allocator = options->allocator;
    troupe_status status =
        tp_view_begin(options->allocator, options->ttl, options->secret, &step, &self->own);
    if (status != TROUPE_OK) {
        tp_release(options->allocator, self, sizeof *self);
        return status;
    }
    self->stuck_limit = options->stuck_limit != 0 ? options->stuck_limit : STUCK_LIMIT;
    self->mutants = options->mutants;
    self->ttl = options->ttl;
    self->suspended = true;
    self->next = TP_MEMBER_NEVER;
    tp_prng_seed(&self->prng, options->seed);
    *ret_member = self;
    return TROUPE_OK;
}

void tp_member_destroy(tp_member *self)
{
    tp_member_effect effect;
    if (self == NULL)
        return;
    while (tp_member_take(self, &effect))
        tp_view_release(effect.view);
    for (size_t i = 0; i < self->join_count; i++)
        tp_view_release(self->joins[i]);
    tp_release(self->allocator, self->peers, self->peer_count * sizeof *self->peers);
    tp_view_release(self->pending);
    tp_view_release(self->view);
    tp_view_release(self->own);
    tp_release(self->allocator, self, sizeof *self);
}

const tp_view *tp_member_candidate(const tp_member *self)
{
    return self->own;
}

tp_member_state tp_member_look(const tp_member *self)
{
    bool is_in = self->phase == TP_MEMBER_IN;
    return (tp_member_state){.incarnation = self->incarnation,
        .view = is_in ? self->view : NULL,
        .lease_until = self->fence,
        .ttl = self->ttl,
        .suspended = self->suspended,
        .ended = self->phase == TP_MEMBER_ENDED,
        .score = self->score,
        .counts = self->counts};
}
