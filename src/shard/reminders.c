/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reminders (FEATURES A11): rows beside the state, which say when a method is to run next. An
 * active actor has one alarm, for the earliest; one that sleeps is woken by wake.c.
 *
 * A reminder that is due becomes a message to its own actor that names its due number. When that
 * turn ends, well or not, the row's next due time is staged in the turn's commit; a message whose
 * number is not that of the row any more was for a due time that has been, and is dropped. So a due
 * time has effect at most once, whatever was sent twice.
 *
 * Invariants
 * 1. Of each due time at most one message is in the mailbox or runs: `fired` of its row.
 * 2. What the turn itself made of the reminder (set anew, cancelled) stands.
 *
 * Threads: the shard's own, but for troupe_schedule_next.
 */
#include "shard/durable.h"

#include "store/schedule.h"

#include <stdio.h>

#define AGAIN TROUPE_SECONDS(1) /* after a want of memory */

static tp_entry *find_due(const tp_durable *self, const tp_slip *slip)
{
    tp_entry *entry = tp_rows_find(self, TROUPE_ROW_REMINDER, slip->once);
    bool is_it = entry != NULL && !entry->retired &&
                 entry->row.reminder.number == slip->number.version &&
                 entry->row.reminder.due == slip->expires;
    return is_it ? entry : NULL;
}

/* What comes after a due time that fires at `wall`. A schedule that cannot be read, of another
 * version, is over. */
static tp_schedule_step step_of(const tp_row_reminder *row, uint64_t wall)
{
    tp_timetable schedule;
    if (tp_schedule_parse(row->schedule, row->set, &schedule, NULL, 0) != TROUPE_OK)
        return (tp_schedule_step){.more = false};
    return tp_schedule_catch_up(&schedule, row->number, row->due, wall);
}

/* ---- firing ---------------------------------------------------------------------------------- */

static tp_message *make(
    tp_shard *shard, tp_activation *actor, const tp_entry *entry, int32_t method)
{
    const tp_row_reminder *row = &entry->row.reminder;
    const tp_slip slip = {.flags = TP_SLIP_REMIND,
        .number = {.version = row->number},
        .expires = row->due,
        .once = entry->key};
    char content[UINT8_MAX + 1];
    size_t size = row->content_type.size <= UINT8_MAX ? row->content_type.size : 0;
    if (size != 0)
        memcpy(content, row->content_type.data, size);
    content[size] = 0;
    const tp_message_head head = {.kind = TP_TELL,
        .deadline = TP_NEVER,
        .type = actor->type,
        .hash = actor->hash,
        .method = (uint16_t)method,
        .from_shard = (uint16_t)shard->number};
    const tp_message_parts parts = {.key = tp_activation_key(actor),
        .partition = tp_activation_partition(actor),
        .method = method == TP_METHOD_OTHER ? row->method : (troupe_slice){NULL, 0},
        .content_type = size != 0 ? content : NULL,
        .payload = row->payload,
        .slip = &slip};
    return tp_message_make_here(&shard->pool, &parts, &head);
}

/* Its method is gone: what was due is passed over. */
static void pass_over(tp_shard *shard, tp_durable *self, tp_entry *entry, uint64_t wall)
{
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "reminder_without_method",
        TP_FIELDS(tp_field_text("type", self->actor->type->name),
            tp_field_text("key", tp_activation_key(self->actor)),
            tp_field_text("reminder", entry->key),
            tp_field_text("method", entry->row.reminder.method)),
        "a reminder was due whose method the type does not have any more; it is passed over");
    entry->fired = true;
    tp_schedule_step step = step_of(&entry->row.reminder, wall);
    if (!step.more) {
        tp_rows_retire(shard, self, entry);
        return;
    }
    tp_row row = entry->row;
    row.reminder.number = step.number;
    row.reminder.due = step.due;
    tp_rows_add(shard, self, &row, entry->key);
}

/* False: no memory. */
static bool fire(tp_shard *shard, tp_durable *self, tp_entry *entry, uint64_t wall)
{
    tp_activation *actor = self->actor;
    int32_t method = tp_type_method(actor->type, entry->row.reminder.method);
    if (method < 0) {
        pass_over(shard, self, entry, wall);
        return true;
    }
    tp_message *message = make(shard, actor, entry, method);
    if (message == NULL) {
        tp_count(&shard->counters.no_memory);
        return false;
    }
    entry->fired = true;
    TP_MARK(shard, "reminder fires");
    tp_accept_at(shard, actor, message);
    return true;
}

static void come(tp_shard *shard, tp_moment *moment)
{
    tp_durable *self = TP_CONTAINER(moment, tp_beside, remind)->owner;
    if (atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) != TP_OPEN)
        return; /* the next run of the node finds it */
    uint64_t wall = shard->env->wall(shard->env);
    for (tp_entry *entry = tp_rows_first(self, TROUPE_ROW_REMINDER); entry != NULL;
         entry = tp_rows_next(self, entry)) {
        if (entry->fired || entry->retired || entry->row.reminder.due > wall)
            continue;
        if (!fire(shard, self, entry, wall)) {
            tp_moment_set(shard, moment, wall + AGAIN, come);
            return;
        }
    }
    tp_reminders_arm(shard, self);
}

void tp_reminders_arm(tp_shard *shard, tp_durable *self)
{
    uint64_t due = 0;
    if (self->beside == NULL)
        return;
    for (const tp_entry *entry = tp_rows_first(self, TROUPE_ROW_REMINDER); entry != NULL;
         entry = tp_rows_next(self, entry))
        if (!entry->fired && !entry->retired && (due == 0 || entry->row.reminder.due < due))
            due = entry->row.reminder.due;
    if (due != 0)
        tp_moment_set(shard, &self->beside->remind, due, come);
    else
        tp_moment_cancel(shard, &self->beside->remind);
}

/* ---- its turn -------------------------------------------------------------------------------- */

static bool is_running(const tp_activation *actor, const tp_slip *slip)
{
    for (const troupe_turn *turn = actor->turns; turn != NULL; turn = turn->next) {
        const tp_slip *other = turn->message != NULL ? tp_message_slip(turn->message) : NULL;
        if (other != NULL && (other->flags & TP_SLIP_REMIND) &&
            troupe_slice_equal(other->once, slip->once) && other->expires == slip->expires)
            return true;
    }
    return false;
}

bool tp_reminder_begins(
    tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip)
{
    tp_durable *self = tp_durable_of(actor);
    tp_entry *entry = find_due(self, slip);
    if (entry == NULL || is_running(actor, slip)) {
        TP_MARK(shard, "reminder was consumed or set anew");
        tp_pool_give(&shard->pool, message);
        return false;
    }
    uint64_t wall = shard->env->wall(shard->env);
    if (entry->row.reminder.due > wall) { /* it fired by a clock that is ahead of this one */
        entry->fired = false;
        tp_reminders_arm(shard, self);
        tp_pool_give(&shard->pool, message);
        return false;
    }
    tp_schedule_step step = step_of(&entry->row.reminder, wall);
    tp_slip *own = (tp_slip *)(uintptr_t)slip; /* the message is ours now */
    if (TP_MUTANT(shard, TP_MUTANT_RING_EACH))
        step.missed = 0;
    if (step.missed != 0)
        TP_MARK(shard, "reminders missed");
    own->remind.missed = step.missed;
    own->remind.more = step.more;
    own->remind.number = step.number;
    own->remind.due = step.due;
    if (!entry->fired) { /* it outlived the activation that it was made for */
        entry->fired = true;
        tp_reminders_arm(shard, self);
    }
    return true;
}

/* The last thing that the turn has staged of a reminder; NULL: nothing. */
static const tp_entry *staged_of(const troupe_turn *turn, troupe_slice name)
{
    const tp_entry *found = NULL;
    for (const tp_fifo_node *node = turn->changes.head; node != NULL; node = node->next) {
        const tp_entry *entry = TP_CONTAINER(node, const tp_entry, node);
        if (entry->kind == TROUPE_ROW_REMINDER && troupe_slice_equal(entry->key, name))
            found = entry;
    }
    return found;
}

troupe_status tp_reminder_ends(troupe_turn *turn, const tp_slip *slip)
{
    const tp_entry *entry = find_due(tp_durable_of(turn->actor), slip);
    if (entry == NULL || staged_of(turn, slip->once) != NULL ||
        TP_MUTANT(turn->shard, TP_MUTANT_RING_TWICE))
        return TROUPE_OK; /* the turn itself has set it anew, or cancelled it */
    if (!slip->remind.more)
        return tp_rows_remove(turn, TROUPE_ROW_REMINDER, slip->once);
    tp_row row = entry->row;
    row.reminder.number = slip->remind.number;
    row.reminder.due = slip->remind.due;
    return tp_rows_put(turn, &row, slip->once);
}

void tp_reminder_over(troupe_turn *turn, const tp_slip *slip)
{
    tp_shard *shard = turn->shard;
    tp_durable *self = tp_durable_of(turn->actor);
    tp_count(&shard->counters.reminders);
    tp_cell_add(&shard->counters.reminders_missed, slip->remind.missed);
    tp_entry *entry = self != NULL ? find_due(self, slip) : NULL;
    if (entry == NULL)
        return;
    entry->fired = false; /* there was no memory for saying that it has been: it comes again */
    tp_moment_set(shard, &self->beside->remind, shard->env->wall(shard->env) + AGAIN, come);
}

/* ---- in a turn ------------------------------------------------------------------------------- */

static troupe_status refuse(troupe_turn *turn, const char *name, const char *words)
{
    TP_LOG(turn->shard->shared->log, TROUPE_LOG_WARN, "reminder_refused",
        TP_FIELDS(tp_field_text("type", turn->actor->type->name),
            tp_field_text("key", tp_activation_key(turn->actor)),
            tp_field_string("reminder", name != NULL ? name : "")),
        "%s", words);
    return TROUPE_USAGE;
}

static troupe_status check(troupe_turn *turn, const char *name)
{
    if (!turn->actor->type->commits || tp_durable_of(turn->actor) == NULL)
        return refuse(turn, name, TP_REMINDERS_NEED);
    if (turn->read_only || turn->kind == TP_TURN_DEACTIVATE)
        return refuse(turn, name, "read-only methods and on_deactivate cannot change reminders");
    return TROUPE_OK;
}

/* As the turn has left it; with `ret_row`, which may be NULL. */
static bool find(const troupe_turn *turn, troupe_slice name, tp_row *ret_row)
{
    const tp_durable *self = tp_durable_of(turn->actor);
    const tp_entry *staged = staged_of(turn, name);
    if (staged != NULL && staged->remove)
        return false;
    tp_row row;
    const tp_entry *entry = tp_rows_find(self, TROUPE_ROW_REMINDER, name);
    if (staged != NULL) {
        if (tp_row_decode(staged->kind, self->seed, staged->key, staged->value, &row, NULL) !=
            TROUPE_OK)
            return false;
    } else if (entry != NULL && !entry->retired) {
        row = entry->row;
    } else {
        return false;
    }
    if (ret_row != NULL)
        *ret_row = row;
    return true;
}

/* Calls for each name once. */
static void each(const troupe_turn *turn,
    void (*visit)(void *user, troupe_slice name, const tp_row_reminder *row), void *user)
{
    const tp_durable *self = tp_durable_of(turn->actor);
    tp_row row;
    for (const tp_entry *entry = tp_rows_first(self, TROUPE_ROW_REMINDER); entry != NULL;
         entry = tp_rows_next(self, entry))
        if (find(turn, entry->key, &row))
            visit(user, entry->key, &row.reminder);
    for (const tp_fifo_node *node = turn->changes.head; node != NULL; node = node->next) {
        const tp_entry *entry = TP_CONTAINER(node, const tp_entry, node);
        if (entry->kind == TROUPE_ROW_REMINDER && staged_of(turn, entry->key) == entry &&
            tp_rows_find(self, TROUPE_ROW_REMINDER, entry->key) == NULL &&
            find(turn, entry->key, &row))
            visit(user, entry->key, &row.reminder);
    }
}

static void count_one(void *user, troupe_slice name, const tp_row_reminder *row)
{
    (void)name;
    (void)row;
    ++*(uint32_t *)user;
}

/* What is stored and what the turn has staged; the same name may count twice. */
static uint32_t count_most(const troupe_turn *turn)
{
    const tp_durable *self = tp_durable_of(turn->actor);
    uint32_t count = 0;
    for (const tp_entry *entry = tp_rows_first(self, TROUPE_ROW_REMINDER); entry != NULL;
         entry = tp_rows_next(self, entry))
        count++;
    for (const tp_fifo_node *node = turn->changes.head; node != NULL; node = node->next)
        count += TP_CONTAINER(node, const tp_entry, node)->kind == TROUPE_ROW_REMINDER;
    return count;
}

/* To count exactly takes the square of how many there are: only when it may matter. */
static bool has_room(const troupe_turn *turn, troupe_slice name)
{
    uint32_t limit = TP_LIVE_GET(turn->shard->shared->options.reminders_limit), count = 0;
    if (count_most(turn) < limit)
        return true;
    each(turn, count_one, &count);
    return count < limit || find(turn, name, NULL);
}

static troupe_status first_due(
    troupe_slice text, uint64_t set, uint64_t *ret_due, char *words, size_t words_size)
{
    tp_timetable schedule;
    TROUPE_TRY(tp_schedule_parse(text, set, &schedule, words, words_size));
    if (tp_schedule_next(&schedule, set, ret_due))
        return TROUPE_OK;
    *ret_due = schedule.start;
    (void)snprintf(words, words_size, "its schedule is never due again");
    return schedule.kind == TP_SCHEDULE_ONCE ? TROUPE_OK : TROUPE_USAGE;
}

troupe_status tp_reminder_set(troupe_turn *turn, troupe_slice name, const tp_row_reminder *wanted,
    char *words, size_t words_size)
{
    tp_shard *shard = turn->shard;
    tp_row row = {.kind = TROUPE_ROW_REMINDER, .reminder = *wanted};
    if (name.size == 0 || name.size > TP_ROW_REMINDER_MAX) {
        (void)snprintf(words, words_size, "the name of a reminder is 1 to 128 bytes");
        return TROUPE_USAGE;
    }
    TROUPE_TRY(first_due(wanted->schedule, wanted->set, &row.reminder.due, words, words_size));
    if (wanted->payload.size > shard->shared->options.max_message) {
        tp_count(&shard->counters.too_large);
        return TROUPE_TOO_LARGE;
    }
    if (!has_room(turn, name)) {
        tp_count(&shard->counters.busy_reminders);
        return TROUPE_BUSY;
    }
    return tp_rows_put(turn, &row, name);
}

troupe_status troupe_remind(troupe_turn *turn, const char *name, const char *schedule,
    const char *method, troupe_slice payload, const troupe_call_options *options)
{
    tp_shard *shard = turn->shard;
    char words[160] = "";
    TROUPE_TRY(check(turn, name));
    if (!tp_call_options_are_sound(options))
        return refuse(turn, name, "its options are not begun with TROUPE_CALL_OPTIONS");
    if (tp_type_method(turn->actor->type, troupe_str(method)) < 0)
        return TROUPE_NO_METHOD;
    const char *content = options != NULL ? options->content_type : NULL;
    const tp_row_reminder wanted = {.number = 1,
        .set = shard->env->wall(shard->env),
        .schedule = troupe_str(schedule),
        .method = troupe_str(method),
        .content_type = troupe_str(content),
        .payload = payload};
    troupe_status status = tp_reminder_set(turn, troupe_str(name), &wanted, words, sizeof words);
    return status == TROUPE_USAGE ? refuse(turn, name, words) : status;
}

troupe_status troupe_remind_cancel(troupe_turn *turn, const char *name)
{
    TROUPE_TRY(check(turn, name));
    if (!find(turn, troupe_str(name), NULL))
        return TROUPE_NOT_FOUND;
    return tp_rows_remove(turn, TROUPE_ROW_REMINDER, troupe_str(name));
}

typedef struct visitor {
    troupe_reminder_visit *visit;
    void *user;
} visitor;

static void show(void *user, troupe_slice name, const tp_row_reminder *row)
{
    const visitor *to = user;
    const troupe_reminder reminder = {.name = name,
        .schedule = row->schedule,
        .method = row->method,
        .due = row->due,
        .number = row->number,
        .content_type = row->content_type,
        .payload = row->payload};
    to->visit(to->user, &reminder);
}

void troupe_reminders_each(troupe_turn *turn, troupe_reminder_visit *visit, void *user)
{
    visitor to = {visit, user};
    if (turn->actor->type->commits && tp_durable_of(turn->actor) != NULL)
        each(turn, show, &to);
}

bool troupe_turn_reminder(const troupe_turn *turn, troupe_reminder *ret_reminder)
{
    const tp_slip *slip = turn->message != NULL ? tp_message_slip(turn->message) : NULL;
    if (slip == NULL || !(slip->flags & TP_SLIP_REMIND))
        return false;
    *ret_reminder = (troupe_reminder){.name = slip->once,
        .method = troupe_turn_method(turn),
        .due = slip->expires,
        .number = slip->number.version,
        .missed = slip->remind.missed};
    return true;
}

troupe_status troupe_schedule_next(const char *text, uint64_t set, uint64_t after,
    uint64_t *ret_due, char *error, size_t error_size)
{
    tp_timetable schedule;
    TROUPE_TRY(tp_schedule_parse(troupe_str(text), set, &schedule, error, error_size));
    return tp_schedule_next(&schedule, after, ret_due) ? TROUPE_OK : TROUPE_NOT_FOUND;
}
