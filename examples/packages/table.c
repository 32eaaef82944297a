/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the report of the demo. Package names need no quoting in JSON: Debian's policy allows
 * lower-case letters, digits, plus, minus and dots; other bytes in a hostile index are left out.
 *
 * Threads: main.
 */
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 20 };

void table_print_index(FILE *out, const struct package_index *index)
{
    fprintf(out, "%s: %u packages, %u dependencies between them\n", index->source, index->count,
        index->edges);
    fprintf(out,
        "  out of %u clauses: %u led to a provider, %u were repeated or to itself, %u could not be "
        "resolved",
        index->dependencies, index->virtual_ones, index->repeated, index->unresolved);
    const size_t names = sizeof(index->unresolved_names) / sizeof(index->unresolved_names[0]);
    for (size_t i = 0; i < names && index->unresolved_names[i][0] != '\0'; i++)
        fprintf(out, "%s%s", i == 0 ? ": " : ", ", index->unresolved_names[i]);
    fprintf(out, "%s\n", index->unresolved_names[names - 1][0] != '\0' ? ", ..." : "");
}

void table_print_plain(FILE *out, const struct report *report)
{
    fprintf(out, "plain computation, one thread: closures %.3f s, %u rounds of rank %.3f s\n",
        report->plain->closure_seconds, report->rounds, report->plain->rank_seconds);
}

static double run_seconds(const struct run_result *run)
{
    return run->load_seconds + run->closure_seconds + run->rank_seconds + run->collect_seconds;
}

/* "  actors: 21208 on node-1, ...; 9000000 messages went between nodes" */
static void print_nodes(FILE *out, const struct report *report, const struct run_result *run)
{
    fputs("  actors: ", out);
    for (uint32_t i = 0; i < report->nodes; i++)
        fprintf(out, "%s%" PRIu64 " on node-%u", i > 0 ? ", " : "", run->active[i], i + 1);
    fprintf(out, "; %" PRIu64 " calls went between nodes\n", run->stats.sent_away);
}

void table_print_run(FILE *out, const struct report *report, uint32_t number)
{
    const struct run_result *run = &report->runs[number];
    uint64_t messages = run_messages(&run->stats);
    double seconds = run_seconds(run);
    fprintf(out, "\n%s, %u shards\n", report->titles[number], run->stats.shards);
    fprintf(out, "  load %.2f s, closures %.2f s, rank %.2f s, collect %.2f s\n", run->load_seconds,
        run->closure_seconds, run->rank_seconds, run->collect_seconds);
    fprintf(out,
        "  %" PRIu64 " messages in %.2f s: %.2f M a second; %" PRIu64
        " refused as BUSY and sent again\n",
        messages, seconds, (double)messages / seconds / 1e6, run->resent);
    fprintf(out,
        "  %" PRIu64 " activations, %" PRIu64 " evictions, %" PRIu64 " actors active at the end",
        run->stats.activations, run->stats.evictions, run->stats.active);
    if (report->max_actors[number] > 0)
        fprintf(out, " (max_actors %u)", report->max_actors[number]);
    fputc('\n', out);
    if (report->nodes > 1)
        print_nodes(out, report, run);
    if (report->different[number] == 0)
        fprintf(
            out, "  all %u figures are those of the plain computation\n", 2 * report->index->count);
    else
        fprintf(out, "  %u of %u figures are WRONG\n", report->different[number],
            2 * report->index->count);
}

/* ---- the top --------------------------------------------------------------------------------- */

static bool ranks_before(const struct figures *figures, uint32_t left, uint32_t right)
{
    if (figures->ranks[left] != figures->ranks[right])
        return figures->ranks[left] > figures->ranks[right];
    return left < right;
}

/* Fills `top` with the numbers of the first packages; returns how many. */
static uint32_t find_top(const struct report *report, uint32_t top[TOP])
{
    const struct figures *figures = &report->runs[0].figures;
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->index->count; i++) {
        uint32_t place = count < TOP ? count++ : TOP;
        while (place > 0 && ranks_before(figures, i, top[place - 1])) {
            if (place < TOP)
                top[place] = top[place - 1];
            place--;
        }
        if (place < TOP)
            top[place] = i;
    }
    return count;
}

static void print_rank(FILE *out, uint64_t rank, int width)
{
    rank += RANK_UNIT / 2000; /* to the nearest thousandth */
    fprintf(out, "%*" PRIu64 ".%03" PRIu64, width, rank / RANK_UNIT,
        (rank % RANK_UNIT) * 1000 / RANK_UNIT);
}

void table_print_top(FILE *out, const struct report *report)
{
    uint32_t top[TOP], count = find_top(report, top);
    fprintf(out,
        "\n  #  package                                 rank  depend on it, directly or not\n");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "%3u  %-34.34s ", i + 1, report->index->names[top[i]]);
        print_rank(out, report->runs[0].figures.ranks[top[i]], 5);
        fprintf(out, " %10u\n", report->runs[0].figures.closures[top[i]]);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void print_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++)
        if (*text >= ' ' && *text <= '~' && *text != '"' && *text != '\\')
            fputc(*text, out);
    fputc('"', out);
}

static void print_run_json(FILE *out, const struct report *report, uint32_t number)
{
    const struct run_result *run = &report->runs[number];
    fprintf(out,
        "%s\n    {\"shards\": %u, \"max_actors\": %u, \"load_seconds\": %.4f, \"closure_seconds\": "
        "%.4f,",
        number > 0 ? "," : "", run->stats.shards, report->max_actors[number], run->load_seconds,
        run->closure_seconds);
    fprintf(out,
        " \"rank_seconds\": %.4f, \"collect_seconds\": %.4f, \"messages\": %" PRIu64
        ", \"resent\": %" PRIu64 ",",
        run->rank_seconds, run->collect_seconds, run_messages(&run->stats), run->resent);
    fprintf(out,
        " \"activations\": %" PRIu64 ", \"evictions\": %" PRIu64
        ", \"figures\": %u, \"different\": %u, \"between_nodes\": %" PRIu64 ", \"actors\": [",
        run->stats.activations, run->stats.evictions, 2 * report->index->count,
        report->different[number], run->stats.sent_away);
    for (uint32_t i = 0; i < report->nodes; i++)
        fprintf(out, "%s%" PRIu64, i > 0 ? ", " : "", run->active[i]);
    fputs("]}", out);
}

void table_print_json(FILE *out, const struct report *report)
{
    const struct package_index *index = report->index;
    uint32_t top[TOP], count = find_top(report, top);
    fprintf(out, "{\"source\": ");
    print_text(out, index->source);
    fprintf(out,
        ", \"packages\": %u, \"dependencies\": %u, \"clauses\": %u, \"by_provider\": %u, "
        "\"repeated\": %u,",
        index->count, index->edges, index->dependencies, index->virtual_ones, index->repeated);
    fprintf(out,
        " \"unresolved\": %u, \"rounds\": %u,\n  \"plain\": {\"closure_seconds\": %.4f, "
        "\"rank_seconds\": %.4f},\n",
        index->unresolved, report->rounds, report->plain->closure_seconds,
        report->plain->rank_seconds);
    fprintf(out, "  \"runs\": [");
    for (uint32_t i = 0; i < report->run_count; i++)
        print_run_json(out, report, i);
    fprintf(out, "\n  ],\n  \"top\": [");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "%s\n    {\"package\": ", i > 0 ? "," : "");
        print_text(out, index->names[top[i]]);
        fprintf(out, ", \"rank\": ");
        print_rank(out, report->runs[0].figures.ranks[top[i]], 0);
        fprintf(out, ", \"closure\": %u}", report->runs[0].figures.closures[top[i]]);
    }
    fprintf(out, "\n  ]}\n");
}
