/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that look into a running node or steer it: actors, ps, where, stats, metrics, types,
 * deactivate, ping, shutdown. Not calls of actors, which are calls.c.
 * Invariants: 1. What is printed for a person is also in --json. Threads: one.
 */
#include "shared/names.h"
#include "troupe/connection.h"
#include "troupe/print.h"
#include "troupe/requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static cli_exit no_memory(void)
{
    return cli_fail(CLI_FAILED, "no memory");
}

static cli_exit print_table(cli_table *table)
{
    return cli_table_print(table) ? CLI_OK : no_memory();
}

static void add_id(cli_table *table, const json_t *object, const char *name)
{
    char *text = cli_id_text(object, name);
    cli_table_add(table, "%s", text != NULL ? text : "?");
    free(text);
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* A request about one actor, or about none. */
static cli_exit ask_about(const cli_context *context, const char *verb, cli_answer *ret_answer)
{
    cmd_bytes request;
    char about[160];
    cli_request_begin(&request, verb);
    snprintf(about, sizeof(about), "%s", verb);
    if (context->argument_count > 0) {
        cli_exit code = cli_request_actor(&request, context->arguments[0]);
        if (code != CLI_OK) return code;
        snprintf(about, sizeof(about), "%s %.120s", verb, context->arguments[0]);
    }
    return cli_ask(context, &request, about, ret_answer);
}

static void tell_missed(const cli_answer *answer)
{
    if (!json_is_true(json_object_get(answer->root, "missed"))) return;
    fputs("troupe: a shard did not answer, as a turn has kept it for a second or more; the log "
          "says which (turn_stuck)\n", stderr);
}

/* ---- actors ---- */

/* Adds "limit"; CLI_USAGE: it is no number, and that was told. */
static cli_exit add_limit(const cli_context *context, cmd_bytes *request)
{
    const char *text = context->values[CLI_OPTION_LIMIT];
    if (text == NULL) return CLI_OK;
    char *end = NULL;
    unsigned long limit = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || limit < 1 || limit > ADMIN_LIST_LIMIT_MAX) {
        cmd_bytes_deinit(request);
        return cli_fail(CLI_USAGE, "--limit \"%s\" is no number from 1 to %d", text,
                        ADMIN_LIST_LIMIT_MAX);
    }
    admin_write_number(request, "limit", limit);
    return CLI_OK;
}

cli_exit cli_request_filter(const cli_context *context, cmd_bytes *request)
{
    const char *pattern = context->argument_count > 0 ? context->arguments[0] : NULL;
    const char *type = context->values[CLI_OPTION_TYPE];
    const char *slash = pattern != NULL ? strchr(pattern, '/') : NULL;
    if (slash != NULL && type == NULL) {
        /* As an id: type and key. `*` for the type is every type. */
        size_t length = (size_t)(slash - pattern);
        if (length != 1 || pattern[0] != '*') {
            admin_write_text(request, "type", troupe_slice_of(pattern, length));
        }
        pattern = slash + 1;
    }
    if (type != NULL) admin_write_text(request, "type", troupe_str(type));
    if (pattern != NULL) admin_write_text(request, "pattern", troupe_str(pattern));
    return add_limit(context, request);
}

cli_exit cli_run_actors(const cli_context *context)
{
    static const char *const numbers[] = {"received", "errors", "queued", "parked", "bytes"};
    cmd_bytes request;
    cli_answer answer;
    size_t i = 0;
    json_t *actor = NULL;
    cli_request_begin(&request, "actors");
    cli_exit code = cli_request_filter(context, &request);
    if (code == CLI_OK) code = cli_ask(context, &request, "actors", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;

    json_t *actors = json_object_get(answer.root, "actors");
    bool has_more = json_is_true(json_object_get(answer.root, "more"));
    cli_table table;
    cli_table_init(&table, 10, 0x3f8);
    static const char *const heads[] = {"ACTOR", "SHARD", "PHASE", "AGE", "IDLE", "RECEIVED",
                                        "ERRORS", "QUEUED", "PARKED", "BYTES"};
    cli_table_add_heads(&table, heads, actors);
    json_array_foreach (actors, i, actor) {
        const char *node = json_string_value(json_object_get(actor, "node"));
        add_id(&table, actor, "actor");
        cli_table_add(&table, "%s/%" JSON_INTEGER_FORMAT, node != NULL ? node : "?",
                      number_of(actor, "shard"));
        cli_table_add_json(&table, json_object_get(actor, "phase"));
        cli_table_add_time(&table, json_object_get(actor, "age_ns"));
        cli_table_add_time(&table, json_object_get(actor, "idle_ns"));
        for (size_t k = 0; k < 5; k++) {
            cli_table_add_json(&table, json_object_get(actor, numbers[k]));
        }
    }
    size_t count = json_array_size(actors);
    code = print_table(&table);
    if (has_more) fprintf(stderr, "troupe: there are more than %zu; raise --limit\n", count);
    if (count == 0) fprintf(stderr, "troupe: no active actor\n");
    tell_missed(&answer);
    cli_answer_deinit(&answer);
    return code;
}

/* ---- parked turns ---- */

/* "account/bob deposit", or why else it waits; the caller frees it. */
static char *what_for(const json_t *turn)
{
    const char *reason = json_string_value(json_object_get(turn, "reason"));
    const char *method = json_string_value(json_object_get(turn, "target_method"));
    char *target = cli_id_text(turn, "target");
    char *text = NULL;
    int length = 0;
    if (method != NULL) {
        length = asprintf(&text, "%s %s", target != NULL ? target : "?", method);
    } else {
        length = asprintf(&text, "%s", reason != NULL ? reason : "?");
    }
    free(target);
    return length >= 0 ? text : NULL;
}

cli_exit cli_run_ps(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    size_t i = 0;
    json_t *turn = NULL;
    cli_request_begin(&request, "ps");
    cli_exit code = add_limit(context, &request);
    if (code == CLI_OK) code = cli_ask(context, &request, "ps", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;

    json_t *turns = json_object_get(answer.root, "turns");
    cli_table table;
    cli_table_init(&table, 5, 1u << 2 | 1u << 3);
    static const char *const heads[] = {"ACTOR", "METHOD", "AGE", "WAITS", "FOR"};
    cli_table_add_heads(&table, heads, turns);
    json_array_foreach (turns, i, turn) {
        char *waits_for = what_for(turn);
        add_id(&table, turn, "actor");
        cli_table_add_json(&table, json_object_get(turn, "method"));
        cli_table_add_time(&table, json_object_get(turn, "age_ns"));
        cli_table_add_time(&table, json_object_get(turn, "waiting_ns"));
        cli_table_add(&table, "%s", waits_for != NULL ? waits_for : "?");
        free(waits_for);
    }
    size_t count = json_array_size(turns);
    code = print_table(&table);
    if (json_is_true(json_object_get(answer.root, "more"))) {
        fprintf(stderr, "troupe: there are more than %zu; raise --limit\n", count);
    }
    if (count == 0) fprintf(stderr, "troupe: no turn is parked\n");
    tell_missed(&answer);
    cli_answer_deinit(&answer);
    return code;
}

/* "waiting for a/b m", "sleeping", … */
static void print_reason(const json_t *turn, bool is_first)
{
    const char *reason = json_string_value(json_object_get(turn, "reason"));
    if (reason == NULL) reason = "?";
    if (json_object_get(turn, "target_method") != NULL) {
        char *text = what_for(turn);
        printf(", %s for %s", is_first ? "waiting" : "which waits", text != NULL ? text : "?");
        free(text);
    } else if (strcmp(reason, "sleep") == 0) {
        fputs(is_first ? ", sleeping" : ", which sleeps", stdout);
    } else {
        printf(", %s for: %s", is_first ? "waiting" : "which waits", reason);
    }
}

static void print_turn(const json_t *turn, const json_t *chain)
{
    char waiting[32];
    size_t i = 0;
    json_t *item = NULL;
    const char *method = json_string_value(json_object_get(turn, "method"));
    printf("parked %s in %s", cli_time_text(json_object_get(turn, "waiting_ns"), waiting,
                                            sizeof(waiting)), method != NULL ? method : "?");
    print_reason(turn, true);
    json_array_foreach (chain, i, item) print_reason(item, false);
    putchar('\n');
    json_array_foreach (json_object_get(turn, "frames"), i, item) {
        printf("    %s\n", json_string_value(item));
    }
}

cli_exit cli_run_where(const cli_context *context)
{
    cli_answer answer;
    size_t i = 0;
    json_t *turn = NULL;
    char idle[32];
    cli_exit code = ask_about(context, "where", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    json_t *turns = json_object_get(answer.root, "turns");
    json_t *chain = json_object_get(answer.root, "chain");
    const char *phase = json_string_value(json_object_get(answer.root, "phase"));
    /* The chain belongs to the first turn that asks. */
    json_array_foreach (turns, i, turn) {
        bool asks = json_object_get(turn, "target_method") != NULL;
        print_turn(turn, asks ? chain : NULL);
        if (asks) chain = NULL;
    }
    if (json_array_size(turns) == 0 && json_is_true(json_object_get(answer.root, "active"))) {
        printf("not parked; %s, last message %s ago, %" JSON_INTEGER_FORMAT " waiting\n",
               phase != NULL ? phase : "active",
               cli_time_text(json_object_get(answer.root, "idle_ns"), idle, sizeof(idle)),
               number_of(answer.root, "queued"));
    } else if (json_array_size(turns) == 0) {
        printf("not active; a message would activate it\n");
    }
    cli_answer_deinit(&answer);
    return CLI_OK;
}

/* ---- the node ---- */

static const struct {
    const char *name, *meaning;
} counters[] = {
#define X(name, text) {#name, text},
    TROUPE_COUNTER_MAP(X)
#undef X
};

static cli_exit print_times(const json_t *times)
{
    static const struct {
        const char *name, *meaning;
    } rows[] = {{"turn_time", "a turn that did not park"},
                {"ask_time", "from ask to answer"},
                {"queue_time", "in the mailbox before the turn"},
                {"cache_time", "a look-up in the location cache"}};
    static const char *const columns[] = {"mean", "p50", "p95", "p99", "p999", "max"};
    static const char *const heads[] = {"TIME", "mean", "p50", "p95", "p99", "p99.9", "max", "OF"};
    cli_table table;
    cli_table_init(&table, 8, 0x7e);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *row = json_object_get(times, rows[i].name);
        if (number_of(row, "count") == 0) continue;
        for (size_t k = table.count; k < 8; k++) cli_table_add(&table, "%s", heads[k]);
        cli_table_add(&table, "%s", rows[i].name);
        for (size_t k = 0; k < 6; k++) {
            cli_table_add_time(&table, json_object_get(row, columns[k]));
        }
        cli_table_add(&table, "%s", rows[i].meaning);
    }
    bool has_rows = table.count > 0;
    cli_exit code = print_table(&table);
    if (has_rows) putchar('\n');
    return code;
}

static void print_now(const json_t *root)
{
    const json_t *now = json_object_get(root, "now");
    const json_t *rates = json_object_get(root, "rates");
    const json_t *process = json_object_get(root, "process");
    const json_t *counts = json_object_get(root, "counters");
    const json_t *hits = json_object_get(rates, "cache_hits");
    char cpu[32];
    printf("now: %" JSON_INTEGER_FORMAT " actors active, of %" JSON_INTEGER_FORMAT
           " activations ever; %" JSON_INTEGER_FORMAT " turns parked, %" JSON_INTEGER_FORMAT
           " asks pending, %" JSON_INTEGER_FORMAT " messages queued\n",
           number_of(now, "active"), number_of(counts, "activations"), number_of(now, "parked"),
           number_of(now, "pending_asks"), number_of(now, "queued"));
    printf("     %.1f turns a second; %.1f MiB in use, %.1f MiB reserved, %" JSON_INTEGER_FORMAT
           " stacks\n", json_number_value(json_object_get(rates, "turns")),
           (double)number_of(now, "bytes") / 1048576,
           (double)number_of(now, "reserved") / 1048576, number_of(now, "fibers"));
    printf("     process: %.1f MiB resident, %.2f processors busy, %s of cpu\n",
           (double)number_of(process, "resident") / 1048576,
           json_number_value(json_object_get(rates, "cpu")),
           cli_time_text(json_object_get(process, "cpu_ns"), cpu, sizeof(cpu)));
    if (json_is_number(hits)) {
        printf("     location cache: %.1f %% hits (%" JSON_INTEGER_FORMAT " hits, %"
               JSON_INTEGER_FORMAT " misses, %" JSON_INTEGER_FORMAT " evictions)\n",
               json_number_value(hits) * 100, number_of(counts, "cache_hits"),
               number_of(counts, "cache_misses"), number_of(counts, "cache_evictions"));
    }
    putchar('\n');
}

static cli_exit print_counters(const json_t *counts)
{
    cli_table table;
    cli_table_init(&table, 3, 1u << 1);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        json_int_t count = number_of(counts, counters[i].name);
        if (count == 0) continue; /* --json has them all */
        cli_table_add(&table, "%s", counters[i].name);
        cli_table_add(&table, "%" JSON_INTEGER_FORMAT, count);
        cli_table_add(&table, "%s", counters[i].meaning);
    }
    return print_table(&table);
}

static void print_actor_stats(const json_t *actor)
{
    static const char *const names[] = {"received", "processed", "errors", "queued", "parked"};
    char *id = cli_id_text(actor, "actor");
    const char *node = json_string_value(json_object_get(actor, "node"));
    const char *phase = json_string_value(json_object_get(actor, "phase"));
    char age[32];
    char idle[32];
    printf("%s  %s/%" JSON_INTEGER_FORMAT "  ", id != NULL ? id : "?", node != NULL ? node : "?",
           number_of(actor, "shard"));
    free(id);
    if (phase == NULL) {
        puts("its node says nothing");
        return;
    }
    printf("%s  up %s  last %s ago\n", phase,
           cli_time_text(json_object_get(actor, "age_ns"), age, sizeof(age)),
           cli_time_text(json_object_get(actor, "idle_ns"), idle, sizeof(idle)));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        printf("%s %" JSON_INTEGER_FORMAT "  ", names[i], number_of(actor, names[i]));
    }
    printf("%" JSON_INTEGER_FORMAT " bytes\n", number_of(actor, "bytes"));
}

cli_exit cli_run_stats(const cli_context *context)
{
    cli_answer answer;
    char uptime[32];
    cli_exit code = ask_about(context, "stats", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    if (context->argument_count > 0) {
        print_actor_stats(json_object_get(answer.root, "found"));
        cli_answer_deinit(&answer);
        return CLI_OK;
    }
    const char *node = json_string_value(json_object_get(answer.root, "node"));
    printf("%s, %" JSON_INTEGER_FORMAT " shards, up %s\n\n", node != NULL ? node : "?",
           number_of(answer.root, "shards"),
           cli_time_text(json_object_get(answer.root, "uptime_ns"), uptime, sizeof(uptime)));
    print_now(answer.root);
    code = print_times(json_object_get(answer.root, "times_ns"));
    if (code == CLI_OK) code = print_counters(json_object_get(answer.root, "counters"));
    cli_answer_deinit(&answer);
    return code;
}

cli_exit cli_run_metrics(const cli_context *context)
{
    cli_answer answer;
    cli_exit code = ask_about(context, "metrics", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    const char *page = json_string_value(json_object_get(answer.root, "page"));
    fputs(page != NULL ? page : "", stdout);
    cli_answer_deinit(&answer);
    return CLI_OK;
}

cli_exit cli_run_types(const cli_context *context)
{
    cli_answer answer;
    size_t i = 0;
    size_t k = 0;
    json_t *type = NULL;
    json_t *method = NULL;
    cli_exit code = ask_about(context, "types", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    json_array_foreach (json_object_get(answer.root, "types"), i, type) {
        const char *name = json_string_value(json_object_get(type, "type"));
        printf("%s ", name != NULL ? name : "?");
        json_array_foreach (json_object_get(type, "methods"), k, method) {
            printf(" %s", json_string_value(json_object_get(method, "name")));
        }
        puts(json_is_true(json_object_get(type, "catch_all")) ? " (and any other)" : "");
    }
    cli_answer_deinit(&answer);
    return CLI_OK;
}

cli_exit cli_run_deactivate(const cli_context *context)
{
    cli_answer answer;
    cli_exit code = ask_about(context, "deactivate", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    cli_answer_deinit(&answer);
    return CLI_OK;
}

static void print_node(const cli_answer *answer, const char *after)
{
    const char *node = json_string_value(json_object_get(answer->root, "node"));
    const char *version = json_string_value(json_object_get(answer->root, "version"));
    printf("%s %s, pid %" JSON_INTEGER_FORMAT "%s\n", node != NULL ? node : "?",
           version != NULL ? version : "?", number_of(answer->root, "pid"), after);
}

cli_exit cli_run_ping(const cli_context *context)
{
    cli_answer answer;
    cli_exit code = ask_about(context, "ping", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    print_node(&answer, "");
    cli_answer_deinit(&answer);
    return CLI_OK;
}

cli_exit cli_run_shutdown(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_request_begin(&request, "shutdown");
    if (cli_has(context, CLI_OPTION_NOW)) cmd_bytes_text(&request, ",\"drain\":false");
    cli_exit code = cli_ask(context, &request, "shutdown", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    print_node(&answer, ": stops");
    cli_answer_deinit(&answer);
    return CLI_OK;
}
