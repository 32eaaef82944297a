/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: their text, their steps, what a parser refuses, and what happens without memory.
 *
 * Threads: one.
 */
#include "member/view.h"

#include "base/alloc.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TTL TROUPE_SECONDS(9)

static const unsigned char secret[TP_VIEW_SECRET] = {1, 2, 3, 0xAB};
static const troupe_slice types[] = {{"cart", 4}, {"user", 4}};
static const tp_view_label labels[] = {{{"gpu", 3}, {"true", 4}}, {{"zone", 4}, {"", 0}}};

static tp_view_member candidate(uint64_t nonce, const char *name)
{
    return (tp_view_member){.nonce = nonce,
        .name = troupe_str(name),
        .address = troupe_str("127.0.0.1:7000"),
        .shards = 2,
        .types = types,
        .type_count = 1 + nonce % 2,
        .labels = labels,
        .label_count = nonce % 3};
}

static const tp_view *begin(const char *name)
{
    const tp_view *view = NULL;
    tp_view_member join = candidate(1, name);
    assert_int_equal(tp_view_begin(tp_allocator_system(), TTL, secret,
                         &(tp_view_step){.joins = &join, .join_count = 1}, &view),
        TROUPE_OK);
    return view;
}

/* Takes the reference of `view`. */
static const tp_view *follow(const tp_view *view, const tp_view_step *step)
{
    const tp_view *next = NULL;
    assert_int_equal(tp_view_follow(tp_allocator_system(), view, step, &next), TROUPE_OK);
    tp_view_release(view);
    return next;
}

static const tp_view *join(const tp_view *view, uint64_t nonce, const char *name)
{
    tp_view_member member = candidate(nonce, name);
    return follow(view, &(tp_view_step){.joins = &member, .join_count = 1});
}

static const tp_view *change(const tp_view *view, uint64_t incarnation, tp_view_what what)
{
    const tp_view_change one = {.incarnation = incarnation, .what = what};
    return follow(view, &(tp_view_step){.changes = &one, .change_count = 1});
}

static const tp_view *parse(troupe_slice text, uint64_t number)
{
    char error[256] = "";
    const tp_view *view = NULL;
    if (tp_view_parse(tp_allocator_system(), number, text, &view, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    return view;
}

static void expect_same_members(const tp_view *a, const tp_view *b)
{
    assert_int_equal(a->member_count, b->member_count);
    for (size_t i = 0; i < a->member_count; i++) {
        const tp_view_member *x = &a->members[i], *y = &b->members[i];
        assert_int_equal(x->incarnation, y->incarnation);
        assert_int_equal(x->joined, y->joined);
        assert_int_equal(x->nonce, y->nonce);
        assert_int_equal(x->status, y->status);
        assert_int_equal(x->shards, y->shards);
        assert_true(troupe_slice_equal(x->name, y->name));
        assert_true(troupe_slice_equal(x->address, y->address));
        assert_int_equal(x->type_count, y->type_count);
        for (size_t k = 0; k < x->type_count; k++)
            assert_true(troupe_slice_equal(x->types[k], y->types[k]));
        assert_int_equal(x->label_count, y->label_count);
        for (size_t k = 0; k < x->label_count; k++) {
            assert_true(troupe_slice_equal(x->labels[k].name, y->labels[k].name));
            assert_true(troupe_slice_equal(x->labels[k].value, y->labels[k].value));
        }
    }
}

static const tp_view *make_some(void)
{
    const tp_view *view = begin("node-1");
    const tp_view_member two[] = {candidate(5, "node \"2\"\\"), candidate(8, "node-3")};
    view = follow(view, &(tp_view_step){.joins = two, .join_count = 2});
    return change(view, 2, TP_VIEW_BEGAN_LEAVING);
}

static void a_text_gives_the_same_view_again(void **state)
{
    (void)state;
    const tp_view *view = make_some(), *again = parse(view->text, view->number);
    assert_int_equal(view->number, 3);
    assert_int_equal(again->since, 0);
    assert_int_equal(again->next_incarnation, 4);
    assert_int_equal(again->ttl, TTL);
    assert_memory_equal(again->secret, secret, sizeof secret);
    assert_true(troupe_slice_equal(view->text, again->text));
    expect_same_members(view, again);
    assert_int_equal(again->change_count, 4);
    assert_int_equal(again->changes[3].view, 3);
    assert_int_equal(again->changes[3].incarnation, 2);
    assert_int_equal(again->changes[3].what, TP_VIEW_BEGAN_LEAVING);
    const tp_view *next = join(tp_view_retain(view), 11, "x");
    const tp_view *next_again = join(tp_view_retain(again), 11, "x");
    assert_true(troupe_slice_equal(next->text, next_again->text));
    tp_view_release(next);
    tp_view_release(next_again);
    tp_view_release(view);
    tp_view_release(again);
}

static void members_are_found_by_incarnation_nonce_and_name(void **state)
{
    (void)state;
    const tp_view *view = join(join(begin("a"), 2, "b"), 3, "a");
    assert_int_equal(tp_view_find(view, 2)->nonce, 2);
    assert_null(tp_view_find(view, 0));
    assert_null(tp_view_find(view, 4));
    assert_int_equal(tp_view_find_nonce(view, 3)->incarnation, 3);
    assert_int_equal(tp_view_find_name(view, troupe_str("a"))->incarnation, 3);
    assert_null(tp_view_find_name(view, troupe_str("c")));
    tp_view_release(view);
}

static void incarnations_are_never_used_again(void **state)
{
    (void)state;
    const tp_view *view = begin("a");
    for (uint64_t i = 2; i < 50; i++) {
        view = join(view, i, "b");
        assert_int_equal(tp_view_find_nonce(view, i)->incarnation, i);
        assert_int_equal(tp_view_find_nonce(view, i)->joined, view->number);
        view = change(view, i, TP_VIEW_REVOKED);
        assert_null(tp_view_find(view, i));
    }
    tp_view_release(view);
}

static void leaving_has_its_steps(void **state)
{
    (void)state;
    const tp_view *view = join(begin("a"), 2, "b");
    view = change(view, 2, TP_VIEW_BEGAN_LEAVING);
    assert_int_equal(tp_view_find(view, 2)->status, TP_VIEW_LEAVING);
    view = change(view, 2, TP_VIEW_BECAME_EMPTY);
    assert_int_equal(tp_view_find(view, 2)->status, TP_VIEW_EMPTY);
    view = change(view, 2, TP_VIEW_LEFT);
    assert_null(tp_view_find(view, 2));
    view = change(view, 1, TP_VIEW_LEFT);
    assert_int_equal(view->member_count, 0);
    view = join(view, 3, "c");
    assert_int_equal(view->members[0].incarnation, 3);
    tp_view_release(view);
}

static void changes_reach_back_in_whole_views(void **state)
{
    (void)state;
    const tp_view *view = begin("a");
    for (uint64_t i = 2; i < 300; i += 3) {
        const tp_view_member three[] = {
            candidate(i, "x"), candidate(i + 1, "y"), candidate(i + 2, "z")};
        view = follow(view, &(tp_view_step){.joins = three, .join_count = 3});
        assert_true(view->change_count <= TP_VIEW_CHANGES);
        assert_true(view->since == 0 || view->change_count > TP_VIEW_CHANGES - 3);
        assert_int_equal(view->changes[0].view, view->since + 1);
        assert_true(tp_view_can_follow(view, view->since));
        assert_false(view->since > 0 && tp_view_can_follow(view, view->since - 1));
    }
    tp_view_member all[100];
    for (uint64_t i = 0; i < 100; i++)
        all[i] = candidate(1000 + i, "many");
    view = follow(view, &(tp_view_step){.joins = all, .join_count = 100});
    assert_int_equal(view->change_count, 100);
    assert_int_equal(view->since, view->number - 1);
    const tp_view *again = parse(view->text, view->number);
    assert_int_equal(again->change_count, 100);
    tp_view_release(again);
    tp_view_release(view);
}

static void a_candidate_that_is_there_is_not_admitted_twice(void **state)
{
    (void)state;
    const tp_view *view = begin("a");
    const tp_view_member two[] = {candidate(1, "a"), candidate(2, "b")};
    view = follow(view, &(tp_view_step){.joins = two, .join_count = 2});
    assert_int_equal(view->member_count, 2);
    tp_view_release(view);
}

static void expect_refused_join(tp_view_member member)
{
    const tp_view *view = begin("a"), *next = NULL;
    assert_int_equal(tp_view_follow(tp_allocator_system(), view,
                         &(tp_view_step){.joins = &member, .join_count = 1}, &next),
        TROUPE_USAGE);
    assert_null(next);
    tp_view_release(view);
}

static void what_breaks_a_limit_does_not_join(void **state)
{
    (void)state;
    const tp_view_label twice[] = {{{"a", 1}, {"x", 1}}, {{"a", 1}, {"y", 1}}};
    tp_view_member member = candidate(2, "");
    expect_refused_join(member);
    expect_refused_join(candidate(0, "b"));
    expect_refused_join(candidate(UINT64_MAX, "b"));
    expect_refused_join(candidate(2, "line\nbreak"));
    member = candidate(2, "b");
    member.address = (troupe_slice){NULL, 0};
    expect_refused_join(member);
    member = candidate(2, "b");
    member.shards = 257;
    expect_refused_join(member);
    member = candidate(2, "b");
    member.labels = twice;
    member.label_count = 2;
    expect_refused_join(member);
}

/* The text with the first `from` replaced by `to` does not parse, and the error names `word`. */
static void expect_corrupt(const char *from, const char *to, const char *word)
{
    char error[256] = "";
    const tp_view *view = make_some(), *none = NULL;
    const char *text = view->text.data, *at = strstr(text, from);
    assert_non_null(at);
    size_t size = view->text.size - strlen(from) + strlen(to);
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    snprintf(copy, size + 1, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(tp_view_parse(tp_allocator_system(), view->number, troupe_slice_of(copy, size),
                         &none, error, sizeof error),
        TROUPE_CORRUPT);
    assert_null(none);
    if (strstr(error, word) == NULL)
        fail_msg("%s -> %s: %s", from, to, error);
    free(copy);
    tp_view_release(view);
}

static void a_text_that_is_no_view_is_refused_with_reason(void **state)
{
    (void)state;
    expect_corrupt("\"format\": 1", "\"format\": 2", "upgrade");
    expect_corrupt("\"format\": 1", "\"format\": 0", "format");
    expect_corrupt("\"number\": 3", "\"number\": 4", "number");
    expect_corrupt("\"since\": 0", "\"since\": 3", "since");
    expect_corrupt("\"since\": 0", "\"since\": 1", "changes");
    expect_corrupt("\"since\": 0", "\"since\": 0, \"more\": 1", "unknown");
    expect_corrupt("\"since\": 0, ", "", "missing");
    expect_corrupt("\"since\": 0", "\"since\": 0, \"since\": 0", "line");
    expect_corrupt("\"ttl_ms\": 9000", "\"ttl_ms\": 0", "ttl");
    expect_corrupt("\"ttl_ms\": 9000", "\"ttl_ms\": -1", "ttl_ms");
    expect_corrupt("\"ttl_ms\": 9000", "\"ttl_ms\": 9e3", "ttl_ms");
    expect_corrupt("010203ab", "010203AB", "secret");
    expect_corrupt("010203ab", "010203a", "secret");
    expect_corrupt("\"status\": \"active\"", "\"status\": \"asleep\"", "status");
    expect_corrupt("\"status\": \"active\"", "\"status\": 1", "status");
    expect_corrupt("\"shards\": 2", "\"shards\": 0", "shards");
    expect_corrupt("\"types\": 0", "\"types\": 7", "types");
    expect_corrupt("\"incarnation\": 2", "\"incarnation\": 1", "ascending");
    expect_corrupt("\"next_incarnation\": 4", "\"next_incarnation\": 3", "incarnation");
    expect_corrupt("\"what\": \"leaving\"", "\"what\": \"gone\"", "what");
    expect_corrupt("{\"format\"", "[{\"format\"", "line");
    expect_corrupt("]}\n", "]} x", "line");
}

static void no_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    const tp_view *view = make_some();
    tp_view_member member = candidate(20, "late");
    const tp_view_step step = {.joins = &member, .join_count = 1};
    for (uint64_t i = 1;; i++) {
        failing memory;
        failing_init(&memory);
        memory.fail_from = i;
        memory.fail_count = 1;
        const tp_view *next = NULL, *again = NULL;
        char error[256];
        troupe_status status = tp_view_follow(&memory.allocator, view, &step, &next);
        if (status == TROUPE_OK)
            status = tp_view_parse(
                &memory.allocator, next->number, next->text, &again, error, sizeof error);
        tp_view_release(next);
        tp_view_release(again);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
        if (status == TROUPE_OK)
            break;
        assert_int_equal(status, TROUPE_NO_MEMORY);
        assert_true(i < 100);
    }
    tp_view_release(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_gives_the_same_view_again),
        cmocka_unit_test(members_are_found_by_incarnation_nonce_and_name),
        cmocka_unit_test(incarnations_are_never_used_again),
        cmocka_unit_test(leaving_has_its_steps),
        cmocka_unit_test(changes_reach_back_in_whole_views),
        cmocka_unit_test(a_candidate_that_is_there_is_not_admitted_twice),
        cmocka_unit_test(what_breaks_a_limit_does_not_join),
        cmocka_unit_test(a_text_that_is_no_view_is_refused_with_reason),
        cmocka_unit_test(no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
