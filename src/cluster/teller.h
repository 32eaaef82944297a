/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runner that waits for the membership store in place of the control runner: calls in, outcomes
 * out, one after the other, on a thread of its own. A cluster has three: one for raises, so that
 * nothing delays the lease, one for all else, and one that watches.
 *
 * Threads: `ask` and `stop` the control's and the closing thread's; `told` is called on the
 * teller's.
 */
#ifndef TP_CLUSTER_TELLER_H
#define TP_CLUSTER_TELLER_H

#include "base/mpsc.h"
#include "member/perform.h"
#include "os/env.h"

typedef struct tp_teller_call {
    tp_mpsc_node node; /* the teller's, then the receiver's */
    tp_member_effect effect;
    tp_member_outcome outcome;
} tp_teller_call;

typedef struct tp_teller {
    tp_runner runner;
    tp_env *env;
    const troupe_allocator *allocator;
    troupe_membership *handle;
    bool watches, is_started;
    _Atomic uint64_t seen; /* number of the view that a watch compares with */
    _Atomic bool stops;
    tp_mpsc calls;
    /* The call comes back with its outcome; NULL: the watch saw a change. */
    void (*told)(void *user, tp_teller_call *call);
    void *user;
} tp_teller;

/* The handle is the teller's. */
TROUPE_CHECK troupe_status tp_teller_start(tp_teller *teller);
void tp_teller_ask(tp_teller *teller, tp_teller_call *call);
/* Hurries the handle, joins the runner, closes the handle. Calls that come then lie in `calls`. */
void tp_teller_stop(tp_teller *teller);

#endif
