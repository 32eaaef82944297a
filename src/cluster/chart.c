/* SPDX-License-Identifier: Apache-2.0 */
/* Views as shards use them. See chart.h. */
#include "cluster/chart.h"

#include "base/alloc.h"
#include "base/index.h"

#include <stdlib.h>
#include <xxhash.h>

typedef struct point {
    uint64_t at;
    uint64_t node; /* the lower incarnation goes first where two meet */
    uint32_t member;
} point;

static int by_place(const void *left, const void *right)
{
    const point *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}

static bool is_home(const tp_view *view, const tp_view_member *member, bool all_leave)
{
    (void)view;
    return all_leave || member->status == TP_VIEW_ACTIVE;
}

static bool all_leave(const tp_view *view)
{
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].status == TP_VIEW_ACTIVE)
            return false;
    return true;
}

static uint32_t lay_points(const tp_view *view, point *points)
{
    bool all = all_leave(view);
    uint32_t count = 0;
    const uint64_t slice = UINT64_MAX / TP_CHART_POINTS;
    for (uint32_t i = 0; i < view->member_count; i++) {
        const tp_view_member *member = &view->members[i];
        if (!is_home(view, member, all))
            continue;
        uint64_t name = XXH3_64bits(member->name.data, member->name.size);
        for (uint32_t k = 0; k < TP_CHART_POINTS; k++) {
            uint64_t chance = XXH3_64bits_withSeed(&k, sizeof k, name);
            points[count++] = (point){k * slice + chance % slice, member->incarnation, i};
        }
    }
    qsort(points, count, sizeof *points, by_place);
    return count;
}

/* Neighbouring points of one member are one arc. */
static uint32_t join_arcs(const point *points, uint32_t count, tp_directory_arc *arcs)
{
    uint32_t made = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (made != 0 && arcs[made - 1].member == points[i].member)
            continue;
        arcs[made++] = (tp_directory_arc){points[i].at, points[i].member};
    }
    return made;
}

troupe_status tp_chart_create(
    const troupe_allocator *allocator, const tp_view *view, tp_chart **ret_chart)
{
    size_t count = view->member_count, room = count * TP_CHART_POINTS;
    size_t bytes =
        sizeof(tp_chart) + count * sizeof(tp_directory_member) + room * sizeof(tp_directory_arc);
    tp_chart *chart = tp_allocate(allocator, bytes);
    point *points = tp_allocate(allocator, (room + 1) * sizeof *points);
    if (chart == NULL || points == NULL) {
        tp_release(allocator, chart, chart != NULL ? bytes : 0);
        tp_release(allocator, points, points != NULL ? (room + 1) * sizeof *points : 0);
        return TROUPE_NO_MEMORY;
    }
    tp_directory_arc *arcs = (tp_directory_arc *)(chart + 1);
    tp_directory_member *members = (tp_directory_member *)(arcs + room);
    for (size_t i = 0; i < count; i++)
        members[i] = (tp_directory_member){view->members[i].incarnation, view->members[i].shards};
    uint32_t arc_count = join_arcs(points, lay_points(view, points), arcs);
    tp_release(allocator, points, (room + 1) * sizeof *points);
    *chart = (tp_chart){.view = {.number = view->number,
                            .members = members,
                            .member_count = (uint32_t)count,
                            .arcs = arcs,
                            .arc_count = arc_count},
        .members = tp_view_retain(view),
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
    tp_release(chart->allocator, chart, chart->bytes);
}
