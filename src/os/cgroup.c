/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads limits of control groups. See cgroup.h. A line of /proc/self/cgroup is NUMBER:CONTROLLERS:
 * PATH, in version 2 with number 0 and no controllers:
 *
 *     0::/shop/node-1          ROOT/shop/node-1/cpu.max, memory.max; ROOT/shop/…; ROOT/…
 *     4:cpu,cpuacct:/shop      ROOT/cpu/shop/cpu.cfs_quota_us, cpu.cfs_period_us; ROOT/cpu/…
 *     7:memory:/shop           ROOT/memory/shop/memory.limit_in_bytes; ROOT/memory/…
 *
 * In a container the path may be that of the host: then only what is at the root is there.
 *
 * Threads: any.
 */
#include "os/cgroup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define OWN_SIZE  8192

/* False: there is none. It ends with a 0, and is cut at `size`. */
static bool read_text(const char *path, char *out, size_t size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    size_t got = 0;
    ssize_t part = 0;
    while (got < size - 1 && (part = read(descriptor, out + got, size - 1 - got)) > 0)
        got += (size_t)part;
    (void)close(descriptor);
    out[got] = '\0';
    return part >= 0;
}

static bool read_entry(const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_SIZE + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return read_text(path, out, size);
}

/* "max", -1 and 0 are no limit. */
static uint64_t read_number(const char *text, char **end)
{
    while (*text == ' ' || *text == '\t')
        text++;
    if (*text < '0' || *text > '9') {
        *end = (char *)text;
        return UINT64_MAX;
    }
    uint64_t number = strtoull(text, end, 10);
    return number != 0 ? number : UINT64_MAX;
}

static void lower_memory(tp_cgroup_limits *limits, const char *folder, const char *name)
{
    char text[128];
    char *end;
    if (!read_entry(folder, name, text, sizeof(text)))
        return;
    uint64_t memory = read_number(text, &end);
    if (memory < limits->memory)
        limits->memory = memory;
}

/* Of `quota` and `period`, whatever their unit. */
static void lower_cores(tp_cgroup_limits *limits, uint64_t quota, uint64_t period)
{
    if (quota == UINT64_MAX || period == UINT64_MAX)
        return;
    uint64_t cores = quota >= period ? quota / period : 1;
    if (cores < limits->cores)
        limits->cores = cores;
}

static void lower_version_2(tp_cgroup_limits *limits, const char *folder)
{
    char text[128];
    char *end;
    lower_memory(limits, folder, "memory.max");
    if (!read_entry(folder, "cpu.max", text, sizeof(text)))
        return;
    uint64_t quota = read_number(text, &end);
    lower_cores(limits, quota, read_number(end, &end));
}

static void lower_cpu_1(tp_cgroup_limits *limits, const char *folder)
{
    char quota[128];
    char period[128];
    char *end;
    if (read_entry(folder, "cpu.cfs_quota_us", quota, sizeof(quota)) &&
        read_entry(folder, "cpu.cfs_period_us", period, sizeof(period)))
        lower_cores(limits, read_number(quota, &end), read_number(period, &end));
}

static void lower_memory_1(tp_cgroup_limits *limits, const char *folder)
{
    lower_memory(limits, folder, "memory.limit_in_bytes");
}

/* From the group at `path` under `mount` to the mount itself. */
static void walk(tp_cgroup_limits *limits, const char *mount, const char *path, size_t path_size,
    void (*lower)(tp_cgroup_limits *limits, const char *folder))
{
    char folder[PATH_SIZE];
    int size = snprintf(folder, sizeof(folder), "%s%.*s", mount, (int)path_size, path);
    if (size < 0 || (size_t)size >= sizeof(folder))
        return;
    for (;;) {
        lower(limits, folder);
        char *slash = strrchr(folder + strlen(mount), '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

static bool has_word(const char *list, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= size; at++) {
        bool begins = at == 0 || list[at - 1] == ',';
        bool ends = at + length == size || list[at + length] == ',';
        if (begins && ends && memcmp(list + at, word, length) == 0)
            return true;
    }
    return false;
}

tp_cgroup_limits tp_cgroup_read(const char *root, const char *own)
{
    tp_cgroup_limits limits = {UINT64_MAX, UINT64_MAX};
    char mount[PATH_SIZE];
    for (const char *line = own; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        const char *controllers = memchr(line, ':', size);
        const char *path = controllers != NULL ? strchr(++controllers, ':') : NULL;
        if (path != NULL && path < line + size) {
            size_t count = (size_t)(path - controllers);
            size_t path_size = (size_t)(line + size - ++path);
            if (count == 0)
                walk(&limits, root, path, path_size, lower_version_2);
            (void)snprintf(mount, sizeof(mount), "%s/cpu", root);
            if (has_word(controllers, count, "cpu"))
                walk(&limits, mount, path, path_size, lower_cpu_1);
            (void)snprintf(mount, sizeof(mount), "%s/memory", root);
            if (has_word(controllers, count, "memory"))
                walk(&limits, mount, path, path_size, lower_memory_1);
        }
        line += size + (line[size] == '\n');
    }
    return limits;
}

tp_cgroup_limits tp_cgroup_own(void)
{
    char own[OWN_SIZE];
    if (!read_text("/proc/self/cgroup", own, sizeof(own)))
        own[0] = '\0';
    return tp_cgroup_read("/sys/fs/cgroup", own);
}
