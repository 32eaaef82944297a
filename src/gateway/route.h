/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request over HTTP asks for, from its path and its header fields: pure functions over bytes
 * that a stranger chose. Not the protocol itself, which is the HTTP library's; server.c calls this
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

/* X(NAME, path, needs a token) of the pages that are one path. */
#define TP_ROUTE_PAGE_MAP(X)                     \
    X(HEALTH, "/v1.0/healthz", false)            \
    X(OUTBOUND, "/v1.0/healthz/outbound", false) \
    X(LIVE, "/livez", false)                     \
    X(READY, "/readyz", false)                   \
    X(METADATA, "/v1.0/metadata", true)          \
    X(METRICS, "/metrics", true)

typedef enum tp_route_kind {
    TP_ROUTE_INVOKE, /* /v1.0/actors/TYPE/ID/method/NAME */
#define TP_ROUTE_CONSTANT(name, path, token) TP_ROUTE_##name,
    TP_ROUTE_PAGE_MAP(TP_ROUTE_CONSTANT)
#undef TP_ROUTE_CONSTANT
} tp_route_kind;

typedef struct tp_route {
    tp_route_kind kind;
    bool is_open;     /* no token is asked for */
    troupe_id id;     /* borrows from `room` */
    const char *name; /* of the method; in `room`, ends with NUL */
    char room[TP_ID_MAX + 1 + TP_NAME_MAX + 1];
} tp_route;

/* `path` begins with '/' and has no query. NOT_FOUND: there is no such page. USAGE: it names what
 * cannot be. `*ret_reason` says in words what is wrong, a static text. */
TROUPE_CHECK troupe_status tp_route_parse(
    troupe_slice path, tp_route *ret_route, const char **ret_reason);

/* "250us", "500ms", "2s", "1m": false: it is none of them, 0, or more than a day. */
bool tp_route_timeout(const char *text, uint64_t *ret_timeout);

/* Does a header field "Bearer TOKEN", or a bare token with `bearer` false, show the one of the
 * node? The time it takes depends on the lengths only. NULL: there was no such field. */
bool tp_route_token_is(const char *field, bool bearer, const char *token);

/* Is it, without its port, a name or address of this machine only? A page of a foreign site can
 * have its name resolve to this machine, but not take another name. */
bool tp_route_host_is_local(const char *host);

#endif
