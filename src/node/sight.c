/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a node from outside: visits the shards (visit.c) and puts together what they say
 * (<troupe/inspect.h>). What the visitor of the user sees is copied first where his code runs: on
 * the calling thread. Of a shard that does not come, as a turn keeps it, nothing is seen, but what
 * the others say is shown.
 *
 * Threads: any that is not the node's.
 */
#include "node/gateway.h"
#include "node/node.h"
#include "shard/workers.h"

#include "base/alloc.h"

/* Is there anything to be shown? UNAVAILABLE: of the shards that came. */
static bool is_seen(troupe_status status)
{
    return status == TROUPE_OK || status == TROUPE_UNAVAILABLE;
}

/* ---- statistics ---------------------------------------------------------------------------- */

typedef struct summing {
    troupe_stats *stats;
    tp_histogram *times;
    tp_pace pace; /* the youngest of those that are old enough */
} summing;

static void sum(tp_shard *shard, void *user)
{
    summing *self = user;
    tp_inspect_now(shard, self->stats);
    tp_inspect_times(shard, self->times);
    if (self->pace.at < shard->pace[0].at)
        self->pace = shard->pace[0];
}

void tp_node_count(const troupe_node *node, troupe_stats *into)
{
    for (uint32_t i = 0; i < node->shared.shard_count; i++)
        tp_inspect_counters(node->shared.shards[i], into);
    into->busy_inbox += atomic_load_explicit(&node->outside_busy, memory_order_relaxed);
    into->busy_mailbox += atomic_load_explicit(&node->outside_mailbox, memory_order_relaxed);
    into->busy_link += atomic_load_explicit(&node->outside_link, memory_order_relaxed);
    into->busy_actors += atomic_load_explicit(&node->outside_crowded, memory_order_relaxed);
    into->busy_memory += atomic_load_explicit(&node->outside_short, memory_order_relaxed);
    into->no_memory += atomic_load_explicit(&node->outside_no_memory, memory_order_relaxed);
    into->too_large += atomic_load_explicit(&node->outside_too_large, memory_order_relaxed);
    tp_storage_counts store = tp_storage_count(node->storage);
    into->busy_store += store.busy;
    into->store_ops += store.ops;
    into->store_groups += store.groups;
    into->store_errors += store.errors;
    tp_node_count_gateway(node, into);
}

static troupe_distribution distribution(const tp_histogram *histogram)
{
    uint64_t count = tp_histogram_count(histogram);
    return (troupe_distribution){.count = count,
        .p50 = tp_histogram_quantile(histogram, 0.5),
        .p95 = tp_histogram_quantile(histogram, 0.95),
        .p99 = tp_histogram_quantile(histogram, 0.99),
        .p999 = tp_histogram_quantile(histogram, 0.999),
        .max = tp_histogram_max(histogram),
        .mean = count != 0 ? tp_histogram_sum(histogram) / count : 0};
}

static void add_usage(troupe_node *node, const tp_pace *since, troupe_stats *into)
{
    tp_usage usage;
    uint64_t now = node->env->now(node->env);
    node->env->usage(node->env, &usage);
    into->cpu_time = usage.cpu;
    into->resident = usage.resident;
    if (now > since->at)
        into->cpu = (double)(usage.cpu - since->cpu) / (double)(now - since->at);
}

troupe_status troupe_node_stats(troupe_node *node, troupe_stats *ret_stats)
{
    if (ret_stats->size != sizeof *ret_stats)
        return TROUPE_USAGE;
    tp_shared *shared = &node->shared;
    tp_histogram *times = tp_allocate_zeroed(shared->allocator, TP_TIMES * sizeof *times);
    if (times == NULL)
        return TROUPE_NO_MEMORY;
    troupe_stats stats = {.size = sizeof stats, .shards = shared->shard_count};
    stats.uptime = node->env->now(node->env) - shared->started;
    summing self = {&stats, times, {0}};
    troupe_status status = tp_node_visit(node, 0, shared->shard_count, sum, &self);
    if (is_seen(status)) {
        tp_node_count(node, &stats);
        add_usage(node, &self.pace, &stats);
        stats.turn_time = distribution(&times[0]);
        stats.ask_time = distribution(&times[1]);
        stats.queue_time = distribution(&times[2]);
        stats.cache_time = distribution(&times[3]);
        *ret_stats = stats;
    }
    tp_release(shared->allocator, times, TP_TIMES * sizeof *times);
    return status;
}

/* ---- copies of what shards show ------------------------------------------------------------ */

/* Things with slices, copied on the shard's thread and shown on the caller's. */
typedef struct gallery {
    const troupe_allocator *allocator;
    char *data;
    size_t size, capacity;
    bool failed;
    size_t limit, seen;
    troupe_slice type, pattern;
    const troupe_id *id;
} gallery;

static size_t hang(gallery *self, const void *data, size_t size)
{
    size_t at = (self->size + 15) & ~(size_t)15;
    if (self->capacity < at + size) {
        size_t capacity = (at + size) * 2 + 1024;
        char *grown = self->data != NULL
                          ? tp_reallocate(self->allocator, self->data, self->capacity, capacity)
                          : tp_allocate(self->allocator, capacity);
        if (grown == NULL) {
            self->failed = true;
            return 0;
        }
        self->data = grown;
        self->capacity = capacity;
    }
    if (size != 0)
        memcpy(self->data + at, data, size);
    self->size = at + size;
    return at;
}

/* Slices become offsets while the gallery may move, and pointers when it is shown. */
static void hang_slice(gallery *self, troupe_slice *slice)
{
    size_t at = hang(self, slice->data, slice->size);
    slice->data = (const void *)(uintptr_t)at;
}

static void show_slice(const gallery *self, troupe_slice *slice)
{
    slice->data = self->data + (uintptr_t)slice->data;
}

static void hang_id(gallery *self, troupe_id *id)
{
    hang_slice(self, &id->type);
    hang_slice(self, &id->partition);
    hang_slice(self, &id->key);
}

static void show_id(const gallery *self, troupe_id *id)
{
    show_slice(self, &id->type);
    show_slice(self, &id->partition);
    show_slice(self, &id->key);
}

static void close_gallery(gallery *self)
{
    tp_release(self->allocator, self->data, self->capacity);
}

static void hang_actor(void *user, const troupe_actor_info *info)
{
    gallery *self = user;
    size_t at = hang(self, info, sizeof *info);
    if (self->failed)
        return;
    troupe_actor_info copy = *info;
    hang_id(self, &copy.id);
    if (self->failed)
        return;
    memcpy(self->data + at, &copy, sizeof copy);
    self->seen++;
}

static void show_actors(gallery *self, troupe_actor_visit *show, void *user)
{
    size_t at = 0;
    for (size_t i = 0; i < self->seen; i++) {
        at = (at + 15) & ~(size_t)15;
        troupe_actor_info info;
        memcpy(&info, self->data + at, sizeof info);
        at = (size_t)(uintptr_t)info.id.key.data + info.id.key.size;
        show_id(self, &info.id);
        show(user, &info);
    }
}

static void visit_actors(tp_shard *shard, void *user)
{
    gallery *self = user;
    if (self->seen < self->limit)
        tp_inspect_actors(
            shard, self->type, self->pattern, self->limit - self->seen, hang_actor, self);
}

troupe_status troupe_node_each_actor(troupe_node *node, troupe_slice type, troupe_slice pattern,
    size_t limit, troupe_actor_visit *show, void *user)
{
    gallery self = {
        .allocator = node->shared.allocator, .limit = limit, .type = type, .pattern = pattern};
    troupe_status status = tp_node_visit(node, 0, node->shared.shard_count, visit_actors, &self);
    if (is_seen(status) && self.failed)
        status = TROUPE_NO_MEMORY;
    if (is_seen(status))
        show_actors(&self, show, user);
    close_gallery(&self);
    return status;
}

/* ---- one actor ----------------------------------------------------------------------------- */

typedef struct one {
    const tp_type *type;
    troupe_id id;
    uint64_t hash;
    gallery gallery;
    bool found;
} one;

static troupe_status find_one(troupe_node *node, troupe_id id, one *ret)
{
    ret->type = tp_types_find(&node->shared.types, id.type);
    if (ret->type == NULL)
        return TROUPE_NO_TYPE;
    ret->id = id;
    ret->hash = tp_type_hash(&node->shared.types, ret->type, id.partition, id.key);
    ret->gallery = (gallery){.allocator = node->shared.allocator};
    return TROUPE_OK;
}

static void visit_actor(tp_shard *shard, void *user)
{
    one *self = user;
    if (tp_type_has_workers(self->type))
        self->found |=
            tp_inspect_workers(shard, self->type, self->id, hang_actor, &self->gallery) != 0;
    else
        self->found =
            tp_inspect_actor(shard, self->type, self->id, self->hash, hang_actor, &self->gallery);
}

/* Where it is; on all shards, if it has workers. */
static troupe_status visit_where(troupe_node *node, one *self, tp_shard_visit *run)
{
    uint32_t count = node->shared.shard_count;
    if (tp_type_has_workers(self->type))
        return tp_node_visit(node, 0, count, run, self);
    return tp_node_visit(node, tp_hash_shard(self->hash, count), 1, run, self);
}

troupe_status troupe_node_lookup(
    troupe_node *node, troupe_id id, troupe_actor_visit *show, void *user)
{
    one self = {0};
    TROUPE_TRY(find_one(node, id, &self));
    troupe_status status = visit_where(node, &self, visit_actor);
    if (status == TROUPE_OK && !self.found)
        status = TROUPE_NOT_FOUND;
    if (status == TROUPE_OK && self.gallery.failed)
        status = TROUPE_NO_MEMORY;
    if (status == TROUPE_OK && show != NULL)
        show_actors(&self.gallery, show, user);
    close_gallery(&self.gallery);
    return status;
}

static void deactivate_workers(tp_shard *shard, one *self)
{
    tp_activation *actor;
    for (size_t at = 0; (at = tp_workers_find(shard, self->type, self->id, at, &actor)) != 0;) {
        self->found = true;
        actor->flags |= TP_LEAVE;
        tp_settle(shard, actor);
    }
}

static void visit_deactivate(tp_shard *shard, void *user)
{
    one *self = user;
    if (tp_type_has_workers(self->type)) {
        deactivate_workers(shard, self);
        return;
    }
    tp_activation *actor =
        tp_activation_find(shard, self->type, self->hash, self->id.partition, self->id.key);
    self->found = actor != NULL;
    if (actor == NULL)
        return;
    actor->flags |= TP_LEAVE;
    tp_settle(shard, actor);
}

troupe_status troupe_node_deactivate(troupe_node *node, troupe_id id)
{
    one self = {0};
    TROUPE_TRY(find_one(node, id, &self));
    TROUPE_TRY(visit_where(node, &self, visit_deactivate));
    return self.found ? TROUPE_OK : TROUPE_NOT_FOUND;
}

/* ---- parked turns -------------------------------------------------------------------------- */

static void hang_parked(void *user, const troupe_parked_info *info)
{
    gallery *self = user;
    size_t at = hang(self, info, sizeof *info);
    if (self->failed)
        return;
    troupe_parked_info copy = *info;
    hang_id(self, &copy.id);
    hang_id(self, &copy.target);
    hang_slice(self, &copy.method);
    hang_slice(self, &copy.target_method);
    /* All of them: how many are set is the compiler's, and what is taken may not depend on it. */
    copy.frames =
        (void *const *)(uintptr_t)hang(self, info->frames, TP_FRAMES_MAX * sizeof(void *));
    if (self->failed)
        return;
    memcpy(self->data + at, &copy, sizeof copy);
    self->seen++;
}

static void visit_parked(tp_shard *shard, void *user)
{
    gallery *self = user;
    tp_inspect_parked(shard, self->id, hang_parked, self);
}

troupe_status troupe_node_each_parked(
    troupe_node *node, const troupe_id *id, troupe_parked_visit *show, void *user)
{
    gallery self = {.allocator = node->shared.allocator, .id = id};
    troupe_status status = tp_node_visit(node, 0, node->shared.shard_count, visit_parked, &self);
    if (is_seen(status) && self.failed)
        status = TROUPE_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; is_seen(status) && i < self.seen; i++) {
        at = (at + 15) & ~(size_t)15;
        troupe_parked_info info;
        memcpy(&info, self.data + at, sizeof info);
        at = (size_t)(uintptr_t)info.frames + TP_FRAMES_MAX * sizeof(void *);
        show_id(&self, &info.id);
        show_id(&self, &info.target);
        show_slice(&self, &info.method);
        show_slice(&self, &info.target_method);
        info.frames = (void *const *)(void *)(self.data + (uintptr_t)info.frames);
        show(user, &info);
    }
    close_gallery(&self);
    return status;
}

/* ---- lifecycle events ---------------------------------------------------------------------- */

typedef struct subscribing {
    tp_subscription subscription;
    bool full;
} subscribing;

static void visit_subscribe(tp_shard *shard, void *user)
{
    subscribing *self = user;
    if (shard->subscription_count == TP_SUBSCRIPTIONS) {
        self->full = true;
        return;
    }
    shard->subscriptions[shard->subscription_count++] = self->subscription;
}

static void visit_unsubscribe(tp_shard *shard, void *user)
{
    const uint64_t *number = user;
    for (uint32_t i = 0; i < shard->subscription_count; i++) {
        if (shard->subscriptions[i].number != *number)
            continue;
        shard->subscription_count--;
        memmove(&shard->subscriptions[i], &shard->subscriptions[i + 1],
            (shard->subscription_count - i) * sizeof(tp_subscription));
        return;
    }
}

static troupe_status add_subscription(
    troupe_node *node, const tp_subscription *wanted, uint64_t *ret_subscription)
{
    subscribing self = {.subscription = *wanted};
    self.subscription.number =
        1 + atomic_fetch_add_explicit(&node->next_subscription, 1, memory_order_relaxed);
    troupe_status status = tp_node_visit(node, 0, node->shared.shard_count, visit_subscribe, &self);
    if (status == TROUPE_OK && self.full)
        status = TROUPE_BUSY;
    if (status != TROUPE_OK) { /* on all shards or on none */
        for (uint32_t i = 0; i < node->shared.shard_count; i++)
            (void)!tp_node_visit(node, i, 1, visit_unsubscribe, &self.subscription.number);
        return status;
    }
    *ret_subscription = self.subscription.number;
    return TROUPE_OK;
}

troupe_status troupe_node_subscribe(
    troupe_node *node, troupe_lifecycle_visit *visit_event, void *user, uint64_t *ret_subscription)
{
    const tp_subscription wanted = {.visit = visit_event, .user = user};
    return add_subscription(node, &wanted, ret_subscription);
}

troupe_status tp_node_watch_commits(troupe_node *node, void (*committed)(void *user, uint64_t hash),
    void *user, uint64_t *ret_subscription)
{
    const tp_subscription wanted = {.committed = committed, .user = user};
    return add_subscription(node, &wanted, ret_subscription);
}

troupe_status troupe_node_unsubscribe(troupe_node *node, uint64_t subscription)
{
    return tp_node_visit(node, 0, node->shared.shard_count, visit_unsubscribe, &subscription);
}
