/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager (systemd's notify protocol) how the daemon is: one datagram to
 * $NOTIFY_SOCKET. Without that variable it does nothing.
 * Invariants: it never waits and never fails the daemon. Threads: those that may read the
 * environment.
 */
#ifndef TROUPED_NOTIFY_H
#define TROUPED_NOTIFY_H

#include <stdint.h>

void notify_reloading(void); /* RELOADING=1, with the time; READY=1 is its end */
void notify_manager(const char *state); /* "READY=1", "STOPPING=1", "WATCHDOG=1" */

/* How often WATCHDOG=1 is to be sent, in ms: twice in $WATCHDOG_USEC. 0: it is not asked for, or of
 * another process ($WATCHDOG_PID). */
uint64_t notify_watchdog_interval(void);

#endif
