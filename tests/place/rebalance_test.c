/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebalancing in simulated loads: actors of random weight on a few members, measured with noise. It
 * evens out within a bounded number of cycles, never overshoots, moves no more than it may, and is
 * quiet once it is even.
 */
#include "base/prng.h"
#include "place/rebalance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MEMBERS = 8, ACTORS = 4000, SAMPLES = 400, MOVES = 60 };

#define CYCLE TROUPE_SECONDS(10)

typedef struct actor {
    uint32_t member, type;
    double turn_time, memory;
    uint64_t moved_at;
} actor;

typedef struct scene {
    tp_prng chance;
    uint64_t now;
    uint32_t count;
    double noise;
    actor actors[ACTORS];
    uint64_t types[MEMBERS];
    tp_rebalance_member members[MEMBERS];
    tp_rebalance_sample samples[MEMBERS * SAMPLES];
    tp_rebalance_move moves[MOVES * MEMBERS];
    size_t sample_count;
    tp_rebalance state[MEMBERS];
    tp_rebalance_options options;
} scene;

static double unit(scene *self)
{
    return (double)tp_prng_below(&self->chance, 1000001) / 1e6;
}

static double noisy(scene *self, double value)
{
    return value * (1 + self->noise * (2 * unit(self) - 1));
}

/* `spread` members have all actors at the begin. */
static scene *open_scene(uint64_t seed, uint32_t count, uint32_t spread)
{
    scene *self = calloc(1, sizeof *self);
    assert_non_null(self);
    tp_prng_seed(&self->chance, seed);
    self->count = count;
    self->now = TROUPE_SECONDS(1000);
    self->options = (tp_rebalance_options){.moves = MOVES, .own = TP_REBALANCE_ALL};
    for (uint32_t i = 0; i < ACTORS; i++) {
        double weight = unit(self) * unit(self) * unit(self); /* few are heavy */
        self->actors[i] = (actor){.member = i % spread,
            .type = i % 2,
            .turn_time = weight / 1000,
            .memory = 1000 + 100000 * unit(self) * weight};
    }
    for (uint32_t i = 0; i < count; i++) {
        self->types[i] = 3;
    }
    return self;
}

/* What the members say, and some actors of each. */
static void measure(scene *self, double noise)
{
    uint32_t taken[MEMBERS] = {0};
    self->sample_count = 0;
    self->noise = noise;
    for (uint32_t i = 0; i < self->count; i++) {
        self->members[i] = (tp_rebalance_member){
            .at = self->now, .may_receive = true, .types = &self->types[i], .type_words = 1};
    }
    uint32_t first = (uint32_t)tp_prng_below(&self->chance, ACTORS);
    for (uint32_t i = 0; i < ACTORS; i++) {
        uint32_t ref = (first + i) % ACTORS;
        const actor *one = &self->actors[ref];
        tp_rebalance_member *member = &self->members[one->member];
        member->turn_time += one->turn_time;
        member->memory += one->memory;
        member->actors += 1;
        if (taken[one->member]++ < SAMPLES) {
            self->samples[self->sample_count++] = (tp_rebalance_sample){.ref = ref,
                .member = one->member,
                .type = one->type,
                .turn_time = noisy(self, one->turn_time),
                .memory = one->memory,
                .bytes = (uint64_t)one->memory,
                .moved_at = one->moved_at};
        }
    }
    for (uint32_t i = 0; i < self->count; i++) {
        self->members[i].turn_time = noisy(self, self->members[i].turn_time);
        self->members[i].memory = noisy(self, self->members[i].memory);
    }
}

/* The largest distance from the mean, measured without noise by a planner that may not move. */
static double imbalance(scene *self)
{
    tp_rebalance state = {0};
    tp_rebalance_options options = {.own = TP_REBALANCE_ALL, .high = 100};
    double worst = 0;
    measure(self, 0);
    tp_rebalance_plan(
        &state, &options, self->members, self->count, self->samples, 0, self->now, self->moves, 0);
    for (uint32_t i = 0; i < self->count; i++) {
        double off = self->members[i].share - 1;
        off = off < 0 ? -off : off;
        worst = off > worst ? off : worst;
    }
    return worst;
}

static size_t perform(scene *self, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        actor *one = &self->actors[self->moves[i].ref];
        assert_int_equal(one->member, self->moves[i].from);
        assert_int_not_equal(self->moves[i].from, self->moves[i].to);
        assert_true((self->types[self->moves[i].to] >> one->type & 1) != 0);
        assert_true(one->moved_at == 0 || self->now - one->moved_at >= TROUPE_MINUTES(2));
        one->member = self->moves[i].to;
        one->moved_at = self->now;
        bytes += (uint64_t)one->memory;
    }
    assert_true(bytes <= UINT64_C(64) << 20);
    return count;
}

static size_t cycle(scene *self, double noise)
{
    measure(self, noise);
    size_t count = tp_rebalance_plan(&self->state[0], &self->options, self->members, self->count,
        self->samples, self->sample_count, self->now, self->moves, MOVES * MEMBERS);
    assert_true(count <= MOVES);
    perform(self, count);
    self->now += CYCLE;
    return count;
}

static void a_new_member_is_filled_within_15_percent_and_then_it_is_quiet(void **state)
{
    (void)state;
    uint32_t slowest = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint32_t count = 2 + (uint32_t)(seed % (MEMBERS - 1)), cycles = 0;
        scene *self = open_scene(seed, count, count - 1);
        for (; imbalance(self) > 0.15; cycles++) {
            cycle(self, 0.02);
            assert_true(cycles < 60);
        }
        slowest = cycles > slowest ? cycles : slowest;
        for (int i = 0; i < 40; i++) { /* it may finish what it began */
            cycle(self, 0.02);
        }
        assert_true(imbalance(self) <= 0.15);
        size_t later = 0;
        for (int i = 0; i < 100; i++) {
            later += cycle(self, 0.04);
        }
        assert_int_equal(later, 0);
        free(self);
    }
    print_message("slowest: %u cycles of %d moves for up to 2,000 actors\n", slowest, MOVES);
}

static void no_move_overshoots(void **state)
{
    (void)state;
    size_t moved = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        scene *self = open_scene(seed, 5, 1 + seed % 4);
        self->options.patience = 1;
        for (int i = 0; i < 10; i++) {
            tp_rebalance_member before[MEMBERS];
            imbalance(self);
            memcpy(before, self->members, sizeof before);
            size_t count = cycle(self, 0);
            imbalance(self);
            for (size_t j = 0; j < count; j++) {
                assert_true(self->members[self->moves[j].from].share >= 1 - 1e-6);
                assert_true(before[self->moves[j].from].share > 1);
                assert_true(self->members[self->moves[j].to].share <= 1 + 1e-6);
            }
            moved += count;
            self->now += TROUPE_MINUTES(3);
        }
        free(self);
    }
    assert_true(moved > 1000);
}

static void many_planners_at_once_do_not_overshoot_together(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        scene *self = open_scene(seed, 6, 5);
        scene *other = open_scene(seed, 6, 5);
        for (int i = 0; i < 30; i++) {
            measure(self, 0);
            memcpy(other, self, sizeof *self);
            for (uint32_t own = 0; own < 6; own++) {
                other->options.own = own;
                for (uint32_t j = 0; j < 6; j++) {
                    other->members[j] = self->members[j];
                    other->members[j].types = &other->types[j];
                }
                size_t count = tp_rebalance_plan(&self->state[own], &other->options, other->members,
                    6, other->samples, other->sample_count, self->now, self->moves, MOVES);
                for (size_t j = 0; j < count; j++) {
                    assert_int_equal(self->moves[j].from, own);
                }
                perform(self, count);
            }
            self->now += CYCLE;
            imbalance(self);
            assert_true(self->members[5].share <= 1 + 1e-6);
        }
        assert_true(imbalance(self) <= 0.15);
        free(self);
        free(other);
    }
}

static void types_leaving_members_and_old_loads_are_respected(void **state)
{
    (void)state;
    scene *self = open_scene(3, 4, 1);
    self->options.patience = 1;
    self->types[1] = 1; /* only every second actor */
    self->types[2] = 0;
    measure(self, 0);
    self->members[3].is_out = true;
    size_t count = tp_rebalance_plan(&self->state[0], &self->options, self->members, 4,
        self->samples, self->sample_count, self->now, self->moves, MOVES);
    assert_int_equal(count, MOVES);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(self->moves[i].to, 1);
    }
    perform(self, count);
    uint64_t measured = self->now;
    self->now += CYCLE;
    measure(self, 0);
    self->members[2].at = measured - 1; /* it has not seen the moves */
    assert_int_equal(tp_rebalance_plan(&self->state[0], &self->options, self->members, 4,
                         self->samples, self->sample_count, self->now, self->moves, MOVES),
        0);
    assert_int_equal(self->state[0].verdict, TP_REBALANCE_UNMEASURED);
    free(self);
}

static void the_cheapest_go_first_and_a_dry_run_is_the_same_plan(void **state)
{
    (void)state;
    uint64_t types = 1;
    tp_rebalance_member members[2] = {{.at = 1,
                                          .memory = 4e6,
                                          .actors = 4,
                                          .may_receive = true,
                                          .types = &types,
                                          .type_words = 1},
        {.at = 1, .may_receive = true, .types = &types, .type_words = 1}};
    tp_rebalance_sample samples[4];
    tp_rebalance_options options = {.patience = 1, .own = TP_REBALANCE_ALL};
    tp_rebalance state_of = {0};
    tp_rebalance_move moves[4], again[4];
    for (uint32_t i = 0; i < 4; i++) {
        samples[i] = (tp_rebalance_sample){.ref = i, .memory = 1e6, .bytes = (4 - i) * 1000000};
    }
    tp_rebalance copy = state_of;
    assert_int_equal(tp_rebalance_plan(&copy, &options, members, 2, samples, 4, 1, moves, 4), 2);
    assert_int_equal(
        tp_rebalance_plan(&state_of, &options, members, 2, samples, 4, 1, again, 4), 2);
    assert_memory_equal(moves, again, 2 * sizeof moves[0]);
    assert_int_equal(moves[0].ref, 3);
    assert_int_equal(moves[1].ref, 2);
    assert_int_equal(copy.verdict, TP_REBALANCE_UNEVEN);
    /* Each is a quarter of what makes 2. */
    assert_true(moves[0].share > 0.49 && moves[0].share < 0.51);
    assert_true(moves[0].cost >= 1e6 && moves[0].cost < moves[1].cost);
    assert_true(members[0].measured > 1.99 && members[0].share < 1.01);
    assert_true(members[1].measured < 0.01);
}

static uint64_t crossing(const scene *self, const tp_rebalance_pair *pairs, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        const tp_rebalance_sample *one = &self->samples[pairs[i].one];
        const tp_rebalance_sample *two = &self->samples[pairs[i].two];
        sum +=
            self->actors[one->ref].member != self->actors[two->ref].member ? pairs[i].messages : 0;
    }
    return sum;
}

static void chatty_pairs_come_together_and_the_balance_stays(void **state)
{
    (void)state;
    enum { PAIRS = 300 };
    static uint32_t links[2 * PAIRS + MEMBERS * SAMPLES + 1];
    for (uint64_t seed = 0; seed < 10; seed++) {
        scene *self = open_scene(seed, 4, 4);
        tp_rebalance_pair pairs[PAIRS];
        imbalance(self);
        for (int i = 0; i < PAIRS; i++) {
            pairs[i].one = 1 + (uint32_t)tp_prng_below(&self->chance, self->sample_count / 2);
            pairs[i].two = pairs[i].one + (uint32_t)(self->sample_count / 2) - 1;
            pairs[i].messages = 1 + tp_prng_below(&self->chance, 100);
        }
        uint64_t before = crossing(self, pairs, PAIRS);
        size_t count = tp_rebalance_pairs(&self->options, self->members, 4, self->samples,
            self->sample_count, pairs, PAIRS, 20, self->now, links, self->moves, MOVES);
        assert_true(count > 20 && count <= MOVES);
        perform(self, count);
        uint64_t after = crossing(self, pairs, PAIRS);
        assert_true(after + 20 * count <= before);
        assert_true(imbalance(self) <= 0.15);
        free(self);
    }
}

static void two_planners_of_a_pair_do_not_change_places(void **state)
{
    (void)state;
    uint64_t types = 1;
    for (uint64_t ref = 0; ref < 50; ref++) {
        size_t moved = 0;
        for (uint32_t own = 0; own < 2; own++) {
            uint32_t links[16];
            tp_rebalance_move moves[2];
            tp_rebalance_member members[2];
            for (int i = 0; i < 2; i++) {
                members[i] = (tp_rebalance_member){.actors = 100,
                    .may_receive = true,
                    .types = &types,
                    .type_words = 1,
                    .share = 1};
            }
            tp_rebalance_sample samples[2] = {
                {.ref = ref, .member = 0}, {.ref = ref * 7 + 1, .member = 1}};
            tp_rebalance_pair pair = {0, 1, 1000};
            tp_rebalance_options options = {.own = own};
            size_t count = tp_rebalance_pairs(
                &options, members, 2, samples, 2, &pair, 1, 1, 5, links, moves, 2);
            assert_true(count == 0 || moves[0].from == own);
            moved += count;
        }
        assert_int_equal(moved, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_member_is_filled_within_15_percent_and_then_it_is_quiet),
        cmocka_unit_test(no_move_overshoots),
        cmocka_unit_test(many_planners_at_once_do_not_overshoot_together),
        cmocka_unit_test(types_leaving_members_and_old_loads_are_respected),
        cmocka_unit_test(the_cheapest_go_first_and_a_dry_run_is_the_same_plan),
        cmocka_unit_test(chatty_pairs_come_together_and_the_balance_stays),
        cmocka_unit_test(two_planners_of_a_pair_do_not_change_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
