/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What flags, environment and file say of actor types, in the order in which they count: the last
 * word does. Not what the settings mean, which is shared/type_setting.h.
 *
 * Invariants: 1. The file's come first, flags' last. 2. Texts live until overrides_deinit.
 * Threads: one owner; others may read when it has ended.
 */
#ifndef TROUPED_OVERRIDES_H
#define TROUPED_OVERRIDES_H

#include "shared/type_setting.h"
#include "trouped/modules.h"

#define OVERRIDES_MAX 256

typedef struct type_override {
    char *type;
    const char *name;
    char *value;
    const char *from; /* "file", "environment", "flag" */
    uint32_t line;    /* of the file */
    uint32_t column;
} type_override;

typedef struct type_overrides {
    type_override list[OVERRIDES_MAX];
    size_t count;
} type_overrides;

/* Takes over the setting's value. USAGE: more than OVERRIDES_MAX; NO_MEMORY: `error` says it. */
TROUPE_CHECK troupe_status overrides_add(type_overrides *overrides, cmd_setting *setting,
                                         const char *from, uint32_t line, uint32_t column,
                                         char *error, size_t error_size);
void overrides_deinit(type_overrides *overrides);

/* Puts them over `types`, copies of what the modules bring. False: `error`. `file`: its path. */
bool overrides_apply(const type_overrides *overrides, troupe_type *types, size_t count,
                     const char *file, char *error, size_t error_size);

/* The one that counts, if another comes behind it no more; NULL: there is none. */
const type_override *overrides_find(const type_overrides *overrides, const char *type,
                                    const char *name);

#endif
