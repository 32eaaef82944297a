/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's notify protocol, sd_notify(3): see notify.h, also for invariants and threads. */
#include "trouped/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void notify_manager(const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || (path[0] != '/' && path[0] != '@')) return;
    size_t length = strlen(path);
    if (length < 2 || length >= sizeof(address.sun_path)) return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = 0; /* the abstract name space of Linux */

    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return;
    size_t size = offsetof(struct sockaddr_un, sun_path) + length;
    ssize_t ignored = sendto(descriptor, state, strlen(state), MSG_NOSIGNAL,
                             (const struct sockaddr *)&address, (socklen_t)size);
    (void)ignored;
    close(descriptor);
}

void notify_reloading(void)
{
    char state[80];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000u);
    notify_manager(state);
}

uint64_t notify_watchdog_interval(void)
{
    const char *time = getenv("WATCHDOG_USEC");
    const char *process = getenv("WATCHDOG_PID");
    if (time == NULL || getenv("NOTIFY_SOCKET") == NULL) return 0;
    if (process != NULL && strtol(process, NULL, 10) != (long)getpid()) return 0;
    uint64_t microseconds = strtoull(time, NULL, 10);
    return microseconds > 0 && microseconds < 2000 ? 1 : microseconds / 2000;
}
