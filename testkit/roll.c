/* SPDX-License-Identifier: Apache-2.0 */
/* A membership store in memory with hooks around it. See roll.h. */
#include "testkit/roll.h"

#include <stdio.h>
#include <stdlib.h>

struct tp_roll {
    troupe_membership port; /* first */
    troupe_membership *inner; /* NULL: closed */
    const tp_roll_hooks *hooks;
    void *user;
};

static tp_roll *of(troupe_membership *port)
{
    return (tp_roll *)(void *)port;
}

static troupe_status begins(tp_roll *self, tp_roll_call call, bool *ret_done)
{
    *ret_done = false;
    troupe_status status = self->hooks->begins != NULL
                               ? self->hooks->begins(self->user, call, ret_done)
                               : TROUPE_OK;
    if (status != TROUPE_OK)
        (void)snprintf(self->port.error, sizeof self->port.error, "the store is out");
    *ret_done = *ret_done || status == TROUPE_OK;
    return status;
}

/* What is said of a call of which `said` was to be said. */
static troupe_status ended(tp_roll *self, tp_roll_call call, troupe_status said,
    troupe_status truth, uint64_t bytes, uint64_t rows)
{
    if (self->hooks->ended != NULL)
        self->hooks->ended(self->user, call, truth, bytes, rows);
    return said == TROUPE_OK ? truth : said;
}

/* ---- calls ----------------------------------------------------------------------------------- */

typedef struct reading {
    troupe_on_view *on_view;
    troupe_on_register *on_register;
    void *user;
    uint64_t bytes, rows;
} reading;

static void view_seen(void *user, uint64_t number, troupe_slice text)
{
    reading *self = user;
    self->bytes += text.size;
    self->on_view(self->user, number, text);
}

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    tp_roll *self = of(port);
    reading seen = {.on_view = on_view, .user = user};
    bool done;
    troupe_status said = begins(self, TP_ROLL_READ, &done);
    if (said != TROUPE_OK)
        return said;
    troupe_status truth = self->inner->read_view(self->inner, timeout, view_seen, &seen);
    return ended(self, TP_ROLL_READ, said, truth, seen.bytes, 0);
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    tp_roll *self = of(port);
    bool done;
    troupe_status said = begins(self, TP_ROLL_CAS, &done);
    if (!done)
        return said;
    troupe_status truth =
        self->inner->cas_view(self->inner, timeout, number, text, kept, kept_count);
    return ended(self, TP_ROLL_CAS, said, truth, text.size, 0);
}

static troupe_status raise_count(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    tp_roll *self = of(port);
    bool done;
    troupe_status said = begins(self, TP_ROLL_RAISE, &done);
    if (!done)
        return said;
    troupe_status truth = self->inner->raise(self->inner, timeout, incarnation, count);
    return ended(self, TP_ROLL_RAISE, said, truth, 0, 0);
}

static troupe_status revoke(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    tp_roll *self = of(port);
    bool done;
    troupe_status said = begins(self, TP_ROLL_REVOKE, &done);
    if (!done)
        return said;
    troupe_status truth = self->inner->revoke(self->inner, timeout, incarnation, count);
    return ended(self, TP_ROLL_REVOKE, said, truth, 0, 0);
}

static void register_seen(void *user, const troupe_register *found)
{
    reading *self = user;
    self->rows++;
    self->on_register(self->user, found);
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    tp_roll *self = of(port);
    reading seen = {.on_register = on_register, .user = user};
    bool done;
    troupe_status said = begins(self, TP_ROLL_LOOK, &done);
    if (said != TROUPE_OK)
        return said;
    troupe_status truth =
        self->inner->read_registers(self->inner, timeout, register_seen, &seen, ret_run);
    return ended(self, TP_ROLL_LOOK, said, truth, 0, seen.rows);
}

static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    tp_roll *self = of(port);
    bool done;
    troupe_status said = begins(self, TP_ROLL_WATCH, &done);
    if (said != TROUPE_OK)
        return said;
    return ended(self, TP_ROLL_WATCH, said, self->inner->watch(self->inner, timeout, number), 0, 0);
}

/* By the node, or because its process is gone: the other one frees it. */
static void close_inner(troupe_membership *port)
{
    tp_roll *self = of(port);
    if (self->inner != NULL)
        self->inner->close(self->inner);
    self->inner = NULL;
}

/* ---- begin and end --------------------------------------------------------------------------- */

tp_roll *tp_roll_open(tp_member_memory *store, const tp_roll_hooks *hooks, void *user)
{
    tp_roll *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    *self = (tp_roll){.port = {.size = sizeof self->port,
                          .promises = "a simulated store of the membership",
                          .immediate = true,
                          .read_view = read_view,
                          .cas_view = cas_view,
                          .raise = raise_count,
                          .revoke = revoke,
                          .read_registers = read_registers,
                          .watch = watch,
                          .close = close_inner},
        .hooks = hooks,
        .user = user};
    if (tp_member_memory_open(store, &self->inner) != TROUPE_OK) {
        free(self);
        return NULL;
    }
    return self;
}

troupe_membership *tp_roll_port(tp_roll *self)
{
    return &self->port;
}

void tp_roll_close(tp_roll *self)
{
    if (self == NULL)
        return;
    close_inner(&self->port);
    free(self);
}
