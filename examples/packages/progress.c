/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress bar. Called by run.c, which reads the figures; this only draws.
 *
 * Threads: main.
 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "plain.h"

enum { BAR_WIDTH = 30 };

static double rate(const struct progress *progress, uint64_t messages)
{
    double seconds = plain_clock() - progress->began;
    return seconds > 0 ? (double)(messages - progress->messages) / seconds / 1e6 : 0;
}

void progress_begin(struct progress *progress, const char *step, uint64_t messages)
{
    *progress = (struct progress){step, plain_clock(), messages};
}

void progress_show(const struct progress *progress, uint64_t done, uint64_t of, uint64_t messages)
{
    char bar[BAR_WIDTH + 1];
    if (!isatty(STDERR_FILENO))
        return;
    if (of == 0)
        of = 1;
    for (uint64_t i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < done * BAR_WIDTH / of ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r  %-8s [%s] %3u %%  %6.2f M messages/s ", progress->step, bar,
        (unsigned)(done * 100 / of), rate(progress, messages));
    fflush(stderr);
}

double progress_end(const struct progress *progress, uint64_t messages)
{
    double seconds = plain_clock() - progress->began;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    fprintf(stderr, "  %-8s %6.2f s  %6.2f M messages/s\n", progress->step, seconds,
        rate(progress, messages));
    return seconds;
}
