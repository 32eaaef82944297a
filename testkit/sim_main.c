/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of the simulator: reads options, runs seeds or mutants, prints what was found.
 *
 * Threads: one.
 */
#include "testkit/sim_main.h"

#include "testkit/seeds.h"
#include "testkit/user_sim.h"

#include "shard/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUTANT_SEEDS 12000 /* budget of each */

typedef struct sim_options {
    uint64_t seed, seeds, start;
    const char *scenario;
    const char *load;
    const char *mutant; /* NULL: each */
    uint32_t jobs;
    bool one, mutants, marks, trace, json, shrunk, once, progress, help;
} sim_options;

typedef struct mutant {
    const char *name;
    const char *scenario;
    uint32_t bit;
} mutant;

static const mutant mutants[] = {
#define TP_MUTANT_NAME(number, name, scenario)  {name, scenario, TP_MUTANT_##number},
#define TP_MUTANT_AGAIN(number, name, scenario) {name, scenario, TP_MUTANT_##number},
#include "testkit/mutants.def"
#undef TP_MUTANT_NAME
#undef TP_MUTANT_AGAIN
};

#define MUTANT_COUNT (sizeof mutants / sizeof mutants[0])

#define TP_MUTANT_NAME(...)  +1
#define TP_MUTANT_AGAIN(...) +0
_Static_assert(
#include "testkit/mutants.def"
    == TP_MUTANT_COUNT,
    "every mutant has a name");
#undef TP_MUTANT_NAME
#undef TP_MUTANT_AGAIN

typedef struct expected_mark {
    const char *name;
    bool of_town;
} expected_mark;

static const expected_mark expected_marks[] = {
#define TP_MARK_NAME(name)      {name, false},
#define TP_TOWN_MARK_NAME(name) {name, true},
#include "testkit/marks.def"
#undef TP_MARK_NAME
#undef TP_TOWN_MARK_NAME
};

#define MARK_COUNT (sizeof expected_marks / sizeof expected_marks[0])

static const char usage[] =
    "usage: troupe sim [options]\n"
    "  --seed N          one seed, run twice and compared\n"
    "  --seeds N         so many seeds (100)\n"
    "  --start N         the first of them (1)\n"
    "  --scenario NAME   this scenario only; --scenario help lists them\n"
    "  --load FILE       simulations of a shared object instead (TROUPE_SIMULATION)\n"
    "  --shrunk          with --seed: make a failing run small, and print its steps\n"
    "  --mutants         run each planted mistake until a seed catches it\n"
    "  --mutant NAME     only that one\n"
    "  --marks           the share of seeds that reached each named situation\n"
    "  --trace           the trace hash of each seed\n"
    "  --once            run each seed once, not twice\n"
    "  --jobs N          processes at once (2)\n"
    "  --json            the summary as JSON\n";

/* ---- options --------------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (*text == 0 || *text == '-' || *end != 0 || errno != 0)
        return false;
    *ret = value;
    return true;
}

static bool read_flag(const char *word, sim_options *options)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--mutants", &options->mutants}, {"--marks", &options->marks},
        {"--trace", &options->trace}, {"--json", &options->json}, {"--shrunk", &options->shrunk},
        {"--once", &options->once}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(word, flags[i].name) != 0)
            continue;
        *flags[i].flag = true;
        return true;
    }
    return false;
}

static bool read_value(const char *word, const char *value, sim_options *options)
{
    uint64_t number = 0;
    if (strcmp(word, "--scenario") == 0)
        options->scenario = value;
    else if (strcmp(word, "--load") == 0)
        options->load = value;
    else if (strcmp(word, "--mutant") == 0)
        options->mutant = value;
    else if (!read_number(value, &number))
        return false;
    else if (strcmp(word, "--seed") == 0)
        options->one = true, options->seed = number;
    else if (strcmp(word, "--seeds") == 0)
        options->seeds = number;
    else if (strcmp(word, "--start") == 0)
        options->start = number;
    else if (strcmp(word, "--jobs") == 0 && number != 0)
        options->jobs = (uint32_t)number;
    else
        return false;
    return true;
}

static bool read_options(int argc, char **argv, sim_options *ret)
{
    *ret = (sim_options){.seeds = 100, .start = 1, .jobs = 2};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            ret->help = true;
            return true;
        }
        if (read_flag(argv[i], ret))
            continue;
        if (i + 1 < argc && read_value(argv[i], argv[i + 1], ret)) {
            i++;
            continue;
        }
        fprintf(stderr, "troupe sim: '%s' is not understood here\n%s", argv[i], usage);
        return false;
    }
    if (ret->one) {
        ret->start = ret->seed;
        ret->seeds = 1;
    }
    ret->progress = isatty(2) && !ret->one && !ret->trace;
    return true;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void progress(void *user, uint64_t seeds, uint32_t faults)
{
    const sim_options *options = user;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " seeds, %u violations ", seeds, options->seeds,
        faults);
}

static void print_trace(
    void *user, uint64_t seed, const char *subject, const tp_stage_result *result)
{
    (void)user;
    printf("seed %" PRIu64 " %s: trace 0x%016" PRIx64 ", %" PRIu64 " effects\n", seed, subject,
        result->hash, result->effects);
}

static void print_fault(const sim_options *options, const tp_seed_fault *fault)
{
    if (options->load != NULL) /* its text has the name */
        printf("seed %" PRIu64 ": %s\n", fault->seed, fault->text);
    else
        printf("seed %" PRIu64 " (%s): %s: %s\n", fault->seed, fault->subject, fault->checker,
            fault->text);
    printf("replay: troupe sim");
    if (options->load != NULL)
        printf(" --load %s", options->load);
    if (options->scenario != NULL)
        printf(" --scenario %s", options->scenario);
    printf(" --seed %" PRIu64 " --shrunk\n", fault->seed);
}

static uint64_t reached(const tp_seed_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->mark_count; i++)
        if (strcmp(report->mark_names[i], name) == 0)
            return report->marks[i];
    return 0;
}

/* How many expected situations too few seeds reached. */
static uint32_t judge_marks(const tp_seed_report *report, bool of_town, bool print_all)
{
    uint32_t missing = 0;
    for (size_t i = 0; i < MARK_COUNT; i++) {
        const expected_mark *it = &expected_marks[i];
        if (it->of_town != of_town)
            continue;
        double share = report->seeds != 0
                           ? 100.0 * (double)reached(report, it->name) / (double)report->seeds
                           : 0;
        if (share < 1)
            missing++;
        if (print_all || share < 1)
            printf("%6.2f %%  %s%s\n", share, it->name, share < 1 ? "  (below 1 %)" : "");
    }
    return missing;
}

static uint32_t count_unlisted(const tp_seed_report *report)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->mark_count; i++) {
        bool listed = false;
        for (size_t k = 0; k < MARK_COUNT; k++)
            listed = listed || strcmp(expected_marks[k].name, report->mark_names[i]) == 0;
        if (listed)
            continue;
        printf("'%s' is reached, and not in testkit/marks.def\n", report->mark_names[i]);
        count++;
    }
    return count;
}

static void print_summary(
    const sim_options *options, const tp_subject *subject, const tp_seed_report *report)
{
    if (options->json) {
        printf("{\"seeds\":%" PRIu64 ",\"violations\":%u,\"marks\":%u,\"effects\":%" PRIu64
               ",\"effects_least\":%" PRIu64 ",\"virtual_seconds\":%.0f,\"trace\":\"0x%016" PRIx64
               "\"}\n",
            report->seeds, report->fault_count, report->mark_count, report->effects,
            report->effects_least, (double)report->virtual_time / 1e9, report->hash);
        return;
    }
    if (options->load != NULL)
        printf("%s: ", subject->name);
    printf("%" PRIu64 " seeds, %u violations, %u marks reached, trace 0x%016" PRIx64 "\n",
        report->seeds, report->fault_count, report->mark_count, report->hash);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void say_step(void *user, const char *line)
{
    (void)user;
    printf("  %s\n", line);
}

static void shrink(
    const sim_options *options, const tp_subject *subject, const tp_seed_fault *fault)
{
    tp_shrunk shrunk;
    printf("steps of the shortest run that was found:\n");
    fflush(stdout);
    if (!tp_seed_shrink(subject, fault->seed, 0, say_step, NULL, &shrunk)) {
        printf("the seed does not fail again\n");
        return;
    }
    printf("shrunk to %u operation%s", shrunk.ops, shrunk.ops == 1 ? "" : "s");
    if (shrunk.shards != 0)
        printf(", at most %u shard%s", shrunk.shards, shrunk.shards == 1 ? "" : "s");
    if (shrunk.actors != 0 && subject->run != tp_user_sim_run)
        printf(", at most %u actors", shrunk.actors);
    printf(" (%u tries): %s: %s\n", shrunk.tries, shrunk.fault.checker, shrunk.fault.text);
    (void)options;
}

static bool run_seeds(const sim_options *options, const tp_subject *subject)
{
    static const char no_processes[] = "troupe sim: no process could be made\n";
    tp_seed_report report;
    tp_seed_order order = {.subject = *subject,
        .start = options->start,
        .count = options->seeds,
        .jobs = options->trace ? 1 : options->jobs,
        .twice = !options->once,
        .each = options->trace ? print_trace : NULL,
        .progress = options->progress ? progress : NULL,
        .user = (void *)(uintptr_t)options};
    if (!tp_seeds_run(&order, &report)) {
        fputs(no_processes, stderr);
        return false;
    }
    if (options->progress)
        fprintf(stderr, "\r\033[K");
    for (uint32_t i = 0; i < report.fault_count; i++)
        print_fault(options, &report.faults[i]);
    if (report.fault_count != 0 && options->shrunk)
        shrink(options, subject, &report.faults[0]);
    bool ours = options->load == NULL && options->scenario == NULL;
    const tp_scenario *scenario = options->load == NULL ? subject->subject : NULL;
    bool of_town = scenario != NULL && scenario->town != NULL;
    bool shows = options->marks && options->load == NULL;
    uint32_t missing = 0;
    if (shows || ((ours || of_town) && report.seeds >= 1000)) {
        missing = judge_marks(&report, of_town, options->marks);
        missing += of_town ? 0 : count_unlisted(&report);
        if (report.seeds < 1000 || !(ours || of_town))
            missing = 0; /* too few to judge */
    }
    print_summary(options, subject, &report);
    if (missing != 0)
        printf("%u named situations are reached by less than 1 %% of the seeds, or not listed\n",
            missing);
    return report.fault_count == 0 && missing == 0;
}

static bool catch_mutant(const sim_options *options, const mutant *it)
{
    tp_seed_report report;
    tp_seed_order order = {.start = options->start,
        .count = MUTANT_SEEDS,
        .mutants = UINT64_C(1) << it->bit,
        .jobs = options->jobs,
        .first_fault_ends = true,
        .quiet = true};
    if (!tp_subject_scenario(
            options->scenario != NULL ? options->scenario : it->scenario, &order.subject))
        return false;
    if (!tp_seeds_run(&order, &report))
        return false;
    if (report.fault_count == 0) {
        printf("mutant %-15s SURVIVED %" PRIu64 " seeds of %s\n", it->name, report.seeds,
            order.subject.name);
        return false;
    }
    const tp_seed_fault *fault = &report.faults[0];
    printf("mutant %-15s caught by seed %" PRIu64 " of %s: %s: %s\n", it->name, fault->seed,
        fault->subject, fault->checker, fault->text);
    fflush(stdout);
    return true;
}

/* A scenario of one node is not asked for what takes several, nor the other way round. */
static bool is_seen_by(const char *scenario, const mutant *it)
{
    bool several = tp_scenario_find(it->scenario)->town != NULL;
    return scenario == NULL || (tp_scenario_find(scenario)->town != NULL) == several;
}

static bool run_mutants(const sim_options *options)
{
    uint32_t survived = 0, tried = 0;
    for (size_t i = 0; i < MUTANT_COUNT; i++) {
        if (!is_seen_by(options->scenario, &mutants[i]) ||
            (options->mutant != NULL && strcmp(options->mutant, mutants[i].name) != 0))
            continue;
        tried++;
        survived += !catch_mutant(options, &mutants[i]);
    }
    printf("%u mutants, %u survived\n", tried, survived);
    return survived == 0;
}

static int list_scenarios(void)
{
    for (uint32_t i = 0; i < tp_scenario_count(); i++)
        printf("%-10s %s\n", tp_scenario_at(i)->name, tp_scenario_at(i)->about);
    return 0;
}

static int run_loaded(const sim_options *options)
{
    char error[256];
    tp_user_module module;
    if (!tp_user_module_open(options->load, &module, error, sizeof error)) {
        fprintf(stderr, "troupe sim: %s\n", error);
        return 2;
    }
    bool good = true;
    for (size_t i = 0; i < module.count; i++) {
        tp_subject subject = {tp_user_sim_run, module.simulations[i], module.simulations[i]->name};
        if (options->scenario != NULL && strcmp(options->scenario, subject.name) != 0)
            continue;
        good = run_seeds(options, &subject) && good;
    }
    tp_user_module_close(&module);
    return good ? 0 : 1;
}

int tp_sim_main(int argc, char **argv)
{
    sim_options options;
    if (!read_options(argc, argv, &options))
        return 2;
    if (options.help)
        return fputs(usage, stdout) < 0;
    if (options.scenario != NULL && strcmp(options.scenario, "help") == 0)
        return list_scenarios();
    if (options.load != NULL)
        return run_loaded(&options);
    tp_subject subject;
    if (!tp_subject_scenario(options.scenario, &subject)) {
        fprintf(stderr, "troupe sim: no scenario is called '%s'; --scenario help lists them\n",
            options.scenario);
        return 2;
    }
    bool good = run_seeds(&options, &subject);
    fflush(stdout);
    if (options.mutants || options.mutant != NULL)
        good = run_mutants(&options) && good;
    fflush(stdout);
    return good ? 0 : 1;
}
