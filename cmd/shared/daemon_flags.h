/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of trouped that are no options of its node: the daemon reads its command line by this
 * list, and its help, its manual page and the shell's completion are made of it. Threads: constant.
 */
#ifndef CMD_SHARED_DAEMON_FLAGS_H
#define CMD_SHARED_DAEMON_FLAGS_H

typedef struct daemon_flag {
    const char *name;
    const char *value; /* NULL: it takes none */
    const char *meaning;
} daemon_flag;

enum { DAEMON_FLAG_COUNT = 10 };
extern const daemon_flag daemon_flags[DAEMON_FLAG_COUNT];

#endif
