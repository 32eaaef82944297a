/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stored state of an actor, read without activating or disturbing it. A native actor has one
 * state and no keys: it is the value of the key "state", as JSON by the type's schema, else as its
 * bytes; its version is the ETag. Nothing is written here (docs/decisions/0021): who may change it
 * are the actor's own turns.
 *
 * Threads: inside.h; what was loaded comes from the store's, and is read by the library's.
 */
#include "gateway/codes.h"
#include "gateway/inside.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

#define ERR_GET  "ERR_ACTOR_STATE_GET"
#define ERR_SAVE "ERR_ACTOR_STATE_TRANSACTION_SAVE"

/* The one key that a native actor has. */
#define KEY "state"

static void answer_nothing(tp_request *request)
{
    request->answer.size = 0;
    request->code = 204;
    request->stage = TP_REQUEST_ANSWERED;
}

static void answer_state(tp_request *request, const troupe_stored *stored)
{
    bool is_json = stored->json.size != 0;
    troupe_slice state = is_json ? stored->json : stored->state;
    (void)snprintf(request->tag, sizeof request->tag, "\"%" PRIu64 "\"", stored->version);
    request->answer_type = is_json ? TROUPE_JSON : TROUPE_BYTES;
    request->stage = TP_REQUEST_ANSWERED;
    request->code = 304;
    if (request->known != NULL && tp_route_tag_is_known(request->known, request->tag))
        return;
    char *at = tp_request_room(request, state.size);
    if (at == NULL) {
        request->tag[0] = 0;
        tp_request_fail(request, 503, ERR_GET, TROUPE_BUSY, TROUPE_NOT_DONE,
            troupe_str("no room for the state: http_bytes, or memory"));
        return;
    }
    if (state.size != 0)
        memcpy(at, state.data, state.size);
    request->answer.size = state.size;
    request->code = state.size != 0 ? 200 : 204;
}

/* One that is there and cannot be read is not to be taken for one that is not there. */
static void see(void *user, const troupe_stored *stored)
{
    tp_request *request = user;
    if (stored->note.size != 0)
        tp_request_fail(request, 500, ERR_GET, TROUPE_CORRUPT, TROUPE_NOT_DONE, stored->note);
    else if (stored->has_state)
        answer_state(request, stored);
    else
        answer_nothing(request); /* only rows beside it */
}

static void fail(tp_request *request, troupe_status status, const char *words)
{
    if (request->route.kind == TP_ROUTE_REMINDER)
        tp_remind_fail(request, status, words);
    else
        tp_request_fail(request, tp_http_code(status, TROUPE_NOT_DONE), ERR_GET, status,
            TROUPE_NOT_DONE, troupe_str(words));
}

/* [store] */
static void loaded(troupe_store_op *op)
{
    tp_request *request = TP_CONTAINER(op, tp_request, op);
    request->is_loaded = true;
    tp_request_hand_over(request);
}

bool tp_state_load(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    request->op = (troupe_store_op){.done = loaded};
    tp_request_await(request);
    troupe_status status =
        host->load(host->node, request->route.id, &request->op, words, sizeof words);
    if (status == TROUPE_OK)
        return true;
    tp_request_take_back(request);
    fail(request, status, words);
    return false;
}

bool tp_state_start(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    if (strcmp(request->route.name, KEY) == 0)
        return tp_state_load(request);
    troupe_status status = host->stores(host->node, request->route.id, words, sizeof words);
    if (status == TROUPE_OK)
        answer_nothing(request);
    else
        fail(request, status, words);
    return false;
}

void tp_state_show(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    troupe_status status = host->show(host->node, &request->op, see, request, words, sizeof words);
    if (status == TROUPE_NOT_FOUND)
        answer_nothing(request);
    else if (status != TROUPE_OK)
        fail(request, status, words);
}

void tp_state_refuse_save(tp_request *request)
{
    tp_gateway_add(&request->gateway->refused);
    tp_request_fail(request, 400, ERR_SAVE, TROUPE_USAGE, TROUPE_NOT_DONE,
        troupe_str("the state of a native actor is changed by its own turns only: call a method of "
                   "it; GET .../state/" KEY " reads it"));
}
