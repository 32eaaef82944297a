/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads: what the store has of an actor becomes its activation. Types without a hook in this are
 * loaded without a turn, so that no fiber parks for them: their activation waits in its phase, its
 * messages in the mailbox, and the loads of a pass go to the store together. Where a hook runs
 * (load, on_activate, those of a schema) the turn of the activation calls tp_load_take.
 *
 * Invariants
 * 1. An activation that loads without a turn has one load under way, and its record stays.
 * 2. No user code runs here but the load hook, with a turn.
 * Threads: a shard's own. A load under way belongs to the store until its `done`.
 */
#include "shard/durable.h"

#include "schema/schema.h"
#include "store/record.h"

/* ---- what was found ------------------------------------------------------------------------- */

static troupe_status corrupt(tp_shard *shard, const tp_activation *actor, const char *reason)
{
    TP_MARK(shard, "stored state is damaged");
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "state_corrupt",
        TP_FIELDS(tp_field_text("type", actor->type->name),
            tp_field_text("key", tp_activation_key(actor))),
        "the stored state is not used: %s", reason);
    return TROUPE_CORRUPT;
}

/* What the table of its state says of bytes that are whole. */
static troupe_status decode(tp_shard *shard, tp_activation *actor, troupe_slice bytes)
{
    char words[256] = "";
    troupe_status status = tp_schema_load(
        actor->type->is.schema, bytes, tp_activation_state(actor), NULL, words, sizeof words);
    if (status == TROUPE_CORRUPT)
        return corrupt(shard, actor, words);
    if (status != TROUPE_OK)
        TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "state_not_loaded",
            TP_FIELDS(tp_field_text("type", actor->type->name),
                tp_field_text("key", tp_activation_key(actor)),
                tp_field_string("status", troupe_status_name(status))),
            "the stored state is not used: %s", words);
    return status;
}

static uint64_t seed_of(const tp_activation *actor)
{
    const tp_durable *durable = tp_durable_of(actor);
    return durable != NULL ? durable->seed : tp_record_seed(tp_activation_id(actor));
}

troupe_status tp_load_install(
    tp_shard *shard, tp_activation *actor, troupe_slice stored, troupe_turn *turn)
{
    const troupe_type *is = &actor->type->is;
    const char *reason;
    troupe_slice bytes;
    troupe_status status = tp_record_open(stored, seed_of(actor), &bytes, &reason);
    if (status != TROUPE_OK)
        return corrupt(shard, actor, reason);
    tp_commit_found(actor, bytes);
    if (is->load != NULL)
        return is->load(turn, tp_activation_state(actor), bytes);
    if (is->schema != NULL)
        return decode(shard, actor, bytes);
    if (bytes.size != is->state_size)
        return corrupt(
            shard, actor, "it has another size than the type's state; use a schema, or hooks");
    memcpy(tp_activation_state(actor), bytes.data, is->state_size);
    return TROUPE_OK;
}

static troupe_status load_row(tp_shard *shard, tp_activation *actor, const troupe_store_item *item)
{
    tp_durable *durable = tp_durable_of(actor);
    if (durable == NULL)
        return TROUPE_OK; /* of a type that saves at deactivation: left where it is */
    const char *reason;
    troupe_status status = tp_rows_load(shard, durable, item, &reason);
    return status == TROUPE_CORRUPT ? corrupt(shard, actor, reason) : status;
}

troupe_status tp_load_anew(tp_activation *actor)
{
    const troupe_schema *schema = actor->type->is.schema;
    return schema != NULL ? troupe_schema_init(schema, tp_activation_state(actor), NULL)
                          : TROUPE_OK;
}

troupe_status tp_load_prepare(tp_shard *shard, tp_activation *actor)
{
    if (tp_activation_extras(shard, actor) == NULL)
        return TROUPE_NO_MEMORY;
    if (actor->type->commits && tp_durable_get(shard, actor) == NULL)
        return TROUPE_NO_MEMORY;
    return TROUPE_OK;
}

troupe_status tp_load_take(
    tp_shard *shard, tp_activation *actor, troupe_store_op *op, troupe_turn *turn)
{
    actor->extras->version = op->found;
    troupe_status status = TROUPE_OK;
    bool has_state = false;
    for (const troupe_store_item *item = op->items; item != NULL && status == TROUPE_OK;
         item = item->next) {
        bool is_state = item->kind == TROUPE_ROW_STATE;
        status = is_state ? tp_load_install(shard, actor, item->value, turn)
                          : load_row(shard, actor, item);
        has_state |= is_state;
    }
    troupe_store_release(op);
    if (status == TROUPE_OK && !has_state)
        status = tp_load_anew(actor);
    return status == TROUPE_OK ? tp_commit_loaded(shard, actor) : status;
}

/* ---- without a turn ------------------------------------------------------------------------- */

typedef struct loading {
    troupe_store_op op;
    tp_link link; /* in the shard's list, while it is not over */
    tp_inbound inbound;
    tp_shard *shard;
    tp_activation *actor;
    tp_alarm delay;
    _Alignas(troupe_store_item) unsigned char room[]; /* of the op */
} loading;

#define ROOM_MAX 2048

/* For a state whose size is known. */
static size_t room_of(const tp_activation *actor)
{
    const troupe_type *is = &actor->type->is;
    if (is->schema != NULL || is->load != NULL)
        return 0;
    size_t size = sizeof(troupe_store_item) + tp_record_size(is->state_size);
    return size <= ROOM_MAX ? size : 0;
}

static void end(tp_shard *shard, tp_activation *actor, troupe_status status)
{
    if (status != TROUPE_OK) {
        tp_count(&tp_counters_of(shard, actor->type)->failures);
        actor->errors++;
    }
    tp_activation_over(shard, actor, status, NULL);
}

/* The store had no room for it: who asks hears so, tells that were accepted wait and try again. */
static void starve(tp_shard *shard, tp_activation *actor)
{
    actor->phase = TP_NEW;
    tp_mailbox_refuse(shard, actor, "too much waits for the store; try again later");
    if (tp_fifo_is_empty(&actor->mailbox)) {
        actor->flags |= TP_STOPPING;
        tp_settle(shard, actor);
        return;
    }
    if (actor->flags & TP_QUEUED)
        return;
    actor->flags |= TP_QUEUED;
    tp_fifo_push_back(&shard->starving, &actor->run_node);
}

static void over(tp_shard *shard, loading *self)
{
    tp_activation *actor = self->actor;
    tp_list_remove(&self->link);
    shard->loading_count--;
    troupe_status status = self->op.status;
    if (status == TROUPE_OK) {
        TP_MARK(shard, "load ended");
        status = tp_load_take(shard, actor, &self->op, NULL);
    }
    troupe_store_release(&self->op);
    tp_pool_give(&shard->pool, self);
    if (status == TROUPE_BUSY)
        starve(shard, actor);
    else
        end(shard, actor, status);
}

static void delayed(tp_shard *shard, tp_alarm *alarm)
{
    over(shard, TP_CONTAINER(alarm, loading, delay));
}

static void arrived(tp_shard *shard, tp_inbound *inbound)
{
    loading *self = TP_CONTAINER(inbound, loading, inbound);
    tp_env *env = shard->env;
    if (env->choose != NULL && shard->shared->store->immediate && env->choose(env, 4) == 0) {
        /* a simulated store takes its time */
        uint64_t wait = TROUPE_MICROSECONDS(1 + env->choose(env, 5000));
        tp_alarm_set(shard, &self->delay, shard->now + wait, delayed);
        return;
    }
    over(shard, self);
}

static void done(troupe_store_op *op)
{
    loading *self = TP_CONTAINER(op, loading, op);
    tp_store_answer(self->shard, &self->inbound);
}

void tp_load_begin(tp_shard *shard, tp_activation *actor)
{
    loading *self = NULL;
    size_t room = room_of(actor);
    /* As a turn that would have to park. */
    if (atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) == TP_HURRYING) {
        end(shard, actor, TROUPE_INTERRUPTED);
        return;
    }
    if (tp_load_prepare(shard, actor) == TROUPE_OK)
        self = tp_pool_take(&shard->pool, sizeof *self + room);
    if (self == NULL) {
        tp_count(&shard->counters.no_memory);
        end(shard, actor, TROUPE_NO_MEMORY);
        return;
    }
    TP_MARK(shard, "load begins");
    TP_TRACE(shard, TP_TRACE_TURN, actor->hash ^ TP_TURN_ACTIVATE);
    *self = (loading){.op = {.kind = TROUPE_STORE_LOAD,
                          .id = tp_activation_id(actor),
                          .allocator = shard->shared->allocator,
                          .done = done,
                          .room = self->room,
                          .room_size = room},
        .inbound = {.arrive = arrived},
        .shard = shard,
        .actor = actor};
    tp_list_push_back(&shard->loadings, &self->link);
    shard->loading_count++;
    *shard->loads_last = &self->op;
    shard->loads_last = &self->op.next;
}

void tp_loads_abandon(tp_shard *shard)
{
    if (shard->loadings.head.next == NULL)
        return; /* it never came so far */
    TP_LIST_EACH(&shard->loadings, link)
    {
        troupe_store_release(&TP_CONTAINER(link, loading, link)->op);
    }
}

/* ---- to the store and back ------------------------------------------------------------------ */

void tp_store_answer(tp_shard *shard, tp_inbound *inbound)
{
    /* A simulated store's answers come in any order with all else. */
    if (!shard->shared->store->immediate || shard->env->choose != NULL) {
        tp_inbox_push(shard, inbound);
        return;
    }
    inbound->node.next = NULL;
    *shard->answers_last = &inbound->node;
    shard->answers_last = &inbound->node.next;
}

static void flush_loads(tp_shard *shard)
{
    troupe_store_op *first = shard->loads;
    if (first == NULL)
        return;
    shard->loads = NULL;
    shard->loads_last = &shard->loads;
    shard->shared->store->submit(shard->shared->store, first);
}

void tp_store_flush(tp_shard *shard)
{
    do {
        flush_loads(shard);
        tp_commits_flush(shard);
        tp_mpsc_node *next = shard->answers;
        shard->answers = NULL;
        shard->answers_last = &shard->answers;
        while (next != NULL) {
            tp_inbound *inbound = TP_CONTAINER(next, tp_inbound, node);
            next = next->next;
            inbound->arrive(shard, inbound);
        }
        /* What gathered behind a commit that was answered at once. */
    } while (tp_store_waits(shard));
}
