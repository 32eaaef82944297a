/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider in memory; see member_memory.h. Registers are a plain array, behind a
 * spin lock that covers a few moves of bytes. Called by worlds and tests.
 *
 * Invariants: `text` belongs to view `number`, and is NULL before the first. Threads: any.
 */
#include "providers/member_memory.h"

#include "base/alloc.h"

#include <stdatomic.h>
#include <stdio.h>

typedef struct handle {
    troupe_membership port;
    tp_member_memory *memory;
} handle;

typedef struct record {
    troupe_register reg;
    const handle *holder; /* that raised it first; NULL: closed, or never raised */
} record;

struct tp_member_memory {
    const troupe_allocator *allocator;
    atomic_flag lock; /* of all below */
    uint64_t number;
    char *text;
    size_t text_size;
    record *records;
    size_t record_count, room;
    uint64_t run;
    troupe_status failing;
    bool tells_ends, unrevokes;
};

static void lock(tp_member_memory *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire)) {
    }
}

static void unlock(tp_member_memory *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

static tp_member_memory *begin(troupe_membership *port, troupe_status *ret_status)
{
    tp_member_memory *self = ((handle *)port)->memory;
    lock(self);
    *ret_status = self->failing;
    return self;
}

static record *find(tp_member_memory *self, uint64_t incarnation)
{
    for (size_t i = 0; i < self->record_count; i++)
        if (self->records[i].reg.incarnation == incarnation)
            return &self->records[i];
    return NULL;
}

static record *add(tp_member_memory *self, uint64_t incarnation)
{
    if (self->record_count == self->room) {
        size_t room = self->room != 0 ? 2 * self->room : 16;
        record *records = tp_reallocate(
            self->allocator, self->records, self->room * sizeof *records, room * sizeof *records);
        if (records == NULL)
            return NULL;
        self->records = records;
        self->room = room;
    }
    record *added = &self->records[self->record_count++];
    *added = (record){.reg = {.incarnation = incarnation}};
    return added;
}

/* The register if it holds this count; made if the count is 0. */
static troupe_status expect(
    tp_member_memory *self, uint64_t incarnation, uint64_t count, record **ret_record)
{
    record *found = find(self, incarnation);
    if (found == NULL && count == 0) {
        found = add(self, incarnation);
        if (found == NULL)
            return TROUPE_NO_MEMORY;
    }
    if (found == NULL || found->reg.count != count || (found->reg.revoked && !self->unrevokes))
        return TROUPE_CONFLICT;
    *ret_record = found;
    return TROUPE_OK;
}

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    troupe_status status;
    tp_member_memory *self = begin(port, &status);
    (void)timeout;
    if (status == TROUPE_OK && self->number != 0)
        on_view(user, self->number, troupe_slice_of(self->text, self->text_size));
    unlock(self);
    return status;
}

static bool is_kept(const uint64_t *kept, size_t count, uint64_t incarnation)
{
    for (size_t i = 0; i < count; i++)
        if (kept[i] == incarnation)
            return true;
    return false;
}

static void drop_others(tp_member_memory *self, const uint64_t *kept, size_t kept_count)
{
    size_t left = 0;
    for (size_t i = 0; i < self->record_count; i++)
        if (is_kept(kept, kept_count, self->records[i].reg.incarnation))
            self->records[left++] = self->records[i];
    self->record_count = left;
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    (void)timeout;
    if (text.size > TROUPE_VIEW_MAX)
        return TROUPE_TOO_LARGE;
    troupe_status status;
    tp_member_memory *self = begin(port, &status);
    if (status == TROUPE_OK && number != self->number + 1)
        status = TROUPE_CONFLICT;
    char *copy = status == TROUPE_OK ? tp_allocate(self->allocator, text.size) : NULL;
    if (status == TROUPE_OK && copy == NULL)
        status = TROUPE_NO_MEMORY;
    if (status == TROUPE_OK) {
        memcpy(copy, text.data, text.size);
        tp_release(self->allocator, self->text, self->text_size);
        self->text = copy;
        self->text_size = text.size;
        self->number = number;
        drop_others(self, kept, kept_count);
    }
    unlock(self);
    return status;
}

static troupe_status raise_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    troupe_status status;
    record *found = NULL;
    tp_member_memory *self = begin(port, &status);
    (void)timeout;
    if (status == TROUPE_OK)
        status = expect(self, incarnation, count, &found);
    if (status == TROUPE_OK) {
        found->reg.count = count + 1;
        found->reg.revoked = false;
        if (count == 0)
            found->holder = (handle *)port;
    }
    unlock(self);
    return status;
}

static troupe_status revoke(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    troupe_status status;
    record *found = NULL;
    tp_member_memory *self = begin(port, &status);
    (void)timeout;
    if (status == TROUPE_OK)
        status = expect(self, incarnation, count, &found);
    if (status == TROUPE_OK && found->reg.revoked)
        status = TROUPE_CONFLICT;
    if (status == TROUPE_OK)
        found->reg.revoked = true;
    unlock(self);
    return status;
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    troupe_status status;
    tp_member_memory *self = begin(port, &status);
    (void)timeout;
    for (size_t i = 0; status == TROUPE_OK && i < self->record_count; i++) {
        troupe_register shown = self->records[i].reg;
        shown.ended = self->tells_ends && self->records[i].holder == NULL && shown.count > 0;
        on_register(user, &shown);
    }
    if (status == TROUPE_OK)
        *ret_run = self->run;
    unlock(self);
    return status;
}

static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    troupe_status status;
    tp_member_memory *self = begin(port, &status);
    (void)timeout;
    if (status == TROUPE_OK && number == self->number)
        status = TROUPE_TIMEOUT;
    unlock(self);
    return status;
}

static void close_handle(troupe_membership *port)
{
    handle *closed = (handle *)port;
    tp_member_memory *self = closed->memory;
    lock(self);
    for (size_t i = 0; i < self->record_count; i++)
        if (self->records[i].holder == closed)
            self->records[i].holder = NULL;
    unlock(self);
    tp_release(self->allocator, closed, sizeof *closed);
}

troupe_status tp_member_memory_open(tp_member_memory *memory, troupe_membership **ret_membership)
{
    handle *opened = tp_allocate_zeroed(memory->allocator, sizeof *opened);
    if (opened == NULL)
        return TROUPE_NO_MEMORY;
    opened->memory = memory;
    opened->port = (troupe_membership){.size = sizeof opened->port,
        .promises = "memory: leases and views live as long as this process",
        .immediate = true,
        .read_view = read_view,
        .cas_view = cas_view,
        .raise = raise_register,
        .revoke = revoke,
        .read_registers = read_registers,
        .watch = watch,
        .close = close_handle};
    *ret_membership = &opened->port;
    return TROUPE_OK;
}

troupe_status tp_member_memory_create(
    const troupe_allocator *allocator, tp_member_memory **ret_memory)
{
    tp_member_memory *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->allocator = allocator;
    atomic_flag_clear(&self->lock);
    self->run = 1;
    *ret_memory = self;
    return TROUPE_OK;
}

void tp_member_memory_destroy(tp_member_memory *self)
{
    if (self == NULL)
        return;
    tp_release(self->allocator, self->text, self->text_size);
    tp_release(self->allocator, self->records, self->room * sizeof *self->records);
    tp_release(self->allocator, self, sizeof *self);
}

void tp_member_memory_fail(tp_member_memory *self, troupe_status status)
{
    lock(self);
    self->failing = status;
    unlock(self);
}

void tp_member_memory_tell_ends(tp_member_memory *self, bool tells)
{
    lock(self);
    self->tells_ends = tells;
    unlock(self);
}

void tp_member_memory_restart(tp_member_memory *self)
{
    lock(self);
    self->run++;
    unlock(self);
}

void tp_member_memory_unrevoke(tp_member_memory *self, bool on)
{
    lock(self);
    self->unrevokes = on;
    unlock(self);
}
