/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control runners of other nodes: the door that all connections to this node come by, and the
 * channels of control runners to one another, with their MEMBER frames (say.h) and loads
 * (reporter.h).
 *
 * Threads: the control runner's.
 */
#include "cluster/control_inside.h"

void tp_control_say(tp_cluster *self, uint64_t to, unsigned what, troupe_slice body)
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
    (void)tp_member_join_asked(self->member, tp_control_boot(self), candidate);
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
    tp_member_reached(self->member, tp_control_boot(self), channel->peer);
    if (word.what == TP_SAY_PROBE)
        tp_control_say(self, channel->peer, TP_SAY_PROBED, (troupe_slice){NULL, 0});
    if (word.what == TP_SAY_VOTE && word.body.size == 8)
        tp_member_heard_vote(
            self->member, tp_control_boot(self), channel->peer, tp_get_number(word.body.data, 8));
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
    return tp_chart_address(view != NULL ? tp_view_find(view, incarnation) : NULL, address, size);
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
    tp_member_peer_number(self->member, tp_control_boot(self), number);
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

troupe_status tp_control_open_channels(tp_cluster *self)
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
            .node = troupe_str(self->node),
            .address = troupe_str(self->address)},
        .cluster = troupe_str(self->name),
        .token = troupe_str(self->token),
        .tls = self->tls,
        .allows_clear_text = self->options.allows_clear_text,
        .log = on_log};
    return tp_channels_create(&options, &self->channels);
}

void tp_control_renew_tls(tp_cluster *self)
{
    tp_tls_context *tls = tp_tls_context_take(&self->next_tls);
    if (tls == NULL)
        return;
    tp_tls_context_release(self->tls);
    self->tls = tls;
    if (self->channels != NULL)
        tp_channels_set_tls(self->channels, self->tls);
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
    tp_outpost **outposts = tp_control_outposts(self);
    if (outposts == NULL || preamble.shard >= self->options.shards) {
        self->env->net.drop(self->env, socket); /* not yet; it comes again */
        return;
    }
    tp_outpost_adopt(outposts[preamble.shard], socket, preamble, rest, rest_size);
}

troupe_status tp_control_listen(tp_cluster *self)
{
    const tp_door_options door = {.env = self->env,
        .runner = &self->runner,
        .allocator = self->allocator,
        .address = self->listen,
        .come = on_come,
        .log = on_log,
        .user = self};
    TROUPE_TRY(tp_door_open(&door, &self->door, self->open_error, sizeof self->open_error));
    if (self->address[0] == 0)
        tp_door_address(self->door, self->address, sizeof self->address);
    return tp_control_open_channels(self);
}
