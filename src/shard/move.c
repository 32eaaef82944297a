/* SPDX-License-Identifier: Apache-2.0 */
/* Activations that leave their shard whole, and come to it. See move.h. */
#include "shard/move.h"

#include "shard/durable.h"
#include "shard/wake.h"
#include "store/record.h"

/* ---- the state that goes along --------------------------------------------------------------- */

static bool goes_along(const tp_activation *actor)
{
    return actor->type->is.persist == TROUPE_PERSIST_NONE && actor->type->is.state_size != 0;
}

static void forget(tp_shard *shard, tp_extras *extras)
{
    if (extras->moved != NULL)
        tp_pool_give(&shard->pool, extras->moved);
    extras->moved = NULL;
    extras->moved_size = 0;
}

static troupe_status keep(tp_shard *shard, tp_activation *actor, troupe_slice bytes)
{
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (extras == NULL)
        return TROUPE_NO_MEMORY;
    size_t size = tp_record_size(bytes.size);
    void *record = size != 0 ? tp_pool_take(&shard->pool, size) : NULL;
    if (record == NULL)
        return TROUPE_NO_MEMORY;
    tp_record_seal(record, tp_record_seed(tp_activation_id(actor)), bytes);
    forget(shard, extras);
    extras->moved = record;
    extras->moved_size = size;
    return TROUPE_OK;
}

troupe_status tp_move_keep(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    if (!(actor->flags & TP_MOVES) || !goes_along(actor))
        return TROUPE_OK;
    TROUPE_TRY(tp_commit_write(turn));
    troupe_slice bytes = {tp_activation_state(actor), actor->type->is.state_size};
    if (turn->written != NULL)
        bytes = tp_writer_bytes(turn->written);
    return keep(turn->shard, actor, bytes);
}

troupe_status tp_move_load(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    tp_extras *extras = actor->extras;
    troupe_status status = tp_load_install(
        turn->shard, actor, (troupe_slice){extras->moved, extras->moved_size}, turn);
    forget(turn->shard, extras);
    return status;
}

/* ---- coming to rest -------------------------------------------------------------------------- */

static void rest(tp_shard *shard, tp_activation *actor)
{
    TP_MARK(shard, "captured to be moved");
    actor->phase = TP_MOVING;
    shard->away->still(shard->away, actor);
}

static bool is_still(const tp_activation *actor)
{
    return actor->turns == NULL && !(actor->flags & TP_QUEUED) &&
           (actor->extras == NULL ||
               (actor->extras->callbacks == 0 && (actor->extras->durable == NULL ||
                                                     tp_durable_is_quiet(actor->extras->durable))));
}

/* Nothing to run before it goes, and its bytes are its state. */
static bool goes_alone(const tp_activation *actor)
{
    return !(actor->flags & TP_LIVE) ||
           (actor->type->ends_alone && !actor->type->encodes && !actor->type->owns);
}

bool tp_move_look(tp_shard *shard, tp_activation *actor)
{
    if (actor->phase == TP_MOVING)
        return true;
    if ((actor->phase != TP_ACTIVE && actor->phase != TP_NEW) || !is_still(actor))
        return false;
    if (goes_alone(actor)) {
        troupe_slice bytes = {tp_activation_state(actor), actor->type->is.state_size};
        if ((actor->flags & TP_LIVE) && goes_along(actor) &&
            keep(shard, actor, bytes) != TROUPE_OK) {
            tp_move_rested(shard, actor, false);
            return true;
        }
        rest(shard, actor);
        return true;
    }
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (extras == NULL) {
        tp_move_rested(shard, actor, false);
        return true;
    }
    extras->reason = TROUPE_REASON_MIGRATED;
    actor->phase = TP_DEACTIVATING;
    shard->leaving++;
    tp_schedule(shard, actor);
    return true;
}

bool tp_move_begin(tp_shard *shard, tp_activation *actor)
{
    if (actor->phase == TP_DEACTIVATING || actor->phase == TP_WAITING ||
        (actor->flags & (TP_STOPPING | TP_TORN)))
        return false;
    actor->flags |= TP_MOVES;
    actor->flags &= (uint16_t)~TP_LEAVE;
    if (!(actor->flags & TP_QUEUED))
        tp_settle(shard, actor);
    return true;
}

bool tp_move_undo(tp_shard *shard, tp_activation *actor)
{
    if (actor->phase == TP_DEACTIVATING || actor->phase == TP_MOVING)
        return false;
    actor->flags &= (uint16_t)~TP_MOVES;
    tp_settle(shard, actor);
    return true;
}

/* Its hook and save are over, or could not begin. */
void tp_move_rested(tp_shard *shard, tp_activation *actor, bool is_saved)
{
    if (is_saved) {
        rest(shard, actor);
        return;
    }
    actor->flags &= (uint16_t)~TP_MOVES;
    if (actor->phase == TP_DEACTIVATING)
        actor->phase = TP_ACTIVE;
    if (actor->type->commits)
        tp_durable_check(shard, actor);
    shard->away->stays(shard->away, actor);
    tp_settle(shard, actor);
}

void tp_move_back(tp_shard *shard, tp_activation *actor)
{
    TP_ASSERT(actor->phase == TP_MOVING);
    actor->phase = TP_NEW;
    actor->flags &= (uint16_t) ~(TP_MOVES | TP_LIVE);
    actor->flags |= TP_CAME;
    tp_schedule(shard, actor);
}

/* ---- taking it apart ------------------------------------------------------------------------- */

troupe_slice tp_move_state(const tp_activation *actor)
{
    return actor->extras != NULL ? (troupe_slice){actor->extras->moved, actor->extras->moved_size}
                                 : (troupe_slice){NULL, 0};
}

tp_message *tp_move_message(tp_shard *shard, tp_activation *actor)
{
    while (!tp_fifo_is_empty(&actor->mailbox)) {
        tp_message *message = tp_mailbox_take(shard, actor);
        if (message->kind != TP_TICK)
            return message;
        message->extra = NULL;
        tp_pool_give(&shard->pool, message);
    }
    return NULL;
}

void tp_move_finish(tp_shard *shard, tp_activation *actor)
{
    TP_ASSERT(actor->phase == TP_MOVING && tp_fifo_is_empty(&actor->mailbox));
    if (actor->flags & TP_LIVE) {
        tp_count(&tp_counters_of(shard, actor->type)->deactivations);
        if (shard->subscription_count != 0) {
            const troupe_lifecycle event = {.kind = TROUPE_LIFECYCLE_DEACTIVATED,
                .id = tp_activation_id(actor),
                .shard = shard->number,
                .reason = TROUPE_REASON_MIGRATED};
            tp_lifecycle_tell(shard, &event);
        }
    }
    if (actor->extras != NULL)
        forget(shard, actor->extras);
    tp_wake_leaves(shard, actor);
    tp_activation_discard(actor);
    tp_activation_free(shard, actor);
}

/* ---- putting it together --------------------------------------------------------------------- */

tp_activation *tp_move_arrive(tp_shard *shard, const tp_type *type, uint64_t hash,
    troupe_slice partition, troupe_slice key, troupe_slice state)
{
    tp_activation *actor = tp_activation_create(shard, type, hash, partition, key);
    if (actor == NULL)
        return NULL;
    actor->flags |= TP_CAME;
    tp_activation_guard(shard, actor);
    if (state.size == 0)
        return actor;
    tp_extras *extras = tp_activation_extras(shard, actor);
    void *copy = extras != NULL ? tp_pool_take(&shard->pool, state.size) : NULL;
    if (copy == NULL) {
        tp_activation_free(shard, actor);
        return NULL;
    }
    memcpy(copy, state.data, state.size);
    extras->moved = copy;
    extras->moved_size = state.size;
    return actor;
}

void tp_move_put(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    tp_mailbox_put(shard, actor, message, tp_message_bytes(message));
}

void tp_move_start(tp_shard *shard, tp_activation *actor)
{
    TP_MARK(shard, "runs on after a move");
    tp_activation_touch(shard, actor);
    tp_schedule(shard, actor);
}
