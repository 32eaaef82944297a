/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `troupe config --check FILE`: every line of a configuration file of trouped that is wrong, and
 * what its options say about each other. It reads with what the daemon reads with. Not a check of
 * modules or of what they bring.
 *
 * Invariants: 1. All errors are told, except those behind a place where the file is no YAML.
 * Threads: one.
 */
#include "troupe/config_check.h"

#include "shared/config_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 1024 /* as many keys as a file may have */

typedef struct config_check {
    const char *file;
    troupe_slice yaml;
    troupe_node_options options;
    char *texts[TEXTS_MAX]; /* of the options */
    size_t text_count;
    bool is_json;
    cmd_bytes errors; /* as JSON, joined by commas */
    size_t error_count;
} config_check;

/* `words` may begin with "line 2, column 3: ", if line is 0. */
static void add_error(config_check *check, uint32_t line, uint32_t column, const char *words)
{
    int size = 0;
    if (line == 0 && sscanf(words, "line %u, column %u: %n", &line, &column, &size) == 2) {
        words += size;
    }
    check->error_count++;
    if (check->is_json) {
        cmd_bytes_printf(&check->errors, "%s{\"line\":%u,\"column\":%u,\"text\":",
                         check->errors.size > 0 ? "," : "", line, column);
        cmd_bytes_json(&check->errors, troupe_str(words));
        cmd_bytes_text(&check->errors, "}");
        return;
    }
    fprintf(stderr, "%s: ", check->file);
    if (line > 0) fprintf(stderr, "line %u, column %u: ", line, column);
    fprintf(stderr, "%s\n", words);
}

static troupe_status set_option(config_check *check, const cmd_config_word *word, char *error,
                                size_t error_size)
{
    char *text = check->text_count < TEXTS_MAX ? strdup(word->value.data) : NULL;
    if (text == NULL) {
        snprintf(error, error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    check->texts[check->text_count++] = text;
    return cmd_option_set(&check->options, word->name, text, error, error_size);
}

/* The reading goes on behind what is wrong. */
static troupe_status visit_line(void *user, const troupe_config_entry *entry, char *error,
                                size_t error_size)
{
    config_check *check = user;
    cmd_config_word word;
    troupe_status status = cmd_config_read(check->file, entry, &word, error, error_size);
    if (status == TROUPE_OK) {
        if (word.what == CMD_CONFIG_SETTING) cmd_bytes_deinit(&word.setting.value);
        if (word.what == CMD_CONFIG_OPTION) status = set_option(check, &word, error, error_size);
        cmd_bytes_deinit(&word.value);
    }
    if (status == TROUPE_OK || status == TROUPE_NO_MEMORY) return status;
    add_error(check, entry->line, entry->column, error);
    return TROUPE_OK;
}

static void check_file(config_check *check)
{
    char words[1024] = "";
    uint32_t line = 0;
    uint32_t column = 0;
    if (troupe_config_parse(check->yaml, visit_line, check, words, sizeof(words)) != TROUPE_OK) {
        add_error(check, 0, 0, words);
        return;
    }
    if (troupe_options_check(&check->options, words, sizeof(words)) == TROUPE_OK) return;
    cmd_config_find(check->yaml, words, &line, &column);
    add_error(check, line, column, words);
}

static cli_exit tell(config_check *check)
{
    bool is_ok = check->error_count == 0;
    if (check->is_json) {
        if (check->errors.failed) return cli_fail(CLI_FAILED, "no memory");
        printf("{\"ok\":%s,\"errors\":[%.*s]}\n", is_ok ? "true" : "false",
               (int)check->errors.size, check->errors.size > 0 ? check->errors.data : "");
    } else if (is_ok) {
        printf("%s: ok\n", check->file);
    }
    return is_ok ? CLI_OK : CLI_FAILED;
}

cli_exit cli_check_config(const cli_context *context)
{
    char error[512];
    char *data = NULL;
    size_t size = 0;
    if (context->argument_count == 0) {
        return cli_fail(CLI_USAGE, "--check needs a file: troupe config --check FILE");
    }
    config_check *check = calloc(1, sizeof(*check));
    if (check == NULL) return cli_fail(CLI_FAILED, "no memory");
    check->file = context->arguments[0];
    check->is_json = cli_has(context, CLI_OPTION_JSON);
    check->options = (troupe_node_options){TROUPE_NODE_OPTIONS};
    cli_exit code = CLI_FAILED;
    if (cmd_file_read(check->file, &data, &size, error, sizeof(error))) {
        check->yaml = troupe_slice_of(data, size);
        check_file(check);
        code = tell(check);
    } else {
        cli_fail(CLI_FAILED, "%s", error);
    }
    while (check->text_count > 0) free(check->texts[--check->text_count]);
    cmd_bytes_deinit(&check->errors);
    free(check);
    free(data);
    return code;
}
