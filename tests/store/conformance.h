/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite of the storage port: what every provider must pass, ours and anyone's. It
 * knows a store by its vtable only. How to plug a provider in, as tests/store/NAME_test.c (all
 * other .c files of this folder are linked to it):
 *
 *     #include "conformance.h"
 *
 *     static int clean(void *user)         // forgets everything that is stored; no store is open
 *     {
 *         return remove_the_files(user);   // 0: done
 *     }
 *
 *     int main(void)
 *     {
 *         conformance place = {.name = "sqlite", .provider = &tp_sqlite_provider,
 *             .url = "sqlite:/tmp/…/a.db", .clean = clean, .durable = true};
 *         return conformance_run(&place);  // what main returns
 *     }
 *
 * A provider that is a module is opened by `conformance_module("…/libtroupe_redis.so")`. A server
 * is started before conformance_run and stopped after it, by the test itself; where it is not
 * installed, the test fails.
 *
 * A store that is made in another way than by a provider (a wrapper) gives `open` instead of
 * `provider`. Environment: CONFORMANCE_SEED=n runs the random scene with that seed,
 * CONFORMANCE_ROUNDS=n with so many operations.
 *
 * Invariants: each scene begins with `clean` and an open store, and ends with a closed one.
 * Threads: one; the scene of two handles uses a second one.
 */
#ifndef TEST_STORE_CONFORMANCE_H
#define TEST_STORE_CONFORMANCE_H

#include <troupe/provider.h>

typedef struct conformance conformance;
struct conformance {
    const char *name;
    const troupe_provider *provider;
    const char *url;
    /* Instead of `provider`: opens the store at its place. */
    troupe_status (*open)(
        const conformance *place, const troupe_store_host *host, troupe_store **ret_store);
    int (*clean)(void *user); /* NULL: closing forgets everything */
    void *user;
    bool durable;  /* what was stored is found again by the next open */
    bool shared;   /* two handles may be open at once: two nodes on one server */
    size_t rounds; /* operations of a random scene; 0: 6,000 */
};

/* Runs all scenes and prints them. 0: passed. */
int conformance_run(const conformance *place);

/* The provider in a shared object, or NULL after a line that says what is wrong. */
const troupe_provider *conformance_module(const char *path);

#endif
