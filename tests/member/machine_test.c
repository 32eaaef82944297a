/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of membership, step by step, where a test says what happens: what stores do that the
 * worlds of worlds_test.c do not, and allocations that fail. Calls are done at once, on a store in
 * memory, unless the test takes them.
 *
 * Threads: one.
 */
#include "base/alloc.h"
#include "member/perform.h"
#include "providers/member_memory.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TTL  TROUPE_SECONDS(8)
#define MS   TROUPE_MILLISECONDS(1)
#define BOOT TROUPE_HOURS(1)

typedef struct node {
    tp_member *machine;
    tp_member_memory *store;
    troupe_membership *handle;
    uint64_t now;
    uint64_t lease, incarnation;
    unsigned raises, revokes, joined, resumed, suspended;
    bool ended;
    char reason[256];
} node;

static tp_member_options options_of(const troupe_allocator *allocator, uint64_t nonce)
{
    return (tp_member_options){.allocator = allocator,
        .self = {.nonce = nonce,
            .name = troupe_str("one"),
            .address = troupe_str("h:1"),
            .shards = 1},
        .ttl = TTL,
        .stuck_limit = TTL,
        .seed = nonce};
}

static void perform(node *self, const tp_member_effect *effect)
{
    tp_member_outcome outcome;
    switch (effect->kind) {
    case TP_MEMBER_CALL:
        self->raises += effect->op == TP_MEMBER_RAISE;
        self->revokes += effect->op == TP_MEMBER_REVOKE;
        tp_member_perform(self->handle, effect, tp_allocator_system(), &outcome);
        self->now += MS;
        tp_member_answered(self->machine, self->now, &outcome.answer);
        tp_member_outcome_deinit(&outcome);
        break;
    case TP_MEMBER_LEASE:
        self->lease = effect->until;
        break;
    case TP_MEMBER_JOINED:
        self->joined++;
        self->incarnation = effect->incarnation;
        break;
    case TP_MEMBER_RESUMED:
        self->resumed++;
        break;
    case TP_MEMBER_SUSPENDED:
        self->suspended++;
        break;
    case TP_MEMBER_LEFT:
    case TP_MEMBER_DIED:
        self->ended = true;
        snprintf(self->reason, sizeof self->reason, "%s", effect->reason);
        break;
    case TP_MEMBER_INSTALL:
    case TP_MEMBER_PROBE:
    case TP_MEMBER_SAY_VOTE:
    case TP_MEMBER_ASK_JOIN:
        break;
    }
    tp_view_release(effect->view);
}

static void drain(node *self)
{
    tp_member_effect effect;
    while (tp_member_take(self->machine, &effect))
        perform(self, &effect);
}

static void run(node *self, uint64_t time)
{
    uint64_t end = self->now + time;
    while (!self->ended && tp_member_next(self->machine) <= end) {
        uint64_t next = tp_member_next(self->machine);
        self->now = next > self->now ? next : self->now;
        tp_member_tick(self->machine, self->now);
        drain(self);
    }
    self->now = end > self->now ? end : self->now;
}

static troupe_status open_on(node *self, const troupe_allocator *allocator, tp_member_memory *store)
{
    const tp_member_options options = options_of(allocator, 7);
    *self = (node){.now = BOOT, .store = store};
    TROUPE_TRY(tp_member_create(&options, &self->machine));
    assert_int_equal(tp_member_memory_open(store, &self->handle), TROUPE_OK);
    tp_member_start(self->machine, self->now);
    drain(self);
    return TROUPE_OK;
}

static void open_node(node *self)
{
    tp_member_memory *store = NULL;
    assert_int_equal(tp_member_memory_create(tp_allocator_system(), &store), TROUPE_OK);
    assert_int_equal(open_on(self, tp_allocator_system(), store), TROUPE_OK);
    run(self, TTL);
    assert_int_equal(self->incarnation, 1);
    assert_int_equal(self->resumed, 1);
    assert_true(self->lease > self->now);
}

static void close_node(node *self)
{
    tp_member_destroy(self->machine);
    self->handle->close(self->handle);
    tp_member_memory_destroy(self->store);
}

/* Views are put and registers raised beside the machine. */
static void put_view(node *self, const tp_view *view)
{
    static const uint64_t kept[] = {1, 2, 3, 4};
    assert_int_equal(
        self->handle->cas_view(self->handle, TTL, view->number, view->text, kept, 4), TROUPE_OK);
    tp_member_changed(self->machine, self->now);
    drain(self);
}

/* The second member, which nobody runs. */
static void add_member(node *self)
{
    const tp_view_member other = {
        .nonce = 9, .name = troupe_str("two"), .address = troupe_str("h:2"), .shards = 1};
    const tp_view_step step = {.joins = &other, .join_count = 1};
    const tp_view *view = NULL;
    const tp_view *have = tp_member_look(self->machine).view;
    assert_int_equal(tp_view_follow(tp_allocator_system(), have, &step, &view), TROUPE_OK);
    put_view(self, view);
    tp_view_release(view);
    assert_int_equal(tp_member_look(self->machine).view->member_count, 2);
}

static void a_lease_runs_from_before_its_raise(void **state)
{
    node self;
    (void)state;
    open_node(&self);
    assert_true(self.lease <= self.now + TTL / 100 * 99);
    uint64_t before = self.lease;
    run(&self, TTL / 2);
    assert_true(self.lease > before);
    assert_int_equal(self.suspended, 0);
    close_node(&self);
}

static void a_node_without_its_store_is_suspended_and_comes_back(void **state)
{
    node self;
    (void)state;
    open_node(&self);
    tp_member_memory_fail(self.store, TROUPE_UNAVAILABLE);
    run(&self, 5 * TTL);
    assert_int_equal(self.suspended, 1);
    assert_true(self.lease <= self.now);
    assert_false(self.ended);
    tp_member_memory_fail(self.store, TROUPE_OK);
    run(&self, TTL / 4);
    assert_int_equal(self.resumed, 2);
    assert_true(self.lease > self.now);
    close_node(&self);
}

static void a_node_whose_shards_hang_lets_its_lease_run_out(void **state)
{
    node self;
    (void)state;
    open_node(&self);
    uint64_t pass = self.now;
    for (int i = 0; i < 24; i++) {
        run(&self, TTL / 8);
        tp_member_shards(self.machine, self.now, pass);
        drain(&self);
    }
    assert_int_equal(self.suspended, 1);
    unsigned raises = self.raises;
    run(&self, TTL);
    assert_int_equal(self.raises, raises);
    tp_member_shards(self.machine, self.now, self.now);
    run(&self, TTL / 4);
    assert_int_equal(self.resumed, 2);
    close_node(&self);
}

static void the_dead_are_revoked_and_removed_in_time(void **state)
{
    node self;
    (void)state;
    open_node(&self);
    add_member(&self);
    uint64_t began = self.now;
    run(&self, TTL);
    assert_int_equal(self.revokes, 0);
    while (tp_member_look(self.machine).view->member_count == 2 && self.now < began + 2 * TTL)
        run(&self, TTL / 16);
    assert_int_equal(self.revokes, 1);
    assert_int_equal(tp_member_look(self.machine).view->member_count, 1);
    assert_true(self.now - began >= TTL / 100 * 101);
    assert_true(self.now - began <= TTL + TTL / 2);
    close_node(&self);
}

static void a_holder_that_has_ended_is_removed_when_the_watch_tells(void **state)
{
    troupe_membership *holder = NULL;
    node self;
    (void)state;
    open_node(&self);
    tp_member_memory_tell_ends(self.store, true);
    add_member(&self);
    assert_int_equal(tp_member_memory_open(self.store, &holder), TROUPE_OK);
    assert_int_equal(holder->raise(holder, TTL, 2, 0), TROUPE_OK);
    run(&self, TTL / 4);
    assert_int_equal(tp_member_look(self.machine).view->member_count, 2);
    uint64_t began = self.now;
    holder->close(holder);
    tp_member_changed(self.machine, self.now);
    drain(&self);
    assert_int_equal(self.revokes, 1);
    assert_int_equal(tp_member_look(self.machine).view->member_count, 1);
    assert_true(self.now - began <= 10 * MS); /* of calls: no time of the machine's own */
    close_node(&self);
}

static void after_another_run_of_the_store_nobody_is_revoked_for_a_ttl(void **state)
{
    node self;
    (void)state;
    open_node(&self);
    add_member(&self);
    run(&self, TTL - TTL / 8);
    tp_member_memory_restart(self.store);
    run(&self, TTL - TTL / 8);
    assert_int_equal(self.revokes, 0);
    run(&self, TTL);
    assert_int_equal(self.revokes, 1);
    close_node(&self);
}

static void expect_went_back(node *self)
{
    run(self, TTL);
    assert_true(self->ended);
    assert_non_null(strstr(self->reason, "went back"));
    assert_int_equal(self->lease, 0);
    assert_int_equal(tp_member_next(self->machine), UINT64_MAX);
}

static void who_sees_the_view_fall_or_change_stops(void **state)
{
    node self;
    const tp_member_options other = options_of(tp_allocator_system(), 99);
    tp_member *stranger = NULL;
    (void)state;
    open_node(&self); /* another store, with nothing in it */
    tp_member_memory *old = self.store;
    self.handle->close(self.handle);
    assert_int_equal(tp_member_memory_create(tp_allocator_system(), &self.store), TROUPE_OK);
    assert_int_equal(tp_member_memory_open(self.store, &self.handle), TROUPE_OK);
    assert_int_equal(self.handle->raise(self.handle, TTL, 1, 0), TROUPE_OK);
    expect_went_back(&self);
    close_node(&self);
    tp_member_memory_destroy(old);
    open_node(&self); /* another one, with another view of that number */
    old = self.store;
    self.handle->close(self.handle);
    assert_int_equal(tp_member_memory_create(tp_allocator_system(), &self.store), TROUPE_OK);
    assert_int_equal(tp_member_memory_open(self.store, &self.handle), TROUPE_OK);
    assert_int_equal(self.handle->raise(self.handle, TTL, 1, 0), TROUPE_OK);
    assert_int_equal(tp_member_create(&other, &stranger), TROUPE_OK);
    troupe_slice text = tp_member_candidate(stranger)->text;
    assert_int_equal(
        self.handle->cas_view(self.handle, TTL, 1, text, (uint64_t[]){1}, 1), TROUPE_OK);
    expect_went_back(&self);
    tp_member_destroy(stranger);
    close_node(&self);
    tp_member_memory_destroy(old);
}

static void a_node_that_leaves_goes_by_three_views(void **state)
{
    node self;
    (void)state;
    open_node(&self);
    tp_member_leave(self.machine, self.now);
    drain(&self);
    run(&self, 2 * TTL); /* until it has handed over, it stays */
    assert_int_equal(tp_member_look(self.machine).view->members[0].status, TP_VIEW_LEAVING);
    assert_true(self.lease > self.now);
    tp_member_emptied(self.machine, self.now);
    drain(&self);
    assert_int_equal(tp_member_look(self.machine).view->members[0].status, TP_VIEW_EMPTY);
    run(&self, TTL);
    assert_true(self.ended);
    assert_non_null(strstr(self.reason, "left"));
    assert_int_equal(self.lease, 0);
    close_node(&self);
}

/* Whatever allocation fails, the node joins, a little later. */
static void a_lack_of_memory_only_delays(void **state)
{
    (void)state;
    for (uint64_t i = 1; i < 60; i++) {
        failing memory;
        node self;
        tp_member_memory *store = NULL;
        failing_init(&memory);
        memory.fail_from = i;
        memory.fail_count = 3;
        assert_int_equal(tp_member_memory_create(tp_allocator_system(), &store), TROUPE_OK);
        if (open_on(&self, &memory.allocator, store) != TROUPE_OK) {
            assert_int_equal(memory.bytes, 0);
            tp_member_memory_destroy(store);
            continue;
        }
        run(&self, 3 * TTL);
        assert_int_equal(self.joined, 1);
        assert_true(self.lease > self.now);
        add_member(&self);
        run(&self, 3 * TTL);
        assert_int_equal(tp_member_look(self.machine).view->member_count, 1);
        close_node(&self);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_runs_from_before_its_raise),
        cmocka_unit_test(a_node_without_its_store_is_suspended_and_comes_back),
        cmocka_unit_test(a_node_whose_shards_hang_lets_its_lease_run_out),
        cmocka_unit_test(the_dead_are_revoked_and_removed_in_time),
        cmocka_unit_test(a_holder_that_has_ended_is_removed_when_the_watch_tells),
        cmocka_unit_test(after_another_run_of_the_store_nobody_is_revoked_for_a_ttl),
        cmocka_unit_test(who_sees_the_view_fall_or_change_stops),
        cmocka_unit_test(a_node_that_leaves_goes_by_three_views),
        cmocka_unit_test(a_lack_of_memory_only_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
