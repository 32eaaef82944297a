/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The desk: requests for which a thread has to wait, because other nodes or shards are asked. No
 * thread of the library does: the connection is suspended, as for a call, and the request runs as a
 * job of the node's blocking pool, which hands it back. What waits for a turn of an actor, or for
 * the store, needs no thread and is not here.
 *
 * The pool belongs to actors (troupe_blocking): the desk leaves them threads of it. Who looks afar
 * and who subscribes stand in two lines, of which the second is served one by one.
 *
 * Invariants
 * 1. Of a pool of three threads or more one at least is never the desk's.
 * 2. At most TP_DESK_MAX wait in a line; more get 503. Who looks afar is kept for TP_DESK_PATIENCE
 * at most; who visits the shards of this node, as long as a visit may take.
 *
 * Threads: inside.h; a request at the desk belongs to the thread of the pool that runs it. The
 * lines are under the lock, which is held over no call of anybody else.
 */
#include "gateway/inside.h"

#include "base/assert.h"

static void lock(tp_desk *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire)) {
    }
}

static void unlock(tp_desk *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

void tp_desk_init(tp_desk *self, const tp_gateway_host *host)
{
    *self = (tp_desk){.lines = {[TP_DESK_AFAR] = {.most = host->pool > 2 ? host->pool - 2 : 1},
                          [TP_DESK_SUBSCRIBE] = {.most = 1}}};
    atomic_flag_clear(&self->lock);
}

static tp_desk_line *line_of(const tp_request *request)
{
    tp_route_kind kind = request->route.kind;
    bool subscribes = kind == TP_ROUTE_EVENTS || kind == TP_ROUTE_UPDATES;
    return &request->gateway->desk.lines[subscribes ? TP_DESK_SUBSCRIBE : TP_DESK_AFAR];
}

static void run(tp_job *job)
{
    tp_request *request = TP_CONTAINER(job, tp_request, job);
    tp_route_kind kind = request->route.kind;
    if (atomic_load(&request->gateway->draining))
        tp_request_refuse_closing(request);
    else if (kind == TP_ROUTE_EVENTS || kind == TP_ROUTE_UPDATES)
        tp_stream_prepare(request);
    else
        tp_look_answer(request);
}

static void refuse(tp_request *request)
{
    tp_gateway_add(&request->gateway->busy);
    tp_request_fail(request, 503, "ERR_NO_ROOM", TROUPE_BUSY, TROUPE_NOT_DONE,
        troupe_str("too many requests wait for other nodes: try again later"));
}

/* The first that waits, if it may go; NULL: none. */
static tp_request *take(tp_desk *self, tp_desk_line *line)
{
    lock(self);
    tp_request *request = line->at_work < line->most ? line->first : NULL;
    if (request != NULL) {
        line->first = request->next;
        line->waiting--;
        line->at_work++;
    }
    unlock(self);
    return request;
}

static void leave(tp_desk *self, tp_desk_line *line)
{
    lock(self);
    line->at_work--;
    unlock(self);
}

static void done(tp_job *job);

static void go_on(tp_gateway *gateway, tp_desk_line *line)
{
    tp_env *env = gateway->host.env;
    tp_request *request;
    while ((request = take(&gateway->desk, line)) != NULL) {
        request->job = (tp_job){.run = run, .done = done};
        if (env->job_start(env, &request->job) == TROUPE_OK)
            continue;
        leave(&gateway->desk, line);
        refuse(request);
        tp_request_hand_over(request);
    }
}

/* The last touch: the request may be gone behind it. Those that wait keep the gateway until then.
 */
static void done(tp_job *job)
{
    tp_request *request = TP_CONTAINER(job, tp_request, job);
    tp_desk_line *line = line_of(request);
    leave(&request->gateway->desk, line);
    go_on(request->gateway, line);
    if (!request->goes_on || !tp_request_ask(request))
        tp_request_hand_over(request);
}

static bool stand_in_line(tp_desk *self, tp_desk_line *line, tp_request *request)
{
    lock(self);
    bool is_full = line->waiting == TP_DESK_MAX;
    if (!is_full) {
        request->next = NULL;
        if (line->first == NULL)
            line->first = request;
        else
            line->last->next = request;
        line->last = request;
        line->waiting++;
    }
    unlock(self);
    return !is_full;
}

bool tp_desk_start(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    tp_desk_line *line = line_of(request);
    tp_request_suspend(request);
    if (stand_in_line(&gateway->desk, line, request)) {
        go_on(gateway, line);
        return true;
    }
    refuse(request);
    tp_request_take_back(request);
    return true; /* it is resumed */
}
