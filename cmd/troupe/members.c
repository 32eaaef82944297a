/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands about the cluster of a node: nodes, view, lookup, discover, preload, migrate,
 * rebalance, drain.
 * Invariants: 1. What is printed for a person is also in --json. Threads: one.
 */
#include "troupe/connection.h"
#include "troupe/print.h"
#include "troupe/requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "?";
}

static void add_timeout(const cli_context *context, cmd_bytes *request)
{
    if (context->timeout != 0) {
        admin_write_number(request, "timeout_ms", context->timeout / TROUPE_MILLISECONDS(1));
    }
}

static cli_exit print_table(cli_table *table)
{
    return cli_table_print(table) ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

/* ---- nodes, view ---- */

/* "account market  (this, suspected)" */
static void add_types(cli_table *table, const json_t *node)
{
    cmd_bytes text = {0};
    size_t i = 0;
    json_t *type = NULL;
    json_array_foreach (json_object_get(node, "types"), i, type) {
        cmd_bytes_printf(&text, "%s%s", i > 0 ? " " : "", json_string_value(type));
    }
    bool is_self = json_is_true(json_object_get(node, "self"));
    bool is_suspected = json_is_true(json_object_get(node, "suspected"));
    if (is_self || is_suspected) {
        cmd_bytes_printf(&text, "  (%s%s%s)", is_self ? "this" : "",
                         is_self && is_suspected ? ", " : "", is_suspected ? "suspected" : "");
    }
    cli_table_add(table, "%.*s", (int)text.size, text.data != NULL ? text.data : "");
    cmd_bytes_deinit(&text);
}

static void add_load(cli_table *table, const json_t *node)
{
    const json_t *load = json_object_get(node, "load");
    static const char *const shares[] = {"cpu", "memory"};
    for (size_t i = 0; i < 2; i++) {
        if (load == NULL) {
            cli_table_add(table, "-");
        } else {
            cli_table_add(table, "%.0f %%",
                          json_number_value(json_object_get(load, shares[i])) * 100);
        }
    }
    if (load == NULL) {
        cli_table_add(table, "-");
    } else {
        cli_table_add_json(table, json_object_get(load, "actors"));
    }
    if (json_object_get(node, "distance_ns") == NULL) {
        cli_table_add(table, "-");
    } else {
        cli_table_add_time(table, json_object_get(node, "distance_ns"));
    }
}

cli_exit cli_run_nodes(const cli_context *context)
{
    static const char *const heads[] = {"NODE", "INCARNATION", "STATUS", "HEALTHY", "ADDRESS",
                                        "SHARDS", "CPU", "MEMORY", "ACTORS", "DISTANCE", "TYPES"};
    cmd_bytes request;
    cli_answer answer;
    cli_table table;
    size_t i = 0;
    json_t *node = NULL;
    cli_request_begin(&request, "nodes");
    cli_exit code = cli_ask(context, &request, "nodes", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    json_t *nodes = json_object_get(answer.root, "nodes");
    cli_table_init(&table, 11, 1u << 1 | 0x3e0);
    cli_table_add_heads(&table, heads, nodes);
    json_array_foreach (nodes, i, node) {
        cli_table_add(&table, "%s", text_of(node, "node"));
        cli_table_add_json(&table, json_object_get(node, "incarnation"));
        cli_table_add_json(&table, json_object_get(node, "status"));
        bool is_healthy = json_is_true(json_object_get(node, "healthy"));
        cli_table_add(&table, "%s", is_healthy ? "yes" : "no");
        cli_table_add_json(&table, json_object_get(node, "address"));
        cli_table_add_json(&table, json_object_get(node, "shards"));
        add_load(&table, node);
        add_types(&table, node);
    }
    code = print_table(&table);
    cli_answer_deinit(&answer);
    return code;
}

cli_exit cli_run_view(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    char left[32];
    char ttl[32];
    size_t i = 0;
    json_t *change = NULL;
    cli_request_begin(&request, "view");
    cli_exit code = cli_ask(context, &request, "view", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    if (number_of(answer.root, "incarnation") == 0) {
        printf("%s is alone: it was started without --cluster\n", text_of(answer.root, "node"));
        cli_answer_deinit(&answer);
        return CLI_OK;
    }
    printf("view %" JSON_INTEGER_FORMAT " of %s: %" JSON_INTEGER_FORMAT " members, this is %s (%"
           JSON_INTEGER_FORMAT ", %s), lease %s of %s\n", number_of(answer.root, "view"),
           text_of(answer.root, "cluster"), number_of(answer.root, "members"),
           text_of(answer.root, "node"), number_of(answer.root, "incarnation"),
           text_of(answer.root, "state"),
           cli_time_text(json_object_get(answer.root, "lease_left_ns"), left, sizeof(left)),
           cli_time_text(json_object_get(answer.root, "ttl_ns"), ttl, sizeof(ttl)));
    json_array_foreach (json_object_get(answer.root, "changes"), i, change) {
        printf("  %" JSON_INTEGER_FORMAT "  %" JSON_INTEGER_FORMAT " %s\n",
               number_of(change, "view"), number_of(change, "incarnation"),
               text_of(change, "what"));
    }
    cli_answer_deinit(&answer);
    return CLI_OK;
}

/* ---- lookup, discover ---- */

cli_exit cli_run_lookup(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    char about[160];
    char age[32];
    char idle[32];
    cli_request_begin(&request, "lookup");
    cli_exit code = cli_request_actor(&request, context->arguments[0]);
    if (code != CLI_OK) return code;
    if (cli_has(context, CLI_OPTION_EVENTUAL)) cmd_bytes_text(&request, ",\"eventual\":true");
    add_timeout(context, &request);
    snprintf(about, sizeof(about), "lookup %.120s", context->arguments[0]);
    code = cli_ask(context, &request, about, &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    json_t *actor = json_object_get(answer.root, "found");
    char *id = cli_id_text(actor, "actor");
    const char *phase = json_string_value(json_object_get(actor, "phase"));
    printf("%s  %s/%" JSON_INTEGER_FORMAT "  %s", id != NULL ? id : "?", text_of(actor, "node"),
           number_of(actor, "shard"), phase != NULL ? phase : "its node says nothing");
    if (number_of(actor, "activations") > 0) {
        printf("  activations %" JSON_INTEGER_FORMAT, number_of(actor, "activations"));
    }
    if (phase != NULL) {
        printf("  age %s  last %s ago  received %" JSON_INTEGER_FORMAT "  errors %"
               JSON_INTEGER_FORMAT,
               cli_time_text(json_object_get(actor, "age_ns"), age, sizeof(age)),
               cli_time_text(json_object_get(actor, "idle_ns"), idle, sizeof(idle)),
               number_of(actor, "received"), number_of(actor, "errors"));
    }
    puts("");
    free(id);
    cli_answer_deinit(&answer);
    return CLI_OK;
}

static void tell_rest(const json_t *root, size_t count)
{
    const char *cursor = json_string_value(json_object_get(root, "cursor"));
    if (count == 0) fprintf(stderr, "troupe: no active actor\n");
    if (cursor != NULL) {
        fprintf(stderr, "troupe: there may be more than %zu: --after %s\n", count, cursor);
    } else if (json_is_true(json_object_get(root, "more"))) {
        fprintf(stderr, "troupe: there are more than %zu; raise --limit\n", count);
    }
    if (json_is_true(json_object_get(root, "missed"))) {
        fprintf(stderr, "troupe: a node did not answer, or the cluster is about to change: some "
                "may be missing\n");
    }
}

cli_exit cli_run_discover(const cli_context *context)
{
    static const char *const heads[] = {"ACTOR", "NODE"};
    cmd_bytes request;
    cli_answer answer;
    cli_table table;
    size_t i = 0;
    json_t *actor = NULL;
    cli_request_begin(&request, "discover");
    cli_exit code = cli_request_filter(context, &request);
    if (code != CLI_OK) return code;
    const char *after = context->values[CLI_OPTION_AFTER];
    if (after != NULL) admin_write_text(&request, "after", troupe_str(after));
    add_timeout(context, &request);
    code = cli_ask(context, &request, "discover", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    json_t *actors = json_object_get(answer.root, "actors");
    cli_table_init(&table, 2, 0);
    cli_table_add_heads(&table, heads, actors);
    json_array_foreach (actors, i, actor) {
        char *id = cli_id_text(actor, "actor");
        cli_table_add(&table, "%s", id != NULL ? id : "?");
        cli_table_add(&table, "%s", text_of(actor, "node"));
        free(id);
    }
    code = print_table(&table);
    tell_rest(answer.root, json_array_size(actors));
    cli_answer_deinit(&answer);
    return code;
}

/* ---- preload ---- */

cli_exit cli_run_preload(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_request_begin(&request, "preload");
    cli_exit code = cli_request_filter(context, &request);
    if (code != CLI_OK) return code;
    add_timeout(context, &request);
    code = cli_ask(context, &request, "preload", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    printf("%s has learned where %" JSON_INTEGER_FORMAT " more actors are\n",
           text_of(answer.root, "node"), number_of(answer.root, "learned"));
    if (json_is_true(json_object_get(answer.root, "full"))) {
        fprintf(stderr, "troupe: its location cache is full; cache_size is its option\n");
    }
    tell_rest(answer.root, 1);
    cli_answer_deinit(&answer);
    return CLI_OK;
}

/* ---- migrate ---- */

cli_exit cli_run_migrate(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    char about[160];
    char time[32];
    cli_request_begin(&request, "migrate");
    cli_exit code = cli_request_actor(&request, context->arguments[0]);
    if (code != CLI_OK) return code;
    admin_write_text(&request, "node", troupe_str(context->arguments[1]));
    add_timeout(context, &request);
    snprintf(about, sizeof(about), "migrate %.120s", context->arguments[0]);
    code = cli_ask(context, &request, about, &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    printf("%s is at %s, after %s\n", context->arguments[0], text_of(answer.root, "node"),
           cli_time_text(json_object_get(answer.root, "duration_ns"), time, sizeof(time)));
    cli_answer_deinit(&answer);
    return CLI_OK;
}

/* ---- rebalance ---- */

static cli_exit print_moves(const json_t *root)
{
    static const char *const heads[] = {"ACTOR", "FROM", "TO", "COST", "LOAD"};
    cli_table table;
    size_t i = 0;
    json_t *move = NULL;
    json_t *moves = json_object_get(root, "moves");
    cli_table_init(&table, 5, 1u << 3);
    cli_table_add_heads(&table, heads, moves);
    json_array_foreach (moves, i, move) {
        cli_table_add_json(&table, json_object_get(move, "actor"));
        cli_table_add_json(&table, json_object_get(root, "node"));
        cli_table_add_json(&table, json_object_get(move, "to"));
        cli_table_add_json(&table, json_object_get(move, "cost"));
        cli_table_add(&table, "%.2f to %.2f", json_number_value(json_object_get(root, "share")),
                      json_number_value(json_object_get(move, "to_share")));
    }
    return print_table(&table);
}

/* Why nothing is to move. */
static const char *words_of(const char *why)
{
    static const struct {
        const char *why;
        const char *words;
    } all[] = {
        {"even", "the nodes are evenly loaded"},
        {"below", "others carry more: ask one of them"},
        {"held", "none of its actors fits elsewhere, or they came here just now"},
        {"unmeasured", "no loads were told since the last moves: ask again"},
        {"unheard", "it has told no load yet: ask again"},
        {"alone", "it was started without --cluster"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i].why, why) == 0) return all[i].words;
    }
    return why;
}

cli_exit cli_run_rebalance(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_request_begin(&request, "rebalance");
    if (cli_has(context, CLI_OPTION_DRY_RUN)) cmd_bytes_text(&request, ",\"dry_run\":true");
    add_timeout(context, &request);
    cli_exit code = cli_ask(context, &request, "rebalance", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    const char *node = text_of(answer.root, "node");
    json_int_t planned = number_of(answer.root, "planned");
    if (planned == 0) {
        printf("nothing to move from %s: %s\n", node, words_of(text_of(answer.root, "why")));
        cli_answer_deinit(&answer);
        return CLI_OK;
    }
    code = print_moves(answer.root);
    printf("%s carries %.2f of the mean of %" JSON_INTEGER_FORMAT " nodes, %.2f without these: %"
           JSON_INTEGER_FORMAT " to move, ", node,
           json_number_value(json_object_get(answer.root, "share")),
           number_of(answer.root, "members"),
           json_number_value(json_object_get(answer.root, "share_after")), planned);
    if (json_is_true(json_object_get(answer.root, "dry_run"))) {
        puts("none moved");
    } else {
        printf("%" JSON_INTEGER_FORMAT " on their way\n", number_of(answer.root, "begun"));
    }
    cli_answer_deinit(&answer);
    return code;
}

/* ---- drain ---- */

cli_exit cli_run_drain(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_request_begin(&request, "drain");
    if (context->argument_count > 0) {
        admin_write_text(&request, "node", troupe_str(context->arguments[0]));
    }
    cli_exit code = cli_ask(context, &request, "drain", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    printf("%s leaves its cluster and stops\n", text_of(answer.root, "node"));
    cli_answer_deinit(&answer);
    return CLI_OK;
}
