/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every provider of membership must do, run on each against a real store: the invariants of
 * <troupe/membership.h>, alone and with others racing, and while the store is killed, stopped or
 * cut off. For the tests of this folder; anybody's provider may be run through it.
 *
 * Threads: the test's one, and those that race.
 */
#ifndef TEST_MEMBER_SUITE_H
#define TEST_MEMBER_SUITE_H

#include "relay.h"

#include <troupe/membership.h>

typedef struct suite {
    const char *name;
    troupe_status (*open)(void *user, const char *cluster, troupe_membership **ret_membership);
    void *user;
    bool is_immediate; /* watch does not wait */
    bool tells_ends;   /* a closed handle shows as `ended` */
    /* For a store that is a server, all of these; for one that is not, none. */
    bool (*start)(void *user);  /* with the way to it, and again after it died */
    bool (*stop)(void *user);   /* it stands still */
    bool (*go)(void *user);     /* and goes on */
    bool (*kill)(void *user);   /* it dies */
    void (*remove)(void *user); /* with all that it kept */
    relay *way;                 /* over which `open` reaches it */
} suite;

/* Starts the server, if it is one, and removes it. 0: all scenes passed. */
int suite_run(const suite *place);

/* A host for providers: the machine's monotonic clock, the system's memory. */
extern const troupe_membership_host suite_host;

#endif
