/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of a vault. At each answer, and whenever a message arrives, the store is read:
 * what was said rests on what is there (P5). At rest, all that was promised is there, and nothing
 * twice (P5 to P7, P3 for the errors that say NOT_DONE).
 *
 * Threads: one, as world.h.
 */
#include "testkit/vault.h"

#include "base/alloc.h"
#include "store/record.h"
#include "store/rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_SIZE 6

void tp_vault_violate(tp_vault *vault, const char *checker, const char *format, ...)
{
    char text[700], words[1100];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(words, sizeof words, "is violated at operation %u, %.6f s, incarnation %u: %s",
        vault->op, vault->world != NULL ? (double)tp_world_now(vault->world) / 1e9 : 0,
        vault->incarnation, text);
    vault->options->violated(vault->options->user, checker, words);
    abort(); /* the report does not return */
}

static bool rewinds(const tp_vault *vault, uint16_t actor)
{
    return vault->actors[actor].rewinds;
}

bool tp_vault_gated(const tp_vault *vault, uint16_t actor)
{
    return tp_vault_types[vault->actors[actor].type].persist == TROUPE_PERSIST_EVERY_TURN;
}

/* ---- the store ------------------------------------------------------------------------------- */

static void read_state(
    tp_vault *vault, uint16_t actor, const troupe_store_item *item, tp_vault_state *state)
{
    const char *reason = "";
    troupe_slice bytes;
    troupe_id id = tp_vault_id(vault, actor);
    if (tp_record_open(item->value, tp_record_seed(id), &bytes, &reason) != TROUPE_OK)
        tp_vault_violate(vault, "P11 state", "the record of actor %u: %s", actor, reason);
    tp_vault_state_read(vault, actor, bytes, state);
}

void tp_vault_state_read(tp_vault *vault, uint16_t actor, troupe_slice bytes, tp_vault_state *state)
{
    size_t skip = tp_vault_types[vault->actors[actor].type].hooks ? WORD_SIZE : 0;
    if (bytes.size != skip + sizeof *state)
        tp_vault_violate(vault, "P11 state", "actor %u has %zu bytes", actor, bytes.size);
    memcpy(state, (const char *)bytes.data + skip, sizeof *state);
}

void tp_vault_look(tp_vault *vault, troupe_store_op *op)
{
    troupe_store_op *list[] = {op};
    if (vault->disk != NULL)
        tp_sim_disk_spare(vault->disk, true);
    vault->inner->run(vault->inner, list, 1);
    if (vault->disk != NULL)
        tp_sim_disk_spare(vault->disk, false);
}

void tp_vault_stored(tp_vault *vault, uint16_t actor, tp_vault_record *ret_record)
{
    memset(ret_record, 0, sizeof *ret_record);
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD,
        .id = tp_vault_id(vault, actor),
        .allocator = tp_allocator_system()};
    tp_vault_look(vault, &op);
    if (op.status != TROUPE_OK && op.status != TROUPE_NOT_FOUND)
        tp_vault_violate(
            vault, "store", "a load behind its back: %s", troupe_status_name(op.status));
    ret_record->version = op.found;
    if (op.found < vault->actors[actor].version)
        tp_vault_violate(vault, "P6 versions", "actor %u has version %llu, and had %llu", actor,
            (unsigned long long)op.found, (unsigned long long)vault->actors[actor].version);
    vault->actors[actor].version = op.found;
    ret_record->wake = op.wake;
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next) {
        if (item->kind == TROUPE_ROW_STATE)
            read_state(vault, actor, item, &ret_record->state);
        else if (item->kind <= TROUPE_ROW_DEAD && !tp_row_is_forgot(item->kind, item->key))
            ret_record->rows[item->kind]++;
    }
    troupe_store_release(&op);
}

/* A commit of no rows and no state, which a restore by hand might be. Its writer is the node's own:
 * others are shut out. Only where no outcome is unknown, else it may pass for the node's commit. */
void tp_vault_meddle(tp_vault *vault, uint16_t actor)
{
    tp_vault_record record;
    tp_vault_stored(vault, actor, &record);
    if (record.version == 0)
        return;
    troupe_store_op op = {.kind = TROUPE_STORE_COMMIT,
        .id = tp_vault_id(vault, actor),
        .writer = vault->writer,
        .version = record.version,
        .commit = {.wake = record.wake, .time = 1},
        .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    vault->inner->run(vault->inner, list, 1);
    tp_world_mark(vault->world, "somebody else wrote");
    troupe_store_release(&op);
}

static uint32_t stored_mark(const tp_vault_deed *deed, uint32_t which)
{
    tp_vault_record record;
    tp_vault_stored(deed->vault, deed->target, &record);
    return tp_vault_mark_of(&record.state, deed, which);
}

/* ---- while it runs --------------------------------------------------------------------------- */

static bool only_reads(const tp_vault_deed *deed)
{
    return deed->kind == TP_VAULT_SHOW || deed->kind == TP_VAULT_PEEK;
}

/* By an outbox: may come more than once. */
static bool is_sent_again(const tp_vault_deed *deed)
{
    return deed->from != NULL && deed->from->beside != deed &&
           (deed->from->kind == TP_VAULT_SEND || deed->from->kind == TP_VAULT_THEN);
}

/* Is the first outbox message of an actor to another one taken as it comes? Not by who fails to
 * load, or has no room for its sender: it comes again, and may be passed. */
static bool is_taken_at_once(const tp_vault *vault)
{
    const tp_vault_scenario *scenario = vault->scenario;
    for (uint32_t i = 0; i < TP_FAULTS; i++)
        if (scenario->faults[i] != 0)
            return false;
    return vault->node_options.senders_limit == 0 && !scenario->disk &&
           scenario->ops[TP_VAULT_OUTAGE] == 0;
}

/* A plain tell begins, and its turn sent another message to the same by its outbox. */
static void check_beside(tp_vault *vault, const tp_vault_deed *deed)
{
    const tp_vault_deed *from = deed->from, *child = from->child;
    if (rewinds(vault, from->target) || rewinds(vault, deed->target))
        return;
    if (!from->is_behind && child->starts != 0)
        tp_vault_violate(vault, "P4 order",
            "#%u begins after outbox message #%u, which #%u sent behind it", deed->number,
            child->number, from->number);
    if (from->is_behind && child->starts == 0 && child->sequence == 1 && is_taken_at_once(vault))
        tp_vault_violate(vault, "P4 order",
            "#%u begins before outbox message #%u, which #%u sent ahead of it", deed->number,
            child->number, from->number);
    tp_world_mark(vault->world, "a plain tell beside an outbox message");
}

void tp_vault_came(tp_vault_deed *deed)
{
    tp_vault *vault = deed->vault;
    const tp_vault_deed *from = deed->from;
    deed->starts++;
    tp_world_trace(vault->world, 900, deed->number);
    uint32_t most = deed->attempts > 1 ? deed->attempts : 1;
    if (!deed->once && !is_sent_again(deed) && deed->starts > most &&
        (from == NULL || !rewinds(vault, from->target)))
        tp_vault_violate(vault, "P4 once", "#%u was sent %u times, and begins %u times",
            deed->number, most, deed->starts);
    if (from != NULL && from->beside == deed)
        check_beside(vault, deed);
    if (from == NULL || only_reads(from) || !tp_vault_gated(vault, from->target) ||
        rewinds(vault, from->target))
        return;
    if (stored_mark(from, TP_MARK_FIRST) == 0)
        tp_vault_violate(vault, "P5 gate",
            "#%u has left actor %u, and the write of #%u that it rests on is not stored",
            deed->number, from->target, from->number);
}

static void check_ok(tp_vault_deed *deed, const troupe_answer *answer)
{
    tp_vault *vault = deed->vault;
    tp_vault_receipt told;
    if (answer->outcome != TROUPE_DONE)
        tp_vault_violate(vault, "P3 answer", "#%u: OK, but not DONE", deed->number);
    if (deed->kind == TP_VAULT_FAIL || deed->refuses)
        tp_vault_violate(vault, "P3 answer", "#%u fails, and is answered OK", deed->number);
    if (answer->payload.size != sizeof told)
        tp_vault_violate(
            vault, "P3 answer", "#%u gets %zu bytes", deed->number, answer->payload.size);
    memcpy(&told, answer->payload.data, sizeof told);
    if (told.number != deed->number)
        tp_vault_violate(
            vault, "P3 answer", "#%u gets the answer of #%u", deed->number, (uint32_t)told.number);
    if (rewinds(vault, deed->target) || (deed->from != NULL && rewinds(vault, deed->from->target)))
        return;
    if (deed->acknowledged && deed->once && told.writes != deed->acknowledged_writes)
        tp_vault_violate(vault, "P7 once", "#%u is answered twice, and not alike", deed->number);
    deed->acknowledged = true;
    deed->acknowledged_writes = told.writes;
    if (!tp_vault_gated(vault, deed->target))
        return;
    tp_vault_record record;
    tp_vault_stored(vault, deed->target, &record);
    if (record.state.writes < told.writes)
        tp_vault_violate(vault, "P5 durable",
            "#%u at actor %u has seen %llu writes, and %llu are stored", deed->number, deed->target,
            (unsigned long long)told.writes, (unsigned long long)record.state.writes);
    if (only_reads(deed))
        return;
    if (tp_vault_mark_of(&record.state, deed, TP_MARK_FIRST) != 1 ||
        tp_vault_mark_of(&record.state, deed, TP_MARK_SECOND) != (deed->kind == TP_VAULT_MID))
        tp_vault_violate(vault, "P5 durable", "#%u at actor %u is answered, and is not stored once",
            deed->number, deed->target);
}

static void check_status(const tp_vault_deed *deed, const troupe_answer *answer)
{
    bool ok = true;
    switch (answer->status) {
    case TROUPE_TIMEOUT:
    case TROUPE_BUSY:
    case TROUPE_UNAVAILABLE:
    case TROUPE_UNKNOWN:
    case TROUPE_EXPIRED:
        break;
    case TROUPE_CANCELLED: /* of a call once: its first caller had given up while it ran */
        ok = deed->once || deed->from != NULL;
        break;
    case TROUPE_WITHDRAWN: /* who asked had given up */
    case TROUPE_DEADLOCK:
        ok = deed->from != NULL;
        break;
    case TROUPE_CONFLICT:
        ok = deed->vault->scenario->ops[TP_VAULT_MEDDLE] != 0;
        break;
    case TROUPE_INTERRUPTED:
        ok = deed->once;
        break;
    case TROUPE_APPLICATION:
        ok = deed->kind == TP_VAULT_FAIL;
        break;
    case TROUPE_APPLICATION + 1:
        ok = deed->refuses;
        break;
    default:
        ok = false;
        break;
    }
    if (!ok)
        tp_vault_violate(deed->vault, "P3 answer",
            "#%u at actor %u ends with %s for no reason: %.*s", deed->number, deed->target,
            troupe_status_name(answer->status), TROUPE_ARG(answer->message));
}

void tp_vault_answered(tp_vault_deed *deed, const troupe_answer *answer)
{
    tp_vault *vault = deed->vault;
    tp_world_trace(vault->world, 901,
        ((uint64_t)deed->number << 32) | ((uint64_t)answer->status << 4) | answer->outcome);
    if (answer->status == TROUPE_OK) {
        check_ok(deed, answer);
        return;
    }
    check_status(deed, answer);
    if (answer->outcome != TROUPE_NOT_DONE) {
        deed->unknown++;
        return;
    }
    deed->not_done++;
    if (deed->once || only_reads(deed) || !tp_vault_gated(vault, deed->target) ||
        rewinds(vault, deed->target) || (deed->from != NULL && rewinds(vault, deed->from->target)))
        return; /* who was deleted may have asked before */
    if (stored_mark(deed, TP_MARK_FIRST) != 0)
        tp_vault_violate(vault, "P3 NOT_DONE", "#%u at actor %u is stored, and ends with %s",
            deed->number, deed->target, troupe_status_name(answer->status));
}

void tp_vault_told_none(tp_vault_deed *deed, troupe_status status)
{
    if (!rewinds(deed->vault, deed->target) && stored_mark(deed, TP_MARK_FIRST) != 0)
        tp_vault_violate(deed->vault, "P7 NOT_DONE",
            "#%u at actor %u, a call once, is stored, and asked again ends with %s: NOT_DONE",
            deed->number, deed->target, troupe_status_name(status));
}

/* ---- at rest --------------------------------------------------------------------------------- */

static uint32_t mark_at(const tp_vault_record *records, const tp_vault_deed *deed, uint32_t which)
{
    return tp_vault_mark_of(&records[deed->target].state, deed, which);
}

static void check_child(tp_vault *vault, const tp_vault_record *records, const tp_vault_deed *deed)
{
    const tp_vault_deed *child = deed->child, *beside = deed->beside;
    uint32_t sent = mark_at(records, deed, TP_MARK_FIRST);
    uint32_t came = mark_at(records, child, TP_MARK_FIRST);
    bool exact = tp_vault_gated(vault, child->target) && !rewinds(vault, child->target);
    if (deed->kind == TP_VAULT_MID)
        return;
    if (sent == 0 && (child->starts != 0 || (beside != NULL && beside->starts != 0)))
        tp_vault_violate(
            vault, "P5 gate", "what #%u sent has come, and it is not stored", deed->number);
    if (deed->kind == TP_VAULT_TELL || sent == 0)
        return;
    if (child->starts == 0 || (exact && came != !child->refuses))
        tp_vault_violate(vault, "P7 outbox",
            "#%u was sent by the outbox of actor %u, begun %u times, and took effect %u times",
            child->number, deed->target, child->starts, came);
    if (deed->kind == TP_VAULT_SEND)
        return;
    uint32_t done = mark_at(records, deed, TP_MARK_DONE);
    uint32_t failed = mark_at(records, deed, TP_MARK_FAILED);
    if (done != !child->refuses || failed != child->refuses)
        tp_vault_violate(vault, "P7 answer",
            "#%u was asked, and was answered %u times well, %u times not", deed->number, done,
            failed);
}

static void check_deed(tp_vault *vault, const tp_vault_record *records, const tp_vault_deed *deed)
{
    if (only_reads(deed) || !tp_vault_gated(vault, deed->target) || rewinds(vault, deed->target) ||
        (deed->from != NULL && rewinds(vault, deed->from->target)))
        return;
    uint32_t first = mark_at(records, deed, TP_MARK_FIRST);
    uint32_t second = mark_at(records, deed, TP_MARK_SECOND);
    if (first > 1 || second > first)
        tp_vault_violate(vault, deed->once ? "P7 once" : "P4 once",
            "#%u took effect %u times, its second half %u times", deed->number, first, second);
    if (first != 0 && (deed->kind == TP_VAULT_FAIL || deed->refuses))
        tp_vault_violate(vault, "P3 failure", "#%u failed, and is stored", deed->number);
    if (deed->acknowledged && (first != 1 || second != (deed->kind == TP_VAULT_MID)))
        tp_vault_violate(
            vault, "P5 durable", "#%u was acknowledged, and is not there", deed->number);
    bool none = deed->attempts != 0 && deed->not_done == deed->attempts;
    if (none && first != 0)
        tp_vault_violate(vault, "P3 NOT_DONE",
            "#%u is stored, though all its callers were told "
            "that it was not done",
            deed->number);
    if (first == 0 && deed->unknown == 0 && !none && deed->from == NULL && deed->attempts != 0)
        tp_vault_violate(vault, "P3 answer", "#%u was answered, and did not happen", deed->number);
    if (deed->child != NULL)
        check_child(vault, records, deed);
}

/* Of types that run one turn at a time. */
static void check_senders(tp_vault *vault, const tp_vault_record *record, uint16_t actor)
{
    uint32_t limit = vault->node_options.senders_limit;
    bool is_limited = limit != 0 && tp_vault_types[vault->actors[actor].type].reentrancy ==
                                        TROUPE_REENTRANCY_NONE;
    if (is_limited && record->rows[TROUPE_ROW_SENDER] > limit)
        tp_vault_violate(vault, "senders", "actor %u remembers %u, and may remember %u", actor,
            record->rows[TROUPE_ROW_SENDER], limit);
}

/* What actors know of their reminders is what is stored, and none is late. */
static void check_bells(tp_vault *vault, const tp_vault_record *record, uint16_t actor)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < VAULT_BELLS; i++)
        set += record->state.bells[i].is_set != 0;
    if (!rewinds(vault, actor) && set != record->rows[TROUPE_ROW_REMINDER])
        tp_vault_violate(vault, "P7 reminders", "actor %u has %u reminders, and %u are stored",
            actor, set, record->rows[TROUPE_ROW_REMINDER]);
    if (record->wake != 0 && record->wake + TROUPE_SECONDS(1) < vault->rested)
        tp_vault_violate(vault, "P7 reminders", "one of actor %u is late by %.3f s", actor,
            (double)(vault->rested - record->wake) / 1e9);
}

static void check_actor(tp_vault *vault, const tp_vault_record *records, uint16_t actor)
{
    const tp_vault_state *state = &records[actor].state;
    int64_t coins = 0;
    if (tp_vault_gated(vault, actor)) {
        check_bells(vault, &records[actor], actor);
        check_senders(vault, &records[actor], actor);
        tp_vault_check_snapshots(vault, actor);
    }
    if (rewinds(vault, actor))
        return;
    uint32_t buried = 0;
    bool counted = true; /* where messages may come more than once, a counter may be full */
    for (uint32_t i = 0; i < vault->deed_count; i++) {
        const tp_vault_deed *deed = vault->deeds[i];
        if (deed->target != actor)
            continue;
        uint32_t first = tp_vault_mark_of(state, deed, TP_MARK_FIRST);
        counted = counted && first != 3;
        coins += deed->amount *
                 ((int64_t)first - (int64_t)tp_vault_mark_of(state, deed, TP_MARK_FAILED));
        buried += deed->kind == TP_VAULT_SEND && deed->child->refuses && first != 0;
    }
    if (counted && coins != state->coins)
        tp_vault_violate(vault, "P11 state", "actor %u has %lld coins, and its deeds make %lld",
            actor, (long long)state->coins, (long long)coins);
    if (!tp_vault_gated(vault, actor))
        return;
    if (records[actor].rows[TROUPE_ROW_DEAD] != buried)
        tp_vault_violate(vault, "P7 dead letters", "actor %u has %u, and should have %u", actor,
            records[actor].rows[TROUPE_ROW_DEAD], buried);
}

void tp_vault_check_rest(tp_vault *vault)
{
    tp_vault_record *records = calloc(VAULT_ACTORS, sizeof *records);
    if (records == NULL)
        abort();
    for (uint16_t i = 0; i < vault->actor_count; i++)
        tp_vault_stored(vault, i, &records[i]);
    for (uint32_t i = 0; i < vault->deed_count; i++)
        check_deed(vault, records, vault->deeds[i]);
    for (uint16_t i = 0; i < vault->actor_count; i++)
        check_actor(vault, records, i);
    free(records);
}
