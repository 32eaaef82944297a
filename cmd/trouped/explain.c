/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words for requests that came to nothing: which types and methods there are, here and on other
 * members, and which was probably meant. It decides nothing.
 * Invariants and threads: server_inside.h; asked on any of its threads.
 */
#include "trouped/server_inside.h"

#include <stdio.h>
#include <troupe/cluster.h>
#include <troupe/config.h>

#define NAMES_MAX 256 /* looked at for the nearest */
#define NAME_BYTES 129

/* The types of all members, each once; and who hosts the wanted one. */
typedef struct hosted {
    troupe_slice wanted;
    char names[NAMES_MAX][NAME_BYTES];
    size_t count;
    char hosts[256];
    size_t host_count;
    bool is_cluster;
} hosted;

const troupe_type *explain_type(const daemon_server *server, troupe_slice name)
{
    for (size_t i = 0; i < server->options.type_count; i++) {
        const troupe_type *type = server->options.types[i];
        if (troupe_slice_equal(troupe_str(type->name), name)) return type;
    }
    return NULL;
}

static const char *method_name(const troupe_type *type, size_t i)
{
    const char *at = (const char *)type->methods + i * type->method_size;
    return ((const troupe_method *)(const void *)at)->name;
}

/* "…: did you mean …? There are: a, b" */
static void list_names(char *out, size_t size, const char *wanted, const char *const *names,
                       size_t count)
{
    size_t used = strlen(out);
    const char *nearest = troupe_nearest_name(wanted, names, count);
    if (nearest != NULL) {
        used += (size_t)snprintf(out + used, size - used, ": did you mean \"%s\"?", nearest);
    }
    for (size_t i = 0; i < count && used + 160 < size; i++) {
        const char *before = i > 0 ? ", " : nearest != NULL ? " There are: " : "; there are: ";
        used += (size_t)snprintf(out + used, size - used, "%s%.100s%s", before, names[i],
                                 i + 1 < count && used + 300 >= size ? ", ..." : "");
    }
}

static void list_methods(char *out, size_t size, const char *wanted, const troupe_type *type)
{
    const char *names[NAMES_MAX];
    size_t count = type->method_count < NAMES_MAX ? type->method_count : NAMES_MAX;
    for (size_t i = 0; i < count; i++) {
        names[i] = method_name(type, i);
    }
    list_names(out, size, wanted, names, count);
}

/* ---- types of the cluster ---- */

static void add_name(hosted *self, troupe_slice name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (troupe_slice_equal(troupe_str(self->names[i]), name)) return;
    }
    if (self->count < NAMES_MAX) {
        snprintf(self->names[self->count++], NAME_BYTES, "%.*s", TROUPE_ARG(name));
    }
}

static void add_host(hosted *self, troupe_slice name)
{
    size_t used = strlen(self->hosts);
    if (used + name.size + 3 < sizeof(self->hosts)) {
        snprintf(self->hosts + used, sizeof(self->hosts) - used, "%s%.*s", used > 0 ? ", " : "",
                 TROUPE_ARG(name));
    }
    self->host_count++;
}

static void see_member(void *user, const troupe_cluster_member *member)
{
    hosted *self = user;
    self->is_cluster |= member->incarnation != 0;
    for (size_t i = 0; i < member->type_count; i++) {
        add_name(self, member->types[i]);
        if (troupe_slice_equal(member->types[i], self->wanted)) add_host(self, member->name);
    }
}

static void explain_no_type(const daemon_server *server, troupe_slice name, char *out,
                            size_t size)
{
    hosted self = {.wanted = name};
    char wanted[64];
    const char *names[NAMES_MAX];
    for (size_t i = 0; i < server->options.type_count; i++) {
        add_name(&self, troupe_str(server->options.types[i]->name));
    }
    if (troupe_cluster_nodes(server->options.node, see_member, &self) != TROUPE_OK) {
        self.is_cluster = false;
    }
    snprintf(wanted, sizeof(wanted), "%.*s", TROUPE_ARG(name));
    if (self.host_count > 0) {
        snprintf(out, size, "this node has no actor type \"%s\": ask a member that hosts it: %s",
                 wanted, self.hosts);
        return;
    }
    snprintf(out, size, "%s actor type \"%s\"",
             self.is_cluster ? "no member of the cluster hosts an" : "this node has no", wanted);
    for (size_t i = 0; i < self.count; i++) {
        names[i] = self.names[i];
    }
    list_names(out, size, wanted, names, self.count);
}

void explain_status(const daemon_server *server, const admin_request *request,
                    troupe_status status, char *out, size_t size)
{
    const troupe_type *type = explain_type(server, request->actor.type);
    if (status == TROUPE_NO_TYPE && request->actor.type.size > 0) {
        explain_no_type(server, request->actor.type, out, size);
    } else if (status == TROUPE_NO_METHOD && type != NULL && request->method != NULL) {
        snprintf(out, size, "the type \"%.100s\" has no method \"%.60s\"", type->name,
                 request->method);
        list_methods(out, size, request->method, type);
    } else if (status == TROUPE_TOO_LARGE) {
        snprintf(out, size, "a payload of %zu bytes is more than max_message allows",
                 request->payload.size);
    } else if (status == TROUPE_USAGE && request->once.size > 0) {
        snprintf(out, size, "\"once\" is for types that persist every turn");
    } else {
        snprintf(out, size, "%s", troupe_status_text(status));
    }
}
