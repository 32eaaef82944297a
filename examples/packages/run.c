/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens the node or the cluster, loads the packages into their actors, has the conductor do its two
 * steps while it shows how far they are, and asks every package for its figures.
 *
 * Invariants: 1. A step that does not move for STALL_SECONDS fails the run. 2. A node that has
 * ended fails it as well.
 * Threads: main; answers come on the threads of the shards, see sweep.c.
 */
#include "run.h"

#include <stdio.h>

#include "peers.h"
#include "progress.h"
#include "sweep.h"

enum { SWEEP_WINDOW = 1024, STALL_SECONDS = 60 };

struct run {
    const struct run_options *options;
    struct run_result *result;
    struct member member;
    struct peers peers;
    troupe_client *client;
};

/* ---- what the nodes say ---------------------------------------------------------------------- */

static void add_stats(troupe_stats *sum, const troupe_stats *stats)
{
#define X(name, text) sum->name += stats->name;
    TROUPE_COUNTER_MAP(X)
#undef X
    sum->shards += stats->shards;
    sum->active += stats->active;
}

/* Into the result, as it is now. */
static bool take_stats(struct run *run)
{
    struct run_result *result = run->result;
    struct node_report report;
    result->stats = (troupe_stats){.size = sizeof(result->stats)};
    result->resent = 0;
    for (uint32_t i = 0; i <= run->peers.count; i++) {
        bool good = i == 0 ? peers_report(&run->member, &report)
                           : peers_ask(&run->peers, i - 1, &run->member, &report);
        if (!good)
            return false;
        if (report.trouble != TROUPE_OK)
            return member_fail(
                &run->member, "a turn failed: %s", troupe_status_text(report.trouble));
        add_stats(&result->stats, &report.stats);
        result->resent += report.busy;
        result->active[i] = report.stats.active;
    }
    return true;
}

/* ---- sweeps --------------------------------------------------------------------------------- */

struct sweep_progress {
    struct run *run;
    struct progress progress;
};

static bool show_sweep(void *user, uint32_t asked)
{
    struct sweep_progress *shown = user;
    struct run *run = shown->run;
    uint32_t count = run->options->index->count;
    uint32_t done = asked < count ? asked : count;
    if (!take_stats(run))
        return false;
    progress_show(&shown->progress, done, count, run_messages(&run->result->stats));
    return peers_nap(&run->peers, &run->member, 0);
}

/* `figures` NULL: loads; else collects into it. */
static bool sweep(struct run *run, const char *step, struct figures *figures, double *ret_seconds)
{
    struct sweep_progress shown = {.run = run};
    struct sweep_options options = {
        .client = run->client,
        .book = &run->member.book,
        .index = run->options->index,
        .window = member_at_once(&run->member, SWEEP_WINDOW, 16),
        .figures = figures,
        .on_progress = show_sweep,
        .user = &shown,
    };
    char words[256] = "";
    progress_begin(&shown.progress, step, run_messages(&run->result->stats));
    troupe_status status = sweep_packages(&options, words, sizeof(words));
    if (status == TROUPE_CANCELLED && run->member.error[0] != '\0')
        return false; /* show_sweep has said why */
    if (status != TROUPE_OK)
        return member_fail(&run->member, "%s: %s %s", step, troupe_status_name(status), words);
    bool good = take_stats(run);
    *ret_seconds = progress_end(&shown.progress, run_messages(&run->result->stats));
    return good;
}

/* ---- steps: the conductor works, this waits -------------------------------------------------- */

static bool ask_progress(struct run *run, struct progress_message *ret_message)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(STALL_SECONDS), .retry = {.attempts = 1000}};
    troupe_status status = troupe_client_ask(run->client, member_conductor(&run->member),
        "progress", troupe_str(NULL), &options, &answer);
    bool good = status == TROUPE_OK && answer.payload.size == sizeof(*ret_message);
    if (good)
        memcpy(ret_message, answer.payload.data, sizeof(*ret_message));
    else
        member_fail(&run->member, "the conductor does not say how far it is: %.*s",
            TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    if (!good)
        (void)take_stats(run); /* a node that has ended is a better reason */
    return good;
}

static bool run_step(
    struct run *run, const char *method, struct begin_message begin, double *ret_seconds)
{
    struct member *member = &run->member;
    struct progress progress;
    progress_begin(&progress, method, run_messages(&run->result->stats));
    troupe_status status = troupe_client_tell(run->client, member_conductor(member), method,
        troupe_slice_of(&begin, sizeof(begin)), NULL);
    if (status != TROUPE_OK)
        return member_fail(member, "%s: %s", method, troupe_status_text(status));

    struct progress_message last = {0}, now = {.busy = true};
    double moved = plain_clock();
    while (now.busy) {
        if (!peers_nap(&run->peers, member, last.of == 0 ? 1 : 50) || !ask_progress(run, &now) ||
            !take_stats(run))
            return false;
        if (now.steps != last.steps)
            moved = plain_clock();
        last = now;
        progress_show(&progress, now.steps, now.of, run_messages(&run->result->stats));
        if (plain_clock() - moved > STALL_SECONDS)
            return member_fail(member, "%s stands still at %llu of %llu", method,
                (unsigned long long)now.steps, (unsigned long long)now.of);
    }
    *ret_seconds = progress_end(&progress, run_messages(&run->result->stats));
    return true;
}

static bool open_nodes(struct run *run)
{
    struct member *member = &run->member;
    bool has_peers = run->options->nodes > 1;
    if (has_peers && !peers_begin(&run->peers, member))
        return false;
    if (!member_open(member, 1, has_peers ? run->peers.url : NULL) ||
        (has_peers && !peers_wait(&run->peers, member)))
        return false;
    troupe_status status = troupe_client_open(member->node, &run->client);
    return status == TROUPE_OK || member_fail(member, "no client: %s", troupe_status_text(status));
}

static bool close_nodes(struct run *run)
{
    if (run->client != NULL)
        troupe_client_close(run->client);
    bool good = peers_end(&run->peers, &run->member);
    member_close(&run->member);
    peers_clean(&run->peers);
    return good;
}

static bool run_steps(struct run *run)
{
    struct run_result *result = run->result;
    struct begin_message begin = {.rounds = run->options->rounds};
    return open_nodes(run) && sweep(run, "load", NULL, &result->load_seconds) &&
           run_step(run, "closures", begin, &result->closure_seconds) &&
           run_step(run, "rank", begin, &result->rank_seconds) &&
           sweep(run, "collect", &result->figures, &result->collect_seconds);
}

bool run_all(
    const struct run_options *options, struct run_result *result, char *error, size_t error_size)
{
    struct run run = {
        .options = options,
        .result = result,
        .member = {.options = options, .error = error, .error_size = error_size},
        .peers = {.options = options},
    };
    *result = (struct run_result){0};
    bool good = figures_init(&result->figures, options->index->count) ||
                member_fail(&run.member, "out of memory");
    good = good && run_steps(&run);
    good = close_nodes(&run) && good;
    if (!good)
        figures_deinit(&result->figures);
    return good;
}
