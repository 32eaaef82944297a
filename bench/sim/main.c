/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group sim: what a cluster says when nobody asks anything of it, at 10 and 100 simulated nodes,
 * and what one node more or less costs. Prints a table; figures follow from the seed, so one run is
 * all. Run by tools/bench; --nodes N, up to eight times, measures those sizes instead; --json FILE
 * writes them there, too.
 *
 * Threads: one; each size runs in a process of its own.
 */
#include "testkit/scale.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static double per(uint64_t count, double of)
{
    return (double)count / of;
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

typedef struct row {
    const char *name, *unit;
    double value;
} row;

#define ROWS  14
#define SIZES 8

/* What a change costs beyond the traffic of its time at rest. */
static double beyond(
    const tp_scale *s, const tp_scale_traffic *change, uint64_t at_rest, uint64_t all)
{
    return (double)all - per(at_rest, seconds(s->rest.duration)) * seconds(change->duration);
}

static void fill(const tp_scale *s, row out[ROWS])
{
    double time = seconds(s->rest.duration) * s->nodes, nodes = s->nodes;
    const row rows[ROWS] = {
        {"probe_writes", "/node/s", per(s->rest.writes, time)},
        {"probe_bytes", "bytes/node/s", per(s->rest.bytes, time)},
        {"lease_raises", "/node/s", per(s->rest.raises, time)},
        {"lease_looks", "/node/s", per(s->rest.looks, time)},
        {"lease_rows", "/node/s", per(s->rest.rows, time)},
        {"view_reads", "/node/s", per(s->rest.reads, time)},
        {"view_read_bytes", "bytes/node/s", per(s->rest.view_bytes, time)},
        {"join_settles", "s", seconds(s->join_settles)},
        {"join_network", "bytes/node", beyond(s, &s->join, s->rest.bytes, s->join.bytes) / nodes},
        {"join_view", "bytes/node",
            beyond(s, &s->join, s->rest.view_bytes, s->join.view_bytes) / nodes},
        {"leave_settles", "s", seconds(s->leave_settles)},
        {"leave_network", "bytes/node",
            beyond(s, &s->leave, s->rest.bytes, s->leave.bytes) / nodes},
        {"leave_view", "bytes/node",
            beyond(s, &s->leave, s->rest.view_bytes, s->leave.view_bytes) / nodes},
        {"view_size", "bytes", (double)s->view_size},
    };
    memcpy(out, rows, sizeof rows);
}

/* In a child: its memory goes with it. */
static bool measure(uint32_t nodes, row out[ROWS])
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        tp_scale scale = {.nodes = nodes, .seed = 1};
        bool ok = tp_scale_run(&scale);
        if (ok)
            fill(&scale, out);
        ok = ok && write(ends[1], out, ROWS * sizeof *out) == (ssize_t)(ROWS * sizeof *out);
        _exit(!ok);
    }
    close(ends[1]);
    bool ok = child > 0 && read(ends[0], out, ROWS * sizeof *out) == (ssize_t)(ROWS * sizeof *out);
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return ok;
}

static void print(const uint32_t *sizes, uint32_t count, const row rows[][ROWS])
{
    printf("%-30s", "");
    for (uint32_t k = 0; k < count; k++)
        printf(" %9" PRIu32 " nodes", sizes[k]);
    puts("");
    for (uint32_t i = 0; i < ROWS; i++) {
        printf("%-16s %-13s", rows[0][i].name, rows[0][i].unit);
        for (uint32_t k = 0; k < count; k++)
            printf(" %15.2f", rows[k][i].value);
        puts("");
    }
}

static bool write_json(
    const char *path, const uint32_t *sizes, uint32_t count, const row rows[][ROWS])
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < ROWS; i++)
            fprintf(file, "%s{\"name\": \"%s_%" PRIu32 "\", \"unit\": \"%s\", \"value\": %.3f}",
                k + i == 0 ? "[" : ",\n ", rows[k][i].name, sizes[k], rows[k][i].unit,
                rows[k][i].value);
    fputs("]\n", file);
    return fclose(file) == 0;
}

int main(int argc, char **argv)
{
    uint32_t sizes[SIZES] = {10, 100}, count = 0;
    const char *json = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--nodes") == 0 && count < SIZES)
            sizes[count++] = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--json") == 0)
            json = argv[i + 1];
    }
    count = count != 0 ? count : 2;
    static row rows[SIZES][ROWS];
    for (uint32_t i = 0; i < count; i++) {
        if (sizes[i] != 0 && measure(sizes[i], rows[i]))
            continue;
        fprintf(stderr, "bench_sim: %" PRIu32 " nodes could not be measured\n", sizes[i]);
        return 2;
    }
    print(sizes, count, rows);
    return json != NULL && !write_json(json, sizes, count, rows) ? 2 : 0;
}
