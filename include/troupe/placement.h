/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an actor is activated: which member of a cluster is to have an id that is active nowhere.
 * A node has a policy (option `placement`), a type may have one of its own, with conditions on the
 * labels of members (option `labels`), or a function. Not which shard of a node: that is by hash.
 *
 * Policies: prefer-local (the node that asks, else a near one), round-robin, random,
 * consistent-hash, least-loaded, labels (the least loaded of those that `require` leaves).
 *
 * Threads: functions of a type run on the threads of shards, several at a time, and must not block.
 */
#ifndef TROUPE_PLACEMENT_H
#define TROUPE_PLACEMENT_H

#include "troupe/base.h"
#include "troupe/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct troupe_label {
    troupe_slice name, value;
} troupe_label;

/* What a member last said of itself, about once a health_check_interval. */
typedef struct troupe_load {
    double cpu;      /* 0 to 1: of its shards' time, what goes into turns */
    double memory;   /* 0 to 1: of its memory_limit */
    uint64_t actors; /* active, and what was placed there since */
    uint64_t age;    /* ns since it was said; UINT64_MAX: never yet, and the rest is 0 */
} troupe_load;

typedef struct troupe_member {
    troupe_slice name;
    uint64_t incarnation;
    const troupe_label *labels; /* sorted by name */
    size_t label_count;
    troupe_load load;
    uint64_t distance; /* ns of a round trip from the node that chooses; 0: not known, or itself */
    bool is_asker;     /* the message that is to activate the actor was sent there */
} troupe_member;

/* What is asked. */
typedef struct troupe_placement {
    troupe_slice type, partition, key;
} troupe_placement;

#define TROUPE_PLACE_DEFAULT (-1)

/* An index of `members`: active ones that host the type and meet `require`, at least one. Or
 * TROUPE_PLACE_DEFAULT: as the policy says. Everything is borrowed for the call. It is called on
 * the node that keeps the directory's entry of the id, if that node hosts the type; else the
 * policy decides. */
typedef int troupe_place(const troupe_placement *ask, const troupe_member *const *members,
    size_t count, void *user);

/* Of a type. Policy and conditions are told to all members, also those that do not host it. */
typedef struct troupe_placing {
    const char *policy; /* NULL: the node's `placement` */
    /* Terms that must all hold: "gpu=true, region=eu|us, zone!=c, ssd, !spot". NULL: none. */
    const char *require;
    troupe_place *choose; /* NULL: the policy */
    void *user;
} troupe_placing;

/* [any thread] Are policy and conditions such as a node takes? USAGE: `error` says what is wrong.
 * NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_placing_check(
    const troupe_placing *placing, char *error, size_t error_size);

/* Has the member that label, with that value? */
static inline bool troupe_label_is(
    const troupe_member *member, const char *name, const char *value)
{
    for (size_t i = 0; i < member->label_count; i++)
        if (troupe_slice_equal(member->labels[i].name, troupe_str(name)))
            return troupe_slice_equal(member->labels[i].value, troupe_str(value));
    return false;
}

#ifdef __cplusplus
}
#endif
#endif
