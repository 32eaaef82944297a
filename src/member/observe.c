/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The observer of the other members' leases: reads the registers, counts how long each has stood
 * still, revokes, and publishes the views (rules 3 to 5 of member.h). Part of the machine in
 * member.c.
 *
 * State, by register:
 *
 *   unseen    nothing counts; the next good reading makes it seen, t0 = after that reading
 *   seen      count c since t0; another count, or a mark that comes or goes, begins t0 anew
 *   revoked   by this node at c: t0 stays that of c; found so: t0 is when it was found
 *
 * Invariants: 1. t0 is a reading of the clock taken after the answer that showed `count`, and since
 * then good readings came without a gap of more than 3/8 ttl. 2. A publication removes a member
 * only if it is revoked here and t0 + wait has passed, or its holder has ended.
 *
 * Threads: the machine's owner.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "member/inside.h"

#define RANKS 8

uint64_t tp_member_wait(const tp_member *self)
{
    return tp_member_is_mutant(self, TP_MEMBER_NO_MARGIN) ? self->ttl : self->ttl / 100 * 101;
}

/* Older members act first, so that not all of them do the same at once. */
static uint64_t turn_of(const tp_member *self)
{
    uint64_t rank = 0;
    for (size_t i = 0; i < self->peer_count && rank < RANKS; i++)
        rank += self->peers[i].incarnation < self->incarnation && !self->peers[i].revoked;
    return rank * (self->ttl / 64);
}

/* Between good readings; shorter than what holders need to raise again after as long an outage. */
static uint64_t longest_gap(const tp_member *self)
{
    return self->ttl / 8 * 3;
}

void tp_member_forget_times(tp_member *self)
{
    if (tp_member_is_mutant(self, TP_MEMBER_OUTAGE_COUNTS))
        return;
    for (size_t i = 0; i < self->peer_count; i++) {
        self->peers[i].seen = false;
        self->peers[i].probed_since = 0;
        self->peers[i].doubted = false;
        self->peers[i].my_vote = 0;
    }
    self->registers_good = 0;
    self->checking = false;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const troupe_register *find(const tp_member_answer *answer, uint64_t incarnation)
{
    size_t low = 0, high = answer->register_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (answer->registers[middle].incarnation < incarnation)
            low = middle + 1;
        else
            high = middle;
    }
    return low < answer->register_count && answer->registers[low].incarnation == incarnation
               ? &answer->registers[low]
               : NULL;
}

static void look(
    const tp_member *self, tp_peer *peer, uint64_t now, uint64_t sent, const troupe_register *found)
{
    static const troupe_register never_raised = {0};
    if (found == NULL)
        found = &never_raised;
    peer->ended = found->ended;
    if (peer->seen && peer->count == found->count && peer->revoked == found->revoked)
        return;
    peer->seen = true;
    peer->count = found->count;
    peer->revoked = found->revoked;
    peer->t0 = tp_member_is_mutant(self, TP_MEMBER_T0_BEFORE_READ) ? sent : now;
    if (found->revoked && tp_member_is_mutant(self, TP_MEMBER_FINDER_IS_EARLY))
        peer->t0 = 0;
}

void tp_member_registers_read(tp_member *self, uint64_t now, const tp_member_answer *answer)
{
    tp_member_line *line = &self->lines[TP_MEMBER_READ_REGISTERS];
    if (answer->status != TROUPE_OK) {
        self->registers_at = tp_member_back_off(self, TP_MEMBER_READ_REGISTERS, now);
        return;
    }
    line->failures = 0;
    self->registers_at = self->want_registers
                             ? now
                             : line->sent + self->ttl / (self->peer_count < 64 ? 8 : 4);
    if (self->has_run && self->run != answer->run)
        tp_member_forget_times(self);
    self->has_run = true;
    self->run = answer->run;
    if (self->registers_good != 0 && now - self->registers_good > longest_gap(self))
        tp_member_forget_times(self);
    self->registers_good = now;
    for (size_t i = 0; i < self->peer_count; i++)
        look(self, &self->peers[i], now, line->sent, find(answer, self->peers[i].incarnation));
    tp_member_own_register(self, now, line->sent, find(answer, self->incarnation));
}

/* ---- revoking -------------------------------------------------------------------------------- */

/* May this node judge others at all? */
static bool may_judge(const tp_member *self, uint64_t now)
{
    if (tp_member_is_mutant(self, TP_MEMBER_OUTAGE_COUNTS))
        return true;
    return !self->suspended && !self->parting && self->registers_good != 0 &&
           now - self->registers_good <= longest_gap(self);
}

/* When the lease of this peer is over for sure; the own lateness makes it more patient. */
static uint64_t standstill(const tp_member *self, const tp_peer *peer)
{
    return peer->t0 + tp_member_wait(self) + self->score * (self->ttl / 8);
}

static bool should_revoke(tp_member *self, const tp_peer *peer, uint64_t now, uint64_t turn)
{
    if (!peer->seen || peer->revoked || !tp_member_is_due(self, now, peer->revoke_again))
        return false;
    return peer->ended || tp_member_is_voted_out(self, peer, now) ||
           tp_member_is_due(self, now, standstill(self, peer) + turn);
}

static void revoke_one(tp_member *self, uint64_t now)
{
    if (self->lines[TP_MEMBER_REVOKE].busy || !may_judge(self, now))
        return;
    uint64_t turn = turn_of(self);
    for (size_t i = 0; i < self->peer_count; i++) {
        tp_peer *peer = &self->peers[i];
        if (!should_revoke(self, peer, now, turn))
            continue;
        tp_member_effect *effect = tp_member_send(self, now, TP_MEMBER_REVOKE, self->ttl / 4);
        effect->incarnation = peer->incarnation;
        effect->count = peer->count;
        self->revoking = peer->incarnation;
        return;
    }
}

void tp_member_revoke_answered(tp_member *self, uint64_t now, const tp_member_answer *answer)
{
    tp_peer *peer = tp_member_peer(self, self->revoking);
    if (answer->status == TROUPE_OK) {
        self->lines[TP_MEMBER_REVOKE].failures = 0;
        self->counts.revocations++;
        /* Only if no reading has come between that saw another count: t0 is that of `count`. */
        if (peer != NULL)
            peer->revoked = true;
        return;
    }
    self->registers_at = now;
    if (peer != NULL)
        peer->revoke_again = tp_member_back_off(self, TP_MEMBER_REVOKE, now);
}

void tp_member_run_observer(tp_member *self, uint64_t now)
{
    if (!self->lines[TP_MEMBER_READ_REGISTERS].busy &&
        tp_member_is_due(self, now, self->registers_at)) {
        self->want_registers = false;
        tp_member_send(self, now, TP_MEMBER_READ_REGISTERS, self->ttl / 4);
    }
    revoke_one(self, now);
}

/* The watch has told of something: of a view, or of a holder that has ended. */
void tp_member_read_registers_soon(tp_member *self, uint64_t now)
{
    self->want_registers = true;
    if (self->lines[TP_MEMBER_READ_REGISTERS].failures == 0)
        self->registers_at = now;
}

/* ---- publishing ------------------------------------------------------------------------------ */

static uint64_t removable_at(const tp_member *self, const tp_peer *peer)
{
    if (!peer->seen || !peer->revoked)
        return TP_MEMBER_NEVER;
    if (peer->ended || tp_member_is_mutant(self, TP_MEMBER_PUBLISH_EARLY))
        return 0;
    return peer->t0 + tp_member_wait(self);
}

/* All that can be removed, if it is this member's turn for one of them. */
static size_t take_removals(tp_member *self, uint64_t now, tp_view_change *changes)
{
    bool is_turn = false;
    size_t count = 0;
    for (size_t i = 0; i < self->peer_count; i++) {
        uint64_t at = removable_at(self, &self->peers[i]);
        if (at == TP_MEMBER_NEVER)
            continue;
        is_turn = tp_member_is_due(self, now, at + turn_of(self)) || is_turn;
        if (now >= at)
            changes[count++] = (tp_view_change){
                .incarnation = self->peers[i].incarnation, .what = TP_VIEW_REVOKED};
    }
    return is_turn ? count : 0;
}

static size_t take_joins(tp_member *self, uint64_t now, tp_view_member *joins)
{
    if (self->join_count == 0 || self->parting || !tp_member_is_due(self, now, self->join_at))
        return 0;
    for (size_t i = 0; i < self->join_count; i++)
        joins[i] = self->joins[i]->members[0];
    return self->join_count;
}

static void publish(tp_member *self, uint64_t now, const tp_view_step *step)
{
    troupe_status status = tp_view_follow(self->allocator, self->view, step, &self->pending);
    if (status != TROUPE_OK) {
        if (status != TROUPE_NO_MEMORY) { /* too many members: the candidates see that they wait */
            self->counts.joins_refused += self->join_count;
            while (self->join_count != 0)
                tp_view_release(self->joins[--self->join_count]);
        }
        self->publish_at = tp_member_back_off(self, TP_MEMBER_CAS_VIEW, now);
        self->again = true;
        return;
    }
    tp_member_effect *effect = tp_member_send(self, now, TP_MEMBER_CAS_VIEW, self->ttl / 2);
    effect->view = tp_view_retain(self->pending);
}

void tp_member_run_publisher(tp_member *self, uint64_t now)
{
    /* A reading that is wanted comes first: what it brings may have been the work of others. */
    if (self->lines[TP_MEMBER_CAS_VIEW].busy || self->want_view ||
        !tp_member_is_due(self, now, self->publish_at))
        return;
    size_t changes_size = (self->peer_count + 1) * sizeof(tp_view_change);
    size_t size = changes_size + self->join_count * sizeof(tp_view_member);
    char *block = tp_allocate(self->allocator, size);
    if (block == NULL) {
        self->publish_at = tp_member_back_off(self, TP_MEMBER_CAS_VIEW, now);
        self->again = true;
        return;
    }
    tp_view_change *changes = (tp_view_change *)(void *)block;
    tp_view_member *joins = (tp_view_member *)(void *)(block + changes_size);
    tp_view_step step = {.joins = joins, .changes = changes};
    step.change_count = take_removals(self, now, changes);
    if (tp_member_own_step(self, now, &changes[step.change_count]))
        step.change_count++;
    step.join_count = take_joins(self, now, joins);
    if (step.change_count + step.join_count != 0)
        publish(self, now, &step);
    tp_release(self->allocator, block, size);
}
