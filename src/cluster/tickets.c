/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parcels of a channel are not settled yet: a ring by parcel number, as numbers are given one
 * after the other and settled about in that order.
 */
#include "cluster/outpost_inside.h"

#include "base/alloc.h"

#define TICKETS 256 /* parcels of a channel that may be unsettled, at first */

typedef struct tickets {
    uint64_t *list;  /* ring */
    uint64_t size;   /* power of two */
    uint64_t oldest; /* number of the first that may be unsettled */
} tickets;

bool tp_ticket_note(tp_outpost *self, tp_channel *channel, uint64_t number, uint64_t ticket)
{
    const troupe_allocator *allocator = self->shard->shared->allocator;
    tickets *noted = channel->user;
    if (noted == NULL) {
        noted = tp_allocate_zeroed(allocator, sizeof *noted);
        if (noted == NULL)
            return false;
        noted->oldest = number;
        channel->user = noted;
    }
    if (number - noted->oldest >= noted->size) {
        uint64_t size = noted->size != 0 ? noted->size * 2 : TICKETS;
        while (number - noted->oldest >= size)
            size *= 2;
        uint64_t *grown = tp_allocate_zeroed(allocator, size * sizeof *grown);
        if (grown == NULL)
            return false;
        for (uint64_t i = noted->oldest; i < number; i++)
            grown[i & (size - 1)] = noted->list[i & (noted->size - 1)];
        tp_release(allocator, noted->list, noted->size * sizeof *grown);
        noted->list = grown;
        noted->size = size;
    }
    noted->list[number & (noted->size - 1)] = ticket;
    return true;
}

/* 0: it has none. */
uint64_t tp_ticket_take(tp_channel *channel, uint64_t number)
{
    tickets *noted = channel->user;
    if (noted == NULL || number < noted->oldest || number - noted->oldest >= noted->size)
        return 0;
    uint64_t *at = &noted->list[number & (noted->size - 1)];
    uint64_t ticket = *at;
    *at = 0;
    uint64_t last = channel->session.parcels;
    while (noted->oldest <= last && noted->list[noted->oldest & (noted->size - 1)] == 0)
        noted->oldest++;
    return ticket;
}

void tp_tickets_drop(void *user, tp_channel *channel)
{
    tp_outpost *self = user;
    const troupe_allocator *allocator = self->shard->shared->allocator;
    tickets *noted = channel->user;
    if (noted == NULL)
        return;
    tp_release(allocator, noted->list, noted->size * sizeof *noted->list);
    tp_release(allocator, noted, sizeof *noted);
    channel->user = NULL;
}
