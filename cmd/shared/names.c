/* SPDX-License-Identifier: Apache-2.0 */
/* Nearest names, durations, the socket's place: see names.h, also for invariants and threads. */
#include "shared/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME_MAX_COMPARED 63

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment; three rows are enough. */
size_t cmd_distance(const char *left, const char *right)
{
    size_t rows[3][NAME_MAX_COMPARED + 1];
    size_t n = strlen(left);
    size_t m = strlen(right);
    if (n > NAME_MAX_COMPARED || m > NAME_MAX_COMPARED) return n == m ? n : n + m;
    for (size_t j = 0; j <= m; j++) rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t changed = above[j - 1] + (left[i - 1] != right[j - 1]);
            row[j] = least(changed, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return rows[n % 3][m];
}

void cmd_nearest_init(cmd_nearest *nearest, const char *wanted)
{
    *nearest = (cmd_nearest){.wanted = wanted};
    /* Of a short name one letter may be wrong, of a long one a third. */
    size_t allowed = strlen(wanted) / 3;
    nearest->distance = (allowed < 1 ? 1 : allowed) + 1;
}

void cmd_nearest_offer(cmd_nearest *nearest, const char *name)
{
    size_t distance = cmd_distance(nearest->wanted, name);
    if (distance >= nearest->distance) return;
    nearest->best = name;
    nearest->distance = distance;
}

static const struct {
    const char *name;
    double nanoseconds;
} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"", 1e9},
             {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};

bool cmd_duration_parse(const char *text, uint64_t *ret_duration)
{
    /* strtod alone would take "inf", "nan", "0x1p3" and a sign. */
    size_t digits = strspn(text, "0123456789.");
    if (digits == 0 || digits > 24) return false;
    char number[25];
    memcpy(number, text, digits);
    number[digits] = 0;
    char *end = NULL;
    double value = strtod(number, &end);
    if (*end != 0) return false;
    const char *unit = text + digits;
    while (*unit == ' ') unit++;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].name) != 0) continue;
        double nanoseconds = value * units[i].nanoseconds;
        if (nanoseconds > 9e18) return false;
        *ret_duration = (uint64_t)(nanoseconds + 0.5);
        return true;
    }
    return false;
}

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
