/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage provider for slow_store_test.sh: it keeps nothing, and stands still while the file
 * $SLOW_STORE exists.
 * Invariants: every commit is taken. Threads: the store's.
 */
#include <stdlib.h>
#include <time.h>
#include <troupe/provider.h>
#include <unistd.h>

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    const char *path = getenv("SLOW_STORE");
    (void)store;
    while (path != NULL && access(path, F_OK) == 0)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    for (size_t i = 0; i < count; i++) {
        ops[i]->found = ops[i]->kind == TROUPE_STORE_COMMIT ? ops[i]->version + 1 : 0;
        ops[i]->wake = 0;
        ops[i]->more = false;
        ops[i]->status = TROUPE_OK;
    }
}

static void close_store(troupe_store *store)
{
    (void)store;
}

static troupe_status open_store(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size)
{
    static troupe_store store = {.size = sizeof(troupe_store),
        .promises = "slow: keeps nothing",
        .run = run,
        .close = close_store};
    (void)host, (void)url, (void)error, (void)error_size;
    *ret_store = &store;
    return TROUPE_OK;
}

TROUPE_PROVIDER("slow", open_store);
