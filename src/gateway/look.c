/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Troupe's own pages, below /v1/troupe: which actors are active, where one is and how it fares,
 * what the node has counted, and calls of actors that are active only. They show what `troupe
 * discover`, `lookup` and `stats` do, under the same names.
 *
 * Threads: inside.h; at the desk.
 */
#include "gateway/codes.h"
#include "gateway/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    PIECE = 6 * (TP_ID_MAX + TP_NAME_MAX) + 256, /* one actor, all of it escaped */
};

/* ---- what is asked, and answered ------------------------------------------------------------- */

static bool refuse(tp_request *request, const char *words)
{
    tp_gateway_add(&request->gateway->refused);
    tp_request_fail(
        request, 400, "ERR_BAD_REQUEST", TROUPE_USAGE, TROUPE_NOT_DONE, troupe_str(words));
    return false;
}

static void fail(tp_request *request, troupe_status status, const char *words)
{
    troupe_outcome outcome = troupe_status_outcome(status);
    tp_request_fail(request, tp_http_code(status, outcome),
        status == TROUPE_NOT_FOUND ? "ERR_ACTOR_NOT_ACTIVE" : "ERR_LOOK", status, outcome,
        troupe_str(words));
}

/* JSON that grows; after a want of room nothing is added. */
typedef struct page {
    tp_request *request;
    size_t count;
    bool is_short;
} page;

static void add(page *self, const tp_text *piece)
{
    self->is_short = self->is_short || !tp_request_append(self->request, tp_text_slice(piece));
}

static void finish(page *self)
{
    tp_request *request = self->request;
    request->answer_type = TROUPE_JSON;
    request->code = 200;
    request->stage = TP_REQUEST_ANSWERED;
    if (self->is_short)
        tp_request_fail(request, 503, "ERR_NO_ROOM", TROUPE_BUSY, TROUPE_NOT_DONE,
            troupe_str("no room for the answer: ask for less"));
}

static void add_actor(tp_text *out, troupe_id id, troupe_slice node)
{
    char text[TP_ID_MAX + 1];
    tp_text_printf(out, "{\"actor\":");
    tp_text_json(out, troupe_slice_of(text, troupe_id_print(id, text, sizeof text)));
    tp_text_printf(out, ",\"node\":");
    tp_text_json(out, node);
}

/* How long it may look. What its caller gave it goes on while it stands in line. False: it is over.
 */
static bool time_left(tp_request *request, uint64_t *ret_left)
{
    tp_env *env = request->gateway->host.env;
    uint64_t waited = env->now(env) - request->began;
    *ret_left = TP_DESK_PATIENCE;
    if (request->timeout == 0)
        return true;
    if (waited >= request->timeout) {
        fail(request, TROUPE_EXPIRED, "its time was over before it was looked at");
        return false;
    }
    uint64_t left = request->timeout - waited;
    if (left < *ret_left)
        *ret_left = left;
    return true;
}

/* ---- which actors are active ----------------------------------------------------------------- */

static void see_found(void *user, const troupe_cluster_found *found)
{
    page *self = user;
    char room[PIECE];
    tp_text piece;
    tp_text_init(&piece, room, sizeof room);
    if (self->count++ != 0)
        tp_text_printf(&piece, ",");
    add_actor(&piece, found->id, found->node);
    tp_text_printf(&piece, "}");
    add(self, &piece);
}

/* "3.0.4711", as an earlier answer gave it. */
static bool read_cursor(const char *text, troupe_cluster_cursor *ret_cursor)
{
    uint64_t *const parts[] = {&ret_cursor->member, &ret_cursor->shard, &ret_cursor->at};
    if (*text == 0)
        return true;
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 20 || text[digits] != (i < 2 ? '.' : 0))
            return false;
        *parts[i] = strtoull(text, NULL, 10);
        text += digits + 1;
    }
    return true;
}

static void discover(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char type[TP_NAME_MAX + 1], pattern[TP_KEY_MAX + 1], limit[12], after[72], room[160];
    troupe_cluster_cursor cursor = {.member = 0};
    page self = {.request = request};
    tp_text piece;
    if (!tp_request_parameter(request, "type", type, sizeof type) ||
        !tp_request_parameter(request, "pattern", pattern, sizeof pattern) ||
        !tp_request_parameter(request, "limit", limit, sizeof limit) ||
        !tp_request_parameter(request, "cursor", after, sizeof after))
        return;
    size_t most = limit[0] != 0 ? strtoul(limit, NULL, 10) : LIMIT_DEFAULT;
    if (most == 0 || most > LIMIT_MAX || limit[strspn(limit, "0123456789")] != 0) {
        (void)refuse(request, "limit is a number from 1 to 1000");
        return;
    }
    if (!read_cursor(after, &cursor)) {
        (void)refuse(request, "cursor is what the page before gave as such");
        return;
    }
    uint64_t left;
    if (!time_left(request, &left))
        return;
    tp_text_init(&piece, room, sizeof room);
    tp_text_printf(&piece, "{\"actors\":[");
    add(&self, &piece);
    troupe_status status = host->discover(
        host->node, troupe_str(type), troupe_str(pattern), most, left, &cursor, see_found, &self);
    if (status != TROUPE_OK) {
        fail(request, status, "");
        return;
    }
    tp_text_init(&piece, room, sizeof room);
    tp_text_printf(&piece, "],\"more\":%s,\"missed\":%s", cursor.is_over ? "false" : "true",
        cursor.has_missed ? "true" : "false");
    if (!cursor.is_over)
        tp_text_printf(&piece, ",\"cursor\":\"%" PRIu64 ".%" PRIu64 ".%" PRIu64 "\"", cursor.member,
            cursor.shard, cursor.at);
    tp_text_printf(&piece, "}\n");
    add(&self, &piece);
    finish(&self);
}

/* ---- one actor ------------------------------------------------------------------------------- */

#define ACTOR_NUMBERS(X) \
    X(shard)             \
    X(age)               \
    X(idle)              \
    X(received)          \
    X(processed)         \
    X(errors)            \
    X(queued)            \
    X(parked)            \
    X(bytes)

static void see_place(void *user, const troupe_cluster_place *place)
{
    page *self = user;
    char room[PIECE];
    tp_text piece;
    if (self->count++ != 0)
        return; /* the first; stateless workers may have several */
    tp_text_init(&piece, room, sizeof room);
    add_actor(&piece, place->id, place->node);
    tp_text_printf(&piece, ",\"incarnation\":%" PRIu64 ",\"strong\":%s,\"activations\":%" PRIu32,
        place->incarnation, place->is_strong ? "true" : "false", place->activations);
    if (place->has_actor) {
        tp_text_printf(&piece, ",\"phase\":\"%s\"", place->actor.phase);
#define NUMBER(name) tp_text_printf(&piece, ",\"" #name "\":%" PRIu64, (uint64_t)place->actor.name);
        ACTOR_NUMBERS(NUMBER)
#undef NUMBER
    }
    tp_text_printf(&piece, "}\n");
    add(self, &piece);
}

static void ignore(void *user, const troupe_cluster_place *place)
{
    (void)user;
    (void)place;
}

static bool look_up(tp_request *request, troupe_consistency consistency,
    troupe_cluster_place_visit *visit, void *user)
{
    const tp_gateway_host *host = &request->gateway->host;
    uint64_t left;
    if (!time_left(request, &left))
        return false;
    troupe_status status =
        host->lookup(host->node, request->route.id, consistency, left, visit, user);
    if (status == TROUPE_NOT_FOUND)
        fail(request, status, "it is not active: a message would activate it");
    else if (status != TROUPE_OK)
        fail(request, status, "");
    return status == TROUPE_OK;
}

static void show_one(tp_request *request)
{
    char consistency[16];
    page self = {.request = request};
    if (!tp_request_parameter(request, "consistency", consistency, sizeof consistency))
        return;
    bool is_eventual = strcmp(consistency, "eventual") == 0;
    if (!is_eventual && consistency[0] != 0 && strcmp(consistency, "strong") != 0)
        (void)refuse(request, "consistency is strong or eventual");
    else if (look_up(request, is_eventual ? TROUPE_EVENTUAL : TROUPE_STRONG, see_place, &self))
        finish(&self);
}

/* It may end between the look and the call, which then activates it: documented. */
static void call_active(tp_request *request)
{
    tp_env *env = request->gateway->host.env;
    request->goes_on = look_up(request, TROUPE_STRONG, ignore, NULL);
    uint64_t waited = env->now(env) - request->began;
    if (request->timeout != 0)
        request->timeout = waited < request->timeout ? request->timeout - waited : 1;
}

/* ---- the node -------------------------------------------------------------------------------- */

static void add_times(tp_text *out, const char *name, const troupe_distribution *times)
{
    tp_text_printf(out,
        ",\"%s\":{\"count\":%" PRIu64 ",\"mean\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p95\":%" PRIu64
        ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 "}",
        name, times->count, times->mean, times->p50, times->p95, times->p99, times->p999,
        times->max);
}

static void show_node(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    troupe_stats stats = {.size = sizeof stats};
    char room[8192];
    page self = {.request = request};
    tp_text piece;
    troupe_status status = host->stats(host->node, &stats);
    if (status != TROUPE_OK) {
        fail(request, status, "");
        return;
    }
    tp_text_init(&piece, room, sizeof room);
    tp_text_printf(&piece, "{\"node\":");
    tp_text_json(&piece, troupe_str(host->name));
    tp_text_printf(&piece, ",\"shards\":%" PRIu32, stats.shards);
#define COUNT(name)         tp_text_printf(&piece, ",\"" #name "\":%" PRIu64, stats.name);
#define COUNTER(name, text) COUNT(name)
    COUNT(uptime)
    TROUPE_COUNTER_MAP(COUNTER)
    COUNT(active)
    COUNT(parked)
    COUNT(pending_asks)
    COUNT(queued)
    COUNT(bytes)
    COUNT(reserved)
    COUNT(fibers)
    COUNT(cpu_time)
    COUNT(resident)
#undef COUNTER
#undef COUNT
    add_times(&piece, "turn_time", &stats.turn_time);
    add_times(&piece, "ask_time", &stats.ask_time);
    add_times(&piece, "queue_time", &stats.queue_time);
    add_times(&piece, "cache_time", &stats.cache_time);
    tp_text_printf(&piece, ",\"turn_rate\":%.1f,\"cpu\":%.3f}\n", stats.turn_rate, stats.cpu);
    add(&self, &piece);
    finish(&self);
}

void tp_look_answer(tp_request *request)
{
    if (request->route.kind == TP_ROUTE_DISCOVER)
        discover(request);
    else if (request->route.kind == TP_ROUTE_LOOKUP)
        show_one(request);
    else if (request->route.kind == TP_ROUTE_ACTIVE)
        call_active(request);
    else
        show_node(request);
}
