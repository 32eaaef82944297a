/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is due: alarms of the shard, and the timers of actors, whose ticks are messages to their own
 * mailbox.
 *
 * Invariants
 * 1. Nothing fires early. 2. A timer has at most one tick in the mailbox: one that finds it there
 * is left out, so that a slow actor is not buried. 3. A closing node starts no ticks.
 */
#include "shard/move.h"

enum { PAYLOAD_MAX = 1024 };

typedef struct actor_timer {
    tp_alarm alarm;
    tp_link link; /* in the extras of its actor */
    tp_activation *actor;
    uint64_t number;
    uint64_t period;
    uint64_t last; /* the shard's clock: no tick after it; TP_NEVER */
    tp_message
        *tick; /* not in the mailbox: ready for the next one; NULL while it waits there or runs */
    uint16_t method;
    troupe_slice name; /* of the method, for the catch-all; behind the struct */
    troupe_slice own;  /* its own name, of one set from outside */
    size_t payload_size;
    /* name, payload, own */
} actor_timer;

void tp_alarm_set(
    tp_shard *shard, tp_alarm *alarm, uint64_t due, void (*fire)(tp_shard *, tp_alarm *))
{
    alarm->fire = fire;
    tp_wheel_set(&shard->wheel, &alarm->timer, due);
}

void tp_alarms_fire(tp_shard *shard)
{
    tp_timer *timer;
    while ((timer = tp_wheel_expire(&shard->wheel, shard->now)) != NULL) {
        tp_alarm *alarm = TP_CONTAINER(timer, tp_alarm, timer);
        TP_TRACE(shard, TP_TRACE_ALARM, timer->due);
        alarm->fire(shard, alarm);
    }
}

static tp_message *make_tick(tp_shard *shard, actor_timer *timer)
{
    const char *tail = (const char *)(timer + 1);
    tp_message_parts parts = {
        .method = timer->name, .payload = {tail + timer->name.size, timer->payload_size}};
    tp_message *tick = tp_message_make(&shard->pool, &parts);
    if (tick == NULL)
        return NULL;
    tick->kind = TP_TICK;
    tick->type = timer->actor->type;
    tick->hash = timer->actor->hash;
    tick->method = timer->method;
    tick->deadline = TP_NEVER;
    tick->extra = timer;
    return tick;
}

static void free_timer(tp_shard *shard, actor_timer *timer)
{
    tp_alarm_cancel(shard, &timer->alarm);
    if (timer->tick != NULL)
        tp_pool_give(&shard->pool, timer->tick);
    tp_pool_give(&shard->pool, timer);
}

static void unlist(actor_timer *timer)
{
    tp_list_remove(&timer->link);
    timer->actor->extras->timer_count--;
}

static void fire(tp_shard *shard, tp_alarm *alarm)
{
    actor_timer *timer = TP_CONTAINER(alarm, actor_timer, alarm);
    if (timer->period != 0) {
        /* On the grid of its period, however late this is: no drift, no burst. */
        uint64_t due = alarm->timer.due + timer->period;
        if (due <= shard->now)
            due += (shard->now - due) / timer->period * timer->period + timer->period;
        if (due > timer->last)
            timer->period = 0; /* this is the last one */
        else
            tp_alarm_set(shard, alarm, due, fire);
    }
    tp_message *tick = timer->tick;
    if (tick == NULL ||
        atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) != TP_OPEN) {
        TP_MARK(shard, "tick left out");
        return;
    }
    timer->tick = NULL;
    tp_accept_at(shard, timer->actor, tick);
}

/* Its turn begins. */
void tp_tick_begins(tp_shard *shard, tp_message *message)
{
    tp_count(&shard->counters.timers);
    tp_tick_taken(shard, message);
}

/* The tick leaves the mailbox: the timer may tick again, with a fresh message; a timer that is over
 * goes. */
void tp_tick_taken(tp_shard *shard, tp_message *message)
{
    actor_timer *timer = message->extra;
    message->extra = NULL;
    if (timer->period != 0) {
        timer->tick = make_tick(shard, timer);
        if (timer->tick != NULL)
            return;
        tp_count(&shard->counters.no_memory);
    }
    unlist(timer);
    free_timer(shard, timer);
}

static void drop_tick(tp_shard *shard, actor_timer *timer)
{
    if (timer->tick != NULL)
        return;
    tp_activation *actor = timer->actor; /* it waits in the mailbox */
    tp_message *before = NULL;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        tp_message *message = tp_message_of(node);
        if (message->kind == TP_TICK && message->extra == timer) {
            tp_mailbox_remove(shard, actor, before, message);
            timer->tick = message;
            return;
        }
        before = message;
    }
}

static void end(tp_shard *shard, actor_timer *timer)
{
    drop_tick(shard, timer);
    unlist(timer);
    free_timer(shard, timer);
}

void tp_timers_stop(tp_shard *shard, tp_activation *actor)
{
    if (actor->extras == NULL)
        return;
    TP_LIST_EACH(&actor->extras->timers, link)
    {
        end(shard, TP_CONTAINER(link, actor_timer, link));
    }
}

static troupe_status start(tp_shard *shard, tp_activation *actor, uint32_t number,
    const tp_timer_copy *wanted, tp_extras *extras)
{
    troupe_slice payload = wanted->payload;
    troupe_slice name = number == TP_METHOD_OTHER ? wanted->method : (troupe_slice){0, 0};
    actor_timer *timer = tp_pool_take(
        &shard->pool, sizeof *timer + name.size + payload.size + wanted->name.size);
    if (timer == NULL)
        return TROUPE_NO_MEMORY;
    memset(timer, 0, sizeof *timer);
    char *tail = (char *)(timer + 1);
    if (name.size != 0)
        memcpy(tail, name.data, name.size);
    if (payload.size != 0)
        memcpy(tail + name.size, payload.data, payload.size);
    if (wanted->name.size != 0)
        memcpy(tail + name.size + payload.size, wanted->name.data, wanted->name.size);
    timer->name = (troupe_slice){tail, name.size};
    timer->own = (troupe_slice){tail + name.size + payload.size, wanted->name.size};
    timer->actor = actor;
    timer->method = (uint16_t)number;
    timer->period = wanted->period;
    uint64_t now = tp_clock_read(shard);
    timer->last = tp_time_after(now, wanted->last);
    timer->payload_size = payload.size;
    timer->tick = make_tick(shard, timer);
    if (timer->tick == NULL) {
        tp_pool_give(&shard->pool, timer);
        return TROUPE_NO_MEMORY;
    }
    timer->number = wanted->number;
    if (extras->timer_numbers < wanted->number)
        extras->timer_numbers = wanted->number;
    extras->timer_count++;
    tp_list_push_back(&extras->timers, &timer->link);
    tp_alarm_set(shard, &timer->alarm, tp_time_after(now, wanted->left), fire);
    return TROUPE_OK;
}

/* `wanted->number` is not set yet. `most`: so many there may be before it. */
static troupe_status start_new(
    troupe_turn *turn, uint32_t method, tp_timer_copy *wanted, uint32_t most)
{
    if (wanted->payload.size > PAYLOAD_MAX)
        return TROUPE_TOO_LARGE;
    tp_extras *extras = tp_activation_extras(turn->shard, turn->actor);
    if (extras == NULL)
        return TROUPE_NO_MEMORY;
    if (extras->timer_count > most)
        return TROUPE_BUSY;
    wanted->number = extras->timer_numbers + 1;
    return start(turn->shard, turn->actor, method, wanted, extras);
}

troupe_status troupe_timer_start(troupe_turn *turn, const char *method, troupe_slice payload,
    uint64_t first, uint64_t period, troupe_timer *ret_timer)
{
    int32_t number = tp_type_method(turn->actor->type, troupe_str(method));
    if (number < 0)
        return TROUPE_NO_METHOD;
    tp_timer_copy wanted = {.period = period,
        .left = first,
        .last = TP_NEVER,
        .method = troupe_str(method),
        .payload = payload};
    TROUPE_TRY(start_new(turn, (uint32_t)number, &wanted, TP_TIMERS_MAX - 1));
    ret_timer->number = wanted.number;
    return TROUPE_OK;
}

static actor_timer *find_named(const tp_activation *actor, troupe_slice name)
{
    if (actor->extras == NULL)
        return NULL;
    TP_LIST_EACH(&actor->extras->timers, link)
    {
        actor_timer *timer = TP_CONTAINER(link, actor_timer, link);
        if (timer->own.size != 0 && troupe_slice_equal(timer->own, name))
            return timer;
    }
    return NULL;
}

troupe_status tp_timer_set(troupe_turn *turn, uint32_t method, const tp_timer_copy *wanted)
{
    tp_timer_copy copy = *wanted;
    actor_timer *before = find_named(turn->actor, wanted->name);
    uint32_t most = before != NULL ? TP_TIMERS_MAX : TP_TIMERS_MAX - 1;
    TROUPE_TRY(start_new(turn, method, &copy, most));
    if (before != NULL)
        end(turn->shard, before);
    return TROUPE_OK;
}

bool tp_timer_end(troupe_turn *turn, troupe_slice name)
{
    actor_timer *timer = find_named(turn->actor, name);
    if (timer != NULL)
        end(turn->shard, timer);
    return timer != NULL;
}

void tp_move_timers(tp_shard *shard, const tp_activation *actor,
    void (*see)(void *user, const tp_timer_copy *timer), void *user)
{
    if (actor->extras == NULL)
        return;
    TP_LIST_EACH(&actor->extras->timers, link)
    {
        const actor_timer *timer = TP_CONTAINER(link, actor_timer, link);
        uint64_t due = timer->alarm.timer.due;
        bool is_set = tp_timer_is_set(&timer->alarm.timer);
        const tp_timer_copy copy = {.number = timer->number,
            .period = timer->period,
            .left = is_set && due > shard->now ? due - shard->now : 0,
            .last = timer->last == TP_NEVER    ? TP_NEVER
                    : timer->last > shard->now ? timer->last - shard->now
                                               : 0,
            .name = timer->own,
            .method = timer->method == TP_METHOD_OTHER ? timer->name
                                                       : actor->type->methods[timer->method].name,
            .payload = {(const char *)(timer + 1) + timer->name.size, timer->payload_size}};
        see(user, &copy);
    }
}

troupe_status tp_move_timer(tp_shard *shard, tp_activation *actor, const tp_timer_copy *copy)
{
    int32_t number = tp_type_method(actor->type, copy->method);
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (number < 0)
        return TROUPE_NO_METHOD;
    if (extras == NULL)
        return TROUPE_NO_MEMORY;
    if (extras->timer_count >= TP_TIMERS_MAX)
        return TROUPE_BUSY;
    return start(shard, actor, (uint32_t)number, copy, extras);
}

bool troupe_timer_stop(troupe_turn *turn, troupe_timer wanted)
{
    tp_shard *shard = turn->shard;
    if (turn->actor->extras == NULL)
        return false;
    TP_LIST_EACH(&turn->actor->extras->timers, link)
    {
        actor_timer *timer = TP_CONTAINER(link, actor_timer, link);
        if (timer->number != wanted.number)
            continue;
        end(shard, timer);
        return true;
    }
    return false;
}
