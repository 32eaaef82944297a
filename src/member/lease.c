/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The holder of the own lease: raises the register, gives out the fence, notices that it ran out,
 * and comes back (rules 1, 2, 6, 7 of member.h). Part of the machine in member.c.
 *
 * State, by what is known of the lease:
 *
 *   none      lease_until <= now           suspended
 *   blind     lease runs, no view read since it began: suspended until one is installed
 *   armed     lease runs, caught_up: fence == lease_until
 *
 * Invariants
 * 1. The fence is only ever a lease_until, or 0, and rises only while caught_up.
 * 2. caught_up falls whenever the lease had a gap.
 *
 * Threads: the machine's owner.
 */
#include "member/inside.h"

/* The share of the ttl that a holder counts on; observers wait for ttl * 1.01 of theirs. */
static uint64_t hold(const tp_member *self)
{
    return tp_member_is_mutant(self, TP_MEMBER_NO_MARGIN) ? self->ttl : self->ttl / 100 * 99;
}

static void set_fence(tp_member *self, uint64_t until)
{
    if (self->fence == until)
        return;
    self->fence = until;
    tp_member_emit(self, TP_MEMBER_LEASE)->until = until;
}

void tp_member_disarm(tp_member *self)
{
    self->suspended = true;
    self->caught_up = false;
    set_fence(self, 0);
}

static void suspend(tp_member *self)
{
    self->suspended = true;
    self->caught_up = false;
    self->counts.suspensions++;
    tp_member_forget_times(self);
    tp_member_emit(self, TP_MEMBER_SUSPENDED);
}

/* The lease runs and the newest view is installed. */
static void arm(tp_member *self)
{
    if (self->parting)
        return;
    set_fence(self, self->lease_until);
    if (!self->suspended)
        return;
    self->suspended = false;
    tp_member_emit(self, TP_MEMBER_RESUMED);
}

void tp_member_view_was_read(tp_member *self, uint64_t now, uint64_t sent)
{
    if (self->caught_up || now >= self->lease_until || sent < self->catch_from)
        return;
    self->caught_up = true;
    arm(self);
}

static void renew(tp_member *self, uint64_t now, uint64_t sent)
{
    bool lapsed = now >= self->lease_until;
    self->lease_until =
        (tp_member_is_mutant(self, TP_MEMBER_COUNT_FROM_ANSWER) ? now : sent) + hold(self);
    if (lapsed) {
        if (!self->suspended)
            suspend(self);
        self->caught_up = false;
        self->catch_from = now;
        self->want_view = true;
        self->view_at = now;
    }
    if (tp_member_is_mutant(self, TP_MEMBER_NO_CATCH_UP))
        self->caught_up = true;
    if (self->caught_up && now < self->lease_until)
        arm(self);
}

static void count_is_unknown(tp_member *self, uint64_t now)
{
    self->count_unknown = true;
    self->count_from = now;
    self->registers_at = now;
}

void tp_member_raised(tp_member *self, uint64_t now, const tp_member_answer *answer)
{
    tp_member_line *line = &self->lines[TP_MEMBER_RAISE];
    if (answer->status == TROUPE_OK) {
        line->failures = 0;
        if (self->count++ == 0)
            self->raised_since = now;
        self->counts.raises++;
        self->raise_at = line->sent + self->ttl / 4;
        renew(self, now, line->sent);
        return;
    }
    self->counts.raises_failed++;
    if (answer->status == TROUPE_CONFLICT) {
        self->counts.raise_conflicts++;
        self->raise_at = now;
        if (tp_member_is_mutant(self, TP_MEMBER_CONFLICT_IS_SUCCESS)) {
            self->raise_at = line->sent + self->ttl / 4;
            renew(self, now, line->sent);
            return;
        }
        count_is_unknown(self, now);
    } else if (answer->status == TROUPE_UNAVAILABLE || answer->status == TROUPE_NO_MEMORY) {
        self->raise_at = tp_member_back_off(self, TP_MEMBER_RAISE, now);
    } else {
        count_is_unknown(self, now);
        self->raise_at = tp_member_back_off(self, TP_MEMBER_RAISE, now);
    }
}

void tp_member_own_register(
    tp_member *self, uint64_t now, uint64_t sent, const troupe_register *own)
{
    /* A reading that was asked for before the first raise was answered need not show it. */
    if (tp_member_is_mutant(self, TP_MEMBER_CONFLICT_IS_SUCCESS))
        return;
    bool is_gone = own == NULL && self->count > 0 && sent >= self->raised_since;
    if ((own != NULL && own->revoked) || is_gone) {
        const char *what = own != NULL ? "was revoked" : "is gone";
        if (self->parting)
            tp_member_end(self, TP_MEMBER_LEFT, "left; the lease register %s", what);
        else
            tp_member_end(self, TP_MEMBER_DIED,
                "the lease register of incarnation %llu %s: this node was dead, paused or cut off "
                "for longer than the ttl, or a majority could not reach it",
                (unsigned long long)self->incarnation, what);
        return;
    }
    if (!self->count_unknown || sent < self->count_from)
        return;
    self->count = own != NULL ? own->count : 0;
    self->raised_since = now;
    self->count_unknown = false;
    self->raise_at = now;
}

/* A shard that does not pass its loop is a node that does not work: another one must take over. */
static bool is_stuck(const tp_member *self, uint64_t now)
{
    return self->has_passes && now > self->oldest_pass &&
           now - self->oldest_pass >= self->stuck_limit;
}

void tp_member_run_lease(tp_member *self, uint64_t now)
{
    if (!self->suspended && tp_member_is_due(self, now, self->fence))
        suspend(self);
    if (self->parting || self->count_unknown || self->lines[TP_MEMBER_RAISE].busy)
        return;
    if (is_stuck(self, now) && now >= self->raise_at)
        self->raise_at = now + self->ttl / 16;
    if (!tp_member_is_due(self, now, self->raise_at))
        return;
    tp_member_effect *effect = tp_member_send(self, now, TP_MEMBER_RAISE, self->ttl / 4);
    effect->incarnation = self->incarnation;
    effect->count = self->count;
}

void tp_member_shards(tp_member *self, uint64_t now, uint64_t oldest_pass)
{
    self->has_passes = true;
    self->oldest_pass = oldest_pass;
    if (now > oldest_pass && now - oldest_pass > self->ttl / 8)
        tp_member_is_late(self, now);
}
