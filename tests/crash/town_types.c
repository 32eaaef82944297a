/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actors of the town; see town.h. Every deed is counted in a slot of its own, so that what
 * happened twice, or not at all, is seen in the stored state.
 *
 * Threads: a turn's.
 */
#include "town.h"

#include <stdio.h>
#include <string.h>

static town_deed deed_of(troupe_slice in)
{
    town_deed deed = {0};
    if (in.size == sizeof deed)
        memcpy(&deed, in.data, sizeof deed);
    deed.slot %= TOWN_SLOTS;
    return deed;
}

static troupe_slice slice_of(const town_deed *deed)
{
    return troupe_slice_of(deed, sizeof *deed);
}

void town_name_of(bool is_account, uint32_t age, uint32_t number, town_name *ret_name)
{
    snprintf(ret_name->key, sizeof ret_name->key, "%u-%u", age, number);
    ret_name->id = troupe_id_of(is_account ? "account" : "tally", ret_name->key);
}

/* ---- tallies -------------------------------------------------------------------------------- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    town_tally *self = state;
    town_deed deed = deed_of(in);
    self->half[deed.slot]++;
    self->seen[deed.slot]++;
    return troupe_reply_bytes(turn, troupe_str("added"));
}

static troupe_status fail_deed(troupe_turn *turn, void *state, troupe_slice in)
{
    town_tally *self = state;
    town_deed deed = deed_of(in);
    self->seen[deed.slot]++;
    if (town_panics(deed.slot))
        troupe_panic(turn, "as was asked");
    return troupe_fail(turn, TOWN_REFUSES, "as was asked");
}

static troupe_status relay(troupe_turn *turn, void *state, troupe_slice in)
{
    town_tally *self = state;
    town_deed deed = deed_of(in);
    self->half[deed.slot]++;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, troupe_id_of("clerk", "only"), "stamp", in, NULL, &answer);
    troupe_answer_release(&answer);
    if (status != TROUPE_OK)
        return troupe_fail(turn, TOWN_HALF, "no stamp");
    self->seen[deed.slot]++;
    return troupe_reply_bytes(turn, troupe_str("stamped"));
}

static void leave(troupe_turn *turn, void *state, troupe_reason reason)
{
    (void)reason;
    town_tally *self = state;
    self->leavings++;
    if (self->leavings % 4 != 0)
        return;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    (void)!troupe_ask(turn, troupe_id_of("clerk", "only"), "stamp", troupe_str(""), NULL, &answer);
    troupe_answer_release(&answer);
}

static const troupe_method tally_methods[] = {
    TROUPE_METHOD(add), TROUPE_METHOD_NAMED("fail", fail_deed), TROUPE_METHOD(relay)};
static const troupe_type tally_type = {TROUPE_TYPE("tally"), .state_size = sizeof(town_tally),
    TROUPE_METHODS(tally_methods), .persist = TROUPE_PERSIST_EVERY_TURN, .on_deactivate = leave,
    .idle = TROUPE_MILLISECONDS(10)};

/* Keeps nothing, and takes a moment. */
static troupe_status stamp(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_MICROSECONDS(200)));
    return troupe_reply_bytes(turn, troupe_str("stamp"));
}

static const troupe_method clerk_methods[] = {TROUPE_METHOD(stamp)};
static const troupe_type clerk_type = {
    TROUPE_TYPE("clerk"), TROUPE_METHODS(clerk_methods), .reentrancy = TROUPE_REENTRANCY_ALWAYS};

/* ---- accounts ------------------------------------------------------------------------------- */

static troupe_status give(troupe_turn *turn, void *state, troupe_slice in)
{
    town_account *self = state;
    town_deed deed = deed_of(in);
    self->out[deed.slot]++;
    self->balance -= town_amount(deed.slot);
    town_name to;
    town_name_of(true, deed.age, deed.to, &to);
    TROUPE_TRY(troupe_tell(turn, to.id, "receive", slice_of(&deed),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(turn, troupe_str("given"));
}

static troupe_status move(troupe_turn *turn, void *state, troupe_slice in)
{
    town_account *self = state;
    town_deed deed = deed_of(in);
    self->out[deed.slot]++;
    self->open++;
    self->balance -= town_amount(deed.slot);
    town_name to;
    town_name_of(true, deed.age, deed.to, &to);
    TROUPE_TRY(troupe_ask_then(turn, to.id, "accept", slice_of(&deed), NULL,
        &(troupe_then){
            TROUPE_THEN, .done = "moved", .failed = "refund", .context = slice_of(&deed)}));
    return troupe_reply_bytes(turn, troupe_str("on its way"));
}

static troupe_status receive(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    town_account *self = state;
    town_deed deed = deed_of(in);
    self->in[deed.slot]++;
    self->balance += town_amount(deed.slot);
    return TROUPE_OK;
}

static troupe_status accept(troupe_turn *turn, void *state, troupe_slice in)
{
    if (town_is_refused(deed_of(in).slot))
        return troupe_fail(turn, TOWN_REFUSES, "no fives");
    TROUPE_TRY(receive(turn, state, in));
    return troupe_reply_bytes(turn, troupe_str("thanks"));
}

static troupe_status moved(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    town_account *self = state;
    self->done[deed_of(troupe_turn_context(turn)).slot]++;
    self->open--;
    return TROUPE_OK;
}

static troupe_status refund(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    town_account *self = state;
    uint32_t slot = deed_of(troupe_turn_context(turn)).slot;
    self->failed[slot]++;
    self->balance += town_amount(slot);
    self->open--;
    return TROUPE_OK;
}

static troupe_status remind(troupe_turn *turn, void *state, troupe_slice in)
{
    town_account *self = state;
    town_deed deed = deed_of(in);
    char name[16];
    snprintf(name, sizeof name, "%u", deed.slot);
    self->set[deed.slot]++;
    self->due[deed.slot] = 1;
    self->open++;
    TROUPE_TRY(troupe_remind(
        turn, name, town_repeats(deed.slot) ? "every 20ms" : "in 15ms", "ring", in, NULL));
    return troupe_reply_bytes(turn, troupe_str("set"));
}

static troupe_status ring(troupe_turn *turn, void *state, troupe_slice in)
{
    town_account *self = state;
    town_deed deed = deed_of(in);
    troupe_reminder now;
    if (!troupe_turn_reminder(turn, &now))
        return TROUPE_USAGE;
    self->wrong += now.number != self->due[deed.slot];
    self->due[deed.slot] = (uint32_t)(now.number + now.missed + 1);
    if (town_repeats(deed.slot)) {
        if (self->due[deed.slot] <= TOWN_RINGS)
            return TROUPE_OK;
        char name[16];
        snprintf(name, sizeof name, "%u", deed.slot);
        TROUPE_TRY(troupe_remind_cancel(turn, name));
    }
    self->due[deed.slot] = 0;
    self->rang[deed.slot]++;
    self->open--;
    return TROUPE_OK;
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const town_account *self = state;
    int64_t numbers[2] = {self->balance, self->open};
    return troupe_reply_bytes(turn, troupe_slice_of(numbers, sizeof numbers));
}

static const troupe_method account_methods[] = {TROUPE_METHOD(give), TROUPE_METHOD(move),
    TROUPE_METHOD(receive), TROUPE_METHOD(accept), TROUPE_METHOD(moved), TROUPE_METHOD(refund),
    TROUPE_METHOD(remind), TROUPE_METHOD(ring), TROUPE_READ_METHOD(show)};
static const troupe_type account_type = {TROUPE_TYPE("account"), .state_size = sizeof(town_account),
    TROUPE_METHODS(account_methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .idle = TROUPE_MILLISECONDS(30)};

const troupe_type *const town_types[] = {&tally_type, &clerk_type, &account_type};
const size_t town_type_count = sizeof town_types / sizeof town_types[0];
