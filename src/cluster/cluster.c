/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of cluster.h: what other threads see of the cluster part of a node and ask of it,
 * and its begin and end. Everything else happens on the control runner (control.c).
 *
 * Threads: cluster.h says for each whose it is; none is the control runner's.
 */
#include "cluster/control_inside.h"

#include "base/alloc.h"

#include <stdio.h>

/* ---- what others may see --------------------------------------------------------------------- */

tp_load_sheet *tp_cluster_loads(tp_cluster *self)
{
    return tp_loads_take(&self->loads);
}

troupe_status tp_cluster_see(tp_cluster *self, tp_cluster_look *ret_look)
{
    tp_control_lock(self);
    *ret_look = self->look;
    if (ret_look->chart != NULL)
        tp_chart_retain(ret_look->chart);
    tp_control_unlock(self);
    uint64_t until = atomic_load(&self->shared->lease_until), now = tp_control_boot(self);
    ret_look->lease_left = until > now && until != TP_NEVER ? until - now : 0;
    return TROUPE_OK;
}

const char *tp_cluster_name(const tp_cluster *self)
{
    return self->name;
}

uint64_t tp_cluster_incarnation(const tp_cluster *self)
{
    return self->look.incarnation;
}

void tp_cluster_secret(const tp_cluster *self, uint64_t ret_secret[2])
{
    memcpy(ret_secret, self->look.chart->members->secret, TP_VIEW_SECRET);
}

/* ---- what other threads ask ------------------------------------------------------------------ */

static void tell(tp_cluster *self, event_kind kind, uint64_t number)
{
    event *made = tp_allocate(self->allocator, sizeof *made);
    if (made == NULL)
        return; /* views are polled, votes and leaving are repeated by who says so */
    *made = (event){.kind = kind, .number = number};
    tp_mpsc_push(&self->events, &made->node);
    self->env->runner_wake(self->env, &self->runner);
}

static void on_newer_view(void *user, uint64_t number)
{
    tell(user, EVENT_NEWER, number);
}

static void on_tardy(void *user, uint64_t incarnation)
{
    tell(user, EVENT_TARDY, incarnation);
}

void tp_cluster_set_tls(tp_cluster *self, tp_tls_context *tls)
{
    tp_tls_context_give(&self->next_tls, tls);
    tp_outpost **outposts = tp_control_outposts(self);
    for (uint32_t i = 0; outposts != NULL && i < self->options.shards; i++)
        tp_outpost_set_tls(outposts[i], tls);
}

troupe_status tp_cluster_rebalance(tp_cluster *self, uint64_t timeout, tp_balancer_wish *wish)
{
    tp_env *env = self->env;
    TROUPE_TRY(env->wait_begin(env, &wish->waiter));
    troupe_status status = tp_balancer_ask(&self->balancer, wish);
    if (status == TROUPE_OK) {
        env->runner_wake(env, &self->runner);
        if (!env->wait(env, &wish->waiter, tp_time_after(env->now(env), timeout))) {
            if (tp_balancer_withdraw(&self->balancer, wish))
                status = TROUPE_TIMEOUT;
            else
                (void)env->wait(env, &wish->waiter, TP_NEVER); /* its cycle is under way */
        }
    }
    env->wait_end(env, &wish->waiter);
    return status == TROUPE_OK ? wish->status : status;
}

void tp_cluster_leave(tp_cluster *self)
{
    tell(self, EVENT_LEAVE, 0);
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Until `holds`, or the moment. */
static bool await(tp_cluster *self, bool (*holds)(tp_cluster *self), uint64_t deadline)
{
    for (;;) {
        tp_waiter waiter = {0};
        if (self->env->wait_begin(self->env, &waiter) != TROUPE_OK)
            return holds(self);
        tp_control_lock(self);
        self->waiter = &waiter;
        tp_control_unlock(self);
        bool is_so = holds(self);
        bool in_time = is_so || self->env->wait(self->env, &waiter, deadline);
        tp_control_lock(self);
        bool was_taken = self->waiter != &waiter;
        self->waiter = NULL;
        tp_control_unlock(self);
        /* Who took it has signalled, or is about to. */
        if (was_taken && !in_time)
            (void)self->env->wait(self->env, &waiter, TP_NEVER);
        else if (was_taken && is_so)
            (void)self->env->wait(self->env, &waiter, TP_NEVER);
        self->env->wait_end(self->env, &waiter);
        if (is_so || holds(self))
            return true;
        if (!in_time)
            return false;
    }
}

static tp_cluster_state state_of(tp_cluster *self)
{
    tp_control_lock(self);
    tp_cluster_state state = self->look.state;
    tp_control_unlock(self);
    return state;
}

static bool has_begun(tp_cluster *self)
{
    return atomic_load(&self->has_begun);
}

static bool is_member(tp_cluster *self)
{
    tp_cluster_state state = state_of(self);
    return state == TP_CLUSTER_MEMBER || state == TP_CLUSTER_DIED;
}

static bool has_left(tp_cluster *self)
{
    tp_cluster_state state = state_of(self);
    return state == TP_CLUSTER_LEFT || state == TP_CLUSTER_DIED;
}

static void close_handles(const tp_cluster_options *options)
{
    for (int i = 0; i < TELLERS; i++)
        options->handles[i]->close(options->handles[i]);
}

troupe_status tp_cluster_open(
    const tp_cluster_options *options, tp_cluster **ret_cluster, char *error, size_t error_size)
{
    const troupe_allocator *allocator = options->shared->allocator;
    tp_cluster *self = tp_allocate_lines(allocator, sizeof *self);
    if (self == NULL) {
        close_handles(options);
        (void)snprintf(error, error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    self->options = *options;
    self->tls = options->tls;
    if (self->tls != NULL)
        tp_tls_context_retain(self->tls);
    self->allocator = allocator;
    self->shared = options->shared;
    self->env = options->shared->env;
    (void)snprintf(self->name, sizeof self->name, "%s", options->name);
    (void)snprintf(self->token, sizeof self->token, "%s", options->token);
    (void)snprintf(self->node, sizeof self->node, "%s", options->node);
    (void)snprintf(self->listen, sizeof self->listen, "%s", options->listen);
    (void)snprintf(self->address, sizeof self->address, "%s", options->address);
    atomic_flag_clear(&self->lock);
    tp_mpsc_init(&self->events);
    tp_mpsc_init(&self->answers);
    tp_loads_init(&self->loads, allocator);
    tp_reporter_init(&self->reporter, self->shared, &self->loads);
    tp_balancer_init(&self->balancer, self->shared, &self->runner, &self->loads);
    atomic_store(&self->shared->lease_until, 0);
    troupe_status status = tp_control_start(self);
    if (status == TROUPE_OK) {
        (void)await(self, has_begun, TP_NEVER);
        status = self->open_status;
        (void)snprintf(error, error_size, "%s", self->open_error);
    }
    if (status != TROUPE_OK) {
        if (error[0] == 0)
            (void)snprintf(error, error_size, "%s", troupe_status_text(status));
        tp_cluster_stop(self);
        tp_cluster_close(self);
        return status;
    }
    *ret_cluster = self;
    return TROUPE_OK;
}

troupe_status tp_cluster_await(tp_cluster *self, uint64_t timeout, char *error, size_t error_size)
{
    uint64_t deadline = tp_time_after(self->env->now(self->env), timeout);
    if (!await(self, is_member, deadline)) {
        (void)snprintf(error, error_size,
            "this node did not become a member of cluster '%s' in time; does its store answer?",
            self->name);
        return TROUPE_TIMEOUT;
    }
    if (state_of(self) != TP_CLUSTER_DIED)
        return TROUPE_OK;
    (void)snprintf(
        error, error_size, "cluster '%s' did not keep this node: %s", self->name, self->reason);
    return TROUPE_UNAVAILABLE;
}

troupe_status tp_cluster_attach(tp_cluster *self)
{
    size_t size = self->options.shards * sizeof(tp_outpost *);
    tp_outpost **outposts = tp_allocate_zeroed(self->allocator, size);
    if (outposts == NULL)
        return TROUPE_NO_MEMORY;
    troupe_status status = TROUPE_OK;
    for (uint32_t i = 0; status == TROUPE_OK && i < self->options.shards; i++) {
        const tp_outpost_options options = {.shard = self->shared->shards[i],
            .incarnation = self->look.incarnation,
            .cluster = troupe_str(self->name),
            .token = troupe_str(self->token),
            .node = troupe_str(self->node),
            .address = troupe_str(self->address),
            .replicas = self->options.replicas,
            .tls = self->tls, /* nobody gives another before the node is open */
            .allows_clear_text = self->options.allows_clear_text,
            .loads = &self->loads,
            .newer_view = on_newer_view,
            .tardy = on_tardy,
            .user = self};
        status = tp_outpost_create(&options, &outposts[i]);
    }
    /* The views until now, and from here on each that comes. */
    tp_control_lock(self);
    tp_chart *before = self->chart_before, *chart = self->chart;
    for (uint32_t i = 0; status == TROUPE_OK && i < self->options.shards; i++) {
        if (before != NULL)
            tp_chart_retain(before);
        status = tp_outpost_install(outposts[i], before, tp_chart_retain(chart));
    }
    if (status == TROUPE_OK)
        self->outposts = outposts;
    tp_chart_retain(chart);
    tp_control_unlock(self);
    tp_chart_teach(chart, self->shared);
    tp_chart_release(chart);
    if (status == TROUPE_OK)
        return TROUPE_OK;
    for (uint32_t i = 0; i < self->options.shards; i++)
        tp_outpost_destroy(outposts[i]);
    tp_release(self->allocator, outposts, size);
    return status;
}

bool tp_cluster_emptied(tp_cluster *self, uint64_t timeout)
{
    tell(self, EVENT_EMPTIED, 0);
    return await(self, has_left, tp_time_after(self->env->now(self->env), timeout));
}

void tp_cluster_stop(tp_cluster *self)
{
    for (int i = 0; i < TELLERS; i++)
        tp_teller_stop(&self->tellers[i]);
    if (!self->is_started)
        return;
    atomic_store(&self->stops, true);
    self->env->runner_wake(self->env, &self->runner);
    self->env->runner_join(self->env, &self->runner);
    self->is_started = false;
}

static void drop_calls(tp_cluster *self, tp_mpsc *calls)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(calls); node != NULL;) {
        tp_teller_call *call = TP_CONTAINER(node, tp_teller_call, node);
        node = node->next;
        tp_view_release(call->effect.view);
        tp_member_outcome_deinit(&call->outcome);
        tp_release(self->allocator, call, sizeof *call);
    }
}

static void drop_messages(tp_cluster *self)
{
    drop_calls(self, &self->answers);
    for (int i = 0; i < TELLERS; i++) /* the control runner went on when they had ended */
        drop_calls(self, &self->tellers[i].calls);
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->events); node != NULL;) {
        event *came = TP_CONTAINER(node, event, node);
        node = node->next;
        tp_release(self->allocator, came, sizeof *came);
    }
    tp_member_effect effect;
    while (self->member != NULL && tp_member_take(self->member, &effect))
        tp_view_release(effect.view);
}

void tp_cluster_close(tp_cluster *self)
{
    if (self == NULL)
        return;
    for (uint32_t i = 0; self->outposts != NULL && i < self->options.shards; i++)
        tp_outpost_destroy(self->outposts[i]);
    tp_release(self->allocator, self->outposts,
        self->outposts != NULL ? self->options.shards * sizeof(tp_outpost *) : 0);
    drop_messages(self);
    tp_member_destroy(self->member);
    tp_chart_release(self->chart_before);
    tp_chart_release(self->chart);
    tp_view_release(self->to_install);
    tp_view_release(self->met);
    tp_balancer_deinit(&self->balancer);
    tp_loads_deinit(&self->loads);
    tp_tls_context_release(self->tls);
    tp_tls_context_release(atomic_load(&self->next_tls));
    tp_release_lines(self->allocator, self, sizeof *self);
}
