/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What activations live through: new -> activating -> active -> deactivating -> gone, or new again
 * if messages came meanwhile. Why they leave: idle age, max_actors, memory, being asked to,
 * supervision, closing.
 *
 * Invariants
 * 1. A record is not freed while it has turns, messages, or asks with callback pending.
 * 2. on_deactivate runs exactly once for each activation whose on_activate succeeded, unless that
 * ends by failure or INTERRUPTED.
 * 3. A persistent state is saved before its record goes; a save that fails keeps the record, and is
 * tried again.
 * 4. Hooks run as turns: nothing here runs user code by itself.
 */
#include "shard/away.h"
#include "shard/durable.h"
#include "shard/gather.h"
#include "shard/move.h"
#include "shard/wake.h"
#include "shard/workers.h"

#include "store/record.h"

#include <stdio.h>

#define SAVE_AGAIN       TROUPE_SECONDS(1)
#define EVICTION_LOOK    32 /* records that one attempt looks at */
#define EVICTIONS_A_PASS 64
#define GRACE_MAX        ((size_t)16 << 20)

void tp_lifecycle_tell(tp_shard *shard, const troupe_lifecycle *event)
{
    for (uint32_t i = 0; i < shard->subscription_count; i++)
        if (shard->subscriptions[i].visit != NULL)
            shard->subscriptions[i].visit(shard->subscriptions[i].user, event);
}

void tp_lifecycle_committed(tp_shard *shard, const tp_activation *actor)
{
    for (uint32_t i = 0; i < shard->subscription_count; i++)
        if (shard->subscriptions[i].committed != NULL)
            shard->subscriptions[i].committed(shard->subscriptions[i].user, actor->hash);
}

static void tell(tp_shard *shard, const tp_activation *actor, troupe_lifecycle_kind kind,
    troupe_reason reason, troupe_status status)
{
    if (TP_LIKELY(shard->subscription_count == 0))
        return;
    troupe_lifecycle event = {.kind = kind,
        .id = tp_activation_id(actor),
        .shard = shard->number,
        .reason = reason,
        .status = status};
    tp_lifecycle_tell(shard, &event);
}

/* ---- idling -------------------------------------------------------------------------------- */

static void idle_due(tp_shard *shard, tp_alarm *alarm)
{
    tp_activation *actor = TP_CONTAINER(alarm, tp_activation, idle);
    uint64_t age = TP_LIVE_GET(actor->type->is.idle);
    if (tp_activation_may_leave(actor) && shard->now - actor->last_used >= age) {
        TP_MARK(shard, "idle age reached");
        tp_leave(shard, actor, TROUPE_REASON_IDLE);
        return;
    }
    tp_idle_watch(shard, actor);
}

void tp_idle_watch(tp_shard *shard, tp_activation *actor)
{
    uint64_t age = TP_LIVE_GET(actor->type->is.idle);
    if (age == TROUPE_NEVER)
        return;
    uint64_t due = tp_time_after(actor->last_used, age);
    if (due <= shard->now)
        due = tp_time_after(shard->now, age); /* busy at the moment */
    if (due == TP_NEVER)
        return;
    /* On a grid, so that many idle actors cost few wake-ups. */
    uint64_t grid = age / 64 < TROUPE_SECONDS(1) ? age / 64 : TROUPE_SECONDS(1);
    if (grid > TROUPE_MILLISECONDS(1))
        due += grid - due % grid;
    tp_alarm_set(shard, &actor->idle, due, idle_due);
}

/* ---- activation ---------------------------------------------------------------------------- */

static void activated(tp_shard *shard, tp_activation *actor)
{
    actor->phase = TP_ACTIVE;
    actor->flags |= TP_LIVE;
    actor->flags &= (uint16_t) ~(TP_STOPPING | TP_CAME); /* called again before its record went */
    actor->activated_at = shard->now;
    tp_count(&tp_counters_of(shard, actor->type)->activations);
    tp_idle_watch(shard, actor);
    tell(shard, actor, TROUPE_LIFECYCLE_ACTIVATED, (troupe_reason)0, TROUPE_OK);
    if (actor->type->commits) {
        tp_durable_check(shard, actor);
        tp_outbox_loaded(shard, tp_durable_of(actor));
        tp_reminders_arm(shard, tp_durable_of(actor));
    }
    if (tp_mailbox_may_run(shard, actor))
        tp_schedule(shard, actor);
}

/* ---- to the store and back, by a hook that waits ------------------------------------------- */

typedef struct storing {
    troupe_store_op op;
    tp_link link; /* in the shard's list, while it is not over */
    tp_inbound inbound;
    troupe_turn *turn;
    tp_alarm delay;
    _Atomic uint32_t stage; /* publishes what was found to the shard */
} storing;

enum { STORING_SUBMITTED, STORING_AWAITED, STORING_DONE };

static void storing_over(tp_shard *shard, tp_inbound *inbound)
{
    (void)shard;
    storing *self = TP_CONTAINER(inbound, storing, inbound);
    tp_list_remove(&self->link);
    tp_unpark(self->turn, TROUPE_OK);
}

static void storing_delayed(tp_shard *shard, tp_alarm *alarm)
{
    (void)shard;
    storing *self = TP_CONTAINER(alarm, storing, delay);
    tp_list_remove(&self->link);
    tp_unpark(self->turn, TROUPE_OK);
}

static void storing_done(troupe_store_op *op)
{
    storing *self = TP_CONTAINER(op, storing, op);
    /* Who is not awaited yet is seen by submit's caller. */
    if (atomic_exchange(&self->stage, STORING_DONE) == STORING_AWAITED)
        tp_inbox_push(self->turn->shard, &self->inbound);
}

/* The shard goes, and with it the fibers of turns that still wait for the store. */
void tp_lifecycle_abandon(tp_shard *shard)
{
    if (shard->storings.head.next == NULL)
        return; /* it never came so far */
    TP_LIST_EACH(&shard->storings, link)
    {
        troupe_store_release(&TP_CONTAINER(link, storing, link)->op);
    }
}

/* Hands an operation to the store and waits for it. */
static troupe_status store(troupe_turn *turn, storing *self)
{
    tp_shard *shard = turn->shard;
    tp_activation *actor = turn->actor;
    self->turn = turn;
    self->inbound.arrive = storing_over;
    self->op.id = tp_activation_id(actor);
    self->op.allocator = shard->shared->allocator;
    self->op.done = storing_done;
    self->op.next = NULL;                                /* of the last time */
    troupe_status status = tp_park_reserve_slowly(turn); /* no commit point */
    if (status != TROUPE_OK)
        return status;
    shard->shared->store->submit(shard->shared->store, &self->op);
    bool is_done = atomic_exchange(&self->stage, STORING_AWAITED) == STORING_DONE;
    if (is_done && (shard->env->choose == NULL || shard->env->choose(shard->env, 4) != 0))
        return self->op.status;
    if (is_done) { /* a simulated store takes its time */
        uint64_t delay = TROUPE_MICROSECONDS(1 + shard->env->choose(shard->env, 5000));
        tp_alarm_set(shard, &self->delay, shard->now + delay, storing_delayed);
    }
    tp_list_push_back(&shard->storings, &self->link);
    TP_MARK(shard, "store takes its time");
    tp_park(turn, TP_WAIT_STORAGE);
    return self->op.status;
}

static void release_loaded(void *argument)
{
    troupe_store_release(argument);
}

/* `self` lasts until the turn's clean-ups have run. */
static troupe_status load(troupe_turn *turn, storing *self)
{
    tp_activation *actor = turn->actor;
    if (TP_UNLIKELY(actor->extras != NULL && actor->extras->moved != NULL))
        return tp_move_load(turn);
    if (actor->type->is.persist == TROUPE_PERSIST_NONE)
        return tp_load_anew(actor);
    TROUPE_TRY(tp_load_prepare(turn->shard, actor));
    /* Given back also when the load hook panics. */
    TROUPE_TRY(troupe_defer(turn, release_loaded, &self->op));
    TP_MARK(turn->shard, "load begins");
    TROUPE_TRY(store(turn, self));
    TP_MARK(turn->shard, "load ended");
    /* While a node that was put out closes, turns that wait end; this one would only begin. */
    if (TP_UNLIKELY(tp_lease_is_lost(turn->shard->shared))) {
        TP_MARK(turn->shard, "load ends at a node that was put out");
        return TROUPE_UNAVAILABLE;
    }
    return tp_load_take(turn->shard, actor, &self->op, turn);
}

void tp_activate_body(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    storing loading = {.op = {.kind = TROUPE_STORE_LOAD}};
    troupe_status status = load(turn, &loading);
    turn->refused = status != TROUPE_OK; /* no failure of the actor */
    if (status == TROUPE_OK && actor->type->is.on_activate != NULL) {
        if (actor->type->commits && !tp_turn_keep(turn))
            status = TROUPE_NO_MEMORY;
        if (status == TROUPE_OK)
            status = actor->type->is.on_activate(turn, tp_activation_state(actor));
        if (status == TROUPE_OK && actor->type->commits)
            status = tp_commit_write(turn);
    }
    tp_turn_end(turn, status);
}

void tp_hook_run(tp_shard *shard, tp_activation *actor, tp_turn_kind kind)
{
    troupe_turn turn;
    tp_turn_init(&turn, shard, actor, NULL, kind);
    /* What the activation's first message waits for bounds the hook, so that a chain of activations
     * cannot outlive its asker. */
    if (kind == TP_TURN_ACTIVATE && !tp_fifo_is_empty(&actor->mailbox)) {
        const tp_message *first = tp_message_of(actor->mailbox.head);
        turn.chain = first->chain != 0 ? first->chain : turn.chain;
    }
    tp_turn_body(&turn);
}

/* False: it needs a stack of its own, and there is none. */
static bool begin_hook(tp_shard *shard, tp_activation *actor, tp_turn_kind kind)
{
    if (TP_UNLIKELY(actor->type->is.stack_size != 0))
        return tp_hook_on_own_fiber(shard, actor, kind);
    tp_hook_run(shard, actor, kind);
    return true;
}

/* Its asks are refused; tells were accepted: they wait, and it with them. */
static void lacks_fiber(tp_shard *shard, tp_activation *actor)
{
    tp_mailbox_refuse(shard, actor, "no fiber is free for its activation; try again later");
    if (tp_fifo_is_empty(&actor->mailbox)) {
        actor->flags |= TP_STOPPING;
        tp_settle(shard, actor);
    } else {
        tp_fibers_starve(shard, actor);
    }
}

void tp_activate(tp_shard *shard, tp_activation *actor)
{
    if (actor->phase == TP_DEACTIVATING) {
        if (actor->turns == NULL && !begin_hook(shard, actor, TP_TURN_DEACTIVATE))
            tp_fibers_starve(shard, actor);
        return;
    }
    if (actor->phase != TP_NEW)
        return;
    if (TP_UNLIKELY(actor->type->commits) && !tp_commits_are_over(shard, actor))
        return; /* of the activation before: their end schedules this one */
    bool has_state = actor->extras != NULL && actor->extras->moved != NULL;
    if (actor->type->activates_alone && TP_LIKELY(!has_state)) {
        actor->flags |= TP_HOLDS;
        activated(shard, actor);
        return;
    }
    if (actor->type->loads_alone && TP_LIKELY(!has_state)) {
        actor->phase = TP_ACTIVATING;
        actor->flags |= TP_HOLDS;
        tp_load_begin(shard, actor);
        return;
    }
    if (actor->type->is.persist != TROUPE_PERSIST_NONE && !tp_fibers_may_park(shard)) {
        lacks_fiber(shard, actor);
        return;
    }
    actor->phase = TP_ACTIVATING;
    actor->flags |= TP_HOLDS;
    if (begin_hook(shard, actor, TP_TURN_ACTIVATE))
        return;
    actor->phase = TP_NEW;
    actor->flags &= (uint16_t)~TP_HOLDS;
    lacks_fiber(shard, actor);
}

/* What on_activate said about it, else what there is to say of the status. */
static troupe_slice failure_of(const troupe_turn *turn, troupe_status status)
{
    const tp_message *words = turn != NULL ? turn->reply : NULL;
    return words != NULL && words->status == status ? tp_message_payload(words)
                                                    : troupe_str(troupe_status_text(status));
}

void tp_activation_over(
    tp_shard *shard, tp_activation *actor, troupe_status status, const troupe_turn *turn)
{
    if (status == TROUPE_OK) {
        activated(shard, actor);
        return;
    }
    TP_MARK(shard, "activation failed");
    troupe_slice why = failure_of(turn, status);
    tell(shard, actor, TROUPE_LIFECYCLE_FAILED, (troupe_reason)0, status);
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "activation_failed",
        TP_FIELDS(tp_field_text("type", actor->type->name),
            tp_field_text("key", tp_activation_key(actor)),
            tp_field_string("status", troupe_status_name(status)), tp_field_text("why", why)),
        "on_activate or the load failed; the messages that waited end with this status");
    char words[1024];
    snprintf(words, sizeof words, "its activation failed: %.*s", TROUPE_ARG(why));
    tp_activation_reset(shard, actor);
    tp_mailbox_fail_all(shard, actor, status, words);
    if (turn != NULL && !turn->refused &&
        tp_supervise_activation(shard, actor, status, turn->panicked))
        return;
    actor->flags |= TP_STOPPING;
    tp_settle(shard, actor);
}

/* ---- deactivation -------------------------------------------------------------------------- */

static void gone(tp_shard *shard, tp_activation *actor, troupe_reason reason)
{
    TP_TRACE(shard, TP_TRACE_LEAVE, actor->hash ^ (uint64_t)reason);
    if (actor->flags & TP_LIVE) {
        tp_count(&tp_counters_of(shard, actor->type)->deactivations);
        if (reason == TROUPE_REASON_EVICTED)
            tp_count(&shard->counters.evictions);
        bool loses = reason == TROUPE_REASON_EVICTED || reason == TROUPE_REASON_IDLE;
        if (loses && actor->type->is.state_size != 0 &&
            actor->type->is.persist == TROUPE_PERSIST_NONE && (actor->flags & TP_DIRTY)) {
            tp_count(&shard->counters.lost_states);
            TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "state_lost",
                TP_FIELDS(tp_field_text("type", actor->type->name),
                    tp_field_text("key", tp_activation_key(actor)),
                    tp_field_string("reason", troupe_reason_name(reason))),
                "an actor with state that is not persistent was deactivated; make the type "
                "persistent, or raise "
                "idle, max_actors or memory_limit");
        }
        tell(shard, actor, TROUPE_LIFECYCLE_DEACTIVATED, reason, TROUPE_OK);
    }
    tp_wake_leaves(shard, actor);
    tp_activation_discard(actor);
    if (TP_UNLIKELY(shard->away != NULL) && !tp_type_has_workers(actor->type))
        shard->away->gone(shard->away, actor);
    tp_activation_free(shard, actor);
}

void tp_leave(tp_shard *shard, tp_activation *actor, troupe_reason reason)
{
    TP_DEBUG_ASSERT(tp_activation_is_idle(actor));
    actor->flags &= (uint16_t)~TP_LEAVE;
    if (actor->type->ends_alone || !(actor->flags & TP_LIVE)) {
        gone(shard, actor, reason);
        return;
    }
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (extras == NULL)
        return; /* no memory: it stays, and is asked again */
    extras->reason = reason;
    actor->phase = TP_DEACTIVATING;
    shard->leaving++;
    tp_schedule(shard, actor);
}

/* Is there anything that the store does not have yet? */
static bool is_saved(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    const troupe_type *is = &actor->type->is;
    if (is->persist == TROUPE_PERSIST_NONE || !(actor->flags & TP_DIRTY))
        return true;
    if (turn->before != NULL)
        return memcmp(turn->before, tp_activation_state(actor), is->state_size) == 0;
    if (is->on_deactivate != NULL || !actor->type->commits)
        return false;
    return actor->extras->durable->turns == 0;
}

/* An unknown outcome is resolved by the same commit again (see commit.c). */
static troupe_status store_surely(troupe_turn *turn, storing *self)
{
    bool unknown = false;
    for (uint64_t wait = TROUPE_MILLISECONDS(2);; wait = wait < SAVE_AGAIN ? wait * 2 : wait) {
        atomic_store(&self->stage, STORING_SUBMITTED);
        troupe_status status = store(turn, self);
        troupe_store_release(&self->op);
        if (status == TROUPE_CONFLICT && unknown && self->op.found == self->op.version + 1)
            return TROUPE_OK;
        bool is_final = status == TROUPE_OK || status == TROUPE_CONFLICT || status == TROUPE_CLOSED;
        if (status != TROUPE_UNKNOWN && (is_final || !unknown))
            return status;
        unknown = true;
        TP_MARK(turn->shard, "save is sent again");
        tp_count(&turn->shard->counters.commits_unknown);
        status = troupe_sleep(turn, wait);
        if (status != TROUPE_OK)
            return status;
    }
}

/* One commit of what `self` says beside writer and version; waits for it. */
static troupe_status commit_now(troupe_turn *turn, storing *self)
{
    tp_activation *actor = turn->actor;
    self->op.kind = TROUPE_STORE_COMMIT;
    self->op.writer = turn->shard->shared->store->writer;
    self->op.version = actor->extras->version;
    TP_MARK(turn->shard, "save begins");
    troupe_status status = store_surely(turn, self);
    if (status == TROUPE_OK) {
        TP_MARK(turn->shard, "save is durable");
        actor->extras->version = self->op.version + 1;
        actor->flags &= (uint16_t)~TP_DIRTY;
        tp_lifecycle_committed(turn->shard, actor);
    }
    return status;
}

static troupe_status save_record(troupe_turn *turn, storing *self, troupe_slice bytes)
{
    tp_activation *actor = turn->actor;
    size_t size = tp_record_size(bytes.size);
    void *record = size != 0 ? tp_turn_take(turn, SIZE_MAX, size) : NULL;
    if (record == NULL)
        return TROUPE_NO_MEMORY;
    tp_record_seal(record, tp_record_seed(tp_activation_id(actor)), bytes);
    uint64_t wall = turn->shard->env->wall(turn->shard->env);
    self->op.commit = (troupe_store_commit){.has_state = true,
        .snapshot = actor->type->keeps,
        .state = {record, size},
        .wake = actor->type->commits ? tp_wake_of(tp_durable_of(actor), wall) : 0,
        .time = wall};
    return commit_now(turn, self);
}

troupe_status tp_lifecycle_replace(troupe_turn *turn, bool erase, troupe_slice bytes)
{
    storing saving = {.turn = turn};
    if (!erase)
        return save_record(turn, &saving, bytes);
    saving.op.commit =
        (troupe_store_commit){.erase = true, .time = turn->shard->env->wall(turn->shard->env)};
    return commit_now(turn, &saving);
}

static troupe_status save(troupe_turn *turn, storing *self)
{
    tp_activation *actor = turn->actor;
    if (is_saved(turn) || TP_MUTANT(turn->shard, TP_MUTANT_NO_SAVE))
        return TROUPE_OK;
    TROUPE_TRY(tp_commit_write(turn));
    troupe_slice bytes = {tp_activation_state(actor), actor->type->is.state_size};
    if (turn->written != NULL)
        bytes = tp_writer_bytes(turn->written);
    TROUPE_TRY(save_record(turn, self, bytes));
    if (actor->type->commits)
        tp_durable_of(actor)->digest = 0; /* it is of the commit before */
    tp_turn_commit(turn);
    return TROUPE_OK;
}

troupe_status tp_deactivation_asks(troupe_turn *turn)
{
    storing saving = {.op = {.kind = TROUPE_STORE_COMMIT}};
    if (!turn->actor->type->gated || TP_MUTANT(turn->shard, TP_MUTANT_PARTS_EARLY))
        return TROUPE_OK;
    TP_MARK(turn->shard, "stored before on_deactivate asks");
    return save(turn, &saving);
}

/* What it changes is stored, also after a life in which others only read. Should that fail, nobody
 * sees what it has changed: the bytes go back, or are loaded again. */
static troupe_status run_hook(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    if (actor->type->is.on_deactivate == NULL || !(actor->flags & TP_LIVE))
        return TROUPE_OK;
    if (actor->type->gated && !tp_turn_keep(turn))
        return TROUPE_NO_MEMORY;
    if (actor->type->is.persist != TROUPE_PERSIST_NONE)
        actor->flags |= TP_DIRTY;
    actor->type->is.on_deactivate(turn, tp_activation_state(actor), actor->extras->reason);
    return TROUPE_OK;
}

void tp_deactivate_body(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    turn->written = NULL;
    if (TP_UNLIKELY(actor->flags & TP_MOVES)) {
        troupe_status status = tp_move_keep(turn);
        turn->written = NULL;
        if (status != TROUPE_OK) {
            tp_turn_end(turn, status);
            return;
        }
    }
    storing saving = {.op = {.kind = TROUPE_STORE_COMMIT}};
    troupe_status status = run_hook(turn);
    tp_turn_end(turn, status == TROUPE_OK ? save(turn, &saving) : status);
}

/* Nobody has used it since its save failed: it leaves as it was to. */
static void save_again(tp_shard *shard, tp_alarm *alarm)
{
    tp_activation *actor = TP_CONTAINER(alarm, tp_activation, idle);
    if (tp_activation_may_leave(actor) && shard->now - actor->last_used >= SAVE_AGAIN) {
        tp_leave(shard, actor, actor->extras->reason);
        return;
    }
    tp_idle_watch(shard, actor);
}

/* The turn of on_deactivate and the save has ended. */
void tp_deactivation_over(tp_shard *shard, tp_activation *actor, troupe_status status)
{
    tp_extras *extras = actor->extras;
    shard->leaving--;
    /* What cannot be saved ever, or not in time, does not keep its actor. */
    bool over = status == TROUPE_OK || status == TROUPE_PANIC || status == TROUPE_INTERRUPTED ||
                status == TROUPE_CONFLICT || status == TROUPE_CLOSED;
    if (over && status != TROUPE_OK && actor->type->is.persist != TROUPE_PERSIST_NONE &&
        (actor->flags & TP_DIRTY)) {
        tp_count(&shard->counters.save_failures);
        tp_count(&shard->counters.lost_states);
        TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "state_lost",
            TP_FIELDS(tp_field_text("type", actor->type->name),
                tp_field_text("key", tp_activation_key(actor)),
                tp_field_string("status", troupe_status_name(status))),
            "on_deactivate panicked, the node hurried, or somebody else has written it: what was "
            "not saved is lost");
    }
    if (TP_UNLIKELY(actor->flags & TP_MOVES)) {
        tp_move_rested(shard, actor, status == TROUPE_OK);
        return;
    }
    if (!over) {
        tp_count(&shard->counters.save_failures);
        TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "save_failed",
            TP_FIELDS(tp_field_text("type", actor->type->name),
                tp_field_text("key", tp_activation_key(actor)),
                tp_field_string("status", troupe_status_name(status))),
            "the state could not be saved; the actor stays active and is saved later");
        actor->phase = TP_ACTIVE;
        if (actor->type->commits)
            tp_durable_check(shard, actor);
        actor->last_used = shard->now; /* it is not the next one to be tried */
        if (actor->phase == TP_ACTIVE)
            tp_alarm_set(shard, &actor->idle, shard->now + SAVE_AGAIN, save_again);
        tp_settle(shard, actor);
        return;
    }
    if (tp_fifo_is_empty(&actor->mailbox) && extras->callbacks == 0) {
        gone(shard, actor, extras->reason);
        return;
    }
    /* Messages came meanwhile: this record becomes the next activation. */
    TP_MARK(shard, "messages during deactivation");
    if (TP_MUTANT(shard, TP_MUTANT_FREE_EARLY))
        tp_mailbox_fail_all(shard, actor, TROUPE_UNAVAILABLE, "lost");
    tp_count(&tp_counters_of(shard, actor->type)->deactivations);
    tell(shard, actor, TROUPE_LIFECYCLE_DEACTIVATED, extras->reason, TROUPE_OK);
    tp_activation_reset(shard, actor);
    extras->reason = (troupe_reason)0;
    actor->flags |= TP_STOPPING; /* should nothing be left of what came */
    tp_settle(shard, actor);
}

/* ---- limits -------------------------------------------------------------------------------- */

/* The clock algorithm over the recency list: a record used since the hand last passed goes to the
 * back once. False: none found. */
static bool evict_one(tp_shard *shard)
{
    for (uint32_t looked = 0; looked < EVICTION_LOOK && !tp_list_is_empty(&shard->recency);
         looked++) {
        tp_activation *actor = TP_CONTAINER(tp_list_front(&shard->recency), tp_activation, recency);
        bool may_go = tp_activation_may_leave(actor);
        bool goes = may_go && !(actor->flags & TP_USED);
        actor->flags &= (uint16_t)~TP_USED;
        tp_list_remove(&actor->recency);
        tp_list_push_back(&shard->recency, &actor->recency);
        if (!goes && !(may_go && looked >= EVICTION_LOOK / 2))
            continue;
        TP_MARK(shard, "evicted");
        tp_leave(shard, actor, TROUPE_REASON_EVICTED);
        return true;
    }
    return false;
}

static bool is_crowded(tp_shard *shard, bool crowded)
{
    if (shard->was_crowded != crowded) {
        shard->was_crowded = crowded;
        tp_crowd(shard, TP_CROWDED_HERE, crowded);
    }
    return crowded;
}

/* So much more than memory_limit is in use at most while idle actors are sent away for it. */
static size_t grace(const tp_shard *shard)
{
    size_t eighth = shard->memory_limit / 8;
    return eighth < GRACE_MAX ? eighth : GRACE_MAX;
}

void tp_look_at_memory(tp_shard *shard, bool may_evict)
{
    if (TP_UNLIKELY(tp_pool_is_above(&shard->pool, shard->memory_limit)))
        tp_pool_collect(&shard->pool);
    size_t most = shard->memory_limit + (may_evict ? grace(shard) : 0);
    bool is_short = tp_pool_is_above(&shard->pool, most) ||
                    (shard->is_short && tp_pool_is_above(&shard->pool, shard->memory_limit));
    shard->memory_bar = shard->memory_limit + (is_short ? 0 : grace(shard));
    if (TP_LIKELY(is_short == shard->is_short))
        return;
    if (is_short)
        TP_MARK(shard, "crowded by bytes");
    shard->is_short = is_short;
    shard->short_since = shard->now;
    tp_crowd(shard, TP_CROWDED_SHORT, is_short);
}

/* Two go for one that comes, until it fits again. */
static bool make_bytes(tp_shard *shard)
{
    for (int i = 0; i < 2; i++) {
        if (tp_pool_bytes(&shard->pool) <= shard->memory_limit)
            return true;
        if (!evict_one(shard))
            return shard->leaving != 0; /* what leaves is on its way */
    }
    return true;
}

/* Actors that are parked may be waiting for the one to be made: they do not count, max_fibers
 * bounds them. Nor do as many that are loaded: two that write to one another would send each other
 * away for ever. */
static uint64_t beyond(const tp_shard *shard)
{
    uint64_t most = shard->shared->options.max_fibers;
    return shard->parked_count + (shard->loading_count < most ? shard->loading_count : most);
}

bool tp_make_room(tp_shard *shard)
{
    if (TP_UNLIKELY(tp_pool_is_above(&shard->pool, shard->memory_limit)) && !make_bytes(shard)) {
        tp_look_at_memory(shard, false);
        if (shard->is_short)
            return false;
    }
    if (TP_LIKELY(shard->active - shard->leaving < shard->max_active))
        return true;
    if (evict_one(shard)) {
        is_crowded(
            shard, shard->leaving > 64 + shard->max_active / 8); /* hooks and saves are behind */
        return true;
    }
    if (shard->active - shard->leaving < shard->max_active + beyond(shard))
        return true;
    TP_MARK(shard, "crowded");
    is_crowded(shard, true);
    return false;
}

static bool is_over(const tp_shard *shard)
{
    return shard->active - shard->leaving > shard->max_active ||
           tp_pool_bytes(&shard->pool) > shard->memory_limit;
}

void tp_keep_limits(tp_shard *shard)
{
    bool over = is_over(shard), may_evict = true;
    for (int i = 0; over && may_evict && i < EVICTIONS_A_PASS; i++) {
        may_evict = evict_one(shard);
        over = is_over(shard);
    }
    if (TP_UNLIKELY(over || shard->is_short))
        tp_look_at_memory(shard, may_evict || shard->leaving != 0);
    /* Crowded is what tp_make_room calls so: parked actors beyond the limit do not count here
     * either, or all that wait to send would be refused for ever. */
    if (TP_LIKELY(!shard->was_crowded))
        return;
    bool behind = shard->leaving > 64 + shard->max_active / 8;
    bool full = shard->active - shard->leaving >= shard->max_active + beyond(shard);
    if (!behind && (!full || evict_one(shard)))
        is_crowded(shard, false);
}

static void interrupt_ask(tp_shard *shard, tp_call call)
{
    tp_ask_end(shard, call, TROUPE_INTERRUPTED, TROUPE_UNKNOWN_OUTCOME,
        troupe_str("the node closes and drain_timeout is over; it may have run"));
}

/* What is not stored goes along with its actor, where another node takes it. */
static bool moves_on(tp_shard *shard, tp_activation *actor)
{
    return shard->away != NULL && !tp_type_has_workers(actor->type) && (actor->flags & TP_LIVE) &&
           actor->phase == TP_ACTIVE && shard->away->moves_on(shard->away, actor);
}

void tp_leave_all(tp_shard *shard)
{
    bool hurries =
        atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) == TP_HURRYING;
    TP_LIST_EACH(&shard->parked, link)
    {
        troupe_turn *turn = TP_CONTAINER(link, troupe_turn, parked);
        if (!hurries || turn->interrupted || turn->wait == TP_WAIT_BLOCKING ||
            turn->wait == TP_WAIT_STORAGE)
            continue;
        turn->interrupted = true;
        if (tp_durable_of(turn->actor) != NULL)
            tp_durable_rested(shard, tp_durable_of(turn->actor));
        TP_MARK(shard, "interrupted by closing");
        if (turn->wait == TP_WAIT_ASK) {
            interrupt_ask(shard, turn->wait_call);
        } else if (turn->wait == TP_WAIT_GATHER) {
            for (size_t i = 0; i < turn->gather->count; i++)
                interrupt_ask(shard, turn->gather->parts[i].call);
        } else if (turn->wait == TP_WAIT_SLEEP) {
            tp_alarm_cancel(shard, &turn->alarm);
            tp_unpark(turn, TROUPE_INTERRUPTED);
        }
    }
    if (hurries)
        return;
    uint64_t count = shard->active;
    for (uint64_t i = 0; i < count && !tp_list_is_empty(&shard->recency); i++) {
        tp_activation *actor = TP_CONTAINER(tp_list_front(&shard->recency), tp_activation, recency);
        tp_list_remove(&actor->recency);
        tp_list_push_back(&shard->recency, &actor->recency);
        bool may_leave = tp_activation_may_leave(actor) ||
                         (actor->phase == TP_WAITING && tp_activation_is_idle(actor));
        if (may_leave && !moves_on(shard, actor))
            tp_leave(shard, actor, TROUPE_REASON_CLOSING);
    }
}
