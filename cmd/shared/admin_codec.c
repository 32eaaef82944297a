/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of the admin protocol: lines and requests. Not the writing half, which is
 * admin_answer.c. Invariants and threads: admin_codec.h.
 */
#include "shared/admin_codec.h"

#include <troupe/config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- lines ---- */

void admin_lines_deinit(admin_lines *lines)
{
    free(lines->data);
    *lines = (admin_lines){0};
}

/* Moves what is left to the front, and gives a buffer back that one huge line has made. */
static void compact(admin_lines *lines)
{
    if (lines->begin > 0) {
        size_t left = lines->size - lines->begin;
        if (left > 0) memmove(lines->data, lines->data + lines->begin, left);
        lines->size = left;
        lines->scanned -= lines->begin;
        lines->begin = 0;
    }
    if (lines->size == 0 && lines->capacity > 4 * ADMIN_READ_SIZE) admin_lines_deinit(lines);
}

char *admin_lines_room(admin_lines *lines, size_t size)
{
    bool is_skipping = lines->is_skipping;
    compact(lines);
    lines->is_skipping = is_skipping;
    if (size > lines->capacity - lines->size) {
        size_t capacity = lines->capacity * 2;
        if (capacity < lines->size + size) capacity = lines->size + size;
        if (capacity > ADMIN_LINE_MAX + size) capacity = ADMIN_LINE_MAX + size;
        if (capacity < lines->size + size) return NULL; /* the caller takes no lines out */
        char *data = realloc(lines->data, capacity);
        if (data == NULL) return NULL;
        lines->data = data;
        lines->capacity = capacity;
    }
    return lines->data + lines->size;
}

void admin_lines_add(admin_lines *lines, size_t size)
{
    lines->size += size;
}

/* The end of the line that begins at `begin`; NULL: it is not there yet. */
static char *find_end(admin_lines *lines, bool is_end)
{
    char *from = lines->data + lines->scanned;
    size_t left = lines->size - lines->scanned;
    char *end = left > 0 ? memchr(from, '\n', left) : NULL;
    if (end != NULL) return end;
    lines->scanned = lines->size;
    return is_end && lines->size > lines->begin ? lines->data + lines->size : NULL;
}

admin_line admin_lines_take(admin_lines *lines, bool is_end, troupe_slice *ret_line)
{
    while (lines->begin < lines->size) {
        char *end = find_end(lines, is_end);
        size_t length = end != NULL ? (size_t)(end - lines->data) - lines->begin
                                    : lines->size - lines->begin;
        bool is_too_long = !lines->is_skipping && length > ADMIN_LINE_MAX;
        char *line = lines->data + lines->begin;
        if (end == NULL && !is_too_long && !lines->is_skipping) return ADMIN_LINE_NONE;

        lines->begin += length;
        if (end != NULL && end < lines->data + lines->size) lines->begin++;
        lines->scanned = lines->begin;
        bool was_skipping = lines->is_skipping;
        lines->is_skipping = end == NULL;
        if (is_too_long) return ADMIN_LINE_TOO_LONG;
        if (was_skipping) continue;
        if (length > 0 && line[length - 1] == '\r') length--;
        if (length == 0) continue;
        *ret_line = troupe_slice_of(line, length);
        return ADMIN_LINE_TAKEN;
    }
    return ADMIN_LINE_NONE;
}

/* ---- requests ---- */

static const struct {
    const char *name;
    admin_verb verb;
    unsigned members;
    bool needs_actor;
    bool is_remote;
} verbs[] = {
#define X(name, text, members, needs_actor, is_remote) \
    {text, ADMIN_VERB_##name, members, needs_actor, is_remote},
    ADMIN_VERB_MAP(X)
#undef X
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static const struct {
    const char *name;
    unsigned bit; /* 0: every verb takes it */
} members[] = {
    {"id", 0},
    {"do", 0},
    {"actor", ADMIN_HAS_ACTOR},
    {"actor_base64", ADMIN_HAS_ACTOR_BASE64},
    {"method", ADMIN_HAS_METHOD},
    {"payload", ADMIN_HAS_PAYLOAD},
    {"payload_text", ADMIN_HAS_PAYLOAD_TEXT},
    {"payload_base64", ADMIN_HAS_PAYLOAD_BASE64},
    {"content_type", ADMIN_HAS_CONTENT_TYPE},
    {"timeout_ms", ADMIN_HAS_TIMEOUT_MS},
    {"type", ADMIN_HAS_TYPE},
    {"pattern", ADMIN_HAS_PATTERN},
    {"limit", ADMIN_HAS_LIMIT},
    {"drain", ADMIN_HAS_DRAIN},
    {"once", ADMIN_HAS_ONCE},
    {"once_base64", ADMIN_HAS_ONCE_BASE64},
    {"version", ADMIN_HAS_VERSION},
    {"after", ADMIN_HAS_AFTER},
    {"number", ADMIN_HAS_NUMBER},
    {"check", ADMIN_HAS_CHECK},
    {"name", ADMIN_HAS_NAME},
    {"eventual", ADMIN_HAS_EVENTUAL},
    {"node", ADMIN_HAS_NODE},
    {"dry_run", ADMIN_HAS_DRY_RUN},
};
#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

static troupe_status refuse(admin_request *request, const char *format, ...)
    TROUPE_PRINTF(2, 3);

static troupe_status refuse(admin_request *request, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(request->error, sizeof(request->error), format, arguments);
    va_end(arguments);
    return TROUPE_USAGE;
}

static troupe_status no_memory(admin_request *request)
{
    snprintf(request->error, sizeof(request->error), "no memory to read the request");
    return TROUPE_NO_MEMORY;
}

/* A name as it may stand in an error: short and without bytes that disturb. */
static const char *shown(const char *name, char out[40])
{
    snprintf(out, 40, "%.36s%s", name, strlen(name) > 36 ? "..." : "");
    return out;
}

static troupe_status read_root(admin_request *request, troupe_slice line)
{
    json_error_t error;
    if (line.size > ADMIN_LINE_MAX) return refuse(request, "the line is too long");
    /* jansson 2.14 overlooks a 0 that comes after a number. */
    if (memchr(line.data, 0, line.size) != NULL) {
        return refuse(request, "the line is no JSON object: it has a byte 0");
    }
    request->root = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                               &error);
    if (request->root == NULL && json_error_code(&error) == json_error_out_of_memory) {
        return no_memory(request);
    }
    if (request->root == NULL) {
        return refuse(request, "the line is no JSON object: %s, at byte %d", error.text,
                      error.position);
    }
    if (!json_is_object(request->root)) {
        return refuse(request, "the line is JSON but no object: write {\"do\":\"ping\"}");
    }
    return TROUPE_OK;
}

static troupe_status read_id(admin_request *request)
{
    json_t *id = json_object_get(request->root, "id");
    if (id == NULL || json_is_null(id)) return TROUPE_OK;
    if (json_is_integer(id)) {
        snprintf(request->id, sizeof(request->id), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(id));
        return TROUPE_OK;
    }
    if (!json_is_string(id) || json_string_length(id) > ADMIN_ID_MAX) {
        return refuse(request, "\"id\" is to be an integer, or a string of at most %d bytes",
                      ADMIN_ID_MAX);
    }
    cmd_bytes text = {0};
    cmd_bytes_json(&text, troupe_slice_of(json_string_value(id), json_string_length(id)));
    bool failed = text.failed || text.size >= sizeof(request->id);
    if (!failed) {
        memcpy(request->id, text.data, text.size);
        request->id[text.size] = 0;
    }
    cmd_bytes_deinit(&text);
    return failed ? no_memory(request) : TROUPE_OK;
}

static troupe_status read_verb(admin_request *request, size_t *ret_index)
{
    json_t *verb = json_object_get(request->root, "do");
    char word[40];
    if (!json_is_string(verb)) {
        return refuse(request, "\"do\" is missing or no string: write {\"do\":\"ping\"}");
    }
    const char *name = json_string_value(verb);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(name, verbs[i].name) != 0 || strlen(name) != json_string_length(verb)) continue;
        request->verb = verbs[i].verb;
        *ret_index = i;
        return TROUPE_OK;
    }
    const char *names[VERB_COUNT];
    for (size_t i = 0; i < VERB_COUNT; i++) names[i] = verbs[i].name;
    const char *nearest = troupe_nearest_name(name, names, VERB_COUNT);
    if (nearest != NULL) {
        return refuse(request, "\"do\" does not know \"%s\": did you mean \"%s\"?",
                      shown(name, word), nearest);
    }
    return refuse(request, "\"do\" does not know \"%s\"", shown(name, word));
}

static troupe_status check_member(admin_request *request, size_t verb, const char *name)
{
    char word[40];
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (strcmp(name, members[i].name) != 0) continue;
        if (members[i].bit == 0) return TROUPE_OK;
        request->has |= members[i].bit;
        if ((verbs[verb].members & members[i].bit) != 0) return TROUPE_OK;
        return refuse(request, "\"%s\" takes no \"%s\"", verbs[verb].name, name);
    }
    const char *names[MEMBER_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        unsigned bit = members[i].bit;
        if (bit == 0 || (verbs[verb].members & bit) != 0) names[count++] = members[i].name;
    }
    const char *nearest = troupe_nearest_name(name, names, count);
    if (nearest != NULL) {
        return refuse(request, "\"%s\" takes no \"%s\": did you mean \"%s\"?", verbs[verb].name,
                      shown(name, word), nearest);
    }
    return refuse(request, "\"%s\" takes no \"%s\"", verbs[verb].name, shown(name, word));
}

/* A member that is a string; `*ret_text` stays as it was if it is absent. */
static troupe_status read_text(admin_request *request, const char *name, troupe_slice *ret_text)
{
    json_t *member = json_object_get(request->root, name);
    if (member == NULL) return TROUPE_OK;
    if (!json_is_string(member)) return refuse(request, "\"%s\" is to be a string", name);
    *ret_text = troupe_slice_of(json_string_value(member), json_string_length(member));
    return TROUPE_OK;
}

/* The same for what is handed on as a C string. */
static troupe_status read_word(admin_request *request, const char *name, size_t longest,
                               const char **ret_word)
{
    troupe_slice text = {0};
    troupe_status status = read_text(request, name, &text);
    if (status != TROUPE_OK || text.data == NULL) return status;
    if (text.size == 0 || text.size > longest || memchr(text.data, 0, text.size) != NULL) {
        return refuse(request, "\"%s\" is to have 1 to %zu bytes, none of them 0", name, longest);
    }
    *ret_word = text.data;
    return TROUPE_OK;
}

static troupe_status read_base64(admin_request *request, const char *name, char **ret_owned,
                                 troupe_slice *ret_data)
{
    troupe_slice text = {0};
    troupe_status status = read_text(request, name, &text);
    if (status != TROUPE_OK || text.data == NULL) return status;
    size_t size = 0;
    char *data = malloc(text.size / 4 * 3 + 1);
    if (data == NULL) return no_memory(request);
    *ret_owned = data;
    if (!cmd_base64_decode(text, data, &size)) {
        return refuse(request, "\"%s\" is no base64 (RFC 4648, with padding)", name);
    }
    *ret_data = troupe_slice_of(data, size);
    return TROUPE_OK;
}

static troupe_status read_actor(admin_request *request)
{
    troupe_slice text = {0};
    const char *reason = NULL;
    if ((request->has & ADMIN_TAKES_ACTOR) == ADMIN_TAKES_ACTOR) {
        return refuse(request, "\"actor\" and \"actor_base64\" exclude each other");
    }
    TROUPE_TRY(read_text(request, "actor", &text));
    TROUPE_TRY(read_base64(request, "actor_base64", &request->actor_owned, &text));
    if (text.data == NULL) {
        return refuse(request, "\"actor\" is missing: write \"actor\":\"type/key\"");
    }
    if (troupe_id_parse(text, &request->actor, &reason) != TROUPE_OK) {
        return refuse(request, "\"actor\" is no id: %s", reason != NULL ? reason : "type/key");
    }
    return TROUPE_OK;
}

static troupe_status read_payload(admin_request *request)
{
    unsigned forms = request->has & (ADMIN_HAS_PAYLOAD | ADMIN_HAS_PAYLOAD_TEXT |
                                     ADMIN_HAS_PAYLOAD_BASE64);
    if ((forms & (forms - 1)) != 0) {
        return refuse(request, "only one of \"payload\", \"payload_text\" and "
                               "\"payload_base64\" can be given");
    }
    json_t *json = json_object_get(request->root, "payload");
    if (json != NULL) {
        request->payload_owned = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
        if (request->payload_owned == NULL) return no_memory(request);
        request->payload = troupe_str(request->payload_owned);
        request->content_type = TROUPE_JSON;
        return TROUPE_OK;
    }
    if (forms == ADMIN_HAS_PAYLOAD_TEXT) request->content_type = TROUPE_TEXT;
    TROUPE_TRY(read_text(request, "payload_text", &request->payload));
    return read_base64(request, "payload_base64", &request->payload_owned, &request->payload);
}

static troupe_status read_timeout(admin_request *request)
{
    json_t *member = json_object_get(request->root, "timeout_ms");
    if (member == NULL) return TROUPE_OK;
    if (!json_is_integer(member) || json_integer_value(member) < 1 ||
        json_integer_value(member) > ADMIN_TIMEOUT_MS_MAX) {
        return refuse(request, "\"timeout_ms\" is to be an integer from 1 to %lld",
                      (long long)ADMIN_TIMEOUT_MS_MAX);
    }
    request->timeout = TROUPE_MILLISECONDS(json_integer_value(member));
    return TROUPE_OK;
}

static troupe_status read_call(admin_request *request)
{
    TROUPE_TRY(read_word(request, "method", ADMIN_METHOD_MAX, &request->method));
    if (request->method == NULL) return refuse(request, "\"method\" is missing");
    TROUPE_TRY(read_payload(request));
    return read_word(request, "content_type", ADMIN_CONTENT_TYPE_MAX, &request->content_type);
}

static troupe_status read_once(admin_request *request)
{
    if ((request->has & ADMIN_TAKES_ONCE) == ADMIN_TAKES_ONCE) {
        return refuse(request, "\"once\" and \"once_base64\" exclude each other");
    }
    TROUPE_TRY(read_text(request, "once", &request->once));
    TROUPE_TRY(read_base64(request, "once_base64", &request->once_owned, &request->once));
    if (request->once.data != NULL && request->once.size - 1 >= ADMIN_ONCE_MAX) {
        return refuse(request, "\"once\" is to have 1 to %d bytes", ADMIN_ONCE_MAX);
    }
    return TROUPE_OK;
}

/* What requests about stored things name. */
static troupe_status read_stored(admin_request *request, unsigned takes)
{
    json_t *version = json_object_get(request->root, "version");
    if ((takes & ADMIN_HAS_VERSION) != 0) {
        if (!json_is_integer(version) || json_integer_value(version) < 1) {
            return refuse(request, "\"version\" is to be that of a snapshot: an integer from 1");
        }
        request->version = (uint64_t)json_integer_value(version);
    }
    TROUPE_TRY(read_text(request, "after", &request->after));
    TROUPE_TRY(read_word(request, "number", ADMIN_NUMBER_MAX, &request->number));
    if ((takes & ADMIN_HAS_NUMBER) != 0 && request->number == NULL) {
        return refuse(request, "\"number\" is missing: that of a dead letter, as \"12.0\"");
    }
    TROUPE_TRY(read_word(request, "name", ADMIN_REMINDER_MAX, &request->name));
    if ((takes & ADMIN_HAS_NAME) != 0 && request->name == NULL) {
        return refuse(request, "\"name\" is missing: that of a reminder");
    }
    return TROUPE_OK;
}

static troupe_status read_limit(admin_request *request)
{
    json_t *limit = json_object_get(request->root, "limit");
    request->limit = ADMIN_LIST_LIMIT;
    if (limit == NULL) return TROUPE_OK;
    if (!json_is_integer(limit) || json_integer_value(limit) < 1 ||
        json_integer_value(limit) > ADMIN_LIST_LIMIT_MAX) {
        return refuse(request, "\"limit\" is to be an integer from 1 to %d", ADMIN_LIST_LIMIT_MAX);
    }
    request->limit = (size_t)json_integer_value(limit);
    return TROUPE_OK;
}

/* `*is_true` stays as it is if it is not said. */
static troupe_status read_truth(admin_request *request, const char *name, bool *is_true)
{
    json_t *truth = json_object_get(request->root, name);
    if (truth == NULL) return TROUPE_OK;
    if (!json_is_boolean(truth)) return refuse(request, "\"%s\" is to be true or false", name);
    *is_true = json_is_true(truth);
    return TROUPE_OK;
}

bool admin_is_remote(admin_verb verb)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (verbs[i].verb == verb) return verbs[i].is_remote;
    }
    return false;
}

troupe_status admin_request_parse(admin_request *request, troupe_slice line)
{
    size_t verb = 0;
    const char *name = NULL;
    json_t *value = NULL;
    *request = (admin_request){.id = "null"};
    TROUPE_TRY(read_root(request, line));
    TROUPE_TRY(read_id(request));
    TROUPE_TRY(read_verb(request, &verb));
    json_object_foreach (request->root, name, value) {
        TROUPE_TRY(check_member(request, verb, name));
    }
    if (verbs[verb].needs_actor || (request->has & ADMIN_TAKES_ACTOR) != 0) {
        TROUPE_TRY(read_actor(request));
    }
    if ((verbs[verb].members & ADMIN_HAS_METHOD) != 0) TROUPE_TRY(read_call(request));
    TROUPE_TRY(read_timeout(request));
    TROUPE_TRY(read_once(request));
    TROUPE_TRY(read_stored(request, verbs[verb].members));
    TROUPE_TRY(read_text(request, "type", &request->type));
    TROUPE_TRY(read_text(request, "pattern", &request->pattern));
    TROUPE_TRY(read_limit(request));
    request->is_drain = true;
    TROUPE_TRY(read_truth(request, "check", &request->is_check));
    TROUPE_TRY(read_truth(request, "eventual", &request->is_eventual));
    TROUPE_TRY(read_truth(request, "dry_run", &request->is_dry_run));
    TROUPE_TRY(read_word(request, "node", ADMIN_NODE_MAX, &request->node));
    return read_truth(request, "drain", &request->is_drain);
}

void admin_request_deinit(admin_request *request)
{
    json_decref(request->root);
    free(request->payload_owned);
    free(request->actor_owned);
    free(request->once_owned);
    request->root = NULL;
    request->payload_owned = NULL;
    request->actor_owned = NULL;
    request->once_owned = NULL;
}
