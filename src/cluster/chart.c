/* SPDX-License-Identifier: Apache-2.0 */
/* Views as shards use them. See chart.h. */
#include "cluster/chart.h"

#include "base/alloc.h"

#include <xxhash.h>

static bool all_leave(const tp_view *view)
{
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].status == TP_VIEW_ACTIVE)
            return false;
    return true;
}

static troupe_status make_ring(const troupe_allocator *allocator, const tp_view *view,
    const tp_chart *before, tp_ring **ret_ring)
{
    bool all = all_leave(view);
    size_t bytes = (view->member_count + 1) * sizeof(tp_ring_member);
    tp_ring_member *homes = tp_allocate(allocator, bytes);
    if (homes == NULL)
        return TROUPE_NO_MEMORY;
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->member_count; i++) {
        const tp_view_member *member = &view->members[i];
        if (all || member->status == TP_VIEW_ACTIVE)
            homes[count++] =
                (tp_ring_member){.name = XXH3_64bits(member->name.data, member->name.size),
                    .incarnation = member->incarnation,
                    .node = i};
    }
    troupe_status status =
        before != NULL ? tp_ring_follow(allocator, before->ring, homes, count, ret_ring)
                       : tp_ring_create(allocator, homes, count, TP_RING_POINTS, ret_ring);
    tp_release(allocator, homes, bytes);
    return status;
}

troupe_status tp_chart_create(const troupe_allocator *allocator, const tp_view *view,
    const tp_chart *before, tp_chart **ret_chart)
{
    size_t count = view->member_count;
    size_t bytes = sizeof(tp_chart) + count * sizeof(tp_directory_member);
    tp_chart *chart = tp_allocate(allocator, bytes);
    if (chart == NULL)
        return TROUPE_NO_MEMORY;
    tp_ring *ring;
    troupe_status status = make_ring(allocator, view, before, &ring);
    if (status != TROUPE_OK) {
        tp_release(allocator, chart, bytes);
        return status;
    }
    tp_directory_member *members = (tp_directory_member *)(chart + 1);
    for (size_t i = 0; i < count; i++)
        members[i] = (tp_directory_member){view->members[i].incarnation, view->members[i].shards};
    *chart = (tp_chart){.view = {.number = view->number,
                            .members = members,
                            .member_count = (uint32_t)count,
                            .ring = ring},
        .members = tp_view_retain(view),
        .ring = ring,
        .allocator = allocator,
        .references = 1,
        .bytes = bytes};
    *ret_chart = chart;
    return TROUPE_OK;
}

tp_chart *tp_chart_retain(tp_chart *chart)
{
    atomic_fetch_add_explicit(&chart->references, 1, memory_order_relaxed);
    return chart;
}

void tp_chart_release(tp_chart *chart)
{
    if (chart == NULL ||
        atomic_fetch_sub_explicit(&chart->references, 1, memory_order_acq_rel) != 1)
        return;
    tp_view_release(chart->members);
    tp_ring_destroy(chart->ring);
    tp_release(chart->allocator, chart, chart->bytes);
}

static bool hosts(const tp_view_member *member, troupe_slice type)
{
    for (size_t k = 0; k < member->type_count; k++)
        if (troupe_slice_equal(member->types[k], type))
            return true;
    return false;
}

/* The highest weight has it (rendezvous hashing): a view moves only what it has to. */
static const tp_view_member *stand_in(const tp_chart *chart, troupe_slice type, uint64_t hash)
{
    const tp_view_member *best = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < chart->members->member_count; i++) {
        const tp_view_member *member = &chart->members->members[i];
        uint64_t weight = tp_index_mix(hash ^ tp_index_mix(member->incarnation));
        bool counts = member->status == TP_VIEW_ACTIVE && hosts(member, type);
        if (counts && (best == NULL || weight > most)) {
            best = member;
            most = weight;
        }
    }
    return best;
}

bool tp_chart_wakes(const tp_chart *chart, uint64_t incarnation, troupe_slice type, uint64_t hash)
{
    if (tp_ring_count(chart->ring) == 0)
        return false;
    const tp_view_member *member = &chart->members->members[tp_directory_home(&chart->view, hash)];
    if (!hosts(member, type))
        member = stand_in(chart, type, hash);
    return member != NULL && member->incarnation == incarnation;
}

bool tp_chart_is_new(const tp_chart *before, uint64_t incarnation)
{
    return before == NULL || tp_chart_member(before, incarnation) == NULL;
}

/* Has one come that does not host all that this member hosts? */
static bool has_lacking(
    const tp_chart *chart, const tp_chart *before, const tp_view_member *member)
{
    for (size_t i = 0; i < chart->members->member_count; i++) {
        const tp_view_member *other = &chart->members->members[i];
        if (!tp_chart_is_new(before, other->incarnation))
            continue;
        for (size_t k = 0; k < member->type_count; k++)
            if (!hosts(other, member->types[k]))
                return true;
    }
    return false;
}

bool tp_chart_wakes_more(const tp_chart *chart, const tp_chart *before, uint64_t incarnation)
{
    if (tp_chart_is_new(before, incarnation))
        return true;
    const tp_view_member *member = tp_chart_member(chart, incarnation);
    if (member != NULL && has_lacking(chart, before, member))
        return true;
    for (size_t i = 0; i < before->members->member_count; i++) {
        const tp_view_member *was = &before->members->members[i];
        const tp_view_member *is = tp_chart_member(chart, was->incarnation);
        if (is == NULL || (was->status == TP_VIEW_ACTIVE && is->status != TP_VIEW_ACTIVE))
            return true;
    }
    return false;
}

static bool has_gone_since(const tp_chart *before, const tp_view_change *change)
{
    bool is_news = before == NULL || change->view > before->view.number;
    return is_news && (change->what == TP_VIEW_LEFT || change->what == TP_VIEW_REVOKED);
}

void tp_chart_each_gone(const tp_chart *before, const tp_view *view,
    void (*gone)(void *user, uint64_t incarnation), void *user)
{
    for (size_t i = 0; before != NULL && i < before->members->member_count; i++)
        if (tp_view_find(view, before->members->members[i].incarnation) == NULL)
            gone(user, before->members->members[i].incarnation);
    for (size_t i = 0; i < view->change_count; i++) {
        const tp_view_change *change = &view->changes[i];
        bool was_member = before != NULL && tp_chart_member(before, change->incarnation) != NULL;
        if (has_gone_since(before, change) && !was_member)
            gone(user, change->incarnation);
    }
}

void tp_chart_teach(const tp_chart *chart, tp_shared *shared)
{
    const tp_view *view = chart->members;
    for (size_t i = 0; i < view->member_count; i++)
        for (size_t k = 0; k < view->members[i].type_count; k++)
            if (tp_foreign_learn(shared, view->members[i].types[k], view->number) == NULL)
                TP_LOG(shared->log, TROUPE_LOG_WARN, "type_not_learned",
                    TP_FIELDS(tp_field_text("type", view->members[i].types[k])),
                    "calls to it from this node end with NO_TYPE: no memory, or other members "
                    "have hosted more than 4,096 types");
    tp_foreign_learned(shared, view->number);
}
