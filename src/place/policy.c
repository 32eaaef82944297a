/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies of place/policy.h: filter, then choose.
 *
 * Invariants and threads: see place/policy.h.
 */
#include "place/policy.h"

typedef struct field {
    tp_placer *placer;
    const tp_placement_policy *policy;
    const tp_placement_ask *ask;
    const tp_placement_table *table;
    uint32_t count; /* of candidates, in table->room */
} field;

static const char *const names[] = {
#define NAME(name, text) [TP_PLACEMENT_##name] = (text),
    TP_PLACEMENT_MAP(NAME)
#undef NAME
};

void tp_placer_init(tp_placer *placer, uint64_t seed)
{
    *placer = (tp_placer){0};
    tp_prng_seed(&placer->chance, seed);
}

const char *tp_placement_name(tp_placement_kind kind)
{
    return names[kind];
}

bool tp_placement_parse(troupe_slice name, tp_placement_kind *ret_kind)
{
    for (int kind = 0; kind < TP_PLACEMENT_KINDS; kind++) {
        if (troupe_slice_equal(name, troupe_str(names[kind]))) {
            *ret_kind = (tp_placement_kind)kind;
            return true;
        }
    }
    return false;
}

const char *tp_placement_reason(tp_placement_result result)
{
    switch (result) {
    case TP_PLACEMENT_NO_HOST:
        return "no member hosts this type: start a node that registers it";
    case TP_PLACEMENT_LEAVING:
        return "the members that host this type are all leaving: start another, or wait";
    case TP_PLACEMENT_NO_LABELS:
        return "no member that hosts this type has the labels its placement requires: start one "
               "with them, or mend `placement` of the type";
    case TP_PLACEMENT_CHOSEN:
        break;
    }
    return "a member was chosen";
}

static const tp_placement_member *candidate(const field *self, uint32_t i)
{
    return &self->table->members[self->table->room[i]];
}

static tp_placement_result filter(field *self)
{
    tp_placement_result result = TP_PLACEMENT_NO_HOST;
    for (uint32_t i = 0; i < self->table->count; i++) {
        const tp_placement_member *member = &self->table->members[i];
        tp_placement_result why = TP_PLACEMENT_CHOSEN;
        if (!tp_placement_hosts(member->types, member->type_words, self->ask->type)) {
            continue;
        }
        if (member->status != TP_MEMBER_ACTIVE) {
            why = TP_PLACEMENT_LEAVING;
        } else if (!tp_selector_holds(
                       self->policy->selector, member->labels, member->label_count)) {
            why = TP_PLACEMENT_NO_LABELS;
        } else {
            self->table->room[self->count++] = i;
        }
        result = result == TP_PLACEMENT_NO_LABELS ? result : why;
    }
    return self->count > 0 ? TP_PLACEMENT_CHOSEN : result;
}

static uint32_t any(field *self)
{
    return (uint32_t)tp_prng_below(&self->placer->chance, self->count);
}

/* Keeps the candidates for which `keeps` holds, if there are any. False: there are none. */
static bool narrow(field *self,
    bool (*keeps)(const field *self, const tp_placement_member *member, uint64_t bound),
    uint64_t bound)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        count += keeps(self, candidate(self, i), bound);
    }
    if (count == 0) {
        return false;
    }
    count = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        if (keeps(self, candidate(self, i), bound)) {
            self->table->room[count++] = self->table->room[i];
        }
    }
    self->count = count;
    return true;
}

static bool is_within(const field *self, const tp_placement_member *member, uint64_t bound)
{
    (void)self;
    return member->distance != 0 && member->distance <= bound;
}

static uint32_t prefer_local(field *self)
{
    uint64_t nearest = UINT64_MAX;
    for (uint32_t i = 0; i < self->count; i++) {
        const tp_placement_member *member = candidate(self, i);
        if (member->is_self) {
            return i;
        }
        if (member->distance != 0 && member->distance < nearest) {
            nearest = member->distance;
        }
    }
    if (nearest != UINT64_MAX) {
        narrow(self, is_within, nearest < UINT64_MAX / 2 ? nearest * 2 : UINT64_MAX);
    }
    return any(self);
}

static uint32_t consistent(const field *self)
{
    for (size_t i = 0; i < self->ask->ring_count; i++) {
        for (uint32_t j = 0; j < self->count; j++) {
            if (self->table->room[j] == self->ask->ring[i]) {
                return j;
            }
        }
    }
    uint32_t best = 0;
    uint64_t highest = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        uint64_t state = self->ask->hash ^ candidate(self, i)->incarnation;
        uint64_t score = tp_prng_split(&state);
        if (score >= highest) {
            highest = score;
            best = i;
        }
    }
    return best;
}

static bool is_fresh(const field *self, const tp_placement_member *member, uint64_t bound)
{
    uint64_t at = member->load.at;
    return at != 0 && (at >= self->ask->now || self->ask->now - at <= bound);
}

static uint32_t used(const tp_placement_member *member)
{
    const tp_load *load = &member->load;
    return load->busy > load->memory ? load->busy : load->memory;
}

static bool is_less_loaded(const tp_placement_member *left, const tp_placement_member *right)
{
    uint32_t mine = used(left);
    uint32_t its = used(right);
    uint32_t apart = mine > its ? mine - its : its - mine;
    if (apart >= TP_PLACEMENT_NEAR) {
        return mine < its;
    }
    return left->load.actors + left->load.placed < right->load.actors + right->load.placed;
}

static uint32_t least_loaded(field *self)
{
    uint64_t max_age = self->policy->max_age != 0 ? self->policy->max_age : TP_PLACEMENT_MAX_AGE;
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        fresh += is_fresh(self, candidate(self, i), max_age);
    }
    if (fresh < 2) { /* one fresh hint would draw everything to it */
        return any(self);
    }
    narrow(self, is_fresh, max_age);
    uint32_t one = any(self);
    uint32_t two = (uint32_t)tp_prng_below(&self->placer->chance, self->count - 1);
    two += two >= one;
    return is_less_loaded(candidate(self, two), candidate(self, one)) ? two : one;
}

/* Of a user: an index of the candidates; or TP_PLACEMENT_DEFAULT. */
static int ask_user(field *self)
{
    if (self->policy->custom == NULL) {
        return TP_PLACEMENT_DEFAULT;
    }
    int answer = self->policy->custom(
        self->ask, self->table->members, self->table->room, self->count, self->policy->user);
    if (answer >= 0 && (uint32_t)answer < self->count) {
        return answer;
    }
    self->placer->wrong += answer != TP_PLACEMENT_DEFAULT;
    return TP_PLACEMENT_DEFAULT;
}

static uint32_t choose(field *self)
{
    tp_placement_kind kind = self->policy->kind;
    if (kind == TP_PLACEMENT_CUSTOM) {
        int answer = ask_user(self);
        if (answer >= 0) {
            return (uint32_t)answer;
        }
        kind = self->policy->otherwise;
    }
    switch (kind) {
    case TP_PLACEMENT_PREFER_LOCAL:
        return prefer_local(self);
    case TP_PLACEMENT_ROUND_ROBIN:
        return (uint32_t)(self->placer->turn++ % self->count);
    case TP_PLACEMENT_CONSISTENT_HASH:
        return consistent(self);
    case TP_PLACEMENT_LEAST_LOADED:
    case TP_PLACEMENT_LABELS:
        return least_loaded(self);
    case TP_PLACEMENT_RANDOM:
    case TP_PLACEMENT_CUSTOM:
    case TP_PLACEMENT_KINDS:
        break;
    }
    return any(self);
}

tp_placement_result tp_placement_choose(tp_placer *placer, const tp_placement_policy *policy,
    const tp_placement_ask *ask, const tp_placement_table *table, uint32_t *ret_position)
{
    field self = {placer, policy, ask, table, 0};
    tp_placement_result result = filter(&self);
    if (result == TP_PLACEMENT_CHOSEN) {
        *ret_position = table->room[choose(&self)];
    }
    return result;
}
