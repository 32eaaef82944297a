/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The desk: requests that somebody has to wait for, because the store or other nodes are asked. No
 * thread of the library does: the connection is suspended, as for a call, and the request runs as a
 * job of the node's blocking pool, which hands it back.
 *
 * Invariants: at most TP_DESK_MAX are there at once, so that the blocking calls of actors have
 * their share of the pool; more get 503.
 * Threads: inside.h; a request at the desk belongs to the thread of the pool that runs it.
 */
#include "gateway/inside.h"

#include "base/assert.h"

static void run(tp_job *job)
{
    tp_request *request = TP_CONTAINER(job, tp_request, job);
    tp_route_kind kind = request->route.kind;
    if (kind == TP_ROUTE_STATE)
        tp_state_answer(request);
    else if (kind == TP_ROUTE_REMINDER || kind == TP_ROUTE_TIMER)
        tp_remind_answer(request);
    else if (kind == TP_ROUTE_EVENTS || kind == TP_ROUTE_UPDATES)
        tp_stream_prepare(request);
    else
        tp_look_answer(request);
}

/* The last touch: the request may be gone behind it. */
static void done(tp_job *job)
{
    tp_request *request = TP_CONTAINER(job, tp_request, job);
    atomic_fetch_sub_explicit(&request->gateway->at_desk, 1, memory_order_relaxed);
    if (!request->goes_on || !tp_request_ask(request))
        tp_request_hand_over(request);
}

bool tp_desk_start(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    tp_env *env = gateway->host.env;
    request->job = (tp_job){.run = run, .done = done};
    uint32_t before = atomic_fetch_add_explicit(&gateway->at_desk, 1, memory_order_relaxed);
    tp_request_suspend(request);
    if (before < TP_DESK_MAX && env->job_start(env, &request->job) == TROUPE_OK)
        return true;
    atomic_fetch_sub_explicit(&gateway->at_desk, 1, memory_order_relaxed);
    tp_gateway_add(&gateway->busy);
    tp_request_fail(request, 503, "ERR_NO_ROOM", TROUPE_BUSY, TROUPE_NOT_DONE,
        troupe_str("too many requests wait for the store or other nodes: try again later"));
    tp_request_take_back(request);
    return true; /* it is resumed */
}
