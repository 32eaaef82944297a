/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, environment and file, put together: see options.h, also for invariants and threads. */
#include "trouped/options.h"

#include "shared/config_file.h"
#include "shared/daemon_flags.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FLAG_NAME_MAX 400

typedef struct option_reader {
    daemon_options *options;
    const char *from;
    char *error;
    size_t error_size;
} option_reader;

/* ---- texts that stay ---- */

static const char *keep(daemon_options *options, const char *text)
{
    char **texts = realloc(options->texts, (options->text_count + 1) * sizeof(*texts));
    if (texts == NULL) return NULL;
    options->texts = texts;
    char *copy = strdup(text);
    if (copy != NULL) texts[options->text_count++] = copy;
    return copy;
}

void daemon_options_deinit(daemon_options *options)
{
    while (options->text_count > 0) free(options->texts[--options->text_count]);
    free(options->texts);
    overrides_deinit(&options->overrides);
    free(options->types);
    free(options->type_list);
    options->texts = NULL;
    options->types = NULL;
    options->type_list = NULL;
}

/* ---- options of the node ---- */

const char *daemon_options_origin(const daemon_options *options, const char *name)
{
    for (size_t i = 0; i < options->origin_count; i++) {
        if (strcmp(options->origins[i].name, name) == 0) return options->origins[i].from;
    }
    return "default";
}

/* With the names of the table, whichever of - and _ was written. */
static void remember_origin(daemon_options *options, const char *name, const char *from)
{
    char plain[64];
    snprintf(plain, sizeof(plain), "%s", name);
    for (char *at = plain; *at != 0; at++) {
        if (*at == '-') *at = '_';
    }
    for (size_t i = 0; i < options->origin_count; i++) {
        if (strcmp(options->origins[i].name, plain) != 0) continue;
        options->origins[i].from = from;
        return;
    }
    const char *kept = options->origin_count < OPTIONS_MAX ? keep(options, plain) : NULL;
    if (kept == NULL) return; /* it would be shown as a default, no more */
    options->origins[options->origin_count].name = kept;
    options->origins[options->origin_count++].from = from;
}

static troupe_status set_option(option_reader *reader, const char *name, const char *value)
{
    const char *kept = keep(reader->options, value);
    if (kept == NULL) {
        snprintf(reader->error, reader->error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    TROUPE_TRY(cmd_option_set(&reader->options->node, name, kept, reader->error,
                              reader->error_size));
    remember_origin(reader->options, name, reader->from);
    return TROUPE_OK;
}

static bool add_load(option_reader *reader, const char *path)
{
    daemon_options *options = reader->options;
    const char *kept = options->load_count < MODULES_MAX ? keep(options, path) : NULL;
    if (kept == NULL) {
        snprintf(reader->error, reader->error_size, "more than %d modules", MODULES_MAX);
        return false;
    }
    options->loads[options->load_count++] = kept;
    return true;
}

/* ---- the file ---- */

static troupe_status take_word(option_reader *reader, cmd_config_word *word,
                               const troupe_config_entry *entry)
{
    daemon_options *options = reader->options;
    switch (word->what) {
    case CMD_CONFIG_MODULE:
        return add_load(reader, word->value.data) ? TROUPE_OK : TROUPE_USAGE;
    case CMD_CONFIG_SOCKET:
        options->socket = keep(options, word->value.data);
        return options->socket != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    case CMD_CONFIG_REMOTE:
        options->remote = keep(options, word->value.data);
        return options->remote != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    case CMD_CONFIG_REMOTE_TOKEN:
        options->remote_token = keep(options, word->value.data);
        return options->remote_token != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    case CMD_CONFIG_SETTING:
        return overrides_add(&options->overrides, &word->setting, reader->from, entry->line,
                             entry->column, reader->error, reader->error_size);
    case CMD_CONFIG_OPTION:
        break;
    }
    return set_option(reader, word->name, word->value.data);
}

static troupe_status visit_entry(void *user, const troupe_config_entry *entry, char *error,
                                 size_t error_size)
{
    option_reader reader = *(const option_reader *)user;
    cmd_config_word word;
    reader.error = error;
    reader.error_size = error_size;
    TROUPE_TRY(cmd_config_read(reader.options->config, entry, &word, error, error_size));
    troupe_status status = take_word(&reader, &word, entry);
    cmd_bytes_deinit(&word.value);
    return status;
}

static bool read_file(option_reader *reader)
{
    char *data = NULL;
    size_t size = 0;
    char words[512];
    const char *path = reader->options->config;
    if (!cmd_file_read(path, &data, &size, reader->error, reader->error_size)) return false;
    reader->from = "file";
    troupe_status status = troupe_config_parse(troupe_slice_of(data, size), visit_entry, reader,
                                               words, sizeof(words));
    free(data);
    if (status != TROUPE_OK) {
        snprintf(reader->error, reader->error_size, "%s: %s", path, words);
        return false;
    }
    return true;
}

void daemon_options_place(const daemon_options *options, char *error, size_t error_size)
{
    char *data = NULL;
    char name[64];
    char words[1024];
    char unused[512];
    size_t size = 0;
    uint32_t line = 0;
    uint32_t column = 0;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(error, ":"), error);
    if (options->config == NULL || strcmp(daemon_options_origin(options, name), "file") != 0 ||
        !cmd_file_read(options->config, &data, &size, unused, sizeof(unused))) {
        return;
    }
    cmd_config_find(troupe_slice_of(data, size), error, &line, &column);
    free(data);
    snprintf(words, sizeof(words), "%s", error);
    if (line > 0) {
        snprintf(error, error_size, "%s: line %u, column %u: %s", options->config, line, column,
                 words);
    }
}

/* ---- the environment ---- */

static void visit_variable(void *user, const troupe_option_info *info)
{
    option_reader *reader = user;
    char name[80];
    char words[400];
    if (reader->error[0] != 0) return; /* the first error is told */
    int size = snprintf(name, sizeof(name), "TROUPE_%s", info->name);
    for (int i = 0; i < size; i++) name[i] = (char)toupper((unsigned char)name[i]);
    const char *value = getenv(name);
    if (value == NULL || value[0] == 0 || strcmp(info->name, "driven") == 0) return;
    if (set_option(reader, info->name, value) == TROUPE_OK) return;
    snprintf(words, sizeof(words), "%s", reader->error);
    snprintf(reader->error, reader->error_size, "$%s: %s", name, words);
}

/* `key` as account.idle. */
static troupe_status set_of_type(option_reader *reader, const char *key, const char *value)
{
    cmd_setting setting;
    TROUPE_TRY(cmd_setting_read(key, value, &setting, reader->error, reader->error_size));
    return overrides_add(&reader->options->overrides, &setting, reader->from, 0, 0, reader->error,
                         reader->error_size);
}

/* $TROUPE_TYPES: account.idle=5m; agent.placement=random */
static bool read_types_variable(option_reader *reader)
{
    const char *at = getenv("TROUPE_TYPES");
    char words[600];
    while (at != NULL && *at != 0) {
        char part[600];
        size_t size = strcspn(at, ";");
        snprintf(part, sizeof(part), "%.*s", (int)size, at);
        char *key = part + strspn(part, " ");
        char *equals = strchr(key, '=');
        at += size + (at[size] == ';');
        if (*key == 0) continue;
        if (equals != NULL && size < sizeof(part)) {
            *equals = 0;
            if (set_of_type(reader, key, equals + 1) == TROUPE_OK) continue;
            snprintf(words, sizeof(words), "%s", reader->error);
        } else {
            snprintf(words, sizeof(words), "\"%.100s\": write account.idle=5m; agent.idle=1h",
                     key);
        }
        snprintf(reader->error, reader->error_size, "$TROUPE_TYPES: %s", words);
        return false;
    }
    return true;
}

static bool read_environment(option_reader *reader)
{
    reader->from = "environment";
    reader->error[0] = 0;
    troupe_options_each(visit_variable, reader);
    return reader->error[0] == 0 && read_types_variable(reader);
}

/* ---- flags ---- */

static bool is_flag(const char *name)
{
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        if (strcmp(name, daemon_flags[i].name) == 0) return true;
    }
    return false;
}

static bool has_value(const char *flag)
{
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        if (strcmp(flag, daemon_flags[i].name) == 0) return daemon_flags[i].value != NULL;
    }
    return false;
}

typedef struct name_list {
    const char *names[OPTIONS_MAX + DAEMON_FLAG_COUNT];
    const char *wanted;
    bool is_bool;
    bool is_known;
    size_t count;
} name_list;

static void visit_name(void *user, const troupe_option_info *info)
{
    name_list *list = user;
    size_t i = 0;
    while (list->wanted[i] != 0 &&
           (list->wanted[i] == '-' ? '_' : list->wanted[i]) == info->name[i]) {
        i++;
    }
    if (list->wanted[i] == info->name[i]) {
        list->is_known = true;
        list->is_bool = info->kind == TROUPE_OPTION_BOOL;
    }
    if (list->count < OPTIONS_MAX) list->names[list->count++] = info->name;
}

static bool no_flag(option_reader *reader, name_list *list, const char *name)
{
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        list->names[list->count++] = daemon_flags[i].name;
    }
    const char *nearest = troupe_nearest_name(name, list->names, list->count);
    snprintf(reader->error, reader->error_size, "there is no option --%s%s%s%s", name,
             nearest != NULL ? ": did you mean --" : ": see trouped --help",
             nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return false;
}

static const char of_types[] = "types.";

static bool is_of_type(const char *name)
{
    return strncmp(name, of_types, strlen(of_types)) == 0;
}

/* Of the node, or of a type. */
static bool set_named(option_reader *reader, const char *name, const char *value)
{
    if (!is_of_type(name)) return set_option(reader, name, value) == TROUPE_OK;
    return set_of_type(reader, name + strlen(of_types), value) == TROUPE_OK;
}

static bool apply_set(option_reader *reader, const char *setting)
{
    char name[FLAG_NAME_MAX];
    size_t length = strcspn(setting, "=");
    if (setting[length] == 0 || length == 0 || length >= sizeof(name)) {
        snprintf(reader->error, reader->error_size, "--set %s: write --set NAME=VALUE", setting);
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)length, setting);
    return set_named(reader, name, setting + length + 1);
}

/* The daemon's own flags are taken in a first pass, those of the node in a second, after file and
 * environment. */
static bool take_flag(option_reader *reader, const char *name, const char *value, bool is_first)
{
    daemon_options *options = reader->options;
    if (strcmp(name, "set") == 0) return is_first || apply_set(reader, value);
    if (!is_flag(name)) return is_first || set_named(reader, name, value);
    if (!is_first) {
        if (strcmp(name, "load") == 0) return add_load(reader, value);
        if (strcmp(name, "socket") == 0) options->socket = value;
        if (strcmp(name, "remote") == 0) options->remote = value;
        if (strcmp(name, "remote-token") == 0) options->remote_token = value;
        return true;
    }
    if (strcmp(name, "config") == 0) options->config = value;
    if (strcmp(name, "help") == 0) options->is_help = true;
    if (strcmp(name, "version") == 0) options->is_version = true;
    if (strcmp(name, "check") == 0) options->is_check = true;
    if (strcmp(name, "man") == 0) options->is_manual = true;
    return true;
}

static bool read_flags(option_reader *reader, int argc, char **argv, bool is_first)
{
    reader->from = "flag";
    for (int i = 1; i < argc; i++) {
        const char *word = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i];
        if (word[0] != '-' || word[1] != '-' || word[2] == 0) {
            snprintf(reader->error, reader->error_size, "\"%.100s\" is no option; modules are "
                     "loaded by --load FILE", word);
            return false;
        }
        char name[FLAG_NAME_MAX];
        size_t length = strcspn(word + 2, "=");
        snprintf(name, sizeof(name), "%.*s", (int)length, word + 2);
        const char *value = word[2 + length] == '=' ? word + 3 + length : NULL;
        name_list list = {.wanted = name};
        troupe_options_each(visit_name, &list);
        bool is_bare = is_flag(name) && !has_value(name);
        bool is_known = is_flag(name) || list.is_known || is_of_type(name);
        if (!is_known) return no_flag(reader, &list, name);
        if (value == NULL && list.is_bool) value = "true";
        if (value == NULL && !is_bare) value = argv[++i];
        if (value == NULL && !is_bare) {
            snprintf(reader->error, reader->error_size, "--%s needs a value: see trouped --help",
                     name);
            return false;
        }
        if (!take_flag(reader, name, value, is_first)) return false;
    }
    return true;
}

static void take_variable(const char *name, const char **value)
{
    const char *given = getenv(name);
    if (given != NULL && given[0] != 0) *value = given;
}

bool daemon_options_read(daemon_options *options, int argc, char **argv, char *error,
                         size_t error_size)
{
    *options = (daemon_options){.node = {TROUPE_NODE_OPTIONS}, .argc = argc, .argv = argv};
    option_reader reader = {options, "flag", error, error_size};
    error[0] = 0;
    if (!read_flags(&reader, argc, argv, true)) return false;
    if (options->is_help || options->is_version || options->is_manual) return true;
    const char *config = getenv("TROUPE_CONFIG");
    if (options->config == NULL && config != NULL && config[0] != 0) options->config = config;
    if (options->config != NULL && !read_file(&reader)) return false;
    if (!read_environment(&reader)) return false;
    take_variable("TROUPE_SOCKET", &options->socket);
    take_variable("TROUPE_REMOTE", &options->remote);
    take_variable("TROUPE_REMOTE_TOKEN", &options->remote_token);
    if (!read_flags(&reader, argc, argv, false)) return false;
    if (options->socket == NULL) {
        if (!cmd_socket_path(options->usual_socket)) {
            snprintf(error, error_size, "$XDG_RUNTIME_DIR is too long for a socket; give --socket");
            return false;
        }
        options->socket = options->usual_socket;
    }
    return true;
}

/* ---- settings of types ---- */

/* Copies, which what is said of types can change. */
static bool copy_types(daemon_options *options, const daemon_modules *modules)
{
    size_t count = modules->type_count;
    options->types = calloc(count, sizeof(*options->types));
    options->type_list = calloc(count, sizeof(*options->type_list));
    if (options->types == NULL || options->type_list == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        const troupe_type *type = modules->types[i];
        size_t size = type->size < sizeof(*type) ? type->size : sizeof(*type);
        memcpy(&options->types[i], type, size);
        options->types[i].size = sizeof(*type); /* what the module does not know is 0: default */
        options->type_list[i] = options->overrides.count > 0 ? &options->types[i] : type;
    }
    return true;
}

bool daemon_options_apply(daemon_options *options, const daemon_modules *modules, char *error,
                          size_t error_size)
{
    if (!copy_types(options, modules)) {
        snprintf(error, error_size, "no memory");
        return false;
    }
    return overrides_apply(&options->overrides, options->types, modules->type_count,
                           options->config, error, error_size);
}
