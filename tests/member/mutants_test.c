/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each rule of the machine of membership taken out, in the random worlds: a checker must see it.
 * The worlds in which all rules hold are in worlds_test.c.
 *
 * Threads: one.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_seen(const char *name, world_plan plan)
{
    uint64_t most = 2000;
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
        cmocka_unit_test(each_rule_taken_out_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
