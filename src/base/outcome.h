/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a call that this one did not send. Not the table of statuses, which is
 * <troupe/status.h>.
 *
 * Invariants: none of its own.
 * Threads: pure.
 */
#ifndef TP_BASE_OUTCOME_H
#define TP_BASE_OUTCOME_H

#include <troupe/status.h>

/* The outcome of a call that was not sent; nobody here knows of others with its key. */
static inline troupe_outcome tp_once_unsent(
    bool once, troupe_status status, troupe_outcome outcome)
{
    return once && troupe_status_kind(status) != TROUPE_KIND_USAGE ? TROUPE_UNKNOWN_OUTCOME
                                                                   : outcome;
}

#endif
