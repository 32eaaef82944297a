/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives turns in a town: messages of an outbox, answers that come later, calls once,
 * reminders, timers. Draws them, does them as actors do, and checks what became of them over
 * crashes, moves and partitions (P7). Not the deeds themselves: town_types.c.
 *
 * Invariants
 * 1. What an actor knows of its reminders, and of the outbox messages that it has had, is in its
 * state: it changes in the same commits, or the store is wrong.
 * 2. A timer is known by the state of an actor that is not stored: both live as long as it does.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include <troupe/reminders.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATE       TROUPE_SECONDS(2) /* of a reminder, by a wall clock that another house set */
#define TIMER_LATE TROUPE_SECONDS(5) /* turns that rest are before it, and it moves */

static bool is_till(const tp_town *town, uint16_t actor)
{
    return town->actors[actor].type == TOWN_TILL;
}

/* ---- draws ----------------------------------------------------------------------------------- */

static void draw_times(tp_prng *prng, tp_town_deed *deed)
{
    deed->in = tp_draw_between(prng, TROUPE_MILLISECONDS(1), TROUPE_SECONDS(8));
    if (tp_prng_chance(prng, 1, 3))
        deed->period = tp_draw_between(prng, TROUPE_MILLISECONDS(700), TROUPE_SECONDS(10));
    deed->in -= deed->in % TROUPE_MILLISECONDS(1);
    deed->period -= deed->period % TROUPE_MILLISECONDS(1);
}

void tp_town_draw_kept(tp_town *town, tp_prng *prng, tp_town_deed *deed)
{
    uint8_t type = town->actors[deed->target].type;
    if (type == TOWN_TILL) {
        deed->once = !deed->is_tell && !deed->repeats && tp_prng_chance(prng, 1, 3);
        if (tp_prng_chance(prng, 1, 8))
            deed->keeps = tp_prng_chance(prng, 1, 3) ? TOWN_UNREMIND : TOWN_REMIND;
    }
    if (type == TOWN_HAT && tp_prng_chance(prng, 1, 8))
        deed->keeps = TOWN_TIMER;
    deed->bell = (uint8_t)tp_prng_below(prng, TOWN_BELLS);
    draw_times(prng, deed);
}

/* ---- outboxes -------------------------------------------------------------------------------- */

troupe_status tp_town_post(troupe_turn *turn, tp_house *house, tp_town_deed *child)
{
    tp_town *town = house->town;
    uint16_t self = tp_town_self(turn);
    tp_town_order order = tp_town_issue(child, house, house->activations[self]);
    order.sequence = ++town->actors[self].sent[child->target]; /* left out if this turn fails */
    order.is_stale = !tp_town_owns(house, self);
    troupe_slice payload = {&order, sizeof order};
    troupe_id to = tp_town_id(town, child->target);
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    const troupe_then then = {TROUPE_THEN, .done = "done", .failed = "failed",
        .context = {&child->number, sizeof child->number}};
    return child->then ? troupe_ask_then(turn, to, "serve", payload, NULL, &then)
                       : troupe_tell(turn, to, "serve", payload, &options);
}

void tp_town_posted(tp_town_state *state, tp_town_deed *deed, const tp_town_order *order)
{
    tp_town *town = deed->town;
    if (!deed->outbox || !is_till(town, deed->target))
        return;
    uint32_t *last = &state->last[deed->from->target];
    if (tp_town_mark_of(state, deed, TOWN_MARK_DONE) != 0)
        tp_town_violate(town, "P7 once", "outbox message #%u runs again", deed->number);
    if (order->sequence <= *last)
        tp_town_violate(town, "P4 order",
            "outbox message #%u of actor %u to actor %u is number %u, and comes after %u",
            deed->number, deed->from->target, deed->target, order->sequence, *last);
    *last = order->sequence;
}

static tp_town_deed *then_of(troupe_turn *turn, const tp_town_state *state)
{
    tp_house *house = troupe_turn_user(turn);
    tp_town *town = house->town;
    troupe_slice context = troupe_turn_context(turn);
    uint16_t self = tp_town_self(turn);
    uint32_t number = 0;
    if (context.size == sizeof number)
        memcpy(&number, context.data, sizeof number);
    if (number == 0 || number > town->deed_count || !town->deeds[number - 1]->then ||
        town->deeds[number - 1]->from->target != self)
        tp_town_violate(town, "P7 answer", "an answer comes with a context of nobody");
    tp_town_deed *deed = town->deeds[number - 1];
    if (!tp_town_owns(house, self))
        tp_town_violate(town, "P2 one owner", "an answer begins at actor %u of %s, which lost it",
            self, house->name);
    if (tp_town_mark_of(state, deed->from, TOWN_MARK_DONE) == 0)
        tp_town_violate(town, "P7 answer", "#%u was never asked, and is answered", number);
    return deed;
}

/* The marks of a request are its asker's: it has none of its own there. */
static void mark_answer(tp_town_state *state, tp_town_deed *deed, uint32_t which)
{
    tp_world_trace(deed->town->world, 953, ((uint64_t)deed->number << 32) | which);
    if (tp_town_mark_of(state, deed, TOWN_MARK_ANSWERED) != 0 ||
        tp_town_mark_of(state, deed, TOWN_MARK_FAILED) != 0)
        tp_town_violate(deed->town, "P7 answer", "#%u is answered twice", deed->number);
    tp_town_mark(state, deed, which);
    state->writes++;
}

troupe_status tp_town_done(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    tp_town_state *state = bytes;
    tp_town_deed *deed = then_of(turn, state);
    tp_town *town = deed->town;
    tp_town_receipt told;
    if (payload.size != sizeof told)
        tp_town_violate(town, "P7 answer", "#%u: %zu bytes", deed->number, payload.size);
    memcpy(&told, payload.data, sizeof told);
    if (told.number != deed->number || deed->refuses)
        tp_town_violate(town, "P7 answer", "#%u gets the answer of another one", deed->number);
    if (is_till(town, deed->target) && deed->from->target != deed->target) {
        tp_town_record record;
        tp_town_stored(town, deed->target, &record);
        if (tp_town_mark_of(&record.state, deed, TOWN_MARK_DONE) != 1)
            tp_town_violate(
                town, "P5 durable", "#%u is answered later, and is not stored", deed->number);
    }
    mark_answer(state, deed, TOWN_MARK_ANSWERED);
    return TROUPE_OK;
}

troupe_status tp_town_failed(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    (void)payload;
    tp_town_state *state = bytes;
    tp_town_deed *deed = then_of(turn, state);
    troupe_status status = troupe_turn_answer(turn, NULL);
    bool ok = deed->refuses ? status == TROUPE_APPLICATION + 1 : deed->gave_up;
    if (!ok)
        tp_town_violate(deed->town, "P7 answer", "#%u: its request failed with %s for no reason",
            deed->number, troupe_status_name(status));
    mark_answer(state, deed, TOWN_MARK_FAILED);
    return TROUPE_OK;
}

/* ---- reminders and timers -------------------------------------------------------------------- */

static troupe_status cancel(troupe_turn *turn, tp_town_bell *bell, const tp_town_deed *deed)
{
    const char name[2] = {(char)('0' + deed->bell), 0};
    troupe_status status = troupe_remind_cancel(turn, name);
    if (status != TROUPE_NOT_FOUND)
        TROUPE_TRY(status);
    if ((status == TROUPE_OK) != bell->is_set)
        tp_town_violate(deed->town, "P7 reminders", "#%u finds reminder %s of actor %u %s",
            deed->number, name, deed->target, bell->is_set ? "gone" : "set");
    bell->is_set = 0;
    return TROUPE_OK;
}

static troupe_status start_timer(troupe_turn *turn, tp_town_bell *bell, const tp_town_deed *deed)
{
    if (bell->is_set)
        return TROUPE_OK;
    troupe_timer timer;
    TROUPE_TRY(troupe_timer_start(turn, "tick", (troupe_slice){&deed->number, sizeof deed->number},
        deed->in, deed->period, &timer));
    uint64_t now = tp_world_now(deed->town->world);
    *bell = (tp_town_bell){
        .is_set = deed->number, .period = deed->period, .last = now, .next = now + deed->in};
    return TROUPE_OK;
}

troupe_status tp_town_keep_it(troupe_turn *turn, tp_town_state *state, const tp_town_deed *deed)
{
    char schedule[48];
    tp_town_bell *bell = &state->bells[deed->bell];
    const char name[2] = {(char)('0' + deed->bell), 0};
    if (deed->keeps == TOWN_NOTHING)
        return TROUPE_OK;
    if (deed->keeps == TOWN_TIMER)
        return start_timer(turn, bell, deed);
    if (deed->keeps == TOWN_UNREMIND)
        return cancel(turn, bell, deed);
    (void)snprintf(schedule, sizeof schedule, "%s %llums", deed->period != 0 ? "every" : "in",
        (unsigned long long)((deed->period != 0 ? deed->period : deed->in) / 1000000));
    TROUPE_TRY(troupe_remind(turn, name, schedule, "ring", (troupe_slice){NULL, 0}, NULL));
    *bell = (tp_town_bell){.is_set = 1, .period = deed->period, .next = 1};
    return TROUPE_OK;
}

static void check_owner(const tp_house *house, uint16_t actor, const char *what)
{
    if (!tp_town_owns(house, actor))
        tp_town_violate(house->town, "P2 one owner",
            "a %s begins at actor %u of %s, which is also active at %s since %.6f s", what, actor,
            house->name, house->town->houses[house->town->actors[actor].newest_at].name,
            (double)house->town->actors[actor].newest_when / 1e9);
}

troupe_status tp_town_ring(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    (void)payload;
    tp_town_state *state = bytes;
    const tp_house *house = troupe_turn_user(turn);
    tp_town *town = house->town;
    uint16_t self = tp_town_self(turn);
    troupe_reminder now;
    check_owner(house, self, "reminder");
    if (!troupe_turn_reminder(turn, &now) || now.name.size != 1)
        tp_town_violate(town, "P7 reminders", "a ring of actor %u is none", self);
    tp_town_bell *bell = &state->bells[(*(const char *)now.name.data - '0') % TOWN_BELLS];
    tp_world_trace(town->world, 954, now.due);
    if (troupe_wall(turn) < now.due)
        tp_town_violate(town, "P7 reminders", "one of actor %u rings too early", self);
    if (!bell->is_set)
        tp_town_violate(town, "P7 reminders", "one of actor %u rings that is not set", self);
    if (now.due <= bell->last || now.number != bell->next)
        tp_town_violate(town, "P7 reminders", "one of actor %u rings for number %llu, not %llu",
            self, (unsigned long long)now.number, (unsigned long long)bell->next);
    uint64_t due = now.due, next = now.number + now.missed + 1;
    if (due % 4 == 0)
        (void)troupe_sleep(turn, TROUPE_MILLISECONDS(1 + due % 40));
    tp_world_mark(town->world, "a reminder rings in a cluster");
    *bell = (tp_town_bell){
        .is_set = bell->period != 0, .period = bell->period, .last = due, .next = next};
    state->writes++;
    return TROUPE_OK;
}

/* It does not ring early: by the clocks of houses, which may be fast by a hundredth. */
troupe_status tp_town_tick(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    tp_town_state *state = bytes;
    const tp_house *house = troupe_turn_user(turn);
    tp_town *town = house->town;
    uint16_t self = tp_town_self(turn);
    uint32_t number = 0;
    check_owner(house, self, "timer");
    if (payload.size == sizeof number)
        memcpy(&number, payload.data, sizeof number);
    tp_town_bell *bell = NULL;
    for (uint32_t i = 0; i < TOWN_BELLS; i++)
        if (number != 0 && state->bells[i].is_set == number)
            bell = &state->bells[i];
    if (bell == NULL)
        tp_town_violate(town, "P8 timers", "one of actor %u ticks at %s that is not set there",
            self, house->name);
    uint64_t now = tp_world_now(town->world);
    tp_world_trace(town->world, 955, number);
    if (now + (bell->next - bell->last) / 50 < bell->next)
        tp_town_violate(town, "P8 timers", "one of actor %u ticks %.3f ms early", self,
            (double)(bell->next - now) / 1e6);
    if (house->number != town->deeds[number - 1]->runs_at && bell->period == 0)
        tp_world_mark(town->world, "a timer ticks after a move");
    bell->is_set = bell->period != 0 ? number : 0;
    bell->next += bell->period; /* a tick that waited does not delay the next one */
    state->writes++;
    return TROUPE_OK;
}

void tp_town_check_timers(tp_house *house, const tp_town_state *state, uint16_t actor)
{
    tp_town *town = house->town;
    uint64_t now = tp_world_now(town->world);
    if (!town->calm || town->actors[actor].type != TOWN_HAT)
        return;
    for (uint32_t i = 0; i < TOWN_BELLS; i++) {
        const tp_town_bell *bell = &state->bells[i];
        uint64_t drift = (bell->next - bell->last) / 50;
        if (bell->is_set != 0 && now > bell->next + drift + bell->period + TIMER_LATE)
            tp_town_violate(town, "P8 timers", "one of actor %u at %s is late by %.3f s", actor,
                house->name, (double)(now - bell->next) / 1e9);
    }
}

/* ---- at rest --------------------------------------------------------------------------------- */

bool tp_town_is_owed(tp_town *town, uint16_t *ret_actor)
{
    for (uint16_t i = 0; i < town->actor_count; i++) {
        tp_town_record record;
        tp_town_stored(town, i, &record);
        *ret_actor = i;
        if (record.rows[TROUPE_ROW_OUTBOX] != 0)
            return true;
    }
    return false;
}

/* By the clock of the slowest house. */
void tp_town_check_late(tp_town *town)
{
    uint64_t now = TP_NEVER;
    for (uint32_t i = 0; i < town->house_count; i++) {
        tp_env *env = town->houses[i].env;
        uint64_t wall = town->houses[i].state == HOUSE_OPEN ? env->wall(env) : TP_NEVER;
        now = wall < now ? wall : now;
    }
    for (uint16_t i = 0; i < town->actor_count; i++) {
        tp_town_record record;
        tp_town_stored(town, i, &record);
        if (record.wake != 0 && record.wake + LATE < now)
            tp_town_violate(town, "P7 reminders", "one of actor %u is late by %.3f s", i,
                (double)(now - record.wake) / 1e9);
    }
}

static void check_posted(tp_town *town, const tp_town_record *records, const tp_town_deed *deed)
{
    const tp_town_state *sender = &records[deed->from->target].state;
    uint32_t sent = tp_town_mark_of(sender, deed->from, TOWN_MARK_DONE);
    uint32_t came = tp_town_mark_of(&records[deed->target].state, deed, TOWN_MARK_DONE);
    if (sent == 0 && deed->starts != 0)
        tp_town_violate(
            town, "P5 gate", "#%u has come, and what sent it is not stored", deed->number);
    if (sent == 0)
        return;
    bool good = is_till(town, deed->target) ? came == !deed->refuses : deed->starts != 0;
    if (!good && !deed->gave_up)
        tp_town_violate(town, "P7 outbox",
            "#%u was sent by the outbox of actor %u, begun %u times, and took effect %u times",
            deed->number, deed->from->target, deed->starts, came);
    uint32_t done = tp_town_mark_of(sender, deed, TOWN_MARK_ANSWERED);
    uint32_t failed = tp_town_mark_of(sender, deed, TOWN_MARK_FAILED);
    if (deed->then && done + failed != 1)
        tp_town_violate(town, "P7 answer",
            "#%u was asked for later, and was answered %u times well, %u times not", deed->number,
            done, failed);
}

/* What actors know of their reminders is what is stored. */
static void check_bells(tp_town *town, const tp_town_record *record, uint16_t actor)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < TOWN_BELLS; i++)
        set += record->state.bells[i].is_set != 0;
    if (set != record->rows[TROUPE_ROW_REMINDER])
        tp_town_violate(town, "P7 reminders", "actor %u has %u reminders, and %u are stored", actor,
            set, record->rows[TROUPE_ROW_REMINDER]);
}

static void check_dead(tp_town *town, const tp_town_record *records, uint16_t actor)
{
    uint32_t least = 0, most = 0;
    for (uint32_t i = 0; i < town->deed_count; i++) {
        const tp_town_deed *deed = town->deeds[i];
        if (!deed->outbox || deed->then || deed->from->target != actor ||
            tp_town_mark_of(&records[actor].state, deed->from, TOWN_MARK_DONE) == 0)
            continue;
        least += deed->refuses && !deed->gave_up;
        most += deed->refuses || deed->gave_up;
    }
    uint32_t dead = records[actor].rows[TROUPE_ROW_DEAD];
    if (dead < least || dead > most)
        tp_town_violate(town, "P7 dead letters", "actor %u has %u, and should have %u to %u", actor,
            dead, least, most);
}

void tp_town_check_kept(tp_town *town, const tp_town_record *records)
{
    for (uint32_t i = 0; i < town->deed_count; i++)
        if (town->deeds[i]->outbox)
            check_posted(town, records, town->deeds[i]);
    for (uint16_t i = 0; i < town->actor_count; i++)
        if (is_till(town, i)) {
            check_bells(town, &records[i], i);
            check_dead(town, records, i);
        }
}
