/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client library: calls as lines of the admin protocol, over a link that is opened again when
 * it has gone. See <troupe/client.h>. Not the tool, which speaks by the same links.
 *
 * Invariants: 1. What was sent and not answered is UNKNOWN, and is not sent again.
 * Threads: one at a time per remote.
 */
#include <troupe/client.h>

#include "shared/admin_codec.h"
#include "shared/link.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXTS = 7 };

struct troupe_remote {
    cmd_link_options options; /* its texts are those of `texts` */
    char *texts[TEXTS];
    cmd_stream link;
    bool is_open;
    cmd_bytes line, payload; /* of the last answer */
    json_t *root;
    char error[600];
};

/* ---- signals ---- */

/* A connection that has gone is told by a status: SIGPIPE is held meanwhile, and one that this
 * thread raised is taken back. */
typedef struct calm {
    sigset_t before;
    bool was_pending;
} calm;

static void only_pipe(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGPIPE);
}

static calm hold_pipe(void)
{
    calm held;
    sigset_t pipe;
    sigset_t pending;
    only_pipe(&pipe);
    sigpending(&pending);
    held.was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &held.before);
    return held;
}

static void let_pipe_go(const calm *held)
{
    static const struct timespec now = {0, 0};
    sigset_t pipe;
    only_pipe(&pipe);
    if (!held->was_pending) (void)sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}

/* ---- life ---- */

static const char *keep(troupe_remote *self, size_t *count, const char *text, bool *fits)
{
    if (!cmd_link_is_given(text)) return NULL;
    char *copy = strdup(text);
    *fits = *fits && copy != NULL;
    self->texts[(*count)++] = copy;
    return copy;
}

/* False: no memory. */
static bool take_options(troupe_remote *self, const troupe_remote_options *given)
{
    size_t count = 0;
    bool fits = true;
    self->options = (cmd_link_options){
        .socket = keep(self, &count, given->socket, &fits),
        .address = keep(self, &count, given->address, &fits),
        .tls = {keep(self, &count, given->certificate, &fits),
                keep(self, &count, given->key, &fits),
                keep(self, &count, given->authority, &fits)},
        .server_name = keep(self, &count, given->server_name, &fits),
        .token_file = keep(self, &count, given->token_file, &fits),
    };
    return fits;
}

static void disconnect(troupe_remote *self)
{
    if (self->is_open) cmd_stream_close(&self->link);
    self->is_open = false;
}

/* OK: there is a connection, as far as can be known. Else `error` says why. */
static troupe_status connect_again(troupe_remote *self)
{
    if (self->is_open && !cmd_link_has_ended(&self->link)) return TROUPE_OK;
    disconnect(self);
    troupe_status status =
        cmd_link_open(&self->options, &self->link, self->error, sizeof(self->error));
    self->is_open = status == TROUPE_OK;
    return status;
}

troupe_status troupe_remote_open(const troupe_remote_options *options, troupe_remote **ret_remote,
                                 char *error, size_t error_size)
{
    const char *words = "no memory";
    troupe_status status = TROUPE_NO_MEMORY;
    troupe_remote *self = NULL;
    bool is_sized = options != NULL && options->size == sizeof(*options);
    if (is_sized && cmd_link_is_given(options->address) != cmd_link_is_given(options->socket)) {
        self = calloc(1, sizeof(*self));
        if (self != NULL && take_options(self, options)) {
            calm held = hold_pipe();
            status = connect_again(self);
            let_pipe_go(&held);
            words = self->error;
        }
    } else {
        status = TROUPE_USAGE;
        words = is_sized ? "give an address, or a socket"
                         : "its size differs: begin the options with TROUPE_REMOTE_OPTIONS";
    }
    if (status == TROUPE_OK) {
        *ret_remote = self;
        return TROUPE_OK;
    }
    if (error != NULL && error_size > 0) snprintf(error, error_size, "%s", words);
    troupe_remote_close(self);
    return status;
}

static void forget_answer(troupe_remote *self)
{
    cmd_bytes_deinit(&self->line);
    cmd_bytes_deinit(&self->payload);
    self->line = self->payload = (cmd_bytes){0};
    json_decref(self->root);
    self->root = NULL;
}

void troupe_remote_close(troupe_remote *self)
{
    if (self == NULL) return;
    calm held = hold_pipe();
    disconnect(self);
    let_pipe_go(&held);
    forget_answer(self);
    for (size_t i = 0; i < TEXTS; i++) free(self->texts[i]);
    free(self);
}

/* ---- calls ---- */

static troupe_status end(troupe_answer *answer, troupe_status status, const char *words)
{
    answer->status = status;
    answer->outcome = troupe_status_outcome(status);
    answer->message = troupe_str(words);
    return status;
}

static troupe_slice text_of(const json_t *root, const char *name)
{
    const json_t *text = json_object_get(root, name);
    return troupe_slice_of(json_string_value(text), json_string_length(text));
}

static troupe_status read_error(const json_t *root, troupe_answer *answer)
{
    troupe_slice outcome = text_of(root, "outcome");
    json_int_t code = json_integer_value(json_object_get(root, "code"));
    if (code <= 0 || code > INT32_MAX) {
        return end(answer, TROUPE_UNKNOWN, "what answered is no node of this version");
    }
    answer->status = (troupe_status)code;
    answer->outcome = TROUPE_UNKNOWN_OUTCOME;
    if (troupe_slice_equal(outcome, troupe_str("DONE"))) answer->outcome = TROUPE_DONE;
    if (troupe_slice_equal(outcome, troupe_str("NOT_DONE"))) answer->outcome = TROUPE_NOT_DONE;
    answer->message = text_of(root, "message");
    return answer->status;
}

static troupe_status read_answer(troupe_remote *self, troupe_answer *answer)
{
    troupe_slice line = {self->line.data, self->line.size};
    if (self->line.failed) return end(answer, TROUPE_UNKNOWN, "no memory for the answer");
    self->root = json_loadb(self->line.data, self->line.size, JSON_ALLOW_NUL, NULL);
    if (!json_is_true(json_object_get(self->root, "ok"))) return read_error(self->root, answer);
    if (!admin_read_payload(self->root, line, &self->payload)) {
        answer->status = TROUPE_UNKNOWN;
        answer->outcome = TROUPE_DONE;
        answer->message = troupe_str("it ran, but there is no memory for its answer");
        return TROUPE_UNKNOWN;
    }
    answer->payload = troupe_slice_of(self->payload.data, self->payload.size);
    answer->content_type = text_of(self->root, "content_type");
    return TROUPE_OK;
}

/* NULL: a call can be sent so; else why not. */
static const char *what_is_wrong(const char *method, const troupe_call_options *options,
                                 bool is_ask)
{
    if (method == NULL) return "there is no method";
    if (options == NULL) return NULL;
    if (options->size != sizeof(*options)) return "begin the options with TROUPE_CALL_OPTIONS";
    if (options->cancel != NULL || options->retry.attempts > 1 || options->outbox ||
        options->context_count > 0 || (!is_ask && options->once.size > 0)) {
        return "a remote knows of the options timeout, content_type and, of an ask, once";
    }
    if (options->timeout > TROUPE_MILLISECONDS(ADMIN_TIMEOUT_MS_MAX)) {
        return "a remote's calls have a time-out of 24 hours at most";
    }
    return NULL;
}

static troupe_status send_call(troupe_remote *self, const cmd_bytes *request, uint64_t patience,
                               troupe_answer *answer)
{
    if (request->failed) return end(answer, TROUPE_NO_MEMORY, "no memory for the request");
    if (request->size > ADMIN_LINE_MAX) {
        return end(answer, TROUPE_TOO_LARGE, "the request is longer than 12 MiB");
    }
    calm held = hold_pipe();
    troupe_status status = connect_again(self);
    if (status == TROUPE_OK && !cmd_link_call(&self->link, request, patience, &self->line)) {
        disconnect(self);
    }
    let_pipe_go(&held);
    return status == TROUPE_OK ? read_answer(self, answer) : end(answer, status, self->error);
}

static troupe_status call(troupe_remote *self, const char *verb, troupe_id id, const char *method,
                          troupe_slice payload, const troupe_call_options *options,
                          troupe_answer *ret_answer)
{
    bool is_ask = strcmp(verb, "ask") == 0;
    *ret_answer = (troupe_answer)TROUPE_ANSWER_INIT;
    forget_answer(self);
    const char *wrong = what_is_wrong(method, options, is_ask);
    if (wrong != NULL) return end(ret_answer, TROUPE_USAGE, wrong);
    admin_call made = {.method = method, .has_payload = true, .payload = payload,
                       .content_type = TROUPE_BYTES};
    if (options != NULL) {
        made.timeout = options->timeout;
        made.once = options->once;
        if (options->content_type != NULL) made.content_type = options->content_type;
    }
    cmd_bytes request = {0};
    cmd_bytes_printf(&request, "{\"id\":1,\"do\":\"%s\"", verb);
    admin_write_id(&request, "actor", id);
    admin_write_call(&request, &made);
    cmd_bytes_text(&request, "}\n");
    /* A tell is answered at once, however much time it has. */
    uint64_t patience = cmd_link_patience(is_ask ? made.timeout : 0);
    troupe_status status = send_call(self, &request, patience, ret_answer);
    cmd_bytes_deinit(&request);
    return status;
}

troupe_status troupe_remote_ask(troupe_remote *remote, troupe_id id, const char *method,
                                troupe_slice payload, const troupe_call_options *options,
                                troupe_answer *ret_answer)
{
    return call(remote, "ask", id, method, payload, options, ret_answer);
}

troupe_status troupe_remote_tell(troupe_remote *remote, troupe_id id, const char *method,
                                 troupe_slice payload, const troupe_call_options *options,
                                 troupe_answer *ret_answer)
{
    troupe_answer unseen;
    return call(remote, "tell", id, method, payload, options,
                ret_answer != NULL ? ret_answer : &unseen);
}
