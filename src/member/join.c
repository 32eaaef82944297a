/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process becomes a member, how members admit others, and how one leaves in three views. Part
 * of the machine in member.c.
 *
 *   no view at all          -> writes the first, with itself
 *   a view without us       -> asks an active member, twice; then writes itself in
 *   a view with our nonce   -> a member
 *
 *   active -> leaving (wish) -> empty (handed over) -> lets the lease go -> the view without us
 *
 * Invariants: 1. A process is in at most one place of a view: joins are known by their nonce. 2.
 * The fence is 0 before the view without us is asked for.
 *
 * Threads: the machine's owner.
 */
#include "member/inside.h"

#define ASKS 2

/* ---- becoming one ---------------------------------------------------------------------------- */

bool tp_member_find_self(tp_member *self, uint64_t now, const tp_view *view)
{
    const tp_view_member *me = tp_view_find_nonce(view, self->own->members[0].nonce);
    if (me == NULL)
        return false;
    self->incarnation = me->incarnation;
    if (tp_member_install(self, now, view))
        return true;
    self->incarnation = 0; /* no memory: with the next reading */
    return false;
}

/* An active member, by chance; one of our own name is likely our former self. */
static const tp_view_member *choose(tp_member *self)
{
    const tp_view *view = self->view;
    troupe_slice name = self->own->members[0].name;
    const tp_view_member *chosen = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; i < view->member_count; i++) {
        const tp_view_member *member = &view->members[i];
        if (member->status != TP_VIEW_ACTIVE || troupe_slice_equal(member->name, name))
            continue;
        if (tp_prng_below(&self->prng, ++seen) == 0)
            chosen = member;
    }
    return chosen;
}

static void write_in(tp_member *self, uint64_t now)
{
    const tp_view_step step = {.joins = self->own->members, .join_count = 1};
    troupe_status status = TROUPE_OK;
    if (self->view == NULL)
        self->pending = tp_view_retain(self->own);
    else
        status = tp_view_follow(self->allocator, self->view, &step, &self->pending);
    if (status != TROUPE_OK) { /* no memory, or the cluster is full: later */
        self->publish_at = now + self->ttl;
        self->view_at = now + self->ttl / 2;
        self->again = true;
        return;
    }
    tp_member_effect *effect = tp_member_send(self, now, TP_MEMBER_CAS_VIEW, self->ttl / 2);
    effect->view = tp_view_retain(self->pending);
}

static void ask(tp_member *self, uint64_t now, const tp_view_member *member)
{
    self->asked++;
    self->ask_until = now + self->ttl / 8 + tp_prng_below(&self->prng, self->ttl / 8 + 1);
    self->view_at = self->ask_until; /* the watch says it earlier */
    tp_member_effect *effect = tp_member_emit(self, TP_MEMBER_ASK_JOIN);
    effect->to = member->incarnation;
    effect->view = tp_view_retain(self->view);
    self->again = true;
}

void tp_member_run_join(tp_member *self, uint64_t now)
{
    if (self->phase != TP_MEMBER_JOINING || self->lines[TP_MEMBER_CAS_VIEW].busy ||
        self->lines[TP_MEMBER_READ_VIEW].busy || self->want_view)
        return;
    if (self->view == NULL && self->asked != TP_MEMBER_NOBODY)
        return;
    if (self->view != NULL) {
        if (!tp_member_is_due(self, now, self->ask_until))
            return;
        const tp_view_member *member = self->asked < ASKS ? choose(self) : NULL;
        if (member != NULL) {
            ask(self, now, member);
            return;
        }
    }
    if (tp_member_is_due(self, now, self->publish_at))
        write_in(self, now);
}

/* ---- admitting others ------------------------------------------------------------------------ */

static bool is_waiting(const tp_member *self, uint64_t nonce)
{
    for (size_t i = 0; i < self->join_count; i++)
        if (self->joins[i]->members[0].nonce == nonce)
            return true;
    return false;
}

bool tp_member_join_asked(tp_member *self, uint64_t now, const tp_view *candidate)
{
    if (self->phase != TP_MEMBER_IN || self->parting || candidate->member_count != 1)
        return false;
    uint64_t nonce = candidate->members[0].nonce;
    if (tp_view_find_nonce(self->view, nonce) != NULL || is_waiting(self, nonce))
        return true;
    if (self->join_count == TP_MEMBER_JOINS) {
        self->counts.joins_refused++;
        return false;
    }
    if (self->join_count == 0)
        self->join_at =
            now +
            (self->ttl / 64 < TROUPE_MILLISECONDS(100) ? self->ttl / 64 : TROUPE_MILLISECONDS(100));
    self->joins[self->join_count++] = tp_view_retain(candidate);
    tp_member_tick(self, now);
    return true;
}

void tp_member_purge_joins(tp_member *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->join_count; i++) {
        if (tp_view_find_nonce(self->view, self->joins[i]->members[0].nonce) != NULL)
            tp_view_release(self->joins[i]);
        else
            self->joins[kept++] = self->joins[i];
    }
    self->join_count = kept;
}

/* ---- leaving --------------------------------------------------------------------------------- */

static bool set(tp_view_change *out, const tp_member *self, tp_view_what what)
{
    *out = (tp_view_change){.incarnation = self->incarnation, .what = what};
    return true;
}

bool tp_member_own_step(tp_member *self, uint64_t now, tp_view_change *ret_change)
{
    const tp_view_member *me = tp_member_me(self);
    if (!self->wants_to_leave || me == NULL)
        return false;
    if (me->status == TP_VIEW_ACTIVE)
        return set(ret_change, self, TP_VIEW_BEGAN_LEAVING);
    if (me->status == TP_VIEW_LEAVING)
        return self->has_emptied && set(ret_change, self, TP_VIEW_BECAME_EMPTY);
    if (self->empty_since == 0) /* others see that it is empty before it is gone */
        self->empty_since = now;
    if (!tp_member_is_due(self, now, self->empty_since + self->ttl / 16))
        return false;
    if (!self->parting) {
        self->parting = true;
        if (!tp_member_is_mutant(self, TP_MEMBER_LEAVES_ARMED))
            tp_member_disarm(self);
    }
    return set(ret_change, self, TP_VIEW_LEFT);
}

void tp_member_denied(tp_member *self, const char *reason)
{
    if (self->phase == TP_MEMBER_JOINING && self->incarnation == 0)
        tp_member_end(self, TP_MEMBER_DIED, "%s", reason);
}

void tp_member_leave(tp_member *self, uint64_t now)
{
    self->wants_to_leave = true;
    if (self->phase == TP_MEMBER_NEW || self->phase == TP_MEMBER_JOINING)
        tp_member_end(self, TP_MEMBER_LEFT, "left before it had joined");
    tp_member_tick(self, now);
}

void tp_member_emptied(tp_member *self, uint64_t now)
{
    self->has_emptied = true;
    tp_member_tick(self, now);
}
