/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads paths and header fields. See route.h.
 */
#include "gateway/route.h"

#include "base/id.h"
#include "base/text.h"

#include <string.h>
#include <strings.h>

typedef struct row {
    const char *path;
    tp_route_kind kind;
    unsigned verbs;
    bool needs_token;
} row;

static const row rows[] = {
#define ROW(name, path, verbs, token) {path, TP_ROUTE_##name, verbs, token},
    TP_ROUTE_MAP(ROW)
#undef ROW
};

/* ---- names in paths ------------------------------------------------------------------------- */

static int hex_of(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One byte of a name; `*at` goes behind it. -1: a per cent sign that begins no escape. */
static int next_byte(troupe_slice from, size_t *at)
{
    const char *data = from.data;
    char byte = data[(*at)++];
    if (byte != '%')
        return (unsigned char)byte;
    if (from.size - *at < 2)
        return -1;
    int high = hex_of(data[*at]), low = hex_of(data[*at + 1]);
    *at += 2;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What is wrong with a byte of a name; NULL: nothing. */
static const char *fault_of(int byte)
{
    if (byte < 0)
        return "a '%' in the path is not followed by two hexadecimal digits";
    if (byte == '/' || byte == '\\')
        return "a type, id or method has a slash or backslash in it, which no escape makes a name";
    if (byte == '#' || byte == '?')
        return "a type, id or method has a '#' or '?' in it";
    if (byte < 0x20 || byte == 0x7F)
        return "a type, id or method has a NUL or another control character in it";
    return NULL;
}

/* Decodes into `out`, at most `most` bytes; NULL: well, else what is wrong. */
static const char *decode(troupe_slice from, char *out, size_t most, size_t *ret_size)
{
    size_t size = 0;
    for (size_t at = 0; at < from.size;) {
        int byte = next_byte(from, &at);
        const char *fault = fault_of(byte);
        if (fault != NULL)
            return fault;
        if (size == most)
            return "a type, id or method is too long: 128 bytes, of an id 1024";
        out[size++] = (char)byte;
    }
    if (size == 0)
        return "a type, id or method is empty";
    if (out[0] == '.' && (size == 1 || (size == 2 && out[1] == '.')))
        return "a type, id or method is \".\" or \"..\"";
    if (!tp_text_is_utf8(troupe_slice_of(out, size)))
        return "a type, id or method is not UTF-8";
    *ret_size = size;
    return NULL;
}

bool tp_route_value(const char *value, char *out, size_t room)
{
    troupe_slice from = troupe_str(value);
    size_t size = 0;
    for (size_t at = 0; at < from.size;) {
        int byte = next_byte(from, &at);
        if (byte < 0x20 || byte == 0x7F || size + 1 >= room)
            return false;
        out[size++] = (char)byte;
    }
    out[size] = 0;
    return tp_text_is_utf8(troupe_slice_of(out, size));
}

/* What stands for the parts of a row's path that are in braces, not decoded. */
typedef struct parts {
    troupe_slice type, id, name;
} parts;

static troupe_slice *part_of(parts *self, const char *brace)
{
    if (strncmp(brace, "{type}", 6) == 0)
        return &self->type;
    return strncmp(brace, "{id}", 4) == 0 ? &self->id : &self->name;
}

/* Does `path` have the form of a row? The last part takes what is left. */
static bool fits(const char *form, troupe_slice path, parts *ret_parts)
{
    const char *at = path.data, *end = at + path.size;
    *ret_parts = (parts){.type = {NULL, 0}};
    while (*form != 0) {
        if (*form != '{') {
            if (at == end || *at++ != *form++)
                return false;
            continue;
        }
        troupe_slice *part = part_of(ret_parts, form);
        form += strcspn(form, "}") + 1;
        const char *stop = *form == 0 || at == end ? end : memchr(at, '/', (size_t)(end - at));
        if (stop == NULL)
            return false;
        *part = troupe_slice_of(at, (size_t)(stop - at));
        at = stop;
    }
    return at == end;
}

static troupe_status fail(troupe_status status, const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return status;
}

#define NO_PAGE "there is no such page: /v1.0/actors/TYPE/ID/method/METHOD calls an actor"

/* The id is put together as its text form, so that one parser judges it. */
static troupe_status read_parts(const parts *given, tp_route *route, const char **ret_reason)
{
    char *at = route->room;
    size_t size = 0;
    if (given->name.data != NULL && memchr(given->name.data, '/', given->name.size) != NULL)
        return fail(TROUPE_USAGE, ret_reason, "the name of a method or key has no slash in it");
    const char *fault = decode(given->type, at, 2 * TP_NAME_MAX + 1, &size);
    if (fault == NULL) {
        at += size;
        *at++ = '/';
        fault = decode(given->id, at, TP_KEY_MAX, &size);
    }
    if (fault == NULL) {
        at += size;
        *at++ = 0;
        size = 0;
        if (given->name.data != NULL)
            fault = decode(given->name, at, TP_NAME_MAX, &size);
    }
    if (fault != NULL)
        return fail(TROUPE_USAGE, ret_reason, fault);
    at[size] = 0;
    route->name = at;
    return tp_id_parse(troupe_slice_of(route->room, (size_t)(at - 1 - route->room)),
        &route->id.type, &route->id.partition, &route->id.key, ret_reason);
}

troupe_status tp_route_parse(troupe_slice path, tp_route *ret_route, const char **ret_reason)
{
    *ret_reason = NULL;
    if (path.size > TP_ROUTE_PATH_MAX)
        return fail(TROUPE_USAGE, ret_reason, "the path is longer than 8192 bytes");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        parts given;
        if (!fits(rows[i].path, path, &given))
            continue;
        ret_route->kind = rows[i].kind;
        ret_route->verbs = rows[i].verbs;
        ret_route->is_open = !rows[i].needs_token;
        ret_route->name = "";
        ret_route->id = (troupe_id){.type = {NULL, 0}};
        return given.type.data != NULL ? read_parts(&given, ret_route, ret_reason) : TROUPE_OK;
    }
    return fail(TROUPE_NOT_FOUND, ret_reason, NO_PAGE);
}

/* ---- methods of HTTP ------------------------------------------------------------------------ */

static const struct {
    const char *name;
    tp_verb verb;
} verbs[] = {{"GET", TP_VERB_GET}, {"HEAD", TP_VERB_HEAD}, {"POST", TP_VERB_POST},
    {"PUT", TP_VERB_PUT}, {"DELETE", TP_VERB_DELETE}};

unsigned tp_verb_of(const char *method)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(method, verbs[i].name) == 0)
            return verbs[i].verb;
    return 0;
}

const char *tp_verb_names(unsigned bits)
{
    switch (bits) {
    case TP_VERB_GET:
        return "GET";
    case TP_VERB_READ:
        return "GET, HEAD";
    case TP_VERB_WRITE:
        return "POST, PUT";
    case TP_VERB_WRITE | TP_VERB_DELETE:
        return "POST, PUT, DELETE";
    default:
        return "POST, PUT, GET, DELETE";
    }
}

/* ---- header fields --------------------------------------------------------------------------- */

bool tp_route_tag_is_known(const char *field, const char *tag)
{
    size_t size = strlen(tag);
    for (const char *at = field + strspn(field, " \t,"); *at != 0; at += strspn(at, " \t,")) {
        if (*at == '*')
            return true;
        at += strncmp(at, "W/", 2) == 0 ? 2 : 0;
        size_t length = strcspn(at, ",");
        while (length != 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
            length--;
        if (length == size && memcmp(at, tag, size) == 0)
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

bool tp_route_token_is(const char *field, bool bearer, const char *token)
{
    if (field == NULL)
        return false;
    if (bearer) {
        if (strncasecmp(field, "bearer ", 7) != 0)
            return false;
        field += 7 + strspn(field + 7, " ");
    }
    size_t given = strlen(field), wanted = strlen(token);
    unsigned difference = given != wanted || wanted == 0;
    for (size_t i = 0; i < given; i++)
        difference |= (unsigned char)field[i] ^ (unsigned char)token[wanted != 0 ? i % wanted : 0];
    return difference == 0;
}

bool tp_route_host_is_local(const char *host)
{
    size_t size = strcspn(host, ":");
    if (host[0] == '[') {
        size = strcspn(host, "]");
        return size == 4 && memcmp(host, "[::1", 4) == 0 && host[size] == ']' &&
               (host[size + 1] == 0 || host[size + 1] == ':');
    }
    if (size == 9 && strncasecmp(host, "localhost", 9) == 0)
        return true;
    return size > 4 && memcmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == size;
}
