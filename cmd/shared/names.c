/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, the socket's place: see names.h, also for invariants and threads. */
#include "shared/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *cmd_duration_print(uint64_t duration, char *out, size_t size)
{
    double value = (double)duration;
    if (duration < 1000) {
        snprintf(out, size, "%u ns", (unsigned)duration);
    } else if (value < 999.5e3) {
        snprintf(out, size, "%.3g us", value / 1e3);
    } else if (value < 999.5e6) {
        snprintf(out, size, "%.3g ms", value / 1e6);
    } else if (value < 120e9) {
        snprintf(out, size, "%.1f s", value / 1e9);
    } else if (value < 2 * 3600e9) {
        snprintf(out, size, "%.1f m", value / 60e9);
    } else if (value < 48 * 3600e9) {
        snprintf(out, size, "%.1f h", value / 3600e9);
    } else {
        snprintf(out, size, "%.1f d", value / 86400e9);
    }
    return out;
}

bool cmd_socket_path(char out[CMD_SOCKET_PATH_MAX])
{
    const char *given = getenv("TROUPE_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length = 0;
    if (given != NULL && given[0] != 0) {
        length = snprintf(out, CMD_SOCKET_PATH_MAX, "%s", given);
    } else if (runtime != NULL && runtime[0] == '/') {
        length = snprintf(out, CMD_SOCKET_PATH_MAX, "%s/troupe/node.sock", runtime);
    } else {
        length = snprintf(out, CMD_SOCKET_PATH_MAX, "/tmp/troupe-%lu/node.sock",
                          (unsigned long)geteuid());
    }
    return length > 0 && length < CMD_SOCKET_PATH_MAX;
}
