/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of a world, in a binary heap; see events.h.
 *
 * Threads: the test's one.
 */
#include "events.h"

#include "base/assert.h"

#include <stdlib.h>

static bool is_before(const event *a, const event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void events_put(events *self, event what)
{
    if (self->count == self->room) {
        self->room = self->room != 0 ? 2 * self->room : 256;
        self->heap = realloc(self->heap, self->room * sizeof *self->heap);
        TP_ASSERT(self->heap != NULL);
    }
    if (what.order == 0)
        what.order = ++self->order;
    size_t at = self->count++;
    while (at > 0 && is_before(&what, &self->heap[(at - 1) / 2])) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = what;
}

uint64_t events_next(const events *self)
{
    return self->count != 0 ? self->heap[0].at : UINT64_MAX;
}

event events_take(events *self)
{
    event first = self->heap[0], last = self->heap[--self->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->count)
            break;
        if (child + 1 < self->count && is_before(&self->heap[child + 1], &self->heap[child]))
            child++;
        if (!is_before(&self->heap[child], &last))
            break;
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = last;
    return first;
}

void event_drop(event *what)
{
    tp_view_release(what->call.view);
    tp_view_release(what->view);
    if (what->outcome != NULL) {
        tp_member_outcome_deinit(what->outcome);
        free(what->outcome);
    }
}

void events_deinit(events *self)
{
    while (self->count != 0)
        event_drop(&self->heap[--self->count]);
    free(self->heap);
    self->heap = NULL;
    self->room = 0;
}
