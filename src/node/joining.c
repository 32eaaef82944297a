/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a member of a cluster. See joining.h. */
#include "node/joining.h"

#include "base/alloc.h"
#include "cluster/placing.h"
#include "node/certificates.h"
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

/* One that went while this node had no storage yet: a late write of it may still land. */
typedef struct tp_gone_member {
    struct tp_gone_member *next;
    uint64_t incarnation;
} gone_member;

static void close_writer(troupe_node *node, uint64_t incarnation, bool is_news)
{
    if (!TP_ENV_MUTANT(node->env, TP_MUTANT_OPEN_WRITER))
        tp_storage_close_other(node->storage, tp_node_writer(node, incarnation), is_news);
}

static void take_gone(troupe_node *node, bool closes)
{
    gone_member *next, *member = atomic_exchange(&node->gone, NULL);
    for (; member != NULL; member = next) {
        next = member->next;
        if (closes)
            close_writer(node, member->incarnation, false);
        tp_release(node->shared.allocator, member, sizeof *member);
    }
}

/* [control thread] What is pushed before the storage is open: who opens it takes it, or this. Both
 * change `closes_gone`, so that one of them sees what the other did before. */
static void member_is_gone(void *user, uint64_t incarnation)
{
    troupe_node *node = user;
    if (atomic_load(&node->closes_gone) != 0) {
        close_writer(node, incarnation, true);
        return;
    }
    gone_member *member = tp_allocate_zeroed(node->shared.allocator, sizeof *member);
    if (member == NULL) {
        atomic_store(&node->missed_gone, true);
    } else {
        member->incarnation = incarnation;
        member->next = atomic_load(&node->gone);
        while (!atomic_compare_exchange_weak(&node->gone, &member->next, member)) {
        }
    }
    if (atomic_fetch_or(&node->closes_gone, 0) == 0)
        return;
    take_gone(node, true);
    if (member == NULL) /* `missed_gone` was not seen; the storage has room of its own */
        close_writer(node, incarnation, true);
}

troupe_status tp_node_close_gone(troupe_node *node)
{
    atomic_exchange(&node->closes_gone, 1);
    take_gone(node, true);
    return atomic_load(&node->missed_gone) ? TROUPE_NO_MEMORY : TROUPE_OK;
}

void tp_node_forget_gone(troupe_node *node)
{
    take_gone(node, false);
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

/* What a view says of this node for placement: labels, and what its types want. */
typedef struct described {
    tp_view_label labels[TP_VIEW_LABELS_MAX];
    size_t count;
    char names[TP_VIEW_LABELS_MAX][TP_PLACING_LABEL_NAME];
    char values[TP_VIEW_LABELS_MAX][TP_PLACING_LABEL_VALUE + 1];
} described;

static troupe_status describe_type(
    troupe_node *node, described *self, const troupe_type *type, char *error, size_t error_size)
{
    bool says;
    char name[TP_PLACING_LABEL_NAME], value[TP_PLACING_LABEL_VALUE + 1];
    TROUPE_TRY(
        tp_placing_tell(node->shared.allocator, type, &says, name, value, error, error_size));
    if (!says)
        return TROUPE_OK;
    if (self->count == TP_VIEW_LABELS_MAX) {
        snprintf(error, error_size,
            "labels and types with a placement of their own are more than 64 in all: give types "
            "that are placed alike the node's `placement`");
        return TROUPE_USAGE;
    }
    memcpy(self->names[self->count], name, sizeof name);
    memcpy(self->values[self->count], value, sizeof value);
    self->labels[self->count] = (tp_view_label){
        troupe_str(self->names[self->count]), troupe_str(self->values[self->count])};
    self->count++;
    return TROUPE_OK;
}

static troupe_status describe(troupe_node *node, described *self, const troupe_type *const *types,
    size_t type_count, char *error, size_t error_size)
{
    tp_label labels[TP_VIEW_LABELS_MAX];
    char text[128];
    tp_text wrong;
    tp_text_init(&wrong, text, sizeof text);
    if (tp_labels_parse(troupe_str(node->shared.options.labels), labels, TP_VIEW_LABELS_MAX,
            &self->count, &wrong) != TROUPE_OK) {
        snprintf(error, error_size, "labels: %s", text);
        return TROUPE_USAGE;
    }
    for (size_t i = 0; i < self->count; i++)
        self->labels[i] = (tp_view_label){labels[i].name, labels[i].value};
    for (size_t i = 0; i < type_count; i++)
        if (types[i] != NULL && types[i]->size == sizeof(troupe_type) && types[i]->name != NULL)
            TROUPE_TRY(describe_type(node, self, types[i], error, error_size));
    return TROUPE_OK;
}

static troupe_status join(troupe_node *node, const troupe_slice *names, size_t type_count,
    const described *said, tp_tls_context *tls, char *error, size_t error_size)
{
    tp_shared *shared = &node->shared;
    const troupe_node_options *options = &shared->options;
    tp_cluster_options cluster = {.shared = shared,
        .name = options->cluster_name,
        .token = options->cluster_token,
        .node = options->name,
        .listen = options->listen,
        .address = options->advertise,
        .shards = shared->shard_count,
        .types = names,
        .type_count = type_count,
        .labels = said->labels,
        .label_count = said->count,
        .ttl = options->lease_ttl,
        .tls = tls,
        .allows_clear_text = options->allow_clear_text,
        .gone = member_is_gone,
        .died = has_died,
        .user = node};
    TROUPE_TRY(open_handles(node, cluster.handles, error, error_size));
    TROUPE_TRY(tp_cluster_open(&cluster, &node->cluster, error, error_size));
    return tp_cluster_await(node->cluster, options->join_timeout, error, error_size);
}

troupe_status tp_node_join(troupe_node *node, const troupe_type *const *types, size_t type_count,
    char *error, size_t error_size)
{
    const troupe_allocator *allocator = node->shared.allocator;
    tp_tls_context *tls = NULL; /* NULL: clear text */
    size_t bytes = (type_count + 1) * sizeof(troupe_slice);
    troupe_slice *names = tp_allocate(allocator, bytes);
    described *said = tp_allocate_zeroed(allocator, sizeof *said);
    troupe_status status = names != NULL && said != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    for (size_t i = 0; status == TROUPE_OK && i < type_count; i++)
        names[i] = troupe_str(types[i]->name);
    if (status == TROUPE_OK)
        status = describe(node, said, types, type_count, error, error_size);
    if (status == TROUPE_OK)
        status = tp_node_open_certificates(node, &tls, error, error_size);
    if (status == TROUPE_OK)
        status = join(node, names, type_count, said, tls, error, error_size);
    tp_tls_context_release(tls);
    tp_release(allocator, names, names != NULL ? bytes : 0);
    tp_release(allocator, said, said != NULL ? sizeof *said : 0);
    return status;
}
