/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control runner of a node: its passes. It drives the machine of membership with what tellers,
 * other threads, other control runners and the clock say, and tells loads (reporter.h, balancer.h).
 * What is done about it stands in member_effects.c and peers.c (control_inside.h).
 *
 * Threads: all here the control runner's, but for `told` and tp_control_start.
 */
#include "cluster/control_inside.h"

#include "base/alloc.h"

#define SHARDS_LOOK TROUPE_MILLISECONDS(250) /* between two looks whether the shards pass */

void tp_control_signal(tp_cluster *self)
{
    tp_control_lock(self);
    tp_waiter *waiter = self->waiter;
    self->waiter = NULL;
    tp_control_unlock(self);
    if (waiter != NULL)
        self->env->signal(self->env, waiter);
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void told(void *user, tp_teller_call *call)
{
    tp_cluster *self = user;
    if (call != NULL)
        tp_mpsc_push(&self->answers, &call->node);
    else
        atomic_store(&self->changed, true);
    self->env->runner_wake(self->env, &self->runner);
}

static void take_answers(tp_cluster *self)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->answers); node != NULL;) {
        tp_teller_call *call = TP_CONTAINER(node, tp_teller_call, node);
        node = node->next;
        tp_member_answered(self->member, tp_control_boot(self), &call->outcome.answer);
        tp_control_perform(self);
        tp_view_release(call->effect.view);
        tp_member_outcome_deinit(&call->outcome);
        tp_release(self->allocator, call, sizeof *call);
    }
}

static void take_events(tp_cluster *self)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->events); node != NULL;) {
        event *came = TP_CONTAINER(node, event, node);
        node = node->next;
        uint64_t now = tp_control_boot(self);
        switch (came->kind) {
        case EVENT_NEWER:
            tp_member_peer_number(self->member, now, came->number);
            break;
        case EVENT_TARDY: /* probes find out, and votes follow */
            tp_control_say(self, came->number, TP_SAY_PROBE, (troupe_slice){NULL, 0});
            break;
        case EVENT_LEAVE:
            tp_member_leave(self->member, now);
            break;
        case EVENT_EMPTIED:
            tp_member_emptied(self->member, now);
            break;
        }
        tp_control_perform(self);
        tp_release(self->allocator, came, sizeof *came);
    }
    if (atomic_exchange(&self->changed, false)) {
        tp_member_changed(self->member, tp_control_boot(self));
        tp_control_perform(self);
    }
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void show_doubts(tp_cluster *self)
{
    uint64_t doubted[TP_CLUSTER_DOUBTED];
    uint32_t count = tp_member_doubted(self->member, doubted, TP_CLUSTER_DOUBTED);
    tp_member_counts counts = tp_member_look(self->member).counts;
    tp_control_lock(self);
    memcpy(self->look.doubted, doubted, sizeof doubted[0] * count);
    self->look.doubted_count = count;
    self->look.counts = counts;
    tp_control_unlock(self);
}

/* A shard that sleeps is well; one that works has passed since the last look, or is stuck. */
static uint64_t look_at_shards(tp_cluster *self, uint64_t now)
{
    if (now < self->shards_looked + SHARDS_LOOK)
        return self->shards_looked + SHARDS_LOOK;
    self->shards_looked = now;
    tp_control_lock(self);
    bool is_attached = self->outposts != NULL;
    tp_control_unlock(self);
    uint64_t oldest = now;
    for (uint32_t i = 0; is_attached && i < self->options.shards; i++) {
        tp_shard *shard = self->shared->shards[i];
        uint64_t passes = tp_cell_get(&shard->counters.passes);
        bool sleeps = atomic_load_explicit(&shard->runner.sleeping, memory_order_relaxed) != 0;
        if (passes != self->seen[i].passes || sleeps || self->seen[i].since == 0)
            self->seen[i].since = now;
        self->seen[i].passes = passes;
        if (self->seen[i].since < oldest)
            oldest = self->seen[i].since;
    }
    tp_member_shards(self->member, now, oldest);
    show_doubts(self);
    tp_control_perform(self);
    return now + SHARDS_LOOK;
}

static uint64_t sooner(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static uint64_t report(tp_cluster *self, uint64_t now)
{
    tp_outpost **outposts = tp_control_outposts(self);
    if (outposts == NULL) /* the shards are not there yet, or no more */
        return now + self->reporter.interval;
    uint64_t due =
        tp_reporter_pass(&self->reporter, now, self->incarnation, self->chart, self->channels);
    if (self->chart == NULL)
        return due;
    return sooner(
        due, tp_balancer_pass(&self->balancer, now, self->incarnation, self->chart, outposts));
}

static void begin(tp_cluster *self)
{
    self->is_open = true;
    self->open_status = tp_control_listen(self);
    if (self->open_status == TROUPE_OK) {
        tp_cluster_options *options = &self->options;
        tp_member_options member = {.allocator = self->allocator,
            .self = {.name = troupe_str(self->node),
                .address = troupe_str(self->address),
                .shards = options->shards,
                .types = options->types,
                .type_count = options->type_count,
                .labels = options->labels,
                .label_count = options->label_count},
            .ttl = options->ttl};
        self->env->entropy(self->env, &member.self.nonce, sizeof member.self.nonce);
        member.self.nonce >>= 1;
        self->env->entropy(self->env, member.secret, sizeof member.secret);
        self->env->entropy(self->env, &member.seed, sizeof member.seed);
        self->open_status = tp_member_create(&member, &self->member);
    }
    if (self->open_status == TROUPE_OK)
        tp_member_start(self->member, tp_control_boot(self));
    atomic_store(&self->has_begun, true);
    tp_control_signal(self);
}

/* From a moment of the clock that goes on in sleep to one of the runner's. */
static uint64_t due_of(uint64_t moment, uint64_t boot_now, uint64_t now)
{
    if (moment == TP_NEVER)
        return TP_NEVER;
    return moment <= boot_now ? now : now + (moment - boot_now);
}

static uint64_t step(tp_runner *runner)
{
    tp_cluster *self = TP_CONTAINER(runner, tp_cluster, runner);
    if (atomic_load(&self->stops)) {
        tp_channels_destroy(self->channels);
        tp_door_close(self->door);
        self->channels = NULL;
        self->door = NULL;
        return TP_STEP_DONE;
    }
    tp_control_renew_tls(self);
    if (!self->is_open)
        begin(self);
    if (self->open_status != TROUPE_OK)
        return TP_NEVER;
    if (self->to_install != NULL && tp_control_install(self, self->to_install))
        self->to_install = NULL;
    if (self->is_over) {
        tp_channels_destroy(self->channels);
        self->channels = NULL;
    } else if (self->channels == NULL) {
        (void)tp_control_open_channels(self);
    }
    uint64_t now = self->env->now(self->env);
    uint64_t due = tp_door_pass(self->door, now);
    if (self->channels != NULL)
        (void)tp_channels_pass(self->channels, now);
    tp_control_perform(self);
    take_answers(self);
    take_events(self);
    uint64_t boot_now = tp_control_boot(self);
    uint64_t shards = look_at_shards(self, boot_now);
    due = sooner(due, report(self, now));
    if (tp_member_next(self->member) <= boot_now) {
        tp_member_tick(self->member, boot_now);
        tp_control_perform(self);
    }
    if (self->channels != NULL)
        due = sooner(due, tp_channels_flush(self->channels, now));
    due = sooner(due, due_of(tp_member_next(self->member), boot_now, now));
    due = sooner(due, due_of(shards, boot_now, now));
    return due > now ? due : 0;
}

static bool has_arrivals(tp_runner *runner)
{
    tp_cluster *self = TP_CONTAINER(runner, tp_cluster, runner);
    return atomic_load(&self->stops) || atomic_load(&self->changed) ||
           !tp_mpsc_is_empty(&self->answers) || !tp_mpsc_is_empty(&self->events) ||
           tp_balancer_has_arrivals(&self->balancer) ||
           (self->channels != NULL && tp_channels_has_arrivals(self->channels)) ||
           (self->door != NULL && tp_door_has_arrivals(self->door));
}

/* ---- begin ----------------------------------------------------------------------------------- */

troupe_status tp_control_start(tp_cluster *self)
{
    /* Before the tellers begin: they wake it. */
    self->runner = (tp_runner){.step = step,
        .has_arrivals = has_arrivals,
        .name = "troupe-control",
        .number = TP_SHARD_CONTROL,
        .own_thread = true};
    for (int i = 0; i < TELLERS; i++) {
        self->tellers[i] = (tp_teller){.env = self->env,
            .allocator = self->allocator,
            .handle = self->options.handles[i],
            .watches = i == WATCH_TELLER,
            .told = told,
            .user = self};
    }
    for (int i = 0; i < TELLERS; i++)
        TROUPE_TRY(tp_teller_start(&self->tellers[i]));
    TROUPE_TRY(self->env->runner_start(self->env, &self->runner));
    self->is_started = true;
    return TROUPE_OK;
}
