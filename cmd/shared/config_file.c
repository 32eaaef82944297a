/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a configuration file: see config_file.h, also for invariants and threads. */
#include "shared/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1024 * 1024)

bool cmd_file_read(const char *path, char **ret_data, size_t *ret_size, char *error,
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

/* ---- paths ---- */

/* A relative path in a file is meant from the file's folder. Adds that folder, if there is need. */
static void add_folder(const char *file, const char *path, cmd_bytes *out)
{
    const char *slash = strrchr(file, '/');
    if (path[0] != '/' && slash != NULL) cmd_bytes_add(out, file, (size_t)(slash + 1 - file));
}

/* The paths of ${file:PATH} too; $${ stands for itself. */
static void add_value(const char *file, const char *value, cmd_bytes *out)
{
    static const char start[] = "${file:";
    const char *from = value;
    for (const char *at = value; (at = strstr(at, start)) != NULL;) {
        bool is_plain = at > value && at[-1] == '$';
        at += strlen(start);
        cmd_bytes_add(out, from, (size_t)(at - from));
        if (!is_plain) add_folder(file, at, out);
        from = at;
    }
    cmd_bytes_printf(out, "%s", from);
}

/* ---- options, and all of it ---- */

troupe_status cmd_option_set(troupe_node_options *options, const char *name, const char *value,
                             char *error, size_t error_size)
{
    if (strcmp(name, "driven") == 0) {
        snprintf(error, error_size,
                 "driven: is for programs that embed a node; trouped has threads");
        return TROUPE_USAGE;
    }
    return troupe_options_set(options, name, value, error, error_size);
}

/* A key that is near no option may be near one that only a file has. */
static troupe_status look_for_key(const char *key, char *error, size_t error_size)
{
    static const char *const names[] = {"modules", "socket", "types", "node", "remote",
                                        "remote_token"};
    char first[64];
    snprintf(first, sizeof(first), "%.*s", (int)strcspn(key, "."), key);
    const char *nearest = troupe_nearest_name(first, names, 6);
    if (nearest == NULL || troupe_options_nearest(key) != NULL) return TROUPE_OK;
    snprintf(error, error_size, "%s: no such option; did you mean %s?", key, nearest);
    return TROUPE_USAGE;
}

static troupe_status read_key(const troupe_config_entry *entry, cmd_config_word *word, char *error,
                              size_t error_size)
{
    static const char types[] = "types.";
    word->name = entry->key;
    if (strcmp(entry->key, "modules") == 0) {
        word->what = CMD_CONFIG_MODULE;
    } else if (strcmp(entry->key, "socket") == 0) {
        word->what = CMD_CONFIG_SOCKET;
        if (entry->value[0] != 0) return TROUPE_OK;
        snprintf(error, error_size, "socket: it is empty: give a path, or leave it out");
        return TROUPE_USAGE;
    } else if (strcmp(entry->key, "remote") == 0) {
        word->what = CMD_CONFIG_REMOTE;
    } else if (strcmp(entry->key, "remote_token") == 0) {
        word->what = CMD_CONFIG_REMOTE_TOKEN;
    } else if (strcmp(entry->key, "types") == 0) {
        return cmd_setting_read("", entry->value, &word->setting, error, error_size);
    } else if (strncmp(entry->key, types, strlen(types)) == 0) {
        word->what = CMD_CONFIG_SETTING;
        return cmd_setting_read(entry->key + strlen(types), entry->value, &word->setting, error,
                                error_size);
    } else {
        word->what = CMD_CONFIG_OPTION;
        if (strcmp(entry->key, "node") != 0) return look_for_key(entry->key, error, error_size);
        word->name = "name";
    }
    return TROUPE_OK;
}

troupe_status cmd_config_read(const char *file, const troupe_config_entry *entry,
                              cmd_config_word *ret_word, char *error, size_t error_size)
{
    *ret_word = (cmd_config_word){0};
    TROUPE_TRY(read_key(entry, ret_word, error, error_size));
    cmd_bytes *value = &ret_word->value;
    if (ret_word->what == CMD_CONFIG_MODULE || ret_word->what == CMD_CONFIG_REMOTE_TOKEN) {
        add_folder(file, entry->value, value);
        cmd_bytes_printf(value, "%s", entry->value);
    } else if (ret_word->what == CMD_CONFIG_OPTION) {
        add_value(file, entry->value, value);
    } else {
        cmd_bytes_printf(value, "%s", entry->value);
    }
    if (!value->failed) return TROUPE_OK;
    cmd_bytes_deinit(value);
    cmd_bytes_deinit(&ret_word->setting.value);
    snprintf(error, error_size, "no memory");
    return TROUPE_NO_MEMORY;
}

/* ---- where an option stands ---- */

typedef struct config_place {
    const char *words;
    uint32_t *line, *column;
} config_place;

static bool is_about(const char *words, const char *key)
{
    if (strcmp(key, "node") == 0) key = "name";
    while (*key != 0 && (*key == '-' ? '_' : *key) == *words) {
        key++;
        words++;
    }
    return *key == 0 && *words == ':';
}

static troupe_status find_place(void *user, const troupe_config_entry *entry, char *error,
                                size_t error_size)
{
    config_place *place = user;
    (void)error;
    (void)error_size;
    if (is_about(place->words, entry->key)) {
        *place->line = entry->line;
        *place->column = entry->column;
    }
    return TROUPE_OK;
}

void cmd_config_find(troupe_slice yaml, const char *words, uint32_t *ret_line, uint32_t *ret_column)
{
    config_place place = {words, ret_line, ret_column};
    char unused[256];
    troupe_status ignored = troupe_config_parse(yaml, find_place, &place, unused, sizeof(unused));
    (void)ignored;
}
