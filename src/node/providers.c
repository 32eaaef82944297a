/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the scheme of a URL to the provider, of storage (node/storage.h) or of membership
 * (node/membership.h): those in the library, or a module libtroupe_SCHEME.so; and to
 * the gateway (node/gateway.h), which is libtroupe_gateway.so. Modules are
 * looked for in the folders of $TROUPE_PROVIDER_PATH, beside the library (or the program that it is
 * linked into), in the folder `troupe` beside it, and where the system looks.
 *
 * Threads: the opening thread.
 */
#include "node/gateway.h"
#include "node/membership.h"
#include "node/storage.h"
#include "providers/file/file.h"
#include "providers/table.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME_MAX 32
#define PATH_SIZE  4096

static const troupe_provider *const built_in[] = {&tp_memory_provider, &tp_sqlite_provider};

/* Other names of schemes, as client libraries have them. */
static const struct {
    const char *name, *scheme;
} aliases[] = {{"postgresql", "postgres"}, {"rediss", "redis"}};

/* How the providers of both kinds begin. */
typedef struct head {
    size_t size;
    uint32_t api_number;
    const char *scheme;
    void (*open)(void);
} head;

#define BEGINS_ALIKE(type)                                                     \
    _Static_assert(offsetof(type, api_number) == offsetof(head, api_number) && \
                       offsetof(type, scheme) == offsetof(head, scheme) &&     \
                       offsetof(type, open) == offsetof(head, open),           \
        #type " begins as the other kind does")
BEGINS_ALIKE(troupe_provider);
BEGINS_ALIKE(troupe_membership_provider);

typedef struct search {
    const char *what;  /* is looked for: "storage" */
    const char *known; /* schemes in the library */
    char scheme[SCHEME_MAX];
    void *module;
    char last[512]; /* what the loader said of a file that is there */
} search;

static bool read_scheme(const char *url, char *ret_scheme)
{
    size_t size = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    if (size == 0 || size >= SCHEME_MAX || url[size] != ':')
        return false;
    memcpy(ret_scheme, url, size);
    ret_scheme[size] = 0;
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(ret_scheme, aliases[i].name) == 0)
            snprintf(ret_scheme, SCHEME_MAX, "%s", aliases[i].scheme);
    return true;
}

/* `folder` of `size` bytes; empty: where the system looks. */
static bool load(search *self, const char *folder, size_t size)
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%.*s%slibtroupe_%s.so", (int)size, folder,
        size != 0 ? "/" : "", self->scheme);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    self->module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (self->module == NULL) {
        const char *said = dlerror();
        if (said != NULL && strstr(said, "No such file") == NULL &&
            strstr(said, "Not a directory") == NULL)
            snprintf(self->last, sizeof self->last, "; %s", said);
    }
    return self->module != NULL;
}

static bool load_from_path(search *self)
{
    const char *at = secure_getenv("TROUPE_PROVIDER_PATH");
    while (at != NULL && *at != 0) {
        size_t size = strcspn(at, ":");
        if (size != 0 && load(self, at, size))
            return true;
        at += size + (at[size] == ':');
    }
    return false;
}

static bool load_beside(search *self)
{
    Dl_info own;
    if (dladdr(&built_in, &own) == 0 || own.dli_fname == NULL)
        return false;
    const char *slash = strrchr(own.dli_fname, '/');
    if (slash == NULL)
        return false;
    size_t size = (size_t)(slash - own.dli_fname);
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%.*s/troupe", (int)size, own.dli_fname);
    return load(self, own.dli_fname, size) || load(self, folder, strlen(folder));
}

static troupe_status refuse(const search *self, const char *url, char *error, size_t error_size)
{
    if (self->scheme[0] == 0)
        snprintf(error, error_size,
            "%s '%s' is no URL: it begins with a scheme and a colon; this build has %s", self->what,
            url, self->known);
    else
        snprintf(error, error_size,
            "%s '%s' is not known: this build has %s, and there is no provider "
            "libtroupe_%s.so in $TROUPE_PROVIDER_PATH, beside the library or program, in its "
            "folder "
            "troupe, or where the system looks for libraries%s",
            self->what, url, self->known, self->scheme, self->last);
    return TROUPE_USAGE;
}

/* NULL: it is a provider of the scheme, `size` large. */
static const char *fault_of(const search *self, const void *entry, size_t size)
{
    head got;
    if (entry == NULL)
        return "has no entry for it: it is no such provider";
    memcpy(&got.size, entry, sizeof got.size);
    if (got.size >= size)
        memcpy(&got, entry, sizeof got);
    if (got.size < size || got.api_number != TROUPE_API_NUMBER || got.open == NULL)
        return "was built for another version of Troupe: build it anew";
    if (got.scheme == NULL || strcmp(got.scheme, self->scheme) != 0)
        return "is a provider of another scheme";
    return NULL;
}

/* Loads the module of the scheme; `*ret_entry` is its provider, of at least `size` bytes. */
static troupe_status load_entry(search *self, const char *url, const char *symbol, size_t size,
    const void **ret_entry, char *error, size_t error_size)
{
    if (!load_from_path(self) && !load_beside(self) && !load(self, "", 0))
        return refuse(self, url, error, error_size);
    const void *entry = dlsym(self->module, symbol);
    const char *fault = fault_of(self, entry, size);
    if (fault != NULL) {
        snprintf(error, error_size, "%s: libtroupe_%s.so %s", self->what, self->scheme, fault);
        tp_provider_release(self->module);
        return TROUPE_USAGE;
    }
    *ret_entry = entry;
    return TROUPE_OK;
}

troupe_status tp_provider_find(const char *url, const troupe_provider **ret_provider,
    void **ret_module, char *error, size_t error_size)
{
    search self = {.what = "storage", .known = "memory:, sqlite:"};
    const void *entry = NULL;
    if (!read_scheme(url, self.scheme)) {
        self.scheme[0] = 0;
        return refuse(&self, url, error, error_size);
    }
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++) {
        if (strcmp(self.scheme, built_in[i]->scheme) == 0) {
            *ret_provider = built_in[i];
            return TROUPE_OK;
        }
    }
    TROUPE_TRY(load_entry(
        &self, url, TROUPE_PROVIDER_SYMBOL, sizeof **ret_provider, &entry, error, error_size));
    *ret_provider = entry;
    *ret_module = self.module;
    return TROUPE_OK;
}

troupe_status tp_membership_find(const char *url, const troupe_membership_provider **ret_provider,
    void **ret_module, char *error, size_t error_size)
{
    search self = {.what = "membership", .known = "file:"};
    const void *entry = NULL;
    if (!read_scheme(url, self.scheme)) {
        self.scheme[0] = 0;
        return refuse(&self, url, error, error_size);
    }
    if (strcmp(self.scheme, tp_member_file_provider.scheme) == 0) {
        *ret_provider = &tp_member_file_provider;
        return TROUPE_OK;
    }
    TROUPE_TRY(load_entry(
        &self, url, TROUPE_MEMBERSHIP_SYMBOL, sizeof **ret_provider, &entry, error, error_size));
    *ret_provider = entry;
    *ret_module = self.module;
    return TROUPE_OK;
}

troupe_status tp_gateway_find(
    const tp_gateway_entry **ret_entry, void **ret_module, char *error, size_t error_size)
{
    search self = {.scheme = "gateway"};
    const char *fault = NULL;
    if (!load_from_path(&self) && !load_beside(&self) && !load(&self, "", 0)) {
        snprintf(error, error_size,
            "http: there is no libtroupe_gateway.so in $TROUPE_PROVIDER_PATH, beside the library "
            "or program, in its folder troupe, or where the system looks for libraries%s; it is "
            "built where libmicrohttpd-dev is installed",
            self.last);
        return TROUPE_USAGE;
    }
    const tp_gateway_entry *const *at = dlsym(self.module, TP_GATEWAY_SYMBOL);
    const tp_gateway_entry *entry = at != NULL ? *at : NULL;
    if (entry == NULL)
        fault = "has no entry for it: it is no gateway";
    else if (entry->size < sizeof *entry || entry->number != TP_GATEWAY_NUMBER)
        fault = "was built for another version of Troupe: build it anew";
    if (fault != NULL) {
        snprintf(error, error_size, "http: libtroupe_gateway.so %s", fault);
        tp_provider_release(self.module);
        return TROUPE_USAGE;
    }
    *ret_entry = entry;
    *ret_module = self.module;
    return TROUPE_OK;
}

void tp_provider_release(void *module)
{
    if (module != NULL)
        (void)dlclose(module);
}
