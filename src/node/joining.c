/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a member of a cluster. See joining.h. */
#include "node/joining.h"

#include "base/alloc.h"
#include "node/membership.h"

#include <stdio.h>

#define HANDLES 3

bool tp_node_is_clustered(const troupe_node *node)
{
    return node->shared.options.cluster != NULL && node->shared.options.cluster[0] != 0;
}

/* Incarnations of different clusters must not meet in one store: the secret tells them apart. */
uint64_t tp_node_writer(const troupe_node *node, uint64_t incarnation)
{
    uint64_t secret[2];
    tp_cluster_secret(node->cluster, secret);
    return (secret[0] & UINT64_C(0x7FFFFF0000000000)) | (incarnation & UINT64_C(0xFFFFFFFFFF));
}

static void member_is_gone(void *user, uint64_t incarnation)
{
    troupe_node *node = user;
    if (node->storage != NULL)
        tp_storage_close_other(node->storage, tp_node_writer(node, incarnation));
}

static void has_died(void *user, const char *reason)
{
    troupe_node *node = user;
    (void)reason; /* it is in the log */
    atomic_store(&node->died, true);
    if (node->shared.options.on_died != NULL)
        node->shared.options.on_died(node->shared.options.on_died_user);
}

static uint64_t host_now(void *context)
{
    tp_env *env = context;
    return env->now(env);
}

static troupe_status open_handles(
    troupe_node *node, troupe_membership *handles[HANDLES], char *error, size_t error_size)
{
    tp_shared *shared = &node->shared;
    const char *url = shared->options.cluster;
    const troupe_membership_host host = {
        .size = sizeof host, .allocator = shared->allocator, .context = node->env, .now = host_now};
    const troupe_membership_provider *provider;
    if (node->given_membership[0] != NULL) {
        memcpy(handles, node->given_membership, sizeof node->given_membership);
        memset(node->given_membership, 0, sizeof node->given_membership);
        return TROUPE_OK;
    }
    TROUPE_TRY(tp_membership_find(url, &provider, &node->membership_module, error, error_size));
    for (int i = 0; i < HANDLES; i++) {
        troupe_status status = provider->open(
            &host, url, shared->options.cluster_name, &handles[i], error, error_size);
        if (status == TROUPE_OK)
            continue;
        while (i-- > 0)
            handles[i]->close(handles[i]);
        return status;
    }
    TP_LOG(&node->log, TROUPE_LOG_INFO, "membership",
        TP_FIELDS(tp_field_string("cluster", shared->options.cluster_name)), "%s",
        handles[0]->promises);
    return TROUPE_OK;
}

troupe_status tp_node_join(troupe_node *node, const troupe_type *const *types, size_t type_count,
    char *error, size_t error_size)
{
    tp_shared *shared = &node->shared;
    const troupe_node_options *options = &shared->options;
    size_t bytes = (type_count + 1) * sizeof(troupe_slice);
    troupe_slice *names = tp_allocate(shared->allocator, bytes);
    if (names == NULL)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; i < type_count; i++)
        names[i] = troupe_str(types[i]->name);
    tp_cluster_options cluster = {.shared = shared,
        .name = options->cluster_name,
        .token = options->cluster_token,
        .node = options->name,
        .listen = options->listen,
        .address = options->advertise,
        .shards = shared->shard_count,
        .types = names,
        .type_count = type_count,
        .ttl = options->lease_ttl,
        .gone = member_is_gone,
        .died = has_died,
        .user = node};
    troupe_status status = open_handles(node, cluster.handles, error, error_size);
    if (status == TROUPE_OK)
        status = tp_cluster_open(&cluster, &node->cluster, error, error_size);
    if (status == TROUPE_OK)
        status = tp_cluster_await(node->cluster, options->join_timeout, error, error_size);
    tp_release(shared->allocator, names, bytes);
    return status;
}
