/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows on standard error how far a step is: a bar that stays on one line where that is a terminal,
 * else a line at the end of each step. Called by run.c.
 *
 * Threads: main.
 */
#ifndef PACKAGES_PROGRESS_H
#define PACKAGES_PROGRESS_H

#include <stdint.h>

struct progress {
    const char *step; /* what is under way */
    double began;
    uint64_t messages; /* at its begin */
};

void progress_begin(struct progress *progress, const char *step, uint64_t messages);
/* `messages` in all until now. */
void progress_show(const struct progress *progress, uint64_t done, uint64_t of, uint64_t messages);
/* Ends the line; returns the seconds that the step took. */
double progress_end(const struct progress *progress, uint64_t messages);

#endif
