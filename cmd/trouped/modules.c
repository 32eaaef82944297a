/* SPDX-License-Identifier: Apache-2.0 */
/* Modules of actor types: see modules.h, also for invariants and threads. */
#include "trouped/modules.h"

#include <dlfcn.h>
#include <stdio.h>

static bool check_entry(const troupe_module *module, const char *path, char *error,
                        size_t error_size)
{
    if (module->size < sizeof(size_t) + sizeof(uint32_t) || module->size > 65536) {
        snprintf(error, error_size, "%s: its %s is damaged (size %zu): compile it with "
                 "TROUPE_MODULE(...) of <troupe/module.h>", path, TROUPE_MODULE_SYMBOL,
                 module->size);
        return false;
    }
    if (module->api_number != TROUPE_API_NUMBER) {
        snprintf(error, error_size, "%s was compiled for API number %lu, this trouped %s has %d: "
                 "compile it again with this version's headers", path,
                 (unsigned long)module->api_number, TROUPE_VERSION, TROUPE_API_NUMBER);
        return false;
    }
    if (module->size < sizeof(troupe_module)) {
        snprintf(error, error_size, "%s: its entry has %zu bytes, %zu are needed: compile it again "
                 "with this version's headers", path, module->size, sizeof(troupe_module));
        return false;
    }
    if (module->type_count == 0 || module->types == NULL) {
        snprintf(error, error_size, "%s holds no actor types: name them in TROUPE_MODULE(...)",
                 path);
        return false;
    }
    return true;
}

static bool add_types(daemon_modules *modules, const troupe_module *module, const char *path,
                      char *error, size_t error_size)
{
    for (size_t i = 0; i < module->type_count; i++) {
        const troupe_type *type = module->types[i];
        if (type == NULL || type->name == NULL) {
            snprintf(error, error_size, "%s: type %zu of its TROUPE_MODULE is NULL or nameless",
                     path, i + 1);
            return false;
        }
        for (size_t k = 0; k < modules->type_count; k++) {
            if (strcmp(type->name, modules->types[k]->name) != 0) continue;
            snprintf(error, error_size, "%s: another module brings the type \"%s\" already", path,
                     type->name);
            return false;
        }
        if (modules->type_count == MODULE_TYPES_MAX) {
            snprintf(error, error_size, "%s: more than %d actor types", path, MODULE_TYPES_MAX);
            return false;
        }
        modules->types[modules->type_count++] = type;
    }
    return true;
}

bool modules_load(daemon_modules *modules, const char *path, char *error, size_t error_size)
{
    char here[4096];
    /* dlopen looks for a bare name in the system's folders only. */
    if (strchr(path, '/') == NULL && (size_t)snprintf(here, sizeof(here), "./%s", path) <
                                         sizeof(here)) {
        path = here;
    }
    if (modules->count == MODULES_MAX) {
        snprintf(error, error_size, "%s: more than %d modules", path, MODULES_MAX);
        return false;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(error, error_size, "cannot load the module: %s", dlerror());
        return false;
    }
    modules->handles[modules->count++] = handle;
    const troupe_module *module = dlsym(handle, TROUPE_MODULE_SYMBOL);
    if (module == NULL) {
        snprintf(error, error_size, "%s is no module of Troupe: it has no symbol %s; write "
                 "TROUPE_MODULE(&your_type) in it", path, TROUPE_MODULE_SYMBOL);
        return false;
    }
    return check_entry(module, path, error, error_size) &&
           add_types(modules, module, path, error, error_size);
}

void modules_deinit(daemon_modules *modules)
{
    while (modules->count > 0) dlclose(modules->handles[--modules->count]);
    modules->type_count = 0;
}
