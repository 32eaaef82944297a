/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a cluster that a shard has. See outpost.h. */
#include "cluster/outpost_inside.h"

#include "base/alloc.h"
#include "shard/durable.h"
#include "shard/move.h"
#include "shard/wake.h"

#define TICK         TROUPE_MILLISECONDS(20) /* of the directory, while it has something open */
#define MOVES_FOR    TROUPE_SECONDS(5)       /* of a node that closes: tries to move its actors */
#define TICK_AT_REST TROUPE_SECONDS(1)
#define COUNT_EVERY  TROUPE_SECONDS(1) /* the figures of links, which every thread may read */
#define HELD_BYTES   ((uint64_t)128 << 20)   /* of letters that the directory holds, at least */

static tp_outpost *of(tp_away *away)
{
    return (tp_outpost *)(void *)away;
}

static bool is_over(const tp_outpost *self)
{
    return tp_lease_is_lost(self->shard->shared);
}

/* ---- events ---------------------------------------------------------------------------------- */

bool tp_outpost_is_home(const tp_outpost *self, uint64_t hash)
{
    const tp_chart *chart = self->chart;
    if (chart == NULL)
        return false;
    uint32_t home = tp_directory_home(&chart->view, hash);
    return chart->view.members[home].node == self->options.incarnation;
}

bool tp_outpost_is_filling(const tp_outpost *self, const tp_directory_id *id)
{
    return tp_directory_held(self->directory) != 0 &&
           (tp_directory_held_of(self->directory, id) >= tp_hold_back_at(self) ||
               tp_directory_is_filling(self->directory));
}

static void feed_request(tp_outpost *self, tp_message *message)
{
    tp_outpost_letter *made = tp_letter_make(self, message);
    if (made == NULL) {
        tp_count(&self->shard->counters.no_memory);
        tp_message_answer(self->shard, message, TROUPE_NO_MEMORY, TROUPE_NOT_DONE,
            "no memory for a message to another node");
        return;
    }
    if (message->kind == TP_TELL && TP_UNLIKELY(tp_outpost_is_filling(self, &made->letter.id)))
        tp_hold_back(self, &self->held_back, message->hash);
    if (!tp_outpost_is_home(self, message->hash))
        made->letter.hint = tp_recall_hint(&self->recall, self->chart, &made->letter.id);
    tp_directory_request(self->directory, &made->letter);
}

static void feed_late(tp_outpost *self, tp_late_event *event)
{
    troupe_status status = TROUPE_OK;
    switch (event->kind) {
    case TP_LATE_REQUEST:
        feed_request(self, event->message);
        break;
    case TP_LATE_GONE: /* no memory: it stays ours, and is made anew when it is asked for */
        status = tp_directory_release(self->directory, &event->id);
        break;
    case TP_LATE_CAPTURED:
        status = tp_directory_captured(self->directory, &event->id, true);
        break;
    case TP_LATE_STAYS:
        status = tp_directory_captured(self->directory, &event->id, false);
        break;
    }
    if (status != TROUPE_OK)
        tp_count(&self->shard->counters.no_memory);
    tp_pool_give(&self->shard->pool, event);
}

void tp_outpost_drain(tp_outpost *self)
{
    if (self->drains)
        return;
    self->drains = true;
    for (;;) {
        const tp_directory_effect *effect;
        while ((effect = tp_directory_effect_take(self->directory)) != NULL)
            tp_outpost_perform(self, effect);
        tp_fifo_node *node = tp_fifo_pop_front(&self->late);
        if (node == NULL)
            break;
        feed_late(self, TP_CONTAINER(node, tp_late_event, next));
    }
    self->drains = false;
}

static void absent(tp_away *away, tp_message *message)
{
    tp_outpost *self = of(away);
    if (TP_UNLIKELY(is_over(self))) {
        tp_message_answer(self->shard, message, TROUPE_UNAVAILABLE, TROUPE_NOT_DONE,
            "this node was put out of the cluster");
        return;
    }
    if (!self->drains && tp_fifo_is_empty(&self->late)) {
        if (tp_outpost_follow(self, message)) {
            if (tp_directory_has_effects(self->directory))
                tp_outpost_drain(self);
            return;
        }
        feed_request(self, message);
        tp_outpost_drain(self);
        return;
    }
    tp_late_event *event = tp_late_make(self, TP_LATE_REQUEST, NULL);
    if (event == NULL) {
        tp_message_answer(self->shard, message, TROUPE_NO_MEMORY, TROUPE_NOT_DONE,
            "no memory for a message to another node");
        return;
    }
    event->message = message;
    tp_fifo_push_back(&self->late, &event->next);
    tp_outpost_drain(self);
}

static bool pass_by(tp_away *away, const tp_message_parts *parts, const tp_message_head *head)
{
    tp_outpost *self = of(away);
    bool is_clear = !self->drains && tp_fifo_is_empty(&self->late) && !is_over(self);
    return TP_LIKELY(is_clear) && tp_outpost_pass_by(self, parts, head);
}

static void follow(tp_away *away, uint64_t node, tp_message *message)
{
    tp_outpost *self = of(away);
    if (!is_over(self) && !tp_follow_send(self, node, message))
        TP_MARK(self->shard, "what follows an ask is lost");
    tp_pool_give(&self->shard->pool, message);
}

static uint64_t whose(const tp_away *away, uint32_t number, uint32_t *ret_shard)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    const tp_correspondent *it = tp_correspondents_at(&self->translator.correspondents, number);
    *ret_shard = it->shard;
    return it->peer;
}

static void note_record(tp_outpost *self, tp_late_kind kind, const tp_activation *actor)
{
    const tp_directory_id id = tp_mover_id(actor);
    tp_late_event *event = tp_late_make(self, kind, &id);
    if (event != NULL) /* else as above */
        tp_fifo_push_back(&self->late, &event->next);
}

/* The record is in the table until the caller returns: the directory hears of it then. */
static void gone(tp_away *away, const tp_activation *actor)
{
    tp_outpost *self = of(away);
    tp_mover_stays(&self->mover, actor);
    note_record(self, TP_LATE_GONE, actor);
}

/* What a type keeps in the store is found there by whoever asks next; the rest is moved. */
static bool moves_on(tp_away *away, tp_activation *actor)
{
    tp_outpost *self = of(away);
    if (actor->flags & TP_MOVES)
        return true;
    if (self->moves_until == 0)
        self->moves_until = tp_time_after(self->shard->now, MOVES_FOR);
    if (self->shard->now >= self->moves_until)
        return false; /* nobody takes it: a node that leaves does not wait for ever */
    const tp_extras *extras = actor->extras;
    bool has_timers = extras != NULL && extras->timer_count != 0;
    bool has_state =
        actor->type->is.persist == TROUPE_PERSIST_NONE && actor->type->is.state_size != 0;
    if (self->drains || self->chart == NULL || (!has_state && !has_timers))
        return false;
    const tp_directory_id id = tp_mover_id(actor);
    uint64_t to = 0;
    if (tp_placing_choose(
            &self->placing, self->chart, actor->type, &id, 0, self->shard->now, &to) != TROUPE_OK ||
        to == 0 || to == self->options.incarnation)
        return false;
    /* BUSY: it came by a move, and its source has still to hear that it runs. */
    troupe_status status = tp_outpost_move(self, &id, to);
    return status == TROUPE_OK || status == TROUPE_BUSY;
}

static void still(tp_away *away, tp_activation *actor)
{
    tp_outpost *self = of(away);
    const tp_directory_id id = tp_mover_id(actor);
    tp_late_event *event = tp_late_make(self, TP_LATE_CAPTURED, &id);
    if (event == NULL || !tp_mover_still(&self->mover, actor)) {
        tp_mover_stays(&self->mover, actor);
        tp_move_back(self->shard, actor);
        if (event != NULL)
            event->kind = TP_LATE_STAYS;
    }
    if (event != NULL)
        tp_fifo_push_back(&self->late, &event->next);
}

static void stays(tp_away *away, tp_activation *actor)
{
    tp_outpost *self = of(away);
    tp_mover_stays(&self->mover, actor);
    note_record(self, TP_LATE_STAYS, actor);
}

troupe_status tp_outpost_move(tp_outpost *self, const tp_directory_id *id, uint64_t to)
{
    troupe_status status = tp_directory_move(self->directory, id, to);
    tp_outpost_drain(self);
    return status;
}

/* ---- what this node sends to others ---------------------------------------------------------- */

static void send_away(tp_away *away, uint32_t number, tp_message *message)
{
    tp_outpost *self = of(away);
    tp_shard *shard = self->shard;
    const tp_correspondent *to = tp_correspondents_at(&self->translator.correspondents, number);
    if (message->kind == TP_ACKED) { /* its sender is an actor: wherever that is now */
        tp_send_control(shard, tp_hash_shard(message->hash, shard->shared->shard_count), message);
        return;
    }
    if (message->kind == TP_REPLY && to->peer != 0 && !to->is_gone) {
        tp_channel *channel = tp_outpost_channel(self, to->peer, to->agent);
        if (channel != NULL) {
            tp_line_reply(self, channel, number, message);
            return;
        }
        tp_count(&shard->counters.no_memory); /* the asker's deadline ends it: UNKNOWN */
    }
    tp_pool_give(&shard->pool, message);
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* Whoever waits is told; nothing that is queued begins, nor what turns that end still send: absent
 * refuses it. */
static void give_up(tp_outpost *self)
{
    tp_shard *shard = self->shard;
    tp_outside_let_go(shard, true);
    tp_arrivals_flush(shard);
    TP_LIST_EACH(&shard->recency, link)
    {
        tp_activation *actor = TP_CONTAINER(link, tp_activation, recency);
        tp_activation_guard(shard, actor);
        actor->flags &= (uint16_t)~TP_CAME; /* nor one that came by a move and waits to begin */
        tp_mailbox_fail_all(shard, actor, TROUPE_UNAVAILABLE, TP_PUT_OUT);
    }
}

static void renew_tls(tp_outpost *self)
{
    tp_tls_context *tls = tp_tls_context_take(&self->next_tls);
    if (tls != NULL)
        tp_channels_set_tls(self->channels, tls);
    tp_tls_context_release(tls);
}

void tp_outpost_set_tls(tp_outpost *self, tp_tls_context *tls)
{
    tp_tls_context_give(&self->next_tls, tls);
}

static void show_links(tp_outpost *self)
{
    tp_channels_counts counts = tp_channels_count(self->channels);
    tp_counters *shown = &self->shard->counters;
    self->counted_at = self->shard->now;
    tp_cell_set(&shown->link_connects, counts.connects);
    tp_cell_set(&shown->link_accepts, counts.accepts);
    tp_cell_set(&shown->link_refusals, counts.refusals);
    tp_cell_set(&shown->link_breaks, counts.breaks);
    tp_cell_set(&shown->link_idles, counts.idles);
    tp_cell_set(&shown->link_bytes_out, counts.sessions.bytes_out);
    tp_cell_set(&shown->link_bytes_in, counts.sessions.bytes_in);
    tp_cell_set(&shown->link_raw_out, counts.sessions.raw_out);
    tp_cell_set(&shown->link_batches_out, counts.sessions.batches_out);
    tp_cell_set(&shown->link_batches_in, counts.sessions.batches_in);
    tp_cell_set(&shown->link_resent, counts.sessions.resent);
    tp_cell_set(&shown->link_duplicates, counts.sessions.duplicates);
}

static bool pass(tp_away *away)
{
    tp_outpost *self = of(away);
    tp_shard *shard = self->shard;
    if (shard->now >= self->tick_at) {
        tp_directory_tick(self->directory, shard->now);
        self->tick_at = shard->now + TICK;
        tp_inquiries_tick(self);
        if (shard->now - self->counted_at >= COUNT_EVERY)
            show_links(self);
    }
    tp_outpost_drain(self);
    tp_recall_tick(&self->recall, self->directory);
    for (int i = 0; i < 16 && tp_directory_work(self->directory); i++)
        tp_outpost_drain(self);
    tp_outpost_drain(self);
    renew_tls(self);
    (void)tp_channels_pass(self->channels, shard->now);
    tp_outpost_drain(self);
    bool holds = tp_lease_holds(shard->shared);
    if (holds && self->was_suspended)
        tp_outside_let_go(shard, false);
    self->was_suspended = !holds;
    if (TP_UNLIKELY(is_over(self))) {
        give_up(self);
        return atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) >= TP_HURRYING;
    }
    return holds;
}

static bool has_open(const tp_outpost *self)
{
    tp_directory_figures figures;
    tp_directory_figures_get(self->directory, &figures);
    return self->waiting != 0 || !tp_list_is_empty(&self->mover.copies) ||
           !tp_list_is_empty(&self->mover.captures) || figures.held != 0 || figures.ways != 0 ||
           figures.tasks != 0;
}

static uint64_t flush(tp_away *away)
{
    tp_outpost *self = of(away);
    tp_outpost_drain(self);
    if (self->waiting != 0) {
        tp_channels_each(self->channels, tp_line_flush, self);
        tp_outpost_drain(self); /* ways of those that no frame holds have ended */
    }
    if (self->held_back != NULL &&
        tp_directory_held(self->directory) <= tp_hold_back_at(self) / 4)
        tp_let_on(self, &self->held_back);
    uint64_t due = tp_channels_flush(self->channels, self->shard->now);
    uint64_t tick = self->shard->now + (has_open(self) ? TICK : TICK_AT_REST);
    if (TP_UNLIKELY(self->was_suspended)) {
        uint64_t late = tp_outside_expire_held(self->shard);
        due = late < due ? late : due;
    }
    if (self->recall.tick_at < tick)
        tick = self->recall.tick_at;
    return due < tick ? due : tick;
}

static bool has_arrivals(const tp_away *away)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    return tp_channels_has_arrivals(self->channels) || !tp_fifo_is_empty(&self->late);
}

static bool is_quiet(const tp_away *away)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    if (is_over(self))
        return true;
    return tp_fifo_is_empty(&self->late) && !has_open(self) && tp_channels_are_idle(self->channels);
}

static bool wakes(const tp_away *away, const tp_type *type, uint64_t hash)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    return self->chart != NULL &&
           tp_chart_wakes(self->chart, self->options.incarnation, type->name, hash);
}

static bool is_leaving(const tp_away *away)
{
    const tp_outpost *self = (const tp_outpost *)(const void *)away;
    const tp_view_member *me = tp_chart_member(self->chart, self->options.incarnation);
    return me == NULL || me->status != TP_VIEW_ACTIVE;
}

static bool is_deserted(tp_away *away)
{
    tp_outpost *self = of(away);
    if (tp_chart_member(self->chart, self->options.incarnation) == NULL)
        return true; /* put out: what was here is lost */
    if (!is_leaving(away))
        return false; /* others do not know yet */
    bool is_still = self->shard->active == 0 && is_quiet(away);
    if (TP_MUTANT(self->shard, TP_MUTANT_LEAVE_EARLY))
        return true;
    if (self->is_deserted && is_still && self->received == self->round_received)
        return true; /* it stays so, while other shards come to it */
    self->is_deserted = false;
    if (!self->in_round && !is_still)
        return false;
    if (!self->in_round) {
        self->in_round = true;
        self->round++;
        self->round_received = self->received;
    }
    bool has_ended = tp_directory_sound(self->directory, self->round);
    tp_outpost_drain(self);
    self->in_round = !has_ended;
    self->is_deserted = has_ended && is_still && self->received == self->round_received;
    return self->is_deserted;
}

static void end(tp_away *away)
{
    tp_outpost *self = of(away);
    if (self->channels != NULL)
        tp_channels_each(self->channels, tp_line_drop, self);
    tp_tls_context_release(atomic_load(&self->next_tls));
    tp_channels_destroy(self->channels);
    self->channels = NULL;
}

/* ---- views ----------------------------------------------------------------------------------- */

typedef struct view_delivery {
    tp_inbound inbound;
    tp_outpost *outpost;
    tp_chart *before, *chart;
} view_delivery;

/* False: no memory; again. */
static bool install_one(tp_outpost *self, tp_chart *chart)
{
    if (self->chart != NULL && chart->view.number <= self->chart->view.number)
        return true;
    if (tp_directory_install(self->directory, &chart->view) != TROUPE_OK)
        return false;
    tp_chart_release(self->chart_before);
    self->chart_before = self->chart;
    self->chart = tp_chart_retain(chart);
    self->translator.view = &self->chart->view;
    tp_outpost_drain(self);
    return true;
}

static void leave_gone(tp_outpost *self)
{
    for (uint32_t i = 0; self->chart_before != NULL && i < self->chart_before->view.member_count;
         i++) {
        uint64_t node = self->chart_before->view.members[i].node;
        if (tp_directory_find_member(&self->chart->view, node) != TP_DIRECTORY_NOBODY)
            continue;
        tp_recall_forget(&self->recall, node);
        tp_correspondents_gone(&self->translator.correspondents, node);
        tp_channels_gone(self->channels, node, tp_line_drop, self);
    }
}

static void view_came(tp_shard *shard, tp_inbound *inbound)
{
    view_delivery *delivery = TP_CONTAINER(inbound, view_delivery, inbound);
    tp_outpost *self = delivery->outpost;
    bool done = (delivery->before == NULL || install_one(self, delivery->before)) &&
                install_one(self, delivery->chart);
    if (!done) {
        tp_count(&shard->counters.no_memory);
        tp_inbox_push(shard, inbound); /* again with the next pass */
        return;
    }
    tp_channels_set_view(self->channels, self->options.incarnation, self->chart->view.number);
    leave_gone(self);
    uint64_t own = self->options.incarnation;
    if (tp_chart_wakes_more(self->chart, self->chart_before, own) &&
        (tp_chart_is_new(self->chart_before, own) || !TP_MUTANT(shard, TP_MUTANT_NO_RESCAN)))
        tp_sleepers_rescan(self->shard);
    tp_chart_release(delivery->before);
    tp_chart_release(delivery->chart);
    tp_release(shard->shared->allocator, delivery, sizeof *delivery);
}

troupe_status tp_outpost_install(tp_outpost *self, tp_chart *before, tp_chart *chart)
{
    view_delivery *delivery = tp_allocate(self->shard->shared->allocator, sizeof *delivery);
    if (delivery == NULL)
        return TROUPE_NO_MEMORY;
    *delivery = (view_delivery){
        .inbound = {.arrive = view_came}, .outpost = self, .before = before, .chart = chart};
    tp_inbox_push(self->shard, &delivery->inbound);
    return TROUPE_OK;
}

/* ---- connections and the lease, from the control runner -------------------------------------- */

typedef struct guest_delivery {
    tp_inbound inbound;
    tp_outpost *outpost;
    tp_socket socket;
    tp_preamble preamble;
    size_t size; /* of `rest` */
    char rest[];
} guest_delivery;

static void guest_came(tp_shard *shard, tp_inbound *inbound)
{
    guest_delivery *guest = TP_CONTAINER(inbound, guest_delivery, inbound);
    renew_tls(guest->outpost);
    tp_channels_accept(
        guest->outpost->channels, guest->socket, guest->preamble, guest->rest, guest->size);
    tp_release(shard->shared->allocator, guest, sizeof *guest + guest->size);
}

void tp_outpost_adopt(
    tp_outpost *self, tp_socket socket, tp_preamble preamble, const void *rest, size_t rest_size)
{
    tp_shared *shared = self->shard->shared;
    guest_delivery *guest = tp_allocate(shared->allocator, sizeof *guest + rest_size);
    if (guest == NULL) {
        shared->env->net.drop(shared->env, socket);
        return;
    }
    *guest = (guest_delivery){.inbound = {.arrive = guest_came},
        .outpost = self,
        .socket = socket,
        .preamble = preamble,
        .size = rest_size};
    memcpy(guest->rest, rest, rest_size);
    tp_inbox_push(self->shard, &guest->inbound);
}

enum { ROUSED = 1, ROUSED_LOST = 2 };

static void roused(tp_shard *shard, tp_inbound *inbound)
{
    tp_outpost *self = TP_CONTAINER(inbound, tp_outpost, rousing);
    if (atomic_exchange(&self->roused, 0) & ROUSED_LOST) /* from here on it may come again */
        tp_outside_let_go(shard, true);
}

void tp_outpost_rouse(tp_outpost *self, bool is_lost)
{
    if (atomic_fetch_or(&self->roused, is_lost ? ROUSED_LOST : ROUSED) == 0)
        tp_inbox_push(self->shard, &self->rousing);
}

/* ---- calls of the channels ------------------------------------------------------------------- */

static bool find_member(void *user, uint64_t incarnation, char *address, size_t size)
{
    tp_outpost *self = user;
    return tp_chart_address(
        self->chart != NULL ? tp_chart_member(self->chart, incarnation) : NULL, address, size);
}

static tp_peer_answer judge(void *user, const tp_hello_side *peer)
{
    tp_outpost *self = user;
    if (self->chart != NULL && tp_chart_member(self->chart, peer->incarnation) != NULL)
        return TP_PEER_KNOWN;
    return self->chart == NULL || peer->view > self->chart->view.number ? TP_PEER_BEHIND
                                                                        : TP_PEER_STRANGE;
}

static void on_newer_view(void *user, uint64_t number)
{
    tp_outpost *self = user;
    self->options.newer_view(self->options.user, number);
}

static bool may_send(void *user)
{
    return tp_lease_holds(((tp_outpost *)user)->shard->shared);
}

static void on_log(void *user, int level, const char *event, const char *peer, const char *text)
{
    tp_outpost *self = user;
    tp_log *log = self->shard->shared->log;
    if (level == 0)
        TP_LOG(log, TROUPE_LOG_DEBUG, "channel",
            TP_FIELDS(tp_field_string("what", event), tp_field_string("peer", peer)), "%s", text);
    else
        TP_LOG(log, TROUPE_LOG_WARN, "channel",
            TP_FIELDS(tp_field_string("what", event), tp_field_string("peer", peer)), "%s", text);
}

static const tp_channels_calls channel_calls = {.find = find_member,
    .judge = judge,
    .frame = tp_outpost_frame,
    .newer_view = on_newer_view,
    .may_send = may_send};

/* ---- begin and end --------------------------------------------------------------------------- */

tp_outpost *tp_outpost_of(const tp_shard *shard)
{
    return (tp_outpost *)(void *)shard->away;
}

const tp_chart *tp_outpost_chart(const tp_outpost *self)
{
    return self->chart;
}

/* Planted mistakes. */
static uint32_t rules_without(const tp_shard *shard)
{
    static const struct {
        uint8_t mutant, rule;
    } planted[] = {{TP_MUTANT_NO_GRANT, TP_RULE_GRANT}, {TP_MUTANT_NO_FLOOR, TP_RULE_FLOOR},
        {TP_MUTANT_FIRST_ANSWER, TP_RULE_ALL_ANSWERS}, {TP_MUTANT_RUN_FIRST, TP_RULE_SWITCH_FIRST},
        {TP_MUTANT_ANY_WAY, TP_RULE_SENDER_PATH}, {TP_MUTANT_NO_REPEAT, TP_RULE_REPEAT},
        {TP_MUTANT_PASS_ANY_WAY, TP_RULE_FORWARD_PATH},
        {TP_MUTANT_OWN_WORD, TP_RULE_HOMES_WORD},
        {TP_MUTANT_LEAVE_UNHEARD, TP_RULE_RELEASE_ACK}};
    uint32_t rules = 0;
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++)
        if (TP_MUTANT(shard, planted[i].mutant))
            rules |= 1u << planted[i].rule;
    return rules;
}

/* Of which a payload of that size, and what travels with it, is the body. */
static uint32_t frame_for(uint64_t max_message)
{
    uint64_t size = max_message + TP_PARCEL_SLIP_MAX + TP_PARCEL_NO_PAYLOAD_MAX;
    return size > TP_SESSION_SURE_FRAME ? (uint32_t)size : TP_SESSION_SURE_FRAME;
}

/* In a world some nodes are impatient, or say little at a time, so that words cross often. */
static void draw_pace(const tp_shard *shard, tp_directory_options *directory)
{
    tp_env *env = shard->env;
    if (env->choose == NULL)
        return;
    if (env->choose(env, 3) == 0)
        directory->move_patience = TROUPE_MILLISECONDS(10 + env->choose(env, 200));
    if (env->choose(env, 3) == 0)
        directory->repeat = TROUPE_MILLISECONDS(10 + env->choose(env, 200));
    if (env->choose(env, 3) == 0)
        directory->slice = 1 + env->choose(env, 4);
}

static tp_codec codec_of(const char *name)
{
    return strcmp(name, "zstd") == 0  ? TP_CODEC_ZSTD
           : strcmp(name, "lz4") == 0 ? TP_CODEC_LZ4
                                      : TP_CODEC_NONE;
}

static tp_session_options session_for(const tp_shard *shard, uint32_t frame)
{
    const troupe_node_options *set = &shard->shared->options;
    tp_session_options session = {.batch_count = set->batch_limit,
        .batch_delay = set->batch_delay,
        .max_frame = frame,
        .codec = codec_of(set->compression),
        .compress_above = (uint32_t)set->compress_above,
        .sends_once = TP_MUTANT(shard, TP_MUTANT_NO_RESEND),
        .takes_again = TP_MUTANT(shard, TP_MUTANT_TAKE_AGAIN)};
    if (TP_UNLIKELY(shard->simulated) && set->link_limit < 64)
        session.kept_limit = 1024; /* each peer is a slow one */
    if (TP_UNLIKELY(shard->simulated))
        session.hurry_frames = 3; /* of the few turns of a pass */
    return session;
}

static troupe_status create_parts(tp_outpost *self)
{
    tp_shard *shard = self->shard;
    tp_shared *shared = shard->shared;
    const tp_outpost_options *options = &self->options;
    const troupe_node_options *set = &shared->options;
    const uint64_t frame = frame_for(set->max_message);
    TROUPE_TRY(tp_translator_init(&self->translator, shard, options->incarnation));
    tp_directory_options directory = {.self = options->incarnation,
        .shard = shard->number,
        .shards = shared->shard_count,
        .held_id_max = shared->options.link_limit,
        .held_max = 1u << 20,
        /* Half of it is for ids whose letters wait: any one letter has room there. */
        .held_bytes_max = frame > HELD_BYTES / 2 ? 2 * frame : HELD_BYTES,
        .replicas = options->replicas};
    draw_pace(shard, &directory);
    TROUPE_TRY(tp_directory_create(&directory, &shard->pool, shared->allocator, &self->directory));
    if (TP_UNLIKELY(shard->simulated))
        tp_directory_set_without(self->directory, rules_without(shard));
    TROUPE_TRY(tp_recall_init(&self->recall, shard));
    tp_placing_init(&self->placing, shared, options->loads);
    tp_channels_options channels = {.env = shared->env,
        .runner = &shard->runner,
        .allocator = shared->allocator,
        .calls = &channel_calls,
        .user = self,
        .self = {.incarnation = options->incarnation,
            .shard = (uint16_t)shard->number,
            .shards = (uint16_t)shared->shard_count,
            .node = options->node,
            .address = options->address},
        .cluster = options->cluster,
        .token = options->token,
        .session = session_for(shard, (uint32_t)frame),
        .connections_max = set->max_connections,
        .keep_alive = set->keep_alive,
        .idle = set->max_idle_time,
        .tls = options->tls,
        .allows_clear_text = options->allows_clear_text,
        .log = on_log};
    tp_mover_init(&self->mover, shard, &self->translator);
    return tp_channels_create(&channels, &self->channels);
}

troupe_status tp_outpost_create(const tp_outpost_options *options, tp_outpost **ret_outpost)
{
    const troupe_allocator *allocator = options->shard->shared->allocator;
    tp_outpost *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->port = (tp_away){.incarnation = options->incarnation,
        .whose = whose,
        .absent = absent,
        .pass_by = pass_by,
        .follow = follow,
        .send = send_away,
        .wakes = wakes,
        .gone = gone,
        .moves_on = moves_on,
        .still = still,
        .stays = stays,
        .pass = pass,
        .flush = flush,
        .has_room = tp_outpost_has_room,
        .has_arrivals = has_arrivals,
        .is_quiet = is_quiet,
        .is_leaving = is_leaving,
        .is_deserted = is_deserted,
        .end = end};
    self->shard = options->shard;
    self->options = *options;
    self->rousing.arrive = roused;
    self->words = (tp_word_room){.allocator = allocator};
    tp_fifo_init(&self->late);
    tp_list_init(&self->held_backs);
    tp_inquiries_init(&self->inquiries);
    troupe_status status = create_parts(self);
    if (status != TROUPE_OK) {
        tp_outpost_destroy(self);
        return status;
    }
    self->shard->away = &self->port;
    /* Call chains and searches are told apart across nodes: they begin at places far apart. */
    self->shard->unique = tp_index_mix(options->incarnation ^ self->shard->unique);
    *ret_outpost = self;
    return TROUPE_OK;
}

static void drop_letter(void *user, tp_letter *letter)
{
    tp_outpost *self = user;
    tp_pool_give(&self->shard->pool, tp_letter_open(self, letter));
}

void tp_outpost_destroy(tp_outpost *self)
{
    if (self == NULL)
        return;
    const troupe_allocator *allocator = self->shard->shared->allocator;
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&self->late)) != NULL;) {
        tp_late_event *event = TP_CONTAINER(node, tp_late_event, next);
        if (event->message != NULL)
            tp_pool_give(&self->shard->pool, event->message);
        tp_pool_give(&self->shard->pool, event);
    }
    tp_inquiries_deinit(&self->inquiries);
    end(&self->port); /* if no runner ever came to its last step */
    tp_let_on(self, &self->held_back);
    if (self->directory != NULL)
        tp_directory_destroy(self->directory, drop_letter, self);
    tp_recall_deinit(&self->recall);
    tp_placing_deinit(&self->placing);
    tp_mover_deinit(&self->mover);
    tp_translator_deinit(&self->translator);
    tp_word_room_deinit(&self->words);
    tp_chart_release(self->chart_before);
    tp_chart_release(self->chart);
    self->shard->away = NULL;
    tp_release(allocator, self, sizeof *self);
}
