/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the seeds that once found a defect (tests/sim/seeds.txt), a few fresh ones, and checks
 * that the simulator itself would see one.
 */
#include "testkit/seeds.h"

#include "shard/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint32_t run(const char *scenario, uint64_t start, uint64_t count, uint64_t mutants,
    tp_seed_report *ret_report)
{
    tp_seed_order order = {.start = start,
        .count = count,
        .mutants = mutants,
        .twice = mutants == 0,
        .first_fault_ends = true,
        .quiet = mutants != 0};
    assert_true(tp_subject_scenario(scenario, &order.subject));
    assert_true(tp_seeds_run(&order, ret_report));
    return ret_report->fault_count;
}

static void print_fault(const tp_seed_fault *fault)
{
    print_error("seed %llu (%s): %s: %s\n", (unsigned long long)fault->seed, fault->subject,
        fault->checker, fault->text);
}

static void seeds_that_found_a_defect_find_none(void **state)
{
    (void)state;
    char path[4096], line[512];
    const char *source = getenv("TROUPE_SOURCE");
    snprintf(path, sizeof path, "%s/tests/sim/seeds.txt", source != NULL ? source : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    uint32_t seeds = 0, faults = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        assert_true(end != line);
        char scenario[32] = "";
        assert_int_equal(sscanf(end, "%31s", scenario), 1);
        static tp_seed_report report;
        if (run(scenario, seed, 1, 0, &report) != 0) {
            print_fault(&report.faults[0]);
            faults++;
        }
        seeds++;
    }
    fclose(file);
    assert_true(seeds >= 20);
    assert_int_equal(faults, 0);
}

static void every_scenario_runs_clean_and_long_enough(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < tp_scenario_count(); i++) {
        static tp_seed_report report;
        const tp_scenario *scenario = tp_scenario_at(i);
        if (run(scenario->name, 1, 6, 0, &report) != 0) {
            print_fault(&report.faults[0]);
            fail();
        }
        assert_int_equal(report.seeds, 6);
        assert_true(report.effects_least >= 2000);
    }
}

static void planted_mistakes_are_seen(void **state)
{
    (void)state;
    static const struct {
        uint32_t bit;
        const char *scenario, *checker;
    } planted[] = {{TP_MUTANT_NO_RESTORE, "failures", "P11 state"},
        {TP_MUTANT_START_EXPIRED, "deadlines", "P3 deadline"},
        {TP_MUTANT_NO_SAVE, "lives", "P11 state"}, {TP_MUTANT_NO_PROBE, "circles", "P10 report"},
        {TP_MUTANT_DROP_FULL, "order", "P4 loss"}};
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
        static tp_seed_report report;
        assert_int_equal(
            run(planted[i].scenario, 1, 200, UINT64_C(1) << planted[i].bit, &report), 1);
        assert_string_equal(report.faults[0].checker, planted[i].checker);
    }
}

static void count_line(void *user, const char *line)
{
    (void)user;
    assert_true(line[0] != 0);
}

static void a_failing_seed_becomes_small(void **state)
{
    (void)state;
    static tp_seed_report report;
    uint64_t mutants = UINT64_C(1) << TP_MUTANT_NO_RESTORE;
    assert_int_equal(run("failures", 1, 200, mutants, &report), 1);
    tp_subject subject;
    assert_true(tp_subject_scenario("failures", &subject));
    tp_shrunk shrunk;
    assert_true(
        tp_seed_shrink(&subject, report.faults[0].seed, mutants, count_line, NULL, &shrunk));
    assert_true(shrunk.ops <= 5);
    assert_string_equal(shrunk.fault.checker, "P11 state");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_that_found_a_defect_find_none),
        cmocka_unit_test(every_scenario_runs_clean_and_long_enough),
        cmocka_unit_test(planted_mistakes_are_seen),
        cmocka_unit_test(a_failing_seed_becomes_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
