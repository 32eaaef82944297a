/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, environment and file, put together: see options.h, also for invariants and threads. */
#include "shared/bytes.h"
#include "trouped/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)1024 * 1024)

/* X(flag, "VALUE" or NULL, "meaning") of the daemon itself */
#define DAEMON_FLAG_MAP(X)                                                                         \
    X("config", "FILE", "read options from a YAML file; also $TROUPE_CONFIG")                      \
    X("load", "FILE", "load a module of actor types; may be given again")                          \
    X("socket", "PATH", "where the admin socket is to be; also $TROUPE_SOCKET")                    \
    X("set", "NAME=VALUE", "set an option of the node, as --NAME VALUE does")                      \
    X("help", NULL, "print this")                                                                  \
    X("version", NULL, "print the version")

static const struct {
    const char *name, *value, *meaning;
} flags[] = {
#define X(name, value, meaning) {name, value, meaning},
    DAEMON_FLAG_MAP(X)
#undef X
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

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
    free(options->types);
    options->texts = NULL;
    options->types = NULL;
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
    if (strcmp(name, "driven") == 0) {
        snprintf(reader->error, reader->error_size,
                 "driven: is for programs that embed a node; trouped has threads");
        return TROUPE_USAGE;
    }
    TROUPE_TRY(troupe_options_set(&reader->options->node, name, kept, reader->error,
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

/* A relative path in a file is meant from the file's folder. Adds that folder, if there is need. */
static void add_folder(const option_reader *reader, const char *path, cmd_bytes *out)
{
    const char *config = reader->options->config;
    const char *slash = strrchr(config, '/');
    if (path[0] != '/' && slash != NULL) {
        cmd_bytes_add(out, config, (size_t)(slash + 1 - config));
    }
}

static bool add_load_of_file(option_reader *reader, const char *path)
{
    cmd_bytes full = {0};
    add_folder(reader, path, &full);
    cmd_bytes_printf(&full, "%s", path);
    bool is_added = !full.failed && add_load(reader, full.data);
    if (full.failed) snprintf(reader->error, reader->error_size, "no memory");
    cmd_bytes_deinit(&full);
    return is_added;
}

/* The paths of ${file:PATH} too; $${ stands for itself. */
static troupe_status set_option_of_file(option_reader *reader, const char *name, const char *value)
{
    static const char start[] = "${file:";
    cmd_bytes full = {0};
    const char *from = value;
    for (const char *at = value; (at = strstr(at, start)) != NULL;) {
        bool is_plain = at > value && at[-1] == '$';
        at += strlen(start);
        cmd_bytes_add(&full, from, (size_t)(at - from));
        if (!is_plain) add_folder(reader, at, &full);
        from = at;
    }
    cmd_bytes_printf(&full, "%s", from);
    if (full.failed) snprintf(reader->error, reader->error_size, "no memory");
    troupe_status status = full.failed ? TROUPE_NO_MEMORY : set_option(reader, name, full.data);
    cmd_bytes_deinit(&full);
    return status;
}

static troupe_status add_override(option_reader *reader, const troupe_config_entry *entry)
{
    daemon_options *options = reader->options;
    const char *type = keep(options, entry->key + strlen("types."));
    const char *value = keep(options, entry->value);
    /* Names of types may hold dots, names of options do not. */
    char *dot = type != NULL ? strrchr(type, '.') : NULL;
    if (dot == NULL || value == NULL || options->override_count == OVERRIDES_MAX) {
        snprintf(reader->error, reader->error_size, "%s: write types: { account: { idle: 5m } }, "
                 "at most %d settings", entry->key, OVERRIDES_MAX);
        return TROUPE_USAGE;
    }
    *dot = 0;
    options->overrides[options->override_count++] =
        (type_override){type, dot + 1, value, entry->line};
    return TROUPE_OK;
}

static troupe_status visit_entry(void *user, const troupe_config_entry *entry, char *error,
                                 size_t error_size)
{
    option_reader reader = *(const option_reader *)user;
    reader.error = error;
    reader.error_size = error_size;
    daemon_options *options = reader.options;
    if (strcmp(entry->key, "modules") == 0) {
        return add_load_of_file(&reader, entry->value) ? TROUPE_OK : TROUPE_USAGE;
    }
    if (strcmp(entry->key, "types") == 0) {
        snprintf(error, error_size, "types: write types: { account: { idle: 5m } }");
        return TROUPE_USAGE;
    }
    if (strcmp(entry->key, "socket") == 0 && entry->value[0] == 0) {
        snprintf(error, error_size, "socket: it is empty: give a path, or leave it out");
        return TROUPE_USAGE;
    }
    if (strcmp(entry->key, "socket") == 0) {
        options->socket = keep(options, entry->value);
        return options->socket != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    }
    if (strncmp(entry->key, "types.", strlen("types.")) == 0) return add_override(&reader, entry);
    if (strcmp(entry->key, "node") == 0) {
        return set_option_of_file(&reader, "name", entry->value);
    }
    return set_option_of_file(&reader, entry->key, entry->value);
}

static bool read_whole_file(const char *path, char **ret_data, size_t *ret_size, char *error,
                            size_t error_size)
{
    FILE *file = fopen(path, "re");
    char *data = file != NULL ? malloc(FILE_MAX + 1) : NULL;
    if (data == NULL) {
        snprintf(error, error_size, "cannot read %s: %s", path, strerror(errno));
        if (file != NULL) fclose(file);
        return false;
    }
    size_t size = fread(data, 1, FILE_MAX + 1, file);
    bool failed = ferror(file) != 0;
    int reason = errno;
    fclose(file);
    if (failed || size > FILE_MAX) {
        snprintf(error, error_size, "cannot read %s: %s", path,
                 failed ? strerror(reason) : "it is larger than 1 MiB");
        free(data);
        return false;
    }
    *ret_data = data;
    *ret_size = size;
    return true;
}

static bool read_file(option_reader *reader)
{
    char *data = NULL;
    size_t size = 0;
    char words[512];
    const char *path = reader->options->config;
    if (!read_whole_file(path, &data, &size, reader->error, reader->error_size)) return false;
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

static bool read_environment(option_reader *reader)
{
    reader->from = "environment";
    reader->error[0] = 0;
    troupe_options_each(visit_variable, reader);
    return reader->error[0] == 0;
}

/* ---- flags ---- */

static bool is_flag(const char *name)
{
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (strcmp(name, flags[i].name) == 0) return true;
    }
    return false;
}

typedef struct name_list {
    const char *names[OPTIONS_MAX + FLAG_COUNT];
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
    for (size_t i = 0; i < FLAG_COUNT; i++) list->names[list->count++] = flags[i].name;
    const char *nearest = troupe_nearest_name(name, list->names, list->count);
    snprintf(reader->error, reader->error_size, "there is no option --%s%s%s%s", name,
             nearest != NULL ? ": did you mean --" : ": see trouped --help",
             nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return false;
}

static bool apply_set(option_reader *reader, const char *setting)
{
    char name[80];
    size_t length = strcspn(setting, "=");
    if (setting[length] == 0 || length == 0 || length >= sizeof(name)) {
        snprintf(reader->error, reader->error_size, "--set %s: write --set NAME=VALUE", setting);
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)length, setting);
    return set_option(reader, name, setting + length + 1) == TROUPE_OK;
}

/* The daemon's own flags are taken in a first pass, those of the node in a second, after file and
 * environment. */
static bool take_flag(option_reader *reader, const char *name, const char *value, bool is_first)
{
    daemon_options *options = reader->options;
    if (strcmp(name, "set") == 0) return is_first || apply_set(reader, value);
    if (!is_flag(name)) return is_first || set_option(reader, name, value) == TROUPE_OK;
    if (!is_first) {
        if (strcmp(name, "load") == 0) return add_load(reader, value);
        if (strcmp(name, "socket") == 0) options->socket = value;
        return true;
    }
    if (strcmp(name, "config") == 0) options->config = value;
    if (strcmp(name, "help") == 0) options->is_help = true;
    if (strcmp(name, "version") == 0) options->is_version = true;
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
        char name[80];
        size_t length = strcspn(word + 2, "=");
        snprintf(name, sizeof(name), "%.*s", (int)length, word + 2);
        const char *value = word[2 + length] == '=' ? word + 3 + length : NULL;
        name_list list = {.wanted = name};
        troupe_options_each(visit_name, &list);
        bool is_bare = strcmp(name, "help") == 0 || strcmp(name, "version") == 0;
        if (!is_flag(name) && !list.is_known) return no_flag(reader, &list, name);
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

bool daemon_options_read(daemon_options *options, int argc, char **argv, char *error,
                         size_t error_size)
{
    *options = (daemon_options){.node = {TROUPE_NODE_OPTIONS}};
    option_reader reader = {options, "flag", error, error_size};
    error[0] = 0;
    if (!read_flags(&reader, argc, argv, true)) return false;
    if (options->is_help || options->is_version) return true;
    const char *config = getenv("TROUPE_CONFIG");
    if (options->config == NULL && config != NULL && config[0] != 0) options->config = config;
    if (options->config != NULL && !read_file(&reader)) return false;
    if (!read_environment(&reader)) return false;
    const char *socket = getenv("TROUPE_SOCKET");
    if (socket != NULL && socket[0] != 0) options->socket = socket;
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

/* Each is written as the node's option of that name, whose limits it has too. */
static bool override_type(troupe_type *type, const type_override *from, char *error,
                          size_t error_size)
{
    static const char *const names[] = {"idle", "mailbox_limit", "turn_batch", "stack_size",
                                        "arena_limit"};
    troupe_node_options parsed = {TROUPE_NODE_OPTIONS};
    char words[400];
    size_t i = 0;
    while (i < 5 && strcmp(from->name, names[i]) != 0) i++;
    if (i == 5) {
        const char *nearest = troupe_nearest_name(from->name, names, 5);
        snprintf(error, error_size, "line %u: types.%s.%s: %s%s%s", from->line, from->type,
                 from->name, nearest != NULL ? "did you mean " : "there are idle, mailbox_limit, "
                 "turn_batch, stack_size, arena_limit", nearest != NULL ? nearest : "",
                 nearest != NULL ? "?" : "");
        return false;
    }
    if (troupe_options_set(&parsed, from->name, from->value, words, sizeof(words)) != TROUPE_OK) {
        snprintf(error, error_size, "line %u: types.%s: %s", from->line, from->type, words);
        return false;
    }
    if (parsed.idle != 0) type->idle = parsed.idle;
    if (parsed.mailbox_limit != 0) type->mailbox_limit = parsed.mailbox_limit;
    if (parsed.turn_batch != 0) type->batch = parsed.turn_batch;
    if (parsed.stack_size != 0) type->stack_size = (size_t)parsed.stack_size;
    if (parsed.arena_limit != 0) type->arena_limit = (size_t)parsed.arena_limit;
    return true;
}

bool daemon_options_apply(daemon_options *options, daemon_modules *modules, char *error,
                          size_t error_size)
{
    char words[600];
    if (options->override_count == 0) return true;
    options->types = calloc(modules->type_count, sizeof(*options->types));
    if (options->types == NULL) {
        snprintf(error, error_size, "no memory");
        return false;
    }
    const char *names[MODULE_TYPES_MAX] = {0};
    for (size_t i = 0; i < modules->type_count; i++) {
        const troupe_type *type = modules->types[i];
        size_t size = type->size < sizeof(*type) ? type->size : sizeof(*type);
        memcpy(&options->types[i], type, size);
        options->types[i].size = sizeof(*type); /* what the module does not know is 0: default */
        modules->types[i] = &options->types[i];
        names[i] = type->name;
    }
    for (size_t k = 0; k < options->override_count; k++) {
        const type_override *from = &options->overrides[k];
        size_t i = 0;
        while (i < modules->type_count && strcmp(names[i], from->type) != 0) i++;
        bool is_set = i < modules->type_count &&
                      override_type(&options->types[i], from, words, sizeof(words));
        if (is_set) continue;
        if (i == modules->type_count) {
            const char *nearest = troupe_nearest_name(from->type, names, modules->type_count);
            snprintf(words, sizeof(words), "line %u: no module brings a type \"%s\"%s%s%s",
                     from->line, from->type, nearest != NULL ? ": did you mean " : "",
                     nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
        }
        snprintf(error, error_size, "%s: %s", options->config, words);
        return false;
    }
    return true;
}

/* ---- help ---- */

static void print_option(void *user, const troupe_option_info *info)
{
    (void)user;
    if (strcmp(info->name, "driven") == 0) return;
    printf("  --%-24s %s (%s)\n", info->name, info->help, info->standard);
}

void daemon_options_print_help(void)
{
    printf("trouped serves actors: it loads modules of actor types and runs a node.\n\n"
           "  trouped --load ./libshop.so\n"
           "  trouped --config node-1.yaml --load ./libshop.so --max_actors 100_000\n\n"
           "Options:\n");
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s%s%s", flags[i].name, flags[i].value != NULL ? " " : "",
                 flags[i].value != NULL ? flags[i].value : "");
        printf("  --%-24s %s\n", text, flags[i].meaning);
    }
    printf("\nOptions of the node, with their defaults. Each can also be set by the environment\n"
           "variable TROUPE_ and its name in capitals, or by a line NAME: VALUE of the file.\n"
           "Flags go before the environment, the environment before the file.\n\n");
    troupe_options_each(print_option, NULL);
    printf("\nThe file may also name modules: [a.so, b.so], socket: PATH, and settings of types:\n"
           "  types: { account: { idle: 5m, mailbox_limit: 1000 } }\n\n"
           "In texts ${file:PATH} stands for what is in the file, and ${env:NAME} for a variable.\n"
           "A relative PATH begins at the folder of the file it is in, else where trouped runs.\n\n"
           "SIGTERM and SIGINT end what was accepted, then stop; a second one cancels it.\n"
           "SIGHUP reads the files of tls_certificate, tls_key and tls_authority again.\n"
           "Exit codes: 0 stopped as asked, 1 failed, 2 the command line or the file is wrong.\n");
}
