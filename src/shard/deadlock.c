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
 * same cycle chooses the same. It is taken out of the mailbox, so it is NOT_DONE.
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
#include "shard/gather.h"

#include "base/text.h"

#define HOPS_MAX       64
#define PATH_MAX_BYTES 2048

typedef struct edge {
    tp_call call;   /* the ask: a slot of `shard` */
    uint64_t asked; /* when, for youth */
    uint64_t hash;  /* of its target */
    uint32_t shard;
    uint32_t queued; /* it waits in the mailbox; else a turn serves it */
} edge;

/* The payload of a TP_PROBE. */
typedef struct probe {
    uint32_t round; /* 1: searches, 2: confirms, 3: goes home, for another search */
    uint32_t hops;  /* edges found; edges[0] is what the turn that it began with waits for */
    uint32_t at;    /* the edge whose target is visited */
    uint32_t path_size;
    tp_call search; /* its number, in two halves, among those of the shard `origin` */
    uint32_t origin;
    edge edges[HOPS_MAX];
    char path[PATH_MAX_BYTES];
} probe;

static bool same_call(const edge *left, uint32_t shard, tp_call call)
{
    return left->shard == shard && left->call.slot == call.slot &&
           left->call.generation == call.generation;
}

static bool is_asked_by(const tp_message *message, const edge *ask)
{
    return message != NULL && message->kind == TP_ASK &&
           same_call(ask, message->from_shard, message->from);
}

static void send_probe(tp_shard *shard, const probe *from)
{
    size_t size = offsetof(probe, path) + PATH_MAX_BYTES;
    tp_message_parts parts = {.payload = {from, size}};
    tp_message *message = tp_message_make(&shard->pool, &parts);
    if (message == NULL)
        return; /* deadlines end the cycle */
    message->kind = TP_PROBE;
    tp_count(&shard->counters.probes);
    uint32_t to = from->round == 3
                      ? from->origin
                      : tp_hash_shard(from->edges[from->at].hash, shard->shared->shard_count);
    if (to == shard->number) {
        tp_fifo_push_back(&shard->probes, &message->node);
    } else {
        tp_send_control(shard, to, message);
    }
}

static void add_path(probe *self, const tp_activation *actor, const troupe_turn *turn)
{
    tp_text text = {self->path, self->path_size, sizeof self->path, false}; /* goes on */
    char id[TP_ID_MAX + 1];
    troupe_id_print(tp_activation_id(actor), id, sizeof id);
    tp_text_printf(&text, "%s%s %.*s", self->path_size ? " -> " : "", id,
        TROUPE_ARG(troupe_turn_method(turn)));
    self->path_size = (uint32_t)text.size;
}

static bool is_younger(const edge *left, const edge *right)
{
    if (left->asked != right->asked)
        return left->asked > right->asked;
    if (left->shard != right->shard)
        return left->shard > right->shard;
    return left->call.slot > right->call.slot;
}

static void fail_victim(tp_shard *shard, const probe *self)
{
    const edge *youngest = NULL;
    for (uint32_t i = 0; i < self->hops; i++)
        if (self->edges[i].queued && (youngest == NULL || is_younger(&self->edges[i], youngest)))
            youngest = &self->edges[i];
    if (youngest == NULL)
        return;
    tp_message_parts parts = {.payload = {self->path, self->path_size}};
    tp_message *message = tp_message_make(&shard->pool, &parts);
    if (message == NULL)
        return;
    message->kind = TP_VICTIM;
    message->from = youngest->call;
    message->from_shard = (uint16_t)youngest->shard;
    message->hash = youngest->hash;
    tp_send_control(shard, tp_hash_shard(youngest->hash, shard->shared->shard_count), message);
}

/* The circle is no more, or will not be: the search may begin anew where it began. */
static void look_again(tp_shard *shard, probe *self)
{
    self->round = 3;
    send_probe(shard, self);
}

static void come_home(tp_shard *shard, const probe *self)
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

static bool waits_for(const tp_shard *shard, const troupe_turn *turn, const edge *ask)
{
    const tp_call *call;
    for (size_t i = 0; (call = tp_turn_waits(turn, i)) != NULL; i++)
        if (same_call(ask, shard->number, *call))
            return tp_ask_find(shard, *call) != NULL;
    return false;
}

/* The second round: does the turn wait for the ask that the first round found here? */
static bool confirm(tp_shard *shard, probe *self, const troupe_turn *turn)
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

/* The first round: the turn of `actor` that holds up the ask at self->at waits for this one, the
 * next edge. */
static void follow_ask(
    tp_shard *shard, const probe *from, tp_activation *actor, const troupe_turn *turn, tp_call call)
{
    const tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    probe self = *from;
    if (same_call(&self.edges[0], shard->number, call)) {
        TP_MARK(shard, "cycle closed");
        if (TP_MUTANT(shard, TP_MUTANT_ONE_ROUND)) {
            fail_victim(shard, &self);
            look_again(shard, &self);
            return;
        }
        self.round = 2;
        self.at = 0;
        send_probe(shard, &self);
    } else if (self.hops < HOPS_MAX) {
        add_path(&self, actor, turn);
        self.edges[self.hops] = (edge){call, ask->asked, ask->hash, shard->number, 0};
        self.at = self.hops++;
        send_probe(shard, &self);
    }
}

static void follow(tp_shard *shard, const probe *from, tp_activation *actor, troupe_turn *turn)
{
    const tp_call *call = tp_turn_waits(turn, 0);
    if (call == NULL)
        return;
    if (turn->prober_shard == from->origin + 1 && turn->prober.slot == from->search.slot &&
        turn->prober.generation == from->search.generation)
        return; /* this search was here by another way: each turn once, or ways multiply */
    turn->prober = from->search;
    turn->prober_shard = from->origin + 1;
    for (size_t i = 0; (call = tp_turn_waits(turn, i)) != NULL; i++)
        follow_ask(shard, from, actor, turn, *call);
}

static tp_message *find_waiting(const tp_activation *actor, const edge *ask)
{
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next)
        if (is_asked_by(tp_message_of(node), ask))
            return tp_message_of(node);
    return NULL;
}

/* Looks at one turn, in the way of the round. True: the circle stands here. */
static bool visit_turn(tp_shard *shard, probe *self, tp_activation *actor, troupe_turn *turn)
{
    if (self->round == 2)
        return confirm(shard, self, turn);
    follow(shard, self, actor, turn);
    return true;
}

/* Is the ask still held up here? By the turn that serves it, or, waiting in the mailbox, by every
 * parked turn. False: a circle that was found does not stand. */
static bool visit(tp_shard *shard, probe *self)
{
    edge *ask = &self->edges[self->at];
    tp_activation *actor = tp_index_peek(&shard->table, ask->hash);
    if (actor == NULL || actor->turns == NULL)
        return false;
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next) {
        if (!is_asked_by(turn->message, ask))
            continue;
        ask->queued = 0;
        return visit_turn(shard, self, actor, turn);
    }
    tp_message *message = find_waiting(actor, ask);
    if (message == NULL || tp_mailbox_may_run(shard, actor))
        return false; /* something runs first: its own search comes after that */
    ask->queued = 1;
    for (troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next)
        if (visit_turn(shard, self, actor, turn) && self->round == 2)
            return true;
    return false;
}

static void drain_probes(tp_shard *shard)
{
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&shard->probes)) != NULL;) {
        tp_message *message = tp_message_of(node);
        probe self;
        memcpy(&self, (const char *)message + message->payload_at, sizeof self);
        tp_pool_give(&shard->pool, message);
        if (self.round == 3)
            come_home(shard, &self);
        else if (!visit(shard, &self) && self.round == 2)
            look_again(shard, &self);
    }
}

void tp_probe_arrived(tp_shard *shard, tp_message *message)
{
    tp_fifo_push_back(&shard->probes, &message->node);
    drain_probes(shard);
}

static void end_victim(tp_shard *shard, tp_activation *actor, const tp_message *victim)
{
    const edge ask = {.call = victim->from, .shard = victim->from_shard};
    tp_message *before = NULL;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        tp_message *message = tp_message_of(node);
        if (is_asked_by(message, &ask)) {
            tp_count(&shard->counters.deadlocks);
            TP_MARK(shard, "victim of a cycle");
            tp_mailbox_remove(shard, actor, before, message);
            tp_message_answer(shard, message, TROUPE_DEADLOCK, TROUPE_NOT_DONE,
                "deadlock: %.*s; this ask closes the cycle",
                TROUPE_ARG(tp_message_payload(victim)));
            tp_settle(shard, actor); /* what waited behind it may be one that may come in */
            return;
        }
        before = message;
    }
}

void tp_victim_arrived(tp_shard *shard, tp_message *message)
{
    tp_activation *actor = tp_index_peek(&shard->table, message->hash);
    if (actor != NULL)
        end_victim(shard, actor, message);
    tp_pool_give(&shard->pool, message);
}

static void begin_probe(
    tp_shard *shard, tp_activation *actor, const troupe_turn *turn, tp_call call)
{
    const tp_ask *ask = tp_ask_find(shard, call);
    if (ask == NULL)
        return;
    probe self;
    self.round = 1;
    self.hops = 1;
    self.at = 0;
    self.path_size = 0;
    uint64_t search = ++shard->searches;
    self.search = (tp_call){(uint32_t)search, (uint32_t)(search >> 32)};
    self.origin = shard->number;
    self.edges[0] = (edge){call, ask->asked, ask->hash, shard->number, 0};
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
    uint64_t wait = shard->shared->options.deadlock_wait;
    if (wait == TROUPE_NEVER)
        return;
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (extras == NULL || tp_timer_is_set(&extras->probe.timer))
        return;
    tp_alarm_set(shard, &extras->probe, tp_time_after(tp_clock(shard), wait), watch_due);
}
