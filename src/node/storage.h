/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of a node: opens the provider that a URL names, runs it, and opens and closes the
 * node's writer. Stores that are `immediate` run on the thread that submits; others on one thread
 * of their own, where everything that waits is one group. It knows nothing of what operations mean.
 *
 * Invariants
 * 1. As src/store/port.h says.
 * 2. At most `limit` operations wait; beyond it they end BUSY at once.
 * 3. After tp_storage_close has returned no `done` is called any more.
 */
#ifndef TP_NODE_STORAGE_H
#define TP_NODE_STORAGE_H

#include "observe/log.h"
#include "os/env.h"
#include "store/port.h"

typedef struct tp_storage tp_storage;

typedef struct tp_storage_options {
    tp_env *env;
    const troupe_allocator *allocator;
    tp_log *log;
    const char *url;
    uint64_t limit;        /* operations that wait */
    uint64_t open_timeout; /* of opening the store and its writer; 0: none */
    uint64_t spin; /* its thread polls so long: who was answered may soon have the next one */
    /* Number of the writer; 0: one is chosen, and all older ones are closed, for this node has the
     * store for itself. Else it must be new, and others are closed one by one. */
    uint64_t writer;
    /* Nothing is asked of the store while env's boot has passed this moment; 0: never again, and
     * what waits ends CLOSED. NULL: no lease. */
    const _Atomic uint64_t *lease;
} tp_storage_options;

/* Counters since it was opened. */
typedef struct tp_storage_counts {
    uint64_t ops, groups, errors, busy;
} tp_storage_counts;

/* [opening thread] Finds the provider, opens the store, opens a writer and closes all older ones.
 * On failure `error` names what was tried. USAGE: no such provider, or it does not accept the URL.
 * UNAVAILABLE, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_storage_open(
    const tp_storage_options *options, tp_storage **ret_storage, char *error, size_t error_size);
/* The same with a store that is open already (of a test); it is closed with the storage, and on
 * failure. */
TROUPE_CHECK troupe_status tp_storage_open_with(const tp_storage_options *options,
    troupe_store *store, tp_storage **ret_storage, char *error, size_t error_size);
/* [closing thread] What waits still ends, the writer is closed. Nobody may submit any more. NULL is
 * a no-op. */
void tp_storage_close(tp_storage *storage);

/* [any thread] Closes the row of a writer whose node is gone, before any operation that is
 * submitted later; those wait until the store has done it; `is_news`: worth a line of the log, if
 * it was not closed long ago. It is never forgotten: where there is no
 * memory, 64 writers have room of their own; beyond, nothing is asked of the store any more. */
void tp_storage_close_other(tp_storage *storage, uint64_t writer, bool is_news);

tp_store_port *tp_storage_port(tp_storage *storage);
tp_storage_counts tp_storage_count(const tp_storage *storage);
const char *tp_storage_promises(const tp_storage *storage);

/* [threads that are not runners] Submits one operation and waits for its end; `done` is used.
 * Returns its status, or NO_MEMORY or UNAVAILABLE when one cannot wait. */
troupe_status tp_storage_call(tp_storage *storage, troupe_store_op *op);

/* providers.c: the provider of a URL, and the module it is in (NULL: the library). */
TROUPE_CHECK troupe_status tp_provider_find(const char *url, const troupe_provider **ret_provider,
    void **ret_module, char *error, size_t error_size);
void tp_provider_release(void *module);

#endif
