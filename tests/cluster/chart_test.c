/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wakes sleeping actors, from view to view: whoever has more to wake than before looks again.
 *
 * Threads: one.
 */
#include "cluster/chart.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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
        tp_chart_create(tp_allocator_system(), self->view, &self->before), TROUPE_OK);
}

static void follow(charts *self, const tp_view_step *step)
{
    const tp_view *next;
    assert_int_equal(tp_view_follow(tp_allocator_system(), self->view, step, &next), TROUPE_OK);
    tp_view_release(self->view);
    self->view = next;
    assert_int_equal(tp_chart_create(tp_allocator_system(), next, &self->now), TROUPE_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_look_again_that_host_what_who_comes_does_not),
        cmocka_unit_test(who_hosts_all_only_takes_from_others),
        cmocka_unit_test(the_others_look_again_when_one_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
