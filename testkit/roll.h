/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handle of one simulated node on a membership store in memory, with hooks before and after each
 * call: for worlds that let the store fail, or count what is asked of it. It decides nothing.
 *
 * Threads: one, as world.h.
 */
#ifndef TESTKIT_ROLL_H
#define TESTKIT_ROLL_H

#include "providers/member_memory.h"

typedef struct tp_roll tp_roll;

typedef enum tp_roll_call {
    TP_ROLL_READ,
    TP_ROLL_CAS,
    TP_ROLL_RAISE,
    TP_ROLL_REVOKE,
    TP_ROLL_LOOK, /* at all registers */
    TP_ROLL_WATCH,
} tp_roll_call;

/* Each may be NULL. */
typedef struct tp_roll_hooks {
    /* OK: it is done, and said how it ended. Else that is said; of a change `*ret_done`, false
     * before, may be set: it is done all the same. */
    troupe_status (*begins)(void *user, tp_roll_call call, bool *ret_done);
    /* What was done: bytes of a view that was read or brought, registers that were read. */
    void (*ended)(
        void *user, tp_roll_call call, troupe_status status, uint64_t bytes, uint64_t rows);
} tp_roll_hooks;

/* NULL: no memory. The hooks are kept. */
tp_roll *tp_roll_open(tp_member_memory *store, const tp_roll_hooks *hooks, void *user);
troupe_membership *tp_roll_port(tp_roll *roll);
/* Also once its node has closed the port, or when the node's process is gone. NULL is a no-op. */
void tp_roll_close(tp_roll *roll);

#endif
