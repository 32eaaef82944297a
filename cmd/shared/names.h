/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things that people type or read: the nearest known name, durations, and where the socket
 * lies. Not a parser of configuration. Both programs call it.
 *
 * Invariants: 1. What cmd_duration_print writes, cmd_duration_parse reads.
 * Threads: pure, except that the socket's place reads the environment.
 */
#ifndef CMD_SHARED_NAMES_H
#define CMD_SHARED_NAMES_H

#include <troupe/base.h>

#define CMD_SOCKET_PATH_MAX 108 /* sun_path of Linux, with its end mark */

/* How many letters must be changed, added, taken away or swapped to get from one to the other. */
size_t cmd_distance(const char *left, const char *right);

/* Offered names come one by one; the best is kept if it is near enough to be meant. */
typedef struct cmd_nearest {
    const char *wanted;
    const char *best; /* NULL: none is near */
    size_t distance;
} cmd_nearest;

void cmd_nearest_init(cmd_nearest *nearest, const char *wanted);
void cmd_nearest_offer(cmd_nearest *nearest, const char *name);

/* "250ms", "5s", "1.5h"; units ns us ms s m h d; a bare number is seconds. False: it is none. */
bool cmd_duration_parse(const char *text, uint64_t *ret_duration);
/* "1.2 s" and the like; returns `out`. */
const char *cmd_duration_print(uint64_t duration, char *out, size_t size);

/* $TROUPE_SOCKET; else $XDG_RUNTIME_DIR/troupe/node.sock; else /tmp/troupe-<uid>/node.sock.
 * False: it is longer than the system allows. */
bool cmd_socket_path(char out[CMD_SOCKET_PATH_MAX]);

#endif
