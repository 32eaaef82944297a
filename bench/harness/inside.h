/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the harness share with one another and with nobody else: rows of the report,
 * series of runs, child processes, and a reader for the flat JSON that limits and peers print.
 *
 * Invariants
 *   1. Every row has as many limits and ratios as values, or none of them.
 * Threads
 *   One.
 */
#ifndef TP_BENCH_INSIDE_H
#define TP_BENCH_INSIDE_H

#include "harness/bench.h"
#include <stdio.h>

enum {
    TP_BENCH_RUNS = 9,
    TP_BENCH_RUNS_MAX = 99,
    TP_BENCH_ALSO_MAX = 8,
    TP_BENCH_PEERS_MAX = 8,
    TP_BENCH_PARAMS_MAX = 16,
    TP_BENCH_TEXT = 160,
    TP_BENCH_SKIPPED = 77, /* exit code of limits and of bodies that cannot run here */
};

typedef struct tp_bench_series {
    double values[TP_BENCH_RUNS_MAX];
    size_t count;
} tp_bench_series;

void tp_bench_series_add(tp_bench_series *series, double value);
/* Of an empty series: NaN, all three. */
double tp_bench_median(const tp_bench_series *series);
double tp_bench_min(const tp_bench_series *series);
double tp_bench_max(const tp_bench_series *series);
/* What ends in "/s" is a rate: more is better. */
bool tp_bench_is_rate(const char *unit);
/* How many times better ours is, whatever the unit. */
double tp_bench_ahead(const char *unit, double ours, double theirs);
bool tp_bench_bar_held(tp_bench_bar bar, double bound, double value, double ratio);

typedef struct tp_bench_peer {
    char name[TP_BENCH_TEXT];
    double value, ahead;
} tp_bench_peer;

typedef enum tp_bench_verdict {
    TP_BENCH_NO_BAR,
    TP_BENCH_HELD,
    TP_BENCH_MISSED,  /* under the bar, or behind a peer */
    TP_BENCH_LOW,     /* the limit is under 0.7 of its orientation: the pair does not count */
    TP_BENCH_NOT_RUN, /* skipped, with the reason */
    TP_BENCH_BROKEN,  /* a body or a limit failed, with the reason */
} tp_bench_verdict;

typedef struct tp_bench_row {
    char name[TP_BENCH_TEXT], unit[TP_BENCH_TEXT], limit[TP_BENCH_TEXT], reason[TP_BENCH_TEXT];
    const char *peer_name;
    tp_bench_series values, limits, ratios, cpu, limit_cpu;
    double orientation; /* of the limit, 0: none */
    tp_bench_bar bar;
    double bound;
    tp_bench_peer peers[TP_BENCH_PEERS_MAX];
    size_t peer_count;
    tp_bench_verdict verdict;
} tp_bench_row;

/* Fills in the verdict from everything else. `floor`: a low limit is a failure. */
void tp_bench_row_judge(tp_bench_row *row, bool floor);

/* One run of a program: what it printed, how it ended, processor seconds per second. */
typedef struct tp_bench_child {
    char output[16384];
    int status; /* exit code, or 128 + signal */
    double cpu;
} tp_bench_child;

/* False where it could not be started, or was killed after `timeout_s`; the reason is on stderr. */
bool tp_bench_child_run(char *const *argv, unsigned timeout_s, tp_bench_child *ret_child);

/* Next flat object of a text, or NULL; *ret_end is where to go on. Nested objects are not
 * understood. */
const char *tp_bench_json_next(const char *text, const char **ret_end);
/* Member of a flat object that ends before `end`. False where there is none of that name and kind.
 */
bool tp_bench_json_number(const char *object, const char *end, const char *name, double *ret_value);
bool tp_bench_json_text(
    const char *object, const char *end, const char *name, char *ret_text, size_t size);

/* Adds the figures of peers.json. A missing file is no error; a file that makes no sense is. */
bool tp_bench_peers_read(const char *path, tp_bench_row *rows, size_t count);
void tp_bench_print_head(FILE *out);
void tp_bench_print_row(FILE *out, const tp_bench_row *row);
bool tp_bench_write_json(const char *path, const tp_bench_row *rows, size_t count);

/* What a body is given. */
struct tp_bench {
    const tp_bench_case *what;
    const char *params[TP_BENCH_PARAMS_MAX]; /* NAME=VALUE of the command line */
    size_t param_count;
    char reason[TP_BENCH_TEXT];
    bool skipped, failed;
    struct {
        const char *name, *unit;
        double value, bound;
        tp_bench_bar bar;
    } also[TP_BENCH_ALSO_MAX];
    size_t also_count;
    uint64_t operations;
};

#endif
