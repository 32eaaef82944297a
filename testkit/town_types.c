/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actor types of a town. All do the same; they differ in how they are stored.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const tp_town_type_names[TOWN_TYPES] = {"till", "hat", "jar"};

troupe_id tp_town_id(const tp_town *town, uint16_t actor)
{
    const tp_town_actor *self = &town->actors[actor];
    return troupe_id_of(tp_town_type_names[self->type], self->key);
}

troupe_slice tp_town_key(const tp_town_deed *deed, char out[TOWN_KEY])
{
    (void)snprintf(out, TOWN_KEY, "deed %u", deed->number);
    return troupe_str(out);
}

uint32_t tp_town_actor_of(const tp_town *town, troupe_id id)
{
    uint32_t i = 0;
    while (i < town->actor_count &&
           (!troupe_slice_equal(id.key, troupe_str(town->actors[i].key)) ||
               !troupe_slice_equal(id.type, troupe_str(tp_town_type_names[town->actors[i].type]))))
        i++;
    return i;
}

uint16_t tp_town_self(const troupe_turn *turn)
{
    troupe_slice key = troupe_turn_self(turn).key;
    char text[8] = "";
    memcpy(text, key.data, key.size < 7 ? key.size : 7);
    return (uint16_t)strtoul(text, NULL, 10);
}

static tp_town_deed *deed_of(tp_town *town, troupe_slice payload, tp_town_order *ret_order)
{
    if (payload.size != sizeof *ret_order)
        tp_town_violate(town, "P4 payload", "a message brings %zu bytes", payload.size);
    memcpy(ret_order, payload.data, sizeof *ret_order);
    if (ret_order->number == 0 || ret_order->number > town->deed_count)
        tp_town_violate(town, "P4 payload", "a message of no deed: %u", ret_order->number);
    return town->deeds[ret_order->number - 1];
}

static troupe_status pass_on(troupe_turn *turn, tp_house *house, tp_town_deed *child)
{
    tp_town *town = house->town;
    char key[TOWN_KEY];
    if (child->outbox)
        return tp_town_post(turn, house, child);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = child->timeout};
    if (child->once)
        options.once = tp_town_key(child, key);
    uint16_t self = tp_town_self(turn);
    tp_town_order order = tp_town_issue(child, house, house->activations[self]);
    order.is_stale = !tp_town_owns(house, self);
    troupe_slice payload = {&order, sizeof order};
    troupe_id to = tp_town_id(town, child->target);
    if (child->is_tell) {
        troupe_status status = troupe_tell(turn, to, "serve", payload, &options);
        const troupe_answer answer = {
            .status = status, .outcome = status == TROUPE_OK ? TROUPE_DONE : TROUPE_NOT_DONE};
        if (status != TROUPE_OK)
            tp_town_answered(child, &answer);
        return TROUPE_OK;
    }
    troupe_answer answer = TROUPE_ANSWER_INIT;
    answer.status = troupe_ask(turn, to, "serve", payload, &options, &answer);
    troupe_status status = answer.status;
    tp_town_answered(child, &answer);
    troupe_answer_release(&answer);
    /* The turn goes on whatever became of it, unless it is to end itself. */
    return status == TROUPE_INTERRUPTED || status == TROUPE_CANCELLED || status == TROUPE_WITHDRAWN
               ? status
               : TROUPE_OK;
}

static troupe_status do_it(
    troupe_turn *turn, tp_town_state *state, tp_town_deed *deed, const tp_town_order *order)
{
    tp_house *house = troupe_turn_user(turn);
    if (deed->rests != 0)
        TROUPE_TRY(troupe_sleep(turn, deed->rests));
    if (deed->refuses)
        return troupe_fail(turn, TROUPE_APPLICATION + 1, "refused");
    for (uint32_t i = 0; i < deed->child_count; i++)
        TROUPE_TRY(pass_on(turn, house, deed->children[i]));
    tp_town_posted(state, deed, order);
    tp_town_mark(state, deed, TOWN_MARK_DONE);
    TROUPE_TRY(tp_town_keep_it(turn, state, deed));
    const tp_town_receipt receipt = {deed->number, ++state->writes};
    tp_town_ended(house, deed);
    return deed->is_tell && !deed->then
               ? TROUPE_OK
               : troupe_reply_bytes(turn, (troupe_slice){&receipt, sizeof receipt});
}

static troupe_status serve(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    tp_town_state *state = bytes;
    tp_house *house = troupe_turn_user(turn);
    tp_town *town = house->town;
    tp_town_order order;
    tp_town_deed *deed = deed_of(town, payload, &order);
    if (tp_town_self(turn) != deed->target)
        tp_town_violate(
            town, "P4 payload", "#%u comes to actor %u", deed->number, tp_town_self(turn));
    tp_town_begun(house, deed, &order);
    if (deed->once && tp_town_mark_of(state, deed, TOWN_MARK_DONE) != 0)
        tp_town_violate(town, "P7 once", "#%u, a call once, has taken effect, and runs again at %s",
            deed->number, house->name);
    tp_town_check_timers(house, state, deed->target);
    troupe_status status = do_it(turn, state, deed, &order);
    deed->gave_up = deed->gave_up || (status != TROUPE_OK && !deed->refuses);
    return status;
}

static troupe_status on_activate(troupe_turn *turn, void *bytes)
{
    (void)bytes;
    tp_town_activated(troupe_turn_user(turn), tp_town_self(turn));
    return TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(serve),
    TROUPE_METHOD_NAMED("ring", tp_town_ring), TROUPE_METHOD_NAMED("tick", tp_town_tick),
    TROUPE_METHOD_NAMED("done", tp_town_done), TROUPE_METHOD_NAMED("failed", tp_town_failed)};

void tp_town_types_make(tp_house *house)
{
    static const troupe_persist persists[TOWN_TYPES] = {
        TROUPE_PERSIST_EVERY_TURN, TROUPE_PERSIST_NONE, TROUPE_PERSIST_ON_DEACTIVATE};
    for (uint32_t i = 0; i < TOWN_TYPES; i++)
        house->types[i] = (troupe_type){TROUPE_TYPE(tp_town_type_names[i]),
            .state_size = sizeof(tp_town_state), TROUPE_METHODS(methods), .persist = persists[i],
            .on_activate = on_activate, .user = house};
}
