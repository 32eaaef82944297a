/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of types, put together: see overrides.h, also for invariants and threads. */
#include "trouped/overrides.h"

#include <stdio.h>
#include <stdlib.h>

void overrides_deinit(type_overrides *overrides)
{
    while (overrides->count > 0) {
        type_override *last = &overrides->list[--overrides->count];
        free(last->type);
        free(last->value);
    }
}

const type_override *overrides_find(const type_overrides *overrides, const char *type,
                                    const char *name)
{
    for (size_t i = overrides->count; i > 0; i--) {
        const type_override *at = &overrides->list[i - 1];
        if (strcmp(at->type, type) == 0 && strcmp(at->name, name) == 0) return at;
    }
    return NULL;
}

/* A further term of the condition that the same source has begun. */
static troupe_status join_term(type_override *with, const cmd_setting *setting)
{
    cmd_bytes joined = {0};
    cmd_bytes_printf(&joined, "%s, %s", with->value, setting->value.data);
    cmd_bytes_add(&joined, "", 1);
    if (joined.failed) {
        cmd_bytes_deinit(&joined);
        return TROUPE_NO_MEMORY;
    }
    free(with->value);
    with->value = joined.data;
    return TROUPE_OK;
}

static troupe_status add(type_overrides *overrides, const cmd_setting *setting, const char *from,
                         uint32_t line, uint32_t column)
{
    type_override new = {.name = setting->name, .from = from, .line = line, .column = column};
    for (size_t i = 0; setting->is_term && i < overrides->count; i++) {
        type_override *at = &overrides->list[i];
        if (strcmp(at->from, from) == 0 && strcmp(at->name, setting->name) == 0 &&
            troupe_slice_equal(troupe_str(at->type), setting->type)) {
            return join_term(at, setting);
        }
    }
    if (overrides->count == OVERRIDES_MAX) return TROUPE_USAGE;
    new.type = strndup(setting->type.data, setting->type.size);
    new.value = strdup(setting->value.data);
    if (new.type == NULL || new.value == NULL) {
        free(new.type);
        free(new.value);
        return TROUPE_NO_MEMORY;
    }
    overrides->list[overrides->count++] = new;
    return TROUPE_OK;
}

troupe_status overrides_add(type_overrides *overrides, cmd_setting *setting, const char *from,
                            uint32_t line, uint32_t column, char *error, size_t error_size)
{
    troupe_status status = add(overrides, setting, from, line, column);
    cmd_bytes_deinit(&setting->value);
    if (status == TROUPE_USAGE) {
        snprintf(error, error_size, "types: more than %d settings", OVERRIDES_MAX);
    } else if (status != TROUPE_OK) {
        snprintf(error, error_size, "no memory");
    }
    return status;
}

/* "node.yaml: line 3, column 9: ", "$TROUPE_TYPES: " or nothing: a flag names itself. */
static void print_place(const type_override *at, const char *file, char *out, size_t size)
{
    out[0] = 0;
    if (strcmp(at->from, "file") == 0) {
        snprintf(out, size, "%s: line %u, column %u: ", file, at->line, at->column);
    } else if (strcmp(at->from, "environment") == 0) {
        snprintf(out, size, "$TROUPE_TYPES: ");
    }
}

bool overrides_apply(const type_overrides *overrides, troupe_type *types, size_t count,
                     const char *file, char *error, size_t error_size)
{
    const char *names[MODULE_TYPES_MAX] = {0};
    char where[4400];
    char words[600];
    for (size_t i = 0; i < count; i++) names[i] = types[i].name;
    for (size_t k = 0; k < overrides->count; k++) {
        const type_override *at = &overrides->list[k];
        size_t i = 0;
        while (i < count && strcmp(names[i], at->type) != 0) i++;
        print_place(at, file, where, sizeof(where));
        if (i < count && cmd_setting_apply(at->name, at->value, &types[i], words, sizeof(words)) ==
                             TROUPE_OK) {
            continue;
        }
        if (i == count) {
            const char *nearest = troupe_nearest_name(at->type, names, count);
            snprintf(words, sizeof(words), "%s: no module brings a type \"%s\"%s%s%s", at->name,
                     at->type, nearest != NULL ? ": did you mean " : "",
                     nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
        }
        snprintf(error, error_size, "%stypes.%s.%s", where, at->type, words);
        return false;
    }
    return true;
}
