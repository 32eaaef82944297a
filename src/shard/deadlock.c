/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlocks across independent callers and shards (P10): probes that follow waits, in the manner of
 * Chandy, Misra and Haas (1983) for the AND model, with a second round.
 *
 * When an ask has waited behind a parked turn for `deadlock_wait`, a probe goes out along what that
 * turn waits for, and so on. When it comes to a turn that waits for an ask which waits behind the
 * turn that it began with, the cycle is closed. Then it goes round once more, along the asks it
 * found. An edge seen in both rounds, with the same generation of its slot, was there all the time
 * between; so after the second round all edges stood together at one moment, and the cycle is real.
 * The youngest ask in it that still waits in a mailbox fails, and only that: every probe of the
 * same cycle chooses the same. It is taken out of the mailbox, so it is NOT_DONE. Between nodes a
 * probe goes where the asks went (away.h), and "young" is by the clock of each asker's node.
 *
 * Invariants
 * 1. A hop whose wait is over, or that waits for something else than asks, ends the probe. A gather
 * waits for each of its asks, if it needs them all; one that goes on without some waits for none.
 * 2. The last edge of a cycle to form is an ask that comes to wait behind a turn in progress. So
 * each ask that does starts a search, of which many share one; it finds all other edges in place.
 * 3. A search visits each turn once, and a circle that it found and that broke, here or elsewhere,
 * starts it again: there may be another one.
 * 4. Waits through foreign threads are not seen.
 */
#include "shard/away.h"
#include "shard/gather.h"
#include "shard/probe.h"

#include "base/text.h"

static uint64_t own_node(const tp_shard *shard)
{
    return shard->away != NULL ? shard->away->incarnation : 0;
}

static bool is_own_call(const tp_shard *shard, const tp_probe_edge *ask, tp_call call)
{
    return ask->call.slot == call.slot && ask->call.generation == call.generation &&
           ask->shard == shard->number && ask->node == own_node(shard);
}

static bool is_asked_by(const tp_shard *shard, const tp_message *message, const tp_probe_edge *ask)
{
    if (message == NULL || message->kind != TP_ASK || message->from.slot != ask->call.slot ||
        message->from.generation != ask->call.generation)
        return false;
    if (!tp_is_away(message->from_shard))
        return ask->shard == message->from_shard && ask->node == own_node(shard);
    uint32_t there;
    return ask->node == shard->away->whose(shard->away, message->from_shard, &there) &&
           ask->shard == there;
}

tp_message *tp_probe_make(tp_pool *pool, const tp_probe *probe)
{
    const tp_message_parts parts = {
        .payload = {probe, offsetof(tp_probe, path) + probe->path_size}};
    tp_message *message = tp_message_make(pool, &parts);
    if (message != NULL)
        message->kind = TP_PROBE;
    return message;
}

/* To the shard of this node that it is to visit next, or that knows where it goes on to. Takes it.
 */
static void pass_probe(tp_shard *shard, const tp_probe *probe, tp_message *message)
{
    uint32_t count = shard->shared->shard_count;
    bool is_home = probe->round == TP_PROBE_GOES_HOME && probe->edges[0].node == own_node(shard);
    uint32_t next = is_home ? probe->edges[0].shard : tp_hash_shard(message->hash, count);
    if (next == shard->number)
        tp_fifo_push_back(&shard->probes, &message->node);
    else if (next < count)
        tp_send_control(shard, next, message);
    else
        tp_pool_give(&shard->pool, message); /* another node made it up */
}

static void send_probe(tp_shard *shard, const tp_probe *probe)
{
    tp_message *message = tp_probe_make(&shard->pool, probe);
    if (message == NULL)
        return; /* deadlines end the cycle */
    message->hash = probe->edges[probe->round == TP_PROBE_GOES_HOME ? 0 : probe->at].hash;
    tp_count(&shard->counters.probes);
    pass_probe(shard, probe, message);
}

static void add_path(tp_probe *self, const tp_activation *actor, const troupe_turn *turn)
{
    tp_text text = {self->path, self->path_size, TP_PROBE_PATH, false}; /* goes on */
    char id[TP_ID_MAX + 1];
    troupe_id_print(tp_activation_id(actor), id, sizeof id);
    tp_text_printf(&text, "%s%s %.*s", self->path_size ? " -> " : "", id,
        TROUPE_ARG(troupe_turn_method(turn)));
    self->path_size = (uint32_t)text.size;
}

static bool is_younger(const tp_probe_edge *left, const tp_probe_edge *right)
{
    if (left->asked != right->asked)
        return left->asked > right->asked;
    if (left->node != right->node)
        return left->node > right->node;
    if (left->shard != right->shard)
        return left->shard > right->shard;
    return left->call.slot > right->call.slot;
}

static void fail_victim(tp_shard *shard, const tp_probe *from)
{
    const tp_probe_edge *youngest = NULL;
    for (uint32_t i = 0; i < from->hops; i++)
        if (from->edges[i].queued && (youngest == NULL || is_younger(&from->edges[i], youngest)))
            youngest = &from->edges[i];
    if (youngest == NULL)
        return;
    tp_probe self = *from;
    self.round = TP_PROBE_ENDS;
    self.at = (uint32_t)(youngest - from->edges);
    send_probe(shard, &self);
}

/* The circle is no more, or will not be: the search may begin anew where it began. */
static void look_again(tp_shard *shard, tp_probe *self)
{
    self->round = TP_PROBE_GOES_HOME;
    send_probe(shard, self);
}

static void come_home(tp_shard *shard, const tp_probe *self)
{
    const tp_ask *ask = tp_ask_find(shard, self->edges[0].call);
    const troupe_turn *turn = ask != NULL ? tp_ask_turn(ask) : NULL;
    if (turn == NULL)
        return;
    tp_activation *actor = turn->actor;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next)
        tp_message_of(node)->flags &= (uint8_t)~TP_MESSAGE_PROBED;
    if (actor->queued != 0)
        tp_deadlock_watch(shard, actor);
}

static bool waits_for(const tp_shard *shard, const troupe_turn *turn, const tp_probe_edge *ask)
{
    const tp_call *call;
    for (size_t i = 0; (call = tp_turn_waits(turn, i)) != NULL; i++)
        if (is_own_call(shard, ask, *call))
            return tp_ask_find(shard, *call) != NULL;
    return false;
}

/* The second round: does the turn wait for the ask that the first round found here? */
static bool confirm(tp_shard *shard, tp_probe *self, const troupe_turn *turn)
{
    uint32_t next = (self->at + 1) % self->hops;
    if (!waits_for(shard, turn, &self->edges[next]))
        return false;
    if (next == 0) {
        TP_MARK(shard, "cycle confirmed");
        fail_victim(shard, self);
        look_again(shard, self);
    } else {
        self->at = next;
        send_probe(shard, self);
    }
    return true;
}

static tp_probe_edge edge_of(const tp_shard *shard, tp_call call, const tp_ask *ask)
{
    return (tp_probe_edge){.call = call,
        .asked = ask->asked,
        .hash = ask->hash,
        .node = own_node(shard),
        .shard = (uint16_t)shard->number};
}

/* The first round: the turn of `actor` that holds up the ask at self->at waits for this one, the
 * next edge. */
static void follow_ask(tp_shard *shard, const tp_probe *from, tp_activation *actor,
    const troupe_turn *turn, tp_call call)
{
    const tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    tp_probe self = *from;
    if (is_own_call(shard, &self.edges[0], call)) {
        TP_MARK(shard, "cycle closed");
        if (TP_MUTANT(shard, TP_MUTANT_ONE_ROUND)) {
            fail_victim(shard, &self);
            look_again(shard, &self);
            return;
        }
        self.round = TP_PROBE_CONFIRMS;
        self.at = 0;
        send_probe(shard, &self);
    } else if (self.hops < TP_PROBE_HOPS) {
        add_path(&self, actor, turn);
        self.edges[self.hops] = edge_of(shard, call, ask);
        self.at = self.hops++;
        send_probe(shard, &self);
    }
}

static void follow(tp_shard *shard, const tp_probe *from, tp_activation *actor, troupe_turn *turn)
{
    const tp_call *call = tp_turn_waits(turn, 0);
    if (call == NULL)
        return;
    if (turn->prober == from->search)
        return; /* this search was here by another way: each turn once, or ways multiply */
    turn->prober = from->search;
    for (size_t i = 0; (call = tp_turn_waits(turn, i)) != NULL; i++)
        follow_ask(shard, from, actor, turn, *call);
}

static tp_message *find_waiting(
    const tp_shard *shard, const tp_activation *actor, const tp_probe_edge *ask)
{
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next)
        if (is_asked_by(shard, tp_message_of(node), ask))
            return tp_message_of(node);
    return NULL;
}

/* Looks at one turn, in the way of the round. True: the circle stands here. */
static bool visit_turn(tp_shard *shard, tp_probe *self, tp_activation *actor, troupe_turn *turn)
{
    if (self->round == TP_PROBE_CONFIRMS)
        return confirm(shard, self, turn);
    follow(shard, self, actor, turn);
    return true;
}

/* Is the ask still held up here? By the turn that serves it, or, waiting in the mailbox, by every
 * parked turn. False: a circle that was found does not stand. */
static bool visit(tp_shard *shard, tp_probe *self)
{
    tp_probe_edge *ask = &self->edges[self->at];
    tp_activation *actor = tp_index_peek(&shard->table, ask->hash);
    if (actor == NULL || actor->turns == NULL)
        return false;
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next) {
        if (!is_asked_by(shard, turn->message, ask))
            continue;
        ask->queued = 0;
        return visit_turn(shard, self, actor, turn);
    }
    tp_message *message = find_waiting(shard, actor, ask);
    if (message == NULL || tp_mailbox_may_run(shard, actor))
        return false; /* something runs first: its own search comes after that */
    ask->queued = 1;
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next)
        if (visit_turn(shard, self, actor, turn) && self->round == TP_PROBE_CONFIRMS)
            return true;
    return false;
}

static void end_victim(tp_shard *shard, const tp_probe *self)
{
    const tp_probe_edge *ask = &self->edges[self->at];
    tp_activation *actor = tp_index_peek(&shard->table, ask->hash);
    tp_message *before = NULL;
    for (tp_fifo_node *node = actor != NULL ? actor->mailbox.head : NULL; node != NULL;
         node = node->next) {
        tp_message *message = tp_message_of(node);
        if (is_asked_by(shard, message, ask)) {
            tp_count(&shard->counters.deadlocks);
            TP_MARK(shard, "victim of a cycle");
            tp_mailbox_remove(shard, actor, before, message);
            tp_message_answer(shard, message, TROUPE_DEADLOCK, TROUPE_NOT_DONE,
                "deadlock: %.*s; this ask closes the cycle", (int)self->path_size, self->path);
            tp_settle(shard, actor); /* what waited behind it may be one that may come in */
            return;
        }
        before = message;
    }
}

/* It is for another node, or for who knows which? Takes the message then. */
static bool goes_on(tp_shard *shard, const tp_probe *self, tp_message *message)
{
    bool goes_home = self->round == TP_PROBE_GOES_HOME;
    uint64_t node = goes_home ? self->edges[0].node : 0;
    if (shard->away == NULL)
        return false;
    if (goes_home ? node == own_node(shard) : tp_index_peek(&shard->table, message->hash) != NULL)
        return false;
    shard->away->follow(shard->away, node, message);
    return true;
}

static void perform(tp_shard *shard, tp_probe *self)
{
    switch ((tp_probe_round)self->round) {
    case TP_PROBE_GOES_HOME:
        come_home(shard, self);
        return;
    case TP_PROBE_ENDS:
        end_victim(shard, self);
        return;
    default:
        if (!visit(shard, self) && self->round == TP_PROBE_CONFIRMS)
            look_again(shard, self);
    }
}

static void drain_probes(tp_shard *shard)
{
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&shard->probes)) != NULL;) {
        tp_message *message = tp_message_of(node);
        tp_probe self;
        memcpy(&self, (const char *)message + message->payload_at, message->payload_size);
        if (goes_on(shard, &self, message))
            continue;
        tp_pool_give(&shard->pool, message);
        perform(shard, &self);
    }
}

void tp_probe_arrived(tp_shard *shard, tp_message *message)
{
    pass_probe(shard, (const void *)((const char *)message + message->payload_at), message);
    drain_probes(shard);
}

static void begin_probe(
    tp_shard *shard, tp_activation *actor, const troupe_turn *turn, tp_call call)
{
    const tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    tp_probe self;
    self.round = TP_PROBE_SEARCHES;
    self.hops = 1;
    self.at = 0;
    self.path_size = 0;
    self.search = tp_shard_unique(shard);
    self.edges[0] = edge_of(shard, call, ask);
    add_path(&self, actor, turn);
    send_probe(shard, &self);
}

/* Has an ask come to wait since the last search? */
static bool has_fresh(tp_activation *actor)
{
    bool fresh = false;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        tp_message *message = tp_message_of(node);
        fresh |= message->kind == TP_ASK && !(message->flags & TP_MESSAGE_PROBED);
        message->flags |= TP_MESSAGE_PROBED;
    }
    return fresh;
}

static void watch_due(tp_shard *shard, tp_alarm *alarm)
{
    tp_activation *actor = TP_CONTAINER(alarm, tp_extras, probe)->actor;
    if (actor->turns == NULL || TP_MUTANT(shard, TP_MUTANT_NO_PROBE))
        return;
    if (tp_mailbox_may_run(shard, actor)) {
        tp_deadlock_watch(shard, actor);
        return;
    }
    if (!has_fresh(actor))
        return;
    const tp_call *call;
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next)
        for (size_t i = 0; (call = tp_turn_waits(turn, i)) != NULL; i++)
            begin_probe(shard, actor, turn, *call);
    drain_probes(shard);
}

void tp_deadlock_watch(tp_shard *shard, tp_activation *actor)
{
    uint64_t wait = TP_LIVE_GET(shard->shared->options.deadlock_wait);
    if (wait == TROUPE_NEVER)
        return;
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (extras == NULL || tp_timer_is_set(&extras->probe.timer))
        return;
    tp_alarm_set(shard, &extras->probe, tp_time_after(tp_clock(shard), wait), watch_due);
}
