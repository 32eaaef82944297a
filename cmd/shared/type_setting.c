/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of actor types: see type_setting.h, also for invariants and threads. */
#include "shared/type_setting.h"

#include <stdio.h>
#include <string.h>
#include <troupe/placement.h>

static const char place[] = ".placement";

static const struct {
    const char *name, *option;
} settings[] = {
#define X(name, option) {name, option},
    CMD_SETTING_MAP(X)
#undef X
};
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

const char *cmd_setting_of_option(const char *option)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (settings[i].option != NULL && strcmp(settings[i].option, option) == 0) {
            return settings[i].name;
        }
    }
    return NULL;
}

/* ---- names ---- */

/* Where .placement begins, with nothing or a further part behind it. */
static const char *find_place(const char *key)
{
    const char *found = NULL;
    for (const char *at = key; (at = strstr(at, place)) != NULL; at++) {
        char end = at[strlen(place)];
        if (at > key && (end == 0 || end == '.')) found = at;
    }
    return found;
}

static troupe_status no_setting(const char *type, size_t size, const char *name, char *error,
                                size_t error_size)
{
    const char *names[SETTING_COUNT + 1];
    size_t used = 0;
    for (size_t i = 0; i < SETTING_COUNT; i++) names[i] = settings[i].name;
    names[SETTING_COUNT] = "placement";
    const char *nearest = troupe_nearest_name(name, names, SETTING_COUNT + 1);
    used = (size_t)snprintf(error, error_size, "types.%.*s: %.100s: no such setting of a type; %s",
                            (int)size, type, name, nearest != NULL ? "did you mean " : "there are");
    if (nearest != NULL && used < error_size) {
        snprintf(error + used, error_size - used, "%s?", nearest);
    }
    for (size_t i = 0; nearest == NULL && i < SETTING_COUNT && used < error_size; i++) {
        used += (size_t)snprintf(error + used, error_size - used, "%s %s", i > 0 ? "," : "",
                                 names[i]);
    }
    return TROUPE_USAGE;
}

/* The setting that `name` means; a term of a condition is the condition's. */
static const char *find_name(const char *name, const char **ret_label)
{
    static const char term[] = "placement.require.";
    *ret_label = NULL;
    if (strcmp(name, "placement") == 0) return "placement.policy";
    if (strncmp(name, term, strlen(term)) == 0) {
        *ret_label = name + strlen(term);
        return "placement.require";
    }
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(name, settings[i].name) == 0) return settings[i].name;
    }
    return NULL;
}

/* ---- reading ---- */

troupe_status cmd_setting_read(const char *key, const char *value, cmd_setting *ret_setting,
                               char *error, size_t error_size)
{
    const char *label = NULL;
    char words[400];
    troupe_type parsed = {.size = sizeof(parsed)};
    /* Names of types may hold dots, names of options do not. */
    const char *dot = find_place(key);
    if (dot == NULL) dot = strrchr(key, '.');
    if (dot == NULL || dot == key) {
        snprintf(error, error_size, "types: write types: { account: { idle: 5m } }");
        return TROUPE_USAGE;
    }
    const char *name = find_name(dot + 1, &label);
    if (name == NULL) return no_setting(key, (size_t)(dot - key), dot + 1, error, error_size);
    cmd_setting setting = {troupe_slice_of(key, (size_t)(dot - key)), name, {0}, label != NULL};
    if (label != NULL) cmd_bytes_printf(&setting.value, "%s=", label);
    cmd_bytes_add(&setting.value, value, strlen(value) + 1);
    troupe_status status =
        setting.value.failed
            ? TROUPE_NO_MEMORY
            : cmd_setting_apply(name, setting.value.data, &parsed, words, sizeof(words));
    if (status == TROUPE_OK) {
        *ret_setting = setting;
        return TROUPE_OK;
    }
    cmd_bytes_deinit(&setting.value);
    snprintf(error, error_size, "types.%.*s: %s", (int)(dot - key), key,
             status == TROUPE_NO_MEMORY ? "no memory" : words);
    return status;
}

static troupe_status apply_placement(const char *name, const char *value, troupe_type *type,
                                     char *error, size_t error_size)
{
    char words[300];
    troupe_placing placing = type->placement;
    const char **text =
        strcmp(name, "placement.policy") == 0 ? &placing.policy : &placing.require;
    *text = value[0] != 0 ? value : NULL;
    placing.choose = NULL;
    troupe_status status = troupe_placing_check(&placing, words, sizeof(words));
    if (status == TROUPE_OK) {
        type->placement = placing;
    } else {
        snprintf(error, error_size, "%s: \"%.100s\": %s", name, value, words);
    }
    return status;
}

troupe_status cmd_setting_apply(const char *name, const char *value, troupe_type *type, char *error,
                                size_t error_size)
{
    troupe_node_options parsed = {TROUPE_NODE_OPTIONS};
    if (strncmp(name, place + 1, strlen(place + 1)) == 0) {
        return apply_placement(name, value, type, error, error_size);
    }
    TROUPE_TRY(troupe_options_set(&parsed, name, value, error, error_size));
    if (parsed.idle != 0) type->idle = parsed.idle;
    if (parsed.mailbox_limit != 0) type->mailbox_limit = parsed.mailbox_limit;
    if (parsed.turn_batch != 0) type->batch = parsed.turn_batch;
    if (parsed.stack_size != 0) type->stack_size = (size_t)parsed.stack_size;
    if (parsed.arena_limit != 0) type->arena_limit = (size_t)parsed.arena_limit;
    return TROUPE_OK;
}
