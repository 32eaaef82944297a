/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs seeds in child processes: lane k of n runs the seeds start + k, start + k + n, ... A child
 * ends at its first violation or crash; the next one goes on behind that seed.
 *
 * Threads: one.
 */
#include "testkit/seeds_inside.h"
#include "testkit/town.h"
#include "testkit/vault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MOST        64
#define SECONDS_PER_SEED 60

/* ---- one seed -------------------------------------------------------------------------------- */

tp_seed_page *tp_seed_page_create(void)
{
    void *page =
        mmap(NULL, sizeof(tp_seed_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

void tp_seed_page_destroy(tp_seed_page *page)
{
    if (page != NULL)
        munmap(page, sizeof *page);
}

void tp_seed_silence(void)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0)
        return;
    (void)dup2(nowhere, 2);
    close(nowhere);
}

static void violated(void *user, const char *checker, const char *text)
{
    tp_seed_page *page = user;
    tp_seed_fault *fault = &page->report.faults[0];
    fault->seed = page->seed;
    snprintf(fault->subject, sizeof fault->subject, "%s", page->crashed);
    snprintf(fault->checker, sizeof fault->checker, "%s", checker);
    snprintf(fault->text, sizeof fault->text, "%s", text);
    const char *at = strstr(text, "at operation ");
    fault->op = at != NULL ? (uint32_t)strtoul(at + 13, NULL, 10) : 0;
    page->violated = true;
    fflush(NULL);
    _exit(1);
}

static void compare(
    tp_seed_page *page, const tp_world_record *record, const tp_stage_result results[2])
{
    if (record->differs_at == SIZE_MAX && results[0].effects == results[1].effects &&
        results[0].hash == results[1].hash)
        return;
    char text[400] = "the second run is shorter";
    size_t at = record->differs_at;
    if (at != SIZE_MAX) {
        tp_world_effect none = {0};
        const tp_world_effect *was = at < record->count ? &record->effects[at] : &none,
                              *is = &record->other;
        snprintf(text, sizeof text,
            "step %zu differs: what %u, detail %016llx, %.9f s, runner %u; again: what %u, detail "
            "%016llx, %.9f s, "
            "runner %u",
            at, was->what, (unsigned long long)was->detail, (double)was->now / 1e9, was->runner,
            is->what, (unsigned long long)is->detail, (double)is->now / 1e9, is->runner);
    }
    violated(page, "P12 replay", text);
}

void tp_seed_once(const tp_subject *subject, tp_stage_options *options, tp_seed_page *page,
    bool twice, tp_stage_result *ret_result)
{
    tp_world_record record = {.differs_at = SIZE_MAX};
    tp_stage_result again;
    options->violated = violated;
    options->user = page;
    options->record = twice ? &record : NULL;
    page->seed = options->seed;
    alarm(SECONDS_PER_SEED);
    subject->run(subject->subject, options, ret_result);
    if (twice) {
        record.compares = true;
        subject->run(subject->subject, options, &again);
        compare(page, &record, (tp_stage_result[]){*ret_result, again});
        tp_world_record_deinit(&record);
    }
    alarm(0);
}

static void run_scenario(
    const void *subject, const tp_stage_options *given, tp_stage_result *ret_result)
{
    tp_stage_options options = *given;
    tp_seed_page *page = given->user;
    options.scenario = subject != NULL ? subject : tp_scenario_draw(given->seed);
    snprintf(page->crashed, sizeof page->crashed, "%s", options.scenario->name);
    if (options.scenario->town != NULL)
        tp_town_run(&options, ret_result);
    else if (options.scenario->vault != NULL)
        tp_vault_run(&options, ret_result);
    else
        tp_stage_run(&options, ret_result);
}

bool tp_subject_scenario(const char *name, tp_subject *ret_subject)
{
    const tp_scenario *scenario = name != NULL ? tp_scenario_find(name) : NULL;
    if (name != NULL && scenario == NULL)
        return false;
    *ret_subject = (tp_subject){run_scenario, scenario, name};
    return true;
}

/* ---- reports --------------------------------------------------------------------------------- */

static uint32_t mark_index(tp_seed_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->mark_count; i++)
        if (strcmp(report->mark_names[i], name) == 0)
            return i;
    if (report->mark_count == TP_SEED_MARKS)
        return TP_SEED_MARKS - 1;
    snprintf(report->mark_names[report->mark_count], sizeof report->mark_names[0], "%s", name);
    return report->mark_count++;
}

static void add_result(tp_seed_report *report, uint64_t seed, const tp_stage_result *result)
{
    report->seeds++;
    uint64_t mixed = result->hash ^ (seed * UINT64_C(0x9E3779B97F4A7C15));
    report->hash += tp_prng_split(&mixed);
    report->effects += result->effects;
    report->steps += result->steps;
    report->virtual_time += result->virtual_time;
    if (report->effects_least == 0 || result->effects < report->effects_least)
        report->effects_least = result->effects;
    for (uint32_t i = 0; i < result->mark_count; i++)
        report->marks[mark_index(report, result->marks[i])]++;
}

static void add_report(tp_seed_report *to, const tp_seed_report *from)
{
    to->seeds += from->seeds;
    to->hash += from->hash;
    to->effects += from->effects;
    to->steps += from->steps;
    to->virtual_time += from->virtual_time;
    if (from->seeds != 0 && (to->effects_least == 0 || from->effects_least < to->effects_least))
        to->effects_least = from->effects_least;
    for (uint32_t i = 0; i < from->mark_count; i++)
        to->marks[mark_index(to, from->mark_names[i])] += from->marks[i];
}

bool tp_seed_fault_of(const tp_seed_page *page, int status, tp_seed_fault *ret_fault)
{
    if (page->violated) {
        *ret_fault = page->report.faults[0];
        return true;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    *ret_fault = (tp_seed_fault){.seed = page->seed};
    snprintf(ret_fault->subject, sizeof ret_fault->subject, "%s", page->crashed);
    snprintf(ret_fault->checker, sizeof ret_fault->checker, "crash");
    if (!WIFSIGNALED(status))
        snprintf(ret_fault->text, sizeof ret_fault->text, "the process ended with %d",
            WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGALRM)
        snprintf(ret_fault->text, sizeof ret_fault->text, "it ran for %d s and was ended",
            SECONDS_PER_SEED);
    else
        snprintf(ret_fault->text, sizeof ret_fault->text, "%s", strsignal(WTERMSIG(status)));
    return true;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

typedef struct lane {
    pid_t process; /* 0: none */
    tp_seed_page *page;
    uint64_t next;
} lane;

_Noreturn static void work(const tp_seed_order *order, lane *self, uint32_t jobs)
{
    if (order->quiet)
        tp_seed_silence();
    uint64_t end = order->start + order->count;
    for (uint64_t seed = self->next; seed < end; seed += jobs) {
        tp_stage_options options = {.seed = seed, .mutants = order->mutants};
        tp_stage_result result;
        self->page->next = seed + jobs;
        tp_seed_once(&order->subject, &options, self->page, order->twice, &result);
        add_result(&self->page->report, seed, &result);
        if (order->each != NULL)
            order->each(order->user, seed, self->page->crashed, &result);
    }
    fflush(NULL);
    _exit(0);
}

static bool start(const tp_seed_order *order, lane *self, uint32_t jobs)
{
    memset(self->page, 0, sizeof *self->page);
    self->page->seed = self->next;
    fflush(NULL);
    self->process = fork();
    if (self->process == 0)
        work(order, self, jobs);
    return self->process > 0;
}

static void stop_all(lane *lanes, uint32_t jobs)
{
    for (uint32_t i = 0; i < jobs; i++) {
        if (lanes[i].process <= 0)
            continue;
        kill(lanes[i].process, SIGKILL);
        waitpid(lanes[i].process, NULL, 0);
        lanes[i].process = 0;
    }
}

static void say_progress(
    const tp_seed_order *order, const tp_seed_report *report, const lane *lanes, uint32_t jobs)
{
    if (order->progress == NULL)
        return;
    uint64_t seeds = report->seeds;
    for (uint32_t i = 0; i < jobs; i++)
        if (lanes[i].process > 0)
            seeds += *(volatile uint64_t *)&lanes[i].page->report.seeds;
    order->progress(order->user, seeds, report->fault_count);
}

/* The lane whose child has ended, and how. */
static lane *wait_for_one(const tp_seed_order *order, const tp_seed_report *report, lane *lanes,
    uint32_t jobs, int *ret_status)
{
    for (;;) {
        for (uint32_t i = 0; i < jobs; i++) {
            if (lanes[i].process <= 0)
                continue;
            bool only = jobs == 1 && order->progress == NULL;
            if (waitpid(lanes[i].process, ret_status, only ? 0 : WNOHANG) == lanes[i].process)
                return &lanes[i];
        }
        say_progress(order, report, lanes, jobs);
        usleep(order->progress != NULL ? 50000 : 5000);
    }
}

static void run_lanes(
    const tp_seed_order *order, lane *lanes, uint32_t jobs, tp_seed_report *report)
{
    uint64_t end = order->start + order->count;
    uint32_t running = 0;
    for (uint32_t i = 0; i < jobs; i++)
        running += start(order, &lanes[i], jobs);
    while (running != 0) {
        int status = 0;
        lane *ended = wait_for_one(order, report, lanes, jobs, &status);
        ended->process = 0;
        running--;
        tp_seed_fault fault;
        bool bad = tp_seed_fault_of(ended->page, status, &fault);
        add_report(report, &ended->page->report);
        if (!bad)
            continue;
        report->faults[report->fault_count++] = fault;
        report->seeds++;
        if (report->fault_count == TP_SEED_FAULTS || order->first_fault_ends)
            break;
        ended->next = ended->page->next;
        if (ended->next < end)
            running += start(order, ended, jobs);
    }
    stop_all(lanes, jobs);
}

bool tp_seeds_run(const tp_seed_order *order, tp_seed_report *ret_report)
{
    lane lanes[JOBS_MOST] = {{0}};
    uint32_t jobs = order->jobs != 0 ? order->jobs : 1;
    if (jobs > JOBS_MOST)
        jobs = JOBS_MOST;
    if (jobs > order->count)
        jobs = order->count != 0 ? (uint32_t)order->count : 1;
    bool all = true;
    for (uint32_t i = 0; i < jobs; i++) {
        lanes[i].page = tp_seed_page_create();
        lanes[i].next = order->start + i;
        all = all && lanes[i].page != NULL;
    }
    *ret_report = (tp_seed_report){0};
    if (all)
        run_lanes(order, lanes, jobs, ret_report);
    for (uint32_t i = 0; i < jobs; i++)
        tp_seed_page_destroy(lanes[i].page);
    return all;
}
