/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a benchmark of ours is written against. A case names a body, the raw limit it is held beside
 * and the bar between the two; tp_bench_main runs limit, ours, limit, ours, each in a process of
 * its own, takes the ratio of every pair and prints the median. Not a profiler, and not for the
 * limits: those are whole programs that know nothing of this (bench/limits). Included by the files
 * of bench/<group>.
 *
 * Invariants
 * 1. A body runs once per process: memory, tables and caches begin empty, resident bytes are its
 * own.
 * 2. A body returns its value in the case's unit, or what tp_bench_skip or tp_bench_fail returned.
 *
 * Threads: a body may start some; the tp_bench itself is used by the thread that called the body.
 */
#ifndef TP_BENCH_H
#define TP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_bench tp_bench;
typedef double tp_bench_body(tp_bench *bench);

/* Ratio is always ours divided by the limit, for rates as for times. */
typedef enum tp_bench_bar {
    TP_BENCH_SHOWN, /* no bar: the figure is only printed */
    TP_BENCH_RATIO_AT_LEAST,
    TP_BENCH_RATIO_AT_MOST,
    TP_BENCH_VALUE_AT_LEAST,
    TP_BENCH_VALUE_AT_MOST,
} tp_bench_bar;

typedef struct tp_bench_case {
    const char *name;
    const char
        *unit; /* "ops/s", "ns", "ms", "bytes", ...; what ends in "/s" is better when higher */
    tp_bench_body *body;
    const char
        *limit; /* program beside ours without "limit_", and arguments: "tell_random 1000000" */
    tp_bench_body *base; /* or a body of ours as the limit: metrics off, peak goodput */
    tp_bench_bar bar;
    double bound;
    const char *params; /* "count=1000000 spin=50000": defaults of tp_bench_param for this case */
    const char *peer;   /* its name in peers.json; NULL: its own */
    unsigned runs;      /* pairs; 0: nine */
    const char *budget; /* its key in bench/budget.json, or NULL */
    tp_bench_body
        *count; /* with `budget`: runs a fixed number of operations between the two marks below */
} tp_bench_case;

/* The whole program: options are listed by --help. Exit 0: bars held; 1: missed; 2: could not
 * measure. */
int tp_bench_main(
    int argc, char **argv, const char *group, const tp_bench_case *cases, size_t count);

/* A parameter: --param NAME=VALUE of the command line, else of the case, else `otherwise`. */
uint64_t tp_bench_param(const tp_bench *bench, const char *name, uint64_t otherwise);

/* Both are to be returned: `return tp_bench_skip(bench, "needs %d cores", 2);` A skip is shown, not
 * counted. */
double tp_bench_skip(tp_bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
double tp_bench_fail(tp_bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One more figure of the same run (p99 of accepted asks, bytes grown), a row of its own; at most
 * eight. The strings must outlive the body. Only SHOWN and the VALUE bars. */
void tp_bench_also(tp_bench *bench, const char *name, const char *unit, double value,
    tp_bench_bar bar, double bound);

/* Marks for callgrind: between them run exactly `operations` operations. Elsewhere they cost
 * nothing. */
void tp_bench_count_start(tp_bench *bench);
void tp_bench_count_stop(tp_bench *bench, uint64_t operations);

uint64_t tp_bench_now_ns(void);
/* first_byte.c: milliseconds from the start of this program with --start-child, and `argument`
 * unless it is NULL, to the '!' that it writes; negative: it wrote none, or failed. */
double tp_bench_first_byte(char *argument);
/* Before anything else: provider modules lie in the folder above this program's, or where it is
 * installed in that of the libraries. */
void tp_bench_find_modules(void);
/* The smallest first. */
void tp_bench_sort(double *values, size_t count);
void tp_bench_sleep_ms(uint64_t milliseconds);
/* How long a body should measure; bodies loop in batches until so much has passed. */
uint64_t tp_bench_run_ns(const tp_bench *bench);
/* Processor time, user and system, of all threads of this process. */
uint64_t tp_bench_cpu_ns(void);
/* Times that threads of this process went to sleep of their own will, and so were woken. */
uint64_t tp_bench_wakeups(void);
/* Resident bytes of this process now. */
uint64_t tp_bench_rss_bytes(void);
/* Cores this process may use. */
unsigned tp_bench_cores(void);
/* Binds the calling thread to the n-th of them; threads it starts later inherit that. False: there
 * is none. */
bool tp_bench_pin(unsigned n);
/* Lets the calling thread use the cores the program started with again. */
void tp_bench_unpin(void);
/* The name of number `index`: 16 bytes, no NUL, the same text as in the raw limits. */
enum { TP_BENCH_KEY = 16 };
void tp_bench_key(uint64_t index, char *ret_key);
/* Fixed sequence for a seed, the same as in the raw limits. */
uint64_t tp_bench_random(uint64_t *state);
/* The compiler must believe that `value` is used. */
void tp_bench_keep(uint64_t value);

#endif
