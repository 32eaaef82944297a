/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line between a client and a server on this machine that a test can stall, cut and unplug: a
 * process that forwards what comes to one Unix socket to another one. For the tests of outages.
 *
 * Invariant: a command has had its effect when cable_do returns.
 * Threads: the test's one.
 */
#ifndef TEST_CRASH_CABLE_H
#define TEST_CRASH_CABLE_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct cable {
    pid_t pid; /* 0: none */
    int control;
} cable;

typedef enum cable_mode {
    CABLE_PASSES = 'p',
    CABLE_STALLS = 's',    /* takes connections, and forwards nothing */
    CABLE_CUTS = 'c',      /* ends all connections, with what is in them; takes new ones */
    CABLE_UNPLUGGED = 'u', /* ends all connections, and new ones at once */
} cable_mode;

bool cable_open(cable *self, const char *from, const char *to);
void cable_do(cable *self, cable_mode mode);
void cable_close(cable *self);

#endif
