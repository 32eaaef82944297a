/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands about the store and what is stored of actors: store, state, stored, snapshots, dead,
 * reminders, delete. Not what looks into the running node, which is look.c.
 * Invariants: 1. What is printed for a person is also in --json. Threads: one.
 */
#include "troupe/connection.h"
#include "troupe/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* "2026-11-22T20:15:01Z" out of nanoseconds since 1970; "-" for none. */
static const char *moment_text(const json_t *value, char out[32])
{
    time_t seconds = (time_t)(json_integer_value(value) / 1000000000);
    struct tm parts;
    if (seconds == 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        memcpy(out, "-", 2);
    }
    return out;
}

static void print_id(const json_t *object)
{
    char *text = cli_id_text(object, "actor");
    fputs(text != NULL ? text : "?", stdout);
    free(text);
}

static cli_exit add_number(cmd_bytes *request, const char *member, const char *option,
                           const char *text)
{
    char *end = NULL;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || number < 1) {
        cmd_bytes_deinit(request);
        return cli_fail(CLI_USAGE, "--%s \"%s\" is no number from 1", option, text);
    }
    admin_write_number(request, member, number);
    return CLI_OK;
}

/* Begins a request about the actor that the first argument names. */
static cli_exit begin(const cli_context *context, cmd_bytes *request, const char *verb)
{
    cli_request_begin(request, verb);
    cli_exit code = cli_request_actor(request, context->arguments[0]);
    if (code == CLI_OK && context->timeout > 0) {
        admin_write_number(request, "timeout_ms", context->timeout / 1000000);
    }
    return code;
}

static cli_exit refuse_timeout(const cli_context *context)
{
    return context->timeout == 0 ? CLI_OK
                                 : cli_fail(CLI_USAGE, "--timeout is for changes, not for looks");
}

/* ---- store ---- */

cli_exit cli_run_store(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_request_begin(&request, "store");
    if (cli_has(context, CLI_OPTION_CHECK)) cmd_bytes_text(&request, ",\"check\":true");
    cli_exit code = cli_ask(context, &request, "store", &answer);
    if (code != CLI_OK) return code;
    const char *message = json_string_value(json_object_get(answer.root, "message"));
    code = json_is_true(json_object_get(answer.root, "well")) ? CLI_OK : CLI_FAILED;
    if (cli_has(context, CLI_OPTION_JSON)) {
        return cli_printed_json(context, &answer) ? code : CLI_FAILED;
    }
    printf("%s\n", json_string_value(json_object_get(answer.root, "promises")));
    if (message == NULL) puts("it is well");
    else fprintf(stderr, "troupe: store: %s\n", message);
    cli_answer_deinit(&answer);
    return code;
}

/* ---- state ---- */

static void print_rows(const json_t *root)
{
    const char *name = NULL;
    json_t *count = NULL;
    json_object_foreach (json_object_get(root, "rows"), name, count) {
        if (json_integer_value(count) == 0) continue; /* --json has them all */
        printf("  %s %" JSON_INTEGER_FORMAT, name, json_integer_value(count));
    }
}

static cli_exit print_state(const cli_answer *answer)
{
    char moment[32];
    const json_t *root = answer->root;
    json_t *state = json_object_get(root, "state");
    const char *note = json_string_value(json_object_get(root, "note"));
    print_id(root);
    printf("  version %" JSON_INTEGER_FORMAT "  %s",
           json_integer_value(json_object_get(root, "version")),
           moment_text(json_object_get(root, "time_unix_ns"), moment));
    print_rows(root);
    putchar('\n');
    if (note != NULL) printf("it cannot be read: %s\n", note);
    if (state == NULL) {
        if (note == NULL) {
            printf("%" JSON_INTEGER_FORMAT " bytes; its type has no schema\n",
                   json_integer_value(json_object_get(root, "state_bytes")));
        }
        return CLI_OK;
    }
    char *text = json_dumps(state, JSON_COMPACT);
    if (text == NULL) return cli_fail(CLI_FAILED, "no memory");
    puts(text);
    free(text);
    return CLI_OK;
}

static cli_exit show(const cli_context *context, cmd_bytes *request)
{
    cli_answer answer;
    cli_exit code = cli_ask(context, request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    code = print_state(&answer);
    cli_answer_deinit(&answer);
    return code;
}

cli_exit cli_run_state(const cli_context *context)
{
    cmd_bytes request;
    cli_exit code = begin(context, &request, "state");
    return code == CLI_OK ? show(context, &request) : code;
}

/* ---- lists ---- */

/* Ids can be gone on with behind the last one seen; snapshots are few. */
static void say_more(const json_t *last, bool has_ids, size_t count)
{
    char *text = has_ids ? cli_id_text(last, "actor") : NULL;
    if (text != NULL) {
        fprintf(stderr, "troupe: there are more than %zu; go on with --after '%s'\n", count, text);
    } else {
        fprintf(stderr, "troupe: there are more than %zu; raise --limit\n", count);
    }
    free(text);
}

static cli_exit print_list(cli_answer *answer, const char *list, bool has_ids, const char *none)
{
    char moment[32];
    size_t i = 0;
    json_t *one = NULL;
    json_t *all = json_object_get(answer->root, list);
    cli_table table;
    cli_table_init(&table, has_ids ? 3 : 2, has_ids ? 2 : 1);
    size_t count = json_array_size(all);
    if (count > 0) {
        if (has_ids) cli_table_add(&table, "ACTOR");
        cli_table_add(&table, "VERSION");
        cli_table_add(&table, "STORED");
    }
    json_array_foreach (all, i, one) {
        if (has_ids) {
            char *text = cli_id_text(one, "actor");
            cli_table_add(&table, "%s", text != NULL ? text : "?");
            free(text);
        }
        cli_table_add_json(&table, json_object_get(one, "version"));
        cli_table_add(&table, "%s", moment_text(json_object_get(one, "time_unix_ns"), moment));
    }
    bool has_more = json_is_true(json_object_get(answer->root, "more"));
    bool is_printed = cli_table_print(&table);
    if (has_more) say_more(json_array_get(all, count - 1), has_ids, count);
    if (count == 0) fprintf(stderr, "troupe: %s\n", none);
    cli_answer_deinit(answer);
    return is_printed ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

static cli_exit add_limit(const cli_context *context, cmd_bytes *request)
{
    const char *text = context->values[CLI_OPTION_LIMIT];
    return text == NULL ? CLI_OK : add_number(request, "limit", "limit", text);
}

cli_exit cli_run_stored(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_request_begin(&request, "stored");
    admin_write_text(&request, "type", troupe_str(context->arguments[0]));
    if (cli_has(context, CLI_OPTION_AFTER)) {
        admin_write_text(&request, "after", troupe_str(context->values[CLI_OPTION_AFTER]));
    }
    cli_exit code = add_limit(context, &request);
    if (code == CLI_OK) code = cli_ask(context, &request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    return print_list(&answer, "actors", true, "no stored actor");
}

/* ---- snapshots ---- */

static cli_exit restore(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_exit code = begin(context, &request, "restore");
    if (code == CLI_OK) {
        code = add_number(&request, "version", "restore", context->values[CLI_OPTION_RESTORE]);
    }
    if (code == CLI_OK) code = cli_ask(context, &request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    printf("version %s is the state again, as version %" JSON_INTEGER_FORMAT "\n",
           context->values[CLI_OPTION_RESTORE],
           json_integer_value(json_object_get(answer.root, "version")));
    cli_answer_deinit(&answer);
    return CLI_OK;
}

static cli_exit show_snapshot(const cli_context *context)
{
    cmd_bytes request;
    cli_exit code = refuse_timeout(context);
    if (code == CLI_OK) code = begin(context, &request, "snapshot");
    if (code == CLI_OK) {
        code = add_number(&request, "version", "show", context->values[CLI_OPTION_SHOW]);
    }
    return code == CLI_OK ? show(context, &request) : code;
}

cli_exit cli_run_snapshots(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    bool is_shown = cli_has(context, CLI_OPTION_SHOW);
    bool is_restored = cli_has(context, CLI_OPTION_RESTORE);
    if (is_shown && is_restored) {
        return cli_fail(CLI_USAGE, "--show and --restore exclude each other");
    }
    if (is_restored) return restore(context);
    if (is_shown) return show_snapshot(context);
    cli_exit code = refuse_timeout(context);
    if (code == CLI_OK) code = begin(context, &request, "snapshots");
    if (code == CLI_OK) code = add_limit(context, &request);
    if (code == CLI_OK) code = cli_ask(context, &request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    return print_list(&answer, "snapshots", false, "no snapshot is kept");
}

/* ---- dead letters ---- */

static cli_exit print_letters(cli_answer *answer)
{
    static const char *const heads[] = {"NUMBER", "TARGET", "METHOD", "REASON", "GIVEN UP",
                                        "WORDS"};
    char moment[32];
    size_t i = 0;
    json_t *one = NULL;
    json_t *all = json_object_get(answer->root, "letters");
    cli_table table;
    cli_table_init(&table, 6, 0);
    cli_table_add_heads(&table, heads, all);
    json_array_foreach (all, i, one) {
        char *target = cli_id_text(one, "target");
        cli_table_add_json(&table, json_object_get(one, "number"));
        cli_table_add(&table, "%s", target != NULL ? target : "?");
        cli_table_add_json(&table, json_object_get(one, "method"));
        cli_table_add_json(&table, json_object_get(one, "reason"));
        cli_table_add(&table, "%s", moment_text(json_object_get(one, "moved_unix_ns"), moment));
        cli_table_add_json(&table, json_object_get(one, "message"));
        free(target);
    }
    bool is_printed = cli_table_print(&table);
    if (json_array_size(all) == 0) fprintf(stderr, "troupe: no dead letter\n");
    cli_answer_deinit(answer);
    return is_printed ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

cli_exit cli_run_dead(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    const char *replay = context->values[CLI_OPTION_REPLAY];
    const char *drop = context->values[CLI_OPTION_DROP];
    const char *number = replay != NULL ? replay : drop;
    if (replay != NULL && drop != NULL) {
        return cli_fail(CLI_USAGE, "--replay and --drop exclude each other");
    }
    cli_exit code = number == NULL ? refuse_timeout(context) : CLI_OK;
    const char *verb = replay != NULL ? "replay" : drop != NULL ? "drop" : "dead";
    if (code == CLI_OK) code = begin(context, &request, verb);
    if (code != CLI_OK) return code;
    if (number != NULL) admin_write_text(&request, "number", troupe_str(number));
    code = cli_ask(context, &request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    if (number == NULL) return print_letters(&answer);
    cli_answer_deinit(&answer);
    return CLI_OK;
}

/* ---- reminders ---- */

static cli_exit print_reminders(cli_answer *answer)
{
    static const char *const heads[] = {"NAME", "NUMBER", "DUE", "SCHEDULE", "METHOD"};
    char moment[32];
    size_t i = 0;
    json_t *one = NULL;
    json_t *all = json_object_get(answer->root, "reminders");
    cli_table table;
    cli_table_init(&table, 5, 0);
    cli_table_add_heads(&table, heads, all);
    json_array_foreach (all, i, one) {
        const json_t *name = json_object_get(one, "name");
        cli_table_add_json(&table, name != NULL ? name : json_object_get(one, "name_base64"));
        cli_table_add_json(&table, json_object_get(one, "number"));
        cli_table_add(&table, "%s", moment_text(json_object_get(one, "due_unix_ns"), moment));
        cli_table_add_json(&table, json_object_get(one, "schedule"));
        cli_table_add_json(&table, json_object_get(one, "method"));
    }
    bool is_printed = cli_table_print(&table);
    if (json_array_size(all) == 0) fprintf(stderr, "troupe: no reminder\n");
    cli_answer_deinit(answer);
    return is_printed ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

cli_exit cli_run_reminders(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    const char *name = context->values[CLI_OPTION_CANCEL];
    cli_exit code = name == NULL ? refuse_timeout(context) : CLI_OK;
    if (code == CLI_OK) code = begin(context, &request, name != NULL ? "cancel" : "reminders");
    if (code != CLI_OK) return code;
    if (name != NULL) admin_write_text(&request, "name", troupe_str(name));
    code = cli_ask(context, &request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    if (name == NULL) return print_reminders(&answer);
    cli_answer_deinit(&answer);
    return CLI_OK;
}

/* ---- delete ---- */

cli_exit cli_run_delete(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    if (!cli_has(context, CLI_OPTION_YES)) {
        return cli_fail(CLI_USAGE, "it cannot be undone: troupe delete %.900s --yes",
                        context->arguments[0]);
    }
    cli_exit code = begin(context, &request, "delete");
    if (code == CLI_OK) code = cli_ask(context, &request, context->arguments[0], &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    cli_answer_deinit(&answer);
    return CLI_OK;
}
