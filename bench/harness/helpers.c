/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bodies call: clock, processor time, resident bytes, cores, names, marks for callgrind.
 * Nothing here runs unless a body asks for it.
 *
 * Invariants: names and random numbers are those of bench/limits (table.h, limit.h).
 * Threads: as in bench.h; the clocks and sizes may be read from any.
 */
#include "harness/inside.h"
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else /* measured without valgrind: --callgrind then counts nothing, and tools/budget says so */
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_STOP_INSTRUMENTATION  ((void)0)
#endif

static bool param_of(const char *text, const char *name, uint64_t *ret_value)
{
    size_t size = strlen(name);
    for (; text != NULL; text = strchr(text, ' ') != NULL ? strchr(text, ' ') + 1 : NULL) {
        if (strncmp(text, name, size) != 0 || text[size] != '=')
            continue;
        *ret_value = strtoull(text + size + 1, NULL, 10);
        return true;
    }
    return false;
}

uint64_t tp_bench_param(const tp_bench *bench, const char *name, uint64_t otherwise)
{
    uint64_t value = otherwise;
    for (size_t i = 0; i < bench->param_count; i++)
        if (param_of(bench->params[i], name, &value))
            return value;
    param_of(bench->what->params, name, &value);
    return value;
}

double tp_bench_skip(tp_bench *bench, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(bench->reason, sizeof(bench->reason), format, list);
    va_end(list);
    bench->skipped = true;
    return NAN;
}

double tp_bench_fail(tp_bench *bench, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(bench->reason, sizeof(bench->reason), format, list);
    va_end(list);
    bench->failed = true;
    return NAN;
}

void tp_bench_also(tp_bench *bench, const char *name, const char *unit, double value,
    tp_bench_bar bar, double bound)
{
    if (bench->also_count == TP_BENCH_ALSO_MAX) {
        tp_bench_fail(bench, "more than %d further figures", TP_BENCH_ALSO_MAX);
        return;
    }
    size_t at = bench->also_count++;
    bench->also[at].name = name;
    bench->also[at].unit = unit;
    bench->also[at].value = value;
    bench->also[at].bar = bar;
    bench->also[at].bound = bound;
}

void tp_bench_count_start(tp_bench *bench)
{
    bench->operations = 0;
    CALLGRIND_START_INSTRUMENTATION;
}

void tp_bench_count_stop(tp_bench *bench, uint64_t operations)
{
    CALLGRIND_STOP_INSTRUMENTATION;
    bench->operations = operations;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t tp_bench_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t tp_bench_run_ns(const tp_bench *bench)
{
    return tp_bench_param(bench, "run_ms", 300) * 1000000;
}

uint64_t tp_bench_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t tp_bench_wakeups(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (uint64_t)used.ru_nvcsw;
}

uint64_t tp_bench_rss_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The main thread of the process is never pinned by anyone else, but a body may have pinned itself:
 * what the program was started with is what its parent, or the shell, may use. */
static void allowed_cores(cpu_set_t *ret_set)
{
    CPU_ZERO(ret_set);
    if (sched_getaffinity(getppid(), sizeof(*ret_set), ret_set) != 0)
        sched_getaffinity(0, sizeof(*ret_set), ret_set);
}

unsigned tp_bench_cores(void)
{
    cpu_set_t allowed;
    allowed_cores(&allowed);
    return (unsigned)CPU_COUNT(&allowed);
}

bool tp_bench_pin(unsigned n)
{
    cpu_set_t allowed, one;
    allowed_cores(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || n-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof(one), &one) == 0;
    }
    return false;
}

void tp_bench_unpin(void)
{
    cpu_set_t allowed;
    allowed_cores(&allowed);
    sched_setaffinity(0, sizeof(allowed), &allowed);
}

void tp_bench_key(uint64_t index, char *ret_key)
{
    /* Spread the nibbles of 32 bits over 64, highest first in memory, then add '0' or 'a' - 10. */
    uint64_t x = __builtin_bswap32((uint32_t)index);
    x = (x | x << 16) & 0x0000ffff0000ffffull;
    x = (x | x << 8) & 0x00ff00ff00ff00ffull;
    x = (x >> 4 & 0x000f000f000f000full) | (x & 0x000f000f000f000full) << 8;
    uint64_t letters = (x + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull;
    x += 0x3030303030303030ull + letters * 39;
    memcpy(ret_key, "account-", 8);
    memcpy(ret_key + 8, &x, 8);
}

uint64_t tp_bench_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void tp_bench_keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

void tp_bench_find_modules(void)
{
    char path[4096], places[2 * sizeof path + 32];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0)
        return;
    path[size] = '\0';
    *strrchr(path, '/') = '\0';
    snprintf(places, sizeof places, "%s/..:%s/../../lib", path, path);
    setenv("TROUPE_PROVIDER_PATH", places, 0);
}

static int smaller_first(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

void tp_bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, smaller_first);
}

void tp_bench_sleep_ms(uint64_t milliseconds)
{
    struct timespec left = {
        (time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}
