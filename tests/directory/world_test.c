/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory machine in the model world of world.h: that its promises hold in every seed, and
 * that each rule is needed: a machine without it is found out.
 *
 * TROUPE_DIRECTORY_SEEDS: worlds of each sort (default 2,000). TROUPE_DIRECTORY_SEED=n[pcsh]: that
 * one alone, of that sort, with TROUPE_DIRECTORY_WITHOUT=number of a rule without it.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint64_t seeds(void)
{
    const char *text = getenv("TROUPE_DIRECTORY_SEEDS");
    return text != NULL ? strtoull(text, NULL, 10) : 2000;
}

typedef enum sort_of { PLANNED, CRASHES, STORM, HUNGER } sort_of;

static world_result run(uint64_t seed, sort_of kind, uint32_t without)
{
    world_plan plan = kind == HUNGER  ? world_draw_hunger(seed)
                      : kind == STORM ? world_draw_storm(seed)
                                      : world_draw(seed, kind == PLANNED);
    plan.without = without;
    return world_run(seed, &plan);
}

static void run_all(sort_of kind)
{
    static const char letters[] = {'p', 'c', 's', 'h'};
    world_result sum = {0};
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        world_result result = run(seed, kind, 0);
        if (result.wrong != NULL) {
            fail_msg("%s; repeat: TROUPE_DIRECTORY_SEED=%llu%c", result.wrong,
                (unsigned long long)seed, letters[kind]);
        }
        sum.steps += result.steps;
        sum.done += result.done;
        sum.lost += result.lost;
        sum.refused += result.refused;
        sum.surveys += result.surveys;
        sum.claims += result.claims;
        sum.grants += result.grants;
        sum.returns += result.returns;
        sum.followed += result.followed;
        sum.moved += result.moved;
    }
    print_message("%llu worlds: %llu steps, %llu done, %llu lost, %llu refused, %llu surveys, "
                  "%llu claims, %llu grants, %llu returns, %llu moves\n",
        (unsigned long long)seeds(), (unsigned long long)sum.steps, (unsigned long long)sum.done,
        (unsigned long long)sum.lost, (unsigned long long)sum.refused,
        (unsigned long long)sum.surveys, (unsigned long long)sum.claims,
        (unsigned long long)sum.grants, (unsigned long long)sum.returns,
        (unsigned long long)sum.moved);
    assert_true(sum.done > 0 && sum.claims > 0 && sum.returns > 0 && sum.moved > 0 &&
                sum.followed > 0);
    assert_true(kind == PLANNED || kind == HUNGER || sum.surveys > 0);
    assert_true(kind != HUNGER || sum.refused > 0);
}

static void planned_changes_lose_nothing_and_keep_order(void **state)
{
    (void)state;
    run_all(PLANNED);
}

static void crashes_leave_one_activation_and_no_message_untold(void **state)
{
    (void)state;
    run_all(CRASHES);
}

static void storms_round_one_actor_break_no_promise(void **state)
{
    (void)state;
    run_all(STORM);
}

static void a_seed_repeats(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_int_equal(run(seed, CRASHES, 0).trace, run(seed, CRASHES, 0).trace);
    }
}

static void without_memory_letters_are_refused_or_wait(void **state)
{
    (void)state;
    run_all(HUNGER);
}

static void every_rule_is_needed(void **state)
{
    (void)state;
    static const char *const names[] = {
#define NAME(name) #name,
        TP_DIRECTORY_RULE_MAP(NAME)
#undef NAME
    };
    uint32_t missed = 0;
    for (uint32_t rule = 0; rule < TP_RULE_COUNT; rule++) {
        uint64_t seed = 1;
        const char *wrong = NULL;
        for (; wrong == NULL && seed <= 40000; seed++) {
            wrong = run(seed / 2 + 1, seed % 2 == 0 ? STORM : PLANNED, 1u << rule).wrong;
        }
        print_message("without %-13s %s (seed %llu)\n", names[rule],
            wrong != NULL ? wrong : "NOT FOUND", (unsigned long long)seed - 1);
        missed += wrong == NULL;
    }
    assert_int_equal(missed, 0);
}

int main(void)
{
    const char *one = getenv("TROUPE_DIRECTORY_SEED");
    if (one != NULL) {
        char *end;
        uint64_t seed = strtoull(one, &end, 10);
        const char *without = getenv("TROUPE_DIRECTORY_WITHOUT");
        world_result result = run(seed,
            *end == 'p'   ? PLANNED
            : *end == 'h' ? HUNGER
                          : (*end == 's' ? STORM : CRASHES),
            without != NULL ? 1u << strtoul(without, NULL, 10) : 0);
        printf("%s\n", result.wrong != NULL ? result.wrong : "kept");
        return result.wrong != NULL;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_repeats),
        cmocka_unit_test(planned_changes_lose_nothing_and_keep_order),
        cmocka_unit_test(crashes_leave_one_activation_and_no_message_untold),
        cmocka_unit_test(storms_round_one_actor_break_no_promise),
        cmocka_unit_test(without_memory_letters_are_refused_or_wait),
        cmocka_unit_test(every_rule_is_needed),
    };
    return cmocka_run_group_tests_name("directory/world", tests, NULL, NULL);
}
