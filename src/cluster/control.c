/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control runner of a node: drives the machine of membership, asks the store through tellers,
 * answers probes, opens the door, hands views and connections to the shards. See cluster.h.
 *
 * Members' control runners speak by MEMBER frames (say.h), and tell their loads (reporter.h).
 *
 * Threads: all here the control runner's, but for the functions of cluster.h and `told`.
 */
#include "cluster/control_inside.h"

#include "base/alloc.h"

#include <stdio.h>

#define SHARDS_LOOK TROUPE_MILLISECONDS(250) /* between two looks whether the shards pass */

static void lock(tp_cluster *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire))
        ;
}

static void unlock(tp_cluster *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

static tp_outpost **outposts_of(tp_cluster *self)
{
    lock(self);
    tp_outpost **outposts = self->outposts;
    unlock(self);
    return outposts;
}

static uint64_t boot(const tp_cluster *self)
{
    return self->env->boot(self->env);
}

/* ---- what others may see --------------------------------------------------------------------- */

static void show(tp_cluster *self, tp_cluster_state state)
{
    tp_member_state member = tp_member_look(self->member);
    lock(self);
    self->look.state = state;
    self->look.incarnation = self->incarnation;
    self->look.counts = member.counts;
    self->look.ttl = member.ttl;
    tp_waiter *waiter = self->waiter;
    self->waiter = NULL;
    unlock(self);
    if (waiter != NULL)
        self->env->signal(self->env, waiter);
}

tp_load_sheet *tp_cluster_loads(tp_cluster *self)
{
    return tp_loads_take(&self->loads);
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
    return status;
}

troupe_status tp_cluster_see(tp_cluster *self, tp_cluster_look *ret_look)
{
    lock(self);
    *ret_look = self->look;
    if (ret_look->chart != NULL)
        tp_chart_retain(ret_look->chart);
    unlock(self);
    uint64_t until = atomic_load(&self->shared->lease_until), now = boot(self);
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

void tp_cluster_address(const tp_cluster *self, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", self->address);
}

/* ---- what other threads say ------------------------------------------------------------------ */

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

static void told(void *user, tp_teller_call *call)
{
    tp_cluster *self = user;
    if (call != NULL)
        tp_mpsc_push(&self->answers, &call->node);
    else
        atomic_store(&self->changed, true);
    self->env->runner_wake(self->env, &self->runner);
}

/* ---- other control runners ------------------------------------------------------------------- */

static void say(tp_cluster *self, uint64_t to, unsigned what, troupe_slice body)
{
    tp_channel *channel =
        self->channels != NULL ? tp_channels_get(self->channels, to, TP_SHARD_CONTROL) : NULL;
    if (channel == NULL)
        return;
    channel->is_wanted = true;
    tp_say(channel, what, body);
}

static void take_join(tp_cluster *self, troupe_slice text)
{
    const tp_view *candidate;
    char error[128];
    if (tp_view_parse(self->allocator, 1, text, &candidate, error, sizeof error) != TROUPE_OK)
        return;
    (void)tp_member_join_asked(self->member, boot(self), candidate);
    tp_view_release(candidate);
}

static const char *on_frame(void *user, tp_channel *channel, const tp_session_frame *frame)
{
    tp_cluster *self = user;
    tp_wire_word word;
    if (frame->kind == TP_FRAME_LOAD)
        return tp_reporter_load(&self->reporter, channel->peer, frame);
    if (frame->kind != TP_FRAME_MEMBER)
        return NULL;
    const char *fault = tp_wire_word_get(frame->body, &word);
    if (fault != NULL)
        return fault;
    tp_member_reached(self->member, boot(self), channel->peer);
    if (word.what == TP_SAY_PROBE)
        say(self, channel->peer, TP_SAY_PROBED, (troupe_slice){NULL, 0});
    if (word.what == TP_SAY_VOTE && word.body.size == 8)
        tp_member_heard_vote(
            self->member, boot(self), channel->peer, tp_get_number(word.body.data, 8));
    if (word.what == TP_SAY_JOIN)
        take_join(self, word.body);
    if (word.what == TP_SAY_ECHO)
        tp_say(channel, TP_SAY_ECHOED, word.body);
    if (word.what == TP_SAY_ECHOED)
        tp_reporter_echoed(&self->reporter, channel->peer, word.body);
    return NULL;
}

static const tp_view *known_view(const tp_cluster *self)
{
    return self->chart != NULL ? self->chart->members : self->met;
}

static bool find_member(void *user, uint64_t incarnation, char *address, size_t size)
{
    const tp_view *view = known_view(user);
    const tp_view_member *member = view != NULL ? tp_view_find(view, incarnation) : NULL;
    if (member == NULL || member->address.size >= size)
        return false;
    memcpy(address, member->address.data, member->address.size);
    address[member->address.size] = 0;
    return true;
}

static tp_peer_answer judge(void *user, const tp_hello_side *peer)
{
    tp_cluster *self = user;
    if (peer->incarnation == 0)
        return TP_PEER_KNOWN; /* a candidate: it may ask to join */
    const tp_view *view = known_view(self);
    if (view != NULL && tp_view_find(view, peer->incarnation) != NULL)
        return TP_PEER_KNOWN;
    return view == NULL || peer->view > view->number ? TP_PEER_BEHIND : TP_PEER_STRANGE;
}

static void on_peer_view(void *user, uint64_t number)
{
    tp_cluster *self = user;
    tp_member_peer_number(self->member, boot(self), number);
}

/* Whoever does not pass there must not write itself in either, though the store would take it: it
 * would be home to ids that nobody can ask it for. Performed with the pass that called. */
static void on_denied(void *user, const char *reason)
{
    tp_cluster *self = user;
    tp_member_denied(self->member, reason);
}

/* Control runners speak also while the lease has run out: probes and votes rest on no turn. */
static bool may_send(void *user)
{
    (void)user;
    return true;
}

static void on_log(void *user, int level, const char *what, const char *peer, const char *text)
{
    tp_cluster *self = user;
    if (level == 0)
        TP_LOG(self->shared->log, TROUPE_LOG_DEBUG, "control_channel",
            TP_FIELDS(tp_field_string("what", what), tp_field_string("peer", peer)), "%s", text);
    else
        TP_LOG(self->shared->log, TROUPE_LOG_WARN, "control_channel",
            TP_FIELDS(tp_field_string("what", what), tp_field_string("peer", peer)), "%s", text);
}

static const tp_channels_calls channel_calls = {.find = find_member,
    .judge = judge,
    .frame = on_frame,
    .newer_view = on_peer_view,
    .denied = on_denied,
    .may_send = may_send};

static troupe_status open_channels(tp_cluster *self)
{
    uint16_t random;
    self->env->entropy(self->env, &random, sizeof random);
    const tp_channels_options options = {.env = self->env,
        .runner = &self->runner,
        .allocator = self->allocator,
        .calls = &channel_calls,
        .user = self,
        .self = {.incarnation = self->incarnation,
            .view = self->chart != NULL ? self->chart->view.number : 0,
            .shard = TP_SHARD_CONTROL,
            .link = self->incarnation != 0 ? 0 : random, /* candidates differ by this */
            .shards = (uint16_t)self->options.shards,
            .max_frame = 1u << 22,
            .node = troupe_str(self->node),
            .address = troupe_str(self->address)},
        .cluster = troupe_str(self->name),
        .token = troupe_str(self->token),
        .tls = self->tls,
        .allows_clear_text = self->options.allows_clear_text,
        .log = on_log};
    return tp_channels_create(&options, &self->channels);
}

static void renew_tls(tp_cluster *self)
{
    tp_tls_context *tls = tp_tls_context_take(&self->next_tls);
    if (tls == NULL)
        return;
    tp_tls_context_release(self->tls);
    self->tls = tls;
    if (self->channels != NULL)
        tp_channels_set_tls(self->channels, self->tls);
}

void tp_cluster_set_tls(tp_cluster *self, tp_tls_context *tls)
{
    tp_tls_context_give(&self->next_tls, tls);
    tp_outpost **outposts = outposts_of(self);
    for (uint32_t i = 0; outposts != NULL && i < self->options.shards; i++)
        tp_outpost_set_tls(outposts[i], tls);
}

/* ---- the door -------------------------------------------------------------------------------- */

static void on_come(
    void *user, tp_socket socket, tp_preamble preamble, const void *rest, size_t rest_size)
{
    tp_cluster *self = user;
    if (preamble.shard == TP_SHARD_CONTROL && self->channels != NULL) {
        tp_channels_accept(self->channels, socket, preamble, rest, rest_size);
        return;
    }
    tp_outpost **outposts = outposts_of(self);
    if (outposts == NULL || preamble.shard >= self->options.shards) {
        self->env->net.drop(self->env, socket); /* not yet; it comes again */
        return;
    }
    tp_outpost_adopt(outposts[preamble.shard], socket, preamble, rest, rest_size);
}

/* ---- effects --------------------------------------------------------------------------------- */

static void call_store(tp_cluster *self, const tp_member_effect *effect)
{
    tp_teller_call *call = tp_allocate_zeroed(self->allocator, sizeof *call);
    if (call == NULL) {
        const tp_member_answer answer = {
            .op = effect->op, .id = effect->id, .status = TROUPE_NO_MEMORY};
        tp_view_release(effect->view);
        tp_member_answered(self->member, boot(self), &answer);
        return;
    }
    call->effect = *effect;
    unsigned teller = effect->op == TP_MEMBER_RAISE ? LEASE_TELLER : VIEW_TELLER;
    tp_teller_ask(&self->tellers[teller], call);
}

static void hand_out(tp_cluster *self)
{
    tp_outpost **outposts = outposts_of(self);
    for (uint32_t i = 0; outposts != NULL && i < self->options.shards; i++) {
        tp_chart_retain(self->chart);
        if (tp_outpost_install(outposts[i], NULL, self->chart) != TROUPE_OK)
            tp_chart_release(self->chart); /* the next view comes, or the barrier asks for this */
    }
}

static void tell_gone(tp_cluster *self, const tp_view *view)
{
    for (size_t i = 0; i < view->change_count; i++) {
        const tp_view_change *change = &view->changes[i];
        bool is_news = self->chart == NULL || change->view > self->chart->view.number;
        if (is_news && (change->what == TP_VIEW_LEFT || change->what == TP_VIEW_REVOKED))
            self->options.gone(self->options.user, change->incarnation);
    }
}

static void drop_gone_channels(tp_cluster *self)
{
    for (uint32_t i = 0; self->chart_before != NULL && i < self->chart_before->view.member_count;
         i++) {
        uint64_t node = self->chart_before->view.members[i].node;
        if (tp_directory_find_member(&self->chart->view, node) == TP_DIRECTORY_NOBODY)
            tp_channels_gone(self->channels, node, NULL, NULL);
    }
}

/* Takes the reference if it is done. */
static bool install(tp_cluster *self, const tp_view *view)
{
    tp_chart *chart;
    if (tp_chart_create(self->allocator, view, &chart) != TROUPE_OK)
        return false;
    tell_gone(self, view);
    lock(self);
    tp_chart_release(self->chart_before);
    self->chart_before = self->chart;
    self->chart = chart;
    self->look.chart = chart;
    unlock(self);
    if (self->channels != NULL && self->incarnation != 0) {
        tp_channels_set_view(self->channels, self->incarnation, view->number);
        drop_gone_channels(self);
    }
    atomic_store(&self->tellers[WATCH_TELLER].seen, view->number);
    hand_out(self);
    TP_LOG(self->shared->log, TROUPE_LOG_INFO, "view",
        TP_FIELDS(tp_field_number("number", view->number),
            tp_field_number("members", view->member_count)),
        "a new view of the cluster");
    tp_view_release(view);
    return true;
}

static void joined(tp_cluster *self, uint64_t incarnation)
{
    self->incarnation = incarnation;
    tp_channels_destroy(self->channels);
    self->channels = NULL;
    if (open_channels(self) != TROUPE_OK)
        self->channels = NULL; /* tried again with the next pass */
}

static void rouse(tp_cluster *self, bool is_lost)
{
    tp_outpost **outposts = outposts_of(self);
    for (uint32_t i = 0; outposts != NULL && i < self->options.shards; i++)
        tp_outpost_rouse(outposts[i], is_lost);
}

static void probe(tp_cluster *self, uint64_t to)
{
    for (uint32_t i = 0; self->chart != NULL && i < self->chart->view.member_count; i++) {
        uint64_t node = self->chart->view.members[i].node;
        if (node != self->incarnation && (to == 0 || to == node))
            say(self, node, TP_SAY_PROBE, (troupe_slice){NULL, 0});
    }
}

static void ask_join(tp_cluster *self, const tp_member_effect *effect)
{
    tp_view_release(self->met);
    self->met = effect->view;
    if (self->chart == NULL)
        say(self, effect->to, TP_SAY_JOIN, tp_member_candidate(self->member)->text);
}

static void vote(tp_cluster *self, const tp_member_effect *effect)
{
    char body[8];
    tp_put_64(body, effect->target);
    say(self, effect->to, TP_SAY_VOTE, (troupe_slice){body, sizeof body});
}

static void died(tp_cluster *self, const char *reason)
{
    atomic_store(&self->shared->lease_until, 0);
    self->reason = reason;
    TP_LOG(self->shared->log, TROUPE_LOG_ERROR, "died", TP_FIELDS(tp_field_string("why", reason)),
        "this node is out of the cluster and has no effects any more: start it anew");
    show(self, TP_CLUSTER_DIED);
    rouse(self, true);
    self->options.died(self->options.user, reason);
}

static void perform(tp_cluster *self, const tp_member_effect *effect)
{
    switch (effect->kind) {
    case TP_MEMBER_CALL:
        call_store(self, effect);
        return;
    case TP_MEMBER_LEASE:
        atomic_store_explicit(&self->shared->lease_until, effect->until, memory_order_release);
        return;
    case TP_MEMBER_JOINED:
        joined(self, effect->incarnation);
        return;
    case TP_MEMBER_INSTALL:
        if (!install(self, effect->view)) {
            tp_view_release(self->to_install);
            self->to_install = effect->view;
        }
        return;
    case TP_MEMBER_SUSPENDED:
        TP_LOG(self->shared->log, TROUPE_LOG_WARN, "suspended", TP_NO_FIELDS,
            "the lease has run out, for the membership store did not answer in time: no turn "
            "starts "
            "and nothing leaves until it is back");
        show(self, TP_CLUSTER_SUSPENDED);
        return;
    case TP_MEMBER_RESUMED:
        TP_LOG(self->shared->log, TROUPE_LOG_INFO, "member",
            TP_FIELDS(tp_field_number("incarnation", self->incarnation)),
            "this node is a member and has a lease");
        show(self, TP_CLUSTER_MEMBER);
        rouse(self, false);
        return;
    case TP_MEMBER_PROBE:
        probe(self, effect->to);
        return;
    case TP_MEMBER_SAY_VOTE:
        vote(self, effect);
        return;
    case TP_MEMBER_ASK_JOIN:
        ask_join(self, effect);
        return;
    case TP_MEMBER_LEFT:
        atomic_store(&self->shared->lease_until, 0);
        self->is_over = true; /* nobody lets it in any more */
        show(self, TP_CLUSTER_LEFT);
        return;
    case TP_MEMBER_DIED:
        died(self, effect->reason);
        return;
    }
}

static void perform_all(tp_cluster *self)
{
    tp_member_effect effect;
    while (tp_member_take(self->member, &effect))
        perform(self, &effect);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void take_answers(tp_cluster *self)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->answers); node != NULL;) {
        tp_teller_call *call = TP_CONTAINER(node, tp_teller_call, node);
        node = node->next;
        tp_member_answered(self->member, boot(self), &call->outcome.answer);
        perform_all(self);
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
        uint64_t now = boot(self);
        switch (came->kind) {
        case EVENT_NEWER:
            tp_member_peer_number(self->member, now, came->number);
            break;
        case EVENT_TARDY: /* probes find out, and votes follow */
            say(self, came->number, TP_SAY_PROBE, (troupe_slice){NULL, 0});
            break;
        case EVENT_LEAVE:
            tp_member_leave(self->member, now);
            break;
        case EVENT_EMPTIED:
            tp_member_emptied(self->member, now);
            break;
        }
        perform_all(self);
        tp_release(self->allocator, came, sizeof *came);
    }
    if (atomic_exchange(&self->changed, false)) {
        tp_member_changed(self->member, boot(self));
        perform_all(self);
    }
}

static void show_doubts(tp_cluster *self)
{
    uint64_t doubted[TP_CLUSTER_DOUBTED];
    uint32_t count = 0;
    const tp_view *view = self->chart != NULL ? self->chart->members : NULL;
    for (size_t i = 0; view != NULL && i < view->member_count && count < TP_CLUSTER_DOUBTED; i++)
        if (tp_member_doubts(self->member, view->members[i].incarnation))
            doubted[count++] = view->members[i].incarnation;
    tp_member_counts counts = tp_member_look(self->member).counts;
    lock(self);
    memcpy(self->look.doubted, doubted, sizeof doubted[0] * count);
    self->look.doubted_count = count;
    self->look.counts = counts;
    unlock(self);
}

/* A shard that sleeps is well; one that works has passed since the last look, or is stuck. */
static uint64_t look_at_shards(tp_cluster *self, uint64_t now)
{
    if (now < self->shards_looked + SHARDS_LOOK)
        return self->shards_looked + SHARDS_LOOK;
    self->shards_looked = now;
    lock(self);
    bool is_attached = self->outposts != NULL;
    unlock(self);
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
    perform_all(self);
    return now + SHARDS_LOOK;
}

static uint64_t sooner(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static uint64_t report(tp_cluster *self, uint64_t now)
{
    tp_outpost **outposts = outposts_of(self);
    uint64_t due = tp_reporter_pass(
        &self->reporter, now, self->incarnation, self->chart, self->channels, outposts);
    if (outposts == NULL || self->chart == NULL)
        return due;
    return sooner(
        due, tp_balancer_pass(&self->balancer, now, self->incarnation, self->chart, outposts));
}

static void begin(tp_cluster *self)
{
    const tp_door_options door = {.env = self->env,
        .runner = &self->runner,
        .allocator = self->allocator,
        .address = self->listen,
        .come = on_come,
        .log = on_log,
        .user = self};
    self->is_open = true;
    self->open_status = tp_door_open(&door, &self->door, self->open_error, sizeof self->open_error);
    if (self->open_status == TROUPE_OK) {
        if (self->address[0] == 0)
            tp_door_address(self->door, self->address, sizeof self->address);
        self->open_status = open_channels(self);
    }
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
        tp_member_start(self->member, boot(self));
    atomic_store(&self->has_begun, true);
    lock(self);
    tp_waiter *waiter = self->waiter;
    self->waiter = NULL;
    unlock(self);
    if (waiter != NULL)
        self->env->signal(self->env, waiter);
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
    renew_tls(self);
    if (!self->is_open)
        begin(self);
    if (self->open_status != TROUPE_OK)
        return TP_NEVER;
    if (self->to_install != NULL && install(self, self->to_install))
        self->to_install = NULL;
    if (self->is_over) {
        tp_channels_destroy(self->channels);
        self->channels = NULL;
    } else if (self->channels == NULL) {
        (void)open_channels(self);
    }
    uint64_t now = self->env->now(self->env);
    uint64_t due = tp_door_pass(self->door, now);
    if (self->channels != NULL)
        (void)tp_channels_pass(self->channels, now);
    perform_all(self);
    take_answers(self);
    take_events(self);
    uint64_t boot_now = boot(self);
    uint64_t shards = look_at_shards(self, boot_now);
    due = sooner(due, report(self, now));
    if (tp_member_next(self->member) <= boot_now) {
        tp_member_tick(self->member, boot_now);
        perform_all(self);
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

/* ---- open and close -------------------------------------------------------------------------- */

/* Until `holds`, or the moment. */
static bool await(tp_cluster *self, bool (*holds)(tp_cluster *self), uint64_t deadline)
{
    for (;;) {
        tp_waiter waiter = {0};
        if (self->env->wait_begin(self->env, &waiter) != TROUPE_OK)
            return holds(self);
        lock(self);
        self->waiter = &waiter;
        unlock(self);
        bool is_so = holds(self);
        bool in_time = is_so || self->env->wait(self->env, &waiter, deadline);
        lock(self);
        bool was_taken = self->waiter != &waiter;
        self->waiter = NULL;
        unlock(self);
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
    lock(self);
    tp_cluster_state state = self->look.state;
    unlock(self);
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

static troupe_status start(tp_cluster *self)
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
    troupe_status status = start(self);
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
            .session = self->options.session,
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
    lock(self);
    tp_chart *before = self->chart_before, *chart = self->chart;
    for (uint32_t i = 0; status == TROUPE_OK && i < self->options.shards; i++) {
        if (before != NULL)
            tp_chart_retain(before);
        status = tp_outpost_install(outposts[i], before, tp_chart_retain(chart));
    }
    if (status == TROUPE_OK)
        self->outposts = outposts;
    unlock(self);
    if (status == TROUPE_OK)
        return TROUPE_OK;
    for (uint32_t i = 0; i < self->options.shards; i++)
        tp_outpost_destroy(outposts[i]);
    tp_release(self->allocator, outposts, size);
    return status;
}

void tp_cluster_leave(tp_cluster *self)
{
    tell(self, EVENT_LEAVE, 0);
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

static void drop_messages(tp_cluster *self)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->answers); node != NULL;) {
        tp_teller_call *call = TP_CONTAINER(node, tp_teller_call, node);
        node = node->next;
        tp_view_release(call->effect.view);
        tp_member_outcome_deinit(&call->outcome);
        tp_release(self->allocator, call, sizeof *call);
    }
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
