/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when an assertion fails: one line to standard error, then a trap, so that a debugger
 * or a core file shows the place.
 *
 * Threads: any.
 */
#include "base/assert.h"

#include <stdio.h>

void tp_assert_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "%s:%d: troupe: assertion failed: %s\n", file, line, cond);
    fflush(stderr);
    __builtin_trap();
}
