/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the history of one register linearizable: is there an order of its calls, each at one moment
 * between its begin and its end, in which all saw what they did? Calls whose end is not known may
 * have happened at any moment from their begin on, or never.
 *
 * The search is that of Wing and Gong (JPDC 1993) with Lowe's memory of configurations (2017): it
 * is exact. Threads: pure.
 */
#ifndef TESTS_CLUSTER_HISTORY_H
#define TESTS_CLUSTER_HISTORY_H

#include <stddef.h>
#include <stdint.h>

typedef enum history_kind {
    HISTORY_ADD,  /* result: the value afterwards */
    HISTORY_SET,  /* result: the argument */
    HISTORY_SHOW, /* result: the value */
} history_kind;

#define HISTORY_OPEN UINT64_MAX

typedef struct history_call {
    uint64_t begin, end; /* HISTORY_OPEN: nobody knows what came of it; no result */
    history_kind kind;
    int64_t argument, result;
} history_call;

typedef enum history_verdict {
    HISTORY_GOOD,
    HISTORY_BAD,
    HISTORY_UNDECIDED, /* too many configurations, or no memory */
} history_verdict;

/* Calls that surely did not happen are left out by the caller. The register begins as 0. `ret_at`:
 * of a bad one the call that fits nowhere, as an index. */
history_verdict history_check(const history_call *calls, size_t count, size_t *ret_at);

#endif
