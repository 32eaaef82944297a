/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes, and what follows when they are not answered: doubts, a check, votes (rule 8 of member.h);
 * and the node's own lateness, which makes it more patient with others, after Lifeguard (Dadgar,
 * Phillips, Currey, 2017). Part of the machine in member.c.
 *
 * A member probes its next few neighbours all the time. When one has not answered for ttl / 2 it
 * is doubted, and a check begins: everybody is probed, twice. At its end, if a majority of the
 * view (with oneself) has answered since the check began, this member votes on each doubted one
 * that has not, and tells three others, who doubt it too. Two fresh votes of different members
 * revoke.
 *
 * Invariants: 1. No check is under way while this node is late or suspended, and what it was about
 * to find is dropped when it turns out to be. 2. A vote is fresh for a ttl:
 * who hears one needs a check of its own before it can agree.
 *
 * Threads: the machine's owner.
 */
#include "member/inside.h"

#define TOLD 3

/* ---- the own lateness ------------------------------------------------------------------------ */

void tp_member_is_late(tp_member *self, uint64_t now)
{
    for (size_t i = 0; i < self->peer_count; i++)
        self->peers[i].probed_since = 0; /* the answers may wait here, unread */
    self->checking = false;
    if (now < self->score_up)
        return;
    self->counts.late++;
    self->score += self->score < TP_MEMBER_SCORE_MAX;
    self->score_up = now + self->ttl / 8;
    self->score_at = now + self->ttl / 2;
}

static void recover(tp_member *self, uint64_t now)
{
    if (self->score == 0 || !tp_member_is_due(self, now, self->score_at))
        return;
    self->score--;
    self->score_at = now + self->ttl / 2;
    self->again = true;
}

static bool may_vote(const tp_member *self)
{
    return tp_member_is_mutant(self, TP_MEMBER_LATE_VOTES) ||
           (self->score == 0 && !self->suspended && !self->parting);
}

/* ---- probes ---------------------------------------------------------------------------------- */

void tp_member_reached(tp_member *self, uint64_t now, uint64_t incarnation)
{
    tp_peer *peer = self->phase == TP_MEMBER_IN ? tp_member_peer(self, incarnation) : NULL;
    if (peer == NULL)
        return;
    peer->reached_at = now;
    peer->probed_since = 0;
    peer->doubted = false;
    peer->my_vote = 0;
}

static void probe_neighbours(tp_member *self, uint64_t now)
{
    size_t first = 0, count = self->peer_count;
    while (first < count && self->peers[first].incarnation < self->incarnation)
        first++;
    for (size_t i = 0; i < count && i < TP_MEMBER_NEIGHBOURS; i++) {
        tp_peer *peer = &self->peers[(first + i) % count];
        if (peer->probed_since == 0 || peer->count == 0) /* it may not know yet that it is in */
            peer->probed_since = now;
        if (now - peer->probed_since >= self->ttl / 2)
            peer->doubted = true;
        tp_member_emit(self, TP_MEMBER_PROBE)->to = peer->incarnation;
    }
}

uint32_t tp_member_doubted(const tp_member *self, uint64_t *ret_incarnations, uint32_t room)
{
    uint32_t count = 0;
    for (size_t i = 0; i < self->peer_count && count < room; i++) {
        const tp_peer *peer = &self->peers[i];
        if (peer->doubted || peer->revoked || peer->ended)
            ret_incarnations[count++] = peer->incarnation;
    }
    return count;
}

/* ---- checks and votes ------------------------------------------------------------------------ */

static bool is_fresh(const tp_member *self, uint64_t when, uint64_t now)
{
    return when != 0 && now - when <= self->ttl;
}

/* Of two members nobody has another one to agree with: the older decides. */
static bool decides_alone(const tp_member *self, const tp_peer *peer)
{
    return self->peer_count == 1 && self->incarnation < peer->incarnation;
}

bool tp_member_is_voted_out(const tp_member *self, const tp_peer *peer, uint64_t now)
{
    if (!may_vote(self) || !is_fresh(self, peer->my_vote, now))
        return false;
    if (decides_alone(self, peer) || tp_member_is_mutant(self, TP_MEMBER_LATE_VOTES))
        return true;
    return is_fresh(self, peer->vote, now) && tp_view_find(self->view, peer->vote_from) != NULL;
}

static void tell_others(tp_member *self, const tp_peer *target)
{
    size_t told = 0, first = (size_t)tp_prng_below(&self->prng, self->peer_count);
    for (size_t i = 0; i < self->peer_count && told < TOLD; i++) {
        const tp_peer *peer = &self->peers[(first + i) % self->peer_count];
        if (peer == target || peer->reached_at < self->check_began)
            continue;
        tp_member_effect *effect = tp_member_emit(self, TP_MEMBER_SAY_VOTE);
        effect->to = peer->incarnation;
        effect->target = target->incarnation;
        told++;
    }
}

static void end_check(tp_member *self, uint64_t now)
{
    size_t reached = 1;
    self->checking = false;
    self->counts.checks++;
    for (size_t i = 0; i < self->peer_count; i++)
        reached += self->peers[i].reached_at >= self->check_began;
    bool has_majority =
        reached * 2 > self->view->member_count || tp_member_is_mutant(self, TP_MEMBER_LATE_VOTES);
    size_t voted = 0;
    for (size_t i = 0; i < self->peer_count; i++) {
        tp_peer *peer = &self->peers[i];
        bool is_lost = peer->doubted && peer->reached_at < self->check_began;
        peer->doubted = false;
        if (!is_lost || (!has_majority && !decides_alone(self, peer)))
            continue;
        peer->my_vote = now;
        self->counts.votes++;
        if (voted++ < TP_MEMBER_NEIGHBOURS) /* the effects of one event are bounded */
            tell_others(self, peer);
    }
    self->again = true;
}

static bool has_doubts(const tp_member *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].doubted && !self->peers[i].revoked)
            return true;
    return false;
}

/* So long that a short pause of the one in doubt, or of this node, decides nothing. */
static void run_check(tp_member *self, uint64_t now)
{
    if (!self->checking) {
        if (!may_vote(self) || !has_doubts(self))
            return;
        self->checking = true;
        self->check_began = now;
        self->check_probe = now;
        self->check_until = now + self->ttl / 2;
    }
    if (tp_member_is_due(self, now, self->check_until)) {
        end_check(self, now);
    } else if (tp_member_is_due(self, now, self->check_probe)) {
        tp_member_emit(self, TP_MEMBER_PROBE);
        self->check_probe = now + self->ttl / 8;
        (void)tp_member_is_due(self, now, self->check_probe);
    }
}

void tp_member_heard_vote(tp_member *self, uint64_t now, uint64_t from, uint64_t target)
{
    tp_peer *peer = self->phase == TP_MEMBER_IN ? tp_member_peer(self, target) : NULL;
    if (peer == NULL || from == target || tp_view_find(self->view, from) == NULL)
        return;
    peer->vote = now;
    peer->vote_from = from;
    if (!is_fresh(self, peer->my_vote, now))
        peer->doubted = true;
    tp_member_tick(self, now);
}

void tp_member_run_votes(tp_member *self, uint64_t now)
{
    recover(self, now);
    if (self->peer_count == 0)
        return;
    if (tp_member_is_due(self, now, self->probe_at)) {
        self->probe_at = now + self->ttl / 8;
        probe_neighbours(self, now);
        (void)tp_member_is_due(self, now, self->probe_at);
    }
    run_check(self, now);
}
