/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of a town. Each turn says in which house it runs, and each activation which it is:
 * of two of one actor the older one must not do anything that anybody accepts (P2). Streams count
 * what each sender sends to each actor (P4), deeds how often they began and were answered (P3), the
 * store says what is durable (P5, P6).
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include "base/alloc.h"
#include "store/record.h"
#include "store/rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLACK TROUPE_SECONDS(1) /* of answers, beyond their timeout */

void tp_town_violate(tp_town *town, const char *checker, const char *format, ...)
{
    char text[700], words[1100];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(words, sizeof words, "is violated at operation %u, %.6f s: %s", town->op,
        town->world != NULL ? (double)tp_world_now(town->world) / 1e9 : 0, text);
    town->options->violated(town->options->user, checker, words);
    abort(); /* the report does not return */
}

/* ---- who sends what -------------------------------------------------------------------------- */

uint32_t tp_town_stream_make(tp_town *town)
{
    if (town->stream_count == town->stream_room) {
        town->stream_room = town->stream_room != 0 ? 2 * town->stream_room : 256;
        town->streams = realloc(town->streams, town->stream_room * sizeof *town->streams);
        if (town->streams == NULL)
            abort();
    }
    town->streams[town->stream_count] = (tp_town_stream){0};
    return town->stream_count++;
}

tp_town_order tp_town_issue(tp_town_deed *deed, const tp_house *house, uint32_t stream)
{
    tp_town *town = deed->town;
    deed->issued = true;
    deed->issues++;
    deed->houses |= UINT32_C(1) << house->number;
    deed->strict = town->calm || town->resting;
    deed->bound = deed->timeout != 0 ? deed->timeout : TROUPE_SECONDS(10);
    deed->issued_at = tp_world_now(town->world);
    if (deed->issued_at < house->paused_until)
        deed->issued_at = house->paused_until;
    deed->house = house->number;
    deed->stalled = house->stalled;
    deed->stream = stream;
    /* A call once that is asked again may come behind what was sent later. */
    deed->sequence = deed->once ? 0 : ++town->streams[stream].sent[deed->target];
    return (tp_town_order){deed->number, stream, deed->sequence, 0};
}

/* ---- whose it is ----------------------------------------------------------------------------- */

bool tp_town_owns(const tp_house *house, uint16_t actor)
{
    return house->activations[actor] == house->town->actors[actor].newest;
}

void tp_town_activated(tp_house *house, uint16_t actor)
{
    tp_town *town = house->town;
    tp_town_actor *self = &town->actors[actor];
    house->activations[actor] = tp_town_stream_make(town);
    if (self->newest != 0 && self->newest_at != house->number)
        tp_world_mark(town->world, "an actor moves");
    self->newest = house->activations[actor];
    self->newest_at = house->number;
    self->newest_when = tp_world_now(town->world);
    tp_world_trace(town->world, 950, ((uint64_t)actor << 32) | house->number);
}

void tp_town_begun(const tp_house *house, tp_town_deed *deed, const tp_town_order *order)
{
    tp_town *town = deed->town;
    tp_world_trace(town->world, 951, ((uint64_t)deed->number << 32) | house->number);
    if (!tp_town_owns(house, deed->target)) {
        const tp_town_actor *actor = &town->actors[deed->target];
        tp_town_violate(town, "P2 one owner",
            "#%u begins at actor %u of %s, which is also active at %s since %.6f s", deed->number,
            deed->target, house->name, town->houses[actor->newest_at].name,
            (double)actor->newest_when / 1e9);
    }
    if (order->is_stale)
        tp_town_violate(town, "P2 one owner",
            "#%u begins at %s; who sent it from %s was not the owner any more", deed->number,
            house->name, town->houses[deed->house].name);
    /* What is made to take effect once may begin again: the turn was lost before its commit. */
    if (++deed->starts > deed->issues && !deed->once && !deed->outbox)
        tp_town_violate(town, "P4 once",
            "#%u was sent %u times, and begins %u times, at %s; before that it was at %s",
            deed->number, deed->issues, deed->starts, house->name,
            town->houses[deed->runs_at].name);
    deed->runs_at = house->number;
    if (order->sequence == 0 || deed->outbox)
        return;
    uint32_t *came = &town->streams[order->stream].came[deed->target];
    if (order->sequence <= *came)
        tp_town_violate(town, "P4 order",
            "#%u is number %u of its sender to actor %u, and begins after number %u", deed->number,
            order->sequence, deed->target, *came);
    *came = order->sequence;
}

void tp_town_ended(const tp_house *house, tp_town_deed *deed)
{
    deed->ended = true;
    deed->stale = !tp_town_owns(house, deed->target);
    if (deed->stale)
        tp_world_mark(deed->town->world, "a turn of a former owner ends");
}

/* ---- the store ------------------------------------------------------------------------------- */

static void read_state(
    tp_town *town, uint16_t actor, const troupe_store_item *item, tp_town_state *ret_state)
{
    const char *reason = "";
    troupe_slice bytes;
    uint64_t seed = tp_record_seed(tp_town_id(town, actor));
    if (tp_record_open(item->value, seed, &bytes, &reason) != TROUPE_OK ||
        bytes.size != sizeof *ret_state)
        tp_town_violate(town, "P11 state", "the record of actor %u: %s", actor, reason);
    memcpy(ret_state, bytes.data, sizeof *ret_state);
}

void tp_town_stored(tp_town *town, uint16_t actor, tp_town_record *ret_record)
{
    memset(ret_record, 0, sizeof *ret_record);
    troupe_id id = tp_town_id(town, actor);
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD, .id = id, .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    town->inner->run(town->inner, list, 1);
    if (op.status != TROUPE_OK && op.status != TROUPE_NOT_FOUND)
        tp_town_violate(town, "store", "a load behind its back: %s", troupe_status_name(op.status));
    if (op.found < town->actors[actor].version)
        tp_town_violate(town, "P6 versions", "actor %u has version %llu, and had %llu", actor,
            (unsigned long long)op.found, (unsigned long long)town->actors[actor].version);
    town->actors[actor].version = op.found;
    ret_record->version = op.found;
    ret_record->wake = op.wake;
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next) {
        if (item->kind == TROUPE_ROW_STATE)
            read_state(town, actor, item, &ret_record->state);
        else if (item->kind <= TROUPE_ROW_DEAD && !tp_row_is_forgot(item->kind, item->key))
            ret_record->rows[item->kind]++;
    }
    troupe_store_release(&op);
}

static uint32_t stored_mark(const tp_town_deed *deed)
{
    tp_town_record record;
    tp_town_stored(deed->town, deed->target, &record);
    return tp_town_mark_of(&record.state, deed, TOWN_MARK_DONE);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Did no member host its type? Some may not know yet of one that does. */
static bool is_bare(const tp_town_deed *deed)
{
    const tp_town *town = deed->town;
    return town->patchy && town->actors[deed->target].type != TOWN_HAT &&
           (town->hosted_since == TP_NEVER ||
               town->hosted_since + TROUPE_SECONDS(1) > deed->issued_at);
}

static void check_status(const tp_town_deed *deed, const troupe_answer *answer)
{
    tp_town *town = deed->town;
    bool ok = !deed->strict;
    switch (answer->status) {
    case TROUPE_TIMEOUT:
    case TROUPE_EXPIRED:
        ok = ok || deed->timeout != 0;
        break;
    case TROUPE_UNAVAILABLE: /* also: who hosts it leaves */
        ok = ok || is_bare(deed);
        break;
    case TROUPE_BUSY:
        ok = ok || town->link_limit != 0;
        break;
    case TROUPE_UNKNOWN:
        break;
    case TROUPE_CLOSED:
        ok = deed->excused;
        break;
    case TROUPE_INTERRUPTED:
        break;
    case TROUPE_CANCELLED:
    case TROUPE_WITHDRAWN: /* who asked had given up */
        ok = ok || deed->from != NULL || deed->excused || deed->once;
        break;
    case TROUPE_NO_TYPE:
        ok = is_bare(deed) || (ok && town->patchy);
        break;
    case TROUPE_CONFLICT: /* of a turn whose node had lost the actor */
        ok = ok && deed->starts != 0 && deed->stale;
        break;
    default:
        ok = false;
        break;
    }
    if (!ok && !deed->excused)
        tp_town_violate(town, "P3 answer",
            "#%u to actor %u from %s ends with %s for no reason: %.*s", deed->number, deed->target,
            town->houses[deed->house].name, troupe_status_name(answer->status),
            TROUPE_ARG(answer->message));
}

static void check_ok(tp_town_deed *deed, const troupe_answer *answer)
{
    tp_town *town = deed->town;
    tp_town_receipt told;
    if (answer->outcome != TROUPE_DONE || answer->payload.size != sizeof told)
        tp_town_violate(town, "P3 answer", "#%u: OK, with outcome %d and %zu bytes", deed->number,
            answer->outcome, answer->payload.size);
    memcpy(&told, answer->payload.data, sizeof told);
    if (told.number != deed->number)
        tp_town_violate(
            town, "P3 answer", "#%u gets the answer of #%u", deed->number, (uint32_t)told.number);
    if (!deed->ended)
        tp_town_violate(town, "P3 answer", "#%u is answered, and has not run", deed->number);
    /* What a node that was put out tells its own actors stays there, as they do. */
    const tp_house *asker = &town->houses[deed->house];
    bool stays = deed->from != NULL && deed->runs_at == deed->house && asker->died;
    if (deed->stale && deed->issues == 1 && !deed->once && !stays)
        tp_town_violate(town, "P2 one owner",
            "#%u is answered by %s, which had lost actor %u before its turn ended", deed->number,
            town->houses[deed->runs_at].name, deed->target);
    if (town->actors[deed->target].type != TOWN_TILL)
        return;
    uint32_t stored = stored_mark(deed);
    if (stored == 0 || (stored > 1 && (deed->once || deed->issues == 1)))
        tp_town_violate(town, "P5 durable", "#%u at actor %u is answered, and is stored %u times",
            deed->number, deed->target, stored);
}

tp_town_attempt *tp_town_attempt_make(tp_town_deed *deed, uint16_t house)
{
    tp_town_attempt made = {.deed = deed, .number = deed->issues + 1, .house = house};
    for (uint32_t i = 0; deed->once && i < deed->issues; i++) {
        const tp_town_attempt *other = &deed->attempts[i];
        bool lives = deed->town->houses[other->house].state == HOUSE_OPEN;
        made.is_beside |= lives && !other->ended;
    }
    made.was_stored = deed->once && stored_mark(deed) != 0;
    deed->attempts[deed->issues] = made;
    return &deed->attempts[deed->issues];
}

void tp_town_attempt_ended(tp_town_attempt *attempt, const troupe_answer *answer)
{
    tp_town_deed *deed = attempt->deed;
    bool is_newest = attempt->number == deed->issues;
    attempt->ended = true;
    if (!deed->once || answer->outcome != TROUPE_NOT_DONE)
        return;
    if (attempt->was_stored || (is_newest && !attempt->is_beside && stored_mark(deed) != 0))
        tp_town_violate(deed->town, "P7 NOT_DONE",
            "#%u at actor %u, a call once, is stored, and ends with %s: NOT_DONE", deed->number,
            deed->target, troupe_status_name(answer->status));
}

static uint64_t stalled_of(const tp_town_deed *deed)
{
    return deed->town->houses[deed->house].stalled - deed->stalled;
}

void tp_town_answered(tp_town_deed *deed, const troupe_answer *answer)
{
    tp_town *town = deed->town;
    tp_world_trace(town->world, 952,
        ((uint64_t)deed->number << 32) | ((uint64_t)answer->status << 4) | answer->outcome);
    if (deed->answers++ == deed->issues)
        tp_town_violate(town, "P3 once", "#%u is answered twice: %s, now %s", deed->number,
            troupe_status_name(deed->status), troupe_status_name(answer->status));
    uint64_t now = tp_world_now(town->world);
    if (deed->from == NULL && !deed->excused && deed->issues == 1 &&
        now > deed->issued_at + deed->bound + SLACK + stalled_of(deed))
        tp_town_violate(town, "P3 in time", "#%u from %s to actor %u ends after %.3f s",
            deed->number, town->houses[deed->house].name, deed->target,
            (double)(now - deed->issued_at) / 1e9);
    deed->status = answer->status;
    deed->outcome = answer->outcome;
    if (answer->status == TROUPE_OK)
        check_ok(deed, answer);
    else
        check_status(deed, answer);
    deed->not_done += answer->outcome == TROUPE_NOT_DONE;
    if (answer->outcome == TROUPE_NOT_DONE && deed->ended && !deed->stale && deed->issues == 1 &&
        town->actors[deed->target].type != TOWN_TILL)
        tp_town_violate(town, "P3 NOT_DONE", "#%u has run, and ends with %s: NOT_DONE",
            deed->number, troupe_status_name(answer->status));
}

/* Every answer comes in time, as its house has time. */
void tp_town_look(tp_town *town)
{
    uint64_t now = tp_world_now(town->world);
    for (uint32_t i = 0; i < town->deed_count; i++) {
        const tp_town_deed *deed = town->deeds[i];
        if (deed->issues != 1 || deed->is_tell || deed->answers != 0 || deed->excused ||
            deed->from != NULL)
            continue;
        if (now > deed->issued_at + deed->bound + SLACK + stalled_of(deed))
            tp_town_violate(town, "P3 in time", "#%u from %s to actor %u has no end after %.3f s",
                deed->number, town->houses[deed->house].name, deed->target,
                (double)(now - deed->issued_at) / 1e9);
    }
}

void tp_town_excuse(tp_town *town, const tp_house *house)
{
    for (uint32_t i = 0; i < town->deed_count; i++) {
        tp_town_deed *deed = town->deeds[i];
        if (!(deed->houses & UINT32_C(1) << house->number))
            continue;
        deed->excused = true;
        if (deed->house == house->number && deed->answers < deed->issues)
            tp_town_again(deed); /* who asked is outside, and lives */
    }
}

/* ---- at rest --------------------------------------------------------------------------------- */

static void check_stored(tp_town *town, const tp_town_deed *deed, uint32_t stored)
{
    bool exact = town->actors[deed->target].type == TOWN_TILL || !deed->outbox;
    bool is_answered = deed->answers == deed->issues;
    uint32_t most = deed->once || deed->outbox ? 1 : deed->issues;
    if (stored > most && exact)
        tp_town_violate(town, deed->once ? "P7 once" : "P4 once",
            "#%u was sent %u times, and is stored %u times", deed->number, deed->issues, stored);
    if (deed->status == TROUPE_OK && deed->answers != 0 && !deed->is_tell && stored == 0)
        tp_town_violate(
            town, "P5 durable", "#%u was acknowledged, and is not stored", deed->number);
    if (is_answered && deed->not_done == deed->issues && stored != 0)
        tp_town_violate(town, "P3 NOT_DONE", "#%u ended with %s, NOT_DONE, and is stored",
            deed->number, troupe_status_name(deed->status));
    if (town->calm && deed->ended && stored == 0)
        tp_town_violate(
            town, "P8 planned", "#%u ran at actor %u, and is not stored", deed->number,
            deed->target);
}

static void check_deed(tp_town *town, const tp_town_deed *deed, const tp_town_state *state)
{
    uint8_t type = town->actors[deed->target].type;
    if (!deed->issued)
        return;
    if (!deed->is_tell && deed->answers < deed->issues && !deed->excused && deed->from == NULL)
        tp_town_violate(town, "P3 rest", "#%u was never answered", deed->number);
    if (deed->outcome == TROUPE_NOT_DONE && deed->answers != 0 && deed->ended && !deed->stale &&
        type != TOWN_TILL && deed->issues == 1)
        tp_town_violate(town, "P3 NOT_DONE", "#%u ran, and ended with %s: NOT_DONE", deed->number,
            troupe_status_name(deed->status));
    bool had_host = !town->was_bare || type == TOWN_HAT;
    if (town->calm && deed->is_tell && deed->answers == 0 && deed->starts == 0 &&
        !deed->excused && had_host)
        tp_town_violate(
            town, "P8 planned", "the tell #%u to actor %u was lost", deed->number, deed->target);
    if (type == TOWN_TILL || (type == TOWN_JAR && town->calm))
        check_stored(town, deed, tp_town_mark_of(state, deed, TOWN_MARK_DONE));
}

void tp_town_check_rest(tp_town *town)
{
    tp_town_record *records = calloc(TOWN_ACTORS, sizeof *records);
    if (records == NULL)
        abort();
    for (uint16_t i = 0; i < town->actor_count; i++)
        tp_town_stored(town, i, &records[i]);
    for (uint32_t i = 0; i < town->deed_count; i++)
        check_deed(town, town->deeds[i], &records[town->deeds[i]->target].state);
    tp_town_check_kept(town, records);
    free(records);
}
