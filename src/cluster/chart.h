/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view as shards use it: its members by incarnation, and which of them is home to which hashes.
 * Made once per view by the control runner, immutable, counted, shared by all shards.
 *
 * Homes: the ring of the members by their names (directory/ring.h). Members that are leaving are at
 * home nowhere, unless all are.
 *
 * Threads: retain and release any; all else reads.
 */
#ifndef TP_CLUSTER_CHART_H
#define TP_CLUSTER_CHART_H

#include "directory/directory.h"
#include "member/view.h"
#include "shard/shard.h"

typedef struct tp_chart {
    tp_directory_view view; /* members, ring */
    tp_ring *ring;
    const tp_view *members; /* as the store has it; its own reference */
    const troupe_allocator *allocator;
    _Atomic uint32_t references;
    size_t bytes;
} tp_chart;

/* `before`: of an earlier view, of which it makes use; NULL: there was none. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_chart_create(const troupe_allocator *allocator, const tp_view *view,
    const tp_chart *before, tp_chart **ret_chart);
tp_chart *tp_chart_retain(tp_chart *chart);
void tp_chart_release(tp_chart *chart); /* NULL is a no-op */

/* Lets the node know the types of all members. What is not learned for want of memory is with the
 * next view, or when somebody mentions it. */
void tp_chart_teach(const tp_chart *chart, tp_shared *shared);

/* Who has gone since `before` (NULL: lately, as far as the view lists changes), each once. Of those
 * that came and went since then the view lists the last; members of `before` are missed by none. */
void tp_chart_each_gone(const tp_chart *before, const tp_view *view,
    void (*gone)(void *user, uint64_t incarnation), void *user);
/* Is it that member that wakes sleeping actors of that type and hash? The home does; if that does
 * not host the type, one of those that do, the same in the eyes of all. */
bool tp_chart_wakes(const tp_chart *chart, uint64_t incarnation, troupe_slice type, uint64_t hash);
/* Was it none of that view (NULL: there was none)? */
bool tp_chart_is_new(const tp_chart *before, uint64_t incarnation);
/* May that member have to wake some whom others woke as of `before` (NULL: none)? That is, is it
 * new, or has another gone, or ceased to be a home, or has one come that does not host all that it
 * hosts? Who comes only takes from others what it hosts; as a home of what it does not host it
 * makes a stand-in of one that had nothing to do with that. */
bool tp_chart_wakes_more(const tp_chart *chart, const tp_chart *before, uint64_t incarnation);

/* Its address, as a string. False: it is NULL, or longer than that. */
static inline bool tp_chart_address(const tp_view_member *member, char *address, size_t size)
{
    if (member == NULL || member->address.size >= size)
        return false;
    memcpy(address, member->address.data, member->address.size);
    address[member->address.size] = 0;
    return true;
}

/* NULL: no member of this view. */
static inline const tp_view_member *tp_chart_member(const tp_chart *chart, uint64_t incarnation)
{
    return tp_view_find(chart->members, incarnation);
}

#endif
