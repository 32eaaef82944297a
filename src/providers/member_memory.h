/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `memory`: a view and registers in this process, shared by the handles
 * that are opened on it. Not found by a URL: whoever wants it makes it and hands out handles, as
 * simulated worlds and tests of the cluster do. It can be told to fail, which no real store can.
 *
 * Invariants: as <troupe/membership.h> says; nothing waits. It outlives its handles.
 * Threads: any, one a handle.
 */
#ifndef TP_PROVIDERS_MEMBER_MEMORY_H
#define TP_PROVIDERS_MEMBER_MEMORY_H

#include <troupe/membership.h>

typedef struct tp_member_memory tp_member_memory;

TROUPE_CHECK troupe_status tp_member_memory_create(
    const troupe_allocator *allocator, tp_member_memory **ret_memory);
void tp_member_memory_destroy(tp_member_memory *memory); /* NULL is a no-op */

TROUPE_CHECK troupe_status tp_member_memory_open(
    tp_member_memory *memory, troupe_membership **ret_membership);

/* Every call ends with this and does nothing; OK: works again. */
void tp_member_memory_fail(tp_member_memory *memory, troupe_status status);
/* Does a register tell that its holder's handle was closed? Else observers have to wait. */
void tp_member_memory_tell_ends(tp_member_memory *memory, bool tells);
/* Another run of the store, as of one that was started anew. */
void tp_member_memory_restart(tp_member_memory *memory);
/* A planted mistake: raises of revoked registers succeed. */
void tp_member_memory_unrevoke(tp_member_memory *memory, bool on);

#endif
