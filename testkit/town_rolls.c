/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership store of a town as one house sees it: a handle on the store in memory that fails
 * when the store is out, or the house's way to it, and now and then says of a change that its end
 * is not known.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct tp_town_roll {
    troupe_membership port;
    troupe_membership *inner; /* NULL: closed */
    tp_house *house;
} roll;

static roll *of(troupe_membership *port)
{
    return (roll *)(void *)port;
}

static bool fails(roll *self)
{
    if (!self->house->town->is_out && !self->house->is_cut_off)
        return false;
    (void)snprintf(self->port.error, sizeof self->port.error, "the store is out");
    return true;
}

/* How a change ends: OK if it is to be done and told. `ret_done`: or done all the same. */
static troupe_status fate(roll *self, bool *ret_done)
{
    tp_town *town = self->house->town;
    tp_prng *prng = tp_world_prng(town->world);
    bool is_out = fails(self);
    *ret_done = !is_out;
    if (is_out)
        return tp_prng_chance(prng, 1, 2) ? TROUPE_UNAVAILABLE : TROUPE_UNKNOWN;
    if (town->doubts == 0 || !tp_prng_chance(prng, town->doubts, 1024))
        return TROUPE_OK;
    *ret_done = tp_prng_chance(prng, 1, 2);
    tp_world_mark(town->world, *ret_done ? "a change of view or lease is done in silence"
                                         : "a change of the view or a lease is lost");
    return TROUPE_UNKNOWN;
}

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    roll *self = of(port);
    return fails(self) ? TROUPE_UNAVAILABLE
                       : self->inner->read_view(self->inner, timeout, on_view, user);
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    roll *self = of(port);
    bool done;
    troupe_status status = fate(self, &done);
    if (!done)
        return status;
    troupe_status truth =
        self->inner->cas_view(self->inner, timeout, number, text, kept, kept_count);
    return status == TROUPE_OK ? truth : status;
}

static troupe_status raise_count(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    roll *self = of(port);
    bool done;
    troupe_status status = fate(self, &done);
    if (!done)
        return status;
    troupe_status truth = self->inner->raise(self->inner, timeout, incarnation, count);
    return status == TROUPE_OK ? truth : status;
}

static troupe_status revoke(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    roll *self = of(port);
    bool done;
    troupe_status status = fate(self, &done);
    if (!done)
        return status;
    troupe_status truth = self->inner->revoke(self->inner, timeout, incarnation, count);
    if (truth == TROUPE_OK)
        tp_world_mark(self->house->town->world, "a lease is revoked");
    return status == TROUPE_OK ? truth : status;
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    roll *self = of(port);
    return fails(self)
               ? TROUPE_UNAVAILABLE
               : self->inner->read_registers(self->inner, timeout, on_register, user, ret_run);
}

static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    roll *self = of(port);
    return fails(self) ? TROUPE_UNAVAILABLE : self->inner->watch(self->inner, timeout, number);
}

/* By the node, or because its process is gone: the other one frees it. */
static void close_inner(troupe_membership *port)
{
    roll *self = of(port);
    if (self->inner != NULL)
        self->inner->close(self->inner);
    self->inner = NULL;
}

struct tp_town_roll *tp_town_roll_open(tp_house *house)
{
    roll *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    if (tp_member_memory_open(house->town->membership, &self->inner) != TROUPE_OK) {
        free(self);
        return NULL;
    }
    self->house = house;
    self->port = (troupe_membership){.size = sizeof self->port,
        .promises = "a store of a simulated town",
        .immediate = true,
        .read_view = read_view,
        .cas_view = cas_view,
        .raise = raise_count,
        .revoke = revoke,
        .read_registers = read_registers,
        .watch = watch,
        .close = close_inner};
    return self;
}

troupe_membership *tp_town_roll_port(struct tp_town_roll *self)
{
    return &self->port;
}

void tp_town_roll_close(struct tp_town_roll *self)
{
    if (self == NULL)
        return;
    close_inner(&self->port);
    free(self);
}
