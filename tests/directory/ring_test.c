/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of a view: every id has one home, shares are even within the bound of its header, and a
 * join or leave moves only what it must.
 */
#include "base/prng.h"
#include "directory/ring.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MEMBERS = 100 };

static failing memory;

static tp_ring *make(const tp_ring_member *members, uint32_t count, uint32_t points)
{
    tp_ring *ring = NULL;
    assert_int_equal(tp_ring_create(&memory.allocator, members, count, points, &ring), TROUPE_OK);
    assert_int_equal(tp_ring_count(ring), count);
    return ring;
}

static void name_members(tp_ring_member *members, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t state = seed * 1000 + i;
        members[i] = (tp_ring_member){tp_prng_split(&state), 1000 + i, i};
    }
}

static int start(void **state)
{
    (void)state;
    failing_init(&memory);
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.wrong_sizes, 0);
    return 0;
}

/* Shares of the circle, exact, from the arcs that would move to a ring of one other member. */
static double largest_share(const tp_ring *ring)
{
    tp_ring_member nobody = {7, 7, 7};
    tp_ring *other = make(&nobody, 1, 1);
    double shares[MEMBERS] = {0}, largest = 0, sum = 0;
    tp_ring_cursor cursor = {0};
    tp_ring_move move;
    uint64_t next = 0;
    while (tp_ring_each_move(ring, other, &cursor, &move)) {
        assert_true(move.first == next);
        next = move.last + 1;
        shares[move.from->node] += (double)(move.last - move.first) + 1;
    }
    assert_true(next == 0); /* all of the circle */
    for (uint32_t i = 0; i < tp_ring_count(ring); i++) {
        largest = shares[i] > largest ? shares[i] : largest;
        sum += shares[i];
    }
    tp_ring_destroy(other);
    return largest * tp_ring_count(ring) / sum;
}

static void shares_are_even_within_the_bound(void **state)
{
    (void)state;
    tp_ring_member members[MEMBERS];
    const struct {
        uint32_t points;
        double bound;
    } cases[] = {{128, 1.4}, {256, 1.25}, {512, 1.2}};
    for (size_t i = 0; i < 3; i++) {
        double worst = 0;
        for (uint64_t seed = 0; seed < 20; seed++) {
            for (uint32_t count = 2; count <= MEMBERS; count = count * 3 / 2 + 1) {
                name_members(members, count, seed);
                tp_ring *ring = make(members, count, cases[i].points);
                double largest = largest_share(ring);
                worst = largest > worst ? largest : worst;
                tp_ring_destroy(ring);
            }
        }
        print_message("%u points: the largest share is %.3f\n", cases[i].points, worst);
        assert_true(worst <= cases[i].bound);
    }
}

static void a_join_takes_its_share_and_moves_nothing_else(void **state)
{
    (void)state;
    tp_ring_member members[MEMBERS];
    tp_prng chance;
    tp_prng_seed(&chance, 5);
    name_members(members, MEMBERS, 9);
    for (uint32_t count = 1; count < 30; count++) {
        tp_ring *before = make(members, count, TP_RING_POINTS);
        tp_ring *after = make(members, count + 1, TP_RING_POINTS);
        uint32_t moved = 0;
        for (int i = 0; i < 20000; i++) {
            uint64_t hash = tp_prng_next(&chance);
            const tp_ring_member *from = tp_ring_home(before, hash);
            const tp_ring_member *to = tp_ring_home(after, hash);
            moved += from->node != to->node;
            assert_true(from->node == to->node || to->node == count);
        }
        assert_true(moved <= 20000 * 1.4 / (count + 1) && moved >= 20000 * 0.6 / (count + 1));
        tp_ring_destroy(before);
        tp_ring_destroy(after);
    }
}

static void moves_of_two_views_are_exactly_what_changed(void **state)
{
    (void)state;
    tp_ring_member members[MEMBERS], others[MEMBERS];
    tp_prng chance;
    tp_prng_seed(&chance, 6);
    name_members(members, 12, 3);
    memcpy(others, members, sizeof members);
    others[2].incarnation = 77; /* a restart: the same ranges, another owner */
    others[5] = others[11];     /* and one has gone */
    tp_ring *before = make(members, 12, 64);
    tp_ring *after = make(others, 11, 64);
    tp_ring_cursor cursor = {0};
    tp_ring_move moves[2000];
    size_t count = 0;
    while (tp_ring_each_move(before, after, &cursor, &moves[count])) {
        assert_true(count == 0 || moves[count].first > moves[count - 1].last);
        count++;
    }
    assert_true(count > 100 && count <= 2 * 64 + 12);
    for (int i = 0; i < 100000; i++) {
        uint64_t position = tp_prng_next(&chance);
        const tp_ring_member *from = tp_ring_owner(before, position);
        const tp_ring_member *to = tp_ring_owner(after, position);
        const tp_ring_move *move = NULL;
        for (size_t j = 0; j < count && move == NULL; j++) {
            move = moves[j].first <= position && position <= moves[j].last ? &moves[j] : NULL;
        }
        assert_int_equal(move != NULL, from->incarnation != to->incarnation);
        assert_true(move == NULL || (move->from == from && move->to == to));
        assert_true(from->node != 2 || to->node == 2);
    }
    tp_ring_destroy(before);
    tp_ring_destroy(after);
}

/* Some stay, some have gone, some come, one is there again under its name. */
static void a_ring_that_follows_another_one_is_the_ring_of_its_members(void **state)
{
    (void)state;
    tp_prng chance;
    tp_prng_seed(&chance, 8);
    tp_ring_member all[MEMBERS], members[MEMBERS];
    name_members(all, MEMBERS, 12);
    all[MEMBERS - 1].name = all[3].name;
    tp_ring *former = make(all, 5, 64);
    for (int round = 0; round < 30; round++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < MEMBERS; i++) {
            if (tp_prng_chance(&chance, (uint64_t)round % 3 + 1, 4)) {
                members[count] = all[i];
                members[count].node = count;
                count++;
            }
        }
        tp_ring *expected = make(members, count, 64), *ring = NULL;
        assert_int_equal(
            tp_ring_follow(&memory.allocator, former, members, count, &ring), TROUPE_OK);
        tp_ring_cursor cursor = {0};
        tp_ring_move move;
        assert_false(tp_ring_each_move(expected, ring, &cursor, &move));
        for (int i = 0; i < 1000; i++) {
            uint64_t position = tp_prng_next(&chance);
            assert_int_equal(
                tp_ring_owner(ring, position)->node, tp_ring_owner(expected, position)->node);
        }
        tp_ring_destroy(former);
        tp_ring_destroy(expected);
        former = ring;
    }
    tp_ring_destroy(former);
}

static void the_arcs_of_members_are_the_arcs_of_the_ring(void **state)
{
    (void)state;
    tp_ring_member members[20];
    for (uint32_t count = 1; count <= 20; count++) {
        name_members(members, count, count);
        if (count == 20) {
            members[19].name = members[4].name; /* all their points lie together */
        }
        tp_ring *ring = make(members, count, 16);
        __uint128_t sum = 0;
        for (uint32_t node = 0; node < count; node++) {
            tp_ring_cursor cursor = {0};
            tp_ring_move arc = {.last = 0};
            uint64_t before = 0;
            while (tp_ring_each_arc_of(ring, tp_ring_find(ring, node), &cursor, &arc)) {
                assert_true(arc.first <= arc.last && (before == 0 || arc.first > before));
                assert_int_equal(tp_ring_owner(ring, arc.first)->node, node);
                assert_int_equal(tp_ring_owner(ring, arc.last)->node, node);
                before = arc.last;
                sum += (__uint128_t)(arc.last - arc.first) + 1;
            }
        }
        assert_true(sum == (__uint128_t)1 << 64);
        assert_null(tp_ring_find(ring, count));
        tp_ring_destroy(ring);
    }
}

static void the_order_of_members_does_not_matter(void **state)
{
    (void)state;
    tp_ring_member members[10], turned[10];
    name_members(members, 10, 1);
    for (int i = 0; i < 10; i++) {
        turned[i] = members[9 - i];
    }
    tp_ring *one = make(members, 10, 16);
    tp_ring *two = make(turned, 10, 16);
    for (uint64_t hash = 0; hash < 10000; hash++) {
        assert_int_equal(tp_ring_home(one, hash)->node, tp_ring_home(two, hash)->node);
    }
    tp_ring_destroy(one);
    tp_ring_destroy(two);
}

static void successors_are_distinct_and_take_over_when_the_home_goes(void **state)
{
    (void)state;
    tp_ring_member members[8], fewer[8];
    const tp_ring_member *found[8];
    name_members(members, 8, 4);
    tp_ring *ring = make(members, 8, 64);
    for (uint64_t hash = 0; hash < 500; hash++) {
        assert_int_equal(tp_ring_successors(ring, hash, found, 3), 3);
        assert_true(found[0] == tp_ring_home(ring, hash));
        assert_true(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);
        uint32_t count = 0;
        for (uint32_t i = 0; i < 8; i++) {
            if (members[i].node != found[0]->node) {
                fewer[count++] = members[i];
            }
        }
        tp_ring *later = make(fewer, count, 64);
        assert_int_equal(tp_ring_home(later, hash)->node, found[1]->node);
        tp_ring_destroy(later);
    }
    assert_int_equal(tp_ring_successors(ring, 1, found, 8), 8);
    tp_ring_destroy(ring);
}

static void empty_rings_wrong_points_and_no_memory_are_said(void **state)
{
    (void)state;
    tp_ring_member members[4];
    const tp_ring_member *found[4];
    name_members(members, 4, 4);
    tp_ring *ring = make(NULL, 0, 8);
    assert_null(tp_ring_home(ring, 5));
    assert_int_equal(tp_ring_successors(ring, 5, found, 4), 0);
    tp_ring_destroy(ring);
    ring = NULL;
    const uint32_t wrong[] = {0, 3, TP_RING_POINTS_MAX * 2};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            tp_ring_create(&memory.allocator, members, 4, wrong[i], &ring), TROUPE_USAGE);
    }
    memory.fail_from = memory.calls + 1;
    memory.fail_count = 1;
    assert_int_equal(tp_ring_create(&memory.allocator, members, 4, 8, &ring), TROUPE_NO_MEMORY);
    assert_null(ring);
    memory.fail_from = memory.calls + 2; /* what it needs for a moment */
    assert_int_equal(tp_ring_create(&memory.allocator, members, 4, 8, &ring), TROUPE_NO_MEMORY);
    assert_null(ring);
    memory.fail_from = 0;
    tp_ring_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shares_are_even_within_the_bound, start, end),
        cmocka_unit_test_setup_teardown(a_join_takes_its_share_and_moves_nothing_else, start, end),
        cmocka_unit_test_setup_teardown(moves_of_two_views_are_exactly_what_changed, start, end),
        cmocka_unit_test_setup_teardown(
            a_ring_that_follows_another_one_is_the_ring_of_its_members, start, end),
        cmocka_unit_test_setup_teardown(the_arcs_of_members_are_the_arcs_of_the_ring, start, end),
        cmocka_unit_test_setup_teardown(the_order_of_members_does_not_matter, start, end),
        cmocka_unit_test_setup_teardown(
            successors_are_distinct_and_take_over_when_the_home_goes, start, end),
        cmocka_unit_test_setup_teardown(
            empty_rings_wrong_points_and_no_memory_are_said, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
