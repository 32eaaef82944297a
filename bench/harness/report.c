/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table and the JSON of a group, and the peers' figures that go into both. The format of the
 * JSON is in docs/benchmarks.md. Called by the runner at the end of each row and of the group.
 *
 * Invariants: the JSON file is complete or not there (written beside and renamed).
 * Threads: one.
 */
#include "harness/inside.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    long size;
    if (file == NULL)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0)
        text = calloc(1, (size_t)size + 1);
    if (text != NULL && fread(text, 1, (size_t)size, file) != (size_t)size) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

static void add_peer(tp_bench_row *row, const tp_bench_peer *peer, const char *unit)
{
    if (row->peer_count == TP_BENCH_PEERS_MAX || row->values.count == 0)
        return;
    if (strcmp(unit, row->unit) != 0) {
        fprintf(stderr, "bench: peer %s gives %s in %s, ours is in %s: left out\n", peer->name,
            row->name, unit, row->unit);
        return;
    }
    tp_bench_peer *slot = &row->peers[row->peer_count++];
    *slot = *peer;
    slot->ahead = tp_bench_ahead(row->unit, tp_bench_median(&row->values), peer->value);
}

bool tp_bench_peers_read(const char *path, tp_bench_row *rows, size_t count)
{
    char *text = read_whole(path);
    const char *end = text;
    bool good = true;
    if (text == NULL)
        return errno == ENOENT;
    for (const char *object; good && (object = tp_bench_json_next(end, &end)) != NULL;) {
        char name[TP_BENCH_TEXT], unit[TP_BENCH_TEXT];
        tp_bench_peer peer = {.value = 0};
        good = tp_bench_json_text(object, end, "name", name, sizeof(name)) &&
               tp_bench_json_text(object, end, "unit", unit, sizeof(unit)) &&
               tp_bench_json_text(object, end, "peer", peer.name, sizeof(peer.name)) &&
               tp_bench_json_number(object, end, "value", &peer.value) && peer.value > 0;
        for (size_t i = 0; good && i < count; i++)
            if (strcmp(rows[i].peer_name, name) == 0)
                add_peer(&rows[i], &peer, unit);
    }
    if (!good || strchr(end, '{') != NULL) {
        fprintf(stderr, "bench: %s: each entry needs name, peer, value and unit\n", path);
        good = false;
    }
    free(text);
    return good;
}

/* 12.3 M, 456 k, 78.9: four characters and a letter say enough beside a ratio. */
static const char *human(double value, char *text, size_t size)
{
    const char *letters[] = {"", "k", "M", "G"};
    size_t letter = 0;
    if (isnan(value))
        return "-";
    for (; fabs(value) >= 10000 && letter < 3; letter++)
        value /= 1000;
    for (; letter > 0 && fabs(value) >= 1000 && letter < 3; letter++)
        value /= 1000;
    snprintf(text, size, "%.*f %s",
        fabs(value) < 10    ? 2
        : fabs(value) < 100 ? 1
                            : 0,
        value, letters[letter]);
    return text;
}

static const char *plain(double value, char *text, size_t size)
{
    if (isnan(value))
        return "-";
    snprintf(text, size, "%.*f", fabs(value) < 10 ? 2 : fabs(value) < 100 ? 1 : 0, value);
    return text;
}

static const char *verdict_name(tp_bench_verdict verdict)
{
    switch (verdict) {
    case TP_BENCH_NO_BAR:
        return "-";
    case TP_BENCH_HELD:
        return "ok";
    case TP_BENCH_MISSED:
        return "MISS";
    case TP_BENCH_LOW:
        return "LOW";
    case TP_BENCH_NOT_RUN:
        return "skipped";
    case TP_BENCH_BROKEN:
        return "BROKEN";
    }
    return "?";
}

static bool bar_is_ratio(tp_bench_bar bar)
{
    return bar == TP_BENCH_RATIO_AT_LEAST || bar == TP_BENCH_RATIO_AT_MOST;
}

static const char *bar_sign(tp_bench_bar bar)
{
    return bar == TP_BENCH_RATIO_AT_LEAST || bar == TP_BENCH_VALUE_AT_LEAST ? ">=" : "<=";
}

void tp_bench_print_head(FILE *out)
{
    fprintf(out, "%-22s %10s %10s %-6s %6s %15s %9s %5s  %s\n", "name", "ours", "limit", "unit",
        "ratio", "min..max", "bar", "cpu", "");
}

void tp_bench_print_row(FILE *out, const tp_bench_row *row)
{
    char ours[32], limit[32], ratio[32], least[32], most[32], range[72] = "", bar[48] = "-",
                                                              cpu[32];
    if (row->verdict == TP_BENCH_NOT_RUN || row->verdict == TP_BENCH_BROKEN) {
        fprintf(out, "%-22s %s: %s\n", row->name, verdict_name(row->verdict), row->reason);
        return;
    }
    const tp_bench_series *spread = row->ratios.count > 0 ? &row->ratios : &row->values;
    snprintf(range, sizeof(range), "%s..%s", human(tp_bench_min(spread), least, sizeof(least)),
        human(tp_bench_max(spread), most, sizeof(most)));
    if (row->bar != TP_BENCH_SHOWN)
        snprintf(bar, sizeof(bar), "%s %.4g%s", bar_sign(row->bar), row->bound,
            bar_is_ratio(row->bar) ? " x" : "");
    fprintf(out, "%-22s %10s %10s %-6s %6s %15s %9s %5s  %s\n", row->name,
        human(tp_bench_median(&row->values), ours, sizeof(ours)),
        human(tp_bench_median(&row->limits), limit, sizeof(limit)), row->unit,
        plain(tp_bench_median(&row->ratios), ratio, sizeof(ratio)), range, bar,
        plain(tp_bench_median(&row->cpu), cpu, sizeof(cpu)), verdict_name(row->verdict));
    if (row->verdict == TP_BENCH_LOW)
        fprintf(out,
            "    the limit is under 0.7 of its orientation, %s: this pair does not count\n",
            human(row->orientation, limit, sizeof(limit)));
    for (size_t i = 0; i < row->peer_count; i++)
        fprintf(out, "    %-18s %10s %10s %-6s %6s\n", row->peers[i].name, "",
            human(row->peers[i].value, limit, sizeof(limit)), row->unit,
            plain(row->peers[i].ahead, ratio, sizeof(ratio)));
}

static void write_string(FILE *file, const char *text)
{
    putc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', file);
        putc((unsigned char)*text < ' ' ? ' ' : *text, file);
    }
    putc('"', file);
}

static void write_number(FILE *file, const char *name, double value)
{
    if (isfinite(value))
        fprintf(file, ",\"%s\":%.9g", name, value);
    else
        fprintf(file, ",\"%s\":null", name);
}

static void write_figures(FILE *file, const tp_bench_row *row)
{
    write_number(file, "value", tp_bench_median(&row->values));
    if (row->limits.count > 0) {
        fputs(",\"limit\":{\"name\":", file);
        write_string(file, row->limit);
        write_number(file, "value", tp_bench_median(&row->limits));
        write_number(file, "orientation", row->orientation > 0 ? row->orientation : NAN);
        write_number(file, "cpu", tp_bench_median(&row->limit_cpu));
        putc('}', file);
        write_number(file, "ratio", tp_bench_median(&row->ratios));
        write_number(file, "ratio_min", tp_bench_min(&row->ratios));
        write_number(file, "ratio_max", tp_bench_max(&row->ratios));
    }
    fputs(",\"peers\":[", file);
    for (size_t i = 0; i < row->peer_count; i++) {
        fputs(i == 0 ? "{\"name\":" : ",{\"name\":", file);
        write_string(file, row->peers[i].name);
        write_number(file, "value", row->peers[i].value);
        write_number(file, "ratio", row->peers[i].ahead);
        putc('}', file);
    }
    putc(']', file);
    fprintf(file, ",\"runs\":%zu", row->values.count);
    write_number(file, "min", tp_bench_min(&row->values));
    write_number(file, "max", tp_bench_max(&row->values));
    write_number(file, "cpu", tp_bench_median(&row->cpu));
    if (row->bar != TP_BENCH_SHOWN)
        fprintf(file, ",\"bar\":{\"of\":\"%s\",\"sign\":\"%s\",\"bound\":%.9g}",
            bar_is_ratio(row->bar) ? "ratio" : "value", bar_sign(row->bar), row->bound);
}

static void write_row(FILE *file, const tp_bench_row *row)
{
    fputs("{\"name\":", file);
    write_string(file, row->name);
    fputs(",\"unit\":", file);
    write_string(file, row->unit);
    if (row->verdict != TP_BENCH_NOT_RUN && row->verdict != TP_BENCH_BROKEN) {
        write_figures(file, row);
    } else {
        fputs(",\"reason\":", file);
        write_string(file, row->reason);
    }
    fprintf(file, ",\"verdict\":\"%s\"}", verdict_name(row->verdict));
}

bool tp_bench_write_json(const char *path, const tp_bench_row *rows, size_t count)
{
    char beside[4096];
    if ((size_t)snprintf(beside, sizeof(beside), "%s.new", path) >= sizeof(beside))
        return false;
    FILE *file = fopen(beside, "we");
    if (file == NULL) {
        fprintf(stderr, "bench: cannot write %s: %s\n", beside, strerror(errno));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? "[\n  " : ",\n  ", file);
        write_row(file, &rows[i]);
    }
    fputs(count == 0 ? "[]\n" : "\n]\n", file);
    bool good = ferror(file) == 0;
    good = fclose(file) == 0 && good && rename(beside, path) == 0;
    if (!good)
        fprintf(stderr, "bench: cannot write %s: %s\n", path, strerror(errno));
    return good;
}
