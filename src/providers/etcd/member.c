/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `etcd`: plain keys and transactions of etcd 3.4 or newer, over its JSON
 * gateway. No etcd leases: whose lease runs, the members count by their own clocks.
 *
 *   PREFIX/CLUSTER/view/number, …/view/text     written together
 *   PREFIX/CLUSTER/register/INCARNATION         count, or count and `!`: revoked at it
 *
 * In the gateway's JSON keys and values are base64, 64-bit numbers are strings, and what is false,
 * 0 or empty is left out: a transaction whose comparison failed has no `succeeded`.
 *
 * Invariants
 * 1. A change is one transaction, compared by the value (or by there being no such key).
 * 2. Reads are linearizable: `serializable` is never asked for.
 * 3. Registers that a view keeps not are listed before that view is stored and removed after: what
 *    is there before it is of an earlier view's members.
 *
 * Threads: a handle's own; hurry any.
 */
#include "base/alloc.h"
#include "providers/etcd/etcd.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_MAX = 2 * TP_ETCD_TEXT + 64, VALUE_MAX = 32, REMOVED_AT_ONCE = 100 };
#define MILLISECOND UINT64_C(1000000)
#define SLICE       TROUPE_SECONDS(5) /* of a watch, that the number is looked at again */

typedef struct etcd_members {
    troupe_membership port;
    troupe_membership_host host;
    tp_etcd_url url;
    tp_etcd_http http;
    tp_etcd_buffer body;
    char base[2 * TP_ETCD_TEXT]; /* PREFIX/CLUSTER/ */
    char promises[128];
} etcd_members;

static etcd_members *members_of(troupe_membership *port)
{
    return (etcd_members *)(void *)port;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void begin(etcd_members *self)
{
    self->body.size = 0;
    self->body.failed = false;
    self->port.error[0] = '\0';
}

static void put_key(etcd_members *self, const char *name, const char *format, ...)
    TROUPE_PRINTF(3, 4);
static void put_key(etcd_members *self, const char *name, const char *format, ...)
{
    char key[KEY_MAX], rest[64];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rest, sizeof rest, format, arguments);
    va_end(arguments);
    (void)snprintf(key, sizeof key, "%s%s", self->base, rest);
    tp_etcd_print(&self->body, "\"%s\":", name);
    tp_etcd_put_base64(&self->body, troupe_str(key));
}

static void put_value(etcd_members *self, troupe_slice value)
{
    tp_etcd_print(&self->body, ",\"value\":");
    tp_etcd_put_base64(&self->body, value);
}

static tp_etcd_outcome sign_in(etcd_members *self, uint64_t timeout)
{
    tp_etcd_buffer body = {.allocator = self->host.allocator};
    json_t *login = json_pack("{s:s, s:s}", "name", self->url.user, "password", self->url.password);
    char *text = login != NULL ? json_dumps(login, JSON_COMPACT) : NULL;
    self->http.token[0] = '\0';
    if (text != NULL)
        tp_etcd_put(&body, text, strlen(text));
    json_decref(login);
    free(text); /* tidy: free: jansson's own memory is malloc's */
    tp_etcd_outcome outcome = tp_etcd_post(&self->http, "/v3/auth/authenticate", &body, timeout);
    tp_etcd_buffer_deinit(&body);
    if (outcome != TP_ETCD_ANSWERED)
        return outcome;
    json_t *answer = json_loadb(self->http.in.data, self->http.in.size, 0, NULL);
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (token != NULL)
        (void)snprintf(self->http.token, sizeof self->http.token, "Authorization: %.240s", token);
    json_decref(answer);
    return token != NULL ? TP_ETCD_ANSWERED : TP_ETCD_DENIED;
}

/* Posts the body; signs in first, or again, if that is asked for. */
static tp_etcd_outcome post(etcd_members *self, const char *path, uint64_t timeout)
{
    bool has_login = self->url.user[0] != '\0';
    uint64_t end = self->host.now(self->host.context) + timeout;
    tp_etcd_outcome outcome = TP_ETCD_ANSWERED;
    bool is_fresh = has_login && self->http.token[0] == '\0';
    if (is_fresh)
        outcome = sign_in(self, timeout);
    if (outcome == TP_ETCD_ANSWERED)
        outcome = tp_etcd_post(&self->http, path, &self->body, timeout);
    else
        outcome = TP_ETCD_REFUSED;
    uint64_t now = self->host.now(self->host.context);
    if (outcome == TP_ETCD_DENIED && has_login && !is_fresh && now < end) {
        outcome = sign_in(self, end - now);
        outcome = outcome == TP_ETCD_ANSWERED
                      ? tp_etcd_post(&self->http, path, &self->body, end - now)
                      : TP_ETCD_REFUSED;
    }
    if (outcome != TP_ETCD_ANSWERED)
        (void)snprintf(self->port.error, sizeof self->port.error, "%.250s", self->http.error);
    return outcome;
}

static troupe_status ask(
    etcd_members *self, const char *path, uint64_t timeout, json_t **ret_answer)
{
    if (self->body.failed)
        return TROUPE_NO_MEMORY;
    tp_etcd_outcome outcome = post(self, path, timeout);
    if (outcome == TP_ETCD_NO_ANSWER)
        return TROUPE_UNKNOWN;
    if (outcome != TP_ETCD_ANSWERED)
        return TROUPE_UNAVAILABLE;
    *ret_answer = json_loadb(self->http.in.data, self->http.in.size, 0, NULL);
    if (*ret_answer != NULL)
        return TROUPE_OK;
    (void)snprintf(self->port.error, sizeof self->port.error, "etcd: its answer is no JSON");
    return TROUPE_UNKNOWN;
}

/* Of a transaction: did its comparison hold? */
static troupe_status finish(etcd_members *self, uint64_t timeout)
{
    json_t *answer = NULL;
    TROUPE_TRY(ask(self, "/v3/kv/txn", timeout, &answer));
    bool succeeded = json_is_true(json_object_get(answer, "succeeded"));
    json_decref(answer);
    return succeeded ? TROUPE_OK : TROUPE_CONFLICT;
}

/* All keys between NAME/ and what follows on it. */
static troupe_status read_range(
    etcd_members *self, const char *name, bool keys_only, uint64_t timeout, json_t **ret_answer)
{
    begin(self);
    tp_etcd_print(&self->body, "{");
    put_key(self, "key", "%s/", name);
    tp_etcd_print(&self->body, ",");
    put_key(self, "range_end", "%s0", name); /* '0' follows on '/' */
    tp_etcd_print(&self->body, "%s}", keys_only ? ",\"keys_only\":true" : "");
    troupe_status status = ask(self, "/v3/kv/range", timeout, ret_answer);
    return status == TROUPE_UNKNOWN ? TROUPE_UNAVAILABLE : status;
}

/* ---- answers --------------------------------------------------------------------------------- */

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes base64 in place, for the answer is ours; a 0 follows. */
static troupe_slice decode(json_t *value)
{
    char *text = (char *)(uintptr_t)json_string_value(value);
    size_t size = json_string_length(value), used = 0;
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < size && digit_of(text[i]) >= 0; i++) {
        bits = bits << 6 | (unsigned)digit_of(text[i]);
        count += 6;
        if (count >= 8) {
            count -= 8;
            text[used++] = (char)(bits >> count & 255);
        }
    }
    if (text != NULL && size != 0)
        text[used] = '\0';
    return troupe_slice_of(text != NULL ? text : "", text != NULL ? used : 0);
}

/* The name behind the base and `folder`; NULL: it is none of those. */
static const char *name_in(const etcd_members *self, troupe_slice key, const char *folder)
{
    size_t base = strlen(self->base), size = strlen(folder);
    const char *text = key.data;
    return key.size > base + size && memcmp(text + base, folder, size) == 0 ? text + base + size
                                                                            : NULL;
}

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    etcd_members *self = members_of(port);
    json_t *answer = NULL, *pair;
    size_t i;
    uint64_t number = 0;
    troupe_slice body = {NULL, 0};
    TROUPE_TRY(read_range(self, "view", false, timeout, &answer));
    json_array_foreach(json_object_get(answer, "kvs"), i, pair)
    {
        const char *name = name_in(self, decode(json_object_get(pair, "key")), "view/");
        troupe_slice value = decode(json_object_get(pair, "value"));
        if (name != NULL && strcmp(name, "number") == 0)
            number = strtoull(value.data, NULL, 10);
        else if (name != NULL && strcmp(name, "text") == 0)
            body = value;
    }
    if (number != 0)
        on_view(user, number, body);
    json_decref(answer);
    return TROUPE_OK;
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    etcd_members *self = members_of(port);
    json_t *answer = NULL, *pair;
    size_t i;
    TROUPE_TRY(read_range(self, "register", false, timeout, &answer));
    json_array_foreach(json_object_get(answer, "kvs"), i, pair)
    {
        const char *name = name_in(self, decode(json_object_get(pair, "key")), "register/");
        troupe_slice value = decode(json_object_get(pair, "value"));
        if (name == NULL)
            continue;
        on_register(user, &(troupe_register){.incarnation = strtoull(name, NULL, 10),
                              .count = strtoull(value.data, NULL, 10),
                              .revoked = memchr(value.data, '!', value.size) != NULL});
    }
    json_decref(answer);
    *ret_run = 0;
    return TROUPE_OK;
}

/* ---- changes --------------------------------------------------------------------------------- */

static bool is_kept(const char *name, const uint64_t *kept, size_t count)
{
    uint64_t incarnation = strtoull(name, NULL, 10);
    for (size_t i = 0; i < count; i++)
        if (kept[i] == incarnation)
            return true;
    return false;
}

/* Some of those that nobody needs; what is not removed is so with a later view. */
static void remove_others(etcd_members *self, const json_t *listed, uint64_t timeout,
    const uint64_t *kept, size_t kept_count)
{
    json_t *answer = NULL, *pair;
    size_t i, removed = 0;
    begin(self);
    tp_etcd_print(&self->body, "{\"success\":[");
    json_array_foreach(json_object_get(listed, "kvs"), i, pair)
    {
        const char *name = name_in(self, decode(json_object_get(pair, "key")), "register/");
        if (name == NULL || removed == REMOVED_AT_ONCE || is_kept(name, kept, kept_count))
            continue;
        tp_etcd_print(&self->body, "%s{\"request_delete_range\":{", removed++ != 0 ? "," : "");
        put_key(self, "key", "register/%.32s", name);
        tp_etcd_print(&self->body, "}}");
    }
    tp_etcd_print(&self->body, "]}");
    if (removed != 0 && ask(self, "/v3/kv/txn", timeout, &answer) == TROUPE_OK)
        json_decref(answer);
}

static void put_compare(etcd_members *self, const char *key, const char *before)
{
    tp_etcd_print(&self->body, "{\"compare\":[{\"result\":\"EQUAL\",");
    put_key(self, "key", "%s", key);
    if (before == NULL) {
        tp_etcd_print(&self->body, ",\"target\":\"CREATE\",\"create_revision\":\"0\"");
    } else {
        tp_etcd_print(&self->body, ",\"target\":\"VALUE\"");
        put_value(self, troupe_str(before));
    }
    tp_etcd_print(&self->body, "}],\"success\":[");
}

static void put_put(etcd_members *self, const char *key, troupe_slice value)
{
    tp_etcd_print(&self->body, "{\"request_put\":{");
    put_key(self, "key", "%s", key);
    put_value(self, value);
    tp_etcd_print(&self->body, "}}");
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    etcd_members *self = members_of(port);
    uint64_t end = self->host.now(self->host.context) + timeout;
    char before[VALUE_MAX], after[VALUE_MAX];
    json_t *listed = NULL;
    if (text.size == 0 || text.size > TROUPE_VIEW_MAX)
        return TROUPE_TOO_LARGE;
    TROUPE_TRY(read_range(self, "register", true, timeout, &listed));
    (void)snprintf(before, sizeof before, "%" PRIu64, number - 1);
    (void)snprintf(after, sizeof after, "%" PRIu64, number);
    begin(self);
    put_compare(self, "view/number", number > 1 ? before : NULL);
    put_put(self, "view/number", troupe_str(after));
    tp_etcd_print(&self->body, ",");
    put_put(self, "view/text", text);
    tp_etcd_print(&self->body, "]}");
    uint64_t now = self->host.now(self->host.context);
    troupe_status status = now < end ? finish(self, end - now) : TROUPE_UNAVAILABLE;
    now = self->host.now(self->host.context);
    if (status == TROUPE_OK && now < end)
        remove_others(self, listed, end - now, kept, kept_count);
    json_decref(listed);
    return status;
}

static troupe_status change(
    etcd_members *self, uint64_t timeout, uint64_t incarnation, uint64_t count, const char *after)
{
    char key[VALUE_MAX + 16], before[VALUE_MAX];
    (void)snprintf(key, sizeof key, "register/%" PRIu64, incarnation);
    (void)snprintf(before, sizeof before, "%" PRIu64, count);
    begin(self);
    put_compare(self, key, count > 0 ? before : NULL);
    put_put(self, key, troupe_str(after));
    tp_etcd_print(&self->body, "]}");
    return finish(self, timeout);
}

static troupe_status raise_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    char after[VALUE_MAX];
    (void)snprintf(after, sizeof after, "%" PRIu64, count + 1);
    return change(members_of(port), timeout, incarnation, count, after);
}

static troupe_status revoke_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    char after[VALUE_MAX];
    (void)snprintf(after, sizeof after, "%" PRIu64 "!", count);
    return change(members_of(port), timeout, incarnation, count, after);
}

/* ---- watching -------------------------------------------------------------------------------- */

static troupe_status read_number(
    etcd_members *self, uint64_t timeout, uint64_t *ret_number, uint64_t *ret_revision)
{
    json_t *answer = NULL;
    begin(self);
    tp_etcd_print(&self->body, "{");
    put_key(self, "key", "view/number");
    tp_etcd_print(&self->body, "}");
    troupe_status status = ask(self, "/v3/kv/range", timeout, &answer);
    if (status != TROUPE_OK)
        return status == TROUPE_UNKNOWN ? TROUPE_UNAVAILABLE : status;
    json_t *pair = json_array_get(json_object_get(answer, "kvs"), 0);
    const char *revision =
        json_string_value(json_object_get(json_object_get(answer, "header"), "revision"));
    *ret_number =
        pair != NULL ? strtoull(decode(json_object_get(pair, "value")).data, NULL, 10) : 0;
    *ret_revision = revision != NULL ? strtoull(revision, NULL, 10) : 0;
    json_decref(answer);
    return TROUPE_OK;
}

/* Ends with the first event, and with the slice of time. */
static void follow(etcd_members *self, uint64_t revision, uint64_t timeout)
{
    begin(self);
    tp_etcd_print(&self->body, "{\"create_request\":{");
    put_key(self, "key", "view/number");
    tp_etcd_print(&self->body, ",\"start_revision\":\"%" PRIu64 "\"}}", revision + 1);
    self->http.until = "\"events\"";
    (void)post(self, "/v3/watch", timeout);
    self->http.until = NULL;
}

static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    etcd_members *self = members_of(port);
    uint64_t end = self->host.now(self->host.context) + timeout;
    for (;;) {
        uint64_t now = self->host.now(self->host.context), found = 0, revision = 0;
        if (now >= end)
            return TROUPE_TIMEOUT;
        uint64_t left = end - now;
        TROUPE_TRY(read_number(
            self, left < TROUPE_SECONDS(1) ? TROUPE_SECONDS(1) : left, &found, &revision));
        if (found != number)
            return TROUPE_OK;
        follow(self, revision, left < SLICE ? left : SLICE);
        if (atomic_load_explicit(&self->http.hurried, memory_order_acquire))
            return TROUPE_UNAVAILABLE;
    }
}

static void hurry(troupe_membership *port)
{
    atomic_store_explicit(&members_of(port)->http.hurried, true, memory_order_release);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void close_handle(troupe_membership *port)
{
    etcd_members *self = members_of(port);
    const troupe_allocator *allocator = self->host.allocator;
    tp_etcd_http_close(&self->http);
    tp_etcd_buffer_deinit(&self->body);
    memset(self->url.password, 0, sizeof self->url.password);
    tp_release(allocator, self, sizeof *self);
}

static troupe_status try_it(etcd_members *self, char *error, size_t error_size)
{
    uint64_t number, revision;
    if (!tp_etcd_http_open(&self->http)) {
        (void)snprintf(error, error_size, "etcd: no memory for a connection");
        return TROUPE_NO_MEMORY;
    }
    troupe_status status = read_number(self, TROUPE_SECONDS(5), &number, &revision);
    if (status != TROUPE_OK)
        (void)snprintf(error, error_size,
            "membership: %s: is it etcd 3.4 or newer, up, and is the URL's host right?",
            self->port.error);
    return status;
}

troupe_status tp_etcd_member_open(const troupe_membership_host *host, const char *url,
    const char *cluster, troupe_membership **ret_membership, char *error, size_t error_size)
{
    etcd_members *self = tp_allocate(host->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    memset(self, 0, sizeof *self);
    self->host = *host;
    self->http.url = &self->url;
    self->http.in.allocator = self->body.allocator = host->allocator;
    self->port = (troupe_membership){.size = sizeof self->port,
        .promises = self->promises,
        .read_view = read_view,
        .cas_view = cas_view,
        .raise = raise_register,
        .revoke = revoke_register,
        .read_registers = read_registers,
        .watch = watch,
        .hurry = hurry,
        .close = close_handle};
    troupe_status status = tp_etcd_url_read(url, &self->url, error, error_size);
    if (status == TROUPE_OK) {
        (void)snprintf(self->base, sizeof self->base, "%s%.128s/", self->url.prefix, cluster);
        status = try_it(self, error, error_size);
    }
    if (status != TROUPE_OK) {
        close_handle(&self->port);
        return status;
    }
    (void)snprintf(self->promises, sizeof self->promises,
        "etcd: leases and views below %.64s, linearizable, kept by a majority", self->base);
    *ret_membership = &self->port;
    return TROUPE_OK;
}
