/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shard's passes. One step, on the thread's own stack: take in what arrived (inbox, links), fire
 * what is due, then run turns on the loop fiber until the pass is over, then let out what the turns
 * sent. Arrivals and alarms only enqueue.
 *
 * Who waits is served, whatever the others do: an actor runs a bounded batch, then goes to the back
 * of the run queue; turns that go on after a park and turns that begin have shares, one after the
 * other; arrivals reach the run queue with the next pass; and a pass is over when the clock has
 * moved by a beat, however long its turns are.
 */
#include "shard/away.h"
#include "shard/durable.h"
#include "shard/move.h"
#include "shard/wake.h"

#include "base/alloc.h"

#include <stdio.h>

#define RESTING        TROUPE_MILLISECONDS(1) /* stacks are given back so often */
#define STARVING       TROUPE_MILLISECONDS(1) /* actors that wait for a fiber try again */
#define SHORT          TROUPE_MILLISECONDS(1) /* a shard without memory looks for some so often, */
#define SHORT_LONG     TROUPE_MILLISECONDS(50) /* and so often when it has had none for long */
#define GAUGED         16                     /* passes without a rest, at most */
#define TURNS_PER_PASS 256                    /* some 20 us of short turns */
#define SHARE          32                     /* turns that go on, then turns that begin */

void tp_settle(tp_shard *shard, tp_activation *actor)
{
    if (TP_UNLIKELY(actor->flags & TP_MOVES) && tp_move_look(shard, actor))
        return;
    if (tp_mailbox_may_run(shard, actor)) {
        tp_schedule(shard, actor);
        return;
    }
    if (!(actor->flags & (TP_LEAVE | TP_STOPPING)) || !tp_activation_may_leave(actor))
        return;
    if (actor->phase == TP_ACTIVE && tp_arrivals_wait(shard)) {
        tp_schedule(shard, actor); /* one that waits for it is served before it leaves */
        return;
    }
    tp_leave(shard, actor,
        actor->extras != NULL && actor->extras->reason ? actor->extras->reason
                                                       : TROUPE_REASON_ASKED);
}

/* Of one that is about to go, or for which the cluster orders the requests. */
static void look_first(tp_shard *shard, tp_activation *actor)
{
    if (actor->flags & (TP_LEAVE | TP_STOPPING))
        tp_arrivals_flush(shard);
    /* While a node that was put out closes, turns that wait end; what they, and what was told
     * before, bring to actors that are still here begins nothing. */
    if (TP_UNLIKELY(tp_lease_is_lost(shard->shared)) && !tp_fifo_is_empty(&actor->mailbox))
        tp_mailbox_fail_all(shard, actor, TROUPE_UNAVAILABLE, TP_PUT_OUT);
}

static void run_actor(tp_shard *shard, tp_activation *actor)
{
    /* While it is queued nobody sends it away to make room. */
    if (TP_UNLIKELY(actor->flags & (TP_LEAVE | TP_STOPPING | TP_GUARDED)))
        look_first(shard, actor);
    actor->flags &= (uint16_t)~TP_QUEUED;
    if (TP_UNLIKELY((actor->flags & TP_MOVES) && actor->phase != TP_NEW) &&
        tp_move_look(shard, actor))
        return;
    if (TP_UNLIKELY(actor->phase == TP_NEW && tp_fifo_is_empty(&actor->mailbox)) &&
        !(actor->flags & TP_CAME)) {
        actor->flags |= TP_STOPPING; /* what it was made for was withdrawn: the record goes */
        tp_settle(shard, actor);
        return;
    }
    if (TP_UNLIKELY(actor->phase != TP_ACTIVE)) {
        tp_activate(shard, actor);
        return;
    }
    for (uint32_t left = TP_LIVE_GET(actor->type->is.batch); left != 0 && shard->turns_left > 0;) {
        tp_message *message = tp_mailbox_next(shard, actor);
        if (message == NULL)
            break;
        left--;
        shard->turns_left--;
        if (!tp_turn_run(shard, actor, message, &left))
            return;
    }
    if (tp_needs_settling(actor))
        tp_settle(shard, actor);
}

static inline bool has_yields(const tp_shard *shard)
{
    return !tp_fifo_is_empty(&shard->yielded) || !tp_fifo_is_empty(&shard->yielding);
}

/* Those that yielded come back when all have had their turn that were queued at that time, or had
 * arrived. */
static void end_yields(tp_shard *shard)
{
    tp_fifo_node *waits;
    while ((waits = tp_fifo_front(&shard->yielding)) != NULL) {
        troupe_turn *turn = TP_CONTAINER(waits, troupe_turn, ready);
        if (turn->yield_until > shard->taken_in)
            break;
        tp_fifo_pop_front(&shard->yielding);
        turn->yield_until = shard->run_pushed;
        tp_fifo_push_back(&shard->yielded, waits);
    }
    for (;;) {
        tp_fifo_node *node = tp_fifo_front(&shard->yielded);
        if (node == NULL)
            return;
        troupe_turn *turn = TP_CONTAINER(node, troupe_turn, ready);
        if (turn->yield_until > shard->run_popped)
            return;
        tp_fifo_pop_front(&shard->yielded);
        tp_unpark(turn, turn->interrupted ? TROUPE_INTERRUPTED
                        : turn->cancelled ? TROUPE_CANCELLED
                                          : TROUPE_OK);
    }
}

/* While one actor runs, the record of the next is on its way to the cache. */
static inline void prefetch_next(const tp_shard *shard)
{
    const tp_fifo_node *next = shard->run_queue.head;
    if (next != NULL)
        tp_activation_prefetch(TP_CONTAINER(next, const tp_activation, run_node));
}

/* The turn of the first arrival, if its actor has nothing else to do and is there: it is in the
 * cache by now. Else it goes to its mailbox, and all others to theirs, since they are next in the
 * run queue. */
static void run_arrivals(tp_shard *shard)
{
    tp_message *message;
    tp_activation *actor = tp_arrivals_take(shard, &message);
    if (actor == NULL) {
        tp_arrivals_flush(shard);
        return;
    }
    tp_turn_run_now(shard, actor, message);
}

/* Does the turn go on that has waited longest? If nobody begins meanwhile, or it is their share. */
static inline bool goes_on(tp_shard *shard)
{
    if (tp_fifo_is_empty(&shard->ready))
        return false;
    if (shard->turns_left <= shard->share_end) {
        shard->is_share_of_ready = !shard->is_share_of_ready;
        shard->share_end = shard->turns_left - SHARE;
    }
    return shard->is_share_of_ready ||
           (tp_fifo_is_empty(&shard->run_queue) && !tp_arrivals_wait(shard));
}

void tp_loop_turns(tp_shard *shard)
{
    for (;;) {
        tp_activation *asked = shard->handed.actor;
        if (asked != NULL) {
            shard->handed.actor = NULL;
            tp_turn_run_now(shard, asked, shard->handed.message);
            continue;
        }
        if (shard->turns_left <= 0)
            return;
        if (goes_on(shard)) {
            shard->turns_left--;
            tp_fifo_node *ready = tp_fifo_pop_front(&shard->ready);
            tp_resume(shard, TP_CONTAINER(ready, troupe_turn, ready));
            continue;
        }
        if (TP_UNLIKELY(has_yields(shard))) {
            end_yields(shard);
            if (goes_on(shard))
                continue;
        }
        if (tp_arrivals_wait(shard)) {
            if (tp_fifo_is_empty(&shard->run_queue)) {
                run_arrivals(shard);
                continue;
            }
            if (shard->arrived - shard->taken_in > TP_ARRIVALS / 8)
                tp_arrivals_flush(shard);
        }
        tp_fifo_node *node = tp_fifo_pop_front(&shard->run_queue);
        if (node == NULL)
            return;
        shard->run_popped++;
        prefetch_next(shard);
        run_actor(shard, TP_CONTAINER(node, tp_activation, run_node));
    }
}

static bool has_turns(const tp_shard *shard)
{
    return !tp_fifo_is_empty(&shard->ready) || !tp_fifo_is_empty(&shard->run_queue) ||
           has_yields(shard) || tp_arrivals_wait(shard) || !tp_fifo_is_empty(&shard->acks);
}

static bool has_arrivals(tp_runner *runner)
{
    tp_shard *shard = TP_CONTAINER(runner, tp_shard, runner);
    if (tp_inbox_look(shard))
        return true;
    if (atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) == TP_ENDED)
        return true;
    if (TP_UNLIKELY(shard->away != NULL) && shard->away->has_arrivals(shard->away))
        return true;
    for (uint32_t i = 0; i < shard->shared->shard_count; i++)
        if (shard->incoming[i] != NULL && !tp_spsc_is_empty(shard->incoming[i]))
            return true;
    return false;
}

/* For who reads without asking the shard: before it rests, and now and then while it does not. */
static void note_gauges(tp_shard *shard)
{
    tp_cell_set(&shard->gauges.actors, shard->active);
    tp_cell_set(&shard->gauges.queued, shard->queued);
    tp_cell_set(&shard->gauges.parked, shard->parked_count);
    tp_cell_set(&shard->gauges.pending, shard->pending);
    tp_cell_set(&shard->gauges.fibers, tp_fiber_pool_alive(&shard->fibers));
}

static uint64_t next_look(const tp_shard *shard)
{
    uint64_t wait = (shard->now - shard->short_since) / 8;
    return wait < SHORT ? SHORT : wait > SHORT_LONG ? SHORT_LONG : wait;
}

static uint64_t step(tp_runner *runner)
{
    tp_shard *shard = TP_CONTAINER(runner, tp_shard, runner);
    tp_clock_read(shard);
    tp_count(&shard->counters.passes);
    uint32_t closing = atomic_load_explicit(&shard->shared->closing, memory_order_acquire);
    if (TP_UNLIKELY(closing == TP_ENDED)) {
        if (shard->away != NULL && shard->away->end != NULL)
            shard->away->end(shard->away);
        return TP_STEP_DONE;
    }
    if (TP_UNLIKELY(shard->now - shard->pace[1].at >= TROUPE_SECONDS(1)))
        tp_inspect_pace(shard);
    bool more = tp_inbox_drain(shard);
    more |= tp_links_drain(shard);
    if (TP_UNLIKELY(shard->renewal.is_due))
        more |= tp_renew_some(shard);
    tp_alarms_fire(shard);
    bool may_run = TP_LIKELY(shard->away == NULL) || shard->away->pass(shard->away);
    if (TP_LIKELY(may_run))
        tp_outbox_acks_drain(shard);
    if (TP_UNLIKELY(closing >= TP_HURRYING))
        tp_leave_all(shard);
    end_yields(shard);
    tp_fibers_feed(shard);
    if (has_turns(shard) && TP_LIKELY(may_run)) {
        if (!tp_fifo_is_empty(&shard->run_queue))
            tp_arrivals_flush(shard); /* else who is in the queue again and again keeps them out */
        int32_t turns = shard->env->choose == NULL ? TURNS_PER_PASS
                                                   : 1 + (int32_t)shard->env->choose(shard->env, 8);
        shard->share_end += turns - shard->turns_left;
        shard->turns_left = turns;
        tp_fibers_enter(shard);
    }
    tp_keep_limits(shard);
    if (TP_UNLIKELY(tp_store_waits(shard)) && may_run)
        tp_store_flush(shard);
    tp_links_flush(shard);
    uint64_t again = TP_LIKELY(shard->away == NULL) ? TP_NEVER : shard->away->flush(shard->away);
    if ((has_turns(shard) && may_run) || more || again <= shard->now) {
        if (TP_UNLIKELY(tp_cell_get(&shard->counters.passes) % GAUGED == 0))
            note_gauges(shard);
        return 0;
    }
    note_gauges(shard);
    tp_count(&shard->counters.sleeps);
    tp_pool_flush(&shard->pool);
    tp_pool_collect(&shard->pool);
    if (tp_links_wait(shard))
        return shard->now + TROUPE_MICROSECONDS(20); /* the other side is busy: look again soon */
    tp_asks_rest(shard);
    uint64_t due = tp_wheel_next(&shard->wheel);
    due = due < again ? due : again;
    if (TP_UNLIKELY(tp_fibers_rest(shard)))
        due = due < shard->now + RESTING ? due : shard->now + RESTING;
    if (TP_UNLIKELY(shard->is_short)) { /* others give back what it is made of */
        uint64_t look = tp_time_after(shard->now, next_look(shard));
        due = due < look ? due : look;
    }
    if (TP_UNLIKELY(!tp_fifo_is_empty(&shard->starving)))
        due = due < shard->now + STARVING ? due : shard->now + STARVING;
    return due;
}

bool tp_timing_draw(tp_shard *shard)
{
    shard->sample = 1 + (uint32_t)tp_prng_below(&shard->sampling, 2 * TP_SAMPLE - 1);
    return !shard->shared->options.no_metrics;
}

bool tp_shard_is_quiet(const tp_shard *shard)
{
    return !has_turns(shard) && shard->parked_count == 0 && shard->queued == 0 &&
           shard->pending == 0 && shard->leaving == 0 && shard->commits_under_way == 0 &&
           tp_fifo_is_empty(&shard->commits) && shard->loading_count == 0 &&
           !tp_links_wait(shard) && tp_mpring_is_empty(&shard->calls) &&
           (shard->away == NULL || shard->away->is_quiet(shard->away));
}

/* [watchdog] Whose step runs; false: none. Once `watchers` is raised, either tp_activation_free
 * waits, or its own look at it came first, and then `watched` is not that record any more here. */
static bool look_at_running(tp_shard *shard, char id[TP_ID_MAX + 1], troupe_slice *ret_method)
{
    atomic_fetch_add_explicit(&shard->watchers, 1, memory_order_acq_rel);
    const tp_activation *actor = atomic_load_explicit(&shard->watched, memory_order_acquire);
    if (actor != NULL) {
        uint32_t method = atomic_load_explicit(&shard->watched_method, memory_order_relaxed);
        troupe_id_print(tp_activation_id(actor), id, TP_ID_MAX + 1);
        *ret_method = method < actor->type->method_count ? actor->type->methods[method].name
                                                         : troupe_str("(hook or catch-all)");
    }
    atomic_fetch_sub_explicit(&shard->watchers, 1, memory_order_release);
    return actor != NULL;
}

static void on_stuck(tp_runner *runner, uint64_t age)
{
    tp_shard *shard = TP_CONTAINER(runner, tp_shard, runner);
    char id[TP_ID_MAX + 1];
    troupe_slice method;
    if (!look_at_running(shard, id, &method))
        return; /* it has just ended */
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "turn_stuck",
        TP_FIELDS(tp_field_string("actor", id), tp_field_text("method", method),
            tp_field_number("shard", shard->number), tp_field_number("ms", age / 1000000)),
        "a turn has been running without a park; the other actors of its shard wait");
}

static troupe_status create_parts(tp_shard *shard)
{
    tp_shared *shared = shard->shared;
    const troupe_allocator *allocator = shared->allocator;
    uint32_t count = shared->shard_count;
    TROUPE_TRY(tp_pool_init(
        &shard->pool, allocator, (uint16_t)shard->number, (uint16_t)count, shared->hostile));
    TROUPE_TRY(tp_index_init(&shard->table, allocator, 64));
    TROUPE_TRY(tp_mpring_init(&shard->calls, allocator, shared->options.inbox_limit));
    TROUPE_TRY(tp_fibers_init(shard));
    TROUPE_TRY(tp_sleepers_create(shard));
    shard->of_types = tp_allocate_lines(allocator, shared->types.count * sizeof *shard->of_types);
    shard->links = tp_allocate_zeroed(allocator, count * sizeof *shard->links);
    shard->incoming = tp_allocate_zeroed(allocator, count * sizeof(tp_spsc *));
    if (shard->of_types == NULL || shard->links == NULL || shard->incoming == NULL)
        return TROUPE_NO_MEMORY;
    uint32_t capacity = 64;
    while (capacity / 4 * 3 < shared->options.link_limit)
        capacity *= 2; /* a quarter is for replies */
    for (uint32_t i = 0; i < count; i++) {
        if (i == shard->number)
            continue;
        tp_spsc *ring = tp_allocate_lines(allocator, sizeof *ring);
        if (ring == NULL)
            return TROUPE_NO_MEMORY;
        if (tp_spsc_init(ring, allocator, capacity) != TROUPE_OK) {
            tp_release_lines(allocator, ring, sizeof *ring);
            return TROUPE_NO_MEMORY;
        }
        shard->incoming[i] = ring;
    }
    return tp_prune_start(shard);
}

void tp_shard_take_limits(tp_shard *shard)
{
    const tp_shared *shared = shard->shared;
    uint64_t actors = TP_LIVE_GET(shared->options.max_actors);
    shard->ask_timeout = TP_LIVE_GET(shared->options.ask_timeout);
    shard->max_active = (actors + shared->shard_count - 1) / shared->shard_count;
    shard->memory_limit = tp_memory_share(shared);
    tp_look_at_memory(shard, true);
}

static void set_up(tp_shard *shard, tp_shared *shared, uint32_t number)
{
    const troupe_node_options *options = &shared->options;
    shard->shared = shared;
    shard->env = shared->env;
    shard->simulated = shared->env->trace != NULL && shared->env->mark != NULL;
    shard->pulse_at = shared->env->pulse;
    shard->times_all = options->driven;
    shard->max_message = options->max_message;
    shard->number = number;
    shard->unique = (uint64_t)number << 48;
    shard->runner = (tp_runner){.step = step,
        .has_arrivals = has_arrivals,
        .name = "troupe-shard",
        .number = number,
        .spin = options->spin,
        .pass_until = TP_NEVER,
        .on_stuck = on_stuck,
        .stuck = options->stuck_turn};
    shard->ask_free = UINT32_MAX;
    tp_shard_take_limits(shard);
    tp_full_init(&shard->full, shard->simulated);
    tp_list_init(&shard->parked);
    tp_list_init(&shard->storings);
    tp_list_init(&shard->loadings);
    shard->loads_last = &shard->loads;
    shard->answers_last = &shard->answers;
    tp_list_init(&shard->recency);
    tp_list_init(&shard->ask_line);
    tp_mpsc_init(&shard->inbox);
    tp_clock_read(shard);
    tp_wheel_init(&shard->wheel, shard->now);
    tp_moments_init(shard);
    uint64_t seed;
    shared->env->entropy(shared->env, &seed, sizeof seed);
    tp_prng_seed(&shard->prng, seed);
    tp_prng_seed(&shard->sampling, number);
    shard->sample = TP_SAMPLE;
}

troupe_status tp_shard_create(tp_shared *shared, uint32_t number, tp_shard **ret_shard)
{
    tp_shard *shard = tp_allocate_lines(shared->allocator, sizeof *shard);
    if (shard == NULL)
        return TROUPE_NO_MEMORY;
    set_up(shard, shared, number);
    troupe_status status = create_parts(shard);
    if (status != TROUPE_OK) {
        tp_shard_destroy(shard);
        return status;
    }
    tp_inspect_pace(shard);
    tp_inspect_pace(shard);
    *ret_shard = shard;
    return TROUPE_OK;
}

troupe_status tp_shard_connect(tp_shard *shard)
{
    tp_shared *shared = shard->shared;
    for (uint32_t i = 0; i < shared->shard_count; i++)
        if (i != shard->number)
            shard->links[i].ring = shared->shards[i]->incoming[shard->number];
    return TROUPE_OK;
}

void tp_shard_destroy(tp_shard *shard)
{
    if (shard == NULL)
        return;
    const troupe_allocator *allocator = shard->shared->allocator;
    uint32_t count = shard->shared->shard_count;
    for (uint32_t i = 0; shard->incoming != NULL && i < count; i++) {
        if (shard->incoming[i] == NULL)
            continue;
        void *message; /* of a pool that is gone with its shard */
        while (tp_spsc_take(shard->incoming[i], &message, 1) == 1)
            if (shard->shared->hostile)
                tp_pool_give(&shard->pool, message);
        tp_spsc_deinit(shard->incoming[i]);
        tp_release_lines(allocator, shard->incoming[i], sizeof(tp_spsc));
    }
    tp_release(allocator, shard->incoming, count * sizeof(tp_spsc *));
    tp_release(allocator, shard->links, count * sizeof *shard->links);
    tp_asks_deinit(shard);
    uint64_t cursor = 0;
    void *actor;
    while (shard->table.newest.entries != NULL && tp_index_each(&shard->table, &cursor, &actor))
        tp_durable_abandon(shard, actor);
    tp_sleepers_destroy(shard);
    tp_prune_stop(shard);
    tp_outside_blocks_deinit(shard);
    tp_mpring_deinit(&shard->calls, allocator);
    tp_lifecycle_abandon(shard);
    tp_loads_abandon(shard);
    tp_fiber_pool_deinit(&shard->fibers);
    tp_index_deinit(&shard->table);
    tp_pool_deinit(&shard->pool);
    if (shard->of_types != NULL)
        tp_release_lines(
            allocator, shard->of_types, shard->shared->types.count * sizeof *shard->of_types);
    tp_release_lines(allocator, shard, sizeof *shard);
}
