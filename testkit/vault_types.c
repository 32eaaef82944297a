/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actor types of a vault. All do the same; they differ in how they are stored, and in who may
 * come in while they wait.
 *
 * Threads: one, as world.h.
 */
#include "testkit/vault.h"

#include "shard/durable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD      "vault:"
#define WORD_SIZE 6

const tp_vault_type tp_vault_types[VAULT_TYPES] = {
    {"purse", TROUPE_PERSIST_EVERY_TURN, TROUPE_REENTRANCY_NONE, false, false},
    {"book", TROUPE_PERSIST_EVERY_TURN, TROUPE_REENTRANCY_NONE, true, true},
    {"counter", TROUPE_PERSIST_EVERY_TURN, TROUPE_REENTRANCY_ALWAYS, false, true},
    {"lazy", TROUPE_PERSIST_EVERY_N, TROUPE_REENTRANCY_NONE, false, false},
    {"late", TROUPE_PERSIST_ON_DEACTIVATE, TROUPE_REENTRANCY_NONE, false, false},
    {"tin", TROUPE_PERSIST_NONE, TROUPE_REENTRANCY_NONE, false, false},
};

troupe_id tp_vault_id(const tp_vault *vault, uint16_t actor)
{
    const tp_vault_actor *self = &vault->actors[actor];
    return troupe_id_of(tp_vault_types[self->type].name, self->key);
}

const char *tp_vault_method(const tp_vault_deed *deed)
{
    return deed->kind == TP_VAULT_SHOW || deed->kind == TP_VAULT_PEEK ? "look" : "serve";
}

static tp_vault_deed *deed_of(tp_vault *vault, troupe_slice payload, tp_vault_order *ret_order)
{
    if (payload.size != sizeof *ret_order)
        tp_vault_violate(vault, "P4 payload", "a message brings %zu bytes", payload.size);
    memcpy(ret_order, payload.data, sizeof *ret_order);
    if (ret_order->number == 0 || ret_order->number > vault->deed_count)
        tp_vault_violate(vault, "P4 payload", "a message of no deed: %u", ret_order->number);
    return vault->deeds[ret_order->number - 1];
}

static void touch(const tp_vault *vault, tp_vault_state *state)
{
    if (state->writes++ == 0)
        state->born = tp_world_now(vault->world);
}

static void mark(tp_vault_state *state, tp_vault_deed *deed, uint32_t which)
{
    if (tp_vault_mark_of(state, deed, which) != 3)
        state->marks[deed->number - 1] += (uint8_t)(1U << (2 * which));
    touch(deed->vault, state);
}

static troupe_slice order_of(const tp_vault_deed *deed, uint32_t sequence, tp_vault_order *order)
{
    *order = (tp_vault_order){deed->number, sequence};
    return (troupe_slice){order, sizeof *order};
}

static troupe_status tell(troupe_turn *turn, const tp_vault_deed *child)
{
    tp_vault_order order;
    return troupe_tell(
        turn, tp_vault_id(child->vault, child->target), "serve", order_of(child, 0, &order), NULL);
}

/* An outbox message. The number of one whose turn fails is left out. */
static troupe_status send(troupe_turn *turn, tp_vault_deed *deed)
{
    tp_vault_deed *child = deed->child;
    tp_vault_order order;
    child->sequence = ++deed->vault->actors[deed->target].sent[child->target];
    troupe_slice payload = order_of(child, child->sequence, &order);
    troupe_id to = tp_vault_id(deed->vault, child->target);
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    if (deed->kind == TP_VAULT_SEND)
        return troupe_tell(turn, to, "serve", payload, &options);
    const troupe_then then = {TROUPE_THEN, .done = "done", .failed = "failed",
        .context = {&deed->number, sizeof deed->number}};
    return troupe_ask_then(turn, to, "serve", payload, NULL, &then);
}

static troupe_status send_both(troupe_turn *turn, tp_vault_deed *deed)
{
    if (deed->beside != NULL && !deed->is_behind)
        TROUPE_TRY(tell(turn, deed->beside));
    TROUPE_TRY(send(turn, deed));
    return deed->beside != NULL && deed->is_behind ? tell(turn, deed->beside) : TROUPE_OK;
}

static troupe_status ask_child(troupe_turn *turn, tp_vault_deed *deed)
{
    tp_vault_deed *child = deed->child;
    tp_vault_order order;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = child->timeout};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    child->attempts++;
    troupe_status status = troupe_ask(turn, tp_vault_id(deed->vault, child->target), "serve",
        order_of(child, 0, &order), &options, &answer);
    answer.status = status;
    tp_vault_answered(child, &answer);
    troupe_answer_release(&answer);
    return status;
}

static troupe_status set_bell(troupe_turn *turn, tp_vault_state *state, const tp_vault_deed *deed)
{
    char schedule[48];
    tp_vault_bell *bell = &state->bells[deed->bell];
    const char name[2] = {(char)('0' + deed->bell), 0};
    if (deed->kind == TP_VAULT_UNREMIND) {
        troupe_status status = troupe_remind_cancel(turn, name);
        bool was_set = status == TROUPE_OK;
        if (status != TROUPE_NOT_FOUND)
            TROUPE_TRY(status);
        if (was_set != bell->is_set && !deed->vault->actors[deed->target].rewinds)
            tp_vault_violate(deed->vault, "P7 reminders", "#%u finds reminder %s of actor %u %s",
                deed->number, name, deed->target, was_set ? "set" : "gone");
        bell->is_set = 0;
    } else {
        snprintf(schedule, sizeof schedule, "%s %llums", deed->period != 0 ? "every" : "in",
            (unsigned long long)((deed->period != 0 ? deed->period : deed->in) / 1000000));
        TROUPE_TRY(troupe_remind(turn, name, schedule, "ring", (troupe_slice){NULL, 0}, NULL));
        *bell = (tp_vault_bell){.is_set = 1, .period = deed->period, .last = bell->last, .next = 1};
    }
    bell->stamp = deed->number;
    return TROUPE_OK;
}

static troupe_status act(troupe_turn *turn, tp_vault_state *state, tp_vault_deed *deed)
{
    switch (deed->kind) {
    case TP_VAULT_FAIL:
        return troupe_fail(turn, TROUPE_APPLICATION, "as asked");
    case TP_VAULT_SEND:
    case TP_VAULT_THEN:
        return send_both(turn, deed);
    case TP_VAULT_TELL:
        return tell(turn, deed->child);
    case TP_VAULT_MID:
        (void)ask_child(turn, deed); /* whatever came of it */
        if (tp_durable_of(turn->actor) != NULL && tp_durable_of(turn->actor)->unknown)
            tp_vault_violate(deed->vault, "P5 unknown",
                "#%u goes on, and nobody knows what became of its actor's commit", deed->number);
        mark(state, deed, TP_MARK_SECOND);
        return TROUPE_OK;
    case TP_VAULT_REMIND:
    case TP_VAULT_UNREMIND:
        return set_bell(turn, state, deed);
    default:
        return TROUPE_OK;
    }
}

static void take_in(tp_vault_state *state, tp_vault_deed *deed, const tp_vault_order *order)
{
    tp_vault *vault = deed->vault;
    if (order->sequence == 0 || !tp_vault_gated(vault, deed->target) ||
        vault->actors[deed->sender].rewinds || vault->actors[deed->target].rewinds)
        return;
    uint32_t *last = &state->last[deed->sender];
    if (tp_vault_mark_of(state, deed, TP_MARK_FIRST) != 0)
        tp_vault_violate(vault, "P7 once", "outbox message #%u runs again", deed->number);
    if (order->sequence <= *last)
        tp_vault_violate(vault, "P4 order",
            "outbox message #%u of actor %u is number %u, and comes after %u", deed->number,
            deed->sender, order->sequence, *last);
    *last = order->sequence;
}

static troupe_status receipt(troupe_turn *turn, const tp_vault_state *state, tp_vault_deed *deed)
{
    tp_vault_receipt told = {deed->number, state->writes};
    return troupe_reply_bytes(turn, (troupe_slice){&told, sizeof told});
}

/* After a delete nothing of the time before comes back. */
static void check_born(tp_vault *vault, const tp_vault_state *state, uint16_t actor)
{
    if (state->writes != 0 && state->born < vault->actors[actor].deleted)
        tp_vault_violate(vault, "P11 delete", "actor %u was deleted, and goes on as it was", actor);
}

static troupe_status serve(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    tp_vault *vault = troupe_turn_user(turn);
    tp_vault_state *state = bytes;
    tp_vault_order order;
    tp_vault_deed *deed = deed_of(vault, payload, &order);
    tp_vault_came(deed);
    check_born(vault, state, deed->target);
    if (deed->rests_before != 0)
        TROUPE_TRY(troupe_sleep(turn, deed->rests_before));
    take_in(state, deed, &order);
    mark(state, deed, TP_MARK_FIRST);
    state->coins += deed->amount;
    if (deed->refuses)
        return troupe_fail(turn, TROUPE_APPLICATION + 1, "refused");
    TROUPE_TRY(act(turn, state, deed));
    if (deed->rests_after != 0)
        (void)troupe_sleep(turn, deed->rests_after);
    return receipt(turn, state, deed);
}

static troupe_status look(troupe_turn *turn, const void *bytes, troupe_slice payload)
{
    tp_vault_order order;
    tp_vault_deed *deed = deed_of(troupe_turn_user(turn), payload, &order);
    tp_vault_came(deed);
    if (deed->rests_before != 0)
        TROUPE_TRY(troupe_sleep(turn, deed->rests_before));
    if (deed->kind == TP_VAULT_PEEK)
        (void)ask_child(turn, deed);
    return receipt(turn, bytes, deed);
}

/* ---- answers of troupe_ask_then -------------------------------------------------------------- */

static tp_vault_deed *then_of(troupe_turn *turn, const tp_vault_state *state)
{
    tp_vault *vault = troupe_turn_user(turn);
    troupe_slice context = troupe_turn_context(turn);
    uint32_t number = 0;
    if (context.size == sizeof number)
        memcpy(&number, context.data, sizeof number);
    if (number == 0 || number > vault->deed_count ||
        vault->deeds[number - 1]->kind != TP_VAULT_THEN)
        tp_vault_violate(vault, "P7 answer", "an answer comes with a context of nobody");
    tp_vault_deed *deed = vault->deeds[number - 1];
    if (vault->actors[deed->target].rewinds)
        return deed;
    if (tp_vault_mark_of(state, deed, TP_MARK_FIRST) == 0)
        tp_vault_violate(vault, "P7 answer", "#%u was never asked, and is answered", number);
    if (tp_vault_mark_of(state, deed, TP_MARK_DONE) != 0 ||
        tp_vault_mark_of(state, deed, TP_MARK_FAILED) != 0)
        tp_vault_violate(vault, "P7 answer", "#%u is answered twice", number);
    return deed;
}

static troupe_status done(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    tp_vault_state *state = bytes;
    tp_vault_deed *deed = then_of(turn, state);
    tp_vault_receipt told;
    if (payload.size != sizeof told)
        tp_vault_violate(deed->vault, "P7 answer", "#%u: %zu bytes", deed->number, payload.size);
    memcpy(&told, payload.data, sizeof told);
    if (told.number != deed->child->number)
        tp_vault_violate(
            deed->vault, "P7 answer", "#%u gets the answer of another one", deed->number);
    troupe_answer answer = {
        .status = TROUPE_OK, .outcome = TROUPE_DONE, .payload = {&told, sizeof told}};
    tp_vault_answered(deed->child, &answer);
    mark(state, deed, TP_MARK_DONE);
    return TROUPE_OK;
}

static troupe_status failed(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    (void)payload;
    tp_vault_state *state = bytes;
    tp_vault_deed *deed = then_of(turn, state);
    troupe_answer answer = {.status = troupe_turn_answer(turn, NULL)};
    (void)troupe_turn_answer(turn, &answer.outcome);
    if (!deed->child->refuses || answer.status != TROUPE_APPLICATION + 1)
        tp_vault_violate(deed->vault, "P7 answer", "#%u: its request failed with %s for no reason",
            deed->number, troupe_status_name(answer.status));
    mark(state, deed, TP_MARK_FAILED);
    state->coins -= deed->amount;
    return TROUPE_OK;
}

/* ---- reminders ------------------------------------------------------------------------------- */

static void check_ring(troupe_turn *turn, const tp_vault_bell *bell, uint16_t actor)
{
    tp_vault *vault = troupe_turn_user(turn);
    troupe_reminder now;
    if (!troupe_turn_reminder(turn, &now))
        tp_vault_violate(vault, "P7 reminders", "a ring of actor %u is none", actor);
    uint64_t wall = troupe_wall(turn), due = now.due;
    if (wall < due)
        tp_vault_violate(vault, "P7 reminders", "one of actor %u rings %.3f ms early", actor,
            (double)(due - wall) / 1e6);
    if (due <= bell->last)
        tp_vault_violate(
            vault, "P7 reminders", "one of actor %u rings again for one due time", actor);
    if (vault->actors[actor].rewinds)
        return; /* its state may be older than its reminders */
    if (!bell->is_set)
        tp_vault_violate(vault, "P7 reminders", "one of actor %u rings that is not set", actor);
    if (now.number != bell->next)
        tp_vault_violate(vault, "P7 reminders", "one of actor %u rings for number %llu, not %llu",
            actor, (unsigned long long)now.number, (unsigned long long)bell->next);
    uint64_t missed = bell->period != 0 ? (wall - due) / bell->period : 0;
    if (now.missed != missed)
        tp_vault_violate(vault, "P7 reminders",
            "one of actor %u stands for %llu missed ones, and %llu were", actor,
            (unsigned long long)now.missed, (unsigned long long)missed);
}

static troupe_status ring(troupe_turn *turn, void *bytes, troupe_slice payload)
{
    (void)payload;
    tp_vault *vault = troupe_turn_user(turn);
    tp_vault_state *state = bytes;
    troupe_reminder now;
    uint16_t actor = (uint16_t)strtoul(troupe_turn_self(turn).key.data, NULL, 10);
    check_born(vault, state, actor);
    if (!troupe_turn_reminder(turn, &now) || now.name.size != 1)
        return TROUPE_USAGE;
    tp_vault_bell *bell = &state->bells[(*(const char *)now.name.data - '0') % VAULT_BELLS];
    check_ring(turn, bell, actor);
    uint64_t stamp = bell->stamp, due = now.due, next = now.number + now.missed + 1;
    tp_world_trace(vault->world, 903, due);
    if (due % 4 == 0)
        (void)troupe_sleep(turn, TROUPE_MILLISECONDS(1 + due % 40));
    touch(vault, state);
    if (bell->stamp != stamp)
        return TROUPE_OK; /* somebody came in, and has set it anew */
    bell->last = due;
    bell->next = next;
    bell->is_set = bell->period != 0;
    return TROUPE_OK;
}

/* ---- farewells ------------------------------------------------------------------------------- */

/* What on_deactivate tells others: who leaves, and what it has written. */
typedef struct farewell {
    uint64_t actor, writes;
} farewell;

static troupe_status bid(troupe_turn *turn, const void *bytes, troupe_slice payload)
{
    (void)bytes;
    tp_vault *vault = troupe_turn_user(turn);
    farewell told;
    if (payload.size != sizeof told)
        tp_vault_violate(vault, "P4 payload", "a farewell brings %zu bytes", payload.size);
    memcpy(&told, payload.data, sizeof told);
    tp_vault_record record;
    uint16_t actor = (uint16_t)told.actor;
    tp_vault_stored(vault, actor, &record);
    if (record.state.writes < told.writes && !vault->actors[actor].rewinds)
        tp_vault_violate(vault, "P5 gate",
            "actor %u leaves with %llu writes, as others are told, and %llu are stored", actor,
            (unsigned long long)told.writes, (unsigned long long)record.state.writes);
    tp_world_mark(vault->world, "a deactivation tells others");
    return troupe_reply_bytes(turn, payload);
}

/* Writes; of some others hear, by a tell, an ask, or both. */
static void part(troupe_turn *turn, void *bytes, troupe_reason reason)
{
    (void)reason;
    tp_vault *vault = troupe_turn_user(turn);
    tp_vault_state *state = bytes;
    uint16_t actor = (uint16_t)strtoul(troupe_turn_self(turn).key.data, NULL, 10);
    for (uint32_t i = 0; i < 2; i++) {
        touch(vault, state);
        farewell told = {actor, state->writes};
        troupe_slice payload = {&told, sizeof told};
        troupe_id to = tp_vault_id(vault, (uint16_t)((actor + 1 + i) % vault->actor_count));
        if (state->writes % 3 == 0)
            (void)!troupe_tell(turn, to, "bid", payload, NULL);
        if (state->writes % 4 != 0)
            continue;
        const troupe_call_options options = {
            TROUPE_CALL_OPTIONS, .timeout = TROUPE_MILLISECONDS(20)};
        troupe_answer answer = TROUPE_ANSWER_INIT;
        (void)!troupe_ask(turn, to, "bid", payload, &options, &answer);
        troupe_answer_release(&answer);
    }
    if (state->writes % 5 == 0)
        (void)troupe_sleep(turn, TROUPE_MILLISECONDS(1));
}

/* ---- types ----------------------------------------------------------------------------------- */

static troupe_status save(troupe_turn *turn, const void *bytes, troupe_writer *writer)
{
    (void)turn;
    TROUPE_TRY(troupe_write(writer, WORD, WORD_SIZE));
    return troupe_write(writer, bytes, sizeof(tp_vault_state));
}

static troupe_status load(troupe_turn *turn, void *bytes, troupe_slice saved)
{
    tp_vault *vault = troupe_turn_user(turn);
    if (saved.size != WORD_SIZE + sizeof(tp_vault_state) ||
        memcmp(saved.data, WORD, WORD_SIZE) != 0)
        tp_vault_violate(vault, "P11 state", "a load hook gets what no save hook wrote");
    memcpy(bytes, (const char *)saved.data + WORD_SIZE, sizeof(tp_vault_state));
    return TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(serve), TROUPE_READ_METHOD(look),
    TROUPE_METHOD(done), TROUPE_METHOD(failed), TROUPE_METHOD(ring), TROUPE_READ_METHOD(bid)};

void tp_vault_types_make(tp_vault *vault)
{
    for (uint32_t i = 0; i < VAULT_TYPES; i++) {
        const tp_vault_type *from = &tp_vault_types[i];
        vault->types[i] = (troupe_type){TROUPE_TYPE(from->name),
            .state_size = sizeof(tp_vault_state), TROUPE_METHODS(methods), .persist = from->persist,
            .reentrancy = from->reentrancy, .user = vault};
        if (from->persist == TROUPE_PERSIST_EVERY_N)
            vault->types[i].snapshot_interval = 3;
        if (tp_vault_restores(vault) && from->persist == TROUPE_PERSIST_EVERY_TURN)
            vault->types[i].retention.max_snapshots = VAULT_SNAPSHOTS;
        if (from->parts)
            vault->types[i].on_deactivate = part;
        if (from->hooks) {
            vault->types[i].save = save;
            vault->types[i].load = load;
        }
    }
}
