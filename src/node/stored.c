/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is stored of actors (<troupe/stored.h>): reads by operations of the store's port, changes by
 * errands, which are turns of the actor (shard/errand.c). Only where the actor cannot be activated,
 * because its stored state is damaged, a change is a commit made here; the version that it names
 * keeps it from overtaking anybody.
 *
 * Threads: any that is not the node's; what the gateway calls (node.h) any.
 */
#include "node/node.h"

#include "base/alloc.h"
#include "base/id.h"
#include "schema/schema.h"
#include "store/record.h"
#include "store/rows.h"
#include <troupe/stored.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct words {
    char *text;
    size_t size;
} words;

static troupe_status say(words out, troupe_status status, const char *format, ...)
    TROUPE_PRINTF(3, 4);

static troupe_status say(words out, troupe_status status, const char *format, ...)
{
    if (out.text == NULL || out.size == 0)
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out.text, out.size, format, arguments);
    va_end(arguments);
    return status;
}

static troupe_status may_wait(troupe_node *node, words out)
{
    if (out.text != NULL && out.size != 0)
        out.text[0] = 0;
    if (node->env->is_runner(node->env))
        return say(out, TROUPE_USAGE, "not in a turn or a callback: it waits for the store");
    return TROUPE_OK;
}

static troupe_status find_type(
    troupe_node *node, troupe_slice name, const tp_type **ret_type, words out)
{
    const tp_type *type = tp_types_find(&node->shared.types, name);
    if (type == NULL)
        return say(out, TROUPE_NO_TYPE, "this node has no actor type \"%.*s\"", TROUPE_ARG(name));
    if (type->is.persist == TROUPE_PERSIST_NONE)
        return say(out, TROUPE_USAGE,
            "the type \"%.*s\" is not persistent: nothing of it is stored", TROUPE_ARG(name));
    *ret_type = type;
    return TROUPE_OK;
}

static troupe_status judge_id(troupe_node *node, troupe_id id, const tp_type **ret_type, words out)
{
    TROUPE_TRY(find_type(node, id.type, ret_type, out));
    if (id.key.size - 1 >= TP_KEY_MAX ||
        (id.partition.size != 0 && !tp_name_is_valid(id.partition)))
        return say(out, TROUPE_USAGE, "it is no id: write type/key, or type@partition/key");
    return TROUPE_OK;
}

static troupe_status check_id(troupe_node *node, troupe_id id, const tp_type **ret_type, words out)
{
    TROUPE_TRY(may_wait(node, out));
    return judge_id(node, id, ret_type, out);
}

/* What became of an operation. One that failed may have left items behind. */
static troupe_status judge_op(troupe_store_op *op, words out)
{
    if (op->status == TROUPE_OK)
        return TROUPE_OK;
    troupe_store_release(op);
    return say(out, op->status, "the store: %s", troupe_status_text(op->status));
}

static troupe_status run(troupe_node *node, troupe_store_op *op, words out)
{
    op->allocator = node->shared.allocator;
    op->status = tp_storage_call(node->storage, op);
    return judge_op(op, out);
}

troupe_status troupe_stored_health(
    troupe_node *node, bool thorough, const char **ret_promises, char *error, size_t error_size)
{
    words out = {error, error_size};
    TROUPE_TRY(may_wait(node, out));
    if (ret_promises != NULL)
        *ret_promises = tp_storage_promises(node->storage);
    troupe_store_op op = {
        .kind = TROUPE_STORE_HEALTH, .keep = thorough, .allocator = node->shared.allocator};
    troupe_status status = tp_storage_call(node->storage, &op);
    if (status != TROUPE_OK && op.items != NULL)
        status = say(out, status, "%.*s", TROUPE_ARG(op.items->value));
    else if (status != TROUPE_OK)
        status = say(out, status, "the store: %s", troupe_status_text(status));
    troupe_store_release(&op);
    return status;
}

/* ---- reads ---------------------------------------------------------------------------------- */

/* The state as JSON, by the type's table; else a note. NO_MEMORY: it is not known what it is. */
static troupe_status describe(const troupe_schema *schema, const troupe_allocator *allocator,
    troupe_stored *stored, troupe_buffer *json, words note)
{
    void *value = tp_allocate_zeroed(allocator, schema->size);
    if (value == NULL)
        return TROUPE_NO_MEMORY;
    troupe_status status = tp_schema_load(schema, stored->state, value, NULL, note.text, note.size);
    if (status == TROUPE_OK) {
        status = troupe_schema_to_json(schema, value, json, note.text, note.size);
        troupe_schema_free(schema, value, NULL);
    }
    tp_release(allocator, value, schema->size);
    if (status == TROUPE_OK)
        stored->json = troupe_buffer_slice(json);
    else
        stored->note = troupe_str(note.text[0] != 0 ? note.text : troupe_status_text(status));
    return status == TROUPE_NO_MEMORY ? status : TROUPE_OK;
}

/* Opens what the store has, and shows it. NO_MEMORY: it is not shown. */
static troupe_status show(troupe_node *node, const tp_type *type, troupe_stored *stored,
    const troupe_store_item *item, troupe_stored_visit *visit, void *user)
{
    char note[256] = "";
    const char *reason = NULL;
    const troupe_allocator *allocator = node->shared.allocator;
    troupe_buffer json = {allocator, NULL, 0, 0};
    troupe_status status = TROUPE_OK;
    if (item != NULL) {
        stored->has_state = true;
        stored->time = item->time;
        if (tp_record_open(item->value, tp_record_seed(stored->id), &stored->state, &reason) !=
            TROUPE_OK)
            stored->note = troupe_str(reason);
        else if (type->is.schema != NULL)
            status =
                describe(type->is.schema, allocator, stored, &json, (words){note, sizeof note});
    }
    if (status == TROUPE_OK)
        visit(user, stored);
    troupe_buffer_deinit(&json);
    return status;
}

static void count_row(troupe_stored *stored, uint32_t kind, troupe_slice key)
{
    stored->once += kind == TROUPE_ROW_ONCE;
    stored->outbox += kind == TROUPE_ROW_OUTBOX;
    stored->senders += kind == TROUPE_ROW_SENDER && !tp_row_is_forgot(kind, key);
    stored->reminders += kind == TROUPE_ROW_REMINDER;
    stored->dead += kind == TROUPE_ROW_DEAD;
}

/* What was loaded; its items are given back. */
static troupe_status show_loaded(troupe_node *node, troupe_store_op *op, const tp_type *type,
    troupe_stored_visit *visit, void *user, words out)
{
    troupe_stored stored = {.id = op->id, .version = op->found, .wake = op->wake};
    const troupe_store_item *state = NULL;
    for (const troupe_store_item *item = op->items; item != NULL; item = item->next) {
        if (item->kind == TROUPE_ROW_STATE)
            state = item;
        count_row(&stored, item->kind, item->key);
    }
    troupe_status status = TROUPE_NOT_FOUND;
    if (op->items != NULL)
        status = show(node, type, &stored, state, visit, user);
    troupe_store_release(op);
    if (status == TROUPE_NOT_FOUND)
        return say(
            out, status, "nothing is stored of it%s", stored.version != 0 ? " any more" : "");
    return status == TROUPE_OK ? status : say(out, status, "no memory to read it");
}

troupe_status troupe_stored_look(troupe_node *node, troupe_id id, troupe_stored_visit *visit,
    void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD, .id = id};
    TROUPE_TRY(run(node, &op, out));
    return show_loaded(node, &op, type, visit, user, out);
}

troupe_status tp_stored_check(troupe_node *node, troupe_id id, char *error, size_t error_size)
{
    const tp_type *type;
    return judge_id(node, id, &type, (words){error, error_size});
}

troupe_status tp_stored_load(
    troupe_node *node, troupe_id id, troupe_store_op *op, char *error, size_t error_size)
{
    tp_store_port *store = node->shared.store;
    TROUPE_TRY(tp_stored_check(node, id, error, error_size));
    op->kind = TROUPE_STORE_LOAD;
    op->id = id;
    op->allocator = node->shared.allocator;
    op->next = NULL;
    store->submit(store, op);
    return TROUPE_OK;
}

troupe_status tp_stored_show(troupe_node *node, troupe_store_op *op, troupe_stored_visit *visit,
    void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    TROUPE_TRY(judge_op(op, out));
    TROUPE_TRY(judge_id(node, op->id, &type, out)); /* it was loaded: no failure */
    return show_loaded(node, op, type, visit, user, out);
}

troupe_status troupe_stored_each(troupe_node *node, const char *type_name, troupe_slice after,
    size_t limit, troupe_stored_visit *visit, void *user, bool *ret_more, char *error,
    size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type = NULL;
    TROUPE_TRY(may_wait(node, out));
    TROUPE_TRY(find_type(node, troupe_str(type_name), &type, out));
    troupe_store_op op = {
        .kind = TROUPE_STORE_LIST_IDS, .type = type->name, .after = after, .limit = limit};
    TROUPE_TRY(run(node, &op, out));
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next) {
        troupe_stored stored = {.version = item->number, .time = item->time, .has_state = true};
        if (troupe_id_parse(item->key, &stored.id, NULL) == TROUPE_OK)
            visit(user, &stored);
    }
    if (ret_more != NULL)
        *ret_more = op.more;
    troupe_store_release(&op);
    return TROUPE_OK;
}

troupe_status troupe_stored_each_snapshot(troupe_node *node, troupe_id id, size_t limit,
    troupe_stored_visit *visit, void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_store_op op = {.kind = TROUPE_STORE_LIST_SNAPSHOTS, .id = id, .limit = limit};
    TROUPE_TRY(run(node, &op, out));
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next) {
        troupe_stored stored = {
            .id = id, .version = item->number, .time = item->time, .has_state = true};
        visit(user, &stored);
    }
    troupe_store_release(&op);
    return TROUPE_OK;
}

static troupe_status read_snapshot(
    troupe_node *node, troupe_id id, uint64_t version, troupe_store_op *op, words out)
{
    *op = (troupe_store_op){.kind = TROUPE_STORE_READ_SNAPSHOT, .id = id, .from = version};
    troupe_status status = run(node, op, out);
    if (status == TROUPE_NOT_FOUND || (status == TROUPE_OK && op->items == NULL))
        return say(out, TROUPE_NOT_FOUND, "it has no snapshot of version %" PRIu64, version);
    return status;
}

troupe_status troupe_stored_snapshot(troupe_node *node, troupe_id id, uint64_t version,
    troupe_stored_visit *visit, void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_store_op op;
    TROUPE_TRY(read_snapshot(node, id, version, &op, out));
    troupe_stored stored = {.id = id, .version = version};
    troupe_status status = show(node, type, &stored, op.items, visit, user);
    troupe_store_release(&op);
    return status == TROUPE_OK ? status : say(out, status, "no memory to read it");
}

/* ---- changes -------------------------------------------------------------------------------- */

/* A payload is "0 17", or a status and words. */
troupe_status tp_stored_outcome(const troupe_answer *answer, troupe_slice *ret_rest)
{
    const char *text = answer->payload.data;
    size_t at = 0;
    int status = 0;
    *ret_rest = answer->message;
    if (answer->status != TROUPE_OK)
        return answer->status;
    for (; at < answer->payload.size && at < 6 && text[at] >= '0' && text[at] <= '9'; at++)
        status = status * 10 + (text[at] - '0');
    *ret_rest = troupe_str("its answer cannot be read");
    if (at == 0 || at == answer->payload.size || text[at] != ' ')
        return TROUPE_UNKNOWN;
    *ret_rest = troupe_slice_of(text + at + 1, answer->payload.size - at - 1);
    return (troupe_status)status;
}

static troupe_status send(troupe_node *node, troupe_id id, tp_errand errand, troupe_slice payload,
    uint64_t timeout, uint64_t *ret_version, words out)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_slice rest;
    char number[24];
    answer.status = tp_node_errand(node, id, errand, payload, timeout, &answer);
    troupe_status status = tp_stored_outcome(&answer, &rest);
    snprintf(number, sizeof number, "%.*s", TROUPE_ARG(rest));
    if (status == TROUPE_OK)
        *ret_version = strtoull(number, NULL, 10);
    else
        status = say(out, status, "%.*s", TROUPE_ARG(rest));
    troupe_answer_release(&answer);
    return status;
}

/* Of an actor whose stored state is damaged, so that it cannot be active. */
static troupe_status replace_here(troupe_node *node, troupe_id id, bool erase, troupe_slice record,
    uint64_t *ret_version, words out)
{
    troupe_store_op load = {.kind = TROUPE_STORE_LOAD, .id = id};
    TROUPE_TRY(run(node, &load, out));
    uint64_t version = load.found, wake = load.wake;
    troupe_store_release(&load);
    troupe_store_op op = {.kind = TROUPE_STORE_COMMIT,
        .id = id,
        .writer = node->shared.store->writer,
        .version = version,
        .commit = {.erase = erase,
            .has_state = !erase,
            .state = record,
            .wake = erase ? 0 : wake,
            .time = node->env->wall(node->env)}};
    TROUPE_TRY(run(node, &op, out));
    *ret_version = version + 1;
    return TROUPE_OK;
}

troupe_status troupe_stored_restore(troupe_node *node, troupe_id id, uint64_t version,
    uint64_t timeout, uint64_t *ret_version, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    uint64_t made = 0;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_store_op op;
    TROUPE_TRY(read_snapshot(node, id, version, &op, out));
    troupe_slice bytes;
    const char *reason;
    troupe_slice record = op.items->value;
    troupe_status status = tp_record_open(record, tp_record_seed(id), &bytes, &reason);
    if (status != TROUPE_OK) {
        status = say(out, status, "the snapshot is damaged: %s", reason);
    } else {
        status = send(node, id, TP_ERRAND_RESTORE, bytes, timeout, &made, out);
        if (status == TROUPE_CORRUPT)
            status = replace_here(node, id, false, record, &made, out);
    }
    troupe_store_release(&op);
    if (status == TROUPE_OK && ret_version != NULL)
        *ret_version = made;
    return status;
}

static void ignore(void *user, const troupe_stored *stored)
{
    (void)user;
    (void)stored;
}

troupe_status troupe_stored_delete(
    troupe_node *node, troupe_id id, uint64_t timeout, char *error, size_t error_size)
{
    words out = {error, error_size};
    uint64_t made = 0;
    TROUPE_TRY(troupe_stored_look(node, id, ignore, NULL, error, error_size));
    troupe_status status =
        send(node, id, TP_ERRAND_DELETE, (troupe_slice){NULL, 0}, timeout, &made, out);
    if (status == TROUPE_CORRUPT)
        status = replace_here(node, id, true, (troupe_slice){NULL, 0}, &made, out);
    return status;
}

/* ---- dead letters --------------------------------------------------------------------------- */

static void show_dead(
    const tp_row_dead *dead, tp_row_number number, troupe_dead_letter_visit *visit, void *user)
{
    const tp_row_outbox *message = &dead->message;
    troupe_dead_letter letter = {.target = message->target,
        .method = message->method,
        .content_type = message->content_type,
        .payload = message->payload,
        .reason = dead->reason,
        .words = dead->words,
        .created = message->created,
        .moved = dead->moved};
    snprintf(
        letter.number, sizeof letter.number, "%" PRIu64 ".%" PRIu32, number.version, number.index);
    visit(user, &letter);
}

static bool comes_after(const troupe_store_item *item, troupe_slice last)
{
    return item->kind == TROUPE_ROW_DEAD && item->key.size == TP_ROW_NUMBER_BYTES &&
           (last.size == 0 || memcmp(item->key.data, last.data, TP_ROW_NUMBER_BYTES) > 0);
}

/* Stores list rows in any order: the one with the least key above `last`. */
static const troupe_store_item *next_dead(const troupe_store_op *op, troupe_slice last)
{
    const troupe_store_item *next = NULL;
    for (const troupe_store_item *item = op->items; item != NULL; item = item->next)
        if (comes_after(item, last) &&
            (next == NULL || memcmp(item->key.data, next->key.data, TP_ROW_NUMBER_BYTES) < 0))
            next = item;
    return next;
}

troupe_status troupe_stored_each_dead(troupe_node *node, troupe_id id,
    troupe_dead_letter_visit *visit, void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD, .id = id};
    TROUPE_TRY(run(node, &op, out));
    troupe_status status = TROUPE_OK;
    troupe_slice last = {NULL, 0};
    for (const troupe_store_item *item = next_dead(&op, last); item != NULL && status == TROUPE_OK;
         item = next_dead(&op, last)) {
        tp_row row;
        tp_row_number number;
        const char *reason = NULL;
        last = item->key;
        status = tp_row_decode(
            TROUPE_ROW_DEAD, tp_record_seed(id), item->key, item->value, &row, &reason);
        if (status == TROUPE_OK)
            status = tp_row_number_of(item->key, &number);
        if (status == TROUPE_OK)
            show_dead(&row.dead, number, visit, user);
        else
            status = say(out, status, "a dead letter is damaged: %s", reason);
    }
    troupe_store_release(&op);
    return status;
}

static troupe_status change_dead(troupe_node *node, troupe_id id, tp_errand errand,
    const char *text, uint64_t timeout, words out)
{
    const tp_type *type;
    uint64_t made;
    TROUPE_TRY(check_id(node, id, &type, out));
    tp_row_number number;
    int end = 0;
    if (text == NULL ||
        sscanf(text, "%" SCNu64 ".%" SCNu32 "%n", &number.version, &number.index, &end) != 2 ||
        text[end] != 0)
        return say(out, TROUPE_USAGE, "it is no number of a dead letter: those look like 12.0");
    char key[TP_ROW_NUMBER_BYTES];
    tp_row_number_key(number, key);
    return send(node, id, errand, (troupe_slice){key, sizeof key}, timeout, &made, out);
}

troupe_status troupe_stored_replay(troupe_node *node, troupe_id id, const char *number,
    uint64_t timeout, char *error, size_t error_size)
{
    return change_dead(node, id, TP_ERRAND_REPLAY, number, timeout, (words){error, error_size});
}

troupe_status troupe_stored_drop(troupe_node *node, troupe_id id, const char *number,
    uint64_t timeout, char *error, size_t error_size)
{
    return change_dead(node, id, TP_ERRAND_DROP, number, timeout, (words){error, error_size});
}

/* ---- reminders ------------------------------------------------------------------------------ */

typedef struct listed {
    const troupe_store_item *item;
    tp_row_reminder row;
} listed;

/* By due time, then by name. */
static bool is_before(const listed *one, const listed *other)
{
    if (one->row.due != other->row.due)
        return one->row.due < other->row.due;
    troupe_slice a = one->item->key, b = other->item->key;
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order < 0 : a.size < b.size;
}

/* The first behind `last` (its item NULL: the first of all). False: there is none, or its row is
 * damaged (`*ret_status`). Stores list rows in any order. */
static bool next_reminder(const troupe_store_op *op, const listed *last, listed *ret,
    troupe_status *ret_status, const char **ret_reason)
{
    ret->item = NULL;
    for (const troupe_store_item *item = op->items; item != NULL; item = item->next) {
        if (item->kind != TROUPE_ROW_REMINDER)
            continue;
        tp_row row;
        *ret_status = tp_row_decode(
            TROUPE_ROW_REMINDER, tp_record_seed(op->id), item->key, item->value, &row, ret_reason);
        if (*ret_status != TROUPE_OK)
            return false;
        listed one = {item, row.reminder};
        if ((last->item == NULL || is_before(last, &one)) &&
            (ret->item == NULL || is_before(&one, ret)))
            *ret = one;
    }
    return ret->item != NULL;
}

/* Of what was loaded; its items are given back. */
static troupe_status show_reminders(
    troupe_store_op *op, troupe_reminder_visit *visit, void *user, words out)
{
    troupe_status status = TROUPE_OK;
    const char *reason = "";
    listed last = {.item = NULL}, next;
    while (next_reminder(op, &last, &next, &status, &reason)) {
        const troupe_reminder reminder = {.name = next.item->key,
            .schedule = next.row.schedule,
            .method = next.row.method,
            .due = next.row.due,
            .number = next.row.number,
            .content_type = next.row.content_type,
            .payload = next.row.payload};
        visit(user, &reminder);
        last = next;
    }
    if (status != TROUPE_OK)
        status = say(out, status, "a reminder is damaged: %s", reason);
    troupe_store_release(op);
    return status;
}

troupe_status troupe_stored_each_reminder(troupe_node *node, troupe_id id,
    troupe_reminder_visit *visit, void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD, .id = id};
    TROUPE_TRY(run(node, &op, out));
    return show_reminders(&op, visit, user, out);
}

troupe_status tp_stored_show_reminders(
    troupe_store_op *op, troupe_reminder_visit *visit, void *user, char *error, size_t error_size)
{
    words out = {error, error_size};
    TROUPE_TRY(judge_op(op, out));
    return show_reminders(op, visit, user, out);
}

troupe_status troupe_stored_cancel(troupe_node *node, troupe_id id, const char *name,
    uint64_t timeout, char *error, size_t error_size)
{
    words out = {error, error_size};
    const tp_type *type;
    uint64_t made;
    TROUPE_TRY(check_id(node, id, &type, out));
    troupe_slice key = troupe_str(name);
    if (key.size == 0 || key.size > TP_ROW_REMINDER_MAX)
        return say(
            out, TROUPE_USAGE, "the name of a reminder is 1 to %d bytes", TP_ROW_REMINDER_MAX);
    return send(node, id, TP_ERRAND_CANCEL, key, timeout, &made, out);
}
