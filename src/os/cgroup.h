/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control groups of Linux, version 2 or 1, leave this process of processors and memory, as
 * a container's limits are given. Not the number of processors it may be put on, nor the machine's
 * memory. Called by real_env.c when a node opens.
 *
 * Invariants: 1. What cannot be read is no limit.
 * Threads: any; it reads files.
 */
#ifndef TP_OS_CGROUP_H
#define TP_OS_CGROUP_H

#include <stdint.h>

typedef struct tp_cgroup_limits {
    uint64_t cores;  /* whole ones, at least 1; UINT64_MAX: no limit */
    uint64_t memory; /* bytes; UINT64_MAX: no limit */
} tp_cgroup_limits;

/* `root` is where the groups are mounted, /sys/fs/cgroup; `own` the text of /proc/self/cgroup. The
 * least of the process's own group and of those around it. */
tp_cgroup_limits tp_cgroup_read(const char *root, const char *own);

/* The same of this process. */
tp_cgroup_limits tp_cgroup_own(void);

#endif
