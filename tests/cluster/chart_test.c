/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a member makes of a view that follows another: who wakes sleeping actors (whoever has more
 * to wake than before looks again), also of views by chance; and who has gone.
 *
 * Threads: one.
 */
#include "cluster/chart.h"

#include "base/alloc.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HASHES 1000

enum { CART = 1, USER = 2 };

typedef struct charts {
    const tp_view *view;
    tp_chart *before, *now;
} charts;

static tp_view_member candidate(const char *name, int hosts)
{
    static const troupe_slice types[] = {{"cart", 4}, {"user", 4}};
    return (tp_view_member){.nonce = (unsigned char)name[0],
        .name = troupe_str(name),
        .address = troupe_str("127.0.0.1:7000"),
        .shards = 1,
        .types = hosts == USER ? types + 1 : types,
        .type_count = hosts == (CART | USER) ? 2 : 1};
}

/* Two that host both, and one that hosts users only. */
static void begin(charts *self)
{
    static const unsigned char secret[TP_VIEW_SECRET] = {1};
    const tp_view_member joins[] = {
        candidate("home", CART | USER), candidate("other", CART | USER), candidate("users", USER)};
    *self = (charts){NULL, NULL, NULL};
    assert_int_equal(tp_view_begin(tp_allocator_system(), TROUPE_SECONDS(9), secret,
                         &(tp_view_step){.joins = joins, .join_count = 3}, &self->view),
        TROUPE_OK);
    assert_int_equal(
        tp_chart_create(tp_allocator_system(), self->view, NULL, &self->before), TROUPE_OK);
}

static void follow(charts *self, const tp_view_step *step)
{
    const tp_view *next;
    assert_int_equal(tp_view_follow(tp_allocator_system(), self->view, step, &next), TROUPE_OK);
    tp_view_release(self->view);
    self->view = next;
    assert_int_equal(
        tp_chart_create(tp_allocator_system(), next, self->before, &self->now), TROUPE_OK);
}

static void joins(charts *self, const char *name, int hosts)
{
    const tp_view_member member = candidate(name, hosts);
    follow(self, &(tp_view_step){.joins = &member, .join_count = 1});
}

static void end(charts *self)
{
    tp_chart_release(self->before);
    tp_chart_release(self->now);
    tp_view_release(self->view);
}

static uint64_t incarnation_of(const charts *self, const char *name)
{
    const tp_view *view = self->view;
    for (size_t i = 0; i < view->member_count; i++)
        if (troupe_slice_equal(view->members[i].name, troupe_str(name)))
            return view->members[i].incarnation;
    fail_msg("no member %s", name);
    return 0;
}

/* Of how many hashes of that type it is to wake the actors, and was not. */
static unsigned gains(const charts *self, const char *name, const char *type)
{
    unsigned count = 0;
    uint64_t who = incarnation_of(self, name);
    for (uint64_t i = 0; i < HASHES; i++) {
        uint64_t hash = tp_index_mix(i + 1);
        count += tp_chart_wakes(self->now, who, troupe_str(type), hash) &&
                 !tp_chart_wakes(self->before, who, troupe_str(type), hash);
    }
    return count;
}

static bool looks(const charts *self, const char *name)
{
    return tp_chart_wakes_more(self->now, self->before, incarnation_of(self, name));
}

/* ---- promises -------------------------------------------------------------------------------- */

static void those_look_again_that_host_what_who_comes_does_not(void **state)
{
    (void)state;
    charts at;
    begin(&at);
    joins(&at, "late", USER);
    assert_true(gains(&at, "home", "cart") != 0);
    assert_true(gains(&at, "other", "cart") != 0);
    assert_true(looks(&at, "home"));
    assert_true(looks(&at, "other"));
    assert_int_equal(gains(&at, "users", "user"), 0);
    assert_false(looks(&at, "users"));
    assert_true(looks(&at, "late"));
    end(&at);
}

static void who_hosts_all_only_takes_from_others(void **state)
{
    (void)state;
    static const char *const names[] = {"home", "other", "users"};
    charts at;
    begin(&at);
    joins(&at, "late", CART | USER);
    assert_true(gains(&at, "late", "cart") != 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(gains(&at, names[i], "cart"), 0);
        assert_int_equal(gains(&at, names[i], "user"), 0);
        assert_false(looks(&at, names[i]));
    }
    end(&at);
}

static void the_others_look_again_when_one_leaves(void **state)
{
    (void)state;
    charts at;
    begin(&at);
    const tp_view_change leaves = {
        .incarnation = incarnation_of(&at, "home"), .what = TP_VIEW_BEGAN_LEAVING};
    follow(&at, &(tp_view_step){.changes = &leaves, .change_count = 1});
    assert_true(gains(&at, "other", "cart") != 0);
    assert_true(gains(&at, "users", "user") != 0);
    assert_true(looks(&at, "other"));
    assert_true(looks(&at, "users"));
    end(&at);
}

/* ---- views by chance ------------------------------------------------------------------------- */

enum { TYPES = 3, PEOPLE = 7, TOWNS = 400, LOOKED_AT = 200 };

static const troupe_slice some_types[TYPES] = {{"cart", 4}, {"desk", 4}, {"user", 4}};

typedef struct town {
    tp_prng prng;
    const tp_view *view;
    uint64_t nonces;
    troupe_slice hosted[PEOPLE][TYPES];
    char names[PEOPLE][8];
} town;

static uint64_t below(town *self, uint64_t bound)
{
    return tp_prng_below(&self->prng, bound);
}

/* Who comes hosts some types, at least one. */
static size_t draw_joins(town *self, size_t most, tp_view_member joins[PEOPLE])
{
    size_t count = (size_t)below(self, most + 1);
    for (size_t i = 0; i < count; i++) {
        unsigned hosts = 1 + (unsigned)below(self, (1u << TYPES) - 1);
        joins[i] = (tp_view_member){.nonce = ++self->nonces,
            .name = {self->names[i], 0},
            .address = troupe_str("127.0.0.1:7000"),
            .shards = 1,
            .types = self->hosted[i]};
        (void)snprintf(self->names[i], sizeof self->names[i], "n%u", (unsigned)self->nonces);
        joins[i].name.size = strlen(self->names[i]);
        for (size_t k = 0; k < TYPES; k++)
            if (hosts >> k & 1)
                self->hosted[i][joins[i].type_count++] = some_types[k];
    }
    return count;
}

/* Who is there may go a step further, or be put out. */
static size_t draw_changes(town *self, tp_view_change changes[PEOPLE])
{
    static const tp_view_what after[] = {[TP_VIEW_ACTIVE] = TP_VIEW_BEGAN_LEAVING,
        [TP_VIEW_LEAVING] = TP_VIEW_BECAME_EMPTY,
        [TP_VIEW_EMPTY] = TP_VIEW_LEFT};
    size_t count = 0;
    for (size_t i = 0; i < self->view->member_count; i++) {
        const tp_view_member *member = &self->view->members[i];
        uint64_t drawn = below(self, 8);
        if (drawn > 1)
            continue;
        changes[count++] = (tp_view_change){.incarnation = member->incarnation,
            .what = drawn == 0 ? TP_VIEW_REVOKED : after[member->status]};
    }
    return count;
}

static tp_chart *chart_of(const tp_view *view)
{
    tp_chart *chart;
    assert_int_equal(tp_chart_create(tp_allocator_system(), view, NULL, &chart), TROUPE_OK);
    return chart;
}

static void step_on(town *self)
{
    tp_view_member joins[PEOPLE];
    tp_view_change changes[PEOPLE];
    const tp_view *next;
    size_t room = PEOPLE - self->view->member_count;
    tp_view_step step = {.joins = joins, .changes = changes};
    step.join_count = draw_joins(self, room, joins);
    step.change_count = draw_changes(self, changes);
    assert_int_equal(tp_view_follow(tp_allocator_system(), self->view, &step, &next), TROUPE_OK);
    tp_view_release(self->view);
    self->view = next;
}

static bool gains_any(const tp_chart *before, const tp_chart *now, uint64_t who)
{
    for (uint64_t i = 0; i < LOOKED_AT * TYPES; i++) {
        uint64_t hash = tp_index_mix(i + 1);
        if (tp_chart_wakes(now, who, some_types[i % TYPES], hash) &&
            !tp_chart_wakes(before, who, some_types[i % TYPES], hash))
            return true;
    }
    return false;
}

static void begin_town(town *self, uint64_t seed)
{
    static const unsigned char secret[TP_VIEW_SECRET] = {1};
    tp_view_member joins[PEOPLE];
    *self = (town){.nonces = 0};
    tp_prng_seed(&self->prng, seed);
    tp_view_step step = {.joins = joins};
    while (step.join_count == 0)
        step.join_count = draw_joins(self, PEOPLE, joins);
    assert_int_equal(
        tp_view_begin(tp_allocator_system(), TROUPE_SECONDS(9), secret, &step, &self->view),
        TROUPE_OK);
}

/* Between two views that a member has there may be others that it never saw. */
static void whoever_gains_something_to_wake_looks_again(void **state)
{
    (void)state;
    unsigned gained = 0, rested = 0;
    for (uint64_t seed = 0; seed < TOWNS; seed++) {
        town self;
        begin_town(&self, seed);
        for (uint64_t i = below(&self, 4); i > 0; i--)
            step_on(&self);
        tp_chart *before = chart_of(self.view);
        for (uint64_t i = below(&self, 3) + 1; i > 0; i--)
            step_on(&self);
        tp_chart *now = chart_of(self.view);
        for (size_t i = 0; i < self.view->member_count; i++) {
            uint64_t who = self.view->members[i].incarnation;
            bool gains = gains_any(before, now, who);
            bool looks_again = tp_chart_wakes_more(now, before, who);
            if (gains && !looks_again)
                fail_msg("seed %u: member %u does not look for what it gained", (unsigned)seed,
                    (unsigned)who);
            gained += gains;
            rested += !looks_again;
        }
        tp_chart_release(before);
        tp_chart_release(now);
        tp_view_release(self.view);
    }
    assert_true(gained > TOWNS / 2);
    assert_true(rested > TOWNS / 20); /* or it would say nothing that all look always */
}

/* ---- who has gone ---------------------------------------------------------------------------- */

typedef struct heard {
    uint64_t list[2 * TP_VIEW_CHANGES];
    size_t count;
} heard;

static void hear(void *user, uint64_t incarnation)
{
    heard *self = user;
    assert_true(self->count < sizeof self->list / sizeof self->list[0]);
    self->list[self->count++] = incarnation;
}

static unsigned times_heard(const heard *self, uint64_t incarnation)
{
    unsigned count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->list[i] == incarnation;
    return count;
}

static void goes(charts *self, uint64_t incarnation)
{
    const tp_view_change goes = {.incarnation = incarnation, .what = TP_VIEW_REVOKED};
    tp_chart_release(self->now);
    follow(self, &(tp_view_step){.changes = &goes, .change_count = 1});
}

/* The view lists the last 64 changes, and this member had no view for longer. */
static void one_that_went_more_changes_ago_than_a_view_lists_is_heard_of(void **state)
{
    (void)state;
    charts at;
    begin(&at);
    uint64_t home = incarnation_of(&at, "home"), other = incarnation_of(&at, "other");
    goes(&at, home);
    for (int i = 0; i < TP_VIEW_CHANGES; i++) {
        tp_chart_release(at.now);
        joins(&at, "late", USER);
        goes(&at, incarnation_of(&at, "late"));
    }
    goes(&at, other);
    assert_false(tp_view_can_follow(at.view, at.before->view.number));
    heard all = {.count = 0};
    tp_chart_each_gone(at.before, at.view, hear, &all);
    assert_int_equal(times_heard(&all, home), 1);
    assert_int_equal(times_heard(&all, other), 1);
    assert_int_equal(times_heard(&all, incarnation_of(&at, "users")), 0);
    /* Who joins has no view before: it hears of those that are listed. */
    all.count = 0;
    tp_chart_each_gone(NULL, at.view, hear, &all);
    assert_int_equal(times_heard(&all, home), 0);
    assert_int_equal(times_heard(&all, other), 1);
    end(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_look_again_that_host_what_who_comes_does_not),
        cmocka_unit_test(who_hosts_all_only_takes_from_others),
        cmocka_unit_test(the_others_look_again_when_one_leaves),
        cmocka_unit_test(whoever_gains_something_to_wake_looks_again),
        cmocka_unit_test(one_that_went_more_changes_ago_than_a_view_lists_is_heard_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
