/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that no actor answers: health, readiness, and what Dapr's SDKs ask of their sidecar
 * before they call, metrics. They are made here, and wait for nothing: /v1.0/metadata has no counts
 * of actors.
 */
#include "gateway/inside.h"

#include "base/text.h"

#include <stdio.h>

static void answer_text(tp_request *request, unsigned code, const char *text)
{
    size_t size = strlen(text);
    char *at = tp_request_room(request, size + 1);
    if (at == NULL)
        at = request->answer.data, size = 0;
    memcpy(at, text, size);
    request->answer.size = size;
    request->answer_type = TROUPE_TEXT;
    request->code = code;
    request->stage = TP_REQUEST_ANSWERED;
}

static void answer_health(tp_request *request, bool is_ready, const char *error_code)
{
    if (is_ready)
        answer_text(request, 204, "");
    else
        tp_request_fail(request, 500, error_code, TROUPE_CLOSED, TROUPE_NOT_DONE,
            troupe_str("the node is closing, or is out of its cluster"));
}

static void fail_busy(tp_request *request)
{
    tp_request_fail(request, 503, "ERR_NO_ROOM", TROUPE_BUSY, TROUPE_NOT_DONE,
        troupe_str("no room for the answer: try again later"));
}

static void answer_metadata(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    size_t room = 1024 + 32 * host->type_count;
    for (size_t i = 0; i < host->type_count; i++)
        room += 2 * host->type(host->node, i).size;
    char *at = tp_request_room(request, room);
    if (at == NULL) {
        fail_busy(request);
        return;
    }
    tp_text text;
    tp_text_init(&text, at, room);
    tp_text_printf(&text,
        "{\"id\":\"%s\",\"runtimeVersion\":\"troupe " TROUPE_VERSION "\",\"extended\":{},"
        "\"actorRuntime\":{\"runtimeStatus\":\"RUNNING\",\"hostReady\":true,\"activeActors\":[",
        host->name);
    for (int list = 0; list < 2; list++) {
        for (size_t i = 0; i < host->type_count; i++)
            tp_text_printf(&text, "%s{\"type\":\"%.*s\"}", i != 0 ? "," : "",
                TROUPE_ARG(host->type(host->node, i)));
        tp_text_printf(&text, list == 0 ? "]},\"actors\":[" : "],\"components\":[]}\n");
    }
    request->answer.size = text.size;
    request->answer_type = TROUPE_JSON;
    request->code = 200;
    request->stage = TP_REQUEST_ANSWERED;
}

/* Parts of a page, one behind the other. */
static troupe_status add_part(void *user, troupe_slice part)
{
    return tp_request_append(user, part) ? TROUPE_OK : TROUPE_BUSY;
}

static void answer_metrics(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    if (host->metrics(host->node, add_part, request) != TROUPE_OK) {
        fail_busy(request);
        return;
    }
    request->answer_type = TROUPE_METRICS_TYPE;
    request->code = 200;
    request->stage = TP_REQUEST_ANSWERED;
}

/* What is left READING is no page. */
void tp_page_answer(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    bool is_ready = !atomic_load(&gateway->draining) && gateway->host.is_ready(gateway->host.node);
    switch (request->route.kind) {
    case TP_ROUTE_HEALTH:
        answer_health(request, is_ready, "ERR_HEALTH_NOT_READY");
        break;
    case TP_ROUTE_OUTBOUND:
        answer_health(request, is_ready, "ERR_OUTBOUND_HEALTH_NOT_READY");
        break;
    case TP_ROUTE_READY:
        answer_text(request, is_ready ? 200 : 503, is_ready ? "ready\n" : "not ready\n");
        break;
    case TP_ROUTE_METADATA:
        answer_metadata(request);
        break;
    case TP_ROUTE_METRICS:
        answer_metrics(request);
        break;
    case TP_ROUTE_LIVE:
        answer_text(request, 200, "alive\n");
        break;
    case TP_ROUTE_SAVE:
        tp_state_refuse_save(request);
        break;
    case TP_ROUTE_INVOKE: /* never asked here */
    case TP_ROUTE_STATE:  /* no pages, as those below */
    case TP_ROUTE_REMINDER:
    case TP_ROUTE_TIMER:
    case TP_ROUTE_DISCOVER:
    case TP_ROUTE_LOOKUP:
    case TP_ROUTE_ACTIVE:
    case TP_ROUTE_STATS:
    case TP_ROUTE_EVENTS:
    case TP_ROUTE_UPDATES:
        break;
    }
}
