/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a line to the node and back: what a request does. Asks and tells go to the node from here;
 * what waits goes to a worker, inspect.c or stored.c. Invariants and threads: server_inside.h.
 */
#include "trouped/server_inside.h"

#include <stdlib.h>
#include <unistd.h>

void call_destroy(daemon_call *call)
{
    admin_request_deinit(&call->request);
    cmd_bytes_deinit(&call->out);
    free(call->copy);
    free(call);
}

static void refuse(daemon_call *call, troupe_status status, const char *words)
{
    admin_write_error(&call->out, call->request.id, status, troupe_status_outcome(status),
                      troupe_str(words));
    server_deliver(call);
}

static void refuse_explained(daemon_call *call, troupe_status status)
{
    char words[600];
    explain_status(call->server, &call->request, status, words, sizeof(words));
    refuse(call, status, words);
}

static daemon_call *call_create(daemon_connection *connection)
{
    daemon_call *call = calloc(1, sizeof(*call));
    if (call == NULL) return NULL;
    memcpy(call->request.id, "null", 5);
    call->connection = connection;
    call->server = connection->server;
    connection->in_flight++;
    return call;
}

void call_refuse(daemon_connection *connection, troupe_status status, const char *words)
{
    daemon_call *call = call_create(connection);
    if (call != NULL) refuse(call, status, words);
}

/* ---- asks ---- */

static troupe_slice copy_slice(char **at, troupe_slice from)
{
    troupe_slice to = {*at, from.size};
    if (from.size > 0) memcpy(*at, from.data, from.size);
    *at += from.size;
    return to;
}

/* [shard] Copies and hands over; the answer is looked at by the loop. */
static void on_answer(void *user, const troupe_answer *answer)
{
    daemon_call *call = user;
    size_t size = answer->payload.size + answer->content_type.size + answer->message.size;
    call->is_answered = true;
    call->answer = (troupe_answer)TROUPE_ANSWER_INIT;
    call->answer.status = answer->status;
    call->answer.outcome = answer->outcome;
    call->copy = malloc(size + 1);
    if (call->copy != NULL) {
        char *at = call->copy;
        call->answer.payload = copy_slice(&at, answer->payload);
        call->answer.content_type = copy_slice(&at, answer->content_type);
        call->answer.message = copy_slice(&at, answer->message);
    } else if (answer->status == TROUPE_OK) {
        call->answer.status = TROUPE_UNKNOWN;
        call->answer.outcome = TROUPE_UNKNOWN_OUTCOME;
        call->answer.message = troupe_str("it ran, but the daemon had no memory for the answer");
    }
    server_done(call);
}

static void note_ask(daemon_call *call)
{
    daemon_server *server = call->server;
    uint64_t timeout = call->request.timeout;
    if (timeout == 0) timeout = daemon_config_ask_timeout(server->options.config);
    if (timeout == TROUPE_NEVER) return;
    call->leave_at = uv_now(&server->loop) + timeout / TROUPE_MILLISECONDS(1) + LEFT_AFTER_MS;
    call->after = server->asks;
    call->link = &server->asks;
    if (call->after != NULL) call->after->link = &call->after;
    server->asks = call;
}

static void forget_ask(daemon_call *call)
{
    if (call->link == NULL) return;
    *call->link = call->after;
    if (call->after != NULL) call->after->link = call->link;
    call->link = NULL;
}

/* Another one answers in its place. */
static void leave(daemon_call *call)
{
    daemon_server *server = call->server;
    daemon_call *other = calloc(1, sizeof(*other));
    if (other == NULL) return; /* again with the next look */
    other->connection = call->connection; /* and its place in in_flight */
    other->server = server;
    memcpy(other->request.id, call->request.id, sizeof(other->request.id));
    forget_ask(call);
    call->connection = NULL;
    voice_say(server->options.voice, TROUPE_LOG_WARN, "ask_left", "the shard of an actor did not "
              "come to the end of an ask: one of its turns does not return");
    refuse(other, TROUPE_TIMEOUT, "the actor's shard did not come to it: a turn there does not "
           "return; it may still run");
}

void calls_leave(daemon_server *server)
{
    uint64_t now = uv_now(&server->loop);
    daemon_call *next = NULL;
    for (daemon_call *call = server->asks; call != NULL; call = next) {
        next = call->after;
        if (call->leave_at <= now) leave(call);
    }
}

bool call_finish(daemon_call *call)
{
    forget_ask(call);
    if (call->connection == NULL) {
        call_destroy(call);
        return false;
    }
    if (!call->is_answered) return true;
    admin_write_answer(&call->out, call->request.id, &call->answer);
    free(call->copy);
    call->copy = NULL;
    call->is_answered = false;
    return true;
}

static troupe_call_options options_of(const daemon_call *call)
{
    return (troupe_call_options){
        TROUPE_CALL_OPTIONS,
        .timeout = call->request.timeout,
        .content_type = call->request.content_type,
        .once = call->request.once,
    };
}

static void start_ask(daemon_call *call)
{
    daemon_connection *connection = call->connection;
    troupe_call_options options = options_of(call);
    options.cancel = connection->cancel;
    note_ask(call);
    /* Once it was accepted the call belongs to the callback, which may be over already. */
    troupe_status status = troupe_client_ask_callback(connection->client, call->request.actor,
                                                      call->request.method, call->request.payload,
                                                      &options, on_answer, call);
    if (status == TROUPE_OK) return;
    forget_ask(call);
    refuse_explained(call, status);
}

static void start_tell(daemon_call *call)
{
    troupe_call_options options = options_of(call);
    troupe_status status = troupe_client_tell(call->connection->client, call->request.actor,
                                              call->request.method, call->request.payload,
                                              &options);
    if (status != TROUPE_OK) {
        refuse_explained(call, status);
        return;
    }
    admin_write_begin(&call->out, call->request.id);
    admin_write_end(&call->out);
    server_deliver(call);
}

/* ---- what is known here ---- */

static void answer_here(daemon_call *call)
{
    const daemon_server_options *options = &call->server->options;
    admin_write_begin(&call->out, call->request.id);
    if (call->request.verb == ADMIN_VERB_TYPES) {
        admin_write_types(&call->out, options->types, options->type_count);
    } else if (call->request.verb == ADMIN_VERB_CONFIG) {
        daemon_config_write(options->config, &call->out);
    } else {
        admin_write_text(&call->out, "node", troupe_str(troupe_node_name(options->node)));
        admin_write_text(&call->out, "version", troupe_str(TROUPE_VERSION));
        admin_write_number(&call->out, "pid", (uint64_t)getpid());
    }
    admin_write_end(&call->out);
    server_deliver(call);
}

static void answer_shutdown(daemon_call *call)
{
    daemon_server *server = call->server;
    bool is_hurried = !call->request.is_drain;
    answer_here(call);
    server_stop(server, is_hurried);
}

/* The node that is asked leaves its cluster in order: for others one asks them. */
static void answer_drain(daemon_call *call)
{
    const char *self = troupe_node_name(call->server->options.node);
    const char *wanted = call->request.node;
    char words[400];
    if (wanted == NULL || strcmp(wanted, self) == 0) {
        answer_shutdown(call);
        return;
    }
    snprintf(words, sizeof(words), "this is node %.128s: a node is drained at its own socket; "
             "call that of %.128s", self, wanted);
    refuse(call, TROUPE_USAGE, words);
}

/* A slow store holds up only those that ask what it has. */
static void start_inspection(daemon_call *call)
{
    daemon_server *server = call->server;
    bool is_of_store = stored_takes(call->request.verb);
    call->job.run = is_of_store ? stored_run : inspect_run;
    worker_add(is_of_store ? &server->store_worker : &server->worker, &call->job);
}

void call_start(daemon_connection *connection, troupe_slice line)
{
    daemon_call *call = call_create(connection);
    if (call == NULL) {
        /* Without memory for a request there is none for its answer. */
        connection->is_ended = true;
        return;
    }
    troupe_status status = admin_request_parse(&call->request, line);
    if (status != TROUPE_OK) {
        refuse(call, status, call->request.error);
    } else if (call->server->stage != SERVER_SERVING) {
        refuse(call, TROUPE_CLOSED, "the daemon is stopping: nothing was done");
    } else {
        switch (call->request.verb) {
        case ADMIN_VERB_ASK:
            start_ask(call);
            break;
        case ADMIN_VERB_TELL:
            start_tell(call);
            break;
        case ADMIN_VERB_PING:
        case ADMIN_VERB_TYPES:
        case ADMIN_VERB_CONFIG:
            answer_here(call);
            break;
        case ADMIN_VERB_DRAIN:
            answer_drain(call);
            break;
        case ADMIN_VERB_SHUTDOWN:
            answer_shutdown(call);
            break;
        default:
            start_inspection(call);
            break;
        }
    }
}
