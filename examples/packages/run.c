/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a node, loads the packages into their actors, has the conductor do its two steps while it
 * shows how far they are, and asks every package for its figures.
 *
 * Invariants: 1. The book is complete before the first message.
 * 2. A step that does not move for STALL_SECONDS fails the run. 3. What is begun at a time stays
 * far below max_actors: actors that wait to send cannot be evicted, and if all did none could go
 * on. Threads: main; answers come on the threads of the shards, see sweep.c.
 */
#include "run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "actors.h"
#include "progress.h"
#include "sweep.h"

enum { SWEEP_WINDOW = 1024, GO_WINDOW = 1024, FLUSH_WINDOW = 1024, STALL_SECONDS = 60 };

struct run {
    const struct run_options *options;
    struct run_result *result;
    struct address_book book;
    troupe_type package_type;
    troupe_type conductor_type;
    char conductor[16]; /* its key */
    troupe_node *node;
    troupe_client *client;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->error, run->error_size, format, arguments);
    va_end(arguments);
    return false;
}

/* Its state is as large as the index: one that another index has left in the store is not its own.
 */
static troupe_id conductor_id(struct run *run)
{
    snprintf(run->conductor, sizeof(run->conductor), "of-%u", run->options->index->count);
    return troupe_id_of("conductor", run->conductor);
}

static void nap(long milliseconds)
{
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

static uint64_t messages_now(struct run *run)
{
    troupe_stats stats = {.size = sizeof(stats)};
    return troupe_node_stats(run->node, &stats) == TROUPE_OK ? run_messages(&stats) : 0;
}

/* ---- the node and the book ------------------------------------------------------------------- */

static void describe_types(struct run *run)
{
    troupe_persist persist =
        run->options->max_actors > 0 ? TROUPE_PERSIST_ON_DEACTIVATE : TROUPE_PERSIST_NONE;
    uint32_t count = run->options->index->count;
    run->package_type = (troupe_type){
        TROUPE_TYPE("package"),
        .state_size = package_state_size,
        .methods = package_methods,
        .method_size = sizeof(troupe_method),
        .method_count = package_method_count,
        .save = package_save,
        .load = package_load,
        .persist = persist,
        .keep_on_failure = true,       /* any failure fails the run: nothing to go back to */
        .mailbox_limit = count + 1024, /* a share of every package may wait */
        .user = &run->book,
    };
    run->conductor_type = (troupe_type){
        TROUPE_TYPE("conductor"),
        .state_size = conductor_state_size(count),
        .methods = conductor_methods,
        .method_size = sizeof(troupe_method),
        .method_count = conductor_method_count,
        .persist = persist,
        .keep_on_failure = true,
        .mailbox_limit = 2 * count + 1024,
        .user = &run->book,
    };
}

static bool open_node(struct run *run)
{
    uint32_t count = run->options->index->count;
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS,
        .name = "packages",
        .shards = run->options->shards,
        .storage = run->options->max_actors > 0 ? run->options->storage : "memory:",
        .max_actors =
            run->options->max_actors > 0 ? run->options->max_actors : 2 * (uint64_t)count + 1024,
        .idle = TROUPE_HOURS(1),
    };
    char words[256] = "";
    describe_types(run);
    troupe_status status = troupe_node_open_explained(&options,
        TROUPE_TYPES(&run->package_type, &run->conductor_type), &run->node, words, sizeof(words));
    if (status != TROUPE_OK)
        return fail(run, "the node does not open: %s", words);
    status = troupe_client_open(run->node, &run->client);
    return status == TROUPE_OK || fail(run, "no client: %s", troupe_status_text(status));
}

static troupe_status find_selectors(struct address_book *book)
{
    const struct {
        const troupe_ref *ref;
        const char *method;
        troupe_selector *selector;
    } wanted[] = {
        {book->packages[0], "mark", &book->mark},
        {book->packages[0], "flush", &book->flush},
        {book->packages[0], "share", &book->share},
        {book->conductor, "marked", &book->marked},
        {book->conductor, "flushed", &book->flushed},
        {book->conductor, "done", &book->done},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        TROUPE_TRY(troupe_ref_selector(wanted[i].ref, wanted[i].method, wanted[i].selector));
    return TROUPE_OK;
}

/* How much may be begun at a time, so that a part of max_actors is enough for what comes of it. */
static uint32_t at_once(const struct run *run, uint32_t most, uint32_t part)
{
    uint32_t limit = run->options->max_actors;
    if (limit == 0 || limit / part >= most)
        return most;
    return limit / part > 0 ? limit / part : 1;
}

static bool fill_book(struct run *run)
{
    const struct package_index *index = run->options->index;
    struct address_book *book = &run->book;
    book->packages = calloc(index->count, sizeof(*book->packages));
    if (book->packages == NULL)
        return fail(run, "out of memory");
    book->count = index->count;
    book->block_sources = at_once(run, MARK_SOURCES, 8);
    book->go_window = at_once(run, GO_WINDOW, 16);
    book->flush_window = at_once(run, FLUSH_WINDOW, 16);
    troupe_status status = troupe_ref_create(run->node, conductor_id(run), &book->conductor);
    for (uint32_t i = 0; status == TROUPE_OK && i < index->count; i++)
        status = troupe_ref_create(
            run->node, troupe_id_of("package", index->names[i]), &book->packages[i]);
    if (status == TROUPE_OK)
        status = find_selectors(book);
    return status == TROUPE_OK || fail(run, "no refs: %s", troupe_status_text(status));
}

/* Where a run failed, turns still send by the book: the node goes first. */
static void close_node(struct run *run)
{
    if (run->client != NULL)
        troupe_client_close(run->client);
    troupe_node_close(run->node);
    for (uint32_t i = 0; i < run->book.count; i++)
        troupe_ref_release(run->book.packages[i]);
    troupe_ref_release(run->book.conductor);
    free(run->book.packages);
}

/* ---- sweeps --------------------------------------------------------------------------------- */

struct sweep_progress {
    struct run *run;
    struct progress progress;
};

static void show_sweep(void *user, uint32_t asked)
{
    struct sweep_progress *shown = user;
    uint32_t count = shown->run->options->index->count;
    uint32_t done = asked < count ? asked : count;
    progress_show(&shown->progress, done, count, messages_now(shown->run));
}

/* `figures` NULL: loads; else collects into it. */
static bool sweep(struct run *run, const char *step, struct figures *figures, double *ret_seconds)
{
    struct sweep_progress shown = {.run = run};
    struct sweep_options options = {
        .client = run->client,
        .book = &run->book,
        .index = run->options->index,
        .window = at_once(run, SWEEP_WINDOW, 16),
        .figures = figures,
        .on_progress = show_sweep,
        .user = &shown,
    };
    char words[256] = "";
    progress_begin(&shown.progress, step, messages_now(run));
    troupe_status status = sweep_packages(&options, words, sizeof(words));
    *ret_seconds = progress_end(&shown.progress, messages_now(run));
    return status == TROUPE_OK || fail(run, "%s: %s %s", step, troupe_status_name(status), words);
}

/* ---- steps: the conductor works, this waits -------------------------------------------------- */

static bool ask_progress(struct run *run, struct progress_message *ret_message)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(STALL_SECONDS), .retry = {.attempts = 1000}};
    troupe_status status = troupe_client_ask(
        run->client, conductor_id(run), "progress", troupe_str(NULL), &options, &answer);
    bool good = status == TROUPE_OK && answer.payload.size == sizeof(*ret_message);
    if (good)
        memcpy(ret_message, answer.payload.data, sizeof(*ret_message));
    else
        fail(run, "the conductor does not say how far it is: %.*s", TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return good;
}

static bool run_step(
    struct run *run, const char *method, struct begin_message begin, double *ret_seconds)
{
    struct progress progress;
    progress_begin(&progress, method, messages_now(run));
    troupe_status status = troupe_client_tell(
        run->client, conductor_id(run), method, troupe_slice_of(&begin, sizeof(begin)), NULL);
    if (status != TROUPE_OK)
        return fail(run, "%s: %s", method, troupe_status_text(status));

    struct progress_message last = {0}, now = {.busy = true};
    double moved = plain_clock();
    while (now.busy) {
        nap(last.of == 0 ? 1 : 50);
        if (!ask_progress(run, &now))
            return false;
        if (now.steps != last.steps)
            moved = plain_clock();
        last = now;
        progress_show(&progress, now.steps, now.of, messages_now(run));
        int trouble = atomic_load(&run->book.trouble);
        if (trouble != TROUPE_OK)
            return fail(run, "%s: a turn failed: %s", method, troupe_status_text(trouble));
        if (plain_clock() - moved > STALL_SECONDS)
            return fail(run, "%s stands still at %llu of %llu", method,
                (unsigned long long)now.steps, (unsigned long long)now.of);
    }
    *ret_seconds = progress_end(&progress, messages_now(run));
    return true;
}

static bool run_steps(struct run *run)
{
    struct run_result *result = run->result;
    struct begin_message begin = {.rounds = run->options->rounds};
    if (!open_node(run) || !fill_book(run) || !sweep(run, "load", NULL, &result->load_seconds) ||
        !run_step(run, "closures", begin, &result->closure_seconds) ||
        !run_step(run, "rank", begin, &result->rank_seconds) ||
        !sweep(run, "collect", &result->figures, &result->collect_seconds))
        return false;
    result->stats.size = sizeof(result->stats);
    result->resent = atomic_load(&run->book.busy);
    return troupe_node_stats(run->node, &result->stats) == TROUPE_OK || fail(run, "no statistics");
}

bool run_all(
    const struct run_options *options, struct run_result *result, char *error, size_t error_size)
{
    struct run run = {
        .options = options, .result = result, .error = error, .error_size = error_size};
    *result = (struct run_result){0};
    bool good =
        figures_init(&result->figures, options->index->count) || fail(&run, "out of memory");
    good = good && run_steps(&run);
    close_node(&run);
    if (!good)
        figures_deinit(&result->figures);
    return good;
}
