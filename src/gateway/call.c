/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request that is whole to an ask of the node, and from its answer back to the library.
 *
 * An answer is often there within microseconds, and to suspend a connection and resume it costs six
 * calls of the system. So for as long as a shard without work would spin, the library is left to
 * call again, which it does at each pass of its loop; only then is the connection suspended. By
 * `hold`, who has the request:
 *
 *   LIBRARY     its thread alone       -> POLLED: asked; -> SUSPENDED: asked, by the desk
 *   POLLED      the node; looked at    -> OVER: answered; -> SUSPENDED: it took long;
 *                                         -> ORPHAN: its connection has gone
 *   SUSPENDED   the node               -> OVER: answered, and to be resumed
 *   OVER        the library's thread, with its next look -> LIBRARY
 *   ORPHAN      the node               -> who answers releases it
 *
 * Invariants: inside.h. Threads: inside.h; each step of `hold` publishes the request to who has it
 * next.
 */
#include "gateway/codes.h"
#include "gateway/inside.h"

#include "base/outcome.h"

#include <string.h>

/* ---- how many -------------------------------------------------------------------------------- */

static void end_call(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    if (!request->is_call)
        return;
    request->is_call = false;
    tp_limits_leave(request);
    if (atomic_fetch_sub(&gateway->calls, 1) != 1)
        return;
    tp_waiter *closer = atomic_exchange(&gateway->closer, NULL);
    if (closer != NULL)
        gateway->host.env->signal(gateway->host.env, closer);
}

/* It is counted before `draining` is read, and close sets that before it reads the count, so that
 * none slips through. */
bool tp_call_enter(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    request->is_call = true;
    uint32_t before = atomic_fetch_add(&gateway->calls, 1);
    if (atomic_load(&gateway->draining))
        tp_request_refuse_closing(request);
    else if (before >= gateway->host.calls)
        tp_request_refuse_busy(request, TROUPE_BUSY, "http_calls are under way: try again later");
    else if (!tp_limits_enter(request))
        tp_request_refuse_busy(
            request, TROUPE_BUSY, "http_type_calls of this type are under way: try again later");
    else
        return true;
    end_call(request);
    return false;
}

static void release(tp_request *request)
{
    end_call(request);
    request->gateway->host.cancel_destroy(request->cancel);
    tp_request_release(request);
}

/* ---- there and back -------------------------------------------------------------------------- */

static uint64_t now_of(const tp_request *request)
{
    tp_env *env = request->gateway->host.env;
    return env->now(env);
}

void tp_request_suspend(tp_request *request)
{
    atomic_fetch_add(&request->gateway->asked, 1);
    MHD_suspend_connection(request->connection);
    atomic_store(&request->hold, TP_HOLD_SUSPENDED);
}

void tp_request_await(tp_request *request)
{
    request->asked = now_of(request);
    atomic_fetch_add(&request->gateway->asked, 1);
    atomic_store(&request->hold, TP_HOLD_POLLED);
}

void tp_request_take_back(tp_request *request)
{
    bool is_suspended = atomic_load(&request->hold) == TP_HOLD_SUSPENDED;
    atomic_store(&request->hold, TP_HOLD_LIBRARY);
    atomic_fetch_sub(&request->gateway->asked, 1);
    if (is_suspended)
        MHD_resume_connection(request->connection);
}

static void resume(tp_gateway *gateway, tp_request *request)
{
    tp_request *first = atomic_load_explicit(&gateway->answered, memory_order_relaxed);
    bool wakes;
    do {
        wakes = first == NULL;
        request->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&gateway->answered, &first,
        wakes ? TP_REQUEST_WAKES : request, memory_order_acq_rel, memory_order_relaxed));
    if (wakes)
        MHD_resume_connection(request->connection);
}

void tp_request_hand_over(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    uint32_t before = atomic_exchange(&request->hold, TP_HOLD_OVER);
    if (before == TP_HOLD_SUSPENDED)
        resume(gateway, request);
    else if (before == TP_HOLD_ORPHAN)
        release(request);
    /* The last touch of the gateway: until then it is not stopped. */
    atomic_fetch_sub_explicit(&gateway->asked, 1, memory_order_release);
}

/* Before a request that was resumed is looked at, so that who found the list empty is followed. */
void tp_request_resume_all(tp_gateway *gateway)
{
    if (atomic_load_explicit(&gateway->answered, memory_order_relaxed) == NULL)
        return;
    tp_request *next = atomic_exchange_explicit(&gateway->answered, NULL, memory_order_acq_rel);
    while (next != NULL && next != TP_REQUEST_WAKES) {
        tp_request *request = next;
        next = request->next; /* it is gone when it is resumed */
        MHD_resume_connection(request->connection);
    }
}

bool tp_call_is_over(tp_request *request)
{
    uint32_t hold = atomic_load(&request->hold);
    if (hold == TP_HOLD_LIBRARY)
        return true;
    if (hold == TP_HOLD_POLLED) {
        if (now_of(request) - request->asked < request->gateway->host.spin)
            return false;
        MHD_suspend_connection(request->connection);
        if (atomic_compare_exchange_strong(&request->hold, &hold, TP_HOLD_SUSPENDED))
            tp_watch_add(&request->gateway->watch, request);
        else
            MHD_resume_connection(request->connection); /* answered meanwhile */
        return false;
    }
    tp_watch_remove(&request->gateway->watch, request);
    atomic_store(&request->hold, TP_HOLD_LIBRARY);
    return true;
}

void tp_call_cancel(tp_request *request)
{
    if (atomic_load(&request->hold) != TP_HOLD_SUSPENDED)
        return; /* answered meanwhile */
    tp_gateway_add(&request->gateway->gone);
    request->gateway->host.cancel_fire(request->cancel);
}

void tp_call_leave(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    troupe_cancel *cancel = request->cancel;
    uint32_t polled = TP_HOLD_POLLED;
    tp_watch_remove(&gateway->watch, request);
    request->cancel = NULL;
    if (atomic_compare_exchange_strong(&request->hold, &polled, TP_HOLD_ORPHAN)) {
        tp_gateway_add(&gateway->gone); /* and the request may be, too */
        gateway->host.cancel_fire(cancel);
    } else {
        release(request);
    }
    gateway->host.cancel_destroy(cancel);
}

/* ---- the ask --------------------------------------------------------------------------------- */

static void keep_payload(tp_request *request, const troupe_answer *answer)
{
    size_t type_size = answer->content_type.size;
    char *at = tp_request_room(request, answer->payload.size + type_size + 1);
    if (at == NULL) {
        tp_request_fail(request, 502, TP_HTTP_ERR_INVOKE, TROUPE_UNKNOWN, TROUPE_UNKNOWN_OUTCOME,
            troupe_str("it ran, but there was no room for its answer: http_bytes, or memory"));
        return;
    }
    if (answer->payload.size != 0)
        memcpy(at, answer->payload.data, answer->payload.size);
    at += answer->payload.size;
    if (type_size != 0)
        memcpy(at, answer->content_type.data, type_size);
    at[type_size] = 0;
    request->answer_type = type_size != 0 ? at : TROUPE_BYTES;
    request->answer.size = answer->payload.size;
    request->code = answer->payload.size != 0 ? 200 : 204;
    request->stage = TP_REQUEST_ANSWERED;
}

/* [shard] Copies. */
static void on_answer(void *user, const troupe_answer *answer)
{
    tp_request *request = user;
    if (answer->status == TROUPE_OK)
        keep_payload(request, answer);
    else
        tp_request_fail(request, tp_http_code(answer->status, answer->outcome), TP_HTTP_ERR_INVOKE,
            answer->status, answer->outcome, answer->message);
    tp_request_hand_over(request);
}

bool tp_request_ask(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS,
        .timeout = request->timeout,
        .content_type = request->content_type,
        .cancel = request->cancel,
        .once = troupe_str(request->once),
    };
    troupe_id id = request->route.id;
    troupe_slice body = troupe_slice_of(request->body.data, request->body.size);
    troupe_status status =
        host->ask(host->client, id, request->route.name, body, &options, on_answer, request);
    if (status == TROUPE_OK)
        return true;
    char room[TP_GATEWAY_WORDS];
    bool once = request->once != NULL;
    troupe_slice words = host->explain(host->node, id, request->route.name, once, status, room);
    troupe_outcome outcome = tp_once_unsent(once, status, troupe_status_outcome(status));
    tp_request_fail(
        request, tp_http_code(status, outcome), TP_HTTP_ERR_INVOKE, status, outcome, words);
    return false;
}

bool tp_call_start(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    troupe_status status = host->cancel_create(host->node, &request->cancel);
    if (status != TROUPE_OK) {
        tp_request_refuse_busy(request, status, "");
        return false;
    }
    tp_request_await(request);
    if (tp_request_ask(request))
        return true;
    tp_request_take_back(request);
    return false;
}
