/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a head and a body to a request that is whole, and from an answer to a response. Not the
 * protocol: the library reads the head, and calls tp_request_handle once for it, then for each part
 * of the body, once more at its end, and again until there is a response. What is asked of the node
 * is call.c's. Stages and threads: inside.h.
 */
#include "gateway/codes.h"
#include "gateway/inside.h"

#include "base/outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CONTENT_TYPE_MAX = 255,
    WAVED_THROUGH = 64 * 1024,     /* a refused body up to this size is read, so that the connection
                                      can go on; behind a larger one it is closed at once */
    THROWN_AWAY_MAX = 1024 * 1024, /* the same for bodies that do not say their size */
};

#define TIMEOUT_MAX TROUPE_HOURS(24)

#define ERR_REQUEST "ERR_BAD_REQUEST"

/* ---- bytes ---------------------------------------------------------------------------------- */

static bool take(tp_gateway *gateway, uint64_t size)
{
    uint64_t before = atomic_fetch_add_explicit(&gateway->bytes, size, memory_order_relaxed);
    if (before + size <= gateway->host.bytes)
        return true;
    atomic_fetch_sub_explicit(&gateway->bytes, size, memory_order_relaxed);
    return false;
}

static void give(tp_gateway *gateway, uint64_t size)
{
    atomic_fetch_sub_explicit(&gateway->bytes, size, memory_order_relaxed);
}

/* Makes room for `size` bytes in all. BUSY: the gateway has given out all it may, NO_MEMORY. */
static troupe_status make_room(tp_gateway *gateway, tp_http_bytes *bytes, size_t size)
{
    if (size <= bytes->room)
        return TROUPE_OK;
    size_t room = size > 2 * bytes->room ? size : 2 * bytes->room;
    bool is_here = bytes->data == bytes->here;
    if (!take(gateway, room))
        return TROUPE_BUSY;
    char *moved = tp_allocate(gateway->host.allocator, room);
    if (moved == NULL) {
        give(gateway, room);
        return TROUPE_NO_MEMORY;
    }
    memcpy(moved, bytes->data, bytes->size);
    if (!is_here) {
        tp_release(gateway->host.allocator, bytes->data, bytes->room);
        give(gateway, bytes->room);
    }
    bytes->data = moved;
    bytes->room = room;
    return TROUPE_OK;
}

static void init_bytes(tp_http_bytes *bytes)
{
    bytes->data = bytes->here;
    bytes->size = 0;
    bytes->room = sizeof bytes->here;
}

static void deinit_bytes(tp_gateway *gateway, tp_http_bytes *bytes)
{
    if (bytes->data == bytes->here)
        return;
    tp_release(gateway->host.allocator, bytes->data, bytes->room);
    give(gateway, bytes->room);
}

char *tp_request_room(tp_request *request, size_t size)
{
    if (make_room(request->gateway, &request->answer, size) != TROUPE_OK)
        return NULL;
    return request->answer.data;
}

bool tp_request_append(tp_request *request, troupe_slice part)
{
    size_t size = request->answer.size;
    char *at = tp_request_room(request, size + part.size);
    if (at == NULL)
        return false;
    memcpy(at + size, part.data, part.size);
    request->answer.size = size + part.size;
    return true;
}

/* ---- refusals ------------------------------------------------------------------------------- */

void tp_request_fail(tp_request *request, unsigned code, const char *error_code,
    troupe_status status, troupe_outcome outcome, troupe_slice message)
{
    tp_text text;
    size_t room =
        message.size + 512 < TP_HTTP_ERROR_MAX ? message.size * 2 + 512 : TP_HTTP_ERROR_MAX;
    request->answer.size = 0;
    if (room < TP_HTTP_HERE || tp_request_room(request, room) == NULL)
        room = request->answer.room; /* the message is cut */
    tp_text_init(&text, request->answer.data, room);
    tp_http_error(&text, error_code, status, outcome, message);
    request->answer.size = text.size;
    request->answer_type = TROUPE_JSON;
    request->code = code;
    request->wait = tp_http_passes(code);
    request->stage = TP_REQUEST_ANSWERED;
}

/* Of a request that goes no further: nobody here knows of others with its key. */
static troupe_outcome unsent(const tp_request *request, troupe_status status)
{
    return tp_once_unsent(request->once != NULL, status, TROUPE_NOT_DONE);
}

/* Refused before it was a call. */
static void refuse(tp_request *request, unsigned code, const char *error_code, troupe_status status,
    const char *message)
{
    tp_gateway_add(&request->gateway->refused);
    tp_request_fail(
        request, code, error_code, status, unsent(request, status), troupe_str(message));
}

void tp_request_refuse_busy(tp_request *request, troupe_status status, const char *message)
{
    troupe_outcome outcome = unsent(request, status);
    if (status != TROUPE_NO_MEMORY)
        tp_gateway_add(&request->gateway->busy);
    tp_request_fail(request, tp_http_code(status, outcome), TP_HTTP_ERR_INVOKE, status, outcome,
        troupe_str(message));
}

void tp_request_refuse_closing(tp_request *request)
{
    tp_request_refuse_busy(request, TROUPE_CLOSED, "the node is closing: ask another one");
}

static void refuse_size(tp_request *request)
{
    refuse(request, 413, ERR_REQUEST, TROUPE_TOO_LARGE,
        "the body is larger than max_message of the node");
}

/* ---- the head ------------------------------------------------------------------------------- */

/* What is looked at of a head: X(member, name) */
#define FIELD_MAP(X)                                  \
    X(authorization, MHD_HTTP_HEADER_AUTHORIZATION)   \
    X(api_token, "dapr-api-token")                    \
    X(content_length, MHD_HTTP_HEADER_CONTENT_LENGTH) \
    X(content_type, MHD_HTTP_HEADER_CONTENT_TYPE)     \
    X(host, MHD_HTTP_HEADER_HOST)                     \
    X(known, MHD_HTTP_HEADER_IF_NONE_MATCH)           \
    X(last_event, "Last-Event-ID")                    \
    X(once, "Idempotency-Key")                        \
    X(origin, MHD_HTTP_HEADER_ORIGIN)                 \
    X(site, "Sec-Fetch-Site")                         \
    X(timeout, "Troupe-Timeout")                      \
    X(transfer_encoding, MHD_HTTP_HEADER_TRANSFER_ENCODING)

typedef struct head_fields {
#define MEMBER(member, name) const char *member; /* NULL: there is none */
    FIELD_MAP(MEMBER)
#undef MEMBER
    bool is_twice; /* one of them: whoever stood in front may have taken the other */
} head_fields;

static enum MHD_Result see_field(void *user, enum MHD_ValueKind kind, const char *name,
    size_t name_size, const char *value, size_t value_size)
{
    head_fields *self = user;
    (void)kind;
    (void)value_size;
#define SEE(member, wanted)                                                \
    if (name_size == sizeof wanted - 1 && strcasecmp(name, wanted) == 0) { \
        self->is_twice = self->is_twice || self->member != NULL;           \
        self->member = value != NULL ? value : "";                         \
        return MHD_YES;                                                    \
    }
    FIELD_MAP(SEE)
#undef SEE
    return MHD_YES;
}

/* A page in a browser is no program of this machine, though the browser runs here: it says where it
 * comes from (Origin; for pictures and links, which have none, Sec-Fetch-Site), or, when its own
 * name was made to mean this machine, that name (Host). */
static bool is_page(const head_fields *fields)
{
    bool is_other = fields->site != NULL && strcmp(fields->site, "none") != 0 &&
                    strcmp(fields->site, "same-origin") != 0;
    return fields->origin != NULL || is_other;
}

/* By what was let through before. `words` name the limit. */
static void hold_back(tp_request *request, uint64_t wait, const char *words)
{
    tp_gateway_add(&request->gateway->limited);
    tp_request_fail(
        request, 429, "ERR_RATE", TROUPE_BUSY, unsent(request, TROUPE_BUSY), troupe_str(words));
    request->wait = (uint32_t)(wait / TROUPE_SECONDS(1)) + 1;
}

/* An address that has shown wrong ones is not listened to for a while, whatever it shows: else it
 * could try as many as it can send. */
static bool shows_token(tp_request *request, const head_fields *fields)
{
    const char *token = request->gateway->host.token;
    uint64_t wait = tp_limits_guess_wait(request);
    if (wait != 0) {
        hold_back(request, wait, "too many wrong tokens came from this address: try again later");
        return false;
    }
    if (tp_route_token_is(fields->authorization, true, token) ||
        tp_route_token_is(fields->api_token, false, token))
        return true;
    if (fields->authorization != NULL || fields->api_token != NULL)
        tp_limits_guessed(request);
    refuse(request, 401, "ERR_API_TOKEN", TROUPE_DENIED,
        "invalid api token: send that of http_token as Authorization: Bearer TOKEN, or as "
        "dapr-api-token");
    return false;
}

/* Whoever knows the token may call; without one, programs of this machine. Where callers need a
 * certificate, only with that. */
static bool let_in(tp_request *request, const head_fields *fields)
{
    const tp_gateway_host *host = &request->gateway->host;
    if (request->gateway->is_tls && !tp_http_tls_knows(request->connection)) {
        refuse(request, 403, "ERR_CERTIFICATE", TROUPE_DENIED,
            "callers show a certificate that an authority of http_tls_authority has signed");
        return false;
    }
    if (host->token[0] != 0)
        return shows_token(request, fields);
    if (!is_page(fields) &&
        (host->beyond || fields->host == NULL || tp_route_host_is_local(fields->host)))
        return true;
    refuse(request, 403, "ERR_FORBIDDEN", TROUPE_DENIED,
        "calls from web pages, and under names that are not this machine's, need a token: set "
        "http_token");
    return false;
}

static bool takes_method(tp_request *request, const char *method)
{
    char words[64];
    request->verb = tp_verb_of(method);
    if (request->verb & request->route.verbs)
        return true;
    request->allow = tp_verb_names(request->route.verbs);
    (void)snprintf(words, sizeof words, "it takes %s", request->allow);
    refuse(request, 405, ERR_REQUEST, TROUPE_USAGE, words);
    return false;
}

static bool read_fields(tp_request *request, const head_fields *fields)
{
    const char *timeout = fields->timeout;
    request->content_type = fields->content_type;
    request->known = fields->known;
    request->last_event = fields->last_event;
    if (timeout != NULL && (!request->gateway->host.duration(timeout, &request->timeout) ||
                               request->timeout - 1 >= TIMEOUT_MAX)) {
        refuse(request, 400, ERR_REQUEST, TROUPE_USAGE,
            "Troupe-Timeout is a duration such as 250us, 500ms or 1m30s, more than 0, up to 1d");
        return false;
    }
    if (request->content_type != NULL && strlen(request->content_type) > CONTENT_TYPE_MAX) {
        refuse(request, 400, ERR_REQUEST, TROUPE_USAGE, "Content-Type is longer than 255 bytes");
        return false;
    }
    if (request->once != NULL &&
        (request->once[0] == 0 || strlen(request->once) > TP_ROUTE_ONCE_MAX)) {
        refuse(request, 400, ERR_REQUEST, TROUPE_USAGE, "Idempotency-Key has 1 to 64 bytes");
        return false;
    }
    return true;
}

/* Of the body, as the head says; UINT64_MAX: it does not. */
static uint64_t announced(const head_fields *fields)
{
    if (fields->transfer_encoding != NULL)
        return UINT64_MAX;
    return fields->content_length != NULL ? strtoull(fields->content_length, NULL, 10) : 0;
}

/* Can there be two minds about where the body ends? RFC 9112, 6.1 and 6.3: such a request is what
 * smugglers send, and is not to be followed by another one on its connection. */
static bool is_framed(const head_fields *fields)
{
    const char *encoding = fields->transfer_encoding, *length = fields->content_length;
    if (fields->is_twice || (encoding != NULL && length != NULL))
        return false;
    if (encoding != NULL)
        return strcasecmp(encoding, "chunked") == 0;
    return length == NULL || (length[0] != 0 && length[strspn(length, "0123456789")] == 0);
}

/* By what its caller, type and partition may have in a second. */
static void judge_rate(tp_request *request)
{
    uint64_t wait = tp_limits_wait(request);
    if (wait != 0)
        hold_back(request, wait,
            "more calls a second than http_rate_caller, http_rate_type or http_rate_partition let "
            "through: try again later");
}

/* Everything that can be said before the body is here. */
static void read_head(tp_request *request, const char *path, const char *method,
    const head_fields *fields, uint64_t size)
{
    if (!is_framed(fields)) {
        request->ends = true;
        refuse(request, 400, ERR_REQUEST, TROUPE_USAGE,
            "a field of the head comes twice, or the size of the body is said in two ways");
        return;
    }
    const char *reason;
    troupe_status status = tp_route_parse(troupe_str(path), &request->route, &reason);
    if (status != TROUPE_OK) {
        request->route.is_open = false;
        request->route.kind = TP_ROUTE_INVOKE;
    }
    if (!request->route.is_open && !let_in(request, fields))
        return;
    if (status != TROUPE_OK)
        refuse(request, tp_http_code(status, TROUPE_NOT_DONE),
            status == TROUPE_NOT_FOUND ? "ERR_NOT_FOUND" : ERR_REQUEST, status, reason);
    else if (!takes_method(request, method) || !read_fields(request, fields))
        return;
    else if (size != UINT64_MAX && size > request->gateway->host.body)
        refuse_size(request);
    else if (!request->route.is_open)
        judge_rate(request);
}

static enum MHD_Result respond(tp_request *request);

static enum MHD_Result begin(tp_gateway *gateway, struct MHD_Connection *connection,
    const char *path, const char *method, void **ret_request)
{
    tp_request *request = tp_allocate(gateway->host.allocator, sizeof *request);
    if (request == NULL)
        return MHD_NO;
    memset(request, 0, offsetof(tp_request, body));
    init_bytes(&request->body);
    init_bytes(&request->answer);
    request->gateway = gateway;
    request->connection = connection;
    request->place = UINT32_MAX;
    request->route.id = (troupe_id){0};
    request->began = gateway->host.env->now(gateway->host.env);
    *ret_request = request;
    tp_gateway_add(&gateway->requests);
    head_fields fields = {0};
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, see_field, &fields);
    request->once = fields.once;
    uint64_t size = announced(&fields);
    read_head(request, path, method, &fields, size);
    /* What is answered before its body was read ends the connection. */
    bool is_large = size != UINT64_MAX && size > WAVED_THROUGH;
    if (request->stage == TP_REQUEST_ANSWERED && (is_large || request->ends))
        return respond(request);
    return MHD_YES;
}

bool tp_request_parameter(tp_request *request, const char *name, char *out, size_t room)
{
    const char *value =
        MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
    out[0] = 0;
    if (value == NULL || tp_route_value(value, out, room))
        return true;
    refuse(request, 400, ERR_REQUEST, TROUPE_USAGE,
        "a parameter of the query is too long, or no UTF-8, or has control characters");
    return false;
}

/* ---- the body ------------------------------------------------------------------------------- */

static bool is_late(const tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    return host->env->now(host->env) - request->began > host->timeout;
}

/* Room for so much more of it, or the request is ANSWERED. */
static void make_room_for_body(tp_request *request, size_t size)
{
    tp_http_bytes *body = &request->body;
    if (size > request->gateway->host.body - body->size) {
        refuse_size(request);
        return;
    }
    troupe_status status = make_room(request->gateway, body, body->size + size);
    if (status == TROUPE_BUSY)
        tp_request_refuse_busy(
            request, status, "the bodies and answers under way take all of http_bytes");
    else if (status != TROUPE_OK)
        tp_request_refuse_busy(request, status, "");
}

static enum MHD_Result read_body(tp_request *request, const char *upload, size_t *upload_size)
{
    tp_http_bytes *body = &request->body;
    size_t size = *upload_size;
    *upload_size = 0;
    if (request->stage == TP_REQUEST_READING)
        make_room_for_body(request, size);
    if (request->stage == TP_REQUEST_ANSWERED)
        request->thrown_away += size;
    if (request->thrown_away > THROWN_AWAY_MAX || is_late(request)) {
        tp_gateway_add(&request->gateway->cut);
        return MHD_NO;
    }
    if (request->stage == TP_REQUEST_READING) {
        memcpy(body->data + body->size, upload, size);
        body->size += size;
    }
    return MHD_YES;
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void add_field(struct MHD_Response *response, const char *name, const char *value)
{
    /* Refused: it has line ends in it. The payload then goes without a type. */
    (void)!MHD_add_response_header(response, name, value);
}

static enum MHD_Result respond_stream(tp_request *request, struct MHD_Response *response)
{
    add_field(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    add_field(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result result = MHD_queue_response(request->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result respond(tp_request *request)
{
    struct MHD_Response *stream = request->streams ? tp_stream_open(request) : NULL;
    if (stream != NULL)
        return respond_stream(request, stream);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        request->answer.size, request->answer.data, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    if (request->answer.size != 0)
        add_field(response, MHD_HTTP_HEADER_CONTENT_TYPE, request->answer_type);
    if (request->ends)
        add_field(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (request->wait != 0) {
        char seconds[16];
        (void)snprintf(seconds, sizeof seconds, "%" PRIu32, request->wait);
        add_field(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (request->allow != NULL)
        add_field(response, MHD_HTTP_HEADER_ALLOW, request->allow);
    if (request->tag[0] != 0)
        add_field(response, MHD_HTTP_HEADER_ETAG, request->tag);
    if (request->code == 401)
        add_field(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    enum MHD_Result result = MHD_queue_response(request->connection, request->code, response);
    MHD_destroy_response(response);
    return result;
}

/* True: somebody is asked; false: it is ANSWERED. */
static bool start(tp_request *request)
{
    switch (request->route.kind) {
    case TP_ROUTE_INVOKE:
        return tp_call_start(request);
    case TP_ROUTE_STATE:
        return tp_state_start(request);
    case TP_ROUTE_REMINDER:
    case TP_ROUTE_TIMER:
        return tp_remind_start(request);
    case TP_ROUTE_EVENTS:
    case TP_ROUTE_UPDATES:
        return tp_stream_start(request);
    default:
        return tp_desk_start(request);
    }
}

static void show_loaded(tp_request *request)
{
    request->is_loaded = false; /* who shows it gives it back */
    if (request->route.kind == TP_ROUTE_STATE)
        tp_state_show(request);
    else
        tp_remind_show(request);
}

/* The request is whole. */
static enum MHD_Result finish(tp_request *request)
{
    tp_request_resume_all(request->gateway);
    if (!tp_call_is_over(request))
        return MHD_YES;
    if (request->is_loaded)
        show_loaded(request);
    if (request->stage == TP_REQUEST_READING && request->route.kind != TP_ROUTE_INVOKE)
        tp_page_answer(request);
    bool is_asked =
        request->stage == TP_REQUEST_READING && tp_call_enter(request) && start(request);
    return is_asked ? MHD_YES : respond(request);
}

enum MHD_Result tp_request_handle(void *gateway, struct MHD_Connection *connection,
    const char *path, const char *method, const char *version, const char *upload,
    size_t *upload_size, void **request)
{
    (void)version;
    if (*request == NULL)
        return begin(gateway, connection, path, method, request);
    if (*upload_size != 0)
        return read_body(*request, upload, upload_size);
    return finish(*request);
}

void tp_request_completed(
    void *user, struct MHD_Connection *connection, void **at, enum MHD_RequestTerminationCode how)
{
    tp_gateway *gateway = user;
    tp_request *request = *at;
    (void)connection;
    if (request == NULL)
        return;
    *at = NULL;
    tp_request_resume_all(gateway); /* one that broke while it was suspended is not handled */
    if (how == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
        tp_gateway_add(&gateway->cut);
    tp_call_leave(request);
}

void tp_request_release(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    if (request->is_loaded)
        troupe_store_release(&request->op);
    deinit_bytes(gateway, &request->body);
    deinit_bytes(gateway, &request->answer);
    tp_release(gateway->host.allocator, request, sizeof *request);
}
