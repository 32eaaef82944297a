/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an actor that persists every turn knows of those who send to it by their outbox: a row for
 * each, with the last number that it has seen (P7), at most `senders_limit` of them. Not how their
 * messages are handled, which is in outbox_target.c.
 *
 *   sender                              target
 *   a message                    ──>    not known, and others were forgotten before: dropped
 *                                <──    the permit: the version of the commit that forgot last
 *   the message with the permit  ──>    known from now on
 *                                <──    an acknowledgement; if many are known, a farewell is wanted
 *   the row of the last message to
 *   this target is gone, durably ──>    farewell: it may be forgotten, and is if room is wanted
 *
 * Who was silent for a while although a farewell is wanted is told once more of its last message,
 * and says farewell then: so lost ones do no harm.
 *
 * Invariants
 * 1. Who is forgotten had said farewell: its outbox holds no message up to the last that was seen
 * here, and never will. So what still comes of those are copies that were on their way.
 * 2. Where nobody was ever forgotten each message of an actor that is not known is new. Else it is
 * taken only with the permit of now: the version of the commit that forgot last, by farewells,
 * which is told once it is durable. So nobody was forgotten that way between the giving of a permit
 * and the begin of the turn that uses it, and who used it had the message in its outbox meanwhile.
 * Who is forgotten while that turn is parked is another one: of its sender none else runs, and what
 * that has in its outbox keeps it from a farewell. A delete of the actor takes the permit, too.
 * 3. An answer needs no permit, and no room: the row of its request goes in the commit of its turn.
 * Where there is no room for its sender it passes what was sent before it, and is not noted, else
 * actors that wait for each other's answers would keep each other's tables full for ever.
 * 4. Those who were silent for SENDER_LIFE go without a farewell, and without a new permit, as
 * messages are given up sooner: by the wall clock. Decision 0018 says what a wrong one does.
 */
#include "shard/durable.h"

#include "base/id.h"

#define SENDER_LIFE    TROUPE_HOURS(24 * 30)
#define SILENT_AFTER   TROUPE_SECONDS(5)
#define LOOK_AT_ONCE   4 /* of them half among those that may be forgotten */
#define FORGET_AT_ONCE 256

_Static_assert(SENDER_LIFE >= 2 * TP_OUTBOX_LIFE, "two clocks may be apart by a TP_OUTBOX_LIFE");

tp_entry *tp_senders_find(const tp_durable *self, troupe_id sender)
{
    char name[TP_ROW_KEY_MAX];
    size_t size = tp_row_sender_key(sender, name);
    return tp_rows_find(self, TROUPE_ROW_SENDER, (troupe_slice){name, size});
}

static uint32_t limit_of(const tp_shard *shard)
{
    return TP_LIVE_GET(shard->shared->options.senders_limit);
}

bool tp_senders_are_many(const tp_shard *shard, const tp_durable *self)
{
    return tp_rows_count(self, TROUPE_ROW_SENDER) > limit_of(shard) / 8;
}

/* One who is silent is told of its last message again. */
static void ask_silent(tp_shard *shard, tp_activation *actor, const tp_entry *entry)
{
    const tp_row_sender *row = &entry->row.sender;
    troupe_id sender;
    if (troupe_id_parse(entry->key, &sender, NULL) != TROUPE_OK)
        return; /* its name is cut: it is kept until it speaks again */
    tp_slip told = {.flags = TP_SLIP_OUTBOX, .number = row->last};
    if (row->refused != TROUPE_OK) {
        told.status = row->refused;
        told.outcome = TROUPE_UNKNOWN_OUTCOME;
    }
    TP_MARK(shard, "a silent sender is asked");
    tp_outbox_tell(shard, actor, sender, &told, troupe_str(troupe_status_text(told.status)));
}

/* At a few of them, others each time. */
static void look_at_some(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    uint64_t wall = shard->env->wall(shard->env);
    uint64_t life = TP_MUTANT(shard, TP_MUTANT_FORGET_EARLY) ? 0 : SENDER_LIFE;
    bool many = tp_senders_are_many(shard, self);
    for (uint32_t i = 0; i < LOOK_AT_ONCE; i++) {
        tp_entry *entry = tp_rows_turn(self, TROUPE_ROW_SENDER, i % 2 != 0);
        uint64_t seen = entry != NULL ? entry->row.sender.seen : 0;
        if (entry == NULL || entry->retired)
            continue;
        if (seen + life < wall)
            tp_rows_retire(shard, self, entry);
        else if (many && !entry->forgettable && seen + SILENT_AFTER < wall)
            ask_silent(shard, actor, entry);
    }
}

/* Those who may be forgotten can be replaced at once. */
bool tp_senders_are_full(const tp_shard *shard, const tp_durable *self)
{
    uint32_t count = tp_rows_count(self, TROUPE_ROW_SENDER);
    return count >= limit_of(shard) && count - self->beside->forgettable_count >= limit_of(shard);
}

bool tp_senders_let_in(tp_shard *shard, tp_activation *actor, const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    const tp_durable *self = tp_durable_of(actor);
    uint64_t permit = self->beside != NULL ? self->beside->permit : 0;
    if (slip->permit != permit && !TP_MUTANT(shard, TP_MUTANT_NO_PERMIT)) {
        TP_MARK(shard, "a sender needs a permit");
        const tp_slip told = {
            .flags = TP_SLIP_OUTBOX | TP_SLIP_PERMIT, .number = slip->number, .permit = permit};
        tp_outbox_tell(shard, actor, tp_message_caller(message), &told, (troupe_slice){NULL, 0});
        return false;
    }
    if (!tp_senders_are_full(shard, self))
        return true;
    TP_MARK(shard, "a sender is one too many");
    tp_count(&shard->counters.busy_senders);
    TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "senders_full",
        TP_FIELDS(tp_field_text("type", actor->type->name),
            tp_field_text("key", tp_activation_key(actor))),
        "outbox messages of new senders have to come again: senders_limit others have messages "
        "under way to it");
    look_at_some(shard, actor);
    return false;
}

/* Many at a time, and then for a while none: each time the permits that were given out are void. */
static bool may_forget(const tp_shard *shard, const tp_durable *self)
{
    const tp_beside *beside = self->beside;
    uint32_t count = tp_rows_count(self, TROUPE_ROW_SENDER), limit = limit_of(shard);
    if (beside == NULL || beside->forgettable_count == 0)
        return false;
    if (beside->forgets)
        return count > limit / 8;
    return count >= limit || (count > limit / 4 && beside->forgettable_count > limit / 16);
}

/* The row that goes with those of the forgotten, in one commit, which gives it its version. */
static tp_row new_permit(tp_shard *shard)
{
    return (tp_row){
        .kind = TROUPE_ROW_SENDER, .sender = {.seen = shard->env->wall(shard->env)}};
}

static troupe_status forget_some(troupe_turn *turn)
{
    tp_shard *shard = turn->shard;
    tp_durable *self = tp_durable_of(turn->actor);
    bool forgets = may_forget(shard, self);
    if (self->beside != NULL)
        self->beside->forgets = forgets;
    if (!forgets)
        return TROUPE_OK;
    uint32_t few = limit_of(shard) / 8, gone = 0;
    TP_LIST_EACH(&self->beside->forgettable, link)
    {
        const tp_entry *entry = TP_CONTAINER(link, const tp_entry, link);
        if (gone == FORGET_AT_ONCE || tp_rows_count(self, TROUPE_ROW_SENDER) - gone <= few)
            break;
        TROUPE_TRY(tp_rows_remove(turn, TROUPE_ROW_SENDER, entry->key));
        gone++;
    }
    TP_MARK(shard, "senders are forgotten");
    const tp_row row = new_permit(shard);
    return tp_rows_put(turn, &row, troupe_str(TP_ROW_FORGOT));
}

troupe_status tp_senders_note(
    troupe_turn *turn, const tp_slip *slip, troupe_status refused, bool is_answer)
{
    tp_shard *shard = turn->shard;
    troupe_id sender = tp_message_caller(turn->message);
    const tp_durable *self = tp_durable_of(turn->actor);
    look_at_some(shard, turn->actor);
    TROUPE_TRY(forget_some(turn));
    const tp_entry *seen = tp_senders_find(self, sender);
    tp_row_number last = seen != NULL ? seen->row.sender.last : (tp_row_number){0, 0};
    bool has_passed = tp_row_number_compare(slip->before, last) > 0;
    if (is_answer && (has_passed || (seen == NULL && tp_senders_are_full(shard, self))))
        return TROUPE_OK; /* that its request is gone says enough */
    char name[TP_ROW_KEY_MAX];
    size_t size = tp_row_sender_key(sender, name);
    const tp_row row = {.kind = TROUPE_ROW_SENDER,
        .sender = {.last = slip->number, .seen = shard->env->wall(shard->env), .refused = refused}};
    return tp_rows_put(turn, &row, (troupe_slice){name, size});
}

void tp_senders_farewell(tp_shard *shard, tp_durable *self, const tp_message *message)
{
    const tp_slip *slip = tp_message_slip(message);
    tp_entry *entry = tp_senders_find(self, tp_message_caller(message));
    if (entry == NULL || entry->retired || entry->forgettable ||
        tp_row_number_compare(entry->row.sender.last, slip->number) > 0)
        return;
    tp_rows_forgettable(self, entry);
    if (tp_rows_count(self, TROUPE_ROW_SENDER) < limit_of(shard))
        return;
    /* Somebody may wait for its place, and come only after this one has slept again. */
    const tp_row row = new_permit(shard);
    if (!tp_rows_add(shard, self, &row, troupe_str(TP_ROW_FORGOT)))
        return;
    TP_MARK(shard, "a sender is forgotten at once");
    tp_rows_retire(shard, self, entry);
}
