/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What trouped does when its node is out of its cluster while it goes on: the process becomes a new
 * trouped with the same command line, which joins as a new incarnation. Not what happens when it
 * cannot join at its start: then it ends.
 *
 * Invariants: 1. What the node that died had under way is lost, as if the process had been killed;
 * callers at the admin socket see their connection end.
 * Threads: `restart_on_died` the node's; the rest main's.
 */
#ifndef TROUPED_RESTART_H
#define TROUPED_RESTART_H

#include <stdbool.h>

typedef struct daemon_restart daemon_restart;

/* Keeps the command line. NULL: no memory. */
daemon_restart *restart_create(char *const *argv, void (*say)(void *user), void *user);
/* From here on a death is a new start; one that has come meanwhile, too. */
void restart_arm(daemon_restart *restart);
/* The daemon stops anyway: a death is passed over. */
void restart_disarm(daemon_restart *restart);
void restart_on_died(void *restart);

#endif
