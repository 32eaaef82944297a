/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `troupe config`: the options of the running node, or the table of all options. Not a way to set
 * one: the node reads its configuration again. Invariants: none of its own. Threads: one.
 */
#include "shared/type_setting.h"
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
    print_member("reload", troupe_reload_name(info->reload));
    print_member("meaning", info->help);
    putchar('}');
}

static const char *reload_words(troupe_reload reload)
{
    if (reload == TROUPE_RELOAD_LIVE) return "takes effect at once";
    return reload == TROUPE_RELOAD_FILE ? "its file is read again; another one needs a restart"
                                        : "a change needs a restart";
}

static void print_in_full(const troupe_option_info *info)
{
    printf("%s (%s)\n    %s\n    default %s", info->name, troupe_option_kind_name(info->kind),
           info->help, info->standard);
    if (info->least != NULL) printf(", from %s to %s", info->least, info->most);
    printf("\n    reload: %s", reload_words(info->reload));
    printf("\n    flag --%s, environment TROUPE_", info->name);
    for (const char *at = info->name; *at != 0; at++) {
        putchar(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    }
    printf(", file %s: %s\n", info->name, info->standard);
    const char *setting = cmd_setting_of_option(info->name);
    if (setting == NULL) return;
    printf("    of one type: flag --types.TYPE.%s, environment TROUPE_TYPES='TYPE.%s=%s', file "
           "types: { TYPE: { %s: %s } }\n", setting, setting, info->standard, info->name,
           info->standard);
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
        cli_table_add(&list->table, "%s", troupe_reload_name(info->reload));
        cli_table_add(&list->table, "%s", info->help);
    }
}

static cli_exit print_options(const cli_context *context, const char *wanted)
{
    char name[64];
    option_list list = {.is_json = cli_has(context, CLI_OPTION_JSON)};
    if (wanted != NULL) {
        const char *of_type = strncmp(wanted, "types.", 6) == 0 ? strrchr(wanted, '.') + 1 : wanted;
        snprintf(name, sizeof(name), "%s", of_type);
        for (char *at = name; *at != 0; at++) *at = *at == '-' ? '_' : *at;
        list.wanted = name;
    }
    cli_table_init(&list.table, 5, 0);
    if (list.is_json) fputs("{\"options\":[", stdout);
    if (wanted == NULL && !list.is_json) {
        cli_table_add(&list.table, "OPTION");
        cli_table_add(&list.table, "DEFAULT");
        cli_table_add(&list.table, "LIMITS");
        cli_table_add(&list.table, "RELOAD");
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

static bool is_any_wanted(const json_t *options)
{
    size_t i = 0;
    json_t *option = NULL;
    json_array_foreach (options, i, option) {
        if (json_object_get(option, "wanted") != NULL) return true;
    }
    return false;
}

static cli_exit print_running(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_table table;
    size_t i = 0;
    json_t *option = NULL;
    cli_request_begin(&request, "config");
    cli_exit code = cli_ask(context, &request, "config", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    const json_t *options = json_object_get(answer.root, "options");
    bool has_wanted = is_any_wanted(options);
    cli_table_init(&table, has_wanted ? 4 : 3, 0);
    cli_table_add(&table, "OPTION");
    cli_table_add(&table, "VALUE");
    cli_table_add(&table, "FROM");
    if (has_wanted) cli_table_add(&table, "AFTER A RESTART");
    json_array_foreach (options, i, option) {
        json_t *wanted = json_object_get(option, "wanted");
        cli_table_add_json(&table, json_object_get(option, "name"));
        cli_table_add_json(&table, json_object_get(option, "value"));
        cli_table_add_json(&table, json_object_get(option, "from"));
        if (wanted != NULL) cli_table_add_json(&table, wanted);
        else if (has_wanted) cli_table_add(&table, "%s", "");
    }
    json_array_foreach (json_object_get(answer.root, "settings"), i, option) {
        cli_table_add_json(&table, json_object_get(option, "name"));
        cli_table_add_json(&table, json_object_get(option, "value"));
        cli_table_add_json(&table, json_object_get(option, "from"));
        if (has_wanted) cli_table_add(&table, "%s", "");
    }
    bool is_printed = cli_table_print(&table);
    cli_answer_deinit(&answer);
    return is_printed ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

static cli_exit reload(const cli_context *context)
{
    cmd_bytes request;
    cli_answer answer;
    cli_table table;
    size_t i = 0;
    json_t *change = NULL;
    cli_request_begin(&request, "reload");
    cli_exit code = cli_ask(context, &request, "reload", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    cli_table_init(&table, 3, 0);
    json_array_foreach (json_object_get(answer.root, "changes"), i, change) {
        bool is_taken = json_is_true(json_object_get(change, "taken"));
        cli_table_add_json(&table, json_object_get(change, "name"));
        cli_table_add_json(&table, json_object_get(change, "value"));
        cli_table_add(&table, "%s", is_taken ? "taken" : "needs a restart");
    }
    bool is_empty = table.count == 0;
    bool is_printed = cli_table_print(&table);
    if (is_empty) fprintf(stderr, "troupe: nothing has changed\n");
    cli_answer_deinit(&answer);
    return is_printed ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

cli_exit cli_run_config(const cli_context *context)
{
    const char *wanted = context->values[CLI_OPTION_EXPLAIN];
    if (wanted != NULL || cli_has(context, CLI_OPTION_DEFAULTS)) {
        return print_options(context, wanted);
    }
    if (cli_has(context, CLI_OPTION_CHECK)) return cli_check_config(context);
    if (context->argument_count > 0) {
        return cli_fail(CLI_USAGE, "a file is only checked: troupe config --check %s",
                        context->arguments[0]);
    }
    return cli_has(context, CLI_OPTION_RELOAD) ? reload(context) : print_running(context);
}
