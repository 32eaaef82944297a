/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of membership in random worlds: what it promises holds in every seed, and the same
 * seed gives the same run. TROUPE_SEEDS=n runs more, TROUPE_SEED=n one; TROUPE_TRACE=1 shows what
 * happens. Rules taken out are in mutants_test.c.
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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SEEDS = 150 };
#else
enum { SEEDS = 1000 };
#endif

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
    uint64_t first = one != 0 ? one : 1, count = one != 0 ? 1 : number_of("TROUPE_SEEDS", SEEDS);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_hold_in_every_world),
        cmocka_unit_test(a_seed_gives_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
