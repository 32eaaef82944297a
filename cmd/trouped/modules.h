/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads shared objects with actor types and gathers their types. Not a plug-in system: a module is
 * never unloaded while the node runs, and its types keep pointing into it.
 *
 * Invariants: 1. `types` holds the types in the order of --load. 2. Type names are unique.
 * Threads: one, before the node opens.
 */
#ifndef TROUPED_MODULES_H
#define TROUPED_MODULES_H

#include <troupe/module.h>

#define MODULES_MAX 64
#define MODULE_TYPES_MAX 1024

typedef struct daemon_modules {
    void *handles[MODULES_MAX];
    size_t count;
    const troupe_type *types[MODULE_TYPES_MAX];
    size_t type_count;
} daemon_modules;

/* False: `error` names the file, what is wrong with it and what to do. */
bool modules_load(daemon_modules *modules, const char *path, char *error, size_t error_size);
/* After the node is closed. */
void modules_deinit(daemon_modules *modules);

#endif
