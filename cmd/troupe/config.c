/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `troupe config`: the options of the running node, or the table of all options. Not a way to
 * change them. Invariants: none of its own. Threads: one.
 */
#include "troupe/config_check.h"
#include "troupe/connection.h"
#include "troupe/print.h"

#include <stdio.h>
#include <troupe/config.h>

/* ---- the table: --defaults and --explain ---- */

typedef struct option_list {
    const char *wanted; /* NULL: all */
    bool is_json;
    size_t found;
    cli_table table;
} option_list;

static void print_member(const char *name, const char *value)
{
    cmd_bytes out = {0};
    cmd_bytes_printf(&out, ",\"%s\":", name);
    cmd_bytes_json(&out, troupe_str(value));
    if (!out.failed) fwrite(out.data, 1, out.size, stdout);
    cmd_bytes_deinit(&out);
}

static void print_as_json(const troupe_option_info *info, bool is_first)
{
    printf("%s{\"kind\":\"%s\"", is_first ? "" : ",", troupe_option_kind_name(info->kind));
    print_member("name", info->name);
    print_member("default", info->standard);
    if (info->least != NULL) print_member("least", info->least);
    if (info->most != NULL) print_member("most", info->most);
    print_member("meaning", info->help);
    putchar('}');
}

static void print_in_full(const troupe_option_info *info)
{
    printf("%s (%s)\n    %s\n    default %s", info->name, troupe_option_kind_name(info->kind),
           info->help, info->standard);
    if (info->least != NULL) printf(", from %s to %s", info->least, info->most);
    printf("\n    flag --%s, environment TROUPE_", info->name);
    for (const char *at = info->name; *at != 0; at++) {
        putchar(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    }
    printf(", file %s: %s\n", info->name, info->standard);
}

static void visit(void *user, const troupe_option_info *info)
{
    option_list *list = user;
    if (list->wanted != NULL && strcmp(list->wanted, info->name) != 0) return;
    list->found++;
    if (list->is_json) {
        print_as_json(info, list->found == 1);
    } else if (list->wanted != NULL) {
        print_in_full(info);
    } else {
        cli_table_add(&list->table, "%s", info->name);
        cli_table_add(&list->table, "%s", info->standard);
        cli_table_add(&list->table, "%s%s%s", info->least != NULL ? info->least : "",
                      info->least != NULL ? " to " : "", info->most != NULL ? info->most : "");
        cli_table_add(&list->table, "%s", info->help);
    }
}

static cli_exit print_options(const cli_context *context, const char *wanted)
{
    char name[64];
    option_list list = {.is_json = cli_has(context, CLI_OPTION_JSON)};
    if (wanted != NULL) {
        snprintf(name, sizeof(name), "%s", wanted);
        for (char *at = name; *at != 0; at++) *at = *at == '-' ? '_' : *at;
        list.wanted = name;
    }
    cli_table_init(&list.table, 4, 0);
    if (list.is_json) fputs("{\"options\":[", stdout);
    if (wanted == NULL && !list.is_json) {
        cli_table_add(&list.table, "OPTION");
        cli_table_add(&list.table, "DEFAULT");
        cli_table_add(&list.table, "LIMITS");
        cli_table_add(&list.table, "MEANING");
    }
    troupe_options_each(visit, &list);
    if (list.is_json) puts("]}");
    if (!cli_table_print(&list.table)) return cli_fail(CLI_FAILED, "no memory");
    if (list.found > 0) return CLI_OK;
    const char *nearest = troupe_options_nearest(name);
    return cli_fail(CLI_USAGE, "there is no option \"%s\"%s%s%s", wanted,
                    nearest != NULL ? ": did you mean \"" : ": see troupe config --defaults",
                    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

/* ---- the running node ---- */

cli_exit cli_run_config(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_table table;
    size_t i = 0;
    json_t *option = NULL;
    const char *wanted = context->values[CLI_OPTION_EXPLAIN];
    if (wanted != NULL || cli_has(context, CLI_OPTION_DEFAULTS)) {
        return print_options(context, wanted);
    }
    if (cli_has(context, CLI_OPTION_CHECK)) return cli_check_config(context);
    if (context->argument_count > 0) {
        return cli_fail(CLI_USAGE, "a file is only checked: troupe config --check %s",
                        context->arguments[0]);
    }
    cli_request_begin(&request, "config");
    cli_exit code = cli_ask(context, &request, "config", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    cli_table_init(&table, 3, 0);
    cli_table_add(&table, "OPTION");
    cli_table_add(&table, "VALUE");
    cli_table_add(&table, "FROM");
    json_array_foreach (json_object_get(answer.root, "options"), i, option) {
        cli_table_add_json(&table, json_object_get(option, "name"));
        cli_table_add_json(&table, json_object_get(option, "value"));
        cli_table_add_json(&table, json_object_get(option, "from"));
    }
    bool is_printed = cli_table_print(&table);
    cli_answer_deinit(&answer);
    return is_printed ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}
