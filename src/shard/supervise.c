/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows a failed turn (P11): resume, restart after a back-off, or stop; and setting aside a
 * message that kills its actor again and again. A failure hurts its own activation only.
 *
 * A back-off is `backoff * 2^(failures in a row - 1)`, at most its cap, less a random part of
 * `jitter` per cent, so that many that failed together do not come back together.
 */
#include "shard/durable.h"
#include "shard/wake.h"

static void restart(tp_shard *shard, tp_alarm *alarm)
{
    tp_activation *actor = TP_CONTAINER(alarm, tp_extras, back_off)->actor;
    if (actor->phase != TP_WAITING)
        return;
    actor->phase = TP_NEW;
    if (tp_mailbox_may_run(shard, actor)) {
        tp_schedule(shard, actor);
    } else {
        tp_idle_watch(shard, actor); /* the record remembers the failures in a row for so long */
    }
}

/* Answers that wait in the mailbox belong to the activation that asked. */
static void drop_answers(tp_shard *shard, tp_activation *actor)
{
    tp_message *before = NULL;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL;) {
        tp_message *message = tp_message_of(node);
        node = node->next;
        if (message->kind != TP_ANSWER) {
            before = message;
            continue;
        }
        TP_MARK(shard, "answer dropped by a reset");
        tp_mailbox_remove(shard, actor, before, message);
        tp_pool_give(&shard->pool, message->extra);
        tp_pool_give(&shard->pool, message);
    }
}

void tp_activation_reset(tp_shard *shard, tp_activation *actor)
{
    const troupe_type *is = &actor->type->is;
    tp_activation_discard(actor);
    if (is->state_size != 0)
        memset(tp_activation_state(actor), 0, is->state_size);
    actor->phase = TP_NEW;
    actor->flags &= (uint16_t) ~(TP_LIVE | TP_DIRTY | TP_LEAVE | TP_TORN);
    tp_alarm_cancel(shard, &actor->idle);
    tp_extras *extras = actor->extras;
    if (extras == NULL)
        return;
    tp_wake_leaves(shard, actor);
    tp_timers_stop(shard, actor);
    drop_answers(shard, actor);
    tp_arena_drop(shard, &extras->arena, &extras->arena_bytes);
    extras->generation++;
}

static uint64_t back_off(tp_shard *shard, const troupe_supervision *policy, uint32_t failures)
{
    uint64_t wait = policy->backoff;
    for (uint32_t i = 1; i < failures && wait < policy->backoff_cap; i++)
        wait *= 2;
    if (wait > policy->backoff_cap)
        wait = policy->backoff_cap;
    return wait - tp_prng_below(&shard->prng, wait / 100 * policy->jitter + 1);
}

static void tell_failed(
    tp_shard *shard, const troupe_turn *turn, troupe_lifecycle_kind kind, troupe_status status)
{
    if (shard->subscription_count == 0)
        return;
    troupe_lifecycle event = {.kind = kind,
        .id = tp_activation_id(turn->actor),
        .shard = shard->number,
        .status = status,
        .method = troupe_turn_method(turn)};
    tp_lifecycle_tell(shard, &event);
}

/* The message of a turn that panicked: again, aside, or answered by the caller of this. */
static void redeliver(tp_shard *shard, troupe_turn *turn)
{
    const troupe_supervision *policy = &turn->actor->type->is.supervision;
    tp_message *message = turn->message;
    if (message == NULL || !policy->redeliver || message->kind > TP_ASK)
        return;
    message->deliveries++;
    if (tp_turn_outcome(turn) == TROUPE_UNKNOWN_OUTCOME)
        message->flags |= TP_MESSAGE_TOUCHED;
    if (message->deliveries < policy->poison_after) {
        TP_MARK(shard, "redelivered");
        turn->message = NULL;
        if (turn->reply != NULL)
            tp_pool_give(&shard->pool, turn->reply);
        turn->reply = NULL;
        tp_mailbox_push_front(shard, turn->actor, message);
        return;
    }
    tp_count(&shard->counters.poisoned);
    TP_MARK(shard, "poisoned");
    tell_failed(shard, turn, TROUPE_LIFECYCLE_POISONED, TROUPE_POISONED);
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "message_poisoned",
        TP_FIELDS(tp_field_text("type", turn->actor->type->name),
            tp_field_text("key", tp_activation_key(turn->actor)),
            tp_field_text("method", tp_message_method_name(message)),
            tp_field_number("deliveries", message->deliveries)),
        "a message killed its actor each time it was delivered, and is set aside");
    if (message->flags & TP_MESSAGE_SLIP)
        tp_delivery_over(turn, TROUPE_POISONED);
    turn->message = NULL;
    if (turn->reply != NULL)
        tp_pool_give(&shard->pool, turn->reply);
    turn->reply = NULL;
    /* Its answer is an output as any other, and rests on what the actor has begun to store. */
    bool is_gated = turn->actor->type->gated && tp_durable_of(turn->actor) != NULL;
    shard->gated = is_gated ? turn : NULL;
    tp_message_answer(shard, message, TROUPE_POISONED, TROUPE_NOT_DONE,
        "it killed its actor %u times and is set aside", (unsigned)message->deliveries);
    shard->gated = NULL;
}

static void start_again(tp_shard *shard, tp_activation *actor, const troupe_supervision *policy)
{
    tp_count(&shard->counters.restarts);
    tp_activation_reset(shard, actor);
    tp_extras *extras = actor->extras;
    if (extras == NULL || TP_MUTANT(shard, TP_MUTANT_NO_BACKOFF))
        return;
    actor->phase = TP_WAITING;
    TP_MARK(shard, "waits for its back-off");
    tp_alarm_set(
        shard, &extras->back_off, shard->now + back_off(shard, policy, extras->failures), restart);
}

static void stop(tp_shard *shard, tp_activation *actor)
{
    TP_MARK(shard, "stopped by supervision");
    tp_activation_reset(shard, actor);
    tp_mailbox_fail_all(shard, actor, TROUPE_UNAVAILABLE, "its actor was stopped by supervision");
    actor->flags |= TP_STOPPING;
}

/* Is this status of a turn that did not panic an answer, not a failure? */
static bool is_answer(troupe_status status)
{
    return status >= TROUPE_APPLICATION || status == TROUPE_FAILED;
}

/* Counts it. What is to follow, as far as the policy says. */
static troupe_supervise policy_of(
    const troupe_supervision *policy, tp_extras *extras, bool panicked)
{
    if (extras != NULL && extras->failures != UINT32_MAX)
        extras->failures++;
    if (policy->max_failures != 0 && extras != NULL && extras->failures >= policy->max_failures)
        return TROUPE_SUPERVISE_STOP;
    return panicked ? policy->on_panic : policy->on_error;
}

bool tp_supervise_activation(
    tp_shard *shard, tp_activation *actor, troupe_status status, bool panicked)
{
    const troupe_supervision *policy = &actor->type->is.supervision;
    if (!panicked && is_answer(status))
        return false;
    if (policy_of(policy, tp_activation_extras(shard, actor), panicked) !=
        TROUPE_SUPERVISE_RESTART)
        return false;
    start_again(shard, actor, policy);
    return actor->phase == TP_WAITING;
}

/* Called at a turn's end, after its bytes were restored and it was taken off the actor. */
void tp_supervise(tp_shard *shard, troupe_turn *turn, troupe_status status)
{
    tp_activation *actor = turn->actor;
    bool panicked = turn->panicked;
    if (turn->kind == TP_TURN_ACTIVATE || turn->kind == TP_TURN_DEACTIVATE)
        return;
    if (!panicked && is_answer(status))
        return;
    const troupe_supervision *policy = &actor->type->is.supervision;
    tp_extras *extras = tp_activation_extras(shard, actor);
    troupe_supervise what = policy_of(policy, extras, panicked);
    if (panicked)
        redeliver(shard, turn);
    bool torn =
        panicked && !turn->read_only && turn->before == NULL && actor->type->is.state_size != 0;
    if (what == TROUPE_SUPERVISE_RESUME && torn)
        what = TROUPE_SUPERVISE_RESTART;
    if (what == TROUPE_SUPERVISE_RESUME)
        return;
    tell_failed(shard, turn, TROUPE_LIFECYCLE_FAILED, status);
    if (actor->turns != NULL) { /* others are parked on this state: they end first */
        TP_MARK(shard, "torn while others are parked");
        actor->flags |= TP_TORN;
        if (what == TROUPE_SUPERVISE_STOP)
            actor->flags |= TP_STOPPING;
        return;
    }
    if (what == TROUPE_SUPERVISE_RESTART) {
        start_again(shard, actor, policy);
    } else {
        stop(shard, actor);
    }
}

void tp_supervise_torn(tp_shard *shard, tp_activation *actor)
{
    if (actor->flags & TP_STOPPING) {
        stop(shard, actor);
    } else {
        start_again(shard, actor, &actor->type->is.supervision);
    }
}
