/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what the machine of membership wants: asks the store, installs views, votes, keeps the lease
 * where shards see it, says who is out. It decides nothing.
 *
 * Threads: the control runner's.
 */
#include "cluster/control_inside.h"

#include "base/alloc.h"

static void show(tp_cluster *self, tp_cluster_state state)
{
    tp_member_state member = tp_member_look(self->member);
    tp_control_lock(self);
    self->look.state = state;
    self->look.incarnation = self->incarnation;
    self->look.counts = member.counts;
    self->look.ttl = member.ttl;
    tp_control_unlock(self);
    tp_control_signal(self);
}

/* ---- views ----------------------------------------------------------------------------------- */

static void hand_out(tp_cluster *self)
{
    tp_outpost **outposts = tp_control_outposts(self);
    if (outposts != NULL)
        tp_chart_teach(self->chart, self->shared);
    for (uint32_t i = 0; outposts != NULL && i < self->options.shards; i++) {
        tp_chart_retain(self->chart);
        if (tp_outpost_install(outposts[i], NULL, self->chart) != TROUPE_OK)
            tp_chart_release(self->chart); /* the next view comes, or the barrier asks for this */
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

bool tp_control_install(tp_cluster *self, const tp_view *view)
{
    tp_chart *chart;
    if (tp_chart_create(self->allocator, view, self->chart, &chart) != TROUPE_OK)
        return false;
    tp_chart_each_gone(self->chart, view, self->options.gone, self->options.user);
    tp_control_lock(self);
    tp_chart_release(self->chart_before);
    self->chart_before = self->chart;
    self->chart = chart;
    self->look.chart = chart;
    tp_control_unlock(self);
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

/* ---- effects --------------------------------------------------------------------------------- */

static void call_store(tp_cluster *self, const tp_member_effect *effect)
{
    tp_teller_call *call = tp_allocate_zeroed(self->allocator, sizeof *call);
    if (call == NULL) {
        const tp_member_answer answer = {
            .op = effect->op, .id = effect->id, .status = TROUPE_NO_MEMORY};
        tp_view_release(effect->view);
        tp_member_answered(self->member, tp_control_boot(self), &answer);
        return;
    }
    call->effect = *effect;
    unsigned teller = effect->op == TP_MEMBER_RAISE ? LEASE_TELLER : VIEW_TELLER;
    tp_teller_ask(&self->tellers[teller], call);
}

static void joined(tp_cluster *self, uint64_t incarnation)
{
    self->incarnation = incarnation;
    tp_channels_destroy(self->channels);
    self->channels = NULL;
    if (tp_control_open_channels(self) != TROUPE_OK)
        self->channels = NULL; /* tried again with the next pass */
}

static void rouse(tp_cluster *self, bool is_lost)
{
    tp_outpost **outposts = tp_control_outposts(self);
    for (uint32_t i = 0; outposts != NULL && i < self->options.shards; i++)
        tp_outpost_rouse(outposts[i], is_lost);
}

static void probe(tp_cluster *self, uint64_t to)
{
    for (uint32_t i = 0; self->chart != NULL && i < self->chart->view.member_count; i++) {
        uint64_t node = self->chart->view.members[i].node;
        if (node != self->incarnation && (to == 0 || to == node))
            tp_control_say(self, node, TP_SAY_PROBE, (troupe_slice){NULL, 0});
    }
}

static void ask_join(tp_cluster *self, const tp_member_effect *effect)
{
    tp_view_release(self->met);
    self->met = effect->view;
    if (self->chart == NULL)
        tp_control_say(self, effect->to, TP_SAY_JOIN, tp_member_candidate(self->member)->text);
}

static void vote(tp_cluster *self, const tp_member_effect *effect)
{
    char body[8];
    tp_put_64(body, effect->target);
    tp_control_say(self, effect->to, TP_SAY_VOTE, (troupe_slice){body, sizeof body});
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
        if (!tp_control_install(self, effect->view)) {
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

void tp_control_perform(tp_cluster *self)
{
    tp_member_effect effect;
    while (tp_member_take(self->member, &effect))
        perform(self, &effect);
}
