/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node of the demo: the two types, the node itself, and the address book its actors send by.
 * Called by run.c for the node of the driver, and by peers.c for those of a cluster's other
 * processes. What is computed is not its concern.
 *
 * Invariants: 1. The book is complete before the first message. 2. What is begun at a time stays
 * far below max_actors: actors that wait to send cannot be evicted, and if all did none could go
 * on.
 * Threads: main; the book is read by the shards.
 */
#ifndef PACKAGES_MEMBER_H
#define PACKAGES_MEMBER_H

#include "actors.h"
#include "run.h"

struct member {
    const struct run_options *options;
    struct address_book book;
    troupe_type package_type;
    troupe_type conductor_type;
    char conductor[16]; /* its key */
    char name[16];
    troupe_node *node;
    char *error;
    size_t error_size;
};

/* Opens node `number` (from 1). `cluster` is its URL; NULL: the node is alone. False: `error` says
 * why. member_close must be called in either case. */
bool member_open(struct member *member, uint32_t number, const char *cluster);
void member_close(struct member *member);

troupe_id member_conductor(struct member *member);

/* How much may be begun at a time, so that a part of max_actors is enough for what comes of it. */
uint32_t member_at_once(const struct member *member, uint32_t most, uint32_t part);

/* Says in `error` what went wrong; returns false. */
__attribute__((format(printf, 2, 3))) bool member_fail(
    struct member *member, const char *format, ...);

#endif
