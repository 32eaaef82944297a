/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of the tickets. See tickets.h. */
#include "directory/tickets.h"

#include "base/alloc.h"

#define CHUNKS_AT_FIRST 4u

void tp_tickets_init(tp_tickets *tickets, const troupe_allocator *allocator)
{
    *tickets = (tp_tickets){.allocator = allocator, .free = UINT32_MAX};
}

void tp_tickets_deinit(tp_tickets *tickets)
{
    for (uint32_t i = 0; i < tickets->chunk_count; i++)
        tp_release(tickets->allocator, tickets->chunks[i],
            TP_TICKET_CHUNK * sizeof(tp_ticket_slot));
    tp_release(
        tickets->allocator, tickets->chunks, tickets->chunk_room * sizeof *tickets->chunks);
    *tickets = (tp_tickets){.allocator = tickets->allocator, .free = UINT32_MAX};
}

size_t tp_tickets_bytes(const tp_tickets *tickets)
{
    return tickets->chunk_count * TP_TICKET_CHUNK * sizeof(tp_ticket_slot) +
           tickets->chunk_room * sizeof *tickets->chunks;
}

static bool make_chunk_room(tp_tickets *tickets)
{
    if (tickets->chunk_count < tickets->chunk_room)
        return true;
    uint32_t room = tickets->chunk_room != 0 ? tickets->chunk_room * 2 : CHUNKS_AT_FIRST;
    void *chunks = tp_reallocate(tickets->allocator, tickets->chunks,
        tickets->chunk_room * sizeof *tickets->chunks, room * sizeof *tickets->chunks);
    if (chunks == NULL)
        return false;
    tickets->chunks = chunks;
    tickets->chunk_room = room;
    return true;
}

bool tp_tickets_grow(tp_tickets *tickets)
{
    if (tickets->chunk_count == TP_TICKETS_MAX / TP_TICKET_CHUNK || !make_chunk_room(tickets))
        return false;
    tp_ticket_slot *chunk =
        tp_allocate_zeroed(tickets->allocator, TP_TICKET_CHUNK * sizeof *chunk);
    if (chunk == NULL)
        return false;
    uint32_t first = tickets->chunk_count * TP_TICKET_CHUNK;
    for (uint32_t i = 0; i < TP_TICKET_CHUNK; i++)
        chunk[i].next = i + 1 < TP_TICKET_CHUNK ? first + i + 1 : tickets->free;
    tickets->chunks[tickets->chunk_count++] = chunk;
    tickets->free = first;
    return true;
}
