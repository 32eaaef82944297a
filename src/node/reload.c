/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a node that runs: takes what can change (options.def says which), tells of the rest
 * that it needs a restart. Not a way to read a configuration file, which the daemon does.
 *
 * Invariants
 * 1. Nothing changes before all of the options, and the files they name, were found good.
 * 2. What is compared is what the options mean: references resolved, defaults filled in.
 * 3. What a shard did not hear of is owed to all of them until a reload has reached each.
 *
 * Threads: any, one at a time. Options and settings of types are single words that every thread
 * reads (TP_LIVE_GET); what a shard derives from them it derives anew on its own thread.
 */
#include "node/certificates.h"
#include "node/gateway.h"
#include "node/node.h"
#include "node/references.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <troupe/cluster.h>
#include <xxhash.h>

#define VALUE_MOST 512

typedef struct reload {
    troupe_node *node;
    troupe_node_options options; /* as they are to be */
    troupe_reload_visit *visit;
    void *user;
} reload;

/* A field of troupe_type that is, where it is 0, the node's option of that name. */
static const struct {
    const char *option;
    size_t offset;
    bool is_live;
} settings[] = {
    {"idle", offsetof(troupe_type, idle), true},
    {"mailbox_limit", offsetof(troupe_type, mailbox_limit), true},
    {"turn_batch", offsetof(troupe_type, batch), true},
    {"arena_limit", offsetof(troupe_type, arena_limit), true},
    {"stack_size", offsetof(troupe_type, stack_size), false}, /* 0 stays 0: it means another way */
};
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes are read as numbers of the kind BYTES");

static uint64_t hash_of(const char *text)
{
    return text != NULL ? XXH3_64bits(text, strlen(text)) : 0;
}

void tp_node_note_texts(troupe_node *node)
{
    const tp_option *option;
    for (size_t i = 0; (option = tp_option_at(i)) != NULL; i++)
        if (tp_option_is_text(option))
            node->texts[i] = hash_of(tp_option_text(&node->shared.options, option));
}

static void tell(const reload *self, const char *name, const char *value, bool is_taken)
{
    const troupe_reload_change change = {name, value, is_taken};
    if (self->visit != NULL)
        self->visit(self->user, &change);
}

/* ---- options of the node --------------------------------------------------------------------- */

static void take_text(reload *self, size_t index, const tp_option *option)
{
    troupe_node *node = self->node;
    const char *text = tp_option_text(&self->options, option);
    bool is_live = option->info.reload == TROUPE_RELOAD_LIVE;
    char value[VALUE_MOST];
    if (node->texts[index] == hash_of(text))
        return;
    (void)tp_option_show(option, text, value, sizeof value);
    if (is_live) { /* the log: it was found good */
        node->texts[index] = hash_of(text);
        (void)!tp_log_set(&node->log, text);
    }
    tell(self, option->info.name, value, is_live);
}

static void take_number(reload *self, const tp_option *option)
{
    troupe_node_options *now = &self->node->shared.options;
    uint64_t wanted = tp_option_number(&self->options, option);
    bool is_live = option->info.reload == TROUPE_RELOAD_LIVE;
    char value[VALUE_MOST];
    if (wanted == tp_option_number(now, option))
        return;
    if (is_live)
        tp_option_set_number(now, option, wanted);
    self->node->owes_limits |= is_live;
    (void)tp_value_print(option->type, wanted, value, sizeof value);
    tell(self, option->info.name, value, is_live);
}

static void take_options(reload *self)
{
    const tp_option *option;
    for (size_t i = 0; (option = tp_option_at(i)) != NULL; i++) {
        if (tp_option_is_text(option))
            take_text(self, i, option);
        else
            take_number(self, option);
    }
}

/* ---- settings of types ----------------------------------------------------------------------- */

/* `before`: what the node's option was. */
static void take_setting(reload *self, tp_type *type, const troupe_type *given, size_t index,
    uint64_t before, const tp_option *option)
{
    const char *from = (const char *)given + settings[index].offset;
    char *field = (char *)&type->is + settings[index].offset;
    char name[2 * TP_NAME_MAX + 16];
    char value[VALUE_MOST];
    bool is_live = settings[index].is_live;
    uint64_t own = tp_value_read(from, option->type);
    uint64_t now = tp_value_read(field, option->type);
    uint64_t wanted =
        own != 0 || !is_live ? own : tp_option_number(&self->node->shared.options, option);
    if (wanted == now)
        return;
    if (is_live)
        tp_value_write(field, option->type, wanted);
    self->node->owes_idle |= is_live && strcmp(option->info.name, "idle") == 0;
    if (own == 0 && now == before)
        return; /* it follows the node's, of which was told */
    (void)snprintf(name, sizeof name, "types.%.*s.%s", TROUPE_ARG(type->name), option->info.name);
    (void)tp_value_print(option->type, wanted, value, sizeof value);
    tell(self, name, value, is_live);
}

static const troupe_type *find_type(
    const troupe_type *const *types, size_t count, const tp_type *like)
{
    for (size_t i = 0; i < count; i++)
        if (types[i] != NULL && types[i]->size == sizeof **types && types[i]->name != NULL &&
            troupe_slice_equal(troupe_str(types[i]->name), like->name))
            return types[i];
    return NULL;
}

/* What a type without settings of its own had, so that it goes on following the node. */
static troupe_type following(
    const tp_type *type, const uint64_t before[static sizeof settings / sizeof settings[0]])
{
    troupe_type given = type->is;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        tp_option_type kind = tp_option_find(settings[i].option)->type;
        char *field = (char *)&given + settings[i].offset;
        if (settings[i].is_live && tp_value_read(field, kind) == before[i])
            tp_value_write(field, kind, 0);
    }
    return given;
}

static void take_types(reload *self, const troupe_type *const *types, size_t count,
    const uint64_t before[static sizeof settings / sizeof settings[0]])
{
    tp_types *own = &self->node->shared.types;
    for (uint32_t i = 0; i < own->count; i++) {
        tp_type *type = &own->list[i];
        troupe_type follower = following(type, before);
        const troupe_type *given = types != NULL ? find_type(types, count, type) : &follower;
        for (size_t k = 0; given != NULL && k < sizeof settings / sizeof settings[0]; k++)
            take_setting(self, type, given, k, before[k], tp_option_find(settings[k].option));
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void take_on_shard(tp_shard *shard, void *user)
{
    const reload *self = user;
    tp_shard_take_limits(shard);
    tp_renew(shard, self->node->owes_idle);
}

/* Before anything else changes: the files may be wrong. */
static troupe_status take_certificates(reload *self, char *error, size_t error_size)
{
    static const char *const names[TP_TLS_FILES] = {
        "tls_certificate", "tls_key", "tls_authority"};
    const troupe_node *node = self->node;
    bool is_cluster = node->cluster != NULL && node->tls_paths[0] != NULL &&
                      self->options.tls_certificate[0] != 0;
    if (!is_cluster && !tp_node_gateway_is_tls(node))
        return TROUPE_OK;
    TROUPE_TRY(troupe_node_reload_tls(self->node, error, error_size));
    if (!is_cluster)
        return TROUPE_OK;
    for (int i = 0; i < TP_TLS_FILES; i++) {
        const char *const paths[TP_TLS_FILES] = {self->options.tls_certificate,
            self->options.tls_key, self->options.tls_authority};
        if (strcmp(paths[i], node->tls_paths[i]) == 0)
            tell(self, names[i], paths[i], true);
    }
    return TROUPE_OK;
}

static troupe_status take_all(reload *self, const troupe_type *const *types, size_t type_count,
    char *error, size_t error_size)
{
    troupe_node *node = self->node;
    uint64_t before[sizeof settings / sizeof settings[0]];
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        before[i] =
            tp_option_number(&node->shared.options, tp_option_find(settings[i].option));
    TROUPE_TRY(take_certificates(self, error, error_size));
    take_options(self);
    take_types(self, types, type_count, before);
    if (!node->owes_limits && !node->owes_idle)
        return TROUPE_OK;
    troupe_status status = tp_node_visit(node, 0, node->shared.shard_count, take_on_shard, self);
    if (status != TROUPE_OK) {
        (void)snprintf(error, error_size,
            "the options are taken, but a shard did not hear of it: %s: reload again",
            troupe_status_text(status));
        return TROUPE_UNAVAILABLE; /* whatever the reason: of others it says that nothing changed */
    }
    node->owes_limits = node->owes_idle = false;
    return TROUPE_OK;
}

/* What the machine gave it at its start it goes on having, while the options leave it open. */
static void keep_found(const troupe_node *node, troupe_node_options *options)
{
    if (options->shards == 0)
        options->shards = node->shared.options.shards;
    if (options->memory_limit == 0)
        options->memory_limit = node->env->memory / 2;
}

troupe_status troupe_node_reload(troupe_node *node, const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count, troupe_reload_visit *visit, void *user,
    char *error, size_t error_size)
{
    char local[512];
    if (error == NULL || error_size == 0) {
        error = local;
        error_size = sizeof local;
    }
    error[0] = 0;
    if (node->env->is_runner(node->env)) {
        (void)snprintf(error, error_size, "it waits for shards: not in a turn or a callback");
        return TROUPE_USAGE;
    }
    if (atomic_flag_test_and_set_explicit(&node->reloads, memory_order_acquire)) {
        (void)snprintf(error, error_size, "another reload is under way");
        return TROUPE_BUSY;
    }
    reload self = {.node = node, .visit = visit, .user = user};
    tp_kept_text *kept = NULL;
    troupe_status status =
        tp_options_prepare(options, &self.options, &kept, error, error_size);
    if (status == TROUPE_OK) {
        const troupe_allocator *allocator =
            self.options.allocator != NULL ? self.options.allocator : tp_allocator_system();
        keep_found(node, &self.options);
        status = take_all(&self, types, type_count, error, error_size);
        tp_options_hide(&self.options, error, error_size);
        tp_references_release(allocator, kept);
    }
    atomic_flag_clear_explicit(&node->reloads, memory_order_release);
    return status;
}
