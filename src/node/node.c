/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens and closes nodes. Closing is in four steps, each a value of `closing` that all shards read
 * at each pass:
 *
 *   CLOSING   outside calls are refused, timers rest; what was accepted ends. Over by
 *             drain_timeout, or when all shards are quiet and have received what was sent, seen
 *             twice with the same counts (Mattern's four counters, 1987).
 *   HURRYING  parks end with INTERRUPTED, so that what still runs comes to an end.
 *   ENDING    nothing is activated any more; what is active is deactivated, and saved.
 *   ENDED     the steps return.
 */
#include "node/node.h"

#include "base/alloc.h"
#include "base/id.h"
#include "node/certificates.h"
#include "node/gateway.h"
#include "node/joining.h"
#include "node/options.h"
#include "node/references.h"
#include "shard/away.h"
#include "shard/wake.h"

#include <stdio.h>

#define HURRY_TIME TROUPE_SECONDS(2)

/* ---- opening ------------------------------------------------------------------------------- */

static void log_to_env(void *user, const char *text, size_t size)
{
    tp_env *env = user;
    env->write_log(env, text, size);
}

static uint64_t wall_of_env(void *user)
{
    tp_env *env = user;
    return env->wall(env);
}

static troupe_status open_log(troupe_node *node)
{
    const troupe_node_options *options = &node->shared.options;
    tp_log_options log = {.node = options->name,
        .level = options->log,
        .write = log_to_env,
        .wall = wall_of_env,
        .user = node->env,
        .on_log = options->on_log,
        .on_log_user = options->on_log_user};
    node->shared.log = &node->log;
    return tp_log_init(&node->log, &log);
}

/* Weaker than a type asks for is never silent. A URL may hold a password: its scheme says enough.
 */
static void warn_of_storage(tp_shared *shared)
{
    const char *url = shared->options.storage;
    for (uint32_t i = 0; !shared->store->durable && i < shared->types.count; i++) {
        if (!shared->types.list[i].gated)
            continue;
        TP_LOG(shared->log, TROUPE_LOG_WARN, "not_durable",
            TP_FIELDS(tp_field_text("type", shared->types.list[i].name),
                tp_field_text("storage", (troupe_slice){url, strcspn(url, ":")})),
            "the type persists every turn, but this storage does not survive a crash of node and "
            "machine; for one that does see docs/storage.md");
        return;
    }
}

static troupe_status open_storage(troupe_node *node, char *error, size_t error_size)
{
    tp_shared *shared = &node->shared;
    const tp_storage_options options = {.env = node->env,
        .allocator = shared->allocator,
        .log = &node->log,
        .url = shared->options.storage,
        .limit = shared->options.store_limit,
        .open_timeout = shared->options.store_open_timeout,
        .spin = shared->options.spin,
        .writer =
            node->cluster != NULL ? tp_node_writer(node, tp_cluster_incarnation(node->cluster)) : 0,
        .lease = node->cluster != NULL ? &shared->lease_until : NULL};
    troupe_store *given = node->given_store;
    node->given_store = NULL;
    TROUPE_TRY(given != NULL
                   ? tp_storage_open_with(&options, given, &node->storage, error, error_size)
                   : tp_storage_open(&options, &node->storage, error, error_size));
    shared->store = tp_storage_port(node->storage);
    warn_of_storage(shared);
    return tp_node_close_gone(node);
}

static troupe_status open_shards(troupe_node *node)
{
    tp_shared *shared = &node->shared;
    shared->shards =
        tp_allocate_zeroed(shared->allocator, shared->shard_count * sizeof(tp_shard *) * 2);
    if (shared->shards == NULL)
        return TROUPE_NO_MEMORY;
    tp_pool **pools = (tp_pool **)(shared->shards + shared->shard_count);
    for (uint32_t i = 0; i < shared->shard_count; i++) {
        TROUPE_TRY(tp_shard_create(shared, i, &shared->shards[i]));
        pools[i] = &shared->shards[i]->pool;
    }
    for (uint32_t i = 0; i < shared->shard_count; i++) {
        TROUPE_TRY(tp_shard_connect(shared->shards[i]));
        tp_pool_connect(&shared->shards[i]->pool, pools);
    }
    if (node->cluster != NULL)
        TROUPE_TRY(tp_cluster_attach(node->cluster));
    for (uint32_t i = 0; i < shared->shard_count; i++) {
        tp_sleepers_start(shared->shards[i]);
        TROUPE_TRY(node->env->runner_start(node->env, &shared->shards[i]->runner));
        node->runners++;
    }
    return TROUPE_OK;
}

static void close_given(troupe_store *store, troupe_membership *const *membership)
{
    if (store != NULL)
        store->close(store);
    for (int i = 0; i < 3; i++)
        if (membership[i] != NULL)
            membership[i]->close(membership[i]);
}

static void dispose(troupe_node *node)
{
    tp_shared *shared = &node->shared;
    if (node->cluster != NULL) {
        tp_cluster_stop(node->cluster);
        atomic_store(&shared->lease_until, 0); /* nobody prolongs it any more */
    }
    atomic_store_explicit(&shared->closing, TP_ENDED, memory_order_release);
    for (uint32_t i = 0; i < node->runners; i++)
        node->env->runner_wake(node->env, &shared->shards[i]->runner);
    for (uint32_t i = 0; i < node->runners; i++)
        node->env->runner_join(node->env, &shared->shards[i]->runner);
    /* What outlived the drain has ended with the shards. Else the library's threads still work with
     * all that would go now. */
    tp_node_close_gateway(node, HURRY_TIME);
    if (!tp_node_release_gateway(node))
        return;
    tp_cluster_close(node->cluster);
    tp_node_forget_gone(node);
    tp_node_close_certificates(node);
    tp_provider_release(node->membership_module);
    close_given(node->given_store, node->given_membership);
    tp_storage_close(node->storage); /* what waits in it ends before its shard goes */
    for (uint32_t i = 0; shared->shards != NULL && i < shared->shard_count; i++)
        tp_shard_destroy(shared->shards[i]);
    tp_release(shared->allocator, shared->shards, shared->shard_count * sizeof(tp_shard *) * 2);
    troupe_client_close(node->client);
    tp_foreign_deinit(shared);
    tp_types_deinit(&shared->types);
    if (shared->log != NULL)
        tp_log_deinit(&node->log);
    if (node->owns_env && node->env != NULL)
        node->env->destroy(node->env);
    tp_references_release(shared->allocator, node->kept);
    tp_release(shared->allocator, node, sizeof *node);
}

/* Where each stack takes mappings, of which a process has few, the shards share those. */
static void cap_fibers(troupe_node *node)
{
    tp_shared *shared = &node->shared;
    const uint32_t own = 2; /* of each shard: its loop's, and the reserve */
    uint32_t most = node->env->stacks / shared->shard_count;
    most = most > own + 1 ? most - own : 1;
    if (node->env->stacks == 0 || shared->options.max_fibers <= most)
        return;
    TP_LOG(shared->log, TROUPE_LOG_INFO, "fibers_capped",
        TP_FIELDS(tp_field_number("wanted", shared->options.max_fibers),
            tp_field_number("max_fibers", most)),
        "max_fibers is lowered to what vm.max_map_count allows on this kernel");
    shared->options.max_fibers = most;
}

static troupe_status open_parts(troupe_node *node, const troupe_type *const *types,
    size_t type_count, char *error, size_t error_size)
{
    tp_shared *shared = &node->shared;
    uint64_t secret[2];
    node->env->entropy(node->env, secret, sizeof secret);
    TROUPE_TRY(open_log(node));
    cap_fibers(node);
    if (tp_node_is_clustered(node)) {
        TROUPE_TRY(tp_node_join(node, types, type_count, error, error_size));
        tp_cluster_secret(node->cluster, secret);
    }
    TROUPE_TRY(tp_types_init(&shared->types, shared->allocator, secret, &shared->options, types,
        type_count, error, error_size));
    TROUPE_TRY(open_storage(node, error, error_size));
    TROUPE_TRY(open_shards(node));
    TROUPE_TRY(troupe_client_open(node, &node->client));
    return tp_node_open_gateway(node, error, error_size);
}

static troupe_status allocate_node(
    const troupe_node_options *given, troupe_node **ret_node, char *error, size_t error_size)
{
    troupe_node_options options;
    tp_kept_text *kept = NULL;
    TROUPE_TRY(tp_options_prepare(given, &options, &kept, error, error_size));
    const troupe_allocator *allocator =
        options.allocator != NULL ? options.allocator : tp_allocator_system();
    troupe_node *node = tp_allocate_zeroed(allocator, sizeof *node);
    if (node == NULL) {
        tp_references_release(allocator, kept);
        snprintf(error, error_size, "%s", troupe_status_text(TROUPE_NO_MEMORY));
        return TROUPE_NO_MEMORY;
    }
    node->kept = kept;
    node->shared.allocator = allocator;
    node->shared.options = options;
    node->shared.node = node;
    atomic_init(&node->shared.lease_until, TP_NEVER);
    atomic_flag_clear(&node->reloads);
    snprintf(node->name, sizeof node->name, "%s", options.name);
    *ret_node = node;
    return TROUPE_OK;
}

static troupe_status finish_open(troupe_node *node, const troupe_type *const *types,
    size_t type_count, troupe_node **ret_node, char *error, size_t error_size)
{
    tp_shared *shared = &node->shared;
    shared->env = node->env;
    shared->shard_count = shared->options.shards != 0 ? shared->options.shards : node->env->cores;
    if (shared->options.memory_limit == 0)
        shared->options.memory_limit = node->env->memory / 2;
    if (shared->shard_count > TP_SHARDS_MAX)
        shared->shard_count = TP_SHARDS_MAX;
    shared->options.shards = shared->shard_count;
    shared->started = node->env->now(node->env);
    troupe_status status = open_parts(node, types, type_count, error, error_size);
    if (status != TROUPE_OK) {
        if (error_size != 0 && error[0] == 0)
            snprintf(error, error_size, "%s", troupe_status_text(status));
        tp_options_hide(&shared->options, error, error_size);
        dispose(node);
        return status;
    }
    tp_node_note_texts(node);
    shared->options.name =
        node->name; /* the others were the caller's, and are not needed any more */
    shared->options.storage = shared->options.placement = shared->options.log = NULL;
    shared->options.cache_policy = shared->options.labels = shared->options.compression = NULL;
    shared->options.cluster = shared->options.cluster_name = shared->options.cluster_token = NULL;
    shared->options.listen = shared->options.advertise = NULL;
    shared->options.tls_certificate = shared->options.tls_key = NULL;
    shared->options.tls_authority = NULL;
    shared->options.http = shared->options.http_token = NULL;
    shared->options.http_tls_certificate = shared->options.http_tls_key = NULL;
    shared->options.http_tls_authority = NULL;
    tp_references_release(shared->allocator, node->kept);
    node->kept = NULL;
    *ret_node = node;
    return TROUPE_OK;
}

troupe_status tp_node_open_in(tp_env *env, bool hostile, const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count, troupe_node **ret_node, char *error,
    size_t error_size)
{
    return tp_node_open_on(
        env, hostile, NULL, options, types, type_count, ret_node, error, error_size);
}

troupe_status tp_node_open_on(tp_env *env, bool hostile, troupe_store *store,
    const troupe_node_options *options, const troupe_type *const *types, size_t type_count,
    troupe_node **ret_node, char *error, size_t error_size)
{
    const tp_node_grounds grounds = {.env = env, .hostile = hostile, .store = store};
    return tp_node_open_at(&grounds, options, types, type_count, ret_node, error, error_size);
}

troupe_status tp_node_open_at(const tp_node_grounds *grounds, const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count, troupe_node **ret_node, char *error,
    size_t error_size)
{
    if (error_size != 0)
        error[0] = 0;
    troupe_node *node = NULL;
    troupe_status status = allocate_node(options, &node, error, error_size);
    if (status != TROUPE_OK) {
        close_given(grounds->store, grounds->membership);
        return status;
    }
    node->env = grounds->env;
    node->given_store = grounds->store;
    memcpy(node->given_membership, grounds->membership, sizeof node->given_membership);
    node->shared.hostile = grounds->hostile;
    return finish_open(node, types, type_count, ret_node, error, error_size);
}

troupe_status troupe_node_open_explained(const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count, troupe_node **ret_node, char *error,
    size_t error_size)
{
    char local[512];
    if (error == NULL || error_size == 0) {
        error = local;
        error_size = sizeof local;
    }
    error[0] = 0;
    troupe_node *node = NULL;
    TROUPE_TRY(allocate_node(options, &node, error, error_size));
    const troupe_node_options *set = &node->shared.options;
    tp_real_options real = {.allocator = node->shared.allocator,
        .driven = set->driven,
        .blocking_threads = set->blocking_threads,
        .blocking_limit = set->blocking_limit,
        .spin = set->spin};
    troupe_status status = tp_real_env_create(&real, &node->env);
    if (status != TROUPE_OK) {
        snprintf(error, error_size, "the event loop or its threads could not be made: %s",
            troupe_status_text(status));
        tp_references_release(node->shared.allocator, node->kept);
        tp_release(node->shared.allocator, node, sizeof *node);
        return status;
    }
    node->owns_env = true;
    return finish_open(node, types, type_count, ret_node, error, error_size);
}

troupe_status troupe_node_open(const troupe_node_options *options, const troupe_type *const *types,
    size_t type_count, troupe_node **ret_node)
{
    char error[512];
    troupe_status status =
        troupe_node_open_explained(options, types, type_count, ret_node, error, sizeof error);
    if (status != TROUPE_OK)
        fprintf(stderr, "troupe: the node did not open: %s\n", error);
    return status;
}

/* ---- closing ------------------------------------------------------------------------------- */

typedef struct quiet {
    uint64_t sent, received, active;
    bool all;
} quiet;

static void ask_quiet(tp_shard *shard, void *user)
{
    quiet *sum = user;
    sum->sent += shard->sent;
    sum->received += shard->received;
    sum->active += shard->active;
    if (!tp_shard_is_quiet(shard))
        sum->all = false;
}

static void ask_leaving(tp_shard *shard, void *user)
{
    bool *all = user;
    *all = shard->away->is_leaving(shard->away) && *all;
}

static void ask_deserted(tp_shard *shard, void *user)
{
    bool *all = user;
    *all = shard->away->is_deserted(shard->away) && *all;
}

static bool all_say(troupe_node *node, tp_shard_visit *ask)
{
    bool all = true;
    return tp_node_visit(node, 0, node->shared.shard_count, ask, &all) == TROUPE_OK && all;
}

static bool is_settled(troupe_node *node, bool empty)
{
    quiet seen[2];
    for (int i = 0; i < 2; i++) {
        seen[i] = (quiet){.all = true};
        if (tp_node_visit(node, 0, node->shared.shard_count, ask_quiet, &seen[i]) != TROUPE_OK)
            return false;
        if (!seen[i].all || seen[i].sent != seen[i].received)
            return false;
        if (empty && seen[i].active != 0)
            return false;
    }
    return seen[0].sent == seen[1].sent;
}

static void nothing(tp_shard *shard, void *user)
{
    (void)shard;
    (void)user;
}

typedef enum until {
    UNTIL_LEAVING, /* a view says that this node leaves */
    UNTIL_SETTLED,
    UNTIL_EMPTY,
    UNTIL_DESERTED, /* nobody sends to it any more */
} until;

static bool is_so(troupe_node *node, until what)
{
    if (what == UNTIL_LEAVING)
        return all_say(node, ask_leaving);
    if (what == UNTIL_DESERTED)
        return all_say(node, ask_deserted);
    return is_settled(node, what == UNTIL_EMPTY);
}

/* Until it is so, or `limit` has passed. */
static bool settle(troupe_node *node, enum tp_closing phase, uint64_t limit, until what)
{
    tp_env *env = node->env;
    atomic_store_explicit(&node->shared.closing, phase, memory_order_release);
    uint64_t end = tp_time_after(env->now(env), limit);
    uint64_t pause = TROUPE_MICROSECONDS(50);
    while (!is_so(node, what)) {
        if (env->now(env) >= end)
            return false;
        tp_waiter waiter = {0};
        if (env->wait_begin(env, &waiter) != TROUPE_OK)
            continue; /* no memory at the moment */
        env->wait(env, &waiter, tp_time_after(env->now(env), pause));
        env->wait_end(env, &waiter);
        if (pause < TROUPE_MILLISECONDS(10))
            pause *= 2;
        if (phase != TP_CLOSING &&
            tp_node_visit(node, 0, node->shared.shard_count, nothing, NULL) != TROUPE_OK)
            continue; /* the same, or a stuck turn: until the limit */
    }
    return true;
}

static void leave(troupe_node *node)
{
    if (!settle(node, TP_ENDING, TP_LIVE_GET(node->shared.options.drain_timeout), UNTIL_DESERTED))
        TP_LOG(&node->log, TROUPE_LOG_WARN, "leaving_hurries", TP_NO_FIELDS,
            "other nodes did not say within drain_timeout that they send nothing any more; what "
            "they sent may end with UNKNOWN");
    if (!tp_cluster_emptied(node->cluster, HURRY_TIME))
        TP_LOG(&node->log, TROUPE_LOG_WARN, "leaving_incomplete", TP_NO_FIELDS,
            "the view still has this node; the others replace it when its lease has run out");
}

/* Of a node that is out of its cluster, or cannot leave it in order: nothing of it counts any more.
 * The others have put it out, or will when its lease has run out for them, too. */
static void abandon(troupe_node *node)
{
    tp_cluster_stop(node->cluster);
    atomic_store(&node->shared.lease_until, 0);
}

void troupe_node_close(troupe_node *node)
{
    if (node == NULL)
        return;
    uint64_t drain = TP_LIVE_GET(node->shared.options.drain_timeout);
    bool leaves = node->cluster != NULL && !atomic_load(&node->died), in_time = false;
    tp_node_drain_gateway(node);
    if (leaves) {
        tp_cluster_leave(node->cluster);
        (void)settle(node, TP_CLOSING, drain < HURRY_TIME ? drain : HURRY_TIME, UNTIL_LEAVING);
    }
    /* Others go on sending to who leaves until its actors have gone: so these go at once. */
    if (leaves)
        in_time = settle(node, TP_ENDING, drain, UNTIL_EMPTY);
    else if (node->cluster == NULL)
        in_time = settle(node, TP_CLOSING, drain, UNTIL_SETTLED);
    if (node->cluster != NULL && !in_time && !tp_lease_holds(&node->shared)) {
        abandon(node);
        leaves = false;
    }
    if (!in_time) {
        TP_LOG(&node->log, TROUPE_LOG_WARN, "closing_hurries", TP_NO_FIELDS,
            "turns have not ended within drain_timeout; their waits end with INTERRUPTED");
        settle(node, TP_HURRYING, HURRY_TIME, UNTIL_SETTLED);
    }
    if (!settle(node, TP_ENDING, drain > HURRY_TIME ? drain : HURRY_TIME, UNTIL_EMPTY))
        TP_LOG(&node->log, TROUPE_LOG_ERROR, "closing_incomplete", TP_NO_FIELDS,
            "some actors were not deactivated; what they had not saved is lost");
    if (leaves)
        leave(node);
    tp_node_close_gateway(node, HURRY_TIME);
    dispose(node);
}

/* ---- driven, and the rest ------------------------------------------------------------------ */

uint64_t troupe_node_poll(troupe_node *node, uint64_t budget)
{
    return node->env->poll != NULL ? node->env->poll(node->env, budget) : TROUPE_NEVER;
}

int troupe_node_descriptor(troupe_node *node)
{
    return node->env->descriptor != NULL ? node->env->descriptor(node->env) : -1;
}

const char *troupe_node_name(const troupe_node *node)
{
    return node->shared.options.name;
}

size_t troupe_node_option(const troupe_node *node, const char *name, char *out, size_t size)
{
    const tp_option *option = tp_option_find(name);
    if (option == NULL || tp_option_is_text(option))
        return 0;
    return troupe_options_get(&node->shared.options, name, out, size);
}

troupe_status troupe_ref_create(troupe_node *node, troupe_id id, troupe_ref **ret_ref)
{
    return tp_ref_make(&node->shared, id, ret_ref);
}

troupe_status troupe_cancel_create(troupe_node *node, troupe_cancel **ret_cancel)
{
    return tp_cancel_make(&node->shared, ret_cancel);
}

troupe_status troupe_id_parse(troupe_slice text, troupe_id *ret_id, const char **ret_reason)
{
    troupe_id id;
    const char *reason = NULL;
    troupe_status status = tp_id_parse(text, &id.type, &id.partition, &id.key, &reason);
    if (status != TROUPE_OK) {
        if (ret_reason != NULL)
            *ret_reason = reason;
        return status;
    }
    *ret_id = id;
    return TROUPE_OK;
}

size_t troupe_id_print(troupe_id id, char *out, size_t size)
{
    return tp_id_print(out, size, id.type, id.partition, id.key);
}

bool troupe_id_equal(troupe_id left, troupe_id right)
{
    return troupe_slice_equal(left.key, right.key) && troupe_slice_equal(left.type, right.type) &&
           troupe_slice_equal(left.partition, right.partition);
}

const char *troupe_reason_name(troupe_reason reason)
{
    static const char *const names[] = {
        "none", "idle", "evicted", "asked", "failed", "closing", "migrated"};
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "?";
}

const char *troupe_lifecycle_kind_name(troupe_lifecycle_kind kind)
{
    static const char *const names[] = {"none", "activated", "deactivated", "failed", "poisoned"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}
