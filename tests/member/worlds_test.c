/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of membership in random worlds: what it promises holds in every seed, the same seed
 * gives the same run, and each rule taken out is seen. TROUPE_SEEDS=n runs more, TROUPE_SEED=n one;
 * TROUPE_TRACE=1 shows what happens.
 *
 * Threads: one.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void add(world_result *sum, const world_result *one)
{
    sum->views += one->views;
    sum->revoked += one->revoked;
    sum->left += one->left;
    sum->joined += one->joined;
    sum->suspended += one->suspended;
    sum->resumed += one->resumed;
    sum->died += one->died;
    sum->restarts += one->restarts;
    sum->votes += one->votes;
    sum->lost += one->lost;
    sum->late += one->late;
    sum->conflicts += one->conflicts;
    sum->batched += one->batched;
}

#define SHOW(sum, field) printf(" %s %llu", #field, (unsigned long long)(sum).field)

static void promises_hold_in_every_world(void **state)
{
    (void)state;
    uint64_t one = number_of("TROUPE_SEED", 0);
    uint64_t first = one != 0 ? one : 1, count = one != 0 ? 1 : number_of("TROUPE_SEEDS", 1000);
    world_result sum = {0};
    for (uint64_t seed = first; seed < first + count; seed++) {
        world_result result = world_run(&(world_plan){.seed = seed});
        if (result.violated)
            fail_msg("TROUPE_SEED=%llu: %s", (unsigned long long)seed, result.what);
        add(&sum, &result);
    }
    printf("%llu worlds:", (unsigned long long)count);
    SHOW(sum, views), SHOW(sum, joined), SHOW(sum, batched), SHOW(sum, left), SHOW(sum, revoked);
    SHOW(sum, suspended), SHOW(sum, resumed), SHOW(sum, died), SHOW(sum, restarts);
    SHOW(sum, votes), SHOW(sum, lost), SHOW(sum, late), SHOW(sum, conflicts);
    printf("\n");
    if (count < 100)
        return;
    assert_true(sum.batched > 0 && sum.left > 0 && sum.revoked > 0 && sum.votes > 0);
    assert_true(sum.suspended > count && sum.died > 0 && sum.late > 0);
}

static void a_seed_gives_one_run(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        assert_true(world_run(&(world_plan){.seed = seed}).trace ==
                    world_run(&(world_plan){.seed = seed}).trace);
}

static void expect_seen(const char *name, world_plan plan)
{
    uint64_t most = 1500;
    for (plan.seed = 1; plan.seed <= most; plan.seed++) {
        world_result result = world_run(&plan);
        if (result.violated) {
            printf("%-22s seed %4llu: %s\n", name, (unsigned long long)plan.seed, result.what);
            return;
        }
    }
    fail_msg("%s is not seen in %llu worlds", name, (unsigned long long)most);
}

static void each_rule_taken_out_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        tp_member_mutant mutant;
    } mutants[] = {{"no margin", TP_MEMBER_NO_MARGIN},
        {"count from the answer", TP_MEMBER_COUNT_FROM_ANSWER},
        {"conflict is success", TP_MEMBER_CONFLICT_IS_SUCCESS},
        {"no catch-up", TP_MEMBER_NO_CATCH_UP}, {"t0 before the read", TP_MEMBER_T0_BEFORE_READ},
        {"publish early", TP_MEMBER_PUBLISH_EARLY}, {"finder is early", TP_MEMBER_FINDER_IS_EARLY},
        {"an outage counts", TP_MEMBER_OUTAGE_COUNTS}, {"leaves armed", TP_MEMBER_LEAVES_ARMED},
        {"late votes", TP_MEMBER_LATE_VOTES}};
    for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++)
        expect_seen(mutants[i].name, (world_plan){.mutants = mutants[i].mutant});
    expect_seen("the revoked come back", (world_plan){.store_unrevokes = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_hold_in_every_world),
        cmocka_unit_test(a_seed_gives_one_run),
        cmocka_unit_test(each_rule_taken_out_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
