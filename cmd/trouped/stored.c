/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about what is stored of actors. They wait for the store, so they have a worker of their
 * own: a store that is slow, or away, holds up no look into the node. Once asks are cancelled,
 * those that wait are not begun. Invariants and threads: server_inside.h; a visit comes on the
 * thread that asked.
 */
#include "trouped/server_inside.h"

#include <stdio.h>
#include <troupe/stored.h>

bool stored_takes(admin_verb verb)
{
    switch (verb) {
    case ADMIN_VERB_STORE:
    case ADMIN_VERB_STATE:
    case ADMIN_VERB_STORED:
    case ADMIN_VERB_SNAPSHOTS:
    case ADMIN_VERB_SNAPSHOT:
    case ADMIN_VERB_RESTORE:
    case ADMIN_VERB_DELETE:
    case ADMIN_VERB_DEAD:
    case ADMIN_VERB_REPLAY:
    case ADMIN_VERB_DROP:
    case ADMIN_VERB_REMINDERS:
    case ADMIN_VERB_CANCEL:
        return true;
    default:
        return false;
    }
}

typedef struct stored_list {
    cmd_bytes *out;
    size_t count;
    size_t limit; /* 0: none */
    bool has_ids;
} stored_list;

static void add_stored(void *user, const troupe_stored *stored)
{
    stored_list *list = user;
    cmd_bytes *out = list->out;
    if (list->count++ >= list->limit) return;
    cmd_bytes_printf(out, "%s{\"stored\":true", list->count > 1 ? "," : "");
    if (list->has_ids) admin_write_id(out, "actor", stored->id);
    admin_write_number(out, "version", stored->version);
    admin_write_number(out, "time_unix_ns", stored->time);
    cmd_bytes_text(out, "}");
}

static void write_state(void *user, const troupe_stored *stored)
{
    cmd_bytes *out = user;
    admin_write_id(out, "actor", stored->id);
    admin_write_number(out, "version", stored->version);
    admin_write_number(out, "time_unix_ns", stored->time);
    admin_write_number(out, "wake_unix_ns", stored->wake);
    cmd_bytes_printf(out,
                     ",\"rows\":{\"once\":%u,\"outbox\":%u,\"senders\":%u,\"reminders\":%u,"
                     "\"dead\":%u}",
                     stored->once, stored->outbox, stored->senders, stored->reminders,
                     stored->dead);
    admin_write_number(out, "state_bytes", stored->state.size);
    if (stored->note.size > 0) admin_write_text(out, "note", stored->note);
    if (stored->json.size > 0) {
        cmd_bytes_text(out, ",\"state\":");
        cmd_bytes_add(out, stored->json.data, stored->json.size);
    } else if (stored->has_state && stored->state.size > 0) {
        cmd_bytes_text(out, ",\"state_base64\":\"");
        cmd_bytes_base64(out, stored->state);
        cmd_bytes_text(out, "\"");
    }
}

static void add_letter(void *user, const troupe_dead_letter *letter)
{
    stored_list *list = user;
    cmd_bytes *out = list->out;
    cmd_bytes_printf(out, "%s{\"number\":\"%s\"", list->count++ > 0 ? "," : "", letter->number);
    admin_write_id(out, "target", letter->target);
    admin_write_text(out, "method", letter->method);
    admin_write_text(out, "reason", troupe_str(troupe_status_name(letter->reason)));
    admin_write_text(out, "message", letter->words);
    admin_write_number(out, "created_unix_ns", letter->created);
    admin_write_number(out, "moved_unix_ns", letter->moved);
    if (cmd_utf8_is_valid(letter->payload)) {
        admin_write_text(out, "payload_text", letter->payload);
    } else {
        cmd_bytes_text(out, ",\"payload_base64\":\"");
        cmd_bytes_base64(out, letter->payload);
        cmd_bytes_text(out, "\"");
    }
    cmd_bytes_text(out, "}");
}

/* A name that is no UTF-8 cannot be cancelled from here, and is shown as base64. */
static void add_reminder(void *user, const troupe_reminder *reminder)
{
    stored_list *list = user;
    cmd_bytes *out = list->out;
    cmd_bytes_printf(out, "%s{\"number\":%llu", list->count++ > 0 ? "," : "",
                     (unsigned long long)reminder->number);
    if (cmd_utf8_is_valid(reminder->name)) {
        admin_write_text(out, "name", reminder->name);
    } else {
        cmd_bytes_text(out, ",\"name_base64\":\"");
        cmd_bytes_base64(out, reminder->name);
        cmd_bytes_text(out, "\"");
    }
    admin_write_text(out, "schedule", reminder->schedule);
    admin_write_text(out, "method", reminder->method);
    admin_write_number(out, "due_unix_ns", reminder->due);
    cmd_bytes_text(out, "}");
}

/* A store that is not well is an answer, too. */
static troupe_status tell_health(daemon_call *call, troupe_node *node, char *error, size_t size)
{
    cmd_bytes *out = &call->out;
    const char *promises = "";
    troupe_status status =
        troupe_stored_health(node, call->request.is_check, &promises, error, size);
    admin_write_text(out, "promises", troupe_str(promises));
    cmd_bytes_printf(out, ",\"well\":%s", status == TROUPE_OK ? "true" : "false");
    if (status != TROUPE_OK) {
        admin_write_text(out, "status", troupe_str(troupe_status_name(status)));
        admin_write_text(out, "message", troupe_str(error));
    }
    return TROUPE_OK;
}

static troupe_status list_stored(daemon_call *call, troupe_node *node, char *error, size_t size)
{
    admin_request *request = &call->request;
    char type[129];
    bool has_more = false;
    stored_list list = {&call->out, 0, request->limit, true};
    snprintf(type, sizeof(type), "%.*s", TROUPE_ARG(request->type));
    request->actor.type = request->type; /* for the words */
    cmd_bytes_text(&call->out, ",\"actors\":[");
    TROUPE_TRY(troupe_stored_each(node, type, request->after, request->limit, add_stored, &list,
                                  &has_more, error, size));
    cmd_bytes_printf(&call->out, "],\"more\":%s", has_more ? "true" : "false");
    return TROUPE_OK;
}

static troupe_status list_snapshots(daemon_call *call, troupe_node *node, char *error, size_t size)
{
    const admin_request *request = &call->request;
    stored_list list = {&call->out, 0, request->limit, false};
    cmd_bytes_text(&call->out, ",\"snapshots\":[");
    TROUPE_TRY(troupe_stored_each_snapshot(node, request->actor, request->limit + 1, add_stored,
                                           &list, error, size));
    cmd_bytes_printf(&call->out, "],\"more\":%s", list.count > list.limit ? "true" : "false");
    return TROUPE_OK;
}

static troupe_status list_dead(daemon_call *call, troupe_node *node, char *error, size_t size)
{
    stored_list list = {.out = &call->out};
    cmd_bytes_text(&call->out, ",\"letters\":[");
    TROUPE_TRY(
        troupe_stored_each_dead(node, call->request.actor, add_letter, &list, error, size));
    cmd_bytes_text(&call->out, "]");
    return TROUPE_OK;
}

static troupe_status list_reminders(daemon_call *call, troupe_node *node, char *error,
                                    size_t size)
{
    stored_list list = {.out = &call->out};
    cmd_bytes_text(&call->out, ",\"reminders\":[");
    TROUPE_TRY(troupe_stored_each_reminder(node, call->request.actor, add_reminder, &list, error,
                                           size));
    cmd_bytes_text(&call->out, "]");
    return TROUPE_OK;
}

static troupe_status restore(daemon_call *call, troupe_node *node, char *error, size_t size)
{
    const admin_request *request = &call->request;
    uint64_t version = 0;
    TROUPE_TRY(troupe_stored_restore(node, request->actor, request->version, request->timeout,
                                     &version, error, size));
    admin_write_number(&call->out, "version", version);
    return TROUPE_OK;
}

static troupe_status dispatch(daemon_call *call, troupe_node *node, char *error, size_t size)
{
    const admin_request *request = &call->request;
    switch (request->verb) {
    case ADMIN_VERB_STORE:
        return tell_health(call, node, error, size);
    case ADMIN_VERB_STATE:
        return troupe_stored_look(node, request->actor, write_state, &call->out, error, size);
    case ADMIN_VERB_STORED:
        return list_stored(call, node, error, size);
    case ADMIN_VERB_SNAPSHOTS:
        return list_snapshots(call, node, error, size);
    case ADMIN_VERB_SNAPSHOT:
        return troupe_stored_snapshot(node, request->actor, request->version, write_state,
                                      &call->out, error, size);
    case ADMIN_VERB_RESTORE:
        return restore(call, node, error, size);
    case ADMIN_VERB_DELETE:
        return troupe_stored_delete(node, request->actor, request->timeout, error, size);
    case ADMIN_VERB_DEAD:
        return list_dead(call, node, error, size);
    case ADMIN_VERB_REPLAY:
        return troupe_stored_replay(node, request->actor, request->number, request->timeout, error,
                                    size);
    case ADMIN_VERB_REMINDERS:
        return list_reminders(call, node, error, size);
    case ADMIN_VERB_CANCEL:
        return troupe_stored_cancel(node, request->actor, request->name, request->timeout, error,
                                    size);
    default:
        return troupe_stored_drop(node, request->actor, request->number, request->timeout, error,
                                  size);
    }
}

void stored_run(worker_job *job)
{
    daemon_call *call = (daemon_call *)(void *)((char *)job - offsetof(daemon_call, job));
    char words[600] = "";
    admin_write_begin(&call->out, call->request.id);
    troupe_status status = TROUPE_CLOSED;
    if (atomic_load_explicit(&call->server->is_hurried, memory_order_relaxed)) {
        snprintf(words, sizeof(words), "the daemon is stopping: nothing was done");
    } else {
        status = dispatch(call, call->server->options.node, words, sizeof(words));
    }
    if (status == TROUPE_OK) {
        admin_write_end(&call->out);
    } else {
        if (status == TROUPE_NO_TYPE || words[0] == 0) {
            explain_status(call->server, &call->request, status, words, sizeof(words));
        }
        call->out.size = 0;
        admin_write_error(&call->out, call->request.id, status, troupe_status_outcome(status),
                          troupe_str(words));
    }
    server_done(call);
}
