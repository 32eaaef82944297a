/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the connections that the library does not look at, because they are suspended: a caller
 * that has gone away cancels its call, so that what has not begun does not begin. Not those that
 * the library sees itself (call.c).
 *
 * Invariants
 * 1. Whoever is in the table is alive: it is taken out before it is released.
 * 2. What was seen of a descriptor is for the place that it was taken from, with its serial: a
 *    descriptor may be another connection's by then.
 * 3. Nothing runs while the table is empty. The lock is held while the table grows and while those
 *    that are gone are cancelled (1.), but over no look at descriptors: who adds or removes waits
 *    for no poll.
 *
 * Threads: the table is under `lock`; the runner looks each WATCH_EVERY.
 */
#include "gateway/inside.h"

#include "base/assert.h"

#define WATCH_EVERY TROUPE_MILLISECONDS(200)

enum { FIRST_ROOM = 64 };

struct tp_watch_place {
    struct tp_request *request; /* NULL: it is free, and `next` is another one */
    uint64_t serial;
    int descriptor; /* -1: it has gone, and that was told */
    uint32_t next;  /* UINT32_MAX: none */
};

static void lock(tp_watch *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire)) {
    }
}

static void unlock(tp_watch *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool grow(tp_watch *self)
{
    uint32_t room = self->room != 0 ? self->room * 2 : FIRST_ROOM;
    size_t before = self->room * sizeof *self->places, after = room * sizeof *self->places;
    tp_watch_place *places = self->room != 0
                                 ? tp_reallocate(self->host->allocator, self->places, before, after)
                                 : tp_allocate(self->host->allocator, after);
    if (places == NULL)
        return false;
    for (uint32_t i = self->room; i < room; i++)
        places[i] = (tp_watch_place){.next = i + 1 < room ? i + 1 : UINT32_MAX, .descriptor = -1};
    self->places = places;
    self->free = self->room;
    self->room = room;
    return true;
}

void tp_watch_add(tp_watch *self, tp_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL)
        return;
    bool wakes = false;
    lock(self);
    if (self->free != UINT32_MAX || grow(self)) { /* else: no memory, and it is not watched */
        tp_watch_place *place = &self->places[self->free];
        request->place = self->free;
        self->free = place->next;
        *place = (tp_watch_place){
            .request = request, .serial = ++self->serial, .descriptor = info->connect_fd};
        self->count++;
        wakes = self->rests;
        self->rests = false;
    }
    unlock(self);
    if (!wakes)
        return;
    atomic_store(&self->called, true);
    self->host->env->runner_wake(self->host->env, &self->runner);
}

void tp_watch_remove(tp_watch *self, tp_request *request)
{
    if (request->place == UINT32_MAX)
        return;
    lock(self);
    self->places[request->place] = (tp_watch_place){.next = self->free, .descriptor = -1};
    self->free = request->place;
    self->count--;
    unlock(self);
    request->place = UINT32_MAX;
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct glance {
    uint32_t count;
    uint32_t places[TP_NET_GLANCE];
    uint64_t serials[TP_NET_GLANCE];
    tp_socket sockets[TP_NET_GLANCE];
    bool ended[TP_NET_GLANCE];
} glance;

/* The next ones from that place on; returns where it ended. */
static uint32_t copy(tp_watch *self, uint32_t from, glance *out)
{
    out->count = 0;
    lock(self);
    for (; from < self->room && out->count < TP_NET_GLANCE; from++) {
        const tp_watch_place *place = &self->places[from];
        if (place->descriptor < 0)
            continue;
        out->places[out->count] = from;
        out->serials[out->count] = place->serial;
        out->sockets[out->count++] = (tp_socket){place->descriptor};
    }
    bool is_end = from == self->room;
    unlock(self);
    return is_end ? UINT32_MAX : from;
}

static void tell(tp_watch *self, const glance *seen)
{
    lock(self);
    for (uint32_t i = 0; i < seen->count; i++) {
        tp_watch_place *place = &self->places[seen->places[i]];
        if (!seen->ended[i] || place->request == NULL || place->serial != seen->serials[i])
            continue;
        place->descriptor = -1;
        tp_call_cancel(place->request);
    }
    unlock(self);
}

static void look(tp_watch *self)
{
    for (uint32_t at = 0; at != UINT32_MAX;) {
        glance seen;
        at = copy(self, at, &seen);
        self->host->ended(seen.sockets, seen.count, seen.ended);
        tell(self, &seen);
    }
}

static uint64_t step(tp_runner *runner)
{
    tp_watch *self = TP_CONTAINER(runner, tp_watch, runner);
    atomic_store(&self->called, false);
    if (atomic_load(&self->stops))
        return TP_STEP_DONE;
    lock(self);
    self->rests = self->count == 0;
    bool rests = self->rests;
    unlock(self);
    if (rests)
        return TP_NEVER;
    look(self);
    return self->host->env->now(self->host->env) + WATCH_EVERY;
}

static bool has_arrivals(tp_runner *runner)
{
    tp_watch *self = TP_CONTAINER(runner, tp_watch, runner);
    return atomic_load(&self->called) || atomic_load(&self->stops);
}

troupe_status tp_watch_start(tp_watch *self, const tp_gateway_host *host)
{
    *self = (tp_watch){.host = host, .free = UINT32_MAX};
    atomic_flag_clear(&self->lock);
    self->runner = (tp_runner){.step = step,
        .has_arrivals = has_arrivals,
        .name = "troupe-http",
        .spin = 1,
        .own_thread = true};
    return host->env->runner_start(host->env, &self->runner);
}

void tp_watch_stop(tp_watch *self)
{
    atomic_store(&self->stops, true);
    self->host->env->runner_wake(self->host->env, &self->runner);
    self->host->env->runner_join(self->host->env, &self->runner);
    tp_release(self->host->allocator, self->places, self->room * sizeof *self->places);
}
