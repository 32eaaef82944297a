/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules: shared objects with actor types, loaded by `trouped --load`. A module says
 * TROUPE_MODULE(&type, ...) once; the daemon finds the symbol `troupe_module_entry`, checks its
 * size and API number, and registers the types. A module links libtroupe dynamically, as the daemon
 * does: a static copy would bring a second runtime.
 */
#ifndef TROUPE_MODULE_H
#define TROUPE_MODULE_H

#include "troupe.h"

typedef struct troupe_module {
    size_t size;
    uint32_t api_number; /* TROUPE_API_NUMBER it was compiled with */
    const char *version; /* TROUPE_VERSION it was compiled with */
    const troupe_type *const *types;
    size_t type_count;
} troupe_module;

#define TROUPE_MODULE_SYMBOL "troupe_module_entry"

#define TROUPE_MODULE(...)                                                               \
    static const troupe_type *const troupe_module_types_[] = {__VA_ARGS__};              \
    TROUPE_API extern const troupe_module troupe_module_entry;                           \
    const troupe_module troupe_module_entry = {sizeof(troupe_module), TROUPE_API_NUMBER, \
        TROUPE_VERSION, troupe_module_types_,                                            \
        sizeof(troupe_module_types_) / sizeof(troupe_module_types_[0])};

#endif
