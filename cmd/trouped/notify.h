/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager (systemd's notify protocol) how the daemon is: one datagram to
 * $NOTIFY_SOCKET. Without that variable it does nothing.
 * Invariants: it never waits and never fails the daemon. Threads: one.
 */
#ifndef TROUPED_NOTIFY_H
#define TROUPED_NOTIFY_H

void notify_manager(const char *state); /* "READY=1", "STOPPING=1" */

#endif
