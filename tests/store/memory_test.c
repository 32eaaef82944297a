/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `memory:` passes the conformance suite. Its stores last from one `clean` to the next, behind
 * handles that may be closed and opened, and be two at once: as a server's.
 *
 * Threads: one, and the suite's second one.
 */
#include "conformance.h"

#include "providers/table.h"

#include <stdlib.h>

typedef struct handle {
    troupe_store store;
    troupe_store *inner;
} handle;

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    troupe_store *inner = ((handle *)store)->inner;
    inner->run(inner, ops, count);
}

static void close_handle(troupe_store *store)
{
    free(store);
}

static troupe_status open_handle(
    const conformance *place, const troupe_store_host *host, troupe_store **ret_store)
{
    troupe_store **inner = place->user;
    char error[128] = "";
    if (*inner == NULL)
        TROUPE_TRY(tp_memory_provider.open(host, "memory:", inner, error, sizeof error));
    handle *made = malloc(sizeof *made);
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    *made = (handle){**inner, *inner};
    made->store.run = run;
    made->store.close = close_handle;
    *ret_store = &made->store;
    return TROUPE_OK;
}

static int clean(void *user)
{
    troupe_store **inner = user;
    if (*inner != NULL)
        (*inner)->close(*inner);
    *inner = NULL;
    return 0;
}

int main(void)
{
    troupe_store *inner = NULL;
    conformance place = {.name = "memory",
        .open = open_handle,
        .clean = clean,
        .user = &inner,
        .durable = true,
        .shared = true,
        .rounds = 60000};
    return conformance_run(&place);
}
