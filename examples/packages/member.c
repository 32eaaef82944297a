/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Describes the types, opens the node, fills the book.
 *
 * Invariants: 1. Every node of a cluster has the same types and the same book, made of the same
 * index. 2. In a cluster the policy `random` deals packages out; by prefer-local all would be at
 * the driver's node.
 * Threads: main.
 */
#include "member.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { GO_WINDOW = 1024, FLUSH_WINDOW = 1024 };

bool member_fail(struct member *member, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(member->error, member->error_size, format, arguments);
    va_end(arguments);
    return false;
}

/* Its state is as large as the index: one that another index has left in the store is not its own.
 */
troupe_id member_conductor(struct member *member)
{
    snprintf(member->conductor, sizeof(member->conductor), "of-%u", member->options->index->count);
    return troupe_id_of("conductor", member->conductor);
}

uint32_t member_at_once(const struct member *member, uint32_t most, uint32_t part)
{
    uint32_t limit = member->options->max_actors;
    if (limit == 0 || limit / part >= most)
        return most;
    return limit / part > 0 ? limit / part : 1;
}

/* ---- the node -------------------------------------------------------------------------------- */

static void describe_types(struct member *member)
{
    /* A node that leaves a cluster saves such states; others it would hand on to those that stay,
     * which leave as well. */
    bool saves = member->options->max_actors > 0 || member->options->nodes > 1;
    troupe_persist persist = saves ? TROUPE_PERSIST_ON_DEACTIVATE : TROUPE_PERSIST_NONE;
    uint32_t count = member->options->index->count;
    member->package_type = (troupe_type){
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
        .user = &member->book,
    };
    member->conductor_type = (troupe_type){
        TROUPE_TYPE("conductor"),
        .state_size = conductor_state_size(count),
        .methods = conductor_methods,
        .method_size = sizeof(troupe_method),
        .method_count = conductor_method_count,
        .persist = persist,
        .keep_on_failure = true,
        .mailbox_limit = 2 * count + 1024,
        .user = &member->book,
    };
}

/* The cores are shared out among the nodes. */
static uint32_t shards_of(const struct run_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (options->shards > 0 || options->nodes == 1)
        return options->shards;
    return cores > (long)options->nodes ? (uint32_t)(cores / options->nodes) : 1;
}

static bool open_node(struct member *member, uint32_t number, const char *cluster)
{
    const struct run_options *run = member->options;
    uint32_t count = run->index->count;
    snprintf(member->name, sizeof(member->name), "node-%u", number);
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS,
        .name = cluster != NULL ? member->name : "packages",
        .shards = shards_of(run),
        .storage = run->max_actors > 0 || run->nodes > 1 ? run->storage : "memory:",
        .max_actors = run->max_actors > 0 ? run->max_actors : 2 * (uint64_t)count + 1024,
        .idle = TROUPE_HOURS(1),
    };
    if (cluster != NULL) {
        options.cluster = cluster;
        options.placement = "random";
        options.cache_size = count + 1024; /* it sends to all of them, again and again */
        options.log = "error,text";        /* that others leave at the end is no warning here */
    }
    char words[256] = "";
    describe_types(member);
    troupe_status status = troupe_node_open_explained(&options,
        TROUPE_TYPES(&member->package_type, &member->conductor_type), &member->node, words,
        sizeof(words));
    return status == TROUPE_OK || member_fail(member, "the node does not open: %s", words);
}

/* ---- the book -------------------------------------------------------------------------------- */

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

static bool fill_book(struct member *member)
{
    const struct package_index *index = member->options->index;
    struct address_book *book = &member->book;
    book->packages = calloc(index->count, sizeof(*book->packages));
    if (book->packages == NULL)
        return member_fail(member, "out of memory");
    book->count = index->count;
    book->block_sources = member_at_once(member, MARK_SOURCES, 8);
    book->go_window = member_at_once(member, GO_WINDOW, 16);
    book->flush_window = member_at_once(member, FLUSH_WINDOW, 16);
    troupe_status status =
        troupe_ref_create(member->node, member_conductor(member), &book->conductor);
    for (uint32_t i = 0; status == TROUPE_OK && i < index->count; i++)
        status = troupe_ref_create(
            member->node, troupe_id_of("package", index->names[i]), &book->packages[i]);
    if (status == TROUPE_OK)
        status = find_selectors(book);
    return status == TROUPE_OK || member_fail(member, "no refs: %s", troupe_status_text(status));
}

bool member_open(struct member *member, uint32_t number, const char *cluster)
{
    return open_node(member, number, cluster) && fill_book(member);
}

/* Where a run failed, turns still send by the book: the node goes first. */
void member_close(struct member *member)
{
    troupe_node_close(member->node);
    for (uint32_t i = 0; i < member->book.count; i++)
        troupe_ref_release(member->book.packages[i]);
    troupe_ref_release(member->book.conductor);
    free(member->book.packages);
}
