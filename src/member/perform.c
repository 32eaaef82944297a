/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Performs the membership machine's calls on a provider; see perform.h.
 *
 * Invariants: a provider that answers what it may not (OK without a view of that number, views that
 * do not parse) is answered for as CORRUPT; nothing it says is trusted further than that.
 * Threads: the handle's.
 */
#include "member/perform.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static void on_view(void *user, uint64_t number, troupe_slice text)
{
    tp_member_outcome *self = user;
    const tp_view *view = NULL, *known = self->known;
    if (known != NULL && known->number == number && troupe_slice_equal(known->text, text))
        view = tp_view_retain(known); /* as most readings find it */
    else
        self->answer.status =
            tp_view_parse(self->allocator, number, text, &view, self->error, sizeof self->error);
    tp_view_release(self->view);
    self->view = view;
}

static void on_register(void *user, const troupe_register *found)
{
    tp_member_outcome *self = user;
    size_t count = self->answer.register_count;
    if (self->answer.status != TROUPE_OK)
        return;
    if (count == self->room) {
        size_t room = self->room != 0 ? 2 * self->room : 16;
        troupe_register *registers = tp_reallocate(self->allocator, self->registers,
            self->room * sizeof *registers, room * sizeof *registers);
        if (registers == NULL) {
            self->answer.status = TROUPE_NO_MEMORY;
            return;
        }
        self->registers = registers;
        self->room = room;
    }
    self->registers[count] = *found;
    self->answer.register_count = count + 1;
}

static int by_incarnation(const void *a, const void *b)
{
    const troupe_register *left = a, *right = b;
    return left->incarnation < right->incarnation ? -1 : left->incarnation > right->incarnation;
}

/* The view's members, and those that its changes name: what they are told of must stay revoked. */
static troupe_status store_view(
    troupe_membership *handle, const tp_member_effect *call, const troupe_allocator *allocator)
{
    const tp_view *view = call->view;
    size_t size = (view->member_count + view->change_count) * sizeof(uint64_t), count = 0;
    uint64_t *kept = tp_allocate(allocator, size);
    if (kept == NULL)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; i < view->member_count; i++)
        kept[count++] = view->members[i].incarnation;
    for (size_t i = 0; i < view->change_count; i++)
        if (view->changes[i].what == TP_VIEW_LEFT || view->changes[i].what == TP_VIEW_REVOKED)
            kept[count++] = view->changes[i].incarnation;
    troupe_status status =
        handle->cas_view(handle, call->timeout, view->number, view->text, kept, count);
    tp_release(allocator, kept, size);
    return status;
}

static void take(tp_member_outcome *out, troupe_status status)
{
    if (status != TROUPE_OK)
        out->answer.status = status;
}

void tp_member_perform(troupe_membership *handle, const tp_member_effect *call,
    const troupe_allocator *allocator, tp_member_outcome *out)
{
    memset(out, 0, sizeof *out);
    out->allocator = allocator;
    out->answer = (tp_member_answer){.op = call->op, .id = call->id, .status = TROUPE_OK};
    out->known = call->op == TP_MEMBER_READ_VIEW ? call->view : NULL;
    handle->error[0] = '\0';
    switch (call->op) {
    case TP_MEMBER_READ_VIEW:
        take(out, handle->read_view(handle, call->timeout, on_view, out));
        break;
    case TP_MEMBER_READ_REGISTERS:
        take(
            out, handle->read_registers(handle, call->timeout, on_register, out, &out->answer.run));
        break;
    case TP_MEMBER_CAS_VIEW:
        take(out, store_view(handle, call, allocator));
        break;
    case TP_MEMBER_RAISE:
        take(out, handle->raise(handle, call->timeout, call->incarnation, call->count));
        break;
    case TP_MEMBER_REVOKE:
        take(out, handle->revoke(handle, call->timeout, call->incarnation, call->count));
        break;
    case TP_MEMBER_OPS:
        out->answer.status = TROUPE_USAGE;
        break;
    }
    if (out->error[0] == '\0' && out->answer.status != TROUPE_OK)
        snprintf(out->error, sizeof out->error, "%s", handle->error);
    if (out->answer.register_count != 0)
        qsort(out->registers, out->answer.register_count, sizeof *out->registers, by_incarnation);
    out->answer.view = out->view;
    out->answer.registers = out->registers;
}

void tp_member_outcome_deinit(tp_member_outcome *outcome)
{
    tp_view_release(outcome->view);
    tp_release(outcome->allocator, outcome->registers, outcome->room * sizeof *outcome->registers);
    outcome->view = NULL;
    outcome->registers = NULL;
    outcome->room = 0;
}
