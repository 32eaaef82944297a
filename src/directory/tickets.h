/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers by which ways are settled: slots in chunks, and how often each was used, so that a ticket
 * of a way that is over names nothing. No hashing, and no table that is ever copied.
 *
 * Invariants: 1. A ticket is not 0, and not given out again while 2^40 others of its slot were not.
 * 2. `use` of a slot is odd while it is taken. Bounded: TP_TICKETS_MAX.
 * Threads: one owner.
 */
#ifndef TP_DIRECTORY_TICKETS_H
#define TP_DIRECTORY_TICKETS_H

#include <troupe/base.h>
#include <troupe/status.h>

#define TP_TICKET_BITS  24
#define TP_TICKET_CHUNK 1024u
#define TP_TICKETS_MAX  (1u << TP_TICKET_BITS)

struct tp_way;

typedef struct tp_ticket_slot {
    union {
        struct tp_way *way; /* taken */
        uint32_t next;      /* free */
    };
    uint64_t use;
} tp_ticket_slot;

typedef struct tp_tickets {
    const troupe_allocator *allocator;
    tp_ticket_slot **chunks;
    uint32_t chunk_count, chunk_room;
    uint32_t free; /* UINT32_MAX: none */
} tp_tickets;

void tp_tickets_init(tp_tickets *tickets, const troupe_allocator *allocator);
void tp_tickets_deinit(tp_tickets *tickets);
size_t tp_tickets_bytes(const tp_tickets *tickets);

/* Makes room for one more. False: no memory, or there are TP_TICKETS_MAX. */
TROUPE_CHECK bool tp_tickets_grow(tp_tickets *tickets);

static inline tp_ticket_slot *tp_ticket_slot_at(const tp_tickets *tickets, uint32_t slot)
{
    return &tickets->chunks[slot / TP_TICKET_CHUNK][slot % TP_TICKET_CHUNK];
}

/* 0: no memory. */
static inline uint64_t tp_ticket_take(tp_tickets *tickets, struct tp_way *way)
{
    if (tickets->free == UINT32_MAX && !tp_tickets_grow(tickets))
        return 0;
    uint32_t number = tickets->free;
    tp_ticket_slot *slot = tp_ticket_slot_at(tickets, number);
    tickets->free = slot->next;
    slot->way = way;
    return ++slot->use << TP_TICKET_BITS | number;
}

/* NULL: its way is over. */
static inline struct tp_way *tp_ticket_find(const tp_tickets *tickets, uint64_t ticket)
{
    uint32_t number = (uint32_t)ticket & (TP_TICKETS_MAX - 1);
    if (number / TP_TICKET_CHUNK >= tickets->chunk_count)
        return NULL;
    const tp_ticket_slot *slot = tp_ticket_slot_at(tickets, number);
    bool is_its = slot->use % 2 != 0 && ticket == (slot->use << TP_TICKET_BITS | number);
    return is_its ? slot->way : NULL;
}

/* One that tp_ticket_find finds. */
static inline void tp_ticket_give(tp_tickets *tickets, uint64_t ticket)
{
    uint32_t number = (uint32_t)ticket & (TP_TICKETS_MAX - 1);
    tp_ticket_slot *slot = tp_ticket_slot_at(tickets, number);
    slot->use++;
    slot->next = tickets->free;
    tickets->free = number;
}

#endif
