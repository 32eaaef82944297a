/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks every package once from outside, with a window of asks under way, and again where the answer
 * is BUSY. Loads the packages, and collects their figures in the end. Called by run.c.
 *
 * Threads: main; answers come on the threads of the shards.
 */
#ifndef PACKAGES_SWEEP_H
#define PACKAGES_SWEEP_H

#include "actors.h"
#include "index.h"
#include "plain.h"

struct sweep_options {
    troupe_client *client;
    struct address_book *book;
    const struct package_index *index;
    uint32_t window;         /* asks under way, at most */
    struct figures *figures; /* to fill; NULL: the packages are loaded instead */
    bool (*on_progress)(void *user, uint32_t asked); /* false: it is to end, with CANCELLED */
    void *user;
};

/* OK: every package has answered. Else `words` says what the first failure said. When it returns
 * no ask is under way. */
troupe_status sweep_packages(const struct sweep_options *options, char *words, size_t words_size);

#endif
