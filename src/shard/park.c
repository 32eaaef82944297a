/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns on fibers, at no cost until they wait. The loop itself runs on a fiber and calls methods
 * directly. A turn that parks keeps the stack it is on, and the loop goes on on another: a *spare*,
 * which is a loop fiber that waits where it resumed somebody, or a fresh one. When the wait is
 * over, a loop fiber switches to the parked one, and becomes a spare.
 *
 * Invariants
 * 1. `shard->loop` is the fiber that runs, or that the next step will enter.
 * 2. A spare's stack holds frames of the loop only, nothing that is owned: any spare may be given
 * back.
 * 3. Whoever lands after a switch gives back the fiber that was abandoned.
 */
#include "shard/context.h"
#include "shard/durable.h"

#include "base/alloc.h"

#include <fenv.h>

#define SPARES_KEPT  64 /* by a shard that has nothing to do */
#define SPARES_BUSY  4096
#define SPARES_GIVEN 64 /* at a rest */
#define PARKED_LINES 14 /* from the innermost frame up to the turn, in most methods */

typedef struct spare {
    tp_fifo_node node;
    tp_fiber *fiber;
} spare;

static void land(tp_shard *shard)
{
    tp_fiber *abandoned = shard->abandoned;
    if (TP_LIKELY(abandoned == NULL))
        return;
    shard->abandoned = NULL;
    tp_fiber_give(&shard->fibers, abandoned);
}

static void loop_entry(void *argument)
{
    tp_shard *shard = argument;
    for (;;) {
        land(shard);
        tp_loop_turns(shard);
        tp_fiber_switch(shard->loop, shard->host);
    }
}

troupe_status tp_fibers_init(tp_shard *shard)
{
    const troupe_node_options *options = &shard->shared->options;
    /* Two more than may park: the loop's own, and the reserve. */
    return tp_fiber_pool_init(&shard->fibers, shard->shared->allocator, options->stack_size,
        options->max_fibers + 2, SPARES_KEPT);
}

static bool reserve_fiber(tp_shard *shard)
{
    if (shard->reserve == NULL)
        shard->reserve = tp_fiber_take(&shard->fibers, 0, loop_entry, shard);
    return shard->reserve != NULL;
}

void tp_fibers_enter(tp_shard *shard)
{
    shard->host = tp_fiber_adopt(&shard->fibers);
    if (shard->loop == NULL) {
        if (!reserve_fiber(shard))
            return; /* no stack to be had: the step comes again */
        shard->loop = shard->reserve;
        shard->reserve = NULL;
    }
    tp_fiber_switch(shard->host, shard->loop);
    land(shard);
}

/* The fiber on which the loop goes on; NULL: none. */
static tp_fiber *next_loop(tp_shard *shard)
{
    tp_fifo_node *node = tp_fifo_pop_front(&shard->spares);
    if (node != NULL) {
        shard->spare_count--;
        return TP_CONTAINER(node, spare, node)->fiber;
    }
    tp_fiber *fresh = shard->reserve;
    shard->reserve = NULL;
    return fresh;
}

troupe_status tp_park_reserve_slowly(troupe_turn *turn)
{
    tp_shard *shard = turn->shard;
    if (TP_UNLIKELY(turn->interrupted || atomic_load_explicit(&shard->shared->closing,
                                             memory_order_relaxed) == TP_HURRYING))
        return TROUPE_INTERRUPTED;
    if (TP_UNLIKELY(turn->cancelled))
        return TROUPE_CANCELLED;
    if (TP_LIKELY(
            shard->spare_count != 0 && shard->parked_count < shard->shared->options.max_fibers))
        return TROUPE_OK;
    if (shard->parked_count < shard->shared->options.max_fibers && reserve_fiber(shard))
        return TROUPE_OK;
    tp_count(&shard->counters.busy_fibers);
    TP_MARK(shard, "no fiber to park on");
    return TROUPE_BUSY;
}

/* An ask is a commit point; any park is, where others may run meanwhile. Not a load, before which
 * there is no state, nor a save. Nobody comes in during on_deactivate. */
static inline bool is_point(const troupe_turn *turn, tp_wait wait)
{
    return wait <= TP_WAIT_GATHER || (turn->actor->type->interleaves && wait != TP_WAIT_STORAGE &&
                                         turn->kind != TP_TURN_DEACTIVATE);
}

/* [parked] What the turn changed so far goes to the store, what it sent to the gate. Not inlined,
 * so that the frames of those that park are small. */
__attribute__((noinline)) static void commit(troupe_turn *turn)
{
    const tp_durable *self = tp_durable_of(turn->actor);
    uint64_t begun = self != NULL ? self->begun : 0;
    if (turn->kind == TP_TURN_DEACTIVATE)
        turn->actor->flags |= TP_DIRTY; /* it is stored; the hook goes on */
    troupe_status status = tp_delivery_parks(turn);
    if (status == TROUPE_OK)
        status = tp_commit_point(turn, true);
    if (status == TROUPE_OK) {
        if (turn->parted == 0 && self != NULL && self->begun != begun)
            turn->parted = self->begun;
        return;
    }
    tp_commit_drop(turn);
    tp_durable_break(turn->shard, turn->actor, status, TROUPE_NOT_DONE,
        "its state cannot be stored now; try again later");
}

troupe_status tp_park(troupe_turn *turn, tp_wait wait)
{
    tp_shard *shard = turn->shard;
    /* The switch leaves the rounding mode to the thread: who changes it puts it back first. */
    TP_DEBUG_ASSERT(fegetround() == FE_TONEAREST);
    TP_TRACE(shard, TP_TRACE_PARK, turn->actor->hash ^ (uint64_t)wait);
    turn->wait = wait;
    turn->wait_status = TROUPE_OK;
    if (!turn->parked_once)
        turn->prober = 0;
    turn->parked_once = true;
    turn->parked_at = shard->now;
    turn->fiber = shard->loop;
    turn->floor = __builtin_frame_address(0);
    tp_list_push_back(&shard->parked, &turn->parked);
    shard->parked_count++;
    tp_count(&shard->counters.parks);
    if (TP_UNLIKELY(
            tp_pulse(shard) != turn->pulse || shard->now >= shard->runner.pass_until))
        shard->turns_left = 0; /* the time of the pass is over */
    tp_step_ends(shard);
    tp_activation *actor = turn->actor;
    if (actor->type->interleaves && tp_mailbox_may_run(shard, actor))
        tp_schedule(shard, actor);
    if (TP_UNLIKELY(actor->queued != 0))
        tp_deadlock_watch(shard, actor);
    if (TP_UNLIKELY(actor->type->commits) && is_point(turn, wait))
        commit(turn);
    shard->loop = next_loop(shard);
    tp_fiber_switch(turn->fiber, shard->loop);
    land(shard);
    tp_step_begins(shard, turn);
    if (is_point(turn, wait))
        tp_turn_commit(turn);
    return turn->wait_status;
}

/* Begins to fetch the frames that a parked turn comes back to: of a thousand that wait, each has
 * gone cold. While one runs the next one's are on their way. */
static inline void prefetch_parked(const troupe_turn *turn)
{
    __builtin_prefetch(turn->fiber);
    for (size_t line = 0; line < PARKED_LINES; line++)
        __builtin_prefetch(turn->floor - TP_CACHE_LINE + TP_CACHE_LINE * line, 1);
    tp_activation_prefetch(turn->actor);
}

/* The running loop fiber becomes a spare and switches to `to`. */
static void hand_over(tp_shard *shard, tp_fiber *to)
{
    spare self = {.fiber = shard->loop};
    tp_fifo_push_front(&shard->spares, &self.node);
    shard->spare_count++;
    shard->loop = to;
    tp_fiber_switch(self.fiber, to);
    land(shard);
}

static bool has_free(const tp_shard *shard)
{
    return tp_fiber_pool_alive(&shard->fibers) < shard->fibers.limit;
}

static void give_spare(tp_shard *shard)
{
    tp_fifo_node *node = tp_fifo_pop_front(&shard->spares);
    shard->spare_count--;
    tp_fiber_give(&shard->fibers, TP_CONTAINER(node, spare, node)->fiber);
}

bool tp_fibers_may_park(const tp_shard *shard)
{
    return shard->parked_count < shard->shared->options.max_fibers &&
           (shard->spare_count != 0 || shard->reserve != NULL || has_free(shard));
}

void tp_fibers_starve(tp_shard *shard, tp_activation *actor)
{
    if (actor->flags & TP_QUEUED)
        return; /* an answer came meanwhile: it is run anyway */
    tp_count(&shard->counters.busy_fibers);
    TP_MARK(shard, "waits for a fiber");
    actor->flags |= TP_QUEUED;
    tp_fifo_push_back(&shard->starving, &actor->run_node);
}

/* Those that wait for a fiber try again. */
void tp_fibers_feed(tp_shard *shard)
{
    while (TP_UNLIKELY(!tp_fifo_is_empty(&shard->starving)))
        tp_run_queue_push(
            shard, TP_CONTAINER(tp_fifo_pop_front(&shard->starving), tp_activation, run_node));
}

static void trim_spares(tp_shard *shard)
{
    if (TP_UNLIKELY(shard->spare_count > SPARES_BUSY))
        give_spare(shard);
}

/* To make a stack costs more than to load a state on it, so what many waits at once have needed
 * (loads, after a restart) stays until a while after. */
bool tp_fibers_rest(tp_shard *shard)
{
    uint32_t kept = SPARES_KEPT + shard->parked_count;
    for (int i = 0; i < SPARES_GIVEN && shard->spare_count > kept; i++)
        give_spare(shard);
    return shard->spare_count > kept;
}

void tp_resume(tp_shard *shard, troupe_turn *turn)
{
    if (TP_UNLIKELY(turn->actor->phase == TP_HALTED) && tp_durable_rests(shard, turn))
        return;
    TP_TRACE(shard, TP_TRACE_RESUME, turn->actor->hash);
    tp_list_remove(&turn->parked);
    shard->parked_count--;
    const tp_fifo_node *next = shard->ready.head;
    if (next != NULL)
        prefetch_parked(TP_CONTAINER(next, const troupe_turn, ready));
    trim_spares(shard);
    hand_over(shard, turn->fiber);
}

/* ---- turns whose type asks for a stack size ------------------------------------------------ */

typedef struct own_turn {
    tp_shard *shard;
    tp_activation *actor;
    tp_message *message; /* NULL: a hook */
    tp_turn_kind kind;
} own_turn;

static void run_message(const own_turn *given)
{
    troupe_turn turn;
    tp_turn_init(&turn, given->shard, given->actor, given->message, given->kind);
    turn.left = true;
    if (given->message->flags & TP_MESSAGE_SLIP)
        tp_context_come(&turn, tp_message_slip(given->message)->baggage);
    tp_turn_body(&turn);
}

static void own_entry(void *argument)
{
    own_turn given = *(own_turn *)argument;
    land(given.shard);
    if (given.message != NULL)
        run_message(&given);
    else
        tp_hook_run(given.shard, given.actor, given.kind);
    tp_fiber_abandon(given.shard);
}

/* NULL: none is to be had. `given` must last until the switch to it. */
static tp_fiber *take_own(own_turn *given)
{
    tp_shard *shard = given->shard;
    if (shard->spare_count != 0 && !has_free(shard))
        give_spare(shard);
    return tp_fiber_take(&shard->fibers, given->actor->type->is.stack_size, own_entry, given);
}

bool tp_hook_on_own_fiber(tp_shard *shard, tp_activation *actor, tp_turn_kind kind)
{
    own_turn given = {shard, actor, NULL, kind};
    tp_fiber *fiber = take_own(&given);
    if (fiber == NULL)
        return false;
    hand_over(shard, fiber);
    return true;
}

void tp_turn_on_own_fiber(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    own_turn given = {
        shard, actor, message, message->kind == TP_ANSWER ? TP_TURN_CALLBACK : TP_TURN_METHOD};
    tp_fiber *fiber = take_own(&given);
    if (fiber == NULL) {
        if (message->kind != TP_ASK) { /* accepted, so it waits until a turn gives a stack back */
            tp_mailbox_push_front(shard, actor, message);
            tp_fibers_starve(shard, actor);
            return;
        }
        tp_count(&shard->counters.busy_fibers);
        tp_message_answer(shard, message, TROUPE_BUSY, TROUPE_NOT_DONE,
            "no stack of %zu bytes is to be had; try again later, or raise max_fibers",
            actor->type->is.stack_size);
        tp_settle(shard, actor);
        return;
    }
    if (message->kind == TP_TICK)
        tp_tick_begins(shard, message);
    hand_over(shard, fiber);
}

void tp_fiber_abandon(tp_shard *shard)
{
    shard->abandoned = shard->loop;
    tp_fiber *from = shard->loop;
    shard->loop = next_loop(shard);
    /* Without a spare or a reserve the host makes a new loop fiber, out of the stack that this
     * frees. */
    tp_fiber_switch(from, shard->loop != NULL ? shard->loop : shard->host);
    __builtin_unreachable();
}
