/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request over HTTP asks for, from its path and its header fields: pure functions over bytes
 * that a stranger chose. Not the protocol itself, which is the HTTP library's; request.c calls this
 * with the path as it came, nothing of it decoded.
 *
 * Invariants
 * 1. Per cent escapes are taken away once: what is behind them is a name and never again a path.
 * 2. What parses is an id that the node takes: valid names, a key of 1 to TP_KEY_MAX bytes of UTF-8
 *    without control characters, '/', '\', '#' and '?', and neither "." nor "..".
 * Threads: pure.
 */
#ifndef TP_GATEWAY_ROUTE_H
#define TP_GATEWAY_ROUTE_H

#include "base/limits.h"

#include <troupe.h>

enum {
    TP_ROUTE_PATH_MAX = 8192, /* bytes as they came; an id of the largest size, all escaped, fits */
    TP_ROUTE_ONCE_MAX = 64,
};

/* What a route takes, as bits. */
typedef enum tp_verb {
    TP_VERB_GET = 1,
    TP_VERB_HEAD = 2,
    TP_VERB_POST = 4,
    TP_VERB_PUT = 8,
    TP_VERB_DELETE = 16,
} tp_verb;

#define TP_VERB_READ  (TP_VERB_GET | TP_VERB_HEAD)
#define TP_VERB_WRITE (TP_VERB_POST | TP_VERB_PUT)
#define TP_VERB_ANY   (TP_VERB_GET | TP_VERB_POST | TP_VERB_PUT | TP_VERB_DELETE)

/* X(NAME, path, verbs, needs a token). {type}, {id} and {name} stand for a part of a path; the last
 * one takes all that follows, and a slash in it is refused with words. docs/openapi.yaml has them
 * all. */
#define TP_ROUTE_MAP(X)                                                                      \
    X(INVOKE, "/v1.0/actors/{type}/{id}/method/{name}", TP_VERB_ANY, true)                   \
    X(STATE, "/v1.0/actors/{type}/{id}/state/{name}", TP_VERB_READ, true)                    \
    X(SAVE, "/v1.0/actors/{type}/{id}/state", TP_VERB_WRITE, true)                           \
    X(REMINDER, "/v1.0/actors/{type}/{id}/reminders/{name}", TP_VERB_ANY, true)              \
    X(TIMER, "/v1.0/actors/{type}/{id}/timers/{name}", TP_VERB_WRITE | TP_VERB_DELETE, true) \
    X(HEALTH, "/v1.0/healthz", TP_VERB_READ, false)                                          \
    X(OUTBOUND, "/v1.0/healthz/outbound", TP_VERB_READ, false)                               \
    X(LIVE, "/livez", TP_VERB_READ, false)                                                   \
    X(READY, "/readyz", TP_VERB_READ, false)                                                 \
    X(DISCOVER, "/v1/troupe/actors", TP_VERB_READ, true)                                     \
    X(ACTIVE, "/v1/troupe/actors/{type}/{id}/method/{name}", TP_VERB_ANY, true)              \
    X(UPDATES, "/v1/troupe/actors/{type}/{id}/updates", TP_VERB_GET, true)                   \
    X(LOOKUP, "/v1/troupe/actors/{type}/{id}", TP_VERB_READ, true)                           \
    X(EVENTS, "/v1/troupe/events", TP_VERB_GET, true)                                        \
    X(STATS, "/v1/troupe/stats", TP_VERB_READ, true)                                         \
    X(METADATA, "/v1.0/metadata", TP_VERB_READ, true)                                        \
    X(METRICS, "/metrics", TP_VERB_READ, true)

typedef enum tp_route_kind {
#define TP_ROUTE_CONSTANT(name, path, verbs, token) TP_ROUTE_##name,
    TP_ROUTE_MAP(TP_ROUTE_CONSTANT)
#undef TP_ROUTE_CONSTANT
} tp_route_kind;

typedef struct tp_route {
    tp_route_kind kind;
    unsigned verbs;
    bool is_open;     /* no token is asked for */
    troupe_id id;     /* borrows from `room`; of a route with {id} */
    const char *name; /* in `room`, ends with NUL; "": the route has none */
    char room[TP_ID_MAX + 1 + TP_NAME_MAX + 1];
} tp_route;

/* `path` begins with '/' and has no query. NOT_FOUND: there is no such page. USAGE: it names what
 * cannot be. `*ret_reason` says in words what is wrong, a static text. */
TROUPE_CHECK troupe_status tp_route_parse(
    troupe_slice path, tp_route *ret_route, const char **ret_reason);

/* The bit of a method of HTTP; 0: it is none of these. */
unsigned tp_verb_of(const char *method);

/* "GET, HEAD", for the field Allow and the words of a refusal; static. */
const char *tp_verb_names(unsigned verbs);

/* The value of a parameter of a query, without its escapes. False: it does not fit into `room`
 * bytes with its end mark, or is no UTF-8, or has control characters. */
bool tp_route_value(const char *value, char *out, size_t room);

/* Does If-None-Match name `tag`, which is quoted? Weak ones count as well (RFC 9110, 13.1.2). */
bool tp_route_tag_is_known(const char *field, const char *tag);

/* Does a header field "Bearer TOKEN", or a bare token with `bearer` false, show the one of the
 * node? The time it takes depends on the lengths only. NULL: there was no such field. */
bool tp_route_token_is(const char *field, bool bearer, const char *token);

/* Is it, without its port, a name or address of this machine only? A page of a foreign site can
 * have its name resolve to this machine, but not take another name. */
bool tp_route_host_is_local(const char *host);

#endif
