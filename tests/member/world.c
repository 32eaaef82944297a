/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of world.h: events in true time (events.h), nodes that see their own clocks, a store
 * that calls reach and answers leave at moments of their own.
 *
 * Threads: the test's one.
 */
#include "events.h"
#include "world.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/prng.h"
#include "member/perform.h"
#include "providers/member_memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 7, INCARNATIONS = 1024 };
#define TTL    TROUPE_SECONDS(2)
#define MS     TROUPE_MILLISECONDS(1)
#define BUSY   (30 * TTL) /* the time in which things go wrong */
#define CALM   (20 * TTL)
#define EXCUSE (3 * TTL) /* for how long a mishap explains a revocation */

typedef struct node {
    tp_member *machine;
    troupe_membership *handle;
    uint64_t life; /* of the process; 0: there is none */
    uint64_t incarnation;
    double rate;
    uint64_t offset;
    uint64_t tick_at;
    uint64_t paused_until, hung_until, cut_until, deaf_until;
    uint64_t fence;
    uint64_t installed;    /* view number */
    uint64_t lapse_number; /* newest view when the raise landed that may end the lapse */
    uint64_t excused_until;
    uint64_t lost_at;
    bool is_member, leaving, gone, lapsed;
} node;

typedef struct world {
    tp_prng prng;
    world_plan plan;
    world_result result;
    uint64_t now, lives;
    events events;
    node nodes[NODES_MAX];
    size_t node_count;
    tp_member_memory *store;
    troupe_membership *stray; /* for what lands after its sender died */
    uint64_t store_stops_until, split_until, small_until;
    const tp_view *published;
    bool calm, has_tracer, is_swift, tells_ends;
    bool revoked[INCARNATIONS];
} world;

static uint64_t below(world *self, uint64_t most)
{
    return tp_prng_below(&self->prng, most);
}

static bool chance(world *self, uint64_t per_mille)
{
    return below(self, 1000) < per_mille;
}

static void note(world *self, const char *format, ...) TROUPE_PRINTF(2, 3);
static void note(world *self, const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (int i = 0; i < size && i < (int)sizeof text; i++)
        self->result.trace = (self->result.trace ^ (unsigned char)text[i]) * 1099511628211U;
    if (self->has_tracer)
        fprintf(stderr, "%8.3f %s\n", (double)self->now / 1e9, text);
}

static void violate(world *self, const char *format, ...) TROUPE_PRINTF(2, 3);
static void violate(world *self, const char *format, ...)
{
    va_list arguments;
    if (self->result.violated)
        return;
    self->result.violated = true;
    va_start(arguments, format);
    vsnprintf(self->result.what, sizeof self->result.what, format, arguments);
    va_end(arguments);
    note(self, "VIOLATION %s", self->result.what);
}

static void put(world *self, event what)
{
    events_put(&self->events, what);
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static uint64_t local(const world *self, const node *who)
{
    return who->offset + (uint64_t)((double)self->now * who->rate);
}

/* When that node's clock will show this, and not before. */
static uint64_t truly(const node *who, uint64_t moment)
{
    return moment <= who->offset ? 0 : (uint64_t)((double)(moment - who->offset) / who->rate) + 2;
}

static bool has_lease(const world *self, const node *who)
{
    return who->life != 0 && local(self, who) < who->fence;
}

static void excuse(world *self, node *who, uint64_t until)
{
    if (until + EXCUSE > who->excused_until)
        who->excused_until = until + EXCUSE;
    (void)self;
}

/* ---- effects --------------------------------------------------------------------------------- */

static uint64_t delay(world *self)
{
    if (self->is_swift)
        return MS / 20 + below(self, MS);
    return chance(self, 30) ? below(self, 200 * MS) : MS / 10 + below(self, 15 * MS);
}

static event event_for(world *self, event_kind kind, const node *who, uint64_t wait)
{
    return (event){.at = self->now + wait,
        .kind = kind,
        .node = (size_t)(who - self->nodes),
        .life = who->life};
}

static node *node_of(world *self, uint64_t incarnation)
{
    for (size_t i = 0; i < self->node_count; i++)
        if (self->nodes[i].life != 0 && self->nodes[i].incarnation == incarnation)
            return &self->nodes[i];
    return NULL;
}

static bool is_cut(const world *self, const node *from, const node *to)
{
    (void)self;
    return self->now < from->deaf_until || self->now < to->deaf_until;
}

static bool only_reads(tp_member_op op)
{
    return op == TP_MEMBER_READ_VIEW || op == TP_MEMBER_READ_REGISTERS;
}

/* The node is told at the end of its patience; a change may land yet, later. */
static void give_up(
    world *self, const tp_member_effect *call, size_t who, uint64_t life, uint64_t at)
{
    event answer = {.at = at, .kind = ANSWER, .node = who, .life = life};
    answer.outcome = calloc(1, sizeof *answer.outcome);
    answer.outcome->allocator = tp_allocator_system();
    answer.outcome->answer = (tp_member_answer){.op = call->op,
        .id = call->id,
        .status = only_reads(call->op) ? TROUPE_UNAVAILABLE : TROUPE_UNKNOWN};
    put(self, answer);
    self->result.lost++;
}

static void send_call(world *self, node *who, const tp_member_effect *effect)
{
    event land = event_for(self, LAND, who, delay(self));
    land.call = *effect;
    land.sent = self->now;
    land.b = self->now + effect->timeout;
    bool is_lost = self->now < who->cut_until || (!self->calm && chance(self, 5));
    if (is_lost) {
        give_up(self, effect, land.node, land.life, land.b);
        if (self->now >= who->cut_until) {
            if (self->now - who->lost_at < 2 * TTL) /* twice in a row */
                excuse(self, who, land.b);
            who->lost_at = self->now;
        }
        land.a = 1; /* nobody hears of it */
        land.at = self->now + below(self, 2 * TTL);
        if (only_reads(effect->op) || chance(self, 500)) {
            event_drop(&land);
            return;
        }
        self->result.late++;
    }
    put(self, land);
}

static void send_probe(world *self, node *who, node *to)
{
    if (to == NULL || to == who || is_cut(self, who, to) || (!self->calm && chance(self, 10)))
        return;
    event probe = event_for(self, PROBED, to, delay(self));
    probe.a = (uint64_t)(who - self->nodes);
    probe.b = who->installed;
    put(self, probe);
}

static void say_vote(world *self, const node *who, const tp_member_effect *effect)
{
    node *to = node_of(self, effect->to);
    if (to == NULL || is_cut(self, who, to))
        return;
    event vote = event_for(self, VOTE, to, delay(self));
    vote.a = who->incarnation;
    vote.b = effect->target;
    put(self, vote);
    self->result.votes++;
}

static void ask_join(world *self, const node *who, const tp_member_effect *effect)
{
    node *to = node_of(self, effect->to);
    if (to == NULL || is_cut(self, who, to))
        return;
    event join = event_for(self, JOIN, to, delay(self));
    join.view = tp_view_retain(tp_member_candidate(who->machine));
    put(self, join);
}

static void set_fence(world *self, node *who, uint64_t until)
{
    if (until > who->fence && local(self, who) >= who->fence && who->lapsed &&
        who->installed < who->lapse_number)
        violate(self,
            "node %zu came back with view %llu; %llu was the newest when its raise landed",
            (size_t)(who - self->nodes), (unsigned long long)who->installed,
            (unsigned long long)who->lapse_number);
    if (until > local(self, who))
        who->lapsed = false;
    who->fence = until;
}

static void install(world *self, node *who, const tp_member_effect *effect)
{
    if (effect->view->number <= who->installed && who->is_member)
        violate(self, "node %zu installs view %llu after %llu", (size_t)(who - self->nodes),
            (unsigned long long)effect->view->number, (unsigned long long)who->installed);
    who->installed = effect->view->number;
    who->is_member = true;
    const tp_view_member *me = tp_view_find(effect->view, who->incarnation);
    if (me == NULL)
        violate(self, "node %zu installs a view without itself", (size_t)(who - self->nodes));
    else if (me->status == TP_VIEW_LEAVING)
        put(self, event_for(self, EMPTIED, who, below(self, TTL)));
}

/* Their watches tell of a new view, and may tell of a process that has ended. */
static void tell_watches(world *self)
{
    for (size_t i = 0; i < self->node_count; i++)
        if (self->nodes[i].life != 0 && chance(self, 950) && self->now >= self->nodes[i].cut_until)
            put(self, event_for(self, CHANGED, &self->nodes[i], delay(self)));
}

static void end_process(world *self, node *who, bool restarts)
{
    note(self, "node %zu ends", (size_t)(who - self->nodes));
    who->handle->close(who->handle);
    tp_member_destroy(who->machine);
    who->machine = NULL;
    who->life = 0;
    who->fence = 0;
    who->is_member = false;
    if (self->tells_ends)
        tell_watches(self);
    if (restarts) {
        event start = event_for(self, START, who, below(self, 2 * TTL));
        put(self, start);
        self->result.restarts++;
    }
}

/* False: the process has ended. */
static bool perform(world *self, node *who, const tp_member_effect *effect)
{
    size_t number = (size_t)(who - self->nodes);
    switch (effect->kind) {
    case TP_MEMBER_CALL:
        send_call(self, who, effect);
        return true;
    case TP_MEMBER_LEASE:
        set_fence(self, who, effect->until);
        break;
    case TP_MEMBER_JOINED:
        who->incarnation = effect->incarnation;
        note(self, "node %zu is %llu", number, (unsigned long long)effect->incarnation);
        break;
    case TP_MEMBER_INSTALL:
        install(self, who, effect);
        break;
    case TP_MEMBER_SUSPENDED:
        note(self, "node %zu suspended", number);
        self->result.suspended++;
        break;
    case TP_MEMBER_RESUMED:
        note(self, "node %zu resumed", number);
        self->result.resumed++;
        break;
    case TP_MEMBER_PROBE:
        for (size_t i = 0; effect->to == 0 && i < self->node_count; i++)
            if (self->nodes[i].life != 0)
                send_probe(self, who, &self->nodes[i]);
        if (effect->to != 0)
            send_probe(self, who, node_of(self, effect->to));
        break;
    case TP_MEMBER_SAY_VOTE:
        say_vote(self, who, effect);
        break;
    case TP_MEMBER_ASK_JOIN:
        ask_join(self, who, effect);
        break;
    case TP_MEMBER_LEFT:
    case TP_MEMBER_DIED:
        note(self, "node %zu: %s", number, effect->reason);
        if (effect->kind == TP_MEMBER_DIED && who->incarnation < INCARNATIONS &&
            !self->revoked[who->incarnation])
            violate(self, "node %zu died and nobody had revoked it: %s", number, effect->reason);
        self->result.left += effect->kind == TP_MEMBER_LEFT;
        self->result.died += effect->kind == TP_MEMBER_DIED;
        who->gone = who->gone || effect->kind == TP_MEMBER_LEFT;
        end_process(self, who, effect->kind == TP_MEMBER_DIED && !who->leaving);
        if (who->leaving)
            who->gone = true;
        return false;
    }
    tp_view_release(effect->view);
    return true;
}

static void drain(world *self, node *who)
{
    tp_member_effect effect;
    while (who->life != 0 && tp_member_take(who->machine, &effect))
        if (!perform(self, who, &effect))
            return;
    if (who->life == 0)
        return;
    uint64_t next = tp_member_next(who->machine);
    if (next == UINT64_MAX)
        return;
    event tick = event_for(self, TICK, who, 0);
    uint64_t at = truly(who, next);
    tick.at = at > self->now ? at : self->now;
    if (who->tick_at > self->now && who->tick_at <= tick.at)
        return;
    who->tick_at = tick.at;
    put(self, tick);
}

/* ---- the store ------------------------------------------------------------------------------- */

static void check_removed(world *self, const tp_view *before, const tp_view *after)
{
    for (size_t i = 0; i < before->member_count; i++) {
        const tp_view_member *member = &before->members[i];
        const tp_view_change *change = &after->changes[after->change_count - 1];
        if (tp_view_find(after, member->incarnation) != NULL)
            continue;
        while (change->incarnation != member->incarnation && change > after->changes)
            change--;
        node *who = node_of(self, member->incarnation);
        if (who != NULL && has_lease(self, who))
            violate(self, "view %llu is published without %llu, whose lease runs",
                (unsigned long long)after->number, (unsigned long long)member->incarnation);
        if (change->what == TP_VIEW_LEFT && member->status != TP_VIEW_EMPTY)
            violate(self, "%llu left and was not empty", (unsigned long long)member->incarnation);
        self->result.revoked += change->what == TP_VIEW_REVOKED;
    }
}

/* Judged by when it was sent: it may have lain in a store that stood still. */
/* Of two members the older one decides, whoever of them is cut off. */
static bool is_decided_by_age(const world *self)
{
    return self->now < self->split_until &&
           (self->now < self->small_until || self->published->member_count <= 2);
}

static void on_revoked(world *self, uint64_t incarnation, size_t by, uint64_t sent)
{
    const node *who = node_of(self, incarnation);
    if (incarnation < INCARNATIONS)
        self->revoked[incarnation] = true;
    note(self, "%llu revoked by node %zu", (unsigned long long)incarnation, by);
    if (who != NULL && !who->leaving && sent > who->excused_until && !is_decided_by_age(self))
        violate(self, "%llu is revoked for no fault of its own", (unsigned long long)incarnation);
}

static void on_published(world *self, const tp_view *view)
{
    const tp_view *before = self->published;
    if (view->number != (before != NULL ? before->number : 0) + 1)
        violate(self, "view %llu follows on %llu", (unsigned long long)view->number,
            (unsigned long long)(before != NULL ? before->number : 0));
    if (before != NULL)
        check_removed(self, before, view);
    uint64_t joined = view->next_incarnation - (before != NULL ? before->next_incarnation : 1);
    self->result.joined += joined;
    self->result.batched += joined > 1;
    self->result.views++;
    note(self, "view %llu of %zu: %.*s", (unsigned long long)view->number, view->member_count,
        (int)(view->text.size < 40 ? view->text.size : 40), (const char *)view->text.data);
    if (view->member_count <= 2 || (before != NULL && before->member_count <= 2))
        self->small_until = self->now + EXCUSE;
    tp_view_release(before);
    self->published = tp_view_retain(view);
    tell_watches(self);
}

static void land(world *self, event *what)
{
    if (self->now < self->store_stops_until) {
        event again = *what;
        again.at = self->store_stops_until + below(self, 50 * MS);
        if (again.a == 0 && again.at >= again.b) {
            give_up(self, &what->call, what->node, what->life, what->b);
            again.a = 1;
            self->result.late++;
        }
        put(self, again);
        what->call.view = NULL;
        return;
    }
    node *who = &self->nodes[what->node];
    bool is_there = who->life == what->life;
    tp_member_outcome *outcome = calloc(1, sizeof *outcome);
    tp_member_perform(
        is_there ? who->handle : self->stray, &what->call, tp_allocator_system(), outcome);
    troupe_status status = outcome->answer.status;
    self->result.conflicts += status == TROUPE_CONFLICT;
    if (what->call.op == TP_MEMBER_CAS_VIEW && status == TROUPE_OK)
        on_published(self, what->call.view);
    if (what->call.op == TP_MEMBER_REVOKE && status == TROUPE_OK)
        on_revoked(self, what->call.incarnation, what->node, what->sent);
    if (what->call.op == TP_MEMBER_RAISE && status == TROUPE_OK && is_there && what->a == 0 &&
        local(self, who) >= who->fence && !who->lapsed) {
        who->lapsed = true;
        who->lapse_number = self->published->number;
    }
    if (what->a == 0) {
        event answer = event_for(self, ANSWER, who, delay(self));
        answer.life = what->life;
        answer.outcome = outcome;
        put(self, answer);
        return;
    }
    tp_member_outcome_deinit(outcome);
    free(outcome);
}

/* ---- the life of nodes ----------------------------------------------------------------------- */

static void start(world *self, node *who)
{
    if (who->life != 0 || who->gone)
        return;
    size_t number = (size_t)(who - self->nodes);
    char name[32], address[32];
    snprintf(name, sizeof name, "node-%zu", number);
    snprintf(address, sizeof address, "10.0.0.%zu:7000", number);
    const troupe_slice types[] = {troupe_str("user"), troupe_str("cart")};
    const tp_view_label labels[] = {{troupe_str("zone"), troupe_str("a")}};
    who->life = ++self->lives;
    const tp_member_options options = {.allocator = tp_allocator_system(),
        .self = {.nonce = 1 + (tp_prng_next(&self->prng) >> 2),
            .name = troupe_str(name),
            .address = troupe_str(address),
            .shards = 2,
            .types = types,
            .type_count = 1 + number % 2,
            .labels = labels,
            .label_count = number % 2},
        .ttl = TTL,
        .stuck_limit = TTL,
        .seed = tp_prng_next(&self->prng),
        .mutants = self->plan.mutants};
    /* The ends of what is promised for are where the margins are needed. */
    uint64_t drift = below(self, 3) != 0 ? below(self, 2) * 18000 : below(self, 18001);
    who->rate = 0.991 + (double)drift / 1e6;
    who->offset = below(self, TROUPE_HOURS(1));
    who->fence = who->installed = who->incarnation = who->tick_at = 0;
    who->paused_until = who->hung_until = 0;
    who->lapsed = false;
    troupe_status status = tp_member_create(&options, &who->machine);
    if (status == TROUPE_OK)
        status = tp_member_memory_open(self->store, &who->handle);
    TP_ASSERT(status == TROUPE_OK);
    note(self, "node %zu starts, rate %.4f", number, who->rate);
    tp_member_start(who->machine, local(self, who));
    put(self, event_for(self, PASS, who, TTL / 8));
    drain(self, who);
}

static void kill_node(world *self, node *who, bool restarts)
{
    if (who->life == 0)
        return;
    excuse(self, who, self->now);
    end_process(self, who, restarts);
    if (!restarts)
        who->gone = true;
}

static void pass(world *self, node *who)
{
    uint64_t now = local(self, who);
    uint64_t hung = self->now < who->hung_until ? TTL + TTL / 4 : 0;
    tp_member_shards(who->machine, now, now > hung ? now - hung : 0);
    put(self, event_for(self, PASS, who, TTL / 8));
}

static size_t alive(const world *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->node_count; i++)
        count += self->nodes[i].life != 0 && !self->nodes[i].leaving;
    return count;
}

static void mishap(world *self)
{
    node *who = &self->nodes[below(self, self->node_count)];
    uint64_t length = below(self, 3) == 0 ? TTL + below(self, 3 * TTL) : below(self, TTL);
    uint64_t until = self->now + length;
    size_t number = (size_t)(who - self->nodes);
    switch (below(self, 9)) {
    case 0:
        note(self, "the store stops for %.2f s", (double)length / 1e9);
        self->store_stops_until = until;
        break;
    case 1:
    case 2:
        note(self, "node %zu pauses for %.2f s", number, (double)length / 1e9);
        who->paused_until = until;
        if (length > TTL / 3)
            excuse(self, who, until);
        break;
    case 3:
        note(self, "node %zu is cut off from the store for %.2f s", number, (double)length / 1e9);
        who->cut_until = until;
        excuse(self, who, until);
        break;
    case 4:
        note(self, "node %zu is cut off from its peers for %.2f s", number, (double)length / 1e9);
        who->deaf_until = until;
        excuse(self, who, until);
        self->split_until = until + EXCUSE;
        break;
    case 5:
        note(self, "node %zu is killed", number);
        kill_node(self, who, !who->leaving);
        break;
    case 6:
        note(self, "node %zu hangs for %.2f s", number, (double)length / 1e9);
        who->hung_until = until;
        excuse(self, who, until);
        break;
    case 7:
        if (who->life != 0 && self->now >= who->paused_until && alive(self) > 2) {
            note(self, "node %zu wants to leave", number);
            who->leaving = true;
            tp_member_leave(who->machine, local(self, who));
            drain(self, who);
        }
        break;
    default:
        tp_member_memory_restart(self->store);
        break;
    }
    put(self, (event){.at = self->now + below(self, 3 * TTL), .kind = MISHAP});
}

/* ---- the run --------------------------------------------------------------------------------- */

static void step_node(world *self, node *who, event *what)
{
    uint64_t now = local(self, who);
    switch (what->kind) {
    case TICK:
        who->tick_at = 0;
        tp_member_tick(who->machine, now);
        break;
    case ANSWER:
        tp_member_answered(who->machine, now, &what->outcome->answer);
        break;
    case PROBED: {
        node *from = &self->nodes[what->a];
        tp_member_peer_number(who->machine, now, what->b);
        if (from->life != 0 && !is_cut(self, from, who)) {
            event answer = event_for(self, REACHED, from, delay(self));
            answer.a = who->incarnation;
            answer.b = who->installed;
            put(self, answer);
        }
        break;
    }
    case REACHED:
        tp_member_reached(who->machine, now, what->a);
        tp_member_peer_number(who->machine, now, what->b);
        break;
    case VOTE:
        tp_member_heard_vote(who->machine, now, what->a, what->b);
        break;
    case JOIN:
        (void)tp_member_join_asked(who->machine, now, what->view);
        break;
    case PEER_VIEW:
        tp_member_peer_view(who->machine, now, what->view);
        break;
    case CHANGED:
        tp_member_changed(who->machine, now);
        break;
    case PASS:
        pass(self, who);
        break;
    case EMPTIED:
        tp_member_emptied(who->machine, now);
        break;
    case LAND:
    case START:
    case MISHAP:
        break;
    }
    drain(self, who);
}

static void step(world *self, event *what)
{
    node *who = &self->nodes[what->node];
    if (what->kind == LAND) {
        land(self, what);
    } else if (what->kind == MISHAP) {
        if (!self->calm)
            mishap(self);
    } else if (what->kind == START) {
        start(self, who);
    } else if (who->life == what->life && who->life != 0) {
        if (self->now < who->paused_until) { /* it waits in the node's sockets and timers */
            event later = *what;
            later.at = who->paused_until;
            put(self, later);
            *what = (event){.kind = what->kind};
            return;
        }
        step_node(self, who, what);
    }
}

static void run_until(world *self, uint64_t end)
{
    while (events_next(&self->events) <= end && !self->result.violated) {
        event what = events_take(&self->events);
        self->now = what.at;
        step(self, &what);
        event_drop(&what);
    }
    self->now = end;
}

static void check_calm(world *self)
{
    const tp_view *view = self->published;
    size_t live = 0;
    for (size_t i = 0; i < self->node_count && !self->result.violated; i++) {
        const node *who = &self->nodes[i];
        if (who->life == 0) {
            if (!who->gone)
                violate(self, "node %zu was never started again", i);
            continue;
        }
        live++;
        if (who->leaving)
            violate(self, "node %zu does not come to leave", i);
        else if (who->installed != view->number || tp_view_find(view, who->incarnation) == NULL)
            violate(self, "node %zu has view %llu, and %llu is the newest", i,
                (unsigned long long)who->installed, (unsigned long long)view->number);
        else if (!has_lease(self, who))
            violate(self, "node %zu has no lease", i);
    }
    if (!self->result.violated && view->member_count != live)
        violate(self, "the view has %zu members, and %zu live", view->member_count, live);
}

static void heal(world *self)
{
    self->calm = true;
    self->store_stops_until = 0;
    for (size_t i = 0; i < self->node_count; i++) {
        node *who = &self->nodes[i];
        excuse(self, who, self->now);
        who->cut_until = who->deaf_until = who->hung_until = 0;
    }
}

world_result world_run(const world_plan *plan)
{
    world self = {.plan = *plan, .result = {.trace = 14695981039346656037U}};
    self.has_tracer = getenv("TROUPE_TRACE") != NULL;
    tp_prng_seed(&self.prng, plan->seed);
    self.node_count = 2 + below(&self, NODES_MAX - 1);
    troupe_status status = tp_member_memory_create(tp_allocator_system(), &self.store);
    if (status == TROUPE_OK)
        status = tp_member_memory_open(self.store, &self.stray);
    TP_ASSERT(status == TROUPE_OK);
    self.tells_ends = below(&self, 4) == 0;
    tp_member_memory_tell_ends(self.store, self.tells_ends);
    tp_member_memory_unrevoke(self.store, plan->store_unrevokes);
    self.is_swift = below(&self, 2) == 0;
    uint64_t spread = below(&self, 2) == 0 ? MS : 5 * TTL;
    for (size_t i = 0; i < self.node_count; i++)
        put(&self, (event){.at = 1 + below(&self, spread), .kind = START, .node = i});
    put(&self, (event){.at = below(&self, 5 * TTL), .kind = MISHAP});
    run_until(&self, BUSY);
    heal(&self);
    run_until(&self, BUSY + CALM);
    if (!self.result.violated)
        check_calm(&self);
    for (size_t i = 0; i < self.node_count; i++)
        if (self.nodes[i].life != 0)
            end_process(&self, &self.nodes[i], false);
    events_deinit(&self.events);
    tp_view_release(self.published);
    self.stray->close(self.stray);
    tp_member_memory_destroy(self.store);
    return self.result;
}
