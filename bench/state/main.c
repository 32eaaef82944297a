/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group state: its rows, each for every provider that can run here, with their limits and bars. It
 * starts the PostgreSQL server that all runs share; a redis-server is each run's own. Run by
 * tools/bench. The bodies are in the other files of this folder.
 *
 * Invariants: bars are floors, and those of the project's plan; they are not lowered here. A
 * provider that cannot run is left out with a line that says why. Threads: one.
 */
#include "state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CASES_MAX = 32, TMPFS = 0x01021994 };

typedef struct kind {
    const char *turns, *one, *hot, *load;                             /* limits */
    const char *turns_params, *one_params, *hot_params, *load_params; /* behind the store's */
} kind;

static const kind kinds[TP_STATE_KINDS] = {
    {"durable_memory 50000", "durable_memory --one", "durable_memory --hot",
        "durable_memory 50000 --load", "run_ms=300 actors=50000", "run_ms=300", "run_ms=300", ""},
    {"durable_sqlite 50000 1000", "durable_sqlite --one", "durable_sqlite 1 1000 --hot",
        "durable_sqlite 50000 1000 --load", "actors=50000", "", "", ""},
    {"durable_redis 50000", "durable_redis 1 --handed", "durable_redis 1",
        "durable_redis 50000 --get", "walks=1 actors=50000", "", "", ""},
    {"durable_postgres", "durable_postgres --handed", "durable_postgres --hot",
        "durable_postgres --get", "walks=1 actors=65536", "", "", "actors=65536"},
};

static const char *words(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Never freed: they are the table's. */
static const char *words(const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        exit(2);
    va_end(list);
    return text;
}

static size_t add_kind(tp_bench_case *cases, size_t store)
{
    const kind *of = &kinds[store];
    const char *name = tp_state_names[store];
    size_t count = 0;
    cases[count++] = (tp_bench_case){.name = words("durable_turns_%s", name),
        .unit = "ops/s",
        .body = tp_state_turns,
        .limit = of->turns,
        .bar = TP_BENCH_RATIO_AT_LEAST,
        .bound = 0.6,
        .params = words("store=%zu %s run_ms=1500", store, of->turns_params)};
    cases[count++] = (tp_bench_case){.name = words("durable_one_%s", name),
        .unit = "ns",
        .body = tp_state_one,
        .limit = of->one,
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 1.2,
        .params = words("store=%zu actors=1 flight=1 %s run_ms=1500", store, of->one_params)};
    cases[count++] = (tp_bench_case){.name = words("durable_hot_%s", name),
        .unit = "ops/s",
        .body = tp_state_hot,
        .limit = of->hot,
        .bar = TP_BENCH_RATIO_AT_LEAST,
        .bound = 0.6,
        .params = words("store=%zu actors=1 flight=1000 %s run_ms=1500", store, of->hot_params)};
    cases[count++] = (tp_bench_case){.name = words("activate_load_%s", name),
        .unit = "ops/s",
        .body = tp_state_load,
        .limit = of->load,
        .bar = TP_BENCH_RATIO_AT_LEAST,
        .bound = 0.6,
        .params = words("store=%zu %s actors=50000", store, of->load_params)};
    return count;
}

/* With a bar: the turn of a caller that waits. Beside it, how much fewer there are when the store
 * is kept busy. Always different actors, for keys of once stay. */
static const tp_bench_case others[] = {
    {.name = "start_sqlite",
        .unit = "ms",
        .body = tp_state_start,
        .bar = TP_BENCH_VALUE_AT_MOST,
        .bound = 50,
        .params = "store=1"},
    {.name = "once_cost",
        .unit = "ns",
        .body = tp_state_once,
        .base = tp_state_plain,
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 1.25,
        .params = "store=1 run_ms=1500 flight=1"},
    {.name = "once_cost_many",
        .unit = "ns",
        .body = tp_state_once,
        .base = tp_state_plain,
        .bar = TP_BENCH_SHOWN,
        .params = "store=1 run_ms=1500"},
    {.name = "outbox_cost",
        .unit = "ns",
        .body = tp_state_outbox,
        .base = tp_state_plain,
        .bar = TP_BENCH_RATIO_AT_MOST,
        .bound = 1.5,
        .params = "store=1 run_ms=1500 flight=1"},
    {.name = "outbox_cost_many",
        .unit = "ns",
        .body = tp_state_outbox,
        .base = tp_state_plain,
        .bar = TP_BENCH_SHOWN,
        .params = "store=1 run_ms=1500"},
};

/* ---- what can run here ---------------------------------------------------------------------- */

static bool has_limit(const char *name)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 64);
    if (size <= 0)
        return false;
    path[size] = '\0';
    snprintf(strrchr(path, '/') + 1, 60, "limit_durable_%s", name);
    return access(path, X_OK) == 0;
}

/* Syncs of a file system in memory would flatter everybody. */
static void find_disk(void)
{
    struct statfs info;
    const char *now = getenv("TMPDIR");
    if (now == NULL && statfs("/tmp", &info) == 0 && info.f_type == TMPFS)
        setenv("TMPDIR", "/var/tmp", 0);
}

/* Does a command line measure rows of that store? */
static bool measures(int argc, char **argv, const char *store)
{
    bool all = true, named = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0 || strcmp(argv[i], "--help") == 0 ||
            strcmp(argv[i], "--budgets") == 0)
            return false;
        if ((strcmp(argv[i], "--only") == 0 || strcmp(argv[i], "--once") == 0) && i + 1 < argc) {
            all = false;
            named = named || strstr(argv[i + 1], store) != NULL;
        }
    }
    return all || named;
}

static bool start_postgres(postgres_server *server)
{
    char url[400];
    if (getenv(TP_STATE_POSTGRES_URL) != NULL)
        return true;
    if (!postgres_server_start(server, "max_wal_size = 4GB")) {
        fprintf(stderr, "SKIPPED: PostgreSQL does not start\n");
        return false;
    }
    postgres_server_url(server, "", url, sizeof url);
    setenv(TP_STATE_POSTGRES_URL, url, 1);
    setenv(TP_STATE_POSTGRES_FOLDER, server->server.folder, 1);
    return true;
}

static bool has_redis(void)
{
    char path[SERVER_PATH];
    if (server_find("redis-server", "/usr/sbin", path, sizeof path))
        return true;
    fprintf(stderr, "SKIPPED: redis-server is not installed (make deps-test)\n");
    return false;
}

static bool can_run(int argc, char **argv, size_t store, postgres_server *postgres)
{
    const char *name = tp_state_names[store];
    if (!has_limit(name)) {
        fprintf(
            stderr, "SKIPPED: rows of %s: its client library is not installed (make deps)\n", name);
        return false;
    }
    if (!measures(argc, argv, name))
        return true;
    if (store == TP_STATE_REDIS)
        return has_redis();
    return store != TP_STATE_POSTGRES || start_postgres(postgres);
}

int main(int argc, char **argv)
{
    static tp_bench_case cases[CASES_MAX];
    postgres_server postgres = {0};
    size_t count = 0;
    if (argc == 3 && strcmp(argv[1], "--start-child") == 0)
        return tp_state_start_child(argv[2]);
    tp_bench_find_modules();
    find_disk();
    for (size_t store = 0; store < TP_STATE_KINDS; store++)
        if (can_run(argc, argv, store, &postgres))
            count += add_kind(&cases[count], store);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cases[count++] = others[i];
    int code = tp_bench_main(argc, argv, "state", cases, count);
    postgres_server_remove(&postgres);
    return code;
}
