/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A boot clock that stands still when a test says so: preloaded (LD_PRELOAD) it shows the same time
 * as long as the file $STOPPED_CLOCK begins with a 1. Leases are counted by that clock, so a
 * process with it believes in its lease for ever: the fence in time is off.
 *
 * Threads: any.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile char *stopped;
static _Atomic int64_t stood; /* the time that it shows, in ns; 0: it goes */

__attribute__((constructor)) static void find_file(void)
{
    const char *path = getenv("STOPPED_CLOCK");
    int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *seen = file >= 0 ? mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    stopped = seen != MAP_FAILED ? seen : NULL;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int code = (int)syscall(SYS_clock_gettime, clock, ret_time);
    if (clock != CLOCK_BOOTTIME || code != 0)
        return code;
    int64_t now = (int64_t)ret_time->tv_sec * 1000000000 + ret_time->tv_nsec, none = 0;
    if (stopped == NULL || *stopped != '1')
        atomic_store(&stood, 0);
    else if (!atomic_compare_exchange_strong(&stood, &none, now))
        now = none;
    ret_time->tv_sec = (time_t)(now / 1000000000);
    ret_time->tv_nsec = (long)(now % 1000000000);
    return 0;
}
