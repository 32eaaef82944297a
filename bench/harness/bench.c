/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner: options, limit and ours in turn, one process each, rows and verdicts. Started by
 * tools/bench and tools/budget through the main of bench/<group>. With --once it is the child that
 * runs one body.
 *
 * Invariants
 *   1. Runs of a case are interleaved: limit, ours, limit, ours; pair i is limit i and ours i.
 *   2. One broken run breaks the row; no run is silently left out.
 * Threads: one, in the runner; what the bodies do is theirs.
 */
#include "harness/inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ONLY_MAX = 32,
    CHILD_ARGUMENTS = 40,
    CHILD_SECONDS = 300,
    ROWS_EACH = 1 + TP_BENCH_ALSO_MAX
};

typedef struct runner {
    const tp_bench_case *cases;
    size_t case_count;
    const char *group;
    char self[4096], directory[4096];
    const char *only[ONLY_MAX];
    size_t only_count;
    const char *params[TP_BENCH_PARAMS_MAX];
    size_t param_count;
    const char *once, *callgrind, *json, *peers;
    unsigned runs;
    bool base, no_floor, list, budgets;
} runner;

static const char help[] =
    "  --only NAME      run this case (again for more)     --list         names of all cases\n"
    "  --runs N         pairs, 1 to 99                     --json FILE    write the figures\n"
    "  --budgets        names that have a budget of instructions\n"
    "  --limits DIR     where limit_* are (beside this)    --peers FILE   figures of other "
    "systems\n"
    "  --param N=V      a parameter of the bodies          --no-floor     a slow limit is no "
    "failure\n"
    "  --once NAME      run the body here, once (--base: its base), print JSON lines\n"
    "  --callgrind NAME run its counted operations here, print how many\n";

static const tp_bench_case *find_case(const runner *run, const char *name)
{
    for (size_t i = 0; i < run->case_count; i++) {
        const tp_bench_case *what = &run->cases[i];
        if (strcmp(what->name, name) == 0 ||
            (what->budget != NULL && strcmp(what->budget, name) == 0))
            return what;
    }
    fprintf(stderr, "bench: no case %s; --list shows them\n", name);
    return NULL;
}

/* --- the child: one body, once --- */

static void bench_init(tp_bench *bench, const runner *run, const tp_bench_case *what)
{
    memset(bench, 0, sizeof(*bench));
    bench->what = what;
    memcpy(bench->params, run->params, sizeof(bench->params));
    bench->param_count = run->param_count;
}

static int reason_printed(FILE *out, const tp_bench *bench)
{
    fprintf(stderr, "bench: %s: %s\n", bench->what->name, bench->reason);
    fputs("{\"reason\":\"", out);
    for (const char *at = bench->reason; *at != '\0'; at++)
        putc(*at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at, out);
    fputs("\"}\n", out);
    fclose(out);
    return bench->failed ? 1 : TP_BENCH_SKIPPED;
}

/* What the body or the library prints goes to stderr, so that stdout holds the figures alone. */
static FILE *figures_open(void)
{
    int kept = dup(STDOUT_FILENO);
    if (kept < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return NULL;
    return fdopen(kept, "w");
}

static int run_once(const runner *run)
{
    const tp_bench_case *what = find_case(run, run->once);
    FILE *out = what != NULL ? figures_open() : NULL;
    tp_bench bench;
    if (out == NULL)
        return 2;
    bench_init(&bench, run, what);
    double value = run->base && what->base != NULL ? what->base(&bench) : what->body(&bench);
    if (!bench.failed && !bench.skipped && !(isfinite(value) && value >= 0))
        tp_bench_fail(&bench, "returned %g", value);
    if (bench.failed || bench.skipped)
        return reason_printed(out, &bench);
    fprintf(
        out, "{\"name\":\"%s\",\"value\":%.9g,\"unit\":\"%s\"}\n", what->name, value, what->unit);
    for (size_t i = 0; i < bench.also_count; i++)
        fprintf(out, "{\"name\":\"%s\",\"value\":%.9g,\"unit\":\"%s\",\"bar\":%d,\"bound\":%.9g}\n",
            bench.also[i].name, bench.also[i].value, bench.also[i].unit, (int)bench.also[i].bar,
            bench.also[i].bound);
    return fclose(out) == 0 ? 0 : 2;
}

static int run_counted(const runner *run)
{
    const tp_bench_case *what = find_case(run, run->callgrind);
    FILE *out = what != NULL ? figures_open() : NULL;
    tp_bench bench;
    if (out == NULL)
        return 2;
    if (what->count == NULL) {
        fprintf(stderr, "bench: %s has no counted operations\n", what->name);
        return 2;
    }
    bench_init(&bench, run, what);
    what->count(&bench);
    if (!bench.failed && !bench.skipped && bench.operations == 0)
        tp_bench_fail(&bench, "counted no operations");
    if (bench.failed || bench.skipped)
        return reason_printed(out, &bench);
    fprintf(out, "{\"name\":\"%s\",\"operations\":%llu}\n",
        what->budget != NULL ? what->budget : what->name, (unsigned long long)bench.operations);
    return fclose(out) == 0 ? 0 : 2;
}

/* --- the runner: pairs --- */

static void row_break(tp_bench_row *row, const tp_bench_child *child, const char *who)
{
    const char *end, *object = tp_bench_json_next(child->output, &end);
    row->verdict = child->status == TP_BENCH_SKIPPED ? TP_BENCH_NOT_RUN : TP_BENCH_BROKEN;
    if (object == NULL ||
        !tp_bench_json_text(object, end, "reason", row->reason, sizeof(row->reason)))
        snprintf(row->reason, sizeof(row->reason), "%s ended with %d", who, child->status);
}

/* Runs a child and takes the value of its first line; the rest of its lines begin at *ret_rest. */
static bool measure(tp_bench_row *row, char *const *argv, const char *who, tp_bench_child *child,
    double *ret_value, const char **ret_rest)
{
    const char *object = NULL;
    double orientation;
    if (!tp_bench_child_run(argv, CHILD_SECONDS, child) || child->status != 0) {
        row_break(row, child, who);
        return false;
    }
    object = tp_bench_json_next(child->output, ret_rest);
    if (object == NULL || !tp_bench_json_number(object, *ret_rest, "value", ret_value)) {
        snprintf(row->reason, sizeof(row->reason), "%s printed no value", who);
        row->verdict = TP_BENCH_BROKEN;
        return false;
    }
    if (tp_bench_json_number(object, *ret_rest, "orientation", &orientation))
        row->orientation = orientation;
    return true;
}

static size_t self_arguments(const runner *run, const tp_bench_case *what, bool base, char **argv)
{
    size_t n = 0;
    argv[n++] = (char *)(uintptr_t)run->self;
    argv[n++] = (char *)(uintptr_t) "--once";
    argv[n++] = (char *)(uintptr_t)what->name;
    if (base)
        argv[n++] = (char *)(uintptr_t) "--base";
    for (size_t i = 0; i < run->param_count; i++) {
        argv[n++] = (char *)(uintptr_t) "--param";
        argv[n++] = (char *)(uintptr_t)run->params[i];
    }
    argv[n] = NULL;
    return n;
}

static bool measure_limit(const runner *run, const tp_bench_case *what, tp_bench_row *row)
{
    char words[TP_BENCH_TEXT], path[sizeof(run->directory) + TP_BENCH_TEXT], *argv[CHILD_ARGUMENTS],
        *rest = NULL;
    tp_bench_child child;
    const char *end;
    double value;
    if (what->limit == NULL && what->base == NULL)
        return true;
    if (what->base != NULL) {
        self_arguments(run, what, true, argv);
    } else {
        size_t n = 1;
        snprintf(words, sizeof(words), "%s", what->limit);
        snprintf(path, sizeof(path), "%s/limit_%s", run->directory, strtok_r(words, " ", &rest));
        argv[0] = path;
        for (char *word; n < CHILD_ARGUMENTS - 2 && (word = strtok_r(NULL, " ", &rest)) != NULL;)
            argv[n++] = word;
        argv[n++] = (char *)(uintptr_t) "--no-floor";
        argv[n] = NULL;
    }
    if (!measure(row, argv, what->base != NULL ? "the base" : "the limit", &child, &value, &end))
        return false;
    tp_bench_series_add(&row->limits, value);
    tp_bench_series_add(&row->limit_cpu, child.cpu);
    return true;
}

/* Further figures of a run are rows behind the case's own; each run must give the same ones. */
static void take_also(tp_bench_row *rows, size_t *row_count, const char *text)
{
    const char *object;
    for (size_t at = 1; (object = tp_bench_json_next(text, &text)) != NULL && at < ROWS_EACH;
         at++) {
        tp_bench_row *row = &rows[at];
        double value = NAN, bar = 0;
        if (at == *row_count)
            ++*row_count;
        tp_bench_json_text(object, text, "name", row->name, sizeof(row->name));
        tp_bench_json_text(object, text, "unit", row->unit, sizeof(row->unit));
        tp_bench_json_number(object, text, "bound", &row->bound);
        tp_bench_json_number(object, text, "bar", &bar);
        tp_bench_json_number(object, text, "value", &value);
        row->bar = (tp_bench_bar)bar;
        row->peer_name = row->name;
        tp_bench_series_add(&row->values, value);
    }
}

static bool measure_ours(
    const runner *run, const tp_bench_case *what, tp_bench_row *rows, size_t *row_count)
{
    char *argv[CHILD_ARGUMENTS];
    tp_bench_child child;
    const char *rest;
    double value;
    self_arguments(run, what, false, argv);
    if (!measure(&rows[0], argv, "the body", &child, &value, &rest))
        return false;
    tp_bench_series_add(&rows[0].values, value);
    tp_bench_series_add(&rows[0].cpu, child.cpu);
    if (rows[0].limits.count > 0)
        tp_bench_series_add(
            &rows[0].ratios, value / rows[0].limits.values[rows[0].limits.count - 1]);
    take_also(rows, row_count, rest);
    return true;
}

/* Fills in rows[0] for the case and one row for each of its further figures; returns how many. */
static size_t run_case(const runner *run, const tp_bench_case *what, tp_bench_row *rows)
{
    unsigned runs = run->runs > 0 ? run->runs : what->runs > 0 ? what->runs : TP_BENCH_RUNS;
    size_t row_count = 1;
    tp_bench_row *row = &rows[0];
    snprintf(row->name, sizeof(row->name), "%s", what->name);
    snprintf(row->unit, sizeof(row->unit), "%s", what->unit);
    snprintf(row->limit, sizeof(row->limit), "%s",
        what->base != NULL    ? "base"
        : what->limit != NULL ? what->limit
                              : "");
    row->peer_name = what->peer != NULL ? what->peer : row->name;
    row->bar = what->bar;
    row->bound = what->bound;
    for (unsigned i = 0; i < runs; i++) {
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r%s %u/%u \033[K", what->name, i + 1, runs);
        if (!measure_limit(run, what, row) || !measure_ours(run, what, rows, &row_count))
            break;
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    return row_count;
}

static bool wanted(const runner *run, const char *name)
{
    for (size_t i = 0; i < run->only_count; i++)
        if (strcmp(run->only[i], name) == 0)
            return true;
    return run->only_count == 0;
}

static int judge_and_print(const runner *run, tp_bench_row *rows, size_t count)
{
    int code = 0;
    if (run->peers != NULL && !tp_bench_peers_read(run->peers, rows, count))
        code = 2;
    tp_bench_print_head(stdout);
    for (size_t i = 0; i < count; i++) {
        tp_bench_row_judge(&rows[i], !run->no_floor);
        tp_bench_print_row(stdout, &rows[i]);
        bool failed = rows[i].verdict == TP_BENCH_MISSED || rows[i].verdict == TP_BENCH_LOW;
        if (rows[i].verdict == TP_BENCH_BROKEN)
            code = 2;
        else if (failed && code == 0)
            code = 1;
    }
    if (run->json != NULL && !tp_bench_write_json(run->json, rows, count))
        code = 2;
    return code;
}

static int run_group(const runner *run)
{
    tp_bench_row *rows = calloc(run->case_count * ROWS_EACH, sizeof(*rows));
    size_t count = 0;
    if (rows == NULL)
        return 2;
    for (size_t i = 0; i < run->only_count; i++)
        if (find_case(run, run->only[i]) == NULL) {
            free(rows);
            return 2;
        }
    for (size_t i = 0; i < run->case_count; i++)
        if (wanted(run, run->cases[i].name))
            count += run_case(run, &run->cases[i], &rows[count]);
    int code = judge_and_print(run, rows, count);
    free(rows);
    return code;
}

/* --- options --- */

static bool take_flag(runner *run, const char *option)
{
    if (strcmp(option, "--base") == 0)
        return run->base = true;
    if (strcmp(option, "--no-floor") == 0)
        return run->no_floor = true;
    if (strcmp(option, "--list") == 0)
        return run->list = true;
    if (strcmp(option, "--budgets") == 0)
        return run->budgets = true;
    return false;
}

static bool take_option(runner *run, const char *option, const char *value)
{
    if (value == NULL)
        return false;
    if (strcmp(option, "--only") == 0 && run->only_count < ONLY_MAX)
        return (run->only[run->only_count++] = value) != NULL;
    if (strcmp(option, "--param") == 0 && run->param_count < TP_BENCH_PARAMS_MAX &&
        strchr(value, '=') != NULL)
        return (run->params[run->param_count++] = value) != NULL;
    if (strcmp(option, "--runs") == 0)
        return (run->runs = (unsigned)strtoul(value, NULL, 10)) >= 1 &&
               run->runs <= TP_BENCH_RUNS_MAX;
    if (strcmp(option, "--limits") == 0)
        return (size_t)snprintf(run->directory, sizeof(run->directory), "%s", value) <
               sizeof(run->directory);
    const struct {
        const char *name, **value;
    } texts[] = {{"--json", &run->json}, {"--peers", &run->peers}, {"--once", &run->once},
        {"--callgrind", &run->callgrind}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(option, texts[i].name) == 0)
            return (*texts[i].value = value) != NULL;
    return false;
}

static bool take_arguments(runner *run, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (take_flag(run, argv[i]))
            continue;
        if (!take_option(run, argv[i], argv[i + 1])) {
            fprintf(
                stderr, "bench: cannot use %s\nbench_%s [options]\n%s", argv[i], run->group, help);
            return false;
        }
        i++;
    }
    return true;
}

int tp_bench_main(
    int argc, char **argv, const char *group, const tp_bench_case *cases, size_t count)
{
    runner run = {.cases = cases, .case_count = count, .group = group};
    ssize_t size = readlink("/proc/self/exe", run.self, sizeof(run.self) - 1);
    if (size <= 0)
        return 2;
    memcpy(run.directory, run.self, (size_t)size);
    *strrchr(run.directory, '/') = '\0';
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return printf("bench_%s [options]\n%s", group, help) < 0;
    if (!take_arguments(&run, argc, argv))
        return 2;
    if (run.once != NULL)
        return run_once(&run);
    if (run.callgrind != NULL)
        return run_counted(&run);
    if (!run.list && !run.budgets)
        return run_group(&run);
    for (size_t i = 0; i < count; i++)
        if (run.list)
            printf("%-22s %-6s %s\n", cases[i].name, cases[i].unit,
                cases[i].limit != NULL ? cases[i].limit : "-");
        else if (cases[i].budget != NULL)
            puts(cases[i].budget);
    return 0;
}
