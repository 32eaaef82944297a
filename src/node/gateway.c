/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens and closes the gateway of a node, and answers what it asks of it. See gateway.h.
 *
 * Threads: fields are set by open.
 */
#include "node/gateway.h"

#include "base/alloc.h"
#include "node/certificates.h"
#include "node/options.h"
#include "os/file.h"
#include "shard/appoint.h"
#include "shard/foreign.h"
#include "shard/words.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(TP_GATEWAY_WORDS >= TP_REFUSAL_MAX, "words of a refusal fit");

typedef struct tp_node_gateway {
    const tp_gateway_entry *entry;
    void *module;
    _Atomic(tp_gateway *) gateway; /* NULL: it is not open yet, or no more */
    troupe_client *client;
    tp_socket socket;
    char *tls_paths[TP_TLS_FILES]; /* NULL: clear text */
    char address[TP_ADDRESS_MAX];
} tp_node_gateway;

static const char *const tls_options[TP_TLS_FILES] = {
    "http_tls_certificate", "http_tls_key", "http_tls_authority"};

/* ---- what the gateway asks ------------------------------------------------------------------- */

static troupe_slice explain(troupe_node *node, troupe_id id, const char *method, bool once,
    troupe_status status, char room[TP_GATEWAY_WORDS])
{
    const tp_type *type = tp_type_known(&node->shared, id.type);
    if (status == TROUPE_USAGE && once && type != NULL && !tp_type_takes_once(type))
        return troupe_str("Idempotency-Key is for types that persist every turn");
    return tp_refusal_words(room, &node->shared, id, troupe_str(method), status, NULL);
}

static bool parse_duration(const char *text, uint64_t *ret_duration)
{
    return tp_value_parse(TP_OPTION_DURATION, text, ret_duration);
}

static troupe_slice type_name(troupe_node *node, size_t index)
{
    return node->shared.types.list[index].name;
}

static troupe_status start_errand(troupe_node *node, troupe_id id, tp_errand errand,
    troupe_slice payload, uint64_t timeout, troupe_client_done *done, void *user,
    char words[TP_GATEWAY_WORDS])
{
    char room[TP_GATEWAY_WORDS];
    troupe_status status = tp_node_errand_callback(node, id, errand, payload, timeout, done, user);
    if (status != TROUPE_OK)
        (void)snprintf(words, TP_GATEWAY_WORDS, "%.*s",
            TROUPE_ARG(explain(node, id, "(errand)", false, status, room)));
    return status;
}

static troupe_status appoint(troupe_node *node, troupe_id id, const tp_gateway_alarm *alarm,
    uint64_t timeout, troupe_client_done *done, void *user, char words[TP_GATEWAY_WORDS])
{
    const tp_appointment appointment = {.name = troupe_str(alarm->name),
        .method = troupe_str(alarm->method),
        .other = troupe_str(alarm->other),
        .schedule = alarm->schedule,
        .content_type = troupe_str(alarm->payload.size != 0 ? TROUPE_JSON : ""),
        .payload = alarm->payload,
        .set = alarm->set,
        .left = alarm->left,
        .period = alarm->period,
        .last = alarm->last,
        .keeps = alarm->keeps};
    size_t size = tp_appointment_size(&appointment);
    char *bytes = tp_allocate(node->shared.allocator, size);
    if (bytes == NULL)
        return TROUPE_NO_MEMORY;
    tp_appointment_put(&appointment, bytes);
    troupe_status status =
        start_errand(node, id, alarm->is_timer ? TP_ERRAND_TIMER : TP_ERRAND_REMIND,
            (troupe_slice){bytes, size}, timeout, done, user, words);
    tp_release(node->shared.allocator, bytes, size);
    return status;
}

static troupe_status cancel(troupe_node *node, troupe_id id, bool is_timer, const char *name,
    uint64_t timeout, troupe_client_done *done, void *user, char words[TP_GATEWAY_WORDS])
{
    if (!is_timer)
        TROUPE_TRY(tp_stored_check(node, id, words, TP_GATEWAY_WORDS));
    return start_errand(node, id, is_timer ? TP_ERRAND_TIMER_END : TP_ERRAND_CANCEL,
        troupe_str(name), timeout, done, user, words);
}

static uint64_t hash_of(troupe_node *node, troupe_id id)
{
    return tp_types_hash(&node->shared.types, id);
}

static bool is_ready(troupe_node *node)
{
    return atomic_load_explicit(&node->shared.closing, memory_order_relaxed) == TP_OPEN &&
           !atomic_load_explicit(&node->died, memory_order_relaxed);
}

static void log_words(
    troupe_node *node, troupe_log_level level, const char *event, const char *text)
{
    const troupe_log_field field = {.name = "about", .text = troupe_str(event)};
    const tp_log_fields fields = {&field, 1};
    if (level == TROUPE_LOG_ERROR)
        TP_LOG(&node->log, TROUPE_LOG_ERROR, "gateway", fields, "%s", text);
    else
        TP_LOG(&node->log, TROUPE_LOG_DEBUG, "gateway", fields, "%s", text);
}

/* ---- open and close -------------------------------------------------------------------------- */

/* http_connections, or as many as the system lets this process have. */
static uint32_t most_connections(troupe_node *node)
{
    uint32_t wanted = node->shared.options.http_connections;
    uint64_t room = tp_net_room();
    if (room >= wanted)
        return wanted;
    TP_LOG(&node->log, TROUPE_LOG_WARN, "http_connections", TP_NO_FIELDS,
        "the limit of open files leaves room for %" PRIu64
        " connections over HTTP, not for %" PRIu32 ": raise it (ulimit -n), or lower "
        "http_connections",
        room, wanted);
    return room > 1 ? (uint32_t)room : 1;
}

static tp_gateway_host host_of(troupe_node *node, tp_socket socket, const tp_gateway_files *tls)
{
    const troupe_node_options *options = &node->shared.options;
    return (tp_gateway_host){
        .env = node->env,
        .allocator = node->shared.allocator,
        .client = node->gateway->client,
        .ask = troupe_client_ask_callback,
        .cancel_create = troupe_cancel_create,
        .cancel_fire = troupe_cancel_fire,
        .cancel_destroy = troupe_cancel_destroy,
        .ended = tp_net_ended,
        .explain = explain,
        .stores = tp_stored_check,
        .load = tp_stored_load,
        .show = tp_stored_show,
        .duration = parse_duration,
        .show_reminders = tp_stored_show_reminders,
        .appoint = appoint,
        .cancel = cancel,
        .outcome = tp_stored_outcome,
        .discover = troupe_cluster_discover,
        .lookup = troupe_cluster_lookup,
        .stats = troupe_node_stats,
        .subscribe = troupe_node_subscribe,
        .watch = tp_node_watch_commits,
        .hash = hash_of,
        .unsubscribe = troupe_node_unsubscribe,
        .metrics = troupe_node_metrics,
        .is_ready = is_ready,
        .log = log_words,
        .node = node,
        .name = node->name,
        .type_count = node->shared.types.count,
        .type = type_name,
        .socket = socket,
        .token = options->http_token,
        .tls = tls,
        .beyond = !tp_address_is_loopback(options->http),
        .threads = options->http_threads,
        .connections = most_connections(node),
        .calls = options->http_calls,
        .pool = options->blocking_threads,
        .bytes = options->http_bytes,
        .body = options->max_message,
        .rate_caller = options->http_rate_caller,
        .rate_type = options->http_rate_type,
        .rate_partition = options->http_rate_partition,
        .type_calls = options->http_type_calls,
        .spin = options->spin,
        .timeout = options->http_timeout,
    };
}

static troupe_status begin(
    troupe_node *node, const tp_gateway_files *files, char *error, size_t error_size)
{
    tp_node_gateway *self = node->gateway;
    const tp_gateway_host host = host_of(node, self->socket, files);
    tp_gateway *gateway = NULL;
    troupe_status status = self->entry->open(&host, &gateway, error, error_size);
    atomic_store(&self->gateway, gateway);
    return status;
}

static troupe_status renew(
    troupe_node *node, const tp_gateway_files *files, char *error, size_t error_size)
{
    tp_gateway *gateway = atomic_load(&node->gateway->gateway);
    return gateway != NULL ? node->gateway->entry->retls(gateway, files, error, error_size)
                           : TROUPE_CLOSED;
}

/* Does it with what is in its files; NULL: it has none. */
static troupe_status with_files(troupe_node *node,
    troupe_status (*run)(
        troupe_node *node, const tp_gateway_files *files, char *error, size_t error_size),
    char *error, size_t error_size)
{
    tp_node_gateway *self = node->gateway;
    const troupe_allocator *allocator = node->shared.allocator;
    troupe_slice bytes[TP_TLS_FILES];
    char words[256] = "";
    if (self->tls_paths[0] == NULL)
        return run(node, NULL, error, error_size);
    troupe_status status =
        tp_paths_read(allocator, tls_options, self->tls_paths, bytes, error, error_size);
    if (status == TROUPE_OK) {
        const tp_gateway_files files = {bytes[0], bytes[1], bytes[2]};
        status = run(node, &files, words, sizeof words);
        if (words[0] != 0)
            tp_paths_name(tls_options, self->tls_paths, words, error, error_size);
    }
    for (int i = 0; i < TP_TLS_FILES; i++)
        tp_file_release(allocator, bytes[i]);
    return status == TROUPE_CORRUPT ? TROUPE_USAGE : status;
}

static troupe_status open_server(troupe_node *node, char *error, size_t error_size)
{
    tp_node_gateway *self = node->gateway;
    const troupe_node_options *options = &node->shared.options;
    const char *const paths[TP_TLS_FILES] = {
        options->http_tls_certificate, options->http_tls_key, options->http_tls_authority};
    char words[256] = "";
    tp_socket socket;
    TROUPE_TRY(tp_paths_keep(node->shared.allocator, paths, self->tls_paths));
    TROUPE_TRY(tp_gateway_find(&self->entry, &self->module, error, error_size));
    TROUPE_TRY(troupe_client_open(node, &self->client));
    troupe_status status = tp_net_bind(node->shared.options.http, &socket, words, sizeof words);
    if (status != TROUPE_OK) {
        (void)snprintf(error, error_size, "http: %s", words);
        return status;
    }
    tp_net_bound(socket, self->address, sizeof self->address);
    self->socket = socket;
    return with_files(node, begin, error, error_size);
}

bool tp_node_gateway_is_tls(const troupe_node *node)
{
    return node->gateway != NULL && node->gateway->tls_paths[0] != NULL;
}

troupe_status tp_node_reload_gateway(troupe_node *node, char *error, size_t error_size)
{
    return tp_node_gateway_is_tls(node) ? with_files(node, renew, error, error_size) : TROUPE_OK;
}

bool tp_node_release_gateway(troupe_node *node)
{
    tp_node_gateway *self = node->gateway;
    if (self == NULL)
        return true;
    if (atomic_load(&self->gateway) != NULL)
        return false;
    troupe_client_close(self->client);
    tp_provider_release(self->module);
    tp_paths_release(node->shared.allocator, self->tls_paths);
    tp_release(node->shared.allocator, self, sizeof *self);
    node->gateway = NULL;
    return true;
}

troupe_status tp_node_open_gateway(troupe_node *node, char *error, size_t error_size)
{
    if (node->shared.options.http[0] == 0)
        return TROUPE_OK;
    if (!node->owns_env) {
        (void)snprintf(error, error_size, "http: a simulated world has no network for it");
        return TROUPE_USAGE;
    }
    node->gateway = tp_allocate_zeroed(node->shared.allocator, sizeof *node->gateway);
    if (node->gateway == NULL)
        return TROUPE_NO_MEMORY;
    troupe_status status = open_server(node, error, error_size);
    if (status != TROUPE_OK) {
        (void)tp_node_release_gateway(node); /* it is not open */
        return status;
    }
    TP_LOG(&node->log, TROUPE_LOG_INFO, "http", TP_NO_FIELDS, "calls are taken at %s://%s",
        tp_node_gateway_is_tls(node) ? "https" : "http", node->gateway->address);
    return TROUPE_OK;
}

void tp_node_drain_gateway(troupe_node *node)
{
    if (node->gateway != NULL)
        node->gateway->entry->drain(node->gateway->gateway);
}

void tp_node_close_gateway(troupe_node *node, uint64_t patience)
{
    tp_gateway *gateway = node->gateway != NULL ? atomic_load(&node->gateway->gateway) : NULL;
    if (gateway != NULL && node->gateway->entry->close(gateway, patience))
        atomic_store(&node->gateway->gateway, NULL);
}

void tp_node_count_gateway(const troupe_node *node, troupe_stats *stats)
{
    tp_gateway_counts counts;
    const tp_gateway *gateway = node->gateway != NULL ? atomic_load(&node->gateway->gateway) : NULL;
    if (gateway == NULL)
        return;
    node->gateway->entry->count(gateway, &counts);
#define ADD(name) stats->http_##name += counts.name;
    TP_GATEWAY_COUNTER_MAP(ADD)
#undef ADD
}

const char *troupe_node_http(const troupe_node *node)
{
    return node->gateway != NULL ? node->gateway->address : NULL;
}
