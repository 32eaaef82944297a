/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planners of place/rebalance.h.
 *
 * Invariants and threads: see place/rebalance.h.
 */
#include "place/rebalance.h"

#include "base/prng.h"

#include <stdlib.h>

#define WEIGHT_TURNS  5.0
#define WEIGHT_MEMORY 3.0
#define WEIGHT_ACTORS 2.0
#define SLACK         1e-9   /* of rounding */
#define COST_FIXED    4096.0 /* bytes that any move costs: messages and turns of its protocol */
#define COST_TURNS    1e6    /* bytes that a second of turns per second is worth */

typedef struct plan {
    tp_rebalance_options options;
    tp_rebalance_member *members;
    uint32_t member_count;
    tp_rebalance_sample *samples;
    size_t sample_count;
    double turns, memory, actors; /* weights over sums; an actor's share of all is linear in them */
    double capacity;              /* sum */
    uint64_t bytes;               /* planned */
    uint64_t now;
    tp_rebalance_move *moves;
    size_t count, room;
} plan;

static double capacity_of(const tp_rebalance_member *member)
{
    return member->capacity > 0 ? member->capacity : 1;
}

static tp_rebalance_options defaults(const tp_rebalance_options *given)
{
    tp_rebalance_options options = *given;
    options.high = options.high > 0 ? options.high : 0.15;
    options.low = options.low > 0 ? options.low : options.high / 3;
    options.patience = options.patience != 0 ? options.patience : 2;
    options.moves = options.moves != 0 ? options.moves : 100;
    options.bytes = options.bytes != 0 ? options.bytes : UINT64_C(64) << 20;
    options.cool_down = options.cool_down != 0 ? options.cool_down : TROUPE_MINUTES(2);
    return options;
}

static void weigh(plan *self)
{
    double turns = 0;
    double memory = 0;
    double actors = 0;
    for (uint32_t i = 0; i < self->member_count; i++) {
        const tp_rebalance_member *member = &self->members[i];
        if (!member->is_out) {
            turns += member->turn_time;
            memory += member->memory;
            actors += member->actors;
            self->capacity += capacity_of(member);
        }
    }
    double weights = (turns > 0 ? WEIGHT_TURNS : 0) + (memory > 0 ? WEIGHT_MEMORY : 0) +
                     (actors > 0 ? WEIGHT_ACTORS : 0);
    self->turns = turns > 0 ? WEIGHT_TURNS / weights / turns : 0;
    self->memory = memory > 0 ? WEIGHT_MEMORY / weights / memory : 0;
    self->actors = actors > 0 ? WEIGHT_ACTORS / weights / actors : 0;
}

static void share_out(plan *self)
{
    for (uint32_t i = 0; i < self->member_count; i++) {
        tp_rebalance_member *member = &self->members[i];
        double part = self->turns * member->turn_time + self->memory * member->memory +
                      self->actors * member->actors;
        member->share = part * self->capacity / capacity_of(member);
        member->measured = member->share;
        member->is_done = false;
    }
}

static double amount_of(const plan *self, const tp_rebalance_sample *sample)
{
    return self->turns * sample->turn_time + self->memory * sample->memory + self->actors;
}

/* What the amount of an actor does to the share of a member. */
static double on(const plan *self, const tp_rebalance_member *member, double amount)
{
    return amount * self->capacity / capacity_of(member);
}

static bool is_beyond(const plan *self, double bound)
{
    for (uint32_t i = 0; i < self->member_count; i++) {
        const tp_rebalance_member *member = &self->members[i];
        bool is_above = member->share > 1 + bound;
        bool is_below = member->share < 1 - bound && member->may_receive;
        if (!member->is_out && (is_above || is_below)) {
            return true;
        }
    }
    return false;
}

static bool is_measured(const plan *self, uint64_t since)
{
    for (uint32_t i = 0; i < self->member_count; i++) {
        if (!self->members[i].is_out && self->members[i].at < since) {
            return false;
        }
    }
    return true;
}

/* Has it been out of balance long enough, or is it still being mended? */
static bool is_uneven(tp_rebalance *state, const plan *self)
{
    if (state->is_active) {
        state->is_active = is_beyond(self, self->options.low);
        return state->is_active;
    }
    state->strikes = is_beyond(self, self->options.high) ? state->strikes + 1 : 0;
    state->is_active = state->strikes >= self->options.patience;
    if (state->is_active) {
        state->strikes = 0;
    }
    return state->is_active;
}

static bool decides_to_move(tp_rebalance *state, const plan *self)
{
    if (!is_measured(self, state->last_moves)) {
        state->verdict = TP_REBALANCE_UNMEASURED;
    } else {
        state->verdict = is_uneven(state, self) ? TP_REBALANCE_UNEVEN : TP_REBALANCE_EVEN;
    }
    return state->verdict == TP_REBALANCE_UNEVEN;
}

static int cheapest_first(const void *a, const void *b)
{
    const tp_rebalance_sample *left = a;
    const tp_rebalance_sample *right = b;
    if (left->member != right->member) {
        return left->member < right->member ? -1 : 1;
    }
    double mine = left->cost * right->share; /* cost per share, without dividing */
    double its = right->cost * left->share;
    if (mine != its) {
        return mine < its ? -1 : 1;
    }
    return left->ref < right->ref ? -1 : left->ref > right->ref;
}

static void price(plan *self)
{
    for (size_t i = 0; i < self->sample_count; i++) {
        tp_rebalance_sample *sample = &self->samples[i];
        sample->share = amount_of(self, sample);
        sample->cost = COST_FIXED + (double)sample->bytes + COST_TURNS * sample->turn_time;
    }
    if (self->sample_count > 1) {
        qsort(self->samples, self->sample_count, sizeof(*self->samples), cheapest_first);
    }
}

/* The part of each target's room that is ours: all of it, or as our excess is to that of all. */
static double own_part(const plan *self)
{
    double all = 0;
    if (self->options.own == TP_REBALANCE_ALL) {
        return 1;
    }
    for (uint32_t i = 0; i < self->member_count; i++) {
        const tp_rebalance_member *member = &self->members[i];
        if (!member->is_out && member->share > 1) {
            all += (member->share - 1) * capacity_of(member);
        }
    }
    const tp_rebalance_member *own = &self->members[self->options.own];
    return all > 0 && own->share > 1 ? (own->share - 1) * capacity_of(own) / all : 0;
}

/* Targets seem that much fuller to who may use a part of their room only. */
static void reserve(plan *self)
{
    double part = own_part(self);
    for (uint32_t i = 0; i < self->member_count; i++) {
        if (self->members[i].share < 1) {
            self->members[i].share = 1 - (1 - self->members[i].share) * part;
        }
    }
}

static bool may_host(const tp_rebalance_member *member, uint32_t type)
{
    return member->may_receive && !member->is_out && type / 64 < member->type_words &&
           ((member->types[type / 64] >> (type % 64)) & 1u) != 0;
}

/* The least loaded that takes it without exceeding 1; the source when there is none. */
static uint32_t find_target(const plan *self, const tp_rebalance_sample *sample)
{
    uint32_t best = sample->member;
    for (uint32_t i = 0; i < self->member_count; i++) {
        const tp_rebalance_member *member = &self->members[i];
        bool takes = i != sample->member && may_host(member, sample->type) &&
                     member->share + on(self, member, sample->share) <= 1 + SLACK;
        if (takes && (best == sample->member || member->share < self->members[best].share)) {
            best = i;
        }
    }
    return best;
}

static bool is_movable(const plan *self, const tp_rebalance_sample *sample)
{
    bool is_cool =
        sample->moved_at == 0 ||
        (self->now >= sample->moved_at && self->now - sample->moved_at >= self->options.cool_down);
    return is_cool && sample->bytes <= self->options.bytes - self->bytes &&
           !self->members[sample->member].is_out;
}

static void add_move(plan *self, const tp_rebalance_sample *sample, uint32_t to)
{
    tp_rebalance_member *source = &self->members[sample->member];
    tp_rebalance_member *target = &self->members[to];
    source->share -= on(self, source, sample->share);
    target->share += on(self, target, sample->share);
    self->bytes += sample->bytes;
    self->moves[self->count++] = (tp_rebalance_move){.ref = sample->ref,
        .from = sample->member,
        .to = to,
        .cost = sample->cost,
        .share = on(self, source, sample->share)};
}

/* Where the samples of a member begin. */
static size_t first_of(const plan *self, uint32_t member)
{
    size_t low = 0;
    size_t high = self->sample_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->samples[middle].member < member) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The most loaded above 1 that has not given yet. */
static uint32_t next_source(const plan *self)
{
    uint32_t best = TP_REBALANCE_ALL;
    for (uint32_t i = 0; i < self->member_count; i++) {
        const tp_rebalance_member *member = &self->members[i];
        bool is_ours = self->options.own == TP_REBALANCE_ALL || i == self->options.own;
        if (is_ours && !member->is_done && !member->is_out && member->share > 1 &&
            (best == TP_REBALANCE_ALL || member->share > self->members[best].share)) {
            best = i;
        }
    }
    return best;
}

/* Shares of a giver only fall and those of targets only rise: what does not fit now never will. */
static void relieve(plan *self, uint32_t source)
{
    tp_rebalance_member *member = &self->members[source];
    size_t i = first_of(self, source);
    for (; i < self->sample_count && self->samples[i].member == source; i++) {
        const tp_rebalance_sample *sample = &self->samples[i];
        if (self->count == self->room || member->share <= 1) {
            break;
        }
        if (is_movable(self, sample) &&
            member->share - on(self, member, sample->share) >= 1 - SLACK) {
            uint32_t target = find_target(self, sample);
            if (target != source) {
                add_move(self, sample, target);
            }
        }
    }
    member->is_done = true;
}

static plan begin(const tp_rebalance_options *options, tp_rebalance_member *members,
    uint32_t member_count, tp_rebalance_sample *samples, size_t sample_count, uint64_t now)
{
    plan self = {.options = defaults(options),
        .members = members,
        .member_count = member_count,
        .samples = samples,
        .sample_count = sample_count,
        .now = now};
    weigh(&self);
    return self;
}

size_t tp_rebalance_plan(tp_rebalance *state, const tp_rebalance_options *options,
    tp_rebalance_member *members, uint32_t member_count, tp_rebalance_sample *samples,
    size_t sample_count, uint64_t now, tp_rebalance_move *ret_moves, size_t room)
{
    plan self = begin(options, members, member_count, samples, sample_count, now);
    self.moves = ret_moves;
    self.room = room < self.options.moves ? room : self.options.moves;
    share_out(&self);
    if (!decides_to_move(state, &self)) {
        return 0;
    }
    price(&self);
    reserve(&self);
    for (;;) {
        uint32_t source = next_source(&self);
        if (source == TP_REBALANCE_ALL || self.count == self.room) {
            break;
        }
        relieve(&self, source);
    }
    if (self.count > 0) {
        state->last_moves = now;
    }
    return self.count;
}

/* ---- pairs ---- */

static int most_first(const void *a, const void *b)
{
    const tp_rebalance_pair *left = a;
    const tp_rebalance_pair *right = b;
    if (left->messages != right->messages) {
        return left->messages > right->messages ? -1 : 1;
    }
    if (left->one != right->one) {
        return left->one < right->one ? -1 : 1;
    }
    return left->two < right->two ? -1 : left->two > right->two;
}

/* links[s] to links[s + 1] - 1 are places, behind the sums, of the pairs of sample s. */
static void link_pairs(
    const plan *self, const tp_rebalance_pair *pairs, size_t pair_count, uint32_t *links)
{
    uint32_t *numbers = links + self->sample_count + 1;
    memset(links, 0, (self->sample_count + 1) * sizeof(*links));
    for (size_t i = 0; i < pair_count; i++) {
        links[pairs[i].one]++;
        links[pairs[i].two]++;
    }
    uint32_t sum = 0;
    for (size_t i = 0; i <= self->sample_count; i++) {
        sum += links[i];
        links[i] = sum; /* the end; filling from behind makes it the begin */
    }
    for (size_t i = pair_count; i-- > 0;) {
        numbers[--links[pairs[i].one]] = (uint32_t)i;
        numbers[--links[pairs[i].two]] = (uint32_t)i;
    }
}

/* Sampled messages that would cross less if the actor lived there. */
static int64_t gain_of(const plan *self, const tp_rebalance_pair *pairs, const uint32_t *links,
    uint32_t actor, uint32_t to)
{
    const uint32_t *numbers = links + self->sample_count + 1;
    uint32_t from = self->samples[actor].member;
    int64_t gain = 0;
    for (uint32_t i = links[actor]; i < links[actor + 1]; i++) {
        const tp_rebalance_pair *pair = &pairs[numbers[i]];
        uint32_t at = self->samples[pair->one == actor ? pair->two : pair->one].member;
        gain += at == to ? (int64_t)pair->messages : 0;
        gain -= at == from ? (int64_t)pair->messages : 0;
    }
    return gain;
}

static bool keeps_balance(const plan *self, const tp_rebalance_sample *sample, uint32_t to)
{
    const tp_rebalance_member *source = &self->members[sample->member];
    const tp_rebalance_member *target = &self->members[to];
    double amount = sample->share;
    return source->share - on(self, source, amount) >= 1 - self->options.low - SLACK &&
           target->share + on(self, target, amount) <= 1 + self->options.low + SLACK;
}

/* Of a pair that two planners see, both let the same one move. */
static bool is_ours(const plan *self, uint32_t actor, uint32_t other)
{
    const tp_rebalance_sample *mine = &self->samples[actor];
    const tp_rebalance_sample *its = &self->samples[other];
    if (self->options.own == TP_REBALANCE_ALL) {
        return true;
    }
    uint64_t both = mine->ref ^ its->ref;
    bool smaller_moves = (tp_prng_split(&both) & 1) != 0;
    return mine->member == self->options.own && (mine->ref < its->ref) == smaller_moves;
}

/* What it would save to bring `actor` to `other`; 0: it may not. */
static int64_t worth(const plan *self, const tp_rebalance_pair *pairs, const uint32_t *links,
    uint32_t actor, uint32_t other)
{
    const tp_rebalance_sample *sample = &self->samples[actor];
    uint32_t to = self->samples[other].member;
    bool may = is_ours(self, actor, other) && is_movable(self, sample) &&
               may_host(&self->members[to], sample->type) && keeps_balance(self, sample, to);
    return may ? gain_of(self, pairs, links, actor, to) : 0;
}

size_t tp_rebalance_pairs(const tp_rebalance_options *options, tp_rebalance_member *members,
    uint32_t member_count, tp_rebalance_sample *samples, size_t sample_count,
    tp_rebalance_pair *pairs, size_t pair_count, uint64_t least, uint64_t now, uint32_t *links,
    tp_rebalance_move *ret_moves, size_t room)
{
    plan self = begin(options, members, member_count, samples, sample_count, now);
    self.moves = ret_moves;
    self.room = room < self.options.moves ? room : self.options.moves;
    for (size_t i = 0; i < sample_count; i++) {
        samples[i].share = amount_of(&self, &samples[i]);
    }
    if (pair_count > 1) {
        qsort(pairs, pair_count, sizeof(*pairs), most_first);
    }
    link_pairs(&self, pairs, pair_count, links);
    for (size_t i = 0; i < pair_count && self.count < self.room; i++) {
        uint32_t one = pairs[i].one;
        uint32_t two = pairs[i].two;
        if (samples[one].member == samples[two].member) {
            continue;
        }
        int64_t first = worth(&self, pairs, links, one, two);
        int64_t second = worth(&self, pairs, links, two, one);
        uint32_t actor = first >= second ? one : two;
        int64_t gain = first >= second ? first : second;
        if (gain > 0 && (uint64_t)gain >= least) {
            uint32_t to = samples[actor == one ? two : one].member;
            add_move(&self, &samples[actor], to);
            samples[actor].member = to;           /* the next ones see it there, */
            samples[actor].moved_at = UINT64_MAX; /* and it does not move again */
        }
    }
    return self.count;
}
