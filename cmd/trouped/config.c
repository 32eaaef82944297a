/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration in force: see config.h, also for invariants and threads. */
#include "trouped/config.h"

#include "trouped/notify.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct daemon_config {
    const daemon_options *first;
    const daemon_modules *modules;
    troupe_node *node;
    daemon_remote *remote; /* NULL: none */
    daemon_voice *voice;
    _Atomic uint64_t ask_timeout; /* ns; the loop wants it for each ask */
    uv_mutex_t mutex;    /* guards the following, which only the worker changes */
    daemon_options *now; /* as read last, if that was good; NULL: the first */
    char *waiting[OPTIONS_MAX]; /* options that need a restart */
    size_t waiting_count;
};

/* That option alone, as it is in force. */
static troupe_node_options option_of(const daemon_config *config, const char *name)
{
    char value[64] = "";
    char error[256];
    troupe_node_options known = {TROUPE_NODE_OPTIONS};
    troupe_node_option(config->node, name, value, sizeof(value));
    troupe_status status = troupe_options_set(&known, name, value, error, sizeof(error));
    (void)status; /* it was in force, so it can be read */
    return known;
}

static void look_at_ask_timeout(daemon_config *config)
{
    atomic_store_explicit(&config->ask_timeout, option_of(config, "ask_timeout").ask_timeout,
                          memory_order_relaxed); /* nothing else hangs on it */
}

daemon_config *daemon_config_create(const daemon_options *first, const daemon_modules *modules,
                                    troupe_node *node, daemon_remote *remote,
                                    daemon_voice *voice)
{
    daemon_config *config = calloc(1, sizeof(*config));
    if (config == NULL) return NULL;
    config->first = first;
    config->modules = modules;
    config->node = node;
    config->remote = remote;
    config->voice = voice;
    look_at_ask_timeout(config);
    if (uv_mutex_init(&config->mutex) == 0) return config;
    free(config);
    return NULL;
}

static void options_destroy(daemon_options *options)
{
    if (options == NULL) return;
    daemon_options_deinit(options);
    free(options);
}

static void forget_waiting(daemon_config *config)
{
    while (config->waiting_count > 0) free(config->waiting[--config->waiting_count]);
}

void daemon_config_destroy(daemon_config *config)
{
    if (config == NULL) return;
    forget_waiting(config);
    options_destroy(config->now);
    uv_mutex_destroy(&config->mutex);
    free(config);
}

uint64_t daemon_config_drain_timeout(const daemon_config *config)
{
    return option_of(config, "drain_timeout").drain_timeout;
}

uint64_t daemon_config_ask_timeout(const daemon_config *config)
{
    return atomic_load_explicit(&config->ask_timeout, memory_order_relaxed);
}

/* ---- what is in force ---- */

typedef struct config_writer {
    const daemon_config *config;
    cmd_bytes *out;
    bool is_first;
} config_writer;

static void write_member(cmd_bytes *out, const char *name, const char *value)
{
    cmd_bytes_printf(out, ",\"%s\":", name);
    cmd_bytes_json(out, troupe_str(value));
}

static bool is_waiting(const daemon_config *config, const char *name)
{
    for (size_t i = 0; i < config->waiting_count; i++) {
        if (strcmp(config->waiting[i], name) == 0) return true;
    }
    return false;
}

static void write_option(void *user, const troupe_option_info *info)
{
    config_writer *writer = user;
    const daemon_config *config = writer->config;
    const daemon_options *now = config->now != NULL ? config->now : config->first;
    const daemon_options *options = info->reload == TROUPE_RELOAD_LIVE ? now : config->first;
    char value[512];
    const char *from = daemon_options_origin(options, info->name);
    troupe_options_get(&options->node, info->name, value, sizeof(value));
    if (strcmp(value, "0") == 0) { /* it may mean: what the machine has */
        troupe_node_option(config->node, info->name, value, sizeof(value));
        if (strcmp(value, "0") != 0) from = "machine";
    }
    cmd_bytes_text(writer->out, writer->is_first ? "{\"name\":" : ",{\"name\":");
    cmd_bytes_json(writer->out, troupe_str(info->name));
    write_member(writer->out, "value", value);
    write_member(writer->out, "from", from);
    write_member(writer->out, "default", info->standard);
    write_member(writer->out, "reload", troupe_reload_name(info->reload));
    if (is_waiting(config, info->name)) {
        troupe_options_get(&now->node, info->name, value, sizeof(value));
        write_member(writer->out, "wanted", value);
    }
    cmd_bytes_text(writer->out, "}");
    writer->is_first = false;
}

static bool is_live(const char *setting)
{
    return strncmp(setting, "placement.", 10) != 0 && strcmp(setting, "stack_size") != 0;
}

/* Of types, where something else than the modules' code says them. */
static void write_settings(const daemon_config *config, cmd_bytes *out)
{
    const daemon_options *now = config->now != NULL ? config->now : config->first;
    const type_overrides *lists[2] = {&config->first->overrides, &now->overrides};
    bool is_first = true;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < lists[k]->count; i++) {
            const type_override *at = &lists[k]->list[i];
            if (is_live(at->name) != (k == 1) ||
                overrides_find(lists[k], at->type, at->name) != at) {
                continue;
            }
            cmd_bytes name = {0};
            cmd_bytes_printf(&name, "types.%s.%s", at->type, at->name);
            cmd_bytes_text(out, is_first ? "{\"name\":" : ",{\"name\":");
            cmd_bytes_json(out, troupe_slice_of(name.data, name.size));
            cmd_bytes_deinit(&name);
            write_member(out, "value", at->value);
            write_member(out, "from", at->from);
            cmd_bytes_text(out, "}");
            is_first = false;
        }
    }
}

void daemon_config_write(daemon_config *config, cmd_bytes *out)
{
    config_writer writer = {config, out, true};
    write_member(out, "socket", config->first->socket);
    if (config->first->config != NULL) write_member(out, "file", config->first->config);
    cmd_bytes_text(out, ",\"options\":[");
    uv_mutex_lock(&config->mutex);
    troupe_options_each(write_option, &writer);
    cmd_bytes_text(out, "],\"settings\":[");
    write_settings(config, out);
    uv_mutex_unlock(&config->mutex);
    cmd_bytes_text(out, "]");
}

/* ---- reading it anew ---- */

typedef struct reader {
    daemon_config *config;
    cmd_bytes changes;
    char *waiting[OPTIONS_MAX];
    size_t waiting_count;
    size_t taken;
    size_t left;
} reader;

static void on_change(void *user, const troupe_reload_change *change)
{
    reader *self = user;
    char text[800];
    cmd_bytes_text(&self->changes, self->changes.size > 0 ? ",{\"name\":" : "{\"name\":");
    cmd_bytes_json(&self->changes, troupe_str(change->name));
    write_member(&self->changes, "value", change->value);
    cmd_bytes_printf(&self->changes, ",\"taken\":%s}", change->is_taken ? "true" : "false");
    if (change->is_taken) {
        self->taken++;
        snprintf(text, sizeof(text), "%s: %s from now on", change->name, change->value);
    } else {
        self->left++;
        snprintf(text, sizeof(text), "%s: %s needs a restart", change->name, change->value);
        char *name = self->waiting_count < OPTIONS_MAX ? strdup(change->name) : NULL;
        if (name != NULL) self->waiting[self->waiting_count++] = name;
    }
    voice_report(self->config->voice, change->is_taken ? TROUPE_LOG_INFO : TROUPE_LOG_WARN,
                 "reload", text);
}

/* Where actors of types are placed is known to all of the cluster since the node joined. */
static void look_at_placement(reader *self, const type_overrides *now, const type_overrides *first,
                              bool is_back)
{
    for (size_t i = 0; i < now->count; i++) {
        const type_override *at = &now->list[i];
        char name[400];
        bool is_placement = strncmp(at->name, "placement.", 10) == 0;
        if (!is_placement || overrides_find(now, at->type, at->name) != at) continue;
        const type_override *other = overrides_find(first, at->type, at->name);
        if (other != NULL && (is_back || strcmp(other->value, at->value) == 0)) continue;
        snprintf(name, sizeof(name), "types.%s.%s", at->type, at->name);
        on_change(self, &(troupe_reload_change){name, is_back ? "as the module says" : at->value,
                                                false});
    }
}

static void look_at_text(reader *self, const char *name, const char *now, const char *first)
{
    if (now == NULL) now = "";
    if (first != NULL ? strcmp(now, first) == 0 : now[0] == 0) return;
    on_change(self, &(troupe_reload_change){name, now, false});
}

/* What the daemon itself was told, and cannot change. */
static void look_at_own(reader *self, const daemon_options *now)
{
    const daemon_options *first = self->config->first;
    look_at_placement(self, &now->overrides, &first->overrides, false);
    look_at_placement(self, &first->overrides, &now->overrides, true);
    bool is_same = now->load_count == first->load_count;
    for (size_t i = 0; is_same && i < now->load_count; i++) {
        is_same = strcmp(now->loads[i], first->loads[i]) == 0;
    }
    if (!is_same) on_change(self, &(troupe_reload_change){"modules", "another list", false});
    look_at_text(self, "socket", now->socket, first->socket);
    look_at_text(self, "remote", now->remote, first->remote);
    look_at_text(self, "remote_token", now->remote_token, first->remote_token);
}

static troupe_status take(reader *self, daemon_options *now, char *error, size_t error_size)
{
    daemon_config *config = self->config;
    const daemon_options *first = config->first;
    if (!daemon_options_read(now, first->argc, first->argv, error, error_size) ||
        !daemon_options_apply(now, config->modules, error, error_size)) {
        return TROUPE_USAGE;
    }
    remote_secrets *secrets = NULL;
    if (!remote_read(config->remote, &secrets, error, error_size)) return TROUPE_USAGE;
    voice_set(config->voice, now->node.log);
    troupe_status status = troupe_node_reload(config->node, &now->node, now->type_list,
                                              config->modules->type_count, on_change, self, error,
                                              error_size);
    /* Where a shard did not hear of it, it is in force all the same. */
    if (status == TROUPE_OK || status == TROUPE_UNAVAILABLE) {
        look_at_ask_timeout(config);
        remote_take(config->remote, secrets);
        look_at_own(self, now);
        return status;
    }
    remote_secrets_release(secrets);
    daemon_options_place(now, error, error_size);
    voice_set(config->voice, (config->now != NULL ? config->now : first)->node.log);
    return status;
}

static void put_in_force(reader *self, daemon_options *now)
{
    daemon_config *config = self->config;
    uv_mutex_lock(&config->mutex);
    options_destroy(config->now);
    config->now = now;
    forget_waiting(config);
    memcpy(config->waiting, self->waiting, sizeof(self->waiting));
    config->waiting_count = self->waiting_count;
    uv_mutex_unlock(&config->mutex);
}

static void say_end(reader *self, troupe_status status, bool is_taken, const char *error)
{
    char text[1400];
    if (status == TROUPE_OK) {
        snprintf(text, sizeof(text), "the configuration was read again: %zu taken, %zu need a "
                 "restart", self->taken, self->left);
    } else {
        snprintf(text, sizeof(text), "%s%s", is_taken ? "" : "nothing has changed: ", error);
    }
    voice_report(self->config->voice, status == TROUPE_OK ? TROUPE_LOG_INFO : TROUPE_LOG_WARN,
                 "reload", text);
}

troupe_status daemon_config_reload(daemon_config *config, cmd_bytes *out, char *error,
                                   size_t error_size)
{
    reader self = {.config = config};
    daemon_options *now = calloc(1, sizeof(*now));
    if (now == NULL) {
        snprintf(error, error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    notify_reloading();
    troupe_status status = take(&self, now, error, error_size);
    bool is_taken = status == TROUPE_OK || status == TROUPE_UNAVAILABLE;
    if (is_taken) {
        put_in_force(&self, now);
    } else {
        options_destroy(now);
    }
    say_end(&self, status, is_taken, error);
    notify_manager("READY=1");
    cmd_bytes_text(out, ",\"changes\":[");
    cmd_bytes_add(out, self.changes.data, self.changes.size);
    cmd_bytes_text(out, "]");
    out->failed |= self.changes.failed;
    cmd_bytes_deinit(&self.changes);
    return status;
}
