/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things that people read: how long something took, where the socket lies. Not a parser of
 * configuration, which is <troupe/config.h>. Both programs call it.
 *
 * Invariants: none between calls.
 * Threads: pure, except that the socket's place reads the environment.
 */
#ifndef CMD_SHARED_NAMES_H
#define CMD_SHARED_NAMES_H

#include <troupe/base.h>

#define CMD_SOCKET_PATH_MAX 108 /* sun_path of Linux, with its end mark */

/* "1.2 s" and the like; returns `out`. */
const char *cmd_duration_print(uint64_t duration, char *out, size_t size);

/* $TROUPE_SOCKET; else $XDG_RUNTIME_DIR/troupe/node.sock; else /tmp/troupe-<uid>/node.sock.
 * False: it is longer than the system allows. */
bool cmd_socket_path(char out[CMD_SOCKET_PATH_MAX]);

#endif
